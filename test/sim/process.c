/* process.c — backends: batches, faults at every port call, deaths, starting again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "sim.h"

static int64_t engine_now(void *user)
{
	return sim_now(user);
}

/* A fault that this call cannot have waits for the next that can. */
static bool can_strike(enum memory_point point, ev_err fault)
{
	if (point == MEMORY_AFTER_END)
		return fault == EV_CLOSED;
	return fault != EV_CONFLICT || point == MEMORY_AT_COMMIT;
}

static void begin_group(struct sim_process *p)
{
	bool pumped = p->role == ROLE_BOTH;

	assert(p->groups < SIM_GROUPS);
	p->group[p->groups].first = pumped ? p->pump.under_way.first : p->first;
	p->group[p->groups].n = pumped ? p->pump.under_way.n : p->n;
	p->group[p->groups].durable = false;
	p->groups++;
	p->denials = 0;
}

static ev_err strike(void *user, enum memory_point point)
{
	struct sim_process *p = user;

	if (p->quiet || point == MEMORY_AT_QUERY)
		return EV_OK;
	if (point == MEMORY_AT_BEGIN)
		begin_group(p);
	if (point == MEMORY_AFTER_END)
		p->group[p->groups - 1].durable = true;
	if (p->shots == 0)
		return EV_OK;
	if (p->countdown > 0) {
		p->countdown--;
		return EV_OK;
	}
	if (!can_strike(point, p->fault))
		return EV_OK;
	p->shots--;
	p->countdown = (unsigned)sim_below(p->sim, 20);
	p->sim->reached->faults++;
	p->sim->reached->crashes_after_commit += point == MEMORY_AFTER_END;
	sim_trace(p->sim, "  fault at point %d: %s", (int)point, ev_err_text(p->fault));
	return p->fault;
}

static void draw_faults(struct sim_process *p)
{
	static const ev_err kinds[] = { EV_CLOSED, EV_CLOSED,   EV_CLOSED,   EV_IO,
					EV_FULL,   EV_CONFLICT, EV_CONFLICT, EV_NOMEM };
	struct sim *s = p->sim;

	p->shots = 0;
	if (s->calm || sim_below(s, 1000) >= s->fault_permille)
		return;
	p->fault = kinds[sim_below(s, EV_ARRAY_LEN(kinds))];
	p->countdown = (unsigned)sim_below(s, 4 + sim_below(s, 90));
	p->shots = p->fault == EV_CLOSED ? 1 : 1 + (unsigned)sim_below(s, 3);
}

static void hear_command(void *user, const struct device_command *c)
{
	struct sim_process *p = user;

	assert(p->n_news < SIM_NEWS);
	p->news[p->n_news++] = *c;
}

static void hear_event(void *user, const struct stored_event *x)
{
	struct sim_process *p = user;
	const struct charging_event *e = &x->event;

	sim_trace(p->sim, "  event %llu by %s: outlet %u %s, session %02x%02x, %lld mWh",
		  (unsigned long long)x->seq, initiator_text(e->initiator), e->outlet_id.b[0],
		  outlet_state_text(e->state), e->session_id.b[0], e->session_id.b[1],
		  (long long)e->energy_mwh);
}

static void start_services(struct sim_process *p)
{
	struct sim *s = p->sim;

	pump_init(&p->pump, memory_store(p->memory), &s->clock.base, &s->ids.base, &s->rules);
	p->up = true;
}

static void open_process(struct sim *s, struct sim_process *p, enum sim_role role)
{
	struct memory_options o = {
		.now_ns = engine_now,
		.clock_user = s,
		.rules = s->rules,
		.seed = s->seed,
		.fault = strike,
		.fault_user = p,
	};
	struct memory_listener l = { .on_event = hear_event,
				     .on_command = hear_command,
				     .user = p };

	p->sim = s;
	p->role = role;
	sim_must(s, memory_open(&p->memory, &o) == EV_OK, "no memory");
	memory_set_listener(p->memory, &l);
	sim_must(s, memory_query_open(p->memory, &p->query) == EV_OK, "no memory");
	spy_install(p);
	start_services(p);
}

void sim_processes_open(struct sim *s)
{
	s->n_processes = s->mode == SIM_ONE ? 1 : 2;
	open_process(s, &s->processes[0], s->mode == SIM_ONE ? ROLE_BOTH : ROLE_OUTLET);
	if (s->mode == SIM_SPLIT)
		open_process(s, &s->processes[1], ROLE_APP);
}

static void drop_queue(struct sim_process *p)
{
	for (size_t i = 0; i < p->n_queue; i++)
		sim_task_free(p->queue[i]);
	p->n_queue = 0;
}

void sim_processes_close(struct sim *s)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		struct sim_process *p = &s->processes[i];

		drop_queue(p);
		if (p->query != NULL)
			p->query->ops->free(p->query);
		pump_deinit(&p->pump);
		memory_free(p->memory);
	}
}

struct sim_process *sim_outlet_process(struct sim *s)
{
	return &s->processes[0];
}

struct sim_process *sim_app_process(struct sim *s)
{
	return &s->processes[s->n_processes - 1];
}

struct sim_task *sim_task_new(enum job_kind kind, size_t size)
{
	struct sim_task *t = calloc(1, sizeof(*t));

	assert(t != NULL);
	if (size == 0)
		return t;
	t->job = calloc(1, size);
	assert(t->job != NULL);
	t->job->kind = kind;
	return t;
}

void sim_task_free(struct sim_task *t)
{
	if (t == NULL)
		return;
	free(t->job);
	free(t);
}

bool sim_submit(struct sim_process *p, struct sim_task *t)
{
	if (!p->up || p->n_queue == SIM_QUEUE) {
		sim_task_free(t);
		return false;
	}
	if (t->job != NULL)
		t->job->at_ns = sim_now(p->sim);
	p->queue[p->n_queue++] = t;
	return true;
}

/* --- one input, in a process of one role --- */

static ev_err run_record(struct sim_process *p, const struct sim_task *t)
{
	struct sim *s = p->sim;
	const struct sim_record *r;

	if (p->role == ROLE_APP) {
		r = &s->from_outlet.records[t->record];
		return app_service_event(&p->pump.app, &r->event, &r->id, r->at_ns);
	}
	r = &s->from_app.records[t->record];
	return outlet_service_event(&p->pump.outlet, &r->event, &r->id, r->at_ns);
}

static ev_err drop_letter(struct sim_process *p, struct dead_letter_job *j)
{
	struct keyed_put put = { .kind = PUT_DEAD_LETTER_STATUS };
	struct unit u = { .kind = UNIT_NONE, .puts = &put, .n_puts = 1 };
	ev_err result;

	put.status.id = j->id;
	put.status.status = DEAD_LETTER_DROPPED;
	put.status.at_ns = j->job.at_ns;
	j->job.verdict = VERDICT_APPLIED;
	j->job.err = p->pump.store->ops->commit(p->pump.store, &u, 1, &result);
	return j->job.err;
}

static ev_err replay_letter(struct sim_process *p, struct dead_letter_job *j)
{
	static char body[DEAD_LETTER_BODY_MAX];
	struct dead_letter d;
	ev_err e = p->pump.store->ops->load_dead_letter(p->pump.store, &j->id, &d, body);

	j->job.err = e;
	if (e != EV_OK)
		return e;
	if (d.status != DEAD_LETTER_OPEN || d.channel != INPUT_DEVICE_MESSAGE) {
		j->job.err = EV_CONFLICT;
		return EV_CONFLICT;
	}
	return outlet_service_replay(&p->pump.outlet, &d, j);
}

static ev_err run_tick(struct sim_process *p, struct tick_job *j)
{
	j->job.err = outlet_service_tick(&p->pump.outlet, 256, &j->more);
	return j->job.err;
}

static ev_err run_outlet_job(struct sim_process *p, struct job *j)
{
	struct outlet_service *o = &p->pump.outlet;

	switch (j->kind) {
	case JOB_DEVICE_MESSAGE:
		return outlet_service_message(o, (struct device_job *)j);
	case JOB_COMMAND_ACK:
		return outlet_service_command_ack(o, (struct command_job *)j);
	case JOB_COMMANDS:
		return outlet_service_commands(o, (struct command_job *)j);
	case JOB_OUTLET_CREATE:
		return outlet_service_create(o, (struct outlet_job *)j);
	case JOB_OUTLET_CHANGE:
		return outlet_service_change(o, (struct outlet_job *)j);
	case JOB_OUTLET_SERVICE:
	case JOB_OUTLET_RETIRE:
	case JOB_OUTLET_FINISH:
		return outlet_service_person(o, (struct outlet_job *)j);
	case JOB_ATTACH:
		return outlet_service_attach(o, (struct outlet_job *)j);
	case JOB_DEAD_LETTER_REPLAY:
		return replay_letter(p, (struct dead_letter_job *)j);
	case JOB_DEAD_LETTER_DROP:
		return drop_letter(p, (struct dead_letter_job *)j);
	case JOB_TICK:
		return run_tick(p, (struct tick_job *)j);
	case JOB_CUSTOMER_CREATE:
	case JOB_CUSTOMER_CHANGE:
	case JOB_CUSTOMER_BLOCK:
	case JOB_CUSTOMER_TAG:
	case JOB_CUSTOMER_ERASE:
	case JOB_START:
	case JOB_STOP:
	case JOB_SESSION_CLOSE:
	case JOB_EVENT:
	case JOB_COUNT:
		break;
	}
	return EV_UNSUPPORTED;
}

static ev_err run_app_job(struct sim_process *p, struct job *j)
{
	struct app_service *a = &p->pump.app;

	if (j->kind == JOB_START)
		return app_service_start(a, (struct session_job *)j);
	if (j->kind == JOB_STOP)
		return app_service_stop(a, (struct session_job *)j);
	if (j->kind == JOB_CUSTOMER_CREATE)
		return app_service_customer_create(a, (struct customer_job *)j);
	if (j->kind == JOB_CUSTOMER_BLOCK)
		return app_service_customer_block(a, (struct customer_job *)j);
	if (j->kind == JOB_CUSTOMER_TAG)
		return app_service_customer_tag(a, (struct customer_job *)j);
	if (j->kind == JOB_CUSTOMER_ERASE)
		return app_service_customer_erase(a, (struct customer_job *)j);
	return EV_UNSUPPORTED;
}

static ev_err run_task(struct sim_process *p, struct sim_task *t)
{
	if (t->job == NULL)
		return run_record(p, t);
	return p->role == ROLE_APP ? run_app_job(p, t->job) : run_outlet_job(p, t->job);
}

/* --- groups of a process that does not settle its events itself --- */

static bool is_answer(const struct sim_task *t, ev_err e)
{
	if (t->job == NULL)
		return e == EV_OK;
	return e == EV_OK || e == EV_NOTFOUND || e == EV_EXISTS || e == EV_DENIED ||
	       e == EV_CONFLICT || e == EV_INVALID;
}

static ev_err run_group(struct sim_process *p, struct sim_task **tasks, size_t n)
{
	struct store *store = p->pump.store;
	ev_err e = store->ops->begin(store);

	if (e != EV_OK)
		return e;
	for (size_t i = 0; i < n && e == EV_OK; i++) {
		e = run_task(p, tasks[i]);
		if (is_answer(tasks[i], e))
			e = EV_OK;
	}
	if (e == EV_OK)
		e = store->ops->end(store);
	else
		store->ops->abandon(store);
	effects_clear(&p->pump.effects); /* they are sent from what is durable */
	p->pump.stats.failed_groups += e != EV_OK;
	return e;
}

static ev_err run_span(struct sim_process *p, struct sim_task **tasks, size_t first, size_t n)
{
	p->first = first;
	p->n = n;
	return run_group(p, &tasks[first], n);
}

static void run_split(struct sim_process *p, struct sim_task **tasks, size_t n)
{
	if (n > 1 && run_span(p, tasks, 0, n) == EV_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		ev_err e = run_span(p, tasks, i, 1);

		if (e != EV_OK && tasks[i]->job != NULL)
			tasks[i]->job->err = e;
	}
}

static void run_pump(struct sim_process *p, struct sim_task **tasks, size_t n)
{
	struct job *jobs[SIM_BATCH];

	for (size_t i = 0; i < n; i++)
		jobs[i] = tasks[i]->job;
	pump_run(&p->pump, jobs, n);
}

/* --- batches --- */

static bool is_durable(const struct sim_process *p, size_t task)
{
	for (size_t g = 0; g < p->groups; g++) {
		if (p->group[g].durable && task >= p->group[g].first &&
		    task - p->group[g].first < p->group[g].n)
			return true;
	}
	return false;
}

/* Which tasks took place, by what the engine was seen to do; an answer must not say more. */
static void note_durable(struct sim_process *p, struct sim_task **tasks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct sim_task *t = tasks[i];

		t->alone = n == 1 && p->n_rivals == 0;
		t->durable = is_durable(p, i);
		sim_must(p->sim, t->durable || t->job == NULL || t->job->err != EV_OK,
			 "a %s was answered that is not durable", job_kind_text(t->job->kind));
		books_task(p->sim, t);
	}
	for (size_t i = 0; i < p->n_rivals; i++) {
		struct sim_task *t = p->rivals[i];

		t->durable = p->group[t->group].durable;
		books_task(p->sim, t);
	}
}

static void answer(struct sim_process *p, struct sim_task *t)
{
	if (t->job == NULL)
		return;
	if (t->job->kind == JOB_DEVICE_MESSAGE || t->job->kind == JOB_COMMANDS)
		network_answer(p->sim, t);
	else
		people_answered(p->sim, p, t);
}

/* As the loop does: first the answers, then what else the engine told. */
static void give_back(struct sim_process *p, struct sim_task **tasks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		answer(p, tasks[i]);
	for (size_t i = 0; i < p->n_rivals; i++) {
		if (p->rivals[i]->durable)
			answer(p, p->rivals[i]);
	}
	for (size_t i = 0; i < p->n_news; i++)
		network_command(p->sim, &p->news[i]);
}

static void forget_batch(struct sim_process *p)
{
	for (size_t i = 0; i < p->n_rivals; i++)
		sim_task_free(p->rivals[i]);
	p->n_rivals = 0;
	p->n_news = 0;
	p->groups = 0;
}

void sim_run(struct sim_process *p, struct sim_task **tasks, size_t n)
{
	struct sim *s = p->sim;
	uint64_t failed = p->pump.stats.failed_groups;

	assert(n <= SIM_BATCH && p->up);
	draw_faults(p);
	/* No verdict yet: what a job says of itself counts only if it was decided. */
	for (size_t i = 0; i < n; i++) {
		if (tasks[i]->job != NULL)
			tasks[i]->job->verdict = VERDICT_COUNT;
	}
	if (p->role == ROLE_BOTH)
		run_pump(p, tasks, n);
	else
		run_split(p, tasks, n);
	p->shots = 0;
	s->reached->groups_failed += p->pump.stats.failed_groups - failed;
	note_durable(p, tasks, n);
	if (memory_is_dead(p->memory))
		sim_crash(p);
	else
		give_back(p, tasks, n);
	forget_batch(p);
}

void sim_work(struct sim_process *p, size_t n)
{
	struct sim_task *tasks[SIM_BATCH];

	n = n < p->n_queue ? n : p->n_queue;
	n = n < SIM_BATCH ? n : SIM_BATCH;
	if (n == 0 || !p->up)
		return;
	memcpy(tasks, p->queue, n * sizeof(struct sim_task *));
	p->n_queue -= n;
	memmove(p->queue, p->queue + n, p->n_queue * sizeof(struct sim_task *));
	sim_run(p, tasks, n);
	for (size_t i = 0; i < n; i++)
		sim_task_free(tasks[i]);
}

/* --- death and after --- */

void sim_crash(struct sim_process *p)
{
	struct sim *s = p->sim;

	s->reached->crashes++;
	s->reached->conflicts += p->pump.outlet.stats.conflicts;
	sim_trace(s, "  process %d dies", (int)p->role);
	drop_queue(p);
	pump_deinit(&p->pump);
	memory_reopen(p->memory);
	p->up = false;
	p->up_at_ns = sim_mono(s) + (int64_t)sim_below(s, 20) * EV_NS_PER_S;
	if (s->mode == SIM_SPLIT)
		streams_crash(p);
	if (p->role != ROLE_APP)
		network_process_died(s);
	effects_init(&p->pump.effects);
}

void sim_start_again(struct sim_process *p)
{
	if (p->up || sim_mono(p->sim) < p->up_at_ns)
		return;
	sim_trace(p->sim, "  process %d starts", (int)p->role);
	start_services(p);
}

void sim_tick(struct sim_process *p)
{
	struct sim *s = p->sim;
	struct tick_job *j;
	struct sim_task *t;

	if (!p->up)
		return;
	t = sim_task_new(JOB_TICK, sizeof(struct tick_job));
	j = (struct tick_job *)t->job;
	j->job.at_ns = sim_now(s);
	sim_run(p, &t, 1);
	s->tick_was_clean = j->job.err == EV_OK && !j->more && p->up;
	if (s->tick_was_clean)
		s->ticked_ns = sim_now(s);
	sim_task_free(t);
}
