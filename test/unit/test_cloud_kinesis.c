/* test_cloud_kinesis.c — Kinesis in memory: routing, iterators, resharding, expiry. */
#include <stdio.h>
#include <string.h>

#include "cloud_fixture.h"

#define STREAM "'StreamName':'s'"
#define SHARD(n) "shardId-00000000000" n
#define NO_STREAM "ResourceNotFoundException"

static int open_stream(void **state)
{
	static struct kit k;

	kit_open(&k, NULL);
	kit_do(&k, 'k', "CreateStream", "{" STREAM ",'ShardCount':2}");
	*state = &k;
	return 0;
}

static int close_stream(void **state)
{
	kit_close(*state);
	return 0;
}

static void put(struct kit *k, const char *key, const char *data)
{
	kit_do(k, 'k', "PutRecord",
	       kit_text("{" STREAM ",'PartitionKey':'%s','Data':'%s'}", key, data));
}

static void iterate(struct kit *k, const char *shard, const char *rest, char out[400])
{
	kit_do(k, 'k', "GetShardIterator", kit_text("{" STREAM ",'ShardId':'%s',%s}", shard, rest));
	snprintf(out, 400, "%s", kit_take(k, "ShardIterator"));
}

/* How many records come; out becomes the next iterator, or empty. */
static size_t get(struct kit *k, char iterator[400], int limit)
{
	size_t n = 0;

	kit_do(k, 'k', "GetRecords",
	       kit_text("{'ShardIterator':'%s','Limit':%d}", iterator, limit));
	for (const char *p = k->answer; (p = strstr(p, "'Data'")) != NULL; p++)
		n++;
	iterator[0] = '\0';
	if (strstr(k->answer, "'NextShardIterator':'") != NULL)
		snprintf(iterator, 400, "%s", kit_take(k, "NextShardIterator"));
	return n;
}

static size_t count_from(struct kit *k, const char *shard, const char *rest)
{
	char iterator[400];

	iterate(k, shard, rest, iterator);
	return get(k, iterator, 100);
}

#define ALL "'ShardIteratorType':'TRIM_HORIZON'"

static void streams_are_made_and_described(void **state)
{
	static const struct kit_step steps[] = {
		{ 'k', "CreateStream", "{" STREAM ",'ShardCount':2}", "ResourceInUseException",
		  NULL, NULL },
		{ 'k', "DescribeStreamSummary", "{" STREAM "}", "",
		  "'OpenShardCount':2,'ConsumerCount':0}}", NULL },
		{ 'k', "DescribeStreamSummary",
		  "{'StreamARN':'arn:aws:kinesis:eu-west-1:123456789012:stream/s'}", "",
		  "'StreamStatus':'ACTIVE'", NULL },
		{ 'k', "DescribeStreamSummary", "{'StreamName':'none'}", NO_STREAM, NULL, NULL },
		{ 'k', "ListShards", "{" STREAM "}", "",
		  "{'Shards':[{'ShardId':'" SHARD(
			  "0") "','HashKeyRange':{'StartingHashKey':'0',"
			       "'EndingHashKey':'170141183460469231731687303715884105726'}",
		  "NextToken" },
		{ 'k', "ListShards", "{" STREAM "}", "",
		  "'EndingHashKey':'340282366920938463463374607431768211455'}", NULL },
		{ 'k', "CreateStream", "{'StreamName':'t'}", "ValidationException", NULL, NULL },
		{ 'k', "CreateStream",
		  "{'StreamName':'t','StreamModeDetails':{'StreamMode':'ON_DEMAND'}}", "", "",
		  "{" },
		{ 'k', "DeleteStream", "{'StreamName':'t'}", "", "", "{" },
	};

	kit_steps(*state, steps, EV_ARRAY_LEN(steps));
}

/* The MD5 of a is 0cc1…, that of e is e167…. */
static void a_key_chooses_its_shard(void **state)
{
	static const struct kit_step steps[] = {
		{ 'k', "PutRecord", "{" STREAM ",'PartitionKey':'a','Data':'AQID'}", "", SHARD("0"),
		  NULL },
		{ 'k', "PutRecord", "{" STREAM ",'PartitionKey':'e','Data':'AQID'}", "", SHARD("1"),
		  NULL },
		{ 'k', "PutRecord",
		  "{" STREAM ",'PartitionKey':'e','Data':'AQID','ExplicitHashKey':'0'}", "",
		  SHARD("0"), NULL },
		{ 'k', "PutRecord", "{" STREAM ",'PartitionKey':'','Data':'AQID'}",
		  "ValidationException", NULL, NULL },
		{ 'k', "PutRecord", "{" STREAM ",'PartitionKey':'a','Data':'AQI'}",
		  "SerializationException", NULL, NULL },
		{ 'k', "PutRecord",
		  "{" STREAM ",'PartitionKey':'a','Data':'AQID','ExplicitHashKey':"
		  "'340282366920938463463374607431768211456'}",
		  "InvalidArgumentException", NULL, NULL },
		{ 'k', "PutRecords",
		  "{" STREAM ",'Records':[{'PartitionKey':'a','Data':'AQID'},{'PartitionKey':'e',"
		  "'Data':''}]}",
		  "", "'FailedRecordCount':0}", "ErrorCode" },
		{ 'k', "PutRecords", "{" STREAM ",'Records':[]}", "ValidationException", NULL,
		  NULL },
	};
	struct kit *k = *state;

	kit_steps(k, steps, EV_ARRAY_LEN(steps));
	assert_int_equal(count_from(k, SHARD("0"), ALL), 3);
	assert_int_equal(count_from(k, SHARD("1"), ALL), 2);
	assert_int_equal(cloud_bill(k->cloud).kinesis_records, 5);
	assert_int_equal(cloud_bill(k->cloud).kinesis_put_units, 5);
}

static void iterators_start_where_they_say(void **state)
{
	struct kit *k = *state;
	char second[100], iterator[400], latest[400];

	put(k, "a", "AAAA");
	ev_clock_manual_advance(&k->clock, EV_NS_PER_S);
	put(k, "a", "AAAB");
	snprintf(second, sizeof(second), "%s", kit_take(k, "SequenceNumber"));
	ev_clock_manual_advance(&k->clock, EV_NS_PER_S);
	iterate(k, SHARD("0"), "'ShardIteratorType':'LATEST'", latest);
	put(k, "a", "AAAC");
	assert_int_equal(count_from(k, SHARD("0"), ALL), 3);
	assert_int_equal(count_from(k, SHARD("0"),
				    kit_text("'ShardIteratorType':'AT_SEQUENCE_NUMBER',"
					     "'StartingSequenceNumber':'%s'",
					     second)),
			 2);
	assert_non_null(strstr(k->answer, "'Data':'AAAB'"));
	assert_non_null(strstr(k->answer, "'MillisBehindLatest':0"));
	assert_int_equal(count_from(k, SHARD("0"),
				    kit_text("'ShardIteratorType':'AFTER_SEQUENCE_NUMBER',"
					     "'StartingSequenceNumber':'%s'",
					     second)),
			 1);
	assert_int_equal(count_from(k, SHARD("0"),
				    "'ShardIteratorType':'AT_TIMESTAMP','Timestamp':1.700000001E9"),
			 2);
	assert_int_equal(get(k, latest, 10), 1);
	assert_non_null(strstr(k->answer, "'Data':'AAAC'"));
	assert_int_equal(get(k, latest, 10), 0);
	iterate(k, SHARD("0"), ALL, iterator);
	assert_int_equal(get(k, iterator, 1), 1);
	assert_null(strstr(k->answer, "'MillisBehindLatest':0"));
	assert_int_equal(get(k, iterator, 1), 1);
	assert_int_equal(get(k, iterator, 1), 1);
	assert_int_equal(get(k, iterator, 1), 0);
	assert_string_equal(kit_call(k, 'k', "GetShardIterator",
				     "{" STREAM ",'ShardId':'" SHARD(
					     "0") "',"
						  "'ShardIteratorType':'AT_SEQUENCE_NUMBER',"
						  "'StartingSequenceNumber':'7'}"),
			    "InvalidArgumentException");
	assert_string_equal(kit_call(k, 'k', "GetShardIterator",
				     "{" STREAM ",'ShardId':'" SHARD("7") "'," ALL "}"),
			    NO_STREAM);
	assert_string_equal(kit_call(k, 'k', "GetRecords", "{'ShardIterator':'nonsense'}"),
			    "InvalidArgumentException");
}

static void iterators_expire_after_five_minutes(void **state)
{
	struct kit *k = *state;
	char iterator[400];

	iterate(k, SHARD("0"), ALL, iterator);
	ev_clock_manual_advance(&k->clock, 300 * EV_NS_PER_S);
	assert_int_equal(get(k, iterator, 10), 0); /* the next one is new */
	ev_clock_manual_advance(&k->clock, 301 * EV_NS_PER_S);
	assert_string_equal(
		kit_call(k, 'k', "GetRecords", kit_text("{'ShardIterator':'%s'}", iterator)),
		"ExpiredIteratorException");
}

static void records_end_with_the_retention(void **state)
{
	struct kit *k = *state;

	put(k, "a", "AAAA");
	ev_clock_manual_advance(&k->clock, 24 * EV_NS_PER_HOUR);
	put(k, "a", "AAAA");
	assert_int_equal(count_from(k, SHARD("0"), ALL), 2);
	ev_clock_manual_advance(&k->clock, 1);
	assert_int_equal(count_from(k, SHARD("0"), ALL), 1);
	assert_int_equal(cloud_n_records(k->cloud, "s"), 1);
	kit_do(k, 'k', "IncreaseStreamRetentionPeriod", "{" STREAM ",'RetentionPeriodHours':48}");
	assert_int_equal(count_from(k, SHARD("0"), ALL), 2);
}

static void a_split_shard_ends_and_has_children(void **state)
{
	struct kit *k = *state;
	char iterator[400];

	put(k, "a", "AAAA");
	iterate(k, SHARD("0"), ALL, iterator);
	assert_string_equal(kit_call(k, 'k', "SplitShard",
				     "{" STREAM
				     ",'ShardToSplit':'" SHARD("0") "',"
								    "'NewStartingHashKey':'0'}"),
			    "InvalidArgumentException");
	kit_do(k, 'k', "SplitShard",
	       "{" STREAM ",'ShardToSplit':'" SHARD("0") "','NewStartingHashKey':'1000'}");
	put(k, "a", "AAAB"); /* goes to a child */
	assert_non_null(strstr(k->answer, SHARD("3")));
	assert_int_equal(get(k, iterator, 10), 1);
	assert_string_equal(iterator, "");
	assert_non_null(
		strstr(k->answer,
		       "'ChildShards':[{'ShardId':'" SHARD(
			       "2") "',"
				    "'ParentShards':['" SHARD(
					    "0") "'],'HashKeyRange':"
						 "{'StartingHashKey':'0','EndingHashKey':'999'}}"));
	kit_do(k, 'k', "ListShards", "{" STREAM ",'ShardFilter':{'Type':'AT_LATEST'}}");
	assert_null(strstr(k->answer, "'ShardId':'" SHARD("0")));
	assert_non_null(
		strstr(k->answer, "'ShardId':'" SHARD("3") "','ParentShardId':'" SHARD("0") "'"));
	kit_do(k, 'k', "ListShards", "{" STREAM "}");
	assert_non_null(strstr(k->answer, "EndingSequenceNumber"));
	assert_string_equal(kit_call(k, 'k', "SplitShard",
				     "{" STREAM
				     ",'ShardToSplit':'" SHARD("0") "',"
								    "'NewStartingHashKey':'1000'}"),
			    "ResourceInUseException");
	/* A closed shard goes with its last records. */
	ev_clock_manual_advance(&k->clock, 24 * EV_NS_PER_HOUR + 1);
	kit_do(k, 'k', "ListShards", "{" STREAM "}");
	assert_null(strstr(k->answer, "EndingSequenceNumber"));
}

static void merged_shards_have_one_child(void **state)
{
	static const struct kit_step steps[] = {
		{ 'k', "MergeShards",
		  "{" STREAM
		  ",'ShardToMerge':'" SHARD("0") "','AdjacentShardToMerge':'" SHARD("0") "'}",
		  "InvalidArgumentException", NULL, NULL },
		{ 'k', "MergeShards",
		  "{" STREAM
		  ",'ShardToMerge':'" SHARD("0") "','AdjacentShardToMerge':'" SHARD("1") "'}",
		  "", "", NULL },
		{ 'k', "ListShards", "{" STREAM ",'ExclusiveStartShardId':'" SHARD("1") "'}", "",
		  "'ParentShardId':'" SHARD("0") "','AdjacentParentShardId':'" SHARD(
			  "1") "',"
			       "'HashKeyRange':{'StartingHashKey':'0','EndingHashKey':"
			       "'340282366920938463463374607431768211455'}",
		  "'ShardId':'" SHARD("1") },
	};

	kit_steps(*state, steps, EV_ARRAY_LEN(steps));
}

static void shards_are_listed_by_pages(void **state)
{
	struct kit *k = *state;

	kit_do(k, 'k', "ListShards", "{" STREAM ",'MaxResults':1}");
	assert_non_null(strstr(k->answer, SHARD("0")));
	assert_null(strstr(k->answer, SHARD("1")));
	kit_do(k, 'k', "ListShards", kit_text("{'NextToken':'%s'}", kit_take(k, "NextToken")));
	assert_non_null(strstr(k->answer, SHARD("1")));
	assert_null(strstr(k->answer, "NextToken"));
	kit_do(k, 'k', "ListShards", "{" STREAM ",'MaxResults':1}");
	kit_take(k, "NextToken");
	assert_string_equal(
		kit_call(k, 'k', "ListShards", kit_text("{" STREAM ",'NextToken':'%s'}", k->found)),
		"InvalidArgumentException");
	ev_clock_manual_advance(&k->clock, 301 * EV_NS_PER_S);
	assert_string_equal(
		kit_call(k, 'k', "ListShards", kit_text("{'NextToken':'%s'}", k->found)),
		"ExpiredNextTokenException");
}

static void see_record(void *user, const struct cloud_record *r)
{
	assert_int_equal(r->data.n, 3);
	assert_memory_equal(r->data.p, "\1\2\3", 3);
	assert_string_equal(r->shard.p, SHARD("0"));
	assert_true(ev_str_eqz(r->partition_key, "a"));
	assert_int_equal(r->sequence.n, 56);
	++*(int *)user;
}

static void records_can_be_visited(void **state)
{
	struct kit *k = *state;
	int n = 0;

	put(k, "a", "AQID");
	assert_int_equal(cloud_each_record(k->cloud, "s", see_record, &n), EV_OK);
	assert_int_equal(n, 1);
	assert_int_equal(cloud_each_record(k->cloud, "none", see_record, &n), EV_NOTFOUND);
}

int main(void)
{
#define WITH_STREAM(test) cmocka_unit_test_setup_teardown(test, open_stream, close_stream)
	const struct CMUnitTest tests[] = {
		WITH_STREAM(streams_are_made_and_described),
		WITH_STREAM(a_key_chooses_its_shard),
		WITH_STREAM(iterators_start_where_they_say),
		WITH_STREAM(iterators_expire_after_five_minutes),
		WITH_STREAM(records_end_with_the_retention),
		WITH_STREAM(a_split_shard_ends_and_has_children),
		WITH_STREAM(merged_shards_have_one_child),
		WITH_STREAM(shards_are_listed_by_pages),
		WITH_STREAM(records_can_be_visited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
