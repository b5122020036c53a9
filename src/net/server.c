/* net/server.c — listeners, accepting, handles, draining. */
#include "net/server_impl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

#define BACKLOG 4096
#define ACCEPTS_PER_TURN 64
#define ACCEPT_RETRY_MS 100
#define NO_SLOT UINT32_MAX

/* --- handles --- */

struct net_handle net_handle_of(const struct net_conn *c)
{
	return (struct net_handle){ c->slot, c->listener->server->slots[c->slot].generation };
}

static struct net_conn *slot_conn(const struct net_server *s, struct net_handle h)
{
	if (h.generation == 0 || h.slot >= s->n_slots ||
	    s->slots[h.slot].generation != h.generation)
		return NULL;
	struct net_conn *c = s->slots[h.slot].conn;

	return c != NULL && c->has_user ? c : NULL;
}

struct net_conn *net_conn_of(const struct net_server *s, struct net_handle h)
{
	struct net_conn *c = slot_conn(s, h);

	return c != NULL && c->state != CONN_DEAD ? c : NULL;
}

static void next_generation(struct net_slot *slot)
{
	slot->generation++;
	if (slot->generation == 0)
		slot->generation = 1;
}

void net_handle_retire(struct net_conn *c)
{
	next_generation(&c->listener->server->slots[c->slot]);
}

static ev_err grow_slots(struct net_server *s)
{
	uint32_t n = s->n_slots == 0 ? 64 : s->n_slots * 2;
	struct net_slot *slots = n > s->n_slots ? realloc(s->slots, n * sizeof(*slots)) : NULL;

	if (slots == NULL)
		return EV_NOMEM;
	for (uint32_t i = n; i > s->n_slots; i--) {
		slots[i - 1] = (struct net_slot){ .generation = 1, .next_free = s->free_slot };
		s->free_slot = i - 1;
	}
	s->slots = slots;
	s->n_slots = n;
	return EV_OK;
}

ev_err net_slot_take(struct net_server *s, struct net_conn *c)
{
	if (s->free_slot == NO_SLOT && grow_slots(s) != EV_OK)
		return EV_NOMEM;
	c->slot = s->free_slot;
	s->free_slot = s->slots[c->slot].next_free;
	s->slots[c->slot].conn = c;
	return EV_OK;
}

void net_slot_free(struct net_server *s, struct net_conn *c)
{
	struct net_slot *slot = &s->slots[c->slot];

	slot->conn = NULL;
	next_generation(slot);
	slot->next_free = s->free_slot;
	s->free_slot = c->slot;
}

ev_err net_set_user(struct net_server *s, struct net_handle h, void *conn_user)
{
	struct net_conn *c = net_conn_of(s, h);

	if (c == NULL)
		return EV_CLOSED;
	c->user = conn_user;
	return EV_OK;
}

void *net_user(const struct net_server *s, struct net_handle h)
{
	const struct net_conn *c = slot_conn(s, h);

	return c != NULL ? c->user : NULL;
}

bool net_is_open(const struct net_server *s, struct net_handle h)
{
	return net_conn_of(s, h) != NULL;
}

size_t net_queued(const struct net_server *s, struct net_handle h)
{
	const struct net_conn *c = net_conn_of(s, h);

	return c != NULL ? c->out_bytes : 0;
}

ev_err net_client_name(const struct net_server *s, struct net_handle h, char *out, size_t cap)
{
	const struct net_conn *c = net_conn_of(s, h);

	if (c == NULL || c->link == NULL)
		return EV_CLOSED;
	return net_link_peer_name(c->link, out, cap);
}

/* --- peers --- */

static void peer_from(const struct sockaddr_storage *a, struct net_peer *out)
{
	*out = (struct net_peer){ .port = 0 };
	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)a;

		memcpy(out->address, &in6->sin6_addr, 16);
		out->port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const void *)a;

		out->address[10] = 0xff;
		out->address[11] = 0xff;
		memcpy(out->address + 12, &in->sin_addr, 4);
		out->port = ntohs(in->sin_port);
	}
}

void net_peer_text(const struct net_peer *peer, char out[NET_PEER_TEXT])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_v4 = memcmp(peer->address, mapped, sizeof(mapped)) == 0;
	char address[INET6_ADDRSTRLEN];
	struct ev_buf b = ev_buf_over(out, NET_PEER_TEXT - 1);

	if (inet_ntop(is_v4 ? AF_INET : AF_INET6, peer->address + (is_v4 ? 12 : 0), address,
		      sizeof(address)) == NULL)
		address[0] = '\0'; /* the buffer is large enough, so it does not happen */
	ev_buf_z(&b, is_v4 ? "" : "[");
	ev_buf_z(&b, address);
	ev_buf_z(&b, is_v4 ? ":" : "]:");
	ev_buf_u64(&b, peer->port);
	out[b.len] = '\0';
}

void net_listener_forget(struct net_listener *l, const struct net_peer *peer)
{
	net_quota_give(l->quota, peer->address, l->limits.max_connections_per_address != 0);
}

/* --- accepting --- */

static void refuse(struct net_listener *l, int fd, enum net_stat why)
{
	static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
				     "Retry-After: 5\r\nConnection: close\r\n\r\n";

	ev_counter_inc(&l->stats.counters[why]);
	if (!l->tls) /* a courtesy that costs one call; the peer may be gone */
		(void)send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)close(fd);
}

static const enum net_stat refusals[] = {
	[NET_QUOTA_ALL] = STAT_REFUSED_MAX,
	[NET_QUOTA_ADDRESS] = STAT_REFUSED_ADDRESS,
	[NET_QUOTA_NOMEM] = STAT_REFUSED_RESOURCES,
};

static void admit(struct net_listener *l, int fd, const struct net_peer *peer)
{
	int one = 1;

	enum net_quota_answer answer = net_quota_take(l->quota, peer->address,
						      l->limits.max_connections,
						      l->limits.max_connections_per_address);

	if (answer != NET_QUOTA_TAKEN) {
		refuse(l, fd, refusals[answer]);
		return;
	}
	/* Without it answers are later, not wrong. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (conn_new(l, fd, peer) != EV_OK) {
		ev_counter_inc(&l->stats.counters[STAT_REFUSED_RESOURCES]);
		net_listener_forget(l, peer);
	}
}

static bool is_passing(int error)
{
	/* The errors of the connection that was to be accepted (accept(2)). */
	return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM ||
	       error == ENETDOWN || error == EHOSTDOWN || error == EHOSTUNREACH ||
	       error == ENETUNREACH || error == ENOPROTOOPT || error == EOPNOTSUPP;
}

static void on_acceptable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct net_listener *l = w->data;

	(void)revents;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage address = { 0 };
		socklen_t len = sizeof(address);
		struct net_peer peer;
		int fd = accept4(l->fd, (struct sockaddr *)&address, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			peer_from(&address, &peer);
			admit(l, fd, &peer);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (is_passing(errno))
			continue;
		/* Out of descriptors or memory: level-triggered, it would call us for ever. */
		ev_counter_inc(&l->stats.counters[STAT_REFUSED_RESOURCES]);
		ev_io_stop(ev, w);
		net_timer_arm(l->server->loop, &l->retry, ACCEPT_RETRY_MS);
		return;
	}
}

static void on_retry(void *user)
{
	struct net_listener *l = user;

	if (l->fd >= 0)
		ev_io_start(net_loop_ev(l->server->loop), &l->watcher);
}

/* --- listening --- */

void net_listener_config_init(struct net_listener_config *c)
{
	*c = (struct net_listener_config){
		.address = "127.0.0.1",
		.fd = -1,
		.limits = {
			.max_connections = 10000,
			.max_header_bytes = 8192,
			.max_body_bytes = 102400,
			.max_message_bytes = 65536,
			.max_out_bytes = 262144,
			.header_timeout_ms = 10000,
			.body_timeout_ms = 30000,
			.keepalive_timeout_ms = 60000,
			.write_timeout_ms = 30000,
			.ping_interval_ms = 30000,
			.pong_timeout_ms = 20000,
		},
	};
}

static bool make_address(const struct net_listener_config *c, struct sockaddr_storage *out,
			 socklen_t *out_len)
{
	struct sockaddr_in *in = (void *)out;
	struct sockaddr_in6 *in6 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, c->address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(c->port);
		*out_len = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, c->address, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(c->port);
		*out_len = sizeof(*in6);
		return true;
	}
	return false;
}

static ev_err fail_sys(struct ev_fail *fail, const struct net_listener_config *c, const char *what)
{
	int error = errno;
	ev_err e = EV_IO;

	if (error == EADDRINUSE)
		e = EV_EXISTS;
	else if (error == EACCES || error == EPERM)
		e = EV_DENIED;
	else if (error == EADDRNOTAVAIL)
		e = EV_INVALID;
	return ev_fail_set(fail, e, error, "%s %s port %u: %s", what, c->address, (unsigned)c->port,
			   strerror(error));
}

/*
 * Accepted sockets inherit it. A peer that does not read would else fill megabytes of the kernel.
 */
static bool set_send_buffer(int fd, uint32_t bytes)
{
	int n = (int)bytes;

	return bytes == 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n)) == 0;
}

/*
 * Before bind it joins whoever else has it set; after bind the address was free, and it only lets
 * others join.
 */
static bool set_reuse_port(int fd)
{
	int one = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0;
}

static ev_err bind_socket(const struct net_listener_config *c, int *out_fd, struct ev_fail *fail)
{
	struct sockaddr_storage address;
	socklen_t len;
	int one = 1;

	if (!make_address(c, &address, &len))
		return ev_fail_set(fail, EV_INVALID, 0, "%s is no numeric address", c->address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail_sys(fail, c, "socket for");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    (c->share == NET_SHARE_JOIN && !set_reuse_port(fd)) ||
	    !set_send_buffer(fd, c->limits.send_buffer_bytes) ||
	    bind(fd, (struct sockaddr *)&address, len) != 0 ||
	    (c->share == NET_SHARE_FIRST && !set_reuse_port(fd))) {
		ev_err e = fail_sys(fail, c, "cannot bind");

		(void)close(fd);
		return e;
	}
	*out_fd = fd;
	return EV_OK;
}

static ev_err open_socket(struct net_listener *l, const struct net_listener_config *c,
			  struct ev_fail *fail)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);
	struct net_peer bound;

	l->fd = c->fd;
	if (l->fd < 0) {
		ev_err e = bind_socket(c, &l->fd, fail);

		if (e != EV_OK)
			return e;
	}
	if (listen(l->fd, BACKLOG) != 0 ||
	    getsockname(l->fd, (struct sockaddr *)&address, &len) != 0)
		return fail_sys(fail, c, "cannot listen on");
	peer_from(&address, &bound);
	l->tcp_port = bound.port;
	return EV_OK;
}

static void set_name(struct net_listener *l, const struct net_listener_config *c)
{
	struct ev_buf b = ev_buf_over(l->name, sizeof(l->name) - 1);

	if (c->name != NULL) {
		ev_buf_bytes(&b, c->name, strnlen(c->name, sizeof(l->name) - 1));
	} else {
		ev_buf_z(&b, "port-");
		ev_buf_u64(&b, l->tcp_port);
	}
	l->name[b.len] = '\0';
}

static void close_listener(struct net_listener *l)
{
	if (l->fd < 0)
		return;
	ev_io_stop(net_loop_ev(l->server->loop), &l->watcher);
	net_timer_cancel(l->server->loop, &l->retry);
	(void)close(l->fd);
	l->fd = -1;
}

static void listener_free(struct net_listener *l)
{
	close_listener(l);
	net_stats_remove(&l->stats, l->server->metrics);
	net_quota_free(l->own_quota);
	free(l);
}

static ev_err set_up(struct net_listener *l, const struct net_listener_config *c,
		     struct ev_fail *fail)
{
	struct net_tls_files tls = { c->tls_cert, c->tls_key, c->tls_client_ca,
				     c->tls_client_required };
	ev_err e = EV_OK;

	l->tls = c->tls_cert != NULL;
	if (c->quota == NULL)
		e = net_quota_new(&l->own_quota);
	l->quota = c->quota != NULL ? c->quota : l->own_quota;
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "listener");
	e = open_socket(l, c, fail);
	if (e != EV_OK)
		return e;
	set_name(l, c);
	return net_port_new(l->server->transport, l->tls ? &tls : NULL, &l->port, fail);
}

ev_err net_server_listen(struct net_server *s, const struct net_listener_config *c,
			 struct net_listener **out, struct ev_fail *fail)
{
	struct net_listener *l = calloc(1, sizeof(*l));

	assert(c->handlers != NULL && c->handlers->on_request != NULL);
	assert(c->handlers->on_ws_request == NULL ||
	       (c->handlers->on_ws_message != NULL && c->handlers->on_ws_close != NULL));
	if (l == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "listener");
	l->server = s;
	l->handlers = c->handlers;
	l->user = c->user;
	l->limits = c->limits;
	net_timer_init(&l->retry, on_retry, l);
	ev_io_init(&l->watcher, on_acceptable, -1, EV_READ);
	ev_err e = set_up(l, c, fail);

	if (e != EV_OK) {
		listener_free(l);
		return e;
	}
	net_stats_add(&l->stats, s->metrics, l->name);
	ev_io_init(&l->watcher, on_acceptable, l->fd, EV_READ);
	l->watcher.data = l;
	ev_io_start(net_loop_ev(s->loop), &l->watcher);
	l->next = s->listeners;
	s->listeners = l;
	*out = l;
	return EV_OK;
}

uint16_t net_listener_port(const struct net_listener *l)
{
	return l->tcp_port;
}

const char *net_listener_name(const struct net_listener *l)
{
	return l->name;
}

void net_listener_set_max_per_address(struct net_listener *l, uint32_t max)
{
	assert(l->limits.max_connections_per_address > 0 && max > 0);
	l->limits.max_connections_per_address = max;
}

/* --- draining --- */

static void on_drain_deadline(void *user)
{
	struct net_server *s = user;

	for (uint32_t i = 0; i < s->n_slots; i++) {
		if (s->slots[i].conn != NULL)
			conn_kill(s->slots[i].conn);
	}
}

static void drain_conn(struct net_conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_HEAD:
		if (c->in_len == 0) {
			conn_set_state(c, CONN_FLUSH);
			conn_touch(c);
		}
		break;
	case CONN_STREAM:
		http_cut_stream(c);
		break;
	case CONN_WS:
		ws_close(c, 1001, "going away");
		break;
	case CONN_BODY:
	case CONN_CHUNKS:
	case CONN_WAIT:
	case CONN_WS_CLOSING:
	case CONN_FLUSH:
	case CONN_LINGER:
	case CONN_DEAD:
		break;
	}
}

static void drain_all(struct net_server *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		if (s->slots[i].conn != NULL)
			drain_conn(s->slots[i].conn);
	}
}

/* --- the server --- */

static void on_turn_end(void *user)
{
	struct net_server *s = user;

	if (s->drain_begins) {
		s->drain_begins = false;
		drain_all(s);
	}
	/* Handlers that are called from here may touch others, which are then seen to as well. */
	while (s->dirty != NULL) {
		struct net_conn *c = s->dirty;

		s->dirty = c->dirty_next;
		c->dirty = false;
		conn_settle(c);
	}
	if (s->draining && s->n_conns == 0 && s->drained != NULL) {
		net_fn *drained = s->drained;

		s->drained = NULL;
		net_timer_cancel(s->loop, &s->drain_timer);
		drained(s->drained_user);
	}
}

ev_err net_server_new(struct net_loop *loop, struct ev_metrics *metrics, struct net_server **out,
		      struct ev_fail *fail)
{
	struct net_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "server");
	s->loop = loop;
	s->metrics = metrics;
	s->free_slot = NO_SLOT;
	ev_err e = net_transport_new(loop, &conn_events, &s->transport, fail);

	if (e != EV_OK) {
		free(s);
		return e;
	}
	s->hook = (struct net_hook){ .fn = on_turn_end, .user = s };
	net_loop_add_hook(loop, &s->hook);
	*out = s;
	return EV_OK;
}

static void reap_all(struct net_server *s)
{
	/* None may put itself into the list again while it goes. */
	for (uint32_t i = 0; i < s->n_slots; i++) {
		if (s->slots[i].conn != NULL)
			s->slots[i].conn->dirty = true;
	}
	s->dirty = NULL;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		if (s->slots[i].conn != NULL)
			conn_reap(s->slots[i].conn);
	}
}

void net_server_free(struct net_server *s)
{
	if (s == NULL)
		return;
	for (struct net_listener *l = s->listeners; l != NULL; l = l->next)
		close_listener(l);
	reap_all(s);
	if (s->draining)
		net_timer_cancel(s->loop, &s->drain_timer);
	net_loop_remove_hook(s->loop, &s->hook);
	net_transport_free(s->transport);
	while (s->listeners != NULL) {
		struct net_listener *l = s->listeners;

		s->listeners = l->next;
		listener_free(l);
	}
	free(s->slots);
	free(s);
}

void net_server_freep(struct net_server **s)
{
	net_server_free(*s);
	*s = NULL;
}

ev_err net_server_reload_tls(struct net_server *s, struct ev_fail *fail)
{
	ev_err result = EV_OK;

	for (struct net_listener *l = s->listeners; l != NULL; l = l->next) {
		ev_err e = net_port_reload_tls(l->port, fail);

		if (e != EV_OK)
			result = e; /* the others are still reloaded */
	}
	return result;
}

size_t net_server_connections(const struct net_server *s)
{
	return s->n_conns;
}

void net_server_drain(struct net_server *s, int64_t deadline_ms, net_fn *done, void *user)
{
	assert(!s->draining);
	s->draining = true;
	s->drained = done;
	s->drained_user = user;
	for (struct net_listener *l = s->listeners; l != NULL; l = l->next)
		close_listener(l);
	net_timer_init(&s->drain_timer, on_drain_deadline, s);
	net_timer_arm(s->loop, &s->drain_timer, deadline_ms);
	s->drain_begins = true; /* at the end of the turn: handlers are called */
	net_loop_rerun_hooks(s->loop);
}

void net_set_library_log(void (*fn)(bool is_error, const char *line))
{
	net_transport_set_log(fn);
}
