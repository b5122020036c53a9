/* cli/aws_runtime_internal.h — shared by the parts of the aws runtime; not for other modules. */
#ifndef EV_CLI_AWS_RUNTIME_INTERNAL_H
#define EV_CLI_AWS_RUNTIME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cli/aws_open.h"
#include "cli/aws_runtime.h"
#include "engine/aws/consumer.h"
#include "engine/aws/front.h"
#include "engine/aws/intake.h"
#include "engine/aws/lanes.h"
#include "engine/aws/resources.h"
#include "engine/aws/sender_shared.h"

#define AWS_WORKER_ID 64

enum aws_worker_kind {
	AWS_WORKER_INTAKE,
	AWS_WORKER_OUTLET_EVENTS,
	AWS_WORKER_APP_EVENTS,
	AWS_WORKER_FRONT,
	AWS_WORKERS
};

/* What the log said last. */
enum aws_worker_shown { AWS_SHOWN_NOTHING, AWS_SHOWN_READY, AWS_SHOWN_FAILING };

/* A thread that turns one reader of queues or streams. */
struct aws_worker {
	enum aws_worker_kind kind;
	struct aws_runtime *runtime;
	struct aws_client *client;
	struct aws_client *jobs_client; /* the front's, for the host's writer thread */
	struct aws_intake *intake;
	struct aws_consumer *consumer;
	struct aws_front *front;
	pthread_t thread;
	bool has_thread;
	enum aws_worker_shown shown;
};

struct aws_lane_own {
	struct aws_client *client;
	struct aws_store *store;
	size_t place, n_lanes;
};

struct aws_runtime {
	struct aws_runtime_options options;
	unsigned roles; /* CONFIG_ROLE_… = AWS_ROLE_… */
	struct aws_open *open;
	struct aws_resources resources;
	char worker_id[AWS_WORKER_ID]; /* unique: leases, sweeps */
	char gateway_id[40];

	struct aws_client *sender_client;
	struct aws_sender *sender;
	struct aws_lane_own *lane_owns;
	size_t n_lane_owns;
	struct aws_lanes *lanes; /* NULL without the outlet and the app role */

	struct aws_client *query_client;
	struct query *query;
	struct aws_worker workers[AWS_WORKERS];

	/* Housekeeping: ticks, sweeps. */
	struct aws_client *house_client;
	pthread_t house;
	bool has_house;
	atomic_size_t ticking;     /* lanes whose tick is under way */
	atomic_size_t rows_unsent; /* as the lanes last said */
	atomic_uint_fast64_t sweeps, swept, sweep_failures, timers_failed;

	atomic_bool stopping;
	pthread_mutex_t lock; /* of the next */
	pthread_cond_t stop;
	char check_texts[AWS_WORKERS + 1][160]; /* the loop's */
};

/* A client of its own for one thread. */
EV_NODISCARD ev_err aws_runtime_client(struct aws_runtime *r, unsigned max_in_flight,
				       struct aws_client **out, struct ev_fail *fail);

/* EV_BUSY: no thread to be had. */
EV_NODISCARD ev_err aws_workers_start(struct aws_runtime *r, struct ev_fail *fail);
/* Waits for those that were told to stop. */
void aws_workers_join(struct aws_runtime *r);
void aws_workers_free(struct aws_runtime *r);

EV_NODISCARD ev_err aws_house_start(struct aws_runtime *r, struct ev_fail *fail);
void aws_house_end(struct aws_runtime *r);

static inline bool aws_runtime_plays(const struct aws_runtime *r, unsigned roles)
{
	return (r->roles & roles) != 0;
}

#endif
