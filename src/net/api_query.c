/* net/api_query.c — ids in paths and parameters in queries, with every problem named. */
#include <string.h>

#include "base/num.h"
#include "base/time.h"
#include "net/api_internal.h"

const struct api_id api_outlet_id = { "outletId", "outlet is not in UUID format",
				      "no such outlet" };
const struct api_id api_customer_id = { "customerId", "customer is not in UUID format",
					"no such customer" };
const struct api_id api_session_id = { "sessionId", "session is not in UUID format",
				       "no such session" };
const struct api_id api_item_id = { "itemId", "the item's id is not of 32 hex digits",
				    "no such item" };
const struct api_id api_letter_id = { "id", "the dead letter's id is not of 32 hex digits",
				      "no such dead letter" };

#define UUID_TEXT "is not in UUID format"
#define VALUE_MAX 128 /* bytes of a decoded value */

static void bad_id(const struct api_call *c, const struct api_id *id, const char *text)
{
	struct api_problems p = { .n = 1, .item = { { id->field, text } } };

	api_reply_problems(&c->ticket, id->bad, &p);
}

bool api_path_uuid(const struct api_call *c, size_t i, const struct api_id *id, struct ev_uuid *out)
{
	if (ev_uuid_parse(route_param(&c->match, i), out) == EV_OK)
		return true;
	bad_id(c, id, UUID_TEXT);
	return false;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse_identity(struct ev_str s, struct identity *out)
{
	struct identity id;

	if (s.n != 2 * sizeof(id.b))
		return false;
	for (size_t i = 0; i < sizeof(id.b); i++) {
		int high = hex_value(s.p[2 * i]);
		int low = hex_value(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		id.b[i] = (uint8_t)(high << 4 | low);
	}
	*out = id;
	return true;
}

bool api_path_identity(const struct api_call *c, size_t i, const struct api_id *id,
		       struct identity *out)
{
	if (parse_identity(route_param(&c->match, i), out))
		return true;
	bad_id(c, id, "is not of 32 hex digits");
	return false;
}

struct api_query api_query_of(const struct api_call *c)
{
	return (struct api_query){ .call = c };
}

static void add_problem(struct api_query *q, const char *name, const char *text)
{
	if (q->problems.n < API_PROBLEMS_MAX)
		q->problems.item[q->problems.n++] = (struct api_problem){ name, text };
}

/* False: not given, or a problem. */
static bool value_of(struct api_query *q, const char *name, char *text, struct ev_str *out)
{
	ev_err e = net_query_get(q->call->req->query, name, text, VALUE_MAX, out);

	if (e == EV_INVALID || e == EV_FULL)
		add_problem(q, name, "cannot be read");
	return e == EV_OK;
}

void api_query_limit(struct api_query *q, size_t *out)
{
	char text[VALUE_MAX];
	struct ev_str s;
	uint64_t n;

	if (!value_of(q, "limit", text, &s))
		return;
	if (num_parse_u64(s, &n) != EV_OK || n < 1 || n > API_PAGE_MAX)
		add_problem(q, "limit", "must be a number from 1 to 1000");
	else
		*out = (size_t)n;
}

void api_query_bool(struct api_query *q, const char *name, bool *out)
{
	char text[VALUE_MAX];
	struct ev_str s;

	if (!value_of(q, name, text, &s))
		return;
	if (ev_str_eqz(s, "true"))
		*out = true;
	else if (ev_str_eqz(s, "false"))
		*out = false;
	else
		add_problem(q, name, "must be true or false");
}

void api_query_u64(struct api_query *q, const char *name, uint64_t *out)
{
	char text[VALUE_MAX];
	struct ev_str s;

	if (value_of(q, name, text, &s) && num_parse_u64(s, out) != EV_OK)
		add_problem(q, name, "must be a number");
}

void api_query_time(struct api_query *q, const char *name, int64_t *out)
{
	char text[VALUE_MAX];
	struct ev_str s;

	if (value_of(q, name, text, &s) && ev_time_parse(s, out, NULL) != EV_OK)
		add_problem(q, name, "must be a time in ISO 8601");
}

void api_query_uuid(struct api_query *q, const char *name, bool *out_has, struct ev_uuid *out)
{
	char text[VALUE_MAX];
	struct ev_str s;

	if (!value_of(q, name, text, &s))
		return;
	*out_has = ev_uuid_parse(s, out) == EV_OK;
	if (!*out_has)
		add_problem(q, name, UUID_TEXT);
}

void api_query_state(struct api_query *q, const char *name, bool *out_has, enum outlet_state *out)
{
	char text[VALUE_MAX];
	struct ev_str s;

	if (!value_of(q, name, text, &s))
		return;
	*out_has = outlet_state_parse(s, out) == EV_OK;
	if (!*out_has)
		add_problem(q, name, "is no state of an outlet");
}

void api_query_item(struct api_query *q, const char *name, bool *out_has, int64_t *out_ns,
		    struct identity *out)
{
	char text[VALUE_MAX];
	struct ev_str s, ns;
	size_t hex = 2 * sizeof(out->b);

	if (!value_of(q, name, text, &s))
		return;
	ns = (struct ev_str){ s.p, s.n > hex ? s.n - hex - 1 : 0 };
	*out_has = ns.n > 0 && s.p[ns.n] == '-' && num_parse_i64(ns, out_ns) == EV_OK &&
		   parse_identity((struct ev_str){ s.p + ns.n + 1, hex }, out);
	if (!*out_has)
		add_problem(q, name, "is not what a page before gave");
}

bool api_query_ok(const struct api_query *q)
{
	if (q->problems.n == 0)
		return true;
	api_reply_problems(&q->call->ticket, NULL, &q->problems);
	return false;
}
