/*
 * engine/embedded/checkpoint.h — moves the log into the file, away from the thread that commits.
 *
 * A thread with its own connection checkpoints (PASSIVE) whenever the log is longer than a limit.
 * Under steady writing it never catches the last pages, so that the log would never start anew:
 * what little is left is then finished by the writer itself between two groups.
 */
#ifndef EV_EMBEDDED_CHECKPOINT_H
#define EV_EMBEDDED_CHECKPOINT_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/embedded/sql.h"

/* Whose it is to checkpoint: never both at once, since the second would find it busy. */
enum checkpoint_turn { CHECKPOINT_NOBODY, CHECKPOINT_THREAD, CHECKPOINT_WRITER };

struct checkpoint {
	struct sql sql;
	pthread_t thread;
	bool open;    /* the connection */
	bool running; /* the thread */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;   /* under lock */
	atomic_int turn; /* enum checkpoint_turn; set to THREAD under lock */
	atomic_uint_fast64_t n_done, n_failed;
};

/*
 * Starts the thread, unless `no_thread` asks that checkpoint_want does its work; *c must not move
 * until checkpoint_stop.  `path` is borrowed for the call.
 */
EV_NODISCARD ev_err checkpoint_start(struct checkpoint *c, const struct sql_options *o,
				     bool no_thread, struct ev_fail *fail);
/* Waits for a running checkpoint and ends the thread.  Zeroed or stopped: nothing. */
void checkpoint_stop(struct checkpoint *c);

/*
 * The log is long: wake the thread if nobody is at it.  Writer's thread, outside transactions;
 * blocks only without a thread.
 */
void checkpoint_want(struct checkpoint *c);

/* By the writer, outside transactions: does what the thread left over. */
void checkpoint_finish(struct checkpoint *c, sqlite3 *writer);

#endif
