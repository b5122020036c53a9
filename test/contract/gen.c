#include "contract/gen.h"

#include <string.h>

#define DAY_NS (INT64_C(86400) * 1000000000)
#define START_NS (INT64_C(1717200000) * 1000000000)

/* splitmix64: any state is a good one. */
uint64_t gen_u64(struct gen *g)
{
	uint64_t z = g->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t gen_below(struct gen *g, uint64_t n)
{
	return gen_u64(g) % n;
}

bool gen_bool(struct gen *g)
{
	return gen_below(g, 2) == 1 || g->full;
}

static unsigned gen_count(struct gen *g, unsigned max)
{
	unsigned n = (unsigned)gen_below(g, max + 1U);

	return g->full ? max : n;
}

int64_t gen_time(struct gen *g)
{
	return START_NS + (int64_t)gen_below(g, (uint64_t)DAY_NS);
}

static int64_t gen_mwh(struct gen *g)
{
	return (int64_t)gen_below(g, MESSAGE_ENERGY_MAX_MWH) + 1;
}

static void id_bytes(uint8_t out[16], char kind, uint64_t n)
{
	struct gen g = { .state = n * 256 + (uint8_t)kind };

	for (size_t i = 0; i < 16; i++)
		out[i] = (uint8_t)gen_u64(&g);
}

struct ev_uuid id_of(char kind, uint64_t n)
{
	struct ev_uuid id;

	id_bytes(id.b, kind, n);
	return id;
}

struct identity identity_of(char kind, uint64_t n)
{
	struct identity id;

	id_bytes(id.b, kind, n);
	return id;
}

static struct ev_uuid gen_id(struct gen *g)
{
	return id_of('x', gen_u64(g));
}

static struct identity gen_identity(struct gen *g)
{
	return identity_of('x', gen_u64(g));
}

struct rfid_tag gen_tag(struct gen *g)
{
	static const char *const tags[] = {
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", /* 64 bytes */
		"ümläut-€-充电-ümläut-€-充电-ümläut-€-充电-üü",                     /* 64 bytes */
		"04a2b9c1d2e380",
		"",
	};
	const char *s = tags[gen_below(g, g->full ? 2 : EV_ARRAY_LEN(tags))];
	struct rfid_tag t = { .n = (uint8_t)strlen(s) };

	memcpy(t.s, s, t.n);
	return t;
}

void gen_text(struct gen *g, char *out, size_t cap)
{
	static const char piece[] = "Zürich, Löwenstraße 7 ⚡ ";
	size_t n = g->full ? cap - 1 : (size_t)gen_below(g, cap);
	size_t at = 0;

	memset(out, 0, cap);
	while (n - at >= sizeof(piece) - 1) {
		memcpy(out + at, piece, sizeof(piece) - 1);
		at += sizeof(piece) - 1;
	}
	memset(out + at, 'z', n - at);
}

static enum outlet_state gen_outlet_state(struct gen *g)
{
	static const enum outlet_state states[] = { OUTLET_AVAILABLE, OUTLET_CABLE_PLUGGED,
						    OUTLET_CHARGING, OUTLET_CHARGING_FINISHED };

	return states[gen_below(g, EV_ARRAY_LEN(states))];
}

static struct outlet_request gen_request(struct gen *g)
{
	struct outlet_request r = { .status = (enum request_status)gen_count(g, REQUEST_ANSWERED) };

	if (r.status == REQUEST_NONE)
		return r;
	r.tag = gen_tag(g);
	r.period_start_ns = gen_time(g);
	r.period_end_ns = gen_time(g);
	r.at_ns = gen_time(g);
	r.event_id = gen_identity(g);
	return r;
}

static void gen_outlet_lists(struct gen *g, struct outlet *o)
{
	o->n_recent = gen_count(g, OUTLET_RECENT_MAX);
	for (unsigned i = 0; i < o->n_recent; i++) {
		struct ended_session *e = &o->recent[i];

		e->id = gen_id(g);
		e->tag = gen_tag(g);
		e->since_ns = gen_time(g);
		e->start_ns = gen_time(g);
		e->end_ns = gen_time(g);
		e->sum_mwh = gen_mwh(g);
	}
	o->n_refused = gen_count(g, OUTLET_REFUSED_MAX);
	for (unsigned i = 0; i < o->n_refused; i++)
		o->refused[i] = gen_id(g);
	o->n_ids = gen_count(g, OUTLET_IDS_MAX);
	for (unsigned i = 0; i < o->n_ids; i++)
		o->ids[i] = gen_identity(g);
}

struct outlet gen_outlet(struct gen *g, const struct ev_uuid *id, uint64_t version)
{
	struct outlet o = { .id = *id, .version = version };

	o.state = gen_outlet_state(g);
	o.has_session = gen_bool(g);
	if (o.has_session)
		o.session_id = gen_id(g);
	o.tag = gen_tag(g);
	o.start_ns = gen_time(g);
	o.has_end = gen_bool(g);
	o.end_ns = o.has_end ? gen_time(g) : 0;
	o.energy_mwh = gen_mwh(g);
	o.total_sessions = (int64_t)gen_below(g, 1000000);
	o.total_energy_mwh = gen_mwh(g) * 16;
	o.unassigned_mwh = gen_mwh(g);
	o.max_power_mw = INT64_C(22000000);
	o.since_ns = gen_time(g);
	o.request = gen_request(g);
	o.reported = gen_bool(g);
	o.acknowledged = gen_bool(g);
	o.stop_at_ns = gen_bool(g) ? gen_time(g) : 0;
	o.stop_repeated = gen_bool(g);
	o.stray_stop_ns = gen_bool(g) ? gen_time(g) : 0;
	o.out_of_service = gen_bool(g);
	o.retired = gen_below(g, 4) == 0;
	o.foreign = gen_bool(g);
	gen_outlet_lists(g, &o);
	return o;
}

struct outlet_info gen_info(struct gen *g)
{
	struct outlet_info i = { .group_id = id_of('g', gen_below(g, 3)) };

	gen_text(g, i.code, sizeof(i.code));
	gen_text(g, i.address, sizeof(i.address));
	i.created_ns = gen_time(g);
	return i;
}

static enum outlet_state gen_session_state(struct gen *g)
{
	static const enum outlet_state states[] = { OUTLET_APP_REQUESTS_CHARGING, OUTLET_CHARGING,
						    OUTLET_APP_REQUESTS_STOP,
						    OUTLET_DEVICE_DENIES_CHARGING,
						    OUTLET_CHARGING_FINISHED };

	return states[gen_below(g, EV_ARRAY_LEN(states))];
}

struct session gen_session(struct gen *g, const struct ev_uuid *id, uint64_t version)
{
	struct session s = { .id = *id, .version = version };

	s.has_customer = gen_bool(g);
	if (s.has_customer)
		s.customer_id = gen_id(g);
	s.tag = gen_tag(g);
	s.outlet_id = gen_id(g);
	s.state = gen_session_state(g);
	s.channel = (enum purchase_channel)gen_below(g, CHANNEL_COUNT);
	s.start_ns = gen_time(g);
	s.has_end = gen_bool(g);
	s.end_ns = s.has_end ? gen_time(g) : 0;
	s.energy_mwh = gen_mwh(g);
	s.n_sums = gen_count(g, SESSION_SUMS_MAX);
	for (unsigned i = 0; i < s.n_sums; i++)
		s.sums[i] = (struct session_sum){ gen_time(g) / 1000000, gen_mwh(g) };
	s.folded_mwh = gen_mwh(g);
	s.attached_mwh = gen_mwh(g);
	s.charging_seen = gen_bool(g);
	s.stop_wished = gen_bool(g);
	s.heard_ns = gen_time(g);
	s.request_start_ns = gen_time(g);
	s.has_request_end = gen_bool(g);
	s.request_end_ns = s.has_request_end ? gen_time(g) : 0;
	return s;
}

struct customer gen_customer(struct gen *g, const struct ev_uuid *id, uint64_t version)
{
	struct customer c = { .id = *id, .version = version };

	c.tag = gen_tag(g);
	gen_text(g, c.address, sizeof(c.address));
	gen_text(g, c.email, sizeof(c.email));
	gen_text(g, c.payment_method, sizeof(c.payment_method));
	c.blocked = gen_bool(g);
	c.created_ns = gen_time(g);
	return c;
}

struct charging_event gen_event(struct gen *g, const struct ev_uuid *outlet_id)
{
	struct charging_event e = { .outlet_id = *outlet_id };

	e.initiator = (enum initiator)gen_below(g, INITIATOR_COUNT);
	e.state = (enum outlet_state)gen_below(g, OUTLET_STATE_COUNT);
	e.has_session = gen_bool(g);
	if (e.has_session)
		e.session_id = gen_id(g);
	e.tag = gen_tag(g);
	e.period_start_ns = gen_time(g);
	e.has_period_end = gen_bool(g);
	e.period_end_ns = e.has_period_end ? gen_time(g) : 0;
	e.energy_mwh = gen_mwh(g);
	e.has_event_id = gen_bool(g);
	if (e.has_event_id)
		e.event_id = gen_identity(g);
	e.has_item = gen_bool(g);
	if (e.has_item) {
		e.item_id = gen_identity(g);
		e.item_mwh = gen_mwh(g);
	}
	return e;
}

struct device_command gen_command(struct gen *g, const struct ev_uuid *outlet_id, uint64_t version,
				  unsigned index)
{
	struct device_command c = { .outlet_id = *outlet_id, .version = version, .index = index };

	c.change = (enum outlet_state)gen_below(g, OUTLET_STATE_COUNT);
	c.tag = gen_tag(g);
	c.has_session = gen_bool(g);
	if (c.has_session)
		c.session_id = gen_id(g);
	c.period_start_ns = gen_time(g);
	c.period_end_ns = gen_time(g);
	c.energy_mwh = gen_mwh(g);
	c.created_ns = gen_time(g);
	c.expires_ns = gen_bool(g) ? gen_time(g) : 0;
	return c;
}

struct unassigned_item gen_item(struct gen *g, const struct identity *id,
				const struct ev_uuid *outlet_id)
{
	struct unassigned_item i = { .id = *id, .outlet_id = *outlet_id };

	i.at_ns = gen_time(g);
	i.mwh = gen_mwh(g);
	i.tag = gen_tag(g);
	i.attached = gen_bool(g);
	if (i.attached)
		i.session_id = gen_id(g);
	return i;
}

static struct device_message gen_message(struct gen *g)
{
	struct device_message m = { .outlet_id = gen_id(g) };

	m.tag = gen_tag(g);
	m.period_start_ns = gen_time(g);
	m.period_end_ns = gen_time(g);
	m.change = (enum outlet_state)gen_below(g, OUTLET_STATE_COUNT);
	m.energy_mwh = gen_mwh(g);
	m.message_id.n = (uint8_t)gen_count(g, MESSAGE_ID_MAX);
	memset(m.message_id.s, 'm', m.message_id.n);
	return m;
}

static void gen_input_body(struct gen *g, struct outlet_input *in)
{
	struct ev_uuid outlet_id = gen_id(g);

	switch (in->kind) {
	case OUTLET_IN_DEVICE:
		in->device = gen_message(g);
		break;
	case OUTLET_IN_EVENT:
		in->event = gen_event(g, &outlet_id);
		break;
	case OUTLET_IN_REQUEST_LAPSED:
		in->lapsed.event_id = gen_identity(g);
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		in->command.session_id = gen_id(g);
		in->command.acknowledged = gen_bool(g);
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		in->stop.session_id = gen_id(g);
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		in->finish.session_id = gen_id(g);
		break;
	case OUTLET_IN_ATTACH:
		in->attach.item_id = gen_identity(g);
		in->attach.mwh = gen_mwh(g);
		in->attach.session_id = gen_id(g);
		break;
	case OUTLET_IN_SERVICE:
		in->service.out = gen_bool(g);
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
}

struct outlet_input gen_input(struct gen *g, enum outlet_input_kind kind)
{
	struct outlet_input in = { .kind = kind };

	in.id = gen_identity(g);
	in.at_ns = gen_time(g);
	in.seen = gen_bool(g);
	in.parked = gen_bool(g);
	in.waited = gen_bool(g);
	gen_input_body(g, &in);
	return in;
}

struct parked_input gen_parked(struct gen *g, const struct identity *id,
			       const struct ev_uuid *outlet_id, enum outlet_input_kind kind)
{
	struct parked_input p = { .id = *id, .outlet_id = *outlet_id };

	p.at_ns = gen_time(g);
	p.due_ns = gen_time(g);
	p.input = gen_input(g, kind);
	return p;
}

struct dead_letter gen_dead_letter(struct gen *g, const struct identity *id)
{
	/* Bytes of any kind, also NUL and what is not UTF-8. */
	static const char bytes[DEAD_LETTER_BODY_MAX] = "{\"outletId\": \0\xff\xfe}";
	struct dead_letter d = { .id = *id };

	d.channel = (enum input_channel)gen_below(g, 2);
	d.has_outlet = gen_bool(g);
	if (d.has_outlet)
		d.outlet_id = gen_id(g);
	d.at_ns = gen_time(g);
	d.reason = (enum reason)gen_below(g, REASON_COUNT);
	gen_text(g, d.detail, sizeof(d.detail));
	d.body.p = bytes;
	d.body.n = g->full ? sizeof(bytes) : (size_t)gen_below(g, 64);
	return d;
}
