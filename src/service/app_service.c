/* service/app_service.c — the App Backend's side of the stream: requests, sums, starts, stops. */
#include "service/app_service.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "codec/event_proto.h"
#include "core/machine.h"

#define CONFLICTS_MAX 16
#define LIVE_MAX 16 /* live sessions of one outlet looked at; more than one is already an oddity */

static ev_err answer(struct job *j, ev_err e)
{
	j->err = e;
	return e;
}

static int64_t now(const struct app_service *s)
{
	return ev_clock_wall_ns(s->clock);
}

static ev_err commit_session(struct app_service *s, const struct session *cur,
			     const struct session_decision *d, const struct keyed_put *puts,
			     size_t n_puts)
{
	struct unit u = {
		.kind = d->write ? UNIT_SESSION : UNIT_NONE,
		.expected = cur != NULL ? cur->version : 0,
		.session = d->write ? &d->next : NULL,
		.events = d->events,
		.n_events = d->n_events,
		.puts = puts,
		.n_puts = n_puts,
	};
	ev_err result;
	ev_err e;

	if (!d->write && u.n_events == 0 && n_puts == 0)
		return EV_OK;
	e = s->store->ops->commit(s->store, &u, 1, &result);
	return e == EV_OK ? effects_add(s->effects, d->events, d->n_events) : e;
}

/* Events that belong to no row of ours: a denial, a repeated approval. */
static ev_err commit_event(struct app_service *s, const struct charging_event *event)
{
	struct session_decision d = { .n_events = 1, .events = { *event } };

	return commit_session(s, NULL, &d, NULL, 0);
}

static ev_err dead_letter_put(const struct charging_event *e, const struct identity *id,
			      int64_t at_ns, enum reason why, char *body, struct keyed_put *put)
{
	struct ev_buf b = ev_buf_over(body, EVENT_PROTO_MAX);

	event_proto_encode(e, &b);
	if (b.overflow)
		return EV_NOMEM;
	*put = (struct keyed_put){ .kind = PUT_DEAD_LETTER };
	put->dead_letter = (struct dead_letter){
		.id = *id,
		.channel = INPUT_CHARGING_EVENT,
		.has_outlet = true,
		.outlet_id = e->outlet_id,
		.at_ns = at_ns,
		.reason = why,
		.body = ev_buf_str(&b),
	};
	return EV_OK;
}

/* The put that closes the replayed letter, in the unit of the replay itself. */
static struct keyed_put replayed_put(const struct identity *id, int64_t at_ns)
{
	struct keyed_put put = { .kind = PUT_DEAD_LETTER_STATUS };

	put.status.id = *id;
	put.status.status = DEAD_LETTER_REPLAYED;
	put.status.at_ns = at_ns;
	return put;
}

/* An event on its way through the App. */
struct event_turn {
	struct app_service *s;
	const struct charging_event *event;
	const struct identity *id;
	int64_t at_ns;
	bool is_replay;
	enum verdict verdict;
	enum reason reason;
};

static ev_err reject(struct event_turn *t, enum reason why)
{
	char body[EVENT_PROTO_MAX];
	struct keyed_put put;
	struct session_decision none = { .write = false };
	ev_err e;

	t->verdict = VERDICT_REJECTED;
	t->reason = why;
	if (t->is_replay)
		return EV_OK;
	e = dead_letter_put(t->event, t->id, t->at_ns, why, body, &put);
	return e == EV_OK ? commit_session(t->s, NULL, &none, &put, 1) : e;
}

/* The customer who carries the tag: believed only if the row carries it.  EV_NOTFOUND: nobody. */
static ev_err find_customer(struct app_service *s, const struct rfid_tag *tag, struct customer *out)
{
	struct tag_claim claim;
	struct customer c;
	ev_err e = s->store->ops->load_claim(s->store, tag, &claim);

	if (e != EV_OK)
		return e;
	e = s->store->ops->load_customer(s->store, &claim.customer_id, &c);
	if (e != EV_OK)
		return e;
	if (!rfid_tag_eq(&c.tag, tag))
		return EV_NOTFOUND;
	*out = c;
	return EV_OK;
}

static ev_err supersede_one(struct app_service *s, const struct ev_uuid *id)
{
	struct session cur;
	struct session_decision d;
	ev_err e = EV_CONFLICT;

	for (int i = 0; i < CONFLICTS_MAX && e == EV_CONFLICT; i++) {
		e = s->store->ops->load_session(s->store, id, &cur);
		if (e != EV_OK)
			return e;
		session_supersede(&cur, now(s), &d);
		e = commit_session(s, &cur, &d, NULL, 0);
	}
	if (e == EV_OK && d.write)
		s->stats.superseded++;
	return e;
}

/* The outlet runs this session: its other ones that were seen charging are over. */
static ev_err supersede_others(struct app_service *s, const struct session *fresh)
{
	struct ev_uuid live[LIVE_MAX];
	size_t n = 0;
	ev_err e = s->store->ops->live_sessions(s->store, &fresh->outlet_id, live, LIVE_MAX, &n);

	for (size_t i = 0; i < n && e == EV_OK; i++) {
		if (!ev_uuid_eq(&live[i], &fresh->id))
			e = supersede_one(s, &live[i]);
	}
	return e;
}

/* The request's own identity: its eventId, else where it stood in the stream. */
static const struct identity *request_identity(const struct event_turn *t)
{
	return t->event->has_event_id ? &t->event->event_id : t->id;
}

/* Sessions of requests: UUIDv5 in a name space of our own, so that a repeat finds the same. */
static struct ev_uuid request_session_id(const struct identity *request)
{
	static const struct ev_uuid space = { { 0x0b, 0x5c, 0x61, 0x9e, 0x9b, 0x3d, 0x4f, 0x6a,
						0x8e, 0x21, 0x6d, 0x0f, 0x5a, 0x77, 0xc4, 0x12 } };

	return ev_uuid_v5(&space, (struct ev_str){ (const char *)request->b, sizeof(request->b) });
}

static ev_err approve(struct event_turn *t, const struct customer *c)
{
	struct app_service *s = t->s;
	const struct identity *request = request_identity(t);
	struct ev_uuid id = request_session_id(request);
	struct session cur;
	struct session_decision d;
	struct charging_event again;
	ev_err e = s->store->ops->load_session(s->store, &id, &cur);

	if (e == EV_OK) {
		t->verdict = VERDICT_DUPLICATE;
		t->reason = REASON_REPEATED;
		if (!session_is_live(cur.state))
			return EV_OK;
		again = session_approval(&cur, t->event, request);
		return commit_event(s, &again);
	}
	if (e != EV_NOTFOUND)
		return e;
	session_from_request(&id, &c->id, t->event, request, now(s), &d);
	e = commit_session(s, NULL, &d, NULL, 0);
	if (e != EV_OK)
		return e;
	s->stats.approvals++;
	return EV_OK;
}

/* Only an outlet of ours knows an answer that it has had already; and it asks with an eventId. */
static bool is_too_old(const struct event_turn *t)
{
	int64_t age_ns;

	if (t->event->has_event_id || t->is_replay)
		return false;
	return !__builtin_sub_overflow(now(t->s), t->at_ns, &age_ns) &&
	       age_ns > t->s->request_timeout_ns;
}

static ev_err on_request(struct event_turn *t)
{
	struct customer c;
	struct charging_event denial;
	ev_err e;

	if (is_too_old(t)) {
		t->verdict = VERDICT_REFUSED;
		t->reason = REASON_TOO_OLD;
		return EV_OK;
	}
	e = find_customer(t->s, &t->event->tag, &c);
	t->verdict = VERDICT_APPLIED;
	if (e == EV_OK && !c.blocked)
		return approve(t, &c);
	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	t->verdict = VERDICT_REFUSED;
	t->reason = e == EV_OK ? REASON_BLOCKED : REASON_UNKNOWN_TAG;
	t->s->stats.denials++;
	denial = session_denial(t->event, request_identity(t));
	return commit_event(t->s, &denial);
}

static ev_err decide_session(struct event_turn *t, const struct session *cur,
			     struct session_decision *d)
{
	struct app_service *s = t->s;
	struct keyed_put puts[2];
	size_t n = 0;
	bool known = false;
	ev_err e = EV_OK;

	if (t->event->has_item)
		e = s->store->ops->has_attachment(s->store, &t->event->item_id, &known);
	if (e != EV_OK)
		return e;
	session_on_event(cur, t->event, known, now(s), d);
	if (d->verdict == VERDICT_REJECTED)
		return reject(t, d->reason);
	if (t->event->has_item && !known) {
		puts[n] = (struct keyed_put){ .kind = PUT_ATTACHMENT };
		puts[n].attachment.item_id = t->event->item_id;
		puts[n].attachment.session_id = cur->id;
		puts[n++].attachment.mwh = t->event->item_mwh;
	}
	if (t->is_replay)
		puts[n++] = replayed_put(t->id, now(s));
	return commit_session(s, cur, d, puts, n);
}

/* Was this the first that was heard of its charging (docs/decisions/0012)? */
static bool is_seen_now(const struct session *cur, const struct session_decision *d)
{
	return d->write && !cur->charging_seen && d->next.charging_seen &&
	       session_is_live(d->next.state);
}

static ev_err on_session_event(struct event_turn *t)
{
	struct app_service *s = t->s;
	struct session cur;
	struct session_decision d = { .verdict = VERDICT_REJECTED };
	ev_err e = EV_CONFLICT;

	if (!t->event->has_session)
		return reject(t, REASON_NO_SESSION_ID);
	for (int i = 0; i < CONFLICTS_MAX && e == EV_CONFLICT; i++) {
		e = s->store->ops->load_session(s->store, &t->event->session_id, &cur);
		if (e == EV_NOTFOUND)
			return reject(t, REASON_UNKNOWN_SESSION);
		if (e != EV_OK)
			return e;
		e = decide_session(t, &cur, &d);
	}
	t->verdict = d.verdict;
	t->reason = d.reason;
	return e == EV_OK && is_seen_now(&cur, &d) ? supersede_others(s, &d.next) : e;
}

static ev_err run_event(struct event_turn *t)
{
	ev_err e;

	if (t->event->state == OUTLET_DEVICE_REQUESTS_CHARGING)
		e = on_request(t);
	else
		e = on_session_event(t);
	if (e == EV_OK)
		t->s->stats.verdicts[t->verdict]++;
	return e;
}

ev_err app_service_event(struct app_service *s, const struct charging_event *event,
			 const struct identity *id, int64_t at_ns)
{
	struct event_turn t = { .s = s, .event = event, .id = id, .at_ns = at_ns };

	return run_event(&t);
}

ev_err app_service_replay(struct app_service *s, const struct charging_event *event,
			  const struct dead_letter *d, struct dead_letter_job *j)
{
	struct charging_event named = *event;
	struct event_turn t = {
		.s = s, .event = &named, .id = &d->id, .at_ns = d->at_ns, .is_replay = true
	};
	ev_err e;

	if (j->has_session) {
		named.has_session = true;
		named.session_id = j->session_id;
	}
	e = run_event(&t);
	j->job.verdict = t.verdict;
	j->job.reason = t.reason;
	return answer(&j->job, e);
}

/* The customer's live session at the outlet, if there is one. */
static ev_err find_live(struct app_service *s, const struct session_job *j, struct session *out)
{
	struct ev_uuid live[LIVE_MAX];
	size_t n = 0;
	ev_err e = s->store->ops->live_sessions(s->store, &j->outlet_id, live, LIVE_MAX, &n);

	for (size_t i = 0; i < n && e == EV_OK; i++) {
		struct session cur;

		e = s->store->ops->load_session(s->store, &live[i], &cur);
		if (e == EV_OK && cur.has_customer &&
		    ev_uuid_eq(&cur.customer_id, &j->customer_id)) {
			*out = cur;
			return EV_OK;
		}
	}
	return e == EV_OK ? EV_NOTFOUND : e;
}

/* Known only where both backends share a store; EV_UNSUPPORTED elsewhere, which lets it pass. */
static ev_err check_outlet(struct app_service *s, struct session_job *j)
{
	struct outlet o;
	ev_err e = s->store->ops->load_outlet(s->store, &j->outlet_id, &o);

	if (e == EV_NOTFOUND)
		j->job.reason = REASON_UNKNOWN_OUTLET;
	return e == EV_UNSUPPORTED ? EV_OK : e;
}

static struct identity random_identity(struct app_service *s)
{
	struct identity id;

	ev_rng_fill(s->rng, id.b, sizeof(id.b));
	return id;
}

ev_err app_service_start(struct app_service *s, struct session_job *j)
{
	struct identity seed = random_identity(s);
	struct session_decision d;
	struct customer c;
	ev_err e;

	j->job.reason = REASON_NONE;
	e = s->store->ops->load_customer(s->store, &j->customer_id, &c);
	if (e == EV_OK)
		e = check_outlet(s, j);
	if (e == EV_OK && c.blocked)
		e = EV_DENIED;
	if (e != EV_OK)
		return answer(&j->job, e);
	j->job.verdict = VERDICT_DUPLICATE;
	e = find_live(s, j, &j->session);
	if (e != EV_NOTFOUND)
		return answer(&j->job, e);
	session_start(&j->session_id, &c.id, &c.tag, &j->outlet_id, &seed, now(s), &d);
	e = commit_session(s, NULL, &d, NULL, 0);
	j->session = d.next;
	j->job.verdict = VERDICT_APPLIED;
	s->stats.starts++;
	return answer(&j->job, e);
}

ev_err app_service_stop(struct app_service *s, struct session_job *j)
{
	struct identity seed = random_identity(s);
	struct session_decision d;
	struct session cur;
	ev_err e = EV_CONFLICT;

	for (int i = 0; i < CONFLICTS_MAX && e == EV_CONFLICT; i++) {
		e = s->store->ops->load_session(s->store, &j->session_id, &cur);
		if (e != EV_OK)
			return answer(&j->job, e);
		session_stop(&cur, &seed, now(s), &d);
		e = commit_session(s, &cur, &d, NULL, 0);
	}
	j->session = d.write ? d.next : cur;
	j->job.verdict = d.verdict;
	j->job.reason = d.reason;
	s->stats.stops++;
	return answer(&j->job, e);
}

/* Does the outlet still run this session?  A session of its own is ended through it. */
static ev_err outlet_carries(struct app_service *s, const struct session *cur, bool *out)
{
	struct outlet o;
	ev_err e = s->store->ops->load_outlet(s->store, &cur->outlet_id, &o);

	*out = e == EV_OK && o.state == OUTLET_CHARGING && o.has_session &&
	       ev_uuid_eq(&o.session_id, &cur->id);
	return e == EV_NOTFOUND ? EV_OK : e;
}

ev_err app_service_close(struct app_service *s, struct session_job *j)
{
	struct session_decision d;
	struct session cur;
	bool carried;
	ev_err e = s->store->ops->load_session(s->store, &j->session_id, &cur);

	if (e == EV_OK)
		e = outlet_carries(s, &cur, &carried);
	if (e != EV_OK)
		return answer(&j->job, e);
	if (carried) {
		j->session = cur;
		j->job.verdict = VERDICT_REFUSED;
		j->job.reason = REASON_CHARGING;
		return answer(&j->job, EV_OK);
	}
	session_close(&cur, now(s), &d);
	e = commit_session(s, &cur, &d, NULL, 0);
	j->session = d.write ? d.next : cur;
	j->job.verdict = d.verdict;
	j->job.reason = d.reason;
	return answer(&j->job, e);
}
