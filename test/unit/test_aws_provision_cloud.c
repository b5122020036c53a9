/* test_aws_provision_cloud.c — provisioning on the cloud in memory, with whatever can go wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "cloud/cloud.h"
#include "engine/aws/provision.h"

#define SECOND INT64_C(1000000000)
#define CALLS_MAX 200 /* of a run, more than it makes */

struct setup {
	struct ev_clock_manual clock;
	struct aws_resources names;
	struct provision_plan plan;
	struct provision v;
	struct cloud *cloud;
	struct cloud_caller *ours, *other;
	/* What goes wrong: the fault at that attempt of ours, or at all of an operation's. */
	enum cloud_fault fault;
	uint64_t at;
	const char *operation;
	/* What somebody else calls right before the operation. */
	const char *race_operation, *race_body;
	unsigned races;
};

static enum cloud_fault fault(void *user, const struct cloud_attempt *a)
{
	struct setup *s = user;

	if (a->caller != s->ours)
		return CLOUD_FINE;
	if (s->operation != NULL)
		return strcmp(a->operation, s->operation) == 0 ? s->fault : CLOUD_FINE;
	return a->number == s->at ? s->fault : CLOUD_FINE;
}

static void race(void *user, const struct cloud_attempt *a)
{
	struct setup *s = user;
	struct aws_call call = { .service = a->service, .operation = a->operation };

	if (a->caller != s->ours || s->race_operation == NULL ||
	    strcmp(a->operation, s->race_operation) != 0)
		return;
	call.body = s->race_body != NULL ? ev_str_from(s->race_body) : a->body;
	(void)aws_caller_one(cloud_caller(s->other), &call, 0); /* it may be late itself */
	s->races += call.err == EV_OK;
	aws_call_clear(&call);
}

static int set_up(void **state)
{
	struct setup *s = calloc(1, sizeof(*s));
	struct cloud_config config = { .seed = 1, .fault = fault, .race = race, .user = s };

	assert_non_null(s);
	ev_clock_manual_init(&s->clock, 1700000000 * SECOND);
	config.clock = &s->clock;
	s->cloud = cloud_new(&config);
	s->ours = cloud_caller_new(s->cloud, "ours");
	s->other = cloud_caller_new(s->cloud, "other");
	assert_int_equal(aws_resources_init(&s->names, EV_LIT("t_")), EV_OK);
	s->v = (struct provision){ .caller = cloud_caller(s->ours),
				   .clock = &s->clock.base,
				   .limit_ns = 60 * SECOND };
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct setup *s = *state;

	cloud_caller_free(s->ours);
	cloud_caller_free(s->other);
	cloud_free(s->cloud);
	free(s);
	return 0;
}

/* A whole run of the command. */
static ev_err run(struct setup *s, struct ev_fail *fail)
{
	ev_err e;

	provision_plan_init(&s->plan, &s->names);
	e = provision_look(&s->v, &s->plan, fail);
	return e == EV_OK ? provision_create(&s->v, &s->plan, fail) : e;
}

static void expect_all_as_wanted(struct setup *s)
{
	struct ev_fail fail = { .text = "" };

	provision_plan_init(&s->plan, &s->names);
	assert_int_equal(provision_look(&s->v, &s->plan, &fail), EV_OK);
	assert_int_equal(provision_count(&s->plan, PROVISION_NOTHING), PROVISION_RESOURCES);
}

static uint64_t n_changes(struct setup *s)
{
	return cloud_n_calls(s->cloud, AWS_SQS, "CreateQueue") +
	       cloud_n_calls(s->cloud, AWS_KINESIS, "CreateStream") +
	       cloud_n_calls(s->cloud, AWS_DYNAMODB, "CreateTable") +
	       cloud_n_calls(s->cloud, AWS_DYNAMODB, "UpdateTimeToLive");
}

static void creates_everything_once(void **state)
{
	struct setup *s = *state;
	struct ev_fail fail = { .text = "" };

	assert_int_equal(run(s, &fail), EV_OK);
	assert_int_equal(provision_count(&s->plan, PROVISION_NOTHING), PROVISION_RESOURCES);
	for (size_t i = 0; i < s->plan.n; i++)
		assert_true(s->plan.items[i].created);
	assert_int_equal(n_changes(s), PROVISION_RESOURCES + 1);
	assert_int_equal(run(s, &fail), EV_OK);
	for (size_t i = 0; i < s->plan.n; i++)
		assert_false(s->plan.items[i].created);
	assert_int_equal(n_changes(s), PROVISION_RESOURCES + 1);
}

static void looking_changes_nothing(void **state)
{
	struct setup *s = *state;
	struct ev_fail fail = { .text = "" };

	provision_plan_init(&s->plan, &s->names);
	assert_int_equal(provision_look(&s->v, &s->plan, &fail), EV_OK);
	assert_int_equal(provision_count(&s->plan, PROVISION_CREATE), PROVISION_RESOURCES);
	assert_int_equal(n_changes(s), 0);
}

/* The tests of the engine run on what the product creates, or they would prove nothing. */
static void what_the_tests_run_on_is_as_wanted(void **state)
{
	struct setup *s = *state;

	cloud_provision(s->cloud, &s->names);
	expect_all_as_wanted(s);
}

static uint64_t n_calls(struct setup *s)
{
	return cloud_n_calls(s->cloud, AWS_SQS, NULL) + cloud_n_calls(s->cloud, AWS_KINESIS, NULL) +
	       cloud_n_calls(s->cloud, AWS_DYNAMODB, NULL);
}

/* The fault at that call of a run, after which the next run finishes what is left. */
static void goes_wrong_at(struct setup *s, enum cloud_fault f, uint64_t at)
{
	struct ev_fail fail = { .text = "" };

	s->fault = f;
	s->at = at;
	ev_err e = run(s, &fail);

	assert_true(e == EV_OK || fail.text[0] != '\0');
	s->fault = CLOUD_FINE;
	if (cloud_is_dead(s->ours)) {
		assert_int_equal(e, EV_CLOSED);
		cloud_revive(s->ours);
	}
	assert_int_equal(run(s, &fail), EV_OK);
	expect_all_as_wanted(s);
}

static void is_safe_to_repeat_whatever_went_wrong(void **state)
{
	static const enum cloud_fault faults[] = {
		CLOUD_THROTTLED,   CLOUD_SERVER_ERROR, CLOUD_LOST_REQUEST,  CLOUD_LOST_ANSWER,
		CLOUD_DENIED,      CLOUD_GARBAGE,      CLOUD_DUPLICATE,     CLOUD_MISSING,
		CLOUD_DIES_BEFORE, CLOUD_DIES_AFTER,   CLOUD_EXPIRED_TOKEN,
	};
	struct ev_fail fail = { .text = "" };
	struct setup *s = *state;

	assert_int_equal(run(s, &fail), EV_OK);
	uint64_t total = n_calls(s);

	assert_true(total > PROVISION_RESOURCES && total < CALLS_MAX);
	for (size_t f = 0; f < EV_ARRAY_LEN(faults); f++) {
		for (uint64_t at = 1; at <= total; at++) {
			void *fresh = NULL;

			assert_int_equal(set_up(&fresh), 0);
			goes_wrong_at(fresh, faults[f], at);
			tear_down(&fresh);
		}
	}
}

static void somebody_else_may_create_the_same(void **state)
{
	static const char *const operations[] = { "CreateQueue", "CreateStream", "CreateTable",
						  "UpdateTimeToLive" };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(operations); i++) {
		void *fresh = NULL;
		struct ev_fail fail = { .text = "" };

		assert_int_equal(set_up(&fresh), 0);
		struct setup *s = fresh;

		s->race_operation = operations[i];
		assert_int_equal(run(s, &fail), EV_OK);
		assert_true(s->races > 0);
		assert_int_equal(provision_count(&s->plan, PROVISION_NOTHING), PROVISION_RESOURCES);
		tear_down(&fresh);
	}
}

static void somebody_else_may_create_it_otherwise(void **state)
{
	struct setup *s = *state;
	struct ev_fail fail = { .text = "" };

	s->race_operation = "CreateQueue";
	s->race_body = "{\"QueueName\":\"t_outlet-backend-to-device_queue\","
		       "\"Attributes\":{\"VisibilityTimeout\":\"7\"}}";
	assert_int_equal(run(s, &fail), EV_OK);
	assert_true(s->races > 0);
	assert_int_equal(provision_count(&s->plan, PROVISION_NOTHING), PROVISION_RESOURCES - 1);
	assert_int_equal(provision_count(&s->plan, PROVISION_DIFFERS), 1);
}

static void names_the_permission_that_is_missing(void **state)
{
	static const struct {
		const char *operation, *text;
	} cases[] = {
		{ "GetQueueUrl", "t_device-to-outlet-backend_dead-letters_queue: "
				 "the permission sqs:GetQueueUrl is missing" },
		{ "CreateQueue", "t_device-to-outlet-backend_dead-letters_queue: "
				 "the permission sqs:CreateQueue is missing" },
		{ "CreateStream", "t_charging-events_stream: "
				  "the permission kinesis:CreateStream is missing" },
		{ "CreateTable", "t_charging-event-checkpoints-outlet-backend_table: "
				 "the permission dynamodb:CreateTable is missing" },
		{ "UpdateTimeToLive", "t_evcharge-items_table: "
				      "the permission dynamodb:UpdateTimeToLive is missing" },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct setup *s = *state;
		struct ev_fail fail = { .text = "" };

		s->fault = CLOUD_DENIED;
		s->operation = cases[i].operation;
		assert_int_equal(run(s, &fail), EV_DENIED);
		assert_string_equal(fail.text, cases[i].text);
	}
}

static void waits_no_longer_than_the_limit(void **state)
{
	struct setup *s = *state;
	struct ev_fail fail = { .text = "" };
	int64_t start_ns = ev_clock_mono_ns(&s->clock.base);

	s->fault = CLOUD_MISSING; /* however often it is looked for */
	s->operation = "DescribeStreamSummary";
	assert_int_equal(run(s, &fail), EV_TIMEOUT);
	assert_string_equal(fail.text,
			    "t_charging-events_stream: cannot be used yet; run it again");
	assert_in_range(ev_clock_mono_ns(&s->clock.base) - start_ns, 50 * SECOND, 60 * SECOND);
	s->fault = CLOUD_FINE;
	assert_int_equal(run(s, &fail), EV_OK);
	expect_all_as_wanted(s);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(creates_everything_once),
		TEST(looking_changes_nothing),
		TEST(what_the_tests_run_on_is_as_wanted),
		TEST(is_safe_to_repeat_whatever_went_wrong),
		TEST(somebody_else_may_create_the_same),
		TEST(somebody_else_may_create_it_otherwise),
		TEST(names_the_permission_that_is_missing),
		TEST(waits_no_longer_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
