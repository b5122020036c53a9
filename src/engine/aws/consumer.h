/*
 * engine/aws/consumer.h — charging events from Kinesis: leases, shards, checkpoints.
 *
 * One for each backend and process.  Its lease table is the original's (facts/original-system.md 5)
 * and is shared with zio-kinesis and KCL workers; who reads what: engine/aws/leases.  Records of
 * each held shard are read with GetRecords, de-aggregated, decoded; those of the other initiator
 * count as done at once, the rest are given to `submit` as event jobs: at most one of an outlet and
 * shard at a time, so that an outlet's order is kept whatever fails (engine/aws/shard_reader).  The
 * job's identity is the eventId, else a hash of shard, sequence number and place in an aggregate;
 * its `at` the time of arrival at the stream.  The checkpoint is the last record up to which all
 * are done.
 *
 *   - What cannot be read, and what was decided as rejected, goes to the dead-letter stream, and is
 *     done when that has accepted it.
 *   - A job with an error is submitted again after a back-off, as often as it takes.  Only if the
 *     error is one of the record or of a stored row, and stays after AWS_CONSUMER_TRIES, it goes to
 *     the dead letters too: one bad row must not stop a shard for ever.
 *   - A lease that was lost stops its shard at once: nothing more of it is submitted, and what is
 *     out is forgotten when it comes back.  Whoever has it now reads from the last checkpoint.
 *   - A lease that could not be renewed in time is read no further until a write succeeds.
 *
 * One thread; `done` of jobs may come from any (they are posted to a mailbox).
 */
#ifndef EV_AWS_CONSUMER_H
#define EV_AWS_CONSUMER_H

#include "base/clock.h"
#include "base/rng.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"
#include "service/job.h"

#define AWS_CONSUMER_TRIES 8 /* about half a minute */

struct aws_consumer;

/* All that is pointed to is borrowed until aws_consumer_free. */
struct aws_consumer_config {
	struct aws_caller *caller; /* the consumer's own */
	struct ev_clock *clock;
	struct ev_rng *rng; /* its thread's */
	const char *stream;
	const char *leases;       /* table */
	const char *dead_letters; /* stream */
	enum initiator from;      /* whose events are wanted */
	struct ev_str worker;     /* unique; never "worker1", which is the original's */
	int64_t renew_ns;         /* [3 s] */
	int64_t expire_ns;        /* counter seen unchanged for so long, [10 s] */
	int64_t take_ns, list_ns; /* [20 s], [30 s] */
	int64_t checkpoint_ns;    /* [10 s], and after each 1,000 records */
	int64_t idle_ns;          /* between polls of a shard with nothing new, [1 s] */
	unsigned limit;           /* records of a GetRecords, [1,000] */
	size_t max_in_hand; /* a shard with more than half of it in hand reads no more, [2,000] */
	/* An event to be decided; the consumer is its owner.  Never blocks. */
	void (*submit)(void *user, struct job *j);
	bool (*is_busy)(void *user); /* may be NULL */
	void *user;
};
struct aws_consumer_config aws_consumer_defaults(void);

/* EV_NOMEM, EV_IO; EV_INVALID: no worker's name, or the original's. */
EV_NODISCARD ev_err aws_consumer_new(const struct aws_consumer_config *c,
				     struct aws_consumer **out);
/*
 * No job may be out: whoever runs them has ended and has called `done` for all.  Leases that were
 * not released by a drain expire.
 */
void aws_consumer_free(struct aws_consumer *c);

/*
 * One turn: starts what is to be started, waits up to timeout_ns for something to happen, takes it.
 * EV_OK, EV_TIMEOUT; EV_IO: no call can be made any more; EV_CLOSED (tests: the process died).
 * Errors of the services are counted, told in aws_consumer_state, and tried again with back-off;
 * they end nothing.
 */
EV_NODISCARD ev_err aws_consumer_turn(struct aws_consumer *c, int64_t timeout_ns);

/*
 * Reads no more, waits for what is in hand, checkpoints, releases the leases; what failed is not
 * tried again, but left to the next owner.  True when done; turns go on until then.
 */
bool aws_consumer_drain(struct aws_consumer *c);

struct aws_consumer_state {
	bool ready;          /* shards were listed, the lease table read lately, no trouble */
	struct ev_fail fail; /* the last call that failed; code EV_OK: none did since all worked */
	uint64_t records, foreign, undecodable, rejected, retried, repeated;
	uint64_t letters, checkpoints, lost_leases, stolen, taken, created, released, ended;
	uint64_t expired_iterators, throttled, failed_calls, bad_rows;
	int64_t behind_ms; /* the worst shard's */
	size_t shards, held, in_hand, out;
};
/* Any thread: as it was at the end of the last turn. */
void aws_consumer_state(struct aws_consumer *c, struct aws_consumer_state *out);

#endif
