/*
 * net/server.h — an HTTP/1.1 server with WebSocket, Server-Sent Events and long polls.
 *
 * One server per loop, any number of listeners, each with its own handlers, limits and TLS.  All
 * functions belong to the loop's thread.  Handlers are called from the loop only, never from inside
 * a function of this file, so a handler may call all of them but net_server_free.
 *
 * A request is handed over when it is there as a whole, body included, and is answered through its
 * handle at once or later.  A handle is a weak reference: when the peer has left, or the answer was
 * given, functions return EV_CLOSED, and the handle never becomes somebody else's.
 */
#ifndef EV_NET_SERVER_H
#define EV_NET_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/str.h"
#include "net/http.h"
#include "net/loop.h"

struct net_server;
struct net_listener;

/* All zero is the handle of nothing. */
struct net_handle {
	uint32_t slot;
	uint32_t generation;
};

static inline bool net_handle_eq(struct net_handle a, struct net_handle b)
{
	return a.slot == b.slot && a.generation == b.generation;
}

struct net_peer {
	uint8_t address[16]; /* IPv6, or IPv4 mapped into it (::ffff:a.b.c.d) */
	uint16_t port;
};

#define NET_PEER_TEXT 56 /* "[…]:65535" and NUL */

/* "192.0.2.1:1234" or "[2001:db8::1]:1234". */
void net_peer_text(const struct net_peer *peer, char out[NET_PEER_TEXT]);

/* Everything is valid only while the handler runs. */
struct net_request {
	struct net_handle handle;
	struct net_listener *listener;
	enum net_method method;
	struct ev_str path;  /* raw, begins with '/', or "*" for OPTIONS */
	struct ev_str query; /* raw, without '?' */
	const struct net_header *headers;
	size_t n_headers;
	struct ev_str body; /* dechunked */
	struct net_peer peer;
	bool tls;
};

/* The value of the first header of that name (any case), or { NULL, 0 }. */
static inline struct ev_str net_request_header(const struct net_request *r, const char *name)
{
	return net_http_header(r->headers, r->n_headers, name);
}

/*
 * The subprotocols that a WebSocket request offers, in its order of preference: `*at` is 0 at
 * first. False at the end.
 */
bool net_request_subprotocol(const struct net_request *r, size_t *at, struct ev_str *out);

enum net_ws_kind { NET_WS_KIND_TEXT, NET_WS_KIND_BINARY };

/*
 * What a listener calls.  Each gets `user` of its configuration; conn_user is what net_set_user
 * gave for the handle, else NULL.
 */
struct net_handlers {
	/* Required.  Answer with net_reply or net_stream_begin, now or later. */
	void (*on_request)(void *user, const struct net_request *req);
	/*
	 * A valid WebSocket handshake: net_ws_accept, or net_reply to refuse, now or later.  NULL:
	 * such requests go to on_request, as if they had not asked.
	 */
	void (*on_ws_request)(void *user, const struct net_request *req);
	/* A whole message (fragments joined; text is valid UTF-8).  Bytes are borrowed. */
	void (*on_ws_message)(void *user, struct net_handle ws, void *conn_user,
			      enum net_ws_kind kind, struct ev_str bytes);
	/* Exactly once for each accepted WebSocket.  code: the peer's, ours, or 1006 if none. */
	void (*on_ws_close)(void *user, struct net_handle ws, void *conn_user, unsigned code);
	/* The peer left before the answer was given, or before the stream ended.  May be NULL. */
	void (*on_gone)(void *user, struct net_handle request, void *conn_user);
	/*
	 * After EV_FULL of a stream or WebSocket: its queue is at most half full again.  May be
	 * NULL.
	 */
	void (*on_room)(void *user, struct net_handle handle, void *conn_user);
};

/* Zero of a time means: no such limit.  net_listener_config_init sets what is in brackets. */
struct net_limits {
	uint32_t max_connections;             /* [10,000]; more are answered 503 and closed */
	uint32_t max_connections_per_address; /* [0: no limit]; an IPv6 /64 counts as one */
	uint32_t max_header_bytes;            /* [8,192], of a request's head; else 431 */
	uint32_t max_body_bytes;              /* [102,400]; else 413, before it is read */
	uint32_t max_message_bytes;           /* [65,536], of a WebSocket message; else 1009 */
	uint32_t max_out_bytes;               /* [262,144], queued to a stream or WebSocket */
	uint32_t send_buffer_bytes;           /* [0: the kernel's], of each socket */
	uint32_t header_timeout_ms;           /* [10,000], from first byte (or connect) to all */
	uint32_t body_timeout_ms;             /* [30,000], from the head to all of the body */
	uint32_t keepalive_timeout_ms;        /* [60,000], between requests */
	uint32_t write_timeout_ms;            /* [30,000], without any progress of what is queued */
	uint32_t ping_interval_ms;            /* [30,000], WebSocket: after silence of so long */
	uint32_t pong_timeout_ms;             /* [20,000], silence after a ping */
	uint32_t ws_idle_timeout_ms;          /* [0], WebSocket without any message of the peer */
};

/* Whether several listeners have one address; the kernel deals connections out among them. */
enum net_share {
	NET_SHARE_NONE,
	/* The address must be free; then others may join, of this user's processes only. */
	NET_SHARE_FIRST,
	NET_SHARE_JOIN /* one that another listener shares, or that is free */
};

struct net_quota; /* see net/quota.h */

struct net_listener_config {
	const char *name;    /* label of its metrics: letters, digits, -; copied */
	const char *address; /* a numeric IPv4 or IPv6 address [127.0.0.1] */
	uint16_t port;       /* 0: any, see net_listener_port */
	int fd; /* a listening socket to use instead of both (it is taken over), or [-1] */
	enum net_share share;
	struct net_quota *quota; /* for max_connections…; borrowed; NULL: one of its own */
	const char *tls_cert;    /* PEM files; NULL: plain TCP.  At least TLS 1.2. */
	const char *tls_key;
	const char *tls_client_ca; /* NULL: no client certificates */
	bool tls_client_required;  /* without: a certificate is asked for, but may be missing */
	struct net_limits limits;
	const struct net_handlers *handlers; /* borrowed */
	void *user;
};

void net_listener_config_init(struct net_listener_config *c);

/*
 * metrics may be NULL; else the server's are in it until net_server_free.  EV_NOMEM, EV_IO.
 */
EV_NODISCARD ev_err net_server_new(struct net_loop *loop, struct ev_metrics *metrics,
				   struct net_server **out, struct ev_fail *fail);

/* Closes everything at once; on_ws_close and on_gone are called.  Before the loop is freed. */
void net_server_free(struct net_server *s);
void net_server_freep(struct net_server **s);

/*
 * Binds and listens.  EV_INVALID (address, TLS files), EV_EXISTS (address in use), EV_DENIED,
 * EV_IO, EV_NOMEM.  The listener belongs to the server.
 */
EV_NODISCARD ev_err net_server_listen(struct net_server *s, const struct net_listener_config *c,
				      struct net_listener **out, struct ev_fail *fail);

uint16_t net_listener_port(const struct net_listener *l);
const char *net_listener_name(const struct net_listener *l);

/* For connections to come; max and the limit that the listener began with are above 0. */
void net_listener_set_max_per_address(struct net_listener *l, uint32_t max);

/* Certificates and keys again from their files; the old ones stay where the new are unusable. */
EV_NODISCARD ev_err net_server_reload_tls(struct net_server *s, struct ev_fail *fail);

/*
 * Stops listening, lets requests end, closes idle connections, ends streams (on_gone follows) and
 * WebSockets (1001); what is left at the deadline is cut.  done(user) comes when no connection is
 * left.  Once for each server.
 */
void net_server_drain(struct net_server *s, int64_t deadline_ms, net_fn *done, void *user);

size_t net_server_connections(const struct net_server *s);

/* --- any handle --- */

/* A pointer of the caller for this handle; gone with it.  EV_CLOSED. */
EV_NODISCARD ev_err net_set_user(struct net_server *s, struct net_handle h, void *conn_user);

/* NULL when none was set or the handle is closed. */
void *net_user(const struct net_server *s, struct net_handle h);

bool net_is_open(const struct net_server *s, struct net_handle h);

/*
 * The common name of the client's verified certificate, NUL-terminated.  EV_NOTFOUND: it has shown
 * none, or it is longer than cap - 1 bytes; EV_CLOSED.
 */
EV_NODISCARD ev_err net_client_name(const struct net_server *s, struct net_handle h, char *out,
				    size_t cap);

/* --- answers --- */

struct net_response {
	int status; /* 200..599 */
	const struct net_header *headers;
	size_t n_headers;
	struct ev_str body; /* not sent for HEAD, 204 and 304 */
	bool close;         /* close the connection afterwards */
};

/*
 * Answers; everything is copied.  Content-Length is added (304: not).  EV_CLOSED: the peer left or
 * it was answered; EV_INVALID: status, a header that cannot be sent or is ours (Content-Length,
 * Transfer-Encoding, Connection); EV_NOMEM: the connection is closed then.
 */
EV_NODISCARD ev_err net_reply(struct net_server *s, struct net_handle h,
			      const struct net_response *r);

/*
 * Begins an answer of unknown length (chunked; to HTTP/1.0 until close).  r->body is its first
 * part. The handle goes on to work for the three functions below.  Errors as net_reply.
 */
EV_NODISCARD ev_err net_stream_begin(struct net_server *s, struct net_handle h,
				     const struct net_response *r);

/*
 * Queues bytes.  EV_FULL: they would go beyond max_out_bytes, nothing was queued: wait for on_room
 * or end it.  EV_CLOSED, EV_NOMEM.
 */
EV_NODISCARD ev_err net_stream_write(struct net_server *s, struct net_handle h,
				     struct ev_str bytes);

/* Ends the stream; what is queued is still sent.  EV_CLOSED. */
EV_NODISCARD ev_err net_stream_end(struct net_server *s, struct net_handle h);

/* --- WebSocket --- */

struct net_ws_accept {
	struct ev_str subprotocol; /* one of those offered, or empty */
	void *conn_user;
};

/*
 * Accepts a handshake; the request's handle ends, *out_ws is the WebSocket's until on_ws_close.
 * Messages may be sent at once.  EV_CLOSED; EV_INVALID: subprotocol is no token; EV_NOMEM.
 */
EV_NODISCARD ev_err net_ws_accept(struct net_server *s, struct net_handle request,
				  const struct net_ws_accept *a, struct net_handle *out_ws);

/*
 * Queues a message, sent at the end of this turn.  Text must be UTF-8: asserted in tests, not here.
 * EV_FULL as net_stream_write; EV_CLOSED also after net_ws_close; EV_NOMEM.
 */
EV_NODISCARD ev_err net_ws_send(struct net_server *s, struct net_handle ws, enum net_ws_kind kind,
				struct ev_str bytes);

/*
 * Sends a close frame (reason up to 123 bytes, cut there) behind what is queued, waits a second for
 * the peer's, and closes; on_ws_close follows.  EV_CLOSED: it is closing already.
 */
EV_NODISCARD ev_err net_ws_close(struct net_server *s, struct net_handle ws, unsigned code,
				 const char *reason);

/*
 * Stops and resumes on_ws_message, for bounding what is in work for a peer.  Nothing is lost: the
 * peer is held back by TCP.  Pings and idleness rest meanwhile.  EV_CLOSED.
 */
EV_NODISCARD ev_err net_ws_pause_reading(struct net_server *s, struct net_handle ws, bool paused);

/* Bytes queued to a stream or WebSocket and not yet taken by the kernel; 0 when closed. */
size_t net_queued(const struct net_server *s, struct net_handle h);

/* Where libwebsockets' own warnings go (process-wide); NULL, the default: nowhere. */
void net_set_library_log(void (*fn)(bool is_error, const char *line));

#endif
