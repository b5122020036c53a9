/* cut_disk.c — see the header. */
#include "cut_disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *cut_how_text(enum cut_how how)
{
	static const char *const texts[CUT_HOW_COUNT] = {
		[CUT_NOTHING] = "nothing unsynced kept", [CUT_EVERYTHING] = "everything kept",
		[CUT_PREFIX] = "the first steps kept",   [CUT_WRITES] = "any writes kept",
		[CUT_SECTORS] = "any sectors kept",      [CUT_GARBAGE] = "any sectors, garbage",
	};

	assert(how < CUT_HOW_COUNT);
	return texts[how];
}

const char *cut_place_text(enum cut_place place)
{
	static const char *const texts[CUT_PLACE_COUNT] = {
		[CUT_AT_REST] = "at rest",        [CUT_IN_NAMES] = "making or removing a file",
		[CUT_IN_LOG] = "writing the log", [CUT_IN_FILE] = "writing the file",
		[CUT_IN_SYNC] = "in a sync",
	};

	assert(place < CUT_PLACE_COUNT);
	return texts[place];
}

static void *must(void *p)
{
	assert(p != NULL && "out of memory");
	return p;
}

static void resize(struct cut_bytes *b, size_t n)
{
	if (n > b->cap) {
		b->cap = n < 4096 ? 4096 : n + n / 2;
		b->p = must(realloc(b->p, b->cap));
	}
	if (n > b->n)
		memset(b->p + b->n, 0, n - b->n);
	b->n = n;
}

static void put(struct cut_bytes *b, const uint8_t *p, size_t n, size_t at)
{
	if (at + n > b->n)
		resize(b, at + n);
	memcpy(b->p + at, p, n);
}

static void apply(struct cut_bytes *b, const struct cut_op *op)
{
	if (op->truncate)
		resize(b, op->at);
	else
		put(b, op->bytes, op->n, op->at);
}

static void forget_ops(struct cut_inode *f)
{
	for (size_t i = 0; i < f->n_ops; i++)
		free(f->ops[i].bytes);
	f->n_ops = 0;
}

static void free_inode(struct cut_inode *f)
{
	forget_ops(f);
	free(f->ops);
	free(f->now.p);
	free(f->durable.p);
	free(f);
}

void cut_disk_init(struct cut_disk *d)
{
	*d = (struct cut_disk){ .trace = UINT64_C(0xcbf29ce484222325) };
}

void cut_disk_deinit(struct cut_disk *d)
{
	while (d->inodes != NULL) {
		struct cut_inode *f = d->inodes;

		d->inodes = f->next;
		free_inode(f);
	}
}

static void trace(struct cut_disk *d, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		d->trace = (d->trace ^ b[i]) * UINT64_C(0x100000001b3);
}

/* One step more: false if the power is gone; *last: it goes during this step. */
static bool step(struct cut_disk *d, enum cut_place place, const char *name, size_t n, size_t at,
		 bool *last)
{
	if (d->dead)
		return false;
	d->steps++;
	trace(d, &place, sizeof(place));
	trace(d, name, strlen(name));
	trace(d, &n, sizeof(n));
	trace(d, &at, sizeof(at));
	*last = d->cut_at > 0 && (d->cut_in == CUT_AT_REST || d->cut_in == place) &&
		--d->cut_at == 0;
	if (*last) {
		d->dead = true;
		d->place = place;
		(void)snprintf(d->last, sizeof(d->last), "step %llu, %s: %s, %zu bytes at %zu",
			       (unsigned long long)d->steps, cut_place_text(place), name, n, at);
	}
	return true;
}

static enum cut_place place_of(const struct cut_inode *f)
{
	return f->is_log ? CUT_IN_LOG : CUT_IN_FILE;
}

static struct cut_name *entry(struct cut_disk *d, const char *name)
{
	for (size_t i = 0; i < d->n_names; i++) {
		if (strcmp(d->names[i].name, name) == 0)
			return &d->names[i];
	}
	return NULL;
}

static struct cut_inode *stands_for(const struct cut_name *e)
{
	return e->inodes[e->n - 1];
}

static const char *base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash == NULL ? name : slash + 1;
}

static const char *name_of(const struct cut_disk *d, const struct cut_inode *f)
{
	for (size_t i = 0; i < d->n_names; i++) {
		if (stands_for(&d->names[i]) == f)
			return base_name(d->names[i].name);
	}
	return "an unnamed file";
}

struct cut_inode *cut_disk_find(struct cut_disk *d, const char *name)
{
	struct cut_name *e = entry(d, name);

	return e == NULL || d->dead ? NULL : stands_for(e);
}

static void change_name(struct cut_disk *d, const char *name, struct cut_inode *f)
{
	struct cut_name *e = entry(d, name);

	if (e == NULL) {
		assert(d->n_names < CUT_NAMES && strlen(name) < CUT_NAME_MAX);
		e = &d->names[d->n_names++];
		memcpy(e->name, name, strlen(name) + 1);
		e->n = 1; /* nothing, since ever */
	}
	assert(e->n < CUT_CHANGES);
	e->steps[e->n] = d->steps;
	e->inodes[e->n++] = f;
}

bool cut_disk_create(struct cut_disk *d, const char *name, bool is_log, struct cut_inode **out)
{
	bool last;
	struct cut_inode *f;

	if (!step(d, CUT_IN_NAMES, base_name(name), 0, 0, &last))
		return false;
	f = must(calloc(1, sizeof(*f)));
	f->is_log = is_log;
	f->next = d->inodes;
	d->inodes = f;
	change_name(d, name, f);
	*out = f;
	return !last;
}

bool cut_disk_delete(struct cut_disk *d, const char *name)
{
	bool last;

	if (!step(d, CUT_IN_NAMES, base_name(name), 0, 0, &last))
		return false;
	change_name(d, name, NULL);
	return !last;
}

static void note(struct cut_disk *d, struct cut_inode *f, const struct cut_op *op)
{
	if (f->n_ops == f->max_ops) {
		f->max_ops = f->max_ops == 0 ? 64 : 2 * f->max_ops;
		f->ops = must(realloc(f->ops, f->max_ops * sizeof(f->ops[0])));
	}
	f->ops[f->n_ops] = *op;
	f->ops[f->n_ops++].step = d->steps;
	apply(&f->now, op);
}

bool cut_disk_write(struct cut_disk *d, struct cut_inode *f, const void *p, size_t n, size_t at)
{
	struct cut_op op = { .at = at, .n = n };
	bool last;

	if (!step(d, place_of(f), name_of(d, f), n, at, &last))
		return false;
	trace(d, p, n);
	op.bytes = must(malloc(n));
	memcpy(op.bytes, p, n);
	note(d, f, &op);
	return !last;
}

bool cut_disk_truncate(struct cut_disk *d, struct cut_inode *f, size_t size)
{
	struct cut_op op = { .truncate = true, .at = size };
	bool last;

	if (!step(d, place_of(f), name_of(d, f), 0, size, &last))
		return false;
	note(d, f, &op);
	return !last;
}

/* The power may go before a sync has done its work: then what it would have kept is as before. */
bool cut_disk_sync(struct cut_disk *d, struct cut_inode *f)
{
	bool last;

	if (!step(d, CUT_IN_SYNC, name_of(d, f), 0, 0, &last) || last)
		return false;
	d->n_syncs++;
	if ((d->lies & (f->is_log ? CUT_LIE_LOG : CUT_LIE_DB)) != 0)
		return true;
	for (size_t i = 0; i < f->n_ops; i++)
		apply(&f->durable, &f->ops[i]);
	forget_ops(f);
	return true;
}

static void settle_name(struct cut_name *e, size_t which)
{
	e->inodes[0] = e->inodes[which];
	e->n = 1;
}

bool cut_disk_sync_dir(struct cut_disk *d)
{
	bool last;

	if (!step(d, CUT_IN_SYNC, "the directory", 0, 0, &last) || last)
		return false;
	d->n_syncs++;
	if ((d->lies & CUT_LIE_DIR) != 0)
		return true;
	for (size_t i = 0; i < d->n_names; i++)
		settle_name(&d->names[i], d->names[i].n - 1);
	return true;
}

void cut_disk_cut(struct cut_disk *d)
{
	if (d->dead)
		return;
	d->dead = true;
	d->place = CUT_AT_REST;
	(void)snprintf(d->last, sizeof(d->last), "at rest after step %llu",
		       (unsigned long long)d->steps);
}

/* The sectors of one write that made it, the others as they were or, where there was none, odd. */
static void tear(struct cut_disk *d, struct cut_bytes *b, const struct cut_op *op, enum cut_how how,
		 struct ev_rng *rng)
{
	for (size_t at = op->at, end; at < op->at + op->n; at = end) {
		size_t old = b->n;

		end = at - at % CUT_SECTOR + CUT_SECTOR;
		if (end > op->at + op->n)
			end = op->at + op->n;
		if (ev_rng_below(rng, 2) == 0) {
			put(b, op->bytes + (at - op->at), end - at, at);
			continue;
		}
		d->n_dropped++;
		if (how != CUT_GARBAGE || end <= old || ev_rng_below(rng, 2) == 0)
			continue;
		resize(b, end);
		ev_rng_fill(rng, b->p + (at > old ? at : old), end - (at > old ? at : old));
	}
}

static void survive(struct cut_disk *d, struct cut_bytes *b, const struct cut_op *op,
		    enum cut_how how, uint64_t until, struct ev_rng *rng)
{
	bool keep = how == CUT_EVERYTHING || (how == CUT_PREFIX && op->step <= until);

	if (how >= CUT_WRITES)
		keep = ev_rng_below(rng, 2) == 0;
	if (keep && how >= CUT_SECTORS && !op->truncate)
		tear(d, b, op, how, rng);
	else if (keep)
		apply(b, op);
	else
		d->n_dropped++;
}

static void boot_name(struct cut_name *e, enum cut_how how, uint64_t until, struct ev_rng *rng)
{
	size_t which = how == CUT_EVERYTHING ? e->n - 1 : 0;

	if (how >= CUT_WRITES)
		which = (size_t)ev_rng_below(rng, e->n);
	while (how == CUT_PREFIX && which + 1 < e->n && e->steps[which + 1] <= until)
		which++;
	settle_name(e, which);
}

static void boot_inode(struct cut_disk *d, struct cut_inode *f, enum cut_how how, uint64_t until,
		       struct ev_rng *rng)
{
	for (size_t i = 0; i < f->n_ops; i++)
		survive(d, &f->durable, &f->ops[i], how, until, rng);
	forget_ops(f);
	resize(&f->now, 0);
	if (f->durable.n > 0)
		put(&f->now, f->durable.p, f->durable.n, 0);
}

static bool is_named(const struct cut_disk *d, const struct cut_inode *f)
{
	for (size_t i = 0; i < d->n_names; i++) {
		if (d->names[i].inodes[0] == f)
			return true;
	}
	return false;
}

void cut_disk_boot(struct cut_disk *d, enum cut_how how, struct ev_rng *rng)
{
	uint64_t until = ev_rng_below(rng, d->steps + 1);

	for (size_t i = 0; i < d->n_names; i++)
		boot_name(&d->names[i], how, until, rng);
	for (struct cut_inode **at = &d->inodes; *at != NULL;) {
		struct cut_inode *f = *at;

		if (is_named(d, f)) {
			boot_inode(d, f, how, until, rng);
			at = &f->next;
		} else {
			*at = f->next;
			free_inode(f);
		}
	}
	d->steps = 0;
	d->cut_at = 0;
	d->dead = false;
}

/* A new file each time: some file systems wait for the disk where an old one is cut short. */
static void write_file(const char *name, const struct cut_bytes *b)
{
	ssize_t n;
	int fd;

	(void)unlink(name);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert(fd >= 0);
	n = b->n == 0 ? 0 : pwrite(fd, b->p, b->n, 0);
	assert(n >= 0 && (size_t)n == b->n);
	(void)close(fd);
}

void cut_disk_export(const struct cut_disk *d)
{
	for (size_t i = 0; i < d->n_names; i++) {
		const struct cut_name *e = &d->names[i];

		if (stands_for(e) != NULL)
			write_file(e->name, &stands_for(e)->now);
		else if (unlink(e->name) != 0)
			assert(errno == ENOENT);
	}
}
