/*
 * base/map.h — a hash map from 16 bytes (a UUID, an identity) to one word, a pointer or a number.
 *
 * Open addressing with linear probing; removal shifts what follows back, so there are no tombstones
 * and a map that churns stays as fast as a new one.  Keys come from peers: the hash is SipHash-1-3
 * under a secret seed, so nobody can choose keys that collide.  Not for several threads.
 */
#ifndef EV_BASE_MAP_H
#define EV_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct ev_map_slot;

struct ev_map {
	struct ev_map_slot *slots;
	size_t mask; /* slots - 1; 0 while there are none */
	size_t n;
	size_t max;
	uint64_t seed[2];
};

/* At most max keys (0: no bound).  The seed is random in production.  Allocates nothing yet. */
void ev_map_init(struct ev_map *m, size_t max, const uint64_t seed[2]);

/* Frees the map's own memory; what the values point to is the caller's. */
void ev_map_deinit(struct ev_map *m);

static inline size_t ev_map_len(const struct ev_map *m)
{
	return m->n;
}

/* Adds or replaces.  EV_NOMEM, or EV_FULL for a new key beyond max: then nothing has changed. */
EV_NODISCARD ev_err ev_map_put(struct ev_map *m, const uint8_t key[16], uintptr_t value);

/* False if absent; *out (may be NULL) is then untouched. */
bool ev_map_get(const struct ev_map *m, const uint8_t key[16], uintptr_t *out);

/* False if absent; *out (may be NULL) gets the value that was there.  Never allocates. */
bool ev_map_remove(struct ev_map *m, const uint8_t key[16], uintptr_t *out);

void ev_map_clear(struct ev_map *m);

/*
 * Walks over all keys in no particular order: start with *at = 0, go on while true.  A put or
 * remove ends the walk.  *out_key (16 bytes) points into the map.
 */
bool ev_map_next(const struct ev_map *m, size_t *at, const uint8_t **out_key, uintptr_t *out);

#endif
