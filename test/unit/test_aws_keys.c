/* test_aws_keys.c — sets of keys, the JSON and the programs that they come from. */
#include "engine/aws/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/time.h"
#include "engine/aws/process.h"
#include "engine/aws/sigv4.h"

#define UNTIL (INT64_C(1795424400) * EV_NS_PER_S) /* 2026-11-23T09:00:00Z */

/* --- Sets of keys --- */

static void copies_and_counts(void **state)
{
	char id[] = "AKID", secret[] = "secret", token[] = "token";
	struct aws_keys from = { .id = ev_str_from(id),
				 .secret = ev_str_from(secret),
				 .token = ev_str_from(token),
				 .expires_ns = UNTIL,
				 .source = AWS_SOURCE_ROLE };
	const struct aws_keys *k = NULL, *second;

	(void)state;
	assert_int_equal(aws_keys_new(&from, &k), EV_OK);
	id[0] = secret[0] = token[0] = '!';
	second = aws_keys_ref(k);
	aws_keys_unref(k);
	assert_true(ev_str_eqz(second->id, "AKID") && ev_str_eqz(second->secret, "secret"));
	assert_true(ev_str_eqz(second->token, "token") && second->expires_ns == UNTIL);
	assert_int_equal(second->source, AWS_SOURCE_ROLE);
	aws_keys_unref(second);
	aws_keys_unref(NULL);
}

static void refuses_what_cannot_stand_in_a_header(void **state)
{
	const struct {
		struct ev_str id, secret, token;
	} cases[] = {
		{ EV_LIT(""), EV_LIT("s"), EV_LIT("t") },
		{ EV_LIT("i"), EV_LIT(""), EV_LIT("t") },
		{ EV_LIT("i\r\nX: y"), EV_LIT("s"), EV_LIT("t") },
		{ EV_LIT("i"), EV_LIT("s\n"), EV_LIT("t") },
		{ EV_LIT("i"), EV_LIT("s"), EV_LIT("t\r\nX: y") },
		{ EV_LIT("i"), EV_LIT("s"), EV_LIT("t t") },
		{ EV_LIT("i"), EV_LIT("s"), EV_LIT("t\0") },
		{ EV_LIT("i"), EV_LIT("s"), EV_LIT("\xc3\xa4") },
	};
	char *longest = malloc(AWS_TOKEN_MAX + 1);
	struct aws_keys from = { .id = EV_LIT("i"), .secret = EV_LIT("s") };
	const struct aws_keys *k = NULL;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct aws_keys bad = { .id = cases[i].id,
					.secret = cases[i].secret,
					.token = cases[i].token };

		assert_int_equal(aws_keys_new(&bad, &k), EV_INVALID);
		assert_null(k);
	}
	assert_non_null(longest);
	memset(longest, 't', AWS_TOKEN_MAX + 1);
	from.token = (struct ev_str){ longest, AWS_TOKEN_MAX + 1 };
	assert_int_equal(aws_keys_new(&from, &k), EV_INVALID);
	from.token.n--;
	assert_int_equal(aws_keys_new(&from, &k), EV_OK);
	aws_keys_unref(k);
	free(longest);
}

/* --- JSON --- */

#define PAIR "\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"SECRET\""
#define UNTIL_TEXT "\"Expiration\":\"2026-11-23T09:00:00Z\""

static void reads_the_documents_of_providers(void **state)
{
	static const struct {
		enum aws_keys_form form;
		const char *json;
		ev_err err;
		int64_t expires;
	} cases[] = {
		{ AWS_FORM_ENDPOINT, "{" PAIR ",\"Token\":\"t\"," UNTIL_TEXT "}", EV_OK, UNTIL },
		{ AWS_FORM_ENDPOINT,
		  "{\"Code\":\"Success\",\"LastUpdated\":\"x\",\"Type\":\"AWS-HMAC\"," PAIR
		  ",\"Token\":\"t\"," UNTIL_TEXT ",\"More\":[{}]}",
		  EV_OK, UNTIL },
		{ AWS_FORM_ENDPOINT,
		  "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"m\"}", EV_DENIED, 0 },
		{ AWS_FORM_ENDPOINT, "{" PAIR ",\"Token\":\"t\"}", EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "{" PAIR "," UNTIL_TEXT "}", EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "{" PAIR ",\"Token\":\"t\",\"Expiration\":\"soon\"}",
		  EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "{\"AccessKeyId\":\"AKID\",\"Token\":\"t\"," UNTIL_TEXT "}",
		  EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT,
		  "{" PAIR ",\"AccessKeyId\":\"B\",\"Token\":\"t\"," UNTIL_TEXT "}", EV_INVALID,
		  0 },
		{ AWS_FORM_ENDPOINT, "{" PAIR ",\"Token\":\"t\\r\\nX: y\"," UNTIL_TEXT "}",
		  EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "{" PAIR ",\"Token\":5," UNTIL_TEXT "}", EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "", EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "[]", EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "<html/>", EV_INVALID, 0 },
		{ AWS_FORM_ENDPOINT, "{" PAIR ",\"Token\":\"t\"," UNTIL_TEXT "} x", EV_INVALID, 0 },
		{ AWS_FORM_PROCESS, "{\"Version\":1," PAIR "}", EV_OK, AWS_NEVER },
		{ AWS_FORM_PROCESS, "{\"Version\": 1," PAIR ",\"SessionToken\":null}", EV_OK,
		  AWS_NEVER },
		{ AWS_FORM_PROCESS,
		  "{\"Version\":1," PAIR ",\"SessionToken\":\"t\"," UNTIL_TEXT "}", EV_OK, UNTIL },
		{ AWS_FORM_PROCESS, "{\"Version\":2," PAIR "}", EV_INVALID, 0 },
		{ AWS_FORM_PROCESS, "{\"Version\":\"1\"," PAIR "}", EV_INVALID, 0 },
		{ AWS_FORM_PROCESS, "{" PAIR "}", EV_INVALID, 0 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		const struct aws_keys *k = NULL;
		struct ev_fail fail = { .text = "" };

		assert_int_equal(aws_keys_from_json(ev_str_from(cases[i].json), cases[i].form,
						    AWS_SOURCE_PROCESS, &k, &fail),
				 cases[i].err);
		assert_int_equal(k != NULL, cases[i].err == EV_OK);
		if (k != NULL) {
			assert_true(ev_str_eqz(k->id, "AKID"));
			assert_true(ev_str_eqz(k->secret, "SECRET"));
			assert_int_equal(k->expires_ns, cases[i].expires);
		} else {
			assert_null(strstr(fail.text, "SECRET"));
			assert_true(fail.text[0] != '\0');
		}
		aws_keys_unref(k);
	}
}

static void refuses_every_truncated_document(void **state)
{
	static const char whole[] = "{" PAIR ",\"Token\":\"t\\u0041\"," UNTIL_TEXT "}";

	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		const struct aws_keys *k = NULL;
		char *cut = malloc(n > 0 ? n : 1);

		assert_non_null(cut);
		memcpy(cut, whole, n);
		assert_int_equal(aws_keys_from_json((struct ev_str){ cut, n }, AWS_FORM_ENDPOINT,
						    AWS_SOURCE_CONTAINER, &k, NULL),
				 EV_INVALID);
		free(cut);
	}
}

/* --- Programs --- */

static void splits_commands_as_a_shell_does(void **state)
{
	static const struct {
		const char *command;
		const char *words[5]; /* none: refused */
	} cases[] = {
		{ "a", { "a" } },
		{ "  a  b\tc\n", { "a", "b", "c" } },
		{ "'a b' \"c d\"", { "a b", "c d" } },
		{ "a\\ b c", { "a b", "c" } },
		{ "\"a\\\"b\\\\c\\d\"", { "a\"b\\c\\d" } },
		{ "'a\\b'", { "a\\b" } },
		{ "a'b'\"c\"d", { "abcd" } },
		{ "a '' b", { "a", "", "b" } },
		{ "a $HOME;rm *|b", { "a", "$HOME;rm", "*|b" } },
		{ "", { NULL } },
		{ "   ", { NULL } },
		{ "'a", { NULL } },
		{ "a \"b", { NULL } },
		{ "a\\", { NULL } },
		{ "''", { NULL } },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char room[AWS_COMMAND_MAX + 1];
		char *words[AWS_WORDS_MAX + 1];
		ev_err err = aws_command_split(ev_str_from(cases[i].command), room, words);

		assert_int_equal(err, cases[i].words[0] != NULL ? EV_OK : EV_INVALID);
		for (size_t k = 0; err == EV_OK && k < 5; k++) {
			if (cases[i].words[k] == NULL) {
				assert_null(words[k]);
				break;
			}
			assert_string_equal(words[k], cases[i].words[k]);
		}
	}
}

static void bounds_its_commands(void **state)
{
	char text[AWS_COMMAND_MAX + 2];
	char room[AWS_COMMAND_MAX + 1];
	char *words[AWS_WORDS_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(aws_command_split((struct ev_str){ text, sizeof(text) }, room, words),
			 EV_INVALID);
	assert_int_equal(aws_command_split((struct ev_str){ text, AWS_COMMAND_MAX }, room, words),
			 EV_OK);
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = ' ';
	assert_int_equal(aws_command_split((struct ev_str){ text, 2 * AWS_WORDS_MAX }, room, words),
			 EV_OK);
	assert_int_equal(
		aws_command_split((struct ev_str){ text, 2 * AWS_WORDS_MAX + 2 }, room, words),
		EV_INVALID);
	text[3] = '\0';
	assert_int_equal(aws_command_split((struct ev_str){ text, 8 }, room, words), EV_INVALID);
}

static void runs_programs_to_their_end(void **state)
{
	static const struct {
		const char *command;
		int timeout_ms;
		ev_err err;
		const char *out;
	} cases[] = {
		{ "/bin/echo -n 'a b'  c", 10000, EV_OK, "a b c" },
		{ "printf x", 10000, EV_OK, "x" },
		{ "true", 10000, EV_OK, "" },
		{ "false", 10000, EV_DENIED, NULL },
		{ "sh -c 'echo SECRET; exit 3'", 10000, EV_DENIED, NULL },
		{ "sh -c 'kill -9 $$'", 10000, EV_DENIED, NULL },
		{ "/nonexistent/program", 10000, EV_NOTFOUND, NULL },
		{ "sh -c 'cat; echo -n read'", 10000, EV_OK, "read" }, /* from nothing */
		{ "sh -c 'echo loud >&2; exec >&-; true'", 10000, EV_OK, "" },
		{ "sh -c 'sleep 60; echo never'", 50, EV_TIMEOUT, NULL },
		{ "sh -c 'sleep 60 & exit 0'", 50, EV_TIMEOUT, NULL }, /* it holds the output */
		{ "sh -c 'exec >&-; sleep 60'", 50, EV_TIMEOUT, NULL },
		{ "yes", 10000, EV_FULL, NULL },
		{ "''", 10000, EV_INVALID, NULL },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		int64_t before = ev_clock_mono_ns(ev_clock_os());
		struct ev_fail fail = { .text = "" };
		char *out = NULL;
		size_t n = 0;

		assert_int_equal(aws_process_run(ev_str_from(cases[i].command), 100,
						 cases[i].timeout_ms, &out, &n, &fail),
				 cases[i].err);
		assert_true(ev_clock_mono_ns(ev_clock_os()) - before < 30 * EV_NS_PER_S);
		assert_int_equal(out != NULL, cases[i].err == EV_OK);
		if (out != NULL)
			assert_true(ev_str_eqz((struct ev_str){ out, n }, cases[i].out));
		assert_null(strstr(fail.text, "SECRET"));
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_and_counts),
		cmocka_unit_test(refuses_what_cannot_stand_in_a_header),
		cmocka_unit_test(reads_the_documents_of_providers),
		cmocka_unit_test(refuses_every_truncated_document),
		cmocka_unit_test(splits_commands_as_a_shell_does),
		cmocka_unit_test(bounds_its_commands),
		cmocka_unit_test(runs_programs_to_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
