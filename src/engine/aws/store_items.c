#include <assert.h>
#include <stdlib.h>

#include "base/num.h"
#include "core/machine.h"
#include "engine/aws/store_internal.h"

/*
 * What a group writes to the items table: in parallel, those of one key one after the other, and
 * what replaces whatever is there in common calls.
 */

/* One write to the items table. */
struct item_write {
	struct own_key key;
	struct staged_put *put;
	const struct device_command *command;
	struct own_live live; /* if neither */
	bool remove;          /* the live session */
	bool done;
};

struct item_writes {
	struct item_write *of;
	size_t n, cap;
};

/* Put whatever is there: may go with others in one call. */
static bool is_plain(const struct item_write *w)
{
	if (w->put == NULL)
		return !w->remove;
	return w->put->p.kind == PUT_IDENTITY_BLOCK || w->put->p.kind == PUT_ATTACHMENT ||
	       (w->put->p.kind == PUT_UNASSIGNED && w->put->p.unassigned.attached) ||
	       (w->put->replace && (w->put->p.kind == PUT_PARKED || w->put->p.kind == PUT_CLAIM));
}

static void write_item(const struct item_write *w, struct json_writer *json)
{
	const struct keyed_put *p;
	struct own_attachment a;

	if (w->command != NULL) {
		own_command_put(w->command, json);
		return;
	}
	if (w->put == NULL) {
		own_live_put(&w->live, json);
		return;
	}
	p = &w->put->p;
	switch (p->kind) {
	case PUT_DEAD_LETTER:
		own_letter_put(&p->dead_letter, json);
		return;
	case PUT_PARKED:
		own_parked_put(&p->parked, json);
		return;
	case PUT_UNASSIGNED:
		own_unassigned_put(&p->unassigned, json);
		return;
	case PUT_ATTACHMENT:
		a = put_attachment(p);
		own_attachment_put(&a, json);
		return;
	case PUT_CLAIM:
		own_claim_put(&p->claim, json);
		return;
	case PUT_IDENTITY_BLOCK:
		own_block_put(&p->block, json);
		return;
	case PUT_DEAD_LETTER_STATUS:
	case PUT_UNPARK:
	case PUT_UNCLAIM:
	case PUT_DELIVERY:
		break;
	}
	assert(false && "no item is put for it");
}

/* For a failure's text: keys, but of a tag no more than that it is one. */
static const char *label_of(const struct item_write *w)
{
	return strncmp(w->key.pk, "tag#", 4) == 0 ? "tag" : w->key.pk;
}

static void write_condition(const struct staged_put *put, struct json_writer *json)
{
	struct ddb_change c = { .n_set = 0 };

	if (put->p.kind == PUT_CLAIM && put->had) {
		own_claim_held_by(&put->was.claim.customer_id, json);
	} else if (put->p.kind == PUT_UNASSIGNED) {
		ddb_change_if_absent(&c, "sessionId"); /* what was attached stays so */
		ddb_change_write(&c, json);
	} else {
		own_if_absent(json);
	}
}

static void add_put(struct aws_store *s, struct ddb_batch *b, const struct item_write *w)
{
	size_t room = w->put != NULL && w->put->p.kind == PUT_DEAD_LETTER ? OWN_LETTER_JSON_MAX
									  : OWN_JSON_MAX;
	struct json_writer json = ddb_batch_open(b, "PutItem", s->c.resources->items, label_of(w),
						 room + 1024);

	json_write_key(&json, "Item");
	write_item(w, &json);
	if (!is_plain(w))
		write_condition(w->put, &json);
	ddb_batch_shut(b, &json);
}

static void add_delete(struct aws_store *s, struct ddb_batch *b, const struct item_write *w)
{
	struct json_writer json = ddb_batch_open(b, "DeleteItem", s->c.resources->items,
						 label_of(w), 2048);

	json_write_key(&json, "Key");
	own_key_write(&w->key, &json);
	if (w->put != NULL && w->put->p.kind == PUT_UNCLAIM)
		own_claim_held_by(&w->put->p.claim.customer_id, &json);
	ddb_batch_shut(b, &json);
}

static void add_update(struct aws_store *s, struct ddb_batch *b, const struct item_write *w)
{
	const struct staged_put *put = w->put;
	struct json_writer json = ddb_batch_open(b, "UpdateItem", s->c.resources->items,
						 label_of(w), OWN_JSON_MAX);

	if (put->p.kind == PUT_DEAD_LETTER_STATUS) {
		own_letter_status(&put->p.status.id, put->p.status.status, put->p.status.at_ns,
				  &json);
	} else {
		struct own_delivery now = put->was.delivery;

		now.delivery = put->p.delivery;
		own_delivery_update(put->had ? &put->was.delivery : NULL, &now, &json);
	}
	ddb_batch_shut(b, &json);
}

static void add_write(struct aws_store *s, struct ddb_batch *b, const struct item_write *w)
{
	if (w->put == NULL && w->remove) {
		add_delete(s, b, w);
	} else if (w->put == NULL) {
		add_put(s, b, w);
	} else {
		enum put_kind kind = w->put->p.kind;

		if (kind == PUT_UNPARK || kind == PUT_UNCLAIM)
			add_delete(s, b, w);
		else if (kind == PUT_DEAD_LETTER_STATUS || kind == PUT_DELIVERY)
			add_update(s, b, w);
		else
			add_put(s, b, w);
	}
	s->stats.puts++;
}

/* A condition that does not hold is fine where a repeat changes nothing. */
static ev_err judge(const struct item_write *w, ev_err e)
{
	if (e != EV_CONFLICT || w->put == NULL)
		return e;
	switch (w->put->p.kind) {
	case PUT_DEAD_LETTER:
	case PUT_PARKED:
	case PUT_UNCLAIM:
	case PUT_UNASSIGNED:
		return EV_OK;
	case PUT_DEAD_LETTER_STATUS:
	case PUT_UNPARK:
	case PUT_ATTACHMENT:
	case PUT_CLAIM:
	case PUT_IDENTITY_BLOCK:
	case PUT_DELIVERY:
		break;
	}
	return e;
}

static bool same_key(const struct item_write *a, const struct item_write *b)
{
	return strcmp(a->key.pk, b->key.pk) == 0 && strcmp(a->key.sk, b->key.sk) == 0;
}

/* Those that may go now: not done, and nothing of the same key before them is still to go. */
static size_t pick(struct item_writes *all, bool plain, struct item_write *out[], size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n && n < max; i++) {
		struct item_write *w = &all->of[i];
		bool waits = w->done || is_plain(w) != plain;

		for (size_t k = 0; k < i && !waits; k++)
			waits = !all->of[k].done && same_key(&all->of[k], w);
		if (!waits)
			out[n++] = w;
	}
	return n;
}

static void note_done(struct item_write *w)
{
	w->done = true;
	if (w->put != NULL)
		w->put->done = true;
}

static ev_err run_each(struct aws_store *s, struct item_write *const w[], size_t n)
{
	struct ddb_batch b;
	ev_err first = EV_OK;

	ddb_batch_init(&b, &s->io);
	for (size_t i = 0; i < n; i++)
		add_write(s, &b, w[i]);
	ddb_batch_run(&b);
	for (size_t i = 0; i < n; i++) {
		ev_err e = judge(w[i], ddb_batch_result(&b, i));

		if (e == EV_OK)
			note_done(w[i]);
		else if (first == EV_OK)
			first = e;
	}
	ddb_batch_deinit(&b);
	return first;
}

/* What is left of a BatchWriteItem goes again, after a while. */
static ev_err run_unprocessed(struct aws_store *s, struct ev_buf *left)
{
	struct aws_caller *c = s->c.caller;
	struct aws_retry retry = { .attempts = 0 };
	int64_t delay_ns = 0;
	ev_err e = EV_OK;

	while (e == EV_OK && left->len > 2) { /* more than {} */
		struct ddb_batch b;
		struct json_writer w;
		struct ev_str raw;

		ddb_batch_init(&b, &s->io);
		w = ddb_batch_open(&b, "BatchWriteItem", "", "", left->cap);
		json_write_key(&w, "RequestItems");
		json_write_raw(&w, ev_buf_str(left));
		ddb_batch_shut(&b, &w);
		ddb_batch_run(&b);
		e = ddb_batch_result(&b, 0);
		if (e == EV_OK)
			e = ddb_answer(&b, 0, "UnprocessedItems", &raw);
		if (e == EV_OK) {
			left->len = 0;
			ev_buf_str_add(left, raw);
		}
		ddb_batch_deinit(&b);
		if (e != EV_OK || left->len <= 2)
			break;
		if (!aws_retry_again(c->ops->rules(c), c->ops->tokens(c), &retry,
				     AWS_ERROR_THROTTLED, 0, c->ops->rng(c), &delay_ns))
			return ddb_fail(&s->io, EV_BUSY, s->c.resources->items, "throttled");
		c->ops->pause(c, delay_ns);
	}
	return e;
}

static ev_err run_together(struct aws_store *s, struct item_write *const w[], size_t n)
{
	size_t cap = n * (OWN_JSON_MAX + 64) + 1024;
	char *room = malloc(cap);
	struct ev_buf body = ev_buf_over(room, cap - 512);
	struct json_writer json = json_writer_over(&body);
	ev_err e;

	if (room == NULL)
		return EV_NOMEM;
	json_write_object(&json);
	json_write_z(&json, s->c.resources->items);
	ev_buf_char(&body, ':');
	json.comma = false;
	json_write_array(&json);
	for (size_t i = 0; i < n; i++) {
		json_write_object(&json);
		json_write_key(&json, "PutRequest");
		json_write_object(&json);
		json_write_key(&json, "Item");
		write_item(w[i], &json);
		json_write_object_end(&json);
		json_write_object_end(&json);
	}
	json_write_array_end(&json);
	json_write_object_end(&json);
	s->stats.puts += n;
	body.cap = cap;
	e = body.overflow ? EV_NOMEM : run_unprocessed(s, &body);
	for (size_t i = 0; i < n && e == EV_OK; i++)
		note_done(w[i]);
	free(room);
	return e;
}

static ev_err run_writes(struct aws_store *s, struct item_writes *all)
{
	struct item_write *w[DDB_BATCH_MAX];
	ev_err e = EV_OK;

	while (e == EV_OK) {
		size_t n = pick(all, true, w, DDB_BATCH_MAX);

		if (n > 1) {
			e = run_together(s, w, n);
			continue;
		}
		n += pick(all, false, w + n, DDB_BATCH_MAX - n);
		if (n == 0)
			break;
		e = run_each(s, w, n);
	}
	return e;
}

static struct item_write *add_item_write(struct item_writes *all)
{
	if (all->n == all->cap) {
		size_t cap = all->cap == 0 ? 16 : all->cap * 2;
		struct item_write *grown = reallocarray(all->of, cap, sizeof(*grown));

		if (grown == NULL)
			return NULL;
		all->of = grown;
		all->cap = cap;
	}
	all->of[all->n] = (struct item_write){ .put = NULL };
	return &all->of[all->n++];
}

/* --- live sessions --- */

static bool has_live(const struct session *x)
{
	return session_is_live(x->state);
}

static bool is_listed_alike(const struct session *a, const struct session *b)
{
	return ev_uuid_eq(&a->outlet_id, &b->outlet_id) && a->start_ns == b->start_ns;
}

static ev_err add_live(struct item_writes *all, const struct session *x, bool remove)
{
	struct item_write *w = add_item_write(all);

	if (w == NULL)
		return EV_NOMEM;
	w->key = own_live_key(&x->outlet_id, &x->id);
	w->live = (struct own_live){ .outlet_id = x->outlet_id,
				     .session_id = x->id,
				     .start_ns = x->start_ns };
	w->remove = remove;
	return EV_OK;
}

/* Listed before its row goes live, taken off the list after it has ended. */
static ev_err collect_live(const struct aws_row *r, struct item_writes *all, bool late)
{
	const struct session *now = &((const struct session_entry *)r)->row;
	const struct session_image *was = r->was;
	bool was_listed = was != NULL && has_live(&was->row.session) && !was->row.unversioned;

	if (!late) {
		if (!has_live(now) || (was_listed && is_listed_alike(&was->row.session, now)))
			return EV_OK;
		return add_live(all, now, false);
	}
	if (!was_listed ||
	    (has_live(now) && ev_uuid_eq(&was->row.session.outlet_id, &now->outlet_id)))
		return EV_OK;
	return add_live(all, &was->row.session, true);
}

ev_err put_live(struct aws_store *s, const struct session *x)
{
	struct item_writes all = { .of = NULL };
	ev_err e = session_is_live(x->state) ? add_live(&all, x, false) : EV_OK;

	if (e == EV_OK)
		e = run_writes(s, &all);
	free(all.of);
	return e;
}

/* --- all of it --- */

static ev_err collect(struct aws_store *s, struct item_writes *all, bool late)
{
	struct store_group *g = &s->group;
	struct item_write *w;
	ev_err e = EV_OK;

	for (size_t i = 0; i < g->puts.n; i++) {
		if (g->puts.of[i].late != late || g->puts.of[i].skip)
			continue;
		w = add_item_write(all);
		if (w == NULL)
			return EV_NOMEM;
		w->put = &g->puts.of[i];
		w->key = put_key(&w->put->p);
	}
	for (size_t i = 0; i < g->commands.n && !late; i++) {
		w = add_item_write(all);
		if (w == NULL)
			return EV_NOMEM;
		w->command = &g->commands.of[i];
		w->key = own_command_key(&w->command->outlet_id, w->command->version,
					 w->command->index);
	}
	for (const struct aws_row *r = g->touched; r != NULL && e == EV_OK; r = r->next_touched) {
		if (r->kind == ROW_SESSION)
			e = collect_live(r, all, late);
	}
	return e;
}

ev_err puts_write(struct aws_store *s, bool late)
{
	struct item_writes all = { .of = NULL };
	ev_err e = collect(s, &all, late);

	if (e == EV_OK)
		e = run_writes(s, &all);
	free(all.of);
	return e;
}

/* --- what a row was left with --- */

static ev_err parse_letter(struct ev_str text, struct keyed_put *out)
{
	size_t word = sizeof(ROW_AFTER_LETTER) - 1;
	struct ev_uuid id;
	uint64_t status;

	/* letter "<32 hex digits>" <digit> <time> */
	if (text.n < word + 34 + 4)
		return EV_CORRUPT;
	text.p += word;
	text.n -= word;
	for (unsigned i = 0; i < 16; i++) {
		unsigned byte = 0;

		for (unsigned k = 0; k < 2; k++) {
			char c = text.p[1 + 2 * i + k];

			if (c >= '0' && c <= '9')
				byte = byte * 16 + (unsigned)(c - '0');
			else if (c >= 'a' && c <= 'f')
				byte = byte * 16 + (unsigned)(c - 'a') + 10;
			else
				return EV_CORRUPT;
		}
		id.b[i] = (uint8_t)byte;
	}
	*out = (struct keyed_put){ .kind = PUT_DEAD_LETTER_STATUS };
	memcpy(out->status.id.b, id.b, sizeof(id.b));
	if (num_parse_u64((struct ev_str){ text.p + 35, 1 }, &status) != EV_OK || status > 2)
		return EV_CORRUPT;
	out->status.status = (enum dead_letter_status)status;
	return num_parse_i64((struct ev_str){ text.p + 37, text.n - 37 }, &out->status.at_ns) ==
			       EV_OK
		       ? EV_OK
		       : EV_CORRUPT;
}

/* An item that is not attached: it may have been, by somebody who came later. */
static bool is_open_item(struct ev_str text)
{
	return text.p != NULL &&
	       memmem(text.p, text.n, "\"" OWN_PK_ITEM, sizeof(OWN_PK_ITEM)) != NULL &&
	       memmem(text.p, text.n, "\"sessionId\"", 11) == NULL;
}

static ev_err add_after(struct aws_store *s, struct ddb_batch *b, struct ev_str text)
{
	struct ddb_change unless_attached = { .n_set = 0 };
	struct staged_put put = { .late = true };
	struct item_write write = { .put = &put };
	struct json_writer w;
	ev_err e;

	if (text.n > 0 && text.p[0] == '{') {
		w = ddb_batch_open(b, "PutItem", s->c.resources->items, "after", text.n + 512);
		json_write_key(&w, "Item");
		json_write_raw(&w, text);
		if (is_open_item(text)) {
			ddb_change_if_absent(&unless_attached, "sessionId");
			ddb_change_write(&unless_attached, &w);
		}
		ddb_batch_shut(b, &w);
		return EV_OK;
	}
	e = parse_letter(text, &put.p);
	if (e != EV_OK)
		return ddb_fail(&s->io, e, s->c.resources->items, "after");
	write.key = put_key(&put.p);
	add_update(s, b, &write);
	return EV_OK;
}

ev_err puts_after(struct aws_store *s, const struct row_after *a)
{
	struct ddb_batch b;
	ev_err first = EV_OK;

	if (a == NULL)
		return EV_OK;
	ddb_batch_init(&b, &s->io);
	for (unsigned i = 0; i < a->n && first == EV_OK; i++)
		first = add_after(s, &b, a->of[i]);
	if (first == EV_OK)
		ddb_batch_run(&b);
	for (size_t i = 0; i < b.n && first == EV_OK; i++) {
		ev_err e = ddb_batch_result(&b, i);

		/* A letter that is gone needs no status. */
		first = e == EV_CONFLICT ? EV_OK : e;
	}
	s->stats.puts += b.n;
	ddb_batch_deinit(&b);
	return first;
}
