#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/time.h"
#include "core/machine.h"
#include "engine/embedded/internal.h"

/* Room for effects that a busy group leaves behind, in entries; more is given back. */
#define EFFECTS_KEPT 1024

const int64_t embedded_commit_bounds[EMBEDDED_HISTOGRAM - 1] = {
	250 * EV_NS_PER_US, 500 * EV_NS_PER_US, 1 * EV_NS_PER_MS,   2 * EV_NS_PER_MS,
	5 * EV_NS_PER_MS,   10 * EV_NS_PER_MS,  20 * EV_NS_PER_MS,  50 * EV_NS_PER_MS,
	100 * EV_NS_PER_MS, 250 * EV_NS_PER_MS, 1000 * EV_NS_PER_MS
};

ev_err embedded_note(struct embedded *e, ev_err err, const char *what)
{
	if (err == EV_OK || err == EV_NOTFOUND)
		return err;
	int rc = sqlite3_extended_errcode(e->sql.db);

	if (sql_map(e->sql.db, rc) == err)
		(void)sql_fail(e->sql.db, rc, what, &e->last_fail);
	else
		(void)ev_fail_set(&e->last_fail, err, 0, "%s: %s", what, ev_err_text(err));
	return err;
}

ev_err group_lose(struct embedded *e, ev_err err, const char *what)
{
	(void)embedded_note(e, err, what);
	if (e->group.lost == EV_OK)
		e->group.lost = err;
	return err;
}

ev_err group_begin(struct store *s)
{
	struct embedded *e = embedded_of(s);

	if (e->group.open)
		return EV_BUSY;
	checkpoint_finish(&e->checkpoint, e->sql.db);
	e->group = (struct group){ .open = true, .before = e->marks };
	return EV_OK;
}

ev_err group_write(struct embedded *e)
{
	if (e->group.begun)
		return EV_OK;
	struct sql_bind b = sql_bind(&e->sql, SQL_BEGIN);
	ev_err err = sql_run(&b);

	e->group.begun = err == EV_OK;
	return err;
}

static ev_err write_session(struct embedded *e, struct session_entry *s)
{
	uint8_t extra[SESSION_BLOB_MAX];
	struct sql_bind b = sql_bind(&e->sql,
				     s->reindex ? SQL_SESSION_UPDATE_ALL : SQL_SESSION_UPDATE);

	bind_session_state(&b, &s->row, extra);
	if (s->reindex) {
		bind_opt_uuid(&b, s->row.has_customer, &s->row.customer_id);
		bind_uuid(&b, &s->row.outlet_id);
		bind_i64(&b, s->row.start_ns);
		bind_i64(&b, session_is_live(s->row.state));
	}
	bind_i64(&b, s->node.n);
	return sql_run(&b);
}

static ev_err write_outlet(struct embedded *e, struct outlet_entry *o)
{
	uint8_t extra[OUTLET_BLOB_MAX];
	struct outlet_input in;
	int64_t wake_ns = 0;
	bool has_wake = outlet_next_timer(&o->row, &e->o.rules, &wake_ns, &in);
	/* A plain report leaves the timer alone, and with it the index. */
	bool moved = has_wake != o->has_wake || (has_wake && wake_ns != o->wake_ns);
	struct sql_bind b = sql_bind(&e->sql, moved ? SQL_OUTLET_UPDATE_WAKE : SQL_OUTLET_UPDATE);

	bind_outlet_state(&b, &o->row, extra);
	bind_i64(&b, o->last_event);
	bind_i64(&b, o->last_block);
	if (moved)
		bind_opt_i64(&b, has_wake, wake_ns);
	bind_i64(&b, o->node.n);

	ev_err err = sql_run(&b);

	if (err == EV_OK) {
		o->has_wake = has_wake;
		o->wake_ns = wake_ns;
	}
	return err;
}

/*
 * Some failures roll the transaction back by themselves; what a lost group wrote after that would
 * be durable at once.
 */
ev_err group_flush_sessions(struct embedded *e)
{
	const struct cache_dirty *dirty = NULL;
	size_t n = 0;
	ev_err err = e->group.lost;

	if (err == EV_OK)
		err = cache_list_dirty(&e->sessions, &dirty, &n);

	for (size_t i = 0; err == EV_OK && i < n; i++) {
		struct session_entry *s = (struct session_entry *)dirty[i].node;

		err = write_session(e, s);
		if (err != EV_OK)
			break;
		s->node.dirty = false;
		s->reindex = false;
		e->counts.rows_written++;
	}
	return err == EV_OK || err == e->group.lost ? err : group_lose(e, err, "write a session");
}

ev_err group_flush_outlets(struct embedded *e)
{
	const struct cache_dirty *dirty = NULL;
	size_t n = 0;
	ev_err err = e->group.lost;

	if (err == EV_OK)
		err = cache_list_dirty(&e->outlets, &dirty, &n);

	for (size_t i = 0; err == EV_OK && i < n; i++) {
		err = write_outlet(e, (struct outlet_entry *)dirty[i].node);
		if (err != EV_OK)
			break;
		dirty[i].node->dirty = false;
		e->counts.rows_written++;
	}
	return err == EV_OK || err == e->group.lost ? err : group_lose(e, err, "write an outlet");
}

static void trim_effects(struct effects *f)
{
	f->n_events = 0;
	f->n_commands = 0;
	if (f->max_events > EFFECTS_KEPT) {
		free(f->events);
		f->events = NULL;
		f->max_events = 0;
	}
	if (f->max_commands > EFFECTS_KEPT) {
		free(f->commands);
		f->commands = NULL;
		f->max_commands = 0;
	}
}

static void roll_back(struct embedded *e)
{
	/* Some failures have rolled back by themselves. */
	if (sqlite3_get_autocommit(e->sql.db) == 0) {
		struct sql_bind b = sql_bind(&e->sql, SQL_ROLLBACK);
		ev_err err = sql_run(&b);

		/* It only fails where nothing is open; the next BEGIN would tell. */
		(void)err;
	}
	cache_drop_touched(&e->outlets);
	cache_drop_touched(&e->sessions);
	e->marks = e->group.before;
	trim_effects(&e->effects);
}

static ev_err commit(struct embedded *e)
{
	ev_err err = e->group.lost;

	if (err == EV_OK)
		err = group_flush_sessions(e);
	if (err == EV_OK)
		err = group_flush_outlets(e);
	if (err != EV_OK || !e->group.begun)
		return err;
	struct sql_bind b = sql_bind(&e->sql, SQL_COMMIT);

	return embedded_note(e, sql_run(&b), "commit");
}

static void tell(struct embedded *e)
{
	const struct embedded_listener *l = &e->listener;

	for (size_t i = 0; l->on_event != NULL && i < e->effects.n_events; i++)
		l->on_event(l->user, &e->effects.events[i]);
	for (size_t i = 0; l->on_command != NULL && i < e->effects.n_commands; i++)
		l->on_command(l->user, &e->effects.commands[i]);
	trim_effects(&e->effects);
}

static void count_group(struct embedded *e, ev_err err, int64_t took_ns)
{
	struct embedded_stats *c = &e->counts;
	unsigned i = 0;

	if (e->group.n_units == 0)
		return;
	c->groups++;
	c->failed_groups += err != EV_OK;
	while (i < EMBEDDED_HISTOGRAM - 1 && took_ns > embedded_commit_bounds[i])
		i++;
	c->commit_time[i]++;
	c->commit_ns_sum += (uint64_t)took_ns;
	group_publish_stats(e);
}

void group_publish_stats(struct embedded *e)
{
	struct embedded_stats *c = &e->counts;

	c->outlet_hits = e->outlets.hits;
	c->outlet_misses = e->outlets.misses;
	c->session_hits = e->sessions.hits;
	c->session_misses = e->sessions.misses;
	c->outlets_cached = cache_len(&e->outlets);
	c->sessions_cached = cache_len(&e->sessions);
	(void)pthread_mutex_lock(&e->stats_lock);
	e->published = *c;
	(void)pthread_mutex_unlock(&e->stats_lock);
}

/* While a reader keeps the log from starting anew, it is checkpointed as it grows, not always. */
static void watch_log(struct embedded *e)
{
	uint64_t pages = e->counts.wal_pages;

	if (pages < e->log_seen)
		e->log_limit = e->o.checkpoint_pages;
	e->log_seen = pages;
	if (pages < e->log_limit)
		return;
	e->log_limit = pages + e->o.checkpoint_pages;
	checkpoint_want(&e->checkpoint);
}

ev_err group_end(struct store *s)
{
	struct embedded *e = embedded_of(s);

	if (!e->group.open)
		return EV_INVALID;
	int64_t from_ns = ev_clock_mono_ns(ev_clock_os());
	ev_err err = commit(e);

	if (err == EV_OK) {
		cache_settle(&e->outlets);
		cache_settle(&e->sessions);
	} else {
		roll_back(e);
	}
	count_group(e, err, ev_clock_mono_ns(ev_clock_os()) - from_ns);
	e->group.open = false;
	if (err == EV_OK)
		tell(e);
	watch_log(e);
	return err;
}

void group_abandon(struct store *s)
{
	struct embedded *e = embedded_of(s);

	if (!e->group.open)
		return;
	roll_back(e);
	e->group.open = false;
}
