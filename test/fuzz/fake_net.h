/*
 * test/fuzz/fake_net.h — net/loop.h and net/transport.h without an operating system: time moves
 * when it is told to, and a link's peer is a few variables.  Linked before the net library, these
 * take the places of loop.c and transport_lws.c; all else of the server is the real one.
 *
 * What transport.h demands of its caller is checked here: no write while pending, after the end or
 * after the close, no use of a closed link.
 */
#ifndef EV_FUZZ_FAKE_NET_H
#define EV_FUZZ_FAKE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "net/transport.h"

struct fake_bytes {
	char *p;
	size_t n, cap;
};

/* One connection as its peer sees it; all zero at first. */
struct net_link {
	const struct net_transport_events *events;
	void *conn;
	struct fake_bytes sent;   /* what the server wrote */
	struct fake_bytes unread; /* what it has not read yet, while it is paused */
	bool open;                /* the server has it */
	bool paused;
	bool pending;
	bool ended;  /* the server sends nothing any more */
	bool hold;   /* the kernel takes what is written, but is full then */
	bool broken; /* the next write fails */
};

/* The link that the next net_link_new gives out. */
void fake_link_next(struct net_link *link);
void fake_link_deinit(struct net_link *link);

/* Bytes of the peer, now or when reading goes on; as many at once as the real transport reads. */
#define FAKE_READ_MAX ((size_t)17 * 1024)
void fake_link_receive(struct net_link *link, const uint8_t *p, size_t n);
void fake_link_writable(struct net_link *link); /* if pending */
void fake_link_peer_closes(struct net_link *link);

/* The end of a turn.  Then sleep's: time goes on, due timers come. */
void fake_loop_turn(struct net_loop *l);
void fake_loop_sleep(struct net_loop *l, int64_t ms);

#endif
