/* test_aws_retry.c — retries and their tokens, batches that failed in part, the clock's offset. */
#include "engine/aws/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/time.h"
#include "engine/aws/batch.h"
#include "engine/aws/skew.h"

static void tries_again_what_can_go_away(void **state)
{
	static const bool may[AWS_ERROR_COUNT] = {
		[AWS_ERROR_THROTTLED] = true,
		[AWS_ERROR_TRANSIENT] = true,
		[AWS_ERROR_TIMED_OUT] = true,
	};
	struct aws_retry_rules rules = aws_retry_standard();
	struct ev_rng_seeded rng;

	(void)state;
	ev_rng_seeded_init(&rng, 1);
	for (unsigned k = 1; k < AWS_ERROR_COUNT; k++) {
		struct aws_retry_tokens tokens = aws_retry_full();
		struct aws_retry r = { .attempts = 0 };
		int64_t delay = -1;

		assert_int_equal(aws_retry_again(&rules, &tokens, &r, (enum aws_error_kind)k, 0,
						 &rng.base, &delay),
				 may[k]);
		assert_int_equal(delay >= 0, may[k]);
	}
}

static void ends_after_three_attempts(void **state)
{
	struct aws_retry_rules rules = aws_retry_standard();
	struct aws_retry_tokens tokens = aws_retry_full();
	struct aws_retry r = { .attempts = 0 };
	struct ev_rng_seeded rng;
	int64_t delay;

	(void)state;
	ev_rng_seeded_init(&rng, 1);
	assert_true(
		aws_retry_again(&rules, &tokens, &r, AWS_ERROR_TRANSIENT, 0, &rng.base, &delay));
	assert_true(
		aws_retry_again(&rules, &tokens, &r, AWS_ERROR_TRANSIENT, 0, &rng.base, &delay));
	assert_false(
		aws_retry_again(&rules, &tokens, &r, AWS_ERROR_TRANSIENT, 0, &rng.base, &delay));
	assert_int_equal(tokens.left, AWS_RETRY_TOKENS - 2 * AWS_RETRY_COST);
}

/* Full jitter: from nothing up to 1, 2, 4, … s and never above 20 s. */
static void spreads_its_delays(void **state)
{
	static const int64_t widest_s[] = { 1, 2, 4, 8, 16, 20, 20, 20 };
	struct aws_retry_rules rules = aws_retry_standard();
	struct ev_rng_seeded rng;

	(void)state;
	rules.max_attempts = 100;
	ev_rng_seeded_init(&rng, 7);
	for (size_t i = 0; i < EV_ARRAY_LEN(widest_s); i++) {
		int64_t low = INT64_MAX, high = 0;

		for (int k = 0; k < 400; k++) {
			struct aws_retry_tokens tokens = aws_retry_full();
			struct aws_retry r = { .attempts = (unsigned)i };
			int64_t d;

			assert_true(aws_retry_again(&rules, &tokens, &r, AWS_ERROR_THROTTLED, 0,
						    &rng.base, &d));
			assert_true(d >= 0 && d <= widest_s[i] * EV_NS_PER_S);
			low = d < low ? d : low;
			high = d > high ? d : high;
		}
		assert_true(low < widest_s[i] * EV_NS_PER_S / 20);
		assert_true(high > widest_s[i] * EV_NS_PER_S / 20 * 19);
	}
}

static void does_as_the_service_asks_within_five_seconds(void **state)
{
	struct aws_retry_rules rules = aws_retry_standard();
	struct ev_rng_seeded rng;
	struct aws_retry_tokens tokens = aws_retry_full();
	struct aws_retry r = { .attempts = 0 };
	int64_t d;

	(void)state;
	ev_rng_seeded_init(&rng, 3);
	rules.base_ns = 0;
	assert_true(aws_retry_again(&rules, &tokens, &r, AWS_ERROR_THROTTLED, 7 * EV_NS_PER_S,
				    &rng.base, &d));
	assert_int_equal(d, 7 * EV_NS_PER_S);
	rules.base_ns = rules.max_ns = 60 * EV_NS_PER_S;
	for (int i = 0; i < 200; i++) {
		r.attempts = 0;
		tokens = aws_retry_full();
		assert_true(aws_retry_again(&rules, &tokens, &r, AWS_ERROR_THROTTLED,
					    2 * EV_NS_PER_S, &rng.base, &d));
		assert_true(d >= 2 * EV_NS_PER_S && d <= 7 * EV_NS_PER_S);
	}
}

static void stops_when_the_bucket_is_empty(void **state)
{
	struct aws_retry_rules rules = aws_retry_standard();
	struct aws_retry_tokens tokens = { .left = 14 };
	struct ev_rng_seeded rng;
	struct aws_retry a = { .attempts = 0 }, b = a, c = a;
	int64_t d;

	(void)state;
	ev_rng_seeded_init(&rng, 1);
	assert_true(aws_retry_again(&rules, &tokens, &a, AWS_ERROR_TIMED_OUT, 0, &rng.base, &d));
	assert_int_equal(tokens.left, 4);
	assert_false(aws_retry_again(&rules, &tokens, &b, AWS_ERROR_TRANSIENT, 0, &rng.base, &d));
	/* A retry that succeeds gives its own cost back, a first attempt one token. */
	aws_retry_won(&tokens, &a);
	assert_int_equal(tokens.left, 14);
	aws_retry_won(&tokens, &c);
	assert_int_equal(tokens.left, 15);
	tokens = aws_retry_full();
	aws_retry_won(&tokens, &a);
	assert_int_equal(tokens.left, AWS_RETRY_TOKENS);
}

/* --- Batches --- */

static void sends_again_only_what_failed(void **state)
{
	struct aws_retry_rules rules = aws_retry_standard();
	struct aws_retry_tokens tokens = aws_retry_full();
	struct ev_rng_seeded rng;
	struct aws_batch *b = malloc(sizeof(*b));
	int64_t d;

	(void)state;
	assert_non_null(b);
	ev_rng_seeded_init(&rng, 1);
	aws_batch_init(b, 5);
	assert_int_equal(b->n_pending, 5);
	aws_batch_done(b, 0);
	aws_batch_failed(b, 1, AWS_ERROR_THROTTLED);
	aws_batch_failed(b, 2, AWS_ERROR_VALIDATION);
	aws_batch_done(b, 3);
	aws_batch_failed(b, 4, AWS_ERROR_TRANSIENT);
	assert_true(aws_batch_again(b, &rules, &tokens, &rng.base, &d));
	assert_int_equal(b->n_pending, 2);
	assert_int_equal(b->pending[0], 1);
	assert_int_equal(b->pending[1], 4);
	aws_batch_failed(b, 0, AWS_ERROR_THROTTLED);
	aws_batch_done(b, 1);
	assert_true(aws_batch_again(b, &rules, &tokens, &rng.base, &d));
	assert_int_equal(b->n_pending, 1);
	assert_int_equal(b->pending[0], 1);
	aws_batch_done(b, 0);
	assert_false(aws_batch_again(b, &rules, &tokens, &rng.base, &d));
	assert_int_equal(aws_batch_n_failed(b), 1);
	assert_int_equal(b->of[1], AWS_ERROR_NONE);
	assert_int_equal(b->of[2], AWS_ERROR_VALIDATION);
	assert_int_equal(b->of[4], AWS_ERROR_NONE);
	free(b);
}

static void gives_up_a_batch_that_gets_nowhere(void **state)
{
	struct aws_retry_rules rules = aws_retry_standard();
	struct aws_retry_tokens tokens = aws_retry_full();
	struct ev_rng_seeded rng;
	struct aws_batch *b = malloc(sizeof(*b));
	unsigned rounds = 0;
	int64_t d;

	(void)state;
	assert_non_null(b);
	ev_rng_seeded_init(&rng, 1);
	aws_batch_init(b, AWS_BATCH_MAX);
	do {
		rounds++;
		for (size_t i = 0; i < b->n_pending; i++)
			aws_batch_failed(b, i, AWS_ERROR_THROTTLED);
	} while (aws_batch_again(b, &rules, &tokens, &rng.base, &d));
	assert_int_equal(rounds, 3);
	assert_int_equal(aws_batch_n_failed(b), AWS_BATCH_MAX);
	assert_int_equal(b->of[0], AWS_ERROR_THROTTLED);
	/* One entry a round is progress enough to go on to the end. */
	aws_batch_init(b, 20);
	rounds = 0;
	do {
		rounds++;
		aws_batch_done(b, 0);
		for (size_t i = 1; i < b->n_pending; i++)
			aws_batch_failed(b, i, AWS_ERROR_THROTTLED);
	} while (aws_batch_again(b, &rules, &tokens, &rng.base, &d));
	assert_int_equal(rounds, 20);
	assert_int_equal(aws_batch_n_failed(b), 0);
	free(b);
}

static void never_sends_again_what_was_not_answered(void **state)
{
	struct aws_retry_rules rules = aws_retry_standard();
	struct aws_retry_tokens tokens = aws_retry_full();
	struct ev_rng_seeded rng;
	struct aws_batch *b = malloc(sizeof(*b));
	int64_t d;

	(void)state;
	assert_non_null(b);
	ev_rng_seeded_init(&rng, 1);
	aws_batch_init(b, 2);
	aws_batch_failed(b, 1, AWS_ERROR_TRANSIENT);
	assert_true(aws_batch_again(b, &rules, &tokens, &rng.base, &d));
	assert_int_equal(b->n_pending, 1);
	assert_int_equal(b->pending[0], 1);
	assert_int_equal(b->of[0], AWS_ERROR_BAD_ANSWER);
	free(b);
}

/* --- The clock --- */

static void reads_the_date_of_answers(void **state)
{
	static const struct {
		const char *text;
		int64_t s; /* -1: none */
	} cases[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Mon, 23 Nov 2026 08:00:00 GMT", 1795420800 },
		{ "Thu, 29 Feb 2024 23:59:60 GMT", 1709251200 },
		{ "Wed, 29 Feb 2023 00:00:00 GMT", -1 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", -1 },
		{ "Sun Nov  6 08:49:37 1994", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 UTC", -1 },
		{ "Sun, 06 Nov 1994 24:49:37 GMT", -1 },
		{ "Sun, 00 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1894 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 9999 08:49:37 GMT", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		int64_t ns = -1;
		ev_err err = aws_http_date_parse(ev_str_from(cases[i].text), &ns);

		assert_int_equal(err, cases[i].s < 0 ? EV_INVALID : EV_OK);
		assert_int_equal(ns, cases[i].s < 0 ? -1 : cases[i].s * EV_NS_PER_S);
	}
}

static void sets_the_clock_from_four_minutes_on(void **state)
{
	static const struct {
		int64_t ahead_s, offset_s;
		bool set;
		int64_t wanted_s;
	} cases[] = {
		{ 0, 0, false, 0 },       { 239, 0, false, 0 },
		{ 240, 0, true, -240 },   { -240, 0, true, 240 },
		{ 3600, 0, true, -3600 }, { 3600, -3600, false, -3600 },
		{ 0, -3600, true, 0 },    { 3700, -3600, false, -3600 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		int64_t now = (1795420800 + cases[i].ahead_s) * EV_NS_PER_S;
		int64_t offset = cases[i].offset_s * EV_NS_PER_S;

		assert_int_equal(
			aws_skew_correct(EV_LIT("Mon, 23 Nov 2026 08:00:00 GMT"), now, &offset),
			cases[i].set);
		assert_int_equal(offset, cases[i].wanted_s * EV_NS_PER_S);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tries_again_what_can_go_away),
		cmocka_unit_test(ends_after_three_attempts),
		cmocka_unit_test(spreads_its_delays),
		cmocka_unit_test(does_as_the_service_asks_within_five_seconds),
		cmocka_unit_test(stops_when_the_bucket_is_empty),
		cmocka_unit_test(sends_again_only_what_failed),
		cmocka_unit_test(gives_up_a_batch_that_gets_nowhere),
		cmocka_unit_test(never_sends_again_what_was_not_answered),
		cmocka_unit_test(reads_the_date_of_answers),
		cmocka_unit_test(sets_the_clock_from_four_minutes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
