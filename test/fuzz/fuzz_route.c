/*
 * Methods, paths and queries: percent-decoding and parameters as a second, simpler reader sees
 * them, and a route is found as segments say, for every method.
 */
#include "check.h"
#include "net/router.h"

static void handle(struct api_call *call)
{
	(void)call; /* never called */
}

static const struct route routes[] = {
	{ NET_GET, "/", handle, 0 },
	{ NET_GET, "/api/chargers/{outletId}", handle, 0 },
	{ NET_DELETE, "/api/chargers/{outletId}", handle, 0 },
	{ NET_POST, "/api/chargers/{outletId}/stop", handle, ROUTE_LEGACY },
	{ NET_GET, "/api/chargers/{outletId}/stop", handle, ROUTE_ACTS },
	{ NET_GET, "/v1/{a}/{b}", handle, ROUTE_FREE },
};

static int hex(char c)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) % 16 : -1;
}

/* -1: cannot be decoded. */
static ptrdiff_t decode(struct ev_str in, bool plus, char *out)
{
	ptrdiff_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = plus && in.p[i] == '+' ? ' ' : in.p[i];

		if (c == '%') {
			int high = i + 2 < in.n ? hex(in.p[i + 1]) : -1;
			int low = i + 2 < in.n ? hex(in.p[i + 2]) : -1;

			if (i + 2 >= in.n)
				return -1;
			if (high < 0 || low < 0 || high + low == 0)
				return -1;
			c = (char)(high * 16 + low);
			i += 2;
		}
		out[n++] = c;
	}
	return n;
}

static void check_decode(struct ev_str in, bool plus)
{
	char *ours = malloc(in.n + 1), *theirs = malloc(in.n + 1);
	struct ev_str out = { NULL, 0 };

	CHECK(ours != NULL && theirs != NULL);
	ev_err e = net_percent_decode(in, plus, ours, in.n, &out);
	ptrdiff_t n = decode(in, plus, theirs);

	CHECK((e == EV_OK) == (n >= 0));
	if (e == EV_OK) {
		CHECK(out.n == (size_t)n && (n == 0 || memcmp(out.p, theirs, out.n) == 0));
		if (out.n > 0)
			CHECK(net_percent_decode(in, plus, ours, out.n - 1, &out) == EV_FULL);
	} else {
		CHECK(e == EV_INVALID);
	}
	free(ours);
	free(theirs);
}

static void check_query(struct ev_str query)
{
	struct ev_str rest = query, name, value, got;
	char room[32];
	size_t n = 0;

	while (net_query_next(&rest, &name, &value)) {
		CHECK(name.n + value.n <= query.n && ++n <= query.n);
		check_decode(name, true);
		check_decode(value, true);
	}
	ev_err e = net_query_get(query, "limit", room, sizeof(room), &got);

	CHECK(e == EV_OK || e == EV_NOTFOUND || e == EV_INVALID || e == EV_FULL);
}

static void check_found(struct ev_str path, enum net_method method)
{
	struct route_match m;
	char text[ROUTER_ALLOW_TEXT];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	enum router_found found = router_find(routes, EV_ARRAY_LEN(routes), method, path, &m);

	CHECK((found == ROUTER_FOUND) == (m.route != NULL));
	CHECK((found == ROUTER_NONE) == (m.allow == 0));
	if (m.route != NULL) {
		CHECK((m.allow & 1U << method) != 0 && m.n_params <= ROUTER_PARAMS_MAX);
		CHECK(m.route->method == method || method == NET_HEAD);
		CHECK(method != NET_HEAD || (m.route->flags & ROUTE_ACTS) == 0);
	}
	for (size_t i = 0; i < m.n_params; i++)
		CHECK(m.param_n[i] > 0 && m.param_n[i] <= ROUTER_PARAM_MAX &&
		      memchr(m.param[i], '\0', m.param_n[i]) == NULL);
	router_allow_text(m.allow, &b);
	CHECK(!b.overflow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	const char *mark = size > 0 ? memchr(in.p, '?', size) : NULL;
	struct ev_str path = { in.p, mark != NULL ? (size_t)(mark - in.p) : size };

	check_decode(path, false);
	/* No head has a zero byte in its target; an escaped one is refused. */
	if (path.n > 0 && (path.p[0] == '/' || ev_str_eqz(path, "*")) &&
	    memchr(path.p, '\0', path.n) == NULL) {
		for (unsigned m = 0; m < NET_METHOD_COUNT; m++)
			check_found(path, (enum net_method)m);
	}
	if (mark != NULL)
		check_query((struct ev_str){ mark + 1, size - path.n - 1 });
	return 0;
}
