/* people.c — customers with their app, and those who run the place. */
#include <assert.h>
#include <string.h>

#include "base/time.h"
#include "simaws/sim.h"

struct sim_process *people_ask(struct sim *s, struct sim_task *t, unsigned role)
{
	struct sim_process *p = process_of(s, role);

	if (p == NULL) {
		task_drop(t);
		return NULL;
	}
	task_submit(p, t);
	return p;
}

struct sim_task *people_outlet_job(struct sim *s, enum job_kind kind, unsigned device)
{
	struct sim_task *t = task_new(s, kind, sizeof(struct outlet_job));

	((struct outlet_job *)t->job)->outlet_id = s->devices[device].outlet_id;
	t->device = device;
	return t;
}

static struct sim_customer *any_customer(struct sim *s)
{
	return &s->customers[sim_below(s, SIM_CUSTOMERS)];
}

/* --- the App's people --- */

static void start_by_app(struct sim *s)
{
	struct sim_task *t = task_new(s, JOB_START, sizeof(struct session_job));
	struct session_job *j = (struct session_job *)t->job;

	j->customer_id = any_customer(s)->id;
	j->outlet_id = s->devices[sim_below(s, SIM_DEVICES)].outlet_id;
	j->session_id = ev_rng_uuid(&s->ids.base);
	sim_trace(s, "  somebody starts at %u by app", j->outlet_id.b[0]);
	s->reached->starts++;
	people_ask(s, t, AWS_ROLE_APP);
}

static void stop_by_app(struct sim *s)
{
	struct session found;
	struct sim_task *t;

	if (!books_pick_session(s, NULL, sim_chance(s, 95), &found))
		return;
	t = task_new(s, JOB_STOP, sizeof(struct session_job));
	((struct session_job *)t->job)->session_id = found.id;
	sim_trace(s, "  somebody stops by app");
	s->reached->stops++;
	people_ask(s, t, AWS_ROLE_APP);
}

static void block(struct sim *s)
{
	struct sim_task *t = task_new(s, JOB_CUSTOMER_BLOCK, sizeof(struct customer_job));
	struct customer_job *j = (struct customer_job *)t->job;

	j->customer_id = any_customer(s)->id;
	j->block = sim_chance(s, 30);
	people_ask(s, t, AWS_ROLE_APP);
}

/* --- the outlets' people --- */

static void attach(struct sim *s)
{
	struct unassigned_item item;
	struct session session;
	struct sim_task *t;
	struct outlet_job *j;

	if (!books_pick_item(s, &item) ||
	    !books_pick_session(s, &item.outlet_id, sim_chance(s, 30), &session))
		return;
	t = people_outlet_job(s, JOB_ATTACH, item.outlet_id.b[0]);
	j = (struct outlet_job *)t->job;
	j->item_id = item.id;
	j->session_id = session.id;
	sim_trace(s, "  somebody attaches %lld mWh at %u", (long long)item.mwh, t->device);
	people_ask(s, t, AWS_ROLE_OUTLET);
}

static void set_service(struct sim *s)
{
	struct sim_task *t = people_outlet_job(s, JOB_OUTLET_SERVICE,
					       (unsigned)sim_below(s, SIM_DEVICES));

	((struct outlet_job *)t->job)->out = sim_chance(s, 25);
	people_ask(s, t, AWS_ROLE_OUTLET);
}

static void change(struct sim *s)
{
	struct sim_task *t = people_outlet_job(s, JOB_OUTLET_CHANGE,
					       (unsigned)sim_below(s, SIM_DEVICES));
	struct outlet_job *j = (struct outlet_job *)t->job;

	j->set_power = true;
	j->max_power_mw = 1000000 * (1 + (int64_t)sim_below(s, 50));
	people_ask(s, t, AWS_ROLE_OUTLET);
}

void people_act(struct sim *s)
{
	uint64_t dice = sim_below(s, 100);
	unsigned device = (unsigned)sim_below(s, SIM_DEVICES);

	if (dice < 35)
		start_by_app(s);
	else if (dice < 60)
		stop_by_app(s);
	else if (dice < 68)
		block(s);
	else if (dice < 82)
		attach(s);
	else if (dice < 90)
		set_service(s);
	else if (dice < 95)
		change(s);
	else
		people_ask(s, people_outlet_job(s, JOB_OUTLET_FINISH, device), AWS_ROLE_OUTLET);
}

/* --- opening --- */

static void create_customer(struct sim *s, unsigned i)
{
	struct sim_task *t = task_new(s, JOB_CUSTOMER_CREATE, sizeof(struct customer_job));
	struct customer_job *j = (struct customer_job *)t->job;
	char name[] = "tag-0";

	name[4] = (char)('0' + i);
	s->customers[i] = (struct sim_customer){ .id = ev_rng_uuid(&s->ids.base),
						 .tag = sim_tag(name) };
	j->customer_id = s->customers[i].id;
	j->tag = s->customers[i].tag;
	people_ask(s, t, AWS_ROLE_APP);
}

void people_open(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_task *t = people_outlet_job(s, JOB_OUTLET_CREATE, i);

		((struct outlet_job *)t->job)->max_power_mw = 22000000;
		people_ask(s, t, AWS_ROLE_OUTLET);
	}
	for (unsigned i = 0; i < SIM_CUSTOMERS; i++)
		create_customer(s, i);
	for (unsigned i = 0; i < 40; i++) {
		sim_advance(s, EV_NS_PER_S);
		processes_round(s);
	}
	books_check(s);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		sim_must(s, s->before[i].outlet.version > 0, "outlet %u was not made", i);
	for (unsigned i = 0; i < SIM_CUSTOMERS; i++)
		sim_must(s, s->customers[i].exists, "customer %u was not made", i);
}

void people_done(struct sim_task *t)
{
	struct sim *s = t->sim;
	const struct customer_job *j = (const struct customer_job *)t->job;

	if (t->job->err != EV_OK)
		return;
	if (t->job->kind == JOB_ATTACH)
		s->reached->attached += t->job->verdict == VERDICT_APPLIED;
	if (t->job->kind != JOB_CUSTOMER_CREATE && t->job->kind != JOB_CUSTOMER_BLOCK)
		return;
	for (unsigned i = 0; i < SIM_CUSTOMERS; i++) {
		if (!ev_uuid_eq(&s->customers[i].id, &j->customer_id))
			continue;
		s->customers[i].exists = true;
		if (t->job->kind == JOB_CUSTOMER_BLOCK)
			s->customers[i].blocked = j->block;
	}
}
