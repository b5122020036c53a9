/*
 * test/unit/test_outlet_timers.c — timers and people against every state of an outlet, what they
 * name, when they are due; commands whose reason has gone; identities; suspect energy.
 */
#include "outlet_kit.h"

#define NOW (T0 + 100 * SEC)
#define STAYS OUTLET_STATE_COUNT

enum input {
	LAPSE,             /* RequestLapsed of the row's request */
	LAPSE_OTHER,       /* of another one */
	COMMAND,           /* CommandLapsed of the row's session */
	COMMAND_ACKED,     /* the same, the device had acknowledged */
	COMMAND_OTHER,     /* of another session */
	STOP_TIMEOUT,      /* of the row's session */
	STOP_TIMEOUT_LAST, /* the stop command had been sent twice */
	STOP_OTHER,
	FINISH, /* OperatorFinish of the row's session */
	FINISH_OTHER,
	CLOSE, /* out of service */
	OPEN,
	RETIRE,
	INPUT_COUNT
};

struct rule {
	unsigned inputs, rows;
	enum verdict verdict;
	enum reason reason;
	enum outlet_state next; /* as people see it */
	char puts;              /* F the end, D the denial */
	char sends;             /* S stop, A AppDeniesCharging, D DeviceDeniesCharging */
	bool writes;
};

#define IS(i) (1U << (i))
#define ANY_INPUT (IS(INPUT_COUNT) - 1U)

/* clang-format off */
static const struct rule rules[] = {
	{ IS(LAPSE), ROWS_WAITING,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, 0, 'A', true },
	{ IS(COMMAND_ACKED), ROWS_UNHEARD,
	  VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, STAYS, 0, 0, true },
	{ IS(COMMAND), ROWS_UNHEARD,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, 'D', 0, true },
	{ IS(STOP_TIMEOUT), ROWS_STOP, VERDICT_APPLIED, REASON_NONE, STAYS, 0, 'S', true },
	{ IS(STOP_TIMEOUT_LAST), ROWS_STOP,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING_FINISHED, 'F', 0, true },
	{ IS(FINISH), ROWS_CHARGING,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CHARGING_FINISHED, 'F', 'S', true },
	{ IS(CLOSE), ROWS_WAITING,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, 0, 'D', true },
	{ IS(CLOSE), ROWS_ALL, VERDICT_APPLIED, REASON_NONE, STAYS, 0, 0, true },
	{ IS(RETIRE), ROWS_CHARGING, VERDICT_REFUSED, REASON_CHARGING, STAYS, 0, 0, false },
	{ IS(RETIRE), ROWS_WAITING,
	  VERDICT_APPLIED, REASON_NONE, OUTLET_CABLE_PLUGGED, 0, 'D', true },
	{ IS(RETIRE), ROWS_ALL, VERDICT_APPLIED, REASON_NONE, STAYS, 0, 0, true },
	/* The row has moved on, or is so already. */
	{ ANY_INPUT, ROWS_ALL, VERDICT_DUPLICATE, REASON_MOVED_ON, STAYS, 0, 0, false },
};
/* clang-format on */

static struct outlet_input input_of(enum input i)
{
	static const enum outlet_input_kind kinds[INPUT_COUNT] = {
		[LAPSE] = OUTLET_IN_REQUEST_LAPSED,
		[LAPSE_OTHER] = OUTLET_IN_REQUEST_LAPSED,
		[COMMAND] = OUTLET_IN_COMMAND_LAPSED,
		[COMMAND_ACKED] = OUTLET_IN_COMMAND_LAPSED,
		[COMMAND_OTHER] = OUTLET_IN_COMMAND_LAPSED,
		[STOP_TIMEOUT] = OUTLET_IN_STOP_TIMEOUT,
		[STOP_TIMEOUT_LAST] = OUTLET_IN_STOP_TIMEOUT,
		[STOP_OTHER] = OUTLET_IN_STOP_TIMEOUT,
		[FINISH] = OUTLET_IN_OPERATOR_FINISH,
		[FINISH_OTHER] = OUTLET_IN_OPERATOR_FINISH,
		[CLOSE] = OUTLET_IN_SERVICE,
		[OPEN] = OUTLET_IN_SERVICE,
		[RETIRE] = OUTLET_IN_RETIRE,
	};
	bool other = i == COMMAND_OTHER || i == STOP_OTHER || i == FINISH_OTHER;
	struct ev_uuid session = uuid_of(other ? UNKNOWN_SESSION : ROW_SESSION);
	struct outlet_input in = { .kind = kinds[i], .id = identity_of(50), .at_ns = NOW };

	if (in.kind == OUTLET_IN_REQUEST_LAPSED)
		in.lapsed.event_id = identity_of(i == LAPSE ? 8001 : 8002);
	else if (in.kind == OUTLET_IN_COMMAND_LAPSED)
		in.command.session_id = session;
	else if (in.kind == OUTLET_IN_STOP_TIMEOUT)
		in.stop.session_id = session;
	else if (in.kind == OUTLET_IN_OPERATOR_FINISH)
		in.finish.session_id = session;
	else if (in.kind == OUTLET_IN_SERVICE)
		in.service.out = i == CLOSE;
	if (i == COMMAND_ACKED)
		in.command.acknowledged = true;
	return in;
}

static const struct rule *find_rule(enum input i, enum fixture f)
{
	const struct rule *r = rules;

	while ((r->inputs & IS(i)) == 0 || (r->rows & SET(f)) == 0)
		r++; /* the last one fits all */
	return r;
}

static void assert_effects(const struct outlet *row, const struct rule *r,
			   const struct outlet_decision *d)
{
	assert_int_equal(d->n_events, r->puts != 0);
	assert_int_equal(d->n_commands, r->sends != 0);
	if (r->puts != 0) {
		assert_int_equal(d->events[0].state, r->puts == 'F'
							     ? OUTLET_CHARGING_FINISHED
							     : OUTLET_DEVICE_DENIES_CHARGING);
		assert_int_equal(d->events[0].energy_mwh, row->energy_mwh);
		assert_true(ev_uuid_eq(&d->events[0].session_id, &row->session_id));
	}
	if (r->puts == 'F')
		assert_int_equal(d->events[0].period_end_ns, NOW);
	if (r->sends == 0)
		return;
	assert_int_equal(d->commands[0].change, r->sends == 'S'   ? OUTLET_APP_REQUESTS_STOP
						: r->sends == 'A' ? OUTLET_APP_DENIES_CHARGING
								  : OUTLET_DEVICE_DENIES_CHARGING);
	assert_true(tag_is(&d->commands[0].tag, "Alpha"));
}

static void check(enum input i, enum fixture f)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet row = row_of(f, V_PLAIN);
	struct outlet_input in = input_of(i);
	const struct rule *r = find_rule(i, f);
	enum outlet_state before = outlet_shown_state(&row);

	row.stop_repeated = row.stop_at_ns != 0 && i == STOP_TIMEOUT_LAST;
	outlet_decide(&row, &in, &by, NOW, &d);
	if (d.verdict != r->verdict || d.reason != r->reason || d.write != r->writes)
		fail_msg("input %d row %d: %s (%s)", (int)i, (int)f, verdict_text(d.verdict),
			 reason_text(d.reason));
	assert_decision_sound(&row, &in, &d);
	assert_int_equal(outlet_shown_state(&d.next), r->next == STAYS ? before : r->next);
	assert_effects(&row, r, &d);
	if (i == COMMAND_ACKED && d.write)
		assert_true(d.next.acknowledged);
	if (r->puts == 'D')
		assert_int_equal(d.next.total_sessions, row.total_sessions - 1);
}

static void every_state_meets_every_timer_and_person(void **state)
{
	(void)state;
	for (unsigned i = 0; i < INPUT_COUNT; i++) {
		for (unsigned f = 0; f < F_COUNT; f++)
			check((enum input)i, (enum fixture)f);
	}
}

static void people_set_and_clear_what_they_say(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet row = row_of(F_PLUGGED, V_OUT_OF_SERVICE);
	struct outlet_input open = input_of(OPEN), close = input_of(CLOSE);
	struct outlet_input retire = input_of(RETIRE);

	(void)state;
	outlet_decide(&row, &close, &by, NOW, &d);
	assert_int_equal(d.reason, REASON_MOVED_ON);
	outlet_decide(&row, &open, &by, NOW, &d);
	assert_true(d.verdict == VERDICT_APPLIED && !d.next.out_of_service);
	row = d.next;
	outlet_decide(&row, &retire, &by, NOW, &d);
	assert_true(d.verdict == VERDICT_APPLIED && d.next.retired);
	row = d.next;
	outlet_decide(&row, &retire, &by, NOW, &d);
	assert_int_equal(d.reason, REASON_MOVED_ON);
}

/* ---- AttachEnergy ---- */

static const struct {
	const char *what;
	enum fixture fixture;
	uint64_t session;
	int64_t mwh;
	bool applied;
	enum outlet_state event;
	int64_t sum;
} attaches[] = {
	{ "running", F_REPORTED, ROW_SESSION, KWH, true, OUTLET_CHARGING, 7 * KWH },
	{ "just ended", F_FINISHED, ROW_SESSION, KWH, true, OUTLET_CHARGING_FINISHED, 7 * KWH },
	{ "ended", F_PLUGGED, BETA_SESSION, 4 * KWH, true, OUTLET_CHARGING_FINISHED, 3 * KWH },
	{ "ended before", F_STOP, ALPHA_SESSION, 1, true, OUTLET_CHARGING_FINISHED, 2 * KWH },
	{ "not this outlet's", F_PLUGGED, UNKNOWN_SESSION, KWH, false, STAYS, 0 },
	{ "refused", F_PLUGGED, REFUSED_SESSION, KWH, false, STAYS, 0 },
	{ "more than there is", F_PLUGGED, BETA_SESSION, 4 * KWH + 1, false, STAYS, 0 },
	{ "less than nothing", F_PLUGGED, BETA_SESSION, INT64_MIN, false, STAYS, 0 },
};

static void energy_is_attached_to_sessions_the_row_knows(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(attaches); i++) {
		struct outlet row = row_of(attaches[i].fixture, V_PLAIN);
		struct outlet_input in = { .kind = OUTLET_IN_ATTACH,
					   .id = identity_of(60),
					   .at_ns = NOW };

		in.attach.item_id = identity_of(61);
		in.attach.mwh = attaches[i].mwh;
		in.attach.session_id = uuid_of(attaches[i].session);
		outlet_decide(&row, &in, &by, NOW, &d);
		assert_decision_sound(&row, &in, &d);
		assert_int_equal(d.verdict,
				 attaches[i].applied ? VERDICT_APPLIED : VERDICT_REFUSED);
		assert_int_equal(d.n_events, attaches[i].applied);
		if (!attaches[i].applied)
			continue;
		assert_int_equal(d.next.unassigned_mwh, row.unassigned_mwh - attaches[i].mwh);
		assert_int_equal(session_sum(&d.next, attaches[i].session), attaches[i].sum);
		assert_int_equal(d.events[0].state, attaches[i].event);
		assert_int_equal(d.events[0].energy_mwh, attaches[i].sum);
		assert_true(d.events[0].has_item);
		assert_int_equal(d.events[0].item_mwh, attaches[i].mwh);
		assert_true(identity_eq(&d.events[0].item_id, &in.attach.item_id));
	}
}

/* ---- the next timer ---- */

static const struct {
	enum fixture fixture;
	enum variant variant;
	bool stop_repeated, acknowledged;
	enum outlet_input_kind kind; /* COUNT: none */
	int64_t due_ns;
} timers[] = {
	{ F_AVAILABLE, V_PLAIN, false, false, OUTLET_IN_COUNT, 0 },
	{ F_PLUGGED, V_PLAIN, false, false, OUTLET_IN_COUNT, 0 },
	{ F_LAPSED, V_PLAIN, false, false, OUTLET_IN_COUNT, 0 },
	{ F_WAITING, V_PLAIN, false, false, OUTLET_IN_REQUEST_LAPSED, ROW_SINCE + 60 * SEC },
	{ F_CHARGING, V_PLAIN, false, false, OUTLET_IN_COMMAND_LAPSED, T0 + 305 * SEC },
	{ F_CHARGING, V_PLAIN, false, true, OUTLET_IN_COUNT, 0 },
	{ F_CHARGING, V_FOREIGN, false, false, OUTLET_IN_COUNT, 0 },
	{ F_REPORTED, V_PLAIN, false, false, OUTLET_IN_COUNT, 0 },
	{ F_STOP, V_PLAIN, false, false, OUTLET_IN_STOP_TIMEOUT, T0 + 67 * SEC },
	{ F_STOP, V_PLAIN, true, false, OUTLET_IN_STOP_TIMEOUT, T0 + 127 * SEC },
	{ F_STOP_UNHEARD, V_PLAIN, false, false, OUTLET_IN_STOP_TIMEOUT, T0 + 67 * SEC },
	{ F_FINISHED, V_PLAIN, false, false, OUTLET_IN_COUNT, 0 },
};

/* A timer that fires must not be due again at once: the shell would turn for ever. */
static void assert_timer_is_spent(const struct outlet *row, const struct outlet_input *timer,
				  int64_t due_ns)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet_input next;
	int64_t next_due_ns = 0;

	outlet_decide(row, timer, &by, due_ns, &d);
	assert_int_equal(d.verdict, VERDICT_APPLIED);
	if (outlet_next_timer(&d.next, &by, &next_due_ns, &next))
		assert_true(next_due_ns > due_ns);
}

static void the_next_timer_names_its_reason(void **state)
{
	struct outlet_rules by = outlet_rules_default();

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(timers); i++) {
		struct outlet row = row_of(timers[i].fixture, timers[i].variant);
		struct outlet_input in;
		int64_t due_ns = 0;

		row.stop_repeated = timers[i].stop_repeated;
		row.acknowledged = timers[i].acknowledged;
		assert_int_equal(outlet_next_timer(&row, &by, &due_ns, &in),
				 timers[i].kind != OUTLET_IN_COUNT);
		assert_int_equal(in.kind, timers[i].kind);
		assert_int_equal(due_ns, timers[i].due_ns);
		if (timers[i].kind != OUTLET_IN_COUNT)
			assert_timer_is_spent(&row, &in, due_ns);
	}
}

/* ---- does a command's reason still stand? ---- */

enum about { ABOUT_ROW, ABOUT_OTHER, ABOUT_NONE };

#define NO_MORE 0U
static const struct {
	enum outlet_state change;
	enum about about;
	unsigned rows; /* where it stands */
} reasons[] = {
	{ OUTLET_CHARGING, ABOUT_ROW, ROWS_RUNNING },
	{ OUTLET_CHARGING, ABOUT_OTHER, NO_MORE },
	{ OUTLET_APP_REQUESTS_STOP, ABOUT_ROW, ROWS_CHARGING | ROWS_FINISHED | ROWS_PLUGGED },
	{ OUTLET_APP_REQUESTS_STOP, ABOUT_OTHER, ROWS_FINISHED | ROWS_PLUGGED },
	{ OUTLET_APP_REQUESTS_STOP, ABOUT_NONE, ROWS_AVAILABLE | ROWS_PLUGGED | ROWS_FINISHED },
	/* Denials are of the tag: "Alpha" asks again in F_WAITING and charges in F_CHARGING. */
	{ OUTLET_APP_DENIES_CHARGING, ABOUT_ROW, ROWS_ALL & ~(ROWS_WAITING | ROWS_CHARGING) },
	{ OUTLET_DEVICE_DENIES_CHARGING, ABOUT_OTHER, ROWS_ALL },
};

static void a_command_stands_while_its_reason_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(reasons); i++) {
		struct device_command c = {
			.change = reasons[i].change,
			.has_session = reasons[i].about != ABOUT_NONE,
			.session_id = uuid_of(reasons[i].about == ABOUT_ROW ? ROW_SESSION
									    : UNKNOWN_SESSION),
			.tag = tag_of(reasons[i].about == ABOUT_OTHER ? "gamma" : "aLPHA"),
		};

		for (unsigned f = 0; f < F_COUNT; f++) {
			struct outlet row = row_of((enum fixture)f, V_PLAIN);
			bool stands = (reasons[i].rows & SET(f)) != 0;

			c.expires_ns = 0;
			assert_int_equal(outlet_command_stands(&row, &c, NOW), stands);
			c.expires_ns = NOW + 1;
			assert_int_equal(outlet_command_stands(&row, &c, NOW), stands);
			c.expires_ns = NOW;
			assert_false(outlet_command_stands(&row, &c, NOW));
		}
	}
}

/* ---- messages: identities, limits, flags ---- */

static struct outlet_input report(uint64_t id, int64_t mwh)
{
	return (struct outlet_input){
		.kind = OUTLET_IN_DEVICE,
		.id = identity_of(id),
		.at_ns = NOW,
		.device = { .change = OUTLET_CHARGING,
			    .energy_mwh = mwh,
			    .period_start_ns = NOW - 3600 * SEC,
			    .period_end_ns = NOW },
	};
}

static void a_message_handled_before_changes_nothing(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet row = row_of(F_REPORTED, V_PLAIN);
	struct outlet_input known = report(9002, KWH), rotated = report(1, KWH);

	(void)state;
	rotated.seen = true;
	assert_true(outlet_knows_identity(&row, &known.id));
	assert_false(outlet_knows_identity(&row, &rotated.id));
	outlet_decide(&row, &known, &by, NOW, &d);
	assert_int_equal(d.verdict, VERDICT_DUPLICATE);
	assert_int_equal(d.reason, REASON_REPEATED);
	assert_decision_sound(&row, &known, &d);
	assert_false(d.write);
	outlet_decide(&row, &rotated, &by, NOW, &d);
	assert_int_equal(d.reason, REASON_REPEATED);
	assert_decision_sound(&row, &rotated, &d);
	assert_false(d.write);
}

static void identities_leave_in_blocks_of_sixteen(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet row = row_of(F_REPORTED, V_PLAIN);

	(void)state;
	row.n_ids = 0;
	for (uint64_t i = 0; i < 33; i++) {
		struct outlet_input in = report(i + 1, 1);

		outlet_decide(&row, &in, &by, NOW, &d);
		assert_decision_sound(&row, &in, &d);
		assert_int_equal(d.has_block, i == 16 || i == 32);
		for (uint64_t k = 0; d.has_block && k < OUTLET_IDS_MAX; k++) {
			struct identity id = identity_of(i - 16 + k + 1);

			assert_true(identity_eq(&d.block[k], &id));
		}
		row = d.next;
	}
}

static void a_total_that_would_overflow_rejects_the_message(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet row = row_of(F_REPORTED, V_PLAIN);
	struct outlet_input in = report(1, 2);

	(void)state;
	row.total_energy_mwh = INT64_MAX - 1;
	outlet_decide(&row, &in, &by, NOW, &d);
	assert_int_equal(d.verdict, VERDICT_REJECTED);
	assert_int_equal(d.reason, REASON_TOTAL_OVERFLOW);
	assert_decision_sound(&row, &in, &d);
	in.device.energy_mwh = 1;
	outlet_decide(&row, &in, &by, NOW, &d);
	assert_int_equal(d.verdict, VERDICT_APPLIED);
	assert_true(d.next.total_energy_mwh == INT64_MAX);
}

static const struct {
	int64_t mwh, start_ns, end_ns, power_mw;
	bool suspect;
} powers[] = {
	{ 22 * KWH, T0, T0 + 3600 * SEC, 22 * KWH, false },
	{ 22 * KWH + 1, T0, T0 + 3600 * SEC, 22 * KWH, true },
	{ 1, T0, T0, 22 * KWH, true },
	{ 1, T0 + SEC, T0, 22 * KWH, true },
	{ 0, T0, T0, 22 * KWH, false },
	{ 1, INT64_MIN, INT64_MAX, 22 * KWH, false },
	{ 1, INT64_MAX, INT64_MIN, 22 * KWH, true },
	{ MESSAGE_ENERGY_MAX_MWH, 0, T0, INT64_MAX, false },
};

static void more_than_the_power_could_deliver_is_counted_and_flagged(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(powers); i++) {
		struct outlet row = row_of(F_REPORTED, V_PLAIN);
		struct outlet_input in = report(1, powers[i].mwh);

		row.max_power_mw = powers[i].power_mw;
		in.device.period_start_ns = powers[i].start_ns;
		in.device.period_end_ns = powers[i].end_ns;
		outlet_decide(&row, &in, &by, NOW, &d);
		assert_int_equal(d.suspect, powers[i].suspect);
		assert_int_equal(d.credited_mwh, powers[i].mwh);
	}
}

static void a_stray_device_is_told_to_stop_once_a_minute(void **state)
{
	static const struct {
		int64_t after_s;
		bool told;
	} steps[] = { { 0, true }, { 1, false }, { 59, false }, { 60, true }, { 61, false } };
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet row = row_of(F_AVAILABLE, V_PLAIN);

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(steps); i++) {
		struct outlet_input in = report(1 + i, KWH);

		outlet_decide(&row, &in, &by, NOW + steps[i].after_s * SEC, &d);
		assert_int_equal(d.n_commands, steps[i].told);
		row = d.next;
	}
}

static void an_absurd_instant_of_receipt_does_not_overflow(void **state)
{
	static const int64_t instants[] = { INT64_MIN, INT64_MIN + 1, -1, INT64_MAX };
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(instants); i++) {
		struct outlet row = row_of(F_PLUGGED, V_PLAIN);
		struct outlet_input in = { .kind = OUTLET_IN_EVENT, .at_ns = instants[i] };
		bool young = instants[i] > T0;

		in.event = (struct charging_event){ .initiator = INITIATOR_APP_BACKEND,
						    .state = OUTLET_APP_REQUESTS_CHARGING,
						    .has_session = true,
						    .session_id = uuid_of(UNKNOWN_SESSION),
						    .period_start_ns = NOW };
		outlet_decide(&row, &in, &by, NOW, &d);
		assert_int_equal(d.verdict, young ? VERDICT_APPLIED : VERDICT_REFUSED);
	}
}

/* A row of another hand that charges without a session: no event that names nobody. */
static void a_row_that_charges_without_session_puts_no_event(void **state)
{
	static const enum outlet_state changes[] = { OUTLET_CHARGING, OUTLET_DEVICE_REQUESTS_STOP,
						     OUTLET_AVAILABLE, OUTLET_CABLE_PLUGGED };
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(changes); i++) {
		struct outlet row = row_of(F_CHARGING, V_FOREIGN);
		struct outlet_input in = report(1, KWH);

		row.has_session = false;
		in.device.change = changes[i];
		outlet_decide(&row, &in, &by, NOW, &d);
		assert_int_equal(d.verdict, VERDICT_APPLIED);
		assert_int_equal(d.n_events, 0);
		assert_int_equal(d.next.unassigned_mwh, KWH);
		assert_int_equal(d.next.n_recent, 0);
	}
}

/* What the original had charged is neither denied nor taken for a command of ours. */
static void a_session_of_the_original_is_not_lapsed(void **state)
{
	static struct outlet_decision d;
	struct outlet_rules by = outlet_rules_default();
	struct outlet row = row_of(F_REPORTED, V_FOREIGN);
	struct outlet_input lapse = input_of(COMMAND);
	struct outlet_input deny = report(1, 0);

	(void)state;
	outlet_decide(&row, &lapse, &by, NOW, &d);
	assert_int_equal(d.reason, REASON_MOVED_ON);
	deny.device.change = OUTLET_DEVICE_DENIES_CHARGING;
	outlet_decide(&row, &deny, &by, NOW, &d);
	assert_int_equal(d.verdict, VERDICT_DUPLICATE);
	assert_int_equal(d.next.energy_mwh, row.energy_mwh);
	row = d.next;
	outlet_decide(&row, &lapse, &by, NOW, &d);
	assert_int_equal(d.reason, REASON_MOVED_ON);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_meets_every_timer_and_person),
		cmocka_unit_test(people_set_and_clear_what_they_say),
		cmocka_unit_test(energy_is_attached_to_sessions_the_row_knows),
		cmocka_unit_test(the_next_timer_names_its_reason),
		cmocka_unit_test(a_command_stands_while_its_reason_does),
		cmocka_unit_test(a_message_handled_before_changes_nothing),
		cmocka_unit_test(identities_leave_in_blocks_of_sixteen),
		cmocka_unit_test(a_total_that_would_overflow_rejects_the_message),
		cmocka_unit_test(more_than_the_power_could_deliver_is_counted_and_flagged),
		cmocka_unit_test(a_stray_device_is_told_to_stop_once_a_minute),
		cmocka_unit_test(an_absurd_instant_of_receipt_does_not_overflow),
		cmocka_unit_test(a_row_that_charges_without_session_puts_no_event),
		cmocka_unit_test(a_session_of_the_original_is_not_lapsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
