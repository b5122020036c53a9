#include <assert.h>
#include <stdlib.h>

#include "engine/aws/store_internal.h"

/*
 * Loads.  What the group has staged is laid over what is stored, in the order of staging; what rows
 * carry and is not written yet counts as written.
 */

/* Reads one of our items; EV_NOTFOUND.  The item lives as long as the batch. */
static ev_err get_own(struct aws_store *s, struct ddb_batch *b, const struct own_key *key,
		      struct ev_str *out)
{
	ddb_batch_init(b, &s->io);
	ddb_add_get_own(b, s->c.resources->items, key);
	ddb_batch_run(b);
	return ddb_get_item(b, 0, out);
}

static ev_err judge_own(struct aws_store *s, const struct own_key *key, ev_err e)
{
	bool is_tag = strncmp(key->pk, "tag#", 4) == 0;

	if (e != EV_CORRUPT)
		return e;
	return ddb_fail(&s->io, e, s->c.resources->items, is_tag ? "tag" : key->pk);
}

/* A text that some row carries, with this in it, of an item the attached one; empty: none. */
static struct ev_str find_carried(const struct aws_store *s, const char *what)
{
	struct ev_str found = { NULL, 0 };

	for (const struct aws_row *r = s->cache.unsent; r != NULL; r = r->next_unsent) {
		for (unsigned i = 0; r->extra.after != NULL && i < r->extra.after->n; i++) {
			struct ev_str text = r->extra.after->of[i];

			if (memmem(text.p, text.n, what, strlen(what)) == NULL)
				continue;
			if (found.n == 0 || memmem(text.p, text.n, "\"sessionId\"", 11) != NULL)
				found = text;
		}
	}
	return found;
}

/* --- rows --- */

static ev_err load_outlet(struct store *store, const struct ev_uuid *id, struct outlet *out)
{
	struct aws_store *s = aws_store_of(store);
	struct aws_row *r = NULL;
	ev_err e;

	if (!store_has_role(s, AWS_ROLE_OUTLET))
		return outlet_peek(s, id, out);
	e = row_get(s, ROW_OUTLET, id, &r);
	if (e == EV_OK)
		*out = outlet_of(r)->row;
	return e;
}

static ev_err load_info(struct store *store, const struct ev_uuid *id, struct outlet_info *out)
{
	struct aws_row *r = NULL;
	ev_err e = row_get(aws_store_of(store), ROW_OUTLET, id, &r);

	if (e == EV_OK)
		*out = outlet_of(r)->info;
	return e;
}

static ev_err load_session(struct store *store, const struct ev_uuid *id, struct session *out)
{
	struct aws_row *r = NULL;
	ev_err e = row_get(aws_store_of(store), ROW_SESSION, id, &r);

	if (e == EV_OK)
		*out = session_of(r)->row;
	return e;
}

static ev_err load_customer(struct store *store, const struct ev_uuid *id, struct customer *out)
{
	struct aws_store *s = aws_store_of(store);
	struct aws_row *r = NULL;
	ev_err e = row_get(s, ROW_CUSTOMER, id, &r);

	if (e != EV_OK)
		return e;
	if (customer_of(r)->erased)
		return EV_NOTFOUND;
	*out = customer_of(r)->row.customer;
	if (!s->group.open)
		aws_cache_drop(&s->cache, r);
	return EV_OK;
}

/* --- claims --- */

static bool is_tag(const struct rfid_tag *a, const struct rfid_tag *b)
{
	return ev_str_eq(rfid_tag_str(a), rfid_tag_str(b));
}

ev_err load_stored_claim(struct aws_store *s, const struct rfid_tag *low, bool *out_had,
			 struct tag_claim *out)
{
	struct own_key key = own_claim_key(low);
	struct ddb_batch b;
	struct ev_str item;
	ev_err e = get_own(s, &b, &key, &item);

	if (e == EV_OK)
		e = judge_own(s, &key, own_claim_read(item, out));
	ddb_batch_deinit(&b);
	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	*out_had = e == EV_OK;
	return EV_OK;
}

/* Ours, with what the group does to it. */
static ev_err load_own_claim(struct aws_store *s, const struct rfid_tag *low, bool *out_had,
			     struct tag_claim *out)
{
	struct tag_claim claim = { .at_ns = 0 };
	bool had = false;
	ev_err e = load_stored_claim(s, low, &had, &claim);

	if (e != EV_OK)
		return e;
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct staged_put *p = &s->group.puts.of[i];
		bool about = (p->p.kind == PUT_CLAIM || p->p.kind == PUT_UNCLAIM) && !p->skip &&
			     is_tag(&p->p.claim.tag, low);

		if (about && p->p.kind == PUT_CLAIM) {
			had = true;
			claim = p->p.claim;
		} else if (about && had &&
			   ev_uuid_eq(&claim.customer_id, &p->p.claim.customer_id)) {
			had = false;
		}
	}
	*out_had = had;
	if (had)
		*out = claim;
	return EV_OK;
}

/* The first hit of the original's index whose row carries the tag. */
struct tag_search {
	struct aws_store *s;
	const struct rfid_tag *tag;
	bool found;
	struct ev_uuid customer_id;
};

static ev_err try_hit(void *user, struct ev_str item, bool *more)
{
	static const char *const names[] = { "customerId" };
	struct tag_search *t = user;
	struct ddb_value v[1];
	struct ev_uuid id;
	struct customer c;
	ev_err e = ddb_read_fields(item, names, 1, v);

	if (e == EV_OK)
		e = ddb_value_uuid(&v[0], &id);
	if (e == EV_OK)
		e = load_customer(&t->s->store, &id, &c);
	if (e == EV_OK && rfid_tag_eq(&c.tag, t->tag)) {
		t->found = true;
		t->customer_id = id;
		*more = false;
	}
	/* A row that is gone or cannot be read is nobody's. */
	return e == EV_NOTFOUND || e == EV_CORRUPT ? EV_OK : e;
}

static ev_err search_tag(struct tag_search *t, const struct rfid_tag *spelt)
{
	struct ddb_range r = {
		.table = t->s->c.resources->customers,
		.index = t->s->c.resources->customers_by_tag,
		.pk_name = "rfidTag",
		.pk = rfid_tag_str(spelt),
	};

	return spelt->n == 0 ? EV_OK : ddb_query(&t->s->io, &r, try_hit, t);
}

static ev_err load_claim(struct store *store, const struct rfid_tag *tag, struct tag_claim *out)
{
	struct aws_store *s = aws_store_of(store);
	struct rfid_tag low = rfid_tag_lower(tag);
	struct tag_search t = { .s = s, .tag = tag };
	bool had = false;
	ev_err e;

	if (!store_has_role(s, AWS_ROLE_APP))
		return EV_UNSUPPORTED;
	e = load_own_claim(s, &low, &had, out);
	if (e != EV_OK || had)
		return e;
	e = search_tag(&t, tag);
	if (e == EV_OK && !t.found && !is_tag(tag, &low))
		e = search_tag(&t, &low);
	if (e != EV_OK)
		return e;
	if (!t.found)
		return EV_NOTFOUND;
	*out = (struct tag_claim){ .tag = low, .customer_id = t.customer_id };
	return EV_OK;
}

/* --- identities --- */

struct block_search {
	const struct identity *id;
	bool found;
};

static ev_err try_block(void *user, struct ev_str item, bool *more)
{
	struct block_search *x = user;
	struct identity_block block;
	ev_err e = own_block_read(item, &block);

	for (unsigned i = 0; e == EV_OK && i < OUTLET_IDS_MAX; i++)
		x->found = x->found || identity_eq(&block.ids[i], x->id);
	*more = !x->found;
	return e;
}

static ev_err search_blocks(struct aws_store *s, const struct ev_uuid *outlet_id,
			    const struct identity *id, bool *out)
{
	struct own_key key = own_delivery_key(outlet_id);
	struct block_search x = { .id = id };
	int64_t since_ns = store_now(s) - s->c.identity_ns;
	char lo[OWN_KEY_MAX] = OWN_SK_IDS;
	struct ddb_range r = {
		.table = s->c.resources->items,
		.pk_name = AWS_ITEM_PK,
		.pk = ev_str_from(key.pk),
		.sk_name = AWS_ITEM_SK,
		.lo = lo,
		.hi = OWN_SK_IDS "~",
	};
	ev_err e;

	own_time_text(since_ns, lo + sizeof(OWN_SK_IDS) - 1);
	s->stats.item_queries++;
	e = ddb_query(&s->io, &r, try_block, &x);
	if (e == EV_OK)
		*out = x.found;
	return judge_own(s, &key, e);
}

static bool is_staged_block(const struct aws_store *s, const struct ev_uuid *outlet_id,
			    const struct identity *id)
{
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct identity_block *b = &s->group.puts.of[i].p.block;

		if (s->group.puts.of[i].p.kind != PUT_IDENTITY_BLOCK ||
		    !ev_uuid_eq(&b->outlet_id, outlet_id))
			continue;
		for (unsigned k = 0; k < OUTLET_IDS_MAX; k++) {
			if (identity_eq(&b->ids[k], id))
				return true;
		}
	}
	return false;
}

static ev_err seen(struct store *store, const struct ev_uuid *outlet_id, const struct identity *id,
		   bool *out)
{
	struct aws_store *s = aws_store_of(store);
	struct aws_row *r = NULL;
	ev_err e;

	if (identity_is_none(id) || is_staged_block(s, outlet_id, id)) {
		*out = !identity_is_none(id);
		return EV_OK;
	}
	e = row_get(s, ROW_OUTLET, outlet_id, &r);
	if (e == EV_OK &&
	    (seen_blocks_have(&outlet_of(r)->blocks, id) || !outlet_of(r)->blocks.incomplete)) {
		*out = seen_blocks_have(&outlet_of(r)->blocks, id);
		return EV_OK;
	}
	return e == EV_OK || e == EV_NOTFOUND ? search_blocks(s, outlet_id, id, out) : e;
}

/* --- energy that belonged to nobody --- */

static ev_err stored_item(struct aws_store *s, const struct identity *id,
			  struct unassigned_item *out)
{
	struct own_key key = own_unassigned_key(id);
	struct aws_row *r = NULL;
	struct ddb_batch b;
	struct ev_str text;
	ev_err e = get_own(s, &b, &key, &text);

	if (e == EV_OK)
		e = judge_own(s, &key, own_unassigned_read(text, out));
	ddb_batch_deinit(&b);
	/* Its outlet's row may carry that it is attached. */
	if (e == EV_OK && !out->attached) {
		e = row_get(s, ROW_OUTLET, &out->outlet_id, &r);
		e = e == EV_NOTFOUND || e == EV_UNSUPPORTED ? EV_OK : e;
	}
	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	text = find_carried(s, key.pk);
	return text.n > 0 ? own_unassigned_read(text, out) : e;
}

static ev_err load_unassigned(struct store *store, const struct identity *id,
			      struct unassigned_item *out)
{
	struct aws_store *s = aws_store_of(store);
	struct unassigned_item item = { .at_ns = 0 };
	ev_err e = stored_item(s, id, &item);

	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct keyed_put *p = &s->group.puts.of[i].p;

		if (p->kind != PUT_UNASSIGNED || !identity_eq(&p->unassigned.id, id) ||
		    (e == EV_OK && item.attached && !p->unassigned.attached))
			continue;
		item = p->unassigned;
		e = EV_OK;
	}
	if (e == EV_OK)
		*out = item;
	return e;
}

static ev_err has_attachment(struct store *store, const struct identity *item_id, bool *out)
{
	struct aws_store *s = aws_store_of(store);
	struct own_key key = own_attachment_key(item_id);
	bool there = find_carried(s, key.pk).n > 0;
	struct ddb_batch b;
	struct ev_str item;
	ev_err e;

	for (size_t i = 0; i < s->group.puts.n && !there; i++) {
		const struct keyed_put *p = &s->group.puts.of[i].p;

		there = p->kind == PUT_ATTACHMENT && identity_eq(&p->attachment.item_id, item_id);
	}
	if (there) {
		*out = true;
		return EV_OK;
	}
	e = get_own(s, &b, &key, &item);
	ddb_batch_deinit(&b);
	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	*out = e == EV_OK;
	return EV_OK;
}

/* --- dead letters --- */

static ev_err stored_letter(struct aws_store *s, const struct identity *id, struct dead_letter *out,
			    char *body_out)
{
	struct own_key key = own_letter_key(id);
	struct ddb_batch b;
	struct ev_str item;
	ev_err e = get_own(s, &b, &key, &item);

	if (e == EV_OK)
		e = judge_own(s, &key, own_letter_read(item, out, body_out));
	ddb_batch_deinit(&b);
	return e;
}

/* A status that a row carries. */
static void lay_carried(const struct aws_store *s, const struct identity *id, struct dead_letter *d)
{
	char what[64];
	struct ev_buf b = ev_buf_over(what, sizeof(what) - 1);
	struct json_writer w = json_writer_over(&b);
	struct ev_str text;

	ev_buf_z(&b, "letter ");
	json_write_hex(&w, id->b, sizeof(id->b));
	ev_buf_char(&b, ' ');
	what[b.len] = '\0';
	text = find_carried(s, what);
	if (text.n > b.len && text.p[b.len] >= '0' && text.p[b.len] <= '2')
		d->status = (enum dead_letter_status)(text.p[b.len] - '0');
}

static void lay_letter(struct dead_letter *d, const struct dead_letter *staged, char *body_out)
{
	*d = *staged;
	d->detail[sizeof(d->detail) - 1] = '\0';
	if (!d->has_outlet)
		d->outlet_id = (struct ev_uuid){ { 0 } };
	if (d->body.n > 0)
		memcpy(body_out, staged->body.p, staged->body.n);
	d->body.p = body_out;
}

static ev_err load_dead_letter(struct store *store, const struct identity *id,
			       struct dead_letter *out, char *body_out)
{
	struct aws_store *s = aws_store_of(store);
	struct dead_letter d;
	ev_err e = stored_letter(s, id, &d, body_out);

	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	if (e == EV_OK)
		lay_carried(s, id, &d);
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct keyed_put *p = &s->group.puts.of[i].p;

		if (p->kind == PUT_DEAD_LETTER && e == EV_NOTFOUND &&
		    identity_eq(&p->dead_letter.id, id)) {
			lay_letter(&d, &p->dead_letter, body_out);
			e = EV_OK;
		} else if (p->kind == PUT_DEAD_LETTER_STATUS && e == EV_OK &&
			   identity_eq(&p->status.id, id)) {
			d.status = p->status.status;
		}
	}
	if (e == EV_OK)
		*out = d;
	return e;
}

/* --- deliveries --- */

ev_err load_own_delivery(struct aws_store *s, const struct ev_uuid *outlet_id, bool *out_had,
			 struct own_delivery *out)
{
	struct store_group *g = &s->group;
	struct own_key key = own_delivery_key(outlet_id);
	struct ddb_batch b;
	struct ev_str item;
	ev_err e;

	if (g->has_delivery && ev_uuid_eq(&g->delivery.delivery.outlet_id, outlet_id)) {
		*out_had = g->had_delivery;
		*out = g->delivery;
		return EV_OK;
	}
	memset(out, 0, sizeof(*out));
	e = get_own(s, &b, &key, &item);
	if (e == EV_OK)
		e = judge_own(s, &key, own_delivery_read(item, out));
	ddb_batch_deinit(&b);
	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	*out_had = e == EV_OK;
	out->delivery.outlet_id = *outlet_id;
	if (g->open) {
		g->has_delivery = true;
		g->had_delivery = *out_had;
		g->delivery = *out;
	}
	return EV_OK;
}

static ev_err load_delivery(struct store *store, const struct ev_uuid *outlet_id,
			    struct delivery *out)
{
	struct aws_store *s = aws_store_of(store);
	struct own_delivery d;
	struct delivery found = { .at_ns = 0 };
	bool had = false;
	ev_err e = load_own_delivery(s, outlet_id, &had, &d);

	if (e != EV_OK)
		return e;
	/* A gateway's item without commands says nothing of deliveries. */
	if (had && (d.delivery.delivered_version != 0 || d.delivery.delivered_index != 0 ||
		    d.delivery.acked_version != 0 || d.delivery.acked_index != 0))
		found = d.delivery;
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct staged_put *p = &s->group.puts.of[i];

		if (p->p.kind == PUT_DELIVERY && !p->skip &&
		    ev_uuid_eq(&p->p.delivery.outlet_id, outlet_id))
			found = p->p.delivery;
	}
	*out = found;
	return EV_OK;
}

/* --- timers --- */

static ev_err due_outlets(struct store *store, int64_t due_ns, struct ev_uuid *out, size_t max,
			  size_t *out_n)
{
	*out_n = cache_due(&aws_store_of(store)->cache, due_ns, out, max);
	return EV_OK;
}

/* --- groups --- */

static ev_err store_begin(struct store *store)
{
	struct aws_store *s = aws_store_of(store);

	if (s->group.open)
		return EV_BUSY;
	s->group.open = true;
	s->group.number++;
	return EV_OK;
}

static void store_abandon(struct store *store)
{
	struct aws_store *s = aws_store_of(store);

	if (s->group.open)
		group_close(s);
}

static void store_free(struct store *store)
{
	aws_store_free(aws_store_of(store));
}

const struct store_ops aws_store_ops = {
	.begin = store_begin,
	.end = store_end,
	.abandon = store_abandon,
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
	.commit = stage_commit,
	.free = store_free,
};
