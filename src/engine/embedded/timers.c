#include <inttypes.h>
#include <string.h>

#include "engine/embedded/internal.h"

/*
 * The due times in the file were reckoned under the rules of the last start.  If the rules have
 * changed since, all rows are reckoned anew, before anything else happens.
 */

#define ROWS_AT_ONCE 256
#define RULES_BYTES 41

static const char rules_name[] = "rules";

static void write_i64(uint8_t *out, int64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)((uint64_t)v >> (8 * i));
}

/* Those of the rules that a due time depends on. */
static void rules_blob(const struct outlet_rules *r, uint8_t out[RULES_BYTES])
{
	write_i64(out, r->request_timeout_ns);
	write_i64(out + 8, r->command_timeout_ns);
	write_i64(out + 16, r->command_expiry_ns);
	write_i64(out + 24, r->stop_timeout_ns);
	write_i64(out + 32, r->stray_stop_interval_ns);
	out[40] = (uint8_t)(r->stop_requires_tag | r->notify_denials << 1);
}

static ev_err rules_are(struct embedded *e, const uint8_t blob[RULES_BYTES], bool *out)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_META_LOAD);

	bind_text(&b, rules_name, strlen(rules_name));
	ev_err err = sql_next(&b);

	*out = false;
	if (err != EV_OK)
		return err == EV_NOTFOUND ? EV_OK : err;
	struct sql_cols c = sql_cols(&b);
	struct ev_str stored = col_bytes(&c);

	*out = stored.n == RULES_BYTES && memcmp(stored.p, blob, RULES_BYTES) == 0;
	sql_done(&b);
	return EV_OK;
}

struct renewal {
	int64_t n;
	bool has;
	int64_t wake_ns;
};

/* Reads rows after *last into out; those whose due time is another now.  *n_rows: rows read. */
static ev_err read_some(struct embedded *e, int64_t *last, struct renewal *out, size_t *out_n,
			size_t *n_rows)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_OUTLET_KEYS);
	ev_err err;

	*out_n = 0;
	*n_rows = 0;
	bind_i64(&b, *last);
	bind_i64(&b, ROWS_AT_ONCE);
	while ((err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		struct renewal r = { 0 };
		struct outlet_input in;
		struct outlet row;
		bool had = false;

		col_outlet(&c, &row);
		r.n = col_i64(&c);
		int64_t was_ns = col_opt_i64(&c, &had);

		*last = r.n;
		(*n_rows)++;
		/* A damaged row is reported when it is loaded, not by refusing to start. */
		if (c.bad)
			continue;
		r.has = outlet_next_timer(&row, &e->o.rules, &r.wake_ns, &in);
		if (r.has != had || (had && was_ns != r.wake_ns))
			out[(*out_n)++] = r;
	}
	return err == EV_NOTFOUND ? EV_OK : err;
}

static ev_err set_wake(struct embedded *e, const struct renewal *r)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_WAKE_SET);

	bind_opt_i64(&b, r->has, r->wake_ns);
	bind_i64(&b, r->n);
	return sql_run(&b);
}

static ev_err renew_all(struct embedded *e)
{
	struct renewal some[ROWS_AT_ONCE];
	size_t n = 0, n_rows = ROWS_AT_ONCE;
	int64_t last = 0;
	ev_err err = EV_OK;

	while (err == EV_OK && n_rows == ROWS_AT_ONCE) {
		err = read_some(e, &last, some, &n, &n_rows);
		for (size_t i = 0; err == EV_OK && i < n; i++)
			err = set_wake(e, &some[i]);
	}
	return err;
}

static ev_err note_rules(struct embedded *e, const uint8_t blob[RULES_BYTES])
{
	struct sql_bind b = sql_bind(&e->sql, SQL_META_PUT);

	bind_text(&b, rules_name, strlen(rules_name));
	bind_blob(&b, blob, RULES_BYTES);
	return sql_run(&b);
}

static ev_err run(struct embedded *e, enum store_sql which)
{
	struct sql_bind b = sql_bind(&e->sql, which);

	return sql_run(&b);
}

ev_err timers_renew(struct embedded *e, struct ev_fail *fail)
{
	uint8_t blob[RULES_BYTES];
	bool same = false;

	rules_blob(&e->o.rules, blob);
	ev_err err = rules_are(e, blob, &same);

	if (err == EV_OK && same)
		return EV_OK;
	if (err == EV_OK)
		err = run(e, SQL_BEGIN);
	if (err == EV_OK)
		err = renew_all(e);
	if (err == EV_OK)
		err = note_rules(e, blob);
	if (err == EV_OK)
		err = run(e, SQL_COMMIT);
	if (err == EV_OK)
		return EV_OK;
	(void)sql_fail(e->sql.db, sqlite3_extended_errcode(e->sql.db), "timers", fail);
	if (sqlite3_get_autocommit(e->sql.db) == 0)
		(void)sqlite3_exec(e->sql.db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}
