#include "consumer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/rng.h"
#include "base/time.h"
#include "codec/event_proto.h"

#define BODY 8192

void world_do(struct world *w, enum aws_service service, const char *operation, const char *fmt,
	      ...)
{
	static char body[BODY];
	va_list args;
	ev_err e;

	va_start(args, fmt);
	vsnprintf(body, sizeof(body), fmt, args);
	va_end(args);
	e = cloud_do(w->cloud, service, operation, body, NULL);
	if (e != EV_OK)
		print_error("%s %s: %s\n", operation, body, ev_err_text(e));
	assert_int_equal(e, EV_OK);
}

void world_init(struct world *w, uint64_t seed, unsigned max_attempts, world_fault_fn fault)
{
	struct cloud_config config = {
		.clock = &w->clock, .seed = seed, .max_attempts = max_attempts, .fault = fault
	};

	memset(w, 0, sizeof(*w));
	ev_clock_manual_init(&w->clock, INT64_C(1700000000) * EV_NS_PER_S);
	ev_rng_seeded_init(&w->rng, seed);
	w->error = EV_IO;
	assert_int_equal(aws_resources_init(&w->names, EV_LIT(AWS_PREFIX_DEFAULT)), EV_OK);
	w->cloud = cloud_new(&config);
	cloud_provision(w->cloud, &w->names);
	for (unsigned i = 0; i < WORLD_WORKERS; i++) {
		struct worker *k = &w->workers[i];

		k->world = w;
		snprintf(k->name, sizeof(k->name), "evcharge-%u", i);
		k->caller = cloud_caller_new(w->cloud, k->name);
	}
}

/* Jobs of a process that is gone come back to nobody; here to its consumer, which frees them. */
static void give_all_back(struct worker *k)
{
	struct ev_node *node;

	while ((node = ev_list_pop(&k->jobs)) != NULL) {
		struct job *j = (struct job *)(void *)node;

		j->err = EV_CLOSED;
		j->owner->done(j->owner, j);
	}
}

void world_kill(struct world *w, unsigned i)
{
	struct worker *k = &w->workers[i];

	cloud_kill(k->caller);
	give_all_back(k);
	aws_consumer_free(k->consumer);
	k->consumer = NULL;
	cloud_revive(k->caller);
}

void world_deinit(struct world *w)
{
	for (unsigned i = 0; i < WORLD_WORKERS; i++) {
		if (w->workers[i].consumer != NULL)
			world_kill(w, i);
		cloud_caller_free(w->workers[i].caller);
	}
	cloud_free(w->cloud);
}

struct ev_uuid world_outlet(unsigned outlet)
{
	struct ev_uuid id;

	for (size_t i = 0; i < sizeof(id.b); i++)
		id.b[i] = (uint8_t)(outlet * 37 + i * 11);
	id.b[15] = (uint8_t)outlet;
	return id;
}

void world_put_bytes(struct world *w, const void *p, size_t n, unsigned outlet)
{
	char text[4096];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct ev_uuid id = w->random_keys ? ev_rng_uuid(&w->rng.base) : world_outlet(outlet);
	char uuid[EV_UUID_TEXT + 1];

	ev_uuid_text(&id, uuid);
	ev_base64_write(&b, p, n);
	assert_false(b.overflow);
	world_do(w, AWS_KINESIS, "PutRecord",
		 "{\"StreamName\":\"%s\",\"Data\":\"%.*s\",\"PartitionKey\":\"%s\"}",
		 w->names.event_stream, (int)b.len, b.p, uuid);
}

static void put_event(struct world *w, unsigned outlet, enum initiator from, unsigned number)
{
	struct charging_event e = { .initiator = from,
				    .outlet_id = world_outlet(outlet),
				    .state = OUTLET_CHARGING,
				    .period_start_ns = EV_NS_PER_S,
				    .energy_mwh = number };
	char bytes[EVENT_PROTO_MAX];
	struct ev_buf b = ev_buf_over(bytes, sizeof(bytes));

	event_proto_encode(&e, &b);
	world_put_bytes(w, b.p, b.len, outlet);
}

void world_put(struct world *w, unsigned outlet)
{
	put_event(w, outlet, INITIATOR_APP_BACKEND, ++w->put[outlet]);
	assert_true(w->put[outlet] < WORLD_EVENTS);
}

void world_put_some(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		world_put(w, (unsigned)ev_rng_below(&w->rng.base, WORLD_OUTLETS));
}

void world_put_foreign(struct world *w, unsigned outlet)
{
	put_event(w, outlet, INITIATOR_OUTLET_BACKEND, 0);
}

/* --- Workers --- */

static struct event_job *event_of(struct ev_node *node)
{
	return (struct event_job *)(void *)node;
}

static void submitted(void *user, struct job *j)
{
	struct worker *k = user;
	struct event_job *e = (struct event_job *)(void *)j;

	assert_int_equal(j->kind, JOB_EVENT);
	assert_int_equal(e->event.initiator, INITIATOR_APP_BACKEND);
	assert_false(identity_is_none(&e->id));
	for (struct ev_node *n = k->jobs.first; n != NULL && !k->world->random_keys; n = n->next)
		assert_memory_not_equal(event_of(n)->event.outlet_id.b, e->event.outlet_id.b, 16);
	ev_list_push(&k->jobs, &j->node);
}

static bool is_busy(void *user)
{
	return ((struct worker *)user)->busy;
}

void world_start_with(struct world *w, unsigned i, void (*change)(struct aws_consumer_config *c))
{
	struct worker *k = &w->workers[i];
	struct aws_consumer_config c = aws_consumer_defaults();

	ev_rng_seeded_init(&k->rng, ev_rng_u64(&w->rng.base));
	c.caller = cloud_caller(k->caller);
	c.clock = &w->clock.base;
	c.rng = &k->rng.base;
	c.stream = w->names.event_stream;
	c.leases = w->names.outlet_leases;
	c.dead_letters = w->names.dead_letter_stream;
	c.from = INITIATOR_APP_BACKEND;
	/* A name for each start of a process. */
	snprintf(k->name, sizeof(k->name), "w%u-%04x", i,
		 (unsigned)ev_rng_below(&w->rng.base, 65536));
	c.worker = ev_str_from(k->name);
	c.submit = submitted;
	c.is_busy = is_busy;
	c.user = k;
	if (change != NULL)
		change(&c);
	assert_int_equal(aws_consumer_new(&c, &k->consumer), EV_OK);
}

struct worker *world_start(struct world *w, unsigned i)
{
	world_start_with(w, i, NULL);
	return &w->workers[i];
}

struct aws_consumer_state world_state(struct world *w, unsigned i)
{
	struct aws_consumer_state s;

	aws_consumer_state(w->workers[i].consumer, &s);
	return s;
}

/* --- Decisions --- */

static void decided(struct world *w, const struct event_job *e)
{
	unsigned outlet = e->event.outlet_id.b[15];
	unsigned number = (unsigned)e->event.energy_mwh;

	assert_true(outlet < WORLD_OUTLETS);
	assert_true(number >= 1 && number <= w->put[outlet]);
	w->n_decided++;
	if (number <= w->decided[outlet]) {
		w->n_again++;
		return;
	}
	if (!w->random_keys)
		assert_int_equal(number, w->decided[outlet] + 1);
	w->decided[outlet] = number;
}

static void decide(struct worker *k)
{
	struct world *w = k->world;
	struct ev_list jobs = k->jobs;
	struct ev_node *node;

	k->jobs = (struct ev_list){ .first = NULL };
	while ((node = ev_list_pop(&jobs)) != NULL) {
		struct job *j = (struct job *)(void *)node;

		if (ev_rng_below(&w->rng.base, 100) < w->hold_per_100) {
			ev_list_push(&k->jobs, node);
			continue;
		}
		if (ev_rng_below(&w->rng.base, 100) < w->error_per_100) {
			w->n_errors++;
			j->err = w->error;
		} else {
			decided(w, (struct event_job *)(void *)j);
			j->err = EV_OK;
			j->verdict = VERDICT_APPLIED;
			if (ev_rng_below(&w->rng.base, 100) < w->reject_per_100) {
				w->n_rejects++;
				j->verdict = VERDICT_REJECTED;
				j->reason = REASON_UNKNOWN_SESSION;
			}
		}
		j->owner->done(j->owner, j);
	}
}

/* --- What must hold --- */

struct place {
	struct world *w;
	const struct lease_row *row;
	size_t n_before;
};

static void check_record(void *user, const struct cloud_record *r)
{
	struct place *p = user;
	struct charging_event e;
	enum reason why;

	if (!ev_str_eqz(r->shard, p->row->key))
		return;
	if (p->row->checkpoint.kind == LEASE_SEQUENCE &&
	    lease_sequence_before(ev_str_from(p->row->checkpoint.sequence), r->sequence))
		return;
	if (event_proto_decode(r->data, &e, &why, NULL) != EV_OK ||
	    e.initiator != INITIATOR_APP_BACKEND)
		return;
	p->n_before++;
	if ((unsigned)e.energy_mwh > p->w->decided[e.outlet_id.b[15]])
		print_error("%s is beyond event %u of outlet %u\n", p->row->key,
			    (unsigned)e.energy_mwh, e.outlet_id.b[15]);
	assert_true((unsigned)e.energy_mwh <= p->w->decided[e.outlet_id.b[15]]);
}

struct rows {
	struct lease_row of[64];
	size_t n;
};

static void add_row(void *user, struct ev_str item)
{
	struct rows *rows = user;

	assert_true(rows->n < 64);
	if (lease_row_read(item, &rows->of[rows->n]) == EV_OK)
		rows->n++;
}

static struct rows *all_rows(struct world *w)
{
	static struct rows rows;

	rows.n = 0;
	assert_int_equal(cloud_each_item(w->cloud, w->names.outlet_leases, add_row, &rows), EV_OK);
	return &rows;
}

static void check_checkpoints(struct world *w)
{
	struct rows *rows = all_rows(w);

	for (size_t i = 0; i < rows->n; i++) {
		struct place p = { .w = w, .row = &rows->of[i] };

		if (p.row->checkpoint.kind == LEASE_SEQUENCE ||
		    p.row->checkpoint.kind == LEASE_SHARD_END)
			assert_int_equal(cloud_each_record(w->cloud, w->names.event_stream,
							   check_record, &p),
					 EV_OK);
	}
}

bool world_row(struct world *w, unsigned shard, struct lease_row *out)
{
	struct rows *rows = all_rows(w);
	char key[32];

	snprintf(key, sizeof(key), "shardId-%012u", shard);
	for (size_t i = 0; i < rows->n; i++) {
		if (strcmp(rows->of[i].key, key) == 0) {
			*out = rows->of[i];
			return true;
		}
	}
	return false;
}

/* --- Time --- */

static void turn(struct world *w, struct worker *k)
{
	ev_err e;

	for (unsigned n = 0; n < 50; n++) {
		if (k->consumer == NULL || k->frozen)
			return;
		e = aws_consumer_turn(k->consumer, 0);
		if (e == EV_CLOSED) { /* killed by a fault */
			world_kill(w, (unsigned)(k - w->workers));
			return;
		}
		if (e == EV_TIMEOUT && k->jobs.first == NULL)
			return;
		assert_true(e == EV_OK || e == EV_TIMEOUT);
		decide(k);
		if (e == EV_TIMEOUT && w->hold_per_100 > 0)
			return;
	}
}

void world_step(struct world *w)
{
	for (unsigned i = 0; i < WORLD_WORKERS; i++)
		turn(w, &w->workers[i]);
	if (!w->no_checks && !w->random_keys)
		check_checkpoints(w);
	ev_clock_manual_advance(&w->clock, WORLD_STEP_NS);
}

void world_run(struct world *w, int64_t ns)
{
	for (int64_t t = 0; t < ns; t += WORLD_STEP_NS)
		world_step(w);
}

bool world_is_settled(const struct world *w)
{
	return memcmp(w->put, w->decided, sizeof(w->put)) == 0;
}

void world_settle(struct world *w, int64_t max_ns)
{
	for (int64_t t = 0; t < max_ns && !world_is_settled(w); t += WORLD_STEP_NS)
		world_step(w);
	for (unsigned i = 0; i < WORLD_OUTLETS; i++)
		assert_int_equal(w->decided[i], w->put[i]);
}

bool world_stop(struct world *w, unsigned i, int64_t ns)
{
	struct worker *k = &w->workers[i];

	for (int64_t t = 0; t < ns; t += WORLD_STEP_NS) {
		if (k->consumer == NULL)
			return false;
		if (aws_consumer_drain(k->consumer)) {
			assert_null(k->jobs.first);
			aws_consumer_free(k->consumer);
			k->consumer = NULL;
			return true;
		}
		world_step(w);
	}
	return false;
}
