/* cut_load.c — what the fleet does while there is power: random batches of jobs. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "cut_fleet.h"

/* Answers that are no failure of the engine. */
static bool is_answer(ev_err e)
{
	return e == EV_OK || e == EV_NOTFOUND || e == EV_EXISTS || e == EV_DENIED ||
	       e == EV_CONFLICT || e == EV_INVALID;
}

/* Runs jobs as one batch; false if one was not answered. */
static bool run(struct fleet *f, struct job **jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		jobs[i]->at_ns = ev_clock_wall_ns(&f->clock.base);
	pump_run(&f->pump, jobs, n);
	for (size_t i = 0; i < n; i++) {
		if (!is_answer(jobs[i]->err) && !fleet_is_dead(f))
			return fleet_fail(f, "a %s job failed while the disk was well: %s",
					  job_kind_text(jobs[i]->kind), ev_err_text(jobs[i]->err));
	}
	return true;
}

static struct device_job *device_job(const struct fleet *f, const struct sent *s)
{
	static const char garbage[] = "{\"outletStateChange\":";
	struct device_job *j = calloc(1, sizeof(*j) + sizeof(garbage));

	assert(j != NULL);
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->outlet_id = f->outlets[s->outlet].id;
	j->id = s->id;
	j->decoded = !s->garbage;
	j->message = s->message;
	j->why = s->garbage ? REASON_UNDECODABLE : REASON_NONE;
	j->body_n = sizeof(garbage) - 1;
	memcpy(j->body, garbage, sizeof(garbage));
	return j;
}

static bool first_answer(struct fleet *f, struct sent *s, enum verdict v)
{
	s->acked = true;
	s->verdict = v;
	f->counts.messages++;
	/* The reckoning below takes every answered message as counted. */
	if (s->message.energy_mwh > 0 && (v == VERDICT_REJECTED || v == VERDICT_LATER))
		return fleet_fail(f, "energy was answered with %s", verdict_text(v));
	return true;
}

static bool take_answer(struct fleet *f, struct sent *s, const struct job *j)
{
	if (j->err != EV_OK)
		return fleet_is_dead(f) || fleet_fail(f, "a message: %s", ev_err_text(j->err));
	if (!s->acked)
		return first_answer(f, s, j->verdict);
	if (s->verdict == VERDICT_APPLIED && j->verdict != VERDICT_DUPLICATE)
		return fleet_fail(f, "an acknowledged %s of outlet %u sent again: %s",
				  outlet_state_text(s->message.change), s->outlet,
				  verdict_text(j->verdict));
	return true;
}

bool fleet_send(struct fleet *f, const size_t *which, size_t n)
{
	struct job *jobs[4 * FLEET_BATCH];
	bool ok;

	assert(n <= EV_ARRAY_LEN(jobs));
	for (size_t i = 0; i < n; i++)
		jobs[i] = &device_job(f, &f->sent[which[i]])->job;
	ok = run(f, jobs, n);
	for (size_t i = 0; i < n; i++) {
		ok = ok && take_answer(f, &f->sent[which[i]], jobs[i]);
		free(jobs[i]);
	}
	return ok && !fleet_is_dead(f);
}

/* All that have no answer yet, in one batch. */
static bool register_outlets(struct fleet *f)
{
	struct outlet_job jobs[FLEET_OUTLETS];
	struct fleet_outlet *of[FLEET_OUTLETS];
	struct job *list[FLEET_OUTLETS];
	size_t n = 0;

	for (unsigned i = 0; i < f->n_outlets; i++) {
		if (f->outlets[i].acked)
			continue;
		of[n] = &f->outlets[i];
		jobs[n] = (struct outlet_job){ .job = { .kind = JOB_OUTLET_CREATE },
					       .outlet_id = f->outlets[i].id,
					       .max_power_mw = 22000000 };
		memcpy(jobs[n].info.code, "A1", 3);
		list[n] = &jobs[n].job;
		n++;
	}
	if (n == 0 || !run(f, list, n))
		return n == 0;
	for (size_t i = 0; i < n; i++)
		of[i]->acked = list[i]->err == EV_OK || list[i]->err == EV_EXISTS;
	return !fleet_is_dead(f);
}

static bool register_customers(struct fleet *f)
{
	struct customer_job jobs[FLEET_TAGS];
	struct job *list[FLEET_TAGS];

	if (f->customers[0].acked)
		return true;
	for (size_t i = 0; i < FLEET_TAGS; i++) {
		jobs[i] = (struct customer_job){ .job = { .kind = JOB_CUSTOMER_CREATE },
						 .customer_id = f->customers[i].id,
						 .tag = f->customers[i].tag };
		memcpy(jobs[i].fields.email, "a@b", 4);
		list[i] = &jobs[i].job;
	}
	if (!run(f, list, FLEET_TAGS))
		return false;
	for (size_t i = 0; i < FLEET_TAGS; i++)
		f->customers[i].acked = list[i]->err == EV_OK || list[i]->err == EV_EXISTS;
	return !fleet_is_dead(f);
}

bool fleet_register(struct fleet *f)
{
	return register_outlets(f) && register_customers(f);
}

/* What a device in each phase says next, and the phase it is in then; each as often as listed. */
enum phase { UNPLUGGED, PLUGGED, CHARGING, FINISHED, PHASE_COUNT };

static const struct saying {
	enum outlet_state change;
	enum phase then;
} sayings[PHASE_COUNT][8] = {
	[UNPLUGGED] = { { OUTLET_CABLE_PLUGGED, PLUGGED },
			{ OUTLET_CABLE_PLUGGED, PLUGGED },
			{ OUTLET_CABLE_PLUGGED, PLUGGED },
			{ OUTLET_CABLE_PLUGGED, PLUGGED },
			{ OUTLET_CABLE_PLUGGED, PLUGGED },
			{ OUTLET_DEVICE_REQUESTS_CHARGING, CHARGING },
			{ OUTLET_AVAILABLE, UNPLUGGED },
			{ OUTLET_CHARGING, UNPLUGGED } },
	[PLUGGED] = { { OUTLET_DEVICE_REQUESTS_CHARGING, CHARGING },
		      { OUTLET_DEVICE_REQUESTS_CHARGING, CHARGING },
		      { OUTLET_DEVICE_REQUESTS_CHARGING, CHARGING },
		      { OUTLET_DEVICE_REQUESTS_CHARGING, CHARGING },
		      { OUTLET_DEVICE_REQUESTS_CHARGING, CHARGING },
		      { OUTLET_AVAILABLE, UNPLUGGED },
		      { OUTLET_CABLE_PLUGGED, PLUGGED },
		      { OUTLET_CHARGING, CHARGING } },
	[CHARGING] = { { OUTLET_CHARGING, CHARGING },
		       { OUTLET_CHARGING, CHARGING },
		       { OUTLET_CHARGING, CHARGING },
		       { OUTLET_CHARGING, CHARGING },
		       { OUTLET_DEVICE_REQUESTS_STOP, FINISHED },
		       { OUTLET_CHARGING_FINISHED, FINISHED },
		       { OUTLET_AVAILABLE, UNPLUGGED },
		       { OUTLET_DEVICE_DENIES_CHARGING, PLUGGED } },
	[FINISHED] = { { OUTLET_AVAILABLE, UNPLUGGED },
		       { OUTLET_AVAILABLE, UNPLUGGED },
		       { OUTLET_AVAILABLE, UNPLUGGED },
		       { OUTLET_CABLE_PLUGGED, PLUGGED },
		       { OUTLET_CABLE_PLUGGED, PLUGGED },
		       { OUTLET_CHARGING, FINISHED },
		       { OUTLET_CHARGING_FINISHED, FINISHED },
		       { OUTLET_DEVICE_REQUESTS_STOP, FINISHED } },
};

static size_t new_message(struct fleet *f)
{
	struct sent *s;

	if (f->n_sent == f->max_sent) {
		f->max_sent = f->max_sent == 0 ? 256 : 2 * f->max_sent;
		f->sent = realloc(f->sent, f->max_sent * sizeof(f->sent[0]));
		assert(f->sent != NULL);
	}
	s = &f->sent[f->n_sent];
	*s = (struct sent){ .outlet = (unsigned)fleet_below(f, f->n_outlets) };
	ev_rng_fill(&f->rng.base, s->id.b, sizeof(s->id.b));
	return f->n_sent++;
}

static size_t new_saying(struct fleet *f)
{
	size_t which = new_message(f);
	struct sent *s = &f->sent[which];
	struct fleet_outlet *o = &f->outlets[s->outlet];
	const struct saying *say = &sayings[o->phase][fleet_below(f, 8)];
	int64_t now_ns = ev_clock_wall_ns(&f->clock.base);
	struct rfid_tag tag = f->customers[s->outlet % FLEET_TAGS].tag;

	if (fleet_below(f, 40) == 0) {
		s->garbage = true;
		return which;
	}
	o->phase = say->then;
	s->message = (struct device_message){ .outlet_id = o->id,
					      .period_start_ns = now_ns - EV_NS_PER_S,
					      .period_end_ns = now_ns,
					      .change = say->change };
	if (say->change == OUTLET_DEVICE_REQUESTS_CHARGING || fleet_below(f, 3) == 0)
		s->message.tag = tag;
	/* A request may have to wait, and its energy with it. */
	if (say->change != OUTLET_DEVICE_REQUESTS_CHARGING)
		s->message.energy_mwh = (int64_t)fleet_below(f, 5000);
	return which;
}

/* One batch: new messages, and now and then one that was sent before. */
static bool messages(struct fleet *f)
{
	size_t which[FLEET_BATCH], n = 1 + (size_t)fleet_below(f, FLEET_BATCH);

	for (size_t i = 0; i < n; i++) {
		bool again = f->n_sent > FLEET_BATCH && fleet_below(f, 12) == 0;

		which[i] = again ? (size_t)fleet_below(f, f->n_sent - FLEET_BATCH) : new_saying(f);
	}
	return fleet_send(f, which, n);
}

static bool start(struct fleet *f)
{
	struct session_job j = { .job = { .kind = JOB_START } };
	struct job *job = &j.job;

	j.outlet_id = f->outlets[fleet_below(f, f->n_outlets)].id;
	j.customer_id = f->customers[fleet_below(f, FLEET_TAGS)].id;
	j.session_id = ev_rng_uuid(&f->rng.base);
	if (!run(f, &job, 1))
		return false;
	if (j.job.err == EV_OK && j.job.verdict == VERDICT_APPLIED) {
		if (f->n_starts == f->max_starts) {
			f->max_starts = f->max_starts == 0 ? 32 : 2 * f->max_starts;
			f->starts = realloc(f->starts, f->max_starts * sizeof(f->starts[0]));
			assert(f->starts != NULL);
		}
		f->starts[f->n_starts++] = j.session_id;
	}
	return !fleet_is_dead(f);
}

static bool stop(struct fleet *f)
{
	const struct fleet_outlet *o = &f->outlets[fleet_below(f, f->n_outlets)];
	struct session_job j = { .job = { .kind = JOB_STOP }, .session_id = o->session_id };
	struct job *job = &j.job;

	return !o->has_session || (run(f, &job, 1) && !fleet_is_dead(f));
}

static bool acknowledge(struct fleet *f)
{
	const struct fleet_outlet *o = &f->outlets[fleet_below(f, f->n_outlets)];
	struct command_job j = { .job = { .kind = JOB_COMMAND_ACK },
				 .outlet_id = o->id,
				 .version = o->command_version,
				 .index = o->command_index };
	struct job *job = &j.job;

	return o->command_version == 0 || (run(f, &job, 1) && !fleet_is_dead(f));
}

static bool keep_item(void *user, const struct unassigned_item *i)
{
	struct unassigned_item *out = user;

	*out = *i;
	return false;
}

/* A person gives energy that belongs to nobody to the outlet's last session. */
static bool attach(struct fleet *f)
{
	const struct fleet_outlet *o = &f->outlets[fleet_below(f, f->n_outlets)];
	struct outlet_job j = { .job = { .kind = JOB_ATTACH },
				.outlet_id = o->id,
				.session_id = o->session_id };
	struct unassigned_item item = { .mwh = 0 };
	struct job *job = &j.job;
	struct query *q = NULL;

	if (!o->has_session || embedded_query_open(f->e, &q, NULL) != EV_OK)
		return !fleet_is_dead(f);
	ev_err e = q->ops->unassigned(q, &o->id, true, 1, keep_item, &item);

	q->ops->free(q);
	j.item_id = item.id;
	return e != EV_OK || item.mwh == 0 || (run(f, &job, 1) && !fleet_is_dead(f));
}

static bool tick(struct fleet *f)
{
	struct tick_job j = { .job = { .kind = JOB_TICK } };
	struct job *job = &j.job;

	ev_clock_manual_advance(&f->clock, 40 * EV_NS_PER_S);
	return run(f, &job, 1) && !fleet_is_dead(f);
}

static bool batch(struct fleet *f)
{
	ev_clock_manual_advance(&f->clock, (int64_t)fleet_below(f, 1000) * EV_NS_PER_MS);
	switch (fleet_below(f, 16)) {
	case 0:
		return start(f);
	case 1:
		return stop(f);
	case 2:
		return acknowledge(f);
	case 3:
		return attach(f);
	case 4:
		return tick(f);
	default:
		return messages(f);
	}
}

bool fleet_load(struct fleet *f, unsigned batches)
{
	for (unsigned i = 0; i < batches; i++) {
		if (!batch(f))
			return false;
	}
	return true;
}
