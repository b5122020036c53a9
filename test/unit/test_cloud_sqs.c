/* test_cloud_sqs.c — SQS in memory: sending, receiving, waiting, dead letters. */
#include <stdio.h>
#include <string.h>

#include "cloud_fixture.h"

#define URL(name) "https://sqs.eu-west-1.amazonaws.com/123456789012/" name
#define Q "'QueueUrl':'" URL("q") "'"
#define DEAD "'QueueUrl':'" URL("dead") "'"
#define NO_QUEUE "AWS.SimpleQueueService.NonExistentQueue"

static int open_queue(void **state)
{
	static struct kit k;

	kit_open(&k, NULL);
	kit_do(&k, 's', "CreateQueue", "{'QueueName':'q'}");
	*state = &k;
	return 0;
}

static int close_queue(void **state)
{
	kit_close(*state);
	return 0;
}

static void send(struct kit *k, const char *text)
{
	kit_do(k, 's', "SendMessage", kit_text("{" Q ",'MessageBody':'%s'}", text));
}

/* How many come; the last call's answer stays in k->answer. */
static size_t receive(struct kit *k, const char *rest)
{
	size_t n = 0;

	kit_do(k, 's', "ReceiveMessage", kit_text("{%s}", rest));
	for (const char *p = k->answer; (p = strstr(p, "'MessageId'")) != NULL; p++)
		n++;
	if (n == 0)
		assert_string_equal(k->answer, "{}");
	return n;
}

static void pass(struct kit *k, int64_t seconds)
{
	ev_clock_manual_advance(&k->clock, seconds * EV_NS_PER_S);
}

static void queues_are_made_found_and_described(void **state)
{
	static const struct kit_step steps[] = {
		{ 's', "CreateQueue", "{'QueueName':'q'}", "", "{'QueueUrl':'" URL("q") "'}",
		  NULL },
		{ 's', "CreateQueue", "{'QueueName':'q','Attributes':{'VisibilityTimeout':'31'}}",
		  "QueueAlreadyExists", "com.amazonaws.sqs#QueueNameExists", NULL },
		{ 's', "CreateQueue", "{'QueueName':'q','Attributes':{'VisibilityTimeout':'30'}}",
		  "", NULL, NULL },
		{ 's', "CreateQueue", "{'QueueName':'a.b'}", "InvalidParameterValue", NULL, NULL },
		{ 's', "CreateQueue", "{'QueueName':'r','Attributes':{'Visibility':'30'}}",
		  "InvalidAttributeName", NULL, NULL },
		{ 's', "GetQueueUrl", "{'QueueName':'q'}", "", URL("q"), NULL },
		{ 's', "GetQueueUrl", "{'QueueName':'none'}", NO_QUEUE,
		  "com.amazonaws.sqs#QueueDoesNotExist", NULL },
		{ 's', "SendMessage", "{'QueueUrl':'" URL("none") "','MessageBody':'x'}", NO_QUEUE,
		  NULL, NULL },
		{ 's', "GetQueueAttributes", "{" Q ",'AttributeNames':['All']}", "",
		  "'QueueArn':'arn:aws:sqs:eu-west-1:123456789012:q',"
		  "'ApproximateNumberOfMessages':'0'",
		  "RedrivePolicy" },
		{ 's', "SetQueueAttributes", "{" Q ",'Attributes':{'VisibilityTimeout':'7'}}", "",
		  "", "{" },
		{ 's', "GetQueueAttributes", "{" Q ",'AttributeNames':['VisibilityTimeout']}", "",
		  "{'Attributes':{'VisibilityTimeout':'7'}}", NULL },
		{ 's', "SetQueueAttributes", "{" Q ",'Attributes':{'VisibilityTimeout':'x'}}",
		  "InvalidAttributeValue", NULL, NULL },
		{ 's', "DeleteQueue", "{" Q "}", "", NULL, NULL },
		{ 's', "GetQueueUrl", "{'QueueName':'q'}", NO_QUEUE, NULL, NULL },
	};

	kit_steps(*state, steps, EV_ARRAY_LEN(steps));
}

static void messages_come_with_what_is_asked_for(void **state)
{
	struct kit *k = *state;

	kit_do(k, 's', "SendMessage",
	       "{" Q ",'MessageBody':'hello','MessageAttributes':{'b':{'DataType':'Binary',"
	       "'BinaryValue':'AQID'},'a':{'DataType':'String','StringValue':'x'}}}");
	/* Both hashes were computed apart from this program. */
	assert_non_null(strstr(k->answer, "'MD5OfMessageBody':'5d41402abc4b2a76b9719d911017c592',"
					  "'MD5OfMessageAttributes':"
					  "'aff7372f244d3ebae020d15edb230ef6'"));
	assert_int_equal(receive(k, Q), 1);
	assert_non_null(strstr(k->answer, "'Body':'hello'}]"));
	assert_null(strstr(k->answer, "Attributes"));
	pass(k, 30);
	assert_int_equal(receive(k, Q ",'AttributeNames':['ApproximateReceiveCount',"
				      "'SentTimestamp'],'MessageAttributeNames':['All']"),
			 1);
	assert_non_null(strstr(k->answer, "'Attributes':{'ApproximateReceiveCount':'2',"
					  "'SentTimestamp':'1700000000000'}"));
	assert_non_null(strstr(k->answer, "'MessageAttributes':{'b':{'DataType':'Binary',"
					  "'BinaryValue':'AQID'},'a':"));
	pass(k, 30);
	assert_int_equal(receive(k, Q ",'MessageSystemAttributeNames':['All'],"
				      "'MessageAttributeNames':['a*','a.*','a']"),
			 1);
	assert_non_null(strstr(k->answer, "'MessageAttributes':{'a':{"));
	assert_null(strstr(k->answer, "BinaryValue"));
}

static void a_received_message_is_hidden_for_a_while(void **state)
{
	struct kit *k = *state;
	char old[200];

	send(k, "x");
	assert_int_equal(receive(k, Q), 1);
	snprintf(old, sizeof(old), "%s", kit_take(k, "ReceiptHandle"));
	assert_int_equal(receive(k, Q), 0);
	pass(k, 29);
	assert_int_equal(receive(k, Q), 0);
	pass(k, 1);
	assert_string_equal(
		kit_call(k, 's', "ChangeMessageVisibility",
			 kit_text("{" Q ",'ReceiptHandle':'%s','VisibilityTimeout':9}", old)),
		"AWS.SimpleQueueService.MessageNotInflight");
	assert_int_equal(receive(k, Q ",'VisibilityTimeout':100"), 1);
	/* An older receipt deletes nothing and says nothing. */
	kit_do(k, 's', "DeleteMessage", kit_text("{" Q ",'ReceiptHandle':'%s'}", old));
	assert_int_equal(cloud_n_messages(k->cloud, "q"), 1);
	pass(k, 99);
	assert_int_equal(receive(k, Q), 0);
	pass(k, 1);
	assert_int_equal(receive(k, Q), 1);
	kit_do(k, 's', "ChangeMessageVisibility",
	       kit_text("{" Q ",'ReceiptHandle':'%s','VisibilityTimeout':0}",
			kit_take(k, "ReceiptHandle")));
	assert_int_equal(receive(k, Q), 1);
	kit_do(k, 's', "DeleteMessage",
	       kit_text("{" Q ",'ReceiptHandle':'%s'}", kit_take(k, "ReceiptHandle")));
	assert_string_equal(k->answer, "");
	assert_int_equal(cloud_n_messages(k->cloud, "q"), 0);
	assert_string_equal(kit_call(k, 's', "DeleteMessage", "{" Q ",'ReceiptHandle':'abc'}"),
			    "ReceiptHandleIsInvalid");
}

static void batches_succeed_and_fail_by_entry(void **state)
{
	static const struct kit_step steps[] = {
		{ 's', "SendMessageBatch",
		  "{" Q
		  ",'Entries':[{'Id':'0','MessageBody':'a'},{'Id':'1','MessageBody':'\\u0001'}"
		  ",{'Id':'2','MessageBody':'b'}]}",
		  "", "'Failed':[{'Id':'1','SenderFault':true,'Code':'InvalidMessageContents'",
		  NULL },
		{ 's', "SendMessageBatch",
		  "{" Q ",'Entries':[{'Id':'0','MessageBody':'a'},{'Id':'0','MessageBody':'b'}]}",
		  "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", NULL, NULL },
		{ 's', "SendMessageBatch", "{" Q ",'Entries':[]}",
		  "AWS.SimpleQueueService.EmptyBatchRequest", NULL, NULL },
		{ 's', "SendMessageBatch", "{" Q ",'Entries':[{'Id':'a b','MessageBody':'a'}]}",
		  "AWS.SimpleQueueService.InvalidBatchEntryId", NULL, NULL },
		{ 's', "DeleteMessageBatch",
		  "{" Q ",'Entries':[{'Id':'0','ReceiptHandle':'nonsense'}]}", "",
		  "'Successful':[],'Failed':[{'Id':'0','SenderFault':true,"
		  "'Code':'ReceiptHandleIsInvalid'",
		  NULL },
	};
	struct kit *k = *state;

	kit_steps(k, steps, EV_ARRAY_LEN(steps));
	assert_int_equal(cloud_n_messages(k->cloud, "q"), 2);
	assert_int_equal(receive(k, Q ",'MaxNumberOfMessages':10"), 2);
	kit_do(k, 's', "ChangeMessageVisibilityBatch",
	       kit_text("{" Q ",'Entries':[{'Id':'x','VisibilityTimeout':0,'ReceiptHandle':'%s'}]}",
			kit_take(k, "ReceiptHandle")));
	assert_int_equal(receive(k, Q ",'MaxNumberOfMessages':10"), 1);
	kit_do(k, 's', "DeleteMessageBatch",
	       kit_text("{" Q ",'Entries':[{'Id':'x','ReceiptHandle':'%s'}]}",
			kit_take(k, "ReceiptHandle")));
	assert_int_equal(cloud_n_messages(k->cloud, "q"), 1);
}

static void sizes_have_their_limits(void **state)
{
	struct kit *k = *state;
	const size_t max = 1024 * 1024;
	char *body = malloc(max + 200);

	assert_non_null(body);
	for (size_t over = 0; over < 2; over++) {
		int n = snprintf(body, 200, "{" Q ",'MessageBody':'");

		memset(body + n, 'x', max + over);
		memcpy(body + (size_t)n + max + over, "'}", 3);
		assert_string_equal(kit_call(k, 's', "SendMessage", body),
				    over == 0 ? "" : "InvalidParameterValue");
		n = snprintf(body, 200,
			     "{" Q ",'Entries':[{'Id':'0','MessageBody':'y'},{'Id':'1',"
			     "'MessageBody':'");
		memset(body + n, 'x', max + over - 1);
		memcpy(body + (size_t)n + max + over - 1, "'}]}", 5);
		assert_string_equal(kit_call(k, 's', "SendMessageBatch", body),
				    over == 0 ? "" : "AWS.SimpleQueueService.BatchRequestTooLong");
	}
	assert_int_equal(cloud_bill(k->cloud).sqs_requests, 1 + 16 + 16 + 1 + 1);
	free(body);
}

static void what_is_received_too_often_is_a_dead_letter(void **state)
{
	struct kit *k = *state;

	kit_do(k, 's', "CreateQueue", "{'QueueName':'dead'}");
	kit_do(k, 's', "SetQueueAttributes",
	       "{" Q ",'Attributes':{'RedrivePolicy':'{\\'maxReceiveCount\\':2,"
	       "\\'deadLetterTargetArn\\':\\'arn:aws:sqs:eu-west-1:123456789012:dead\\'}'}}");
	send(k, "x");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(receive(k, Q), 1);
		pass(k, 30);
	}
	assert_int_equal(receive(k, Q), 0);
	assert_int_equal(cloud_n_messages(k->cloud, "q"), 0);
	assert_int_equal(receive(k, DEAD ",'AttributeNames':['ApproximateReceiveCount']"), 1);
	assert_non_null(strstr(k->answer, "'ApproximateReceiveCount':'1'"));
}

static void messages_end_with_their_retention(void **state)
{
	struct kit *k = *state;

	kit_do(k, 's', "SetQueueAttributes",
	       "{" Q ",'Attributes':{'MessageRetentionPeriod':'60'}}");
	send(k, "x");
	pass(k, 60);
	assert_int_equal(cloud_n_messages(k->cloud, "q"), 1);
	pass(k, 1);
	assert_int_equal(cloud_n_messages(k->cloud, "q"), 0);
}

static void order_is_by_the_seed(void **state)
{
	bool differs = false;
	struct kit *k = *state;

	for (int i = 0; i < 20; i++)
		send(k, kit_text("m%02d", i));
	for (int last = -1, i = 0; i < 20; i++) {
		const char *body;
		int at;

		assert_int_equal(receive(k, Q), 1);
		body = kit_take(k, "Body");
		at = (body[1] - '0') * 10 + (body[2] - '0');
		differs = differs || at < last;
		last = at;
	}
	assert_true(differs);
	assert_int_equal(receive(k, Q ",'MaxNumberOfMessages':10"), 0);
}

/* --- Waiting --- */

#define WAITING "{\"QueueUrl\":\"" URL("q") "\",\"WaitTimeSeconds\":20}"

static struct aws_call long_poll(void)
{
	return (struct aws_call){ .service = AWS_SQS,
				  .operation = "ReceiveMessage",
				  .body = EV_LIT(WAITING) };
}

static void a_long_poll_waits_for_a_message(void **state)
{
	struct kit *k = *state;
	struct cloud_caller *other = cloud_caller_new(k->cloud, "other");
	struct aws_caller *c = cloud_caller(k->p);
	struct aws_call call = long_poll(), *done = NULL;

	assert_int_equal(c->ops->submit(c, &call), EV_OK);
	assert_int_equal(c->ops->poll(c, 0, &done), EV_TIMEOUT);
	assert_int_equal(ev_clock_mono_ns(&k->clock.base), 0); /* it did not move */
	assert_int_equal(cloud_next_ns(k->cloud), 20 * EV_NS_PER_S);
	assert_string_equal(kit_call_by(k, other, 's', "SendMessage", "{" Q ",'MessageBody':'x'}"),
			    "");
	assert_int_equal(c->ops->poll(c, 0, &done), EV_OK);
	assert_ptr_equal(done, &call);
	assert_non_null(strstr(call.answer.p, "\"Body\":\"x\""));
	assert_int_equal(call.attempts, 1);
	assert_int_equal(cloud_n_calls(k->cloud, AWS_SQS, "ReceiveMessage"), 1);
	aws_call_clear(&call);
	assert_int_equal(c->ops->poll(c, 0, &done), EV_NOTFOUND);
	cloud_caller_free(other);
}

static void a_long_poll_ends_in_time(void **state)
{
	struct kit *k = *state;
	struct aws_caller *c = cloud_caller(k->p);
	struct aws_call call = long_poll(), *done = NULL;

	assert_int_equal(c->ops->submit(c, &call), EV_OK);
	assert_int_equal(c->ops->poll(c, 5 * EV_NS_PER_S, &done), EV_TIMEOUT);
	assert_int_equal(ev_clock_mono_ns(&k->clock.base), 5 * EV_NS_PER_S);
	assert_int_equal(c->ops->poll(c, 50 * EV_NS_PER_S, &done), EV_OK);
	assert_int_equal(ev_clock_mono_ns(&k->clock.base), 20 * EV_NS_PER_S);
	assert_string_equal(call.answer.p, "{}");
	aws_call_clear(&call);
}

static void a_long_poll_gets_what_becomes_visible(void **state)
{
	struct kit *k = *state;
	struct aws_call call = long_poll();

	send(k, "x");
	assert_int_equal(receive(k, Q ",'VisibilityTimeout':7"), 1);
	assert_int_equal(aws_caller_one(cloud_caller(k->p), &call, 0), EV_OK);
	assert_non_null(strstr(call.answer.p, "\"Body\":\"x\""));
	assert_int_equal(ev_clock_mono_ns(&k->clock.base), 7 * EV_NS_PER_S);
	aws_call_clear(&call);
}

static void the_first_to_wait_gets_the_message(void **state)
{
	struct kit *k = *state;
	struct aws_caller *c = cloud_caller(k->p);
	struct aws_call calls[2] = { long_poll(), long_poll() }, *done = NULL;

	assert_int_equal(c->ops->submit(c, &calls[0]), EV_OK);
	assert_int_equal(c->ops->submit(c, &calls[1]), EV_OK);
	assert_int_equal(cloud_do(k->cloud, AWS_SQS, "SendMessage",
				  "{\"QueueUrl\":\"" URL("q") "\",\"MessageBody\":\"x\"}", NULL),
			 EV_OK);
	assert_int_equal(c->ops->poll(c, 0, &done), EV_OK);
	assert_ptr_equal(done, &calls[0]);
	assert_int_equal(c->ops->poll(c, 0, &done), EV_TIMEOUT);
	c->ops->wake(c);
	assert_int_equal(c->ops->poll(c, EV_NS_PER_S, &done), EV_BUSY);
	c->ops->cancel(c, &calls[1]);
	assert_int_equal(c->ops->poll(c, 0, &done), EV_NOTFOUND);
	aws_call_clear(&calls[0]);
}

static void a_run_gives_up_at_its_deadline(void **state)
{
	struct kit *k = *state;
	struct aws_call call = long_poll();

	assert_int_equal(aws_caller_one(cloud_caller(k->p), &call, 3 * EV_NS_PER_S), EV_TIMEOUT);
	assert_int_equal(call.error.kind, AWS_ERROR_TIMED_OUT);
	assert_int_equal(ev_clock_mono_ns(&k->clock.base), 3 * EV_NS_PER_S);
}

int main(void)
{
#define WITH_QUEUE(test) cmocka_unit_test_setup_teardown(test, open_queue, close_queue)
	const struct CMUnitTest tests[] = {
		WITH_QUEUE(queues_are_made_found_and_described),
		WITH_QUEUE(messages_come_with_what_is_asked_for),
		WITH_QUEUE(a_received_message_is_hidden_for_a_while),
		WITH_QUEUE(batches_succeed_and_fail_by_entry),
		WITH_QUEUE(sizes_have_their_limits),
		WITH_QUEUE(what_is_received_too_often_is_a_dead_letter),
		WITH_QUEUE(messages_end_with_their_retention),
		WITH_QUEUE(order_is_by_the_seed),
		WITH_QUEUE(a_long_poll_waits_for_a_message),
		WITH_QUEUE(a_long_poll_ends_in_time),
		WITH_QUEUE(a_long_poll_gets_what_becomes_visible),
		WITH_QUEUE(the_first_to_wait_gets_the_message),
		WITH_QUEUE(a_run_gives_up_at_its_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
