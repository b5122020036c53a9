#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/num.h"

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void assert_double(double v, const char *want)
{
	char p[64];
	struct ev_buf b = ev_buf_over(p, sizeof(p) - 1);

	num_write_double(&b, v);
	assert_false(b.overflow);
	p[b.len] = '\0';
	assert_string_equal(p, want);
}

static void reads_unsigned_to_the_bound(void **state)
{
	uint64_t v = 1;

	(void)state;
	assert_int_equal(num_parse_u64(EV_LIT("18446744073709551615"), &v), EV_OK);
	assert_true(v == UINT64_MAX);
	assert_int_equal(num_parse_u64(EV_LIT("007"), &v), EV_OK);
	assert_int_equal(v, 7);
}

static void refuses_what_is_no_unsigned(void **state)
{
	static const char *const bad[] = { "",
					   "-1",
					   "+1",
					   " 1",
					   "1 ",
					   "0x1",
					   "1.0",
					   "18446744073709551616",
					   "99999999999999999999",
					   "184467440737095516150" };
	uint64_t v = 42;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		if (num_parse_u64(ev_str_from(bad[i]), &v) != EV_INVALID)
			fail_msg("accepted '%s'", bad[i]);
	}
	assert_int_equal(v, 42);
}

static void reads_signed_to_both_bounds(void **state)
{
	int64_t v = 42;

	(void)state;
	assert_int_equal(num_parse_i64(EV_LIT("-9223372036854775809"), &v), EV_INVALID);
	assert_int_equal(num_parse_i64(EV_LIT("9223372036854775808"), &v), EV_INVALID);
	assert_int_equal(num_parse_i64(EV_LIT("-"), &v), EV_INVALID);
	assert_int_equal(num_parse_i64(EV_LIT("--1"), &v), EV_INVALID);
	assert_int_equal(num_parse_i64(EV_LIT(""), &v), EV_INVALID);
	assert_int_equal(v, 42);
	assert_int_equal(num_parse_i64(EV_LIT("-9223372036854775808"), &v), EV_OK);
	assert_true(v == INT64_MIN);
	assert_int_equal(num_parse_i64(EV_LIT("9223372036854775807"), &v), EV_OK);
	assert_true(v == INT64_MAX);
	assert_int_equal(num_parse_i64(EV_LIT("-0"), &v), EV_OK);
	assert_int_equal(v, 0);
}

static void writes_doubles_as_the_original_does(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{ 0.0, "0.0" },
		{ -0.0, "-0.0" },
		{ 1.0, "1.0" },
		{ -1.0, "-1.0" },
		{ 22000.0, "22000.0" },
		{ 1.234, "1.234" },
		{ 0.1, "0.1" },
		{ 0.3, "0.3" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 0.001, "0.001" },
		{ 0.0012345, "0.0012345" },
		{ 1e-4, "1.0E-4" },
		{ 0.00099, "9.9E-4" },
		{ 9999999.0, "9999999.0" },
		{ 9999999.999999, "9999999.999999" },
		{ 1e7, "1.0E7" },
		{ 12345678.0, "1.2345678E7" },
		{ 12345678.9, "1.23456789E7" },
		{ 1e21, "1.0E21" },
		{ 123456.7, "123456.7" },
		{ 2e23, "2.0E23" },
		{ 5e-324, "4.9E-324" },
		{ 2.2250738585072014e-308, "2.2250738585072014E-308" },
		{ 1.7976931348623157e308, "1.7976931348623157E308" },
		{ 9007199254740993.0, "9.007199254740992E15" },
		{ 0x1p-44, "5.684341886080802E-14" }, /* the nearest 16 digits are a neighbour's */
		{ (double)NAN, "\"NaN\"" },
		{ HUGE_VAL, "\"Infinity\"" },
		{ -HUGE_VAL, "\"-Infinity\"" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++)
		assert_double(cases[i].v, cases[i].text);
}

/* Any bit pattern, and every power of two, whose neighbours are not at equal distances. */
static double any_double(uint64_t *seed, int i)
{
	uint64_t bits = i < 2046 ? (uint64_t)(i + 1) << 52 : next_random(seed);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static void reads_back_what_it_writes(void **state)
{
	uint64_t seed = 88172645463325252U;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		double v = any_double(&seed, i);
		double back;
		char p[64];
		struct ev_buf b = ev_buf_over(p, sizeof(p));

		if (!isfinite(v))
			continue;
		num_write_double(&b, v);
		assert_false(b.overflow);
		assert_int_equal(num_parse_double(ev_buf_str(&b), &back), EV_OK);
		assert_memory_equal(&back, &v, sizeof(v));
	}
}

static void writes_milliwatt_hours_as_the_double_would(void **state)
{
	static const int64_t edges[] = { 0,
					 1,
					 9,
					 10,
					 999,
					 1000,
					 1001,
					 999999,
					 1000000,
					 1000001,
					 -1,
					 -1000,
					 -1234000,
					 INT64_C(9999999999999),
					 INT64_C(10000000000000),
					 INT64_C(10000000000001),
					 INT64_MAX,
					 INT64_MIN };
	uint64_t seed = 2463534242U;

	(void)state;
	for (size_t i = 0; i < 1000000 + EV_ARRAY_LEN(edges); i++) {
		/* All sizes alike: a number of random bits, shifted by a random distance. */
		uint64_t r = next_random(&seed) >> 20 >> next_random(&seed) % 44;
		int64_t mwh = i < EV_ARRAY_LEN(edges) ? edges[i] : (int64_t)r;
		char p[2][64];
		struct ev_buf a = ev_buf_over(p[0], sizeof(p[0]));
		struct ev_buf b = ev_buf_over(p[1], sizeof(p[1]));

		num_write_mwh(&a, mwh);
		num_write_double(&b, num_kwh_from_mwh(mwh));
		if (!ev_str_eq(ev_buf_str(&a), ev_buf_str(&b)))
			fail_msg("%lld: %.*s, %.*s", (long long)mwh, (int)a.len, a.p, (int)b.len,
				 b.p);
	}
}

static void reads_decimals(void **state)
{
	static const struct {
		const char *text;
		double v;
	} cases[] = {
		{ "0", 0 },
		{ "1.5", 1.5 },
		{ "-1.5", -1.5 },
		{ "1.", 1 },
		{ ".5", 0.5 },
		{ "-.5", -0.5 },
		{ "007.250", 7.25 },
		{ "1e3", 1000 },
		{ "1E+3", 1000 },
		{ "1.0E-4", 0.0001 },
		{ "1e400", HUGE_VAL },
		{ "-1e400", -HUGE_VAL },
		{ "1e-400", 0 },
		{ "9007199254740993", 9007199254740992.0 },
		{ "2.2250738585072011e-308", 2.225073858507201e-308 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		double v;

		assert_int_equal(num_parse_double(ev_str_from(cases[i].text), &v), EV_OK);
		assert_memory_equal(&v, &cases[i].v, sizeof(v));
	}
}

static void refuses_what_is_no_decimal(void **state)
{
	static const char *const bad[] = { "",      "-",     ".",   "-.",  "+1",    " 1",  "1 ",
					   "1e",    "1e+",   "e5",  "0x1", "0x1p3", "nan", "inf",
					   "1.2.3", "1e2.5", "1,5", "--1", "1-",    "1_0" };
	char longest[NUM_DOUBLE_TEXT + 1];
	double v = 42;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		if (num_parse_double(ev_str_from(bad[i]), &v) != EV_INVALID)
			fail_msg("accepted '%s'", bad[i]);
	}
	memset(longest, '1', sizeof(longest));
	assert_int_equal(num_parse_double((struct ev_str){ longest, sizeof(longest) }, &v),
			 EV_INVALID);
	assert_true(v > 41 && v < 43);
	assert_int_equal(num_parse_double((struct ev_str){ longest, NUM_DOUBLE_TEXT }, &v), EV_OK);
}

static void takes_energy_to_the_nearest_milliwatt_hour(void **state)
{
	static const struct {
		double kwh;
		int64_t mwh; /* -1: refused */
	} cases[] = {
		{ 0.0, 0 },
		{ -0.0, 0 },
		{ 1.234, 1234000 },
		{ 0.000001, 1 },
		{ 0.0000004, 0 },
		{ 0.0000006, 1 },
		{ 99999.999999, INT64_C(99999999999) },
		{ 100000.0, INT64_C(100000000000) },
		{ 100000.0000004, INT64_C(100000000000) },
		{ 100000.0000006, -1 },
		{ 100000.000001, -1 },
		{ 1e300, -1 },
		{ -0.000001, -1 },
		{ -1e-300, -1 },
		{ (double)NAN, -1 },
		{ HUGE_VAL, -1 },
		{ -HUGE_VAL, -1 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		int64_t mwh = -1;
		ev_err e = num_mwh_from_kwh(cases[i].kwh, INT64_C(100000000000), &mwh);

		assert_int_equal(e, cases[i].mwh < 0 ? EV_INVALID : EV_OK);
		assert_true(mwh == cases[i].mwh);
	}
}

/* What we print must come back as the same integer, for all that one message may carry. */
static void energy_survives_the_wire(void **state)
{
	uint64_t seed = 77;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		int64_t mwh = (int64_t)(next_random(&seed) % 100000000001U);
		int64_t back;
		double kwh;
		char p[64];
		struct ev_buf b = ev_buf_over(p, sizeof(p));

		num_write_mwh(&b, mwh);
		assert_int_equal(num_parse_double(ev_buf_str(&b), &kwh), EV_OK);
		assert_int_equal(num_mwh_from_kwh(kwh, INT64_C(100000000000), &back), EV_OK);
		assert_true(back == mwh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_unsigned_to_the_bound),
		cmocka_unit_test(refuses_what_is_no_unsigned),
		cmocka_unit_test(reads_signed_to_both_bounds),
		cmocka_unit_test(writes_doubles_as_the_original_does),
		cmocka_unit_test(reads_back_what_it_writes),
		cmocka_unit_test(writes_milliwatt_hours_as_the_double_would),
		cmocka_unit_test(reads_decimals),
		cmocka_unit_test(refuses_what_is_no_decimal),
		cmocka_unit_test(takes_energy_to_the_nearest_milliwatt_hour),
		cmocka_unit_test(energy_survives_the_wire),
	};

	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
