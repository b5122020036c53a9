/* test_aws_provision.c — what is wanted of AWS, and what its answers mean for that. */
#include "engine/aws/provision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/buf.h"
#include "engine/aws/provision_spec.h"

struct setup {
	struct aws_resources names;
	struct provision_plan plan;
};

static int set_up(void **state)
{
	struct setup *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	assert_int_equal(aws_resources_init(&s->names, EV_LIT("t_")), EV_OK);
	provision_plan_init(&s->plan, &s->names);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static struct provision_resource *resource(struct setup *s, const char *name)
{
	size_t i = 0;

	while (i < s->plan.n && strcmp(s->plan.items[i].name, name) != 0)
		i++;
	assert_true(i < s->plan.n);
	return &s->plan.items[i];
}

static void plans_every_resource_once(void **state)
{
	struct setup *s = *state;
	const char *const names[] = {
		s->names.messages_in,  s->names.messages_in_dead,   s->names.commands_out,
		s->names.event_stream, s->names.commands_out_dead,  s->names.outlet_leases,
		s->names.app_leases,   s->names.dead_letter_stream, s->names.customers,
		s->names.outlets,      s->names.sessions,           s->names.items,
	};

	assert_int_equal(s->plan.n, EV_ARRAY_LEN(names));
	for (size_t i = 0; i < EV_ARRAY_LEN(names); i++) {
		struct provision_resource *r = resource(s, names[i]);

		assert_int_equal(provision_action(r), PROVISION_CREATE);
		assert_ptr_equal(r->name, names[i]);
	}
	assert_int_equal(provision_count(&s->plan, PROVISION_CREATE), s->plan.n);
}

static void creates_dead_letter_queues_first(void **state)
{
	struct setup *s = *state;
	struct provision_resource *in = resource(s, s->names.messages_in);
	struct provision_resource *out = resource(s, s->names.commands_out);

	assert_string_equal(provision_dead_letters_of(&s->plan, in)->name,
			    s->names.messages_in_dead);
	assert_string_equal(provision_dead_letters_of(&s->plan, out)->name,
			    s->names.commands_out_dead);
	assert_true(provision_dead_letters_of(&s->plan, in) < in);
	assert_true(provision_dead_letters_of(&s->plan, out) < out);
	assert_null(provision_dead_letters_of(&s->plan, resource(s, s->names.messages_in_dead)));
	assert_null(provision_dead_letters_of(&s->plan, resource(s, s->names.event_stream)));
}

/* --- What is asked for --- */

static const struct {
	const char *name, *body;
} bodies[] = {
	{ "t_device-to-outlet-backend_dead-letters_queue",
	  "{\"QueueName\":\"t_device-to-outlet-backend_dead-letters_queue\","
	  "\"Attributes\":{\"MessageRetentionPeriod\":\"1209600\"}}" },
	{ "t_outlet-backend-to-device_queue",
	  "{\"QueueName\":\"t_outlet-backend-to-device_queue\","
	  "\"Attributes\":{\"MessageRetentionPeriod\":\"1209600\",\"VisibilityTimeout\":\"30\","
	  "\"ReceiveMessageWaitTimeSeconds\":\"10\",\"RedrivePolicy\":"
	  "\"{\\\"deadLetterTargetArn\\\":\\\"arn:x:y\\\","
	  "\\\"maxReceiveCount\\\":\\\"1000\\\"}\"}}" },
	{ "t_charging-events_stream",
	  "{\"StreamName\":\"t_charging-events_stream\",\"ShardCount\":4}" },
	{ "t_charging-events-dead-letters_stream",
	  "{\"StreamName\":\"t_charging-events-dead-letters_stream\",\"ShardCount\":1}" },
	{ "t_charging-event-checkpoints-app-backend_table",
	  "{\"TableName\":\"t_charging-event-checkpoints-app-backend_table\","
	  "\"AttributeDefinitions\":[{\"AttributeName\":\"leaseKey\",\"AttributeType\":\"S\"}],"
	  "\"KeySchema\":[{\"AttributeName\":\"leaseKey\",\"KeyType\":\"HASH\"}],"
	  "\"BillingMode\":\"PROVISIONED\",\"ProvisionedThroughput\":"
	  "{\"ReadCapacityUnits\":4,\"WriteCapacityUnits\":4}}" },
	{ "t_charger-outlet_table",
	  "{\"TableName\":\"t_charger-outlet_table\","
	  "\"AttributeDefinitions\":[{\"AttributeName\":\"outletId\",\"AttributeType\":\"S\"}],"
	  "\"KeySchema\":[{\"AttributeName\":\"outletId\",\"KeyType\":\"HASH\"}],"
	  "\"BillingMode\":\"PAY_PER_REQUEST\"}" },
	{ "t_charging-session_table",
	  "{\"TableName\":\"t_charging-session_table\",\"AttributeDefinitions\":["
	  "{\"AttributeName\":\"sessionId\",\"AttributeType\":\"S\"},"
	  "{\"AttributeName\":\"customerId\",\"AttributeType\":\"S\"}],"
	  "\"KeySchema\":[{\"AttributeName\":\"sessionId\",\"KeyType\":\"HASH\"}],"
	  "\"GlobalSecondaryIndexes\":[{\"IndexName\":\"t_active-charging-sessions_index\","
	  "\"KeySchema\":[{\"AttributeName\":\"customerId\",\"KeyType\":\"HASH\"}],"
	  "\"Projection\":{\"ProjectionType\":\"INCLUDE\",\"NonKeyAttributes\":["
	  "\"outletId\",\"outletState\",\"sessionId\",\"startTime\"]}}],"
	  "\"BillingMode\":\"PAY_PER_REQUEST\"}" },
	{ "t_evcharge-items_table",
	  "{\"TableName\":\"t_evcharge-items_table\",\"AttributeDefinitions\":["
	  "{\"AttributeName\":\"pk\",\"AttributeType\":\"S\"},"
	  "{\"AttributeName\":\"sk\",\"AttributeType\":\"S\"},"
	  "{\"AttributeName\":\"gpk\",\"AttributeType\":\"S\"},"
	  "{\"AttributeName\":\"gsk\",\"AttributeType\":\"S\"}],"
	  "\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"},"
	  "{\"AttributeName\":\"sk\",\"KeyType\":\"RANGE\"}],"
	  "\"GlobalSecondaryIndexes\":[{\"IndexName\":\"t_evcharge-items_index\","
	  "\"KeySchema\":[{\"AttributeName\":\"gpk\",\"KeyType\":\"HASH\"},"
	  "{\"AttributeName\":\"gsk\",\"KeyType\":\"RANGE\"}],"
	  "\"Projection\":{\"ProjectionType\":\"ALL\"}}],"
	  "\"BillingMode\":\"PAY_PER_REQUEST\"}" },
};

static void asks_for_what_is_wanted(void **state)
{
	char out[PROVISION_BODY_MAX];

	for (size_t i = 0; i < EV_ARRAY_LEN(bodies); i++) {
		struct provision_resource *r = resource(*state, bodies[i].name);
		struct ev_str body = provision_create_body(r, "arn:x:y", out);

		assert_int_equal(body.n, strlen(bodies[i].body));
		assert_memory_equal(body.p, bodies[i].body, body.n);
	}
}

static void a_longest_prefix_fits_into_every_body_and_value(void **state)
{
	struct setup *s = *state;
	char arn[PROVISION_URL_MAX], out[PROVISION_BODY_MAX];

	memset(arn, 'a', sizeof(arn) - 1);
	arn[sizeof(arn) - 1] = '\0';
	assert_int_equal(aws_resources_init(&s->names, EV_LIT("abcdefghijklmnopqrstuvwx")), EV_OK);
	provision_plan_init(&s->plan, &s->names);
	for (size_t i = 0; i < s->plan.n; i++) {
		struct provision_resource *r = &s->plan.items[i];
		struct ev_str body = provision_create_body(r, arn, out);

		assert_true(body.n < PROVISION_BODY_MAX && body.p[body.n - 1] == '}');
		for (size_t k = 0; k < r->n_settings; k++)
			assert_true(r->settings[k].wanted[0] != '\0');
	}
}

/* --- What is answered --- */

#define QUEUE(attributes) "{\"Attributes\":{" attributes "}}"
#define SETTINGS "\"VisibilityTimeout\":\"30\",\"ReceiveMessageWaitTimeSeconds\":\"10\","
#define REDRIVE(arn, n)                                                                            \
	"\"RedrivePolicy\":\"{\\\"maxReceiveCount\\\":" n ",\\\"deadLetterTargetArn\\\":\\\"" arn  \
	"\\\"}\""
#define DEAD "arn:aws:sqs:eu-west-1:123456789012:t_device-to-outlet-backend_dead-letters_queue"
#define STREAM(status, shards, hours)                                                              \
	"{\"StreamDescriptionSummary\":{\"StreamName\":\"x\",\"StreamStatus\":\"" status           \
	"\",\"OpenShardCount\":" shards ",\"RetentionPeriodHours\":" hours "}}"
#define TABLE(status, definitions, key, rest)                                                      \
	"{\"Table\":{\"AttributeDefinitions\":[" definitions "],\"KeySchema\":[" key               \
	"],\"TableStatus\":\"" status "\"" rest "}}"
#define STRING(name) "{\"AttributeName\":\"" name "\",\"AttributeType\":\"S\"}"
#define HASH(name) "{\"AttributeName\":\"" name "\",\"KeyType\":\"HASH\"}"
#define RANGE(name) "{\"AttributeName\":\"" name "\",\"KeyType\":\"RANGE\"}"
#define ON_DEMAND                                                                                  \
	",\"BillingModeSummary\":{\"BillingMode\":\"PAY_PER_REQUEST\"},"                           \
	"\"ProvisionedThroughput\":{\"ReadCapacityUnits\":0,\"WriteCapacityUnits\":0}"
#define INDEX(name, projection)                                                                    \
	",\"GlobalSecondaryIndexes\":[{\"IndexName\":\"other\"},{\"IndexName\":\"" name            \
	"\",\"KeySchema\":[" HASH("customerId") "],\"Projection\":{" projection "}}]"
#define SESSIONS(index)                                                                            \
	TABLE("ACTIVE", STRING("customerId") "," STRING("sessionId"), HASH("sessionId"),           \
	      ON_DEMAND index)
#define INCLUDE "\"ProjectionType\":\"INCLUDE\",\"NonKeyAttributes\":"

typedef ev_err (*read_fn)(struct provision_resource *r, struct ev_str answer);

static const struct {
	const char *name;
	read_fn read;
	const char *answer;
	enum provision_action action;
	const char *setting, *found; /* NULL: not looked at */
} answers[] = {
	{ "t_device-to-outlet-backend_queue", provision_read_queue,
	  QUEUE("\"MessageRetentionPeriod\":\"1209600\"," SETTINGS REDRIVE(DEAD, "1000")),
	  PROVISION_NOTHING, PROVISION_DEAD_LETTERS,
	  "t_device-to-outlet-backend_dead-letters_queue" },
	{ "t_device-to-outlet-backend_queue", provision_read_queue,
	  QUEUE("\"MessageRetentionPeriod\":\"1209600\"," SETTINGS REDRIVE(DEAD, "\\\"1000\\\"")),
	  PROVISION_NOTHING, PROVISION_MAX_RECEIVES, "1000" },
	{ "t_device-to-outlet-backend_queue", provision_read_queue,
	  QUEUE("\"MessageRetentionPeriod\":\"86400\"," SETTINGS REDRIVE(DEAD, "1000")),
	  PROVISION_DIFFERS, PROVISION_RETENTION, "86400" },
	{ "t_device-to-outlet-backend_queue", provision_read_queue,
	  QUEUE("\"MessageRetentionPeriod\":\"1209600\"," SETTINGS REDRIVE(DEAD, "3")),
	  PROVISION_DIFFERS, PROVISION_MAX_RECEIVES, "3" },
	{ "t_device-to-outlet-backend_queue", provision_read_queue,
	  QUEUE("\"MessageRetentionPeriod\":\"1209600\"," SETTINGS REDRIVE("arn:x", "1000")),
	  PROVISION_DIFFERS, PROVISION_DEAD_LETTERS, "x" },
	{ "t_device-to-outlet-backend_queue", provision_read_queue,
	  QUEUE("\"MessageRetentionPeriod\":\"1209600\",\"VisibilityTimeout\":\"30\","
		"\"ReceiveMessageWaitTimeSeconds\":\"10\""),
	  PROVISION_DIFFERS, PROVISION_DEAD_LETTERS, "" },
	{ "t_device-to-outlet-backend_dead-letters_queue", provision_read_queue,
	  QUEUE("\"MessageRetentionPeriod\":\"1209600\",\"VisibilityTimeout\":\"5\""),
	  PROVISION_NOTHING, NULL, NULL },
	{ "t_charging-events_stream", provision_read_stream, STREAM("ACTIVE", "4", "24"),
	  PROVISION_NOTHING, PROVISION_SHARDS, "4" },
	{ "t_charging-events_stream", provision_read_stream, STREAM("UPDATING", "8", "168"),
	  PROVISION_NOTHING, PROVISION_HOURS, "168" },
	{ "t_charging-events_stream", provision_read_stream, STREAM("ACTIVE", "3", "24"),
	  PROVISION_DIFFERS, PROVISION_SHARDS, "3" },
	{ "t_charging-events_stream", provision_read_stream, STREAM("CREATING", "0", "24"),
	  PROVISION_WAIT, NULL, NULL },
	{ "t_charging-events_stream", provision_read_stream, STREAM("DELETING", "4", "24"),
	  PROVISION_STUCK, NULL, NULL },
	{ "t_charger-outlet_table", provision_read_table,
	  TABLE("ACTIVE", STRING("outletId"), HASH("outletId"), ON_DEMAND), PROVISION_NOTHING,
	  PROVISION_CAPACITY, "on demand" },
	{ "t_charger-outlet_table", provision_read_table,
	  TABLE("UPDATING", STRING("outletId"), HASH("outletId"),
		",\"ProvisionedThroughput\":{\"ReadCapacityUnits\":100,\"WriteCapacityUnits\":90}"),
	  PROVISION_NOTHING, PROVISION_CAPACITY, "100 read, 90 write" },
	{ "t_charger-outlet_table", provision_read_table,
	  TABLE("CREATING", STRING("outletId"), HASH("outletId"), ""), PROVISION_WAIT, NULL, NULL },
	{ "t_charger-outlet_table", provision_read_table,
	  TABLE("DELETING", STRING("outletId"), HASH("outletId"), ""), PROVISION_STUCK, NULL,
	  NULL },
	{ "t_charger-outlet_table", provision_read_table,
	  TABLE("ACTIVE", STRING("id") "," STRING("s"), HASH("id") "," RANGE("s"), ""),
	  PROVISION_DIFFERS, PROVISION_KEY, "id S, s S" },
	{ "t_charger-outlet_table", provision_read_table,
	  TABLE("ACTIVE", "{\"AttributeName\":\"outletId\",\"AttributeType\":\"B\"}",
		HASH("outletId"), ""),
	  PROVISION_DIFFERS, PROVISION_KEY, "outletId B" },
	{ "t_charging-session_table", provision_read_table,
	  SESSIONS(INDEX("t_active-charging-sessions_index",
			 INCLUDE "[\"startTime\",\"outletState\",\"outletId\",\"sessionId\"]")),
	  PROVISION_NOTHING, PROVISION_INDEX,
	  "t_active-charging-sessions_index (customerId S) INCLUDE outletId, outletState, "
	  "sessionId, startTime" },
	{ "t_charging-session_table", provision_read_table,
	  SESSIONS(INDEX("t_active-charging-sessions_index", INCLUDE "[\"outletId\"]")),
	  PROVISION_DIFFERS, PROVISION_INDEX,
	  "t_active-charging-sessions_index (customerId S) INCLUDE outletId" },
	{ "t_charging-session_table", provision_read_table,
	  SESSIONS(INDEX("t_active-charging-sessions_index", "\"ProjectionType\":\"ALL\"")),
	  PROVISION_DIFFERS, PROVISION_INDEX,
	  "t_active-charging-sessions_index (customerId S) ALL" },
	{ "t_charging-session_table", provision_read_table,
	  SESSIONS(INDEX("t_another_index", "\"ProjectionType\":\"ALL\"")), PROVISION_DIFFERS,
	  PROVISION_INDEX, "" },
	{ "t_charging-session_table", provision_read_table,
	  SESSIONS(",\"GlobalSecondaryIndexes\":null"), PROVISION_DIFFERS, PROVISION_INDEX, "" },
};

static void reads_what_is_there(void **state)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(answers); i++) {
		struct provision_resource *r = resource(*state, answers[i].name);
		struct ev_str answer = ev_str_from(answers[i].answer);

		assert_int_equal(answers[i].read(r, answer), EV_OK);
		assert_int_equal(provision_action(r), answers[i].action);
		if (answers[i].setting != NULL)
			assert_string_equal(provision_setting_of(r, answers[i].setting)->found,
					    answers[i].found);
	}
}

static void refuses_an_answer_that_is_cut_anywhere(void **state)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(answers); i++) {
		struct provision_resource *r = resource(*state, answers[i].name);
		size_t whole = strlen(answers[i].answer);

		for (size_t n = 0; n < whole; n++) {
			char *cut = malloc(n + 1); /* so that a sanitizer sees a read beyond */

			assert_non_null(cut);
			memcpy(cut, answers[i].answer, n);
			assert_int_equal(answers[i].read(r, (struct ev_str){ cut, n }), EV_CORRUPT);
			free(cut);
		}
	}
}

static void refuses_answers_of_another_kind(void **state)
{
	static const struct {
		const char *name;
		read_fn read;
		const char *answer;
	} cases[] = {
		{ "t_charger-outlet_table", provision_read_table, "{}" },
		{ "t_charger-outlet_table", provision_read_table, "{\"Table\":{}}" },
		{ "t_charger-outlet_table", provision_read_table, "{\"Table\":[]}" },
		{ "t_charger-outlet_table", provision_read_table,
		  TABLE("ACTIVE", "", HASH("outletId"), "") },
		{ "t_charger-outlet_table", provision_read_table,
		  TABLE("ACTIVE", STRING("a"), HASH("a") "," HASH("a") "," HASH("a"), "") },
		{ "t_charger-outlet_table", provision_read_table,
		  TABLE("ACTIVE", STRING("outletId"), HASH("outletId"),
			",\"ProvisionedThroughput\":{\"ReadCapacityUnits\":-1}") },
		{ "t_charging-events_stream", provision_read_stream, "{}" },
		{ "t_charging-events_stream", provision_read_stream, STREAM("ACTIVE", "1.5", "1") },
		{ "t_device-to-outlet-backend_queue", provision_read_queue, "{}" },
		{ "t_device-to-outlet-backend_queue", provision_read_queue, QUEUE("\"a\":") },
		{ "t_device-to-outlet-backend_queue", provision_read_queue,
		  QUEUE("\"RedrivePolicy\":\"{}\"") },
		{ "t_device-to-outlet-backend_queue", provision_read_queue,
		  QUEUE("\"RedrivePolicy\":\"none\"") },
		{ "t_device-to-outlet-backend_queue", provision_read_queue,
		  QUEUE("\"VisibilityTimeout\":30") },
		{ "t_evcharge-items_table", provision_read_ttl, "{}" },
		{ "t_evcharge-items_table", provision_read_ttl,
		  "{\"TimeToLiveDescription\":{\"TimeToLiveStatus\":\"ENABLED\"}}" },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++)
		assert_int_equal(cases[i].read(resource(*state, cases[i].name),
					       ev_str_from(cases[i].answer)),
				 EV_CORRUPT);
}

/* --- The time to live, which alone may be switched on --- */

#define TTL(status, rest)                                                                          \
	"{\"TimeToLiveDescription\":{\"TimeToLiveStatus\":\"" status "\"" rest "}}"
#define ITEMS                                                                                      \
	TABLE("ACTIVE", STRING("pk") "," STRING("sk") "," STRING("gpk") "," STRING("gsk"),         \
	      HASH("pk") "," RANGE("sk"),                                                          \
	      ",\"GlobalSecondaryIndexes\":[{\"IndexName\":\"t_evcharge-items_index\","            \
	      "\"KeySchema\":[" HASH("gpk") "," RANGE(                                             \
		      "gsk") "],\"Projection\":{\"ProjectionType\":\"ALL\"}}]")

static void switches_on_only_what_is_off(void **state)
{
	static const struct {
		const char *answer;
		enum provision_action action;
		bool is_switch;
	} cases[] = {
		{ TTL("DISABLED", ""), PROVISION_CREATE, true },
		{ TTL("DISABLING", ",\"AttributeName\":\"expires\""), PROVISION_CREATE, true },
		{ TTL("ENABLED", ",\"AttributeName\":\"expires\""), PROVISION_NOTHING, false },
		{ TTL("ENABLING", ",\"AttributeName\":\"expires\""), PROVISION_NOTHING, false },
		{ TTL("ENABLED", ",\"AttributeName\":\"other\""), PROVISION_DIFFERS, false },
	};
	struct setup *s = *state;
	struct provision_resource *r = resource(s, s->names.items);

	assert_int_equal(provision_read_table(r, EV_LIT(ITEMS)), EV_OK);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		assert_int_equal(provision_read_ttl(r, ev_str_from(cases[i].answer)), EV_OK);
		assert_int_equal(provision_action(r), cases[i].action);
		assert_int_equal(provision_is_switch(r), cases[i].is_switch);
	}
}

static void a_difference_goes_before_a_switch(void **state)
{
	struct setup *s = *state;
	struct provision_resource *r = resource(s, s->names.items);

	assert_int_equal(
		provision_read_table(r, EV_LIT(TABLE("ACTIVE", STRING("pk"), HASH("pk"), ""))),
		EV_OK);
	assert_true(provision_is_switch(r));
	assert_int_equal(provision_action(r), PROVISION_DIFFERS);
}

static void what_an_endpoint_does_not_know_is_no_difference(void **state)
{
	struct setup *s = *state;
	struct provision_resource *r = resource(s, s->names.items);

	assert_int_equal(provision_read_table(r, EV_LIT(ITEMS)), EV_OK);
	provision_setting_of(r, PROVISION_TTL)->rule = PROVISION_UNKNOWN;
	assert_int_equal(provision_action(r), PROVISION_NOTHING);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(plans_every_resource_once),
		TEST(creates_dead_letter_queues_first),
		TEST(asks_for_what_is_wanted),
		TEST(a_longest_prefix_fits_into_every_body_and_value),
		TEST(reads_what_is_there),
		TEST(refuses_an_answer_that_is_cut_anywhere),
		TEST(refuses_answers_of_another_kind),
		TEST(switches_on_only_what_is_off),
		TEST(a_difference_goes_before_a_switch),
		TEST(what_an_endpoint_does_not_know_is_no_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
