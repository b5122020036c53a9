/*
 * engine/aws/front.h — the gateway's side of the queues.
 *
 * Device messages go to the outlet backend's queue in batches; a device is told `queued` when SQS
 * has its message.  Commands come from the queue of the outlet backend: any gateway process may get
 * any command, so it is kept in the items table until it lapses, given to the device if it is
 * connected here, or handed to the queue of the gateway that the connection table (the outlet's
 * delivery item: owner, generation) names.
 *
 * aws_front_run is for the host's writer thread (jobs of the gateway: device messages, command
 * acknowledgements, commands for a device that connects); aws_front_turn for a thread of its own that
 * reads the two queues.  The two share nothing but what is said below.
 */
#ifndef EV_AWS_FRONT_H
#define EV_AWS_FRONT_H

#include "base/clock.h"
#include "base/rng.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"
#include "service/job.h"

struct aws_front;

struct aws_front_config {
	struct aws_caller *jobs_caller;     /* of the thread that calls aws_front_run */
	struct aws_caller *commands_caller; /* of the thread that calls aws_front_turn */
	const struct aws_resources *resources;
	struct ev_clock *clock;
	struct ev_rng *rng; /* of aws_front_turn's thread */
	struct ev_str id;   /* of this gateway: names its queue, which is made if need be */
	unsigned receives;  /* [2] on each queue */
	/* A command for a device; it is given to the loop, which drops it if the device is gone. */
	void (*on_command)(void *user, const struct device_command *c);
	void *user;
};
struct aws_front_config aws_front_defaults(void);

EV_NODISCARD ev_err aws_front_new(const struct aws_front_config *c, struct aws_front **out);
void aws_front_free(struct aws_front *f);

/*
 * Runs the gateway's jobs and fills their answers: JOB_DEVICE_MESSAGE (verdict queued, or err),
 * JOB_COMMAND_ACK, JOB_COMMANDS (also takes the connection over: owner and generation).  Messages of
 * one device keep their order of acceptance.  Blocks.
 */
void aws_front_run(struct aws_front *f, struct job **jobs, size_t n);

/* The device's connection is gone: if it is still ours in the table, nobody's.  Does not block. */
void aws_front_gone(struct aws_front *f, const struct ev_uuid *outlet_id);

/* As aws_intake_turn. */
EV_NODISCARD ev_err aws_front_turn(struct aws_front *f, int64_t timeout_ns);
/* No more receives; own queue emptied and removed when nothing is left in it.  True when done. */
bool aws_front_drain(struct aws_front *f);

struct aws_front_state {
	bool ready;
	struct ev_fail fail;
	uint64_t messages, failed, batches, commands, handed_over, kept, stale, duplicates;
};
/* Any thread. */
void aws_front_state(struct aws_front *f, struct aws_front_state *out);

#endif
