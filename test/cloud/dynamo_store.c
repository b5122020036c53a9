/* test/cloud/dynamo_store.c — tables, rows and their versions. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cloud/dynamo.h"

#define VERSIONS_MAX 32
#define SWEEP_EVERY 512

struct dynamo_table *dynamo_find(struct cloud *c, struct ev_str name)
{
	struct dynamo_table *t = c->tables;

	while (t != NULL && !ev_str_eq(t->name, name))
		t = t->next;
	return t;
}

uint64_t dynamo_token(const struct value *hash)
{
	uint8_t digest[16];
	uint64_t token = 0;

	ev_hash128(&hash->text, 1, digest);
	for (unsigned i = 0; i < 8; i++)
		token = token << 8 | digest[i];
	return token;
}

/* --- Freeing --- */

static void version_free(struct version *v)
{
	while (v != NULL) {
		struct version *older = v->older;

		pool_clear(&v->pool);
		free(v);
		v = older;
	}
}

static void row_free(struct row *row)
{
	version_free(row->newest);
	pool_clear(&row->pool);
	free(row);
}

static void partition_free(struct partition *p)
{
	for (size_t i = 0; i < p->n; i++)
		row_free(p->rows[i]);
	free(p->rows);
	pool_clear(&p->pool);
	free(p);
}

void dynamo_table_free(struct dynamo_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		partition_free(t->partitions[i]);
	free(t->partitions);
	pool_clear(&t->pool);
	free(t);
}

void dynamo_free(struct cloud *c)
{
	while (c->tables != NULL) {
		struct dynamo_table *next = c->tables->next;

		dynamo_table_free(c->tables);
		c->tables = next;
	}
}

/* --- Finding --- */

static int partition_order(const struct partition *p, uint64_t token, const struct value *hash)
{
	if (p->token != token)
		return p->token < token ? -1 : 1;
	return value_order(p->hash, hash);
}

/* Where it is or would be. */
static size_t partition_place(const struct dynamo_table *t, uint64_t token,
			      const struct value *hash, bool *found)
{
	size_t low = 0, high = t->n;

	*found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = partition_order(t->partitions[mid], token, hash);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static size_t row_place(const struct partition *p, const struct value *range, bool *found)
{
	size_t low = 0, high = p->n;

	*found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = range == NULL ? 0 : value_order(p->rows[mid]->range, range);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct value *range_of(const struct dynamo_table *t, const struct item *key)
{
	return t->key.range.n > 0 ? item_get(key, t->key.range) : NULL;
}

struct row *dynamo_row(const struct dynamo_table *t, const struct item *key)
{
	const struct value *hash = item_get(key, t->key.hash);
	bool found;
	size_t at = partition_place(t, dynamo_token(hash), hash, &found);
	const struct partition *p = found ? t->partitions[at] : NULL;

	if (p == NULL)
		return NULL;
	at = row_place(p, range_of(t, key), &found);
	return found ? p->rows[at] : NULL;
}

/* --- Making --- */

static struct partition *partition_make(struct dynamo_table *t, const struct value *hash)
{
	uint64_t token = dynamo_token(hash);
	bool found;
	size_t at = partition_place(t, token, hash, &found);
	struct partition *p;

	if (found)
		return t->partitions[at];
	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 16 : 2 * t->cap;
		t->partitions = must_realloc(t->partitions, t->cap, sizeof(*t->partitions));
	}
	p = must_calloc(1, sizeof(*p));
	p->token = token;
	p->hash = value_copy(&p->pool, hash);
	memmove(t->partitions + at + 1, t->partitions + at, (t->n - at) * sizeof(*t->partitions));
	t->partitions[at] = p;
	t->n++;
	return p;
}

struct row *dynamo_row_make(struct dynamo_table *t, const struct item *key)
{
	struct partition *p = partition_make(t, item_get(key, t->key.hash));
	const struct value *range = range_of(t, key);
	bool found;
	size_t at = row_place(p, range, &found);
	struct row *row;

	if (found)
		return p->rows[at];
	if (p->n == p->cap) {
		p->cap = p->cap == 0 ? 4 : 2 * p->cap;
		p->rows = must_realloc(p->rows, p->cap, sizeof(*p->rows));
	}
	row = must_calloc(1, sizeof(*row));
	if (range != NULL)
		row->range = value_copy(&row->pool, range);
	memmove(p->rows + at + 1, p->rows + at, (p->n - at) * sizeof(*p->rows));
	p->rows[at] = row;
	p->n++;
	return row;
}

/* --- Seeing --- */

const struct version *row_see(struct cloud *c, const struct row *row, enum sight sight)
{
	const struct version *v = row->newest;
	int64_t now = cloud_mono_ns(c);
	uint64_t back = sight == SIGHT_STALE ? 1 + cloud_below(c, 3) : 0;

	while (v != NULL) {
		bool hidden = sight == SIGHT_INDEX ? v->at_ns > now - c->config.index_lag_ns
						   : back > 0 && v->at_ns > now - STALE_MAX_NS;

		if (!hidden || (v->older == NULL && row->cut))
			break;
		back -= back > 0;
		v = v->older;
	}
	return v == NULL || v->gone ? NULL : v;
}

/* --- Writing --- */

static int64_t horizon(struct cloud *c)
{
	int64_t lag = c->config.index_lag_ns;

	return cloud_mono_ns(c) - (lag > STALE_MAX_NS ? lag : STALE_MAX_NS);
}

/* Nobody can see what is behind the first version beyond the horizon. */
static void row_trim(struct cloud *c, struct row *row)
{
	struct version *v = row->newest;
	unsigned n = 1;

	while (v != NULL && v->at_ns > horizon(c) && n < VERSIONS_MAX) {
		v = v->older;
		n++;
	}
	if (v == NULL || v->older == NULL)
		return;
	version_free(v->older);
	v->older = NULL;
	row->cut = true;
}

static bool row_is_dead(struct cloud *c, const struct row *row)
{
	return row->newest == NULL || (row->newest->gone && row->newest->at_ns <= horizon(c));
}

static void table_sweep(struct cloud *c, struct dynamo_table *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct partition *p = t->partitions[i];
		size_t left = 0;

		for (size_t k = 0; k < p->n; k++) {
			if (row_is_dead(c, p->rows[k]))
				row_free(p->rows[k]);
			else
				p->rows[left++] = p->rows[k];
		}
		p->n = left;
		if (left == 0)
			partition_free(p);
		else
			t->partitions[kept++] = p;
	}
	t->n = kept;
}

static uint64_t write_units(size_t before, size_t after)
{
	size_t size = before > after ? before : after;

	return size <= 1024 ? 1 : (size + 1023) / 1024;
}

/* One for an entry that is new, gone or changed; two if its key moved. */
static uint64_t index_units(const struct dynamo_table *t, const struct dynamo_index *index,
			    const struct item *before, const struct item *after)
{
	struct pool p = { 0 };
	struct item old, new;
	bool was = before != NULL && index_entry(&p, t, index, before, &old);
	bool is = after != NULL && index_entry(&p, t, index, after, &new);
	uint64_t units = 0;

	if (was && is) {
		struct item old_key = key_of(&p, t, index, &old);
		struct item new_key = key_of(&p, t, index, &new);

		if (!item_equal(&old_key, &new_key))
			units = write_units(item_size(&old), 0) + write_units(0, item_size(&new));
		else if (!item_equal(&old, &new))
			units = write_units(item_size(&old), item_size(&new));
	} else if (was || is) {
		units = write_units(was ? item_size(&old) : 0, is ? item_size(&new) : 0);
	}
	pool_clear(&p);
	return units;
}

void dynamo_write(struct cloud *c, struct dynamo_table *t, const struct item *key,
		  const struct item *it, struct usage *usage)
{
	struct row *row = dynamo_row_make(t, key);
	struct version *old = row->newest != NULL && !row->newest->gone ? row->newest : NULL;
	struct version *v = must_calloc(1, sizeof(*v));

	v->at_ns = cloud_mono_ns(c);
	v->gone = it == NULL;
	if (it != NULL) {
		v->item = item_copy(&v->pool, it);
		v->size = item_size(it);
	}
	usage->writes += write_units(old != NULL ? old->size : 0, v->size);
	for (const struct dynamo_index *i = t->indexes; i != NULL; i = i->next)
		usage->index_writes += index_units(t, i, old != NULL ? &old->item : NULL, it);
	if (old == NULL && v->gone) {
		pool_clear(&v->pool); /* there was nothing to delete */
		free(v);
		return;
	}
	v->older = row->newest;
	row->newest = v;
	row_trim(c, row);
	if (++t->writes >= SWEEP_EVERY) {
		t->writes = 0;
		table_sweep(c, t);
	}
}
