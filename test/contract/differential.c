/*
 * The same seeded operations on the memory engine and on another one: every result, every loaded
 * row, every list and all that the listeners hear must be the same.
 */
#include "contract/differential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS 5000

/* Few of each, so that operations meet. */
#define OUTLETS 24
#define SESSIONS 60
#define CUSTOMERS 16
#define IDENTITIES 150
#define TAGS 8
#define INSTANTS 40

#define UNITS_MAX 5
#define PUTS_MAX 3
#define ROWS 200

#define HEARD_MAX 1024

/* What a listener was told since the last comparison. */
struct heard {
	size_t n_events;
	struct stored_event events[HEARD_MAX];
	size_t n_commands;
	struct device_command commands[HEARD_MAX];
};

/* One engine and where it stands. */
struct side {
	struct contract c;
	struct gen g;   /* equal on both sides before each step */
	unsigned flags; /* what the two do not both promise */
	unsigned operation;
	bool in_group;
	struct heard heard;
};

static bool lacks(const struct side *s, unsigned flag)
{
	return (s->flags & flag) != 0;
}

static struct ev_uuid any_id(struct gen *g, char kind, uint64_t n)
{
	return id_of(kind, gen_below(g, n));
}

static struct identity any_identity(struct gen *g)
{
	return identity_of('i', gen_below(g, IDENTITIES));
}

static struct rfid_tag any_tag(struct gen *g)
{
	struct rfid_tag t = { 5, "04a2_" };

	t.s[4] = (char)('a' + gen_below(g, TAGS));
	return t;
}

/* Mostly one of few instants, so that orders have ties. */
static int64_t any_instant(struct gen *g)
{
	return gen_below(g, 4) == 0 ? gen_time(g) : (int64_t)gen_below(g, INSTANTS);
}

/* What a unit is made of. */
struct draft {
	struct outlet outlet;
	struct outlet_info info;
	struct session session;
	struct customer customer;
	struct charging_event events[2];
	struct device_command commands[2];
	struct keyed_put puts[PUTS_MAX];
};

/* Mostly the version that is there. */
static uint64_t any_expected(struct gen *g, uint64_t stored)
{
	return gen_below(g, 8) == 0 ? gen_below(g, 40) : stored;
}

static uint64_t next_version(struct gen *g, uint64_t expected)
{
	return gen_below(g, 16) == 0 ? expected : expected + 1 + gen_below(g, 3);
}

static void draft_outlet(struct side *s, struct draft *d, struct unit *u)
{
	struct ev_uuid id = any_id(&s->g, 'o', OUTLETS);
	struct outlet now = { .version = 0 };
	ev_err e = s->c.s->ops->load_outlet(s->c.s, &id, &now);

	assert_true(e == EV_OK || e == EV_NOTFOUND);
	u->expected = any_expected(&s->g, now.version);
	d->outlet = gen_outlet(&s->g, &id, next_version(&s->g, u->expected));
	d->info = gen_info(&s->g);
	u->outlet = &d->outlet;
	u->info = gen_bool(&s->g) ? &d->info : NULL;
}

static void draft_session(struct side *s, struct draft *d, struct unit *u)
{
	struct ev_uuid id = any_id(&s->g, 's', SESSIONS);
	struct session now = { .version = 0 };
	ev_err e = s->c.s->ops->load_session(s->c.s, &id, &now);

	assert_true(e == EV_OK || e == EV_NOTFOUND);
	u->expected = any_expected(&s->g, now.version);
	d->session = gen_session(&s->g, &id, next_version(&s->g, u->expected));
	d->session.outlet_id = any_id(&s->g, 'o', OUTLETS);
	if (d->session.has_customer)
		d->session.customer_id = any_id(&s->g, 'c', CUSTOMERS);
	d->session.start_ns = any_instant(&s->g);
	d->session.heard_ns = any_instant(&s->g);
	u->session = &d->session;
}

static void draft_customer(struct side *s, struct draft *d, struct unit *u)
{
	struct ev_uuid id = any_id(&s->g, 'c', CUSTOMERS);
	struct customer now = { .version = 0 };
	ev_err e = s->c.s->ops->load_customer(s->c.s, &id, &now);

	assert_true(e == EV_OK || e == EV_NOTFOUND);
	u->expected = any_expected(&s->g, now.version);
	d->customer = gen_customer(&s->g, &id, next_version(&s->g, u->expected));
	u->customer = &d->customer;
	u->erase = now.version != 0 && gen_below(&s->g, 4) == 0;
}

static struct keyed_put draft_delivery(struct gen *g)
{
	struct keyed_put p = { PUT_DELIVERY, .delivery = { .outlet_id = any_id(g, 'o', OUTLETS) } };

	p.delivery.delivered_version = gen_below(g, 40);
	p.delivery.delivered_index = (unsigned)gen_below(g, 3);
	p.delivery.acked_version = gen_below(g, 40);
	p.delivery.acked_index = (unsigned)gen_below(g, 3);
	p.delivery.at_ns = any_instant(g);
	return p;
}

static struct keyed_put draft_block(struct gen *g)
{
	struct keyed_put p = { PUT_IDENTITY_BLOCK,
			       .block = { .outlet_id = any_id(g, 'o', OUTLETS) } };

	p.block.at_ns = gen_time(g);
	for (unsigned i = 0; i < OUTLET_IDS_MAX; i++) {
		if (gen_below(g, 4) != 0)
			p.block.ids[i] = any_identity(g);
	}
	return p;
}

/* An input is always of the same outlet. */
static struct identity any_input(struct gen *g, struct ev_uuid *out_outlet)
{
	uint64_t n = gen_below(g, IDENTITIES);

	*out_outlet = id_of('o', n % OUTLETS);
	return identity_of('i', n);
}

static struct keyed_put draft_parked(struct gen *g)
{
	struct ev_uuid outlet_id;
	struct identity id = any_input(g, &outlet_id);
	enum outlet_input_kind kind = (enum outlet_input_kind)gen_below(g, OUTLET_IN_COUNT);
	struct keyed_put p = { PUT_PARKED, .parked = gen_parked(g, &id, &outlet_id, kind) };

	p.parked.due_ns = any_instant(g);
	return p;
}

/* Each item is attached from some operation on: what is attached stays so. */
static struct keyed_put draft_item(struct side *s)
{
	struct gen *g = &s->g;
	uint64_t n = gen_below(g, IDENTITIES);
	struct identity id = identity_of('i', n);
	struct ev_uuid outlet_id = any_id(g, 'o', OUTLETS);
	struct keyed_put p = { PUT_UNASSIGNED, .unassigned = gen_item(g, &id, &outlet_id) };

	p.unassigned.at_ns = any_instant(g);
	p.unassigned.attached = s->operation >= n * OPERATIONS / IDENTITIES;
	p.unassigned.session_id = p.unassigned.attached ? id_of('s', n) : (struct ev_uuid){ { 0 } };
	return p;
}

static struct keyed_put draft_put(struct side *s)
{
	struct gen *g = &s->g;
	struct keyed_put p = { .kind = (enum put_kind)gen_below(g, PUT_DELIVERY + 1) };
	struct identity id = any_identity(g);

	switch (p.kind) {
	case PUT_DEAD_LETTER:
		p.dead_letter = gen_dead_letter(g, &id);
		break;
	case PUT_DEAD_LETTER_STATUS:
		p.status.id = id;
		p.status.status = (enum dead_letter_status)gen_below(g, 3);
		p.status.at_ns = gen_time(g);
		break;
	case PUT_PARKED:
		return draft_parked(g);
	case PUT_UNPARK:
		p.unpark.id = any_input(g, &p.unpark.outlet_id);
		break;
	case PUT_UNASSIGNED:
		return draft_item(s);
	case PUT_ATTACHMENT:
		p.attachment.item_id = id;
		p.attachment.session_id = any_id(g, 's', SESSIONS);
		p.attachment.mwh = 5;
		break;
	case PUT_CLAIM:
	case PUT_UNCLAIM:
		p.claim = (struct tag_claim){ any_tag(g), any_id(g, 'c', 3), gen_time(g) };
		break;
	case PUT_IDENTITY_BLOCK:
		return draft_block(g);
	case PUT_DELIVERY:
		return draft_delivery(g);
	}
	return p;
}

static struct unit draft_unit(struct side *s, struct draft *d)
{
	struct unit u = { .kind = (enum unit_kind)gen_below(&s->g, UNIT_NONE + 1) };
	struct gen *g = &s->g;

	if (u.kind == UNIT_OUTLET)
		draft_outlet(s, d, &u);
	else if (u.kind == UNIT_SESSION)
		draft_session(s, d, &u);
	else if (u.kind == UNIT_CUSTOMER)
		draft_customer(s, d, &u);
	u.n_events = gen_below(g, 3);
	u.n_commands = gen_below(g, 3);
	u.n_puts = gen_below(g, PUTS_MAX + 1);
	for (size_t i = 0; i < 2; i++) {
		struct ev_uuid id = any_id(g, 'o', OUTLETS);

		d->events[i] = gen_event(g, &id);
		d->commands[i] = gen_command(g, &id, 1 + gen_below(g, 40),
					     (unsigned)gen_below(g, 3));
		d->commands[i].expires_ns = gen_bool(g) ? any_instant(g) : 0;
	}
	for (size_t i = 0; i < u.n_puts; i++)
		d->puts[i] = draft_put(s);
	u.events = d->events;
	u.commands = d->commands;
	u.puts = d->puts;
	return u;
}

/* Units of one call are drafted from what was there before it, so that they conflict at times. */
static void do_commit(struct side *s, struct text *t)
{
	struct draft drafts[UNITS_MAX];
	struct unit units[UNITS_MAX];
	ev_err results[UNITS_MAX];
	size_t n = gen_below(&s->g, UNITS_MAX + 1);

	for (size_t i = 0; i < n; i++)
		units[i] = draft_unit(s, &drafts[i]);
	text_add(t, "commit %s\n", ev_err_text(s->c.s->ops->commit(s->c.s, units, n, results)));
	for (size_t i = 0; i < n; i++)
		text_add(t, "  %s\n", ev_err_text(results[i]));
}

static void load_rows(struct side *s, struct text *t)
{
	struct ev_uuid id = any_id(&s->g, 'o', OUTLETS);
	struct ev_uuid session_id = any_id(&s->g, 's', SESSIONS);
	struct ev_uuid customer_id = any_id(&s->g, 'c', CUSTOMERS);
	const struct store_ops *ops = s->c.s->ops;
	struct outlet o;
	struct outlet_info info;
	struct session session;
	struct customer customer;

	if (ops->load_outlet(s->c.s, &id, &o) == EV_OK)
		text_outlet(t, &o);
	if (ops->load_info(s->c.s, &id, &info) == EV_OK)
		text_info(t, &info);
	if (ops->load_session(s->c.s, &session_id, &session) == EV_OK)
		text_session(t, &session);
	if (ops->load_customer(s->c.s, &customer_id, &customer) == EV_OK)
		text_customer(t, &customer);
}

static void load_by_identity(struct side *s, struct text *t)
{
	struct ev_uuid outlet_id = any_id(&s->g, 'o', OUTLETS);
	struct identity id = any_identity(&s->g);
	struct rfid_tag tag = any_tag(&s->g);
	const struct store_ops *ops = s->c.s->ops;
	char body[DEAD_LETTER_BODY_MAX];
	struct unassigned_item item;
	struct dead_letter d;
	struct tag_claim claim;
	struct delivery delivery;
	bool seen = false;
	bool attached = false;

	if (ops->load_unassigned(s->c.s, &id, &item) == EV_OK)
		text_item(t, &item);
	if (ops->load_dead_letter(s->c.s, &id, &d, body) == EV_OK)
		text_dead_letter(t, &d);
	if (ops->load_claim(s->c.s, &tag, &claim) == EV_OK)
		text_claim(t, &claim);
	assert_int_equal(ops->load_delivery(s->c.s, &outlet_id, &delivery), EV_OK);
	text_delivery(t, &delivery);
	assert_int_equal(ops->seen(s->c.s, &outlet_id, &id, &seen), EV_OK);
	assert_int_equal(ops->has_attachment(s->c.s, &id, &attached), EV_OK);
	text_add(t, "seen %d attached %d\n", seen, attached);
}

static void tell_ids(struct text *t, const struct ev_uuid *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		text_id(t, "", ids[i].b);
	text_add(t, "\n");
}

static void load_sessions(struct side *s, struct text *t)
{
	struct ev_uuid outlet_id = any_id(&s->g, 'o', OUTLETS);
	struct ev_uuid customer_id = any_id(&s->g, 'c', CUSTOMERS);
	struct ev_uuid after = any_id(&s->g, 's', SESSIONS);
	size_t max = gen_below(&s->g, 8);
	struct ev_uuid ids[8];
	size_t n = 0;

	assert_int_equal(s->c.s->ops->live_sessions(s->c.s, &outlet_id, ids, max, &n), EV_OK);
	tell_ids(t, ids, n);
	assert_int_equal(s->c.s->ops->customer_sessions(s->c.s, &customer_id,
							gen_bool(&s->g) ? &after : NULL, ids, max,
							&n),
			 EV_OK);
	tell_ids(t, ids, n);
}

/* Without the outlets whose timer moved on, which an engine may name or not. */
static void load_due(struct side *s, struct text *t)
{
	int64_t due_ns = gen_time(&s->g);
	struct ev_uuid ids[OUTLETS];
	size_t n = 0;

	assert_int_equal(s->c.s->ops->due_outlets(s->c.s, due_ns, ids, OUTLETS, &n), EV_OK);
	for (size_t i = 0; i < n; i++) {
		struct outlet_input in;
		struct outlet o;
		int64_t at = 0;

		assert_int_equal(s->c.s->ops->load_outlet(s->c.s, &ids[i], &o), EV_OK);
		if (outlet_next_timer(&o, &s->c.rules, &at, &in) && at <= due_ns)
			text_id(t, " due", ids[i].b);
	}
	text_add(t, "\n");
}

static void load_waiting(struct side *s, struct text *t)
{
	struct ev_uuid outlet_id = any_id(&s->g, 'o', OUTLETS);
	bool all = gen_bool(&s->g);
	int64_t now_ns = any_instant(&s->g);
	uint64_t version = gen_below(&s->g, 40);
	unsigned index = (unsigned)gen_below(&s->g, 3);
	size_t max = gen_below(&s->g, 8);
	struct parked_input parked[8];
	struct device_command commands[8];
	size_t n = 0;

	assert_int_equal(
		s->c.s->ops->load_parked(s->c.s, all ? NULL : &outlet_id, now_ns, parked, max, &n),
		EV_OK);
	for (size_t i = 0; i < n; i++)
		text_parked(t, &parked[i]);
	assert_int_equal(s->c.s->ops->load_commands(s->c.s, &outlet_id, version, index, now_ns,
						    commands, max, &n),
			 EV_OK);
	for (size_t i = 0; i < n; i++)
		text_command(t, &commands[i]);
}

/* What a page's visitor needs for the next page. */
struct page {
	struct text *t;
	uint64_t last_seq;
};

/* Rows in no order: each as a text of its own, and then in that of the texts. */
struct heap_of_rows {
	struct text rows[ROWS];
	size_t n;
};

static struct text *new_row(struct heap_of_rows *h)
{
	assert_true(h->n < ROWS);
	return &h->rows[h->n++];
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct text *)a)->p, ((const struct text *)b)->p);
}

/* Adds them in order, and empties them. */
static void tell_sorted(struct text *rows, size_t n, struct text *t)
{
	if (n > 1)
		qsort(rows, n, sizeof(rows[0]), by_text);
	for (size_t i = 0; i < n; i++) {
		for (const char *p = rows[i].p; *p != '\0'; p += strnlen(p, 256))
			text_add(t, "%.256s", p);
		text_free(&rows[i]);
	}
}

static bool heap_outlet(void *user, const struct outlet_row *row)
{
	struct text *t = new_row(user);

	text_outlet(t, &row->outlet);
	text_info(t, &row->info);
	return true;
}

static bool heap_customer(void *user, const struct customer *c)
{
	text_customer(new_row(user), c);
	return true;
}

static bool tell_outlet(void *user, const struct outlet_row *row)
{
	const struct page *p = user;

	text_outlet(p->t, &row->outlet);
	text_info(p->t, &row->info);
	return true;
}

static bool tell_session(void *user, const struct session *s)
{
	const struct page *p = user;

	text_session(p->t, s);
	return true;
}

static bool tell_customer(void *user, const struct customer *c)
{
	const struct page *p = user;

	text_customer(p->t, c);
	return true;
}

static bool tell_event(void *user, const struct stored_event *e)
{
	struct page *p = user;

	p->last_seq = e->seq;
	text_stored_event(p->t, e);
	return true;
}

static bool tell_item(void *user, const struct unassigned_item *i)
{
	const struct page *p = user;

	text_item(p->t, i);
	return true;
}

static bool tell_dead_letter(void *user, const struct dead_letter *d)
{
	struct page *p = user;

	p->last_seq = d->seq;
	text_dead_letter(p->t, d);
	return true;
}

static void query_outlets(struct side *s, struct text *t)
{
	struct gen *g = &s->g;
	struct ev_uuid after = any_id(g, 'o', OUTLETS);
	struct page p = { .t = t };
	struct outlet_filter f = { .has_state = gen_bool(g) };

	f.state = (enum outlet_state)gen_below(g, OUTLET_STATE_COUNT);
	f.has_group = gen_bool(g);
	f.group_id = any_id(g, 'g', 3);
	f.with_retired = gen_bool(g);
	if (lacks(s, CONTRACT_UNORDERED)) {
		struct heap_of_rows h = { .n = 0 };

		assert_int_equal(s->c.q->ops->outlets(s->c.q, &f, NULL, ROWS, heap_outlet, &h),
				 EV_OK);
		tell_sorted(h.rows, h.n, t);
		return;
	}
	assert_int_equal(s->c.q->ops->outlets(s->c.q, &f, gen_bool(g) ? &after : NULL,
					      gen_below(g, 6), tell_outlet, &p),
			 EV_OK);
}

static void query_sessions(struct side *s, struct text *t)
{
	struct gen *g = &s->g;
	struct ev_uuid customer_id = any_id(g, 'c', CUSTOMERS);
	int64_t before_ns = gen_bool(g) ? any_instant(g) : 0;
	int64_t heard_ns = gen_bool(g) ? any_instant(g) : 0;
	bool live_only = gen_bool(g);
	struct page p = { .t = t };

	assert_int_equal(s->c.q->ops->history(s->c.q, &customer_id, before_ns, gen_below(g, 8),
					      tell_session, &p),
			 EV_OK);
	assert_int_equal(s->c.q->ops->sessions(s->c.q, live_only, heard_ns, before_ns,
					       gen_below(g, 8), tell_session, &p),
			 EV_OK);
}

static void query_customers(struct side *s, struct text *t)
{
	struct ev_uuid after = any_id(&s->g, 'c', CUSTOMERS);
	struct page p = { .t = t };

	if (lacks(s, CONTRACT_UNORDERED)) {
		struct heap_of_rows h = { .n = 0 };

		assert_int_equal(s->c.q->ops->customers(s->c.q, NULL, ROWS, heap_customer, &h),
				 EV_OK);
		tell_sorted(h.rows, h.n, t);
		return;
	}
	assert_int_equal(s->c.q->ops->customers(s->c.q, gen_bool(&s->g) ? &after : NULL,
						gen_below(&s->g, 6), tell_customer, &p),
			 EV_OK);
}

/* Two pages, the second one from each engine's own seq. */
static void query_events(struct side *s, struct text *t)
{
	struct gen *g = &s->g;
	struct ev_uuid outlet_id = any_id(g, 'o', OUTLETS);
	size_t limit = gen_below(g, 6);
	struct page p = { .t = t };

	if (lacks(s, CONTRACT_NO_EVENTS)) {
		assert_int_equal(s->c.q->ops->events(s->c.q, 0, 1, tell_event, &p) ==
					 EV_UNSUPPORTED,
				 contract_is(&s->c, CONTRACT_NO_EVENTS));
		text_free(t);
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			s->c.q->ops->events(s->c.q, p.last_seq, gen_below(g, ROWS), tell_event, &p),
			EV_OK);
	p.last_seq = 0;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(s->c.q->ops->outlet_events(s->c.q, &outlet_id, p.last_seq, limit,
							    tell_event, &p),
				 EV_OK);
}

static void query_items(struct side *s, struct text *t)
{
	struct gen *g = &s->g;
	struct ev_uuid outlet_id = any_id(g, 'o', OUTLETS);
	bool open_only = gen_bool(g);
	struct page p = { .t = t };

	assert_int_equal(s->c.q->ops->unassigned(s->c.q, gen_bool(g) ? &outlet_id : NULL, open_only,
						 gen_below(g, 8), tell_item, &p),
			 EV_OK);
}

static void query_dead_letters(struct side *s, struct text *t)
{
	struct gen *g = &s->g;
	bool all = gen_bool(g);
	size_t limit = gen_below(g, 6);
	struct page p = { .t = t };

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(s->c.q->ops->dead_letters(s->c.q, all, p.last_seq, limit,
							   tell_dead_letter, &p),
				 EV_OK);
}

static void query_books(struct side *s, struct text *t)
{
	struct energy_books b = contract_books(&s->c);

	if (lacks(s, CONTRACT_NO_EVENTS))
		b.n_events = 0;
	text_books(t, &b);
}

/* Opens, ends or gives up the group; a reopen now and then. */
static void do_group(struct side *s, struct text *t)
{
	uint64_t dice = gen_below(&s->g, 100);

	if (!s->in_group) {
		contract_begin(&s->c);
		s->in_group = true;
	} else if (dice < 60) {
		contract_end(&s->c);
		s->in_group = false;
	} else if (dice < 90) {
		s->c.s->ops->abandon(s->c.s);
		s->in_group = false;
	} else if (dice < 93) {
		contract_reopen(&s->c); /* and nobody ended the group */
		s->in_group = false;
		s->c.factory->listen(s->c.engine, &(struct contract_listener){ NULL, NULL, NULL });
	}
	text_add(t, "group %d\n", s->in_group);
}

static void step(struct side *s, struct text *t)
{
	static void (*const queries[])(struct side *, struct text *) = {
		load_rows,    load_by_identity, load_sessions,      load_due,
		load_waiting, query_outlets,    query_sessions,     query_customers,
		query_events, query_items,      query_dead_letters, query_books,
	};
	uint64_t dice = gen_below(&s->g, 100);

	s->c.clock_ns += (int64_t)gen_below(&s->g, 1000000);
	if (dice < 20)
		do_group(s, t);
	else if (dice < 60)
		do_commit(s, t);
	else
		queries[gen_below(&s->g, EV_ARRAY_LEN(queries))](s, t);
}

static void hear_event(void *user, const struct stored_event *e)
{
	struct heard *h = user;

	assert_true(h->n_events < HEARD_MAX);
	h->events[h->n_events++] = *e;
}

static void hear_command(void *user, const struct device_command *d)
{
	struct heard *h = user;

	assert_true(h->n_commands < HEARD_MAX);
	h->commands[h->n_commands++] = *d;
}

static void listen(struct side *s)
{
	s->c.factory->listen(s->c.engine,
			     &(struct contract_listener){ hear_event, hear_command, &s->heard });
}

/* All outlets exist: what happens to effects of others is not promised. */
static void start(struct side *s, const struct contract_factory *f, uint64_t seed, unsigned flags)
{
	memset(s, 0, sizeof(*s));
	s->g.state = seed;
	s->flags = flags;
	contract_open(&s->c, f);
	for (uint64_t n = 0; n < OUTLETS; n++)
		contract_new_outlet(&s->c, n);
}

static void tell_heard(const struct heard *h, struct text *t)
{
	for (size_t i = 0; i < h->n_events; i++)
		text_stored_event(t, &h->events[i]);
	for (size_t i = 0; i < h->n_commands; i++)
		text_command(t, &h->commands[i]);
}

static void tell_events_in_no_order(const struct heard *h, struct text *t)
{
	struct text *rows = calloc(h->n_events + 1, sizeof(*rows));

	assert_non_null(rows);
	for (size_t i = 0; i < h->n_events; i++)
		text_event(&rows[i], &h->events[i].event);
	tell_sorted(rows, h->n_events, t);
	free(rows);
}

static bool has_command(const struct heard *h, const struct device_command *c)
{
	struct text want = { .p = NULL };
	bool has = false;

	text_command(&want, c);
	for (size_t i = 0; i < h->n_commands && !has; i++) {
		struct text t = { .p = NULL };

		text_command(&t, &h->commands[i]);
		has = strcmp(t.p, want.p) == 0;
		text_free(&t);
	}
	text_free(&want);
	return has;
}

static bool is_last_of_outlet(const struct heard *h, size_t at)
{
	for (size_t i = at + 1; i < h->n_commands; i++) {
		if (ev_uuid_eq(&h->commands[i].outlet_id, &h->commands[at].outlet_id))
			return false;
	}
	return true;
}

/* Row by row, and without commands that a newer one of their outlet replaced. */
static void compare_by_row(const struct heard *got, const struct heard *all)
{
	struct text a = { .p = NULL };
	struct text b = { .p = NULL };

	text_add(&a, "events\n");
	text_add(&b, "events\n");
	tell_events_in_no_order(got, &a);
	tell_events_in_no_order(all, &b);
	text_assert_same(&a, &b);
	for (size_t i = 0; i < got->n_commands; i++)
		assert_true(has_command(all, &got->commands[i]));
	for (size_t i = 0; i < all->n_commands; i++)
		assert_true(!is_last_of_outlet(all, i) || has_command(got, &all->commands[i]));
}

static void compare_heard(struct side *memory, struct side *other)
{
	struct text got = { .p = NULL };
	struct text want = { .p = NULL };

	if (lacks(other, CONTRACT_EFFECTS_BY_ROW)) {
		compare_by_row(&other->heard, &memory->heard);
	} else {
		text_add(&got, "heard\n");
		text_add(&want, "heard\n");
		tell_heard(&other->heard, &got);
		tell_heard(&memory->heard, &want);
		text_assert_same(&got, &want);
	}
	memory->heard.n_events = memory->heard.n_commands = 0;
	other->heard.n_events = other->heard.n_commands = 0;
}

static void run_both(struct side *memory, struct side *other)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		struct text got = { .p = NULL };
		struct text want = { .p = NULL };

		memory->operation = other->operation = i;
		listen(memory); /* a reopened engine has forgotten it */
		listen(other);
		step(memory, &want);
		step(other, &got);
		text_add(&want, "operation %u\n", i);
		text_add(&got, "operation %u\n", i);
		text_assert_same(&got, &want);
		compare_heard(memory, other);
		assert_int_equal(memory->g.state, other->g.state);
	}
}

struct pair {
	const struct contract_factory *other;
	uint64_t seed;
};

static void both_engines_do_the_same(void **state)
{
	const struct pair *p = *state;
	struct side *memory = malloc(sizeof(*memory));
	struct side *other = malloc(sizeof(*other));

	assert_true(memory != NULL && other != NULL);
	start(memory, &contract_memory, p->seed, p->other->flags);
	start(other, p->other, p->seed, p->other->flags);
	run_both(memory, other);
	contract_close(&other->c);
	contract_close(&memory->c);
	free(other);
	free(memory);
}

int differential_run(const struct contract_factory *other)
{
	static const uint64_t seeds[] = { 1, 2, 3, 4 };
	struct CMUnitTest tests[EV_ARRAY_LEN(seeds)];
	struct pair pairs[EV_ARRAY_LEN(seeds)];
	char names[EV_ARRAY_LEN(seeds)][64];

	for (size_t i = 0; i < EV_ARRAY_LEN(seeds); i++) {
		pairs[i] = (struct pair){ other, seeds[i] };
		(void)snprintf(names[i], sizeof(names[i]), "both_engines_do_the_same with seed %u",
			       (unsigned)seeds[i]);
		tests[i] = (struct CMUnitTest){ names[i], both_engines_do_the_same, NULL, NULL,
						&pairs[i] };
	}
	return _cmocka_run_group_tests("differential", tests, EV_ARRAY_LEN(tests), NULL, NULL);
}
