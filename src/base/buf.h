/*
 * base/buf.h — a writer into memory of fixed capacity that the caller owns.
 *
 * Appends never fail visibly: the first one that does not fit sets `overflow` and all later ones do
 * nothing, so a codec writes straight through and the caller checks once.  No allocation.
 */
#ifndef EV_BASE_BUF_H
#define EV_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/str.h"

struct ev_buf {
	char *p;
	size_t len;
	size_t cap;
	bool overflow;
};

static inline struct ev_buf ev_buf_over(char *p, size_t cap)
{
	return (struct ev_buf){ .p = p, .cap = cap };
}

static inline struct ev_str ev_buf_str(const struct ev_buf *b)
{
	return (struct ev_str){ b->p, b->len };
}

void ev_buf_bytes(struct ev_buf *b, const void *p, size_t n);
void ev_buf_str_add(struct ev_buf *b, struct ev_str s);
void ev_buf_z(struct ev_buf *b, const char *z);
void ev_buf_char(struct ev_buf *b, char c);
void ev_buf_u64(struct ev_buf *b, uint64_t v); /* decimal */
void ev_buf_i64(struct ev_buf *b, int64_t v);  /* decimal */

#endif
