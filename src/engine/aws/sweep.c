#include <string.h>

#include "core/machine.h"
#include "engine/aws/store_internal.h"

/* What no living process sees to: overdue timers, effects that were left. */

static struct ddb_io io_of(const struct aws_sweep *w)
{
	return (struct ddb_io){ .caller = w->caller };
}

struct visit {
	const struct aws_sweep *w;
	void (*fn)(void *user, const struct ev_uuid *id);
	void *user;
};

static ev_err carries(struct ev_str item, bool *out)
{
	static const char *const names[] = { ROW_ATTR_AFTER };
	struct ddb_value v[1];
	ev_err e = ddb_read_fields(item, names, 1, v);

	*out = e == EV_OK && v[0].type != DDB_NONE;
	return e;
}

static bool is_left(const struct aws_sweep *w, const struct row_effects *e)
{
	bool plain = true;

	for (unsigned i = 0; i < e->n; i++)
		plain = plain && e->of[i].plain;
	return e->n > 0 && e->since_ns < (plain ? w->plain_before_ns : w->unsent_before_ns);
}

/* A row that cannot be read is its own inputs' concern. */
static ev_err visit_outlet(void *user, struct ev_str item, bool *more)
{
	const struct visit *v = user;
	struct outlet_input in;
	struct ddb_outlet row;
	int64_t due_ns = 0;
	bool wants = false;

	*more = true;
	if (ddb_outlet_read(item, &row) != EV_OK || carries(item, &wants) != EV_OK)
		return EV_OK;
	wants = wants || is_left(v->w, &row.effects) ||
		(outlet_next_timer(&row.outlet, &v->w->rules, &due_ns, &in) &&
		 due_ns < v->w->timer_before_ns);
	if (wants)
		v->fn(v->user, &row.outlet.id);
	return EV_OK;
}

/* Live ones of the original's are to be listed. */
static ev_err visit_session(void *user, struct ev_str item, bool *more)
{
	const struct visit *v = user;
	struct ddb_session row;
	bool wants = false;

	*more = true;
	if (ddb_session_read(item, &row) != EV_OK || carries(item, &wants) != EV_OK)
		return EV_OK;
	if (wants || is_left(v->w, &row.effects) ||
	    (row.unversioned && session_is_live(row.session.state)))
		v->fn(v->user, &row.session.id);
	return EV_OK;
}

/* The cursor is the last row's id. */
static ev_err read_cursor(const char *cursor, const char *key, struct ev_buf *start)
{
	struct json_writer w = json_writer_over(start);
	struct ev_uuid id;

	if (cursor[0] == '\0')
		return EV_OK;
	if (ev_uuid_parse(ev_str_from(cursor), &id) != EV_OK)
		return EV_INVALID;
	json_write_object(&w);
	json_write_string(&w, ev_str_from(key));
	ev_buf_z(start, ":{\"S\":");
	w.comma = false;
	json_write_string(&w, ev_str_from(cursor));
	ev_buf_z(start, "}}");
	return EV_OK;
}

static ev_err write_cursor(struct ev_str next, const char *key, char cursor[AWS_SWEEP_CURSOR])
{
	struct ddb_value v[1];
	char room[AWS_SWEEP_CURSOR];
	struct ev_str id;
	ev_err e;

	if (next.n == 0) {
		cursor[0] = '\0';
		return EV_OK;
	}
	e = ddb_read_fields(next, &key, 1, v);
	if (e == EV_OK)
		e = ddb_value_text(&v[0], room, sizeof(room) - 1, &id);
	if (e != EV_OK || id.n >= AWS_SWEEP_CURSOR)
		return EV_IO;
	memcpy(cursor, id.p, id.n);
	cursor[id.n] = '\0';
	return EV_OK;
}

static ev_err sweep_page(const struct aws_sweep *w, const char *table, const char *key,
			 char cursor[AWS_SWEEP_CURSOR], ddb_item_fn fn, struct visit *v)
{
	char start_room[256];
	char next_room[512];
	struct ev_buf start = ev_buf_over(start_room, sizeof(start_room));
	struct ev_buf next = ev_buf_over(next_room, sizeof(next_room));
	struct ddb_io io = io_of(w);
	bool more = true;
	ev_err e = read_cursor(cursor, key, &start);

	if (e == EV_OK)
		e = ddb_scan_page(&io, table, ev_buf_str(&start), 0, &next, &more, fn, v);
	return e == EV_OK ? write_cursor(ev_buf_str(&next), key, cursor) : e;
}

ev_err aws_sweep_outlets(const struct aws_sweep *w, char cursor[AWS_SWEEP_CURSOR],
			 void (*visit)(void *user, const struct ev_uuid *id), void *user)
{
	struct visit v = { w, visit, user };

	return sweep_page(w, w->resources->outlets, "outletId", cursor, visit_outlet, &v);
}

ev_err aws_sweep_sessions(const struct aws_sweep *w, char cursor[AWS_SWEEP_CURSOR],
			  void (*visit)(void *user, const struct ev_uuid *id), void *user)
{
	struct visit v = { w, visit, user };

	return sweep_page(w, w->resources->sessions, "sessionId", cursor, visit_session, &v);
}

static ev_err read_sweep(struct ddb_io *io, const struct aws_sweep *w, bool sessions, bool *out_had,
			 struct own_sweep *out)
{
	struct own_key key = own_sweep_key(sessions);
	struct ddb_batch b;
	struct ev_str item;
	ev_err e;

	ddb_batch_init(&b, io);
	ddb_add_get_own(&b, w->resources->items, &key);
	ddb_batch_run(&b);
	e = ddb_get_item(&b, 0, &item);
	*out_had = e == EV_OK;
	if (e == EV_OK)
		e = own_sweep_read(item, out);
	ddb_batch_deinit(&b);
	return e == EV_NOTFOUND ? EV_OK : e;
}

ev_err aws_sweep_claim(const struct aws_sweep *w, bool sessions, struct ev_str worker,
		       int64_t now_ns, int64_t interval_ns)
{
	struct ddb_io io = io_of(w);
	struct own_sweep was = { .version = 0 };
	struct own_sweep now = { .sessions = sessions, .version = 1, .at_ns = now_ns };
	struct json_writer json;
	struct ddb_batch b;
	bool had = false;
	ev_err e = read_sweep(&io, w, sessions, &had, &was);

	if (e != EV_OK)
		return e;
	if (had && was.at_ns > now_ns - interval_ns && !ev_str_eq(ev_str_from(was.owner), worker))
		return EV_BUSY;
	now.version = was.version + 1;
	memcpy(now.owner, worker.p, worker.n < OWN_GATEWAY_MAX ? worker.n : OWN_GATEWAY_MAX);
	ddb_batch_init(&b, &io);
	json = ddb_batch_open(&b, "UpdateItem", w->resources->items, "sweep", OWN_JSON_MAX);
	own_sweep_update(had ? &was : NULL, &now, &json);
	ddb_batch_shut(&b, &json);
	ddb_batch_run(&b);
	e = ddb_batch_result(&b, 0);
	ddb_batch_deinit(&b);
	return e == EV_CONFLICT ? EV_BUSY : e;
}
