/* test/cloud/dynamo_batch.c — BatchGetItem and BatchWriteItem. */
#include "cloud/dynamo.h"

#define GET_MAX 100
#define WRITE_MAX 25
#define TABLES_MAX 25
#define PAGE_BYTES ((size_t)16 * 1024 * 1024)

struct part {
	struct dynamo_table *t;
	const struct node *node; /* of the table's requests */
	struct usage usage;
	const struct node **left; /* unprocessed, in order */
	size_t n_left;
	/* Of a BatchGetItem. */
	struct expr_env env;
	struct ev_str *names;
	size_t n_names;
	bool consistent;
};

struct batch {
	struct request *r;
	struct part *parts;
	size_t n_parts;
	size_t n; /* entries */
	size_t at;
	size_t bytes;
};

static bool batch_begin(struct request *r, struct batch *b)
{
	const struct node *tables;

	*b = (struct batch){ .r = r };
	if (!need(r, r->body, "RequestItems", NODE_OBJECT, &tables))
		return false;
	if (tables->n == 0)
		return refuse_invalid(r, "The requestItems parameter must not be empty");
	b->parts = pool_alloc(&r->pool, tables->n * sizeof(*b->parts));
	for (const struct node *n = tables->first; n != NULL; n = n->next) {
		struct part *p = &b->parts[b->n_parts++];

		p->node = n;
		p->t = dynamo_find(r->cloud, n->key);
		if (p->t == NULL)
			return refuse(r, "ResourceNotFoundException",
				      "Requested resource not found");
	}
	return true;
}

static void key_write(struct json_writer *w, struct ev_str key)
{
	json_write_string(w, key);
	ev_buf_char(w->b, ':');
	w->comma = false;
}

static void write_consumed(struct batch *b, bool is_read)
{
	struct cloud_bill *bill = &b->r->cloud->bill;
	bool wanted = false, indexes = false;

	(void)wants_consumed(b->r, &wanted, &indexes);
	if (wanted) {
		json_write_key(&b->r->w, "ConsumedCapacity");
		json_write_array(&b->r->w);
	}
	for (size_t i = 0; i < b->n_parts; i++) {
		const struct usage *u = &b->parts[i].usage;

		bill->dynamodb_half_reads += u->half_reads;
		bill->dynamodb_writes += u->writes + u->index_writes;
		bill->dynamodb_index_writes += u->index_writes;
		if (wanted)
			dynamo_consumed_entry(b->r, b->parts[i].t, NULL, u, is_read);
	}
	if (wanted)
		json_write_array_end(&b->r->w);
}

/* --- BatchGetItem --- */

/* A request like GetItem's, but for its key. */
static bool get_part_read(struct batch *b, struct part *p, const struct node **keys)
{
	struct request inner = *b->r;
	const struct node *text;
	bool ok;

	inner.body = p->node;
	ok = known_keys(&inner, p->node,
			" Keys ConsistentRead ProjectionExpression ExpressionAttributeNames ") &&
	     need(&inner, p->node, "Keys", NODE_ARRAY, keys) &&
	     want_flag(&inner, p->node, "ConsistentRead", &p->consistent) &&
	     want(&inner, p->node, "ProjectionExpression", NODE_STRING, &text) &&
	     expr_env_read(&inner, &p->env) &&
	     (text == NULL || projection_parse(&p->env, text->text, &p->names, &p->n_names)) &&
	     expr_env_check(&p->env);
	*b->r = inner; /* with what it allocated, or its refusal */
	b->r->body = NULL;
	return ok;
}

static bool same_key_before(struct request *r, const struct item *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (item_equal(&keys[i], &keys[n]))
			return !refuse_invalid(r, "Provided list of item keys contains duplicates");
	}
	return false;
}

static void get_one(struct batch *b, struct part *p, const struct node *key_node,
		    const struct item *key)
{
	struct request *r = b->r;
	const struct row *row = dynamo_row(p->t, key);
	const struct version *v = row == NULL
					  ? NULL
					  : row_see(r->cloud, row, dynamo_sight(r, p->consistent));

	if (entry_fails(r, b->at++, b->n) || b->bytes > PAGE_BYTES) {
		p->left[p->n_left++] = key_node;
		return;
	}
	p->usage.half_reads += half_reads_of(v != NULL ? v->size : 0, p->consistent);
	if (v != NULL) {
		struct item seen = item_project(&r->pool, &v->item, p->names, p->n_names);

		b->bytes += v->size;
		item_write(&r->w, &r->pool, &seen);
	}
}

static bool get_part(struct batch *b, struct part *p, const struct node *keys)
{
	struct item *read = pool_alloc(&b->r->pool, keys->n * sizeof(*read));
	size_t n = 0;

	p->left = pool_alloc(&b->r->pool, keys->n * sizeof(*p->left));
	for (const struct node *k = keys->first; k != NULL; k = k->next) {
		if (!key_read(b->r, p->t, k, &read[n]) || same_key_before(b->r, read, n))
			return false;
		n++;
	}
	key_write(&b->r->w, p->t->name);
	json_write_array(&b->r->w);
	n = 0;
	for (const struct node *k = keys->first; k != NULL; k = k->next)
		get_one(b, p, k, &read[n++]);
	json_write_array_end(&b->r->w);
	return true;
}

/* What else the table's request said goes back with the keys that are left. */
static void write_unprocessed_keys(struct batch *b)
{
	struct json_writer *w = &b->r->w;

	json_write_key(w, "UnprocessedKeys");
	json_write_object(w);
	for (size_t i = 0; i < b->n_parts; i++) {
		const struct part *p = &b->parts[i];

		if (p->n_left == 0)
			continue;
		key_write(w, p->t->name);
		json_write_object(w);
		for (const struct node *m = p->node->first; m != NULL; m = m->next) {
			key_write(w, m->key);
			if (!ev_str_eqz(m->key, "Keys")) {
				json_write_raw(w, m->raw);
				continue;
			}
			json_write_array(w);
			for (size_t k = 0; k < p->n_left; k++)
				json_write_raw(w, p->left[k]->raw);
			json_write_array_end(w);
		}
		json_write_object_end(w);
	}
	json_write_object_end(w);
}

bool dynamo_batch_get(struct request *r)
{
	const struct node *body = r->body, **keys;
	struct batch b;
	bool wanted, indexes;

	if (!batch_begin(r, &b) || !wants_consumed(r, &wanted, &indexes))
		return false;
	keys = pool_alloc(&r->pool, b.n_parts * sizeof(*keys));
	for (size_t i = 0; i < b.n_parts; i++) {
		if (!get_part_read(&b, &b.parts[i], &keys[i]))
			return false;
		b.n += keys[i]->n;
		if (keys[i]->n == 0)
			return refuse_invalid(r, "Keys must not be empty");
	}
	r->body = body;
	if (b.n > GET_MAX)
		return refuse_invalid(r, "Too many items requested for the BatchGetItem call");
	json_write_object(&r->w);
	json_write_key(&r->w, "Responses");
	json_write_object(&r->w);
	for (size_t i = 0; i < b.n_parts; i++) {
		if (!get_part(&b, &b.parts[i], keys[i]))
			return false;
	}
	json_write_object_end(&r->w);
	write_unprocessed_keys(&b);
	write_consumed(&b, true);
	json_write_object_end(&r->w);
	return true;
}

/* --- BatchWriteItem --- */

struct entry {
	struct item key;
	struct item it;
	bool put;
};

static bool entry_read(struct batch *b, struct part *p, const struct node *n, struct entry *out)
{
	struct request *r = b->r;
	const struct node *put, *del, *item, *key;

	if (!known_keys(r, n, " PutRequest DeleteRequest ") ||
	    !want(r, n, "PutRequest", NODE_OBJECT, &put) ||
	    !want(r, n, "DeleteRequest", NODE_OBJECT, &del))
		return false;
	if ((put != NULL) == (del != NULL))
		return refuse_invalid(r, "Supplied AttributeValue has more than one datatypes set "
					 "or none: PutRequest or DeleteRequest");
	out->put = put != NULL;
	if (!out->put)
		return known_keys(r, del, " Key ") && need(r, del, "Key", NODE_OBJECT, &key) &&
		       key_read(r, p->t, key, &out->key);
	if (!known_keys(r, put, " Item ") || !need(r, put, "Item", NODE_OBJECT, &item) ||
	    !item_read(r, item, &out->it) || !item_check(r, p->t, &out->it))
		return false;
	out->key = key_of(&r->pool, p->t, NULL, &out->it);
	return true;
}

static bool part_read(struct batch *b, struct part *p, struct entry **out)
{
	struct entry *entries = pool_alloc(&b->r->pool, p->node->n * sizeof(*entries));
	size_t n = 0;

	if (p->node->kind != NODE_ARRAY || p->node->n == 0)
		return refuse_invalid(b->r, "a table's list of requests must not be empty");
	for (const struct node *e = p->node->first; e != NULL; e = e->next) {
		if (!entry_read(b, p, e, &entries[n]))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (item_equal(&entries[i].key, &entries[n].key))
				return refuse_invalid(b->r, "Provided list of item keys contains "
							    "duplicates");
		}
		n++;
	}
	b->n += n;
	*out = entries;
	return true;
}

static void part_write(struct batch *b, struct part *p, const struct entry *entries)
{
	size_t n = 0;

	p->left = pool_alloc(&b->r->pool, p->node->n * sizeof(*p->left));
	for (const struct node *e = p->node->first; e != NULL; e = e->next, n++) {
		if (entry_fails(b->r, b->at++, b->n))
			p->left[p->n_left++] = e;
		else
			dynamo_write(b->r->cloud, p->t, &entries[n].key,
				     entries[n].put ? &entries[n].it : NULL, &p->usage);
	}
}

static void write_unprocessed_items(struct batch *b)
{
	struct json_writer *w = &b->r->w;

	json_write_key(w, "UnprocessedItems");
	json_write_object(w);
	for (size_t i = 0; i < b->n_parts; i++) {
		const struct part *p = &b->parts[i];

		if (p->n_left == 0)
			continue;
		key_write(w, p->t->name);
		json_write_array(w);
		for (size_t k = 0; k < p->n_left; k++)
			json_write_raw(w, p->left[k]->raw);
		json_write_array_end(w);
	}
	json_write_object_end(w);
}

bool dynamo_batch_write(struct request *r)
{
	struct entry **entries;
	struct batch b;
	bool wanted, indexes;

	if (!batch_begin(r, &b) || !wants_consumed(r, &wanted, &indexes))
		return false;
	entries = pool_alloc(&r->pool, b.n_parts * sizeof(*entries));
	for (size_t i = 0; i < b.n_parts; i++) {
		if (!part_read(&b, &b.parts[i], &entries[i]))
			return false;
	}
	if (b.n > WRITE_MAX)
		return refuse_invalid(r, "Too many items requested for the BatchWriteItem call");
	for (size_t i = 0; i < b.n_parts; i++)
		part_write(&b, &b.parts[i], entries[i]);
	json_write_object(&r->w);
	write_unprocessed_items(&b);
	write_consumed(&b, false);
	json_write_object_end(&r->w);
	return true;
}
