/* lane.c — what the threads of lanes and of the housekeeping do, as cli/aws_house.c has it. */
#include "base/time.h"
#include "simaws/sim.h"

#define TICK_NS EV_NS_PER_S
#define RESEND_AFTER_NS (5 * EV_NS_PER_S) /* these as in cli/aws_house.c */
#define ORPHAN_AFTER_NS (30 * EV_NS_PER_S)
#define PLAIN_AFTER_NS (15 * EV_NS_PER_MIN)
#define BATCH 16

/* --- the lane --- */

static void run_jobs(struct sim_process *p)
{
	struct job *jobs[BATCH];
	size_t most = 1 + (size_t)sim_below(p->sim, BATCH);
	size_t n = 0;
	struct ev_node *node;

	while (n < most && (node = ev_list_pop(&p->queue)) != NULL)
		jobs[n++] = (struct job *)node;
	if (n == 0)
		return;
	aws_lane_run(&p->pump, jobs, n);
	for (size_t i = 0; i < n; i++) {
		sim_trace(p->sim, "  %s: %s: %s, %s, %s", p->worker, job_kind_text(jobs[i]->kind),
			  ev_err_text(jobs[i]->err), verdict_text(jobs[i]->verdict),
			  reason_text(jobs[i]->reason));
		jobs[i]->owner->done(jobs[i]->owner, jobs[i]);
	}
}

static void adopt(struct sim_process *p)
{
	int64_t before_ns = sim_now(p->sim) - RESEND_AFTER_NS;

	while (p->n_found > 0 && !process_is_dead(p)) {
		size_t i = --p->n_found;
		ev_err e = p->found_session[i]
				   ? aws_store_adopt_session(p->store, &p->found[i], before_ns)
				   : aws_store_adopt(p->store, &p->found[i], before_ns);

		p->sim->reached->swept += e == EV_OK;
	}
}

void process_lane_turn(struct sim_process *p)
{
	int64_t now_ns = sim_mono(p->sim);
	size_t failed = 0, left = 0;
	ev_err e;

	run_jobs(p);
	if (!process_is_dead(p) && now_ns - p->ticked_ns >= TICK_NS) {
		p->ticked_ns = now_ns;
		aws_lane_tick(&p->pump, 64, &failed);
		if (!process_is_dead(p) && p->sim->plant != PLANT_NO_SWEEP) {
			e = aws_store_flush(p->store, sim_now(p->sim) - RESEND_AFTER_NS, &left);
			(void)e; /* it is tried again in a second */
		}
	}
	if (!process_is_dead(p))
		adopt(p);
}

/* --- housekeeping --- */

static void find(struct sim_process *p, const struct ev_uuid *id, bool session)
{
	if (p->n_found == EV_ARRAY_LEN(p->found))
		return;
	p->found[p->n_found] = *id;
	p->found_session[p->n_found++] = session;
}

static void found_outlet(void *user, const struct ev_uuid *id)
{
	find(user, id, false);
}

static void found_session(void *user, const struct ev_uuid *id)
{
	find(user, id, true);
}

void process_house_turn(struct sim_process *p)
{
	struct sim *s = p->sim;
	int64_t now_ns = sim_now(s);
	char cursor[AWS_SWEEP_CURSOR] = "";
	struct aws_sweep w = {
		.caller = cloud_caller(p->callers[PART_HOUSE]),
		.resources = &s->names,
		.rules = s->rules,
		.timer_before_ns = now_ns - ORPHAN_AFTER_NS,
		.unsent_before_ns = now_ns - ORPHAN_AFTER_NS,
		.plain_before_ns = now_ns - PLAIN_AFTER_NS,
	};
	ev_err e;

	if (sim_mono(s) - p->swept_ns < SIM_SWEEP_NS || s->plant == PLANT_NO_SWEEP)
		return;
	p->swept_ns = sim_mono(s);
	e = aws_sweep_claim(&w, p->roles == AWS_ROLE_APP, ev_str_from(p->worker), now_ns,
			    SIM_SWEEP_NS);
	while (e == EV_OK) {
		e = p->roles == AWS_ROLE_OUTLET ? aws_sweep_outlets(&w, cursor, found_outlet, p)
						: aws_sweep_sessions(&w, cursor, found_session, p);
		if (cursor[0] == '\0')
			break;
	}
}
