/* codec/input_pack.c — see input_pack.h. */
#include "codec/input_pack.h"

#include <assert.h>
#include <string.h>

#include "codec/ddb_effects.h"
#include "codec/pack.h"

#define FORM 1
#define EVENT_MAX 256

enum flag { FLAG_SEEN = 1, FLAG_PARKED = 2, FLAG_WAITED = 4, FLAGS = 7 };

static void put_message(struct pack_writer *w, const struct device_message *m)
{
	pack_uuid(w, &m->outlet_id);
	pack_tag(w, &m->tag);
	pack_time(w, m->period_start_ns);
	pack_time(w, m->period_end_ns);
	pack_u8(w, m->change);
	pack_int(w, m->energy_mwh);
	pack_text(w, (struct ev_str){ m->message_id.s, m->message_id.n });
}

static struct device_message get_message(struct pack_reader *r)
{
	struct device_message m = { .outlet_id = unpack_uuid(r) };
	struct ev_str id;

	m.tag = unpack_tag(r);
	m.period_start_ns = unpack_time(r);
	m.period_end_ns = unpack_time(r);
	m.change = (enum outlet_state)unpack_u8(r, OUTLET_STATE_COUNT - 1);
	m.energy_mwh = unpack_int(r);
	if (m.energy_mwh < 0 || m.energy_mwh > MESSAGE_ENERGY_MAX_MWH)
		r->bad = true;
	id = unpack_text(r, MESSAGE_ID_MAX);
	m.message_id.n = (uint8_t)id.n;
	if (id.n > 0)
		memcpy(m.message_id.s, id.p, id.n);
	return m;
}

/* An event is one effect of a row that says nothing of itself. */
static void put_event(struct pack_writer *w, const struct charging_event *e)
{
	static const struct effects_base nothing;
	struct row_effects one = { .n = 1 };
	uint8_t bytes[ROW_EFFECTS_BYTES];

	one.of[0].event = *e;
	pack_text(w,
		  (struct ev_str){ (const char *)bytes, row_effects_write(&one, &nothing, bytes) });
}

static struct charging_event get_event(struct pack_reader *r)
{
	static const struct effects_base nothing;
	struct row_effects one = { .n = 0 };
	struct ev_str bytes = unpack_text(r, EVENT_MAX);

	if (r->bad || row_effects_read(bytes, &nothing, &one) != EV_OK || one.n != 1 ||
	    one.of[0].is_command || one.of[0].plain) {
		r->bad = true;
		return (struct charging_event){ .initiator = INITIATOR_APP_BACKEND };
	}
	return one.of[0].event;
}

static void put_body(struct pack_writer *w, const struct outlet_input *in)
{
	switch (in->kind) {
	case OUTLET_IN_DEVICE:
		put_message(w, &in->device);
		break;
	case OUTLET_IN_EVENT:
		put_event(w, &in->event);
		break;
	case OUTLET_IN_REQUEST_LAPSED:
		pack_identity(w, &in->lapsed.event_id);
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		pack_uuid(w, &in->command.session_id);
		pack_u8(w, in->command.acknowledged);
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		pack_uuid(w, &in->stop.session_id);
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		pack_uuid(w, &in->finish.session_id);
		break;
	case OUTLET_IN_ATTACH:
		pack_identity(w, &in->attach.item_id);
		pack_int(w, in->attach.mwh);
		pack_uuid(w, &in->attach.session_id);
		break;
	case OUTLET_IN_SERVICE:
		pack_u8(w, in->service.out);
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
}

static void get_body(struct pack_reader *r, struct outlet_input *in)
{
	switch (in->kind) {
	case OUTLET_IN_DEVICE:
		in->device = get_message(r);
		break;
	case OUTLET_IN_EVENT:
		in->event = get_event(r);
		break;
	case OUTLET_IN_REQUEST_LAPSED:
		in->lapsed.event_id = unpack_identity(r);
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		in->command.session_id = unpack_uuid(r);
		in->command.acknowledged = unpack_u8(r, 1) == 1;
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		in->stop.session_id = unpack_uuid(r);
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		in->finish.session_id = unpack_uuid(r);
		break;
	case OUTLET_IN_ATTACH:
		in->attach.item_id = unpack_identity(r);
		in->attach.mwh = unpack_int(r);
		in->attach.session_id = unpack_uuid(r);
		break;
	case OUTLET_IN_SERVICE:
		in->service.out = unpack_u8(r, 1) == 1;
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
}

size_t input_pack(const struct outlet_input *in, uint8_t out[INPUT_PACK_MAX])
{
	struct pack_writer w = pack_writer_over(out, INPUT_PACK_MAX);

	assert(in->kind < OUTLET_IN_COUNT);
	pack_u8(&w, FORM);
	pack_u8(&w, in->kind);
	pack_u8(&w, (in->seen ? FLAG_SEEN : 0U) | (in->parked ? FLAG_PARKED : 0U) |
			    (in->waited ? FLAG_WAITED : 0U));
	pack_identity(&w, &in->id);
	pack_time(&w, in->at_ns);
	put_body(&w, in);
	return w.n;
}

ev_err input_unpack(struct ev_str bytes, struct outlet_input *out)
{
	struct pack_reader r = pack_reader_over(bytes);
	struct outlet_input in;
	unsigned flags;

	memset(&in, 0, sizeof(in));
	if (unpack_u8(&r, FORM) != FORM)
		return EV_CORRUPT;
	in.kind = (enum outlet_input_kind)unpack_u8(&r, OUTLET_IN_COUNT - 1);
	flags = unpack_u8(&r, FLAGS);
	in.seen = (flags & FLAG_SEEN) != 0;
	in.parked = (flags & FLAG_PARKED) != 0;
	in.waited = (flags & FLAG_WAITED) != 0;
	in.id = unpack_identity(&r);
	in.at_ns = unpack_time(&r);
	get_body(&r, &in);
	if (unpack_end(&r) != EV_OK)
		return EV_CORRUPT;
	*out = in;
	return EV_OK;
}
