/* cut_check.c — what must hold once the power is back (docs/invariants.md). */
#include <inttypes.h>
#include <stdio.h>

#include "cut_fleet.h"

/* One batch; what was unknown at a cut was at most one. */
#define RESEND (4 * FLEET_BATCH)
#define COMMANDS_MAX 1024 /* of one outlet */

static bool load(struct fleet *f, unsigned i, int64_t *out_mwh)
{
	struct outlet o;
	ev_err e = f->store->ops->load_outlet(f->store, &f->outlets[i].id, &o);

	*out_mwh = 0;
	if (e == EV_OK)
		*out_mwh = o.total_energy_mwh;
	else if (e != EV_NOTFOUND)
		return fleet_is_dead(f) || fleet_fail(f, "outlet %u: %s", i, ev_err_text(e));
	else if (f->outlets[i].acked)
		return fleet_fail(f, "outlet %u was registered and is gone", i);
	return true;
}

static void reckon(const struct fleet *f, int64_t acked[], int64_t unknown[])
{
	for (unsigned i = 0; i < f->n_outlets; i++) {
		acked[i] = 0;
		unknown[i] = 0;
	}
	for (size_t i = 0; i < f->n_sent; i++) {
		const struct sent *s = &f->sent[i];

		*(s->acked ? &acked[s->outlet] : &unknown[s->outlet]) += s->message.energy_mwh;
	}
}

/* Each outlet's total is what was acknowledged; the batch under way came whole or not at all. */
static bool totals_hold(struct fleet *f)
{
	int64_t acked[FLEET_OUTLETS], unknown[FLEET_OUTLETS], total[FLEET_OUTLETS];
	unsigned without = 0, with = 0;

	reckon(f, acked, unknown);
	for (unsigned i = 0; i < f->n_outlets; i++) {
		if (!load(f, i, &total[i]) || fleet_is_dead(f))
			return false;
		without += total[i] == acked[i];
		with += total[i] == acked[i] + unknown[i];
	}
	if (without == f->n_outlets || with == f->n_outlets)
		return true;
	for (unsigned i = 0; i < f->n_outlets; i++) {
		if (total[i] != acked[i])
			return fleet_fail(f,
					  "outlet %u: total %" PRId64 " mWh, acknowledged %" PRId64
					  ", unknown %" PRId64 "; %u of %u outlets without the "
					  "last batch, %u with it",
					  i, total[i], acked[i], unknown[i], without, f->n_outlets,
					  with);
	}
	return true;
}

static bool is_there(struct fleet *f, ev_err e, const char *what, size_t which)
{
	if (e == EV_OK)
		return true;
	return !fleet_is_dead(f) &&
	       fleet_fail(f, "%s %zu was acknowledged: %s", what, which, ev_err_text(e));
}

static bool people_hold(struct fleet *f)
{
	struct customer c;
	struct session s;
	bool ok = true;

	for (size_t i = 0; ok && i < FLEET_TAGS; i++) {
		if (f->customers[i].acked)
			ok = is_there(
				f, f->store->ops->load_customer(f->store, &f->customers[i].id, &c),
				"customer", i);
	}
	for (size_t i = 0; ok && i < f->n_starts; i++)
		ok = is_there(f, f->store->ops->load_session(f->store, &f->starts[i], &s), "start",
			      i);
	return ok;
}

static bool letters_hold(struct fleet *f)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct dead_letter d;
	bool ok = true;

	for (size_t i = 0; ok && i < f->n_sent; i++) {
		if (f->sent[i].acked && f->sent[i].garbage)
			ok = is_there(
				f,
				f->store->ops->load_dead_letter(f->store, &f->sent[i].id, &d, body),
				"dead letter", i);
	}
	return ok;
}

static bool has_command(const struct device_command *got, size_t n, const struct device_command *c)
{
	for (size_t i = 0; i < n; i++) {
		if (got[i].version == c->version && got[i].index == c->index &&
		    got[i].change == c->change)
			return true;
	}
	return false;
}

/* A command that was told is found where a device that connects again is given it. */
static bool commands_of(struct fleet *f, const struct ev_uuid *id)
{
	static struct device_command got[COMMANDS_MAX];
	size_t n = 0;
	ev_err e = f->store->ops->load_commands(f->store, id, 0, 0, 0, got, COMMANDS_MAX, &n);

	if (e != EV_OK)
		return !fleet_is_dead(f) && fleet_fail(f, "commands: %s", ev_err_text(e));
	for (size_t i = 0; n < COMMANDS_MAX && i < f->n_commands; i++) {
		const struct device_command *c = &f->commands[i];

		if (ev_uuid_eq(&c->outlet_id, id) && !has_command(got, n, c))
			return fleet_fail(f, "command %zu was told and is not there", i);
	}
	return n < COMMANDS_MAX || fleet_fail(f, "more commands than the check has room for");
}

static bool commands_hold(struct fleet *f)
{
	bool ok = true;

	for (unsigned i = 0; ok && i < f->n_outlets; i++)
		ok = commands_of(f, &f->outlets[i].id);
	return ok;
}

struct walk {
	const struct fleet *f;
	size_t next; /* of the told ones */
};

static bool same(const struct told_event *t, const struct stored_event *e)
{
	return t->seq == e->seq && t->state == e->event.state && t->mwh == e->event.energy_mwh &&
	       ev_uuid_eq(&t->outlet_id, &e->event.outlet_id);
}

static bool match(void *user, const struct stored_event *e)
{
	struct walk *w = user;

	w->next += w->next < w->f->n_events && same(&w->f->events[w->next], e);
	return true;
}

/* All events that were told are there, in their order; and the books balance. */
static bool queries_hold(struct fleet *f)
{
	struct energy_books b = { .n_outlets = 0 };
	struct walk w = { .f = f };
	struct query *q = NULL;
	ev_err e = embedded_query_open(f->e, &q, NULL);

	if (e == EV_OK)
		e = q->ops->events(q, 0, SIZE_MAX / 2, match, &w);
	if (e == EV_OK)
		e = q->ops->books(q, &b);
	if (q != NULL)
		q->ops->free(q);
	if (e != EV_OK)
		return !fleet_is_dead(f) && fleet_fail(f, "a query: %s", ev_err_text(e));
	if (w.next != f->n_events)
		return fleet_fail(f, "event %" PRIu64 " was told and is not there",
				  f->events[w.next].seq);
	if (b.outlets_total_mwh != b.sessions_mwh + b.outlets_unassigned_mwh ||
	    b.outlets_unassigned_mwh != b.items_open_mwh)
		return fleet_fail(f,
				  "the books do not balance: %" PRId64 " = %" PRId64 " + %" PRId64,
				  b.outlets_total_mwh, b.sessions_mwh, b.outlets_unassigned_mwh);
	return true;
}

static bool resend(struct fleet *f, bool acked)
{
	size_t which[RESEND], n = 0;
	bool ok = true;

	for (size_t i = 0; ok && i < f->n_sent; i++) {
		if (f->sent[i].acked != acked)
			continue;
		which[n++] = i;
		if (n == RESEND) {
			ok = fleet_send(f, which, n);
			n = 0;
		}
	}
	return ok && (n == 0 || fleet_send(f, which, n));
}

bool fleet_check(struct fleet *f)
{
	return totals_hold(f) && people_hold(f) && letters_hold(f) && commands_hold(f) &&
	       queries_hold(f) && fleet_register(f) && resend(f, true) && resend(f, false) &&
	       totals_hold(f);
}

bool fleet_verify_file(struct fleet *f)
{
	struct energy_books b = { .n_outlets = 0 };
	struct ev_fail fail = { .text = "" };
	char path[96];
	ev_err e;

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, EMBEDDED_FILE);
	e = embedded_verify(path, &b, &fail);
	return e == EV_OK || fleet_fail(f, "verify: %s", fail.text);
}
