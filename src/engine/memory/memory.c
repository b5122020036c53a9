/* engine/memory/memory.c — opening, dying, snapshots. */
#include "engine/memory/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/memory/engine.h"

ev_err memory_open(struct memory_engine **out, const struct memory_options *o)
{
	struct memory_engine *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return EV_NOMEM;
	m->base.ops = &memory_store_ops;
	m->options = *o;
	m->durable = tables_new(o->seed);
	m->tip = tables_new(o->seed);
	*out = m;
	return EV_OK;
}

void memory_free(struct memory_engine *m)
{
	if (m == NULL)
		return;
	tables_drop(&m->tip);
	tables_drop(&m->durable);
	free(m->commands);
	free(m);
}

struct store *memory_store(struct memory_engine *m)
{
	return &m->base;
}

void memory_set_listener(struct memory_engine *m, const struct memory_listener *l)
{
	m->listener = l != NULL ? *l : (struct memory_listener){ .user = NULL };
}

void memory_set_fault(struct memory_engine *m, memory_fault_fn fault, void *user)
{
	m->options.fault = fault;
	m->options.fault_user = user;
}

ev_err engine_fault(struct memory_engine *m, enum memory_point point)
{
	ev_err e = EV_OK;

	if (m->dead)
		return EV_CLOSED;
	if (m->options.fault != NULL)
		e = m->options.fault(m->options.fault_user, point);
	m->dead = e == EV_CLOSED;
	return e;
}

void engine_roll_back(struct memory_engine *m)
{
	tables_drop(&m->tip);
	m->tip = tables_share(&m->durable);
	m->in_group = false;
	m->lost = EV_OK;
	m->n_commands = 0;
}

bool memory_is_dead(const struct memory_engine *m)
{
	return m->dead;
}

void memory_reopen(struct memory_engine *m)
{
	engine_roll_back(m);
	m->dead = false;
}

struct memory_snapshot {
	struct tables tables;
};

ev_err memory_snapshot_take(const struct memory_engine *m, struct memory_snapshot **out)
{
	struct memory_snapshot *s = malloc(sizeof(*s));

	if (s == NULL)
		return EV_NOMEM;
	s->tables = tables_share(&m->durable);
	*out = s;
	return EV_OK;
}

void memory_snapshot_free(struct memory_snapshot *s)
{
	if (s == NULL)
		return;
	tables_drop(&s->tables);
	free(s);
}

bool memory_snapshot_eq(const struct memory_snapshot *a, const struct memory_snapshot *b)
{
	return tables_eq(&a->tables, &b->tables);
}

void memory_snapshot_restore(struct memory_engine *m, const struct memory_snapshot *s)
{
	struct tables restored = tables_share(&s->tables);

	tables_drop(&m->durable);
	m->durable = restored;
	engine_roll_back(m);
}

ev_err memory_clone(const struct memory_engine *m, struct memory_engine **out)
{
	struct memory_engine *copy = NULL;
	ev_err e = memory_open(&copy, &m->options);

	if (e != EV_OK)
		return e;
	copy->durable = tables_share(&m->durable);
	copy->tip = tables_share(&m->durable);
	*out = copy;
	return EV_OK;
}

enum row_kind {
	ROW_OUTLET,
	ROW_SESSION,
	ROW_CUSTOMER,
	ROW_CLAIM,
	ROW_ITEM,
	ROW_DEAD_LETTER,
	ROW_PARKED,
	ROW_DELIVERY,
	ROW_COMMAND,
	ROW_EVENT,
};

/* A walk over one table that hands each value to a function of its type. */
struct visitor {
	const struct memory_engine *m;
	enum row_kind kind;
	union {
		outlet_visit_fn outlet;
		session_visit_fn session;
		customer_visit_fn customer;
		memory_claim_fn claim;
		item_visit_fn item;
		dead_letter_visit_fn dead_letter;
		memory_parked_fn parked;
		memory_delivery_fn delivery;
		memory_command_fn command;
		event_visit_fn event;
	} fn;
	void *user;
};

static bool visit_outlet(const struct visitor *v, const struct outlet *outlet)
{
	struct tree_key id = key_id(outlet->id.b);
	struct outlet_row row;

	row.outlet = *outlet;
	row.info = *(const struct outlet_info *)tree_get(&v->m->durable.t[TABLE_INFO], &id);
	return v->fn.outlet(v->user, &row);
}

static bool visit_dead_letter(const struct visitor *v, const void *value)
{
	struct dead_letter row = dead_letter_row(value);

	return v->fn.dead_letter(v->user, &row);
}

static bool visit_row(void *user, const struct tree_item *item)
{
	const struct visitor *v = user;

	switch (v->kind) {
	case ROW_OUTLET:
		return visit_outlet(v, item->value);
	case ROW_DEAD_LETTER:
		return visit_dead_letter(v, item->value);
	case ROW_SESSION:
		return v->fn.session(v->user, item->value);
	case ROW_CUSTOMER:
		return v->fn.customer(v->user, item->value);
	case ROW_CLAIM:
		return v->fn.claim(v->user, item->value);
	case ROW_ITEM:
		return v->fn.item(v->user, item->value);
	case ROW_PARKED:
		return v->fn.parked(v->user, item->value);
	case ROW_DELIVERY:
		return v->fn.delivery(v->user, item->value);
	case ROW_COMMAND:
		return v->fn.command(v->user, item->value);
	case ROW_EVENT:
		return v->fn.event(v->user, item->value);
	}
	return false;
}

static void visit_all(enum table t, const struct visitor *v)
{
	struct visitor copy = *v;
	struct tree_key first = { .n = 0 };

	tree_walk_up(&v->m->durable.t[t], &first, 0, visit_row, &copy);
}

void memory_visit_outlets(const struct memory_engine *m, outlet_visit_fn fn, void *user)
{
	visit_all(TABLE_OUTLET, &(struct visitor){ m, ROW_OUTLET, { .outlet = fn }, user });
}

void memory_visit_sessions(const struct memory_engine *m, session_visit_fn fn, void *user)
{
	visit_all(TABLE_SESSION, &(struct visitor){ m, ROW_SESSION, { .session = fn }, user });
}

void memory_visit_customers(const struct memory_engine *m, customer_visit_fn fn, void *user)
{
	visit_all(TABLE_CUSTOMER, &(struct visitor){ m, ROW_CUSTOMER, { .customer = fn }, user });
}

void memory_visit_claims(const struct memory_engine *m, memory_claim_fn fn, void *user)
{
	visit_all(TABLE_CLAIM, &(struct visitor){ m, ROW_CLAIM, { .claim = fn }, user });
}

void memory_visit_items(const struct memory_engine *m, item_visit_fn fn, void *user)
{
	visit_all(TABLE_ITEM, &(struct visitor){ m, ROW_ITEM, { .item = fn }, user });
}

void memory_visit_dead_letters(const struct memory_engine *m, dead_letter_visit_fn fn, void *user)
{
	visit_all(TABLE_DEAD_LETTER,
		  &(struct visitor){ m, ROW_DEAD_LETTER, { .dead_letter = fn }, user });
}

void memory_visit_parked(const struct memory_engine *m, memory_parked_fn fn, void *user)
{
	visit_all(TABLE_PARKED, &(struct visitor){ m, ROW_PARKED, { .parked = fn }, user });
}

void memory_visit_deliveries(const struct memory_engine *m, memory_delivery_fn fn, void *user)
{
	visit_all(TABLE_DELIVERY, &(struct visitor){ m, ROW_DELIVERY, { .delivery = fn }, user });
}

void memory_visit_commands(const struct memory_engine *m, memory_command_fn fn, void *user)
{
	visit_all(TABLE_COMMAND, &(struct visitor){ m, ROW_COMMAND, { .command = fn }, user });
}

void memory_visit_events(const struct memory_engine *m, event_visit_fn fn, void *user)
{
	visit_all(TABLE_EVENT, &(struct visitor){ m, ROW_EVENT, { .event = fn }, user });
}
