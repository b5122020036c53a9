/* engine/memory/query.c — port/query.h over what is durable. */
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "engine/memory/engine.h"

struct memory_query {
	struct query base; /* first: a query of ours is this */
	struct memory_engine *m;
};

static struct memory_engine *engine_of(struct query *q)
{
	return ((struct memory_query *)q)->m;
}

/* A walk with what it filters by; the key's last 16 bytes are the row's id. */
struct page {
	const struct tables *tables;
	size_t left; /* rows to give */
	const struct outlet_filter *filter;
	bool open_only;
	bool live_only;
	int64_t heard_before_ns; /* 0: all */
	union {
		outlet_visit_fn outlet;
		session_visit_fn session;
		customer_visit_fn customer;
		event_visit_fn event;
		item_visit_fn item;
		dead_letter_visit_fn dead_letter;
	} fn;
	void *user;
};

static const void *row_of(const struct page *p, enum table t, const uint8_t id[16])
{
	struct tree_key k = key_id(id);

	return tree_get(&p->tables->t[t], &k);
}

/* From the first key, or from the one above *after. */
static struct tree_key first_after(const struct ev_uuid *after)
{
	struct tree_key k = { .n = 0 };

	if (after != NULL) {
		k = key_id(after->b);
		tree_key_bytes(&k, "", 1);
	}
	return k;
}

static ev_err start(struct query *q, struct page *p)
{
	p->tables = &engine_of(q)->durable;
	return engine_fault(engine_of(q), MEMORY_AT_QUERY);
}

/* Gives a row that was found; the walk goes on as long as both sides want it. */
static bool goes_on(struct page *p, bool wanted)
{
	p->left--;
	return wanted && p->left > 0;
}

static bool matches(const struct outlet_filter *f, const struct outlet_row *row)
{
	if (row->outlet.retired && !f->with_retired)
		return false;
	if (f->has_state && outlet_shown_state(&row->outlet) != f->state)
		return false;
	return !f->has_group || ev_uuid_eq(&row->info.group_id, &f->group_id);
}

static void fill_row(const struct page *p, const struct outlet *o, struct outlet_row *row)
{
	row->outlet = *o;
	row->info = *(const struct outlet_info *)row_of(p, TABLE_INFO, o->id.b);
}

static bool give_outlet(void *user, const struct tree_item *item)
{
	struct page *p = user;
	struct outlet_row row;

	fill_row(p, item->value, &row);
	if (!matches(p->filter, &row))
		return true;
	return goes_on(p, p->fn.outlet(p->user, &row));
}

static ev_err query_outlets(struct query *q, const struct outlet_filter *f,
			    const struct ev_uuid *after, size_t limit, outlet_visit_fn fn,
			    void *user)
{
	struct page p = { .left = limit, .filter = f, .fn = { .outlet = fn }, .user = user };
	struct tree_key from = first_after(after);
	ev_err e = start(q, &p);

	if (e == EV_OK && limit > 0)
		tree_walk_up(&p.tables->t[TABLE_OUTLET], &from, 0, give_outlet, &p);
	return e;
}

static ev_err query_outlet(struct query *q, const struct ev_uuid *id, struct outlet_row *out)
{
	struct page p = { .left = 1 };
	ev_err e = start(q, &p);
	const struct outlet *o;

	if (e != EV_OK)
		return e;
	o = row_of(&p, TABLE_OUTLET, id->b);
	if (o == NULL)
		return EV_NOTFOUND;
	fill_row(&p, o, out);
	return EV_OK;
}

static bool give_event(void *user, const struct tree_item *item)
{
	struct page *p = user;

	return goes_on(p, p->fn.event(p->user, item->value));
}

static bool give_event_of(void *user, const struct tree_item *item)
{
	struct page *p = user;
	struct tree_key seq = { .n = 0 };

	tree_key_bytes(&seq, item->key + item->key_n - 8, 8);
	return goes_on(p, p->fn.event(p->user, tree_get(&p->tables->t[TABLE_EVENT], &seq)));
}

static ev_err query_outlet_events(struct query *q, const struct ev_uuid *outlet_id, uint64_t before,
				  size_t limit, event_visit_fn fn, void *user)
{
	struct page p = { .left = limit, .fn = { .event = fn }, .user = user };
	struct tree_key below = key_id_seq(outlet_id->b, before != 0 ? before : UINT64_MAX);
	ev_err e = start(q, &p);

	if (e == EV_OK && limit > 0)
		tree_walk_down(&p.tables->t[TABLE_EVENT_OUTLET], &below, 16, give_event_of, &p);
	return e;
}

static ev_err query_events(struct query *q, uint64_t after, size_t limit, event_visit_fn fn,
			   void *user)
{
	struct page p = { .left = limit, .fn = { .event = fn }, .user = user };
	struct tree_key from = key_seq(after);
	ev_err e = start(q, &p);

	tree_key_bytes(&from, "", 1);
	if (e == EV_OK && limit > 0)
		tree_walk_up(&p.tables->t[TABLE_EVENT], &from, 0, give_event, &p);
	return e;
}

static ev_err query_row(struct query *q, enum table t, const struct ev_uuid *id, void *out,
			size_t n)
{
	struct page p = { .left = 1 };
	ev_err e = start(q, &p);
	const void *row;

	if (e != EV_OK)
		return e;
	row = row_of(&p, t, id->b);
	if (row == NULL)
		return EV_NOTFOUND;
	memcpy(out, row, n);
	return EV_OK;
}

static ev_err query_session(struct query *q, const struct ev_uuid *id, struct session *out)
{
	return query_row(q, TABLE_SESSION, id, out, sizeof(*out));
}

static ev_err query_customer(struct query *q, const struct ev_uuid *id, struct customer *out)
{
	return query_row(q, TABLE_CUSTOMER, id, out, sizeof(*out));
}

static bool give_session(void *user, const struct tree_item *item)
{
	struct page *p = user;
	const struct session *s = row_of(p, TABLE_SESSION, item->key + item->key_n - 16);

	if (p->live_only && !session_is_live(s->state))
		return true;
	if (p->heard_before_ns != 0 && s->heard_ns >= p->heard_before_ns)
		return true;
	return goes_on(p, p->fn.session(p->user, s));
}

/* Appends "earlier than before_ns", 0: at any time. */
static void add_before(struct tree_key *k, int64_t before_ns)
{
	if (before_ns != 0)
		tree_key_i64(k, before_ns);
	else
		tree_key_u64(k, UINT64_MAX);
}

static ev_err query_history(struct query *q, const struct ev_uuid *customer_id, int64_t before_ns,
			    size_t limit, session_visit_fn fn, void *user)
{
	struct page p = { .left = limit, .fn = { .session = fn }, .user = user };
	struct tree_key below = key_id(customer_id->b);
	ev_err e = start(q, &p);

	add_before(&below, before_ns);
	if (e == EV_OK && limit > 0)
		tree_walk_down(&p.tables->t[TABLE_SESSION_HISTORY], &below, 16, give_session, &p);
	return e;
}

static ev_err query_sessions(struct query *q, bool live_only, int64_t heard_before_ns,
			     int64_t before_ns, size_t limit, session_visit_fn fn, void *user)
{
	struct page p = { .left = limit, .live_only = live_only, .user = user };
	struct tree_key below = { .n = 0 };
	ev_err e = start(q, &p);

	p.heard_before_ns = heard_before_ns;
	p.fn.session = fn;
	add_before(&below, before_ns);
	if (e == EV_OK && limit > 0)
		tree_walk_down(&p.tables->t[TABLE_SESSION_START], &below, 0, give_session, &p);
	return e;
}

static bool give_customer(void *user, const struct tree_item *item)
{
	struct page *p = user;

	return goes_on(p, p->fn.customer(p->user, item->value));
}

static ev_err query_customers(struct query *q, const struct ev_uuid *after, size_t limit,
			      customer_visit_fn fn, void *user)
{
	struct page p = { .left = limit, .fn = { .customer = fn }, .user = user };
	struct tree_key from = first_after(after);
	ev_err e = start(q, &p);

	if (e == EV_OK && limit > 0)
		tree_walk_up(&p.tables->t[TABLE_CUSTOMER], &from, 0, give_customer, &p);
	return e;
}

static bool give_item(void *user, const struct tree_item *item)
{
	struct page *p = user;
	const struct unassigned_item *i = row_of(p, TABLE_ITEM, item->key + item->key_n - 16);

	if (p->open_only && i->attached)
		return true;
	return goes_on(p, p->fn.item(p->user, i));
}

static ev_err query_unassigned(struct query *q, const struct ev_uuid *outlet_id, bool open_only,
			       size_t limit, item_visit_fn fn, void *user)
{
	struct page p = { .left = limit, .open_only = open_only, .user = user };
	struct tree_key from = { .n = 0 };
	enum table t = TABLE_ITEM_TIME;
	ev_err e = start(q, &p);

	p.fn.item = fn;
	if (outlet_id != NULL) {
		from = key_id(outlet_id->b);
		t = TABLE_ITEM_OUTLET;
	}
	if (e == EV_OK && limit > 0)
		tree_walk_up(&p.tables->t[t], &from, from.n, give_item, &p);
	return e;
}

static bool give_dead_letter(void *user, const struct tree_item *item)
{
	struct page *p = user;
	struct dead_letter d = dead_letter_row(row_of(p, TABLE_DEAD_LETTER, item->value));

	if (p->open_only && d.status != DEAD_LETTER_OPEN)
		return true;
	return goes_on(p, p->fn.dead_letter(p->user, &d));
}

static ev_err query_dead_letters(struct query *q, bool all, uint64_t before, size_t limit,
				 dead_letter_visit_fn fn, void *user)
{
	struct page p = { .left = limit, .open_only = !all, .user = user };
	struct tree_key below = key_seq(before != 0 ? before : UINT64_MAX);
	ev_err e = start(q, &p);

	p.fn.dead_letter = fn;
	if (e == EV_OK && limit > 0)
		tree_walk_down(&p.tables->t[TABLE_DEAD_LETTER_SEQ], &below, 0, give_dead_letter,
			       &p);
	return e;
}

static ev_err query_dead_letter(struct query *q, const struct identity *id, struct dead_letter *out,
				char *body_out)
{
	struct page p = { .left = 1 };
	ev_err e = start(q, &p);

	return e != EV_OK ? e : dead_letter_load(p.tables, id, out, body_out);
}

static bool sum_outlet(void *user, const struct tree_item *item)
{
	struct energy_books *b = user;
	const struct outlet *o = item->value;

	b->outlets_total_mwh += o->total_energy_mwh;
	b->outlets_unassigned_mwh += o->unassigned_mwh;
	return true;
}

static bool sum_session(void *user, const struct tree_item *item)
{
	struct energy_books *b = user;
	const struct session *s = item->value;

	b->sessions_mwh += s->energy_mwh;
	return true;
}

static bool sum_item(void *user, const struct tree_item *item)
{
	struct energy_books *b = user;
	const struct unassigned_item *i = item->value;

	if (!i->attached) {
		b->items_open_mwh += i->mwh;
		b->n_items_open++;
	}
	return true;
}

static bool sum_dead_letter(void *user, const struct tree_item *item)
{
	struct energy_books *b = user;
	const struct dead_letter *d = item->value;

	b->n_dead_letters_open += d->status == DEAD_LETTER_OPEN;
	return true;
}

static ev_err query_books(struct query *q, struct energy_books *out)
{
	struct tree_key first = { .n = 0 };
	struct page p = { .left = 1 };
	ev_err e = start(q, &p);
	const struct tree *t;

	if (e != EV_OK)
		return e;
	t = p.tables->t;
	*out = (struct energy_books){
		.n_outlets = t[TABLE_OUTLET].n,
		.n_sessions = t[TABLE_SESSION].n,
		.n_live_sessions = t[TABLE_SESSION_LIVE].n,
		.n_customers = t[TABLE_CUSTOMER].n,
		.n_events = t[TABLE_EVENT].n,
		.n_commands = t[TABLE_COMMAND].n,
		.n_parked = t[TABLE_PARKED].n,
	};
	tree_walk_up(&t[TABLE_OUTLET], &first, 0, sum_outlet, out);
	tree_walk_up(&t[TABLE_SESSION], &first, 0, sum_session, out);
	tree_walk_up(&t[TABLE_ITEM], &first, 0, sum_item, out);
	tree_walk_up(&t[TABLE_DEAD_LETTER], &first, 0, sum_dead_letter, out);
	return EV_OK;
}

static void query_free(struct query *q)
{
	free(q);
}

static const struct query_ops query_ops = {
	.outlets = query_outlets,
	.outlet = query_outlet,
	.outlet_events = query_outlet_events,
	.events = query_events,
	.session = query_session,
	.history = query_history,
	.sessions = query_sessions,
	.customer = query_customer,
	.customers = query_customers,
	.unassigned = query_unassigned,
	.dead_letters = query_dead_letters,
	.dead_letter = query_dead_letter,
	.books = query_books,
	.free = query_free,
};

ev_err memory_query_open(struct memory_engine *m, struct query **out)
{
	struct memory_query *q = malloc(sizeof(*q));

	if (q == NULL)
		return EV_NOMEM;
	*q = (struct memory_query){ .base = { .ops = &query_ops }, .m = m };
	*out = &q->base;
	return EV_OK;
}
