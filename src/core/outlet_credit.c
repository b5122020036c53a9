/*
 * core/outlet_credit.c — energy first: the only place that adds energy.
 *
 * Totals grow for every credited message; the session, an ended session or unassigned_mwh grows by
 * the same amount.  Design section 3, "Energy first".
 */
#include <assert.h>

#include "base/time.h"
#include "core/outlet_step.h"

/* More than the outlet could deliver in the period the device names? */
static bool is_suspect(const struct outlet *o, const struct device_message *m)
{
	int64_t ns, mw_ms;

	if (m->period_end_ns <= m->period_start_ns)
		return true;
	/* A period of centuries, or more power than int64_t holds, delivers anything. */
	if (__builtin_sub_overflow(m->period_end_ns, m->period_start_ns, &ns) ||
	    __builtin_mul_overflow(o->max_power_mw, ns / EV_NS_PER_MS, &mw_ms))
		return false;
	return m->energy_mwh > mw_ms / (EV_NS_PER_HOUR / EV_NS_PER_MS);
}

/* The session in the row, running or just ended: the row has none in any other state. */
static bool belongs_to_row(const struct outlet_step *s, bool ends_session)
{
	const struct outlet *o = &s->out->next;
	const struct rfid_tag *tag = &s->in->device.tag;

	if (!o->has_session)
		return false;
	return ends_session || (!s->earlier && (tag->n == 0 || rfid_tag_eq(tag, &o->tag)));
}

/* The newest ended session with the tag; without a tag the newest that had begun by then. */
static struct ended_session *find_ended(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	const struct rfid_tag *tag = &s->in->device.tag;

	for (unsigned i = 0; i < o->n_recent; i++) {
		struct ended_session *e = &o->recent[i];

		if (tag->n == 0 ? e->since_ns <= s->in->at_ns : rfid_tag_eq(&e->tag, tag))
			return e;
	}
	return NULL;
}

static enum credit credit_recent(struct outlet_step *s, struct ended_session *e, int64_t mwh)
{
	e->sum_mwh += mwh;
	e->end_ns = later_of(e->end_ns, s->in->at_ns);
	step_recent_event(s, e);
	return CREDIT_RECENT;
}

static enum credit credit_unassigned(struct outlet_step *s, int64_t mwh)
{
	s->out->next.unassigned_mwh += mwh;
	s->out->has_item = true;
	s->out->item = (struct unassigned_item){
		.id = s->in->id,
		.outlet_id = s->out->next.id,
		.at_ns = s->in->at_ns,
		.mwh = mwh,
		.tag = s->in->device.tag,
	};
	return CREDIT_UNASSIGNED;
}

enum credit outlet_credit(struct outlet_step *s, bool ends_session)
{
	struct outlet *o = &s->out->next;
	const struct device_message *m = &s->in->device;
	struct ended_session *e;

	assert(m->energy_mwh >= 0 && m->energy_mwh <= MESSAGE_ENERGY_MAX_MWH);
	if (m->energy_mwh == 0)
		return CREDIT_NONE;
	o->total_energy_mwh += m->energy_mwh;
	s->out->credited_mwh = m->energy_mwh;
	s->out->suspect = is_suspect(o, m);
	/* Energy on a request is nobody's: the session it asks for has not begun. */
	if (m->change == OUTLET_DEVICE_REQUESTS_CHARGING)
		return credit_unassigned(s, m->energy_mwh);
	if (belongs_to_row(s, ends_session)) {
		o->energy_mwh += m->energy_mwh;
		o->reported = true;
		return CREDIT_SESSION;
	}
	e = find_ended(s);
	return e != NULL ? credit_recent(s, e, m->energy_mwh) : credit_unassigned(s, m->energy_mwh);
}
