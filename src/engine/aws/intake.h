/*
 * engine/aws/intake.h — device messages from SQS, each deleted only after its durable effect.
 *
 * Several long polls in flight; decoded messages are given to `submit` as device jobs with their
 * identity and `at`; what comes back done is deleted in batches of ten; the visibility of what
 * takes long is extended; what cannot be read, or was rejected, goes to the dead-letters queue with
 * the reason as an attribute, then is deleted.  Not deleted: a job that failed (err not EV_OK); it
 * becomes visible again.  Source: facts/original-system.md 2 and 3, design section 5.
 *
 * Identity: what a moved message carries as an attribute, else the hash of (messageId in the body,
 * else the SQS MessageId) and the canonical body; of what cannot be read, the hash of its bytes.
 * `at`: the attribute, but never later than SentTimestamp, else SentTimestamp.  Attributes: sqs.h.
 *
 * A message that is too large to be moved with its attributes is moved without; one that SQS does
 * not take at all stays where it is, until the queue's own redrive moves it.  Attributes of others
 * are lost when a message is moved.
 *
 * All functions but aws_intake_state are called by one thread.  The caller needs room for
 * `receives` + AWS_INTAKE_CALLS calls at once.
 */
#ifndef EV_AWS_INTAKE_H
#define EV_AWS_INTAKE_H

#include "base/clock.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"
#include "service/job.h"

#define AWS_INTAKE_RECEIVES_MAX 32
#define AWS_INTAKE_CALLS 12 /* beside the receives */

struct aws_intake;

struct aws_intake_config {
	struct aws_caller *caller; /* the intake's own */
	const struct aws_resources *resources;
	struct ev_clock *clock;
	unsigned receives;     /* long polls in flight, [4], 1 to AWS_INTAKE_RECEIVES_MAX */
	unsigned wait_s;       /* of each, [20] */
	unsigned visibility_s; /* [30], above 0; extended from half of it on */
	size_t max_in_hand;    /* messages received and not deleted, [2,000] */
	size_t max_bytes;      /* of their bodies, [64 MiB] */
	int64_t linger_ns;     /* how long a delete may wait for nine others, [20 ms] */
	/* A message to be decided; the intake is its owner, done may be called by any thread. */
	void (*submit)(void *user, struct job *j);
	bool (*is_busy)(void *user);
	void *user;
};
struct aws_intake_config aws_intake_defaults(void);

/* EV_NOMEM, EV_INVALID (the config). */
EV_NODISCARD ev_err aws_intake_new(const struct aws_intake_config *c, struct aws_intake **out);
/* All jobs must be back.  What is in hand becomes visible again. */
void aws_intake_free(struct aws_intake *i);

/*
 * One turn: starts what is to be started, waits up to timeout_ns for something to happen, takes it.
 * EV_OK, EV_TIMEOUT; EV_CLOSED (tests: the process died).  Errors of the service are counted, told
 * in aws_intake_state, and tried again with back-off; they end nothing.
 */
EV_NODISCARD ev_err aws_intake_turn(struct aws_intake *i, int64_t timeout_ns);

/* No more receives; what is polling may finish.  True when nothing is in hand or in flight. */
bool aws_intake_drain(struct aws_intake *i);

struct aws_intake_state {
	bool ready;          /* both queues are there, and the last receive worked */
	struct ev_fail fail; /* the last that failed, if anything does now: names queue and error */
	uint64_t received, deleted, extended, rejected, undecodable, moved, empty_receives;
	uint64_t failed;           /* jobs: the message comes again */
	uint64_t lost;             /* receipts that ran out: the message comes again */
	uint64_t moved_bare;       /* without attributes */
	uint64_t not_movable;      /* SQS does not take them */
	uint64_t errors;           /* calls, and entries of batches */
	size_t in_hand, in_flight; /* messages, calls */
};
/* Any thread. */
void aws_intake_state(struct aws_intake *i, struct aws_intake_state *out);

#endif
