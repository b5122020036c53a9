/*
 * engine/aws/front.h — the gateway's side of the queues.
 *
 * Device messages go to the outlet backend's queue in batches; a device is told `queued` when SQS
 * has its message, and its next one is sent only then.  What cannot be read, breaks our rules or
 * names another outlet is not put into the queue, where the original would end at it or believe it:
 * its dead letter is written here, and the device is told `rejected` as by the embedded engine.
 *
 * Commands: the items table has them all, in order; a message in the commands queue says only that
 * there is one.  Any gateway process may get it.  It asks the outlet's delivery item who has the
 * device's connection (owner, generation): if it is this one, all that is not acknowledged and
 * stands is read from the table and given out, in order; if it is another, the message is handed
 * over to that one's own queue; if it is nobody, or its queue is gone, the command stays in the
 * table.  A device that connects takes its connection over first and then reads, so whatever is
 * written later finds its new owner.  Commands of the original get a version of the time they were
 * sent at and an item of their own.
 *
 * aws_front_run is for the host's writer thread; aws_front_turn for a thread of its own that reads
 * the two queues.  The two share nothing but who is connected here.
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
	/* Of this gateway, unique: names its queue, which is made if need be; 1 to 36 bytes. */
	struct ev_str id;
	unsigned receives;         /* [2] on each queue, 1 to 8 */
	unsigned wait_s;           /* of each, [20] */
	unsigned visibility_s;     /* [15] */
	int64_t timeout_ns;        /* of what one job or one command may take, [10 s] */
	int64_t command_expiry_ns; /* of commands of the original, [4 min] */
	uint64_t seed[2];          /* of the maps */
	/*
	 * A command for a device; it is given to the loop, which drops it if the device is gone, or
	 * if it is not above the one sent last on that connection.
	 */
	void (*on_command)(void *user, const struct device_command *c);
	void *user;
};
struct aws_front_config aws_front_defaults(void);

/* EV_NOMEM, EV_INVALID (the config). */
EV_NODISCARD ev_err aws_front_new(const struct aws_front_config *c, struct aws_front **out);
void aws_front_free(struct aws_front *f);

/*
 * Runs the gateway's jobs and fills their answers; all other kinds are EV_UNSUPPORTED.  Blocks.
 *
 * JOB_DEVICE_MESSAGE: queued, or rejected; an error: it may have been accepted, the device sends it
 * again.  After an error the device's later messages of this call have the same.
 * JOB_COMMANDS: takes the connection over, but for `again`: that answers none if the connection was
 * taken over since.  EV_NOTFOUND: no such outlet; EV_BUSY: not ready yet.
 * JOB_COMMAND_ACK: EV_INVALID for a command that can never have been given: later than now by more
 * than a minute.  EV_NOTFOUND: no such outlet.
 */
void aws_front_run(struct aws_front *f, struct job **jobs, size_t n);

/*
 * The device's last connection here is gone: if it is still ours in the table, it becomes nobody's.
 * The loop's thread; does not block.
 */
void aws_front_gone(struct aws_front *f, const struct ev_uuid *outlet_id);

/* As aws_intake_turn. */
EV_NODISCARD ev_err aws_front_turn(struct aws_front *f, int64_t timeout_ns);
/* No more receives; own queue emptied and removed when nothing is left in it.  True when done. */
bool aws_front_drain(struct aws_front *f);

struct aws_front_state {
	bool ready;          /* the queues are there, and the last receives worked */
	struct ev_fail fail; /* the last that failed: names queue or table, and error */
	uint64_t messages, failed, batches, rejected; /* jobs of devices */
	uint64_t looks, acks;
	uint64_t received;    /* messages of both queues */
	uint64_t commands;    /* given to the loop, some of them again */
	uint64_t handed_over; /* to other gateways */
	uint64_t kept;        /* nobody has the connection */
	uint64_t stale;       /* nothing stands any more */
	uint64_t foreign;     /* of the original */
	uint64_t undecodable; /* moved to the dead letters */
	uint64_t retried;     /* not deleted, they come again */
	uint64_t errors;      /* calls of aws_front_turn's queues */
	size_t connected, in_flight;
};
/* Any thread. */
void aws_front_state(struct aws_front *f, struct aws_front_state *out);

#endif
