/*
 * test/unit/net_fixture.h — the real server on a loopback socket and clients beside it in the same
 * thread: whoever waits turns the server's loop, so nothing sleeps and nothing races.
 */
#ifndef EV_TEST_NET_FIXTURE_H
#define EV_TEST_NET_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/metrics.h"
#include "net/server.h"

#define FIXTURE_MAX_EVENTS 64

enum fixture_seen { SEEN_REQUEST, SEEN_WS_REQUEST, SEEN_MESSAGE, SEEN_CLOSE, SEEN_GONE, SEEN_ROOM };

/* What the handlers saw, in order. */
struct fixture_event {
	enum fixture_seen what;
	struct net_handle handle;
	void *conn_user;
	unsigned code;
	size_t len; /* of a body or message */
};

struct fixture {
	struct net_loop *loop;
	struct net_server *server;
	struct net_listener *listener;
	struct ev_metrics metrics;
	struct net_listener_config config; /* change before fixture_listen */
	struct fixture_event events[FIXTURE_MAX_EVENTS];
	size_t n_events;
	size_t n_messages; /* also those that no longer fit */
	bool drained;
};

/*
 * Handlers by path: /echo answers with the body, /target with path?query, /later and /stream and
 * every WebSocket below /later are left to the test, /ws echoes, /ws/silent only counts, /ws/no is
 * refused with 403, /ws/sub accepts with subprotocol "ocpp1.6", all else is 404.
 */
void fixture_init(struct fixture *f); /* a config with short times; not yet listening */
void fixture_listen(struct fixture *f);
void fixture_deinit(struct fixture *f);

void fixture_turn(struct fixture *f);
/* Turns until *n >= wanted; fails the test after 5 s. */
void fixture_wait_events(struct fixture *f, size_t wanted);
void fixture_wait_messages(struct fixture *f, size_t wanted);
void fixture_wait_connections(struct fixture *f, size_t wanted);
/* A counter by the start of its line in the text form, e.g. "evcharge_net_connections{"; fails if
 * absent. */
uint64_t fixture_metric(struct fixture *f, const char *line_start);
/* Exactly that, by the reason label of aborted ones. */
uint64_t fixture_aborted(struct fixture *f, const char *reason);

struct client {
	struct fixture *f;
	int fd;
	SSL *ssl;
	char in[80000];
	size_t n;
	bool ended; /* the server has closed */
};

void client_open(struct fixture *f, struct client *c);
/* With a small receive buffer, so that the server's writes back up soon. */
void client_open_narrow(struct fixture *f, struct client *c);
void client_close(struct client *c);
void client_send(struct client *c, const void *p, size_t n);
void client_send_z(struct client *c, const char *z);
/* Reads what there is, without waiting. */
void client_poll(struct client *c);
/* Waits until at least n bytes are there. */
void client_wait_bytes(struct client *c, size_t n);
/* Waits until the bytes read begin with text, and drops them. */
void client_expect(struct client *c, const char *text);
/* Waits for a whole answer with Content-Length; checks status; gives its body; drops it. */
void client_expect_answer(struct client *c, int status, const char *body);
/* Waits for an answer and returns its status; *out_head gets a copy of its head. */
int client_read_answer(struct client *c, char *out_head, size_t cap);
/* Waits until the server closes; what came before is left in c->in. */
void client_expect_end(struct client *c);

/* --- WebSocket --- */

void ws_open(struct client *c, const char *path);
/* A masked frame into out; returns its size. */
size_t ws_make(char *out, unsigned first_byte, const char *payload, size_t n);
void ws_send(struct client *c, unsigned first_byte, const char *payload, size_t n);
/* Waits for an unmasked frame with this first byte and payload, and drops it. */
void ws_expect(struct client *c, unsigned first_byte, const char *payload, size_t n);
/* Waits for any unmasked frame; gives its payload, NUL-terminated, and its first byte. */
unsigned ws_read(struct client *c, char *out, size_t cap);
/* A close frame with this code and the end of the connection. */
void ws_expect_failed(struct client *c, unsigned code);

#endif
