/* net/gateway.c — devices on WebSockets: connections, holding back, commands. */
#include "net/gateway.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "net/gateway_internal.h"

#define CLOSE_NORMAL 1000
#define CLOSE_UNSUPPORTED 1003
#define CLOSE_AGAIN 1013 /* try again later */
#define DEVICE_KEEP_MS 60000
#define LOOK_AGAIN_MS 1000

/* --- holding back --- */

static void held_remove(struct gateway_conn *c)
{
	if (c->held_link == NULL)
		return;
	*c->held_link = c->next_held;
	if (c->next_held != NULL)
		c->next_held->held_link = c->held_link;
	else
		c->g->held_end = c->held_link;
	c->held_link = NULL;
	c->next_held = NULL;
}

static void held_add(struct gateway_conn *c)
{
	struct gateway *g = c->g;

	if (c->held_link != NULL)
		return;
	c->held_link = g->held_end;
	*g->held_end = c;
	g->held_end = &c->next_held;
}

/* The peer may be gone already: then there is nothing to hold. */
static void set_reading(struct gateway_conn *c, bool paused)
{
	ev_err e = net_ws_pause_reading(c->g->config.server, c->ws, paused);

	(void)e;
}

static void stop_reading(struct gateway_conn *c, enum gateway_hold why)
{
	if (c->holds == 0)
		set_reading(c, true);
	c->holds = (uint8_t)(c->holds | why);
}

static void hold(struct gateway_conn *c, enum gateway_hold why, struct ev_counter *counter)
{
	if ((c->holds & why) != 0)
		return;
	ev_counter_inc(counter);
	stop_reading(c, why);
	if (why == HOLD_BUSY)
		held_add(c);
}

static void let_go(struct gateway_conn *c, enum gateway_hold why)
{
	if ((c->holds & why) == 0)
		return;
	c->holds = (uint8_t)(c->holds & ~(unsigned)why);
	if (why == HOLD_BUSY)
		held_remove(c);
	if (c->holds == 0) {
		set_reading(c, false);
		c->heard_ms = net_loop_now_ms(c->g->config.loop); /* it was not silent, but held */
	}
}

static void tell_drained(struct gateway *g)
{
	net_fn *drained = g->drained;

	g->drained = NULL;
	drained(g->drained_user);
}

/*
 * How much a connection may have unanswered: no more than its part of the host's queue.  Or those
 * who are read first would fill it at each turn, and the others would get next to nothing.
 */
static uint32_t window(const struct gateway *g)
{
	size_t share = host_share(g->config.host, g->n_conns);

	return share < g->config.max_outstanding ? (uint32_t)share : g->config.max_outstanding;
}

/* At the end of each turn: whoever was held for a busy host may go on when it is not. */
static void end_of_turn(void *user)
{
	struct gateway *g = user;

	while (g->held != NULL && !host_is_busy(g->config.host))
		let_go(g->held, HOLD_BUSY);
	if (g->drained != NULL && g->unanswered == 0)
		tell_drained(g);
}

/* --- commands --- */

static bool is_above(uint64_t v1, unsigned i1, uint64_t v2, unsigned i2)
{
	return v1 > v2 || (v1 == v2 && i1 > i2);
}

/* Its queue is full: what it does not get now it gets when it connects again. */
static void close_slow(struct gateway_conn *c)
{
	ev_err e = net_ws_close(c->g->config.server, c->ws, CLOSE_AGAIN, "reads too slowly");

	(void)e; /* closing already */
	ev_counter_inc(&c->g->n.slow);
}

static void send_command(struct gateway_conn *c, const struct device_command *cmd)
{
	char text[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	ev_err e;

	if (!is_above(cmd->version, cmd->index, c->sent_version, c->sent_index))
		return;
	device_command_encode(cmd, &b);
	assert(!b.overflow);
	e = net_ws_send(c->g->config.server, c->ws, NET_WS_KIND_TEXT, ev_buf_str(&b));
	if (e == EV_FULL)
		close_slow(c);
	if (e != EV_OK)
		return; /* it gets the command when it connects again */
	c->sent_version = cmd->version;
	c->sent_index = cmd->index;
	ev_counter_inc(&c->g->n.commands);
}

/* The look that is under way may have read too early to find it. */
static void miss_command(struct gateway_conn *c, const struct device_command *cmd)
{
	if (!is_above(cmd->version, cmd->index, c->missed_version, c->missed_index))
		return;
	c->missed_version = cmd->version;
	c->missed_index = cmd->index;
}

void gateway_on_command(struct gateway *g, const struct device_command *c)
{
	struct gateway_device *d = gateway_device_find(g, &c->outlet_id);

	if (d == NULL)
		return;
	d->n_told++;
	if (d->conn != NULL && d->conn->phase == GATEWAY_LIVE)
		send_command(d->conn, c);
	else if (d->conn != NULL)
		miss_command(d->conn, c);
	if (d->poll.generation != 0)
		gateway_poll_command(d, c);
}

/* A look for the commands that wait for a connection. */
struct look {
	struct job_owner owner;
	struct gateway *g;
	struct net_handle ws;
	struct command_job job;
};

static void wait_for_backlog(struct gateway_conn *c)
{
	const struct gateway_config *config = &c->g->config;
	int64_t now_ms = net_loop_now_ms(config->loop);
	int64_t silent = config->backlog_silence_ms - (now_ms - c->heard_ms);
	int64_t longest = config->backlog_max_ms - (now_ms - c->opened_ms);
	int64_t delay = silent < longest ? silent : longest;

	c->phase = GATEWAY_BACKLOG;
	net_timer_arm(config->loop, &c->timer, delay > 0 ? delay : 1);
}

static void go_live(struct gateway_conn *c, const struct command_job *found)
{
	c->phase = GATEWAY_LIVE;
	for (size_t i = 0; i < found->n; i++)
		send_command(c, &found->commands[i]);
}

/* Something came meanwhile that was not found: one look more finds it, or its reason is gone. */
static bool take_missed(struct gateway_conn *c)
{
	bool missed = is_above(c->missed_version, c->missed_index, c->sent_version, c->sent_index);

	c->missed_version = 0;
	c->missed_index = 0;
	return missed;
}

static void look_again(struct gateway_conn *c);

static void on_look_done(struct job_owner *owner, struct job *j)
{
	struct look *l = (struct look *)owner;
	struct gateway_conn *c = net_user(l->g->config.server, l->ws);

	if (c == NULL) {
		free(l);
		return;
	}
	/* An unknown outlet has no commands.  While the store fails nobody knows: look again. */
	if (j->err != EV_OK && j->err != EV_NOTFOUND) {
		c->phase = GATEWAY_BACKLOG;
		net_timer_arm(c->g->config.loop, &c->timer, LOOK_AGAIN_MS);
		free(l);
		return;
	}
	c->has_looked = true;
	if (c->phase == GATEWAY_ASKING && l->job.n > 0) {
		wait_for_backlog(c);
	} else {
		go_live(c, &l->job);
		if (take_missed(c))
			look_again(c);
	}
	free(l);
}

struct arrival gateway_arrival(struct gateway *g, enum arrival_kind kind, const struct ev_uuid *id)
{
	return (struct arrival){ .kind = kind,
				 .outlet_id = *id,
				 .number = host_next_arrival(g->config.host) };
}

static void submit_look(struct gateway_conn *c, struct look *l, enum gateway_phase phase)
{
	struct gateway *g = c->g;

	c->phase = (uint8_t)phase;
	l->owner.done = on_look_done;
	l->g = g;
	l->ws = c->ws;
	l->job.job.kind = JOB_COMMANDS;
	l->job.job.owner = &l->owner;
	l->job.job.at_ns = ev_clock_wall_ns(g->config.clock);
	l->job.outlet_id = c->id;
	l->job.again = c->has_looked;
	host_submit(g->config.host, &l->job.job);
}

/* Once more: without memory, new commands still come, and old ones with the next connect. */
static void look_again(struct gateway_conn *c)
{
	struct look *l = calloc(1, sizeof(*l));

	if (l != NULL)
		submit_look(c, l, GATEWAY_LOADING);
	else
		c->phase = GATEWAY_LIVE;
}

/* --- connections --- */

static void on_conn_timer(void *user)
{
	struct gateway_conn *c = user;
	const struct gateway_config *config = &c->g->config;
	int64_t now_ms = net_loop_now_ms(config->loop);

	let_go(c, HOLD_RATE);
	if (c->phase != GATEWAY_BACKLOG)
		return;
	/* A device that is held back is not silent. */
	if (c->holds != 0)
		c->heard_ms = now_ms;
	if (now_ms - c->heard_ms < config->backlog_silence_ms &&
	    now_ms - c->opened_ms < config->backlog_max_ms)
		wait_for_backlog(c);
	else
		look_again(c);
}

static struct gateway_conn *new_conn(struct gateway_device *d)
{
	struct gateway_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->g = d->g;
	c->device = d;
	c->id = d->id;
	c->opened_ms = net_loop_now_ms(d->g->config.loop);
	c->heard_ms = c->opened_ms;
	net_timer_init(&c->timer, on_conn_timer, c);
	return c;
}

/*
 * A new connection of a device, here or elsewhere (NULL), replaces the old at once; the old one's
 * end cannot harm it.
 */
static void replace(struct gateway_device *d, struct gateway_conn *fresh)
{
	struct gateway_conn *old = d->conn;
	ev_err e;

	d->conn = fresh;
	if (old == NULL)
		return;
	old->device = NULL;
	ev_counter_inc(&d->g->n.replaced);
	e = net_ws_close(d->g->config.server, old->ws, CLOSE_NORMAL,
			 "replaced by a new connection");
	(void)e; /* closing already */
}

void gateway_on_arrival(struct gateway *g, const struct arrival *a)
{
	struct gateway_device *d = gateway_device_find(g, &a->outlet_id);

	if (d == NULL)
		return;
	if (a->kind == ARRIVAL_SOCKET && d->conn != NULL && d->conn->number < a->number) {
		replace(d, NULL);
		gateway_device_release(d);
	} else if (a->kind == ARRIVAL_POLL && d->poll_number < a->number) {
		d->poll_number = a->number;
		gateway_poll_command(d, NULL);
		gateway_device_release(d);
	}
}

static void open_conn(struct gateway *g, const struct ev_uuid *id, const struct net_request *req)
{
	struct gateway_device *d = gateway_device_get(g, id);
	struct gateway_conn *c = d != NULL ? new_conn(d) : NULL;
	struct look *look = calloc(1, sizeof(*look));
	struct net_ws_accept accept = { .conn_user = c };

	if (c == NULL || look == NULL) {
		free(c);
		free(look);
		if (d != NULL)
			gateway_device_release(d);
		gateway_refuse(g, req->handle, 503, "too many devices");
		return;
	}
	if (net_ws_accept(g->config.server, req->handle, &accept, &c->ws) != EV_OK) {
		free(c);
		free(look);
		gateway_device_release(d);
		return;
	}
	look->job.arrival = gateway_arrival(g, ARRIVAL_SOCKET, id);
	c->number = look->job.arrival.number;
	replace(d, c);
	ev_gauge_add(&g->n.connected, 1);
	g->n_conns++;
	ev_debug(g->config.log, "device.connected", EV_KUUID("outlet", id));
	submit_look(c, look, GATEWAY_ASKING);
}

static void on_ws_request(void *user, const struct net_request *req)
{
	struct gateway *g = user;
	struct ev_uuid id;
	struct ev_str rest;
	int status;

	if (!gateway_path(req->path, &id, &rest) || rest.n != 0) {
		gateway_refuse(g, req->handle,
			       ev_str_starts(req->path, EV_LIT("/devices/")) ? 422 : 404,
			       "devices connect at /devices/{outletId}, a UUID");
		return;
	}
	status = g->config.authorize(g->config.user, &id, req);
	if (status != 0) {
		ev_warn(g->config.log, "device.refused", EV_KUUID("outlet", &id));
		gateway_refuse_access(g, req->handle, status);
		return;
	}
	if (g->draining) {
		gateway_refuse(g, req->handle, 503, "shutting down");
		return;
	}
	open_conn(g, &id, req);
}

static void on_ws_close(void *user, struct net_handle ws, void *conn_user, unsigned code)
{
	struct gateway *g = user;
	struct gateway_conn *c = conn_user;
	struct gateway_device *d = c->device;

	(void)ws;
	ev_gauge_add(&g->n.connected, -1);
	g->n_conns--;
	ev_debug(g->config.log, "device.disconnected", EV_KUUID("outlet", &c->id),
		 EV_KU64("code", code));
	net_timer_cancel(g->config.loop, &c->timer);
	held_remove(c);
	if (d != NULL && d->conn == c) {
		d->conn = NULL;
		if (g->config.on_gone != NULL)
			g->config.on_gone(g->config.user, &c->id);
		gateway_device_release(d);
	}
	free(c);
}

/* --- messages --- */

/* Lies before the job, in the same piece of memory. */
struct ws_message {
	struct job_owner owner;
	struct gateway *g;
	struct net_handle ws;
};

/* Without a durable effect there is no answer: the device sends again. */
static void send_answer(struct gateway_conn *c, const struct device_job *j)
{
	struct net_server *server = c->g->config.server;
	char text[GATEWAY_ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct gateway_answer a = gateway_answer_of(j);
	ev_err e;

	if (j->job.err != EV_OK) {
		e = net_ws_close(server, c->ws, CLOSE_AGAIN, "try again later");
		(void)e; /* closing already */
		return;
	}
	gateway_answer_encode(&a, &b);
	assert(!b.overflow);
	if (net_ws_send(server, c->ws, NET_WS_KIND_TEXT, ev_buf_str(&b)) == EV_FULL)
		close_slow(c);
}

static void on_message_done(struct job_owner *owner, struct job *job)
{
	struct ws_message *m = (struct ws_message *)owner;
	struct gateway *g = m->g;
	struct device_job *j = (struct device_job *)job;
	struct gateway_conn *c = net_user(g->config.server, m->ws);

	gateway_count_answer(g, j);
	g->unanswered--;
	if (c != NULL) {
		c->unanswered--;
		send_answer(c, j);
		if (c->unanswered * 2 <= window(g))
			let_go(c, HOLD_OUTSTANDING);
	}
	free(m);
}

/* For every frame, acknowledgements as well: each is work for the host. */
static void check_limits(struct gateway_conn *c)
{
	struct gateway *g = c->g;
	int64_t wait_ms = gateway_rate_take(c->device->rate, &g->config.limits, c->heard_ms);

	if (host_is_busy(g->config.host))
		hold(c, HOLD_BUSY, &g->n.held_busy);
	if (wait_ms > 0) {
		hold(c, HOLD_RATE, &g->n.held_rate);
		net_timer_arm(g->config.loop, &c->timer, wait_ms);
	}
}

static void take_message(struct gateway_conn *c, struct ev_str bytes,
			 const struct device_wire *wire, const struct json_error *error)
{
	struct gateway *g = c->g;
	void *extra = NULL;
	struct device_job *j = gateway_message_job(g, &c->id, bytes, wire, error,
						   sizeof(struct ws_message), &extra);
	struct ws_message *m = extra;

	if (j == NULL) {
		ev_err e = net_ws_close(g->config.server, c->ws, CLOSE_AGAIN, "out of memory");

		(void)e;
		return;
	}
	m->owner.done = on_message_done;
	m->g = g;
	m->ws = c->ws;
	j->job.owner = &m->owner;
	ev_counter_inc(&g->n.messages_ws);
	g->unanswered++;
	c->unanswered++;
	if (c->unanswered >= window(g))
		hold(c, HOLD_OUTSTANDING, &g->n.held_outstanding);
	host_submit(g->config.host, &j->job);
}

static void take_ack(struct gateway_conn *c, const struct message_id *id)
{
	struct gateway *g = c->g;
	uint64_t version;
	unsigned index;

	if (!gateway_ack_parse(g, (struct ev_str){ id->s, id->n }, &version, &index))
		return;
	gateway_submit_ack(g, &c->id, version, index);
}

static void on_ws_message(void *user, struct net_handle ws, void *conn_user, enum net_ws_kind kind,
			  struct ev_str bytes)
{
	struct gateway *g = user;
	struct gateway_conn *c = conn_user;
	struct gateway_frame frame;
	struct json_error error;

	c->heard_ms = net_loop_now_ms(g->config.loop);
	if (kind != NET_WS_KIND_TEXT) {
		ev_err e = net_ws_close(g->config.server, ws, CLOSE_UNSUPPORTED,
					"text frames only");

		(void)e;
		ev_counter_inc(&g->n.binary);
		return;
	}
	check_limits(c);
	if (gateway_frame_decode(bytes, &frame, &error) != EV_OK)
		take_message(c, bytes, NULL, &error);
	else if (frame.kind == GATEWAY_FRAME_ACK)
		take_ack(c, &frame.ack);
	else
		take_message(c, bytes, &frame.wire, NULL);
}

static const struct net_handlers handlers = {
	.on_request = gateway_on_request,
	.on_ws_request = on_ws_request,
	.on_ws_message = on_ws_message,
	.on_ws_close = on_ws_close,
	.on_gone = gateway_on_gone,
};

const struct net_handlers *gateway_handlers(void)
{
	return &handlers;
}

/* --- devices --- */

struct gateway_device *gateway_device_find(struct gateway *g, const struct ev_uuid *id)
{
	uintptr_t value;

	return ev_map_get(&g->devices, id->b, &value) ? (struct gateway_device *)value : NULL;
}

static void on_device_timer(void *user)
{
	struct gateway_device *d = user;

	if (d->poll.generation != 0)
		gateway_poll_command(d, NULL);
	gateway_device_release(d);
}

static bool find_rate(struct gateway_device *d)
{
	const struct gateway_config *c = &d->g->config;
	struct gateway_bucket fresh = gateway_bucket_full(&c->limits, net_loop_now_ms(c->loop));

	d->own.bucket = fresh;
	d->rate = c->rates != NULL ? gateway_rates_get(c->rates, &d->id, &fresh) : &d->own;
	return d->rate != NULL;
}

static void free_device(struct gateway_device *d)
{
	if (d->rate != NULL && d->rate != &d->own)
		gateway_rates_put(d->g->config.rates, d->rate);
	free(d);
}

struct gateway_device *gateway_device_get(struct gateway *g, const struct ev_uuid *id)
{
	struct gateway_device *d = gateway_device_find(g, id);

	if (d != NULL)
		return d;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->g = g;
	d->id = *id;
	net_timer_init(&d->poll_timer, on_device_timer, d);
	if (!find_rate(d) || ev_map_put(&g->devices, id->b, (uintptr_t)d) != EV_OK) {
		ev_counter_inc(&g->n.devices_full);
		free_device(d);
		return NULL;
	}
	return d;
}

static void drop_device(struct gateway_device *d)
{
	net_timer_cancel(d->g->config.loop, &d->poll_timer);
	ev_map_remove(&d->g->devices, d->id.b, NULL);
	free_device(d);
}

/* Without a connection the entry stays a while if its bucket is not full: it limits the next. */
void gateway_device_release(struct gateway_device *d)
{
	int64_t now_ms = net_loop_now_ms(d->g->config.loop);

	if (d->conn != NULL || d->poll.generation != 0 || d->asking > 0)
		return;
	if (gateway_rate_matters(d->rate, &d->g->config.limits, DEVICE_KEEP_MS, now_ms))
		net_timer_arm(d->g->config.loop, &d->poll_timer, DEVICE_KEEP_MS);
	else
		drop_device(d);
}

/* --- life --- */

#define COUNTER(field, name, help, labels)                                                         \
	ev_metrics_counter(m, &n->field, "evcharge_gateway_" name "_total", help, labels)
#define CONNECTIONS_HELD "connections held back by not reading them, by reason"
#define FRAMES_BAD "frames that were not taken as messages, by reason"

static void register_counters(struct gateway_counters *n, struct ev_metrics *m)
{
	static const char *const labels[VERDICT_COUNT] = {
		"verdict=\"applied\"", "verdict=\"duplicate\"", "verdict=\"later\"",
		"verdict=\"refused\"", "verdict=\"rejected\"",  "verdict=\"queued\"",
	};

	ev_metrics_gauge(m, &n->connected, "evcharge_gateway_devices_connected",
			 "devices connected by WebSocket", NULL);
	ev_metrics_gauge(m, &n->polling, "evcharge_gateway_devices_polling",
			 "devices waiting in a long poll", NULL);
	COUNTER(messages_ws, "messages", "messages of devices", "by=\"websocket\"");
	COUNTER(messages_http, "messages", "messages of devices", "by=\"http\"");
	for (unsigned i = 0; i < VERDICT_COUNT; i++)
		COUNTER(verdicts[i], "answers", "answers to messages, by verdict", labels[i]);
	COUNTER(unanswered, "unanswered", "messages without an answer, as the store failed", NULL);
	COUNTER(commands, "commands_sent", "commands sent to devices", NULL);
	COUNTER(acks, "commands_acknowledged", "commands that devices acknowledged", NULL);
	COUNTER(bad_acks, "bad_acknowledgements", "acknowledgements of unknown commands", NULL);
	COUNTER(replaced, "replaced", "connections replaced by a newer one of the device", NULL);
	COUNTER(refused, "refused", "connections and posts with wrong credentials", NULL);
	COUNTER(held_outstanding, "held", CONNECTIONS_HELD, "reason=\"outstanding\"");
	COUNTER(held_rate, "held", CONNECTIONS_HELD, "reason=\"rate\"");
	COUNTER(held_busy, "held", CONNECTIONS_HELD, "reason=\"busy\"");
	COUNTER(posts_rate, "posts_refused", "posts of messages refused", "reason=\"rate\"");
	COUNTER(posts_busy, "posts_refused", "posts of messages refused", "reason=\"busy\"");
	COUNTER(undecodable, "bad_frames", FRAMES_BAD, "reason=\"undecodable\"");
	COUNTER(wrong_outlet, "bad_frames", FRAMES_BAD, "reason=\"wrong_outlet\"");
	COUNTER(binary, "bad_frames", FRAMES_BAD, "reason=\"binary\"");
	COUNTER(slow, "slow_readers", "devices closed as they do not read their answers", NULL);
	COUNTER(devices_full, "devices_refused", "devices refused as there are too many", NULL);
}

ev_err gateway_new(const struct gateway_config *c, struct gateway **out)
{
	struct gateway *g = calloc(1, sizeof(*g));
	uint64_t seed[2];

	if (g == NULL)
		return EV_NOMEM;
	g->config = *c;
	g->held_end = &g->held;
	ev_rng_fill(c->rng, seed, sizeof(seed));
	ev_map_init(&g->devices, c->max_devices, seed);
	register_counters(&g->n, c->metrics);
	g->hook = (struct net_hook){ .fn = end_of_turn, .user = g };
	net_loop_add_hook(c->loop, &g->hook);
	*out = g;
	return EV_OK;
}

void gateway_free(struct gateway *g)
{
	const uint8_t *key;
	uintptr_t value;
	size_t at = 0;

	if (g == NULL)
		return;
	net_loop_remove_hook(g->config.loop, &g->hook);
	while (ev_map_next(&g->devices, &at, &key, &value)) {
		struct gateway_device *d = (struct gateway_device *)value;

		assert(d->conn == NULL);
		net_timer_cancel(g->config.loop, &d->poll_timer);
		free_device(d);
	}
	ev_map_deinit(&g->devices);
	free(g);
}

/* Of its device nothing more is taken in, and it waits for no command. */
static void drain_device(struct gateway_device *d)
{
	if (d->conn != NULL)
		stop_reading(d->conn, HOLD_DRAIN);
	gateway_poll_command(d, NULL);
}

void gateway_drain(struct gateway *g, net_fn *done, void *user)
{
	const uint8_t *key;
	uintptr_t value;
	size_t at = 0;

	assert(!g->draining);
	g->draining = true;
	g->drained = done;
	g->drained_user = user;
	while (ev_map_next(&g->devices, &at, &key, &value))
		drain_device((struct gateway_device *)value);
	net_loop_rerun_hooks(g->config.loop);
}

void gateway_set_limits(struct gateway *g, uint32_t max_outstanding,
			const struct gateway_limits *limits)
{
	g->config.max_outstanding = max_outstanding;
	g->config.limits = *limits;
}

uint64_t gateway_connected(const struct gateway *g)
{
	return (uint64_t)ev_gauge_get(&g->n.connected);
}
