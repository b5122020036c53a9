/* test/cloud/ops.c — all operations, and doing one. */
#include <stdlib.h>

#include "cloud/dynamo.h"
#include "cloud/internal.h"
#include "cloud/kinesis.h"
#include "cloud/sqs.h"

#define NAMES "ExpressionAttributeNames ExpressionAttributeValues "
#define WRITING                                                                                    \
	"TableName ConditionExpression " NAMES "ReturnValues ReturnConsumedCapacity "              \
	"ReturnItemCollectionMetrics ReturnValuesOnConditionCheckFailure "
#define READING                                                                                    \
	"TableName IndexName ConsistentRead FilterExpression ProjectionExpression " NAMES          \
	"Limit ExclusiveStartKey Select ReturnConsumedCapacity "
#define STREAM " StreamName StreamARN "

static const struct op ops[] = {
	{ AWS_DYNAMODB, 0, "CreateTable",
	  " TableName AttributeDefinitions KeySchema GlobalSecondaryIndexes BillingMode "
	  "ProvisionedThroughput OnDemandThroughput SSESpecification Tags TableClass "
	  "DeletionProtectionEnabled ",
	  dynamo_create_table },
	{ AWS_DYNAMODB, 0, "DescribeTable", " TableName ", dynamo_describe_table },
	{ AWS_DYNAMODB, 0, "DeleteTable", " TableName ", dynamo_delete_table },
	{ AWS_DYNAMODB, 0, "ListTables", " ExclusiveStartTableName Limit ", dynamo_list_tables },
	{ AWS_DYNAMODB, 0, "UpdateTimeToLive", " TableName TimeToLiveSpecification ",
	  dynamo_update_ttl },
	{ AWS_DYNAMODB, 0, "DescribeTimeToLive", " TableName ", dynamo_describe_ttl },
	{ AWS_DYNAMODB, OP_STALE, "GetItem",
	  " TableName Key ConsistentRead ProjectionExpression ExpressionAttributeNames "
	  "ReturnConsumedCapacity ",
	  dynamo_get_item },
	{ AWS_DYNAMODB, 0, "PutItem", " Item " WRITING, dynamo_put_item },
	{ AWS_DYNAMODB, 0, "UpdateItem", " Key UpdateExpression " WRITING, dynamo_update_item },
	{ AWS_DYNAMODB, 0, "DeleteItem", " Key " WRITING, dynamo_delete_item },
	{ AWS_DYNAMODB, OP_STALE, "Query", " KeyConditionExpression ScanIndexForward " READING,
	  dynamo_query },
	{ AWS_DYNAMODB, OP_STALE, "Scan", " Segment TotalSegments " READING, dynamo_scan },
	{ AWS_DYNAMODB, OP_STALE | OP_BATCH, "BatchGetItem",
	  " RequestItems ReturnConsumedCapacity ", dynamo_batch_get },
	{ AWS_DYNAMODB, OP_BATCH, "BatchWriteItem",
	  " RequestItems ReturnConsumedCapacity ReturnItemCollectionMetrics ", dynamo_batch_write },

	{ AWS_SQS, 0, "CreateQueue", " QueueName Attributes tags ", sqs_create_queue },
	{ AWS_SQS, 0, "GetQueueUrl", " QueueName QueueOwnerAWSAccountId ", sqs_get_url },
	{ AWS_SQS, 0, "ListQueues", " QueueNamePrefix MaxResults NextToken ", sqs_list_queues },
	{ AWS_SQS, 0, "GetQueueAttributes", " QueueUrl AttributeNames ", sqs_get_attributes },
	{ AWS_SQS, OP_EMPTY_ANSWER, "SetQueueAttributes", " QueueUrl Attributes ",
	  sqs_set_attributes },
	{ AWS_SQS, OP_EMPTY_ANSWER, "DeleteQueue", " QueueUrl ", sqs_delete_queue },
	{ AWS_SQS, OP_EMPTY_ANSWER, "PurgeQueue", " QueueUrl ", sqs_purge },
	{ AWS_SQS, OP_DUPLICATE, "SendMessage",
	  " QueueUrl MessageBody DelaySeconds MessageAttributes MessageSystemAttributes ",
	  sqs_send },
	{ AWS_SQS, OP_DUPLICATE | OP_BATCH, "SendMessageBatch", " QueueUrl Entries ",
	  sqs_send_batch },
	{ AWS_SQS, OP_DUPLICATE | OP_STALE, "ReceiveMessage",
	  " QueueUrl AttributeNames MessageSystemAttributeNames MessageAttributeNames "
	  "MaxNumberOfMessages VisibilityTimeout WaitTimeSeconds ",
	  sqs_receive },
	{ AWS_SQS, OP_DUPLICATE | OP_EMPTY_ANSWER, "DeleteMessage", " QueueUrl ReceiptHandle ",
	  sqs_delete },
	{ AWS_SQS, OP_DUPLICATE | OP_BATCH, "DeleteMessageBatch", " QueueUrl Entries ",
	  sqs_delete_batch },
	{ AWS_SQS, OP_EMPTY_ANSWER, "ChangeMessageVisibility",
	  " QueueUrl ReceiptHandle VisibilityTimeout ", sqs_change },
	{ AWS_SQS, OP_BATCH, "ChangeMessageVisibilityBatch", " QueueUrl Entries ",
	  sqs_change_batch },

	{ AWS_KINESIS, OP_EMPTY_ANSWER, "CreateStream",
	  " StreamName ShardCount StreamModeDetails Tags ", kinesis_create },
	{ AWS_KINESIS, OP_EMPTY_ANSWER, "DeleteStream", STREAM "EnforceConsumerDeletion ",
	  kinesis_delete },
	{ AWS_KINESIS, 0, "DescribeStreamSummary", STREAM, kinesis_summary },
	{ AWS_KINESIS, 0, "ListStreams", " Limit ExclusiveStartStreamName NextToken ",
	  kinesis_list_streams },
	{ AWS_KINESIS, OP_ITERATOR, "ListShards",
	  STREAM "NextToken MaxResults ExclusiveStartShardId ShardFilter StreamCreationTimestamp ",
	  kinesis_list_shards },
	{ AWS_KINESIS, OP_EMPTY_ANSWER, "SplitShard", STREAM "ShardToSplit NewStartingHashKey ",
	  kinesis_split },
	{ AWS_KINESIS, OP_EMPTY_ANSWER, "MergeShards", STREAM "ShardToMerge AdjacentShardToMerge ",
	  kinesis_merge },
	{ AWS_KINESIS, OP_EMPTY_ANSWER, "IncreaseStreamRetentionPeriod",
	  STREAM "RetentionPeriodHours ", kinesis_set_retention },
	{ AWS_KINESIS, OP_EMPTY_ANSWER, "DecreaseStreamRetentionPeriod",
	  STREAM "RetentionPeriodHours ", kinesis_set_retention },
	{ AWS_KINESIS, 0, "GetShardIterator",
	  STREAM "ShardId ShardIteratorType StartingSequenceNumber Timestamp ", kinesis_iterator },
	{ AWS_KINESIS, OP_ITERATOR | OP_DUPLICATE | OP_STALE, "GetRecords",
	  " ShardIterator Limit StreamARN ", kinesis_get },
	{ AWS_KINESIS, OP_DUPLICATE, "PutRecord",
	  STREAM "Data PartitionKey ExplicitHashKey SequenceNumberForOrdering ", kinesis_put },
	{ AWS_KINESIS, OP_DUPLICATE | OP_BATCH, "PutRecords", STREAM "Records ",
	  kinesis_put_batch },
};
_Static_assert(EV_ARRAY_LEN(ops) <= CLOUD_OPS_MAX, "each operation has its counter");

const struct op *op_find(enum aws_service service, const char *name, size_t *out_index)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(ops); i++) {
		if (ops[i].service == service && ev_str_eqz(ev_str_from(ops[i].name), name)) {
			*out_index = i;
			return &ops[i];
		}
	}
	return NULL;
}

uint64_t cloud_n_calls(const struct cloud *c, enum aws_service service, const char *operation)
{
	uint64_t n = 0;

	for (size_t i = 0; i < EV_ARRAY_LEN(ops); i++) {
		if (ops[i].service == service &&
		    (operation == NULL || ev_str_eqz(ev_str_from(ops[i].name), operation)))
			n += c->n_calls[i];
	}
	return n;
}

/* --- The error's body --- */

static const struct {
	const char *code, *query;
} query_codes[] = {
	{ "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue" },
	{ "QueueNameExists", "QueueAlreadyExists" },
	{ "BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct" },
	{ "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong" },
	{ "EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest" },
	{ "InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId" },
	{ "MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight" },
	{ "TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest" },
	{ "ValidationException", "InvalidParameterValue" },
};

static const char *name_space(enum aws_service service, struct ev_str code)
{
	if (service == AWS_KINESIS)
		return "";
	if (ev_str_eqz(code, "ValidationException"))
		return "com.amazon.coral.validate#";
	if (ev_str_eqz(code, "SerializationException") ||
	    ev_str_eqz(code, "UnknownOperationException") ||
	    ev_str_eqz(code, "AccessDeniedException"))
		return "com.amazon.coral.service#";
	return service == AWS_SQS ? "com.amazonaws.sqs#" : "com.amazonaws.dynamodb.v20120810#";
}

void reply_error(struct cloud *c, enum aws_service service, int status, const char *code,
		 const char *message, struct ev_str extra, struct reply *out)
{
	struct json_writer w = json_writer_over(&c->scratch);
	char type[128];
	struct ev_buf t = ev_buf_over(type, sizeof(type));

	*out = (struct reply){ .status = status, .query_code = service == AWS_SQS ? code : "" };
	for (size_t i = 0; service == AWS_SQS && i < EV_ARRAY_LEN(query_codes); i++) {
		if (ev_str_eqz(ev_str_from(code), query_codes[i].code))
			out->query_code = query_codes[i].query;
	}
	ev_buf_z(&t, name_space(service, ev_str_from(code)));
	ev_buf_z(&t, code);
	c->scratch.len = 0;
	json_write_object(&w);
	json_write_key(&w, "__type");
	json_write_string(&w, ev_buf_str(&t));
	json_write_key(&w, "message");
	json_write_z(&w, message);
	ev_buf_str_add(&c->scratch, extra);
	json_write_object_end(&w);
	out->body = ev_buf_str(&c->scratch);
}

/* --- Doing one --- */

static bool request_run(struct request *r, const struct op *op, struct ev_str body)
{
	struct node *root;

	if (node_parse(&r->pool, body, &root) != EV_OK || root->kind != NODE_OBJECT)
		return refuse(r, "SerializationException", "the request is no JSON object");
	r->body = root;
	return known_keys(r, root, op->keys) && op->fn(r);
}

void service_do(struct cloud *c, const struct op *op, struct ev_str body, enum cloud_fault fault,
		bool may_park, struct reply *out)
{
	struct request r = { .cloud = c, .fault = fault, .may_park = may_park };

	c->scratch.len = 0;
	r.w = json_writer_over(&c->scratch);
	if (request_run(&r, op, body)) {
		*out = (struct reply){ .status = 200,
				       .park_ns = r.park_ns,
				       .park_queue = r.park_queue,
				       .query_code = "" };
		if ((op->flags & OP_EMPTY_ANSWER) == 0)
			out->body = ev_buf_str(&c->scratch);
	} else {
		reply_error(c, op->service, r.status, r.code, r.message, r.extra, out);
	}
	if (c->scratch.overflow)
		abort(); /* larger than any answer of AWS */
	if (op->service == AWS_SQS && r.park_ns == 0)
		c->bill.sqs_requests += r.sqs_bytes <= 65536 ? 1 : (r.sqs_bytes + 65535) / 65536;
	pool_clear(&r.pool);
}
