/* test/cloud/attempt.c — one attempt of a call, and what goes wrong with it. */
#include <stdlib.h>
#include <string.h>

#include "cloud/caller.h"

static const char *const fault_texts[] = {
	[CLOUD_FINE] = "fine",
	[CLOUD_THROTTLED] = "throttled",
	[CLOUD_SERVER_ERROR] = "server error",
	[CLOUD_LOST_REQUEST] = "lost request",
	[CLOUD_LOST_ANSWER] = "lost answer",
	[CLOUD_PARTIAL] = "partial",
	[CLOUD_DUPLICATE] = "duplicate",
	[CLOUD_STALE] = "stale",
	[CLOUD_EXPIRED_ITERATOR] = "expired iterator",
	[CLOUD_EXPIRED_TOKEN] = "expired token",
	[CLOUD_DENIED] = "denied",
	[CLOUD_MISSING] = "missing",
	[CLOUD_GARBAGE] = "garbage",
	[CLOUD_DIES_BEFORE] = "dies before",
	[CLOUD_DIES_AFTER] = "dies after",
};
_Static_assert(EV_ARRAY_LEN(fault_texts) == CLOUD_FAULT_COUNT, "every fault has a word");

const char *cloud_fault_text(enum cloud_fault f)
{
	return (unsigned)f < CLOUD_FAULT_COUNT ? fault_texts[f] : "unknown";
}

/* --- Which fault --- */

static struct cloud_attempt describe(const struct aws_call_run *run)
{
	return (struct cloud_attempt){ .caller = run->caller,
				       .number = run->caller->cloud->n_attempts,
				       .attempt = run->attempts,
				       .service = run->call->service,
				       .operation = run->op->name,
				       .body = run->call->body };
}

static enum cloud_fault drawn(struct cloud *c)
{
	uint64_t at = cloud_below(c, 1000000), sum = 0;

	for (unsigned f = CLOUD_FINE + 1; f < CLOUD_FAULT_COUNT; f++) {
		sum += c->rates[f];
		if (at < sum)
			return (enum cloud_fault)f;
	}
	return CLOUD_FINE;
}

/* What it comes to for this operation. */
static enum cloud_fault suited(enum cloud_fault f, unsigned flags)
{
	static const unsigned needed[CLOUD_FAULT_COUNT] = {
		[CLOUD_PARTIAL] = OP_BATCH,
		[CLOUD_DUPLICATE] = OP_DUPLICATE,
		[CLOUD_STALE] = OP_STALE,
		[CLOUD_EXPIRED_ITERATOR] = OP_ITERATOR,
	};

	if ((flags & needed[f]) == needed[f])
		return f;
	return f == CLOUD_PARTIAL ? CLOUD_THROTTLED : CLOUD_FINE;
}

static enum cloud_fault choose(struct aws_call_run *run)
{
	struct cloud *c = run->caller->cloud;
	struct cloud_attempt a = describe(run);
	enum cloud_fault f = CLOUD_FINE;

	if (!c->faults_on)
		return f;
	if (c->config.fault != NULL)
		f = c->config.fault(c->config.user, &a);
	if (f == CLOUD_FINE)
		f = drawn(c);
	f = suited(f, run->op->flags);
	c->n_faults[f]++;
	return f;
}

/* --- What the owner of a call sees --- */

void call_fail(struct aws_call *call, enum aws_error_kind kind, const char *code,
	       const char *message)
{
	aws_call_clear(call);
	aws_error_local(kind, code, message, &call->error);
	call->err = aws_error_map(kind);
}

void call_close(struct aws_call *call)
{
	call_fail(call, AWS_ERROR_OTHER, "Closed", "the process is dead");
	call->err = EV_CLOSED;
}

static void call_answer(struct aws_call *call, const struct reply *reply, bool garbage)
{
	size_t n = garbage ? reply->body.n / 2 : reply->body.n;
	char *copy = must_calloc(1, n + 1);

	aws_call_clear(call);
	if (n > 0)
		memcpy(copy, reply->body.p, n);
	call->answer = (struct ev_str){ copy, n };
	call->error = (struct aws_error){ .kind = AWS_ERROR_NONE };
	call->err = EV_OK;
	if (reply->status == 200)
		return;
	aws_error_parse(reply->status, ev_str_from(reply->query_code), EV_LIT("cloud"), reply->body,
			&call->error);
	call->err = aws_error_map(call->error.kind);
}

/* --- Faults without an effect --- */

struct refusal {
	int status;
	const char *code[3]; /* by service */
};

static const struct refusal *refusal_of(enum cloud_fault f)
{
	static const struct refusal throttled = { 400,
						  { "RequestThrottled",
						    "ProvisionedThroughputExceededException",
						    "ThrottlingException" } };
	static const struct refusal server = {
		500, { "InternalError", "InternalFailure", "InternalServerError" }
	};
	static const struct refusal token = {
		400, { "ExpiredTokenException", "ExpiredTokenException", "ExpiredTokenException" }
	};
	static const struct refusal denied = {
		400, { "AccessDeniedException", "AccessDeniedException", "AccessDeniedException" }
	};
	static const struct refusal missing = { 400,
						{ "QueueDoesNotExist", "ResourceNotFoundException",
						  "ResourceNotFoundException" } };
	static const struct refusal *const all[CLOUD_FAULT_COUNT] = {
		[CLOUD_THROTTLED] = &throttled, [CLOUD_SERVER_ERROR] = &server,
		[CLOUD_EXPIRED_TOKEN] = &token, [CLOUD_DENIED] = &denied,
		[CLOUD_MISSING] = &missing,
	};

	return all[f];
}

/* True: the attempt ends here. */
static bool fails_before(struct aws_call_run *run)
{
	struct cloud *c = run->caller->cloud;
	const struct refusal *refusal = refusal_of(run->fault);
	struct reply reply;

	if (run->fault == CLOUD_LOST_REQUEST) {
		call_fail(run->call, AWS_ERROR_TIMED_OUT, "TimedOut", "no answer in time");
		return true;
	}
	if (refusal == NULL)
		return false;
	c->n_calls[run->op_index]++;
	reply_error(c, run->op->service, refusal->status, refusal->code[run->op->service],
		    "by order of the test", (struct ev_str){ NULL, 0 }, &reply);
	call_answer(run->call, &reply, false);
	return true;
}

/* --- Others come in between --- */

static void race(struct aws_call_run *run)
{
	struct cloud *c = run->caller->cloud;
	struct cloud_attempt a = describe(run);

	if (!c->faults_on || c->config.race == NULL || c->depth >= c->config.race_depth)
		return;
	c->depth++;
	c->config.race(c->config.user, &a);
	c->depth--;
}

static bool is_gone(const struct aws_call_run *run)
{
	return run->caller->dead || run->caller->life != run->life;
}

/* --- The attempt --- */

static void effect(struct aws_call_run *run, struct reply *reply)
{
	struct cloud *c = run->caller->cloud;
	bool may_park = !run->parked || cloud_mono_ns(c) < run->park_end_ns;

	service_do(c, run->op, run->call->body, run->fault, may_park, reply);
	if (reply->park_ns == 0)
		return;
	if (!run->parked)
		run->park_end_ns = reply->park_ns;
	run->parked = true;
	run->park_queue = reply->park_queue;
	run->park_version = c->sqs_version;
	run->park_look_ns = sqs_next_ns(c, reply->park_queue);
}

static enum outcome after_effect(struct aws_call_run *run, const struct reply *reply)
{
	struct aws_call *call = run->call;

	if (reply->park_ns != 0)
		return OUTCOME_PARKED;
	run->parked = false;
	if (run->fault == CLOUD_DIES_AFTER)
		cloud_kill(run->caller);
	if (run->caller->life != run->life)
		return OUTCOME_GONE;
	if (run->caller->dead)
		call_close(call);
	else if (run->fault == CLOUD_LOST_ANSWER)
		call_fail(call, AWS_ERROR_TIMED_OUT, "TimedOut", "no answer in time");
	else
		call_answer(call, reply, run->fault == CLOUD_GARBAGE);
	return OUTCOME_DONE;
}

enum outcome run_attempt(struct aws_call_run *run)
{
	struct cloud *c = run->caller->cloud;
	struct reply reply;

	if (!run->parked) {
		c->n_attempts++;
		run->attempts++;
		run->fault = choose(run);
		if (fails_before(run))
			return OUTCOME_DONE;
		if (run->fault == CLOUD_DIES_BEFORE)
			cloud_kill(run->caller);
		else
			race(run);
		if (run->caller->life != run->life)
			return OUTCOME_GONE;
		if (is_gone(run)) {
			call_close(run->call);
			return OUTCOME_DONE;
		}
		c->n_calls[run->op_index]++;
	}
	effect(run, &reply);
	return after_effect(run, &reply);
}

void run_silently(struct aws_call_run *run)
{
	struct cloud *c = run->caller->cloud;
	struct ev_str body = run->call != NULL ? run->call->body
					       : (struct ev_str){ run->ghost_body, run->ghost_n };
	struct reply reply;

	if (!run->parked)
		c->n_calls[run->op_index]++;
	service_do(c, run->op, body, CLOUD_FINE, false, &reply);
}
