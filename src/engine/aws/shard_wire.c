#include "engine/aws/shard_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/base64.h"
#include "base/num.h"
#include "base/time.h"
#include "codec/json_field.h"
#include "codec/json_record.h"
#include "codec/json_write.h"

#define KEY_ROOM 1024
#define MAYBE (JSON_OPTIONAL | JSON_NULLABLE)

/* --- Requests --- */

void shard_list_write(struct ev_buf *b, const char *stream, const struct shard_token *next)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	if (next->n > 0) {
		json_write_key(&w, "NextToken");
		json_write_string(&w, (struct ev_str){ next->s, next->n });
	} else {
		json_write_key(&w, "StreamName");
		json_write_z(&w, stream);
	}
	json_write_object_end(&w);
}

/* AT_TIMESTAMP of the KCL stands for a time that only its own configuration knows. */
static const char *iterator_type(const struct lease_checkpoint *from, bool behind)
{
	if (from->kind == LEASE_SEQUENCE)
		return behind ? "AFTER_SEQUENCE_NUMBER" : "AT_SEQUENCE_NUMBER";
	return from->kind == LEASE_LATEST ? "LATEST" : "TRIM_HORIZON";
}

void shard_iterator_write(struct ev_buf *b, const char *stream, const char *shard,
			  const struct lease_checkpoint *from, bool behind)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	json_write_key(&w, "StreamName");
	json_write_z(&w, stream);
	json_write_key(&w, "ShardId");
	json_write_z(&w, shard);
	json_write_key(&w, "ShardIteratorType");
	json_write_z(&w, iterator_type(from, behind));
	if (from->kind == LEASE_SEQUENCE) {
		json_write_key(&w, "StartingSequenceNumber");
		json_write_z(&w, from->sequence);
	}
	json_write_object_end(&w);
}

void shard_records_write(struct ev_buf *b, const struct shard_token *iterator, unsigned limit)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	json_write_key(&w, "ShardIterator");
	json_write_string(&w, (struct ev_str){ iterator->s, iterator->n });
	json_write_key(&w, "Limit");
	json_write_u64(&w, limit);
	json_write_object_end(&w);
}

void lease_scan_write(struct ev_buf *b, const char *table, const struct shard_token *key)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	json_write_key(&w, "TableName");
	json_write_z(&w, table);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	if (key->n > 0) {
		json_write_key(&w, "ExclusiveStartKey");
		json_write_raw(&w, (struct ev_str){ key->s, key->n });
	}
	json_write_object_end(&w);
}

void lease_get_write(struct ev_buf *b, const char *table, const char *key)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	json_write_key(&w, "TableName");
	json_write_z(&w, table);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	json_write_key(&w, "Key");
	json_write_object(&w);
	json_write_key(&w, "leaseKey");
	json_write_object(&w);
	json_write_key(&w, "S");
	json_write_z(&w, key);
	json_write_object_end(&w);
	json_write_object_end(&w);
	json_write_object_end(&w);
}

/* --- Values in answers --- */

/* Written back as it is, so it must be what takes no more room when it is written. */
static ev_err read_token(struct json_reader *r, void *target)
{
	struct shard_token *token = target;
	struct json_span span;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	token->n = json_unescape(&span, token->s, sizeof(token->s));
	if (token->n == 0 || token->n > sizeof(token->s))
		return EV_CORRUPT;
	for (size_t i = 0; i < token->n; i++) {
		if (token->s[i] < 0x20 || token->s[i] == '"' || token->s[i] == '\\')
			return EV_CORRUPT;
	}
	return EV_OK;
}

/* char[LEASE_KEY_MAX + 1] */
static ev_err read_shard_id(struct json_reader *r, void *target)
{
	char *out = target;
	struct json_span span;
	ev_err e = json_read_string(r, &span);
	size_t n;

	if (e != EV_OK)
		return e;
	n = json_unescape(&span, out, LEASE_KEY_MAX);
	if (n == 0 || n > LEASE_KEY_MAX || memchr(out, '\0', n) != NULL)
		return EV_CORRUPT;
	out[n] = '\0';
	return EV_OK;
}

static ev_err read_span(struct json_reader *r, void *target)
{
	return json_read_string(r, target);
}

/* Lists of an answer may be null, as of some that stand in for AWS: then they are empty. */
static ev_err read_items(struct json_reader *r, ev_err (*item)(struct json_reader *r, void *user),
			 void *user)
{
	bool is_null;
	ev_err e = json_read_null(r, &is_null);

	if (e != EV_OK || is_null)
		return e;
	e = json_read_array(r);
	while (e == EV_OK) {
		bool more;

		e = json_read_item(r, &more);
		if (e != EV_OK || !more)
			break;
		e = item(r, user);
	}
	return e;
}

/* --- ListShards --- */

struct list_read {
	void (*each)(void *user, const struct lease_shard *s);
	void *user;
	struct shard_token next;
};

struct shard_fields {
	char id[LEASE_KEY_MAX + 1];
	char parent[LEASE_KEY_MAX + 1];
	char adjacent[LEASE_KEY_MAX + 1];
};
enum { SHARD_ID, SHARD_PARENT, SHARD_ADJACENT };
static const struct json_field shard_fields[] = {
	[SHARD_ID] = JSON_FIELD(struct shard_fields, id, "ShardId", read_shard_id, JSON_REQUIRED),
	[SHARD_PARENT] = JSON_FIELD(struct shard_fields, parent, "ParentShardId", read_shard_id,
				    MAYBE),
	[SHARD_ADJACENT] = JSON_FIELD(struct shard_fields, adjacent, "AdjacentParentShardId",
				      read_shard_id, MAYBE),
};

static ev_err read_shard(struct json_reader *r, void *user)
{
	struct list_read *l = user;
	struct shard_fields f;
	struct lease_shard s = { .n_parents = 0 };
	uint32_t seen;
	ev_err e = json_read_record(r, shard_fields, EV_ARRAY_LEN(shard_fields), &f, &seen);

	if (e == EV_OK)
		e = json_require(r, shard_fields, EV_ARRAY_LEN(shard_fields), seen);
	if (e != EV_OK)
		return e;
	memcpy(s.id, f.id, sizeof(s.id));
	if ((seen >> SHARD_PARENT & 1) != 0)
		memcpy(s.parents[s.n_parents++], f.parent, sizeof(f.parent));
	if ((seen >> SHARD_ADJACENT & 1) != 0)
		memcpy(s.parents[s.n_parents++], f.adjacent, sizeof(f.adjacent));
	l->each(l->user, &s);
	return EV_OK;
}

static ev_err read_shards(struct json_reader *r, void *target)
{
	return read_items(r, read_shard, target);
}

/* The record of each answer is the reader itself: lists are told on as they are read. */
static const struct json_field list_fields[] = {
	{ .key = "Shards", .key_len = 6, .read = read_shards, .offset = 0 },
	JSON_FIELD(struct list_read, next, "NextToken", read_token, MAYBE),
};

static ev_err read_answer(struct ev_str answer, const struct json_field *fields, size_t n,
			  void *record)
{
	struct json_reader r;
	uint32_t seen;
	ev_err e;

	json_read_init(&r, answer, NULL);
	e = json_read_record(&r, fields, n, record, &seen);
	if (e == EV_OK)
		e = json_require(&r, fields, n, seen);
	return e == EV_OK || e == EV_NOMEM ? e : EV_CORRUPT;
}

ev_err shard_list_read(struct ev_str answer, void (*each)(void *user, const struct lease_shard *s),
		       void *user, struct shard_token *next)
{
	struct list_read l = { .each = each, .user = user, .next = { .n = 0 } };
	ev_err e = read_answer(answer, list_fields, EV_ARRAY_LEN(list_fields), &l);

	if (e == EV_OK)
		*next = l.next;
	return e;
}

/* --- GetShardIterator --- */

static const struct json_field iterator_fields[] = {
	{ .key = "ShardIterator", .key_len = 13, .read = read_token, .offset = 0 },
};

ev_err shard_iterator_read(struct ev_str answer, struct shard_token *out)
{
	struct shard_token token = { .n = 0 };
	ev_err e = read_answer(answer, iterator_fields, EV_ARRAY_LEN(iterator_fields), &token);

	if (e == EV_OK)
		*out = token;
	return e;
}

/* --- GetRecords --- */

struct records_read {
	void (*each)(void *user, const struct shard_record_data *r);
	void *user;
	struct shard_token next;
	double behind_ms;
	size_t n;
	char *room; /* for the bytes of one record; grows */
	size_t cap;
};

struct record_fields {
	struct json_span sequence, key, data;
	double at_s;
};
enum { RECORD_SEQUENCE, RECORD_KEY, RECORD_DATA, RECORD_AT };
static const struct json_field record_fields[] = {
	[RECORD_SEQUENCE] = JSON_FIELD(struct record_fields, sequence, "SequenceNumber", read_span,
				       JSON_REQUIRED),
	[RECORD_KEY] = JSON_FIELD(struct record_fields, key, "PartitionKey", read_span, MAYBE),
	[RECORD_DATA] = JSON_FIELD(struct record_fields, data, "Data", read_span, JSON_REQUIRED),
	[RECORD_AT] = JSON_FIELD(struct record_fields, at_s, "ApproximateArrivalTimestamp",
				 json_field_double, MAYBE),
};

static bool is_sequence(const struct json_span *s)
{
	if (s->escaped || s->raw.n == 0 || s->raw.n > LEASE_SEQUENCE_MAX)
		return false;
	for (size_t i = 0; i < s->raw.n; i++) {
		if (s->raw.p[i] < '0' || s->raw.p[i] > '9')
			return false;
	}
	return true;
}

/* To the millisecond, which is what Kinesis counts in. */
static int64_t at_ns(double s)
{
	if (!(s > 0 && s < 9e9))
		return 0;
	return (int64_t)(s * 1000 + 0.5) * EV_NS_PER_MS;
}

static ev_err need_room(struct records_read *a, size_t n)
{
	char *room;

	if (n <= a->cap)
		return EV_OK;
	room = realloc(a->room, n);
	if (room == NULL)
		return EV_NOMEM;
	a->room = room;
	a->cap = n;
	return EV_OK;
}

/* The text is behind the bytes in the room, each as long as the text at most. */
static ev_err read_data(struct records_read *a, const struct json_span *span,
			struct shard_record_data *out)
{
	size_t n = span->raw.n;
	struct ev_str text;
	size_t got;
	ev_err e = need_room(a, 2 * n + 1);

	if (e != EV_OK)
		return e;
	text = (struct ev_str){ a->room + n, json_unescape(span, a->room + n, n) };
	e = ev_base64_read(text, (uint8_t *)a->room, n, &got);
	out->is_base64 = e == EV_OK;
	out->data = e == EV_OK ? (struct ev_str){ a->room, got } : text;
	return EV_OK;
}

static ev_err read_record(struct json_reader *r, void *user)
{
	struct records_read *a = user;
	struct record_fields f = { .key = { .raw = EV_LIT("") }, .at_s = 0 };
	struct shard_record_data out = { .at_ns = 0 };
	char key[KEY_ROOM];
	uint32_t seen;
	ev_err e = json_read_record(r, record_fields, EV_ARRAY_LEN(record_fields), &f, &seen);

	if (e == EV_OK)
		e = json_require(r, record_fields, EV_ARRAY_LEN(record_fields), seen);
	if (e != EV_OK || !is_sequence(&f.sequence))
		return EV_CORRUPT;
	e = read_data(a, &f.data, &out);
	if (e != EV_OK)
		return e;
	out.sequence = f.sequence.raw;
	out.key = (struct ev_str){ key, json_unescape(&f.key, key, sizeof(key)) };
	if (out.key.n > sizeof(key))
		out.key.n = sizeof(key);
	out.at_ns = at_ns(f.at_s);
	a->n++;
	a->each(a->user, &out);
	return EV_OK;
}

static ev_err read_records(struct json_reader *r, void *target)
{
	return read_items(r, read_record, target);
}

static const struct json_field records_fields[] = {
	{ .key = "Records", .key_len = 7, .read = read_records, .offset = 0 },
	JSON_FIELD(struct records_read, next, "NextShardIterator", read_token, MAYBE),
	JSON_FIELD(struct records_read, behind_ms, "MillisBehindLatest", json_field_double, MAYBE),
};

ev_err shard_records_read(struct ev_str answer,
			  void (*each)(void *user, const struct shard_record_data *r), void *user,
			  struct shard_records *out)
{
	struct records_read a = { .each = each, .user = user, .next = { .n = 0 } };
	ev_err e = read_answer(answer, records_fields, EV_ARRAY_LEN(records_fields), &a);

	free(a.room);
	if (e != EV_OK)
		return e;
	out->ended = a.next.n == 0;
	out->next = a.next;
	out->behind_ms = a.behind_ms > 0 && a.behind_ms < 1e15 ? (int64_t)a.behind_ms : 0;
	out->n = a.n;
	return EV_OK;
}

/* --- The lease table --- */

struct scan_read {
	void (*each)(void *user, const struct lease_row *row);
	void *user;
	size_t n_bad;
	struct shard_token next;
};

static ev_err read_row(struct json_reader *r, void *user)
{
	struct scan_read *s = user;
	struct ev_str item;
	struct lease_row row;
	ev_err e = json_skip(r, &item);

	if (e != EV_OK)
		return e;
	if (lease_row_read(item, &row) == EV_OK)
		s->each(s->user, &row);
	else
		s->n_bad++;
	return EV_OK;
}

static ev_err read_rows(struct json_reader *r, void *target)
{
	return read_items(r, read_row, target);
}

static ev_err read_start_key(struct json_reader *r, void *target)
{
	struct shard_token *token = target;
	struct ev_str raw;
	ev_err e = json_skip(r, &raw);

	if (e != EV_OK)
		return e;
	if (raw.n > sizeof(token->s))
		return EV_CORRUPT;
	memcpy(token->s, raw.p, raw.n);
	token->n = raw.n;
	return EV_OK;
}

static const struct json_field scan_fields[] = {
	{ .key = "Items", .key_len = 5, .read = read_rows, .offset = 0 },
	JSON_FIELD(struct scan_read, next, "LastEvaluatedKey", read_start_key, MAYBE),
};

ev_err lease_scan_read(struct ev_str answer, void (*each)(void *user, const struct lease_row *row),
		       void *user, size_t *n_bad, struct shard_token *next)
{
	struct scan_read s = { .each = each, .user = user, .next = { .n = 0 } };
	ev_err e = read_answer(answer, scan_fields, EV_ARRAY_LEN(scan_fields), &s);

	if (e != EV_OK)
		return e;
	*n_bad += s.n_bad;
	*next = s.next;
	return EV_OK;
}

static ev_err read_item(struct json_reader *r, void *target)
{
	return json_skip(r, target);
}

static const struct json_field get_fields[] = {
	{ .key = "Item", .key_len = 4, .read = read_item, .offset = 0, .flags = MAYBE },
};

ev_err lease_get_read(struct ev_str answer, struct lease_row *out)
{
	struct ev_str item = { NULL, 0 };
	ev_err e = read_answer(answer, get_fields, EV_ARRAY_LEN(get_fields), &item);

	if (e == EV_OK && item.n == 0)
		return EV_NOTFOUND;
	return e == EV_OK ? lease_row_read(item, out) : e;
}
