/* test/cloud/kinesis_read.c — ListShards, GetShardIterator, GetRecords. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "cloud/kinesis.h"

#define TOKEN_LIFE_NS (5 * EV_NS_PER_MIN)
#define GET_MAX 10000
#define GET_BYTES ((size_t)10 * 1024 * 1024)
#define REPLAYED 10

/* --- Tokens: what they stand for, and when they were made --- */

struct token {
	uint64_t stream, shard, place;
	int64_t made_ns; /* monotonic */
};

static struct ev_str token_write(struct request *r, char kind, const struct token *t)
{
	char text[120];
	int n = snprintf(text, sizeof(text), "%c.%llu.%llu.%llu.%llu", kind,
			 (unsigned long long)t->stream, (unsigned long long)t->shard,
			 (unsigned long long)t->place, (unsigned long long)t->made_ns);

	return base64_encode(&r->pool, (struct ev_str){ text, (size_t)n });
}

static bool token_read(struct request *r, char kind, struct ev_str text, struct token *out)
{
	uint64_t parts[4];
	struct ev_str s;

	if (!base64_decode(&r->pool, text, &s) || s.n < 2 || s.p[0] != kind)
		return false;
	s.p++;
	s.n--;
	for (size_t i = 0; i < EV_ARRAY_LEN(parts); i++) {
		const char *end;

		if (s.n < 2 || s.p[0] != '.')
			return false;
		s.p++;
		s.n--;
		end = memchr(s.p, '.', s.n);
		if (end == NULL)
			end = s.p + s.n;
		if (num_parse_u64((struct ev_str){ s.p, (size_t)(end - s.p) }, &parts[i]) != EV_OK)
			return false;
		s.n -= (size_t)(end - s.p);
		s.p = end;
	}
	*out = (struct token){ parts[0], parts[1], parts[2], (int64_t)parts[3] };
	return s.n == 0;
}

static bool token_expired(struct request *r, const struct token *t)
{
	return r->fault == CLOUD_EXPIRED_ITERATOR ||
	       t->made_ns + TOKEN_LIFE_NS < cloud_mono_ns(r->cloud);
}

static struct stream *token_stream(struct request *r, const struct token *t)
{
	struct stream *s = r->cloud->streams;

	while (s != NULL && s->id != t->stream)
		s = s->next;
	return s != NULL && t->shard < s->n ? s : NULL;
}

/* --- ListShards --- */

struct filter {
	struct ev_str type; /* empty: all */
	int64_t at_ns;
	size_t after; /* only behind this place, or NO_SHARD */
};

static bool read_seconds(struct request *r, const struct node *object, const char *key,
			 int64_t *out_ns)
{
	const struct node *n;
	double seconds;

	if (!need(r, object, key, NODE_NUMBER, &n))
		return false;
	if (num_parse_double(n->text, &seconds) != EV_OK || seconds < 0 || seconds > 9e9)
		return refuse(r, "SerializationException", "%s is no time", key);
	*out_ns = (int64_t)(seconds * 1e3 + 0.5) * EV_NS_PER_MS;
	return true;
}

static bool filter_read(struct request *r, struct stream *s, struct filter *out)
{
	static const char *const types[] = { "AT_LATEST",      "AT_TRIM_HORIZON",
					     "AT_TIMESTAMP",   "FROM_TRIM_HORIZON",
					     "FROM_TIMESTAMP", "AFTER_SHARD_ID" };
	const struct node *n;
	struct ev_str after = { NULL, 0 };
	size_t i = 0;

	*out = (struct filter){ .after = NO_SHARD };
	if (!want(r, r->body, "ShardFilter", NODE_OBJECT, &n) ||
	    !want_text(r, r->body, "ExclusiveStartShardId", &after))
		return false;
	if (n != NULL) {
		if (!known_keys(r, n, " Type ShardId Timestamp ") ||
		    !need_text(r, n, "Type", &out->type))
			return false;
		while (i < EV_ARRAY_LEN(types) && !ev_str_eqz(out->type, types[i]))
			i++;
		if (i == EV_ARRAY_LEN(types))
			return refuse_invalid(r, "ShardFilter's type is not valid");
		if ((i == 2 || i == 4) && !read_seconds(r, n, "Timestamp", &out->at_ns))
			return false;
		if (i == 5 && !need_text(r, n, "ShardId", &after))
			return false;
		if (i == 1)
			out->at_ns = cloud_wall_ns(r->cloud) - s->retention_h * EV_NS_PER_HOUR;
	}
	return after.n == 0 || shard_of(r, s, after, &out->after);
}

static bool passes(const struct filter *f, size_t place, const struct shard *sh)
{
	if (f->after != NO_SHARD && place <= f->after)
		return false;
	if (ev_str_eqz(f->type, "AT_LATEST"))
		return sh->closed_ns == 0;
	if (ev_str_eqz(f->type, "FROM_TIMESTAMP"))
		return sh->closed_ns == 0 || sh->closed_ns >= f->at_ns;
	if (!ev_str_starts(f->type, EV_LIT("AT_")))
		return true;
	/* The first shards of a stream cover also what was before it. */
	return (sh->opened_ns <= f->at_ns || sh->parent == NO_SHARD) &&
	       (sh->closed_ns == 0 || sh->closed_ns > f->at_ns);
}

static void write_range(struct json_writer *w, const struct shard *sh)
{
	json_write_key(w, "HashKeyRange");
	json_write_object(w);
	json_write_key(w, "StartingHashKey");
	hash_key_write(w, sh->low);
	json_write_key(w, "EndingHashKey");
	hash_key_write(w, sh->high);
	json_write_object_end(w);
}

static void write_shard(struct json_writer *w, const struct stream *s, const struct shard *sh)
{
	json_write_object(w);
	json_write_key(w, "ShardId");
	json_write_z(w, sh->id);
	if (sh->parent != NO_SHARD) {
		json_write_key(w, "ParentShardId");
		json_write_z(w, s->shards[sh->parent].id);
	}
	if (sh->adjacent != NO_SHARD) {
		json_write_key(w, "AdjacentParentShardId");
		json_write_z(w, s->shards[sh->adjacent].id);
	}
	write_range(w, sh);
	json_write_key(w, "SequenceNumberRange");
	json_write_object(w);
	json_write_key(w, "StartingSequenceNumber");
	json_write_z(w, sh->first);
	if (sh->closed_ns != 0) {
		json_write_key(w, "EndingSequenceNumber");
		json_write_z(w, sh->last);
	}
	json_write_object_end(w);
	json_write_object_end(w);
}

/* Where to go on: by a token, which stands for the filter too (its place is past it). */
static bool list_from(struct request *r, struct stream **out, struct filter *filter, size_t *from)
{
	struct ev_str text = { NULL, 0 };
	struct token t;

	*from = 0;
	if (!want_text(r, r->body, "NextToken", &text))
		return false;
	if (text.n == 0)
		return stream_of(r, out) && filter_read(r, *out, filter);
	if (node_get(r->body, "StreamName") != NULL ||
	    node_get(r->body, "ExclusiveStartShardId") != NULL)
		return refuse(r, "InvalidArgumentException",
			      "NextToken and StreamName cannot be provided together.");
	if (!token_read(r, 'L', text, &t) || (*out = token_stream(r, &t)) == NULL)
		return refuse(r, "InvalidArgumentException", "Invalid NextToken.");
	if (token_expired(r, &t))
		return refuse(r, "ExpiredNextTokenException", "The NextToken has expired.");
	*filter = (struct filter){ .after = NO_SHARD };
	if (t.place != 0)
		filter->type = EV_LIT("AT_LATEST");
	*from = t.shard;
	return true;
}

bool kinesis_list_shards(struct request *r)
{
	struct cloud *c = r->cloud;
	struct filter filter;
	struct stream *s;
	int64_t max = 10000, n = 0;
	size_t i;

	if (!list_from(r, &s, &filter, &i) || !want_int(r, r->body, "MaxResults", 1, 10000, &max))
		return false;
	if (c->config.page_items > 0 && max > (int64_t)c->config.page_items)
		max = c->config.page_items;
	json_write_object(&r->w);
	json_write_key(&r->w, "Shards");
	json_write_array(&r->w);
	for (; i < s->n && n < max; i++) {
		if (shard_is_gone(c, s, &s->shards[i]) || !passes(&filter, i, &s->shards[i]))
			continue;
		write_shard(&r->w, s, &s->shards[i]);
		n++;
	}
	json_write_array_end(&r->w);
	if (i < s->n) {
		struct token t = { s->id, i, ev_str_eqz(filter.type, "AT_LATEST"),
				   cloud_mono_ns(c) };

		json_write_key(&r->w, "NextToken");
		json_write_string(&r->w, token_write(r, 'L', &t));
	}
	json_write_object_end(&r->w);
	return true;
}

/* --- GetShardIterator --- */

static int sequence_order(struct ev_str a, const char *b)
{
	size_t n = strlen(b);

	while (a.n > 0 && *a.p == '0') {
		a.p++;
		a.n--;
	}
	if (a.n != n)
		return a.n < n ? -1 : 1;
	return memcmp(a.p, b, n);
}

static bool is_digits(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n > 0;
}

/* The first place whose number is the given one or behind it. */
static bool place_of(struct request *r, const struct shard *sh, bool after, size_t *out)
{
	struct ev_str number;
	size_t i = 0;

	if (!need_text(r, r->body, "StartingSequenceNumber", &number))
		return false;
	if (!is_digits(number) || sequence_order(number, sh->first) < 0 ||
	    (sh->closed_ns != 0 && sequence_order(number, sh->last) > 0) || number.n > 128)
		return refuse(r, "InvalidArgumentException",
			      "StartingSequenceNumber %.*s used in GetShardIterator on shard %s is "
			      "invalid.",
			      (int)(number.n < 128 ? number.n : 128), number.p, sh->id);
	while (i < sh->n && sequence_order(number, sh->records[i]->sequence) > (after ? -1 : 0))
		i++;
	*out = i;
	return true;
}

static bool find_place(struct request *r, struct stream *s, const struct shard *sh, size_t *out)
{
	size_t first = shard_horizon(r->cloud, s, sh);
	struct ev_str type;
	int64_t at;

	*out = first;
	if (!need_text(r, r->body, "ShardIteratorType", &type))
		return false;
	if (ev_str_eqz(type, "TRIM_HORIZON"))
		return true;
	if (ev_str_eqz(type, "LATEST")) {
		*out = sh->n;
		return true;
	}
	if (ev_str_eqz(type, "AT_TIMESTAMP")) {
		if (!read_seconds(r, r->body, "Timestamp", &at))
			return false;
		while (*out < sh->n && sh->records[*out]->at_ns < at)
			++*out;
		return true;
	}
	if (!ev_str_eqz(type, "AT_SEQUENCE_NUMBER") && !ev_str_eqz(type, "AFTER_SEQUENCE_NUMBER"))
		return refuse_invalid(r, "shardIteratorType is not valid");
	if (!place_of(r, sh, ev_str_eqz(type, "AFTER_SEQUENCE_NUMBER"), out))
		return false;
	*out = *out < first ? first : *out;
	return true;
}

bool kinesis_iterator(struct request *r)
{
	struct stream *s;
	struct ev_str id;
	size_t shard, place;
	struct token t;

	if (!stream_of(r, &s) || !need_text(r, r->body, "ShardId", &id) ||
	    !shard_of(r, s, id, &shard) || !find_place(r, s, &s->shards[shard], &place))
		return false;
	t = (struct token){ s->id, shard, place, cloud_mono_ns(r->cloud) };
	json_write_object(&r->w);
	json_write_key(&r->w, "ShardIterator");
	json_write_string(&r->w, token_write(r, 'I', &t));
	json_write_object_end(&r->w);
	return true;
}

/* --- GetRecords --- */

static void write_record(struct request *r, const struct record *record)
{
	json_write_object(&r->w);
	json_write_key(&r->w, "SequenceNumber");
	json_write_z(&r->w, record->sequence);
	json_write_key(&r->w, "ApproximateArrivalTimestamp");
	json_write_double(&r->w, (double)ev_time_floor_ms(record->at_ns) / 1e3);
	json_write_key(&r->w, "Data");
	json_write_string(&r->w, base64_encode(&r->pool, record->data));
	json_write_key(&r->w, "PartitionKey");
	json_write_string(&r->w, record->key);
	json_write_object_end(&r->w);
}

static void write_children(struct request *r, const struct stream *s, size_t parent)
{
	struct json_writer *w = &r->w;

	json_write_key(w, "ChildShards");
	json_write_array(w);
	for (size_t i = 0; i < s->n; i++) {
		const struct shard *sh = &s->shards[i];

		if (sh->parent != parent && sh->adjacent != parent)
			continue;
		json_write_object(w);
		json_write_key(w, "ShardId");
		json_write_z(w, sh->id);
		json_write_key(w, "ParentShards");
		json_write_array(w);
		json_write_z(w, s->shards[sh->parent].id);
		if (sh->adjacent != NO_SHARD)
			json_write_z(w, s->shards[sh->adjacent].id);
		json_write_array_end(w);
		write_range(w, sh);
		json_write_object_end(w);
	}
	json_write_array_end(w);
}

static bool iterator_read(struct request *r, struct stream **out, struct token *t)
{
	struct ev_str text;

	if (!need_text(r, r->body, "ShardIterator", &text))
		return false;
	if (!token_read(r, 'I', text, t))
		return refuse(r, "InvalidArgumentException", "Invalid ShardIterator.");
	if (token_expired(r, t))
		return refuse(r, "ExpiredIteratorException",
			      "Iterator expired. The iterator was created at another time than "
			      "within the last 300000 milliseconds.");
	*out = token_stream(r, t);
	return *out != NULL ||
	       refuse(r, "ResourceNotFoundException", "The stream of the iterator is not there.");
}

static size_t write_records(struct request *r, const struct shard *sh, size_t from, int64_t max)
{
	size_t bytes = 0, i = from;

	json_write_key(&r->w, "Records");
	json_write_array(&r->w);
	for (; i < sh->n && (int64_t)(i - from) < max; i++) {
		bytes += sh->records[i]->data.n + sh->records[i]->key.n;
		if (bytes > GET_BYTES && i > from)
			break;
		write_record(r, sh->records[i]);
	}
	json_write_array_end(&r->w);
	return i;
}

bool kinesis_get(struct request *r)
{
	struct cloud *c = r->cloud;
	int64_t max = GET_MAX, behind = 0;
	const struct shard *sh;
	struct stream *s = NULL;
	size_t from, horizon;
	struct token t;

	if (!iterator_read(r, &s, &t) || !want_int(r, r->body, "Limit", 1, GET_MAX, &max))
		return false;
	sh = &s->shards[t.shard];
	horizon = shard_horizon(c, s, sh);
	from = t.place;
	if (r->fault == CLOUD_DUPLICATE)
		from -= from < REPLAYED ? from : REPLAYED;
	from = from < horizon ? horizon : from;
	if (r->fault == CLOUD_STALE)
		max = 0; /* an answer without records though there are some */
	json_write_object(&r->w);
	t.place = write_records(r, sh, from, max);
	t.made_ns = cloud_mono_ns(c);
	if (sh->closed_ns != 0 && t.place >= sh->n) {
		if (cloud_below(c, 2) == 0) {
			json_write_key(&r->w, "NextShardIterator");
			json_write_null(&r->w);
		}
		write_children(r, s, t.shard);
	} else {
		json_write_key(&r->w, "NextShardIterator");
		json_write_string(&r->w, token_write(r, 'I', &t));
	}
	if (t.place < sh->n)
		behind = (cloud_wall_ns(c) - sh->records[t.place]->at_ns) / EV_NS_PER_MS + 1;
	json_write_key(&r->w, "MillisBehindLatest");
	json_write_i64(&r->w, behind > 0 ? behind : t.place < sh->n);
	json_write_object_end(&r->w);
	return true;
}
