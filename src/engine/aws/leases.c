#include "engine/aws/leases.h"

#include <stdlib.h>
#include <string.h>

ev_err leases_init(struct leases *l, struct ev_str worker, int64_t expire_ns, int64_t orphan_ns)
{
	if (worker.n == 0 || worker.n > LEASE_OWNER_MAX || memchr(worker.p, '\0', worker.n) != NULL)
		return EV_INVALID;
	*l = (struct leases){ .expire_ns = expire_ns, .orphan_ns = orphan_ns };
	memcpy(l->worker, worker.p, worker.n);
	return EV_OK;
}

void leases_deinit(struct leases *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->of[i]);
	free(l->of);
	free(l->names);
	*l = (struct leases){ .n = 0 };
}

/* --- What is known --- */

/* Where the key is, or would be. */
static size_t place_of(const struct leases *l, const char *key, bool *out_found)
{
	size_t low = 0;
	size_t high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(l->of[mid]->row.key, key);

		if (order == 0) {
			*out_found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*out_found = false;
	return low;
}

struct lease *leases_find(const struct leases *l, const char *key)
{
	bool found;
	size_t at = place_of(l, key, &found);

	return found ? l->of[at] : NULL;
}

static ev_err grow(struct leases *l)
{
	size_t cap = l->cap == 0 ? 16 : 2 * l->cap;
	struct lease **of = realloc(l->of, cap * sizeof(struct lease *));
	const char **names;

	if (of == NULL)
		return EV_NOMEM;
	l->of = of;
	names = realloc(l->names, cap * sizeof(const char *));
	if (names == NULL)
		return EV_NOMEM;
	l->names = names;
	l->cap = cap;
	return EV_OK;
}

/* The lease of a key, made if need be.  EV_FULL, EV_NOMEM. */
static ev_err lease_of(struct leases *l, const char *key, struct lease **out)
{
	bool found;
	size_t at = place_of(l, key, &found);
	struct lease *lease;

	if (found) {
		*out = l->of[at];
		return EV_OK;
	}
	if (l->n == LEASES_MAX) {
		l->n_refused++;
		return EV_FULL;
	}
	if (l->n == l->cap && grow(l) != EV_OK)
		return EV_NOMEM;
	lease = calloc(1, sizeof(*lease));
	if (lease == NULL)
		return EV_NOMEM;
	memcpy(lease->row.key, key, strlen(key) + 1);
	memmove(&l->of[at + 1], &l->of[at], (l->n - at) * sizeof(l->of[0]));
	l->of[at] = lease;
	l->n++;
	*out = lease;
	return EV_OK;
}

/* Forgets what is neither in the table nor in the stream. */
static void sweep(struct leases *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct lease *lease = l->of[i];

		if (lease->listed || lease->exists || lease->held || lease->busy)
			l->of[kept++] = lease;
		else
			free(lease);
	}
	l->n = kept;
}

ev_err leases_list(struct leases *l, const struct lease_shard *shards, size_t n)
{
	ev_err err = EV_OK;

	for (size_t i = 0; i < l->n; i++)
		l->of[i]->listed = false;
	for (size_t i = 0; i < n; i++) {
		struct lease *lease;
		ev_err e = lease_of(l, shards[i].id, &lease);

		if (e != EV_OK) {
			if (e != EV_FULL)
				err = e;
			continue;
		}
		lease->listed = true;
		lease->n_parents = shards[i].n_parents;
		memcpy(lease->parents, shards[i].parents, sizeof(shards[i].parents));
	}
	sweep(l);
	return err;
}

void leases_scan_begin(struct leases *l)
{
	l->turn++;
}

static void take_row(struct lease *lease, const struct lease_row *row, int64_t now_ns)
{
	bool same = lease->exists && !lease->stale && lease->row.counter == row->counter &&
		    strcmp(lease->row.owner, row->owner) == 0;

	lease->row = *row;
	lease->exists = true;
	lease->stale = false;
	if (!same)
		lease->since_ns = now_ns;
	if (!lease->listed) {
		lease->n_parents = row->n_parents;
		memcpy(lease->parents, row->parents, sizeof(row->parents));
	}
}

ev_err leases_scan_row(struct leases *l, const struct lease_row *row, int64_t now_ns)
{
	struct lease *lease;
	ev_err e = lease_of(l, row->key, &lease);

	if (e != EV_OK)
		return e == EV_FULL ? EV_OK : e;
	lease->seen = l->turn;
	if (!lease->held && !lease->busy)
		take_row(lease, row, now_ns);
	return EV_OK;
}

void leases_scan_end(struct leases *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct lease *lease = l->of[i];

		if (lease->seen == l->turn || lease->held || lease->busy)
			continue;
		lease->exists = false;
		lease->stale = false;
	}
	sweep(l);
}

/* --- The plan --- */

static bool is_ended(const struct lease *lease)
{
	return lease->exists && lease->row.checkpoint.kind == LEASE_SHARD_END;
}

static bool is_ready(const struct leases *l, const struct lease *lease)
{
	for (unsigned i = 0; i < lease->n_parents; i++) {
		const struct lease *parent = leases_find(l, lease->parents[i]);

		if (parent != NULL && parent->listed && !is_ended(parent))
			return false;
	}
	return true;
}

bool leases_is_wanted(const struct leases *l, const struct lease *lease)
{
	return lease->listed && !is_ended(lease) && is_ready(l, lease);
}

static bool is_own_name(const struct leases *l, const struct lease *lease)
{
	return strcmp(lease->row.owner, l->worker) == 0;
}

/* Somebody else has it, and is alive. */
static bool is_others(const struct leases *l, const struct lease *lease, int64_t now_ns)
{
	return lease->exists && !lease->held && lease->row.owner[0] != '\0' &&
	       !is_own_name(l, lease) && now_ns - lease->since_ns < l->expire_ns;
}

struct shares {
	size_t wanted, held;
	size_t n_owners; /* others */
	const char *busiest;
	size_t busiest_n;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct shares shares_of(struct leases *l, int64_t now_ns)
{
	struct shares s = { .wanted = 0 };
	size_t n_names = 0;
	size_t run = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct lease *lease = l->of[i];

		if (!leases_is_wanted(l, lease))
			continue;
		s.wanted++;
		s.held += lease->held;
		if (is_others(l, lease, now_ns))
			l->names[n_names++] = lease->row.owner;
	}
	if (n_names > 0)
		qsort(l->names, n_names, sizeof(l->names[0]), by_name);
	for (size_t i = 0; i < n_names; i++) {
		bool first = i == 0 || strcmp(l->names[i - 1], l->names[i]) != 0;

		s.n_owners += first;
		run = first ? 1 : run + 1;
		if (run > s.busiest_n) {
			s.busiest_n = run;
			s.busiest = l->names[i];
		}
	}
	return s;
}

/* May be taken now; share: there is room in ours. */
static bool is_free(const struct leases *l, const struct lease *lease, int64_t now_ns, bool share)
{
	if (lease->held || lease->busy || lease->stale || !leases_is_wanted(l, lease))
		return false;
	if (!lease->exists || is_others(l, lease, now_ns))
		return false;
	return share || is_own_name(l, lease) || now_ns - lease->since_ns >= l->orphan_ns;
}

/* Comes after a shard that was read to its end: records wait behind it now. */
static bool is_child(const struct leases *l, const struct lease *lease)
{
	for (unsigned i = 0; i < lease->n_parents; i++) {
		const struct lease *parent = leases_find(l, lease->parents[i]);

		if (parent != NULL && parent->listed && is_ended(parent))
			return true;
	}
	return false;
}

/* Whoever comes first makes the row; it is its own if its share, or one beyond it, allows. */
static void plan_create(struct leases *l, struct lease *lease, bool own, struct lease_step *out)
{
	lease->row.counter = 0;
	lease->row.checkpoint = (struct lease_checkpoint){ .kind = LEASE_TRIM_HORIZON };
	lease->row.n_parents = lease->n_parents;
	memcpy(lease->row.parents, lease->parents, sizeof(lease->parents));
	lease->row.owner[0] = '\0';
	if (own)
		memcpy(lease->row.owner, l->worker, sizeof(l->worker));
	*out = (struct lease_step){ .kind = LEASE_CREATE, .lease = lease };
}

static size_t plan_free(struct leases *l, int64_t now_ns, uint64_t pick, size_t share, size_t *held,
			struct lease_step *out, size_t max)
{
	size_t n = 0;

	for (size_t k = 0; k < l->n && n < max; k++) {
		struct lease *lease = l->of[(pick + k) % l->n];
		bool room = *held < share;

		if (!lease->exists && !lease->busy && leases_is_wanted(l, lease)) {
			bool own = room || (*held == share && is_child(l, lease));

			plan_create(l, lease, own, &out[n++]);
			*held += own;
		} else if (is_free(l, lease, now_ns, room)) {
			out[n++] = (struct lease_step){ .kind = LEASE_TAKE, .lease = lease };
			(*held)++;
		}
	}
	return n;
}

static size_t plan_steal(struct leases *l, int64_t now_ns, uint64_t pick, const struct shares *s,
			 struct lease_step *out)
{
	if (s->busiest_n < s->held + 2)
		return 0;
	for (size_t k = 0; k < l->n; k++) {
		struct lease *lease = l->of[(pick + k) % l->n];

		if (lease->busy || lease->stale || !is_others(l, lease, now_ns) ||
		    !leases_is_wanted(l, lease) || strcmp(lease->row.owner, s->busiest) != 0)
			continue;
		*out = (struct lease_step){ .kind = LEASE_STEAL, .lease = lease };
		return 1;
	}
	return 0;
}

size_t leases_plan(struct leases *l, int64_t now_ns, uint64_t pick, struct lease_step *out,
		   size_t max)
{
	struct shares s = shares_of(l, now_ns);
	size_t workers = s.n_owners + 1;
	size_t share = (s.wanted + workers - 1) / workers;
	size_t n;

	if (l->n == 0 || max == 0)
		return 0;
	pick %= l->n;
	n = plan_free(l, now_ns, pick, share, &s.held, out, max);
	if (n == 0)
		n = plan_steal(l, now_ns, pick, &s, out);
	return n;
}

/* --- What came of it --- */

static void hold(struct leases *l, struct lease *lease, int64_t now_ns)
{
	memcpy(lease->row.owner, l->worker, sizeof(l->worker));
	lease->exists = true;
	lease->stale = false;
	lease->held = true;
	lease->since_ns = now_ns;
}

void leases_taken(struct leases *l, struct lease *lease, int64_t now_ns)
{
	if (lease->exists)
		lease->row.counter++;
	hold(l, lease, now_ns);
}

void leases_created(struct lease *lease, int64_t now_ns)
{
	lease->exists = true;
	lease->since_ns = now_ns;
}

void leases_written(struct lease *lease, const struct lease_checkpoint *checkpoint, int64_t now_ns)
{
	lease->row.counter++;
	if (checkpoint != NULL)
		lease->row.checkpoint = *checkpoint;
	lease->since_ns = now_ns;
}

void leases_lost(struct lease *lease)
{
	lease->held = false;
	lease->exists = true;
	lease->stale = true;
}

bool leases_reread(struct leases *l, struct lease *lease, const struct lease_row *row,
		   int64_t now_ns)
{
	lease->row = *row;
	lease->exists = true;
	lease->stale = false;
	lease->since_ns = now_ns;
	lease->held = lease->held && is_own_name(l, lease);
	return lease->held;
}

void leases_released(struct lease *lease, int64_t now_ns)
{
	lease->held = false;
	lease->row.owner[0] = '\0';
	lease->since_ns = now_ns;
}

size_t leases_n_held(const struct leases *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->of[i]->held;
	return n;
}

size_t leases_n_listed(const struct leases *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->of[i]->listed;
	return n;
}
