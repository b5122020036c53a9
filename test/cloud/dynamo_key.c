/* test/cloud/dynamo_key.c — keys of tables and indexes, and what makes an item valid. */
#include "cloud/dynamo.h"

#define HASH_MAX 2048
#define RANGE_MAX 1024

static size_t add_name(struct ev_str *names, size_t n, struct ev_str name)
{
	for (size_t i = 0; i < n; i++) {
		if (ev_str_eq(names[i], name))
			return n;
	}
	if (name.n > 0)
		names[n++] = name;
	return n;
}

size_t key_names(const struct dynamo_table *t, const struct dynamo_index *index,
		 struct ev_str out[4])
{
	size_t n = 0;

	if (index != NULL) {
		n = add_name(out, n, index->key.hash);
		n = add_name(out, n, index->key.range);
	}
	n = add_name(out, n, t->key.hash);
	return add_name(out, n, t->key.range);
}

struct item item_project(struct pool *p, const struct item *it, const struct ev_str *names,
			 size_t n)
{
	struct item out = { NULL };

	if (n == 0)
		return *it;
	for (size_t i = 0; i < n; i++) {
		const struct value *v = item_get(it, names[i]);

		if (v != NULL)
			item_set(&out, p, names[i], v);
	}
	return out;
}

struct item key_of(struct pool *p, const struct dynamo_table *t, const struct dynamo_index *index,
		   const struct item *it)
{
	struct ev_str names[4];
	size_t n = key_names(t, index, names);

	return item_project(p, it, names, n);
}

static bool has_type(const struct item *it, struct ev_str name, enum value_type type)
{
	const struct value *v = item_get(it, name);

	return name.n == 0 || (v != NULL && v->type == type);
}

bool index_entry(struct pool *p, const struct dynamo_table *t, const struct dynamo_index *index,
		 const struct item *it, struct item *out)
{
	if (!has_type(it, index->key.hash, index->key.hash_type) ||
	    !has_type(it, index->key.range, index->key.range_type))
		return false;
	if (index->all) {
		*out = *it;
		return true;
	}
	*out = key_of(p, t, index, it);
	for (size_t i = 0; i < index->n_include; i++) {
		const struct value *v = item_get(it, index->include[i]);

		if (v != NULL)
			item_set(out, p, index->include[i], v);
	}
	return true;
}

struct dynamo_index *index_find(const struct dynamo_table *t, struct ev_str name)
{
	struct dynamo_index *i = t->indexes;

	while (i != NULL && !ev_str_eq(i->name, name))
		i = i->next;
	return i;
}

/* --- Checks --- */

static bool check_key_value(struct request *r, struct ev_str name, const struct value *v,
			    size_t max)
{
	if (v->text.n == 0 && v->type != VALUE_N)
		return refuse_invalid(r,
				      "One or more parameter values are not valid. The "
				      "AttributeValue for a key attribute cannot contain an empty "
				      "%s value. Key: %.*s",
				      v->type == VALUE_B ? "binary" : "string", (int)name.n,
				      name.p);
	if (v->text.n > max)
		return refuse_invalid(r,
				      "One or more parameter values were invalid: Size of "
				      "key %.*s has exceeded the maximum size limit of %zu bytes",
				      (int)name.n, name.p, max);
	return true;
}

static bool check_key(struct request *r, const struct item *it, struct ev_str name,
		      enum value_type type, size_t max)
{
	const struct value *v = item_get(it, name);

	if (name.n == 0)
		return true;
	if (v == NULL)
		return refuse_invalid(r,
				      "One or more parameter values were invalid: Missing the key "
				      "%.*s in the item",
				      (int)name.n, name.p);
	if (v->type != type)
		return refuse_invalid(r,
				      "One or more parameter values were invalid: Type mismatch "
				      "for key %.*s expected: %s actual: %s",
				      (int)name.n, name.p, value_type_text(type),
				      value_type_text(v->type));
	return check_key_value(r, name, v, max);
}

bool key_read(struct request *r, const struct dynamo_table *t, const struct node *n,
	      struct item *out)
{
	if (!item_read(r, n, out))
		return false;
	if (n->n != (t->key.range.n > 0 ? 2U : 1U) ||
	    !has_type(out, t->key.hash, t->key.hash_type) ||
	    !has_type(out, t->key.range, t->key.range_type))
		return refuse_invalid(r, "The provided key element does not match the schema");
	return check_key(r, out, t->key.hash, t->key.hash_type, HASH_MAX) &&
	       check_key(r, out, t->key.range, t->key.range_type, RANGE_MAX);
}

/* An index's key may be missing, but not of another type or empty. */
static bool check_index_key(struct request *r, const struct dynamo_index *index,
			    const struct item *it, struct ev_str name, enum value_type type)
{
	const struct value *v = name.n > 0 ? item_get(it, name) : NULL;

	if (v == NULL)
		return true;
	if (v->type != type)
		return refuse_invalid(r,
				      "One or more parameter values were invalid: Type mismatch "
				      "for Index Key %.*s Expected: %s Actual: %s IndexName: %.*s",
				      (int)name.n, name.p, value_type_text(type),
				      value_type_text(v->type), (int)index->name.n, index->name.p);
	if (v->type != VALUE_N && v->text.n == 0)
		return refuse_invalid(r,
				      "One or more parameter values are not valid. A value "
				      "specified for a secondary index key is not supported. The "
				      "AttributeValue for a key attribute cannot contain an empty "
				      "string value. IndexName: %.*s, IndexKey: %.*s",
				      (int)index->name.n, index->name.p, (int)name.n, name.p);
	return true;
}

bool item_check(struct request *r, const struct dynamo_table *t, const struct item *it)
{
	if (!check_key(r, it, t->key.hash, t->key.hash_type, HASH_MAX) ||
	    !check_key(r, it, t->key.range, t->key.range_type, RANGE_MAX))
		return false;
	for (const struct dynamo_index *i = t->indexes; i != NULL; i = i->next) {
		if (!check_index_key(r, i, it, i->key.hash, i->key.hash_type) ||
		    !check_index_key(r, i, it, i->key.range, i->key.range_type))
			return false;
	}
	if (item_size(it) > ITEM_MAX_BYTES)
		return refuse_invalid(r, "Item size has exceeded the maximum allowed size");
	return true;
}
