/* Charging events as protobuf, against vectors made by protoc. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"
#include "codec/event_proto.h"
#include "codec/proto_field.h"
#include "vectors.h"

static int64_t time_of(struct ev_str s)
{
	int64_t ns;

	assert_int_equal(ev_time_parse(s, &ns, NULL), EV_OK);
	return ns;
}

static struct ev_uuid uuid_of(struct ev_str s)
{
	struct ev_uuid u;

	assert_int_equal(ev_uuid_parse(s, &u), EV_OK);
	return u;
}

static struct event_wire wire_of(struct json_object *event)
{
	struct json_object *session = vector_get(event, "recentSession");
	struct event_wire w = { .outlet_id = uuid_of(vector_str(event, "outletId")) };

	assert_int_equal(initiator_parse(vector_str(event, "initiator"), &w.initiator), EV_OK);
	assert_int_equal(outlet_state_parse(vector_str(event, "outletState"), &w.state), EV_OK);
	w.has_session = vector_get(session, "sessionId") != NULL;
	if (w.has_session)
		w.session_id = uuid_of(vector_str(session, "sessionId"));
	assert_int_equal(rfid_tag_set(&w.tag, vector_str(session, "rfidTag")), EV_OK);
	w.period_start_ns = time_of(vector_str(session, "periodStart"));
	w.has_period_end = vector_get(session, "periodEnd") != NULL;
	if (w.has_period_end)
		w.period_end_ns = time_of(vector_str(session, "periodEnd"));
	w.power_kwh = json_object_get_double(vector_get(session, "powerConsumption"));
	return w;
}

static void assert_wire_equal(const struct event_wire *a, const struct event_wire *b)
{
	assert_int_equal(a->initiator, b->initiator);
	assert_true(ev_uuid_eq(&a->outlet_id, &b->outlet_id));
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->has_session, b->has_session);
	assert_true(ev_uuid_eq(&a->session_id, &b->session_id));
	assert_true(ev_str_eq(rfid_tag_str(&a->tag), rfid_tag_str(&b->tag)));
	assert_int_equal(a->period_start_ns, b->period_start_ns);
	assert_int_equal(a->has_period_end, b->has_period_end);
	assert_int_equal(a->period_end_ns, b->period_end_ns);
	assert_memory_equal(&a->power_kwh, &b->power_kwh, sizeof(a->power_kwh));
	assert_int_equal(a->has_event_id, b->has_event_id);
	assert_true(identity_eq(&a->event_id, &b->event_id));
	assert_int_equal(a->has_item, b->has_item);
	assert_true(identity_eq(&a->item_id, &b->item_id));
	assert_int_equal(a->item_mwh, b->item_mwh);
}

static void check_vector(struct json_object *c)
{
	struct json_object *decoded = vector_get(c, "decoded");
	struct event_wire want = wire_of(vector_get(c, "event"));
	struct event_wire got;
	struct charging_event event;
	enum reason why;
	unsigned char bytes[EVENT_PROTO_MAX];
	char out[EVENT_PROTO_MAX];
	size_t n = vector_unhex(vector_str(c, "protoHex"), bytes, sizeof(bytes));
	struct ev_str in = { (const char *)bytes, n };
	struct ev_buf b = ev_buf_over(out, sizeof(out));

	event_wire_encode(&want, &b);
	assert_int_equal(b.len, n);
	assert_memory_equal(b.p, bytes, n);
	assert_int_equal(event_wire_decode(in, &got, NULL), EV_OK);
	assert_wire_equal(&got, &want);

	assert_int_equal(event_proto_decode(in, &event, &why, NULL), EV_OK);
	assert_int_equal(event.period_start_ns,
			 time_of(vector_str(decoded, "periodStart_asDecodedByOriginal")));
	if (event.has_period_end)
		assert_int_equal(event.period_end_ns,
				 time_of(vector_str(decoded, "periodEnd_asDecodedByOriginal")));
}

static void every_vector_is_equal_to_the_byte(void **state)
{
	struct json_object *file = vectors_load("charging_events.json");

	(void)state;
	assert_int_equal(json_object_array_length(file), 14);
	for (size_t i = 0; i < json_object_array_length(file); i++)
		check_vector(json_object_array_get_idx(file, i));
	json_object_put(file);
}

static void every_edge_case_is_judged_as_expected(void **state)
{
	struct json_object *file = vectors_load("charging_events_edge.json");

	(void)state;
	assert_int_equal(json_object_array_length(file), 12);
	for (size_t i = 0; i < json_object_array_length(file); i++) {
		struct json_object *c = json_object_array_get_idx(file, i);
		unsigned char bytes[EVENT_PROTO_MAX];
		size_t n = vector_unhex(vector_str(c, "hex"), bytes, sizeof(bytes));
		bool accept = ev_str_starts(vector_str(c, "expect"), EV_LIT("accept"));
		struct charging_event event;
		enum reason why = REASON_NONE;
		const char *text = "";
		ev_err e = event_proto_decode((struct ev_str){ (const char *)bytes, n }, &event,
					      &why, &text);

		if ((e == EV_OK) != accept)
			fail_msg("%s: %s %s", vector_str(c, "name").p, ev_err_text(e), text);
		if (e != EV_OK) {
			assert_int_equal(why, REASON_UNDECODABLE);
			assert_true(strlen(text) > 0);
		}
	}
	json_object_put(file);
}

/* Valid until the next call. */
static struct ev_str edge_bytes(const char *name)
{
	static unsigned char bytes[EVENT_PROTO_MAX];
	struct json_object *file = vectors_load("charging_events_edge.json");
	size_t n = 0;

	for (size_t i = 0; i < json_object_array_length(file); i++) {
		struct json_object *c = json_object_array_get_idx(file, i);

		if (ev_str_eqz(vector_str(c, "name"), name))
			n = vector_unhex(vector_str(c, "hex"), bytes, sizeof(bytes));
	}
	json_object_put(file);
	assert_true(n > 0);
	return (struct ev_str){ (const char *)bytes, n };
}

static void split_session_is_merged(void **state)
{
	struct event_wire split, shuffled;

	(void)state;
	assert_int_equal(
		event_wire_decode(edge_bytes("recentSession_split_merge_ok"), &split, NULL), EV_OK);
	assert_int_equal(event_wire_decode(edge_bytes("fields_out_of_order_ok"), &shuffled, NULL),
			 EV_OK);
	assert_wire_equal(&split, &shuffled);
}

static struct event_wire full_wire(void);

/* The session in two pieces, cut between all of its fields, the later one first. */
static void numbers_of_every_piece_are_merged(void **state)
{
	struct event_wire w = full_wire(), back;
	char whole[EVENT_PROTO_MAX], cut[EVENT_PROTO_MAX];
	struct ev_buf b = ev_buf_over(whole, sizeof(whole));
	struct ev_str in, session, rest;
	struct proto_field f;
	size_t n_cuts = 0;

	(void)state;
	w.tag.n = 3; /* all lengths take one byte */
	event_wire_encode(&w, &b);
	in = ev_buf_str(&b);
	assert_int_equal(proto_count(in, 4, &session), 1);
	rest = session;
	while (rest.n > 0) {
		struct ev_buf c = ev_buf_over(cut, sizeof(cut));
		size_t n = session.n - rest.n;

		ev_buf_bytes(&c, in.p, (size_t)(session.p - in.p) - 2);
		ev_buf_char(&c, 0x22);
		ev_buf_char(&c, (char)rest.n);
		ev_buf_bytes(&c, rest.p, rest.n);
		ev_buf_char(&c, 0x22);
		ev_buf_char(&c, (char)n);
		ev_buf_bytes(&c, session.p, n);
		ev_buf_bytes(&c, session.p + session.n,
			     in.n - (size_t)(session.p + session.n - in.p));
		assert_int_equal(event_wire_decode(ev_buf_str(&c), &back, NULL), EV_OK);
		assert_wire_equal(&w, &back);
		assert_true(proto_field_next(&rest, &f));
		n_cuts++;
	}
	assert_int_equal(n_cuts, 5);
}

static struct event_wire full_wire(void)
{
	struct event_wire w = {
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = uuid_of(EV_LIT("86c911e2-bbf3-42c8-8925-f9d380c1f329")),
		.state = OUTLET_DEVICE_REQUESTS_CHARGING,
		.has_session = true,
		.session_id = uuid_of(EV_LIT("3f2b8c1e-7a4d-4e0b-9c55-0d1e2f3a4b5c")),
		.tag = { .n = RFID_TAG_MAX },
		.period_start_ns = -1,
		.has_period_end = true,
		.period_end_ns = INT64_MAX,
		.power_kwh = 1.5,
		.has_event_id = true,
		.event_id = { { 1, 2, 3 } },
		.has_item = true,
		.item_id = { { 0, 9 } },
		.item_mwh = EVENT_ENERGY_MAX_MWH,
	};

	memset(w.tag.s, 0, RFID_TAG_MAX); /* NULs are UTF-8 too */
	return w;
}

static void own_fields_and_extremes_survive(void **state)
{
	struct event_wire w = full_wire(), got;
	int64_t times[] = { 0, 1, -1, 999999999, -999999999, -EV_NS_PER_S, INT64_MAX, INT64_MIN };
	char out[EVENT_PROTO_MAX];

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(times); i++) {
		struct ev_buf b = ev_buf_over(out, sizeof(out));

		w.period_start_ns = times[i];
		event_wire_encode(&w, &b);
		assert_false(b.overflow);
		assert_int_equal(event_wire_decode(ev_buf_str(&b), &got, NULL), EV_OK);
		assert_wire_equal(&got, &w);
	}
}

static void refuses_every_truncation(void **state)
{
	struct event_wire w = full_wire(), got;
	char out[EVENT_PROTO_MAX];
	struct ev_buf b = ev_buf_over(out, sizeof(out));
	size_t accepted = 0;

	(void)state;
	event_wire_encode(&w, &b);
	for (size_t n = 0; n < b.len; n++) {
		char *exact = malloc(n + 1);

		memcpy(exact, out, n);
		accepted += event_wire_decode((struct ev_str){ exact, n }, &got, NULL) == EV_OK;
		free(exact);
	}
	assert_int_equal(accepted,
			 3); /* before eventId, itemId and itemEnergy, which may be absent */
}

static void writes_nothing_into_a_buffer_too_small(void **state)
{
	struct event_wire w = full_wire();
	char out[EVENT_PROTO_MAX];
	struct ev_buf b = ev_buf_over(out, sizeof(out));
	size_t need;

	(void)state;
	event_wire_encode(&w, &b);
	need = b.len;
	for (size_t cap = 0; cap < need; cap++) {
		b = ev_buf_over(out, cap);
		event_wire_encode(&w, &b);
		assert_true(b.overflow);
		assert_int_equal(b.len, 0);
	}
}

static void zero_energy_is_left_out_whatever_its_sign(void **state)
{
	struct event_wire w = full_wire();
	char a[EVENT_PROTO_MAX], c[EVENT_PROTO_MAX];
	struct ev_buf plus = ev_buf_over(a, sizeof(a)), minus = ev_buf_over(c, sizeof(c));

	(void)state;
	w.power_kwh = 0.0;
	event_wire_encode(&w, &plus);
	w.power_kwh = -0.0;
	event_wire_encode(&w, &minus);
	assert_true(ev_str_eq(ev_buf_str(&plus), ev_buf_str(&minus)));
}

static void refuses_energy_out_of_range(void **state)
{
	static const struct {
		double kwh;
		int64_t mwh; /* -1: refused */
	} cases[] = {
		{ 0.0, 0 },
		{ 0.3000000000000001, 300000 },
		{ 1e10, INT64_C(10000000000000000) },
		{ 1e12, INT64_C(1000000000000000000) },
		{ 1.2e12, -1 },
		{ -0.001, -1 },
		{ INFINITY, -1 },
		{ NAN, -1 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct event_wire w = full_wire();
		struct charging_event event;
		enum reason why = REASON_NONE;

		w.power_kwh = cases[i].kwh;
		if (cases[i].mwh < 0) {
			assert_int_equal(event_wire_to_core(&w, &event, &why), EV_INVALID);
			assert_int_equal(why, REASON_ENERGY_RANGE);
		} else {
			assert_int_equal(event_wire_to_core(&w, &event, &why), EV_OK);
			assert_int_equal(event.energy_mwh, cases[i].mwh);
		}
	}
}

static void cuts_times_to_the_millisecond(void **state)
{
	static const int64_t cases[][2] = {
		{ 0, 0 },
		{ 999999, 0 },
		{ 1000000, 1000000 },
		{ -1, -1000000 },
		{ -1000000, -1000000 },
		{ INT64_MAX, INT64_MAX - INT64_MAX % 1000000 },
		{ INT64_MIN, INT64_MIN },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct event_wire w = full_wire();
		struct charging_event event;
		enum reason why;

		w.period_start_ns = cases[i][0];
		assert_int_equal(event_wire_to_core(&w, &event, &why), EV_OK);
		assert_int_equal(event.period_start_ns, cases[i][1]);
	}
}

static void core_event_survives(void **state)
{
	struct event_wire w = full_wire();
	struct charging_event event, again;
	enum reason why;
	char out[EVENT_PROTO_MAX];
	struct ev_buf b = ev_buf_over(out, sizeof(out));

	(void)state;
	assert_int_equal(event_wire_to_core(&w, &event, &why), EV_OK);
	event_proto_encode(&event, &b);
	assert_int_equal(event_proto_decode(ev_buf_str(&b), &again, &why, NULL), EV_OK);
	assert_int_equal(again.energy_mwh, event.energy_mwh);
	assert_int_equal(again.period_start_ns, event.period_start_ns);
	assert_int_equal(again.period_end_ns, event.period_end_ns);
	assert_int_equal(again.item_mwh, event.item_mwh);
	assert_true(identity_eq(&again.event_id, &event.event_id));
}

/* Appends bytes to a valid event. */
static ev_err decode_with(const void *p, size_t n)
{
	static char record[EVENT_PROTO_READ_MAX + 64];
	struct event_wire w = full_wire();
	struct ev_buf b = ev_buf_over(record, sizeof(record));

	w.has_event_id = w.has_item = false;
	event_wire_encode(&w, &b);
	ev_buf_bytes(&b, p, n);
	assert_false(b.overflow);
	return event_wire_decode(ev_buf_str(&b), &w, NULL);
}

static void refuses_foreign_forms_of_our_own_fields(void **state)
{
	/* Field 100: key 0xa2 0x06; 101: 0xaa 0x06; 102: 0xb0 0x06. */
	static const char id16[] = "\xa2\x06\x10"
				   "0123456789abcdef",
			  id15[] = "\xa2\x06\x0f"
				   "0123456789abcde";
	static const char item15[] = "\xaa\x06\x0f"
				     "0123456789abcde";
	static const char minus[] = "\xb0\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";

	(void)state;
	assert_int_equal(decode_with(id16, sizeof(id16) - 1), EV_OK);
	assert_int_equal(decode_with(id15, sizeof(id15) - 1), EV_INVALID);
	assert_int_equal(decode_with(item15, sizeof(item15) - 1), EV_INVALID);
	assert_int_equal(decode_with(minus, sizeof(minus) - 1), EV_INVALID);
}

static void limits_what_a_record_may_hold(void **state)
{
	static char many[EVENT_PROTO_READ_MAX];
	struct event_wire w;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(many); i += 2)
		memcpy(many + i, "\x78\x01", 2); /* field 15, varint 1 */
	assert_int_equal(decode_with(many, 20), EV_OK);
	assert_int_equal(decode_with(many, 3000), EV_INVALID); /* more than the arena holds */
	memset(many, 0, sizeof(many));
	assert_int_equal(event_wire_decode((struct ev_str){ many, sizeof(many) }, &w, NULL),
			 EV_INVALID);
	/* One long unknown field is fine up to the limit of the arena. */
	memcpy(many, "\x7a\x80\x10", 3); /* field 15, 2048 bytes */
	assert_int_equal(decode_with(many, 3 + 2048), EV_OK);
}

static void refuses_tags_above_64_bytes(void **state)
{
	/* recentSession {rfidTag: 65 bytes} merges with the first. */
	char more[2 + 2 + 65] = { 0x22, 67, 0x12, 65 };

	(void)state;
	memset(more + 4, 'a', 65);
	assert_int_equal(decode_with(more, sizeof(more)), EV_INVALID);
	more[1] = 66;
	more[3] = 64;
	assert_int_equal(decode_with(more, sizeof(more) - 1), EV_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_is_equal_to_the_byte),
		cmocka_unit_test(every_edge_case_is_judged_as_expected),
		cmocka_unit_test(split_session_is_merged),
		cmocka_unit_test(numbers_of_every_piece_are_merged),
		cmocka_unit_test(own_fields_and_extremes_survive),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(writes_nothing_into_a_buffer_too_small),
		cmocka_unit_test(zero_energy_is_left_out_whatever_its_sign),
		cmocka_unit_test(refuses_energy_out_of_range),
		cmocka_unit_test(cuts_times_to_the_millisecond),
		cmocka_unit_test(core_event_survives),
		cmocka_unit_test(refuses_foreign_forms_of_our_own_fields),
		cmocka_unit_test(limits_what_a_record_may_hold),
		cmocka_unit_test(refuses_tags_above_64_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
