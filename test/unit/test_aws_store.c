/* The store on DynamoDB: what each thing costs, conflicts, crashes, rows of the original's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws_world.h"
#include "base/time.h"

#define BOTH (AWS_ROLE_OUTLET | AWS_ROLE_APP)

static const struct world_input plug = { 1, OUTLET_CABLE_PLUGGED, "", 0 };
static const struct world_input ask = { 2, OUTLET_DEVICE_REQUESTS_CHARGING, "04AB", 0 };
static const struct world_input report = { 3, OUTLET_CHARGING, "04ab", 1000 };
static const struct world_input second_report = { 4, OUTLET_CHARGING, "04ab", 200 };
static const struct world_input stop = { 5, OUTLET_DEVICE_REQUESTS_STOP, "04ab", 30 };

static enum verdict send(struct aws_process *p, const struct world_input *in)
{
	enum verdict v = VERDICT_COUNT;

	ev_clock_manual_advance(&p->world->clock, EV_NS_PER_S);
	assert_int_equal(world_send(p, in, &v), EV_OK);
	return v;
}

/* An outlet that charges. */
static struct aws_world *charging(struct aws_process *p)
{
	struct aws_world *w = world_new();

	process_start(p, w, "a", BOTH, 100);
	world_register(w, p);
	assert_int_equal(send(p, &plug), VERDICT_APPLIED);
	assert_int_equal(send(p, &ask), VERDICT_APPLIED);
	assert_int_equal(world_deliver(w, p), EV_OK);
	return w;
}

static void done(struct aws_world *w, struct aws_process *p)
{
	process_stop(p);
	world_free(w);
}

static void assert_balanced(struct aws_world *w, struct aws_process *p, int64_t total)
{
	struct energy_books b = world_books(w, p);

	assert_int_equal(b.outlets_total_mwh, total);
	assert_int_equal(b.sessions_mwh + b.outlets_unassigned_mwh, total);
	assert_int_equal(b.items_open_mwh, b.outlets_unassigned_mwh);
}

static struct outlet load(struct aws_process *p)
{
	struct store *s = aws_store_store(p->store);
	struct outlet o;

	assert_int_equal(s->ops->load_outlet(s, &p->world->outlet_id, &o), EV_OK);
	return o;
}

static void a_usual_report_is_one_write_and_one_put(void **state)
{
	struct aws_process p;
	struct aws_world *w = charging(&p);
	uint64_t writes;
	uint64_t puts;

	(void)state;
	assert_int_equal(load(&p).state, OUTLET_CHARGING);
	assert_int_equal(p.n_commands, 1);
	for (unsigned i = 0; i < 10; i++) {
		const struct world_input in = { 100 + i, OUTLET_CHARGING, "04ab", 10 };

		writes = world_writes(w);
		puts = world_puts(w);
		assert_int_equal(send(&p, &in), VERDICT_APPLIED);
		assert_int_equal(world_writes(w) - writes, 1);
		assert_int_equal(world_puts(w) - puts, 1);
	}
	writes = world_writes(w);
	assert_int_equal(send(&p, &(struct world_input){ 105, OUTLET_CHARGING, "04ab", 10 }),
			 VERDICT_DUPLICATE);
	assert_int_equal(world_writes(w) - writes, 1); /* a read: is the row still what it was? */
	assert_int_equal(world_deliver(w, &p), EV_OK);
	assert_balanced(w, &p, 100);
	done(w, &p);
}

/* Row, put of the event, row cleared. */
static void another_input_is_cleared_by_a_second_write(void **state)
{
	struct aws_process p;
	struct aws_world *w = charging(&p);
	uint64_t writes = world_writes(w);
	uint64_t puts = world_puts(w);

	(void)state;
	assert_int_equal(send(&p, &stop), VERDICT_APPLIED);
	assert_int_equal(world_writes(w) - writes, 2);
	assert_int_equal(world_puts(w) - puts, 1);
	assert_int_equal(world_sweep(w, &p), 0); /* nothing is left with any row */
	done(w, &p);
}

static void identities_rotate_into_one_block_a_sixteen(void **state)
{
	struct aws_process p;
	struct aws_process q;
	struct aws_world *w = charging(&p);
	uint64_t writes = world_writes(w);

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		send(&p, &(struct world_input){ 100 + i, OUTLET_CHARGING, "04ab", 1 });
	assert_int_equal(world_writes(w) - writes, 42);
	process_start(&q, w, "b", BOTH, 100); /* a new process reads them with the row */
	writes = world_writes(w);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(
			send(&q, &(struct world_input){ 100 + i, OUTLET_CHARGING, "04ab", 1 }),
			VERDICT_DUPLICATE);
	/* The row and its blocks once; then a look for each whether the row is still that. */
	assert_int_equal(world_writes(w) - writes, 2 + 39);
	assert_int_equal(world_deliver(w, &q), EV_OK);
	assert_balanced(w, &q, 40);
	process_stop(&q);
	done(w, &p);
}

/* Both have the row in memory; each finds out that the other has written. */
static void two_processes_write_in_turn(void **state)
{
	struct aws_process p;
	struct aws_process q;
	struct aws_world *w = charging(&p);
	struct aws_store_stats st;

	(void)state;
	process_start(&q, w, "b", BOTH, 100);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(send(i % 2 == 0 ? &p : &q,
				      &(struct world_input){ 100 + i, OUTLET_CHARGING, "04ab", 7 }),
				 VERDICT_APPLIED);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(send(i % 2 == 1 ? &p : &q,
				      &(struct world_input){ 100 + i, OUTLET_CHARGING, "04ab", 7 }),
				 VERDICT_DUPLICATE);
	aws_store_stats(q.store, &st);
	assert_true(st.conflicts >= 4);
	assert_int_equal(world_deliver(w, &p), EV_OK);
	assert_balanced(w, &p, 70);
	process_stop(&q);
	done(w, &p);
}

/* The write took place, its answer did not come: the second attempt fails its own condition. */
static void a_write_whose_answer_is_lost_counts_once(void **state)
{
	static const enum cloud_fault faults[] = { CLOUD_LOST_ANSWER, CLOUD_LOST_REQUEST,
						   CLOUD_SERVER_ERROR, CLOUD_GARBAGE,
						   CLOUD_THROTTLED };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(faults); i++) {
		struct aws_process p;
		struct aws_world *w = charging(&p);
		enum verdict v;
		size_t left;

		w->countdown = 1;
		w->fault = faults[i];
		w->operation = "UpdateItem";
		if (world_send(&p, &report, &v) != EV_OK)
			assert_int_equal(world_send(&p, &report, &v), EV_OK);
		assert_true(w->struck);
		assert_true(v == VERDICT_APPLIED || v == VERDICT_DUPLICATE);
		assert_int_equal(aws_store_flush(p.store, INT64_MAX, &left), EV_OK);
		assert_int_equal(left, 0);
		assert_int_equal(world_deliver(w, &p), EV_OK);
		assert_balanced(w, &p, 1000);
		done(w, &p);
	}
}

/* The same with more identities than a row has room for: those in its block as well. */
static void a_group_whose_answer_is_lost_counts_once(void **state)
{
	static const enum cloud_fault faults[] = { CLOUD_LOST_ANSWER, CLOUD_LOST_REQUEST,
						   CLOUD_SERVER_ERROR, CLOUD_GARBAGE };
	struct world_input in[40];

	(void)state;
	for (unsigned i = 0; i < EV_ARRAY_LEN(in); i++)
		in[i] = (struct world_input){ 100 + i, OUTLET_CHARGING, "04ab", 1 };
	for (size_t i = 0; i < EV_ARRAY_LEN(faults); i++) {
		struct aws_process p;
		struct aws_world *w = charging(&p);
		size_t left;

		w->countdown = 1;
		w->fault = faults[i];
		w->operation = "UpdateItem";
		if (world_send_group(&p, in, EV_ARRAY_LEN(in)) != EV_OK)
			assert_int_equal(world_send_group(&p, in, EV_ARRAY_LEN(in)), EV_OK);
		assert_true(w->struck);
		assert_int_equal(world_send_group(&p, in, EV_ARRAY_LEN(in)), EV_OK);
		assert_int_equal(aws_store_flush(p.store, INT64_MAX, &left), EV_OK);
		assert_int_equal(world_deliver(w, &p), EV_OK);
		assert_balanced(w, &p, EV_ARRAY_LEN(in));
		done(w, &p);
	}
}

/* What could not be sent stays with its row, and is sent by the next flush. */
static void effects_that_fail_are_sent_later(void **state)
{
	struct aws_process p;
	struct aws_world *w = charging(&p);
	struct aws_store_stats st;
	size_t left = 0;

	(void)state;
	send(&p, &report);
	cloud_set_rate(w->cloud, CLOUD_DENIED, 0);
	w->operation = "PutRecords";
	w->fault = CLOUD_DENIED;
	w->countdown = 1;
	assert_int_equal(send(&p, &stop), VERDICT_APPLIED);
	assert_true(w->struck);
	aws_store_stats(p.store, &st);
	assert_int_equal(st.unsent, 1);
	assert_int_equal(world_deliver(w, &p), EV_OK);
	assert_int_equal(world_books(w, &p).sessions_mwh, 1000);
	assert_int_equal(aws_store_flush(p.store, INT64_MAX, &left), EV_OK);
	assert_int_equal(left, 0);
	assert_int_equal(world_deliver(w, &p), EV_OK);
	assert_balanced(w, &p, 1030);
	assert_int_equal(world_sweep(w, &p), 0);
	done(w, &p);
}

static enum cloud_fault deny_puts(void *user, const struct cloud_attempt *a)
{
	const bool *down = user;

	return *down && a->service == AWS_KINESIS ? CLOUD_DENIED : CLOUD_FINE;
}

static struct aws_world *without_stream(bool *down)
{
	struct aws_world *w = world_new();
	struct cloud_config c = { .seed = 9, .clock = &w->clock, .fault = deny_puts, .user = down };

	cloud_free(w->cloud);
	w->cloud = cloud_new(&c);
	cloud_provision(w->cloud, &w->resources);
	return w;
}

/* Writes version n + 1 with an event that no other replaces. */
static ev_err commit_denial(struct aws_process *p, unsigned n)
{
	struct store *s = aws_store_store(p->store);
	struct ev_uuid id = { { 7 } };
	struct outlet o = outlet_new(&id, 1000, 1);
	struct charging_event event = { .initiator = INITIATOR_OUTLET_BACKEND,
					.outlet_id = id,
					.state = OUTLET_DEVICE_DENIES_CHARGING };
	struct unit u = { .kind = UNIT_OUTLET, .expected = n, .outlet = &o };
	ev_err result;
	ev_err e;

	event.event_id.b[0] = (uint8_t)n;
	event.has_event_id = true;
	o.version = n + 1;
	u.events = &event;
	u.n_events = 1;
	assert_int_equal(s->ops->begin(s), EV_OK);
	e = s->ops->commit(s, &u, 1, &result);
	assert_int_equal(s->ops->end(s), e);
	return e;
}

/* Reports replace each other's events; what may not be replaced fills the row. */
static void a_row_carries_sixteen_effects_and_then_takes_no_more(void **state)
{
	bool down = true;
	struct aws_world *w = without_stream(&down);
	struct aws_process p;
	size_t left = 0;

	(void)state;
	process_start(&p, w, "a", BOTH, 100);
	for (unsigned n = 0; n < 16; n++)
		assert_int_equal(commit_denial(&p, n), EV_OK);
	assert_int_equal(commit_denial(&p, 16), EV_FULL);
	down = false;
	assert_int_equal(aws_store_flush(p.store, INT64_MAX, &left), EV_OK);
	assert_int_equal(left, 0);
	assert_int_equal(cloud_n_records(w->cloud, w->resources.event_stream), 16);
	done(w, &p);
}

/* --- crashes --- */

static const struct world_input day[] = {
	{ 1, OUTLET_CABLE_PLUGGED, "", 0 },
	{ 2, OUTLET_DEVICE_REQUESTS_CHARGING, "04AB", 0 },
	{ 3, OUTLET_CHARGING, "04ab", 1000 },
	{ 4, OUTLET_CHARGING, "04ab", 200 },
	{ 5, OUTLET_DEVICE_REQUESTS_STOP, "04ab", 30 },
	{ 6, OUTLET_AVAILABLE, "", 0 },
	{ 7, OUTLET_CHARGING, "stray", 4 }, /* unassigned, and a stop for the device */
	{ 8, OUTLET_DEVICE_REQUESTS_CHARGING, "04ab", 0 }, /* waits for the plug */
	{ 9, OUTLET_CABLE_PLUGGED, "", 0 },
	{ 10, OUTLET_CHARGING, "04ab", 500 },
	{ 11, OUTLET_DEVICE_REQUESTS_STOP, "04ab", 0 },
};
#define DAY_MWH 1734

/* Goes on with the day at *at until it is over or the process dies; false: it died. */
static bool live(struct aws_world *w, struct aws_process *p, size_t *at)
{
	for (; *at < EV_ARRAY_LEN(day); ++*at) {
		ev_err e;

		ev_clock_manual_advance(&w->clock, EV_NS_PER_S);
		e = world_send(p, &day[*at], NULL);
		if (e == EV_OK)
			e = world_deliver(w, p);
		if (cloud_is_dead(p->caller))
			return false;
		assert_int_equal(e, EV_OK);
	}
	return true;
}

/* Everything comes again, as after a fail-over: nothing may change any more. */
static void assert_all_done(struct aws_world *w, struct aws_process *p)
{
	struct aws_store_stats st;
	size_t left = 0;

	assert_int_equal(aws_store_flush(p->store, INT64_MAX, &left), EV_OK);
	world_sweep(w, p);
	assert_int_equal(world_deliver(w, p), EV_OK);
	assert_balanced(w, p, DAY_MWH);
	for (size_t i = 0; i < EV_ARRAY_LEN(day); i++)
		assert_int_equal(world_send(p, &day[i], NULL), EV_OK);
	assert_int_equal(world_redeliver(w, p), EV_OK);
	world_sweep(w, p);
	assert_int_equal(world_deliver(w, p), EV_OK);
	assert_balanced(w, p, DAY_MWH);
	assert_int_equal(world_sweep(w, p), 0);
	aws_store_stats(p->store, &st);
	assert_int_equal(st.unsent, 0);
	assert_int_equal(world_books(w, p).n_parked, 0);
	assert_int_equal(world_books(w, p).outlets_unassigned_mwh, 4);
	assert_int_equal(world_books(w, p).n_live_sessions, 0);
	assert_int_equal(world_books(w, p).n_dead_letters_open, 0);
	/* Two starts, and the stop of a device that charges without a session. */
	assert_true(cloud_n_messages(w->cloud, w->resources.commands_out) >= 3);
}

/* True: the process died at its call number n. */
static bool die_at(uint64_t n, enum cloud_fault how)
{
	struct aws_world *w = world_new();
	struct aws_process p;
	struct aws_process heir;
	size_t at = 0;
	bool died;

	process_start(&p, w, "a", BOTH, 100);
	world_register(w, &p);
	w->countdown = n;
	w->fault = how;
	w->victim = p.caller;
	died = !live(w, &p, &at);
	w->countdown = 0;
	if (died) {
		process_start(&heir, w, "b", BOTH, 100);
		w->victim = NULL;
		world_sweep(w, &heir);
		assert_int_equal(world_deliver(w, &heir), EV_OK);
		assert_true(live(w, &heir, &at));
		assert_all_done(w, &heir);
		process_stop(&heir);
	} else {
		assert_all_done(w, &p);
	}
	done(w, &p);
	return died;
}

static void a_death_at_any_call_loses_and_doubles_nothing(void **state)
{
	static const enum cloud_fault how[] = { CLOUD_DIES_BEFORE, CLOUD_DIES_AFTER };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(how); i++) {
		uint64_t n = 1;

		while (die_at(n, how[i]))
			n++;
		assert_true(n > 40);
	}
}

/* The same with faults that the process survives. */
static void a_fault_at_any_call_loses_and_doubles_nothing(void **state)
{
	static const enum cloud_fault faults[] = { CLOUD_LOST_ANSWER, CLOUD_LOST_REQUEST,
						   CLOUD_DENIED, CLOUD_GARBAGE, CLOUD_PARTIAL };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(faults); i++) {
		for (uint64_t n = 1; n < 60; n++) {
			struct aws_world *w = world_new();
			struct aws_process p;
			size_t left;

			process_start(&p, w, "a", BOTH, 100);
			world_register(w, &p);
			w->countdown = n;
			w->fault = faults[i];
			for (size_t at = 0; at < EV_ARRAY_LEN(day); at++) {
				ev_clock_manual_advance(&w->clock, EV_NS_PER_S);
				for (unsigned k = 0; world_send(&p, &day[at], NULL) != EV_OK; k++)
					assert_true(k < 2);
				/* Lanes flush each second. */
				while (aws_store_flush(p.store, INT64_MAX, &left) != EV_OK)
					assert_true(w->struck);
				for (unsigned k = 0; world_deliver(w, &p) != EV_OK; k++)
					assert_true(k < 2);
				while (aws_store_flush(p.store, INT64_MAX, &left) != EV_OK)
					assert_true(w->struck);
				assert_int_equal(world_deliver(w, &p), EV_OK);
			}
			assert_all_done(w, &p);
			done(w, &p);
		}
	}
}

/* --- energy that a person attaches --- */

static bool attach_dies_at(uint64_t n, enum cloud_fault how)
{
	struct aws_process p;
	struct aws_process heir;
	struct aws_world *w = charging(&p);
	struct outlet_job j = { .job = { .kind = JOB_ATTACH }, .outlet_id = w->outlet_id };
	struct job *job = &j.job;
	bool died;
	size_t left;

	send(&p, &(struct world_input){ 50, OUTLET_CHARGING, "stray", 4 });
	send(&p, &report);
	assert_int_equal(world_deliver(w, &p), EV_OK);
	memcpy(j.item_id.b, &(unsigned){ 50 }, sizeof(unsigned));
	j.item_id.b[8] = 1;
	j.session_id = load(&p).session_id;
	w->countdown = n;
	w->fault = how;
	w->victim = p.caller;
	pump_run(&p.pump, &job, 1);
	if (!cloud_is_dead(p.caller))
		(void)world_deliver(w, &p);
	died = cloud_is_dead(p.caller);
	process_start(&heir, w, "b", BOTH, 100);
	w->victim = NULL;
	w->countdown = 0;
	world_sweep(w, &heir);
	assert_int_equal(world_deliver(w, &heir), EV_OK);
	/* The person, who had no answer, tries again. */
	pump_run(&heir.pump, &job, 1);
	assert_int_equal(j.job.err, EV_OK);
	assert_true(j.job.verdict == VERDICT_APPLIED || j.job.verdict == VERDICT_DUPLICATE);
	assert_int_equal(world_redeliver(w, &heir), EV_OK);
	assert_int_equal(aws_store_flush(heir.store, INT64_MAX, &left), EV_OK);
	assert_int_equal(left, 0);
	assert_int_equal(world_books(w, &heir).sessions_mwh, 1004);
	assert_int_equal(world_books(w, &heir).outlets_unassigned_mwh, 0);
	assert_int_equal(world_books(w, &heir).n_items_open, 0);
	process_stop(&heir);
	done(w, &p);
	return died;
}

static void attached_energy_counts_once_whenever_the_process_dies(void **state)
{
	static const enum cloud_fault how[] = { CLOUD_DIES_BEFORE, CLOUD_DIES_AFTER };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(how); i++) {
		uint64_t n = 1;

		while (attach_dies_at(n, how[i]))
			n++;
		assert_true(n > 6);
	}
}

/* --- rows of the original's, and bad ones --- */

static void put_outlet(struct aws_world *w, const char *json)
{
	char body[4096];

	(void)snprintf(body, sizeof(body), "{\"TableName\":\"%s\",\"Item\":%s}",
		       w->resources.outlets, json);
	assert_int_equal(cloud_do(w->cloud, AWS_DYNAMODB, "PutItem", body, NULL), EV_OK);
}

static const char foreign_row[] =
	"{\"outletId\":{\"S\":\"11111111-1111-1111-1111-111111111111\"},"
	"\"chargerGroupId\":{\"S\":\"0b1c2d3e-4f50-4617-8829-3a4b5c6d7e8f\"},"
	"\"outletCode\":{\"S\":\"A123F11\"},\"address\":{\"S\":\"Some street 1\"},"
	"\"maxPower\":{\"N\":\"22000.0\"},\"outletState\":{\"S\":\"Charging\"},"
	"\"sessionId\":{\"S\":\"3f2b8c1e-7a4d-4e0b-9c55-0d1e2f3a4b5c\"},"
	"\"rfidTag\":{\"S\":\"04AB\"},\"startTime\":{\"S\":\"2023-06-13T10:20:01.000017Z\"},"
	"\"endTime\":{\"S\":\"2023-06-13T10:30:00Z\"},\"powerConsumption\":{\"N\":\"1.234\"},"
	"\"totalChargingSessions\":{\"N\":\"1\"},"
	"\"totalPowerConsumption\":{\"N\":\"1.234000000000000001\"}}";

static void a_row_of_the_originals_is_taken_over_unless_it_moved_on(void **state)
{
	struct aws_world *w = world_new();
	struct aws_process p;
	struct aws_store_stats st;
	enum verdict v;

	(void)state;
	process_start(&p, w, "a", BOTH, 100);
	put_outlet(w, foreign_row);
	assert_true(load(&p).foreign);
	/* The original writes it once more, unseen by the cache: the whole row, as it does. */
	put_outlet(w, foreign_row);
	assert_int_equal(send(&p, &report), VERDICT_APPLIED);
	assert_int_equal(load(&p).total_energy_mwh, 1235000);
	assert_true(load(&p).version > 1);
	aws_store_stats(p.store, &st);
	assert_int_equal(st.foreign, 1);
	put_outlet(w, foreign_row); /* it comes back, and our report with it goes */
	assert_int_equal(world_send(&p, &second_report, &v), EV_OK);
	assert_int_equal(v, VERDICT_APPLIED);
	assert_int_equal(load(&p).total_energy_mwh, 1234200);
	done(w, &p);
}

static void a_row_that_cannot_be_read_harms_only_its_own_inputs(void **state)
{
	struct aws_process p;
	struct aws_world *w = charging(&p);
	struct ev_uuid other = { { 0x33 } };
	struct ev_fail fail;

	(void)state;
	put_outlet(w, "{\"outletId\":{\"S\":\"33000000-0000-0000-0000-000000000000\"},"
		      "\"outletState\":{\"N\":\"7\"}}");
	assert_int_equal(world_send_to(&p, &other, &report, NULL), EV_CORRUPT);
	aws_store_last_fail(p.store, &fail);
	assert_int_equal(fail.code, EV_CORRUPT);
	assert_non_null(strstr(fail.text, w->resources.outlets));
	assert_non_null(strstr(fail.text, "33000000"));
	assert_int_equal(send(&p, &report), VERDICT_APPLIED);
	done(w, &p);
}

static void a_missing_table_and_a_refusal_are_named(void **state)
{
	static const struct {
		enum cloud_fault fault;
		ev_err code;
	} cases[] = { { CLOUD_MISSING, EV_IO }, { CLOUD_DENIED, EV_DENIED } };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct aws_process p;
		struct aws_world *w = charging(&p);
		struct ev_fail fail;

		w->fault = cases[i].fault;
		w->operation = "UpdateItem";
		w->countdown = 1;
		assert_int_equal(world_send(&p, &report, NULL), EV_IO);
		aws_store_last_fail(p.store, &fail);
		assert_int_equal(fail.code, cases[i].code);
		assert_non_null(strstr(fail.text, w->resources.outlets));
		assert_int_equal(send(&p, &report), VERDICT_APPLIED);
		done(w, &p);
	}
}

/* --- roles --- */

static ev_err close_session(struct aws_process *app, const struct ev_uuid *id, enum verdict *out)
{
	struct session_job j = { .job = { .kind = JOB_SESSION_CLOSE }, .session_id = *id };
	struct job *job = &j.job;

	pump_run(&app->pump, &job, 1);
	*out = j.job.verdict;
	return j.job.err;
}

static void the_app_alone_looks_at_outlets_or_says_that_it_cannot(void **state)
{
	struct aws_process p;
	struct aws_process app;
	struct aws_world *w = charging(&p);
	struct ev_uuid session_id = load(&p).session_id;
	struct store *s;
	bool seen;
	enum verdict v;

	(void)state;
	process_start(&app, w, "app", AWS_ROLE_APP, 100);
	s = aws_store_store(app.store);
	assert_int_equal(s->ops->seen(s, &w->outlet_id, &(struct identity){ { 1 } }, &seen),
			 EV_UNSUPPORTED);
	assert_int_equal(close_session(&app, &session_id, &v), EV_OK);
	assert_int_equal(v, VERDICT_REFUSED); /* the outlet runs it */
	w->fault = CLOUD_DENIED;
	w->operation = "GetItem";
	w->countdown = 1;
	assert_int_equal(close_session(&app, &session_id, &v), EV_UNSUPPORTED);
	process_stop(&app);
	done(w, &p);
}

/* --- what stays in memory --- */

static void rows_without_a_reason_to_stay_go(void **state)
{
	struct aws_world *w = world_new();
	struct aws_process p;
	struct aws_store_stats st;
	struct store *s;

	(void)state;
	process_start(&p, w, "a", BOTH, 4);
	s = aws_store_store(p.store);
	for (unsigned i = 0; i < 30; i++) {
		struct outlet_job j = { .job = { .kind = JOB_OUTLET_CREATE }, .max_power_mw = 1 };
		struct job *job = &j.job;

		j.outlet_id.b[0] = (uint8_t)i;
		j.outlet_id.b[1] = 1;
		pump_run(&p.pump, &job, 1);
		assert_int_equal(j.job.err, EV_OK);
		if (i % 3 == 0) {
			assert_int_equal(world_send_to(&p, &j.outlet_id, &plug, NULL), EV_OK);
			assert_int_equal(world_send_to(&p, &j.outlet_id, &ask, NULL), EV_OK);
		}
		aws_store_stats(p.store, &st);
		assert_int_equal(st.pinned, i / 3 + 1); /* requests that will lapse */
		assert_true(st.cached - st.pinned <= 4);
	}
	struct ev_uuid due[32];
	size_t n = 0;

	assert_int_equal(s->ops->due_outlets(s, INT64_MAX, due, 32, &n), EV_OK);
	assert_int_equal(n, 10);
	done(w, &p);
}

static void one_process_sweeps_at_a_time(void **state)
{
	struct aws_world *w = world_new();
	struct aws_process p;
	struct aws_sweep sweep = { .resources = &w->resources };

	(void)state;
	process_start(&p, w, "a", BOTH, 4);
	sweep.caller = cloud_caller(p.caller);
	assert_int_equal(aws_sweep_claim(&sweep, false, EV_LIT("one"), 1000, 100), EV_OK);
	assert_int_equal(aws_sweep_claim(&sweep, false, EV_LIT("two"), 1050, 100), EV_BUSY);
	assert_int_equal(aws_sweep_claim(&sweep, false, EV_LIT("one"), 1060, 100), EV_OK);
	assert_int_equal(aws_sweep_claim(&sweep, false, EV_LIT("two"), 1161, 100), EV_OK);
	assert_int_equal(aws_sweep_claim(&sweep, false, EV_LIT("one"), 1200, 100), EV_BUSY);
	done(w, &p);
}

/* A customer that the original registered, in capitals. */
static void a_tag_of_the_originals_is_found_by_its_index(void **state)
{
	struct aws_process p;
	struct aws_world *w = world_new();
	struct store *s;
	struct tag_claim claim;
	char body[1024];

	(void)state;
	process_start(&p, w, "a", BOTH, 100);
	s = aws_store_store(p.store);
	(void)snprintf(body, sizeof(body),
		       "{\"TableName\":\"%s\",\"Item\":{\"customerId\":{\"S\":"
		       "\"44444444-4444-4444-4444-444444444444\"},\"rfidTag\":{\"S\":\"AB12\"},"
		       "\"address\":{\"S\":\"\"},\"email\":{\"S\":\"\"},"
		       "\"paymentMethod\":{\"S\":\"card\"}}}",
		       w->resources.customers);
	assert_int_equal(cloud_do(w->cloud, AWS_DYNAMODB, "PutItem", body, NULL), EV_OK);
	assert_int_equal(s->ops->load_claim(s, &(struct rfid_tag){ 4, "AB12" }, &claim), EV_OK);
	assert_int_equal(claim.customer_id.b[0], 0x44);
	assert_int_equal(s->ops->load_claim(s, &(struct rfid_tag){ 4, "ab13" }, &claim),
			 EV_NOTFOUND);
	done(w, &p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_usual_report_is_one_write_and_one_put),
		cmocka_unit_test(another_input_is_cleared_by_a_second_write),
		cmocka_unit_test(identities_rotate_into_one_block_a_sixteen),
		cmocka_unit_test(two_processes_write_in_turn),
		cmocka_unit_test(a_write_whose_answer_is_lost_counts_once),
		cmocka_unit_test(a_group_whose_answer_is_lost_counts_once),
		cmocka_unit_test(effects_that_fail_are_sent_later),
		cmocka_unit_test(a_row_carries_sixteen_effects_and_then_takes_no_more),
		cmocka_unit_test(a_death_at_any_call_loses_and_doubles_nothing),
		cmocka_unit_test(a_fault_at_any_call_loses_and_doubles_nothing),
		cmocka_unit_test(attached_energy_counts_once_whenever_the_process_dies),
		cmocka_unit_test(a_row_of_the_originals_is_taken_over_unless_it_moved_on),
		cmocka_unit_test(a_row_that_cannot_be_read_harms_only_its_own_inputs),
		cmocka_unit_test(a_missing_table_and_a_refusal_are_named),
		cmocka_unit_test(the_app_alone_looks_at_outlets_or_says_that_it_cannot),
		cmocka_unit_test(rows_without_a_reason_to_stay_go),
		cmocka_unit_test(one_process_sweeps_at_a_time),
		cmocka_unit_test(a_tag_of_the_originals_is_found_by_its_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
