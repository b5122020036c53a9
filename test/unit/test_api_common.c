/* test_api_common.c — what all routes share: who may ask, methods, failures, documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "api_fixture.h"
#include "net/router.h"
#include "vectors.h"

#define CUSTOMER "{\"address\":\"S\",\"email\":\"c@d\",\"paymentMethod\":\"card\"}"

/* The fixture's API again, with other settings. */
static void restart_api(struct api_fixture *f)
{
	api_free(f->api);
	ev_metrics_init(&f->metrics);
	assert_int_equal(api_new(&f->config, &f->api), EV_OK);
}

/* --- who may ask --- */

static void where_credentials_are_needed_only_live_goes_without(void **state)
{
	struct api_fixture *f = *state;

	f->config.access[API_OUTLET].required = true;
	restart_api(f);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/live", NULL), 200);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/chargers", NULL), 401);
	assert_true(has_header(f, "www-authenticate: Bearer realm=\"evcharge\""));
	assert_true(has_header(f, "content-type: application/problem+json"));
	assert_int_equal(ask(f, API_OUTLET, "GET", "/ready", NULL), 401);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/metrics", NULL), 401);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/no/such/route", NULL), 401);
	assert_int_equal(ask(f, API_APP, "GET", "/api/customers", NULL), 200);
	assert_true(metric(f, "evcharge_api_refused_total{why=\"missing\"}") >= 4);
}

static void a_wrong_token_is_refused_where_none_is_needed(void **state)
{
	struct api_fixture *f = *state;

	header_set(f, "Authorization", "Bearer evc_wrong");
	assert_int_equal(ask(f, API_APP, "GET", "/api/customers", NULL), 401);
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", CUSTOMER), 401);
	assert_int_equal(ask(f, API_APP, "GET", "/live", NULL), 200);
	header_clear(f);
	assert_int_equal((int)metric(f, "evcharge_api_refused_total{why=\"wrong\"}"), 2);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/books", NULL), 200);
	assert_true(body_has(f, "\"customers\":{\"count\":1}"));
}

static void pages_of_other_sites_change_nothing(void **state)
{
	struct api_fixture *f = *state;

	header_set(f, "Host", "127.0.0.1:8080");
	header_set(f, "Origin", "http://evil.example");
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", CUSTOMER), 403);
	header_clear(f);
	header_set(f, "Host", "127.0.0.1:8080");
	header_set(f, "Origin", "http://127.0.0.1:8080");
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", CUSTOMER), 201);
	header_clear(f);
	assert_int_equal((int)metric(f, "evcharge_api_refused_total{why=\"foreign\"}"), 1);
}

/* --- routes --- */

static void paths_and_methods_that_are_not_there(void **state)
{
	struct api_fixture *f = *state;

	assert_int_equal(ask(f, API_OUTLET, "GET", "/", NULL), 404);
	assert_string_equal(body_member(f, "title"), "Not Found");
	assert_string_equal(body_member(f, "type"), "about:blank");
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/customers", NULL), 404);
	assert_int_equal(ask(f, API_GATEWAY, "GET", "/api/chargers", NULL), 404);
	assert_int_equal(ask(f, API_OUTLET, "DELETE", "/api/chargers", NULL), 405);
	assert_true(has_header(f, "allow: GET, HEAD, POST, OPTIONS"));
	assert_true(body_has(f, "\"status\":405"));
	assert_int_equal(ask(f, API_OUTLET, "OPTIONS", "/api/chargers", NULL), 204);
	assert_true(has_header(f, "allow: GET, HEAD, POST, OPTIONS"));
	assert_int_equal(ask(f, API_OUTLET, "HEAD", "/api/chargers", NULL), 200);
}

static void live_is_empty_on_all(void **state)
{
	struct api_fixture *f = *state;

	for (unsigned role = 0; role < API_ROLE_COUNT; role++) {
		assert_int_equal(ask(f, (enum api_role)role, "GET", "/live", NULL), 200);
		assert_string_equal(f->body, "");
		assert_string_equal(f->answer_headers, "");
	}
}

/* --- failures --- */

static void a_full_disk_is_said_and_nothing_acknowledged(void **state)
{
	struct api_fixture *f = *state;

	f->fault = EV_FULL;
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", CUSTOMER), 503);
	assert_true(body_has(f, "the disk is full"));
	assert_true(has_header(f, "retry-after: 30"));
	f->fault = EV_IO;
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", CUSTOMER), 503);
	assert_true(has_header(f, "retry-after: 5"));
	f->fault = EV_OK;
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/books", NULL), 200);
	assert_true(body_has(f, "\"customers\":{\"count\":1}"));
}

static ev_err failing_query(void *user, enum memory_point point)
{
	(void)user; /* always */
	return point == MEMORY_AT_QUERY ? EV_IO : EV_OK;
}

static void a_store_that_cannot_be_read_is_said(void **state)
{
	struct api_fixture *f = *state;

	memory_set_fault(f->memory, failing_query, NULL);
	assert_int_equal(ask(f, API_APP, "GET", "/api/customers", NULL), 503);
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/books", NULL), 503);
	memory_set_fault(f->memory, NULL, NULL);
	assert_int_equal(ask(f, API_APP, "GET", "/api/customers", NULL), 200);
}

static void more_than_the_queue_holds_is_told_to_come_again(void **state)
{
	struct api_fixture *f = *state;
	unsigned before = f->n_answers;

	for (int i = 0; i < 4; i++)
		ask_only(f, API_APP, "POST", "/api/customers", CUSTOMER);
	assert_int_equal(f->n_answers, before);
	ask_only(f, API_APP, "POST", "/api/customers", CUSTOMER);
	assert_int_equal(f->n_answers, before + 1);
	assert_int_equal(f->status, 503);
	assert_true(has_header(f, "retry-after: 1"));
	settle(f);
	assert_int_equal(f->n_answers, before + 5);
	assert_int_equal(f->status, 201);
}

static void more_reads_than_the_limit_are_told_to_come_again(void **state)
{
	struct api_fixture *f = *state;

	f->config.limits.max_queries = 1;
	restart_api(f);
	ask_only(f, API_APP, "GET", "/api/customers", NULL);
	ask_only(f, API_APP, "GET", "/api/customers", NULL);
	assert_int_equal(f->status, 503);
	settle(f);
	assert_int_equal(f->status, 200);
}

static void a_peer_that_left_costs_nothing(void **state)
{
	struct api_fixture *f = *state;

	f->reply_result = EV_CLOSED;
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers", CUSTOMER), 201);
	assert_int_equal(ask(f, API_APP, "GET", "/api/customers", NULL), 200);
	f->reply_result = EV_OK;
	assert_int_equal((int)metric(f, "evcharge_api_gone_total"), 2);
}

/* --- readiness --- */

static const char *why;

static void checks(void *user, struct api_checks *c)
{
	(void)user; /* the same for all */
	api_checks_add(c, "store", NULL);
	api_checks_add(c, "disk", why);
}

static void ready_says_what_is_missing(void **state)
{
	struct api_fixture *f = *state;

	f->config.ready = checks;
	restart_api(f);
	why = NULL;
	assert_int_equal(ask(f, API_GATEWAY, "GET", "/ready", NULL), 200);
	assert_string_equal(f->body, "{\"ready\":true,\"checks\":{\"store\":\"ok\","
				     "\"disk\":\"ok\"}}");
	why = "full";
	assert_int_equal(ask(f, API_GATEWAY, "GET", "/ready", NULL), 503);
	assert_string_equal(f->body, "{\"ready\":false,\"checks\":{\"store\":\"ok\","
				     "\"disk\":\"full\"}}");
	assert_true(has_header(f, "content-type: application/json"));
	why = NULL;
	api_drain(f->api);
	assert_int_equal(ask(f, API_GATEWAY, "GET", "/ready", NULL), 503);
}

static void more_checks_than_fit_are_left_out(void **state)
{
	struct api_checks c = { .n = 0 };

	(void)state; /* pure */
	for (int i = 0; i < API_CHECKS_MAX + 1; i++)
		api_checks_add(&c, "x", NULL);
	assert_int_equal(c.n, API_CHECKS_MAX);
}

/* --- metrics --- */

static void more_metrics(void *user, struct ev_buf *out)
{
	(void)user; /* the same for all */
	ev_buf_z(out, "evcharge_store_test 7\n");
	for (int i = 0; i < 100000; i++) /* more than the first buffer holds */
		ev_buf_z(out, "#\n");
}

static void metrics_show_what_everybody_counted(void **state)
{
	struct api_fixture *f = *state;

	f->config.more_metrics = more_metrics;
	restart_api(f);
	device_sends(f, OUTLET_CHARGING, "bob", INT64_C(1234567));
	device_sends(f, OUTLET_CABLE_PLUGGED, "", 0);
	assert_int_equal((int)metric(f, "evcharge_store_test"), 7);
	assert_true(has_header(f, "content-type: text/plain; version=0.0.4; charset=utf-8"));
	assert_true(body_has(f, "\nevcharge_energy_credited_kwh_total 1.234567\n"));
	assert_true(body_has(f, "\nevcharge_energy_unassigned_kwh_total 1.234567\n"));
	assert_true(body_has(f, "evcharge_build_info{version=\"" FIXTURE_VERSION "\"} 1\n"));
	assert_int_equal((int)metric(f, "evcharge_jobs_total{kind=\"device_message\"}"), 2);
	assert_int_equal((int)metric(f, "evcharge_jobs_total{kind=\"outlet_create\"}"), 1);
	assert_true(metric(f, "evcharge_outlet_verdicts_total{verdict=\"applied\"}") >= 1);
	assert_true(metric(f, "evcharge_groups_total") >= 2);
	assert_true(metric(f, "evcharge_batches_total") >= 2);
	assert_true(metric(f, "evcharge_outlet_reasons_total{reason=\"no_cable\"}") >= 0);
	assert_true(metric(f, "evcharge_api_requests_total{api=\"gateway\",status=\"2xx\"}") >= 1);
	assert_true(metric(f, "evcharge_api_request_seconds_count") >= 1);
}

/* A name has one head, and each line is a comment or `name[{labels}] value`. */
static void metrics_have_one_head_a_name(void **state)
{
	struct api_fixture *f = *state;
	const char *line, *next;

	assert_int_equal(ask(f, API_APP, "GET", "/metrics", NULL), 200);
	for (line = f->body; *line != '\0'; line = next + 1) {
		char head[160];
		size_t n;

		next = strchr(line, '\n');
		assert_non_null(next);
		if (strncmp(line, "# TYPE ", 7) != 0)
			continue;
		n = strcspn(line + 7, " ");
		snprintf(head, sizeof(head), "\n# TYPE %.*s ", (int)n, line + 7);
		assert_null(strstr(next, head));
	}
}

static void read_file(const char *name, char *text, size_t cap)
{
	char path[1024];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "%s/../../docs/%s", TEST_VECTORS, name);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(text, 1, cap - 1, file);
	text[n] = '\0';
	assert_int_equal(fclose(file), 0);
	assert_true(n > 0 && n < cap - 1);
}

static void every_metric_is_explained(void **state)
{
	struct api_fixture *f = *state;
	static char text[65536];

	read_file("metrics.md", text, sizeof(text));
	assert_int_equal(ask(f, API_APP, "GET", "/metrics", NULL), 200);
	for (const char *at = f->body; (at = strstr(at, "# TYPE ")) != NULL; at++) {
		char quoted[160];

		snprintf(quoted, sizeof(quoted), "`%.*s`", (int)strcspn(at + 7, " "), at + 7);
		if (strstr(text, quoted) == NULL)
			print_message("not in docs/metrics.md: %s\n", quoted);
		assert_non_null(strstr(text, quoted));
	}
}

/* --- documents --- */

static struct json_object *load_document(struct api_fixture *f, enum api_role role)
{
	struct json_object *o;

	assert_int_equal(ask(f, role, "GET", "/api/openapi.json", NULL), 200);
	assert_true(has_header(f, "content-type: application/json"));
	o = json_tokener_parse(f->body);
	assert_non_null(o);
	assert_true(ev_str_starts(vector_str(o, "openapi"), EV_LIT("3.1.")));
	assert_true(vector_str(vector_get(o, "info"), "version").n > 0);
	return o;
}

static const char *lower_method(enum net_method m)
{
	static char text[16];
	const char *from = net_method_text(m);
	size_t i;

	for (i = 0; from[i] != '\0'; i++)
		text[i] = (char)(from[i] - 'A' + 'a');
	text[i] = '\0';
	return text;
}

static size_t n_operations(struct json_object *paths)
{
	size_t n = 0;

	json_object_object_foreach(paths, path, item)
	{
		(void)path; /* counted only */
		n += (size_t)json_object_object_length(item);
	}
	return n;
}

static void the_documents_have_every_route_and_no_other(void **state)
{
	struct api_fixture *f = *state;

	for (unsigned role = API_OUTLET; role <= API_APP; role++) {
		struct json_object *o = load_document(f, (enum api_role)role);
		struct json_object *paths = vector_get(o, "paths");
		size_t n;
		const struct route *routes = api_routes((enum api_role)role, &n);

		for (size_t i = 0; i < n; i++) {
			struct json_object *path = vector_get(paths, routes[i].pattern);

			if (path == NULL ||
			    vector_get(path, lower_method(routes[i].method)) == NULL)
				print_message("not in the document: %s %s\n",
					      net_method_text(routes[i].method), routes[i].pattern);
			assert_non_null(path);
			assert_non_null(vector_get(path, lower_method(routes[i].method)));
		}
		assert_int_equal(n_operations(paths), n);
		json_object_put(o);
	}
}

static bool has_parameter(struct json_object *operation, const char *name)
{
	struct json_object *list = vector_get(operation, "parameters");

	for (size_t i = 0; list != NULL && i < json_object_array_length(list); i++) {
		struct json_object *p = json_object_array_get_idx(list, i);

		if (vector_get(p, "name") != NULL &&
		    strcmp(json_object_get_string(vector_get(p, "name")), name) == 0)
			return true;
	}
	return false;
}

static void check_parameters(struct json_object *operation, const char *pattern)
{
	const char *open = pattern;

	while ((open = strchr(open, '{')) != NULL) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
		assert_true(has_parameter(operation, name));
		open++;
	}
}

static void the_documents_name_the_parameters_of_each_path(void **state)
{
	struct api_fixture *f = *state;

	for (unsigned role = API_OUTLET; role <= API_APP; role++) {
		struct json_object *o = load_document(f, (enum api_role)role);
		size_t n;
		const struct route *routes = api_routes((enum api_role)role, &n);

		for (size_t i = 0; i < n; i++) {
			struct json_object *path = vector_get(vector_get(o, "paths"),
							      routes[i].pattern);

			check_parameters(vector_get(path, lower_method(routes[i].method)),
					 routes[i].pattern);
		}
		json_object_put(o);
	}
}

/* --- books --- */

static void the_books_are_shown_and_balance(void **state)
{
	struct api_fixture *f = *state;

	device_sends(f, OUTLET_CHARGING, "bob", INT64_C(1500000));
	assert_int_equal(ask(f, API_OUTLET, "GET", "/api/books", NULL), 200);
	assert_string_equal(
		f->body,
		"{\"outlets\":{\"count\":1,\"totalPowerConsumption\":1.5,"
		"\"unassignedPowerConsumption\":1.5},\"sessions\":{\"count\":0,\"live\":0,"
		"\"powerConsumption\":0.0},\"customers\":{\"count\":1},\"events\":{\"count\":0},"
		"\"commands\":{\"count\":1},\"deadLetters\":{\"open\":0},\"parked\":{\"count\":0},"
		"\"unassignedItems\":{\"open\":1,\"powerConsumption\":1.5},\"balanced\":true}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_fixture_setup, api_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(where_credentials_are_needed_only_live_goes_without),
		TEST(a_wrong_token_is_refused_where_none_is_needed),
		TEST(pages_of_other_sites_change_nothing),
		TEST(paths_and_methods_that_are_not_there),
		TEST(live_is_empty_on_all),
		TEST(a_full_disk_is_said_and_nothing_acknowledged),
		TEST(a_store_that_cannot_be_read_is_said),
		TEST(more_than_the_queue_holds_is_told_to_come_again),
		TEST(more_reads_than_the_limit_are_told_to_come_again),
		TEST(a_peer_that_left_costs_nothing),
		TEST(ready_says_what_is_missing),
		cmocka_unit_test(more_checks_than_fit_are_left_out),
		TEST(metrics_show_what_everybody_counted),
		TEST(metrics_have_one_head_a_name),
		TEST(every_metric_is_explained),
		TEST(the_documents_have_every_route_and_no_other),
		TEST(the_documents_name_the_parameters_of_each_path),
		TEST(the_books_are_shown_and_balance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
