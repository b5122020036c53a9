/* test_net_server.c — HTTP over real sockets: requests, answers, streams, every limit. */
#include "net/quota.h"
#include "net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static int set_up(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	fixture_init(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	fixture_deinit(*state);
	free(*state);
	return 0;
}

static struct net_response ok_with(const char *body)
{
	return (struct net_response){ .status = 200, .body = ev_str_from(body) };
}

/* --- requests and answers --- */

static void takes_a_request_split_at_every_byte(void **state)
{
	static const char request[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
				      "hello";
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
		client_send(&c, request, cut);
		fixture_turn(f);
		fixture_turn(f);
		client_send(&c, request + cut, sizeof(request) - 1 - cut);
		client_expect_answer(&c, 200, "hello");
	}
	client_close(&c);
}

static void takes_a_chunked_body_split_at_every_byte(void **state)
{
	static const char request[] = "POST /echo HTTP/1.1\r\nHost: x\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n"
				      "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: t\r\n\r\n";
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
		client_send(&c, request, cut);
		fixture_turn(f);
		fixture_turn(f);
		client_send(&c, request + cut, sizeof(request) - 1 - cut);
		client_expect_answer(&c, 200, "hello");
	}
	client_close(&c);
}

static void answers_pipelined_requests_in_order(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("first");
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
			  "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			  "6\r\nsecond\r\n0\r\n\r\n"
			  "GET /target?a=b HTTP/1.1\r\nHost: x\r\n\r\nPOST /ec");
	fixture_wait_events(f, 1);
	fixture_turn(f);
	assert_int_equal(f->n_events, 1);
	assert_int_equal(net_reply(f->server, f->events[0].handle, &r), EV_OK);
	client_expect_answer(&c, 200, "first");
	client_expect_answer(&c, 200, "second");
	client_expect_answer(&c, 200, "GET /target?a=b");
	client_send_z(&c, "ho HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlast");
	client_expect_answer(&c, 200, "last");
	client_close(&c);
}

static void holds_a_peer_back_that_pipelines_without_end(void **state)
{
	static const char request[] =
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n.";
	struct fixture *f = *state;
	struct net_response r = ok_with("");
	struct client c;
	size_t n = 2000;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < n; i++)
		client_send(&c, request, sizeof(request) - 1);
	fixture_wait_events(f, 1);
	for (int i = 0; i < 20; i++)
		fixture_turn(f);
	/* What was taken in is bounded, the rest waits in the kernel. */
	assert_true(fixture_metric(f, "evcharge_net_received_bytes_total{") < 64 * 1024);
	assert_int_equal(net_reply(f->server, f->events[0].handle, &r), EV_OK);
	client_expect_answer(&c, 200, "");
	for (size_t i = 0; i < n; i++)
		client_expect_answer(&c, 200, ".");
	client_close(&c);
}

static void closes_when_asked_and_keeps_alive_otherwise(void **state)
{
	static const struct {
		const char *request;
		bool ends;
	} cases[] = {
		{ "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", false },
		{ "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true },
		{ "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: a, CLOSE\r\n\r\n", true },
		{ "GET /echo HTTP/1.0\r\n\r\n", true },
		{ "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false },
	};
	struct fixture *f = *state;

	fixture_listen(f);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct client c;

		client_open(f, &c);
		client_send_z(&c, cases[i].request);
		client_expect_answer(&c, 200, "");
		if (cases[i].ends) {
			client_expect_end(&c);
		} else {
			client_send_z(&c, cases[i].request);
			client_expect_answer(&c, 200, "");
		}
		client_close(&c);
	}
}

static void sends_no_body_for_head_and_204(void **state)
{
	struct fixture *f = *state;
	struct net_response r = { .status = 204, .body = EV_LIT("not sent") };
	char head[512];
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "HEAD /target HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect(&c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
			  "Content-Length: 13\r\n\r\n");
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 2);
	assert_int_equal(net_reply(f->server, f->events[1].handle, &r), EV_OK);
	assert_int_equal(client_read_answer(&c, head, sizeof(head)), 204);
	assert_null(strstr(head, "Content-Length"));
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_close(&c);
}

static void refuses_requests_it_does_not_understand(void **state)
{
	static const struct {
		const char *request;
		int status;
	} cases[] = {
		{ "\x16\x03\x01\x02", 400 },
		{ "GET / HTTP/1.1\nHost: x\n\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400 },
		{ "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
		{ "GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
		{ "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505 },
		{ "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501 },
		{ "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		  400 },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n",
		  400 },
		{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
		{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400 },
		{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab", 400 },
	};
	struct fixture *f = *state;

	fixture_listen(f);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct client c;
		char head[512];

		client_open(f, &c);
		client_send_z(&c, cases[i].request);
		assert_int_equal(client_read_answer(&c, head, sizeof(head)), cases[i].status);
		assert_non_null(strstr(head, "Connection: close\r\n"));
		client_expect_end(&c);
		client_close(&c);
		assert_int_equal(fixture_aborted(f, "bad_request"), i + 1);
	}
	assert_int_equal(f->n_events, 0);
}

static void says_continue_when_asked_and_willing(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->config.limits.max_body_bytes = 10;
	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
			  "Expect: 100-continue\r\n\r\n");
	client_expect(&c, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send_z(&c, "hello");
	client_expect_answer(&c, 200, "hello");
	client_send_z(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n"
			  "Expect: 100-continue\r\n\r\n");
	client_expect_answer(&c, 413, NULL);
	client_close(&c);
}

static void refuses_answers_that_cannot_be_sent(void **state)
{
	static const struct net_header bad[] = {
		{ { "a b", 3 }, { "c", 1 } },
		{ { "A", 1 }, { "b\r\nC: d", 7 } },
		{ { "content-length", 14 }, { "1", 1 } },
		{ { "Transfer-Encoding", 17 }, { "chunked", 7 } },
		{ { "Connection", 10 }, { "close", 5 } },
	};
	struct fixture *f = *state;
	struct net_response r = ok_with("fine");
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		r.headers = &bad[i];
		r.n_headers = 1;
		assert_int_equal(net_reply(f->server, f->events[0].handle, &r), EV_INVALID);
	}
	r.n_headers = 0;
	r.status = 199;
	assert_int_equal(net_reply(f->server, f->events[0].handle, &r), EV_INVALID);
	r.status = 200;
	assert_int_equal(net_reply(f->server, f->events[0].handle, &r), EV_OK);
	client_expect_answer(&c, 200, "fine");
	client_close(&c);
}

static void sends_an_answer_larger_than_any_buffer(void **state)
{
	struct fixture *f = *state;
	size_t n = 3 * 1024 * 1024;
	char *body = malloc(n);
	struct net_response r = { .status = 200, .body = { body, n } };
	struct client c;
	size_t got = 0;

	assert_non_null(body);
	for (size_t i = 0; i < n; i++)
		body[i] = (char)(i * 7 / 5);
	fixture_listen(f);
	client_open_narrow(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	assert_int_equal(net_reply(f->server, f->events[0].handle, &r), EV_OK);
	client_expect(&c, "HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n");
	while (got < n) {
		client_wait_bytes(&c, 1);
		assert_memory_equal(c.in, body + got, c.n);
		got += c.n;
		c.n = 0;
	}
	free(body);
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_close(&c);
}

/* --- handles --- */

static void tells_when_the_peer_left_before_the_answer(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("too late");
	int mine;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	struct net_handle h = f->events[0].handle;

	assert_int_equal(net_set_user(f->server, h, &mine), EV_OK);
	assert_ptr_equal(net_user(f->server, h), &mine);
	client_close(&c);
	fixture_wait_events(f, 2);
	assert_int_equal(f->events[1].what, SEEN_GONE);
	assert_true(net_handle_eq(f->events[1].handle, h));
	assert_ptr_equal(f->events[1].conn_user, &mine);
	assert_int_equal(net_reply(f->server, h, &r), EV_CLOSED);
	assert_null(net_user(f->server, h));
	fixture_wait_connections(f, 0);
}

static void a_handle_never_means_another_request(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("once");
	struct client c;
	struct client d;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	struct net_handle first = f->events[0].handle;

	assert_int_equal(net_reply(f->server, first, &r), EV_OK);
	assert_int_equal(net_reply(f->server, first, &r), EV_CLOSED);
	client_expect_answer(&c, 200, "once");
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 2);
	assert_int_equal(net_reply(f->server, first, &r), EV_CLOSED);
	client_close(&c);
	fixture_wait_connections(f, 0);
	client_open(f, &d);
	client_send_z(&d, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 4);
	assert_int_equal(f->events[3].handle.slot, first.slot); /* the same place … */
	assert_int_equal(net_reply(f->server, first, &r), EV_CLOSED);
	assert_int_equal(net_reply(f->server, f->events[1].handle, &r), EV_CLOSED);
	assert_int_equal(net_reply(f->server, f->events[3].handle, &r), EV_OK);
	client_expect_answer(&d, 200, "once");
	assert_int_equal(net_reply(f->server, (struct net_handle){ 0 }, &r), EV_CLOSED);
	assert_int_equal(net_reply(f->server, (struct net_handle){ 999999, 1 }, &r), EV_CLOSED);
	client_close(&d);
}

/* --- streams --- */

static void streams_in_chunks_and_goes_on_afterwards(void **state)
{
	struct fixture *f = *state;
	struct net_header type = { EV_LIT("Content-Type"), EV_LIT("text/event-stream") };
	struct net_response r = {
		.status = 200, .headers = &type, .n_headers = 1, .body = EV_LIT(":\n")
	};
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	struct net_handle h = f->events[0].handle;

	assert_int_equal(net_stream_begin(f->server, h, &r), EV_OK);
	assert_int_equal(net_reply(f->server, h, &r), EV_CLOSED);
	client_expect(&c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
			  "Transfer-Encoding: chunked\r\n\r\n2\r\n:\n\r\n");
	assert_int_equal(net_stream_write(f->server, h, EV_LIT("data: 1\n\n")), EV_OK);
	assert_int_equal(net_stream_write(f->server, h, EV_LIT("")), EV_OK);
	client_expect(&c, "9\r\ndata: 1\n\n\r\n");
	assert_int_equal(net_stream_end(f->server, h), EV_OK);
	assert_int_equal(net_stream_end(f->server, h), EV_CLOSED);
	client_expect(&c, "0\r\n\r\n");
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_close(&c);
	assert_int_equal(f->n_events, 2); /* nobody is gone */
}

static void streams_to_http_1_0_until_close(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("a");
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	fixture_wait_events(f, 1);
	assert_int_equal(net_stream_begin(f->server, f->events[0].handle, &r), EV_OK);
	assert_int_equal(net_stream_write(f->server, f->events[0].handle, EV_LIT("b")), EV_OK);
	assert_int_equal(net_stream_end(f->server, f->events[0].handle), EV_OK);
	client_expect(&c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab");
	client_expect_end(&c);
	client_close(&c);
}

static void tells_when_the_reader_of_a_stream_leaves(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("");
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	assert_int_equal(net_stream_begin(f->server, f->events[0].handle, &r), EV_OK);
	client_close(&c);
	fixture_wait_events(f, 2);
	assert_int_equal(f->events[1].what, SEEN_GONE);
	assert_int_equal(net_stream_write(f->server, f->events[0].handle, EV_LIT("x")), EV_CLOSED);
}

/* Writes until the queue is full. */
static void fill(struct fixture *f, struct net_handle h)
{
	static const char block[4096] = { 0 };
	ev_err e;

	do {
		e = net_stream_write(f->server, h, (struct ev_str){ block, sizeof(block) });
		fixture_turn(f);
	} while (e == EV_OK);
	assert_int_equal(e, EV_FULL);
}

static void bounds_the_queue_and_tells_when_there_is_room(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("");
	struct client c;

	f->config.limits.max_out_bytes = 32768;
	fixture_listen(f);
	client_open_narrow(f, &c);
	client_send_z(&c, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	struct net_handle h = f->events[0].handle;

	assert_int_equal(net_stream_begin(f->server, h, &r), EV_OK);
	fill(f, h);
	assert_true(net_queued(f->server, h) <= 32768);
	assert_true(fixture_metric(f, "evcharge_net_queue_full_total{") > 0);
	while (f->n_events < 2) {
		client_wait_bytes(&c, 1);
		c.n = 0;
	}
	assert_int_equal(f->events[1].what, SEEN_ROOM);
	assert_true(net_queued(f->server, h) <= 16384);
	assert_int_equal(net_stream_write(f->server, h, EV_LIT("more")), EV_OK);
	client_close(&c);
}

static void closes_a_reader_that_takes_nothing(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("");
	struct client c;

	f->config.limits.max_out_bytes = 32768;
	f->config.limits.write_timeout_ms = 60;
	fixture_listen(f);
	client_open_narrow(f, &c);
	client_send_z(&c, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	assert_int_equal(net_stream_begin(f->server, f->events[0].handle, &r), EV_OK);
	fill(f, f->events[0].handle);
	fixture_wait_events(f, 2);
	assert_int_equal(f->events[1].what, SEEN_GONE);
	fixture_wait_connections(f, 0);
	assert_int_equal(fixture_aborted(f, "slow_reader"), 1);
	client_close(&c);
}

/* --- limits --- */

static void refuses_bodies_that_are_too_large(void **state)
{
	static const char *const requests[] = {
		/* none of it is sent */
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999\r\n\r\n",
		("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "6\r\n012345\r\n5\r\n67890\r\n"),
	};
	struct fixture *f = *state;

	f->config.limits.max_body_bytes = 10;
	fixture_listen(f);
	for (size_t i = 0; i < EV_ARRAY_LEN(requests); i++) {
		struct client c;

		client_open(f, &c);
		client_send_z(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
				  "0123456789");
		client_expect_answer(&c, 200, "0123456789");
		client_send_z(&c, requests[i]);
		client_expect_answer(&c, 413, NULL);
		client_expect_end(&c);
		client_close(&c);
		assert_int_equal(fixture_aborted(f, "body_too_big"), i + 1);
	}
}

static void lets_the_peer_read_why_its_body_was_refused(void **state)
{
	struct fixture *f = *state;
	char *body = calloc(1, 1024 * 1024);
	struct client c;

	assert_non_null(body);
	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
	client_send(&c, body, 1024 * 1024); /* a reset would take the answer away */
	client_expect_answer(&c, 413, NULL);
	client_expect_end(&c);
	client_close(&c);
	free(body);
}

static void refuses_heads_that_are_too_large(void **state)
{
	struct fixture *f = *state;
	char many[600];

	memset(many, 'a', sizeof(many));
	f->config.limits.max_header_bytes = 512;
	fixture_listen(f);
	for (int target = 0; target < 2; target++) {
		struct client c;

		client_open(f, &c);
		client_send_z(&c, target ? "GET /" : "GET / HTTP/1.1\r\nHost: x\r\nA: ");
		client_send(&c, many, sizeof(many));
		client_expect_answer(&c, target ? 414 : 431, NULL);
		client_expect_end(&c);
		client_close(&c);
	}
	assert_int_equal(fixture_aborted(f, "head_too_big"), 2);
}

static void refuses_too_many_fields(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET / HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < NET_MAX_HEADERS; i++)
		client_send_z(&c, "A: b\r\n");
	client_send_z(&c, "\r\n");
	client_expect_answer(&c, 431, NULL);
	client_close(&c);
}

static void ends_requests_that_do_not_come_to_an_end(void **state)
{
	static const struct {
		const char *request;
		int status; /* 0: closed without a word */
		const char *reason;
	} cases[] = {
		{ "", 408, "head_timeout" },
		{ "GET / HT", 408, "head_timeout" },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe", 408,
		  "body_timeout" },
		{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", 408,
		  "body_timeout" },
		{ "GET /target HTTP/1.1\r\nHost: x\r\n\r\n", 200, "keepalive_timeout" },
	};
	struct fixture *f = *state;

	f->config.limits.header_timeout_ms = 50;
	f->config.limits.body_timeout_ms = 50;
	f->config.limits.keepalive_timeout_ms = 50;
	fixture_listen(f);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct client c;
		uint64_t before = fixture_aborted(f, cases[i].reason);

		client_open(f, &c);
		client_send_z(&c, cases[i].request);
		client_expect_answer(&c, cases[i].status, NULL);
		client_expect_end(&c);
		client_close(&c);
		assert_int_equal(fixture_aborted(f, cases[i].reason), before + 1);
	}
}

static void a_body_in_two_pieces_leaves_the_keepalive_time(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->config.limits.header_timeout_ms = 50;
	f->config.limits.keepalive_timeout_ms = 0;
	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
	fixture_turn(f);
	client_send_z(&c, "cd");
	client_expect_answer(&c, 200, "abcd");
	int64_t until = net_loop_now_ms(f->loop) + 150;

	while (net_loop_now_ms(f->loop) < until)
		fixture_turn(f);
	client_poll(&c);
	assert_false(c.ended);
	assert_int_equal(fixture_aborted(f, "head_timeout"), 0);
	client_close(&c);
}

static void does_not_wait_for_ever_after_its_own_end(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_expect_end(&c);
	assert_int_equal(net_server_connections(f->server), 1); /* we have not closed our side */
	fixture_wait_connections(f, 0);
	client_close(&c);
}

static void refuses_connections_beyond_the_maximum(void **state)
{
	struct fixture *f = *state;
	struct client c[3];

	f->config.limits.max_connections = 2;
	fixture_listen(f);
	client_open(f, &c[0]);
	client_open(f, &c[1]);
	fixture_wait_connections(f, 2);
	client_open(f, &c[2]);
	client_expect_answer(&c[2], 503, "");
	client_expect_end(&c[2]);
	client_close(&c[2]);
	assert_int_equal(fixture_metric(f, "evcharge_net_connections_refused_total{"
					   "listener=\"test\",reason=\"max\"}"),
			 1);
	client_close(&c[0]);
	fixture_wait_connections(f, 1);
	client_open(f, &c[2]);
	client_send_z(&c[2], "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c[2], 200, "");
	client_close(&c[1]);
	client_close(&c[2]);
}

static void refuses_more_connections_of_one_address(void **state)
{
	struct fixture *f = *state;
	struct client c[3];

	f->config.limits.max_connections_per_address = 2;
	fixture_listen(f);
	client_open(f, &c[0]);
	client_open(f, &c[1]);
	fixture_wait_connections(f, 2);
	client_open(f, &c[2]);
	client_expect_answer(&c[2], 503, "");
	client_close(&c[2]);
	assert_int_equal(fixture_metric(f, "evcharge_net_connections_refused_total{"
					   "listener=\"test\",reason=\"address\"}"),
			 1);
	client_close(&c[0]);
	client_close(&c[1]);
	fixture_wait_connections(f, 0);
	client_open(f, &c[0]);
	fixture_wait_connections(f, 1);
	client_close(&c[0]);
}

static void listeners_of_one_port_share_the_limits(void **state)
{
	struct fixture *f = *state;
	struct net_listener_config second;
	struct net_listener *l;
	struct net_quota *quota;
	struct client c[5];

	assert_int_equal(net_quota_new(&quota), EV_OK);
	f->config.limits.max_connections = 4;
	f->config.limits.max_connections_per_address = 3;
	f->config.share = NET_SHARE_FIRST;
	f->config.quota = quota;
	fixture_listen(f);
	second = f->config;
	second.port = net_listener_port(f->listener);
	second.name = "second";
	second.share = NET_SHARE_JOIN;
	assert_int_equal(net_server_listen(f->server, &second, &l, NULL), EV_OK);
	for (int i = 0; i < 3; i++) {
		client_open(f, &c[i]);
		fixture_wait_connections(f, (size_t)i + 1);
	}
	client_open(f, &c[3]);
	client_expect_answer(&c[3], 503, "");
	client_close(&c[3]);
	net_listener_set_max_per_address(f->listener, 9);
	net_listener_set_max_per_address(l, 9);
	client_open(f, &c[3]);
	fixture_wait_connections(f, 4);
	client_open(f, &c[4]);
	client_expect_answer(&c[4], 503, "");
	for (int i = 0; i < 5; i++)
		client_close(&c[i]);
	fixture_wait_connections(f, 0);
	net_server_free(f->server);
	f->server = NULL;
	net_quota_free(quota);
}

/* --- the server --- */

static void on_drained(void *user)
{
	struct fixture *f = user;

	f->drained = true;
}

static void wait_drained(struct fixture *f)
{
	fixture_wait_connections(f, 0);
	fixture_turn(f);
	assert_true(f->drained);
}

static void drains_when_nothing_is_open(void **state)
{
	struct fixture *f = *state;

	fixture_listen(f);
	net_server_drain(f->server, 1000, on_drained, f);
	assert_false(f->drained);
	fixture_turn(f);
	assert_true(f->drained);
}

static void finishes_what_runs_before_it_is_drained(void **state)
{
	struct fixture *f = *state;
	struct net_response r = ok_with("done");
	struct client idle;
	struct client busy;
	struct client ws;
	struct client stream;

	fixture_listen(f);
	client_open(f, &idle);
	client_open(f, &busy);
	client_open(f, &ws);
	client_open(f, &stream);
	client_send_z(&busy, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	client_send_z(&stream, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 2);
	assert_int_equal(net_stream_begin(f->server, f->events[1].handle, &r), EV_OK);
	ws_open(&ws, "/ws");
	fixture_wait_connections(f, 4);
	net_server_drain(f->server, 5000, on_drained, f);
	client_expect_end(&idle);
	ws_expect(&ws, 0x88, "\x03\xe9going away", 12);
	ws_send(&ws, 0x88, "\x03\xe9", 2);
	client_expect_end(&ws);
	client_expect_end(&stream);
	assert_memory_equal(stream.in + stream.n - 5, "0\r\n\r\n", 5);
	assert_int_equal(net_stream_write(f->server, f->events[1].handle, EV_LIT("x")), EV_CLOSED);
	assert_false(f->drained);
	assert_int_equal(net_reply(f->server, f->events[0].handle, &r), EV_OK);
	client_expect_answer(&busy, 200, "done");
	client_expect_end(&busy);
	client_close(&idle);
	client_close(&busy);
	client_close(&ws);
	client_close(&stream);
	wait_drained(f);
}

static void cuts_what_runs_at_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	net_server_drain(f->server, 40, on_drained, f);
	client_expect_end(&c);
	assert_int_equal(f->n_events, 2);
	assert_int_equal(f->events[1].what, SEEN_GONE);
	wait_drained(f);
	client_close(&c);
}

static void says_why_it_cannot_listen(void **state)
{
	struct fixture *f = *state;
	struct net_listener_config again;
	struct net_listener *l;
	struct ev_fail fail = { 0 };

	f->config.share = NET_SHARE_FIRST;
	fixture_listen(f);
	again = f->config;
	again.port = net_listener_port(f->listener);
	again.name = "second";
	again.share = NET_SHARE_JOIN;
	assert_int_equal(net_server_listen(f->server, &again, &l, &fail), EV_OK);
	again.share = NET_SHARE_FIRST;
	assert_int_equal(net_server_listen(f->server, &again, &l, &fail), EV_EXISTS);
	again.share = NET_SHARE_NONE;
	assert_int_equal(net_server_listen(f->server, &again, &l, &fail), EV_EXISTS);
	assert_non_null(strstr(fail.text, "127.0.0.1"));
	again.address = "localhost";
	assert_int_equal(net_server_listen(f->server, &again, &l, &fail), EV_INVALID);
	again.address = "192.0.2.1";
	assert_int_equal(net_server_listen(f->server, &again, &l, &fail), EV_INVALID);
}

static void counts_what_it_does(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
			  "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_expect_answer(&c, 404, "none");
	assert_int_equal(fixture_metric(f, "evcharge_net_connections_total{"), 1);
	assert_int_equal(fixture_metric(f, "evcharge_net_connections{"), 1);
	assert_int_equal(fixture_metric(f, "evcharge_net_http_answers_total{listener=\"test\","
					   "class=\"2xx\"}"),
			 1);
	assert_int_equal(fixture_metric(f, "evcharge_net_http_answers_total{listener=\"test\","
					   "class=\"4xx\"}"),
			 1);
	assert_int_equal(fixture_metric(f, "evcharge_net_received_bytes_total{"), 62);
	assert_true(fixture_metric(f, "evcharge_net_sent_bytes_total{") > 100);
	client_close(&c);
	fixture_wait_connections(f, 0);
	assert_int_equal(fixture_metric(f, "evcharge_net_connections{"), 0);
}

static void tells_handlers_when_it_is_freed(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	net_server_freep(&f->server);
	assert_int_equal(f->n_events, 2);
	assert_int_equal(f->events[1].what, SEEN_GONE);
	client_close(&c);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(takes_a_request_split_at_every_byte),
		RULE(takes_a_chunked_body_split_at_every_byte),
		RULE(answers_pipelined_requests_in_order),
		RULE(holds_a_peer_back_that_pipelines_without_end),
		RULE(closes_when_asked_and_keeps_alive_otherwise),
		RULE(sends_no_body_for_head_and_204),
		RULE(refuses_requests_it_does_not_understand),
		RULE(says_continue_when_asked_and_willing),
		RULE(refuses_answers_that_cannot_be_sent),
		RULE(sends_an_answer_larger_than_any_buffer),
		RULE(tells_when_the_peer_left_before_the_answer),
		RULE(a_handle_never_means_another_request),
		RULE(streams_in_chunks_and_goes_on_afterwards),
		RULE(streams_to_http_1_0_until_close),
		RULE(tells_when_the_reader_of_a_stream_leaves),
		RULE(bounds_the_queue_and_tells_when_there_is_room),
		RULE(closes_a_reader_that_takes_nothing),
		RULE(refuses_bodies_that_are_too_large),
		RULE(lets_the_peer_read_why_its_body_was_refused),
		RULE(refuses_heads_that_are_too_large),
		RULE(refuses_too_many_fields),
		RULE(ends_requests_that_do_not_come_to_an_end),
		RULE(a_body_in_two_pieces_leaves_the_keepalive_time),
		RULE(does_not_wait_for_ever_after_its_own_end),
		RULE(refuses_connections_beyond_the_maximum),
		RULE(refuses_more_connections_of_one_address),
		RULE(listeners_of_one_port_share_the_limits),
		RULE(drains_when_nothing_is_open),
		RULE(finishes_what_runs_before_it_is_drained),
		RULE(cuts_what_runs_at_the_deadline),
		RULE(says_why_it_cannot_listen),
		RULE(counts_what_it_does),
		RULE(tells_handlers_when_it_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
