#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/time.h"
#include "cli/sim_device.h"

#define START_NS INT64_C(1700000000000000000)
#define MAX_POWER_W 22000

static struct rfid_tag tag_of(const char *text)
{
	struct rfid_tag tag;

	assert_int_equal(rfid_tag_set(&tag, ev_str_from(text)), EV_OK);
	return tag;
}

/* Habits that leave nothing to chance: by tag, no strangers, no pauses, unless a test says so. */
static struct sim_device_options plain_options(void)
{
	struct sim_device_options o = { .habits = sim_habits_usual(),
					.tag = tag_of("a-tag"),
					.max_power_w = MAX_POWER_W,
					.run = 77,
					.index = 5,
					.seed = 1 };

	o.habits.start_by_app = o.habits.strangers = o.habits.pauses = o.habits.again = 0;
	o.habits.unplug_charging = 0;
	o.habits.stop_by_tag = 100;
	o.outlet_id.b[0] = 9;
	return o;
}

struct bench {
	struct sim_device d;
	int64_t now_ns;
	unsigned next_command;
};

static void bench_init(struct bench *b, const struct sim_device_options *o)
{
	*b = (struct bench){ .now_ns = START_NS };
	sim_device_init(&b->d, o, b->now_ns);
}

/* Time goes on to when the device has something to do. */
static void skip_to_due(struct bench *b)
{
	int64_t due_ns = sim_device_due(&b->d);

	if (due_ns > b->now_ns)
		b->now_ns = due_ns;
	sim_device_step(&b->d, b->now_ns);
}

static struct device_message must_send(struct bench *b)
{
	struct device_message m;

	if (!sim_device_next(&b->d, &m))
		fail_msg("nothing to send in %s", sim_state_text(b->d.state));
	return m;
}

static void answer(struct bench *b, const struct device_message *m, enum verdict v)
{
	sim_device_answered(&b->d, &m->message_id, v);
}

/* The next message must be that change; it is answered at once. */
static struct device_message expect(struct bench *b, enum outlet_state change)
{
	struct device_message m = must_send(b);

	assert_string_equal(outlet_state_text(m.change), outlet_state_text(change));
	answer(b, &m, VERDICT_APPLIED);
	return m;
}

static void command(struct bench *b, enum outlet_state change, const char *tag_text)
{
	struct message_id id;
	struct rfid_tag tag = tag_of(tag_text);

	id.n = (uint8_t)snprintf(id.s, sizeof(id.s), "%016x-0", ++b->next_command);
	sim_device_command(&b->d, &id, change, &tag);
	sim_device_step(&b->d, b->now_ns);
}

static void charge(struct bench *b)
{
	skip_to_due(b);
	expect(b, OUTLET_CABLE_PLUGGED);
	skip_to_due(b);
	expect(b, OUTLET_DEVICE_REQUESTS_CHARGING);
	command(b, OUTLET_CHARGING, "a-tag");
	assert_int_equal(b->d.state, SIM_CHARGING);
}

static void plugs_in_presents_the_tag_and_charges_when_told_to(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	skip_to_due(&b);
	struct device_message plugged = expect(&b, OUTLET_CABLE_PLUGGED);

	assert_int_equal(plugged.tag.n, 0);
	assert_memory_equal(plugged.message_id.s, "sim-77-5-0", 10);
	skip_to_due(&b);
	struct device_message request = expect(&b, OUTLET_DEVICE_REQUESTS_CHARGING);

	assert_true(rfid_tag_eq(&request.tag, &o.tag));
	assert_int_equal(b.d.state, SIM_REQUESTING);
	command(&b, OUTLET_CHARGING, "a-tag");
	assert_int_equal(b.d.state, SIM_CHARGING);
	skip_to_due(&b);
	struct device_message report = expect(&b, OUTLET_CHARGING);

	assert_true(report.energy_mwh > 0);
	assert_int_equal(report.period_end_ns - report.period_start_ns, o.habits.report_every_ns);
	assert_int_equal(b.d.stats.acknowledged_mwh, report.energy_mwh);
}

static void never_delivers_more_than_the_outlet_can(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	charge(&b);
	for (int i = 0; b.d.state == SIM_CHARGING; i++) {
		assert_in_range(i, 0, 200);
		skip_to_due(&b);
		struct device_message m = must_send(&b);
		int64_t seconds = (m.period_end_ns - m.period_start_ns) / EV_NS_PER_S + 1;

		assert_true(m.energy_mwh <= MAX_POWER_W * seconds * 10 / 36);
		answer(&b, &m, VERDICT_APPLIED);
	}
	assert_true(b.d.stats.acknowledged_mwh > 0);
}

static void ends_as_the_visitor_means_to(void **state)
{
	static const struct {
		unsigned by_tag, unplug;
		enum outlet_state last;
		enum sim_state then;
	} cases[] = {
		{ 100, 0, OUTLET_DEVICE_REQUESTS_STOP, SIM_FINISHED },
		{ 0, 0, OUTLET_CHARGING_FINISHED, SIM_FINISHED },
		{ 0, 100, OUTLET_AVAILABLE, SIM_IDLE },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct sim_device_options o = plain_options();
		struct device_message last = { .energy_mwh = 0 };
		struct bench b;

		o.habits.stop_by_tag = cases[i].by_tag;
		o.habits.unplug_charging = cases[i].unplug;
		bench_init(&b, &o);
		charge(&b);
		while (b.d.state == SIM_CHARGING) {
			skip_to_due(&b);
			last = must_send(&b);
			answer(&b, &last, VERDICT_APPLIED);
		}
		assert_int_equal(last.change, cases[i].last);
		assert_int_equal(b.d.state, cases[i].then);
		assert_int_equal(b.d.stats.acknowledged_mwh, b.d.stats.measured_mwh);
	}
}

static void stops_when_told_to(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	charge(&b);
	b.now_ns += 5 * EV_NS_PER_S;
	command(&b, OUTLET_APP_REQUESTS_STOP, "a-tag");
	struct device_message m = expect(&b, OUTLET_CHARGING_FINISHED);

	assert_true(m.energy_mwh > 0);
	skip_to_due(&b);
	expect(&b, OUTLET_AVAILABLE);
	assert_true(sim_device_is_quiet(&b.d));
}

static void leaves_when_denied_or_when_nobody_answers(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	for (int way = 0; way < 3; way++) {
		bench_init(&b, &o);
		skip_to_due(&b);
		expect(&b, OUTLET_CABLE_PLUGGED);
		skip_to_due(&b);
		struct device_message request = must_send(&b);

		answer(&b, &request, way == 0 ? VERDICT_REFUSED : VERDICT_APPLIED);
		if (way == 1)
			command(&b, OUTLET_APP_DENIES_CHARGING, "a-tag");
		else
			skip_to_due(&b);
		if (way != 2) {
			assert_int_equal(b.d.state, SIM_FINISHED);
			skip_to_due(&b);
		}
		expect(&b, OUTLET_AVAILABLE);
		assert_int_equal(b.d.stats.denied, 1);
	}
}

static void wishes_for_the_app_once(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	o.habits.start_by_app = o.habits.stop_by_app = 100;
	bench_init(&b, &o);
	skip_to_due(&b);
	expect(&b, OUTLET_CABLE_PLUGGED);
	skip_to_due(&b);
	assert_int_equal(sim_device_wish(&b.d), SIM_WISH_START);
	assert_int_equal(sim_device_wish(&b.d), SIM_WISH_NONE);
	command(&b, OUTLET_CHARGING, "a-tag");
	for (int i = 0; b.d.state == SIM_CHARGING; i++) {
		assert_in_range(i, 0, 200);
		skip_to_due(&b);
		struct device_message m;

		if (sim_device_next(&b.d, &m))
			answer(&b, &m, VERDICT_APPLIED);
	}
	assert_int_equal(b.d.state, SIM_STOPPING);
	assert_int_equal(sim_device_wish(&b.d), SIM_WISH_STOP);
	b.now_ns += EV_NS_PER_S;
	command(&b, OUTLET_APP_REQUESTS_STOP, "a-tag");
	expect(&b, OUTLET_CHARGING_FINISHED);
}

static void a_failed_app_makes_the_visitor_leave(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	o.habits.start_by_app = 100;
	bench_init(&b, &o);
	skip_to_due(&b);
	expect(&b, OUTLET_CABLE_PLUGGED);
	skip_to_due(&b);
	assert_int_equal(sim_device_wish(&b.d), SIM_WISH_START);
	sim_device_app_failed(&b.d, b.now_ns);
	assert_int_equal(b.d.state, SIM_FINISHED);
}

static void denies_a_start_that_comes_too_late(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	command(&b, OUTLET_CHARGING, "late-tag");
	struct device_message m = expect(&b, OUTLET_DEVICE_DENIES_CHARGING);
	struct rfid_tag late = tag_of("late-tag");

	assert_true(rfid_tag_eq(&m.tag, &late));
	assert_int_equal(b.d.state, SIM_IDLE);
	assert_int_equal(b.d.stats.sessions, 0);
}

static void ignores_commands_that_come_again(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	charge(&b);
	b.now_ns += EV_NS_PER_S;
	command(&b, OUTLET_APP_REQUESTS_STOP, "a-tag");
	expect(&b, OUTLET_CHARGING_FINISHED);
	b.next_command -= 2;
	command(&b, OUTLET_CHARGING, "a-tag");
	assert_int_equal(b.d.stats.commands, 2);
	assert_int_equal(b.d.state, SIM_FINISHED);
}

static void sends_again_what_was_not_acknowledged_in_order(void **state)
{
	struct sim_device_options o = plain_options();
	struct device_message first, second, again;
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	charge(&b);
	skip_to_due(&b);
	skip_to_due(&b);
	first = must_send(&b);
	second = must_send(&b);
	sim_device_disconnected(&b.d);
	answer(&b, &first, VERDICT_APPLIED); /* of the old connection: too late */
	assert_int_equal(b.d.stats.acknowledged_mwh, 0);
	again = must_send(&b);
	assert_memory_equal(&again, &first, sizeof(again));
	answer(&b, &again, VERDICT_DUPLICATE);
	again = must_send(&b);
	assert_memory_equal(&again, &second, sizeof(again));
	answer(&b, &again, VERDICT_APPLIED);
	answer(&b, &again, VERDICT_APPLIED);
	assert_int_equal(b.d.stats.acknowledged_mwh, first.energy_mwh + second.energy_mwh);
	assert_int_equal(b.d.stats.resent, 2);
}

static void a_rejected_message_is_not_counted_as_acknowledged(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	charge(&b);
	skip_to_due(&b);
	struct device_message m = must_send(&b);

	answer(&b, &m, VERDICT_REJECTED);
	assert_int_equal(b.d.stats.acknowledged_mwh, 0);
	assert_int_equal(b.d.stats.rejected_mwh, m.energy_mwh);
}

static void a_full_outbox_loses_no_energy(void **state)
{
	struct sim_device_options o = plain_options();
	struct device_message m;
	struct bench b;

	(void)state;
	bench_init(&b, &o);
	charge(&b);
	for (int i = 0; i < 100; i++) {
		b.now_ns += o.habits.report_every_ns;
		sim_device_step(&b.d, b.now_ns);
	}
	assert_in_range(b.d.n, 1, SIM_OUTBOX);
	for (int i = 0; i < 2000 && !sim_device_is_quiet(&b.d); i++) {
		while (sim_device_next(&b.d, &m))
			answer(&b, &m, VERDICT_APPLIED);
		sim_device_wind_up(&b.d, b.now_ns);
		sim_device_step(&b.d, b.now_ns);
	}
	assert_true(sim_device_is_quiet(&b.d));
	assert_int_equal(b.d.stats.acknowledged_mwh, b.d.stats.measured_mwh);
}

static void a_start_while_winding_up_ends_at_once(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench b;
	struct message_id id = { .n = 1, .s = { '1' } };

	(void)state;
	bench_init(&b, &o);
	skip_to_due(&b);
	expect(&b, OUTLET_CABLE_PLUGGED);
	skip_to_due(&b);
	expect(&b, OUTLET_DEVICE_REQUESTS_CHARGING);
	sim_device_command(&b.d, &id, OUTLET_CHARGING, &o.tag);
	sim_device_wind_up(&b.d, b.now_ns);
	sim_device_step(&b.d, b.now_ns);
	sim_device_step(&b.d, b.now_ns);
	expect(&b, OUTLET_AVAILABLE);
	assert_true(sim_device_is_quiet(&b.d));
}

static int64_t waiting_mwh(const struct sim_device *d)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < d->n; i++)
		sum += d->outbox[(d->first + i) % SIM_OUTBOX].m.energy_mwh;
	return sum;
}

/* A backend of a few lines: says yes to requests, to the app, and loses connections. */
static void play(struct bench *b, struct ev_rng *rng)
{
	struct device_message m;
	enum sim_wish wish = sim_device_wish(&b->d);

	if (wish == SIM_WISH_START && ev_rng_below(rng, 10) > 0)
		command(b, OUTLET_CHARGING, "a-tag");
	else if (wish == SIM_WISH_STOP && ev_rng_below(rng, 10) > 0)
		command(b, OUTLET_APP_REQUESTS_STOP, "a-tag");
	else if (wish != SIM_WISH_NONE)
		sim_device_app_failed(&b->d, b->now_ns);
	if (ev_rng_below(rng, 20) == 0)
		sim_device_disconnected(&b->d);
	if (ev_rng_below(rng, 4) == 0 || !sim_device_next(&b->d, &m))
		return;
	if (ev_rng_below(rng, 4) == 0)
		return; /* the answer is lost with its connection, sooner or later */
	answer(b, &m, ev_rng_below(rng, 50) == 0 ? VERDICT_REJECTED : VERDICT_APPLIED);
	if (m.change == OUTLET_DEVICE_REQUESTS_CHARGING)
		command(b, ev_rng_below(rng, 5) > 0 ? OUTLET_CHARGING : OUTLET_APP_DENIES_CHARGING,
			"a-tag");
}

static void every_milliwatt_hour_is_accounted_for_at_any_time(void **state)
{
	uint64_t sessions = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim_device_options o = plain_options();
		struct ev_rng_seeded rng;
		struct bench b;

		o.habits = sim_habits_usual();
		o.seed = seed;
		ev_rng_seeded_init(&rng, seed);
		bench_init(&b, &o);
		for (int i = 0; i < 20000; i++) {
			b.now_ns += (int64_t)ev_rng_below(&rng.base, 3 * EV_NS_PER_S);
			sim_device_step(&b.d, b.now_ns);
			play(&b, &rng.base);
			assert_int_equal(b.d.stats.measured_mwh,
					 b.d.stats.acknowledged_mwh + b.d.stats.rejected_mwh +
						 waiting_mwh(&b.d) + b.d.unreported_mwh);
		}
		sessions += b.d.stats.sessions;
	}
	assert_in_range(sessions, 100, 100000);
}

static void the_same_seed_gives_the_same_run(void **state)
{
	struct sim_device_options o = plain_options();
	struct bench a, b;
	struct device_message m, n;

	(void)state;
	o.habits = sim_habits_usual();
	bench_init(&a, &o);
	bench_init(&b, &o);
	for (int i = 0; i < 200; i++) {
		skip_to_due(&a);
		skip_to_due(&b);
		bool sent = sim_device_next(&a.d, &m);

		assert_int_equal(sent, sim_device_next(&b.d, &n));
		if (!sent)
			continue;
		assert_memory_equal(&m, &n, sizeof(m));
		answer(&a, &m, VERDICT_APPLIED);
		answer(&b, &n, VERDICT_APPLIED);
	}
	assert_in_range(a.d.stats.messages, 20, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plugs_in_presents_the_tag_and_charges_when_told_to),
		cmocka_unit_test(never_delivers_more_than_the_outlet_can),
		cmocka_unit_test(ends_as_the_visitor_means_to),
		cmocka_unit_test(stops_when_told_to),
		cmocka_unit_test(leaves_when_denied_or_when_nobody_answers),
		cmocka_unit_test(wishes_for_the_app_once),
		cmocka_unit_test(a_failed_app_makes_the_visitor_leave),
		cmocka_unit_test(denies_a_start_that_comes_too_late),
		cmocka_unit_test(ignores_commands_that_come_again),
		cmocka_unit_test(sends_again_what_was_not_acknowledged_in_order),
		cmocka_unit_test(a_rejected_message_is_not_counted_as_acknowledged),
		cmocka_unit_test(a_full_outbox_loses_no_energy),
		cmocka_unit_test(a_start_while_winding_up_ends_at_once),
		cmocka_unit_test(every_milliwatt_hour_is_accounted_for_at_any_time),
		cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
