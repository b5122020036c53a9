/*
 * engine/aws/consumer.h — charging events from Kinesis: leases, shards, checkpoints.
 *
 * One for each backend and process.  Its lease table is the original's (facts/original-system.md 5)
 * and is shared with zio-kinesis and KCL workers: take, renew, steal, balance, parents before
 * children.  Records of each held shard are read with GetRecords, de-aggregated, decoded; those of
 * the other initiator, and what cannot be read, count as done at once (the latter goes to the dead
 * letters first); the rest are given to `submit` as event jobs with an identity of (eventId, else
 * shard and sequence number).  The checkpoint is the highest record up to which all are done.
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

struct aws_consumer;

struct aws_consumer_config {
	struct aws_caller *caller; /* the consumer's own */
	struct ev_clock *clock;
	struct ev_rng *rng;
	const char *stream;
	const char *leases;          /* table */
	const char *dead_letters;    /* stream */
	enum initiator from;         /* whose events are wanted */
	struct ev_str worker;        /* unique; never "worker1" */
	int64_t renew_ns, expire_ns; /* 3 s, 10 s: counter seen unchanged for so long */
	int64_t take_ns, list_ns;    /* 20 s, 30 s */
	int64_t checkpoint_ns;       /* [10 s], and after each 1,000 records */
	int64_t idle_ns;             /* between polls of a shard with nothing new, [1 s] */
	unsigned limit;              /* records of a GetRecords, [1,000] */
	size_t max_in_hand;          /* records of a shard not done, [2,000] */
	void (*submit)(void *user, struct job *j);
	bool (*is_busy)(void *user);
	void *user;
};
struct aws_consumer_config aws_consumer_defaults(void);

EV_NODISCARD ev_err aws_consumer_new(const struct aws_consumer_config *c,
				     struct aws_consumer **out);
void aws_consumer_free(struct aws_consumer *c);

/* As aws_intake_turn. */
EV_NODISCARD ev_err aws_consumer_turn(struct aws_consumer *c, int64_t timeout_ns);

/*
 * Reads no more, waits for what is in hand, checkpoints, releases the leases.  True when done.
 */
bool aws_consumer_drain(struct aws_consumer *c);

struct aws_consumer_state {
	bool ready; /* shards were listed and the lease table read lately */
	struct ev_fail fail;
	uint64_t records, foreign, undecodable, letters, checkpoints, lost_leases, stolen, taken;
	uint64_t expired_iterators, throttled;
	int64_t behind_ms; /* the worst shard's */
	size_t shards, held, in_hand;
};
/* Any thread. */
void aws_consumer_state(struct aws_consumer *c, struct aws_consumer_state *out);

#endif
