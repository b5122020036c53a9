#include "net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

#define PATIENCE_MS 5000

static int64_t now_ms(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- handlers --- */

static struct fixture_event *note(struct fixture *f, enum fixture_seen what, struct net_handle h)
{
	static struct fixture_event overflow;

	if (f->n_events == FIXTURE_MAX_EVENTS)
		return &overflow;
	struct fixture_event *e = &f->events[f->n_events++];

	*e = (struct fixture_event){ .handle = h };
	e->what = what;
	return e;
}

static void answer(struct fixture *f, struct net_handle h, int status, struct ev_str body)
{
	struct net_header header = { EV_LIT("Content-Type"), EV_LIT("text/plain") };
	struct net_response r = {
		.status = status, .headers = &header, .n_headers = 1, .body = body
	};

	assert_int_equal(net_reply(f->server, h, &r), EV_OK);
}

static void on_request(void *user, const struct net_request *req)
{
	struct fixture *f = user;

	note(f, SEEN_REQUEST, req->handle)->len = req->body.n;
	if (ev_str_eqz(req->path, "/echo")) {
		answer(f, req->handle, 200, req->body);
	} else if (ev_str_eqz(req->path, "/target")) {
		char text[256];
		struct ev_buf b = ev_buf_over(text, sizeof(text));

		ev_buf_z(&b, net_method_text(req->method));
		ev_buf_char(&b, ' ');
		ev_buf_str_add(&b, req->path);
		ev_buf_char(&b, '?');
		ev_buf_str_add(&b, req->query);
		answer(f, req->handle, 200, ev_buf_str(&b));
	} else if (!ev_str_starts(req->path, EV_LIT("/later")) &&
		   !ev_str_starts(req->path, EV_LIT("/stream"))) {
		answer(f, req->handle, 404, EV_LIT("none"));
	}
}

static void on_ws_request(void *user, const struct net_request *req)
{
	struct fixture *f = user;
	struct net_ws_accept a = { .conn_user = f };
	struct net_handle ws;
	size_t at = 0;
	struct ev_str offered;

	note(f, SEEN_WS_REQUEST, req->handle);
	if (ev_str_starts(req->path, EV_LIT("/later")))
		return;
	if (ev_str_eqz(req->path, "/ws/no")) {
		answer(f, req->handle, 403, EV_LIT("no"));
		return;
	}
	while (ev_str_eqz(req->path, "/ws/sub") && net_request_subprotocol(req, &at, &offered)) {
		if (ev_str_eqz(offered, "ocpp1.6"))
			a.subprotocol = offered;
	}
	if (ev_str_eqz(req->path, "/ws/silent"))
		a.conn_user = NULL;
	assert_int_equal(net_ws_accept(f->server, req->handle, &a, &ws), EV_OK);
}

static void on_ws_message(void *user, struct net_handle ws, void *conn_user, enum net_ws_kind kind,
			  struct ev_str bytes)
{
	struct fixture *f = user;
	struct fixture_event *e = note(f, SEEN_MESSAGE, ws);

	e->len = bytes.n;
	e->conn_user = conn_user;
	f->n_messages++;
	if (conn_user == NULL)
		return;
	ev_err sent = net_ws_send(f->server, ws, kind, bytes);

	assert_true(sent == EV_OK || sent == EV_FULL);
}

static void on_ws_close(void *user, struct net_handle ws, void *conn_user, unsigned code)
{
	struct fixture_event *e = note(user, SEEN_CLOSE, ws);

	e->conn_user = conn_user;
	e->code = code;
}

static void on_gone(void *user, struct net_handle h, void *conn_user)
{
	note(user, SEEN_GONE, h)->conn_user = conn_user;
}

static void on_room(void *user, struct net_handle h, void *conn_user)
{
	note(user, SEEN_ROOM, h)->conn_user = conn_user;
}

static const struct net_handlers handlers = {
	.on_request = on_request,
	.on_ws_request = on_ws_request,
	.on_ws_message = on_ws_message,
	.on_ws_close = on_ws_close,
	.on_gone = on_gone,
	.on_room = on_room,
};

/* --- the server --- */

void fixture_init(struct fixture *f)
{
	struct ev_fail fail;

	memset(f, 0, sizeof(*f));
	ev_metrics_init(&f->metrics);
	assert_int_equal(net_loop_new(&f->loop), EV_OK);
	assert_int_equal(net_server_new(f->loop, &f->metrics, &f->server, &fail), EV_OK);
	net_listener_config_init(&f->config);
	f->config.name = "test";
	f->config.handlers = &handlers;
	f->config.user = f;
}

void fixture_listen(struct fixture *f)
{
	struct ev_fail fail = { 0 };

	if (net_server_listen(f->server, &f->config, &f->listener, &fail) != EV_OK)
		fail_msg("%s", fail.text);
}

void fixture_deinit(struct fixture *f)
{
	net_server_free(f->server);
	net_loop_free(f->loop);
}

void fixture_turn(struct fixture *f)
{
	net_loop_turn(f->loop, 2);
}

void fixture_wait_events(struct fixture *f, size_t wanted)
{
	int64_t limit = now_ms() + PATIENCE_MS;

	while (f->n_events < wanted && now_ms() < limit)
		fixture_turn(f);
	assert_true(f->n_events >= wanted);
}

void fixture_wait_messages(struct fixture *f, size_t wanted)
{
	int64_t limit = now_ms() + PATIENCE_MS;

	while (f->n_messages < wanted && now_ms() < limit)
		fixture_turn(f);
	assert_int_equal(f->n_messages, wanted);
}

void fixture_wait_connections(struct fixture *f, size_t wanted)
{
	int64_t limit = now_ms() + PATIENCE_MS;

	while (net_server_connections(f->server) != wanted && now_ms() < limit)
		fixture_turn(f);
	assert_int_equal(net_server_connections(f->server), wanted);
}

uint64_t fixture_metric(struct fixture *f, const char *line_start)
{
	static char text[65536];
	struct ev_buf b = ev_buf_over(text, sizeof(text) - 1);
	struct ev_str rest;

	ev_metrics_write(&f->metrics, &b);
	assert_false(b.overflow);
	text[b.len] = '\0';
	const char *at = strstr(text, line_start);

	if (at == NULL)
		fail_msg("no metric %s", line_start);
	at = strchr(at, '}');
	assert_non_null(at);
	rest = (struct ev_str){ at + 2, strcspn(at + 2, "\n") };
	uint64_t value;

	assert_int_equal(num_parse_u64(rest, &value), EV_OK);
	return value;
}

uint64_t fixture_aborted(struct fixture *f, const char *reason)
{
	char line[160];
	struct ev_buf b = ev_buf_over(line, sizeof(line) - 1);

	ev_buf_z(&b, "evcharge_net_aborted_total{listener=\"test\",reason=\"");
	ev_buf_z(&b, reason);
	ev_buf_z(&b, "\"}");
	line[b.len] = '\0';
	return fixture_metric(f, line);
}

/* --- clients --- */

static void client_connect(struct fixture *f, struct client *c, int receive_buffer)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(net_listener_port(f->listener)),
	};
	int one = 1;

	memset(c, 0, offsetof(struct client, in));
	c->n = 0;
	c->ended = false;
	c->f = f;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(c->fd >= 0);
	assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	if (receive_buffer > 0)
		assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
					    sizeof(receive_buffer)),
				 0);
	/* Blocking is no danger: the kernel completes it from the listener's backlog. */
	assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

void client_open(struct fixture *f, struct client *c)
{
	client_connect(f, c, 0);
}

void client_open_narrow(struct fixture *f, struct client *c)
{
	client_connect(f, c, 4096);
}

void client_close(struct client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		assert_int_equal(close(c->fd), 0);
	c->fd = -1;
}

static ssize_t send_some(struct client *c, const char *p, size_t n)
{
	if (c->ssl == NULL)
		return send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	int sent = SSL_write(c->ssl, p, (int)n);

	if (sent <= 0)
		errno = SSL_get_error(c->ssl, sent) == SSL_ERROR_SSL ? EPIPE : EAGAIN;
	return sent;
}

void client_send(struct client *c, const void *p, size_t n)
{
	int64_t limit = now_ms() + PATIENCE_MS;
	const char *at = p;

	while (n > 0) {
		ssize_t sent = send_some(c, at, n);

		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return; /* the server has closed; what it said is checked by the test */
		assert_int_equal(errno, EAGAIN);
		assert_true(now_ms() < limit);
		fixture_turn(c->f);
	}
}

void client_send_z(struct client *c, const char *z)
{
	client_send(c, z, strlen(z));
}

static ssize_t read_some(struct client *c, char *p, size_t n)
{
	if (c->ssl == NULL)
		return recv(c->fd, p, n, MSG_DONTWAIT);
	int got = SSL_read(c->ssl, p, (int)n);
	int why = got > 0 ? 0 : SSL_get_error(c->ssl, got);

	if (got > 0)
		return got;
	errno = EAGAIN;
	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

void client_poll(struct client *c)
{
	while (!c->ended && c->n < sizeof(c->in)) {
		ssize_t got = read_some(c, c->in + c->n, sizeof(c->in) - c->n);

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0)
			c->ended = true;
		else
			c->n += (size_t)got;
	}
}

void client_wait_bytes(struct client *c, size_t n)
{
	int64_t limit = now_ms() + PATIENCE_MS;

	client_poll(c);
	while (c->n < n && !c->ended && now_ms() < limit) {
		fixture_turn(c->f);
		client_poll(c);
	}
	if (c->n < n)
		fail_msg("%zu bytes of %zu: %.*s", c->n, n, (int)c->n, c->in);
}

static void drop(struct client *c, size_t n)
{
	c->n -= n;
	memmove(c->in, c->in + n, c->n);
}

void client_expect(struct client *c, const char *text)
{
	size_t n = strlen(text);

	client_wait_bytes(c, n);
	if (memcmp(c->in, text, n) != 0)
		fail_msg("wanted %s, got %.*s", text, (int)c->n, c->in);
	drop(c, n);
}

/* The size of the head that is there as a whole, 0 if it is not. */
static size_t head_size(const struct client *c)
{
	const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);

	return end != NULL ? (size_t)(end - c->in) + 4 : 0;
}

static size_t body_length(const char *head, size_t n)
{
	const char *at = memmem(head, n, "Content-Length: ", 16);
	uint64_t length = 0;

	if (at == NULL)
		return 0;
	struct ev_str digits = { at + 16, strcspn(at + 16, "\r") };

	assert_int_equal(num_parse_u64(digits, &length), EV_OK);
	return (size_t)length;
}

static size_t wait_head(struct client *c)
{
	while (head_size(c) == 0)
		client_wait_bytes(c, c->n + 1);
	return head_size(c);
}

static int status_of(const struct client *c)
{
	uint64_t status = 0;

	assert_memory_equal(c->in, "HTTP/1.1 ", 9);
	assert_int_equal(num_parse_u64((struct ev_str){ c->in + 9, 3 }, &status), EV_OK);
	return (int)status;
}

void client_expect_answer(struct client *c, int status, const char *body)
{
	size_t head = wait_head(c);
	size_t length = body_length(c->in, head);

	assert_int_equal(status_of(c), status);
	client_wait_bytes(c, head + length);
	if (body != NULL) {
		assert_int_equal(length, strlen(body));
		assert_memory_equal(c->in + head, body, length);
	}
	drop(c, head + length);
}

int client_read_answer(struct client *c, char *out_head, size_t cap)
{
	size_t head = wait_head(c);
	size_t length = body_length(c->in, head);
	int status = status_of(c);

	client_wait_bytes(c, head + length);
	assert_true(head < cap);
	memcpy(out_head, c->in, head);
	out_head[head] = '\0';
	drop(c, head + length);
	return status;
}

void client_expect_end(struct client *c)
{
	int64_t limit = now_ms() + PATIENCE_MS;

	client_poll(c);
	while (!c->ended && now_ms() < limit) {
		fixture_turn(c->f);
		client_poll(c);
	}
	assert_true(c->ended);
}

/* --- WebSocket --- */

void ws_open(struct client *c, const char *path)
{
	client_send_z(c, "GET ");
	client_send_z(c, path);
	client_send_z(c, " HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
			 "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	client_expect(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\n"
			 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

size_t ws_make(char *out, unsigned first_byte, const char *payload, size_t n)
{
	static const char mask[4] = { 0x11, (char)0xa2, 0x33, (char)0xc4 };
	size_t at = 0;

	out[at++] = (char)first_byte;
	if (n < 126) {
		out[at++] = (char)(0x80 | n);
	} else {
		size_t extra = n <= UINT16_MAX ? 2 : 8;

		out[at++] = (char)(0x80 | (extra == 2 ? 126 : 127));
		for (size_t i = 0; i < extra; i++)
			out[at++] = (char)((uint64_t)n >> (8 * (extra - 1 - i)));
	}
	memcpy(out + at, mask, sizeof(mask));
	at += sizeof(mask);
	for (size_t i = 0; i < n; i++)
		out[at++] = (char)(payload[i] ^ mask[i % 4]);
	return at;
}

void ws_send(struct client *c, unsigned first_byte, const char *payload, size_t n)
{
	char *frame = malloc(n + 14);

	assert_non_null(frame);
	client_send(c, frame, ws_make(frame, first_byte, payload, n));
	free(frame);
}

void ws_expect(struct client *c, unsigned first_byte, const char *payload, size_t n)
{
	size_t extra = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8;
	size_t length = 0;

	client_wait_bytes(c, 2 + extra + n);
	assert_int_equal((uint8_t)c->in[0], first_byte);
	for (size_t i = 0; i < extra; i++)
		length = length << 8 | (uint8_t)c->in[2 + i];
	assert_int_equal((uint8_t)c->in[1], extra == 0 ? n : extra == 2 ? 126 : 127);
	if (extra != 0)
		assert_int_equal(length, n);
	if (n > 0)
		assert_memory_equal(c->in + 2 + extra, payload, n);
	drop(c, 2 + extra + n);
}

unsigned ws_read(struct client *c, char *out, size_t cap)
{
	size_t head = 2;
	size_t n;
	unsigned first;

	client_wait_bytes(c, head);
	n = (uint8_t)c->in[1];
	if (n == 126) {
		head = 4;
		client_wait_bytes(c, head);
		n = (size_t)(uint8_t)c->in[2] << 8 | (uint8_t)c->in[3];
	}
	assert_true(n <= UINT16_MAX && n != 127 && n < cap);
	client_wait_bytes(c, head + n);
	first = (uint8_t)c->in[0];
	memcpy(out, c->in + head, n);
	out[n] = '\0';
	drop(c, head + n);
	return first;
}

void ws_expect_failed(struct client *c, unsigned code)
{
	char payload[2] = { (char)(code >> 8), (char)(code & 0xffU) };

	ws_expect(c, 0x88, payload, 2);
	client_expect_end(c);
}
