/* test_cloud_dynamo.c — DynamoDB in memory: expressions, refusals, queries, units. */
#include <stdio.h>
#include <string.h>

#include "cloud/number.h"
#include "cloud_fixture.h"

#define VALID "ValidationException"
#define FAILED "ConditionalCheckFailedException"

#define TABLE                                                                                      \
	"{'TableName':'plain','BillingMode':'PAY_PER_REQUEST','AttributeDefinitions':"             \
	"[{'AttributeName':'id','AttributeType':'S'}],'KeySchema':[{'AttributeName':'id',"         \
	"'KeyType':'HASH'}]}"
#define PAIRS                                                                                      \
	"{'TableName':'pairs','BillingMode':'PAY_PER_REQUEST','AttributeDefinitions':"             \
	"[{'AttributeName':'pk','AttributeType':'S'},{'AttributeName':'sk','AttributeType':'N'}"   \
	",{'AttributeName':'g','AttributeType':'S'}],'KeySchema':[{'AttributeName':'pk',"          \
	"'KeyType':'HASH'},{'AttributeName':'sk','KeyType':'RANGE'}],"                             \
	"'GlobalSecondaryIndexes':[{'IndexName':'by_g','KeySchema':[{'AttributeName':'g',"         \
	"'KeyType':'HASH'},{'AttributeName':'sk','KeyType':'RANGE'}],'Projection':"                \
	"{'ProjectionType':'INCLUDE','NonKeyAttributes':['extra']}}]}"

static int open_tables(void **state)
{
	static struct kit k;

	kit_open(&k, NULL);
	kit_do(&k, 'd', "CreateTable", TABLE);
	kit_do(&k, 'd', "CreateTable", PAIRS);
	*state = &k;
	return 0;
}

static int close_tables(void **state)
{
	kit_close(*state);
	return 0;
}

static void numbers_are_exact_and_in_normal_form(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{ "0", "0" },
		{ "-0", "0" },
		{ "00012.500", "12.5" },
		{ "1.0E+7", "10000000" },
		{ "0.00010", "0.0001" },
		{ "-12e-3", "-0.012" },
		{ ".5", "0.5" },
		{ "5.", "5" },
		{ "+7", "7" },
		{ "12345678901234567890123456789012345678",
		  "12345678901234567890123456789012345678" },
		{ "123456789012345678901234567890123456789", NULL },
		{ "1e126", NULL },
		{ "1e-131", NULL },
		{ "", NULL },
		{ "-", NULL },
		{ "1e", NULL },
		{ "1x", NULL },
		{ "NaN", NULL },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char text[NUMBER_TEXT + 1];
		struct ev_buf b = ev_buf_over(text, NUMBER_TEXT);
		struct number n;
		ev_err err = number_parse(ev_str_from(cases[i].in), &n);

		assert_int_equal(err == EV_OK, cases[i].out != NULL);
		if (err != EV_OK)
			continue;
		number_write(&n, &b);
		text[b.len] = '\0';
		assert_string_equal(text, cases[i].out);
	}
}

static void sums_are_exact(void **state)
{
	static const struct {
		const char *a, *b;
		bool subtract;
		const char *out; /* NULL: too many digits */
	} cases[] = {
		{ "0.1", "0.2", false, "0.3" },   { "1", "1", true, "0" },
		{ "1", "2", true, "-1" },         { "-1", "-2", true, "1" },
		{ "-1", "-2", false, "-3" },      { "-5", "3", false, "-2" },
		{ "999", "1", false, "1000" },    { "1000", "1", true, "999" },
		{ "0", "-7", false, "-7" },       { "0", "7", true, "-7" },
		{ "1e30", "1e-30", false, NULL }, { "9.9e125", "9.9e125", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char text[NUMBER_TEXT + 1];
		struct ev_buf buf = ev_buf_over(text, NUMBER_TEXT);
		struct number a, b, sum;
		ev_err err;

		assert_int_equal(number_parse(ev_str_from(cases[i].a), &a), EV_OK);
		assert_int_equal(number_parse(ev_str_from(cases[i].b), &b), EV_OK);
		err = number_add(&a, &b, cases[i].subtract, &sum);
		assert_int_equal(err, cases[i].out != NULL ? EV_OK : EV_FULL);
		if (err != EV_OK)
			continue;
		number_write(&sum, &buf);
		text[buf.len] = '\0';
		assert_string_equal(text, cases[i].out);
	}
}

static void numbers_are_ordered(void **state)
{
	static const char *const sorted[] = { "-1e20", "-12", "-1.5", "-0.01", "0",   "0.001",
					      "0.01",  "1",   "1.5",  "12",    "1e20" };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(sorted); i++) {
		for (size_t j = 0; j < EV_ARRAY_LEN(sorted); j++) {
			struct number a, b;
			int order;

			assert_int_equal(number_parse(ev_str_from(sorted[i]), &a), EV_OK);
			assert_int_equal(number_parse(ev_str_from(sorted[j]), &b), EV_OK);
			order = number_compare(&a, &b);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
}

/* The item that conditions are tried on. */
#define ITEM                                                                                       \
	"{'TableName':'plain','Item':{'id':{'S':'a'},'n':{'N':'5'},'s':{'S':'hello'},"             \
	"'bag':{'SS':['x','y']},'lst':{'L':[{'N':'1'}]},'yes':{'BOOL':true},"                      \
	"'bin':{'B':'AQID'},'nothing':{'NULL':true}}}"

static const struct {
	const char *condition, *values;
	bool holds;
} conditions[] = {
	{ "n = :v", "{':v':{'N':'5.0'}}", true },
	{ "n = :v", "{':v':{'S':'5'}}", false },
	{ "n <> :v", "{':v':{'S':'5'}}", true },
	{ "absent = :v", "{':v':{'N':'5'}}", false },
	{ "absent <> :v", "{':v':{'N':'5'}}", true },
	{ "n < :v", "{':v':{'N':'10'}}", true },
	{ "n < :v", "{':v':{'S':'6'}}", false },
	{ "n <= :v AND n >= :v", "{':v':{'N':'5'}}", true },
	{ "n > :v", "{':v':{'N':'5'}}", false },
	{ "s > :v", "{':v':{'S':'Hello'}}", true },
	{ "absent < :v", "{':v':{'N':'5'}}", false },
	{ "n BETWEEN :a AND :b", "{':a':{'N':'5'},':b':{'N':'6'}}", true },
	{ "n BETWEEN :a AND :b AND n = :a", "{':a':{'N':'1'},':b':{'N':'6'}}", false },
	{ "n IN (:a, :b)", "{':a':{'N':'1'},':b':{'N':'5'}}", true },
	{ "n IN (:a)", "{':a':{'N':'1'}}", false },
	{ "begins_with(s, :v)", "{':v':{'S':'hel'}}", true },
	{ "begins_with(s, :v)", "{':v':{'S':'el'}}", false },
	{ "begins_with(absent, :v)", "{':v':{'S':'el'}}", false },
	{ "contains(s, :v)", "{':v':{'S':'ell'}}", true },
	{ "contains(bag, :v)", "{':v':{'S':'x'}}", true },
	{ "contains(bag, :v)", "{':v':{'S':'z'}}", false },
	{ "contains(lst, :v)", "{':v':{'N':'1'}}", true },
	{ "size(s) = :v", "{':v':{'N':'5'}}", true },
	{ "size(bag) > :v", "{':v':{'N':'1'}}", true },
	{ "size(bin) = :v", "{':v':{'N':'3'}}", true },
	{ "size(absent) = :v", "{':v':{'N':'0'}}", false },
	{ "attribute_type(s, :v)", "{':v':{'S':'S'}}", true },
	{ "attribute_type(n, :v)", "{':v':{'S':'S'}}", false },
	{ "attribute_exists(n)", NULL, true },
	{ "attribute_exists(absent)", NULL, false },
	{ "attribute_not_exists(absent)", NULL, true },
	{ "attribute_not_exists(nothing)", NULL, false },
	{ "NOT attribute_exists(n) OR attribute_exists(s)", NULL, true },
	{ "NOT (attribute_exists(n) OR attribute_exists(s))", NULL, false },
	{ "attribute_exists(n) OR attribute_exists(s) AND attribute_exists(absent)", NULL, true },
	{ "(attribute_exists(n) OR attribute_exists(s)) AND attribute_exists(absent)", NULL,
	  false },
	{ "not attribute_exists(absent) and n = n", NULL, true },
	{ "bag = :v", "{':v':{'SS':['y','x']}}", true },
	{ "lst = :v", "{':v':{'L':[{'N':'2'}]}}", false },
	{ "yes = :v", "{':v':{'BOOL':true}}", true },
	{ "bin = :v", "{':v':{'B':'AQID'}}", true },
};

static void conditions_hold_or_not(void **state)
{
	struct kit *k = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(conditions); i++) {
		const char *code;

		kit_do(k, 'd', "PutItem", ITEM);
		code = kit_call(k, 'd', "DeleteItem",
				kit_text("{'TableName':'plain','Key':{'id':{'S':'a'}},"
					 "'ConditionExpression':'%s'%s%s}",
					 conditions[i].condition,
					 conditions[i].values != NULL
						 ? ",'ExpressionAttributeValues':"
						 : "",
					 conditions[i].values != NULL ? conditions[i].values : ""));
		if (strcmp(code, conditions[i].holds ? "" : FAILED) != 0)
			fail_msg("%s: %s", conditions[i].condition, k->answer);
		assert_int_equal(cloud_n_items(k->cloud, "plain"), conditions[i].holds ? 0 : 1);
	}
}

/* Each on a new item {id a, n 5, bag x y}. */
static void updates_do_what_they_say(void **state)
{
	static const struct {
		const char *update, *values, *code, *has;
	} cases[] = {
		{ "SET n = n + :v", "{':v':{'N':'2'}}", "", "'n':{'N':'7'}" },
		{ "SET n = :v - n", "{':v':{'N':'2'}}", "", "'n':{'N':'-3'}" },
		{ "SET m = if_not_exists(m, :v)", "{':v':{'N':'2'}}", "", "'m':{'N':'2'}" },
		{ "SET n = if_not_exists(n, :v) + :v", "{':v':{'N':'2'}}", "", "'n':{'N':'7'}" },
		{ "SET a = :v, b = n REMOVE n", "{':v':{'S':'x'}}", "", "'b':{'N':'5'}" },
		{ "SET l = list_append(if_not_exists(l, :e), :v)",
		  "{':v':{'L':[{'N':'1'}]},':e':{'L':[]}}", "", "'l':{'L':[{'N':'1'}]}" },
		{ "ADD n :v", "{':v':{'N':'-6'}}", "", "'n':{'N':'-1'}" },
		{ "ADD m :v", "{':v':{'N':'3'}}", "", "'m':{'N':'3'}" },
		{ "ADD bag :v", "{':v':{'SS':['y','z']}}", "", "'bag':{'SS':['x','y','z']}" },
		{ "DELETE bag :v", "{':v':{'SS':['x']}}", "", "'bag':{'SS':['y']}" },
		{ "remove absent set a = :v", "{':v':{'NULL':true}}", "", "'a':{'NULL':true}" },
		{ "SET n = absent", NULL, VALID, "does not exist in the item" },
		{ "SET n = n + :v", "{':v':{'S':'2'}}", VALID, "incorrect data type" },
		{ "ADD n :v", "{':v':{'SS':['2']}}", VALID, "incorrect data type" },
		{ "ADD n :v", "{':v':{'S':'2'}}", VALID, "Incorrect operand type" },
		{ "DELETE n :v", "{':v':{'N':'2'}}", VALID, "Incorrect operand type" },
		{ "SET id = :v", "{':v':{'S':'2'}}", VALID, "part of the key" },
		{ "SET n = :v, n = :v", "{':v':{'S':'2'}}", VALID, "overlap" },
		{ "SET n = :v SET m = :v", "{':v':{'S':'2'}}", VALID, "only be used once" },
		{ "SET n = :v", "{':v':{'S':'2'},':w':{'S':'2'}}", VALID, "keys: {:w}" },
		{ "SET n = :v", NULL, VALID, "attribute value: :v" },
		{ "SET #n = :v", "{':v':{'S':'2'}}", VALID, "attribute name: #n" },
		{ "SET status = :v", "{':v':{'S':'2'}}", VALID, "reserved keyword: status" },
		{ "SET Timestamp = :v", "{':v':{'S':'2'}}", VALID, "reserved keyword: Timestamp" },
		{ "SET n = ", NULL, VALID, "Syntax error; token: \\'<EOF>" },
		{ "SET a.b = :v", "{':v':{'S':'2'}}", VALID, "Syntax error" },
		{ "n = :v", "{':v':{'S':'2'}}", VALID, "Syntax error" },
		{ "", NULL, VALID, "can not be empty" },
	};
	struct kit *k = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		const char *code;

		kit_do(k, 'd', "PutItem",
		       "{'TableName':'plain','Item':{'id':{'S':'a'},'n':{'N':'5'},"
		       "'bag':{'SS':['x','y']}}}");
		code = kit_call(
			k, 'd', "UpdateItem",
			kit_text("{'TableName':'plain','Key':{'id':{'S':'a'}},"
				 "'ReturnValues':'ALL_NEW','UpdateExpression':'%s'%s%s}",
				 cases[i].update,
				 cases[i].values != NULL ? ",'ExpressionAttributeValues':" : "",
				 cases[i].values != NULL ? cases[i].values : ""));
		if (strcmp(code, cases[i].code) != 0 || strstr(k->answer, cases[i].has) == NULL)
			fail_msg("%s: %s %s", cases[i].update, code, k->answer);
	}
}

static void writes_return_what_is_asked(void **state)
{
	static const struct kit_step steps[] = {
		{ 'd', "PutItem",
		  "{'TableName':'plain','ReturnValues':'ALL_OLD','Item':{'id':{'S':'a'},"
		  "'n':{'N':'1'}}}",
		  "", "{}", NULL },
		{ 'd', "PutItem",
		  "{'TableName':'plain','ReturnValues':'ALL_OLD','Item':{'id':{'S':'a'},"
		  "'n':{'N':'2'},'m':{'N':'7'}}}",
		  "", "'n':{'N':'1'}", NULL },
		{ 'd', "UpdateItem",
		  "{'TableName':'plain','Key':{'id':{'S':'a'}},'UpdateExpression':'SET n = :v',"
		  "'ExpressionAttributeValues':{':v':{'N':'3'}},'ReturnValues':'UPDATED_OLD'}",
		  "", "{'Attributes':{'n':{'N':'2'}}}", NULL },
		{ 'd', "UpdateItem",
		  "{'TableName':'plain','Key':{'id':{'S':'a'}},'UpdateExpression':'SET n = :v',"
		  "'ExpressionAttributeValues':{':v':{'N':'4'}},'ReturnValues':'UPDATED_NEW'}",
		  "", "{'Attributes':{'n':{'N':'4'}}}", NULL },
		{ 'd', "UpdateItem",
		  "{'TableName':'plain','Key':{'id':{'S':'a'}},'UpdateExpression':'SET n = :v',"
		  "'ExpressionAttributeValues':{':v':{'N':'5'}},"
		  "'ConditionExpression':'attribute_not_exists(id)',"
		  "'ReturnValuesOnConditionCheckFailure':'ALL_OLD'}",
		  FAILED, "'Item':{'id':{'S':'a'},", NULL },
		{ 'd', "PutItem",
		  "{'TableName':'plain','Item':{'id':{'S':'a'}},"
		  "'ConditionExpression':'attribute_not_exists(id)'}",
		  FAILED, "'message':'The conditional request failed'", "Item" },
		{ 'd', "GetItem",
		  "{'TableName':'plain','Key':{'id':{'S':'a'}},'ProjectionExpression':'#n, q',"
		  "'ExpressionAttributeNames':{'#n':'n'}}",
		  "", "{'Item':{'n':{'N':'4'}}}", NULL },
		{ 'd', "DeleteItem",
		  "{'TableName':'plain','Key':{'id':{'S':'a'}},'ReturnValues':'ALL_OLD'}", "",
		  "'m':{'N':'7'}", NULL },
		{ 'd', "GetItem", "{'TableName':'plain','Key':{'id':{'S':'a'}}}", "", "{}", NULL },
		{ 'd', "DeleteItem", "{'TableName':'plain','Key':{'id':{'S':'a'}}}", "", "{}",
		  NULL },
		{ 'd', "UpdateItem", "{'TableName':'plain','Key':{'id':{'S':'b'}}}", "", "{}",
		  NULL },
		{ 'd', "GetItem", "{'TableName':'plain','Key':{'id':{'S':'b'}}}", "",
		  "{'Item':{'id':{'S':'b'}}}", NULL },
	};

	kit_steps(*state, steps, EV_ARRAY_LEN(steps));
}

static const struct kit_step wrong[] = {
	{ 'd', "GetItem", "{'TableName':'none','Key':{'id':{'S':'a'}}}",
	  "ResourceNotFoundException", NULL, NULL },
	{ 'd', "GetItem", "{'TableName':'plain','Key':{'id':{'S':'a'}},'ConsistantRead':true}",
	  "SerializationException", "ConsistantRead", NULL },
	{ 'd', "GetItem", "{'TableName':'plain'", "SerializationException", NULL, NULL },
	{ 'd', "GetItem", "{'TableName':7,'Key':{'id':{'S':'a'}}}", "SerializationException", NULL,
	  NULL },
	{ 'd', "GetItem", "{'TableName':'plain'}", VALID, NULL, NULL },
	{ 'd', "GetItem", "{'TableName':'plain','Key':{'id':{'N':'1'}}}", VALID,
	  "does not match the schema", NULL },
	{ 'd', "GetItem", "{'TableName':'plain','Key':{'id':{'S':''}}}", VALID, "empty string",
	  NULL },
	{ 'd', "GetItem", "{'TableName':'pairs','Key':{'pk':{'S':'a'}}}", VALID,
	  "does not match the schema", NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'n':{'N':'1'}}}", VALID,
	  "Missing the key id", NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'N':'1'}}}", VALID, "Type mismatch",
	  NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'a','N':'1'}}}", VALID,
	  "more than one datatypes", NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'a'},'s':{'SS':[]}}}", VALID,
	  "may not be empty", NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'a'},'s':{'SS':['x','x']}}}",
	  VALID, "duplicates", NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'a'},'n':{'N':'1x'}}}", VALID,
	  "numeric value", NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'a'},'n':{'N':1}}}",
	  "SerializationException", NULL, NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'a'},'b':{'B':'?'}}}",
	  "SerializationException", NULL, NULL },
	{ 'd', "PutItem",
	  "{'TableName':'pairs','Item':{'pk':{'S':'a'},'sk':{'N':'1'},'g':{'S':''}}}", VALID,
	  "IndexName: by_g, IndexKey: g", NULL },
	{ 'd', "PutItem",
	  "{'TableName':'pairs','Item':{'pk':{'S':'a'},'sk':{'N':'1'},'g':{'N':'1'}}}", VALID,
	  "Type mismatch for Index Key g", NULL },
	{ 'd', "PutItem",
	  "{'TableName':'plain','Item':{'id':{'S':'a'}},'ConditionExpression':"
	  "'begins_with(id, :v)','ExpressionAttributeValues':{':v':{'N':'1'}}}",
	  VALID, "Incorrect operand type", NULL },
	{ 'd', "PutItem",
	  "{'TableName':'plain','Item':{'id':{'S':'a'}},'ExpressionAttributeNames':"
	  "{'#n':'n'}}",
	  VALID, "unused in expressions: keys: {#n}", NULL },
	{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'a'}},'ReturnValues':'ALL_NEW'}",
	  VALID, "Return values", NULL },
	{ 'd', "Query",
	  "{'TableName':'plain','KeyConditionExpression':'n = :v',"
	  "'ExpressionAttributeValues':{':v':{'S':'a'}}}",
	  VALID, "missed key schema element: id", NULL },
	{ 'd', "Query",
	  "{'TableName':'plain','KeyConditionExpression':'id > :v',"
	  "'ExpressionAttributeValues':{':v':{'S':'a'}}}",
	  VALID, "not supported", NULL },
	{ 'd', "Query",
	  "{'TableName':'pairs','IndexName':'by_g','ConsistentRead':true,"
	  "'KeyConditionExpression':'g = :v','ExpressionAttributeValues':{':v':{'S':'a'}}}",
	  VALID, "Consistent reads", NULL },
	{ 'd', "Query",
	  "{'TableName':'pairs','IndexName':'by_g','KeyConditionExpression':'g = :v',"
	  "'ExpressionAttributeValues':{':v':{'S':''}}}",
	  VALID, "empty string", NULL },
	{ 'd', "Query",
	  "{'TableName':'pairs','IndexName':'by_g','KeyConditionExpression':'g = :v',"
	  "'ProjectionExpression':'elsewhere','ExpressionAttributeValues':{':v':{'S':'a'}}}",
	  VALID, "does not project", NULL },
	{ 'd', "CreateTable", TABLE, "ResourceInUseException", NULL, NULL },
};

static void refuses_what_is_wrong(void **state)
{
	kit_steps(*state, wrong, EV_ARRAY_LEN(wrong));
}

static void refuses_an_item_above_400_kb(void **state)
{
	struct kit *k = *state;
	const size_t sizes[] = { 409600 - 3, 409600 - 2 }; /* with id, its a and the name s */
	char *body = malloc(500000);

	assert_non_null(body);
	for (size_t i = 0; i < 2; i++) {
		static const char head[] = "{'TableName':'plain','Item':{'id':{'S':'a'},"
					   "'s':{'S':'";
		size_t n = sizes[i] - 1, at = sizeof(head) - 1;

		memcpy(body, head, at);
		memset(body + at, 'x', n);
		memcpy(body + at + n, "'}}}", 5);
		assert_string_equal(kit_call(k, 'd', "PutItem", body), i == 0 ? "" : VALID);
	}
	free(body);
}

static void fill_pairs(struct kit *k)
{
	for (int i = 1; i <= 9; i++)
		kit_do(k, 'd', "PutItem",
		       kit_text("{'TableName':'pairs','Item':{'pk':{'S':'%c'},'sk':{'N':'%d'},"
				"'g':{'S':'%s'},'extra':{'N':'%d'},'veiled':{'S':'h'}}}",
				i % 3 == 0 ? 'b' : 'a', i * 10, i % 2 == 0 ? "even" : "odd", i));
	kit_do(k, 'd', "PutItem",
	       "{'TableName':'pairs','Item':{'pk':{'S':'a'},'sk':{'N':'5'},'extra':{'N':'0'}}}");
}

/* The range keys of the answer's items, in order. */
static void assert_keys(struct kit *k, const char *expected)
{
	char got[200];
	size_t n = 0;
	const char *end = strstr(k->answer, "],'Count'");

	assert_non_null(end);
	for (const char *p = k->answer; (p = strstr(p, "'sk':{'N':'")) != NULL && p < end;) {
		p += strlen("'sk':{'N':'");
		while (*p != '\'' && n + 2 < sizeof(got))
			got[n++] = *p++;
		got[n++] = ' ';
	}
	got[n > 0 ? n - 1 : 0] = '\0';
	assert_string_equal(got, expected);
}

static void queries_find_in_order(void **state)
{
	static const struct {
		const char *rest, *keys, *has;
	} cases[] = {
		{ "'KeyConditionExpression':'pk = :p','ExpressionAttributeValues':"
		  "{':p':{'S':'a'}}",
		  "5 10 20 40 50 70 80", "'Count':7,'ScannedCount':7}" },
		{ "'KeyConditionExpression':'pk = :p','ScanIndexForward':false,"
		  "'ExpressionAttributeValues':{':p':{'S':'a'}}",
		  "80 70 50 40 20 10 5", NULL },
		{ "'KeyConditionExpression':'sk > :s AND pk = :p','ExpressionAttributeValues':"
		  "{':p':{'S':'a'},':s':{'N':'40'}}",
		  "50 70 80", NULL },
		{ "'KeyConditionExpression':'pk = :p AND sk BETWEEN :s AND :t',"
		  "'ExpressionAttributeValues':{':p':{'S':'a'},':s':{'N':'9'},':t':{'N':'40'}}",
		  "10 20 40", NULL },
		{ "'KeyConditionExpression':'pk = :p','Limit':2,'ExpressionAttributeValues':"
		  "{':p':{'S':'a'}}",
		  "5 10", "'LastEvaluatedKey':{'pk':{'S':'a'},'sk':{'N':'10'}}" },
		{ "'KeyConditionExpression':'pk = :p','Limit':2,'ExclusiveStartKey':"
		  "{'pk':{'S':'a'},'sk':{'N':'10'}},'ExpressionAttributeValues':{':p':{'S':'a'}}",
		  "20 40", NULL },
		{ "'KeyConditionExpression':'pk = :p','ScanIndexForward':false,"
		  "'ExclusiveStartKey':{'pk':{'S':'a'},'sk':{'N':'45'}},"
		  "'ExpressionAttributeValues':{':p':{'S':'a'}}",
		  "40 20 10 5", NULL },
		{ "'KeyConditionExpression':'pk = :p','FilterExpression':'extra > :e','Limit':4,"
		  "'ExpressionAttributeValues':{':p':{'S':'a'},':e':{'N':'1'}}",
		  "20 40", "'Count':2,'ScannedCount':4,'LastEvaluatedKey':" },
		{ "'IndexName':'by_g','KeyConditionExpression':'g = :p',"
		  "'ExpressionAttributeValues':{':p':{'S':'even'}}",
		  "20 40 60 80", NULL },
		{ "'IndexName':'by_g','KeyConditionExpression':'g = :p AND sk > :s','Limit':1,"
		  "'ExpressionAttributeValues':{':p':{'S':'even'},':s':{'N':'50'}}",
		  "60", "'LastEvaluatedKey':{'g':{'S':'even'},'sk':{'N':'60'},'pk':{'S':'b'}}" },
		{ "'IndexName':'by_g','KeyConditionExpression':'g = :p','ExclusiveStartKey':"
		  "{'g':{'S':'even'},'sk':{'N':'60'},'pk':{'S':'b'}},"
		  "'ExpressionAttributeValues':{':p':{'S':'even'}}",
		  "80", NULL },
	};
	struct kit *k = *state;

	fill_pairs(k);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		kit_do(k, 'd', "Query", kit_text("{'TableName':'pairs',%s}", cases[i].rest));
		assert_keys(k, cases[i].keys);
		if (cases[i].has != NULL && strstr(k->answer, cases[i].has) == NULL)
			fail_msg("%s: %s", cases[i].rest, k->answer);
	}
	kit_do(k, 'd', "Query",
	       "{'TableName':'pairs','IndexName':'by_g','KeyConditionExpression':'g = :p',"
	       "'ExpressionAttributeValues':{':p':{'S':'even'}}}");
	assert_null(strstr(k->answer, "veiled")); /* not projected */
	assert_non_null(strstr(k->answer, "extra"));
}

static size_t scan_all(struct kit *k, const char *rest)
{
	const char *start = "";
	char key[300] = "";
	size_t n = 0;

	for (unsigned pages = 0; pages < 20; pages++) {
		const char *last, *end;

		kit_do(k, 'd', "Scan", kit_text("{'TableName':'pairs'%s%s%s}", rest, start, key));
		for (const char *p = k->answer; (p = strstr(p, "'extra'")) != NULL; p++)
			n++;
		last = strstr(k->answer, "'LastEvaluatedKey':");
		if (last == NULL)
			return n;
		last += strlen("'LastEvaluatedKey':");
		end = strrchr(k->answer, '}');
		snprintf(key, sizeof(key), "%.*s", (int)(end - last), last);
		start = ",'ExclusiveStartKey':";
	}
	fail_msg("the scan does not end");
	return 0;
}

static void scans_give_all_once(void **state)
{
	struct kit *k = *state;

	fill_pairs(k);
	assert_int_equal(scan_all(k, ""), 10);
	assert_int_equal(scan_all(k, ",'Limit':1"), 10);
	assert_int_equal(scan_all(k, ",'Limit':3,'IndexName':'by_g'"), 9);
	assert_int_equal(scan_all(k, ",'Segment':0,'TotalSegments':2") +
				 scan_all(k, ",'Limit':2,'Segment':1,'TotalSegments':2"),
			 10);
	assert_int_equal(cloud_n_items(k->cloud, "pairs"), 10);
}

static void batches_work(void **state)
{
	static const struct kit_step steps[] = {
		{ 'd', "BatchWriteItem",
		  "{'RequestItems':{'plain':[{'PutRequest':{'Item':{'id':{'S':'a'}}}},"
		  "{'PutRequest':{'Item':{'id':{'S':'b'}}}},{'DeleteRequest':{'Key':"
		  "{'id':{'S':'c'}}}}]},'ReturnConsumedCapacity':'TOTAL'}",
		  "",
		  "'UnprocessedItems':{},'ConsumedCapacity':[{'TableName':'plain',"
		  "'CapacityUnits':3.0}]",
		  NULL },
		{ 'd', "BatchGetItem",
		  "{'RequestItems':{'plain':{'Keys':[{'id':{'S':'a'}},{'id':{'S':'x'}},"
		  "{'id':{'S':'b'}}],'ConsistentRead':true}},'ReturnConsumedCapacity':'TOTAL'}",
		  "",
		  "{'Responses':{'plain':[{'id':{'S':'a'}},{'id':{'S':'b'}}]},"
		  "'UnprocessedKeys':{},'ConsumedCapacity':[{'TableName':'plain',"
		  "'CapacityUnits':3.0}]}",
		  NULL },
		{ 'd', "BatchGetItem",
		  "{'RequestItems':{'plain':{'Keys':[{'id':{'S':'a'}},{'id':{'S':'a'}}]}}}", VALID,
		  "duplicates", NULL },
		{ 'd', "BatchWriteItem",
		  "{'RequestItems':{'plain':[{'PutRequest':{'Item':{'id':{'S':'a'}}}},"
		  "{'DeleteRequest':{'Key':{'id':{'S':'a'}}}}]}}",
		  VALID, "duplicates", NULL },
		{ 'd', "BatchWriteItem", "{'RequestItems':{}}", VALID, NULL, NULL },
	};

	kit_steps(*state, steps, EV_ARRAY_LEN(steps));
}

/* Sizes: pk 2+1, sk 2+2 (a number of one or two digits), g 1+4, extra 5+2, veiled 6+1. */
static void units_are_counted_as_on_the_bill(void **state)
{
	static const struct {
		char service;
		const char *operation, *body, *has;
	} cases[] = {
		{ 'd', "GetItem", "{'TableName':'pairs','Key':{'pk':{'S':'a'},'sk':{'N':'1'}}",
		  "'CapacityUnits':0.5" },
		{ 'd', "GetItem",
		  "{'TableName':'pairs','ConsistentRead':true,"
		  "'Key':{'pk':{'S':'a'},'sk':{'N':'1'}}",
		  "'CapacityUnits':1.0" },
		{ 'd', "PutItem", /* in the table alone */
		  "{'TableName':'pairs','Item':{'pk':{'S':'a'},'sk':{'N':'1'}}",
		  "'CapacityUnits':1.0" },
		{ 'd', "UpdateItem", /* comes into the index */
		  "{'TableName':'pairs','Key':{'pk':{'S':'a'},'sk':{'N':'1'}},"
		  "'UpdateExpression':'SET g = :v',"
		  "'ExpressionAttributeValues':{':v':{'S':'x'}}",
		  "'CapacityUnits':2.0" },
		{ 'd', "UpdateItem", /* moves in the index */
		  "{'TableName':'pairs','Key':{'pk':{'S':'a'},'sk':{'N':'1'}},"
		  "'UpdateExpression':'SET g = :v',"
		  "'ExpressionAttributeValues':{':v':{'S':'y'}}",
		  "'CapacityUnits':3.0" },
		{ 'd', "UpdateItem", /* projected */
		  "{'TableName':'pairs','Key':{'pk':{'S':'a'},'sk':{'N':'1'}},"
		  "'UpdateExpression':'SET extra = :v',"
		  "'ExpressionAttributeValues':{':v':{'S':'y'}}",
		  "'CapacityUnits':2.0" },
		{ 'd', "UpdateItem", /* not projected */
		  "{'TableName':'pairs','Key':{'pk':{'S':'a'},'sk':{'N':'1'}},"
		  "'UpdateExpression':'SET veiled = :v',"
		  "'ExpressionAttributeValues':{':v':{'S':'y'}}",
		  "'CapacityUnits':1.0" },
		{ 'd', "DeleteItem", "{'TableName':'pairs','Key':{'pk':{'S':'a'},'sk':{'N':'1'}}",
		  "'CapacityUnits':2.0" },
	};
	struct kit *k = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		kit_do(k, 'd', cases[i].operation,
		       kit_text("%s,'ReturnConsumedCapacity':'TOTAL'}", cases[i].body));
		if (strstr(k->answer, cases[i].has) == NULL)
			fail_msg("%zu: %s", i, k->answer);
	}
	assert_int_equal(cloud_bill(k->cloud).dynamodb_half_reads, 3);
	assert_int_equal(cloud_bill(k->cloud).dynamodb_writes, 11);
	assert_int_equal(cloud_bill(k->cloud).dynamodb_index_writes, 5);
}

/* An item of exactly that many bytes: id and its a are 3, the name s is 1. */
static void put_sized(struct kit *k, size_t bytes)
{
	static char body[20000];
	static const char head[] = "{'TableName':'plain','ReturnConsumedCapacity':'TOTAL',"
				   "'Item':{'id':{'S':'a'},'s':{'S':'";
	size_t at = sizeof(head) - 1, n = bytes - 4;

	memcpy(body, head, at);
	memset(body + at, 'x', n);
	memcpy(body + at + n, "'}}}", 5);
	kit_do(k, 'd', "PutItem", body);
}

static void units_go_in_steps(void **state)
{
	struct kit *k = *state;

	put_sized(k, 1024);
	assert_non_null(strstr(k->answer, "'CapacityUnits':1.0"));
	put_sized(k, 1025);
	assert_non_null(strstr(k->answer, "'CapacityUnits':2.0"));
	put_sized(k, 4096); /* the larger of old and new */
	assert_non_null(strstr(k->answer, "'CapacityUnits':4.0"));
	kit_do(k, 'd', "GetItem",
	       "{'TableName':'plain','Key':{'id':{'S':'a'}},'ReturnConsumedCapacity':'TOTAL'}");
	assert_non_null(strstr(k->answer, "'CapacityUnits':0.5"));
	put_sized(k, 4097);
	kit_do(k, 'd', "GetItem",
	       "{'TableName':'plain','Key':{'id':{'S':'a'}},'ReturnConsumedCapacity':'TOTAL',"
	       "'ConsistentRead':true}");
	assert_non_null(strstr(k->answer, "'CapacityUnits':2.0"));
	put_sized(k, 4);
	assert_non_null(strstr(k->answer, "'CapacityUnits':5.0"));
}

static void expired_items_go_when_told(void **state)
{
	static const struct kit_step steps[] = {
		{ 'd', "UpdateTimeToLive",
		  "{'TableName':'plain','TimeToLiveSpecification':{'AttributeName':'expires',"
		  "'Enabled':true}}",
		  "", NULL, NULL },
		{ 'd', "UpdateTimeToLive",
		  "{'TableName':'plain','TimeToLiveSpecification':{'AttributeName':'expires',"
		  "'Enabled':true}}",
		  VALID, "already enabled", NULL },
		{ 'd', "DescribeTimeToLive", "{'TableName':'plain'}", "",
		  "'TimeToLiveStatus':'ENABLED','AttributeName':'expires'", NULL },
		{ 'd', "PutItem",
		  "{'TableName':'plain','Item':{'id':{'S':'a'},'expires':{'N':'1700000010'}}}", "",
		  NULL, NULL },
		{ 'd', "PutItem",
		  "{'TableName':'plain','Item':{'id':{'S':'b'},'expires':{'N':'1700000011'}}}", "",
		  NULL, NULL },
		{ 'd', "PutItem", "{'TableName':'plain','Item':{'id':{'S':'c'}}}", "", NULL, NULL },
	};
	struct kit *k = *state;

	kit_steps(k, steps, EV_ARRAY_LEN(steps));
	assert_int_equal(cloud_expire(k->cloud), 0);
	ev_clock_manual_advance(&k->clock, 10 * EV_NS_PER_S);
	assert_int_equal(cloud_n_items(k->cloud, "plain"), 3);
	assert_int_equal(cloud_expire(k->cloud), 1);
	assert_int_equal(cloud_n_items(k->cloud, "plain"), 2);
}

static void indexes_lag_when_told(void **state)
{
	static const char query[] =
		"{'TableName':'pairs','IndexName':'by_g','KeyConditionExpression':'g = :p',"
		"'ExpressionAttributeValues':{':p':{'S':'x'}}}";
	struct kit *k = *state;

	cloud_set_index_lag(k->cloud, EV_NS_PER_S);
	kit_do(k, 'd', "PutItem",
	       "{'TableName':'pairs','Item':{'pk':{'S':'a'},'sk':{'N':'1'},'g':{'S':'x'}}}");
	kit_do(k, 'd', "Query", query);
	assert_keys(k, "");
	ev_clock_manual_advance(&k->clock, EV_NS_PER_S);
	kit_do(k, 'd', "Query", query);
	assert_keys(k, "1");
	kit_do(k, 'd', "DeleteItem", "{'TableName':'pairs','Key':{'pk':{'S':'a'},'sk':{'N':'1'}}}");
	kit_do(k, 'd', "Query", query);
	assert_keys(k, "1");
	ev_clock_manual_advance(&k->clock, EV_NS_PER_S);
	kit_do(k, 'd', "Query", query);
	assert_keys(k, "");
}

int main(void)
{
#define WITH_TABLES(test) cmocka_unit_test_setup_teardown(test, open_tables, close_tables)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_exact_and_in_normal_form),
		cmocka_unit_test(sums_are_exact),
		cmocka_unit_test(numbers_are_ordered),
		WITH_TABLES(conditions_hold_or_not),
		WITH_TABLES(updates_do_what_they_say),
		WITH_TABLES(writes_return_what_is_asked),
		WITH_TABLES(refuses_what_is_wrong),
		WITH_TABLES(refuses_an_item_above_400_kb),
		WITH_TABLES(queries_find_in_order),
		WITH_TABLES(scans_give_all_once),
		WITH_TABLES(batches_work),
		WITH_TABLES(units_are_counted_as_on_the_bill),
		WITH_TABLES(units_go_in_steps),
		WITH_TABLES(expired_items_go_when_told),
		WITH_TABLES(indexes_lag_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
