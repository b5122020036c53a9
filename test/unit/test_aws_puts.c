/* test_aws_puts.c — PutRecords and SendMessageBatch: requests byte by byte, and their answers. */
#include "engine/aws/puts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/time.h"

#define OUTLET(n) ((struct ev_uuid){ .b = { 0x86, [15] = (n) } })

static struct aws_effect event(uint8_t outlet)
{
	return (struct aws_effect){
		.event = { .initiator = INITIATOR_OUTLET_BACKEND,
			   .outlet_id = OUTLET(outlet),
			   .state = OUTLET_CHARGING,
			   .tag = { .n = 1, .s = "t" },
			   .period_start_ns = EV_NS_PER_S,
			   .energy_mwh = 1000000 },
	};
}

static struct aws_effect command(uint8_t outlet)
{
	return (struct aws_effect){
		.is_command = true,
		.command = { .outlet_id = OUTLET(outlet),
			     .version = 0x12,
			     .index = 1,
			     .change = OUTLET_CHARGING,
			     .tag = { .n = 1, .s = "\"" },
			     .period_start_ns = 0,
			     .period_end_ns = EV_NS_PER_S,
			     .energy_mwh = 0 },
	};
}

static void writes_the_pending_events_under_their_outlets(void **state)
{
	const struct aws_effect of[3] = { event(1), event(2), event(3) };
	const struct aws_effect *const effects[3] = { &of[0], &of[1], &of[2] };
	static char room[AWS_PUT_EVENTS_SIZE(3)];
	struct ev_buf b = ev_buf_over(room, sizeof(room));
	static struct aws_batch batch;

	(void)state;
	aws_batch_init(&batch, 3);
	batch.n_pending = 2;
	batch.pending[0] = 0;
	batch.pending[1] = 2;
	aws_put_events_write(&b, "s", effects, &batch);
	assert_false(b.overflow);
	assert_true(ev_str_eqz(
		ev_buf_str(&b),
		"{\"StreamName\":\"s\",\"Records\":["
		"{\"Data\":\"Cg1PdXRsZXRCYWNrZW5kEiQ4NjAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAw"
		"MDAwMDEaCENoYXJnaW5nIhASAXQaAggBKQAAAAAAAPA/\","
		"\"PartitionKey\":\"86000000-0000-0000-0000-000000000001\"},"
		"{\"Data\":\"Cg1PdXRsZXRCYWNrZW5kEiQ4NjAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAw"
		"MDAwMDMaCENoYXJnaW5nIhASAXQaAggBKQAAAAAAAPA/\","
		"\"PartitionKey\":\"86000000-0000-0000-0000-000000000003\"}]}"));
}

static void writes_commands_as_the_original_does(void **state)
{
	const struct aws_effect of[2] = { command(1), command(2) };
	const struct aws_effect *const effects[2] = { &of[0], &of[1] };
	static char room[AWS_PUT_COMMANDS_SIZE(2)];
	struct ev_buf b = ev_buf_over(room, sizeof(room));
	static struct aws_batch batch;

	(void)state;
	aws_batch_init(&batch, 2);
	aws_put_commands_write(&b, "http://q/1", effects, &batch);
	assert_false(b.overflow);
	assert_true(ev_str_eqz(
		ev_buf_str(&b),
		"{\"QueueUrl\":\"http://q/1\",\"Entries\":[{\"Id\":\"0\",\"MessageBody\":\""
		"{\\\"outletId\\\":\\\"86000000-0000-0000-0000-000000000001\\\","
		"\\\"rfidTag\\\":\\\"\\\\\\\"\\\",\\\"periodStart\\\":\\\"1970-01-01T00:00:00Z\\\","
		"\\\"periodEnd\\\":\\\"1970-01-01T00:00:01Z\\\","
		"\\\"outletStateChange\\\":\\\"Charging\\\",\\\"powerConsumption\\\":0.0,"
		"\\\"messageId\\\":\\\"0000000000000012-1\\\"}\"},"
		"{\"Id\":\"1\",\"MessageBody\":\""
		"{\\\"outletId\\\":\\\"86000000-0000-0000-0000-000000000002\\\","
		"\\\"rfidTag\\\":\\\"\\\\\\\"\\\",\\\"periodStart\\\":\\\"1970-01-01T00:00:00Z\\\","
		"\\\"periodEnd\\\":\\\"1970-01-01T00:00:01Z\\\","
		"\\\"outletStateChange\\\":\\\"Charging\\\",\\\"powerConsumption\\\":0.0,"
		"\\\"messageId\\\":\\\"0000000000000012-1\\\"}\"}]}"));
}

/* The largest of each must fit what the sizes promise. */
static void the_sizes_hold_the_largest(void **state)
{
	struct aws_effect of = event(1);
	struct aws_effect c = command(1);
	const struct aws_effect *effects[AWS_PUT_EVENTS_MAX];
	char *room = malloc(AWS_PUT_EVENTS_SIZE(AWS_PUT_EVENTS_MAX));
	struct ev_buf b = ev_buf_over(room, AWS_PUT_EVENTS_SIZE(AWS_PUT_EVENTS_MAX));
	struct aws_batch *batch = malloc(sizeof(*batch));
	char name[AWS_QUEUE_URL_MAX];

	(void)state;
	assert_non_null(room);
	assert_non_null(batch);
	memset(name, 'n', sizeof(name));
	name[AWS_RESOURCE_MAX - 1] = '\0';
	of.event.has_session = of.event.has_period_end = of.event.has_event_id = true;
	of.event.has_item = true;
	memset(of.event.event_id.b, 0xff, 16);
	memset(of.event.item_id.b, 0xff, 16);
	of.event.period_start_ns = of.event.period_end_ns = INT64_MAX / 2;
	of.event.item_mwh = EVENT_ENERGY_MAX_MWH;
	of.event.tag.n = RFID_TAG_MAX;
	memset(of.event.tag.s, 'x', RFID_TAG_MAX);
	for (size_t i = 0; i < AWS_PUT_EVENTS_MAX; i++)
		effects[i] = &of;
	aws_batch_init(batch, AWS_PUT_EVENTS_MAX);
	aws_put_events_write(&b, name, effects, batch);
	assert_false(b.overflow);

	memset(name, 'n', sizeof(name));
	name[AWS_QUEUE_URL_MAX - 1] = '\0';
	c.command.tag.n = RFID_TAG_MAX;
	memset(c.command.tag.s, 1, RFID_TAG_MAX); /* \u0001, the longest to write */
	for (size_t i = 0; i < AWS_PUT_COMMANDS_MAX; i++)
		effects[i] = &c;
	b = ev_buf_over(room, AWS_PUT_COMMANDS_SIZE(AWS_PUT_COMMANDS_MAX));
	aws_batch_init(batch, AWS_PUT_COMMANDS_MAX);
	aws_put_commands_write(&b, name, effects, batch);
	assert_false(b.overflow);
	free(batch);
	free(room);
}

#define DONE AWS_ERROR_NONE
#define UNTOLD AWS_ERROR_BAD_ANSWER
#define SLOW AWS_ERROR_THROTTLED
#define R_OK "{\"SequenceNumber\":\"1\",\"ShardId\":\"s\"}"
#define R_SLOW                                                                                     \
	"{\"ErrorCode\":\"ProvisionedThroughputExceededException\",\"ErrorMessage\":\"slow\"}"

static const struct {
	const char *answer;
	enum aws_error_kind of[3];
} records[] = {
	{ "{\"FailedRecordCount\":0,\"Records\":[" R_OK "," R_OK "," R_OK "]}",
	  { DONE, DONE, DONE } },
	{ "{\"FailedRecordCount\":1,\"Records\":[" R_OK "," R_SLOW "," R_OK "]}",
	  { DONE, SLOW, DONE } },
	{ "{\"Records\":[{\"SequenceNumber\":\"1\",\"ErrorCode\":null}," R_SLOW
	  ",{\"ErrorCode\":\"InternalFailure\"}]}",
	  { DONE, SLOW, AWS_ERROR_TRANSIENT } },
	{ "{\"Records\":[" R_OK "]}", { DONE, UNTOLD, UNTOLD } },
	{ "{\"Records\":[" R_OK ",{},7]}", { DONE, UNTOLD, UNTOLD } },
	{ "{\"Records\":[" R_OK "," R_OK "," R_OK "," R_SLOW "]}", { DONE, DONE, DONE } },
	{ "{\"Records\":[" R_OK ",{\"SequenceNu", { DONE, UNTOLD, UNTOLD } },
	{ "{\"Records\":null}", { UNTOLD, UNTOLD, UNTOLD } },
	{ "{\"Records\":{}}", { UNTOLD, UNTOLD, UNTOLD } },
	{ "", { UNTOLD, UNTOLD, UNTOLD } },
	{ "[]", { UNTOLD, UNTOLD, UNTOLD } },
};

static const struct {
	const char *answer;
	enum aws_error_kind of[3];
} messages[] = {
	{ "{\"Successful\":[{\"Id\":\"2\",\"MessageId\":\"m\",\"MD5OfMessageBody\":\"x\"},"
	  "{\"Id\":\"0\",\"MessageId\":\"m\"},{\"Id\":\"1\",\"MessageId\":\"m\"}]}",
	  { DONE, DONE, DONE } },
	{ "{\"Failed\":[{\"Id\":\"1\",\"Code\":\"ThrottlingException\",\"SenderFault\":false}],"
	  "\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"2\"}]}",
	  { DONE, SLOW, DONE } },
	{ "{\"Failed\":[{\"Id\":\"0\",\"Code\":\"ServiceUnavailable\"},{\"Id\":\"1\",\"Code\":"
	  "\"ThrottlingException\"},{\"Id\":\"2\",\"Code\":\"InternalFailure\"}],\"Successful\":"
	  "null}",
	  { AWS_ERROR_TRANSIENT, SLOW, AWS_ERROR_TRANSIENT } },
	{ "{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"3\"},{\"Id\":\"1\"}]}",
	  { DONE, UNTOLD, UNTOLD } },
	{ "{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"-1\"}]}", { DONE, UNTOLD, UNTOLD } },
	{ "{\"Successful\":[{\"MessageId\":\"m\"}]}", { UNTOLD, UNTOLD, UNTOLD } },
	{ "{}", { UNTOLD, UNTOLD, UNTOLD } },
};

static void check(const char *answer, const enum aws_error_kind of[3],
		  void (*fn)(const struct aws_call *call, struct aws_batch *batch))
{
	static struct aws_batch batch;
	struct aws_call call = { .answer = ev_str_from(answer) };

	aws_batch_init(&batch, 3);
	fn(&call, &batch);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(batch.of[i], of[i]);
}

static void takes_answers_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(records); i++)
		check(records[i].answer, records[i].of, aws_put_events_taken);
	for (size_t i = 0; i < EV_ARRAY_LEN(messages); i++)
		check(messages[i].answer, messages[i].of, aws_put_commands_taken);
}

/* Places are those of the request, not of the whole batch. */
static void tells_entries_by_their_place_in_the_request(void **state)
{
	static struct aws_batch batch;
	struct aws_call call = { .answer = ev_str_from("{\"Records\":[" R_SLOW "," R_OK "]}") };

	(void)state;
	aws_batch_init(&batch, 4);
	batch.n_pending = 2;
	batch.pending[0] = 1;
	batch.pending[1] = 3;
	aws_put_events_taken(&call, &batch);
	assert_int_equal(batch.of[1], SLOW);
	assert_int_equal(batch.of[3], DONE);
}

static void a_failed_call_fails_all(void **state)
{
	static struct aws_batch batch;
	struct aws_call call = { .err = EV_TIMEOUT, .error = { .kind = AWS_ERROR_TIMED_OUT } };

	(void)state;
	aws_batch_init(&batch, 2);
	aws_put_events_taken(&call, &batch);
	assert_int_equal(batch.of[0], AWS_ERROR_TIMED_OUT);
	assert_int_equal(batch.of[1], AWS_ERROR_TIMED_OUT);
	call = (struct aws_call){ .err = EV_NOMEM };
	aws_put_commands_taken(&call, &batch);
	assert_int_equal(batch.of[0], AWS_ERROR_OTHER);
}

static void writes_a_record_of_bytes(void **state)
{
	char room[AWS_PUT_RECORD_SIZE(4)];
	struct ev_buf b = ev_buf_over(room, sizeof(room));

	(void)state;
	aws_put_record_write(&b, "dead", &OUTLET(9), EV_LIT("\"a\"\n"));
	assert_true(ev_str_eqz(ev_buf_str(&b),
			       "{\"StreamName\":\"dead\",\"Records\":[{\"Data\":\"ImEiCg==\","
			       "\"PartitionKey\":\"86000000-0000-0000-0000-000000000009\"}]}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_pending_events_under_their_outlets),
		cmocka_unit_test(writes_commands_as_the_original_does),
		cmocka_unit_test(the_sizes_hold_the_largest),
		cmocka_unit_test(takes_answers_apart),
		cmocka_unit_test(tells_entries_by_their_place_in_the_request),
		cmocka_unit_test(a_failed_call_fails_all),
		cmocka_unit_test(writes_a_record_of_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
