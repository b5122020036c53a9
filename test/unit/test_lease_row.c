/* test_lease_row.c — rows of the lease tables, step by step as zio-kinesis leaves them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/lease_row.h"
#include "ddb_kit.h"
#include "vectors.h"

static struct kit kit;

static ev_err read_row(struct ev_str item, void *out)
{
	return lease_row_read(item, out);
}

static struct json_object *step_item(struct json_object *file, size_t i)
{
	return vector_get(json_object_array_get_idx(vector_get(file, "steps"), i), "itemAfter");
}

static struct lease_row row_of(struct json_object *item)
{
	struct lease_row row;

	assert_int_equal(kit_read(read_row, item, &row), EV_OK);
	return row;
}

static void every_row_of_zio_kinesis_is_read(void **state)
{
	struct json_object *file = vectors_load("lease_rows.json");
	struct lease_row row;

	(void)state;
	assert_int_equal(json_object_array_length(vector_get(file, "steps")), 7);
	row = row_of(step_item(file, 0));
	assert_string_equal(row.key, "shardId-000000000002");
	assert_string_equal(row.owner, "worker1");
	assert_int_equal(row.checkpoint.kind, LEASE_TRIM_HORIZON);
	assert_int_equal(row.n_parents, 0);
	row = row_of(step_item(file, 1));
	assert_int_equal(row.n_parents, 2);
	assert_string_equal(row.parents[1], "shardId-000000000002");
	row = row_of(step_item(file, 3));
	assert_int_equal(row.counter, 2);
	assert_int_equal(row.checkpoint.kind, LEASE_SEQUENCE);
	assert_string_equal(row.checkpoint.sequence,
			    "49640000000000000000000000000000000000000000000000000034");
	row = row_of(step_item(file, 5));
	assert_string_equal(row.owner, "");
	row = row_of(step_item(file, 6));
	assert_int_equal(row.checkpoint.kind, LEASE_SHARD_END);
	json_object_put(file);
}

/* The writers of one step, from the row that the step before left. */
static void write_step(size_t i, struct json_object *before, struct json_writer *w)
{
	struct lease_row row = row_of(before);
	struct lease_checkpoint to = { .kind = LEASE_SEQUENCE };

	switch (i) {
	case 2:
		lease_renew(&row, w);
		break;
	case 3:
		memcpy(to.sequence, "49640000000000000000000000000000000000000000000000000034", 57);
		lease_checkpoint(&row, &to, EV_LIT("worker1"), w);
		break;
	case 4:
		lease_claim(&row, EV_LIT("worker2"), w);
		break;
	case 5:
		lease_release(&row, w);
		break;
	default:
		to.kind = LEASE_SHARD_END;
		row.counter = 4; /* one step of the vectors is not shown */
		lease_checkpoint(&row, &to, EV_LIT(""), w);
		break;
	}
}

static void our_updates_leave_the_rows_that_theirs_do(void **state)
{
	struct json_object *file = vectors_load("lease_rows.json");

	(void)state;
	for (size_t i = 2; i < 7; i++) {
		struct json_object *before = step_item(file, i == 2 ? 0 : i - 1), *request, *got;

		write_step(i, before, kit_begin_members(&kit));
		assert_true(kit.buf.len < LEASE_JSON_MAX);
		request = kit_end_members(&kit);
		got = kit_apply(request, before);
		kit_assert_same(got, step_item(file, i));
		assert_int_equal(kit_holds(request, before), i != 6);
		assert_false(kit_holds(request, NULL));
		/* A release leaves the counter, all others move it on. */
		assert_int_equal(kit_holds(request, got), i == 5);
		json_object_put(got);
		json_object_put(request);
	}
	json_object_put(file);
}

static void a_lease_is_created_for_both_libraries(void **state)
{
	struct json_object *file = vectors_load("lease_rows.json"), *request, *item;
	struct lease_row row = row_of(step_item(file, 1)), back;

	(void)state;
	lease_create(&row, kit_begin_members(&kit));
	request = kit_end_members(&kit);
	item = vector_get(request, "Item");
	assert_true(kit_holds(request, NULL));
	assert_false(kit_holds(request, item));
	assert_int_equal(kit_read(read_row, item, &back), EV_OK);
	assert_memory_equal(&back, &row, sizeof(row));
	assert_true(json_object_equal(vector_get(item, "parentShardIds"),
				      vector_get(item, "parentShardId")));
	json_object_object_del(item, "parentShardId");
	assert_string_equal(kit_text(vector_get(item, "ownerSwitchesSinceCheckpoint")).p,
			    "{\"N\":\"0\"}");
	json_object_object_del(item, "ownerSwitchesSinceCheckpoint");
	kit_assert_same(item, step_item(file, 1));
	json_object_put(request);
	json_object_put(file);
}

/* What a row needs, and room for more. */
#define NEEDED "{\"leaseKey\":{\"S\":\"k\"},\"leaseCounter\":{\"N\":\"5\"}"

static ev_err read_text(const char *json, struct lease_row *out)
{
	return lease_row_read(ev_str_from(json), out);
}

static void rows_are_read_leniently(void **state)
{
	struct lease_row row;

	(void)state;
	assert_int_equal(read_text(NEEDED "}", &row), EV_OK);
	assert_int_equal(row.checkpoint.kind, LEASE_NONE);
	assert_int_equal(
		read_text(NEEDED
			  ","
			  "\"checkpoint\":{\"NULL\":true},"
			  "\"checkpointSubSequenceNumber\":{\"NULL\":true},"
			  "\"childShardIds\":{\"SS\":[\"a\"]},\"startingHashKey\":{\"S\":\"0\"},"
			  "\"parentShardId\":{\"SS\":[\"p\"]},\"parentShardIds\":{\"SS\":[\"p\"]}}",
			  &row),
		EV_OK);
	assert_int_equal(row.n_parents, 1);
	assert_string_equal(row.parents[0], "p");
}

static void rows_that_are_none_are_corrupt(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"leaseKey\":{\"S\":\"k\"}}",
		"{\"leaseCounter\":{\"N\":\"5\"}}",
		"{\"leaseKey\":{\"N\":\"1\"},\"leaseCounter\":{\"N\":\"5\"}}",
		"{\"leaseKey\":{\"S\":\"k\"},\"leaseCounter\":{\"S\":\"5\"}}",
		NEEDED ",\"leaseOwner\":{\"N\":\"1\"}}",
		NEEDED ",\"checkpoint\":{\"S\":\"LATEST\"}}",
		NEEDED ",\"checkpoint\":{\"S\":\"x\"},"
		       "\"checkpointSubSequenceNumber\":{\"N\":\"0\"}}",
		NEEDED ",\"parentShardIds\":{\"S\":\"p\"}}",
	};
	struct lease_row row;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		if (read_text(bad[i], &row) != EV_CORRUPT)
			fail_msg("%s was read", bad[i]);
	}
}

static void rows_cut_short_are_corrupt(void **state)
{
	struct json_object *file = vectors_load("lease_rows.json");
	struct lease_row row;

	(void)state;
	for (size_t i = 0; i < 7; i++)
		kit_assert_truncated(read_row, step_item(file, i), &row);
	json_object_put(file);
}

static void sequence_numbers_have_an_order(void **state)
{
	(void)state;
	assert_true(lease_sequence_before(EV_LIT("9"), EV_LIT("10")));
	assert_false(lease_sequence_before(EV_LIT("10"), EV_LIT("9")));
	assert_false(lease_sequence_before(EV_LIT("10"), EV_LIT("10")));
	assert_true(lease_sequence_before(EV_LIT("0009"), EV_LIT("10")));
	assert_true(lease_sequence_before(EV_LIT("0"), EV_LIT("1")));
	assert_false(lease_sequence_before(EV_LIT("0"), EV_LIT("00")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_zio_kinesis_is_read),
		cmocka_unit_test(our_updates_leave_the_rows_that_theirs_do),
		cmocka_unit_test(a_lease_is_created_for_both_libraries),
		cmocka_unit_test(rows_are_read_leniently),
		cmocka_unit_test(rows_that_are_none_are_corrupt),
		cmocka_unit_test(rows_cut_short_are_corrupt),
		cmocka_unit_test(sequence_numbers_have_an_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
