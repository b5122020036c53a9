#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/uuid.h"

#define TEXT "86c911e2-bbf3-42c8-8925-f9d380c1f329"

static void reads_any_case_and_writes_lower(void **state)
{
	struct ev_uuid u;
	char text[EV_UUID_TEXT + 1];

	(void)state;
	assert_int_equal(ev_uuid_parse(EV_LIT("86C911E2-BBF3-42c8-8925-F9D380C1F329"), &u), EV_OK);
	assert_int_equal(u.b[0], 0x86);
	assert_int_equal(u.b[15], 0x29);
	ev_uuid_text(&u, text);
	assert_string_equal(text, TEXT);
}

static void refuses_every_other_form(void **state)
{
	static const char *const bad[] = {
		"",
		"86c911e2-bbf3-42c8-8925-f9d380c1f32",
		"86c911e2-bbf3-42c8-8925-f9d380c1f3290",
		"86c911e2bbf342c88925f9d380c1f329",
		"86c911e2-bbf3-42c8-8925-f9d380c1f32g",
		"86c911e2-bbf3-42c8-8925+f9d380c1f329",
		"86c911e-2bbf3-42c8-8925-f9d380c1f329",
		"{6c911e2-bbf3-42c8-8925-f9d380c1f32}",
		"86c911e2-bbf3-42c8-8925-f9d380c1f3 9",
		"-6c911e2-bbf3-42c8-8925-f9d380c1f329",
	};
	struct ev_uuid u = { { 1 } };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		if (ev_uuid_parse(ev_str_from(bad[i]), &u) != EV_INVALID)
			fail_msg("accepted %s", bad[i]);
	}
	assert_int_equal(u.b[0], 1);
}

/* Each place of the text in turn: only its own kind of character passes. */
static void checks_every_place(void **state)
{
	(void)state;
	for (size_t at = 0; at < EV_UUID_TEXT; at++) {
		char text[] = TEXT;
		struct ev_uuid u;

		text[at] = text[at] == '-' ? '0' : '-';
		assert_int_equal(ev_uuid_parse(ev_str_from(text), &u), EV_INVALID);
	}
}

static void stamps_version_and_variant_alone(void **state)
{
	uint8_t ones[16], zeros[16] = { 0 };
	struct ev_uuid u;

	(void)state;
	memset(ones, 0xFF, sizeof(ones));
	u = ev_uuid_stamp(ones, 4);
	assert_int_equal(u.b[6], 0x4F);
	assert_int_equal(u.b[8], 0xBF);
	assert_int_equal(u.b[5], 0xFF);
	u = ev_uuid_stamp(zeros, 5);
	assert_int_equal(u.b[6], 0x50);
	assert_int_equal(u.b[8], 0x80);
	assert_int_equal(u.b[9], 0);
}

static void knows_the_nil(void **state)
{
	struct ev_uuid u = { { 0 } };

	(void)state;
	assert_true(ev_uuid_is_nil(&u));
	u.b[15] = 1;
	assert_false(ev_uuid_is_nil(&u));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_any_case_and_writes_lower),
		cmocka_unit_test(refuses_every_other_form),
		cmocka_unit_test(checks_every_place),
		cmocka_unit_test(stamps_version_and_variant_alone),
		cmocka_unit_test(knows_the_nil),
	};

	return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
