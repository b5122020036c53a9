/* codec/device_json.c — see device_json.h. */
#include "codec/device_json.h"

#include <assert.h>

#include "base/num.h"
#include "base/time.h"
#include "codec/json_field.h"
#include "codec/json_record.h"
#include "codec/json_write.h"

/* A message, and the one key that makes a frame an acknowledgement instead. */
struct frame_record {
	struct device_wire wire;
	struct message_id ack;
};

#define FIELD(member, name, fn, how) JSON_FIELD(struct frame_record, member, name, fn, how)

static const struct json_field fields[] = {
	FIELD(wire.m.outlet_id, "outletId", json_field_uuid, JSON_REQUIRED),
	FIELD(wire.m.tag, "rfidTag", json_field_tag, JSON_REQUIRED),
	FIELD(wire.m.period_start_ns, "periodStart", json_field_time, JSON_REQUIRED),
	FIELD(wire.m.period_end_ns, "periodEnd", json_field_time, JSON_REQUIRED),
	FIELD(wire.m.change, "outletStateChange", json_field_state, JSON_REQUIRED),
	FIELD(wire.power_kwh, "powerConsumption", json_field_double, JSON_REQUIRED),
	FIELD(wire.m.message_id, "messageId", json_field_message_id, JSON_OPTIONAL | JSON_NULLABLE),
	FIELD(ack, "ack", json_field_message_id, JSON_OPTIONAL),
};

#define N_MESSAGE (EV_ARRAY_LEN(fields) - 1) /* without `ack`, which is last */
#define ACK_BIT (UINT32_C(1) << N_MESSAGE)

ev_err device_json_decode(struct ev_str in, struct device_wire *out, struct json_error *error)
{
	struct device_wire w = { .power_kwh = 0.0 };
	struct json_reader r;
	uint32_t seen;
	ev_err e;

	static_assert(offsetof(struct frame_record, wire) == 0, "a wire is the record's beginning");
	json_read_init(&r, in, error);
	e = json_read_record(&r, fields, N_MESSAGE, &w, &seen);
	if (e == EV_OK)
		e = json_require(&r, fields, N_MESSAGE, seen);
	if (e == EV_OK)
		*out = w;
	return e;
}

ev_err device_wire_check(const struct device_wire *w, struct device_message *out, enum reason *why)
{
	int64_t mwh;
	ev_err e = num_mwh_from_kwh(w->power_kwh, MESSAGE_ENERGY_MAX_MWH, &mwh);

	if (e != EV_OK) {
		*why = REASON_ENERGY_RANGE;
		return EV_INVALID;
	}
	*out = w->m;
	out->energy_mwh = mwh;
	return EV_OK;
}

/* The six keys in the original's order; the object is left open. */
static void write_keys(struct json_writer *w, const struct device_message *m, double kwh)
{
	json_write_object(w);
	json_write_key(w, "outletId");
	json_write_uuid(w, &m->outlet_id);
	json_write_key(w, "rfidTag");
	json_write_string(w, rfid_tag_str(&m->tag));
	json_write_key(w, "periodStart");
	json_write_time(w, m->period_start_ns);
	json_write_key(w, "periodEnd");
	json_write_time(w, m->period_end_ns);
	json_write_key(w, "outletStateChange");
	json_write_z(w, outlet_state_text(m->change));
	json_write_key(w, "powerConsumption");
	json_write_double(w, kwh);
}

static void encode(const struct device_message *m, double kwh, struct ev_str id, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	write_keys(&w, m, kwh);
	if (id.n > 0) {
		json_write_key(&w, "messageId");
		json_write_string(&w, id);
	}
	json_write_object_end(&w);
}

static struct ev_str id_str(const struct message_id *id)
{
	return (struct ev_str){ id->s, id->n };
}

void device_json_encode(const struct device_message *m, struct ev_buf *b)
{
	encode(m, num_kwh_from_mwh(m->energy_mwh), id_str(&m->message_id), b);
}

void device_wire_encode(const struct device_wire *w, struct ev_buf *b)
{
	encode(&w->m, w->power_kwh, id_str(&w->m.message_id), b);
}

void device_command_encode(const struct device_command *c, struct ev_buf *b)
{
	struct device_message m = {
		.outlet_id = c->outlet_id,
		.tag = c->tag,
		.period_start_ns = c->period_start_ns,
		.period_end_ns = c->period_end_ns,
		.change = c->change,
	};
	char id[COMMAND_ID_TEXT + 1];

	command_id_text(c->version, c->index, id);
	encode(&m, num_kwh_from_mwh(c->energy_mwh), (struct ev_str){ id, COMMAND_ID_TEXT }, b);
}

void device_canonical(const struct device_wire *w, struct ev_buf *b)
{
	encode(&w->m, w->power_kwh, EV_LIT(""), b);
}

static ev_err too_many(struct json_reader *r)
{
	ev_err e = json_fail(r, "too many messages", EV_LIT(""), "");

	return e == EV_INVALID ? EV_FULL : e;
}

ev_err device_batch_split(struct ev_str body, struct ev_str *out, size_t max, size_t *out_n,
			  struct json_error *error)
{
	struct json_reader r;
	size_t n = 0;
	ev_err e;

	json_read_init(&r, body, error);
	if (json_peek(&r) != '[') {
		if (max == 0)
			return EV_FULL;
		out[0] = body;
		*out_n = 1;
		return EV_OK;
	}
	e = json_read_array(&r);
	while (e == EV_OK) {
		struct ev_str raw;
		bool more;

		e = json_read_item(&r, &more);
		if (e != EV_OK || !more)
			break;
		e = json_skip(&r, &raw);
		if (e == EV_OK && n == max)
			return too_many(&r);
		if (e == EV_OK)
			out[n++] = raw;
	}
	if (e == EV_OK)
		e = json_read_end(&r);
	if (e == EV_OK)
		*out_n = n;
	return e;
}

ev_err gateway_frame_decode(struct ev_str in, struct gateway_frame *out, struct json_error *error)
{
	struct frame_record record = { .ack.n = 0 };
	struct json_reader r;
	uint32_t seen;
	ev_err e;

	json_read_init(&r, in, error);
	e = json_read_record(&r, fields, EV_ARRAY_LEN(fields), &record, &seen);
	if (e != EV_OK)
		return e;
	if (seen == ACK_BIT) {
		*out = (struct gateway_frame){ .kind = GATEWAY_FRAME_ACK, .ack = record.ack };
		return EV_OK;
	}
	e = json_require(&r, fields, N_MESSAGE, seen);
	if (e == EV_OK)
		*out = (struct gateway_frame){ .kind = GATEWAY_FRAME_MESSAGE, .wire = record.wire };
	return e;
}

static void write_id(struct json_writer *w, const struct message_id *id)
{
	json_write_key(w, "ack");
	if (id->n > 0)
		json_write_string(w, id_str(id));
	else
		json_write_null(w);
}

static void write_reason(struct json_writer *w, const struct gateway_answer *a)
{
	char text[256];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	json_write_key(w, "reason");
	if (a->reason == REASON_NONE) {
		json_write_null(w);
		return;
	}
	ev_buf_z(&b, reason_text(a->reason));
	if (a->detail[0] != '\0') {
		ev_buf_z(&b, ": ");
		ev_buf_z(&b, a->detail);
	}
	assert(!b.overflow);
	json_write_string(w, ev_buf_str(&b));
}

void gateway_answer_encode(const struct gateway_answer *a, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	write_id(&w, &a->ack);
	json_write_key(&w, "verdict");
	json_write_z(&w, verdict_text(a->verdict));
	write_reason(&w, a);
	json_write_key(&w, "outletState");
	if (a->has_state)
		json_write_z(&w, outlet_state_text(a->state));
	else
		json_write_null(&w);
	json_write_object_end(&w);
}

void gateway_ack_encode(const struct message_id *id, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	write_id(&w, id);
	json_write_object_end(&w);
}
