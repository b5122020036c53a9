#include "fake_net.h"

#include "check.h"
#include "net/libev.h"

#define TICK_MS 16 /* as the real loop's */
#define START_MS 1000000

/* --- The loop --- */

struct net_loop {
	struct net_wheel wheel;
	struct net_hook *hooks;
	int64_t now_ms;
	bool rerun;
};

ev_err net_loop_new(struct net_loop **out)
{
	struct net_loop *l = calloc(1, sizeof(*l));

	CHECK(l != NULL);
	l->now_ms = START_MS;
	net_wheel_init(&l->wheel, START_MS / TICK_MS);
	*out = l;
	return EV_OK;
}

void net_loop_free(struct net_loop *l)
{
	if (l != NULL)
		CHECK(l->wheel.n_armed == 0 && l->hooks == NULL); /* all was taken away */
	free(l);
}

/* Of a listener's socket; nothing ever runs it. */
struct ev_loop *net_loop_ev(struct net_loop *l)
{
	static struct ev_loop *ev;

	(void)l;
	if (ev == NULL)
		ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	CHECK(ev != NULL);
	return ev;
}

int64_t net_loop_now_ms(const struct net_loop *l)
{
	return l->now_ms;
}

void net_timer_init(struct net_timer *t, net_fn *fn, void *user)
{
	*t = (struct net_timer){ .fn = fn, .user = user };
}

void net_timer_arm(struct net_loop *l, struct net_timer *t, int64_t delay_ms)
{
	int64_t at_ms = l->now_ms + (delay_ms > 0 ? delay_ms : 0);

	net_wheel_arm(&l->wheel, &t->node, (uint64_t)((at_ms + TICK_MS - 1) / TICK_MS));
}

void net_timer_cancel(struct net_loop *l, struct net_timer *t)
{
	net_wheel_cancel(&l->wheel, &t->node);
}

int64_t net_timer_due_ms(const struct net_timer *t)
{
	return (int64_t)t->node.tick * TICK_MS;
}

void net_loop_add_hook(struct net_loop *l, struct net_hook *h)
{
	h->next = l->hooks;
	l->hooks = h;
}

void net_loop_remove_hook(struct net_loop *l, struct net_hook *h)
{
	struct net_hook **at = &l->hooks;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
}

void net_loop_rerun_hooks(struct net_loop *l)
{
	l->rerun = true;
}

void fake_loop_turn(struct net_loop *l)
{
	int rounds = 0;

	do {
		CHECK(++rounds < 1000); /* or the real loop would never wait again */
		l->rerun = false;
		for (struct net_hook *h = l->hooks; h != NULL; h = h->next)
			h->fn(h->user);
	} while (l->rerun);
}

static void fire(void *user, struct net_wheel_node *node)
{
	struct net_timer *t = (struct net_timer *)(void *)node; /* its first member */

	(void)user;
	t->fn(t->user);
}

void fake_loop_sleep(struct net_loop *l, int64_t ms)
{
	l->now_ms += ms;
	net_wheel_advance(&l->wheel, (uint64_t)(l->now_ms / TICK_MS), fire, l);
	fake_loop_turn(l);
}

/* --- The transport --- */

struct net_transport {
	const struct net_transport_events *events;
	struct net_port *port;
};

struct net_port {
	struct net_transport *transport;
};

static struct net_link *next_link;

void fake_link_next(struct net_link *link)
{
	next_link = link;
}

static void bytes_add(struct fake_bytes *b, const void *p, size_t n)
{
	if (b->cap - b->n < n) {
		b->cap = 2 * (b->n + n);
		b->p = realloc(b->p, b->cap);
		CHECK(b->p != NULL);
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void fake_link_deinit(struct net_link *link)
{
	CHECK(!link->open);
	free(link->sent.p);
	free(link->unread.p);
	*link = (struct net_link){ .open = false };
}

/* A copy of its very size, so that a read beyond it is seen; it may be written over. */
static void deliver(struct net_link *link, const void *p, size_t n)
{
	char *copy = malloc(n);

	CHECK(copy != NULL);
	memcpy(copy, p, n);
	link->events->bytes(link->conn, copy, n);
	memset(copy, 0xa5, n); /* who has kept a pointer reads nonsense, or is caught by ASan */
	free(copy);
}

static void deliver_unread(struct net_link *link)
{
	while (link->open && !link->paused && link->unread.n > 0) {
		size_t n = link->unread.n < FAKE_READ_MAX ? link->unread.n : FAKE_READ_MAX;

		deliver(link, link->unread.p, n);
		link->unread.n -= n;
		memmove(link->unread.p, link->unread.p + n, link->unread.n);
	}
}

void fake_link_receive(struct net_link *link, const uint8_t *p, size_t n)
{
	deliver_unread(link);
	if (!link->open || n == 0)
		return;
	if (link->paused)
		bytes_add(&link->unread, p, n);
	else
		deliver(link, p, n);
}

void fake_link_writable(struct net_link *link)
{
	if (!link->open || !link->pending)
		return;
	link->pending = false;
	link->events->writable(link->conn);
}

void fake_link_peer_closes(struct net_link *link)
{
	if (!link->open)
		return;
	link->open = false;
	link->events->closed(link->conn);
}

ev_err net_transport_new(struct net_loop *loop, const struct net_transport_events *events,
			 struct net_transport **out, struct ev_fail *fail)
{
	struct net_transport *t = calloc(1, sizeof(*t));

	(void)loop;
	(void)fail;
	CHECK(t != NULL);
	t->events = events;
	*out = t;
	return EV_OK;
}

void net_transport_free(struct net_transport *t)
{
	if (t != NULL)
		free(t->port);
	free(t);
}

ev_err net_port_new(struct net_transport *t, const struct net_tls_files *tls, struct net_port **out,
		    struct ev_fail *fail)
{
	struct net_port *port = calloc(1, sizeof(*port));

	(void)fail;
	CHECK(port != NULL && tls == NULL && t->port == NULL);
	port->transport = t;
	t->port = port;
	*out = port;
	return EV_OK;
}

ev_err net_port_reload_tls(struct net_port *port, struct ev_fail *fail)
{
	(void)port;
	(void)fail;
	return EV_OK;
}

ev_err net_link_new(struct net_port *port, int fd, void *conn, struct net_link **out)
{
	struct net_link *link = next_link;

	(void)fd;
	CHECK(link != NULL && !link->open);
	next_link = NULL;
	link->events = port->transport->events;
	link->conn = conn;
	link->open = true;
	*out = link;
	return EV_OK;
}

ev_err net_link_write(struct net_link *link, const char *p, size_t n)
{
	CHECK(link->open && !link->pending && !link->ended && n > 0);
	if (link->broken)
		return EV_CLOSED;
	bytes_add(&link->sent, p, n);
	link->pending = link->hold;
	return EV_OK;
}

bool net_link_is_pending(struct net_link *link)
{
	CHECK(link->open);
	return link->pending;
}

void net_link_pause(struct net_link *link, bool paused)
{
	CHECK(link->open);
	link->paused = paused;
}

void net_link_end(struct net_link *link)
{
	CHECK(link->open && !link->ended && !link->pending);
	link->ended = true;
}

void net_link_close(struct net_link *link)
{
	CHECK(link->open);
	link->open = false;
}

bool net_link_is_ready(struct net_link *link)
{
	CHECK(link->open);
	return true;
}

ev_err net_link_peer_name(struct net_link *link, char *out, size_t cap)
{
	(void)out;
	(void)cap;
	CHECK(link->open);
	return EV_NOTFOUND;
}

void net_transport_set_log(net_library_log_fn *fn)
{
	(void)fn;
}
