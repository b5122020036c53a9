/* test_aws_sigv4.c — signatures against vectors of Amazon's own C library and of botocore. */
#include "engine/aws/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/time.h"

#define AT (INT64_C(1795420800) * EV_NS_PER_S) /* 2026-11-23T08:00:00Z */

struct setup {
	struct aws_header headers[AWS_SIGN_HEADERS_MAX + 1];
	struct aws_signing in;
};

static void set_up(struct setup *s)
{
	*s = (struct setup){
		.headers = {
			{ EV_LIT("Host"), EV_LIT("kinesis.eu-west-1.amazonaws.com") },
			{ EV_LIT("Content-Type"), EV_LIT("application/x-amz-json-1.1") },
			{ EV_LIT("X-Amz-Target"), EV_LIT("Kinesis_20131202.PutRecord") },
			{ EV_LIT("X-Amz-Date"), EV_LIT("20261123T080000Z") },
		},
		.in = {
			.method = EV_LIT("POST"),
			.path = EV_LIT("/"),
			.n_headers = 4,
			.body = EV_LIT("{\"a\":\"b\"}"),
			.region = EV_LIT("eu-west-1"),
			.service = EV_LIT("kinesis"),
			.at_ns = AT,
			.key_id = EV_LIT("AKIDEXAMPLE"),
			.secret = EV_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
		},
	};
	s->in.headers = s->headers;
}

static void add(struct setup *s, const char *name, const char *value)
{
	s->headers[s->in.n_headers++] = (struct aws_header){ ev_str_from(name),
							     ev_str_from(value) };
}

/* The last 64 characters of the Authorization. */
static const char *signature(const struct setup *s, char room[1024])
{
	struct ev_buf b = ev_buf_over(room, 1023);

	assert_int_equal(aws_sign(&s->in, &b), EV_OK);
	room[b.len] = '\0';
	assert_true(b.len > 64);
	return room + b.len - 64;
}

static void signs_as_amazons_own_library(void **state)
{
	struct setup s;
	char room[1024];

	(void)state;
	set_up(&s);
	assert_string_equal(signature(&s, room),
			    "be34de3cdc438a92f0982d58006502a27bfa1c7decd17f9ba8ba2632a44f515e");
	assert_non_null(strstr(room, "AWS4-HMAC-SHA256 "
				     "Credential=AKIDEXAMPLE/20261123/eu-west-1/kinesis/"
				     "aws4_request, "
				     "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
				     "Signature=be34"));
}

static void signs_with_a_long_token(void **state)
{
	struct setup s;
	char room[1024];
	char token[7 * 200 + 1];

	(void)state;
	for (size_t i = 0; i < 200; i++)
		memcpy(token + 7 * i, "tok+/==", 8);
	set_up(&s);
	add(&s, "X-Amz-Security-Token", token);
	assert_string_equal(signature(&s, room),
			    "26175b4801d700e1512240285b21d556c9f0bc759e5430dcc521a332e6c88dfc");
}

/* The vectors below were computed with botocore's SigV4Auth for the same requests. */
static const struct {
	const char *what; /* for people */
	const char *names[3], *values[3];
	size_t token_n;
	const char *body;
	const char *wanted;
} vectors[] = {
	{ "names of which one begins another",
	  { "accept", "accept-encoding" },
	  { "text/plain", "identity" },
	  0,
	  "{\"a\":\"b\"}",
	  "2517c606cc7efc3893dc7c3de8bcfd5d4316eab5f975f25cbe0b90e8f2f0786a" },
	{ "the same, the longer one first",
	  { "x-amz-a-b", "x-amz-a" },
	  { "1", "2" },
	  0,
	  "{\"a\":\"b\"}",
	  "8687d31c9b163289b2ce186ffc21d6f33f3ca3de62ff277fc3a230ef46062fc7" },
	{ "blanks in a value",
	  { "x-amz-meta" },
	  { "  a   b  c " },
	  0,
	  "{\"a\":\"b\"}",
	  "689a794d651ba0413b79f87912ac8cd9aa001085074e8b6f5492a6f9c1367995" },
	{ "no body",
	  { NULL },
	  { NULL },
	  0,
	  "",
	  "4ebe97971b6907e8aa1ea2b620e09b85880ac15e50172561daf738e6d81f37d1" },
	{ "a token of 2,000 characters",
	  { NULL },
	  { NULL },
	  2000,
	  "{\"a\":\"b\"}",
	  "edcf7ebc173ff149bbf8d8045beca9e832c05e68ccffb2018093920fb644c56b" },
	{ "a token of 16,000 characters",
	  { NULL },
	  { NULL },
	  16000,
	  "{\"a\":\"b\"}",
	  "4a4b45168f9f387b5912b7f9faf15e87077fcb93ee0ade2e27f9a3e8403af1d1" },
	{ "an SDK's own headers",
	  { "amz-sdk-invocation-id", "amz-sdk-request", "x-amzn-query-mode" },
	  { "4f2c2f6e-9f2b-4f9f-8f0a-4b1f0d8f7f11", "attempt=1; max=3", "true" },
	  0,
	  "{\"a\":\"b\"}",
	  "5f83a45002dfa7d67c4c37a69ba8d5a3f7945babc27ffe75ae2110bf5a11e1ae" },
};

static void signs_what_others_sign(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(vectors); i++) {
		struct setup s;
		char room[1024];
		char *token = calloc(1, vectors[i].token_n + 1);

		set_up(&s);
		for (size_t k = 0; k < 3 && vectors[i].names[k] != NULL; k++)
			add(&s, vectors[i].names[k], vectors[i].values[k]);
		assert_non_null(token);
		memset(token, 'T', vectors[i].token_n);
		if (vectors[i].token_n > 0)
			add(&s, "x-amz-security-token", token);
		s.in.body = ev_str_from(vectors[i].body);
		assert_string_equal(signature(&s, room), vectors[i].wanted);
		free(token);
	}
}

static void gives_the_same_for_any_order_and_case_of_names(void **state)
{
	struct setup a, b;
	char room_a[1024], room_b[1024];

	(void)state;
	set_up(&a);
	set_up(&b);
	for (size_t i = 0; i < 4; i++)
		b.headers[i] = a.headers[3 - i];
	b.headers[3].name = EV_LIT("HOST");
	assert_string_equal(signature(&a, room_a), signature(&b, room_b));
}

static void refuses_what_cannot_be_a_header(void **state)
{
	const struct {
		struct ev_str name, value;
	} cases[] = {
		{ EV_LIT("x-amz-security-token"), EV_LIT("abc\r\nX-Other: 1") },
		{ EV_LIT("x-amz-security-token"), EV_LIT("abc\n") },
		{ EV_LIT("x-amz-security-token"), EV_LIT("a\0b") },
		{ EV_LIT("x-a\r\nb"), EV_LIT("1") },
		{ EV_LIT("x a"), EV_LIT("1") },
		{ EV_LIT("x:a"), EV_LIT("1") },
		{ EV_LIT(""), EV_LIT("1") },
		{ EV_LIT("host"), EV_LIT("twice") },
		{ EV_LIT("a123456789012345678901234567890123456789012345678901234567890123456789"),
		  EV_LIT("1") },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct setup s;
		char room[1024];
		struct ev_buf b = ev_buf_over(room, sizeof(room));

		set_up(&s);
		s.headers[s.in.n_headers++] = (struct aws_header){ cases[i].name, cases[i].value };
		assert_int_equal(aws_sign(&s.in, &b), EV_INVALID);
		assert_int_equal(b.len, 0);
	}
}

static void refuses_above_its_limits(void **state)
{
	struct setup s;
	char room[1024];
	char secret[AWS_SECRET_MAX + 1];
	char name[16];
	struct ev_buf b = ev_buf_over(room, 100);

	(void)state;
	set_up(&s);
	assert_int_equal(aws_sign(&s.in, &b), EV_FULL);
	b = ev_buf_over(room, sizeof(room));
	memset(secret, 's', sizeof(secret));
	s.in.secret = (struct ev_str){ secret, sizeof(secret) };
	assert_int_equal(aws_sign(&s.in, &b), EV_INVALID);
	s.in.secret.n--;
	assert_int_equal(aws_sign(&s.in, &b), EV_OK);
	s.in.secret.n = 0;
	assert_int_equal(aws_sign(&s.in, &b), EV_INVALID);
	set_up(&s);
	for (size_t i = 4; i < AWS_SIGN_HEADERS_MAX + 1; i++) {
		snprintf(name, sizeof(name), "x-%zu", i);
		s.headers[i] = (struct aws_header){ EV_LIT("x-one"), EV_LIT("1") };
	}
	s.in.n_headers = AWS_SIGN_HEADERS_MAX + 1;
	assert_int_equal(aws_sign(&s.in, &b), EV_INVALID);
}

static void writes_dates_in_the_basic_form(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "19700101T000000Z" },
		{ AT, "20261123T080000Z" },
		{ AT + 999999999, "20261123T080000Z" },
		{ INT64_C(951782399) * EV_NS_PER_S, "20000228T235959Z" },
	};
	char out[AWS_DATE_TEXT];

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		aws_date_text(cases[i].ns, out);
		assert_string_equal(out, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_as_amazons_own_library),
		cmocka_unit_test(signs_with_a_long_token),
		cmocka_unit_test(signs_what_others_sign),
		cmocka_unit_test(gives_the_same_for_any_order_and_case_of_names),
		cmocka_unit_test(refuses_what_cannot_be_a_header),
		cmocka_unit_test(refuses_above_its_limits),
		cmocka_unit_test(writes_dates_in_the_basic_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
