/* codec/ddb_effects.c — see ddb_effects.h. */
#include "codec/ddb_effects.h"

#include <assert.h>
#include <string.h>

#include "codec/pack.h"

/*
 * Effects one behind the other.  Each begins with a byte: what it is, whether it is plain, and of a
 * running report whose eventId is made of the newest identity its place.
 */
#define KIND_MASK 3U
#define HEAD_PLAIN 4U
#define PLACE_SHIFT 3
#define PLACES 4
#define HEAD_MAX (KIND_MASK | HEAD_PLAIN | (PLACES - 1) << PLACE_SHIFT)

enum effect_kind {
	KIND_EVENT,
	KIND_COMMAND,
	KIND_RUNNING,    /* what the row says, with an eventId made of its newest identity */
	KIND_RUNNING_ID, /* the same with an eventId of its own */
};

enum event_flag {
	EVENT_INITIATOR = 1, /* not the row's */
	EVENT_OUTLET = 2,    /* not the row's */
	EVENT_SESSION = 4,
	EVENT_SESSION_OWN = 8, /* not the row's */
	EVENT_END = 16,
	EVENT_ID = 32,
	EVENT_ITEM = 64,
	EVENT_FLAGS = 127
};

enum command_flag {
	COMMAND_OUTLET = 1,
	COMMAND_SESSION = 2,
	COMMAND_SESSION_OWN = 4,
	COMMAND_EXPIRES = 8,
	COMMAND_FLAGS = 15
};

#define COMMAND_INDEX_MAX 15 /* core/types.h: one hex digit */

struct effects_base effects_base_outlet(const struct outlet *o)
{
	struct effects_base b = {
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = o->id,
		.version = o->version,
		.has_session = o->has_session,
		.session_id = o->session_id,
		.state = o->state,
		.tag = o->tag,
		.start_ns = o->start_ns,
		.has_end = o->has_end,
		.end_ns = o->end_ns,
		.energy_mwh = o->energy_mwh,
	};

	if (o->n_ids > 0)
		b.last = o->ids[o->n_ids - 1];
	return b;
}

struct effects_base effects_base_session(const struct session *s)
{
	return (struct effects_base){
		.initiator = INITIATOR_APP_BACKEND,
		.outlet_id = s->outlet_id,
		.version = s->version,
		.has_session = true,
		.session_id = s->id,
		.state = s->state,
		.tag = s->tag,
		.start_ns = s->start_ns,
		.has_end = s->has_end,
		.end_ns = s->end_ns,
		.energy_mwh = s->energy_mwh,
	};
}

/* The event that tells what the row says, but for the eventId. */
static struct charging_event running_event(const struct effects_base *b)
{
	return (struct charging_event){
		.initiator = b->initiator,
		.outlet_id = b->outlet_id,
		.state = b->state,
		.has_session = b->has_session,
		.session_id = b->session_id,
		.tag = b->tag,
		.period_start_ns = b->start_ns,
		.has_period_end = b->has_end,
		.period_end_ns = b->end_ns,
		.energy_mwh = b->energy_mwh,
		.has_event_id = true,
	};
}

static bool is_running(const struct charging_event *e, const struct effects_base *b)
{
	return e->initiator == b->initiator && ev_uuid_eq(&e->outlet_id, &b->outlet_id) &&
	       e->state == b->state && e->has_session == b->has_session &&
	       (!e->has_session || ev_uuid_eq(&e->session_id, &b->session_id)) &&
	       ev_str_eq(rfid_tag_str(&e->tag), rfid_tag_str(&b->tag)) &&
	       e->period_start_ns == b->start_ns && e->has_period_end == b->has_end &&
	       (!e->has_period_end || e->period_end_ns == b->end_ns) &&
	       e->energy_mwh == b->energy_mwh && e->has_event_id && !e->has_item;
}

/* As the core makes the eventIds of one input (derived_id in core/outlet.c). */
static struct identity id_at(const struct effects_base *b, unsigned place)
{
	struct identity id = b->last;

	id.b[15] = (uint8_t)(id.b[15] ^ (place + 1));
	return id;
}

static unsigned place_of(const struct charging_event *e, const struct effects_base *b)
{
	unsigned place = 0;

	while (place < PLACES) {
		struct identity id = id_at(b, place);

		if (identity_eq(&id, &e->event_id))
			break;
		place++;
	}
	return place;
}

static bool is_own_session(const struct effects_base *b, bool has, const struct ev_uuid *id)
{
	return has && !(b->has_session && ev_uuid_eq(id, &b->session_id));
}

static void put_event(struct pack_writer *w, const struct effects_base *b,
		      const struct charging_event *e)
{
	bool own = is_own_session(b, e->has_session, &e->session_id);
	bool elsewhere = !ev_uuid_eq(&e->outlet_id, &b->outlet_id);

	pack_u8(w, (e->initiator != b->initiator ? EVENT_INITIATOR : 0U) |
			   (elsewhere ? EVENT_OUTLET : 0U) | (e->has_session ? EVENT_SESSION : 0U) |
			   (own ? EVENT_SESSION_OWN : 0U) | (e->has_period_end ? EVENT_END : 0U) |
			   (e->has_event_id ? EVENT_ID : 0U) | (e->has_item ? EVENT_ITEM : 0U));
	pack_u8(w, e->state);
	if (elsewhere)
		pack_uuid(w, &e->outlet_id);
	if (own)
		pack_uuid(w, &e->session_id);
	pack_tag(w, &e->tag);
	pack_time(w, e->period_start_ns);
	if (e->has_period_end)
		pack_time(w, e->period_end_ns);
	pack_int(w, e->energy_mwh);
	if (e->has_event_id)
		pack_identity(w, &e->event_id);
	if (e->has_item) {
		pack_identity(w, &e->item_id);
		pack_int(w, e->item_mwh);
	}
}

static void get_session(struct pack_reader *r, const struct effects_base *b, bool has, bool own,
			struct ev_uuid *out)
{
	/* The row's session cannot be meant if it has none. */
	if ((own && !has) || (has && !own && !b->has_session))
		r->bad = true;
	if (own)
		*out = unpack_uuid(r);
	else if (has)
		*out = b->session_id;
}

static struct charging_event get_event(struct pack_reader *r, const struct effects_base *b)
{
	unsigned flags = unpack_u8(r, EVENT_FLAGS);
	struct charging_event e = { .initiator = b->initiator, .outlet_id = b->outlet_id };

	if ((flags & EVENT_INITIATOR) != 0)
		e.initiator = b->initiator == INITIATOR_APP_BACKEND ? INITIATOR_OUTLET_BACKEND
								    : INITIATOR_APP_BACKEND;
	e.state = (enum outlet_state)unpack_u8(r, OUTLET_STATE_COUNT - 1);
	if ((flags & EVENT_OUTLET) != 0)
		e.outlet_id = unpack_uuid(r);
	e.has_session = (flags & EVENT_SESSION) != 0;
	get_session(r, b, e.has_session, (flags & EVENT_SESSION_OWN) != 0, &e.session_id);
	e.tag = unpack_tag(r);
	e.period_start_ns = unpack_time(r);
	e.has_period_end = (flags & EVENT_END) != 0;
	if (e.has_period_end)
		e.period_end_ns = unpack_time(r);
	e.energy_mwh = unpack_int(r);
	e.has_event_id = (flags & EVENT_ID) != 0;
	if (e.has_event_id)
		e.event_id = unpack_identity(r);
	e.has_item = (flags & EVENT_ITEM) != 0;
	if (e.has_item) {
		e.item_id = unpack_identity(r);
		e.item_mwh = unpack_int(r);
	}
	return e;
}

static void put_command(struct pack_writer *w, const struct effects_base *b,
			const struct device_command *c)
{
	bool own = is_own_session(b, c->has_session, &c->session_id);
	bool elsewhere = !ev_uuid_eq(&c->outlet_id, &b->outlet_id);

	assert(c->index <= COMMAND_INDEX_MAX);
	pack_u8(w, (elsewhere ? COMMAND_OUTLET : 0U) | (c->has_session ? COMMAND_SESSION : 0U) |
			   (own ? COMMAND_SESSION_OWN : 0U) |
			   (c->expires_ns != 0 ? COMMAND_EXPIRES : 0U));
	pack_u8(w, c->change << 4 | c->index);
	pack_int(w, (int64_t)(b->version - c->version));
	if (elsewhere)
		pack_uuid(w, &c->outlet_id);
	if (own)
		pack_uuid(w, &c->session_id);
	pack_tag(w, &c->tag);
	pack_time(w, c->period_start_ns);
	pack_time(w, c->period_end_ns);
	pack_int(w, c->energy_mwh);
	pack_time(w, c->created_ns);
	if (c->expires_ns != 0)
		pack_time(w, c->expires_ns);
}

static struct device_command get_command(struct pack_reader *r, const struct effects_base *b)
{
	unsigned flags = unpack_u8(r, COMMAND_FLAGS);
	struct device_command c = { .outlet_id = b->outlet_id };
	unsigned what = unpack_u8(r, (OUTLET_STATE_COUNT - 1) << 4 | COMMAND_INDEX_MAX);

	c.change = (enum outlet_state)(what >> 4);
	c.index = what & COMMAND_INDEX_MAX;
	c.version = b->version - (uint64_t)unpack_int(r);
	if ((flags & COMMAND_OUTLET) != 0)
		c.outlet_id = unpack_uuid(r);
	c.has_session = (flags & COMMAND_SESSION) != 0;
	get_session(r, b, c.has_session, (flags & COMMAND_SESSION_OWN) != 0, &c.session_id);
	c.tag = unpack_tag(r);
	c.period_start_ns = unpack_time(r);
	c.period_end_ns = unpack_time(r);
	c.energy_mwh = unpack_int(r);
	c.created_ns = unpack_time(r);
	if ((flags & COMMAND_EXPIRES) != 0) {
		c.expires_ns = unpack_time(r);
		r->bad = r->bad || c.expires_ns == 0;
	}
	return c;
}

static void put_effect(struct pack_writer *w, const struct effects_base *b,
		       const struct row_effect *e)
{
	unsigned plain = e->plain ? HEAD_PLAIN : 0;

	if (e->is_command) {
		pack_u8(w, KIND_COMMAND | plain);
		put_command(w, b, &e->command);
	} else if (!is_running(&e->event, b)) {
		pack_u8(w, KIND_EVENT | plain);
		put_event(w, b, &e->event);
	} else {
		unsigned place = place_of(&e->event, b);

		if (place < PLACES) {
			pack_u8(w, KIND_RUNNING | plain | place << PLACE_SHIFT);
			return;
		}
		pack_u8(w, KIND_RUNNING_ID | plain);
		pack_identity(w, &e->event.event_id);
	}
}

static void get_effect(struct pack_reader *r, const struct effects_base *b, struct row_effect *e)
{
	unsigned head = unpack_u8(r, HEAD_MAX);
	unsigned place = head >> PLACE_SHIFT;
	enum effect_kind kind = (enum effect_kind)(head & KIND_MASK);

	*e = (struct row_effect){ .plain = (head & HEAD_PLAIN) != 0 };
	if (kind != KIND_RUNNING && place != 0)
		r->bad = true;
	switch (kind) {
	case KIND_EVENT:
		e->event = get_event(r, b);
		break;
	case KIND_COMMAND:
		e->is_command = true;
		e->command = get_command(r, b);
		break;
	case KIND_RUNNING:
		e->event = running_event(b);
		e->event.event_id = id_at(b, place);
		break;
	case KIND_RUNNING_ID:
		e->event = running_event(b);
		e->event.event_id = unpack_identity(r);
		break;
	}
}

/* The first time is the difference to the row's start. */
static void begin(struct pack_state *s, const struct effects_base *b)
{
	s->last_ns = b->start_ns;
	pack_know_tag(s, &b->tag);
}

size_t row_effects_write(const struct row_effects *e, const struct effects_base *base,
			 uint8_t out[ROW_EFFECTS_BYTES])
{
	struct pack_writer w = pack_writer_over(out, ROW_EFFECTS_BYTES);

	assert(e->n <= ROW_EFFECTS_MAX);
	begin(&w.state, base);
	for (unsigned i = 0; i < e->n; i++)
		put_effect(&w, base, &e->of[i]);
	return w.n;
}

ev_err row_effects_read(struct ev_str bytes, const struct effects_base *base,
			struct row_effects *out)
{
	struct pack_reader r = pack_reader_over(bytes);
	struct row_effects e = { .n = 0 };

	begin(&r.state, base);
	while (r.left > 0 && !r.bad && e.n < ROW_EFFECTS_MAX)
		get_effect(&r, base, &e.of[e.n++]);
	if (unpack_end(&r) != EV_OK)
		return EV_CORRUPT;
	e.since_ns = out->since_ns;
	*out = e;
	return EV_OK;
}
