/*
 * core/session.h — the App Backend's heart: charging sessions.
 *
 * Pure.  Source: design sections 2 and 4.  A session's energy is the sum over the periodStarts it
 * heard of, plus what was folded and attached; within one periodStart it never goes backwards.
 */
#ifndef EV_CORE_SESSION_H
#define EV_CORE_SESSION_H

#include "core/types.h"

#define SESSION_SUMS_MAX 4

struct session_sum {
	int64_t start_ms; /* periodStart of the events, cut to milliseconds as on the stream */
	int64_t mwh;
};

struct session {
	struct ev_uuid id;
	uint64_t version;  /* 0: not stored yet */
	bool has_customer; /* false once the customer was erased */
	struct ev_uuid customer_id;
	struct rfid_tag tag;
	struct ev_uuid outlet_id;
	enum outlet_state state;
	enum purchase_channel channel;
	int64_t start_ns;
	bool has_end;
	int64_t end_ns;
	int64_t energy_mwh; /* always the total of the below */

	unsigned n_sums; /* newest start first */
	struct session_sum sums[SESSION_SUMS_MAX];
	int64_t folded_mwh;       /* sums of older starts than those kept */
	int64_t attached_mwh;     /* unassigned energy a person gave to it, by item */
	bool charging_seen;       /* a Charging event of the outlet was seen */
	bool stop_wished;         /* stop asked while still AppRequestsCharging */
	int64_t heard_ns;         /* server time of the last event of the outlet, or of birth */
	int64_t request_start_ns; /* periodStart and End the approval copies from the request */
	bool has_request_end;
	int64_t request_end_ns;
};

struct session_decision {
	enum verdict verdict;
	enum reason reason;
	bool write;
	struct session next;
	unsigned n_events;
	struct charging_event events[2];
};

/*
 * An event of the outlet about *cur (event->session_id == cur->id): Charging, ChargingFinished or
 * DeviceDeniesCharging.  item_known: the event's attached item was added before.  REJECTED (dead
 * letter; next is *cur): an event that no outlet may put, or a correction of an ended session
 * without eventId.  DUPLICATE: nothing to write; without eventId also what tells an ended session
 * no other state, sum or end.
 */
void session_on_event(const struct session *cur, const struct charging_event *event,
		      bool item_known, int64_t now_ns, struct session_decision *out);

/*
 * A session for a device's request by a known, unblocked customer: state Charging, channel
 * OutletDevice, with its approval event.  id: UUIDv5 of the request's identity, by the shell.
 */
void session_from_request(const struct ev_uuid *id, const struct ev_uuid *customer_id,
			  const struct charging_event *request, const struct identity *seed,
			  int64_t now_ns, struct session_decision *out);

/* The approval event of a session that a repeated request finds again. */
struct charging_event session_approval(const struct session *s,
				       const struct charging_event *request,
				       const struct identity *seed);

/* AppDeniesCharging for a request whose tag is unknown or whose customer is blocked. */
struct charging_event session_denial(const struct charging_event *request,
				     const struct identity *seed);

/* Start by app: state AppRequestsCharging, channel MobileApp, event AppRequestsCharging. */
void session_start(const struct ev_uuid *id, const struct ev_uuid *customer_id,
		   const struct rfid_tag *tag, const struct ev_uuid *outlet_id,
		   const struct identity *seed, int64_t now_ns, struct session_decision *out);

/*
 * Stop by app: AppRequestsStop and its event; while AppRequestsCharging the wish is kept; a repeat
 * sends the event again; REFUSED with REASON_ENDED when the session is over.
 */
void session_stop(const struct session *cur, const struct identity *seed, int64_t now_ns,
		  struct session_decision *out);

/* Closes a live session with its sum, because a new one of its outlet supersedes it. */
void session_supersede(const struct session *cur, int64_t now_ns, struct session_decision *out);

/*
 * Closes a stuck session in the App alone: allowed only if its outlet does not exist or rejected
 * the stop (the shell knows).
 */
void session_close(const struct session *cur, int64_t now_ns, struct session_decision *out);

/* Takes the person out of an ended session: no customer, no tag.  REFUSED while it is live. */
void session_forget(const struct session *cur, int64_t now_ns, struct session_decision *out);

#endif
