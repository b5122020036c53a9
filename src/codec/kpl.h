/*
 * codec/kpl.h — several records in one: the aggregated form of the Kinesis Producer Library.
 *
 * Four magic bytes, a protobuf with the records, its MD5.  The original never writes it but reads
 * it (facts/original-system.md 4.3).  Anything without the magic is one record as it is.
 */
#ifndef EV_CODEC_KPL_H
#define EV_CODEC_KPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* The digest comes from outside: this layer has no cryptography of its own. */
typedef void (*kpl_md5_fn)(const void *p, size_t n, uint8_t out[16]);

struct kpl_iter {
	struct ev_str left; /* of the protobuf; the record itself if it is no aggregate */
	bool aggregated;
	size_t index; /* of the next record: its sub-sequence number */
	size_t count; /* of records in all */
};

/*
 * Checks the whole record.  EV_CORRUPT: it claims to be an aggregate, but is cut, its digest is
 * wrong, or its protobuf is broken.  The iterator borrows from data.
 */
EV_NODISCARD ev_err kpl_open(struct kpl_iter *it, struct ev_str data, kpl_md5_fn md5);

/* The next record's bytes; false when there are no more. */
bool kpl_next(struct kpl_iter *it, struct ev_str *out);

#endif
