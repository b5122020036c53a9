/*
 * test/cloud/cloud.h — SQS, Kinesis and DynamoDB in memory, behind struct aws_caller, with faults.
 *
 * Requests are parsed and answers written as AWS does, so what encodes and decodes them is under
 * test.  Stricter than AWS in one point: a request's key that is not known is a
 * SerializationException, so that a misspelt one is found.  Left out: document paths in
 * expressions, transactions, legacy parameters, FIFO queues, enhanced fan-out, permissions; each
 * is refused, none is ignored.
 *
 * One thread.  The same seed and the same calls give the same answers.  Out of memory aborts.
 *
 * Time is the manual clock's and moves only here:
 *   - `poll` with a timeout of 0 never moves it: a simulation steps its processes with that, moves
 *     the clock itself (cloud_next_ns says to where), and long polls end as it passes;
 *   - `poll` with a timeout, `run` and `pause` wait by the config's `wait`, or without one move the
 *     clock to the next thing that happens, at most to their own end.
 * A ReceiveMessage that finds nothing is parked for its WaitTimeSeconds and answered as soon as
 * anybody makes a message visible; whoever was parked first gets it.  All other calls are done
 * within submit, unless config.delay_ns says that they take effect at a seeded later time.
 */
#ifndef EV_TEST_CLOUD_CLOUD_H
#define EV_TEST_CLOUD_CLOUD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"

struct cloud;
struct cloud_caller;

#define CLOUD_ACCOUNT "123456789012"
#define CLOUD_REGION "eu-west-1"

enum cloud_fault {
	CLOUD_FINE,
	CLOUD_THROTTLED,
	CLOUD_SERVER_ERROR, /* 500, nothing was done */
	CLOUD_LOST_REQUEST, /* timed out, nothing was done */
	CLOUD_LOST_ANSWER,  /* timed out, but it was done */
	CLOUD_PARTIAL,      /* some entries of a batch fail, at least one; THROTTLED for all else */
	/*
	 * SendMessage(Batch): stored twice.  ReceiveMessage: given, but stays visible.
	 * DeleteMessage(Batch): answered, but not deleted.  PutRecord(s): put twice, the answer
	 * tells of the second.  GetRecords: up to 10 records before the iterator come again.
	 * FINE for all else.
	 */
	CLOUD_DUPLICATE,
	/*
	 * Reads of DynamoDB that did not ask for consistency see each item as it was before its
	 * last write or writes, seeded, but not what is older than 2 s; a short poll of SQS, or a
	 * GetRecords, comes back empty though there is something.  FINE for all else.
	 */
	CLOUD_STALE,
	CLOUD_EXPIRED_ITERATOR, /* GetRecords, and ListShards by a token; FINE for all else */
	CLOUD_EXPIRED_TOKEN,    /* the keys, nothing was done */
	CLOUD_DENIED,
	CLOUD_MISSING, /* the table, queue or stream is not there */
	CLOUD_GARBAGE, /* done, answered 200, but the body is cut short */
	/* The process dies: see cloud_kill. */
	CLOUD_DIES_BEFORE,
	CLOUD_DIES_AFTER, /* it was done */
	CLOUD_FAULT_COUNT,
};

/* A constant word, never NULL. */
const char *cloud_fault_text(enum cloud_fault f);

/* What a fault callback decides on. */
struct cloud_attempt {
	struct cloud_caller *caller;
	uint64_t number; /* of all attempts on this cloud, from 1 */
	unsigned attempt;
	enum aws_service service;
	const char *operation;
	struct ev_str body;
};

struct cloud_config {
	struct ev_clock_manual *clock; /* outlives the cloud */
	uint64_t seed;

	/* Attempts of a call that does not say (0: 3).  Between them no time passes. */
	unsigned max_attempts;
	/* Not 0: each call takes effect between now and then, seeded, in any order. */
	int64_t delay_ns;
	/* How far indexes lag behind their tables, exactly; see cloud_set_index_lag. */
	int64_t index_lag_ns;
	/* Of a Query, Scan or ListShards, to see paging with few; 0: as AWS. */
	unsigned page_items;

	/*
	 * Called once for each attempt, before anything else happens to it; CLOUD_FINE leaves it to
	 * the rates.  Not called for cloud_do.
	 */
	enum cloud_fault (*fault)(void *user, const struct cloud_attempt *a);
	/*
	 * Called right before each effect, at most race_depth (0: 1) deep: may call through other
	 * callers, which is how another process comes in between.
	 */
	void (*race)(void *user, const struct cloud_attempt *a);
	unsigned race_depth;
	/*
	 * Somebody waits for up to ns, at most until the next thing that happens in the cloud: run
	 * others, move the clock, or wake the caller.  If it does neither, a poll returns
	 * EV_TIMEOUT, and run and pause move the clock themselves.
	 */
	void (*wait)(void *user, struct cloud_caller *c, int64_t ns);
	void *user;
};

struct cloud *cloud_new(const struct cloud_config *config);

/* Its callers must be freed before. */
void cloud_free(struct cloud *c);

/* How often a fault comes by itself, per million attempts; at the start never. */
void cloud_set_rate(struct cloud *c, enum cloud_fault f, unsigned per_million);

/* False: neither rates nor callbacks (race and wait included) until true again. */
void cloud_set_faults(struct cloud *c, bool on);

void cloud_set_index_lag(struct cloud *c, int64_t ns);
void cloud_set_delay(struct cloud *c, int64_t ns);

/* --- Callers --- */

/* One process's.  The name is copied, for messages and callbacks. */
struct cloud_caller *cloud_caller_new(struct cloud *c, const char *name);
void cloud_caller_free(struct cloud_caller *p); /* NULL too; calls under way are forgotten */

struct aws_caller *cloud_caller(struct cloud_caller *p);
const char *cloud_caller_name(const struct cloud_caller *p);

/*
 * The process dies: of its calls under way some, seeded, still take effect; from then on all of
 * its calls have err EV_CLOSED (kind AWS_ERROR_OTHER), and submit and poll return EV_CLOSED.
 */
void cloud_kill(struct cloud_caller *p);
bool cloud_is_dead(const struct cloud_caller *p);

/* It starts again, with nothing under way.  Its old calls are not touched any more. */
void cloud_revive(struct cloud_caller *p);

/*
 * The monotonic time at which something happens by itself: a delayed or parked call is done, or a
 * message becomes visible somebody is parked for.  INT64_MAX: nothing will.
 */
int64_t cloud_next_ns(const struct cloud *c);

/* --- The test's own hand --- */

/*
 * A call without faults, at once, not counted.  *out_answer (may be NULL) is valid until the next
 * cloud_do.
 */
EV_NODISCARD ev_err cloud_do(struct cloud *c, enum aws_service service, const char *operation,
			     const char *body, struct ev_str *out_answer);

/* All tables, queues and streams of these names, as the product provisions them. */
void cloud_provision(struct cloud *c, const struct aws_resources *r);

/* DynamoDB removes what has outlived its time to live, all of it; returns how many items. */
size_t cloud_expire(struct cloud *c);

/* --- What is there, for invariants; a visitor must not call the cloud --- */

/* Each item as DynamoDB would write it: {"outletId":{"S":"…"},…}.  EV_NOTFOUND: no such table. */
EV_NODISCARD ev_err cloud_each_item(struct cloud *c, const char *table,
				    void (*fn)(void *user, struct ev_str item), void *user);

struct cloud_message {
	struct ev_str id;
	struct ev_str body;
	struct ev_str attributes; /* MessageAttributes, JSON; empty if there are none */
	int64_t sent_ns;          /* wall */
	unsigned receives;
	bool in_flight;
};
EV_NODISCARD ev_err cloud_each_message(struct cloud *c, const char *queue,
				       void (*fn)(void *user, const struct cloud_message *m),
				       void *user);

/* All records that are still kept, shard by shard in the order of creation. */
struct cloud_record {
	struct ev_str shard;
	struct ev_str sequence;
	struct ev_str partition_key;
	struct ev_str data; /* the bytes, not their base64 */
	int64_t at_ns;      /* wall */
};
EV_NODISCARD ev_err cloud_each_record(struct cloud *c, const char *stream,
				      void (*fn)(void *user, const struct cloud_record *r),
				      void *user);

/* How many there are; 0 also if there is no such table, queue (in flight or not) or stream. */
size_t cloud_n_items(struct cloud *c, const char *table);
size_t cloud_n_messages(struct cloud *c, const char *queue);
size_t cloud_n_records(struct cloud *c, const char *stream);

/* --- What was counted --- */

/* Attempts that reached the service, whatever came of them; operation NULL: of all. */
uint64_t cloud_n_calls(const struct cloud *c, enum aws_service service, const char *operation);

/* Faults of one kind that were done to calls. */
uint64_t cloud_n_faults(const struct cloud *c, enum cloud_fault f);

/* In the units of the bill. */
struct cloud_bill {
	uint64_t sqs_requests;      /* a request for each 64 KB begun */
	uint64_t kinesis_put_units; /* one for each 25 KB begun of each record */
	uint64_t kinesis_records;   /* put */
	uint64_t dynamodb_writes;   /* write units, those of indexes included */
	uint64_t dynamodb_index_writes;
	uint64_t dynamodb_half_reads; /* halves of a read unit */
};
struct cloud_bill cloud_bill(const struct cloud *c);

#endif
