/* net/gateway_http.c — devices without sockets: posts of messages, polls for commands, acks. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "codec/json_write.h"
#include "net/access.h"
#include "net/gateway_internal.h"

#define WAIT_MAX_S 60
#define JSON_TYPE "application/json"

static void reply_with(struct gateway *g, struct net_handle h, int status, const char *type,
		       const struct net_header *extra, struct ev_str body)
{
	struct net_header headers[2] = { { EV_LIT("content-type"), ev_str_from(type) } };
	struct net_response r = {
		.status = status, .headers = headers, .n_headers = 1, .body = body
	};
	ev_err e;

	if (extra != NULL)
		headers[r.n_headers++] = *extra;
	if (status == 204)
		r.n_headers = 0;
	e = net_reply(g->config.server, h, &r);
	(void)e; /* the peer has left: nobody waits for it */
}

static void reply(struct gateway *g, struct net_handle h, struct ev_str body)
{
	reply_with(g, h, 200, JSON_TYPE, NULL, body);
}

static void refuse_with(struct gateway *g, struct net_handle request, int status,
			const char *detail, const struct net_header *extra)
{
	char text[512];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	json_write_object(&w);
	json_write_key(&w, "type");
	json_write_z(&w, "about:blank");
	json_write_key(&w, "title");
	json_write_z(&w, net_status_text(status));
	json_write_key(&w, "status");
	json_write_i64(&w, status);
	json_write_key(&w, "detail");
	json_write_z(&w, detail);
	json_write_object_end(&w);
	reply_with(g, request, status, "application/problem+json", extra, ev_buf_str(&b));
}

void gateway_refuse(struct gateway *g, struct net_handle request, int status, const char *detail)
{
	struct net_header retry = { EV_LIT("retry-after"), EV_LIT("1") };

	refuse_with(g, request, status, detail, status == 503 || status == 429 ? &retry : NULL);
}

void gateway_refuse_access(struct gateway *g, struct net_handle request, int status)
{
	struct net_header challenge = { EV_LIT("www-authenticate"),
					EV_LIT(ACCESS_CHALLENGE_DEVICE) };

	ev_counter_inc(&g->n.refused);
	if (status == 401)
		refuse_with(g, request, status, "credentials of this outlet are needed",
			    &challenge);
	else
		refuse_with(g, request, status, access_text(ACCESS_FOREIGN), NULL);
}

bool gateway_path(struct ev_str path, struct ev_uuid *out_id, struct ev_str *out_rest)
{
	static const struct ev_str prefix = { "/devices/", 9 };
	struct ev_str id;

	if (!ev_str_starts(path, prefix) || path.n < prefix.n + EV_UUID_TEXT)
		return false;
	id = (struct ev_str){ path.p + prefix.n, EV_UUID_TEXT };
	out_rest->p = id.p + id.n;
	out_rest->n = path.n - prefix.n - id.n;
	if (out_rest->n > 0 && out_rest->p[0] != '/')
		return false;
	return ev_uuid_parse(id, out_id) == EV_OK;
}

/* --- POST …/messages --- */

/* One post: its answers gather until the last is there. */
struct post {
	struct gateway *g;
	struct gateway_device *device;
	struct net_handle request;
	bool is_array;
	bool failed; /* one of its messages has no answer */
	size_t n, n_done;
	struct gateway_answer answers[DEVICE_BATCH_MAX];
};

struct post_message {
	struct job_owner owner;
	struct post *post;
	size_t place;
};

static void answer_post(struct post *p)
{
	size_t cap = p->n * (GATEWAY_ANSWER_MAX + 1) + 2;
	char *text = malloc(cap);
	struct ev_buf b = ev_buf_over(text, cap);

	if (text == NULL || p->failed) {
		gateway_refuse(p->g, p->request, 503, "not stored, send again");
		free(text);
		return;
	}
	if (p->is_array)
		ev_buf_char(&b, '[');
	for (size_t i = 0; i < p->n; i++) {
		if (i > 0)
			ev_buf_char(&b, ',');
		gateway_answer_encode(&p->answers[i], &b);
	}
	if (p->is_array)
		ev_buf_char(&b, ']');
	assert(!b.overflow);
	reply(p->g, p->request, ev_buf_str(&b));
	free(text);
}

static void post_settled(struct post *p)
{
	if (p->n_done < p->n)
		return;
	answer_post(p);
	p->device->asking--;
	gateway_device_release(p->device);
	free(p);
}

static void on_posted_done(struct job_owner *owner, struct job *job)
{
	struct post_message *m = (struct post_message *)owner;
	struct post *p = m->post;
	const struct device_job *j = (const struct device_job *)job;

	gateway_count_answer(p->g, j);
	p->failed = p->failed || job->err != EV_OK;
	p->answers[m->place] = gateway_answer_of(j);
	p->n_done++;
	free(m);
	post_settled(p);
}

static bool submit_posted(struct post *p, size_t place, struct ev_str bytes)
{
	struct gateway *g = p->g;
	struct device_wire wire;
	struct json_error error;
	bool ok = device_json_decode(bytes, &wire, &error) == EV_OK;
	void *extra = NULL;
	struct device_job *j = gateway_message_job(g, &p->device->id, bytes, ok ? &wire : NULL,
						   &error, sizeof(struct post_message), &extra);
	struct post_message *m = extra;

	if (j == NULL)
		return false;
	m->owner.done = on_posted_done;
	m->post = p;
	m->place = place;
	j->job.owner = &m->owner;
	ev_counter_inc(&g->n.messages_http);
	host_submit(g->config.host, &j->job);
	return true;
}

static void submit_post(struct post *p, const struct ev_str *parts)
{
	size_t n_failed = 0;

	p->device->asking++;
	for (size_t i = 0; i < p->n; i++)
		n_failed += !submit_posted(p, i, parts[i]);
	p->failed = n_failed > 0;
	p->n_done = n_failed;
	post_settled(p); /* jobs are given back at the earliest in the next turn */
}

static void post_messages(struct gateway *g, const struct net_request *req,
			  struct gateway_device *d)
{
	struct ev_str parts[DEVICE_BATCH_MAX];
	struct json_error error;
	struct post *p;
	size_t n = 0;
	ev_err e = device_batch_split(req->body, parts, DEVICE_BATCH_MAX, &n, &error);

	if (e != EV_OK) {
		gateway_refuse(g, req->handle, e == EV_FULL ? 422 : 400,
			       e == EV_FULL ? "more than 100 messages" : error.text);
		return;
	}
	if (!gateway_rate_take_batch(d->rate, &g->config.limits, n,
				     net_loop_now_ms(g->config.loop))) {
		ev_counter_inc(&g->n.posts_rate);
		gateway_refuse(g, req->handle, 429, "too many messages");
		return;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL) {
		gateway_refuse(g, req->handle, 503, "out of memory");
		return;
	}
	p->g = g;
	p->device = d;
	p->request = req->handle;
	p->n = n;
	p->is_array = n != 1 || parts[0].p != req->body.p;
	submit_post(p, parts);
}

/* --- GET …/commands --- */

struct poll_look {
	struct job_owner owner;
	struct gateway_device *device;
	struct net_handle request;
	int64_t wait_ms; /* 0: its arrival ends no other poll */
	uint64_t n_told; /* the device's when the look began */
	struct command_job job;
};

static void reply_commands(struct gateway *g, struct net_handle request,
			   const struct device_command *c, size_t n)
{
	size_t cap = n * (DEVICE_JSON_MAX + 1) + 2;
	char *text = malloc(cap);
	struct ev_buf b = ev_buf_over(text, cap);

	if (text == NULL) {
		gateway_refuse(g, request, 503, "out of memory");
		return;
	}
	ev_buf_char(&b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			ev_buf_char(&b, ',');
		device_command_encode(&c[i], &b);
	}
	ev_buf_char(&b, ']');
	assert(!b.overflow);
	ev_counter_add(&g->n.commands, n);
	reply(g, request, ev_buf_str(&b));
	free(text);
}

static void end_poll(struct gateway_device *d, const struct device_command *c)
{
	struct net_handle request = d->poll;

	if (request.generation == 0)
		return;
	d->poll = (struct net_handle){ .slot = 0 };
	net_timer_cancel(d->g->config.loop, &d->poll_timer);
	ev_gauge_add(&d->g->n.polling, -1);
	reply_commands(d->g, request, c, c != NULL ? 1 : 0);
}

void gateway_poll_command(struct gateway_device *d, const struct device_command *c)
{
	end_poll(d, c);
	if (c != NULL)
		gateway_device_release(d);
}

static void begin_poll(struct gateway_device *d, struct net_handle request, uint64_t number,
		       int64_t wait_ms)
{
	if (number < d->poll_number) {
		reply_commands(d->g, request, NULL,
			       0); /* there is a newer one, here or elsewhere */
		return;
	}
	end_poll(d, NULL); /* a newer poll of the device ends the older */
	d->poll_number = number;
	if (net_set_user(d->g->config.server, request, d) != EV_OK)
		return; /* the peer has left meanwhile */
	d->poll = request;
	ev_gauge_add(&d->g->n.polling, 1);
	net_timer_arm(d->g->config.loop, &d->poll_timer, wait_ms);
}

void gateway_on_gone(void *user, struct net_handle request, void *conn_user)
{
	struct gateway *g = user;
	struct gateway_device *d = conn_user;

	(void)g;
	if (d == NULL || !net_handle_eq(d->poll, request))
		return;
	d->poll = (struct net_handle){ .slot = 0 };
	net_timer_cancel(d->g->config.loop, &d->poll_timer);
	ev_gauge_add(&d->g->n.polling, -1);
	gateway_device_release(d);
}

/* What came while the look was under way may have come too late for it. */
static bool look_again(struct poll_look *l)
{
	struct gateway_device *d = l->device;

	if (l->n_told == d->n_told)
		return false;
	l->n_told = d->n_told;
	l->job.again = true;
	host_submit(d->g->config.host, &l->job.job);
	return true;
}

static void on_poll_look_done(struct job_owner *owner, struct job *j)
{
	struct poll_look *l = (struct poll_look *)owner;
	struct gateway_device *d = l->device;

	if (j->err == EV_NOTFOUND)
		gateway_refuse(d->g, l->request, 404, "no such outlet");
	else if (j->err != EV_OK)
		gateway_refuse(d->g, l->request, 503, "try again later");
	else if (l->job.n > 0 || l->wait_ms == 0 || d->g->draining)
		reply_commands(d->g, l->request, l->job.commands, l->job.n);
	else if (look_again(l))
		return;
	else
		begin_poll(d, l->request, l->job.arrival.number, l->wait_ms);
	d->asking--;
	gateway_device_release(d);
	free(l);
}

/* The value of `wait` in the query, 0 without one.  False: not a number from 0 to 60. */
static bool read_wait(struct ev_str query, int64_t *out_ms)
{
	uint64_t s = 0;

	*out_ms = 0;
	if (query.n == 0)
		return true;
	if (!ev_str_starts(query, EV_LIT("wait=")) ||
	    num_parse_u64((struct ev_str){ query.p + 5, query.n - 5 }, &s) != EV_OK ||
	    s > WAIT_MAX_S)
		return false;
	*out_ms = (int64_t)s * 1000;
	return true;
}

static void get_commands(struct gateway *g, const struct net_request *req, struct gateway_device *d)
{
	struct poll_look *l;
	int64_t wait_ms;

	if (!read_wait(req->query, &wait_ms)) {
		gateway_refuse(g, req->handle, 422, "wait is a number of seconds from 0 to 60");
		return;
	}
	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		gateway_refuse(g, req->handle, 503, "out of memory");
		return;
	}
	l->owner.done = on_poll_look_done;
	l->device = d;
	l->request = req->handle;
	l->wait_ms = wait_ms;
	l->n_told = d->n_told;
	l->job.job.kind = JOB_COMMANDS;
	l->job.job.owner = &l->owner;
	l->job.job.at_ns = ev_clock_wall_ns(g->config.clock);
	l->job.outlet_id = d->id;
	if (wait_ms > 0)
		l->job.arrival = gateway_arrival(g, ARRIVAL_POLL, &d->id);
	d->asking++;
	host_submit(g->config.host, &l->job.job);
}

/* --- POST …/commands/{messageId}/ack --- */

struct posted_ack {
	struct job_owner owner;
	struct gateway *g;
	struct net_handle request;
	struct command_job job;
};

static void on_posted_ack_done(struct job_owner *owner, struct job *j)
{
	struct posted_ack *a = (struct posted_ack *)owner;

	gateway_count_ack(a->g, j->err);
	if (j->err == EV_OK)
		reply_with(a->g, a->request, 204, JSON_TYPE, NULL, (struct ev_str){ NULL, 0 });
	else if (j->err == EV_NOTFOUND)
		gateway_refuse(a->g, a->request, 404, "no such outlet");
	else if (j->err == EV_INVALID)
		gateway_refuse(a->g, a->request, 422, "the outlet was given no such command");
	else
		gateway_refuse(a->g, a->request, 503, "try again later");
	free(a);
}

static void post_ack(struct gateway *g, const struct net_request *req, const struct ev_uuid *id,
		     struct ev_str command_id)
{
	struct posted_ack *a;
	uint64_t version;
	unsigned index;

	if (!gateway_ack_parse(g, command_id, &version, &index)) {
		gateway_refuse(g, req->handle, 422, "no messageId of a command");
		return;
	}
	a = calloc(1, sizeof(*a));
	if (a == NULL) {
		gateway_refuse(g, req->handle, 503, "out of memory");
		return;
	}
	a->owner.done = on_posted_ack_done;
	a->g = g;
	a->request = req->handle;
	a->job.job.kind = JOB_COMMAND_ACK;
	a->job.job.owner = &a->owner;
	a->job.job.at_ns = ev_clock_wall_ns(g->config.clock);
	a->job.outlet_id = *id;
	a->job.version = version;
	a->job.index = index;
	host_submit(g->config.host, &a->job.job);
}

/* --- which of them --- */

enum route { ROUTE_NONE, ROUTE_MESSAGES, ROUTE_COMMANDS, ROUTE_ACK, ROUTE_SOCKET };

static enum route find_route(struct ev_str rest, struct ev_str *out_command)
{
	static const struct ev_str commands = { "/commands", 9 };
	static const struct ev_str ack = { "/ack", 4 };
	struct ev_str tail;

	if (rest.n == 0)
		return ROUTE_SOCKET;
	if (ev_str_eqz(rest, "/messages"))
		return ROUTE_MESSAGES;
	if (!ev_str_starts(rest, commands))
		return ROUTE_NONE;
	tail = (struct ev_str){ rest.p + commands.n, rest.n - commands.n };
	if (tail.n == 0)
		return ROUTE_COMMANDS;
	if (tail.n < 1 + ack.n || tail.p[0] != '/')
		return ROUTE_NONE;
	if (!ev_str_eq((struct ev_str){ tail.p + tail.n - ack.n, ack.n }, ack))
		return ROUTE_NONE;
	*out_command = (struct ev_str){ tail.p + 1, tail.n - 1 - ack.n };
	return ROUTE_ACK;
}

static void refuse_method(struct gateway *g, struct net_handle request, const char *allow)
{
	struct net_header header = { EV_LIT("allow"), ev_str_from(allow) };

	refuse_with(g, request, 405, "the route knows another method", &header);
}

static void run_route(struct gateway *g, const struct net_request *req, enum route route,
		      const struct ev_uuid *id, struct ev_str command_id)
{
	enum net_method wanted = route == ROUTE_COMMANDS ? NET_GET : NET_POST;
	struct gateway_device *d;

	if (req->method != wanted) {
		refuse_method(g, req->handle, net_method_text(wanted));
		return;
	}
	if (host_is_busy(g->config.host)) {
		ev_counter_inc(&g->n.posts_busy);
		gateway_refuse(g, req->handle, 503, "overloaded");
		return;
	}
	if (route == ROUTE_ACK) {
		post_ack(g, req, id, command_id);
		return;
	}
	d = gateway_device_get(g, id);
	if (d == NULL) {
		gateway_refuse(g, req->handle, 503, "too many devices");
		return;
	}
	d->asking++; /* it stays while we look at it */
	if (route == ROUTE_MESSAGES)
		post_messages(g, req, d);
	else
		get_commands(g, req, d);
	d->asking--;
	gateway_device_release(d);
}

void gateway_on_request(void *user, const struct net_request *req)
{
	struct gateway *g = user;
	struct ev_uuid id;
	struct ev_str rest, command_id = { NULL, 0 };
	enum route route;
	int status;

	if (!ev_str_starts(req->path, EV_LIT("/devices/"))) {
		g->config.on_other(g->config.user, req);
		return;
	}
	if (!gateway_path(req->path, &id, &rest)) {
		gateway_refuse(g, req->handle, 422, "the outletId is no UUID");
		return;
	}
	route = find_route(rest, &command_id);
	if (route == ROUTE_NONE) {
		gateway_refuse(g, req->handle, 404, "no such route");
		return;
	}
	if (route == ROUTE_SOCKET) {
		gateway_refuse(g, req->handle, 426, "connect by WebSocket");
		return;
	}
	status = g->config.authorize(g->config.user, &id, req);
	if (status != 0) {
		gateway_refuse_access(g, req->handle, status);
		return;
	}
	run_route(g, req, route, &id, command_id);
}
