/* net/conn_ws.c — WebSocket messages from frames and to frames (RFC 6455). */
#include "net/server_impl.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REASON 123

static ev_err queue_frame(struct net_conn *c, enum net_ws_opcode opcode, struct ev_str payload)
{
	char *room = conn_out_room(c, NET_WS_MAX_HEADER + payload.n);

	if (room == NULL) {
		conn_kill(c);
		return EV_NOMEM;
	}
	size_t head = net_ws_header((uint8_t *)room, opcode, payload.n);

	if (payload.n > 0)
		memcpy(room + head, payload.p, payload.n);
	conn_out_add(c, head + payload.n);
	return EV_OK;
}

static void queue_close(struct net_conn *c, unsigned code, const char *reason)
{
	char payload[2 + MAX_REASON] = { (char)(code >> 8), (char)(code & 0xffU) };
	size_t n = reason != NULL ? strnlen(reason, MAX_REASON) : 0;

	if (n > 0)
		memcpy(payload + 2, reason, n);
	while (!ev_utf8_valid(payload + 2, n)) /* it may have been cut inside a character */
		n--;
	/* Without memory the connection is killed, which closes it as well. */
	(void)queue_frame(c, NET_WS_CLOSE, (struct ev_str){ payload, 2 + n });
}

void ws_fail(struct net_conn *c, unsigned code, enum net_stat stat)
{
	stat_add(c, stat, 1);
	if (c->state == CONN_WS) {
		c->close_code = (uint16_t)code;
		queue_close(c, code, NULL);
	}
	if (c->state != CONN_DEAD)
		conn_set_state(c, CONN_FLUSH);
	conn_touch(c);
}

void ws_close(struct net_conn *c, unsigned code, const char *reason)
{
	c->close_code = (uint16_t)code;
	queue_close(c, code, reason);
	if (c->state == CONN_WS)
		conn_set_state(c, CONN_WS_CLOSING);
	conn_pause(c, PAUSE_APP, false); /* the peer's close frame must be seen */
}

void ws_free(struct net_conn *c)
{
	free(c->u.ws.message);
	c->u.ws.message = NULL;
	c->u.ws.len = 0;
}

void ws_ping(struct net_conn *c)
{
	c->u.ws.ping_ms = now_of(c);
	(void)queue_frame(c, NET_WS_PING, EV_LIT("")); /* kills the connection if it fails */
}

static void on_close(struct net_conn *c, struct ev_str payload)
{
	unsigned code = 1005; /* "no status" (RFC 6455, 7.4.1) */

	if (payload.n >= 2)
		code = (unsigned)(uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1];
	if (payload.n == 1 || (payload.n >= 2 && !net_ws_close_code_ok(code))) {
		ws_fail(c, 1002, STAT_WS_PROTOCOL);
		return;
	}
	if (payload.n > 2 && !ev_utf8_valid(payload.p + 2, payload.n - 2)) {
		ws_fail(c, 1007, STAT_WS_BAD_UTF8);
		return;
	}
	if (c->state == CONN_WS) {
		c->close_code = (uint16_t)code;
		(void)queue_frame(c, NET_WS_CLOSE,
				  (struct ev_str){ payload.p, payload.n < 2 ? 0 : 2 });
	}
	if (c->state != CONN_DEAD)
		conn_set_state(c, CONN_FLUSH);
	conn_touch(c);
}

static void on_ping(struct net_conn *c, struct ev_str payload)
{
	/* Whoever sends pings and reads no pongs gets none beyond the queue's limit. */
	if (c->out_bytes + payload.n > limits_of(c)->max_out_bytes)
		stat_add(c, STAT_QUEUE_FULL, 1);
	else
		(void)queue_frame(c, NET_WS_PONG, payload); /* kills the connection if it fails */
}

static void deliver(struct net_conn *c, unsigned opcode, struct ev_str message)
{
	const struct net_listener *l = c->listener;

	if (opcode == NET_WS_TEXT && !ev_utf8_valid(message.p, message.n)) {
		ws_fail(c, 1007, STAT_WS_BAD_UTF8);
		return;
	}
	stat_add(c, STAT_MESSAGES_IN, 1);
	c->u.ws.message_ms = now_of(c);
	l->handlers->on_ws_message(l->user, net_handle_of(c), c->user,
				   opcode == NET_WS_TEXT ? NET_WS_KIND_TEXT : NET_WS_KIND_BINARY,
				   message);
}

/* Adds a fragment; the caller has checked the sum against the limit. */
static bool collect(struct net_conn *c, struct ev_str part)
{
	struct conn_ws *ws = &c->u.ws;
	char *p = realloc(ws->message, ws->len + part.n + 1);

	if (p == NULL) {
		conn_kill(c);
		return false;
	}
	ws->message = p;
	if (part.n > 0)
		memcpy(p + ws->len, part.p, part.n);
	ws->len += (uint32_t)part.n;
	return true;
}

static void on_data(struct net_conn *c, const struct net_ws_frame *f)
{
	struct conn_ws *ws = &c->u.ws;
	bool continues = f->opcode == NET_WS_CONTINUATION;

	if (continues != (ws->opcode != NET_WS_CONTINUATION)) {
		ws_fail(c, 1002, STAT_WS_PROTOCOL);
		return;
	}
	if (!continues && f->fin) {
		deliver(c, f->opcode, f->payload);
		return;
	}
	if (!continues)
		ws->opcode = (uint8_t)f->opcode;
	if (!collect(c, f->payload) || !f->fin)
		return;
	/* The message is the connection's no more: the handler may let it end. */
	char *message = ws->message;
	struct ev_str whole = { message, ws->len };
	unsigned opcode = ws->opcode;

	*ws = (struct conn_ws){ .message_ms = ws->message_ms, .ping_ms = ws->ping_ms };
	deliver(c, opcode, whole);
	free(message);
}

static void on_frame(struct net_conn *c, const struct net_ws_frame *f)
{
	switch (f->opcode) {
	case NET_WS_CONTINUATION:
	case NET_WS_TEXT:
	case NET_WS_BINARY:
		if (c->state == CONN_WS) /* after our close frame nothing is of interest */
			on_data(c, f);
		break;
	case NET_WS_CLOSE:
		on_close(c, f->payload);
		break;
	case NET_WS_PING:
		if (c->state == CONN_WS)
			on_ping(c, f->payload);
		break;
	case NET_WS_PONG:
		break; /* every byte counts as life */
	}
}

size_t ws_input(struct net_conn *c, char *p, size_t n)
{
	size_t max = limits_of(c)->max_message_bytes - c->u.ws.len;
	struct net_ws_frame frame;

	switch (net_ws_decode(p, n, max, &frame)) {
	case NET_WS_FRAME:
		on_frame(c, &frame);
		return frame.size;
	case NET_WS_MORE:
		return 0;
	case NET_WS_PROTOCOL:
		ws_fail(c, 1002, STAT_WS_PROTOCOL);
		break;
	case NET_WS_TOO_BIG:
		ws_fail(c, 1009, STAT_WS_TOO_BIG);
		break;
	}
	return n;
}

ev_err net_ws_send(struct net_server *s, struct net_handle ws, enum net_ws_kind kind,
		   struct ev_str bytes)
{
	struct net_conn *c = net_conn_of(s, ws);

	if (c == NULL || c->state != CONN_WS)
		return EV_CLOSED;
	if (c->out_bytes + bytes.n > limits_of(c)->max_out_bytes) {
		stat_add(c, STAT_QUEUE_FULL, 1);
		c->wants_room = true;
		return EV_FULL;
	}
	stat_add(c, STAT_MESSAGES_OUT, 1);
	return queue_frame(c, kind == NET_WS_KIND_TEXT ? NET_WS_TEXT : NET_WS_BINARY, bytes);
}

ev_err net_ws_close(struct net_server *s, struct net_handle ws, unsigned code, const char *reason)
{
	struct net_conn *c = net_conn_of(s, ws);

	if (c == NULL || c->state != CONN_WS)
		return EV_CLOSED;
	ws_close(c, code, reason);
	return EV_OK;
}

ev_err net_ws_pause_reading(struct net_server *s, struct net_handle ws, bool paused)
{
	struct net_conn *c = net_conn_of(s, ws);

	if (c == NULL || c->state != CONN_WS)
		return EV_CLOSED;
	conn_pause(c, PAUSE_APP, paused);
	if (!paused) {
		c->rx_ms = now_of(c);
		c->u.ws.message_ms = c->rx_ms;
		c->u.ws.ping_ms = 0;
	}
	conn_touch(c);
	return EV_OK;
}
