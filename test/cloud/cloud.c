/* test/cloud/cloud.c — making the cloud, the test's own hand, and what is there. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cloud/caller.h"
#include "cloud/dynamo.h"
#include "cloud/kinesis.h"
#include "cloud/sqs.h"

#define ANSWER_MAX ((size_t)32 * 1024 * 1024) /* 10 MB of records in base64, and some */

struct cloud *cloud_new(const struct cloud_config *config)
{
	struct cloud *c = must_calloc(1, sizeof(*c));

	c->config = *config;
	if (c->config.race_depth == 0)
		c->config.race_depth = 1;
	ev_rng_seeded_init(&c->rng, config->seed);
	c->faults_on = true;
	c->scratch = ev_buf_over(must_realloc(NULL, ANSWER_MAX, 1), ANSWER_MAX);
	return c;
}

void cloud_free(struct cloud *c)
{
	assert(c->callers == NULL);
	while (c->runs != NULL) {
		struct aws_call_run *next = c->runs->next;

		free(c->runs->ghost_body);
		free(c->runs);
		c->runs = next;
	}
	dynamo_free(c);
	sqs_free(c);
	kinesis_free(c);
	free(c->scratch.p);
	free(c->own_answer);
	free(c);
}

void cloud_set_rate(struct cloud *c, enum cloud_fault f, unsigned per_million)
{
	c->rates[f] = per_million;
}

void cloud_set_faults(struct cloud *c, bool on)
{
	c->faults_on = on;
}

void cloud_set_index_lag(struct cloud *c, int64_t ns)
{
	c->config.index_lag_ns = ns;
}

void cloud_set_delay(struct cloud *c, int64_t ns)
{
	c->config.delay_ns = ns;
}

uint64_t cloud_n_faults(const struct cloud *c, enum cloud_fault f)
{
	return c->n_faults[f];
}

struct cloud_bill cloud_bill(const struct cloud *c)
{
	return c->bill;
}

/* --- The test's own hand --- */

ev_err cloud_do(struct cloud *c, enum aws_service service, const char *operation, const char *body,
		struct ev_str *out_answer)
{
	struct cloud_bill bill = c->bill;
	struct aws_error error;
	struct reply reply;
	size_t index;
	const struct op *op = op_find(service, operation, &index);

	if (op == NULL)
		return EV_INVALID;
	service_do(c, op, ev_str_from(body), CLOUD_FINE, false, &reply);
	c->bill = bill;
	free(c->own_answer);
	c->own_answer = must_calloc(1, reply.body.n + 1);
	if (reply.body.n > 0)
		memcpy(c->own_answer, reply.body.p, reply.body.n);
	if (out_answer != NULL)
		*out_answer = (struct ev_str){ c->own_answer, reply.body.n };
	error.kind = AWS_ERROR_NONE;
	if (reply.status != 200)
		aws_error_parse(reply.status, ev_str_from(reply.query_code),
				(struct ev_str){ NULL, 0 }, reply.body, &error);
	callers_settle(c);
	return aws_error_map(error.kind);
}

static size_t expire_table(struct cloud *c, struct dynamo_table *t)
{
	int64_t now_s = cloud_wall_ns(c) / EV_NS_PER_S;
	struct pool pool = { 0 };
	struct item *keys = NULL;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct partition *p = t->partitions[i];

		for (size_t k = 0; k < p->n; k++) {
			const struct version *v = p->rows[k]->newest;
			const struct value *at = v == NULL || v->gone ? NULL
								      : item_get(&v->item, t->ttl);
			int64_t s;
			struct item key;

			if (at == NULL || at->type != VALUE_N ||
			    num_parse_i64(at->text, &s) != EV_OK || s > now_s)
				continue;
			key = key_of(&pool, t, NULL, &v->item);
			keys = must_realloc(keys, n + 1, sizeof(*keys));
			keys[n++] = item_copy(&pool, &key);
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct usage unpaid = { 0 };

		dynamo_write(c, t, &keys[i], NULL, &unpaid);
	}
	free(keys);
	pool_clear(&pool);
	return n;
}

size_t cloud_expire(struct cloud *c)
{
	size_t n = 0;

	for (struct dynamo_table *t = c->tables; t != NULL; t = t->next)
		n += t->ttl.n > 0 ? expire_table(c, t) : 0;
	return n;
}

/* --- Visitors --- */

ev_err cloud_each_item(struct cloud *c, const char *table,
		       void (*fn)(void *user, struct ev_str item), void *user)
{
	const struct dynamo_table *t = dynamo_find(c, ev_str_from(table));

	if (t == NULL)
		return EV_NOTFOUND;
	for (size_t i = 0; i < t->n; i++) {
		const struct partition *p = t->partitions[i];

		for (size_t k = 0; k < p->n; k++) {
			const struct version *v = p->rows[k]->newest;
			struct pool pool = { 0 };
			struct json_writer w = json_writer_over(&c->scratch);

			if (v == NULL || v->gone)
				continue;
			c->scratch.len = 0;
			item_write(&w, &pool, &v->item);
			fn(user, ev_buf_str(&c->scratch));
			pool_clear(&pool);
		}
	}
	return EV_OK;
}

ev_err cloud_each_message(struct cloud *c, const char *queue,
			  void (*fn)(void *user, const struct cloud_message *m), void *user)
{
	struct queue *q = queue_find(c, ev_str_from(queue));

	if (q == NULL)
		return EV_NOTFOUND;
	queue_expire(c, q);
	for (size_t i = 0; i < q->n; i++) {
		const struct message *m = q->messages[i];
		const struct cloud_message shown = {
			.id = m->id,
			.body = m->body,
			.attributes = m->attributes,
			.sent_ns = m->sent_ns,
			.receives = m->receives,
			.in_flight = m->in_flight && m->visible_ns > cloud_mono_ns(c),
		};

		fn(user, &shown);
	}
	return EV_OK;
}

ev_err cloud_each_record(struct cloud *c, const char *stream,
			 void (*fn)(void *user, const struct cloud_record *r), void *user)
{
	const struct stream *s = stream_find(c, ev_str_from(stream));

	if (s == NULL)
		return EV_NOTFOUND;
	for (size_t i = 0; i < s->n; i++) {
		const struct shard *sh = &s->shards[i];

		for (size_t k = shard_horizon(c, s, sh); k < sh->n; k++) {
			const struct record *record = sh->records[k];
			const struct cloud_record shown = {
				.shard = ev_str_from(sh->id),
				.sequence = ev_str_from(record->sequence),
				.partition_key = record->key,
				.data = record->data,
				.at_ns = record->at_ns,
			};

			fn(user, &shown);
		}
	}
	return EV_OK;
}

static void count_item(void *user, struct ev_str item)
{
	(void)item;
	++*(size_t *)user;
}

static void count_message(void *user, const struct cloud_message *m)
{
	(void)m;
	++*(size_t *)user;
}

static void count_record(void *user, const struct cloud_record *r)
{
	(void)r;
	++*(size_t *)user;
}

size_t cloud_n_items(struct cloud *c, const char *table)
{
	size_t n = 0;

	return cloud_each_item(c, table, count_item, &n) == EV_OK ? n : 0;
}

size_t cloud_n_messages(struct cloud *c, const char *queue)
{
	size_t n = 0;

	return cloud_each_message(c, queue, count_message, &n) == EV_OK ? n : 0;
}

size_t cloud_n_records(struct cloud *c, const char *stream)
{
	size_t n = 0;

	return cloud_each_record(c, stream, count_record, &n) == EV_OK ? n : 0;
}
