/* test_aws_credentials.c — each source of keys against a fake endpoint, and their renewal. */
#include "engine/aws/credentials.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws_fake.h"
#include "base/attr.h"
#include "base/time.h"

#define NOW (INT64_C(1795420800) * EV_NS_PER_S) /* 2026-11-23T08:00:00Z */

struct setup {
	struct test_env env;
	struct ev_clock_manual clock;
	struct ev_rng_seeded rng;
	struct test_pause pause;
	char dir[64];
	char path[128];
	struct aws_credentials_config config;
	struct aws_credentials *credentials;
};

/* A file in the test's directory; its path is s->path until the next one. */
static const char *put_file(struct setup *s, const char *name, const char *text)
{
	FILE *f;

	snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
	f = fopen(s->path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return s->path;
}

static int set_up(void **state)
{
	struct setup *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/evcharge-cred-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	ev_clock_manual_init(&s->clock, NOW);
	ev_rng_seeded_init(&s->rng, 1);
	s->pause.clock = &s->clock;
	s->config = (struct aws_credentials_config){
		.env = test_env_of(&s->env),
		.clock = &s->clock.base,
		.rng = &s->rng.base,
		.pause = test_pause_of(&s->pause),
	};
	test_env_set(&s->env, "AWS_EC2_METADATA_DISABLED", "true");
	test_env_set(&s->env, "AWS_SHARED_CREDENTIALS_FILE", put_file(s, "credentials", ""));
	test_env_set(&s->env, "AWS_CONFIG_FILE", put_file(s, "config", ""));
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "credentials", "config", "token", "keys" };
	struct setup *s = *state;

	aws_credentials_free(s->credentials);
	test_env_clear(&s->env);
	for (size_t i = 0; i < EV_ARRAY_LEN(names); i++) {
		snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, names[i]);
		(void)unlink(s->path);
	}
	assert_int_equal(rmdir(s->dir), 0);
	free(s);
	return 0;
}

static void anew(struct setup *s)
{
	aws_credentials_free(s->credentials);
	assert_int_equal(aws_credentials_new(&s->config, &s->credentials), EV_OK);
}

static void expect_keys(struct setup *s, const char *id, const char *secret, const char *token,
			enum aws_source source)
{
	EV_CLEANUP(aws_keys_unrefp) const struct aws_keys *k = NULL;
	struct ev_fail fail = { .text = "" };
	ev_err err;

	if (s->credentials == NULL)
		anew(s);
	err = aws_credentials_get(s->credentials, &k, &fail);
	if (err != EV_OK)
		print_error("%s\n", fail.text);
	assert_int_equal(err, EV_OK);
	assert_true(ev_str_eqz(k->id, id));
	assert_true(ev_str_eqz(k->secret, secret));
	assert_true(ev_str_eqz(k->token, token));
	assert_int_equal(k->source, source);
}

static void expect_failure(struct setup *s, ev_err wanted, const char *text)
{
	EV_CLEANUP(aws_keys_unrefp) const struct aws_keys *k = NULL;
	struct ev_fail fail = { .text = "" };
	ev_err err;

	if (s->credentials == NULL)
		anew(s);
	err = aws_credentials_get(s->credentials, &k, &fail);
	if (err != wanted || strstr(fail.text, text) == NULL)
		print_error("%s: %s\n", ev_err_text(err), fail.text);
	assert_int_equal(err, wanted);
	assert_null(k);
	assert_non_null(strstr(fail.text, text));
	assert_null(strstr(fail.text, "HUSH"));
}

/* --- Environment --- */

static void takes_keys_from_the_environment(void **state)
{
	struct setup *s = *state;

	expect_failure(s, EV_NOTFOUND, "no AWS keys are configured");
	anew(s);
	test_env_set(&s->env, "AWS_ACCESS_KEY_ID", "AK");
	expect_failure(s, EV_INVALID, "belong together");
	anew(s);
	test_env_set(&s->env, "AWS_SECRET_ACCESS_KEY", "HUSH");
	expect_keys(s, "AK", "HUSH", "", AWS_SOURCE_ENVIRONMENT);
	anew(s);
	test_env_set(&s->env, "AWS_SECURITY_TOKEN", "old");
	expect_keys(s, "AK", "HUSH", "old", AWS_SOURCE_ENVIRONMENT);
	anew(s);
	test_env_set(&s->env, "AWS_SESSION_TOKEN", "T");
	expect_keys(s, "AK", "HUSH", "T", AWS_SOURCE_ENVIRONMENT);
	anew(s);
	test_env_set(&s->env, "AWS_CREDENTIAL_EXPIRATION", "2026-11-23T07:59:59Z");
	expect_failure(s, EV_INVALID, "had expired");
	anew(s);
	test_env_set(&s->env, "AWS_CREDENTIAL_EXPIRATION", "tomorrow");
	expect_failure(s, EV_INVALID, "AWS_CREDENTIAL_EXPIRATION");
	anew(s);
	test_env_set(&s->env, "AWS_CREDENTIAL_EXPIRATION", "");
	test_env_set(&s->env, "AWS_SESSION_TOKEN", "T\r\nX-Evil: 1");
	expect_failure(s, EV_INVALID, "wrong form");
}

/* --- Profiles --- */

static void takes_keys_from_profiles(void **state)
{
	struct setup *s = *state;

	put_file(s, "credentials",
		 "[default]\naws_access_key_id = A1\naws_secret_access_key = S1\n"
		 "[other]\naws_access_key_id = A2\naws_secret_access_key = S2\n"
		 "aws_session_token = T2\n[half]\naws_access_key_id = A3\n");
	put_file(s, "config",
		 "[default]\naws_secret_access_key = wrong\n[profile half]\n"
		 "aws_secret_access_key = HUSH\n[profile config]\naws_access_key_id = A4\n"
		 "aws_secret_access_key = S4\n[profile sso]\nsso_session = x\n[profile empty]\n");
	expect_keys(s, "A1", "S1", "", AWS_SOURCE_PROFILE);
	test_env_set(&s->env, "AWS_PROFILE", "other");
	anew(s);
	expect_keys(s, "A2", "S2", "T2", AWS_SOURCE_PROFILE);
	/* Never an id from one file with the secret of the other. */
	test_env_set(&s->env, "AWS_PROFILE", "half");
	anew(s);
	expect_failure(s, EV_INVALID, "half: an access key's id or secret is missing");
	test_env_set(&s->env, "AWS_PROFILE", "config");
	anew(s);
	expect_keys(s, "A4", "S4", "", AWS_SOURCE_PROFILE);
	test_env_set(&s->env, "AWS_PROFILE", "sso");
	anew(s);
	expect_failure(s, EV_UNSUPPORTED, "nobody to log in");
	test_env_set(&s->env, "AWS_PROFILE", "absent");
	anew(s);
	expect_failure(s, EV_INVALID, "absent: does not exist");
	test_env_set(&s->env, "AWS_PROFILE", "empty");
	anew(s);
	expect_failure(s, EV_NOTFOUND, "no AWS keys");
	/* The environment's keys come first, but not before a profile that was asked for. */
	test_env_set(&s->env, "AWS_ACCESS_KEY_ID", "A0");
	test_env_set(&s->env, "AWS_SECRET_ACCESS_KEY", "S0");
	anew(s);
	expect_keys(s, "A0", "S0", "", AWS_SOURCE_ENVIRONMENT);
	s->config.profile = "other";
	anew(s);
	expect_keys(s, "A2", "S2", "T2", AWS_SOURCE_PROFILE);
	put_file(s, "config", "HUSH\n");
	anew(s);
	expect_failure(s, EV_INVALID, "the AWS config file, line 1");
}

static void takes_keys_from_a_program(void **state)
{
	struct setup *s = *state;
	char config[256];

	put_file(s, "keys",
		 "{\"Version\":1,\"AccessKeyId\":\"AP\",\"SecretAccessKey\":\"SP\","
		 "\"SessionToken\":\"TP\",\"Expiration\":\"2026-11-23T09:00:00Z\"}");
	snprintf(config, sizeof(config), "[default]\ncredential_process = cat '%s'\n", s->path);
	put_file(s, "config", config);
	expect_keys(s, "AP", "SP", "TP", AWS_SOURCE_PROCESS);
	put_file(s, "config", "[default]\ncredential_process = sh -c 'echo HUSH; exit 4'\n");
	anew(s);
	expect_failure(s, EV_DENIED, "credential_process ended with status 4");
	put_file(s, "config", "[default]\ncredential_process = echo {\\\"HUSH\\\"}\n");
	anew(s);
	expect_failure(s, EV_INVALID, "keys as JSON");
	put_file(s, "config", "[default]\ncredential_process = yes HUSH\n");
	anew(s);
	expect_failure(s, EV_FULL, "printed too much");
}

/* --- Roles --- */

#define ROLE_XML(action, id, until)                                                                \
	"<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action         \
	"Result><AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser><Credentials><AccessKeyId>" id  \
	"</AccessKeyId><SecretAccessKey>S&amp;1</SecretAccessKey><SessionToken>T/+=</"             \
	"SessionToken><Expiration>" until "</Expiration></Credentials></" action                   \
	"Result><ResponseMetadata/></" action "Response>"
#define LATER "2026-11-23T09:00:00.123456Z"

static void takes_a_role_with_the_keys_of_another_profile(void **state)
{
	static const struct fake_answer script[] = {
		{ .status = 500, .body = "no" },
		{ .status = 403,
		  .headers = "Date: Mon, 23 Nov 2026 09:00:00 GMT\r\n",
		  .body = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error>"
			  "</ErrorResponse>" },
		{ .body = ROLE_XML("AssumeRole", "ASIA1", LATER) },
	};
	struct setup *s = *state;
	struct fake f;

	fake_start(&f, script, 3);
	put_file(s, "credentials",
		 "[base]\naws_access_key_id = AB\naws_secret_access_key = SB\n"
		 "aws_session_token = TB\n");
	put_file(s, "config",
		 "[default]\nregion = eu-west-1\nrole_arn = arn:aws:iam::123456789012:role/r\n"
		 "source_profile = base\nexternal_id = a b&c\nduration_seconds = 900\n"
		 "role_session_name = me\n");
	test_env_set(&s->env, "AWS_ENDPOINT_URL_STS", f.url);
	expect_keys(s, "ASIA1", "S&1", "T/+=", AWS_SOURCE_ROLE);
	assert_int_equal(fake_n(&f), 3);
	assert_int_equal(s->pause.n, 1); /* after the 500; the clock is set at once */
	for (size_t i = 0; i < 3; i++) {
		const struct fake_request *r = fake_at(&f, i);

		fake_expect_signed(r, "AB", "SB", "eu-west-1", "sts");
		fake_expect_header(r, "X-Amz-Security-Token", "TB");
		assert_string_equal(r->body,
				    "Version=2011-06-15&Action=AssumeRole&RoleArn="
				    "arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fr&RoleSessionName="
				    "me&ExternalId=a%20b%26c&DurationSeconds=900");
	}
	fake_expect_header(fake_at(&f, 2), "X-Amz-Date", "20261123T090000Z");
	fake_stop(&f);
}

static void takes_roles_along_a_chain(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = ROLE_XML("AssumeRole", "ASIA1", LATER) },
		{ .body = ROLE_XML("AssumeRole", "ASIA2", LATER) },
		{ .body = ROLE_XML("AssumeRole", "ASIA3", LATER) },
	};
	struct setup *s = *state;
	struct fake f;

	fake_start(&f, script, 3);
	test_env_set(&s->env, "AWS_ENDPOINT_URL", f.url);
	put_file(
		s, "config",
		"[default]\nregion = r-1\nrole_arn = arn:2\nsource_profile = middle\n"
		"[profile middle]\nregion = r-1\nrole_arn = arn:1\nsource_profile = middle\n"
		"aws_access_key_id = AM\naws_secret_access_key = SM\n"
		"[profile env]\nregion = r-1\nrole_arn = arn:3\ncredential_source = Environment\n");
	put_file(s, "credentials", "");
	/* A source's own keys go before its role. */
	expect_keys(s, "ASIA1", "S&1", "T/+=", AWS_SOURCE_ROLE);
	fake_expect_signed(fake_at(&f, 0), "AM", "SM", "r-1", "sts");
	/* Its role is taken with its own keys when it is asked for itself. */
	test_env_set(&s->env, "AWS_PROFILE", "middle");
	anew(s);
	expect_keys(s, "ASIA2", "S&1", "T/+=", AWS_SOURCE_ROLE);
	fake_expect_signed(fake_at(&f, 1), "AM", "SM", "r-1", "sts");
	s->config.profile = "env";
	test_env_set(&s->env, "AWS_ACCESS_KEY_ID", "AE");
	test_env_set(&s->env, "AWS_SECRET_ACCESS_KEY", "SE");
	anew(s);
	expect_keys(s, "ASIA3", "S&1", "T/+=", AWS_SOURCE_ROLE);
	fake_expect_signed(fake_at(&f, 2), "AE", "SE", "r-1", "sts");
	fake_stop(&f);
}

static void refuses_roles_that_cannot_be_taken(void **state)
{
	static const struct {
		const char *config;
		ev_err err;
		const char *text;
	} cases[] = {
		{ "[default]\nrole_arn = a\n", EV_INVALID, "either source_profile or" },
		{ "[default]\nrole_arn = a\nsource_profile = b\ncredential_source = Environment\n",
		  EV_INVALID, "either source_profile or" },
		{ "[default]\nrole_arn = a\nsource_profile = b\n", EV_INVALID,
		  "b: does not exist" },
		{ "[default]\nrole_arn = a\nsource_profile = b\n[profile b]\nregion = x\n",
		  EV_INVALID, "no keys to take its role with" },
		{ "[default]\nrole_arn = a\nsource_profile = default\n", EV_INVALID,
		  "no keys to take its role with" },
		{ "[default]\nrole_arn = a\nsource_profile = b\n"
		  "[profile b]\nrole_arn = a\nsource_profile = default\n",
		  EV_INVALID, "in a circle" },
		{ "[default]\nrole_arn = a\ncredential_source = Moon\n", EV_INVALID,
		  "no such credential_source" },
		{ "[default]\nrole_arn = a\ncredential_source = Environment\n", EV_INVALID,
		  "no keys to take its role with" },
		{ "[default]\nrole_arn = a\nsource_profile = b\nmfa_serial = m\n", EV_UNSUPPORTED,
		  "MFA" },
		{ "[default]\nrole_arn = a\nsource_profile = b\nduration_seconds = 5\n", EV_INVALID,
		  "duration_seconds" },
		{ "[default]\nrole_arn = a\nsource_profile = b\n[profile b]\n"
		  "aws_access_key_id = A\naws_secret_access_key = HUSH\n",
		  EV_INVALID, "no region" },
	};
	struct setup *s = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		put_file(s, "config", cases[i].config);
		anew(s);
		expect_failure(s, cases[i].err, cases[i].text);
	}
}

static void takes_a_role_with_a_web_identity(void **state)
{
	static const struct fake_answer script[] = {
		{ .status = 400,
		  .body = "<ErrorResponse><Error><Code>IDPCommunicationError</Code></Error>"
			  "</ErrorResponse>" },
		{ .body = ROLE_XML("AssumeRoleWithWebIdentity", "ASIA1", LATER) },
		{ .body = ROLE_XML("AssumeRoleWithWebIdentity", "ASIA2", "2026-11-23T10:00:00Z") },
	};
	struct setup *s = *state;
	struct fake f;

	fake_start(&f, script, 3);
	test_env_set(&s->env, "AWS_ENDPOINT_URL_STS", f.url);
	test_env_set(&s->env, "AWS_REGION", "eu-west-1");
	test_env_set(&s->env, "AWS_WEB_IDENTITY_TOKEN_FILE", put_file(s, "token", "a.b/c+d"));
	expect_failure(s, EV_INVALID, "AWS_ROLE_ARN");
	test_env_set(&s->env, "AWS_ROLE_ARN", "arn:r");
	anew(s);
	expect_keys(s, "ASIA1", "S&1", "T/+=", AWS_SOURCE_WEB_IDENTITY);
	assert_string_equal(fake_at(&f, 1)->body,
			    "Version=2011-06-15&Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Ar&"
			    "RoleSessionName=evcharge-1795420800&WebIdentityToken=a.b%2Fc%2Bd");
	fake_expect_header(fake_at(&f, 1), "Authorization", NULL);
	fake_expect_header(fake_at(&f, 1), "Content-Type", "application/x-www-form-urlencoded");
	/* The file is renewed by others: it is read again each time. */
	put_file(s, "token", "second");
	test_env_set(&s->env, "AWS_ROLE_SESSION_NAME", "mine");
	ev_clock_manual_advance(&s->clock, 50 * EV_NS_PER_MIN);
	expect_keys(s, "ASIA2", "S&1", "T/+=", AWS_SOURCE_WEB_IDENTITY);
	assert_non_null(strstr(fake_at(&f, 2)->body, "RoleSessionName=mine"));
	assert_non_null(strstr(fake_at(&f, 2)->body, "WebIdentityToken=second"));
	fake_stop(&f);
}

static void fails_cleanly_on_what_sts_may_answer(void **state)
{
	static char huge[AWS_KEYS_ANSWER_MAX + 2];
	static const struct {
		struct fake_answer answer;
		size_t times;
		ev_err err;
		const char *text;
	} cases[] = {
		{ { .status = 403,
		    .body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you"
			    "</Message></Error></ErrorResponse>" },
		  1,
		  EV_DENIED,
		  "AccessDenied: not you" },
		{ { .status = 503, .body = "" }, 3, EV_IO, "503" },
		{ { .trick = FAKE_CLOSE }, 3, EV_IO, "Connection" },
		{ { .body = "" }, 1, EV_CORRUPT, "not as promised" },
		{ { .body = "{}" }, 1, EV_CORRUPT, "not as promised" },
		{ { .body = "<a><HUSH>" }, 1, EV_CORRUPT, "not as promised" },
		{ { .body = ROLE_XML("AssumeRole", "A", LATER) },
		  1,
		  EV_CORRUPT,
		  "not as promised" },
		{ { .body = ROLE_XML("AssumeRoleWithWebIdentity", "A", "soon") },
		  1,
		  EV_CORRUPT,
		  "not as promised" },
		{ { .body = ROLE_XML("AssumeRoleWithWebIdentity", "A&#13;&#10;X: 1", LATER) },
		  1,
		  EV_CORRUPT,
		  "not as promised" },
		{ { .body = ROLE_XML("AssumeRoleWithWebIdentity", "A", "2026-11-23T07:00:00Z") },
		  1,
		  EV_INVALID,
		  "had expired" },
		{ { .body = huge, .body_n = sizeof(huge) }, 1, EV_FULL, "full" },
	};
	struct setup *s = *state;

	memset(huge, 'x', sizeof(huge));
	test_env_set(&s->env, "AWS_REGION", "eu-west-1");
	test_env_set(&s->env, "AWS_ROLE_ARN", "arn:r");
	test_env_set(&s->env, "AWS_WEB_IDENTITY_TOKEN_FILE", put_file(s, "token", "t"));
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct fake_answer script[3] = { cases[i].answer, cases[i].answer,
						 cases[i].answer };
		struct fake f;

		fake_start(&f, script, 3);
		test_env_set(&s->env, "AWS_ENDPOINT_URL_STS", f.url);
		anew(s);
		expect_failure(s, cases[i].err, cases[i].text);
		assert_int_equal(fake_n(&f), cases[i].times);
		fake_stop(&f);
	}
}

/* --- Containers --- */

#define KEYS_JSON(id, until)                                                                       \
	"{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"SC\",\"Token\":\"TC\","                 \
	"\"Expiration\":\"" until "\"}"

static void asks_the_containers_endpoint(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = KEYS_JSON("AC1", LATER) },
		{ .status = 500, .headers = "Connection: close\r\n" },
		{ .trick = FAKE_CLOSE },
		{ .body = KEYS_JSON("AC2", LATER) },
		{ .body = KEYS_JSON("AC3", LATER) },
		{ .status = 404, .body = "HUSH" },
		{ .status = 503 },
		{ .status = 503 },
		{ .status = 503 },
	};
	struct setup *s = *state;
	char url[128];
	struct fake f;

	fake_start(&f, script, EV_ARRAY_LEN(script));
	s->config.container_base = f.url;
	test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x?a=b");
	expect_keys(s, "AC1", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_string_equal(fake_at(&f, 0)->path, "/v2/credentials/x?a=b");
	fake_expect_header(fake_at(&f, 0), "Accept", "application/json");
	fake_expect_header(fake_at(&f, 0), "Authorization", NULL);
	/* A full URI, a token, and two attempts that fail. */
	test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "");
	snprintf(url, sizeof(url), "%s/full", f.url);
	test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	test_env_set(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc");
	anew(s);
	expect_keys(s, "AC2", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_int_equal(s->pause.total_ns, 2 * EV_NS_PER_S);
	fake_expect_header(fake_at(&f, 3), "Authorization", "Basic abc");
	/* A file has the token of now. */
	test_env_set(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		     put_file(s, "token", "from file"));
	anew(s);
	expect_keys(s, "AC3", "SC", "TC", AWS_SOURCE_CONTAINER);
	fake_expect_header(fake_at(&f, 4), "Authorization", "from file");
	anew(s);
	expect_failure(s, EV_IO, "status 404"); /* once: it would be the same again */
	assert_int_equal(fake_n(&f), 6);
	/* Nor is the instance asked where a container's endpoint is configured. */
	test_env_set(&s->env, "AWS_EC2_METADATA_DISABLED", "");
	anew(s);
	expect_failure(s, EV_IO, "status 503");
	assert_int_equal(fake_n(&f), 9);
	fake_stop(&f);
}

static void goes_in_the_clear_to_this_machine_only(void **state)
{
	static const struct {
		const char *relative, *full;
	} cases[] = {
		{ "", "http://example.org/" },
		{ "", "http://169.254.169.254/" },
		{ "", "http://169.254.170.22/" },
		{ "", "http://127.0.0.1.example.org/" },
		{ "", "http://127.example.org/" },
		{ "", "http://127.0.0/" },
		{ "", "http://127.0.0.256/" },
		{ "", "http://localhost.example.org/" },
		{ "", "http://[fd00:ec2::24]/" },
		{ "", "http://[::2]/" },
		{ "", "http://127.0.0.1@example.org/" },
		{ "", "http://u:p@127.0.0.1/" },
		{ "", "ftp://127.0.0.1/" },
		{ "", "file:///etc/passwd" },
		{ "", "http://127.0.0.1/\r\nX: y" },
		{ "@example.org/", "" },
		{ ".example.org/", "" },
		{ ":80@example.org/", "" },
	};
	struct setup *s = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", cases[i].relative);
		test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", cases[i].full);
		anew(s);
		expect_failure(s, EV_INVALID, "the container's");
	}
}

static void refuses_container_tokens_with_line_breaks(void **state)
{
	static const struct fake_answer none[] = { { .status = 200 } };
	struct setup *s = *state;
	struct fake f;

	fake_start(&f, none, 1);
	test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", f.url);
	test_env_set(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "HUSH\r\nX-Evil: 1");
	expect_failure(s, EV_INVALID, "line break");
	test_env_set(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "fine");
	test_env_set(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		     put_file(s, "token", "HUSH\n"));
	anew(s);
	expect_failure(s, EV_INVALID, "line break");
	test_env_set(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent");
	anew(s);
	expect_failure(s, EV_INVALID, "token file");
	assert_int_equal(fake_n(&f), 0);
	fake_stop(&f);
}

static void fails_cleanly_on_what_an_endpoint_may_answer(void **state)
{
	static char huge[AWS_KEYS_ANSWER_MAX + 2];
	static const struct {
		struct fake_answer answer;
		ev_err err;
	} cases[] = {
		{ { .body = huge, .body_n = sizeof(huge) }, EV_FULL },
		{ { .trick = FAKE_FLOOD }, EV_FULL },
		{ { .body = "" }, EV_INVALID },
		{ { .body = "{\"AccessKeyId\":\"HUSH" }, EV_INVALID },
		{ { .body = "<html>HUSH</html>" }, EV_INVALID },
		{ { .body = KEYS_JSON("A\\r\\nX: HUSH", LATER) }, EV_INVALID },
		{ { .body = KEYS_JSON("A", "2026-11-23T08:00:00Z") }, EV_INVALID },
		{ { .body = "{\"Code\":\"Failed\",\"Message\":\"HUSH\"}" }, EV_DENIED },
		{ { .status = 302, .headers = "Location: http://example.org/\r\n" }, EV_IO },
		{ { .status = 403, .body = "HUSH" }, EV_DENIED },
	};
	struct setup *s = *state;

	memset(huge, 'x', sizeof(huge));
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct fake f;

		fake_start(&f, &cases[i].answer, 1);
		test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", f.url);
		anew(s);
		expect_failure(s, cases[i].err, "");
		assert_int_equal(fake_n(&f), 1);
		fake_stop(&f);
	}
}

/* --- Instances --- */

#define ROLES "/latest/meta-data/iam/security-credentials/"
#define INSTANCE_JSON(id, until)                                                                   \
	"{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"" id                        \
	"\",\"SecretAccessKey\":\"SI\",\"Token\":\"TI\",\"Expiration\":\"" until "\"}"

static void use_instance(struct setup *s, const struct fake *f)
{
	test_env_set(&s->env, "AWS_EC2_METADATA_DISABLED", "");
	test_env_set(&s->env, "AWS_EC2_METADATA_SERVICE_ENDPOINT", f->url);
}

static void asks_the_instance_with_a_session_token(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = "TOKEN1" },
		{ .body = "my-role\nother" },
		{ .body = INSTANCE_JSON("AI1", LATER) },
		/* renewal: the token is refused */
		{ .status = 401 },
		{ .body = "TOKEN2" },
		{ .body = "my-role" },
		{ .body = INSTANCE_JSON("AI2", "2026-11-23T12:00:00Z") },
		/* renewal: the token is still good */
		{ .body = "my-role" },
		{ .body = INSTANCE_JSON("AI3", "2026-11-24T12:00:00Z") },
	};
	struct setup *s = *state;
	struct fake f;

	fake_start(&f, script, EV_ARRAY_LEN(script));
	use_instance(s, &f);
	expect_keys(s, "AI1", "SI", "TI", AWS_SOURCE_INSTANCE);
	assert_string_equal(fake_at(&f, 0)->method, "PUT");
	assert_string_equal(fake_at(&f, 0)->path, "/latest/api/token");
	fake_expect_header(fake_at(&f, 0), "x-aws-ec2-metadata-token-ttl-seconds", "21600");
	assert_string_equal(fake_at(&f, 1)->method, "GET");
	assert_string_equal(fake_at(&f, 1)->path, ROLES);
	fake_expect_header(fake_at(&f, 1), "x-aws-ec2-metadata-token", "TOKEN1");
	assert_string_equal(fake_at(&f, 2)->path, ROLES "my-role");
	fake_expect_header(fake_at(&f, 2), "x-aws-ec2-metadata-token", "TOKEN1");
	ev_clock_manual_advance(&s->clock, 50 * EV_NS_PER_MIN);
	expect_keys(s, "AI2", "SI", "TI", AWS_SOURCE_INSTANCE);
	fake_expect_header(fake_at(&f, 5), "x-aws-ec2-metadata-token", "TOKEN2");
	ev_clock_manual_advance(&s->clock, 3 * EV_NS_PER_HOUR);
	expect_keys(s, "AI3", "SI", "TI", AWS_SOURCE_INSTANCE);
	fake_expect_header(fake_at(&f, 8), "x-aws-ec2-metadata-token", "TOKEN2");
	assert_int_equal(fake_n(&f), 9);
	fake_stop(&f);
}

static void tells_what_is_wrong_with_an_instance(void **state)
{
	static char long_token[2000];
	static const struct {
		struct fake_answer script[4];
		ev_err err;
		const char *text;
	} cases[] = {
		{ { { .trick = FAKE_HANG } }, EV_TIMEOUT, "is the hop limit 1?" },
		{ { { .trick = FAKE_CLOSE } }, EV_IO, "token" },
		{ { { .status = 403 } }, EV_DENIED, "token: status 403" },
		{ { { .status = 404 } }, EV_IO, "token: status 404" },
		{ { { .body = "" } }, EV_CORRUPT, "the token is none" },
		{ { { .body = "HUSH\r\nX: y" } }, EV_CORRUPT, "the token is none" },
		{ { { .body = long_token } }, EV_CORRUPT, "the token is none" },
		{ { { .body = "T" }, { .status = 404 } }, EV_NOTFOUND, "has no role" },
		{ { { .body = "T" }, { .body = "" } }, EV_CORRUPT, "role's name" },
		{ { { .body = "T" }, { .body = "../../x\n" } }, EV_CORRUPT, "role's name" },
		{ { { .body = "T" }, { .body = "a b\n" } }, EV_CORRUPT, "role's name" },
		{ { { .body = "T" }, { .status = 500 } }, EV_IO, "GET: status 500" },
		{ { { .body = "T" }, { .status = 401 }, { .body = "T" }, { .status = 401 } },
		  EV_DENIED,
		  "GET: status 401" },
		{ { { .body = "T" }, { .body = "r" }, { .body = "{\"Code\":\"Failed\"}" } },
		  EV_DENIED,
		  "Code is not Success" },
		{ { { .body = "T" }, { .body = "r" }, { .body = "{" } },
		  EV_INVALID,
		  "keys as JSON" },
	};
	struct setup *s = *state;

	memset(long_token, 'x', sizeof(long_token) - 1);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct fake f;

		fake_start(&f, cases[i].script, 4);
		use_instance(s, &f);
		anew(s);
		expect_failure(s, cases[i].err, cases[i].text);
		expect_failure(s, cases[i].err, "no AWS keys are configured");
		fake_stop(&f);
	}
	test_env_set(&s->env, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://u@127.0.0.1");
	anew(s);
	expect_failure(s, EV_INVALID, "no URL");
}

/* An instance whose metadata service is ill: its last keys serve beyond their end. */
static void serves_an_instances_old_keys_on(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = "TOKEN" },
		{ .body = "r" },
		{ .body = INSTANCE_JSON("OLD", "2026-11-23T07:00:00Z") },
		{ .body = "r" },
		{ .body = INSTANCE_JSON("OLD", "2026-11-23T07:00:00Z") },
		{ .status = 500 },
		{ .body = "r" },
		{ .body = INSTANCE_JSON("NEW", "2026-11-23T14:00:00Z") },
	};
	struct setup *s = *state;
	struct fake f;

	fake_start(&f, script, EV_ARRAY_LEN(script));
	use_instance(s, &f);
	expect_keys(s, "OLD", "SI", "TI", AWS_SOURCE_INSTANCE);
	for (size_t i = 0; i < 5; i++)
		expect_keys(s, "OLD", "SI", "TI", AWS_SOURCE_INSTANCE);
	assert_int_equal(fake_n(&f), 3);
	ev_clock_manual_advance(&s->clock, 11 * EV_NS_PER_MIN);
	expect_keys(s, "OLD", "SI", "TI", AWS_SOURCE_INSTANCE);
	assert_int_equal(fake_n(&f), 5);
	ev_clock_manual_advance(&s->clock, 60 * EV_NS_PER_MIN); /* nobody asked for long */
	expect_keys(s, "OLD", "SI", "TI", AWS_SOURCE_INSTANCE);
	assert_int_equal(fake_n(&f), 6);
	ev_clock_manual_advance(&s->clock, 11 * EV_NS_PER_MIN);
	expect_keys(s, "NEW", "SI", "TI", AWS_SOURCE_INSTANCE);
	assert_int_equal(fake_n(&f), 8);
	fake_stop(&f);
}

/* --- Renewal --- */

static void use_container(struct setup *s, const struct fake *f)
{
	test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", f->url);
}

static void renews_ahead_of_the_end(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = KEYS_JSON("K1", "2026-11-23T09:00:00Z") },
		{ .body = KEYS_JSON("K2", "2026-11-23T10:00:00Z") },
	};
	struct setup *s = *state;
	struct aws_credentials_state now;
	struct fake f;

	fake_start(&f, script, 2);
	use_container(s, &f);
	expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	ev_clock_manual_advance(&s->clock, 45 * EV_NS_PER_MIN);
	expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_int_equal(fake_n(&f), 1);
	ev_clock_manual_advance(&s->clock, 1);
	expect_keys(s, "K2", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_int_equal(fake_n(&f), 2);
	aws_credentials_state(s->credentials, &now);
	assert_true(now.has_keys && now.source == AWS_SOURCE_CONTAINER);
	assert_int_equal(now.expires_ns, NOW + 2 * EV_NS_PER_HOUR);
	assert_int_equal(now.n_fetched, 2);
	assert_int_equal(now.n_failed, 0);
	fake_stop(&f);
}

static void keeps_old_keys_while_they_are_valid(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = KEYS_JSON("K1", "2026-11-23T09:00:00Z") },
		{ .status = 404 },
		{ .status = 404 },
		{ .status = 404 },
		{ .status = 404 },
		{ .body = KEYS_JSON("K2", "2026-11-23T10:00:00Z") },
	};
	struct setup *s = *state;
	struct aws_credentials_state now;
	struct fake f;

	fake_start(&f, script, EV_ARRAY_LEN(script));
	use_container(s, &f);
	expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	ev_clock_manual_advance(&s->clock, 46 * EV_NS_PER_MIN); /* advisory */
	for (size_t i = 0; i < 5; i++)
		expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_int_equal(fake_n(&f), 2); /* not once for each caller */
	ev_clock_manual_advance(&s->clock, 6 * EV_NS_PER_S);
	expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_int_equal(fake_n(&f), 3);
	ev_clock_manual_advance(&s->clock, 10 * EV_NS_PER_MIN); /* mandatory */
	expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_int_equal(fake_n(&f), 4);
	aws_credentials_state(s->credentials, &now);
	assert_int_equal(now.n_failed, 3);
	assert_int_equal(now.last.code, EV_IO);
	ev_clock_manual_advance(&s->clock, 5 * EV_NS_PER_MIN); /* over */
	expect_failure(s, EV_IO, "404");
	expect_failure(s, EV_IO, "404");
	assert_int_equal(fake_n(&f), 5);
	ev_clock_manual_advance(&s->clock, 6 * EV_NS_PER_S);
	expect_keys(s, "K2", "SC", "TC", AWS_SOURCE_CONTAINER);
	aws_credentials_state(s->credentials, &now);
	assert_int_equal(now.last.code, EV_OK);
	fake_stop(&f);
}

/* Keys that live for less than a renewal's lead are not fetched for every request. */
static void does_not_hurry_with_short_lived_keys(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = KEYS_JSON("K1", "2026-11-23T08:05:00Z") },
		{ .body = KEYS_JSON("K2", "2026-11-23T08:06:00Z") },
		{ .body = KEYS_JSON("K3", "2026-11-23T08:01:30Z") },
		{ .body = KEYS_JSON("K4", "2026-11-23T09:00:00Z") },
	};
	struct setup *s = *state;
	struct fake f;

	fake_start(&f, script, EV_ARRAY_LEN(script));
	use_container(s, &f);
	for (size_t i = 0; i < 5; i++)
		expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_int_equal(fake_n(&f), 1);
	ev_clock_manual_advance(&s->clock, 60 * EV_NS_PER_S);
	expect_keys(s, "K2", "SC", "TC", AWS_SOURCE_CONTAINER);
	/* But those that end before the minute is over are. */
	anew(s);
	expect_keys(s, "K3", "SC", "TC", AWS_SOURCE_CONTAINER);
	ev_clock_manual_advance(&s->clock, 30 * EV_NS_PER_S);
	expect_keys(s, "K4", "SC", "TC", AWS_SOURCE_CONTAINER);
	fake_stop(&f);
}

static void fetches_anew_what_a_service_refused(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = KEYS_JSON("K1", "2026-11-23T19:00:00Z") },
		{ .body = KEYS_JSON("K2", "2026-11-23T20:00:00Z") },
		{ .status = 404 },
		{ .body = KEYS_JSON("K3", "2026-11-23T20:00:00Z") },
	};
	struct setup *s = *state;
	const struct aws_keys *first = NULL, *second = NULL;
	struct fake f;

	fake_start(&f, script, EV_ARRAY_LEN(script));
	use_container(s, &f);
	anew(s);
	assert_int_equal(aws_credentials_get(s->credentials, &first, NULL), EV_OK);
	aws_credentials_reject(s->credentials, first);
	assert_int_equal(aws_credentials_get(s->credentials, &second, NULL), EV_OK);
	assert_true(ev_str_eqz(second->id, "K2"));
	/* Late news about the first ones, and a second refusal at once, change nothing. */
	aws_credentials_reject(s->credentials, first);
	aws_credentials_reject(s->credentials, second);
	expect_keys(s, "K2", "SC", "TC", AWS_SOURCE_CONTAINER);
	ev_clock_manual_advance(&s->clock, 6 * EV_NS_PER_S);
	aws_credentials_reject(s->credentials, second);
	expect_failure(s, EV_IO, "404"); /* refused keys do not serve on */
	ev_clock_manual_advance(&s->clock, 6 * EV_NS_PER_S);
	expect_keys(s, "K3", "SC", "TC", AWS_SOURCE_CONTAINER);
	assert_true(ev_str_eqz(first->id, "K1")); /* a set that was given out lives on */
	aws_keys_unref(first);
	aws_keys_unref(second);
	fake_stop(&f);
}

/* --- Several threads --- */

struct slow {
	sem_t asked, go;
	_Atomic unsigned n;
};

static void answer_slowly(void *user, const struct fake_request *r, struct fake_answer *out)
{
	struct slow *slow = user;
	unsigned n = ++slow->n;

	(void)r;
	if (n == 2) {
		(void)sem_post(&slow->asked);
		(void)sem_wait(&slow->go);
	}
	out->status = 200;
	out->body = n == 1 ? KEYS_JSON("K1", "2026-11-23T09:00:00Z")
			   : KEYS_JSON("K2", "2026-11-23T19:00:00Z");
}

static void *get_id(void *user)
{
	struct setup *s = user;
	const struct aws_keys *k = NULL;
	char *id = NULL;

	if (aws_credentials_get(s->credentials, &k, NULL) == EV_OK)
		id = calloc(1, k->id.n + 1);
	if (id != NULL)
		memcpy(id, k->id.p, k->id.n);
	aws_keys_unref(k);
	return id;
}

static void expect_id(pthread_t thread, const char *wanted)
{
	void *id = NULL;

	assert_int_equal(pthread_join(thread, &id), 0);
	assert_non_null(id);
	assert_string_equal(id, wanted);
	free(id);
}

static void fetches_once_for_many_threads(void **state)
{
	struct setup *s = *state;
	struct slow slow = { .n = 0 };
	pthread_t threads[8], one;
	struct fake f;

	assert_int_equal(sem_init(&slow.asked, 0, 0), 0);
	assert_int_equal(sem_init(&slow.go, 0, 0), 0);
	fake_start_fn(&f, answer_slowly, &slow);
	use_container(s, &f);
	anew(s);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_id, s), 0);
	for (size_t i = 0; i < 8; i++)
		expect_id(threads[i], "K1");
	assert_int_equal(fake_n(&f), 1);
	/* Advisory: one fetches, the others go on with the old ones. */
	ev_clock_manual_advance(&s->clock, 46 * EV_NS_PER_MIN);
	assert_int_equal(pthread_create(&one, NULL, get_id, s), 0);
	assert_int_equal(sem_wait(&slow.asked), 0);
	for (size_t i = 0; i < 3; i++)
		expect_keys(s, "K1", "SC", "TC", AWS_SOURCE_CONTAINER);
	/* Mandatory: the others wait for it. */
	ev_clock_manual_advance(&s->clock, 5 * EV_NS_PER_MIN);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_id, s), 0);
	assert_int_equal(sem_post(&slow.go), 0);
	expect_id(one, "K2");
	for (size_t i = 0; i < 8; i++)
		expect_id(threads[i], "K2");
	assert_int_equal(fake_n(&f), 2);
	fake_stop(&f);
	(void)sem_destroy(&slow.asked);
	(void)sem_destroy(&slow.go);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(takes_keys_from_the_environment),
		TEST(takes_keys_from_profiles),
		TEST(takes_keys_from_a_program),
		TEST(takes_a_role_with_the_keys_of_another_profile),
		TEST(takes_roles_along_a_chain),
		TEST(refuses_roles_that_cannot_be_taken),
		TEST(takes_a_role_with_a_web_identity),
		TEST(fails_cleanly_on_what_sts_may_answer),
		TEST(asks_the_containers_endpoint),
		TEST(goes_in_the_clear_to_this_machine_only),
		TEST(refuses_container_tokens_with_line_breaks),
		TEST(fails_cleanly_on_what_an_endpoint_may_answer),
		TEST(asks_the_instance_with_a_session_token),
		TEST(tells_what_is_wrong_with_an_instance),
		TEST(serves_an_instances_old_keys_on),
		TEST(renews_ahead_of_the_end),
		TEST(keeps_old_keys_while_they_are_valid),
		TEST(does_not_hurry_with_short_lived_keys),
		TEST(fetches_anew_what_a_service_refused),
		TEST(fetches_once_for_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
