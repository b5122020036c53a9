/* Keyed puts: what a repeat does, what replaces what, what the loads give back. */
#include <string.h>

#include "contract/contract.h"

static void assert_dead_letter(struct contract *c, const struct dead_letter *want)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct text got = { .p = NULL };
	struct text expected = { .p = NULL };
	struct dead_letter d;

	assert_int_equal(c->s->ops->load_dead_letter(c->s, &want->id, &d, body), EV_OK);
	assert_ptr_equal(d.body.p, body);
	assert_int_not_equal(d.seq, 0);
	text_dead_letter(&got, &d);
	assert_int_equal(c->q->ops->dead_letter(c->q, &want->id, &d, body), EV_OK);
	assert_ptr_equal(d.body.p, body);
	text_dead_letter(&got, &d);
	text_dead_letter(&expected, want);
	text_dead_letter(&expected, want);
	text_assert_same(&got, &expected);
}

static void a_dead_letter_is_kept_with_its_bytes(struct contract *c)
{
	static const size_t lengths[] = { 0, 1, 100, DEAD_LETTER_BODY_MAX };

	for (uint64_t i = 0; i < EV_ARRAY_LEN(lengths) * 2; i++) {
		struct identity id = identity_of('d', i);
		struct dead_letter d;

		c->gen.full = i % 2 == 0;
		d = gen_dead_letter(&c->gen, &id);
		d.body.n = lengths[i / 2];
		contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER, .dead_letter = d });
		assert_dead_letter(c, &d);
		contract_reopen(c);
		assert_dead_letter(c, &d);
	}
}

static void every_reason_of_a_dead_letter_is_kept(struct contract *c)
{
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		struct identity id = identity_of('d', i);
		struct dead_letter d = gen_dead_letter(&c->gen, &id);

		d.reason = (enum reason)i;
		contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER, .dead_letter = d });
		assert_dead_letter(c, &d);
	}
}

static void a_dead_letter_longer_than_allowed_is_invalid(struct contract *c)
{
	struct identity id = identity_of('d', 1);
	struct keyed_put put = { PUT_DEAD_LETTER, .dead_letter = gen_dead_letter(&c->gen, &id) };
	static const char big[DEAD_LETTER_BODY_MAX + 1];

	put.dead_letter.body = (struct ev_str){ big, sizeof(big) };
	contract_begin(c);
	assert_int_equal(
		contract_commit(c, &(struct unit){ .kind = UNIT_NONE, .puts = &put, .n_puts = 1 }),
		EV_INVALID);
	contract_end(c);
	assert_int_equal(contract_books(c).n_dead_letters_open, 0);
}

static void a_repeated_dead_letter_changes_nothing(struct contract *c)
{
	struct identity id = identity_of('d', 1);
	struct dead_letter first = gen_dead_letter(&c->gen, &id);
	struct dead_letter second = gen_dead_letter(&c->gen, &id);
	const struct keyed_put put = { PUT_DEAD_LETTER, .dead_letter = second };

	contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER, .dead_letter = first });
	contract_save_put(c, &put);
	assert_dead_letter(c, &first);
	assert_int_equal(contract_books(c).n_dead_letters_open, 1);
	contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER_STATUS,
						  .status = { id, DEAD_LETTER_REPLAYED, 5 } });
	contract_save_put(c, &put); /* it stays replayed */
	first.status = DEAD_LETTER_REPLAYED;
	assert_dead_letter(c, &first);
	assert_int_equal(contract_books(c).n_dead_letters_open, 0);
}

static void the_status_of_a_dead_letter_changes(struct contract *c)
{
	struct identity id = identity_of('d', 1);
	struct dead_letter d = gen_dead_letter(&c->gen, &id);
	static const enum dead_letter_status statuses[] = { DEAD_LETTER_REPLAYED,
							    DEAD_LETTER_DROPPED, DEAD_LETTER_OPEN };

	contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER, .dead_letter = d });
	for (size_t i = 0; i < EV_ARRAY_LEN(statuses); i++) {
		contract_save_put(c, &(struct keyed_put){ PUT_DEAD_LETTER_STATUS,
							  .status = { id, statuses[i], 5 } });
		d.status = statuses[i];
		assert_dead_letter(c, &d);
	}
}

static void the_status_of_no_dead_letter_is_not_found(struct contract *c)
{
	const struct keyed_put put = { PUT_DEAD_LETTER_STATUS,
				       .status = { identity_of('d', 1), DEAD_LETTER_DROPPED, 5 } };

	contract_begin(c);
	assert_int_equal(
		contract_commit(c, &(struct unit){ .kind = UNIT_NONE, .puts = &put, .n_puts = 1 }),
		EV_NOTFOUND);
	contract_end(c);
}

static size_t load_parked(struct contract *c, const struct ev_uuid *outlet_id, int64_t due_ns,
			  size_t max, struct text *t)
{
	struct parked_input rows[16];
	size_t n = 99;

	assert_true(max <= EV_ARRAY_LEN(rows));
	assert_int_equal(c->s->ops->load_parked(c->s, outlet_id, due_ns, rows, max, &n), EV_OK);
	assert_true(n <= max);
	for (size_t i = 0; i < n; i++)
		text_parked(t, &rows[i]);
	return n;
}

static void every_kind_of_input_can_be_parked(struct contract *c)
{
	for (unsigned i = 0; i < 2 * OUTLET_IN_COUNT; i++) {
		struct ev_uuid outlet_id = id_of('o', i);
		struct identity id = identity_of('p', i);
		struct text got = { .p = NULL };
		struct text want = { .p = NULL };
		struct parked_input p;

		c->gen.full = i < OUTLET_IN_COUNT;
		p = gen_parked(&c->gen, &id, &outlet_id,
			       (enum outlet_input_kind)(i % OUTLET_IN_COUNT));
		contract_save_put(c, &(struct keyed_put){ PUT_PARKED, .parked = p });
		text_parked(&want, &p);
		load_parked(c, &outlet_id, INT64_MAX, 16, &got);
		text_assert_same(&got, &want);
	}
	contract_reopen(c);
	assert_int_equal(contract_books(c).n_parked, 2 * OUTLET_IN_COUNT);
}

static void a_parked_input_stays_as_it_was_first_received(struct contract *c)
{
	struct ev_uuid outlet_id = id_of('o', 1);
	struct identity id = identity_of('p', 1);
	struct parked_input first = gen_parked(&c->gen, &id, &outlet_id, OUTLET_IN_DEVICE);
	struct parked_input second = gen_parked(&c->gen, &id, &outlet_id, OUTLET_IN_EVENT);
	struct text got = { .p = NULL };
	struct text want = { .p = NULL };

	contract_save_put(c, &(struct keyed_put){ PUT_PARKED, .parked = first });
	contract_save_put(c, &(struct keyed_put){ PUT_PARKED, .parked = second });
	text_parked(&want, &first);
	load_parked(c, NULL, INT64_MAX, 16, &got);
	text_assert_same(&got, &want);
}

static void unparking_removes_the_input_and_may_find_none(struct contract *c)
{
	struct ev_uuid outlet_id = id_of('o', 1);
	struct identity id = identity_of('p', 1);
	struct parked_input p = gen_parked(&c->gen, &id, &outlet_id, OUTLET_IN_DEVICE);
	const struct keyed_put unpark = { PUT_UNPARK, .unpark = { id, outlet_id } };
	struct text none = { .p = NULL };

	contract_save_put(c, &unpark);
	contract_save_put(c, &(struct keyed_put){ PUT_PARKED, .parked = p });
	contract_save_put(c, &unpark);
	assert_int_equal(load_parked(c, NULL, INT64_MAX, 16, &none), 0);
	assert_int_equal(load_parked(c, &outlet_id, INT64_MAX, 16, &none), 0);
	assert_int_equal(contract_books(c).n_parked, 0);
	contract_save_put(c, &unpark);
}

/* Parked inputs 0..5: due at 100 × (n / 2), of outlets 0 and 1 in turn. */
static struct parked_input park(struct contract *c, uint64_t n)
{
	struct ev_uuid outlet_id = id_of('o', n % 2);
	struct identity id = identity_of('p', n);
	struct parked_input p = gen_parked(&c->gen, &id, &outlet_id, OUTLET_IN_DEVICE);

	memset(p.id.b, (int)(9 - n), sizeof(p.id.b)); /* the later one has the lower identity */
	p.due_ns = (int64_t)(n / 2) * 100;
	contract_save_put(c, &(struct keyed_put){ PUT_PARKED, .parked = p });
	return p;
}

static void parked_inputs_come_in_order_of_due_time_then_identity(struct contract *c)
{
	struct parked_input p[6];
	const struct {
		bool of_outlet;
		unsigned outlet;
		int64_t due_ns;
		size_t max;
		size_t n;
		unsigned rows[6];
	} reads[] = {
		{ false, 0, INT64_MAX, 16, 6, { 1, 0, 3, 2, 5, 4 } },
		{ false, 0, 200, 16, 6, { 1, 0, 3, 2, 5, 4 } }, /* at or before */
		{ false, 0, 199, 16, 4, { 1, 0, 3, 2 } },
		{ false, 0, -1, 16, 0, { 0 } },
		{ false, 0, INT64_MAX, 3, 3, { 1, 0, 3 } },
		{ false, 0, INT64_MAX, 0, 0, { 0 } },
		{ true, 0, INT64_MAX, 16, 3, { 0, 2, 4 } },
		{ true, 1, 100, 16, 2, { 1, 3 } },
		{ true, 1, 100, 1, 1, { 1 } },
		{ true, 2, INT64_MAX, 16, 0, { 0 } },
	};

	for (uint64_t n = 0; n < 6; n++)
		p[n] = park(c, n);
	for (size_t i = 0; i < EV_ARRAY_LEN(reads); i++) {
		struct ev_uuid outlet_id = id_of('o', reads[i].outlet);
		struct text got = { .p = NULL };
		struct text want = { .p = NULL };

		for (size_t row = 0; row < reads[i].n; row++)
			text_parked(&want, &p[reads[i].rows[row]]);
		load_parked(c, reads[i].of_outlet ? &outlet_id : NULL, reads[i].due_ns,
			    reads[i].max, &got);
		text_assert_same(&got, &want);
	}
}

static void assert_item(struct contract *c, const struct unassigned_item *want)
{
	struct text got = { .p = NULL };
	struct text expected = { .p = NULL };
	struct unassigned_item item;

	assert_int_equal(c->s->ops->load_unassigned(c->s, &want->id, &item), EV_OK);
	text_item(&got, &item);
	text_item(&expected, want);
	text_assert_same(&got, &expected);
}

static void an_unassigned_item_becomes_attached(struct contract *c)
{
	struct ev_uuid outlet_id = id_of('o', 1);
	struct identity id = identity_of('u', 1);
	struct unassigned_item item = gen_item(&c->gen, &id, &outlet_id);
	struct ev_uuid session_id = item.session_id;

	item.attached = false;
	memset(&item.session_id, 0, sizeof(item.session_id));
	contract_save_put(c, &(struct keyed_put){ PUT_UNASSIGNED, .unassigned = item });
	assert_item(c, &item);
	assert_int_equal(contract_books(c).n_items_open, 1);
	assert_int_equal(contract_books(c).items_open_mwh, item.mwh);
	item.attached = true;
	item.session_id = session_id;
	contract_save_put(c, &(struct keyed_put){ PUT_UNASSIGNED, .unassigned = item });
	contract_reopen(c);
	assert_item(c, &item);
	assert_int_equal(contract_books(c).n_items_open, 0);
	assert_int_equal(contract_books(c).items_open_mwh, 0);
}

static void an_item_is_added_by_the_app_once(struct contract *c)
{
	struct identity id = identity_of('u', 1);
	struct identity other = identity_of('u', 2);
	const struct keyed_put put = { PUT_ATTACHMENT, .attachment = { id, id_of('s', 1), 9 } };
	const struct unit u = { .kind = UNIT_NONE, .puts = &put, .n_puts = 1 };
	bool there = true;

	assert_int_equal(c->s->ops->has_attachment(c->s, &id, &there), EV_OK);
	assert_false(there);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &u), EV_OK);
	assert_int_equal(contract_commit(c, &u), EV_EXISTS);
	contract_end(c);
	contract_reopen(c);
	contract_begin(c);
	assert_int_equal(contract_commit(c, &u), EV_EXISTS);
	contract_end(c);
	assert_int_equal(c->s->ops->has_attachment(c->s, &id, &there), EV_OK);
	assert_true(there);
	assert_int_equal(c->s->ops->has_attachment(c->s, &other, &there), EV_OK);
	assert_false(there);
}

static void assert_claim(struct contract *c, const struct tag_claim *want)
{
	struct text got = { .p = NULL };
	struct text expected = { .p = NULL };
	struct tag_claim claim;

	assert_int_equal(c->s->ops->load_claim(c->s, &want->tag, &claim), EV_OK);
	text_claim(&got, &claim);
	text_claim(&expected, want);
	text_assert_same(&got, &expected);
}

static void a_claim_replaces_the_one_before(struct contract *c)
{
	const struct tag_claim claims[] = {
		{ { 4, "04a2" }, id_of('c', 1), 100 },
		{ { 5, "04a2b" }, id_of('c', 2), 101 },
		{ { 5, "04a2b" }, id_of('c', 3), 102 },
		{ { 0, "" }, id_of('c', 4), 103 },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(claims); i++) {
		contract_save_put(c, &(struct keyed_put){ PUT_CLAIM, .claim = claims[i] });
		assert_claim(c, &claims[i]);
		assert_claim(c, &claims[0]);
	}
	contract_reopen(c);
	assert_claim(c, &claims[2]);
	assert_claim(c, &claims[0]);
}

static void a_claim_is_found_by_its_tag_however_it_is_spelt(struct contract *c)
{
	const struct tag_claim claim = { { 4, "04ab" }, id_of('c', 1), 100 };
	static const struct rfid_tag spelt[] = { { 4, "04ab" }, { 4, "04AB" }, { 4, "04aB" } };

	contract_save_put(c, &(struct keyed_put){ PUT_CLAIM, .claim = claim });
	for (size_t i = 0; i < EV_ARRAY_LEN(spelt); i++) {
		struct tag_claim found;

		assert_int_equal(c->s->ops->load_claim(c->s, &spelt[i], &found), EV_OK);
		assert_true(ev_uuid_eq(&found.customer_id, &claim.customer_id));
		assert_true(rfid_tag_eq(&found.tag, &claim.tag));
	}
}

static void only_its_holder_gives_a_claim_up(struct contract *c)
{
	struct tag_claim claim = { { 6, "04a2\xc3\xa4" }, id_of('c', 1), 100 };
	struct tag_claim other = claim;
	struct tag_claim out;

	other.customer_id = id_of('c', 2);
	contract_save_put(c, &(struct keyed_put){ PUT_UNCLAIM, .claim = claim }); /* none */
	contract_save_put(c, &(struct keyed_put){ PUT_CLAIM, .claim = claim });
	contract_save_put(c, &(struct keyed_put){ PUT_UNCLAIM, .claim = other });
	assert_claim(c, &claim);
	claim.at_ns++; /* the holder, whenever he took it */
	contract_save_put(c, &(struct keyed_put){ PUT_UNCLAIM, .claim = claim });
	assert_int_equal(c->s->ops->load_claim(c->s, &claim.tag, &out), EV_NOTFOUND);
}

static bool is_seen(struct contract *c, const struct ev_uuid *outlet_id, const struct identity *id)
{
	bool yes = false;

	assert_int_equal(c->s->ops->seen(c->s, outlet_id, id, &yes), EV_OK);
	return yes;
}

static void identities_are_seen_by_their_outlet_only(struct contract *c)
{
	struct outlet a = contract_new_outlet(c, 1);
	struct outlet b = contract_new_outlet(c, 2);
	struct identity_block block = { .outlet_id = a.id, .at_ns = c->clock_ns };
	struct identity none = { { 0 } };

	for (uint64_t n = 0; n < 40; n++) {
		block.ids[n % OUTLET_IDS_MAX] = identity_of('i', n);
		if (n % OUTLET_IDS_MAX == OUTLET_IDS_MAX - 1)
			contract_save_put(
				c, &(struct keyed_put){ PUT_IDENTITY_BLOCK, .block = block });
	}
	for (unsigned round = 0; round < 2; round++) {
		for (uint64_t n = 0; n < 40; n++) {
			struct identity id = identity_of('i', n);

			assert_int_equal(is_seen(c, &a.id, &id), n < 32);
			assert_false(is_seen(c, &b.id, &id));
		}
		contract_reopen(c);
	}
	memset(block.ids, 0, sizeof(block.ids));
	block.ids[3] = identity_of('i', 99);
	contract_save_put(c, &(struct keyed_put){ PUT_IDENTITY_BLOCK, .block = block });
	assert_true(is_seen(c, &a.id, &block.ids[3]));
	assert_false(is_seen(c, &a.id, &none));
}

static void a_block_counts_as_soon_as_its_unit_is_committed(struct contract *c)
{
	struct outlet o = contract_new_outlet(c, 1);
	struct keyed_put put = { PUT_IDENTITY_BLOCK, .block = { .outlet_id = o.id } };

	put.block.ids[0] = identity_of('i', 1);
	contract_begin(c);
	assert_int_equal(
		contract_commit(c, &(struct unit){ .kind = UNIT_NONE, .puts = &put, .n_puts = 1 }),
		EV_OK);
	assert_true(is_seen(c, &o.id, &put.block.ids[0]));
	c->s->ops->abandon(c->s);
	assert_false(is_seen(c, &o.id, &put.block.ids[0]));
}

static void delivery_keeps_the_highest_of_both(struct contract *c)
{
	struct ev_uuid o = id_of('o', 1);
	const struct {
		struct delivery put;
		struct delivery kept;
	} steps[] = {
		{ { o, 5, 1, 0, 0, 100 }, { o, 5, 1, 0, 0, 100 } },
		{ { o, 5, 0, 5, 0, 101 }, { o, 5, 1, 5, 0, 101 } }, /* the acknowledged one grew */
		{ { o, 4, 9, 4, 9, 102 }, { o, 5, 1, 5, 0, 101 } }, /* neither */
		{ { o, 5, 1, 5, 0, 103 }, { o, 5, 1, 5, 0, 101 } }, /* the same */
		{ { o, 6, 0, 5, 1, 104 }, { o, 6, 0, 5, 1, 104 } },
		{ { o, 6, 2, 0, 0, 105 }, { o, 6, 2, 5, 1, 105 } },
		{ { o, 0, 0, 7, 0, 106 }, { o, 6, 2, 7, 0, 106 } },
	};
	struct text got = { .p = NULL };
	struct text want = { .p = NULL };
	struct delivery d;

	assert_int_equal(c->s->ops->load_delivery(c->s, &o, &d), EV_OK);
	text_delivery(&got, &d);
	text_delivery(&want, &(struct delivery){ .at_ns = 0 });
	text_assert_same(&got, &want);
	for (size_t i = 0; i < EV_ARRAY_LEN(steps); i++) {
		contract_save_put(c, &(struct keyed_put){ PUT_DELIVERY, .delivery = steps[i].put });
		if (i % 3 == 2)
			contract_reopen(c);
		assert_int_equal(c->s->ops->load_delivery(c->s, &o, &d), EV_OK);
		text_delivery(&got, &d);
		text_delivery(&want, &steps[i].kept);
		text_assert_same(&got, &want);
	}
}

#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

static const struct contract_case cases[] = {
	CASE(a_dead_letter_is_kept_with_its_bytes),
	CASE(every_reason_of_a_dead_letter_is_kept),
	CASE(a_dead_letter_longer_than_allowed_is_invalid),
	CASE(a_repeated_dead_letter_changes_nothing),
	CASE(the_status_of_a_dead_letter_changes),
	CASE(the_status_of_no_dead_letter_is_not_found),
	CASE(every_kind_of_input_can_be_parked),
	CASE(a_parked_input_stays_as_it_was_first_received),
	CASE(unparking_removes_the_input_and_may_find_none),
	CASE(parked_inputs_come_in_order_of_due_time_then_identity),
	CASE(an_unassigned_item_becomes_attached),
	CASE(an_item_is_added_by_the_app_once),
	CASE(a_claim_replaces_the_one_before),
	CASE(a_claim_is_found_by_its_tag_however_it_is_spelt),
	CASE(only_its_holder_gives_a_claim_up),
	CASE(identities_are_seen_by_their_outlet_only),
	CASE(a_block_counts_as_soon_as_its_unit_is_committed),
	CASE(delivery_keeps_the_highest_of_both),
};

const struct contract_cases contract_put_cases = { cases, EV_ARRAY_LEN(cases) };
