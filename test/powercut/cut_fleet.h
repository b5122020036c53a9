/*
 * cut_fleet.h — outlets, customers and their messages on the embedded engine, on a disk that loses
 * its power again and again; and what must hold whenever it is back.
 *
 * Everything follows from the seed.  A message is acknowledged when the pump gave its job back with
 * an answer; until then it is unknown, and the device sends it again after the cut.
 */
#ifndef EV_TEST_CUT_FLEET_H
#define EV_TEST_CUT_FLEET_H

#include "base/clock.h"
#include "cut_disk.h"
#include "engine/embedded/embedded.h"
#include "service/pump.h"

/* Deliberate ones: the checks must find each. */
enum cut_bug {
	BUG_NONE,
	BUG_SYNCS_IGNORED,     /* the disk says yes and does nothing */
	BUG_LOG_SYNC_IGNORED,  /* for the log alone */
	BUG_FILE_SYNC_IGNORED, /* for the file alone: a checkpoint without its sync */
	BUG_DIR_SYNC_IGNORED,  /* a new log without its name */
	BUG_SYNCHRONOUS_OFF,   /* the pragmas, on the writer's connection */
	BUG_SYNCHRONOUS_NORMAL,
	BUG_ACK_BEFORE_END,   /* `end` says yes, and happens before the next group */
	BUG_TWO_TRANSACTIONS, /* a group is not one transaction */
	BUG_COUNT
};
const char *cut_bug_text(enum cut_bug bug);

#define FLEET_OUTLETS 20
#define FLEET_BATCH 16
#define FLEET_TAGS 5

struct sent {
	struct identity id;
	unsigned outlet;
	struct device_message message;
	bool garbage; /* bytes that are no message: a dead letter */
	bool acked;
	enum verdict verdict; /* of the first answer */
};

struct told_event {
	uint64_t seq;
	struct ev_uuid outlet_id;
	enum outlet_state state;
	int64_t mwh;
};

struct fleet_outlet {
	struct ev_uuid id;
	bool acked;     /* its registration */
	unsigned phase; /* as the device sees it */
	bool has_session;
	struct ev_uuid session_id; /* of the last command that named one */
	uint64_t command_version;  /* the last command told */
	unsigned command_index;
};

struct fleet_customer {
	struct ev_uuid id;
	struct rfid_tag tag;
	bool acked;
};

struct fleet_counts {
	uint64_t cuts;     /* of the power */
	uint64_t starting; /* of these: while the engine opened or caught up */
	uint64_t in[CUT_PLACE_COUNT];
	uint64_t messages, commands, events, syncs, dropped, checkpoints;
};

struct fleet {
	uint64_t seed;
	enum cut_bug bug;
	bool threads; /* as in production: checkpoints on a thread, no two runs are the same */
	struct ev_rng_seeded rng, pump_rng, cut_rng;
	struct ev_clock_manual clock;
	struct cut_disk disk;
	char dir[64];
	struct embedded_options options;
	struct embedded *e;
	struct store *store;
	struct pump pump;
	bool ready; /* this life has opened and caught up */

	unsigned n_outlets;
	struct fleet_outlet outlets[FLEET_OUTLETS];
	struct fleet_customer customers[FLEET_TAGS];
	struct sent *sent;
	size_t n_sent, max_sent;
	struct device_command *commands; /* told */
	size_t n_commands, max_commands;
	struct told_event *events; /* told */
	size_t n_events, max_events;
	struct ev_uuid *starts; /* sessions whose start was acknowledged */
	size_t n_starts, max_starts;

	struct fleet_counts counts;
	char failure[400]; /* the first thing that did not hold; empty: all held */
};

/* A fleet and an empty disk; the directory is made in `parent`.  cut_vfs_register was called. */
void fleet_init(struct fleet *f, const char *parent, uint64_t seed, enum cut_bug bug, bool threads);
void fleet_deinit(struct fleet *f);

/*
 * Lives, loses its power, comes back and is checked, some times over.  False: something did not
 * hold, f->failure says what.
 */
bool fleet_run(struct fleet *f);

/* cut_check.c: what must hold after each start, then everything is sent again.  False: failure. */
bool fleet_check(struct fleet *f);
/* The file as the disk holds it now, read by SQLite's own layer. */
bool fleet_verify_file(struct fleet *f);

/* cut_load.c: registers what is not known to be registered, and a number of random batches. */
bool fleet_register(struct fleet *f);
bool fleet_load(struct fleet *f, unsigned batches);
/* Sends messages [of f->sent, by index]; false: a failure, or the power is gone. */
bool fleet_send(struct fleet *f, const size_t *which, size_t n);

/* Notes the first failure; returns false. */
bool fleet_fail(struct fleet *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The power is gone. */
bool fleet_is_dead(struct fleet *f);

static inline uint64_t fleet_below(struct fleet *f, uint64_t bound)
{
	return ev_rng_below(&f->rng.base, bound);
}

#endif
