/*
 * codec/json_field.h — how the values of our messages are read: a json_read_fn for each type.
 *
 * The target's type is named at each; it is untouched on failure.  Errors are EV_INVALID with the
 * original's text.  Source: facts/original-system.md section 3.
 */
#ifndef EV_CODEC_JSON_FIELD_H
#define EV_CODEC_JSON_FIELD_H

#include "base/uuid.h"
#include "codec/json_read.h"

/* struct ev_uuid; also the original's short groups (`1-2-3-4-5`), see uuid_parse_lenient. */
EV_NODISCARD ev_err json_field_uuid(struct json_reader *r, void *target);
/* int64_t, nanoseconds UTC */
EV_NODISCARD ev_err json_field_time(struct json_reader *r, void *target);
/* enum outlet_state */
EV_NODISCARD ev_err json_field_state(struct json_reader *r, void *target);
/* struct rfid_tag */
EV_NODISCARD ev_err json_field_tag(struct json_reader *r, void *target);
/* struct message_id */
EV_NODISCARD ev_err json_field_message_id(struct json_reader *r, void *target);
/* double */
EV_NODISCARD ev_err json_field_double(struct json_reader *r, void *target);

/* A text whose limits are checked later; s holds its first bytes when it is longer. */
#define JSON_TEXT_MAX 256
struct json_text {
	size_t n;                  /* its whole length in bytes */
	char s[JSON_TEXT_MAX + 1]; /* NUL-terminated if n <= JSON_TEXT_MAX */
};
/* struct json_text */
EV_NODISCARD ev_err json_field_text(struct json_reader *r, void *target);

/* Any string, looked at by nobody (target unused). */
EV_NODISCARD ev_err json_field_ignored_string(struct json_reader *r, void *target);

/*
 * A UUID as the original reads it: the usual form in any case, or five groups of 1 to 16 hex digits
 * whose values fit, padded from the left.  EV_INVALID otherwise.
 */
EV_NODISCARD ev_err uuid_parse_lenient(struct ev_str s, struct ev_uuid *out);

#endif
