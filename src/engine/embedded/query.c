#include <stdlib.h>
#include <string.h>

#include "engine/embedded/internal.h"

struct embedded_query {
	struct query query; /* first */
	struct sql sql;
};

static struct sql *sql_of(struct query *q)
{
	return &((struct embedded_query *)q)->sql;
}

static int64_t before_or_end(int64_t before_ns)
{
	return before_ns == 0 ? INT64_MAX : before_ns;
}

static void bind_limit(struct sql_bind *b, size_t limit)
{
	bind_i64(b, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
}

static void bind_after(struct sql_bind *b, const struct ev_uuid *after)
{
	bind_blob(b, after != NULL ? after->b : NULL, after != NULL ? sizeof(after->b) : 0);
}

/* Ends a list: whether it ran out, was stopped or broke off. */
static ev_err list_end(struct sql_bind *b, ev_err err)
{
	if (err == EV_OK) /* stopped on a row */
		sql_done(b);
	return err == EV_NOTFOUND ? EV_OK : err;
}

/* The end of a look-up of one row. */
static ev_err row_end(struct sql_bind *b, const struct sql_cols *c)
{
	bool bad = c->bad;

	sql_done(b);
	return bad ? EV_CORRUPT : EV_OK;
}

static ev_err broken(struct sql_bind *b)
{
	sql_done(b);
	return EV_CORRUPT;
}

static ev_err outlets(struct query *q, const struct outlet_filter *f, const struct ev_uuid *after,
		      size_t limit, outlet_visit_fn fn, void *user)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_OUTLETS);
	ev_err err;

	bind_after(&b, after);
	bind_opt_i64(&b, f->has_state, f->state);
	bind_opt_uuid(&b, f->has_group, &f->group_id);
	bind_i64(&b, f->with_retired);
	bind_limit(&b, limit);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		struct outlet_row row;

		col_outlet(&c, &row.outlet);
		col_info(&c, &row.info);
		if (c.bad)
			return broken(&b);
		if (!fn(user, &row))
			break;
	}
	return list_end(&b, err);
}

static ev_err outlet(struct query *q, const struct ev_uuid *id, struct outlet_row *out)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_OUTLET);
	struct outlet_row row;

	bind_uuid(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	col_outlet(&c, &row.outlet);
	col_info(&c, &row.info);
	err = row_end(&b, &c);
	if (err == EV_OK)
		*out = row;
	return err;
}

static ev_err event_at(struct sql *sql, int64_t seq, struct stored_event *out, int64_t *out_prev)
{
	struct sql_bind b = sql_bind(sql, QUERY_EVENT);

	bind_i64(&b, seq);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	col_event(&c, out, out_prev);
	return row_end(&b, &c);
}

static ev_err last_event(struct sql *sql, const struct ev_uuid *outlet_id, int64_t *out)
{
	struct sql_bind b = sql_bind(sql, QUERY_LAST_EVENT);

	bind_uuid(&b, outlet_id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	*out = col_i64(&c);
	return row_end(&b, &c);
}

/* Where to enter the chain: after an event of this outlet at its predecessor, else at its end. */
static ev_err enter_chain(struct sql *sql, const struct ev_uuid *outlet_id, uint64_t before,
			  int64_t *out)
{
	struct stored_event e;
	int64_t prev = 0;

	if (before != 0 && before <= INT64_MAX &&
	    event_at(sql, (int64_t)before, &e, &prev) == EV_OK &&
	    ev_uuid_eq(&e.event.outlet_id, outlet_id)) {
		*out = prev;
		return EV_OK;
	}
	return last_event(sql, outlet_id, out);
}

static ev_err walk_chain(struct sql *sql, const struct ev_uuid *outlet_id, uint64_t before,
			 size_t limit, event_visit_fn fn, void *user)
{
	int64_t seq = 0;
	size_t n = 0;
	ev_err err = enter_chain(sql, outlet_id, before, &seq);

	while (err == EV_OK && seq != 0 && n < limit) {
		struct stored_event e;
		int64_t prev = 0;

		err = event_at(sql, seq, &e, &prev);
		/* Retention cuts chains: what is missing, or another's, is the end. */
		if (err != EV_OK || !ev_uuid_eq(&e.event.outlet_id, outlet_id))
			break;
		seq = prev;
		if (before != 0 && e.seq >= before)
			continue;
		n++;
		if (!fn(user, &e))
			break;
	}
	return err == EV_NOTFOUND ? EV_OK : err;
}

static ev_err run(struct sql *sql, enum query_sql which)
{
	struct sql_bind b = sql_bind(sql, which);

	return sql_run(&b);
}

static ev_err outlet_events(struct query *q, const struct ev_uuid *outlet_id, uint64_t before,
			    size_t limit, event_visit_fn fn, void *user)
{
	struct sql *sql = sql_of(q);
	/* One picture for the whole walk. */
	ev_err err = run(sql, QUERY_BEGIN);

	if (err != EV_OK)
		return err;
	err = walk_chain(sql, outlet_id, before, limit, fn, user);
	ev_err end = run(sql, QUERY_END);

	return err != EV_OK ? err : end;
}

static ev_err events(struct query *q, uint64_t after, size_t limit, event_visit_fn fn, void *user)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_EVENTS);
	ev_err err;

	bind_i64(&b, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	bind_limit(&b, limit);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		struct stored_event e;
		int64_t prev = 0;

		col_event(&c, &e, &prev);
		if (c.bad)
			return broken(&b);
		if (!fn(user, &e))
			break;
	}
	return list_end(&b, err);
}

static ev_err session(struct query *q, const struct ev_uuid *id, struct session *out)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_SESSION);
	struct session s;

	bind_uuid(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	col_session(&c, &s);
	err = row_end(&b, &c);
	if (err == EV_OK)
		*out = s;
	return err;
}

static ev_err visit_sessions(struct sql_bind *b, session_visit_fn fn, void *user)
{
	ev_err err;

	while ((err = sql_next(b)) == EV_OK) {
		struct sql_cols c = sql_cols(b);
		struct session s;

		col_session(&c, &s);
		if (c.bad)
			return broken(b);
		if (!fn(user, &s))
			break;
	}
	return list_end(b, err);
}

static ev_err history(struct query *q, const struct ev_uuid *customer_id, int64_t before_ns,
		      size_t limit, session_visit_fn fn, void *user)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_HISTORY);

	bind_uuid(&b, customer_id);
	bind_i64(&b, before_or_end(before_ns));
	bind_limit(&b, limit);
	return visit_sessions(&b, fn, user);
}

static ev_err sessions(struct query *q, bool live_only, int64_t heard_before_ns, int64_t before_ns,
		       size_t limit, session_visit_fn fn, void *user)
{
	struct sql_bind b = sql_bind(sql_of(q), live_only ? QUERY_SESSIONS_LIVE : QUERY_SESSIONS);

	bind_i64(&b, before_or_end(before_ns));
	bind_i64(&b, before_or_end(heard_before_ns));
	bind_limit(&b, limit);
	return visit_sessions(&b, fn, user);
}

static ev_err customer(struct query *q, const struct ev_uuid *id, struct customer *out)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_CUSTOMER);
	struct customer customer;

	bind_uuid(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	col_customer(&c, &customer);
	err = row_end(&b, &c);
	if (err == EV_OK)
		*out = customer;
	return err;
}

static ev_err customers(struct query *q, const struct ev_uuid *after, size_t limit,
			customer_visit_fn fn, void *user)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_CUSTOMERS);
	ev_err err;

	bind_after(&b, after);
	bind_limit(&b, limit);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		struct customer customer;

		col_customer(&c, &customer);
		if (c.bad)
			return broken(&b);
		if (!fn(user, &customer))
			break;
	}
	return list_end(&b, err);
}

static ev_err unassigned(struct query *q, const struct ev_uuid *outlet_id, bool open_only,
			 size_t limit, item_visit_fn fn, void *user)
{
	struct sql_bind b = sql_bind(sql_of(q),
				     outlet_id != NULL ? QUERY_ITEMS_OF_OUTLET : QUERY_ITEMS);
	ev_err err;

	if (outlet_id != NULL)
		bind_uuid(&b, outlet_id);
	bind_i64(&b, open_only);
	bind_limit(&b, limit);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		struct unassigned_item item;

		col_item(&c, &item);
		if (c.bad)
			return broken(&b);
		if (!fn(user, &item))
			break;
	}
	return list_end(&b, err);
}

static ev_err dead_letters(struct query *q, bool all, uint64_t before, size_t limit,
			   dead_letter_visit_fn fn, void *user)
{
	struct sql_bind b = sql_bind(sql_of(q), all ? QUERY_DEAD_LETTERS : QUERY_DEAD_LETTERS_OPEN);
	ev_err err;

	bind_i64(&b, before == 0 || before > INT64_MAX ? INT64_MAX : (int64_t)before);
	bind_limit(&b, limit);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		struct dead_letter d;

		col_dead_letter(&c, &d);
		if (c.bad)
			return broken(&b);
		if (!fn(user, &d))
			break;
	}
	return list_end(&b, err);
}

static ev_err dead_letter(struct query *q, const struct identity *id, struct dead_letter *out,
			  char *body_out)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_DEAD_LETTER);
	struct dead_letter d;

	bind_identity(&b, id);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	col_dead_letter(&c, &d);
	if (!c.bad && d.body.n > 0)
		memcpy(body_out, d.body.p, d.body.n);
	d.body.p = body_out;
	err = row_end(&b, &c);
	if (err == EV_OK)
		*out = d;
	return err;
}

static ev_err books(struct query *q, struct energy_books *out)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_BOOKS);
	struct energy_books books;
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err;
	struct sql_cols c = sql_cols(&b);

	books.outlets_total_mwh = col_i64(&c);
	books.outlets_unassigned_mwh = col_i64(&c);
	books.sessions_mwh = col_i64(&c);
	books.items_open_mwh = col_i64(&c);
	books.n_outlets = col_u64(&c);
	books.n_sessions = col_u64(&c);
	books.n_live_sessions = col_u64(&c);
	books.n_customers = col_u64(&c);
	books.n_events = col_u64(&c);
	books.n_commands = col_u64(&c);
	books.n_dead_letters_open = col_u64(&c);
	books.n_parked = col_u64(&c);
	books.n_items_open = col_u64(&c);
	err = row_end(&b, &c);
	if (err == EV_OK)
		*out = books;
	return err;
}

ev_err query_check_books(struct query *q, struct ev_uuid *out_id)
{
	struct sql_bind b = sql_bind(sql_of(q), QUERY_UNBALANCED);
	ev_err err = sql_next(&b);

	if (err != EV_OK)
		return err == EV_NOTFOUND ? EV_OK : err;
	struct sql_cols c = sql_cols(&b);

	*out_id = col_uuid(&c);
	sql_done(&b);
	return EV_CORRUPT;
}

static void query_free(struct query *q)
{
	sql_close(sql_of(q));
	free(q);
}

static const struct query_ops embedded_query_ops = {
	.outlets = outlets,
	.outlet = outlet,
	.outlet_events = outlet_events,
	.events = events,
	.session = session,
	.history = history,
	.sessions = sessions,
	.customer = customer,
	.customers = customers,
	.unassigned = unassigned,
	.dead_letters = dead_letters,
	.dead_letter = dead_letter,
	.books = books,
	.free = query_free,
};

ev_err query_new(const struct sql_options *o, struct query **out, struct ev_fail *fail)
{
	struct embedded_query *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	q->query.ops = &embedded_query_ops;

	ev_err err = sql_open(&q->sql, o, query_sql_texts, QUERY_COUNT, fail);

	if (err != EV_OK) {
		free(q);
		return err;
	}
	*out = &q->query;
	return EV_OK;
}
