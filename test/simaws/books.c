/*
 * books.c — what must hold after each step, read from the tables themselves.
 *
 * A row's version and total never go back; the total is never more than the distinct messages that
 * were sent come to; what sessions hold and what is unassigned is never more than the total.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "engine/aws/ddb_own.h"
#include "simaws/books.h"

unsigned books_device_of(struct sim *s, const struct ev_uuid *outlet_id)
{
	unsigned i = 0;

	while (i < SIM_DEVICES && !ev_uuid_eq(&s->devices[i].outlet_id, outlet_id))
		i++;
	sim_must(s, i < SIM_DEVICES, "a row of an outlet that nobody has");
	return i;
}

/* A visitor must not leave by a jump: the cloud has something in hand. */
static void note(struct ledger *l, bool holds, const char *what)
{
	if (!holds && l->wrong == NULL)
		l->wrong = what;
}

static bool has_attribute(struct ev_str item, const char *name)
{
	char quoted[64];
	struct ev_buf b = ev_buf_over(quoted, sizeof(quoted) - 1);

	ev_buf_char(&b, '"');
	ev_buf_z(&b, name);
	ev_buf_z(&b, "\":{");
	return memmem(item.p, item.n, quoted, b.len) != NULL;
}

static void add_outlet(void *user, struct ev_str item)
{
	struct ledger *l = user;
	struct ddb_outlet row;
	unsigned i;

	if (ddb_outlet_read(item, &row) != EV_OK) {
		note(l, false, "an outlet's row that cannot be read");
		return;
	}
	i = books_device_of(l->s, &row.outlet.id);
	l->rows[i] = row;
	note(l, !row.unversioned, "a row without a version");
	note(l, row.outlet.state != OUTLET_CHARGING || row.outlet.has_session,
	     "an outlet charges without a session");
	note(l, row.outlet.unassigned_mwh <= row.outlet.total_energy_mwh,
	     "more is unassigned than was counted");
	for (unsigned k = 0; k < row.effects.n; k++)
		l->unsent += !row.effects.of[k].plain;
	l->left += has_attribute(item, "after");
}

static void add_session(void *user, struct ev_str item)
{
	struct ledger *l = user;
	struct ddb_session row;
	const struct session *x = &row.session;
	const struct outlet *o;
	int64_t sum;
	unsigned i;

	if (ddb_session_read(item, &row) != EV_OK) {
		note(l, false, "a session that cannot be read");
		return;
	}
	i = books_device_of(l->s, &x->outlet_id);
	o = &l->rows[i].outlet;
	sum = x->folded_mwh + x->attached_mwh;
	for (unsigned k = 0; k < x->n_sums; k++)
		sum += x->sums[k].mwh;
	note(l, sum == x->energy_mwh, "a session's energy is not the total of its sums");
	l->sessions[i] += x->energy_mwh;
	l->attached[i] += x->attached_mwh;
	l->live[i] += session_is_live(x->state);
	l->runs[i] += session_is_live(x->state) && o->state == OUTLET_CHARGING &&
		      ev_uuid_eq(&o->session_id, &x->id);
	if (!l->s->rules.report_while_stopping && o->stop_at_ns != 0 &&
	    ev_uuid_eq(&o->session_id, &x->id))
		l->lacking[i] += o->energy_mwh - (x->energy_mwh - x->attached_mwh);
	l->n_sessions++;
	for (unsigned k = 0; k < row.effects.n; k++)
		l->unsent += !row.effects.of[k].plain;
	l->left += has_attribute(item, "after");
}

static void add_own(void *user, struct ev_str item)
{
	struct ledger *l = user;
	struct unassigned_item it;
	struct parked_input parked;
	enum own_kind kind;

	if (own_kind_read(item, &kind) != EV_OK) {
		note(l, false, "an item of no kind");
		return;
	}
	l->n_items++;
	if (kind == OWN_UNASSIGNED && own_unassigned_read(item, &it) == EV_OK) {
		unsigned i = books_device_of(l->s, &it.outlet_id);

		if (it.attached)
			l->items_attached[i] += it.mwh;
		else
			l->items_open[i] += it.mwh;
	} else if (kind == OWN_PARKED && own_parked_read(item, &parked) == EV_OK) {
		l->n_parked++;
	} else if (kind == OWN_BLOCK) {
		l->n_blocks++;
	} else if (kind == OWN_LETTER) {
		l->n_letters++;
	}
}

void books_open(struct sim *s, struct ledger *l)
{
	*l = (struct ledger){ .s = s };
	sim_must(s, cloud_each_item(s->cloud, s->names.outlets, add_outlet, l) == EV_OK, "outlets");
	sim_must(s, cloud_each_item(s->cloud, s->names.sessions, add_session, l) == EV_OK,
		 "sessions");
	sim_must(s, cloud_each_item(s->cloud, s->names.items, add_own, l) == EV_OK, "items");
	sim_must(s, l->wrong == NULL, "%s", l->wrong);
}

/* --- after each step --- */

static int64_t sent_of(const struct sim *s, unsigned device)
{
	int64_t sum = 0;

	for (size_t i = 0; i < s->n_messages; i++) {
		if (s->messages[i].device == device && s->messages[i].sent && !s->messages[i].bad)
			sum += s->messages[i].wire_mwh;
	}
	return sum;
}

static void check_row(struct sim *s, const struct ledger *l, unsigned i)
{
	const struct outlet *was = &s->before[i].outlet;
	const struct outlet *o = &l->rows[i].outlet;
	int64_t sent = sent_of(s, i);

	sim_must(s, o->version >= was->version, "outlet %u: its version went back", i);
	sim_must(s, o->total_energy_mwh >= was->total_energy_mwh, "outlet %u: its total shrank", i);
	sim_must(s, o->total_energy_mwh <= sent, "outlet %u counts %lld mWh, %lld were sent", i,
		 (long long)o->total_energy_mwh, (long long)sent);
	sim_must(s, l->sessions[i] + o->unassigned_mwh <= o->total_energy_mwh,
		 "outlet %u: sessions hold %lld, unassigned %lld, counted %lld", i,
		 (long long)l->sessions[i], (long long)o->unassigned_mwh,
		 (long long)o->total_energy_mwh);
	if (o->version != was->version)
		sim_trace(s, "  outlet %u: version %llu, %s, session %02x%02x %lld mWh, total %lld",
			  i, (unsigned long long)o->version,
			  outlet_state_text(outlet_shown_state(o)), o->session_id.b[0],
			  o->session_id.b[1], (long long)o->energy_mwh,
			  (long long)o->total_energy_mwh);
}

void books_check(struct sim *s)
{
	struct ledger l;

	if (s->failure[0] != '\0')
		longjmp(s->failed, 1);
	books_open(s, &l);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		check_row(s, &l, i);
		s->before[i] = l.rows[i];
	}
	s->reached->sessions = l.n_sessions > s->reached->sessions ? l.n_sessions
								   : s->reached->sessions;
	s->reached->blocks += l.n_blocks > 0;
}

/* --- what is there --- */

struct pick {
	struct sim *s;
	const struct ev_uuid *outlet_id;
	bool live, newest;
	size_t n;
	struct session session;
	struct unassigned_item item;
};

static void see_session(void *user, struct ev_str item)
{
	struct pick *p = user;
	struct ddb_session row;

	if (ddb_session_read(item, &row) != EV_OK ||
	    (p->outlet_id != NULL && !ev_uuid_eq(p->outlet_id, &row.session.outlet_id)))
		return;
	if (p->newest) {
		if (p->n++ == 0 || row.session.start_ns > p->session.start_ns)
			p->session = row.session;
		return;
	}
	if (session_is_live(row.session.state) == p->live && sim_below(p->s, ++p->n) == 0)
		p->session = row.session;
}

static bool pick_session(struct sim *s, struct pick *p, struct session *out)
{
	p->s = s;
	if (cloud_each_item(s->cloud, s->names.sessions, see_session, p) != EV_OK || p->n == 0)
		return false;
	*out = p->session;
	return true;
}

bool books_pick_session(struct sim *s, const struct ev_uuid *outlet_id, bool live,
			struct session *out)
{
	struct pick p = { .outlet_id = outlet_id, .live = live };

	return pick_session(s, &p, out);
}

bool books_read_newest(struct sim *s, unsigned device, struct session *out)
{
	struct pick p = { .outlet_id = &s->devices[device].outlet_id, .newest = true };

	return pick_session(s, &p, out);
}

static void see_item(void *user, struct ev_str item)
{
	struct pick *p = user;
	struct unassigned_item it;
	enum own_kind kind;

	if (own_kind_read(item, &kind) != EV_OK || kind != OWN_UNASSIGNED ||
	    own_unassigned_read(item, &it) != EV_OK)
		return;
	/* Mostly what is open; what is attached is to be refused. */
	if (it.attached && !sim_chance(p->s, 10))
		return;
	if (sim_below(p->s, ++p->n) == 0)
		p->item = it;
}

bool books_pick_item(struct sim *s, struct unassigned_item *out)
{
	struct pick p = { .s = s };

	if (cloud_each_item(s->cloud, s->names.items, see_item, &p) != EV_OK || p.n == 0)
		return false;
	*out = p.item;
	return true;
}

uint64_t books_activity(struct sim *s)
{
	struct ledger l;
	uint64_t sum = 0;

	books_open(s, &l);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		sum = sum * 31 + l.rows[i].outlet.version + (uint64_t)l.sessions[i] + l.live[i];
	sum = sum * 31 + l.n_items + l.n_sessions;
	sum = sum * 31 + cloud_n_records(s->cloud, s->names.event_stream);
	sum = sum * 31 + cloud_n_messages(s->cloud, s->names.messages_in);
	sum = sum * 31 + cloud_n_messages(s->cloud, s->names.commands_out);
	return sum;
}
