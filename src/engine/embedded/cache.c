#include "engine/embedded/cache.h"

#include <assert.h>
#include <stdlib.h>

void cache_init(struct cache *c, size_t entry_size, size_t limit, const uint64_t seed[2])
{
	assert(entry_size >= sizeof(struct cache_node) && limit > 0);
	*c = (struct cache){ .entry_size = entry_size, .limit = limit, .group = 1 };
	ev_map_init(&c->by_key, 0, seed);
}

static void ring_out(struct cache *c, struct cache_node *node)
{
	if (node->next == node) {
		c->hand = NULL;
		return;
	}
	node->prev->next = node->next;
	node->next->prev = node->prev;
	if (c->hand == node)
		c->hand = node->next;
}

/* Behind the hand: it comes by last. */
static void ring_in(struct cache *c, struct cache_node *node)
{
	struct cache_node *hand = c->hand;

	if (hand == NULL) {
		node->prev = node;
		node->next = node;
		c->hand = node;
		return;
	}
	node->next = hand;
	node->prev = hand->prev;
	hand->prev->next = node;
	hand->prev = node;
}

static void forget(struct cache *c, struct cache_node *node)
{
	(void)ev_map_remove(&c->by_key, node->key.b, NULL);
	ring_out(c, node);
	free(node);
}

void cache_deinit(struct cache *c)
{
	while (c->hand != NULL)
		forget(c, c->hand);
	ev_map_deinit(&c->by_key);
	free(c->dirty);
	c->dirty = NULL;
}

struct cache_node *cache_find(struct cache *c, const struct ev_uuid *key)
{
	uintptr_t found = 0;

	if (!ev_map_get(&c->by_key, key->b, &found)) {
		c->misses++;
		return NULL;
	}
	struct cache_node *node = (struct cache_node *)found;

	c->hits++;
	node->used = true;
	return node;
}

/* Gives one entry up; two rounds at most: the first takes the marks of use away. */
static void make_room(struct cache *c)
{
	for (size_t i = 2 * cache_len(c); i > 0; i--) {
		struct cache_node *node = c->hand;

		assert(node != NULL);
		if (!node->used && node->touched_in != c->group) {
			forget(c, node);
			return;
		}
		node->used = false;
		c->hand = node->next;
	}
}

struct cache_node *cache_add(struct cache *c, const struct ev_uuid *key)
{
	struct cache_node *node = calloc(1, c->entry_size);

	if (node == NULL)
		return NULL;
	if (cache_len(c) >= c->limit)
		make_room(c);
	node->key = *key;
	if (ev_map_put(&c->by_key, key->b, (uintptr_t)node) != EV_OK) {
		free(node);
		return NULL;
	}
	ring_in(c, node);
	return node;
}

void cache_touch(struct cache *c, struct cache_node *node)
{
	node->dirty = true;
	if (node->touched_in == c->group)
		return;
	node->touched_in = c->group;
	node->touched_next = c->touched;
	c->touched = node;
	c->n_touched++;
}

static int by_n(const void *a, const void *b)
{
	int64_t x = ((const struct cache_dirty *)a)->n, y = ((const struct cache_dirty *)b)->n;

	return (x > y) - (x < y);
}

ev_err cache_list_dirty(struct cache *c, const struct cache_dirty **out, size_t *out_n)
{
	size_t n = 0;

	if (c->n_touched > c->max_dirty) {
		struct cache_dirty *room = reallocarray(c->dirty, c->n_touched * 2,
							sizeof(c->dirty[0]));

		if (room == NULL)
			return EV_NOMEM;
		c->dirty = room;
		c->max_dirty = c->n_touched * 2;
	}
	for (struct cache_node *node = c->touched; node != NULL; node = node->touched_next) {
		if (node->dirty)
			c->dirty[n++] = (struct cache_dirty){ node->n, node };
	}
	if (n > 1)
		qsort(c->dirty, n, sizeof(c->dirty[0]), by_n);
	*out = c->dirty;
	*out_n = n;
	return EV_OK;
}

void cache_settle(struct cache *c)
{
	c->touched = NULL;
	c->n_touched = 0;
	c->group++;
	/* A large group may have gone beyond the limit. */
	while (cache_len(c) > c->limit)
		make_room(c);
}

void cache_drop_touched(struct cache *c)
{
	struct cache_node *node = c->touched;

	while (node != NULL) {
		struct cache_node *next = node->touched_next;

		forget(c, node);
		node = next;
	}
	cache_settle(c);
}
