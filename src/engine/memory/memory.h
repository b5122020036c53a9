/*
 * engine/memory/memory.h — the engine of tests and simulations: everything in the process, the
 * clock from outside, faults and deaths on demand.
 *
 * Implements port/store.h and port/query.h without the operating system: the same calls give the
 * same results.  Not for threads: store, queries and all below are called by one thread.
 *
 * A group is durable exactly when `end` took effect.  Where the fault function lets the process
 * die, everything answers EV_CLOSED until memory_reopen, which finds what was durable.
 */
#ifndef EV_ENGINE_MEMORY_MEMORY_H
#define EV_ENGINE_MEMORY_MEMORY_H

#include "port/query.h"
#include "port/store.h"

/* Where a fault may strike. */
enum memory_point {
	MEMORY_AT_BEGIN,   /* the group is not opened */
	MEMORY_AT_LOAD,    /* each load of the store */
	MEMORY_AT_COMMIT,  /* each unit, before it does anything; the fault is its result */
	MEMORY_BEFORE_END, /* nothing of the group took place */
	MEMORY_AFTER_END,  /* it is durable and nobody was told: EV_OK or EV_CLOSED only */
	MEMORY_AT_QUERY,   /* each query */
	MEMORY_POINT_COUNT
};

/* EV_OK: no fault.  EV_CLOSED: the process dies here.  All else: what the call returns. */
typedef ev_err (*memory_fault_fn)(void *user, enum memory_point point);

struct memory_options {
	int64_t (*now_ns)(void *user); /* server time, UTC */
	void *clock_user;
	struct outlet_rules rules;
	uint64_t seed;         /* shapes the trees; shows nowhere else */
	memory_fault_fn fault; /* NULL: never */
	void *fault_user;
};

struct memory_listener {
	void (*on_event)(void *user, const struct stored_event *e);
	void (*on_command)(void *user, const struct device_command *c);
	void *user;
};

struct memory_engine;

/* An empty engine.  EV_NOMEM. */
EV_NODISCARD ev_err memory_open(struct memory_engine **out, const struct memory_options *o);
/* NULL is fine.  Queries and snapshots of it may outlive it only to be freed. */
void memory_free(struct memory_engine *m);

/* The store of m, valid until memory_free; its own `free` member frees m. */
struct store *memory_store(struct memory_engine *m);
/* Freed with its ops.  EV_NOMEM. */
EV_NODISCARD ev_err memory_query_open(struct memory_engine *m, struct query **out);

/*
 * Called by `end` after the group is durable: its events, then its commands, each in the order of
 * commit.  It must not call the store.  NULL members are skipped; l is copied, NULL: none.
 */
void memory_set_listener(struct memory_engine *m, const struct memory_listener *l);
void memory_set_fault(struct memory_engine *m, memory_fault_fn fault, void *user);

bool memory_is_dead(const struct memory_engine *m);
/* Starts again from what is durable, whether it died or not: an open group is gone. */
void memory_reopen(struct memory_engine *m);

/*
 * What is durable now, in O(1) and untouched by all that comes.  Equality is of every row, index
 * and counter, of snapshots of engines with one seed; what both share is not looked at.
 */
struct memory_snapshot;
EV_NODISCARD ev_err memory_snapshot_take(const struct memory_engine *m,
					 struct memory_snapshot **out);
void memory_snapshot_free(struct memory_snapshot *s);
bool memory_snapshot_eq(const struct memory_snapshot *a, const struct memory_snapshot *b);
/* Makes the contents of *s what is durable, as a restored backup; an open group is gone. */
void memory_snapshot_restore(struct memory_engine *m, const struct memory_snapshot *s);
/* A second engine with the same options, faults and durable contents, no listener.  O(1). */
EV_NODISCARD ev_err memory_clone(const struct memory_engine *m, struct memory_engine **out);

/*
 * Every durable row of a kind, for invariants: in order of id (events: seq; commands: outlet and
 * id), borrowed for the call; false stops.  They ask for no fault and work on a dead engine.
 */
typedef bool (*memory_claim_fn)(void *user, const struct tag_claim *c);
typedef bool (*memory_parked_fn)(void *user, const struct parked_input *p);
typedef bool (*memory_delivery_fn)(void *user, const struct delivery *d);
typedef bool (*memory_command_fn)(void *user, const struct device_command *c);
void memory_visit_outlets(const struct memory_engine *m, outlet_visit_fn fn, void *user);
void memory_visit_sessions(const struct memory_engine *m, session_visit_fn fn, void *user);
void memory_visit_customers(const struct memory_engine *m, customer_visit_fn fn, void *user);
void memory_visit_claims(const struct memory_engine *m, memory_claim_fn fn, void *user);
void memory_visit_items(const struct memory_engine *m, item_visit_fn fn, void *user);
void memory_visit_dead_letters(const struct memory_engine *m, dead_letter_visit_fn fn, void *user);
void memory_visit_parked(const struct memory_engine *m, memory_parked_fn fn, void *user);
void memory_visit_deliveries(const struct memory_engine *m, memory_delivery_fn fn, void *user);
void memory_visit_commands(const struct memory_engine *m, memory_command_fn fn, void *user);
void memory_visit_events(const struct memory_engine *m, event_visit_fn fn, void *user);

#endif
