/*
 * service/pump.h — both backends in one process: jobs in, groups of commits, answers out.
 *
 * The pump runs every job of a batch inside one group of the store: the outlet service, the app
 * service on the events that gave, the outlet service on the answers, until quiet.  One `end` makes
 * all of it durable; only then are the jobs done.  When a group fails, its jobs are run again one
 * by one, each in a group of its own, so that one bad input costs nobody else (design section 6).
 * What ends in a conflict is decided again: a group up to 4 times before that, a job up to 16.
 *
 * Used by one thread at a time; blocks as the store does.
 */
#ifndef EV_SERVICE_PUMP_H
#define EV_SERVICE_PUMP_H

#include "service/app_service.h"
#include "service/outlet_service.h"

struct pump_stats {
	uint64_t groups, failed_groups, jobs, failed_jobs, events;
	uint64_t by_kind[JOB_COUNT];
};

struct pump {
	struct store *store;
	struct ev_clock *clock;
	struct ev_rng *rng;
	/*
	 * The backends are apart: the store sends the events itself, and those of the other backend
	 * come back as JOB_EVENT.  Set after pump_init; false by default.
	 */
	bool apart;
	struct {
		size_t first, n;
	} under_way; /* the jobs of pump_run's that the open, or last, group runs; for tests */
	struct effects effects;
	struct outlet_service outlet;
	struct app_service app;
	struct pump_stats stats;
};

/* Borrows store, clock and rng until pump_deinit. */
void pump_init(struct pump *p, struct store *store, struct ev_clock *clock, struct ev_rng *rng,
	       const struct outlet_rules *rules);
void pump_deinit(struct pump *p);

/* Runs n jobs in order and fills their answers. */
void pump_run(struct pump *p, struct job **jobs, size_t n);

#endif
