#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"

static void compares_ascii_letters_without_case(void **state)
{
	(void)state;
	assert_true(ev_str_eq_nocase(EV_LIT("aZ09-_"), EV_LIT("Az09-_")));
	assert_true(ev_str_eq_nocase((struct ev_str){ NULL, 0 }, EV_LIT("")));
	assert_false(ev_str_eq_nocase(EV_LIT("ab"), EV_LIT("abc")));
	/* '@' and '`', '[' and '{' differ by the case bit alone and are no letters. */
	assert_false(ev_str_eq_nocase(EV_LIT("@["), EV_LIT("`{")));
	/* Bytes above ASCII are as they are: e-acute in both cases. */
	assert_false(ev_str_eq_nocase(EV_LIT("\xC3\x89"), EV_LIT("\xC3\xA9")));
}

static void knows_prefixes(void **state)
{
	(void)state;
	assert_true(ev_str_starts(EV_LIT("abc"), EV_LIT("ab")));
	assert_true(ev_str_starts(EV_LIT("abc"), EV_LIT("")));
	assert_true(ev_str_starts(EV_LIT("abc"), EV_LIT("abc")));
	assert_false(ev_str_starts(EV_LIT("ab"), EV_LIT("abc")));
	assert_false(ev_str_starts(EV_LIT("xabc"), EV_LIT("abc")));
}

static const struct {
	struct ev_str text;
	bool valid;
} utf8_cases[] = {
	{ { "", 0 }, true },
	{ { "plain\0text", 10 }, true },
	{ { "\xC2\x80", 2 }, true },
	{ { "\xDF\xBF", 2 }, true },
	{ { "\xE0\xA0\x80", 3 }, true },
	{ { "\xED\x9F\xBF", 3 }, true },
	{ { "\xEE\x80\x80", 3 }, true },
	{ { "\xEF\xBF\xBF", 3 }, true },
	{ { "\xF0\x90\x80\x80", 4 }, true },
	{ { "\xF4\x8F\xBF\xBF", 4 }, true },
	{ { "\x80", 1 }, false },             /* a continuation alone */
	{ { "\xC0\x80", 2 }, false },         /* overlong */
	{ { "\xC1\xBF", 2 }, false },         /* overlong */
	{ { "\xE0\x9F\xBF", 3 }, false },     /* overlong */
	{ { "\xF0\x8F\xBF\xBF", 4 }, false }, /* overlong */
	{ { "\xED\xA0\x80", 3 }, false },     /* first surrogate */
	{ { "\xED\xBF\xBF", 3 }, false },     /* last surrogate */
	{ { "\xF4\x90\x80\x80", 4 }, false }, /* U+110000 */
	{ { "\xF5\x80\x80\x80", 4 }, false },
	{ { "\xFF", 1 }, false },
	{ { "\xC2", 1 }, false },         /* cut */
	{ { "\xE2\x82", 2 }, false },     /* cut */
	{ { "\xF0\x9F\x98", 3 }, false }, /* cut */
	{ { "\xC2\x41", 2 }, false },     /* no continuation */
	{ { "\xE2\x82\x41", 3 }, false }, /* no continuation */
	{ { "ok\xC3", 3 }, false },
};

static void accepts_exactly_the_utf8_of_rfc_3629(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(utf8_cases); i++) {
		if (ev_utf8_valid(utf8_cases[i].text.p, utf8_cases[i].text.n) !=
		    utf8_cases[i].valid)
			fail_msg("case %zu", i);
	}
}

/* Every code point that may be encoded, and no surrogate. */
static void steps_over_every_code_point(void **state)
{
	(void)state;
	for (uint32_t c = 0x10000; c <= 0x10FFFF; c += 17) {
		char p[4] = { (char)(0xF0 | c >> 18), (char)(0x80 | (c >> 12 & 63)),
			      (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63)) };

		assert_int_equal(ev_utf8_next(p, 4), 4);
		assert_int_equal(ev_utf8_next(p, 3), 0);
	}
	for (uint32_t c = 0x800; c <= 0xFFFF; c++) {
		char p[3] = { (char)(0xE0 | c >> 12), (char)(0x80 | (c >> 6 & 63)),
			      (char)(0x80 | (c & 63)) };

		assert_int_equal(ev_utf8_next(p, 3), c >= 0xD800 && c <= 0xDFFF ? 0 : 3);
	}
}

static void names_every_error(void **state)
{
	(void)state;
	for (int e = 0; e < EV_ERR_COUNT; e++)
		assert_true(strlen(ev_err_text((ev_err)e)) > 0);
	assert_string_equal(ev_err_text(EV_CONFLICT), "changed meanwhile");
	assert_string_equal(ev_err_text(EV_ERR_COUNT), "unknown error");
}

static void fills_and_cuts_the_detail_of_a_failure(void **state)
{
	struct ev_fail fail = { .code = EV_OK };
	char longer[300];

	(void)state;
	assert_int_equal(ev_fail_set(NULL, EV_IO, 5, "nobody listens"), EV_IO);
	assert_int_equal(ev_fail_set(&fail, EV_BUSY, 7, "port %d", 80), EV_BUSY);
	assert_int_equal(fail.code, EV_BUSY);
	assert_int_equal(fail.sys, 7);
	assert_string_equal(fail.text, "port 80");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ev_fail_set(&fail, EV_IO, 0, "%s", longer), EV_IO);
	assert_int_equal(strlen(fail.text), sizeof(fail.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_ascii_letters_without_case),
		cmocka_unit_test(knows_prefixes),
		cmocka_unit_test(accepts_exactly_the_utf8_of_rfc_3629),
		cmocka_unit_test(steps_over_every_code_point),
		cmocka_unit_test(names_every_error),
		cmocka_unit_test(fills_and_cuts_the_detail_of_a_failure),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
