#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/time.h"

#define AT(seconds) ((seconds)*EV_NS_PER_S)

static void assert_time(int64_t ns, const char *want)
{
	char text[EV_TIME_TEXT];

	ev_time_text(ns, text);
	assert_string_equal(text, want);
}

static void writes_seconds_always_and_no_zero_at_the_end(void **state)
{
	(void)state;
	assert_time(0, "1970-01-01T00:00:00Z");
	assert_time(AT(1686651330) + 123456789, "2023-06-13T10:15:30.123456789Z");
	assert_time(AT(1686651330) + 100000000, "2023-06-13T10:15:30.1Z");
	assert_time(AT(1686651330) + 1, "2023-06-13T10:15:30.000000001Z");
	assert_time(-1, "1969-12-31T23:59:59.999999999Z");
	assert_time(-AT(2) + 500 * EV_NS_PER_MS, "1969-12-31T23:59:58.5Z");
	assert_time(AT(951782400), "2000-02-29T00:00:00Z");
	assert_time(AT(4107542400), "2100-03-01T00:00:00Z");
	assert_time(INT64_MAX, "2262-04-11T23:47:16.854775807Z");
	assert_time(INT64_MIN, "1677-09-21T00:12:43.145224192Z");
}

static void floors_milliseconds_below_zero_too(void **state)
{
	(void)state;
	assert_true(ev_time_floor_ms(1999999) == 1);
	assert_true(ev_time_floor_ms(0) == 0);
	assert_true(ev_time_floor_ms(-1) == -1);
	assert_true(ev_time_floor_ms(-1000000) == -1);
	assert_true(ev_time_floor_ms(-1000001) == -2);
}

static void counts_days_without_a_gap(void **state)
{
	int64_t expected = ev_time_days(1600, 1, 1);

	(void)state;
	assert_true(expected == -135140);
	for (int64_t year = 1600; year < 2400; year++) {
		for (unsigned month = 1; month <= 12; month++) {
			unsigned last = ev_time_days_in_month(year, month);

			for (unsigned day = 1; day <= last; day++)
				assert_true(ev_time_days(year, month, day) == expected++);
		}
	}
}

static void knows_leap_years(void **state)
{
	(void)state;
	assert_int_equal(ev_time_days_in_month(2023, 2), 28);
	assert_int_equal(ev_time_days_in_month(2024, 2), 29);
	assert_int_equal(ev_time_days_in_month(1900, 2), 28);
	assert_int_equal(ev_time_days_in_month(2000, 2), 29);
	assert_int_equal(ev_time_days_in_month(-4, 2), 29);
	assert_int_equal(ev_time_days_in_month(2023, 12), 31);
	assert_int_equal(ev_time_days_in_month(2023, 4), 30);
}

/* Each text with the instant it means, in the form that ev_time_write gives it. */
static const struct {
	const char *text;
	const char *means;
} accepted[] = {
	{ "2023-06-13T10:15:30.123456789Z", "2023-06-13T10:15:30.123456789Z" },
	{ "2023-06-13T10:15Z", "2023-06-13T10:15:00Z" },
	{ "2023-06-13T10:15:30.100Z", "2023-06-13T10:15:30.1Z" },
	{ "2023-06-13T10:15:30.Z", "2023-06-13T10:15:30Z" },
	{ "2023-06-13T10:15:30.+01", "2023-06-13T09:15:30Z" },
	{ "2023-06-13T13:15:30+03:00", "2023-06-13T10:15:30Z" },
	{ "2023-06-13T13:15:30+03", "2023-06-13T10:15:30Z" },
	{ "2023-06-13T10:15+03", "2023-06-13T07:15:00Z" },
	{ "2023-06-13T23:15:30-03:30", "2023-06-14T02:45:30Z" },
	{ "2023-06-13T13:15:30+03:00:01", "2023-06-13T10:15:29Z" },
	{ "2023-06-13T13:15:30+18:00", "2023-06-12T19:15:30Z" },
	{ "2023-06-13T13:15:30-18:00:00", "2023-06-14T07:15:30Z" },
	{ "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z" },
	{ "+2023-06-13T10:15:30Z", "2023-06-13T10:15:30Z" },
	{ "+000002023-06-13T10:15:30Z", "2023-06-13T10:15:30Z" },
	/* The quirk: one character after the hours or minutes of an offset goes unseen. */
	{ "2023-06-13T13:15:30+03:00x", "2023-06-13T10:15:30Z" },
	{ "2023-06-13T13:15:30+03x", "2023-06-13T10:15:30Z" },
	{ "2023-06-13T13:15:30+03\xE2\x82\xAC", "2023-06-13T10:15:30Z" },
	/* The ends of what 64 bits of nanoseconds hold. */
	{ "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z" },
	{ "1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224192Z" },
};

static void accepts_what_the_original_accepts(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(accepted); i++) {
		int64_t ns;
		const char *why = "";

		if (ev_time_parse(ev_str_from(accepted[i].text), &ns, &why) != EV_OK)
			fail_msg("%s: %s", accepted[i].text, why);
		assert_time(ns, accepted[i].means);
	}
}

static const struct {
	const char *text;
	const char *error; /* "why at index n", as the original says it */
} refused[] = {
	{ "", "illegal offset date time at index 0" },
	{ "2023", "illegal offset date time at index 0" },
	{ "2023-06-13T10:15:30", "expected '.' or '+' or '-' or 'Z' at index 19" },
	{ "2023-06-13T10:15", "expected ':' or '+' or '-' or 'Z' at index 16" },
	{ "2023-23-03T10:15:30.123", "illegal month at index 6" },
	{ "2023-00-03T10:15:30.123", "illegal month at index 6" },
	{ "2023-06-13t10:15:30Z", "expected 'T' at index 10" },
	{ "2023-06-13T10:15:30z", "expected '.' or '+' or '-' or 'Z' at index 19" },
	{ "2023-06-13 10:15:30Z", "expected 'T' at index 10" },
	{ "2023-06-13T10:15:30+0300", "illegal offset date time at index 23" },
	{ "2023-06-13T10:15:30+3:00", "expected digit at index 21" },
	{ "2023-06-13T10:15:30+18:01", "illegal zone offset at index 25" },
	{ "2023-06-13T10:15:30+19", "illegal timezone offset hour at index 21" },
	{ "2023-06-13T10:15:30+03:60", "illegal timezone offset minute at index 24" },
	{ "2023-06-13T10:15:30+03:00:60", "illegal timezone offset second at index 27" },
	{ "2023-06-13T10:15:30+03:00:00x", "illegal offset date time at index 28" },
	{ "2023-06-13T10:15:30+03:00xy", "illegal offset date time at index 26" },
	{ "2023-06-13T10:15:30+03:", "illegal offset date time at index 23" },
	{ "2023-06-13T10:15:30.1234567891Z", "expected '+' or '-' or 'Z' at index 29" },
	{ "2023-06-13T10:15:30.12x", "expected digit or '+' or '-' or 'Z' at index 22" },
	{ "2023-06-13T24:00:00Z", "illegal hour at index 12" },
	{ "2023-06-13T10:60:00Z", "illegal minute at index 15" },
	{ "2023-06-13T10:15:60Z", "illegal second at index 18" },
	{ "2023-02-29T00:00:00Z", "illegal day at index 9" },
	{ "2023-04-31T00:00:00Z", "illegal day at index 9" },
	{ "2023-06-00T00:00:00Z", "illegal day at index 9" },
	{ "2023-06-13T10:15:30Z ", "illegal offset date time at index 20" },
	{ " 2023-06-13T10:15:30Z", "expected '-' or '+' or digit at index 0" },
	{ "20230613T101530Z", "expected '-' at index 4" },
	{ "2O23-06-13T10:15:30Z", "expected digit at index 1" },
	{ "-0000-06-13T10:15:30Z", "illegal year at index 4" },
	{ "+202-06-13T10:15:30Z", "expected digit at index 4" },
	{ "+2023x06-13T10:15:30Z", "expected '-' or digit at index 5" },
	{ "+1234567890-06-13T10:15:30Z", "expected '-' at index 10" },
	{ "+12345", "illegal offset date time at index 6" },
	/* Ours alone: what the original takes but 64 bits of nanoseconds do not. */
	{ "2262-04-11T23:47:16.854775808Z", "outside the years 1678 to 2261 at index 0" },
	{ "1677-09-21T00:12:43.145224191Z", "outside the years 1678 to 2261 at index 0" },
	{ "9999-12-31T23:59:59Z", "outside the years 1678 to 2261 at index 0" },
	{ "-999999999-01-01T00:00:00+18:00", "outside the years 1678 to 2261 at index 0" },
};

static void refuses_what_the_original_refuses_and_says_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(refused); i++) {
		int64_t ns = 42;
		const char *why = NULL;
		size_t at = 0;
		char error[100];

		if (ev_time_parse_at(ev_str_from(refused[i].text), &ns, &why, &at) != EV_INVALID)
			fail_msg("accepted '%s'", refused[i].text);
		assert_true(ns == 42);
		snprintf(error, sizeof(error), "%s at index %zu", why, at);
		assert_string_equal(error, refused[i].error);
	}
}

static void a_swallowed_character_beyond_the_basic_plane_is_two(void **state)
{
	int64_t ns;

	(void)state;
	assert_int_equal(ev_time_parse(EV_LIT("2023-06-13T13:15:30+03\xF0\x9F\x94\x8C"), &ns, NULL),
			 EV_INVALID);
}

/* Cut anywhere, the text is refused, or (after the seconds of an offset's minute) still whole. */
static void survives_every_truncation(void **state)
{
	static const char text[] = "+02023-06-13T10:15:30.123456789-03:30:15";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *exact = test_malloc(n + 1);
		int64_t ns = 42;
		ev_err e;

		memcpy(exact, text, n);
		e = ev_time_parse((struct ev_str){ exact, n }, &ns, NULL);
		assert_int_equal(e,
				 n == 34 || n == 37 || n == sizeof(text) - 1 ? EV_OK : EV_INVALID);
		test_free(exact);
	}
}

static void reads_back_what_it_writes(void **state)
{
	uint64_t x = 88172645463325252U;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char text[EV_TIME_TEXT];
		int64_t ns, back;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(&ns, &x, sizeof(ns));
		ev_time_text(ns, text);
		assert_int_equal(ev_time_parse(ev_str_from(text), &back, NULL), EV_OK);
		assert_true(back == ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_seconds_always_and_no_zero_at_the_end),
		cmocka_unit_test(floors_milliseconds_below_zero_too),
		cmocka_unit_test(counts_days_without_a_gap),
		cmocka_unit_test(knows_leap_years),
		cmocka_unit_test(accepts_what_the_original_accepts),
		cmocka_unit_test(refuses_what_the_original_refuses_and_says_where),
		cmocka_unit_test(a_swallowed_character_beyond_the_basic_plane_is_two),
		cmocka_unit_test(survives_every_truncation),
		cmocka_unit_test(reads_back_what_it_writes),
	};

	return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
