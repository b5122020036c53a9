#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

static void assert_text(const struct ev_buf *b, const char *want)
{
	assert_int_equal(b->len, strlen(want));
	assert_memory_equal(b->p, want, b->len);
}

static void fills_to_the_last_byte(void **state)
{
	char p[5];
	struct ev_buf b = ev_buf_over(p, sizeof(p));

	(void)state;
	ev_buf_z(&b, "abc");
	ev_buf_char(&b, 'd');
	ev_buf_char(&b, 'e');
	assert_false(b.overflow);
	assert_text(&b, "abcde");
}

static void writes_nothing_after_what_does_not_fit(void **state)
{
	char p[4] = "????";
	struct ev_buf b = ev_buf_over(p, 3);

	(void)state;
	ev_buf_z(&b, "ab");
	ev_buf_z(&b, "cd");
	ev_buf_char(&b, 'e');
	assert_true(b.overflow);
	assert_text(&b, "ab");
	assert_memory_equal(p, "ab??", 4);
}

static void takes_nothing_from_nowhere(void **state)
{
	struct ev_buf b = ev_buf_over(NULL, 0);

	(void)state;
	ev_buf_bytes(&b, NULL, 0);
	ev_buf_str_add(&b, (struct ev_str){ NULL, 0 });
	assert_false(b.overflow);
	assert_int_equal(b.len, 0);
	ev_buf_char(&b, 'x');
	assert_true(b.overflow);
}

static void writes_integers_to_their_bounds(void **state)
{
	char p[100];
	struct ev_buf b = ev_buf_over(p, sizeof(p));

	(void)state;
	ev_buf_u64(&b, 0);
	ev_buf_char(&b, ' ');
	ev_buf_u64(&b, UINT64_MAX);
	ev_buf_char(&b, ' ');
	ev_buf_i64(&b, INT64_MIN);
	ev_buf_char(&b, ' ');
	ev_buf_i64(&b, INT64_MAX);
	ev_buf_char(&b, ' ');
	ev_buf_i64(&b, -7);
	assert_text(&b, "0 18446744073709551615 -9223372036854775808 9223372036854775807 -7");
}

static void leaves_no_lone_sign(void **state)
{
	char p[2];
	struct ev_buf b = ev_buf_over(p, sizeof(p));

	(void)state;
	ev_buf_i64(&b, -10);
	assert_true(b.overflow);
	assert_int_equal(b.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_to_the_last_byte),
		cmocka_unit_test(writes_nothing_after_what_does_not_fit),
		cmocka_unit_test(takes_nothing_from_nowhere),
		cmocka_unit_test(writes_integers_to_their_bounds),
		cmocka_unit_test(leaves_no_lone_sign),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
