#include <stdlib.h>

#include "core/machine.h"
#include "engine/aws/query_internal.h"

/* port/query.h on DynamoDB: single rows, sums, and what a table of events would be needed for. */

static ev_err get_item(struct aws_query *q, const char *table,
		       void (*write_key)(const struct ev_uuid *, struct json_writer *),
		       const struct ev_uuid *id, struct ddb_batch *b, struct ev_str *out)
{
	char text[EV_UUID_TEXT + 1];
	struct json_writer w;

	ev_uuid_text(id, text);
	ddb_batch_init(b, &q->io);
	w = ddb_batch_open(b, "GetItem", table, text, 512);
	json_write_key(&w, "Key");
	write_key(id, &w);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	ddb_batch_shut(b, &w);
	ddb_batch_run(b);
	return ddb_get_item(b, 0, out);
}

static ev_err query_outlet(struct query *query, const struct ev_uuid *id, struct outlet_row *out)
{
	struct aws_query *q = aws_query_of(query);
	struct ddb_outlet row;
	struct ddb_batch b;
	struct ev_str item;
	ev_err e = get_item(q, q->resources->outlets, ddb_outlet_key, id, &b, &item);

	if (e == EV_OK)
		e = ddb_outlet_read(item, &row);
	ddb_batch_deinit(&b);
	if (e == EV_OK)
		*out = (struct outlet_row){ row.outlet, row.info };
	return e;
}

static ev_err query_session(struct query *query, const struct ev_uuid *id, struct session *out)
{
	struct aws_query *q = aws_query_of(query);
	struct ddb_session row;
	struct ddb_batch b;
	struct ev_str item;
	ev_err e = get_item(q, q->resources->sessions, ddb_session_key, id, &b, &item);

	if (e == EV_OK)
		e = ddb_session_read(item, &row);
	ddb_batch_deinit(&b);
	if (e == EV_OK)
		*out = row.session;
	return e;
}

static ev_err query_customer(struct query *query, const struct ev_uuid *id, struct customer *out)
{
	struct aws_query *q = aws_query_of(query);
	struct ddb_customer row;
	struct ddb_batch b;
	struct ev_str item;
	ev_err e = get_item(q, q->resources->customers, ddb_customer_key, id, &b, &item);

	if (e == EV_OK)
		e = ddb_customer_read(item, &row);
	ddb_batch_deinit(&b);
	if (e == EV_OK)
		*out = row.customer;
	return e;
}

static ev_err query_dead_letter(struct query *query, const struct identity *id,
				struct dead_letter *out, char *body_out)
{
	struct aws_query *q = aws_query_of(query);
	struct own_key key = own_letter_key(id);
	struct ddb_batch b;
	struct ev_str item;
	ev_err e;

	ddb_batch_init(&b, &q->io);
	ddb_add_get_own(&b, q->resources->items, &key);
	ddb_batch_run(&b);
	e = ddb_get_item(&b, 0, &item);
	if (e == EV_OK)
		e = own_letter_read(item, out, body_out);
	ddb_batch_deinit(&b);
	return e;
}

/* Events are a stream here, not a table: who wants them reads the stream. */
static ev_err query_outlet_events(struct query *query, const struct ev_uuid *outlet_id,
				  uint64_t before, size_t limit, event_visit_fn fn, void *user)
{
	(void)query;
	(void)outlet_id;
	(void)before;
	(void)limit;
	(void)fn;
	(void)user;
	return EV_UNSUPPORTED;
}

static ev_err query_events(struct query *query, uint64_t after, size_t limit, event_visit_fn fn,
			   void *user)
{
	(void)query;
	(void)after;
	(void)limit;
	(void)fn;
	(void)user;
	return EV_UNSUPPORTED;
}

/* --- the books: everything is read --- */

static ev_err sum_outlet(void *user, struct ev_str item, bool *more)
{
	struct energy_books *b = user;
	struct ddb_outlet row;

	*more = true;
	if (ddb_outlet_read(item, &row) != EV_OK) {
		b->is_part = true;
		return EV_OK;
	}
	b->n_outlets++;
	b->outlets_total_mwh += row.outlet.total_energy_mwh;
	b->outlets_unassigned_mwh += row.outlet.unassigned_mwh;
	return EV_OK;
}

static ev_err sum_session(void *user, struct ev_str item, bool *more)
{
	struct energy_books *b = user;
	struct ddb_session row;

	*more = true;
	if (ddb_session_read(item, &row) != EV_OK) {
		b->is_part = true;
		return EV_OK;
	}
	b->n_sessions++;
	b->n_live_sessions += session_is_live(row.session.state);
	b->sessions_mwh += row.session.energy_mwh;
	return EV_OK;
}

static ev_err count_customer(void *user, struct ev_str item, bool *more)
{
	struct energy_books *b = user;

	(void)item;
	*more = true;
	b->n_customers++;
	return EV_OK;
}

static ev_err sum_unassigned(struct energy_books *b, struct ev_str item)
{
	struct unassigned_item i;
	ev_err e = own_unassigned_read(item, &i);

	if (e == EV_OK && !i.attached) {
		b->n_items_open++;
		b->items_open_mwh += i.mwh;
	}
	return e;
}

static ev_err count_letter(struct energy_books *b, struct ev_str item)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct dead_letter d;
	ev_err e = own_letter_read(item, &d, body);

	b->n_dead_letters_open += e == EV_OK && d.status == DEAD_LETTER_OPEN;
	return e;
}

static ev_err add_own(struct energy_books *b, struct ev_str item)
{
	enum own_kind kind;
	ev_err e = own_kind_read(item, &kind);

	if (e != EV_OK)
		return e;
	b->n_commands += kind == OWN_COMMAND;
	b->n_parked += kind == OWN_PARKED;
	if (kind == OWN_UNASSIGNED)
		return sum_unassigned(b, item);
	return kind == OWN_LETTER ? count_letter(b, item) : EV_OK;
}

static ev_err sum_own(void *user, struct ev_str item, bool *more)
{
	struct energy_books *b = user;

	*more = true;
	if (add_own(b, item) != EV_OK)
		b->is_part = true;
	return EV_OK;
}

static ev_err query_books(struct query *query, struct energy_books *out)
{
	struct aws_query *q = aws_query_of(query);
	const unsigned both = AWS_ROLE_OUTLET | AWS_ROLE_APP;
	struct energy_books b = { .is_part = (q->roles & both) != both };
	ev_err e = EV_OK;

	if ((q->roles & AWS_ROLE_OUTLET) != 0)
		e = ddb_scan(&q->io, q->resources->outlets, sum_outlet, &b);
	if (e == EV_OK && (q->roles & AWS_ROLE_APP) != 0)
		e = ddb_scan(&q->io, q->resources->sessions, sum_session, &b);
	if (e == EV_OK && (q->roles & AWS_ROLE_APP) != 0)
		e = ddb_scan(&q->io, q->resources->customers, count_customer, &b);
	if (e == EV_OK)
		e = ddb_scan(&q->io, q->resources->items, sum_own, &b);
	if (e == EV_OK)
		*out = b;
	return e;
}

static void query_free(struct query *query)
{
	free(query);
}

static const struct query_ops ops = {
	.outlets = query_outlets,
	.outlet = query_outlet,
	.outlet_events = query_outlet_events,
	.events = query_events,
	.session = query_session,
	.history = query_history,
	.sessions = query_sessions,
	.customer = query_customer,
	.customers = query_customers,
	.unassigned = query_unassigned,
	.dead_letters = query_dead_letters,
	.dead_letter = query_dead_letter,
	.books = query_books,
	.free = query_free,
};

ev_err aws_query_new(struct aws_caller *caller, const struct aws_resources *resources,
		     struct ev_clock *clock, unsigned roles, struct query **out)
{
	struct aws_query *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return EV_NOMEM;
	q->base.ops = &ops;
	q->io = (struct ddb_io){ .caller = caller, .clock = clock, .timeout_ns = 30 * EV_NS_PER_S };
	q->resources = resources;
	q->roles = roles;
	*out = &q->base;
	return EV_OK;
}
