/*
 * engine/aws/lanes.h — jobs of all sources, decided by several threads, each outlet's in order.
 *
 * A job goes to the lane that its outlet's id (else its session's or customer's) falls on.  A lane
 * takes all that waits, groups it by outlet, and runs each group through its own pump on its own
 * store: several inputs of one outlet in hand are decided together and written once.  `done` of a
 * job's owner is called on the lane's thread, after the effects are durable and sent, or with the
 * error; owners hand the job back to their own thread themselves.
 */
#ifndef EV_AWS_LANES_H
#define EV_AWS_LANES_H

#include "engine/aws/store.h"
#include "service/pump.h"

#define AWS_LANE_BATCH_MAX 256 /* jobs that a lane takes at a time */
#define AWS_LANE_GROUP_MAX 32  /* inputs of one outlet that are written as one */

/*
 * Runs n jobs (at most AWS_LANE_BATCH_MAX) on the caller's thread: those of one key together, each
 * key's in order.  Fills their answers; their owners are told nothing.  The array is reordered.
 */
void aws_lane_run(struct pump *pump, struct job **jobs, size_t n);

/*
 * Timers and parked inputs that are due by now, each outlet's as a group of its own, at most max
 * outlets; on the caller's thread.  *out_failed: how many outlets' failed and stay due.
 */
void aws_lane_tick(struct pump *pump, size_t max, size_t *out_failed);

struct aws_lanes;

/* One lane's own things; borrowed until aws_lanes_free.  Made by whoever wires. */
struct aws_lane_parts {
	struct aws_store *store;
	struct ev_rng *rng;
};

struct aws_lanes_config {
	struct ev_clock *clock;
	struct outlet_rules rules;
	const struct aws_lane_parts *lanes;
	size_t n_lanes;   /* 1 to 256 */
	size_t queue_max; /* jobs waiting in all lanes above which aws_lanes_is_busy says yes */
};

EV_NODISCARD ev_err aws_lanes_new(const struct aws_lanes_config *c, struct aws_lanes **out);
/* Runs what was submitted, then ends the threads. */
void aws_lanes_free(struct aws_lanes *l);

/* Any thread; never refuses: sources stop at aws_lanes_is_busy. */
void aws_lanes_submit(struct aws_lanes *l, struct job *j);
bool aws_lanes_is_busy(const struct aws_lanes *l);
size_t aws_lanes_waiting(const struct aws_lanes *l);

/*
 * Runs `fn` on the thread of each lane between groups: ticks, sweeps, flushes.  Any thread; does
 * not wait.
 */
typedef void (*aws_lane_fn)(void *user, size_t lane, struct pump *pump, struct aws_store *store);
EV_NODISCARD ev_err aws_lanes_each(struct aws_lanes *l, aws_lane_fn fn, void *user);
EV_NODISCARD ev_err aws_lanes_on(struct aws_lanes *l, const struct ev_uuid *outlet_id,
				 aws_lane_fn fn, void *user);
/* The lane, of so many, that an outlet's id falls on. */
size_t aws_lanes_place(const struct ev_uuid *id, size_t n_lanes);

/*
 * What `fn` found out about the way to AWS: NULL, it works.  What jobs find out is noted by the
 * lanes themselves.
 */
void aws_lanes_note(struct aws_lanes *l, size_t lane, const struct ev_fail *fail);
/* False: tables or what is put fail for some time, *out names it.  Any thread. */
bool aws_lanes_are_well(struct aws_lanes *l, struct ev_fail *out);

/* Sums over all lanes, as of their last batches.  Any thread. */
struct aws_lanes_stats {
	struct pump_stats pump;
	struct outlet_service_stats outlet;
	struct app_service_stats app;
	struct aws_store_stats store;
};
void aws_lanes_stats(struct aws_lanes *l, struct aws_lanes_stats *out);

#endif
