/* The JSON writer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/num.h"
#include "codec/json_write.h"
#include "vectors.h"

static char text[4096];
static struct ev_buf buf;

static struct json_writer fresh(void)
{
	buf = ev_buf_over(text, sizeof(text));
	return json_writer_over(&buf);
}

static void assert_written(const char *want)
{
	assert_false(buf.overflow);
	assert_int_equal(buf.len, strlen(want));
	assert_memory_equal(text, want, buf.len);
}

static void commas_come_by_themselves(void **state)
{
	struct json_writer w = fresh();

	(void)state;
	json_write_object(&w);
	json_write_key(&w, "a");
	json_write_array(&w);
	json_write_array_end(&w);
	json_write_key(&w, "b");
	json_write_array(&w);
	json_write_u64(&w, UINT64_MAX);
	json_write_i64(&w, INT64_MIN);
	json_write_null(&w);
	json_write_object(&w);
	json_write_object_end(&w);
	json_write_bool(&w, true);
	json_write_bool(&w, false);
	json_write_raw(&w, EV_LIT("{\"x\":1}"));
	json_write_array_end(&w);
	json_write_key(&w, "c");
	json_write_z(&w, "d");
	json_write_object_end(&w);
	assert_written("{\"a\":[],\"b\":[18446744073709551615,-9223372036854775808,null,{},"
		       "true,false,{\"x\":1}],\"c\":\"d\"}");
}

static void escapes_what_the_original_escapes(void **state)
{
	struct json_writer w = fresh();

	(void)state;
	json_write_string(&w, EV_LIT("\"\\/\b\f\n\r\t\x01\x1f\x7f\0äß🔌"));
	assert_written("\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000äß🔌\"");
	w = fresh();
	json_write_string(&w, (struct ev_str){ NULL, 0 });
	assert_written("\"\"");
}

/* What is written is what another reader reads back. */
static void every_byte_survives(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 0x80; c++) {
		for (size_t n = 1; n < 20; n++) {
			struct json_writer w = fresh();
			char in[20];
			struct json_object *o;

			memset(in, 'x', sizeof(in));
			in[n - 1] = (char)c;
			json_write_string(&w, (struct ev_str){ in, n });
			text[buf.len] = '\0';
			o = json_tokener_parse(text);
			assert_int_equal(json_object_get_string_len(o), n);
			assert_memory_equal(json_object_get_string(o), in, n);
			json_object_put(o);
		}
	}
}

static void numbers_have_the_form_of_the_original(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{ 0.0, "0.0" },
		{ -0.0, "-0.0" },
		{ 22000.0, "22000.0" },
		{ 0.001, "0.001" },
		{ 9999999.0, "9999999.0" },
		{ 1e7, "1.0E7" },
		{ 1e-4, "1.0E-4" },
		{ 1.234, "1.234" },
		{ -1.5, "-1.5" },
		{ 0.000001, "1.0E-6" },
		{ 0.0000001, "1.0E-7" },
		{ 9999999.999999, "9999999.999999" },
		{ 9999999.9999999, "9999999.9999999" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ INFINITY, "\"Infinity\"" },
		{ -INFINITY, "\"-Infinity\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_writer w = fresh();

		json_write_double(&w, cases[i].v);
		assert_written(cases[i].text);
	}
}

/* The short cut for whole mWh gives the text of the general way. */
static void short_cut_of_numbers_changes_nothing(void **state)
{
	uint64_t x = 88172645463325252U;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct json_writer w = fresh();
		char want[64];
		struct ev_buf b = ev_buf_over(want, sizeof(want));
		double v;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		v = (double)(x >> (x % 50)) / (i % 2 == 0 ? 1e6 : 1e7);
		json_write_double(&w, v);
		num_write_double(&b, v);
		assert_int_equal(b.len, buf.len);
		assert_memory_equal(want, text, b.len);
	}
}

static void writes_values_of_ours(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x9f, 0xff };
	struct json_writer w = fresh();
	struct ev_uuid u = { { 0x86, 0xc9, 0x11, 0xe2, 0xbb, 0xf3, 0x42, 0xc8, 0x89, 0x25, 0xf9,
			       0xd3, 0x80, 0xc1, 0xf3, 0x29 } };

	(void)state;
	json_write_array(&w);
	json_write_uuid(&w, &u);
	json_write_time(&w, INT64_C(1686651330123000000));
	json_write_kwh(&w, 1234000);
	json_write_kwh(&w, 0);
	json_write_hex(&w, bytes, sizeof(bytes));
	json_write_array_end(&w);
	assert_written("[\"86c911e2-bbf3-42c8-8925-f9d380c1f329\",\"2023-06-13T10:15:30.123Z\","
		       "1.234,0.0,\"009fff\"]");
}

static void tells_when_it_did_not_fit(void **state)
{
	char small[16];

	(void)state;
	for (size_t cap = 0; cap < sizeof(small); cap++) {
		struct ev_buf b = ev_buf_over(small, cap);
		struct json_writer w = json_writer_over(&b);

		json_write_object(&w);
		json_write_key(&w, "key");
		json_write_z(&w, "\x01"
				 "abcdefgh");
		json_write_object_end(&w);
		assert_true(b.overflow);
		assert_true(b.len <= cap);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_come_by_themselves),
		cmocka_unit_test(escapes_what_the_original_escapes),
		cmocka_unit_test(every_byte_survives),
		cmocka_unit_test(numbers_have_the_form_of_the_original),
		cmocka_unit_test(short_cut_of_numbers_changes_nothing),
		cmocka_unit_test(writes_values_of_ours),
		cmocka_unit_test(tells_when_it_did_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
