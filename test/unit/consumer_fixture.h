/*
 * test/unit/consumer_fixture.h — consumers on the cloud in memory, and what must hold of them.
 *
 * Events are numbered by outlet (the number is their energy).  Workers take turns on a clock that
 * the test moves; each job that a consumer submits waits in a list until `world_decide` gives it
 * back, with an error if the test wants one.  After every step:
 *
 *   - an event is decided for the first time only after all earlier ones of its outlet,
 *   - no checkpoint in the table is beyond a wanted event that was not decided,
 *   - of an outlet and shard a consumer has no two jobs out.
 */
#ifndef EV_TEST_CONSUMER_FIXTURE_H
#define EV_TEST_CONSUMER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cloud/cloud.h"
#include "codec/lease_row.h"
#include "engine/aws/consumer.h"

#define WORLD_WORKERS 4
#define WORLD_OUTLETS 16
#define WORLD_EVENTS 4096 /* of an outlet */
#define WORLD_STEP_NS (100 * EV_NS_PER_MS)

struct world;

struct worker {
	struct world *world;
	char name[16];
	struct cloud_caller *caller;
	struct ev_rng_seeded rng;
	struct aws_consumer *consumer; /* NULL: not running */
	struct ev_list jobs;           /* submitted, not decided */
	bool busy;
	bool frozen; /* its process stands still: no turns, its jobs wait */
};

struct world {
	struct ev_clock_manual clock;
	struct ev_rng_seeded rng;
	struct aws_resources names;
	struct cloud *cloud;
	struct worker workers[WORLD_WORKERS];
	unsigned put[WORLD_OUTLETS];     /* events that were put */
	unsigned decided[WORLD_OUTLETS]; /* 1 .. this were decided */
	uint64_t n_decided, n_again;
	bool random_keys;       /* as the original puts: no order within an outlet */
	unsigned error_per_100; /* of decisions that fail */
	ev_err error;
	unsigned reject_per_100;
	unsigned hold_per_100; /* of jobs that are not decided this time */
	uint64_t n_errors, n_rejects;
	bool no_checks;
};

typedef enum cloud_fault (*world_fault_fn)(void *user, const struct cloud_attempt *a);
/* fault: as cloud_config's, may be NULL. */
void world_init(struct world *w, uint64_t seed, unsigned max_attempts, world_fault_fn fault);
void world_deinit(struct world *w);

struct ev_uuid world_outlet(unsigned outlet);
/* The next event of an outlet, by the App Backend, which is what the workers want. */
void world_put(struct world *w, unsigned outlet);
/* Some of random outlets. */
void world_put_some(struct world *w, unsigned n);
void world_put_foreign(struct world *w, unsigned outlet);
void world_put_bytes(struct world *w, const void *p, size_t n, unsigned outlet);

struct worker *world_start(struct world *w, unsigned i);
void world_start_with(struct world *w, unsigned i, void (*change)(struct aws_consumer_config *c));
/* As when the process is killed: its leases stay as they are. */
void world_kill(struct world *w, unsigned i);
/* Drains for at most ns; false: not done by then. */
bool world_stop(struct world *w, unsigned i, int64_t ns);

/* Turns of all workers, decisions, checks; then the clock moves by WORLD_STEP_NS. */
void world_step(struct world *w);
void world_run(struct world *w, int64_t ns);
/* Runs until all that was put is decided, and asserts that it comes to that. */
void world_settle(struct world *w, int64_t max_ns);
bool world_is_settled(const struct world *w);
struct aws_consumer_state world_state(struct world *w, unsigned i);

/* The lease row of a shard, by its place in the order of creation; false: no such row. */
bool world_row(struct world *w, unsigned shard, struct lease_row *out);
void world_do(struct world *w, enum aws_service service, const char *operation, const char *fmt,
	      ...) __attribute__((format(printf, 4, 5)));

#endif
