/* test_ddb_item.c — DynamoDB's values, numbers, times, updates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ddb_item.h"
#include "ddb_kit.h"

static struct ddb_value value_of(const char *json)
{
	struct json_reader r;
	struct ddb_value v;

	json_read_init(&r, ev_str_from(json), NULL);
	assert_int_equal(ddb_read_value(&r, &v), EV_OK);
	return v;
}

static struct ddb_value number(const char *digits)
{
	return (struct ddb_value){ .type = DDB_N, .text = { ev_str_from(digits), false } };
}

static struct ddb_value text(const char *s)
{
	return (struct ddb_value){ .type = DDB_S, .text = { ev_str_from(s), false } };
}

static void numbers_are_read_exactly(void **state)
{
	static const struct {
		const char *text;
		unsigned scale;
		int64_t want;
	} cases[] = {
		{ "0", 6, 0 },
		{ "-0.0", 6, 0 },
		{ "22000", 3, 22000000 },
		{ "22000.0", 3, 22000000 },
		{ "1.0E+7", 6, INT64_C(10000000000000) },
		{ "1E+7", 6, INT64_C(10000000000000) },
		{ "1e7", 0, 10000000 },
		{ "123456789", 6, INT64_C(123456789000000) },
		{ "0.00010", 6, 100 },
		{ "1.234", 6, 1234000 },
		{ "1.2345674999999999999999999999999999999", 6, 1234567 },
		{ "1.2345675", 6, 1234568 },
		{ "-1.2345675", 6, -1234568 },
		{ "0.0000004", 6, 0 },
		{ "0.0000005", 6, 1 },
		{ "0.00000049999999999999", 6, 0 },
		{ "1E-130", 6, 0 },
		{ "5E-7", 6, 1 },
		{ "12345678901234567890123456789012345678E-30", 6, INT64_C(12345678901235) },
		{ "9223372036854.775807", 6, INT64_MAX },
		{ "-9223372036854.775808", 6, INT64_MIN },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "00000000000000000000000000000000000000000000001", 0, 1 },
		{ "+5", 0, 5 },
		{ ".5", 6, 500000 },
		{ "5.", 6, 5000000 },
		{ "100000000000000000000E-20", 6, 1000000 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ddb_value v = number(cases[i].text);
		int64_t got = 77;

		if (ddb_value_scaled(&v, cases[i].scale, &got) != EV_OK || got != cases[i].want)
			fail_msg("%s gave %lld", cases[i].text, (long long)got);
	}
}

static void what_is_no_number_or_too_large_is_corrupt(void **state)
{
	static const char *const bad[] = {
		"",
		"-",
		".",
		"E5",
		"1E",
		"1E+",
		"1e5.0",
		"1 ",
		" 1",
		"0x1",
		"NaN",
		"Infinity",
		"1,5",
		"1E99999",
		"1E-99999",
		"9223372036854.7758075", /* rounds beyond */
		"-9223372036854.7758085",
		"1.23456789E+20",
		"1E+125",
		"1234567890123456789012345678901234567890.5", /* more digits than there can be */
	};
	char many[400];
	int64_t got = 77;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		struct ddb_value v = number(bad[i]);

		if (ddb_value_scaled(&v, 6, &got) != EV_CORRUPT || got != 77)
			fail_msg("%s was read", bad[i]);
	}
	memset(many, '0', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	struct ddb_value v = number(many);

	assert_int_equal(ddb_value_scaled(&v, 6, &got), EV_CORRUPT);
	v = text("5");
	assert_int_equal(ddb_value_scaled(&v, 6, &got), EV_CORRUPT);
}

static void integers_cut_the_fraction_off(void **state)
{
	struct ddb_value v = number("3.7");
	int64_t i;
	uint64_t u;

	(void)state;
	assert_int_equal(ddb_value_i64(&v, &i), EV_OK);
	assert_int_equal(i, 3);
	v = number("-3.7");
	assert_int_equal(ddb_value_i64(&v, &i), EV_OK);
	assert_int_equal(i, -3);
	assert_int_equal(ddb_value_u64(&v, &u), EV_CORRUPT);
	v = number("18446744073709551615");
	assert_int_equal(ddb_value_u64(&v, &u), EV_OK);
	assert_true(u == UINT64_MAX);
	assert_int_equal(ddb_value_i64(&v, &i), EV_CORRUPT);
	v = number("18446744073709551616");
	assert_int_equal(ddb_value_u64(&v, &u), EV_CORRUPT);
	v = number("-0.5");
	assert_int_equal(ddb_value_u64(&v, &u), EV_OK);
	assert_true(u == 0);
}

static void a_number_has_one_form(void **state)
{
	static const char *const cases[][2] = {
		{ "0", "0" },
		{ "-0.00", "0" },
		{ "1.50", "15E-1" },
		{ "1500", "15E2" },
		{ "-0.0015", "-15E-4" },
		{ "1.23456789E+20", "123456789E12" },
		{ "0.1E1", "1" },
		{ "1E-130", "1E-130" },
		{ "-0.12345678901234567890123456789012345678E-99",
		  "-12345678901234567890123456789012345678E-137" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ddb_value v = number(cases[i][0]);
		struct ddb_number n;

		assert_int_equal(ddb_value_number(&v, &n), EV_OK);
		if (!ev_str_eqz(ddb_number_str(&n), cases[i][1]))
			fail_msg("%s became %.*s", cases[i][0], n.n, n.s);
	}
}

static void scaled_numbers_are_plain_decimals(void **state)
{
	static const struct {
		int64_t v;
		unsigned scale;
		const char *want;
	} cases[] = {
		{ 0, 6, "0" },
		{ 1234000, 6, "1.234" },
		{ 1, 6, "0.000001" },
		{ 100, 6, "0.0001" },
		{ 22000000, 3, "22000" },
		{ 10000000000000, 6, "10000000" },
		{ INT64_MAX, 6, "9223372036854.775807" },
		{ INT64_MIN, 6, "-9223372036854.775808" },
		{ -1500000, 6, "-1.5" },
		{ INT64_MIN, 0, "-9223372036854775808" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ddb_attrs a;
		int64_t back;

		ddb_attrs_init(&a);
		ddb_attr_scaled(&a, "n", cases[i].v, cases[i].scale);
		assert_true(ev_str_eqz(a.of[0].value, cases[i].want));
		assert_int_equal(ddb_decimal_scaled(a.of[0].value, cases[i].scale, &back), EV_OK);
		assert_true(back == cases[i].v);
	}
}

static void times_are_as_java_reads_them(void **state)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: corrupt */
	} cases[] = {
		{ "1970-01-01T00:00:01Z", 1000000000 },
		{ "1970-01-01T00:00:00.5Z", 500000000 },
		{ "1970-01-01t00:00:01z", 1000000000 },
		{ "1970-01-01T00:01Z", INT64_C(60000000000) },
		{ "1970-01-01T03:00:01+03:00", 1000000000 },
		{ "1970-01-01T03:00:01+03", 1000000000 },
		{ "1970-01-01T03:00:01+03:00:00", 1000000000 },
		{ "1970-01-01T03:00+03", 0 },
		{ "1970-01-01T00:00:00.123456789Z", 123456789 },
		{ "1970-01-01T03:00:01+0300", -1 },
		{ "1970-01-01T03:00:01+03x", -1 },
		{ "1970-01-01T03:00:01+03:00x", -1 },
		{ "1970-01-01T03:00:01+03:0", -1 },
		{ "1970-01-01T03:00:01", -1 },
		{ "1970-01-01T03:00:01Zx", -1 },
		{ "1970-01-01T24:00:00Z", -1 },
		{ "1970-02-30T00:00:00Z", -1 },
		{ "2300-01-01T00:00:00Z", -1 },
		{ "1970-01-01T00:00:00.1234567890Z", -1 },
		{ "1970-01-01", -1 },
		{ "", -1 },
		{ "1970-01-01T00:00:00.000000000000000000000000000Z", -1 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ddb_value v = text(cases[i].text);
		int64_t got = -1;
		ev_err e = ddb_value_time(&v, &got);

		if (got != cases[i].ns || e != (cases[i].ns < 0 ? EV_CORRUPT : EV_OK))
			fail_msg("%s gave %lld", cases[i].text, (long long)got);
	}
}

static void values_of_all_types_are_read(void **state)
{
	struct ddb_value v = value_of("{\"S\":\"a\\u00e4\\n\"}");
	char room[64];
	struct ev_str s;
	struct ddb_reader map;
	struct json_reader list;
	bool flag, more;

	(void)state;
	assert_int_equal(ddb_value_text(&v, room, sizeof(room), &s), EV_OK);
	assert_true(ev_str_eqz(s, "aä\n"));
	assert_int_equal(ddb_value_text(&v, room, 3, &s), EV_CORRUPT);
	v = value_of("{\"B\":\"AP/+\"}");
	assert_int_equal(ddb_value_bytes(&v, room, 3, &s), EV_OK);
	assert_int_equal(s.n, 3);
	assert_memory_equal(s.p, "\x00\xff\xfe", 3);
	assert_int_equal(ddb_value_bytes(&v, room, 2, &s), EV_CORRUPT);
	v = value_of("{\"B\":\"AP\\/\\u002b\"}");
	assert_int_equal(ddb_value_bytes(&v, room, 3, &s), EV_OK);
	assert_memory_equal(s.p, "\x00\xff\xfe", 3);
	v = value_of("{ \"BOOL\" : true }");
	assert_int_equal(ddb_value_bool(&v, &flag), EV_OK);
	assert_true(flag);
	v = value_of("{\"SS\":[\"a\",\"b\"]}");
	assert_int_equal(ddb_value_list(&v, &list), EV_OK);
	assert_int_equal(json_read_item(&list, &more), EV_OK);
	v = value_of("{\"M\":{\"k\":{\"L\":[{\"N\":\"5\"}]}}}");
	assert_int_equal(ddb_value_map(&v, &map), EV_OK);
	assert_int_equal(ddb_read_next(&map, &more, room, &s, &v), EV_OK);
	assert_true(more && v.type == DDB_L && ev_str_eqz(s, "k"));
	assert_int_equal(ddb_value_list(&v, &list), EV_OK);
	assert_int_equal(json_read_item(&list, &more), EV_OK);
	assert_int_equal(ddb_read_value(&list, &v), EV_OK);
	assert_int_equal(v.type, DDB_N);
	assert_int_equal(value_of("{\"NS\":[\"1\"]}").type, DDB_OTHER);
	assert_int_equal(value_of("{\"X\":{\"y\":[null]}}").type, DDB_OTHER);
}

static void what_is_no_value_is_corrupt(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"5",
		"{\"S\":5}",
		"{\"N\":5}",
		"{\"S\":\"a\",\"N\":\"1\"}",
		"{\"BOOL\":\"true\"}",
		"{\"M\":{}",
		"{\"S\":\"\xff\"}",
		"{\"L\":[}",
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		struct json_reader r;
		struct ddb_value v;

		json_read_init(&r, ev_str_from(bad[i]), NULL);
		if (ddb_read_value(&r, &v) != EV_CORRUPT)
			fail_msg("%s was read", bad[i]);
	}
}

static void fields_are_found_whatever_stands_between(void **state)
{
	static const char *const names[] = { "a", "b", "c", "n\"" };
	static const char item[] = "{\"z\":{\"M\":{\"a\":{\"S\":\"no\"}}},\"b\":{\"NULL\":true},"
				   "\"\\u0061\":{\"S\":\"yes\"},\"n\\\"\":{\"N\":\"1\"}}";
	struct ddb_value v[4];

	(void)state;
	assert_int_equal(ddb_read_fields(EV_LIT(item), names, 4, v), EV_OK);
	assert_int_equal(v[0].type, DDB_S);
	assert_true(ev_str_eqz(v[0].text.raw, "yes"));
	assert_int_equal(v[1].type, DDB_NONE);
	assert_int_equal(v[2].type, DDB_NONE);
	assert_int_equal(v[3].type, DDB_N);
	assert_int_equal(
		ddb_read_fields(EV_LIT("{\"a\":{\"S\":\"\"},\"a\":{\"S\":\"\"}}"), names, 4, v),
		EV_CORRUPT);
	assert_int_equal(ddb_read_fields(EV_LIT("{} x"), names, 4, v), EV_CORRUPT);
}

static void bytes_are_counted_as_the_service_does(void **state)
{
	static const struct ev_str set[] = { { "ab", 2 }, { "c", 1 } };
	struct ddb_attrs a;

	(void)state;
	ddb_attrs_init(&a);
	ddb_attr_s(&a, "s", EV_LIT("ä"));           /* 1 + 2 */
	ddb_attr_n(&a, "n", EV_LIT("22000"));       /* 1 + 2 */
	ddb_attr_n(&a, "m", EV_LIT("-0.00120300")); /* 1 + 4 */
	ddb_attr_b(&a, "b", EV_LIT("123"));         /* 1 + 3 */
	ddb_attr_bool(&a, "o", true);               /* 1 + 1 */
	ddb_attr_ss(&a, "t", set, 2);               /* 1 + 3 */
	ddb_attr_none(&a, "gone");
	assert_int_equal(ddb_item_size(&a), 3 + 3 + 5 + 4 + 2 + 4);
}

static void an_update_says_what_changed_and_if(void **state)
{
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs was, now;
	static struct kit k;

	(void)state;
	ddb_attrs_init(&was);
	ddb_attr_s(&was, "key", EV_LIT("k"));
	ddb_attr_s(&was, "same", EV_LIT("x"));
	ddb_attr_n(&was, "n", EV_LIT("1"));
	ddb_attr_s(&was, "goes", EV_LIT("g"));
	ddb_attr_none(&was, "comes");
	ddb_attrs_init(&now);
	ddb_attr_s(&now, "key", EV_LIT("k"));
	ddb_attr_s(&now, "same", EV_LIT("x"));
	ddb_attr_n(&now, "n", EV_LIT("2"));
	ddb_attr_none(&now, "goes");
	ddb_attr_b(&now, "comes", EV_LIT("\1"));
	ddb_change_diff(&c, &was, &now, "key");
	ddb_change_if(&c, DDB_IF_EQUAL, &was.of[2]);
	ddb_change_if_absent(&c, "other");
	kit_begin_members(&k);
	ddb_change_write(&c, &k.w);
	json_object_put(kit_end_members(&k));
	k.bytes[k.buf.len] = '\0';
	assert_string_equal(
		k.bytes,
		"{\"UpdateExpression\":\"SET #s0 = :s0, #s1 = :s1 REMOVE #r0\","
		"\"ConditionExpression\":\"#c0 = :c0 AND attribute_not_exists(#c1)\","
		"\"ExpressionAttributeNames\":{\"#s0\":\"n\",\"#s1\":\"comes\",\"#r0\":\"goes\","
		"\"#c0\":\"n\",\"#c1\":\"other\"},"
		"\"ExpressionAttributeValues\":{\":s0\":{\"N\":\"2\"},\":s1\":{\"B\":\"AQ==\"},"
		"\":c0\":{\"N\":\"1\"}}}");
}

static void what_is_not_needed_is_not_written(void **state)
{
	struct ddb_change c = { .n_set = 0 };
	static struct kit k;
	struct json_object *o;

	(void)state;
	kit_begin_members(&k);
	ddb_change_write(&c, &k.w);
	o = kit_end_members(&k);
	assert_int_equal(json_object_object_length(o), 0);
	json_object_put(o);
	ddb_change_if_absent(&c, "key");
	kit_begin_members(&k);
	ddb_change_write(&c, &k.w);
	o = kit_end_members(&k);
	assert_int_equal(json_object_object_length(o), 2);
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_exactly),
		cmocka_unit_test(what_is_no_number_or_too_large_is_corrupt),
		cmocka_unit_test(integers_cut_the_fraction_off),
		cmocka_unit_test(a_number_has_one_form),
		cmocka_unit_test(scaled_numbers_are_plain_decimals),
		cmocka_unit_test(times_are_as_java_reads_them),
		cmocka_unit_test(values_of_all_types_are_read),
		cmocka_unit_test(what_is_no_value_is_corrupt),
		cmocka_unit_test(fields_are_found_whatever_stands_between),
		cmocka_unit_test(bytes_are_counted_as_the_service_does),
		cmocka_unit_test(an_update_says_what_changed_and_if),
		cmocka_unit_test(what_is_not_needed_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
