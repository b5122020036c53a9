/* codec/ddb_outlet.c — see ddb_outlet.h. */
#include "codec/ddb_outlet.h"

#include <assert.h>
#include <string.h>

#include "codec/event_proto.h"
#include "codec/pack.h"

#define FORM 1 /* of `x` */
#define X_MAX 1600

enum x_flag {
	X_REPORTED = 1,
	X_ACKNOWLEDGED = 2,
	X_STOP_REPEATED = 4,
	X_FOREIGN = 8,
	X_OUT_OF_SERVICE = 16,
	X_RETIRED = 32,
	X_STOP = 64,
	X_STRAY = 128,
	X_REQUEST = 256,
	X_UNASSIGNED = 512,
	X_FLAGS = 1023
};

/* In the order in which they are written. */
enum field {
	F_ID,
	F_GROUP,
	F_CODE,
	F_ADDRESS,
	F_MAX_POWER,
	F_STATE,
	F_SESSION,
	F_TAG,
	F_START,
	F_END,
	F_ENERGY,
	F_TOTAL_SESSIONS,
	F_TOTAL_ENERGY,
	F_VERSION,
	F_X,
	F_UNSENT,
	F_UNSENT_SINCE,
	F_COUNT
};

static const char *const names[F_COUNT] = {
	[F_ID] = "outletId",
	[F_GROUP] = "chargerGroupId",
	[F_CODE] = "outletCode",
	[F_ADDRESS] = "address",
	[F_MAX_POWER] = "maxPower",
	[F_STATE] = "outletState",
	[F_SESSION] = "sessionId",
	[F_TAG] = "rfidTag",
	[F_START] = "startTime",
	[F_END] = "endTime",
	[F_ENERGY] = "powerConsumption",
	[F_TOTAL_SESSIONS] = "totalChargingSessions",
	[F_TOTAL_ENERGY] = "totalPowerConsumption",
	[F_VERSION] = "version",
	[F_X] = "x",
	[F_UNSENT] = "unsent",
	[F_UNSENT_SINCE] = "unsentSince",
};

/* ---- x ---- */

static void put_request(struct pack_writer *w, const struct outlet_request *r)
{
	pack_u8(w, r->status);
	pack_tag(w, &r->tag);
	pack_time(w, r->at_ns);
	pack_time(w, r->period_start_ns);
	pack_time(w, r->period_end_ns);
	pack_identity(w, &r->event_id);
}

static struct outlet_request get_request(struct pack_reader *r)
{
	struct outlet_request q = { .status = (enum request_status)unpack_u8(r, REQUEST_ANSWERED) };

	if (q.status == REQUEST_NONE)
		r->bad = true; /* then it is not written at all */
	q.tag = unpack_tag(r);
	q.at_ns = unpack_time(r);
	q.period_start_ns = unpack_time(r);
	q.period_end_ns = unpack_time(r);
	q.event_id = unpack_identity(r);
	return q;
}

/* Since and end are server times of inputs, often whole ms; start is the time of a decision. */
static void put_ended(struct pack_writer *w, const struct ended_session *s)
{
	pack_uuid(w, &s->id);
	pack_tag(w, &s->tag);
	pack_time(w, s->end_ns);
	pack_time(w, s->since_ns);
	pack_time(w, s->start_ns);
	w->state.last_ns = s->since_ns;
	pack_int(w, s->sum_mwh);
}

static struct ended_session get_ended(struct pack_reader *r)
{
	struct ended_session s = { .id = unpack_uuid(r) };

	s.tag = unpack_tag(r);
	s.end_ns = unpack_time(r);
	s.since_ns = unpack_time(r);
	s.start_ns = unpack_time(r);
	r->state.last_ns = s.since_ns;
	s.sum_mwh = unpack_int(r);
	return s;
}

static unsigned x_flags(const struct outlet *o)
{
	return (o->reported ? X_REPORTED : 0U) | (o->acknowledged ? X_ACKNOWLEDGED : 0U) |
	       (o->stop_repeated ? X_STOP_REPEATED : 0U) | (o->foreign ? X_FOREIGN : 0U) |
	       (o->out_of_service ? X_OUT_OF_SERVICE : 0U) | (o->retired ? X_RETIRED : 0U) |
	       (o->stop_at_ns != 0 ? X_STOP : 0U) | (o->stray_stop_ns != 0 ? X_STRAY : 0U) |
	       (o->request.status != REQUEST_NONE ? X_REQUEST : 0U) |
	       (o->unassigned_mwh != 0 ? X_UNASSIGNED : 0U);
}

static size_t write_x(const struct ddb_outlet *row, uint8_t out[X_MAX])
{
	const struct outlet *o = &row->outlet;
	struct pack_writer w = pack_writer_over(out, X_MAX);
	unsigned flags = x_flags(o);

	assert(o->n_recent <= OUTLET_RECENT_MAX && o->n_refused <= OUTLET_REFUSED_MAX &&
	       o->n_ids <= OUTLET_IDS_MAX);
	pack_u8(&w, FORM);
	pack_uint(&w, flags);
	pack_time(&w, row->info.created_ns);
	pack_time(&w, o->since_ns);
	if ((flags & X_STOP) != 0)
		pack_time(&w, o->stop_at_ns);
	if ((flags & X_STRAY) != 0)
		pack_time(&w, o->stray_stop_ns);
	if ((flags & X_REQUEST) != 0)
		put_request(&w, &o->request);
	if ((flags & X_UNASSIGNED) != 0)
		pack_int(&w, o->unassigned_mwh);
	pack_u8(&w, o->n_recent << 3 | o->n_refused);
	w.state.last_ns = o->since_ns;
	for (unsigned i = 0; i < o->n_recent; i++)
		put_ended(&w, &o->recent[i]);
	for (unsigned i = 0; i < o->n_refused; i++)
		pack_uuid(&w, &o->refused[i]);
	pack_u8(&w, o->n_ids);
	for (unsigned i = 0; i < o->n_ids; i++)
		pack_identity(&w, &o->ids[i]);
	return w.n;
}

static void get_lists(struct pack_reader *r, struct outlet *o)
{
	unsigned counts = unpack_u8(r, OUTLET_RECENT_MAX << 3 | 7);

	o->n_recent = counts >> 3;
	o->n_refused = counts & 7;
	if (o->n_refused > OUTLET_REFUSED_MAX) {
		r->bad = true;
		return;
	}
	r->state.last_ns = o->since_ns;
	for (unsigned i = 0; i < o->n_recent; i++)
		o->recent[i] = get_ended(r);
	for (unsigned i = 0; i < o->n_refused; i++)
		o->refused[i] = unpack_uuid(r);
	o->n_ids = unpack_u8(r, OUTLET_IDS_MAX);
	for (unsigned i = 0; i < o->n_ids; i++)
		o->ids[i] = unpack_identity(r);
}

static ev_err read_x(struct ev_str x, struct ddb_outlet *row)
{
	struct outlet *o = &row->outlet;
	struct pack_reader r = pack_reader_over(x);

	if (unpack_u8(&r, FORM) != FORM)
		return EV_CORRUPT;
	unsigned flags = (unsigned)unpack_uint(&r, X_FLAGS);

	o->reported = (flags & X_REPORTED) != 0;
	o->acknowledged = (flags & X_ACKNOWLEDGED) != 0;
	o->stop_repeated = (flags & X_STOP_REPEATED) != 0;
	o->foreign = (flags & X_FOREIGN) != 0;
	o->out_of_service = (flags & X_OUT_OF_SERVICE) != 0;
	o->retired = (flags & X_RETIRED) != 0;
	row->info.created_ns = unpack_time(&r);
	o->since_ns = unpack_time(&r);
	if ((flags & X_STOP) != 0)
		o->stop_at_ns = unpack_time(&r);
	if ((flags & X_STRAY) != 0)
		o->stray_stop_ns = unpack_time(&r);
	if ((flags & X_REQUEST) != 0)
		o->request = get_request(&r);
	if ((flags & X_UNASSIGNED) != 0)
		o->unassigned_mwh = unpack_int(&r);
	get_lists(&r, o);
	return unpack_end(&r);
}

/* ---- writing ---- */

static void add_packed(const struct ddb_outlet *row, struct ddb_attrs *a)
{
	struct effects_base base = effects_base_outlet(&row->outlet);
	uint8_t bytes[ROW_EFFECTS_BYTES > X_MAX ? ROW_EFFECTS_BYTES : X_MAX];

	ddb_attr_bytes(a, names[F_X], bytes, write_x(row, bytes));
	if (row->effects.n == 0) {
		ddb_attr_none(a, names[F_UNSENT]);
		ddb_attr_none(a, names[F_UNSENT_SINCE]);
		return;
	}
	ddb_attr_bytes(a, names[F_UNSENT], bytes, row_effects_write(&row->effects, &base, bytes));
	ddb_attr_i64(a, names[F_UNSENT_SINCE], row->effects.since_ns);
}

void ddb_outlet_attrs(const struct ddb_outlet *row, struct ddb_attrs *a)
{
	const struct outlet *o = &row->outlet;

	ddb_attrs_init(a);
	ddb_attr_uuid(a, names[F_ID], &o->id);
	ddb_attr_uuid(a, names[F_GROUP], &row->info.group_id);
	ddb_attr_s(a, names[F_CODE], ev_str_from(row->info.code));
	ddb_attr_s(a, names[F_ADDRESS], ev_str_from(row->info.address));
	ddb_attr_scaled(a, names[F_MAX_POWER], o->max_power_mw, DDB_SCALE_W);
	ddb_attr_s(a, names[F_STATE], ev_str_from(outlet_state_text(o->state)));
	if (o->has_session)
		ddb_attr_uuid(a, names[F_SESSION], &o->session_id);
	else
		ddb_attr_none(a, names[F_SESSION]);
	ddb_attr_s(a, names[F_TAG], rfid_tag_str(&o->tag));
	ddb_attr_time(a, names[F_START], o->start_ns);
	if (o->has_end)
		ddb_attr_time(a, names[F_END], o->end_ns);
	else
		ddb_attr_none(a, names[F_END]);
	ddb_attr_scaled(a, names[F_ENERGY], o->energy_mwh, DDB_SCALE_KWH);
	ddb_attr_i64(a, names[F_TOTAL_SESSIONS], o->total_sessions);
	ddb_attr_scaled(a, names[F_TOTAL_ENERGY], o->total_energy_mwh, DDB_SCALE_KWH);
	ddb_attr_u64(a, names[F_VERSION], o->version);
	add_packed(row, a);
}

void ddb_outlet_key(const struct ev_uuid *id, struct json_writer *w)
{
	ddb_key_write(names[F_ID], id, w);
}

void ddb_outlet_put(const struct ddb_outlet *row, struct json_writer *w)
{
	struct ddb_attrs a;

	ddb_outlet_attrs(row, &a);
	ddb_item_write(&a, w);
}

/* Still as the original left it: nobody can tell but by what every change of its changes. */
static void if_unchanged(struct ddb_change *c, const struct ddb_outlet *was,
			 const struct ddb_attrs *a)
{
	struct ddb_attr total = { .name = names[F_TOTAL_ENERGY],
				  .type = DDB_N,
				  .value = ddb_number_str(&was->total) };

	ddb_change_if_absent(c, names[F_VERSION]);
	ddb_change_if(c, DDB_IF_EQUAL, &a->of[F_STATE]);
	ddb_change_if(c, DDB_IF_EQUAL, &total);
}

void ddb_outlet_update(const struct ddb_outlet *was, const struct ddb_outlet *now,
		       struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs before, after;

	ddb_outlet_attrs(now, &after);
	if (was == NULL) {
		ddb_change_all(&c, &after, names[F_ID], false);
		ddb_change_if_absent(&c, names[F_ID]);
	} else {
		ddb_outlet_attrs(was, &before);
		if (was->unversioned) {
			ddb_change_all(&c, &after, names[F_ID], true);
			if_unchanged(&c, was, &before);
		} else {
			ddb_change_diff(&c, &before, &after, names[F_ID]);
			ddb_change_if(&c, DDB_IF_EQUAL, &before.of[F_VERSION]);
		}
	}
	json_write_key(w, "Key");
	ddb_outlet_key(&now->outlet.id, w);
	ddb_change_write(&c, w);
}

/* ---- reading ---- */

static bool is_stored(enum outlet_state s)
{
	return s == OUTLET_AVAILABLE || s == OUTLET_CABLE_PLUGGED || s == OUTLET_CHARGING ||
	       s == OUTLET_CHARGING_FINISHED;
}

static ev_err read_info(const struct ddb_value v[F_COUNT], struct outlet_info *i)
{
	ev_err e = ddb_value_uuid(&v[F_GROUP], &i->group_id);

	if (e == EV_OK)
		e = ddb_value_z(&v[F_CODE], i->code, sizeof(i->code));
	if (e == EV_OK)
		e = ddb_value_z(&v[F_ADDRESS], i->address, sizeof(i->address));
	return e;
}

static ev_err read_session_fields(const struct ddb_value v[F_COUNT], struct outlet *o)
{
	ev_err e = ddb_value_tag(&v[F_TAG], &o->tag);

	o->has_session = v[F_SESSION].type != DDB_NONE;
	if (e == EV_OK && o->has_session)
		e = ddb_value_uuid(&v[F_SESSION], &o->session_id);
	if (e == EV_OK)
		e = ddb_value_time(&v[F_START], &o->start_ns);
	o->has_end = v[F_END].type != DDB_NONE;
	if (e == EV_OK && o->has_end)
		e = ddb_value_time(&v[F_END], &o->end_ns);
	if (e == EV_OK)
		e = ddb_value_scaled(&v[F_ENERGY], DDB_SCALE_KWH, &o->energy_mwh);
	return e;
}

static ev_err read_original(const struct ddb_value v[F_COUNT], struct outlet *o)
{
	ev_err e = ddb_value_uuid(&v[F_ID], &o->id);

	if (e == EV_OK)
		e = ddb_value_scaled(&v[F_MAX_POWER], DDB_SCALE_W, &o->max_power_mw);
	if (e == EV_OK)
		e = ddb_value_state(&v[F_STATE], &o->state);
	if (e == EV_OK && !is_stored(o->state))
		e = EV_CORRUPT;
	if (e == EV_OK)
		e = read_session_fields(v, o);
	if (e == EV_OK)
		e = ddb_value_i64(&v[F_TOTAL_SESSIONS], &o->total_sessions);
	if (e == EV_OK)
		e = ddb_value_scaled(&v[F_TOTAL_ENERGY], DDB_SCALE_KWH, &o->total_energy_mwh);
	return e;
}

/* The original checks no number, and adds doubles: its sums may be off by their last digits. */
static ev_err adopt(const struct ddb_value v[F_COUNT], struct ddb_outlet *row)
{
	struct outlet *o = &row->outlet;

	o->version = 1;
	o->foreign = true;
	row->unversioned = true;
	if (o->energy_mwh < 0)
		o->energy_mwh = 0;
	if (o->total_energy_mwh < o->energy_mwh)
		o->total_energy_mwh = o->energy_mwh;
	return ddb_value_number(&v[F_TOTAL_ENERGY], &row->total);
}

static ev_err read_ours(const struct ddb_value v[F_COUNT], struct ddb_outlet *row)
{
	struct outlet *o = &row->outlet;
	char room[ROW_EFFECTS_BYTES];
	struct ev_str bytes;

	if (ddb_value_u64(&v[F_VERSION], &o->version) != EV_OK || o->version == 0 ||
	    o->version > INT64_MAX)
		return EV_CORRUPT;
	if (v[F_X].type == DDB_NONE)
		o->foreign = true;
	else if (ddb_value_bytes(&v[F_X], room, X_MAX, &bytes) != EV_OK ||
		 read_x(bytes, row) != EV_OK)
		return EV_CORRUPT;
	if (v[F_UNSENT].type == DDB_NONE)
		return EV_OK;

	struct effects_base base = effects_base_outlet(o);

	if (ddb_value_bytes(&v[F_UNSENT], room, sizeof(room), &bytes) != EV_OK || bytes.n == 0 ||
	    ddb_value_i64(&v[F_UNSENT_SINCE], &row->effects.since_ns) != EV_OK)
		return EV_CORRUPT;
	return row_effects_read(bytes, &base, &row->effects);
}

/* Sums that the core can add to: below its total, or far from the end of an int64_t. */
static bool is_sum(const struct outlet *o, int64_t mwh)
{
	return mwh >= 0 && (mwh <= o->total_energy_mwh || mwh <= EVENT_ENERGY_MAX_MWH);
}

static bool may_be_decided(const struct outlet *o)
{
	if (o->total_energy_mwh < 0 || !is_sum(o, o->energy_mwh) || !is_sum(o, o->unassigned_mwh) ||
	    o->total_sessions > EVENT_ENERGY_MAX_MWH || o->total_sessions < -EVENT_ENERGY_MAX_MWH)
		return false;
	for (unsigned i = 0; i < o->n_recent; i++) {
		if (!is_sum(o, o->recent[i].sum_mwh))
			return false;
	}
	return true;
}

ev_err ddb_outlet_read(struct ev_str item, struct ddb_outlet *out)
{
	struct ddb_value v[F_COUNT];
	struct ddb_outlet row;
	ev_err e = ddb_read_fields(item, names, F_COUNT, v);

	memset(&row, 0, sizeof(row));
	if (e == EV_OK)
		e = read_original(v, &row.outlet);
	if (e == EV_OK)
		e = read_info(v, &row.info);
	if (e == EV_OK)
		e = v[F_VERSION].type == DDB_NONE ? adopt(v, &row) : read_ours(v, &row);
	if (e != EV_OK)
		return e;
	if (!may_be_decided(&row.outlet))
		return EV_CORRUPT;
	*out = row;
	return EV_OK;
}
