/*
 * codec/json_read.h — a strict pull reader of JSON over borrowed input.
 *
 * Allocates nothing and copies nothing: strings come out as spans of the input.  What it accepts is
 * what the original's reader accepts (facts/original-system.md section 3), except that nesting ends
 * at JSON_DEPTH_MAX and that bytes which are not UTF-8 are refused.  The first error ends the
 * reading: a reader that failed must not be used again.  Why not a library:
 * docs/decisions/0002-own-json-reader.md.
 */
#ifndef EV_CODEC_JSON_READ_H
#define EV_CODEC_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define JSON_DEPTH_MAX 32
#define JSON_ERROR_TEXT 200

/* What is wrong and where, in the original's words: `.rfidTag(missing)`, `(duplicate)`, … */
struct json_error {
	size_t at;                  /* byte offset in the input where reading stopped */
	char text[JSON_ERROR_TEXT]; /* NUL-terminated UTF-8 */
};

struct json_reader {
	const char *start;
	const char *p;
	const char *end;
	unsigned depth;
	bool first;               /* the object or array was just opened */
	const char *field;        /* key whose value is being read, for the error's path; or NULL */
	struct json_error *error; /* filled on failure; may be NULL */
};

/* A string as it stands in the input, without the quotes. */
struct json_span {
	struct ev_str raw;
	bool escaped; /* raw holds escapes: use json_unescape */
};

void json_read_init(struct json_reader *r, struct ev_str in, struct json_error *error);

/*
 * All below: EV_INVALID (with *r->error filled) when the input does not hold what is asked for.
 * Space, tab, CR and LF before a token are skipped.
 */

/* Steps into `{` or `[`; then json_read_key or json_read_item until *out_more is false. */
EV_NODISCARD ev_err json_read_object(struct json_reader *r);
EV_NODISCARD ev_err json_read_array(struct json_reader *r);

/* The next key and its colon; *out_more false (and *out as it was) at the closing brace. */
EV_NODISCARD ev_err json_read_key(struct json_reader *r, bool *out_more, struct json_span *out);

/* True in *out_more: an item follows, read it or skip it. */
EV_NODISCARD ev_err json_read_item(struct json_reader *r, bool *out_more);

EV_NODISCARD ev_err json_read_string(struct json_reader *r, struct json_span *out);

EV_NODISCARD ev_err json_read_bool(struct json_reader *r, bool *out);

/* *out true and the token taken if `null` is next; else *out false and nothing taken. */
EV_NODISCARD ev_err json_read_null(struct json_reader *r, bool *out);

/* Any value; *out_raw (may be NULL) is its text. */
EV_NODISCARD ev_err json_skip(struct json_reader *r, struct ev_str *out_raw);

/* Only white space is left. */
EV_NODISCARD ev_err json_read_end(struct json_reader *r);

/* The next byte that is not white space, without taking it; -1 at the end of the input. */
int json_peek(struct json_reader *r);

/*
 * Writes the string's UTF-8 to out, cap bytes at most, and returns its whole length (more than cap:
 * it was cut).  Half of a surrogate pair alone becomes `?`, as in the original.
 */
size_t json_unescape(const struct json_span *s, char *out, size_t cap);

/*
 * Fails the reading with `path(before input after)`; input is what the peer sent and is clipped.
 * Returns EV_INVALID.
 */
EV_NODISCARD ev_err json_fail(struct json_reader *r, const char *before, struct ev_str input,
			      const char *after);

/*
 * The same for something else than was expected: input is the character at the reader's place, or
 * the text says that the input ended.
 */
EV_NODISCARD ev_err json_fail_got(struct json_reader *r, const char *before, const char *after);

#endif
