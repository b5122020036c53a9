/* The JSON of HTTP answers: exact keys in exact order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codec/api_write.h"

#define ID "86c911e2-bbf3-42c8-8925-f9d380c1f329"
#define OTHER "3f2b8c1e-7a4d-4e0b-9c55-0d1e2f3a4b5c"
#define ID_01 "01000000000000000000000000000000"
#define ID_02 "02000000000000000000000000000000"
#define T0 INT64_C(1686651330123000000)
#define T0_TEXT "2023-06-13T10:15:30.123Z"

static char text[32768];
static struct ev_buf buf;

static struct json_writer fresh(void)
{
	buf = ev_buf_over(text, sizeof(text));
	return json_writer_over(&buf);
}

static void assert_written(const char *want)
{
	assert_false(buf.overflow);
	text[buf.len] = '\0';
	assert_string_equal(text, want);
}

static struct ev_uuid uuid_of(const char *z)
{
	struct ev_uuid u;

	assert_int_equal(ev_uuid_parse(ev_str_from(z), &u), EV_OK);
	return u;
}

static struct rfid_tag tag_of(const char *z)
{
	struct rfid_tag t;

	assert_int_equal(rfid_tag_set(&t, ev_str_from(z)), EV_OK);
	return t;
}

static void outlets_show_all_or_what_the_original_shows(void **state)
{
	struct outlet o = {
		.id = uuid_of(ID),
		.state = OUTLET_AVAILABLE,
		.start_ns = T0,
		.max_power_mw = 22000000,
	};
	struct outlet_info info = { .group_id = uuid_of(OTHER), .code = "A1", .address = "S\"1" };
	struct json_writer w = fresh();

	(void)state;
	api_write_outlet_created(&w, &o, &info);
	assert_written(
		"{\"outletId\":\"" ID "\",\"chargerGroupId\":\"" OTHER "\",\"outletCode\":\"A1\","
		"\"address\":\"S\\\"1\",\"maxPower\":22000.0,\"outletState\":\"Available\"}");
	w = fresh();
	api_write_outlet(&w, &o, &info);
	assert_written(
		"{\"outletId\":\"" ID "\",\"chargerGroupId\":\"" OTHER "\",\"outletCode\":\"A1\","
		"\"address\":\"S\\\"1\",\"maxPower\":22000.0,\"outletState\":\"Available\","
		"\"rfidTag\":\"\",\"startTime\":\"" T0_TEXT "\",\"powerConsumption\":0.0,"
		"\"totalChargingSessions\":0,\"totalPowerConsumption\":0.0,"
		"\"unassignedPowerConsumption\":0.0,\"outOfService\":false,\"retired\":false}");
	o.state = OUTLET_CHARGING;
	o.stop_at_ns = T0;
	o.has_session = true;
	o.session_id = uuid_of(OTHER);
	o.tag = tag_of("t");
	o.has_end = true;
	o.end_ns = T0;
	o.energy_mwh = 1234000;
	o.total_sessions = 3;
	o.total_energy_mwh = 5000000;
	o.unassigned_mwh = 1;
	o.out_of_service = o.retired = true;
	w = fresh();
	api_write_outlet(&w, &o, &info);
	assert_written(
		"{\"outletId\":\"" ID "\",\"chargerGroupId\":\"" OTHER "\",\"outletCode\":\"A1\","
		"\"address\":\"S\\\"1\",\"maxPower\":22000.0,\"outletState\":\"AppRequestsStop\","
		"\"sessionId\":\"" OTHER "\",\"rfidTag\":\"t\",\"startTime\":\"" T0_TEXT "\","
		"\"endTime\":\"" T0_TEXT "\",\"powerConsumption\":1.234,"
		"\"totalChargingSessions\":3,\"totalPowerConsumption\":5.0,"
		"\"unassignedPowerConsumption\":1.0E-6,\"outOfService\":true,\"retired\":true}");
}

static void customers_are_the_originals_but_for_blocked(void **state)
{
	struct customer c = { .id = uuid_of(ID),
			      .tag = tag_of("t"),
			      .address = "a",
			      .email = "b@c",
			      .payment_method = "d" };
	struct json_writer w = fresh();

	(void)state;
	api_write_customer(&w, &c);
	assert_written("{\"customerId\":\"" ID
		       "\",\"rfidTag\":\"t\",\"address\":\"a\",\"email\":\"b@c\","
		       "\"paymentMethod\":\"d\"}");
	c.blocked = true;
	w = fresh();
	api_write_customer(&w, &c);
	assert_written("{\"customerId\":\"" ID
		       "\",\"rfidTag\":\"t\",\"address\":\"a\",\"email\":\"b@c\","
		       "\"paymentMethod\":\"d\",\"blocked\":true}");
}

static void sessions_are_the_originals(void **state)
{
	struct session s = {
		.id = uuid_of(ID),
		.has_customer = true,
		.customer_id = uuid_of(OTHER),
		.outlet_id = uuid_of(ID),
		.state = OUTLET_APP_REQUESTS_CHARGING,
		.channel = CHANNEL_MOBILE_APP,
		.start_ns = T0,
	};
	struct json_writer w = fresh();

	(void)state;
	api_write_session(&w, &s);
	assert_written("{\"sessionId\":\"" ID "\",\"customerId\":\"" OTHER "\",\"outletId\":\"" ID
		       "\","
		       "\"state\":\"AppRequestsCharging\",\"purchaseChannel\":\"MobileApp\","
		       "\"startTime\":\"" T0_TEXT "\",\"powerConsumption\":0.0}");
	s.has_customer = false;
	s.has_end = true;
	s.end_ns = T0;
	s.energy_mwh = 12750000;
	w = fresh();
	api_write_session(&w, &s);
	assert_written("{\"sessionId\":\"" ID "\",\"outletId\":\"" ID
		       "\",\"state\":\"AppRequestsCharging\","
		       "\"purchaseChannel\":\"MobileApp\",\"startTime\":\"" T0_TEXT "\","
		       "\"endTime\":\"" T0_TEXT "\",\"powerConsumption\":12.75}");
}

static void events_leave_out_what_they_do_not_have(void **state)
{
	struct charging_event e = {
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = uuid_of(ID),
		.state = OUTLET_DEVICE_REQUESTS_CHARGING,
		.tag = tag_of("t"),
		.period_start_ns = T0,
	};
	struct json_writer w = fresh();

	(void)state;
	api_write_event(&w, 7, T0, &e);
	assert_written("{\"seq\":7,\"at\":\"" T0_TEXT "\",\"initiator\":\"OutletBackend\","
		       "\"outletId\":\"" ID
		       "\",\"outletState\":\"DeviceRequestsCharging\",\"recentSession\":{"
		       "\"rfidTag\":\"t\","
		       "\"periodStart\":\"" T0_TEXT "\",\"powerConsumption\":0.0}}");
	e.has_session = e.has_period_end = e.has_event_id = true;
	e.session_id = uuid_of(OTHER);
	e.period_end_ns = T0;
	e.energy_mwh = 500000;
	e.event_id.b[15] = 0xab;
	w = fresh();
	api_write_event(&w, 7, T0, &e);
	assert_written(
		"{\"seq\":7,\"at\":\"" T0_TEXT "\",\"initiator\":\"OutletBackend\","
		"\"outletId\":\"" ID
		"\",\"outletState\":\"DeviceRequestsCharging\",\"recentSession\":{"
		"\"sessionId\":\"" OTHER "\",\"rfidTag\":\"t\",\"periodStart\":\"" T0_TEXT
		"\",\"periodEnd\":\"" T0_TEXT "\","
		"\"powerConsumption\":0.5},\"eventId\":\"000000000000000000000000000000ab\"}");
}

static void items_name_their_session_once_attached(void **state)
{
	struct unassigned_item i = { .id = { { 1 } },
				     .outlet_id = uuid_of(ID),
				     .at_ns = T0,
				     .mwh = 2000000,
				     .session_id = uuid_of(OTHER) };
	struct json_writer w = fresh();

	(void)state;
	api_write_item(&w, &i);
	assert_written("{\"itemId\":\"" ID_01 "\",\"outletId\":\"" ID "\","
		       "\"at\":\"" T0_TEXT
		       "\",\"powerConsumption\":2.0,\"rfidTag\":\"\",\"attached\":false}");
	i.attached = true;
	w = fresh();
	api_write_item(&w, &i);
	assert_written("{\"itemId\":\"" ID_01 "\",\"outletId\":\"" ID "\","
		       "\"at\":\"" T0_TEXT
		       "\",\"powerConsumption\":2.0,\"rfidTag\":\"\",\"attached\":true,"
		       "\"sessionId\":\"" OTHER "\"}");
}

static void dead_letters_show_any_bytes(void **state)
{
	static const struct {
		struct ev_str body;
		const char *json;
	} cases[] = {
		{ { "{\"a\":1}\n", 8 }, "\"body\":\"{\\\"a\\\":1}\\n\"}" },
		{ { NULL, 0 }, "\"body\":\"\"}" },
		{ { "\xff", 1 }, "\"bodyBase64\":\"/w==\"}" },
		{ { "\xff\xfe", 2 }, "\"bodyBase64\":\"//4=\"}" },
		{ { "\xff\xfe\x00", 3 }, "\"bodyBase64\":\"//4A\"}" },
		{ { "\xff\xfe\x00\x10", 4 }, "\"bodyBase64\":\"//4AEA==\"}" },
	};
	struct api_dead_letter d = {
		.id = { { 2 } },
		.seq = 9,
		.channel = "device-message",
		.at_ns = T0,
		.reason = REASON_UNDECODABLE,
		.detail = ".rfidTag(missing)",
		.status = "open",
	};
	struct json_writer w = fresh();

	(void)state;
	api_write_dead_letter(&w, &d);
	assert_written("{\"id\":\"" ID_02 "\",\"seq\":9,"
		       "\"channel\":\"device-message\","
		       "\"at\":\"" T0_TEXT "\",\"reason\":\"the message cannot be read\","
		       "\"detail\":\".rfidTag(missing)\",\"status\":\"open\"}");
	d.has_outlet = true;
	d.outlet_id = uuid_of(ID);
	d.with_body = true;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char want[512];

		d.body = cases[i].body;
		w = fresh();
		api_write_dead_letter(&w, &d);
		snprintf(want, sizeof(want),
			 "{\"id\":\"" ID_02 "\",\"seq\":9,"
			 "\"channel\":\"device-message\","
			 "\"outletId\":\"" ID "\","
			 "\"at\":\"" T0_TEXT "\",\"reason\":\"the message cannot be read\","
			 "\"detail\":\".rfidTag(missing)\","
			 "\"status\":\"open\",%s",
			 cases[i].json);
		assert_written(want);
	}
}

static void pages_wrap_their_items(void **state)
{
	struct json_writer w = fresh();

	(void)state;
	api_write_page(&w);
	api_write_page_end(&w, EV_LIT(""));
	assert_written("{\"items\":[],\"next\":null}");
	w = fresh();
	api_write_page(&w);
	json_write_u64(&w, 1);
	json_write_u64(&w, 2);
	api_write_page_end(&w, EV_LIT("abc"));
	assert_written("{\"items\":[1,2],\"next\":\"abc\"}");
}

static void problems_are_rfc_9457(void **state)
{
	struct api_problems problems = { .n = 2,
					 .item = { { "outletCode", "a" }, { "maxPower", "b" } } };
	struct json_error error = { .text = ".rfidTag(expected '\"' got 'n')" };
	struct json_writer w = fresh();

	(void)state;
	api_write_problem(&w, 404, api_status_title(404), EV_LIT(""), NULL);
	assert_written("{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404}");
	w = fresh();
	api_write_problem(&w, 422, api_status_title(422), EV_LIT("x"), &problems);
	assert_written(
		"{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,"
		"\"detail\":\"x\",\"problems\":[{\"field\":\"outletCode\",\"text\":\"a\"},"
		"{\"field\":\"maxPower\",\"text\":\"b\"}]}");
	w = fresh();
	api_write_unreadable(&w, &error);
	assert_written(
		"{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":"
		"\"invalid payload .rfidTag(expected '\\\"' got 'n')\"}");
	assert_string_equal(api_status_title(299), "Error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outlets_show_all_or_what_the_original_shows),
		cmocka_unit_test(customers_are_the_originals_but_for_blocked),
		cmocka_unit_test(sessions_are_the_originals),
		cmocka_unit_test(events_leave_out_what_they_do_not_have),
		cmocka_unit_test(items_name_their_session_once_attached),
		cmocka_unit_test(dead_letters_show_any_bytes),
		cmocka_unit_test(pages_wrap_their_items),
		cmocka_unit_test(problems_are_rfc_9457),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
