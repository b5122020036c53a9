/*
 * cli/http.h — HTTP requests to our own APIs: one at a time, many at once, or an endless one.
 *
 * A thin layer over libcurl, which maps its errors to ev_err and ev_fail once.  http_setup before
 * all else, once for the process.
 */
#ifndef EV_CLI_HTTP_H
#define EV_CLI_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

#define HTTP_BODY_MAX ((size_t)64 << 20)
#define HTTP_ANSWER_SECONDS 60 /* the most that an answer may take */

/* All texts are copied.  token and ca may be NULL; so may body.p (no body). */
struct http_request {
	const char *method; /* a constant: "GET", "POST", … */
	const char *url;
	const char *token;  /* for Authorization: Bearer */
	const char *ca;     /* a PEM file to trust instead of the system's */
	struct ev_str body; /* JSON */
};

struct http_response {
	long status;
	char *body; /* NUL-terminated; NULL if empty */
	size_t n;
};
void http_response_deinit(struct http_response *r);

EV_NODISCARD ev_err http_setup(struct ev_fail *fail);

/*
 * Waits for the answer of any status.  EV_CLOSED: nobody there; EV_TIMEOUT; EV_DENIED: TLS; EV_IO.
 */
EV_NODISCARD ev_err http_call(const struct http_request *q, struct http_response *out,
			      struct ev_fail *fail);

/*
 * A response without end: bytes go to on_bytes as they come, until it returns false (then EV_OK),
 * the server ends (EV_CLOSED) or nothing comes for quiet_seconds (EV_TIMEOUT).  A status that is
 * not 200 is EV_DENIED with *out_status; last_event_id may be empty.
 */
typedef bool http_bytes_fn(void *user, struct ev_str bytes);
EV_NODISCARD ev_err http_stream(const struct http_request *q, const char *last_event_id,
				long quiet_seconds, http_bytes_fn *on_bytes, void *user,
				long *out_status, struct ev_fail *fail);

/* --- Many at once, in one thread --- */

struct http_pool;

/* Told once for each request, from within http_pool_turn; status 0: no answer came. */
typedef void http_done_fn(void *user, long status, struct ev_str body);

/* At most max_parallel requests are under way, the others wait.  EV_NOMEM. */
EV_NODISCARD ev_err http_pool_new(struct http_pool **out, size_t max_parallel);
void http_pool_free(struct http_pool *p); /* what is under way is given up, silently */

/* EV_NOMEM. */
EV_NODISCARD ev_err http_pool_start(struct http_pool *p, const struct http_request *q,
				    http_done_fn *done, void *user);

/* Moves all on; waits at most max_wait_ms for something to happen.  Callbacks may start more. */
void http_pool_turn(struct http_pool *p, int max_wait_ms);

/* Requests that are not done yet. */
size_t http_pool_pending(const struct http_pool *p);

#endif
