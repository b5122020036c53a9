/* test_net_ws.c — WebSockets over real sockets: handshake, messages, closing, every limit. */
#include "net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TEXT 0x81U
#define BINARY 0x82U
#define CLOSE 0x88U
#define PING 0x89U
#define PONG 0x8aU

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

static void send_request(struct client *c, const char *path, const char *fields)
{
	client_send_z(c, "GET ");
	client_send_z(c, path);
	client_send_z(c, " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
	client_send_z(c, fields);
	client_send_z(c, "\r\n");
}

#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* The last event, which must be the close of a WebSocket. */
static const struct fixture_event *wait_close(struct fixture *f)
{
	fixture_wait_connections(f, 0);
	const struct fixture_event *e = &f->events[f->n_events - 1];

	assert_int_equal(e->what, SEEN_CLOSE);
	return e;
}

static void send_close(struct client *c, unsigned code)
{
	char payload[2] = { (char)(code >> 8), (char)(code & 0xffU) };

	ws_send(c, CLOSE, payload, 2);
}

/* --- handshake --- */

static void refuses_handshakes_that_are_not_right(void **state)
{
	static const struct {
		const char *fields;
		int status;
	} cases[] = {
		{ KEY, 426 },
		{ KEY "Sec-WebSocket-Version: 8\r\n", 426 },
		{ VERSION, 400 },
		{ VERSION "Sec-WebSocket-Key: abc\r\n", 400 },
		{ VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n", 400 },
		{ VERSION KEY "Content-Length: 1\r\n\r\nx", 400 },
	};
	struct fixture *f = *state;

	fixture_listen(f);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct client c;
		char head[512];

		client_open(f, &c);
		send_request(&c, "/ws", cases[i].fields);
		assert_int_equal(client_read_answer(&c, head, sizeof(head)), cases[i].status);
		if (cases[i].status == 426)
			assert_non_null(strstr(head, "Sec-WebSocket-Version: 13\r\n"));
		client_expect_end(&c);
		client_close(&c);
	}
	assert_int_equal(f->n_events, 0);
}

static void lets_the_handler_refuse(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	send_request(&c, "/ws/no", VERSION KEY);
	client_expect_answer(&c, 403, "no");
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_close(&c);
	fixture_wait_connections(f, 0);
	assert_int_equal(f->n_events, 2);
}

static void lets_the_handler_choose_a_subprotocol(void **state)
{
	struct fixture *f = *state;
	struct client c;
	char head[512];

	fixture_listen(f);
	client_open(f, &c);
	send_request(&c, "/ws/sub",
		     VERSION KEY "Sec-WebSocket-Protocol: ocpp2.0.1 , x\r\n"
				 "Sec-WebSocket-Protocol: ocpp1.6\r\n");
	assert_int_equal(client_read_answer(&c, head, sizeof(head)), 101);
	assert_non_null(strstr(head, "\r\nSec-WebSocket-Protocol: ocpp1.6\r\n"));
	client_close(&c);
	client_open(f, &c);
	send_request(&c, "/ws/sub", VERSION KEY "Sec-WebSocket-Protocol: x\r\n");
	assert_int_equal(client_read_answer(&c, head, sizeof(head)), 101);
	assert_null(strstr(head, "Sec-WebSocket-Protocol"));
	client_close(&c);
}

static void declines_compression(void **state)
{
	struct fixture *f = *state;
	struct client c;
	char head[512];

	fixture_listen(f);
	client_open(f, &c);
	send_request(&c, "/ws", VERSION KEY "Sec-WebSocket-Extensions: permessage-deflate\r\n");
	assert_int_equal(client_read_answer(&c, head, sizeof(head)), 101);
	assert_null(strstr(head, "Extensions"));
	ws_send(&c, TEXT | 0x40U, "x", 1); /* as if it had been agreed */
	ws_expect_failed(&c, 1002);
	client_close(&c);
}

static void accepts_later_and_then_reads_what_was_sent_early(void **state)
{
	struct fixture *f = *state;
	struct net_ws_accept a = { .conn_user = f };
	struct net_response r = { .status = 200 };
	struct net_handle ws = { 0 };
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	send_request(&c, "/later", VERSION KEY);
	ws_send(&c, TEXT, "early", 5);
	fixture_wait_events(f, 1);
	assert_int_equal(f->events[0].what, SEEN_WS_REQUEST);
	struct net_handle request = f->events[0].handle;

	fixture_turn(f);
	assert_int_equal(f->n_events, 1);
	assert_int_equal(net_ws_send(f->server, request, NET_WS_KIND_TEXT, EV_LIT("x")), EV_CLOSED);
	assert_int_equal(net_ws_accept(f->server, request, &a, &ws), EV_OK);
	assert_int_equal(net_ws_accept(f->server, request, &a, &ws), EV_CLOSED);
	assert_int_equal(net_reply(f->server, request, &r), EV_CLOSED);
	assert_int_equal(net_reply(f->server, ws, &r), EV_CLOSED);
	assert_int_equal(net_ws_send(f->server, ws, NET_WS_KIND_TEXT, EV_LIT("first")), EV_OK);
	assert_int_equal(client_read_answer(&c, (char[512]){ 0 }, 512), 101);
	ws_expect(&c, TEXT, "first", 5);
	ws_expect(&c, TEXT, "early", 5);
	client_close(&c);
}

static void a_plain_request_cannot_become_a_websocket(void **state)
{
	struct fixture *f = *state;
	struct net_ws_accept a = { 0 };
	struct net_handle ws;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(f, 1);
	assert_int_equal(net_ws_accept(f->server, f->events[0].handle, &a, &ws), EV_CLOSED);
	client_close(&c);
}

/* --- messages --- */

static void echoes_messages_of_every_length_form(void **state)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536 };
	struct fixture *f = *state;
	struct client *c = malloc(sizeof(*c));
	char *bytes = malloc(70000);

	assert_non_null(c);
	assert_non_null(bytes);
	for (size_t i = 0; i < 70000; i++)
		bytes[i] = (char)(i * 13 / 3);
	fixture_listen(f);
	client_open(f, c);
	ws_open(c, "/ws");
	for (size_t i = 0; i < EV_ARRAY_LEN(sizes); i++) {
		ws_send(c, BINARY, bytes, sizes[i]);
		ws_expect(c, BINARY, bytes, sizes[i]);
	}
	fixture_wait_messages(f, EV_ARRAY_LEN(sizes));
	client_close(c);
	free(c);
	free(bytes);
}

static void takes_frames_split_at_every_byte(void **state)
{
	struct fixture *f = *state;
	char frames[256];
	char text[130];
	size_t n;
	struct client c;

	memset(text, 'z', sizeof(text));
	n = ws_make(frames, TEXT, text, sizeof(text));
	n += ws_make(frames + n, PING, "p", 1);
	n += ws_make(frames + n, BINARY, "b", 1);
	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	for (size_t cut = 1; cut < n; cut++) {
		client_send(&c, frames, cut);
		fixture_turn(f);
		fixture_turn(f);
		client_send(&c, frames + cut, n - cut);
		ws_expect(&c, TEXT, text, sizeof(text));
		ws_expect(&c, PONG, "p", 1);
		ws_expect(&c, BINARY, "b", 1);
	}
	client_close(&c);
}

static void joins_fragments_around_control_frames(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	for (int i = 0; i < 2; i++) {
		ws_send(&c, 0x01, "one\xe2", 4); /* a character spread over three fragments */
		ws_send(&c, PING, "", 0);
		ws_send(&c, 0x00, "\x82", 1);
		ws_send(&c, 0x00, "", 0);
		ws_send(&c, 0x80, "\xac two", 5);
		ws_expect(&c, PONG, "", 0);
		ws_expect(&c, TEXT, "one\xe2\x82\xac two", 10);
	}
	fixture_wait_messages(f, 2);
	client_close(&c);
}

static void echoes_many_messages_sent_at_once(void **state)
{
	struct fixture *f = *state;
	struct client c;
	char frames[64];
	size_t n = ws_make(frames, TEXT, "0123456789", 10);

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	for (int i = 0; i < 3000; i++)
		client_send(&c, frames, n);
	for (int i = 0; i < 3000; i++)
		ws_expect(&c, TEXT, "0123456789", 10);
	fixture_wait_messages(f, 3000);
	client_close(&c);
}

static void fails_what_breaks_the_protocol(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t n;
		unsigned code;
	} cases[] = {
		{ "not masked", "\x81\x01x", 3, 1002 },
		{ "unknown opcode", "\x83\x80mask", 6, 1002 },
		{ "reserved bit", "\xa1\x80mask", 6, 1002 },
		{ "fragmented ping", "\x09\x80mask", 6, 1002 },
		{ "long ping", "\x89\xfe\x00\x7emask", 8, 1002 },
		{ "continuation of nothing", "\x80\x80mask", 6, 1002 },
		{ "text inside text", "\x01\x80mask\x81\x80mask", 12, 1002 },
		{ "length not shortest, 16 bits", "\x82\xfe\x00\x7dmask", 8, 1002 },
		{ "length not shortest, 64 bits", "\x82\xff\0\0\0\0\0\0\xff\xffmask", 14, 1002 },
		{ "length of 64 bits", "\x82\xff\x80\0\0\0\0\0\0\0mask", 14, 1002 },
		{ "close of one byte", "\x88\x81\0\0\0\0x", 7, 1002 },
		{ "close with 1005", "\x88\x82\0\0\0\0\x03\xed", 8, 1002 },
		{ "close with 999", "\x88\x82\0\0\0\0\x03\xe7", 8, 1002 },
		{ "close reason not UTF-8", "\x88\x83\0\0\0\0\x03\xe8\xff", 9, 1007 },
		{ "text not UTF-8", "\x81\x81\0\0\0\0\xff", 7, 1007 },
		{ "character cut off", "\x81\x82\0\0\0\0\xe2\x82", 8, 1007 },
		{ "surrogate", "\x81\x83\0\0\0\0\xed\xa0\x80", 9, 1007 },
	};
	struct fixture *f = *state;

	fixture_listen(f);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct client c;

		client_open(f, &c);
		ws_open(&c, "/ws");
		client_send(&c, cases[i].bytes, cases[i].n);
		ws_expect_failed(&c, cases[i].code);
		client_close(&c);
		assert_int_equal(wait_close(f)->code, cases[i].code);
	}
	assert_int_equal(f->n_messages, 0);
	assert_int_equal(fixture_aborted(f, "ws_bad_utf8"), 4);
	assert_int_equal(fixture_aborted(f, "ws_protocol"), EV_ARRAY_LEN(cases) - 4);
}

static void fails_messages_that_are_too_large(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->config.limits.max_message_bytes = 300;
	fixture_listen(f);
	for (int i = 0; i < 3; i++) {
		char bytes[301] = { 0 };

		client_open(f, &c);
		ws_open(&c, "/ws");
		ws_send(&c, BINARY, bytes, 300);
		ws_expect(&c, BINARY, bytes, 300);
		if (i == 0) {
			ws_send(&c, BINARY, bytes, 301);
		} else if (i == 1) { /* known from the header alone */
			client_send(&c, "\x82\xff\0\0\0\0\x7f\xff\xff\xffmask", 14);
		} else {
			ws_send(&c, 0x02, bytes, 200);
			ws_send(&c, 0x80, bytes, 101);
		}
		ws_expect_failed(&c, 1009);
		client_close(&c);
		assert_int_equal(wait_close(f)->code, 1009);
	}
	assert_int_equal(fixture_aborted(f, "ws_too_big"), 3);
}

/* --- closing --- */

static void answers_the_peers_close_with_its_code(void **state)
{
	static const struct {
		const char *payload;
		size_t n;
		unsigned code;
	} cases[] = {
		{ "", 0, 1005 },
		{ "\x03\xe8", 2, 1000 },
		{ "\x03\xe9gone", 6, 1001 },
		{ "\x0f\xa0", 2, 4000 },
	};
	struct fixture *f = *state;

	fixture_listen(f);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct client c;

		client_open(f, &c);
		ws_open(&c, "/ws");
		ws_send(&c, CLOSE, cases[i].payload, cases[i].n);
		ws_expect(&c, CLOSE, cases[i].payload, cases[i].n < 2 ? 0 : 2);
		client_expect_end(&c);
		client_close(&c);
		const struct fixture_event *e = wait_close(f);

		assert_int_equal(e->code, cases[i].code);
		assert_ptr_equal(e->conn_user, f);
	}
}

static void closes_with_code_and_reason(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws/silent");
	ws_send(&c, TEXT, "a", 1);
	fixture_wait_messages(f, 1);
	struct net_handle ws = f->events[1].handle;

	assert_int_equal(net_ws_send(f->server, ws, NET_WS_KIND_TEXT, EV_LIT("last")), EV_OK);
	assert_int_equal(net_ws_close(f->server, ws, 4001, "replaced"), EV_OK);
	assert_int_equal(net_ws_close(f->server, ws, 4001, "replaced"), EV_CLOSED);
	assert_int_equal(net_ws_send(f->server, ws, NET_WS_KIND_TEXT, EV_LIT("x")), EV_CLOSED);
	ws_expect(&c, TEXT, "last", 4);
	ws_expect(&c, CLOSE, "\x0f\xa1replaced", 10);
	ws_send(&c, TEXT, "ignored", 7);
	send_close(&c, 4001);
	client_expect_end(&c);
	client_close(&c);
	assert_int_equal(wait_close(f)->code, 4001);
	assert_int_equal(f->n_messages, 1);
}

static void cuts_a_reason_that_is_too_long_between_characters(void **state)
{
	struct fixture *f = *state;
	char reason[200];
	struct client c;

	for (size_t i = 0; i < 198; i += 3)
		memcpy(reason + i, "\xe2\x82\xac", 3);
	memmove(reason + 1, reason, 197);
	reason[0] = 'x';
	reason[198] = '\0';
	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws/silent");
	ws_send(&c, TEXT, "a", 1);
	fixture_wait_messages(f, 1);
	assert_int_equal(net_ws_close(f->server, f->events[1].handle, 1000, reason), EV_OK);
	client_wait_bytes(&c, 2);
	assert_int_equal((uint8_t)c.in[1], 2 + 121); /* 123 would end inside the 41st */
	client_close(&c);
}

static void does_not_wait_long_for_the_peers_close(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws/silent");
	ws_send(&c, TEXT, "a", 1);
	fixture_wait_messages(f, 1);
	assert_int_equal(net_ws_close(f->server, f->events[1].handle, 1000, NULL), EV_OK);
	ws_expect(&c, CLOSE, "\x03\xe8", 2);
	client_expect_end(&c);
	assert_int_equal(wait_close(f)->code, 1000);
	client_close(&c);
}

static void reports_1006_when_the_peer_vanishes(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	client_close(&c);
	assert_int_equal(wait_close(f)->code, 1006);
	assert_int_equal(fixture_metric(f, "evcharge_net_websockets{"), 0);
	assert_int_equal(fixture_metric(f, "evcharge_net_websockets_total{"), 1);
}

/* The reset is known to the kernel before the loop has heard of it: the write at the turn's end
 * is what fails. */
static void survives_writes_to_a_peer_that_has_reset(void **state)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	ws_send(&c, TEXT, "a", 1);
	ws_expect(&c, TEXT, "a", 1);
	assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	client_close(&c);
	assert_int_equal(net_ws_send(f->server, f->events[f->n_events - 1].handle, NET_WS_KIND_TEXT,
				     EV_LIT("b")),
			 EV_OK);
	assert_int_equal(wait_close(f)->code, 1006);
	fixture_turn(f);
}

static void a_new_connection_can_replace_an_old_one(void **state)
{
	struct fixture *f = *state;
	struct client old;
	struct client new;

	fixture_listen(f);
	client_open(f, &old);
	ws_open(&old, "/ws");
	ws_send(&old, TEXT, "a", 1);
	ws_expect(&old, TEXT, "a", 1);
	struct net_handle h = f->events[1].handle;

	client_open(f, &new);
	ws_open(&new, "/ws");
	/* The old one's last message and its end come together with our wish to close it. */
	ws_send(&old, TEXT, "b", 1);
	client_close(&old);
	assert_int_equal(net_ws_close(f->server, h, 4001, "replaced"), EV_OK);
	fixture_wait_connections(f, 1);
	assert_int_equal(net_ws_send(f->server, h, NET_WS_KIND_TEXT, EV_LIT("x")), EV_CLOSED);
	ws_send(&new, TEXT, "c", 1);
	ws_expect(&new, TEXT, "c", 1);
	client_close(&new);
}

/* --- time --- */

static void pings_a_silent_peer_and_is_content_with_an_answer(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->config.limits.ping_interval_ms = 40;
	f->config.limits.pong_timeout_ms = 400;
	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	for (int i = 0; i < 3; i++) {
		ws_expect(&c, PING, "", 0);
		ws_send(&c, PONG, "", 0);
	}
	ws_send(&c, TEXT, "alive", 5);
	ws_expect(&c, TEXT, "alive", 5);
	assert_int_equal(fixture_aborted(f, "ping_timeout"), 0);
	client_close(&c);
}

static void drops_a_peer_that_answers_no_ping(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->config.limits.ping_interval_ms = 40;
	f->config.limits.pong_timeout_ms = 40;
	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	ws_expect(&c, PING, "", 0);
	client_expect_end(&c);
	assert_int_equal(wait_close(f)->code, 1006);
	assert_int_equal(fixture_aborted(f, "ping_timeout"), 1);
	client_close(&c);
}

static void closes_a_peer_that_sends_no_message(void **state)
{
	struct fixture *f = *state;
	struct client c;

	f->config.limits.ws_idle_timeout_ms = 60;
	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws");
	ws_send(&c, TEXT, "a", 1);
	ws_expect(&c, TEXT, "a", 1);
	ws_expect_failed(&c, 1000);
	assert_int_equal(wait_close(f)->code, 1000);
	assert_int_equal(fixture_aborted(f, "ws_idle"), 1);
	client_close(&c);
}

/* --- flow --- */

static void pauses_and_resumes_reading(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws/silent");
	ws_send(&c, TEXT, "1", 1);
	fixture_wait_messages(f, 1);
	struct net_handle ws = f->events[1].handle;

	assert_int_equal(net_ws_pause_reading(f->server, ws, true), EV_OK);
	for (int i = 0; i < 100; i++)
		ws_send(&c, TEXT, "2", 1);
	for (int i = 0; i < 10; i++)
		fixture_turn(f);
	assert_int_equal(f->n_messages, 1);
	assert_int_equal(net_ws_pause_reading(f->server, ws, false), EV_OK);
	fixture_wait_messages(f, 101);
	client_close(&c);
}

/* Pauses its peer inside the handler, after each message. */
struct stepper {
	struct fixture *f;
	struct net_handle ws;
	size_t n;
};

static void step_on_message(void *user, struct net_handle ws, void *conn_user,
			    enum net_ws_kind kind, struct ev_str bytes)
{
	struct stepper *s = user;

	(void)conn_user;
	(void)kind;
	(void)bytes;
	s->n++;
	s->ws = ws;
	assert_int_equal(net_ws_pause_reading(s->f->server, ws, true), EV_OK);
}

static void step_on_request(void *user, const struct net_request *req)
{
	(void)user;
	(void)req;
}

static void step_on_ws_request(void *user, const struct net_request *req)
{
	struct stepper *s = user;
	struct net_ws_accept a = { 0 };

	assert_int_equal(net_ws_accept(s->f->server, req->handle, &a, &s->ws), EV_OK);
}

static void step_on_close(void *user, struct net_handle ws, void *conn_user, unsigned code)
{
	(void)user;
	(void)ws;
	(void)conn_user;
	(void)code;
}

static void a_pause_in_the_handler_stops_the_messages_behind(void **state)
{
	static const struct net_handlers stepping = {
		.on_request = step_on_request,
		.on_ws_request = step_on_ws_request,
		.on_ws_message = step_on_message,
		.on_ws_close = step_on_close,
	};
	struct fixture *f = *state;
	struct stepper s = { .f = f };
	struct client c;
	char frames[64];
	size_t n = 0;

	f->config.handlers = &stepping;
	f->config.user = &s;
	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/");
	for (int i = 0; i < 5; i++)
		n += ws_make(frames + n, TEXT, "x", 1);
	client_send(&c, frames, n - 3); /* the last one is not whole */
	for (size_t i = 1; i <= 4; i++) {
		for (int turn = 0; turn < 5; turn++)
			fixture_turn(f);
		assert_int_equal(s.n, i);
		assert_int_equal(net_ws_pause_reading(f->server, s.ws, false), EV_OK);
	}
	client_send(&c, frames + n - 3, 3);
	for (int turn = 0; turn < 50 && s.n < 5; turn++)
		fixture_turn(f);
	assert_int_equal(s.n, 5);
	client_close(&c);
}

static void a_paused_peer_is_held_back_by_tcp(void **state)
{
	struct fixture *f = *state;
	char *bytes = calloc(1, 60000);
	struct client c;

	assert_non_null(bytes);
	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws/silent");
	ws_send(&c, TEXT, "1", 1);
	fixture_wait_messages(f, 1);
	assert_int_equal(net_ws_pause_reading(f->server, f->events[1].handle, true), EV_OK);
	ws_send(&c, BINARY, bytes, 60000);
	for (int i = 0; i < 20; i++)
		fixture_turn(f);
	assert_true(fixture_metric(f, "evcharge_net_received_bytes_total{") < 20000);
	assert_int_equal(net_ws_pause_reading(f->server, f->events[1].handle, false), EV_OK);
	fixture_wait_messages(f, 2);
	assert_int_equal(f->events[2].len, 60000);
	client_close(&c);
	free(bytes);
}

static void a_peer_that_leaves_while_paused_is_noticed_on_resuming(void **state)
{
	struct fixture *f = *state;
	struct client c;

	fixture_listen(f);
	client_open(f, &c);
	ws_open(&c, "/ws/silent");
	ws_send(&c, TEXT, "1", 1);
	fixture_wait_messages(f, 1);
	assert_int_equal(net_ws_pause_reading(f->server, f->events[1].handle, true), EV_OK);
	fixture_turn(f);
	client_close(&c);
	fixture_turn(f);
	if (net_is_open(f->server, f->events[1].handle))
		assert_int_equal(net_ws_pause_reading(f->server, f->events[1].handle, false),
				 EV_OK);
	assert_int_equal(wait_close(f)->code, 1006);
}

static void bounds_the_queue_of_a_slow_reader(void **state)
{
	struct fixture *f = *state;
	char block[4096] = { 0 };
	struct client c;
	ev_err e;
	size_t sent = 0;

	f->config.limits.max_out_bytes = 32768;
	fixture_listen(f);
	client_open_narrow(f, &c);
	ws_open(&c, "/ws/silent");
	ws_send(&c, TEXT, "1", 1);
	fixture_wait_messages(f, 1);
	struct net_handle ws = f->events[1].handle;

	do {
		e = net_ws_send(f->server, ws, NET_WS_KIND_BINARY,
				(struct ev_str){ block, sizeof(block) });
		sent += e == EV_OK;
		fixture_turn(f);
	} while (e == EV_OK);
	assert_int_equal(e, EV_FULL);
	assert_true(net_queued(f->server, ws) <= 32768);
	for (size_t i = 0; i < sent; i++)
		ws_expect(&c, BINARY, block, sizeof(block));
	fixture_wait_events(f, 3);
	assert_int_equal(f->events[2].what, SEEN_ROOM);
	assert_true(net_handle_eq(f->events[2].handle, ws));
	client_close(&c);
}

static void pings_without_end_cost_no_memory(void **state)
{
	struct fixture *f = *state;
	char payload[125] = { 0 };
	char frame[160];
	size_t n = ws_make(frame, PING, payload, sizeof(payload));
	struct client c;

	f->config.limits.max_out_bytes = 8192;
	f->config.limits.write_timeout_ms = 100;
	fixture_listen(f);
	client_open_narrow(f, &c);
	ws_open(&c, "/ws");
	/* It reads no pongs: the queue stops at its limit and the peer is dropped in the end. */
	for (int i = 0; i < 200000 && net_server_connections(f->server) > 0; i++) {
		client_send(&c, frame, n);
		if (i % 100 == 0)
			fixture_turn(f);
	}
	fixture_wait_connections(f, 0);
	assert_int_equal(fixture_aborted(f, "slow_reader"), 1);
	client_close(&c);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(refuses_handshakes_that_are_not_right),
		RULE(lets_the_handler_refuse),
		RULE(lets_the_handler_choose_a_subprotocol),
		RULE(declines_compression),
		RULE(accepts_later_and_then_reads_what_was_sent_early),
		RULE(a_plain_request_cannot_become_a_websocket),
		RULE(echoes_messages_of_every_length_form),
		RULE(takes_frames_split_at_every_byte),
		RULE(joins_fragments_around_control_frames),
		RULE(echoes_many_messages_sent_at_once),
		RULE(fails_what_breaks_the_protocol),
		RULE(fails_messages_that_are_too_large),
		RULE(answers_the_peers_close_with_its_code),
		RULE(closes_with_code_and_reason),
		RULE(cuts_a_reason_that_is_too_long_between_characters),
		RULE(does_not_wait_long_for_the_peers_close),
		RULE(reports_1006_when_the_peer_vanishes),
		RULE(survives_writes_to_a_peer_that_has_reset),
		RULE(a_new_connection_can_replace_an_old_one),
		RULE(pings_a_silent_peer_and_is_content_with_an_answer),
		RULE(drops_a_peer_that_answers_no_ping),
		RULE(closes_a_peer_that_sends_no_message),
		RULE(pauses_and_resumes_reading),
		RULE(a_pause_in_the_handler_stops_the_messages_behind),
		RULE(a_paused_peer_is_held_back_by_tcp),
		RULE(a_peer_that_leaves_while_paused_is_noticed_on_resuming),
		RULE(bounds_the_queue_of_a_slow_reader),
		RULE(pings_without_end_cost_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
