/* aws_world.c — see the header. */
#include "aws_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"
#include "codec/event_proto.h"
#include "engine/aws/sender_direct.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)

static enum cloud_fault fault(void *user, const struct cloud_attempt *a)
{
	struct aws_world *w = user;

	if (w->countdown == 0 || (w->victim != NULL && a->caller != w->victim) ||
	    (w->operation != NULL && strcmp(w->operation, a->operation) != 0))
		return CLOUD_FINE;
	if (--w->countdown > 0)
		return CLOUD_FINE;
	w->struck = true;
	return w->fault;
}

struct aws_world *world_new(void)
{
	struct aws_world *w = calloc(1, sizeof(*w));
	struct cloud_config c = { .seed = 3 };

	assert_non_null(w);
	ev_clock_manual_init(&w->clock, START_NS);
	assert_int_equal(aws_resources_init(&w->resources, EV_LIT(AWS_PREFIX_DEFAULT)), EV_OK);
	c.clock = &w->clock;
	c.fault = fault;
	c.user = w;
	w->cloud = cloud_new(&c);
	cloud_provision(w->cloud, &w->resources);
	memset(w->outlet_id.b, 0x11, sizeof(w->outlet_id.b));
	memset(w->customer_id.b, 0x22, sizeof(w->customer_id.b));
	w->rules = outlet_rules_default();
	return w;
}

void world_free(struct aws_world *w)
{
	cloud_free(w->cloud);
	free(w);
}

static void on_command(void *user, const struct device_command *c)
{
	struct aws_process *p = user;

	(void)c;
	p->n_commands++;
}

void process_start(struct aws_process *p, struct aws_world *w, const char *name, unsigned roles,
		   size_t max_rows)
{
	struct aws_store_config c = aws_store_defaults();

	memset(p, 0, sizeof(*p));
	p->world = w;
	p->caller = cloud_caller_new(w->cloud, name);
	assert_int_equal(aws_sender_direct_new(cloud_caller(p->caller), &w->clock.base,
					       &w->resources, EV_NS_PER_S, &p->sender),
			 EV_OK);
	c.caller = cloud_caller(p->caller);
	c.sender = p->sender;
	c.resources = &w->resources;
	c.clock = &w->clock.base;
	c.rules = w->rules;
	c.roles = roles;
	c.max_rows = max_rows;
	c.parked_poll_ns = 0;
	c.on_command = on_command;
	c.user = p;
	assert_int_equal(aws_store_new(&c, &p->store), EV_OK);
	ev_rng_seeded_init(&p->rng, (uint64_t)name[0]);
	pump_init(&p->pump, aws_store_store(p->store), &w->clock.base, &p->rng.base, &w->rules);
	p->pump.apart = true;
}

void process_stop(struct aws_process *p)
{
	pump_deinit(&p->pump);
	aws_store_free(p->store);
	p->sender->ops->free(p->sender);
	cloud_caller_free(p->caller);
}

static ev_err run(struct aws_process *p, struct job *j)
{
	j->at_ns = ev_clock_wall_ns(&p->world->clock.base);
	pump_run(&p->pump, &j, 1);
	return j->err;
}

void world_register(struct aws_world *w, struct aws_process *p)
{
	struct outlet_job o = { .job = { .kind = JOB_OUTLET_CREATE },
				.outlet_id = w->outlet_id,
				.max_power_mw = 22000000 };
	struct customer_job c = { .job = { .kind = JOB_CUSTOMER_CREATE },
				  .customer_id = w->customer_id,
				  .tag = { 4, "04ab" } };

	assert_int_equal(run(p, &o.job), EV_OK);
	assert_int_equal(run(p, &c.job), EV_OK);
}

static struct device_job *job_of(struct aws_process *p, const struct ev_uuid *outlet_id,
				 const struct world_input *in)
{
	struct device_job *j = calloc(1, sizeof(*j));
	int64_t now_ns = ev_clock_wall_ns(&p->world->clock.base);

	assert_non_null(j);
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->job.at_ns = now_ns;
	j->outlet_id = *outlet_id;
	j->decoded = true;
	memcpy(j->id.b, &in->n, sizeof(in->n));
	j->id.b[8] = 1;
	j->message = (struct device_message){
		.outlet_id = *outlet_id,
		.period_start_ns = now_ns - EV_NS_PER_MIN,
		.period_end_ns = now_ns,
		.change = in->change,
		.energy_mwh = in->mwh,
	};
	assert_int_equal(rfid_tag_set(&j->message.tag, ev_str_from(in->tag)), EV_OK);
	return j;
}

ev_err world_send_to(struct aws_process *p, const struct ev_uuid *outlet_id,
		     const struct world_input *in, enum verdict *out)
{
	struct device_job *j = job_of(p, outlet_id, in);
	ev_err e = run(p, &j->job);

	if (out != NULL)
		*out = j->job.verdict;
	free(j);
	return e;
}

ev_err world_send_group(struct aws_process *p, const struct world_input *in, size_t n)
{
	struct job *jobs[WORLD_GROUP_MAX];
	struct device_job *of[WORLD_GROUP_MAX];
	ev_err first = EV_OK;

	assert_true(n <= WORLD_GROUP_MAX);
	for (size_t i = 0; i < n; i++) {
		of[i] = job_of(p, &p->world->outlet_id, &in[i]);
		jobs[i] = &of[i]->job;
	}
	pump_run(&p->pump, jobs, n);
	for (size_t i = 0; i < n; i++) {
		first = first == EV_OK ? of[i]->job.err : first;
		free(of[i]);
	}
	return first;
}

ev_err world_send(struct aws_process *p, const struct world_input *in, enum verdict *out)
{
	return world_send_to(p, &p->world->outlet_id, in, out);
}

struct taken {
	struct charging_event *of;
	size_t n, max;
};

static void take(void *user, const struct cloud_record *r)
{
	struct taken *t = user;
	enum reason why;

	if (t->n == t->max)
		return;
	assert_int_equal(event_proto_decode(r->data, &t->of[t->n], &why, NULL), EV_OK);
	t->n++;
}

/* One outlet alone: its records are in one shard, in order. */
size_t world_events(struct aws_world *w, struct charging_event *out, size_t max)
{
	struct taken t = { out, 0, max };

	assert_int_equal(cloud_each_record(w->cloud, w->resources.event_stream, take, &t), EV_OK);
	return t.n;
}

static ev_err deliver_from(struct aws_world *w, struct aws_process *p, size_t first)
{
	struct charging_event *events = calloc(WORLD_EVENTS_MAX, sizeof(*events));
	ev_err e = EV_OK;

	assert_non_null(events);
	for (size_t i = first; e == EV_OK && i < world_events(w, events, WORLD_EVENTS_MAX); i++) {
		struct event_job j = { .job = { .kind = JOB_EVENT }, .event = events[i] };

		assert_true(i + 1 < WORLD_EVENTS_MAX);
		j.id = events[i].event_id;
		e = run(p, &j.job);
		if (e == EV_OK && i >= w->n_delivered)
			w->n_delivered = i + 1;
	}
	free(events);
	return e;
}

ev_err world_deliver(struct aws_world *w, struct aws_process *p)
{
	return deliver_from(w, p, w->n_delivered);
}

ev_err world_redeliver(struct aws_world *w, struct aws_process *p)
{
	return deliver_from(w, p, 0);
}

struct sweeper {
	struct aws_process *p;
	size_t n;
};

static void adopt_outlet(void *user, const struct ev_uuid *id)
{
	struct sweeper *s = user;

	s->n++;
	assert_int_equal(aws_store_adopt(s->p->store, id, INT64_MAX), EV_OK);
}

static void adopt_session(void *user, const struct ev_uuid *id)
{
	struct sweeper *s = user;

	s->n++;
	assert_int_equal(aws_store_adopt_session(s->p->store, id, INT64_MAX), EV_OK);
}

size_t world_sweep(struct aws_world *w, struct aws_process *p)
{
	struct sweeper s = { p, 0 };
	char cursor[AWS_SWEEP_CURSOR] = "";
	struct aws_sweep sweep = {
		.caller = cloud_caller(p->caller),
		.resources = &w->resources,
		.rules = w->rules,
		.timer_before_ns = INT64_MIN,
		.unsent_before_ns = INT64_MAX,
		.plain_before_ns = INT64_MAX,
	};

	do {
		assert_int_equal(aws_sweep_outlets(&sweep, cursor, adopt_outlet, &s), EV_OK);
	} while (cursor[0] != '\0');
	do {
		assert_int_equal(aws_sweep_sessions(&sweep, cursor, adopt_session, &s), EV_OK);
	} while (cursor[0] != '\0');
	return s.n;
}

struct energy_books world_books(struct aws_world *w, struct aws_process *p)
{
	struct energy_books b;
	struct query *q;

	assert_int_equal(aws_query_new(cloud_caller(p->caller), &w->resources, &w->clock.base,
				       AWS_ROLE_OUTLET | AWS_ROLE_APP, &q),
			 EV_OK);
	assert_int_equal(q->ops->books(q, &b), EV_OK);
	q->ops->free(q);
	return b;
}

uint64_t world_writes(const struct aws_world *w)
{
	return cloud_n_calls(w->cloud, AWS_DYNAMODB, NULL);
}

uint64_t world_puts(const struct aws_world *w)
{
	return cloud_n_calls(w->cloud, AWS_KINESIS, NULL);
}
