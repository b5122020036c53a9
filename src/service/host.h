/*
 * service/host.h — the pump and the reader on threads of their own, behind one or more loops.
 *
 * A loop thread submits jobs and queries; they gather until `host_flush` (once a turn) hands the
 * whole batch to the writer thread, which runs all that waits as one group.  Answers, and the
 * commands and events the group gave, come back as one batch: `wake` is called on the worker, and
 * the loop then calls `host_reap`, which calls the `done` of every job's owner.  Threads hand over
 * batches, never single messages: a wake across threads costs about 50 µs (facts/libraries.md 5).
 *
 * A struct host is one loop's side of it.  Answers go to the side that submitted; commands and
 * arrivals to all, since only a loop knows which devices it has; events to those that want them.
 *
 * All functions but the ones for the engine's listener are called on the side's loop thread.
 */
#ifndef EV_SERVICE_HOST_H
#define EV_SERVICE_HOST_H

#include "port/query.h"
#include "service/pump.h"

#define HOST_LOOPS_MAX 64

struct host;

/* A read, on the reader thread: `run` must touch nothing but the task and the query. */
struct query_task {
	struct ev_node node; /* first; for whoever owns it */
	struct host *from;   /* the host's */
	ev_err (*run)(struct query_task *t, struct query *q);
	void (*done)(struct query_task *t, void *user); /* on the loop thread; the loop's user */
	void *user;                                     /* the maker's */
	ev_err err;                                     /* what run returned */
};

struct host_loop {
	/* Any thread: make the loop call host_reap soon. */
	void (*wake)(void *user);
	/* On the loop thread, out of host_reap, in the order of the commits.  May be NULL. */
	void (*on_command)(void *user, const struct device_command *c);
	void (*on_event)(void *user, const struct stored_event *e);
	/*
	 * Arrivals come before all else that a host_reap gives, so that no command that was decided
	 * later goes to a connection that is replaced; with one loop there are none.
	 */
	void (*on_arrival)(void *user, const struct arrival *a);
	void *user;
};

/* What the writer's parts had counted when the last batch was done. */
struct pump_snapshot {
	struct pump_stats pump;
	struct outlet_service_stats outlet;
	struct app_service_stats app;
};

struct host_config {
	struct pump *pump; /* borrowed; used by the writer thread alone until host_free */
	/*
	 * In its place (pump NULL): runs n jobs on the writer thread and fills their answers; it
	 * blocks as it likes.
	 */
	void (*run)(void *user, struct job **jobs, size_t n);
	/* What the pumps behind `run` have counted.  Any thread; NULL: nothing. */
	void (*counted)(void *user, struct pump_snapshot *out);
	void *run_user;
	struct ev_clock *clock; /* with run; else the pump's */
	struct query *query;    /* borrowed; used by the reader thread alone until host_free */
	size_t group_max;       /* jobs in one group at most, e.g. 4096 */
	size_t queue_max;       /* jobs waiting, of all loops, above which host_is_busy says yes */
	struct host_loop loop;  /* the first */
	/* On the writer thread, between groups, at most once a second: retention and the like. */
	void (*maintain)(void *user, int64_t now_ns);
	void *maintain_user;
};

struct host_stats {
	uint64_t batches;     /* groups of jobs taken */
	uint64_t largest;     /* jobs in the largest */
	uint64_t waiting;     /* jobs this side submitted and has not got back */
	uint64_t queries;     /* the same for queries */
	uint64_t all_waiting; /* the same for all sides; of about the same moment */
	uint64_t all_queries;
};

/* Starts both threads; the first loop's side.  EV_NOMEM, EV_BUSY (no thread to be had). */
EV_NODISCARD ev_err host_new(const struct host_config *config, struct host **out);

/*
 * The side of one more loop, before any side is used.  It lives as long as `first`.  EV_NOMEM,
 * EV_FULL (HOST_LOOPS_MAX).
 */
EV_NODISCARD ev_err host_attach(struct host *first, const struct host_loop *loop,
				struct host **out);

/*
 * Waits for what was submitted, gives it back, ends the threads and frees all sides.  Of the first
 * side, when no loop thread runs any more.
 */
void host_free(struct host *first);

void host_submit(struct host *h, struct job *j);
void host_query(struct host *h, struct query_task *t);
void host_flush(struct host *h);
/* Gives back what is done; returns how many jobs and queries. */
size_t host_reap(struct host *h);

/*
 * More of this side is waiting than its part of queue_max: do not take more in.  Each side has an
 * equal part, so a loop whose devices send too much holds back those, and nobody else's.
 */
bool host_is_busy(const struct host *h);
/* Any side is. */
bool host_any_busy(const struct host *h);

/*
 * How many jobs each of n makers at this side may have waiting so that all together are not too
 * many: 1 or more.
 */
size_t host_share(const struct host *h, size_t n);

/* Whether anybody at this side listens to events: they are copied for a loop only then. */
void host_want_events(struct host *h, bool want);

/* Any thread: a number for an arrival, above all that were given before. */
uint64_t host_next_arrival(struct host *h);

/* For the engine's listener (writer thread, after the commit is durable, before `done`). */
void host_put_command(struct host *h, const struct device_command *c);
void host_put_event(struct host *h, const struct stored_event *e);

/*
 * A command that came from elsewhere than a group of ours.  Any thread; told to all sides soon.
 * Without memory for it the device gets it when it connects again.
 */
void host_tell_command(struct host *h, const struct device_command *c);

struct host_stats host_stats(const struct host *h); /* any thread */

/* Any thread. */
void host_pump_stats(struct host *h, struct pump_snapshot *out);

#endif
