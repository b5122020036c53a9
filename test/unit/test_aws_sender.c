/*
 * test_aws_sender.c — the sender that lanes share, on a service that refuses, loses and delays.
 *
 * The service here is a caller of its own: it may be called by the sender's thread and woken by the
 * lanes', which the cloud in memory may not.  Effects of an outlet are numbered by their energy;
 * the service checks that none is accepted before the one before it.
 */
#include "engine/aws/sender_shared.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/attr.h"
#include "base/base64.h"
#include "base/time.h"
#include "codec/device_json.h"
#include "codec/event_proto.h"
#include "engine/aws/puts.h"

#define LANES 12
#define CALLS 64

struct service {
	struct aws_caller base; /* first */
	pthread_mutex_t lock;
	pthread_cond_t some;
	bool woken, closed;
	struct aws_call *calls[CALLS]; /* in the order in which they are done */
	int64_t due_ns[CALLS];
	size_t n_calls;
	struct ev_rng_seeded rng;
	struct aws_retry_tokens tokens;
	struct aws_retry_rules rules;
	int64_t delay_ns;
	unsigned refuse, lose, fail, lost_answer; /* per 1,000: entries, then calls */
	unsigned flying[2], most_flying[2];
	size_t most_entries[2];
	/* By outlet and kind: the last one accepted. */
	unsigned last[LANES][2];
	uint64_t doubled;
	bool wrong; /* order, size or form of a request */
	bool no_queue;
};

static bool chance(struct service *v, unsigned per_1000)
{
	return ev_rng_below(&v->rng.base, 1000) < per_1000;
}

static void wrong(struct service *v, const char *what)
{
	v->wrong = true;
	print_error("wrong: %s\n", what);
}

/* An entry is accepted: it must be the next of its outlet, or one that came before. */
static void accept(struct service *v, unsigned outlet, unsigned number, bool command)
{
	unsigned *last = &v->last[outlet % LANES][command];

	if (number <= *last)
		v->doubled++;
	else if (number != *last + 1)
		wrong(v, "an effect overtook another");
	else
		*last = number;
}

static bool read_event(struct json_object *o, unsigned *outlet, unsigned *number)
{
	struct charging_event e;
	uint8_t bytes[EVENT_PROTO_MAX];
	enum reason why;
	size_t n;
	struct ev_str data = ev_str_from(json_object_get_string(json_object_object_get(o, "Data")));

	if (ev_base64_read(data, bytes, sizeof(bytes), &n) != EV_OK ||
	    event_proto_decode((struct ev_str){ (char *)bytes, n }, &e, &why, NULL) != EV_OK)
		return false;
	*outlet = e.outlet_id.b[15];
	*number = (unsigned)e.energy_mwh;
	return true;
}

static bool read_command(struct json_object *o, unsigned *outlet, unsigned *number)
{
	struct device_wire wire;
	struct device_message m;
	enum reason why;

	if (device_json_decode(
		    ev_str_from(json_object_get_string(json_object_object_get(o, "MessageBody"))),
		    &wire, NULL) != EV_OK ||
	    device_wire_check(&wire, &m, &why) != EV_OK)
		return false;
	*outlet = m.outlet_id.b[15];
	*number = (unsigned)m.energy_mwh;
	return true;
}

static void answer_entry(struct service *v, struct json_object *o, size_t i, bool command,
			 bool seen[LANES], struct ev_buf parts[2])
{
	unsigned outlet = 0, number = 0;
	bool refused = chance(v, v->refuse);
	struct ev_buf *b = &parts[command && refused];
	char text[160];

	if (!(command ? read_command(o, &outlet, &number) : read_event(o, &outlet, &number)))
		wrong(v, "an entry that cannot be read");
	if (seen[outlet % LANES])
		wrong(v, "two of an outlet in a call");
	seen[outlet % LANES] = true;
	if (!refused)
		accept(v, outlet, number, command);
	if (command && refused)
		snprintf(text, sizeof(text), "{\"Id\":\"%zu\",\"Code\":\"ThrottlingException\"}",
			 i);
	else if (command)
		snprintf(text, sizeof(text), "{\"Id\":\"%zu\",\"MessageId\":\"m\"}", i);
	else if (refused)
		snprintf(text, sizeof(text),
			 "{\"ErrorCode\":\"ProvisionedThroughputExceededException\"}");
	else
		snprintf(text, sizeof(text), "{\"SequenceNumber\":\"1\",\"ShardId\":\"s\"}");
	if (b->len > 0)
		ev_buf_char(b, ',');
	ev_buf_z(b, text);
}

static struct json_object *parse(struct ev_str body)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *o = json_tokener_parse_ex(t, body.p, (int)body.n);

	json_tokener_free(t);
	return o;
}

/* Decides all entries of a call and writes the answer. */
static void answer(struct service *v, struct aws_call *call)
{
	static char ok[65536], bad[65536];
	struct ev_buf parts[2] = { ev_buf_over(ok, sizeof(ok)), ev_buf_over(bad, sizeof(bad)) };
	bool command = call->service == AWS_SQS;
	struct json_object *root = parse(call->body);
	struct json_object *list = json_object_object_get(root, command ? "Entries" : "Records");
	size_t n = json_object_array_length(list);
	bool seen[LANES] = { false };
	size_t cap = sizeof(ok) + sizeof(bad) + 64;
	char *text = malloc(cap);

	if (n == 0 || n > (command ? 10 : 500))
		wrong(v, "too many entries");
	if (n > v->most_entries[command])
		v->most_entries[command] = n;
	for (size_t i = 0; i < n; i++)
		answer_entry(v, json_object_array_get_idx(list, i), i, command, seen, parts);
	call->answer.p = text;
	if (command)
		snprintf(text, cap, "{\"Successful\":[%.*s],\"Failed\":[%.*s]}", (int)parts[0].len,
			 ok, (int)parts[1].len, bad);
	else
		snprintf(text, cap, "{\"Records\":[%.*s]}", (int)parts[0].len, ok);
	call->answer = (struct ev_str){ text, strlen(text) };
	json_object_put(root);
}

static void set_error(struct aws_call *call, enum aws_error_kind kind)
{
	free((void *)(uintptr_t)call->answer.p);
	call->answer = (struct ev_str){ NULL, 0 };
	call->err = aws_error_map(kind);
	call->error.kind = kind;
}

static void decide(struct service *v, struct aws_call *call)
{
	if (strcmp(call->operation, "GetQueueUrl") == 0) {
		if (v->no_queue) {
			set_error(call, AWS_ERROR_NOT_FOUND);
			return;
		}
		call->answer.p = strdup("{\"QueueUrl\":\"http://localhost/q\"}");
		call->answer.n = strlen(call->answer.p);
	} else if (chance(v, v->fail)) {
		set_error(call, AWS_ERROR_THROTTLED);
	} else if (chance(v, v->lose)) {
		set_error(call, AWS_ERROR_TIMED_OUT);
	} else {
		answer(v, call);
		if (chance(v, v->lost_answer))
			set_error(call, AWS_ERROR_TIMED_OUT);
	}
}

/* --- The caller --- */

static struct service *service_of(struct aws_caller *c)
{
	return (struct service *)(void *)c;
}

static int64_t now(void)
{
	return ev_clock_mono_ns(ev_clock_os());
}

static ev_err submit(struct aws_caller *c, struct aws_call *call)
{
	struct service *v = service_of(c);
	bool command = call->service == AWS_SQS;

	pthread_mutex_lock(&v->lock);
	if (v->closed || v->n_calls == CALLS) {
		bool closed = v->closed;

		pthread_mutex_unlock(&v->lock);
		return closed ? EV_CLOSED : EV_FULL;
	}
	call->err = EV_OK;
	decide(v, call);
	v->due_ns[v->n_calls] = now() + v->delay_ns;
	v->calls[v->n_calls++] = call;
	v->flying[command]++;
	if (v->flying[command] > v->most_flying[command])
		v->most_flying[command] = v->flying[command];
	pthread_mutex_unlock(&v->lock);
	return EV_OK;
}

static void remove_call(struct service *v, size_t i)
{
	v->flying[v->calls[i]->service == AWS_SQS]--;
	v->n_calls--;
	memmove(&v->calls[i], &v->calls[i + 1], (v->n_calls - i) * sizeof(v->calls[0]));
	memmove(&v->due_ns[i], &v->due_ns[i + 1], (v->n_calls - i) * sizeof(v->due_ns[0]));
}

static ev_err look(struct service *v, int64_t end_ns, struct aws_call **out, int64_t *until_ns)
{
	if (v->closed)
		return EV_CLOSED;
	if (v->n_calls == 0)
		return EV_NOTFOUND;
	if (v->due_ns[0] <= now()) {
		*out = v->calls[0];
		remove_call(v, 0);
		return EV_OK;
	}
	if (v->woken) {
		v->woken = false;
		return EV_BUSY;
	}
	*until_ns = v->due_ns[0] < end_ns ? v->due_ns[0] : end_ns;
	return now() >= end_ns ? EV_TIMEOUT : EV_UNSUPPORTED; /* go on */
}

static ev_err poll(struct aws_caller *c, int64_t timeout_ns, struct aws_call **out)
{
	struct service *v = service_of(c);
	int64_t end_ns = now() + timeout_ns;
	int64_t until_ns = 0;
	ev_err err;

	pthread_mutex_lock(&v->lock);
	while ((err = look(v, end_ns, out, &until_ns)) == EV_UNSUPPORTED) {
		struct timespec t = { .tv_sec = until_ns / EV_NS_PER_S,
				      .tv_nsec = until_ns % EV_NS_PER_S };

		(void)pthread_cond_timedwait(&v->some, &v->lock, &t);
	}
	pthread_mutex_unlock(&v->lock);
	return err;
}

static void cancel(struct aws_caller *c, struct aws_call *call)
{
	struct service *v = service_of(c);

	pthread_mutex_lock(&v->lock);
	for (size_t i = 0; i < v->n_calls; i++) {
		if (v->calls[i] == call) {
			remove_call(v, i);
			break;
		}
	}
	pthread_mutex_unlock(&v->lock);
	aws_call_clear(call);
}

static void run(struct aws_caller *c, struct aws_call calls[], size_t n, int64_t deadline_ns)
{
	struct service *v = service_of(c);

	(void)deadline_ns;
	pthread_mutex_lock(&v->lock);
	for (size_t i = 0; i < n; i++) {
		if (!v->closed) {
			decide(v, &calls[i]);
			continue;
		}
		set_error(&calls[i], AWS_ERROR_OTHER);
		calls[i].err = EV_CLOSED;
	}
	pthread_mutex_unlock(&v->lock);
}

static void wake(struct aws_caller *c)
{
	struct service *v = service_of(c);

	pthread_mutex_lock(&v->lock);
	v->woken = true;
	pthread_cond_signal(&v->some);
	pthread_mutex_unlock(&v->lock);
}

static struct aws_retry_tokens *tokens(struct aws_caller *c)
{
	return &service_of(c)->tokens;
}

static const struct aws_retry_rules *rules(const struct aws_caller *c)
{
	return &((const struct service *)(const void *)c)->rules;
}

static struct ev_rng *rng(struct aws_caller *c)
{
	return &service_of(c)->rng.base;
}

static const struct aws_caller_ops caller_ops = {
	.submit = submit,
	.poll = poll,
	.cancel = cancel,
	.run = run,
	.wake = wake,
	.tokens = tokens,
	.rules = rules,
	.rng = rng,
};

static void service_init(struct service *v)
{
	pthread_condattr_t attr;

	memset(v, 0, sizeof(*v));
	v->base.ops = &caller_ops;
	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->some, &attr);
	pthread_condattr_destroy(&attr);
	ev_rng_seeded_init(&v->rng, 7);
	v->tokens = (struct aws_retry_tokens){ .left = 1000000 };
	v->rules = (struct aws_retry_rules){ .max_attempts = 3,
					     .base_ns = EV_NS_PER_MS,
					     .max_ns = 4 * EV_NS_PER_MS };
	v->delay_ns = EV_NS_PER_MS;
}

static void service_deinit(struct service *v)
{
	assert_false(v->wrong);
	assert_int_equal(v->n_calls, 0);
	pthread_cond_destroy(&v->some);
	pthread_mutex_destroy(&v->lock);
}

/* --- Lanes --- */

struct lane {
	struct aws_sender *sender;
	unsigned outlet, total; /* of each kind */
	unsigned sent[2];
	uint64_t errors;
	ev_err last_err;
	bool until_error;
	pthread_t thread;
};

static struct aws_effect effect(unsigned outlet, bool command, unsigned number)
{
	struct aws_effect e = { .is_command = command };
	struct ev_uuid id = { .b = { 1, [15] = (uint8_t)outlet } };

	if (command)
		e.command = (struct device_command){ .outlet_id = id,
						     .version = number,
						     .change = OUTLET_CHARGING,
						     .energy_mwh = number };
	else
		e.event = (struct charging_event){ .initiator = INITIATOR_OUTLET_BACKEND,
						   .outlet_id = id,
						   .state = OUTLET_CHARGING,
						   .energy_mwh = number };
	return e;
}

/* As the store does: what was not accepted is sent again, in order. */
static void *lane_run(void *arg)
{
	struct lane *l = arg;
	unsigned round = l->outlet;

	while (l->sent[0] < l->total || l->sent[1] < l->total) {
		struct aws_effect effects[6];
		unsigned next[2] = { l->sent[0], l->sent[1] };
		size_t n = 0, sent = 99;

		for (unsigned i = 0; i < 1 + round % 6; i++) {
			bool command = (round + i) % 3 == 0;

			if (next[command] == l->total)
				command = !command;
			if (next[command] == l->total)
				break;
			effects[n++] = effect(l->outlet, command, ++next[command]);
		}
		round++;
		l->last_err = l->sender->ops->send(l->sender, effects, n, &sent);
		for (size_t i = 0; i < sent; i++)
			l->sent[effects[i].is_command]++;
		l->errors += l->last_err != EV_OK;
		if (l->last_err != EV_OK && l->until_error)
			break;
	}
	return NULL;
}

static void lanes_run(struct aws_sender *sender, struct lane lanes[], unsigned n, unsigned total)
{
	for (unsigned i = 0; i < n; i++) {
		lanes[i].sender = sender;
		lanes[i].outlet = i;
		lanes[i].total = total;
		assert_int_equal(pthread_create(&lanes[i].thread, NULL, lane_run, &lanes[i]), 0);
	}
}

static void lanes_join(struct lane lanes[], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pthread_join(lanes[i].thread, NULL);
}

static struct aws_sender *sender_over(struct service *v)
{
	struct aws_sender_shared_config c = aws_sender_shared_defaults();
	struct aws_sender *sender = NULL;

	c.caller = &v->base;
	c.clock = ev_clock_os();
	c.stream = "s";
	c.queue = "q";
	assert_int_equal(aws_sender_shared_new(&c, &sender), EV_OK);
	return sender;
}

static void sends_the_effects_of_many_lanes_together(void **state)
{
	struct service v;
	struct lane lanes[LANES] = { { .total = 0 } };
	struct aws_sender_shared_stats stats;
	struct aws_sender *sender;

	(void)state;
	service_init(&v);
	sender = sender_over(&v);
	lanes_run(sender, lanes, LANES, 60);
	lanes_join(lanes, LANES);
	aws_sender_shared_stats(sender, &stats);
	sender->ops->free(sender);
	for (unsigned i = 0; i < LANES; i++) {
		assert_int_equal(lanes[i].errors, 0);
		assert_int_equal(v.last[i][0], 60);
		assert_int_equal(v.last[i][1], 60);
	}
	assert_int_equal(v.doubled, 0);
	assert_int_equal(stats.events, 60 * LANES);
	assert_int_equal(stats.commands, 60 * LANES);
	assert_true(stats.puts < stats.events);
	assert_true(v.most_entries[0] > 1);
	assert_true(v.most_flying[0] <= 2 && v.most_flying[1] <= 8);
	assert_int_equal(stats.waiting, 0);
	service_deinit(&v);
}

static void keeps_each_outlets_order_through_every_failure(void **state)
{
	struct service v;
	struct lane lanes[LANES] = { { .total = 0 } };
	struct aws_sender_shared_stats stats;
	struct aws_sender *sender;

	(void)state;
	service_init(&v);
	v.refuse = 200;
	v.fail = 50;
	v.lose = 50;
	v.lost_answer = 50;
	sender = sender_over(&v);
	lanes_run(sender, lanes, LANES, 60);
	lanes_join(lanes, LANES);
	aws_sender_shared_stats(sender, &stats);
	sender->ops->free(sender);
	for (unsigned i = 0; i < LANES; i++) {
		assert_int_equal(v.last[i][0], 60);
		assert_int_equal(v.last[i][1], 60);
	}
	assert_true(stats.resent > 0);
	assert_true(v.doubled > 0);
	service_deinit(&v);
}

static void gives_up_what_is_refused_for_good(void **state)
{
	struct service v;
	struct lane lane = { .until_error = true };
	struct aws_sender_shared_stats stats;
	struct aws_sender *sender;

	(void)state;
	service_init(&v);
	v.refuse = 1000;
	sender = sender_over(&v);
	lanes_run(sender, &lane, 1, 1);
	lanes_join(&lane, 1);
	assert_int_equal(lane.last_err, EV_BUSY);
	assert_int_equal(lane.sent[0] + lane.sent[1], 0);
	aws_sender_shared_stats(sender, &stats);
	assert_int_equal(stats.failed, 1);
	sender->ops->free(sender);
	service_deinit(&v);
}

/* Events before the command are sent; the command and what follows it are not. */
static void a_missing_queue_stops_commands_only(void **state)
{
	const struct aws_effect effects[] = { effect(1, false, 1), effect(1, true, 1),
					      effect(1, false, 2) };
	struct service v;
	struct aws_sender *sender;
	size_t sent = 99;

	(void)state;
	service_init(&v);
	v.no_queue = true;
	sender = sender_over(&v);
	assert_int_equal(sender->ops->send(sender, effects, 3, &sent), EV_NOTFOUND);
	assert_int_equal(sent, 1);
	assert_int_equal(sender->ops->send(sender, effects, 0, &sent), EV_OK);
	assert_int_equal(sent, 0);
	sender->ops->free(sender);
	assert_int_equal(v.last[1][0], 1);
	service_deinit(&v);
}

static void a_caller_that_dies_ends_all_sends(void **state)
{
	struct service v;
	struct lane lanes[LANES] = { { .total = 0 } };
	struct aws_sender *sender;

	(void)state;
	service_init(&v);
	v.delay_ns = 60 * EV_NS_PER_S; /* nothing is ever done */
	for (unsigned i = 0; i < LANES; i++)
		lanes[i].until_error = true;
	sender = sender_over(&v);
	lanes_run(sender, lanes, LANES, 5);
	pthread_mutex_lock(&v.lock);
	v.closed = true;
	v.woken = true;
	pthread_cond_signal(&v.some);
	pthread_mutex_unlock(&v.lock);
	lanes_join(lanes, LANES);
	for (unsigned i = 0; i < LANES; i++)
		assert_true(lanes[i].last_err == EV_CLOSED || lanes[i].last_err == EV_TIMEOUT);
	sender->ops->free(sender);
	service_deinit(&v);
}

static void refuses_more_sends_than_it_may_hold(void **state)
{
	struct aws_sender_shared_config c = aws_sender_shared_defaults();
	const struct aws_effect e = effect(1, false, 1);
	struct aws_sender_shared_stats stats;
	struct aws_sender *sender = NULL;
	struct service v;
	size_t sent = 99;

	(void)state;
	service_init(&v);
	c.caller = &v.base;
	c.clock = ev_clock_os();
	c.stream = "s";
	c.queue = "q";
	c.max_waiting = 0;
	assert_int_equal(aws_sender_shared_new(&c, &sender), EV_OK);
	assert_int_equal(sender->ops->send(sender, &e, 1, &sent), EV_BUSY);
	assert_int_equal(sent, 0);
	aws_sender_shared_stats(sender, &stats);
	assert_int_equal(stats.refused, 1);
	sender->ops->free(sender);
	service_deinit(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_the_effects_of_many_lanes_together),
		cmocka_unit_test(keeps_each_outlets_order_through_every_failure),
		cmocka_unit_test(gives_up_what_is_refused_for_good),
		cmocka_unit_test(a_missing_queue_stops_commands_only),
		cmocka_unit_test(a_caller_that_dies_ends_all_sends),
		cmocka_unit_test(refuses_more_sends_than_it_may_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
