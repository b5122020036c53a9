/* test_embedded_backup.c — copies of a running database, their verification and the way back. */
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "embedded_fixture.h"

#define N_OUTLETS 20U

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void assert_verified(const char *path, struct energy_books *out)
{
	struct ev_fail fail = { .text = "" };

	if (embedded_verify(path, out, &fail) != EV_OK)
		fail_msg("embedded_verify: %s", fail.text);
}

static void assert_backed_up(const struct emb *f, const char *target)
{
	struct ev_fail fail = { .text = "" };

	if (embedded_backup(f->dir, target, &fail) != EV_OK)
		fail_msg("embedded_backup: %s", fail.text);
}

/* An open engine with some energy. */
static void start(struct emb *f)
{
	emb_init(f);
	emb_open(f);
	emb_add_some(f, N_OUTLETS);
	for (unsigned i = 0; i < N_OUTLETS; i++)
		assert_int_equal(emb_report_alone(f, i, 100 + i), EV_OK);
}

struct writer {
	struct emb *f;
	atomic_bool stop;
	atomic_uint n;
	ev_err err;
};

static void *write_on(void *user)
{
	struct writer *w = user;

	while (!atomic_load(&w->stop) && w->err == EV_OK) {
		w->err = emb_report_alone(w->f, atomic_fetch_add(&w->n, 1) % N_OUTLETS, 1);
	}
	return NULL;
}

static void a_backup_beside_a_writer_is_whole(void **state)
{
	struct emb f;
	struct writer w = { .f = &f };
	pthread_t thread;

	(void)state;
	start(&f);
	assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
	for (unsigned i = 0; i < 5; i++) {
		struct energy_books books;
		char name[16];
		uint64_t before = atomic_load(&w.n);

		(void)snprintf(name, sizeof(name), "copy%u", i);
		assert_backed_up(&f, emb_path(&f, name));
		uint64_t after = atomic_load(&w.n);

		assert_verified(emb_path(&f, name), &books);
		assert_int_equal(books.n_outlets, N_OUTLETS);
		assert_int_equal(books.outlets_total_mwh, books.sessions_mwh);
		/* All that was acknowledged before it began, nothing from after its end. */
		assert_in_range(books.n_events + 1, N_OUTLETS + before, N_OUTLETS + after + 1);
		assert_false(exists(emb_path(&f, "copy0-wal")));
	}
	atomic_store(&w.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.err, EV_OK);
	emb_assert_balanced(&f);
	emb_deinit(&f);
}

static void a_backup_takes_what_is_still_in_the_log(void **state)
{
	struct energy_books books;
	struct stat st;
	struct emb f;

	(void)state;
	start(&f);
	assert_true(exists(emb_path(&f, EMBEDDED_FILE "-wal")));
	assert_backed_up(&f, emb_path(&f, "copy"));
	assert_int_equal(stat(emb_path(&f, "copy"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_verified(emb_path(&f, "copy"), &books);
	assert_int_equal(books.n_events, N_OUTLETS);
	emb_deinit(&f);
}

static void a_backup_replaces_nothing_and_leaves_nothing_half(void **state)
{
	struct ev_fail fail = { .text = "" };
	struct emb f;

	(void)state;
	start(&f);
	assert_backed_up(&f, emb_path(&f, "copy"));
	assert_int_equal(embedded_backup(f.dir, emb_path(&f, "copy"), &fail), EV_EXISTS);
	assert_int_equal(embedded_backup(f.dir, emb_path(&f, "no/such/copy"), &fail), EV_NOTFOUND);
	assert_int_equal(embedded_backup("/nonexistent", emb_path(&f, "other"), &fail),
			 EV_NOTFOUND);
	assert_false(exists(emb_path(&f, "other")));
	assert_false(exists(emb_path(&f, "copy.partial")));
	emb_deinit(&f);
}

static void tamper(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	char *why = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void books_that_do_not_balance_are_told(void **state)
{
	static const struct {
		const char *sql;
		const char *words;
	} cases[] = {
		{ "UPDATE outlet_row SET totalMwh=totalMwh+1 WHERE n=3",
		  "6f000000-0000-0000-0000-000000000002" },
		{ "UPDATE session_row SET mwh=mwh-1 WHERE n=1",
		  "6f000000-0000-0000-0000-000000000000" },
		/* In sum they balance, outlet by outlet they do not. */
		{ "UPDATE outlet_row SET totalMwh=totalMwh+CASE n WHEN 1 THEN 1 ELSE -1 END"
		  " WHERE n<3",
		  "6f000000-0000-0000-0000-00000000000" },
		{ "UPDATE outlet_row SET unassignedMwh=5, totalMwh=totalMwh+5 WHERE n=1",
		  "6f000000-0000-0000-0000-000000000000" },
		{ "INSERT INTO unassigned_row VALUES(zeroblob(16), (SELECT id FROM outlet_row"
		  " WHERE n=2), 0, 5, '', NULL)",
		  "6f000000-0000-0000-0000-000000000001" },
		{ "DELETE FROM outlet_row WHERE n=1", "6f000000-0000-0000-0000-000000000000" },
		{ "UPDATE session_row SET outletId=x'61626364'", "cannot be read" },
		{ "PRAGMA user_version=99", "version 99" },
		{ "PRAGMA application_id=1", "not a database of evcharge" },
	};
	struct emb f;

	(void)state;
	start(&f);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_fail fail = { .text = "" };
		const char *copy = emb_path(&f, "copy");

		assert_backed_up(&f, copy);
		assert_verified(copy, NULL);
		tamper(copy, cases[i].sql);
		assert_int_not_equal(embedded_verify(copy, NULL, &fail), EV_OK);
		if (strstr(fail.text, cases[i].words) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", fail.text, cases[i].words);
		assert_int_equal(unlink(copy), 0);
	}
	emb_deinit(&f);
}

static void every_damaged_page_is_found_by_verification_or_does_no_harm(void **state)
{
	char page[4096];
	unsigned n_found = 0;
	struct stat st;
	struct emb f;

	(void)state;
	start(&f);
	const char *copy = emb_path(&f, "copy");

	assert_backed_up(&f, copy);
	assert_int_equal(stat(copy, &st), 0);
	for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(page)) {
		FILE *file = fopen(copy, "r+");
		char was[sizeof(page)];

		assert_non_null(file);
		memset(page, 0x5a, sizeof(page));
		assert_int_equal(pread(fileno(file), was, sizeof(was), at), sizeof(was));
		assert_int_equal(pwrite(fileno(file), page, sizeof(page), at), sizeof(page));
		n_found += embedded_verify(copy, NULL, NULL) != EV_OK;
		assert_int_equal(pwrite(fileno(file), was, sizeof(was), at), sizeof(was));
		assert_int_equal(fclose(file), 0);
	}
	/* A page that is free may hold anything. */
	assert_true(n_found + 2 >= (unsigned)(st.st_size / (off_t)sizeof(page)));
	assert_verified(copy, NULL);
	emb_deinit(&f);
}

static void a_restored_backup_goes_on_where_it_was(void **state)
{
	struct emb f, g;
	struct ev_fail fail = { .text = "" };

	(void)state;
	start(&f);
	assert_backed_up(&f, emb_path(&f, "copy"));
	assert_int_equal(emb_report_alone(&f, 0, 1000), EV_OK);
	emb_init(&g);
	assert_int_equal(embedded_restore(emb_path(&f, "copy"), g.dir, false, &fail), EV_OK);
	emb_open(&g);
	assert_int_equal(emb_total(&g, 0), 100);
	assert_int_equal(emb_books(&g).n_events, N_OUTLETS);
	assert_int_equal(emb_report_alone(&g, 0, 1), EV_OK);
	assert_int_equal(emb_total(&g, 0), 101);
	emb_assert_balanced(&g);
	assert_true(exists(emb_path(&f, "copy"))); /* the backup stays */
	emb_deinit(&g);
	emb_deinit(&f);
}

static void a_restore_wants_a_sound_backup_and_a_free_directory(void **state)
{
	struct emb f;
	struct ev_fail fail = { .text = "" };

	(void)state;
	start(&f);
	const char *copy = emb_path(&f, "copy");

	assert_backed_up(&f, copy);
	assert_int_equal(embedded_restore(copy, f.dir, true, &fail), EV_BUSY);
	emb_close(&f);
	assert_int_equal(embedded_restore(copy, f.dir, false, &fail), EV_EXISTS);
	assert_int_equal(embedded_restore("/nonexistent", f.dir, true, &fail), EV_NOTFOUND);
	tamper(copy, "UPDATE session_row SET mwh=mwh+1");
	assert_int_equal(embedded_restore(copy, f.dir, true, &fail), EV_CORRUPT);
	emb_open(&f);
	assert_int_equal(emb_total(&f, 1), 101);
	emb_deinit(&f);
}

static void copy_file(const char *from, const char *to)
{
	char bytes[65536];
	FILE *a = fopen(from, "r"), *b = fopen(to, "w");
	size_t n;

	assert_non_null(a);
	assert_non_null(b);
	while ((n = fread(bytes, 1, sizeof(bytes), a)) > 0)
		assert_int_equal(fwrite(bytes, 1, n, b), n);
	assert_int_equal(fclose(a), 0);
	assert_int_equal(fclose(b), 0);
}

/* A directory as a killed process leaves it: the log holds what the file does not. */
static void a_forced_restore_keeps_nothing_of_the_old_log(void **state)
{
	struct emb f, g;
	struct ev_fail fail = { .text = "" };

	(void)state;
	start(&f);
	assert_backed_up(&f, emb_path(&f, "copy"));
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(emb_report_alone(&f, i % N_OUTLETS, 7), EV_OK);
	emb_init(&g);
	copy_file(emb_path(&f, EMBEDDED_FILE), emb_path(&g, EMBEDDED_FILE));
	copy_file(emb_path(&f, EMBEDDED_FILE "-wal"), emb_path(&g, EMBEDDED_FILE "-wal"));
	assert_int_equal(embedded_restore(emb_path(&f, "copy"), g.dir, true, &fail), EV_OK);
	emb_open(&g);
	assert_int_equal(emb_books(&g).n_events, N_OUTLETS);
	assert_int_equal(emb_total(&g, 3), 103);
	emb_assert_balanced(&g);
	emb_deinit(&g);
	emb_deinit(&f);
}

/* And without a restore, the same directory is simply taken up again. */
static void a_killed_engine_is_taken_up_from_its_log(void **state)
{
	struct emb f, g;

	(void)state;
	start(&f);
	assert_int_equal(emb_report_alone(&f, 3, 7), EV_OK);
	emb_init(&g);
	copy_file(emb_path(&f, EMBEDDED_FILE), emb_path(&g, EMBEDDED_FILE));
	copy_file(emb_path(&f, EMBEDDED_FILE "-wal"), emb_path(&g, EMBEDDED_FILE "-wal"));
	emb_open(&g);
	assert_int_equal(emb_total(&g, 3), 110);
	assert_int_equal(emb_books(&g).n_events, N_OUTLETS + 1);
	emb_deinit(&g);
	emb_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backup_beside_a_writer_is_whole),
		cmocka_unit_test(a_backup_takes_what_is_still_in_the_log),
		cmocka_unit_test(a_backup_replaces_nothing_and_leaves_nothing_half),
		cmocka_unit_test(books_that_do_not_balance_are_told),
		cmocka_unit_test(every_damaged_page_is_found_by_verification_or_does_no_harm),
		cmocka_unit_test(a_restored_backup_goes_on_where_it_was),
		cmocka_unit_test(a_restore_wants_a_sound_backup_and_a_free_directory),
		cmocka_unit_test(a_forced_restore_keeps_nothing_of_the_old_log),
		cmocka_unit_test(a_killed_engine_is_taken_up_from_its_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
