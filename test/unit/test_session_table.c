/*
 * test/unit/test_session_table.c — every state of a session x every event of its outlet, how sums
 * are kept per periodStart, and what people ask for.  Design section 4.
 */
#include "core_kit.h"

#include "core/machine.h"
#include "core/session.h"

#define NOW (T0 + 100 * SEC)
#define START T0

enum fixture {
	F_ASKED,      /* AppRequestsCharging */
	F_ASKED_WISH, /* the same, a stop was wished */
	F_APPROVED,   /* Charging, nothing heard of the outlet */
	F_CHARGING,   /* Charging, heard, no energy */
	F_REPORTED,   /* Charging, heard, 5 kWh */
	F_STOP,       /* AppRequestsStop, no energy */
	F_STOP_REPORTED,
	F_DENIED,
	F_DENIED_WISH,
	F_FINISHED,          /* no energy */
	F_FINISHED_REPORTED, /* 5 kWh */
	F_COUNT
};

#define SET(f) (1U << (f))
#define ROWS_ASKED SET(F_ASKED)
#define ROWS_CHARGING (SET(F_APPROVED) | SET(F_CHARGING) | SET(F_REPORTED))
#define ROWS_STOP (SET(F_STOP) | SET(F_STOP_REPORTED))
#define ROWS_DENIED (SET(F_DENIED) | SET(F_DENIED_WISH))
#define ROWS_FINISHED (SET(F_FINISHED) | SET(F_FINISHED_REPORTED))
#define ROWS_LIVE (ROWS_ASKED | SET(F_ASKED_WISH) | ROWS_CHARGING | ROWS_STOP)
#define ROWS_ENERGY (SET(F_REPORTED) | SET(F_STOP_REPORTED) | SET(F_FINISHED_REPORTED))
#define ROWS_ALL (SET(F_COUNT) - 1U)

static struct session session_of(enum fixture f)
{
	static const enum outlet_state states[F_COUNT] = {
		[F_ASKED] = OUTLET_APP_REQUESTS_CHARGING,
		[F_ASKED_WISH] = OUTLET_APP_REQUESTS_CHARGING,
		[F_APPROVED] = OUTLET_CHARGING,
		[F_CHARGING] = OUTLET_CHARGING,
		[F_REPORTED] = OUTLET_CHARGING,
		[F_STOP] = OUTLET_APP_REQUESTS_STOP,
		[F_STOP_REPORTED] = OUTLET_APP_REQUESTS_STOP,
		[F_DENIED] = OUTLET_DEVICE_DENIES_CHARGING,
		[F_DENIED_WISH] = OUTLET_DEVICE_DENIES_CHARGING,
		[F_FINISHED] = OUTLET_CHARGING_FINISHED,
		[F_FINISHED_REPORTED] = OUTLET_CHARGING_FINISHED,
	};
	bool energy = (SET(f) & ROWS_ENERGY) != 0;
	struct session s = {
		.id = uuid_of(1),
		.version = 5,
		.has_customer = true,
		.customer_id = uuid_of(2),
		.tag = tag_of("alpha"),
		.outlet_id = uuid_of(3),
		.state = states[f],
		.start_ns = START,
		.charging_seen = f == F_CHARGING || f == F_REPORTED,
		.stop_wished = f == F_ASKED_WISH || f == F_DENIED_WISH,
		.heard_ns = T0,
	};

	if (!session_is_live(s.state)) {
		s.has_end = true;
		s.end_ns = T0 + 50 * SEC;
		s.charging_seen = true;
	}
	if (energy || (SET(f) & ROWS_FINISHED) != 0) {
		s.n_sums = 1;
		s.sums[0] = (struct session_sum){ START / EV_NS_PER_MS, energy ? 5 * KWH : 0 };
		s.energy_mwh = s.sums[0].mwh;
	}
	return s;
}

static struct charging_event event_of(enum outlet_state state, int64_t mwh)
{
	return (struct charging_event){
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = uuid_of(3),
		.state = state,
		.has_session = true,
		.session_id = uuid_of(1),
		.tag = tag_of("alpha"),
		.period_start_ns = START,
		.energy_mwh = mwh,
		.has_event_id = true,
		.event_id = identity_of(7),
	};
}

/* ---- every state x every event ---- */

#define CHANGE(s) (1U << OUTLET_##s)
#define IF_ENERGY (1U << 0) /* the session has energy once the event is counted */
#define IF_GREW (1U << 1)   /* the event brought some */
#define IF_EVENT_ID (1U << 2)
#define IF_NOT_THEIRS (1U << 3) /* the Outlet Backend did not put it */
#define STAYS OUTLET_STATE_COUNT
#define ANY_EVENT ((1U << OUTLET_STATE_COUNT) - 1U)
#define HEARD (CHANGE(CHARGING) | CHANGE(CHARGING_FINISHED) | CHANGE(DEVICE_DENIES_CHARGING))

struct rule {
	unsigned events, rows, when;
	enum verdict verdict;
	enum reason reason;
	enum outlet_state next;
	bool stops; /* AppRequestsStop is put */
};

/* clang-format off */
static const struct rule rules[] = {
	{ ANY_EVENT, ROWS_ALL, IF_NOT_THEIRS, VERDICT_REJECTED, REASON_BAD_EVENT, STAYS, false },
	{ ANY_EVENT & ~HEARD, ROWS_ALL, 0, VERDICT_REJECTED, REASON_BAD_EVENT, STAYS, false },

	{ CHANGE(DEVICE_DENIES_CHARGING), ROWS_ENERGY, 0,
	  VERDICT_DUPLICATE, REASON_MOVED_ON, STAYS, false },
	{ CHANGE(DEVICE_DENIES_CHARGING), ROWS_LIVE, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_DEVICE_DENIES_CHARGING, false },
	{ CHANGE(DEVICE_DENIES_CHARGING), ROWS_ALL, 0,
	  VERDICT_DUPLICATE, REASON_MOVED_ON, STAYS, false },

	{ CHANGE(CHARGING), SET(F_ASKED_WISH), 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_APP_REQUESTS_STOP, true },
	{ CHANGE(CHARGING), ROWS_ASKED | ROWS_CHARGING, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING, false },
	{ CHANGE(CHARGING), ROWS_STOP, 0, VERDICT_APPLIED, REASON_NONE, STAYS, false },
	{ CHANGE(CHARGING), SET(F_DENIED), IF_ENERGY,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING, false },
	{ CHANGE(CHARGING), SET(F_DENIED_WISH), IF_ENERGY,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_APP_REQUESTS_STOP, true },
	{ CHANGE(CHARGING), ROWS_FINISHED, IF_GREW | IF_EVENT_ID,
	  VERDICT_APPLIED, REASON_NONE, STAYS, true },

	{ CHANGE(CHARGING_FINISHED), ROWS_LIVE, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING_FINISHED, false },
	{ CHANGE(CHARGING_FINISHED), ROWS_DENIED, IF_ENERGY,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING_FINISHED, false },
	{ CHANGE(CHARGING_FINISHED), ROWS_FINISHED, IF_GREW | IF_EVENT_ID,
	  VERDICT_APPLIED, REASON_NONE, STAYS, false },

	/* Of a denied session only the start is noted: there is no energy to beat the denial. */
	{ CHANGE(CHARGING) | CHANGE(CHARGING_FINISHED), ROWS_DENIED, 0,
	  VERDICT_APPLIED, REASON_NONE, STAYS, false },

	{ CHANGE(CHARGING) | CHANGE(CHARGING_FINISHED), ROWS_FINISHED, IF_GREW,
	  VERDICT_REJECTED, REASON_STALE_EVENT, STAYS, false },
};
/* clang-format on */

static const int64_t energies[] = { 0, 5 * KWH, 6 * KWH };

static const struct rule *find_rule(enum fixture f, enum outlet_state event, unsigned is)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(rules); i++) {
		if ((rules[i].events >> event & 1U) != 0 && (rules[i].rows & SET(f)) != 0 &&
		    (rules[i].when & ~is) == 0)
			return &rules[i];
	}
	return NULL;
}

/* What holds of every decision about a session. */
static void assert_sound(const struct session *cur, const struct session_decision *d)
{
	const struct session *s = &d->next;
	int64_t sum = s->folded_mwh + s->attached_mwh;

	assert_true(s->n_sums <= SESSION_SUMS_MAX);
	for (unsigned i = 0; i < s->n_sums; i++) {
		sum += s->sums[i].mwh;
		assert_true(i == 0 || s->sums[i].start_ms < s->sums[i - 1].start_ms);
	}
	if (s->n_sums > 0)
		assert_int_equal(s->energy_mwh, sum);
	assert_true(s->energy_mwh >= cur->energy_mwh);
	assert_true(s->state == cur->state || session_may_go(cur->state, s->state) ||
		    (s->stop_wished && s->state == OUTLET_APP_REQUESTS_STOP));
	assert_true(!cur->has_end || (s->has_end && s->end_ns >= cur->end_ns));
	if (d->write)
		assert_true(s->version > cur->version);
}

static void assert_stop_put(const struct session_decision *d, bool stops)
{
	assert_int_equal(d->n_events, stops);
	if (!stops)
		return;
	assert_int_equal(d->events[0].state, OUTLET_APP_REQUESTS_STOP);
	assert_int_equal(d->events[0].initiator, INITIATOR_APP_BACKEND);
	assert_true(d->events[0].has_session);
	assert_true(ev_uuid_eq(&d->events[0].session_id, &d->next.id));
	assert_true(d->events[0].has_event_id && !identity_is_none(&d->events[0].event_id));
}

static void check(enum fixture f, const struct charging_event *e)
{
	static struct session_decision d;
	struct session cur = session_of(f);
	bool counts = e->state != OUTLET_DEVICE_DENIES_CHARGING;
	bool grew = counts && e->energy_mwh > cur.energy_mwh;
	bool theirs = e->initiator == INITIATOR_OUTLET_BACKEND;
	unsigned is = (grew || cur.energy_mwh > 0 ? IF_ENERGY : 0U) | (grew ? IF_GREW : 0U) |
		      (e->has_event_id ? IF_EVENT_ID : 0U) | (theirs ? 0U : IF_NOT_THEIRS);
	const struct rule *r = find_rule(f, e->state, is);
	enum verdict verdict = r == NULL ? VERDICT_DUPLICATE : r->verdict;
	enum reason reason = r == NULL ? REASON_REPEATED : r->reason;
	enum outlet_state next = r == NULL || r->next == STAYS ? cur.state : r->next;

	session_on_event(&cur, e, false, NOW, &d);
	if (d.verdict != verdict || (d.reason != reason && verdict != VERDICT_DUPLICATE) ||
	    d.next.state != next)
		fail_msg("session %d event %s %lld mWh: %s (%s) %s", (int)f,
			 outlet_state_text(e->state), (long long)e->energy_mwh,
			 verdict_text(d.verdict), reason_text(d.reason),
			 outlet_state_text(d.next.state));
	assert_sound(&cur, &d);
	assert_int_equal(d.write, verdict == VERDICT_APPLIED);
	assert_stop_put(&d, r != NULL && r->stops);
	if (verdict == VERDICT_APPLIED) {
		assert_int_equal(d.next.energy_mwh, grew ? e->energy_mwh : cur.energy_mwh);
		assert_int_equal(d.next.heard_ns, NOW);
		assert_int_equal(d.next.charging_seen,
				 cur.charging_seen || e->state == OUTLET_CHARGING);
	}
	if (verdict == VERDICT_REJECTED)
		assert_memory_equal(&d.next, &cur, sizeof(cur));
}

static void every_state_meets_every_event_of_its_outlet(void **state)
{
	(void)state;
	for (unsigned f = 0; f < F_COUNT; f++) {
		for (unsigned s = 0; s < OUTLET_STATE_COUNT; s++) {
			for (unsigned v = 0; v < EV_ARRAY_LEN(energies) * 4; v++) {
				struct charging_event e = event_of((enum outlet_state)s,
								   energies[v / 4]);

				e.has_event_id = (v & 1U) != 0;
				e.initiator = (v & 2U) != 0 ? INITIATOR_OUTLET_BACKEND
							    : INITIATOR_APP_BACKEND;
				if (!e.has_event_id)
					e.event_id = identity_of(0);
				check((enum fixture)f, &e);
			}
		}
	}
}

/* ---- sums per periodStart ---- */

struct heard {
	int64_t start_s; /* after START */
	int64_t kwh;
	int64_t total_kwh; /* the session's energy afterwards */
};

static void hear(struct session *s, const struct heard *steps, size_t n)
{
	static struct session_decision d;

	for (size_t i = 0; i < n; i++) {
		struct charging_event e = event_of(OUTLET_CHARGING, steps[i].kwh * KWH);

		e.period_start_ns = START + steps[i].start_s * SEC;
		session_on_event(s, &e, false, NOW, &d);
		assert_sound(s, &d);
		if (d.next.energy_mwh != steps[i].total_kwh * KWH)
			fail_msg("step %zu: %lld mWh", i, (long long)d.next.energy_mwh);
		if (d.write)
			*s = d.next;
	}
}

static void a_sum_never_goes_backwards(void **state)
{
	static const struct heard steps[] = { { 0, 1, 1 }, { 0, 3, 3 }, { 0, 2, 3 }, { 0, 4, 4 } };
	struct session s = session_of(F_APPROVED);

	(void)state;
	hear(&s, steps, EV_ARRAY_LEN(steps));
	assert_int_equal(s.n_sums, 1);
}

static void starts_add_up_and_the_oldest_is_folded(void **state)
{
	static const struct heard steps[] = {
		{ 10, 1, 1 },   { 20, 2, 3 },   { 30, 4, 7 },  { 40, 8, 15 },
		{ 50, 16, 31 }, { 60, 32, 63 }, { 30, 5, 64 }, /* still kept: grows */
		{ 10, 1, 64 },  { 20, 9, 64 }, /* folded: whatever they say now is not counted */
		{ 5, 7, 64 },                  /* as old as the folded ones */
	};
	struct session s = session_of(F_APPROVED);

	(void)state;
	hear(&s, steps, EV_ARRAY_LEN(steps));
	assert_int_equal(s.n_sums, SESSION_SUMS_MAX);
	assert_int_equal(s.folded_mwh, 3 * KWH);
}

/* The fold takes the oldest start, not the one that was heard of first. */
static void starts_in_any_order_are_counted_once(void **state)
{
	static const struct heard steps[] = {
		{ 10, 1, 1 },   { 30, 2, 3 },   { 20, 4, 7 },  { 40, 8, 15 }, { 50, 16, 31 },
		{ 60, 32, 63 }, { 20, 4, 63 },  { 30, 2, 63 }, { 10, 1, 63 }, { 40, 8, 63 },
		{ 50, 16, 63 }, { 60, 32, 63 }, { 70, 1, 64 }, { 30, 2, 64 }, { 20, 4, 64 },
	};
	struct session s = session_of(F_APPROVED);

	(void)state;
	hear(&s, steps, EV_ARRAY_LEN(steps));
}

/* A row that only the original wrote knows no starts: its stream read again is nothing new. */
static void a_foreign_row_that_ended_is_told_its_own_sums_again(void **state)
{
	static const struct {
		enum outlet_state state;
		int64_t kwh;
		int64_t end_ns;
		enum verdict verdict;
	} cases[] = {
		{ OUTLET_CHARGING, 0, START + SEC, VERDICT_DUPLICATE },
		{ OUTLET_CHARGING, 3, START + SEC, VERDICT_DUPLICATE },
		{ OUTLET_CHARGING_FINISHED, 5, START + 2 * SEC, VERDICT_DUPLICATE },
		{ OUTLET_CHARGING_FINISHED, 5, START + 3 * SEC, VERDICT_REJECTED },
		{ OUTLET_CHARGING_FINISHED, 6, START + 2 * SEC, VERDICT_REJECTED },
	};
	static struct session_decision d;
	struct session s = session_of(F_FINISHED);

	(void)state;
	s.n_sums = 0;
	s.charging_seen = false;
	s.energy_mwh = 5 * KWH;
	s.has_end = true;
	s.end_ns = START + 2 * SEC;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct charging_event e = event_of(cases[i].state, cases[i].kwh * KWH);

		e.has_event_id = false;
		e.has_period_end = true;
		e.period_end_ns = cases[i].end_ns;
		session_on_event(&s, &e, false, NOW, &d);
		assert_int_equal(d.verdict, cases[i].verdict);
		assert_false(d.write);
		assert_int_equal(d.n_events, 0);
	}
}

static void starts_count_to_the_millisecond(void **state)
{
	static struct session_decision d;
	struct session s = session_of(F_APPROVED);
	struct charging_event e = event_of(OUTLET_CHARGING, KWH);

	(void)state;
	e.period_start_ns = START + 999999;
	session_on_event(&s, &e, false, NOW, &d);
	s = d.next;
	e.period_start_ns = START;
	session_on_event(&s, &e, false, NOW, &d);
	assert_int_equal(d.next.energy_mwh, KWH);
	s = d.next;
	e.period_start_ns = START + 1000000;
	session_on_event(&s, &e, false, NOW, &d);
	assert_int_equal(d.next.energy_mwh, 2 * KWH);
}

/* The original keeps one sum, and does not say of which start. */
static void a_row_of_the_original_counts_as_the_first_start_seen(void **state)
{
	static const struct heard steps[] = {
		{ 10, 3, 5 }, { 10, 6, 6 }, { 20, 2, 8 }, { 10, 5, 8 }
	};
	struct session s = session_of(F_CHARGING);

	(void)state;
	s.n_sums = 0;
	s.energy_mwh = 5 * KWH;
	hear(&s, steps, EV_ARRAY_LEN(steps));
}

static void an_item_is_added_once(void **state)
{
	static struct session_decision d;
	struct session s = session_of(F_FINISHED_REPORTED);
	struct charging_event e = event_of(OUTLET_CHARGING_FINISHED, 5 * KWH);

	(void)state;
	e.has_item = true;
	e.item_id = identity_of(40);
	e.item_mwh = 2 * KWH;
	session_on_event(&s, &e, false, NOW, &d);
	assert_int_equal(d.verdict, VERDICT_APPLIED);
	assert_int_equal(d.next.energy_mwh, 7 * KWH);
	assert_int_equal(d.next.attached_mwh, 2 * KWH);
	s = d.next;
	session_on_event(&s, &e, true, NOW, &d);
	assert_int_equal(d.verdict, VERDICT_DUPLICATE);
	assert_int_equal(d.next.energy_mwh, 7 * KWH);
}

/* A person gave energy to a session that is over: nobody is charging, nobody is to be stopped. */
static void an_item_stops_nobody(void **state)
{
	static struct session_decision d;
	struct session s = session_of(F_FINISHED_REPORTED);
	struct charging_event e = event_of(OUTLET_CHARGING, 5 * KWH);

	(void)state;
	e.has_item = true;
	e.item_mwh = KWH;
	session_on_event(&s, &e, false, NOW, &d);
	assert_int_equal(d.verdict, VERDICT_APPLIED);
	assert_int_equal(d.n_events, 0);
}

static const struct {
	enum fixture fixture;
	enum outlet_state event;
	bool has_end;
	int64_t end_s, want_s;
} ends[] = {
	{ F_CHARGING, OUTLET_CHARGING, true, 30, 30 },
	{ F_CHARGING, OUTLET_CHARGING_FINISHED, true, 70, 70 },
	{ F_CHARGING, OUTLET_CHARGING_FINISHED, true, -9, 0 },   /* not before the start */
	{ F_CHARGING, OUTLET_CHARGING_FINISHED, false, 0, 100 }, /* now */
	{ F_CHARGING, OUTLET_DEVICE_DENIES_CHARGING, false, 0, 100 },
	{ F_FINISHED, OUTLET_CHARGING_FINISHED, true, 40, 50 }, /* the later of both */
	{ F_FINISHED, OUTLET_CHARGING_FINISHED, true, 60, 60 },
	{ F_FINISHED, OUTLET_CHARGING_FINISHED, false, 0, 50 },
};

static void a_session_ends_at_the_later_of_both(void **state)
{
	static struct session_decision d;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(ends); i++) {
		struct session s = session_of(ends[i].fixture);
		struct charging_event e = event_of(ends[i].event, 0);

		e.has_period_end = ends[i].has_end;
		e.period_end_ns = T0 + ends[i].end_s * SEC;
		session_on_event(&s, &e, false, NOW, &d);
		assert_true(d.next.has_end);
		assert_int_equal(d.next.end_ns, T0 + ends[i].want_s * SEC);
	}
}

/* ---- people ---- */

static void assert_step(const struct session_decision *d, enum verdict v, enum reason r,
			enum outlet_state next, unsigned n_events)
{
	assert_int_equal(d->verdict, v);
	assert_int_equal(d->reason, r);
	assert_int_equal(d->next.state, next);
	assert_int_equal(d->n_events, n_events);
}

static void a_stop_is_put_wished_or_refused(void **state)
{
	static struct session_decision d;
	struct identity seed = identity_of(9);

	(void)state;
	for (unsigned f = 0; f < F_COUNT; f++) {
		struct session s = session_of((enum fixture)f);

		session_stop(&s, &seed, NOW, &d);
		assert_sound(&s, &d);
		if ((SET(f) & ROWS_CHARGING) != 0)
			assert_step(&d, VERDICT_APPLIED, REASON_NONE, OUTLET_APP_REQUESTS_STOP, 1);
		else if ((SET(f) & ROWS_STOP) != 0)
			assert_step(&d, VERDICT_DUPLICATE, REASON_NONE, OUTLET_APP_REQUESTS_STOP,
				    1);
		else if ((SET(f) & ROWS_LIVE) != 0)
			assert_step(&d, f == F_ASKED ? VERDICT_APPLIED : VERDICT_DUPLICATE,
				    REASON_NONE, OUTLET_APP_REQUESTS_CHARGING, 0);
		else
			assert_step(&d, VERDICT_REFUSED, REASON_ENDED, s.state, 0);
		assert_int_equal(d.next.stop_wished,
				 f == F_ASKED || f == F_ASKED_WISH || f == F_DENIED_WISH);
		if (d.n_events == 1)
			assert_stop_put(&d, true);
	}
}

static void a_new_session_supersedes_those_that_were_heard_charging(void **state)
{
	static struct session_decision d;

	(void)state;
	for (unsigned f = 0; f < F_COUNT; f++) {
		struct session s = session_of((enum fixture)f);
		bool closes = session_is_live(s.state) && s.charging_seen;

		session_supersede(&s, NOW, &d);
		assert_sound(&s, &d);
		assert_int_equal(d.write, closes);
		assert_int_equal(d.next.state, closes ? OUTLET_CHARGING_FINISHED : s.state);
		assert_int_equal(d.next.energy_mwh, s.energy_mwh);
		assert_int_equal(d.n_events, 0);
		if (closes)
			assert_int_equal(d.next.end_ns, NOW);
	}
}

static void a_live_session_may_be_closed_in_the_app_alone(void **state)
{
	static struct session_decision d;

	(void)state;
	for (unsigned f = 0; f < F_COUNT; f++) {
		struct session s = session_of((enum fixture)f);
		bool closes = session_is_live(s.state);

		session_close(&s, NOW, &d);
		assert_sound(&s, &d);
		assert_int_equal(d.write, closes);
		assert_int_equal(d.verdict, closes ? VERDICT_APPLIED : VERDICT_DUPLICATE);
		assert_int_equal(d.next.state, closes ? OUTLET_CHARGING_FINISHED : s.state);
	}
}

static void a_person_is_taken_out_of_ended_sessions_only(void **state)
{
	static struct session_decision d;

	(void)state;
	for (unsigned f = 0; f < F_COUNT; f++) {
		struct session s = session_of((enum fixture)f);
		bool live = session_is_live(s.state);

		session_forget(&s, NOW, &d);
		assert_int_equal(d.verdict, live ? VERDICT_REFUSED : VERDICT_APPLIED);
		assert_int_equal(d.write, !live);
		assert_int_equal(d.next.has_customer, live);
		assert_int_equal(d.next.tag.n, live ? 5 : 0);
		assert_int_equal(ev_uuid_is_nil(&d.next.customer_id), !live);
		assert_int_equal(d.next.energy_mwh, s.energy_mwh);
		if (live)
			continue;
		s = d.next;
		session_forget(&s, NOW, &d);
		assert_int_equal(d.verdict, VERDICT_DUPLICATE);
		assert_false(d.write);
	}
}

/* ---- births and answers ---- */

static struct charging_event request(void)
{
	return (struct charging_event){
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = uuid_of(3),
		.state = OUTLET_DEVICE_REQUESTS_CHARGING,
		.tag = tag_of("AlPha"),
		.period_start_ns = T0 + 123456789,
		.has_period_end = true,
		.period_end_ns = T0 + 2 * SEC,
		.energy_mwh = KWH,
		.has_event_id = true,
		.event_id = identity_of(70),
	};
}

static void assert_answer(const struct charging_event *e, enum outlet_state state)
{
	struct charging_event asked = request();

	assert_int_equal(e->initiator, INITIATOR_APP_BACKEND);
	assert_int_equal(e->state, state);
	assert_true(ev_uuid_eq(&e->outlet_id, &asked.outlet_id));
	assert_true(tag_is(&e->tag, "AlPha"));
	assert_int_equal(e->period_start_ns, asked.period_start_ns);
	assert_int_equal(e->period_end_ns, asked.period_end_ns);
	assert_int_equal(e->energy_mwh, 0);
	assert_true(e->has_event_id);
	assert_false(identity_eq(&e->event_id, &asked.event_id));
}

static void a_request_of_a_known_tag_begins_a_session(void **state)
{
	static struct session_decision d;
	struct ev_uuid id = uuid_of(1), customer = uuid_of(2);
	struct charging_event asked = request(), again;

	(void)state;
	session_from_request(&id, &customer, &asked, &asked.event_id, NOW, &d);
	assert_step(&d, VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING, 1);
	assert_true(d.write && d.next.has_customer);
	assert_true(session_may_be_born(d.next.state));
	assert_int_equal(d.next.channel, CHANNEL_OUTLET_DEVICE);
	assert_int_equal(d.next.start_ns, NOW);
	assert_int_equal(d.next.energy_mwh, 0);
	assert_false(d.next.charging_seen || d.next.has_end);
	assert_true(ev_uuid_eq(&d.next.customer_id, &customer));
	assert_answer(&d.events[0], OUTLET_CHARGING);
	assert_true(d.events[0].has_session && ev_uuid_eq(&d.events[0].session_id, &id));
	again = session_approval(&d.next, &asked, &asked.event_id);
	assert_memory_equal(&again, &d.events[0], sizeof(again));
}

static void a_request_of_an_unknown_tag_is_denied(void **state)
{
	struct charging_event asked = request();
	struct charging_event e = session_denial(&asked, &asked.event_id);

	(void)state;
	assert_answer(&e, OUTLET_APP_DENIES_CHARGING);
	assert_false(e.has_session);
}

static void a_start_by_app_asks_the_outlet(void **state)
{
	static struct session_decision d;
	struct ev_uuid id = uuid_of(1), customer = uuid_of(2), outlet = uuid_of(3);
	struct rfid_tag tag = tag_of("alpha");
	struct identity seed = identity_of(71);

	(void)state;
	session_start(&id, &customer, &tag, &outlet, &seed, NOW, &d);
	assert_step(&d, VERDICT_APPLIED, REASON_NONE, OUTLET_APP_REQUESTS_CHARGING, 1);
	assert_true(d.write && session_may_be_born(d.next.state));
	assert_int_equal(d.next.channel, CHANNEL_MOBILE_APP);
	assert_int_equal(d.events[0].state, OUTLET_APP_REQUESTS_CHARGING);
	assert_int_equal(d.events[0].period_start_ns, NOW);
	assert_false(d.events[0].has_period_end);
	assert_true(tag_is(&d.events[0].tag, "alpha"));
	assert_true(ev_uuid_eq(&d.events[0].outlet_id, &outlet));
	assert_true(ev_uuid_eq(&d.events[0].session_id, &id));
	assert_false(identity_eq(&d.events[0].event_id, &seed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_meets_every_event_of_its_outlet),
		cmocka_unit_test(a_sum_never_goes_backwards),
		cmocka_unit_test(starts_add_up_and_the_oldest_is_folded),
		cmocka_unit_test(starts_in_any_order_are_counted_once),
		cmocka_unit_test(a_foreign_row_that_ended_is_told_its_own_sums_again),
		cmocka_unit_test(starts_count_to_the_millisecond),
		cmocka_unit_test(a_row_of_the_original_counts_as_the_first_start_seen),
		cmocka_unit_test(an_item_is_added_once),
		cmocka_unit_test(an_item_stops_nobody),
		cmocka_unit_test(a_session_ends_at_the_later_of_both),
		cmocka_unit_test(a_stop_is_put_wished_or_refused),
		cmocka_unit_test(a_new_session_supersedes_those_that_were_heard_charging),
		cmocka_unit_test(a_live_session_may_be_closed_in_the_app_alone),
		cmocka_unit_test(a_person_is_taken_out_of_ended_sessions_only),
		cmocka_unit_test(a_request_of_a_known_tag_begins_a_session),
		cmocka_unit_test(a_request_of_an_unknown_tag_is_denied),
		cmocka_unit_test(a_start_by_app_asks_the_outlet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
