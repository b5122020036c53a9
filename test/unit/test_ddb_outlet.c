/* test_ddb_outlet.c — rows of the outlet table: the original's and ours, their effects, updates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ddb_outlet.h"
#include "codec/event_proto.h"
#include "contract/gen.h"
#include "contract/text.h"
#include "ddb_kit.h"
#include "vectors.h"

#define ROUNDS 300

static struct kit kit;

static ev_err read_row(struct ev_str item, void *out)
{
	return ddb_outlet_read(item, out);
}

static struct json_object *put(const struct ddb_outlet *row)
{
	ddb_outlet_put(row, kit_begin(&kit));
	return kit_end(&kit);
}

static struct json_object *update(const struct ddb_outlet *was, const struct ddb_outlet *now)
{
	ddb_outlet_update(was, now, kit_begin_members(&kit));
	assert_true(kit.buf.len < DDB_OUTLET_JSON_MAX);
	return kit_end_members(&kit);
}

static size_t size_of(const struct ddb_outlet *row)
{
	struct ddb_attrs a;

	ddb_outlet_attrs(row, &a);
	return ddb_item_size(&a);
}

static void text_effects(struct text *t, const struct row_effects *e)
{
	text_add(t, "%u effects since %lld\n", e->n, (long long)e->since_ns);
	for (unsigned i = 0; i < e->n; i++) {
		text_add(t, "plain %d\n", e->of[i].plain);
		if (e->of[i].is_command)
			text_command(t, &e->of[i].command);
		else
			text_event(t, &e->of[i].event);
	}
}

static void text_row(struct text *t, const struct ddb_outlet *row)
{
	text_outlet(t, &row->outlet);
	text_info(t, &row->info);
	text_effects(t, &row->effects);
	text_add(t, "unversioned %d, total %.*s\n", row->unversioned, row->total.n, row->total.s);
}

static void assert_same_row(const struct ddb_outlet *got, const struct ddb_outlet *want)
{
	struct text a = { NULL, 0, 0 }, b = { NULL, 0, 0 };

	text_row(&a, got);
	text_row(&b, want);
	text_assert_same(&a, &b);
	text_free(&a);
	text_free(&b);
}

static struct charging_event running(const struct outlet *o)
{
	return (struct charging_event){
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = o->id,
		.state = o->state,
		.has_session = o->has_session,
		.session_id = o->session_id,
		.tag = o->tag,
		.period_start_ns = o->start_ns,
		.has_period_end = o->has_end,
		.period_end_ns = o->end_ns,
		.energy_mwh = o->energy_mwh,
		.has_event_id = true,
	};
}

static struct row_effect gen_effect(struct gen *g, const struct outlet *o, unsigned i)
{
	struct row_effect e = { .plain = gen_bool(g) };
	struct ev_uuid elsewhere = id_of('o', 99);

	switch (gen_below(g, 4)) {
	case 0:
		e.is_command = true;
		e.command = gen_command(g, gen_bool(g) ? &o->id : &elsewhere, gen_below(g, 1 << 20),
					i);
		if (gen_bool(g) && o->has_session && e.command.has_session)
			e.command.session_id = o->session_id;
		break;
	case 1:
		e.event = gen_event(g, gen_bool(g) ? &o->id : &elsewhere);
		if (gen_bool(g) && o->has_session && e.event.has_session)
			e.event.session_id = o->session_id;
		break;
	case 2:
		e.event = running(o);
		e.event.event_id = identity_of('e', i);
		break;
	default:
		e.event = running(o);
		if (o->n_ids > 0)
			e.event.event_id = o->ids[o->n_ids - 1];
		e.event.event_id.b[15] ^= (uint8_t)(1 + gen_below(g, 5));
		break;
	}
	return e;
}

static struct ddb_outlet gen_row(struct gen *g, uint64_t version)
{
	struct ev_uuid id = id_of('o', 1);
	struct ddb_outlet row;

	memset(&row, 0, sizeof(row));
	row.outlet = gen_outlet(g, &id, version);
	row.info = gen_info(g);
	row.effects.n = g->full ? ROW_EFFECTS_MAX : (unsigned)gen_below(g, ROW_EFFECTS_MAX + 1);
	if (row.effects.n > 0)
		row.effects.since_ns = gen_time(g);
	for (unsigned i = 0; i < row.effects.n; i++)
		row.effects.of[i] = gen_effect(g, &row.outlet, i);
	return row;
}

static void every_row_returns(void **state)
{
	struct gen g = { .state = 1 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ddb_outlet row, back;
		struct json_object *item;

		g.full = i % 10 == 9;
		row = gen_row(&g, 1 + gen_below(&g, INT64_MAX));
		item = put(&row);
		assert_int_equal(kit_read(read_row, item, &back), EV_OK);
		assert_same_row(&back, &row);
		json_object_put(item);
	}
}

static void extremes_return(void **state)
{
	struct gen g = { .state = 2 };
	struct ddb_outlet row = gen_row(&g, INT64_MAX), back;
	struct json_object *item;

	(void)state;
	row.outlet.start_ns = INT64_MIN;
	row.outlet.has_end = true;
	row.outlet.end_ns = INT64_MAX;
	row.outlet.since_ns = INT64_MAX;
	row.outlet.stop_at_ns = INT64_MIN;
	row.outlet.stray_stop_ns = INT64_MAX;
	row.outlet.total_energy_mwh = INT64_MAX;
	row.outlet.energy_mwh = INT64_MAX;
	row.outlet.unassigned_mwh = INT64_MAX;
	row.outlet.max_power_mw = INT64_MIN;
	row.info.created_ns = INT64_MIN;
	item = put(&row);
	assert_int_equal(kit_read(read_row, item, &back), EV_OK);
	assert_same_row(&back, &row);
	json_object_put(item);
}

static void an_update_makes_the_one_row_of_the_other(void **state)
{
	struct gen g = { .state = 3 };
	struct ddb_outlet was = gen_row(&g, 7);

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ddb_outlet now = gen_row(&g, was.outlet.version + 1);
		struct json_object *before = put(&was), *after = put(&now);
		struct json_object *request = update(&was, &now), *got = kit_apply(request, before);

		kit_assert_same(got, after);
		assert_true(kit_holds(request, before));
		assert_false(kit_holds(request, after));
		assert_false(kit_holds(request, NULL));
		json_object_put(got);
		json_object_put(request);
		json_object_put(before);
		json_object_put(after);
		was = now;
	}
}

static void a_new_row_is_written_only_where_none_is(void **state)
{
	struct gen g = { .state = 4 };
	struct ddb_outlet now = gen_row(&g, 7);
	struct json_object *request = update(NULL, &now), *want = put(&now);
	struct json_object *got = kit_apply(request, NULL);

	(void)state;
	kit_assert_same(got, want);
	assert_true(kit_holds(request, NULL));
	assert_false(kit_holds(request, want));
	json_object_put(got);
	json_object_put(want);
	json_object_put(request);
}

static void clearing_effects_changes_nothing_else(void **state)
{
	struct gen g = { .state = 5, .full = true };
	struct ddb_outlet was = gen_row(&g, 7), now = was;
	struct json_object *request, *before = put(&was);

	(void)state;
	now.effects = (struct row_effects){ .n = 0 };
	request = update(&was, &now);
	assert_int_equal(kit_changes(request), 2);
	assert_true(kit_holds(request, before));
	assert_true(ev_str_eqz(vector_str(request, "UpdateExpression"), "REMOVE #r0, #r1"));
	json_object_put(request);
	json_object_put(before);
}

/* ---- the original's rows ---- */

static bool is_outlet(struct json_object *v)
{
	return ev_str_eqz(vector_str(v, "table"), "ev-charging_charger-outlet_table");
}

static const char *const originals[] = {
	"outletId",
	"chargerGroupId",
	"outletCode",
	"address",
	"maxPower",
	"outletState",
	"sessionId",
	"rfidTag",
	"startTime",
	"endTime",
	"powerConsumption",
	"totalChargingSessions",
	"totalPowerConsumption",
};

/* The original's attributes as it wrote them, but for the offset of times. */
static void assert_original_reads(struct json_object *got, struct json_object *want)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(originals); i++) {
		struct json_object *a = vector_get(got, originals[i]);
		struct json_object *b = vector_get(want, originals[i]);

		if ((a == NULL) != (b == NULL))
			fail_msg("%s", originals[i]);
		if (a == NULL || strstr(kit_text(b).p, "+03:00") != NULL)
			continue;
		if (json_object_equal(a, b) == 0)
			fail_msg("%s: %s, not %s", originals[i], kit_text(a).p, kit_text(b).p);
	}
}

static void the_original_s_rows_are_read_and_written_back(void **state)
{
	struct json_object *file = vectors_load("dynamodb_items.json");
	struct json_object *items = vector_get(file, "items");
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		struct json_object *v = json_object_array_get_idx(items, i);
		struct json_object *returned = vector_get(v, "itemAsDynamoDBReturnsIt");
		struct ddb_outlet sent, row;

		if (!is_outlet(v))
			continue;
		n++;
		if (ev_str_eqz(vector_str(v, "name"), "outlet_number_forms")) {
			/* Its total is beyond all that we count. */
			assert_int_equal(kit_read(read_row, returned, &row), EV_CORRUPT);
			continue;
		}
		assert_int_equal(kit_read(read_row, vector_get(v, "item"), &sent), EV_OK);
		assert_int_equal(kit_read(read_row, returned, &row), EV_OK);
		assert_same_row(&sent, &row);
		assert_true(row.unversioned && row.outlet.foreign && row.outlet.version == 1);
		assert_int_equal(row.outlet.since_ns, 0);
		assert_int_equal(row.outlet.max_power_mw, 22000000);
		struct json_object *again = put(&row);

		assert_original_reads(again, returned);
		json_object_put(again);
	}
	assert_int_equal(n, 8);
	json_object_put(file);
}

static void what_a_row_of_the_original_says_is_understood(void **state)
{
	struct json_object *file = vectors_load("dynamodb_items.json");
	struct json_object *v = json_object_array_get_idx(vector_get(file, "items"), 3);
	struct ddb_outlet row;

	(void)state;
	assert_true(ev_str_eqz(vector_str(v, "name"), "outlet_reported"));
	assert_int_equal(kit_read(read_row, vector_get(v, "item"), &row), EV_OK);
	assert_int_equal(row.outlet.state, OUTLET_CHARGING);
	assert_true(row.outlet.has_session && row.outlet.has_end);
	assert_true(
		ev_str_eqz(rfid_tag_str(&row.outlet.tag), "b7a0c9d2-1111-4222-8333-444455556666"));
	assert_int_equal(row.outlet.start_ns, INT64_C(1686651601000017000));
	assert_int_equal(row.outlet.end_ns, INT64_C(1686652200000000000));
	assert_int_equal(row.outlet.energy_mwh, 1234000);
	assert_int_equal(row.outlet.total_energy_mwh, 1234000);
	assert_int_equal(row.outlet.total_sessions, 1);
	assert_string_equal(row.info.code, "A123F11");
	assert_string_equal(row.info.address, "Some street 1");
	json_object_put(file);
}

static void what_the_original_refuses_or_dies_of_is_corrupt(void **state)
{
	struct json_object *file = vectors_load("dynamodb_items.json");
	struct json_object *cases = vector_get(vector_get(file, "decodeCases"), "cases");

	(void)state;
	assert_int_equal(json_object_array_length(cases), 15);
	for (size_t i = 0; i < json_object_array_length(cases); i++) {
		struct json_object *c = json_object_array_get_idx(cases, i);
		bool accepts = ev_str_starts(vector_str(c, "original"), EV_LIT("accept"));
		struct ddb_outlet row;
		ev_err e = kit_read(read_row, vector_get(c, "item"), &row);

		if (e != (accepts ? EV_OK : EV_CORRUPT))
			fail_msg("%s: %s", vector_str(c, "name").p, ev_err_text(e));
		if (ev_str_eqz(vector_str(c, "name"), "fractional_long"))
			assert_int_equal(row.outlet.total_sessions, 3);
		if (ev_str_eqz(vector_str(c, "name"), "unknown_attribute"))
			assert_true(row.outlet.version == 7 && row.outlet.foreign &&
				    !row.unversioned);
	}
	json_object_put(file);
}

static void set_text(struct json_object *item, const char *name, const char *type, const char *v)
{
	struct json_object *value = json_object_new_object();

	json_object_object_add(value, type, json_object_new_string(v));
	json_object_object_add(item, name, value);
}

/* An item as the original leaves it: none of our attributes. */
static struct json_object *original_item(struct gen *g)
{
	struct ddb_outlet row = gen_row(g, 7);
	struct json_object *item;

	row.outlet.total_energy_mwh = row.outlet.energy_mwh * 2;
	item = put(&row);
	json_object_object_del(item, "version");
	json_object_object_del(item, "x");
	json_object_object_del(item, "unsent");
	json_object_object_del(item, "unsentSince");
	return item;
}

static void a_row_of_the_original_is_taken_over_only_as_it_was_read(void **state)
{
	struct gen g = { .state = 6 };
	struct json_object *item = original_item(&g), *later, *request, *got, *want;
	struct ddb_outlet was, now;

	(void)state;
	set_text(item, "totalPowerConsumption", "N", "1234567.000000123456");
	set_text(item, "startTime", "S", "2023-06-13T13:10:00.123456+03:00");
	assert_int_equal(kit_read(read_row, item, &was), EV_OK);
	assert_true(was.unversioned);
	now = gen_row(&g, 1718000000000);
	request = update(&was, &now);
	assert_true(kit_holds(request, item));
	assert_false(kit_holds(request, NULL));
	got = kit_apply(request, item);
	want = put(&now);
	kit_assert_same(got, want);
	assert_false(kit_holds(request, want)); /* it has a version now */
	later = kit_copy(item);
	set_text(later, "totalPowerConsumption", "N", "1234567.000000123457");
	assert_false(kit_holds(request, later));
	json_object_put(later);
	later = kit_copy(item);
	set_text(later, "outletState", "S", "AppRequestsStop");
	assert_false(kit_holds(request, later));
	json_object_put(later);
	json_object_put(got);
	json_object_put(want);
	json_object_put(request);
	json_object_put(item);
}

static void doubles_that_do_not_add_up_are_taken_as_they_should_be(void **state)
{
	struct gen g = { .state = 7 };
	struct json_object *item = original_item(&g);
	struct ddb_outlet row;

	(void)state;
	set_text(item, "powerConsumption", "N", "5.0000010");
	set_text(item, "totalPowerConsumption", "N", "5.00000049");
	assert_int_equal(kit_read(read_row, item, &row), EV_OK);
	assert_int_equal(row.outlet.energy_mwh, 5000001);
	assert_int_equal(row.outlet.total_energy_mwh, 5000001);
	assert_true(ev_str_eqz(ddb_number_str(&row.total), "500000049E-8"));
	set_text(item, "powerConsumption", "N", "-1");
	set_text(item, "totalPowerConsumption", "N", "-1");
	assert_int_equal(kit_read(read_row, item, &row), EV_OK);
	assert_int_equal(row.outlet.energy_mwh, 0);
	assert_int_equal(row.outlet.total_energy_mwh, 0);
	json_object_put(item);
}

static void what_no_row_can_hold_is_corrupt(void **state)
{
	static const struct {
		const char *name;
		const char *type;
		const char *value;
	} cases[] = {
		{ "outletState", "S", "AppRequestsCharging" },
		{ "outletState", "S", "DeviceRequestsCharging" },
		{ "outletState", "S", "AppRequestsStop" },
		{ "outletState", "S", "charging" },
		{ "outletState", "N", "1" },
		{ "version", "N", "0" },
		{ "version", "N", "-1" },
		{ "version", "S", "7" },
		{ "version", "N", "9223372036854775808" },
		{ "maxPower", "N", "1E+30" },
		{ "powerConsumption", "N", "-0.000001" },
		{ "totalPowerConsumption", "N", "-5" },
		{ "totalPowerConsumption", "N", "9223372036854.775808" },
		{ "totalChargingSessions", "N", "5E18" },
		{ "x", "B", "" },
		{ "x", "B", "Ag==" },
		{ "x", "B", "AQ==" },
		{ "x", "S", "AQ==" },
		{ "x", "B", "AQ" },
		{ "unsent", "B", "" },
		{ "unsent", "B", "////" },
		{ "unsentSince", "S", "0" },
		{ "rfidTag", "S",
		  "0123456789012345678901234567890123456789012345678901234567890123x" },
		{ "outletCode", "S",
		  "0123456789012345678901234567890123456789012345678901234567890123x" },
		{ "startTime", "S", "2023-06-13T10:20:01+0300" },
	};
	struct gen g = { .state = 8, .full = true };
	struct ddb_outlet row = gen_row(&g, 7), back;

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

static void what_a_row_needs_must_be_there(void **state)
{
	struct gen g = { .state = 9, .full = true };
	struct ddb_outlet row = gen_row(&g, 7), back;
	struct json_object *item = put(&row);

	(void)state;
	json_object_object_foreach(item, name, value)
	{
		bool ours = strcmp(name, "version") == 0 || strcmp(name, "x") == 0 ||
			    strcmp(name, "unsent") == 0;
		bool optional = strcmp(name, "sessionId") == 0 || strcmp(name, "endTime") == 0;
		struct json_object *less = kit_without(item, name);
		ev_err e = kit_read(read_row, less, &back);

		(void)value;
		/* Without its session an effect of it is not to be understood. */
		if (optional ? e != EV_OK && e != EV_CORRUPT : e != (ours ? EV_OK : EV_CORRUPT))
			fail_msg("without %s: %s", name, ev_err_text(e));
		json_object_put(less);
	}
	json_object_put(item);
}

static void a_text_with_a_nul_is_corrupt(void **state)
{
	struct gen g = { .state = 10 };
	struct ddb_outlet row = gen_row(&g, 7), back;
	struct json_object *item = put(&row), *value = json_object_new_object();

	(void)state;
	json_object_object_add(value, "S", json_object_new_string_len("a\0b", 3));
	json_object_object_add(item, "address", value);
	assert_int_equal(kit_read(read_row, item, &back), EV_CORRUPT);
	json_object_put(item);
}

static void items_cut_short_are_corrupt(void **state)
{
	struct gen g = { .state = 11, .full = true };
	struct ddb_outlet row = gen_row(&g, 7), back;
	struct json_object *item = put(&row);

	(void)state;
	kit_assert_truncated(read_row, item, &back);
	json_object_put(item);
}

/* ---- effects ---- */

static void effects_cut_short_are_not_all_of_them(void **state)
{
	struct gen g = { .state = 12, .full = true };
	struct ddb_outlet row = gen_row(&g, 7);
	struct effects_base base = effects_base_outlet(&row.outlet);
	uint8_t bytes[ROW_EFFECTS_BYTES];
	size_t n = row_effects_write(&row.effects, &base, bytes);
	unsigned whole = 0;

	(void)state;
	for (size_t i = 0; i <= n; i++) {
		uint8_t *copy = malloc(i + 1);
		struct row_effects got = { .n = 77 };
		ev_err e;

		memcpy(copy, bytes, i);
		e = row_effects_read((struct ev_str){ (char *)copy, i }, &base, &got);
		assert_true(e == EV_OK ? got.n == whole : e == EV_CORRUPT && got.n == 77);
		whole += e == EV_OK;
		free(copy);
	}
	assert_int_equal(whole, ROW_EFFECTS_MAX + 1);
}

static void a_seventeenth_effect_is_corrupt(void **state)
{
	static const struct effects_base base;
	uint8_t bytes[ROW_EFFECTS_MAX + 1];
	struct row_effects got = { .n = 0 };

	(void)state;
	memset(bytes, 2, sizeof(bytes)); /* what the row says */
	assert_int_equal(row_effects_read((struct ev_str){ (char *)bytes, 16 }, &base, &got),
			 EV_OK);
	assert_int_equal(got.n, 16);
	assert_int_equal(row_effects_read((struct ev_str){ (char *)bytes, 17 }, &base, &got),
			 EV_CORRUPT);
}

static struct rfid_tag hex_tag(void)
{
	struct rfid_tag t;

	assert_int_equal(rfid_tag_set(&t, EV_LIT("04a2b9c1d2e380")), EV_OK);
	return t;
}

#define MS INT64_C(1000000)
#define MORNING (INT64_C(1785741061123) * MS)

/*
 * The usual row: an outlet of a year's service that charges, with the lists that only ever fill up,
 * eight identities and the event of its last report.
 */
static struct ddb_outlet usual_row(void)
{
	struct ddb_outlet row;
	struct outlet *o = &row.outlet;
	struct charging_event e;

	memset(&row, 0, sizeof(row));
	*o = (struct outlet){
		.id = id_of('o', 5),
		.version = 1785741061123,
		.state = OUTLET_CHARGING,
		.has_session = true,
		.session_id = id_of('s', 5),
		.tag = hex_tag(),
		.start_ns = MORNING + 123456,
		.has_end = true,
		.end_ns = MORNING + 3600 * 1000 * MS + 500 * MS,
		.energy_mwh = 12345678,
		.total_sessions = 812,
		.total_energy_mwh = INT64_C(9123456789),
		.max_power_mw = 22000000,
		.since_ns = MORNING - 40 * 1000 * MS,
		.reported = true,
		.acknowledged = true,
		.n_recent = OUTLET_RECENT_MAX,
		.n_refused = 1,
		.n_ids = OUTLET_IDS_MAX / 2,
	};
	for (unsigned i = 0; i < o->n_recent; i++) {
		int64_t at = MORNING - (int64_t)(i + 1) * 7 * 3600 * 1000 * MS;

		o->recent[i] = (struct ended_session){
			.id = id_of('r', i),
			.tag = hex_tag(),
			.since_ns = at,
			.start_ns = at + 21 * 1000 * MS + 654321,
			.end_ns = at + 3 * 3600 * 1000 * MS + 17 * MS,
			.sum_mwh = 7654321 + i,
		};
		o->recent[i].tag.s[13] = (char)('a' + i % 4);
	}
	o->refused[0] = id_of('f', 1);
	for (unsigned i = 0; i < o->n_ids; i++)
		o->ids[i] = identity_of('i', i);
	row.info = (struct outlet_info){ .group_id = id_of('g', 5), .created_ns = MORNING };
	memcpy(row.info.code, "A123F1", 7);
	memcpy(row.info.address, "Musterstrasse 12, Zuerich", 26);
	e = running(o);
	e.event_id = o->ids[o->n_ids - 1];
	e.event_id.b[15] ^= 1;
	row.effects = (struct row_effects){ .n = 1, .since_ns = MORNING };
	row.effects.of[0] = (struct row_effect){ .plain = true, .event = e };
	return row;
}

static void the_usual_row_stays_below_one_unit(void **state)
{
	struct ddb_outlet row = usual_row(), back;
	struct json_object *item = put(&row);
	size_t n = size_of(&row);

	(void)state;
	assert_int_equal(strlen(row.info.address), 25);
	print_message("# the usual row has %zu bytes\n", n);
	assert_true(n < 1024);
	assert_int_equal(kit_read(read_row, item, &back), EV_OK);
	assert_same_row(&back, &row);
	/* The event of a plain report is in the row already. */
	assert_string_equal(kit_text(vector_get(item, "unsent")).p, "{\"B\":\"Bg==\"}");
	json_object_put(item);
}

/* What a report changes is a small part of the row. */
static void a_report_writes_few_attributes(void **state)
{
	struct ddb_outlet was = usual_row(), now = was;
	struct json_object *request;

	(void)state;
	now.outlet.version++;
	now.outlet.energy_mwh += 500000;
	now.outlet.total_energy_mwh += 500000;
	now.outlet.end_ns += 60 * 1000 * MS;
	now.outlet.ids[now.outlet.n_ids++] = identity_of('i', 99);
	now.effects.since_ns = MORNING + 60 * 1000 * MS;
	now.effects.of[0].event = running(&now.outlet);
	now.effects.of[0].event.event_id = identity_of('i', 99);
	now.effects.of[0].event.event_id.b[15] ^= 1;
	request = update(&was, &now);
	/* endTime, both sums, version, x, unsentSince: `unsent` is the same byte. */
	assert_int_equal(kit_changes(request), 6);
	json_object_put(request);
}

static void the_worst_row_fits(void **state)
{
	struct gen g = { .state = 13, .full = true };
	struct ddb_outlet row = gen_row(&g, INT64_MAX);
	struct ev_uuid elsewhere = id_of('o', 99);
	struct json_object *o;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < OUTLET_RECENT_MAX; i++) {
		struct ended_session *e = &row.outlet.recent[i];

		memset(e->tag.s, 'g' + (int)i, RFID_TAG_MAX);
		e->tag.n = RFID_TAG_MAX;
		e->since_ns = i % 2 == 0 ? INT64_MIN : INT64_MAX;
		e->start_ns = i % 2 == 0 ? INT64_MAX : INT64_MIN;
		e->end_ns = 1;
		e->sum_mwh = EVENT_ENERGY_MAX_MWH;
	}
	for (unsigned i = 0; i < ROW_EFFECTS_MAX; i++) {
		struct row_effect *e = &row.effects.of[i];

		*e = (struct row_effect){ .event = gen_event(&g, &elsewhere) };
		e->event.initiator = INITIATOR_APP_BACKEND;
		memset(e->event.tag.s, 'g' + (int)i, RFID_TAG_MAX);
		e->event.tag.n = RFID_TAG_MAX;
		e->event.period_start_ns = i % 2 == 0 ? INT64_MAX : INT64_MIN;
		e->event.period_end_ns = 1;
		e->event.energy_mwh = EVENT_ENERGY_MAX_MWH;
		e->event.item_mwh = EVENT_ENERGY_MAX_MWH;
	}
	row.outlet.total_energy_mwh = INT64_MAX;
	memset(row.info.address, 1, OUTLET_ADDRESS_MAX); /* six characters each in JSON */
	memset(row.info.code, 1, OUTLET_CODE_MAX);
	n = size_of(&row);
	print_message("# the worst row has %zu bytes\n", n);
	assert_true(n < 6 * 1024);
	o = update(NULL, &row);
	print_message("# and %zu of JSON\n", kit.buf.len);
	json_object_put(o);
}

static void a_key_is_a_key(void **state)
{
	struct ev_uuid id = id_of('o', 1);
	struct json_object *o;
	char want[64] = "{\"outletId\":{\"S\":\"";

	(void)state;
	ddb_outlet_key(&id, kit_begin(&kit));
	o = kit_end(&kit);
	ev_uuid_text(&id, want + 18);
	memcpy(want + 54, "\"}}", 4);
	assert_string_equal(kit_text(o).p, want);
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_returns),
		cmocka_unit_test(extremes_return),
		cmocka_unit_test(an_update_makes_the_one_row_of_the_other),
		cmocka_unit_test(a_new_row_is_written_only_where_none_is),
		cmocka_unit_test(clearing_effects_changes_nothing_else),
		cmocka_unit_test(the_original_s_rows_are_read_and_written_back),
		cmocka_unit_test(what_a_row_of_the_original_says_is_understood),
		cmocka_unit_test(what_the_original_refuses_or_dies_of_is_corrupt),
		cmocka_unit_test(a_row_of_the_original_is_taken_over_only_as_it_was_read),
		cmocka_unit_test(doubles_that_do_not_add_up_are_taken_as_they_should_be),
		cmocka_unit_test(what_no_row_can_hold_is_corrupt),
		cmocka_unit_test(what_a_row_needs_must_be_there),
		cmocka_unit_test(a_text_with_a_nul_is_corrupt),
		cmocka_unit_test(items_cut_short_are_corrupt),
		cmocka_unit_test(effects_cut_short_are_not_all_of_them),
		cmocka_unit_test(a_seventeenth_effect_is_corrupt),
		cmocka_unit_test(the_usual_row_stays_below_one_unit),
		cmocka_unit_test(a_report_writes_few_attributes),
		cmocka_unit_test(the_worst_row_fits),
		cmocka_unit_test(a_key_is_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
