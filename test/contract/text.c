#include "contract/text.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void text_add(struct text *t, const char *fmt, ...)
{
	char line[1024];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(line));
	if (t->n + (size_t)n + 1 > t->cap) {
		t->cap = (t->n + (size_t)n + 1) * 2;
		t->p = realloc(t->p, t->cap);
		assert_non_null(t->p);
	}
	memcpy(t->p + t->n, line, (size_t)n + 1);
	t->n += (size_t)n;
}

void text_free(struct text *t)
{
	free(t->p);
	*t = (struct text){ .p = NULL };
}

/* The line around the first byte that differs. */
static void show_line(const char *what, const struct text *t, size_t at)
{
	size_t from = at;
	size_t to = at;

	while (from > 0 && t->p[from - 1] != '\n')
		from--;
	while (to < t->n && t->p[to] != '\n')
		to++;
	print_error("%s: %.*s\n", what, (int)(to - from), t->p + from);
}

void text_assert_same(struct text *got, struct text *want)
{
	size_t at = 0;

	text_add(got, "end\n");
	text_add(want, "end\n");
	while (at < got->n && at < want->n && got->p[at] == want->p[at])
		at++;
	if (at < got->n || at < want->n) {
		show_line("got ", got, at < got->n ? at : got->n - 1);
		show_line("want", want, at < want->n ? at : want->n - 1);
		fail_msg("%s", "the engine does not give what was expected");
	}
	text_free(got);
	text_free(want);
}

static void add_hex(struct text *t, const char *name, const void *p, size_t n)
{
	char hex[2 * 80 + 1] = "";

	assert_true(n <= 80);
	for (size_t i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)p)[i]);
	text_add(t, " %s=%s", name, hex);
}

void text_id(struct text *t, const char *name, const uint8_t id[16])
{
	add_hex(t, name, id, 16);
}

/* All 64 bytes: those after the end load as zero. */
static void add_tag(struct text *t, const struct rfid_tag *tag)
{
	text_add(t, " tag=%u:", tag->n);
	add_hex(t, "", tag->s, sizeof(tag->s));
}

static void add_i64(struct text *t, const char *name, int64_t v)
{
	text_add(t, " %s=%" PRId64, name, v);
}

static void add_text(struct text *t, const char *name, const char *s, size_t cap)
{
	size_t n = strlen(s);

	text_add(t, " %s=%s", name, s);
	for (size_t i = n; i < cap; i++) {
		if (s[i] != '\0')
			text_add(t, " (byte %zu is not zero)", i);
	}
}

static void add_request(struct text *t, const struct outlet_request *r)
{
	add_i64(t, "\n  request", r->status);
	add_tag(t, &r->tag);
	add_i64(t, "from", r->period_start_ns);
	add_i64(t, "to", r->period_end_ns);
	add_i64(t, "at", r->at_ns);
	text_id(t, "event", r->event_id.b);
}

static void add_recent(struct text *t, const struct outlet *o)
{
	for (unsigned i = 0; i < OUTLET_RECENT_MAX; i++) {
		const struct ended_session *e = &o->recent[i];

		text_id(t, "\n  recent", e->id.b);
		add_tag(t, &e->tag);
		add_i64(t, "since", e->since_ns);
		add_i64(t, "start", e->start_ns);
		add_i64(t, "end", e->end_ns);
		add_i64(t, "sum", e->sum_mwh);
	}
}

static void add_outlet_lists(struct text *t, const struct outlet *o)
{
	add_i64(t, "\n  n_recent", o->n_recent);
	add_i64(t, "n_refused", o->n_refused);
	add_i64(t, "n_ids", o->n_ids);
	add_recent(t, o);
	for (unsigned i = 0; i < OUTLET_REFUSED_MAX; i++)
		text_id(t, "\n  refused", o->refused[i].b);
	for (unsigned i = 0; i < OUTLET_IDS_MAX; i++)
		text_id(t, "\n  id", o->ids[i].b);
}

void text_outlet(struct text *t, const struct outlet *o)
{
	text_id(t, "outlet", o->id.b);
	add_i64(t, "version", (int64_t)o->version);
	add_i64(t, "state", o->state);
	add_i64(t, "has_session", o->has_session);
	text_id(t, "session", o->session_id.b);
	add_tag(t, &o->tag);
	add_i64(t, "\n  start", o->start_ns);
	add_i64(t, "has_end", o->has_end);
	add_i64(t, "end", o->end_ns);
	add_i64(t, "mwh", o->energy_mwh);
	add_i64(t, "sessions", o->total_sessions);
	add_i64(t, "total", o->total_energy_mwh);
	add_i64(t, "unassigned", o->unassigned_mwh);
	add_i64(t, "max_power", o->max_power_mw);
	add_i64(t, "since", o->since_ns);
	add_request(t, &o->request);
	add_i64(t, "\n  reported", o->reported);
	add_i64(t, "acknowledged", o->acknowledged);
	add_i64(t, "stop_at", o->stop_at_ns);
	add_i64(t, "stop_repeated", o->stop_repeated);
	add_i64(t, "stray_stop", o->stray_stop_ns);
	add_i64(t, "out_of_service", o->out_of_service);
	add_i64(t, "retired", o->retired);
	add_i64(t, "foreign", o->foreign);
	add_outlet_lists(t, o);
	text_add(t, "\n");
}

void text_info(struct text *t, const struct outlet_info *i)
{
	text_id(t, "info", i->group_id.b);
	add_text(t, "code", i->code, sizeof(i->code));
	add_text(t, "address", i->address, sizeof(i->address));
	add_i64(t, "created", i->created_ns);
	text_add(t, "\n");
}

void text_session(struct text *t, const struct session *s)
{
	text_id(t, "session", s->id.b);
	add_i64(t, "version", (int64_t)s->version);
	add_i64(t, "has_customer", s->has_customer);
	text_id(t, "customer", s->customer_id.b);
	add_tag(t, &s->tag);
	text_id(t, "outlet", s->outlet_id.b);
	add_i64(t, "state", s->state);
	add_i64(t, "channel", s->channel);
	add_i64(t, "start", s->start_ns);
	add_i64(t, "has_end", s->has_end);
	add_i64(t, "end", s->end_ns);
	add_i64(t, "mwh", s->energy_mwh);
	add_i64(t, "\n  n_sums", s->n_sums);
	for (unsigned i = 0; i < SESSION_SUMS_MAX; i++) {
		add_i64(t, "start", s->sums[i].start_ms);
		add_i64(t, "sum", s->sums[i].mwh);
	}
	add_i64(t, "folded", s->folded_mwh);
	add_i64(t, "attached", s->attached_mwh);
	add_i64(t, "charging_seen", s->charging_seen);
	add_i64(t, "stop_wished", s->stop_wished);
	add_i64(t, "heard", s->heard_ns);
	add_i64(t, "request_start", s->request_start_ns);
	add_i64(t, "has_request_end", s->has_request_end);
	add_i64(t, "request_end", s->request_end_ns);
	text_add(t, "\n");
}

void text_customer(struct text *t, const struct customer *c)
{
	text_id(t, "customer", c->id.b);
	add_i64(t, "version", (int64_t)c->version);
	add_tag(t, &c->tag);
	add_text(t, "address", c->address, sizeof(c->address));
	add_text(t, "email", c->email, sizeof(c->email));
	add_text(t, "payment", c->payment_method, sizeof(c->payment_method));
	add_i64(t, "blocked", c->blocked);
	add_i64(t, "created", c->created_ns);
	text_add(t, "\n");
}

void text_claim(struct text *t, const struct tag_claim *c)
{
	text_id(t, "claim", c->customer_id.b);
	add_tag(t, &c->tag);
	add_i64(t, "at", c->at_ns);
	text_add(t, "\n");
}

void text_event(struct text *t, const struct charging_event *e)
{
	text_id(t, "event", e->outlet_id.b);
	add_i64(t, "by", e->initiator);
	add_i64(t, "state", e->state);
	add_i64(t, "has_session", e->has_session);
	text_id(t, "session", e->session_id.b);
	add_tag(t, &e->tag);
	add_i64(t, "start", e->period_start_ns);
	add_i64(t, "has_end", e->has_period_end);
	add_i64(t, "end", e->period_end_ns);
	add_i64(t, "mwh", e->energy_mwh);
	add_i64(t, "has_event_id", e->has_event_id);
	text_id(t, "event_id", e->event_id.b);
	add_i64(t, "has_item", e->has_item);
	text_id(t, "item", e->item_id.b);
	add_i64(t, "item_mwh", e->item_mwh);
	text_add(t, "\n");
}

void text_stored_event(struct text *t, const struct stored_event *e)
{
	add_i64(t, "at", e->at_ns);
	text_event(t, &e->event);
}

void text_command(struct text *t, const struct device_command *c)
{
	text_id(t, "command", c->outlet_id.b);
	add_i64(t, "version", (int64_t)c->version);
	add_i64(t, "index", c->index);
	add_i64(t, "change", c->change);
	add_tag(t, &c->tag);
	add_i64(t, "has_session", c->has_session);
	text_id(t, "session", c->session_id.b);
	add_i64(t, "start", c->period_start_ns);
	add_i64(t, "end", c->period_end_ns);
	add_i64(t, "mwh", c->energy_mwh);
	add_i64(t, "created", c->created_ns);
	add_i64(t, "expires", c->expires_ns);
	text_add(t, "\n");
}

void text_item(struct text *t, const struct unassigned_item *i)
{
	text_id(t, "item", i->id.b);
	text_id(t, "outlet", i->outlet_id.b);
	add_i64(t, "at", i->at_ns);
	add_i64(t, "mwh", i->mwh);
	add_tag(t, &i->tag);
	add_i64(t, "attached", i->attached);
	text_id(t, "session", i->session_id.b);
	text_add(t, "\n");
}

static void add_message(struct text *t, const struct device_message *m)
{
	text_id(t, "message", m->outlet_id.b);
	add_tag(t, &m->tag);
	add_i64(t, "start", m->period_start_ns);
	add_i64(t, "end", m->period_end_ns);
	add_i64(t, "change", m->change);
	add_i64(t, "mwh", m->energy_mwh);
	add_i64(t, "n", m->message_id.n);
	add_hex(t, "message_id", m->message_id.s, sizeof(m->message_id.s));
	text_add(t, "\n");
}

static void add_attach(struct text *t, const struct outlet_input *in)
{
	text_id(t, "item", in->attach.item_id.b);
	text_id(t, "session", in->attach.session_id.b);
	add_i64(t, "mwh", in->attach.mwh);
	text_add(t, "\n");
}

static void add_input_body(struct text *t, const struct outlet_input *in)
{
	switch (in->kind) {
	case OUTLET_IN_DEVICE:
		add_message(t, &in->device);
		return;
	case OUTLET_IN_EVENT:
		text_event(t, &in->event);
		return;
	case OUTLET_IN_REQUEST_LAPSED:
		text_id(t, "lapsed", in->lapsed.event_id.b);
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		text_id(t, "command", in->command.session_id.b);
		add_i64(t, "acknowledged", in->command.acknowledged);
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		text_id(t, "stop", in->stop.session_id.b);
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		text_id(t, "finish", in->finish.session_id.b);
		break;
	case OUTLET_IN_ATTACH:
		add_attach(t, in);
		return;
	case OUTLET_IN_SERVICE:
		add_i64(t, "out", in->service.out);
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
	text_add(t, "\n");
}

void text_parked(struct text *t, const struct parked_input *p)
{
	text_id(t, "parked", p->id.b);
	text_id(t, "outlet", p->outlet_id.b);
	add_i64(t, "at", p->at_ns);
	add_i64(t, "due", p->due_ns);
	add_i64(t, "kind", p->input.kind);
	text_id(t, "id", p->input.id.b);
	add_i64(t, "at", p->input.at_ns);
	add_i64(t, "seen", p->input.seen);
	add_i64(t, "parked", p->input.parked);
	add_i64(t, "waited", p->input.waited);
	add_input_body(t, &p->input);
}

/* Of the body its length and a sum that depends on the order of its bytes. */
void text_dead_letter(struct text *t, const struct dead_letter *d)
{
	uint32_t sum = 1;

	for (size_t i = 0; i < d->body.n; i++)
		sum = sum * 31 + (uint8_t)d->body.p[i];
	text_id(t, "dead letter", d->id.b);
	add_i64(t, "channel", d->channel);
	add_i64(t, "has_outlet", d->has_outlet);
	text_id(t, "outlet", d->outlet_id.b);
	add_i64(t, "at", d->at_ns);
	add_i64(t, "reason", d->reason);
	add_text(t, "detail", d->detail, sizeof(d->detail));
	add_i64(t, "status", d->status);
	text_add(t, " body=%zu:%08" PRIx32 "\n", d->body.n, sum);
}

void text_delivery(struct text *t, const struct delivery *d)
{
	text_id(t, "delivery", d->outlet_id.b);
	add_i64(t, "delivered", (int64_t)d->delivered_version);
	add_i64(t, "index", d->delivered_index);
	add_i64(t, "acked", (int64_t)d->acked_version);
	add_i64(t, "index", d->acked_index);
	add_i64(t, "at", d->at_ns);
	text_add(t, "\n");
}

void text_books(struct text *t, const struct energy_books *b)
{
	add_i64(t, "total", b->outlets_total_mwh);
	add_i64(t, "unassigned", b->outlets_unassigned_mwh);
	add_i64(t, "sessions", b->sessions_mwh);
	add_i64(t, "items", b->items_open_mwh);
	add_i64(t, "n_outlets", (int64_t)b->n_outlets);
	add_i64(t, "n_sessions", (int64_t)b->n_sessions);
	add_i64(t, "n_live_sessions", (int64_t)b->n_live_sessions);
	add_i64(t, "n_customers", (int64_t)b->n_customers);
	add_i64(t, "n_events", (int64_t)b->n_events);
	add_i64(t, "n_commands", (int64_t)b->n_commands);
	add_i64(t, "n_dead_letters_open", (int64_t)b->n_dead_letters_open);
	add_i64(t, "n_parked", (int64_t)b->n_parked);
	add_i64(t, "n_items_open", (int64_t)b->n_items_open);
	text_add(t, "\n");
}
