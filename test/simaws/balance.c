/* balance.c — at rest: all that was acknowledged is there once, and nothing is in limbo. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/device_json.h"
#include "codec/lease_row.h"
#include "core/machine.h"
#include "engine/aws/ddb_own.h"
#include "simaws/books.h"

/* --- energy --- */

struct sum {
	int64_t certain;
	int64_t unsure[64];
	size_t n;
};

static void reckon(struct sim *s, unsigned device, struct sum *sum)
{
	for (size_t i = 0; i < s->n_messages; i++) {
		const struct sim_message *m = &s->messages[i];

		if (m->device != device || m->bad)
			continue;
		if (m->queued)
			sum->certain += m->wire_mwh;
		else if (m->sent && m->wire_mwh > 0 && sum->n < EV_ARRAY_LEN(sum->unsure))
			sum->unsure[sum->n++] = m->wire_mwh;
	}
}

/* Is it the sum of some of them? */
static bool is_sum_of(const int64_t *of, size_t n, int64_t rest)
{
	if (rest == 0)
		return true;
	if (n == 0 || rest < 0)
		return false;
	return is_sum_of(of + 1, n - 1, rest - of[0]) || is_sum_of(of + 1, n - 1, rest);
}

static void check_energy(struct sim *s, const struct ledger *l, unsigned i)
{
	const struct outlet *o = &l->rows[i].outlet;
	struct sum sum = { .certain = 0 };

	reckon(s, i, &sum);
	sim_must(s, is_sum_of(sum.unsure, sum.n, o->total_energy_mwh - sum.certain),
		 "outlet %u counts %lld mWh, acknowledged %lld, %zu unsure", i,
		 (long long)o->total_energy_mwh, (long long)sum.certain, sum.n);
	sim_must(s, o->total_energy_mwh == l->sessions[i] + o->unassigned_mwh + l->lacking[i],
		 "outlet %u: total %lld, sessions %lld, unassigned %lld, to come %lld", i,
		 (long long)o->total_energy_mwh, (long long)l->sessions[i],
		 (long long)o->unassigned_mwh, (long long)l->lacking[i]);
	sim_must(s, o->unassigned_mwh == l->items_open[i],
		 "outlet %u: %lld mWh unassigned, items of %lld", i, (long long)o->unassigned_mwh,
		 (long long)l->items_open[i]);
	sim_must(s, l->items_attached[i] == l->attached[i],
		 "outlet %u: %lld mWh attached, and %lld in sessions", i,
		 (long long)l->items_attached[i], (long long)l->attached[i]);
}

static void check_states(struct sim *s, const struct ledger *l, unsigned i)
{
	const struct outlet *o = &l->rows[i].outlet;

	sim_must(s, o->request.status != REQUEST_WAITING, "outlet %u: a request waits for ever", i);
	sim_must(s, o->state != OUTLET_CHARGING || o->reported || o->acknowledged,
		 "outlet %u waits for a device that was never told", i);
	sim_must(s, l->runs[i] == (o->state == OUTLET_CHARGING) && l->live[i] == l->runs[i],
		 "outlet %u is %s, %zu sessions live, %zu of them run", i,
		 outlet_state_text(o->state), l->live[i], l->runs[i]);
}

/* --- dead letters: what the test knows to be bad, all of it and nothing else --- */

struct letters {
	struct sim *s;
	bool *seen; /* by message */
	size_t n_seen;
	const char *wrong;
	size_t n_poison;
	char example[200];
};

static void note_wrong(struct letters *x, const char *what, struct ev_str body)
{
	struct ev_buf b = ev_buf_over(x->example, sizeof(x->example) - 1);

	if (x->wrong != NULL)
		return;
	x->wrong = what;
	ev_buf_bytes(&b, body.p, body.n < 190 ? body.n : 190);
}

static void match_body(struct letters *x, struct ev_str body)
{
	char text[DEVICE_JSON_MAX];

	for (size_t i = 0; i < x->s->n_messages; i++) {
		const struct sim_message *m = &x->s->messages[i];
		struct ev_buf b = ev_buf_over(text, sizeof(text));

		if (!m->bad || !m->sent)
			continue;
		device_encode(m, &b);
		/* A messageId may have been put behind the last key. */
		if (b.len > body.n + 1 || memcmp(text, body.p, b.len - 1) != 0)
			continue;
		if (!m->garbage && !m->named && memmem(body.p, body.n, "\"m-", 3) != NULL)
			continue;
		x->seen[i] = true;
		x->n_seen++;
		return;
	}
	note_wrong(x, "a dead letter of what was not bad", body);
}

static void see_dead(void *user, const struct cloud_message *m)
{
	match_body(user, m->body);
}

static void see_letter(void *user, struct ev_str item)
{
	static char body[DEAD_LETTER_BODY_MAX];
	struct letters *x = user;
	struct dead_letter d;
	enum own_kind kind;

	if (own_kind_read(item, &kind) != EV_OK || kind != OWN_LETTER ||
	    own_letter_read(item, &d, body) != EV_OK)
		return;
	if (d.channel == INPUT_DEVICE_MESSAGE)
		match_body(x, d.body);
	else if (d.reason != REASON_UNKNOWN_SESSION)
		note_wrong(x, "a dead event", ev_str_from(reason_text(d.reason)));
}

static void see_dead_event(void *user, const struct cloud_record *r)
{
	struct letters *x = user;
	const char *stop = reason_text(REASON_UNKNOWN_SESSION);

	/* A stop that came before its start by more than it is waited for. */
	if (memmem(r->data.p, r->data.n, stop, strlen(stop)) != NULL)
		return;
	x->n_poison++;
}

static void see_dead_command(void *user, const struct cloud_message *m)
{
	struct letters *x = user;

	if (m->body.n < 10 || memcmp(m->body.p, "no command", 10) != 0)
		note_wrong(x, "a dead command that is none of ours", m->body);
	x->n_poison++;
}

static void check_letters(struct sim *s)
{
	struct letters x = { .s = s };
	struct aws_resources *r = &s->names;

	x.seen = calloc(s->n_messages + 1, sizeof(*x.seen));
	assert(x.seen != NULL);
	sim_must(s, cloud_each_message(s->cloud, r->messages_in_dead, see_dead, &x) == EV_OK,
		 "dlq");
	sim_must(s, cloud_each_item(s->cloud, r->items, see_letter, &x) == EV_OK, "items");
	for (size_t i = 0; i < s->n_messages && x.wrong == NULL; i++) {
		const struct sim_message *m = &s->messages[i];

		if (m->bad && (m->queued || m->refused) && !x.seen[i])
			note_wrong(&x, "no dead letter of a bad message", ev_str_from(""));
	}
	free(x.seen);
	x.n_poison = 0;
	sim_must(s,
		 cloud_each_message(s->cloud, r->commands_out_dead, see_dead_command, &x) == EV_OK,
		 "dlq");
	sim_must(s, x.n_poison >= s->n_poison_commands, "%zu dead commands of %zu", x.n_poison,
		 s->n_poison_commands);
	x.n_poison = 0;
	sim_must(s, cloud_each_record(s->cloud, r->dead_letter_stream, see_dead_event, &x) == EV_OK,
		 "letters");
	sim_must(s, x.n_poison >= 2 * s->n_poison_events, "%zu dead events of %zu", x.n_poison,
		 s->n_poison_events);
	sim_must(s, s->n_poison_events > 0 || x.n_poison == 0, "a dead event of what was not bad");
	sim_must(s, x.wrong == NULL, "%s: %s", x.wrong, x.example);
}

/* --- commands --- */

struct untold {
	const struct sim_device *d;
	const struct outlet *row;
	struct sim *s;
	struct device_command command;
	bool found;
};

static void see_command(void *user, struct ev_str item)
{
	struct untold *u = user;
	struct device_command c;
	enum own_kind kind;

	if (own_kind_read(item, &kind) != EV_OK || kind != OWN_COMMAND ||
	    own_command_read(item, &c) != EV_OK || !ev_uuid_eq(&c.outlet_id, &u->row->id))
		return;
	if (c.version < u->d->last_version ||
	    (c.version == u->d->last_version && c.index <= u->d->last_index))
		return;
	if (c.version <= u->row->version && outlet_command_stands(u->row, &c, sim_now(u->s))) {
		u->found = true;
		u->command = c;
	}
}

/* Whoever is connected was told all that still stands of the session that runs. */
static void check_told(struct sim *s, const struct ledger *l, unsigned i)
{
	struct untold u = { .d = &s->devices[i], .row = &l->rows[i].outlet, .s = s };

	if (u.d->phase != PHASE_LIVE || u.row->state != OUTLET_CHARGING)
		return;
	sim_must(s, cloud_each_item(s->cloud, s->names.items, see_command, &u) == EV_OK, "items");
	sim_must(s, !u.found, "device %u was never told %s", i,
		 outlet_state_text(u.command.change));
}

/* --- all of it --- */

void books_check_rest(struct sim *s)
{
	struct ledger l;

	books_check(s);
	books_open(s, &l);
	sim_must(s, cloud_n_messages(s->cloud, s->names.messages_in) == 0, "messages are left");
	sim_must(s, cloud_n_messages(s->cloud, s->names.commands_out) == 0, "commands are left");
	sim_must(s, l.n_parked == 0, "an input is parked for ever");
	sim_must(s, l.unsent == 0, "%zu effects are not sent", l.unsent);
	sim_must(s, l.left == 0, "%zu rows wait for what follows them", l.left);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		sim_must(s, s->devices[i].n_outbox == 0, "device %u is not answered", i);
		check_energy(s, &l, i);
		check_states(s, &l, i);
		check_told(s, &l, i);
	}
	check_letters(s);
}

void books_check_empty(struct sim *s)
{
	struct ledger l;

	books_check_rest(s);
	books_open(s, &l);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		sim_must(s, l.live[i] == 0 && l.rows[i].outlet.state == OUTLET_AVAILABLE,
			 "outlet %u is in limbo: %s, %zu sessions", i,
			 outlet_state_text(l.rows[i].outlet.state), l.live[i]);
}

/* --- leases --- */

struct holders {
	struct sim *s;
	bool drained, wrong;
	struct lease_row row;
};

static void see_lease(void *user, struct ev_str item)
{
	struct holders *h = user;
	struct lease_row row;
	bool lives = false;

	if (lease_row_read(item, &row) != EV_OK) {
		h->wrong = true;
		return;
	}
	for (unsigned i = 0; i < SIM_PROCESSES; i++)
		lives = lives || strcmp(row.owner, h->s->processes[i].worker) == 0;
	if (row.owner[0] == '\0' || (lives && !h->drained) ||
	    row.checkpoint.kind == LEASE_SHARD_END)
		return;
	h->wrong = true;
	h->row = row;
}

static void check_leases(struct sim *s, bool drained)
{
	struct holders h = { .s = s, .drained = drained };

	sim_must(s, cloud_each_item(s->cloud, s->names.outlet_leases, see_lease, &h) == EV_OK, "l");
	sim_must(s, cloud_each_item(s->cloud, s->names.app_leases, see_lease, &h) == EV_OK, "l");
	sim_must(s, !h.wrong, "the lease of %s is held by %s", h.row.key, h.row.owner);
}

void books_check_leases(struct sim *s)
{
	check_leases(s, false);
}

void books_check_drained(struct sim *s)
{
	check_leases(s, true);
}
