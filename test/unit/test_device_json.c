/* Device messages and the frames of the device WebSocket. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/time.h"
#include "codec/device_json.h"
#include "vectors.h"

#define ID "86c911e2-bbf3-42c8-8925-f9d380c1f329"
#define HEAD                                                                                       \
	"{\"outletId\":\"" ID "\",\"rfidTag\":\"tag\",\"periodStart\":\"2023-06-13T10:15:30Z\","
#define END "\"periodEnd\":\"2023-06-13T10:30:30.5Z\","
#define TAIL END "\"outletStateChange\":\"Charging\",\"powerConsumption\":"
#define MESSAGE HEAD TAIL "1.234}"

static struct device_wire decoded(const char *json)
{
	struct device_wire w;
	struct json_error error = { .text = "" };

	if (device_json_decode(ev_str_from(json), &w, &error) != EV_OK)
		fail_msg("%s: %s", json, error.text);
	return w;
}

static void assert_refused(const char *json, const char *text)
{
	struct device_wire w = { .power_kwh = 42.0 };
	struct json_error error = { .text = "" };

	if (device_json_decode(ev_str_from(json), &w, &error) != EV_INVALID)
		fail_msg("accepted: %s", json);
	assert_string_equal(error.text, text);
	assert_true(w.power_kwh > 41.0); /* untouched */
	assert_int_equal(device_json_decode(ev_str_from(json), &w, NULL), EV_INVALID);
}

static void assert_buf(const struct ev_buf *b, const char *expected)
{
	assert_false(b->overflow);
	assert_int_equal(b->len, strlen(expected));
	assert_memory_equal(b->p, expected, b->len);
}

/* The date after `key` in a re-encoding, turned into UTC in place of its offset. */
static void utc_date(struct ev_buf *out, const char **at, const char *key)
{
	const char *from = strstr(*at, key);
	const char *end;
	int64_t ns;

	assert_non_null(from);
	from += strlen(key);
	end = strchr(from, '"');
	assert_non_null(end);
	assert_int_equal(ev_time_parse((struct ev_str){ from, (size_t)(end - from) }, &ns, NULL),
			 EV_OK);
	ev_buf_bytes(out, *at, (size_t)(from - *at));
	ev_time_write(out, ns);
	*at = end;
}

static void check_reencoded(const char *name, const struct device_wire *w, const char *expected)
{
	char want[DEVICE_JSON_MAX], got[DEVICE_JSON_MAX];
	struct ev_buf want_buf = ev_buf_over(want, sizeof(want));
	struct ev_buf got_buf = ev_buf_over(got, sizeof(got));

	utc_date(&want_buf, &expected, "\"periodStart\":\"");
	utc_date(&want_buf, &expected, "\"periodEnd\":\"");
	ev_buf_z(&want_buf, expected);
	device_wire_encode(w, &got_buf);
	assert_false(want_buf.overflow || got_buf.overflow);
	if (!ev_str_eq(ev_buf_str(&want_buf), ev_buf_str(&got_buf)))
		fail_msg("%s: %.*s", name, (int)got_buf.len, got);
}

static void every_vector_is_judged_as_by_the_original(void **state)
{
	struct json_object *file = vectors_load("outlet_device_messages.json");
	struct json_object *cases = vector_get(file, "cases");
	size_t n = json_object_array_length(cases);

	(void)state;
	assert_int_equal(n, 80);
	for (size_t i = 0; i < n; i++) {
		struct json_object *c = json_object_array_get_idx(cases, i);
		const char *name = vector_str(c, "name").p;
		bool accepted = ev_str_eqz(vector_str(c, "original"), "accept");
		struct json_error error = { .text = "" };
		struct device_wire w;
		ev_err e = device_json_decode(vector_str(c, "json"), &w, &error);

		if ((e == EV_OK) != accepted)
			fail_msg("%s: %s", name, e == EV_OK ? "accepted" : error.text);
		if (accepted)
			check_reencoded(name, &w, vector_str(c, "reencoded").p);
		else if (vector_get(c, "error") != NULL &&
			 strcmp(vector_str(c, "error").p, error.text) != 0)
			fail_msg("%s: %s", name, error.text);
	}
	json_object_put(file);
}

static void reads_every_field(void **state)
{
	struct device_wire w = decoded(HEAD TAIL "1.234,\"messageId\":\"m-1\"}");

	(void)state;
	assert_int_equal(w.m.outlet_id.b[0], 0x86);
	assert_int_equal(w.m.outlet_id.b[15], 0x29);
	assert_true(ev_str_eqz(rfid_tag_str(&w.m.tag), "tag"));
	assert_int_equal(w.m.period_start_ns, INT64_C(1686651330) * EV_NS_PER_S);
	assert_int_equal(w.m.period_end_ns, INT64_C(1686652230500) * EV_NS_PER_MS);
	assert_int_equal(w.m.change, OUTLET_CHARGING);
	assert_int_equal(w.m.energy_mwh, 0);
	assert_int_equal(w.m.message_id.n, 3);
	assert_memory_equal(w.m.message_id.s, "m-1", 3);
}

/* A prefix of a message is never a message, and never read past: it is a block of its own size. */
static void refuses_every_truncation(void **state)
{
	struct json_object *file = vectors_load("outlet_device_messages.json");
	struct json_object *cases = vector_get(file, "cases");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(cases); i++) {
		struct json_object *c = json_object_array_get_idx(cases, i);
		struct ev_str json = vector_str(c, "json");
		const char *close = memchr(json.p, '}', json.n);
		struct device_wire w;

		if (!ev_str_eqz(vector_str(c, "original"), "accept") ||
		    ev_str_eqz(vector_str(c, "name"), "unknown_key_ignored"))
			continue;
		for (size_t n = 0; n <= (size_t)(close - json.p); n++) {
			char *exact = malloc(n + 1);

			memcpy(exact, json.p, n);
			assert_int_equal(device_json_decode((struct ev_str){ exact, n }, &w, NULL),
					 EV_INVALID);
			free(exact);
		}
	}
	json_object_put(file);
}

static const struct {
	const char *key, *value;
} members[] = {
	{ "outletId", "\"" ID "\"" },
	{ "rfidTag", "\"tag\"" },
	{ "periodStart", "\"2023-06-13T10:15:30Z\"" },
	{ "periodEnd", "\"2023-06-13T10:30:30Z\"" },
	{ "outletStateChange", "\"Charging\"" },
	{ "powerConsumption", "1.234" },
};
#define N_MEMBERS EV_ARRAY_LEN(members)

/* The message with member `which` given `times` times, as `value` (NULL: its own). */
static const char *message_with(size_t which, unsigned times, const char *value)
{
	static char text[2048];
	struct ev_buf b = ev_buf_over(text, sizeof(text) - 1);

	ev_buf_char(&b, '{');
	for (size_t i = 0; i < N_MEMBERS; i++) {
		for (unsigned k = i == which ? times : 1; k > 0; k--) {
			if (b.len > 1)
				ev_buf_char(&b, ',');
			ev_buf_char(&b, '"');
			ev_buf_z(&b, members[i].key);
			ev_buf_z(&b, "\":");
			ev_buf_z(&b, i == which && value != NULL ? value : members[i].value);
		}
	}
	ev_buf_char(&b, '}');
	assert_false(b.overflow);
	text[b.len] = '\0';
	return text;
}

static void refuses_each_field_missing_or_doubled(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_MEMBERS; i++) {
		char text[64];

		(void)decoded(message_with(i, 1, NULL));
		snprintf(text, sizeof(text), ".%s(missing)", members[i].key);
		assert_refused(message_with(i, 0, NULL), text);
		assert_refused(message_with(i, 2, NULL), "(duplicate)");
	}
}

static void refuses_each_field_of_another_type(void **state)
{
	static const char *const wrong[] = { "null", "true", "[]", "{}", "5", "\"x\"" };

	(void)state;
	for (size_t i = 0; i < N_MEMBERS; i++) {
		for (size_t k = 0; k < EV_ARRAY_LEN(wrong); k++) {
			struct device_wire w;
			const char *json = message_with(i, 1, wrong[k]);
			bool a_tag = i == 1 && k == 5;    /* "x" */
			bool a_number = i == 5 && k == 4; /* 5 */

			assert_int_equal(device_json_decode(ev_str_from(json), &w, NULL),
					 a_tag || a_number ? EV_OK : EV_INVALID);
		}
	}
}

static void limits_tag_and_message_id(void **state)
{
	char c64[65], json[1024];
	struct device_wire w;

	(void)state;
	memset(c64, 'a', 64);
	c64[64] = '\0';
	snprintf(json, sizeof(json), "\"%s\"", c64);
	w = decoded(message_with(1, 1, json));
	assert_int_equal(w.m.tag.n, 64);
	snprintf(json, sizeof(json), "\"%sa\"", c64);
	assert_refused(message_with(1, 1, json), ".rfidTag(longer than 64 bytes)");
	snprintf(json, sizeof(json), "\"%s\\u00e4\"", c64 + 1); /* 65 bytes, the last two escaped */
	assert_refused(message_with(1, 1, json), ".rfidTag(longer than 64 bytes)");
	snprintf(json, sizeof(json), "\"%s\\u00e4\"", c64 + 2);
	w = decoded(message_with(1, 1, json));
	assert_int_equal(w.m.tag.n, 64);

	snprintf(json, sizeof(json), HEAD TAIL "1,\"messageId\":\"%s\"}", c64);
	w = decoded(json);
	assert_int_equal(w.m.message_id.n, 64);
	snprintf(json, sizeof(json), HEAD TAIL "1,\"messageId\":\"%sa\"}", c64);
	assert_refused(json, ".messageId(must be of 1 to 64 bytes)");
	assert_refused(HEAD TAIL "1,\"messageId\":\"\"}", ".messageId(must be of 1 to 64 bytes)");
	assert_refused(HEAD TAIL "1,\"messageId\":7}", ".messageId(expected '\"' got '7')");
	w = decoded(HEAD TAIL "1,\"messageId\":null}");
	assert_int_equal(w.m.message_id.n, 0);
	assert_refused(HEAD TAIL "1,\"messageId\":null,\"messageId\":\"a\"}", "(duplicate)");
}

static void reads_absurd_numbers_as_the_original_does(void **state)
{
	static const struct {
		const char *json;
		double kwh; /* NAN: refused */
	} cases[] = {
		{ "1e308", 1e308 },
		{ "1e309", INFINITY },
		{ "-1e2147483647", -INFINITY },
		{ "1e-2147483647", 0.0 },
		{ "1.5e-2147483647", NAN },
		{ "1e2147483648", NAN },
		{ "1e99999999999999999999", NAN },
		{ "4.9e-324", 4.9e-324 },
		{ "1e-400", 0.0 },
		{ "0.1e1", 1.0 },
		{ "-.5", -0.5 },
		{ "-.", 0.0 },
		{ "1.", 1.0 },
		{ "0e0", 0.0 },
		{ "00000000000000000000000000000000000000000000000000000001.5", 1.5 },
		{ "0.000000000000000000000000000000000000000000000000000000015e56", 1.5 },
		{ "9007199254740993", 9007199254740992.0 },
		{ "123456789012345678901234567890", 123456789012345678901234567890.0 },
		{ "170141183460469231731687303715884105727", 0x1p127 },
		{ "170141183460469231731687303715884105728", NAN },
		{ "440737095516150000000000899999999999999", NAN },
		{ "44073709551615.0000000000899999999999999", NAN },
		{ "1.0000000000000000000000000000000000000", 1.0 },
		{ "3.0000000000000000000000000000000000000000", NAN },
		{ "1e", NAN },
		{ "1e+", NAN },
		{ "-", NAN },
		{ "--1", NAN },
		{ "0x10", NAN },
		{ "1 2", NAN },
		{ "-Inf", NAN },
		{ "\" 2.5\"", 2.5 },
		{ "\"\"", NAN },
		{ "\"1", NAN },
		{ "\"1\"2", NAN },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct device_wire w;
		const char *json = message_with(5, 1, cases[i].json);
		ev_err e = device_json_decode(ev_str_from(json), &w, NULL);

		if ((e == EV_OK) == isnan(cases[i].kwh))
			fail_msg("%s: %s", cases[i].json, ev_err_text(e));
		if (e == EV_OK && (w.power_kwh < cases[i].kwh || w.power_kwh > cases[i].kwh))
			fail_msg("%s: %.17g", cases[i].json, w.power_kwh);
	}
}

static void refuses_dates_outside_of_time(void **state)
{
	static const char *const dates[] = {
		"1677-09-21T00:12:43Z",
		"2262-04-11T23:47:17Z",
		"+999999999-12-31T23:59:59Z",
		"-0001-01-01T00:00:00Z",
		"0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59Z",
		"2023-00-01T00:00:00Z",
		"2023-01-00T00:00:00Z",
		"2023-01-32T00:00:00Z",
		"2023-01-01T00:60:00Z",
		"",
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(dates); i++) {
		char value[64];
		struct device_wire w;
		struct json_error error = { .text = "" };

		snprintf(value, sizeof(value), "\"%s\"", dates[i]);
		if (device_json_decode(ev_str_from(message_with(2, 1, value)), &w, &error) == EV_OK)
			fail_msg("accepted %s", dates[i]);
		assert_memory_equal(error.text, ".periodStart(", 13);
	}
	(void)decoded(message_with(2, 1, "\"1677-09-21T00:12:44Z\""));
	(void)decoded(message_with(3, 1, "\"2262-04-11T23:47:16.8Z\""));
}

static void keeps_error_texts_within_bounds(void **state)
{
	char value[4096];
	struct device_wire w;

	(void)state;
	for (size_t n = 1; n < 1000; n += 7) {
		struct json_error error;
		size_t at = 0;

		value[at++] = '"';
		for (size_t i = 0; i < n; i++) {
			memcpy(value + at, "\xe2\x82\xac", 3); /* € */
			at += 3;
		}
		memcpy(value + at, "\"", 2);
		for (size_t field = 0; field < N_MEMBERS; field++) {
			char json[6000];

			if (field == 1)
				continue;
			snprintf(json, sizeof(json), "{\"%s\":%s}", members[field].key, value);
			assert_int_equal(device_json_decode(ev_str_from(json), &w, &error),
					 EV_INVALID);
			assert_true(memchr(error.text, '\0', sizeof(error.text)) != NULL);
			assert_true(ev_utf8_valid(error.text, strlen(error.text)));
		}
	}
}

static void checks_the_energy(void **state)
{
	static const struct {
		double kwh;
		int64_t mwh; /* -1: refused */
	} cases[] = {
		{ 0.0, 0 },
		{ -0.0, 0 },
		{ 1.234, 1234000 },
		{ 0.0000004, 0 },
		{ 0.0000005, 1 },
		{ 100000.0, MESSAGE_ENERGY_MAX_MWH },
		{ 100000.000001, -1 },
		{ -0.000001, -1 },
		{ INFINITY, -1 },
		{ -INFINITY, -1 },
		{ NAN, -1 },
		{ 1e308, -1 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct device_wire w = decoded(MESSAGE);
		struct device_message m;
		enum reason why = REASON_NONE;

		w.power_kwh = cases[i].kwh;
		if (cases[i].mwh < 0) {
			assert_int_equal(device_wire_check(&w, &m, &why), EV_INVALID);
			assert_int_equal(why, REASON_ENERGY_RANGE);
		} else {
			assert_int_equal(device_wire_check(&w, &m, &why), EV_OK);
			assert_int_equal(m.energy_mwh, cases[i].mwh);
			assert_true(ev_uuid_eq(&m.outlet_id, &w.m.outlet_id));
		}
	}
}

static void canonical_form_knows_neither_order_nor_offset_nor_id(void **state)
{
	static const char other[] = " { \"messageId\":\"a\", \"powerConsumption\": \"1.2340\","
				    "\"rfidTag\": \"t\\u0061g\", \"unknown\":[{}],"
				    "\"outletId\":\"86C911E2-BBF3-42C8-8925-F9D380C1F329\","
				    "\"outletStateChange\":\"Charging\","
				    "\"periodEnd\":\"2023-06-13T13:30:30.500+03:00\","
				    "\"periodStart\":\"2023-06-13T10:15Z\"}";
	char a[DEVICE_JSON_MAX];
	struct ev_buf buf = ev_buf_over(a, sizeof(a));
	struct device_wire w = decoded(MESSAGE), v = decoded(other);

	(void)state;
	device_canonical(&w, &buf);
	assert_buf(&buf, MESSAGE);
	v.m.period_start_ns = w.m.period_start_ns; /* 30 s apart in these two */
	buf = ev_buf_over(a, sizeof(a));
	device_canonical(&v, &buf);
	assert_buf(&buf, MESSAGE);
}

static void writes_the_message_id_last(void **state)
{
	char text[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct device_wire w = decoded(HEAD TAIL "1.234,\"messageId\":\"m\\n\"}");
	struct device_message m;
	enum reason why;

	(void)state;
	device_wire_encode(&w, &b);
	assert_buf(&b, HEAD TAIL "1.234,\"messageId\":\"m\\n\"}");
	assert_int_equal(device_wire_check(&w, &m, &why), EV_OK);
	b = ev_buf_over(text, sizeof(text));
	device_json_encode(&m, &b);
	assert_buf(&b, HEAD TAIL "1.234,\"messageId\":\"m\\n\"}");
}

static void writes_a_command(void **state)
{
	struct device_wire w = decoded(MESSAGE);
	struct device_command c = {
		.outlet_id = w.m.outlet_id,
		.version = 0x18b5f,
		.index = 2,
		.change = OUTLET_APP_REQUESTS_STOP,
		.tag = w.m.tag,
		.period_start_ns = w.m.period_start_ns,
		.period_end_ns = w.m.period_end_ns,
		.energy_mwh = 500000,
	};
	char text[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	(void)state;
	device_command_encode(&c, &b);
	assert_buf(&b, HEAD "\"periodEnd\":\"2023-06-13T10:30:30.5Z\",\"outletStateChange\":"
			    "\"AppRequestsStop\",\"powerConsumption\":0.5,"
			    "\"messageId\":\"0000000000018b5f-2\"}");
}

static void longest_message_fits_its_bound(void **state)
{
	struct device_wire w = decoded(MESSAGE);
	char text[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	(void)state;
	w.m.tag.n = RFID_TAG_MAX;
	memset(w.m.tag.s, 1, RFID_TAG_MAX);
	w.m.message_id.n = MESSAGE_ID_MAX;
	memset(w.m.message_id.s, 1, MESSAGE_ID_MAX);
	w.m.change = OUTLET_DEVICE_REQUESTS_CHARGING;
	w.m.period_start_ns = INT64_MIN + 1;
	w.m.period_end_ns = INT64_MAX;
	w.power_kwh = -1.2345678901234567e-300;
	device_wire_encode(&w, &b);
	assert_false(b.overflow);
	for (size_t cap = 0; cap < b.len; cap++) {
		struct ev_buf small = ev_buf_over(text, cap);

		device_wire_encode(&w, &small);
		assert_true(small.overflow);
	}
}

static void splits_a_batch_into_raw_messages(void **state)
{
	static const struct {
		const char *body;
		size_t n;
		const char *items[3];
	} cases[] = {
		{ "[]", 0, { NULL } },
		{ " [ {\"a\":[1,2]} , 5,\"x\\\"]\" ] ", 3, { "{\"a\":[1,2]}", "5", "\"x\\\"]\"" } },
		{ "{\"a\":1}", 1, { "{\"a\":1}" } },
		{ "garbage", 1, { "garbage" } },
		{ "", 1, { "" } },
	};
	struct ev_str items[DEVICE_BATCH_MAX];
	size_t n;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		assert_int_equal(device_batch_split(ev_str_from(cases[i].body), items,
						    DEVICE_BATCH_MAX, &n, NULL),
				 EV_OK);
		assert_int_equal(n, cases[i].n);
		for (size_t k = 0; k < n; k++)
			assert_true(ev_str_eqz(items[k], cases[i].items[k]));
	}
}

static void refuses_broken_and_oversized_batches(void **state)
{
	static const char *const broken[] = { "[",   "[1",   "[1,",   "[1,]", "[1 2]",
					      "[{]", "[] x", "[\"\\", "[,1]" };
	struct ev_str items[DEVICE_BATCH_MAX];
	char body[2 * DEVICE_BATCH_MAX + 8] = "[";
	struct json_error error;
	size_t n = 77;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(broken); i++)
		assert_int_equal(device_batch_split(ev_str_from(broken[i]), items, DEVICE_BATCH_MAX,
						    &n, NULL),
				 EV_INVALID);
	for (size_t i = 0; i < DEVICE_BATCH_MAX; i++)
		memcpy(body + 1 + 2 * i, "1,", 2);
	memcpy(body + 2 * DEVICE_BATCH_MAX, "]", 2);
	assert_int_equal(device_batch_split(ev_str_from(body), items, DEVICE_BATCH_MAX, &n, NULL),
			 EV_OK);
	assert_int_equal(n, DEVICE_BATCH_MAX);
	n = 77;
	memcpy(body + 2 * DEVICE_BATCH_MAX, ",1]", 4);
	assert_int_equal(device_batch_split(ev_str_from(body), items, DEVICE_BATCH_MAX, &n, &error),
			 EV_FULL);
	assert_string_equal(error.text, "(too many messages)");
	assert_int_equal(n, 77);
}

static void tells_messages_from_acknowledgements(void **state)
{
	struct gateway_frame f;
	struct json_error error;
	struct message_id id = { .n = 0 };
	char text[128];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	(void)state;
	assert_int_equal(gateway_frame_decode(EV_LIT("{\"ack\":\"0000000000018b5f-2\"}"), &f, NULL),
			 EV_OK);
	assert_int_equal(f.kind, GATEWAY_FRAME_ACK);
	assert_int_equal(f.ack.n, 18);
	gateway_ack_encode(&f.ack, &b);
	assert_buf(&b, "{\"ack\":\"0000000000018b5f-2\"}");
	b = ev_buf_over(text, sizeof(text));
	gateway_ack_encode(&id, &b);
	assert_buf(&b, "{\"ack\":null}");

	assert_int_equal(gateway_frame_decode(EV_LIT(MESSAGE), &f, NULL), EV_OK);
	assert_int_equal(f.kind, GATEWAY_FRAME_MESSAGE);
	assert_int_equal(f.wire.m.change, OUTLET_CHARGING);
	assert_int_equal(gateway_frame_decode(EV_LIT("{\"ack\":\"\"}"), &f, &error), EV_INVALID);
	assert_int_equal(gateway_frame_decode(EV_LIT("{\"ack\":null}"), &f, &error), EV_INVALID);
	assert_int_equal(gateway_frame_decode(EV_LIT("{}"), &f, &error), EV_INVALID);
	assert_string_equal(error.text, ".outletId(missing)");
	assert_int_equal(gateway_frame_decode(EV_LIT("{\"ack\":\"a\",\"ack\":\"b\"}"), &f, &error),
			 EV_INVALID);
	assert_string_equal(error.text, "(duplicate)");
	assert_int_equal(
		gateway_frame_decode(EV_LIT("{\"ack\":\"a\",\"outletId\":\"" ID "\"}"), &f, &error),
		EV_INVALID);
	assert_string_equal(error.text, ".rfidTag(missing)");
}

static void writes_answers(void **state)
{
	struct gateway_answer a = { .verdict = VERDICT_APPLIED };
	char text[GATEWAY_ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	(void)state;
	gateway_answer_encode(&a, &b);
	assert_buf(&b,
		   "{\"ack\":null,\"verdict\":\"applied\",\"reason\":null,\"outletState\":null}");
	a = (struct gateway_answer){ .ack = { .n = 2, .s = "a\"" },
				     .verdict = VERDICT_REFUSED,
				     .reason = REASON_NO_CABLE,
				     .has_state = true,
				     .state = OUTLET_AVAILABLE };
	b = ev_buf_over(text, sizeof(text));
	gateway_answer_encode(&a, &b);
	assert_buf(&b,
		   "{\"ack\":\"a\\\"\",\"verdict\":\"refused\",\"reason\":\"no cable is plugged\","
		   "\"outletState\":\"Available\"}");
	snprintf(a.detail, sizeof(a.detail), ".rfidTag(expected '\"')");
	b = ev_buf_over(text, sizeof(text));
	gateway_answer_encode(&a, &b);
	assert_buf(&b,
		   "{\"ack\":\"a\\\"\",\"verdict\":\"refused\",\"reason\":\"no cable is plugged: "
		   ".rfidTag(expected '\\\"')\",\"outletState\":\"Available\"}");
	a.ack.n = MESSAGE_ID_MAX;
	memset(a.ack.s, 2, MESSAGE_ID_MAX);
	memset(a.detail, 2, GATEWAY_DETAIL_MAX);
	a.detail[GATEWAY_DETAIL_MAX] = '\0';
	for (int r = 0; r < REASON_COUNT; r++) {
		a.reason = (enum reason)r;
		b = ev_buf_over(text, sizeof(text));
		gateway_answer_encode(&a, &b);
		assert_false(b.overflow);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_is_judged_as_by_the_original),
		cmocka_unit_test(reads_every_field),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(refuses_each_field_missing_or_doubled),
		cmocka_unit_test(refuses_each_field_of_another_type),
		cmocka_unit_test(limits_tag_and_message_id),
		cmocka_unit_test(reads_absurd_numbers_as_the_original_does),
		cmocka_unit_test(refuses_dates_outside_of_time),
		cmocka_unit_test(keeps_error_texts_within_bounds),
		cmocka_unit_test(checks_the_energy),
		cmocka_unit_test(canonical_form_knows_neither_order_nor_offset_nor_id),
		cmocka_unit_test(writes_the_message_id_last),
		cmocka_unit_test(writes_a_command),
		cmocka_unit_test(longest_message_fits_its_bound),
		cmocka_unit_test(splits_a_batch_into_raw_messages),
		cmocka_unit_test(refuses_broken_and_oversized_batches),
		cmocka_unit_test(tells_messages_from_acknowledgements),
		cmocka_unit_test(writes_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
