/*
 * engine/aws/caller.h — how the engine calls SQS, Kinesis and DynamoDB: the seam below which the
 * cloud is.
 *
 * Adapters: engine/aws/client (HTTP, signed), and the cloud in memory of the tests, in which every
 * fault can be ordered.  Nothing above knows which of them it talks to: JSON goes in, JSON comes
 * out.  A caller belongs to one thread, but for `wake`.
 */
#ifndef EV_AWS_CALLER_H
#define EV_AWS_CALLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/str.h"
#include "engine/aws/endpoint.h"
#include "engine/aws/error.h"
#include "engine/aws/retry.h"

#define AWS_OPERATION_MAX 64 /* bytes of an operation's name */

struct aws_call_run;

/* Starts as all zero but what is to be sent; not moved or copied while it is under way. */
struct aws_call {
	/* What to call. */
	enum aws_service service;
	const char *operation; /* a literal: "SendMessageBatch" */
	struct ev_str body;    /* JSON, borrowed until the call is done */
	unsigned attempt_ms;   /* 0: the client's; a long poll needs more than it waits */
	unsigned max_attempts; /* 0: the client's; 1: what must not be sent twice */
	int64_t deadline_ns;   /* monotonic, 0: none; no attempt starts after it */

	/* What came of it. */
	ev_err err;             /* as aws_error_map(error.kind), or EV_NOMEM */
	struct aws_error error; /* kind AWS_ERROR_NONE: success */
	/*
	 * The body of the last answer, success or not; empty if there was none, or if SQS sends
	 * none.  NUL-terminated behind its end; owned, see aws_call_clear.
	 */
	struct ev_str answer;
	unsigned attempts;

	/* The client's own. */
	struct ev_node node;
	struct aws_call_run *run;
};

/* Frees the answer.  The call can be submitted again. */
void aws_call_clear(struct aws_call *call);

struct aws_caller;

struct aws_caller_ops {
	/*
	 * Starts a call.  EV_FULL: too many are under way; EV_INVALID: no such service or
	 * operation; EV_NOMEM.  Never calls back and does not block.
	 */
	ev_err (*submit)(struct aws_caller *c, struct aws_call *call) EV_NODISCARD;
	/*
	 * Works for up to timeout_ns and gives out one call that is done.  EV_TIMEOUT: none is in
	 * time, EV_BUSY: somebody called wake, EV_NOTFOUND: none is under way, EV_IO: no call can
	 * be made any more, EV_CLOSED: the process dies here (tests).
	 */
	ev_err (*poll)(struct aws_caller *c, int64_t timeout_ns,
		       struct aws_call **out) EV_NODISCARD;
	/* Gives a call up, wherever it is; whether it took place is not known. */
	void (*cancel)(struct aws_caller *c, struct aws_call *call);
	/*
	 * Makes all calls, as many at once as there is room for, and returns when all are done or
	 * at the deadline (monotonic; 0: none); those not done by then are given up as
	 * AWS_ERROR_TIMED_OUT: whether they took place is not known.  Each has its own result.
	 * Others under way go on meanwhile.
	 */
	void (*run)(struct aws_caller *c, struct aws_call calls[], size_t n, int64_t deadline_ns);
	/* Waits before a part of a batch is sent again; others under way may go on meanwhile. */
	void (*pause)(struct aws_caller *c, int64_t ns);
	/* Ends a poll early, this one or the next.  Any thread. */
	void (*wake)(struct aws_caller *c);
	/* What all that resends shares. */
	struct aws_retry_tokens *(*tokens)(struct aws_caller *c);
	const struct aws_retry_rules *(*rules)(const struct aws_caller *c);
	struct ev_rng *(*rng)(struct aws_caller *c);
};

struct aws_caller {
	const struct aws_caller_ops *ops;
};

/* One call, waited for; its result. */
static inline ev_err aws_caller_one(struct aws_caller *c, struct aws_call *call,
				    int64_t deadline_ns)
{
	c->ops->run(c, call, 1, deadline_ns);
	return call->err;
}

#endif
