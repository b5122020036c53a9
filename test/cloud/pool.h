/*
 * test/cloud/pool.h — memory taken piece by piece and given back at once, without a bound.
 *
 * As base/arena.h, but it grows: what a test asks for is bounded by the test.  Aborts when there is
 * no memory.
 */
#ifndef EV_TEST_CLOUD_POOL_H
#define EV_TEST_CLOUD_POOL_H

#include <stddef.h>

#include "base/str.h"

struct pool_chunk;

/* Starts as all zero. */
struct pool {
	struct pool_chunk *first;
	size_t left; /* bytes of the first chunk */
};

/* n zeroed bytes, aligned to 16. */
void *pool_alloc(struct pool *p, size_t n);

/* A copy with a NUL behind it that does not count. */
struct ev_str pool_copy(struct pool *p, struct ev_str s);

/* Frees all; the pool can be used again. */
void pool_clear(struct pool *p);

/* As calloc and realloc, but they abort. */
void *must_calloc(size_t n, size_t size);
void *must_realloc(void *p, size_t n, size_t size);

#endif
