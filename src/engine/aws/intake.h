/*
 * engine/aws/intake.h — device messages from SQS, each deleted only after its durable effect.
 *
 * Several long polls in flight; decoded messages are given to `submit` as device jobs with their
 * identity and `at`; what comes back done is deleted in batches of ten; the visibility of what takes
 * long is extended; what cannot be read, or was rejected, goes to the dead-letters queue with the
 * reason as attributes, then is deleted.  Not deleted: a job that failed (err not EV_OK); it becomes
 * visible again.  Source: facts/original-system.md 2 and 3, design section 5.
 *
 * Identity: the hash of (messageId in the body, else the attribute that a moved message carries, else
 * the SQS MessageId) and the canonical body.  `at`: the attribute that a moved message carries, else
 * SentTimestamp.
 *
 * All functions but aws_intake_done are called by one thread.
 */
#ifndef EV_AWS_INTAKE_H
#define EV_AWS_INTAKE_H

#include "base/clock.h"
#include "base/metrics.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"
#include "service/job.h"

/* Attributes of messages that we move from queue to queue. */
#define AWS_ATTRIBUTE_IDENTITY "evchargeIdentity" /* 32 hex digits */
#define AWS_ATTRIBUTE_AT "evchargeAt"             /* ns, decimal */
#define AWS_ATTRIBUTE_REASON "evchargeReason"     /* dead letters: the text */

struct aws_intake;

struct aws_intake_config {
	struct aws_caller *caller; /* the intake's own */
	const struct aws_resources *resources;
	struct ev_clock *clock;
	unsigned receives;     /* long polls in flight, [4] */
	unsigned wait_s;       /* of each, [20] */
	unsigned visibility_s; /* [30] */
	size_t max_in_hand;    /* messages received and not deleted, [2,000] */
	/* A message to be decided; the intake is its owner.  Never blocks. */
	void (*submit)(void *user, struct job *j);
	bool (*is_busy)(void *user);
	void *user;
};
struct aws_intake_config aws_intake_defaults(void);

EV_NODISCARD ev_err aws_intake_new(const struct aws_intake_config *c, struct aws_intake **out);
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
	bool ready;          /* the last receive worked */
	struct ev_fail fail; /* if not: names queue and error */
	uint64_t received, deleted, extended, failed, rejected, undecodable, moved, empty_receives;
	size_t in_hand, in_flight;
};
/* Any thread. */
void aws_intake_state(struct aws_intake *i, struct aws_intake_state *out);

#endif
