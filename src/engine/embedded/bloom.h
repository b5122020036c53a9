/*
 * engine/embedded/bloom.h — "was this identity in a late block?", answered from memory.
 *
 * A row of Bloom filters, each for a stretch of time and a number of entries; a new one begins when
 * the newest is full or old, and one that has aged out is freed.  No memory before the first entry.
 * False positives: about one in two hundred after a million entries; no false negatives within
 * `keep`.
 */
#ifndef EV_EMBEDDED_BLOOM_H
#define EV_EMBEDDED_BLOOM_H

#include "base/err.h"
#include "core/types.h"

struct bloom_filter;

struct bloom {
	int64_t keep_ns; /* 0: for ever */
	struct bloom_filter *newest;
};

void bloom_init(struct bloom *b, int64_t keep_ns);
void bloom_deinit(struct bloom *b);

/* Remembers an identity of time at_ns.  EV_NOMEM: not remembered. */
EV_NODISCARD ev_err bloom_add(struct bloom *b, const struct identity *id, int64_t at_ns);
/* False: certainly not added within keep_ns before now.  Frees what has aged out. */
bool bloom_may_have(struct bloom *b, const struct identity *id, int64_t now_ns);
/* Bytes in use. */
size_t bloom_size(const struct bloom *b);

#endif
