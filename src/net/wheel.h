/*
 * net/wheel.h — a timer wheel of four levels of 64 slots: arming, moving and cancelling are O(1),
 * and the next tick at which anything can happen is found without visiting a timer.
 *
 * Time here is a count of ticks that only the owner gives a length; nothing reads a clock.  A timer
 * never fires before its tick.  Timers farther away than the wheel reaches (2^24 ticks) go round.
 */
#ifndef EV_NET_WHEEL_H
#define EV_NET_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_WHEEL_LEVELS 4
#define NET_WHEEL_SLOTS 64

/* Embedded in what waits.  All zero is a node that is not armed. */
struct net_wheel_node {
	struct net_wheel_node *next;
	struct net_wheel_node **link; /* what points at this node; NULL when not armed */
	uint64_t tick;
};

struct net_wheel {
	uint64_t now;
	size_t n_armed;
	uint64_t used[NET_WHEEL_LEVELS]; /* one bit for each slot that is not empty */
	struct net_wheel_node *slots[NET_WHEEL_LEVELS][NET_WHEEL_SLOTS];
	struct net_wheel_node *due; /* while net_wheel_advance runs */
};

typedef void net_wheel_fn(void *user, struct net_wheel_node *node);

void net_wheel_init(struct net_wheel *w, uint64_t now);

/* (Re)arms node for `tick`; a tick that is not in the future is taken as the next one. */
void net_wheel_arm(struct net_wheel *w, struct net_wheel_node *node, uint64_t tick);

/* Cancelling a node that is not armed does nothing. */
void net_wheel_cancel(struct net_wheel *w, struct net_wheel_node *node);

static inline bool net_wheel_is_armed(const struct net_wheel_node *node)
{
	return node->link != NULL;
}

/*
 * Moves time to `now` (earlier is ignored) and calls fn for each timer that became due, disarmed,
 * in order of ticks.  fn may arm and cancel any timer of this wheel, but not call this function.
 */
void net_wheel_advance(struct net_wheel *w, uint64_t now, net_wheel_fn *fn, void *user);

/*
 * The tick at which net_wheel_advance has something to do next: never later than the earliest
 * timer, sometimes earlier.  UINT64_MAX when nothing is armed.
 */
uint64_t net_wheel_next(const struct net_wheel *w);

#endif
