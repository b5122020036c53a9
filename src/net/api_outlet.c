/* net/api_outlet.c — the routes of the outlet backend: outlets, their events, unassigned energy. */
#include <string.h>

#include "base/hash.h"
#include "net/api_internal.h"

#define ANSWER_MAX 8192 /* bytes of an outlet in JSON, every character escaped */

/* --- answers --- */

static void write_outlet_row(struct json_writer *w, const void *row)
{
	const struct outlet_row *r = row;

	api_write_outlet(w, &r->outlet, &r->info);
}

static void reply_outlet(struct api_change *c)
{
	char text[ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	api_write_outlet(&w, &c->outlet.outlet, &c->outlet.info);
	api_reply_json(&c->ticket, 200, ev_buf_str(&b));
}

static void answer_outlet(struct api_change *c)
{
	if (api_change_passed(c))
		reply_outlet(c);
}

static void answer_created(struct api_change *c)
{
	char text[ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	if (!api_change_passed(c))
		return;
	api_write_outlet_created(&w, &c->outlet.outlet, &c->outlet.info);
	api_reply_json(&c->ticket, 201, ev_buf_str(&b));
}

/* --- outlets: writes --- */

static void create_outlet(struct api_call *call)
{
	struct api_outlet_new in;
	struct api_problems problems;
	struct json_error error;
	struct api_change *c;

	if (api_read_outlet_new(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = api_change_new(call, JOB_OUTLET_CREATE, &api_outlet_id);
	if (c == NULL)
		return;
	c->outlet.outlet_id = ev_rng_uuid(call->api->c.rng);
	c->outlet.info.group_id = in.group_id;
	memcpy(c->outlet.info.code, in.code, sizeof(in.code));
	memcpy(c->outlet.info.address, in.address, sizeof(in.address));
	c->outlet.max_power_mw = in.max_power_mw;
	c->answer = answer_created;
	api_change_submit(c);
}

static void change_outlet(struct api_call *call)
{
	struct api_outlet_patch in;
	struct api_problems problems;
	struct json_error error;
	struct ev_uuid id;
	struct api_change *c;

	if (!api_path_uuid(call, 0, &api_outlet_id, &id))
		return;
	if (api_read_outlet_patch(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = api_change_new(call, JOB_OUTLET_CHANGE, &api_outlet_id);
	if (c == NULL)
		return;
	c->outlet.outlet_id = id;
	c->outlet.set_group = in.has_group;
	c->outlet.set_code = in.has_code;
	c->outlet.set_address = in.has_address;
	c->outlet.set_power = in.has_max_power;
	c->outlet.info.group_id = in.to.group_id;
	memcpy(c->outlet.info.code, in.to.code, sizeof(in.to.code));
	memcpy(c->outlet.info.address, in.to.address, sizeof(in.to.address));
	c->outlet.max_power_mw = in.to.max_power_mw;
	c->answer = answer_outlet;
	api_change_submit(c);
}

/* A job about the path's outlet; NULL: answered. */
static struct api_change *outlet_change(const struct api_call *call, enum job_kind kind)
{
	struct ev_uuid id;
	struct api_change *c;

	if (!api_path_uuid(call, 0, &api_outlet_id, &id))
		return NULL;
	c = api_change_new(call, kind, &api_outlet_id);
	if (c != NULL) {
		c->outlet.outlet_id = id;
		c->answer = answer_outlet;
	}
	return c;
}

static void set_service(const struct api_call *call, bool out)
{
	struct api_change *c = outlet_change(call, JOB_OUTLET_SERVICE);

	if (c == NULL)
		return;
	c->outlet.out = out;
	api_change_submit(c);
}

static void out_of_service(struct api_call *call)
{
	set_service(call, true);
}

static void in_service(struct api_call *call)
{
	set_service(call, false);
}

static void retire(struct api_call *call)
{
	struct api_change *c = outlet_change(call, JOB_OUTLET_RETIRE);

	if (c != NULL)
		api_change_submit(c);
}

/* A finish that finds nothing to end contradicts the state; elsewhere a repeat is fine. */
static void answer_finish(struct api_change *c)
{
	if (c->job.verdict == VERDICT_APPLIED)
		reply_outlet(c);
	else
		api_reply_problem(&c->ticket, 409, "the session does not run");
}

static void finish(struct api_call *call)
{
	struct api_action in;
	struct api_problems problems;
	struct json_error error;
	struct api_change *c;

	if (api_read_finish(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = outlet_change(call, JOB_OUTLET_FINISH);
	if (c == NULL)
		return;
	if (in.has_session)
		c->outlet.session_id = in.session_id;
	c->answer = answer_finish;
	ev_info(call->api->c.log, "outlet.finish", EV_KUUID("outlet", &c->outlet.outlet_id),
		EV_KZ("reason", in.reason));
	api_change_submit(c);
}

/* --- outlets: reads --- */

static ev_err read_outlet(struct api_task *t, struct query *q)
{
	struct outlet_row row;
	ev_err e = q->ops->outlet(q, &t->id, &row);

	if (e == EV_OK)
		api_body_json(&t->body, write_outlet_row, &row);
	return e;
}

static void get_outlet(struct api_call *call)
{
	struct ev_uuid id;
	struct api_task *t;

	if (!api_path_uuid(call, 0, &api_outlet_id, &id))
		return;
	t = api_task_new(call, &api_outlet_id, read_outlet);
	if (t == NULL)
		return;
	t->id = id;
	api_task_submit(t);
}

static bool visit_outlet(void *user, const struct outlet_row *row)
{
	struct api_task *t = user;

	if (!api_page_has_room(t))
		return false;
	ev_uuid_text(&row->outlet.id, t->cursor);
	return api_page_add(t, write_outlet_row, row);
}

static ev_err read_outlets(struct api_task *t, struct query *q)
{
	ev_err e;

	api_page_begin(t);
	e = q->ops->outlets(q, &t->filter, t->has_after ? &t->after : NULL, t->limit + 1,
			    visit_outlet, t);
	api_page_end(t);
	return e;
}

static void list_outlets(struct api_call *call)
{
	struct api_query q = api_query_of(call);
	struct outlet_filter filter = { .has_state = false };
	struct ev_uuid after;
	size_t limit = API_PAGE_DEFAULT;
	bool has_after = false;
	struct api_task *t;

	api_query_state(&q, "state", &filter.has_state, &filter.state);
	api_query_uuid(&q, "group", &filter.has_group, &filter.group_id);
	api_query_bool(&q, "retired", &filter.with_retired);
	api_query_limit(&q, &limit);
	api_query_uuid(&q, "after", &has_after, &after);
	if (!api_query_ok(&q))
		return;
	t = api_task_new(call, NULL, read_outlets);
	if (t == NULL)
		return;
	t->filter = filter;
	t->limit = limit;
	t->has_after = has_after;
	if (has_after)
		t->after = after;
	api_task_submit(t);
}

/* --- an outlet's events --- */

static void write_event_row(struct json_writer *w, const void *row)
{
	const struct stored_event *e = row;

	api_write_event(w, e->seq, e->at_ns, &e->event);
}

static bool visit_event(void *user, const struct stored_event *e)
{
	struct api_task *t = user;

	if (!api_page_has_room(t))
		return false;
	api_page_seq_cursor(t, e->seq);
	return api_page_add(t, write_event_row, e);
}

static ev_err check_outlet(struct api_task *t, struct query *q)
{
	struct outlet_row row;

	return q->ops->outlet(q, &t->id, &row);
}

static ev_err read_outlet_events(struct api_task *t, struct query *q)
{
	ev_err e = check_outlet(t, q);

	if (e != EV_OK)
		return e;
	api_page_begin(t);
	e = q->ops->outlet_events(q, &t->id, t->seq, t->limit + 1, visit_event, t);
	api_page_end(t);
	return e;
}

static void list_outlet_events(struct api_call *call)
{
	struct api_query q = api_query_of(call);
	size_t limit = API_PAGE_DEFAULT;
	uint64_t before = 0;
	struct ev_uuid id;
	struct api_task *t;

	if (!api_path_uuid(call, 0, &api_outlet_id, &id))
		return;
	api_query_limit(&q, &limit);
	api_query_u64(&q, "before", &before);
	if (!api_query_ok(&q))
		return;
	t = api_task_new(call, &api_outlet_id, read_outlet_events);
	if (t == NULL)
		return;
	t->id = id;
	t->limit = limit;
	t->seq = before;
	api_task_submit(t);
}

/* --- unassigned energy --- */

static void write_item_row(struct json_writer *w, const void *row)
{
	api_write_item(w, row);
}

static bool item_is_after(const struct unassigned_item *i, int64_t at_ns, const struct identity *id)
{
	if (i->at_ns != at_ns)
		return i->at_ns > at_ns;
	return memcmp(i->id.b, id->b, sizeof(id->b)) > 0;
}

static bool visit_item(void *user, const struct unassigned_item *i)
{
	struct api_task *t = user;
	struct ev_buf b = ev_buf_over(t->cursor, sizeof(t->cursor));

	if (t->has_after && !item_is_after(i, t->ns, &t->identity))
		return true;
	if (!api_page_has_room(t))
		return false;
	ev_buf_i64(&b, i->at_ns);
	ev_buf_char(&b, '-');
	ev_hex(i->id.b, sizeof(i->id.b), t->cursor + b.len);
	return api_page_add(t, write_item_row, i);
}

/* The port has no cursor for items, of which an outlet has few: the pages before are skipped. */
static ev_err read_items(struct api_task *t, struct query *q)
{
	ev_err e = check_outlet(t, q);

	if (e != EV_OK)
		return e;
	api_page_begin(t);
	e = q->ops->unassigned(q, &t->id, !t->all, t->has_after ? SIZE_MAX : t->limit + 1,
			       visit_item, t);
	api_page_end(t);
	return e;
}

static void list_items(struct api_call *call)
{
	struct api_query q = api_query_of(call);
	size_t limit = API_PAGE_DEFAULT;
	bool all = false, has_after = false;
	struct identity after = { { 0 } };
	int64_t after_ns = 0;
	struct ev_uuid id;
	struct api_task *t;

	if (!api_path_uuid(call, 0, &api_outlet_id, &id))
		return;
	api_query_limit(&q, &limit);
	api_query_bool(&q, "all", &all);
	api_query_item(&q, "after", &has_after, &after_ns, &after);
	if (!api_query_ok(&q))
		return;
	t = api_task_new(call, &api_outlet_id, read_items);
	if (t == NULL)
		return;
	t->id = id;
	t->limit = limit;
	t->all = all;
	t->has_after = has_after;
	t->ns = after_ns;
	t->identity = after;
	api_task_submit(t);
}

static void answer_attach(struct api_change *c)
{
	struct api_problems p = { .n = 1,
				  .item = { { "sessionId", "is no session that the outlet "
							   "knows" } } };

	if (c->job.verdict == VERDICT_REFUSED && c->job.reason == REASON_UNKNOWN_SESSION)
		api_reply_problems(&c->ticket, NULL, &p);
	else
		answer_outlet(c);
}

static void attach_item(struct api_call *call)
{
	struct api_problems problems;
	struct json_error error;
	struct ev_uuid outlet_id, session_id;
	struct identity item_id;
	struct api_change *c;

	if (!api_path_uuid(call, 0, &api_outlet_id, &outlet_id) ||
	    !api_path_identity(call, 1, &api_item_id, &item_id))
		return;
	if (api_read_attach(call->req->body, &session_id, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = api_change_new(call, JOB_ATTACH, &api_item_id);
	if (c == NULL)
		return;
	c->outlet.outlet_id = outlet_id;
	c->outlet.item_id = item_id;
	c->outlet.session_id = session_id;
	c->answer = answer_attach;
	api_change_submit(c);
}

/* --- routes --- */

#define OUTLET "/api/chargers/{outletId}"
#define LETTER "/api/dead-letters/{id}"

const struct route api_outlet_routes[] = {
	API_COMMON_ROUTES,
	{ NET_GET, "/api/openapi.json", api_openapi_get, 0 },
	{ NET_POST, "/api/chargers", create_outlet, ROUTE_LEGACY },
	{ NET_GET, "/api/chargers", list_outlets, 0 },
	{ NET_GET, OUTLET, get_outlet, 0 },
	{ NET_PATCH, OUTLET, change_outlet, 0 },
	{ NET_POST, OUTLET "/out-of-service", out_of_service, 0 },
	{ NET_POST, OUTLET "/in-service", in_service, 0 },
	{ NET_POST, OUTLET "/retire", retire, 0 },
	{ NET_POST, OUTLET "/finish", finish, 0 },
	{ NET_GET, OUTLET "/events", list_outlet_events, 0 },
	{ NET_GET, OUTLET "/unassigned", list_items, 0 },
	{ NET_POST, OUTLET "/unassigned/{itemId}/attach", attach_item, 0 },
	{ NET_GET, "/api/events", api_events_stream, 0 },
	{ NET_GET, "/api/dead-letters", api_list_letters, 0 },
	{ NET_GET, LETTER, api_get_letter, 0 },
	{ NET_POST, LETTER "/replay", api_replay_letter, 0 },
	{ NET_POST, LETTER "/drop", api_drop_letter, 0 },
	{ NET_GET, "/api/books", api_books, 0 },
};
const size_t api_n_outlet_routes = EV_ARRAY_LEN(api_outlet_routes);
