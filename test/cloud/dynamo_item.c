/* test/cloud/dynamo_item.c — GetItem, PutItem, UpdateItem, DeleteItem, and their units. */
#include "cloud/dynamo.h"

#define READ_STEP 4096

/* --- Units --- */

uint64_t half_reads_of(size_t bytes, bool consistent)
{
	uint64_t steps = bytes <= READ_STEP ? 1 : (bytes + READ_STEP - 1) / READ_STEP;

	return consistent ? 2 * steps : steps;
}

bool wants_consumed(struct request *r, bool *out, bool *out_indexes)
{
	struct ev_str how = EV_LIT("NONE");

	if (!want_text(r, r->body, "ReturnConsumedCapacity", &how))
		return false;
	*out_indexes = ev_str_eqz(how, "INDEXES");
	*out = *out_indexes || ev_str_eqz(how, "TOTAL");
	return *out || ev_str_eqz(how, "NONE") ||
	       refuse_invalid(r, "ReturnConsumedCapacity is not one of INDEXES, TOTAL, NONE");
}

static double units_of(const struct usage *u, bool is_read)
{
	return is_read ? (double)u->half_reads / 2 : (double)(u->writes + u->index_writes);
}

static void write_units_of(struct json_writer *w, double units)
{
	json_write_object(w);
	json_write_key(w, "CapacityUnits");
	json_write_double(w, units);
	json_write_object_end(w);
}

static void write_index_units(struct json_writer *w, const struct dynamo_index *index,
			      const struct usage *u)
{
	json_write_key(w, "GlobalSecondaryIndexes");
	json_write_object(w);
	json_write_string(w, index->name);
	ev_buf_char(w->b, ':');
	w->comma = false;
	write_units_of(w, units_of(u, true));
	json_write_object_end(w);
}

void dynamo_consumed_entry(struct request *r, const struct dynamo_table *t,
			   const struct dynamo_index *index, const struct usage *u, bool is_read)
{
	struct json_writer *w = &r->w;
	bool wanted = false, indexes = false;

	(void)wants_consumed(r, &wanted, &indexes);
	json_write_object(w);
	json_write_key(w, "TableName");
	json_write_string(w, t->name);
	json_write_key(w, "CapacityUnits");
	json_write_double(w, units_of(u, is_read));
	if (indexes && index != NULL) {
		write_index_units(w, index, u);
	} else if (indexes) {
		json_write_key(w, "Table");
		write_units_of(w, is_read ? units_of(u, true) : (double)u->writes);
	}
	json_write_object_end(w);
}

void dynamo_consumed(struct request *r, const struct dynamo_table *t,
		     const struct dynamo_index *index, const struct usage *u, bool is_read)
{
	struct cloud_bill *bill = &r->cloud->bill;
	bool wanted = false, indexes = false;

	bill->dynamodb_half_reads += u->half_reads;
	bill->dynamodb_writes += u->writes + u->index_writes;
	bill->dynamodb_index_writes += u->index_writes;
	(void)wants_consumed(r, &wanted, &indexes);
	if (!wanted || r->failed)
		return;
	json_write_key(&r->w, "ConsumedCapacity");
	dynamo_consumed_entry(r, t, index, u, is_read);
}

/* --- Reading --- */

enum sight dynamo_sight(const struct request *r, bool consistent)
{
	return r->fault == CLOUD_STALE && !consistent ? SIGHT_STALE : SIGHT_STRONG;
}

static bool read_projection(struct request *r, struct expr_env *env, struct ev_str **names,
			    size_t *n)
{
	const struct node *text;

	*n = 0;
	if (!want(r, r->body, "ProjectionExpression", NODE_STRING, &text))
		return false;
	return text == NULL || projection_parse(env, text->text, names, n);
}

bool dynamo_get_item(struct request *r)
{
	struct dynamo_table *t;
	const struct node *key_node;
	const struct version *v;
	const struct row *row;
	struct ev_str *names = NULL;
	struct usage usage = { 0 };
	struct expr_env env;
	struct item key;
	bool consistent = false, wanted, indexes;
	size_t n;

	if (!dynamo_table_of(r, &t) || !need(r, r->body, "Key", NODE_OBJECT, &key_node) ||
	    !key_read(r, t, key_node, &key) || !wants_consumed(r, &wanted, &indexes) ||
	    !want_flag(r, r->body, "ConsistentRead", &consistent) || !expr_env_read(r, &env) ||
	    !read_projection(r, &env, &names, &n) || !expr_env_check(&env))
		return false;
	row = dynamo_row(t, &key);
	v = row == NULL ? NULL : row_see(r->cloud, row, dynamo_sight(r, consistent));
	usage.half_reads = half_reads_of(v != NULL ? v->size : 0, consistent);
	json_write_object(&r->w);
	if (v != NULL) {
		struct item seen = item_project(&r->pool, &v->item, names, n);

		json_write_key(&r->w, "Item");
		item_write(&r->w, &r->pool, &seen);
	}
	dynamo_consumed(r, t, NULL, &usage, true);
	json_write_object_end(&r->w);
	return true;
}

/* --- Writing --- */

enum returns {
	RETURN_NONE,
	RETURN_ALL_OLD,
	RETURN_UPDATED_OLD,
	RETURN_ALL_NEW,
	RETURN_UPDATED_NEW
};

struct write {
	struct request *r;
	struct dynamo_table *t;
	struct item key;
	const struct cond *condition;
	enum returns returns;
	bool show_failed;
	const struct item *old; /* NULL: there is none */
	size_t old_size;
	struct usage usage;
};

static bool read_returns(struct request *r, bool update, enum returns *out)
{
	static const char *const words[] = {
		[RETURN_NONE] = "NONE",
		[RETURN_ALL_OLD] = "ALL_OLD",
		[RETURN_UPDATED_OLD] = "UPDATED_OLD",
		[RETURN_ALL_NEW] = "ALL_NEW",
		[RETURN_UPDATED_NEW] = "UPDATED_NEW",
	};
	struct ev_str how = EV_LIT("NONE");

	if (!want_text(r, r->body, "ReturnValues", &how))
		return false;
	for (unsigned i = 0; i < (update ? EV_ARRAY_LEN(words) : 2U); i++) {
		*out = (enum returns)i;
		if (ev_str_eqz(how, words[i]))
			return true;
	}
	return refuse_invalid(r, "Return values set to invalid value");
}

static bool read_condition(struct write *op, struct expr_env *env)
{
	struct request *r = op->r;
	struct ev_str how = EV_LIT("NONE");
	const struct node *text;
	bool wanted, indexes;

	if (!want(r, r->body, "ConditionExpression", NODE_STRING, &text) ||
	    !want_text(r, r->body, "ReturnValuesOnConditionCheckFailure", &how) ||
	    !wants_consumed(r, &wanted, &indexes))
		return false;
	op->show_failed = ev_str_eqz(how, "ALL_OLD");
	if (!op->show_failed && !ev_str_eqz(how, "NONE"))
		return refuse_invalid(r, "ReturnValuesOnConditionCheckFailure is not one of "
					 "ALL_OLD, NONE");
	return text == NULL || cond_parse(env, "ConditionExpression", text->text, &op->condition);
}

static void look_up(struct write *op)
{
	const struct row *row = dynamo_row(op->t, &op->key);
	const struct version *v = row == NULL ? NULL : row_see(op->r->cloud, row, SIGHT_STRONG);

	op->old = v == NULL ? NULL : &v->item;
	op->old_size = v == NULL ? 0 : v->size;
}

/* A write that is refused costs as much as the item is large. */
static bool condition_failed(struct write *op)
{
	struct request *r = op->r;

	op->usage.writes = op->old_size <= 1024 ? 1 : (op->old_size + 1023) / 1024;
	(void)refuse(r, "ConditionalCheckFailedException", "The conditional request failed");
	dynamo_consumed(r, op->t, NULL, &op->usage, false);
	if (op->show_failed && op->old != NULL) {
		size_t cap = 16 * op->old_size + 1024;
		struct ev_buf b = ev_buf_over(pool_alloc(&r->pool, cap), cap);
		struct json_writer w = json_writer_over(&b);

		ev_buf_z(&b, ",\"Item\":");
		item_write(&w, &r->pool, op->old);
		r->extra = ev_buf_str(&b);
	}
	return false;
}

/* The attributes of `it` that the update names. */
static struct item updated(struct request *r, const struct update_action *u, const struct item *it)
{
	struct item out = { NULL };

	for (; u != NULL; u = u->next) {
		const struct value *v = item_get(it, u->path);

		if (v != NULL)
			item_set(&out, &r->pool, u->path, v);
	}
	return out;
}

/* The answer, then the write: what was there before is gone after it. */
static bool finish(struct write *op, const struct item *after, const struct update_action *update)
{
	struct request *r = op->r;
	struct item shown = { NULL };
	const struct item *from = op->returns == RETURN_ALL_NEW || op->returns == RETURN_UPDATED_NEW
					  ? after
					  : op->old;

	if (op->returns != RETURN_NONE && from != NULL)
		shown = op->returns == RETURN_ALL_OLD || op->returns == RETURN_ALL_NEW
				? *from
				: updated(r, update, from);
	json_write_object(&r->w);
	if (shown.first != NULL) {
		json_write_key(&r->w, "Attributes");
		item_write(&r->w, &r->pool, &shown);
	}
	dynamo_write(r->cloud, op->t, &op->key, after, &op->usage);
	dynamo_consumed(r, op->t, NULL, &op->usage, false);
	json_write_object_end(&r->w);
	return true;
}

bool dynamo_put_item(struct request *r)
{
	struct write op = { .r = r };
	const struct node *item_node;
	struct expr_env env;
	struct item it;

	if (!dynamo_table_of(r, &op.t) || !need(r, r->body, "Item", NODE_OBJECT, &item_node) ||
	    !item_read(r, item_node, &it) || !item_check(r, op.t, &it) || !expr_env_read(r, &env) ||
	    !read_condition(&op, &env) || !expr_env_check(&env) ||
	    !read_returns(r, false, &op.returns))
		return false;
	op.key = key_of(&r->pool, op.t, NULL, &it);
	look_up(&op);
	if (!cond_true(op.condition, op.old))
		return condition_failed(&op);
	return finish(&op, &it, NULL);
}

/* Table and key; the same for UpdateItem and DeleteItem. */
static bool read_keyed(struct write *op)
{
	const struct node *key;

	return dynamo_table_of(op->r, &op->t) &&
	       need(op->r, op->r->body, "Key", NODE_OBJECT, &key) &&
	       key_read(op->r, op->t, key, &op->key);
}

static bool keeps_key(struct request *r, const struct dynamo_table *t,
		      const struct update_action *u)
{
	for (; u != NULL; u = u->next) {
		if (ev_str_eq(u->path, t->key.hash) || ev_str_eq(u->path, t->key.range))
			return refuse_invalid(r,
					      "One or more parameter values were invalid: Cannot "
					      "update attribute %.*s. This attribute is part of "
					      "the key",
					      (int)u->path.n, u->path.p);
	}
	return true;
}

bool dynamo_update_item(struct request *r)
{
	struct write op = { .r = r };
	struct update_action *update = NULL;
	const struct node *text;
	struct expr_env env;
	struct item it;

	if (!read_keyed(&op) || !expr_env_read(r, &env) ||
	    !want(r, r->body, "UpdateExpression", NODE_STRING, &text) ||
	    (text != NULL && !update_parse(&env, text->text, &update)) ||
	    !keeps_key(r, op.t, update) || !read_condition(&op, &env) || !expr_env_check(&env) ||
	    !read_returns(r, true, &op.returns))
		return false;
	look_up(&op);
	if (!cond_true(op.condition, op.old))
		return condition_failed(&op);
	it = op.old != NULL ? *op.old : op.key;
	if (!update_apply(r, update, &it) || !item_check(r, op.t, &it))
		return false;
	return finish(&op, &it, update);
}

bool dynamo_delete_item(struct request *r)
{
	struct write op = { .r = r };
	struct expr_env env;

	if (!read_keyed(&op) || !expr_env_read(r, &env) || !read_condition(&op, &env) ||
	    !expr_env_check(&env) || !read_returns(r, false, &op.returns))
		return false;
	look_up(&op);
	if (!cond_true(op.condition, op.old))
		return condition_failed(&op);
	return finish(&op, NULL, NULL);
}
