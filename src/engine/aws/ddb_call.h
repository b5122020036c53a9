/*
 * engine/aws/ddb_call.h — calls of DynamoDB for the store and the queries: several at once, pages,
 * and what became of them in words of ours.
 *
 * Errors as the ports have them: a condition that does not hold is EV_CONFLICT; a missing table, a
 * refusal or a request that is wrong in itself EV_IO (EV_DENIED and EV_INVALID would be taken for
 * answers to a person); EV_BUSY (throttled), EV_TIMEOUT (it may have taken place), EV_CLOSED,
 * EV_NOMEM.  io->fail names the table and the key of the last call that failed.
 */
#ifndef EV_AWS_DDB_CALL_H
#define EV_AWS_DDB_CALL_H

#include "base/clock.h"
#include "codec/json_write.h"
#include "engine/aws/caller.h"
#include "engine/aws/ddb_own.h"

struct ddb_io {
	struct aws_caller *caller;
	struct ev_clock *clock;
	int64_t timeout_ns; /* of one batch or page */
	struct ev_fail fail;
};

#define DDB_BATCH_MAX 24
#define DDB_LABEL_MAX 56

/* Calls that are made together; not moved while it is in use. */
struct ddb_batch {
	struct ddb_io *io;
	size_t n;
	struct aws_call calls[DDB_BATCH_MAX];
	struct ev_buf bodies[DDB_BATCH_MAX]; /* owned */
	const char *tables[DDB_BATCH_MAX];
	char labels[DDB_BATCH_MAX][DDB_LABEL_MAX];
};

void ddb_batch_init(struct ddb_batch *b, struct ddb_io *io);
void ddb_batch_deinit(struct ddb_batch *b);

/*
 * Opens one more request, `{"TableName":…`, of at most `room` bytes; label: the key, for people,
 * cut if longer.  The writer must be shut before the next is opened.
 */
struct json_writer ddb_batch_open(struct ddb_batch *b, const char *operation, const char *table,
				  const char *label, size_t room);
void ddb_batch_shut(struct ddb_batch *b, struct json_writer *w);

/* Makes them all; each has its own result then.  Blocks. */
void ddb_batch_run(struct ddb_batch *b);
ev_err ddb_batch_result(struct ddb_batch *b, size_t i);
/* May the call have taken place although it failed? */
bool ddb_batch_is_unsure(const struct ddb_batch *b, size_t i);

/* The raw value of a member of an answer's object; empty if there is none.  EV_IO: no such JSON. */
EV_NODISCARD ev_err ddb_answer(const struct ddb_batch *b, size_t i, const char *member,
			       struct ev_str *out);

/* Adds a consistent GetItem.  key: writes the key's object. */
void ddb_add_get_own(struct ddb_batch *b, const char *table, const struct own_key *key);
/* The item of a GetItem that was run; EV_NOTFOUND.  Borrowed from the batch. */
EV_NODISCARD ev_err ddb_get_item(struct ddb_batch *b, size_t i, struct ev_str *out);

/* An item of a Query or Scan; *more is true, and false after it ends the walk. */
typedef ev_err (*ddb_item_fn)(void *user, struct ev_str item, bool *more);

struct ddb_range {
	const char *table;
	const char *index; /* NULL: the table itself, read consistently */
	const char *pk_name;
	struct ev_str pk;
	const char *sk_name; /* NULL: the whole partition */
	const char *lo, *hi; /* both included */
	bool backwards;
	unsigned page; /* items of a page, 0: as many as go */
};

/* All pages of one partition, until it ends or the visitor has enough. */
EV_NODISCARD ev_err ddb_query(struct ddb_io *io, const struct ddb_range *r, ddb_item_fn fn,
			      void *user);

/*
 * One page of a consistent Scan.  start: a key's raw JSON, empty at first; the next one is written
 * to next (which start may lie in), empty at the end.  page: as in struct ddb_range.  *more is true
 * before; false after: the visitor has enough.
 */
EV_NODISCARD ev_err ddb_scan_page(struct ddb_io *io, const char *table, struct ev_str start,
				  unsigned page, struct ev_buf *next, bool *more, ddb_item_fn fn,
				  void *user);
/* All of them. */
EV_NODISCARD ev_err ddb_scan(struct ddb_io *io, const char *table, ddb_item_fn fn, void *user);

/* Notes a failure that is no call's: a row that cannot be read.  Returns err. */
ev_err ddb_fail(struct ddb_io *io, ev_err err, const char *table, const char *label);

#endif
