#include "engine/embedded/checkpoint.h"

#include <string.h>

/*
 * Each pass leaves what was written meanwhile, less each time, until it is little enough for the
 * writer.  More passes than these cost more, beside the commits, than they spare the writer.
 */
#define PASSES 3
#define LITTLE_FRAMES 256

static void count(struct checkpoint *c, int rc)
{
	/* BUSY: a backup or a person reads; the next commit asks again. */
	if (rc == SQLITE_OK)
		atomic_fetch_add(&c->n_done, 1);
	else if (rc != SQLITE_BUSY)
		atomic_fetch_add(&c->n_failed, 1);
}

/*
 * SQLite syncs the file only in a checkpoint that moves the very last frame, which is the writer's:
 * it would wait for all that was written here.
 */
static int sync_file(struct checkpoint *c)
{
	sqlite3_file *f = NULL;
	int rc = sqlite3_file_control(c->sql.db, "main", SQLITE_FCNTL_FILE_POINTER, (void *)&f);

	if (rc != SQLITE_OK || f == NULL || f->pMethods == NULL)
		return rc;
	return f->pMethods->xSync(f, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
}

static void checkpoint_once(struct checkpoint *c)
{
	int seen = 0, n_log = 0, rc = SQLITE_OK;

	for (int i = 0; i < PASSES; i++) {
		rc = sqlite3_wal_checkpoint_v2(c->sql.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &n_log,
					       NULL);
		if (rc == SQLITE_OK)
			rc = sync_file(c);
		/* What came during the last pass is about what came during this one. */
		if (rc != SQLITE_OK || n_log - seen <= LITTLE_FRAMES)
			break;
		seen = n_log;
	}
	count(c, rc);
	/*
	 * Even with nothing left now there may be when the writer comes by; then it costs little.
	 */
	atomic_store(&c->turn, rc == SQLITE_OK ? CHECKPOINT_WRITER : CHECKPOINT_NOBODY);
}

static void *run(void *user)
{
	struct checkpoint *c = user;

	(void)pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		if (atomic_load(&c->turn) != CHECKPOINT_THREAD) {
			(void)pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&c->lock);
		checkpoint_once(c);
		(void)pthread_mutex_lock(&c->lock);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

static ev_err start_thread(struct checkpoint *c, struct ev_fail *fail)
{
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->wake, NULL);
	c->stopping = false;

	int sys = pthread_create(&c->thread, NULL, run, c);

	c->running = sys == 0;
	if (c->running)
		return EV_OK;
	(void)pthread_cond_destroy(&c->wake);
	(void)pthread_mutex_destroy(&c->lock);
	return ev_fail_set(fail, EV_NOMEM, sys, "checkpoint thread: %s", strerror(sys));
}

ev_err checkpoint_start(struct checkpoint *c, const struct sql_options *o, bool no_thread,
			struct ev_fail *fail)
{
	ev_err err = sql_open(&c->sql, o, NULL, 0, fail);

	if (err != EV_OK)
		return err;
	c->open = true;
	atomic_store(&c->turn, CHECKPOINT_NOBODY);
	if (!no_thread)
		err = start_thread(c, fail);
	if (err != EV_OK)
		checkpoint_stop(c);
	return err;
}

static void stop_thread(struct checkpoint *c)
{
	(void)pthread_mutex_lock(&c->lock);
	c->stopping = true;
	(void)pthread_cond_signal(&c->wake);
	(void)pthread_mutex_unlock(&c->lock);
	(void)pthread_join(c->thread, NULL);
	c->running = false;
	(void)pthread_cond_destroy(&c->wake);
	(void)pthread_mutex_destroy(&c->lock);
}

void checkpoint_stop(struct checkpoint *c)
{
	if (c->running)
		stop_thread(c);
	if (c->open)
		sql_close(&c->sql);
	c->open = false;
}

void checkpoint_want(struct checkpoint *c)
{
	if (atomic_load(&c->turn) != CHECKPOINT_NOBODY)
		return;
	if (!c->running) {
		checkpoint_once(c);
		return;
	}
	(void)pthread_mutex_lock(&c->lock);
	atomic_store(&c->turn, CHECKPOINT_THREAD);
	(void)pthread_cond_signal(&c->wake);
	(void)pthread_mutex_unlock(&c->lock);
}

void checkpoint_finish(struct checkpoint *c, sqlite3 *writer)
{
	if (atomic_load(&c->turn) != CHECKPOINT_WRITER)
		return;
	count(c, sqlite3_wal_checkpoint_v2(writer, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
	atomic_store(&c->turn, CHECKPOINT_NOBODY);
}
