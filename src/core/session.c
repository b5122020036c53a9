/* core/session.c — the App Backend's decisions about one session; design section 4. */
#include "core/session.h"

#include <assert.h>
#include <string.h>

#include "base/time.h"
#include "core/machine.h"

static void begin(const struct session *cur, int64_t now_ns, struct session_decision *out)
{
	*out = (struct session_decision){ .verdict = VERDICT_DUPLICATE, .next = *cur };
	out->next.version = row_next_version(cur->version, now_ns);
}

static void finish(struct session_decision *d, enum verdict v, enum reason r, bool write)
{
	d->verdict = v;
	d->reason = r;
	d->write = write;
}

static void reject(const struct session *cur, struct session_decision *out, enum reason r)
{
	*out = (struct session_decision){ .verdict = VERDICT_REJECTED, .reason = r, .next = *cur };
}

static void go(struct session *s, enum outlet_state to)
{
	assert(session_may_go(s->state, to));
	s->state = to;
}

static int64_t later_of(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static struct charging_event *put(struct session_decision *d, enum outlet_state state,
				  const struct identity *seed)
{
	struct charging_event *e = &d->events[d->n_events];

	assert(d->n_events < EV_ARRAY_LEN(d->events));
	*e = (struct charging_event){
		.initiator = INITIATOR_APP_BACKEND,
		.outlet_id = d->next.outlet_id,
		.state = state,
		.has_session = true,
		.session_id = d->next.id,
		.tag = d->next.tag,
		.period_start_ns = d->next.start_ns,
		.has_period_end = d->next.has_end,
		.period_end_ns = d->next.end_ns,
		.energy_mwh = d->next.energy_mwh,
		.has_event_id = true,
		.event_id = *seed,
	};
	e->event_id.b[14] = (uint8_t)(e->event_id.b[14] ^ 0xa0U ^ (d->n_events + 1));
	d->n_events++;
	return e;
}

/*
 * The sum of a periodStart; a new one pushes the oldest into the fold.  Newest first by start, not
 * by arrival, so that whatever is older than all four may have been folded: NULL, not counted.
 */
static struct session_sum *find_sum(struct session *s, int64_t start_ms)
{
	unsigned i = 0;

	while (i < s->n_sums && s->sums[i].start_ms > start_ms)
		i++;
	if (i < s->n_sums && s->sums[i].start_ms == start_ms)
		return &s->sums[i];
	if (i == SESSION_SUMS_MAX)
		return NULL;
	if (s->n_sums == SESSION_SUMS_MAX)
		s->folded_mwh += s->sums[--s->n_sums].mwh;
	memmove(&s->sums[i + 1], &s->sums[i], (s->n_sums - i) * sizeof(s->sums[0]));
	s->n_sums++;
	s->sums[i] = (struct session_sum){ .start_ms = start_ms };
	/* A row of the original: what it holds is the sum of the first start that we see. */
	if (s->n_sums == 1 && s->folded_mwh == 0 && s->attached_mwh == 0)
		s->sums[i].mwh = s->energy_mwh;
	return &s->sums[i];
}

static void total(struct session *s)
{
	int64_t sum = s->folded_mwh + s->attached_mwh;

	for (unsigned i = 0; i < s->n_sums; i++)
		sum += s->sums[i].mwh;
	s->energy_mwh = sum;
}

static void add_energy(struct session *s, const struct charging_event *e, bool item_known)
{
	struct session_sum *sum = find_sum(s, ev_time_floor_ms(e->period_start_ns));

	if (sum != NULL)
		sum->mwh = later_of(sum->mwh, e->energy_mwh);
	if (e->has_item && !item_known)
		s->attached_mwh += e->item_mwh;
	total(s);
}

static void end_at(struct session *s, int64_t at_ns)
{
	s->end_ns = s->has_end ? later_of(s->end_ns, at_ns) : later_of(s->start_ns, at_ns);
	s->has_end = true;
}

static void on_denial(struct session_decision *d, int64_t now_ns)
{
	struct session *s = &d->next;

	if (!session_is_live(s->state) || s->energy_mwh > 0) {
		finish(d, VERDICT_DUPLICATE, REASON_MOVED_ON, false);
		return;
	}
	go(s, OUTLET_DEVICE_DENIES_CHARGING);
	end_at(s, now_ns);
	finish(d, VERDICT_APPLIED, REASON_NONE, true);
}

static void on_charging(struct session_decision *d, const struct charging_event *e, bool grew)
{
	struct session *s = &d->next;

	if (s->state == OUTLET_APP_REQUESTS_CHARGING ||
	    (s->state == OUTLET_DEVICE_DENIES_CHARGING && s->energy_mwh > 0)) {
		go(s, OUTLET_CHARGING);
		if (s->stop_wished) {
			go(s, OUTLET_APP_REQUESTS_STOP);
			put(d, OUTLET_APP_REQUESTS_STOP, &e->event_id);
		}
	} else if (s->state == OUTLET_CHARGING_FINISHED && grew) {
		/* Someone still charges on a session that is over. */
		put(d, OUTLET_APP_REQUESTS_STOP, &e->event_id);
	}
	s->charging_seen = true;
	if (e->has_period_end)
		end_at(s, e->period_end_ns);
}

static void on_finished(struct session_decision *d, const struct charging_event *e, int64_t now_ns)
{
	struct session *s = &d->next;

	if (s->state == OUTLET_DEVICE_DENIES_CHARGING && s->energy_mwh == 0)
		return;
	go(s, OUTLET_CHARGING_FINISHED);
	if (e->has_period_end || !s->has_end)
		end_at(s, e->has_period_end ? e->period_end_ns : now_ns);
}

/* What devices reported, without what a person attached. */
static int64_t reported_mwh(const struct session *s)
{
	return s->energy_mwh - s->attached_mwh;
}

/* All but version and hearing time. */
static bool is_same(const struct session *a, const struct session *b)
{
	return a->state == b->state && a->energy_mwh == b->energy_mwh && a->has_end == b->has_end &&
	       a->end_ns == b->end_ns && a->charging_seen == b->charging_seen &&
	       a->attached_mwh == b->attached_mwh && a->folded_mwh == b->folded_mwh &&
	       a->n_sums == b->n_sums;
}

/* Told once more, as by a stream read again: an ended session has all of it. */
static bool is_known(const struct session *cur, const struct session *next)
{
	return cur->state == next->state && cur->energy_mwh == next->energy_mwh &&
	       cur->has_end == next->has_end && cur->end_ns == next->end_ns;
}

void session_on_event(const struct session *cur, const struct charging_event *event,
		      bool item_known, int64_t now_ns, struct session_decision *out)
{
	bool charging = event->state == OUTLET_CHARGING;

	assert(event->has_session && ev_uuid_eq(&event->session_id, &cur->id));
	begin(cur, now_ns, out);
	out->next.heard_ns = now_ns;
	if (event->initiator != INITIATOR_OUTLET_BACKEND ||
	    (!charging && event->state != OUTLET_CHARGING_FINISHED &&
	     event->state != OUTLET_DEVICE_DENIES_CHARGING)) {
		reject(cur, out, REASON_BAD_EVENT);
		return;
	}
	if (event->state == OUTLET_DEVICE_DENIES_CHARGING) {
		on_denial(out, now_ns);
		return;
	}
	add_energy(&out->next, event, item_known);
	if (charging)
		on_charging(out, event, reported_mwh(&out->next) > reported_mwh(cur));
	else
		on_finished(out, event, now_ns);
	if (is_same(cur, &out->next) && !session_is_live(cur->state))
		finish(out, VERDICT_DUPLICATE, REASON_REPEATED, false);
	else if (cur->state != OUTLET_CHARGING_FINISHED || event->has_event_id)
		finish(out, VERDICT_APPLIED, REASON_NONE, true);
	else if (is_known(cur, &out->next))
		finish(out, VERDICT_DUPLICATE, REASON_REPEATED, false);
	else
		reject(cur, out, REASON_STALE_EVENT);
}

void session_from_request(const struct ev_uuid *id, const struct ev_uuid *customer_id,
			  const struct charging_event *request, const struct identity *seed,
			  int64_t now_ns, struct session_decision *out)
{
	*out = (struct session_decision){
		.next = {
			.id = *id,
			.version = row_next_version(0, now_ns),
			.has_customer = true,
			.customer_id = *customer_id,
			.tag = request->tag,
			.outlet_id = request->outlet_id,
			.state = OUTLET_CHARGING,
			.channel = CHANNEL_OUTLET_DEVICE,
			.start_ns = now_ns,
			.heard_ns = now_ns,
			.request_start_ns = request->period_start_ns,
			.has_request_end = request->has_period_end,
			.request_end_ns = request->period_end_ns,
		},
	};
	out->events[out->n_events++] = session_approval(&out->next, request, seed);
	finish(out, VERDICT_APPLIED, REASON_NONE, true);
}

/* The answer copies the request; sender, state and session are its own. */
static struct charging_event answer(const struct charging_event *request, enum outlet_state state,
				    const struct identity *seed)
{
	struct charging_event e = *request;

	e.initiator = INITIATOR_APP_BACKEND;
	e.state = state;
	e.energy_mwh = 0;
	e.has_event_id = true;
	e.event_id = *seed;
	e.event_id.b[14] = (uint8_t)(e.event_id.b[14] ^ 0xa0U);
	e.has_item = false;
	return e;
}

struct charging_event session_approval(const struct session *s,
				       const struct charging_event *request,
				       const struct identity *seed)
{
	struct charging_event e = answer(request, OUTLET_CHARGING, seed);

	e.has_session = true;
	e.session_id = s->id;
	return e;
}

struct charging_event session_denial(const struct charging_event *request,
				     const struct identity *seed)
{
	return answer(request, OUTLET_APP_DENIES_CHARGING, seed);
}

void session_start(const struct ev_uuid *id, const struct ev_uuid *customer_id,
		   const struct rfid_tag *tag, const struct ev_uuid *outlet_id,
		   const struct identity *seed, int64_t now_ns, struct session_decision *out)
{
	*out = (struct session_decision){
		.next = {
			.id = *id,
			.version = row_next_version(0, now_ns),
			.has_customer = true,
			.customer_id = *customer_id,
			.tag = *tag,
			.outlet_id = *outlet_id,
			.state = OUTLET_APP_REQUESTS_CHARGING,
			.channel = CHANNEL_MOBILE_APP,
			.start_ns = now_ns,
			.heard_ns = now_ns,
			.request_start_ns = now_ns,
		},
	};
	put(out, OUTLET_APP_REQUESTS_CHARGING, seed);
	finish(out, VERDICT_APPLIED, REASON_NONE, true);
}

void session_stop(const struct session *cur, const struct identity *seed, int64_t now_ns,
		  struct session_decision *out)
{
	struct session *s = &out->next;

	begin(cur, now_ns, out);
	if (!session_is_live(cur->state)) {
		finish(out, VERDICT_REFUSED, REASON_ENDED, false);
	} else if (cur->state == OUTLET_APP_REQUESTS_CHARGING) {
		s->stop_wished = true;
		finish(out, cur->stop_wished ? VERDICT_DUPLICATE : VERDICT_APPLIED, REASON_NONE,
		       !cur->stop_wished);
	} else {
		bool repeat = cur->state == OUTLET_APP_REQUESTS_STOP;

		go(s, OUTLET_APP_REQUESTS_STOP);
		put(out, OUTLET_APP_REQUESTS_STOP, seed);
		finish(out, repeat ? VERDICT_DUPLICATE : VERDICT_APPLIED, REASON_NONE, true);
	}
}

void session_supersede(const struct session *cur, int64_t now_ns, struct session_decision *out)
{
	begin(cur, now_ns, out);
	if (!session_is_live(cur->state) || !cur->charging_seen) {
		finish(out, VERDICT_DUPLICATE, REASON_MOVED_ON, false);
		return;
	}
	go(&out->next, OUTLET_CHARGING_FINISHED);
	end_at(&out->next, now_ns);
	finish(out, VERDICT_APPLIED, REASON_NONE, true);
}

void session_close(const struct session *cur, int64_t now_ns, struct session_decision *out)
{
	begin(cur, now_ns, out);
	if (!session_is_live(cur->state)) {
		finish(out, VERDICT_DUPLICATE, REASON_ENDED, false);
		return;
	}
	go(&out->next, OUTLET_CHARGING_FINISHED);
	end_at(&out->next, now_ns);
	finish(out, VERDICT_APPLIED, REASON_NONE, true);
}

void session_forget(const struct session *cur, int64_t now_ns, struct session_decision *out)
{
	begin(cur, now_ns, out);
	if (session_is_live(cur->state)) {
		finish(out, VERDICT_REFUSED, REASON_CHARGING, false);
		return;
	}
	if (!cur->has_customer) {
		finish(out, VERDICT_DUPLICATE, REASON_NOTHING_TO_DO, false);
		return;
	}
	out->next.has_customer = false;
	out->next.customer_id = (struct ev_uuid){ { 0 } };
	out->next.tag = (struct rfid_tag){ .n = 0 };
	finish(out, VERDICT_APPLIED, REASON_NONE, true);
}
