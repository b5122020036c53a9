/* test/cloud/dynamo_table.c — making and describing tables. */
#include <stdlib.h>
#include <string.h>

#include "cloud/dynamo.h"

#define TABLE_ARN "arn:aws:dynamodb:" CLOUD_REGION ":" CLOUD_ACCOUNT ":table/"

bool dynamo_table_of(struct request *r, struct dynamo_table **out)
{
	struct ev_str name;

	if (!need_text(r, r->body, "TableName", &name))
		return false;
	*out = dynamo_find(r->cloud, name);
	if (*out == NULL)
		return refuse(r, "ResourceNotFoundException",
			      "Requested resource not found: Table: %.*s not found", (int)name.n,
			      name.p);
	return true;
}

/* --- CreateTable --- */

/* S, N or B of an attribute that AttributeDefinitions defines. */
static bool defined(struct request *r, struct ev_str name, enum value_type *out)
{
	const struct node *all;

	if (!need(r, r->body, "AttributeDefinitions", NODE_ARRAY, &all))
		return false;
	for (const struct node *d = all->first; d != NULL; d = d->next) {
		struct ev_str n, type;

		if (!known_keys(r, d, " AttributeName AttributeType ") ||
		    !need_text(r, d, "AttributeName", &n) ||
		    !need_text(r, d, "AttributeType", &type))
			return false;
		if (ev_str_eq(n, name)) {
			*out = value_type_of(type);
			return *out <= VALUE_B || refuse_invalid(r, "no type of a key");
		}
	}
	return refuse_invalid(r,
			      "One or more parameter values were invalid: Some index key "
			      "attributes are not defined in AttributeDefinitions. Keys: [%.*s]",
			      (int)name.n, name.p);
}

static bool read_schema(struct request *r, const struct node *owner, struct pool *p,
			struct key_schema *out)
{
	const struct node *list;

	if (!need(r, owner, "KeySchema", NODE_ARRAY, &list))
		return false;
	if (list->n == 0 || list->n > 2)
		return refuse_invalid(r, "a KeySchema has one or two elements");
	for (const struct node *e = list->first; e != NULL; e = e->next) {
		struct ev_str name, type;
		bool hash = e == list->first;

		if (!known_keys(r, e, " AttributeName KeyType ") ||
		    !need_text(r, e, "AttributeName", &name) || !need_text(r, e, "KeyType", &type))
			return false;
		if (!ev_str_eqz(type, hash ? "HASH" : "RANGE"))
			return refuse_invalid(r, "Invalid KeySchema: HASH first, then RANGE");
		if (!defined(r, name, hash ? &out->hash_type : &out->range_type))
			return false;
		*(hash ? &out->hash : &out->range) = pool_copy(p, name);
	}
	return true;
}

static bool read_projection(struct request *r, const struct node *n, struct pool *p,
			    struct dynamo_index *out)
{
	const struct node *projection, *names;
	struct ev_str type;

	if (!need(r, n, "Projection", NODE_OBJECT, &projection) ||
	    !known_keys(r, projection, " ProjectionType NonKeyAttributes ") ||
	    !need_text(r, projection, "ProjectionType", &type) ||
	    !want(r, projection, "NonKeyAttributes", NODE_ARRAY, &names))
		return false;
	out->all = ev_str_eqz(type, "ALL");
	if ((names != NULL) != ev_str_eqz(type, "INCLUDE"))
		return refuse_invalid(r, "One or more parameter values were invalid: "
					 "NonKeyAttributes and ProjectionType do not agree");
	if (names == NULL)
		return true;
	out->include = pool_alloc(p, names->n * sizeof(*out->include));
	for (const struct node *e = names->first; e != NULL; e = e->next)
		out->include[out->n_include++] = pool_copy(p, e->text);
	return true;
}

static bool read_indexes(struct request *r, struct dynamo_table *t)
{
	const struct node *list;

	if (!want(r, r->body, "GlobalSecondaryIndexes", NODE_ARRAY, &list))
		return false;
	for (const struct node *n = list == NULL ? NULL : list->first; n != NULL; n = n->next) {
		struct dynamo_index *i = pool_alloc(&t->pool, sizeof(*i));

		if (!known_keys(r, n,
				" IndexName KeySchema Projection ProvisionedThroughput "
				"OnDemandThroughput ") ||
		    !need_text(r, n, "IndexName", &i->name) ||
		    !read_schema(r, n, &t->pool, &i->key) || !read_projection(r, n, &t->pool, i))
			return false;
		i->name = pool_copy(&t->pool, i->name);
		i->next = t->indexes;
		t->indexes = i;
	}
	return true;
}

/* Nothing is defined that no key uses. */
static bool all_used(struct request *r, const struct dynamo_table *t)
{
	const struct node *all = node_get(r->body, "AttributeDefinitions");

	for (const struct node *d = all->first; d != NULL; d = d->next) {
		struct ev_str name = node_get(d, "AttributeName")->text;
		bool used = ev_str_eq(name, t->key.hash) || ev_str_eq(name, t->key.range);

		for (const struct dynamo_index *i = t->indexes; i != NULL && !used; i = i->next)
			used = ev_str_eq(name, i->key.hash) || ev_str_eq(name, i->key.range);
		if (!used)
			return refuse_invalid(r, "One or more parameter values were invalid: Some "
						 "AttributeDefinitions are not used");
	}
	return true;
}

static bool read_billing(struct request *r, struct dynamo_table *t)
{
	struct ev_str mode = EV_LIT("PROVISIONED");
	const struct node *throughput;

	if (!want_text(r, r->body, "BillingMode", &mode) ||
	    !want(r, r->body, "ProvisionedThroughput", NODE_OBJECT, &throughput))
		return false;
	t->on_demand = ev_str_eqz(mode, "PAY_PER_REQUEST");
	if ((throughput != NULL) == t->on_demand)
		return refuse_invalid(r, "One or more parameter values were invalid: "
					 "ProvisionedThroughput and BillingMode do not agree");
	return true;
}

static const char *schema_word(bool hash)
{
	return hash ? "HASH" : "RANGE";
}

static void write_schema(struct json_writer *w, const struct key_schema *k)
{
	json_write_key(w, "KeySchema");
	json_write_array(w);
	for (unsigned i = 0; i < (k->range.n > 0 ? 2U : 1U); i++) {
		json_write_object(w);
		json_write_key(w, "AttributeName");
		json_write_string(w, i == 0 ? k->hash : k->range);
		json_write_key(w, "KeyType");
		json_write_z(w, schema_word(i == 0));
		json_write_object_end(w);
	}
	json_write_array_end(w);
}

static void write_definition(struct json_writer *w, struct ev_str name, enum value_type type)
{
	if (name.n == 0)
		return;
	json_write_object(w);
	json_write_key(w, "AttributeName");
	json_write_string(w, name);
	json_write_key(w, "AttributeType");
	json_write_z(w, value_type_text(type));
	json_write_object_end(w);
}

static void write_definitions(struct json_writer *w, const struct dynamo_table *t)
{
	json_write_key(w, "AttributeDefinitions");
	json_write_array(w);
	write_definition(w, t->key.hash, t->key.hash_type);
	write_definition(w, t->key.range, t->key.range_type);
	for (const struct dynamo_index *i = t->indexes; i != NULL; i = i->next) {
		write_definition(w, i->key.hash, i->key.hash_type);
		write_definition(w, i->key.range, i->key.range_type);
	}
	json_write_array_end(w);
}

static void write_index(struct json_writer *w, const struct dynamo_index *i)
{
	json_write_object(w);
	json_write_key(w, "IndexName");
	json_write_string(w, i->name);
	write_schema(w, &i->key);
	json_write_key(w, "Projection");
	json_write_object(w);
	json_write_key(w, "ProjectionType");
	json_write_z(w, i->all ? "ALL" : i->n_include > 0 ? "INCLUDE" : "KEYS_ONLY");
	if (i->n_include > 0) {
		json_write_key(w, "NonKeyAttributes");
		json_write_array(w);
		for (size_t k = 0; k < i->n_include; k++)
			json_write_string(w, i->include[k]);
		json_write_array_end(w);
	}
	json_write_object_end(w);
	json_write_key(w, "IndexStatus");
	json_write_z(w, "ACTIVE");
	json_write_object_end(w);
}

static size_t count_items(const struct dynamo_table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		for (size_t k = 0; k < t->partitions[i]->n; k++) {
			const struct version *v = t->partitions[i]->rows[k]->newest;

			n += v != NULL && !v->gone;
		}
	}
	return n;
}

static void write_table(struct request *r, const struct dynamo_table *t, const char *key,
			const char *status)
{
	struct json_writer *w = &r->w;

	json_write_object(w);
	json_write_string(w, ev_str_from(key));
	ev_buf_char(w->b, ':');
	w->comma = false;
	json_write_object(w);
	write_definitions(w, t);
	json_write_key(w, "TableName");
	json_write_string(w, t->name);
	write_schema(w, &t->key);
	json_write_key(w, "TableStatus");
	json_write_z(w, status);
	json_write_key(w, "CreationDateTime");
	json_write_double(w, (double)ev_time_floor_ms(t->created_ns) / 1e3);
	json_write_key(w, "ItemCount");
	json_write_u64(w, count_items(t));
	json_write_key(w, "BillingModeSummary");
	json_write_object(w);
	json_write_key(w, "BillingMode");
	json_write_z(w, t->on_demand ? "PAY_PER_REQUEST" : "PROVISIONED");
	json_write_object_end(w);
	if (t->indexes != NULL) {
		json_write_key(w, "GlobalSecondaryIndexes");
		json_write_array(w);
		for (const struct dynamo_index *i = t->indexes; i != NULL; i = i->next)
			write_index(w, i);
		json_write_array_end(w);
	}
	json_write_object_end(w);
	json_write_object_end(w);
}

static bool fill_table(struct request *r, struct dynamo_table *t)
{
	return read_schema(r, r->body, &t->pool, &t->key) && read_indexes(r, t) && all_used(r, t) &&
	       read_billing(r, t);
}

bool dynamo_create_table(struct request *r)
{
	struct dynamo_table *t;
	struct ev_str name;

	if (!need_text(r, r->body, "TableName", &name))
		return false;
	if (name.n < 3 || name.n > 255)
		return refuse_invalid(r, "TableName must have 3 to 255 characters");
	if (dynamo_find(r->cloud, name) != NULL)
		return refuse(r, "ResourceInUseException", "Table already exists: %.*s",
			      (int)name.n, name.p);
	t = must_calloc(1, sizeof(*t));
	if (!fill_table(r, t)) {
		dynamo_table_free(t);
		return false;
	}
	t->name = pool_copy(&t->pool, name);
	t->created_ns = cloud_wall_ns(r->cloud);
	t->next = r->cloud->tables;
	r->cloud->tables = t;
	write_table(r, t, "TableDescription", "CREATING");
	return true;
}

bool dynamo_describe_table(struct request *r)
{
	struct dynamo_table *t;

	if (!dynamo_table_of(r, &t))
		return false;
	write_table(r, t, "Table", "ACTIVE");
	return true;
}

bool dynamo_delete_table(struct request *r)
{
	struct dynamo_table *t, **at = &r->cloud->tables;

	if (!dynamo_table_of(r, &t))
		return false;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	write_table(r, t, "TableDescription", "DELETING");
	dynamo_table_free(t);
	return true;
}

bool dynamo_list_tables(struct request *r)
{
	json_write_object(&r->w);
	json_write_key(&r->w, "TableNames");
	json_write_array(&r->w);
	for (const struct dynamo_table *t = r->cloud->tables; t != NULL; t = t->next)
		json_write_string(&r->w, t->name);
	json_write_array_end(&r->w);
	json_write_object_end(&r->w);
	return true;
}

/* --- Time to live --- */

bool dynamo_update_ttl(struct request *r)
{
	struct dynamo_table *t;
	const struct node *ttl;
	struct ev_str name;
	bool on = false;

	if (!dynamo_table_of(r, &t) ||
	    !need(r, r->body, "TimeToLiveSpecification", NODE_OBJECT, &ttl) ||
	    !known_keys(r, ttl, " AttributeName Enabled ") ||
	    !need_text(r, ttl, "AttributeName", &name) || !want_flag(r, ttl, "Enabled", &on))
		return false;
	if (on == (t->ttl.n > 0))
		return refuse_invalid(r, "TimeToLive is already %s", on ? "enabled" : "disabled");
	t->ttl = on ? pool_copy(&t->pool, name) : (struct ev_str){ NULL, 0 };
	json_write_object(&r->w);
	json_write_key(&r->w, "TimeToLiveSpecification");
	json_write_raw(&r->w, ttl->raw);
	json_write_object_end(&r->w);
	return true;
}

bool dynamo_describe_ttl(struct request *r)
{
	struct dynamo_table *t;

	if (!dynamo_table_of(r, &t))
		return false;
	json_write_object(&r->w);
	json_write_key(&r->w, "TimeToLiveDescription");
	json_write_object(&r->w);
	json_write_key(&r->w, "TimeToLiveStatus");
	json_write_z(&r->w, t->ttl.n > 0 ? "ENABLED" : "DISABLED");
	if (t->ttl.n > 0) {
		json_write_key(&r->w, "AttributeName");
		json_write_string(&r->w, t->ttl);
	}
	json_write_object_end(&r->w);
	json_write_object_end(&r->w);
	return true;
}
