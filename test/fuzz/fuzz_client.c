/*
 * What our own clients read of a server: Server-Sent Events and the device's side of a WebSocket.
 * However the bytes are cut, the same events and messages come out.
 *
 * First byte: how the rest is cut; odd: events, even: a WebSocket, with 2 after a handshake that
 * went well.  The WebSocket's client runs on one end of a socket pair.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "cli/sse.h"
#include "cli/ws_client.h"

struct heard {
	uint64_t trace;
	size_t n;
	bool open, closed;
};

static void hear(struct heard *h, struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++)
		h->trace = (h->trace ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
	h->trace = (h->trace ^ s.n ^ 0x5aU) * UINT64_C(0x100000001b3);
	h->n++;
}

/* --- Events --- */

static bool on_event(void *user, const struct sse_event *e)
{
	CHECK(text_len(e->id, SSE_ID_MAX + 1) <= SSE_ID_MAX && e->data.n <= SSE_DATA_MAX);
	hear(user, ev_str_from(e->id));
	hear(user, e->data);
	return !ev_str_eqz(e->data, "stop");
}

static struct heard read_events(struct ev_str in, size_t piece)
{
	static struct sse_reader reader;
	struct heard h = { .n = 0 };
	ev_err e = EV_OK;

	sse_init(&reader, on_event, &h);
	while (in.n > 0 && e == EV_OK) {
		size_t n = piece < in.n ? piece : in.n;

		e = sse_feed(&reader, (struct ev_str){ in.p, n });
		in = (struct ev_str){ in.p + n, in.n - n };
	}
	CHECK(e == EV_OK || e == EV_FULL || e == EV_CLOSED);
	h.closed = e != EV_OK;
	sse_restart(&reader);
	return h;
}

/* --- The WebSocket --- */

static void on_opened(void *user)
{
	struct heard *h = user;

	CHECK(!h->open && !h->closed);
	h->open = true;
}

static void on_text(void *user, struct ev_str message)
{
	struct heard *h = user;

	CHECK(h->open && !h->closed && message.n <= WS_MESSAGE_MAX);
	hear(h, message);
}

static void on_closed(void *user, const char *why)
{
	struct heard *h = user;

	CHECK(!h->closed && why != NULL && why[0] != '\0');
	h->closed = true;
}

static const struct ws_handlers handlers = { on_opened, on_text, on_closed };

static void feed(struct ws_client *c, int fd, struct ev_str in, size_t piece)
{
	while (in.n > 0 && c->state != WS_CLOSED) {
		size_t n = piece < in.n ? piece : in.n;
		char drain[4096];

		CHECK(send(fd, in.p, n, MSG_NOSIGNAL) == (ssize_t)n);
		in = (struct ev_str){ in.p + n, in.n - n };
		ws_client_ready(c, true, ws_client_wants_write(c));
		while (recv(fd, drain, sizeof(drain), MSG_DONTWAIT) > 0)
			continue;
	}
}

static struct heard read_socket(struct ev_str in, size_t piece, bool is_open)
{
	static const char hello[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				    "Connection: Upgrade\r\nSec-WebSocket-Accept: "
				    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	struct heard h = { .n = 0 };
	struct ev_rng_seeded rng;
	struct ws_client c;
	int fds[2];

	ev_rng_seeded_init(&rng, 1);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	ws_client_init(&c, &handlers, &h, &rng.base);
	c.fd = fds[0];
	c.state = WS_HANDSHAKE;
	ws_accept_text(EV_LIT("dGhlIHNhbXBsZSBub25jZQ=="), c.expected_accept);
	if (is_open) {
		feed(&c, fds[1], (struct ev_str){ hello, sizeof(hello) - 1 }, piece);
		CHECK(c.state == WS_OPEN && h.open);
	}
	feed(&c, fds[1], in, piece);
	CHECK(h.closed == (c.state == WS_CLOSED));
	ws_client_abort(&c);
	CHECK(close(fds[1]) == 0);
	return h;
}

static void check_frame(struct ev_str in)
{
	struct ws_frame f, part;
	size_t used, used_part;
	ev_err e = ws_frame_decode(in, &f, &used);

	if (e != EV_OK)
		return;
	CHECK(used <= in.n && f.payload.n <= WS_MESSAGE_MAX);
	CHECK(f.payload.p + f.payload.n == in.p + used && f.opcode < 16);
	/* Not a byte less. */
	CHECK(ws_frame_decode((struct ev_str){ in.p, used - 1 }, &part, &used_part) == EV_NOTFOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct ev_str in = { (const char *)data + 1, size - 1 };
	size_t piece = 1 + (size_t)data[0] / 4;
	struct heard whole, cut;

	if ((data[0] & 1U) != 0) {
		whole = read_events(in, 65536);
		cut = read_events(in, piece);
	} else {
		check_frame(in);
		whole = read_socket(in, 4096, (data[0] & 2U) != 0);
		cut = read_socket(in, piece, (data[0] & 2U) != 0);
	}
	CHECK(whole.trace == cut.trace && whole.n == cut.n && whole.open == cut.open);
	CHECK(whole.closed == cut.closed);
	return 0;
}
