/*
 * codec/json_write.h — writes JSON into a struct ev_buf: no spaces, commas by itself.
 *
 * Number, string and time forms are the original's (facts/original-system.md section 3).  Overflow
 * is the buffer's: check b->overflow once at the end.  Texts must be UTF-8.
 */
#ifndef EV_CODEC_JSON_WRITE_H
#define EV_CODEC_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/uuid.h"

struct json_writer {
	struct ev_buf *b;
	bool comma; /* a value was written at this level: one is due before the next */
};

static inline struct json_writer json_writer_over(struct ev_buf *b)
{
	return (struct json_writer){ .b = b };
}

void json_write_object(struct json_writer *w);
void json_write_object_end(struct json_writer *w);
void json_write_array(struct json_writer *w);
void json_write_array_end(struct json_writer *w);

/* key is a literal that needs no escaping. */
#define json_write_key(w, key) json_write_key_n(w, "\"" key "\":", sizeof(key) + 2)
void json_write_key_n(struct json_writer *w, const char *quoted, size_t n);

void json_write_string(struct json_writer *w, struct ev_str s);
void json_write_z(struct json_writer *w, const char *z); /* NUL-terminated */
void json_write_null(struct json_writer *w);
void json_write_bool(struct json_writer *w, bool v);
void json_write_u64(struct json_writer *w, uint64_t v);
void json_write_i64(struct json_writer *w, int64_t v);
void json_write_double(struct json_writer *w, double v);
void json_write_uuid(struct json_writer *w, const struct ev_uuid *u);
void json_write_time(struct json_writer *w, int64_t ns);                /* ISO 8601 with Z */
void json_write_kwh(struct json_writer *w, int64_t mwh);                /* as kilowatt-hours */
void json_write_hex(struct json_writer *w, const uint8_t *p, size_t n); /* lower-case string */
void json_write_raw(struct json_writer *w, struct ev_str json);         /* one ready value */

#endif
