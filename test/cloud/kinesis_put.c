/* test/cloud/kinesis_put.c — PutRecord and PutRecords. */
#include <string.h>

#include "cloud/kinesis.h"

#define RECORD_BYTES_MAX ((size_t)1024 * 1024)
#define REQUEST_BYTES_MAX ((size_t)5 * 1024 * 1024)
#define RECORDS_MAX 500
#define UNIT_BYTES ((size_t)25 * 1024)

struct put {
	struct ev_str key, data;
	hash_key hash;
};

static hash_key hash_of(struct ev_str key)
{
	uint8_t digest[16];
	hash_key k = 0;

	md5(key, digest);
	for (unsigned i = 0; i < sizeof(digest); i++)
		k = k << 8 | digest[i];
	return k;
}

static size_t characters(struct ev_str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static bool put_read(struct request *r, const struct node *n, struct put *out)
{
	struct ev_str data, explicit = { NULL, 0 };

	if (!need_text(r, n, "PartitionKey", &out->key) || !need_text(r, n, "Data", &data) ||
	    !want_text(r, n, "ExplicitHashKey", &explicit))
		return false;
	if (out->key.n == 0 || characters(out->key) > 256)
		return refuse_invalid(r, "partitionKey must have 1 to 256 characters");
	if (!base64_decode(&r->pool, data, &out->data))
		return refuse(r, "SerializationException", "no base64 in Data");
	if (out->key.n + out->data.n > RECORD_BYTES_MAX)
		return refuse_invalid(r, "a record must have no more than 1048576 bytes");
	out->hash = hash_of(out->key);
	if (explicit.n > 0 && !hash_key_parse(explicit, &out->hash))
		return refuse(r, "InvalidArgumentException", "ExplicitHashKey is not valid");
	return true;
}

static struct shard *route(struct stream *s, hash_key hash)
{
	for (size_t i = 0; i < s->n; i++) {
		struct shard *sh = &s->shards[i];

		if (sh->closed_ns == 0 && sh->low <= hash && hash <= sh->high)
			return sh;
	}
	return NULL; /* not while the shards cover all */
}

static struct record *store(struct cloud *c, struct shard *sh, const struct put *p)
{
	struct record *record = must_calloc(1, sizeof(*record));

	sequence_next(c, record->sequence);
	record->key = pool_copy(&record->pool, p->key);
	record->data = pool_copy(&record->pool, p->data);
	record->at_ns = cloud_wall_ns(c);
	record->mono_ns = cloud_mono_ns(c);
	if (sh->n == sh->cap) {
		sh->cap = sh->cap == 0 ? 16 : 2 * sh->cap;
		sh->records = must_realloc(sh->records, sh->cap, sizeof(struct record *));
	}
	sh->records[sh->n++] = record;
	return record;
}

/* Writes the members of the answer for it. */
static void put_one(struct request *r, struct stream *s, const struct put *p)
{
	struct shard *sh = route(s, p->hash);
	struct cloud *c = r->cloud;
	const struct record *record;

	if (r->fault == CLOUD_DUPLICATE)
		(void)store(c, sh, p);
	record = store(c, sh, p);
	c->bill.kinesis_records++;
	c->bill.kinesis_put_units += p->data.n <= UNIT_BYTES
					     ? 1
					     : (p->data.n + UNIT_BYTES - 1) / UNIT_BYTES;
	json_write_key(&r->w, "SequenceNumber");
	json_write_z(&r->w, record->sequence);
	json_write_key(&r->w, "ShardId");
	json_write_z(&r->w, sh->id);
}

bool kinesis_put(struct request *r)
{
	struct stream *s;
	struct put p;

	if (!stream_of(r, &s) || !put_read(r, r->body, &p))
		return false;
	json_write_object(&r->w);
	put_one(r, s, &p);
	json_write_object_end(&r->w);
	return true;
}

static void write_failure(struct request *r)
{
	if (cloud_below(r->cloud, 2) == 0) {
		json_write_key(&r->w, "ErrorCode");
		json_write_z(&r->w, "ProvisionedThroughputExceededException");
		json_write_key(&r->w, "ErrorMessage");
		json_write_z(&r->w, "Rate exceeded for shard in a stream.");
	} else {
		json_write_key(&r->w, "ErrorCode");
		json_write_z(&r->w, "InternalFailure");
		json_write_key(&r->w, "ErrorMessage");
		json_write_z(&r->w, "Internal service failure.");
	}
}

static bool read_all(struct request *r, const struct node *list, struct put *out)
{
	size_t bytes = 0;

	for (const struct node *n = list->first; n != NULL; n = n->next, out++) {
		if (n->kind != NODE_OBJECT)
			return refuse(r, "SerializationException", "a record is no object");
		if (!known_keys(r, n, " Data PartitionKey ExplicitHashKey ") ||
		    !put_read(r, n, out))
			return false;
		bytes += out->key.n + out->data.n;
	}
	if (bytes > REQUEST_BYTES_MAX)
		return refuse(r, "InvalidArgumentException", "Records size exceeds 5 MB limit");
	return true;
}

bool kinesis_put_batch(struct request *r)
{
	const struct node *list;
	struct stream *s;
	struct put *all;
	uint64_t failed = 0;

	if (!stream_of(r, &s) || !need(r, r->body, "Records", NODE_ARRAY, &list))
		return false;
	if (list->n == 0 || list->n > RECORDS_MAX)
		return refuse_invalid(r, "records must have 1 to 500 members");
	all = pool_alloc(&r->pool, list->n * sizeof(*all));
	if (!read_all(r, list, all))
		return false;
	json_write_object(&r->w);
	json_write_key(&r->w, "Records");
	json_write_array(&r->w);
	for (size_t i = 0; i < list->n; i++) {
		json_write_object(&r->w);
		if (entry_fails(r, i, list->n)) {
			failed++;
			write_failure(r);
		} else {
			put_one(r, s, &all[i]);
		}
		json_write_object_end(&r->w);
	}
	json_write_array_end(&r->w);
	json_write_key(&r->w, "FailedRecordCount");
	json_write_u64(&r->w, failed);
	json_write_object_end(&r->w);
	return true;
}
