/*
 * engine/aws/leases.h — who reads which shard: what there is to create, take, steal and renew.
 *
 * Pure: rows of the lease table, the list of shards and the time come in, steps come out; whoever
 * drives it makes the calls and tells what came of them.  The table is shared with zio-kinesis and
 * KCL workers (facts/original-system.md section 5); each write has the condition that the counter
 * is as it was, so a plan on old knowledge does no harm.  Rules:
 *
 *   - A lease is wanted if its shard is listed, has not been read to its end, and its parents are
 *     read to theirs or are not listed any more.
 *   - It is free if nobody owns it, if its counter stood still for `expire_ns`, or if it bears our
 *     own name without our knowing (the answer to a claim was lost).
 *   - Wanted leases are shared evenly among all owners that are alive, ourselves included: free
 *     ones are taken up to the share rounded up; and if that gave nothing, one a turn is stolen
 *     from the busiest, if it has at least two more than we.  A child whose row nobody has made
 *     yet is read on by whoever makes it, be it one more than the share: others may look only a
 *     turn later, and its records would wait.  What is free for `orphan_ns` is taken whatever the
 *     share: others may count otherwise.
 *   - A row that has expired is not given up by its owner: it learns at its next write.
 *
 * Rows of shards that are gone are left alone, as the original leaves them.
 */
#ifndef EV_AWS_LEASES_H
#define EV_AWS_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "codec/lease_row.h"

#define LEASES_MAX 4096 /* shards and rows; more are counted and left to others */
#define LEASE_SHARD_PARENTS 2

/* A shard as ListShards tells of it. */
struct lease_shard {
	char id[LEASE_KEY_MAX + 1];
	unsigned n_parents;
	char parents[LEASE_SHARD_PARENTS][LEASE_KEY_MAX + 1];
};

/* What is known of one shard's lease. */
struct lease {
	struct lease_row row; /* as read last, or if held, as written last */
	bool exists;          /* there is a row */
	bool listed;          /* the stream has the shard */
	bool held;            /* by us */
	bool stale; /* the row has changed since it was read: unknown until it is read again */
	bool busy;  /* the driver's: a call about it is under way; it is left alone */
	int64_t since_ns; /* since when counter and owner were seen as they are; held: last write */
	unsigned n_parents; /* by the list, else by the row */
	char parents[LEASE_PARENTS_MAX][LEASE_KEY_MAX + 1];
	uint64_t seen; /* the scan or list it was last in */
	void *user;    /* the driver's */
};

struct leases {
	char worker[LEASE_OWNER_MAX + 1];
	int64_t expire_ns, orphan_ns;
	size_t n, cap;
	struct lease **of;  /* by key */
	const char **names; /* room for a plan: owners */
	uint64_t turn;
	uint64_t n_refused; /* shards or rows beyond LEASES_MAX */
};

/* EV_INVALID: the worker's name is empty or too long. */
EV_NODISCARD ev_err leases_init(struct leases *l, struct ev_str worker, int64_t expire_ns,
				int64_t orphan_ns);
void leases_deinit(struct leases *l);

/* The whole list of shards.  EV_NOMEM: some were not taken in. */
EV_NODISCARD ev_err leases_list(struct leases *l, const struct lease_shard *shards, size_t n);

/*
 * A scan of the table, in any number of pages: begin, each row, end.  now_ns is the monotonic time
 * at which the scan began.  A lease that we hold keeps what we know of it.
 */
void leases_scan_begin(struct leases *l);
EV_NODISCARD ev_err leases_scan_row(struct leases *l, const struct lease_row *row, int64_t now_ns);
void leases_scan_end(struct leases *l);

enum lease_step_kind {
	LEASE_CREATE, /* put lease->row, owned by us if row.owner is our name */
	LEASE_TAKE,
	LEASE_STEAL,
};
struct lease_step {
	enum lease_step_kind kind;
	struct lease *lease;
};

/*
 * What to do after a list and a scan; at most max steps.  `pick`, random, says where to begin, so
 * that workers that start together do not all go for the same ones.
 */
size_t leases_plan(struct leases *l, int64_t now_ns, uint64_t pick, struct lease_step *out,
		   size_t max);

/* What came of a step: taken is create (if we own it), take and steal. */
void leases_taken(struct leases *l, struct lease *lease, int64_t now_ns);
void leases_created(struct lease *lease, int64_t now_ns); /* owned by nobody */
/* A write of a lease we hold took place; checkpoint NULL: it stays. */
void leases_written(struct lease *lease, const struct lease_checkpoint *checkpoint, int64_t now_ns);
/* Not ours (any more): somebody else changed the row, or nobody knows what is in it. */
void leases_lost(struct lease *lease);
/* The row of a lease we hold was read, as nobody knows if a write took place.  True: still ours. */
bool leases_reread(struct leases *l, struct lease *lease, const struct lease_row *row,
		   int64_t now_ns);
/* Given back; the counter is as it is in *row. */
void leases_released(struct lease *lease, int64_t now_ns);

/* NULL if it is not known. */
struct lease *leases_find(const struct leases *l, const char *key);
size_t leases_n_held(const struct leases *l);
size_t leases_n_listed(const struct leases *l);
/* Is there reason to read this shard, and may it be read yet? */
bool leases_is_wanted(const struct leases *l, const struct lease *lease);

#endif
