#include "engine/embedded/rows.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "core/machine.h"

#define NAME(name, text) [REASON_##name] = #name,
static const char *const reason_names[REASON_COUNT] = { REASON_LIST(NAME) };
#undef NAME

const char *reason_name(enum reason r)
{
	assert(r < REASON_COUNT);
	return reason_names[r];
}

static enum reason reason_named(struct ev_str name)
{
	for (int r = 0; r < REASON_COUNT; r++) {
		if (ev_str_eqz(name, reason_names[r]))
			return (enum reason)r;
	}
	/* Of another version: unreadable then, and still unreadable now. */
	return REASON_UNDECODABLE;
}

static enum outlet_state col_state(struct sql_cols *c)
{
	return (enum outlet_state)col_range(c, 0, OUTLET_STATE_COUNT - 1);
}

void bind_outlet_state(struct sql_bind *b, const struct outlet *o, uint8_t extra[OUTLET_BLOB_MAX])
{
	bind_u64(b, o->version);
	bind_i64(b, o->state);
	bind_opt_uuid(b, o->has_session, &o->session_id);
	bind_tag(b, &o->tag);
	bind_i64(b, o->start_ns);
	bind_opt_i64(b, o->has_end, o->end_ns);
	bind_i64(b, o->energy_mwh);
	bind_i64(b, o->total_sessions);
	bind_i64(b, o->total_energy_mwh);
	bind_i64(b, o->unassigned_mwh);
	bind_i64(b, o->max_power_mw);
	bind_i64(b, o->out_of_service);
	bind_i64(b, o->retired);
	bind_blob(b, extra, outlet_blob_write(o, extra));
	bind_i64(b, outlet_shown_state(o));
}

void col_outlet(struct sql_cols *c, struct outlet *out)
{
	memset(out, 0, sizeof(*out));
	out->id = col_uuid(c);
	out->version = col_u64(c);
	out->state = col_state(c);
	out->session_id = col_opt_uuid(c, &out->has_session);
	out->tag = col_tag(c);
	out->start_ns = col_i64(c);
	out->end_ns = col_opt_i64(c, &out->has_end);
	out->energy_mwh = col_i64(c);
	out->total_sessions = col_i64(c);
	out->total_energy_mwh = col_i64(c);
	out->unassigned_mwh = col_i64(c);
	out->max_power_mw = col_i64(c);
	out->out_of_service = col_bool(c);
	out->retired = col_bool(c);
	if (outlet_blob_read(col_bytes(c), out) != EV_OK)
		c->bad = true;
}

void bind_info(struct sql_bind *b, const struct outlet_info *i)
{
	static const struct outlet_info none;

	if (i == NULL)
		i = &none;
	bind_uuid(b, &i->group_id);
	bind_text(b, i->code, strnlen(i->code, OUTLET_CODE_MAX));
	bind_text(b, i->address, strnlen(i->address, OUTLET_ADDRESS_MAX));
	bind_i64(b, i->created_ns);
}

void col_info(struct sql_cols *c, struct outlet_info *out)
{
	memset(out, 0, sizeof(*out));
	out->group_id = col_uuid(c);
	col_text(c, out->code, sizeof(out->code));
	col_text(c, out->address, sizeof(out->address));
	out->created_ns = col_i64(c);
}

void bind_session_state(struct sql_bind *b, const struct session *s,
			uint8_t extra[SESSION_BLOB_MAX])
{
	bind_u64(b, s->version);
	bind_tag(b, &s->tag);
	bind_i64(b, s->state);
	bind_i64(b, s->channel);
	bind_opt_i64(b, s->has_end, s->end_ns);
	bind_i64(b, s->energy_mwh);
	bind_i64(b, s->heard_ns);
	bind_blob(b, extra, session_blob_write(s, extra));
}

void col_session(struct sql_cols *c, struct session *out)
{
	memset(out, 0, sizeof(*out));
	out->id = col_uuid(c);
	out->version = col_u64(c);
	out->tag = col_tag(c);
	out->state = col_state(c);
	out->channel = (enum purchase_channel)col_range(c, 0, CHANNEL_COUNT - 1);
	out->end_ns = col_opt_i64(c, &out->has_end);
	out->energy_mwh = col_i64(c);
	out->heard_ns = col_i64(c);
	if (session_blob_read(col_bytes(c), out) != EV_OK)
		c->bad = true;
	out->customer_id = col_opt_uuid(c, &out->has_customer);
	out->outlet_id = col_uuid(c);
	out->start_ns = col_i64(c);
}

void bind_customer(struct sql_bind *b, const struct customer *s)
{
	bind_u64(b, s->version);
	bind_tag(b, &s->tag);
	bind_text(b, s->address, strnlen(s->address, CUSTOMER_TEXT_MAX));
	bind_text(b, s->email, strnlen(s->email, CUSTOMER_TEXT_MAX));
	bind_text(b, s->payment_method, strnlen(s->payment_method, CUSTOMER_TEXT_MAX));
	bind_i64(b, s->blocked);
	bind_i64(b, s->created_ns);
}

void col_customer(struct sql_cols *c, struct customer *out)
{
	memset(out, 0, sizeof(*out));
	out->id = col_uuid(c);
	out->version = col_u64(c);
	out->tag = col_tag(c);
	col_text(c, out->address, sizeof(out->address));
	col_text(c, out->email, sizeof(out->email));
	col_text(c, out->payment_method, sizeof(out->payment_method));
	out->blocked = col_bool(c);
	out->created_ns = col_i64(c);
}

void bind_event(struct sql_bind *b, const struct stored_event *s, int64_t prev)
{
	const struct charging_event *e = &s->event;

	bind_u64(b, s->seq);
	bind_i64(b, prev);
	bind_i64(b, s->at_ns);
	bind_i64(b, e->initiator);
	bind_uuid(b, &e->outlet_id);
	bind_i64(b, e->state);
	bind_opt_uuid(b, e->has_session, &e->session_id);
	bind_tag(b, &e->tag);
	bind_i64(b, e->period_start_ns);
	bind_opt_i64(b, e->has_period_end, e->period_end_ns);
	bind_i64(b, e->energy_mwh);
	if (e->has_event_id)
		bind_identity(b, &e->event_id);
	else
		bind_null(b);
	if (e->has_item)
		bind_identity(b, &e->item_id);
	else
		bind_null(b);
	bind_opt_i64(b, e->has_item, e->item_mwh);
}

static struct identity col_opt_identity(struct sql_cols *c, bool *out_has)
{
	struct ev_uuid u = col_opt_uuid(c, out_has);
	struct identity id;

	memcpy(id.b, u.b, sizeof(id.b));
	return id;
}

void col_event(struct sql_cols *c, struct stored_event *out, int64_t *out_prev)
{
	struct charging_event *e = &out->event;
	bool has_mwh = false;

	memset(out, 0, sizeof(*out));
	out->seq = col_u64(c);
	*out_prev = col_i64(c);
	out->at_ns = col_i64(c);
	e->initiator = (enum initiator)col_range(c, 0, INITIATOR_COUNT - 1);
	e->outlet_id = col_uuid(c);
	e->state = col_state(c);
	e->session_id = col_opt_uuid(c, &e->has_session);
	e->tag = col_tag(c);
	e->period_start_ns = col_i64(c);
	e->period_end_ns = col_opt_i64(c, &e->has_period_end);
	e->energy_mwh = col_i64(c);
	e->event_id = col_opt_identity(c, &e->has_event_id);
	e->item_id = col_opt_identity(c, &e->has_item);
	e->item_mwh = col_opt_i64(c, &has_mwh);
}

void bind_command(struct sql_bind *b, const struct device_command *s)
{
	bind_uuid(b, &s->outlet_id);
	bind_u64(b, s->version);
	bind_i64(b, s->index);
	bind_i64(b, s->change);
	bind_tag(b, &s->tag);
	bind_opt_uuid(b, s->has_session, &s->session_id);
	bind_i64(b, s->period_start_ns);
	bind_i64(b, s->period_end_ns);
	bind_i64(b, s->energy_mwh);
	bind_i64(b, s->created_ns);
	bind_i64(b, s->expires_ns);
}

void col_command(struct sql_cols *c, struct device_command *out)
{
	memset(out, 0, sizeof(*out));
	out->outlet_id = col_uuid(c);
	out->version = col_u64(c);
	out->index = (unsigned)col_range(c, 0, UINT32_MAX);
	out->change = col_state(c);
	out->tag = col_tag(c);
	out->session_id = col_opt_uuid(c, &out->has_session);
	out->period_start_ns = col_i64(c);
	out->period_end_ns = col_i64(c);
	out->energy_mwh = col_i64(c);
	out->created_ns = col_i64(c);
	out->expires_ns = col_i64(c);
}

void bind_item(struct sql_bind *b, const struct unassigned_item *i)
{
	bind_identity(b, &i->id);
	bind_uuid(b, &i->outlet_id);
	bind_i64(b, i->at_ns);
	bind_i64(b, i->mwh);
	bind_tag(b, &i->tag);
	bind_opt_uuid(b, i->attached, &i->session_id);
}

void col_item(struct sql_cols *c, struct unassigned_item *out)
{
	memset(out, 0, sizeof(*out));
	out->id = col_identity(c);
	out->outlet_id = col_uuid(c);
	out->at_ns = col_i64(c);
	out->mwh = col_i64(c);
	out->tag = col_tag(c);
	out->session_id = col_opt_uuid(c, &out->attached);
}

void col_dead_letter(struct sql_cols *c, struct dead_letter *out)
{
	memset(out, 0, sizeof(*out));
	out->seq = col_u64(c);
	out->id = col_identity(c);
	out->channel = (enum input_channel)col_range(c, 0, INPUT_CHARGING_EVENT);
	out->outlet_id = col_opt_uuid(c, &out->has_outlet);
	out->at_ns = col_i64(c);
	out->reason = reason_named(col_bytes(c));
	col_text(c, out->detail, sizeof(out->detail));
	out->status = (enum dead_letter_status)col_range(c, 0, DEAD_LETTER_DROPPED);
	out->body = col_bytes(c);
	if (out->body.n > DEAD_LETTER_BODY_MAX)
		c->bad = true;
}

static void tag_tidy(struct rfid_tag *t)
{
	memset(t->s + t->n, 0, sizeof(t->s) - t->n);
}

/* Copies n of max elements of a list and clears those that were there beyond. */
static void list_assign(void *to, const void *from, size_t n, size_t was_n, size_t size)
{
	memcpy(to, from, n * size);
	if (was_n > n)
		memset((char *)to + n * size, 0, (was_n - n) * size);
}

/* The lists are most of a row and mostly empty: only what is in them is copied. */
void outlet_assign(struct outlet *to, const struct outlet *from)
{
	static_assert(offsetof(struct outlet, n_recent) < offsetof(struct outlet, recent) &&
			      offsetof(struct outlet, recent) < offsetof(struct outlet, n_refused),
		      "the lists are at the end");
	unsigned was_recent = to->n_recent, was_refused = to->n_refused, was_ids = to->n_ids;

	memcpy(to, from, offsetof(struct outlet, n_recent));
	to->n_recent = from->n_recent;
	to->n_refused = from->n_refused;
	to->n_ids = from->n_ids;
	list_assign(to->recent, from->recent, from->n_recent, was_recent, sizeof(to->recent[0]));
	list_assign(to->refused, from->refused, from->n_refused, was_refused,
		    sizeof(to->refused[0]));
	list_assign(to->ids, from->ids, from->n_ids, was_ids, sizeof(to->ids[0]));
	for (unsigned i = 0; i < to->n_recent; i++)
		tag_tidy(&to->recent[i].tag);
	if (!to->has_session)
		to->session_id = (struct ev_uuid){ { 0 } };
	if (!to->has_end)
		to->end_ns = 0;
	tag_tidy(&to->tag);
	if (to->request.status == REQUEST_NONE)
		to->request = (struct outlet_request){ 0 };
	tag_tidy(&to->request.tag);
}

void session_assign(struct session *to, const struct session *from)
{
	*to = *from;
	if (!to->has_customer)
		to->customer_id = (struct ev_uuid){ { 0 } };
	tag_tidy(&to->tag);
	if (!to->has_end)
		to->end_ns = 0;
	if (!to->has_request_end)
		to->request_end_ns = 0;
	memset(&to->sums[to->n_sums], 0, (SESSION_SUMS_MAX - to->n_sums) * sizeof(to->sums[0]));
}
