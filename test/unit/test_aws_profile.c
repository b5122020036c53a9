/* test_aws_profile.c — the shared files, and region and endpoints out of them. */
#include "engine/aws/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws_fake.h"
#include "base/attr.h"
#include "engine/aws/endpoint.h"

static struct aws_profiles *parse(const char *credentials, const char *config)
{
	struct ev_str files[AWS_FILE_COUNT] = {
		[AWS_FILE_CREDENTIALS] = ev_str_from(credentials),
		[AWS_FILE_CONFIG] = ev_str_from(config),
	};
	struct aws_profiles *p = NULL;

	assert_int_equal(aws_profiles_parse(files, &p, NULL), EV_OK);
	return p;
}

static void looks_keys_up(void **state)
{
	static const struct {
		const char *credentials, *config, *profile, *key, *value; /* NULL: not there */
	} cases[] = {
		{ "", "", "default", "region", NULL },
		{ "", "[default]\nregion = eu-west-1\n", "default", "region", "eu-west-1" },
		{ "", "[default]\nregion=eu-west-1", "default", "region", "eu-west-1" },
		{ "", "[default]\r\nregion = eu-west-1\r\n", "default", "region", "eu-west-1" },
		{ "", "\xEF\xBB\xBF[default]\nregion=r\n", "default", "region", "r" },
		{ "", "[default]\nREGION=r\n", "default", "region", "r" },
		{ "", "[profile a]\nregion=r\n", "a", "region", "r" },
		{ "", "[profile\ta]\nregion=r\n", "a", "region", "r" },
		{ "", "[ profile a ]\nregion=r\n", "a", "region", "r" },
		{ "", "[profile \"a b\"]\nregion=r\n", "a b", "region", "r" },
		{ "", "[profile 'a b']\nregion=r\n", "a b", "region", "r" },
		{ "", "[profile \"a b]\nregion=r\n", "a b", "region", NULL },
		{ "", "[profile]\nregion=r\n", "profile", "region", NULL },
		{ "", "[a]\nregion=r\n", "a", "region", NULL },
		{ "[a]\nregion=r\n", "", "a", "region", "r" },
		{ "[profile a]\nregion=r\n", "", "a", "region", NULL },
		{ "[a]\nregion=cred\n", "[profile a]\nregion=conf\n", "a", "region", "cred" },
		{ "", "[default]\nregion=a\n[profile default]\nregion=b\n", "default", "region",
		  "b" },
		{ "", "[profile default]\nregion=b\n[default]\nregion=a\n", "default", "region",
		  "b" },
		{ "", "[profile a]\nregion=1\n[profile b]\nregion=2\n[profile a]\noutput=3\n", "a",
		  "region", "1" },
		{ "", "[profile a]\nregion=1\nregion=2\n", "a", "region", "2" },
		{ "", "[profile a]\nregion=1\n[profile a]\nregion=2\n", "a", "region", "2" },
		{ "", "# c\n; d\n[default] # e\n# f\nregion = r # g\n", "default", "region", "r" },
		{ "", "[default]\nx = a#b;c\n", "default", "x", "a#b;c" },
		{ "", "[default]\nx = a ;c\n", "default", "x", "a" },
		{ "", "[default]\nx = a=b == c\n", "default", "x", "a=b == c" },
		{ "", "[default]\nx =\n", "default", "x", NULL },
		{ "", "[default]\ns3 =\n  region = nested\n", "default", "region", NULL },
		{ "", "[default]\ns3 =\n  a = b\nregion = r\n", "default", "region", "r" },
		{ "", "[default]\nx = a\n   more of it\nregion = r\n", "default", "region", "r" },
		{ "", "[sso-session a]\nregion=r\n", "a", "region", NULL },
		{ "", "\n\n   \n[default]\n\nregion=r\n", "default", "region", "r" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		EV_CLEANUP(aws_profiles_freep)
		struct aws_profiles *p = parse(cases[i].credentials, cases[i].config);
		struct ev_str v = EV_LIT("untouched");
		bool there = aws_profile_get(p, ev_str_from(cases[i].profile), cases[i].key, &v);

		assert_int_equal(there, cases[i].value != NULL);
		assert_true(ev_str_eqz(v, there ? cases[i].value : "untouched"));
	}
}

static void refuses_with_the_line_and_without_its_content(void **state)
{
	static const struct {
		const char *config, *text;
	} cases[] = {
		{ "region = SECRET\n", "line 1: a line outside any section" },
		{ "[default\nSECRET", "line 1: a section without its closing bracket" },
		{ "[default] SECRET\n", "line 1: something behind a section's name" },
		{ "[default]\nSECRET\n", "line 2: neither a key with a value nor a section" },
		{ "[default]\n= SECRET\n", "line 2: neither a key with a value nor a section" },
		{ "[default]\n  a = SECRET\n", "line 2: an indented line without a key above it" },
		{ "[default]\ns3 =\n  SECRET\n",
		  "line 3: neither a key with a value nor a section" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_str files[AWS_FILE_COUNT] = { [AWS_FILE_CONFIG] = ev_str_from(
								cases[i].config) };
		struct aws_profiles *p = NULL;
		struct ev_fail fail;

		assert_int_equal(aws_profiles_parse(files, &p, &fail), EV_INVALID);
		assert_null(p);
		assert_non_null(strstr(fail.text, cases[i].text));
		assert_non_null(strstr(fail.text, "the AWS config file"));
		assert_null(strstr(fail.text, "SECRET"));
	}
}

static void bounds_its_files(void **state)
{
	size_t n = AWS_PROFILE_FILE_MAX + 1;
	char *text = malloc(n);
	struct ev_str files[AWS_FILE_COUNT] = { [AWS_FILE_CREDENTIALS] = { text, n } };
	struct aws_profiles *p = NULL;
	size_t at = 4;

	(void)state;
	assert_non_null(text);
	memset(text, '#', n);
	assert_int_equal(aws_profiles_parse(files, &p, NULL), EV_FULL);
	memcpy(text, "[a]\n", 4);
	for (; at + 4 < n; at += 4)
		memcpy(text + at, "k=v\n", 4);
	files[AWS_FILE_CREDENTIALS].n = at;
	assert_int_equal(aws_profiles_parse(files, &p, NULL), EV_FULL);
	files[AWS_FILE_CREDENTIALS] = EV_LIT("[a]\nk\0=v\n");
	assert_int_equal(aws_profiles_parse(files, &p, NULL), EV_INVALID);
	assert_null(p);
	free(text);
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void reads_the_files_that_are_there(void **state)
{
	char dir[] = "/tmp/evcharge-aws-XXXXXX";
	char path[256];
	struct test_env env = { .n = 0 };
	struct aws_env e = test_env_of(&env);
	struct aws_profiles *p = NULL;
	struct ev_str v;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(aws_profiles_load(&e, &p, NULL), EV_OK); /* without even a home */
	aws_profiles_free(p);
	test_env_set(&env, "HOME", dir);
	assert_int_equal(aws_profiles_load(&e, &p, NULL), EV_OK);
	aws_profiles_free(p);
	snprintf(path, sizeof(path), "%s/.aws", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(path, "config", "[default]\nregion = home\n");
	assert_int_equal(aws_profiles_load(&e, &p, NULL), EV_OK);
	assert_true(aws_profile_get(p, EV_LIT("default"), "region", &v));
	assert_true(ev_str_eqz(v, "home"));
	aws_profiles_free(p);
	write_file(dir, "other", "[default]\nregion = other\n");
	test_env_set(&env, "AWS_CONFIG_FILE", "~/other");
	assert_int_equal(aws_profiles_load(&e, &p, NULL), EV_OK);
	assert_true(aws_profile_get(p, EV_LIT("default"), "region", &v));
	assert_true(ev_str_eqz(v, "other"));
	aws_profiles_free(p);
	test_env_set(&env, "AWS_CONFIG_FILE", dir); /* a directory */
	assert_int_equal(aws_profiles_load(&e, &p, NULL), EV_IO);
	test_env_clear(&env);
	snprintf(path, sizeof(path), "%s/.aws/config", dir);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/other", dir);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/.aws", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* --- Region and endpoints --- */

static void takes_the_region_in_order(void **state)
{
	static const struct {
		const char *region, *default_region, *profile_region;
		ev_err err;
		const char *wanted;
	} cases[] = {
		{ "a-1", "b-2", "c-3", EV_OK, "a-1" },
		{ "", "b-2", "c-3", EV_OK, "b-2" },
		{ "", "", "c-3", EV_OK, "c-3" },
		{ "", "", "", EV_NOTFOUND, NULL },
		{ "evil.example.org/", "", "", EV_INVALID, NULL },
		{ "EU-WEST-1", "", "", EV_INVALID, NULL },
		{ "-a", "", "", EV_INVALID, NULL },
		{ "abcdefghijklmnopqrstuvwxyz-0123456789", "", "", EV_INVALID, NULL },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char config[128], region[AWS_REGION_MAX + 1] = "";
		struct test_env env = { .n = 0 };
		struct aws_env e = test_env_of(&env);

		snprintf(config, sizeof(config), "[profile x]\nregion=%s\n",
			 cases[i].profile_region);
		EV_CLEANUP(aws_profiles_freep) struct aws_profiles *p = parse("", config);

		test_env_set(&env, "AWS_REGION", cases[i].region);
		test_env_set(&env, "AWS_DEFAULT_REGION", cases[i].default_region);
		assert_int_equal(aws_region_resolve(&e, p, EV_LIT("x"), region, NULL),
				 cases[i].err);
		if (cases[i].err == EV_OK)
			assert_string_equal(region, cases[i].wanted);
		test_env_clear(&env);
	}
}

static const char endpoint_config[] = "[profile none]\n"
				      "[profile url]\n"
				      "endpoint_url = http://profile:1\n"
				      "[profile services]\n"
				      "endpoint_url = http://profile:1\n"
				      "services = mine\n"
				      "[services mine]\n"
				      "sqs =\n"
				      "  endpoint_url = http://services:2\n";

static void takes_the_endpoint_in_order(void **state)
{
	static const struct {
		enum aws_service service;
		const char *region, *profile, *own, *all, *ignore;
		const char *url, *host; /* NULL: EV_INVALID */
	} cases[] = {
		{ AWS_SQS, "eu-west-1", "none", "", "", "", "https://sqs.eu-west-1.amazonaws.com/",
		  "sqs.eu-west-1.amazonaws.com" },
		{ AWS_KINESIS, "cn-north-1", "none", "", "", "",
		  "https://kinesis.cn-north-1.amazonaws.com.cn/",
		  "kinesis.cn-north-1.amazonaws.com.cn" },
		{ AWS_SQS, "r", "url", "", "", "", "http://profile:1/", "profile:1" },
		{ AWS_SQS, "r", "services", "", "", "", "http://services:2/", "services:2" },
		{ AWS_DYNAMODB, "r", "services", "", "", "", "http://profile:1/", "profile:1" },
		{ AWS_SQS, "r", "services", "", "http://all:3", "", "http://all:3/", "all:3" },
		{ AWS_SQS, "r", "services", "http://own:4/", "http://all:3", "", "http://own:4/",
		  "own:4" },
		{ AWS_SQS, "r", "services", "http://own:4", "http://all:3", "true",
		  "https://sqs.r.amazonaws.com/", "sqs.r.amazonaws.com" },
		{ AWS_SQS, "r", "none", "https://h:443", "", "", "https://h/", "h" },
		{ AWS_SQS, "r", "none", "http://h:80", "", "", "http://h/", "h" },
		{ AWS_SQS, "r", "none", "http://h:443", "", "", "http://h:443/", "h:443" },
		{ AWS_SQS, "r", "none", "http://[::1]:8000", "", "", "http://[::1]:8000/",
		  "[::1]:8000" },
		{ AWS_SQS, "r", "none", "http://u:p@h", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://h/path", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://h?q", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://h:0", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://h:65536", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "ftp://h", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "file:///etc/passwd", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://h\r\nX: y", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://[::1", "", "", NULL, NULL },
		{ AWS_SQS, "r", "none", "http://h#f", "", "", NULL, NULL },
	};
	EV_CLEANUP(aws_profiles_freep) struct aws_profiles *p = parse("", endpoint_config);

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct test_env env = { .n = 0 };
		struct aws_env e = test_env_of(&env);
		struct aws_endpoint out;

		test_env_set(&env, "AWS_ENDPOINT_URL_SQS", cases[i].own);
		test_env_set(&env, "AWS_ENDPOINT_URL", cases[i].all);
		test_env_set(&env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", cases[i].ignore);
		assert_int_equal(aws_endpoint_resolve(cases[i].service, cases[i].region, &e, p,
						      ev_str_from(cases[i].profile), &out, NULL),
				 cases[i].url != NULL ? EV_OK : EV_INVALID);
		if (cases[i].url != NULL) {
			assert_string_equal(out.url, cases[i].url);
			assert_string_equal(out.host, cases[i].host);
			assert_int_equal(out.tls, strncmp(cases[i].url, "https", 5) == 0);
		}
		test_env_clear(&env);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_keys_up),
		cmocka_unit_test(refuses_with_the_line_and_without_its_content),
		cmocka_unit_test(bounds_its_files),
		cmocka_unit_test(reads_the_files_that_are_there),
		cmocka_unit_test(takes_the_region_in_order),
		cmocka_unit_test(takes_the_endpoint_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
