/* cut_fleet.c — see the header: a fleet's lives. */
#include "cut_fleet.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "cut_vfs.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)
#define CUTS_MAX 4 /* of one disk */
#define BATCHES_MAX 24

const char *cut_bug_text(enum cut_bug bug)
{
	static const char *const texts[BUG_COUNT] = {
		[BUG_NONE] = "none",
		[BUG_SYNCS_IGNORED] = "all syncs ignored",
		[BUG_LOG_SYNC_IGNORED] = "syncs of the log ignored",
		[BUG_FILE_SYNC_IGNORED] = "a checkpoint without its sync",
		[BUG_DIR_SYNC_IGNORED] = "syncs of the directory ignored",
		[BUG_SYNCHRONOUS_OFF] = "synchronous=OFF",
		[BUG_SYNCHRONOUS_NORMAL] = "synchronous=NORMAL",
		[BUG_ACK_BEFORE_END] = "acknowledged before the commit",
		[BUG_TWO_TRANSACTIONS] = "a group in two transactions",
	};

	assert(bug < BUG_COUNT);
	return texts[bug];
}

bool fleet_fail(struct fleet *f, const char *format, ...)
{
	va_list args;

	if (f->failure[0] != '\0')
		return false;
	va_start(args, format);
	(void)vsnprintf(f->failure, sizeof(f->failure), format, args);
	va_end(args);
	for (char *p = f->failure; *p != '\0'; p++)
		*p = *p == '\n' ? ' ' : *p;
	return false;
}

bool fleet_is_dead(struct fleet *f)
{
	bool dead;

	cut_vfs_lock();
	dead = f->disk.dead;
	cut_vfs_unlock();
	return dead;
}

/* Bugs that sit between the pump and the engine: its operations with one replaced. */
static struct {
	const struct store_ops *real;
	struct store_ops ops;
	bool owes_end;
} bad;

static ev_err begin_late(struct store *s)
{
	ev_err e = bad.owes_end ? bad.real->end(s) : EV_OK;

	bad.owes_end = false;
	return e == EV_OK ? bad.real->begin(s) : e;
}

static ev_err end_later(struct store *s)
{
	(void)s;
	bad.owes_end = true;
	return EV_OK;
}

static ev_err commit_alone(struct store *s, const struct unit *units, size_t n, ev_err *results)
{
	ev_err first = bad.real->commit(s, units, n, results);
	ev_err e = first == EV_OK ? bad.real->end(s) : EV_OK;

	if (first == EV_OK && e == EV_OK)
		e = bad.real->begin(s);
	return first == EV_OK ? e : first;
}

static void pragma(const char *text)
{
	int rc = sqlite3_exec(cut_vfs_writer(), text, NULL, NULL, NULL);

	assert(rc == SQLITE_OK);
}

static void plant(struct fleet *f)
{
	bad.real = f->store->ops;
	bad.ops = *bad.real;
	bad.owes_end = false;
	if (f->bug == BUG_ACK_BEFORE_END) {
		bad.ops.begin = begin_late;
		bad.ops.end = end_later;
	} else if (f->bug == BUG_TWO_TRANSACTIONS) {
		bad.ops.commit = commit_alone;
	} else if (f->bug == BUG_SYNCHRONOUS_OFF) {
		pragma("PRAGMA synchronous=OFF");
	} else if (f->bug == BUG_SYNCHRONOUS_NORMAL) {
		pragma("PRAGMA synchronous=NORMAL");
	}
	f->store->ops = &bad.ops;
}

static unsigned lies_of(enum cut_bug bug)
{
	switch (bug) {
	case BUG_SYNCS_IGNORED:
		return CUT_LIE_ALL;
	case BUG_LOG_SYNC_IGNORED:
		return CUT_LIE_LOG;
	case BUG_FILE_SYNC_IGNORED:
		return CUT_LIE_DB;
	case BUG_DIR_SYNC_IGNORED:
		return CUT_LIE_DIR;
	case BUG_NONE:
	case BUG_SYNCHRONOUS_OFF:
	case BUG_SYNCHRONOUS_NORMAL:
	case BUG_ACK_BEFORE_END:
	case BUG_TWO_TRANSACTIONS:
	case BUG_COUNT:
		break;
	}
	return 0;
}

static int64_t now(void *user)
{
	struct fleet *f = user;

	return ev_clock_wall_ns(&f->clock.base);
}

static void on_command(void *user, const struct device_command *c)
{
	struct fleet *f = user;
	struct fleet_outlet *o = NULL;

	for (unsigned i = 0; i < f->n_outlets; i++) {
		if (ev_uuid_eq(&f->outlets[i].id, &c->outlet_id))
			o = &f->outlets[i];
	}
	assert(o != NULL);
	if (c->version < o->command_version ||
	    (c->version == o->command_version && c->index <= o->command_index))
		fleet_fail(f, "a command's version went back");
	o->command_version = c->version;
	o->command_index = c->index;
	if (c->has_session) {
		o->has_session = true;
		o->session_id = c->session_id;
	}
	if (f->n_commands == f->max_commands) {
		f->max_commands = f->max_commands == 0 ? 64 : 2 * f->max_commands;
		f->commands = realloc(f->commands, f->max_commands * sizeof(f->commands[0]));
		assert(f->commands != NULL);
	}
	f->commands[f->n_commands++] = *c;
	f->counts.commands++;
}

static void on_event(void *user, const struct stored_event *e)
{
	struct fleet *f = user;

	if (f->n_events == f->max_events) {
		f->max_events = f->max_events == 0 ? 256 : 2 * f->max_events;
		f->events = realloc(f->events, f->max_events * sizeof(f->events[0]));
		assert(f->events != NULL);
	}
	f->events[f->n_events++] = (struct told_event){ e->seq, e->event.outlet_id, e->event.state,
							e->event.energy_mwh };
	f->counts.events++;
}

static void make_people(struct fleet *f)
{
	f->n_outlets = 1 + (unsigned)fleet_below(f, FLEET_OUTLETS);
	for (unsigned i = 0; i < f->n_outlets; i++)
		f->outlets[i].id = ev_rng_uuid(&f->rng.base);
	for (unsigned i = 0; i < FLEET_TAGS; i++) {
		char text[] = { 'T', 'a', 'g', (char)('A' + i) };

		f->customers[i].id = ev_rng_uuid(&f->rng.base);
		f->customers[i].tag.n = sizeof(text);
		memcpy(f->customers[i].tag.s, text, sizeof(text));
	}
}

void fleet_init(struct fleet *f, const char *parent, uint64_t seed, enum cut_bug bug, bool threads)
{
	*f = (struct fleet){ .seed = seed, .bug = bug, .threads = threads };
	ev_rng_seeded_init(&f->rng, seed);
	ev_rng_seeded_init(&f->pump_rng, ev_rng_u64(&f->rng.base));
	ev_rng_seeded_init(&f->cut_rng, ev_rng_u64(&f->rng.base));
	ev_clock_manual_init(&f->clock, START_NS);
	cut_disk_init(&f->disk);
	f->disk.lies = lies_of(bug);
	/* One name for all: it is part of the trace.  The disk starts empty all the same. */
	(void)snprintf(f->dir, sizeof(f->dir), "%s/d", parent);
	f->options = (struct embedded_options){
		.dir = f->dir,
		.now_ns = now,
		.clock_user = f,
		.rules = outlet_rules_default(),
		.vfs = CUT_VFS,
		.no_threads = !threads,
		.checkpoint_pages = 4 + (unsigned)fleet_below(f, 60),
		/* A small one is written out amid a group. */
		.page_cache_kib = fleet_below(f, 4) == 0 ? 40 : 2048,
	};
	/* As the server has it: the books balance at every moment, not only between sessions. */
	f->options.rules.report_while_stopping = true;
	make_people(f);
}

static void remove_files(const struct fleet *f)
{
	static const char *const names[] = { EMBEDDED_FILE, EMBEDDED_FILE "-wal",
					     EMBEDDED_FILE "-shm", EMBEDDED_FILE "-journal",
					     EMBEDDED_LOCK_FILE };
	char path[128];

	for (size_t i = 0; i < EV_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(f->dir);
}

void fleet_deinit(struct fleet *f)
{
	remove_files(f);
	cut_disk_deinit(&f->disk);
	free(f->sent);
	free(f->commands);
	free(f->events);
	free(f->starts);
}

/* Any step, with more weight on the rare ones; a life that is over before is cut at rest. */
static void choose_moment(struct fleet *f)
{
	static const struct moment {
		enum cut_place in;
		uint64_t within;
	} moments[] = {
		{ CUT_AT_REST, 40 }, { CUT_AT_REST, 150 }, { CUT_AT_REST, 400 },
		{ CUT_IN_LOG, 20 },  { CUT_IN_LOG, 150 },  { CUT_IN_SYNC, 10 },
		{ CUT_IN_SYNC, 40 }, { CUT_IN_FILE, 60 },  { CUT_IN_NAMES, 3 },
	};
	const struct moment *m = &moments[fleet_below(f, EV_ARRAY_LEN(moments))];

	f->disk.cut_in = m->in;
	f->disk.cut_at = 1 + fleet_below(f, m->within);
}

/* Opens and works until the power goes or the work is done. */
static void work(struct fleet *f, unsigned batches)
{
	const struct embedded_listener l = { on_event, on_command, f };
	struct outlet_rules rules = f->options.rules;

	f->store = embedded_store(f->e);
	embedded_set_listener(f->e, &l);
	plant(f);
	pump_init(&f->pump, f->store, &f->clock.base, &f->pump_rng.base, &rules);
	f->ready = fleet_check(f);
	if (f->ready)
		(void)fleet_load(f, batches);
	pump_deinit(&f->pump);
}

static void close_engine(struct fleet *f, bool clean)
{
	struct embedded_stats stats;

	embedded_stats(f->e, &stats);
	f->counts.checkpoints += stats.checkpoints;
	if (!clean) {
		cut_vfs_lock();
		cut_disk_cut(&f->disk);
		cut_vfs_unlock();
	}
	f->store->ops = bad.real;
	embedded_free(f->e);
	f->e = NULL;
}

/* One time with power; ends with the power gone, unless it stopped cleanly before. */
static bool live(struct fleet *f, unsigned batches, bool clean)
{
	struct ev_fail fail = { .text = "" };
	ev_err e;

	f->ready = false;
	ev_clock_manual_advance(&f->clock, EV_NS_PER_S);
	cut_vfs_use(&f->disk, ev_rng_u64(&f->cut_rng.base));
	e = embedded_open(&f->e, &f->options, &fail);
	if (e == EV_OK) {
		work(f, batches);
		close_engine(f, clean);
	} else if (!f->disk.dead) {
		fleet_fail(f, "does not open: %s", fail.text);
	}
	cut_vfs_use(NULL, 0);
	return f->failure[0] == '\0';
}

static bool anything_acked(const struct fleet *f)
{
	return f->outlets[0].acked;
}

/* The power goes, if it has not; what is left is looked at by SQLite's own file layer, too. */
static bool cut(struct fleet *f)
{
	enum cut_how how = (enum cut_how)ev_rng_below(&f->cut_rng.base, CUT_HOW_COUNT);

	cut_disk_cut(&f->disk);
	f->counts.starting += !f->ready;
	f->counts.in[f->disk.place]++;
	f->counts.cuts++;
	cut_disk_boot(&f->disk, how, &f->cut_rng.base);
	cut_disk_export(&f->disk);
	if (anything_acked(f) && ev_rng_below(&f->cut_rng.base, 4) == 0)
		(void)fleet_verify_file(f);
	if (f->failure[0] == '\0')
		return true;
	return false;
}

/* Says where it was: what goes before is what does not hold. */
static void locate(struct fleet *f, unsigned n_cuts)
{
	size_t n = strlen(f->failure);

	(void)snprintf(f->failure + n, sizeof(f->failure) - n, " (seed %llu, after cut %u: %s)",
		       (unsigned long long)f->seed, n_cuts, f->disk.last);
}

bool fleet_run(struct fleet *f)
{
	unsigned n_cuts = 1 + (unsigned)fleet_below(f, CUTS_MAX), i;
	bool ok = true;

	for (i = 0; ok && i < n_cuts; i++) {
		unsigned batches = 1 + (unsigned)fleet_below(f, BATCHES_MAX);
		bool clean = fleet_below(f, 5) == 0;

		choose_moment(f);
		ok = live(f, batches, clean) && cut(f);
	}
	if (ok) {
		f->disk.cut_at = 0;
		ok = live(f, 0, true);
	}
	if (ok) {
		cut_disk_export(&f->disk);
		ok = fleet_verify_file(f);
	}
	f->counts.syncs = f->disk.n_syncs;
	f->counts.dropped = f->disk.n_dropped;
	if (!ok)
		locate(f, i);
	return ok;
}
