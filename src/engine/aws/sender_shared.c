#include "engine/aws/sender_shared.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "engine/aws/puts.h"

#define SPARE_SLOTS 2 /* of each kind, beyond those under way: what waits to be sent again */
#define URL_NS (10 * EV_NS_PER_S)

/* A send under way; on the stack of the lane that waits for it. */
struct send {
	struct send *next;
	const struct aws_effect *effects;
	size_t n, sent;
	int64_t deadline_ns;
	ev_err err;
	bool done;
	pthread_cond_t end;
};

struct sends {
	struct send *first, *last;
};

/* A request, under way or waiting to be sent again. */
struct slot {
	struct aws_call call; /* first */
	bool used, flying, commands;
	int64_t due_ns, deadline_ns;
	struct aws_batch batch;
	struct send *of[AWS_BATCH_MAX];
	const struct aws_effect *effects[AWS_BATCH_MAX];
	size_t cap;
	char *body;
};

struct shared {
	struct aws_sender base; /* first */
	struct aws_sender_shared_config config;
	pthread_t thread;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t some;
	struct sends incoming;
	bool polling, closing;
	struct aws_sender_shared_stats stats;

	/* The thread's own. */
	struct sends events, commands;
	struct slot *slots;
	size_t n_slots;
	unsigned flying[2]; /* puts, batches */
	bool dead;
	char url[AWS_QUEUE_URL_MAX]; /* "": not known */
};

struct aws_sender_shared_config aws_sender_shared_defaults(void)
{
	return (struct aws_sender_shared_config){
		.timeout_ns = 20 * EV_NS_PER_S,
		.max_puts = 2,
		.max_batches = 8,
		.max_waiting = 1024,
	};
}

static int64_t mono(const struct shared *s)
{
	return ev_clock_mono_ns(s->config.clock);
}

static void push(struct sends *l, struct send *send)
{
	send->next = NULL;
	if (l->last == NULL)
		l->first = send;
	else
		l->last->next = send;
	l->last = send;
}

static struct send *pop(struct sends *l)
{
	struct send *send = l->first;

	if (send == NULL)
		return NULL;
	l->first = send->next;
	if (l->first == NULL)
		l->last = NULL;
	return send;
}

/* --- Sends, by the sender's thread --- */

/* The lane goes on; the send is gone after this. */
static void end_send(struct shared *s, struct send *send, ev_err err)
{
	pthread_mutex_lock(&s->lock);
	send->err = err;
	send->done = true;
	s->stats.failed += err != EV_OK;
	pthread_cond_signal(&send->end);
	pthread_mutex_unlock(&s->lock);
}

/* On to its next effect, if there is one. */
static void queue_send(struct shared *s, struct send *send)
{
	if (send->sent == send->n)
		end_send(s, send, EV_OK);
	else if (s->dead)
		end_send(s, send, EV_CLOSED);
	else
		push(send->effects[send->sent].is_command ? &s->commands : &s->events, send);
}

static void end_all(struct shared *s, struct sends *l, ev_err err)
{
	struct send *send;

	while ((send = pop(l)) != NULL)
		end_send(s, send, err);
}

/* --- Requests --- */

static struct slot *free_slot(struct shared *s, bool commands)
{
	for (size_t i = 0; i < s->n_slots; i++) {
		if (!s->slots[i].used && s->slots[i].commands == commands)
			return &s->slots[i];
	}
	return NULL;
}

static bool has_room(const struct shared *s, bool commands)
{
	return s->flying[commands] < (commands ? s->config.max_batches : s->config.max_puts);
}

/* Which entries may have been accepted is not known without an answer that says so. */
static ev_err entry_err(const struct shared *s, enum aws_error_kind kind)
{
	if (s->dead && kind == AWS_ERROR_OTHER)
		return EV_CLOSED;
	return kind == AWS_ERROR_BAD_ANSWER ? EV_TIMEOUT : aws_error_map(kind);
}

static bool is_pending(const struct slot *slot, size_t entry)
{
	for (size_t k = 0; k < slot->batch.n_pending; k++) {
		if (slot->batch.pending[k] == entry)
			return true;
	}
	return false;
}

/* Counted before the lanes go on, so that they find what they sent among the events. */
static void count_accepted(struct shared *s, const struct slot *slot)
{
	uint64_t accepted = 0;

	for (size_t i = 0; i < slot->batch.n; i++)
		accepted += slot->of[i] != NULL && slot->batch.of[i] == AWS_ERROR_NONE;
	pthread_mutex_lock(&s->lock);
	*(slot->commands ? &s->stats.commands : &s->stats.events) += accepted;
	pthread_mutex_unlock(&s->lock);
}

/* Those that are done, or failed for good, leave the slot; `all`: none is sent again. */
static void release(struct shared *s, struct slot *slot, bool all)
{
	count_accepted(s, slot);
	for (size_t i = 0; i < slot->batch.n; i++) {
		struct send *send = slot->of[i];

		if (send == NULL || (!all && is_pending(slot, i)))
			continue;
		slot->of[i] = NULL;
		if (slot->batch.of[i] != AWS_ERROR_NONE) {
			end_send(s, send, entry_err(s, slot->batch.of[i]));
			continue;
		}
		send->sent++;
		queue_send(s, send);
	}
	slot->used = !all;
}

/* What becomes of it after a round; the errors are those of the call, or of its entries. */
static void after_round(struct shared *s, struct slot *slot)
{
	struct aws_caller *c = s->config.caller;
	int64_t delay_ns = 0;
	bool again = !s->dead && aws_batch_again(&slot->batch, c->ops->rules(c), c->ops->tokens(c),
						 c->ops->rng(c), &delay_ns);

	slot->due_ns = mono(s) + delay_ns;
	release(s, slot, !again || slot->due_ns >= slot->deadline_ns);
}

static void start(struct shared *s, struct slot *slot)
{
	struct ev_buf body = ev_buf_over(slot->body, slot->cap);
	ev_err err;

	slot->call = (struct aws_call){
		.service = slot->commands ? AWS_SQS : AWS_KINESIS,
		.operation = slot->commands ? "SendMessageBatch" : "PutRecords",
		.max_attempts = 1, /* the batch has its own */
		.deadline_ns = mono(s) + s->config.timeout_ns,
	};
	if (slot->commands)
		aws_put_commands_write(&body, s->url, slot->effects, &slot->batch);
	else
		aws_put_events_write(&body, s->config.stream, slot->effects, &slot->batch);
	assert(!body.overflow);
	slot->call.body = ev_buf_str(&body);
	err = s->config.caller->ops->submit(s->config.caller, &slot->call);
	if (err == EV_OK) {
		slot->flying = true;
		s->flying[slot->commands]++;
		return;
	}
	s->dead = s->dead || err == EV_CLOSED;
	for (size_t i = 0; i < slot->batch.n_pending; i++)
		aws_batch_failed(&slot->batch, i, s->dead ? AWS_ERROR_OTHER : AWS_ERROR_TRANSIENT);
	after_round(s, slot);
}

static void taken(struct shared *s, struct slot *slot)
{
	slot->flying = false;
	s->flying[slot->commands]--;
	if (slot->commands)
		aws_put_commands_taken(&slot->call, &slot->batch);
	else
		aws_put_events_taken(&slot->call, &slot->batch);
	if (slot->commands && slot->call.error.kind == AWS_ERROR_NOT_FOUND)
		s->url[0] = '\0'; /* made anew, perhaps elsewhere */
	aws_call_clear(&slot->call);
	after_round(s, slot);
}

/* Takes what waits, up to the limit of one call; false: nothing. */
static bool fill(struct shared *s, struct slot *slot)
{
	struct sends *waiting = slot->commands ? &s->commands : &s->events;
	size_t max = slot->commands ? AWS_PUT_COMMANDS_MAX : AWS_PUT_EVENTS_MAX;
	int64_t now_ns = mono(s);
	size_t n = 0;

	slot->deadline_ns = 0;
	while (n < max && waiting->first != NULL) {
		struct send *send = pop(waiting);

		if (now_ns >= send->deadline_ns) {
			end_send(s, send, EV_BUSY);
			continue;
		}
		if (send->deadline_ns > slot->deadline_ns)
			slot->deadline_ns = send->deadline_ns;
		slot->effects[n] = &send->effects[send->sent];
		slot->of[n++] = send;
	}
	if (n > 0)
		aws_batch_init(&slot->batch, n);
	return n > 0;
}

static void count(struct shared *s, const struct slot *slot, bool again)
{
	pthread_mutex_lock(&s->lock);
	*(slot->commands ? &s->stats.batches : &s->stats.puts) += 1;
	if (again)
		s->stats.resent += slot->batch.n_pending;
	pthread_mutex_unlock(&s->lock);
}

static void start_again(struct shared *s)
{
	int64_t now_ns = mono(s);

	for (size_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slots[i];

		if (!slot->used || slot->flying || now_ns < slot->due_ns ||
		    !has_room(s, slot->commands))
			continue;
		count(s, slot, true);
		start(s, slot);
	}
}

static void start_new(struct shared *s, bool commands)
{
	struct sends *waiting = commands ? &s->commands : &s->events;

	while (waiting->first != NULL && has_room(s, commands)) {
		struct slot *slot = free_slot(s, commands);

		if (slot == NULL || !fill(s, slot))
			return;
		slot->used = true;
		count(s, slot, false);
		start(s, slot);
	}
}

/* Asks where the queue is, when first there is something for it. */
static void need_url(struct shared *s)
{
	struct aws_error error;
	ev_err err;

	if (s->commands.first == NULL || s->url[0] != '\0')
		return;
	err = aws_queue_url(s->config.caller, s->config.queue, mono(s) + URL_NS, s->url, &error);
	if (err != EV_OK)
		end_all(s, &s->commands, err);
}

/* When there will be something to start; INT64_MAX: not before a send, or the end of a call. */
static int64_t next_due(struct shared *s)
{
	int64_t next_ns = INT64_MAX;

	for (size_t i = 0; i < s->n_slots; i++) {
		const struct slot *slot = &s->slots[i];

		if (slot->used && !slot->flying && has_room(s, slot->commands) &&
		    slot->due_ns < next_ns)
			next_ns = slot->due_ns;
	}
	for (unsigned k = 0; k < 2; k++) {
		const struct sends *waiting = k == 0 ? &s->events : &s->commands;

		if (waiting->first != NULL && has_room(s, k == 1) && free_slot(s, k == 1) != NULL)
			next_ns = 0;
	}
	return next_ns;
}

/* --- The thread --- */

static bool is_flying(const struct shared *s)
{
	return s->flying[0] + s->flying[1] > 0;
}

static bool is_idle(const struct shared *s)
{
	for (size_t i = 0; i < s->n_slots; i++) {
		if (s->slots[i].used)
			return false;
	}
	return s->events.first == NULL && s->commands.first == NULL;
}

/* The caller can make no more calls: whatever waits ends. */
static void die(struct shared *s)
{
	s->dead = true;
	for (size_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slots[i];

		if (!slot->used)
			continue;
		if (slot->flying)
			s->config.caller->ops->cancel(s->config.caller, &slot->call);
		slot->flying = false;
		for (size_t k = 0; k < slot->batch.n_pending; k++)
			slot->batch.of[slot->batch.pending[k]] = AWS_ERROR_TIMED_OUT;
		release(s, slot, true);
	}
	s->flying[0] = s->flying[1] = 0;
	end_all(s, &s->events, EV_CLOSED);
	end_all(s, &s->commands, EV_CLOSED);
}

static void poll_calls(struct shared *s, int64_t next_ns)
{
	struct aws_caller *c = s->config.caller;
	int64_t wait_ns = next_ns == INT64_MAX ? 60 * EV_NS_PER_S : next_ns - mono(s);
	struct aws_call *done;
	ev_err err;

	if (wait_ns < 0)
		wait_ns = 0;
	while ((err = c->ops->poll(c, wait_ns, &done)) == EV_OK) {
		taken(s, (struct slot *)(void *)done);
		wait_ns = 0;
	}
	if (err == EV_CLOSED || err == EV_IO)
		die(s);
}

/* Under the lock: nothing is flying; until somebody sends, or something is due. */
static void wait_for_some(struct shared *s, int64_t next_ns)
{
	int64_t left_ns = next_ns == INT64_MAX ? 0 : next_ns - mono(s);
	struct timespec until;

	if (next_ns == INT64_MAX) {
		pthread_cond_wait(&s->some, &s->lock);
		return;
	}
	if (left_ns <= 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	left_ns += until.tv_nsec;
	until.tv_sec += left_ns / EV_NS_PER_S;
	until.tv_nsec = left_ns % EV_NS_PER_S;
	(void)pthread_cond_timedwait(&s->some, &s->lock, &until); /* looked at again anyway */
}

/* Takes what came in; false: it is time to end. */
static bool take_incoming(struct shared *s)
{
	int64_t next_ns = next_due(s);
	struct sends in;
	struct send *send;
	bool going;

	pthread_mutex_lock(&s->lock);
	s->polling = false;
	if (s->incoming.first == NULL && !s->closing && !is_flying(s))
		wait_for_some(s, next_ns);
	in = s->incoming;
	s->incoming = (struct sends){ .first = NULL };
	going = !s->closing || in.first != NULL || !is_idle(s);
	pthread_mutex_unlock(&s->lock);
	while ((send = pop(&in)) != NULL)
		queue_send(s, send);
	return going;
}

/* True: a poll may sleep, as whoever sends from now on wakes it. */
static bool may_poll(struct shared *s)
{
	bool may;

	pthread_mutex_lock(&s->lock);
	may = s->incoming.first == NULL;
	s->polling = may;
	pthread_mutex_unlock(&s->lock);
	return may;
}

static void *run(void *arg)
{
	struct shared *s = arg;

	while (take_incoming(s)) {
		need_url(s);
		start_again(s);
		start_new(s, false);
		start_new(s, true);
		if (s->dead)
			die(s);
		if (is_flying(s) && may_poll(s))
			poll_calls(s, next_due(s));
	}
	return NULL;
}

/* --- The lanes' side --- */

static ev_err wait_for(struct shared *s, struct send *send, size_t *out_sent)
{
	bool wake;

	pthread_mutex_lock(&s->lock);
	if (s->stats.waiting >= s->config.max_waiting) {
		s->stats.refused++;
		pthread_mutex_unlock(&s->lock);
		return EV_BUSY;
	}
	s->stats.waiting++;
	push(&s->incoming, send);
	wake = s->polling;
	s->polling = false;
	pthread_cond_signal(&s->some);
	pthread_mutex_unlock(&s->lock);
	if (wake)
		s->config.caller->ops->wake(s->config.caller);
	pthread_mutex_lock(&s->lock);
	while (!send->done)
		pthread_cond_wait(&send->end, &s->lock);
	s->stats.waiting--;
	pthread_mutex_unlock(&s->lock);
	*out_sent = send->sent;
	return send->err;
}

static ev_err shared_send(struct aws_sender *base, const struct aws_effect effects[], size_t n,
			  size_t *out_sent)
{
	struct shared *s = (struct shared *)(void *)base;
	struct send send = { .effects = effects, .n = n };
	ev_err err;

	*out_sent = 0;
	if (n == 0)
		return EV_OK;
	send.deadline_ns = mono(s) + s->config.timeout_ns;
	(void)pthread_cond_init(&send.end, NULL); /* cannot fail without attributes */
	err = wait_for(s, &send, out_sent);
	(void)pthread_cond_destroy(&send.end);
	return err;
}

static void free_parts(struct shared *s)
{
	for (size_t i = 0; s->slots != NULL && i < s->n_slots; i++)
		free(s->slots[i].body);
	free(s->slots);
	(void)pthread_cond_destroy(&s->some);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

static void shared_free(struct aws_sender *base)
{
	struct shared *s = (struct shared *)(void *)base;
	bool wake;

	if (base == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	assert(s->stats.waiting == 0);
	s->closing = true;
	wake = s->polling;
	pthread_cond_signal(&s->some);
	pthread_mutex_unlock(&s->lock);
	if (wake)
		s->config.caller->ops->wake(s->config.caller);
	(void)pthread_join(s->thread, NULL);
	free_parts(s);
}

static const struct aws_sender_ops ops = { .send = shared_send, .free = shared_free };

static ev_err make_slots(struct shared *s)
{
	size_t n_puts = s->config.max_puts + SPARE_SLOTS;

	s->n_slots = n_puts + s->config.max_batches + SPARE_SLOTS;
	s->slots = calloc(s->n_slots, sizeof(*s->slots));
	if (s->slots == NULL)
		return EV_NOMEM;
	for (size_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slots[i];

		slot->commands = i >= n_puts;
		slot->cap = slot->commands ? AWS_PUT_COMMANDS_SIZE(AWS_PUT_COMMANDS_MAX)
					   : AWS_PUT_EVENTS_SIZE(AWS_PUT_EVENTS_MAX);
		slot->body = malloc(slot->cap);
		if (slot->body == NULL)
			return EV_NOMEM;
	}
	return EV_OK;
}

static void init_lock(struct shared *s)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->some, &attr);
	(void)pthread_condattr_destroy(&attr);
}

ev_err aws_sender_shared_new(const struct aws_sender_shared_config *config, struct aws_sender **out)
{
	struct shared *s = calloc(1, sizeof(*s));
	ev_err err;

	assert(config->max_puts >= 1 && config->max_puts <= 3);
	assert(config->max_batches >= 1 && config->max_batches <= 16);
	if (s == NULL)
		return EV_NOMEM;
	s->base.ops = &ops;
	s->config = *config;
	init_lock(s);
	err = make_slots(s);
	if (err == EV_OK && pthread_create(&s->thread, NULL, run, s) != 0)
		err = EV_IO;
	if (err != EV_OK) {
		free_parts(s);
		return err;
	}
	*out = &s->base;
	return EV_OK;
}

void aws_sender_shared_stats(struct aws_sender *base, struct aws_sender_shared_stats *out)
{
	struct shared *s = (struct shared *)(void *)base;

	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
}
