/* engine/aws/consumer.c — turns, reading, records that come back, dead letters. */
#include "engine/aws/consumer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ddb_letter.h"
#include "engine/aws/consumer_internal.h"
#include "engine/aws/puts.h"

#define TROUBLE_AFTER_NS (2 * EV_NS_PER_S) /* a single call is tried again soon */
#define BUSY_NS (50 * EV_NS_PER_MS)
#define READ_ATTEMPT_MS 10000
#define ORPHAN_TURNS 3 /* plans that others had to take what is free */

struct aws_consumer_config aws_consumer_defaults(void)
{
	return (struct aws_consumer_config){
		.renew_ns = 3 * EV_NS_PER_S,
		.expire_ns = 10 * EV_NS_PER_S,
		.take_ns = 20 * EV_NS_PER_S,
		.list_ns = 30 * EV_NS_PER_S,
		.checkpoint_ns = 10 * EV_NS_PER_S,
		.idle_ns = EV_NS_PER_S,
		.limit = 1000,
		.max_in_hand = 2000,
	};
}

/* --- Calls --- */

struct consumer_call *consumer_call_new(enum aws_service service, const char *operation, size_t cap)
{
	struct consumer_call *call = calloc(1, sizeof(*call) + cap);

	if (call == NULL)
		return NULL;
	call->call.service = service;
	call->call.operation = operation;
	call->cap = cap;
	return call;
}

struct ev_buf consumer_call_room(struct consumer_call *call)
{
	return ev_buf_over(call->body, call->cap);
}

bool consumer_call_start(struct aws_consumer *c, struct consumer_call *call,
			 const struct ev_buf *body)
{
	ev_err err;

	assert(!body->overflow);
	call->call.body = ev_buf_str(body);
	call->began_ns = consumer_now(c);
	err = c->config.caller->ops->submit(c->config.caller, &call->call);
	if (err == EV_OK) {
		call->next = c->calls;
		c->calls = call;
		return true;
	}
	c->dead = c->dead || err == EV_CLOSED;
	free(call);
	return false;
}

static void unlink_call(struct aws_consumer *c, struct consumer_call *call)
{
	struct consumer_call **at = &c->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
}

static const char *const operations[CONSUMER_OPERATIONS] = {
	"ListShards", "GetShardIterator", "GetRecords", "PutRecords",
	"Scan",       "PutItem",          "UpdateItem", "GetItem",
};

static size_t operation_of(const char *name)
{
	size_t i = 0;

	while (i + 1 < CONSUMER_OPERATIONS && strcmp(operations[i], name) != 0)
		i++;
	return i;
}

/* Reads are of the event stream, puts of dead letters, all else of leases. */
static const char *resource_of(const struct aws_consumer *c, const char *operation)
{
	size_t i = operation_of(operation);

	if (i < 3)
		return c->config.stream;
	return i == 3 ? c->config.dead_letters : c->config.leases;
}

void consumer_failed(struct aws_consumer *c, const char *what, ev_err err,
		     const struct aws_error *error)
{
	const char *on = resource_of(c, what);

	c->state.failed_calls++;
	if (error->kind == AWS_ERROR_NONE)
		(void)ev_fail_set(&c->state.fail, err, 0, "%s on %s: an answer of no use", what,
				  on);
	else
		(void)ev_fail_set(&c->state.fail, err, error->status, "%s on %s: %s: %.120s", what,
				  on, error->code, error->message);
}

/* After a call was taken: did it work? */
static void note_outcome(struct aws_consumer *c, const struct aws_call *call, bool worked)
{
	struct aws_trouble *t = &c->troubles[operation_of(call->operation)];

	if (worked)
		aws_trouble_worked(t);
	else
		aws_trouble_failed(t, &c->state.fail, consumer_now(c));
}

static bool is_in_trouble(const struct aws_consumer *c, int64_t now_ns, struct ev_fail *fail)
{
	for (size_t i = 0; i < CONSUMER_OPERATIONS; i++) {
		if (aws_trouble_is(&c->troubles[i], TROUBLE_AFTER_NS, now_ns)) {
			*fail = c->troubles[i].fail;
			return true;
		}
	}
	return false;
}

/* --- Shards --- */

void consumer_shard_open(struct aws_consumer *c, struct lease *lease, int64_t now_ns)
{
	struct consumer_shard *s = calloc(1, sizeof(*s));

	if (s == NULL || shard_reader_init(&s->reader, &c->reader_config, lease->row.key,
					   &lease->row.checkpoint) != EV_OK) {
		free(s);
		leases_lost(lease); /* it expires, or is found again by its name */
		return;
	}
	s->c = c;
	s->lease = lease;
	s->checkpoint_ns = now_ns;
	s->next = c->shards;
	c->shards = s;
}

static struct shard_record *record_of_wait(struct ev_node *node)
{
	return (struct shard_record *)(void *)((char *)node - offsetof(struct shard_record, wait));
}

static struct consumer_shard *shard_of(struct shard_record *record)
{
	return (struct consumer_shard *)(void *)((char *)record->reader -
						 offsetof(struct consumer_shard, reader));
}

/* Those of s that wait for their time are not out any more. */
static void forget_waiting(struct aws_consumer *c, const struct consumer_shard *s)
{
	struct ev_list kept = { .first = NULL };
	struct ev_node *node;

	while ((node = ev_list_pop(&c->waiting)) != NULL) {
		struct shard_record *record = record_of_wait(node);

		if (shard_of(record) == s)
			record->state = SHARD_RECORD_HELD; /* the reader's again */
		else
			ev_list_push(&kept, node);
	}
	c->waiting = kept;
}

static void shard_free_if_idle(struct aws_consumer *c, struct consumer_shard *s)
{
	struct consumer_shard **at = &c->shards;

	if (s->lease != NULL || s->n_out > 0 || s->reading || s->writing)
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
}

void consumer_shard_close(struct aws_consumer *c, struct consumer_shard *s)
{
	s->lease = NULL;
	forget_waiting(c, s);
	shard_reader_deinit(&s->reader);
}

/* --- Reading --- */

static void read_taken(struct aws_consumer *c, struct consumer_call *call)
{
	struct consumer_shard *s = call->shard;
	int64_t now_ns = consumer_now(c);
	ev_err err;

	s->reading = false;
	if (s->lease == NULL)
		return;
	err = shard_reader_take(&s->reader, s->asked, &call->call, now_ns);
	if (err == EV_OK)
		return;
	consumer_failed(c, call->call.operation, err, &call->call.error);
	if (s->reader.missing && c->list_ns > s->reader.next_ns)
		c->list_ns = s->reader.next_ns;
}

static void read_due(struct aws_consumer *c, struct consumer_shard *s, int64_t now_ns,
		     int64_t *next_ns)
{
	struct consumer_call *call;
	struct ev_buf body;

	s->asked = shard_reader_want(&s->reader, now_ns);
	if (s->asked == SHARD_WANT_NOTHING) {
		if (!s->reader.ended && s->reader.next_ns > now_ns && s->reader.next_ns < *next_ns)
			*next_ns = s->reader.next_ns;
		return;
	}
	call = consumer_call_new(AWS_KINESIS, "", SHARD_REQUEST_MAX);
	if (call == NULL)
		return;
	body = consumer_call_room(call);
	call->call.operation = shard_reader_write(&s->reader, s->asked, &body, now_ns);
	call->call.max_attempts = 1; /* the reader has a back-off of its own */
	call->call.attempt_ms = READ_ATTEMPT_MS;
	call->taken = read_taken;
	call->shard = s;
	s->reading = consumer_call_start(c, call, &body);
}

static void reads_due(struct aws_consumer *c, int64_t now_ns, int64_t *next_ns)
{
	if (c->draining)
		return;
	if (c->config.is_busy != NULL && c->config.is_busy(c->config.user)) {
		if (c->shards != NULL && now_ns + BUSY_NS < *next_ns)
			*next_ns = now_ns + BUSY_NS;
		return;
	}
	for (struct consumer_shard *s = c->shards; s != NULL; s = s->next) {
		bool sure = s->lease != NULL && now_ns - s->lease->since_ns < c->config.expire_ns;

		if (sure && !s->reading)
			read_due(c, s, now_ns, next_ns);
	}
}

/* --- Records out and back --- */

static void wait_until(struct aws_consumer *c, struct shard_record *record, int64_t due_ns)
{
	record->due_ns = due_ns;
	ev_list_push(&c->waiting, &record->wait);
}

/* By the reader, in the middle of an answer: only kept until the turn goes on. */
static void given(void *user, struct shard_record *record)
{
	struct aws_consumer *c = user;

	record->job.job.owner = &c->owner;
	if (record->job.job.at_ns == 0)
		record->job.job.at_ns = ev_clock_wall_ns(c->config.clock);
	wait_until(c, record, INT64_MIN);
}

static void record_done(struct job_owner *owner, struct job *j)
{
	struct aws_consumer *c = (struct aws_consumer *)(void *)((char *)owner -
								 offsetof(struct aws_consumer,
									  owner));
	struct shard_record *record = (struct shard_record *)(void *)j;
	struct ev_list list = { .first = NULL };
	ev_err err;

	ev_list_push(&list, &record->wait);
	err = ev_mailbox_post(&c->done, &list);
	assert(err == EV_OK); /* without a bound, and never closed */
	(void)err;
	if (!atomic_exchange(&c->woken, true))
		c->config.caller->ops->wake(c->config.caller);
}

/* Errors that come from the record or from a stored row, not from the way there. */
static bool is_lasting(ev_err e)
{
	return e == EV_INVALID || e == EV_CORRUPT || e == EV_UNSUPPORTED || e == EV_NOTFOUND ||
	       e == EV_EXISTS;
}

static void to_letters(struct aws_consumer *c, struct shard_record *record, const char *why)
{
	record->is_letter = true;
	record->error = why;
	record->tries = 0;
	wait_until(c, record, INT64_MIN);
}

static void back_with_error(struct aws_consumer *c, struct shard_record *record, int64_t now_ns)
{
	record->tries++;
	if (is_lasting(record->job.job.err) && record->tries >= AWS_CONSUMER_TRIES) {
		record->job.job.reason = REASON_UNDECODABLE;
		to_letters(c, record, ev_err_text(record->job.job.err));
		return;
	}
	c->state.retried++;
	wait_until(c, record, now_ns + shard_backoff_ns(c->config.rng, record->tries));
}

static void record_back(struct aws_consumer *c, struct shard_record *record, int64_t now_ns)
{
	struct consumer_shard *s = shard_of(record);

	s->n_out--;
	if (s->lease == NULL) {
		shard_record_drop(record);
	} else if (record->job.job.err != EV_OK) {
		back_with_error(c, record, now_ns);
	} else if (record->job.job.verdict == VERDICT_REJECTED) {
		c->state.rejected++;
		to_letters(c, record, reason_text(record->job.job.reason));
	} else {
		shard_reader_done(&s->reader, record);
	}
}

static void take_back(struct aws_consumer *c, struct ev_list *list)
{
	struct ev_node *node;

	while ((node = ev_list_pop(list)) != NULL)
		record_back(c, record_of_wait(node), consumer_now(c));
}

static void submit(struct aws_consumer *c, struct shard_record *record)
{
	struct job *j = &record->job.job;

	shard_of(record)->n_out++;
	j->err = EV_OK;
	j->verdict = VERDICT_APPLIED;
	j->reason = REASON_NONE;
	c->config.submit(c->config.user, j);
}

/* --- Dead letters --- */

static void letter_taken(struct aws_consumer *c, struct consumer_call *call)
{
	struct shard_record *record = call->record;
	struct consumer_shard *s = call->shard;
	struct aws_batch batch;

	c->n_letters--;
	s->n_out--;
	aws_batch_init(&batch, 1);
	aws_put_events_taken(&call->call, &batch);
	if (aws_batch_n_failed(&batch) == 0)
		c->state.letters++;
	else
		consumer_failed(c, "PutRecords", call->call.err != EV_OK ? call->call.err : EV_IO,
				&call->call.error);
	if (s->lease == NULL) {
		shard_record_drop(record);
	} else if (aws_batch_n_failed(&batch) == 0) {
		shard_reader_done(&s->reader, record);
	} else {
		record->tries++;
		wait_until(c, record,
			   consumer_now(c) + shard_backoff_ns(c->config.rng, record->tries));
	}
}

static void letter_write_put(struct aws_consumer *c, const struct shard_record *record, char *room,
			     struct ev_buf *body)
{
	struct ev_buf json = ev_buf_over(room, LETTER_JSON_MAX);
	struct ev_uuid key = ev_rng_uuid(c->config.rng);
	struct letter letter = {
		.partition_key = shard_record_key(record),
		.event = record->is_event ? &record->job.event : NULL,
		.error = ev_str_from(record->error),
		.bytes = shard_record_bytes(record),
		.reason = record->job.job.reason,
		.at_ns = record->job.job.at_ns,
		.id = record->job.id,
	};

	letter_write(&letter, &json);
	assert(!json.overflow);
	aws_put_record_write(body, c->config.dead_letters, &key, ev_buf_str(&json));
}

/* False: there is no room for it now. */
static bool put_letter(struct aws_consumer *c, struct shard_record *record)
{
	struct consumer_call *call;
	struct consumer_shard *s = shard_of(record);
	struct ev_buf body;
	char *room;

	if (c->n_letters >= CONSUMER_LETTERS)
		return false;
	call = consumer_call_new(AWS_KINESIS, "PutRecords", AWS_PUT_RECORD_SIZE(LETTER_JSON_MAX));
	room = malloc(LETTER_JSON_MAX);
	if (call == NULL || room == NULL) {
		free(call);
		free(room);
		return false;
	}
	body = consumer_call_room(call);
	letter_write_put(c, record, room, &body);
	free(room);
	call->taken = letter_taken;
	call->record = record;
	call->shard = s;
	if (!consumer_call_start(c, call, &body))
		return false;
	c->n_letters++;
	s->n_out++;
	return true;
}

/* Records whose time has come; of those that failed a drain tries none again. */
static void waiting_due(struct aws_consumer *c, int64_t now_ns, int64_t *next_ns)
{
	struct ev_list all = c->waiting;
	struct ev_node *node;

	c->waiting = (struct ev_list){ .first = NULL };
	while ((node = ev_list_pop(&all)) != NULL) {
		struct shard_record *record = record_of_wait(node);

		if (record->due_ns > now_ns || (c->draining && record->tries > 0)) {
			ev_list_push(&c->waiting, node);
			if (record->due_ns > now_ns && record->due_ns < *next_ns)
				*next_ns = record->due_ns;
		} else if (!record->is_letter) {
			submit(c, record);
		} else if (!put_letter(c, record)) {
			ev_list_push(&c->waiting, node);
			if (now_ns + BUSY_NS < *next_ns)
				*next_ns = now_ns + BUSY_NS;
		}
	}
}

/* --- Turns --- */

static void show(struct aws_consumer *c, int64_t now_ns)
{
	struct aws_consumer_state *s = &c->state;

	s->records = c->counts.records;
	s->foreign = c->counts.foreign;
	s->undecodable = c->counts.undecodable;
	s->expired_iterators = c->counts.expired_iterators;
	s->throttled = c->counts.throttled;
	s->repeated = c->counts.repeated;
	s->shards = leases_n_listed(&c->leases);
	s->held = s->in_hand = s->out = 0;
	s->behind_ms = 0;
	for (const struct consumer_shard *h = c->shards; h != NULL; h = h->next) {
		s->out += h->n_out;
		if (h->lease == NULL)
			continue;
		s->held++;
		s->in_hand += h->reader.window.n;
		if (h->reader.behind_ms > s->behind_ms)
			s->behind_ms = h->reader.behind_ms;
	}
	s->ready = c->listed_once && c->scanned_once &&
		   now_ns - c->listed_ns < 3 * c->config.list_ns &&
		   now_ns - c->scanned_ns < 3 * c->config.take_ns &&
		   !is_in_trouble(c, now_ns, &s->fail);
	pthread_mutex_lock(&c->lock);
	c->shown = *s;
	pthread_mutex_unlock(&c->lock);
}

/* Starts all that is due; the time at which something will be. */
static int64_t start_due(struct aws_consumer *c)
{
	int64_t now_ns = consumer_now(c);
	int64_t next_ns = INT64_MAX;
	struct consumer_shard *next;

	waiting_due(c, now_ns, &next_ns);
	consumer_leases_turn(c, now_ns, &next_ns);
	reads_due(c, now_ns, &next_ns);
	for (struct consumer_shard *s = c->shards; s != NULL; s = next) {
		next = s->next;
		shard_free_if_idle(c, s);
	}
	return next_ns;
}

static void call_taken(struct aws_consumer *c, struct aws_call *done)
{
	struct consumer_call *call = (struct consumer_call *)(void *)done;

	uint64_t failed = c->state.failed_calls;

	unlink_call(c, call);
	call->taken(c, call);
	note_outcome(c, done, c->state.failed_calls == failed);
	aws_call_clear(&call->call);
	free(call);
}

/* With no call under way a poll would not wait: then it is jobs alone that can come. */
static ev_err wait_for_jobs(struct aws_consumer *c, int64_t timeout_ns, struct ev_list *list)
{
	ev_err err = ev_mailbox_take(&c->done, timeout_ns, list);

	return err == EV_CLOSED ? EV_TIMEOUT : err;
}

static ev_err wait_once(struct aws_consumer *c, int64_t timeout_ns)
{
	struct ev_list list = { .first = NULL };
	struct aws_call *done;
	bool some = false;
	ev_err err;

	while ((err = c->config.caller->ops->poll(c->config.caller, some ? 0 : timeout_ns,
						  &done)) == EV_OK) {
		call_taken(c, done);
		some = true;
	}
	if (err == EV_CLOSED || c->dead)
		return EV_CLOSED;
	if (err == EV_IO)
		return EV_IO;
	atomic_store(&c->woken, false);
	if (err != EV_NOTFOUND || some)
		timeout_ns = 0;
	if (wait_for_jobs(c, timeout_ns, &list) == EV_OK)
		some = true;
	take_back(c, &list);
	return some || err == EV_BUSY ? EV_OK : EV_TIMEOUT;
}

ev_err aws_consumer_turn(struct aws_consumer *c, int64_t timeout_ns)
{
	int64_t next_ns = start_due(c);
	int64_t left_ns = next_ns - consumer_now(c);
	ev_err err;

	if (next_ns != INT64_MAX && left_ns < timeout_ns)
		timeout_ns = left_ns > 0 ? left_ns : 0;
	err = c->dead ? EV_CLOSED : wait_once(c, timeout_ns);
	if (err == EV_OK)
		(void)start_due(c); /* what the answers asked for goes out at once */
	show(c, consumer_now(c));
	return err;
}

bool aws_consumer_drain(struct aws_consumer *c)
{
	c->draining = true;
	return consumer_leases_are_back(c);
}

void aws_consumer_state(struct aws_consumer *c, struct aws_consumer_state *out)
{
	pthread_mutex_lock(&c->lock);
	*out = c->shown;
	pthread_mutex_unlock(&c->lock);
}

/* --- Life --- */

static ev_err fill(struct aws_consumer *c)
{
	int64_t orphan_ns = c->config.expire_ns + ORPHAN_TURNS * c->config.take_ns;
	ev_err err;

	if (ev_str_eqz(c->config.worker, "worker1"))
		return EV_INVALID;
	err = leases_init(&c->leases, c->config.worker, c->config.expire_ns, orphan_ns);
	if (err != EV_OK)
		return err;
	c->reader_config = (struct shard_reader_config){
		.stream = c->config.stream,
		.from = c->config.from,
		.limit = c->config.limit,
		.max_in_hand = c->config.max_in_hand,
		.idle_ns = c->config.idle_ns,
		.rng = c->config.rng,
		.counts = &c->counts,
		.give = given,
		.user = c,
	};
	c->owner.done = record_done;
	return ev_mailbox_init(&c->done, 0, 0);
}

ev_err aws_consumer_new(const struct aws_consumer_config *config, struct aws_consumer **out)
{
	struct aws_consumer *c = calloc(1, sizeof(*c));
	ev_err err;

	if (c == NULL)
		return EV_NOMEM;
	c->config = *config;
	err = fill(c);
	if (err != EV_OK) {
		free(c);
		return err;
	}
	(void)pthread_mutex_init(&c->lock, NULL); /* cannot fail without attributes */
	*out = c;
	return EV_OK;
}

static void drop_calls(struct aws_consumer *c)
{
	while (c->calls != NULL) {
		struct consumer_call *call = c->calls;

		c->calls = call->next;
		c->config.caller->ops->cancel(c->config.caller, &call->call);
		if (call->record != NULL)
			shard_record_drop(call->record);
		aws_call_clear(&call->call);
		free(call);
	}
}

void aws_consumer_free(struct aws_consumer *c)
{
	struct ev_list back = { .first = NULL };
	struct ev_node *node;

	if (c == NULL)
		return;
	if (ev_mailbox_take(&c->done, 0, &back) == EV_OK || c->waiting.first != NULL)
		ev_list_join(&back, &c->waiting);
	for (struct consumer_shard *s = c->shards; s != NULL; s = s->next) {
		if (s->lease != NULL)
			shard_reader_deinit(&s->reader);
	}
	while ((node = ev_list_pop(&back)) != NULL)
		shard_record_drop(record_of_wait(node));
	drop_calls(c);
	while (c->shards != NULL) {
		struct consumer_shard *s = c->shards;

		c->shards = s->next;
		free(s);
	}
	leases_deinit(&c->leases);
	free(c->list.of);
	ev_mailbox_deinit(&c->done);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
