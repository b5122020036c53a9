#include <assert.h>
#include <string.h>

#include "engine/embedded/internal.h"

/* Keyed puts: written at once, into the group's transaction; commit.c has checked them. */

static ev_err put_dead_letter(struct embedded *e, const struct dead_letter *d)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_DEAD_LETTER_INSERT);
	const char *reason = reason_name(d->reason);

	bind_identity(&b, &d->id);
	bind_i64(&b, d->channel);
	bind_opt_uuid(&b, d->has_outlet, &d->outlet_id);
	bind_i64(&b, d->at_ns);
	bind_text(&b, reason, strlen(reason));
	bind_text(&b, d->detail, strnlen(d->detail, sizeof(d->detail) - 1));
	bind_i64(&b, d->status);
	bind_blob(&b, d->body.p, d->body.n);
	return sql_run(&b);
}

static ev_err put_status(struct embedded *e, const struct keyed_put *p)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_DEAD_LETTER_SET);

	bind_i64(&b, p->status.status);
	bind_i64(&b, p->status.at_ns);
	bind_identity(&b, &p->status.id);
	return sql_run(&b);
}

static ev_err put_parked(struct embedded *e, const struct parked_input *p)
{
	uint8_t input[INPUT_BLOB_MAX];
	struct sql_bind b = sql_bind(&e->sql, SQL_PARKED_INSERT);

	bind_identity(&b, &p->id);
	bind_uuid(&b, &p->outlet_id);
	bind_i64(&b, p->at_ns);
	bind_i64(&b, p->due_ns);
	bind_blob(&b, input, input_blob_write(&p->input, input));

	ev_err err = sql_run(&b);

	if (err == EV_OK)
		e->marks.n_parked += (uint64_t)sqlite3_changes(e->sql.db);
	return err;
}

static ev_err put_unpark(struct embedded *e, const struct identity *id)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_PARKED_DELETE);

	bind_identity(&b, id);

	ev_err err = sql_run(&b);

	if (err == EV_OK)
		e->marks.n_parked -= (uint64_t)sqlite3_changes(e->sql.db);
	return err;
}

static ev_err put_item(struct embedded *e, const struct unassigned_item *i)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_ITEM_PUT);

	bind_item(&b, i);
	return sql_run(&b);
}

static ev_err put_attachment(struct embedded *e, const struct keyed_put *p)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_ATTACHMENT_INSERT);

	bind_identity(&b, &p->attachment.item_id);
	bind_uuid(&b, &p->attachment.session_id);
	bind_i64(&b, p->attachment.mwh);
	return sql_run(&b);
}

static ev_err put_claim(struct embedded *e, const struct keyed_put *p)
{
	bool keep = p->kind == PUT_CLAIM;
	struct sql_bind b = sql_bind(&e->sql, keep ? SQL_CLAIM_PUT : SQL_CLAIM_DELETE);

	bind_tag(&b, &p->claim.tag);
	bind_uuid(&b, &p->claim.customer_id);
	if (keep)
		bind_i64(&b, p->claim.at_ns);
	return sql_run(&b);
}

static ev_err remember(struct embedded *e, const struct identity_block *block, int64_t now_ns)
{
	for (unsigned i = 0; i < OUTLET_IDS_MAX; i++) {
		if (identity_is_none(&block->ids[i]))
			continue;
		ev_err err = bloom_add(&e->seen, &block->ids[i], now_ns);

		if (err != EV_OK)
			return err;
	}
	return EV_OK;
}

/* Kept by the time of the commit: the time of its inputs may be long ago. */
static ev_err put_block(struct embedded *e, const struct identity_block *block)
{
	static_assert(sizeof(block->ids) == BLOCK_BLOB_MAX, "identities are bytes without gaps");
	int64_t now_ns = embedded_now(e);
	struct outlet_entry *o = NULL;
	ev_err err = outlet_entry_find(e, &block->outlet_id, &o);

	if (err != EV_OK)
		return err;
	struct sql_bind b = sql_bind(&e->sql, SQL_BLOCK_INSERT);

	bind_i64(&b, e->marks.next_block);
	bind_i64(&b, o != NULL ? o->last_block : 0);
	bind_uuid(&b, &block->outlet_id);
	bind_i64(&b, now_ns);
	bind_blob(&b, block->ids, sizeof(block->ids));
	err = sql_run(&b);
	if (err != EV_OK)
		return err;
	if (o != NULL) {
		o->last_block = e->marks.next_block;
		cache_touch(&e->outlets, &o->node);
	}
	e->marks.next_block++;
	return remember(e, block, now_ns);
}

static bool later(uint64_t version, unsigned index, uint64_t than_version, unsigned than_index)
{
	return version > than_version || (version == than_version && index > than_index);
}

static ev_err put_delivery(struct embedded *e, const struct delivery *d)
{
	struct delivery now;
	ev_err err = e->store.ops->load_delivery(&e->store, &d->outlet_id, &now);

	if (err != EV_OK)
		return err;
	bool grew = false;

	if (later(d->delivered_version, d->delivered_index, now.delivered_version,
		  now.delivered_index)) {
		now.delivered_version = d->delivered_version;
		now.delivered_index = d->delivered_index;
		grew = true;
	}
	if (later(d->acked_version, d->acked_index, now.acked_version, now.acked_index)) {
		now.acked_version = d->acked_version;
		now.acked_index = d->acked_index;
		grew = true;
	}
	if (!grew)
		return EV_OK;
	struct sql_bind b = sql_bind(&e->sql, SQL_DELIVERY_PUT);

	bind_uuid(&b, &d->outlet_id);
	bind_u64(&b, now.delivered_version);
	bind_i64(&b, now.delivered_index);
	bind_u64(&b, now.acked_version);
	bind_i64(&b, now.acked_index);
	bind_i64(&b, d->at_ns);
	return sql_run(&b);
}

ev_err put_write(struct embedded *e, const struct keyed_put *p)
{
	switch (p->kind) {
	case PUT_DEAD_LETTER:
		return put_dead_letter(e, &p->dead_letter);
	case PUT_DEAD_LETTER_STATUS:
		return put_status(e, p);
	case PUT_PARKED:
		return put_parked(e, &p->parked);
	case PUT_UNPARK:
		return put_unpark(e, &p->unpark.id);
	case PUT_UNASSIGNED:
		return put_item(e, &p->unassigned);
	case PUT_ATTACHMENT:
		return put_attachment(e, p);
	case PUT_CLAIM:
	case PUT_UNCLAIM:
		return put_claim(e, p);
	case PUT_IDENTITY_BLOCK:
		return put_block(e, &p->block);
	case PUT_DELIVERY:
		return put_delivery(e, &p->delivery);
	}
	assert(false && "a put of no kind");
	return EV_INVALID;
}
