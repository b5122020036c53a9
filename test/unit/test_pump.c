/* test_pump.c — the whole charging flow through both services, on the memory engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"
#include "pump_fixture.h"

#define KWH INT64_C(1000000)
#define TAG "Tag-Anna"

/* Plug in and present the tag: charging, by the same commit. */
static void charge_by_tag(struct pump_fixture *f)
{
	assert_int_equal(fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0), VERDICT_APPLIED);
	assert_int_equal(fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, TAG, 0), VERDICT_APPLIED);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
}

static void a_known_tag_charges_reports_and_stops(void **state)
{
	struct pump_fixture *f = *state;
	struct session s;

	charge_by_tag(f);
	assert_int_equal(f->n_commands, 1);
	assert_int_equal(f->commands[0].change, OUTLET_CHARGING);
	s = fixture_session(f);
	assert_int_equal(s.state, OUTLET_CHARGING);
	assert_int_equal(s.channel, CHANNEL_OUTLET_DEVICE);
	assert_int_equal(fixture_send(f, OUTLET_CHARGING, TAG, 2 * KWH), VERDICT_APPLIED);
	assert_int_equal(fixture_send(f, OUTLET_CHARGING, "", 1 * KWH), VERDICT_APPLIED);
	assert_int_equal(fixture_session(f).energy_mwh, 3 * KWH);
	assert_int_equal(fixture_send(f, OUTLET_DEVICE_REQUESTS_STOP, TAG, KWH / 2),
			 VERDICT_APPLIED);
	s = fixture_session(f);
	assert_int_equal(s.state, OUTLET_CHARGING_FINISHED);
	assert_int_equal(s.energy_mwh, 7 * KWH / 2);
	assert_int_equal(fixture_send(f, OUTLET_AVAILABLE, "", 0), VERDICT_APPLIED);
	assert_int_equal(fixture_outlet(f).total_energy_mwh, 7 * KWH / 2);
	assert_int_equal(fixture_outlet(f).total_sessions, 1);
	fixture_assert_balanced(f);
}

static void an_unknown_tag_is_denied_and_the_device_told(void **state)
{
	struct pump_fixture *f = *state;

	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	assert_int_equal(fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, "stranger", 0),
			 VERDICT_APPLIED);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CABLE_PLUGGED);
	assert_int_equal(f->n_commands, 1);
	assert_int_equal(f->commands[0].change, OUTLET_APP_DENIES_CHARGING);
	assert_int_equal(fixture_books(f).n_sessions, 0);
}

static void set_blocked(struct pump_fixture *f, bool block)
{
	struct customer_job j = { .job = { .kind = JOB_CUSTOMER_BLOCK },
				  .customer_id = f->customer_id,
				  .block = block };

	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_OK);
}

static void a_blocked_customer_is_denied_until_unblocked(void **state)
{
	struct pump_fixture *f = *state;

	set_blocked(f, true);
	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, TAG, 0);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CABLE_PLUGGED);
	set_blocked(f, false);
	fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, TAG, 0);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
}

static struct session_job start_by_app(struct pump_fixture *f)
{
	struct session_job j = { .job = { .kind = JOB_START },
				 .customer_id = f->customer_id,
				 .outlet_id = f->outlet_id };

	j.session_id = ev_rng_uuid(&f->rng.base);
	fixture_run(f, &j.job);
	return j;
}

static void the_app_starts_and_stops(void **state)
{
	struct pump_fixture *f = *state;
	struct session_job start, again, stop;

	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	start = start_by_app(f);
	assert_int_equal(start.job.err, EV_OK);
	assert_int_equal(start.session.state, OUTLET_APP_REQUESTS_CHARGING);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
	again = start_by_app(f);
	assert_int_equal(again.job.verdict, VERDICT_DUPLICATE);
	assert_true(ev_uuid_eq(&again.session.id, &start.session.id));
	stop = (struct session_job){ .job = { .kind = JOB_STOP }, .session_id = start.session.id };
	fixture_run(f, &stop.job);
	assert_int_equal(stop.job.verdict, VERDICT_APPLIED);
	assert_int_equal(f->commands[f->n_commands - 1].change, OUTLET_APP_REQUESTS_STOP);
	fixture_send(f, OUTLET_CHARGING, "", KWH);
	fixture_assert_balanced(f);
	fixture_send(f, OUTLET_DEVICE_REQUESTS_STOP, "", KWH);
	assert_int_equal(fixture_session(f).state, OUTLET_CHARGING_FINISHED);
	assert_int_equal(fixture_session(f).energy_mwh, 2 * KWH);
	fixture_assert_balanced(f);
}

static void a_start_without_cable_is_denied_and_never_starts_later(void **state)
{
	struct pump_fixture *f = *state;
	struct session_job start = start_by_app(f);

	assert_int_equal(start.job.err, EV_OK);
	assert_int_equal(fixture_session(f).state, OUTLET_DEVICE_DENIES_CHARGING);
	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CABLE_PLUGGED);
}

static void a_start_for_nobody_or_nowhere_is_not_found(void **state)
{
	struct pump_fixture *f = *state;
	struct session_job j = { .job = { .kind = JOB_START }, .outlet_id = f->outlet_id };

	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_NOTFOUND);
	assert_int_equal(j.job.reason, REASON_NONE);
	j.customer_id = f->customer_id;
	j.outlet_id = f->customer_id;
	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_NOTFOUND);
	assert_int_equal(j.job.reason, REASON_UNKNOWN_OUTLET);
}

static void a_repeated_message_counts_once_also_after_many_others(void **state)
{
	struct pump_fixture *f = *state;

	charge_by_tag(f);
	assert_int_equal(fixture_send_as(f, 7777, OUTLET_CHARGING, TAG, KWH), VERDICT_APPLIED);
	assert_int_equal(fixture_send_as(f, 7777, OUTLET_CHARGING, TAG, KWH), VERDICT_DUPLICATE);
	for (unsigned i = 0; i < 100; i++)
		fixture_send(f, OUTLET_CHARGING, TAG, 1);
	assert_int_equal(fixture_send_as(f, 7777, OUTLET_CHARGING, TAG, KWH), VERDICT_DUPLICATE);
	assert_int_equal(fixture_outlet(f).total_energy_mwh, KWH + 100);
	assert_int_equal(fixture_session(f).energy_mwh, KWH + 100);
}

static void a_tag_before_the_plug_waits_and_starts(void **state)
{
	struct pump_fixture *f = *state;

	assert_int_equal(fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, TAG, 0), VERDICT_LATER);
	fixture_advance_s(f, 5);
	assert_int_equal(fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0), VERDICT_APPLIED);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
	assert_int_equal(fixture_books(f).n_parked, 0);
}

static void the_answer_to_a_plug_shows_what_became_of_the_tag_before_it(void **state)
{
	struct pump_fixture *f = *state;
	struct device_job plug = { .job = { .kind = JOB_DEVICE_MESSAGE } };

	assert_int_equal(fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, TAG, 0), VERDICT_LATER);
	plug.outlet_id = f->outlet_id;
	plug.decoded = true;
	plug.id.b[0] = 77;
	plug.message.outlet_id = f->outlet_id;
	plug.message.change = OUTLET_CABLE_PLUGGED;
	fixture_run(f, &plug.job);
	assert_int_equal(plug.job.verdict, VERDICT_APPLIED);
	assert_true(plug.has_state);
	assert_int_equal(plug.shown, OUTLET_CHARGING);
}

static void a_tag_without_a_plug_is_refused_after_thirty_seconds(void **state)
{
	struct pump_fixture *f = *state;

	assert_int_equal(fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, TAG, 0), VERDICT_LATER);
	fixture_advance_s(f, 29);
	fixture_tick(f);
	assert_int_equal(fixture_books(f).n_parked, 1);
	fixture_advance_s(f, 2);
	fixture_tick(f);
	assert_int_equal(fixture_books(f).n_parked, 0);
	assert_int_equal(f->n_commands, 1);
	assert_int_equal(f->commands[0].change, OUTLET_DEVICE_DENIES_CHARGING);
}

static void garbage_and_unknown_outlets_become_dead_letters(void **state)
{
	struct pump_fixture *f = *state;
	struct ev_uuid real = f->outlet_id;

	assert_int_equal(fixture_send_garbage(f, "{\"nonsense\":1}"), VERDICT_REJECTED);
	assert_int_equal(fixture_send_garbage(f, "{\"nonsense\":1}"), VERDICT_REJECTED);
	assert_int_equal(fixture_books(f).n_dead_letters_open, 1);
	f->outlet_id = f->customer_id;
	assert_int_equal(fixture_send(f, OUTLET_CHARGING, "", KWH), VERDICT_REJECTED);
	f->outlet_id = real;
	assert_int_equal(fixture_books(f).n_dead_letters_open, 2);
	fixture_assert_balanced(f);
}

static void a_start_that_is_never_acknowledged_is_taken_back(void **state)
{
	struct pump_fixture *f = *state;

	charge_by_tag(f);
	fixture_advance_s(f, 299);
	fixture_tick(f);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
	fixture_advance_s(f, 2);
	fixture_tick(f);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CABLE_PLUGGED);
	assert_int_equal(fixture_outlet(f).total_sessions, 0);
	assert_int_equal(fixture_session(f).state, OUTLET_DEVICE_DENIES_CHARGING);
}

static void an_acknowledged_start_stays(void **state)
{
	struct pump_fixture *f = *state;
	struct command_job ack = { .job = { .kind = JOB_COMMAND_ACK }, .outlet_id = f->outlet_id };

	charge_by_tag(f);
	ack.version = f->commands[0].version;
	ack.index = f->commands[0].index;
	fixture_run(f, &ack.job);
	assert_int_equal(ack.job.verdict, VERDICT_APPLIED);
	fixture_advance_s(f, 301);
	fixture_tick(f);
	fixture_tick(f);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
}

/* Versions only grow: those of an hour that was taken back are above the new session's start. */
static void an_old_acknowledgement_does_not_cover_a_start_after_the_clock_was_set_back(void **state)
{
	struct pump_fixture *f = *state;
	struct command_job ack = { .job = { .kind = JOB_COMMAND_ACK }, .outlet_id = f->outlet_id };

	charge_by_tag(f);
	ack.version = f->commands[0].version;
	ack.index = f->commands[0].index;
	fixture_run(f, &ack.job);
	assert_int_equal(ack.job.verdict, VERDICT_APPLIED);
	fixture_send(f, OUTLET_AVAILABLE, "", 0);
	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	ev_clock_manual_set_wall(&f->clock, ev_clock_wall_ns(&f->clock.base) - 3600 * EV_NS_PER_S);
	assert_int_equal(start_by_app(f).job.err, EV_OK);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
	fixture_advance_s(f, 301);
	fixture_tick(f);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CABLE_PLUGGED);
}

/* The second load of a tick, the first row that is due, cannot be read. */
static ev_err corrupt_second_load(void *user, enum memory_point point)
{
	unsigned *n = user;

	if (point != MEMORY_AT_LOAD)
		return EV_OK;
	return ++*n == 2 ? EV_CORRUPT : EV_OK;
}

static void a_row_that_cannot_be_read_stops_no_other_outlets_timers(void **state)
{
	struct pump_fixture *f = *state;
	struct ev_uuid first = f->outlet_id;
	struct outlet_job create = { .job = { .kind = JOB_OUTLET_CREATE }, .max_power_mw = 1000 };
	enum outlet_state one, other;
	unsigned n = 0;

	create.outlet_id = ev_rng_uuid(&f->rng.base);
	fixture_run(f, &create.job);
	charge_by_tag(f);
	f->outlet_id = create.outlet_id;
	charge_by_tag(f);
	fixture_advance_s(f, 301);
	memory_set_fault(f->memory, corrupt_second_load, &n);
	fixture_tick(f);
	memory_set_fault(f->memory, NULL, NULL);
	other = fixture_outlet(f).state;
	f->outlet_id = first;
	one = fixture_outlet(f).state;
	assert_true((one == OUTLET_CHARGING) != (other == OUTLET_CHARGING));
	assert_int_equal(f->pump.outlet.stats.unreadable, 1);
	fixture_tick(f);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CABLE_PLUGGED);
}

static struct command_job ask_commands(struct pump_fixture *f)
{
	struct command_job j = { .job = { .kind = JOB_COMMANDS }, .outlet_id = f->outlet_id };

	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_OK);
	return j;
}

static void the_newest_command_reaches_a_device_that_never_acknowledges(void **state)
{
	struct pump_fixture *f = *state;
	struct command_job got;

	for (int i = 0; i < 2 * JOB_COMMANDS_MAX; i++) {
		charge_by_tag(f);
		fixture_send(f, OUTLET_AVAILABLE, "", 0);
		f->n_commands = 0;
	}
	charge_by_tag(f);
	got = ask_commands(f);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.commands[0].version, f->commands[0].version);
}

static void acknowledge(struct pump_fixture *f, const struct ev_uuid *outlet, uint64_t version,
			unsigned index, ev_err want)
{
	struct command_job j = { .job = { .kind = JOB_COMMAND_ACK }, .outlet_id = *outlet };

	j.version = version;
	j.index = index;
	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, want);
}

static bool count_delivery(void *user, const struct delivery *d)
{
	(void)d; /* there is to be none */
	(*(unsigned *)user)++;
	return true;
}

static void an_acknowledgement_of_what_was_never_sent_changes_nothing(void **state)
{
	struct pump_fixture *f = *state;
	struct ev_uuid nowhere = ev_rng_uuid(&f->rng.base);
	unsigned n = 0;

	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	acknowledge(f, &f->outlet_id, fixture_outlet(f).version + 1, 0, EV_INVALID);
	acknowledge(f, &nowhere, 1, 0, EV_NOTFOUND);
	memory_visit_deliveries(f->memory, count_delivery, &n);
	assert_int_equal(n, 0);
	fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, TAG, 0);
	assert_int_equal(ask_commands(f).n, 1);
	acknowledge(f, &f->outlet_id, f->commands[0].version, f->commands[0].index, EV_OK);
	assert_int_equal(ask_commands(f).n, 0);
}

static void acknowledgements_never_go_back(void **state)
{
	struct pump_fixture *f = *state;

	charge_by_tag(f);
	acknowledge(f, &f->outlet_id, f->commands[0].version, f->commands[0].index, EV_OK);
	acknowledge(f, &f->outlet_id, f->commands[0].version - 1, 3, EV_OK);
	assert_int_equal(ask_commands(f).n, 0);
}

static void a_stop_that_the_device_ignores_is_repeated_then_finished(void **state)
{
	struct pump_fixture *f = *state;
	struct session_job stop;

	charge_by_tag(f);
	fixture_send(f, OUTLET_CHARGING, TAG, KWH);
	stop = (struct session_job){ .job = { .kind = JOB_STOP },
				     .session_id = fixture_session(f).id };
	fixture_run(f, &stop.job);
	f->n_commands = 0;
	fixture_advance_s(f, 61);
	fixture_tick(f);
	assert_int_equal(f->n_commands, 1);
	assert_int_equal(f->commands[0].change, OUTLET_APP_REQUESTS_STOP);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
	fixture_advance_s(f, 60);
	fixture_tick(f);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING_FINISHED);
	assert_int_equal(fixture_session(f).state, OUTLET_CHARGING_FINISHED);
	assert_int_equal(fixture_session(f).energy_mwh, KWH);
}

struct items {
	unsigned n;
	struct unassigned_item last;
};

static bool take_item(void *user, const struct unassigned_item *i)
{
	struct items *items = user;

	items->n++;
	items->last = *i;
	return true;
}

static void stray_energy_is_kept_and_attached_once(void **state)
{
	struct pump_fixture *f = *state;
	struct items items = { .n = 0 };
	struct outlet_job attach = { .job = { .kind = JOB_ATTACH }, .outlet_id = f->outlet_id };

	assert_int_equal(fixture_send(f, OUTLET_CHARGING, "stranger", KWH), VERDICT_APPLIED);
	fixture_assert_balanced(f);
	charge_by_tag(f);
	assert_int_equal(
		f->query->ops->unassigned(f->query, &f->outlet_id, true, 10, take_item, &items),
		EV_OK);
	assert_int_equal(items.n, 1);
	attach.item_id = items.last.id;
	attach.session_id = fixture_session(f).id;
	fixture_run(f, &attach.job);
	assert_int_equal(attach.job.verdict, VERDICT_APPLIED);
	assert_int_equal(fixture_session(f).energy_mwh, KWH);
	fixture_run(f, &attach.job);
	assert_int_equal(attach.job.verdict, VERDICT_DUPLICATE);
	fixture_send(f, OUTLET_CHARGING, TAG, KWH);
	assert_int_equal(fixture_session(f).energy_mwh, 2 * KWH);
	fixture_assert_balanced(f);
}

/* The App takes no denial of a session with energy: then the outlet must make none. */
static void attached_energy_makes_a_session_that_cannot_be_denied(void **state)
{
	struct pump_fixture *f = *state;
	struct items items = { .n = 0 };
	struct outlet_job attach = { .job = { .kind = JOB_ATTACH }, .outlet_id = f->outlet_id };

	fixture_send(f, OUTLET_CHARGING, "stranger", KWH);
	charge_by_tag(f);
	assert_int_equal(
		f->query->ops->unassigned(f->query, &f->outlet_id, true, 10, take_item, &items),
		EV_OK);
	attach.item_id = items.last.id;
	attach.session_id = fixture_session(f).id;
	fixture_run(f, &attach.job);
	assert_int_equal(attach.job.verdict, VERDICT_APPLIED);
	assert_int_equal(fixture_send(f, OUTLET_DEVICE_DENIES_CHARGING, TAG, 0), VERDICT_DUPLICATE);
	fixture_advance_s(f, 301);
	fixture_tick(f);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
	assert_int_equal(fixture_session(f).state, OUTLET_CHARGING);
	fixture_send(f, OUTLET_AVAILABLE, "", 0);
	assert_int_equal(fixture_session(f).state, OUTLET_CHARGING_FINISHED);
	fixture_assert_balanced(f);
}

/* An event of the outlet by a stream, where the other backend is another process. */
static void app_hears(struct pump_fixture *f, uint8_t n, enum outlet_state state,
		      const struct ev_uuid *session_id)
{
	struct store *store = memory_store(f->memory);
	struct charging_event e = {
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = f->outlet_id,
		.state = state,
		.has_session = session_id != NULL,
		.tag = f->tag,
		.has_event_id = true,
		.event_id = { .b = { n } },
	};

	if (session_id != NULL)
		e.session_id = *session_id;
	assert_int_equal(store->ops->begin(store), EV_OK);
	assert_int_equal(app_service_event(&f->pump.app, &e, &e.event_id, 1), EV_OK);
	assert_int_equal(store->ops->end(store), EV_OK);
	effects_clear(&f->pump.effects);
}

static enum outlet_state state_of(struct pump_fixture *f, const struct ev_uuid *session_id)
{
	struct session s;

	assert_int_equal(f->query->ops->session(f->query, session_id, &s), EV_OK);
	return s.state;
}

static void a_session_is_superseded_by_one_that_charges_not_by_one_that_is_asked_for(void **state)
{
	struct pump_fixture *f = *state;
	struct ev_uuid first, second;

	app_hears(f, 1, OUTLET_DEVICE_REQUESTS_CHARGING, NULL);
	first = fixture_session(f).id;
	app_hears(f, 2, OUTLET_CHARGING, &first);
	fixture_advance_s(f, 1);
	app_hears(f, 3, OUTLET_DEVICE_REQUESTS_CHARGING, NULL);
	second = fixture_session(f).id;
	assert_false(ev_uuid_eq(&first, &second));
	assert_int_equal(state_of(f, &first), OUTLET_CHARGING);
	app_hears(f, 4, OUTLET_CHARGING, &second);
	assert_int_equal(state_of(f, &first), OUTLET_CHARGING_FINISHED);
	assert_int_equal(state_of(f, &second), OUTLET_CHARGING);
	/* What is put once more of the first one's cannot close the second. */
	app_hears(f, 2, OUTLET_CHARGING, &first);
	assert_int_equal(state_of(f, &second), OUTLET_CHARGING);
	assert_int_equal(f->pump.app.stats.superseded, 1);
}

static void a_request_without_event_id_is_answered_while_it_is_young(void **state)
{
	static const struct {
		const char *name;
		bool has_event_id;
		int64_t age_s;
		unsigned n_answers;
		bool unknown_tag;
	} cases[] = {
		{ "young", false, 60, 1, false },        { "old", false, 61, 0, false },
		{ "old, ours", true, 61, 1, false },     { "young, a denial", false, 60, 1, true },
		{ "old, a denial", false, 61, 0, true }, { "ahead", false, -5, 1, false },
	};
	struct pump_fixture *f = *state;
	struct store *store = memory_store(f->memory);
	struct app_service *app = &f->pump.app;

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct identity at = { .b = { 0x40, (uint8_t)i } };
		struct charging_event e = {
			.initiator = INITIATOR_OUTLET_BACKEND,
			.outlet_id = f->outlet_id,
			.state = OUTLET_DEVICE_REQUESTS_CHARGING,
			.tag = f->tag,
			.has_event_id = cases[i].has_event_id,
			.event_id = at,
		};
		uint64_t before = app->stats.approvals + app->stats.denials;
		int64_t at_ns = ev_clock_wall_ns(app->clock) - cases[i].age_s * EV_NS_PER_S;

		if (cases[i].unknown_tag)
			assert_int_equal(rfid_tag_set(&e.tag, ev_str_from("nobody")), EV_OK);
		assert_int_equal(store->ops->begin(store), EV_OK);
		assert_int_equal(app_service_event(app, &e, &at, at_ns), EV_OK);
		assert_int_equal(store->ops->end(store), EV_OK);
		if (f->pump.effects.n != cases[i].n_answers ||
		    app->stats.approvals + app->stats.denials - before != cases[i].n_answers)
			fail_msg("%s", cases[i].name);
		effects_clear(&f->pump.effects);
	}
}

/* A fault at every port call of a round trip, one after the other: nothing half done is left. */
struct fault {
	unsigned countdown;
	bool struck;
};

static ev_err strike(void *user, enum memory_point point)
{
	struct fault *x = user;

	if (point == MEMORY_AT_QUERY || point == MEMORY_AFTER_END || x->struck)
		return EV_OK;
	if (x->countdown-- > 0)
		return EV_OK;
	x->struck = true;
	return EV_IO;
}

static void a_fault_at_any_call_leaves_nothing_half_done(void **state)
{
	struct pump_fixture *f = *state;
	struct fault x = { .struck = true };
	unsigned at;

	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	memory_set_fault(f->memory, strike, &x);
	for (at = 0; x.struck; at++) {
		struct device_job *j = calloc(1, sizeof(*j));

		assert_non_null(j);
		x = (struct fault){ .countdown = at };
		j->job.kind = JOB_DEVICE_MESSAGE;
		j->outlet_id = f->outlet_id;
		j->decoded = true;
		j->id.b[0] = 9;
		j->message.outlet_id = f->outlet_id;
		j->message.tag = f->tag;
		j->message.change = OUTLET_DEVICE_REQUESTS_CHARGING;
		fixture_run(f, &j->job);
		assert_int_equal(j->job.err, x.struck ? EV_IO : EV_OK);
		assert_int_equal(fixture_outlet(f).state,
				 x.struck ? OUTLET_CABLE_PLUGGED : OUTLET_CHARGING);
		assert_int_equal(fixture_books(f).n_sessions, x.struck ? 0 : 1);
		free(j);
	}
	assert_true(at > 8);
	memory_set_fault(f->memory, NULL, NULL);
}

static ev_err always_conflict(void *user, enum memory_point point)
{
	(void)user;
	return point == MEMORY_AT_COMMIT ? EV_CONFLICT : EV_OK;
}

/* What a job was answered by a group that failed must not make its second run look well. */
static void a_job_that_failed_is_not_answered_by_its_first_run(void **state)
{
	struct pump_fixture *f = *state;
	struct device_job j = { .job = { .kind = JOB_DEVICE_MESSAGE }, .outlet_id = f->outlet_id };

	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	j.has_state = true;
	j.shown = OUTLET_CABLE_PLUGGED;
	j.why = REASON_UNDECODABLE;
	memory_set_fault(f->memory, always_conflict, NULL);
	fixture_run(f, &j.job);
	memory_set_fault(f->memory, NULL, NULL);
	assert_int_equal(j.job.err, EV_CONFLICT);
	assert_int_equal(fixture_books(f).n_dead_letters_open, 0);
	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_OK);
	assert_int_equal(fixture_books(f).n_dead_letters_open, 1);
}

/* Ends of groups that find a row moved on, as many as asked for. */
static ev_err conflict_at_end(void *user, enum memory_point point)
{
	unsigned *left = user;

	if (point != MEMORY_BEFORE_END || *left == 0)
		return EV_OK;
	--*left;
	return EV_CONFLICT;
}

static void a_conflict_at_the_end_is_decided_again_but_not_for_ever(void **state)
{
	static const struct {
		unsigned conflicts;
		ev_err err;
	} cases[] = { { 1, EV_OK }, { 15, EV_OK }, { 16, EV_CONFLICT } };
	struct pump_fixture *f = *state;

	for (unsigned i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct device_job j = { .job = { .kind = JOB_DEVICE_MESSAGE } };
		unsigned left = cases[i].conflicts;

		j.outlet_id = f->outlet_id;
		j.id.b[0] = (uint8_t)(i + 1);
		j.why = REASON_UNDECODABLE;
		memory_set_fault(f->memory, conflict_at_end, &left);
		fixture_run(f, &j.job);
		memory_set_fault(f->memory, NULL, NULL);
		assert_int_equal(j.job.err, cases[i].err);
		assert_int_equal(left, 0);
		assert_int_equal(fixture_books(f).n_dead_letters_open, i + (j.job.err == EV_OK));
	}
}

/* A group that met another writer stays one group, four times; then each of its jobs is alone. */
static void a_group_in_conflict_is_tried_as_a_group_first(void **state)
{
	static const struct {
		unsigned conflicts;
		unsigned groups;
	} cases[] = { { 0, 1 }, { 1, 2 }, { 3, 4 }, { 4, 4 + 2 } };
	struct pump_fixture *f = *state;

	for (unsigned i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct dead_letter_job none[2] = { { .job = { .kind = JOB_DEAD_LETTER_DROP } },
						   { .job = { .kind = JOB_DEAD_LETTER_DROP } } };
		struct job *jobs[] = { &none[0].job, &none[1].job };
		unsigned left = cases[i].conflicts;
		uint64_t before = f->pump.stats.groups;

		memory_set_fault(f->memory, conflict_at_end, &left);
		pump_run(&f->pump, jobs, 2);
		memory_set_fault(f->memory, NULL, NULL);
		assert_int_equal(jobs[0]->err, EV_NOTFOUND); /* an answer, of the last try */
		assert_int_equal(jobs[1]->err, EV_NOTFOUND);
		assert_int_equal(f->pump.stats.groups - before, cases[i].groups);
		assert_int_equal(left, 0);
	}
}

static void one_bad_job_of_a_group_costs_no_other(void **state)
{
	struct pump_fixture *f = *state;
	struct customer_job taken = { .job = { .kind = JOB_CUSTOMER_CREATE }, .tag = f->tag };
	struct outlet_job create = { .job = { .kind = JOB_OUTLET_CREATE }, .max_power_mw = 1000 };
	struct job *jobs[] = { &taken.job, &create.job };

	taken.customer_id = ev_rng_uuid(&f->rng.base);
	create.outlet_id = ev_rng_uuid(&f->rng.base);
	pump_run(&f->pump, jobs, 2);
	assert_int_equal(taken.job.err, EV_EXISTS);
	assert_int_equal(create.job.err, EV_OK);
	assert_int_equal(fixture_books(f).n_outlets, 2);
	assert_int_equal(fixture_books(f).n_customers, 1);
}

static void an_erased_customer_leaves_sessions_without_a_person(void **state)
{
	struct pump_fixture *f = *state;
	struct customer_job j = { .job = { .kind = JOB_CUSTOMER_ERASE },
				  .customer_id = f->customer_id };
	struct ev_uuid session_id;
	struct session s;

	charge_by_tag(f);
	session_id = fixture_session(f).id;
	fixture_run(f, &j.job);
	assert_int_equal(j.job.verdict, VERDICT_REFUSED);
	fixture_send(f, OUTLET_CHARGING, TAG, KWH);
	fixture_send(f, OUTLET_AVAILABLE, "", 0);
	fixture_run(f, &j.job);
	assert_int_equal(j.job.verdict, VERDICT_APPLIED);
	assert_int_equal(f->query->ops->session(f->query, &session_id, &s), EV_OK);
	assert_false(s.has_customer);
	assert_int_equal(s.tag.n, 0);
	assert_int_equal(s.energy_mwh, KWH);
	fixture_assert_balanced(f);
}

static void a_replaced_tag_is_free_for_others(void **state)
{
	struct pump_fixture *f = *state;
	struct customer_job replace = { .job = { .kind = JOB_CUSTOMER_TAG },
					.customer_id = f->customer_id,
					.tag = fixture_tag("new-tag") };
	struct customer_job create = { .job = { .kind = JOB_CUSTOMER_CREATE },
				       .tag = fixture_tag("TAG-ANNA") };
	struct session s;

	create.customer_id = ev_rng_uuid(&f->rng.base);
	fixture_run(f, &create.job);
	assert_int_equal(create.job.err, EV_EXISTS);
	fixture_run(f, &replace.job);
	assert_int_equal(replace.job.err, EV_OK);
	fixture_run(f, &create.job);
	assert_int_equal(create.job.err, EV_OK);
	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, "New-Tag", 0);
	assert_int_equal(fixture_outlet(f).state, OUTLET_CHARGING);
	s = fixture_session(f);
	assert_true(ev_uuid_eq(&s.customer_id, &f->customer_id));
}

#define FLOW(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(a_known_tag_charges_reports_and_stops),
		FLOW(an_unknown_tag_is_denied_and_the_device_told),
		FLOW(a_blocked_customer_is_denied_until_unblocked),
		FLOW(the_app_starts_and_stops),
		FLOW(a_start_without_cable_is_denied_and_never_starts_later),
		FLOW(a_start_for_nobody_or_nowhere_is_not_found),
		FLOW(a_repeated_message_counts_once_also_after_many_others),
		FLOW(a_tag_before_the_plug_waits_and_starts),
		FLOW(a_tag_without_a_plug_is_refused_after_thirty_seconds),
		FLOW(garbage_and_unknown_outlets_become_dead_letters),
		FLOW(a_start_that_is_never_acknowledged_is_taken_back),
		FLOW(an_acknowledged_start_stays),
		FLOW(an_old_acknowledgement_does_not_cover_a_start_after_the_clock_was_set_back),
		FLOW(a_row_that_cannot_be_read_stops_no_other_outlets_timers),
		FLOW(the_newest_command_reaches_a_device_that_never_acknowledges),
		FLOW(an_acknowledgement_of_what_was_never_sent_changes_nothing),
		FLOW(acknowledgements_never_go_back),
		FLOW(a_stop_that_the_device_ignores_is_repeated_then_finished),
		FLOW(stray_energy_is_kept_and_attached_once),
		FLOW(attached_energy_makes_a_session_that_cannot_be_denied),
		FLOW(a_session_is_superseded_by_one_that_charges_not_by_one_that_is_asked_for),
		FLOW(a_request_without_event_id_is_answered_while_it_is_young),
		FLOW(the_answer_to_a_plug_shows_what_became_of_the_tag_before_it),
		FLOW(a_fault_at_any_call_leaves_nothing_half_done),
		FLOW(a_job_that_failed_is_not_answered_by_its_first_run),
		FLOW(a_conflict_at_the_end_is_decided_again_but_not_for_ever),
		FLOW(a_group_in_conflict_is_tried_as_a_group_first),
		FLOW(one_bad_job_of_a_group_costs_no_other),
		FLOW(an_erased_customer_leaves_sessions_without_a_person),
		FLOW(a_replaced_tag_is_free_for_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
