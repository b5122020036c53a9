/* test_aws_shard_reader.c — one shard: iterators, aggregates, order, checkpoints, bad answers. */
#include "engine/aws/shard_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/base64.h"
#include "base/time.h"
#include "codec/event_proto.h"
#include "vectors.h"

#define OUT_MAX 64

struct bench {
	struct ev_rng_seeded rng;
	struct shard_counts counts;
	struct shard_reader_config config;
	struct shard_reader reader;
	struct shard_record *out[OUT_MAX]; /* in the order in which they were given */
	size_t n_out;
	int64_t now_ns;
	char answer[65536];
	size_t answer_n;
};

static void give(void *user, struct shard_record *r)
{
	struct bench *b = user;

	assert_int_equal(r->state, SHARD_RECORD_OUT);
	assert_true(b->n_out < OUT_MAX);
	b->out[b->n_out++] = r;
}

static void open_at(struct bench *b, const char *sequence, uint64_t sub)
{
	struct lease_checkpoint from = { .kind = LEASE_TRIM_HORIZON, .sub = sub };

	memset(b, 0, sizeof(*b));
	ev_rng_seeded_init(&b->rng, 1);
	b->config = (struct shard_reader_config){ .stream = "st",
						  .from = INITIATOR_APP_BACKEND,
						  .limit = 100,
						  .max_in_hand = 20,
						  .idle_ns = EV_NS_PER_S,
						  .rng = &b->rng.base,
						  .counts = &b->counts,
						  .give = give,
						  .user = b };
	if (sequence != NULL) {
		from.kind = LEASE_SEQUENCE;
		snprintf(from.sequence, sizeof(from.sequence), "%s", sequence);
	}
	assert_int_equal(shard_reader_init(&b->reader, &b->config, "shard-1", &from), EV_OK);
}

static void close_it(struct bench *b)
{
	shard_reader_deinit(&b->reader);
	for (size_t i = 0; i < b->n_out; i++) {
		if (b->out[i] != NULL)
			shard_record_drop(b->out[i]);
	}
}

/* --- Answers --- */

static void add(struct bench *b, const char *text)
{
	b->answer_n += (size_t)snprintf(b->answer + b->answer_n, sizeof(b->answer) - b->answer_n,
					"%s", text);
}

static void add_record(struct bench *b, const char *sequence, const void *p, size_t n)
{
	char text[4096];
	struct ev_buf data = ev_buf_over(text, sizeof(text) - 1);

	ev_base64_write(&data, p, n);
	text[data.len] = '\0';
	add(b, b->answer_n == 0 ? "{\"Records\":[" : ",");
	add(b,
	    "{\"ApproximateArrivalTimestamp\":1.7E9,\"PartitionKey\":\"k\",\"SequenceNumber\":\"");
	add(b, sequence);
	add(b, "\",\"Data\":\"");
	add(b, text);
	add(b, "\"}");
}

static void add_event(struct bench *b, const char *sequence, unsigned outlet, unsigned number,
		      enum initiator from)
{
	struct charging_event e = { .initiator = from,
				    .outlet_id = { .b = { 9, [15] = (uint8_t)outlet } },
				    .state = OUTLET_CHARGING,
				    .energy_mwh = number };
	char bytes[EVENT_PROTO_MAX];
	struct ev_buf proto = ev_buf_over(bytes, sizeof(bytes));

	event_proto_encode(&e, &proto);
	add_record(b, sequence, proto.p, proto.len);
}

/* Records of `AppBackend`: "1:a1 2:a2 3:-" is sequence, outlet and number; - is a foreign one. */
static void add_events(struct bench *b, const char *list)
{
	char sequence[32], what[8];
	int used;

	while (sscanf(list, " %31[0-9]:%7s%n", sequence, what, &used) == 2) {
		list += used;
		if (what[0] == '-')
			add_event(b, sequence, 1, 0, INITIATOR_OUTLET_BACKEND);
		else if (what[0] == '!')
			add_record(b, sequence, "bad", 3);
		else
			add_event(b, sequence, (unsigned)what[0], (unsigned)(what[1] - '0'),
				  INITIATOR_APP_BACKEND);
	}
}

static ev_err take_body(struct bench *b, enum shard_want want, const char *body, size_t n)
{
	struct aws_call call = { .answer = { body, n } };

	return shard_reader_take(&b->reader, want, &call, b->now_ns);
}

static const char *ask(struct bench *b, enum shard_want want, char room[SHARD_REQUEST_MAX + 1])
{
	struct ev_buf body = ev_buf_over(room, SHARD_REQUEST_MAX);
	const char *operation = shard_reader_write(&b->reader, want, &body, b->now_ns);

	assert_false(body.overflow);
	room[body.len] = '\0';
	return operation;
}

static void take_iterator(struct bench *b)
{
	static const char body[] = "{\"ShardIterator\":\"it\"}";
	char room[SHARD_REQUEST_MAX + 1];

	assert_int_equal(shard_reader_want(&b->reader, b->now_ns), SHARD_WANT_ITERATOR);
	assert_string_equal(ask(b, SHARD_WANT_ITERATOR, room), "GetShardIterator");
	assert_int_equal(take_body(b, SHARD_WANT_ITERATOR, body, sizeof(body) - 1), EV_OK);
}

static ev_err take_answer(struct bench *b, const char *rest)
{
	char room[SHARD_REQUEST_MAX + 1];
	ev_err e;

	if (b->answer_n == 0)
		add(b, "{\"Records\":[");
	add(b, "]");
	add(b, rest);
	(void)ask(b, SHARD_WANT_RECORDS, room);
	e = take_body(b, SHARD_WANT_RECORDS, b->answer, b->answer_n);
	b->answer_n = 0;
	return e;
}

#define NEXT ",\"NextShardIterator\":\"it2\",\"MillisBehindLatest\":0}"
#define BEHIND ",\"NextShardIterator\":\"it2\",\"MillisBehindLatest\":5}"
#define LAST ",\"NextShardIterator\":null,\"ChildShards\":[]}"

static void take_events(struct bench *b, const char *list)
{
	add_events(b, list);
	assert_int_equal(take_answer(b, NEXT), EV_OK);
}

/* The i-th that was given is done. */
static void done(struct bench *b, size_t i)
{
	struct shard_record *r = b->out[i];

	assert_non_null(r);
	b->out[i] = NULL;
	shard_reader_done(&b->reader, r);
}

static void assert_done(struct bench *b, const char *sequence, uint64_t sub)
{
	if (sequence == NULL) {
		assert_int_equal(b->reader.done.kind, LEASE_TRIM_HORIZON);
		return;
	}
	assert_int_equal(b->reader.done.kind, LEASE_SEQUENCE);
	assert_string_equal(b->reader.done.sequence, sequence);
	assert_int_equal(b->reader.done.sub, sub);
}

static void starts_where_the_checkpoint_says(void **state)
{
	static const struct {
		struct lease_checkpoint from;
		const char *body;
	} of[] = {
		{ { .kind = LEASE_NONE }, "\"ShardIteratorType\":\"TRIM_HORIZON\"}" },
		{ { .kind = LEASE_TRIM_HORIZON }, "\"ShardIteratorType\":\"TRIM_HORIZON\"}" },
		{ { .kind = LEASE_AT_TIMESTAMP }, "\"ShardIteratorType\":\"TRIM_HORIZON\"}" },
		{ { .kind = LEASE_LATEST }, "\"ShardIteratorType\":\"LATEST\"}" },
		{ { .kind = LEASE_SEQUENCE, .sequence = "77", .sub = 2 },
		  "\"ShardIteratorType\":\"AT_SEQUENCE_NUMBER\","
		  "\"StartingSequenceNumber\":\"77\"}" },
	};
	struct lease_checkpoint end = { .kind = LEASE_SHARD_END };
	struct shard_reader r;
	struct bench b;

	(void)state;
	open_at(&b, NULL, 0);
	assert_int_equal(shard_reader_init(&r, &b.config, "s", &end), EV_INVALID);
	close_it(&b);
	for (size_t i = 0; i < EV_ARRAY_LEN(of); i++) {
		char room[SHARD_REQUEST_MAX + 1], want[512];

		open_at(&b, NULL, 0);
		b.reader.read = of[i].from;
		snprintf(want, sizeof(want), "{\"StreamName\":\"st\",\"ShardId\":\"shard-1\",%s",
			 of[i].body);
		(void)ask(&b, SHARD_WANT_ITERATOR, room);
		assert_string_equal(room, want);
		close_it(&b);
	}
}

static void the_checkpoint_is_what_is_done_without_a_gap(void **state)
{
	struct bench b;

	(void)state;
	open_at(&b, NULL, 0);
	take_iterator(&b);
	take_events(&b, "1:- 2:a1 3:b1 4:- 5:c1 6:-");
	assert_int_equal(b.n_out, 3);
	assert_done(&b, "1", 0);
	done(&b, 1);
	assert_done(&b, "1", 0);
	done(&b, 0);
	assert_done(&b, "4", 0); /* with the foreign one behind b1 */
	done(&b, 2);
	assert_done(&b, "6", 0);
	take_events(&b, "7:-");
	assert_done(&b, "7", 0);
	close_it(&b);
}

static void gives_one_of_an_outlet_at_a_time(void **state)
{
	struct bench b;

	(void)state;
	open_at(&b, NULL, 0);
	take_iterator(&b);
	take_events(&b, "1:a1 2:a2 3:b1 4:a3 5:!");
	assert_int_equal(b.n_out, 3); /* a1, b1 and the one that cannot be read */
	assert_true(b.out[2]->is_letter);
	done(&b, 1);
	assert_int_equal(b.n_out, 3);
	done(&b, 0);
	assert_int_equal(b.n_out, 4);
	assert_int_equal(b.out[3]->job.event.energy_mwh, 2);
	assert_done(&b, "1", 0);
	take_events(&b, "6:a4");
	assert_int_equal(b.n_out, 4);
	done(&b, 3);
	assert_done(&b, "3", 0);
	done(&b, 4);
	assert_int_equal(b.out[5]->job.event.energy_mwh, 4);
	assert_done(&b, "4", 0); /* the letter is not accepted */
	done(&b, 2);
	assert_done(&b, "5", 0);
	done(&b, 5);
	assert_done(&b, "6", 0);
	take_events(&b, "7:a5"); /* nothing is left of the outlet's line */
	assert_int_equal(b.n_out, 7);
	close_it(&b);
}

static void skips_what_comes_again(void **state)
{
	struct bench b;

	(void)state;
	open_at(&b, "5", 0);
	take_iterator(&b);
	take_events(&b, "3:a1 5:a2 6:a3 6:a3 4:a1");
	assert_int_equal(b.n_out, 1);
	assert_int_equal(b.out[0]->job.event.energy_mwh, 3);
	assert_int_equal(b.counts.repeated, 4);
	done(&b, 0);
	assert_done(&b, "6", 0);
	take_events(&b, "10:a4"); /* longer is later */
	assert_int_equal(b.n_out, 2);
	close_it(&b);
}

/* The vector's aggregate holds a request, which is foreign here, and its approval. */
static void counts_within_aggregates(void **state)
{
	struct json_object *v = vectors_load("kpl_aggregated.json");
	struct ev_str hex = vector_str(v, "hex");
	uint8_t bytes[1024];
	struct bench b;

	(void)state;
	assert_true(hex.n / 2 <= sizeof(bytes));
	for (size_t i = 0; i < hex.n / 2; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex.p + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	open_at(&b, NULL, 0);
	take_iterator(&b);
	add_record(&b, "8", bytes, hex.n / 2);
	assert_int_equal(take_answer(&b, NEXT), EV_OK);
	assert_int_equal(b.n_out, 1);
	assert_done(&b, "8", 0); /* the first of two */
	assert_int_equal(b.counts.foreign, 1);
	done(&b, 0);
	assert_done(&b, "8", 1);
	close_it(&b);

	open_at(&b, "8", 0); /* as if killed in between */
	take_iterator(&b);
	add_record(&b, "8", bytes, hex.n / 2);
	assert_int_equal(take_answer(&b, NEXT), EV_OK);
	assert_int_equal(b.n_out, 1);
	assert_int_equal(b.counts.repeated, 1);
	close_it(&b);

	open_at(&b, "8", 1);
	take_iterator(&b);
	add_record(&b, "8", bytes, hex.n / 2);
	bytes[40] ^= 1; /* the checksum is wrong now */
	add_record(&b, "9", bytes, hex.n / 2);
	assert_int_equal(take_answer(&b, NEXT), EV_OK);
	assert_int_equal(b.n_out, 1);
	assert_true(b.out[0]->is_letter);
	assert_int_equal(shard_record_bytes(b.out[0]).n, hex.n / 2);
	done(&b, 0);
	assert_done(&b, "9", 0);
	close_it(&b);
	json_object_put(v);
}

static void ends_when_the_shard_does(void **state)
{
	struct bench b;

	(void)state;
	open_at(&b, NULL, 0);
	take_iterator(&b);
	add_events(&b, "1:a1 2:-");
	assert_int_equal(take_answer(&b, LAST), EV_OK);
	assert_int_equal(shard_reader_want(&b.reader, INT64_MAX), SHARD_WANT_NOTHING);
	assert_false(shard_reader_is_finished(&b.reader));
	done(&b, 0);
	assert_true(shard_reader_is_finished(&b.reader));
	close_it(&b);
}

static void asks_at_once_while_behind_and_never_too_often(void **state)
{
	struct bench b;

	(void)state;
	open_at(&b, NULL, 0);
	b.now_ns = EV_NS_PER_S;
	take_iterator(&b);
	add_events(&b, "1:-");
	assert_int_equal(take_answer(&b, BEHIND), EV_OK);
	assert_int_equal(b.reader.behind_ms, 5);
	assert_int_equal(b.reader.next_ns, b.now_ns + 200 * EV_NS_PER_MS);
	assert_int_equal(shard_reader_want(&b.reader, b.reader.next_ns - 1), SHARD_WANT_NOTHING);
	assert_int_equal(shard_reader_want(&b.reader, b.reader.next_ns), SHARD_WANT_RECORDS);
	assert_int_equal(take_answer(&b, NEXT), EV_OK);
	assert_int_equal(b.reader.next_ns, b.now_ns + EV_NS_PER_S);
	close_it(&b);
}

static void fails(struct bench *b, enum aws_error_kind kind)
{
	struct aws_call call = { .err = aws_error_map(kind), .error = { .kind = kind } };
	char room[SHARD_REQUEST_MAX + 1];

	(void)ask(b, SHARD_WANT_RECORDS, room);
	assert_int_equal(shard_reader_take(&b->reader, SHARD_WANT_RECORDS, &call, b->now_ns),
			 call.err);
	b->now_ns = b->reader.next_ns;
}

static void backs_off_and_goes_on_behind_what_it_has(void **state)
{
	char room[SHARD_REQUEST_MAX + 1];
	struct bench b;

	(void)state;
	open_at(&b, NULL, 0);
	take_iterator(&b);
	take_events(&b, "7:a1");
	for (unsigned i = 0; i < 12; i++) {
		int64_t before_ns = b.now_ns;

		fails(&b, AWS_ERROR_THROTTLED);
		assert_true(b.now_ns - before_ns >= 100 * EV_NS_PER_MS);
		assert_true(b.now_ns - before_ns <= 10 * EV_NS_PER_S);
		assert_true(i < 8 || b.now_ns - before_ns >= 5 * EV_NS_PER_S);
	}
	assert_int_equal(b.counts.throttled, 12);
	assert_int_equal(shard_reader_want(&b.reader, b.now_ns), SHARD_WANT_RECORDS);
	fails(&b, AWS_ERROR_ITERATOR);
	assert_int_equal(b.counts.expired_iterators, 1);
	assert_int_equal(shard_reader_want(&b.reader, b.now_ns), SHARD_WANT_ITERATOR);
	(void)ask(&b, SHARD_WANT_ITERATOR, room);
	assert_non_null(strstr(room, "AFTER_SEQUENCE_NUMBER\",\"StartingSequenceNumber\":\"7\""));
	close_it(&b);
}

/* What came before the break is kept, and the rest is asked for anew. */
static void keeps_what_a_broken_answer_told(void **state)
{
	char room[SHARD_REQUEST_MAX + 1];
	struct bench b;

	(void)state;
	open_at(&b, NULL, 0);
	take_iterator(&b);
	add_events(&b, "1:a1 2:b1");
	assert_int_equal(take_answer(&b, ",\"NextShardIter"), EV_CORRUPT);
	assert_int_equal(b.n_out, 2);
	(void)ask(&b, SHARD_WANT_ITERATOR, room);
	assert_non_null(strstr(room, "AFTER_SEQUENCE_NUMBER\",\"StartingSequenceNumber\":\"2\""));
	close_it(&b);
}

static void refuses_answers_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"Records\":7}",
		"{\"Records\":[7]}",
		"{\"Records\":[{}]}",
		"{\"Records\":[{\"Data\":\"\"}]}",
		"{\"Records\":[{\"Data\":\"\",\"SequenceNumber\":\"\"}]}",
		"{\"Records\":[{\"Data\":\"\",\"SequenceNumber\":\"-1\"}]}",
		"{\"Records\":[{\"Data\":\"\",\"SequenceNumber\":7}]}",
		"{\"Records\":[{\"SequenceNumber\":\"7\"}]}",
		"{\"Records\":[],\"NextShardIterator\":\"\"}",
		"{\"Records\":[],\"NextShardIterator\":\"a\\\"b\"}",
		"{\"Records\":[],\"NextShardIterator\":\"it\",\"MillisBehindLatest\":\"x\"}",
	};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		open_at(&b, NULL, 0);
		take_iterator(&b);
		assert_int_equal(take_body(&b, SHARD_WANT_RECORDS, bad[i], strlen(bad[i])),
				 EV_CORRUPT);
		assert_false(b.reader.ended);
		assert_int_equal(b.n_out, 0);
		assert_done(&b, NULL, 0);
		close_it(&b);
	}
}

static void names_records_by_event_or_by_place(void **state)
{
	struct charging_event e = { .initiator = INITIATOR_APP_BACKEND,
				    .state = OUTLET_CHARGING,
				    .has_event_id = true,
				    .event_id = { { 1, 2, 3 } } };
	char bytes[EVENT_PROTO_MAX];
	struct ev_buf proto = ev_buf_over(bytes, sizeof(bytes));
	struct bench b;

	(void)state;
	event_proto_encode(&e, &proto);
	open_at(&b, NULL, 0);
	take_iterator(&b);
	add_record(&b, "1", proto.p, proto.len);
	add_events(&b, "2:a1 3:b1");
	assert_int_equal(take_answer(&b, NEXT), EV_OK);
	assert_true(identity_eq(&b.out[0]->job.id, &e.event_id));
	assert_false(identity_is_none(&b.out[1]->job.id));
	assert_false(identity_eq(&b.out[1]->job.id, &b.out[2]->job.id));
	assert_int_equal(b.out[1]->job.job.at_ns, INT64_C(1700000000) * EV_NS_PER_S);
	assert_true(ev_str_eqz(shard_record_key(b.out[1]), "k"));
	close_it(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_where_the_checkpoint_says),
		cmocka_unit_test(the_checkpoint_is_what_is_done_without_a_gap),
		cmocka_unit_test(gives_one_of_an_outlet_at_a_time),
		cmocka_unit_test(skips_what_comes_again),
		cmocka_unit_test(counts_within_aggregates),
		cmocka_unit_test(ends_when_the_shard_does),
		cmocka_unit_test(asks_at_once_while_behind_and_never_too_often),
		cmocka_unit_test(backs_off_and_goes_on_behind_what_it_has),
		cmocka_unit_test(keeps_what_a_broken_answer_told),
		cmocka_unit_test(refuses_answers_that_are_none),
		cmocka_unit_test(names_records_by_event_or_by_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
