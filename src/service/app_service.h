/*
 * service/app_service.h — the App Backend: customers, tags, sessions.
 *
 * As service/outlet_service.h: load, decide, commit; called by the thread that owns the store.
 */
#ifndef EV_SERVICE_APP_SERVICE_H
#define EV_SERVICE_APP_SERVICE_H

#include "base/clock.h"
#include "base/rng.h"
#include "service/effects.h"
#include "service/job.h"

struct app_service_stats {
	uint64_t verdicts[VERDICT_COUNT]; /* of events */
	uint64_t approvals, denials, starts, stops, superseded;
};

struct app_service {
	struct store *store;
	struct ev_clock *clock;
	struct ev_rng *rng;
	struct effects *effects;    /* where events go; borrowed */
	int64_t request_timeout_ns; /* as the outlets' rule; for requests without eventId */
	struct app_service_stats stats;
};

/*
 * An event of the Outlet Backend; id is its identity, at_ns its first receipt.  A request without
 * eventId that is older than the request timeout is not answered: whoever was here before may have,
 * and that outlet would take a second answer for another start, or end its session for a denial.
 */
EV_NODISCARD ev_err app_service_event(struct app_service *s, const struct charging_event *e,
				      const struct identity *id, int64_t at_ns);

/* A dead event is decided again, with the session the person named if has_session. */
ev_err app_service_replay(struct app_service *s, const struct charging_event *e,
			  const struct dead_letter *d, struct dead_letter_job *j);

/* EV_EXISTS: the tag is another customer's.  EV_NOTFOUND: no such customer. */
ev_err app_service_customer_create(struct app_service *s, struct customer_job *j);
ev_err app_service_customer_change(struct app_service *s, struct customer_job *j);
ev_err app_service_customer_block(struct app_service *s, struct customer_job *j);
ev_err app_service_customer_tag(struct app_service *s, struct customer_job *j);
/* Takes the person out of their sessions, too.  REFUSED while one of them is live. */
ev_err app_service_customer_erase(struct app_service *s, struct customer_job *j);

/*
 * EV_NOTFOUND: no such customer (reason NONE) or, where the store knows the outlets, no such outlet
 * (reason UNKNOWN_OUTLET).  EV_DENIED: the customer is blocked.  A second start for a live session
 * answers with that session, verdict duplicate.
 */
ev_err app_service_start(struct app_service *s, struct session_job *j);
ev_err app_service_stop(struct app_service *s, struct session_job *j);
/* Closes in the App alone; REFUSED unless the outlet is gone or does not carry the session. */
ev_err app_service_close(struct app_service *s, struct session_job *j);

#endif
