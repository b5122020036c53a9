/*
 * service/outlet_service.h — the Outlet Backend: load, decide, commit.
 *
 * Stateless between calls but for its counters; the store holds everything.  Calls block as the
 * store does, and are made by the thread that owns the store.  A conflict is decided again from a
 * fresh load; every other failure of the store is returned, and the input is not acknowledged.
 */
#ifndef EV_SERVICE_OUTLET_SERVICE_H
#define EV_SERVICE_OUTLET_SERVICE_H

#include "base/clock.h"
#include "base/rng.h"
#include "service/effects.h"
#include "service/job.h"

struct outlet_service_stats {
	uint64_t verdicts[VERDICT_COUNT];
	uint64_t reasons[REASON_COUNT];
	uint64_t credited_messages;
	int64_t credited_mwh;
	int64_t unassigned_mwh;
	uint64_t suspect;
	uint64_t foreign_tag;
	uint64_t conflicts;
	uint64_t timers;
	uint64_t parked;
	uint64_t unreadable; /* rows due that could not be read: skipped, at each tick */
};

struct outlet_service {
	struct store *store;
	struct ev_clock *clock;
	struct ev_rng *rng;
	struct outlet_rules rules;
	int64_t park_ns;         /* how long `later` waits: 30 s */
	struct effects *effects; /* where events go; borrowed */
	struct outlet_service_stats stats;
};

/* Each fills the job's answer; the return value is job.err as well. */
ev_err outlet_service_message(struct outlet_service *s, struct device_job *j);
/* Once all events of the job's group settled: a request may have been answered by then. */
ev_err outlet_service_settled(struct outlet_service *s, struct device_job *j);
/* EV_NOTFOUND: no such outlet.  EV_INVALID: a command that this outlet was never given. */
ev_err outlet_service_command_ack(struct outlet_service *s, struct command_job *j);
/* What is not acknowledged and whose reason stands; of more than fit, the newest.  EV_NOTFOUND. */
ev_err outlet_service_commands(struct outlet_service *s, struct command_job *j);
ev_err outlet_service_create(struct outlet_service *s, struct outlet_job *j);
ev_err outlet_service_change(struct outlet_service *s, struct outlet_job *j);
/* JOB_OUTLET_SERVICE, JOB_OUTLET_RETIRE, JOB_OUTLET_FINISH */
ev_err outlet_service_person(struct outlet_service *s, struct outlet_job *j);
ev_err outlet_service_attach(struct outlet_service *s, struct outlet_job *j);
/* Decodes and decides a dead device message again; *d is the letter. */
ev_err outlet_service_replay(struct outlet_service *s, const struct dead_letter *d,
			     struct dead_letter_job *j);

/* A dead event of the App Backend, with the session the person named if has_session. */
ev_err outlet_service_replay_event(struct outlet_service *s, const struct charging_event *e,
				   const struct dead_letter *d, struct dead_letter_job *j);

/* An event of the App Backend, first received at at_ns; id is its identity. */
EV_NODISCARD ev_err outlet_service_event(struct outlet_service *s, const struct charging_event *e,
					 const struct identity *id, int64_t at_ns);

/* Timers and parked inputs that are due now, at most max of each; *out_more: there are more. */
EV_NODISCARD ev_err outlet_service_tick(struct outlet_service *s, size_t max, bool *out_more);

/*
 * The same of one outlet; *out_more: it may have another that is due.  For engines on which the
 * rows of several outlets are not written as one.
 */
EV_NODISCARD ev_err outlet_service_tick_one(struct outlet_service *s, const struct ev_uuid *id,
					    bool *out_more);

#endif
