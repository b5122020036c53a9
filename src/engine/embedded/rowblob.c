#include "engine/embedded/rowblob.h"

#include <assert.h>
#include <string.h>

#define FORM 1

/* The numbers in the file are those of the enums; whoever reorders an enum must migrate. */
static_assert(REQUEST_NONE == 0 && REQUEST_ANSWERED == 4, "numbers in files");
static_assert(OUTLET_IN_DEVICE == 0 && OUTLET_IN_EVENT == 1 && OUTLET_IN_REQUEST_LAPSED == 2 &&
		      OUTLET_IN_COMMAND_LAPSED == 3 && OUTLET_IN_STOP_TIMEOUT == 4 &&
		      OUTLET_IN_OPERATOR_FINISH == 5 && OUTLET_IN_ATTACH == 6 &&
		      OUTLET_IN_SERVICE == 7 && OUTLET_IN_RETIRE == 8 && OUTLET_IN_COUNT == 9,
	      "numbers in files");
static_assert(OUTLET_AVAILABLE == 0 && OUTLET_CHARGING == 6 && OUTLET_CHARGING_FINISHED == 9 &&
		      OUTLET_STATE_COUNT == 10,
	      "numbers in files");

struct writer {
	uint8_t *p;
	size_t n, cap;
};

static inline void put(struct writer *w, const void *p, size_t n)
{
	assert(w->cap - w->n >= n);
	memcpy(w->p + w->n, p, n);
	w->n += n;
}

static void put_u8(struct writer *w, unsigned v)
{
	uint8_t b = (uint8_t)v;

	assert(v <= UINT8_MAX);
	put(w, &b, 1);
}

static void put_i64(struct writer *w, int64_t v)
{
	uint64_t u = (uint64_t)v;
	uint8_t b[8];

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(u >> (8 * i));
	put(w, b, sizeof(b));
}

static void put_tag(struct writer *w, const struct rfid_tag *t)
{
	put_u8(w, t->n);
	put(w, t->s, t->n);
}

static void put_uuid(struct writer *w, const struct ev_uuid *u)
{
	put(w, u->b, sizeof(u->b));
}

static void put_identity(struct writer *w, const struct identity *id)
{
	put(w, id->b, sizeof(id->b));
}

struct reader {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static struct reader reader_over(struct ev_str blob)
{
	return (struct reader){ (const uint8_t *)blob.p, blob.n, false };
}

static void get(struct reader *r, void *out, size_t n)
{
	if (r->bad || r->n < n) {
		r->bad = true;
		memset(out, 0, n);
		return;
	}
	memcpy(out, r->p, n);
	r->p += n;
	r->n -= n;
}

static unsigned get_u8(struct reader *r, unsigned max)
{
	uint8_t b = 0;

	get(r, &b, 1);
	if (b <= max)
		return b;
	r->bad = true;
	return 0;
}

static bool get_bool(struct reader *r)
{
	return get_u8(r, 1) == 1;
}

static int64_t get_i64(struct reader *r)
{
	uint8_t b[8];
	uint64_t u = 0;

	get(r, b, sizeof(b));
	for (unsigned i = 0; i < sizeof(b); i++)
		u |= (uint64_t)b[i] << (8 * i);
	return (int64_t)u;
}

static void get_tag(struct reader *r, struct rfid_tag *t)
{
	*t = (struct rfid_tag){ .n = (uint8_t)get_u8(r, RFID_TAG_MAX) };
	get(r, t->s, t->n);
}

static void get_uuid(struct reader *r, struct ev_uuid *u)
{
	get(r, u->b, sizeof(u->b));
}

static void get_identity(struct reader *r, struct identity *id)
{
	get(r, id->b, sizeof(id->b));
}

static void get_form(struct reader *r)
{
	if (get_u8(r, FORM) != FORM)
		r->bad = true;
}

static ev_err finish(const struct reader *r)
{
	return r->bad || r->n != 0 ? EV_CORRUPT : EV_OK;
}

static void put_request(struct writer *w, const struct outlet_request *q)
{
	put_u8(w, q->status);
	if (q->status == REQUEST_NONE)
		return;
	put_tag(w, &q->tag);
	put_i64(w, q->period_start_ns);
	put_i64(w, q->period_end_ns);
	put_i64(w, q->at_ns);
	put_identity(w, &q->event_id);
}

static void get_request(struct reader *r, struct outlet_request *q)
{
	*q = (struct outlet_request){ .status = (enum request_status)get_u8(r, REQUEST_ANSWERED) };
	if (q->status == REQUEST_NONE)
		return;
	get_tag(r, &q->tag);
	q->period_start_ns = get_i64(r);
	q->period_end_ns = get_i64(r);
	q->at_ns = get_i64(r);
	get_identity(r, &q->event_id);
}

static void put_ended(struct writer *w, const struct ended_session *s)
{
	put_uuid(w, &s->id);
	put_tag(w, &s->tag);
	put_i64(w, s->since_ns);
	put_i64(w, s->start_ns);
	put_i64(w, s->end_ns);
	put_i64(w, s->sum_mwh);
}

static void get_ended(struct reader *r, struct ended_session *s)
{
	get_uuid(r, &s->id);
	get_tag(r, &s->tag);
	s->since_ns = get_i64(r);
	s->start_ns = get_i64(r);
	s->end_ns = get_i64(r);
	s->sum_mwh = get_i64(r);
}

enum outlet_flag {
	FLAG_REPORTED = 1,
	FLAG_ACKNOWLEDGED = 2,
	FLAG_STOP_REPEATED = 4,
	FLAG_FOREIGN = 8,
	FLAG_ALL = 15
};

size_t outlet_blob_write(const struct outlet *o, uint8_t out[OUTLET_BLOB_MAX])
{
	struct writer w = { out, 0, OUTLET_BLOB_MAX };

	put_u8(&w, FORM);
	put_u8(&w, (o->reported ? FLAG_REPORTED : 0U) | (o->acknowledged ? FLAG_ACKNOWLEDGED : 0U) |
			   (o->stop_repeated ? FLAG_STOP_REPEATED : 0U) |
			   (o->foreign ? FLAG_FOREIGN : 0U));
	put_i64(&w, o->since_ns);
	put_i64(&w, o->stop_at_ns);
	put_i64(&w, o->stray_stop_ns);
	put_request(&w, &o->request);
	put_u8(&w, o->n_recent);
	for (unsigned i = 0; i < o->n_recent; i++)
		put_ended(&w, &o->recent[i]);
	put_u8(&w, o->n_refused);
	for (unsigned i = 0; i < o->n_refused; i++)
		put_uuid(&w, &o->refused[i]);
	put_u8(&w, o->n_ids);
	for (unsigned i = 0; i < o->n_ids; i++)
		put_identity(&w, &o->ids[i]);
	return w.n;
}

ev_err outlet_blob_read(struct ev_str blob, struct outlet *o)
{
	struct reader r = reader_over(blob);

	get_form(&r);
	unsigned flags = get_u8(&r, FLAG_ALL);

	o->reported = (flags & FLAG_REPORTED) != 0;
	o->acknowledged = (flags & FLAG_ACKNOWLEDGED) != 0;
	o->stop_repeated = (flags & FLAG_STOP_REPEATED) != 0;
	o->foreign = (flags & FLAG_FOREIGN) != 0;
	o->since_ns = get_i64(&r);
	o->stop_at_ns = get_i64(&r);
	o->stray_stop_ns = get_i64(&r);
	get_request(&r, &o->request);
	o->n_recent = get_u8(&r, OUTLET_RECENT_MAX);
	for (unsigned i = 0; i < o->n_recent; i++)
		get_ended(&r, &o->recent[i]);
	o->n_refused = get_u8(&r, OUTLET_REFUSED_MAX);
	for (unsigned i = 0; i < o->n_refused; i++)
		get_uuid(&r, &o->refused[i]);
	o->n_ids = get_u8(&r, OUTLET_IDS_MAX);
	for (unsigned i = 0; i < o->n_ids; i++)
		get_identity(&r, &o->ids[i]);
	return finish(&r);
}

enum session_flag { FLAG_SEEN = 1, FLAG_WISHED = 2, FLAG_REQUEST_END = 4 };

size_t session_blob_write(const struct session *s, uint8_t out[SESSION_BLOB_MAX])
{
	struct writer w = { out, 0, SESSION_BLOB_MAX };

	put_u8(&w, FORM);
	put_u8(&w, (s->charging_seen ? FLAG_SEEN : 0U) | (s->stop_wished ? FLAG_WISHED : 0U) |
			   (s->has_request_end ? FLAG_REQUEST_END : 0U));
	put_i64(&w, s->folded_mwh);
	put_i64(&w, s->attached_mwh);
	put_i64(&w, s->request_start_ns);
	if (s->has_request_end)
		put_i64(&w, s->request_end_ns);
	put_u8(&w, s->n_sums);
	for (unsigned i = 0; i < s->n_sums; i++) {
		put_i64(&w, s->sums[i].start_ms);
		put_i64(&w, s->sums[i].mwh);
	}
	return w.n;
}

ev_err session_blob_read(struct ev_str blob, struct session *s)
{
	struct reader r = reader_over(blob);

	get_form(&r);
	unsigned flags = get_u8(&r, FLAG_SEEN | FLAG_WISHED | FLAG_REQUEST_END);

	s->charging_seen = (flags & FLAG_SEEN) != 0;
	s->stop_wished = (flags & FLAG_WISHED) != 0;
	s->has_request_end = (flags & FLAG_REQUEST_END) != 0;
	s->folded_mwh = get_i64(&r);
	s->attached_mwh = get_i64(&r);
	s->request_start_ns = get_i64(&r);
	s->request_end_ns = s->has_request_end ? get_i64(&r) : 0;
	s->n_sums = get_u8(&r, SESSION_SUMS_MAX);
	for (unsigned i = 0; i < s->n_sums; i++) {
		s->sums[i].start_ms = get_i64(&r);
		s->sums[i].mwh = get_i64(&r);
	}
	return finish(&r);
}

static void put_message(struct writer *w, const struct device_message *m)
{
	put_uuid(w, &m->outlet_id);
	put_tag(w, &m->tag);
	put_i64(w, m->period_start_ns);
	put_i64(w, m->period_end_ns);
	put_u8(w, m->change);
	put_i64(w, m->energy_mwh);
	put_u8(w, m->message_id.n);
	put(w, m->message_id.s, m->message_id.n);
}

static void get_message(struct reader *r, struct device_message *m)
{
	get_uuid(r, &m->outlet_id);
	get_tag(r, &m->tag);
	m->period_start_ns = get_i64(r);
	m->period_end_ns = get_i64(r);
	m->change = (enum outlet_state)get_u8(r, OUTLET_STATE_COUNT - 1);
	m->energy_mwh = get_i64(r);
	m->message_id.n = (uint8_t)get_u8(r, MESSAGE_ID_MAX);
	get(r, m->message_id.s, m->message_id.n);
}

static void put_event(struct writer *w, const struct charging_event *e)
{
	put_u8(w, e->initiator);
	put_uuid(w, &e->outlet_id);
	put_u8(w, e->state);
	put_tag(w, &e->tag);
	put_i64(w, e->period_start_ns);
	put_i64(w, e->energy_mwh);
	put_u8(w, e->has_session);
	if (e->has_session)
		put_uuid(w, &e->session_id);
	put_u8(w, e->has_period_end);
	if (e->has_period_end)
		put_i64(w, e->period_end_ns);
	put_u8(w, e->has_event_id);
	if (e->has_event_id)
		put_identity(w, &e->event_id);
	put_u8(w, e->has_item);
	if (e->has_item) {
		put_identity(w, &e->item_id);
		put_i64(w, e->item_mwh);
	}
}

static void get_event(struct reader *r, struct charging_event *e)
{
	e->initiator = (enum initiator)get_u8(r, INITIATOR_COUNT - 1);
	get_uuid(r, &e->outlet_id);
	e->state = (enum outlet_state)get_u8(r, OUTLET_STATE_COUNT - 1);
	get_tag(r, &e->tag);
	e->period_start_ns = get_i64(r);
	e->energy_mwh = get_i64(r);
	e->has_session = get_bool(r);
	if (e->has_session)
		get_uuid(r, &e->session_id);
	e->has_period_end = get_bool(r);
	if (e->has_period_end)
		e->period_end_ns = get_i64(r);
	e->has_event_id = get_bool(r);
	if (e->has_event_id)
		get_identity(r, &e->event_id);
	e->has_item = get_bool(r);
	if (e->has_item) {
		get_identity(r, &e->item_id);
		e->item_mwh = get_i64(r);
	}
}

static void put_body(struct writer *w, const struct outlet_input *in)
{
	switch (in->kind) {
	case OUTLET_IN_DEVICE:
		put_message(w, &in->device);
		break;
	case OUTLET_IN_EVENT:
		put_event(w, &in->event);
		break;
	case OUTLET_IN_REQUEST_LAPSED:
		put_identity(w, &in->lapsed.event_id);
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		put_uuid(w, &in->command.session_id);
		put_u8(w, in->command.acknowledged);
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		put_uuid(w, &in->stop.session_id);
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		put_uuid(w, &in->finish.session_id);
		break;
	case OUTLET_IN_ATTACH:
		put_identity(w, &in->attach.item_id);
		put_i64(w, in->attach.mwh);
		put_uuid(w, &in->attach.session_id);
		break;
	case OUTLET_IN_SERVICE:
		put_u8(w, in->service.out);
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
}

static void get_body(struct reader *r, struct outlet_input *in)
{
	switch (in->kind) {
	case OUTLET_IN_DEVICE:
		get_message(r, &in->device);
		break;
	case OUTLET_IN_EVENT:
		get_event(r, &in->event);
		break;
	case OUTLET_IN_REQUEST_LAPSED:
		get_identity(r, &in->lapsed.event_id);
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		get_uuid(r, &in->command.session_id);
		in->command.acknowledged = get_bool(r);
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		get_uuid(r, &in->stop.session_id);
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		get_uuid(r, &in->finish.session_id);
		break;
	case OUTLET_IN_ATTACH:
		get_identity(r, &in->attach.item_id);
		in->attach.mwh = get_i64(r);
		get_uuid(r, &in->attach.session_id);
		break;
	case OUTLET_IN_SERVICE:
		in->service.out = get_bool(r);
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
}

size_t input_blob_write(const struct outlet_input *in, uint8_t out[INPUT_BLOB_MAX])
{
	struct writer w = { out, 0, INPUT_BLOB_MAX };

	assert(in->kind < OUTLET_IN_COUNT);
	put_u8(&w, FORM);
	put_u8(&w, in->kind);
	put_identity(&w, &in->id);
	put_i64(&w, in->at_ns);
	put_u8(&w, in->seen);
	put_u8(&w, in->parked);
	put_u8(&w, in->waited);
	put_body(&w, in);
	return w.n;
}

ev_err input_blob_read(struct ev_str blob, struct outlet_input *in)
{
	struct reader r = reader_over(blob);

	memset(in, 0, sizeof(*in));
	get_form(&r);
	in->kind = (enum outlet_input_kind)get_u8(&r, OUTLET_IN_COUNT - 1);
	get_identity(&r, &in->id);
	in->at_ns = get_i64(&r);
	in->seen = get_bool(&r);
	in->parked = get_bool(&r);
	in->waited = get_bool(&r);
	get_body(&r, in);
	return finish(&r);
}
