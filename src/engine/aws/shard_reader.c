#include "engine/aws/shard_reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/hash.h"
#include "base/time.h"
#include "codec/ddb_letter.h"
#include "codec/event_proto.h"
#include "codec/kpl.h"

#define BETWEEN_NS (200 * EV_NS_PER_MS) /* 5 calls a second and shard, says Kinesis */
#define BACKOFF_NS (200 * EV_NS_PER_MS)
#define BACKOFF_MAX_NS (10 * EV_NS_PER_S)

int64_t shard_backoff_ns(struct ev_rng *rng, unsigned failures)
{
	int64_t wide = BACKOFF_NS;

	for (unsigned i = 1; i < failures && wide < BACKOFF_MAX_NS; i++)
		wide *= 2;
	if (wide > BACKOFF_MAX_NS)
		wide = BACKOFF_MAX_NS;
	return wide / 2 + (int64_t)ev_rng_below(rng, (uint64_t)wide / 2);
}

ev_err shard_reader_init(struct shard_reader *r, const struct shard_reader_config *config,
			 const char *shard, const struct lease_checkpoint *from)
{
	uint64_t seed[2] = { ev_rng_u64(config->rng), ev_rng_u64(config->rng) };

	if (from->kind == LEASE_SHARD_END)
		return EV_INVALID;
	*r = (struct shard_reader){ .config = config, .read = *from, .fresh = true, .done = *from };
	memcpy(r->shard, shard, strlen(shard) + 1);
	ev_map_init(&r->outlets, 0, seed);
	return EV_OK;
}

static struct shard_record *record_of(struct ev_node *order)
{
	return (struct shard_record *)(void *)((char *)order -
					       offsetof(struct shard_record, order));
}

void shard_record_drop(struct shard_record *record)
{
	free(record);
}

void shard_reader_deinit(struct shard_reader *r)
{
	struct ev_node *node;

	while ((node = ev_list_pop(&r->window)) != NULL) {
		struct shard_record *record = record_of(node);

		if (record->state != SHARD_RECORD_OUT)
			shard_record_drop(record);
	}
	ev_map_deinit(&r->outlets);
}

/* --- What to ask for --- */

enum shard_want shard_reader_want(const struct shard_reader *r, int64_t now_ns)
{
	if (r->ended || now_ns < r->next_ns)
		return SHARD_WANT_NOTHING;
	if (r->window.n > r->config->max_in_hand / 2)
		return SHARD_WANT_NOTHING;
	return r->iterator.n == 0 ? SHARD_WANT_ITERATOR : SHARD_WANT_RECORDS;
}

const char *shard_reader_write(struct shard_reader *r, enum shard_want want, struct ev_buf *b,
			       int64_t now_ns)
{
	r->asked_ns = now_ns;
	if (want == SHARD_WANT_ITERATOR) {
		shard_iterator_write(b, r->config->stream, r->shard, &r->read, !r->fresh);
		return "GetShardIterator";
	}
	shard_records_write(b, &r->iterator, r->config->limit);
	return "GetRecords";
}

/* --- The window --- */

static void pass(struct shard_reader *r)
{
	while (r->window.first != NULL) {
		struct shard_record *record = record_of(r->window.first);

		if (record->state != SHARD_RECORD_DONE)
			return;
		(void)ev_list_pop(&r->window);
		r->done = record->through;
		r->n_passed++;
		shard_record_drop(record);
	}
}

static void give(struct shard_reader *r, struct shard_record *record)
{
	record->state = SHARD_RECORD_OUT;
	r->config->give(r->config->user, record);
}

/* Behind the last one of its outlet; without memory for that it must not be taken in. */
static ev_err enqueue(struct shard_reader *r, struct shard_record *record, bool *out_first)
{
	const uint8_t *outlet = record->job.event.outlet_id.b;
	struct shard_record *last = NULL;
	uintptr_t value;
	ev_err e;

	*out_first = true;
	if (record->is_letter)
		return EV_OK;
	if (ev_map_get(&r->outlets, outlet, &value))
		last = (struct shard_record *)value;
	e = ev_map_put(&r->outlets, outlet, (uintptr_t)record);
	if (e != EV_OK)
		return e;
	if (last != NULL)
		last->behind = record;
	*out_first = last == NULL;
	return EV_OK;
}

void shard_reader_done(struct shard_reader *r, struct shard_record *record)
{
	struct shard_record *behind = record->behind;
	const uint8_t *outlet = record->job.event.outlet_id.b;
	uintptr_t value;

	assert(record->state == SHARD_RECORD_OUT && record->reader == r);
	if (behind != NULL)
		give(r, behind);
	else if (ev_map_get(&r->outlets, outlet, &value) && value == (uintptr_t)record)
		(void)ev_map_remove(&r->outlets, outlet, NULL);
	record->state = SHARD_RECORD_DONE;
	pass(r);
}

/* --- Records --- */

static void md5(const void *p, size_t n, uint8_t out[16])
{
	if (EVP_Digest(p, n, out, NULL, EVP_md5(), NULL) != 1)
		memset(out, 0, 16); /* a system without it takes no aggregates: dead letters */
}

/* An event's own identity, else that of its place. */
static struct identity identity_of(const struct shard_reader *r, const struct charging_event *e,
				   const struct lease_checkpoint *at)
{
	char digits[24];
	struct ev_buf sub = ev_buf_over(digits, sizeof(digits));
	struct identity id;

	if (e != NULL && e->has_event_id)
		return e->event_id;
	ev_buf_u64(&sub, at->sub);
	ev_hash128((const struct ev_str[]){ ev_str_from(r->shard), ev_str_from(at->sequence),
					    ev_buf_str(&sub) },
		   3, id.b);
	return id;
}

static struct shard_record *record_new(struct shard_reader *r, const struct shard_record_data *d,
				       struct ev_str bytes, const struct lease_checkpoint *at)
{
	size_t bytes_n = bytes.n > LETTER_BYTES_MAX ? LETTER_BYTES_MAX : bytes.n;
	size_t key_n = d->key.n > LETTER_KEY_MAX ? LETTER_KEY_MAX : d->key.n;
	struct shard_record *record = calloc(1, sizeof(*record) + key_n + bytes_n);

	if (record == NULL)
		return NULL;
	record->job.job.kind = JOB_EVENT;
	record->job.job.at_ns = d->at_ns;
	record->reader = r;
	record->through = *at;
	record->key_n = key_n;
	record->bytes_n = bytes_n;
	memcpy(record->text, d->key.p, key_n);
	if (bytes_n > 0)
		memcpy(record->text + key_n, bytes.p, bytes_n);
	return record;
}

/* All up to here has been read, and nothing of it is to be done. */
static void skip(struct shard_reader *r, const struct lease_checkpoint *at)
{
	if (r->window.last != NULL) {
		record_of(r->window.last)->through = *at;
	} else {
		r->done = *at;
		r->n_passed++;
	}
}

static ev_err admit(struct shard_reader *r, struct shard_record *record)
{
	bool first;
	ev_err e = enqueue(r, record, &first);

	if (e != EV_OK) {
		shard_record_drop(record);
		return e;
	}
	ev_list_push(&r->window, &record->order);
	if (first)
		give(r, record);
	return EV_OK;
}

/* One record, or one of an aggregate. */
static ev_err take_one(struct shard_reader *r, const struct shard_record_data *d,
		       struct ev_str bytes, const char *bad, const struct lease_checkpoint *at)
{
	struct event_wire wire;
	struct charging_event event = { .has_event_id = false };
	enum reason why = REASON_UNDECODABLE;
	struct shard_record *record;
	const char *text = bad;

	if (text == NULL && event_wire_decode(bytes, &wire, &text) == EV_OK) {
		if (wire.initiator != r->config->from) {
			r->config->counts->foreign++;
			skip(r, at);
			return EV_OK;
		}
		if (event_wire_to_core(&wire, &event, &why) == EV_OK)
			text = NULL;
		else
			text = reason_text(why);
	}
	record = record_new(r, d, bytes, at);
	if (record == NULL)
		return EV_NOMEM;
	record->is_event = text == NULL;
	record->is_letter = text != NULL;
	record->error = text;
	record->job.event = event;
	record->job.id = identity_of(r, text == NULL ? &event : NULL, at);
	if (record->is_letter) {
		record->job.job.reason = why;
		r->config->counts->undecodable++;
	}
	return admit(r, record);
}

static bool is_behind(const struct lease_checkpoint *at, const struct lease_checkpoint *read)
{
	struct ev_str a = ev_str_from(at->sequence);
	struct ev_str b = ev_str_from(read->sequence);

	if (read->kind != LEASE_SEQUENCE || lease_sequence_before(b, a))
		return true;
	return !lease_sequence_before(a, b) && at->sub > read->sub;
}

/* Takes it in unless it was before; *read moves on only if it could be. */
static ev_err take_at(struct shard_reader *r, const struct shard_record_data *d,
		      struct ev_str bytes, const char *bad, const struct lease_checkpoint *at)
{
	ev_err e;

	if (!is_behind(at, &r->read)) {
		r->config->counts->repeated++;
		return EV_OK;
	}
	e = take_one(r, d, bytes, bad, at);
	if (e != EV_OK)
		return e;
	r->config->counts->records++;
	r->read = *at;
	r->fresh = false;
	return EV_OK;
}

static ev_err take_data(struct shard_reader *r, const struct shard_record_data *d)
{
	struct lease_checkpoint at = { .kind = LEASE_SEQUENCE };
	struct kpl_iter it;
	struct ev_str bytes;
	ev_err e = EV_OK;

	memcpy(at.sequence, d->sequence.p, d->sequence.n);
	if (!d->is_base64)
		return take_at(r, d, d->data, "not base64", &at);
	if (kpl_open(&it, d->data, md5) != EV_OK)
		return take_at(r, d, d->data, "a broken aggregate of records", &at);
	while (e == EV_OK && kpl_next(&it, &bytes)) {
		e = take_at(r, d, bytes, NULL, &at);
		at.sub++;
	}
	if (e == EV_OK && it.count == 0 && is_behind(&at, &r->read)) {
		skip(r, &at);
		r->read = at;
		r->fresh = false;
	}
	return e;
}

static void take_record(void *user, const struct shard_record_data *d)
{
	struct shard_reader *r = user;

	/* Without memory the rest is read again. */
	if (!r->no_memory && take_data(r, d) != EV_OK)
		r->no_memory = true;
}

/* --- Answers --- */

static ev_err failed(struct shard_reader *r, ev_err e, int64_t now_ns)
{
	r->failures++;
	r->next_ns = now_ns + shard_backoff_ns(r->config->rng, r->failures);
	return e;
}

static ev_err call_failed(struct shard_reader *r, const struct aws_call *call, int64_t now_ns)
{
	enum aws_error_kind kind = call->error.kind;

	if (kind == AWS_ERROR_ITERATOR) {
		r->config->counts->expired_iterators++;
		r->iterator.n = 0;
	} else if (kind == AWS_ERROR_THROTTLED) {
		r->config->counts->throttled++;
	} else if (kind == AWS_ERROR_NOT_FOUND || kind == AWS_ERROR_VALIDATION) {
		r->missing = kind == AWS_ERROR_NOT_FOUND;
		r->iterator.n = 0;
	}
	return failed(r, call->err, now_ns);
}

static ev_err take_records(struct shard_reader *r, struct ev_str answer, int64_t now_ns)
{
	struct shard_records records;
	ev_err e;

	r->no_memory = false;
	e = shard_records_read(answer, take_record, r, &records);
	if (e == EV_OK && r->no_memory)
		e = EV_NOMEM;
	if (e != EV_OK) {
		r->iterator.n = 0; /* what was taken in is not asked for again */
		return failed(r, e, now_ns);
	}
	r->failures = 0;
	r->ended = records.ended;
	r->iterator = records.next;
	r->behind_ms = records.behind_ms;
	r->next_ns = r->asked_ns + (records.behind_ms > 0 ? BETWEEN_NS : r->config->idle_ns);
	return EV_OK;
}

ev_err shard_reader_take(struct shard_reader *r, enum shard_want want, const struct aws_call *call,
			 int64_t now_ns)
{
	ev_err e;

	if (call->err != EV_OK)
		return call_failed(r, call, now_ns);
	r->missing = false;
	if (want == SHARD_WANT_RECORDS)
		return take_records(r, call->answer, now_ns);
	e = shard_iterator_read(call->answer, &r->iterator);
	return e == EV_OK ? EV_OK : failed(r, e, now_ns);
}
