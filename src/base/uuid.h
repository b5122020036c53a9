/* base/uuid.h — RFC 4122 UUIDs as 16 bytes in network order. */
#ifndef EV_BASE_UUID_H
#define EV_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

#define EV_UUID_TEXT 36 /* without NUL */

struct ev_uuid {
	uint8_t b[16];
};

static inline bool ev_uuid_eq(const struct ev_uuid *a, const struct ev_uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool ev_uuid_is_nil(const struct ev_uuid *u);

/* 36 characters 8-4-4-4-12, hex of any case: EV_INVALID for all else. */
EV_NODISCARD ev_err ev_uuid_parse(struct ev_str s, struct ev_uuid *out);

/* Writes exactly 36 lower-case characters and a NUL. */
void ev_uuid_text(const struct ev_uuid *u, char out[EV_UUID_TEXT + 1]);

/* Sets the version (4 or 5) and variant bits over 16 bytes that are random or a hash. */
struct ev_uuid ev_uuid_stamp(const uint8_t bytes[16], unsigned version);

#endif
