/* net/conn.c — a connection: what came in, what goes out, its one timer, its end. */
#include "net/server_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINGER_MS 1000 /* for the peer to read our last bytes and end its side (RFC 9112, 9.6) */
#define LINGER_BYTES (4U * 1024 * 1024)
#define CLOSE_MS 1000           /* for the peer's close frame */
#define KEEP_BYTES (16U * 1024) /* input kept for later before reading is paused */
#define WRITE_BYTES (16U * 1024)
#define SMALL_CHUNK (1024 - sizeof(struct conn_out)) /* the allocator has these at hand */

/* --- state --- */

void conn_set_state(struct net_conn *c, enum conn_state state)
{
	c->state = (uint8_t)state;
	c->phase_ms = now_of(c);
}

void conn_touch(struct net_conn *c)
{
	struct net_server *s = c->listener->server;

	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = s->dirty;
	s->dirty = c;
	net_loop_rerun_hooks(s->loop);
}

void conn_kill(struct net_conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	conn_set_state(c, CONN_DEAD);
	conn_touch(c);
}

static bool takes_input(const struct net_conn *c)
{
	if ((c->pause & PAUSE_APP) != 0)
		return false;
	return c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_CHUNKS ||
	       c->state == CONN_WS || c->state == CONN_WS_CLOSING;
}

/* Nothing that comes is of use any more. */
static bool is_ending(const struct net_conn *c)
{
	return c->state == CONN_FLUSH || c->state == CONN_LINGER || c->state == CONN_DEAD;
}

void conn_pause(struct net_conn *c, enum conn_pause why, bool on)
{
	unsigned pause = on ? c->pause | (unsigned)why : c->pause & ~(unsigned)why;

	c->pause = (uint8_t)pause;
	if (c->link == NULL || c->paused == (pause != 0))
		return;
	c->paused = pause != 0;
	net_link_pause(c->link, c->paused);
}

/* --- output --- */

char *conn_out_room(struct net_conn *c, size_t n)
{
	struct conn_out *last = c->out_last;

	if (last != NULL && last->cap - last->len >= n)
		return last->data + last->len;
	size_t cap = n > SMALL_CHUNK ? n : SMALL_CHUNK;

	if (cap > UINT32_MAX / 2)
		return NULL;
	struct conn_out *o = malloc(sizeof(*o) + cap);

	if (o == NULL)
		return NULL;
	*o = (struct conn_out){ .cap = (uint32_t)cap };
	if (last != NULL)
		last->next = o;
	else
		c->out = o;
	c->out_last = o;
	return o->data;
}

void conn_out_add(struct net_conn *c, size_t n)
{
	if (c->out_bytes == 0 && (c->pause & PAUSE_OUT) == 0)
		c->progress_ms = now_of(c);
	c->out_last->len += (uint32_t)n;
	c->out_bytes += n;
	conn_touch(c);
}

static void out_drop_first(struct net_conn *c)
{
	struct conn_out *o = c->out;

	c->out = o->next;
	if (c->out == NULL)
		c->out_last = NULL;
	free(o);
}

static void out_drop_all(struct net_conn *c)
{
	while (c->out != NULL)
		out_drop_first(c);
	c->out_bytes = 0;
}

/* All is sent: what was waiting for that can go on. */
static void flushed(struct net_conn *c)
{
	if (c->state != CONN_FLUSH)
		return;
	net_link_end(c->link);
	conn_pause(c, PAUSE_APP, false); /* to see the peer's end */
	conn_pause(c, PAUSE_IN, false);
	conn_set_state(c, CONN_LINGER);
}

static void tell_room(struct net_conn *c)
{
	const struct net_listener *l = c->listener;

	if (!c->wants_room || is_ending(c) || c->out_bytes > limits_of(c)->max_out_bytes / 2)
		return;
	c->wants_room = false;
	if (l->handlers->on_room != NULL)
		l->handlers->on_room(l->user, net_handle_of(c), c->user);
}

static void flush(struct net_conn *c)
{
	if (c->link == NULL || c->state == CONN_DEAD || (c->pause & PAUSE_OUT) != 0)
		return;
	while (c->out != NULL) {
		struct conn_out *o = c->out;
		size_t n = o->len - o->sent < WRITE_BYTES ? o->len - o->sent : WRITE_BYTES;

		if (n > 0 && net_link_write(c->link, o->data + o->sent, n) != EV_OK) {
			conn_kill(c);
			return;
		}
		o->sent += (uint32_t)n;
		c->out_bytes -= n;
		c->progress_ms = now_of(c);
		stat_add(c, STAT_BYTES_OUT, n);
		if (o->sent == o->len)
			out_drop_first(c);
		if (net_link_is_pending(c->link)) {
			conn_pause(c, PAUSE_OUT, true);
			break;
		}
	}
	if (c->out == NULL && (c->pause & PAUSE_OUT) == 0)
		flushed(c);
	tell_room(c);
}

/* --- input --- */

ev_err conn_in_reserve(struct net_conn *c, size_t n)
{
	size_t cap = c->in_cap > 0 ? c->in_cap : 512;

	if (n <= c->in_cap)
		return EV_OK;
	while (cap < n)
		cap *= 2;
	char *p = cap <= UINT32_MAX / 2 ? realloc(c->in, cap) : NULL;

	if (p == NULL)
		return EV_NOMEM;
	c->in = p;
	c->in_cap = (uint32_t)cap;
	return EV_OK;
}

static void in_free(struct net_conn *c)
{
	free(c->in);
	c->in = NULL;
	c->in_len = 0;
	c->in_cap = 0;
}

static void keep(struct net_conn *c, const char *p, size_t n)
{
	if (is_ending(c) || n == 0)
		return;
	if (conn_in_reserve(c, c->in_len + n) != EV_OK) {
		conn_kill(c);
		return;
	}
	memcpy(c->in + c->in_len, p, n);
	c->in_len += (uint32_t)n;
	if (!takes_input(c) && c->in_len >= KEEP_BYTES)
		conn_pause(c, PAUSE_IN, true);
}

static size_t parse(struct net_conn *c, char *p, size_t n)
{
	return c->state == CONN_WS || c->state == CONN_WS_CLOSING ? ws_input(c, p, n)
								  : http_input(c, p, n);
}

/* Bytes that are not kept; as far as they can be used, they are used where they are. */
static void input(struct net_conn *c, char *p, size_t n)
{
	while (n > 0 && takes_input(c)) {
		size_t used;

		if (c->state == CONN_CHUNKS) {
			used = http_chunks(c, p, n);
		} else if (c->in_len > 0) {
			break;
		} else {
			used = parse(c, p, n);
			if (used == 0 && c->state != CONN_CHUNKS)
				break;
			if (used == 0) {
				used = c->u.http.head_size;
				keep(c, p, used);
			}
		}
		p += used;
		n -= used;
	}
	keep(c, p, n);
}

/* A chunked body begins inside what is kept: only its head stays there. */
static void input_chunks_kept(struct net_conn *c, size_t at)
{
	size_t head = c->u.http.head_size;
	size_t n = c->in_len - at - head;
	char *rest = n > 0 ? malloc(n) : NULL;

	if (n > 0 && rest == NULL) {
		conn_kill(c);
		return;
	}
	if (n > 0)
		memcpy(rest, c->in + at + head, n);
	memmove(c->in, c->in + at, head);
	c->in_len = (uint32_t)head;
	input(c, rest, n);
	free(rest);
}

static void input_kept(struct net_conn *c)
{
	size_t at = 0;

	while (at < c->in_len && takes_input(c) && c->state != CONN_CHUNKS) {
		size_t used = parse(c, c->in + at, c->in_len - at);

		if (c->state == CONN_CHUNKS) {
			input_chunks_kept(c, at);
			return;
		}
		if (used == 0)
			break;
		at += used;
	}
	if (is_ending(c) || at == c->in_len) {
		in_free(c);
	} else if (at > 0) {
		c->in_len -= (uint32_t)at;
		memmove(c->in, c->in + at, c->in_len);
	}
	if (c->in_len < KEEP_BYTES || takes_input(c))
		conn_pause(c, PAUSE_IN, false);
}

static void linger(struct net_conn *c, size_t n)
{
	c->lingered += (uint32_t)n;
	if (c->lingered > LINGER_BYTES)
		conn_kill(c);
}

static void arm(struct net_conn *c);

static void on_bytes(void *conn, char *p, size_t n)
{
	struct net_conn *c = conn;

	c->rx_ms = now_of(c);
	stat_add(c, STAT_BYTES_IN, n);
	if (is_ending(c)) {
		linger(c, n);
		return;
	}
	bool had_kept = c->in_len > 0 && c->state != CONN_CHUNKS;

	if (c->is_ws)
		c->u.ws.ping_ms = 0; /* anything shows that the peer lives */
	input(c, p, n);
	if (had_kept)
		input_kept(c);
	flush(c);
	arm(c);
}

static void on_writable(void *conn)
{
	struct net_conn *c = conn;

	if (c->state == CONN_DEAD || (c->pause & PAUSE_OUT) == 0)
		return;
	c->progress_ms = now_of(c);
	conn_pause(c, PAUSE_OUT, false);
	flush(c);
	arm(c);
}

static void on_closed(void *conn)
{
	struct net_conn *c = conn;

	c->link = NULL;
	conn_kill(c);
	conn_touch(c); /* also when it was dead before */
}

const struct net_transport_events conn_events = {
	.bytes = on_bytes,
	.writable = on_writable,
	.closed = on_closed,
};

/* --- time --- */

static int64_t sooner(int64_t deadline, int64_t from, uint32_t ms)
{
	if (ms == 0 || from + ms > deadline)
		return deadline;
	return from + ms;
}

static bool is_waiting_to_send(const struct net_conn *c)
{
	return c->out_bytes > 0 || (c->pause & PAUSE_OUT) != 0;
}

static int64_t ws_deadline(const struct net_conn *c, int64_t d)
{
	const struct net_limits *lim = limits_of(c);

	if ((c->pause & PAUSE_APP) != 0)
		return d;
	if (c->u.ws.ping_ms != 0)
		d = sooner(d, c->u.ws.ping_ms, lim->pong_timeout_ms);
	else
		d = sooner(d, c->rx_ms, lim->ping_interval_ms);
	return sooner(d, c->u.ws.message_ms, lim->ws_idle_timeout_ms);
}

/* When the connection must be looked at even if nothing happens; INT64_MAX: never. */
static int64_t deadline(const struct net_conn *c)
{
	const struct net_limits *lim = limits_of(c);
	int64_t d = INT64_MAX;

	if (is_waiting_to_send(c))
		d = sooner(d, c->progress_ms, lim->write_timeout_ms);
	switch ((enum conn_state)c->state) {
	case CONN_HEAD:
		return sooner(d, c->phase_ms,
			      c->u.http.started ? lim->header_timeout_ms
						: lim->keepalive_timeout_ms);
	case CONN_BODY:
	case CONN_CHUNKS:
		return sooner(d, c->phase_ms, lim->body_timeout_ms);
	case CONN_WS:
		return ws_deadline(c, d);
	case CONN_WS_CLOSING:
		return sooner(d, c->phase_ms, CLOSE_MS);
	case CONN_LINGER:
		return sooner(d, c->phase_ms, LINGER_MS);
	case CONN_WAIT:
	case CONN_STREAM:
	case CONN_FLUSH:
	case CONN_DEAD:
		break;
	}
	return d;
}

static void arm(struct net_conn *c)
{
	int64_t at = deadline(c);

	if (c->state == CONN_DEAD || at == INT64_MAX) {
		net_timer_cancel(loop_of(c), &c->timer);
		return;
	}
	/* A timer that is early costs one look; moving it for every message would cost more. */
	if (!net_timer_is_armed(&c->timer) || at < net_timer_due_ms(&c->timer))
		net_timer_arm(loop_of(c), &c->timer, at - now_of(c));
}

static void ws_expire(struct net_conn *c)
{
	const struct net_limits *lim = limits_of(c);
	int64_t now = now_of(c);

	if ((c->pause & PAUSE_APP) != 0)
		return;
	if (sooner(INT64_MAX, c->u.ws.message_ms, lim->ws_idle_timeout_ms) <= now) {
		ws_fail(c, 1000, STAT_WS_IDLE);
	} else if (c->u.ws.ping_ms != 0 && c->u.ws.ping_ms + lim->pong_timeout_ms <= now) {
		stat_add(c, STAT_PING_TIMEOUT, 1);
		conn_kill(c);
	} else if (c->u.ws.ping_ms == 0 &&
		   sooner(INT64_MAX, c->rx_ms, lim->ping_interval_ms) <= now) {
		ws_ping(c);
	}
}

static void expire(struct net_conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_HEAD:
		if (!c->u.http.started) {
			stat_add(c, STAT_KEEPALIVE_TIMEOUT, 1);
			conn_set_state(c, CONN_FLUSH);
			break;
		}
		stat_add(c, STAT_HEAD_TIMEOUT, 1);
		if (c->link != NULL && net_link_is_ready(c->link))
			http_refuse(c, 408);
		else
			conn_kill(c);
		break;
	case CONN_BODY:
	case CONN_CHUNKS:
		stat_add(c, STAT_BODY_TIMEOUT, 1);
		http_refuse(c, 408);
		break;
	case CONN_WS_CLOSING:
		conn_set_state(c, CONN_FLUSH);
		break;
	case CONN_LINGER:
		conn_kill(c);
		break;
	case CONN_WS:
	case CONN_WAIT:
	case CONN_STREAM:
	case CONN_FLUSH:
	case CONN_DEAD:
		break;
	}
}

static void on_timer(void *user)
{
	struct net_conn *c = user;
	int64_t now = now_of(c);

	if (c->state == CONN_WS)
		ws_expire(c);
	if (is_waiting_to_send(c) &&
	    sooner(INT64_MAX, c->progress_ms, limits_of(c)->write_timeout_ms) <= now) {
		stat_add(c, STAT_WRITE_TIMEOUT, 1);
		conn_kill(c);
	} else if (c->state != CONN_WS && deadline(c) <= now) {
		expire(c);
	}
	conn_touch(c);
}

/* --- life --- */

ev_err conn_new(struct net_listener *l, int fd, const struct net_peer *peer)
{
	struct net_server *s = l->server;
	struct net_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return EV_NOMEM;
	c->listener = l;
	c->peer = *peer;
	c->u.http.started = true; /* the first head's time begins with the connection */
	c->rx_ms = net_loop_now_ms(s->loop);
	conn_set_state(c, CONN_HEAD);
	net_timer_init(&c->timer, on_timer, c);
	ev_err e = net_slot_take(s, c);

	if (e != EV_OK) {
		free(c);
		return e;
	}
	e = net_link_new(l->port, fd, c, &c->link);
	if (e != EV_OK) {
		net_slot_free(s, c);
		free(c);
		return EV_FULL;
	}
	s->n_conns++;
	ev_counter_inc(&l->stats.counters[STAT_ACCEPTED]);
	ev_gauge_add(&l->stats.open, 1);
	arm(c);
	return EV_OK;
}

/* The handler's last word of this connection. */
static void tell_end(struct net_conn *c)
{
	const struct net_listener *l = c->listener;
	struct net_handle h = net_handle_of(c);

	if (!c->has_user)
		return;
	c->has_user = false;
	if (c->is_ws) {
		ev_gauge_add(&c->listener->stats.websockets, -1);
		l->handlers->on_ws_close(l->user, h, c->user,
					 c->close_code != 0 ? c->close_code : 1006);
	} else if (l->handlers->on_gone != NULL) {
		l->handlers->on_gone(l->user, h, c->user);
	}
}

void conn_reap(struct net_conn *c)
{
	struct net_listener *l = c->listener;
	struct net_server *s = l->server;

	c->state = CONN_DEAD;
	if (c->link != NULL)
		net_link_close(c->link);
	c->link = NULL;
	tell_end(c);
	net_timer_cancel(s->loop, &c->timer);
	if (c->is_ws)
		ws_free(c);
	else
		free(c->u.http.accept);
	out_drop_all(c);
	in_free(c);
	net_slot_free(s, c);
	s->n_conns--;
	ev_gauge_add(&l->stats.open, -1);
	net_listener_forget(l, &c->peer);
	free(c);
}

void conn_settle(struct net_conn *c)
{
	if (c->in_len > 0 && takes_input(c) && c->state != CONN_CHUNKS)
		input_kept(c);
	flush(c);
	if (c->state != CONN_DEAD)
		arm(c);
	else if (!c->dirty)
		conn_reap(c); /* if it died just now, it is in the list again: in its next turn */
}
