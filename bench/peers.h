/*
 * bench/peers.h — many WebSocket clients on one epoll, and what a load needs of them.
 *
 * A peer connects, sends text frames and is told the texts that come; pings are answered.  What the
 * kernel does not take at once is kept and sent when it does.  Callbacks come out of peers_turn.
 */
#ifndef EV_BENCH_PEERS_H
#define EV_BENCH_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

enum peer_state { PEER_CLOSED, PEER_CONNECTING, PEER_UPGRADING, PEER_OPEN };

struct peer {
	int fd;
	enum peer_state state;
	bool muted;      /* nothing is read */
	uint32_t kept_n; /* bytes of a frame that is not whole yet */
	char *kept;
	uint32_t unsent_n;
	char *unsent;
	struct ev_uuid outlet;
};

struct peers_ops {
	void (*open)(void *user, struct peer *p);
	void (*text)(void *user, struct peer *p, struct ev_str text);
	/* It is closed already; the callback may connect it again. */
	void (*closed)(void *user, struct peer *p);
	/* After peer_send had to keep bytes: they are gone. */
	void (*writable)(void *user, struct peer *p);
};

struct peers {
	int epoll;
	uint16_t port;
	const struct peers_ops *ops;
	void *user;
	size_t n_opening, n_open;
	uint64_t n_made;   /* connections begun */
	uint64_t n_closed; /* by the other side, or broken */
};

void peers_init(struct peers *s, uint16_t port, const struct peers_ops *ops, void *user);

/* Begins to connect to /devices/{outlet} at 127.0.0.1. */
void peer_connect(struct peers *s, struct peer *p, const struct ev_uuid *outlet);
/* At once, with a reset; no callback. */
void peer_drop(struct peers *s, struct peer *p);
/* Whether peer_send may be called. */
static inline bool peer_may_send(const struct peer *p)
{
	return p->state == PEER_OPEN && p->unsent_n == 0;
}
/* Masks and sends a text of up to 64 KiB. */
void peer_send(struct peers *s, struct peer *p, struct ev_str text);
/* Stops reading, or begins again. */
void peer_mute(struct peers *s, struct peer *p, bool on);
/* Reads up to max bytes now, also of a muted peer. */
void peer_read(struct peers *s, struct peer *p, size_t max);

/* Waits for events, no longer than wait_ns, and handles them. */
void peers_turn(struct peers *s, int64_t wait_ns);

#endif
