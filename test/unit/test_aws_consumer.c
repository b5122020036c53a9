/* test_aws_consumer.c — the consumer on the cloud in memory: balance, loss, reshards, faults. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/time.h"
#include "consumer_fixture.h"

#define MINUTE EV_NS_PER_MIN

static int set_up(void **state)
{
	struct world *w = malloc(sizeof(*w));

	if (w == NULL)
		return -1;
	world_init(w, 1, 3, NULL);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	world_deinit(*state);
	free(*state);
	return 0;
}

static void one_worker_reads_all_shards(void **state)
{
	struct world *w = *state;
	struct lease_row row;

	world_put_some(w, 100);
	world_start(w, 0);
	world_settle(w, 5 * EV_NS_PER_S); /* at once, not after the original's 40 s */
	assert_int_equal(world_state(w, 0).held, 4);
	assert_int_equal(world_state(w, 0).shards, 4);
	assert_true(world_state(w, 0).ready);
	assert_int_equal(w->n_again, 0);
	world_run(w, 15 * EV_NS_PER_S);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(world_row(w, i, &row));
		assert_string_equal(row.owner, w->workers[0].name);
		assert_int_equal(row.checkpoint.kind, LEASE_SEQUENCE);
	}
}

static void a_new_event_is_read_within_a_second(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	world_run(w, 5 * EV_NS_PER_S);
	world_put(w, 3);
	world_settle(w, EV_NS_PER_S + 2 * WORLD_STEP_NS);
}

static void foreign_events_move_the_checkpoint(void **state)
{
	struct world *w = *state;
	struct aws_consumer_state s;

	world_start(w, 0);
	for (unsigned i = 0; i < WORLD_OUTLETS; i++) {
		world_put(w, i);
		world_put_foreign(w, i);
	}
	world_settle(w, 5 * EV_NS_PER_S);
	world_run(w, 15 * EV_NS_PER_S);
	s = world_state(w, 0);
	assert_int_equal(s.foreign, WORLD_OUTLETS);
	assert_int_equal(s.in_hand, 0);
	world_kill(w, 0);
	world_start(w, 1);
	world_run(w, MINUTE);
	assert_int_equal(w->n_again, 0);
	/* Each shard's last record comes again, and is known by its place. */
	assert_int_equal(world_state(w, 1).records, 0);
	assert_int_equal(world_state(w, 1).repeated, 4);
}

static size_t n_held(struct world *w, unsigned i)
{
	return w->workers[i].consumer == NULL ? 0 : world_state(w, i).held;
}

static void workers_share_and_take_over(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	world_run(w, 5 * EV_NS_PER_S);
	assert_int_equal(n_held(w, 0), 4);
	world_start(w, 1);
	for (unsigned i = 0; i < 60; i++) {
		world_put_some(w, 10);
		world_run(w, EV_NS_PER_S);
	}
	assert_int_equal(n_held(w, 0), 2);
	assert_int_equal(n_held(w, 1), 2);
	assert_int_equal(world_state(w, 1).stolen, 2);
	assert_int_equal(world_state(w, 0).lost_leases, 2);
	world_start(w, 2);
	for (unsigned i = 0; i < 60; i++) {
		world_put_some(w, 10);
		world_run(w, EV_NS_PER_S);
	}
	assert_true(n_held(w, 0) >= 1 && n_held(w, 1) >= 1 && n_held(w, 2) >= 1);
	assert_int_equal(n_held(w, 0) + n_held(w, 1) + n_held(w, 2), 4);
	world_kill(w, 0);
	world_put_some(w, 50);
	world_settle(w, 45 * EV_NS_PER_S); /* 10 s to expire, and two scans */
	assert_int_equal(n_held(w, 1) + n_held(w, 2), 4);
	assert_int_equal(n_held(w, 1), 2);
}

/* Frozen longer than its leases live, it must find out that it lost them, and submit nothing. */
static void a_worker_that_slept_gives_way(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	world_run(w, 5 * EV_NS_PER_S);
	w->workers[0].frozen = true;
	world_start(w, 1);
	world_put_some(w, 100);
	world_settle(w, MINUTE);
	assert_int_equal(n_held(w, 1), 4);
	w->workers[0].frozen = false;
	world_run(w, 2 * EV_NS_PER_S);
	assert_int_equal(n_held(w, 0), 0);
	assert_int_equal(world_state(w, 0).lost_leases, 4);
	assert_int_equal(w->n_again, 0);
	world_put_some(w, 100);
	world_run(w, MINUTE);
	assert_int_equal(n_held(w, 0), 2);
	world_settle(w, MINUTE);
}

static void a_drain_releases_and_leaves_nothing_to_repeat(void **state)
{
	struct world *w = *state;
	struct lease_row row;

	world_start(w, 0);
	world_put_some(w, 200);
	world_settle(w, 10 * EV_NS_PER_S);
	world_put_some(w, 20);
	w->hold_per_100 = 70;
	world_run(w, EV_NS_PER_S);
	assert_true(world_stop(w, 0, 30 * EV_NS_PER_S));
	w->hold_per_100 = 0;
	for (unsigned i = 0; i < 4; i++) {
		assert_true(world_row(w, i, &row));
		assert_string_equal(row.owner, "");
	}
	world_start(w, 1);
	world_put_some(w, 20);
	world_settle(w, 3 * EV_NS_PER_S); /* nothing has to expire */
	assert_int_equal(n_held(w, 1), 4);
	assert_int_equal(w->n_again, 0);
}

static void a_failed_job_is_tried_again_in_order(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	w->error_per_100 = 30;
	for (unsigned i = 0; i < 20; i++) {
		world_put_some(w, 20);
		world_run(w, EV_NS_PER_S);
	}
	world_settle(w, 5 * MINUTE);
	assert_true(w->n_errors > 100);
	assert_int_equal(world_state(w, 0).retried, w->n_errors);
	assert_int_equal(world_state(w, 0).letters, 0);
	assert_int_equal(w->n_again, 0);
}

/* --- Dead letters --- */

static void what_cannot_be_read_goes_to_the_dead_letters(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	for (unsigned i = 0; i < WORLD_OUTLETS; i++) {
		world_put(w, i);
		world_put_bytes(w, "no protobuf", 11, i);
		world_put_bytes(w, "\xf3\x89\x9a\xc2zzzz", 8, i); /* claims to be an aggregate */
		world_put_bytes(w, "", 0, i);
		world_put(w, i);
	}
	world_settle(w, 10 * EV_NS_PER_S);
	world_run(w, 15 * EV_NS_PER_S);
	assert_int_equal(world_state(w, 0).undecodable, 3 * WORLD_OUTLETS);
	assert_int_equal(world_state(w, 0).letters, 3 * WORLD_OUTLETS);
	assert_int_equal(cloud_n_records(w->cloud, w->names.dead_letter_stream), 3 * WORLD_OUTLETS);
	assert_int_equal(world_state(w, 0).in_hand, 0);
}

static void rejected_events_become_letters_and_the_rest_goes_on(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	w->reject_per_100 = 20;
	world_put_some(w, 300);
	world_settle(w, MINUTE);
	world_run(w, 5 * EV_NS_PER_S);
	assert_true(w->n_rejects > 30);
	assert_int_equal(world_state(w, 0).letters, w->n_rejects);
	assert_int_equal(cloud_n_records(w->cloud, w->names.dead_letter_stream), w->n_rejects);
}

/* While letters are refused nothing passes them, but other outlets go on. */
static enum cloud_fault no_letters(void *user, const struct cloud_attempt *a)
{
	(void)user;
	return strcmp(a->operation, "PutRecords") == 0 ? CLOUD_THROTTLED : CLOUD_FINE;
}

static void no_checkpoint_passes_a_letter_that_was_not_accepted(void **state)
{
	struct world w;
	struct lease_row before, after;
	unsigned i;

	(void)state;
	world_init(&w, 3, 1, no_letters);
	world_start(&w, 0);
	world_put_bytes(&w, "bad", 3, 0);
	for (i = 0; i < 50; i++)
		world_put_some(&w, 5);
	world_settle(&w, MINUTE);
	world_run(&w, MINUTE);
	assert_int_equal(world_state(&w, 0).letters, 0);
	assert_true(world_state(&w, 0).in_hand > 0);
	for (i = 0; i < 4; i++) {
		assert_true(world_row(&w, i, &before));
		if (before.checkpoint.kind == LEASE_TRIM_HORIZON)
			break;
	}
	assert_true(i < 4); /* the shard with the bad one at its head */
	cloud_set_faults(w.cloud, false);
	world_run(&w, MINUTE);
	assert_true(world_row(&w, i, &after));
	assert_int_equal(after.checkpoint.kind, LEASE_SEQUENCE);
	assert_int_equal(world_state(&w, 0).letters, 1);
	world_deinit(&w);
}

/* A stored row that nobody can read must not stop a shard for ever. */
static void a_lasting_error_becomes_a_letter_in_the_end(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	w->error_per_100 = 100;
	w->error = EV_CORRUPT;
	w->no_checks = true; /* the letter stands for the decision */
	world_put(w, 1);
	world_run(w, 2 * MINUTE);
	assert_int_equal(w->n_errors, AWS_CONSUMER_TRIES);
	assert_int_equal(world_state(w, 0).letters, 1);
	assert_int_equal(world_state(w, 0).in_hand, 0);
	w->decided[1] = 1;
	w->error = EV_IO; /* this one is tried for as long as it takes */
	world_put(w, 1);
	world_run(w, 5 * MINUTE);
	assert_int_equal(world_state(w, 0).letters, 1);
	assert_true(w->n_errors > 2 * AWS_CONSUMER_TRIES);
	w->error_per_100 = 0;
	world_settle(w, MINUTE);
}

/* --- Reshards --- */

static void split(struct world *w, unsigned shard, const char *at)
{
	world_do(w, AWS_KINESIS, "SplitShard",
		 "{\"StreamName\":\"%s\",\"ShardToSplit\":\"shardId-%012u\","
		 "\"NewStartingHashKey\":\"%s\"}",
		 w->names.event_stream, shard, at);
}

static void merge(struct world *w, unsigned shard, unsigned other)
{
	world_do(w, AWS_KINESIS, "MergeShards",
		 "{\"StreamName\":\"%s\",\"ShardToMerge\":\"shardId-%012u\","
		 "\"AdjacentShardToMerge\":\"shardId-%012u\"}",
		 w->names.event_stream, shard, other);
}

#define QUARTER_AND_HALF "127605887595351923798765477786913079296" /* 3/8 of 2^128 */

static void run_load(struct world *w, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		world_put_some(w, 15);
		world_run(w, EV_NS_PER_S);
	}
}

static void reads_parents_before_their_children(void **state)
{
	struct world *w = *state;
	struct lease_row row;

	world_start(w, 0);
	world_start(w, 1);
	run_load(w, 10);
	w->hold_per_100 = 50;
	split(w, 1, QUARTER_AND_HALF); /* 4 and 5 */
	run_load(w, 20);
	merge(w, 2, 3); /* 6 */
	run_load(w, 20);
	merge(w, 5, 6); /* 7: of a child and a merged one */
	run_load(w, 60);
	w->hold_per_100 = 0;
	world_settle(w, 2 * MINUTE);
	world_run(w, MINUTE);
	for (unsigned i = 1; i <= 6; i++) {
		assert_true(world_row(w, i, &row));
		if (i == 4)
			continue;
		assert_int_equal(row.checkpoint.kind, LEASE_SHARD_END);
		assert_string_equal(row.owner, "");
	}
	assert_true(world_row(w, 7, &row));
	assert_int_equal(row.n_parents, 2);
	assert_int_equal(n_held(w, 0) + n_held(w, 1), 3); /* 0, 4, 7 */
}

/* A shard whose last records are foreign ones must end all the same. */
static void a_reshard_behind_foreign_events_ends(void **state)
{
	struct world *w = *state;
	struct lease_row row;

	world_start(w, 0);
	run_load(w, 3);
	for (unsigned i = 0; i < WORLD_OUTLETS; i++)
		world_put_foreign(w, i);
	split(w, 1, QUARTER_AND_HALF);
	world_run(w, 10 * EV_NS_PER_S);
	assert_true(world_row(w, 1, &row));
	assert_int_equal(row.checkpoint.kind, LEASE_SHARD_END);
	assert_int_equal(n_held(w, 0), 5); /* at once, without waiting for the next scan */
}

static void reads_any_number_of_shards(void **state)
{
	struct world *w = *state;

	world_do(w, AWS_KINESIS, "CreateStream", "{\"StreamName\":\"wide\",\"ShardCount\":60}");
	memcpy(w->names.event_stream, "wide", 5);
	world_run(w, EV_NS_PER_S);
	world_put_some(w, 300);
	w->no_checks = true; /* of 60 rows at each step */
	world_start(w, 0);
	world_settle(w, 10 * EV_NS_PER_S);
	world_run(w, 5 * EV_NS_PER_S);
	assert_int_equal(n_held(w, 0), 60);
}

/* --- Others at the table --- */

static void put_row(struct world *w, unsigned shard, const char *rest)
{
	world_do(w, AWS_DYNAMODB, "PutItem",
		 "{\"TableName\":\"%s\",\"Item\":{\"leaseKey\":{\"S\":\"shardId-%012u\"},%s}}",
		 w->names.outlet_leases, shard, rest);
}

/* Rows as zio-kinesis and the KCL leave them, and one that nobody can read. */
static void shares_the_table_with_other_libraries(void **state)
{
	struct world *w = *state;
	struct lease_row row;

	put_row(w, 0,
		"\"leaseCounter\":{\"N\":\"7\"},\"leaseOwner\":{\"S\":\"worker1\"},"
		"\"checkpoint\":{\"S\":\"TRIM_HORIZON\"},"
		"\"checkpointSubSequenceNumber\":{\"N\":\"0\"}");
	put_row(w, 1,
		"\"leaseCounter\":{\"N\":\"3\"},\"checkpoint\":{\"NULL\":true},"
		"\"checkpointSubSequenceNumber\":{\"NULL\":true},"
		"\"ownerSwitchesSinceCheckpoint\":{\"N\":\"0\"}");
	put_row(w, 2,
		"\"leaseCounter\":{\"N\":\"9\"},\"leaseOwner\":{\"S\":\"kcl-host:1\"},"
		"\"checkpoint\":{\"S\":\"TRIM_HORIZON\"},"
		"\"checkpointSubSequenceNumber\":{\"N\":\"0\"},"
		"\"ownerSwitchesSinceCheckpoint\":{\"N\":\"1\"},"
		"\"startingHashKey\":{\"S\":\"0\"},\"endingHashKey\":{\"S\":\"1\"},"
		"\"pendingCheckpoint\":{\"S\":\"x\"}");
	put_row(w, 3, "\"leaseCounter\":{\"S\":\"what\"}");
	world_start(w, 0);
	world_run(w, 5 * EV_NS_PER_S);
	assert_int_equal(n_held(w, 0), 1); /* 1: the only one that is free */
	assert_true(world_state(w, 0).bad_rows >= 1);
	world_run(w, 40 * EV_NS_PER_S); /* neither of the others renews */
	assert_int_equal(n_held(w, 0), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(world_row(w, i, &row));
		assert_string_equal(row.owner, w->workers[0].name);
	}
	assert_false(world_row(w, 3, &row)); /* as it was */
}

/* Another library renews, takes a lease of ours, and checkpoints it further. */
static void loses_a_lease_to_another_library(void **state)
{
	struct world *w = *state;
	struct lease_row row;

	world_start(w, 0);
	run_load(w, 5);
	assert_true(world_row(w, 0, &row));
	world_do(w, AWS_DYNAMODB, "UpdateItem",
		 "{\"TableName\":\"%s\",\"Key\":{\"leaseKey\":{\"S\":\"shardId-%012u\"}},"
		 "\"UpdateExpression\":\"SET leaseOwner = :o, leaseCounter = :c, "
		 "ownerSwitchesSinceCheckpoint = :z\",\"ConditionExpression\":\"leaseCounter = "
		 ":n\",\"ExpressionAttributeValues\":{\":o\":{\"S\":\"worker1\"},"
		 "\":c\":{\"N\":\"%u\"},\":n\":{\"N\":\"%u\"},\":z\":{\"N\":\"0\"}}}",
		 w->names.outlet_leases, 0U, (unsigned)row.counter + 1, (unsigned)row.counter);
	world_run(w, 4 * EV_NS_PER_S); /* one renewal */
	assert_int_equal(n_held(w, 0), 3);
	assert_int_equal(world_state(w, 0).lost_leases, 1);
	world_run(w, MINUTE); /* it never renewed */
	assert_int_equal(n_held(w, 0), 4);
	world_settle(w, MINUTE);
}

/* --- Faults --- */

static void expired_iterators_are_renewed_without_a_gap(void **state)
{
	struct world *w = *state;

	world_start(w, 0);
	cloud_set_rate(w->cloud, CLOUD_EXPIRED_ITERATOR, 300000);
	run_load(w, 30);
	cloud_set_faults(w->cloud, false);
	world_settle(w, MINUTE);
	assert_true(world_state(w, 0).expired_iterators > 10);
	assert_int_equal(w->n_again, 0);
}

static void a_paused_reader_asks_for_no_more(void **state)
{
	struct world *w = *state;
	uint64_t calls;

	world_start(w, 0);
	world_run(w, 2 * EV_NS_PER_S);
	w->workers[0].busy = true;
	world_put_some(w, 10);
	calls = cloud_n_calls(w->cloud, AWS_KINESIS, "GetRecords");
	world_run(w, 10 * MINUTE); /* longer than iterators live */
	assert_int_equal(cloud_n_calls(w->cloud, AWS_KINESIS, "GetRecords"), calls);
	assert_int_equal(n_held(w, 0), 4);
	w->workers[0].busy = false;
	world_settle(w, 10 * EV_NS_PER_S);
	assert_int_equal(w->n_again, 0);
}

static void asks_each_shard_at_most_five_times_a_second(void **state)
{
	struct world *w = *state;
	uint64_t before;

	world_start(w, 0);
	world_run(w, 5 * EV_NS_PER_S);
	before = cloud_n_calls(w->cloud, AWS_KINESIS, "GetRecords");
	world_run(w, 60 * EV_NS_PER_S);
	assert_in_range(cloud_n_calls(w->cloud, AWS_KINESIS, "GetRecords") - before, 4 * 50,
			4 * 61);
	before = cloud_n_calls(w->cloud, AWS_KINESIS, "GetRecords");
	for (unsigned i = 0; i < 100; i++) {
		world_put_some(w, 20);
		world_run(w, 100 * EV_NS_PER_MS);
	}
	assert_true(cloud_n_calls(w->cloud, AWS_KINESIS, "GetRecords") - before <= 4 * 51);
}

static void small(struct aws_consumer_config *c)
{
	c->limit = 10;
	c->max_in_hand = 20;
}

static void holds_no_more_in_hand_than_it_may(void **state)
{
	struct world *w = *state;

	world_put_some(w, 1000);
	world_start_with(w, 0, small);
	w->hold_per_100 = 100;
	for (unsigned i = 0; i < 100; i++) {
		world_step(w);
		assert_true(world_state(w, 0).in_hand <= 4 * 20);
	}
	assert_true(world_state(w, 0).in_hand > 4 * 10);
	w->hold_per_100 = 0;
	world_settle(w, 5 * MINUTE);
}

static bool writes_fail;
static enum cloud_fault fail_writes(void *user, const struct cloud_attempt *a)
{
	(void)user;
	return writes_fail && a->service == AWS_DYNAMODB ? CLOUD_LOST_REQUEST : CLOUD_FINE;
}

/* Others may have taken what could not be renewed: nothing of it is read until a write works. */
static void reads_nothing_while_it_cannot_renew(void **state)
{
	struct world w;
	uint64_t calls;

	(void)state;
	writes_fail = false;
	world_init(&w, 9, 1, fail_writes);
	world_start(&w, 0);
	world_run(&w, 5 * EV_NS_PER_S);
	writes_fail = true;
	world_run(&w, 11 * EV_NS_PER_S);
	calls = cloud_n_calls(w.cloud, AWS_KINESIS, "GetRecords");
	world_put_some(&w, 20);
	world_run(&w, MINUTE);
	assert_int_equal(cloud_n_calls(w.cloud, AWS_KINESIS, "GetRecords"), calls);
	assert_false(world_state(&w, 0).fail.code == EV_OK);
	writes_fail = false;
	world_settle(&w, 15 * EV_NS_PER_S);
	assert_int_equal(world_state(&w, 0).held, 4);
	assert_int_equal(world_state(&w, 0).lost_leases, 0);
	world_deinit(&w);
}

static uint64_t n_updates;
static enum cloud_fault lose_answers(void *user, const struct cloud_attempt *a)
{
	(void)user;
	if (strcmp(a->operation, "UpdateItem") != 0)
		return CLOUD_FINE;
	return ++n_updates % 3 == 0 ? CLOUD_LOST_ANSWER : CLOUD_FINE;
}

/* A write that took place without our knowing is no reason to give the lease up. */
static void a_lost_answer_is_not_a_lost_lease(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 9, 1, lose_answers);
	world_start(&w, 0);
	run_load(&w, 60);
	assert_int_equal(world_state(&w, 0).held, 4);
	assert_int_equal(world_state(&w, 0).lost_leases, 0);
	assert_true(n_updates > 40);
	world_deinit(&w);
}

/* Everything at once, workers that die at any call included. */
static void chaos(uint64_t seed)
{
	static const struct {
		enum cloud_fault fault;
		unsigned rate;
	} rates[] = {
		{ CLOUD_THROTTLED, 30000 },        { CLOUD_SERVER_ERROR, 10000 },
		{ CLOUD_LOST_REQUEST, 10000 },     { CLOUD_LOST_ANSWER, 20000 },
		{ CLOUD_PARTIAL, 10000 },          { CLOUD_DUPLICATE, 30000 },
		{ CLOUD_EXPIRED_ITERATOR, 10000 }, { CLOUD_GARBAGE, 20000 },
		{ CLOUD_MISSING, 5000 },           { CLOUD_DENIED, 5000 },
		{ CLOUD_DIES_BEFORE, 700 },        { CLOUD_DIES_AFTER, 700 },
	};
	struct world *w = malloc(sizeof(*w));

	assert_non_null(w);
	world_init(w, seed, seed % 2 == 0 ? 1 : 3, NULL);
	w->error_per_100 = 5;
	w->hold_per_100 = 30;
	w->reject_per_100 = 2;
	for (size_t i = 0; i < EV_ARRAY_LEN(rates); i++)
		cloud_set_rate(w->cloud, rates[i].fault, rates[i].rate);
	for (unsigned s = 0; s < 120; s++) {
		unsigned i = (unsigned)ev_rng_below(&w->rng.base, 3);

		if (s % 5 == 0 && w->workers[i].consumer == NULL)
			world_start(w, i);
		else if (s % 37 == 30 && w->workers[i].consumer != NULL)
			(void)world_stop(w, i, 3 * EV_NS_PER_S);
		if (s == 40)
			split(w, 1, QUARTER_AND_HALF);
		if (s == 70)
			merge(w, 2, 3);
		world_put_some(w, 10);
		if (s % 3 == 0)
			world_put_foreign(w, i);
		world_run(w, EV_NS_PER_S);
	}
	cloud_set_faults(w->cloud, false);
	w->error_per_100 = 0;
	w->hold_per_100 = 0;
	if (w->workers[0].consumer == NULL)
		world_start(w, 0);
	world_settle(w, 10 * MINUTE);
	world_deinit(w);
	free(w);
}

static void nothing_is_lost_or_overtaken_whatever_happens(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		chaos(seed);
}

/* One death at each call in turn, by a worker that another one follows. */
static uint64_t dies_at;
static enum cloud_fault die_at(void *user, const struct cloud_attempt *a)
{
	(void)user;
	if (a->number != dies_at)
		return CLOUD_FINE;
	return a->number % 2 == 0 ? CLOUD_DIES_BEFORE : CLOUD_DIES_AFTER;
}

static void a_death_at_any_call_loses_nothing(void **state)
{
	bool died = true;

	(void)state;
	for (dies_at = 1; died; dies_at++) {
		struct world w;

		world_init(&w, 5, 1, die_at);
		world_start(&w, 0);
		world_put_some(&w, 10);
		world_put_bytes(&w, "bad", 3, 1);
		world_run(&w, 12 * EV_NS_PER_S);
		world_put_some(&w, 10);
		world_run(&w, 2 * EV_NS_PER_S);
		died = w.workers[0].consumer == NULL || !world_stop(&w, 0, 5 * EV_NS_PER_S);
		if (w.workers[0].consumer != NULL)
			world_kill(&w, 0);
		cloud_set_faults(w.cloud, false);
		world_start(&w, 1);
		world_put_some(&w, 10);
		world_settle(&w, MINUTE);
		assert_true(cloud_n_records(w.cloud, w.names.dead_letter_stream) >= 1);
		world_deinit(&w);
	}
	assert_true(dies_at > 60);
}

/* --- Threads --- */

struct helper {
	struct ev_mailbox jobs;
	unsigned n[WORLD_OUTLETS]; /* of each outlet, in order */
	bool in_order;
	pthread_t thread;
};

static void *help(void *arg)
{
	struct helper *h = arg;
	struct ev_list list = { .first = NULL };

	while (ev_mailbox_take(&h->jobs, -1, &list) == EV_OK) {
		struct ev_node *node;

		while ((node = ev_list_pop(&list)) != NULL) {
			struct event_job *e = (struct event_job *)(void *)node;
			unsigned outlet = e->event.outlet_id.b[15];

			h->in_order = h->in_order && e->event.energy_mwh == h->n[outlet] + 1;
			h->n[outlet]++;
			e->job.err = EV_OK;
			e->job.owner->done(e->job.owner, &e->job);
		}
	}
	return NULL;
}

static struct helper helpers[2];

static void to_helper(void *user, struct job *j)
{
	struct event_job *e = (struct event_job *)(void *)j;
	struct ev_list list = { .first = NULL };

	(void)user;
	ev_list_push(&list, &j->node);
	assert_int_equal(ev_mailbox_post(&helpers[e->event.outlet_id.b[15] % 2].jobs, &list),
			 EV_OK);
}

static void use_helpers(struct aws_consumer_config *c)
{
	c->submit = to_helper;
}

static void jobs_may_come_back_from_any_thread(void **state)
{
	struct world *w = *state;
	struct aws_consumer_state s = { .records = 0 };
	unsigned n[WORLD_OUTLETS] = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		memset(&helpers[i], 0, sizeof(helpers[i]));
		helpers[i].in_order = true;
		assert_int_equal(ev_mailbox_init(&helpers[i].jobs, 0, 0), EV_OK);
		assert_int_equal(pthread_create(&helpers[i].thread, NULL, help, &helpers[i]), 0);
	}
	world_put_some(w, 2000);
	world_start_with(w, 0, use_helpers);
	for (unsigned i = 0; i < 20000 && (s.records < 2000 || s.in_hand > 0); i++) {
		ev_err e = aws_consumer_turn(w->workers[0].consumer, EV_NS_PER_MS);

		assert_true(e == EV_OK || e == EV_TIMEOUT);
		if (e == EV_TIMEOUT)
			ev_clock_manual_advance(&w->clock, 10 * EV_NS_PER_MS);
		s = world_state(w, 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		ev_mailbox_close(&helpers[i].jobs);
		pthread_join(helpers[i].thread, NULL);
		ev_mailbox_deinit(&helpers[i].jobs);
		assert_true(helpers[i].in_order);
		for (unsigned k = 0; k < WORLD_OUTLETS; k++)
			n[k] += helpers[i].n[k];
	}
	assert_memory_equal(n, w->put, sizeof(n));
	assert_int_equal(s.in_hand, 0);
}

static void refuses_the_originals_name(void **state)
{
	struct world *w = *state;
	struct aws_consumer_config c = aws_consumer_defaults();
	struct aws_consumer *consumer = NULL;

	c.caller = cloud_caller(w->workers[0].caller);
	c.clock = &w->clock.base;
	c.rng = &w->rng.base;
	c.worker = EV_LIT("worker1");
	assert_int_equal(aws_consumer_new(&c, &consumer), EV_INVALID);
	c.worker = EV_LIT("");
	assert_int_equal(aws_consumer_new(&c, &consumer), EV_INVALID);
	assert_null(consumer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_worker_reads_all_shards),
		TEST(a_new_event_is_read_within_a_second),
		TEST(foreign_events_move_the_checkpoint),
		TEST(workers_share_and_take_over),
		TEST(a_worker_that_slept_gives_way),
		TEST(a_drain_releases_and_leaves_nothing_to_repeat),
		TEST(a_failed_job_is_tried_again_in_order),
		TEST(what_cannot_be_read_goes_to_the_dead_letters),
		TEST(rejected_events_become_letters_and_the_rest_goes_on),
		cmocka_unit_test(no_checkpoint_passes_a_letter_that_was_not_accepted),
		TEST(a_lasting_error_becomes_a_letter_in_the_end),
		TEST(reads_parents_before_their_children),
		TEST(a_reshard_behind_foreign_events_ends),
		TEST(reads_any_number_of_shards),
		TEST(shares_the_table_with_other_libraries),
		TEST(loses_a_lease_to_another_library),
		TEST(expired_iterators_are_renewed_without_a_gap),
		TEST(a_paused_reader_asks_for_no_more),
		TEST(asks_each_shard_at_most_five_times_a_second),
		TEST(holds_no_more_in_hand_than_it_may),
		cmocka_unit_test(reads_nothing_while_it_cannot_renew),
		cmocka_unit_test(a_lost_answer_is_not_a_lost_lease),
		cmocka_unit_test(nothing_is_lost_or_overtaken_whatever_happens),
		cmocka_unit_test(a_death_at_any_call_loses_nothing),
		TEST(jobs_may_come_back_from_any_thread),
		TEST(refuses_the_originals_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
