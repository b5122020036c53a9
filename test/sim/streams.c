/*
 * streams.c — SPLIT: the two streams between the backends.
 *
 * A sender puts what is durable on its stream, in the order of commit, and starts over from an
 * earlier event when its process dies.  The App reads the outlets' events in order, and again from
 * its last checkpoint after a death; the Outlet Backend reads the App's in any order, some of them
 * twice.  Records may take minutes.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/time.h"
#include "codec/event_proto.h"
#include "sim.h"

static struct sim_stream *stream_of(struct sim_process *p)
{
	return p->role == ROLE_APP ? &p->sim->from_app : &p->sim->from_outlet;
}

static struct sim_stream *stream_read_by(struct sim_process *p)
{
	return p->role == ROLE_APP ? &p->sim->from_outlet : &p->sim->from_app;
}

static int64_t draw_delay(struct sim *s)
{
	if (s->calm)
		return 0;
	if (!sim_chance(s, 10))
		return (int64_t)sim_below(s, 2 * EV_NS_PER_S);
	if (!sim_chance(s, 10))
		return (int64_t)sim_below(s, EV_NS_PER_MIN);
	return (int64_t)sim_below(s, 5 * EV_NS_PER_MIN);
}

/* Over the wire and back: what its bytes cannot carry does not arrive. */
static struct charging_event over_the_wire(struct sim *s, const struct charging_event *e)
{
	char bytes[EVENT_PROTO_MAX];
	struct ev_buf b = ev_buf_over(bytes, sizeof(bytes));
	struct charging_event back;
	enum reason why;

	event_proto_encode(e, &b);
	sim_must(s, !b.overflow && event_proto_decode(ev_buf_str(&b), &back, &why, NULL) == EV_OK,
		 "an event that cannot be read");
	return back;
}

static void append(struct sim *s, struct sim_stream *st, const struct charging_event *e)
{
	struct sim_record *r;
	int64_t visible = sim_mono(s) + draw_delay(s);

	if (st->n == st->cap) {
		st->cap = st->cap == 0 ? 256 : 2 * st->cap;
		st->records = realloc(st->records, st->cap * sizeof(*st->records));
		assert(st->records != NULL);
	}
	if (st == &s->from_outlet && st->n > 0 && visible < st->records[st->n - 1].visible_ns)
		visible = st->records[st->n - 1].visible_ns;
	r = &st->records[st->n];
	*r = (struct sim_record){ .event = over_the_wire(s, e),
				  .at_ns = sim_now(s),
				  .visible_ns = visible };
	memcpy(r->id.b, &st->n, sizeof(st->n)); /* shard and sequence number */
	r->id.b[8] = st == &s->from_app ? 1 : 2;
	st->n++;
}

struct sending {
	struct sim *s;
	struct sim_stream *stream;
};

static bool send_event(void *user, const struct stored_event *e)
{
	struct sending *x = user;

	append(x->s, x->stream, &e->event);
	x->stream->sent = e->seq;
	return true;
}

static void send_some(struct sim_process *p, size_t n)
{
	struct sim *s = p->sim;
	struct sim_stream *st = stream_of(p);
	struct sending x = { s, st };
	size_t had = st->n;
	ev_err e;

	if (!p->up)
		return;
	e = p->query->ops->events(p->query, st->sent, n, send_event, &x);
	sim_must(s, e == EV_OK, "the events cannot be read");
	if (st->n > had)
		sim_trace(s, "  %zu events sent by process %d", st->n - had, (int)p->role);
	if (s->calm || sim_chance(s, 50))
		st->sent_known = st->sent;
}

/* A process that was stalled puts an event that it had put before, at times long before. */
static void repeat_record(struct sim *s, struct sim_stream *st)
{
	size_t back = st->n < 40 || sim_chance(s, 40) ? st->n : 40;
	struct charging_event again;

	if (back == 0)
		return;
	again = st->records[st->n - 1 - sim_below(s, back)].event;
	s->reached->records_repeated++;
	append(s, st, &again);
}

/* --- reading --- */

/* Up to max records in order; returns how many. */
static size_t pick_in_order(struct sim *s, const struct sim_stream *st, size_t max, size_t *out)
{
	size_t n = 0;

	while (n < max && st->position + n < st->n &&
	       st->records[st->position + n].visible_ns <= sim_mono(s)) {
		out[n] = st->position + n;
		n++;
	}
	return n;
}

static bool is_taken(const size_t *taken, size_t n, size_t record)
{
	for (size_t i = 0; i < n; i++) {
		if (taken[i] == record)
			return true;
	}
	return false;
}

/* Any that may be read now, the older ones rather, and at times one that was read before. */
static size_t pick_any(struct sim *s, const struct sim_stream *st, size_t max, size_t *out)
{
	size_t n = 0;

	for (size_t i = st->checkpoint; i < st->n && n < max; i++) {
		const struct sim_record *r = &st->records[i];
		bool again = r->consumed && !s->calm && st->n - i < 30 && sim_chance(s, 2);

		if (r->visible_ns > sim_mono(s) || (r->consumed && !again))
			continue;
		if (!s->calm && sim_chance(s, 30))
			continue;
		s->reached->records_repeated += again;
		if (!is_taken(out, n, i))
			out[n++] = i;
	}
	if (n > 1 && !s->calm && sim_chance(s, 30)) {
		size_t last = out[n - 1];

		out[n - 1] = out[0];
		out[0] = last;
	}
	return n;
}

static void read_some(struct sim_process *p, size_t max)
{
	struct sim *s = p->sim;
	struct sim_stream *st = stream_read_by(p);
	struct sim_task *tasks[SIM_BATCH];
	size_t records[SIM_BATCH];
	size_t n, i;

	max = max < SIM_BATCH ? max : SIM_BATCH;
	if (!p->up)
		return;
	n = p->role == ROLE_APP ? pick_in_order(s, st, max, records)
				: pick_any(s, st, max, records);
	if (n == 0)
		return;
	for (i = 0; i < n; i++) {
		const struct charging_event *e = &st->records[records[i]].event;

		sim_trace(s, "  process %d reads %s of outlet %u, session %02x%02x, %lld mWh",
			  (int)p->role, outlet_state_text(e->state), e->outlet_id.b[0],
			  e->session_id.b[0], e->session_id.b[1], (long long)e->energy_mwh);
		tasks[i] = sim_task_new(JOB_COUNT, 0);
		tasks[i]->record = records[i];
	}
	sim_run(p, tasks, n);
	for (i = 0; p->up && i < n; i++) {
		if (tasks[i]->durable)
			st->records[records[i]].consumed = true;
	}
	/* Never past one that failed. */
	for (i = 0; p->up && i < n && tasks[i]->durable && p->role == ROLE_APP; i++)
		st->position++;
	for (i = 0; i < n; i++)
		sim_task_free(tasks[i]);
	if (p->role == ROLE_APP && (s->calm || sim_chance(s, 40)))
		st->checkpoint = st->position;
}

void streams_crash(struct sim_process *p)
{
	struct sim_stream *out = stream_of(p);
	struct sim_stream *in = stream_read_by(p);

	out->sent = out->sent_known;
	p->sim->reached->records_repeated += in->position > in->checkpoint;
	in->position = in->checkpoint;
	for (size_t i = in->n; p->role == ROLE_OUTLET && i > 0 && in->n - i < 8; i--)
		in->records[i - 1].consumed = in->records[i - 1].consumed && sim_chance(p->sim, 50);
}

void streams_step(struct sim *s)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		struct sim_process *p = &s->processes[i];

		if (sim_chance(s, 60))
			send_some(p, 1 + sim_below(s, 8));
		if (sim_chance(s, 4))
			repeat_record(s, stream_of(p));
		if (sim_chance(s, 60))
			read_some(p, 1 + sim_below(s, SIM_BATCH));
	}
}

static bool unread(const struct sim_stream *st)
{
	for (size_t i = st->checkpoint; i < st->n; i++) {
		if (!st->records[i].consumed)
			return true;
	}
	return false;
}

bool streams_drain(struct sim *s)
{
	size_t had = s->from_outlet.n + s->from_app.n;
	bool any = false;

	for (size_t i = 0; i < s->n_processes; i++) {
		struct sim_process *p = &s->processes[i];

		send_some(p, 1000);
		read_some(p, SIM_BATCH);
	}
	any = s->from_outlet.n + s->from_app.n > had;
	return any || s->from_outlet.position < s->from_outlet.n || unread(&s->from_app);
}

void streams_close(struct sim *s)
{
	free(s->from_outlet.records);
	free(s->from_app.records);
}
