/*
 * test_embedded_faults.c — a disk that is full or broken, at every write: what was acknowledged
 * stays, what failed did not take place, and the engine goes on.
 */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "embedded_fixture.h"

/* A file layer for SQLite that fails on command and else passes on to the system's. */

enum fault_kind { FAULT_FULL, FAULT_WRITE, FAULT_SYNC, FAULT_COUNT };

static struct {
	atomic_bool armed;
	atomic_int kind;
	atomic_bool sticky;    /* fails from then on, not once */
	atomic_bool file_only; /* the database file, not its log */
	atomic_long countdown;
	atomic_long hits;
} fault;

struct fault_file {
	sqlite3_file base;
	bool is_database;
	sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct fault_file *)f)->real;
}

static bool strikes(const sqlite3_file *f, bool is_sync)
{
	if (!atomic_load(&fault.armed) || (atomic_load(&fault.kind) == FAULT_SYNC) != is_sync)
		return false;
	if (atomic_load(&fault.file_only) && !((const struct fault_file *)f)->is_database)
		return false;
	long left = atomic_fetch_sub(&fault.countdown, 1);

	if (left > 1 || (left < 1 && !atomic_load(&fault.sticky)))
		return false;
	atomic_fetch_add(&fault.hits, 1);
	return true;
}

static int write_fault(void)
{
	return atomic_load(&fault.kind) == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int fault_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int fault_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int fault_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (strikes(f, false))
		return write_fault();
	return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	if (strikes(f, false))
		return write_fault();
	return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int fault_sync(sqlite3_file *f, int flags)
{
	if (strikes(f, true))
		return SQLITE_IOERR_FSYNC;
	return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int fault_size(sqlite3_file *f, sqlite3_int64 *out)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), out);
}

static int fault_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int fault_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int fault_reserved(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int fault_control(sqlite3_file *f, int op, void *p)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, p);
}

static int fault_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int fault_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int fault_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int fault_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void fault_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int fault_shm_unmap(sqlite3_file *f, int erase)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), erase);
}

static const sqlite3_io_methods fault_methods = {
	.iVersion = 2,
	.xClose = fault_close,
	.xRead = fault_read,
	.xWrite = fault_write,
	.xTruncate = fault_truncate,
	.xSync = fault_sync,
	.xFileSize = fault_size,
	.xLock = fault_lock,
	.xUnlock = fault_unlock,
	.xCheckReservedLock = fault_reserved,
	.xFileControl = fault_control,
	.xSectorSize = fault_sector,
	.xDeviceCharacteristics = fault_device,
	.xShmMap = fault_shm_map,
	.xShmLock = fault_shm_lock,
	.xShmBarrier = fault_shm_barrier,
	.xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct fault_file *file = (struct fault_file *)f;

	(void)vfs;
	file->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
	file->real = (sqlite3_file *)(file + 1);
	int rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out);

	file->base.pMethods = file->real->pMethods != NULL ? &fault_methods : NULL;
	return rc;
}

static int register_faults(void **state)
{
	static sqlite3_vfs vfs;

	(void)state;
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.zName = "faults";
	vfs.pNext = NULL;
	vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
	vfs.xOpen = fault_open;
	return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? 0 : -1;
}

static void arm(enum fault_kind kind, bool sticky, long n)
{
	atomic_store(&fault.kind, (int)kind);
	atomic_store(&fault.sticky, sticky);
	atomic_store(&fault.file_only, false);
	atomic_store(&fault.countdown, n);
	atomic_store(&fault.hits, 0);
	atomic_store(&fault.armed, true);
}

/* How often it struck. */
static long disarm(void)
{
	atomic_store(&fault.armed, false);
	return atomic_load(&fault.hits);
}

static ev_err error_of(enum fault_kind kind)
{
	return kind == FAULT_FULL ? EV_FULL : EV_IO;
}

#define OLD 6U    /* outlets that are there */
#define NEW 3U    /* outlets that the failing group adds */
#define MANY 300U /* so many that the log's gathered writes are several */

static void start(struct emb *f, unsigned n_outlets)
{
	emb_init(f);
	f->o.vfs = "faults";
	f->o.checkpoint_pages = 1000000; /* no thread that writes at its own time */
	f->o.page_cache_kib = 40;        /* so that large groups are written before their end */
	emb_open(f);
	emb_add_some(f, n_outlets);
	assert_int_equal(emb_report_alone(f, 0, 1), EV_OK);
}

static struct keyed_put a_dead_letter(void)
{
	return (struct keyed_put){ .kind = PUT_DEAD_LETTER,
				   .dead_letter = { .id = emb_identity(1),
						    .reason = REASON_UNDECODABLE,
						    .body = EV_LIT("bytes") } };
}

/* Every old outlet reports, new ones come, a dead letter is put: the result of the group. */
static ev_err large_group(struct emb *f, unsigned n_outlets)
{
	struct keyed_put put = a_dead_letter();
	struct unit unit = { .kind = UNIT_NONE, .puts = &put, .n_puts = 1 };
	ev_err result, err = f->s->ops->begin(f->s);

	assert_int_equal(err, EV_OK);
	err = f->s->ops->commit(f->s, &unit, 1, &result);
	for (unsigned i = 0; err == EV_OK && i < n_outlets; i++)
		err = emb_report(f, i, 7);
	for (unsigned i = 0; err == EV_OK && i < NEW; i++) {
		struct ev_uuid id = emb_id('o', n_outlets + i);
		struct outlet o = outlet_new(&id, 1, 2000000);

		unit = (struct unit){ .kind = UNIT_OUTLET, .outlet = &o };
		err = f->s->ops->commit(f->s, &unit, 1, &result);
	}
	ev_err end = f->s->ops->end(f->s);

	if (err != EV_OK)
		assert_int_equal(end, err);
	return end;
}

static void assert_as_before(struct emb *f, unsigned n_outlets, int64_t first_mwh)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct identity letter = emb_identity(1);
	struct dead_letter d;
	struct outlet o;

	for (unsigned i = 0; i < n_outlets; i++) {
		assert_int_equal(emb_total(f, i), i == 0 ? first_mwh : 0);
		assert_int_equal(emb_session_sum(f, i), i == 0 ? first_mwh : 0);
	}
	for (unsigned i = n_outlets; i < n_outlets + NEW; i++) {
		struct ev_uuid id = emb_id('o', i);

		assert_int_equal(f->s->ops->load_outlet(f->s, &id, &o), EV_NOTFOUND);
	}
	assert_int_equal(f->s->ops->load_dead_letter(f->s, &letter, &d, body), EV_NOTFOUND);
}

/* One life with the n-th write failing; false if there was no n-th. */
static bool live_with_fault(enum fault_kind kind, bool sticky, long n, unsigned n_outlets)
{
	struct emb f;

	start(&f, n_outlets);
	arm(kind, sticky, n);
	ev_err err = large_group(&f, n_outlets);

	if (atomic_load(&fault.hits) == 0) {
		(void)disarm();
		assert_int_equal(err, EV_OK);
		emb_deinit(&f);
		return false;
	}
	assert_int_equal(err, error_of(kind));
	/* Reads go on while writes fail. */
	assert_as_before(&f, n_outlets, 1);
	assert_int_equal(emb_books(&f).n_events, 1);
	if (sticky)
		assert_int_equal(emb_report_alone(&f, 0, 5), error_of(kind));
	(void)disarm();
	assert_int_equal(emb_report_alone(&f, 0, 2), EV_OK);
	emb_close(&f);
	emb_open(&f);
	assert_as_before(&f, n_outlets, 3);
	assert_int_equal(emb_books(&f).n_events, 2);
	emb_assert_balanced(&f);
	emb_close(&f);
	assert_int_equal(embedded_verify(emb_path(&f, EMBEDDED_FILE), NULL, NULL), EV_OK);
	emb_deinit(&f);
	return true;
}

static void a_write_that_fails_undoes_its_group_alone(void **state)
{
	(void)state;
	for (int kind = 0; kind < FAULT_SYNC; kind++) {
		long n = 1;

		while (live_with_fault((enum fault_kind)kind, false, n, OLD)) {
			n++;
			assert_true(n < 1000);
		}
		assert_true(n > 1);
	}
}

static void a_sync_that_fails_undoes_its_group_alone(void **state)
{
	(void)state;
	assert_true(live_with_fault(FAULT_SYNC, false, 1, OLD));
	assert_true(live_with_fault(FAULT_SYNC, true, 1, OLD));
}

static void a_disk_that_stays_full_leaves_reading_and_heals(void **state)
{
	long n = 1;

	(void)state;
	while (live_with_fault(FAULT_FULL, true, n, OLD))
		n++;
	assert_true(n > 1);
}

/* Groups beyond the page cache are written while they grow. */
static void a_write_that_fails_amid_a_large_group_loses_all_of_it(void **state)
{
	long n = 1, times = 0;

	(void)state;
	while (live_with_fault(FAULT_FULL, n % 2 == 0, n, MANY)) {
		n += 1 + n / 3;
		times++;
		assert_true(times < 100);
	}
	assert_true(n > 10);
}

static void after_an_error_the_group_is_lost(void **state)
{
	struct emb f;
	ev_err err = EV_OK;

	(void)state;
	start(&f, MANY);
	arm(FAULT_FULL, false, 1);
	assert_int_equal(f.s->ops->begin(f.s), EV_OK);
	for (unsigned round = 0; err == EV_OK && round < 10; round++) {
		for (unsigned i = 0; err == EV_OK && i < MANY; i++) {
			struct ev_uuid id = emb_id('n', round * MANY + i);
			struct outlet o = outlet_new(&id, 1, 2000000);
			struct unit unit = { .kind = UNIT_OUTLET, .outlet = &o };

			err = f.s->ops->commit(f.s, &unit, 1, &(ev_err){ EV_OK });
		}
	}
	assert_int_equal(err, EV_FULL);
	assert_int_equal(disarm(), 1);
	assert_int_equal(emb_report(&f, 1, 1), EV_FULL);
	/* These would write first, so that SQL sees the group: not in a lost one. */
	struct ev_uuid id = emb_id('o', 1), out[4];
	size_t n = 0;

	assert_int_equal(f.s->ops->live_sessions(f.s, &id, out, 4, &n), EV_FULL);
	assert_int_equal(f.s->ops->due_outlets(f.s, INT64_MAX, out, 4, &n), EV_FULL);
	assert_int_equal(f.s->ops->end(f.s), EV_FULL);
	assert_int_equal(emb_report_alone(&f, 1, 1), EV_OK);
	assert_int_equal(emb_books(&f).n_outlets, MANY);
	emb_deinit(&f);
}

static void a_fault_while_the_file_is_made_leaves_no_half_of_it(void **state)
{
	long n = 1;

	(void)state;
	for (int kind = 0; kind < FAULT_COUNT; kind++) {
		ev_err err = EV_IO;

		for (n = 1; err != EV_OK; n++) {
			struct ev_fail fail = { .text = "" };
			struct embedded *e = NULL;
			struct emb f;

			assert_true(n < 1000);
			emb_init(&f);
			f.o.vfs = "faults";
			arm((enum fault_kind)kind, false, n);
			err = embedded_open(&e, &f.o, &fail);
			long hits = disarm();

			if (err != EV_OK) {
				assert_int_equal(err, error_of((enum fault_kind)kind));
				assert_true(fail.text[0] != '\0');
			} else {
				embedded_free(e);
			}
			assert_true(err == EV_OK || hits == 1);
			emb_open(&f);
			emb_add_some(&f, 1);
			emb_deinit(&f);
		}
		assert_true(n > 2);
	}
}

static void a_checkpoint_that_fails_is_counted_and_done_later(void **state)
{
	struct embedded_stats stats = { 0 };
	struct emb f;

	(void)state;
	emb_init(&f);
	f.o.vfs = "faults";
	f.o.checkpoint_pages = 16;
	emb_open(&f);
	emb_add_some(&f, OLD);
	arm(FAULT_FULL, true, 1);
	atomic_store(&fault.file_only, true);
	for (unsigned i = 0; i < 20000 && stats.failed_checkpoints == 0; i++) {
		assert_int_equal(emb_report_alone(&f, i % OLD, 1), EV_OK);
		embedded_stats(f.e, &stats);
	}
	assert_true(stats.failed_checkpoints > 0);
	assert_true(disarm() > 0);
	uint64_t done = stats.checkpoints;

	for (unsigned i = 0; i < 20000 && stats.checkpoints == done; i++) {
		assert_int_equal(emb_report_alone(&f, i % OLD, 1), EV_OK);
		embedded_stats(f.e, &stats);
	}
	assert_true(stats.checkpoints > done);
	emb_assert_balanced(&f);
	emb_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_that_fails_undoes_its_group_alone),
		cmocka_unit_test(a_sync_that_fails_undoes_its_group_alone),
		cmocka_unit_test(a_disk_that_stays_full_leaves_reading_and_heals),
		cmocka_unit_test(a_write_that_fails_amid_a_large_group_loses_all_of_it),
		cmocka_unit_test(after_an_error_the_group_is_lost),
		cmocka_unit_test(a_fault_while_the_file_is_made_leaves_no_half_of_it),
		cmocka_unit_test(a_checkpoint_that_fails_is_counted_and_done_later),
	};

	return cmocka_run_group_tests(tests, register_faults, NULL);
}
