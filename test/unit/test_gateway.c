/* test_gateway.c — devices on real sockets, a real host and the memory engine behind them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"
#include "engine/memory/memory.h"
#include "net/gateway.h"
#include "net_fixture.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)
#define TURNS_MAX 2500 /* of 2 ms at most */
#define FRAME_MAX 2048
#define TAG "Tag-Anna"

/* Where the writer stops until the test lets it go on. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool closed;
};

struct kit {
	struct fixture net;
	struct ev_clock_manual clock;
	struct ev_rng_seeded pump_rng, rng;
	struct memory_engine *memory;
	struct query *query;
	struct pump pump;
	struct host *host;
	struct net_wake *wake;
	struct net_hook flush;
	struct gateway *gateway;
	struct gateway_config config; /* change before start */
	size_t queue_max;
	struct ev_uuid outlet_id, customer_id;
	char outlet[EV_UUID_TEXT + 1];
	char path[80]; /* of the outlet's WebSocket */
	struct gate gate;
	unsigned n_gone;
	atomic_int failures; /* so many of the next groups fail */
	bool drained;
	struct client a, b;
};

/* --- the host --- */

static int64_t now_of(void *user)
{
	struct kit *k = user;

	return ev_clock_wall_ns(&k->clock.base);
}

static ev_err at_point(void *user, enum memory_point point)
{
	struct kit *k = user;

	if (point == MEMORY_AT_BEGIN) {
		pthread_mutex_lock(&k->gate.lock);
		while (k->gate.closed)
			pthread_cond_wait(&k->gate.opened, &k->gate.lock);
		pthread_mutex_unlock(&k->gate.lock);
	}
	if (point == MEMORY_BEFORE_END && atomic_load(&k->failures) > 0) {
		atomic_fetch_sub(&k->failures, 1);
		return EV_FULL;
	}
	return EV_OK;
}

static void set_gate(struct kit *k, bool closed)
{
	pthread_mutex_lock(&k->gate.lock);
	k->gate.closed = closed;
	pthread_cond_broadcast(&k->gate.opened);
	pthread_mutex_unlock(&k->gate.lock);
}

static void engine_command(void *user, const struct device_command *c)
{
	struct kit *k = user;

	host_put_command(k->host, c);
}

static void on_command(void *user, const struct device_command *c)
{
	struct kit *k = user;

	gateway_on_command(k->gateway, c);
}

static void on_event(void *user, const struct stored_event *e)
{
	(void)user; /* nobody listens to events here */
	(void)e;
}

static void wake_loop(void *user)
{
	struct kit *k = user;

	net_wake_signal(k->wake);
}

static void on_wake(void *user)
{
	struct kit *k = user;

	host_reap(k->host);
}

static void flush(void *user)
{
	struct kit *k = user;

	host_flush(k->host);
}

static uint64_t looks(struct kit *k)
{
	struct pump_snapshot s;

	host_pump_stats(k->host, &s);
	return s.pump.by_kind[JOB_COMMANDS];
}

/* Until so many looks for waiting commands were made and are given back. */
static void wait_looks(struct kit *k, uint64_t n)
{
	for (int i = 0; i < TURNS_MAX && (looks(k) < n || host_stats(k->host).waiting > 0); i++)
		fixture_turn(&k->net);
	assert_int_equal(looks(k), n);
}

static void wait_waiting(struct kit *k, uint64_t n)
{
	for (int i = 0; i < TURNS_MAX && host_stats(k->host).waiting != n; i++)
		fixture_turn(&k->net);
	assert_int_equal(host_stats(k->host).waiting, n);
}

/* --- set-up --- */

static int allow(void *user, const struct ev_uuid *outlet_id, const struct net_request *req)
{
	(void)user; /* credentials are test_access' */
	(void)outlet_id;
	(void)req;
	return 0;
}

static void on_other(void *user, const struct net_request *req)
{
	(void)user;
	fail_msg("%.*s is not the gateway's", (int)req->path.n, req->path.p);
}

static void run_now(struct kit *k, struct job *j)
{
	j->at_ns = now_of(k);
	pump_run(&k->pump, &j, 1);
	assert_int_equal(j->err, EV_OK);
}

static void register_both(struct kit *k)
{
	struct outlet_job o = { .job = { .kind = JOB_OUTLET_CREATE }, .max_power_mw = 22000000 };
	struct customer_job c = { .job = { .kind = JOB_CUSTOMER_CREATE } };

	k->outlet_id = ev_rng_uuid(&k->rng.base);
	k->customer_id = ev_rng_uuid(&k->rng.base);
	o.outlet_id = k->outlet_id;
	c.customer_id = k->customer_id;
	assert_int_equal(rfid_tag_set(&c.tag, EV_LIT(TAG)), EV_OK);
	run_now(k, &o.job);
	run_now(k, &c.job);
	ev_uuid_text(&k->outlet_id, k->outlet);
	k->outlet[EV_UUID_TEXT] = '\0';
	snprintf(k->path, sizeof(k->path), "/devices/%s", k->outlet);
}

static void open_engine(struct kit *k)
{
	struct outlet_rules rules = outlet_rules_default();
	struct memory_options o = { .now_ns = now_of,
				    .clock_user = k,
				    .rules = rules,
				    .fault = at_point,
				    .fault_user = k };

	ev_clock_manual_init(&k->clock, START_NS);
	ev_rng_seeded_init(&k->pump_rng, 1);
	ev_rng_seeded_init(&k->rng, 2);
	assert_int_equal(memory_open(&k->memory, &o), EV_OK);
	assert_int_equal(memory_query_open(k->memory, &k->query), EV_OK);
	pump_init(&k->pump, memory_store(k->memory), &k->clock.base, &k->pump_rng.base, &rules);
}

static int set_up(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	k->a.fd = -1;
	k->b.fd = -1;
	k->queue_max = 1000;
	assert_int_equal(pthread_mutex_init(&k->gate.lock, NULL), 0);
	assert_int_equal(pthread_cond_init(&k->gate.opened, NULL), 0);
	open_engine(k);
	register_both(k);
	fixture_init(&k->net);
	k->config = (struct gateway_config){
		.max_devices = 100,
		.max_outstanding = 64,
		.limits = { .rate = 10000, .burst = 10000 },
		.backlog_silence_ms = 100,
		.backlog_max_ms = 2000,
		.authorize = allow,
		.on_other = on_other,
	};
	*state = k;
	return 0;
}

/* With the limits that the test has set. */
static void start(struct kit *k)
{
	struct memory_listener l = { .on_command = engine_command, .user = k };
	struct host_config h = {
		.pump = &k->pump,
		.query = k->query,
		.group_max = 64,
		.queue_max = k->queue_max,
		.loop = { .wake = wake_loop,
			  .on_command = on_command,
			  .on_event = on_event,
			  .user = k },
	};

	memory_set_listener(k->memory, &l);
	assert_int_equal(net_wake_new(k->net.loop, on_wake, k, &k->wake), EV_OK);
	assert_int_equal(host_new(&h, &k->host), EV_OK);
	k->config.server = k->net.server;
	k->config.loop = k->net.loop;
	k->config.host = k->host;
	k->config.clock = &k->clock.base;
	k->config.rng = &k->rng.base;
	k->config.metrics = &k->net.metrics;
	assert_int_equal(gateway_new(&k->config, &k->gateway), EV_OK);
	k->flush = (struct net_hook){ .fn = flush, .user = k };
	net_loop_add_hook(k->net.loop, &k->flush);
	k->net.config.handlers = gateway_handlers();
	k->net.config.user = k->gateway;
	fixture_listen(&k->net);
}

static int tear_down(void **state)
{
	struct kit *k = *state;

	client_close(&k->a);
	client_close(&k->b);
	set_gate(k, false);
	wait_waiting(k, 0);
	net_server_free(k->net.server);
	host_free(k->host);
	gateway_free(k->gateway);
	net_wake_free(k->wake);
	net_loop_free(k->net.loop);
	pump_deinit(&k->pump);
	k->query->ops->free(k->query);
	memory_free(k->memory);
	pthread_cond_destroy(&k->gate.opened);
	pthread_mutex_destroy(&k->gate.lock);
	free(k);
	return 0;
}

/* --- devices --- */

static int message(struct kit *k, char *out, const char *id, const char *change, const char *tag)
{
	return snprintf(out, FRAME_MAX,
			"{\"outletId\":\"%s\",\"rfidTag\":\"%s\","
			"\"periodStart\":\"2026-01-01T10:00:00Z\",\"periodEnd\":"
			"\"2026-01-01T10:05:00Z\",\"outletStateChange\":\"%s\","
			"\"powerConsumption\":0,\"messageId\":\"%s\"}",
			k->outlet, tag, change, id);
}

static void send_message(struct kit *k, struct client *c, const char *id, const char *change,
			 const char *tag)
{
	char text[FRAME_MAX];
	int n = message(k, text, id, change, tag);

	ws_send(c, 0x81, text, (size_t)n);
}

static void expect_text(struct client *c, const char *part)
{
	char text[FRAME_MAX];

	assert_int_equal(ws_read(c, text, sizeof(text)), 0x81);
	if (strstr(text, part) == NULL)
		fail_msg("wanted %s in %s", part, text);
}

static void expect_answer(struct client *c, const char *id, const char *verdict)
{
	char part[160];

	snprintf(part, sizeof(part), "{\"ack\":\"%s\",\"verdict\":\"%s\"", id, verdict);
	expect_text(c, part);
}

/* A command; its messageId goes to out_id. */
static void expect_command(struct client *c, const char *change, char out_id[COMMAND_ID_TEXT + 1])
{
	char text[FRAME_MAX], part[80];
	const char *at;

	assert_int_equal(ws_read(c, text, sizeof(text)), 0x81);
	snprintf(part, sizeof(part), "\"outletStateChange\":\"%s\"", change);
	if (strstr(text, part) == NULL)
		fail_msg("wanted %s in %s", part, text);
	at = strstr(text, "\"messageId\":\"");
	assert_non_null(at);
	memcpy(out_id, at + 13, COMMAND_ID_TEXT);
	out_id[COMMAND_ID_TEXT] = '\0';
}

static void expect_close(struct client *c, unsigned code)
{
	char text[FRAME_MAX];

	assert_int_equal(ws_read(c, text, sizeof(text)), 0x88);
	assert_int_equal((unsigned)(uint8_t)text[0] << 8 | (uint8_t)text[1], code);
}

static void acknowledge(struct client *c, const char *command_id)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "{\"ack\":\"%s\"}", command_id);

	ws_send(c, 0x81, text, (size_t)n);
}

static void connect_device(struct kit *k, struct client *c)
{
	client_open(&k->net, c);
	ws_open(c, k->path);
}

static void disconnect(struct kit *k, struct client *c)
{
	size_t before = net_server_connections(k->net.server);

	client_close(c);
	fixture_wait_connections(&k->net, before - 1);
}

/* Connects a device, plugs in and presents the tag; out_id: the command it did not acknowledge. */
static void charge(struct kit *k, struct client *c, char out_id[COMMAND_ID_TEXT + 1])
{
	uint64_t before = looks(k);

	connect_device(k, c);
	wait_looks(k, before + 1);
	send_message(k, c, "plug", "CablePlugged", "");
	expect_answer(c, "plug", "applied");
	send_message(k, c, "tag", "DeviceRequestsCharging", TAG);
	expect_answer(c, "tag", "applied");
	expect_command(c, "Charging", out_id);
}

static uint64_t metric(struct kit *k, const char *name_and_labels)
{
	static char text[65536];
	struct ev_buf b = ev_buf_over(text, sizeof(text) - 1);
	char line[128];
	unsigned long long v = 0;
	const char *at;

	ev_metrics_write(&k->net.metrics, &b);
	assert_false(b.overflow);
	text[b.len] = '\0';
	snprintf(line, sizeof(line), "\nevcharge_gateway_%s ", name_and_labels);
	at = strstr(text, line);
	if (at == NULL)
		fail_msg("no metric %s", name_and_labels);
	assert_int_equal(sscanf(at + strlen(line), "%llu", &v), 1);
	return v;
}

static void wait_metric(struct kit *k, const char *name_and_labels, uint64_t n)
{
	for (int i = 0; i < TURNS_MAX && metric(k, name_and_labels) != n; i++)
		fixture_turn(&k->net);
	assert_int_equal(metric(k, name_and_labels), n);
}

static void request(struct kit *k, struct client *c, const char *method, const char *rest,
		    const char *body)
{
	char text[2 * FRAME_MAX];

	snprintf(text, sizeof(text), "%s %s%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
		 method, k->path, rest, strlen(body), body);
	client_send_z(c, text);
}

/* --- messages --- */

static void answers_come_in_the_order_sent(void **state)
{
	struct kit *k = *state;
	char text[FRAME_MAX], frames[20 * FRAME_MAX], id[16];
	size_t n = 0;

	start(k);
	connect_device(k, &k->a);
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		int len = message(k, text, id, i % 2 == 0 ? "CablePlugged" : "Available", "");

		n += ws_make(frames + n, 0x81, text, (size_t)len);
	}
	client_send(&k->a, frames, n);
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		expect_answer(&k->a, id, "applied");
	}
	ws_send(&k->a, 0x81, "{", 1);
	expect_text(&k->a, "{\"ack\":null,\"verdict\":\"rejected\"");
}

static void nothing_is_answered_before_its_group_is_durable(void **state)
{
	struct kit *k = *state;

	start(k);
	connect_device(k, &k->a);
	wait_looks(k, 1);
	set_gate(k, true);
	send_message(k, &k->a, "m1", "CablePlugged", "");
	wait_waiting(k, 1);
	client_poll(&k->a);
	assert_int_equal(k->a.n, 0);
	set_gate(k, false);
	expect_answer(&k->a, "m1", "applied");
}

static void a_store_that_fails_gives_no_answer_and_ends_the_connection(void **state)
{
	struct kit *k = *state;

	start(k);
	connect_device(k, &k->a);
	wait_looks(k, 1);
	atomic_store(&k->failures, 1);
	send_message(k, &k->a, "m1", "CablePlugged", "");
	expect_close(&k->a, 1013);
	assert_int_equal(metric(k, "unanswered_total"), 1);
	client_close(&k->a);
	connect_device(k, &k->a);
	send_message(k, &k->a, "m1", "CablePlugged", "");
	expect_answer(&k->a, "m1", "applied");
}

/* --- commands --- */

static void a_command_comes_again_after_a_reconnect_until_acknowledged(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1], again[COMMAND_ID_TEXT + 1];

	start(k);
	charge(k, &k->a, id);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	expect_command(&k->a, "Charging", again);
	assert_string_equal(again, id);
	assert_int_equal(looks(k), 3);
	acknowledge(&k->a, id);
	wait_metric(k, "commands_acknowledged_total", 1);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	wait_looks(k, 4);
	send_message(k, &k->a, "m1", "Charging", TAG);
	expect_answer(&k->a, "m1", "applied");
}

static void old_commands_wait_for_the_devices_backlog(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1];

	start(k);
	charge(k, &k->a, id);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	wait_looks(k, 2);
	send_message(k, &k->a, "m1", "Charging", TAG);
	expect_answer(&k->a, "m1", "applied");
	send_message(k, &k->a, "m2", "Charging", TAG);
	expect_answer(&k->a, "m2", "applied");
	assert_int_equal(looks(k), 2);
	expect_command(&k->a, "Charging", id);
}

static void a_command_whose_reason_went_with_the_backlog_is_not_sent(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1];

	start(k);
	charge(k, &k->a, id);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	wait_looks(k, 2);
	send_message(k, &k->a, "m1", "Available", "");
	expect_answer(&k->a, "m1", "applied");
	wait_looks(k, 3);
	send_message(k, &k->a, "m2", "CablePlugged", "");
	expect_answer(&k->a, "m2", "applied");
}

static void a_device_that_is_held_back_is_not_silent(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1];

	k->config.max_outstanding = 1;
	start(k);
	charge(k, &k->a, id);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	wait_looks(k, 2);
	set_gate(k, true);
	send_message(k, &k->a, "m1", "Charging", TAG);
	send_message(k, &k->a, "m2", "Available", "");
	/* Its silence is as long as it takes; the second message waits before the gateway. */
	int64_t until = net_loop_now_ms(k->net.loop) + 3 * (int64_t)k->config.backlog_silence_ms;

	while (net_loop_now_ms(k->net.loop) < until)
		fixture_turn(&k->net);
	assert_int_equal(host_stats(k->host).waiting, 1);
	set_gate(k, false);
	expect_answer(&k->a, "m1", "applied");
	expect_answer(&k->a, "m2", "applied");
	wait_looks(k, 3);
	send_message(k, &k->a, "m3", "CablePlugged", "");
	expect_answer(&k->a, "m3", "applied");
}

static void a_device_that_never_falls_silent_gets_its_commands_in_the_end(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1], text[FRAME_MAX];
	bool got = false;

	k->config.backlog_max_ms = 300;
	start(k);
	charge(k, &k->a, id);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	for (int i = 0; i < TURNS_MAX && !got; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		send_message(k, &k->a, id, "Charging", TAG);
		assert_int_equal(ws_read(&k->a, text, sizeof(text)), 0x81);
		got = strstr(text, "\"outletStateChange\":\"Charging\"") != NULL;
	}
	assert_true(got);
}

static void commands_wait_while_the_store_fails(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1], again[COMMAND_ID_TEXT + 1];

	start(k);
	charge(k, &k->a, id);
	disconnect(k, &k->a);
	atomic_store(&k->failures, 1);
	connect_device(k, &k->a);
	expect_command(&k->a, "Charging", again);
	assert_string_equal(again, id);
	assert_int_equal(atomic_load(&k->failures), 0);
}

/* Where commands and answers come by different threads, the look may have read too early. */
static void a_command_that_came_during_the_look_is_looked_for_again(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1];
	struct device_command c = { .version = INT64_MAX, .change = OUTLET_CHARGING };

	start(k);
	charge(k, &k->a, id);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	wait_looks(k, 2); /* there is an old one: it waits for the backlog */
	c.outlet_id = k->outlet_id;
	gateway_on_command(k->gateway, &c);
	expect_command(&k->a, "Charging", id);
	wait_looks(k, 4);
	send_message(k, &k->a, "m1", "Charging", TAG);
	expect_answer(&k->a, "m1", "applied");
	assert_int_equal(looks(k), 4);
}

static void count_gone(void *user, const struct ev_uuid *outlet_id)
{
	struct kit *k = user;

	assert_true(ev_uuid_eq(outlet_id, &k->outlet_id));
	k->n_gone++;
}

static void tells_when_a_devices_last_connection_is_gone(void **state)
{
	struct kit *k = *state;

	k->config.on_gone = count_gone;
	k->config.user = k;
	start(k);
	connect_device(k, &k->a);
	connect_device(k, &k->b);
	wait_metric(k, "devices_connected", 1);
	assert_int_equal(k->n_gone, 0); /* it was replaced */
	disconnect(k, &k->b);
	wait_metric(k, "devices_connected", 0);
	assert_int_equal(k->n_gone, 1);
}

static void a_device_that_cannot_be_sent_its_command_must_connect_again(void **state)
{
	struct kit *k = *state;

	k->net.config.limits.max_out_bytes = 200; /* an answer, but no command */
	start(k);
	connect_device(k, &k->a);
	wait_looks(k, 1);
	send_message(k, &k->a, "plug", "CablePlugged", "");
	expect_answer(&k->a, "plug", "applied");
	send_message(k, &k->a, "tag", "DeviceRequestsCharging", TAG);
	expect_answer(&k->a, "tag", "applied");
	expect_close(&k->a, 1013);
	assert_int_equal(metric(k, "slow_readers_total"), 1);
}

static void acknowledgements_of_what_was_never_sent_are_ignored(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1], again[COMMAND_ID_TEXT + 1], future[COMMAND_ID_TEXT + 1];
	char rest[64], head[1024];

	start(k);
	charge(k, &k->a, id);
	command_id_text((uint64_t)(START_NS / EV_NS_PER_MS) + 30000, 0, future);
	acknowledge(&k->a, future);
	acknowledge(&k->a, "nonsense");
	wait_metric(k, "bad_acknowledgements_total", 2);
	client_open(&k->net, &k->b);
	snprintf(rest, sizeof(rest), "/commands/%s/ack", future);
	request(k, &k->b, "POST", rest, "");
	assert_int_equal(client_read_answer(&k->b, head, sizeof(head)), 422);
	disconnect(k, &k->a);
	connect_device(k, &k->a);
	expect_command(&k->a, "Charging", again);
	assert_string_equal(again, id);
	snprintf(rest, sizeof(rest), "/commands/%s/ack", id);
	request(k, &k->b, "POST", rest, "");
	assert_int_equal(client_read_answer(&k->b, head, sizeof(head)), 204);
}

/* --- connections --- */

static void a_new_connection_replaces_the_old_whose_end_harms_nothing(void **state)
{
	struct kit *k = *state;
	char id[COMMAND_ID_TEXT + 1];

	start(k);
	connect_device(k, &k->a);
	wait_looks(k, 1);
	set_gate(k, true);
	send_message(k, &k->a, "m1", "CablePlugged", "");
	wait_waiting(k, 1);
	connect_device(k, &k->b);
	set_gate(k, false);
	expect_close(&k->a, 1000);
	wait_looks(k, 2);
	disconnect(k, &k->a);
	assert_int_equal(metric(k, "replaced_total"), 1);
	assert_int_equal(metric(k, "devices_connected"), 1);
	send_message(k, &k->b, "m1", "CablePlugged", "");
	expect_answer(&k->b, "m1", "duplicate");
	send_message(k, &k->b, "m2", "DeviceRequestsCharging", TAG);
	expect_answer(&k->b, "m2", "applied");
	expect_command(&k->b, "Charging", id);
}

static void a_device_that_leaves_meanwhile_is_missed_by_nobody(void **state)
{
	struct kit *k = *state;

	start(k);
	set_gate(k, true);
	connect_device(k, &k->a);
	send_message(k, &k->a, "m1", "CablePlugged", "");
	wait_waiting(k, 2);
	disconnect(k, &k->a);
	set_gate(k, false);
	wait_waiting(k, 0);
	assert_int_equal(metric(k, "devices_connected"), 0);
	assert_int_equal(metric(k, "answers_total{verdict=\"applied\"}"), 1);
}

/* --- holding back --- */

/* Sends 30 reports at once and takes their answers. */
static void burst(struct kit *k, struct client *c, const char *prefix)
{
	char text[FRAME_MAX], frames[30 * FRAME_MAX], id[16];
	size_t n = 0;

	for (int i = 0; i < 30; i++) {
		snprintf(id, sizeof(id), "%s%d", prefix, i);
		int len = message(k, text, id, "CablePlugged", "");

		n += ws_make(frames + n, 0x81, text, (size_t)len);
	}
	client_send(c, frames, n);
	for (int i = 0; i < 30; i++) {
		snprintf(id, sizeof(id), "%s%d", prefix, i);
		expect_text(c, id);
	}
}

static void too_much_unanswered_holds_back_and_goes_on(void **state)
{
	struct kit *k = *state;

	k->config.max_outstanding = 4;
	start(k);
	connect_device(k, &k->a);
	burst(k, &k->a, "m");
	assert_true(metric(k, "held_total{reason=\"outstanding\"}") >= 7);
	assert_true(host_stats(k->host).largest <= 5);
}

/* Acknowledgements have no answer, so nothing of theirs is outstanding. */
static void a_busy_host_holds_back_and_goes_on(void **state)
{
	struct kit *k = *state;
	char frames[30 * 64 + FRAME_MAX], text[FRAME_MAX];
	const char *ack = "{\"ack\":\"0000000000000001-0\"}";
	size_t n = 0;

	k->queue_max = 3;
	start(k);
	connect_device(k, &k->a);
	for (int i = 0; i < 30; i++)
		n += ws_make(frames + n, 0x81, ack, strlen(ack));
	int len = message(k, text, "last", "CablePlugged", "");

	n += ws_make(frames + n, 0x81, text, (size_t)len);
	client_send(&k->a, frames, n);
	expect_text(&k->a, "last");
	assert_true(metric(k, "held_total{reason=\"busy\"}") >= 1);
	assert_true(host_stats(k->host).largest <= 5);
}

static void a_device_gets_no_more_than_its_part_of_the_queue(void **state)
{
	struct kit *k = *state;

	k->queue_max = 4;
	start(k);
	connect_device(k, &k->a);
	wait_waiting(k, 0);
	burst(k, &k->a, "m");
	assert_true(metric(k, "held_total{reason=\"outstanding\"}") >= 7);
	assert_true(host_stats(k->host).largest <= 4);
}

static void too_many_messages_hold_back_and_go_on(void **state)
{
	struct kit *k = *state;

	k->config.limits.rate = 100;
	k->config.limits.burst = 10;
	start(k);
	connect_device(k, &k->a);
	burst(k, &k->a, "m");
	assert_true(metric(k, "held_total{reason=\"rate\"}") >= 2);
}

static void acknowledgements_are_held_back_like_messages(void **state)
{
	struct kit *k = *state;
	char frames[40 * 64];
	size_t n = 0;

	k->config.limits.rate = 100;
	k->config.limits.burst = 10;
	start(k);
	connect_device(k, &k->a);
	for (int i = 0; i < 20; i++)
		n += ws_make(frames + n, 0x81, "{\"ack\":\"0000000000000001-0\"}", 28);
	client_send(&k->a, frames, n);
	wait_metric(k, "commands_acknowledged_total", 20);
	assert_true(metric(k, "held_total{reason=\"rate\"}") >= 2);
}

static void a_new_connection_does_not_fill_the_bucket(void **state)
{
	struct kit *k = *state;

	k->config.limits.rate = 50;
	k->config.limits.burst = 50;
	start(k);
	connect_device(k, &k->a);
	burst(k, &k->a, "m");
	disconnect(k, &k->a);
	assert_int_equal(metric(k, "held_total{reason=\"rate\"}"), 0);
	connect_device(k, &k->a);
	burst(k, &k->a, "n");
	assert_true(metric(k, "held_total{reason=\"rate\"}") >= 1);
}

/* --- polls --- */

static void plug_and_present(struct kit *k, struct client *c)
{
	char text[FRAME_MAX];

	message(k, text, "plug", "CablePlugged", "");
	request(k, c, "POST", "/messages", text);
	client_expect_answer(c, 200, NULL);
	message(k, text, "tag", "DeviceRequestsCharging", TAG);
	request(k, c, "POST", "/messages", text);
	client_expect_answer(c, 200, NULL);
}

static void a_poll_waits_for_a_command(void **state)
{
	struct kit *k = *state;

	start(k);
	client_open(&k->net, &k->a);
	client_open(&k->net, &k->b);
	request(k, &k->a, "GET", "/commands?wait=60", "");
	wait_metric(k, "devices_polling", 1);
	plug_and_present(k, &k->b);
	client_wait_bytes(&k->a, 17);
	assert_memory_equal(k->a.in, "HTTP/1.1 200 OK\r\n", 17);
	client_wait_bytes(&k->a, 300);
	assert_non_null(memmem(k->a.in, k->a.n, "\"outletStateChange\":\"Charging\"", 30));
	assert_int_equal(metric(k, "devices_polling"), 0);
}

static void a_newer_poll_ends_the_older(void **state)
{
	struct kit *k = *state;

	start(k);
	client_open(&k->net, &k->a);
	client_open(&k->net, &k->b);
	request(k, &k->a, "GET", "/commands?wait=60", "");
	wait_metric(k, "devices_polling", 1);
	request(k, &k->b, "GET", "/commands?wait=1", "");
	client_expect_answer(&k->a, 200, "[]");
	assert_int_equal(metric(k, "devices_polling"), 1);
	client_expect_answer(&k->b, 200, "[]"); /* its second is over */
	assert_int_equal(metric(k, "devices_polling"), 0);
}

static void a_poll_whose_device_left_is_forgotten(void **state)
{
	struct kit *k = *state;

	start(k);
	client_open(&k->net, &k->a);
	client_open(&k->net, &k->b);
	request(k, &k->a, "GET", "/commands?wait=60", "");
	wait_metric(k, "devices_polling", 1);
	disconnect(k, &k->a);
	assert_int_equal(metric(k, "devices_polling"), 0);
	plug_and_present(k, &k->b);
	request(k, &k->b, "GET", "/commands", "");
	client_expect_answer(&k->b, 200, NULL);
	assert_int_equal(metric(k, "commands_sent_total"), 1);
}

/* --- ending --- */

static void on_drained(void *user)
{
	struct kit *k = user;

	k->drained = true;
}

static void draining_answers_what_came_and_ends_what_waits(void **state)
{
	struct kit *k = *state;
	struct client late;
	char head[1024];

	start(k);
	connect_device(k, &k->a);
	client_open(&k->net, &k->b);
	request(k, &k->b, "GET", "/commands?wait=60", "");
	wait_metric(k, "devices_polling", 1);
	wait_waiting(k, 0);
	set_gate(k, true);
	send_message(k, &k->a, "m1", "CablePlugged", "");
	wait_waiting(k, 1);
	gateway_drain(k->gateway, on_drained, k);
	client_expect_answer(&k->b, 200, "[]");
	client_open(&k->net, &late);
	client_send_z(&late, "GET ");
	client_send_z(&late, k->path);
	client_send_z(&late, " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
			     "Sec-WebSocket-Version: 13\r\n"
			     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	assert_int_equal(client_read_answer(&late, head, sizeof(head)), 503);
	client_close(&late);
	assert_false(k->drained);
	set_gate(k, false);
	expect_answer(&k->a, "m1", "applied");
	assert_true(k->drained);
	k->drained = false;
	net_server_drain(k->net.server, 5000, on_drained, k);
	expect_close(&k->a, 1001);
	client_close(&k->a);
	client_close(&k->b);
	for (int i = 0; i < TURNS_MAX && !k->drained; i++)
		fixture_turn(&k->net);
	assert_true(k->drained);
}

static void draining_an_idle_gateway_is_done_at_once(void **state)
{
	struct kit *k = *state;

	start(k);
	gateway_drain(k->gateway, on_drained, k);
	fixture_turn(&k->net);
	assert_true(k->drained);
}

#define DEVICE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE(answers_come_in_the_order_sent),
		DEVICE(nothing_is_answered_before_its_group_is_durable),
		DEVICE(a_store_that_fails_gives_no_answer_and_ends_the_connection),
		DEVICE(a_command_comes_again_after_a_reconnect_until_acknowledged),
		DEVICE(old_commands_wait_for_the_devices_backlog),
		DEVICE(a_command_whose_reason_went_with_the_backlog_is_not_sent),
		DEVICE(a_device_that_is_held_back_is_not_silent),
		DEVICE(a_device_that_never_falls_silent_gets_its_commands_in_the_end),
		DEVICE(commands_wait_while_the_store_fails),
		DEVICE(a_command_that_came_during_the_look_is_looked_for_again),
		DEVICE(tells_when_a_devices_last_connection_is_gone),
		DEVICE(a_device_that_cannot_be_sent_its_command_must_connect_again),
		DEVICE(acknowledgements_of_what_was_never_sent_are_ignored),
		DEVICE(a_new_connection_replaces_the_old_whose_end_harms_nothing),
		DEVICE(a_device_that_leaves_meanwhile_is_missed_by_nobody),
		DEVICE(too_much_unanswered_holds_back_and_goes_on),
		DEVICE(a_busy_host_holds_back_and_goes_on),
		DEVICE(a_device_gets_no_more_than_its_part_of_the_queue),
		DEVICE(too_many_messages_hold_back_and_go_on),
		DEVICE(acknowledgements_are_held_back_like_messages),
		DEVICE(a_new_connection_does_not_fill_the_bucket),
		DEVICE(a_poll_waits_for_a_command),
		DEVICE(a_newer_poll_ends_the_older),
		DEVICE(a_poll_whose_device_left_is_forgotten),
		DEVICE(draining_answers_what_came_and_ends_what_waits),
		DEVICE(draining_an_idle_gateway_is_done_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
