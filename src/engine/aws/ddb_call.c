#include "engine/aws/ddb_call.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_ROOM 1024

void ddb_batch_init(struct ddb_batch *b, struct ddb_io *io)
{
	b->io = io;
	b->n = 0;
}

void ddb_batch_deinit(struct ddb_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		aws_call_clear(&b->calls[i]);
		free(b->bodies[i].p);
	}
	b->n = 0;
}

struct json_writer ddb_batch_open(struct ddb_batch *b, const char *operation, const char *table,
				  const char *label, size_t room)
{
	size_t i = b->n++;
	char *body = malloc(room);
	struct json_writer w;

	assert(i < DDB_BATCH_MAX);
	b->calls[i] = (struct aws_call){ .service = AWS_DYNAMODB, .operation = operation };
	b->bodies[i] = ev_buf_over(body, body != NULL ? room : 0);
	b->tables[i] = table;
	(void)snprintf(b->labels[i], sizeof(b->labels[i]), "%s", label);
	w = json_writer_over(&b->bodies[i]);
	json_write_object(&w);
	if (table[0] != '\0') {
		json_write_key(&w, "TableName");
		json_write_z(&w, table);
	}
	return w;
}

void ddb_batch_shut(struct ddb_batch *b, struct json_writer *w)
{
	json_write_object_end(w);
	b->calls[b->n - 1].body = ev_buf_str(&b->bodies[b->n - 1]);
}

/* A request for which there was no room: none is made then. */
static bool is_whole(const struct ddb_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->bodies[i].overflow)
			return false;
	}
	return true;
}

void ddb_batch_run(struct ddb_batch *b)
{
	struct ddb_io *io = b->io;
	int64_t deadline_ns = io->timeout_ns > 0 ? ev_clock_mono_ns(io->clock) + io->timeout_ns : 0;

	if (b->n == 0)
		return;
	if (is_whole(b)) {
		io->caller->ops->run(io->caller, b->calls, b->n, deadline_ns);
		return;
	}
	for (size_t i = 0; i < b->n; i++) {
		b->calls[i].err = EV_NOMEM;
		aws_error_local(AWS_ERROR_VALIDATION, "NoRoom", "the request is too long",
				&b->calls[i].error);
	}
}

static ev_err map_error(const struct aws_call *c)
{
	if (c->err == EV_OK || c->err == EV_NOMEM || c->err == EV_CLOSED)
		return c->err;
	switch (c->error.kind) {
	case AWS_ERROR_CONDITION:
		return EV_CONFLICT;
	case AWS_ERROR_THROTTLED:
	case AWS_ERROR_OVER_LIMIT:
		return EV_BUSY;
	case AWS_ERROR_TIMED_OUT:
		return EV_TIMEOUT;
	case AWS_ERROR_NONE:
	case AWS_ERROR_TRANSIENT:
	case AWS_ERROR_EXPIRED_TOKEN:
	case AWS_ERROR_SIGNATURE:
	case AWS_ERROR_DENIED:
	case AWS_ERROR_NOT_FOUND:
	case AWS_ERROR_EXISTS:
	case AWS_ERROR_ITERATOR:
	case AWS_ERROR_TOO_LARGE:
	case AWS_ERROR_VALIDATION:
	case AWS_ERROR_UNSUPPORTED:
	case AWS_ERROR_BAD_ANSWER:
	case AWS_ERROR_OTHER:
	case AWS_ERROR_COUNT:
		break;
	}
	return EV_IO;
}

/* What the last failure was in itself: EV_DENIED stays EV_DENIED here. */
ev_err ddb_batch_result(struct ddb_batch *b, size_t i)
{
	const struct aws_call *c = &b->calls[i];
	ev_err err = map_error(c);

	if (err == EV_OK || err == EV_CONFLICT)
		return err;
	(void)ev_fail_set(&b->io->fail, c->error.kind == AWS_ERROR_DENIED ? EV_DENIED : err,
			  c->error.status, "%s %s %s: %s, %s", c->operation, b->tables[i],
			  b->labels[i], aws_error_kind_text(c->error.kind), c->error.code);
	return err;
}

bool ddb_batch_is_unsure(const struct ddb_batch *b, size_t i)
{
	switch (b->calls[i].error.kind) {
	case AWS_ERROR_TIMED_OUT:
	case AWS_ERROR_TRANSIENT:
	case AWS_ERROR_BAD_ANSWER:
	case AWS_ERROR_OTHER:
		return true;
	case AWS_ERROR_NONE:
	case AWS_ERROR_THROTTLED:
	case AWS_ERROR_EXPIRED_TOKEN:
	case AWS_ERROR_SIGNATURE:
	case AWS_ERROR_DENIED:
	case AWS_ERROR_NOT_FOUND:
	case AWS_ERROR_EXISTS:
	case AWS_ERROR_CONDITION:
	case AWS_ERROR_ITERATOR:
	case AWS_ERROR_OVER_LIMIT:
	case AWS_ERROR_TOO_LARGE:
	case AWS_ERROR_VALIDATION:
	case AWS_ERROR_UNSUPPORTED:
	case AWS_ERROR_COUNT:
		break;
	}
	return false;
}

ev_err ddb_answer(const struct ddb_batch *b, size_t i, const char *member, struct ev_str *out)
{
	struct json_reader r;
	struct json_span key;
	struct ev_str found = { NULL, 0 };
	struct ev_str raw;
	bool more = false;

	json_read_init(&r, b->calls[i].answer, NULL);
	if (json_read_object(&r) != EV_OK || json_read_key(&r, &more, &key) != EV_OK)
		return ddb_fail(b->io, EV_IO, b->tables[i], "the answer cannot be read");
	while (more) {
		bool wanted = ev_str_eqz(key.raw, member);

		if (json_skip(&r, &raw) != EV_OK)
			return ddb_fail(b->io, EV_IO, b->tables[i], "the answer cannot be read");
		if (wanted)
			found = raw;
		if (json_read_key(&r, &more, &key) != EV_OK)
			return ddb_fail(b->io, EV_IO, b->tables[i], "the answer cannot be read");
	}
	*out = found;
	return EV_OK;
}

void ddb_add_get_own(struct ddb_batch *b, const char *table, const struct own_key *key)
{
	/* Of a tag's key no more than what it is. */
	const char *label = strncmp(key->pk, "tag#", 4) == 0 ? "tag" : key->pk;
	struct json_writer w = ddb_batch_open(b, "GetItem", table, label, KEY_ROOM);

	json_write_key(&w, "Key");
	own_key_write(key, &w);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	ddb_batch_shut(b, &w);
}

ev_err ddb_get_item(struct ddb_batch *b, size_t i, struct ev_str *out)
{
	struct ev_str item;
	ev_err e = ddb_batch_result(b, i);

	if (e == EV_OK)
		e = ddb_answer(b, i, "Item", &item);
	if (e != EV_OK)
		return e;
	if (item.n == 0)
		return EV_NOTFOUND;
	*out = item;
	return EV_OK;
}

static void write_s(struct json_writer *w, struct ev_str s)
{
	json_write_object(w);
	json_write_key(w, "S");
	json_write_string(w, s);
	json_write_object_end(w);
}

static void write_range(struct json_writer *w, const struct ddb_range *r)
{
	json_write_key(w, "KeyConditionExpression");
	json_write_z(w, r->sk_name != NULL ? "#p = :p AND #s BETWEEN :l AND :h" : "#p = :p");
	json_write_key(w, "ExpressionAttributeNames");
	json_write_object(w);
	json_write_key(w, "#p");
	json_write_z(w, r->pk_name);
	if (r->sk_name != NULL) {
		json_write_key(w, "#s");
		json_write_z(w, r->sk_name);
	}
	json_write_object_end(w);
	json_write_key(w, "ExpressionAttributeValues");
	json_write_object(w);
	json_write_key(w, ":p");
	write_s(w, r->pk);
	if (r->sk_name != NULL) {
		json_write_key(w, ":l");
		write_s(w, ev_str_from(r->lo));
		json_write_key(w, ":h");
		write_s(w, ev_str_from(r->hi));
	}
	json_write_object_end(w);
}

static void write_page(struct json_writer *w, unsigned page, struct ev_str start)
{
	if (page > 0) {
		json_write_key(w, "Limit");
		json_write_u64(w, page);
	}
	if (start.n > 0) {
		json_write_key(w, "ExclusiveStartKey");
		json_write_raw(w, start);
	}
}

/* Shows the items of an answer, and where to go on. */
static ev_err visit_page(struct ddb_batch *b, struct ev_buf *next, bool *more, ddb_item_fn fn,
			 void *user)
{
	struct json_reader r;
	struct ev_str items;
	struct ev_str last;
	struct ev_str item;
	bool another = false;
	ev_err e = ddb_batch_result(b, 0);

	if (e == EV_OK)
		e = ddb_answer(b, 0, "Items", &items);
	if (e == EV_OK)
		e = ddb_answer(b, 0, "LastEvaluatedKey", &last);
	if (e != EV_OK)
		return e;
	next->len = 0;
	ev_buf_str_add(next, last);
	json_read_init(&r, items, NULL);
	if (next->overflow || json_read_array(&r) != EV_OK)
		return ddb_fail(b->io, EV_IO, b->tables[0], "the answer cannot be read");
	while (*more && (e = json_read_item(&r, &another)) == EV_OK && another) {
		if (json_skip(&r, &item) != EV_OK)
			return ddb_fail(b->io, EV_IO, b->tables[0], "the answer cannot be read");
		e = fn(user, item, more);
		if (e != EV_OK)
			return e;
	}
	return e == EV_OK ? EV_OK
			  : ddb_fail(b->io, EV_IO, b->tables[0], "the answer cannot be read");
}

static ev_err query_page(struct ddb_io *io, const struct ddb_range *r, struct ev_buf *next,
			 bool *more, ddb_item_fn fn, void *user)
{
	struct ddb_batch b;
	struct json_writer w;
	ev_err e;

	ddb_batch_init(&b, io);
	w = ddb_batch_open(&b, "Query", r->table, r->index != NULL ? r->index : "", 4096);
	if (r->index != NULL) {
		json_write_key(&w, "IndexName");
		json_write_z(&w, r->index);
	} else {
		json_write_key(&w, "ConsistentRead");
		json_write_bool(&w, true);
	}
	write_range(&w, r);
	json_write_key(&w, "ScanIndexForward");
	json_write_bool(&w, !r->backwards);
	write_page(&w, r->page, ev_buf_str(next));
	ddb_batch_shut(&b, &w);
	ddb_batch_run(&b);
	e = visit_page(&b, next, more, fn, user);
	ddb_batch_deinit(&b);
	return e;
}

ev_err ddb_query(struct ddb_io *io, const struct ddb_range *r, ddb_item_fn fn, void *user)
{
	char room[KEY_ROOM];
	struct ev_buf next = ev_buf_over(room, sizeof(room));
	bool more = true;
	ev_err e;

	do {
		e = query_page(io, r, &next, &more, fn, user);
	} while (e == EV_OK && more && next.len > 0);
	return e;
}

ev_err ddb_scan_page(struct ddb_io *io, const char *table, struct ev_str start, unsigned page,
		     struct ev_buf *next, bool *more, ddb_item_fn fn, void *user)
{
	struct ddb_batch b;
	struct json_writer w;
	ev_err e;

	ddb_batch_init(&b, io);
	w = ddb_batch_open(&b, "Scan", table, "", 4096);
	json_write_key(&w, "ConsistentRead");
	json_write_bool(&w, true);
	write_page(&w, page, start);
	ddb_batch_shut(&b, &w);
	ddb_batch_run(&b);
	e = visit_page(&b, next, more, fn, user);
	ddb_batch_deinit(&b);
	return e;
}

ev_err ddb_scan(struct ddb_io *io, const char *table, ddb_item_fn fn, void *user)
{
	char room[KEY_ROOM];
	struct ev_buf next = ev_buf_over(room, sizeof(room));
	bool more = true;
	ev_err e;

	do {
		e = ddb_scan_page(io, table, ev_buf_str(&next), 0, &next, &more, fn, user);
	} while (e == EV_OK && more && next.len > 0);
	return e;
}

ev_err ddb_fail(struct ddb_io *io, ev_err err, const char *table, const char *label)
{
	return ev_fail_set(&io->fail, err, 0, "%s: %s", table, label);
}
