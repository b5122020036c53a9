/* test_api_outlet.c — the outlet API: each route's success and refusals. */
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
#define NOTHING "00000000000000000000000000000000"
#define GROUP "86c911e2-bbf3-42c8-8925-f9d380c1f329"

static int get(struct api_fixture *f, const char *target)
{
	return ask(f, API_OUTLET, "GET", target, NULL);
}

/* On the fixture's outlet; tail begins with a slash or is empty. */
static int on_outlet(struct api_fixture *f, const char *method, const char *tail, const char *body)
{
	return askf(f, API_OUTLET, method, body, "/api/chargers/%s%s", f->outlet, tail);
}

/* --- creating --- */

static void replace_id(char *text, const char *body, const char *id)
{
	const char *mark = strstr(body, "<uuid>");

	assert_non_null(mark);
	snprintf(text, 2048, "%.*s%s%s", (int)(mark - body), body, id, mark + 6);
}

static void created_as_the_original(struct api_fixture *f, struct json_object *v)
{
	char want[2048];

	replace_id(want, vector_str(v, "responseBody").p, body_member(f, "outletId"));
	assert_string_equal(f->body, want);
	assert_string_equal(f->answer_headers,
			    "accept: application/json\ncontent-type: application/json\n"
			    "access-control-allow-methods: \"POST, GET\"\n");
}

/* The original takes these; ours names the rule that they break. */
static bool is_stricter(const char *name)
{
	static const char *const names[] = { "maxPower_negative", "empty_strings",
					     "maxPower_overflow" };

	for (size_t i = 0; i < EV_ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static void check_vector(struct api_fixture *f, struct json_object *v)
{
	const char *name = vector_str(v, "name").p;
	int64_t want = json_object_get_int64(vector_get(v, "status"));
	int status = ask(f, API_OUTLET, "POST", "/api/chargers", vector_str(v, "requestBody").p);

	if (is_stricter(name)) {
		assert_int_equal(status, 422);
		return;
	}
	if (status != want)
		print_message("%s: %d %s\n", name, status, f->body);
	assert_int_equal(status, want);
	if (status == 201)
		created_as_the_original(f, v);
	else
		assert_string_equal(body_member(f, "detail"), vector_str(v, "responseBody").p);
}

static void posts_are_answered_as_by_the_original(void **state)
{
	struct api_fixture *f = *state;
	struct json_object *file = vectors_load("http_post_chargers.json");
	struct json_object *list = vector_get(file, "cases");
	size_t n;

	if (list == NULL)
		list = file;
	assert_true(json_object_is_type(list, json_type_array));
	n = json_object_array_length(list);
	assert_true(n > 5);
	for (size_t i = 0; i < n; i++)
		check_vector(f, json_object_array_get_idx(list, i));
	json_object_put(file);
}

static void every_broken_rule_is_named(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(ask(f, API_OUTLET, "POST", "/api/chargers",
			     "{\"chargerGroupId\":\"" GROUP "\",\"outletCode\":\"\","
			     "\"address\":\"\",\"maxPower\":-1,\"outletState\":\"\"}"),
			 422);
	assert_true(has_header(f, "content-type: application/problem+json"));
	assert_true(body_has(f, "\"field\":\"outletCode\""));
	assert_true(body_has(f, "\"field\":\"address\""));
	assert_true(body_has(f, "\"field\":\"maxPower\""));
	assert_true(body_has(f, "\"status\":422"));
}

/* --- one outlet --- */

static void an_outlet_is_shown_whole(void **state)
{
	struct api_fixture *f = *state;
	char want[1024];

	assert_int_equal(on_outlet(f, "GET", "", NULL), 200);
	snprintf(want, sizeof(want),
		 "{\"outletId\":\"%s\",\"chargerGroupId\":\"" GROUP "\",\"outletCode\":\"A1\","
		 "\"address\":\"Street 1\",\"maxPower\":22000.0,\"outletState\":\"Available\","
		 "\"rfidTag\":\"\",\"startTime\":\"2023-11-14T22:13:20Z\","
		 "\"powerConsumption\":0.0,\"totalChargingSessions\":0,"
		 "\"totalPowerConsumption\":0.0,\"unassignedPowerConsumption\":0.0,"
		 "\"outOfService\":false,\"retired\":false}",
		 f->outlet);
	assert_string_equal(f->body, want);
	assert_string_equal(f->answer_headers, "content-type: application/json\n");
	assert_int_equal(get(f, "/api/chargers/" NOBODY), 404);
	assert_string_equal(body_member(f, "detail"), "no such outlet");
	assert_int_equal(get(f, "/api/chargers/7"), 422);
	assert_string_equal(body_member(f, "detail"), "outlet is not in UUID format");
}

static void a_patch_changes_what_it_names(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(on_outlet(f, "PATCH", "", "{\"maxPower\":11000,\"outletCode\":\"B2\"}"),
			 200);
	assert_true(body_has(f, "\"outletCode\":\"B2\",\"address\":\"Street 1\","
				"\"maxPower\":11000.0"));
	assert_int_equal(on_outlet(f, "PATCH", "", "{\"address\":\"X 3\"}"), 200);
	assert_true(body_has(f, "\"outletCode\":\"B2\",\"address\":\"X 3\",\"maxPower\":11000.0"));
	assert_int_equal(on_outlet(f, "PATCH", "", "{\"maxPower\":0}"), 422);
	assert_int_equal(on_outlet(f, "PATCH", "", "{"), 400);
	assert_true(
		ev_str_starts(ev_str_from(body_member(f, "detail")), EV_LIT("invalid payload ")));
	assert_int_equal(ask(f, API_OUTLET, "PATCH", "/api/chargers/" NOBODY, "{}"), 404);
	assert_int_equal(ask(f, API_OUTLET, "PATCH", "/api/chargers/x", "{}"), 422);
}

static void service_goes_off_and_on(void **state)
{
	struct api_fixture *f = *state;

	for (int i = 0; i < 2; i++) { /* a repeat is fine */
		assert_int_equal(on_outlet(f, "POST", "/out-of-service", NULL), 200);
		assert_true(body_has(f, "\"outOfService\":true"));
	}
	assert_int_equal(on_outlet(f, "POST", "/in-service", NULL), 200);
	assert_true(body_has(f, "\"outOfService\":false"));
	assert_int_equal(ask(f, API_OUTLET, "POST", "/api/chargers/" NOBODY "/in-service", NULL),
			 404);
}

static void charge(struct api_fixture *f)
{
	assert_int_equal(device_sends(f, OUTLET_CABLE_PLUGGED, "", 0), VERDICT_APPLIED);
	assert_int_equal(device_sends(f, OUTLET_DEVICE_REQUESTS_CHARGING, "Anna", 0),
			 VERDICT_APPLIED);
}

static void a_charging_outlet_is_not_retired(void **state)
{
	struct api_fixture *f = *state;

	charge(f);
	assert_int_equal(on_outlet(f, "POST", "/retire", NULL), 409);
	assert_string_equal(body_member(f, "detail"), "the outlet is charging");
	assert_int_equal(on_outlet(f, "POST", "/finish", NULL), 200);
	assert_int_equal(on_outlet(f, "POST", "/retire", NULL), 200);
	assert_true(body_has(f, "\"retired\":true"));
}

static void a_finish_needs_a_session_that_runs(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(on_outlet(f, "POST", "/finish", NULL), 409);
	charge(f);
	assert_int_equal(on_outlet(f, "POST", "/finish", "{\"sessionId\":\"" NOBODY "\"}"), 409);
	assert_int_equal(on_outlet(f, "POST", "/finish", "{\"sessionId\":3}"), 400);
	assert_int_equal(on_outlet(f, "POST", "/finish", "{\"reason\":\"smoke\"}"), 200);
	assert_true(body_has(f, "\"outletState\":\"ChargingFinished\""));
	assert_int_equal(ask(f, API_OUTLET, "POST", "/api/chargers/" NOBODY "/finish", NULL), 404);
}

/* --- lists --- */

static void create(struct api_fixture *f, const char *group)
{
	char body[256];

	snprintf(body, sizeof(body),
		 "{\"chargerGroupId\":\"%s\",\"outletCode\":\"A1\",\"address\":\"S\","
		 "\"maxPower\":1000,\"outletState\":\"\"}",
		 group);
	assert_int_equal(ask(f, API_OUTLET, "POST", "/api/chargers", body), 201);
}

static size_t n_items(struct api_fixture *f)
{
	struct json_object *o = json_tokener_parse(f->body);
	struct json_object *items = vector_get(o, "items");
	size_t n;

	assert_non_null(items);
	n = json_object_array_length(items);
	json_object_put(o);
	return n;
}

static void pages_follow_one_another_without_gap_or_repeat(void **state)
{
	struct api_fixture *f = *state;
	char next[128] = "", target[256];
	size_t n = 0, pages = 0;

	for (int i = 0; i < 6; i++)
		create(f, GROUP);
	do {
		snprintf(target, sizeof(target), "/api/chargers?limit=3%s%s",
			 next[0] != '\0' ? "&after=" : "", next);
		assert_int_equal(get(f, target), 200);
		n += n_items(f);
		pages++;
		snprintf(next, sizeof(next), "%s", body_member(f, "next"));
	} while (next[0] != '\0' && pages < 10);
	assert_int_equal(n, 7);
	assert_int_equal(pages, 3);
	assert_true(body_has(f, "\"next\":null"));
}

static void a_page_that_is_just_full_is_the_last(void **state)
{
	struct api_fixture *f = *state;

	create(f, GROUP);
	assert_int_equal(get(f, "/api/chargers?limit=2"), 200);
	assert_int_equal(n_items(f), 2);
	assert_true(body_has(f, "\"next\":null"));
}

static void a_page_ends_when_it_is_long(void **state)
{
	struct api_fixture *f = *state;
	struct api_config c = f->config;
	struct api *whole = f->api;

	create(f, GROUP);
	create(f, GROUP);
	c.metrics = NULL;
	c.limits.max_page_bytes = 100; /* less than a row */
	assert_int_equal(api_new(&c, &f->api), EV_OK);
	assert_int_equal(get(f, "/api/chargers"), 200);
	assert_int_equal(n_items(f), 1);
	assert_string_not_equal(body_member(f, "next"), "");
	api_free(f->api);
	f->api = whole;
}

static void lists_are_filtered(void **state)
{
	struct api_fixture *f = *state;

	create(f, "00000000-0000-4000-8000-000000000001");
	assert_int_equal(get(f, "/api/chargers?group=00000000-0000-4000-8000-000000000001"), 200);
	assert_int_equal(n_items(f), 1);
	assert_int_equal(device_sends(f, OUTLET_CABLE_PLUGGED, "", 0), VERDICT_APPLIED);
	assert_int_equal(get(f, "/api/chargers?state=CablePlugged"), 200);
	assert_int_equal(n_items(f), 1);
	assert_true(body_has(f, f->outlet));
	assert_int_equal(get(f, "/api/chargers?state=Charging"), 200);
	assert_int_equal(n_items(f), 0);
	assert_int_equal(on_outlet(f, "POST", "/retire", NULL), 200);
	assert_int_equal(get(f, "/api/chargers"), 200);
	assert_int_equal(n_items(f), 1);
	assert_int_equal(get(f, "/api/chargers?retired=true"), 200);
	assert_int_equal(n_items(f), 2);
}

static void every_bad_parameter_is_named(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(get(f, "/api/chargers?limit=0&state=x&group=y&retired=z&after=%zz"), 422);
	assert_true(body_has(f, "\"field\":\"limit\""));
	assert_true(body_has(f, "\"field\":\"state\""));
	assert_true(body_has(f, "\"field\":\"group\""));
	assert_true(body_has(f, "\"field\":\"retired\""));
	assert_true(body_has(f, "\"field\":\"after\""));
	assert_int_equal(get(f, "/api/chargers?limit=1001"), 422);
	assert_int_equal(get(f, "/api/chargers?limit=1000&unknown=1"), 200);
}

static void events_come_newest_first_in_pages(void **state)
{
	struct api_fixture *f = *state;
	char next[64];

	charge(f);
	device_sends(f, OUTLET_CHARGING, "Anna", KWH);
	device_sends(f, OUTLET_CHARGING_FINISHED, "Anna", KWH);
	assert_int_equal(on_outlet(f, "GET", "/events?limit=1", NULL), 200);
	assert_int_equal(n_items(f), 1);
	assert_true(body_has(f, "\"outletState\":\"ChargingFinished\""));
	assert_true(body_has(f, "\"powerConsumption\":2.0"));
	snprintf(next, sizeof(next), "/events?before=%s", body_member(f, "next"));
	assert_int_equal(on_outlet(f, "GET", next, NULL), 200);
	assert_true(n_items(f) >= 3);
	assert_false(body_has(f, "\"outletState\":\"ChargingFinished\""));
	assert_true(body_has(f, "\"next\":null"));
	assert_int_equal(on_outlet(f, "GET", "/events?before=x", NULL), 422);
	assert_int_equal(get(f, "/api/chargers/" NOBODY "/events"), 404);
}

/* --- unassigned energy --- */

static void take_item(struct api_fixture *f, char id[40])
{
	struct json_object *o = json_tokener_parse(f->body);
	struct json_object *item = json_object_array_get_idx(vector_get(o, "items"), 0);

	snprintf(id, 40, "%s", json_object_get_string(vector_get(item, "itemId")));
	json_object_put(o);
}

static void unassigned_energy_is_attached_once(void **state)
{
	struct api_fixture *f = *state;
	char session[64], item[40], body[128], other[128];

	assert_int_equal(device_sends(f, OUTLET_CHARGING, "Bob", 3 * KWH), VERDICT_APPLIED);
	charge(f);
	device_sends(f, OUTLET_CHARGING, "Anna", KWH);
	assert_int_equal(on_outlet(f, "GET", "", NULL), 200);
	snprintf(session, sizeof(session), "%s", body_member(f, "sessionId"));
	assert_int_equal(on_outlet(f, "GET", "/unassigned", NULL), 200);
	assert_int_equal(n_items(f), 1);
	take_item(f, item);
	snprintf(body, sizeof(body), "{\"sessionId\":\"%s\"}", session);
	snprintf(other, sizeof(other), "{\"sessionId\":\"%s\"}", NOBODY);
	assert_int_equal(askf(f, API_OUTLET, "POST", other, "/api/chargers/%s/unassigned/%s/attach",
			      f->outlet, item),
			 422);
	assert_true(body_has(f, "\"field\":\"sessionId\""));
	for (int i = 0; i < 2; i++) { /* a repeat is fine */
		assert_int_equal(askf(f, API_OUTLET, "POST", body,
				      "/api/chargers/%s/unassigned/%s/attach", f->outlet, item),
				 200);
		assert_string_equal(body_member(f, "outletId"), f->outlet);
		assert_string_equal(body_member(f, "unassignedPowerConsumption"), "0.0");
	}
	assert_int_equal(askf(f, API_OUTLET, "POST", other, "/api/chargers/%s/unassigned/%s/attach",
			      f->outlet, item),
			 409);
	assert_int_equal(on_outlet(f, "GET", "/unassigned", NULL), 200);
	assert_int_equal(n_items(f), 0);
	assert_int_equal(on_outlet(f, "GET", "/unassigned?all=true", NULL), 200);
	assert_true(body_has(f, "\"attached\":true"));
	assert_int_equal(get(f, "/api/books"), 200);
	assert_true(body_has(f, "\"balanced\":true"));
	assert_true(body_has(f, "\"powerConsumption\":4.0"));
}

static void attach_refuses_what_is_not_there(void **state)
{
	struct api_fixture *f = *state;
	const char *body = "{\"sessionId\":\"" NOBODY "\"}";

	assert_int_equal(on_outlet(f, "POST", "/unassigned/" NOTHING "/attach", body), 404);
	assert_string_equal(body_member(f, "detail"), "no such item");
	assert_int_equal(on_outlet(f, "POST", "/unassigned/xyz/attach", body), 422);
	assert_int_equal(on_outlet(f, "POST", "/unassigned/" NOTHING "/attach", "{}"), 400);
	assert_string_equal(body_member(f, "detail"), "invalid payload .sessionId(missing)");
}

static void items_come_in_pages(void **state)
{
	struct api_fixture *f = *state;
	char next[128], tail[256];

	for (int i = 1; i <= 5; i++)
		device_sends(f, OUTLET_CHARGING, "Bob", i * KWH);
	assert_int_equal(on_outlet(f, "GET", "/unassigned?limit=2", NULL), 200);
	assert_int_equal(n_items(f), 2);
	snprintf(next, sizeof(next), "%s", body_member(f, "next"));
	snprintf(tail, sizeof(tail), "/unassigned?limit=3&after=%s", next);
	assert_int_equal(on_outlet(f, "GET", tail, NULL), 200);
	assert_int_equal(n_items(f), 3);
	assert_true(body_has(f, "\"powerConsumption\":3.0"));
	assert_true(body_has(f, "\"powerConsumption\":5.0"));
	assert_true(body_has(f, "\"next\":null"));
	assert_int_equal(on_outlet(f, "GET", "/unassigned?after=12", NULL), 422);
	assert_int_equal(get(f, "/api/chargers/" NOBODY "/unassigned"), 404);
}

/* --- dead letters --- */

static void a_dead_letter_shows_its_bytes_alone_only(void **state)
{
	struct api_fixture *f = *state;
	char id[33];

	device_sends_garbage(f, "what \xc3\xa4 this", id);
	assert_int_equal(get(f, "/api/dead-letters"), 200);
	assert_int_equal(n_items(f), 1);
	assert_true(body_has(f, id));
	assert_false(body_has(f, "what"));
	assert_int_equal(askf(f, API_OUTLET, "GET", NULL, "/api/dead-letters/%s", id), 200);
	assert_string_equal(body_member(f, "body"), "what \xc3\xa4 this");
	assert_string_equal(body_member(f, "channel"), "device-message");
	assert_string_equal(body_member(f, "status"), "open");
	assert_int_equal(get(f, "/api/dead-letters/" NOTHING), 404);
	assert_int_equal(get(f, "/api/dead-letters/x"), 422);
}

static void bytes_that_are_no_text_come_in_base64(void **state)
{
	struct api_fixture *f = *state;
	char id[33];

	device_sends_garbage(f, "\xff\xfe", id);
	assert_int_equal(askf(f, API_OUTLET, "GET", NULL, "/api/dead-letters/%s", id), 200);
	assert_string_equal(body_member(f, "bodyBase64"), "//4=");
}

static void a_large_dead_letter_is_shown_whole(void **state)
{
	struct api_fixture *f = *state;
	static char bytes[DEAD_LETTER_BODY_MAX];
	char id[33];

	memset(bytes, 1, sizeof(bytes) - 1); /* six characters each in JSON */
	device_sends_garbage(f, bytes, id);
	assert_int_equal(askf(f, API_OUTLET, "GET", NULL, "/api/dead-letters/%s", id), 200);
	assert_true(strlen(f->body) > 6 * (sizeof(bytes) - 1));
	assert_int_equal(strlen(body_member(f, "body")), 1023); /* cut by the test's reader */
}

static void a_letter_is_dropped_once(void **state)
{
	struct api_fixture *f = *state;
	char id[33];

	device_sends_garbage(f, "x", id);
	assert_int_equal(askf(f, API_OUTLET, "POST", NULL, "/api/dead-letters/%s/drop", id), 204);
	assert_int_equal(strlen(f->body), 0);
	assert_int_equal(askf(f, API_OUTLET, "POST", NULL, "/api/dead-letters/%s/drop", id), 409);
	assert_string_equal(body_member(f, "detail"), "the dead letter is not open");
	assert_int_equal(askf(f, API_OUTLET, "POST", NULL, "/api/dead-letters/%s/replay", id), 409);
	assert_int_equal(get(f, "/api/dead-letters"), 200);
	assert_int_equal(n_items(f), 0);
	assert_int_equal(get(f, "/api/dead-letters?all=true"), 200);
	assert_int_equal(n_items(f), 1);
	assert_int_equal(ask(f, API_OUTLET, "POST", "/api/dead-letters/" NOTHING "/drop", NULL),
			 404);
}

static void a_replay_tells_what_became_of_it(void **state)
{
	struct api_fixture *f = *state;
	char id[33], body[512];

	device_sends_garbage(f, "x", id);
	assert_int_equal(askf(f, API_OUTLET, "POST", NULL, "/api/dead-letters/%s/replay", id), 200);
	assert_string_equal(body_member(f, "verdict"), "rejected");
	snprintf(body, sizeof(body),
		 "{\"outletId\":\"%s\",\"rfidTag\":\"\",\"periodStart\":\"2023-11-14T22:00:00Z\","
		 "\"periodEnd\":\"2023-11-14T22:01:00Z\",\"outletStateChange\":\"CablePlugged\","
		 "\"powerConsumption\":0.0}",
		 f->outlet);
	device_sends_garbage(f, body, id);
	assert_int_equal(askf(f, API_OUTLET, "POST", "{}", "/api/dead-letters/%s/replay", id), 200);
	assert_string_equal(f->body, "{\"verdict\":\"applied\",\"reason\":null}");
	assert_int_equal(askf(f, API_OUTLET, "POST", "{}", "/api/dead-letters/%s/replay", id), 409);
	assert_int_equal(askf(f, API_OUTLET, "POST", "[", "/api/dead-letters/%s/replay", id), 400);
	assert_int_equal(ask(f, API_OUTLET, "POST", "/api/dead-letters/" NOTHING "/replay", NULL),
			 404);
}

static void letters_come_in_pages(void **state)
{
	struct api_fixture *f = *state;
	char id[33], target[128];

	for (int i = 0; i < 3; i++)
		device_sends_garbage(f, "x", id);
	assert_int_equal(get(f, "/api/dead-letters?limit=2"), 200);
	assert_int_equal(n_items(f), 2);
	snprintf(target, sizeof(target), "/api/dead-letters?limit=2&before=%s",
		 body_member(f, "next"));
	assert_int_equal(get(f, target), 200);
	assert_int_equal(n_items(f), 1);
	assert_true(body_has(f, "\"next\":null"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_fixture_setup, api_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(posts_are_answered_as_by_the_original),
		TEST(every_broken_rule_is_named),
		TEST(an_outlet_is_shown_whole),
		TEST(a_patch_changes_what_it_names),
		TEST(service_goes_off_and_on),
		TEST(a_charging_outlet_is_not_retired),
		TEST(a_finish_needs_a_session_that_runs),
		TEST(pages_follow_one_another_without_gap_or_repeat),
		TEST(a_page_that_is_just_full_is_the_last),
		TEST(a_page_ends_when_it_is_long),
		TEST(lists_are_filtered),
		TEST(every_bad_parameter_is_named),
		TEST(events_come_newest_first_in_pages),
		TEST(unassigned_energy_is_attached_once),
		TEST(attach_refuses_what_is_not_there),
		TEST(items_come_in_pages),
		TEST(a_dead_letter_shows_its_bytes_alone_only),
		TEST(bytes_that_are_no_text_come_in_base64),
		TEST(a_large_dead_letter_is_shown_whole),
		TEST(a_letter_is_dropped_once),
		TEST(a_replay_tells_what_became_of_it),
		TEST(letters_come_in_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
