/*
 * test/unit/test_outlet_table.c — every state of an outlet x every device message.
 *
 * The rules below are design section 3 as a list: of those for a message the first whose conditions
 * hold tells the verdict, the state and the effects; where the energy goes is told apart.
 */
#include "outlet_kit.h"

#include <stdio.h>

/* What a case is; a rule asks for some of it. */
#define IF_EARLIER (1U << 0)
#define IF_ON_TIME (1U << 1)
#define IF_NO_TAG (1U << 2)
#define IF_TAG_FITS (1U << 3) /* empty, or that of the row's session or request */
#define IF_TAG_OWN (1U << 4)  /* that of the row's session or request */
#define IF_CLOSED (1U << 5)   /* out of service or retired */
#define IF_TOO_OLD (1U << 6)
#define IF_MAY_WAIT (1U << 7)
#define IF_NOT_PARKED (1U << 8)
#define IF_STRICT (1U << 9) /* stop_requires_tag */
#define IF_FOREIGN_TAG (1U << 10)
#define IF_IN_ROW (1U << 11) /* the energy went to the row's session */
#define IF_ENERGY (1U << 12)
#define IF_UNHEARD (1U << 13) /* nothing was reported in the row's session */

#define CHANGE(s) (1U << OUTLET_##s)
#define STAYS OUTLET_STATE_COUNT

struct rule {
	unsigned changes, rows, when;
	enum verdict verdict;
	enum reason reason;
	enum outlet_state next; /* as people see it */
	/*
	 * In order.  Events: Q request, C the running sum, c the same if energy went to the row, F
	 * the end, f the end again if energy went to the row, D the denial.  Commands: C, S stop, D
	 * DeviceDeniesCharging.  An ended session's new sum comes first by itself.
	 */
	const char *events, *commands;
};

#define STOPS (CHANGE(DEVICE_REQUESTS_STOP) | CHANGE(CHARGING_FINISHED))
#define ALL_CHANGES ((1U << OUTLET_STATE_COUNT) - 1U)
#define ROWS_NO_CABLE (ROWS_AVAILABLE | ROWS_FINISHED)

/* clang-format off */
static const struct rule rules[] = {
	{ CHANGE(APP_REQUESTS_CHARGING) | CHANGE(APP_DENIES_CHARGING) | CHANGE(APP_REQUESTS_STOP),
	  ROWS_ALL, 0, VERDICT_REJECTED, REASON_BAD_STATE, STAYS, "", "" },

	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_ALL, IF_NO_TAG,
	  VERDICT_REJECTED, REASON_EMPTY_TAG, STAYS, "", "" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_NO_CABLE, IF_ON_TIME | IF_MAY_WAIT,
	  VERDICT_LATER, REASON_WAITING, STAYS, "", "" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_ALL, IF_EARLIER | IF_NOT_PARKED,
	  VERDICT_REFUSED, REASON_EARLIER, STAYS, "", "" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_ALL & ~ROWS_PLUGGED, IF_EARLIER,
	  VERDICT_REFUSED, REASON_EARLIER, STAYS, "", "" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_ALL, IF_TOO_OLD,
	  VERDICT_REFUSED, REASON_TOO_OLD, STAYS, "", "" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_ALL, IF_CLOSED,
	  VERDICT_REFUSED, REASON_OUT_OF_SERVICE, STAYS, "", "D" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_IDLE, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_DEVICE_REQUESTS_CHARGING, "Q", "" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_WAITING, IF_TAG_OWN,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "Q", "" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_WAITING, 0,
	  VERDICT_REFUSED, REASON_OTHER_REQUEST, STAYS, "", "D" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_RUNNING, IF_TAG_OWN,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "", "C" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_STOP, IF_TAG_OWN,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "", "S" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_CHARGING, 0,
	  VERDICT_REFUSED, REASON_OTHER_SESSION, STAYS, "", "D" },
	{ CHANGE(DEVICE_REQUESTS_CHARGING), ROWS_NO_CABLE, 0,
	  VERDICT_REFUSED, REASON_NO_CABLE, STAYS, "", "D" },

	/* Energy came first; an earlier message changes nothing else. */
	{ ALL_CHANGES, ROWS_ALL, IF_EARLIER,
	  VERDICT_DUPLICATE, REASON_EARLIER, STAYS, "", "" },

	{ CHANGE(CABLE_PLUGGED), ROWS_AVAILABLE, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, "", "" },
	{ CHANGE(CABLE_PLUGGED), ROWS_FINISHED, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, "f", "" },
	{ CHANGE(CABLE_PLUGGED), ROWS_WAITING, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, "", "" },
	{ CHANGE(CABLE_PLUGGED), ROWS_IDLE, 0,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "", "" },
	{ CHANGE(CABLE_PLUGGED), ROWS_CHARGING, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, "F", "S" },

	{ CHANGE(AVAILABLE), ROWS_PLUGGED, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_AVAILABLE, "", "" },
	{ CHANGE(AVAILABLE), ROWS_FINISHED, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_AVAILABLE, "f", "" },
	{ CHANGE(AVAILABLE), ROWS_CHARGING, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_AVAILABLE, "F", "" },
	{ CHANGE(AVAILABLE), ROWS_AVAILABLE, 0,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "", "" },

	{ CHANGE(CHARGING), ROWS_STOP, 0,
	  VERDICT_APPLIED, REASON_NONE, STAYS, "", "" },
	{ CHANGE(CHARGING), ROWS_RUNNING, IF_TAG_FITS,
	  VERDICT_APPLIED, REASON_NONE, STAYS, "C", "" },
	{ CHANGE(CHARGING), ROWS_RUNNING, 0,
	  VERDICT_APPLIED, REASON_NONE, STAYS, "", "" },
	{ CHANGE(CHARGING), ROWS_ALL, IF_ENERGY,
	  VERDICT_APPLIED, REASON_NONE, STAYS, "f", "S" },
	{ CHANGE(CHARGING), ROWS_ALL, 0,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "", "S" },

	{ STOPS, ROWS_CHARGING, IF_FOREIGN_TAG | IF_STRICT,
	  VERDICT_REFUSED, REASON_FOREIGN_TAG, STAYS, "", "" },
	{ STOPS, ROWS_CHARGING, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING_FINISHED, "F", "" },
	{ STOPS, ROWS_ALL, 0,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "f", "" },

	{ CHANGE(DEVICE_DENIES_CHARGING), ROWS_STOP, IF_IN_ROW,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "", "" },
	{ CHANGE(DEVICE_DENIES_CHARGING), ROWS_RUNNING, IF_IN_ROW,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "c", "" },
	{ CHANGE(DEVICE_DENIES_CHARGING), ROWS_CHARGING, IF_UNHEARD,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, "D", "" },
	{ CHANGE(DEVICE_DENIES_CHARGING), ROWS_ALL, 0,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, "f", "" },
};
/* clang-format on */

/* Tags: that of the row, the same in another case, two others, none. */
static const char *const tags[] = { "Alpha", "aLPHA", "BETA", "gamma", "" };

/* When a message was received: after the row's since, or ever longer before it. */
static const int64_t instants[] = { T0 + 10 * SEC,  T0, T0 - SEC, T0 - 500 * SEC, T0 - 700 * SEC,
				    T0 - 4000 * SEC };

enum place { NOWHERE, IN_ROW, IN_BETA, IN_ALPHA, UNASSIGNED };

struct test_case {
	enum fixture fixture;
	enum variant variant;
	struct outlet row;
	struct outlet_input in;
	struct outlet_rules rules;
	int64_t now_ns;
	const char *tag;
	unsigned is; /* IF_ bits that hold */
	enum place place;
	const struct rule *rule;
};

static bool row_has_session(const struct test_case *c)
{
	return is_charging(c->fixture) || c->fixture == F_FINISHED;
}

static bool tag_like(const char *tag, const char *other)
{
	return ev_str_eq_nocase(ev_str_from(tag), ev_str_from(other));
}

/* Design section 3: "otherwise to the newest of recentSessions with that tag …". */
static enum place place_among_ended(const struct test_case *c)
{
	int64_t at = c->in.at_ns;

	if (c->variant == V_FOREIGN)
		return UNASSIGNED;
	if (c->tag[0] != '\0')
		return tag_like(c->tag, "beta")    ? IN_BETA
		       : tag_like(c->tag, "Alpha") ? IN_ALPHA
						   : UNASSIGNED;
	return at >= T0 - 500 * SEC ? IN_BETA : at >= T0 - 1000 * SEC ? IN_ALPHA : UNASSIGNED;
}

/* A stop or unplug that is applied to the row's session. */
static bool ends_row_session(const struct test_case *c)
{
	unsigned change = 1U << c->in.device.change;

	if ((c->is & IF_EARLIER) != 0 || !row_has_session(c))
		return false;
	if ((change & CHANGE(AVAILABLE)) != 0)
		return true;
	if (!is_charging(c->fixture))
		return false;
	if ((change & STOPS) != 0)
		return (c->is & (IF_FOREIGN_TAG | IF_STRICT)) != (IF_FOREIGN_TAG | IF_STRICT);
	return (change & CHANGE(CABLE_PLUGGED)) != 0;
}

static enum place expected_place(const struct test_case *c)
{
	if (c->in.device.energy_mwh == 0)
		return NOWHERE;
	if (c->in.device.change == OUTLET_DEVICE_REQUESTS_CHARGING)
		return UNASSIGNED;
	if (row_has_session(c) && (c->is & IF_ON_TIME) != 0 && (c->is & IF_TAG_FITS) != 0)
		return IN_ROW;
	return ends_row_session(c) ? IN_ROW : place_among_ended(c);
}

static unsigned bit(bool is, unsigned b)
{
	return is ? b : 0;
}

static unsigned conditions(const struct test_case *c)
{
	bool earlier = c->in.at_ns < c->row.since_ns;
	bool own = tag_like(c->tag, "Alpha");
	bool closed = c->variant == V_OUT_OF_SERVICE || c->variant == V_RETIRED;
	bool old = c->now_ns - c->in.at_ns > 60 * SEC;
	bool fits = c->tag[0] == '\0' || own;
	bool unheard = (SET(c->fixture) & ROWS_UNHEARD) != 0;

	return bit(earlier, IF_EARLIER) | bit(!earlier, IF_ON_TIME) |
	       bit(c->tag[0] == '\0', IF_NO_TAG) | bit(fits, IF_TAG_FITS) | bit(own, IF_TAG_OWN) |
	       bit(!fits, IF_FOREIGN_TAG) | bit(closed, IF_CLOSED) | bit(old, IF_TOO_OLD) |
	       bit(!closed && !old && !c->in.waited, IF_MAY_WAIT) |
	       bit(!c->in.parked, IF_NOT_PARKED) | bit(c->rules.stop_requires_tag, IF_STRICT) |
	       bit(c->in.device.energy_mwh > 0, IF_ENERGY) | bit(unheard, IF_UNHEARD);
}

static const struct rule *find_rule(const struct test_case *c)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(rules); i++) {
		const struct rule *r = &rules[i];

		if ((r->changes >> c->in.device.change & 1U) != 0 &&
		    (r->rows & SET(c->fixture)) != 0 && (r->when & ~c->is) == 0)
			return r;
	}
	fail_msg("no rule");
	return NULL;
}

/* ---- what a decision did ---- */

static void assert_energy(const struct test_case *c, const struct outlet_decision *d)
{
	bool credits = d->verdict != VERDICT_LATER && d->verdict != VERDICT_REJECTED;
	enum place p = credits ? c->place : NOWHERE;
	int64_t e = c->in.device.energy_mwh;
	int64_t row_before = row_has_session(c) ? c->row.energy_mwh : 0;
	int64_t row_after = row_has_session(c) ? session_sum(&d->next, ROW_SESSION) : 0;
	bool denied = c->rule->events[0] == 'D';

	assert_int_equal(d->credited_mwh, p == NOWHERE ? 0 : e);
	assert_int_equal(denied ? 0 : row_after - row_before, p == IN_ROW ? e : 0);
	assert_int_equal(recent_sum(&d->next, BETA_SESSION) - recent_sum(&c->row, BETA_SESSION),
			 p == IN_BETA ? e : 0);
	assert_int_equal(recent_sum(&d->next, ALPHA_SESSION) - recent_sum(&c->row, ALPHA_SESSION),
			 p == IN_ALPHA ? e : 0);
	assert_int_equal(d->next.unassigned_mwh - c->row.unassigned_mwh, p == UNASSIGNED ? e : 0);
	assert_int_equal(d->has_item, p == UNASSIGNED);
	if (p != UNASSIGNED)
		return;
	assert_true(identity_eq(&d->item.id, &c->in.id));
	assert_int_equal(d->item.mwh, e);
	assert_int_equal(d->item.at_ns, c->in.at_ns);
	assert_true(tag_is(&d->item.tag, c->tag));
	assert_false(d->item.attached);
}

static void assert_request_event(const struct test_case *c, const struct charging_event *e)
{
	bool again = c->fixture == F_WAITING;
	struct identity asked = identity_of(8001);

	assert_int_equal(e->state, OUTLET_DEVICE_REQUESTS_CHARGING);
	assert_false(e->has_session);
	assert_true(tag_is(&e->tag, again ? "Alpha" : c->tag));
	assert_int_equal(e->period_start_ns, again ? REQUEST_START : c->in.device.period_start_ns);
	assert_int_equal(e->energy_mwh, 0);
	if (again)
		assert_true(identity_eq(&e->event_id, &asked));
}

static int64_t expected_end(const struct test_case *c)
{
	int64_t known = c->row.has_end ? c->row.end_ns : c->row.start_ns;

	return c->in.at_ns > known ? c->in.at_ns : known;
}

static void assert_session_event(const struct test_case *c, const struct charging_event *e,
				 char letter)
{
	struct ev_uuid id = uuid_of(ROW_SESSION);

	assert_int_equal(e->state, letter == 'D'                    ? OUTLET_DEVICE_DENIES_CHARGING
				   : letter == 'F' || letter == 'f' ? OUTLET_CHARGING_FINISHED
								    : OUTLET_CHARGING);
	assert_true(e->has_session && ev_uuid_eq(&e->session_id, &id));
	assert_true(tag_is(&e->tag, "Alpha"));
	assert_int_equal(e->period_start_ns, c->row.start_ns);
	if (letter == 'D') {
		assert_int_equal(e->energy_mwh, 0);
		return;
	}
	assert_int_equal(e->energy_mwh,
			 c->row.energy_mwh + (c->place == IN_ROW ? c->in.device.energy_mwh : 0));
	assert_true(e->has_period_end);
	assert_int_equal(e->period_end_ns, expected_end(c));
}

static void assert_ended_event(const struct test_case *c, const struct charging_event *e)
{
	struct ev_uuid id = uuid_of(c->place == IN_BETA ? BETA_SESSION : ALPHA_SESSION);
	const struct ended_session *was = &c->row.recent[c->place == IN_BETA ? 0 : 1];
	int64_t at = c->in.at_ns;

	assert_int_equal(e->state, OUTLET_CHARGING_FINISHED);
	assert_true(e->has_session && ev_uuid_eq(&e->session_id, &id));
	assert_int_equal(e->period_start_ns, was->start_ns);
	assert_int_equal(e->energy_mwh, was->sum_mwh + c->in.device.energy_mwh);
	assert_int_equal(e->period_end_ns, at > was->end_ns ? at : was->end_ns);
}

static void assert_events(const struct test_case *c, const struct outlet_decision *d)
{
	unsigned n = 0;

	if (d->write && (c->place == IN_BETA || c->place == IN_ALPHA))
		assert_ended_event(c, &d->events[n++]);
	for (const char *l = c->rule->events; *l != '\0'; l++) {
		if ((*l == 'f' || *l == 'c') && c->place != IN_ROW)
			continue;
		assert_true(n < d->n_events);
		if (*l == 'Q')
			assert_request_event(c, &d->events[n++]);
		else
			assert_session_event(c, &d->events[n++], *l);
	}
	assert_int_equal(d->n_events, n);
}

static void assert_command(const struct test_case *c, const struct device_command *m, char letter)
{
	struct ev_uuid id = uuid_of(ROW_SESSION);

	assert_int_equal(m->change, letter == 'C'   ? OUTLET_CHARGING
				    : letter == 'S' ? OUTLET_APP_REQUESTS_STOP
						    : OUTLET_DEVICE_DENIES_CHARGING);
	assert_int_equal(m->created_ns, c->now_ns);
	assert_int_equal(m->expires_ns, letter == 'C'   ? c->now_ns + 240 * SEC
					: letter == 'S' ? 0
							: c->now_ns + 60 * SEC);
	if (letter == 'D') {
		assert_false(m->has_session);
		assert_true(tag_is(&m->tag, c->tag));
		assert_int_equal(m->period_start_ns, c->in.device.period_start_ns);
		assert_int_equal(m->energy_mwh, 0);
		return;
	}
	assert_int_equal(m->has_session, row_has_session(c));
	if (m->has_session)
		assert_true(ev_uuid_eq(&m->session_id, &id));
	assert_true(tag_is(&m->tag, m->has_session ? "Alpha" : c->tag));
}

static void assert_commands(const struct test_case *c, const struct outlet_decision *d)
{
	bool tells = c->rule->commands[0] != '\0' &&
		     (c->rule->commands[0] != 'D' || c->rules.notify_denials);

	assert_int_equal(d->n_commands, tells);
	if (tells)
		assert_command(c, &d->commands[0], c->rule->commands[0]);
}

static int64_t expected_since(const struct test_case *c)
{
	enum outlet_state change = c->in.device.change;

	if (c->rule->verdict != VERDICT_APPLIED)
		return c->row.since_ns;
	if (change == OUTLET_CABLE_PLUGGED || change == OUTLET_AVAILABLE)
		return c->in.at_ns;
	if (change == OUTLET_DEVICE_REQUESTS_CHARGING)
		return c->in.at_ns > c->row.since_ns ? c->in.at_ns : c->row.since_ns;
	return c->row.since_ns;
}

/* The session left the row: it heads the ended ones, or the refused ones if it was denied. */
static void assert_session_left(const struct test_case *c, const struct outlet_decision *d)
{
	struct ev_uuid id = uuid_of(ROW_SESSION);

	assert_int_equal(d->next.start_ns, c->now_ns);
	if (c->rule->events[0] == 'D') {
		assert_int_equal(d->next.n_recent, c->row.n_recent);
		assert_true(ev_uuid_eq(&d->next.refused[0], &id));
		assert_int_equal(d->next.n_refused, c->row.n_refused + 1);
		assert_int_equal(d->next.total_sessions, c->row.total_sessions - 1);
		return;
	}
	assert_int_equal(d->next.n_recent, c->row.n_recent + 1);
	assert_true(ev_uuid_eq(&d->next.recent[0].id, &id));
	assert_true(tag_is(&d->next.recent[0].tag, "Alpha"));
	assert_int_equal(d->next.recent[0].since_ns, c->row.since_ns);
	assert_int_equal(d->next.recent[0].start_ns, c->row.start_ns);
	assert_int_equal(d->next.total_sessions, c->row.total_sessions);
}

static void assert_state(const struct test_case *c, const struct outlet_decision *d)
{
	enum outlet_state before = outlet_shown_state(&c->row);
	enum outlet_state want = c->rule->next == STAYS ? before : c->rule->next;

	assert_int_equal(outlet_shown_state(&d->next), want);
	if (d->write)
		assert_int_equal(d->next.since_ns, expected_since(c));
	if (c->rule->next == OUTLET_AVAILABLE)
		assert_int_equal(d->next.start_ns, c->now_ns);
	if (c->fixture == F_WAITING && c->in.device.change == OUTLET_CABLE_PLUGGED &&
	    c->rule->verdict == VERDICT_APPLIED)
		assert_int_equal(d->next.request.status, REQUEST_WITHDRAWN);
	if (row_has_session(c) && (want == OUTLET_CABLE_PLUGGED || want == OUTLET_AVAILABLE))
		assert_session_left(c, d);
	else
		assert_int_equal(d->next.total_sessions, c->row.total_sessions);
}

static enum reason expected_reason(const struct test_case *c)
{
	bool retired = c->rule->reason == REASON_OUT_OF_SERVICE && c->variant == V_RETIRED;

	return retired ? REASON_RETIRED : c->rule->reason;
}

static bool flags_foreign_tag(const struct test_case *c)
{
	const unsigned flagged = STOPS | CHANGE(CHARGING);

	return is_charging(c->fixture) && (flagged >> c->in.device.change & 1U) != 0 &&
	       (c->is & IF_ON_TIME) != 0 && (c->is & IF_FOREIGN_TAG) != 0;
}

static void say_case(const struct test_case *c)
{
	print_error("row %d variant %d message %s tag '%s' at T0%+lld s energy %lld parked %d "
		    "waited %d strict %d notify %d age %lld s\n",
		    (int)c->fixture, (int)c->variant, outlet_state_text(c->in.device.change),
		    c->tag, (long long)((c->in.at_ns - T0) / SEC),
		    (long long)c->in.device.energy_mwh, c->in.parked, c->in.waited,
		    c->rules.stop_requires_tag, c->rules.notify_denials,
		    (long long)((c->now_ns - c->in.at_ns) / SEC));
}

static bool is_as_expected(const struct test_case *c, const struct outlet_decision *d)
{
	return d->verdict == c->rule->verdict && d->reason == expected_reason(c) &&
	       d->foreign_tag == flags_foreign_tag(c);
}

static void check(struct test_case *c)
{
	static struct outlet_decision d;

	c->is = conditions(c);
	c->place = expected_place(c);
	c->is |= bit(c->place == IN_ROW, IF_IN_ROW);
	c->rule = find_rule(c);
	outlet_decide(&c->row, &c->in, &c->rules, c->now_ns, &d);
	if (!is_as_expected(c, &d)) {
		say_case(c);
		fail_msg("%s (%s), not %s (%s)", verdict_text(d.verdict), reason_text(d.reason),
			 verdict_text(c->rule->verdict), reason_text(c->rule->reason));
	}
	assert_decision_sound(&c->row, &c->in, &d);
	assert_energy(c, &d);
	assert_events(c, &d);
	assert_commands(c, &d);
	assert_state(c, &d);
}

static size_t pick(size_t *n, size_t count)
{
	size_t digit = *n % count;

	*n /= count;
	return digit;
}

/* One case by number: its mixed-radix digits choose each property.  False after the last. */
static bool make_case(size_t number, struct test_case *c)
{
	size_t n = number;
	size_t fixture = pick(&n, F_COUNT);
	size_t variant = pick(&n, V_COUNT);
	size_t change = pick(&n, OUTLET_STATE_COUNT);
	size_t tag = pick(&n, EV_ARRAY_LEN(tags));
	size_t instant = pick(&n, EV_ARRAY_LEN(instants));
	size_t energy = pick(&n, 2);
	size_t old = pick(&n, 2);
	size_t parked = pick(&n, 3);
	size_t strict = pick(&n, 2);
	size_t notify = pick(&n, 2);

	*c = (struct test_case){
		.fixture = (enum fixture)fixture,
		.variant = (enum variant)variant,
		.row = row_of((enum fixture)fixture, (enum variant)variant),
		.rules = outlet_rules_default(),
		.now_ns = instants[instant] + (old != 0 ? 90 : 20) * SEC,
		.tag = tags[tag],
		.in = {
			.kind = OUTLET_IN_DEVICE,
			.id = identity_of(1000000 + number),
			.at_ns = instants[instant],
			.parked = parked > 0,
			.waited = parked > 1,
			.device = {
				.outlet_id = uuid_of(OUTLET_ID),
				.tag = tag_of(tags[tag]),
				.period_start_ns = T0 + 9 * SEC,
				.period_end_ns = T0 + 3609 * SEC,
				.change = (enum outlet_state)change,
				.energy_mwh = energy != 0 ? KWH / 3 : 0,
			},
		},
	};
	c->rules.stop_requires_tag = strict != 0;
	c->rules.notify_denials = notify != 0;
	return n == 0;
}

static void every_state_meets_every_device_message(void **state)
{
	static struct test_case c;
	size_t checked = 0;

	(void)state;
	for (size_t i = 0; make_case(i, &c); i++) {
		if (!row_exists(c.fixture, c.variant))
			continue;
		check(&c);
		checked++;
	}
	print_message("# %zu cases\n", checked);
	assert_true(checked > 200000);
}

/* A rule that no case meets would be a rule that is not tested. */
static void every_rule_is_met_by_a_case(void **state)
{
	static struct test_case c;
	size_t met[EV_ARRAY_LEN(rules)] = { 0 };

	(void)state;
	for (size_t i = 0; make_case(i, &c); i++) {
		if (!row_exists(c.fixture, c.variant))
			continue;
		c.is = conditions(&c);
		c.place = expected_place(&c);
		c.is |= bit(c.place == IN_ROW, IF_IN_ROW);
		met[find_rule(&c) - rules]++;
	}
	for (size_t i = 0; i < EV_ARRAY_LEN(rules); i++)
		assert_true(met[i] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_meets_every_device_message),
		cmocka_unit_test(every_rule_is_met_by_a_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
