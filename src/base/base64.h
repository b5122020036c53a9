/* base/base64.h — RFC 4648 base64 with the usual alphabet and padding. */
#ifndef EV_BASE_BASE64_H
#define EV_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Characters of n bytes. */
#define EV_BASE64_LEN(n) (((n) + 2) / 3 * 4)

void ev_base64_write(struct ev_buf *b, const void *p, size_t n);

/*
 * Strictly: padded, no other characters, unused bits zero.  EV_INVALID otherwise, EV_FULL if there
 * are more than cap bytes.
 */
EV_NODISCARD ev_err ev_base64_read(struct ev_str s, uint8_t *out, size_t cap, size_t *out_n);

#endif
