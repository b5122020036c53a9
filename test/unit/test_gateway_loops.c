/*
 * test_gateway_loops.c — one port's devices on two loops: which connection counts, where a command
 * goes, how much a device may send.  The test's thread turns both loops, each when it wants to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/gateway.h"
#include "net_fixture.h"
#include "pump_fixture.h"

#define LOOPS 2
#define TURNS_MAX 2500 /* of 2 ms at most */
#define FRAME_MAX 2048
#define HOPS 20

struct side {
	struct kit *kit;
	struct fixture net;
	struct host *host;
	struct net_wake *wake;
	struct net_hook flush;
	struct gateway *gateway;
};

struct kit {
	struct pump_fixture *f;
	struct gateway_rates *rates;
	struct gateway_config config; /* change before start */
	struct side sides[LOOPS];
	char outlet[EV_UUID_TEXT + 1];
	char path[80];
	unsigned n_messages;
	struct client a, b; /* on the first loop, and on the second */
};

/* --- the host --- */

static void engine_command(void *user, const struct device_command *c)
{
	struct kit *k = user;

	host_put_command(k->sides[0].host, c);
}

static void wake_loop(void *user)
{
	struct side *s = user;

	net_wake_signal(s->wake);
}

static void on_wake(void *user)
{
	struct side *s = user;

	host_reap(s->host);
}

static void flush(void *user)
{
	struct side *s = user;

	host_flush(s->host);
}

static void on_command(void *user, const struct device_command *c)
{
	struct side *s = user;

	gateway_on_command(s->gateway, c);
}

static void on_arrival(void *user, const struct arrival *a)
{
	struct side *s = user;

	gateway_on_arrival(s->gateway, a);
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

static int set_up(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));
	void *f;

	assert_non_null(k);
	if (fixture_setup(&f) != 0)
		return -1;
	k->f = f;
	k->a.fd = -1;
	k->b.fd = -1;
	ev_uuid_text(&k->f->outlet_id, k->outlet);
	k->outlet[EV_UUID_TEXT] = '\0';
	snprintf(k->path, sizeof(k->path), "/devices/%s", k->outlet);
	assert_int_equal(gateway_rates_new(100, &k->f->rng.base, &k->rates), EV_OK);
	k->config = (struct gateway_config){
		.clock = &k->f->clock.base,
		.rng = &k->f->rng.base,
		.max_devices = 100,
		.max_outstanding = 64,
		.limits = { .rate = 10000, .burst = 10000 },
		.rates = k->rates,
		.backlog_silence_ms = 1,
		.backlog_max_ms = 1,
		.authorize = allow,
		.on_other = on_other,
	};
	*state = k;
	return 0;
}

static struct host_loop loop_of(struct side *s)
{
	return (struct host_loop){
		.wake = wake_loop, .on_command = on_command, .on_arrival = on_arrival, .user = s
	};
}

static void start_side(struct kit *k, struct side *s)
{
	struct gateway_config c = k->config;

	c.server = s->net.server;
	c.loop = s->net.loop;
	c.host = s->host;
	c.metrics = &s->net.metrics;
	assert_int_equal(gateway_new(&c, &s->gateway), EV_OK);
	s->flush = (struct net_hook){ .fn = flush, .user = s };
	net_loop_add_hook(s->net.loop, &s->flush);
	s->net.config.handlers = gateway_handlers();
	s->net.config.user = s->gateway;
	fixture_listen(&s->net);
}

static void start(struct kit *k)
{
	struct memory_listener l = { .on_command = engine_command, .user = k };
	struct host_config c = {
		.pump = &k->f->pump, .query = k->f->query, .group_max = 64, .queue_max = 1000
	};
	struct host_loop second = loop_of(&k->sides[1]);

	memory_set_listener(k->f->memory, &l);
	for (int i = 0; i < LOOPS; i++) {
		struct side *s = &k->sides[i];

		s->kit = k;
		fixture_init(&s->net);
		assert_int_equal(net_wake_new(s->net.loop, on_wake, s, &s->wake), EV_OK);
	}
	c.loop = loop_of(&k->sides[0]);
	assert_int_equal(host_new(&c, &k->sides[0].host), EV_OK);
	assert_int_equal(host_attach(k->sides[0].host, &second, &k->sides[1].host), EV_OK);
	for (int i = 0; i < LOOPS; i++)
		start_side(k, &k->sides[i]);
}

static void turn_both(struct kit *k)
{
	for (int i = 0; i < LOOPS; i++)
		fixture_turn(&k->sides[i].net);
}

/* All is answered, on both. */
static void settle(struct kit *k)
{
	int i = 0;

	do
		turn_both(k);
	while (host_stats(k->sides[0].host).all_waiting > 0 && ++i < TURNS_MAX);
	assert_int_equal(host_stats(k->sides[0].host).all_waiting, 0);
}

static int tear_down(void **state)
{
	struct kit *k = *state;
	void *f = k->f;

	client_close(&k->a);
	client_close(&k->b);
	settle(k);
	for (int i = 0; i < LOOPS; i++)
		net_server_free(k->sides[i].net.server);
	host_free(k->sides[0].host);
	for (int i = 0; i < LOOPS; i++) {
		gateway_free(k->sides[i].gateway);
		net_wake_free(k->sides[i].wake);
		net_loop_free(k->sides[i].net.loop);
	}
	gateway_rates_free(k->rates);
	free(k);
	return fixture_teardown(&f);
}

/* --- devices --- */

static void message(struct kit *k, char out[FRAME_MAX], const char *change, const char *tag)
{
	snprintf(out, FRAME_MAX,
		 "{\"outletId\":\"%s\",\"rfidTag\":\"%s\","
		 "\"periodStart\":\"2026-01-01T10:00:00Z\",\"periodEnd\":"
		 "\"2026-01-01T10:05:00Z\",\"outletStateChange\":\"%s\","
		 "\"powerConsumption\":0,\"messageId\":\"m%u\"}",
		 k->outlet, tag, change, ++k->n_messages);
}

static void expect_text(struct client *c, const char *part)
{
	char text[FRAME_MAX];

	assert_int_equal(ws_read(c, text, sizeof(text)), 0x81);
	if (strstr(text, part) == NULL)
		fail_msg("wanted %s in %s", part, text);
}

static void say(struct kit *k, struct client *c, const char *change, const char *tag)
{
	char text[FRAME_MAX];

	message(k, text, change, tag);
	ws_send(c, 0x81, text, strlen(text));
}

/* Says and takes the answer. */
static void tell(struct kit *k, struct client *c, const char *change, const char *tag)
{
	say(k, c, change, tag);
	expect_text(c, "\"verdict\":\"applied\"");
}

static void expect_replaced(struct client *c)
{
	char text[FRAME_MAX];

	assert_int_equal(ws_read(c, text, sizeof(text)), 0x88);
	assert_memory_equal(text, "\x03\xe8replaced", 10);
	client_close(c);
}

static void connect_to(struct kit *k, int side, struct client *c)
{
	client_open(&k->sides[side].net, c);
	ws_open(c, k->path);
}

static void post(struct kit *k, struct client *c, unsigned n)
{
	static char body[64 * FRAME_MAX], text[65 * FRAME_MAX];
	size_t at = 0;

	assert_true(n <= 60);
	for (unsigned i = 0; i < n; i++) {
		char one[FRAME_MAX];

		message(k, one, "CablePlugged", "");
		at += (size_t)snprintf(body + at, sizeof(body) - at, "%c%s", i == 0 ? '[' : ',',
				       one);
	}
	snprintf(text, sizeof(text),
		 "POST %s/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s]", k->path,
		 at + 1, body);
	client_send_z(c, text);
}

/* Of both gateways together. */
static uint64_t metric(struct kit *k, const char *name_and_labels)
{
	static char text[65536];
	uint64_t sum = 0;

	for (int i = 0; i < LOOPS; i++) {
		struct ev_buf b = ev_buf_over(text, sizeof(text) - 1);
		unsigned long long v = 0;
		char line[128];
		const char *at;

		ev_metrics_write(&k->sides[i].net.metrics, &b);
		assert_false(b.overflow);
		text[b.len] = '\0';
		snprintf(line, sizeof(line), "\nevcharge_gateway_%s ", name_and_labels);
		at = strstr(text, line);
		if (at == NULL)
			fail_msg("no metric %s", name_and_labels);
		assert_int_equal(sscanf(at + strlen(line), "%llu", &v), 1);
		sum += v;
	}
	return sum;
}

static void wait_metric(struct kit *k, const char *name, uint64_t n)
{
	for (int i = 0; i < TURNS_MAX && metric(k, name) != n; i++)
		turn_both(k);
	assert_int_equal(metric(k, name), n);
}

/* --- tests --- */

static void the_newest_connection_wins_on_all_loops(void **state)
{
	struct kit *k = *state;

	start(k);
	connect_to(k, 0, &k->a);
	settle(k);
	tell(k, &k->a, "CablePlugged", "");
	connect_to(k, 1, &k->b);
	settle(k);
	expect_replaced(&k->a);
	wait_metric(k, "devices_connected", 1);
	assert_int_equal(metric(k, "replaced_total"), 1);
	tell(k, &k->b, "DeviceRequestsCharging", "Tag-Anna");
	expect_text(&k->b, "\"outletStateChange\":\"Charging\"");
	assert_int_equal(metric(k, "commands_sent_total"), 1);
}

/* The first loop does not turn while the device is on the second already. */
static void an_old_connection_gets_no_command_of_after_the_new_one(void **state)
{
	struct kit *k = *state;

	start(k);
	connect_to(k, 0, &k->a);
	settle(k);
	connect_to(k, 1, &k->b);
	tell(k, &k->b, "CablePlugged", "");
	tell(k, &k->b, "DeviceRequestsCharging", "Tag-Anna");
	expect_text(&k->b, "\"outletStateChange\":\"Charging\"");
	assert_int_equal(gateway_connected(k->sides[0].gateway), 1);
	expect_replaced(&k->a); /* and nothing before that */
	settle(k);
	assert_int_equal(metric(k, "commands_sent_total"), 1);
}

static void hopping_between_loops_loses_no_command(void **state)
{
	struct kit *k = *state;

	start(k);
	connect_to(k, 0, &k->a);
	settle(k);
	tell(k, &k->a, "CablePlugged", "");
	tell(k, &k->a, "DeviceRequestsCharging", "Tag-Anna");
	expect_text(&k->a, "\"outletStateChange\":\"Charging\"");
	for (int i = 0; i < HOPS; i++) {
		struct client *old = i % 2 == 0 ? &k->a : &k->b;
		struct client *fresh = i % 2 == 0 ? &k->b : &k->a;

		connect_to(k, 1 - i % 2, fresh);
		settle(k);
		expect_replaced(old);
		expect_text(fresh, "\"outletStateChange\":\"Charging\""); /* it was not acked */
	}
	wait_metric(k, "devices_connected", 1);
	assert_int_equal(metric(k, "replaced_total"), HOPS);
	assert_int_equal(metric(k, "commands_sent_total"), 1 + HOPS);
}

static void an_arrival_that_is_older_replaces_nothing(void **state)
{
	struct kit *k = *state;
	struct arrival late = { .kind = ARRIVAL_SOCKET, .outlet_id = k->f->outlet_id };

	start(k);
	late.number = host_next_arrival(k->sides[0].host);
	connect_to(k, 1, &k->b);
	settle(k);
	gateway_on_arrival(k->sides[1].gateway, &late);
	gateway_on_arrival(k->sides[0].gateway, &late); /* where nobody knows the device */
	tell(k, &k->b, "CablePlugged", "");
	assert_int_equal(metric(k, "replaced_total"), 0);
}

static void a_newer_poll_on_another_loop_ends_the_older(void **state)
{
	struct kit *k = *state;
	char text[256];

	snprintf(text, sizeof(text), "GET %s/commands?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n",
		 k->path);
	start(k);
	client_open(&k->sides[0].net, &k->a);
	client_open(&k->sides[1].net, &k->b);
	client_send_z(&k->a, text);
	wait_metric(k, "devices_polling", 1);
	client_send_z(&k->b, text);
	settle(k);
	client_expect_answer(&k->a, 200, "[]");
	assert_int_equal(metric(k, "devices_polling"), 1);
}

static void a_device_has_one_rate_on_all_loops(void **state)
{
	struct kit *k = *state;

	k->config.limits = (struct gateway_limits){ .rate = 1, .burst = 50 };
	start(k);
	client_open(&k->sides[0].net, &k->a);
	client_open(&k->sides[1].net, &k->b);
	post(k, &k->a, 30);
	client_expect_answer(&k->a, 200, NULL);
	post(k, &k->b, 30); /* ten more than there were: the last that is taken */
	client_expect_answer(&k->b, 200, NULL);
	post(k, &k->a, 1);
	client_expect_answer(&k->a, 429, NULL);
	post(k, &k->b, 1);
	client_expect_answer(&k->b, 429, NULL);
	assert_int_equal(metric(k, "posts_refused_total{reason=\"rate\"}"), 2);
}

static void a_connection_on_another_loop_does_not_fill_the_bucket(void **state)
{
	struct kit *k = *state;

	k->config.limits = (struct gateway_limits){ .rate = 20, .burst = 20 };
	start(k);
	client_open(&k->sides[0].net, &k->a);
	post(k, &k->a, 60);
	client_expect_answer(&k->a, 200, NULL);
	client_close(&k->a);
	connect_to(k, 1, &k->b);
	settle(k);
	say(k, &k->b, "CablePlugged", ""); /* one is taken, then it is held */
	expect_text(&k->b, "\"ack\":\"m61\"");
	assert_int_equal(metric(k, "held_total{reason=\"rate\"}"), 1);
	say(k, &k->b, "CablePlugged", ""); /* and it goes on */
	expect_text(&k->b, "\"ack\":\"m62\"");
}

int main(void)
{
#define TWO_LOOPS(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TWO_LOOPS(the_newest_connection_wins_on_all_loops),
		TWO_LOOPS(an_old_connection_gets_no_command_of_after_the_new_one),
		TWO_LOOPS(hopping_between_loops_loses_no_command),
		TWO_LOOPS(an_arrival_that_is_older_replaces_nothing),
		TWO_LOOPS(a_newer_poll_on_another_loop_ends_the_older),
		TWO_LOOPS(a_device_has_one_rate_on_all_loops),
		TWO_LOOPS(a_connection_on_another_loop_does_not_fill_the_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
