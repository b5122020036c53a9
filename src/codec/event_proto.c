/* codec/event_proto.c — see event_proto.h. */
#include "codec/event_proto.h"

#include <assert.h>
#include <stdalign.h>

#include "base/num.h"
#include "base/time.h"
#include "codec/charging_event.pb-c.h"
#include "codec/json_field.h"
#include "codec/proto_field.h"

/* Memory for one message, on the caller's stack: nothing is ever freed, all goes at once. */

#define ARENA_SIZE 4096

struct pb_arena {
	size_t used;
	alignas(max_align_t) uint8_t bytes[ARENA_SIZE];
};

static void *arena_alloc(void *self, size_t size)
{
	struct pb_arena *a = self;
	size_t rounded;
	void *p;

	if (size > ARENA_SIZE - a->used)
		return NULL;
	rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	p = a->bytes + a->used;
	a->used += rounded < ARENA_SIZE - a->used ? rounded : ARENA_SIZE - a->used;
	return p;
}

static void arena_free(void *self, void *p)
{
	(void)self; /* the whole arena goes at once */
	(void)p;
}

/* Decoding */

static struct ev_str bytes_str(ProtobufCBinaryData d)
{
	return (struct ev_str){ (const char *)d.data, d.len };
}

static ev_err refuse(const char **out_why, const char *why)
{
	*out_why = why;
	return EV_INVALID;
}

static ev_err read_time(const EventTimestampProto *t, int64_t *out)
{
	int64_t seconds = t->seconds;
	int64_t nanos = t->nanos;
	int64_t ns;

	/* Both of one sign, so that the product overflows only if the sum does. */
	if (seconds < 0 && nanos > 0) {
		seconds++;
		nanos -= EV_NS_PER_S;
	}
	if (__builtin_mul_overflow(seconds, EV_NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, nanos, &ns))
		return EV_INVALID;
	*out = ns;
	return EV_OK;
}

static ev_err read_session(const EventSessionProto *s, struct event_wire *w, const char **why)
{
	w->has_session = s->sessionid.len > 0;
	if (w->has_session && uuid_parse_lenient(bytes_str(s->sessionid), &w->session_id) != EV_OK)
		return refuse(why, "sessionId is no UUID");
	if (s->rfidtag.len > RFID_TAG_MAX)
		return refuse(why, "rfidTag is longer than 64 bytes");
	if (rfid_tag_set(&w->tag, bytes_str(s->rfidtag)) != EV_OK)
		return refuse(why, "rfidTag is not UTF-8");
	if (s->periodstart == NULL)
		return refuse(why, "periodStart is absent");
	if (read_time(s->periodstart, &w->period_start_ns) != EV_OK)
		return refuse(why, "periodStart is out of range");
	w->has_period_end = s->periodend != NULL;
	if (w->has_period_end && read_time(s->periodend, &w->period_end_ns) != EV_OK)
		return refuse(why, "periodEnd is out of range");
	w->power_kwh = s->powerconsumption;
	return EV_OK;
}

static ev_err read_identity(ProtobufCBinaryData d, bool *out_has, struct identity *out)
{
	*out_has = d.len > 0;
	if (d.len == 0)
		return EV_OK;
	if (d.len != sizeof(out->b))
		return EV_INVALID;
	memcpy(out->b, d.data, sizeof(out->b));
	return EV_OK;
}

static ev_err read_event(const ChargingEventProto *p, struct event_wire *w, const char **why)
{
	if (initiator_parse(bytes_str(p->initiator), &w->initiator) != EV_OK)
		return refuse(why, "initiator is none of the two backends");
	if (uuid_parse_lenient(bytes_str(p->outletid), &w->outlet_id) != EV_OK)
		return refuse(why, "outletId is no UUID");
	if (outlet_state_parse(bytes_str(p->outletstate), &w->state) != EV_OK)
		return refuse(why, "outletState is no state");
	if (p->recentsession == NULL)
		return refuse(why, "recentSession is absent");
	if (read_identity(p->eventid, &w->has_event_id, &w->event_id) != EV_OK)
		return refuse(why, "eventId is not of 16 bytes");
	if (read_identity(p->itemid, &w->has_item, &w->item_id) != EV_OK)
		return refuse(why, "itemId is not of 16 bytes");
	if (p->itemenergy < 0 || p->itemenergy > EVENT_ENERGY_MAX_MWH)
		return refuse(why, "itemEnergy is out of range");
	w->item_mwh = w->has_item ? p->itemenergy : 0;
	return read_session(p->recentsession, w, why);
}

static ev_err decode_whole(struct ev_str in, struct event_wire *out, const char **why)
{
	struct pb_arena arena;
	ProtobufCAllocator allocator = { arena_alloc, arena_free, &arena };
	struct event_wire w = { .power_kwh = 0.0 };
	const ChargingEventProto *p;
	ev_err e;

	arena.used = 0;
	p = charging_event_proto__unpack(&allocator, in.n, (const uint8_t *)in.p);
	if (p == NULL)
		return refuse(why, "not the protobuf of a charging event");
	e = read_event(p, &w, why);
	if (e == EV_OK)
		*out = w;
	return e;
}

#define FIELD_SESSION 4
#define FIELD_PERIOD_START 3
#define FIELD_PERIOD_END 4

/* Whether a message field of it comes in pieces, which no writer we know of makes. */
static bool has_pieces(struct ev_str in)
{
	struct ev_str session, ignored;
	size_t n = proto_count(in, FIELD_SESSION, &session);

	return n > 1 || (n == 1 && (proto_count(session, FIELD_PERIOD_START, &ignored) > 1 ||
				    proto_count(session, FIELD_PERIOD_END, &ignored) > 1));
}

/*
 * protobuf-c would merge the pieces, but for the numbers in them: of these it knows the last piece
 * alone, and the session's energy is one.
 */
static ev_err decode_pieces(struct ev_str in, struct event_wire *out, const char **why)
{
	char one[EVENT_PROTO_READ_MAX + PROTO_JOIN_SPARE];
	char start[sizeof(one) + PROTO_JOIN_SPARE], end[sizeof(start) + PROTO_JOIN_SPARE];
	char whole[sizeof(one) + sizeof(end) + PROTO_JOIN_SPARE];
	struct ev_str event = proto_join(in, FIELD_SESSION, one);
	struct ev_str session = { NULL, 0 };

	(void)proto_count(event, FIELD_SESSION, &session); /* one, or has_pieces were false */
	session = proto_join(session, FIELD_PERIOD_START, start);
	session = proto_join(session, FIELD_PERIOD_END, end);
	return decode_whole(proto_replace(event, FIELD_SESSION, session, whole), out, why);
}

ev_err event_wire_decode(struct ev_str in, struct event_wire *out, const char **out_why)
{
	const char *ignored;
	const char **why = out_why != NULL ? out_why : &ignored;

	if (in.n > EVENT_PROTO_READ_MAX)
		return refuse(why, "the record is longer than 4096 bytes");
	return has_pieces(in) ? decode_pieces(in, out, why) : decode_whole(in, out, why);
}

/* Encoding */

/* protobuf-c wants memory it could write to: copies of the texts, for the time of the packing. */
struct pack_texts {
	char initiator[16];
	char outlet_id[EV_UUID_TEXT + 1];
	char state[32];
	char session_id[EV_UUID_TEXT + 1];
	struct rfid_tag tag;
	struct identity event_id;
	struct identity item_id;
};

static ProtobufCBinaryData text_data(char *space, size_t cap, const char *text)
{
	size_t n = strlen(text);

	assert(n <= cap);
	memcpy(space, text, n);
	return (ProtobufCBinaryData){ n, (uint8_t *)space };
}

static ProtobufCBinaryData uuid_data(char space[EV_UUID_TEXT + 1], const struct ev_uuid *u)
{
	ev_uuid_text(u, space);
	return (ProtobufCBinaryData){ EV_UUID_TEXT, (uint8_t *)space };
}

static void write_time(EventTimestampProto *t, int64_t ns)
{
	int64_t nanos = ns % EV_NS_PER_S;

	event_timestamp_proto__init(t);
	t->seconds = ns / EV_NS_PER_S;
	if (nanos < 0) {
		nanos += EV_NS_PER_S;
		t->seconds--;
	}
	t->nanos = (int32_t)nanos;
}

static void write_session(const struct event_wire *w, EventSessionProto *s,
			  EventTimestampProto t[2], struct pack_texts *texts)
{
	event_session_proto__init(s);
	if (w->has_session)
		s->sessionid = uuid_data(texts->session_id, &w->session_id);
	texts->tag = w->tag;
	s->rfidtag = (ProtobufCBinaryData){ w->tag.n, (uint8_t *)texts->tag.s };
	write_time(&t[0], w->period_start_ns);
	s->periodstart = &t[0];
	if (w->has_period_end) {
		write_time(&t[1], w->period_end_ns);
		s->periodend = &t[1];
	}
	s->powerconsumption = w->power_kwh;
}

static void write_additions(const struct event_wire *w, ChargingEventProto *p,
			    struct pack_texts *texts)
{
	if (w->has_event_id) {
		texts->event_id = w->event_id;
		p->eventid = (ProtobufCBinaryData){ sizeof(texts->event_id.b), texts->event_id.b };
	}
	if (w->has_item) {
		texts->item_id = w->item_id;
		p->itemid = (ProtobufCBinaryData){ sizeof(texts->item_id.b), texts->item_id.b };
		p->itemenergy = w->item_mwh;
	}
}

void event_wire_encode(const struct event_wire *w, struct ev_buf *b)
{
	ChargingEventProto p;
	EventSessionProto session;
	EventTimestampProto times[2];
	struct pack_texts texts;
	size_t n;

	charging_event_proto__init(&p);
	p.initiator = text_data(texts.initiator, sizeof(texts.initiator),
				initiator_text(w->initiator));
	p.outletid = uuid_data(texts.outlet_id, &w->outlet_id);
	p.outletstate = text_data(texts.state, sizeof(texts.state), outlet_state_text(w->state));
	write_session(w, &session, times, &texts);
	p.recentsession = &session;
	write_additions(w, &p, &texts);
	n = charging_event_proto__get_packed_size(&p);
	if (b->overflow || n > b->cap - b->len) {
		b->overflow = true;
		return;
	}
	b->len += charging_event_proto__pack(&p, (uint8_t *)b->p + b->len);
}

/* Wire and core */

/* Down to the millisecond; the first instants of all stay as they are, below them is no time. */
static int64_t cut_to_ms(int64_t ns)
{
	return ns < INT64_MIN + EV_NS_PER_MS ? ns : ev_time_floor_ms(ns) * EV_NS_PER_MS;
}

ev_err event_wire_to_core(const struct event_wire *w, struct charging_event *out, enum reason *why)
{
	int64_t mwh;

	if (num_mwh_from_kwh(w->power_kwh, EVENT_ENERGY_MAX_MWH, &mwh) != EV_OK) {
		*why = REASON_ENERGY_RANGE;
		return EV_INVALID;
	}
	*out = (struct charging_event){
		.initiator = w->initiator,
		.outlet_id = w->outlet_id,
		.state = w->state,
		.has_session = w->has_session,
		.session_id = w->session_id,
		.tag = w->tag,
		.period_start_ns = cut_to_ms(w->period_start_ns),
		.has_period_end = w->has_period_end,
		.period_end_ns = cut_to_ms(w->period_end_ns),
		.energy_mwh = mwh,
		.has_event_id = w->has_event_id,
		.event_id = w->event_id,
		.has_item = w->has_item,
		.item_id = w->item_id,
		.item_mwh = w->item_mwh,
	};
	return EV_OK;
}

void event_wire_from_core(const struct charging_event *e, struct event_wire *out)
{
	*out = (struct event_wire){
		.initiator = e->initiator,
		.outlet_id = e->outlet_id,
		.state = e->state,
		.has_session = e->has_session,
		.session_id = e->session_id,
		.tag = e->tag,
		.period_start_ns = e->period_start_ns,
		.has_period_end = e->has_period_end,
		.period_end_ns = e->period_end_ns,
		.power_kwh = num_kwh_from_mwh(e->energy_mwh),
		.has_event_id = e->has_event_id,
		.event_id = e->event_id,
		.has_item = e->has_item,
		.item_id = e->item_id,
		.item_mwh = e->item_mwh,
	};
}

ev_err event_proto_decode(struct ev_str in, struct charging_event *out, enum reason *why,
			  const char **out_text)
{
	struct event_wire w;

	if (event_wire_decode(in, &w, out_text) != EV_OK) {
		*why = REASON_UNDECODABLE;
		return EV_INVALID;
	}
	if (event_wire_to_core(&w, out, why) != EV_OK) {
		if (out_text != NULL)
			*out_text = "powerConsumption is out of range";
		return EV_INVALID;
	}
	return EV_OK;
}

void event_proto_encode(const struct charging_event *e, struct ev_buf *b)
{
	struct event_wire w;

	event_wire_from_core(e, &w);
	event_wire_encode(&w, b);
}
