#include <assert.h>
#include <stdlib.h>

#include "engine/aws/store_internal.h"

/* Rows by id; those that may go in order of use; those with timers in a heap. */

static const size_t row_sizes[ROW_KIND_COUNT] = {
	[ROW_OUTLET] = sizeof(struct outlet_entry),
	[ROW_SESSION] = sizeof(struct session_entry),
	[ROW_CUSTOMER] = sizeof(struct customer_entry),
};

void aws_cache_init(struct row_cache *c, const uint64_t seed[2])
{
	*c = (struct row_cache){ .newest = NULL };
	for (unsigned i = 0; i < ROW_KIND_COUNT; i++)
		ev_map_init(&c->by_id[i], 0, seed);
}

/* --- what rows carry --- */

struct row_after *row_after_dup(const struct row_after *a)
{
	struct row_after *copy = NULL;

	for (unsigned i = 0; a != NULL && i < a->n; i++) {
		if (row_after_add(&copy, a->of[i]) != EV_OK) {
			row_after_free(copy);
			return NULL;
		}
	}
	return copy;
}

void row_after_free(struct row_after *a)
{
	for (unsigned i = 0; a != NULL && i < a->n; i++)
		free((void *)(uintptr_t)a->of[i].p);
	free(a);
}

ev_err row_after_add(struct row_after **a, struct ev_str text)
{
	char *copy;

	if (*a == NULL)
		*a = calloc(1, sizeof(**a));
	if (*a == NULL)
		return EV_NOMEM;
	if ((*a)->n == ROW_AFTER_MAX)
		return EV_FULL;
	copy = malloc(text.n + 1);
	if (copy == NULL)
		return EV_NOMEM;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	(*a)->of[(*a)->n++] = (struct ev_str){ copy, text.n };
	return EV_OK;
}

static void blocks_forget(struct seen_blocks *b, int64_t before_ns)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < b->n; i++) {
		if (b->of[i].at_ns >= before_ns)
			b->of[kept++] = b->of[i];
	}
	b->n = kept;
}

ev_err seen_blocks_add(struct seen_blocks *b, const struct seen_block *block, int64_t before_ns)
{
	if (b->n == b->cap)
		blocks_forget(b, before_ns);
	if (b->n == BLOCKS_MAX) {
		b->incomplete = true;
		memmove(&b->of[0], &b->of[1], (b->n - 1) * sizeof(b->of[0]));
		b->n--;
	}
	if (b->n == b->cap) {
		unsigned cap = b->cap == 0 ? 2 : b->cap * 2;
		struct seen_block *grown = realloc(b->of, cap * sizeof(*grown));

		if (grown == NULL)
			return EV_NOMEM;
		b->of = grown;
		b->cap = cap;
	}
	b->of[b->n++] = *block;
	return EV_OK;
}

bool seen_blocks_have(const struct seen_blocks *b, const struct identity *id)
{
	for (unsigned i = 0; i < b->n; i++) {
		for (unsigned k = 0; k < OUTLET_IDS_MAX; k++) {
			if (identity_eq(&b->of[i].ids[k], id))
				return true;
		}
	}
	return false;
}

struct row_effects *row_effects_dup(const struct row_effects *e)
{
	struct row_effects *copy;

	if (e == NULL || e->n == 0)
		return NULL;
	copy = malloc(sizeof(*copy));
	if (copy != NULL)
		*copy = *e;
	return copy;
}

void row_set_effects(struct aws_row *r, struct row_effects *owned)
{
	free(r->effects);
	r->effects = owned;
	r->n_sent = 0;
}

bool row_is_unsent(const struct aws_row *r)
{
	return r->extra.after != NULL || (r->effects != NULL && r->n_sent < r->effects->n);
}

bool row_is_plain(const struct aws_row *r)
{
	if (r->extra.after != NULL)
		return false;
	for (unsigned i = 0; r->effects != NULL && i < r->effects->n; i++) {
		if (!r->effects->of[i].plain)
			return false;
	}
	return true;
}

/* --- the heap of timers --- */

static bool is_earlier(const struct aws_row *a, const struct aws_row *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return memcmp(a->id.b, b->id.b, sizeof(a->id.b)) < 0;
}

static void heap_set(struct row_heap *h, size_t at, struct aws_row *r)
{
	h->of[at] = r;
	r->heap_at = at;
}

static void heap_up(struct row_heap *h, size_t at)
{
	struct aws_row *r = h->of[at];

	while (at > 1 && is_earlier(r, h->of[at / 2])) {
		heap_set(h, at, h->of[at / 2]);
		at /= 2;
	}
	heap_set(h, at, r);
}

static void heap_down(struct row_heap *h, size_t at)
{
	struct aws_row *r = h->of[at];
	size_t child;

	while ((child = 2 * at) <= h->n) {
		if (child < h->n && is_earlier(h->of[child + 1], h->of[child]))
			child++;
		if (!is_earlier(h->of[child], r))
			break;
		heap_set(h, at, h->of[child]);
		at = child;
	}
	heap_set(h, at, r);
}

/* False: out of memory. */
static bool heap_add(struct row_heap *h, struct aws_row *r)
{
	if (h->n + 2 > h->cap) {
		size_t cap = h->cap == 0 ? 64 : h->cap * 2;
		struct aws_row **grown = reallocarray(h->of, cap, sizeof(*grown));

		if (grown == NULL)
			return false;
		h->of = grown;
		h->cap = cap;
	}
	heap_set(h, ++h->n, r);
	heap_up(h, h->n);
	return true;
}

static void heap_remove(struct row_heap *h, struct aws_row *r)
{
	size_t at = r->heap_at;
	struct aws_row *last = h->of[h->n--];

	r->heap_at = 0;
	if (last == r)
		return;
	heap_set(h, at, last);
	heap_up(h, at);
	heap_down(h, last->heap_at);
}

size_t cache_due(const struct row_cache *c, int64_t due_ns, struct ev_uuid *out, size_t max)
{
	const struct row_heap *h = &c->heap;
	/* Places that may be next: the heap is looked through in order, not taken apart. */
	size_t *next = max > 0 ? reallocarray(NULL, max + 2, sizeof(*next)) : NULL;
	size_t n_next = 0;
	size_t n = 0;

	if (next != NULL && h->n > 0)
		next[n_next++] = 1;
	while (n < max && n_next > 0) {
		size_t best = 0;

		for (size_t i = 1; i < n_next; i++) {
			if (is_earlier(h->of[next[i]], h->of[next[best]]))
				best = i;
		}
		size_t at = next[best];

		if (h->of[at]->due_ns > due_ns)
			break;
		out[n++] = h->of[at]->id;
		next[best] = next[--n_next];
		for (size_t child = 2 * at; child <= 2 * at + 1 && child <= h->n; child++)
			next[n_next++] = child;
	}
	free(next);
	return n;
}

/* --- order of use --- */

static void loose_out(struct row_cache *c, struct aws_row *r)
{
	if (r->newer != NULL)
		r->newer->older = r->older;
	else
		c->newest = r->older;
	if (r->older != NULL)
		r->older->newer = r->newer;
	else
		c->oldest = r->newer;
	r->newer = r->older = NULL;
	c->n_loose--;
}

static void loose_in(struct row_cache *c, struct aws_row *r)
{
	r->older = c->newest;
	r->newer = NULL;
	if (c->newest != NULL)
		c->newest->newer = r;
	else
		c->oldest = r;
	c->newest = r;
	c->n_loose++;
}

static void set_pinned(struct row_cache *c, struct aws_row *r, bool pinned)
{
	if (r->pinned == pinned)
		return;
	if (pinned) {
		loose_out(c, r);
		c->n_pinned++;
	} else {
		loose_in(c, r);
		c->n_pinned--;
	}
	r->pinned = pinned;
}

static void set_unsent(struct row_cache *c, struct aws_row *r, bool unsent)
{
	if (r->unsent == unsent)
		return;
	r->unsent = unsent;
	if (!unsent) {
		if (r->prev_unsent != NULL)
			r->prev_unsent->next_unsent = r->next_unsent;
		else
			c->unsent = r->next_unsent;
		if (r->next_unsent != NULL)
			r->next_unsent->prev_unsent = r->prev_unsent;
		r->next_unsent = r->prev_unsent = NULL;
		c->n_unsent--;
		return;
	}
	r->next_unsent = c->unsent;
	r->prev_unsent = NULL;
	if (c->unsent != NULL)
		c->unsent->prev_unsent = r;
	c->unsent = r;
	c->n_unsent++;
}

struct aws_row *aws_cache_find(struct row_cache *c, enum row_kind kind, const struct ev_uuid *id)
{
	uintptr_t found = 0;
	struct aws_row *r;

	if (!ev_map_get(&c->by_id[kind], id->b, &found))
		return NULL;
	r = (struct aws_row *)found;
	if (!r->pinned) {
		loose_out(c, r);
		loose_in(c, r);
	}
	return r;
}

struct aws_row *aws_cache_add(struct row_cache *c, enum row_kind kind, const struct ev_uuid *id)
{
	struct aws_row *r = calloc(1, row_sizes[kind]);

	if (r == NULL)
		return NULL;
	r->id = *id;
	r->kind = kind;
	if (ev_map_put(&c->by_id[kind], id->b, (uintptr_t)r) != EV_OK) {
		free(r);
		return NULL;
	}
	loose_in(c, r);
	return r;
}

static void free_row(struct aws_row *r)
{
	row_free_was(r);
	free(r->effects);
	row_after_free(r->extra.after);
	if (r->kind == ROW_OUTLET)
		free(outlet_of(r)->blocks.of);
	free(r);
}

void aws_cache_drop(struct row_cache *c, struct aws_row *r)
{
	assert(!r->touched);
	(void)ev_map_remove(&c->by_id[r->kind], r->id.b, NULL);
	if (r->heap_at != 0)
		heap_remove(&c->heap, r);
	set_unsent(c, r, false);
	set_pinned(c, r, false);
	loose_out(c, r);
	free_row(r);
}

static bool has_timer(const struct aws_row *r, const struct outlet_rules *rules, int64_t *out_due)
{
	struct outlet_input in;

	return r->kind == ROW_OUTLET && !r->stale &&
	       outlet_next_timer(&((const struct outlet_entry *)r)->row, rules, out_due, &in);
}

void aws_cache_settle(struct row_cache *c, struct aws_row *r, const struct outlet_rules *rules,
		      size_t max_pinned)
{
	int64_t due_ns = 0;
	bool timer = has_timer(r, rules, &due_ns);
	bool must = r->touched || r->stale || row_is_unsent(r);

	/* Beyond the limit timers are left to the sweep. */
	timer = timer && (must || r->pinned || c->n_pinned < max_pinned);
	if (r->heap_at != 0 && (!timer || due_ns != r->due_ns))
		heap_remove(&c->heap, r);
	r->due_ns = due_ns;
	if (timer && r->heap_at == 0)
		(void)heap_add(&c->heap, r); /* without memory: as beyond the limit */
	set_unsent(c, r, r->stale || row_is_unsent(r));
	set_pinned(c, r, must || r->heap_at != 0);
}

void cache_trim(struct row_cache *c, size_t max_rows)
{
	while (c->n_loose > max_rows)
		aws_cache_drop(c, c->oldest);
}

void aws_cache_deinit(struct row_cache *c)
{
	for (unsigned i = 0; i < ROW_KIND_COUNT; i++) {
		const uint8_t *key;
		uintptr_t found;
		size_t at = 0;

		while (ev_map_next(&c->by_id[i], &at, &key, &found))
			free_row((struct aws_row *)found);
		ev_map_deinit(&c->by_id[i]);
	}
	free(c->heap.of);
}
