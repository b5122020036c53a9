/*
 * test_embedded_steady.c — a checkpoint syncs what it writes piece by piece, and leaves the writer
 * little to sync, also while the writer goes on writing.
 */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/embedded/checkpoint.h"
#include "engine/embedded/steady.h"

#define PIECE (64 * 4096)

/* A layer below that counts what comes to the database file, and writes meanwhile. */

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	sqlite3_io_methods methods; /* the file's, with our write and sync in place */
	const sqlite3_io_methods *methods_real;
	unsigned n_syncs, unsynced, most_unsynced;
	unsigned others;    /* files that are not the database */
	sqlite3 *meanwhile; /* commits a row before each of … */
	unsigned rows;      /* … so many writes to the file */
	bool fails;
} low;

static int low_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (low.meanwhile != NULL && low.rows > 0) {
		low.rows--;
		assert_int_equal(sqlite3_exec(low.meanwhile, "INSERT INTO t(text) VALUES('more')",
					      NULL, NULL, NULL),
				 SQLITE_OK);
	}
	low.unsynced += (unsigned)n;
	if (low.unsynced > low.most_unsynced)
		low.most_unsynced = low.unsynced;
	return low.methods_real->xWrite(f, p, n, at);
}

static int low_sync(sqlite3_file *f, int flags)
{
	if (low.fails)
		return SQLITE_IOERR_FSYNC;
	low.n_syncs++;
	low.unsynced = 0;
	return low.methods_real->xSync(f, flags);
}

static int low_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	int rc = low.real->xOpen(low.real, name, f, flags, out);

	(void)v;
	low.others += (flags & SQLITE_OPEN_MAIN_DB) == 0;
	if (rc == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) != 0) {
		low.methods_real = f->pMethods;
		low.methods = *f->pMethods;
		low.methods.xWrite = low_write;
		low.methods.xSync = low_sync;
		f->pMethods = &low.methods;
	}
	return rc;
}

static int register_low(void **state)
{
	(void)state;
	low.real = sqlite3_vfs_find(NULL);
	low.vfs = *low.real;
	low.vfs.zName = "counted";
	low.vfs.pNext = NULL;
	low.vfs.xOpen = low_open;
	return sqlite3_vfs_register(&low.vfs, 0) == SQLITE_OK ? 0 : -1;
}

/* --- a database with a log, one who writes, and a checkpoint without a thread --- */

struct place {
	char dir[64], path[96];
	struct steady *steady;
	sqlite3 *writer;
	struct checkpoint checkpoint;
};

static void run(sqlite3 *db, const char *text)
{
	char *why = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", text, why);
}

static int number(sqlite3 *db, const char *text)
{
	sqlite3_stmt *st = NULL;

	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int v = sqlite3_column_int(st, 0);

	sqlite3_finalize(st);
	return v;
}

static void start(struct place *p)
{
	*p = (struct place){ .steady = NULL };
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/steady-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/db", p->dir);
	assert_int_equal(steady_new("counted", &p->steady), EV_OK);
	assert_int_equal(sqlite3_open_v2(p->path, &p->writer,
					 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "counted"),
			 SQLITE_OK);
	run(p->writer, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		       "PRAGMA wal_autocheckpoint=0;"
		       "CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT)");
	struct sql_options o = {
		.path = p->path,
		.vfs = steady_name(p->steady),
		.flags = SQLITE_OPEN_READWRITE,
		.page_cache_kib = 2048,
	};

	assert_int_equal(checkpoint_start(&p->checkpoint, &o, true, NULL), EV_OK);
	run(p->writer, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<5000)"
		       " INSERT INTO t SELECT i, hex(zeroblob(400)) FROM c");
	low.n_syncs = low.unsynced = low.most_unsynced = 0;
}

static void stop(struct place *p)
{
	low.meanwhile = NULL;
	checkpoint_stop(&p->checkpoint);
	assert_int_equal(sqlite3_close(p->writer), SQLITE_OK);
	steady_free(p->steady);
	assert_int_equal(unlink(p->path), 0);
	assert_int_equal(rmdir(p->dir), 0);
}

static void a_checkpoint_syncs_piece_by_piece(void **state)
{
	struct place p;

	(void)state;
	start(&p);
	checkpoint_want(&p.checkpoint);
	/* 5,000 rows of 800 bytes are more than 1,000 pages. */
	assert_in_range(low.n_syncs, 1000 / 64, 100);
	assert_in_range(low.most_unsynced, 1, PIECE);
	assert_int_equal(low.unsynced, 0);
	assert_true(low.others > 0);
	assert_int_equal(atomic_load(&p.checkpoint.n_done), 1);
	assert_int_equal(number(p.writer, "SELECT count(*) FROM t WHERE length(text)=800"), 5000);
	stop(&p);
}

/* SQLite itself would leave all that was moved to the sync of the writer. */
static void what_is_moved_while_others_write_is_synced(void **state)
{
	struct place p;

	(void)state;
	start(&p);
	low.meanwhile = p.writer;
	low.rows = 2000;
	checkpoint_want(&p.checkpoint);
	assert_true(low.rows < 1000);
	assert_int_equal(low.unsynced, 0);
	assert_int_equal(atomic_load(&p.checkpoint.turn), CHECKPOINT_WRITER);
	unsigned syncs = low.n_syncs;

	low.meanwhile = NULL;
	low.most_unsynced = 0;
	checkpoint_finish(&p.checkpoint, p.writer);
	assert_int_equal(low.n_syncs, syncs + 1);
	assert_in_range(low.most_unsynced, 1, PIECE);
	assert_int_equal(atomic_load(&p.checkpoint.n_done), 2);
	/* Now nothing is left, and the log starts anew: the next checkpoint has one frame. */
	run(p.writer, "UPDATE t SET text='last' WHERE n=1");
	assert_int_equal(number(p.writer, "PRAGMA wal_checkpoint(PASSIVE)"), 0);
	assert_int_equal(number(p.writer, "SELECT count(*) FROM pragma_integrity_check"), 1);
	stop(&p);
}

static void a_sync_that_fails_fails_the_checkpoint(void **state)
{
	struct place p;

	(void)state;
	start(&p);
	low.fails = true;
	checkpoint_want(&p.checkpoint);
	assert_int_equal(atomic_load(&p.checkpoint.n_failed), 1);
	assert_int_equal(atomic_load(&p.checkpoint.n_done), 0);
	assert_int_equal(atomic_load(&p.checkpoint.turn), CHECKPOINT_NOBODY);
	low.fails = false;
	checkpoint_want(&p.checkpoint);
	assert_int_equal(atomic_load(&p.checkpoint.n_done), 1);
	assert_int_equal(low.unsynced, 0);
	stop(&p);
}

static void an_unknown_layer_is_not_found(void **state)
{
	struct steady *s = NULL;

	(void)state;
	assert_int_equal(steady_new("there is none of this name", &s), EV_NOTFOUND);
	assert_null(s);
	steady_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_checkpoint_syncs_piece_by_piece),
		cmocka_unit_test(what_is_moved_while_others_write_is_synced),
		cmocka_unit_test(a_sync_that_fails_fails_the_checkpoint),
		cmocka_unit_test(an_unknown_layer_is_not_found),
	};

	return cmocka_run_group_tests(tests, register_low, NULL);
}
