/*
 * test/unit/outlet_kit.h — rows in each shown state, and what every decision must keep.
 *
 * A row knows two ended sessions: the newer of tag "beta", the older of tag "Alpha"; the tag of its
 * own session or request is "Alpha" as well.
 */
#ifndef EV_TEST_OUTLET_KIT_H
#define EV_TEST_OUTLET_KIT_H

#include "core_kit.h"

#include "core/machine.h"
#include "core/outlet.h"

enum fixture {
	F_AVAILABLE,
	F_PLUGGED,
	F_WITHDRAWN,
	F_LAPSED,
	F_ANSWERED,
	F_WAITING,
	F_CHARGING, /* nothing reported */
	F_REPORTED,
	F_STOP,         /* stopRequested, something was reported */
	F_STOP_UNHEARD, /* stopRequested, nothing reported */
	F_FINISHED,
	F_COUNT
};

#define SET(f) (1U << (f))
#define ROWS_AVAILABLE SET(F_AVAILABLE)
#define ROWS_IDLE (SET(F_PLUGGED) | SET(F_WITHDRAWN) | SET(F_LAPSED) | SET(F_ANSWERED))
#define ROWS_WAITING SET(F_WAITING)
#define ROWS_PLUGGED (ROWS_IDLE | ROWS_WAITING)
#define ROWS_UNHEARD (SET(F_CHARGING) | SET(F_STOP_UNHEARD))
#define ROWS_STOP (SET(F_STOP) | SET(F_STOP_UNHEARD))
#define ROWS_RUNNING (SET(F_CHARGING) | SET(F_REPORTED))
#define ROWS_CHARGING (ROWS_RUNNING | ROWS_STOP)
#define ROWS_FINISHED SET(F_FINISHED)
#define ROWS_ALL (SET(F_COUNT) - 1U)

enum variant { V_PLAIN, V_OUT_OF_SERVICE, V_RETIRED, V_FOREIGN, V_COUNT };

#define OUTLET_ID 1
#define ROW_SESSION 10
#define BETA_SESSION 11
#define ALPHA_SESSION 12
#define REFUSED_SESSION 13
#define UNKNOWN_SESSION 14

#define ROW_SINCE T0
#define REQUEST_START (T0 + 3 * SEC + 1234567)

static inline bool is_charging(enum fixture f)
{
	return (SET(f) & ROWS_CHARGING) != 0;
}

static inline void row_add_session(struct outlet *o, enum fixture f)
{
	o->has_session = true;
	o->session_id = uuid_of(ROW_SESSION);
	o->tag = tag_of("Alpha");
	o->start_ns = T0 + 5 * SEC;
	o->total_sessions++;
	if (f == F_CHARGING || f == F_STOP_UNHEARD)
		return;
	o->reported = true;
	o->energy_mwh = 7 * KWH;
	o->total_energy_mwh += o->energy_mwh;
	o->has_end = true;
	o->end_ns = T0 + 6 * SEC;
}

static inline void row_add_history(struct outlet *o)
{
	o->n_recent = 2;
	o->recent[0] = (struct ended_session){
		.id = uuid_of(BETA_SESSION),
		.tag = tag_of("beta"),
		.since_ns = T0 - 500 * SEC,
		.start_ns = T0 - 490 * SEC,
		.end_ns = T0 - 400 * SEC,
		.sum_mwh = 3 * KWH,
	};
	o->recent[1] = (struct ended_session){
		.id = uuid_of(ALPHA_SESSION),
		.tag = tag_of("Alpha"),
		.since_ns = T0 - 1000 * SEC,
		.start_ns = T0 - 990 * SEC,
		.end_ns = T0 - 900 * SEC,
		.sum_mwh = 2 * KWH,
	};
	o->n_refused = 1;
	o->refused[0] = uuid_of(REFUSED_SESSION);
	o->n_ids = 2;
	o->ids[0] = identity_of(9001);
	o->ids[1] = identity_of(9002);
}

static inline struct outlet_request row_request(enum fixture f)
{
	static const enum request_status status[F_COUNT] = {
		[F_WITHDRAWN] = REQUEST_WITHDRAWN,
		[F_LAPSED] = REQUEST_LAPSED,
		[F_ANSWERED] = REQUEST_ANSWERED,
		[F_WAITING] = REQUEST_WAITING,
	};

	if (status[f] == REQUEST_NONE)
		return (struct outlet_request){ .status = REQUEST_NONE };
	return (struct outlet_request){
		.status = status[f],
		.tag = tag_of("Alpha"),
		.period_start_ns = REQUEST_START,
		.period_end_ns = REQUEST_START + SEC,
		.at_ns = ROW_SINCE,
		.event_id = identity_of(8001),
	};
}

/* What the original leaves: none of our own attributes, a session's fields wherever it was. */
static inline void row_make_foreign(struct outlet *o, enum fixture f)
{
	if (!o->has_session) {
		row_add_session(o, F_REPORTED);
		o->reported = false;
	}
	*o = (struct outlet){
		.id = o->id,
		.state = o->state,
		.has_session = true,
		.session_id = o->session_id,
		.tag = o->tag,
		.start_ns = o->start_ns,
		.has_end = true,
		.end_ns = T0 + 4 * SEC,
		.energy_mwh = o->energy_mwh,
		.total_sessions = o->total_sessions,
		.total_energy_mwh = o->total_energy_mwh,
		.max_power_mw = o->max_power_mw,
		.foreign = true,
	};
	(void)f;
}

static inline struct outlet row_of(enum fixture f, enum variant v)
{
	static const enum outlet_state states[F_COUNT] = {
		[F_AVAILABLE] = OUTLET_AVAILABLE,
		[F_PLUGGED] = OUTLET_CABLE_PLUGGED,
		[F_WITHDRAWN] = OUTLET_CABLE_PLUGGED,
		[F_LAPSED] = OUTLET_CABLE_PLUGGED,
		[F_ANSWERED] = OUTLET_CABLE_PLUGGED,
		[F_WAITING] = OUTLET_CABLE_PLUGGED,
		[F_CHARGING] = OUTLET_CHARGING,
		[F_REPORTED] = OUTLET_CHARGING,
		[F_STOP] = OUTLET_CHARGING,
		[F_STOP_UNHEARD] = OUTLET_CHARGING,
		[F_FINISHED] = OUTLET_CHARGING_FINISHED,
	};
	struct ev_uuid id = uuid_of(OUTLET_ID);
	struct outlet o = outlet_new(&id, 22 * KWH, T0 - 5000 * SEC);

	o.state = states[f];
	o.since_ns = ROW_SINCE;
	o.request = row_request(f);
	o.total_sessions = 2;
	o.unassigned_mwh = 4 * KWH;
	o.total_energy_mwh = 9 * KWH;
	row_add_history(&o);
	if (is_charging(f) || f == F_FINISHED)
		row_add_session(&o, f);
	if (f == F_STOP || f == F_STOP_UNHEARD)
		o.stop_at_ns = T0 + 7 * SEC;
	o.out_of_service = v == V_OUT_OF_SERVICE;
	o.retired = v == V_RETIRED;
	if (v == V_FOREIGN)
		row_make_foreign(&o, f);
	return o;
}

/* Can there be such a row at all? */
static inline bool row_exists(enum fixture f, enum variant v)
{
	const unsigned foreign = SET(F_AVAILABLE) | SET(F_PLUGGED) | SET(F_CHARGING) |
				 SET(F_REPORTED) | SET(F_FINISHED);

	if (v == V_FOREIGN)
		return (SET(f) & foreign) != 0;
	if (v == V_RETIRED)
		return !is_charging(f) && f != F_WAITING;
	return v != V_OUT_OF_SERVICE || f != F_WAITING;
}

static inline int64_t recent_sum(const struct outlet *o, uint64_t session)
{
	struct ev_uuid id = uuid_of(session);

	for (unsigned i = 0; i < o->n_recent; i++) {
		if (ev_uuid_eq(&o->recent[i].id, &id))
			return o->recent[i].sum_mwh;
	}
	return 0;
}

/* The energy of a session by what the row knows of it: as its own, or as an ended one. */
static inline int64_t session_sum(const struct outlet *o, uint64_t session)
{
	struct ev_uuid id = uuid_of(session);

	if (o->has_session && ev_uuid_eq(&o->session_id, &id))
		return o->energy_mwh;
	return recent_sum(o, session);
}

/* What holds of every row that was written. */
static inline void assert_row_sound(const struct outlet *o)
{
	bool has = o->state == OUTLET_CHARGING || o->state == OUTLET_CHARGING_FINISHED;

	assert_true(has || o->state == OUTLET_AVAILABLE || o->state == OUTLET_CABLE_PLUGGED);
	assert_int_equal(o->has_session, has);
	if (!has) {
		assert_int_equal(o->tag.n, 0);
		assert_false(o->has_end);
		assert_int_equal(o->energy_mwh, 0);
	}
	if (o->state != OUTLET_CABLE_PLUGGED)
		assert_int_equal(o->request.status, REQUEST_NONE);
	if (o->state != OUTLET_CHARGING) {
		assert_int_equal(o->stop_at_ns, 0);
		assert_false(o->stop_repeated);
	}
	assert_true(o->n_recent <= OUTLET_RECENT_MAX && o->n_refused <= OUTLET_REFUSED_MAX);
	assert_true(o->n_ids <= OUTLET_IDS_MAX);
	assert_false(o->foreign);
}

static inline void assert_identity_kept(const struct outlet *cur, const struct outlet_input *in,
					const struct outlet_decision *d)
{
	bool remembered = in->kind == OUTLET_IN_DEVICE && d->write;

	assert_int_equal(d->has_block, remembered && cur->n_ids == OUTLET_IDS_MAX);
	if (d->has_block)
		assert_memory_equal(d->block, cur->ids, sizeof(d->block));
	if (!remembered) {
		assert_int_equal(d->next.n_ids, cur->n_ids);
		return;
	}
	assert_int_equal(d->next.n_ids, d->has_block ? 1 : cur->n_ids + 1);
	assert_true(identity_eq(&d->next.ids[d->next.n_ids - 1], &in->id));
}

static inline void assert_effects_named(const struct outlet_decision *d)
{
	for (unsigned i = 0; i < d->n_commands; i++) {
		assert_int_equal(d->commands[i].version, d->next.version);
		assert_int_equal(d->commands[i].index, i);
		assert_true(ev_uuid_eq(&d->commands[i].outlet_id, &d->next.id));
	}
	for (unsigned i = 0; i < d->n_events; i++) {
		assert_int_equal(d->events[i].initiator, INITIATOR_OUTLET_BACKEND);
		assert_true(ev_uuid_eq(&d->events[i].outlet_id, &d->next.id));
		assert_true(d->events[i].has_event_id);
		assert_false(identity_is_none(&d->events[i].event_id));
		for (unsigned k = 0; k < i; k++)
			assert_false(identity_eq(&d->events[i].event_id, &d->events[k].event_id));
	}
}

/* What holds of every decision, whatever the input. */
static inline void assert_decision_sound(const struct outlet *cur, const struct outlet_input *in,
					 const struct outlet_decision *d)
{
	int64_t grown = d->next.total_energy_mwh - cur->total_energy_mwh;

	assert_int_equal(grown, d->credited_mwh);
	assert_true(d->n_events <= OUTLET_EVENTS_MAX && d->n_commands <= OUTLET_COMMANDS_MAX);
	assert_identity_kept(cur, in, d);
	if (!d->write) {
		assert_memory_equal(&d->next, cur, sizeof(*cur));
		assert_int_equal(d->n_commands + d->n_events, 0);
		assert_false(d->has_item);
		return;
	}
	assert_true(d->next.version > cur->version);
	assert_row_sound(&d->next);
	assert_effects_named(d);
}

#endif
