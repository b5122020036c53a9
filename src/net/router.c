/* net/router.c — see router.h. */
#include "net/router.h"

#include <assert.h>
#include <string.h>

static bool is_param(struct ev_str segment)
{
	return segment.n > 0 && segment.p[0] == '{';
}

static bool take_param(struct ev_str raw, struct route_match *m)
{
	struct ev_str out;

	assert(m->n_params < ROUTER_PARAMS_MAX);
	if (net_percent_decode(raw, false, m->param[m->n_params], ROUTER_PARAM_MAX, &out) != EV_OK)
		return false;
	m->param_n[m->n_params++] = out.n;
	return true;
}

/* The path's next segment that is not empty; an empty one at the very end counts. */
static bool next_segment(struct ev_str *rest, struct ev_str *out)
{
	while (net_path_next(rest, out)) {
		if (out->n > 0 || rest->n == 0)
			return true;
	}
	return false;
}

static bool matches(const char *pattern, struct ev_str path, struct route_match *m)
{
	struct ev_str wanted = ev_str_from(pattern);
	struct ev_str want, have;

	m->n_params = 0;
	while (net_path_next(&wanted, &want)) {
		if (!next_segment(&path, &have) || have.n == 0)
			return false;
		if (is_param(want)) {
			if (!take_param(have, m))
				return false;
		} else if (!ev_str_eq(want, have)) {
			return false;
		}
	}
	return !next_segment(&path, &have);
}

static unsigned methods_of(const struct route *r)
{
	unsigned bits = 1U << r->method | 1U << NET_OPTIONS;

	if (r->method == NET_GET && (r->flags & ROUTE_ACTS) == 0)
		bits |= 1U << NET_HEAD;
	return bits;
}

/* HEAD is GET without its body. */
static bool serves(const struct route *r, enum net_method method)
{
	return method != NET_OPTIONS && (methods_of(r) & 1U << method) != 0;
}

enum router_found router_find(const struct route *routes, size_t n, enum net_method method,
			      struct ev_str path, struct route_match *out)
{
	bool everything = method == NET_OPTIONS && ev_str_eqz(path, "*");
	struct route_match m = { .route = NULL };
	unsigned allow = 0;

	*out = (struct route_match){ .route = NULL };
	for (size_t i = 0; i < n; i++) {
		if (!everything && !matches(routes[i].pattern, path, &m))
			continue;
		allow |= methods_of(&routes[i]);
		if (out->route == NULL && serves(&routes[i], method)) {
			*out = m;
			out->route = &routes[i];
		}
	}
	out->allow = allow;
	if (out->route != NULL)
		return ROUTER_FOUND;
	if (allow == 0)
		return ROUTER_NONE;
	return method == NET_OPTIONS ? ROUTER_OPTIONS : ROUTER_OTHER_METHOD;
}

void router_allow_text(unsigned allow, struct ev_buf *b)
{
	const char *comma = "";

	for (unsigned m = 0; m < NET_METHOD_COUNT; m++) {
		if ((allow & 1U << m) == 0)
			continue;
		ev_buf_z(b, comma);
		ev_buf_z(b, net_method_text((enum net_method)m));
		comma = ", ";
	}
}
