/* test_base64.c — RFC 4648 section 10, and what is not base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"

static void the_rfc_s_vectors_go_both_ways(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xbf", "+/+/" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i][0]), got;
		char text[16];
		uint8_t bytes[16];
		struct ev_buf b = ev_buf_over(text, sizeof(text));

		ev_base64_write(&b, cases[i][0], n);
		assert_true(ev_str_eqz(ev_buf_str(&b), cases[i][1]));
		assert_int_equal(b.len, EV_BASE64_LEN(n));
		assert_int_equal(ev_base64_read(ev_buf_str(&b), bytes, n, &got), EV_OK);
		assert_int_equal(got, n);
		assert_memory_equal(bytes, cases[i][0], n);
		if (n > 0)
			assert_int_equal(ev_base64_read(ev_buf_str(&b), bytes, n - 1, &got),
					 EV_FULL);
	}
}

static void all_else_is_refused(void **state)
{
	static const char *const bad[] = { "Z",    "Zg",   "Zg=",      "Zh==",   "Zm9=",
					   "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9",
					   "Zm-_", "=Zg=", "Zg=v" };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		uint8_t bytes[16];
		size_t n = 77;

		if (ev_base64_read(ev_str_from(bad[i]), bytes, sizeof(bytes), &n) != EV_INVALID ||
		    n != 77)
			fail_msg("%s was read", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfc_s_vectors_go_both_ways),
		cmocka_unit_test(all_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
