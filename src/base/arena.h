/*
 * base/arena.h — memory of one message or request: taken piece by piece, given back all at once.
 *
 * The block has a fixed size, so whatever a peer sends costs no more than that.  Pointers into an
 * arena live until its next reset and are never stored in anything that lives longer.  Under ASan
 * what was not handed out, and everything after a reset, is poisoned.  Not for several threads.
 */
#ifndef EV_BASE_ARENA_H
#define EV_BASE_ARENA_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"

struct ev_arena {
	char *block;
	size_t cap;
	size_t used;
	size_t peak; /* the most ever used, for a metric */
};

/* Over a block that the caller owns and keeps; 16-byte alignment makes the best of it. */
void ev_arena_init(struct ev_arena *a, void *block, size_t cap);

/* Ends the use of the caller's block: it may be freed or used otherwise afterwards. */
void ev_arena_deinit(struct ev_arena *a);

/* n bytes of undefined content, aligned to 16; NULL when the arena has not that many left. */
void *ev_arena_alloc(struct ev_arena *a, size_t n);

/* Room for n objects of a size, zeroed; NULL also when the product overflows. */
void *ev_arena_calloc(struct ev_arena *a, size_t n, size_t size);

/* A copy of s with a NUL behind it that does not count; NULL when it does not fit. */
char *ev_arena_copy(struct ev_arena *a, struct ev_str s);

/* All that was handed out becomes invalid. */
void ev_arena_reset(struct ev_arena *a);

/* An arena over its own heap block; EV_NOMEM.  Freed by ev_arena_free, which takes NULL too. */
EV_NODISCARD ev_err ev_arena_new(size_t cap, struct ev_arena **out);
void ev_arena_free(struct ev_arena *a);

static inline void ev_arena_freep(struct ev_arena **a)
{
	ev_arena_free(*a);
}

#endif
