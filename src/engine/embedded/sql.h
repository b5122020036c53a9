/*
 * engine/embedded/sql.h — a SQLite connection with its prepared statements, and the one place where
 * SQLite's codes become ours.
 *
 * Values are bound and read in the order of the statement's text: `sql_bind` and `sql_cols` count
 * for themselves and remember the first failure, so that a caller checks once.
 */
#ifndef EV_EMBEDDED_SQL_H
#define EV_EMBEDDED_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"
#include "core/types.h"

struct sql {
	sqlite3 *db;
	const char *const *texts; /* one per statement, indexed by the caller's enum */
	sqlite3_stmt **stmts;     /* prepared at first use, kept for the connection's life */
	size_t n;
};

struct sql_options {
	const char *path;
	const char *vfs;
	int flags; /* of sqlite3_open_v2 */
	unsigned page_cache_kib;
	unsigned busy_ms;
};

/* Opens a connection for one thread at a time.  On failure *s is closed and *fail filled. */
EV_NODISCARD ev_err sql_open(struct sql *s, const struct sql_options *o, const char *const *texts,
			     size_t n_texts, struct ev_fail *fail);
void sql_close(struct sql *s);

/* Our code for SQLite's, with the connection's errno for a full disk; db may be NULL. */
ev_err sql_map(sqlite3 *db, int rc);
/* The same, and the text into *fail (may be NULL). */
ev_err sql_fail(sqlite3 *db, int rc, const char *what, struct ev_fail *fail);

/* Runs a script without results. */
EV_NODISCARD ev_err sql_exec(sqlite3 *db, const char *script, struct ev_fail *fail);
/* The single integer a statement gives, e.g. a pragma. */
EV_NODISCARD ev_err sql_int(sqlite3 *db, const char *text, int64_t *out, struct ev_fail *fail);

/* The statement, reset and ready for binding; NULL when it could not be prepared (see *err). */
sqlite3_stmt *sql_use(struct sql *s, size_t which, ev_err *err);

struct sql_bind {
	sqlite3_stmt *st; /* NULL: every call does nothing */
	int i;
	int rc;
	ev_err err;
	struct sql *sql;
};

/* Begins binding statement `which`. */
struct sql_bind sql_bind(struct sql *s, size_t which);
void bind_i64(struct sql_bind *b, int64_t v);
void bind_u64(struct sql_bind *b, uint64_t v); /* at most INT64_MAX */
void bind_null(struct sql_bind *b);
void bind_opt_i64(struct sql_bind *b, bool has, int64_t v);
/* Bytes and texts are borrowed until the statement was run. */
void bind_blob(struct sql_bind *b, const void *p, size_t n);
void bind_text(struct sql_bind *b, const char *p, size_t n);
void bind_uuid(struct sql_bind *b, const struct ev_uuid *u);
void bind_opt_uuid(struct sql_bind *b, bool has, const struct ev_uuid *u);
void bind_tag(struct sql_bind *b, const struct rfid_tag *t);
void bind_identity(struct sql_bind *b, const struct identity *id);

/* Runs a statement without rows to its end and resets it. */
EV_NODISCARD ev_err sql_run(struct sql_bind *b);
/*
 * Steps to the next row: EV_NOTFOUND at the end.  Whoever got EV_OK and wants no more calls
 * sql_done; any other result has reset the statement.
 */
EV_NODISCARD ev_err sql_next(struct sql_bind *b);
void sql_done(struct sql_bind *b);

struct sql_cols {
	sqlite3_stmt *st;
	int i;
	bool bad; /* a value of the wrong type, length or range: the row is corrupt */
};

struct sql_cols sql_cols(const struct sql_bind *b);
int64_t col_i64(struct sql_cols *c);
uint64_t col_u64(struct sql_cols *c);
bool col_bool(struct sql_cols *c);
int64_t col_opt_i64(struct sql_cols *c, bool *out_has);
int64_t col_range(struct sql_cols *c, int64_t min, int64_t max);
/* Borrowed until the next step. */
struct ev_str col_bytes(struct sql_cols *c);
struct ev_uuid col_uuid(struct sql_cols *c);
struct ev_uuid col_opt_uuid(struct sql_cols *c, bool *out_has);
struct rfid_tag col_tag(struct sql_cols *c);
struct identity col_identity(struct sql_cols *c);
/* Copies with NUL; cap counts it. */
void col_text(struct sql_cols *c, char *out, size_t cap);

#endif
