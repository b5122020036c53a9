/*
 * books.c — the oracle: what must be in the books, by what was durable, and what must hold.
 *
 * A message's energy is expected in its outlet's total from the moment on that the group which
 * decided it (with any verdict but rejected and later) is durable, whether anybody was told or not;
 * from then on it must be there exactly once for ever.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "core/machine.h"
#include "sim.h"

size_t books_message(struct sim *s, const struct sim_message *m)
{
	if (s->n_messages == s->cap_messages) {
		s->cap_messages = s->cap_messages == 0 ? 512 : 2 * s->cap_messages;
		s->messages = realloc(s->messages, s->cap_messages * sizeof(*s->messages));
		assert(s->messages != NULL);
	}
	s->messages[s->n_messages] = *m;
	sim_must(s, ev_map_put(&s->by_identity, m->id.b, s->n_messages + 1) == EV_OK, "no memory");
	return s->n_messages++;
}

struct sim_message *books_message_of(struct sim *s, const struct identity *id)
{
	uintptr_t place;

	return ev_map_get(&s->by_identity, id->b, &place) ? &s->messages[place - 1] : NULL;
}

static struct sim_device *device_of(struct sim *s, const struct ev_uuid *outlet_id)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		if (ev_uuid_eq(&s->devices[i].outlet_id, outlet_id))
			return &s->devices[i];
	}
	return NULL;
}

static void credit(struct sim *s, struct sim_message *m)
{
	struct sim_device *d = device_of(s, &m->m.outlet_id);

	m->parked = false;
	s->reached->duplicates += m->credited;
	if (m->credited)
		return;
	m->credited = true;
	s->reached->credited += m->wire_mwh > 0;
	d->expected_mwh += m->wire_mwh;
}

static void note_rejected(struct sim *s, struct sim_message *m)
{
	sim_must(s, m->bad || !s->devices[m->device].registered, "a good message was rejected");
	s->devices[m->device].wild = s->devices[m->device].wild || !m->bad;
	m->rejected = true;
	s->reached->rejected++;
}

static void note_message(struct sim *s, const struct sim_task *t)
{
	struct sim_message *m = &s->messages[t->message];
	const struct job *j = t->job;

	sim_trace(s, "  m-%zu: %s, %s, %s", t->message + 1, ev_err_text(j->err),
		  verdict_text(j->verdict), reason_text(j->reason));
	s->reached->refused += j->verdict == VERDICT_REFUSED;
	s->reached->late_energy += j->reason == REASON_EARLIER && m->wire_mwh > 0;
	if (j->verdict == VERDICT_REJECTED) {
		note_rejected(s, m);
	} else if (j->verdict == VERDICT_LATER) {
		s->reached->parked += !m->parked;
		m->parked = true;
	} else {
		sim_must(s, !m->bad, "a bad message was taken");
		credit(s, m);
	}
}

/* A person may make good what was bad when it came. */
static void note_replay(struct sim *s, const struct sim_task *t)
{
	const struct dead_letter_job *j = (const struct dead_letter_job *)t->job;
	struct sim_message *m = books_message_of(s, &j->id);

	if (j->job.verdict == VERDICT_REJECTED || m == NULL)
		return;
	s->reached->replayed++;
	if (j->job.verdict == VERDICT_LATER)
		m->parked = true;
	else
		credit(s, m);
}

static void note_stop(struct sim *s, const struct sim_task *t)
{
	const struct session_job *j = (const struct session_job *)t->job;

	if (j->job.verdict == VERDICT_APPLIED || j->job.verdict == VERDICT_DUPLICATE)
		sim_must(s, ev_map_put(&s->stopped, j->session_id.b, 1) == EV_OK, "no memory");
}

void books_task(struct sim *s, const struct sim_task *t)
{
	if (!t->durable || t->job == NULL || t->job->verdict == VERDICT_COUNT)
		return;
	if (t->job->kind == JOB_DEVICE_MESSAGE)
		note_message(s, t);
	else if (t->job->kind == JOB_DEAD_LETTER_REPLAY)
		note_replay(s, t);
	else if (t->job->kind == JOB_STOP)
		note_stop(s, t);
}

/* --- what is durable --- */

struct ledger {
	struct sim *s;
	struct outlet rows[SIM_DEVICES]; /* version 0: none */
	int64_t sessions[SIM_DEVICES];
	int64_t attached[SIM_DEVICES]; /* by sessions */
	int64_t items_open[SIM_DEVICES];
	int64_t items_attached[SIM_DEVICES];
	int64_t lacking[SIM_DEVICES]; /* sums that are not told while a stop is under way */
	size_t live[SIM_DEVICES];
	bool parked_overdue;
	size_t n_parked;
	int64_t tick_ns;
};

static size_t index_of(struct ledger *l, const struct ev_uuid *outlet_id)
{
	struct sim_device *d = device_of(l->s, outlet_id);

	sim_must(l->s, d != NULL, "a row of an outlet that nobody has");
	return (size_t)(d - l->s->devices);
}

static bool add_outlet(void *user, const struct outlet_row *row)
{
	struct ledger *l = user;

	l->rows[index_of(l, &row->outlet.id)] = row->outlet;
	return true;
}

/* What the row knows more than the session was told. */
static int64_t lacking(struct ledger *l, const struct outlet *o, const struct session *x)
{
	if (l->s->rules.report_while_stopping || o->stop_at_ns == 0 ||
	    !ev_uuid_eq(&o->session_id, &x->id))
		return 0;
	return o->energy_mwh - (x->energy_mwh - x->attached_mwh);
}

/* A session that was denied, and forgotten by its row, may have started after all. */
static bool is_forgotten(struct sim *s, const struct ev_uuid *session_id)
{
	return s->went_back || ev_map_get(&s->denied, session_id->b, NULL);
}

/*
 * Where events take their time the App may believe too long that a session runs, never too short.
 */
static void check_end(struct sim *s, const struct session *x, const struct outlet *o)
{
	bool runs = o->state == OUTLET_CHARGING && o->has_session &&
		    ev_uuid_eq(&o->session_id, &x->id);

	if (s->mode == SIM_ONE)
		sim_must(s, session_is_live(x->state) == runs, "session %s, outlet %s",
			 outlet_state_text(x->state), outlet_state_text(o->state));
	else
		sim_must(s, !runs || session_is_live(x->state) || is_forgotten(s, &x->id),
			 "the App has ended a session that its outlet runs");
}

static bool add_session(void *user, const struct session *x)
{
	struct ledger *l = user;
	size_t i = index_of(l, &x->outlet_id);
	const struct outlet *o = &l->rows[i];
	int64_t sum = x->folded_mwh + x->attached_mwh;

	for (unsigned k = 0; k < x->n_sums; k++)
		sum += x->sums[k].mwh;
	sim_must(l->s, sum == x->energy_mwh, "a session's energy is not the total of its sums");
	l->sessions[i] += x->energy_mwh;
	l->attached[i] += x->attached_mwh;
	l->live[i] += session_is_live(x->state);
	l->lacking[i] += lacking(l, o, x);
	check_end(l->s, x, o);
	return true;
}

static bool add_item(void *user, const struct unassigned_item *item)
{
	struct ledger *l = user;
	size_t i = index_of(l, &item->outlet_id);

	if (item->attached)
		l->items_attached[i] += item->mwh;
	else
		l->items_open[i] += item->mwh;
	return true;
}

static bool add_parked(void *user, const struct parked_input *p)
{
	struct ledger *l = user;
	struct sim_message *m = books_message_of(l->s, &p->id);

	l->n_parked++;
	l->parked_overdue = l->parked_overdue || p->due_ns <= l->tick_ns;
	if (p->input.kind == OUTLET_IN_DEVICE)
		sim_must(l->s, m != NULL, "a parked input of nobody");
	return true;
}

static bool add_letter(void *user, const struct dead_letter *d)
{
	struct sim *s = user;
	struct sim_message *m = books_message_of(s, &d->id);

	if (d->channel == INPUT_CHARGING_EVENT) {
		sim_must(s, s->mode == SIM_SPLIT && d->reason == REASON_UNKNOWN_SESSION,
			 "a dead event: %s", reason_text(d->reason));
		return true;
	}
	sim_must(s, m != NULL && m->rejected, "a dead letter of a message that was not rejected");
	return true;
}

/* Messages that wait no more were decided: their energy is in the books. */
struct waiting {
	struct sim *s;
	struct identity ids[64];
	size_t n;
};

static bool note_waiting(void *user, const struct parked_input *p)
{
	struct waiting *w = user;

	sim_must(w->s, w->n < EV_ARRAY_LEN(w->ids), "too much is parked");
	w->ids[w->n++] = p->id;
	return true;
}

static bool still_waits(const struct waiting *w, const struct identity *id)
{
	for (size_t i = 0; i < w->n; i++) {
		if (identity_eq(&w->ids[i], id))
			return true;
	}
	return false;
}

/*
 * Parked by a process whose row was stale, after a rival had decided it: it waits in vain, and its
 * energy is in the books.
 */
static bool was_decided(struct sim *s, const struct sim_message *m)
{
	struct sim_process *p = sim_outlet_process(s);
	struct outlet_row row;
	bool seen = false;
	ev_err e = p->query->ops->outlet(p->query, &m->m.outlet_id, &row);

	if (!s->rivals || e != EV_OK)
		return false;
	p->quiet = true;
	e = p->real.seen(p->pump.store, &m->m.outlet_id, &m->id, &seen);
	p->quiet = false;
	return e == EV_OK && (seen || outlet_knows_identity(&row.outlet, &m->id));
}

static void note_unparked(struct sim *s)
{
	struct waiting w = { .s = s };

	memory_visit_parked(sim_outlet_process(s)->memory, note_waiting, &w);
	for (size_t i = 0; i < s->n_messages; i++) {
		struct sim_message *m = &s->messages[i];

		if (m->parked && (!still_waits(&w, &m->id) || was_decided(s, m)))
			credit(s, m);
	}
}

/* --- what the outlets said --- */

static void note_denied(struct sim *s, struct sim_device *d, const struct ev_uuid *id)
{
	sim_must(s, ev_map_put(&s->denied, id->b, 1) == EV_OK, "no memory");
	/* An outlet that does not exist remembers nobody. */
	if (!d->registered)
		return;
	for (unsigned k = 0; k < OUTLET_REFUSED_MAX; k++) {
		if (ev_uuid_eq(&d->denied[k], id))
			return;
	}
	d->denied[d->n_denied++ % OUTLET_REFUSED_MAX] = *id;
}

static bool note_event(void *user, const struct stored_event *e)
{
	struct sim *s = user;
	struct sim_device *d = device_of(s, &e->event.outlet_id);

	s->events_read = e->seq;
	if (e->event.state == OUTLET_DEVICE_DENIES_CHARGING && e->event.has_session)
		note_denied(s, d, &e->event.session_id);
	return true;
}

/* A request has one answer, however often it is asked. */
static bool note_answer(void *user, const struct stored_event *x)
{
	struct sim *s = user;
	const struct charging_event *e = &x->event;
	uintptr_t session = 0;
	uintptr_t known;

	s->app_events_read = x->seq;
	if (e->initiator != INITIATOR_APP_BACKEND || e->state != OUTLET_CHARGING)
		return true;
	memcpy(&session, e->session_id.b, sizeof(session));
	if (ev_map_get(&s->approved, e->event_id.b, &known))
		sim_must(s, known == session, "a request made two sessions");
	else
		sim_must(s, ev_map_put(&s->approved, e->event_id.b, session) == EV_OK, "no memory");
	return true;
}

static void note_events(struct sim *s)
{
	struct query *q = sim_outlet_process(s)->query;
	struct query *a = sim_app_process(s)->query;

	sim_must(s, q->ops->events(q, s->events_read, 10000, note_event, s) == EV_OK,
		 "the events cannot be read");
	sim_must(s, a->ops->events(a, s->app_events_read, 10000, note_answer, s) == EV_OK,
		 "the events cannot be read");
}

static void note_row(struct sim *s, unsigned i, const struct outlet *o)
{
	struct sim_device *d = &s->devices[i];

	sim_must(s, o->version >= s->before[i].version, "a row is gone or older than it was");
	d->registered = d->registered || o->version > 0;
	s->before[i] = *o;
	if (o->has_session)
		sim_must(s, ev_map_put(&s->started, o->session_id.b, 1) == EV_OK, "no memory");
}

/* Customers as they are, in order of id; a place without one may make a new one. */
static bool note_customer(void *user, const struct customer *c)
{
	struct sim *s = user;

	for (unsigned i = 0; i < SIM_CUSTOMERS; i++) {
		sim_must(s, !s->customers[i].exists || !rfid_tag_eq(&s->customers[i].tag, &c->tag),
			 "two customers carry one tag");
		if (s->customers[i].exists)
			continue;
		s->customers[i] = (struct sim_customer){
			.id = c->id, .tag = c->tag, .exists = true, .blocked = c->blocked
		};
		break;
	}
	return true;
}

static void note_customers(struct sim *s)
{
	memset(s->customers, 0, sizeof(s->customers));
	memory_visit_customers(sim_app_process(s)->memory, note_customer, s);
}

/* --- what must hold --- */

static void open_ledger(struct sim *s, struct ledger *l)
{
	*l = (struct ledger){ .s = s, .tick_ns = INT64_MIN };
	memory_visit_outlets(sim_outlet_process(s)->memory, add_outlet, l);
	memory_visit_sessions(sim_app_process(s)->memory, add_session, l);
	memory_visit_items(sim_outlet_process(s)->memory, add_item, l);
	memory_visit_parked(sim_outlet_process(s)->memory, add_parked, l);
}

static void check_outlet(struct sim *s, const struct ledger *l, unsigned i)
{
	const struct outlet *o = &l->rows[i];

	sim_must(s, o->total_energy_mwh == s->devices[i].expected_mwh,
		 "outlet %u counts %lld mWh of %lld", i, (long long)o->total_energy_mwh,
		 (long long)s->devices[i].expected_mwh);
	sim_must(s, o->unassigned_mwh == l->items_open[i],
		 "outlet %u: %lld mWh unassigned, items of %lld", i, (long long)o->unassigned_mwh,
		 (long long)l->items_open[i]);
}

static void check_balance(struct sim *s, const struct ledger *l, unsigned i)
{
	const struct outlet *o = &l->rows[i];

	sim_must(s, o->total_energy_mwh == l->sessions[i] + o->unassigned_mwh + l->lacking[i],
		 "outlet %u: total %lld, sessions %lld, unassigned %lld, to come %lld", i,
		 (long long)o->total_energy_mwh, (long long)l->sessions[i],
		 (long long)o->unassigned_mwh, (long long)l->lacking[i]);
	sim_must(s, l->items_attached[i] == l->attached[i],
		 "outlet %u: %lld mWh attached, and %lld in sessions", i,
		 (long long)l->items_attached[i], (long long)l->attached[i]);
	/* Denied so long ago that the row forgot, and started after all: see docs/proof.md. */
	if (s->mode == SIM_SPLIT && o->has_session && is_forgotten(s, &o->session_id))
		return;
	sim_must(s, l->live[i] == (o->state == OUTLET_CHARGING && o->has_session),
		 "outlet %u is %s, and %zu sessions live", i, outlet_state_text(o->state),
		 l->live[i]);
}

/* On its way the App's part may lag, but never lead. */
static void check_lag(struct sim *s, const struct ledger *l, unsigned i)
{
	sim_must(s, l->sessions[i] + l->rows[i].unassigned_mwh <= l->rows[i].total_energy_mwh,
		 "outlet %u: sessions hold more than was counted", i);
	sim_must(s, l->attached[i] <= l->items_attached[i], "outlet %u: attached twice", i);
}

void books_check(struct sim *s)
{
	struct ledger l;

	note_unparked(s);
	note_events(s);
	note_customers(s);
	open_ledger(s, &l);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		check_outlet(s, &l, i);
		note_row(s, i, &l.rows[i]);
		if (s->mode == SIM_ONE)
			check_balance(s, &l, i);
		else
			check_lag(s, &l, i);
	}
	for (size_t i = 0; i < s->n_processes; i++)
		memory_visit_dead_letters(s->processes[i].memory, add_letter, s);
}

/* When something must have become of the row, by the design's own times. */
static int64_t due_of(const struct sim *s, const struct outlet *o)
{
	if (o->state == OUTLET_CABLE_PLUGGED && o->request.status == REQUEST_WAITING)
		return o->request.at_ns + s->rules.request_timeout_ns;
	if (o->state == OUTLET_CHARGING && o->stop_at_ns != 0)
		return o->stop_at_ns + (o->stop_repeated ? 2 : 1) * s->rules.stop_timeout_ns;
	if (o->state == OUTLET_CHARGING && !o->reported && !o->acknowledged)
		return o->start_ns + s->rules.command_timeout_ns;
	return INT64_MAX;
}

/* After a tick that left nothing: no timer and nothing parked is over its time. */
void books_check_tick(struct sim *s)
{
	struct ledger l;

	open_ledger(s, &l);
	l.tick_ns = s->ticked_ns;
	memory_visit_parked(sim_outlet_process(s)->memory, add_parked, &l);
	sim_must(s, !l.parked_overdue, "an input is parked beyond its time");
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		sim_must(s, l.rows[i].version == 0 || due_of(s, &l.rows[i]) > s->ticked_ns,
			 "outlet %u: a timer did not fire in %s", i,
			 outlet_state_text(outlet_shown_state(&l.rows[i])));
	}
}

/* --- at rest --- */

struct undelivered {
	struct sim *s;
	const struct sim_device *d;
	const struct outlet *row;
};

static bool see_command(void *user, const struct device_command *c)
{
	struct undelivered *u = user;

	if (!ev_uuid_eq(&c->outlet_id, &u->row->id) || c->version < u->d->last_version ||
	    (c->version == u->d->last_version && c->index <= u->d->last_index))
		return true;
	sim_must(u->s, !outlet_command_stands(u->row, c, sim_now(u->s)),
		 "device %td was never told %s", u->d - u->s->devices,
		 outlet_state_text(c->change));
	return true;
}

/* Whoever is connected was told all that still stands of the session that runs. */
static void check_told(struct sim *s, const struct ledger *l, unsigned i)
{
	struct undelivered u = { s, &s->devices[i], &l->rows[i] };

	if (u.d->habit == HABIT_SOCKET && u.d->connected && !u.d->wild &&
	    u.row->state == OUTLET_CHARGING)
		memory_visit_commands(sim_outlet_process(s)->memory, see_command, &u);
}

static bool has_dead_event(void *user, const struct dead_letter *d)
{
	bool *found = user;

	*found = *found || d->channel == INPUT_CHARGING_EVENT;
	return true;
}

/* A stop that came before its start by more than it is waited for is a dead letter, for people. */
static bool see_stopped(void *user, const struct session *x)
{
	struct sim *s = user;
	bool excused = false;

	if (!session_is_live(x->state) || !ev_map_get(&s->stopped, x->id.b, NULL))
		return true;
	memory_visit_dead_letters(sim_outlet_process(s)->memory, has_dead_event, &excused);
	sim_must(s, excused, "a session runs that somebody stopped");
	return true;
}

/* Decided, each of them: counted, or a dead letter with its bytes. */
static void check_decided(struct sim *s, size_t i)
{
	static char body[DEAD_LETTER_BODY_MAX];
	const struct sim_message *m = &s->messages[i];
	struct query *q = sim_outlet_process(s)->query;
	struct dead_letter d;

	sim_must(s, m->credited || m->rejected, "m-%zu was never decided", i + 1);
	sim_must(s, !m->rejected || q->ops->dead_letter(q, &m->id, &d, body) == EV_OK,
		 "m-%zu was rejected, and no dead letter tells of it", i + 1);
}

void books_check_rest(struct sim *s)
{
	struct ledger l;

	books_check(s);
	open_ledger(s, &l);
	sim_must(s, l.n_parked == 0, "an input is parked for ever");
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		const struct sim_device *d = &s->devices[i];
		const struct outlet *o = &l.rows[i];

		check_balance(s, &l, i);
		check_told(s, &l, i);
		sim_must(s, d->n_outbox == 0, "device %u is not answered", i);
		sim_must(s, o->request.status != REQUEST_WAITING, "a request waits for ever");
		sim_must(s, o->state != OUTLET_CHARGING || o->reported || o->acknowledged,
			 "outlet %u waits for a device that was never told", i);
		if (d->habit != HABIT_SOCKET || d->wild || s->went_back || !d->registered)
			continue;
		sim_must(s, d->charging == (o->state == OUTLET_CHARGING),
			 "device %u %s, and its outlet is %s", i,
			 d->charging ? "charges" : "does not charge", outlet_state_text(o->state));
		sim_must(s, d->plugged == (o->state != OUTLET_AVAILABLE),
			 "device %u is %s, and its outlet %s", i,
			 d->plugged ? "plugged" : "unplugged", outlet_state_text(o->state));
	}
	memory_visit_sessions(sim_app_process(s)->memory, see_stopped, s);
	for (size_t i = 0; i < s->n_messages; i++)
		check_decided(s, i);
}

void books_check_empty(struct sim *s)
{
	struct ledger l;

	books_check_rest(s);
	open_ledger(s, &l);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		sim_must(s, l.live[i] == 0 && l.rows[i].state == OUTLET_AVAILABLE,
			 "outlet %u is in limbo: %s, %zu sessions", i,
			 outlet_state_text(l.rows[i].state), l.live[i]);
}
