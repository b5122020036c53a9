#include <assert.h>
#include <string.h>

#include "engine/embedded/internal.h"

/* Loads: entries from the caches or the file, everything else from the file. */

/* The end of a load of one row: EV_CORRUPT if a column was not what it should be. */
static ev_err one_row(struct embedded *e, struct sql_bind *b, const struct sql_cols *c,
		      const char *what)
{
	bool bad = c->bad;

	sql_done(b);
	return bad ? ev_fail_set(&e->last_fail, EV_CORRUPT, 0, "%s: the row is damaged", what)
		   : EV_OK;
}

static ev_err read_outlet(struct embedded *e, const struct ev_uuid *id, struct outlet_entry *out)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_OUTLET_LOAD);

	bind_uuid(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return embedded_note(e, err, "load an outlet");
	struct sql_cols c = sql_cols(&b);

	col_outlet(&c, &out->row);
	out->node.n = col_i64(&c);
	out->last_event = col_i64(&c);
	out->last_block = col_i64(&c);
	out->wake_ns = col_opt_i64(&c, &out->has_wake);
	return one_row(e, &b, &c, "outlet");
}

ev_err outlet_entry_load(struct embedded *e, const struct ev_uuid *id, struct outlet_entry **out)
{
	struct cache_node *node = cache_find(&e->outlets, id);
	struct outlet_entry read = { .last_event = 0 };

	if (node != NULL) {
		*out = (struct outlet_entry *)node;
		return EV_OK;
	}
	ev_err err = read_outlet(e, id, &read);

	if (err != EV_OK)
		return err;
	node = cache_add(&e->outlets, id);
	if (node == NULL)
		return EV_NOMEM;
	int64_t n = read.node.n;

	read.node = *node;
	read.node.n = n;
	*out = (struct outlet_entry *)node;
	**out = read;
	return EV_OK;
}

ev_err outlet_entry_find(struct embedded *e, const struct ev_uuid *id, struct outlet_entry **out)
{
	ev_err err = outlet_entry_load(e, id, out);

	if (err != EV_NOTFOUND)
		return err;
	*out = NULL;
	return EV_OK;
}

static ev_err read_session(struct embedded *e, const struct ev_uuid *id, struct session_entry *out)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_SESSION_LOAD);

	bind_uuid(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return embedded_note(e, err, "load a session");
	struct sql_cols c = sql_cols(&b);

	col_session(&c, &out->row);
	out->node.n = col_i64(&c);
	out->reindex = false;
	return one_row(e, &b, &c, "session");
}

ev_err session_entry_load(struct embedded *e, const struct ev_uuid *id, struct session_entry **out)
{
	struct cache_node *node = cache_find(&e->sessions, id);
	struct session_entry read = { .reindex = false };

	if (node != NULL) {
		*out = (struct session_entry *)node;
		return EV_OK;
	}
	ev_err err = read_session(e, id, &read);

	if (err != EV_OK)
		return err;
	node = cache_add(&e->sessions, id);
	if (node == NULL)
		return EV_NOMEM;
	int64_t n = read.node.n;

	read.node = *node;
	read.node.n = n;
	*out = (struct session_entry *)node;
	**out = read;
	return EV_OK;
}

static ev_err load_outlet(struct store *s, const struct ev_uuid *id, struct outlet *out)
{
	struct outlet_entry *entry;
	ev_err err = outlet_entry_load(embedded_of(s), id, &entry);

	if (err == EV_OK)
		*out = entry->row;
	return err;
}

static ev_err load_session(struct store *s, const struct ev_uuid *id, struct session *out)
{
	struct session_entry *entry;
	ev_err err = session_entry_load(embedded_of(s), id, &entry);

	if (err == EV_OK)
		*out = entry->row;
	return err;
}

static ev_err load_info(struct store *s, const struct ev_uuid *id, struct outlet_info *out)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_INFO_LOAD);
	struct outlet_info info;

	bind_uuid(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return embedded_note(e, err, "load an outlet");
	struct sql_cols c = sql_cols(&b);

	col_info(&c, &info);
	err = one_row(e, &b, &c, "outlet");
	if (err == EV_OK)
		*out = info;
	return err;
}

static ev_err load_customer(struct store *s, const struct ev_uuid *id, struct customer *out)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_CUSTOMER_LOAD);
	struct customer customer;

	bind_uuid(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return embedded_note(e, err, "load a customer");
	struct sql_cols c = sql_cols(&b);

	col_customer(&c, &customer);
	err = one_row(e, &b, &c, "customer");
	if (err == EV_OK)
		*out = customer;
	return err;
}

static ev_err load_claim(struct store *s, const struct rfid_tag *tag, struct tag_claim *out)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_CLAIM_LOAD);
	struct rfid_tag low = rfid_tag_lower(tag);

	bind_tag(&b, &low);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return embedded_note(e, err, "load a claim");
	struct sql_cols c = sql_cols(&b);
	struct tag_claim claim = { .tag = col_tag(&c) };

	claim.customer_id = col_uuid(&c);
	claim.at_ns = col_i64(&c);
	err = one_row(e, &b, &c, "claim");
	if (err == EV_OK)
		*out = claim;
	return err;
}

/* Reads a list of ids, one a row. */
static ev_err read_ids(struct embedded *e, struct sql_bind *b, struct ev_uuid *out, size_t max,
		       size_t *out_n)
{
	size_t n = 0;
	ev_err err;

	while ((err = sql_next(b)) == EV_OK) {
		struct sql_cols c = sql_cols(b);

		assert(n < max);
		out[n++] = col_uuid(&c);
		if (c.bad)
			return one_row(e, b, &c, "list of ids");
	}
	if (err != EV_NOTFOUND)
		return embedded_note(e, err, "load a list");
	*out_n = n;
	return EV_OK;
}

static ev_err live_sessions(struct store *s, const struct ev_uuid *outlet_id, struct ev_uuid *out,
			    size_t max, size_t *out_n)
{
	struct embedded *e = embedded_of(s);
	ev_err err = group_flush_sessions(e);

	if (err != EV_OK)
		return err;
	struct sql_bind b = sql_bind(&e->sql, SQL_SESSIONS_LIVE);

	bind_uuid(&b, outlet_id);
	bind_u64(&b, max);
	return read_ids(e, &b, out, max, out_n);
}

static ev_err customer_sessions(struct store *s, const struct ev_uuid *customer_id,
				const struct ev_uuid *after, struct ev_uuid *out, size_t max,
				size_t *out_n)
{
	struct embedded *e = embedded_of(s);
	ev_err err = group_flush_sessions(e);

	if (err != EV_OK)
		return err;
	struct sql_bind b = sql_bind(&e->sql, SQL_SESSIONS_OF_CUSTOMER);

	bind_uuid(&b, customer_id);
	bind_blob(&b, after != NULL ? after->b : NULL, after != NULL ? sizeof(after->b) : 0);
	bind_u64(&b, max);
	return read_ids(e, &b, out, max, out_n);
}

/* One block of the outlet's chain; EV_NOTFOUND ends it. */
static ev_err read_block(struct embedded *e, const struct ev_uuid *outlet_id, int64_t *n,
			 const struct identity *id, bool *out_has)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_BLOCK_LOAD);

	bind_i64(&b, *n);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	*n = col_i64(&c);

	struct ev_uuid of = col_uuid(&c);
	struct ev_str ids = col_bytes(&c);
	bool has = false;

	if (ids.n != BLOCK_BLOB_MAX)
		c.bad = true;
	for (size_t i = 0; i + sizeof(id->b) <= ids.n; i += sizeof(id->b))
		has = has || memcmp(ids.p + i, id->b, sizeof(id->b)) == 0;
	err = one_row(e, &b, &c, "block of identities");
	if (err == EV_OK && !ev_uuid_eq(&of, outlet_id))
		return EV_NOTFOUND;
	*out_has = err == EV_OK && has;
	return err;
}

static ev_err seen(struct store *s, const struct ev_uuid *outlet_id, const struct identity *id,
		   bool *out)
{
	struct embedded *e = embedded_of(s);
	struct outlet_entry *entry = NULL;
	bool has = false;

	e->counts.seen_lookups++;
	if (identity_is_none(id) || !bloom_may_have(&e->seen, id, embedded_now(e))) {
		*out = false;
		return EV_OK;
	}
	e->counts.seen_walks++;
	ev_err err = outlet_entry_load(e, outlet_id, &entry);
	int64_t n = err == EV_OK ? entry->last_block : 0;

	while (err == EV_OK && n != 0 && !has)
		err = read_block(e, outlet_id, &n, id, &has);
	if (err != EV_OK && err != EV_NOTFOUND)
		return embedded_note(e, err, "look up an identity");
	*out = has;
	return EV_OK;
}

static ev_err load_unassigned(struct store *s, const struct identity *id,
			      struct unassigned_item *out)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_ITEM_LOAD);
	struct unassigned_item item;

	bind_identity(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return embedded_note(e, err, "load an item");
	struct sql_cols c = sql_cols(&b);

	col_item(&c, &item);
	err = one_row(e, &b, &c, "unassigned energy");
	if (err == EV_OK)
		*out = item;
	return err;
}

static ev_err has_attachment(struct store *s, const struct identity *item_id, bool *out)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_ATTACHMENT_LOAD);

	bind_identity(&b, item_id);
	ev_err err = sql_next(&b);

	if (err == EV_OK)
		sql_done(&b);
	if (err != EV_OK && err != EV_NOTFOUND)
		return embedded_note(e, err, "load an attachment");
	*out = err == EV_OK;
	return EV_OK;
}

static ev_err load_dead_letter(struct store *s, const struct identity *id, struct dead_letter *out,
			       char *body_out)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_DEAD_LETTER_LOAD);
	struct dead_letter d;

	bind_identity(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return embedded_note(e, err, "load a dead letter");
	struct sql_cols c = sql_cols(&b);

	col_dead_letter(&c, &d);
	if (!c.bad && d.body.n > 0)
		memcpy(body_out, d.body.p, d.body.n);
	d.body.p = body_out;
	err = one_row(e, &b, &c, "dead letter");
	if (err == EV_OK)
		*out = d;
	return err;
}

static void col_parked(struct sql_cols *c, struct parked_input *out)
{
	memset(out, 0, sizeof(*out));
	out->id = col_identity(c);
	out->outlet_id = col_uuid(c);
	out->at_ns = col_i64(c);
	out->due_ns = col_i64(c);
	if (input_blob_read(col_bytes(c), &out->input) != EV_OK)
		c->bad = true;
}

static ev_err load_parked(struct store *s, const struct ev_uuid *outlet_id, int64_t due_ns,
			  struct parked_input *out, size_t max, size_t *out_n)
{
	struct embedded *e = embedded_of(s);
	size_t n = 0;
	ev_err err;

	/* Asked after most inputs, and hardly ever is there one. */
	if (e->marks.n_parked == 0) {
		*out_n = 0;
		return EV_OK;
	}
	struct sql_bind b = sql_bind(&e->sql,
				     outlet_id != NULL ? SQL_PARKED_OF_OUTLET : SQL_PARKED_ALL);

	if (outlet_id != NULL)
		bind_uuid(&b, outlet_id);
	bind_i64(&b, due_ns);
	bind_u64(&b, max);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);

		assert(n < max);
		col_parked(&c, &out[n++]);
		if (c.bad)
			return one_row(e, &b, &c, "parked input");
	}
	if (err != EV_NOTFOUND)
		return embedded_note(e, err, "load parked inputs");
	*out_n = n;
	return EV_OK;
}

static ev_err load_delivery(struct store *s, const struct ev_uuid *outlet_id, struct delivery *out)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_DELIVERY_LOAD);

	bind_uuid(&b, outlet_id);
	ev_err err = sql_next(&b);

	if (err == EV_NOTFOUND) {
		*out = (struct delivery){ 0 };
		return EV_OK;
	}
	if (err != EV_OK)
		return embedded_note(e, err, "load a delivery");
	struct sql_cols c = sql_cols(&b);
	struct delivery d = { .outlet_id = *outlet_id };

	d.delivered_version = col_u64(&c);
	d.delivered_index = (unsigned)col_range(&c, 0, UINT32_MAX);
	d.acked_version = col_u64(&c);
	d.acked_index = (unsigned)col_range(&c, 0, UINT32_MAX);
	d.at_ns = col_i64(&c);
	err = one_row(e, &b, &c, "delivery");
	if (err == EV_OK)
		*out = d;
	return err;
}

static ev_err load_commands(struct store *s, const struct ev_uuid *outlet_id, uint64_t version,
			    unsigned index, int64_t now_ns, struct device_command *out, size_t max,
			    size_t *out_n)
{
	struct embedded *e = embedded_of(s);
	struct sql_bind b = sql_bind(&e->sql, SQL_COMMANDS_LOAD);
	size_t n = 0;
	ev_err err;

	bind_uuid(&b, outlet_id);
	bind_i64(&b, version > INT64_MAX ? INT64_MAX : (int64_t)version);
	bind_i64(&b, index);
	bind_i64(&b, now_ns);
	bind_u64(&b, max);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);

		assert(n < max);
		col_command(&c, &out[n++]);
		if (c.bad)
			return one_row(e, &b, &c, "command");
	}
	if (err != EV_NOTFOUND)
		return embedded_note(e, err, "load commands");
	*out_n = n;
	return EV_OK;
}

static ev_err due_outlets(struct store *s, int64_t due_ns, struct ev_uuid *out, size_t max,
			  size_t *out_n)
{
	struct embedded *e = embedded_of(s);
	ev_err err = group_flush_outlets(e);

	if (err != EV_OK)
		return err;
	struct sql_bind b = sql_bind(&e->sql, SQL_DUE);

	bind_i64(&b, due_ns);
	bind_u64(&b, max);
	return read_ids(e, &b, out, max, out_n);
}

static void store_free(struct store *s)
{
	embedded_free(embedded_of(s));
}

const struct store_ops embedded_store_ops = {
	.begin = group_begin,
	.end = group_end,
	.abandon = group_abandon,
	.load_outlet = load_outlet,
	.load_info = load_info,
	.load_session = load_session,
	.load_customer = load_customer,
	.load_claim = load_claim,
	.live_sessions = live_sessions,
	.customer_sessions = customer_sessions,
	.seen = seen,
	.load_unassigned = load_unassigned,
	.has_attachment = has_attachment,
	.load_dead_letter = load_dead_letter,
	.load_parked = load_parked,
	.load_delivery = load_delivery,
	.load_commands = load_commands,
	.due_outlets = due_outlets,
	.commit = store_commit,
	.free = store_free,
};
