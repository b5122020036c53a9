/* test_api_server.c — the API over sockets: the original's bytes, and streams that back up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "api_fixture.h"
#include "base/time.h"
#include "net/api_server.h"
#include "net_fixture.h"

#define KWH INT64_C(1000000)
#define TURNS_MAX 2000

struct both {
	struct api_fixture *f;
	struct api *recorded; /* the fixture's own */
	struct fixture net;
	struct api_server_sink sink;
	struct client client;
	unsigned n_requests;
};

static void on_request(void *user, const struct net_request *req)
{
	struct both *b = user;

	b->n_requests++;
	api_request(b->f->api, API_OUTLET, req);
}

static void on_gone(void *user, struct net_handle h, void *conn_user)
{
	struct both *b = user;

	(void)conn_user; /* none is set */
	api_on_gone(b->f->api, h);
}

static void on_room(void *user, struct net_handle h, void *conn_user)
{
	struct both *b = user;

	(void)conn_user; /* none is set */
	api_on_room(b->f->api, h);
}

static const struct net_handlers handlers = {
	.on_request = on_request,
	.on_gone = on_gone,
	.on_room = on_room,
};

/* Its connections have small send buffers: what is written backs up soon. */
static int listen_narrow(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = 4096;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int set_up(void **state)
{
	struct both *b = calloc(1, sizeof(*b));
	struct api_config c;
	void *fixture;

	assert_non_null(b);
	assert_int_equal(api_fixture_setup(&fixture), 0);
	b->f = fixture;
	b->recorded = b->f->api;
	b->client.fd = -1;
	fixture_init(&b->net);
	b->net.config.handlers = &handlers;
	b->net.config.user = b;
	b->net.config.fd = listen_narrow();
	b->net.config.limits.max_out_bytes = 65536;
	fixture_listen(&b->net);
	api_server_sink_init(&b->sink, b->net.server);
	c = b->f->config;
	c.sink = &b->sink.base;
	c.metrics = &b->net.metrics;
	assert_int_equal(api_new(&c, &b->f->api), EV_OK);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct both *b = *state;
	void *fixture = b->f;

	client_close(&b->client);
	fixture_deinit(&b->net);
	settle(b->f);
	api_free(b->f->api);
	b->f->api = b->recorded;
	assert_int_equal(api_fixture_teardown(&fixture), 0);
	free(b);
	return 0;
}

/* A metric without labels. */
static unsigned long long counted(const struct both *b, const char *name)
{
	static char text[65536];
	struct ev_buf out = ev_buf_over(text, sizeof(text) - 1);
	char line[128];
	const char *at;
	unsigned long long v;

	ev_metrics_write(&b->net.metrics, &out);
	assert_false(out.overflow);
	text[out.len] = '\0';
	snprintf(line, sizeof(line), "\n%s ", name);
	at = strstr(text, line);
	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(line), "%llu", &v), 1);
	return v;
}

/* Sends, and lets server and host work until the answer is on its way. */
static void send_request(struct both *b, const char *text)
{
	unsigned before = b->n_requests;

	client_send_z(&b->client, text);
	for (int i = 0; i < TURNS_MAX && b->n_requests == before; i++)
		fixture_turn(&b->net);
	assert_int_equal(b->n_requests, before + 1);
	settle(b->f);
}

static void an_answer_is_byte_for_byte_the_originals(void **state)
{
	struct both *b = *state;
	const char *body = "{\"chargerGroupId\":\"86c911e2-bbf3-42c8-8925-f9d380c1f329\","
			   "\"outletCode\":\"A1\",\"address\":\"S\",\"maxPower\":22000,"
			   "\"outletState\":\"\"}";
	char request[1024], head[1024];

	client_open(&b->net, &b->client);
	snprintf(request, sizeof(request),
		 "POST /api/chargers HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	send_request(b, request);
	assert_int_equal(client_read_answer(&b->client, head, sizeof(head)), 201);
	assert_non_null(strstr(head, "\r\naccept: application/json\r\n"
				     "content-type: application/json\r\n"
				     "access-control-allow-methods: \"POST, GET\"\r\n"));
}

static void a_peer_that_left_before_its_answer_costs_nothing(void **state)
{
	struct both *b = *state;

	client_open(&b->net, &b->client);
	client_send_z(&b->client, "GET /api/chargers HTTP/1.1\r\nHost: localhost\r\n\r\n");
	for (int i = 0; i < TURNS_MAX && b->n_requests == 0; i++)
		fixture_turn(&b->net);
	assert_int_equal(b->n_requests, 1);
	client_close(&b->client);
	fixture_wait_connections(&b->net, 0);
	settle(b->f);
	assert_int_equal(counted(b, "evcharge_api_gone_total"), 1);
}

/* Takes all that came of a stream, whose ids follow one another; returns how many there were. */
static unsigned long long take_events(struct client *c, unsigned long long *last)
{
	char *at = c->in, *next, *end = c->in;
	unsigned long long n = 0;

	client_poll(c);
	c->in[c->n] = '\0';
	while ((at = strstr(at, "id: ")) != NULL && (next = strstr(at, "\n\n")) != NULL) {
		unsigned long long id;

		assert_int_equal(sscanf(at, "id: %llu", &id), 1);
		assert_true(*last == 0 || id == *last + 1);
		*last = id;
		n++;
		at = next;
		end = next;
	}
	c->n -= (size_t)(end - c->in);
	memmove(c->in, end, c->n);
	return n;
}

static void charge(struct both *b)
{
	device_sends(b->f, OUTLET_CABLE_PLUGGED, "", 0);
	device_sends(b->f, OUTLET_DEVICE_REQUESTS_CHARGING, "anna", 0);
}

/* Lets everybody work until `wanted` events were read. */
static void read_events(struct both *b, unsigned long long wanted, unsigned long long *last)
{
	unsigned long long n = 0;

	for (int i = 0; i < TURNS_MAX && n < wanted; i++) {
		fixture_turn(&b->net);
		settle(b->f);
		n += take_events(&b->client, last);
	}
	assert_int_equal(n, wanted);
}

static void a_stream_that_backed_up_goes_on_without_gap(void **state)
{
	struct both *b = *state;
	unsigned long long last = 0;
	unsigned sent = 0;

	charge(b);
	client_open_narrow(&b->net, &b->client);
	send_request(b, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
	while (counted(b, "evcharge_events_fell_behind_total") == 0 && sent < TURNS_MAX) {
		device_sends(b->f, OUTLET_CHARGING, "anna", KWH);
		sent++;
	}
	assert_int_equal(counted(b, "evcharge_events_fell_behind_total"), 1);
	for (int i = 0; i < 100; i++, sent++) /* more than a page of the store */
		device_sends(b->f, OUTLET_CHARGING, "anna", KWH);
	read_events(b, sent, &last);
	device_sends(b->f, OUTLET_CHARGING, "anna", KWH);
	read_events(b, 1, &last);
}

static void a_reader_that_hangs_up_is_forgotten(void **state)
{
	struct both *b = *state;

	client_open(&b->net, &b->client);
	send_request(b, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_int_equal(counted(b, "evcharge_events_subscribers"), 1);
	client_close(&b->client);
	fixture_wait_connections(&b->net, 0);
	assert_int_equal(counted(b, "evcharge_events_subscribers"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_is_byte_for_byte_the_originals),
		TEST(a_peer_that_left_before_its_answer_costs_nothing),
		TEST(a_stream_that_backed_up_goes_on_without_gap),
		TEST(a_reader_that_hangs_up_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
