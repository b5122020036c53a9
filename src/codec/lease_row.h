/*
 * codec/lease_row.h — rows of the lease tables, as zio-kinesis and the KCL share them.
 *
 * Read leniently, since one row that cannot be read would stop the original's refresh, not ours;
 * written so that both take them: facts/original-system.md section 5.  Pure.
 */
#ifndef EV_CODEC_LEASE_ROW_H
#define EV_CODEC_LEASE_ROW_H

#include "codec/ddb_item.h"

#define LEASE_KEY_MAX 128 /* a shard's id */
#define LEASE_OWNER_MAX 128
#define LEASE_SEQUENCE_MAX 128
#define LEASE_PARENTS_MAX 4
#define LEASE_JSON_MAX 4096

enum lease_checkpoint_kind {
	LEASE_NONE, /* absent or NULL */
	LEASE_TRIM_HORIZON,
	LEASE_LATEST,
	LEASE_AT_TIMESTAMP,
	LEASE_SHARD_END,
	LEASE_SEQUENCE, /* a sequence number */
};

struct lease_checkpoint {
	enum lease_checkpoint_kind kind;
	char sequence[LEASE_SEQUENCE_MAX + 1]; /* decimal digits, NUL-terminated; for SEQUENCE */
	uint64_t sub;                          /* subsequence number */
};

struct lease_row {
	char key[LEASE_KEY_MAX + 1];
	char owner[LEASE_OWNER_MAX + 1]; /* empty: nobody */
	uint64_t counter;
	struct lease_checkpoint checkpoint;
	unsigned n_parents;
	char parents[LEASE_PARENTS_MAX][LEASE_KEY_MAX + 1];
};

/*
 * EV_CORRUPT: no leaseKey or leaseCounter, an owner, checkpoint or parent that is no text or too
 * long, a checkpoint that is neither a number nor a known word, or one without its subsequence
 * number.  More parents than fit are left out.
 */
EV_NODISCARD ev_err lease_row_read(struct ev_str item, struct lease_row *out);

/*
 * Members of a PutItem (create) or an UpdateItem, into the object that is open, TableName aside.
 * All but create have the condition that leaseCounter is as in *row; after success the caller's
 * copy must be changed alike: claim, renew and checkpoint raise the counter by one.
 */
void lease_create(const struct lease_row *row, struct json_writer *w); /* counter 0 */
void lease_claim(const struct lease_row *row, struct ev_str owner, struct json_writer *w);
void lease_renew(const struct lease_row *row, struct json_writer *w);
/* owner empty: the lease is released with it. */
void lease_checkpoint(const struct lease_row *row, const struct lease_checkpoint *to,
		      struct ev_str owner, struct json_writer *w);
void lease_release(const struct lease_row *row, struct json_writer *w); /* counter as it is */

/* Is sequence number a before b in their shard?  Both are decimal digits of any length. */
bool lease_sequence_before(struct ev_str a, struct ev_str b);

#endif
