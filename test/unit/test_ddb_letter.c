/* test_ddb_letter.c — records of the dead-letter stream, the original's and ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ddb_letter.h"
#include "vectors.h"

static struct charging_event vector_event(void)
{
	struct charging_event e = {
		.initiator = INITIATOR_APP_BACKEND,
		.state = OUTLET_CHARGING,
		.has_session = true,
		.period_start_ns = INT64_C(1686651330123000000),
		.has_period_end = true,
		.period_end_ns = INT64_C(1686651330123000000),
	};

	assert_int_equal(
		ev_uuid_parse(EV_LIT("86c911e2-bbf3-42c8-8925-f9d380c1f329"), &e.outlet_id), EV_OK);
	assert_int_equal(
		ev_uuid_parse(EV_LIT("3f2b8c1e-7a4d-4e0b-9c55-0d1e2f3a4b5c"), &e.session_id),
		EV_OK);
	assert_int_equal(rfid_tag_set(&e.tag, EV_LIT("b7a0c9d2-1111-4222-8333-444455556666")),
			 EV_OK);
	return e;
}

static struct ev_str event_text(const struct charging_event *e)
{
	static char text[LETTER_DATA_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	letter_event_text(e, &b);
	assert_false(b.overflow);
	return ev_buf_str(&b);
}

static void an_event_is_told_as_scala_does(void **state)
{
	struct json_object *file = vectors_load("dead_letter.json");
	struct json_object *fields = vector_get(file, "fields");
	struct charging_event e = vector_event();

	(void)state;
	assert_true(ev_str_eq(event_text(&e), vector_str(fields, "data")));
	json_object_put(file);
}

static void java_s_times_and_numbers(void **state)
{
	static const struct {
		int64_t ns;
		int64_t mwh;
		const char *time;
		const char *number;
	} cases[] = {
		{ 0, 0, "1970-01-01T00:00Z", "0.0" },
		{ INT64_C(1000000000), 1234000, "1970-01-01T00:00:01Z", "1.234" },
		{ 500000000, 1000000, "1970-01-01T00:00:00.500Z", "1.0" },
		{ 123456000, 1, "1970-01-01T00:00:00.123456Z", "1.0E-6" },
		{ 120000010, INT64_C(10000000000000), "1970-01-01T00:00:00.120000010Z", "1.0E7" },
		{ INT64_C(60000000000), 100, "1970-01-01T00:01Z", "1.0E-4" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct charging_event e = { .period_start_ns = cases[i].ns,
					    .energy_mwh = cases[i].mwh };
		struct ev_str got = event_text(&e);
		char want[256];

		snprintf(want, sizeof(want),
			 "ChargingEvent(AppBackend,00000000-0000-0000-0000-000000000000,Available,"
			 "EventSession(None,,%s,None,%s))",
			 cases[i].time, cases[i].number);
		if (!ev_str_eqz(got, want))
			fail_msg("%.*s", (int)got.n, got.p);
	}
}

static void the_original_s_record_is_read(void **state)
{
	struct json_object *file = vectors_load("dead_letter.json");
	struct json_object *fields = vector_get(file, "fields");
	static struct letter_read l;
	static char room[LETTER_BYTES_MAX];

	(void)state;
	assert_int_equal(letter_parse(vector_str(file, "recordData"), &l, room), EV_OK);
	assert_false(l.ours);
	assert_true(ev_str_eqz(vector_str(fields, "partitionKey"), l.partition_key));
	assert_true(ev_str_eqz(vector_str(fields, "data"), l.data));
	assert_true(ev_str_eqz(vector_str(fields, "error"), l.error));
	json_object_put(file);
}

static struct letter full_letter(const struct charging_event *e, const char *bytes, size_t n)
{
	struct letter l = {
		.partition_key = EV_LIT("86c911e2-bbf3-42c8-8925-f9d380c1f329"),
		.event = e,
		.error = EV_LIT("outlet \"x\" is in the wrong state: ä"),
		.bytes = { bytes, n },
		.reason = REASON_UNKNOWN_SESSION,
		.at_ns = INT64_C(1686651330123456789),
	};

	memcpy(l.id.b, "0123456789abcdef", 16);
	return l;
}

static void ours_returns_with_its_bytes(void **state)
{
	static const char bytes[] = "\x0a\x00\xff{\"";
	static char json[LETTER_JSON_MAX], room[LETTER_BYTES_MAX];
	static struct letter_read got;
	struct charging_event e = vector_event();
	struct letter l = full_letter(&e, bytes, sizeof(bytes));
	struct ev_buf b = ev_buf_over(json, sizeof(json));
	struct json_object *o;

	(void)state;
	letter_write(&l, &b);
	assert_false(b.overflow);
	assert_int_equal(letter_parse(ev_buf_str(&b), &got, room), EV_OK);
	assert_true(got.ours);
	assert_true(ev_str_eqz(l.partition_key, got.partition_key));
	assert_true(ev_str_eqz(l.error, got.error));
	assert_true(ev_str_eqz(event_text(&e), got.data));
	assert_true(ev_str_eq(got.bytes, l.bytes));
	assert_int_equal(got.reason, l.reason);
	assert_int_equal(got.at_ns, l.at_ns);
	assert_true(identity_eq(&got.id, &l.id));
	/* The original's four texts first, in its order. */
	assert_memory_equal(json, "{\"partitionKey\":\"86c911e2", 25);
	json[b.len] = '\0';
	o = json_tokener_parse(json);
	assert_int_equal(json_object_object_length(o), 8);
	assert_true(ev_str_eqz(vector_str(o, "stackTrace"), ""));
	json_object_put(o);
}

static void the_largest_letter_fits_and_long_texts_are_cut(void **state)
{
	static char json[LETTER_JSON_MAX], room[LETTER_BYTES_MAX], bytes[LETTER_BYTES_MAX];
	static char text[4096];
	static struct letter_read got;
	struct charging_event e = vector_event();
	struct letter l = full_letter(&e, bytes, sizeof(bytes));
	struct ev_buf b = ev_buf_over(json, sizeof(json));

	(void)state;
	for (size_t i = 0; i + 2 <= sizeof(text); i += 2)
		memcpy(text + i, "ä", 2);
	text[0] = 'x';
	text[1] = '\x01';
	memset(e.tag.s, '\x01', RFID_TAG_MAX);
	e.tag.n = RFID_TAG_MAX;
	l.partition_key = (struct ev_str){ text + 1, sizeof(text) - 1 };
	l.error = (struct ev_str){ text + 1, sizeof(text) - 1 };
	letter_write(&l, &b);
	assert_false(b.overflow);
	assert_int_equal(letter_parse(ev_buf_str(&b), &got, room), EV_OK);
	assert_int_equal(got.bytes.n, LETTER_BYTES_MAX);
	assert_int_equal(strlen(got.error), LETTER_ERROR_MAX - 1); /* not half an ä */
}

static void a_long_text_of_theirs_is_cut_at_a_character(void **state)
{
	static char json[8192], room[LETTER_BYTES_MAX];
	static struct letter_read got;
	struct ev_buf b = ev_buf_over(json, sizeof(json));

	(void)state;
	ev_buf_z(&b, "{\"partitionKey\":\"\",\"data\":\"x");
	for (unsigned i = 0; i < 1000; i++)
		ev_buf_z(&b, "ä");
	ev_buf_z(&b, "\",\"error\":\"\",\"stackTrace\":\"\"}");
	assert_int_equal(letter_parse(ev_buf_str(&b), &got, room), EV_OK);
	assert_int_equal(strlen(got.data), LETTER_DATA_MAX - 1);
	assert_true(ev_utf8_valid(got.data, strlen(got.data)));
}

/* The four texts of the original, and room for more. */
#define THEIRS "{\"partitionKey\":\"\",\"data\":\"\",\"error\":\"\",\"stackTrace\":\"\""

static void records_of_another_form_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{\"partitionKey\":\"\",\"data\":\"\",\"error\":\"\"}",
		"{\"partitionKey\":\"\",\"data\":\"\",\"error\":\"\",\"stackTrace\":5}",
		THEIRS "} x",
		THEIRS ",\"bytes\":\"x\"}",
		THEIRS ",\"at\":\"x\"}",
		THEIRS ",\"identity\":\"x\"}",
		("{\"data\":\"\",\"data\":\"\""
		 ",\"error\":\"\",\"stackTrace\":\"\",\"partitionKey\":\"\"}"),
	};
	static char room[LETTER_BYTES_MAX];
	static struct letter_read got;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		if (letter_parse(ev_str_from(bad[i]), &got, room) != EV_INVALID)
			fail_msg("%s was read", bad[i]);
	}
	/* One of ours alone is none of ours. */
	assert_int_equal(letter_parse(EV_LIT("{\"partitionKey\":\"\",\"data\":\"\",\"error\":\"\","
					     "\"stackTrace\":\"\",\"reason\":\"NO_CABLE\"}"),
				      &got, room),
			 EV_OK);
	assert_false(got.ours);
}

static void every_reason_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < REASON_COUNT; i++)
		assert_int_equal(
			letter_reason_parse(ev_str_from(letter_reason_name((enum reason)i))), i);
	assert_int_equal(letter_reason_parse(EV_LIT("OF_A_LATER_VERSION")), REASON_UNDECODABLE);
}

static void records_cut_short_are_refused(void **state)
{
	static char json[LETTER_JSON_MAX], room[LETTER_BYTES_MAX];
	static struct letter_read got;
	struct charging_event e = vector_event();
	struct letter l = full_letter(&e, "\1\2\3\4", 4);
	struct ev_buf b = ev_buf_over(json, sizeof(json));

	(void)state;
	letter_write(&l, &b);
	for (size_t n = 0; n < b.len; n++) {
		char *copy = malloc(n + 1);

		memcpy(copy, json, n);
		assert_int_equal(letter_parse((struct ev_str){ copy, n }, &got, room), EV_INVALID);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_told_as_scala_does),
		cmocka_unit_test(java_s_times_and_numbers),
		cmocka_unit_test(the_original_s_record_is_read),
		cmocka_unit_test(ours_returns_with_its_bytes),
		cmocka_unit_test(the_largest_letter_fits_and_long_texts_are_cut),
		cmocka_unit_test(a_long_text_of_theirs_is_cut_at_a_character),
		cmocka_unit_test(records_of_another_form_are_refused),
		cmocka_unit_test(every_reason_has_a_name),
		cmocka_unit_test(records_cut_short_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
