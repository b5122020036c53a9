#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine.h"
#include "engine/embedded/internal.h"

/*
 * A unit is checked first, without a write: what it can be told (conflict, exists, not found) is
 * told then and leaves the group as it was.  What fails after that is the engine's, and the whole
 * group is lost with it.
 */

/* The aggregate a unit is about, found by the check. */
struct target {
	struct outlet_entry *outlet;
	struct session_entry *session;
	bool customer; /* it exists */
};

/* EV_CONFLICT unless the row is at the version the unit was decided from. */
static ev_err check_version(const struct unit *u, ev_err loaded, uint64_t version)
{
	if (loaded == EV_NOTFOUND)
		return u->expected == 0 ? EV_OK : EV_CONFLICT;
	if (loaded != EV_OK)
		return loaded;
	return u->expected != 0 && u->expected == version ? EV_OK : EV_CONFLICT;
}

static ev_err check_outlet(struct embedded *e, const struct unit *u, struct target *t)
{
	const struct outlet *o = u->outlet;

	if (o->version <= u->expected || o->version > INT64_MAX)
		return EV_INVALID;
	ev_err err = outlet_entry_load(e, &o->id, &t->outlet);

	return check_version(u, err, err == EV_OK ? t->outlet->row.version : 0);
}

static ev_err check_session(struct embedded *e, const struct unit *u, struct target *t)
{
	const struct session *s = u->session;

	if (s->version <= u->expected || s->version > INT64_MAX)
		return EV_INVALID;
	ev_err err = session_entry_load(e, &s->id, &t->session);

	return check_version(u, err, err == EV_OK ? t->session->row.version : 0);
}

static ev_err check_customer(struct embedded *e, const struct unit *u, struct target *t)
{
	uint64_t version = 0;
	struct sql_bind b = sql_bind(&e->sql, SQL_CUSTOMER_VERSION);

	if (!u->erase && (u->customer->version <= u->expected || u->customer->version > INT64_MAX))
		return EV_INVALID;
	bind_uuid(&b, &u->customer->id);

	ev_err err = sql_next(&b);

	if (err == EV_OK) {
		struct sql_cols c = sql_cols(&b);

		version = col_u64(&c);
		t->customer = true;
		sql_done(&b);
	}
	return check_version(u, err, version);
}

static ev_err check_aggregate(struct embedded *e, const struct unit *u, struct target *t)
{
	switch (u->kind) {
	case UNIT_OUTLET:
		return check_outlet(e, u, t);
	case UNIT_SESSION:
		return check_session(e, u, t);
	case UNIT_CUSTOMER:
		return check_customer(e, u, t);
	case UNIT_NONE:
		return EV_OK;
	}
	assert(false && "a unit of no kind");
	return EV_INVALID;
}

/* EV_OK if the statement's identity is there, else EV_NOTFOUND. */
static ev_err exists(struct embedded *e, enum store_sql which, const struct identity *id)
{
	struct sql_bind b = sql_bind(&e->sql, which);

	bind_identity(&b, id);
	ev_err err = sql_next(&b);

	if (err == EV_OK)
		sql_done(&b);
	return err;
}

static bool repeats_attachment(const struct unit *u, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (u->puts[k].kind == PUT_ATTACHMENT &&
		    identity_eq(&u->puts[k].attachment.item_id, &u->puts[i].attachment.item_id))
			return true;
	}
	return false;
}

static bool puts_dead_letter(const struct unit *u, size_t before, const struct identity *id)
{
	for (size_t k = 0; k < before; k++) {
		if (u->puts[k].kind == PUT_DEAD_LETTER &&
		    identity_eq(&u->puts[k].dead_letter.id, id))
			return true;
	}
	return false;
}

static ev_err check_put(struct embedded *e, const struct unit *u, size_t i)
{
	const struct keyed_put *p = &u->puts[i];
	ev_err err = EV_OK;

	if (p->kind == PUT_ATTACHMENT) {
		err = exists(e, SQL_ATTACHMENT_LOAD, &p->attachment.item_id);
		if (err == EV_OK || repeats_attachment(u, i))
			return EV_EXISTS;
		return err == EV_NOTFOUND ? EV_OK : err;
	}
	if (p->kind == PUT_DEAD_LETTER_STATUS) {
		err = exists(e, SQL_DEAD_LETTER_STATUS, &p->status.id);
		if (err == EV_NOTFOUND && puts_dead_letter(u, i, &p->status.id))
			return EV_OK;
	}
	if (p->kind == PUT_DEAD_LETTER && p->dead_letter.body.n > DEAD_LETTER_BODY_MAX)
		return EV_INVALID;
	return err;
}

static ev_err check_unit(struct embedded *e, const struct unit *u, struct target *t)
{
	ev_err err = check_aggregate(e, u, t);

	for (size_t i = 0; err == EV_OK && i < u->n_puts; i++)
		err = check_put(e, u, i);
	return err;
}

static ev_err insert_outlet(struct embedded *e, const struct unit *u, struct target *t)
{
	uint8_t extra[OUTLET_BLOB_MAX];
	struct sql_bind b = sql_bind(&e->sql, SQL_OUTLET_INSERT);

	bind_uuid(&b, &u->outlet->id);
	bind_info(&b, u->info);
	bind_outlet_state(&b, u->outlet, extra);

	ev_err err = sql_run(&b);

	if (err != EV_OK)
		return err;
	t->outlet = (struct outlet_entry *)cache_add(&e->outlets, &u->outlet->id);
	if (t->outlet == NULL)
		return EV_NOMEM;
	t->outlet->n = sqlite3_last_insert_rowid(e->sql.db);
	return EV_OK;
}

static ev_err update_info(struct embedded *e, const struct unit *u, const struct target *t)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_INFO_UPDATE);

	bind_info(&b, u->info);
	bind_i64(&b, t->outlet->n);
	return sql_run(&b);
}

static ev_err write_outlet(struct embedded *e, const struct unit *u, struct target *t)
{
	ev_err err = EV_OK;

	if (t->outlet == NULL)
		err = insert_outlet(e, u, t);
	else if (u->info != NULL)
		err = update_info(e, u, t);
	if (err != EV_OK)
		return err;
	e->counts.rows_spared += t->outlet->node.dirty;
	t->outlet->row = *u->outlet;
	outlet_tidy(&t->outlet->row);
	cache_touch(&e->outlets, &t->outlet->node);
	return EV_OK;
}

static ev_err insert_session(struct embedded *e, const struct session *s, struct target *t)
{
	uint8_t extra[SESSION_BLOB_MAX];
	struct sql_bind b = sql_bind(&e->sql, SQL_SESSION_INSERT);

	bind_uuid(&b, &s->id);
	bind_session_state(&b, s, extra);
	bind_opt_uuid(&b, s->has_customer, &s->customer_id);
	bind_uuid(&b, &s->outlet_id);
	bind_i64(&b, s->start_ns);
	bind_i64(&b, session_is_live(s->state));

	ev_err err = sql_run(&b);

	if (err != EV_OK)
		return err;
	t->session = (struct session_entry *)cache_add(&e->sessions, &s->id);
	if (t->session == NULL)
		return EV_NOMEM;
	t->session->n = sqlite3_last_insert_rowid(e->sql.db);
	t->session->row = *s;
	session_tidy(&t->session->row);
	cache_touch(&e->sessions, &t->session->node);
	t->session->node.dirty = false; /* it is written already */
	e->counts.rows_written++;
	return EV_OK;
}

static bool moves_index(const struct session *a, const struct session *b)
{
	return session_is_live(a->state) != session_is_live(b->state) ||
	       a->start_ns != b->start_ns || a->has_customer != b->has_customer ||
	       (b->has_customer && !ev_uuid_eq(&a->customer_id, &b->customer_id)) ||
	       !ev_uuid_eq(&a->outlet_id, &b->outlet_id);
}

static ev_err write_session(struct embedded *e, const struct unit *u, struct target *t)
{
	struct session_entry *s = t->session;

	if (s == NULL)
		return insert_session(e, u->session, t);
	e->counts.rows_spared += s->node.dirty;
	s->reindex = s->reindex || moves_index(&s->row, u->session);
	s->row = *u->session;
	session_tidy(&s->row);
	cache_touch(&e->sessions, &s->node);
	return EV_OK;
}

static ev_err write_customer(struct embedded *e, const struct unit *u, const struct target *t)
{
	enum store_sql which = u->erase      ? SQL_CUSTOMER_DELETE
			       : t->customer ? SQL_CUSTOMER_UPDATE
					     : SQL_CUSTOMER_INSERT;
	struct sql_bind b = sql_bind(&e->sql, which);

	if (which == SQL_CUSTOMER_INSERT)
		bind_uuid(&b, &u->customer->id);
	if (which != SQL_CUSTOMER_DELETE)
		bind_customer(&b, u->customer);
	if (which != SQL_CUSTOMER_INSERT)
		bind_uuid(&b, &u->customer->id);
	return sql_run(&b);
}

static ev_err write_aggregate(struct embedded *e, const struct unit *u, struct target *t)
{
	switch (u->kind) {
	case UNIT_OUTLET:
		return write_outlet(e, u, t);
	case UNIT_SESSION:
		return write_session(e, u, t);
	case UNIT_CUSTOMER:
		return write_customer(e, u, t);
	case UNIT_NONE:
		break;
	}
	return EV_OK;
}

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

/* The outlet of an effect, whose chain it joins; *out is NULL for an outlet that does not exist. */
static ev_err chain_of(struct embedded *e, const struct ev_uuid *id, struct outlet_entry **out)
{
	ev_err err = outlet_entry_load(e, id, out);

	if (err == EV_NOTFOUND) {
		*out = NULL;
		return EV_OK;
	}
	return err;
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
	ev_err err = chain_of(e, &block->outlet_id, &o);

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

static ev_err write_put(struct embedded *e, const struct keyed_put *p)
{
	switch (p->kind) {
	case PUT_DEAD_LETTER:
		return put_dead_letter(e, &p->dead_letter);
	case PUT_DEAD_LETTER_STATUS:
		return put_status(e, p);
	case PUT_PARKED:
		return put_parked(e, &p->parked);
	case PUT_UNPARK:
		return put_unpark(e, &p->unpark);
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

/* Room for one more of `size` bytes; NULL: out of memory, and the old room stays. */
static void *room(void *p, size_t n, size_t *max, size_t size)
{
	if (n < *max)
		return p;
	size_t wanted = *max == 0 ? 64 : *max * 2;
	void *grown = reallocarray(p, wanted, size);

	if (grown != NULL)
		*max = wanted;
	return grown;
}

static ev_err write_event(struct embedded *e, const struct charging_event *event, int64_t now_ns)
{
	struct effects *f = &e->effects;
	struct stored_event *events = room(f->events, f->n_events, &f->max_events,
					   sizeof(f->events[0]));
	struct outlet_entry *o = NULL;

	if (events == NULL)
		return EV_NOMEM;
	f->events = events;
	ev_err err = chain_of(e, &event->outlet_id, &o);

	if (err != EV_OK)
		return err;
	struct stored_event *s = &events[f->n_events];
	struct sql_bind b = sql_bind(&e->sql, SQL_EVENT_INSERT);

	*s = (struct stored_event){ e->marks.next_event, now_ns, *event };
	bind_event(&b, s, o != NULL ? o->last_event : 0);
	err = sql_run(&b);
	if (err != EV_OK)
		return err;
	if (o != NULL) {
		o->last_event = (int64_t)s->seq;
		cache_touch(&e->outlets, &o->node);
	}
	e->marks.next_event++;
	e->counts.events++;
	f->n_events++;
	return EV_OK;
}

static ev_err write_command(struct embedded *e, const struct device_command *command)
{
	struct effects *f = &e->effects;
	struct device_command *commands = room(f->commands, f->n_commands, &f->max_commands,
					       sizeof(f->commands[0]));

	if (commands == NULL)
		return EV_NOMEM;
	f->commands = commands;
	struct sql_bind b = sql_bind(&e->sql, SQL_COMMAND_INSERT);

	bind_command(&b, command);
	ev_err err = sql_run(&b);

	if (err != EV_OK)
		return err;
	commands[f->n_commands++] = *command;
	e->counts.commands++;
	return EV_OK;
}

static ev_err write_unit(struct embedded *e, const struct unit *u, struct target *t)
{
	int64_t now_ns = embedded_now(e);
	ev_err err = group_write(e);

	if (err == EV_OK)
		err = write_aggregate(e, u, t);
	for (size_t i = 0; err == EV_OK && i < u->n_puts; i++)
		err = write_put(e, &u->puts[i]);
	for (size_t i = 0; err == EV_OK && i < u->n_events; i++)
		err = write_event(e, &u->events[i], now_ns);
	for (size_t i = 0; err == EV_OK && i < u->n_commands; i++)
		err = write_command(e, &u->commands[i]);
	return err;
}

static bool is_answer(ev_err err)
{
	return err == EV_CONFLICT || err == EV_EXISTS || err == EV_NOTFOUND || err == EV_INVALID;
}

static ev_err commit_one(struct embedded *e, const struct unit *u)
{
	struct target t = { 0 };

	if (e->group.lost != EV_OK)
		return e->group.lost;
	ev_err err = check_unit(e, u, &t);

	if (is_answer(err)) {
		e->counts.conflicts += err == EV_CONFLICT;
		return err;
	}
	if (err == EV_OK)
		err = write_unit(e, u, &t);
	if (err != EV_OK)
		return group_lose(e, err, "commit a unit");
	e->group.n_units++;
	e->counts.units++;
	return EV_OK;
}

ev_err store_commit(struct store *s, const struct unit *units, size_t n, ev_err *results)
{
	struct embedded *e = embedded_of(s);
	ev_err first = EV_OK;

	for (size_t i = 0; i < n; i++) {
		results[i] = e->group.open ? commit_one(e, &units[i]) : EV_INVALID;
		if (first == EV_OK)
			first = results[i];
	}
	return first;
}
