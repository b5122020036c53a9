/* cli/runtime_internal.h — shared by the parts of the runtime; not for other modules. */
#ifndef EV_CLI_RUNTIME_INTERNAL_H
#define EV_CLI_RUNTIME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/metrics.h"
#include "base/rng.h"
#include "cli/aws_runtime.h"
#include "cli/runtime.h"
#include "engine/embedded/embedded.h"
#include "net/access.h"
#include "net/api.h"
#include "net/api_server.h"
#include "net/gateway.h"
#include "net/quota.h"
#include "net/server.h"
#include "service/credentials.h"
#include "service/host.h"

/* What serves devices on one loop: the main one, or one beside it. */
struct runtime_side {
	struct runtime *runtime;
	struct net_loop *loop; /* these five are borrowed */
	struct net_server *server;
	struct host *host;
	struct ev_metrics *metrics;
	struct ev_rng *rng;
	struct gateway *gateway;
	struct api_server_sink sink;
	struct api *api;
	struct net_listener *listener; /* the server's: the gateway's */
};

struct runtime_loop;

/* What a reload may change for the loops beside the main one. */
struct runtime_settings {
	uint32_t max_outstanding;
	uint32_t max_per_address;
	struct gateway_limits limits;
	int64_t drain_ms;
};

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
	struct embedded *engine; /* one of these two is NULL */
	struct aws_runtime *aws;
	struct query *query;
	struct pump pump;
	bool has_pump;
	struct host *host;
	struct runtime_side main;

	/* Beside the main one: runtime_loops.c. */
	struct runtime_loop *loops;
	size_t n_loops;
	struct net_quota *quota;     /* the gateway's, of all loops; NULL: there is one */
	struct gateway_rates *rates; /* the same */

	struct net_timer tick_timer;
	struct job_owner tick_owner;
	struct tick_job tick;
	bool ticking;

	atomic_bool store_failing; /* no group could be committed lately */

	pthread_mutex_t lock; /* of the next three: from the main loop to the others */
	struct runtime_settings settings;
	struct embedded_retention retention;
	bool retention_is_new;

	/* The writer thread's. */
	int64_t retain_due_ns; /* monotonic */
	uint64_t seen_groups, seen_failed_groups;

	atomic_bool draining;
	bool drained;
};

/* Devices known to the gateway at a time. */
#define RUNTIME_MAX_DEVICES 1000000

/* Appends the engine's counters to /metrics. */
void runtime_engine_metrics(struct embedded *engine, struct ev_buf *out);

/* Gateway, APIs and their three listeners, on the main loop. */
EV_NODISCARD ev_err runtime_listen(struct runtime *r, struct ev_fail *fail);

/* Gateway and its part of the API for a side whose borrowed members are set.  EV_NOMEM. */
EV_NODISCARD ev_err runtime_side_open(struct runtime_side *s);
void runtime_side_close(struct runtime_side *s);
/* The gateway's listener of another loop, at the main one's port. */
EV_NODISCARD ev_err runtime_side_join(struct runtime_side *s, struct ev_fail *fail);

/* --- runtime_loops.c: the loops beside the main one --- */

/* After the host: the loops and their sides of it, not yet running; none if one is enough. */
EV_NODISCARD ev_err runtime_loops_open(struct runtime *r, struct ev_fail *fail);
/* After runtime_listen: their listeners, and their threads. */
EV_NODISCARD ev_err runtime_loops_start(struct runtime *r, struct ev_fail *fail);
/* r->settings were changed. */
void runtime_loops_reload(struct runtime *r);
/* Each drains by itself. */
void runtime_loops_drain(struct runtime *r);
bool runtime_loops_have_ended(struct runtime *r);
/* Ends the threads, gives back what is under way, closes the connections; before the host goes. */
void runtime_loops_end(struct runtime *r);
void runtime_loops_free(struct runtime *r);
/* Devices connected to them. */
uint64_t runtime_loops_devices(const struct runtime *r);
/* Devices of each loop, the main one included, for /metrics. */
void runtime_loops_metrics(struct runtime *r, struct ev_buf *out);
/* How many loops in all serve devices on a machine with so many processors. */
size_t runtime_loops_for(size_t processors);

struct runtime_settings runtime_settings_of(const struct config *c);

#endif
