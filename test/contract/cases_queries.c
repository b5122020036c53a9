/* Queries: orders, pages, filters, sums. */
#include <stdlib.h>
#include <string.h>

#include "contract/contract.h"

#define MANY 30

/* What a visitor was given: the rows' ids or seqs, and when it says stop. */
struct got {
	struct ev_uuid ids[MANY];
	uint64_t seqs[MANY];
	size_t n;
	size_t stop_at; /* rows after which it wants no more; 0: never */
};

static bool take(struct got *g, const uint8_t id[16], uint64_t seq)
{
	assert_true(g->n < MANY);
	memcpy(g->ids[g->n].b, id, 16);
	g->seqs[g->n] = seq;
	g->n++;
	return g->n != g->stop_at;
}

static bool take_outlet(void *user, const struct outlet_row *row)
{
	return take(user, row->outlet.id.b, 0);
}

static bool take_session(void *user, const struct session *s)
{
	return take(user, s->id.b, 0);
}

static bool take_customer(void *user, const struct customer *c)
{
	return take(user, c->id.b, 0);
}

static bool take_event(void *user, const struct stored_event *e)
{
	return take(user, e->event.event_id.b, e->seq);
}

static bool take_item(void *user, const struct unassigned_item *i)
{
	return take(user, i->id.b, 0);
}

static bool take_dead_letter(void *user, const struct dead_letter *d)
{
	return take(user, d->id.b, d->seq);
}

static void assert_got(const struct got *g, const struct ev_uuid *want, size_t n)
{
	struct text a = { .p = NULL };
	struct text b = { .p = NULL };

	for (size_t i = 0; i < g->n; i++)
		text_id(&a, "\n", g->ids[i].b);
	for (size_t i = 0; i < n; i++)
		text_id(&b, "\n", want[i].b);
	text_assert_same(&a, &b);
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* One page of each kind of list, under one form. */
typedef void (*page_fn)(struct contract *c, const struct got *before, size_t limit,
			struct got *out);

/* All pages of every length give all rows in order, whether the limit or the visitor ends them. */
static void assert_pages(struct contract *c, page_fn page, const struct ev_uuid *want, size_t n)
{
	static const size_t lengths[] = { 1, 2, 7, MANY };

	for (size_t i = 0; i < 2 * EV_ARRAY_LEN(lengths); i++) {
		size_t length = lengths[i / 2];
		struct got last = { .n = 0 };
		size_t at = 0;

		while (at < n) {
			struct got g = { .stop_at = i % 2 == 0 ? 0 : length };

			page(c, at == 0 ? NULL : &last, i % 2 == 0 ? length : MANY, &g);
			assert_got(&g, want + at, n - at < length ? n - at : length);
			at += g.n;
			last = g;
		}
		last.stop_at = 0;
		struct got rest = { .n = 0 };

		page(c, &last, MANY, &rest);
		assert_int_equal(rest.n, 0);
		page(c, NULL, 0, &rest);
		assert_int_equal(rest.n, 0);
	}
}

/*
 * The order in which an engine gives these rows: theirs if it keeps one, else its own, which every
 * page must keep to.
 */
static void learn_order(struct contract *c, page_fn page, struct ev_uuid *ids, size_t n)
{
	struct ev_uuid sorted[MANY];
	struct got g = { .n = 0 };

	if (!contract_is(c, CONTRACT_UNORDERED))
		return;
	page(c, NULL, MANY, &g);
	assert_int_equal(g.n, n);
	memcpy(sorted, g.ids, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), by_bytes);
	assert_memory_equal(sorted, ids, n * sizeof(sorted[0]));
	memcpy(ids, g.ids, n * sizeof(ids[0]));
}

/* What an engine says whose events are no table. */
static void assert_no_events(struct contract *c)
{
	struct ev_uuid id = id_of('o', 1);
	struct got g = { .n = 0 };

	assert_int_equal(c->q->ops->events(c->q, 0, 9, take_event, &g), EV_UNSUPPORTED);
	assert_int_equal(c->q->ops->outlet_events(c->q, &id, 0, 9, take_event, &g), EV_UNSUPPORTED);
	assert_int_equal(g.n, 0);
}

static const struct ev_uuid *last_id(const struct got *before)
{
	return before != NULL ? &before->ids[before->n - 1] : NULL;
}

static uint64_t last_seq(const struct got *before)
{
	return before != NULL ? before->seqs[before->n - 1] : 0;
}

static void an_empty_engine_answers_every_list_with_nothing(struct contract *c)
{
	struct ev_uuid id = id_of('o', 1);
	struct identity identity = identity_of('i', 1);
	const struct outlet_filter all = { .with_retired = true };
	char body[DEAD_LETTER_BODY_MAX];
	struct got g = { .n = 0 };
	struct outlet_row row;
	struct session s;
	struct customer customer;
	struct dead_letter d;
	const struct query_ops *q = c->q->ops;

	assert_int_equal(q->outlets(c->q, &all, NULL, 9, take_outlet, &g), EV_OK);
	if (contract_is(c, CONTRACT_NO_EVENTS)) {
		assert_no_events(c);
	} else {
		assert_int_equal(q->outlet_events(c->q, &id, 0, 9, take_event, &g), EV_OK);
		assert_int_equal(q->events(c->q, 0, 9, take_event, &g), EV_OK);
	}
	assert_int_equal(q->history(c->q, &id, 0, 9, take_session, &g), EV_OK);
	assert_int_equal(q->sessions(c->q, false, 0, 0, 9, take_session, &g), EV_OK);
	assert_int_equal(q->customers(c->q, NULL, 9, take_customer, &g), EV_OK);
	assert_int_equal(q->unassigned(c->q, NULL, false, 9, take_item, &g), EV_OK);
	assert_int_equal(q->unassigned(c->q, &id, false, 9, take_item, &g), EV_OK);
	assert_int_equal(q->dead_letters(c->q, true, 0, 9, take_dead_letter, &g), EV_OK);
	assert_int_equal(g.n, 0);
	assert_int_equal(q->outlet(c->q, &id, &row), EV_NOTFOUND);
	assert_int_equal(q->session(c->q, &id, &s), EV_NOTFOUND);
	assert_int_equal(q->customer(c->q, &id, &customer), EV_NOTFOUND);
	assert_int_equal(q->dead_letter(c->q, &identity, &d, body), EV_NOTFOUND);
}

static void a_row_reads_as_it_was_stored(struct contract *c)
{
	for (uint64_t n = 0; n < 6; n++) {
		struct text got = { .p = NULL };
		struct text want = { .p = NULL };
		struct outlet_info info;
		struct outlet_row row;
		struct session s;
		struct customer customer;

		c->gen.full = n % 2 == 0;
		struct outlet stored_outlet = contract_new_outlet(c, n);
		struct session stored_session = contract_new_session(c, n);
		struct customer stored_customer = contract_new_customer(c, n);

		assert_int_equal(c->s->ops->load_info(c->s, &stored_outlet.id, &info), EV_OK);
		text_outlet(&want, &stored_outlet);
		text_info(&want, &info);
		text_session(&want, &stored_session);
		text_customer(&want, &stored_customer);
		assert_int_equal(c->q->ops->outlet(c->q, &stored_outlet.id, &row), EV_OK);
		assert_int_equal(c->q->ops->session(c->q, &stored_session.id, &s), EV_OK);
		assert_int_equal(c->q->ops->customer(c->q, &stored_customer.id, &customer), EV_OK);
		text_outlet(&got, &row.outlet);
		text_info(&got, &row.info);
		text_session(&got, &s);
		text_customer(&got, &customer);
		text_assert_same(&got, &want);
	}
}

static void page_outlets(struct contract *c, const struct got *before, size_t limit,
			 struct got *out)
{
	const struct outlet_filter f = { .with_retired = false };

	assert_int_equal(c->q->ops->outlets(c->q, &f, last_id(before), limit, take_outlet, out),
			 EV_OK);
}

static void outlets_come_page_by_page_in_order_of_id(struct contract *c)
{
	struct ev_uuid ids[20];

	for (uint64_t n = 0; n < 20; n++)
		ids[n] = contract_new_outlet(c, n).id;
	qsort(ids, 20, sizeof(ids[0]), by_bytes);
	learn_order(c, page_outlets, ids, 20);
	assert_pages(c, page_outlets, ids, 20);
}

/* Outlet n: one of five states as people see them, one of three groups, every seventh retired. */
static struct outlet_row filtered_outlet(struct contract *c, uint64_t n)
{
	struct ev_uuid id = id_of('o', n);
	struct outlet_row row = { .outlet = gen_outlet(&c->gen, &id, 1) };
	struct outlet *o = &row.outlet;

	row.info = gen_info(&c->gen);
	row.info.group_id = id_of('g', n % 3);
	o->retired = n % 7 == 0;
	o->stop_at_ns = 0;
	o->request.status = REQUEST_ANSWERED;
	if (n % 5 == 0)
		o->state = OUTLET_AVAILABLE;
	else if (n % 5 < 3)
		o->state = OUTLET_CABLE_PLUGGED;
	else
		o->state = OUTLET_CHARGING;
	if (n % 5 == 2)
		o->request.status = REQUEST_WAITING; /* shown as DeviceRequestsCharging */
	if (n % 5 == 4)
		o->stop_at_ns = c->clock_ns; /* shown as AppRequestsStop */
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .outlet = o, .info = &row.info });
	return row;
}

static void assert_filter(struct contract *c, const struct outlet_row *rows, size_t n,
			  const struct outlet_filter *f)
{
	struct got g = { .n = 0 };
	struct ev_uuid want[MANY];
	size_t n_want = 0;

	for (size_t i = 0; i < n; i++) {
		if ((!f->has_state || outlet_shown_state(&rows[i].outlet) == f->state) &&
		    (!f->has_group || ev_uuid_eq(&rows[i].info.group_id, &f->group_id)) &&
		    (f->with_retired || !rows[i].outlet.retired))
			want[n_want++] = rows[i].outlet.id;
	}
	qsort(want, n_want, sizeof(want[0]), by_bytes);
	assert_int_equal(c->q->ops->outlets(c->q, f, NULL, MANY, take_outlet, &g), EV_OK);
	if (contract_is(c, CONTRACT_UNORDERED)) {
		struct got sorted = g;

		qsort(sorted.ids, sorted.n, sizeof(sorted.ids[0]), by_bytes);
		assert_got(&sorted, want, n_want);
		memcpy(want, g.ids, n_want * sizeof(want[0]));
	}
	assert_got(&g, want, n_want);
	if (n_want < 2)
		return;
	g.n = 0; /* the limit counts rows that match */
	assert_int_equal(c->q->ops->outlets(c->q, f, NULL, n_want - 1, take_outlet, &g), EV_OK);
	assert_got(&g, want, n_want - 1);
	g.n = 0;
	assert_int_equal(c->q->ops->outlets(c->q, f, &want[0], MANY, take_outlet, &g), EV_OK);
	assert_got(&g, want + 1, n_want - 1);
}

static void outlets_are_filtered_by_shown_state_group_and_retirement(struct contract *c)
{
	struct outlet_row rows[21];

	for (uint64_t n = 0; n < 21; n++)
		rows[n] = filtered_outlet(c, n);
	for (unsigned state = 0; state <= OUTLET_STATE_COUNT; state++) {
		for (unsigned group = 0; group < 5; group++) {
			struct outlet_filter f = {
				.has_state = state < OUTLET_STATE_COUNT,
				.state = (enum outlet_state)(state % OUTLET_STATE_COUNT),
				.has_group = group < 4,
				.group_id = id_of('g', group),
			};

			assert_filter(c, rows, 21, &f);
			f.with_retired = true;
			assert_filter(c, rows, 21, &f);
		}
	}
}

/* Event n, of outlet n % 3; its eventId tells it apart. */
static struct ev_uuid put_event(struct contract *c, uint64_t n)
{
	struct ev_uuid outlet_id = id_of('o', n % 3);
	struct charging_event e = gen_event(&c->gen, &outlet_id);
	struct ev_uuid id;

	e.event_id = identity_of('e', n);
	memcpy(id.b, e.event_id.b, 16);
	c->clock_ns++;
	contract_save(c, &(struct unit){ .kind = UNIT_NONE, .events = &e, .n_events = 1 });
	return id;
}

static void page_events(struct contract *c, const struct got *before, size_t limit, struct got *out)
{
	assert_int_equal(c->q->ops->events(c->q, last_seq(before), limit, take_event, out), EV_OK);
	for (size_t i = 1; i < out->n; i++)
		assert_true(out->seqs[i] > out->seqs[i - 1]);
	assert_true(out->n == 0 || out->seqs[0] > last_seq(before));
}

static void events_come_in_order_of_commit_and_resume_after_any(struct contract *c)
{
	struct ev_uuid ids[20];

	if (contract_is(c, CONTRACT_NO_EVENTS)) {
		assert_no_events(c);
		return;
	}
	for (uint64_t n = 0; n < 20; n++)
		ids[n] = put_event(c, n);
	assert_pages(c, page_events, ids, 20);
	contract_reopen(c);
	assert_pages(c, page_events, ids, 20);
}

static void the_seq_of_an_abandoned_event_is_missed_by_nobody(struct contract *c)
{
	struct got before = { .n = 0 };
	struct got after = { .n = 0 };
	struct got all = { .n = 0 };
	struct ev_uuid outlet_id = id_of('o', 1);
	struct charging_event e = gen_event(&c->gen, &outlet_id);
	const struct unit u = { .kind = UNIT_NONE, .events = &e, .n_events = 1 };

	if (contract_is(c, CONTRACT_NO_EVENTS)) {
		assert_no_events(c);
		return;
	}
	put_event(c, 1);
	page_events(c, NULL, MANY, &before);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &u), EV_OK);
	c->s->ops->abandon(c->s);
	put_event(c, 2);
	page_events(c, &before, MANY, &after);
	assert_int_equal(after.n, 1);
	page_events(c, NULL, MANY, &all);
	assert_int_equal(all.n, 2);
}

static void page_outlet_events(struct contract *c, const struct got *before, size_t limit,
			       struct got *out)
{
	struct ev_uuid outlet_id = id_of('o', 1);

	assert_int_equal(c->q->ops->outlet_events(c->q, &outlet_id, last_seq(before), limit,
						  take_event, out),
			 EV_OK);
}

static void an_outlets_events_come_page_by_page_newest_first(struct contract *c)
{
	struct ev_uuid ids[10];

	if (contract_is(c, CONTRACT_NO_EVENTS)) {
		assert_no_events(c);
		return;
	}
	for (uint64_t n = 0; n < 3; n++)
		contract_new_outlet(c, n);
	for (uint64_t n = 0; n < 30; n++) {
		struct ev_uuid id = put_event(c, n);

		if (n % 3 == 1)
			ids[9 - n / 3] = id;
		if (n == 14)
			contract_reopen(c);
	}
	assert_pages(c, page_outlet_events, ids, 10);
}

static void events_of_one_unit_follow_each_other(struct contract *c)
{
	struct ev_uuid outlet_id = contract_new_outlet(c, 1).id;
	struct charging_event events[OUTLET_EVENTS_MAX];
	struct ev_uuid want[OUTLET_EVENTS_MAX];
	struct got g = { .n = 0 };

	if (contract_is(c, CONTRACT_NO_EVENTS)) {
		assert_no_events(c);
		return;
	}
	for (unsigned i = 0; i < OUTLET_EVENTS_MAX; i++) {
		events[i] = gen_event(&c->gen, &outlet_id);
		memcpy(want[i].b, events[i].event_id.b, 16);
	}
	contract_save(c, &(struct unit){ .kind = UNIT_NONE,
					 .events = events,
					 .n_events = OUTLET_EVENTS_MAX });
	page_events(c, NULL, MANY, &g);
	assert_got(&g, want, OUTLET_EVENTS_MAX);
}

/* Session n of customer n % 2, started at 1000 + n, heard of at 5000 + n; every third has ended. */
static struct session put_session(struct contract *c, uint64_t n)
{
	struct ev_uuid id = id_of('s', n);
	struct session s = gen_session(&c->gen, &id, 1);

	s.customer_id = id_of('c', n % 2);
	s.start_ns = 1000 + (int64_t)n;
	s.heard_ns = 5000 + (int64_t)n;
	s.state = n % 3 == 0 ? OUTLET_CHARGING_FINISHED : OUTLET_CHARGING;
	contract_save(c, &(struct unit){ .kind = UNIT_SESSION, .session = &s });
	return s;
}

/* Session n started at 1000 + n. */
static int64_t start_of(struct contract *c, const struct got *before)
{
	struct session s;

	if (before == NULL)
		return 0;
	assert_int_equal(c->q->ops->session(c->q, last_id(before), &s), EV_OK);
	return s.start_ns;
}

static void page_history(struct contract *c, const struct got *before, size_t limit,
			 struct got *out)
{
	struct ev_uuid customer = id_of('c', 1);

	assert_int_equal(
		c->q->ops->history(c->q, &customer, start_of(c, before), limit, take_session, out),
		EV_OK);
}

static void page_sessions(struct contract *c, const struct got *before, size_t limit,
			  struct got *out)
{
	assert_int_equal(
		c->q->ops->sessions(c->q, false, 0, start_of(c, before), limit, take_session, out),
		EV_OK);
}

static void page_stuck(struct contract *c, const struct got *before, size_t limit, struct got *out)
{
	assert_int_equal(c->q->ops->sessions(c->q, true, 5010, start_of(c, before), limit,
					     take_session, out),
			 EV_OK);
}

static void sessions_come_page_by_page_newest_first(struct contract *c)
{
	struct ev_uuid all[20];
	struct ev_uuid history[10];
	struct ev_uuid stuck[10];
	size_t n_stuck = 0;

	for (uint64_t n = 0; n < 20; n++) {
		struct ev_uuid id = put_session(c, n).id;

		all[19 - n] = id;
		if (n % 2 == 1)
			history[9 - n / 2] = id;
	}
	for (uint64_t n = 10; n-- > 0;) {
		if (n % 3 != 0)
			stuck[n_stuck++] = id_of('s', n); /* heard of before 5010, and live */
	}
	assert_pages(c, page_sessions, all, 20);
	assert_pages(c, page_history, history, 10);
	assert_pages(c, page_stuck, stuck, n_stuck);
}

static void sessions_are_filtered_by_life_and_hearing(struct contract *c)
{
	static const struct {
		bool live_only;
		int64_t heard_before_ns;
		int64_t before_ns;
		size_t n;
	} reads[] = {
		{ false, 0, 0, 12 },   { true, 0, 0, 8 },
		{ false, 5000, 0, 0 }, /* before, not at */
		{ false, 5001, 0, 1 }, { true, 5001, 0, 0 },
		{ true, 5004, 0, 2 },  { false, 0, 1006, 6 },
		{ true, 0, 1006, 4 },  { true, 5003, 1002, 1 },
		{ false, 0, 1000, 0 },
	};

	for (uint64_t n = 0; n < 12; n++)
		put_session(c, n);
	for (size_t i = 0; i < EV_ARRAY_LEN(reads); i++) {
		struct got g = { .n = 0 };

		assert_int_equal(c->q->ops->sessions(c->q, reads[i].live_only,
						     reads[i].heard_before_ns, reads[i].before_ns,
						     MANY, take_session, &g),
				 EV_OK);
		assert_int_equal(g.n, reads[i].n);
	}
}

static void sessions_of_one_start_come_by_highest_id_first(struct contract *c)
{
	struct ev_uuid ids[6];
	struct got history = { .n = 0 };
	struct got all = { .n = 0 };
	struct ev_uuid customer = id_of('c', 1);

	for (uint64_t n = 0; n < 6; n++) {
		struct ev_uuid id = id_of('s', n);
		struct session s = gen_session(&c->gen, &id, 1);

		s.customer_id = customer;
		s.start_ns = 1000;
		contract_save(c, &(struct unit){ .kind = UNIT_SESSION, .session = &s });
		ids[n] = s.id;
	}
	qsort(ids, 6, sizeof(ids[0]), by_bytes);
	for (size_t i = 0; i < 3; i++) {
		struct ev_uuid swap = ids[i];

		ids[i] = ids[5 - i];
		ids[5 - i] = swap;
	}
	assert_int_equal(c->q->ops->history(c->q, &customer, 0, MANY, take_session, &history),
			 EV_OK);
	assert_got(&history, ids, 6);
	assert_int_equal(c->q->ops->sessions(c->q, false, 0, 0, MANY, take_session, &all), EV_OK);
	assert_got(&all, ids, 6);
}

static void a_forgotten_session_leaves_its_customers_history(struct contract *c)
{
	struct session s = put_session(c, 3);
	struct ev_uuid customer = s.customer_id;
	struct got g = { .n = 0 };

	s.has_customer = false;
	memset(&s.customer_id, 0, sizeof(s.customer_id));
	s.version = 2;
	contract_save(c, &(struct unit){ .kind = UNIT_SESSION, .expected = 1, .session = &s });
	assert_int_equal(c->q->ops->history(c->q, &customer, 0, MANY, take_session, &g), EV_OK);
	assert_int_equal(g.n, 0);
	customer = s.customer_id; /* nobody's */
	assert_int_equal(c->q->ops->history(c->q, &customer, 0, MANY, take_session, &g), EV_OK);
	assert_int_equal(g.n, 0);
	page_sessions(c, NULL, MANY, &g);
	assert_got(&g, &s.id, 1);
}

static void page_customers(struct contract *c, const struct got *before, size_t limit,
			   struct got *out)
{
	assert_int_equal(c->q->ops->customers(c->q, last_id(before), limit, take_customer, out),
			 EV_OK);
}

static void customers_come_page_by_page_in_order_of_id(struct contract *c)
{
	struct ev_uuid ids[20];

	for (uint64_t n = 0; n < 20; n++)
		ids[n] = contract_new_customer(c, n).id;
	qsort(ids, 20, sizeof(ids[0]), by_bytes);
	learn_order(c, page_customers, ids, 20);
	assert_pages(c, page_customers, ids, 20);
}

static void items_come_oldest_first_of_one_outlet_or_all(struct contract *c)
{
	static const struct {
		int outlet; /* -1: all */
		bool open_only;
		size_t limit;
		size_t n;
		unsigned rows[6];
	} reads[] = {
		{ -1, false, 9, 6, { 1, 0, 3, 2, 5, 4 } },
		{ -1, true, 9, 3, { 1, 3, 5 } },
		{ -1, true, 2, 2, { 1, 3 } },
		{ -1, false, 0, 0, { 0 } },
		{ 0, false, 9, 3, { 0, 2, 4 } },
		{ 1, true, 9, 3, { 1, 3, 5 } },
		{ 0, true, 9, 0, { 0 } },
		{ 2, false, 9, 0, { 0 } },
	};
	struct ev_uuid ids[6];

	for (uint64_t n = 0; n < 6; n++) {
		struct ev_uuid outlet_id = id_of('o', n % 2);
		struct identity id;
		struct unassigned_item item;

		memset(id.b, (int)(9 - n), 16); /* in pairs of one instant, the later one lower */
		item = gen_item(&c->gen, &id, &outlet_id);
		item.at_ns = (int64_t)(n / 2);
		item.attached = n % 2 == 0;
		if (!item.attached)
			memset(&item.session_id, 0, sizeof(item.session_id));
		contract_save_put(c, &(struct keyed_put){ PUT_UNASSIGNED, .unassigned = item });
		memcpy(ids[n].b, id.b, 16);
	}
	for (size_t i = 0; i < EV_ARRAY_LEN(reads); i++) {
		struct ev_uuid outlet_id = id_of('o', (uint64_t)reads[i].outlet);
		struct ev_uuid want[6];
		struct got g = { .n = 0 };

		for (size_t row = 0; row < reads[i].n; row++)
			want[row] = ids[reads[i].rows[row]];
		assert_int_equal(
			c->q->ops->unassigned(c->q, reads[i].outlet >= 0 ? &outlet_id : NULL,
					      reads[i].open_only, reads[i].limit, take_item, &g),
			EV_OK);
		assert_got(&g, want, reads[i].n);
	}
}

static void page_dead_letters(struct contract *c, const struct got *before, size_t limit,
			      struct got *out)
{
	assert_int_equal(
		c->q->ops->dead_letters(c->q, true, last_seq(before), limit, take_dead_letter, out),
		EV_OK);
}

static void page_open_dead_letters(struct contract *c, const struct got *before, size_t limit,
				   struct got *out)
{
	assert_int_equal(c->q->ops->dead_letters(c->q, false, last_seq(before), limit,
						 take_dead_letter, out),
			 EV_OK);
}

static void dead_letters_come_page_by_page_newest_first(struct contract *c)
{
	struct ev_uuid all[12];
	struct ev_uuid open[6];

	for (uint64_t n = 0; n < 12; n++) {
		struct identity id = identity_of('d', n);
		struct dead_letter d = gen_dead_letter(&c->gen, &id);

		contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER, .dead_letter = d });
		memcpy(all[11 - n].b, id.b, 16);
		if (n % 2 == 0) {
			memcpy(open[5 - n / 2].b, id.b, 16);
			continue;
		}
		contract_save_put(
			c, &(struct keyed_put){ PUT_DEAD_LETTER_STATUS,
						.status = { id,
							    n % 4 == 1 ? DEAD_LETTER_DROPPED
								       : DEAD_LETTER_REPLAYED,
							    1 } });
	}
	assert_pages(c, page_dead_letters, all, 12);
	assert_pages(c, page_open_dead_letters, open, 6);
	contract_reopen(c);
	assert_pages(c, page_dead_letters, all, 12);
}

static bool tell_dead_letter(void *user, const struct dead_letter *d)
{
	text_dead_letter(user, d);
	return true;
}

static void a_dead_letter_is_listed_with_its_bytes(struct contract *c)
{
	struct identity id = identity_of('d', 1);
	struct dead_letter d = gen_dead_letter(&c->gen, &id);
	struct text got = { .p = NULL };
	struct text want = { .p = NULL };

	contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER, .dead_letter = d });
	assert_int_equal(c->q->ops->dead_letters(c->q, false, 0, 9, tell_dead_letter, &got), EV_OK);
	text_dead_letter(&want, &d);
	text_assert_same(&got, &want);
}

static void put_booked_outlets(struct contract *c, struct energy_books *b)
{
	for (uint64_t n = 0; n < 5; n++) {
		struct outlet o = contract_new_outlet(c, n);
		struct session s = contract_new_session(c, n);

		contract_new_customer(c, n);
		b->outlets_total_mwh += o.total_energy_mwh;
		b->outlets_unassigned_mwh += o.unassigned_mwh;
		b->sessions_mwh += s.energy_mwh;
		b->n_live_sessions += s.state != OUTLET_CHARGING_FINISHED &&
				      s.state != OUTLET_DEVICE_DENIES_CHARGING;
	}
	b->n_outlets = b->n_sessions = b->n_customers = 5;
}

static void put_booked_effects(struct contract *c, struct energy_books *b)
{
	struct ev_uuid id = id_of('o', 1);
	struct device_command commands[3];
	struct charging_event events[4];

	for (unsigned i = 0; i < 4; i++)
		events[i] = gen_event(&c->gen, &id);
	for (unsigned i = 0; i < 3; i++)
		commands[i] = gen_command(&c->gen, &id, 9, i);
	contract_save(c, &(struct unit){ .kind = UNIT_NONE,
					 .events = events,
					 .n_events = 4,
					 .commands = commands,
					 .n_commands = 3 });
	b->n_events = contract_is(c, CONTRACT_NO_EVENTS) ? 0 : 4;
	b->n_commands = 3;
}

static void put_booked_items(struct contract *c, struct energy_books *b)
{
	struct ev_uuid outlet_id = id_of('o', 1);

	for (uint64_t n = 0; n < 6; n++) {
		struct identity id = identity_of('i', n);
		struct unassigned_item item = gen_item(&c->gen, &id, &outlet_id);
		struct parked_input p = gen_parked(&c->gen, &id, &outlet_id, OUTLET_IN_DEVICE);

		item.attached = n >= 2;
		b->items_open_mwh += n < 2 ? item.mwh : 0;
		contract_save_put(c, &(struct keyed_put){ PUT_UNASSIGNED, .unassigned = item });
		contract_save_put(c, &(struct keyed_put){ PUT_PARKED, .parked = p });
	}
	b->n_items_open = 2;
	b->n_parked = 6;
}

static void the_books_sum_everything(struct contract *c)
{
	struct energy_books want = { .n_outlets = 0 };
	struct energy_books got = contract_books(c);
	struct text a = { .p = NULL };
	struct text b = { .p = NULL };

	text_books(&a, &got);
	text_books(&b, &want);
	put_booked_outlets(c, &want);
	put_booked_effects(c, &want);
	put_booked_items(c, &want);
	for (unsigned i = 0; i < 2; i++) {
		got = contract_books(c);
		text_books(&a, &got);
		text_books(&b, &want);
		contract_reopen(c);
	}
	text_assert_same(&a, &b);
}

#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

static const struct contract_case cases[] = {
	CASE(an_empty_engine_answers_every_list_with_nothing),
	CASE(a_row_reads_as_it_was_stored),
	CASE(outlets_come_page_by_page_in_order_of_id),
	CASE(outlets_are_filtered_by_shown_state_group_and_retirement),
	CASE(events_come_in_order_of_commit_and_resume_after_any),
	CASE(the_seq_of_an_abandoned_event_is_missed_by_nobody),
	CASE(an_outlets_events_come_page_by_page_newest_first),
	CASE(events_of_one_unit_follow_each_other),
	CASE(sessions_come_page_by_page_newest_first),
	CASE(sessions_are_filtered_by_life_and_hearing),
	CASE(sessions_of_one_start_come_by_highest_id_first),
	CASE(a_forgotten_session_leaves_its_customers_history),
	CASE(customers_come_page_by_page_in_order_of_id),
	CASE(items_come_oldest_first_of_one_outlet_or_all),
	CASE(dead_letters_come_page_by_page_newest_first),
	CASE(a_dead_letter_is_listed_with_its_bytes),
	CASE(the_books_sum_everything),
};

const struct contract_cases contract_query_cases = { cases, EV_ARRAY_LEN(cases) };
