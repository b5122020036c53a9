/*
 * test_embedded_gather.c — the log is written in few pieces, and whoever looks sees what there is:
 * before a commit nothing, after it all of it.
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

#include "engine/embedded/gather.h"

/* A layer below that counts what comes to the log. */

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	sqlite3_io_methods methods; /* the log's, with our write in place */
	const sqlite3_io_methods *methods_real;
	unsigned n_writes, largest;
	int fail_at; /* the write that fails, counted down; 0: none */
} low;

static int count_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (low.fail_at > 0 && --low.fail_at == 0)
		return SQLITE_FULL;
	low.n_writes++;
	if ((unsigned)n > low.largest)
		low.largest = (unsigned)n;
	return low.methods_real->xWrite(f, p, n, at);
}

static int count_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	int rc = low.real->xOpen(low.real, name, f, flags, out);

	(void)v;
	if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0) {
		low.methods_real = f->pMethods;
		low.methods = *f->pMethods;
		low.methods.xWrite = count_write;
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
	low.vfs.xOpen = count_open;
	return sqlite3_vfs_register(&low.vfs, 0) == SQLITE_OK ? 0 : -1;
}

/* --- a database with a log, and a second connection that only reads --- */

struct pair {
	char dir[64], path[96];
	struct gather *gather;
	sqlite3 *writer, *reader;
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

static void start(struct pair *p)
{
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/gather-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/db", p->dir);
	assert_int_equal(gather_new("counted", &p->gather), EV_OK);
	assert_int_equal(sqlite3_open_v2(p->path, &p->writer,
					 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
					 gather_name(p->gather)),
			 SQLITE_OK);
	run(p->writer, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		       "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=10;"
		       "CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT)");
	assert_int_equal(sqlite3_open_v2(p->path, &p->reader, SQLITE_OPEN_READONLY, NULL),
			 SQLITE_OK);
	low.n_writes = 0;
	low.largest = 0;
}

static void stop(struct pair *p)
{
	assert_int_equal(sqlite3_close(p->reader), SQLITE_OK);
	assert_int_equal(sqlite3_close(p->writer), SQLITE_OK);
	gather_free(p->gather);
	assert_int_equal(unlink(p->path), 0);
	assert_int_equal(rmdir(p->dir), 0); /* the log went with the last connection */
}

#define ROWS                                                                                       \
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<2000)"               \
	" INSERT INTO t SELECT i, hex(zeroblob(400)) FROM c"

static void a_commit_comes_in_few_large_writes(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	run(p.writer, "PRAGMA cache_size=1000");
	run(p.writer, ROWS);
	/* 2,000 rows of 800 bytes are more than 400 pages, each of two pieces by itself. */
	assert_in_range(low.n_writes, 10, 40);
	assert_in_range(low.largest, 100000, 131071);
	assert_int_equal(number(p.reader, "SELECT count(*) FROM t"), 2000);
	stop(&p);
}

static void nobody_sees_what_is_not_committed(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	run(p.writer, "BEGIN");
	run(p.writer, ROWS);
	assert_int_equal(number(p.reader, "SELECT count(*) FROM t"), 0);
	run(p.writer, "COMMIT");
	assert_int_equal(number(p.reader, "SELECT count(*) FROM t"), 2000);
	stop(&p);
}

/* Ten pages of cache: most of a transaction goes to the log before its end, and is read again. */
static void a_transaction_reads_back_what_it_had_to_write_early(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	run(p.writer, "BEGIN");
	run(p.writer, ROWS);
	assert_int_equal(number(p.writer, "SELECT count(*) FROM t WHERE length(text)=800"), 2000);
	run(p.writer, "UPDATE t SET text='short' WHERE n%2=0");
	assert_int_equal(number(p.writer, "SELECT count(*) FROM t WHERE text='short'"), 1000);
	run(p.writer, "COMMIT");
	assert_int_equal(number(p.reader, "SELECT count(*) FROM t WHERE length(text)=800"), 1000);
	assert_int_equal(number(p.reader, "SELECT count(*) FROM t WHERE text='short'"), 1000);
	stop(&p);
}

static void what_is_rolled_back_leaves_no_trace(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	run(p.writer, "INSERT INTO t VALUES(5000, 'first')");
	run(p.writer, "BEGIN");
	run(p.writer, ROWS);
	run(p.writer, "ROLLBACK");
	run(p.writer, "INSERT INTO t VALUES(5001, 'second')");
	assert_int_equal(number(p.reader, "SELECT count(*) FROM t"), 2);
	run(p.writer, "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(number(p.reader, "SELECT count(*) FROM t"), 2);
	assert_int_equal(number(p.writer, "SELECT count(*) FROM pragma_integrity_check"), 1);
	stop(&p);
}

/* Whichever write fails, early or late: the commit fails, and the next one is good. */
static void a_failing_write_fails_its_commit_alone(void **state)
{
	(void)state;
	for (int n = 1; n < 60; n++) {
		struct pair p;

		start(&p);
		run(p.writer, "INSERT INTO t VALUES(5000, 'first')");
		low.fail_at = n;
		int rc = sqlite3_exec(p.writer, ROWS, NULL, NULL, NULL);
		bool struck = low.fail_at == 0;

		low.fail_at = 0;
		assert_int_equal(rc, struck ? SQLITE_FULL : SQLITE_OK);
		assert_int_equal(number(p.reader, "SELECT count(*) FROM t"), struck ? 1 : 2001);
		run(p.writer, "INSERT INTO t VALUES(5001, 'second')");
		assert_int_equal(number(p.reader, "SELECT count(*) FROM t"), struck ? 2 : 2002);
		stop(&p);
		if (!struck) {
			assert_true(n > 10);
			return;
		}
	}
	fail_msg("no end of writes");
}

static void an_unknown_layer_is_not_found(void **state)
{
	struct gather *g = NULL;

	(void)state;
	assert_int_equal(gather_new("there is none of this name", &g), EV_NOTFOUND);
	assert_null(g);
	gather_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_commit_comes_in_few_large_writes),
		cmocka_unit_test(nobody_sees_what_is_not_committed),
		cmocka_unit_test(a_transaction_reads_back_what_it_had_to_write_early),
		cmocka_unit_test(what_is_rolled_back_leaves_no_trace),
		cmocka_unit_test(a_failing_write_fails_its_commit_alone),
		cmocka_unit_test(an_unknown_layer_is_not_found),
	};

	return cmocka_run_group_tests(tests, register_low, NULL);
}
