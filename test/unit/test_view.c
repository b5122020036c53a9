#include <json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "cli/view.h"

static void assert_cell(const char *json, const char *key, enum view_kind kind, const char *want)
{
	const struct view_column c = { "", key, kind };
	struct json_object *o = json_tokener_parse(json);
	char text[VIEW_CELL_MAX];

	assert_non_null(o);
	view_cell(o, &c, text);
	assert_string_equal(text, want);
	json_object_put(o);
}

static void shows_each_kind(void **state)
{
	(void)state;
	assert_cell("{\"a\":\"x\"}", "a", VIEW_TEXT, "x");
	assert_cell("{\"a\":1.2346}", "a", VIEW_KWH, "1.235 kWh");
	assert_cell("{\"a\":22000.0}", "a", VIEW_WATT, "22000 W");
	assert_cell("{\"a\":7}", "a", VIEW_NUMBER, "7");
	assert_cell("{\"a\":true}", "a", VIEW_BOOL, "yes");
	assert_cell("{\"a\":false}", "a", VIEW_BOOL, "");
	assert_cell("{\"a\":\"2026-01-02T03:04:05.678Z\"}", "a", VIEW_TIME, "2026-01-02 03:04:05");
	assert_cell("{\"a\":\"2026-01-02T03:04:05Z\"}", "a", VIEW_TIME, "2026-01-02 03:04:05");
	assert_cell("{\"a\":{\"b\":\"x\"}}", "a.b", VIEW_TEXT, "x");
}

static void shows_nothing_for_what_is_not_there(void **state)
{
	(void)state;
	assert_cell("{}", "a", VIEW_TEXT, "");
	assert_cell("{\"a\":null}", "a", VIEW_TEXT, "");
	assert_cell("{\"a\":1}", "a.b", VIEW_TEXT, "");
}

static void lets_no_control_character_through(void **state)
{
	(void)state;
	assert_cell("{\"a\":\"x\\u001b[2J\\ny\\u007f\\u009bz\\u0000q\"}", "a", VIEW_TEXT,
		    "x?[2J?y???z?q");
	assert_cell("{\"a\":\"stra\\u00dfe\"}", "a", VIEW_TEXT, "stra\u00dfe");
}

static void cuts_what_is_too_long_between_characters(void **state)
{
	const struct view_column c = { "", "a", VIEW_TEXT };
	struct json_object *o = json_object_new_object();
	char in[2 * VIEW_CELL_MAX + 2], out[VIEW_CELL_MAX];

	(void)state;
	in[0] = 'x';
	for (size_t i = 1; i + 1 < sizeof(in); i += 2)
		memcpy(in + i, "\u00e9", 2);
	in[sizeof(in) - 1] = '\0';
	json_object_object_add(o, "a", json_object_new_string(in));
	view_cell(o, &c, out);
	assert_int_equal(strlen(out), VIEW_CELL_MAX - 1);
	assert_int_equal((unsigned char)out[VIEW_CELL_MAX - 2], 0xA9);
	json_object_put(o);
}

static void prints_a_table_whose_columns_stand_under_their_titles(void **state)
{
	static const struct view_column columns[] = {
		{ "NAME", "name", VIEW_TEXT },
		{ "N", "n", VIEW_NUMBER },
		{ "LAST", "last", VIEW_TEXT },
	};
	struct json_object *items = json_tokener_parse(
		"[{\"name\":\"\\u00e9t\\u00e9-long\",\"n\":5,\"last\":\"z\"},"
		"{\"name\":\"b\",\"n\":123}]");
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	view_table(out, items, columns, EV_ARRAY_LEN(columns));
	view_fields(out, json_object_array_get_idx(items, 1), columns, EV_ARRAY_LEN(columns));
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, "NAME        N  LAST\n"
				  "\u00e9t\u00e9-long    5  z\n"
				  "b         123  \n"
				  "NAME  b\n"
				  "N     123\n");
	free(text);
	json_object_put(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_each_kind),
		cmocka_unit_test(shows_nothing_for_what_is_not_there),
		cmocka_unit_test(lets_no_control_character_through),
		cmocka_unit_test(cuts_what_is_too_long_between_characters),
		cmocka_unit_test(prints_a_table_whose_columns_stand_under_their_titles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
