/* codec/ddb_session.c — see ddb_session.h. */
#include "codec/ddb_session.h"

#include <assert.h>
#include <string.h>

#include "codec/event_proto.h"
#include "codec/pack.h"

#define FORM 1 /* of `x` */
#define X_MAX 192

enum x_flag { X_CHARGING_SEEN = 1, X_STOP_WISHED = 2, X_REQUEST_END = 4, X_FLAGS = 7 };

/* In the order in which they are written. */
enum field {
	F_ID,
	F_CUSTOMER,
	F_TAG,
	F_OUTLET,
	F_STATE,
	F_CHANNEL,
	F_START,
	F_END,
	F_ENERGY,
	F_VERSION,
	F_X,
	F_UNSENT,
	F_UNSENT_SINCE,
	F_COUNT
};

static const char *const names[F_COUNT] = {
	[F_ID] = "sessionId",
	[F_CUSTOMER] = "customerId",
	[F_TAG] = "rfidTag",
	[F_OUTLET] = "outletId",
	[F_STATE] = "outletState",
	[F_CHANNEL] = "purchaseChannel",
	[F_START] = "startTime",
	[F_END] = "endTime",
	[F_ENERGY] = "powerConsumption",
	[F_VERSION] = "version",
	[F_X] = "x",
	[F_UNSENT] = "unsent",
	[F_UNSENT_SINCE] = "unsentSince",
};

static size_t write_x(const struct session *s, uint8_t out[X_MAX])
{
	struct pack_writer w = pack_writer_over(out, X_MAX);

	assert(s->n_sums <= SESSION_SUMS_MAX);
	pack_u8(&w, FORM);
	pack_u8(&w, (s->charging_seen ? X_CHARGING_SEEN : 0U) |
			    (s->stop_wished ? X_STOP_WISHED : 0U) |
			    (s->has_request_end ? X_REQUEST_END : 0U));
	pack_time(&w, s->heard_ns);
	pack_time(&w, s->request_start_ns);
	if (s->has_request_end)
		pack_time(&w, s->request_end_ns);
	pack_int(&w, s->folded_mwh);
	pack_int(&w, s->attached_mwh);
	pack_u8(&w, s->n_sums);
	for (unsigned i = 0; i < s->n_sums; i++) {
		pack_int(&w, s->sums[i].start_ms);
		pack_int(&w, s->sums[i].mwh);
	}
	return w.n;
}

static ev_err read_x(struct ev_str x, struct session *s)
{
	struct pack_reader r = pack_reader_over(x);

	if (unpack_u8(&r, FORM) != FORM)
		return EV_CORRUPT;
	unsigned flags = unpack_u8(&r, X_FLAGS);

	s->charging_seen = (flags & X_CHARGING_SEEN) != 0;
	s->stop_wished = (flags & X_STOP_WISHED) != 0;
	s->has_request_end = (flags & X_REQUEST_END) != 0;
	s->heard_ns = unpack_time(&r);
	s->request_start_ns = unpack_time(&r);
	if (s->has_request_end)
		s->request_end_ns = unpack_time(&r);
	s->folded_mwh = unpack_int(&r);
	s->attached_mwh = unpack_int(&r);
	s->n_sums = unpack_u8(&r, SESSION_SUMS_MAX);
	for (unsigned i = 0; i < s->n_sums; i++) {
		s->sums[i].start_ms = unpack_int(&r);
		s->sums[i].mwh = unpack_int(&r);
	}
	return unpack_end(&r);
}

static void add_packed(const struct ddb_session *row, struct ddb_attrs *a)
{
	struct effects_base base = effects_base_session(&row->session);
	uint8_t bytes[ROW_EFFECTS_BYTES];

	ddb_attr_bytes(a, names[F_X], bytes, write_x(&row->session, bytes));
	if (row->effects.n == 0) {
		ddb_attr_none(a, names[F_UNSENT]);
		ddb_attr_none(a, names[F_UNSENT_SINCE]);
		return;
	}
	ddb_attr_bytes(a, names[F_UNSENT], bytes, row_effects_write(&row->effects, &base, bytes));
	ddb_attr_i64(a, names[F_UNSENT_SINCE], row->effects.since_ns);
}

void ddb_session_attrs(const struct ddb_session *row, struct ddb_attrs *a)
{
	const struct session *s = &row->session;

	ddb_attrs_init(a);
	ddb_attr_uuid(a, names[F_ID], &s->id);
	ddb_attr_uuid(a, names[F_CUSTOMER], s->has_customer ? &s->customer_id : &s->id);
	ddb_attr_s(a, names[F_TAG], rfid_tag_str(&s->tag));
	ddb_attr_uuid(a, names[F_OUTLET], &s->outlet_id);
	ddb_attr_s(a, names[F_STATE], ev_str_from(outlet_state_text(s->state)));
	ddb_attr_s(a, names[F_CHANNEL], ev_str_from(channel_text(s->channel)));
	ddb_attr_time(a, names[F_START], s->start_ns);
	if (s->has_end)
		ddb_attr_time(a, names[F_END], s->end_ns);
	else
		ddb_attr_none(a, names[F_END]);
	ddb_attr_scaled(a, names[F_ENERGY], s->energy_mwh, DDB_SCALE_KWH);
	ddb_attr_u64(a, names[F_VERSION], s->version);
	add_packed(row, a);
}

void ddb_session_key(const struct ev_uuid *id, struct json_writer *w)
{
	ddb_key_write(names[F_ID], id, w);
}

void ddb_session_put(const struct ddb_session *row, struct json_writer *w)
{
	struct ddb_attrs a;

	ddb_session_attrs(row, &a);
	ddb_item_write(&a, w);
}

static void if_unchanged(struct ddb_change *c, const struct ddb_session *was,
			 const struct ddb_attrs *a)
{
	struct ddb_attr energy = { .name = names[F_ENERGY],
				   .type = DDB_N,
				   .value = ddb_number_str(&was->energy) };

	ddb_change_if_absent(c, names[F_VERSION]);
	ddb_change_if(c, DDB_IF_EQUAL, &a->of[F_STATE]);
	ddb_change_if(c, DDB_IF_EQUAL, &energy);
}

void ddb_session_update(const struct ddb_session *was, const struct ddb_session *now,
			struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs before, after;

	ddb_session_attrs(now, &after);
	if (was == NULL) {
		ddb_change_all(&c, &after, names[F_ID], false);
		ddb_change_if_absent(&c, names[F_ID]);
	} else {
		ddb_session_attrs(was, &before);
		if (was->unversioned) {
			ddb_change_all(&c, &after, names[F_ID], true);
			if_unchanged(&c, was, &before);
		} else {
			ddb_change_diff(&c, &before, &after, names[F_ID]);
			ddb_change_if(&c, DDB_IF_EQUAL, &before.of[F_VERSION]);
		}
	}
	json_write_key(w, "Key");
	ddb_session_key(&now->session.id, w);
	ddb_change_write(&c, w);
}

/* The states that a session has (core/machine.c); the original writes no other. */
static bool is_stored(enum outlet_state s)
{
	return s == OUTLET_APP_REQUESTS_CHARGING || s == OUTLET_CHARGING ||
	       s == OUTLET_APP_REQUESTS_STOP || s == OUTLET_DEVICE_DENIES_CHARGING ||
	       s == OUTLET_CHARGING_FINISHED;
}

static ev_err read_channel(const struct ddb_value *v, enum purchase_channel *out)
{
	char room[16];
	struct ev_str s;

	if (ddb_value_text(v, room, sizeof(room), &s) != EV_OK || channel_parse(s, out) != EV_OK)
		return EV_CORRUPT;
	return EV_OK;
}

static ev_err read_ids(const struct ddb_value v[F_COUNT], struct session *s)
{
	ev_err e = ddb_value_uuid(&v[F_ID], &s->id);

	if (e == EV_OK)
		e = ddb_value_uuid(&v[F_CUSTOMER], &s->customer_id);
	if (e == EV_OK)
		e = ddb_value_uuid(&v[F_OUTLET], &s->outlet_id);
	if (e != EV_OK)
		return e;
	s->has_customer = !ev_uuid_eq(&s->customer_id, &s->id);
	if (!s->has_customer)
		s->customer_id = (struct ev_uuid){ { 0 } };
	return EV_OK;
}

static ev_err read_original(const struct ddb_value v[F_COUNT], struct session *s)
{
	ev_err e = read_ids(v, s);

	if (e == EV_OK)
		e = ddb_value_tag(&v[F_TAG], &s->tag);
	if (e == EV_OK)
		e = ddb_value_state(&v[F_STATE], &s->state);
	if (e == EV_OK && !is_stored(s->state))
		e = EV_CORRUPT;
	if (e == EV_OK)
		e = read_channel(&v[F_CHANNEL], &s->channel);
	if (e == EV_OK)
		e = ddb_value_time(&v[F_START], &s->start_ns);
	s->has_end = v[F_END].type != DDB_NONE;
	if (e == EV_OK && s->has_end)
		e = ddb_value_time(&v[F_END], &s->end_ns);
	if (e == EV_OK)
		e = ddb_value_scaled(&v[F_ENERGY], DDB_SCALE_KWH, &s->energy_mwh);
	return e;
}

/*
 * What the original's flow tells of a row (facts section 9): only a Charging event of the outlet
 * brings energy, or a session of the app to Charging and further.
 */
static bool charging_was_seen(const struct session *s)
{
	return s->energy_mwh > 0 ||
	       (s->channel == CHANNEL_MOBILE_APP && s->state != OUTLET_APP_REQUESTS_CHARGING &&
		s->state != OUTLET_DEVICE_DENIES_CHARGING);
}

static void adopt(struct session *s)
{
	if (s->energy_mwh < 0)
		s->energy_mwh = 0;
	s->charging_seen = charging_was_seen(s);
	s->heard_ns = s->has_end && s->end_ns > s->start_ns ? s->end_ns : s->start_ns;
	s->request_start_ns = s->start_ns;
}

static ev_err read_version(const struct ddb_value v[F_COUNT], struct ddb_session *row)
{
	if (v[F_VERSION].type == DDB_NONE) {
		row->session.version = 1;
		row->unversioned = true;
		adopt(&row->session);
		return ddb_value_number(&v[F_ENERGY], &row->energy);
	}
	if (ddb_value_u64(&v[F_VERSION], &row->session.version) != EV_OK ||
	    row->session.version == 0 || row->session.version > INT64_MAX)
		return EV_CORRUPT;
	return EV_OK;
}

static ev_err read_packed(const struct ddb_value v[F_COUNT], struct ddb_session *row)
{
	char room[ROW_EFFECTS_BYTES];
	struct ev_str bytes;

	if (v[F_X].type == DDB_NONE)
		adopt(&row->session);
	else if (ddb_value_bytes(&v[F_X], room, X_MAX, &bytes) != EV_OK ||
		 read_x(bytes, &row->session) != EV_OK)
		return EV_CORRUPT;
	if (v[F_UNSENT].type == DDB_NONE)
		return EV_OK;

	struct effects_base base = effects_base_session(&row->session);

	if (ddb_value_bytes(&v[F_UNSENT], room, sizeof(room), &bytes) != EV_OK || bytes.n == 0 ||
	    ddb_value_i64(&v[F_UNSENT_SINCE], &row->effects.since_ns) != EV_OK)
		return EV_CORRUPT;
	return row_effects_read(bytes, &base, &row->effects);
}

/* Their total, and what one event brings, stays within an int64_t. */
static bool may_be_decided(const struct session *s)
{
	int64_t total = s->n_sums == 0 ? s->energy_mwh : 0;

	if (s->folded_mwh < 0 || s->attached_mwh < 0 || s->energy_mwh < 0 ||
	    __builtin_add_overflow(total, s->folded_mwh, &total) ||
	    __builtin_add_overflow(total, s->attached_mwh, &total))
		return false;
	for (unsigned i = 0; i < s->n_sums; i++) {
		if (s->sums[i].mwh < 0 || __builtin_add_overflow(total, s->sums[i].mwh, &total))
			return false;
	}
	return total <= 2 * EVENT_ENERGY_MAX_MWH;
}

ev_err ddb_session_read(struct ev_str item, struct ddb_session *out)
{
	struct ddb_value v[F_COUNT];
	struct ddb_session row;
	ev_err e = ddb_read_fields(item, names, F_COUNT, v);

	memset(&row, 0, sizeof(row));
	if (e == EV_OK)
		e = read_original(v, &row.session);
	if (e == EV_OK)
		e = read_version(v, &row);
	if (e == EV_OK && !row.unversioned)
		e = read_packed(v, &row);
	if (e != EV_OK)
		return e;
	if (!may_be_decided(&row.session))
		return EV_CORRUPT;
	*out = row;
	return EV_OK;
}
