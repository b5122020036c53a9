/* test_ddb_own.c — items of our own table: keys, and what comes back of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contract/gen.h"
#include "contract/text.h"
#include "ddb_kit.h"
#include "engine/aws/ddb_own.h"
#include "vectors.h"

#define ROUNDS 200

static struct kit kit;

static void assert_same(struct text *a, struct text *b)
{
	text_assert_same(a, b);
	text_free(a);
	text_free(b);
}

static void assert_kind(struct json_object *item, enum own_kind want, struct own_key key)
{
	enum own_kind kind;

	assert_int_equal(own_kind_read(kit_text(item), &kind), EV_OK);
	assert_int_equal(kind, want);
	assert_true(ev_str_eqz(vector_str(vector_get(item, "pk"), "S"), key.pk));
	assert_true(ev_str_eqz(vector_str(vector_get(item, "sk"), "S"), key.sk));
}

static void assert_index(struct json_object *item, const char *gpk, const char *gsk)
{
	assert_true(ev_str_eqz(vector_str(vector_get(item, "gpk"), "S"), gpk));
	assert_true(ev_str_eqz(vector_str(vector_get(item, "gsk"), "S"), gsk));
}

static void keys_are_as_the_table_has_them(void **state)
{
	struct ev_uuid outlet, session;
	struct identity id;
	struct identity_block block = { .at_ns = 1717200000123000000 };
	struct own_key k;
	char gsk[OWN_KEY_MAX];

	(void)state;
	memset(&outlet, 0xab, sizeof(outlet));
	memset(&session, 0xcd, sizeof(session));
	memset(&id, 0x0f, sizeof(id));
	block.outlet_id = outlet;
	block.ids[0] = id;
	k = own_block_key(&block);
	assert_string_equal(k.pk, "outlet#abababab-abab-abab-abab-abababababab");
	assert_string_equal(k.sk, "ids#01717200000123000000#0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f");
	assert_string_equal(own_parked_key(&outlet, &id).sk,
			    "parked#0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f");
	assert_string_equal(own_delivery_key(&outlet).sk, "delivery");
	assert_string_equal(own_command_key(&outlet, 1717200000123, 3).sk,
			    "command#00000001717200000123#03");
	assert_string_equal(own_unassigned_key(&id).pk, "item#0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f");
	assert_string_equal(own_unassigned_key(&id).sk, "-");
	assert_string_equal(own_attachment_key(&id).pk,
			    "attached#0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f");
	assert_string_equal(own_claim_key(&(struct rfid_tag){ .n = 3, .s = "abc" }).pk, "tag#abc");
	assert_string_equal(own_letter_key(&id).pk, "letter#0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f");
	k = own_live_key(&outlet, &session);
	assert_string_equal(k.pk, "live#abababab-abab-abab-abab-abababababab");
	assert_string_equal(k.sk, "cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd");
	assert_string_equal(own_sweep_key(false).pk, "sweep");
	own_index_key(-5, &session, NULL, gsk);
	assert_string_equal(gsk, "00000000000000000000#cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd");
	own_key_write(&k, kit_begin(&kit));
	struct json_object *o = kit_end(&kit);

	assert_int_equal(json_object_object_length(o), 2);
	json_object_put(o);
}

static struct json_object *block_item(const struct identity_block *b)
{
	own_block_put(b, kit_begin(&kit));
	return kit_end(&kit);
}

static void identity_blocks_return(void **state)
{
	struct identity_block b, back;
	struct json_object *item;

	(void)state;
	for (unsigned n = 1; n <= OUTLET_IDS_MAX; n++) {
		memset(&b, 0, sizeof(b));
		b.outlet_id = id_of('o', n);
		b.at_ns = 1717200000123000000 + (int64_t)n;
		for (unsigned i = 0; i < n; i++)
			b.ids[i] = identity_of('i', i);
		item = block_item(&b);
		assert_kind(item, OWN_BLOCK, own_block_key(&b));
		assert_int_equal(own_block_read(kit_text(item), &back), EV_OK);
		assert_memory_equal(&back, &b, sizeof(b));
		/* Two hours, in seconds, not a moment too early. */
		assert_true(ev_str_eqz(vector_str(vector_get(item, "expires"), "N"), "1717207201"));
		json_object_put(item);
	}
}

static void every_kind_of_parked_input_returns(void **state)
{
	struct gen g = { .state = 1 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct identity id = identity_of('p', i);
		struct ev_uuid outlet = id_of('o', i);
		struct text a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
		struct parked_input p, back;
		struct json_object *item;
		char gsk[OWN_KEY_MAX];

		g.full = i % 10 == 9;
		p = gen_parked(&g, &id, &outlet, (enum outlet_input_kind)(i % OUTLET_IN_COUNT));
		if (p.input.kind == OUTLET_IN_DEVICE && i % 3 == 0)
			p.input.device.energy_mwh = MESSAGE_ENERGY_MAX_MWH;
		own_parked_put(&p, kit_begin(&kit));
		assert_true(kit.buf.len < OWN_JSON_MAX);
		item = kit_end(&kit);
		assert_kind(item, OWN_PARKED, own_parked_key(&outlet, &id));
		own_index_key(p.due_ns, NULL, &id, gsk);
		assert_index(item, OWN_INDEX_PARKED, gsk);
		assert_int_equal(own_parked_read(kit_text(item), &back), EV_OK);
		text_parked(&a, &back);
		text_parked(&b, &p);
		assert_same(&a, &b);
		json_object_put(item);
	}
}

static void commands_return(void **state)
{
	struct gen g = { .state = 2 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ev_uuid outlet = id_of('o', i);
		struct device_command c = gen_command(&g, &outlet, gen_u64(&g) >> 1, i % 3), back;
		struct text a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
		struct json_object *item;

		own_command_put(&c, kit_begin(&kit));
		item = kit_end(&kit);
		assert_kind(item, OWN_COMMAND, own_command_key(&outlet, c.version, c.index));
		assert_int_equal(own_command_read(kit_text(item), &back), EV_OK);
		text_command(&a, &back);
		text_command(&b, &c);
		assert_same(&a, &b);
		assert_non_null(vector_get(item, "expires"));
		json_object_put(item);
	}
}

static struct own_delivery full_delivery(void)
{
	struct own_delivery d;

	memset(&d, 0, sizeof(d));
	d.delivery = (struct delivery){ .outlet_id = id_of('o', 1),
					.delivered_version = INT64_MAX,
					.delivered_index = 2,
					.acked_version = 1717200000123,
					.acked_index = 1,
					.at_ns = 1717200000123000000 };
	memcpy(d.gateway, "gateway-1", 9);
	d.generation = 12;
	return d;
}

static void a_delivery_returns_and_is_changed_by_who_read_it(void **state)
{
	struct own_delivery was = full_delivery(), now = was, back;
	struct json_object *item, *after, *request, *got;

	(void)state;
	own_delivery_put(&was, kit_begin(&kit));
	item = kit_end(&kit);
	assert_kind(item, OWN_DELIVERY, own_delivery_key(&was.delivery.outlet_id));
	assert_int_equal(own_delivery_read(kit_text(item), &back), EV_OK);
	assert_memory_equal(&back, &was, sizeof(was));
	now.delivery.acked_version++;
	now.generation++;
	own_delivery_put(&now, kit_begin(&kit));
	after = kit_end(&kit);
	own_delivery_update(&was, &now, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	got = kit_apply(request, item);
	kit_assert_same(got, after);
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, after));
	assert_false(kit_holds(request, NULL));
	json_object_put(request);
	json_object_put(got);
	own_delivery_update(NULL, &now, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	got = kit_apply(request, NULL);
	kit_assert_same(got, after);
	assert_true(kit_holds(request, NULL));
	assert_false(kit_holds(request, item));
	json_object_put(got);
	json_object_put(request);
	json_object_put(item);
	json_object_put(after);
}

static void unassigned_items_and_attachments_return(void **state)
{
	struct gen g = { .state = 3 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct identity id = identity_of('u', i);
		struct ev_uuid outlet = id_of('o', i);
		struct unassigned_item u = gen_item(&g, &id, &outlet), back;
		struct own_attachment t = { id, outlet, u.mwh }, t_back;
		struct text a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
		struct json_object *item;
		char gsk[OWN_KEY_MAX];

		own_unassigned_put(&u, kit_begin(&kit));
		item = kit_end(&kit);
		assert_kind(item, OWN_UNASSIGNED, own_unassigned_key(&id));
		own_index_key(u.at_ns, NULL, &id, gsk);
		assert_index(item, OWN_INDEX_ITEMS, gsk);
		assert_int_equal(own_unassigned_read(kit_text(item), &back), EV_OK);
		text_item(&a, &back);
		text_item(&b, &u);
		assert_same(&a, &b);
		json_object_put(item);
		own_attachment_put(&t, kit_begin(&kit));
		item = kit_end(&kit);
		assert_kind(item, OWN_ATTACHMENT, own_attachment_key(&id));
		assert_int_equal(own_attachment_read(kit_text(item), &t_back), EV_OK);
		assert_memory_equal(&t_back, &t, sizeof(t));
		json_object_put(item);
	}
}

static void a_claim_returns_and_is_taken_away_from_its_holder_alone(void **state)
{
	struct tag_claim c = { .customer_id = id_of('c', 1), .at_ns = 5 }, back;
	struct json_object *item, *request;
	struct ev_uuid other = id_of('c', 2);

	(void)state;
	assert_int_equal(rfid_tag_set(&c.tag, EV_LIT("ümläut#1")), EV_OK);
	own_claim_put(&c, kit_begin(&kit));
	item = kit_end(&kit);
	assert_kind(item, OWN_CLAIM, own_claim_key(&c.tag));
	assert_int_equal(own_claim_read(kit_text(item), &back), EV_OK);
	assert_true(ev_str_eq(rfid_tag_str(&back.tag), rfid_tag_str(&c.tag)));
	assert_true(ev_uuid_eq(&back.customer_id, &c.customer_id) && back.at_ns == 5);
	own_claim_held_by(&c.customer_id, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, NULL));
	json_object_put(request);
	own_claim_held_by(&other, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	assert_false(kit_holds(request, item));
	json_object_put(request);
	own_if_absent(kit_begin_members(&kit));
	request = kit_end_members(&kit);
	assert_true(kit_holds(request, NULL));
	assert_false(kit_holds(request, item));
	json_object_put(request);
	json_object_put(item);
}

static void dead_letters_return(void **state)
{
	static char body[DEAD_LETTER_BODY_MAX];
	struct gen g = { .state = 4 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct identity id = identity_of('l', i);
		struct text a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
		struct dead_letter l, back;
		struct json_object *item;

		g.full = i % 50 == 49;
		l = gen_dead_letter(&g, &id);
		l.seq = UINT64_C(1717200000123) + i;
		l.status = (enum dead_letter_status)(i % 3);
		own_letter_put(&l, kit_begin(&kit));
		assert_true(kit.buf.len < OWN_LETTER_JSON_MAX);
		item = kit_end(&kit);
		assert_kind(item, OWN_LETTER, own_letter_key(&id));
		assert_true(ev_str_eqz(vector_str(vector_get(item, "gpk"), "S"),
				       i % 3 == 0 ? "letters#open" : "letters#closed"));
		assert_int_equal(own_letter_read(kit_text(item), &back, body), EV_OK);
		assert_true(back.seq == l.seq);
		text_dead_letter(&a, &back);
		text_dead_letter(&b, &l);
		assert_same(&a, &b);
		json_object_put(item);
	}
}

static void a_closed_letter_is_listed_with_the_closed(void **state)
{
	static char body[DEAD_LETTER_BODY_MAX];
	struct gen g = { .state = 5 };
	struct identity id = identity_of('l', 1);
	struct dead_letter l = gen_dead_letter(&g, &id), back;
	struct json_object *item, *request, *got;

	(void)state;
	own_letter_put(&l, kit_begin(&kit));
	item = kit_end(&kit);
	own_letter_status(&id, DEAD_LETTER_REPLAYED, 7, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, NULL));
	got = kit_apply(request, item);
	assert_int_equal(own_letter_read(kit_text(got), &back, body), EV_OK);
	assert_int_equal(back.status, DEAD_LETTER_REPLAYED);
	assert_true(ev_str_eqz(vector_str(vector_get(got, "gpk"), "S"), "letters#closed"));
	assert_true(json_object_equal(vector_get(got, "gsk"), vector_get(item, "gsk")));
	json_object_put(got);
	json_object_put(request);
	json_object_put(item);
}

static void sweep_returns(bool sessions)
{
	struct own_sweep s, now, s_back;
	struct json_object *item, *request;

	memset(&s, 0, sizeof(s));
	memcpy(s.owner, "me", 2);
	s.sessions = sessions;
	s.version = 3;
	s.at_ns = 9;
	own_sweep_put(&s, kit_begin(&kit));
	item = kit_end(&kit);
	assert_kind(item, OWN_SWEEP, own_sweep_key(sessions));
	assert_int_equal(own_sweep_read(kit_text(item), &s_back), EV_OK);
	assert_memory_equal(&s_back, &s, sizeof(s));
	now = s;
	now.version++;
	own_sweep_update(&s, &now, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, NULL));
	json_object_put(request);
	own_sweep_update(NULL, &now, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	assert_true(kit_holds(request, NULL));
	assert_false(kit_holds(request, item));
	json_object_put(request);
	json_object_put(item);
}

static void live_sessions_and_the_sweep_return(void **state)
{
	struct own_live l = { id_of('o', 1), id_of('s', 1), 1717200000123000000 }, l_back;
	struct json_object *item;
	char gsk[OWN_KEY_MAX];

	(void)state;
	own_live_put(&l, kit_begin(&kit));
	item = kit_end(&kit);
	assert_kind(item, OWN_LIVE, own_live_key(&l.outlet_id, &l.session_id));
	own_index_key(l.start_ns, &l.session_id, NULL, gsk);
	assert_index(item, OWN_INDEX_LIVE, gsk);
	assert_int_equal(own_live_read(kit_text(item), &l_back), EV_OK);
	assert_memory_equal(&l_back, &l, sizeof(l));
	json_object_put(item);
	assert_string_not_equal(own_sweep_key(true).sk, own_sweep_key(false).sk);
	sweep_returns(false);
	sweep_returns(true);
}

static ev_err read_parked(struct ev_str item, void *out)
{
	return own_parked_read(item, out);
}

static void items_of_another_kind_or_cut_short_are_corrupt(void **state)
{
	struct gen g = { .state = 6, .full = true };
	struct ev_uuid outlet = id_of('o', 1);
	struct identity id = identity_of('p', 1);
	struct parked_input p = gen_parked(&g, &id, &outlet, OUTLET_IN_EVENT), back;
	struct identity_block block;
	struct own_delivery delivery;
	struct device_command command;
	struct json_object *item;
	enum own_kind kind;

	(void)state;
	own_parked_put(&p, kit_begin(&kit));
	item = kit_end(&kit);
	kit_assert_truncated(read_parked, item, &back);
	assert_int_equal(own_block_read(kit_text(item), &block), EV_CORRUPT);
	assert_int_equal(own_delivery_read(kit_text(item), &delivery), EV_CORRUPT);
	assert_int_equal(own_command_read(kit_text(item), &command), EV_CORRUPT);
	json_object_put(item);
	assert_int_equal(own_kind_read(EV_LIT("{}"), &kind), EV_CORRUPT);
	assert_int_equal(
		own_kind_read(EV_LIT("{\"pk\":{\"S\":\"else\"},\"sk\":{\"S\":\"-\"}}"), &kind),
		EV_OK);
	assert_int_equal(kind, OWN_KIND_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_as_the_table_has_them),
		cmocka_unit_test(identity_blocks_return),
		cmocka_unit_test(every_kind_of_parked_input_returns),
		cmocka_unit_test(commands_return),
		cmocka_unit_test(a_delivery_returns_and_is_changed_by_who_read_it),
		cmocka_unit_test(unassigned_items_and_attachments_return),
		cmocka_unit_test(a_claim_returns_and_is_taken_away_from_its_holder_alone),
		cmocka_unit_test(dead_letters_return),
		cmocka_unit_test(a_closed_letter_is_listed_with_the_closed),
		cmocka_unit_test(live_sessions_and_the_sweep_return),
		cmocka_unit_test(items_of_another_kind_or_cut_short_are_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
