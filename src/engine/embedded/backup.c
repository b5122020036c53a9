#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "engine/embedded/dirlock.h"
#include "engine/embedded/internal.h"
#include "engine/embedded/schema.h"

#define BUSY_MS 10000
#define PAGE_CACHE_KIB 8192

static ev_err join(char out[PATH_MAX], const char *a, const char *b, struct ev_fail *fail)
{
	int n = snprintf(out, PATH_MAX, "%s%s", a, b);

	if (n < 0 || n >= PATH_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "%s: the name is too long", a);
	return EV_OK;
}

static bool present(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* All pages in one go: one read transaction, beside which the writer goes on. */
static ev_err copy_pages(sqlite3 *from, sqlite3 *to, const char *target, struct ev_fail *fail)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int rc;

	if (b == NULL)
		return sql_fail(to, sqlite3_errcode(to), target, fail);
	rc = sqlite3_backup_step(b, -1);
	(void)sqlite3_backup_finish(b);
	if (rc == SQLITE_DONE)
		/* A backup is one file: no log beside it. */
		return sql_exec(to, "PRAGMA journal_mode=DELETE", fail);
	return sql_fail(sqlite3_errcode(to) != SQLITE_OK ? to : from, rc, target, fail);
}

static ev_err copy_database(const char *source, const char *target, struct ev_fail *fail)
{
	struct sql_options o = { .path = source,
				 .flags = SQLITE_OPEN_READWRITE,
				 .page_cache_kib = PAGE_CACHE_KIB,
				 .busy_ms = BUSY_MS };
	struct sql from, to;
	int64_t version = 0;
	ev_err err = sql_open(&from, &o, NULL, 0, fail);

	if (err != EV_OK)
		return err;
	err = schema_check(from.db, &version, fail);
	if (err == EV_OK) {
		o.path = target;
		o.flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
		err = sql_open(&to, &o, NULL, 0, fail);
	}
	if (err == EV_OK) {
		err = copy_pages(from.db, to.db, target, fail);
		sql_close(&to);
	}
	sql_close(&from);
	return err;
}

/* source -> temporary -> synced, verified -> target, whose old content (if any) goes at once. */
static ev_err copy_verified(const char *source, const char *target, struct ev_fail *fail)
{
	char temporary[PATH_MAX];
	ev_err err = join(temporary, target, ".partial", fail);

	if (err != EV_OK)
		return err;
	(void)unlink(temporary); /* of a copy that was cut off */
	err = private_file(temporary, fail);
	if (err == EV_OK)
		err = copy_database(source, temporary, fail);
	if (err == EV_OK)
		err = sync_path(temporary, fail);
	if (err == EV_OK)
		err = embedded_verify(temporary, NULL, fail);
	if (err == EV_OK && rename(temporary, target) != 0)
		err = errno_fail(fail, errno, "rename to", target);
	if (err != EV_OK) {
		(void)unlink(temporary);
		return err;
	}
	return sync_parent(target, fail);
}

ev_err embedded_backup(const char *dir, const char *target, struct ev_fail *fail)
{
	char source[PATH_MAX];
	ev_err err = join(source, dir, "/" EMBEDDED_FILE, fail);

	if (err != EV_OK)
		return err;
	if (present(target))
		return ev_fail_set(fail, EV_EXISTS, EEXIST, "%s exists already", target);
	if (!present(source))
		return ev_fail_set(fail, EV_NOTFOUND, ENOENT, "%s has no database", dir);
	return copy_verified(source, target, fail);
}

static ev_err check_integrity(struct sql *s, const char *path, struct ev_fail *fail)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(1)", -1, &st, NULL);
	ev_err err = EV_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		err = sql_fail(s->db, rc, path, fail);
	else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
		err = ev_fail_set(fail, EV_CORRUPT, 0, "%s is damaged: %s", path,
				  (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return err;
}

static ev_err check_file(const struct sql_options *o, const char *path, struct ev_fail *fail)
{
	struct sql s;
	int64_t version = 0;
	ev_err err = sql_open(&s, o, NULL, 0, fail);

	if (err != EV_OK)
		return err;
	err = schema_check(s.db, &version, fail);
	if (err == EV_OK && version == 0)
		err = ev_fail_set(fail, EV_CORRUPT, 0, "%s is empty", path);
	if (err == EV_OK)
		err = check_integrity(&s, path, fail);
	sql_close(&s);
	return err;
}

static ev_err unbalanced(const struct ev_uuid *id, const char *path, struct ev_fail *fail)
{
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(id, text);
	return ev_fail_set(fail, EV_CORRUPT, 0,
			   "%s: the books do not balance: total of outlet %s is not its sessions "
			   "and unassigned energy",
			   path, text);
}

static ev_err check_books(const struct sql_options *o, const char *path, struct energy_books *out,
			  struct ev_fail *fail)
{
	struct query *q = NULL;
	struct ev_uuid id = { { 0 } };
	struct energy_books books = { 0 };
	ev_err err = query_new(o, &q, fail);

	if (err != EV_OK)
		return err;
	err = query_check_books(q, &id);
	if (err == EV_CORRUPT && !ev_uuid_is_nil(&id))
		err = unbalanced(&id, path, fail);
	else if (err == EV_OK)
		err = q->ops->books(q, &books);
	if (err != EV_OK && ev_uuid_is_nil(&id))
		err = ev_fail_set(fail, err, 0, "%s: the books cannot be read: %s", path,
				  ev_err_text(err));
	q->ops->free(q);
	if (err == EV_OK && out != NULL)
		*out = books;
	return err;
}

/* A URI of the file; the characters that mean something in one are written as %XX. */
static ev_err uri_of(const char *path, bool lone, char *out, size_t cap, struct ev_fail *fail)
{
	struct ev_buf b = ev_buf_over(out, cap - 1);
	static const char hex[] = "0123456789ABCDEF";

	ev_buf_z(&b, "file:");
	for (const unsigned char *p = (const unsigned char *)path; *p != '\0'; p++) {
		if (*p != '%' && *p != '?' && *p != '#') {
			ev_buf_char(&b, (char)*p);
			continue;
		}
		ev_buf_char(&b, '%');
		ev_buf_char(&b, hex[*p >> 4]);
		ev_buf_char(&b, hex[*p & 15]);
	}
	/* Without a log nobody has the file open: leave nothing beside it. */
	ev_buf_z(&b, lone ? "?immutable=1" : "");
	if (b.overflow)
		return ev_fail_set(fail, EV_INVALID, 0, "%s: the name is too long", path);
	out[b.len] = '\0';
	return EV_OK;
}

ev_err embedded_verify(const char *path, struct energy_books *out, struct ev_fail *fail)
{
	char wal[PATH_MAX], uri[PATH_MAX];
	ev_err err = join(wal, path, "-wal", fail);

	if (err != EV_OK)
		return err;
	if (!present(path))
		return ev_fail_set(fail, EV_NOTFOUND, ENOENT, "%s does not exist", path);
	err = uri_of(path, !present(wal), uri, sizeof(uri), fail);
	if (err != EV_OK)
		return err;
	struct sql_options o = { .path = uri,
				 .flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
				 .page_cache_kib = PAGE_CACHE_KIB,
				 .busy_ms = BUSY_MS };

	err = check_file(&o, path, fail);
	return err == EV_OK ? check_books(&o, path, out, fail) : err;
}

/*
 * The log of the database that is about to be replaced must be gone before the new file is there,
 * or its pages would be put into it.  Folding it in first keeps the old database whole until then.
 */
static ev_err clear_log(const char *path, struct ev_fail *fail)
{
	static const char *const beside[] = { "-wal", "-shm" };
	struct sql_options o = { .path = path,
				 .flags = SQLITE_OPEN_READWRITE,
				 .page_cache_kib = PAGE_CACHE_KIB,
				 .busy_ms = BUSY_MS };
	struct sql s;

	/* A damaged one cannot be folded, and need not be. */
	if (sql_open(&s, &o, NULL, 0, NULL) == EV_OK) {
		(void)sqlite3_wal_checkpoint_v2(s.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		sql_close(&s);
	}
	for (size_t i = 0; i < EV_ARRAY_LEN(beside); i++) {
		char name[PATH_MAX];
		ev_err err = join(name, path, beside[i], fail);

		if (err != EV_OK)
			return err;
		if (unlink(name) != 0 && errno != ENOENT)
			return errno_fail(fail, errno, "remove", name);
	}
	return sync_parent(path, fail);
}

static ev_err restore_locked(const char *backup, const char *dir, bool force, struct ev_fail *fail)
{
	char path[PATH_MAX], copy[PATH_MAX];
	ev_err err = join(path, dir, "/" EMBEDDED_FILE, fail);

	if (err == EV_OK)
		err = join(copy, path, ".restored", fail);
	if (err != EV_OK)
		return err;
	if (present(path) && !force)
		return ev_fail_set(fail, EV_EXISTS, EEXIST, "%s has a database already", dir);
	err = copy_verified(backup, copy, fail);
	if (err == EV_OK && present(path))
		err = clear_log(path, fail);
	if (err == EV_OK && rename(copy, path) != 0)
		err = errno_fail(fail, errno, "rename to", path);
	if (err != EV_OK) {
		(void)unlink(copy);
		return err;
	}
	return sync_parent(path, fail);
}

ev_err embedded_restore(const char *backup, const char *dir, bool force, struct ev_fail *fail)
{
	int lock_fd = -1;
	ev_err err = embedded_verify(backup, NULL, fail);

	if (err == EV_OK)
		err = dirlock_take(dir, &lock_fd, fail);
	if (err != EV_OK)
		return err;
	err = restore_locked(backup, dir, force, fail);
	(void)close(lock_fd);
	return err;
}
