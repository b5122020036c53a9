/* codec/api_write.c — see api_write.h. */
#include "codec/api_write.h"

#define MW_PER_W 1000.0

static void write_tag(struct json_writer *w, const struct rfid_tag *t)
{
	json_write_key(w, "rfidTag");
	json_write_string(w, rfid_tag_str(t));
}

static void write_optional_time(struct json_writer *w, const char *quoted, size_t n, bool has,
				int64_t ns)
{
	if (!has)
		return;
	json_write_key_n(w, quoted, n);
	json_write_time(w, ns);
}

static void write_session_id(struct json_writer *w, bool has, const struct ev_uuid *id)
{
	if (!has)
		return;
	json_write_key(w, "sessionId");
	json_write_uuid(w, id);
}

#define END_TIME "\"endTime\":"
#define PERIOD_END "\"periodEnd\":"

static void write_outlet_head(struct json_writer *w, const struct outlet *o,
			      const struct outlet_info *info, enum outlet_state state)
{
	json_write_object(w);
	json_write_key(w, "outletId");
	json_write_uuid(w, &o->id);
	json_write_key(w, "chargerGroupId");
	json_write_uuid(w, &info->group_id);
	json_write_key(w, "outletCode");
	json_write_z(w, info->code);
	json_write_key(w, "address");
	json_write_z(w, info->address);
	json_write_key(w, "maxPower");
	json_write_double(w, (double)o->max_power_mw / MW_PER_W);
	json_write_key(w, "outletState");
	json_write_z(w, outlet_state_text(state));
}

void api_write_outlet_created(struct json_writer *w, const struct outlet *o,
			      const struct outlet_info *info)
{
	write_outlet_head(w, o, info, o->state);
	json_write_object_end(w);
}

void api_write_outlet(struct json_writer *w, const struct outlet *o, const struct outlet_info *info)
{
	write_outlet_head(w, o, info, outlet_shown_state(o));
	write_session_id(w, o->has_session, &o->session_id);
	write_tag(w, &o->tag);
	json_write_key(w, "startTime");
	json_write_time(w, o->start_ns);
	write_optional_time(w, END_TIME, sizeof(END_TIME) - 1, o->has_end, o->end_ns);
	json_write_key(w, "powerConsumption");
	json_write_kwh(w, o->energy_mwh);
	json_write_key(w, "totalChargingSessions");
	json_write_i64(w, o->total_sessions);
	json_write_key(w, "totalPowerConsumption");
	json_write_kwh(w, o->total_energy_mwh);
	json_write_key(w, "unassignedPowerConsumption");
	json_write_kwh(w, o->unassigned_mwh);
	json_write_key(w, "outOfService");
	json_write_bool(w, o->out_of_service);
	json_write_key(w, "retired");
	json_write_bool(w, o->retired);
	json_write_object_end(w);
}

void api_write_customer(struct json_writer *w, const struct customer *c)
{
	json_write_object(w);
	json_write_key(w, "customerId");
	json_write_uuid(w, &c->id);
	write_tag(w, &c->tag);
	json_write_key(w, "address");
	json_write_z(w, c->address);
	json_write_key(w, "email");
	json_write_z(w, c->email);
	json_write_key(w, "paymentMethod");
	json_write_z(w, c->payment_method);
	if (c->blocked) {
		json_write_key(w, "blocked");
		json_write_bool(w, true);
	}
	json_write_object_end(w);
}

void api_write_session(struct json_writer *w, const struct session *s)
{
	json_write_object(w);
	write_session_id(w, true, &s->id);
	if (s->has_customer) {
		json_write_key(w, "customerId");
		json_write_uuid(w, &s->customer_id);
	}
	json_write_key(w, "outletId");
	json_write_uuid(w, &s->outlet_id);
	json_write_key(w, "state");
	json_write_z(w, outlet_state_text(s->state));
	json_write_key(w, "purchaseChannel");
	json_write_z(w, channel_text(s->channel));
	json_write_key(w, "startTime");
	json_write_time(w, s->start_ns);
	write_optional_time(w, END_TIME, sizeof(END_TIME) - 1, s->has_end, s->end_ns);
	json_write_key(w, "powerConsumption");
	json_write_kwh(w, s->energy_mwh);
	json_write_object_end(w);
}

static void write_recent_session(struct json_writer *w, const struct charging_event *e)
{
	json_write_key(w, "recentSession");
	json_write_object(w);
	write_session_id(w, e->has_session, &e->session_id);
	write_tag(w, &e->tag);
	json_write_key(w, "periodStart");
	json_write_time(w, e->period_start_ns);
	write_optional_time(w, PERIOD_END, sizeof(PERIOD_END) - 1, e->has_period_end,
			    e->period_end_ns);
	json_write_key(w, "powerConsumption");
	json_write_kwh(w, e->energy_mwh);
	json_write_object_end(w);
}

void api_write_event(struct json_writer *w, uint64_t seq, int64_t at_ns,
		     const struct charging_event *e)
{
	json_write_object(w);
	json_write_key(w, "seq");
	json_write_u64(w, seq);
	json_write_key(w, "at");
	json_write_time(w, at_ns);
	json_write_key(w, "initiator");
	json_write_z(w, initiator_text(e->initiator));
	json_write_key(w, "outletId");
	json_write_uuid(w, &e->outlet_id);
	json_write_key(w, "outletState");
	json_write_z(w, outlet_state_text(e->state));
	write_recent_session(w, e);
	if (e->has_event_id) {
		json_write_key(w, "eventId");
		json_write_hex(w, e->event_id.b, sizeof(e->event_id.b));
	}
	json_write_object_end(w);
}

void api_write_item(struct json_writer *w, const struct unassigned_item *i)
{
	json_write_object(w);
	json_write_key(w, "itemId");
	json_write_hex(w, i->id.b, sizeof(i->id.b));
	json_write_key(w, "outletId");
	json_write_uuid(w, &i->outlet_id);
	json_write_key(w, "at");
	json_write_time(w, i->at_ns);
	json_write_key(w, "powerConsumption");
	json_write_kwh(w, i->mwh);
	write_tag(w, &i->tag);
	json_write_key(w, "attached");
	json_write_bool(w, i->attached);
	write_session_id(w, i->attached, &i->session_id);
	json_write_object_end(w);
}

/* RFC 4648 section 4. */
static void write_base64(struct json_writer *w, struct ev_str s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	json_write_raw(w, EV_LIT("\""));
	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t v = 0;
		char four[4];

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < s.n ? (uint8_t)s.p[i + k] : 0U);
		for (unsigned k = 0; k < 4; k++)
			four[k] = i + k > s.n ? '=' : digits[v >> (18 - 6 * k) & 63];
		ev_buf_bytes(w->b, four, sizeof(four));
	}
	ev_buf_char(w->b, '"');
}

static void write_body(struct json_writer *w, struct ev_str body)
{
	if (ev_utf8_valid(body.p, body.n)) {
		json_write_key(w, "body");
		json_write_string(w, body);
	} else {
		json_write_key(w, "bodyBase64");
		write_base64(w, body);
	}
}

void api_write_dead_letter(struct json_writer *w, const struct api_dead_letter *d)
{
	json_write_object(w);
	json_write_key(w, "id");
	json_write_hex(w, d->id.b, sizeof(d->id.b));
	json_write_key(w, "seq");
	json_write_u64(w, d->seq);
	json_write_key(w, "channel");
	json_write_z(w, d->channel);
	if (d->has_outlet) {
		json_write_key(w, "outletId");
		json_write_uuid(w, &d->outlet_id);
	}
	json_write_key(w, "at");
	json_write_time(w, d->at_ns);
	json_write_key(w, "reason");
	json_write_z(w, reason_text(d->reason));
	json_write_key(w, "detail");
	json_write_z(w, d->detail);
	json_write_key(w, "status");
	json_write_z(w, d->status);
	if (d->with_body)
		write_body(w, d->body);
	json_write_object_end(w);
}

void api_write_page(struct json_writer *w)
{
	json_write_object(w);
	json_write_key(w, "items");
	json_write_array(w);
}

void api_write_page_end(struct json_writer *w, struct ev_str next)
{
	json_write_array_end(w);
	json_write_key(w, "next");
	if (next.n > 0)
		json_write_string(w, next);
	else
		json_write_null(w);
	json_write_object_end(w);
}

static void write_problems(struct json_writer *w, const struct api_problems *problems)
{
	json_write_key(w, "problems");
	json_write_array(w);
	for (unsigned i = 0; i < problems->n; i++) {
		json_write_object(w);
		json_write_key(w, "field");
		json_write_z(w, problems->item[i].field);
		json_write_key(w, "text");
		json_write_z(w, problems->item[i].text);
		json_write_object_end(w);
	}
	json_write_array_end(w);
}

void api_write_problem(struct json_writer *w, unsigned status, const char *title,
		       struct ev_str detail, const struct api_problems *problems)
{
	json_write_object(w);
	json_write_key(w, "type");
	json_write_z(w, "about:blank");
	json_write_key(w, "title");
	json_write_z(w, title);
	json_write_key(w, "status");
	json_write_u64(w, status);
	if (detail.n > 0) {
		json_write_key(w, "detail");
		json_write_string(w, detail);
	}
	if (problems != NULL && problems->n > 0)
		write_problems(w, problems);
	json_write_object_end(w);
}

void api_write_unreadable(struct json_writer *w, const struct json_error *error)
{
	char text[sizeof("invalid payload ") + JSON_ERROR_TEXT];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	ev_buf_z(&b, "invalid payload ");
	ev_buf_z(&b, error->text);
	api_write_problem(w, 400, api_status_title(400), ev_buf_str(&b), NULL);
}

const char *api_status_title(unsigned status)
{
	static const struct {
		unsigned status;
		const char *title;
	} titles[] = {
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(titles); i++) {
		if (titles[i].status == status)
			return titles[i].title;
	}
	return "Error";
}
