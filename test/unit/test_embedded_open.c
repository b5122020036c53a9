/* test_embedded_open.c — which files the embedded engine takes, and how they look to a person. */
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "embedded_fixture.h"
#include "engine/embedded/schema.h"
#include "engine/embedded/statements.h"

/* Opening is refused with this code and words in the text. */
static void assert_refused(struct emb *f, ev_err code, const char *words)
{
	struct ev_fail fail = { .text = "" };
	struct embedded *e = NULL;

	assert_int_equal(embedded_open(&e, &f->o, &fail), code);
	assert_null(e);
	assert_int_equal(fail.code, code);
	if (strstr(fail.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", fail.text, words);
}

static sqlite3 *open_file(struct emb *f)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(emb_path(f, EMBEDDED_FILE), &db), SQLITE_OK);
	return db;
}

static void exec(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
}

/* An engine's file with three outlets, closed. */
static void make_file(struct emb *f)
{
	emb_init(f);
	emb_open(f);
	emb_add_some(f, 3);
	emb_close(f);
}

static void write_at(struct emb *f, off_t at, const char *bytes, size_t n)
{
	int fd = open(emb_path(f, EMBEDDED_FILE), O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

static void a_new_directory_is_made_private(void **state)
{
	struct emb f;
	struct stat st;
	char dir[128], file[256];

	(void)state;
	emb_init(&f);
	(void)snprintf(dir, sizeof(dir), "%s/data", f.dir);
	f.o.dir = dir;
	emb_open(&f);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	(void)snprintf(file, sizeof(file), "%s/%s", dir, EMBEDDED_FILE);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	emb_close(&f);
	emb_remove_dir(dir);
	emb_deinit(&f);
}

/* In a process of its own: holds the directory until the pipe closes. */
static pid_t hold(struct emb *f, int *out_pipe)
{
	int ready[2], quit[2];
	char byte = 'x';

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(quit), 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct embedded *e = NULL;

		close(quit[1]);
		if (embedded_open(&e, &f->o, NULL) != EV_OK || write(ready[1], &byte, 1) != 1)
			_exit(1);
		(void)!read(quit[0], &byte, 1);
		_exit(0);
	}
	close(quit[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	*out_pipe = quit[1];
	return pid;
}

static void a_directory_held_by_another_process_is_refused_with_its_pid(void **state)
{
	struct emb f;
	char words[64];
	int quit = -1, status = 0;

	(void)state;
	make_file(&f);
	pid_t pid = hold(&f, &quit);

	(void)snprintf(words, sizeof(words), "another process (pid %ld) holds /tmp/", (long)pid);
	assert_refused(&f, EV_BUSY, words);
	close(quit);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* It died without a word, and the lock with it. */
	emb_open(&f);
	assert_int_equal(emb_total(&f, 0), 0);
	emb_deinit(&f);
}

static void a_second_engine_in_the_same_process_is_refused(void **state)
{
	struct emb f;

	(void)state;
	make_file(&f);
	emb_open(&f);
	assert_refused(&f, EV_BUSY, "holds");
	assert_int_equal(emb_report_alone(&f, 0, 1), EV_OK);
	emb_deinit(&f);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
	struct emb f;

	(void)state;
	make_file(&f);
	sqlite3 *db = open_file(&f);

	exec(db, "PRAGMA user_version=99");
	sqlite3_close(db);
	assert_refused(&f, EV_UNSUPPORTED, "version 99");
	db = open_file(&f);
	exec(db, "PRAGMA user_version=3");
	sqlite3_close(db);
	emb_open(&f);
	assert_int_equal(emb_total(&f, 2), 0);
	emb_deinit(&f);
}

static void a_database_of_somebody_else_is_refused(void **state)
{
	struct emb f;

	(void)state;
	emb_init(&f);
	sqlite3 *db = open_file(&f);

	exec(db, "CREATE TABLE t(a)");
	sqlite3_close(db);
	assert_refused(&f, EV_CORRUPT, "not a database of evcharge");
	emb_deinit(&f);
}

static void a_damaged_header_is_refused(void **state)
{
	struct emb f;

	(void)state;
	make_file(&f);
	write_at(&f, 0, "SQLite formal 3", 16);
	assert_refused(&f, EV_CORRUPT, "damaged");
	emb_deinit(&f);
}

static void a_file_that_is_text_is_refused(void **state)
{
	struct emb f;
	char text[4096];

	(void)state;
	emb_init(&f);
	FILE *file = fopen(emb_path(&f, EMBEDDED_FILE), "w");

	assert_non_null(file);
	memset(text, 'a', sizeof(text));
	assert_int_equal(fwrite(text, 1, 50, file), 50);
	assert_int_equal(fflush(file), 0);
	assert_refused(&f, EV_CORRUPT, "cut short");
	assert_int_equal(fwrite(text, 1, sizeof(text), file), sizeof(text));
	assert_int_equal(fclose(file), 0);
	assert_refused(&f, EV_CORRUPT, "damaged");
	emb_deinit(&f);
}

static void a_file_cut_short_is_refused(void **state)
{
	struct emb f;
	struct stat st;

	(void)state;
	make_file(&f);
	assert_int_equal(stat(emb_path(&f, EMBEDDED_FILE), &st), 0);
	assert_int_equal(truncate(emb_path(&f, EMBEDDED_FILE), st.st_size - 4096), 0);
	assert_refused(&f, EV_CORRUPT, "cut short");
	emb_deinit(&f);
}

/* A journal says how long the file was before the change that it undoes: here nothing. */
static void a_file_whose_making_was_cut_off_is_made_anew(void **state)
{
	static const uint8_t journal[512] = {
		0xd9,     0xd5, 0x05, 0xf9,     0x20,
		0xa1,     0x63, 0xd7, [22] = 2, /* bytes a sector, pages of 4096 */
		[26] = 16
	};
	struct emb f;
	FILE *out;

	(void)state;
	make_file(&f);
	assert_int_equal(truncate(emb_path(&f, EMBEDDED_FILE), 8192), 0);
	out = fopen(emb_path(&f, EMBEDDED_FILE "-journal"), "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(journal, 1, sizeof(journal), out), sizeof(journal));
	assert_int_equal(fclose(out), 0);
	emb_open(&f);
	assert_int_equal(emb_books(&f).n_outlets, 0);
	emb_add_some(&f, 1);
	emb_deinit(&f);
}

static void a_missing_table_is_refused(void **state)
{
	struct emb f;

	(void)state;
	make_file(&f);
	sqlite3 *db = open_file(&f);

	exec(db, "DROP TABLE event_row");
	sqlite3_close(db);
	assert_refused(&f, EV_CORRUPT, "damaged");
	emb_deinit(&f);
}

/* The root page of a table, as a number of the file. */
static off_t root_page(struct emb *f, const char *sql)
{
	sqlite3 *db = open_file(f);
	sqlite3_stmt *st = NULL;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	off_t page = (off_t)sqlite3_column_int64(st, 0);

	sqlite3_finalize(st);
	sqlite3_close(db);
	return page;
}

static void a_damaged_page_is_told_where_it_is_met(void **state)
{
	struct ev_uuid id = emb_id('o', 1);
	struct ev_fail fail = { .text = "" };
	struct emb f;
	struct outlet o;
	char garbage[4096];

	(void)state;
	make_file(&f);
	off_t page = root_page(&f, "SELECT rootpage FROM sqlite_schema WHERE name='outlet_row'");

	memset(garbage, 0x5a, sizeof(garbage));
	write_at(&f, (page - 1) * 4096, garbage, sizeof(garbage));
	emb_open(&f);
	assert_int_equal(f.s->ops->load_outlet(f.s, &id, &o), EV_CORRUPT);
	embedded_last_fail(f.e, &fail);
	assert_int_equal(fail.code, EV_CORRUPT);
	assert_non_null(strstr(fail.text, "restore a backup"));
	emb_deinit(&f);
}

static void a_damaged_value_in_a_row_is_corrupt(void **state)
{
	static const char *const damages[] = {
		"UPDATE outlet_row SET extra=x'02'", "UPDATE outlet_row SET state=10",
		"UPDATE outlet_row SET version=-1",  "UPDATE outlet_row SET mwh='many'",
		"UPDATE outlet_row SET retired=2",   "UPDATE outlet_row SET sessionId=x'00'",
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(damages); i++) {
		struct ev_uuid id = emb_id('o', 1);
		struct emb f;
		struct outlet o;
		struct outlet_row row;

		make_file(&f);
		sqlite3 *db = open_file(&f);

		exec(db, damages[i]);
		sqlite3_close(db);
		emb_open(&f);
		assert_int_equal(f.s->ops->load_outlet(f.s, &id, &o), EV_CORRUPT);
		assert_int_equal(f.q->ops->outlet(f.q, &id, &row), EV_CORRUPT);
		emb_deinit(&f);
	}
}

/* Root may write everywhere: become nobody, in a process of its own. */
static int open_as_nobody(struct emb *f)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct embedded *e = NULL;

		if (getuid() == 0 &&
		    (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
			_exit(EV_ERR_COUNT);
		_exit((int)embedded_open(&e, &f->o, NULL));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_directory_that_is_not_writable_is_refused(void **state)
{
	struct emb f;

	(void)state;
	make_file(&f);
	assert_int_equal(unlink(emb_path(&f, EMBEDDED_LOCK_FILE)), 0);
	assert_int_equal(chmod(f.dir, 0555), 0);
	assert_int_equal(open_as_nobody(&f), EV_DENIED);
	assert_int_equal(chmod(f.dir, 0777), 0);
	assert_int_equal(chmod(emb_path(&f, EMBEDDED_FILE), 0444), 0);
	assert_int_equal(open_as_nobody(&f), EV_DENIED);
	emb_deinit(&f);
}

static void a_directory_without_a_parent_is_refused(void **state)
{
	struct emb f;

	(void)state;
	emb_init(&f);
	f.o.dir = "/nonexistent/evcharge/data";
	assert_refused(&f, EV_NOTFOUND, "/nonexistent");
	emb_deinit(&f);
}

static void every_older_version_is_brought_up_to_date(void **state)
{
	static const char row[] =
		"INSERT INTO outlet_row(id, groupId, code, address, createdNs, maxPowerMw, version,"
		" state, shown, tag, startNs, mwh, totalSessions, totalMwh, unassignedMwh,"
		" outOfService, retired, lastEvent, lastBlock, extra) VALUES("
		"x'6f000000000000000000000000000001', zeroblob(16), 'C', 'A', 1, 2, 3, 0, 0, '', 4,"
		" 5, 6, 77, 0, 0, 0, 0, 0, x'01' || zeroblob(29))";

	(void)state;
	for (size_t version = 1; version <= schema_n_migrations; version++) {
		struct emb f;
		char stamp[80];

		emb_init(&f);
		sqlite3 *db = open_file(&f);

		for (size_t i = 0; i < version; i++)
			exec(db, schema_migrations[i]);
		(void)snprintf(stamp, sizeof(stamp),
			       "PRAGMA application_id=%d; PRAGMA user_version=%zu",
			       SCHEMA_APPLICATION_ID, version);
		exec(db, stamp);
		exec(db, row);
		sqlite3_close(db);
		emb_open(&f);
		assert_int_equal(emb_total(&f, 1), 77);
		emb_close(&f);
		db = open_file(&f);
		exec(db, "SELECT * FROM charger_outlet; SELECT * FROM unassigned_energy;");
		sqlite3_close(db);
		emb_deinit(&f);
	}
}

static void every_statement_fits_the_tables(void **state)
{
	struct emb f;

	(void)state;
	make_file(&f);
	sqlite3 *db = open_file(&f);

	for (size_t i = 0; i < SQL_STORE_COUNT + QUERY_COUNT; i++) {
		const char *text = i < SQL_STORE_COUNT ? store_sql_texts[i]
						       : query_sql_texts[i - SQL_STORE_COUNT];
		sqlite3_stmt *st = NULL;

		assert_non_null(text);
		if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
			fail_msg("%s: %s", text, sqlite3_errmsg(db));
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
	emb_deinit(&f);
}

/* The plan of a statement must name this index. */
static void assert_uses(sqlite3 *db, const char *text, const char *index)
{
	char explain[1024];
	sqlite3_stmt *st = NULL;
	bool found = false;

	(void)snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", text);
	assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(st, 3);

		found = found || strstr(detail, index) != NULL;
		if (strstr(detail, "SCAN") != NULL && strstr(detail, index) == NULL)
			fail_msg("%s: %s", text, detail);
	}
	sqlite3_finalize(st);
	if (!found)
		fail_msg("%s does not use %s", text, index);
}

static void look_ups_use_their_indexes(void **state)
{
	struct emb f;

	(void)state;
	make_file(&f);
	sqlite3 *db = open_file(&f);

	assert_uses(db, store_sql_texts[SQL_DUE], "outlet_wake");
	assert_uses(db, store_sql_texts[SQL_SESSIONS_LIVE], "session_live");
	assert_uses(db, store_sql_texts[SQL_SESSIONS_OF_CUSTOMER], "session_customer");
	assert_uses(db, store_sql_texts[SQL_PARKED_OF_OUTLET], "parked_outlet");
	assert_uses(db, store_sql_texts[SQL_PARKED_ALL], "parked_due");
	assert_uses(db, query_sql_texts[QUERY_HISTORY], "session_customer");
	assert_uses(db, query_sql_texts[QUERY_SESSIONS], "session_start");
	assert_uses(db, query_sql_texts[QUERY_SESSIONS_LIVE], "session_live");
	assert_uses(db, query_sql_texts[QUERY_ITEMS_OF_OUTLET], "unassigned_outlet");
	assert_uses(db, query_sql_texts[QUERY_DEAD_LETTERS_OPEN], "dead_letter_open");
	assert_uses(db, query_sql_texts[QUERY_OUTLETS], "sqlite_autoindex_outlet_row");
	sqlite3_close(db);
	emb_deinit(&f);
}

static int print_row(void *user, int n, char **values, char **names)
{
	char *out = user;

	for (int i = 0; i < n; i++) {
		size_t at = strlen(out);

		(void)snprintf(out + at, 4096 - at, "%s=%s\n", names[i],
			       values[i] != NULL ? values[i] : "NULL");
	}
	return 0;
}

static void assert_reads(sqlite3 *db, const char *sql, const char *text)
{
	char out[4096] = "";

	assert_int_equal(sqlite3_exec(db, sql, print_row, out, NULL), SQLITE_OK);
	assert_string_equal(out, text);
}

/* The full rows of the fixture, one of each kind. */
static void add_full_rows(struct emb *f)
{
	struct outlet o = emb_full_outlet();
	struct session s = emb_full_session();
	struct charging_event event = emb_full_event();
	struct device_command command = { .outlet_id = o.id,
					  .version = 0x18fd3a1b2c3,
					  .index = 2,
					  .change = OUTLET_APP_REQUESTS_STOP,
					  .period_start_ns = o.start_ns,
					  .period_end_ns = o.end_ns,
					  .created_ns = o.end_ns };
	struct outlet_info info = { .group_id = emb_id('g', 1),
				    .code = "A-17",
				    .address = "1 Long Street",
				    .created_ns = o.start_ns };
	struct customer customer = { .id = emb_id('c', 1),
				     .version = 3,
				     .tag = s.tag,
				     .address = "2 Short Street",
				     .email = "anna@example.com",
				     .payment_method = "invoice",
				     .created_ns = o.start_ns };
	struct keyed_put puts[] = {
		{ .kind = PUT_DEAD_LETTER,
		  .dead_letter = { .id = { { 1 } },
				   .at_ns = o.start_ns,
				   .reason = REASON_BAD_STATE,
				   .detail = "why",
				   .body = EV_LIT("{}") } },
		{ .kind = PUT_UNASSIGNED,
		  .unassigned = { .id = { { 2 } },
				  .outlet_id = o.id,
				  .at_ns = o.start_ns,
				  .mwh = 250000,
				  .tag = s.tag } },
	};
	struct unit units[] = {
		{ .kind = UNIT_OUTLET,
		  .outlet = &o,
		  .info = &info,
		  .events = &event,
		  .n_events = 1,
		  .commands = &command,
		  .n_commands = 1,
		  .puts = puts,
		  .n_puts = EV_ARRAY_LEN(puts) },
		{ .kind = UNIT_SESSION, .session = &s },
		{ .kind = UNIT_CUSTOMER, .customer = &customer },
	};
	ev_err results[EV_ARRAY_LEN(units)];

	assert_int_equal(f->s->ops->begin(f->s), EV_OK);
	assert_int_equal(f->s->ops->commit(f->s, units, EV_ARRAY_LEN(units), results), EV_OK);
	assert_int_equal(f->s->ops->end(f->s), EV_OK);
}

static void a_person_reads_outlets_sessions_and_customers(sqlite3 *db)
{
	assert_reads(db, "SELECT * FROM charger_outlet",
		     "outletId=6f000000-0000-0000-0000-000000000001\n"
		     "chargerGroupId=67000000-0000-0000-0000-000000000001\n"
		     "outletCode=A-17\naddress=1 Long Street\nmaxPower=22000.0\n"
		     "outletState=Charging\nsessionId=73000000-0000-0000-0000-000000000001\n"
		     "rfidTag=04a2b1c3d4e5f6\nstartTime=2024-06-01T13:53:20.500Z\n"
		     "endTime=2024-06-01T13:54:20.250Z\npowerConsumption=1.234567\n"
		     "totalChargingSessions=9\ntotalPowerConsumption=5.0\nunassignedTotal=0.25\n"
		     "shownState=AppRequestsStop\noutOfService=1\nretired=1\nversion=7\n"
		     "createdAt=2024-06-01T13:53:20.500Z\n");
	assert_reads(db, "SELECT * FROM charging_session",
		     "sessionId=73000000-0000-0000-0000-000000000001\n"
		     "customerId=63000000-0000-0000-0000-000000000001\nrfidTag=04a2b1c3d4e5f6\n"
		     "outletId=6f000000-0000-0000-0000-000000000001\noutletState=Charging\n"
		     "purchaseChannel=MobileApp\nstartTime=2024-06-01T13:53:20.500Z\n"
		     "endTime=2024-06-01T13:54:20.250Z\npowerConsumption=1.234567\n"
		     "heardAt=2024-06-01T13:54:21.000Z\nlive=1\nversion=8\n");
	assert_reads(db, "SELECT * FROM customer",
		     "customerId=63000000-0000-0000-0000-000000000001\nrfidTag=04a2b1c3d4e5f6\n"
		     "address=2 Short Street\nemail=anna@example.com\npaymentMethod=invoice\n"
		     "blocked=0\nversion=3\ncreatedAt=2024-06-01T13:53:20.500Z\n");
}

static void a_person_reads_effects(sqlite3 *db)
{
	assert_reads(db,
		     "SELECT seq, at, initiator, outletState, sessionId, periodStart, periodEnd,"
		     " powerConsumption, itemPowerConsumption FROM charging_event",
		     "seq=1\nat=2024-06-01T13:53:20.123Z\ninitiator=OutletBackend\n"
		     "outletState=ChargingFinished\n"
		     "sessionId=73000000-0000-0000-0000-000000000001\n"
		     "periodStart=2024-06-01T13:53:20.500Z\nperiodEnd=2024-06-01T13:54:20.250Z\n"
		     "powerConsumption=1.5\nitemPowerConsumption=0.25\n");
	assert_reads(db, "SELECT * FROM device_command",
		     "messageId=0000018fd3a1b2c3-2\n"
		     "outletId=6f000000-0000-0000-0000-000000000001\nrfidTag=\n"
		     "periodStart=2024-06-01T13:53:20.500Z\nperiodEnd=2024-06-01T13:54:20.250Z\n"
		     "outletStateChange=AppRequestsStop\npowerConsumption=0.0\nsessionId=NULL\n"
		     "createdAt=2024-06-01T13:54:20.250Z\nexpiresAt=NULL\n");
	assert_reads(db, "SELECT * FROM dead_letter",
		     "seq=1\nidentity=01000000000000000000000000000000\nchannel=device message\n"
		     "outletId=NULL\nat=2024-06-01T13:53:20.500Z\nreason=BAD_STATE\ndetail=why\n"
		     "status=open\nstatusAt=NULL\nbody={}\n");
	assert_reads(db, "SELECT * FROM unassigned_energy",
		     "itemId=02000000000000000000000000000000\n"
		     "outletId=6f000000-0000-0000-0000-000000000001\n"
		     "at=2024-06-01T13:53:20.500Z\npowerConsumption=0.25\n"
		     "rfidTag=04a2b1c3d4e5f6\nsessionId=NULL\n");
}

static void the_file_reads_in_the_words_of_the_original(void **state)
{
	struct emb f;

	(void)state;
	emb_init(&f);
	emb_open(&f);
	add_full_rows(&f);
	/* Beside the running engine, as a person would. */
	sqlite3 *db = open_file(&f);

	a_person_reads_outlets_sessions_and_customers(db);
	a_person_reads_effects(db);
	sqlite3_close(db);
	emb_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_directory_is_made_private),
		cmocka_unit_test(a_directory_held_by_another_process_is_refused_with_its_pid),
		cmocka_unit_test(a_second_engine_in_the_same_process_is_refused),
		cmocka_unit_test(a_newer_schema_is_refused_and_left_alone),
		cmocka_unit_test(a_database_of_somebody_else_is_refused),
		cmocka_unit_test(a_damaged_header_is_refused),
		cmocka_unit_test(a_file_that_is_text_is_refused),
		cmocka_unit_test(a_file_cut_short_is_refused),
		cmocka_unit_test(a_file_whose_making_was_cut_off_is_made_anew),
		cmocka_unit_test(a_missing_table_is_refused),
		cmocka_unit_test(a_damaged_page_is_told_where_it_is_met),
		cmocka_unit_test(a_damaged_value_in_a_row_is_corrupt),
		cmocka_unit_test(a_directory_that_is_not_writable_is_refused),
		cmocka_unit_test(a_directory_without_a_parent_is_refused),
		cmocka_unit_test(every_older_version_is_brought_up_to_date),
		cmocka_unit_test(every_statement_fits_the_tables),
		cmocka_unit_test(look_ups_use_their_indexes),
		cmocka_unit_test(the_file_reads_in_the_words_of_the_original),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
