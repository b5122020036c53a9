/* A lane's batch: jobs of one outlet together and in order; timers outlet by outlet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/time.h"
#include "engine/aws/lanes.h"
#include "pump_fixture.h"
#include "service/job_key.h"

static struct ev_uuid numbered(unsigned n)
{
	struct ev_uuid id = { .b = { 0xee } };

	memcpy(&id.b[8], &n, sizeof(n));
	return id;
}

static void create_outlet(struct pump_fixture *f, unsigned n)
{
	struct outlet_job j = { .job = { .kind = JOB_OUTLET_CREATE },
				.outlet_id = numbered(n),
				.max_power_mw = 22000000 };

	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_OK);
}

static struct device_job *message(struct pump_fixture *f, unsigned outlet, unsigned n,
				  enum outlet_state change)
{
	struct device_job *j = calloc(1, sizeof(*j) + 1);

	assert_non_null(j);
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->job.at_ns = ev_clock_wall_ns(&f->clock.base);
	j->outlet_id = numbered(outlet);
	j->decoded = true;
	j->id.b[0] = (uint8_t)n;
	j->id.b[15] = (uint8_t)(outlet + 1);
	j->message = (struct device_message){ .outlet_id = j->outlet_id, .change = change };
	return j;
}

/* Plug and unplug of three outlets, interleaved: each outlet's are one group, in their order. */
static void runs_each_outlets_jobs_as_one_group_in_order(void **state)
{
	struct pump_fixture *f = *state;
	struct job *jobs[9];
	uint64_t before;

	for (unsigned o = 0; o < 3; o++)
		create_outlet(f, o);
	before = f->pump.stats.groups;
	for (unsigned i = 0; i < 9; i++) {
		enum outlet_state change = i / 3 == 1 ? OUTLET_AVAILABLE : OUTLET_CABLE_PLUGGED;

		jobs[i] = &message(f, i % 3, i, change)->job;
	}
	aws_lane_run(&f->pump, jobs, 9);
	assert_int_equal(f->pump.stats.groups - before, 3);
	for (unsigned i = 0; i < 9; i++) {
		const struct device_job *j = (const struct device_job *)jobs[i];

		assert_int_equal(j->job.err, EV_OK);
		assert_int_equal(j->job.verdict, VERDICT_APPLIED);
		if (i % 3 > 0)
			assert_true(j->id.b[0] > ((const struct device_job *)jobs[i - 1])->id.b[0]);
	}
	for (unsigned i = 0; i < 9; i++)
		free(jobs[i]);
}

/* A group has a bound, so that one busy outlet's row takes no end of inputs. */
static void cuts_long_runs_of_one_outlet(void **state)
{
	enum { N = 2 * AWS_LANE_GROUP_MAX + 1 };
	struct pump_fixture *f = *state;
	struct job *jobs[N];
	uint64_t before;

	create_outlet(f, 7);
	before = f->pump.stats.groups;
	for (unsigned i = 0; i < N; i++)
		jobs[i] = &message(f, 7, i, i % 2 == 0 ? OUTLET_CABLE_PLUGGED : OUTLET_AVAILABLE)
				   ->job;
	aws_lane_run(&f->pump, jobs, N);
	assert_int_equal(f->pump.stats.groups - before, 3);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(jobs[i]->verdict, VERDICT_APPLIED);
		free(jobs[i]);
	}
}

/* A request before its plug waits; nobody else comes by, so the tick has to refuse it. */
static void ticks_what_is_parked_for_too_long(void **state)
{
	struct pump_fixture *f = *state;
	size_t failed = 1;
	struct parked_input parked;
	size_t n = 0;

	fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, "Tag-Anna", 0);
	assert_int_equal(
		f->pump.store->ops->load_parked(f->pump.store, NULL, INT64_MAX, &parked, 1, &n),
		EV_OK);
	assert_int_equal(n, 1);
	fixture_advance_s(f, 31);
	aws_lane_tick(&f->pump, 10, &failed);
	assert_int_equal(failed, 0);
	assert_int_equal(
		f->pump.store->ops->load_parked(f->pump.store, NULL, INT64_MAX, &parked, 1, &n),
		EV_OK);
	assert_int_equal(n, 0);
}

/* A request that nobody answers lapses by the tick of its own outlet. */
static void ticks_outlet_by_outlet(void **state)
{
	struct pump_fixture *f = *state;
	size_t failed = 1;
	uint64_t before;

	f->pump.apart = true; /* so that the request finds no App */
	fixture_send(f, OUTLET_CABLE_PLUGGED, "", 0);
	fixture_send(f, OUTLET_DEVICE_REQUESTS_CHARGING, "Tag-Anna", 0);
	assert_int_equal(fixture_outlet(f).request.status, REQUEST_WAITING);
	aws_lane_tick(&f->pump, 10, &failed);
	assert_int_equal(failed, 0);
	assert_int_equal(fixture_outlet(f).request.status, REQUEST_WAITING);
	fixture_advance_s(f, 61);
	before = f->pump.stats.by_kind[JOB_TICK];
	aws_lane_tick(&f->pump, 10, &failed);
	assert_int_equal(failed, 0);
	assert_int_equal(f->pump.stats.by_kind[JOB_TICK] - before, 1);
	assert_int_equal(fixture_outlet(f).request.status, REQUEST_LAPSED);
}

/* What the stream brings goes to the backend that did not put it. */
static void gives_an_event_to_the_other_backend(void **state)
{
	struct pump_fixture *f = *state;
	struct event_job request = { .job = { .kind = JOB_EVENT } };
	struct job *job = &request.job;

	f->pump.apart = true;
	request.job.at_ns = ev_clock_wall_ns(&f->clock.base);
	request.event = (struct charging_event){
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = f->outlet_id,
		.state = OUTLET_DEVICE_REQUESTS_CHARGING,
		.tag = f->tag,
	};
	request.id.b[3] = 9;
	aws_lane_run(&f->pump, &job, 1);
	assert_int_equal(request.job.err, EV_OK);
	assert_int_equal(f->pump.app.stats.approvals, 1);
	assert_int_equal(fixture_session(f).state, OUTLET_CHARGING);
	/* Again: the same session, and the outlet's approval waits for the stream, not for us. */
	aws_lane_run(&f->pump, &job, 1);
	assert_int_equal(f->pump.app.stats.approvals, 1);
	assert_int_equal(fixture_outlet(f).state, OUTLET_AVAILABLE);
}

static void keys_are_by_outlet_where_there_is_one(void **state)
{
	struct event_job event = { .job = { .kind = JOB_EVENT } };
	struct session_job start = { .job = { .kind = JOB_START } };
	struct session_job stop = { .job = { .kind = JOB_STOP } };
	struct customer_job customer = { .job = { .kind = JOB_CUSTOMER_TAG } };
	struct command_job ack = { .job = { .kind = JOB_COMMAND_ACK } };
	struct outlet_job finish = { .job = { .kind = JOB_OUTLET_FINISH } };
	struct dead_letter_job letter = { .job = { .kind = JOB_DEAD_LETTER_DROP } };
	struct ev_uuid outlet = numbered(1);
	struct ev_uuid other = numbered(2);
	const struct {
		struct job *job;
		struct ev_uuid key;
	} cases[] = {
		{ &event.job, outlet },   { &start.job, outlet }, { &stop.job, other },
		{ &customer.job, other }, { &ack.job, outlet },   { &finish.job, outlet },
		{ &letter.job, other },
	};

	(void)state;
	event.event.outlet_id = outlet;
	start.outlet_id = outlet;
	start.session_id = other;
	stop.outlet_id = outlet;
	stop.session_id = other;
	customer.customer_id = other;
	ack.outlet_id = outlet;
	finish.outlet_id = outlet;
	memcpy(letter.id.b, other.b, sizeof(letter.id.b));
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_uuid key = job_key(cases[i].job);

		assert_true(ev_uuid_eq(&key, &cases[i].key));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_each_outlets_jobs_as_one_group_in_order,
						fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(cuts_long_runs_of_one_outlet, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(ticks_what_is_parked_for_too_long, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(ticks_outlet_by_outlet, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(gives_an_event_to_the_other_backend, fixture_setup,
						fixture_teardown),
		cmocka_unit_test(keys_are_by_outlet_where_there_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
