#include <assert.h>

#include "engine/aws/store_internal.h"

/*
 * What rows have unsent: sent in sequence, then cleared by a write of its own, but for the events
 * of plain reports, which the row's next write clears.
 */

static void take_effect(struct aws_effect *out, const struct row_effect *e)
{
	out->is_command = e->is_command;
	if (e->is_command)
		out->command = e->command;
	else
		out->event = e->event;
}

ev_err row_send(struct aws_store *s, struct aws_row *r)
{
	struct aws_effect effects[ROW_EFFECTS_MAX];
	const struct row_effects *e = r->effects;
	size_t n = 0;
	size_t sent = 0;
	ev_err err;

	for (unsigned i = r->n_sent; e != NULL && i < e->n; i++)
		take_effect(&effects[n++], &e->of[i]);
	if (n == 0)
		return EV_OK;
	err = s->c.sender->ops->send(s->c.sender, effects, n, &sent);
	assert(sent <= n);
	for (size_t i = 0; i < sent; i++) {
		s->stats.commands += effects[i].is_command;
		s->stats.events += !effects[i].is_command;
	}
	r->n_sent += (unsigned)sent;
	if (err == EV_OK && sent < n)
		err = EV_IO;
	if (err != EV_OK)
		(void)ev_fail_set(&s->io.fail, err, 0, "%s: not sent: %s",
				  effects[sent < n ? sent : n - 1].is_command
					  ? s->c.resources->commands_out
					  : s->c.resources->event_stream,
				  ev_err_text(err));
	return err;
}

ev_err row_clear(struct aws_store *s, struct aws_row *r)
{
	struct ddb_batch b;
	ev_err e;

	ddb_batch_init(&b, &s->io);
	row_add_clear(s, &b, r);
	ddb_batch_run(&b);
	e = ddb_batch_result(&b, 0);
	if (e == EV_OK) {
		row_set_effects(r, NULL);
		row_after_free(r->extra.after);
		r->extra.after = NULL;
	} else if (e == EV_CONFLICT || ddb_batch_is_unsure(&b, 0)) {
		s->stats.conflicts += e == EV_CONFLICT;
		r->stale = true;
	}
	ddb_batch_deinit(&b);
	aws_cache_settle(&s->cache, r, &s->c.rules, s->c.max_pinned);
	return e;
}

/* Sends and does all that is left with a row; plain_too: clears it in any case. */
static ev_err finish(struct aws_store *s, struct aws_row *r, bool plain_too)
{
	ev_err e = row_send(s, r);

	if (e == EV_OK)
		e = puts_after(s, r->extra.after);
	if (e == EV_OK && (r->effects != NULL || r->extra.after != NULL) &&
	    (plain_too || !row_is_plain(r)))
		return row_clear(s, r);
	aws_cache_settle(&s->cache, r, &s->c.rules, s->c.max_pinned);
	return e;
}

static int64_t unsent_since(const struct aws_row *r)
{
	return r->effects != NULL ? r->effects->since_ns : INT64_MIN;
}

static ev_err flush_row(struct aws_store *s, struct aws_row *r, int64_t before_ns)
{
	ev_err e = EV_OK;

	if (r->stale)
		e = row_reload(s, r);
	if (e == EV_NOTFOUND)
		return EV_OK; /* and the row is forgotten */
	if (e != EV_OK || !row_is_unsent(r) || unsent_since(r) >= before_ns)
		return e;
	e = finish(s, r, false);
	return e == EV_CONFLICT ? EV_OK : e;
}

ev_err aws_store_flush(struct aws_store *s, int64_t before_ns, size_t *out_left)
{
	struct aws_row *r = s->cache.unsent;
	ev_err first = EV_OK;

	if (s->group.open)
		return EV_BUSY;
	while (r != NULL) {
		struct aws_row *next = r->next_unsent;
		ev_err e = flush_row(s, r, before_ns);

		if (first == EV_OK && e != EV_CORRUPT)
			first = e;
		if (e == EV_CLOSED)
			break;
		r = next;
	}
	*out_left = s->cache.n_unsent;
	return first;
}

static ev_err adopt(struct aws_store *s, enum row_kind kind, const struct ev_uuid *id,
		    int64_t before_ns)
{
	struct aws_row *r = aws_cache_find(&s->cache, kind, id);
	ev_err e;

	if (s->group.open)
		return EV_BUSY;
	/* Somebody else may have written it since. */
	e = r != NULL ? row_reload(s, r) : row_get(s, kind, id, &r);
	if (e != EV_OK || (r->effects == NULL && r->extra.after == NULL) ||
	    unsent_since(r) >= before_ns)
		return e;
	e = finish(s, r, true);
	return e == EV_CONFLICT ? EV_OK : e;
}

ev_err aws_store_adopt(struct aws_store *s, const struct ev_uuid *outlet_id, int64_t before_ns)
{
	return adopt(s, ROW_OUTLET, outlet_id, before_ns);
}

/* A session that the original began is not among the live ones yet. */
static ev_err list_foreign(struct aws_store *s, const struct ev_uuid *id)
{
	struct aws_row *r = NULL;
	ev_err e = row_get(s, ROW_SESSION, id, &r);

	return e == EV_OK && r->unversioned ? put_live(s, &session_of(r)->row) : e;
}

ev_err aws_store_adopt_session(struct aws_store *s, const struct ev_uuid *session_id,
			       int64_t before_ns)
{
	ev_err e = adopt(s, ROW_SESSION, session_id, before_ns);

	return e == EV_OK ? list_foreign(s, session_id) : e;
}
