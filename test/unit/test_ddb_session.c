/* test_ddb_session.c — rows of the session table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ddb_session.h"
#include "codec/event_proto.h"
#include "contract/gen.h"
#include "contract/text.h"
#include "ddb_kit.h"
#include "vectors.h"

#define ROUNDS 300

static struct kit kit;

static ev_err read_row(struct ev_str item, void *out)
{
	return ddb_session_read(item, out);
}

static struct json_object *put(const struct ddb_session *row)
{
	ddb_session_put(row, kit_begin(&kit));
	return kit_end(&kit);
}

static struct json_object *update(const struct ddb_session *was, const struct ddb_session *now)
{
	ddb_session_update(was, now, kit_begin_members(&kit));
	assert_true(kit.buf.len < DDB_SESSION_JSON_MAX);
	return kit_end_members(&kit);
}

static void assert_same_row(const struct ddb_session *got, const struct ddb_session *want)
{
	const struct ddb_session *rows[2] = { got, want };
	struct text t[2] = { { NULL, 0, 0 }, { NULL, 0, 0 } };

	for (unsigned k = 0; k < 2; k++) {
		text_session(&t[k], &rows[k]->session);
		text_add(&t[k], "unversioned %d energy %.*s effects %u since %lld\n",
			 rows[k]->unversioned, rows[k]->energy.n, rows[k]->energy.s,
			 rows[k]->effects.n, (long long)rows[k]->effects.since_ns);
		for (unsigned i = 0; i < rows[k]->effects.n; i++)
			text_event(&t[k], &rows[k]->effects.of[i].event);
	}
	text_assert_same(&t[0], &t[1]);
	text_free(&t[0]);
	text_free(&t[1]);
}

static struct ddb_session gen_row(struct gen *g, uint64_t version)
{
	struct ev_uuid id = id_of('s', 1);
	struct ddb_session row;

	memset(&row, 0, sizeof(row));
	row.session = gen_session(g, &id, version);
	row.effects.n = (unsigned)gen_below(g, 3);
	if (row.effects.n > 0)
		row.effects.since_ns = gen_time(g);
	for (unsigned i = 0; i < row.effects.n; i++) {
		struct charging_event *e = &row.effects.of[i].event;

		*e = gen_event(g, &row.session.outlet_id);
		if (gen_bool(g) && e->has_session)
			e->session_id = row.session.id;
	}
	return row;
}

static void every_row_returns(void **state)
{
	struct gen g = { .state = 1 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ddb_session row, back;
		struct json_object *item;

		g.full = i % 10 == 9;
		row = gen_row(&g, 1 + gen_below(&g, INT64_MAX));
		item = put(&row);
		assert_int_equal(kit_read(read_row, item, &back), EV_OK);
		assert_same_row(&back, &row);
		json_object_put(item);
	}
}

static void an_update_makes_the_one_row_of_the_other(void **state)
{
	struct gen g = { .state = 2 };
	struct ddb_session was = gen_row(&g, 7);

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ddb_session now = gen_row(&g, was.session.version + 1);
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

static void an_erased_customer_leaves_an_id_of_nobody(void **state)
{
	struct gen g = { .state = 3, .full = true };
	struct ddb_session row = gen_row(&g, 7), back;
	struct json_object *item;

	(void)state;
	row.session.has_customer = false;
	row.session.customer_id = (struct ev_uuid){ { 0 } };
	row.session.tag = (struct rfid_tag){ .n = 0 };
	item = put(&row);
	assert_true(
		json_object_equal(vector_get(item, "customerId"), vector_get(item, "sessionId")));
	assert_int_equal(kit_read(read_row, item, &back), EV_OK);
	assert_same_row(&back, &row);
	/* Also after the original wrote it. */
	json_object_object_del(item, "version");
	json_object_object_del(item, "x");
	assert_int_equal(kit_read(read_row, item, &back), EV_OK);
	assert_false(back.session.has_customer);
	json_object_put(item);
}

static void the_original_s_rows_are_read_and_written_back(void **state)
{
	static const char *const originals[] = { "sessionId", "customerId",  "rfidTag",
						 "outletId",  "outletState", "purchaseChannel",
						 "startTime", "endTime",     "powerConsumption" };
	struct json_object *file = vectors_load("dynamodb_items.json");
	struct json_object *items = vector_get(file, "items");
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		struct json_object *v = json_object_array_get_idx(items, i);
		struct json_object *returned = vector_get(v, "itemAsDynamoDBReturnsIt");
		struct ddb_session sent, row;

		if (!ev_str_eqz(vector_str(v, "table"), "ev-charging_charging-session_table"))
			continue;
		n++;
		assert_int_equal(kit_read(read_row, vector_get(v, "item"), &sent), EV_OK);
		assert_int_equal(kit_read(read_row, returned, &row), EV_OK);
		assert_same_row(&sent, &row);
		assert_true(row.unversioned && row.session.version == 1);
		assert_true(row.session.n_sums == 0 && row.session.has_customer);
		struct json_object *again = put(&row);

		for (size_t k = 0; k < EV_ARRAY_LEN(originals); k++)
			assert_true(json_object_equal(vector_get(again, originals[k]),
						      vector_get(returned, originals[k])));
		json_object_put(again);
	}
	assert_int_equal(n, 6);
	json_object_put(file);
}

static void set_text(struct json_object *item, const char *name, const char *type, const char *v)
{
	struct json_object *value = json_object_new_object();

	json_object_object_add(value, type, json_object_new_string(v));
	json_object_object_add(item, name, value);
}

static struct json_object *original_item(const char *state, const char *channel, const char *kwh)
{
	struct gen g = { .state = 4 };
	struct ddb_session row = gen_row(&g, 7);
	struct json_object *item = put(&row);

	json_object_object_del(item, "version");
	json_object_object_del(item, "x");
	json_object_object_del(item, "unsent");
	json_object_object_del(item, "unsentSince");
	set_text(item, "outletState", "S", state);
	set_text(item, "purchaseChannel", "S", channel);
	set_text(item, "powerConsumption", "N", kwh);
	return item;
}

/* The rule of the core: what such a row holds is the sum of the first start that is seen. */
static void energy_of_the_original_is_the_sum_of_the_first_start(void **state)
{
	struct json_object *item = original_item("Charging", "MobileApp", "1.5");
	struct session_decision d;
	struct charging_event e;
	struct ddb_session row;

	(void)state;
	assert_int_equal(kit_read(read_row, item, &row), EV_OK);
	assert_int_equal(row.session.energy_mwh, 1500000);
	e = (struct charging_event){
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = row.session.outlet_id,
		.state = OUTLET_CHARGING,
		.has_session = true,
		.session_id = row.session.id,
		.period_start_ns = INT64_C(1717200000000000000),
		.energy_mwh = 1700000,
		.has_event_id = true,
	};
	session_on_event(&row.session, &e, false, INT64_C(1717200000000000000), &d);
	assert_int_equal(d.next.energy_mwh, 1700000);
	json_object_put(item);
}

static void what_the_original_s_row_tells_of_its_past(void **state)
{
	static const struct {
		const char *state;
		const char *channel;
		const char *kwh;
		bool seen;
	} cases[] = {
		{ "AppRequestsCharging", "MobileApp", "0", false },
		{ "Charging", "MobileApp", "0", true },
		{ "AppRequestsStop", "MobileApp", "0", true },
		{ "DeviceDeniesCharging", "MobileApp", "0", false },
		{ "Charging", "OutletDevice", "0", false },
		{ "Charging", "OutletDevice", "0.001", true },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct json_object *item = original_item(cases[i].state, cases[i].channel,
							 cases[i].kwh);
		struct ddb_session row;

		assert_int_equal(kit_read(read_row, item, &row), EV_OK);
		assert_int_equal(row.session.charging_seen, cases[i].seen);
		assert_true(row.session.heard_ns >= row.session.start_ns);
		json_object_put(item);
	}
}

static void a_row_of_the_original_is_taken_over_only_as_it_was_read(void **state)
{
	struct gen g = { .state = 5 };
	struct json_object *item = original_item("Charging", "MobileApp", "1.2340000001");
	struct json_object *request, *got, *want, *later;
	struct ddb_session was, now;

	(void)state;
	assert_int_equal(kit_read(read_row, item, &was), EV_OK);
	now = gen_row(&g, 1718000000000);
	request = update(&was, &now);
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, NULL));
	got = kit_apply(request, item);
	want = put(&now);
	kit_assert_same(got, want);
	assert_false(kit_holds(request, want));
	later = kit_copy(item);
	set_text(later, "powerConsumption", "N", "1.2340000002");
	assert_false(kit_holds(request, later));
	json_object_put(later);
	json_object_put(got);
	json_object_put(want);
	json_object_put(request);
	json_object_put(item);
}

static void what_no_row_can_hold_is_corrupt(void **state)
{
	static const struct {
		const char *name;
		const char *type;
		const char *value;
	} cases[] = {
		{ "outletState", "S", "Available" },
		{ "outletState", "S", "DeviceRequestsCharging" },
		{ "outletState", "S", "DeviceRequestsStop" },
		{ "outletState", "S", "Exploding" },
		{ "purchaseChannel", "S", "Telephone" },
		{ "customerId", "S", "" },
		{ "sessionId", "S", "1" },
		{ "version", "N", "0" },
		{ "powerConsumption", "N", "-0.000001" },
		{ "powerConsumption", "N", "1E+20" },
		{ "x", "B", "" },
		{ "x", "B", "AQ==" },
		{ "unsent", "B", "////" },
	};
	struct gen g = { .state = 6, .full = true };
	struct ddb_session row = gen_row(&g, 7), back;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct json_object *item = put(&row);

		assert_int_equal(kit_read(read_row, item, &back), EV_OK);
		set_text(item, cases[i].name, cases[i].type, cases[i].value);
		if (kit_read(read_row, item, &back) != EV_CORRUPT)
			fail_msg("%s %s was read", cases[i].name, cases[i].value);
		json_object_put(item);
	}
}

static void sums_that_would_run_over_are_corrupt(void **state)
{
	struct gen g = { .state = 7, .full = true };
	struct ddb_session row = gen_row(&g, 7), back;
	struct json_object *item;

	(void)state;
	for (unsigned i = 0; i < SESSION_SUMS_MAX; i++)
		row.session.sums[i].mwh = EVENT_ENERGY_MAX_MWH;
	item = put(&row);
	assert_int_equal(kit_read(read_row, item, &back), EV_CORRUPT);
	json_object_put(item);
	row.session.sums[0].mwh = -1;
	item = put(&row);
	assert_int_equal(kit_read(read_row, item, &back), EV_CORRUPT);
	json_object_put(item);
}

static void items_cut_short_are_corrupt(void **state)
{
	struct gen g = { .state = 8, .full = true };
	struct ddb_session row = gen_row(&g, 7), back;
	struct json_object *item = put(&row);
	struct ddb_attrs a;

	(void)state;
	kit_assert_truncated(read_row, item, &back);
	json_object_put(item);
	ddb_session_attrs(&row, &a);
	print_message("# a full session has %zu bytes\n", ddb_item_size(&a));
	assert_true(ddb_item_size(&a) < 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_returns),
		cmocka_unit_test(an_update_makes_the_one_row_of_the_other),
		cmocka_unit_test(an_erased_customer_leaves_an_id_of_nobody),
		cmocka_unit_test(the_original_s_rows_are_read_and_written_back),
		cmocka_unit_test(energy_of_the_original_is_the_sum_of_the_first_start),
		cmocka_unit_test(what_the_original_s_row_tells_of_its_past),
		cmocka_unit_test(a_row_of_the_original_is_taken_over_only_as_it_was_read),
		cmocka_unit_test(what_no_row_can_hold_is_corrupt),
		cmocka_unit_test(sums_that_would_run_over_are_corrupt),
		cmocka_unit_test(items_cut_short_are_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
