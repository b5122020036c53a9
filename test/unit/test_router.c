/* test_router.c — which route a method and a path find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/router.h"

static void never(struct api_call *call)
{
	(void)call; /* the router calls nobody */
}

static const struct route routes[] = {
	{ NET_GET, "/live", never, ROUTE_FREE },
	{ NET_POST, "/api/things", never, 0 },
	{ NET_GET, "/api/things", never, 0 },
	{ NET_POST, "/api/things/start", never, 0 },
	{ NET_GET, "/api/things/{id}", never, 0 },
	{ NET_GET, "/api/things/{id}/stop", never, ROUTE_ACTS },
	{ NET_POST, "/api/things/{id}/stop", never, 0 },
	{ NET_POST, "/api/things/{id}/parts/{part}/fit", never, 0 },
};
#define N EV_ARRAY_LEN(routes)

static enum router_found find(const char *method, const char *path, struct route_match *m)
{
	enum net_method parsed;

	assert_int_equal(net_method_from(ev_str_from(method), &parsed), EV_OK);
	return router_find(routes, N, parsed, ev_str_from(path), m);
}

static void finds_the_route_of_method_and_path(void **state)
{
	static const struct {
		const char *method, *path;
		size_t route;
	} cases[] = {
		{ "GET", "/live", 0 },
		{ "POST", "/api/things", 1 },
		{ "GET", "/api/things", 2 },
		{ "HEAD", "/api/things", 2 },
		{ "POST", "/api/things/start", 3 },
		{ "GET", "/api/things/start", 4 },
		{ "GET", "/api/things/x", 4 },
		{ "GET", "/api/things/x/stop", 5 },
		{ "POST", "/api/things/x/stop", 6 },
		{ "POST", "/api/things/x/parts/y/fit", 7 },
		{ "GET", "//api///things", 2 },
		{ "GET", "/api/things//x", 4 },
	};
	struct route_match m;

	(void)state; /* pure */
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		assert_int_equal(find(cases[i].method, cases[i].path, &m), ROUTER_FOUND);
		assert_ptr_equal(m.route, &routes[cases[i].route]);
	}
}

static void other_paths_find_nothing(void **state)
{
	static const char *const paths[] = { "/",
					     "/api",
					     "/api/things/",
					     "/api/things/x/",
					     "/api/things/x/y",
					     "/API/things",
					     "/api/thing%73",
					     "/api/things/%zz",
					     "/api/things/%00",
					     "/live/x",
					     "*",
					     "/api/things/x/parts//fit" };
	char longer[128] = "/api/things/";
	struct route_match m;

	(void)state; /* pure */
	for (size_t i = 0; i < EV_ARRAY_LEN(paths); i++)
		assert_int_equal(find("GET", paths[i], &m), ROUTER_NONE);
	memset(longer + 12, 'x', ROUTER_PARAM_MAX + 1);
	assert_int_equal(find("GET", longer, &m), ROUTER_NONE);
	longer[12 + ROUTER_PARAM_MAX] = '\0';
	assert_int_equal(find("GET", longer, &m), ROUTER_FOUND);
}

static void parameters_are_decoded_in_order(void **state)
{
	struct route_match m;

	(void)state; /* pure */
	assert_int_equal(find("POST", "/api/things/a%2Fb/parts/c+d/fit", &m), ROUTER_FOUND);
	assert_int_equal(m.n_params, 2);
	assert_true(ev_str_eqz(route_param(&m, 0), "a/b"));
	assert_true(ev_str_eqz(route_param(&m, 1), "c+d"));
}

static void allows(const char *method, const char *path, enum router_found found, const char *text)
{
	char allow[ROUTER_ALLOW_TEXT];
	struct ev_buf b = ev_buf_over(allow, sizeof(allow));
	struct route_match m;

	assert_int_equal(find(method, path, &m), found);
	router_allow_text(m.allow, &b);
	assert_false(b.overflow);
	assert_true(ev_str_eqz(ev_buf_str(&b), text));
}

static void other_methods_are_told_which_there_are(void **state)
{
	(void)state; /* pure */
	allows("DELETE", "/api/things", ROUTER_OTHER_METHOD, "GET, HEAD, POST, OPTIONS");
	allows("POST", "/live", ROUTER_OTHER_METHOD, "GET, HEAD, OPTIONS");
	allows("OPTIONS", "/api/things", ROUTER_OPTIONS, "GET, HEAD, POST, OPTIONS");
	allows("OPTIONS", "*", ROUTER_OPTIONS, "GET, HEAD, POST, OPTIONS");
}

static void a_get_that_acts_is_not_run_by_head(void **state)
{
	(void)state; /* pure */
	allows("HEAD", "/api/things/x/stop", ROUTER_OTHER_METHOD, "GET, POST, OPTIONS");
}

static void all_methods_fit_the_text(void **state)
{
	char allow[ROUTER_ALLOW_TEXT];
	struct ev_buf b = ev_buf_over(allow, sizeof(allow));

	(void)state; /* pure */
	router_allow_text((1U << NET_METHOD_COUNT) - 1, &b);
	assert_false(b.overflow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_route_of_method_and_path),
		cmocka_unit_test(other_paths_find_nothing),
		cmocka_unit_test(parameters_are_decoded_in_order),
		cmocka_unit_test(other_methods_are_told_which_there_are),
		cmocka_unit_test(a_get_that_acts_is_not_run_by_head),
		cmocka_unit_test(all_methods_fit_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
