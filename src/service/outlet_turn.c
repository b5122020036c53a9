/* service/outlet_turn.c — load, decide, commit, for one input of one outlet. */
#include "service/outlet_turn.h"

#include <assert.h>
#include <string.h>

#include "codec/event_proto.h"

#define CONFLICTS_MAX 16 /* more in a row is a fault, not a race */
#define PARKED_MAX 8     /* inputs of one outlet tried again at a time */

static struct keyed_put *add_put(struct outlet_turn *t, enum put_kind kind)
{
	struct keyed_put *p = &t->puts[t->n_puts++];

	assert(t->n_puts <= TURN_PUTS_MAX);
	memset(p, 0, sizeof(*p));
	p->kind = kind;
	return p;
}

static void put_parked(struct outlet_turn *t)
{
	struct keyed_put *p = add_put(t, PUT_PARKED);

	p->parked = (struct parked_input){
		.id = t->in.id,
		.outlet_id = t->outlet_id,
		.at_ns = t->in.at_ns,
		.due_ns = t->in.at_ns + t->s->park_ns,
		.input = t->in,
	};
}

static void put_unpark(struct outlet_turn *t)
{
	struct keyed_put *p = add_put(t, PUT_UNPARK);

	p->unpark.id = t->in.id;
	p->unpark.outlet_id = t->outlet_id;
}

static void put_block(struct outlet_turn *t)
{
	struct keyed_put *p = add_put(t, PUT_IDENTITY_BLOCK);

	p->block.outlet_id = t->outlet_id;
	p->block.at_ns = ev_clock_wall_ns(t->s->clock);
	memcpy(p->block.ids, t->d.block, sizeof(p->block.ids));
}

static void put_attached(struct outlet_turn *t)
{
	struct keyed_put *p = add_put(t, PUT_UNASSIGNED);

	p->unassigned = t->attach_item;
	p->unassigned.attached = true;
	p->unassigned.session_id = t->in.attach.session_id;
}

static void put_replayed(struct outlet_turn *t)
{
	struct keyed_put *p = add_put(t, PUT_DEAD_LETTER_STATUS);

	p->status.id = t->in.id;
	p->status.status = DEAD_LETTER_REPLAYED;
	p->status.at_ns = ev_clock_wall_ns(t->s->clock);
}

/* What the decision leaves beside the row. */
static void collect_puts(struct outlet_turn *t)
{
	enum verdict v = t->d.verdict;

	t->n_puts = 0;
	if (v == VERDICT_REJECTED && !t->no_letter) {
		struct keyed_put *p = add_put(t, PUT_DEAD_LETTER);

		p->dead_letter = t->letter;
		p->dead_letter.reason = t->d.reason;
	}
	if (v == VERDICT_LATER && !t->is_parked)
		put_parked(t);
	if (v != VERDICT_LATER && t->is_parked)
		put_unpark(t);
	if (t->d.has_item)
		add_put(t, PUT_UNASSIGNED)->unassigned = t->d.item;
	if (t->d.has_block)
		put_block(t);
	if (t->in.kind == OUTLET_IN_ATTACH && v == VERDICT_APPLIED)
		put_attached(t);
	if (t->is_replay && v != VERDICT_REJECTED)
		put_replayed(t);
}

static ev_err commit(struct outlet_turn *t)
{
	ev_err result = EV_OK;
	struct unit u = {
		.kind = t->d.write ? UNIT_OUTLET : UNIT_NONE,
		.expected = t->cur.version,
		.outlet = t->d.write ? &t->d.next : NULL,
		.events = t->d.events,
		.n_events = t->d.n_events,
		.commands = t->d.commands,
		.n_commands = t->d.n_commands,
		.puts = t->puts,
		.n_puts = t->n_puts,
	};

	if (!t->d.write && u.n_events == 0 && u.n_puts == 0)
		return EV_OK;
	return t->s->store->ops->commit(t->s->store, &u, 1, &result);
}

/* An outlet that does not exist: a start is denied, all else is rejected. */
static void decide_unknown(struct outlet_turn *t)
{
	const struct charging_event *e = &t->in.event;

	t->d = (struct outlet_decision){ .verdict = VERDICT_REJECTED,
					 .reason = REASON_UNKNOWN_OUTLET };
	if (t->in.kind != OUTLET_IN_EVENT || !e->has_session)
		return;
	if (e->state != OUTLET_APP_REQUESTS_CHARGING && e->state != OUTLET_CHARGING)
		return;
	t->d.verdict = VERDICT_REFUSED;
	t->d.events[0] = outlet_unknown_denial(e, &t->in.id, ev_clock_wall_ns(t->s->clock));
	t->d.n_events = 1;
}

static ev_err load_and_decide(struct outlet_turn *t)
{
	struct store *store = t->s->store;
	ev_err e = store->ops->load_outlet(store, &t->outlet_id, &t->cur);

	t->found = e == EV_OK;
	if (e == EV_NOTFOUND) {
		t->cur = (struct outlet){ .version = 0 };
		decide_unknown(t);
		return EV_OK;
	}
	if (e != EV_OK)
		return e;
	if (t->in.kind == OUTLET_IN_DEVICE && !outlet_knows_identity(&t->cur, &t->in.id)) {
		e = store->ops->seen(store, &t->outlet_id, &t->in.id, &t->in.seen);
		if (e != EV_OK)
			return e;
	}
	outlet_decide(&t->cur, &t->in, &t->s->rules, ev_clock_wall_ns(t->s->clock), &t->d);
	return EV_OK;
}

static void count(struct outlet_turn *t)
{
	struct outlet_service_stats *st = &t->s->stats;

	st->verdicts[t->d.verdict]++;
	st->reasons[t->d.reason]++;
	st->credited_mwh += t->d.credited_mwh;
	st->credited_messages += t->d.credited_mwh > 0;
	st->unassigned_mwh += t->d.has_item ? t->d.item.mwh : 0;
	st->suspect += t->d.suspect;
	st->foreign_tag += t->d.foreign_tag;
	st->parked += t->d.verdict == VERDICT_LATER && !t->is_parked;
}

static bool state_changed(const struct outlet_turn *t)
{
	return t->found && t->d.write &&
	       outlet_shown_state(&t->cur) != outlet_shown_state(&t->d.next);
}

ev_err outlet_turn_run(struct outlet_turn *t)
{
	ev_err e = EV_CONFLICT;

	for (int i = 0; i < CONFLICTS_MAX && e == EV_CONFLICT; i++) {
		e = load_and_decide(t);
		if (e != EV_OK)
			return e;
		collect_puts(t);
		e = commit(t);
		t->s->stats.conflicts += e == EV_CONFLICT;
	}
	if (e != EV_OK)
		return e;
	count(t);
	e = effects_add(t->s->effects, t->d.events, t->d.n_events);
	if (e == EV_OK && state_changed(t))
		e = outlet_turn_retry_parked(t->s, &t->outlet_id);
	return e;
}

/* The dead letter a parked event would leave: its bytes as they went over the stream. */
static ev_err event_letter(struct outlet_turn *t, char *body, size_t cap)
{
	struct ev_buf b = ev_buf_over(body, cap);

	event_proto_encode(&t->in.event, &b);
	if (b.overflow)
		return EV_NOMEM;
	t->letter = (struct dead_letter){
		.id = t->in.id,
		.channel = INPUT_CHARGING_EVENT,
		.has_outlet = true,
		.outlet_id = t->outlet_id,
		.at_ns = t->in.at_ns,
		.body = ev_buf_str(&b),
	};
	return EV_OK;
}

ev_err outlet_turn_parked(struct outlet_service *s, const struct parked_input *p, bool waited)
{
	char body[EVENT_PROTO_MAX];
	struct outlet_turn t = {
		.s = s, .outlet_id = p->outlet_id, .in = p->input, .is_parked = true
	};
	ev_err e = EV_OK;

	t.in.parked = true;
	t.in.waited = waited;
	if (t.in.kind == OUTLET_IN_EVENT)
		e = event_letter(&t, body, sizeof(body));
	else
		t.no_letter = true; /* a parked request is refused, never rejected */
	return e == EV_OK ? outlet_turn_run(&t) : e;
}

ev_err outlet_turn_retry_parked(struct outlet_service *s, const struct ev_uuid *outlet_id)
{
	struct parked_input parked[PARKED_MAX];
	size_t n = 0;
	ev_err e = s->store->ops->load_parked(s->store, outlet_id, INT64_MAX, parked, PARKED_MAX,
					      &n);

	for (size_t i = 0; i < n && e == EV_OK; i++)
		e = outlet_turn_parked(s, &parked[i], false);
	return e;
}

ev_err outlet_service_event(struct outlet_service *s, const struct charging_event *event,
			    const struct identity *id, int64_t at_ns)
{
	char body[EVENT_PROTO_MAX];
	struct outlet_turn t = { .s = s, .outlet_id = event->outlet_id };
	ev_err e;

	t.in = (struct outlet_input){ .kind = OUTLET_IN_EVENT, .id = *id, .at_ns = at_ns };
	t.in.event = *event;
	e = event_letter(&t, body, sizeof(body));
	return e == EV_OK ? outlet_turn_run(&t) : e;
}
