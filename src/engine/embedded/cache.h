/*
 * engine/embedded/cache.h — rows by UUID in memory; what was not used for a round goes first.
 *
 * Entries embed `struct cache_node` first and belong to the cache.  Entries that an open group has
 * touched are never given up; the limit is exceeded until its end instead.
 */
#ifndef EV_EMBEDDED_CACHE_H
#define EV_EMBEDDED_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/uuid.h"

struct cache_node {
	struct ev_uuid key;
	int64_t n; /* key of the row in the file */
	struct cache_node *prev, *next;
	struct cache_node *touched_next;
	uint64_t touched_in; /* number of the group that touched it last, 0: none */
	bool used;           /* since the hand came by */
	bool dirty;          /* differs from the file */
};

struct cache_dirty {
	int64_t n;
	struct cache_node *node;
};

struct cache {
	size_t entry_size;
	size_t limit;
	struct ev_map by_key;
	struct cache_node *hand; /* of the ring of all entries: where the search for room goes on */
	uint64_t group;          /* number of the group that touches */
	struct cache_node *touched;
	size_t n_touched;
	struct cache_dirty *dirty; /* room for cache_list_dirty */
	size_t max_dirty;
	uint64_t hits, misses;
};

/* No allocation before the first entry. */
void cache_init(struct cache *c, size_t entry_size, size_t limit, const uint64_t seed[2]);
void cache_deinit(struct cache *c);

static inline size_t cache_len(const struct cache *c)
{
	return ev_map_len(&c->by_key);
}

/* The entry, or NULL. */
struct cache_node *cache_find(struct cache *c, const struct ev_uuid *key);
/* A new entry of zeros, its key absent so far; may give up another.  NULL: out of memory. */
struct cache_node *cache_add(struct cache *c, const struct ev_uuid *key);

/* Puts the entry on the list of the group's touched ones and marks it dirty. */
void cache_touch(struct cache *c, struct cache_node *node);
/*
 * The dirty entries in order of n, in which the file takes them cheapest; *out is valid until the
 * next call.  EV_NOMEM.
 */
EV_NODISCARD ev_err cache_list_dirty(struct cache *c, const struct cache_dirty **out,
				     size_t *out_n);
/* The group is over, its entries are written: they stay. */
void cache_settle(struct cache *c);
/* The group is over and did not take place: its entries go. */
void cache_drop_touched(struct cache *c);

#endif
