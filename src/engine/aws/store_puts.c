#include <stdlib.h>

#include "engine/aws/store_internal.h"

/*
 * Keyed puts, checked and taken into the group.  What an input leaves behind is written before the
 * row (dead letters, parked inputs, claims, blocks, commands, live sessions): a row that was
 * written then misses nothing, and what is there without its row does no harm, since the input
 * comes again.
 *
 * What says that something is done follows the row (unassigned and attached energy, the status of
 * a dead letter, identities of the group's own inputs, inputs no longer parked, claims given up):
 * said before, a crash would leave it said and not done, and a conflict may have it decided
 * otherwise.  The row carries the first three as `after` until they are written.
 */

static bool is_late(const struct keyed_put *p)
{
	return p->kind == PUT_DEAD_LETTER_STATUS || p->kind == PUT_UNPARK ||
	       p->kind == PUT_UNCLAIM || p->kind == PUT_ATTACHMENT || p->kind == PUT_UNASSIGNED;
}

static bool is_carried(const struct keyed_put *p)
{
	return p->kind != PUT_UNPARK && p->kind != PUT_UNCLAIM;
}

static bool is_stored_id(const struct aws_row *row, const struct identity *id)
{
	const struct outlet_image *was = row->was;

	return identity_is_none(id) || (was != NULL && outlet_knows_identity(&was->row.outlet, id));
}

/*
 * A block with inputs of this very group says that they are done: it follows the row.  The usual
 * one, of a group's first input, holds what the stored row holds.
 */
static bool has_own_inputs(const struct aws_row *row, const struct keyed_put *p)
{
	bool all = true;

	if (row == NULL || row->kind != ROW_OUTLET || p->kind != PUT_IDENTITY_BLOCK)
		return false;
	for (unsigned i = 0; i < OUTLET_IDS_MAX; i++)
		all = all && is_stored_id(row, &p->block.ids[i]);
	return !all;
}

struct own_attachment put_attachment(const struct keyed_put *p)
{
	return (struct own_attachment){ .item_id = p->attachment.item_id,
					.session_id = p->attachment.session_id,
					.mwh = p->attachment.mwh };
}

struct own_key put_key(const struct keyed_put *p)
{
	switch (p->kind) {
	case PUT_DEAD_LETTER:
		return own_letter_key(&p->dead_letter.id);
	case PUT_DEAD_LETTER_STATUS:
		return own_letter_key(&p->status.id);
	case PUT_PARKED:
		return own_parked_key(&p->parked.outlet_id, &p->parked.id);
	case PUT_UNPARK:
		return own_parked_key(&p->unpark.outlet_id, &p->unpark.id);
	case PUT_UNASSIGNED:
		return own_unassigned_key(&p->unassigned.id);
	case PUT_ATTACHMENT:
		return own_attachment_key(&p->attachment.item_id);
	case PUT_CLAIM:
	case PUT_UNCLAIM:
		return own_claim_key(&p->claim.tag);
	case PUT_IDENTITY_BLOCK:
		return own_block_key(&p->block);
	case PUT_DELIVERY:
		break;
	}
	return own_delivery_key(&p->delivery.outlet_id);
}

/* --- checking --- */

static bool repeats_attachment(const struct unit *u, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (u->puts[k].kind == PUT_ATTACHMENT &&
		    identity_eq(&u->puts[k].attachment.item_id, &u->puts[i].attachment.item_id))
			return true;
	}
	return false;
}

static ev_err check_attachment(struct aws_store *s, const struct unit *u, size_t i)
{
	bool there = false;
	ev_err e;

	if (repeats_attachment(u, i))
		return EV_EXISTS;
	e = s->store.ops->has_attachment(&s->store, &u->puts[i].attachment.item_id, &there);
	return e == EV_OK && there ? EV_EXISTS : e;
}

static ev_err check_status(struct aws_store *s, const struct unit *u, size_t i)
{
	char body[DEAD_LETTER_BODY_MAX];
	const struct identity *id = &u->puts[i].status.id;
	struct dead_letter d;

	for (size_t k = 0; k < i; k++) {
		if (u->puts[k].kind == PUT_DEAD_LETTER &&
		    identity_eq(&u->puts[k].dead_letter.id, id))
			return EV_OK;
	}
	return s->store.ops->load_dead_letter(&s->store, id, &d, body);
}

ev_err put_check(struct aws_store *s, const struct unit *u, size_t i)
{
	const struct keyed_put *p = &u->puts[i];

	if (p->kind == PUT_ATTACHMENT)
		return check_attachment(s, u, i);
	if (p->kind == PUT_DEAD_LETTER_STATUS)
		return check_status(s, u, i);
	if (p->kind == PUT_DEAD_LETTER && p->dead_letter.body.n > DEAD_LETTER_BODY_MAX)
		return EV_INVALID;
	if (p->kind == PUT_PARKED && p->parked.input.kind >= OUTLET_IN_COUNT)
		return EV_INVALID;
	return EV_OK;
}

/* --- taking into the group --- */

static void after_text(const struct keyed_put *p, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);
	struct own_attachment a;

	if (p->kind == PUT_UNASSIGNED) {
		own_unassigned_put(&p->unassigned, &w);
	} else if (p->kind == PUT_ATTACHMENT) {
		a = put_attachment(p);
		own_attachment_put(&a, &w);
	} else if (p->kind == PUT_IDENTITY_BLOCK) {
		own_block_put(&p->block, &w);
	} else {
		ev_buf_z(b, ROW_AFTER_LETTER);
		json_write_hex(&w, p->status.id.b, sizeof(p->status.id.b));
		ev_buf_char(b, ' ');
		ev_buf_u64(b, (uint64_t)p->status.status);
		ev_buf_char(b, ' ');
		ev_buf_i64(b, p->status.at_ns);
	}
}

static ev_err carry(struct aws_row *row, const struct keyed_put *p)
{
	char text[OWN_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	after_text(p, &b);
	return b.overflow ? EV_NOMEM : row_after_add(&row->extra.after, ev_buf_str(&b));
}

static bool is_all_none(const struct identity_block *b)
{
	for (unsigned i = 0; i < OUTLET_IDS_MAX; i++) {
		if (!identity_is_none(&b->ids[i]))
			return false;
	}
	return true;
}

static int64_t later_than(int64_t *last_ns, int64_t now_ns)
{
	*last_ns = now_ns > *last_ns ? now_ns : *last_ns + 1;
	return *last_ns;
}

/* An earlier put of the group with this key and kind, not skipped; NULL: none. */
static struct staged_put *find_staged(struct aws_store *s, enum put_kind kind,
				      const struct own_key *key)
{
	for (size_t i = s->group.puts.n; i-- > 0;) {
		struct staged_put *p = &s->group.puts.of[i];
		struct own_key k;

		if (p->p.kind != kind || p->skip)
			continue;
		k = put_key(&p->p);
		if (strcmp(k.pk, key->pk) == 0 && strcmp(k.sk, key->sk) == 0)
			return p;
	}
	return NULL;
}

/* Takes earlier ones back, which would follow what comes now; false: there was none. */
static bool take_back(struct aws_store *s, enum put_kind kind, const struct own_key *key)
{
	struct staged_put *p;
	bool any = false;

	while ((p = find_staged(s, kind, key)) != NULL) {
		p->skip = true;
		any = true;
	}
	return any;
}

static ev_err stage_letter(struct aws_store *s, struct staged_put *put)
{
	struct dead_letter *d = &put->p.dead_letter;

	d->seq = (uint64_t)later_than(&s->last_letter_ns, store_now(s));
	put->body = malloc(d->body.n + 1);
	if (put->body == NULL)
		return EV_NOMEM;
	if (d->body.n > 0)
		memcpy(put->body, d->body.p, d->body.n);
	d->body.p = put->body;
	return EV_OK;
}

static ev_err is_stored(struct aws_store *s, const struct own_key *key, bool *out)
{
	struct ddb_batch b;
	struct ev_str item;
	ev_err e;

	ddb_batch_init(&b, &s->io);
	ddb_add_get_own(&b, s->c.resources->items, key);
	ddb_batch_run(&b);
	e = ddb_get_item(&b, 0, &item);
	ddb_batch_deinit(&b);
	if (e != EV_OK && e != EV_NOTFOUND)
		return e;
	*out = e == EV_OK;
	return EV_OK;
}

/* Other processes hear of it by the row's `touched`. */
static ev_err stage_parked(struct aws_store *s, struct staged_put *put)
{
	struct own_key key = put_key(&put->p);
	struct aws_row *r = aws_cache_find(&s->cache, ROW_OUTLET, &put->p.parked.outlet_id);
	ev_err e = EV_OK;

	if (take_back(s, PUT_UNPARK, &key)) {
		put->replace = true;
	} else if (find_staged(s, PUT_PARKED, &key) != NULL) {
		put->skip = true;
	} else {
		e = is_stored(s, &key, &put->skip);
	}
	if (e != EV_OK || put->skip || r == NULL || r->stale)
		return e;
	e = row_touch(s, r);
	if (e == EV_OK) {
		r->extra.touched++;
		aws_cache_settle(&s->cache, r, &s->c.rules, s->c.max_pinned);
	}
	return e;
}

/* Taken only if nobody else has taken or left it since it was looked at. */
static ev_err stage_claim(struct aws_store *s, struct staged_put *put)
{
	struct own_key key = put_key(&put->p);
	struct staged_put *before = find_staged(s, PUT_CLAIM, &key);
	ev_err e = EV_OK;

	put->replace = before != NULL;
	if (before == NULL)
		e = load_stored_claim(s, &put->p.claim.tag, &put->had, &put->was.claim);
	(void)take_back(s, PUT_UNCLAIM, &key);
	return e;
}

static bool is_later(uint64_t version, unsigned index, uint64_t than_version, unsigned than_index)
{
	return version > than_version || (version == than_version && index > than_index);
}

/* The highest of both; false: nothing grew. */
static bool raise_delivery(struct delivery *to, const struct delivery *d)
{
	bool grew = false;

	if (is_later(d->delivered_version, d->delivered_index, to->delivered_version,
		     to->delivered_index)) {
		to->delivered_version = d->delivered_version;
		to->delivered_index = d->delivered_index;
		grew = true;
	}
	if (is_later(d->acked_version, d->acked_index, to->acked_version, to->acked_index)) {
		to->acked_version = d->acked_version;
		to->acked_index = d->acked_index;
		grew = true;
	}
	if (grew) {
		to->outlet_id = d->outlet_id;
		to->at_ns = d->at_ns;
	}
	return grew;
}

static ev_err stage_delivery(struct aws_store *s, struct staged_put *put)
{
	struct own_key key = put_key(&put->p);
	struct staged_put *before = find_staged(s, PUT_DELIVERY, &key);
	struct delivery wanted = put->p.delivery;
	ev_err e;

	if (before != NULL) {
		(void)raise_delivery(&before->p.delivery, &wanted);
		put->skip = true;
		return EV_OK;
	}
	e = load_own_delivery(s, &wanted.outlet_id, &put->had, &put->was.delivery);
	if (e != EV_OK)
		return e;
	put->p.delivery = put->was.delivery.delivery;
	put->skip = !raise_delivery(&put->p.delivery, &wanted);
	return EV_OK;
}

static ev_err stage_kind(struct aws_store *s, struct staged_put *put)
{
	switch (put->p.kind) {
	case PUT_DEAD_LETTER:
		return stage_letter(s, put);
	case PUT_PARKED:
		return stage_parked(s, put);
	case PUT_CLAIM:
		return stage_claim(s, put);
	case PUT_DELIVERY:
		return stage_delivery(s, put);
	case PUT_IDENTITY_BLOCK:
		put->skip = is_all_none(&put->p.block);
		put->p.block.at_ns = later_than(&s->last_block_ns, store_now(s));
		return EV_OK;
	case PUT_DEAD_LETTER_STATUS:
	case PUT_UNPARK:
	case PUT_UNASSIGNED:
	case PUT_ATTACHMENT:
	case PUT_UNCLAIM:
		break;
	}
	return EV_OK;
}

ev_err put_stage(struct aws_store *s, const struct keyed_put *p, struct aws_row *row)
{
	struct staged_puts *g = &s->group.puts;
	struct staged_put put = { .p = *p, .late = is_late(p) || has_own_inputs(row, p) };
	ev_err e = stage_kind(s, &put);

	if (e == EV_OK && row != NULL && put.late && !put.skip && is_carried(p)) {
		put.row = row;
		e = carry(row, &put.p);
		aws_cache_settle(&s->cache, row, &s->c.rules, s->c.max_pinned);
	}
	if (e == EV_OK && g->n == g->cap) {
		size_t cap = g->cap == 0 ? 16 : g->cap * 2;
		struct staged_put *grown = reallocarray(g->of, cap, sizeof(*grown));

		if (grown == NULL) {
			e = EV_NOMEM;
		} else {
			g->of = grown;
			g->cap = cap;
		}
	}
	if (e != EV_OK) {
		free(put.body);
		return e;
	}
	g->of[g->n++] = put;
	return EV_OK;
}
