/* cli/runtime_internal.h — shared by the parts of the runtime; not for other modules. */
#ifndef EV_CLI_RUNTIME_INTERNAL_H
#define EV_CLI_RUNTIME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/metrics.h"
#include "base/rng.h"
#include "cli/runtime.h"
#include "engine/embedded/embedded.h"
#include "net/access.h"
#include "net/api.h"
#include "net/api_server.h"
#include "net/gateway.h"
#include "net/server.h"
#include "service/credentials.h"
#include "service/host.h"

struct runtime {
	struct runtime_options options;
	struct config config;
	struct ev_log *log;
	struct ev_clock *clock;
	struct ev_rng_os rng;        /* the loop's */
	struct ev_rng_os writer_rng; /* the writer thread's */

	struct net_loop *loop;
	struct net_server *server;
	struct net_wake *wake;
	struct net_hook flush_hook;
	struct ev_metrics metrics;
	struct net_listener *listeners[RUNTIME_LISTENERS];
	struct access_policy policies[RUNTIME_LISTENERS];

	struct credentials *credentials;
	struct embedded *engine;
	struct query *query;
	struct pump pump;
	bool has_pump;
	struct host *host;
	struct gateway *gateway;
	struct api_server_sink sink;
	struct api *api;

	struct net_timer tick_timer;
	struct job_owner tick_owner;
	struct tick_job tick;
	bool ticking;

	atomic_bool store_failing; /* no group could be committed lately */

	pthread_mutex_t lock; /* of the next two: from the loop to the writer */
	struct embedded_retention retention;
	bool retention_is_new;

	/* The writer thread's. */
	int64_t retain_due_ns; /* monotonic */
	uint64_t seen_groups, seen_failed_groups;

	bool draining;
	bool drained;
};

/* Devices known to the gateway at a time. */
#define RUNTIME_MAX_DEVICES 1000000

/* Appends the engine's counters to /metrics. */
void runtime_engine_metrics(struct embedded *engine, struct ev_buf *out);

struct gateway_limits runtime_limits(const struct config *c);

/* Gateway, APIs and their three listeners. */
EV_NODISCARD ev_err runtime_listen(struct runtime *r, struct ev_fail *fail);

#endif
