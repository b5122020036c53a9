/* process.c — backends and gateways: their parts, turn by turn, their deaths and starts. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "engine/aws/sender_direct.h"
#include "simaws/sim.h"

#define BATCH 16

static const struct {
	const char *name;
	unsigned roles;
} kinds[SIM_PROCESSES] = {
	{ "gateway-a", AWS_ROLE_GATEWAY }, { "gateway-b", AWS_ROLE_GATEWAY },
	{ "outlet-a", AWS_ROLE_OUTLET },   { "outlet-b", AWS_ROLE_OUTLET },
	{ "app-a", AWS_ROLE_APP },         { "app-b", AWS_ROLE_APP },
};

static bool has_part(unsigned roles, enum sim_part part)
{
	switch (part) {
	case PART_LANE:
	case PART_HOUSE:
	case PART_EVENTS:
		return (roles & (AWS_ROLE_OUTLET | AWS_ROLE_APP)) != 0;
	case PART_INTAKE:
		return (roles & AWS_ROLE_OUTLET) != 0;
	case PART_JOBS:
	case PART_TURN:
		return (roles & AWS_ROLE_GATEWAY) != 0;
	case PART_COUNT:
		break;
	}
	return false;
}

/* --- starting --- */

static void submit(void *user, struct job *j)
{
	struct sim_process *p = user;

	if (!plants_hurry(p, j))
		ev_list_push(&p->queue, &j->node);
}

static void must(struct sim_process *p, ev_err e)
{
	sim_must(p->sim, e == EV_OK, "%s does not start: %s", p->name, ev_err_text(e));
}

static void start_lane(struct sim_process *p)
{
	struct sim *s = p->sim;
	struct aws_store_config c = aws_store_defaults();

	must(p, aws_sender_direct_new(cloud_caller(p->callers[PART_LANE]), &s->clock.base,
				      &s->names, 20 * EV_NS_PER_S, &p->sender));
	c.caller = cloud_caller(p->callers[PART_LANE]);
	c.sender = p->sender;
	c.resources = &s->names;
	c.clock = &s->clock.base;
	c.rules = s->rules;
	c.roles = p->roles;
	c.seed[0] = 1;
	c.seed[1] = 2;
	c.max_rows = sim_chance(s, 50) ? 2 : 20000;
	plants_config(p, &c);
	must(p, aws_store_new(&c, &p->store));
	pump_init(&p->pump, aws_store_store(p->store), &s->clock.base, &p->rng.base, &s->rules);
	p->pump.apart = true;
	plants_install(p);
}

static void start_intake(struct sim_process *p)
{
	struct sim *s = p->sim;
	struct aws_intake_config c = aws_intake_defaults();

	c.caller = cloud_caller(p->callers[PART_INTAKE]);
	c.resources = &s->names;
	c.clock = &s->clock.base;
	c.receives = 2;
	c.submit = submit;
	c.user = p;
	c.is_busy = process_is_busy;
	must(p, aws_intake_new(&c, &p->intake));
}

static void start_events(struct sim_process *p)
{
	struct sim *s = p->sim;
	struct aws_consumer_config c = aws_consumer_defaults();
	bool app = p->roles == AWS_ROLE_APP;

	c.caller = cloud_caller(p->callers[PART_EVENTS]);
	c.clock = &s->clock.base;
	c.rng = &p->rng.base;
	c.stream = s->names.event_stream;
	c.dead_letters = s->names.dead_letter_stream;
	c.leases = app ? s->names.app_leases : s->names.outlet_leases;
	c.from = app ? INITIATOR_OUTLET_BACKEND : INITIATOR_APP_BACKEND;
	c.worker = ev_str_from(p->worker);
	c.submit = submit;
	c.is_busy = process_is_busy;
	c.user = p;
	must(p, aws_consumer_new(&c, &p->consumer));
}

static void start_front(struct sim_process *p)
{
	struct sim *s = p->sim;
	struct aws_front_config c = aws_front_defaults();

	c.jobs_caller = cloud_caller(p->callers[PART_JOBS]);
	c.commands_caller = cloud_caller(p->callers[PART_TURN]);
	c.resources = &s->names;
	c.clock = &s->clock.base;
	c.rng = &p->rng.base;
	c.id = ev_str_from(p->worker);
	c.on_command = gateway_command;
	c.user = p;
	must(p, aws_front_new(&c, &p->front));
}

bool process_is_busy(void *user)
{
	const struct sim_process *p = user;

	return p->queue.n > 200;
}

static void start(struct sim_process *p)
{
	struct sim *s = p->sim;

	p->life++;
	(void)snprintf(p->worker, sizeof(p->worker), "%s-%u", p->name, p->life);
	ev_rng_seeded_init(&p->rng, ev_rng_u64(&s->ids.base));
	for (unsigned k = 0; k < PART_COUNT; k++) {
		if (p->callers[k] != NULL)
			cloud_revive(p->callers[k]);
	}
	if (has_part(p->roles, PART_LANE))
		start_lane(p);
	if (has_part(p->roles, PART_INTAKE))
		start_intake(p);
	if (has_part(p->roles, PART_EVENTS))
		start_events(p);
	if (has_part(p->roles, PART_TURN))
		start_front(p);
	p->ticked_ns = p->swept_ns = INT64_MIN / 2;
	p->n_found = 0;
	p->up = true;
	sim_trace(s, "  %s starts", p->worker);
}

void processes_open(struct sim *s)
{
	for (unsigned i = 0; i < SIM_PROCESSES; i++) {
		struct sim_process *p = &s->processes[i];

		p->sim = s;
		p->place = i;
		p->name = kinds[i].name;
		p->roles = kinds[i].roles;
		for (unsigned k = 0; k < PART_COUNT; k++) {
			if (has_part(p->roles, (enum sim_part)k))
				p->callers[k] = cloud_caller_new(s->cloud, p->name);
		}
		start(p);
	}
}

/* --- death --- */

bool process_is_dead(const struct sim_process *p)
{
	for (unsigned k = 0; k < PART_COUNT; k++) {
		if (p->callers[k] != NULL && cloud_is_dead(p->callers[k]))
			return true;
	}
	return false;
}

bool process_is_alive(const struct sim_process *p)
{
	return p->up && !process_is_dead(p);
}

/* All of its threads end at once; what they have in hand is buried between two steps. */
void process_kill(struct sim_process *p)
{
	for (unsigned k = 0; k < PART_COUNT; k++) {
		if (p->callers[k] != NULL)
			cloud_kill(p->callers[k]);
	}
}

static void count(struct sim_process *p)
{
	struct sim_reached *r = p->sim->reached;
	struct aws_store_stats store;
	struct aws_consumer_state consumer;
	struct aws_front_state front;

	if (p->store != NULL) {
		aws_store_stats(p->store, &store);
		r->conflicts += store.conflicts;
		r->failed_groups += store.failed_groups;
		r->timers += p->pump.outlet.stats.timers;
		r->parked += p->pump.outlet.stats.parked;
		r->unassigned += p->pump.outlet.stats.unassigned_mwh > 0;
	}
	if (p->consumer != NULL) {
		aws_consumer_state(p->consumer, &consumer);
		r->replayed_records += consumer.repeated;
		r->expired_iterators += consumer.expired_iterators;
		r->lost_leases += consumer.lost_leases;
	}
	if (p->front != NULL) {
		aws_front_state(p->front, &front);
		r->handed_over += front.handed_over;
	}
}

static void take_down(struct sim_process *p)
{
	struct ev_node *node;

	count(p);
	while ((node = ev_list_pop(&p->queue)) != NULL) {
		struct job *j = (struct job *)node;

		j->err = EV_CLOSED;
		j->owner->done(j->owner, j);
	}
	aws_intake_free(p->intake);
	aws_consumer_free(p->consumer);
	aws_front_free(p->front);
	p->intake = NULL;
	p->consumer = NULL;
	p->front = NULL;
	if (p->store != NULL) {
		pump_deinit(&p->pump);
		aws_store_free(p->store);
		p->sender->ops->free(p->sender);
		plants_remove(p);
	}
	p->store = NULL;
	p->sender = NULL;
	p->up = false;
}

static void bury(struct sim_process *p)
{
	struct sim *s = p->sim;

	sim_trace(s, "  %s dies", p->worker);
	s->reached->crashes++;
	take_down(p);
	p->up_at_ns = sim_mono(s) + (int64_t)sim_below(s, 20) * EV_NS_PER_S;
	if (p->roles == AWS_ROLE_GATEWAY)
		gateway_died(p);
}

void processes_close(struct sim *s)
{
	for (unsigned i = 0; i < SIM_PROCESSES; i++) {
		struct sim_process *p = &s->processes[i];

		if (p->sim == NULL)
			continue;
		process_kill(p);
		if (p->up)
			take_down(p);
		for (unsigned k = 0; k < PART_COUNT; k++)
			cloud_caller_free(p->callers[k]);
	}
}

/* --- the gateway's jobs --- */

static void jobs_turn(struct sim_process *p)
{
	struct job *jobs[BATCH];
	size_t n = 0;
	struct ev_node *node;

	while (n < BATCH && (node = ev_list_pop(&p->queue)) != NULL)
		jobs[n++] = (struct job *)node;
	if (n == 0)
		return;
	aws_front_run(p->front, jobs, n);
	for (size_t i = 0; i < n; i++)
		jobs[i]->owner->done(jobs[i]->owner, jobs[i]);
}

/* --- turns --- */

static void run_part(struct sim_process *p, enum sim_part part)
{
	ev_err e = EV_OK;

	switch (part) {
	case PART_LANE:
		process_lane_turn(p);
		break;
	case PART_HOUSE:
		process_house_turn(p);
		break;
	case PART_INTAKE:
		e = aws_intake_turn(p->intake, 0);
		break;
	case PART_EVENTS:
		e = aws_consumer_turn(p->consumer, 0);
		break;
	case PART_JOBS:
		jobs_turn(p);
		break;
	case PART_TURN:
		e = aws_front_turn(p->front, 0);
		break;
	case PART_COUNT:
		break;
	}
	assert(e != EV_CLOSED || process_is_dead(p));
}

void process_turn(struct sim_process *p, enum sim_part part)
{
	bool outer = p->sim->in_turn;

	if (!p->up || p->callers[part] == NULL || p->busy[part] || process_is_dead(p))
		return;
	p->busy[part] = true;
	p->sim->in_turn = true;
	run_part(p, part);
	p->sim->in_turn = outer;
	p->busy[part] = false;
	if (process_is_dead(p))
		process_kill(p);
}

static void look_after(struct sim_process *p)
{
	if (p->up && process_is_dead(p))
		bury(p);
	if (!p->up && sim_mono(p->sim) >= p->up_at_ns)
		start(p);
}

void processes_step(struct sim *s)
{
	for (unsigned i = 0; i < SIM_PROCESSES; i++) {
		struct sim_process *p = &s->processes[i];

		look_after(p);
		if (p->up && s->rough && sim_below(s, 600) == 0)
			process_kill(p);
		for (unsigned k = 0; k < PART_COUNT; k++) {
			if (sim_chance(s, 65))
				process_turn(p, (enum sim_part)k);
		}
		look_after(p);
	}
}

void processes_round(struct sim *s)
{
	for (unsigned i = 0; i < SIM_PROCESSES; i++) {
		struct sim_process *p = &s->processes[i];

		look_after(p);
		for (unsigned k = PART_COUNT; k > 0; k--)
			process_turn(p, (enum sim_part)(k - 1));
	}
}

bool processes_are_idle(struct sim *s)
{
	for (unsigned i = 0; i < SIM_PROCESSES; i++) {
		if (!s->processes[i].up || s->processes[i].queue.n > 0)
			return false;
	}
	return true;
}

struct sim_process *process_of(struct sim *s, unsigned role)
{
	unsigned from = (unsigned)sim_below(s, SIM_PROCESSES);

	for (unsigned i = 0; i < SIM_PROCESSES; i++) {
		struct sim_process *p = &s->processes[(from + i) % SIM_PROCESSES];

		if (process_is_alive(p) && p->roles == role)
			return p;
	}
	return NULL;
}

/* --- the orderly end --- */

static bool drain(struct sim_process *p)
{
	bool done = true;

	if (p->intake != NULL)
		done = aws_intake_drain(p->intake) && done;
	if (p->consumer != NULL)
		done = aws_consumer_drain(p->consumer) && done;
	if (p->front != NULL)
		done = aws_front_drain(p->front) && done;
	return done;
}

void processes_drain(struct sim *s)
{
	bool done = false;

	for (unsigned i = 0; i < 120 && !done; i++) {
		done = true;
		for (unsigned k = 0; k < SIM_PROCESSES; k++)
			done = drain(&s->processes[k]) && done;
		sim_advance(s, EV_NS_PER_S);
		processes_round(s);
	}
	sim_must(s, done, "a process never gives back what it holds");
}

/* --- tasks --- */

static void task_done(struct job_owner *owner, struct job *j)
{
	struct sim_task *t = (struct sim_task *)owner;

	if (process_is_alive(t->process)) {
		if (t->process->roles == AWS_ROLE_GATEWAY)
			gateway_done(t);
		else
			people_done(t);
	}
	(void)j;
	free(t);
}

struct sim_task *task_new(struct sim *s, enum job_kind kind, size_t size)
{
	struct sim_task *t = calloc(1, (sizeof(*t) + 15) / 16 * 16 + size);

	assert(t != NULL);
	t->job = (struct job *)(void *)((char *)t + (sizeof(*t) + 15) / 16 * 16);
	t->job->kind = kind;
	t->sim = s;
	return t;
}

void task_drop(struct sim_task *t)
{
	free(t);
}

void task_submit(struct sim_process *p, struct sim_task *t)
{
	t->process = p;
	t->owner.done = task_done;
	t->job->owner = &t->owner;
	if (t->job->at_ns == 0)
		t->job->at_ns = sim_now(p->sim);
	ev_list_push(&p->queue, &t->job->node);
}
