#include "engine/embedded/cache.h"

#include <assert.h>
#include <stdlib.h>

void cache_init(struct cache *c, size_t entry_size, size_t limit, const uint64_t seed[2])
{
	assert(entry_size >= sizeof(struct cache_node) && limit > 0);
	*c = (struct cache){ .entry_size = entry_size, .limit = limit };
	ev_map_init(&c->by_key, 0, seed);
}

void cache_deinit(struct cache *c)
{
	struct cache_node *node = c->newest;

	while (node != NULL) {
		struct cache_node *older = node->older;

		free(node);
		node = older;
	}
	ev_map_deinit(&c->by_key);
	c->newest = NULL;
}

static void unrank(struct cache *c, struct cache_node *node)
{
	if (node->newer != NULL)
		node->newer->older = node->older;
	else
		c->newest = node->older;
	if (node->older != NULL)
		node->older->newer = node->newer;
	else
		c->oldest = node->newer;
}

static void rank_first(struct cache *c, struct cache_node *node)
{
	node->newer = NULL;
	node->older = c->newest;
	if (c->newest != NULL)
		c->newest->newer = node;
	else
		c->oldest = node;
	c->newest = node;
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
	if (node != c->newest) {
		unrank(c, node);
		rank_first(c, node);
	}
	return node;
}

static void give_up_oldest(struct cache *c)
{
	struct cache_node *node = c->oldest;

	while (node != NULL && node->touched)
		node = node->newer;
	if (node != NULL)
		cache_remove(c, node);
}

struct cache_node *cache_add(struct cache *c, const struct ev_uuid *key)
{
	struct cache_node *node = calloc(1, c->entry_size);

	if (node == NULL)
		return NULL;
	if (cache_len(c) >= c->limit)
		give_up_oldest(c);
	node->key = *key;
	if (ev_map_put(&c->by_key, key->b, (uintptr_t)node) != EV_OK) {
		free(node);
		return NULL;
	}
	rank_first(c, node);
	return node;
}

/* Takes the entry off the list of touched ones; linear, and only on the way of a failure. */
static void untouch(struct cache *c, struct cache_node *node)
{
	struct cache_node **at = &c->touched;

	while (*at != node)
		at = &(*at)->touched_next;
	*at = node->touched_next;
	node->touched = false;
}

void cache_remove(struct cache *c, struct cache_node *node)
{
	(void)ev_map_remove(&c->by_key, node->key.b, NULL);
	if (node->touched)
		untouch(c, node);
	unrank(c, node);
	free(node);
}

void cache_touch(struct cache *c, struct cache_node *node)
{
	node->dirty = true;
	if (node->touched)
		return;
	node->touched = true;
	node->touched_next = c->touched;
	c->touched = node;
}

void cache_settle(struct cache *c)
{
	while (c->touched != NULL) {
		struct cache_node *node = c->touched;

		c->touched = node->touched_next;
		node->touched = false;
		node->dirty = false;
	}
}

void cache_drop_touched(struct cache *c)
{
	while (c->touched != NULL)
		cache_remove(c, c->touched);
}
