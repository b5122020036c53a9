#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/time.h"
#include "service/credentials.h"

#define OUTLET_A "86c911e2-bbf3-42c8-8925-f9d380c1f329"
#define OUTLET_B "86c911e2-bbf3-42c8-8925-f9d380c1f32a"
#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const uint64_t seed[2] = { 1, 2 };

struct fixture {
	char dir[64];
	char path[96];
	struct ev_rng_seeded rng;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/evcharge-test-credentials-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/" CREDENTIALS_FILE, f->dir);
	ev_rng_seeded_init(&f->rng, 7);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)unlink(f->path); /* not every test writes it */
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void put_file(const struct fixture *f, const char *text, mode_t mode)
{
	int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

static struct credentials *must_open(const struct fixture *f)
{
	struct credentials *c = NULL;
	struct ev_fail fail = { .code = EV_OK };

	if (credentials_open(&c, f->dir, seed, &fail) != EV_OK)
		fail_msg("%s", fail.text);
	return c;
}

static ev_err create(struct fixture *f, enum credential_kind kind, const char *name,
		     char secret[CREDENTIAL_SECRET_TEXT + 1])
{
	return credentials_create(f->dir, kind, ev_str_from(name), &f->rng.base, 5 * EV_NS_PER_S,
				  secret, NULL);
}

static bool is_device(struct credentials *c, const char *outlet, const char *secret)
{
	struct ev_uuid id;

	assert_int_equal(ev_uuid_parse(ev_str_from(outlet), &id), EV_OK);
	return credentials_is_device(c, &id, ev_str_from(secret));
}

static void no_file_lets_nobody_in(void **state)
{
	struct fixture *f = *state;
	struct credentials *c = must_open(f);

	assert_int_equal(credentials_count(c), 0);
	assert_false(credentials_is_api(c, EV_LIT("")));
	assert_false(is_device(c, OUTLET_A, ""));
	assert_false(credentials_are_exposed(c));
	credentials_free(c);
}

static void a_created_token_is_found_by_its_secret_alone(void **state)
{
	struct fixture *f = *state;
	char secret[CREDENTIAL_SECRET_TEXT + 1] = "";
	struct stat st;

	assert_int_equal(create(f, CREDENTIAL_API, "dashboard", secret), EV_OK);
	assert_int_equal(strlen(secret), CREDENTIAL_SECRET_TEXT);
	assert_int_equal(memcmp(secret, "evc_", 4), 0);
	assert_int_equal(strspn(secret + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					    "0123456789-_"),
			 43);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	struct credentials *c = must_open(f);
	const struct credential *found = credentials_at(c, 0);

	assert_true(credentials_is_api(c, ev_str_from(secret)));
	assert_int_equal(credentials_count(c), 1);
	assert_string_equal(found->name, "dashboard");
	assert_int_equal(found->created_ns, 5 * EV_NS_PER_S);
	assert_false(is_device(c, OUTLET_A, secret));
	secret[10] = secret[10] == 'A' ? 'B' : 'A';
	assert_false(credentials_is_api(c, ev_str_from(secret)));
	credentials_free(c);
}

static void the_secret_is_not_in_the_file(void **state)
{
	struct fixture *f = *state;
	char secret[CREDENTIAL_SECRET_TEXT + 1], text[1024] = "";

	assert_int_equal(create(f, CREDENTIAL_API, "a", secret), EV_OK);
	int fd = open(f->path, O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_int_equal(close(fd), 0);
	assert_null(strstr(text, secret + 4));
	assert_non_null(strstr(text, "\napi a "));
}

static void a_secret_is_of_one_outlet_and_an_outlet_may_have_several(void **state)
{
	struct fixture *f = *state;
	char a1[CREDENTIAL_SECRET_TEXT + 1], a2[CREDENTIAL_SECRET_TEXT + 1],
		b[CREDENTIAL_SECRET_TEXT + 1];

	assert_int_equal(create(f, CREDENTIAL_DEVICE, OUTLET_A, a1), EV_OK);
	assert_int_equal(create(f, CREDENTIAL_DEVICE, "86C911E2-BBF3-42C8-8925-F9D380C1F329", a2),
			 EV_OK);
	assert_int_equal(create(f, CREDENTIAL_DEVICE, OUTLET_B, b), EV_OK);
	struct credentials *c = must_open(f);

	assert_int_equal(credentials_count(c), 3);
	assert_true(is_device(c, OUTLET_A, a1));
	assert_true(is_device(c, OUTLET_A, a2));
	assert_true(is_device(c, OUTLET_B, b));
	assert_false(is_device(c, OUTLET_A, b));
	assert_false(is_device(c, OUTLET_B, a1));
	assert_false(credentials_is_api(c, ev_str_from(b)));
	credentials_free(c);
}

static void refuses_names_that_would_break_a_line(void **state)
{
	static const char *const bad[] = {
		"", "a b", "a\nb", "a#", "ä", "12345678901234567890123456789012345678901"
	};
	struct fixture *f = *state;
	char secret[CREDENTIAL_SECRET_TEXT + 1] = "untouched";

	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++)
		assert_int_equal(create(f, CREDENTIAL_API, bad[i], secret), EV_INVALID);
	assert_int_equal(create(f, CREDENTIAL_DEVICE, "not-a-uuid", secret), EV_INVALID);
	assert_string_equal(secret, "untouched");
	assert_int_equal(access(f->path, F_OK), -1);
}

static void a_name_is_given_once(void **state)
{
	struct fixture *f = *state;
	char first[CREDENTIAL_SECRET_TEXT + 1], second[CREDENTIAL_SECRET_TEXT + 1] = "untouched";

	assert_int_equal(create(f, CREDENTIAL_API, "a", first), EV_OK);
	assert_int_equal(create(f, CREDENTIAL_API, "a", second), EV_EXISTS);
	assert_string_equal(second, "untouched");
	struct credentials *c = must_open(f);

	assert_true(credentials_is_api(c, ev_str_from(first)));
	credentials_free(c);
}

static void revoking_takes_all_of_a_name_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	char a[CREDENTIAL_SECRET_TEXT + 1], b[CREDENTIAL_SECRET_TEXT + 1];

	assert_int_equal(create(f, CREDENTIAL_DEVICE, OUTLET_A, a), EV_OK);
	assert_int_equal(create(f, CREDENTIAL_DEVICE, OUTLET_A, a), EV_OK);
	assert_int_equal(create(f, CREDENTIAL_API, "b", b), EV_OK);
	assert_int_equal(credentials_revoke(f->dir, CREDENTIAL_DEVICE, EV_LIT(OUTLET_A), NULL),
			 EV_OK);
	assert_int_equal(credentials_revoke(f->dir, CREDENTIAL_DEVICE, EV_LIT(OUTLET_A), NULL),
			 EV_NOTFOUND);
	assert_int_equal(credentials_revoke(f->dir, CREDENTIAL_DEVICE, EV_LIT("b"), NULL),
			 EV_INVALID);
	struct credentials *c = must_open(f);

	assert_int_equal(credentials_count(c), 1);
	assert_false(is_device(c, OUTLET_A, a));
	assert_true(credentials_is_api(c, ev_str_from(b)));
	credentials_free(c);
}

static void a_change_of_the_file_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct credentials *c = must_open(f);
	char secret[CREDENTIAL_SECRET_TEXT + 1];
	bool changed = true;

	assert_int_equal(credentials_refresh(c, &changed, NULL), EV_OK);
	assert_false(changed);
	assert_int_equal(create(f, CREDENTIAL_API, "a", secret), EV_OK);
	assert_false(credentials_is_api(c, ev_str_from(secret)));
	assert_int_equal(credentials_refresh(c, &changed, NULL), EV_OK);
	assert_true(changed);
	assert_true(credentials_is_api(c, ev_str_from(secret)));
	assert_int_equal(credentials_refresh(c, &changed, NULL), EV_OK);
	assert_false(changed);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(credentials_refresh(c, &changed, NULL), EV_OK);
	assert_true(changed);
	assert_false(credentials_is_api(c, ev_str_from(secret)));
	credentials_free(c);
}

static void a_broken_file_leaves_the_old_set_in_force(void **state)
{
	struct fixture *f = *state;
	struct ev_fail fail = { .code = EV_OK };
	char secret[CREDENTIAL_SECRET_TEXT + 1];

	assert_int_equal(create(f, CREDENTIAL_API, "a", secret), EV_OK);
	struct credentials *c = must_open(f);

	put_file(f, "# fine\n\nnonsense\n", 0600);
	assert_int_equal(credentials_refresh(c, NULL, &fail), EV_CORRUPT);
	assert_non_null(strstr(fail.text, "line 3"));
	assert_true(credentials_is_api(c, ev_str_from(secret)));
	assert_int_equal(create(f, CREDENTIAL_API, "b", secret), EV_CORRUPT);
	credentials_free(c);
}

static void refuses_lines_that_are_not_whole(void **state)
{
	static const char *const bad[] = {
		"api",
		"api a",
		"api a " DIGEST,
		"api a " DIGEST " ",
		"api a " DIGEST " yesterday",
		"api a " DIGEST " 2026-01-01T00:00:00Z more",
		"api  a " DIGEST " 2026-01-01T00:00:00Z",
		"user a " DIGEST " 2026-01-01T00:00:00Z",
		"api a E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		" 2026-01-01T00:00:00Z",
		"api a e3b0 2026-01-01T00:00:00Z",
		"device a " DIGEST " 2026-01-01T00:00:00Z",
	};
	struct fixture *f = *state;
	struct credentials *c = NULL;

	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		put_file(f, bad[i], 0600);
		if (credentials_open(&c, f->dir, seed, NULL) != EV_CORRUPT)
			fail_msg("accepted '%s'", bad[i]);
	}
	assert_null(c);
	put_file(f, "api a " DIGEST " 2026-01-01T00:00:00Z", 0600);
	c = must_open(f);
	/* The digest is that of no bytes at all: an empty secret finds it, as any other would. */
	assert_true(credentials_is_api(c, EV_LIT("")));
	credentials_free(c);
}

static void a_file_that_others_can_read_is_told(void **state)
{
	struct fixture *f = *state;

	put_file(f, "", 0640);
	struct credentials *c = must_open(f);

	assert_true(credentials_are_exposed(c));
	assert_int_equal(chmod(f->path, 0600), 0);
	assert_int_equal(credentials_refresh(c, NULL, NULL), EV_OK);
	assert_false(credentials_are_exposed(c));
	credentials_free(c);
}

static void what_a_crash_left_half_written_is_replaced(void **state)
{
	struct fixture *f = *state;
	char secret[CREDENTIAL_SECRET_TEXT + 1], path[128];
	int fd;

	snprintf(path, sizeof(path), "%s.new", f->path);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "api half", 8), 8);
	assert_int_equal(close(fd), 0);
	assert_int_equal(create(f, CREDENTIAL_API, "a", secret), EV_OK);
	assert_int_equal(access(path, F_OK), -1);
	struct credentials *c = must_open(f);

	assert_true(credentials_is_api(c, ev_str_from(secret)));
	assert_false(credentials_are_exposed(c));
	credentials_free(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_file_lets_nobody_in),
		TEST(a_created_token_is_found_by_its_secret_alone),
		TEST(the_secret_is_not_in_the_file),
		TEST(a_secret_is_of_one_outlet_and_an_outlet_may_have_several),
		TEST(refuses_names_that_would_break_a_line),
		TEST(a_name_is_given_once),
		TEST(revoking_takes_all_of_a_name_and_nothing_else),
		TEST(a_change_of_the_file_is_noticed),
		TEST(a_broken_file_leaves_the_old_set_in_force),
		TEST(refuses_lines_that_are_not_whole),
		TEST(a_file_that_others_can_read_is_told),
		TEST(what_a_crash_left_half_written_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
