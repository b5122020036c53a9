/* pump_fixture.c — see the header. */
#include "pump_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)

static int64_t fixture_now(void *user)
{
	struct pump_fixture *f = user;

	return ev_clock_wall_ns(&f->clock.base);
}

static void on_command(void *user, const struct device_command *c)
{
	struct pump_fixture *f = user;

	assert_true(f->n_commands < FIXTURE_COMMANDS_MAX);
	f->commands[f->n_commands++] = *c;
}

struct rfid_tag fixture_tag(const char *text)
{
	struct rfid_tag t;

	assert_int_equal(rfid_tag_set(&t, ev_str_from(text)), EV_OK);
	return t;
}

void fixture_run(struct pump_fixture *f, struct job *j)
{
	j->at_ns = ev_clock_wall_ns(&f->clock.base);
	pump_run(&f->pump, &j, 1);
}

static void register_outlet(struct pump_fixture *f)
{
	struct outlet_job j = { .job = { .kind = JOB_OUTLET_CREATE },
				.outlet_id = f->outlet_id,
				.max_power_mw = 22000000 };

	memcpy(j.info.code, "A1", 3);
	memcpy(j.info.address, "Street 1", 9);
	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_OK);
}

static void register_customer(struct pump_fixture *f)
{
	struct customer_job j = { .job = { .kind = JOB_CUSTOMER_CREATE },
				  .customer_id = f->customer_id,
				  .tag = f->tag };

	memcpy(j.fields.email, "a@b", 4);
	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_OK);
}

int fixture_setup(void **state)
{
	struct pump_fixture *f = calloc(1, sizeof(*f));
	struct outlet_rules rules = outlet_rules_default();
	struct memory_options o = { .now_ns = fixture_now, .clock_user = f, .rules = rules };
	struct memory_listener l = { .on_command = on_command, .user = f };

	assert_non_null(f);
	rules.report_while_stopping = true;
	o.rules = rules;
	ev_clock_manual_init(&f->clock, START_NS);
	ev_rng_seeded_init(&f->rng, 1);
	assert_int_equal(memory_open(&f->memory, &o), EV_OK);
	memory_set_listener(f->memory, &l);
	assert_int_equal(memory_query_open(f->memory, &f->query), EV_OK);
	pump_init(&f->pump, memory_store(f->memory), &f->clock.base, &f->rng.base, &rules);
	f->outlet_id = ev_rng_uuid(&f->rng.base);
	f->customer_id = ev_rng_uuid(&f->rng.base);
	f->tag = fixture_tag("Tag-Anna");
	register_outlet(f);
	register_customer(f);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct pump_fixture *f = *state;

	pump_deinit(&f->pump);
	f->query->ops->free(f->query);
	memory_free(f->memory);
	free(f);
	return 0;
}

void fixture_advance_s(struct pump_fixture *f, int64_t seconds)
{
	ev_clock_manual_advance(&f->clock, seconds * EV_NS_PER_S);
}

static struct device_job *new_job(struct pump_fixture *f, const char *body)
{
	size_t n = strlen(body);
	struct device_job *j = calloc(1, sizeof(*j) + n + 1);

	assert_non_null(j);
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->outlet_id = f->outlet_id;
	j->body_n = n;
	memcpy(j->body, body, n);
	return j;
}

static enum verdict run_and_free(struct pump_fixture *f, struct device_job *j)
{
	enum verdict v;

	fixture_run(f, &j->job);
	assert_int_equal(j->job.err, EV_OK);
	v = j->job.verdict;
	free(j);
	return v;
}

enum verdict fixture_send_as(struct pump_fixture *f, unsigned n, enum outlet_state change,
			     const char *tag, int64_t mwh)
{
	struct device_job *j = new_job(f, "{}");
	int64_t now_ns = ev_clock_wall_ns(&f->clock.base);

	j->decoded = true;
	memcpy(j->id.b, &n, sizeof(n));
	j->id.b[8] = 1;
	j->message = (struct device_message){
		.outlet_id = f->outlet_id,
		.tag = fixture_tag(tag),
		.period_start_ns = now_ns - EV_NS_PER_MIN,
		.period_end_ns = now_ns,
		.change = change,
		.energy_mwh = mwh,
	};
	return run_and_free(f, j);
}

enum verdict fixture_send(struct pump_fixture *f, enum outlet_state change, const char *tag,
			  int64_t mwh)
{
	f->n_messages++;
	return fixture_send_as(f, f->n_messages, change, tag, mwh);
}

enum verdict fixture_send_garbage(struct pump_fixture *f, const char *bytes)
{
	struct device_job *j = new_job(f, bytes);

	j->why = REASON_UNDECODABLE;
	memcpy(j->detail, "no message", 11);
	j->id.b[0] = 0xff;
	return run_and_free(f, j);
}

void fixture_tick(struct pump_fixture *f)
{
	struct tick_job j = { .job = { .kind = JOB_TICK } };

	fixture_run(f, &j.job);
	assert_int_equal(j.job.err, EV_OK);
}

struct outlet fixture_outlet(struct pump_fixture *f)
{
	struct outlet_row row;

	assert_int_equal(f->query->ops->outlet(f->query, &f->outlet_id, &row), EV_OK);
	return row.outlet;
}

static bool keep_first(void *user, const struct session *s)
{
	struct session *out = user;

	*out = *s;
	return false;
}

struct session fixture_session(struct pump_fixture *f)
{
	struct session s = { .version = 0 };

	assert_int_equal(f->query->ops->history(f->query, &f->customer_id, 0, 1, keep_first, &s),
			 EV_OK);
	assert_true(s.version > 0);
	return s;
}

struct energy_books fixture_books(struct pump_fixture *f)
{
	struct energy_books b;

	assert_int_equal(f->query->ops->books(f->query, &b), EV_OK);
	return b;
}

void fixture_assert_balanced(struct pump_fixture *f)
{
	struct energy_books b = fixture_books(f);

	assert_int_equal(b.outlets_total_mwh, b.sessions_mwh + b.outlets_unassigned_mwh);
	assert_int_equal(b.outlets_unassigned_mwh, b.items_open_mwh);
}
