/* net/conn_http.c — requests from bytes, answers to bytes (RFC 9112). */
#include "net/server_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define HEAD_SPARE 256 /* status line and the headers of ours */
#define CHUNK_SPARE 24 /* size line and line ends */

/* --- requests --- */

static void queue(struct net_conn *c, struct ev_str bytes)
{
	char *room = conn_out_room(c, bytes.n);

	if (room == NULL) {
		conn_kill(c);
		return;
	}
	memcpy(room, bytes.p, bytes.n);
	conn_out_add(c, bytes.n);
}

/* RFC 6455, 4.2.1; the rest is in head->websocket. */
static int check_handshake(struct net_conn *c, const struct net_http_head *head)
{
	struct ev_str key = net_http_header(head->headers, head->n_headers, "sec-websocket-key");
	struct ev_str version = net_http_header(head->headers, head->n_headers,
						"sec-websocket-version");

	if (head->method != NET_GET || head->content_length != 0 || head->chunked)
		return 400;
	if (!ev_str_eq(version, EV_LIT("13")))
		return 426;
	c->u.http.accept = malloc(NET_WS_ACCEPT_LEN + 1);
	if (c->u.http.accept == NULL)
		return 503;
	return net_ws_accept_key(key, c->u.http.accept) == EV_OK ? 0 : 400;
}

static void dispatch(struct net_conn *c, const struct net_http_head *head, struct ev_str body)
{
	const struct net_listener *l = c->listener;
	bool websocket = head->websocket && l->handlers->on_ws_request != NULL;

	conn_set_state(c, CONN_WAIT);
	c->u.http.keep_alive = head->keep_alive;
	c->u.http.is_head = head->method == NET_HEAD;
	c->u.http.minor_1 = head->minor == 1;
	c->user = NULL;
	int bad = websocket ? check_handshake(c, head) : 0;

	if (bad != 0) {
		http_refuse(c, bad);
		return;
	}
	c->has_user = true;
	struct net_request req = {
		.handle = net_handle_of(c),
		.listener = c->listener,
		.method = head->method,
		.path = head->path,
		.query = head->query,
		.headers = head->headers,
		.n_headers = head->n_headers,
		.body = body,
		.peer = c->peer,
		.tls = l->tls,
	};

	if (websocket)
		l->handlers->on_ws_request(l->user, &req);
	else
		l->handlers->on_request(l->user, &req);
}

/* The head's size once it is complete; 0: not yet, or refused. */
static size_t complete_head(struct net_conn *c, const char *p, size_t n)
{
	uint32_t max = limits_of(c)->max_header_bytes;
	size_t scan = c->u.http.scan;
	ptrdiff_t end = net_http_head_end(p, n, &scan);

	c->u.http.scan = (uint32_t)scan;
	if (!c->u.http.started) {
		c->u.http.started = true;
		c->phase_ms = now_of(c);
	}
	if (end < 0) {
		stat_add(c, STAT_BAD_REQUEST, 1);
		http_refuse(c, 400);
	} else if ((size_t)end > max || (end == 0 && n > max)) {
		stat_add(c, STAT_HEAD_TOO_BIG, 1);
		/* Without one line feed it is the target that does not end. */
		http_refuse(c, memchr(p, '\n', n) == NULL ? 414 : 431);
	} else {
		return (size_t)end;
	}
	return 0;
}

static void await_body(struct net_conn *c, const struct net_http_head *head, enum conn_state state)
{
	conn_set_state(c, state);
	if (head->expect_continue)
		queue(c, EV_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
}

static size_t begin_request(struct net_conn *c, const char *p, size_t n)
{
	struct net_http_head head;
	size_t size = complete_head(c, p, n);

	if (size == 0)
		return c->state == CONN_HEAD ? 0 : n;
	int bad = net_http_head_parse(p, size, &head);

	if (bad != 0) {
		stat_add(c, bad == 431 ? STAT_HEAD_TOO_BIG : STAT_BAD_REQUEST, 1);
		http_refuse(c, bad);
		return n;
	}
	if (head.content_length > limits_of(c)->max_body_bytes) {
		stat_add(c, STAT_BODY_TOO_BIG, 1);
		http_refuse(c, 413);
		return n;
	}
	c->u.http.head_size = (uint32_t)size;
	if (head.chunked) {
		c->u.http.chunked = (struct net_chunked){ 0 };
		await_body(c, &head, CONN_CHUNKS);
		return 0;
	}
	size_t need = size + (size_t)head.content_length;

	if (n < need) {
		c->u.http.need = (uint32_t)need;
		await_body(c, &head, CONN_BODY);
		return 0;
	}
	/* Afterwards it may be no HTTP connection any more. */
	dispatch(c, &head, (struct ev_str){ p + size, (size_t)head.content_length });
	return need;
}

/* Reads the kept head again, which was read before without fault, and hands the request over. */
static void dispatch_kept(struct net_conn *c, const char *p, size_t body_len)
{
	struct net_http_head head;
	size_t size = c->u.http.head_size;

	if (net_http_head_parse(p, size, &head) != 0) {
		conn_kill(c);
		return;
	}
	dispatch(c, &head, (struct ev_str){ p + size, body_len });
}

size_t http_input(struct net_conn *c, char *p, size_t n)
{
	uint32_t need = c->u.http.need;

	if (c->state == CONN_HEAD)
		return begin_request(c, p, n);
	if (n < need)
		return 0;
	dispatch_kept(c, p, need - c->u.http.head_size);
	return need;
}

size_t http_chunks(struct net_conn *c, const char *p, size_t n)
{
	size_t used;
	size_t len;

	if (conn_in_reserve(c, c->in_len + n) != EV_OK) {
		conn_kill(c);
		return n;
	}
	enum net_chunk_result r = net_chunked_feed(&c->u.http.chunked, p, n, c->in + c->in_len,
						   &len, &used);

	c->in_len += (uint32_t)len;
	size_t body = c->in_len - c->u.http.head_size;

	if (r == NET_CHUNK_BAD) {
		stat_add(c, STAT_BAD_REQUEST, 1);
		http_refuse(c, 400);
		return n;
	}
	if (body > limits_of(c)->max_body_bytes) {
		stat_add(c, STAT_BODY_TOO_BIG, 1);
		http_refuse(c, 413);
		return n;
	}
	if (r == NET_CHUNK_DONE) {
		dispatch_kept(c, c->in, body);
		c->in_len = 0;
	}
	return used;
}

/* --- answers --- */

static bool is_ours(struct ev_str name)
{
	return ev_str_eq_nocase(name, EV_LIT("content-length")) ||
	       ev_str_eq_nocase(name, EV_LIT("transfer-encoding")) ||
	       ev_str_eq_nocase(name, EV_LIT("connection"));
}

/* Room that the head surely needs no more than; 0: it cannot be sent. */
static size_t head_bound(const struct net_response *r)
{
	size_t n = HEAD_SPARE;

	if (r->status < 200 || r->status > 599)
		return 0;
	for (size_t i = 0; i < r->n_headers; i++) {
		const struct net_header *h = &r->headers[i];

		if (!net_http_name_ok(h->name) || !net_http_value_ok(h->value) || is_ours(h->name))
			return 0;
		n += h->name.n + h->value.n + 4;
	}
	return n;
}

static void write_status(struct ev_buf *b, int status)
{
	ev_buf_z(b, "HTTP/1.1 ");
	ev_buf_u64(b, (uint64_t)status);
	ev_buf_char(b, ' ');
	ev_buf_z(b, net_status_text(status));
	ev_buf_z(b, "\r\n");
}

static void write_head(const struct net_conn *c, struct ev_buf *b, const struct net_response *r,
		       bool stream)
{
	write_status(b, r->status);
	for (size_t i = 0; i < r->n_headers; i++) {
		ev_buf_str_add(b, r->headers[i].name);
		ev_buf_z(b, ": ");
		ev_buf_str_add(b, r->headers[i].value);
		ev_buf_z(b, "\r\n");
	}
	if (stream && c->u.http.minor_1) {
		ev_buf_z(b, "Transfer-Encoding: chunked\r\n");
	} else if (!stream && r->status != 204 && r->status != 304) {
		ev_buf_z(b, "Content-Length: ");
		ev_buf_u64(b, r->body.n);
		ev_buf_z(b, "\r\n");
	}
	if (!c->u.http.keep_alive)
		ev_buf_z(b, "Connection: close\r\n");
	else if (!c->u.http.minor_1)
		ev_buf_z(b, "Connection: keep-alive\r\n");
	ev_buf_z(b, "\r\n");
}

static void count_answer(struct net_conn *c, int status)
{
	if (status < 300)
		stat_add(c, STAT_ANSWERS_2XX, 1);
	else if (status < 400)
		stat_add(c, STAT_ANSWERS_3XX, 1);
	else if (status < 500)
		stat_add(c, STAT_ANSWERS_4XX, 1);
	else
		stat_add(c, STAT_ANSWERS_5XX, 1);
}

/* Queues the head and, if it is no stream, the body. */
static ev_err begin_answer(struct net_conn *c, const struct net_response *r, bool stream)
{
	size_t head = head_bound(r);
	bool bodyless = stream || c->u.http.is_head || r->status == 204 || r->status == 304;
	size_t body = bodyless ? 0 : r->body.n;

	if (head == 0)
		return EV_INVALID;
	if (r->close || c->listener->server->draining || (stream && !c->u.http.minor_1))
		c->u.http.keep_alive = false;
	char *room = conn_out_room(c, head + body);

	if (room == NULL) {
		conn_kill(c);
		return EV_NOMEM;
	}
	struct ev_buf b = ev_buf_over(room, head + body);

	write_head(c, &b, r, stream);
	ev_buf_bytes(&b, r->body.p, body);
	conn_out_add(c, b.len);
	count_answer(c, r->status);
	return EV_OK;
}

void http_finish(struct net_conn *c)
{
	if (c->has_user)
		net_handle_retire(c);
	c->has_user = false;
	c->user = NULL;
	c->wants_room = false;
	free(c->u.http.accept);
	c->u.http.accept = NULL;
	c->u.http.scan = 0;
	c->u.http.started = false;
	conn_set_state(c, c->u.http.keep_alive ? CONN_HEAD : CONN_FLUSH);
	conn_touch(c);
}

ev_err net_reply(struct net_server *s, struct net_handle h, const struct net_response *r)
{
	struct net_conn *c = net_conn_of(s, h);

	if (c == NULL || c->state != CONN_WAIT)
		return EV_CLOSED;
	ev_err e = begin_answer(c, r, false);

	if (e == EV_OK)
		http_finish(c);
	return e;
}

/* What to tell people whose request was not even handed over. */
static const char *refusal_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 400, "this is no HTTP/1.1 request" },
		{ 408, "the request did not come in time" },
		{ 413, "the body is longer than this server takes" },
		{ 414, "the request's target does not end" },
		{ 426, "WebSocket version 13 is what is spoken here" },
		{ 431, "the request's head is longer than this server takes" },
		{ 501, "this method is not known here" },
		{ 503, "out of memory" },
		{ 505, "HTTP/1.1 is what is spoken here" },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(texts); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return net_status_text(status);
}

void http_refuse(struct net_conn *c, int status)
{
	char text[256];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct net_header headers[] = {
		{ EV_LIT("Content-Type"), EV_LIT("application/problem+json") },
		{ EV_LIT("Sec-WebSocket-Version"), EV_LIT("13") },
	};

	ev_buf_z(&b, "{\"type\":\"about:blank\",\"title\":\"");
	ev_buf_z(&b, net_status_text(status));
	ev_buf_z(&b, "\",\"status\":");
	ev_buf_u64(&b, (uint64_t)status);
	ev_buf_z(&b, ",\"detail\":\"");
	ev_buf_z(&b, refusal_text(status));
	ev_buf_z(&b, "\"}");
	struct net_response r = {
		.status = status,
		.headers = headers,
		.n_headers = status == 426 ? 2 : 1,
		.body = ev_buf_str(&b),
		.close = true,
	};

	if (c->state != CONN_WAIT) { /* nothing of the request before may speak of this answer */
		c->u.http.is_head = false;
		c->u.http.minor_1 = true;
	}
	if (begin_answer(c, &r, false) == EV_OK)
		http_finish(c);
	else
		conn_kill(c);
}

/* --- streams --- */

static ev_err queue_chunk(struct net_conn *c, struct ev_str bytes)
{
	char *room = conn_out_room(c, bytes.n + CHUNK_SPARE);

	if (room == NULL) {
		conn_kill(c);
		return EV_NOMEM;
	}
	struct ev_buf b = ev_buf_over(room, bytes.n + CHUNK_SPARE);

	if (c->u.http.minor_1) {
		for (unsigned shift = 64; shift > 0; shift -= 4) {
			unsigned digit = (unsigned)(bytes.n >> (shift - 4)) & 0xfU;

			if (digit != 0 || b.len > 0)
				ev_buf_char(&b, "0123456789abcdef"[digit]);
		}
		ev_buf_z(&b, "\r\n");
	}
	ev_buf_str_add(&b, bytes);
	if (c->u.http.minor_1)
		ev_buf_z(&b, "\r\n");
	conn_out_add(c, b.len);
	return EV_OK;
}

ev_err net_stream_begin(struct net_server *s, struct net_handle h, const struct net_response *r)
{
	struct net_conn *c = net_conn_of(s, h);

	if (c == NULL || c->state != CONN_WAIT)
		return EV_CLOSED;
	ev_err e = begin_answer(c, r, true);

	if (e != EV_OK)
		return e;
	conn_set_state(c, CONN_STREAM);
	if (r->body.n == 0 || c->u.http.is_head)
		return EV_OK;
	return queue_chunk(c, r->body);
}

ev_err net_stream_write(struct net_server *s, struct net_handle h, struct ev_str bytes)
{
	struct net_conn *c = net_conn_of(s, h);

	if (c == NULL || c->state != CONN_STREAM)
		return EV_CLOSED;
	if (bytes.n == 0 || c->u.http.is_head)
		return EV_OK; /* an empty chunk would be the end */
	if (c->out_bytes + bytes.n > limits_of(c)->max_out_bytes) {
		stat_add(c, STAT_QUEUE_FULL, 1);
		c->wants_room = true;
		return EV_FULL;
	}
	return queue_chunk(c, bytes);
}

static void end_stream(struct net_conn *c)
{
	if (c->u.http.minor_1 && !c->u.http.is_head)
		queue(c, EV_LIT("0\r\n\r\n"));
	if (c->state != CONN_DEAD)
		http_finish(c);
}

ev_err net_stream_end(struct net_server *s, struct net_handle h)
{
	struct net_conn *c = net_conn_of(s, h);

	if (c == NULL || c->state != CONN_STREAM)
		return EV_CLOSED;
	end_stream(c);
	return EV_OK;
}

void http_cut_stream(struct net_conn *c)
{
	const struct net_listener *l = c->listener;
	struct net_handle h = net_handle_of(c);
	void *user = c->user;

	c->u.http.keep_alive = false;
	end_stream(c);
	if (l->handlers->on_gone != NULL)
		l->handlers->on_gone(l->user, h, user);
}

/* --- upgrade --- */

bool net_request_subprotocol(const struct net_request *r, size_t *at, struct ev_str *out)
{
	size_t index = 0;

	/* The list may be spread over several fields (RFC 6455, 11.3.4). */
	for (size_t i = 0; i < r->n_headers; i++) {
		struct ev_str rest = r->headers[i].value;
		struct ev_str element;

		if (!ev_str_eq_nocase(r->headers[i].name, EV_LIT("sec-websocket-protocol")))
			continue;
		while (net_http_list_next(&rest, &element)) {
			if (index++ == *at) {
				*at = index;
				*out = element;
				return true;
			}
		}
	}
	return false;
}

static ev_err queue_upgrade(struct net_conn *c, struct ev_str subprotocol)
{
	size_t room_for = HEAD_SPARE + subprotocol.n;
	char *room = conn_out_room(c, room_for);

	if (room == NULL) {
		conn_kill(c);
		return EV_NOMEM;
	}
	struct ev_buf b = ev_buf_over(room, room_for);

	write_status(&b, 101);
	ev_buf_z(&b, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
	ev_buf_z(&b, c->u.http.accept);
	if (subprotocol.n > 0) {
		ev_buf_z(&b, "\r\nSec-WebSocket-Protocol: ");
		ev_buf_str_add(&b, subprotocol);
	}
	ev_buf_z(&b, "\r\n\r\n");
	conn_out_add(c, b.len);
	return EV_OK;
}

ev_err net_ws_accept(struct net_server *s, struct net_handle request, const struct net_ws_accept *a,
		     struct net_handle *out_ws)
{
	struct net_conn *c = net_conn_of(s, request);

	if (c == NULL || c->state != CONN_WAIT || c->u.http.accept == NULL)
		return EV_CLOSED;
	if (a->subprotocol.n > 0 && !net_http_name_ok(a->subprotocol))
		return EV_INVALID;
	ev_err e = queue_upgrade(c, a->subprotocol);

	if (e != EV_OK)
		return e;
	http_finish(c); /* ends the request and its handle; the connection goes on as another */
	c->u.ws = (struct conn_ws){ .message_ms = now_of(c) };
	c->is_ws = true;
	c->has_user = true;
	c->user = a->conn_user;
	conn_set_state(c, CONN_WS);
	stat_add(c, STAT_WS_ACCEPTED, 1);
	ev_gauge_add(&c->listener->stats.websockets, 1);
	*out_ws = net_handle_of(c);
	return EV_OK;
}
