/* test_aws_intake.c — device messages from the queue, on the cloud in memory. */
#include "engine/aws/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/time.h"
#include "cloud/cloud.h"
#include "codec/device_json.h"
#include "engine/aws/sqs.h"
#include "vectors.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)
#define STEPS_MAX 20000
#define OUTLETS 7

struct bench {
	struct ev_clock_manual clock;
	struct cloud *cloud;
	struct cloud_caller *p;
	struct aws_resources resources;
	char url_in[SQS_URL_MAX], url_dead[SQS_URL_MAX];
	struct aws_intake_config config;
	struct aws_intake *intake;

	/* What stands in for the lanes and the services. */
	struct ev_list waiting;
	struct ev_map seen; /* identities that took effect → how often they came */
	struct ev_map letters;
	uint64_t n_submitted, n_applied;
	bool is_busy, is_failing;
	unsigned rejected_outlet; /* last byte of the outlet's id; 0: none */
	char last_detail[120];
	struct identity last_id;
	int64_t last_at_ns;
};

static void submit(void *user, struct job *j)
{
	struct bench *b = user;

	b->n_submitted++;
	ev_list_push(&b->waiting, &j->node);
}

static bool is_busy(void *user)
{
	return ((struct bench *)user)->is_busy;
}

static void find_url(struct bench *b, const char *queue, char url[SQS_URL_MAX])
{
	char body[SQS_REQUEST_MAX];
	struct ev_buf buf = ev_buf_over(body, sizeof(body) - 1);
	struct ev_str answer;

	sqs_write_name(ev_str_from(queue), &buf);
	body[buf.len] = '\0';
	assert_int_equal(cloud_do(b->cloud, AWS_SQS, "GetQueueUrl", body, &answer), EV_OK);
	assert_int_equal(sqs_read_url(answer, url), EV_OK);
}

static void start(struct bench *b)
{
	assert_int_equal(aws_intake_new(&b->config, &b->intake), EV_OK);
}

static void bench_open(struct bench *b, uint64_t seed)
{
	static const uint64_t map_seed[2] = { 1, 2 };
	struct cloud_config config = { .clock = &b->clock, .seed = seed };

	memset(b, 0, sizeof(*b));
	ev_clock_manual_init(&b->clock, START_NS);
	b->cloud = cloud_new(&config);
	b->p = cloud_caller_new(b->cloud, "intake");
	assert_int_equal(aws_resources_init(&b->resources, EV_LIT(AWS_PREFIX_DEFAULT)), EV_OK);
	cloud_provision(b->cloud, &b->resources);
	find_url(b, b->resources.messages_in, b->url_in);
	find_url(b, b->resources.messages_in_dead, b->url_dead);
	ev_map_init(&b->seen, 0, map_seed);
	ev_map_init(&b->letters, 0, map_seed);
	b->config = aws_intake_defaults();
	b->config.caller = cloud_caller(b->p);
	b->config.resources = &b->resources;
	b->config.clock = &b->clock.base;
	b->config.submit = submit;
	b->config.is_busy = is_busy;
	b->config.user = b;
	start(b);
}

static void give_back(struct bench *b, ev_err e)
{
	struct ev_node *node;

	while ((node = ev_list_pop(&b->waiting)) != NULL) {
		struct job *j = (struct job *)(void *)node;

		j->err = e;
		j->owner->done(j->owner, j);
	}
}

static void bench_close(struct bench *b)
{
	give_back(b, EV_CLOSED);
	aws_intake_free(b->intake);
	ev_map_deinit(&b->seen);
	ev_map_deinit(&b->letters);
	cloud_caller_free(b->p);
	cloud_free(b->cloud);
}

/* --- what stands in for the services --- */

static void count_up(struct ev_map *m, const struct identity *id)
{
	uintptr_t n = 0;

	(void)ev_map_get(m, id->b, &n);
	assert_int_equal(ev_map_put(m, id->b, n + 1), EV_OK);
}

static void decide(struct bench *b, struct device_job *j)
{
	uintptr_t n = 0;
	bool rejected = !j->decoded || (b->rejected_outlet != 0 &&
					j->message.outlet_id.b[15] == b->rejected_outlet);

	b->last_id = j->id;
	b->last_at_ns = j->job.at_ns;
	memcpy(b->last_detail, j->detail, sizeof(b->last_detail));
	if (rejected) {
		j->job.verdict = VERDICT_REJECTED;
		j->job.reason = j->decoded ? REASON_UNKNOWN_OUTLET : j->why;
		count_up(&b->letters, &j->id);
		return;
	}
	j->job.verdict = ev_map_get(&b->seen, j->id.b, &n) ? VERDICT_DUPLICATE : VERDICT_APPLIED;
	b->n_applied += j->job.verdict == VERDICT_APPLIED;
	count_up(&b->seen, &j->id);
}

static void decide_all(struct bench *b)
{
	for (struct ev_node *node = b->waiting.first; node != NULL; node = node->next)
		decide(b, (struct device_job *)(void *)node);
	give_back(b, b->is_failing ? EV_BUSY : EV_OK);
}

/* --- sending and running --- */

static struct ev_str report(unsigned outlet, unsigned n, const char *message_id, char *room,
			    size_t cap)
{
	int k = snprintf(
		room, cap,
		"{\"outletId\":\"86c911e2-bbf3-42c8-8925-f9d380c1f3%02x\",\"rfidTag\":\"t\","
		"\"periodStart\":\"2023-06-13T10:15:30Z\","
		"\"periodEnd\":\"2023-06-13T10:15:30Z\",\"outletStateChange\":\"Charging\","
		"\"powerConsumption\":%u%s%s%s}",
		outlet, n, message_id != NULL ? ",\"messageId\":\"" : "",
		message_id != NULL ? message_id : "", message_id != NULL ? "\"" : "");

	return (struct ev_str){ room, (size_t)k };
}

static ev_err send(struct bench *b, const char *url, const struct sqs_entry *entry)
{
	size_t room = sqs_send_room(entry, 1) + 1;
	char *body = malloc(room);
	struct ev_buf buf = ev_buf_over(body, room - 1);
	struct ev_str answer;
	struct aws_call call = { .err = EV_OK };
	enum aws_error_kind kinds[SQS_ENTRIES_MAX];
	ev_err e;

	sqs_write_send(ev_str_from(url), entry, 1, &buf);
	assert_false(buf.overflow);
	body[buf.len] = '\0';
	e = memchr(body, '\0', buf.len) != NULL
		    ? EV_INVALID
		    : cloud_do(b->cloud, AWS_SQS, "SendMessageBatch", body, &answer);
	free(body);
	if (e != EV_OK)
		return e;
	call.answer = answer;
	sqs_batch_results(&call, 1, kinds);
	return aws_error_map(kinds[0]);
}

static void send_text(struct bench *b, struct ev_str text)
{
	struct sqs_entry entry = { .body = text };

	assert_int_equal(send(b, b->url_in, &entry), EV_OK);
}

static ev_err turn(struct bench *b)
{
	return aws_intake_turn(b->intake, 0);
}

static void advance(struct bench *b, int64_t ns)
{
	ev_clock_manual_advance(&b->clock, ns);
}

static struct aws_intake_state state_of(struct bench *b)
{
	struct aws_intake_state s;

	aws_intake_state(b->intake, &s);
	return s;
}

/* Until the queue is empty and nothing is in hand; faults may be on. */
static void run_until_empty(struct bench *b)
{
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		ev_err e = turn(b);

		assert_true(e == EV_OK || e == EV_TIMEOUT);
		decide_all(b);
		if (cloud_n_messages(b->cloud, b->resources.messages_in) == 0 &&
		    state_of(b).in_hand == 0)
			return;
		if (e == EV_TIMEOUT)
			advance(b, 50 * EV_NS_PER_MS);
	}
	fail_msg("the queue is not emptied");
}

struct found {
	size_t n, n_attributes;
	char body[4096], attributes[4096];
};

static void copy_str(char *out, size_t cap, struct ev_str s)
{
	size_t n = s.n < cap ? s.n : cap - 1;

	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
}

static void visit(void *user, const struct cloud_message *m)
{
	struct found *f = user;

	f->n++;
	f->n_attributes += m->attributes.n > 0;
	copy_str(f->body, sizeof(f->body), m->body);
	copy_str(f->attributes, sizeof(f->attributes), m->attributes);
}

static struct found look_into(struct bench *b, const char *queue)
{
	struct found f = { .n = 0 };

	assert_int_equal(cloud_each_message(b->cloud, queue, visit, &f), EV_OK);
	return f;
}

/* --- tests --- */

static void deletes_a_message_only_when_its_job_is_done(void **state)
{
	struct bench b;
	char room[512];

	(void)state;
	bench_open(&b, 1);
	send_text(&b, report(1, 5, NULL, room, sizeof(room)));
	for (int i = 0; i < 10; i++)
		(void)turn(&b);
	assert_int_equal(b.n_submitted, 1);
	assert_int_equal(cloud_n_calls(b.cloud, AWS_SQS, "DeleteMessageBatch"), 0);
	run_until_empty(&b);
	assert_int_equal(b.n_applied, 1);
	assert_int_equal(b.last_at_ns, START_NS);
	assert_int_equal(state_of(&b).deleted, 1);
	assert_true(state_of(&b).ready);
	bench_close(&b);
}

static void gathers_deletes_into_batches(void **state)
{
	struct bench b;
	char room[512];

	(void)state;
	bench_open(&b, 1);
	for (unsigned i = 0; i < 100; i++)
		send_text(&b, report(i % OUTLETS, i, NULL, room, sizeof(room)));
	run_until_empty(&b);
	assert_int_equal(b.n_applied, 100);
	assert_int_equal(cloud_n_calls(b.cloud, AWS_SQS, "DeleteMessageBatch"), 10);
	bench_close(&b);
}

static void a_job_that_failed_comes_again_with_the_same_identity(void **state)
{
	struct bench b;
	char room[512];
	struct identity first;

	(void)state;
	bench_open(&b, 1);
	b.is_failing = true;
	send_text(&b, report(1, 5, NULL, room, sizeof(room)));
	while (b.n_submitted == 0)
		(void)turn(&b);
	decide_all(&b);
	first = b.last_id;
	(void)turn(&b);
	assert_int_equal(state_of(&b).failed, 1);
	assert_int_equal(state_of(&b).in_hand, 0);
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.messages_in), 1);
	b.is_failing = false;
	run_until_empty(&b);
	assert_true(identity_eq(&first, &b.last_id));
	assert_int_equal(b.n_submitted, 2);
	bench_close(&b);
}

static void extends_what_takes_long(void **state)
{
	struct bench b;
	char room[512];

	(void)state;
	bench_open(&b, 1);
	send_text(&b, report(1, 5, NULL, room, sizeof(room)));
	for (unsigned i = 0; i < 3000; i++) {
		(void)turn(&b);
		advance(&b, 100 * EV_NS_PER_MS);
	}
	assert_int_equal(b.n_submitted, 1);
	assert_in_range(state_of(&b).extended, 19, 21); /* 300 s, each 15 s */
	run_until_empty(&b);
	assert_int_equal(b.n_applied, 1);
	bench_close(&b);
}

/* A visibility that cannot be extended: somebody gets the message a second time. */
static enum cloud_fault no_extension(void *user, const struct cloud_attempt *a)
{
	(void)user;
	return strcmp(a->operation, "ChangeMessageVisibilityBatch") == 0 ? CLOUD_DENIED
									 : CLOUD_FINE;
}

static void a_message_that_ran_out_of_time_is_a_duplicate(void **state)
{
	struct bench b;
	struct cloud_config config = { .clock = &b.clock, .seed = 1, .fault = no_extension };
	char room[512];

	(void)state;
	bench_open(&b, 1);
	cloud_caller_free(b.p);
	aws_intake_free(b.intake);
	cloud_free(b.cloud);
	b.cloud = cloud_new(&config);
	b.p = cloud_caller_new(b.cloud, "intake");
	cloud_provision(b.cloud, &b.resources);
	b.config.caller = cloud_caller(b.p);
	start(&b);
	send_text(&b, report(1, 5, NULL, room, sizeof(room)));
	for (unsigned i = 0; i < 400 && b.n_submitted < 2; i++) {
		(void)turn(&b);
		advance(&b, 100 * EV_NS_PER_MS);
	}
	assert_int_equal(b.n_submitted, 2);
	assert_non_null(strstr(state_of(&b).fail.text, b.resources.messages_in));
	assert_non_null(strstr(state_of(&b).fail.text, "ChangeMessageVisibilityBatch"));
	run_until_empty(&b);
	assert_int_equal(b.n_applied, 1);
	bench_close(&b);
}

static void stops_receiving_when_it_has_enough(void **state)
{
	struct bench b;
	char room[512];

	(void)state;
	bench_open(&b, 1);
	aws_intake_free(b.intake);
	b.config.max_in_hand = 20;
	start(&b);
	for (unsigned i = 0; i < 100; i++)
		send_text(&b, report(1, i, NULL, room, sizeof(room)));
	for (unsigned i = 0; i < 50; i++)
		(void)turn(&b);
	assert_int_equal(b.n_submitted, 20);
	b.is_busy = true;
	decide_all(&b);
	for (unsigned i = 0; i < 50; i++)
		(void)turn(&b);
	assert_int_equal(b.n_submitted, 20);
	b.is_busy = false;
	run_until_empty(&b);
	assert_int_equal(b.n_applied, 100);
	bench_close(&b);
}

static void moves_what_is_rejected_with_its_reason(void **state)
{
	struct bench b;
	char room[512];
	struct found f;
	char hex[33];

	(void)state;
	bench_open(&b, 1);
	b.rejected_outlet = 1;
	send_text(&b, report(1, 5, "m1", room, sizeof(room)));
	advance(&b, 3 * EV_NS_PER_S);
	run_until_empty(&b);
	f = look_into(&b, b.resources.messages_in_dead);
	assert_int_equal(f.n, 1);
	assert_string_equal(f.body, room);
	ev_hex(b.last_id.b, 16, hex);
	assert_non_null(strstr(f.attributes, hex));
	assert_non_null(strstr(f.attributes, "1700000000000000000"));
	assert_non_null(strstr(f.attributes, reason_text(REASON_UNKNOWN_OUTLET)));
	assert_int_equal(state_of(&b).rejected, 1);
	assert_int_equal(state_of(&b).moved, 1);
	bench_close(&b);
}

/* What a person does in Amazon's console: the attributes go with it, all else is new. */
static void a_message_moved_back_keeps_identity_and_at(void **state)
{
	struct bench b;
	char room[512];
	struct identity id;
	struct sqs_entry entry = { .is_moved = true };

	(void)state;
	bench_open(&b, 1);
	b.rejected_outlet = 1;
	send_text(&b, report(1, 5, NULL, room, sizeof(room)));
	run_until_empty(&b);
	id = b.last_id;
	b.rejected_outlet = 0;
	advance(&b, EV_NS_PER_HOUR);
	entry.body = ev_str_from(room);
	entry.id = id;
	entry.at_ns = START_NS;
	entry.reason = EV_LIT("no such outlet");
	assert_int_equal(send(&b, b.url_in, &entry), EV_OK);
	run_until_empty(&b);
	assert_true(identity_eq(&id, &b.last_id));
	assert_int_equal(b.last_at_ns, START_NS);
	/* But nobody makes himself younger than the queue says. */
	entry.at_ns = INT64_MAX;
	assert_int_equal(send(&b, b.url_in, &entry), EV_OK);
	run_until_empty(&b);
	assert_int_equal(b.last_at_ns, START_NS + EV_NS_PER_HOUR);
	bench_close(&b);
}

static void every_vector_ends_deleted_or_moved(void **state)
{
	struct json_object *file = vectors_load("outlet_device_messages.json");
	struct json_object *cases = vector_get(file, "cases");
	size_t n = json_object_array_length(cases), n_sent = 0, n_read = 0;
	struct bench b;
	struct found f;

	(void)state;
	bench_open(&b, 1);
	for (size_t i = 0; i < n; i++) {
		struct ev_str json = vector_str(json_object_array_get_idx(cases, i), "json");
		struct sqs_entry entry = { .body = json };
		struct device_wire wire;
		struct device_message m;
		enum reason why;

		if (!sqs_may_send(json)) {
			assert_int_not_equal(send(&b, b.url_in, &entry), EV_OK);
			continue;
		}
		assert_int_equal(send(&b, b.url_in, &entry), EV_OK);
		n_sent++;
		n_read += device_json_decode(json, &wire, NULL) == EV_OK &&
			  device_wire_check(&wire, &m, &why) == EV_OK;
	}
	assert_int_equal(n, 80);
	assert_in_range(n_sent, 70, 79);
	assert_in_range(n_read, 25, 50);
	run_until_empty(&b);
	f = look_into(&b, b.resources.messages_in_dead);
	assert_int_equal(b.n_applied, n_read);
	assert_int_equal(f.n, n_sent - n_read);
	assert_int_equal(f.n_attributes, f.n);
	assert_int_equal(state_of(&b).undecodable, n_sent - n_read);
	assert_int_equal(state_of(&b).not_movable, 0);
	json_object_put(file);
	bench_close(&b);
}

/* With its attributes it would be too large: it goes without them. */
static void the_largest_message_is_moved_bare(void **state)
{
	struct bench b;
	struct found f;
	char *text = malloc(SQS_BYTES_MAX);

	(void)state;
	memset(text, '"', SQS_BYTES_MAX);
	bench_open(&b, 1);
	send_text(&b, (struct ev_str){ text, SQS_BYTES_MAX });
	send_text(&b, (struct ev_str){ text, SQS_BYTES_MAX - 1000 });
	run_until_empty(&b);
	f = look_into(&b, b.resources.messages_in_dead);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.n_attributes, 1);
	assert_int_equal(state_of(&b).moved_bare, 1);
	free(text);
	bench_close(&b);
}

static void says_which_queue_is_missing(void **state)
{
	struct bench b;
	char body[SQS_REQUEST_MAX];
	struct ev_buf buf = ev_buf_over(body, sizeof(body) - 1);
	struct aws_intake_state s;

	(void)state;
	bench_open(&b, 1);
	sqs_write_url(ev_str_from(b.url_dead), &buf);
	body[buf.len] = '\0';
	assert_int_equal(cloud_do(b.cloud, AWS_SQS, "DeleteQueue", body, NULL), EV_OK);
	advance(&b, 120 * EV_NS_PER_S);
	for (unsigned i = 0; i < 100; i++) {
		(void)turn(&b);
		advance(&b, 100 * EV_NS_PER_MS);
	}
	s = state_of(&b);
	assert_false(s.ready);
	assert_non_null(strstr(s.fail.text, b.resources.messages_in_dead));
	assert_non_null(strstr(s.fail.text, "GetQueueUrl"));
	assert_in_range(s.errors, 3, 30); /* with back-off */
	bench_close(&b);
}

static void drains_when_nothing_is_left_in_flight(void **state)
{
	struct bench b;
	char room[512];

	(void)state;
	bench_open(&b, 1);
	send_text(&b, report(1, 5, NULL, room, sizeof(room)));
	while (b.n_submitted == 0)
		(void)turn(&b);
	assert_false(aws_intake_drain(b.intake));
	decide_all(&b);
	for (unsigned i = 0; i < 300 && !aws_intake_drain(b.intake); i++) {
		(void)turn(&b);
		advance(&b, 100 * EV_NS_PER_MS);
	}
	assert_true(aws_intake_drain(b.intake));
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.messages_in), 0);
	send_text(&b, report(1, 6, NULL, room, sizeof(room)));
	(void)turn(&b);
	assert_int_equal(b.n_submitted, 1);
	bench_close(&b);
}

/* --- everything at once --- */

#define N_MESSAGES 240

static void set_rates(struct cloud *c)
{
	static const enum cloud_fault faults[] = {
		CLOUD_THROTTLED, CLOUD_SERVER_ERROR, CLOUD_LOST_REQUEST, CLOUD_LOST_ANSWER,
		CLOUD_PARTIAL,   CLOUD_DUPLICATE,    CLOUD_STALE,        CLOUD_EXPIRED_TOKEN,
		CLOUD_DENIED,    CLOUD_GARBAGE,      CLOUD_DIES_BEFORE,  CLOUD_DIES_AFTER,
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(faults); i++)
		cloud_set_rate(c, faults[i], i < 8 ? 30000 : 8000);
}

/* The process ends somewhere and starts again; what its services did stays. */
static void start_again(struct bench *b)
{
	give_back(b, EV_CLOSED);
	aws_intake_free(b->intake);
	cloud_revive(b->p);
	start(b);
}

static void run_with_faults(struct bench *b, unsigned *out_deaths)
{
	*out_deaths = 0;
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		ev_err e = turn(b);

		if (i % 3 != 0 || e == EV_CLOSED)
			decide_all(b);
		if (e == EV_CLOSED) {
			start_again(b);
			(*out_deaths)++;
		}
		advance(b, 200 * EV_NS_PER_MS);
		if (i > 1500) /* peace at last */
			cloud_set_faults(b->cloud, false);
		if (i > 1500 && cloud_n_messages(b->cloud, b->resources.messages_in) == 0 &&
		    state_of(b).in_hand == 0)
			return;
	}
	fail_msg("the queue is not emptied");
}

static void nothing_is_lost_whatever_fails(void **state)
{
	unsigned all_deaths = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct bench b;
		char room[512], id[32];
		unsigned deaths, n_bad = 0, n_rejected = 0;

		bench_open(&b, seed);
		b.rejected_outlet = 3;
		for (unsigned i = 0; i < N_MESSAGES; i++) {
			unsigned outlet = 1 + i % OUTLETS;

			snprintf(id, sizeof(id), "m%u", i);
			if (i % 10 == 9)
				send_text(&b, (struct ev_str){ id, strlen(id) });
			else
				send_text(&b, report(outlet, i, i % 2 != 0 ? id : NULL, room,
						     sizeof(room)));
			n_bad += i % 10 == 9;
			n_rejected += i % 10 != 9 && outlet == b.rejected_outlet;
		}
		set_rates(b.cloud);
		run_with_faults(&b, &deaths);
		all_deaths += deaths;
		assert_int_equal(b.n_applied, N_MESSAGES - n_bad - n_rejected);
		assert_int_equal(ev_map_len(&b.letters), n_bad + n_rejected);
		assert_true(cloud_n_messages(b.cloud, b.resources.messages_in_dead) >=
			    n_bad + n_rejected);
		bench_close(&b);
	}
	assert_true(all_deaths > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deletes_a_message_only_when_its_job_is_done),
		cmocka_unit_test(gathers_deletes_into_batches),
		cmocka_unit_test(a_job_that_failed_comes_again_with_the_same_identity),
		cmocka_unit_test(extends_what_takes_long),
		cmocka_unit_test(a_message_that_ran_out_of_time_is_a_duplicate),
		cmocka_unit_test(stops_receiving_when_it_has_enough),
		cmocka_unit_test(moves_what_is_rejected_with_its_reason),
		cmocka_unit_test(a_message_moved_back_keeps_identity_and_at),
		cmocka_unit_test(every_vector_ends_deleted_or_moved),
		cmocka_unit_test(the_largest_message_is_moved_bare),
		cmocka_unit_test(says_which_queue_is_missing),
		cmocka_unit_test(drains_when_nothing_is_left_in_flight),
		cmocka_unit_test(nothing_is_lost_whatever_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
