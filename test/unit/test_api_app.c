/* test_api_app.c — the app API: each route's success and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "api_fixture.h"
#include "base/time.h"
#include "vectors.h"

#define KWH INT64_C(1000000)
#define NOBODY "00000000-0000-4000-8000-000000000000"
#define LEGACY_HEADERS                                                                             \
	"accept: application/json\ncontent-type: application/json\n"                               \
	"access-control-allow-methods: \"POST, GET\"\n"

static int get(struct api_fixture *f, const char *target)
{
	return ask(f, API_APP, "GET", target, NULL);
}

static int on_customer(struct api_fixture *f, const char *method, const char *tail,
		       const char *body)
{
	return askf(f, API_APP, method, body, "/api/customers/%s%s", f->customer, tail);
}

static int start(struct api_fixture *f)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"customerId\":\"%s\",\"outletId\":\"%s\"}", f->customer,
		 f->outlet);
	return ask(f, API_APP, "POST", "/api/chargers/start", body);
}

/* --- customers --- */

static void a_customer_is_shown_as_by_the_original(void **state)
{
	struct api_fixture *f = *state;
	char want[512];

	snprintf(want, sizeof(want),
		 "{\"customerId\":\"%s\",\"rfidTag\":\"anna\",\"address\":\"Street 2\","
		 "\"email\":\"a@b\",\"paymentMethod\":\"card\"}",
		 f->customer);
	assert_int_equal(on_customer(f, "GET", "", NULL), 200);
	assert_string_equal(f->body, want);
	assert_string_equal(f->answer_headers, LEGACY_HEADERS);
	assert_int_equal(get(f, "/api/customers/" NOBODY), 404);
	assert_string_equal(body_member(f, "detail"), "no such customer");
	assert_true(has_header(f, "content-type: application/problem+json"));
	assert_int_equal(get(f, "/api/customers/7"), 422);
	assert_string_equal(body_member(f, "detail"), "customer is not in UUID format");
	assert_true(body_has(f, "\"field\":\"customerId\""));
}

#define DETAILS "\"address\":\"S\",\"email\":\"c@d\",\"paymentMethod\":\"card\"}"

static void a_customer_without_tag_gets_a_random_one(void **state)
{
	struct api_fixture *f = *state;
	struct ev_uuid tag;

	assert_int_equal(ask(f, API_APP, "POST", "/api/customers",
			     "{\"customerId\":\"" NOBODY "\"," DETAILS),
			 201);
	assert_string_equal(f->answer_headers, LEGACY_HEADERS);
	assert_int_equal(ev_uuid_parse(ev_str_from(body_member(f, "rfidTag")), &tag), EV_OK);
	assert_string_not_equal(body_member(f, "customerId"), NOBODY);
}

static void a_tag_belongs_to_one_customer(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(
		ask(f, API_APP, "POST", "/api/customers", "{\"rfidTag\":\"ANNA\"," DETAILS), 409);
	assert_string_equal(body_member(f, "detail"), "the tag is another customer's");
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", "{\"rfidTag\":\"bob\"," DETAILS),
			 201);
	assert_int_equal(on_customer(f, "PUT", "/tag", "{\"rfidTag\":\"Bob\"}"), 409);
	assert_int_equal(on_customer(f, "PUT", "/tag", "{\"rfidTag\":\"Carl\"}"), 200);
	assert_string_equal(body_member(f, "rfidTag"), "carl");
	assert_int_equal(on_customer(f, "PUT", "/tag", NULL), 200);
	assert_int_equal(strlen(body_member(f, "rfidTag")), EV_UUID_TEXT);
	assert_int_equal(on_customer(f, "PUT", "/tag", "{\"rfidTag\":\"\"}"), 422);
	assert_int_equal(on_customer(f, "PUT", "/tag", "{\"rfidTag\":7}"), 400);
	assert_int_equal(ask(f, API_APP, "PUT", "/api/customers/" NOBODY "/tag", NULL), 404);
	assert_int_equal(ask(f, API_APP, "PUT", "/api/customers/x/tag", NULL), 422);
}

static void every_broken_rule_is_named(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(ask(f, API_APP, "POST", "/api/customers",
			     "{\"address\":\"\",\"email\":\"nobody\",\"paymentMethod\":\"\"}"),
			 422);
	assert_true(body_has(f, "\"field\":\"address\""));
	assert_true(body_has(f, "\"field\":\"email\""));
	assert_true(body_has(f, "\"field\":\"paymentMethod\""));
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", "{}"), 400);
	assert_string_equal(body_member(f, "detail"), "invalid payload .address(missing)");
}

static void a_patch_changes_what_it_names(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(on_customer(f, "PATCH", "", "{\"email\":\"x@y\"}"), 200);
	assert_string_equal(body_member(f, "email"), "x@y");
	assert_string_equal(body_member(f, "address"), "Street 2");
	assert_int_equal(
		on_customer(f, "PATCH", "", "{\"address\":\"X\",\"paymentMethod\":\"cash\"}"), 200);
	assert_string_equal(body_member(f, "email"), "x@y");
	assert_string_equal(body_member(f, "paymentMethod"), "cash");
	assert_int_equal(on_customer(f, "PATCH", "", "{\"email\":\"x\"}"), 422);
	assert_int_equal(on_customer(f, "PATCH", "", ""), 400);
	assert_int_equal(ask(f, API_APP, "PATCH", "/api/customers/" NOBODY, "{}"), 404);
}

static void a_blocked_customer_starts_nothing(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(on_customer(f, "POST", "/block", NULL), 200);
	assert_true(body_has(f, "\"blocked\":true"));
	assert_int_equal(start(f), 403);
	assert_string_equal(body_member(f, "detail"), "the customer is blocked");
	assert_int_equal(on_customer(f, "POST", "/unblock", NULL), 200);
	assert_false(body_has(f, "blocked"));
	assert_int_equal(start(f), 201);
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers/" NOBODY "/block", NULL), 404);
}

static void customers_come_in_pages(void **state)
{
	struct api_fixture *f = *state;
	char target[128];

	for (int i = 0; i < 2; i++)
		assert_int_equal(ask(f, API_APP, "POST", "/api/customers", "{" DETAILS), 201);
	assert_int_equal(get(f, "/api/customers?limit=2"), 200);
	snprintf(target, sizeof(target), "/api/customers?limit=2&after=%s", body_member(f, "next"));
	assert_int_equal(get(f, target), 200);
	assert_true(body_has(f, "\"next\":null"));
	assert_true(body_has(f, "{\"items\":[{\"customerId\":"));
	assert_int_equal(get(f, "/api/customers?after=x"), 422);
}

/* --- sessions --- */

static void a_start_answers_with_the_session(void **state)
{
	struct api_fixture *f = *state;
	char session[64], want[512];

	assert_int_equal(device_sends(f, OUTLET_CABLE_PLUGGED, "", 0), VERDICT_APPLIED);
	assert_int_equal(start(f), 201);
	assert_string_equal(f->answer_headers, LEGACY_HEADERS);
	snprintf(session, sizeof(session), "%s", body_member(f, "sessionId"));
	snprintf(want, sizeof(want),
		 "{\"sessionId\":\"%s\",\"customerId\":\"%s\",\"outletId\":\"%s\","
		 "\"state\":\"AppRequestsCharging\",\"purchaseChannel\":\"MobileApp\","
		 "\"startTime\":\"2023-11-14T22:13:20Z\",\"powerConsumption\":0.0}",
		 session, f->customer, f->outlet);
	assert_string_equal(f->body, want);
	assert_int_equal(start(f), 201); /* the live one again */
	assert_string_equal(body_member(f, "sessionId"), session);
	assert_int_equal(askf(f, API_APP, "GET", NULL, "/api/chargers/session/%s", session), 200);
	assert_string_equal(body_member(f, "state"), "Charging");
	assert_string_equal(f->answer_headers, LEGACY_HEADERS);
}

static void a_start_names_what_is_not_there(void **state)
{
	struct api_fixture *f = *state;
	char body[256];

	snprintf(body, sizeof(body), "{\"customerId\":\"%s\",\"outletId\":\"" NOBODY "\"}",
		 f->customer);
	assert_int_equal(ask(f, API_APP, "POST", "/api/chargers/start", body), 404);
	assert_string_equal(body_member(f, "detail"), "no such outlet");
	snprintf(body, sizeof(body), "{\"customerId\":\"" NOBODY "\",\"outletId\":\"%s\"}",
		 f->outlet);
	assert_int_equal(ask(f, API_APP, "POST", "/api/chargers/start", body), 404);
	assert_string_equal(body_member(f, "detail"), "no such customer");
	assert_int_equal(ask(f, API_APP, "POST", "/api/chargers/start", "{\"outletId\":1}"), 400);
	assert_int_equal(get(f, "/api/chargers/start"), 405);
}

static void a_stop_answers_without_a_body(void **state)
{
	struct api_fixture *f = *state;
	char session[64];

	device_sends(f, OUTLET_CABLE_PLUGGED, "", 0);
	assert_int_equal(start(f), 201);
	snprintf(session, sizeof(session), "%s", body_member(f, "sessionId"));
	assert_int_equal(askf(f, API_APP, "HEAD", NULL, "/api/chargers/session/%s/stop", session),
			 405);
	assert_int_equal(askf(f, API_APP, "GET", NULL, "/api/chargers/session/%s/stop", session),
			 200);
	assert_string_equal(f->body, "");
	assert_string_equal(f->answer_headers, LEGACY_HEADERS);
	assert_int_equal(askf(f, API_APP, "POST", NULL, "/api/chargers/session/%s/stop", session),
			 200);
	device_sends(f, OUTLET_CHARGING_FINISHED, "anna", KWH);
	assert_int_equal(askf(f, API_APP, "POST", NULL, "/api/chargers/session/%s/stop", session),
			 409);
	assert_string_equal(body_member(f, "detail"), "the session has ended");
	assert_int_equal(ask(f, API_APP, "POST", "/api/chargers/session/" NOBODY "/stop", NULL),
			 404);
	assert_int_equal(get(f, "/api/chargers/session/x/stop"), 422);
	assert_string_equal(body_member(f, "detail"), "session is not in UUID format");
}

static void a_session_is_closed_unless_its_outlet_runs_it(void **state)
{
	struct api_fixture *f = *state;
	char session[64];

	device_sends(f, OUTLET_CABLE_PLUGGED, "", 0);
	start(f);
	snprintf(session, sizeof(session), "%s", body_member(f, "sessionId"));
	assert_int_equal(askf(f, API_APP, "POST", NULL, "/api/sessions/%s/close", session), 409);
	device_sends(f, OUTLET_CHARGING_FINISHED, "anna", KWH);
	assert_int_equal(askf(f, API_APP, "POST", NULL, "/api/sessions/%s/close", session), 200);
	assert_string_equal(body_member(f, "sessionId"), session);
	assert_string_equal(body_member(f, "state"), "ChargingFinished");
	assert_int_equal(ask(f, API_APP, "POST", "/api/sessions/" NOBODY "/close", NULL), 404);
}

static void charge_once(struct api_fixture *f)
{
	ev_clock_manual_advance(&f->clock, EV_NS_PER_MIN);
	device_sends(f, OUTLET_CABLE_PLUGGED, "", 0);
	device_sends(f, OUTLET_DEVICE_REQUESTS_CHARGING, "anna", 0);
	device_sends(f, OUTLET_CHARGING_FINISHED, "anna", KWH);
	device_sends(f, OUTLET_AVAILABLE, "", 0);
}

static size_t array_length(struct api_fixture *f, const char *key)
{
	struct json_object *o = json_tokener_parse(f->body);
	struct json_object *list = key != NULL ? vector_get(o, key) : o;
	size_t n;

	assert_true(json_object_is_type(list, json_type_array));
	n = json_object_array_length(list);
	json_object_put(o);
	return n;
}

static void a_history_links_to_its_next_page(void **state)
{
	struct api_fixture *f = *state;
	char link[256];

	for (int i = 0; i < 3; i++)
		charge_once(f);
	assert_int_equal(on_customer(f, "GET", "/charging-history?limit=2", NULL), 200);
	assert_int_equal(array_length(f, NULL), 2);
	snprintf(link, sizeof(link),
		 "link: </api/customers/%s/charging-history?limit=2&"
		 "before=2023-11-14T22:15:20Z>; rel=\"next\"",
		 f->customer);
	assert_true(has_header(f, link));
	assert_true(has_header(f, "accept: application/json"));
	assert_int_equal(on_customer(f, "GET",
				     "/charging-history?limit=2&before=2023-11-14T22:15:20Z", NULL),
			 200);
	assert_int_equal(array_length(f, NULL), 1);
	assert_string_equal(f->answer_headers, LEGACY_HEADERS);
	assert_int_equal(on_customer(f, "GET", "/charging-history?before=x", NULL), 422);
	assert_int_equal(get(f, "/api/customers/" NOBODY "/charging-history"), 404);
}

static void sessions_of_one_instant_stay_on_one_page(void **state)
{
	struct api_fixture *f = *state;

	for (int i = 0; i < 3; i++) { /* the clock stands still */
		char session[64];

		assert_int_equal(start(f), 201);
		snprintf(session, sizeof(session), "%s", body_member(f, "sessionId"));
		askf(f, API_APP, "POST", NULL, "/api/sessions/%s/close", session);
	}
	assert_int_equal(get(f, "/api/sessions?limit=1"), 200);
	assert_int_equal(array_length(f, "items"), 3);
	assert_true(body_has(f, "\"next\":null"));
}

static void live_and_stuck_sessions_are_listed(void **state)
{
	struct api_fixture *f = *state;

	charge_once(f);
	device_sends(f, OUTLET_CABLE_PLUGGED, "", 0);
	start(f);
	assert_int_equal(get(f, "/api/sessions"), 200);
	assert_int_equal(array_length(f, "items"), 2);
	assert_int_equal(get(f, "/api/sessions?live=true"), 200);
	assert_int_equal(array_length(f, "items"), 1);
	assert_int_equal(get(f, "/api/sessions?stuck=true"), 200);
	assert_int_equal(array_length(f, "items"), 0);
	ev_clock_manual_advance(&f->clock, 2 * EV_NS_PER_HOUR);
	assert_int_equal(get(f, "/api/sessions?stuck=true"), 200);
	assert_int_equal(array_length(f, "items"), 1);
	api_set_stuck_after(f->api, 3 * EV_NS_PER_HOUR);
	assert_int_equal(get(f, "/api/sessions?stuck=true"), 200);
	assert_int_equal(array_length(f, "items"), 0);
	assert_int_equal(get(f, "/api/sessions?live=1"), 422);
}

static void an_erased_customer_leaves_sessions_without_a_person(void **state)
{
	struct api_fixture *f = *state;
	char session[64];

	device_sends(f, OUTLET_CABLE_PLUGGED, "", 0);
	start(f);
	snprintf(session, sizeof(session), "%s", body_member(f, "sessionId"));
	assert_int_equal(on_customer(f, "DELETE", "", NULL), 409);
	assert_string_equal(body_member(f, "detail"), "a session of the customer is live");
	device_sends(f, OUTLET_CHARGING_FINISHED, "anna", KWH);
	assert_int_equal(on_customer(f, "DELETE", "", NULL), 204);
	assert_int_equal(on_customer(f, "GET", "", NULL), 404);
	assert_int_equal(on_customer(f, "DELETE", "", NULL), 404);
	assert_int_equal(askf(f, API_APP, "GET", NULL, "/api/chargers/session/%s", session), 200);
	assert_false(body_has(f, "customerId"));
	assert_string_equal(body_member(f, "powerConsumption"), "1.0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_fixture_setup, api_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_customer_is_shown_as_by_the_original),
		TEST(a_customer_without_tag_gets_a_random_one),
		TEST(a_tag_belongs_to_one_customer),
		TEST(every_broken_rule_is_named),
		TEST(a_patch_changes_what_it_names),
		TEST(a_blocked_customer_starts_nothing),
		TEST(customers_come_in_pages),
		TEST(a_start_answers_with_the_session),
		TEST(a_start_names_what_is_not_there),
		TEST(a_stop_answers_without_a_body),
		TEST(a_session_is_closed_unless_its_outlet_runs_it),
		TEST(a_history_links_to_its_next_page),
		TEST(sessions_of_one_instant_stay_on_one_page),
		TEST(live_and_stuck_sessions_are_listed),
		TEST(an_erased_customer_leaves_sessions_without_a_person),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
