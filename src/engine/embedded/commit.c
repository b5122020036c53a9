#include <assert.h>
#include <stdlib.h>

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
	t->outlet->node.n = sqlite3_last_insert_rowid(e->sql.db);
	return EV_OK;
}

static ev_err update_info(struct embedded *e, const struct unit *u, const struct target *t)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_INFO_UPDATE);

	bind_info(&b, u->info);
	bind_i64(&b, t->outlet->node.n);
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
	outlet_assign(&t->outlet->row, u->outlet);
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
	t->session->node.n = sqlite3_last_insert_rowid(e->sql.db);
	session_assign(&t->session->row, s);
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
	session_assign(&s->row, u->session);
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
	ev_err err = outlet_entry_find(e, &event->outlet_id, &o);

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
		err = put_write(e, &u->puts[i]);
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
