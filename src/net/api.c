/* net/api.c — which route a request is for, who may ask, and how jobs and queries come back. */
#include "net/api.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/api_internal.h"

struct api_limits api_limits_default(void)
{
	return (struct api_limits){
		.max_subscribers = 100,
		.max_queries = 1000,
		.max_page_bytes = 1 << 20,
	};
}

ev_err api_new(const struct api_config *c, struct api **out)
{
	struct api *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return EV_NOMEM;
	a->c = *c;
	api_counters_init(a, c->metrics);
	*out = a;
	return EV_OK;
}

void api_set_stuck_after(struct api *a, int64_t stuck_after_ns)
{
	a->c.stuck_after_ns = stuck_after_ns;
}

const struct route *api_routes(enum api_role role, size_t *out_n)
{
	switch (role) {
	case API_OUTLET:
		*out_n = api_n_outlet_routes;
		return api_outlet_routes;
	case API_APP:
		*out_n = api_n_app_routes;
		return api_app_routes;
	case API_GATEWAY:
	case API_ROLE_COUNT:
		break;
	}
	*out_n = api_n_gateway_routes;
	return api_gateway_routes;
}

/* --- a request --- */

static void count_refusal(struct api *a, enum access access)
{
	switch (access) {
	case ACCESS_GRANTED:
		break;
	case ACCESS_MISSING:
		ev_counter_inc(&a->n.missing);
		break;
	case ACCESS_WRONG:
		ev_counter_inc(&a->n.wrong);
		break;
	case ACCESS_FOREIGN:
		ev_counter_inc(&a->n.foreign);
		break;
	}
}

/* False: answered with 401 or 403. */
static bool may_ask(const struct api_call *c)
{
	struct api *a = c->api;
	struct access_headers h = access_headers_of(c->req->headers, c->req->n_headers);
	enum access access = access_api(&a->c.access[c->ticket.role], &h);

	if (access == ACCESS_GRANTED)
		return true;
	count_refusal(a, access);
	api_reply_unauthorized(&c->ticket, access);
	return false;
}

static void reply_allow(const struct api_call *c, int status)
{
	char text[ROUTER_ALLOW_TEXT];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct net_header allow = { .name = EV_LIT("allow") };

	router_allow_text(c->match.allow, &b);
	allow.value = ev_buf_str(&b);
	if (status == 405)
		api_reply_problem_with(&c->ticket, 405, "the route knows other methods", &allow);
	else
		api_reply(&c->ticket, status, NULL, &allow, 1, (struct ev_str){ NULL, 0 });
}

static void run_route(struct api_call *c, enum router_found found)
{
	switch (found) {
	case ROUTER_FOUND:
		c->match.route->handle(c);
		break;
	case ROUTER_NONE:
		api_reply_problem(&c->ticket, 404, "no such route");
		break;
	case ROUTER_OTHER_METHOD:
		reply_allow(c, 405);
		break;
	case ROUTER_OPTIONS:
		reply_allow(c, 204);
		break;
	}
}

void api_request(struct api *a, enum api_role role, const struct net_request *req)
{
	struct api_call c = { .api = a, .req = req };
	size_t n;
	const struct route *routes = api_routes(role, &n);
	enum router_found found = router_find(routes, n, req->method, req->path, &c.match);
	unsigned flags = found == ROUTER_FOUND ? c.match.route->flags : 0;

	c.ticket = (struct api_ticket){
		.api = a,
		.h = req->handle,
		.role = role,
		.legacy = (flags & ROUTE_LEGACY) != 0,
		.begun_ns = ev_clock_mono_ns(a->c.clock),
	};
	if ((flags & ROUTE_FREE) == 0 && !may_ask(&c))
		return;
	run_route(&c, found);
}

/* --- writes --- */

static void on_changed(struct job_owner *owner, struct job *j)
{
	struct api_change *c = (struct api_change *)owner;

	assert(j == &c->job);
	if (j->err == EV_OK)
		c->answer(c);
	else if (c->failed != NULL)
		c->failed(c);
	else if (j->err == EV_EXISTS && c->exists != NULL)
		api_reply_problem(&c->ticket, 409, c->exists);
	else if (j->err == EV_CONFLICT && c->conflict != NULL)
		api_reply_problem(&c->ticket, 409, c->conflict);
	else
		api_reply_err(&c->ticket, j->err, c->missing);
	free(c);
}

struct api_change *api_change_new(const struct api_call *call, enum job_kind kind,
				  const struct api_id *id)
{
	struct api *a = call->api;
	struct api_change *c;

	if (host_is_busy(a->c.host)) {
		api_reply_busy(&call->ticket, "overloaded", 1);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		api_reply_busy(&call->ticket, "out of memory", 1);
		return NULL;
	}
	c->owner.done = on_changed;
	c->ticket = call->ticket;
	c->missing = id->missing;
	c->job.kind = kind;
	c->job.owner = &c->owner;
	c->job.at_ns = ev_clock_wall_ns(a->c.clock);
	return c;
}

void api_change_submit(struct api_change *c)
{
	host_submit(c->ticket.api->c.host, &c->job);
}

bool api_change_passed(struct api_change *c)
{
	if (c->job.verdict == VERDICT_APPLIED || c->job.verdict == VERDICT_DUPLICATE)
		return true;
	api_reply_problem(&c->ticket, 409, reason_text(c->job.reason));
	return false;
}

/* --- reads --- */

static ev_err run_task(struct query_task *q, struct query *query)
{
	struct api_task *t = (struct api_task *)q;
	ev_err e = t->read(t, query);

	return e == EV_OK && t->body.failed ? EV_NOMEM : e;
}

static void on_read(struct query_task *q, void *user)
{
	struct api_task *t = (struct api_task *)q;

	(void)user; /* the host's, not ours */
	if (q->err != EV_OK)
		api_reply_err(&t->ticket, q->err, t->missing);
	else if (t->answer != NULL)
		t->answer(t);
	else
		api_reply_json(&t->ticket, 200, api_body_str(&t->body));
	free(t->body.p);
	free(t);
}

struct api_task *api_task_new(const struct api_call *call, const struct api_id *id,
			      ev_err (*read)(struct api_task *t, struct query *q))
{
	struct api *a = call->api;
	struct api_task *t;

	if (host_stats(a->c.host).queries >= a->c.limits.max_queries) {
		api_reply_busy(&call->ticket, "overloaded", 1);
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL) {
		api_reply_busy(&call->ticket, "out of memory", 1);
		return NULL;
	}
	t->task.run = run_task;
	t->task.done = on_read;
	t->ticket = call->ticket;
	t->missing = id != NULL ? id->missing : NULL;
	t->read = read;
	t->limit = API_PAGE_DEFAULT;
	t->max_bytes = a->c.limits.max_page_bytes;
	return t;
}

void api_task_submit(struct api_task *t)
{
	host_query(t->ticket.api->c.host, &t->task);
}
