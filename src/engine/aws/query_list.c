#include <stdlib.h>

#include "core/machine.h"
#include "engine/aws/query_internal.h"

/*
 * Lists.  Outlets and customers come in the order of a Scan, which is the table's own and fixed;
 * what has an order of time comes from an index, which may lag a little, and rows are then read
 * consistently.  A row that cannot be read is left out: it is its own inputs' concern.
 */

#define GET_MAX 100 /* keys of a BatchGetItem */

ev_err refs_add(struct found_refs *l, int64_t at, const uint8_t id[16])
{
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 32 : l->cap * 2;
		struct found_ref *grown = reallocarray(l->of, cap, sizeof(*grown));

		if (grown == NULL)
			return EV_NOMEM;
		l->of = grown;
		l->cap = cap;
	}
	l->of[l->n].at = at;
	memcpy(l->of[l->n].id, id, 16);
	l->n++;
	return EV_OK;
}

static int by_newest(const void *a, const void *b)
{
	const struct found_ref *x = a;
	const struct found_ref *y = b;

	if (x->at != y->at)
		return x->at > y->at ? -1 : 1;
	return memcmp(y->id, x->id, sizeof(x->id));
}

void refs_sort(struct found_refs *l)
{
	if (l->n > 1)
		qsort(l->of, l->n, sizeof(l->of[0]), by_newest);
}

static int64_t before_or_end(int64_t before_ns)
{
	return before_ns == 0 ? INT64_MAX : before_ns;
}

/* --- whole tables --- */

struct scan {
	size_t left;
	const struct outlet_filter *filter;
	outlet_visit_fn outlet;
	customer_visit_fn customer;
	void *user;
};

static bool passes(const struct outlet_filter *f, const struct ddb_outlet *row)
{
	if (f->has_state && outlet_shown_state(&row->outlet) != f->state)
		return false;
	if (f->has_group && !ev_uuid_eq(&row->info.group_id, &f->group_id))
		return false;
	return f->with_retired || !row->outlet.retired;
}

static ev_err show_outlet(void *user, struct ev_str item, bool *more)
{
	struct scan *s = user;
	struct outlet_row shown;
	struct ddb_outlet row;

	if (ddb_outlet_read(item, &row) != EV_OK || !passes(s->filter, &row))
		return EV_OK;
	shown = (struct outlet_row){ row.outlet, row.info };
	*more = s->outlet(s->user, &shown) && --s->left > 0;
	return EV_OK;
}

static ev_err show_customer(void *user, struct ev_str item, bool *more)
{
	struct scan *s = user;
	struct ddb_customer row;

	if (ddb_customer_read(item, &row) != EV_OK)
		return EV_OK;
	*more = s->customer(s->user, &row.customer) && --s->left > 0;
	return EV_OK;
}

/* Pages that are as long as what is still wanted. */
static ev_err scan_from(struct aws_query *q, const char *table,
			void (*write_key)(const struct ev_uuid *, struct json_writer *),
			const struct ev_uuid *after, ddb_item_fn fn, struct scan *s)
{
	char room[512];
	struct ev_buf key = ev_buf_over(room, sizeof(room));
	struct json_writer w = json_writer_over(&key);
	bool more = s->left > 0;
	ev_err e = EV_OK;

	if (after != NULL)
		write_key(after, &w);
	while (more && e == EV_OK) {
		unsigned page = s->left < 1000 ? (unsigned)s->left : 1000;

		e = ddb_scan_page(&q->io, table, ev_buf_str(&key), page, &key, &more, fn, s);
		more = more && key.len > 0;
	}
	return e;
}

ev_err query_outlets(struct query *query, const struct outlet_filter *f,
		     const struct ev_uuid *after, size_t limit, outlet_visit_fn fn, void *user)
{
	struct aws_query *q = aws_query_of(query);
	struct scan s = { .left = limit, .filter = f, .outlet = fn, .user = user };

	return scan_from(q, q->resources->outlets, ddb_outlet_key, after, show_outlet, &s);
}

ev_err query_customers(struct query *query, const struct ev_uuid *after, size_t limit,
		       customer_visit_fn fn, void *user)
{
	struct aws_query *q = aws_query_of(query);
	struct scan s = { .left = limit, .customer = fn, .user = user };

	return scan_from(q, q->resources->customers, ddb_customer_key, after, show_customer, &s);
}

/* --- sessions by their ids --- */

/* Rows as they come in, each at the place of its id; those not found keep version 0. */
struct fetch {
	const struct found_ref *refs;
	size_t n;
	struct session *rows;
};

static ev_err take_row(struct fetch *f, struct ev_str item)
{
	struct ddb_session row;

	if (ddb_session_read(item, &row) != EV_OK)
		return EV_OK;
	for (size_t i = 0; i < f->n; i++) {
		if (memcmp(f->refs[i].id, row.session.id.b, 16) == 0)
			f->rows[i] = row.session;
	}
	return EV_OK;
}

static ev_err take_rows(struct ddb_batch *b, const char *table, struct fetch *f)
{
	struct json_reader r;
	struct json_span key;
	struct ev_str tables;
	struct ev_str item;
	bool more = false;
	ev_err e = ddb_answer(b, 0, "Responses", &tables);

	if (e != EV_OK)
		return e;
	json_read_init(&r, tables, NULL);
	e = json_read_object(&r);
	if (e == EV_OK)
		e = json_read_key(&r, &more, &key);
	if (e == EV_OK && more)
		e = json_read_array(&r);
	while (e == EV_OK && more && (e = json_read_item(&r, &more)) == EV_OK && more) {
		e = json_skip(&r, &item);
		if (e == EV_OK)
			e = take_row(f, item);
	}
	return e == EV_OK ? EV_OK : ddb_fail(b->io, EV_IO, table, "the answer cannot be read");
}

static void write_keys(struct ev_buf *out, const char *table, const struct fetch *f)
{
	struct json_writer w = json_writer_over(out);

	json_write_object(&w);
	json_write_string(&w, ev_str_from(table));
	ev_buf_char(out, ':');
	w.comma = false;
	json_write_object(&w);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	json_write_key(&w, "Keys");
	json_write_array(&w);
	for (size_t i = 0; i < f->n; i++) {
		struct ev_uuid id;

		memcpy(id.b, f->refs[i].id, sizeof(id.b));
		ddb_session_key(&id, &w);
	}
	json_write_array_end(&w);
	json_write_object_end(&w);
	json_write_object_end(&w);
}

#define KEYS_ROOM (GET_MAX * 96 + 512)

/* What the service leaves for later is asked for again, after a while. */
static ev_err fetch_rows(struct aws_query *q, struct fetch *f)
{
	const char *table = q->resources->sessions;
	struct aws_caller *c = q->io.caller;
	struct aws_retry retry = { .attempts = 0 };
	char room[KEYS_ROOM];
	struct ev_buf keys = ev_buf_over(room, sizeof(room));
	int64_t delay_ns = 0;
	ev_err e = EV_OK;

	write_keys(&keys, table, f);
	while (e == EV_OK && keys.len > 2) { /* more than {} */
		struct ddb_batch b;
		struct json_writer w;
		struct ev_str left = { NULL, 0 };

		ddb_batch_init(&b, &q->io);
		w = ddb_batch_open(&b, "BatchGetItem", "", "", sizeof(room) + 64);
		json_write_key(&w, "RequestItems");
		json_write_raw(&w, ev_buf_str(&keys));
		ddb_batch_shut(&b, &w);
		ddb_batch_run(&b);
		e = ddb_batch_result(&b, 0);
		if (e == EV_OK)
			e = take_rows(&b, table, f);
		if (e == EV_OK)
			e = ddb_answer(&b, 0, "UnprocessedKeys", &left);
		keys.len = 0;
		ev_buf_str_add(&keys, left);
		ddb_batch_deinit(&b);
		if (e != EV_OK || keys.len <= 2)
			break;
		if (!aws_retry_again(c->ops->rules(c), c->ops->tokens(c), &retry,
				     AWS_ERROR_THROTTLED, 0, c->ops->rng(c), &delay_ns))
			return ddb_fail(&q->io, EV_BUSY, table, "throttled");
		c->ops->pause(c, delay_ns);
	}
	return e;
}

/* Which rows are shown, once they are read. */
struct showing {
	struct aws_query *q;
	size_t left;
	bool live_only;
	int64_t heard_before_ns; /* 0: whenever */
	int64_t before_ns;
	const struct ev_uuid *customer_id; /* NULL: anybody's */
	session_visit_fn fn;
	void *user;
};

static bool is_shown(const struct showing *s, const struct session *x)
{
	if (x->version == 0 || x->start_ns >= s->before_ns)
		return false;
	if (s->live_only && !session_is_live(x->state))
		return false;
	if (s->heard_before_ns != 0 && x->heard_ns >= s->heard_before_ns)
		return false;
	return s->customer_id == NULL ||
	       (x->has_customer && ev_uuid_eq(&x->customer_id, s->customer_id));
}

/* At most GET_MAX of them. */
static ev_err show_some(struct showing *s, const struct found_ref *refs, size_t n, bool *more)
{
	struct session *rows = calloc(n, sizeof(*rows));
	struct fetch f = { .refs = refs, .n = n, .rows = rows };
	ev_err e;

	if (rows == NULL)
		return EV_NOMEM;
	e = fetch_rows(s->q, &f);
	for (size_t i = 0; i < n && e == EV_OK && *more; i++) {
		if (is_shown(s, &rows[i]))
			*more = s->fn(s->user, &rows[i]) && --s->left > 0;
	}
	free(rows);
	return e;
}

static ev_err show_refs(struct showing *s, const struct found_refs *l)
{
	bool more = s->left > 0;
	ev_err e = EV_OK;

	for (size_t at = 0; at < l->n && more && e == EV_OK; at += GET_MAX) {
		size_t n = l->n - at < GET_MAX ? l->n - at : GET_MAX;

		e = show_some(s, l->of + at, n, &more);
	}
	return e;
}

static ev_err take_history(void *user, struct ev_str item, bool *more)
{
	static const char *const names[] = { "sessionId", "startTime" };
	struct found_refs *l = user;
	struct ddb_value v[2];
	struct ev_uuid id;
	int64_t start_ns;
	ev_err e = ddb_read_fields(item, names, 2, v);

	*more = true;
	if (e == EV_OK)
		e = ddb_value_uuid(&v[0], &id);
	if (e == EV_OK)
		e = ddb_value_time(&v[1], &start_ns);
	return e == EV_OK ? refs_add(l, start_ns, id.b) : e == EV_CORRUPT ? EV_OK : e;
}

ev_err query_history(struct query *query, const struct ev_uuid *customer_id, int64_t before_ns,
		     size_t limit, session_visit_fn fn, void *user)
{
	struct aws_query *q = aws_query_of(query);
	struct showing s = { .q = q, .left = limit, .fn = fn, .user = user };
	struct found_refs l = { .of = NULL };
	char text[EV_UUID_TEXT + 1];
	struct ddb_range r = {
		.table = q->resources->sessions,
		.index = q->resources->sessions_by_customer,
		.pk_name = "customerId",
	};
	size_t first = 0;
	ev_err e;

	ev_uuid_text(customer_id, text);
	r.pk = ev_str_from(text);
	s.before_ns = before_or_end(before_ns);
	s.customer_id = customer_id;
	e = ddb_query(&q->io, &r, take_history, &l);
	refs_sort(&l);
	while (first < l.n && l.of[first].at >= s.before_ns)
		first++;
	if (e == EV_OK && first < l.n) {
		struct found_refs rest = { .of = l.of + first, .n = l.n - first };

		e = show_refs(&s, &rest);
	}
	free(l.of);
	return e;
}

/* Refs of live sessions, shown in lots. */
struct live_walk {
	struct showing *s;
	struct found_ref lot[GET_MAX];
	size_t n;
};

static ev_err take_live(void *user, struct ev_str item, bool *more)
{
	struct live_walk *l = user;
	struct own_live live;
	ev_err e = EV_OK;

	if (own_live_read(item, &live) != EV_OK)
		return EV_OK;
	l->lot[l->n].at = live.start_ns;
	memcpy(l->lot[l->n].id, live.session_id.b, 16);
	if (++l->n == GET_MAX) {
		e = show_some(l->s, l->lot, l->n, more);
		l->n = 0;
	}
	return e;
}

static ev_err show_live(struct showing *s)
{
	struct aws_query *q = s->q;
	struct live_walk l = { .s = s };
	char hi[24];
	bool more = s->left > 0;
	struct ddb_range r = {
		.table = q->resources->items,
		.index = q->resources->items_index,
		.pk_name = AWS_ITEM_INDEX_PK,
		.pk = EV_LIT(OWN_INDEX_LIVE),
		.sk_name = AWS_ITEM_INDEX_SK,
		.lo = "0",
		.hi = hi,
		.backwards = true,
	};
	ev_err e;

	if (!more)
		return EV_OK;
	own_time_text(s->before_ns, hi);
	e = ddb_query(&q->io, &r, take_live, &l);
	if (e == EV_OK && l.n > 0 && s->left > 0)
		e = show_some(s, l.lot, l.n, &more);
	return e;
}

/* The newest of all sessions: the table is gone through, and the best so far are kept. */
struct best {
	const struct showing *s;
	struct session *of;
	size_t n, cap;
};

static int by_start(const void *a, const void *b)
{
	const struct session *x = a;
	const struct session *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns > y->start_ns ? -1 : 1;
	return memcmp(y->id.b, x->id.b, sizeof(x->id.b));
}

static ev_err keep_best(void *user, struct ev_str item, bool *more)
{
	struct best *b = user;
	struct ddb_session row;

	*more = true;
	if (ddb_session_read(item, &row) != EV_OK || !is_shown(b->s, &row.session))
		return EV_OK;
	if (b->n == b->cap) {
		qsort(b->of, b->n, sizeof(b->of[0]), by_start);
		b->n = b->s->left;
	}
	b->of[b->n++] = row.session;
	return EV_OK;
}

#define BEST_MAX 10000 /* rows that one list of all sessions gives at most */

static ev_err show_all(struct showing *s)
{
	struct best b = { .s = s };
	bool more = s->left > 0;
	ev_err e;

	s->left = s->left < BEST_MAX ? s->left : BEST_MAX;
	b.cap = 2 * s->left + 64;
	b.of = reallocarray(NULL, b.cap, sizeof(*b.of));
	if (b.of == NULL)
		return EV_NOMEM;
	e = more ? ddb_scan(&s->q->io, s->q->resources->sessions, keep_best, &b) : EV_OK;
	if (b.n > 1)
		qsort(b.of, b.n, sizeof(b.of[0]), by_start);
	for (size_t i = 0; i < b.n && e == EV_OK && more; i++)
		more = s->fn(s->user, &b.of[i]) && --s->left > 0;
	free(b.of);
	return e;
}

ev_err query_sessions(struct query *query, bool live_only, int64_t heard_before_ns,
		      int64_t before_ns, size_t limit, session_visit_fn fn, void *user)
{
	struct showing s = {
		.q = aws_query_of(query),
		.left = limit,
		.live_only = live_only,
		.heard_before_ns = heard_before_ns,
		.before_ns = before_or_end(before_ns),
		.fn = fn,
		.user = user,
	};

	return live_only ? show_live(&s) : show_all(&s);
}

/* --- energy that belonged to nobody --- */

struct item_walk {
	const struct ev_uuid *outlet_id;
	bool open_only;
	size_t left;
	item_visit_fn fn;
	void *user;
};

static ev_err show_item(void *user, struct ev_str item, bool *more)
{
	struct item_walk *w = user;
	struct unassigned_item i;

	if (own_unassigned_read(item, &i) != EV_OK || (w->open_only && i.attached) ||
	    (w->outlet_id != NULL && !ev_uuid_eq(&i.outlet_id, w->outlet_id)))
		return EV_OK;
	*more = w->fn(w->user, &i) && --w->left > 0;
	return EV_OK;
}

ev_err query_unassigned(struct query *query, const struct ev_uuid *outlet_id, bool open_only,
			size_t limit, item_visit_fn fn, void *user)
{
	struct aws_query *q = aws_query_of(query);
	struct item_walk w = { outlet_id, open_only, limit, fn, user };
	struct ddb_range r = {
		.table = q->resources->items,
		.index = q->resources->items_index,
		.pk_name = AWS_ITEM_INDEX_PK,
		.pk = EV_LIT(OWN_INDEX_ITEMS),
	};

	return limit > 0 ? ddb_query(&q->io, &r, show_item, &w) : EV_OK;
}

/* --- dead letters --- */

struct letter_walk {
	struct found_refs refs;
	size_t left;
};

static ev_err take_letter(void *user, struct ev_str item, bool *more)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct letter_walk *w = user;
	struct dead_letter d;

	if (own_letter_read(item, &d, body) != EV_OK)
		return EV_OK;
	*more = --w->left > 0;
	return refs_add(&w->refs, (int64_t)d.seq, d.id.b);
}

static ev_err find_letters(struct aws_query *q, const char *partition, uint64_t before,
			   size_t limit, struct letter_walk *w)
{
	char hi[24];
	struct ddb_range r = {
		.table = q->resources->items,
		.index = q->resources->items_index,
		.pk_name = AWS_ITEM_INDEX_PK,
		.pk = ev_str_from(partition),
		.sk_name = AWS_ITEM_INDEX_SK,
		.lo = "0",
		.hi = hi,
		.backwards = true,
		.page = limit < 100 ? (unsigned)limit : 100,
	};

	w->left = limit;
	own_time_text(before == 0 || before > INT64_MAX ? INT64_MAX : (int64_t)before, hi);
	return ddb_query(&q->io, &r, take_letter, w);
}

/* Bodies may be large: one letter at a time. */
static ev_err show_letters(struct aws_query *q, const struct found_refs *l, bool all, size_t limit,
			   dead_letter_visit_fn fn, void *user)
{
	char body[DEAD_LETTER_BODY_MAX];
	bool more = limit > 0;
	ev_err e = EV_OK;

	for (size_t i = 0; i < l->n && more && e == EV_OK; i++) {
		struct dead_letter d;
		struct identity id;

		memcpy(id.b, l->of[i].id, sizeof(id.b));
		e = q->base.ops->dead_letter(&q->base, &id, &d, body);
		if (e == EV_NOTFOUND || e == EV_CORRUPT) {
			e = EV_OK;
			continue;
		}
		if (e == EV_OK && (all || d.status == DEAD_LETTER_OPEN))
			more = fn(user, &d) && --limit > 0;
	}
	return e;
}

ev_err query_dead_letters(struct query *query, bool all, uint64_t before, size_t limit,
			  dead_letter_visit_fn fn, void *user)
{
	struct aws_query *q = aws_query_of(query);
	struct letter_walk w = { .left = 0 };
	ev_err e;

	if (limit == 0)
		return EV_OK;
	e = find_letters(q, OWN_INDEX_LETTERS_OPEN, before, limit, &w);
	if (e == EV_OK && all)
		e = find_letters(q, OWN_INDEX_LETTERS_CLOSED, before, limit, &w);
	refs_sort(&w.refs);
	if (e == EV_OK)
		e = show_letters(q, &w.refs, all, limit, fn, user);
	free(w.refs.of);
	return e;
}
