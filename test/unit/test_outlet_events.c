/*
 * test/unit/test_outlet_events.c — every state of an outlet x every event of the App Backend.
 *
 * The rules are design section 3, second table, as a list: the first that fits tells the answer.
 */
#include "outlet_kit.h"

#define CHANGE(s) (1U << OUTLET_##s)
#define ANY_EVENT ((1U << OUTLET_STATE_COUNT) - 1U)
#define STAYS OUTLET_STATE_COUNT

/* Whom the event names. */
enum named { NO_SESSION, THE_ROWS, THE_RECENT, THE_REFUSED, THE_UNKNOWN, NAMED_COUNT };
#define NAMES(n) (1U << (n))
#define NAMES_ANY ((1U << NAMED_COUNT) - 1U)
/* In a row without a session the one that it would have is unknown. */
#define NAMES_NEW (NAMES(THE_UNKNOWN) | NAMES(THE_ROWS))

#define IF_MATCH (1U << 0) /* tag and periodStart are those of the row's request */
#define IF_YOUNG (1U << 1)
#define IF_WAITED (1U << 2)
#define IF_CLOSED (1U << 3)   /* out of service or retired */
#define IF_FOREIGN (1U << 4)  /* the row was last written by the original */
#define IF_NOT_OURS (1U << 5) /* the App Backend did not put it */

struct rule {
	unsigned events, named, rows, when;
	enum verdict verdict;
	enum reason reason;
	enum outlet_state next; /* as people see it */
	/* Puts: C the start, F the row's end, R the recent's end, N a denial of the one named. */
	char puts;
	/* Sends: C, S stop, A AppDeniesCharging. */
	char sends;
};

#define STARTS CHANGE(APP_REQUESTS_CHARGING)
#define APPROVES CHANGE(CHARGING)
#define STOPS CHANGE(APP_REQUESTS_STOP)
#define NAMING (STARTS | APPROVES | STOPS)

/* clang-format off */
static const struct rule rules[] = {
	{ ANY_EVENT, NAMES_ANY, ROWS_ALL, IF_NOT_OURS,
	  VERDICT_REJECTED, REASON_BAD_EVENT, STAYS, 0, 0 },
	{ CHANGE(APP_DENIES_CHARGING), NAMES_ANY, ROWS_WAITING, IF_MATCH,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, 0, 'A' },
	{ CHANGE(APP_DENIES_CHARGING), NAMES_ANY, ROWS_ALL, 0,
	  VERDICT_DUPLICATE, REASON_NOT_WAITING, STAYS, 0, 0 },
	{ ANY_EVENT & ~NAMING, NAMES_ANY, ROWS_ALL, 0,
	  VERDICT_REJECTED, REASON_BAD_EVENT, STAYS, 0, 0 },
	{ ANY_EVENT, NAMES(NO_SESSION), ROWS_ALL, 0,
	  VERDICT_REJECTED, REASON_NO_SESSION_ID, STAYS, 0, 0 },

	{ STOPS, NAMES(THE_ROWS), ROWS_RUNNING, 0,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_APP_REQUESTS_STOP, 0, 'S' },
	{ NAMING, NAMES(THE_ROWS), ROWS_RUNNING, 0,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, 0, 'C' },
	{ NAMING, NAMES(THE_ROWS), ROWS_STOP, 0,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, 0, 'S' },
	{ NAMING, NAMES(THE_ROWS), ROWS_FINISHED, 0,
	  VERDICT_DUPLICATE, REASON_ENDED, STAYS, 'F', 0 },
	{ NAMING, NAMES(THE_RECENT), ROWS_ALL, 0,
	  VERDICT_DUPLICATE, REASON_ENDED, STAYS, 'R', 0 },
	{ NAMING, NAMES(THE_REFUSED), ROWS_ALL, 0,
	  VERDICT_DUPLICATE, REASON_MOVED_ON, STAYS, 'N', 0 },

	{ STARTS, NAMES_NEW, ROWS_ALL, IF_CLOSED,
	  VERDICT_REFUSED, REASON_OUT_OF_SERVICE, STAYS, 'N', 0 },
	{ STARTS | APPROVES, NAMES_NEW, ROWS_CHARGING, 0,
	  VERDICT_REFUSED, REASON_OTHER_SESSION, STAYS, 'N', 0 },
	{ STARTS | APPROVES, NAMES_NEW, ROWS_AVAILABLE | ROWS_FINISHED, 0,
	  VERDICT_REFUSED, REASON_NO_CABLE, STAYS, 'N', 0 },
	{ STARTS, NAMES_NEW, ROWS_PLUGGED, IF_YOUNG,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING, 'C', 'C' },
	{ STARTS, NAMES_NEW, ROWS_PLUGGED, 0,
	  VERDICT_REFUSED, REASON_TOO_OLD, STAYS, 'N', 0 },
	{ APPROVES, NAMES_NEW, ROWS_WAITING, IF_MATCH,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING, 'C', 'C' },
	{ APPROVES, NAMES_NEW, ROWS_PLUGGED, IF_FOREIGN | IF_YOUNG,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING, 'C', 'C' },
	{ APPROVES, NAMES_NEW, ROWS_PLUGGED, 0,
	  VERDICT_REFUSED, REASON_NOT_WAITING, STAYS, 'N', 0 },

	{ STOPS, NAMES_NEW, ROWS_ALL, IF_WAITED,
	  VERDICT_REJECTED, REASON_UNKNOWN_SESSION, STAYS, 0, 0 },
	{ STOPS, NAMES_NEW, ROWS_ALL, 0,
	  VERDICT_LATER, REASON_WAITING, STAYS, 0, 0 },
};
/* clang-format on */

/* The tag and periodStart of the event, and whether they are those of the row's request. */
static const struct {
	const char *tag;
	int64_t start_ns;
	bool match;
} likenesses[] = {
	{ "Alpha", REQUEST_START, true },
	{ "ALPHA", REQUEST_START, true },
	{ "Alpha", REQUEST_START + 765433 - 1, true }, /* the same millisecond */
	{ "Alpha", REQUEST_START + 765433, false },    /* the next one */
	{ "alpha2", REQUEST_START, false },
	{ "", REQUEST_START, false },
};

struct test_case {
	enum fixture fixture;
	enum variant variant;
	enum named named;
	struct outlet row;
	struct outlet_input in;
	int64_t now_ns;
	unsigned is;
	const struct rule *rule;
};

static const uint64_t session_of[NAMED_COUNT] = { 0, ROW_SESSION, BETA_SESSION, REFUSED_SESSION,
						  UNKNOWN_SESSION };

/* A row of the original knows no recent and no refused session, and only that of Charging on. */
static enum named who_is(const struct test_case *c)
{
	bool forgot = c->variant == V_FOREIGN &&
		      (c->named == THE_RECENT || c->named == THE_REFUSED);
	bool has = is_charging(c->fixture) || c->fixture == F_FINISHED;

	if (forgot || (c->named == THE_ROWS && !has))
		return THE_UNKNOWN;
	return c->named;
}

static const struct rule *find_rule(const struct test_case *c)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(rules); i++) {
		const struct rule *r = &rules[i];

		if ((r->events >> c->in.event.state & 1U) != 0 &&
		    (r->named & NAMES(who_is(c))) != 0 && (r->rows & SET(c->fixture)) != 0 &&
		    (r->when & ~c->is) == 0)
			return r;
	}
	fail_msg("no rule");
	return NULL;
}

static size_t pick(size_t *n, size_t count)
{
	size_t digit = *n % count;

	*n /= count;
	return digit;
}

static struct charging_event event_of(enum named named, size_t likeness, enum outlet_state state)
{
	return (struct charging_event){
		.initiator = INITIATOR_APP_BACKEND,
		.outlet_id = uuid_of(OUTLET_ID),
		.state = state,
		.has_session = named != NO_SESSION,
		.session_id = uuid_of(session_of[named]),
		.tag = tag_of(likenesses[likeness].tag),
		.period_start_ns = likenesses[likeness].start_ns,
		.energy_mwh = KWH, /* of no meaning to an outlet */
	};
}

static bool make_case(size_t n, struct test_case *c)
{
	enum fixture fixture = (enum fixture)pick(&n, F_COUNT);
	enum variant variant = (enum variant)pick(&n, V_COUNT);
	enum outlet_state event = (enum outlet_state)pick(&n, OUTLET_STATE_COUNT);
	enum named named = (enum named)pick(&n, NAMED_COUNT);
	size_t likeness = pick(&n, EV_ARRAY_LEN(likenesses));
	bool old = pick(&n, 2) != 0, waited = pick(&n, 2) != 0, theirs = pick(&n, 2) != 0;

	*c = (struct test_case){
		.fixture = fixture,
		.variant = variant,
		.named = named,
		.row = row_of(fixture, variant),
		.now_ns = T0 + (old ? 60 : 59) * SEC,
		.in = {
			.kind = OUTLET_IN_EVENT,
			.id = identity_of(77),
			.at_ns = T0,
			.waited = waited,
			.event = event_of(named, likeness, event),
		},
	};
	c->in.event.initiator = theirs ? INITIATOR_OUTLET_BACKEND : INITIATOR_APP_BACKEND;
	c->is = (likenesses[likeness].match ? IF_MATCH : 0U) | (old ? 0U : IF_YOUNG) |
		(waited ? IF_WAITED : 0U) | (theirs ? IF_NOT_OURS : 0U) |
		(variant == V_FOREIGN ? IF_FOREIGN : 0U) |
		(variant == V_RETIRED || variant == V_OUT_OF_SERVICE ? IF_CLOSED : 0U);
	return n == 0;
}

/* ---- what a decision did ---- */

static void assert_started(const struct test_case *c, const struct outlet_decision *d)
{
	const struct outlet *o = &d->next;
	const struct charging_event *in = &c->in.event;

	assert_true(o->has_session && ev_uuid_eq(&o->session_id, &in->session_id));
	assert_true(rfid_tag_eq(&o->tag, &in->tag));
	assert_int_equal(o->energy_mwh, 0);
	assert_int_equal(o->start_ns, c->now_ns);
	assert_false(o->has_end || o->reported || o->acknowledged);
	assert_int_equal(o->total_sessions, c->row.total_sessions + 1);
	assert_int_equal(d->events[0].energy_mwh, 0);
	assert_int_equal(d->events[0].period_start_ns, c->now_ns);
	assert_int_equal(d->commands[0].period_start_ns, in->period_start_ns);
	assert_int_equal(d->commands[0].expires_ns, c->now_ns + 240 * SEC);
}

static void assert_put(const struct test_case *c, const struct outlet_decision *d)
{
	const struct charging_event *e = &d->events[0];
	char put = c->rule->puts;

	assert_int_equal(d->n_events, put != 0);
	if (put == 0)
		return;
	assert_int_equal(e->state, put == 'C'   ? OUTLET_CHARGING
				   : put == 'N' ? OUTLET_DEVICE_DENIES_CHARGING
						: OUTLET_CHARGING_FINISHED);
	assert_true(e->has_session && ev_uuid_eq(&e->session_id, &c->in.event.session_id));
	if (put == 'F') {
		assert_int_equal(e->energy_mwh, c->row.energy_mwh);
		assert_int_equal(e->period_start_ns, c->row.start_ns);
	} else if (put == 'R') {
		assert_int_equal(e->energy_mwh, 3 * KWH);
		assert_int_equal(e->period_start_ns, c->row.recent[0].start_ns);
		assert_int_equal(e->period_end_ns, c->row.recent[0].end_ns);
	} else if (put == 'N') {
		assert_int_equal(e->energy_mwh, 0);
		assert_int_equal(e->period_start_ns, c->in.event.period_start_ns);
		assert_true(rfid_tag_eq(&e->tag, &c->in.event.tag));
	}
}

static void assert_sent(const struct test_case *c, const struct outlet_decision *d)
{
	const struct device_command *m = &d->commands[0];
	char sent = c->rule->sends;

	assert_int_equal(d->n_commands, sent != 0);
	if (sent == 0)
		return;
	assert_int_equal(m->change, sent == 'C'   ? OUTLET_CHARGING
				    : sent == 'S' ? OUTLET_APP_REQUESTS_STOP
						  : OUTLET_APP_DENIES_CHARGING);
	assert_int_equal(m->has_session, sent != 'A');
	if (m->has_session)
		assert_true(ev_uuid_eq(&m->session_id, &c->in.event.session_id));
	if (sent == 'A')
		assert_int_equal(m->period_start_ns, REQUEST_START);
	assert_true(outlet_command_stands(&d->next, m, c->now_ns + 6 * SEC));
}

static void assert_row_after(const struct test_case *c, const struct outlet_decision *d)
{
	enum outlet_state before = outlet_shown_state(&c->row);
	bool refused_now = c->rule->puts == 'N' && c->rule->verdict == VERDICT_REFUSED;

	assert_int_equal(outlet_shown_state(&d->next),
			 c->rule->next == STAYS ? before : c->rule->next);
	assert_int_equal(d->credited_mwh, 0);
	if (d->write)
		assert_int_equal(d->next.since_ns, c->row.since_ns);
	assert_int_equal(d->next.n_refused, c->row.n_refused + refused_now);
	if (refused_now)
		assert_true(ev_uuid_eq(&d->next.refused[0], &c->in.event.session_id));
	if (c->rule->sends == 'A')
		assert_int_equal(d->next.request.status, REQUEST_ANSWERED);
	if (c->rule->puts == 'C')
		assert_started(c, d);
	else
		assert_int_equal(d->next.total_sessions, c->row.total_sessions);
}

static enum reason expected_reason(const struct test_case *c)
{
	bool retired = c->rule->reason == REASON_OUT_OF_SERVICE && c->variant == V_RETIRED;

	return retired ? REASON_RETIRED : c->rule->reason;
}

static void check(struct test_case *c)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();

	c->rule = find_rule(c);
	outlet_decide(&c->row, &c->in, &by, c->now_ns, &d);
	if (d.verdict != c->rule->verdict || d.reason != expected_reason(c))
		fail_msg("row %d variant %d event %s named %d: %s (%s), not %s (%s)",
			 (int)c->fixture, (int)c->variant, outlet_state_text(c->in.event.state),
			 (int)c->named, verdict_text(d.verdict), reason_text(d.reason),
			 verdict_text(c->rule->verdict), reason_text(c->rule->reason));
	assert_decision_sound(&c->row, &c->in, &d);
	assert_put(c, &d);
	assert_sent(c, &d);
	assert_row_after(c, &d);
}

static void every_state_meets_every_event_of_the_app(void **state)
{
	static struct test_case c;
	size_t met[EV_ARRAY_LEN(rules)] = { 0 };
	size_t checked = 0;

	(void)state;
	for (size_t i = 0; make_case(i, &c); i++) {
		if (!row_exists(c.fixture, c.variant))
			continue;
		check(&c);
		met[c.rule - rules]++;
		checked++;
	}
	print_message("# %zu cases\n", checked);
	assert_true(checked > 40000);
	for (size_t i = 0; i < EV_ARRAY_LEN(rules); i++)
		assert_true(met[i] > 0);
}

/* A start that was refused without a cable does not start when the cable has come. */
static void a_refused_start_never_starts(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet o = row_of(F_AVAILABLE, V_PLAIN);
	struct outlet_input start = {
		.kind = OUTLET_IN_EVENT,
		.at_ns = T0,
		.event = event_of(THE_UNKNOWN, 0, OUTLET_APP_REQUESTS_CHARGING),
	};
	struct outlet_input plug = { .kind = OUTLET_IN_DEVICE,
				     .id = identity_of(5),
				     .at_ns = T0 + SEC,
				     .device = { .change = OUTLET_CABLE_PLUGGED } };

	(void)state;
	outlet_decide(&o, &start, &by, T0, &d);
	assert_int_equal(d.verdict, VERDICT_REFUSED);
	o = d.next;
	outlet_decide(&o, &plug, &by, T0 + SEC, &d);
	assert_int_equal(d.verdict, VERDICT_APPLIED);
	o = d.next;
	outlet_decide(&o, &start, &by, T0 + 2 * SEC, &d);
	assert_int_equal(d.verdict, VERDICT_DUPLICATE);
	assert_int_equal(d.events[0].state, OUTLET_DEVICE_DENIES_CHARGING);
	assert_int_equal(d.next.state, OUTLET_CABLE_PLUGGED);
}

static void the_newest_four_refused_sessions_are_kept(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet o = row_of(F_AVAILABLE, V_PLAIN);

	(void)state;
	for (uint64_t i = 0; i < 6; i++) {
		struct outlet_input start = {
			.kind = OUTLET_IN_EVENT,
			.at_ns = T0,
			.event = event_of(THE_UNKNOWN, 0, OUTLET_APP_REQUESTS_CHARGING),
		};

		start.event.session_id = uuid_of(100 + i);
		outlet_decide(&o, &start, &by, T0, &d);
		o = d.next;
	}
	assert_int_equal(o.n_refused, OUTLET_REFUSED_MAX);
	for (uint64_t i = 0; i < OUTLET_REFUSED_MAX; i++) {
		struct ev_uuid id = uuid_of(105 - i);

		assert_true(ev_uuid_eq(&o.refused[i], &id));
	}
}

/* Put again, or late, by whoever was stalled: the record is young, and the session is not. */
static void a_start_is_as_old_as_its_session(void **state)
{
	static const struct {
		int64_t began_ns;
		bool starts;
	} cases[] = {
		{ T0 - 59 * SEC, true },   { T0 - 60 * SEC, false }, { T0 - 3600 * SEC, false },
		{ T0 + 3600 * SEC, true }, { INT64_MIN, false },     { INT64_MAX, true },
	};
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct outlet o = row_of(F_PLUGGED, V_PLAIN);
		struct outlet_input start = {
			.kind = OUTLET_IN_EVENT,
			.at_ns = T0,
			.event = event_of(THE_UNKNOWN, 0, OUTLET_APP_REQUESTS_CHARGING),
		};

		start.event.period_start_ns = cases[i].began_ns;
		outlet_decide(&o, &start, &by, T0, &d);
		assert_int_equal(d.verdict, cases[i].starts ? VERDICT_APPLIED : VERDICT_REFUSED);
		assert_int_equal(d.reason, cases[i].starts ? REASON_NONE : REASON_TOO_OLD);
	}
}

static void an_unknown_outlet_denies_the_start(void **state)
{
	struct charging_event start = event_of(THE_UNKNOWN, 0, OUTLET_APP_REQUESTS_CHARGING);
	struct identity seed = identity_of(3);
	struct charging_event e = outlet_unknown_denial(&start, &seed, T0 + SEC);

	(void)state;
	assert_int_equal(e.initiator, INITIATOR_OUTLET_BACKEND);
	assert_int_equal(e.state, OUTLET_DEVICE_DENIES_CHARGING);
	assert_true(e.has_session && ev_uuid_eq(&e.session_id, &start.session_id));
	assert_true(ev_uuid_eq(&e.outlet_id, &start.outlet_id));
	assert_int_equal(e.energy_mwh, 0);
	assert_int_equal(e.period_end_ns, T0 + SEC);
	assert_true(e.has_event_id && !identity_is_none(&e.event_id));
	assert_false(identity_eq(&e.event_id, &seed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_meets_every_event_of_the_app),
		cmocka_unit_test(a_refused_start_never_starts),
		cmocka_unit_test(the_newest_four_refused_sessions_are_kept),
		cmocka_unit_test(a_start_is_as_old_as_its_session),
		cmocka_unit_test(an_unknown_outlet_denies_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
