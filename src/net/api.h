/*
 * net/api.h — the HTTP API of the outlet and app backends, and what all listeners share: /live,
 * /ready, /metrics.  Contract: docs/http-api.md; the documents at /api/openapi.json are held to the
 * routes by a test.
 *
 * Writes become jobs and reads become query tasks of the host; both are answered when they come
 * back, through a handle that is dead by then if the peer has left.  All functions belong to the
 * loop's thread, where host_flush and host_reap are called, too.
 */
#ifndef EV_NET_API_H
#define EV_NET_API_H

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "net/access.h"
#include "net/server.h"
#include "service/host.h"

struct api;

enum api_role { API_OUTLET, API_APP, API_GATEWAY, API_ROLE_COUNT };

/*
 * Where answers go: net/api_server.h in the program, a recorder in tests.  Members mean what the
 * net_ function of that name means.
 */
struct api_sink;
struct api_sink_ops {
	ev_err (*reply)(struct api_sink *s, struct net_handle h,
			const struct net_response *r) EV_NODISCARD;
	ev_err (*stream_begin)(struct api_sink *s, struct net_handle h,
			       const struct net_response *r) EV_NODISCARD;
	ev_err (*stream_write)(struct api_sink *s, struct net_handle h,
			       struct ev_str bytes) EV_NODISCARD;
	ev_err (*stream_end)(struct api_sink *s, struct net_handle h) EV_NODISCARD;
};
struct api_sink {
	const struct api_sink_ops *ops;
};

/* What /ready says: each check with NULL (it holds) or why not; texts are constant. */
#define API_CHECKS_MAX 16
struct api_checks {
	size_t n;
	struct {
		const char *name;
		const char *why;
	} check[API_CHECKS_MAX];
};
void api_checks_add(struct api_checks *c, const char *name, const char *why);

struct api_limits {
	size_t max_subscribers; /* of GET /api/events, e.g. 100 */
	size_t max_queries;     /* reads waiting above which more are answered 503, e.g. 1,000 */
	size_t max_page_bytes;  /* a page ends once it is longer, e.g. 1 MiB */
};
struct api_limits api_limits_default(void);

struct api_config {
	struct host *host; /* all borrowed until api_free */
	struct api_sink *sink;
	struct ev_clock *clock;
	struct ev_rng *rng;         /* of the loop's thread: new ids */
	struct ev_metrics *metrics; /* may be NULL; its counters are added to it */
	struct ev_metrics *shown;   /* what /metrics shows; NULL: the same */
	struct ev_log *log;         /* may be NULL */
	struct access_policy access[API_ROLE_COUNT];
	struct api_limits limits;
	int64_t stuck_after_ns; /* sessions that heard nothing for so long are stuck */
	const char *version;
	/* Adds the checks of /ready; may be NULL. */
	void (*ready)(void *user, struct api_checks *c);
	/* Appends to /metrics what the registry does not have (the engine's); may be NULL. */
	void (*more_metrics)(void *user, struct ev_buf *out);
	void *user;
};

/* Registers its counters.  EV_NOMEM. */
EV_NODISCARD ev_err api_new(const struct api_config *c, struct api **out);
/* After the server's connections are gone and the host gave all jobs and queries back. */
void api_free(struct api *a);

/* Any request of a listener of that role; the gateway's has the shared routes only. */
void api_request(struct api *a, enum api_role role, const struct net_request *req);

/* The server's on_gone and on_room; handles that are no stream of ours are fine. */
void api_on_gone(struct api *a, struct net_handle h);
void api_on_room(struct api *a, struct net_handle h);

/* The host's on_event: an event that was committed. */
void api_on_event(struct api *a, const struct stored_event *e);

/* About once a second: keeps silent streams open. */
void api_tick(struct api *a);

/* From now on not ready, and streams end: their readers resume elsewhere or later. */
void api_drain(struct api *a);

/* New settings from a reload. */
void api_set_stuck_after(struct api *a, int64_t stuck_after_ns);

/* The routes of a role, for the test of the documents. */
struct route;
const struct route *api_routes(enum api_role role, size_t *out_n);

/* The role's OpenAPI document; empty for the gateway. */
struct ev_str api_openapi(enum api_role role);

#endif
