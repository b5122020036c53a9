/* test_aws_error.c — what a refusal of a service means for us. */
#include "engine/aws/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/buf.h"

static const struct {
	int status;
	const char *query_error, *body;
	enum aws_error_kind kind;
	const char *code, *message;
} answers[] = {
	{ 400, "", "{\"__type\":\"ResourceNotFoundException\",\"message\":\"no\"}",
	  AWS_ERROR_NOT_FOUND, "ResourceNotFoundException", "no" },
	{ 400, "",
	  "{\"__type\":\"com.amazonaws.dynamodb#ConditionalCheckFailedException\","
	  "\"Item\":{\"a\":{\"N\":\"1\"}},\"message\":\"The conditional request failed\"}",
	  AWS_ERROR_CONDITION, "ConditionalCheckFailedException",
	  "The conditional request failed" },
	{ 400, "",
	  "{\"__type\":\"coral.service#SerializationException:http://x/#y\","
	  "\"Message\":\"m\"}",
	  AWS_ERROR_VALIDATION, "SerializationException", "m" },
	{ 400, "AWS.SimpleQueueService.NonExistentQueue;Sender",
	  "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"q\"}",
	  AWS_ERROR_NOT_FOUND, "AWS.SimpleQueueService.NonExistentQueue", "q" },
	{ 400, "", "{\"__type\":\"ProvisionedThroughputExceededException\"}", AWS_ERROR_THROTTLED,
	  "ProvisionedThroughputExceededException", "" },
	{ 400, "", "{\"__type\":\"LimitExceededException\",\"message\":null}", AWS_ERROR_THROTTLED,
	  "LimitExceededException", "" },
	{ 400, "", "{\"__type\":\"ExpiredTokenException\"}", AWS_ERROR_EXPIRED_TOKEN,
	  "ExpiredTokenException", "" },
	{ 400, "", "{\"__type\":\"UnrecognizedClientException\"}", AWS_ERROR_EXPIRED_TOKEN,
	  "UnrecognizedClientException", "" },
	{ 400, "", "{\"__type\":\"AccessDeniedException\",\"Message\":\"d\"}", AWS_ERROR_DENIED,
	  "AccessDeniedException", "d" },
	{ 400, "", "{\"__type\":\"ExpiredIteratorException\"}", AWS_ERROR_ITERATOR,
	  "ExpiredIteratorException", "" },
	{ 400, "", "{\"__type\":\"ResourceInUseException\"}", AWS_ERROR_EXISTS,
	  "ResourceInUseException", "" },
	{ 400, "OverLimit;Sender", "{}", AWS_ERROR_OVER_LIMIT, "OverLimit", "" },
	{ 400, "", "{\"__type\":\"UnknownOperationException\"}", AWS_ERROR_UNSUPPORTED,
	  "UnknownOperationException", "" },
	{ 400, "", "{\"__type\":\"SomethingNew\"}", AWS_ERROR_VALIDATION, "SomethingNew", "" },
	{ 500, "", "{\"__type\":\"SomethingNew\"}", AWS_ERROR_TRANSIENT, "SomethingNew", "" },
	{ 500, "", "", AWS_ERROR_TRANSIENT, "500", "" },
	{ 501, "", "", AWS_ERROR_OTHER, "501", "" },
	{ 502, "", "<html>bad gateway</html>", AWS_ERROR_TRANSIENT, "502", "" },
	{ 503, "", "{\"__type\":\"", AWS_ERROR_TRANSIENT, "503", "" },
	{ 504, "", "[]", AWS_ERROR_TRANSIENT, "504", "" },
	{ 403, "", "<ErrorResponse/>", AWS_ERROR_DENIED, "403", "" },
	{ 404, "", "", AWS_ERROR_NOT_FOUND, "404", "" },
	{ 413, "", "", AWS_ERROR_TOO_LARGE, "413", "" },
	{ 429, "", "", AWS_ERROR_THROTTLED, "429", "" },
	{ 302, "", "", AWS_ERROR_OTHER, "302", "" },
	{ 400, "", "{\"__type\":5}", AWS_ERROR_VALIDATION, "400", "" },
	{ 400, "", "{\"__type\":\"A\\u0007\\u001b[31mB\",\"message\":\"\\u20ac\\n\"}",
	  AWS_ERROR_VALIDATION, "A??[31mB", "????" },
};

static void names_the_kind_of_each_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(answers); i++) {
		struct aws_error e;

		aws_error_parse(answers[i].status, ev_str_from(answers[i].query_error),
				EV_LIT("req-1"), ev_str_from(answers[i].body), &e);
		assert_int_equal(e.kind, answers[i].kind);
		assert_int_equal(e.status, answers[i].status);
		assert_string_equal(e.code, answers[i].code);
		assert_string_equal(e.message, answers[i].message);
		assert_string_equal(e.request_id, "req-1");
	}
}

static void says_nothing_of_what_was_signed(void **state)
{
	static const char *const codes[] = { "InvalidSignatureException", "SignatureDoesNotMatch",
					     "IncompleteSignatureException",
					     "RequestTimeTooSkewed" };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(codes); i++) {
		char body[512];
		struct aws_error e;
		struct ev_buf b = ev_buf_over(body, sizeof(body));

		ev_buf_z(&b, "{\"__type\":\"");
		ev_buf_z(&b, codes[i]);
		ev_buf_z(&b,
			 "\",\"message\":\"should have been POST x-amz-security-token:SECRET\"}");
		aws_error_parse(403, EV_LIT(""), EV_LIT(""), ev_buf_str(&b), &e);
		assert_int_equal(e.kind, AWS_ERROR_SIGNATURE);
		assert_null(strstr(e.message, "SECRET"));
	}
}

static void cuts_what_is_too_long(void **state)
{
	size_t n = 100000;
	char *body = malloc(n);
	struct aws_error e;

	(void)state;
	assert_non_null(body);
	memset(body, 'x', n);
	memcpy(body, "{\"__type\":\"", 11);
	memcpy(body + n - 2, "\"}", 2);
	aws_error_parse(400, EV_LIT(""), EV_LIT(""), (struct ev_str){ body, n }, &e);
	assert_int_equal(strlen(e.code), AWS_ERROR_CODE - 1);
	memcpy(body, "{\"message\":\"", 12);
	aws_error_parse(400, EV_LIT(""), (struct ev_str){ body, n }, (struct ev_str){ body, n },
			&e);
	assert_int_equal(strlen(e.message), AWS_ERROR_MESSAGE - 1);
	assert_int_equal(strlen(e.request_id), AWS_REQUEST_ID - 1);
	free(body);
}

static void reads_the_xml_of_sts(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum aws_error_kind kind;
		const char *code, *message;
	} cases[] = {
		{ 403,
		  "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>"
		  "<Type>Sender</Type><Code>AccessDenied</Code><Message>not &lt;you&gt;</Message>"
		  "</Error><RequestId>r</RequestId></ErrorResponse>",
		  AWS_ERROR_DENIED, "AccessDenied", "not <you>" },
		{ 400,
		  "<ErrorResponse><Error><Code>IDPCommunicationError</Code></Error>"
		  "</ErrorResponse>",
		  AWS_ERROR_TRANSIENT, "IDPCommunicationError", "" },
		{ 400, "<ErrorResponse><Error><Code>ExpiredTokenException</Code>",
		  AWS_ERROR_VALIDATION, "400", "" },
		{ 503, "unavailable", AWS_ERROR_TRANSIENT, "503", "" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct aws_error e;

		aws_error_parse_xml(cases[i].status, EV_LIT(""), ev_str_from(cases[i].body), &e);
		assert_int_equal(e.kind, cases[i].kind);
		assert_string_equal(e.code, cases[i].code);
		assert_string_equal(e.message, cases[i].message);
	}
}

static void maps_every_kind_to_a_code_of_ours(void **state)
{
	(void)state;
	for (unsigned k = 0; k < AWS_ERROR_COUNT; k++) {
		ev_err err = aws_error_map((enum aws_error_kind)k);

		assert_int_equal(err == EV_OK, k == AWS_ERROR_NONE);
		assert_true(strlen(aws_error_kind_text((enum aws_error_kind)k)) > 0);
	}
	assert_int_equal(aws_error_map(AWS_ERROR_THROTTLED), EV_BUSY);
	assert_int_equal(aws_error_map(AWS_ERROR_CONDITION), EV_CONFLICT);
	assert_int_equal(aws_error_map(AWS_ERROR_NOT_FOUND), EV_NOTFOUND);
	assert_int_equal(aws_error_map(AWS_ERROR_VALIDATION), EV_INVALID);
	assert_int_equal(aws_error_map(AWS_ERROR_TIMED_OUT), EV_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_kind_of_each_answer),
		cmocka_unit_test(says_nothing_of_what_was_signed),
		cmocka_unit_test(cuts_what_is_too_long),
		cmocka_unit_test(reads_the_xml_of_sts),
		cmocka_unit_test(maps_every_kind_to_a_code_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
