/* test/cloud/provision.c — the product's tables, queues and streams. */
#include <stdio.h>
#include <stdlib.h>

#include "cloud/internal.h"

#define TABLE                                                                                      \
	"{\"TableName\":\"%s\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":"      \
	"[{\"AttributeName\":\"%s\",\"AttributeType\":\"S\"}%s],\"KeySchema\":"                    \
	"[{\"AttributeName\":\"%s\",\"KeyType\":\"HASH\"}%s]%s}"
#define DEFINITION ",{\"AttributeName\":\"%s\",\"AttributeType\":\"S\"}"
#define RANGE ",{\"AttributeName\":\"%s\",\"KeyType\":\"RANGE\"}"
#define INDEX                                                                                      \
	",\"GlobalSecondaryIndexes\":[{\"IndexName\":\"%s\",\"KeySchema\":"                        \
	"[{\"AttributeName\":\"%s\",\"KeyType\":\"HASH\"}%s],\"Projection\":%s}]"

static void must(struct cloud *c, enum aws_service service, const char *operation, const char *body)
{
	if (cloud_do(c, service, operation, body, NULL) != EV_OK)
		abort();
}

/* A table with a hash, without an index or with one by another hash. */
static void make_table(struct cloud *c, const char *name, const char *hash, const char *index,
		       const char *index_hash, const char *projection)
{
	char definition[200] = "", by[1000] = "", body[2000];

	if (index != NULL) {
		(void)snprintf(definition, sizeof(definition), DEFINITION, index_hash);
		(void)snprintf(by, sizeof(by), INDEX, index, index_hash, "", projection);
	}
	(void)snprintf(body, sizeof(body), TABLE, name, hash, definition, hash, "", by);
	must(c, AWS_DYNAMODB, "CreateTable", body);
}

static void make_items(struct cloud *c, const struct aws_resources *r)
{
	char definitions[400], range[100], index_range[100], by[1000], body[2000];

	(void)snprintf(definitions, sizeof(definitions), DEFINITION DEFINITION DEFINITION,
		       AWS_ITEM_SK, AWS_ITEM_INDEX_PK, AWS_ITEM_INDEX_SK);
	(void)snprintf(range, sizeof(range), RANGE, AWS_ITEM_SK);
	(void)snprintf(index_range, sizeof(index_range), RANGE, AWS_ITEM_INDEX_SK);
	(void)snprintf(by, sizeof(by), INDEX, r->items_index, AWS_ITEM_INDEX_PK, index_range,
		       "{\"ProjectionType\":\"ALL\"}");
	(void)snprintf(body, sizeof(body), TABLE, r->items, AWS_ITEM_PK, definitions, AWS_ITEM_PK,
		       range, by);
	must(c, AWS_DYNAMODB, "CreateTable", body);
	(void)snprintf(body, sizeof(body),
		       "{\"TableName\":\"%s\",\"TimeToLiveSpecification\":"
		       "{\"AttributeName\":\"" AWS_ITEM_EXPIRES "\",\"Enabled\":true}}",
		       r->items);
	must(c, AWS_DYNAMODB, "UpdateTimeToLive", body);
}

static void make_queues(struct cloud *c, const char *name, const char *dead)
{
	char body[1000];

	(void)snprintf(body, sizeof(body),
		       "{\"QueueName\":\"%s\",\"Attributes\":"
		       "{\"MessageRetentionPeriod\":\"1209600\"}}",
		       dead);
	must(c, AWS_SQS, "CreateQueue", body);
	(void)snprintf(body, sizeof(body),
		       "{\"QueueName\":\"%s\",\"Attributes\":{\"VisibilityTimeout\":\"30\","
		       "\"MessageRetentionPeriod\":\"1209600\","
		       "\"ReceiveMessageWaitTimeSeconds\":\"10\",\"RedrivePolicy\":"
		       "\"{\\\"deadLetterTargetArn\\\":\\\"arn:aws:sqs:" CLOUD_REGION
		       ":" CLOUD_ACCOUNT ":%s\\\",\\\"maxReceiveCount\\\":1000}\"}}",
		       name, dead);
	must(c, AWS_SQS, "CreateQueue", body);
}

static void make_stream(struct cloud *c, const char *name, unsigned shards)
{
	char body[400];

	(void)snprintf(body, sizeof(body), "{\"StreamName\":\"%s\",\"ShardCount\":%u}", name,
		       shards);
	must(c, AWS_KINESIS, "CreateStream", body);
}

void cloud_provision(struct cloud *c, const struct aws_resources *r)
{
	make_table(c, r->outlet_leases, "leaseKey", NULL, NULL, NULL);
	make_table(c, r->app_leases, "leaseKey", NULL, NULL, NULL);
	make_table(c, r->outlets, "outletId", NULL, NULL, NULL);
	make_table(c, r->customers, "customerId", r->customers_by_tag, "rfidTag",
		   "{\"ProjectionType\":\"INCLUDE\",\"NonKeyAttributes\":[\"customerId\"]}");
	make_table(c, r->sessions, "sessionId", r->sessions_by_customer, "customerId",
		   "{\"ProjectionType\":\"INCLUDE\",\"NonKeyAttributes\":[\"outletId\","
		   "\"outletState\",\"startTime\",\"sessionId\"]}");
	make_items(c, r);
	make_queues(c, r->messages_in, r->messages_in_dead);
	make_queues(c, r->commands_out, r->commands_out_dead);
	make_stream(c, r->event_stream, 4);
	make_stream(c, r->dead_letter_stream, 1);
}
