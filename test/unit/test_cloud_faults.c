/* test_cloud_faults.c — what goes wrong in the cloud by order: faults, races, deaths, delays. */
#include <stdio.h>
#include <string.h>

#include "cloud_fixture.h"

#define URL "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
#define TABLE                                                                                      \
	"{'TableName':'plain','BillingMode':'PAY_PER_REQUEST','AttributeDefinitions':"             \
	"[{'AttributeName':'id','AttributeType':'S'}],'KeySchema':[{'AttributeName':'id',"         \
	"'KeyType':'HASH'}]}"
#define ADD                                                                                        \
	"{'TableName':'plain','Key':{'id':{'S':'a'}},'UpdateExpression':'ADD n :one',"             \
	"'ExpressionAttributeValues':{':one':{'N':'1'}}}"
#define GET "{'TableName':'plain','Key':{'id':{'S':'a'}},'ConsistentRead':true}"
#define SEND "{'QueueUrl':'" URL "','MessageBody':'x'}"
#define RECEIVE "{'QueueUrl':'" URL "'}"
#define PUT "{'StreamName':'s','PartitionKey':'a','Data':'AQID'}"

/* The fault of the next attempts, and of how many. */
struct order {
	enum cloud_fault fault;
	unsigned n;
	struct kit k;
	struct cloud_caller *other;
	unsigned races;
	unsigned waits;
	bool stubborn; /* waits without moving anything */
};

static enum cloud_fault next_fault(void *user, const struct cloud_attempt *a)
{
	struct order *o = user;

	assert_true(a->attempt >= 1 && a->number >= 1 && a->body.n > 0);
	if (o->n == 0 || a->caller != o->k.p)
		return CLOUD_FINE;
	o->n--;
	return o->fault;
}

static void open_order(struct order *o, const struct cloud_config *more)
{
	struct cloud_config config = more != NULL ? *more : (struct cloud_config){ .seed = 1 };

	memset(o, 0, sizeof(*o));
	config.fault = next_fault;
	config.user = o;
	kit_open(&o->k, &config);
	o->other = cloud_caller_new(o->k.cloud, "other");
	kit_do(&o->k, 'd', "CreateTable", TABLE);
	kit_do(&o->k, 's', "CreateQueue", "{'QueueName':'q'}");
	kit_do(&o->k, 'k', "CreateStream", "{'StreamName':'s','ShardCount':1}");
}

static void close_order(struct order *o)
{
	cloud_caller_free(o->other);
	kit_close(&o->k);
}

static void set(struct order *o, enum cloud_fault fault, unsigned n)
{
	o->fault = fault;
	o->n = n;
}

static long value(struct order *o)
{
	const char *p;

	set(o, CLOUD_FINE, 0);
	kit_do(&o->k, 'd', "GetItem", GET);
	p = strstr(o->k.answer, "'n':{'N':'");
	return p == NULL ? 0 : p[strlen("'n':{'N':'")] - '0';
}

/* Each fault on ADD by three attempts. */
static const struct {
	enum cloud_fault fault;
	unsigned n;
	char service;
	const char *operation, *body, *code;
	enum aws_error_kind kind;
	ev_err err;
	unsigned attempts;
	long value; /* of the counter after it */
} faults[] = {
	{ CLOUD_THROTTLED, 2, 'd', "UpdateItem", ADD, "", AWS_ERROR_NONE, EV_OK, 3, 1 },
	{ CLOUD_THROTTLED, 3, 'd', "UpdateItem", ADD, "ThrottlingException", AWS_ERROR_THROTTLED,
	  EV_BUSY, 3, 0 },
	{ CLOUD_THROTTLED, 3, 's', "SendMessage", SEND, "RequestThrottled", AWS_ERROR_THROTTLED,
	  EV_BUSY, 3, 0 },
	{ CLOUD_THROTTLED, 3, 'k', "PutRecord", PUT, "ProvisionedThroughputExceededException",
	  AWS_ERROR_THROTTLED, EV_BUSY, 3, 0 },
	{ CLOUD_SERVER_ERROR, 3, 'd', "UpdateItem", ADD, "InternalServerError", AWS_ERROR_TRANSIENT,
	  EV_IO, 3, 0 },
	{ CLOUD_LOST_REQUEST, 2, 'd', "UpdateItem", ADD, "", AWS_ERROR_NONE, EV_OK, 3, 1 },
	{ CLOUD_LOST_REQUEST, 3, 'd', "UpdateItem", ADD, "TimedOut", AWS_ERROR_TIMED_OUT,
	  EV_TIMEOUT, 3, 0 },
	{ CLOUD_LOST_ANSWER, 2, 'd', "UpdateItem", ADD, "", AWS_ERROR_NONE, EV_OK, 3, 3 },
	{ CLOUD_LOST_ANSWER, 3, 'd', "UpdateItem", ADD, "TimedOut", AWS_ERROR_TIMED_OUT, EV_TIMEOUT,
	  3, 3 },
	{ CLOUD_EXPIRED_TOKEN, 1, 'd', "UpdateItem", ADD, "", AWS_ERROR_NONE, EV_OK, 2, 1 },
	{ CLOUD_EXPIRED_TOKEN, 2, 'd', "UpdateItem", ADD, "ExpiredTokenException",
	  AWS_ERROR_EXPIRED_TOKEN, EV_DENIED, 2, 0 },
	{ CLOUD_DENIED, 1, 'd', "UpdateItem", ADD, "AccessDeniedException", AWS_ERROR_DENIED,
	  EV_DENIED, 1, 0 },
	{ CLOUD_MISSING, 1, 'd', "UpdateItem", ADD, "ResourceNotFoundException",
	  AWS_ERROR_NOT_FOUND, EV_NOTFOUND, 1, 0 },
	{ CLOUD_MISSING, 1, 's', "SendMessage", SEND, "AWS.SimpleQueueService.NonExistentQueue",
	  AWS_ERROR_NOT_FOUND, EV_NOTFOUND, 1, 0 },
	{ CLOUD_PARTIAL, 3, 'd', "UpdateItem", ADD, "ThrottlingException", AWS_ERROR_THROTTLED,
	  EV_BUSY, 3, 0 },
	{ CLOUD_DUPLICATE, 1, 'd', "UpdateItem", ADD, "", AWS_ERROR_NONE, EV_OK, 1, 1 },
	{ CLOUD_EXPIRED_ITERATOR, 1, 'd', "UpdateItem", ADD, "", AWS_ERROR_NONE, EV_OK, 1, 1 },
	{ CLOUD_DIES_BEFORE, 1, 'd', "UpdateItem", ADD, "Closed", AWS_ERROR_OTHER, EV_CLOSED, 1,
	  0 },
	{ CLOUD_DIES_AFTER, 1, 'd', "UpdateItem", ADD, "Closed", AWS_ERROR_OTHER, EV_CLOSED, 1, 1 },
};

static void faults_end_calls_as_those_of_aws(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(faults); i++) {
		struct aws_call call = { .service = kit_service(faults[i].service),
					 .operation = faults[i].operation };
		struct order o;
		char body[400];

		open_order(&o, NULL);
		snprintf(body, sizeof(body), "%s", faults[i].body);
		for (char *p = body; *p != '\0'; p++)
			*p = *p == '\'' ? '"' : *p;
		call.body = ev_str_from(body);
		set(&o, faults[i].fault, faults[i].n);
		assert_int_equal(aws_caller_one(cloud_caller(o.k.p), &call, 0), faults[i].err);
		assert_string_equal(call.error.code, faults[i].code);
		assert_int_equal(call.error.kind, faults[i].kind);
		assert_int_equal(ev_clock_mono_ns(&o.k.clock.base), 0);
		if (faults[i].err != EV_CLOSED) {
			assert_int_equal(call.attempts, faults[i].attempts);
		} else {
			assert_true(cloud_is_dead(o.k.p));
			cloud_revive(o.k.p);
		}
		aws_call_clear(&call);
		assert_int_equal(value(&o), faults[i].value);
		close_order(&o);
	}
}

static void garbage_is_a_success_with_half_a_body(void **state)
{
	struct order o;

	(void)state;
	open_order(&o, NULL);
	set(&o, CLOUD_GARBAGE, 1);
	kit_do(&o.k, 's', "GetQueueUrl", "{'QueueName':'q'}");
	assert_string_equal(o.k.answer, "{'QueueUrl':'https://sqs.eu-west");
	close_order(&o);
}

static void parts_of_batches_fail(void **state)
{
	struct order o;
	size_t left = 0;

	(void)state;
	open_order(&o, NULL);
	set(&o, CLOUD_PARTIAL, 1);
	kit_do(&o.k, 'k', "PutRecords",
	       "{'StreamName':'s','Records':[{'PartitionKey':'a','Data':''},{'PartitionKey':'b',"
	       "'Data':''}]}");
	assert_non_null(strstr(o.k.answer, "'ErrorCode':"));
	assert_true(cloud_n_records(o.k.cloud, "s") < 2);
	set(&o, CLOUD_PARTIAL, 1);
	kit_do(&o.k, 's', "SendMessageBatch",
	       "{'QueueUrl':'" URL "','Entries':[{'Id':'0','MessageBody':'a'},{'Id':'1',"
	       "'MessageBody':'b'}]}");
	assert_non_null(strstr(o.k.answer, "'SenderFault':false,'Code':'ServiceUnavailable'"));
	assert_true(cloud_n_messages(o.k.cloud, "q") < 2);
	set(&o, CLOUD_PARTIAL, 1);
	kit_do(&o.k, 'd', "BatchWriteItem",
	       "{'RequestItems':{'plain':[{'PutRequest':{'Item':{'id':{'S':'x'}}}},"
	       "{'PutRequest':{'Item':{'id':{'S':'y'}}}}]}}");
	for (const char *p = o.k.answer; (p = strstr(p, "PutRequest")) != NULL; p++)
		left++;
	assert_true(left >= 1);
	assert_int_equal(cloud_n_items(o.k.cloud, "plain"), 2 - left);
	close_order(&o);
}

static void things_happen_twice(void **state)
{
	struct order o;

	(void)state;
	open_order(&o, NULL);
	set(&o, CLOUD_DUPLICATE, 1);
	kit_do(&o.k, 's', "SendMessage", SEND);
	assert_int_equal(cloud_n_messages(o.k.cloud, "q"), 2);
	kit_do(&o.k, 's', "PurgeQueue", RECEIVE);
	kit_do(&o.k, 's', "SendMessage", SEND);
	set(&o, CLOUD_DUPLICATE, 1);
	kit_do(&o.k, 's', "ReceiveMessage", RECEIVE);
	assert_non_null(strstr(o.k.answer, "Body"));
	kit_do(&o.k, 's', "ReceiveMessage", RECEIVE); /* again, at once */
	set(&o, CLOUD_DUPLICATE, 1);
	kit_do(&o.k, 's', "DeleteMessage",
	       kit_text("{'QueueUrl':'" URL "','ReceiptHandle':'%s'}",
			kit_take(&o.k, "ReceiptHandle")));
	assert_int_equal(cloud_n_messages(o.k.cloud, "q"), 1);
	set(&o, CLOUD_DUPLICATE, 1);
	kit_do(&o.k, 'k', "PutRecord", PUT);
	assert_int_equal(cloud_n_records(o.k.cloud, "s"), 2);
	close_order(&o);
}

static void shards_are_replayed_and_iterators_lost(void **state)
{
	struct order o;
	const char *at;

	(void)state;
	open_order(&o, NULL);
	kit_do(&o.k, 'k', "PutRecord", PUT);
	kit_do(&o.k, 'k', "GetShardIterator",
	       "{'StreamName':'s','ShardId':'shardId-000000000000','ShardIteratorType':'LATEST'}");
	at = kit_text("{'ShardIterator':'%s'}", kit_take(&o.k, "ShardIterator"));
	kit_do(&o.k, 'k', "GetRecords", at);
	assert_null(strstr(o.k.answer, "Data"));
	set(&o, CLOUD_DUPLICATE, 1);
	kit_do(&o.k, 'k', "GetRecords", at);
	assert_non_null(strstr(o.k.answer, "Data"));
	kit_do(&o.k, 'k', "PutRecord", PUT);
	set(&o, CLOUD_STALE, 1);
	kit_do(&o.k, 'k', "GetRecords", at);
	assert_non_null(strstr(o.k.answer, "'Records':[]"));
	assert_null(strstr(o.k.answer, "'MillisBehindLatest':0"));
	set(&o, CLOUD_EXPIRED_ITERATOR, 1);
	assert_string_equal(kit_call(&o.k, 'k', "GetRecords", at), "ExpiredIteratorException");
	close_order(&o);
}

static void reads_can_be_of_the_past(void **state)
{
	static const char weak[] = "{'TableName':'plain','Key':{'id':{'S':'a'}}}";
	struct order o;

	(void)state;
	open_order(&o, NULL);
	kit_do(&o.k, 'd', "UpdateItem", ADD);
	set(&o, CLOUD_STALE, 1);
	kit_do(&o.k, 'd', "GetItem", weak);
	assert_string_equal(o.k.answer, "{}");
	set(&o, CLOUD_STALE, 1);
	kit_do(&o.k, 'd', "GetItem", GET); /* consistent */
	assert_non_null(strstr(o.k.answer, "'n':{'N':'1'}"));
	ev_clock_manual_advance(&o.k.clock, 2 * EV_NS_PER_S);
	set(&o, CLOUD_STALE, 1);
	kit_do(&o.k, 'd', "GetItem", weak); /* by now everybody knows */
	assert_non_null(strstr(o.k.answer, "'n':{'N':'1'}"));
	kit_do(&o.k, 's', "SendMessage", SEND);
	set(&o, CLOUD_STALE, 1);
	kit_do(&o.k, 's', "ReceiveMessage", RECEIVE);
	assert_string_equal(o.k.answer, "{}");
	close_order(&o);
}

static void rates_are_kept(void **state)
{
	struct order o;
	uint64_t n;

	(void)state;
	open_order(&o, NULL);
	cloud_set_rate(o.k.cloud, CLOUD_DENIED, 250000);
	for (unsigned i = 0; i < 1000; i++)
		(void)kit_call(&o.k, 's', "GetQueueUrl", "{'QueueName':'q'}");
	n = cloud_n_faults(o.k.cloud, CLOUD_DENIED);
	assert_in_range(n, 200, 300);
	cloud_set_faults(o.k.cloud, false);
	for (unsigned i = 0; i < 100; i++)
		kit_do(&o.k, 's', "GetQueueUrl", "{'QueueName':'q'}");
	assert_int_equal(cloud_n_faults(o.k.cloud, CLOUD_DENIED), n);
	assert_int_equal(cloud_n_calls(o.k.cloud, AWS_SQS, "GetQueueUrl"), 1100);
	assert_int_equal(cloud_n_calls(o.k.cloud, AWS_SQS, NULL), 1101);
	close_order(&o);
}

/* --- Others come in between --- */

static void other_adds(void *user, const struct cloud_attempt *a)
{
	struct order *o = user;

	o->races++;
	if (ev_str_eqz(ev_str_from(a->operation), "UpdateItem"))
		assert_string_equal(kit_call_by(&o->k, o->other, 'd', "UpdateItem", ADD), "");
}

static void another_process_comes_first(void **state)
{
	const struct cloud_config config = { .seed = 1, .race = other_adds };
	struct order o;

	(void)state;
	open_order(&o, &config);
	o.races = 0;
	assert_string_equal(kit_call(&o.k, 'd', "UpdateItem",
				     "{'TableName':'plain','Key':{'id':{'S':'a'}},"
				     "'ConditionExpression':'attribute_not_exists(n)',"
				     "'UpdateExpression':'SET n = :v',"
				     "'ExpressionAttributeValues':{':v':{'N':'7'}}}"),
			    "ConditionalCheckFailedException");
	assert_int_equal(o.races, 1); /* not within itself */
	assert_int_equal(value(&o), 1);
	close_order(&o);
}

static void kills_it(void *user, const struct cloud_attempt *a)
{
	struct order *o = user;

	if (a->caller == o->k.p && ev_str_eqz(ev_str_from(a->operation), "UpdateItem"))
		cloud_kill(o->k.p);
}

static void a_process_can_die_in_a_race(void **state)
{
	const struct cloud_config config = { .seed = 1, .race = kills_it };
	struct order o;

	(void)state;
	open_order(&o, &config);
	assert_string_equal(kit_call(&o.k, 'd', "UpdateItem", ADD), "Closed");
	assert_string_equal(kit_call(&o.k, 'd', "GetItem", GET), "Closed");
	cloud_revive(o.k.p);
	assert_int_equal(value(&o), 0);
	close_order(&o);
}

/* --- Delays, and calls under way --- */

static void delayed_calls_are_done_in_their_time(void **state)
{
	struct aws_call calls[20] = { 0 }, *done = NULL;
	struct aws_caller *c;
	struct order o;
	bool reordered = false;

	(void)state;
	open_order(&o, NULL);
	c = cloud_caller(o.k.p);
	cloud_set_delay(o.k.cloud, EV_NS_PER_S);
	for (size_t i = 0; i < EV_ARRAY_LEN(calls); i++) {
		calls[i] = (struct aws_call){ .service = AWS_SQS,
					      .operation = "GetQueueUrl",
					      .body = EV_LIT("{\"QueueName\":\"q\"}") };
		assert_int_equal(c->ops->submit(c, &calls[i]), EV_OK);
	}
	assert_int_equal(c->ops->poll(c, 0, &done), EV_TIMEOUT);
	for (size_t i = 0; i < EV_ARRAY_LEN(calls); i++) {
		assert_int_equal(c->ops->poll(c, 2 * EV_NS_PER_S, &done), EV_OK);
		assert_int_equal(done->err, EV_OK);
		reordered = reordered || done != &calls[i];
		aws_call_clear(done);
	}
	assert_true(reordered);
	assert_in_range(ev_clock_mono_ns(&o.k.clock.base), 1, EV_NS_PER_S);
	assert_int_equal(c->ops->poll(c, 0, &done), EV_NOTFOUND);
	close_order(&o);
}

static void of_calls_under_way_some_still_take_place(void **state)
{
	static const char body[] = "{\"QueueUrl\":\"" URL "\",\"MessageBody\":\"x\"}";
	struct aws_call calls[40] = { 0 }, *done = NULL;
	struct aws_caller *c;
	struct order o;

	(void)state;
	open_order(&o, NULL);
	c = cloud_caller(o.k.p);
	cloud_set_delay(o.k.cloud, EV_NS_PER_S);
	for (size_t i = 0; i < EV_ARRAY_LEN(calls); i++) {
		calls[i] = (struct aws_call){ .service = AWS_SQS,
					      .operation = "SendMessage",
					      .body = ev_str_from(body) };
		assert_int_equal(c->ops->submit(c, &calls[i]), EV_OK);
	}
	cloud_kill(o.k.p);
	assert_int_equal(c->ops->poll(c, EV_NS_PER_S, &done), EV_CLOSED);
	assert_int_equal(c->ops->submit(c, &calls[0]), EV_CLOSED);
	for (size_t i = 0; i < EV_ARRAY_LEN(calls); i++)
		assert_int_equal(calls[i].err, EV_CLOSED);
	assert_in_range(cloud_n_messages(o.k.cloud, "q"), 5, 35);
	cloud_revive(o.k.p);
	assert_int_equal(c->ops->poll(c, 0, &done), EV_NOTFOUND);
	close_order(&o);
}

/* A dead process's long poll can take a message with it, which comes back later. */
static void a_dead_long_poll_may_take_a_message(void **state)
{
	static const char wait[] = "{\"QueueUrl\":\"" URL "\",\"WaitTimeSeconds\":20}";
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		const struct cloud_config config = { .seed = i };
		struct aws_call call = { .service = AWS_SQS,
					 .operation = "ReceiveMessage",
					 .body = ev_str_from(wait) };
		struct aws_caller *c;
		struct order o;

		open_order(&o, &config);
		c = cloud_caller(o.k.p);
		assert_int_equal(c->ops->submit(c, &call), EV_OK);
		cloud_kill(o.k.p);
		cloud_revive(o.k.p);
		kit_do(&o.k, 's', "SendMessage", SEND);
		kit_do(&o.k, 's', "ReceiveMessage", RECEIVE);
		taken += strcmp(o.k.answer, "{}") == 0;
		ev_clock_manual_advance(&o.k.clock, 30 * EV_NS_PER_S);
		kit_do(&o.k, 's', "ReceiveMessage", RECEIVE);
		assert_non_null(strstr(o.k.answer, "Body"));
		close_order(&o);
	}
	assert_in_range(taken, 3, 17);
}

/* --- Waiting by a hook --- */

static void other_sends_while_waiting(void *user, struct cloud_caller *c, int64_t ns)
{
	struct order *o = user;

	assert_true(c == o->k.p && ns > 0);
	if (!o->stubborn && ++o->waits == 3)
		assert_string_equal(kit_call_by(&o->k, o->other, 's', "SendMessage", SEND), "");
	else if (!o->stubborn)
		ev_clock_manual_advance(&o->k.clock, EV_NS_PER_S);
}

static void others_run_while_one_waits(void **state)
{
	static const char wait[] = "{'QueueUrl':'" URL "','WaitTimeSeconds':20}";
	const struct cloud_config config = { .seed = 1, .wait = other_sends_while_waiting };
	struct order o;

	(void)state;
	open_order(&o, &config);
	kit_do(&o.k, 's', "ReceiveMessage", wait);
	assert_non_null(strstr(o.k.answer, "Body"));
	assert_int_equal(ev_clock_mono_ns(&o.k.clock.base), 2 * EV_NS_PER_S);
	o.stubborn = true; /* run and pause end all the same */
	cloud_caller(o.k.p)->ops->pause(cloud_caller(o.k.p), EV_NS_PER_S);
	assert_int_equal(ev_clock_mono_ns(&o.k.clock.base), 3 * EV_NS_PER_S);
	close_order(&o);
}

static void the_products_resources_are_provisioned(void **state)
{
	struct aws_resources r;
	struct kit k;

	(void)state;
	kit_open(&k, NULL);
	assert_int_equal(aws_resources_init(&r, ev_str_from(AWS_PREFIX_DEFAULT)), EV_OK);
	cloud_provision(k.cloud, &r);
	assert_int_equal(cloud_n_calls(k.cloud, AWS_DYNAMODB, NULL), 0);
	kit_do(&k, 'd', "DescribeTable", kit_text("{'TableName':'%s'}", r.items));
	assert_non_null(strstr(k.answer, "'IndexName':'ev-charging_evcharge-items_index'"));
	kit_do(&k, 'd', "DescribeTimeToLive", kit_text("{'TableName':'%s'}", r.items));
	assert_non_null(strstr(k.answer, "'AttributeName':'expires'"));
	kit_do(&k, 'k', "DescribeStreamSummary", kit_text("{'StreamName':'%s'}", r.event_stream));
	assert_non_null(strstr(k.answer, "'OpenShardCount':4"));
	kit_do(&k, 's', "GetQueueUrl", kit_text("{'QueueName':'%s'}", r.messages_in));
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_end_calls_as_those_of_aws),
		cmocka_unit_test(garbage_is_a_success_with_half_a_body),
		cmocka_unit_test(parts_of_batches_fail),
		cmocka_unit_test(things_happen_twice),
		cmocka_unit_test(shards_are_replayed_and_iterators_lost),
		cmocka_unit_test(reads_can_be_of_the_past),
		cmocka_unit_test(rates_are_kept),
		cmocka_unit_test(another_process_comes_first),
		cmocka_unit_test(a_process_can_die_in_a_race),
		cmocka_unit_test(delayed_calls_are_done_in_their_time),
		cmocka_unit_test(of_calls_under_way_some_still_take_place),
		cmocka_unit_test(a_dead_long_poll_may_take_a_message),
		cmocka_unit_test(others_run_while_one_waits),
		cmocka_unit_test(the_products_resources_are_provisioned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
