/*
 * engine/embedded/cache.h — rows by UUID in memory; the least recently used goes first.
 *
 * Entries embed `struct cache_node` first and belong to the cache.  Entries that an open group has
 * touched are never given up; the limit is exceeded instead.
 */
#ifndef EV_EMBEDDED_CACHE_H
#define EV_EMBEDDED_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/uuid.h"

struct cache_node {
	struct ev_uuid key;
	struct cache_node *newer, *older;
	struct cache_node *touched_next;
	bool touched; /* in the list of touched entries */
	bool dirty;   /* differs from the file */
};

struct cache {
	size_t entry_size;
	size_t limit;
	struct ev_map by_key;
	struct cache_node *newest, *oldest;
	struct cache_node *touched; /* latest first */
	uint64_t hits, misses;
};

/* No allocation before the first entry. */
void cache_init(struct cache *c, size_t entry_size, size_t limit, const uint64_t seed[2]);
void cache_deinit(struct cache *c);

static inline size_t cache_len(const struct cache *c)
{
	return ev_map_len(&c->by_key);
}

/* The entry and its rank renewed, or NULL. */
struct cache_node *cache_find(struct cache *c, const struct ev_uuid *key);
/* A new entry of zeros, its key absent so far; may give up another.  NULL: out of memory. */
struct cache_node *cache_add(struct cache *c, const struct ev_uuid *key);
void cache_remove(struct cache *c, struct cache_node *node);

/* Puts the entry on the list of touched ones and marks it dirty. */
void cache_touch(struct cache *c, struct cache_node *node);
/* Empties the list: the entries stay, clean. */
void cache_settle(struct cache *c);
/* Removes every touched entry. */
void cache_drop_touched(struct cache *c);

#endif
