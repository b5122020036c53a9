/* The pull reader, with json-c as its oracle, and the record reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/json_field.h"
#include "codec/json_record.h"
#include "vectors.h"

static struct json_reader reader_over(const char *json, struct json_error *error)
{
	struct json_reader r;

	json_read_init(&r, ev_str_from(json), error);
	return r;
}

static ev_err skip_all(struct ev_str in)
{
	struct json_reader r;
	ev_err e;

	json_read_init(&r, in, NULL);
	e = json_skip(&r, NULL);
	return e == EV_OK ? json_read_end(&r) : e;
}

/*
 * Inside an array, since json-c wants a byte after a bare number or word.  It passes raw control
 * characters and overlong or surrogate UTF-8, which we refuse: they have tests of their own.
 */
static bool oracle_reads(struct ev_str in)
{
	struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH_MAX);
	struct json_object *o;
	char wrapped[256];
	int n = snprintf(wrapped, sizeof(wrapped), "[%.*s]", (int)in.n, in.p);
	bool ok;

	assert_in_range(n, 2, sizeof(wrapped) - 1);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, wrapped, n);
	ok = json_tokener_get_error(t) == json_tokener_success &&
	     json_tokener_get_parse_end(t) == (size_t)n;
	json_object_put(o);
	json_tokener_free(t);
	return ok;
}

static void agrees_with_another_reader(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"null",
		"true",
		"false",
		"\"\"",
		"\"a\"",
		"0",
		"-1",
		"1.5e3",
		"[1,2]",
		"{\"a\":{\"b\":[1,{\"c\":null}]}}",
		"\"\\u00e4\\n\\\"\\\\\\/\"",
		"\"\\ud83d\\udd0c\"",
		"\"ä🔌€\"",
		"nul",
		"nulL",
		"tru",
		"falsee",
		"{",
		"[",
		"\"",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{,}",
		"[,]",
		"[1 2]",
		"{\"a\" 1}",
		"{a:1}",
		"{1:1}",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\u12g4\"",
		"]",
		"}",
		",",
		":",
		"'a'",
		"[1}",
		"{\"a\":1]",
		"\"\xff\"",
		"\"\xc3\"",
		"\"12345678901234567890\"",
		"\"1234567\\n901234567890\"",
		"\"12345678\xc3\xa4\"",
		"[\"abcdefgh\",\"abcdefghi\"]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ev_str in = ev_str_from(texts[i]);

		if ((skip_all(in) == EV_OK) != oracle_reads(in))
			fail_msg("%s: oracle says %d", texts[i], oracle_reads(in));
	}
}

static void refuses_what_is_not_utf8(void **state)
{
	static const char *const texts[] = {
		"\"\xff\"",     "\"\x80\"",         "\"\xc3\"",
		"\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
		"\"\xe2\x82\"", "\"\xe2\x82\\n\"",  "\"12345678\xc3\"",
		"{\"\xff\":1}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(skip_all(ev_str_from(texts[i])), EV_INVALID);
}

/* A stop byte at each place of each length: the eight-byte scan has no blind spot. */
static void finds_every_byte_that_ends_a_string(void **state)
{
	static const char stops[] = { '\x01', '\x1f', '\x7f', ' ',    '!', '#',
				      '[',    ']',    '\xff', '\x80', '\n' };

	(void)state;
	for (size_t len = 1; len < 40; len++) {
		for (size_t at = 0; at < len; at++) {
			for (size_t k = 0; k < sizeof(stops); k++) {
				char *text = malloc(len + 2);
				bool bad = (unsigned char)stops[k] < 0x20 ||
					   (unsigned char)stops[k] >= 0x80;

				memset(text, 'x', len + 2);
				text[0] = text[len + 1] = '"';
				text[1 + at] = stops[k];
				assert_int_equal(skip_all((struct ev_str){ text, len + 2 }),
						 bad ? EV_INVALID : EV_OK);
				free(text);
			}
		}
	}
}

static void nests_to_the_limit_and_no_further(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 4];

	(void)state;
	for (size_t depth = 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(skip_all((struct ev_str){ text, 2 * depth }),
				 depth <= JSON_DEPTH_MAX ? EV_OK : EV_INVALID);
	}
	memset(text, '[', sizeof(text));
	assert_int_equal(skip_all((struct ev_str){ text, sizeof(text) }), EV_INVALID);
}

static void skips_a_value_and_gives_its_text(void **state)
{
	struct json_reader r = reader_over(" {\"a\" : [ 1 , {} ] } ,x", NULL);
	struct ev_str raw;

	(void)state;
	assert_int_equal(json_skip(&r, &raw), EV_OK);
	assert_true(ev_str_eqz(raw, "{\"a\" : [ 1 , {} ] }"));
	assert_int_equal(json_peek(&r), ',');
}

static void unescapes(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00e4\\u20AC\\ud83d\\udd0c\"", "Aä€🔌" },
		{ "\"\\ud83d\"", "?" },
		{ "\"\\ud83dx\"", "?x" },
		{ "\"\\udd0c\\ud83d\"", "??" },
		{ "\"\\ud83d\\ud83d\\udd0c\"", "?🔌" },
		{ "\"\\ud83d\\n\"", "?\n" },
		{ "\"\\uffff\\u0800\\u07ff\\u007f\"", "\xef\xbf\xbf\xe0\xa0\x80\xdf\xbf\x7f" },
		{ "\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_reader r = reader_over(cases[i].json, NULL);
		struct json_span span;
		char out[32];
		size_t n;

		assert_int_equal(json_read_string(&r, &span), EV_OK);
		assert_true(span.escaped);
		n = json_unescape(&span, out, sizeof(out));
		assert_true(ev_str_eqz((struct ev_str){ out, n }, cases[i].text));
		/* Cut at every length: never written past, always told in full. */
		for (size_t cap = 0; cap < n; cap++) {
			memset(out, '#', sizeof(out));
			assert_int_equal(json_unescape(&span, out, cap), n);
			assert_int_equal(out[cap], '#');
		}
	}
}

static void reads_uuids_as_the_original_does(void **state)
{
	static const struct {
		const char *text, *uuid; /* NULL: refused */
	} cases[] = {
		{ "86C911E2-bbf3-42c8-8925-f9d380c1f329", "86c911e2-bbf3-42c8-8925-f9d380c1f329" },
		{ "1-2-3-4-5", "00000001-0002-0003-0004-000000000005" },
		{ "0000000001-0002-00003-4-5", "00000001-0002-0003-0004-000000000005" },
		{ "ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff" },
		{ "100000000-2-3-4-5", NULL },
		{ "1-10000-3-4-5", NULL },
		{ "1-2-3-4-1000000000000", NULL },
		{ "1-2-3-4", NULL },
		{ "1-2-3-4-5-6", NULL },
		{ "-2-3-4-5", NULL },
		{ "1--3-4-5", NULL },
		{ "1-2-3-4-", NULL },
		{ "g-2-3-4-5", NULL },
		{ "", NULL },
		{ "00000000000000001-2-3-4-5", NULL },
		{ "86c911e2-bbf3-42c8-8925-f9d380c1f32g", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ev_uuid u;
		char text[EV_UUID_TEXT + 1];
		ev_err e = uuid_parse_lenient(ev_str_from(cases[i].text), &u);

		if ((e == EV_OK) != (cases[i].uuid != NULL))
			fail_msg("%s", cases[i].text);
		if (e != EV_OK)
			continue;
		ev_uuid_text(&u, text);
		assert_string_equal(text, cases[i].uuid);
	}
}

struct pair {
	double a;
	double b;
};

static const struct json_field pair_fields[] = {
	JSON_FIELD(struct pair, a, "a", json_field_double, JSON_REQUIRED),
	JSON_FIELD(struct pair, b, "bb", json_field_double, JSON_OPTIONAL | JSON_NULLABLE),
};

static ev_err read_pair(const char *json, struct pair *p, uint32_t *seen, struct json_error *error)
{
	struct json_reader r = reader_over(json, error);
	ev_err e = json_read_record(&r, pair_fields, 2, p, seen);

	return e == EV_OK ? json_require(&r, pair_fields, 2, *seen) : e;
}

static void record_reader_tells_what_was_given(void **state)
{
	static const struct {
		const char *json;
		uint32_t seen;
		const char *error; /* NULL: read */
	} cases[] = {
		{ "{\"a\":1,\"bb\":2}", 3, NULL },
		{ "{\"bb\":2,\"a\":1}", 3, NULL },
		{ "{\"a\":1}", 1, NULL },
		{ "{\"a\":1,\"bb\":null}", 1, NULL },
		{ "{\"\\u0061\":1,\"b\\u0062\":2}", 3, NULL },
		{ "{\"b\":[{}],\"a\":1,\"bbb\":\"x\",\"\":0}", 1, NULL },
		{ "{\"a\":null}", 0, ".a(expected a number, got n)" },
		{ "{\"bb\":1}", 0, ".a(missing)" },
		{ "{\"a\":1,\"bb\":nul}", 0, ".bb(expected 'null')" },
		{ "{\"a\":1,\"a\":2}", 0, "(duplicate)" },
		{ "{\"a\":1,\"\\u0061\":2}", 0, "(duplicate)" },
		{ "{\"a\":1,\"x\":@}", 0, "(unexpected '@')" },
		{ "{\"a\":1 \"bb\":2}", 0, "(expected ',' or '}' got '\"')" },
		{ "{1}", 0, "(expected string or '}' got '1')" },
		{ "{\"a\"1}", 0, "(expected ':' got '1')" },
		{ "{\"a\":1", 0, "Unexpected end of input" },
		{ "[]", 0, "(expected '{' got '[')" },
		{ "\xff", 0, "(expected '{' got '?')" },
		{ "€", 0, "(expected '{' got '€')" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair p = { .a = 0.0 };
		struct json_error error = { .text = "" };
		uint32_t seen = 0;
		ev_err e = read_pair(cases[i].json, &p, &seen, &error);

		assert_int_equal(e, cases[i].error == NULL ? EV_OK : EV_INVALID);
		if (e == EV_OK)
			assert_int_equal(seen, cases[i].seen);
		else
			assert_string_equal(error.text, cases[i].error);
		assert_int_equal(read_pair(cases[i].json, &p, &seen, NULL), e);
	}
}

static void error_tells_the_place(void **state)
{
	struct pair p;
	struct json_error error;
	uint32_t seen;

	(void)state;
	assert_int_equal(read_pair("{\"a\":1,\"bb\":x}", &p, &seen, &error), EV_INVALID);
	assert_int_equal(error.at, 12);
	assert_int_equal(read_pair("{\"a\":", &p, &seen, &error), EV_INVALID);
	assert_int_equal(error.at, 5);
}

static void long_keys_are_none_of_ours(void **state)
{
	char json[3000] = "{\"\\u0061";
	struct pair p;
	uint32_t seen;

	(void)state;
	for (size_t n = 0; n < 200; n++) {
		memset(json + 8, 'x', n);
		snprintf(json + 8 + n, sizeof(json) - 8 - n, "\":[],\"a\":1}");
		assert_int_equal(read_pair(json, &p, &seen, NULL), n == 0 ? EV_INVALID : EV_OK);
	}
}

static void reads_booleans_and_arrays(void **state)
{
	struct json_reader r = reader_over("[true, false ,null]", NULL);
	bool more, v = false, is_null = false;

	(void)state;
	assert_int_equal(json_read_array(&r), EV_OK);
	assert_int_equal(json_read_item(&r, &more), EV_OK);
	assert_true(more);
	assert_int_equal(json_read_bool(&r, &v), EV_OK);
	assert_true(v);
	assert_int_equal(json_read_item(&r, &more), EV_OK);
	assert_int_equal(json_read_bool(&r, &v), EV_OK);
	assert_false(v);
	assert_int_equal(json_read_item(&r, &more), EV_OK);
	assert_int_equal(json_read_null(&r, &is_null), EV_OK);
	assert_true(is_null);
	assert_int_equal(json_read_item(&r, &more), EV_OK);
	assert_false(more);
	assert_int_equal(json_read_end(&r), EV_OK);

	r = reader_over("1", NULL);
	assert_int_equal(json_read_bool(&r, &v), EV_INVALID);
	r = reader_over("truth", NULL);
	assert_int_equal(json_read_bool(&r, &v), EV_INVALID);
	r = reader_over("[] []", NULL);
	assert_int_equal(json_skip(&r, NULL), EV_OK);
	assert_int_equal(json_read_end(&r), EV_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_another_reader),
		cmocka_unit_test(refuses_what_is_not_utf8),
		cmocka_unit_test(finds_every_byte_that_ends_a_string),
		cmocka_unit_test(nests_to_the_limit_and_no_further),
		cmocka_unit_test(skips_a_value_and_gives_its_text),
		cmocka_unit_test(unescapes),
		cmocka_unit_test(reads_uuids_as_the_original_does),
		cmocka_unit_test(record_reader_tells_what_was_given),
		cmocka_unit_test(error_tells_the_place),
		cmocka_unit_test(long_keys_are_none_of_ours),
		cmocka_unit_test(reads_booleans_and_arrays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
