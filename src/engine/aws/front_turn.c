/* engine/aws/front_turn.c — the two queues of commands: made, found, received from, removed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "engine/aws/front_internal.h"

#define OWN_RETENTION_S 600
#define WAIT_SLACK_MS 10000
#define BACKOFF_NS (100 * EV_NS_PER_MS)
#define BACKOFF_MAX_NS (10 * EV_NS_PER_S)

static const char *const operations[FRONT_KIND_COUNT] = {
	[FRONT_FIND] = "GetQueueUrl",        [FRONT_MAKE] = "CreateQueue",
	[FRONT_COMMANDS] = "ReceiveMessage", [FRONT_OWN] = "ReceiveMessage",
	[FRONT_REMOVE] = "DeleteQueue",
};

static const char *queue_of(const struct aws_front *f, enum front_kind kind)
{
	if (kind == FRONT_FIND || kind == FRONT_COMMANDS)
		return f->config.resources->commands_out;
	return f->own_queue;
}

static struct ev_rng *rng(const struct aws_front *f)
{
	return f->config.rng;
}

static void back_off(struct aws_front *f, enum front_kind kind, int64_t now_ns)
{
	struct front_backoff *b = &f->backoff[kind];
	int64_t widest = BACKOFF_NS;

	front_count(f, &f->n.errors, 1);
	if (b->until_ns > now_ns)
		return; /* one for all that were under way together */
	for (unsigned k = 0; k < b->fails && widest < BACKOFF_MAX_NS; k++)
		widest *= 2;
	b->fails++;
	b->until_ns = now_ns + BACKOFF_NS / 2 + (int64_t)ev_rng_below(rng(f), (uint64_t)widest);
}

/* --- starting --- */

static struct front_call *free_call(struct aws_front *f)
{
	for (size_t k = 0; k < EV_ARRAY_LEN(f->calls); k++) {
		if (!f->calls[k].is_busy)
			return &f->calls[k];
	}
	return NULL;
}

static void write_request(const struct aws_front *f, enum front_kind kind, struct ev_buf *b)
{
	struct sqs_create create = { .name = ev_str_from(f->own_queue),
				     .visibility_s = f->config.visibility_s,
				     .retention_s = OWN_RETENTION_S };
	/* Of the last messages at the end nobody is waited for, nor to see that it works again. */
	unsigned wait_s = f->is_draining || f->backoff[kind].fails > 0 ? 0 : f->config.wait_s;

	if (kind == FRONT_FIND)
		sqs_write_name(ev_str_from(queue_of(f, kind)), b);
	else if (kind == FRONT_MAKE)
		sqs_write_create(&create, b);
	else if (kind == FRONT_REMOVE)
		sqs_write_url(ev_str_from(f->url_own), b);
	else
		sqs_write_receive(ev_str_from(kind == FRONT_OWN ? f->url_own : f->url_commands),
				  wait_s, f->config.visibility_s, b);
	assert(!b->overflow);
}

static bool start(struct aws_front *f, enum front_kind kind, size_t most, int64_t now_ns)
{
	struct aws_caller *caller = f->config.commands_caller;
	struct front_call *c;
	struct ev_buf b;
	ev_err e;

	if (f->n_calls[kind] >= most || f->backoff[kind].until_ns > now_ns)
		return false;
	c = free_call(f);
	assert(c != NULL);
	memset(&c->call, 0, sizeof(c->call));
	c->kind = kind;
	b = ev_buf_over(c->text, sizeof(c->text));
	write_request(f, kind, &b);
	c->call.service = AWS_SQS;
	c->call.operation = operations[kind];
	c->call.body = ev_buf_str(&b);
	if (kind == FRONT_COMMANDS || kind == FRONT_OWN) {
		c->call.attempt_ms = f->config.wait_s * 1000 + WAIT_SLACK_MS;
		c->call.max_attempts = 1;
	}
	e = caller->ops->submit(caller, &c->call);
	f->is_closed = f->is_closed || e == EV_CLOSED;
	if (e != EV_OK) {
		back_off(f, kind, now_ns);
		return false;
	}
	c->is_busy = true;
	f->n_calls[kind]++;
	return true;
}

static void start_draining(struct aws_front *f, int64_t now_ns)
{
	if (f->url_own[0] == '\0' || f->is_removed)
		return;
	if (!f->is_empty)
		(void)start(f, FRONT_OWN, 1, now_ns);
	else if (f->n_calls[FRONT_OWN] == 0)
		(void)start(f, FRONT_REMOVE, 1, now_ns);
}

static void start_calls(struct aws_front *f, int64_t now_ns)
{
	if (f->is_draining) {
		start_draining(f, now_ns);
		return;
	}
	if (f->url_own[0] == '\0')
		(void)start(f, FRONT_MAKE, 1, now_ns);
	while (f->url_own[0] != '\0' && start(f, FRONT_OWN, f->config.receives, now_ns)) {
	}
	if (f->url_commands[0] == '\0')
		(void)start(f, FRONT_FIND, 1, now_ns);
	while (f->url_commands[0] != '\0' && start(f, FRONT_COMMANDS, f->config.receives, now_ns)) {
	}
}

/* --- answers --- */

static void call_failed(struct aws_front *f, struct front_call *c, int64_t now_ns)
{
	f->is_closed = f->is_closed || c->call.err == EV_CLOSED;
	if (c->call.error.kind == AWS_ERROR_NOT_FOUND) {
		if (c->kind == FRONT_COMMANDS)
			f->url_commands[0] = '\0';
		if (c->kind == FRONT_OWN) { /* somebody removed it: made anew */
			f->url_own[0] = '\0';
			atomic_store(&f->has_own, false);
		}
	}
	front_note_fail(f, queue_of(f, c->kind), &c->call);
	back_off(f, c->kind, now_ns);
}

static void bad_answer(struct aws_front *f, struct front_call *c, int64_t now_ns)
{
	c->call.err = EV_IO;
	aws_error_local(AWS_ERROR_BAD_ANSWER, "BadAnswer", "not what SQS answers", &c->call.error);
	call_failed(f, c, now_ns);
}

static void on_found(struct aws_front *f, struct front_call *c, int64_t now_ns)
{
	char *url = c->kind == FRONT_MAKE ? f->url_own : f->url_commands;

	if (sqs_read_url(c->call.answer, url) != EV_OK) {
		bad_answer(f, c, now_ns);
		return;
	}
	f->backoff[c->kind].fails = 0;
	if (c->kind == FRONT_MAKE)
		atomic_store(&f->has_own, true);
}

static void on_received(struct aws_front *f, struct front_call *c, int64_t now_ns)
{
	struct sqs_received of[SQS_ENTRIES_MAX];
	size_t n = 0;

	if (sqs_read_received(c->call.answer, of, &n) != EV_OK) {
		bad_answer(f, c, now_ns);
		return;
	}
	f->backoff[c->kind].fails = 0;
	if (c->kind == FRONT_OWN)
		f->is_empty = n == 0;
	if (n > 0)
		front_take_commands(f, of, n, c->kind == FRONT_OWN);
}

static void on_done(struct aws_front *f, struct front_call *c, int64_t now_ns)
{
	f->n_calls[c->kind]--;
	if (c->kind == FRONT_REMOVE &&
	    (c->call.err == EV_OK || c->call.error.kind == AWS_ERROR_NOT_FOUND))
		f->is_removed = true;
	else if (c->call.err != EV_OK)
		call_failed(f, c, now_ns);
	else if (c->kind == FRONT_COMMANDS || c->kind == FRONT_OWN)
		on_received(f, c, now_ns);
	else
		on_found(f, c, now_ns);
	aws_call_clear(&c->call);
	c->is_busy = false;
}

/* --- a turn --- */

static int64_t bounded_wait(const struct aws_front *f, int64_t timeout_ns)
{
	int64_t now_ns = ev_clock_mono_ns(f->config.clock);

	for (unsigned k = 0; k < FRONT_KIND_COUNT; k++) {
		int64_t left_ns = f->backoff[k].until_ns - now_ns;

		if (left_ns > 0 && left_ns < timeout_ns)
			timeout_ns = left_ns;
	}
	return timeout_ns;
}

static bool take_calls(struct aws_front *f, int64_t timeout_ns)
{
	struct aws_caller *c = f->config.commands_caller;
	struct aws_call *call = NULL;
	bool some = false;
	ev_err e;

	while ((e = c->ops->poll(c, timeout_ns, &call)) == EV_OK) {
		on_done(f, (struct front_call *)(void *)call, ev_clock_mono_ns(f->config.clock));
		some = true;
		timeout_ns = 0;
	}
	f->is_closed = f->is_closed || e == EV_CLOSED;
	if ((e == EV_NOTFOUND || e == EV_IO) && timeout_ns > 0)
		c->ops->pause(c, timeout_ns);
	return some;
}

static size_t in_flight(const struct aws_front *f)
{
	size_t n = 0;

	for (unsigned k = 0; k < FRONT_KIND_COUNT; k++)
		n += f->n_calls[k];
	return n;
}

static void show_state(struct aws_front *f)
{
	bool ready = f->url_own[0] != '\0' && f->url_commands[0] != '\0' && !f->is_closed &&
		     !f->is_draining;

	for (unsigned k = 0; k < FRONT_KIND_COUNT; k++)
		ready = ready && f->backoff[k].fails == 0;
	pthread_mutex_lock(&f->lock);
	f->n.ready = ready;
	f->n.in_flight = in_flight(f);
	pthread_mutex_unlock(&f->lock);
}

ev_err aws_front_turn(struct aws_front *f, int64_t timeout_ns)
{
	bool some;

	if (f->is_closed)
		return EV_CLOSED;
	start_calls(f, ev_clock_mono_ns(f->config.clock));
	some = !f->is_closed && take_calls(f, bounded_wait(f, timeout_ns));
	if (!f->is_closed && !f->is_draining)
		front_clear_gone(f);
	show_state(f);
	if (f->is_closed)
		return EV_CLOSED;
	return some ? EV_OK : EV_TIMEOUT;
}

bool aws_front_drain(struct aws_front *f)
{
	f->is_draining = true;
	return f->is_closed || (in_flight(f) == 0 && (f->is_removed || f->url_own[0] == '\0'));
}
