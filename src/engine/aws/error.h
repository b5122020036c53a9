/*
 * engine/aws/error.h — what a service's refusal means for us.
 *
 * The services name hundreds of errors; what differs for the caller is only whether to try again,
 * to renew the keys, to set the clock, or to give up and with which code of ours.
 */
#ifndef EV_AWS_ERROR_H
#define EV_AWS_ERROR_H

#include "base/err.h"
#include "base/str.h"

#define AWS_ERROR_CODE 96
#define AWS_ERROR_MESSAGE 240
#define AWS_REQUEST_ID 80

enum aws_error_kind {
	AWS_ERROR_NONE,
	AWS_ERROR_THROTTLED,     /* slow down and try again */
	AWS_ERROR_TRANSIENT,     /* a fault of theirs or of the way: try again */
	AWS_ERROR_TIMED_OUT,     /* no answer in time: try again */
	AWS_ERROR_EXPIRED_TOKEN, /* or keys that are not known: renew them once */
	AWS_ERROR_SIGNATURE,     /* a wrong secret or a wrong clock: set the clock once */
	AWS_ERROR_DENIED,        /* we may not */
	AWS_ERROR_NOT_FOUND,     /* no such queue, stream, table or message handle */
	AWS_ERROR_EXISTS,        /* made already, or being made */
	AWS_ERROR_CONDITION,     /* a conditional write or transaction did not take place */
	AWS_ERROR_ITERATOR,      /* an iterator or page token has expired: take a new one */
	AWS_ERROR_OVER_LIMIT,    /* more would be in flight than may be; later, not at once */
	AWS_ERROR_TOO_LARGE,     /* of the request or an item */
	AWS_ERROR_VALIDATION,    /* the request is wrong in itself */
	AWS_ERROR_UNSUPPORTED,   /* no such operation */
	AWS_ERROR_BAD_ANSWER,    /* 2xx, but not what was promised */
	AWS_ERROR_OTHER,
	AWS_ERROR_COUNT,
};

struct aws_error {
	enum aws_error_kind kind;
	int status; /* HTTP; 0: no answer came */
	/* NUL-terminated printable ASCII, cut if longer; no secrets, see aws_error_parse. */
	char code[AWS_ERROR_CODE];
	char message[AWS_ERROR_MESSAGE];
	char request_id[AWS_REQUEST_ID];
};

/* A constant word for logs and metrics, never NULL. */
const char *aws_error_kind_text(enum aws_error_kind kind);

/* EV_OK for AWS_ERROR_NONE only. */
ev_err aws_error_map(enum aws_error_kind kind);

/* By the code alone, without name space; AWS_ERROR_OTHER if it is not known. */
enum aws_error_kind aws_error_kind_of(struct ev_str code);

/*
 * The error of an answer with a status outside 2xx.  query_error is the header x-amzn-query-error
 * ("CODE;Sender"), which overrides the body's code; it and request_id may be empty.  The body is
 * JSON with __type and message, or anything else, in which case the status stands for the code.
 * Messages of refused signatures are dropped: the services echo the signed headers in them, the
 * session token among them.
 */
void aws_error_parse(int status, struct ev_str query_error, struct ev_str request_id,
		     struct ev_str body, struct aws_error *out);

/* The same for the XML of STS: ErrorResponse/Error/{Code,Message}. */
void aws_error_parse_xml(int status, struct ev_str request_id, struct ev_str body,
			 struct aws_error *out);

/* An error without an answer, or with one of no use: our own code and message, both constant. */
void aws_error_local(enum aws_error_kind kind, const char *code, const char *message,
		     struct aws_error *out);

#endif
