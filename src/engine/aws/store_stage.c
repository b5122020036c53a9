#include <assert.h>
#include <stdlib.h>

#include "engine/aws/store_internal.h"

/*
 * A unit is checked first: what it can be told (conflict, exists, not found) is told then and
 * leaves the group as it was.  What fails after that, or for want of room, is the engine's, and the
 * group is lost with it.  Nothing is written before `end`.
 */

/* The aggregate a unit is about, and its effects as they would be. */
struct target {
	struct aws_row *row; /* NULL: not there */
	struct row_effects effects;
};

static bool has_own_row(const struct unit *u)
{
	return u->kind == UNIT_OUTLET || u->kind == UNIT_SESSION;
}

static uint64_t version_of(const struct aws_row *r)
{
	switch (r->kind) {
	case ROW_OUTLET:
		return ((const struct outlet_entry *)r)->row.version;
	case ROW_SESSION:
		return ((const struct session_entry *)r)->row.version;
	case ROW_CUSTOMER:
	case ROW_KIND_COUNT:
		break;
	}
	return ((const struct customer_entry *)r)->row.customer.version;
}

/* EV_CONFLICT unless the row is at the version the unit was decided from. */
static ev_err check_row(struct aws_store *s, enum row_kind kind, const struct ev_uuid *id,
			uint64_t expected, struct target *t)
{
	struct aws_row *r = NULL;
	ev_err e = row_get(s, kind, id, &r);

	if (e == EV_OK)
		t->row = r;
	if (e == EV_NOTFOUND || (e == EV_OK && kind == ROW_CUSTOMER && customer_of(r)->erased))
		return expected == 0 ? EV_OK : EV_CONFLICT;
	if (e != EV_OK)
		return e;
	return expected != 0 && expected == version_of(r) ? EV_OK : EV_CONFLICT;
}

static bool is_above(uint64_t version, uint64_t expected)
{
	return version > expected && version <= INT64_MAX;
}

static ev_err check_aggregate(struct aws_store *s, const struct unit *u, struct target *t)
{
	switch (u->kind) {
	case UNIT_OUTLET:
		if (!is_above(u->outlet->version, u->expected))
			return EV_INVALID;
		return check_row(s, ROW_OUTLET, &u->outlet->id, u->expected, t);
	case UNIT_SESSION:
		if (!is_above(u->session->version, u->expected))
			return EV_INVALID;
		return check_row(s, ROW_SESSION, &u->session->id, u->expected, t);
	case UNIT_CUSTOMER:
		if (!u->erase && !is_above(u->customer->version, u->expected))
			return EV_INVALID;
		return check_row(s, ROW_CUSTOMER, &u->customer->id, u->expected, t);
	case UNIT_NONE:
		return EV_OK;
	}
	assert(false && "a unit of no kind");
	return EV_INVALID;
}

/* --- effects of a row --- */

static void take_out(struct row_effects *e, unsigned i)
{
	e->n--;
	memmove(&e->of[i], &e->of[i + 1], (e->n - i) * sizeof(e->of[0]));
}

/* A running or final sum that carries nothing but itself. */
static bool is_sum(const struct charging_event *e)
{
	return (e->state == OUTLET_CHARGING || e->state == OUTLET_CHARGING_FINISHED) &&
	       e->has_session;
}

/* Does the newer event say all that the older one does (design section 5.3)? */
static bool outdates_event(const struct charging_event *older, const struct charging_event *newer)
{
	return is_sum(older) && is_sum(newer) && !older->has_item &&
	       older->initiator == INITIATOR_OUTLET_BACKEND &&
	       newer->initiator == INITIATOR_OUTLET_BACKEND &&
	       ev_uuid_eq(&older->session_id, &newer->session_id) &&
	       (older->state == OUTLET_CHARGING || newer->state == OUTLET_CHARGING_FINISHED);
}

static void drop_outdated_events(struct row_effects *e, const struct charging_event *newer)
{
	for (unsigned i = 0; i < e->n;) {
		if (!e->of[i].is_command && outdates_event(&e->of[i].event, newer))
			take_out(e, i);
		else
			i++;
	}
}

/* Those of the same unit stand beside each other. */
static void drop_outdated_commands(struct row_effects *e, const struct unit *u)
{
	for (unsigned i = 0; i < e->n;) {
		bool outdated = false;

		for (size_t k = 0; k < u->n_commands && e->of[i].is_command; k++)
			outdated = outdated || ev_uuid_eq(&e->of[i].command.outlet_id,
							  &u->commands[k].outlet_id);
		if (outdated)
			take_out(e, i);
		else
			i++;
	}
}

static bool is_plain_report(const struct unit *u)
{
	bool plain = u->kind == UNIT_OUTLET && u->n_commands == 0;

	for (size_t i = 0; i < u->n_events; i++)
		plain = plain && u->events[i].state == OUTLET_CHARGING &&
			u->events[i].initiator == INITIATOR_OUTLET_BACKEND &&
			!u->events[i].has_item;
	return plain;
}

/* EV_FULL: more is unsent than a row may carry. */
static ev_err merge_effects(struct row_effects *e, const struct unit *u, int64_t now_ns)
{
	bool plain = is_plain_report(u);

	for (size_t i = 0; i < u->n_events; i++)
		drop_outdated_events(e, &u->events[i]);
	drop_outdated_commands(e, u);
	if (e->n + u->n_events + u->n_commands > ROW_EFFECTS_MAX)
		return EV_FULL;
	if (e->n == 0)
		e->since_ns = now_ns;
	for (size_t i = 0; i < u->n_events; i++)
		e->of[e->n++] = (struct row_effect){ .plain = plain, .event = u->events[i] };
	for (size_t i = 0; i < u->n_commands; i++)
		e->of[e->n++] = (struct row_effect){ .is_command = true,
						     .command = u->commands[i] };
	if (e->n == 0)
		e->since_ns = 0;
	return EV_OK;
}

static ev_err check_effects(struct aws_store *s, const struct unit *u, struct target *t)
{
	const struct aws_row *r = t->row;

	t->effects = (struct row_effects){ .n = 0 };
	if (!has_own_row(u))
		return EV_OK;
	if (r != NULL && r->effects != NULL && r->n_sent < r->effects->n) {
		t->effects = *r->effects;
		t->effects.n -= r->n_sent;
		memmove(&t->effects.of[0], &t->effects.of[r->n_sent],
			t->effects.n * sizeof(t->effects.of[0]));
	}
	return merge_effects(&t->effects, u, store_now(s));
}

static ev_err check_unit(struct aws_store *s, const struct unit *u, struct target *t)
{
	ev_err e = check_aggregate(s, u, t);

	for (size_t i = 0; i < u->n_puts && e == EV_OK; i++)
		e = put_check(s, u, i);
	return e == EV_OK ? check_effects(s, u, t) : e;
}

/* --- taking it in --- */

/* Room for n more of `size` bytes; false: out of memory, and the old room stays. */
static bool grow(void **p, size_t n, size_t *cap, size_t more, size_t size)
{
	size_t wanted = *cap == 0 ? 16 : *cap;
	void *grown;

	if (n + more <= *cap)
		return true;
	while (wanted < n + more)
		wanted *= 2;
	grown = reallocarray(*p, wanted, size);
	if (grown == NULL)
		return false;
	*p = grown;
	*cap = wanted;
	return true;
}

static bool is_same_command(const struct device_command *a, const struct device_command *b)
{
	return ev_uuid_eq(&a->outlet_id, &b->outlet_id) && a->version == b->version &&
	       a->index == b->index;
}

static ev_err stage_commands(struct aws_store *s, const struct unit *u)
{
	struct staged_commands *c = &s->group.commands;

	if (!grow((void **)&c->of, c->n, &c->cap, u->n_commands, sizeof(c->of[0])))
		return EV_NOMEM;
	for (size_t i = 0; i < u->n_commands; i++) {
		size_t at = 0;

		while (at < c->n && !is_same_command(&c->of[at], &u->commands[i]))
			at++;
		c->of[at] = u->commands[i];
		c->n += at == c->n;
	}
	return EV_OK;
}

/* Effects that no row keeps: sent before the group's end. */
static ev_err stage_loose_effects(struct aws_store *s, const struct unit *u)
{
	struct staged_effects *f = &s->group.effects;

	if (!grow((void **)&f->of, f->n, &f->cap, u->n_events + u->n_commands, sizeof(f->of[0])))
		return EV_NOMEM;
	for (size_t i = 0; i < u->n_events; i++)
		f->of[f->n++] = (struct aws_effect){ .event = u->events[i] };
	for (size_t i = 0; i < u->n_commands; i++)
		f->of[f->n++] = (struct aws_effect){ .is_command = true,
						     .command = u->commands[i] };
	return EV_OK;
}

static void tidy_tag(struct rfid_tag *t)
{
	memset(t->s + t->n, 0, sizeof(t->s) - t->n);
}

static void tidy_text(char *z, size_t cap)
{
	size_t n = strnlen(z, cap - 1);

	memset(z + n, 0, cap - n);
}

/* In the form in which a row is loaded: what it calls absent is zero. */
static void tidy_outlet(struct outlet *o)
{
	if (!o->has_session)
		o->session_id = (struct ev_uuid){ { 0 } };
	if (!o->has_end)
		o->end_ns = 0;
	if (o->request.status == REQUEST_NONE)
		o->request = (struct outlet_request){ .status = REQUEST_NONE };
	tidy_tag(&o->tag);
	tidy_tag(&o->request.tag);
	for (unsigned i = 0; i < o->n_recent; i++)
		tidy_tag(&o->recent[i].tag);
	memset(&o->recent[o->n_recent], 0,
	       (OUTLET_RECENT_MAX - o->n_recent) * sizeof(o->recent[0]));
	memset(&o->refused[o->n_refused], 0,
	       (OUTLET_REFUSED_MAX - o->n_refused) * sizeof(o->refused[0]));
	memset(&o->ids[o->n_ids], 0, (OUTLET_IDS_MAX - o->n_ids) * sizeof(o->ids[0]));
}

static void tidy_session(struct session *x)
{
	if (!x->has_customer)
		x->customer_id = (struct ev_uuid){ { 0 } };
	if (!x->has_end)
		x->end_ns = 0;
	if (!x->has_request_end)
		x->request_end_ns = 0;
	tidy_tag(&x->tag);
	memset(&x->sums[x->n_sums], 0, (SESSION_SUMS_MAX - x->n_sums) * sizeof(x->sums[0]));
}

static void tidy_customer(struct customer *c)
{
	tidy_tag(&c->tag);
	tidy_text(c->address, sizeof(c->address));
	tidy_text(c->email, sizeof(c->email));
	tidy_text(c->payment_method, sizeof(c->payment_method));
}

static void tidy_info(struct outlet_info *i)
{
	tidy_text(i->code, sizeof(i->code));
	tidy_text(i->address, sizeof(i->address));
}

static ev_err take_customer(struct aws_row *r, const struct unit *u)
{
	struct customer_entry *c = customer_of(r);

	c->erased = u->erase;
	if (u->erase)
		return EV_OK;
	c->row = (struct ddb_customer){ .customer = *u->customer };
	tidy_customer(&c->row.customer);
	return EV_OK;
}

static ev_err take_row(struct aws_row *r, const struct unit *u, const struct row_effects *effects)
{
	struct row_effects *copy = row_effects_dup(effects);

	if (copy == NULL && effects->n > 0)
		return EV_NOMEM;
	row_set_effects(r, copy);
	if (u->kind == UNIT_SESSION) {
		session_of(r)->row = *u->session;
		tidy_session(&session_of(r)->row);
		return EV_OK;
	}
	outlet_of(r)->row = *u->outlet;
	tidy_outlet(&outlet_of(r)->row);
	if (u->info != NULL) {
		outlet_of(r)->info = *u->info;
		tidy_info(&outlet_of(r)->info);
	}
	return EV_OK;
}

static struct aws_row *add_row(struct aws_store *s, const struct unit *u)
{
	struct aws_row *r = NULL;

	if (u->kind == UNIT_OUTLET)
		r = aws_cache_add(&s->cache, ROW_OUTLET, &u->outlet->id);
	else if (u->kind == UNIT_SESSION)
		r = aws_cache_add(&s->cache, ROW_SESSION, &u->session->id);
	else
		r = aws_cache_add(&s->cache, ROW_CUSTOMER, &u->customer->id);
	if (r != NULL)
		r->is_new = true;
	return r;
}

static ev_err take_aggregate(struct aws_store *s, const struct unit *u, struct target *t)
{
	ev_err e;

	if (u->kind == UNIT_NONE)
		return EV_OK;
	if (t->row == NULL)
		t->row = add_row(s, u);
	e = t->row == NULL ? EV_NOMEM : row_touch(s, t->row);
	if (e != EV_OK)
		return e;
	if (u->kind == UNIT_CUSTOMER)
		return take_customer(t->row, u);
	e = take_row(t->row, u, &t->effects);
	aws_cache_settle(&s->cache, t->row, &s->c.rules, s->c.max_pinned);
	return e;
}

static ev_err take_unit(struct aws_store *s, const struct unit *u, struct target *t)
{
	ev_err e = take_aggregate(s, u, t);

	for (size_t i = 0; i < u->n_puts && e == EV_OK; i++)
		e = put_stage(s, &u->puts[i], has_own_row(u) ? t->row : NULL);
	if (e == EV_OK)
		e = stage_commands(s, u);
	if (e == EV_OK && !has_own_row(u))
		e = stage_loose_effects(s, u);
	return e;
}

static bool is_answer(ev_err e)
{
	return e == EV_CONFLICT || e == EV_EXISTS || e == EV_NOTFOUND || e == EV_INVALID;
}

static ev_err commit_one(struct aws_store *s, const struct unit *u)
{
	struct target t = { .row = NULL };
	ev_err e;

	if (s->group.lost != EV_OK)
		return s->group.lost;
	e = check_unit(s, u, &t);
	if (is_answer(e))
		return e;
	if (e == EV_OK)
		e = take_unit(s, u, &t);
	s->group.lost = e;
	return e;
}

ev_err stage_commit(struct store *store, const struct unit *units, size_t n, ev_err *results)
{
	struct aws_store *s = aws_store_of(store);
	ev_err first = EV_OK;

	for (size_t i = 0; i < n; i++) {
		results[i] = s->group.open ? commit_one(s, &units[i]) : EV_INVALID;
		if (first == EV_OK)
			first = results[i];
	}
	return first;
}

void stage_clear(struct store_group *g)
{
	for (size_t i = 0; i < g->puts.n; i++)
		free(g->puts.of[i].body);
	g->puts.n = g->commands.n = g->effects.n = 0;
	g->touched = g->last_touched = g->used = NULL;
	g->has_delivery = false;
	g->lost = EV_OK;
	g->open = false;
}
