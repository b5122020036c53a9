/*
 * engine/aws/http.h — HTTP requests over libcurl's multi interface, on connections that are kept.
 *
 * Two ways of use: aws_http_run for a batch that is waited for, and submit/poll for requests that
 * wait long by themselves, such as a queue's long polls.  Redirects are never followed, as a token
 * must not go elsewhere; certificates are checked against the system's CAs.  One thread, but for
 * aws_http_wake.
 */
#ifndef EV_AWS_HTTP_H
#define EV_AWS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "base/str.h"
#include "engine/aws/sigv4.h"

#define AWS_HTTP_HEADERS_MAX 24                /* of a request */
#define AWS_HTTP_HEAD_MAX (64 * 1024)          /* bytes of an answer's head */
#define AWS_HTTP_VALUE 128                     /* bytes of a header that is kept, NUL included */
#define AWS_HTTP_ANSWER_MAX (16 * 1024 * 1024) /* no request may allow more than this */

enum aws_http_method { AWS_HTTP_GET, AWS_HTTP_POST, AWS_HTTP_PUT };

struct aws_http;
struct aws_http_transfer;

struct aws_http_config {
	unsigned max_in_flight; /* requests, and so connections; at least 1 */
	const char *ca_file;    /* PEM; NULL: the system's CAs.  Copied */
	bool direct;            /* never through a proxy from the environment */
};

/* The headers of an answer that anybody asks for; empty if absent, cut if longer. */
struct aws_http_head {
	char date[AWS_HTTP_VALUE];
	char request_id[AWS_HTTP_VALUE]; /* x-amzn-requestid, else x-amz-request-id */
	char query_error[AWS_HTTP_VALUE];
	char crc32[AWS_HTTP_VALUE];
	char retry_after[AWS_HTTP_VALUE]; /* x-amz-retry-after, milliseconds */
};

/* Starts as all zero; not moved or copied while it is under way. */
struct aws_http_request {
	/* What to send: borrowed until the request is done or cancelled. */
	enum aws_http_method method;
	const char *url;
	const struct aws_header *headers;
	size_t n_headers;
	struct ev_str body; /* of POST and PUT */
	unsigned connect_ms;
	unsigned total_ms;
	size_t max_answer; /* bytes of the answer's body */
	bool secret;       /* the answer holds keys: its memory is wiped */

	/* What came of it. */
	ev_err err; /* EV_OK: an answer came, whatever its status; then those below count */
	int sys;    /* libcurl's code */
	int status;
	struct aws_http_head head;
	struct ev_str answer; /* NUL-terminated behind its end; owned, see aws_http_clear */

	/* The client's own. */
	struct ev_node node;
	struct aws_http_transfer *transfer;
};

EV_NODISCARD ev_err aws_http_new(const struct aws_http_config *config, struct aws_http **out);

/* What is still under way ends without a word; its requests can then be cleared. */
void aws_http_free(struct aws_http *h);

/* Requests that were submitted and not given out or cancelled yet. */
size_t aws_http_n(const struct aws_http *h);
bool aws_http_has_room(const struct aws_http *h);

/*
 * Starts a request.  EV_FULL: max_in_flight are under way; EV_INVALID: a header that is none, or a
 * limit that is; EV_NOMEM.  The request must stay where it is until poll gives it out.  Never calls
 * back and does not block.
 */
EV_NODISCARD ev_err aws_http_submit(struct aws_http *h, struct aws_http_request *r);

/*
 * Works for up to timeout_ms and gives out one request that is done, with r->err: EV_TIMEOUT
 * (also: the outcome is unknown), EV_DENIED (TLS), EV_FULL (the answer was too large), EV_IO,
 * EV_NOMEM. Returns EV_TIMEOUT if none is done in time, EV_BUSY if somebody called wake,
 * EV_NOTFOUND if none is under way, EV_IO if libcurl itself fails.
 */
EV_NODISCARD ev_err aws_http_poll(struct aws_http *h, int timeout_ms,
				  struct aws_http_request **out);

/* Gives a request up, wherever it is; its connection is closed if it was in use. */
void aws_http_cancel(struct aws_http *h, struct aws_http_request *r);

/*
 * Sends all requests, as many at once as there is room for, and returns when all are done or at the
 * time-out; those that are not done by then are given up with EV_TIMEOUT.  Each has its own result.
 * Others under way meanwhile go on, and are given out by the next poll.
 */
void aws_http_run(struct aws_http *h, struct aws_http_request requests[], size_t n, int timeout_ms);

/* Only waits; EV_TIMEOUT, EV_BUSY if somebody called wake. */
ev_err aws_http_wait(struct aws_http *h, int timeout_ms);

/* Ends a poll or a wait early, this one or the next.  Any thread. */
void aws_http_wake(struct aws_http *h);

/* Frees the answer, wiped if secret.  The request can be submitted again. */
void aws_http_clear(struct aws_http_request *r);

#endif
