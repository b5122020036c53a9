#include "engine/embedded/embedded.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "engine/embedded/dirlock.h"
#include "engine/embedded/gather.h"
#include "engine/embedded/internal.h"
#include "engine/embedded/schema.h"
#include "engine/embedded/steady.h"

#define DEFAULT_ROWS 65536
#define DEFAULT_PAGE_CACHE_KIB 32768
#define DEFAULT_CHECKPOINT_PAGES 8192
/* Another connection writes only when a person does; then we wait rather than fail. */
#define BUSY_MS 2000
/* After an unclean stop a file up to this size is read through before it is trusted. */
#define QUICK_CHECK_BYTES (32 * 1024 * 1024)
#define HEADER_BYTES 100

int64_t embedded_now(const struct embedded *e)
{
	return e->o.now_ns(e->o.clock_user);
}

struct store *embedded_store(struct embedded *e)
{
	return &e->store;
}

void embedded_set_listener(struct embedded *e, const struct embedded_listener *l)
{
	e->listener = *l;
}

void embedded_stats(struct embedded *e, struct embedded_stats *out)
{
	(void)pthread_mutex_lock(&e->stats_lock);
	*out = e->published;
	(void)pthread_mutex_unlock(&e->stats_lock);
	out->checkpoints = atomic_load(&e->checkpoint.n_done);
	out->failed_checkpoints = atomic_load(&e->checkpoint.n_failed);
}

void embedded_last_fail(const struct embedded *e, struct ev_fail *out)
{
	*out = e->last_fail;
}

struct sql_options embedded_sql_options(const struct embedded *e, int flags)
{
	return (struct sql_options){ .path = e->path,
				     .vfs = e->vfs,
				     .flags = flags,
				     .page_cache_kib = e->o.page_cache_kib,
				     .busy_ms = BUSY_MS };
}

static void set_defaults(struct embedded_options *o)
{
	if (o->max_outlets == 0)
		o->max_outlets = DEFAULT_ROWS;
	if (o->max_sessions == 0)
		o->max_sessions = DEFAULT_ROWS;
	if (o->page_cache_kib == 0)
		o->page_cache_kib = DEFAULT_PAGE_CACHE_KIB;
	if (o->checkpoint_pages == 0)
		o->checkpoint_pages = DEFAULT_CHECKPOINT_PAGES;
}

/* Copies what the options borrow. */
static ev_err take_options(struct embedded *e, const struct embedded_options *o)
{
	e->o = *o;
	set_defaults(&e->o);
	e->dir = strdup(o->dir);
	e->vfs = o->vfs != NULL ? strdup(o->vfs) : NULL;
	if (asprintf(&e->path, "%s/%s", o->dir, EMBEDDED_FILE) < 0)
		e->path = NULL;
	e->o.dir = e->dir;
	e->o.vfs = e->vfs;
	if (e->dir == NULL || e->path == NULL || (o->vfs != NULL && e->vfs == NULL))
		return EV_NOMEM;
	return EV_OK;
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/*
 * SQLite reads pages as it needs them, so that a file cut short would be found out much later.
 * With a log beside it a short file is rightful: a checkpoint was interrupted.  So it is with a
 * journal, which there is only while the file is made.
 */
static ev_err check_header(const char *path, off_t size, const uint8_t h[HEADER_BYTES],
			   struct ev_fail *fail)
{
	static const char magic[16] = "SQLite format 3";

	if (memcmp(h, magic, sizeof(magic)) != 0)
		return ev_fail_set(fail, EV_CORRUPT, 0,
				   "%s is damaged or not a database; restore a backup", path);
	off_t page = (off_t)(h[16] << 8 | h[17]);

	if (page == 1)
		page = 65536;
	/* The count of pages is valid if written by the change that wrote the file last. */
	if (big_endian(h + 24) == big_endian(h + 92) && (off_t)big_endian(h + 28) * page > size)
		return ev_fail_set(fail, EV_CORRUPT, 0, "%s was cut short; restore a backup", path);
	return EV_OK;
}

struct found {
	bool log;   /* or journal: the last stop was not a clean one */
	off_t size; /* of the file, 0 if there is none */
};

static ev_err look_beside(const char *path, struct found *out, struct ev_fail *fail)
{
	static const char *const beside[] = { "-wal", "-journal" };
	char name[PATH_MAX];
	struct stat st;

	for (size_t i = 0; i < EV_ARRAY_LEN(beside); i++) {
		if (snprintf(name, sizeof(name), "%s%s", path, beside[i]) >= (int)sizeof(name))
			return ev_fail_set(fail, EV_INVALID, 0, "the directory's name is too long");
		out->log = out->log || (stat(name, &st) == 0 && st.st_size > 0);
	}
	return EV_OK;
}

static ev_err look(const char *path, struct found *out, struct ev_fail *fail)
{
	uint8_t header[HEADER_BYTES];
	struct stat st = { .st_size = 0 };
	ev_err err;

	*out = (struct found){ 0 };
	err = look_beside(path, out, fail);
	if (err != EV_OK)
		return err;

	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? EV_OK : errno_fail(fail, errno, "open", path);
	ssize_t n = pread(fd, header, sizeof(header), 0);
	int sys = n < 0 || fstat(fd, &st) != 0 ? errno : 0;

	(void)close(fd);
	if (sys != 0)
		return errno_fail(fail, sys, "read", path);
	out->size = st.st_size;
	if (st.st_size == 0 || out->log)
		return EV_OK;
	if (n != HEADER_BYTES)
		return ev_fail_set(fail, EV_CORRUPT, 0, "%s was cut short; restore a backup", path);
	return check_header(path, st.st_size, header, fail);
}

static ev_err quick_check(struct embedded *e, struct ev_fail *fail)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(e->sql.db, "PRAGMA quick_check(1)", -1, &st, NULL);
	ev_err err = EV_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		err = sql_fail(e->sql.db, rc, e->path, fail);
	else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
		err = ev_fail_set(fail, EV_CORRUPT, 0, "%s is damaged: %s; restore a backup",
				  e->path, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return err;
}

static int on_wal(void *user, sqlite3 *db, const char *name, int pages)
{
	struct embedded *e = user;

	(void)db;
	(void)name;
	e->counts.wal_pages = (uint64_t)pages;
	return SQLITE_OK;
}

/*
 * Where shared memory is not to be had SQLite stays in another mode and calls it a success; and
 * the row with the mode comes before the change is written.
 */
static ev_err use_log(struct embedded *e, struct ev_fail *fail)
{
	sqlite3_stmt *st = NULL;
	bool is_log = false;
	int rc = sqlite3_prepare_v2(e->sql.db, "PRAGMA journal_mode=WAL", -1, &st, NULL);
	ev_err err = EV_OK;

	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		is_log = strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		err = sql_fail(e->sql.db, rc, e->path, fail);
	else if (!is_log)
		err = ev_fail_set(fail, EV_UNSUPPORTED, 0,
				  "%s: the file system cannot keep a write-ahead log", e->path);
	sqlite3_finalize(st);
	if (err != EV_OK)
		return err;
	return sql_exec(e->sql.db, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;",
			fail);
}

static ev_err open_writer(struct embedded *e, struct ev_fail *fail)
{
	struct sql_options o = embedded_sql_options(e, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	ev_err err = gather_new(e->vfs, &e->gather);

	if (err != EV_OK)
		return ev_fail_set(fail, err, 0, "%s: no file layer for it", e->path);
	o.vfs = gather_name(e->gather);
	return sql_open(&e->sql, &o, store_sql_texts, SQL_STORE_COUNT, fail);
}

static ev_err open_database(struct embedded *e, struct ev_fail *fail)
{
	struct found found;
	int64_t version = 0;
	ev_err err = look(e->path, &found, fail);

	if (err == EV_OK)
		err = private_file(e->path, fail);
	if (err == EV_OK)
		err = open_writer(e, fail);
	if (err != EV_OK)
		return err;
	/* SQLite is content to read where it may not write. */
	if (sqlite3_db_readonly(e->sql.db, "main") != 0)
		return ev_fail_set(fail, EV_DENIED, 0, "%s is not writable", e->path);
	/* Before anything is written, even the mode of the journal. */
	err = schema_check(e->sql.db, &version, fail);
	if (err == EV_OK && found.log && found.size <= QUICK_CHECK_BYTES)
		err = quick_check(e, fail);
	if (err == EV_OK)
		err = use_log(e, fail);
	if (err == EV_OK)
		err = schema_migrate(e->sql.db, fail);
	if (err == EV_OK)
		(void)sqlite3_wal_hook(e->sql.db, on_wal, e);
	return err;
}

static ev_err load_marks(struct embedded *e, struct ev_fail *fail)
{
	int64_t event = 0, block = 0, parked = 0;
	ev_err err = sql_int(e->sql.db, "SELECT coalesce(max(seq), 0) FROM event_row", &event,
			     fail);

	if (err == EV_OK)
		err = sql_int(e->sql.db, "SELECT coalesce(max(n), 0) FROM identity_block", &block,
			      fail);
	if (err == EV_OK)
		err = sql_int(e->sql.db, "SELECT count(*) FROM parked_row", &parked, fail);
	e->marks = (struct marks){ (uint64_t)event + 1, block + 1, (uint64_t)parked };
	return err;
}

/* The identities that still count, newest block first, into the filter. */
static ev_err load_seen(struct embedded *e, struct ev_fail *fail)
{
	int64_t keep_ns = retain_identities_ns(e);
	int64_t from_ns = keep_ns == 0 ? INT64_MIN : embedded_now(e) - keep_ns;
	struct sql_bind b = sql_bind(&e->sql, SQL_BLOCKS_NEWEST);
	ev_err err;

	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		int64_t at_ns = col_i64(&c);
		struct ev_str ids = col_bytes(&c);
		struct identity id;

		if (at_ns < from_ns)
			break;
		for (size_t i = 0; i + sizeof(id.b) <= ids.n && err == EV_OK; i += sizeof(id.b)) {
			memcpy(id.b, ids.p + i, sizeof(id.b));
			err = identity_is_none(&id) ? EV_OK : bloom_add(&e->seen, &id, at_ns);
		}
		if (err != EV_OK)
			break;
	}
	if (err != EV_NOTFOUND && b.st != NULL)
		sql_done(&b);
	if (err == EV_OK || err == EV_NOTFOUND)
		return EV_OK;
	return ev_fail_set(fail, err, 0, "%s: identities: %s", e->path, ev_err_text(err));
}

static ev_err start_checkpoint(struct embedded *e, struct ev_fail *fail)
{
	struct sql_options o = embedded_sql_options(e, SQLITE_OPEN_READWRITE);
	ev_err err = steady_new(e->vfs, &e->steady);

	if (err != EV_OK)
		return ev_fail_set(fail, err, 0, "%s: no file layer for it", e->path);
	o.vfs = steady_name(e->steady);
	o.page_cache_kib = 2048; /* a checkpoint copies, it hardly reads */
	return checkpoint_start(&e->checkpoint, &o, e->o.no_threads, fail);
}

static ev_err start(struct embedded *e, struct ev_fail *fail)
{
	ev_err err = dirlock_take(e->dir, &e->lock_fd, fail);

	if (err == EV_OK)
		err = open_database(e, fail);
	if (err == EV_OK)
		err = load_marks(e, fail);
	if (err == EV_OK)
		err = load_seen(e, fail);
	if (err == EV_OK)
		err = timers_renew(e, fail);
	if (err == EV_OK)
		err = start_checkpoint(e, fail);
	return err;
}

static void init_caches(struct embedded *e)
{
	struct ev_rng_os rng;
	uint64_t seed[2];

	ev_rng_os_init(&rng);
	ev_rng_fill(&rng.base, seed, sizeof(seed));
	cache_init(&e->outlets, sizeof(struct outlet_entry), e->o.max_outlets, seed);
	cache_init(&e->sessions, sizeof(struct session_entry), e->o.max_sessions, seed);
}

ev_err embedded_open(struct embedded **out, const struct embedded_options *o, struct ev_fail *fail)
{
	struct embedded *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	e->store.ops = &embedded_store_ops;
	e->lock_fd = -1;
	(void)pthread_mutex_init(&e->stats_lock, NULL);

	ev_err err = take_options(e, o);

	if (err != EV_OK) {
		embedded_free(e);
		return ev_fail_set(fail, err, 0, "out of memory");
	}
	e->log_limit = e->o.checkpoint_pages;
	init_caches(e);
	bloom_init(&e->seen, retain_identities_ns(e));
	err = start(e, fail);
	if (err != EV_OK)
		embedded_free(e);
	else
		*out = e;
	return err;
}

void embedded_free(struct embedded *e)
{
	if (e == NULL)
		return;
	group_abandon(&e->store);
	checkpoint_stop(&e->checkpoint);
	/* Closing the last connection would fold the log too, but not beside a reader. */
	if (e->sql.db != NULL)
		(void)sqlite3_wal_checkpoint_v2(e->sql.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
						NULL);
	if (e->sql.stmts != NULL)
		sql_close(&e->sql);
	gather_free(e->gather);
	steady_free(e->steady);
	cache_deinit(&e->outlets);
	cache_deinit(&e->sessions);
	bloom_deinit(&e->seen);
	free(e->effects.events);
	free(e->effects.commands);
	if (e->lock_fd >= 0)
		(void)close(e->lock_fd);
	(void)pthread_mutex_destroy(&e->stats_lock);
	free(e->dir);
	free(e->path);
	free(e->vfs);
	free(e);
}

ev_err embedded_query_open(struct embedded *e, struct query **out, struct ev_fail *fail)
{
	struct sql_options o = embedded_sql_options(e, SQLITE_OPEN_READONLY);

	return query_new(&o, out, fail);
}
