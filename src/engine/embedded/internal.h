/*
 * engine/embedded/internal.h — the engine's own state, shared by its files.
 *
 * group.c begins, ends and gives up groups; commit.c takes units, puts.c what belongs to them;
 * store.c loads; retain.c forgets.  Outlets and sessions that a group changes live in the caches
 * as dirty entries until `group_flush` writes them; everything else is written as it is committed,
 * inside the group's transaction.
 */
#ifndef EV_EMBEDDED_INTERNAL_H
#define EV_EMBEDDED_INTERNAL_H

#include <pthread.h>

#include "engine/embedded/bloom.h"
#include "engine/embedded/cache.h"
#include "engine/embedded/checkpoint.h"
#include "engine/embedded/embedded.h"
#include "engine/embedded/rows.h"
#include "engine/embedded/sql.h"
#include "engine/embedded/statements.h"

struct outlet_entry {
	struct cache_node node;
	struct outlet row;
	int64_t last_event; /* ends of the chains, 0: none */
	int64_t last_block;
	bool has_wake; /* as it stands in the file */
	int64_t wake_ns;
};

struct session_entry {
	struct cache_node node;
	struct session row;
	bool reindex; /* a column of an index differs from the file */
};

/* What the group has put, for the listener; room stays for the next group. */
struct effects {
	struct stored_event *events;
	size_t n_events, max_events;
	struct device_command *commands;
	size_t n_commands, max_commands;
};

/* Counters in the file that the group moves, and that its failure takes back. */
struct marks {
	uint64_t next_event;
	int64_t next_block;
	uint64_t n_parked;
};

struct group {
	bool open;
	bool begun;  /* the transaction; at the first write */
	ev_err lost; /* what an engine error was; then the group only waits for its end */
	struct marks before;
	uint64_t n_units;
};

struct embedded {
	struct store store; /* first: the port's functions get this pointer */
	char *dir, *path, *vfs;
	struct embedded_options o; /* dir and vfs point to the copies above */
	int lock_fd;
	struct gather *gather; /* the file layer of sql */
	struct steady *steady; /* and of checkpoint */
	struct sql sql;
	struct checkpoint checkpoint;
	uint64_t log_seen, log_limit; /* pages: at the last look; for the next checkpoint */
	struct cache outlets, sessions;
	struct bloom seen;
	struct marks marks;
	struct group group;
	struct effects effects;
	struct embedded_listener listener;
	struct embedded_stats counts; /* the store's thread alone */
	struct ev_fail last_fail;
	pthread_mutex_t stats_lock;
	struct embedded_stats published; /* under stats_lock */
};

static inline struct embedded *embedded_of(struct store *s)
{
	return (struct embedded *)s;
}

int64_t embedded_now(const struct embedded *e);

/* Options of a further connection to the same file. */
struct sql_options embedded_sql_options(const struct embedded *e, int flags);

/* group.c */
ev_err group_begin(struct store *s);
ev_err group_end(struct store *s);
void group_abandon(struct store *s);
/* Starts the transaction of an open group if it has not yet. */
EV_NODISCARD ev_err group_write(struct embedded *e);
/* Remembers an engine error: the group is lost.  Returns err. */
ev_err group_lose(struct embedded *e, ev_err err, const char *what);
/* Writes dirty entries of the open group, so that SQL sees them. */
EV_NODISCARD ev_err group_flush_sessions(struct embedded *e);
EV_NODISCARD ev_err group_flush_outlets(struct embedded *e);
/* Makes the counters visible to other threads. */
void group_publish_stats(struct embedded *e);
/* Notes the outcome of a statement for embedded_last_fail; returns err. */
ev_err embedded_note(struct embedded *e, ev_err err, const char *what);

/* commit.c */
ev_err store_commit(struct store *s, const struct unit *units, size_t n, ev_err *results);

/* puts.c */
EV_NODISCARD ev_err put_write(struct embedded *e, const struct keyed_put *p);

/* store.c: the entries, from memory or the file; EV_NOTFOUND, EV_IO, EV_CORRUPT, EV_NOMEM. */
EV_NODISCARD ev_err outlet_entry_load(struct embedded *e, const struct ev_uuid *id,
				      struct outlet_entry **out);
/* The outlet whose chain an effect joins; EV_OK and NULL for one that does not exist. */
EV_NODISCARD ev_err outlet_entry_find(struct embedded *e, const struct ev_uuid *id,
				      struct outlet_entry **out);
EV_NODISCARD ev_err session_entry_load(struct embedded *e, const struct ev_uuid *id,
				       struct session_entry **out);
extern const struct store_ops embedded_store_ops;

/* timers.c: reckons all due times anew if the rules are not those of the last start. */
EV_NODISCARD ev_err timers_renew(struct embedded *e, struct ev_fail *fail);

/* retain.c: how long blocks of identities are kept; 0: for ever. */
int64_t retain_identities_ns(const struct embedded *e);

/* query.c, also used by the verification. */
EV_NODISCARD ev_err query_new(const struct sql_options *o, struct query **out,
			      struct ev_fail *fail);
/* EV_OK, or EV_CORRUPT if some outlet's total is not its sessions and items; *out_id names it. */
EV_NODISCARD ev_err query_check_books(struct query *q, struct ev_uuid *out_id);

#endif
