#include "engine/embedded/sql.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

ev_err sql_map(sqlite3 *db, int rc)
{
	int sys = db != NULL ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return EV_OK;
	case SQLITE_NOMEM:
		return EV_NOMEM;
	case SQLITE_FULL:
		return EV_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EV_BUSY;
	case SQLITE_ERROR: /* our texts are right: a table is missing, a sum overflows */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return EV_CORRUPT;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return EV_DENIED;
	case SQLITE_CANTOPEN:
		return sys == EACCES || sys == EROFS || sys == EPERM ? EV_DENIED : EV_IO;
	case SQLITE_IOERR:
		/* Only plain writes become SQLITE_FULL; growing the shared index does not. */
		return sys == ENOSPC || sys == EDQUOT ? EV_FULL : EV_IO;
	default:
		return EV_IO;
	}
}

ev_err sql_fail(sqlite3 *db, int rc, const char *what, struct ev_fail *fail)
{
	ev_err err = sql_map(db, rc);
	const char *why = sqlite3_errstr(rc);

	if (err == EV_CORRUPT)
		why = "the database file is damaged; restore a backup";
	else if (db != NULL && sqlite3_errcode(db) != SQLITE_OK)
		why = sqlite3_errmsg(db);
	return ev_fail_set(fail, err, rc, "%s: %s", what, why);
}

ev_err sql_exec(sqlite3 *db, const char *script, struct ev_fail *fail)
{
	int rc = sqlite3_exec(db, script, NULL, NULL, NULL);

	return rc == SQLITE_OK ? EV_OK : sql_fail(db, rc, "database", fail);
}

ev_err sql_int(sqlite3 *db, const char *text, int64_t *out, struct ev_fail *fail)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, text, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*out = sqlite3_column_int64(st, 0);
		sqlite3_finalize(st);
		return EV_OK;
	}
	ev_err err = rc == SQLITE_DONE ? ev_fail_set(fail, EV_CORRUPT, 0, "%s gives nothing", text)
				       : sql_fail(db, rc, "database", fail);

	sqlite3_finalize(st);
	return err;
}

static ev_err set_up(struct sql *s, const struct sql_options *o, struct ev_fail *fail)
{
	int64_t kib = o->page_cache_kib;
	char *pragmas = sqlite3_mprintf("PRAGMA cache_size=-%lld; PRAGMA temp_store=MEMORY;"
					"PRAGMA secure_delete=FAST; PRAGMA wal_autocheckpoint=0;",
					kib);

	if (pragmas == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "database: out of memory");
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, (int)o->busy_ms);

	ev_err err = sql_exec(s->db, pragmas, fail);

	sqlite3_free(pragmas);
	return err;
}

ev_err sql_open(struct sql *s, const struct sql_options *o, const char *const *texts,
		size_t n_texts, struct ev_fail *fail)
{
	*s = (struct sql){ .texts = texts, .n = n_texts };
	s->stmts = calloc(n_texts == 0 ? 1 : n_texts, sizeof(sqlite3_stmt *));
	if (s->stmts == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "%s: out of memory", o->path);

	int rc = sqlite3_open_v2(o->path, &s->db, o->flags | SQLITE_OPEN_NOMUTEX, o->vfs);
	ev_err err = rc == SQLITE_OK ? set_up(s, o, fail) : sql_fail(s->db, rc, o->path, fail);

	if (err != EV_OK)
		sql_close(s);
	return err;
}

void sql_close(struct sql *s)
{
	for (size_t i = 0; s->stmts != NULL && i < s->n; i++)
		sqlite3_finalize(s->stmts[i]);
	free(s->stmts);
	int rc = sqlite3_close(s->db);

	assert(rc == SQLITE_OK && "a statement outlives its connection");
	(void)rc;
	*s = (struct sql){ 0 };
}

sqlite3_stmt *sql_use(struct sql *s, size_t which, ev_err *err)
{
	assert(which < s->n);
	if (s->stmts[which] == NULL) {
		int rc = sqlite3_prepare_v3(s->db, s->texts[which], -1, SQLITE_PREPARE_PERSISTENT,
					    &s->stmts[which], NULL);

		*err = sql_map(s->db, rc);
	}
	return s->stmts[which];
}

struct sql_bind sql_bind(struct sql *s, size_t which)
{
	struct sql_bind b = { .sql = s };

	b.st = sql_use(s, which, &b.err);
	return b;
}

static void bound(struct sql_bind *b, int rc)
{
	if (rc != SQLITE_OK && b->rc == SQLITE_OK)
		b->rc = rc;
}

void bind_i64(struct sql_bind *b, int64_t v)
{
	if (b->st != NULL)
		bound(b, sqlite3_bind_int64(b->st, ++b->i, v));
}

void bind_u64(struct sql_bind *b, uint64_t v)
{
	assert(v <= INT64_MAX);
	bind_i64(b, (int64_t)v);
}

void bind_null(struct sql_bind *b)
{
	if (b->st != NULL)
		bound(b, sqlite3_bind_null(b->st, ++b->i));
}

void bind_opt_i64(struct sql_bind *b, bool has, int64_t v)
{
	if (has)
		bind_i64(b, v);
	else
		bind_null(b);
}

void bind_blob(struct sql_bind *b, const void *p, size_t n)
{
	/* A NULL pointer would bind NULL; an empty blob is meant. */
	if (b->st != NULL)
		bound(b, sqlite3_bind_blob64(b->st, ++b->i, n == 0 ? "" : p, n, SQLITE_STATIC));
}

void bind_text(struct sql_bind *b, const char *p, size_t n)
{
	if (b->st != NULL)
		bound(b, sqlite3_bind_text64(b->st, ++b->i, n == 0 ? "" : p, n, SQLITE_STATIC,
					     SQLITE_UTF8));
}

void bind_uuid(struct sql_bind *b, const struct ev_uuid *u)
{
	bind_blob(b, u->b, sizeof(u->b));
}

void bind_opt_uuid(struct sql_bind *b, bool has, const struct ev_uuid *u)
{
	if (has)
		bind_uuid(b, u);
	else
		bind_null(b);
}

void bind_tag(struct sql_bind *b, const struct rfid_tag *t)
{
	bind_text(b, t->s, t->n);
}

void bind_identity(struct sql_bind *b, const struct identity *id)
{
	bind_blob(b, id->b, sizeof(id->b));
}

/* The result of a step; everything but a row ends the statement. */
static ev_err stepped(struct sql_bind *b, int rc)
{
	if (rc == SQLITE_ROW)
		return EV_OK;

	ev_err err = rc == SQLITE_DONE ? EV_NOTFOUND : sql_map(b->sql->db, rc);

	sqlite3_reset(b->st);
	return err;
}

ev_err sql_next(struct sql_bind *b)
{
	if (b->st == NULL)
		return b->err;
	if (b->rc != SQLITE_OK)
		return stepped(b, b->rc);
	return stepped(b, sqlite3_step(b->st));
}

ev_err sql_run(struct sql_bind *b)
{
	ev_err err = sql_next(b);

	assert(err != EV_OK && "the statement gives rows");
	return err == EV_NOTFOUND ? EV_OK : err;
}

void sql_done(struct sql_bind *b)
{
	sqlite3_reset(b->st);
}

struct sql_cols sql_cols(const struct sql_bind *b)
{
	return (struct sql_cols){ .st = b->st };
}

int64_t col_i64(struct sql_cols *c)
{
	if (sqlite3_column_type(c->st, c->i) != SQLITE_INTEGER)
		c->bad = true;
	return sqlite3_column_int64(c->st, c->i++);
}

uint64_t col_u64(struct sql_cols *c)
{
	return (uint64_t)col_range(c, 0, INT64_MAX);
}

bool col_bool(struct sql_cols *c)
{
	return col_range(c, 0, 1) == 1;
}

int64_t col_opt_i64(struct sql_cols *c, bool *out_has)
{
	*out_has = sqlite3_column_type(c->st, c->i) != SQLITE_NULL;
	if (*out_has)
		return col_i64(c);
	c->i++;
	return 0;
}

int64_t col_range(struct sql_cols *c, int64_t min, int64_t max)
{
	int64_t v = col_i64(c);

	if (v >= min && v <= max)
		return v;
	c->bad = true;
	return min;
}

struct ev_str col_bytes(struct sql_cols *c)
{
	const char *p = sqlite3_column_blob(c->st, c->i);
	int n = sqlite3_column_bytes(c->st, c->i++);

	return (struct ev_str){ p, (size_t)n };
}

struct ev_uuid col_uuid(struct sql_cols *c)
{
	struct ev_str s = col_bytes(c);
	struct ev_uuid u = { { 0 } };

	if (s.n == sizeof(u.b))
		memcpy(u.b, s.p, sizeof(u.b));
	else
		c->bad = true;
	return u;
}

struct ev_uuid col_opt_uuid(struct sql_cols *c, bool *out_has)
{
	*out_has = sqlite3_column_type(c->st, c->i) != SQLITE_NULL;
	if (*out_has)
		return col_uuid(c);
	c->i++;
	return (struct ev_uuid){ { 0 } };
}

struct rfid_tag col_tag(struct sql_cols *c)
{
	struct ev_str s = col_bytes(c);
	struct rfid_tag t = { 0 };

	if (s.n > RFID_TAG_MAX) {
		c->bad = true;
		return t;
	}
	t.n = (uint8_t)s.n;
	if (s.n > 0)
		memcpy(t.s, s.p, s.n);
	return t;
}

struct identity col_identity(struct sql_cols *c)
{
	struct ev_uuid u = col_uuid(c);
	struct identity id;

	memcpy(id.b, u.b, sizeof(id.b));
	return id;
}

void col_text(struct sql_cols *c, char *out, size_t cap)
{
	struct ev_str s = col_bytes(c);

	if (s.n >= cap) {
		c->bad = true;
		s.n = 0;
	}
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}
