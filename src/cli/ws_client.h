/*
 * cli/ws_client.h — the device's side of a WebSocket (RFC 6455) over a non-blocking socket.
 *
 * For the simulation: thousands at once in one thread, each costing no buffer while it is quiet.
 * The owner waits for the socket (epoll or poll) and calls ws_client_ready.  Text messages only;
 * pings are answered; no extensions, no TLS.  Callbacks come from within ws_client_ready and may
 * send, but not connect or close.
 */
#ifndef EV_CLI_WS_CLIENT_H
#define EV_CLI_WS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

#define WS_MESSAGE_MAX 65536  /* bytes of a message from the server; a longer one closes */
#define WS_PENDING_MAX 262144 /* bytes that wait for the socket; beyond, sending fails */

enum ws_state { WS_CLOSED, WS_CONNECTING, WS_HANDSHAKE, WS_OPEN };

struct ws_handlers {
	void (*opened)(void *user);
	void (*text)(void *user, struct ev_str message); /* message lives for the call only */
	void (*closed)(void *user, const char *why);     /* a constant text; the socket is gone */
};

/* Bytes owned by a connection while it has some. */
struct ws_bytes {
	char *p;
	size_t n, cap;
};

struct ws_client {
	const struct ws_handlers *handlers;
	void *user;
	struct ev_rng *rng; /* of masks and keys; shared by all connections of the thread */
	int fd;             /* -1 when closed */
	enum ws_state state;
	struct ws_bytes in, out;
	struct ws_bytes message; /* fragments of one, so far */
	bool in_message;         /* a fragment came, the last one did not */
	char expected_accept[29];
	int http_status; /* of a handshake that was declined, else 0 */
};

void ws_client_init(struct ws_client *c, const struct ws_handlers *handlers, void *user,
		    struct ev_rng *rng);

/*
 * Begins to connect; opened or closed follows.  target is the request's path; authorization (may
 * be empty) the whole value of that header.  EV_IO, EV_FULL (no descriptor left), EV_NOMEM: then it
 * stays closed and no callback comes.
 */
EV_NODISCARD ev_err ws_client_connect(struct ws_client *c, const struct sockaddr *address,
				      socklen_t address_len, struct ev_str host,
				      struct ev_str target, struct ev_str authorization);

/* The socket became readable or writable. */
void ws_client_ready(struct ws_client *c, bool readable, bool writable);

/* Whether to wait until the socket is writable, too. */
bool ws_client_wants_write(const struct ws_client *c);

/* One text message.  EV_CLOSED: not open; EV_FULL, EV_NOMEM: it was not sent. */
EV_NODISCARD ev_err ws_client_send(struct ws_client *c, struct ev_str text);

/* Gone at once, as by a lost network; `closed` is not called.  Also frees all it holds. */
void ws_client_abort(struct ws_client *c);

/* --- The pure part --- */

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10
};

struct ws_frame {
	bool fin;
	unsigned opcode;
	struct ev_str payload; /* borrows from the input */
};

/*
 * The first frame of what a server sent: *out_used bytes of it.  EV_NOTFOUND: not whole yet;
 * EV_INVALID: against RFC 6455 §5 (masked, reserved bits, a long or fragmented control frame, a
 * length not in its shortest form); EV_FULL: longer than WS_MESSAGE_MAX.
 */
EV_NODISCARD ev_err ws_frame_decode(struct ev_str in, struct ws_frame *out, size_t *out_used);

#define WS_HEADER_MAX 14
/* A client's header; returns its length.  The payload is then to be masked. */
size_t ws_frame_header(char out[WS_HEADER_MAX], unsigned opcode, size_t payload_len,
		       const uint8_t mask[4]);
void ws_mask(char *p, size_t n, const uint8_t mask[4]);

/* Sec-WebSocket-Accept of a key, RFC 6455 §4.2.2: 28 characters and NUL. */
void ws_accept_text(struct ev_str key, char out[29]);

#endif
