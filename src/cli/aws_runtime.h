/*
 * cli/aws_runtime.h — the aws engine as one object: credentials, clients, lanes, and the threads
 * that read queues and streams, wired from a configuration.
 *
 *     intake (SQS) ─┐                      ┌─ store ─ client (DynamoDB)
 *     consumers ────┼─▶ lanes: pump ───────┤
 *     housekeeping ─┤                      └─ sender, shared (Kinesis, SQS)
 *     host's writer ┘        front: device messages to SQS, commands from SQS
 *
 * Roles that are not played have no threads.  Made and freed by the thread that runs the loop.
 */
#ifndef EV_CLI_AWS_RUNTIME_H
#define EV_CLI_AWS_RUNTIME_H

#include "base/buf.h"
#include "base/log.h"
#include "cli/config.h"
#include "net/api.h"
#include "port/query.h"
#include "service/host.h"
#include "service/job.h"

struct aws_runtime;

struct aws_runtime_options {
	const struct config *config; /* borrowed */
	struct ev_log *log;          /* borrowed */
	struct ev_clock *clock;      /* borrowed */
	struct outlet_rules rules;
	/* Any thread: a command for a device that is, or lately was, connected here. */
	void (*on_command)(void *user, const struct device_command *c);
	void *user;
};

/*
 * Opens everything and starts the threads; asks the services nothing, so a cloud that is out of
 * reach is told by aws_runtime_checks, not here.  EV_NOTFOUND (no region), EV_INVALID, EV_DENIED,
 * EV_IO (the profile's files), EV_BUSY (threads), EV_NOMEM.
 */
EV_NODISCARD ev_err aws_runtime_new(const struct aws_runtime_options *o, struct aws_runtime **out,
				    struct ev_fail *fail);

/* Begins to stop: receives and polls end, leases are released.  Does not wait. */
void aws_runtime_stop(struct aws_runtime *r);

/*
 * Waits for what is in hand, at most for drain-timeout, and ends the threads that read: on_command
 * is not called any more.  aws_runtime_run goes on working.
 */
void aws_runtime_quiet(struct aws_runtime *r);

/* After the host, whose writer uses it. */
void aws_runtime_free(struct aws_runtime *r);

/* For the host's reader thread; owned by the runtime. */
struct query *aws_runtime_query(struct aws_runtime *r);

/* For the host's writer thread: runs n jobs, those of the gateway and those of lanes.  Blocks. */
void aws_runtime_run(struct aws_runtime *r, struct job **jobs, size_t n);

/* A device's connection is gone.  Any thread. */
void aws_runtime_gone(struct aws_runtime *r, const struct ev_uuid *outlet_id);

/* Which dependency is missing; texts are valid until the next call.  The loop's thread. */
void aws_runtime_checks(struct aws_runtime *r, struct api_checks *c);

/* Appends the engine's counters to /metrics.  Any thread. */
/* Of the lanes' pumps. */
void aws_runtime_counted(struct aws_runtime *r, struct pump_snapshot *out);
void aws_runtime_metrics(struct aws_runtime *r, struct ev_buf *out);

#endif
