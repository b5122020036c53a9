#include <assert.h>
#include <stdlib.h>

#include "engine/aws/store_internal.h"

/*
 * Rows read and written.  To what the codecs write come two attributes of ours: `touched`, which
 * each parked input raises so that other processes' writes find out, and `after`, the puts that
 * are still to follow the row's write.
 */

struct table_of_row {
	unsigned role;
	const char *key;
};
static const struct table_of_row kinds[ROW_KIND_COUNT] = {
	[ROW_OUTLET] = { AWS_ROLE_OUTLET, "outletId" },
	[ROW_SESSION] = { AWS_ROLE_APP, "sessionId" },
	[ROW_CUSTOMER] = { AWS_ROLE_APP, "customerId" },
};

static const char *table_of(const struct aws_store *s, enum row_kind kind)
{
	const struct aws_resources *r = s->c.resources;

	return kind == ROW_OUTLET ? r->outlets : kind == ROW_SESSION ? r->sessions : r->customers;
}

/* --- what is ours in an item --- */

static ev_err read_after(const struct ddb_value *v, struct row_after **out)
{
	char room[OWN_JSON_MAX];
	struct json_reader list;
	struct json_span span;
	bool more = false;
	ev_err e = v->type == DDB_SS ? ddb_value_list(v, &list) : EV_CORRUPT;

	while (e == EV_OK && (e = json_read_item(&list, &more)) == EV_OK && more) {
		size_t n;

		if (json_read_string(&list, &span) != EV_OK)
			return EV_CORRUPT;
		n = json_unescape(&span, room, sizeof(room));
		if (n > sizeof(room))
			return EV_CORRUPT;
		e = row_after_add(out, (struct ev_str){ room, n });
	}
	return e == EV_OK || e == EV_NOMEM ? e : EV_CORRUPT;
}

static ev_err read_extra(struct ev_str item, struct row_extra *out)
{
	static const char *const names[] = { ROW_ATTR_TOUCHED, ROW_ATTR_AFTER };
	struct ddb_value v[EV_ARRAY_LEN(names)];
	struct row_extra x = { .touched = 0 };
	ev_err e = ddb_read_fields(item, names, EV_ARRAY_LEN(names), v);

	if (e == EV_OK && v[0].type != DDB_NONE)
		e = ddb_value_u64(&v[0], &x.touched);
	if (e == EV_OK && v[1].type != DDB_NONE)
		e = read_after(&v[1], &x.after);
	if (e == EV_OK)
		*out = x;
	else
		row_after_free(x.after);
	return e;
}

static void add_extra(struct ddb_attrs *a, const struct row_extra *x)
{
	if (x->touched != 0)
		ddb_attr_u64(a, ROW_ATTR_TOUCHED, x->touched);
	else
		ddb_attr_none(a, ROW_ATTR_TOUCHED);
	if (x->after != NULL)
		ddb_attr_ss(a, ROW_ATTR_AFTER, x->after->of, x->after->n);
	else
		ddb_attr_none(a, ROW_ATTR_AFTER);
}

/* --- images: a row as the codecs take it --- */

static struct outlet_image outlet_image(const struct outlet_entry *o)
{
	struct outlet_image i = {
		.row = { .outlet = o->row,
			 .info = o->info,
			 .unversioned = o->head.unversioned,
			 .total = o->head.number },
		.extra = o->head.extra,
		.n_sent = o->head.n_sent,
	};

	if (o->head.effects != NULL)
		i.row.effects = *o->head.effects;
	return i;
}

static struct session_image session_image(const struct session_entry *x)
{
	struct session_image i = {
		.row = { .session = x->row,
			 .unversioned = x->head.unversioned,
			 .energy = x->head.number },
		.extra = x->head.extra,
		.n_sent = x->head.n_sent,
	};

	if (x->head.effects != NULL)
		i.row.effects = *x->head.effects;
	return i;
}

/* --- reading --- */

static ev_err take_effects(struct aws_row *r, const struct row_effects *e)
{
	struct row_effects *copy = row_effects_dup(e);

	if (copy == NULL && e->n > 0)
		return EV_NOMEM;
	row_set_effects(r, copy);
	return EV_OK;
}

static ev_err take_outlet(struct aws_store *s, struct outlet_entry *o, struct ev_str item)
{
	struct ddb_outlet row;
	ev_err e = ddb_outlet_read(item, &row);

	if (e == EV_OK)
		e = take_effects(&o->head, &row.effects);
	if (e != EV_OK)
		return e;
	o->row = row.outlet;
	o->info = row.info;
	o->head.unversioned = row.unversioned;
	o->head.number = row.total;
	s->stats.foreign += row.unversioned;
	return EV_OK;
}

static ev_err take_session(struct aws_store *s, struct session_entry *x, struct ev_str item)
{
	struct ddb_session row;
	ev_err e = ddb_session_read(item, &row);

	if (e == EV_OK)
		e = take_effects(&x->head, &row.effects);
	if (e != EV_OK)
		return e;
	x->row = row.session;
	x->head.unversioned = row.unversioned;
	x->head.number = row.energy;
	s->stats.foreign += row.unversioned;
	return EV_OK;
}

static ev_err take_item(struct aws_store *s, struct aws_row *r, struct ev_str item)
{
	struct row_extra extra = { .touched = 0 };
	ev_err e = EV_OK;

	if (r->kind == ROW_CUSTOMER) {
		e = ddb_customer_read(item, &customer_of(r)->row);
		if (e == EV_OK)
			customer_of(r)->stored = customer_of(r)->row;
		return e;
	}
	e = read_extra(item, &extra);
	if (e != EV_OK)
		return e;
	e = r->kind == ROW_OUTLET ? take_outlet(s, outlet_of(r), item)
				  : take_session(s, session_of(r), item);
	if (e != EV_OK) {
		row_after_free(extra.after);
		return e;
	}
	row_after_free(r->extra.after);
	r->extra = extra;
	return EV_OK;
}

/* What the items table has of an outlet: blocks not too old, and whether anything is parked. */
struct partition {
	struct aws_store *s;
	struct seen_blocks blocks;
	bool has_parked;
};

static ev_err take_block(struct partition *p, const struct identity_block *b)
{
	struct seen_block seen = { .at_ns = b->at_ns };

	memcpy(seen.ids, b->ids, sizeof(seen.ids));
	return seen_blocks_add(&p->blocks, &seen, INT64_MIN);
}

static ev_err take_part(void *user, struct ev_str item, bool *more)
{
	struct partition *p = user;
	struct identity_block block;
	enum own_kind kind;
	ev_err e = own_kind_read(item, &kind);

	*more = true;
	if (e == EV_OK && kind == OWN_PARKED)
		p->has_parked = true;
	if (e != EV_OK || kind != OWN_BLOCK)
		return e;
	e = own_block_read(item, &block);
	return e == EV_OK ? take_block(p, &block) : e;
}

/* Blocks that the row carries still. */
static ev_err take_carried(struct partition *p, const struct row_after *a)
{
	struct identity_block block;
	ev_err e = EV_OK;

	for (unsigned i = 0; a != NULL && i < a->n && e == EV_OK; i++) {
		if (own_block_read(a->of[i], &block) == EV_OK)
			e = take_block(p, &block);
	}
	return e;
}

/* Since when identities count. */
static int64_t seen_since(const struct aws_store *s)
{
	int64_t now_ns = store_now(s);

	return now_ns > s->c.identity_ns ? now_ns - s->c.identity_ns : 0;
}

static ev_err read_partition(struct aws_store *s, const struct ev_uuid *id, struct partition *p)
{
	struct own_key key = own_delivery_key(id);
	char lo[OWN_KEY_MAX] = OWN_SK_IDS;
	struct ddb_range r = {
		.table = s->c.resources->items,
		.pk_name = AWS_ITEM_PK,
		.pk = ev_str_from(key.pk),
		.sk_name = AWS_ITEM_SK,
		.lo = lo,
		.hi = OWN_SK_PARKED "~",
	};

	own_time_text(seen_since(s), lo + sizeof(OWN_SK_IDS) - 1);
	s->stats.item_queries++;
	return ddb_query(&s->io, &r, take_part, p);
}

void row_add_get(struct aws_store *s, struct ddb_batch *b, enum row_kind kind,
		 const struct ev_uuid *id)
{
	char text[EV_UUID_TEXT + 1];
	struct json_writer w;

	ev_uuid_text(id, text);
	w = ddb_batch_open(b, "GetItem", table_of(s, kind), text, 512);
	json_write_key(&w, "Key");
	if (kind == ROW_OUTLET)
		ddb_outlet_key(id, &w);
	else if (kind == ROW_SESSION)
		ddb_session_key(id, &w);
	else
		ddb_customer_key(id, &w);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	ddb_batch_shut(b, &w);
}

static ev_err corrupt(struct aws_store *s, const struct aws_row *r, ev_err e)
{
	char text[EV_UUID_TEXT + 1];

	if (e != EV_CORRUPT)
		return e;
	ev_uuid_text(&r->id, text);
	return ddb_fail(&s->io, EV_CORRUPT, table_of(s, r->kind), text);
}

static ev_err read_row(struct aws_store *s, struct aws_row *r)
{
	struct ddb_batch b;
	struct ev_str item;
	ev_err e;

	ddb_batch_init(&b, &s->io);
	row_add_get(s, &b, r->kind, &r->id);
	ddb_batch_run(&b);
	s->stats.row_reads++;
	e = ddb_get_item(&b, 0, &item);
	if (e == EV_OK)
		e = corrupt(s, r, take_item(s, r, item));
	ddb_batch_deinit(&b);
	r->read = s->group.number;
	return e;
}

bool row_is_as_stored(const struct aws_row *r, struct ev_str item)
{
	static const char *const names[] = { "version", ROW_ATTR_TOUCHED };
	struct ddb_value v[EV_ARRAY_LEN(names)];
	uint64_t version = 0, touched = 0;
	uint64_t known = r->kind == ROW_OUTLET ? ((const struct outlet_entry *)r)->row.version
					       : ((const struct session_entry *)r)->row.version;
	ev_err e = ddb_read_fields(item, names, EV_ARRAY_LEN(names), v);

	if (e == EV_OK && v[1].type != DDB_NONE)
		e = ddb_value_u64(&v[1], &touched);
	/* What the original writes changes no version: it is read as it stands. */
	if (e != EV_OK || v[0].type == DDB_NONE || r->unversioned)
		return false;
	return ddb_value_u64(&v[0], &version) == EV_OK && version == known &&
	       touched == r->extra.touched;
}

/* The group has seen it, and decides by it. */
static void note_used(struct aws_store *s, struct aws_row *r)
{
	if (!s->group.open || r->kind == ROW_CUSTOMER || r->used == s->group.number)
		return;
	r->used = s->group.number;
	r->next_used = s->group.used;
	s->group.used = r;
}

/* What says whether another process has written to the outlet's partition since it was read. */
struct partition_mark {
	bool valid;
	struct identity first; /* the oldest identity of the row */
	uint64_t touched;
};

static struct partition_mark mark_of(const struct aws_row *r)
{
	const struct outlet *o;

	if (r->kind != ROW_OUTLET || ((const struct outlet_entry *)r)->blocks.incomplete)
		return (struct partition_mark){ .valid = false };
	o = &((const struct outlet_entry *)r)->row;
	return (struct partition_mark){ .valid = o->n_ids > 0,
					.first = o->ids[0],
					.touched = r->extra.touched };
}

/*
 * A block is written when a row's identities are full, and the row begins anew with another one:
 * while the oldest is the same there is no new block; what is parked touches the row.
 */
static bool is_same_partition(const struct partition_mark *was, const struct aws_row *r)
{
	struct partition_mark now = mark_of(r);

	return was->valid && now.valid && identity_eq(&was->first, &now.first) &&
	       was->touched == now.touched;
}

static ev_err reload_partition(struct aws_store *s, struct aws_row *r)
{
	struct partition p = { .s = s };
	ev_err e = read_partition(s, &r->id, &p);

	if (e == EV_OK)
		e = take_carried(&p, r->extra.after);
	if (e != EV_OK) {
		free(p.blocks.of);
		outlet_of(r)->blocks.incomplete = true; /* they are not those of the row now */
		return e;
	}
	free(outlet_of(r)->blocks.of);
	outlet_of(r)->blocks = p.blocks;
	outlet_of(r)->may_have_parked = p.has_parked;
	return EV_OK;
}

ev_err row_reload(struct aws_store *s, struct aws_row *r)
{
	struct partition_mark was = mark_of(r);
	ev_err e = read_row(s, r);

	assert(!r->touched);
	if (e == EV_NOTFOUND) {
		aws_cache_drop(&s->cache, r);
		return e;
	}
	if (e == EV_OK && r->kind == ROW_OUTLET && !is_same_partition(&was, r))
		e = reload_partition(s, r);
	r->stale = e != EV_OK;
	if (r->kind != ROW_CUSTOMER)
		aws_cache_settle(&s->cache, r, &s->c.rules, s->c.max_pinned);
	return e;
}

ev_err row_get(struct aws_store *s, enum row_kind kind, const struct ev_uuid *id,
	       struct aws_row **out)
{
	struct aws_row *r = aws_cache_find(&s->cache, kind, id);
	bool fresh = r == NULL;
	ev_err e;

	if (!store_has_role(s, kinds[kind].role))
		return EV_UNSUPPORTED;
	if (r != NULL && !r->stale) {
		note_used(s, r);
		*out = r;
		return EV_OK;
	}
	if (!s->group.open)
		cache_trim(&s->cache, s->c.max_rows);
	if (fresh)
		r = aws_cache_add(&s->cache, kind, id);
	if (r == NULL)
		return EV_NOMEM;
	e = row_reload(s, r);
	if (e == EV_OK) {
		note_used(s, r);
		*out = r;
	} else if (e != EV_NOTFOUND && fresh) {
		aws_cache_drop(&s->cache, r);
	}
	return e;
}

ev_err outlet_peek(struct aws_store *s, const struct ev_uuid *id, struct outlet *out)
{
	struct ddb_batch b;
	struct ddb_outlet row;
	struct ev_str item;
	ev_err e;

	ddb_batch_init(&b, &s->io);
	row_add_get(s, &b, ROW_OUTLET, id);
	ddb_batch_run(&b);
	s->stats.row_reads++;
	e = ddb_get_item(&b, 0, &item);
	if (b.calls[0].error.kind == AWS_ERROR_DENIED ||
	    b.calls[0].error.kind == AWS_ERROR_NOT_FOUND)
		e = EV_UNSUPPORTED;
	if (e == EV_OK)
		e = ddb_outlet_read(item, &row);
	if (e == EV_OK)
		*out = row.outlet;
	ddb_batch_deinit(&b);
	return e;
}

/* --- the group's hand on a row --- */

static ev_err remember(struct aws_row *r)
{
	struct row_after *after = row_after_dup(r->extra.after);

	if (after == NULL && r->extra.after != NULL)
		return EV_NOMEM;
	if (r->kind == ROW_OUTLET) {
		struct outlet_image *i = malloc(sizeof(*i));

		if (i != NULL) {
			*i = outlet_image(outlet_of(r));
			i->extra.after = after;
		}
		r->was = i;
	} else {
		struct session_image *i = malloc(sizeof(*i));

		if (i != NULL) {
			*i = session_image(session_of(r));
			i->extra.after = after;
		}
		r->was = i;
	}
	if (r->was == NULL)
		row_after_free(after);
	return r->was != NULL ? EV_OK : EV_NOMEM;
}

/* The first effects that are known to be sent need not be written again. */
static void drop_sent(struct aws_row *r)
{
	struct row_effects *e = r->effects;

	if (e == NULL || r->n_sent == 0)
		return;
	e->n -= r->n_sent;
	memmove(&e->of[0], &e->of[r->n_sent], e->n * sizeof(e->of[0]));
	r->n_sent = 0;
	if (e->n == 0)
		row_set_effects(r, NULL);
}

ev_err row_touch(struct aws_store *s, struct aws_row *r)
{
	struct store_group *g = &s->group;
	ev_err e = EV_OK;

	if (r->touched)
		return EV_OK;
	if (r->kind != ROW_CUSTOMER && !r->is_new)
		e = remember(r);
	if (e != EV_OK)
		return e;
	drop_sent(r);
	r->touched = true;
	r->written = false;
	r->next_touched = NULL;
	if (g->last_touched != NULL)
		g->last_touched->next_touched = r;
	else
		g->touched = r;
	g->last_touched = r;
	return EV_OK;
}

void row_free_was(struct aws_row *r)
{
	if (r->was != NULL && r->kind == ROW_OUTLET)
		row_after_free(((struct outlet_image *)r->was)->extra.after);
	else if (r->was != NULL)
		row_after_free(((struct session_image *)r->was)->extra.after);
	free(r->was);
	r->was = NULL;
}

static void put_back(struct aws_row *r, const struct row_effects *effects, struct row_extra *extra,
		     unsigned n_sent)
{
	struct row_effects *copy = row_effects_dup(effects);

	r->stale = copy == NULL && effects->n > 0; /* without memory: read it again */
	row_set_effects(r, copy);
	r->n_sent = n_sent;
	row_after_free(r->extra.after);
	r->extra = *extra;
	extra->after = NULL;
}

void row_restore(struct aws_store *s, struct aws_row *r)
{
	r->touched = false;
	if (r->is_new || r->kind == ROW_CUSTOMER) {
		aws_cache_drop(&s->cache, r);
		return;
	}
	if (r->kind == ROW_OUTLET) {
		struct outlet_image *i = r->was;

		outlet_of(r)->row = i->row.outlet;
		outlet_of(r)->info = i->row.info;
		put_back(r, &i->row.effects, &i->extra, i->n_sent);
	} else {
		struct session_image *i = r->was;

		session_of(r)->row = i->row.session;
		put_back(r, &i->row.effects, &i->extra, i->n_sent);
	}
	row_free_was(r);
	aws_cache_settle(&s->cache, r, &s->c.rules, s->c.max_pinned);
}

void row_settle(struct aws_store *s, struct aws_row *r)
{
	r->touched = false;
	r->is_new = false;
	if (r->kind == ROW_CUSTOMER) {
		aws_cache_drop(&s->cache, r);
		return;
	}
	r->unversioned = false;
	row_free_was(r);
	aws_cache_settle(&s->cache, r, &s->c.rules, s->c.max_pinned);
}

/* --- writing --- */

static void if_as_was(struct ddb_change *c, const struct ddb_attrs *was, const char *name)
{
	const struct ddb_attr *a = ddb_attrs_find(was, name);

	if (a == NULL || a->type == DDB_NONE)
		ddb_change_if_absent(c, name);
	else
		ddb_change_if(c, DDB_IF_EQUAL, a);
}

/* A row of the original's is written whole, if it still is as it was read. */
static void change_unversioned(struct ddb_change *c, const struct ddb_attrs *was,
			       const struct ddb_attrs *now, const char *key,
			       const struct ddb_attr *number)
{
	ddb_change_all(c, now, key, true);
	ddb_change_if_absent(c, "version");
	if_as_was(c, was, "outletState");
	ddb_change_if(c, DDB_IF_EQUAL, number);
}

static void change_ours(struct ddb_change *c, const struct ddb_attrs *was,
			const struct ddb_attrs *now, const char *key)
{
	if (was == NULL) {
		ddb_change_all(c, now, key, false);
		ddb_change_if_absent(c, key);
		return;
	}
	ddb_change_diff(c, was, now, key);
	if_as_was(c, was, "version");
	if_as_was(c, was, ROW_ATTR_TOUCHED);
	/* Effects are cleared without a new version: then only the changed half would be set. */
	if_as_was(c, was, ROW_ATTR_UNSENT_SINCE);
}

static void add_outlet_write(struct aws_store *s, struct ddb_batch *b, const char *label,
			     const struct outlet_image *was, const struct outlet_image *now)
{
	struct json_writer w = ddb_batch_open(b, "UpdateItem", s->c.resources->outlets, label,
					      DDB_OUTLET_JSON_MAX + 8192);
	struct ddb_attrs old;
	struct ddb_attrs new;
	struct ddb_change c = { .n_set = 0 };

	ddb_outlet_attrs(&now->row, &new);
	add_extra(&new, &now->extra);
	if (was != NULL) {
		ddb_outlet_attrs(&was->row, &old);
		add_extra(&old, &was->extra);
	}
	if (was != NULL && was->row.unversioned)
		change_unversioned(&c, &old, &new, kinds[ROW_OUTLET].key,
				   &(struct ddb_attr){ .name = "totalPowerConsumption",
						       .type = DDB_N,
						       .value = ddb_number_str(&was->row.total) });
	else
		change_ours(&c, was != NULL ? &old : NULL, &new, kinds[ROW_OUTLET].key);
	json_write_key(&w, "Key");
	ddb_outlet_key(&now->row.outlet.id, &w);
	ddb_change_write(&c, &w);
	ddb_batch_shut(b, &w);
}

static void add_session_write(struct aws_store *s, struct ddb_batch *b, const char *label,
			      const struct session_image *was, const struct session_image *now)
{
	struct json_writer w = ddb_batch_open(b, "UpdateItem", s->c.resources->sessions, label,
					      DDB_SESSION_JSON_MAX + 8192);
	struct ddb_attrs old;
	struct ddb_attrs new;
	struct ddb_change c = { .n_set = 0 };

	ddb_session_attrs(&now->row, &new);
	add_extra(&new, &now->extra);
	if (was != NULL) {
		ddb_session_attrs(&was->row, &old);
		add_extra(&old, &was->extra);
	}
	if (was != NULL && was->row.unversioned)
		change_unversioned(&c, &old, &new, kinds[ROW_SESSION].key,
				   &(struct ddb_attr){ .name = "powerConsumption",
						       .type = DDB_N,
						       .value = ddb_number_str(&was->row.energy) });
	else
		change_ours(&c, was != NULL ? &old : NULL, &new, kinds[ROW_SESSION].key);
	json_write_key(&w, "Key");
	ddb_session_key(&now->row.session.id, &w);
	ddb_change_write(&c, &w);
	ddb_batch_shut(b, &w);
}

static void add_customer_write(struct aws_store *s, struct ddb_batch *b, const char *label,
			       const struct customer_entry *c)
{
	const char *table = s->c.resources->customers;
	struct json_writer w;

	w = ddb_batch_open(b, c->erased ? "DeleteItem" : "UpdateItem", table, label,
			   DDB_CUSTOMER_JSON_MAX);
	if (c->erased)
		ddb_customer_delete(&c->stored, &w);
	else
		ddb_customer_update(c->head.is_new ? NULL : &c->stored, &c->row, &w);
	ddb_batch_shut(b, &w);
}

void row_add_write(struct aws_store *s, struct ddb_batch *b, struct aws_row *r)
{
	char label[EV_UUID_TEXT + 1];

	ev_uuid_text(&r->id, label);
	if (r->kind == ROW_OUTLET) {
		struct outlet_image now = outlet_image(outlet_of(r));

		now.row.unversioned = false;
		add_outlet_write(s, b, label, r->was, &now);
	} else if (r->kind == ROW_SESSION) {
		struct session_image now = session_image(session_of(r));

		now.row.unversioned = false;
		add_session_write(s, b, label, r->was, &now);
	} else {
		add_customer_write(s, b, label, customer_of(r));
	}
	s->stats.row_writes++;
}

void row_add_clear(struct aws_store *s, struct ddb_batch *b, struct aws_row *r)
{
	char label[EV_UUID_TEXT + 1];

	ev_uuid_text(&r->id, label);
	if (r->kind == ROW_OUTLET) {
		struct outlet_image was = outlet_image(outlet_of(r));
		struct outlet_image now = was;

		now.row.effects = (struct row_effects){ .n = 0 };
		now.extra.after = NULL;
		add_outlet_write(s, b, label, &was, &now);
	} else {
		struct session_image was = session_image(session_of(r));
		struct session_image now = was;

		now.row.effects = (struct row_effects){ .n = 0 };
		now.extra.after = NULL;
		add_session_write(s, b, label, &was, &now);
	}
	s->stats.clear_writes++;
}
