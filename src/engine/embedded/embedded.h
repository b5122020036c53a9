/*
 * engine/embedded/embedded.h — the engine of one machine: everything in one SQLite file.
 *
 * DIR/evcharge.db holds all tables, DIR/evcharge.lock keeps a second writer out.  A group of units
 * is one SQLite transaction with synchronous=FULL: outlets and sessions are changed in memory and
 * written once when the group ends, all else is written as it comes.  Checkpoints run on a thread
 * of their own.  Implements port/store.h and port/query.h; design sections 5 and 6.
 */
#ifndef EV_EMBEDDED_EMBEDDED_H
#define EV_EMBEDDED_EMBEDDED_H

#include "port/query.h"
#include "port/store.h"

#define EMBEDDED_FILE "evcharge.db"
#define EMBEDDED_LOCK_FILE "evcharge.lock"

/* How long rows are kept, in ns; 0: for ever. */
struct embedded_retention {
	int64_t events_ns;
	int64_t commands_ns;
	int64_t dead_letters_ns; /* replayed and dropped ones; open ones wait for a person */
	int64_t identities_ns;   /* blocks of identities; at least an hour (design section 5.2) */
};

struct embedded_options {
	const char *dir;               /* created with mode 0700 if its parent exists */
	int64_t (*now_ns)(void *user); /* server time, UTC */
	void *clock_user;
	struct outlet_rules rules;
	struct embedded_retention retention;
	size_t max_outlets;        /* rows kept in memory, each 2 KiB; 0: 65,536 */
	size_t max_sessions;       /* each 0.5 KiB; 0: 65,536 */
	unsigned page_cache_kib;   /* of SQLite, grows on demand; 0: 32,768 */
	unsigned checkpoint_pages; /* length of the log that wakes the checkpointer; 0: 8,192 */
	const char *vfs; /* SQLite's file layer; NULL: the system's. For tests of faults */
	/* For them, too: checkpoints inside `end`, so that a run can be repeated exactly. */
	bool no_threads;
};

#define EMBEDDED_HISTOGRAM 12
/* Upper bounds of the commit time buckets in ns; the last bucket has none. */
extern const int64_t embedded_commit_bounds[EMBEDDED_HISTOGRAM - 1];

struct embedded_stats {
	uint64_t groups, failed_groups; /* with at least one unit */
	uint64_t units, conflicts;
	uint64_t events, commands;
	uint64_t rows_written; /* outlets and sessions */
	uint64_t rows_spared;  /* changes that shared a write with a later one of the same group */
	uint64_t commit_time[EMBEDDED_HISTOGRAM]; /* of end() */
	uint64_t commit_ns_sum;
	uint64_t checkpoints, failed_checkpoints;
	uint64_t wal_pages; /* length of the log after the last commit */
	uint64_t outlet_hits, outlet_misses, session_hits, session_misses;
	uint64_t seen_lookups, seen_walks; /* walks: not settled by the filter in memory */
	uint64_t outlets_cached, sessions_cached;
	uint64_t retained; /* rows that retention deleted */
};

struct embedded_listener {
	void (*on_event)(void *user, const struct stored_event *e);
	void (*on_command)(void *user, const struct device_command *c);
	void *user;
};

struct embedded;

/*
 * Opens or creates the data directory and takes it for this process.  EV_BUSY: another process
 * holds it (its pid is in the text); EV_UNSUPPORTED: written by a newer version; EV_CORRUPT;
 * EV_DENIED: not readable or not writable; EV_FULL, EV_IO, EV_NOMEM.  Blocks.
 */
EV_NODISCARD ev_err embedded_open(struct embedded **out, const struct embedded_options *o,
				  struct ev_fail *fail);

/*
 * Abandons an open group, folds the log into the file and gives the directory back.  NULL is fine.
 * Query objects must be freed before.
 */
void embedded_free(struct embedded *e);

/* The store of e, valid until embedded_free; its own `free` member frees e. */
struct store *embedded_store(struct embedded *e);

/* A read-only connection of its own, for one thread at a time, any thread.  Free with its ops. */
EV_NODISCARD ev_err embedded_query_open(struct embedded *e, struct query **out,
					struct ev_fail *fail);

/*
 * Called by end() on the store's thread after the group is durable: the events, then the commands,
 * each in the order of commit.  It must not call the store.  NULL members are skipped.
 */
void embedded_set_listener(struct embedded *e, const struct embedded_listener *l);

/* From the next embedded_retain on.  On the store's thread. */
void embedded_set_retention(struct embedded *e, const struct embedded_retention *r);

/*
 * Deletes rows older than the retention, at most about a thousand of each kind, in a transaction of
 * its own; *out_more tells whether there is more to do now.  On the store's thread, outside groups
 * (EV_BUSY).  An outlet's chain of events ends where they were deleted.
 */
EV_NODISCARD ev_err embedded_retain(struct embedded *e, int64_t now_ns, bool *out_more);

/* A consistent copy of the counters; any thread. */
void embedded_stats(struct embedded *e, struct embedded_stats *out);

/* What the last failed call of the store met, for the log; store's thread.  code EV_OK: nothing. */
void embedded_last_fail(const struct embedded *e, struct ev_fail *out);

/*
 * Writes a consistent copy of the database in dir to the new file `target`, verified and synced;
 * dir may be in use by this or another process.  EV_EXISTS if target is there, EV_NOTFOUND if dir
 * has no database, EV_FULL, EV_IO, EV_CORRUPT.  Blocks for long; any thread.
 */
EV_NODISCARD ev_err embedded_backup(const char *dir, const char *target, struct ev_fail *fail);

/*
 * Checks a database file: integrity, schema, and that the books balance, in sum and for each
 * outlet.  EV_CORRUPT with the reason otherwise.  *out (may be NULL) gets the sums.  Blocks.
 */
EV_NODISCARD ev_err embedded_verify(const char *path, struct energy_books *out,
				    struct ev_fail *fail);

/*
 * Verifies `backup` and puts a copy of it into dir in one step; EV_EXISTS if dir has a database and
 * force is false, EV_BUSY if a process holds dir.  Versions of rows go on from the server's time
 * with their next write, so that commands of before the restore stay older than those after.
 */
EV_NODISCARD ev_err embedded_restore(const char *backup, const char *dir, bool force,
				     struct ev_fail *fail);

#endif
