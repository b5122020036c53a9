/* test/cloud/dynamo_query.c — Query and Scan, of tables and indexes. */
#include <stdlib.h>

#include "cloud/dynamo.h"

#define PAGE_BYTES ((size_t)1024 * 1024)
#define SEGMENTS_MAX 1000000

struct hit {
	const struct value *hash, *range; /* of the table or index; range may be NULL */
	uint64_t token;
	struct item key;   /* of the table, for the order of equals in an index */
	struct item shown; /* what table or index hold of it */
	size_t size;
	struct ev_str key_hash, key_range;
};

struct reading {
	struct request *r;
	struct dynamo_table *t;
	const struct dynamo_index *index;
	const struct key_schema *schema;
	struct expr_env env;
	enum sight sight;
	bool consistent, backward, count_only;
	const struct cond *filter;
	struct ev_str *names;
	size_t n_names;
	int64_t limit; /* 0: none */
	struct item start;
	bool has_start;
	/* Of a Query. */
	struct key_range range;
	/* Of a Scan. */
	int64_t segment, n_segments;

	struct hit *hits;
	size_t n, cap;
};

/* --- Which items there are --- */

static void add_hit(struct reading *q, const struct item *it)
{
	struct pool *p = &q->r->pool;
	struct hit h = { .shown = *it };

	h.hash = item_get(it, q->schema->hash);
	if (q->range.hash != NULL && (h.hash == NULL || !value_equal(h.hash, q->range.hash)))
		return;
	if (q->index != NULL && !index_entry(p, q->t, q->index, it, &h.shown))
		return;
	h.range = q->schema->range.n > 0 ? item_get(it, q->schema->range) : NULL;
	if (!cond_true(q->range.range, it))
		return;
	h.token = dynamo_token(h.hash);
	if (q->n_segments > 0 && (int64_t)(h.token % (uint64_t)q->n_segments) != q->segment)
		return;
	h.size = item_size(&h.shown);
	h.key = key_of(p, q->t, NULL, it);
	h.key_hash = item_get(it, q->t->key.hash)->text;
	if (q->t->key.range.n > 0)
		h.key_range = item_get(it, q->t->key.range)->text;
	if (q->n == q->cap) {
		q->cap = q->cap == 0 ? 64 : 2 * q->cap;
		q->hits = must_realloc(q->hits, q->cap, sizeof(*q->hits));
	}
	q->hits[q->n++] = h;
}

static void collect_partition(struct reading *q, const struct partition *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct version *v = row_see(q->r->cloud, p->rows[i], q->sight);

		if (v != NULL)
			add_hit(q, &v->item);
	}
}

static int text_order(struct ev_str a, struct ev_str b)
{
	return value_order(&(struct value){ .text = a }, &(struct value){ .text = b });
}

/* By token and hash (for a Scan), range, then the table's own key. */
static int hit_order(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	int order;

	if (x->token != y->token)
		return x->token < y->token ? -1 : 1;
	order = value_order(x->hash, y->hash);
	if (order == 0 && x->range != NULL && y->range != NULL)
		order = value_order(x->range, y->range);
	if (order == 0)
		order = text_order(x->key_hash, y->key_hash);
	return order != 0 ? order : text_order(x->key_range, y->key_range);
}

static void collect(struct reading *q)
{
	const struct value *only = q->index == NULL ? q->range.hash : NULL;
	uint64_t token = only != NULL ? dynamo_token(only) : 0;

	for (size_t i = 0; i < q->t->n; i++) {
		if (only == NULL || q->t->partitions[i]->token == token)
			collect_partition(q, q->t->partitions[i]);
	}
	if (q->n > 1)
		qsort(q->hits, q->n, sizeof(*q->hits), hit_order);
}

/* --- Reading the request --- */

static bool read_start(struct reading *q)
{
	struct request *r = q->r;
	struct ev_str names[4];
	const struct node *start;
	size_t n = key_names(q->t, q->index, names);

	if (!want(r, r->body, "ExclusiveStartKey", NODE_OBJECT, &start))
		return false;
	if (start == NULL)
		return true;
	if (!item_read(r, start, &q->start))
		return false;
	q->has_start = true;
	for (size_t i = 0; i < n; i++) {
		if (start->n != n || item_get(&q->start, names[i]) == NULL)
			return refuse_invalid(r, "The provided starting key is invalid");
	}
	return true;
}

static bool read_source(struct reading *q)
{
	struct request *r = q->r;
	struct ev_str index = { NULL, 0 };

	if (!dynamo_table_of(r, &q->t) || !want_text(r, r->body, "IndexName", &index) ||
	    !want_flag(r, r->body, "ConsistentRead", &q->consistent))
		return false;
	if (index.n > 0) {
		q->index = index_find(q->t, index);
		if (q->index == NULL)
			return refuse_invalid(r,
					      "The table does not have the specified index: %.*s",
					      (int)index.n, index.p);
		if (q->consistent)
			return refuse_invalid(r, "Consistent reads are not supported on global "
						 "secondary indexes");
	}
	q->schema = q->index != NULL ? &q->index->key : &q->t->key;
	q->sight = q->index != NULL && r->fault != CLOUD_STALE ? SIGHT_INDEX
							       : dynamo_sight(r, q->consistent);
	return true;
}

static bool read_select(struct reading *q)
{
	struct request *r = q->r;
	struct ev_str select = { NULL, 0 };

	if (!want_text(r, r->body, "Select", &select))
		return false;
	q->count_only = ev_str_eqz(select, "COUNT");
	if (ev_str_eqz(select, "SPECIFIC_ATTRIBUTES") != (q->n_names > 0) && select.n > 0)
		return refuse_invalid(r, "Select and ProjectionExpression do not agree");
	if (ev_str_eqz(select, "ALL_ATTRIBUTES") && q->index != NULL && !q->index->all)
		return refuse_invalid(r,
				      "One or more parameter values were invalid: Select type "
				      "ALL_ATTRIBUTES is not supported for global secondary "
				      "index %.*s because its projection type is not ALL",
				      (int)q->index->name.n, q->index->name.p);
	return true;
}

/* What an index does not hold cannot be asked for. */
static bool names_projected(struct reading *q)
{
	const struct dynamo_index *index = q->index;

	for (size_t i = 0; index != NULL && !index->all && i < q->n_names; i++) {
		struct ev_str keys[4];
		size_t n = key_names(q->t, index, keys);
		bool found = false;

		for (size_t k = 0; k < n; k++)
			found = found || ev_str_eq(keys[k], q->names[i]);
		for (size_t k = 0; k < index->n_include; k++)
			found = found || ev_str_eq(index->include[k], q->names[i]);
		if (!found)
			return refuse_invalid(q->r,
					      "One or more parameter values were invalid: Global "
					      "secondary index %.*s does not project [%.*s]",
					      (int)index->name.n, index->name.p, (int)q->names[i].n,
					      q->names[i].p);
	}
	return true;
}

/* A filter of a Query must not name a key. */
static bool names_key(const struct cond *c, const struct key_schema *k)
{
	if (c == NULL)
		return false;
	for (size_t i = 0; i < c->n; i++) {
		if (c->args[i].kind != OPERAND_VALUE &&
		    (ev_str_eq(c->args[i].path, k->hash) ||
		     (k->range.n > 0 && ev_str_eq(c->args[i].path, k->range))))
			return true;
	}
	return names_key(c->a, k) || names_key(c->b, k);
}

static bool read_expressions(struct reading *q, bool query)
{
	struct request *r = q->r;
	const struct node *filter, *projection, *key;
	const struct cond *c = NULL;

	if (!expr_env_read(r, &q->env) ||
	    !want(r, r->body, "FilterExpression", NODE_STRING, &filter) ||
	    !want(r, r->body, "ProjectionExpression", NODE_STRING, &projection) ||
	    (query && !need(r, r->body, "KeyConditionExpression", NODE_STRING, &key)))
		return false;
	if (query && (!cond_parse(&q->env, "KeyConditionExpression", key->text, &c) ||
		      !key_condition(r, c, q->schema->hash, q->schema->range, &q->range)))
		return false;
	if (filter != NULL && !cond_parse(&q->env, "FilterExpression", filter->text, &q->filter))
		return false;
	if (query && names_key(q->filter, q->schema))
		return refuse_invalid(r, "Filter Expression can only contain non-primary key "
					 "attributes");
	return (projection == NULL ||
		projection_parse(&q->env, projection->text, &q->names, &q->n_names)) &&
	       expr_env_check(&q->env) && names_projected(q);
}

static bool check_key_values(struct reading *q)
{
	const struct value *hash = q->range.hash;
	const struct cond *c = q->range.range;

	if (hash->type != q->schema->hash_type)
		return refuse_invalid(q->r, "One or more parameter values were invalid: Condition "
					    "parameter type does not match schema type");
	if (hash->text.n == 0)
		return refuse_invalid(q->r,
				      "One or more parameter values are not valid. The "
				      "AttributeValue for a key attribute cannot contain an empty "
				      "string value. Key: %.*s",
				      (int)q->schema->hash.n, q->schema->hash.p);
	for (size_t i = 1; c != NULL && i < c->n; i++) {
		if (c->args[i].value->type != q->schema->range_type)
			return refuse_invalid(q->r, "One or more parameter values were invalid: "
						    "Condition parameter type does not match "
						    "schema type");
	}
	return true;
}

static bool read_common(struct reading *q, bool query)
{
	bool wanted, indexes, forward = true;

	if (!read_source(q) || !read_expressions(q, query) || !read_select(q) || !read_start(q) ||
	    !want_int(q->r, q->r->body, "Limit", 1, INT32_MAX, &q->limit) ||
	    !wants_consumed(q->r, &wanted, &indexes))
		return false;
	if (query && !want_flag(q->r, q->r->body, "ScanIndexForward", &forward))
		return false;
	q->backward = !forward;
	return true;
}

/* --- The page --- */

/* Where the exclusive start is among the hits, as the reading goes. */
static bool is_behind_start(const struct reading *q, const struct hit *h)
{
	struct hit start = { 0 };
	int order;

	if (!q->has_start)
		return true;
	start.hash = item_get(&q->start, q->schema->hash);
	start.token = dynamo_token(start.hash);
	if (q->schema->range.n > 0)
		start.range = item_get(&q->start, q->schema->range);
	start.key_hash = item_get(&q->start, q->t->key.hash)->text;
	if (q->t->key.range.n > 0)
		start.key_range = item_get(&q->start, q->t->key.range)->text;
	order = hit_order(h, &start);
	return q->backward ? order < 0 : order > 0;
}

static void write_page(struct reading *q)
{
	struct request *r = q->r;
	const struct hit *last = NULL;
	uint64_t count = 0, scanned = 0;
	size_t bytes = 0;
	int64_t limit = q->limit > 0 ? q->limit : INT32_MAX;
	unsigned page = r->cloud->config.page_items;
	struct usage usage = { 0 };

	if (page > 0 && limit > (int64_t)page)
		limit = page;
	json_write_object(&r->w);
	if (!q->count_only) {
		json_write_key(&r->w, "Items");
		json_write_array(&r->w);
	}
	for (size_t i = 0; i < q->n; i++) {
		const struct hit *h = &q->hits[q->backward ? q->n - 1 - i : i];

		if (!is_behind_start(q, h))
			continue;
		scanned++;
		bytes += h->size;
		if (cond_true(q->filter, &h->shown)) {
			struct item it = item_project(&r->pool, &h->shown, q->names, q->n_names);

			count++;
			if (!q->count_only)
				item_write(&r->w, &r->pool, &it);
		}
		if ((int64_t)scanned >= limit || bytes >= PAGE_BYTES) {
			last = h;
			break;
		}
	}
	if (!q->count_only)
		json_write_array_end(&r->w);
	json_write_key(&r->w, "Count");
	json_write_u64(&r->w, count);
	json_write_key(&r->w, "ScannedCount");
	json_write_u64(&r->w, scanned);
	if (last != NULL) {
		struct item key = key_of(&r->pool, q->t, q->index, &last->shown);

		json_write_key(&r->w, "LastEvaluatedKey");
		item_write(&r->w, &r->pool, &key);
	}
	usage.half_reads = half_reads_of(bytes, q->consistent);
	dynamo_consumed(r, q->t, q->index, &usage, true);
	json_write_object_end(&r->w);
}

static bool answer(struct reading *q)
{
	collect(q);
	write_page(q);
	free(q->hits);
	return true;
}

bool dynamo_query(struct request *r)
{
	struct reading q = { .r = r };

	return read_common(&q, true) && check_key_values(&q) && answer(&q);
}

bool dynamo_scan(struct request *r)
{
	struct reading q = { .r = r, .segment = -1 };

	if (!read_common(&q, false) ||
	    !want_int(r, r->body, "Segment", 0, SEGMENTS_MAX - 1, &q.segment) ||
	    !want_int(r, r->body, "TotalSegments", 1, SEGMENTS_MAX, &q.n_segments))
		return false;
	if ((q.segment >= 0) != (q.n_segments > 0) ||
	    q.segment >= (q.n_segments > 0 ? q.n_segments : 1))
		return refuse_invalid(r, "The Segment parameter is less than TotalSegments, and "
					 "both or neither are given");
	return answer(&q);
}
