#include "base/time.h"
#include "engine/embedded/internal.h"

#define BATCH 1000

int64_t retain_identities_ns(const struct embedded *e)
{
	int64_t ns = e->o.retention.identities_ns;

	return ns != 0 && ns < EV_NS_PER_HOUR ? EV_NS_PER_HOUR : ns;
}

/*
 * Tables that grow at their end and are cut at their beginning.  The newest row always stays: it
 * keeps the numbers growing over a restart, so that no chain can lead to a stranger's row.
 */
struct log_table {
	enum store_sql oldest, delete_to;
};

/* The last of the oldest rows that are all before from_ns; *out_last 0: none. */
static ev_err find_last(struct embedded *e, const struct log_table *t, int64_t from_ns,
			int64_t *out_last, int64_t *out_n)
{
	struct sql_bind b = sql_bind(&e->sql, t->oldest);
	int64_t prev = 0;
	bool old = true;
	ev_err err = EV_OK;

	*out_last = 0;
	*out_n = 0;
	bind_i64(&b, BATCH + 1);
	while (old && (err = sql_next(&b)) == EV_OK) {
		struct sql_cols c = sql_cols(&b);
		int64_t n = col_i64(&c);

		/* That a row follows proves that the one before it is not the newest. */
		if (prev != 0) {
			*out_last = prev;
			(*out_n)++;
		}
		prev = n;
		old = col_i64(&c) < from_ns;
	}
	if (!old) {
		sql_done(&b);
		return EV_OK;
	}
	return err == EV_NOTFOUND ? EV_OK : err;
}

static ev_err cut(struct embedded *e, const struct log_table *t, int64_t from_ns, bool *more)
{
	int64_t last = 0, n = 0;
	ev_err err = find_last(e, t, from_ns, &last, &n);

	if (err != EV_OK || n == 0)
		return err;
	struct sql_bind b = sql_bind(&e->sql, t->delete_to);

	bind_i64(&b, last);
	err = sql_run(&b);
	e->counts.retained += (uint64_t)n;
	*more = *more || n >= BATCH;
	return err;
}

static ev_err cut_dead_letters(struct embedded *e, int64_t from_ns, bool *more)
{
	struct sql_bind b = sql_bind(&e->sql, SQL_DEAD_LETTERS_DELETE);

	bind_i64(&b, from_ns);
	bind_i64(&b, BATCH);
	ev_err err = sql_run(&b);

	if (err != EV_OK)
		return err;
	int n = sqlite3_changes(e->sql.db);

	e->counts.retained += (uint64_t)n;
	*more = *more || n >= BATCH;
	return EV_OK;
}

static ev_err cut_all(struct embedded *e, int64_t now_ns, bool *more)
{
	static const struct log_table events = { SQL_EVENTS_OLDEST, SQL_EVENTS_DELETE };
	static const struct log_table blocks = { SQL_BLOCKS_OLDEST, SQL_BLOCKS_DELETE };
	static const struct log_table commands = { SQL_COMMANDS_OLDEST, SQL_COMMANDS_DELETE };
	const struct embedded_retention *r = &e->o.retention;
	int64_t identities_ns = retain_identities_ns(e);
	ev_err err = EV_OK;

	if (r->events_ns != 0)
		err = cut(e, &events, now_ns - r->events_ns, more);
	if (err == EV_OK && identities_ns != 0)
		err = cut(e, &blocks, now_ns - identities_ns, more);
	if (err == EV_OK && r->commands_ns != 0)
		err = cut(e, &commands, now_ns - r->commands_ns, more);
	if (err == EV_OK && r->dead_letters_ns != 0)
		err = cut_dead_letters(e, now_ns - r->dead_letters_ns, more);
	return err;
}

void embedded_set_retention(struct embedded *e, const struct embedded_retention *r)
{
	e->o.retention = *r;
}

ev_err embedded_retain(struct embedded *e, int64_t now_ns, bool *out_more)
{
	bool more = false;
	uint64_t before = e->counts.retained;

	if (e->group.open)
		return EV_BUSY;
	struct sql_bind begin = sql_bind(&e->sql, SQL_BEGIN);
	ev_err err = sql_run(&begin);

	if (err == EV_OK)
		err = cut_all(e, now_ns, &more);
	if (err == EV_OK) {
		struct sql_bind b = sql_bind(&e->sql, SQL_COMMIT);

		err = sql_run(&b);
	}
	if (err != EV_OK) {
		(void)embedded_note(e, err, "retention");
		e->counts.retained = before;
		if (sqlite3_get_autocommit(e->sql.db) == 0)
			(void)sqlite3_exec(e->sql.db, "ROLLBACK", NULL, NULL, NULL);
	} else {
		*out_more = more;
	}
	group_publish_stats(e);
	return err;
}
