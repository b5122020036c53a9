/*
 * codec/json_record.h — reads one object into a struct: each message is declared once, as a table
 * of its fields.
 */
#ifndef EV_CODEC_JSON_RECORD_H
#define EV_CODEC_JSON_RECORD_H

#include "codec/json_read.h"

/* Reads one value into *target, whose type the function knows. */
typedef ev_err (*json_read_fn)(struct json_reader *r, void *target);

enum json_field_flags {
	JSON_REQUIRED = 0,
	JSON_OPTIONAL = 1, /* may be missing */
	JSON_NULLABLE = 2, /* `null` counts as missing */
};

struct json_field {
	const char *key;
	size_t key_len;
	json_read_fn read;
	size_t offset; /* of the target in the record */
	unsigned flags;
};

#define JSON_FIELD(type, member, name, fn, how)                                                    \
	{                                                                                          \
		.key = (name), .key_len = sizeof(name) - 1, .read = (fn),                          \
		.offset = offsetof(type, member), .flags = (how)                                   \
	}

#define JSON_FIELDS_MAX 32
#define JSON_KEY_MAX 64 /* bytes of an escaped key; a longer one is none of ours */

/*
 * Reads one object into the record: unknown keys are skipped, a key given twice is an error.
 * *out_seen gets bit i for each field i that was given (and was not a null that counts as missing).
 * n <= JSON_FIELDS_MAX.  Missing fields are not looked at: see json_require.
 */
EV_NODISCARD ev_err json_read_record(struct json_reader *r, const struct json_field *fields,
				     size_t n, void *record, uint32_t *out_seen);

/* Fails with `.key(missing)` for the first field that is not optional and not in `seen`. */
EV_NODISCARD ev_err json_require(struct json_reader *r, const struct json_field *fields, size_t n,
				 uint32_t seen);

#endif
