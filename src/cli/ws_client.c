#include "cli/ws_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/num.h"

#define READ_MAX 16384
#define HEADERS_MAX 8192
#define REQUEST_MAX 1024
#define KEY_BYTES 16

static const char lost[] = "the connection was lost";
static const char broken[] = "the server broke the protocol";

/* --- Bytes --- */

static void bytes_clear(struct ws_bytes *b)
{
	free(b->p);
	*b = (struct ws_bytes){ .p = NULL };
}

static ev_err bytes_add(struct ws_bytes *b, const void *p, size_t n, size_t max)
{
	if (n > max - b->n)
		return EV_FULL;
	if (b->n + n > b->cap) {
		size_t cap = b->n + n < 512 ? 512 : (b->n + n) * 2;
		char *grown = realloc(b->p, cap);

		if (grown == NULL)
			return EV_NOMEM;
		b->p = grown;
		b->cap = cap;
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return EV_OK;
}

/* Quiet connections hold no memory. */
static void bytes_take(struct ws_bytes *b, size_t n)
{
	if (n == b->n) {
		bytes_clear(b);
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

/* --- Opening and closing --- */

void ws_client_init(struct ws_client *c, const struct ws_handlers *handlers, void *user,
		    struct ev_rng *rng)
{
	*c = (struct ws_client){ .handlers = handlers, .user = user, .rng = rng, .fd = -1 };
}

void ws_client_abort(struct ws_client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd); /* nothing to do about it: the descriptor is gone either way */
	c->fd = -1;
	c->state = WS_CLOSED;
	c->in_message = false;
	bytes_clear(&c->in);
	bytes_clear(&c->out);
	bytes_clear(&c->message);
}

static void shut(struct ws_client *c, const char *why)
{
	ws_client_abort(c);
	c->handlers->closed(c->user, why);
}

static ev_err open_socket(struct ws_client *c, const struct sockaddr *address, socklen_t len)
{
	static const int on = 1;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? EV_FULL : EV_IO;
	/* Only makes small messages faster; the connection works without. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, address, len) != 0 && errno != EINPROGRESS) {
		(void)close(fd);
		return EV_IO;
	}
	c->fd = fd;
	c->state = WS_CONNECTING;
	return EV_OK;
}

static ev_err queue_request(struct ws_client *c, struct ev_str host, struct ev_str target,
			    struct ev_str authorization)
{
	uint8_t random[KEY_BYTES];
	char key[4 * KEY_BYTES / 3 + 4], text[REQUEST_MAX];

	ev_rng_fill(c->rng, random, sizeof(random));
	(void)EVP_EncodeBlock((unsigned char *)key, random, sizeof(random)); /* 24 and NUL */
	ws_accept_text(ev_str_from(key), c->expected_accept);
	int n = snprintf(text, sizeof(text),
			 "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
			 "Sec-WebSocket-Key: %s\r\n%s%.*s%s\r\n",
			 (int)target.n, target.p, (int)host.n, host.p, key,
			 authorization.n > 0 ? "Authorization: " : "", (int)authorization.n,
			 authorization.n > 0 ? authorization.p : "",
			 authorization.n > 0 ? "\r\n" : "");

	if (n < 0 || (size_t)n >= sizeof(text))
		return EV_FULL;
	return bytes_add(&c->out, text, (size_t)n, WS_PENDING_MAX);
}

ev_err ws_client_connect(struct ws_client *c, const struct sockaddr *address, socklen_t address_len,
			 struct ev_str host, struct ev_str target, struct ev_str authorization)
{
	c->http_status = 0;
	ev_err e = open_socket(c, address, address_len);

	if (e == EV_OK)
		e = queue_request(c, host, target, authorization);
	if (e != EV_OK)
		ws_client_abort(c);
	return e;
}

/* --- Sending --- */

bool ws_client_wants_write(const struct ws_client *c)
{
	return c->state == WS_CONNECTING || (c->state != WS_CLOSED && c->out.n > 0);
}

/* EV_CLOSED when the peer is gone. */
static ev_err flush(struct ws_client *c)
{
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN))
			return EV_OK;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return EV_CLOSED;
		bytes_take(&c->out, (size_t)n);
	}
	return EV_OK;
}

static ev_err queue_frame(struct ws_client *c, enum ws_opcode opcode, struct ev_str payload)
{
	char header[WS_HEADER_MAX];
	uint8_t mask[4];
	size_t header_n;

	ev_rng_fill(c->rng, mask, sizeof(mask));
	header_n = ws_frame_header(header, opcode, payload.n, mask);
	if (header_n + payload.n > WS_PENDING_MAX - c->out.n)
		return EV_FULL;
	ev_err e = bytes_add(&c->out, header, header_n, WS_PENDING_MAX);

	if (e != EV_OK)
		return e;
	e = bytes_add(&c->out, payload.p, payload.n, WS_PENDING_MAX);
	if (e != EV_OK)
		c->out.n -= header_n; /* or the next frame would be read as this one's payload */
	else
		ws_mask(c->out.p + c->out.n - payload.n, payload.n, mask);
	return e;
}

ev_err ws_client_send(struct ws_client *c, struct ev_str text)
{
	if (c->state != WS_OPEN)
		return EV_CLOSED;
	bool waiting = c->out.n > 0;
	ev_err e = queue_frame(c, WS_TEXT, text);

	/* A peer that is gone is noticed by the next read; the message waits for a resend. */
	if (e == EV_OK && !waiting)
		(void)flush(c);
	return e;
}

/* --- Receiving --- */

/* The value of a header in lower case, without spaces around; NULL-terminated text. */
static bool header_is(const char *headers, const char *name, const char *value)
{
	for (const char *line = strstr(headers, "\r\n"); line != NULL;
	     line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, strlen(name)) != 0 || line[strlen(name)] != ':')
			continue;
		line += strlen(name) + 1;
		line += strspn(line, " \t");
		size_t n = strcspn(line, "\r");

		while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
			n--;
		return n == strlen(value) && memcmp(line, value, n) == 0;
	}
	return false;
}

static const char *check_response(struct ws_client *c, const char *headers)
{
	uint64_t status;

	if (strncmp(headers, "HTTP/1.1 ", 9) != 0 || strlen(headers) < 12 ||
	    num_parse_u64((struct ev_str){ headers + 9, 3 }, &status) != EV_OK)
		return broken;
	if (status != 101) {
		c->http_status = (int)status;
		return "the server declined the connection";
	}
	if (!header_is(headers, "Sec-WebSocket-Accept", c->expected_accept))
		return broken;
	return NULL;
}

/* True when the handshake is done; what follows it stays in `in`. */
static bool finish_handshake(struct ws_client *c)
{
	char headers[HEADERS_MAX + 1];
	const char *end = memmem(c->in.p, c->in.n, "\r\n\r\n", 4);

	if (end == NULL && c->in.n >= HEADERS_MAX)
		shut(c, broken);
	if (end == NULL)
		return false;
	size_t n = (size_t)(end - c->in.p) + 4;

	if (n > HEADERS_MAX) {
		shut(c, broken);
		return false;
	}
	memcpy(headers, c->in.p, n);
	headers[n] = '\0';
	const char *why = check_response(c, headers);

	if (why != NULL) {
		shut(c, why);
		return false;
	}
	bytes_take(&c->in, n);
	c->state = WS_OPEN;
	c->handlers->opened(c->user);
	return c->state == WS_OPEN;
}

/* A whole message, or one more fragment of one. */
static const char *take_data(struct ws_client *c, const struct ws_frame *f)
{
	bool within = c->in_message;

	if (f->opcode == WS_BINARY || within != (f->opcode == WS_CONTINUATION))
		return broken;
	if (f->fin && !within) {
		c->handlers->text(c->user, f->payload);
		return NULL;
	}
	if (bytes_add(&c->message, f->payload.p, f->payload.n, WS_MESSAGE_MAX) != EV_OK)
		return "the server's message is too long";
	c->in_message = !f->fin;
	if (f->fin) {
		struct ws_bytes whole = c->message;

		c->message = (struct ws_bytes){ .p = NULL };
		c->handlers->text(c->user, (struct ev_str){ whole.p, whole.n });
		free(whole.p);
	}
	return NULL;
}

static const char *take_frame(struct ws_client *c, const struct ws_frame *f)
{
	switch (f->opcode) {
	case WS_PING:
		return queue_frame(c, WS_PONG, f->payload) == EV_OK ? NULL : lost;
	case WS_PONG:
		return NULL;
	case WS_CLOSE:
		(void)queue_frame(c, WS_CLOSE, f->payload); /* a courtesy; it is over anyway */
		(void)flush(c);
		return "the server closed the connection";
	default: /* the decoder lets no other opcodes pass */
		return take_data(c, f);
	}
}

/* NULL, or why the connection ends. */
static const char *take_frames(struct ws_client *c)
{
	size_t at = 0;
	const char *why = NULL;

	while (why == NULL) {
		struct ws_frame f;
		size_t used;
		ev_err e = ws_frame_decode((struct ev_str){ c->in.p + at, c->in.n - at }, &f,
					   &used);

		if (e == EV_NOTFOUND)
			break;
		if (e != EV_OK)
			return broken;
		why = take_frame(c, &f);
		at += used;
	}
	if (why == NULL && at > 0)
		bytes_take(&c->in, at);
	return why;
}

/* NULL, or why the connection ends.  *out_any: something came. */
static const char *read_some(struct ws_client *c, bool *out_any)
{
	char bytes[READ_MAX];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	*out_any = n > 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n <= 0)
		return lost;
	if (bytes_add(&c->in, bytes, (size_t)n, WS_MESSAGE_MAX + READ_MAX + WS_HEADER_MAX) != EV_OK)
		return broken;
	return NULL;
}

static void on_readable(struct ws_client *c)
{
	bool any = false;
	const char *why = read_some(c, &any);

	if (any && c->state == WS_HANDSHAKE && !finish_handshake(c))
		return;
	if (why == NULL && c->state == WS_OPEN && c->in.n > 0)
		why = take_frames(c);
	if (why == NULL && c->out.n > 0 && flush(c) != EV_OK)
		why = lost;
	if (why != NULL)
		shut(c, why);
}

static void on_connected(struct ws_client *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0)
		shut(c, "the server cannot be reached");
	else
		c->state = WS_HANDSHAKE;
}

void ws_client_ready(struct ws_client *c, bool readable, bool writable)
{
	if (writable && c->state == WS_CONNECTING)
		on_connected(c);
	if (writable && c->state != WS_CLOSED && c->state != WS_CONNECTING && flush(c) != EV_OK)
		shut(c, lost);
	if (readable && (c->state == WS_HANDSHAKE || c->state == WS_OPEN))
		on_readable(c);
}
