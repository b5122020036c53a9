/*
 * engine/aws/shard_wire.h — what a consumer asks of Kinesis and of its lease table, and answers.
 *
 * Pure but for the room of a record's bytes.  Answers come from outside: anything that is not what
 * was asked for is EV_CORRUPT, and what was told before that place has been told.
 */
#ifndef EV_AWS_SHARD_WIRE_H
#define EV_AWS_SHARD_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/aws/leases.h"

#define SHARD_TOKEN_MAX 8192 /* of a NextToken, or of an iterator (512 at AWS) */
#define SHARD_REQUEST_MAX (SHARD_TOKEN_MAX + 1024)

struct shard_token {
	size_t n; /* 0: none */
	char s[SHARD_TOKEN_MAX];
};

/* ListShards; a page after the first is asked for by its token alone. */
void shard_list_write(struct ev_buf *b, const char *stream, const struct shard_token *next);
EV_NODISCARD ev_err shard_list_read(struct ev_str answer,
				    void (*each)(void *user, const struct lease_shard *s),
				    void *user, struct shard_token *next);

/* GetShardIterator: at the checkpoint's own record, which is then read again; or behind it. */
void shard_iterator_write(struct ev_buf *b, const char *stream, const char *shard,
			  const struct lease_checkpoint *from, bool behind);
EV_NODISCARD ev_err shard_iterator_read(struct ev_str answer, struct shard_token *out);

void shard_records_write(struct ev_buf *b, const struct shard_token *iterator, unsigned limit);

/* All borrowed until `each` returns. */
struct shard_record_data {
	struct ev_str sequence; /* decimal digits, 1 to LEASE_SEQUENCE_MAX */
	struct ev_str key;      /* the partition key; its first bytes if it is too long */
	struct ev_str data;     /* as it was put; if it is no base64, as it came */
	bool is_base64;
	int64_t at_ns; /* of its arrival at the stream; 0: not told */
};
struct shard_records {
	bool ended;              /* the shard is closed, and this was the last of it */
	struct shard_token next; /* iterator, unless ended */
	int64_t behind_ms;       /* 0: nothing was there beyond these */
	size_t n;
};
/* EV_NOMEM too. */
EV_NODISCARD ev_err shard_records_read(struct ev_str answer,
				       void (*each)(void *user, const struct shard_record_data *r),
				       void *user, struct shard_records *out);

/* Scan of the lease table, consistently; `key` of the page before is raw JSON, 0 bytes at first. */
void lease_scan_write(struct ev_buf *b, const char *table, const struct shard_token *key);
/* n_bad: rows that cannot be read; they are left out. */
EV_NODISCARD ev_err lease_scan_read(struct ev_str answer,
				    void (*each)(void *user, const struct lease_row *row),
				    void *user, size_t *n_bad, struct shard_token *next);

/* GetItem, consistently.  EV_NOTFOUND: no such row. */
void lease_get_write(struct ev_buf *b, const char *table, const char *key);
EV_NODISCARD ev_err lease_get_read(struct ev_str answer, struct lease_row *out);

#endif
