/*
 * aws_world.h — processes of both backends on one cloud in memory: each with a caller, a store and
 * a pump of its own; the stream's records are delivered by hand.
 */
#ifndef EV_TEST_AWS_WORLD_H
#define EV_TEST_AWS_WORLD_H

#include "base/rng.h"
#include "cloud/cloud.h"
#include "engine/aws/store.h"
#include "service/pump.h"

#define WORLD_EVENTS_MAX 256
#define WORLD_GROUP_MAX 64

struct aws_world;

struct aws_process {
	struct aws_world *world;
	struct cloud_caller *caller;
	struct aws_sender *sender;
	struct aws_store *store;
	struct ev_rng_seeded rng;
	struct pump pump;
	unsigned n_commands; /* told to its own gateway */
};

struct aws_world {
	struct ev_clock_manual clock;
	struct aws_resources resources;
	struct cloud *cloud;
	struct ev_uuid outlet_id, customer_id;
	struct outlet_rules rules;
	size_t n_delivered; /* records of the stream, in order of their events' being put */
	/* The fault of the attempt that countdown reaches; 0: none to come. */
	uint64_t countdown;
	enum cloud_fault fault;
	const char *operation;       /* only such attempts count; NULL: all */
	struct cloud_caller *victim; /* only its attempts count; NULL: all */
	bool struck;
};

struct aws_world *world_new(void);
void world_free(struct aws_world *w);

void process_start(struct aws_process *p, struct aws_world *w, const char *name, unsigned roles,
		   size_t max_rows);
void process_stop(struct aws_process *p);

/* An outlet and a customer with the tag "04ab". */
void world_register(struct aws_world *w, struct aws_process *p);

/* Message n of the outlet: the same n is the same message.  Its job's result and verdict. */
struct world_input {
	unsigned n;
	enum outlet_state change;
	const char *tag;
	int64_t mwh;
};
ev_err world_send(struct aws_process *p, const struct world_input *in, enum verdict *out);
/* The same of any outlet. */
ev_err world_send_to(struct aws_process *p, const struct ev_uuid *outlet_id,
		     const struct world_input *in, enum verdict *out);
/* n of them in one group; the first result that is not EV_OK. */
ev_err world_send_group(struct aws_process *p, const struct world_input *in, size_t n);

/* Gives the stream's records that were not delivered yet to the process. */
ev_err world_deliver(struct aws_world *w, struct aws_process *p);
/* All of them again. */
ev_err world_redeliver(struct aws_world *w, struct aws_process *p);
size_t world_events(struct aws_world *w, struct charging_event *out, size_t max);

/* What a sweep finds is taken over by the process; how many rows. */
size_t world_sweep(struct aws_world *w, struct aws_process *p);

struct energy_books world_books(struct aws_world *w, struct aws_process *p);

/* Attempts of DynamoDB, and of Kinesis. */
uint64_t world_writes(const struct aws_world *w);
uint64_t world_puts(const struct aws_world *w);

#endif
