/*
 * net/router.h — which handler a request is for: a table of methods and path patterns.  Pure.
 *
 * A pattern is literal segments and `{parameters}`.  Literals are compared with the raw path;
 * parameters are percent-decoded.  Empty segments inside a path are skipped (`//api/chargers`, as a
 * client makes it from a base address that ends in a slash; the original takes it too); one at the
 * end matches nothing.
 */
#ifndef EV_NET_ROUTER_H
#define EV_NET_ROUTER_H

#include "base/buf.h"
#include "net/http.h"

struct api_call;
typedef void route_fn(struct api_call *call);

enum route_flags {
	ROUTE_FREE = 1,   /* for everybody, without credentials */
	ROUTE_LEGACY = 2, /* a route of the original: answered with its headers */
	ROUTE_ACTS = 4,   /* a GET that changes something: HEAD is none of its methods */
};

struct route {
	enum net_method method;
	const char *pattern; /* "/api/chargers/{outletId}" */
	route_fn *handle;
	unsigned flags;
};

#define ROUTER_PARAMS_MAX 2
#define ROUTER_PARAM_MAX 64 /* bytes of a decoded parameter; a longer one is no parameter */

enum router_found {
	ROUTER_FOUND,
	ROUTER_NONE,         /* no such path */
	ROUTER_OTHER_METHOD, /* the path has others: see allow */
	ROUTER_OPTIONS,      /* OPTIONS of a path, or of `*` */
};

struct route_match {
	const struct route *route; /* if found */
	unsigned allow;            /* bit (1 << method) of each method of the path */
	size_t n_params;
	size_t param_n[ROUTER_PARAMS_MAX];
	char param[ROUTER_PARAMS_MAX][ROUTER_PARAM_MAX];
};

/* HEAD finds the path's GET.  *out is written whatever the result. */
enum router_found router_find(const struct route *routes, size_t n, enum net_method method,
			      struct ev_str path, struct route_match *out);

static inline struct ev_str route_param(const struct route_match *m, size_t i)
{
	return (struct ev_str){ m->param[i], m->param_n[i] };
}

#define ROUTER_ALLOW_TEXT 64
/* "GET, HEAD, OPTIONS": the value of Allow. */
void router_allow_text(unsigned allow, struct ev_buf *b);

#endif
