#include "engine/aws/store_internal.h"

/*
 * A group's end: puts, rows, effects, what follows the rows, clearing (docs/decisions/0015).  Up to
 * the first row's write a failure leaves nothing but puts that do no harm; after it, rows that were
 * written stay, with all that belongs to them, and the rest comes again.
 */

static void forget_customers(struct aws_store *s)
{
	const uint8_t *key;
	uintptr_t found;
	size_t at = 0;

	while (ev_map_next(&s->cache.by_id[ROW_CUSTOMER], &at, &key, &found)) {
		aws_cache_drop(&s->cache, (struct aws_row *)found);
		at = 0;
	}
}

/* Rows that were written are as they stand, those in doubt are read again, the others go back. */
void group_close(struct aws_store *s)
{
	struct aws_row *r = s->group.touched;

	while (r != NULL) {
		struct aws_row *next = r->next_touched;

		if (r->stale) {
			r->touched = r->is_new = false;
			row_free_was(r);
			aws_cache_settle(&s->cache, r, &s->c.rules, s->c.max_pinned);
		} else if (r->written) {
			row_settle(s, r);
		} else {
			row_restore(s, r);
		}
		r = next;
	}
	stage_clear(&s->group);
	forget_customers(s);
	cache_trim(&s->cache, s->c.max_rows);
}

/* A customer that came and went within the group. */
static bool is_nothing(const struct aws_row *r)
{
	return r->kind == ROW_CUSTOMER && r->is_new && ((const struct customer_entry *)r)->erased;
}

static ev_err write_row(struct aws_store *s, struct aws_row *r)
{
	struct ddb_batch b;
	ev_err e;

	ddb_batch_init(&b, &s->io);
	row_add_write(s, &b, r);
	ddb_batch_run(&b);
	e = ddb_batch_result(&b, 0);
	r->written = e == EV_OK;
	r->unversioned = r->unversioned && !r->written;
	if (e == EV_CONFLICT || ddb_batch_is_unsure(&b, 0)) {
		s->stats.conflicts += e == EV_CONFLICT;
		r->stale = r->kind != ROW_CUSTOMER;
	}
	ddb_batch_deinit(&b);
	return e;
}

static ev_err write_rows(struct aws_store *s)
{
	ev_err e = EV_OK;

	for (struct aws_row *r = s->group.touched; r != NULL && e == EV_OK; r = r->next_touched) {
		if (!is_nothing(r))
			e = write_row(s, r);
	}
	return e;
}

static void take_block(struct aws_store *s, const struct identity_block *b)
{
	struct aws_row *r = aws_cache_find(&s->cache, ROW_OUTLET, &b->outlet_id);
	struct seen_block block = { .at_ns = b->at_ns };

	if (r == NULL || r->stale)
		return;
	memcpy(block.ids, b->ids, sizeof(block.ids));
	if (seen_blocks_add(&outlet_of(r)->blocks, &block, store_now(s) - s->c.identity_ns) !=
	    EV_OK)
		outlet_of(r)->blocks.incomplete = true; /* then they are asked for */
}

/* The identities of blocks that are kept by now, and that inputs wait. */
static void take_puts(struct aws_store *s)
{
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct staged_put *p = &s->group.puts.of[i];
		struct aws_row *r;

		if (p->p.kind == PUT_IDENTITY_BLOCK && !p->skip && !p->late)
			take_block(s, &p->p.block);
		if (p->p.kind != PUT_PARKED)
			continue;
		r = aws_cache_find(&s->cache, ROW_OUTLET, &p->p.parked.outlet_id);
		if (r != NULL && !r->stale)
			outlet_of(r)->may_have_parked = true;
	}
}

/*
 * Those that rows carry which are written by now.  A row in doubt may have been written with them,
 * and stands here as it would be: all its blocks are read again with it.
 */
static void take_late_blocks(struct aws_store *s)
{
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct staged_put *p = &s->group.puts.of[i];

		if (p->p.kind != PUT_IDENTITY_BLOCK || p->row == NULL)
			continue;
		if (p->row->stale)
			outlet_of(p->row)->blocks.incomplete = true;
		else if (p->row->written)
			take_block(s, &p->p.block);
	}
}

static void tell_commands(struct aws_store *s)
{
	for (size_t i = 0; s->c.on_command != NULL && i < s->group.commands.n; i++)
		s->c.on_command(s->c.user, &s->group.commands.of[i]);
}

/* Effects that no row keeps: all of them, or the group has failed. */
static ev_err send_loose(struct aws_store *s)
{
	const struct staged_effects *f = &s->group.effects;
	size_t sent = 0;
	ev_err e = EV_OK;

	if (f->n == 0)
		return EV_OK;
	e = s->c.sender->ops->send(s->c.sender, f->of, f->n, &sent);
	for (size_t i = 0; i < sent; i++) {
		s->stats.commands += f->of[i].is_command;
		s->stats.events += !f->of[i].is_command;
	}
	if (e == EV_OK && sent < f->n)
		e = EV_IO;
	return e == EV_OK ? EV_OK
			  : ev_fail_set(&s->io.fail, e, 0, "an effect could not be sent: %s",
					ev_err_text(e));
}

/* The rows' own: what fails stays with its row, which is sent again by the next flush. */
static void send_rows(struct aws_store *s)
{
	for (struct aws_row *r = s->group.touched; r != NULL; r = r->next_touched) {
		if (r->written && r->kind != ROW_CUSTOMER && row_send(s, r) == EV_CLOSED)
			return;
	}
}

static const struct row_after *left_with(const struct aws_row *r)
{
	if (r->was != NULL && r->kind == ROW_OUTLET)
		return ((const struct outlet_image *)r->was)->extra.after;
	if (r->was != NULL && r->kind == ROW_SESSION)
		return ((const struct session_image *)r->was)->extra.after;
	return NULL;
}

/* What was left with rows by an earlier group, then what this one puts after them. */
static ev_err write_late(struct aws_store *s)
{
	ev_err first = EV_OK;

	for (struct aws_row *r = s->group.touched; r != NULL; r = r->next_touched) {
		ev_err e = puts_after(s, left_with(r));

		r->is_behind = e != EV_OK;
		first = first == EV_OK ? e : first;
	}
	return first == EV_OK ? puts_write(s, true) : first;
}

/* Rows carry what they wait for; what no row carries has to be done now. */
static bool must_be_done(const struct aws_store *s)
{
	for (size_t i = 0; i < s->group.puts.n; i++) {
		const struct staged_put *p = &s->group.puts.of[i];

		if (p->late && !p->skip && !p->done && p->row == NULL && p->p.kind != PUT_UNPARK &&
		    p->p.kind != PUT_UNCLAIM)
			return true;
	}
	return false;
}

/* What could not be done and is carried by its row is done by the next flush. */
static ev_err end_late(struct aws_store *s)
{
	ev_err e = write_late(s);

	return e == EV_CLOSED || (e != EV_OK && must_be_done(s)) ? e : EV_OK;
}

static bool is_to_be_cleared(const struct aws_store *s, const struct aws_row *r)
{
	if (!r->written || r->stale || r->is_behind || r->kind == ROW_CUSTOMER || row_is_plain(r) ||
	    (r->effects != NULL && r->n_sent < r->effects->n))
		return false;
	for (size_t i = 0; i < s->group.puts.n; i++) {
		if (s->group.puts.of[i].row == r && !s->group.puts.of[i].done)
			return false;
	}
	return true;
}

static void clear_rows(struct aws_store *s)
{
	for (struct aws_row *r = s->group.touched; r != NULL; r = r->next_touched) {
		if (is_to_be_cleared(s, r) && row_clear(s, r) == EV_CLOSED)
			return;
	}
}

/* --- what was decided by, and is not written --- */

static bool is_to_be_confirmed(const struct aws_store *s, const struct aws_row *r)
{
	return !r->touched && r->read != s->group.number;
}

static ev_err confirm_some(struct aws_store *s, struct aws_row *const of[], size_t n)
{
	struct ddb_batch b;
	ev_err first = EV_OK;

	ddb_batch_init(&b, &s->io);
	for (size_t i = 0; i < n; i++)
		row_add_get(s, &b, of[i]->kind, &of[i]->id);
	ddb_batch_run(&b);
	s->stats.row_reads += n;
	for (size_t i = 0; i < n; i++) {
		struct ev_str item;
		ev_err e = ddb_get_item(&b, i, &item);

		if (e == EV_NOTFOUND || (e == EV_OK && !row_is_as_stored(of[i], item))) {
			of[i]->stale = true;
			aws_cache_settle(&s->cache, of[i], &s->c.rules, s->c.max_pinned);
			s->stats.conflicts++;
			e = EV_CONFLICT;
		}
		first = first == EV_OK ? e : first;
	}
	ddb_batch_deinit(&b);
	return first;
}

/* An answer that writes nothing must not come from a row that is not so any more. */
static ev_err confirm_rows(struct aws_store *s)
{
	struct aws_row *of[DDB_BATCH_MAX];
	struct aws_row *r = s->group.used;
	ev_err e = EV_OK;

	while (r != NULL && e == EV_OK) {
		size_t n = 0;

		for (; r != NULL && n < DDB_BATCH_MAX; r = r->next_used) {
			if (is_to_be_confirmed(s, r))
				of[n++] = r;
		}
		if (n > 0)
			e = confirm_some(s, of, n);
	}
	return e;
}

static ev_err end_group(struct aws_store *s)
{
	ev_err e = s->group.lost;

	if (e == EV_OK)
		e = confirm_rows(s);
	if (e == EV_OK)
		e = puts_write(s, false);
	if (e != EV_OK)
		return e;
	take_puts(s);
	e = write_rows(s);
	take_late_blocks(s);
	if (e == EV_OK) {
		tell_commands(s);
		e = send_loose(s);
	}
	if (e != EV_CLOSED)
		send_rows(s);
	if (e == EV_OK)
		e = end_late(s);
	if (e == EV_OK)
		clear_rows(s);
	return e;
}

ev_err store_end(struct store *store)
{
	struct aws_store *s = aws_store_of(store);
	ev_err e;

	if (!s->group.open)
		return EV_INVALID;
	e = end_group(s);
	s->stats.groups++;
	s->stats.failed_groups += e != EV_OK;
	group_close(s);
	return e;
}
