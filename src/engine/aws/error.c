#include "engine/aws/error.h"

#include "base/attr.h"
#include "base/buf.h"
#include "codec/json_read.h"
#include "engine/aws/xml.h"

static const struct {
	const char *code;
	enum aws_error_kind kind;
} codes[] = {
	{ "Throttling", AWS_ERROR_THROTTLED },
	{ "ThrottlingException", AWS_ERROR_THROTTLED },
	{ "ThrottledException", AWS_ERROR_THROTTLED },
	{ "RequestThrottledException", AWS_ERROR_THROTTLED },
	{ "RequestThrottled", AWS_ERROR_THROTTLED },
	{ "TooManyRequestsException", AWS_ERROR_THROTTLED },
	{ "ProvisionedThroughputExceededException", AWS_ERROR_THROTTLED },
	{ "ProvisionedThroughputExceeded", AWS_ERROR_THROTTLED }, /* of one item in a transaction */
	{ "TransactionInProgressException", AWS_ERROR_THROTTLED },
	{ "RequestLimitExceeded", AWS_ERROR_THROTTLED },
	{ "BandwidthLimitExceeded", AWS_ERROR_THROTTLED },
	{ "LimitExceededException", AWS_ERROR_THROTTLED },
	{ "SlowDown", AWS_ERROR_THROTTLED },
	{ "PriorRequestNotComplete", AWS_ERROR_THROTTLED },
	{ "EC2ThrottledException", AWS_ERROR_THROTTLED },
	{ "KMSThrottlingException", AWS_ERROR_THROTTLED },
	{ "KmsThrottled", AWS_ERROR_THROTTLED },
	{ "ThrottlingError", AWS_ERROR_THROTTLED }, /* of one item in a transaction */
	{ "RequestTimeout", AWS_ERROR_TRANSIENT },
	{ "RequestTimeoutException", AWS_ERROR_TRANSIENT },
	{ "InternalFailure", AWS_ERROR_TRANSIENT },
	{ "InternalError", AWS_ERROR_TRANSIENT },
	{ "InternalServerError", AWS_ERROR_TRANSIENT },
	{ "InternalFailureException", AWS_ERROR_TRANSIENT },
	{ "ServiceUnavailable", AWS_ERROR_TRANSIENT },
	{ "ServiceUnavailableException", AWS_ERROR_TRANSIENT },
	{ "ReplicatedWriteConflictException", AWS_ERROR_TRANSIENT },
	{ "IDPCommunicationError", AWS_ERROR_TRANSIENT },
	{ "ExpiredToken", AWS_ERROR_EXPIRED_TOKEN },
	{ "ExpiredTokenException", AWS_ERROR_EXPIRED_TOKEN },
	{ "UnrecognizedClientException", AWS_ERROR_EXPIRED_TOKEN },
	{ "InvalidClientTokenId", AWS_ERROR_EXPIRED_TOKEN },
	{ "AuthFailure", AWS_ERROR_SIGNATURE },
	{ "InvalidSignatureException", AWS_ERROR_SIGNATURE },
	{ "RequestExpired", AWS_ERROR_SIGNATURE },
	{ "RequestInTheFuture", AWS_ERROR_SIGNATURE },
	{ "RequestTimeTooSkewed", AWS_ERROR_SIGNATURE },
	{ "SignatureDoesNotMatch", AWS_ERROR_SIGNATURE },
	{ "IncompleteSignature", AWS_ERROR_SIGNATURE },
	{ "IncompleteSignatureException", AWS_ERROR_SIGNATURE },
	{ "AccessDenied", AWS_ERROR_DENIED },
	{ "AccessDeniedException", AWS_ERROR_DENIED },
	{ "AuthorizationError", AWS_ERROR_DENIED },
	{ "NotAuthorized", AWS_ERROR_DENIED },
	{ "OptInRequired", AWS_ERROR_DENIED },
	{ "MissingAuthenticationToken", AWS_ERROR_DENIED },
	{ "MissingAuthenticationTokenException", AWS_ERROR_DENIED },
	{ "InvalidSecurity", AWS_ERROR_DENIED },
	{ "KMSAccessDeniedException", AWS_ERROR_DENIED },
	{ "KmsAccessDenied", AWS_ERROR_DENIED },
	{ "InvalidIdentityToken", AWS_ERROR_DENIED },
	{ "ResourceNotFoundException", AWS_ERROR_NOT_FOUND },
	{ "QueueDoesNotExist", AWS_ERROR_NOT_FOUND },
	{ "AWS.SimpleQueueService.NonExistentQueue", AWS_ERROR_NOT_FOUND },
	{ "NonExistentQueue", AWS_ERROR_NOT_FOUND },
	{ "ReceiptHandleIsInvalid", AWS_ERROR_NOT_FOUND },
	{ "MessageNotInflight", AWS_ERROR_NOT_FOUND },
	{ "AWS.SimpleQueueService.MessageNotInflight", AWS_ERROR_NOT_FOUND },
	{ "ResourceInUseException", AWS_ERROR_EXISTS },
	{ "TableAlreadyExistsException", AWS_ERROR_EXISTS },
	{ "QueueAlreadyExists", AWS_ERROR_EXISTS },
	{ "QueueNameExists", AWS_ERROR_EXISTS },
	{ "ConditionalCheckFailedException", AWS_ERROR_CONDITION },
	{ "ConditionalCheckFailed", AWS_ERROR_CONDITION }, /* of one item in a transaction */
	{ "TransactionCanceledException", AWS_ERROR_CONDITION },
	{ "TransactionConflictException", AWS_ERROR_CONDITION },
	{ "TransactionConflict", AWS_ERROR_CONDITION },
	{ "IdempotentParameterMismatchException", AWS_ERROR_VALIDATION },
	{ "ExpiredIteratorException", AWS_ERROR_ITERATOR },
	{ "ExpiredNextTokenException", AWS_ERROR_ITERATOR },
	{ "OverLimit", AWS_ERROR_OVER_LIMIT },
	{ "AWS.SimpleQueueService.OverLimit", AWS_ERROR_OVER_LIMIT },
	{ "BatchRequestTooLong", AWS_ERROR_TOO_LARGE },
	{ "AWS.SimpleQueueService.BatchRequestTooLong", AWS_ERROR_TOO_LARGE },
	{ "ItemCollectionSizeLimitExceededException", AWS_ERROR_TOO_LARGE },
	{ "ItemCollectionSizeLimitExceeded", AWS_ERROR_TOO_LARGE },
	{ "ValidationException", AWS_ERROR_VALIDATION },
	{ "ValidationError", AWS_ERROR_VALIDATION },
	{ "InvalidArgumentException", AWS_ERROR_VALIDATION },
	{ "InvalidParameterValue", AWS_ERROR_VALIDATION },
	{ "InvalidMessageContents", AWS_ERROR_VALIDATION },
	{ "SerializationException", AWS_ERROR_VALIDATION },
	{ "UnknownOperationException", AWS_ERROR_UNSUPPORTED },
	{ "InvalidAction", AWS_ERROR_UNSUPPORTED },
	{ "UnsupportedOperation", AWS_ERROR_UNSUPPORTED },
};

static const struct {
	const char *text;
	ev_err err;
} kinds[] = {
	[AWS_ERROR_NONE] = { "none", EV_OK },
	[AWS_ERROR_THROTTLED] = { "throttled", EV_BUSY },
	[AWS_ERROR_TRANSIENT] = { "transient", EV_IO },
	[AWS_ERROR_TIMED_OUT] = { "timed_out", EV_TIMEOUT },
	[AWS_ERROR_EXPIRED_TOKEN] = { "expired_token", EV_DENIED },
	[AWS_ERROR_SIGNATURE] = { "signature", EV_DENIED },
	[AWS_ERROR_DENIED] = { "denied", EV_DENIED },
	[AWS_ERROR_NOT_FOUND] = { "not_found", EV_NOTFOUND },
	[AWS_ERROR_EXISTS] = { "exists", EV_EXISTS },
	[AWS_ERROR_CONDITION] = { "condition", EV_CONFLICT },
	[AWS_ERROR_ITERATOR] = { "iterator", EV_CLOSED },
	[AWS_ERROR_OVER_LIMIT] = { "over_limit", EV_BUSY },
	[AWS_ERROR_TOO_LARGE] = { "too_large", EV_FULL },
	[AWS_ERROR_VALIDATION] = { "validation", EV_INVALID },
	[AWS_ERROR_UNSUPPORTED] = { "unsupported", EV_UNSUPPORTED },
	[AWS_ERROR_BAD_ANSWER] = { "bad_answer", EV_CORRUPT },
	[AWS_ERROR_OTHER] = { "other", EV_IO },
};
_Static_assert(EV_ARRAY_LEN(kinds) == AWS_ERROR_COUNT, "every kind has a word and a code");

const char *aws_error_kind_text(enum aws_error_kind kind)
{
	return (unsigned)kind < AWS_ERROR_COUNT ? kinds[kind].text : "unknown";
}

ev_err aws_error_map(enum aws_error_kind kind)
{
	return (unsigned)kind < AWS_ERROR_COUNT ? kinds[kind].err : EV_IO;
}

enum aws_error_kind aws_error_kind_of(struct ev_str code)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(codes); i++) {
		if (ev_str_eqz(code, codes[i].code))
			return codes[i].kind;
	}
	return AWS_ERROR_OTHER;
}

/* What no code decided, the status does. */
static enum aws_error_kind kind_of_status(int status)
{
	if (status >= 500)
		return status <= 504 && status != 501 ? AWS_ERROR_TRANSIENT : AWS_ERROR_OTHER;
	switch (status) {
	case 401:
	case 403:
		return AWS_ERROR_DENIED;
	case 404:
		return AWS_ERROR_NOT_FOUND;
	case 408:
		return AWS_ERROR_TRANSIENT;
	case 413:
		return AWS_ERROR_TOO_LARGE;
	case 429:
		return AWS_ERROR_THROTTLED;
	case 400:
		return AWS_ERROR_VALIDATION;
	default:
		return AWS_ERROR_OTHER;
	}
}

/* For logs and terminals, so nothing but printable ASCII. */
static void clean(struct ev_str from, char *out, size_t cap)
{
	size_t n = from.n < cap - 1 ? from.n : cap - 1;

	for (size_t i = 0; i < n; i++) {
		char c = from.p[i];

		out[i] = c >= ' ' && c < 0x7f ? c : '?';
	}
	out[n] = '\0';
}

/* "ns#Name:http://…" is Name. */
static struct ev_str short_code(struct ev_str s)
{
	const char *colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
	const char *hash;

	if (colon != NULL)
		s.n = (size_t)(colon - s.p);
	hash = s.n > 0 ? memchr(s.p, '#', s.n) : NULL;
	if (hash != NULL)
		s = (struct ev_str){ hash + 1, s.n - (size_t)(hash + 1 - s.p) };
	return s;
}

static struct ev_str before_semicolon(struct ev_str s)
{
	const char *end = s.n > 0 ? memchr(s.p, ';', s.n) : NULL;

	if (end != NULL)
		s.n = (size_t)(end - s.p);
	return s;
}

struct texts {
	char code[2 * AWS_ERROR_CODE]; /* with its name space */
	char message[AWS_ERROR_MESSAGE];
	size_t code_n, message_n;
};

static ev_err read_text(struct json_reader *r, char *out, size_t cap, size_t *out_n)
{
	struct json_span s;
	bool null;
	ev_err err = json_read_null(r, &null);

	if (err != EV_OK || null)
		return err;
	err = json_read_string(r, &s);
	if (err != EV_OK)
		return err;
	*out_n = json_unescape(&s, out, cap);
	if (*out_n > cap)
		*out_n = cap;
	return EV_OK;
}

static ev_err read_json(struct ev_str body, struct texts *out)
{
	struct json_reader r;
	struct json_span key;
	bool more;
	ev_err err;

	json_read_init(&r, body, NULL);
	err = json_read_object(&r);
	while (err == EV_OK && (err = json_read_key(&r, &more, &key)) == EV_OK && more) {
		if (ev_str_eqz(key.raw, "__type") || ev_str_eqz(key.raw, "code"))
			err = read_text(&r, out->code, sizeof(out->code), &out->code_n);
		else if (ev_str_eqz(key.raw, "message") || ev_str_eqz(key.raw, "Message"))
			err = read_text(&r, out->message, sizeof(out->message), &out->message_n);
		else
			err = json_skip(&r, NULL);
	}
	return err == EV_OK ? json_read_end(&r) : err;
}

static void fill(int status, struct ev_str code, struct ev_str message, struct ev_str request_id,
		 struct aws_error *out)
{
	*out = (struct aws_error){ .status = status, .kind = aws_error_kind_of(code) };
	if (out->kind == AWS_ERROR_OTHER)
		out->kind = kind_of_status(status);
	if (out->kind == AWS_ERROR_SIGNATURE)
		message = EV_LIT("the request's signature or its time was refused");
	clean(code, out->code, sizeof(out->code));
	clean(message, out->message, sizeof(out->message));
	clean(request_id, out->request_id, sizeof(out->request_id));
	if (code.n == 0) {
		struct ev_buf b = ev_buf_over(out->code, sizeof(out->code) - 1);

		ev_buf_i64(&b, status);
		out->code[b.len] = '\0';
	}
}

void aws_error_parse(int status, struct ev_str query_error, struct ev_str request_id,
		     struct ev_str body, struct aws_error *out)
{
	struct texts t = { .code_n = 0 };
	struct ev_str code;

	if (read_json(body, &t) != EV_OK)
		t.code_n = t.message_n = 0;
	code = short_code((struct ev_str){ t.code, t.code_n });
	query_error = before_semicolon(query_error);
	if (query_error.n > 0)
		code = query_error;
	fill(status, code, (struct ev_str){ t.message, t.message_n }, request_id, out);
}

void aws_error_parse_xml(int status, struct ev_str request_id, struct ev_str body,
			 struct aws_error *out)
{
	char code[AWS_ERROR_CODE], message[1024];
	struct aws_xml_field fields[] = {
		{ .path = "ErrorResponse/Error/Code", .out = ev_buf_over(code, sizeof(code)) },
		{ .path = "ErrorResponse/Error/Message",
		  .out = ev_buf_over(message, sizeof(message)) },
	};

	/* A message that is too long has lost its end and nothing else. */
	if (aws_xml_read(body, fields, EV_ARRAY_LEN(fields)) == EV_INVALID)
		fields[0].out.len = fields[1].out.len = 0;
	fill(status, ev_buf_str(&fields[0].out), ev_buf_str(&fields[1].out), request_id, out);
}

void aws_error_local(enum aws_error_kind kind, const char *code, const char *message,
		     struct aws_error *out)
{
	*out = (struct aws_error){ .kind = kind };
	clean(ev_str_from(code), out->code, sizeof(out->code));
	clean(ev_str_from(message), out->message, sizeof(out->message));
}
