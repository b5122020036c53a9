/*
 * spy.c — between the services and the store.
 *
 * Each change of a row is held to tables written here once more, by hand from the design, so that
 * a slip in the core's own does not pass.  And between the load of a row and its commit another
 * process may decide an input of the same outlet: a rival, as there are many on aws.
 */
#include <assert.h>
#include <string.h>

#include "sim.h"

#define TO(s) (1U << OUTLET_##s)

/* What the shown state may become by one decision: the original's table and our walks. */
static const uint32_t outlet_next[OUTLET_STATE_COUNT] = {
	[OUTLET_AVAILABLE] = TO(CABLE_PLUGGED),
	[OUTLET_CABLE_PLUGGED] = TO(AVAILABLE) | TO(DEVICE_REQUESTS_CHARGING) | TO(CHARGING),
	[OUTLET_DEVICE_REQUESTS_CHARGING] = TO(AVAILABLE) | TO(CABLE_PLUGGED) | TO(CHARGING),
	[OUTLET_CHARGING] = TO(APP_REQUESTS_STOP) | TO(CHARGING_FINISHED) | TO(CABLE_PLUGGED) |
			    TO(AVAILABLE),
	[OUTLET_APP_REQUESTS_STOP] = TO(CHARGING_FINISHED) | TO(CABLE_PLUGGED) | TO(AVAILABLE),
	[OUTLET_CHARGING_FINISHED] = TO(CABLE_PLUGGED) | TO(AVAILABLE),
};

/* A session's; a stop that was wished for follows the start at once. */
static const uint32_t session_next[OUTLET_STATE_COUNT] = {
	[OUTLET_APP_REQUESTS_CHARGING] = TO(CHARGING) | TO(APP_REQUESTS_STOP) |
					 TO(DEVICE_DENIES_CHARGING) | TO(CHARGING_FINISHED),
	[OUTLET_CHARGING] = TO(APP_REQUESTS_STOP) | TO(DEVICE_DENIES_CHARGING) |
			    TO(CHARGING_FINISHED),
	[OUTLET_APP_REQUESTS_STOP] = TO(DEVICE_DENIES_CHARGING) | TO(CHARGING_FINISHED),
	[OUTLET_DEVICE_DENIES_CHARGING] = TO(CHARGING) | TO(APP_REQUESTS_STOP) |
					  TO(CHARGING_FINISHED),
};

static struct sim_process *process_of(struct store *store)
{
	return (struct sim_process *)(uintptr_t)store->ops; /* its first member */
}

/* --- each change --- */

/* A row keeps the last four, of which the present group may have pushed some out. */
static bool was_denied(struct sim_process *p, const struct outlet *o)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		const struct sim_device *d = &p->sim->devices[i];

		for (size_t k = 1; k + p->denials <= OUTLET_REFUSED_MAX && k <= d->n_denied; k++) {
			size_t at = (d->n_denied - k) % OUTLET_REFUSED_MAX;

			if (ev_uuid_eq(&d->denied[at], &o->session_id))
				return true;
		}
	}
	return false;
}

static bool was_there(struct sim *s, const struct outlet *o)
{
	return !s->went_back && !ev_map_get(&s->denied, o->session_id.b, NULL) &&
	       ev_map_get(&s->started, o->session_id.b, NULL);
}

static void check_sums(struct sim *s, const struct outlet *o, const struct outlet *n)
{
	bool same = o->has_session && n->has_session && ev_uuid_eq(&o->session_id, &n->session_id);

	sim_must(s, n->version > o->version, "a row's version did not grow");
	sim_must(s, n->total_energy_mwh >= o->total_energy_mwh, "an outlet's total shrank");
	sim_must(s, !same || n->energy_mwh >= o->energy_mwh, "a row's sum shrank");
}

/* Of an ended session that both rows know: what it grew by. */
static int64_t late_growth(const struct outlet *o, const struct ended_session *e)
{
	if (o->has_session && ev_uuid_eq(&o->session_id, &e->id))
		return 0;
	for (unsigned i = 0; i < o->n_recent; i++) {
		if (ev_uuid_eq(&o->recent[i].id, &e->id))
			return e->sum_mwh - o->recent[i].sum_mwh;
	}
	return 0;
}

static bool fits(const struct rfid_tag *message, const struct rfid_tag *session)
{
	return message->n == 0 || rfid_tag_eq(message, session);
}

static bool ends_session(enum outlet_state change)
{
	return change == OUTLET_DEVICE_REQUESTS_STOP || change == OUTLET_CHARGING_FINISHED ||
	       change == OUTLET_AVAILABLE || change == OUTLET_CABLE_PLUGGED;
}

/* Energy of a tag goes to nobody else's session, and to nobody only if nobody fits. */
static void check_owner(struct sim *s, const struct outlet *o, const struct outlet *n)
{
	const struct sim_message *m;
	bool known = false;

	if (n->total_energy_mwh == o->total_energy_mwh || n->n_ids == 0)
		return;
	m = books_message_of(s, &n->ids[n->n_ids - 1]);
	if (m == NULL)
		return;
	sim_must(s, n->total_energy_mwh - o->total_energy_mwh == m->m.energy_mwh,
		 "a message of %lld mWh counts %lld", (long long)m->m.energy_mwh,
		 (long long)(n->total_energy_mwh - o->total_energy_mwh));
	for (unsigned i = 0; i < n->n_recent; i++) {
		known = known || fits(&m->m.tag, &n->recent[i].tag);
		sim_must(s,
			 late_growth(o, &n->recent[i]) == 0 || fits(&m->m.tag, &n->recent[i].tag),
			 "energy went to another's ended session");
	}
	if (o->has_session && n->has_session && n->energy_mwh > o->energy_mwh)
		sim_must(s, fits(&m->m.tag, &o->tag) || ends_session(m->m.change),
			 "energy went to another's session");
	sim_must(s,
		 n->unassigned_mwh == o->unassigned_mwh || m->m.tag.n == 0 || !known ||
			 m->m.change == OUTLET_DEVICE_REQUESTS_CHARGING,
		 "energy of a known session belongs to nobody");
}

/* Asked for at the device and approved, or by app: nothing else starts. */
static void check_start(struct sim_process *p, const struct outlet *o, const struct outlet *n)
{
	struct sim *s = p->sim;
	struct sim_process *app = sim_app_process(s);
	struct session x;
	ev_err e;

	sim_must(s, !o->out_of_service && !o->retired, "an outlet started that is out of service");
	app->quiet = true;
	e = app->real.load_session(app->pump.store, &n->session_id, &x);
	app->quiet = false;
	sim_must(s, e == EV_OK, "a session started that the App does not know");
	/* Of a customer who was erased meanwhile the session has no tag any more. */
	sim_must(s,
		 (!x.has_customer || rfid_tag_eq(&x.tag, &n->tag)) &&
			 ev_uuid_eq(&x.outlet_id, &n->id),
		 "a session started with another's tag or outlet");
	sim_must(s,
		 x.channel == CHANNEL_MOBILE_APP || (o->request.status == REQUEST_WAITING &&
						     rfid_tag_eq(&o->request.tag, &n->tag)),
		 "a session started that nobody asked for");
}

/* Each start counts, and none that never came to be. */
static void check_count(struct sim *s, const struct outlet *o, const struct outlet *n, bool starts)
{
	bool denied = o->state == OUTLET_CHARGING && n->n_refused > 0 &&
		      ev_uuid_eq(&n->refused[0], &o->session_id) && n->state != OUTLET_CHARGING;
	int64_t grew = n->total_sessions - o->total_sessions;

	sim_must(s, grew == (int)starts - (int)denied, "sessions are counted wrongly");
}

static void check_outlet(struct sim_process *p, const struct outlet *o, const struct outlet *n)
{
	struct sim *s = p->sim;
	enum outlet_state from = outlet_shown_state(o);
	enum outlet_state to = outlet_shown_state(n);
	bool starts = n->state == OUTLET_CHARGING &&
		      !(o->state == OUTLET_CHARGING && ev_uuid_eq(&o->session_id, &n->session_id));

	sim_must(s, from == to || (outlet_next[from] >> to & 1U) != 0, "outlet: %s to %s",
		 outlet_state_text(from), outlet_state_text(to));
	sim_must(s,
		 n->state == OUTLET_AVAILABLE || n->state == OUTLET_CABLE_PLUGGED ||
			 n->state == OUTLET_CHARGING || n->state == OUTLET_CHARGING_FINISHED,
		 "a row's state is one that is never stored");
	check_sums(s, o, n);
	check_owner(s, o, n);
	check_count(s, o, n, starts);
	if (!starts)
		return;
	check_start(p, o, n);
	sim_must(s, o->state == OUTLET_CABLE_PLUGGED, "a session started without a cable");
	sim_must(s, n->has_session && !was_denied(p, n), "a denied session started");
	sim_must(s, !was_there(s, n), "a session started twice");
	s->reached->starts++;
}

static void check_session(struct sim *s, const struct session *o, const struct session *n)
{
	sim_must(s, o->state == n->state || (session_next[o->state] >> n->state & 1U) != 0,
		 "session: %s to %s", outlet_state_text(o->state), outlet_state_text(n->state));
	sim_must(s, n->version > o->version, "a session's version did not grow");
	sim_must(s, n->energy_mwh >= o->energy_mwh, "a session's sum shrank");
	sim_must(s, !n->has_end || n->end_ns >= n->start_ns || n->end_ns >= o->end_ns,
		 "a session ended before it began");
}

static void check_effects(struct sim_process *p, const struct unit *u, const struct outlet *old)
{
	struct sim *s = p->sim;

	for (size_t i = 0; i < u->n_events; i++) {
		const struct charging_event *e = &u->events[i];

		p->denials += e->state == OUTLET_DEVICE_DENIES_CHARGING;
		s->reached->denials += e->state == OUTLET_DEVICE_DENIES_CHARGING;
		s->reached->ends += e->state == OUTLET_CHARGING_FINISHED;
		sim_must(s, e->has_event_id, "an event without identity");
	}
	for (size_t i = 0; i < u->n_commands; i++)
		sim_must(s, old != NULL && u->commands[i].version > old->version,
			 "a command that is not newer than the row");
}

struct before {
	bool has;
	union {
		struct outlet outlet;
		struct session session;
	};
};

static void look(struct sim_process *p, struct store *store, const struct unit *u,
		 struct before *out)
{
	ev_err e = EV_NOTFOUND;

	p->quiet = true;
	if (u->kind == UNIT_OUTLET)
		e = p->real.load_outlet(store, &u->outlet->id, &out->outlet);
	else if (u->kind == UNIT_SESSION)
		e = p->real.load_session(store, &u->session->id, &out->session);
	p->quiet = false;
	out->has = e == EV_OK;
}

/* Only for somebody who may charge. */
static void check_birth(struct sim_process *p, struct store *store, const struct session *x)
{
	struct customer c;
	ev_err e;

	sim_must(p->sim, x->state == OUTLET_CHARGING || x->state == OUTLET_APP_REQUESTS_CHARGING,
		 "a session was born as %s", outlet_state_text(x->state));
	p->quiet = true;
	e = p->real.load_customer(store, &x->customer_id, &c);
	p->quiet = false;
	sim_must(p->sim, e == EV_OK && !c.blocked && rfid_tag_eq(&c.tag, &x->tag),
		 "a session was born for somebody who may not charge");
}

static void count_puts(struct sim *s, const struct unit *u)
{
	for (size_t i = 0; i < u->n_puts; i++) {
		s->reached->blocks += u->puts[i].kind == PUT_IDENTITY_BLOCK;
		s->reached->unassigned += u->puts[i].kind == PUT_UNASSIGNED;
		s->reached->attached += u->puts[i].kind == PUT_ATTACHMENT;
	}
}

static void check_unit(struct sim_process *p, const struct unit *u, const struct before *was)
{
	struct sim *s = p->sim;

	if (u->kind == UNIT_OUTLET && was->has) {
		check_outlet(p, &was->outlet, u->outlet);
	} else if (u->kind == UNIT_SESSION && was->has) {
		check_session(s, &was->session, u->session);
	} else if (u->kind == UNIT_SESSION) {
		check_birth(p, p->pump.store, u->session);
	}
	check_effects(p, u, u->kind == UNIT_OUTLET && was->has ? &was->outlet : NULL);
	count_puts(s, u);
}

static ev_err spy_commit(struct store *store, const struct unit *units, size_t n, ev_err *results)
{
	struct sim_process *p = process_of(store);
	struct before was;
	ev_err e;

	assert(n == 1);
	look(p, store, units, &was);
	e = p->real.commit(store, units, n, results);
	if (e == EV_OK)
		check_unit(p, units, &was);
	return e;
}

/* --- rivals --- */

static bool is_rival(const struct sim *s, const struct sim_task *t, const struct ev_uuid *outlet_id)
{
	if (t->job == NULL || t->job->kind != JOB_DEVICE_MESSAGE)
		return false;
	/* On a WebSocket messages stay in order; posts overtake each other. */
	return s->devices[t->device].habit == HABIT_POST &&
	       ev_uuid_eq(&s->devices[t->device].outlet_id, outlet_id);
}

static struct sim_task *take_rival(struct sim_process *p, const struct ev_uuid *outlet_id)
{
	for (size_t i = 0; i < p->n_queue; i++) {
		struct sim_task *t = p->queue[i];

		if (!is_rival(p->sim, t, outlet_id))
			continue;
		p->n_queue--;
		memmove(&p->queue[i], &p->queue[i + 1],
			(p->n_queue - i) * sizeof(struct sim_task *));
		return t;
	}
	return NULL;
}

/* What fails in the group that the rival shares fails the group: *e says so. */
static void run_rival(struct sim_process *p, struct sim_task *t, ev_err *e)
{
	struct job *j = t->job;

	j->verdict = VERDICT_COUNT;
	t->group = p->groups - 1;
	p->rivals[p->n_rivals++] = t;
	p->nested = true;
	if (j->kind == JOB_DEVICE_MESSAGE)
		j->err = outlet_service_message(&p->pump.outlet, (struct device_job *)j);
	else
		j->err = app_service_stop(&p->pump.app, (struct session_job *)j);
	p->nested = false;
	sim_trace(p->sim, "  meanwhile a rival's %s: %s", job_kind_text(j->kind),
		  j->verdict < VERDICT_COUNT ? verdict_text(j->verdict) : ev_err_text(j->err));
	if (j->err == EV_IO || j->err == EV_FULL || j->err == EV_NOMEM || j->err == EV_CLOSED)
		*e = j->err;
}

/* One process alone has none. */
static bool may_have_rivals(struct sim_process *p)
{
	return p->role != ROLE_BOTH && p->sim->rivals && !p->sim->calm && !p->quiet && !p->nested &&
	       p->n_rivals < SIM_RIVALS && sim_chance(p->sim, 12);
}

static ev_err spy_load_outlet(struct store *store, const struct ev_uuid *id, struct outlet *out)
{
	struct sim_process *p = process_of(store);
	ev_err e;

	if (p->role == ROLE_APP)
		return EV_UNSUPPORTED;
	e = p->real.load_outlet(store, id, out);
	if (e == EV_OK && may_have_rivals(p)) {
		struct sim_task *t = take_rival(p, id);

		if (t != NULL)
			run_rival(p, t, &e);
	}
	return e;
}

/* The rival of whoever changes a session: a person who stops it just now. */
static ev_err spy_load_session(struct store *store, const struct ev_uuid *id, struct session *out)
{
	struct sim_process *p = process_of(store);
	ev_err e = p->real.load_session(store, id, out);

	if (e == EV_OK && may_have_rivals(p) && sim_chance(p->sim, 10)) {
		struct sim_task *t = sim_task_new(JOB_STOP, sizeof(struct session_job));

		((struct session_job *)t->job)->session_id = *id;
		t->job->at_ns = sim_now(p->sim);
		run_rival(p, t, &e);
	}
	return e;
}

void spy_install(struct sim_process *p)
{
	struct store *store = memory_store(p->memory);

	static_assert(offsetof(struct sim_process, ops) == 0, "process_of relies on it");
	p->real = *store->ops;
	p->ops = p->real;
	p->ops.commit = spy_commit;
	p->ops.load_outlet = spy_load_outlet;
	p->ops.load_session = spy_load_session;
	store->ops = &p->ops;
}
