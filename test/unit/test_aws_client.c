/* test_aws_client.c — calls of a service that refuses, throttles, hangs and has another time. */
#include "engine/aws/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "aws_fake.h"
#include "base/attr.h"
#include "base/time.h"
#include "engine/aws/batch.h"

#define NOW (INT64_C(1795420800) * EV_NS_PER_S) /* 2026-11-23T08:00:00Z */
#define DATE_NOW "Date: Mon, 23 Nov 2026 08:00:00 GMT\r\n"
#define DATE_HOUR_LATER "Date: Mon, 23 Nov 2026 09:00:00 GMT\r\n"

struct setup {
	struct test_env env;
	struct ev_clock_manual clock;
	struct ev_rng_seeded rng, keys_rng;
	struct test_pause pause;
	struct aws_credentials *credentials;
	struct aws_client_config config;
	struct aws_client *client;
	struct fake fake;
};

static int set_up(void **state)
{
	struct setup *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	ev_clock_manual_init(&s->clock, NOW);
	ev_rng_seeded_init(&s->rng, 1);
	ev_rng_seeded_init(&s->keys_rng, 2);
	s->pause.clock = &s->clock;
	test_env_set(&s->env, "AWS_REGION", "eu-west-1");
	test_env_set(&s->env, "AWS_ACCESS_KEY_ID", "AK");
	test_env_set(&s->env, "AWS_SECRET_ACCESS_KEY", "SK");
	test_env_set(&s->env, "AWS_EC2_METADATA_DISABLED", "true");
	s->config = aws_client_defaults();
	s->config.env = test_env_of(&s->env);
	s->config.clock = &s->clock.base;
	s->config.rng = &s->rng.base;
	s->config.pause = test_pause_of(&s->pause);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct setup *s = *state;

	aws_client_free(s->client);
	aws_credentials_free(s->credentials);
	test_env_clear(&s->env);
	free(s);
	return 0;
}

/* A client for the server that was started. */
static void connect_to(struct setup *s)
{
	struct aws_credentials_config config = {
		.env = test_env_of(&s->env),
		.clock = &s->clock.base,
		.rng = &s->keys_rng.base,
		.pause = test_pause_of(&s->pause),
	};
	struct ev_fail fail = { .text = "" };

	aws_client_free(s->client);
	aws_credentials_free(s->credentials);
	s->client = NULL;
	test_env_set(&s->env, "AWS_ENDPOINT_URL", s->fake.url);
	assert_int_equal(aws_credentials_new(&config, &s->credentials), EV_OK);
	s->config.credentials = s->credentials;
	assert_int_equal(aws_client_new(&s->config, &s->client, &fail), EV_OK);
}

static void serve(struct setup *s, const struct fake_answer *script, size_t n)
{
	fake_start(&s->fake, script, n);
	connect_to(s);
}

static struct aws_call put_record(void)
{
	return (struct aws_call){ .service = AWS_KINESIS,
				  .operation = "PutRecord",
				  .body = EV_LIT("{\"a\":\"b\"}") };
}

static void calls_each_service_in_its_way(void **state)
{
	static const struct {
		enum aws_service service;
		const char *operation, *name, *target, *type;
	} cases[] = {
		{ AWS_SQS, "SendMessageBatch", "sqs", "AmazonSQS.SendMessageBatch",
		  "application/x-amz-json-1.0" },
		{ AWS_KINESIS, "PutRecords", "kinesis", "Kinesis_20131202.PutRecords",
		  "application/x-amz-json-1.1" },
		{ AWS_DYNAMODB, "PutItem", "dynamodb", "DynamoDB_20120810.PutItem",
		  "application/x-amz-json-1.0" },
	};
	static const struct fake_answer script[] = { { .body = "{}" },
						     { .body = "{}" },
						     { .body = "" } };
	struct setup *s = *state;
	char token[16001];

	memset(token, 'T', 16000);
	token[16000] = '\0';
	test_env_set(&s->env, "AWS_SESSION_TOKEN", token);
	serve(s, script, 3);
	assert_string_equal(aws_client_region(s->client), "eu-west-1");
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct aws_call call = { .service = cases[i].service,
					 .operation = cases[i].operation,
					 .body = EV_LIT("{\"x\":1}") };
		const struct fake_request *r;
		char *id, host[64];

		assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
		assert_int_equal(call.error.kind, AWS_ERROR_NONE);
		assert_int_equal(call.attempts, 1);
		assert_true(ev_str_eqz(call.answer, i < 2 ? "{}" : ""));
		aws_call_clear(&call);
		r = fake_at(&s->fake, i);
		assert_string_equal(r->method, "POST");
		assert_string_equal(r->path, "/");
		assert_string_equal(r->body, "{\"x\":1}");
		fake_expect_header(r, "X-Amz-Target", cases[i].target);
		fake_expect_header(r, "Content-Type", cases[i].type);
		fake_expect_header(r, "X-Amz-Security-Token", token);
		fake_expect_header(r, "X-Amz-Date", "20261123T080000Z");
		fake_expect_header(r, "amz-sdk-request", "attempt=1; max=3");
		fake_expect_header(r, "x-amzn-query-mode",
				   cases[i].service == AWS_SQS ? "true" : NULL);
		snprintf(host, sizeof(host), "127.0.0.1:%u", s->fake.port);
		fake_expect_header(r, "Host", host);
		fake_expect_header(r, "Expect", NULL);
		id = fake_header(r, "amz-sdk-invocation-id");
		assert_non_null(id);
		assert_int_equal(strlen(id), 36);
		free(id);
		fake_expect_signed(r, "AK", "SK", "eu-west-1", cases[i].name);
	}
	fake_stop(&s->fake);
}

static void signs_without_a_token_and_without_a_body(void **state)
{
	static const struct fake_answer script[] = { { .body = "{}" } };
	struct setup *s = *state;
	struct aws_call call = { .service = AWS_DYNAMODB, .operation = "ListTables" };

	serve(s, script, 1);
	assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
	fake_expect_header(fake_at(&s->fake, 0), "X-Amz-Security-Token", NULL);
	fake_expect_header(fake_at(&s->fake, 0), "Content-Length", "0");
	fake_expect_signed(fake_at(&s->fake, 0), "AK", "SK", "eu-west-1", "dynamodb");
	aws_call_clear(&call);
	fake_stop(&s->fake);
}

#define THROTTLED                                                                                  \
	{                                                                                          \
		.status = 400, .body = "{\"__type\":\"ProvisionedThroughputExceededException\"}"   \
	}

static const struct {
	struct fake_answer script[4];
	unsigned max_attempts, attempts, pauses;
	ev_err err;
	enum aws_error_kind kind;
} retried[] = {
	{ { { .status = 500 }, { .body = "{}" } }, 0, 2, 1, EV_OK, AWS_ERROR_NONE },
	{ { THROTTLED, THROTTLED, { .body = "{}" } }, 0, 3, 2, EV_OK, AWS_ERROR_NONE },
	{ { THROTTLED, THROTTLED, THROTTLED }, 0, 3, 2, EV_BUSY, AWS_ERROR_THROTTLED },
	{ { { .status = 503 }, { .status = 502 }, { .status = 504 } },
	  0,
	  3,
	  2,
	  EV_IO,
	  AWS_ERROR_TRANSIENT },
	{ { THROTTLED }, 1, 1, 0, EV_BUSY, AWS_ERROR_THROTTLED },
	{ { { .status = 400, .body = "{\"__type\":\"ValidationException\"}" } },
	  0,
	  1,
	  0,
	  EV_INVALID,
	  AWS_ERROR_VALIDATION },
	{ { { .status = 400, .body = "{\"__type\":\"a#ConditionalCheckFailedException\"}" } },
	  0,
	  1,
	  0,
	  EV_CONFLICT,
	  AWS_ERROR_CONDITION },
	{ { { .status = 400, .body = "{\"__type\":\"AccessDeniedException\"}" } },
	  0,
	  1,
	  0,
	  EV_DENIED,
	  AWS_ERROR_DENIED },
	{ { { .trick = FAKE_CLOSE }, { .trick = FAKE_GARBAGE }, { .body = "{}" } },
	  0,
	  3,
	  2,
	  EV_OK,
	  AWS_ERROR_NONE },
	{ { { .trick = FAKE_CUT, .body = "{\"a\":1}" }, { .body = "{}" } },
	  0,
	  2,
	  1,
	  EV_OK,
	  AWS_ERROR_NONE },
	{ { { .body = "{}", .headers = "x-amz-crc32: 1\r\n" },
	    { .body = "{}", .headers = "x-amz-crc32: 2745614147\r\n" } },
	  0,
	  2,
	  1,
	  EV_OK,
	  AWS_ERROR_NONE },
	{ { { .body = "{}", .headers = "x-amz-crc32: x\r\n" },
	    { .body = "{}", .headers = "x-amz-crc32: -1\r\n" },
	    { .body = "{}" } },
	  0,
	  3,
	  2,
	  EV_OK,
	  AWS_ERROR_NONE },
};

static void tries_again_and_says_how_often(void **state)
{
	struct setup *s = *state;

	assert_int_equal(crc32_z(0, (const Bytef *)"{}", 2), 2745614147U);
	for (size_t i = 0; i < EV_ARRAY_LEN(retried); i++) {
		struct aws_call call = put_record();
		unsigned before = s->pause.n;

		serve(s, retried[i].script, 4);
		call.max_attempts = retried[i].max_attempts;
		assert_int_equal(aws_call(s->client, &call, 0), retried[i].err);
		assert_int_equal(call.err, retried[i].err);
		assert_int_equal(call.error.kind, retried[i].kind);
		assert_int_equal(call.attempts, retried[i].attempts);
		assert_int_equal(fake_n(&s->fake), retried[i].attempts);
		assert_int_equal(s->pause.n - before, retried[i].pauses);
		assert_int_equal(aws_client_stats(s->client)->retries, retried[i].pauses);
		aws_call_clear(&call);
		fake_stop(&s->fake);
	}
}

static void signs_every_attempt_anew(void **state)
{
	static const struct fake_answer script[] = {
		{ .status = 500, .headers = "x-amz-retry-after: 3000\r\n" },
		{ .body = "{}" },
	};
	struct setup *s = *state;
	struct aws_call call = put_record();
	char *first, *second;

	serve(s, script, 2);
	assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
	assert_true(s->pause.total_ns >= 3 * EV_NS_PER_S);
	first = fake_header(fake_at(&s->fake, 0), "amz-sdk-invocation-id");
	second = fake_header(fake_at(&s->fake, 1), "amz-sdk-invocation-id");
	assert_string_equal(first, second);
	fake_expect_header(fake_at(&s->fake, 1), "amz-sdk-request", "attempt=2; max=3");
	fake_expect_header(fake_at(&s->fake, 0), "X-Amz-Date", "20261123T080000Z");
	fake_expect_header(fake_at(&s->fake, 1), "X-Amz-Date", "20261123T080003Z");
	fake_expect_signed(fake_at(&s->fake, 1), "AK", "SK", "eu-west-1", "kinesis");
	free(first);
	free(second);
	aws_call_clear(&call);
	fake_stop(&s->fake);
}

static void keeps_what_an_error_says(void **state)
{
	static const struct fake_answer script[] = {
		{ .status = 400,
		  .headers =
			  "x-amzn-RequestId: R1\r\n"
			  "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
		  .body = "{\"__type\":\"sqs#QueueDoesNotExist\",\"message\":\"gone\"}" },
	};
	struct setup *s = *state;
	struct aws_call call = { .service = AWS_SQS, .operation = "ReceiveMessage" };

	serve(s, script, 1);
	assert_int_equal(aws_call(s->client, &call, 0), EV_NOTFOUND);
	assert_string_equal(call.error.code, "AWS.SimpleQueueService.NonExistentQueue");
	assert_string_equal(call.error.message, "gone");
	assert_string_equal(call.error.request_id, "R1");
	assert_int_equal(call.error.status, 400);
	assert_non_null(strstr(call.answer.p, "QueueDoesNotExist"));
	aws_call_clear(&call);
	fake_stop(&s->fake);
}

static void bounds_answers(void **state)
{
	static const struct fake_answer script[] = { { .body = "0123456789abcdef0" } };
	struct setup *s = *state;
	struct aws_call call = put_record();

	s->config.max_answer = 16;
	serve(s, script, 1);
	assert_int_equal(aws_call(s->client, &call, 0), EV_CORRUPT);
	assert_int_equal(call.error.kind, AWS_ERROR_BAD_ANSWER);
	assert_null(call.answer.p);
	assert_int_equal(call.attempts, 1);
	assert_int_equal(aws_client_stats(s->client)->too_large, 1);
	fake_stop(&s->fake);
}

/* --- The clock --- */

static void sets_its_clock_by_a_refusal(void **state)
{
	static const struct fake_answer script[] = {
		{ .status = 400,
		  .headers = DATE_HOUR_LATER,
		  .body = "{\"__type\":\"InvalidSignatureException\",\"message\":\"expired\"}" },
		{ .headers = DATE_HOUR_LATER, .body = "{}" },
		{ .headers = DATE_HOUR_LATER, .body = "{}" },
	};
	struct setup *s = *state;
	struct aws_call call = put_record();

	serve(s, script, 3);
	assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
	assert_int_equal(call.attempts, 2);
	assert_int_equal(s->pause.n, 0);
	aws_call_clear(&call);
	assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
	for (size_t i = 1; i < 3; i++) {
		fake_expect_header(fake_at(&s->fake, i), "X-Amz-Date", "20261123T090000Z");
		fake_expect_signed(fake_at(&s->fake, i), "AK", "SK", "eu-west-1", "kinesis");
	}
	assert_int_equal(aws_client_stats(s->client)->clock_sets, 1);
	assert_int_equal(aws_client_stats(s->client)->clock_offset_ns, EV_NS_PER_HOUR);
	aws_call_clear(&call);
	fake_stop(&s->fake);
}

static void does_not_blame_the_clock_twice(void **state)
{
	static const struct fake_answer script[] = {
		{ .status = 403,
		  .headers = DATE_NOW,
		  .body = "{\"__type\":\"SignatureDoesNotMatch\"}" },
		{ .status = 403,
		  .headers = DATE_HOUR_LATER,
		  .body = "{\"__type\":\"RequestTimeTooSkewed\"}" },
		{ .status = 403,
		  .headers = DATE_NOW,
		  .body = "{\"__type\":\"RequestTimeTooSkewed\"}" },
	};
	struct setup *s = *state;
	struct aws_call call = put_record();

	serve(s, script, 3);
	/* A wrong secret, with a good clock. */
	assert_int_equal(aws_call(s->client, &call, 0), EV_DENIED);
	assert_int_equal(call.attempts, 1);
	/* A service that cannot make up its mind about the time. */
	assert_int_equal(aws_call(s->client, &call, 0), EV_DENIED);
	assert_int_equal(call.attempts, 2);
	aws_call_clear(&call);
	fake_stop(&s->fake);
}

/* --- Keys --- */

static void renews_refused_keys_once(void **state)
{
	static const struct fake_answer keys[] = {
		{ .body = "{\"AccessKeyId\":\"A1\",\"SecretAccessKey\":\"S1\",\"Token\":\"T1\","
			  "\"Expiration\":\"2026-11-23T20:00:00Z\"}" },
		{ .body = "{\"AccessKeyId\":\"A2\",\"SecretAccessKey\":\"S2\",\"Token\":\"T2\","
			  "\"Expiration\":\"2026-11-23T20:00:00Z\"}" },
	};
	static const struct fake_answer script[] = {
		{ .status = 400, .body = "{\"__type\":\"ExpiredTokenException\"}" },
		{ .body = "{}" },
		{ .status = 400, .body = "{\"__type\":\"UnrecognizedClientException\"}" },
		{ .status = 400, .body = "{\"__type\":\"UnrecognizedClientException\"}" },
	};
	struct setup *s = *state;
	struct aws_call call = put_record();
	struct fake container;

	fake_start(&container, keys, 2);
	test_env_set(&s->env, "AWS_ACCESS_KEY_ID", "");
	test_env_set(&s->env, "AWS_SECRET_ACCESS_KEY", "");
	test_env_set(&s->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url);
	serve(s, script, 4);
	assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
	assert_int_equal(call.attempts, 2);
	fake_expect_signed(fake_at(&s->fake, 0), "A1", "S1", "eu-west-1", "kinesis");
	fake_expect_signed(fake_at(&s->fake, 1), "A2", "S2", "eu-west-1", "kinesis");
	fake_expect_header(fake_at(&s->fake, 1), "X-Amz-Security-Token", "T2");
	assert_int_equal(aws_call(s->client, &call, 0), EV_DENIED);
	assert_int_equal(call.attempts, 2);
	assert_int_equal(call.error.kind, AWS_ERROR_EXPIRED_TOKEN);
	assert_int_equal(fake_n(&container), 2); /* not for each refusal */
	aws_call_clear(&call);
	fake_stop(&s->fake);
	fake_stop(&container);
}

static void says_that_there_are_no_keys(void **state)
{
	struct setup *s = *state;
	struct aws_call call = put_record();

	test_env_set(&s->env, "AWS_ACCESS_KEY_ID", "");
	test_env_set(&s->env, "AWS_SECRET_ACCESS_KEY", "");
	serve(s, NULL, 0);
	assert_int_equal(aws_call(s->client, &call, 0), EV_DENIED);
	assert_string_equal(call.error.code, "NoCredentials");
	assert_non_null(strstr(call.error.message, "no AWS keys"));
	assert_int_equal(fake_n(&s->fake), 0);
	fake_stop(&s->fake);
}

/* --- Batches, deadlines, long polls --- */

static void answer_by_body(void *user, const struct fake_request *r, struct fake_answer *out)
{
	_Atomic unsigned *n = user;

	*out = (struct fake_answer){ .body = r->body, .body_n = r->body_n };
	if (strstr(r->body, "hang") != NULL)
		out->trick = FAKE_HANG;
	else if (strstr(r->body, "flaky") != NULL && ++*n % 2 == 1)
		*out = (struct fake_answer){ .status = 500 };
}

static void makes_many_calls_at_once(void **state)
{
	struct setup *s = *state;
	struct aws_call calls[60];
	char bodies[60][24];
	_Atomic unsigned n = 0;

	s->config.max_in_flight = 4;
	s->config.max_calls = 10;
	s->config.retry.max_attempts = 30;
	fake_start_fn(&s->fake, answer_by_body, &n);
	connect_to(s);
	for (size_t i = 0; i < 60; i++) {
		int len = snprintf(bodies[i], sizeof(bodies[i]), "{\"%s\":%zu}",
				   i % 3 == 0 ? "flaky" : "good", i);

		calls[i] = put_record();
		calls[i].body = (struct ev_str){ bodies[i], (size_t)len };
	}
	aws_client_run(s->client, calls, 60, 0);
	for (size_t i = 0; i < 60; i++) {
		assert_int_equal(calls[i].err, EV_OK);
		assert_string_equal(calls[i].answer.p, bodies[i]);
		aws_call_clear(&calls[i]);
	}
	for (size_t i = 0; i < fake_n(&s->fake); i++) {
		assert_true(fake_at(&s->fake, i)->connection < 4);
		fake_expect_signed(fake_at(&s->fake, i), "AK", "SK", "eu-west-1", "kinesis");
	}
	fake_stop(&s->fake);
}

static void ends_at_its_deadline(void **state)
{
	struct setup *s = *state;
	struct aws_call calls[3];
	_Atomic unsigned n = 0;
	int64_t deadline;

	/* With the real clock, as it is libcurl that waits. */
	s->config.clock = ev_clock_os();
	s->config.pause.fn = NULL;
	fake_start_fn(&s->fake, answer_by_body, &n);
	connect_to(s);
	for (size_t i = 0; i < 3; i++) {
		calls[i] = put_record();
		calls[i].body = i == 1 ? EV_LIT("hang") : EV_LIT("good");
	}
	deadline = ev_clock_mono_ns(ev_clock_os()) + 300 * EV_NS_PER_MS;
	aws_client_run(s->client, calls, 3, deadline);
	/* Give or take the milliseconds that libcurl counts in. */
	assert_true(ev_clock_mono_ns(ev_clock_os()) >= deadline - 5 * EV_NS_PER_MS);
	assert_int_equal(calls[0].err, EV_OK);
	assert_int_equal(calls[1].err, EV_TIMEOUT);
	assert_int_equal(calls[1].error.kind, AWS_ERROR_TIMED_OUT);
	assert_int_equal(calls[2].err, EV_OK);
	for (size_t i = 0; i < 3; i++)
		aws_call_clear(&calls[i]);
	fake_stop(&s->fake);
}

/* A retry that would come after the deadline is not waited for. */
static void does_not_wait_for_what_comes_too_late(void **state)
{
	static const struct fake_answer script[] = {
		{ .status = 500, .headers = "x-amz-retry-after: 10000\r\n" },
	};
	struct setup *s = *state;
	struct aws_call call = put_record();

	serve(s, script, 1);
	assert_int_equal(aws_call(s->client, &call, 5 * EV_NS_PER_S), EV_IO);
	assert_int_equal(call.error.kind, AWS_ERROR_TRANSIENT);
	assert_int_equal(s->pause.n, 0);
	assert_int_equal(call.attempts, 1);
	aws_call_clear(&call);
	ev_clock_manual_advance(&s->clock, 10 * EV_NS_PER_S);
	assert_int_equal(aws_call(s->client, &call, 5 * EV_NS_PER_S), EV_TIMEOUT);
	assert_int_equal(call.attempts, 0);
	fake_stop(&s->fake);
}

static void times_out_attempts(void **state)
{
	static const struct fake_answer script[] = {
		{ .trick = FAKE_HANG },
		{ .trick = FAKE_HANG },
		{ .body = "{}" },
	};
	struct setup *s = *state;
	struct aws_call call = put_record();

	serve(s, script, 3);
	call.attempt_ms = 50;
	assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
	assert_int_equal(call.attempts, 3);
	assert_int_equal(aws_client_stats(s->client)->timed_out, 2);
	/* Twenty tokens taken, ten of them given back. */
	assert_int_equal(aws_client_tokens(s->client)->left, AWS_RETRY_TOKENS - 10);
	aws_call_clear(&call);
	fake_stop(&s->fake);
}

static void polls_beside_batches(void **state)
{
	struct setup *s = *state;
	struct aws_call poll = { .service = AWS_SQS,
				 .operation = "ReceiveMessage",
				 .body = EV_LIT("hang"),
				 .attempt_ms = 30000 };
	struct aws_call early = put_record(), batch[6], *done = NULL;
	_Atomic unsigned n = 0;

	s->config.max_calls = 3;
	s->config.clock = ev_clock_os();
	s->config.pause.fn = NULL;
	fake_start_fn(&s->fake, answer_by_body, &n);
	connect_to(s);
	assert_int_equal(aws_client_poll(s->client, 0, &done), EV_NOTFOUND);
	assert_int_equal(aws_call_submit(s->client, &poll), EV_OK);
	assert_int_equal(aws_call_submit(s->client, &early), EV_OK);
	for (size_t i = 0; i < 6; i++)
		batch[i] = put_record();
	aws_client_run(s->client, batch, 6, 0);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(batch[i].err, EV_OK);
		aws_call_clear(&batch[i]);
	}
	/* What was done meanwhile is given out now. */
	assert_int_equal(aws_client_poll(s->client, 5 * EV_NS_PER_S, &done), EV_OK);
	assert_ptr_equal(done, &early);
	aws_call_clear(&early);
	assert_int_equal(aws_client_poll(s->client, 0, &done), EV_TIMEOUT);
	assert_int_equal(aws_client_poll(s->client, EV_NS_PER_MS, &done), EV_TIMEOUT);
	aws_client_wake(s->client);
	assert_int_equal(aws_client_poll(s->client, 60 * EV_NS_PER_S, &done), EV_BUSY);
	aws_call_cancel(s->client, &poll);
	assert_int_equal(aws_client_poll(s->client, 0, &done), EV_NOTFOUND);
	/* Limits, and an end with calls under way. */
	assert_int_equal(aws_call_submit(s->client, &poll), EV_OK);
	assert_int_equal(aws_call_submit(s->client, &batch[0]), EV_OK);
	assert_int_equal(aws_call_submit(s->client, &batch[1]), EV_OK);
	assert_int_equal(aws_call_submit(s->client, &batch[2]), EV_FULL);
	assert_int_equal(aws_client_poll(s->client, 5 * EV_NS_PER_S, &done), EV_OK);
	aws_call_clear(done);
	aws_client_free(s->client);
	s->client = NULL;
	fake_stop(&s->fake);
}

static void refuses_calls_that_are_none(void **state)
{
	struct setup *s = *state;
	struct aws_call call = put_record();
	char name[AWS_OPERATION_MAX + 2];

	serve(s, NULL, 0);
	call.operation = "";
	assert_int_equal(aws_call(s->client, &call, 0), EV_INVALID);
	call.operation = "A\r\nX-Evil: 1";
	assert_int_equal(aws_call(s->client, &call, 0), EV_INVALID);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	call.operation = name;
	assert_int_equal(aws_call(s->client, &call, 0), EV_INVALID);
	call.operation = "A";
	call.service = AWS_STS;
	assert_int_equal(aws_call(s->client, &call, 0), EV_INVALID);
	assert_string_equal(call.error.code, "NotSent");
	assert_int_equal(fake_n(&s->fake), 0);
	fake_stop(&s->fake);
}

static void needs_a_region_and_sound_endpoints(void **state)
{
	struct setup *s = *state;
	struct ev_fail fail = { .text = "" };

	s->config.credentials = NULL;
	test_env_set(&s->env, "AWS_REGION", "");
	assert_int_equal(aws_client_new(&s->config, &s->client, &fail), EV_NOTFOUND);
	assert_non_null(strstr(fail.text, "AWS_REGION"));
	test_env_set(&s->env, "AWS_REGION", "eu-west-1");
	test_env_set(&s->env, "AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000");
	assert_int_equal(aws_client_new(&s->config, &s->client, &fail), EV_INVALID);
	test_env_set(&s->env, "AWS_ENDPOINT_URL_DYNAMODB", "http://localhost:8000");
	assert_int_equal(aws_client_new(&s->config, &s->client, &fail), EV_OK);
	assert_string_equal(aws_client_endpoint(s->client, AWS_DYNAMODB)->url,
			    "http://localhost:8000/");
	assert_string_equal(aws_client_endpoint(s->client, AWS_SQS)->url,
			    "https://sqs.eu-west-1.amazonaws.com/");
}

/* A batch whose answers say which entries failed, as PutRecords does. */
static void resends_entries_through_the_client(void **state)
{
	static const struct fake_answer script[] = { { .body = "0101" },
						     { .body = "01" },
						     { .body = "0" } };
	struct setup *s = *state;
	struct aws_batch *b = malloc(sizeof(*b));
	int64_t delay = 0;
	size_t sent = 0;

	assert_non_null(b);
	serve(s, script, 3);
	aws_batch_init(b, 4);
	do {
		char body[8] = "";
		struct aws_call call = put_record();

		ev_clock_manual_advance(&s->clock, delay);
		for (size_t i = 0; i < b->n_pending; i++)
			body[i] = (char)('a' + b->pending[i]);
		call.body = ev_str_from(body);
		sent += b->n_pending;
		assert_int_equal(aws_call(s->client, &call, 0), EV_OK);
		assert_int_equal(call.answer.n, b->n_pending);
		for (size_t i = 0; i < call.answer.n; i++) {
			if (call.answer.p[i] == '0')
				aws_batch_done(b, i);
			else
				aws_batch_failed(b, i, AWS_ERROR_THROTTLED);
		}
		aws_call_clear(&call);
	} while (aws_batch_again(b, aws_client_rules(s->client), aws_client_tokens(s->client),
				 s->config.rng, &delay));
	assert_int_equal(aws_batch_n_failed(b), 0);
	assert_int_equal(sent, 7);
	assert_string_equal(fake_at(&s->fake, 0)->body, "abcd");
	assert_string_equal(fake_at(&s->fake, 1)->body, "bd");
	assert_string_equal(fake_at(&s->fake, 2)->body, "d");
	free(b);
	fake_stop(&s->fake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_each_service_in_its_way),
		TEST(signs_without_a_token_and_without_a_body),
		TEST(tries_again_and_says_how_often),
		TEST(signs_every_attempt_anew),
		TEST(keeps_what_an_error_says),
		TEST(bounds_answers),
		TEST(sets_its_clock_by_a_refusal),
		TEST(does_not_blame_the_clock_twice),
		TEST(renews_refused_keys_once),
		TEST(says_that_there_are_no_keys),
		TEST(makes_many_calls_at_once),
		TEST(ends_at_its_deadline),
		TEST(does_not_wait_for_what_comes_too_late),
		TEST(times_out_attempts),
		TEST(polls_beside_batches),
		TEST(refuses_calls_that_are_none),
		TEST(needs_a_region_and_sound_endpoints),
		TEST(resends_entries_through_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
