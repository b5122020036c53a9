/* Units and groups: versions, visibility, undoing, durability. */
#include <stdlib.h>
#include <string.h>

#include "contract/contract.h"

static void assert_outlet(struct contract *c, const struct outlet *want)
{
	struct text got = { .p = NULL };
	struct text expected = { .p = NULL };
	struct outlet o;

	assert_int_equal(c->s->ops->load_outlet(c->s, &want->id, &o), EV_OK);
	text_outlet(&got, &o);
	text_outlet(&expected, want);
	text_assert_same(&got, &expected);
}

static void assert_session(struct contract *c, const struct session *want)
{
	struct text got = { .p = NULL };
	struct text expected = { .p = NULL };
	struct session s;

	assert_int_equal(c->s->ops->load_session(c->s, &want->id, &s), EV_OK);
	text_session(&got, &s);
	text_session(&expected, want);
	text_assert_same(&got, &expected);
}

static void assert_customer(struct contract *c, const struct customer *want)
{
	struct text got = { .p = NULL };
	struct text expected = { .p = NULL };
	struct customer customer;

	assert_int_equal(c->s->ops->load_customer(c->s, &want->id, &customer), EV_OK);
	text_customer(&got, &customer);
	text_customer(&expected, want);
	text_assert_same(&got, &expected);
}

static void assert_info(struct contract *c, const struct ev_uuid *id,
			const struct outlet_info *want)
{
	struct text got = { .p = NULL };
	struct text expected = { .p = NULL };
	struct outlet_info info;

	assert_int_equal(c->s->ops->load_info(c->s, id, &info), EV_OK);
	text_info(&got, &info);
	text_info(&expected, want);
	text_assert_same(&got, &expected);
}

static void an_empty_store_has_nothing(struct contract *c)
{
	struct ev_uuid id = id_of('o', 1);
	struct identity identity = identity_of('i', 1);
	struct rfid_tag tag = gen_tag(&c->gen);
	char body[DEAD_LETTER_BODY_MAX];
	struct outlet o;
	struct outlet_info info;
	struct session s;
	struct customer customer;
	struct tag_claim claim;
	struct unassigned_item item;
	struct dead_letter d;

	assert_int_equal(c->s->ops->load_outlet(c->s, &id, &o), EV_NOTFOUND);
	assert_int_equal(c->s->ops->load_info(c->s, &id, &info), EV_NOTFOUND);
	assert_int_equal(c->s->ops->load_session(c->s, &id, &s), EV_NOTFOUND);
	assert_int_equal(c->s->ops->load_customer(c->s, &id, &customer), EV_NOTFOUND);
	assert_int_equal(c->s->ops->load_claim(c->s, &tag, &claim), EV_NOTFOUND);
	assert_int_equal(c->s->ops->load_unassigned(c->s, &identity, &item), EV_NOTFOUND);
	assert_int_equal(c->s->ops->load_dead_letter(c->s, &identity, &d, body), EV_NOTFOUND);
}

static void a_row_loads_as_it_was_stored(struct contract *c)
{
	for (uint64_t n = 0; n < 12; n++) {
		struct ev_uuid outlet_id = id_of('o', n);
		struct outlet o;
		struct outlet_info info;

		c->gen.full = n % 2 == 0;
		o = gen_outlet(&c->gen, &outlet_id, n + 1);
		info = gen_info(&c->gen);
		contract_save(c,
			      &(struct unit){ .kind = UNIT_OUTLET, .outlet = &o, .info = &info });
		struct session s = contract_new_session(c, n);
		struct customer customer = contract_new_customer(c, n);

		if (n > 8)
			contract_reopen(c);
		assert_outlet(c, &o);
		assert_info(c, &o.id, &info);
		assert_session(c, &s);
		assert_customer(c, &customer);
	}
}

static void the_lowest_and_highest_numbers_are_kept(struct contract *c)
{
	struct outlet o = contract_new_outlet(c, 1);
	uint64_t expected = o.version;

	o.version = INT64_MAX;
	o.start_ns = INT64_MIN;
	o.end_ns = INT64_MAX;
	o.since_ns = INT64_MIN;
	o.total_energy_mwh = INT64_MAX;
	o.unassigned_mwh = 0;
	o.energy_mwh = 0;
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .expected = expected, .outlet = &o });
	contract_reopen(c);
	assert_outlet(c, &o);
}

static void what_a_row_calls_absent_loads_as_zero(struct contract *c)
{
	struct ev_uuid id = id_of('o', 1);
	struct outlet o = gen_outlet(&c->gen, &id, 1);
	struct outlet dirty = o;
	struct session s;
	struct session dirty_session;

	o.has_session = false;
	memset(&o.session_id, 0, sizeof(o.session_id));
	o.has_end = false;
	o.end_ns = 0;
	o.request = (struct outlet_request){ .status = REQUEST_NONE };
	o.tag = (struct rfid_tag){ .n = 0 };
	o.n_recent = o.n_refused = o.n_ids = 0;
	memset(o.recent, 0, sizeof(o.recent));
	memset(o.refused, 0, sizeof(o.refused));
	memset(o.ids, 0, sizeof(o.ids));
	dirty.has_session = dirty.has_end = false;
	dirty.request.status = REQUEST_NONE;
	dirty.tag.n = 0;
	dirty.n_recent = dirty.n_refused = dirty.n_ids = 0;
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .outlet = &dirty });
	assert_outlet(c, &o);
	s = gen_session(&c->gen, &id, 1);
	dirty_session = s;
	s.has_customer = s.has_end = s.has_request_end = false;
	memset(&s.customer_id, 0, sizeof(s.customer_id));
	s.end_ns = s.request_end_ns = 0;
	s.n_sums = 1;
	memset(&s.sums[1], 0, sizeof(s.sums) - sizeof(s.sums[0]));
	dirty_session.has_customer = dirty_session.has_end = false;
	dirty_session.has_request_end = false;
	dirty_session.n_sums = 1;
	contract_save(c, &(struct unit){ .kind = UNIT_SESSION, .session = &dirty_session });
	assert_session(c, &s);
}

static void a_new_outlet_without_info_has_an_empty_one(struct contract *c)
{
	struct ev_uuid id = id_of('o', 1);
	struct outlet o = gen_outlet(&c->gen, &id, 1);
	struct outlet_info empty = { .created_ns = 0 };

	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .outlet = &o });
	assert_info(c, &id, &empty);
}

static void a_unit_without_info_leaves_it_as_it_is(struct contract *c)
{
	struct outlet o = contract_new_outlet(c, 1);
	struct outlet_info before;
	struct outlet_info changed = gen_info(&c->gen);
	uint64_t expected = o.version++;

	assert_int_equal(c->s->ops->load_info(c->s, &o.id, &before), EV_OK);
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .expected = expected, .outlet = &o });
	assert_info(c, &o.id, &before);
	expected = o.version++;
	contract_begin(c);
	assert_int_equal(contract_commit(c, &(struct unit){ .kind = UNIT_OUTLET,
							    .expected = expected,
							    .outlet = &o,
							    .info = &changed }),
			 EV_OK);
	assert_info(c, &o.id, &changed);
	contract_end(c);
	assert_info(c, &o.id, &changed);
}

/* One unit of each kind around the same row. */
static ev_err try_all_kinds(struct contract *c, uint64_t expected, uint64_t version, size_t which)
{
	struct ev_uuid id = id_of('k', 1);
	struct outlet o = gen_outlet(&c->gen, &id, version);
	struct session s = gen_session(&c->gen, &id, version);
	struct customer customer = gen_customer(&c->gen, &id, version);
	const struct unit units[] = {
		{ .kind = UNIT_OUTLET, .expected = expected, .outlet = &o },
		{ .kind = UNIT_SESSION, .expected = expected, .session = &s },
		{ .kind = UNIT_CUSTOMER, .expected = expected, .customer = &customer },
	};
	ev_err e;

	contract_begin(c);
	e = contract_commit(c, &units[which]);
	contract_end(c);
	return e;
}

static void a_unit_commits_only_from_the_version_it_was_decided_from(struct contract *c)
{
	static const struct {
		uint64_t expected;
		uint64_t version;
		ev_err result;
	} steps[] = {
		{ 4, 5, EV_CONFLICT },                          /* nothing is there */
		{ 0, 5, EV_OK },         { 0, 6, EV_CONFLICT }, /* it exists */
		{ 4, 6, EV_CONFLICT },                          /* it moved on */
		{ 6, 7, EV_CONFLICT },   { 5, 5, EV_INVALID },  /* a version that does not grow */
		{ 5, 4, EV_INVALID },    { 5, 900, EV_OK },
		{ 5, 901, EV_CONFLICT }, { 900, 901, EV_OK },
	};

	for (size_t kind = 0; kind < 3; kind++) {
		for (size_t i = 0; i < EV_ARRAY_LEN(steps); i++)
			assert_int_equal(
				try_all_kinds(c, steps[i].expected, steps[i].version, kind),
				steps[i].result);
	}
}

/* A unit with every kind of effect and put, all of them new. */
struct rich_unit {
	struct outlet outlet;
	struct outlet_info info;
	struct charging_event events[2];
	struct device_command commands[2];
	struct keyed_put puts[9];
	struct unit unit;
};

static void fill_puts(struct contract *c, struct rich_unit *r, uint64_t n)
{
	struct gen *g = &c->gen;
	struct ev_uuid outlet_id = r->outlet.id;
	struct identity id = identity_of('i', n);
	struct keyed_put *p = r->puts;
	struct tag_claim claim = { { 3, "a1b" }, id_of('c', n), gen_time(g) };

	claim.tag.s[2] = (char)('a' + n % 26);
	p[0] = (struct keyed_put){ PUT_DEAD_LETTER, { gen_dead_letter(g, &id) } };
	p[1] = (struct keyed_put){ PUT_PARKED,
				   .parked = gen_parked(g, &id, &outlet_id, OUTLET_IN_DEVICE) };
	p[2] = (struct keyed_put){ PUT_UNASSIGNED, .unassigned = gen_item(g, &id, &outlet_id) };
	p[3] = (struct keyed_put){ PUT_ATTACHMENT, .attachment = { id, outlet_id, 5 } };
	p[4] = (struct keyed_put){ PUT_CLAIM, .claim = claim };
	p[5] = (struct keyed_put){ PUT_IDENTITY_BLOCK, .block = { .outlet_id = outlet_id } };
	p[5].block.ids[15] = id;
	p[6] = (struct keyed_put){ PUT_DELIVERY,
				   .delivery = { outlet_id, n + 1, 1, n + 1, 1, gen_time(g) } };
	p[7] = (struct keyed_put){ PUT_DEAD_LETTER_STATUS,
				   .status = { id, DEAD_LETTER_REPLAYED, gen_time(g) } };
	p[8] = (struct keyed_put){ PUT_UNPARK, .unpark = { .id = identity_of('j', n) } };
}

static void fill_rich_unit(struct contract *c, struct rich_unit *r, uint64_t expected, uint64_t n)
{
	struct ev_uuid id = id_of('o', 7);

	r->outlet = gen_outlet(&c->gen, &id, expected + 1);
	r->info = gen_info(&c->gen);
	for (unsigned i = 0; i < 2; i++) {
		r->events[i] = gen_event(&c->gen, &id);
		r->commands[i] = gen_command(&c->gen, &id, expected + 1, i);
	}
	fill_puts(c, r, n);
	r->unit = (struct unit){
		.kind = UNIT_OUTLET,
		.expected = expected,
		.outlet = &r->outlet,
		.info = &r->info,
		.events = r->events,
		.n_events = EV_ARRAY_LEN(r->events),
		.commands = r->commands,
		.n_commands = EV_ARRAY_LEN(r->commands),
		.puts = r->puts,
		.n_puts = EV_ARRAY_LEN(r->puts),
	};
}

/* All that loads of the store can tell about rich unit n of outlet 7, as text. */
static void tell_rich_unit(struct contract *c, struct text *t, uint64_t n)
{
	struct ev_uuid outlet_id = id_of('o', 7);
	struct identity id = identity_of('i', n);
	struct rfid_tag tag = { 3, "a1b" };
	char body[DEAD_LETTER_BODY_MAX];
	struct outlet o;
	struct outlet_info info;
	struct tag_claim claim;
	struct unassigned_item item;
	struct dead_letter d;
	struct delivery delivery;
	struct parked_input parked[4];
	struct device_command commands[8];
	struct ev_uuid due[4];
	size_t n_rows = 0;
	bool yes = false;

	tag.s[2] = (char)('a' + n % 26);
	if (c->s->ops->load_outlet(c->s, &outlet_id, &o) == EV_OK)
		text_outlet(t, &o);
	if (c->s->ops->load_info(c->s, &outlet_id, &info) == EV_OK)
		text_info(t, &info);
	if (c->s->ops->load_claim(c->s, &tag, &claim) == EV_OK)
		text_claim(t, &claim);
	if (c->s->ops->load_unassigned(c->s, &id, &item) == EV_OK)
		text_item(t, &item);
	if (c->s->ops->load_dead_letter(c->s, &id, &d, body) == EV_OK)
		text_dead_letter(t, &d);
	assert_int_equal(c->s->ops->seen(c->s, &outlet_id, &id, &yes), EV_OK);
	text_add(t, "seen %d\n", yes);
	assert_int_equal(c->s->ops->has_attachment(c->s, &id, &yes), EV_OK);
	text_add(t, "attached %d\n", yes);
	assert_int_equal(c->s->ops->load_delivery(c->s, &outlet_id, &delivery), EV_OK);
	text_delivery(t, &delivery);
	assert_int_equal(c->s->ops->load_parked(c->s, &outlet_id, INT64_MAX, parked, 4, &n_rows),
			 EV_OK);
	for (size_t i = 0; i < n_rows; i++)
		text_parked(t, &parked[i]);
	assert_int_equal(c->s->ops->load_commands(c->s, &outlet_id, 0, 0, 0, commands, 8, &n_rows),
			 EV_OK);
	for (size_t i = 0; i < n_rows; i++)
		text_command(t, &commands[i]);
	assert_int_equal(c->s->ops->due_outlets(c->s, INT64_MAX, due, 4, &n_rows), EV_OK);
	text_add(t, "due %zu\n", n_rows);
}

static void tell_books(struct contract *c, struct text *t)
{
	struct energy_books b = contract_books(c);

	text_books(t, &b);
}

static bool tell_event(void *user, const struct stored_event *e)
{
	text_stored_event(user, e);
	return true;
}

/* What queries tell about it. */
static void query_rich_unit(struct contract *c, struct text *t)
{
	struct ev_uuid outlet_id = id_of('o', 7);
	struct outlet_row row;

	if (c->q->ops->outlet(c->q, &outlet_id, &row) == EV_OK) {
		text_outlet(t, &row.outlet);
		text_info(t, &row.info);
	}
	if (contract_is(c, CONTRACT_NO_EVENTS)) {
		assert_int_equal(c->q->ops->events(c->q, 0, 100, tell_event, t), EV_UNSUPPORTED);
		assert_int_equal(c->q->ops->outlet_events(c->q, &outlet_id, 0, 100, tell_event, t),
				 EV_UNSUPPORTED);
	} else {
		assert_int_equal(c->q->ops->events(c->q, 0, 100, tell_event, t), EV_OK);
		assert_int_equal(c->q->ops->outlet_events(c->q, &outlet_id, 0, 100, tell_event, t),
				 EV_OK);
	}
	tell_books(c, t);
}

static void a_conflict_leaves_all_of_its_unit_out(struct contract *c)
{
	struct rich_unit r;
	struct text before = { .p = NULL };
	struct text after = { .p = NULL };

	contract_new_outlet(c, 7);
	tell_rich_unit(c, &before, 1);
	query_rich_unit(c, &before);
	fill_rich_unit(c, &r, 5, 1); /* it has version 1007 */
	contract_begin(c);
	assert_int_equal(contract_commit(c, &r.unit), EV_CONFLICT);
	contract_end(c);
	tell_rich_unit(c, &after, 1);
	query_rich_unit(c, &after);
	text_assert_same(&after, &before);
}

static void a_put_that_fails_leaves_all_of_its_unit_out(struct contract *c)
{
	struct outlet o = contract_new_outlet(c, 7);
	struct identity taken = identity_of('t', 1);
	const struct keyed_put attach = { PUT_ATTACHMENT, .attachment = { taken, o.id, 1 } };
	const struct keyed_put status = { PUT_DEAD_LETTER_STATUS,
					  .status = { taken, DEAD_LETTER_DROPPED, 1 } };
	const struct {
		const struct keyed_put *put;
		ev_err result;
	} cases[] = { { &attach, EV_EXISTS }, { &status, EV_NOTFOUND } };

	contract_save_put(c, &attach);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct text before = { .p = NULL };
		struct text after = { .p = NULL };
		struct rich_unit r;

		tell_rich_unit(c, &before, 1);
		query_rich_unit(c, &before);
		fill_rich_unit(c, &r, o.version, 1);
		r.puts[8] = *cases[i].put; /* the last one: all others were done */
		contract_begin(c);
		assert_int_equal(contract_commit(c, &r.unit), cases[i].result);
		contract_end(c);
		tell_rich_unit(c, &after, 1);
		query_rich_unit(c, &after);
		text_assert_same(&after, &before);
	}
}

static void the_other_units_of_a_call_stand(struct contract *c)
{
	struct outlet a = contract_new_outlet(c, 1);
	struct outlet b = contract_new_outlet(c, 2);
	struct outlet stale = b;
	ev_err results[3] = { EV_ERR_COUNT, EV_ERR_COUNT, EV_ERR_COUNT };

	a.version++;
	a.energy_mwh = 1;
	stale.version++;
	stale.energy_mwh = 2;
	const struct unit units[] = {
		{ .kind = UNIT_OUTLET, .expected = a.version - 1, .outlet = &a },
		{ .kind = UNIT_OUTLET, .expected = b.version - 1, .outlet = &stale },
		{ .kind = UNIT_OUTLET, .expected = a.version, .outlet = &a },
	};

	contract_begin(c);
	assert_int_equal(c->s->ops->commit(c->s, units, 3, results), EV_CONFLICT);
	assert_int_equal(results[0], EV_OK);
	assert_int_equal(results[1], EV_CONFLICT);
	assert_int_equal(results[2], EV_INVALID);
	contract_end(c);
	assert_outlet(c, &a);
	assert_outlet(c, &b);
}

static void loads_in_a_group_see_the_group(struct contract *c)
{
	struct rich_unit r;
	struct text inside = { .p = NULL };
	struct text after = { .p = NULL };

	fill_rich_unit(c, &r, 0, 1);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &r.unit), EV_OK);
	assert_outlet(c, &r.outlet);
	assert_info(c, &r.outlet.id, &r.info);
	tell_rich_unit(c, &inside, 1);
	contract_end(c);
	tell_rich_unit(c, &after, 1);
	text_assert_same(&after, &inside);
}

static void queries_see_nothing_of_an_open_group(struct contract *c)
{
	struct rich_unit r;
	struct text before = { .p = NULL };
	struct text inside = { .p = NULL };

	contract_new_outlet(c, 7);
	query_rich_unit(c, &before);
	fill_rich_unit(c, &r, 1007, 1);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &r.unit), EV_OK);
	query_rich_unit(c, &inside);
	contract_end(c);
	text_assert_same(&inside, &before);
}

static void queries_see_all_of_an_ended_group(struct contract *c)
{
	struct rich_unit r;
	struct text got = { .p = NULL };
	struct text want = { .p = NULL };

	c->clock_ns = 77;
	fill_rich_unit(c, &r, 0, 1);
	contract_save(c, &r.unit);
	query_rich_unit(c, &got);
	text_outlet(&want, &r.outlet);
	text_info(&want, &r.info);
	for (size_t i = 0; i < 2 && !contract_is(c, CONTRACT_NO_EVENTS); i++) {
		text_stored_event(&want,
				  &(struct stored_event){ .at_ns = 77, .event = r.events[i] });
	}
	for (size_t i = 2; i-- > 0 && !contract_is(c, CONTRACT_NO_EVENTS);) {
		text_stored_event(&want,
				  &(struct stored_event){ .at_ns = 77, .event = r.events[i] });
	}
	text_books(&want, &(struct energy_books){
				  .outlets_total_mwh = r.outlet.total_energy_mwh,
				  .outlets_unassigned_mwh = r.outlet.unassigned_mwh,
				  .n_outlets = 1,
				  .n_events = contract_is(c, CONTRACT_NO_EVENTS) ? 0 : 2,
				  .n_commands = 2,
				  .n_parked = 1,
			  });
	text_assert_same(&got, &want);
}

static void an_ended_group_survives_a_reopen(struct contract *c)
{
	struct rich_unit r;
	struct text before = { .p = NULL };
	struct text after = { .p = NULL };

	fill_rich_unit(c, &r, 0, 1);
	contract_save(c, &r.unit);
	tell_rich_unit(c, &before, 1);
	query_rich_unit(c, &before);
	contract_reopen(c);
	tell_rich_unit(c, &after, 1);
	query_rich_unit(c, &after);
	text_assert_same(&after, &before);
}

/* Two groups: the first stays, the second changes everything of it and is given up. */
static void give_up_after(struct contract *c, void (*give_up)(struct contract *c))
{
	struct rich_unit first;
	struct rich_unit second;
	struct text before = { .p = NULL };
	struct text after = { .p = NULL };

	fill_rich_unit(c, &first, 0, 1);
	contract_save(c, &first.unit);
	tell_rich_unit(c, &before, 1);
	tell_rich_unit(c, &before, 2);
	query_rich_unit(c, &before);
	fill_rich_unit(c, &second, first.outlet.version, 2);
	second.puts[8].unpark.id = identity_of('i', 1);
	second.puts[8].unpark.outlet_id = second.outlet.id;
	second.puts[7].status.id = identity_of('i', 1);
	second.puts[7].status.status = DEAD_LETTER_DROPPED;
	contract_begin(c);
	assert_int_equal(contract_commit(c, &second.unit), EV_OK);
	give_up(c);
	tell_rich_unit(c, &after, 1);
	tell_rich_unit(c, &after, 2);
	query_rich_unit(c, &after);
	text_assert_same(&after, &before);
	contract_save(c, &second.unit); /* and all of it can be done again */
	assert_outlet(c, &second.outlet);
}

static void abandon(struct contract *c)
{
	c->s->ops->abandon(c->s);
}

static void abandon_undoes_everything(struct contract *c)
{
	give_up_after(c, abandon);
}

static void a_reopen_finds_nothing_of_an_open_group(struct contract *c)
{
	give_up_after(c, contract_reopen);
}

static void abandon_brings_sessions_and_customers_back(struct contract *c)
{
	struct session s = contract_new_session(c, 1);
	struct customer customer = contract_new_customer(c, 1);
	struct session next = gen_session(&c->gen, &s.id, s.version + 1);
	struct session other = gen_session(&c->gen, &(struct ev_uuid){ { 1 } }, 1);
	struct energy_books before = contract_books(c);
	struct text got = { .p = NULL };
	struct text want = { .p = NULL };
	const struct unit units[] = {
		{ .kind = UNIT_SESSION, .expected = s.version, .session = &next },
		{ .kind = UNIT_SESSION, .session = &other },
		{ .kind = UNIT_CUSTOMER,
		  .expected = customer.version,
		  .customer = &customer,
		  .erase = true },
	};
	ev_err results[3];

	contract_begin(c);
	assert_int_equal(c->s->ops->commit(c->s, units, 3, results), EV_OK);
	c->s->ops->abandon(c->s);
	assert_session(c, &s);
	assert_customer(c, &customer);
	assert_int_equal(c->s->ops->load_session(c->s, &other.id, &next), EV_NOTFOUND);
	text_books(&want, &before);
	tell_books(c, &got);
	text_assert_same(&got, &want);
}

static void groups_open_and_close_in_turn(struct contract *c)
{
	struct outlet o = contract_new_outlet(c, 1);
	const struct unit u = { .kind = UNIT_NONE };

	assert_int_equal(c->s->ops->end(c->s), EV_INVALID);
	assert_int_equal(contract_commit(c, &u), EV_INVALID);
	c->s->ops->abandon(c->s);
	contract_begin(c);
	assert_int_equal(c->s->ops->begin(c->s), EV_BUSY);
	assert_int_equal(contract_commit(c, &u), EV_OK);
	contract_end(c);
	assert_int_equal(c->s->ops->end(c->s), EV_INVALID);
	contract_begin(c);
	contract_end(c);
	contract_begin(c);
	c->s->ops->abandon(c->s);
	contract_begin(c);
	contract_end(c);
	assert_outlet(c, &o);
}

static void several_changes_of_a_row_in_one_group_build_on_each_other(struct contract *c)
{
	struct ev_uuid id = id_of('o', 1);
	struct ev_uuid session_id = id_of('s', 1);
	struct outlet o;
	struct session s;

	contract_begin(c);
	for (uint64_t v = 1; v <= 20; v++) {
		o = gen_outlet(&c->gen, &id, v);
		s = gen_session(&c->gen, &session_id, v);
		assert_int_equal(contract_commit(c, &(struct unit){ .kind = UNIT_OUTLET,
								    .expected = v - 1,
								    .outlet = &o }),
				 EV_OK);
		assert_int_equal(contract_commit(c, &(struct unit){ .kind = UNIT_SESSION,
								    .expected = v - 1,
								    .session = &s }),
				 EV_OK);
	}
	assert_outlet(c, &o);
	assert_session(c, &s);
	contract_end(c);
	contract_reopen(c);
	assert_outlet(c, &o);
	assert_session(c, &s);
}

#define LARGE 4096

/* An outlet each, of which every second one changes again in the same call. */
static void a_group_of_4096_units_is_one_group(struct contract *c)
{
	struct unit *units = calloc(LARGE, sizeof(*units));
	struct outlet *outlets = calloc(LARGE, sizeof(*outlets));
	struct charging_event *events = calloc(LARGE, sizeof(*events));
	ev_err *results = calloc(LARGE, sizeof(*results));
	struct energy_books b;

	assert_true(units != NULL && outlets != NULL && events != NULL && results != NULL);
	for (size_t i = 0; i < LARGE; i++) {
		struct ev_uuid id = id_of('o', i / 2);

		outlets[i] = gen_outlet(&c->gen, &id, 1 + i % 2);
		outlets[i].total_energy_mwh = (int64_t)i;
		events[i] = gen_event(&c->gen, &id);
		units[i] = (struct unit){ .kind = UNIT_OUTLET,
					  .expected = i % 2,
					  .outlet = &outlets[i],
					  .events = &events[i],
					  .n_events = 1 };
	}
	contract_begin(c);
	assert_int_equal(c->s->ops->commit(c->s, units, LARGE, results), EV_OK);
	c->s->ops->abandon(c->s);
	assert_int_equal(contract_books(c).n_outlets, 0);
	contract_begin(c);
	assert_int_equal(c->s->ops->commit(c->s, units, LARGE, results), EV_OK);
	contract_end(c);
	for (size_t i = 1; i < LARGE; i += 2)
		assert_outlet(c, &outlets[i]);
	contract_reopen(c);
	b = contract_books(c);
	assert_int_equal(b.n_outlets, LARGE / 2);
	assert_int_equal(b.n_events, contract_is(c, CONTRACT_NO_EVENTS) ? 0 : LARGE);
	assert_int_equal(b.outlets_total_mwh, LARGE / 2 * (LARGE / 2)); /* 1 + 3 + … + 4095 */
	assert_outlet(c, &outlets[LARGE - 1]);
	free(results);
	free(events);
	free(outlets);
	free(units);
}

struct heard {
	struct text text;
	bool open; /* a group is open: nothing may be told */
};

static void hear_event(void *user, const struct stored_event *e)
{
	struct heard *h = user;

	assert_false(h->open);
	text_stored_event(&h->text, e);
}

static void hear_command(void *user, const struct device_command *d)
{
	struct heard *h = user;

	assert_false(h->open);
	text_command(&h->text, d);
}

static void the_listener_hears_what_became_durable_and_nothing_else(struct contract *c)
{
	struct heard h = { .open = true };
	struct text want = { .p = NULL };
	struct rich_unit r[3];

	c->factory->listen(c->engine, &(struct contract_listener){ hear_event, hear_command, &h });
	for (uint64_t i = 0; i < 3; i++)
		fill_rich_unit(c, &r[i], i, i);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &r[0].unit), EV_OK);
	c->s->ops->abandon(c->s);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &r[0].unit), EV_OK);
	assert_int_equal(contract_commit(c, &r[2].unit), EV_CONFLICT);
	assert_int_equal(contract_commit(c, &r[1].unit), EV_OK);
	h.open = false;
	contract_end(c);
	for (size_t i = 0; i < 4; i++)
		text_stored_event(&want, &(struct stored_event){ .at_ns = c->clock_ns,
								 .event = r[i / 2].events[i % 2] });
	for (size_t i = contract_is(c, CONTRACT_EFFECTS_BY_ROW) ? 2 : 0; i < 4; i++)
		text_command(&want, &r[i / 2].commands[i % 2]);
	text_assert_same(&h.text, &want);
	h.open = true;
	c->factory->listen(c->engine, &(struct contract_listener){ NULL, NULL, NULL });
	contract_save(c, &r[2].unit);
}

static void an_erased_customer_is_gone(struct contract *c)
{
	struct customer customer = contract_new_customer(c, 1);
	struct customer again = gen_customer(&c->gen, &customer.id, customer.version + 1);
	struct unit erase = { .kind = UNIT_CUSTOMER,
			      .expected = customer.version - 1,
			      .customer = &customer,
			      .erase = true };

	contract_begin(c);
	assert_int_equal(contract_commit(c, &erase), EV_CONFLICT);
	contract_end(c);
	assert_customer(c, &customer);
	erase.expected = customer.version;
	contract_save(c, &erase);
	assert_int_equal(c->s->ops->load_customer(c->s, &customer.id, &again), EV_NOTFOUND);
	assert_int_equal(contract_books(c).n_customers, 0);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &erase), EV_CONFLICT);
	contract_end(c);
	again = gen_customer(&c->gen, &customer.id, customer.version + 1);
	contract_save(c, &(struct unit){ .kind = UNIT_CUSTOMER, .customer = &again });
	contract_reopen(c);
	assert_customer(c, &again);
}

#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

static const struct contract_case cases[] = {
	CASE(an_empty_store_has_nothing),
	CASE(a_row_loads_as_it_was_stored),
	CASE(the_lowest_and_highest_numbers_are_kept),
	CASE(what_a_row_calls_absent_loads_as_zero),
	CASE(a_new_outlet_without_info_has_an_empty_one),
	CASE(a_unit_without_info_leaves_it_as_it_is),
	CASE(a_unit_commits_only_from_the_version_it_was_decided_from),
	CASE(a_conflict_leaves_all_of_its_unit_out),
	CASE(a_put_that_fails_leaves_all_of_its_unit_out),
	CASE(the_other_units_of_a_call_stand),
	CASE(loads_in_a_group_see_the_group),
	CASE(queries_see_nothing_of_an_open_group),
	CASE(queries_see_all_of_an_ended_group),
	CASE(an_ended_group_survives_a_reopen),
	CASE(abandon_undoes_everything),
	CASE(a_reopen_finds_nothing_of_an_open_group),
	CASE(abandon_brings_sessions_and_customers_back),
	CASE(groups_open_and_close_in_turn),
	CASE(several_changes_of_a_row_in_one_group_build_on_each_other),
	CASE(a_group_of_4096_units_is_one_group),
	CASE(the_listener_hears_what_became_durable_and_nothing_else),
	CASE(an_erased_customer_is_gone),
};

const struct contract_cases contract_unit_cases = { cases, EV_ARRAY_LEN(cases) };
