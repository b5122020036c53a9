/* net/api_app.c — the routes of the app backend: customers, their tags, sessions. */
#include <string.h>

#include "base/time.h"
#include "net/api_internal.h"

#define ANSWER_MAX 8192 /* bytes of a customer or session in JSON, every character escaped */
#define TAG_TAKEN "the tag is another customer's"

/* --- answers --- */

static void write_customer_row(struct json_writer *w, const void *row)
{
	api_write_customer(w, row);
}

static void write_session_row(struct json_writer *w, const void *row)
{
	api_write_session(w, row);
}

static void reply_customer(struct api_change *c, int status)
{
	char text[ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	api_write_customer(&w, &c->customer.customer);
	api_reply_json(&c->ticket, status, ev_buf_str(&b));
}

static void answer_customer(struct api_change *c)
{
	if (api_change_passed(c))
		reply_customer(c, 200);
}

static void answer_customer_created(struct api_change *c)
{
	if (api_change_passed(c))
		reply_customer(c, 201);
}

static void answer_erased(struct api_change *c)
{
	if (c->job.verdict == VERDICT_REFUSED)
		api_reply_problem(&c->ticket, 409, "a session of the customer is live");
	else
		api_reply_empty(&c->ticket, 204);
}

static void reply_session(struct api_change *c, int status)
{
	char text[ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	api_write_session(&w, &c->session.session);
	api_reply_json(&c->ticket, status, ev_buf_str(&b));
}

/* --- customers: writes --- */

/* A customer without a card still has a tag, as in the original: a random one. */
static struct rfid_tag tag_or_random(struct api *a, bool given, const struct rfid_tag *tag)
{
	struct ev_uuid random;
	char text[EV_UUID_TEXT + 1];
	struct rfid_tag t = { .n = EV_UUID_TEXT };

	if (given)
		return *tag;
	random = ev_rng_uuid(a->c.rng);
	ev_uuid_text(&random, text);
	memcpy(t.s, text, EV_UUID_TEXT);
	return t;
}

static void set_fields(struct customer *c, const struct api_customer_new *in)
{
	memcpy(c->address, in->address, sizeof(c->address));
	memcpy(c->email, in->email, sizeof(c->email));
	memcpy(c->payment_method, in->payment_method, sizeof(c->payment_method));
}

static void create_customer(struct api_call *call)
{
	struct api_customer_new in;
	struct api_problems problems;
	struct json_error error;
	struct api_change *c;

	if (api_read_customer_new(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = api_change_new(call, JOB_CUSTOMER_CREATE, &api_customer_id);
	if (c == NULL)
		return;
	c->customer.customer_id = ev_rng_uuid(call->api->c.rng);
	c->customer.tag = tag_or_random(call->api, in.has_tag, &in.tag);
	set_fields(&c->customer.fields, &in);
	c->exists = TAG_TAKEN;
	c->answer = answer_customer_created;
	api_change_submit(c);
}

/* A job about the path's customer; NULL: answered. */
static struct api_change *customer_change(const struct api_call *call, enum job_kind kind)
{
	struct ev_uuid id;
	struct api_change *c;

	if (!api_path_uuid(call, 0, &api_customer_id, &id))
		return NULL;
	c = api_change_new(call, kind, &api_customer_id);
	if (c != NULL) {
		c->customer.customer_id = id;
		c->answer = answer_customer;
	}
	return c;
}

static void change_customer(struct api_call *call)
{
	struct api_customer_patch in;
	struct api_problems problems;
	struct json_error error;
	struct api_change *c;

	if (api_read_customer_patch(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = customer_change(call, JOB_CUSTOMER_CHANGE);
	if (c == NULL)
		return;
	c->customer.set_address = in.has_address;
	c->customer.set_email = in.has_email;
	c->customer.set_payment = in.has_payment_method;
	set_fields(&c->customer.fields, &in.to);
	api_change_submit(c);
}

static void set_blocked(const struct api_call *call, bool block)
{
	struct api_change *c = customer_change(call, JOB_CUSTOMER_BLOCK);

	if (c == NULL)
		return;
	c->customer.block = block;
	api_change_submit(c);
}

static void block(struct api_call *call)
{
	set_blocked(call, true);
}

static void unblock(struct api_call *call)
{
	set_blocked(call, false);
}

static void set_tag(struct api_call *call)
{
	struct api_tag in;
	struct api_problems problems;
	struct json_error error;
	struct api_change *c;

	if (api_read_tag(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = customer_change(call, JOB_CUSTOMER_TAG);
	if (c == NULL)
		return;
	c->customer.tag = tag_or_random(call->api, in.has_tag, &in.tag);
	c->exists = TAG_TAKEN;
	api_change_submit(c);
}

static void erase_customer(struct api_call *call)
{
	struct api_change *c = customer_change(call, JOB_CUSTOMER_ERASE);

	if (c == NULL)
		return;
	c->answer = answer_erased;
	api_change_submit(c);
}

/* --- customers: reads --- */

static ev_err read_customer(struct api_task *t, struct query *q)
{
	struct customer c;
	ev_err e = q->ops->customer(q, &t->id, &c);

	if (e == EV_OK)
		api_body_json(&t->body, write_customer_row, &c);
	return e;
}

static void get_customer(struct api_call *call)
{
	struct ev_uuid id;
	struct api_task *t;

	if (!api_path_uuid(call, 0, &api_customer_id, &id))
		return;
	t = api_task_new(call, &api_customer_id, read_customer);
	if (t == NULL)
		return;
	t->id = id;
	api_task_submit(t);
}

static bool visit_customer(void *user, const struct customer *c)
{
	struct api_task *t = user;

	if (!api_page_has_room(t))
		return false;
	ev_uuid_text(&c->id, t->cursor);
	return api_page_add(t, write_customer_row, c);
}

static ev_err read_customers(struct api_task *t, struct query *q)
{
	ev_err e;

	api_page_begin(t);
	e = q->ops->customers(q, t->has_after ? &t->after : NULL, t->limit + 1, visit_customer, t);
	api_page_end(t);
	return e;
}

static void list_customers(struct api_call *call)
{
	struct api_query q = api_query_of(call);
	size_t limit = API_PAGE_DEFAULT;
	bool has_after = false;
	struct ev_uuid after;
	struct api_task *t;

	api_query_limit(&q, &limit);
	api_query_uuid(&q, "after", &has_after, &after);
	if (!api_query_ok(&q))
		return;
	t = api_task_new(call, NULL, read_customers);
	if (t == NULL)
		return;
	t->limit = limit;
	t->has_after = has_after;
	if (has_after)
		t->after = after;
	api_task_submit(t);
}

/* --- sessions: reads --- */

/*
 * The cursor is a startTime, below which the next page begins: sessions that began in the same
 * nanosecond as the page's last row belong to this page, however many they are.
 */
static bool visit_session(void *user, const struct session *s)
{
	struct api_task *t = user;
	bool tied = t->n_rows > 0 && s->start_ns == t->last_ns;

	if (!tied && !api_page_has_room(t))
		return false;
	t->last_ns = s->start_ns;
	ev_time_text(s->start_ns, t->cursor);
	return api_page_add(t, write_session_row, s);
}

static void write_array(struct json_writer *w, const void *row)
{
	(void)row; /* an array's head has none */
	json_write_array(w);
}

static void write_array_end(struct json_writer *w, const void *row)
{
	(void)row; /* nor its end */
	json_write_array_end(w);
}

static ev_err read_history(struct api_task *t, struct query *q)
{
	struct customer c;
	ev_err e = q->ops->customer(q, &t->id, &c);

	if (e != EV_OK)
		return e;
	api_body_json(&t->body, write_array, NULL);
	e = q->ops->history(q, &t->id, t->ns, SIZE_MAX, visit_session, t);
	api_body_json(&t->body, write_array_end, NULL);
	return e;
}

/* The next page's address, relative to this one's host. */
static void answer_history(struct api_task *t)
{
	char text[256], id[EV_UUID_TEXT + 1];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct net_header link = { .name = EV_LIT("link") };

	ev_uuid_text(&t->id, id);
	ev_buf_z(&b, "</api/customers/");
	ev_buf_z(&b, id);
	ev_buf_z(&b, "/charging-history?limit=");
	ev_buf_u64(&b, t->limit);
	ev_buf_z(&b, "&before=");
	ev_buf_z(&b, t->cursor);
	ev_buf_z(&b, ">; rel=\"next\"");
	link.value = ev_buf_str(&b);
	api_reply(&t->ticket, 200, "application/json", &link, t->more ? 1 : 0,
		  api_body_str(&t->body));
}

static void get_history(struct api_call *call)
{
	struct api_query q = api_query_of(call);
	size_t limit = API_PAGE_DEFAULT;
	int64_t before_ns = 0;
	struct ev_uuid id;
	struct api_task *t;

	if (!api_path_uuid(call, 0, &api_customer_id, &id))
		return;
	api_query_limit(&q, &limit);
	api_query_time(&q, "before", &before_ns);
	if (!api_query_ok(&q))
		return;
	t = api_task_new(call, &api_customer_id, read_history);
	if (t == NULL)
		return;
	t->id = id;
	t->limit = limit;
	t->ns = before_ns;
	t->answer = answer_history;
	api_task_submit(t);
}

static ev_err read_session(struct api_task *t, struct query *q)
{
	struct session s;
	ev_err e = q->ops->session(q, &t->id, &s);

	if (e == EV_OK)
		api_body_json(&t->body, write_session_row, &s);
	return e;
}

static void get_session(struct api_call *call)
{
	struct ev_uuid id;
	struct api_task *t;

	if (!api_path_uuid(call, 0, &api_session_id, &id))
		return;
	t = api_task_new(call, &api_session_id, read_session);
	if (t == NULL)
		return;
	t->id = id;
	api_task_submit(t);
}

static ev_err read_sessions(struct api_task *t, struct query *q)
{
	ev_err e;

	api_page_begin(t);
	e = q->ops->sessions(q, t->all, t->heard_before_ns, t->ns, SIZE_MAX, visit_session, t);
	api_page_end(t);
	return e;
}

static void list_sessions(struct api_call *call)
{
	struct api *a = call->api;
	struct api_query q = api_query_of(call);
	size_t limit = API_PAGE_DEFAULT;
	int64_t before_ns = 0;
	bool live = false, stuck = false;
	struct api_task *t;

	api_query_bool(&q, "live", &live);
	api_query_bool(&q, "stuck", &stuck);
	api_query_limit(&q, &limit);
	api_query_time(&q, "before", &before_ns);
	if (!api_query_ok(&q))
		return;
	t = api_task_new(call, NULL, read_sessions);
	if (t == NULL)
		return;
	t->all = live || stuck; /* what is over cannot be stuck */
	if (stuck)
		t->heard_before_ns = ev_clock_wall_ns(a->c.clock) - a->c.stuck_after_ns;
	t->ns = before_ns;
	t->limit = limit;
	api_task_submit(t);
}

/* --- sessions: writes --- */

static void answer_started(struct api_change *c)
{
	if (api_change_passed(c))
		reply_session(c, 201);
}

static void answer_stopped(struct api_change *c)
{
	if (api_change_passed(c))
		api_reply_empty(&c->ticket, 200);
}

static void answer_closed(struct api_change *c)
{
	if (api_change_passed(c))
		reply_session(c, 200);
}

/* The one job whose 403 and 404 have more than one meaning. */
static void start_failed(struct api_change *c)
{
	if (c->job.err == EV_DENIED)
		api_reply_problem(&c->ticket, 403, reason_text(REASON_BLOCKED));
	else if (c->job.err == EV_NOTFOUND && c->job.reason == REASON_UNKNOWN_OUTLET)
		api_reply_problem(&c->ticket, 404, reason_text(REASON_UNKNOWN_OUTLET));
	else
		api_reply_err(&c->ticket, c->job.err, c->missing);
}

static void start(struct api_call *call)
{
	struct api_start in;
	struct api_problems problems;
	struct json_error error;
	struct api_change *c;

	if (api_read_start(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = api_change_new(call, JOB_START, &api_customer_id);
	if (c == NULL)
		return;
	c->session.customer_id = in.customer_id;
	c->session.outlet_id = in.outlet_id;
	c->session.session_id = ev_rng_uuid(call->api->c.rng);
	c->answer = answer_started;
	c->failed = start_failed;
	api_change_submit(c);
}

static void session_change(const struct api_call *call, enum job_kind kind,
			   void (*answer)(struct api_change *c))
{
	struct ev_uuid id;
	struct api_change *c;

	if (!api_path_uuid(call, 0, &api_session_id, &id))
		return;
	c = api_change_new(call, kind, &api_session_id);
	if (c == NULL)
		return;
	c->session.session_id = id;
	c->answer = answer;
	api_change_submit(c);
}

static void stop(struct api_call *call)
{
	session_change(call, JOB_STOP, answer_stopped);
}

static void close_session(struct api_call *call)
{
	session_change(call, JOB_SESSION_CLOSE, answer_closed);
}

/* --- routes --- */

#define CUSTOMER "/api/customers/{customerId}"
#define SESSION "/api/chargers/session/{sessionId}"

const struct route api_app_routes[] = {
	API_COMMON_ROUTES,
	{ NET_GET, "/api/openapi.json", api_openapi_get, 0 },
	{ NET_POST, "/api/customers", create_customer, ROUTE_LEGACY },
	{ NET_GET, "/api/customers", list_customers, 0 },
	{ NET_GET, CUSTOMER, get_customer, ROUTE_LEGACY },
	{ NET_PATCH, CUSTOMER, change_customer, 0 },
	{ NET_DELETE, CUSTOMER, erase_customer, 0 },
	{ NET_POST, CUSTOMER "/block", block, 0 },
	{ NET_POST, CUSTOMER "/unblock", unblock, 0 },
	{ NET_PUT, CUSTOMER "/tag", set_tag, 0 },
	{ NET_GET, CUSTOMER "/charging-history", get_history, ROUTE_LEGACY },
	{ NET_POST, "/api/chargers/start", start, ROUTE_LEGACY },
	{ NET_GET, SESSION, get_session, ROUTE_LEGACY },
	{ NET_POST, SESSION "/stop", stop, ROUTE_LEGACY },
	{ NET_GET, SESSION "/stop", stop, ROUTE_LEGACY | ROUTE_ACTS },
	{ NET_GET, "/api/sessions", list_sessions, 0 },
	{ NET_POST, "/api/sessions/{sessionId}/close", close_session, 0 },
};
const size_t api_n_app_routes = EV_ARRAY_LEN(api_app_routes);
