/* test/cloud/kinesis_stream.c — streams and their shards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cloud/kinesis.h"

#define ARN "arn:aws:kinesis:" CLOUD_REGION ":" CLOUD_ACCOUNT ":stream/"
#define SHARDS_MAX 1000

/* --- Hash keys and sequence numbers --- */

bool hash_key_parse(struct ev_str s, hash_key *out)
{
	hash_key k = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(k, (hash_key)10, &k) ||
		    __builtin_add_overflow(k, (hash_key)(unsigned)(s.p[i] - '0'), &k))
			return false;
	}
	*out = k;
	return s.n > 0;
}

void hash_key_write(struct json_writer *w, hash_key k)
{
	char text[40];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + (unsigned)(k % 10));
		k /= 10;
	} while (k > 0);
	json_write_string(w, (struct ev_str){ text + at, sizeof(text) - at });
}

/* Longer than 64 bits, as those of AWS, and with gaps. */
void sequence_next(struct cloud *c, char out[SEQUENCE_DIGITS + 1])
{
	c->sequence += 1 + cloud_below(c, 1000);
	(void)snprintf(out, SEQUENCE_DIGITS + 1, "49590338271490256608%036llu",
		       (unsigned long long)c->sequence);
}

/* --- Shards --- */

struct shard *shard_open(struct cloud *c, struct stream *s, hash_key low, hash_key high,
			 size_t parent, size_t adjacent)
{
	struct shard *sh;

	s->shards = must_realloc(s->shards, s->n + 1, sizeof(*s->shards));
	sh = &s->shards[s->n];
	*sh = (struct shard){ .low = low, .high = high, .parent = parent, .adjacent = adjacent };
	(void)snprintf(sh->id, sizeof(sh->id), "shardId-%012zu", s->n);
	sequence_next(c, sh->first);
	sh->opened_ns = cloud_wall_ns(c);
	s->n++;
	return sh;
}

void shard_close(struct cloud *c, struct shard *sh)
{
	sequence_next(c, sh->last);
	sh->closed_ns = cloud_wall_ns(c);
	sh->closed_mono_ns = cloud_mono_ns(c);
}

bool shard_is_gone(struct cloud *c, const struct stream *s, const struct shard *sh)
{
	return sh->closed_ns != 0 &&
	       sh->closed_mono_ns + s->retention_h * EV_NS_PER_HOUR < cloud_mono_ns(c);
}

size_t shard_horizon(struct cloud *c, const struct stream *s, const struct shard *sh)
{
	int64_t from = cloud_mono_ns(c) - s->retention_h * EV_NS_PER_HOUR;
	size_t i = 0;

	while (i < sh->n && sh->records[i]->mono_ns < from)
		i++;
	return i;
}

bool shard_of(struct request *r, struct stream *s, struct ev_str id, size_t *out)
{
	for (size_t i = 0; i < s->n; i++) {
		if (ev_str_eqz(id, s->shards[i].id) && !shard_is_gone(r->cloud, s, &s->shards[i])) {
			*out = i;
			return true;
		}
	}
	return refuse(r, "ResourceNotFoundException",
		      "Could not find shard %.*s in stream %.*s under account " CLOUD_ACCOUNT ".",
		      (int)id.n, id.p, (int)s->name.n, s->name.p);
}

/* --- Streams --- */

static void shard_free(struct shard *sh)
{
	for (size_t i = 0; i < sh->n; i++) {
		struct record *record = sh->records[i];

		pool_clear(&record->pool);
		free(record);
	}
	free(sh->records);
}

static void stream_free(struct stream *s)
{
	for (size_t i = 0; i < s->n; i++)
		shard_free(&s->shards[i]);
	free(s->shards);
	pool_clear(&s->pool);
	free(s);
}

void kinesis_free(struct cloud *c)
{
	while (c->streams != NULL) {
		struct stream *next = c->streams->next;

		stream_free(c->streams);
		c->streams = next;
	}
}

struct stream *stream_find(struct cloud *c, struct ev_str name)
{
	struct stream *s = c->streams;

	while (s != NULL && !ev_str_eq(s->name, name))
		s = s->next;
	return s;
}

bool stream_of(struct request *r, struct stream **out)
{
	struct ev_str name = { NULL, 0 }, arn = { NULL, 0 };

	if (!want_text(r, r->body, "StreamName", &name) ||
	    !want_text(r, r->body, "StreamARN", &arn))
		return false;
	if (name.n == 0 && ev_str_starts(arn, EV_LIT(ARN)))
		name = (struct ev_str){ arn.p + sizeof(ARN) - 1, arn.n - (sizeof(ARN) - 1) };
	if (name.n == 0)
		return refuse(r, "InvalidArgumentException",
			      "Either the StreamName or the StreamARN must be given.");
	*out = stream_find(r->cloud, name);
	return *out != NULL || refuse(r, "ResourceNotFoundException",
				      "Stream %.*s under account " CLOUD_ACCOUNT " not found.",
				      (int)name.n, name.p);
}

static bool read_mode(struct request *r, bool *out_on_demand)
{
	struct ev_str mode = EV_LIT("PROVISIONED");
	const struct node *details;

	if (!want(r, r->body, "StreamModeDetails", NODE_OBJECT, &details) ||
	    !want_text(r, details, "StreamMode", &mode))
		return false;
	*out_on_demand = ev_str_eqz(mode, "ON_DEMAND");
	return true;
}

bool kinesis_create(struct request *r)
{
	struct cloud *c = r->cloud;
	const hash_key all = ~(hash_key)0;
	struct ev_str name;
	hash_key width;
	uint64_t count;
	int64_t n = 0;
	struct stream *s;
	bool on_demand;

	if (!need_text(r, r->body, "StreamName", &name) ||
	    !want_int(r, r->body, "ShardCount", 1, SHARDS_MAX, &n) || !read_mode(r, &on_demand))
		return false;
	if (name.n == 0 || name.n > 128)
		return refuse_invalid(r, "streamName must have 1 to 128 characters");
	if (stream_find(c, name) != NULL)
		return refuse(r, "ResourceInUseException",
			      "Stream %.*s under account " CLOUD_ACCOUNT " already exists.",
			      (int)name.n, name.p);
	if ((n == 0) != on_demand)
		return refuse_invalid(r, "ShardCount and StreamMode do not agree");
	n = on_demand ? 4 : n;
	s = must_calloc(1, sizeof(*s));
	s->name = pool_copy(&s->pool, name);
	s->id = ++c->n_streams;
	s->retention_h = 24;
	s->on_demand = on_demand;
	s->created_ns = cloud_wall_ns(c);
	count = (uint64_t)n;
	width = all / count;
	for (uint64_t i = 0; i < count; i++)
		(void)shard_open(c, s, i * width, i + 1 == count ? all : (i + 1) * width - 1,
				 NO_SHARD, NO_SHARD);
	s->next = c->streams;
	c->streams = s;
	return true;
}

bool kinesis_delete(struct request *r)
{
	struct stream *s, **at = &r->cloud->streams;

	if (!stream_of(r, &s))
		return false;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	stream_free(s);
	return true;
}

static size_t n_open(const struct stream *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->shards[i].closed_ns == 0;
	return n;
}

bool kinesis_summary(struct request *r)
{
	struct json_writer *w = &r->w;
	size_t cap;
	struct stream *s;
	struct ev_buf arn;

	if (!stream_of(r, &s))
		return false;
	cap = sizeof(ARN) + s->name.n;
	arn = ev_buf_over(pool_alloc(&r->pool, cap), cap);
	ev_buf_z(&arn, ARN);
	ev_buf_str_add(&arn, s->name);
	json_write_object(w);
	json_write_key(w, "StreamDescriptionSummary");
	json_write_object(w);
	json_write_key(w, "StreamName");
	json_write_string(w, s->name);
	json_write_key(w, "StreamARN");
	json_write_string(w, ev_buf_str(&arn));
	json_write_key(w, "StreamStatus");
	json_write_z(w, "ACTIVE");
	json_write_key(w, "StreamModeDetails");
	json_write_raw(w, s->on_demand ? EV_LIT("{\"StreamMode\":\"ON_DEMAND\"}")
				       : EV_LIT("{\"StreamMode\":\"PROVISIONED\"}"));
	json_write_key(w, "RetentionPeriodHours");
	json_write_i64(w, s->retention_h);
	json_write_key(w, "StreamCreationTimestamp");
	json_write_double(w, (double)ev_time_floor_ms(s->created_ns) / 1e3);
	json_write_key(w, "EnhancedMonitoring");
	json_write_raw(w, EV_LIT("[{\"ShardLevelMetrics\":[]}]"));
	json_write_key(w, "EncryptionType");
	json_write_z(w, "NONE");
	json_write_key(w, "OpenShardCount");
	json_write_u64(w, n_open(s));
	json_write_key(w, "ConsumerCount");
	json_write_u64(w, 0);
	json_write_object_end(w);
	json_write_object_end(w);
	return true;
}

bool kinesis_list_streams(struct request *r)
{
	json_write_object(&r->w);
	json_write_key(&r->w, "HasMoreStreams");
	json_write_bool(&r->w, false);
	json_write_key(&r->w, "StreamNames");
	json_write_array(&r->w);
	for (const struct stream *s = r->cloud->streams; s != NULL; s = s->next)
		json_write_string(&r->w, s->name);
	json_write_array_end(&r->w);
	json_write_object_end(&r->w);
	return true;
}

bool kinesis_set_retention(struct request *r)
{
	struct stream *s;
	int64_t hours = 0;

	if (!stream_of(r, &s) || !want_int(r, r->body, "RetentionPeriodHours", 24, 8760, &hours))
		return false;
	if (hours == 0)
		return refuse_invalid(r, "RetentionPeriodHours must not be null");
	s->retention_h = hours;
	return true;
}

/* --- Resharding --- */

static bool open_shard_of(struct request *r, struct stream *s, const char *key, size_t *out)
{
	struct ev_str id;

	if (!need_text(r, r->body, key, &id) || !shard_of(r, s, id, out))
		return false;
	return s->shards[*out].closed_ns == 0 ||
	       refuse(r, "ResourceInUseException", "Shard %.*s is closed", (int)id.n, id.p);
}

bool kinesis_split(struct request *r)
{
	struct cloud *c = r->cloud;
	hash_key low, high, at;
	struct ev_str text;
	struct stream *s;
	size_t i;

	if (!stream_of(r, &s) || !open_shard_of(r, s, "ShardToSplit", &i) ||
	    !need_text(r, r->body, "NewStartingHashKey", &text))
		return false;
	low = s->shards[i].low;
	high = s->shards[i].high;
	if (!hash_key_parse(text, &at) || at <= low || at > high)
		return refuse(r, "InvalidArgumentException",
			      "NewStartingHashKey %.*s is not both greater than the start and not "
			      "greater than the end of the shard's range",
			      (int)text.n, text.p);
	shard_close(c, &s->shards[i]);
	(void)shard_open(c, s, low, at - 1, i, NO_SHARD);
	(void)shard_open(c, s, at, high, i, NO_SHARD);
	return true;
}

bool kinesis_merge(struct request *r)
{
	struct cloud *c = r->cloud;
	struct stream *s;
	size_t a, b;
	const struct shard *x, *y;
	hash_key low, high;

	if (!stream_of(r, &s) || !open_shard_of(r, s, "ShardToMerge", &a) ||
	    !open_shard_of(r, s, "AdjacentShardToMerge", &b))
		return false;
	x = &s->shards[a];
	y = &s->shards[b];
	if (x->high + 1 != y->low && y->high + 1 != x->low)
		return refuse(r, "InvalidArgumentException",
			      "Shards %s and %s are not an adjacent pair of shards", x->id, y->id);
	low = x->low < y->low ? x->low : y->low;
	high = x->high > y->high ? x->high : y->high;
	shard_close(c, &s->shards[a]);
	shard_close(c, &s->shards[b]);
	(void)shard_open(c, s, low, high, a, b);
	return true;
}
