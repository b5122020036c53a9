/* test_ddb_customer.c — rows of the customer table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ddb_customer.h"
#include "contract/gen.h"
#include "contract/text.h"
#include "ddb_kit.h"
#include "vectors.h"

#define ROUNDS 300

static struct kit kit;

static ev_err read_row(struct ev_str item, void *out)
{
	return ddb_customer_read(item, out);
}

static struct json_object *put(const struct ddb_customer *row)
{
	ddb_customer_put(row, kit_begin(&kit));
	return kit_end(&kit);
}

static struct json_object *update(const struct ddb_customer *was, const struct ddb_customer *now)
{
	ddb_customer_update(was, now, kit_begin_members(&kit));
	assert_true(kit.buf.len < DDB_CUSTOMER_JSON_MAX);
	return kit_end_members(&kit);
}

static void assert_same_row(const struct ddb_customer *got, const struct ddb_customer *want)
{
	struct text a = { NULL, 0, 0 }, b = { NULL, 0, 0 };

	text_customer(&a, &got->customer);
	text_customer(&b, &want->customer);
	text_assert_same(&a, &b);
	text_free(&a);
	text_free(&b);
	assert_int_equal(got->unversioned, want->unversioned);
}

static struct ddb_customer gen_row(struct gen *g, uint64_t version)
{
	struct ev_uuid id = id_of('c', 1);
	struct ddb_customer row;

	memset(&row, 0, sizeof(row));
	row.customer = gen_customer(g, &id, version);
	return row;
}

static void every_row_returns(void **state)
{
	struct gen g = { .state = 1 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ddb_customer row, back;
		struct json_object *item;

		g.full = i % 10 == 9;
		row = gen_row(&g, 1 + gen_below(&g, INT64_MAX));
		if (i % 7 == 0)
			row.customer.created_ns = 0;
		item = put(&row);
		assert_int_equal(vector_get(item, "rfidTag") == NULL, row.customer.tag.n == 0);
		assert_int_equal(kit_read(read_row, item, &back), EV_OK);
		assert_same_row(&back, &row);
		json_object_put(item);
	}
}

static void an_update_makes_the_one_row_of_the_other(void **state)
{
	struct gen g = { .state = 2 };
	struct ddb_customer was = gen_row(&g, 7);

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ddb_customer now = gen_row(&g, was.customer.version + 1);
		struct json_object *before = put(&was), *after = put(&now);
		struct json_object *request = update(&was, &now), *got = kit_apply(request, before);

		kit_assert_same(got, after);
		assert_true(kit_holds(request, before));
		assert_false(kit_holds(request, after));
		assert_false(kit_holds(request, NULL));
		json_object_put(got);
		json_object_put(request);
		request = update(NULL, &now);
		got = kit_apply(request, NULL);
		kit_assert_same(got, after);
		assert_true(kit_holds(request, NULL));
		assert_false(kit_holds(request, before));
		json_object_put(got);
		json_object_put(request);
		json_object_put(before);
		json_object_put(after);
		was = now;
	}
}

static void a_row_is_erased_only_as_it_was_read(void **state)
{
	struct gen g = { .state = 3, .full = true };
	struct ddb_customer row = gen_row(&g, 7);
	struct json_object *item = put(&row), *request;

	(void)state;
	ddb_customer_delete(&row, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	assert_non_null(vector_get(request, "Key"));
	assert_null(vector_get(request, "UpdateExpression"));
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, NULL));
	json_object_put(item);
	row.customer.version++;
	item = put(&row);
	assert_false(kit_holds(request, item));
	json_object_put(item);
	json_object_put(request);
}

static void the_original_s_row_is_taken_over_only_as_it_was_read(void **state)
{
	struct json_object *file = vectors_load("dynamodb_items.json");
	struct json_object *v = json_object_array_get_idx(vector_get(file, "items"), 14);
	struct json_object *item = vector_get(v, "item"), *request, *got, *want, *other;
	struct ddb_customer was, now;

	(void)state;
	assert_true(ev_str_eqz(vector_str(v, "name"), "customer"));
	assert_int_equal(kit_read(read_row, item, &was), EV_OK);
	assert_true(was.unversioned && was.customer.version == 1 && !was.customer.blocked);
	assert_string_equal(was.customer.email, "a@example.org");
	assert_string_equal(was.customer.payment_method, "VISA 0012 **** **** 0554");
	now = was;
	now.unversioned = false;
	now.customer.version = 1718000000000;
	now.customer.blocked = true;
	request = update(&was, &now);
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, NULL)); /* it would bring an erased one back */
	got = kit_apply(request, item);
	want = put(&now);
	kit_assert_same(got, want);
	assert_false(kit_holds(request, want));
	other = kit_without(item, "rfidTag");
	assert_false(kit_holds(request, other));
	assert_int_equal(kit_read(read_row, other, &was), EV_OK);
	json_object_put(request);
	request = update(&was, &now);
	assert_true(kit_holds(request, other));
	assert_false(kit_holds(request, item));
	json_object_put(request);
	json_object_put(other);
	json_object_put(got);
	json_object_put(want);
	json_object_put(file);
}

static void what_no_row_can_hold_is_corrupt(void **state)
{
	static const char *const needed[] = { "customerId", "address", "email", "paymentMethod" };
	struct gen g = { .state = 4, .full = true };
	struct ddb_customer row = gen_row(&g, 7), back;
	struct json_object *item = put(&row), *value = json_object_new_object();

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(needed); i++) {
		struct json_object *less = kit_without(item, needed[i]);

		assert_int_equal(kit_read(read_row, less, &back), EV_CORRUPT);
		json_object_put(less);
	}
	kit_assert_truncated(read_row, item, &back);
	json_object_object_add(value, "N", json_object_new_string("1"));
	json_object_object_add(item, "blocked", value);
	assert_int_equal(kit_read(read_row, item, &back), EV_CORRUPT);
	json_object_put(item);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_returns),
		cmocka_unit_test(an_update_makes_the_one_row_of_the_other),
		cmocka_unit_test(a_row_is_erased_only_as_it_was_read),
		cmocka_unit_test(the_original_s_row_is_taken_over_only_as_it_was_read),
		cmocka_unit_test(what_no_row_can_hold_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
