/* test_access.c — who may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/access.h"

#define OUTLET_A "86c911e2-bbf3-42c8-8925-f9d380c1f329"
#define OUTLET_B "86c911e2-bbf3-42c8-8925-f9d380c1f32a"

struct fixture {
	char dir[64];
	struct credentials *credentials;
	char token[CREDENTIAL_SECRET_TEXT + 1];
	char secret[CREDENTIAL_SECRET_TEXT + 1]; /* of OUTLET_A */
	struct ev_uuid a, b;
	struct access_policy open, closed; /* credentials optional, required */
};

static int set_up(void **state)
{
	static const uint64_t seed[2] = { 1, 2 };
	struct fixture *f = calloc(1, sizeof(*f));
	struct ev_rng_seeded rng;

	assert_non_null(f);
	ev_rng_seeded_init(&rng, 7);
	snprintf(f->dir, sizeof(f->dir), "/tmp/evcharge-test-access-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(credentials_create(f->dir, CREDENTIAL_API, EV_LIT("ops"), &rng.base, 1,
					    f->token, NULL),
			 EV_OK);
	assert_int_equal(credentials_create(f->dir, CREDENTIAL_DEVICE, EV_LIT(OUTLET_A), &rng.base,
					    1, f->secret, NULL),
			 EV_OK);
	assert_int_equal(credentials_open(&f->credentials, f->dir, seed, NULL), EV_OK);
	assert_int_equal(ev_uuid_parse(EV_LIT(OUTLET_A), &f->a), EV_OK);
	assert_int_equal(ev_uuid_parse(EV_LIT(OUTLET_B), &f->b), EV_OK);
	f->open.credentials = f->credentials;
	f->closed.credentials = f->credentials;
	f->closed.required = true;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char path[96];

	credentials_free(f->credentials);
	snprintf(path, sizeof(path), "%s/" CREDENTIALS_FILE, f->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static struct access_headers with(const char *authorization)
{
	return (struct access_headers){ .authorization = ev_str_from(authorization),
					.host = EV_LIT("127.0.0.1:8081") };
}

static enum access api(const struct access_policy *p, const char *authorization)
{
	struct access_headers h = with(authorization);

	return access_api(p, &h);
}

static void bearer(char *out, size_t cap, const char *scheme, const char *secret)
{
	snprintf(out, cap, "%s %s", scheme, secret);
}

static void a_token_is_needed_only_where_it_is_required(void **state)
{
	const struct fixture *f = *state;

	assert_int_equal(api(&f->open, ""), ACCESS_GRANTED);
	assert_int_equal(api(&f->closed, ""), ACCESS_MISSING);
}

static void a_right_token_is_let_in_and_a_wrong_one_never(void **state)
{
	const struct fixture *f = *state;
	const struct access_policy none = { .required = false };
	char text[128];

	bearer(text, sizeof(text), "Bearer", f->token);
	assert_int_equal(api(&f->open, text), ACCESS_GRANTED);
	assert_int_equal(api(&f->closed, text), ACCESS_GRANTED);
	assert_int_equal(api(&none, text), ACCESS_WRONG);
	bearer(text, sizeof(text), "bearer  ", f->token);
	assert_int_equal(api(&f->closed, text), ACCESS_GRANTED);
	text[strlen(text) - 1] ^= 1;
	assert_int_equal(api(&f->closed, text), ACCESS_WRONG);
	assert_int_equal(api(&f->open, text), ACCESS_WRONG);
	bearer(text, sizeof(text), "Bearer", f->secret);
	assert_int_equal(api(&f->open, text), ACCESS_WRONG);
}

static void what_is_no_bearer_is_wrong(void **state)
{
	const struct fixture *f = *state;
	static const char *const texts[] = { "Bearer", "Bearer ", "Basic Og==", "x", "Bearerx y" };
	char longer[400];

	for (size_t i = 0; i < EV_ARRAY_LEN(texts); i++)
		assert_int_equal(api(&f->open, texts[i]), ACCESS_WRONG);
	memset(longer, 'a', sizeof(longer) - 1);
	memcpy(longer, "Bearer ", 7);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(api(&f->open, longer), ACCESS_WRONG);
}

static void base64(const char *in, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(in);

	for (size_t i = 0; i < n; i += 3) {
		unsigned v = 0;

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < n ? (unsigned char)in[i + k] : 0U);
		for (unsigned k = 0; k < 4; k++)
			*out++ = i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63];
	}
	*out = '\0';
}

static enum access device(const struct access_policy *p, const char *authorization,
			  const struct ev_uuid *id)
{
	struct access_headers h = with(authorization);

	return access_device(p, &h, id);
}

static void basic(char *out, const char *user, const char *secret)
{
	char plain[160];

	snprintf(plain, sizeof(plain), "%s:%s", user, secret);
	memcpy(out, "Basic ", 6);
	base64(plain, out + 6);
}

static void a_device_shows_a_secret_of_its_own_outlet(void **state)
{
	const struct fixture *f = *state;
	char text[256];

	bearer(text, sizeof(text), "Bearer", f->secret);
	assert_int_equal(device(&f->closed, text, &f->a), ACCESS_GRANTED);
	assert_int_equal(device(&f->closed, text, &f->b), ACCESS_WRONG);
	basic(text, OUTLET_A, f->secret);
	assert_int_equal(device(&f->closed, text, &f->a), ACCESS_GRANTED);
	assert_int_equal(device(&f->open, text, &f->b), ACCESS_WRONG);
	basic(text, OUTLET_B, f->secret);
	assert_int_equal(device(&f->closed, text, &f->a), ACCESS_WRONG);
	bearer(text, sizeof(text), "Bearer", f->token);
	assert_int_equal(device(&f->closed, text, &f->a), ACCESS_WRONG);
	assert_int_equal(device(&f->closed, "", &f->a), ACCESS_MISSING);
	assert_int_equal(device(&f->open, "", &f->a), ACCESS_GRANTED);
}

static void malformed_basic_is_wrong(void **state)
{
	const struct fixture *f = *state;
	static const char *const texts[] = { "Basic", "Basic !", "Basic Og",
					     "Basic QQ==", "Basic Og==" };

	for (size_t i = 0; i < EV_ARRAY_LEN(texts); i++)
		assert_int_equal(device(&f->open, texts[i], &f->a), ACCESS_WRONG);
}

static void an_origin_is_the_same_by_host_and_port(void **state)
{
	static const struct {
		const char *origin, *host;
		bool same;
	} cases[] = {
		{ "http://127.0.0.1:8081", "127.0.0.1:8081", true },
		{ "http://LocalHost:8081", "localhost:8081", true },
		{ "http://a.example", "a.example", true },
		{ "http://a.example", "a.example:80", true },
		{ "http://a.example:80", "a.example", true },
		{ "https://a.example", "a.example:443", true },
		{ "https://a.example", "a.example:80", false },
		{ "http://a.example:8080", "a.example", false },
		{ "http://b.example", "a.example", false },
		{ "http://", "", false },
		{ "null", "a.example", false },
		{ "ftp://a.example", "a.example", false },
		{ "http://[::1]:8081", "[::1]:8081", true },
	};

	(void)state; /* pure */
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++)
		assert_int_equal(access_same_origin(ev_str_from(cases[i].origin),
						    ev_str_from(cases[i].host)),
				 cases[i].same);
}

static void pages_of_other_sites_are_refused_even_with_a_token(void **state)
{
	const struct fixture *f = *state;
	char text[128];
	struct access_headers h;

	bearer(text, sizeof(text), "Bearer", f->token);
	h = with(text);
	h.origin = EV_LIT("http://evil.example");
	assert_int_equal(access_api(&f->open, &h), ACCESS_FOREIGN);
	assert_int_equal(access_device(&f->open, &h, &f->a), ACCESS_FOREIGN);
	h.origin = EV_LIT("http://127.0.0.1:8081");
	assert_int_equal(access_api(&f->open, &h), ACCESS_GRANTED);
	h.fetch_site = EV_LIT("cross-site");
	assert_int_equal(access_api(&f->open, &h), ACCESS_FOREIGN);
	h.fetch_site = EV_LIT("same-origin");
	assert_int_equal(access_api(&f->open, &h), ACCESS_GRANTED);
}

static void a_name_that_points_to_loopback_needs_a_token(void **state)
{
	const struct fixture *f = *state;
	struct access_headers h = with("");
	char text[128];

	h.host = EV_LIT("rebound.example:8081");
	assert_int_equal(access_api(&f->open, &h), ACCESS_FOREIGN);
	bearer(text, sizeof(text), "Bearer", f->token);
	h.authorization = ev_str_from(text);
	assert_int_equal(access_api(&f->open, &h), ACCESS_GRANTED);
}

static void hosts_that_are_local(void **state)
{
	static const struct {
		const char *host;
		bool local;
	} cases[] = {
		{ "", true },
		{ "localhost", true },
		{ "LOCALHOST:80", true },
		{ "127.0.0.1", true },
		{ "127.0.0.1:8081", true },
		{ "[::1]", true },
		{ "[::1]:8081", true },
		{ "192.168.1.5:80", true },
		{ "evil.example", false },
		{ "evil:80", false },
		{ "127.0.0.1.evil", false },
		{ "[evil]:80", false },
		{ "1e3", false },
		{ ":80", false },
	};

	(void)state; /* pure */
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++)
		assert_int_equal(access_host_is_local(ev_str_from(cases[i].host)), cases[i].local);
}

static void headers_are_found_in_any_case(void **state)
{
	const struct net_header list[] = {
		{ EV_LIT("HOST"), EV_LIT("h") },
		{ EV_LIT("Authorization"), EV_LIT("a") },
		{ EV_LIT("Origin"), EV_LIT("o") },
		{ EV_LIT("Sec-Fetch-Site"), EV_LIT("s") },
	};
	struct access_headers h = access_headers_of(list, EV_ARRAY_LEN(list));

	(void)state; /* pure */
	assert_true(ev_str_eqz(h.host, "h") && ev_str_eqz(h.authorization, "a"));
	assert_true(ev_str_eqz(h.origin, "o") && ev_str_eqz(h.fetch_site, "s"));
}

static void statuses_are_401_and_403(void **state)
{
	(void)state; /* pure */
	assert_int_equal(access_status(ACCESS_GRANTED), 0);
	assert_int_equal(access_status(ACCESS_MISSING), 401);
	assert_int_equal(access_status(ACCESS_WRONG), 401);
	assert_int_equal(access_status(ACCESS_FOREIGN), 403);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_is_needed_only_where_it_is_required),
		TEST(a_right_token_is_let_in_and_a_wrong_one_never),
		TEST(what_is_no_bearer_is_wrong),
		TEST(a_device_shows_a_secret_of_its_own_outlet),
		TEST(malformed_basic_is_wrong),
		cmocka_unit_test(an_origin_is_the_same_by_host_and_port),
		TEST(pages_of_other_sites_are_refused_even_with_a_token),
		TEST(a_name_that_points_to_loopback_needs_a_token),
		cmocka_unit_test(hosts_that_are_local),
		cmocka_unit_test(headers_are_found_in_any_case),
		cmocka_unit_test(statuses_are_401_and_403),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
