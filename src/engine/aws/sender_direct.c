#include "engine/aws/sender_direct.h"

#include <stdlib.h>

#include "engine/aws/puts.h"

/*
 * What goes out in one call is of one kind, and of events no two are of one outlet: a call that
 * fails in part puts the others first, and an outlet's effects must keep their order.
 */
#define CALL_MAX AWS_PUT_COMMANDS_MAX

struct sender_direct {
	struct aws_sender sender; /* first */
	struct aws_caller *caller;
	struct ev_clock *clock;
	const struct aws_resources *resources;
	int64_t timeout_ns;
	char queue_url[AWS_QUEUE_URL_MAX]; /* empty until it was asked for */
};

/* One call's effects, and what became of them. */
struct send_round {
	const struct aws_effect *of[CALL_MAX];
	size_t n;
	struct aws_batch batch;
};

static int64_t deadline(const struct sender_direct *d)
{
	return d->timeout_ns > 0 ? ev_clock_mono_ns(d->clock) + d->timeout_ns : 0;
}

static const struct ev_uuid *outlet_of(const struct aws_effect *e)
{
	return e->is_command ? &e->command.outlet_id : &e->event.outlet_id;
}

static bool may_join(const struct send_round *r, const struct aws_effect *e)
{
	if (r->n == CALL_MAX || (r->n > 0 && r->of[0]->is_command != e->is_command))
		return false;
	for (size_t i = 0; i < r->n; i++) {
		if (ev_uuid_eq(outlet_of(r->of[i]), outlet_of(e)))
			return false;
	}
	return true;
}

static ev_err learn_queue(struct sender_direct *d)
{
	struct aws_error error;

	if (d->queue_url[0] != '\0')
		return EV_OK;
	return aws_queue_url(d->caller, d->resources->commands_out, deadline(d), d->queue_url,
			     &error);
}

static void call_once(struct sender_direct *d, struct send_round *r, struct ev_buf *body)
{
	bool commands = r->of[0]->is_command;
	struct aws_call call = {
		.service = commands ? AWS_SQS : AWS_KINESIS,
		.operation = commands ? "SendMessageBatch" : "PutRecords",
	};

	body->len = 0;
	if (commands)
		aws_put_commands_write(body, d->queue_url, r->of, &r->batch);
	else
		aws_put_events_write(body, d->resources->event_stream, r->of, &r->batch);
	call.body = ev_buf_str(body);
	(void)aws_caller_one(d->caller, &call, deadline(d));
	if (commands)
		aws_put_commands_taken(&call, &r->batch);
	else
		aws_put_events_taken(&call, &r->batch);
	aws_call_clear(&call);
}

/* Until all are accepted, or it is not worth while. */
static ev_err run_round(struct sender_direct *d, struct send_round *r)
{
	static const size_t room = AWS_PUT_COMMANDS_SIZE(CALL_MAX) > AWS_PUT_EVENTS_SIZE(CALL_MAX)
					   ? AWS_PUT_COMMANDS_SIZE(CALL_MAX)
					   : AWS_PUT_EVENTS_SIZE(CALL_MAX);
	struct aws_caller *c = d->caller;
	struct ev_buf body = ev_buf_over(malloc(room), room);
	int64_t delay_ns = 0;
	bool again;

	if (body.p == NULL)
		return EV_NOMEM;
	aws_batch_init(&r->batch, r->n);
	do {
		call_once(d, r, &body);
		again = aws_batch_again(&r->batch, c->ops->rules(c), c->ops->tokens(c),
					c->ops->rng(c), &delay_ns);
		if (again)
			c->ops->pause(c, delay_ns);
	} while (again);
	free(body.p);
	return EV_OK;
}

static ev_err error_of(enum aws_error_kind kind)
{
	switch (kind) {
	case AWS_ERROR_NONE:
		return EV_OK;
	case AWS_ERROR_THROTTLED:
	case AWS_ERROR_OVER_LIMIT:
		return EV_BUSY;
	case AWS_ERROR_TIMED_OUT:
		return EV_TIMEOUT;
	case AWS_ERROR_DENIED:
		return EV_DENIED;
	case AWS_ERROR_TRANSIENT:
	case AWS_ERROR_EXPIRED_TOKEN:
	case AWS_ERROR_SIGNATURE:
	case AWS_ERROR_NOT_FOUND:
	case AWS_ERROR_EXISTS:
	case AWS_ERROR_CONDITION:
	case AWS_ERROR_ITERATOR:
	case AWS_ERROR_TOO_LARGE:
	case AWS_ERROR_VALIDATION:
	case AWS_ERROR_UNSUPPORTED:
	case AWS_ERROR_BAD_ANSWER:
	case AWS_ERROR_OTHER:
	case AWS_ERROR_COUNT:
		break;
	}
	return EV_IO;
}

static ev_err send(struct aws_sender *sender, const struct aws_effect effects[], size_t n,
		   size_t *out_sent)
{
	struct sender_direct *d = (struct sender_direct *)sender;
	ev_err e = EV_OK;
	size_t at = 0;

	while (at < n && e == EV_OK) {
		struct send_round r = { .n = 0 };

		while (at + r.n < n && may_join(&r, &effects[at + r.n])) {
			r.of[r.n] = &effects[at + r.n];
			r.n++;
		}
		e = r.of[0]->is_command ? learn_queue(d) : EV_OK;
		if (e == EV_OK)
			e = run_round(d, &r);
		for (size_t i = 0; i < r.n && e == EV_OK; i++) {
			e = error_of(r.batch.of[i]);
			at += e == EV_OK;
		}
	}
	*out_sent = at;
	return e;
}

static void free_direct(struct aws_sender *sender)
{
	free(sender);
}

static const struct aws_sender_ops ops = { .send = send, .free = free_direct };

ev_err aws_sender_direct_new(struct aws_caller *caller, struct ev_clock *clock,
			     const struct aws_resources *resources, int64_t timeout_ns,
			     struct aws_sender **out)
{
	struct sender_direct *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return EV_NOMEM;
	d->sender.ops = &ops;
	d->caller = caller;
	d->clock = clock;
	d->resources = resources;
	d->timeout_ns = timeout_ns;
	*out = &d->sender;
	return EV_OK;
}
