/*
 * net/wheel.c — level k holds timers by bits 6k..6k+5 of their tick.  When time enters a slot of a
 * level above 0, its timers are spread over the levels below (they are due within that slot).
 */
#include "net/wheel.h"

#include <assert.h>
#include <string.h>

#define BITS 6U
#define MASK (NET_WHEEL_SLOTS - 1U)
#define REACH (UINT64_C(1) << (BITS * NET_WHEEL_LEVELS))

static_assert(NET_WHEEL_SLOTS == 1U << BITS, "a slot set fits one word");

void net_wheel_init(struct net_wheel *w, uint64_t now)
{
	*w = (struct net_wheel){ .now = now };
}

static void push(struct net_wheel_node **head, struct net_wheel_node *node)
{
	node->next = *head;
	node->link = head;
	if (node->next != NULL)
		node->next->link = &node->next;
	*head = node;
}

static void take(struct net_wheel_node *node)
{
	*node->link = node->next;
	if (node->next != NULL)
		node->next->link = node->link;
	node->next = NULL;
	node->link = NULL;
}

/* Puts a node whose tick is not in the past where it belongs. */
static void place(struct net_wheel *w, struct net_wheel_node *node)
{
	uint64_t ahead = node->tick - w->now;
	uint64_t tick = ahead < REACH ? node->tick : w->now + REACH - 1;
	unsigned level = 0;

	while (level + 1 < NET_WHEEL_LEVELS && (ahead >> (BITS * (level + 1))) != 0)
		level++;
	size_t slot = (size_t)(tick >> (BITS * level)) & MASK;

	push(&w->slots[level][slot], node);
	w->used[level] |= UINT64_C(1) << slot;
}

void net_wheel_arm(struct net_wheel *w, struct net_wheel_node *node, uint64_t tick)
{
	net_wheel_cancel(w, node);
	node->tick = tick > w->now ? tick : w->now + 1;
	place(w, node);
	w->n_armed++;
}

void net_wheel_cancel(struct net_wheel *w, struct net_wheel_node *node)
{
	if (node->link == NULL)
		return;
	/* A slot left empty keeps its bit; it costs one vain visit and is cleared then. */
	take(node);
	w->n_armed--;
}

/* Distance 1..64 from slot `from` to the next used one in its ring. */
static unsigned distance(uint64_t used, unsigned from)
{
	unsigned shift = (from + 1) & MASK;
	uint64_t turned = shift == 0 ? used : (used >> shift) | (used << (64 - shift));

	return (unsigned)__builtin_ctzll(turned) + 1;
}

uint64_t net_wheel_next(const struct net_wheel *w)
{
	uint64_t next = UINT64_MAX;

	if (w->n_armed == 0)
		return next;
	for (unsigned level = 0; level < NET_WHEEL_LEVELS; level++) {
		uint64_t at = w->now >> (BITS * level);

		if (w->used[level] == 0)
			continue;
		at += distance(w->used[level], (unsigned)(at & MASK));
		at <<= BITS * level;
		if (at < next)
			next = at;
	}
	return next;
}

static void spread(struct net_wheel *w, unsigned level)
{
	size_t slot = (size_t)(w->now >> (BITS * level)) & MASK;
	struct net_wheel_node *all = w->slots[level][slot];

	w->slots[level][slot] = NULL;
	w->used[level] &= ~(UINT64_C(1) << slot);
	while (all != NULL) {
		struct net_wheel_node *node = all;

		all = node->next;
		place(w, node);
	}
}

static void fire(struct net_wheel *w, net_wheel_fn *fn, void *user)
{
	size_t slot = (size_t)w->now & MASK;

	w->due = w->slots[0][slot];
	if (w->due != NULL)
		w->due->link = &w->due;
	w->slots[0][slot] = NULL;
	w->used[0] &= ~(UINT64_C(1) << slot);

	while (w->due != NULL) {
		struct net_wheel_node *node = w->due;

		take(node);
		if (node->tick > w->now) { /* it was out of the wheel's reach */
			place(w, node);
			continue;
		}
		w->n_armed--;
		fn(user, node);
	}
}

void net_wheel_advance(struct net_wheel *w, uint64_t now, net_wheel_fn *fn, void *user)
{
	assert(w->due == NULL);
	while (w->now < now) {
		uint64_t next = net_wheel_next(w);

		if (next > now) {
			w->now = now;
			return;
		}
		w->now = next;
		for (unsigned level = NET_WHEEL_LEVELS - 1; level > 0; level--) {
			if ((w->now & ((UINT64_C(1) << (BITS * level)) - 1)) == 0)
				spread(w, level);
		}
		fire(w, fn, user);
	}
}
