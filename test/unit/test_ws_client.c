#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "cli/ws_client.h"

#define WAIT_MS 5000

/* --- Frames --- */

static void knows_the_accept_key_of_the_rfc(void **state)
{
	char out[29];

	(void)state;
	ws_accept_text(EV_LIT("dGhlIHNhbXBsZSBub25jZQ=="), out);
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void reads_the_frames_of_the_rfc(void **state)
{
	struct ws_frame f;
	size_t used = 0;

	(void)state;
	assert_int_equal(ws_frame_decode(EV_LIT("\x81\x05Hello+"), &f, &used), EV_OK);
	assert_int_equal(used, 7);
	assert_true(f.fin && f.opcode == WS_TEXT && ev_str_eqz(f.payload, "Hello"));
	assert_int_equal(ws_frame_decode(EV_LIT("\x01\x03Hel"), &f, &used), EV_OK);
	assert_false(f.fin);
	assert_int_equal(ws_frame_decode(EV_LIT("\x89\x00"), &f, &used), EV_OK);
	assert_int_equal(f.opcode, WS_PING);
}

static void waits_for_whole_frames_at_every_cut(void **state)
{
	char in[4 + 300] = { (char)0x81, 126, 1, 44 };
	struct ws_frame f;
	size_t used = 0;

	(void)state;
	for (size_t n = 0; n < sizeof(in); n++)
		assert_int_equal(ws_frame_decode((struct ev_str){ in, n }, &f, &used), EV_NOTFOUND);
	assert_int_equal(ws_frame_decode((struct ev_str){ in, sizeof(in) }, &f, &used), EV_OK);
	assert_int_equal(f.payload.n, 300);
}

static void refuses_frames_against_the_rfc(void **state)
{
	const struct {
		struct ev_str in;
		ev_err e;
	} cases[] = {
		{ EV_LIT("\x81\x85\x01\x02\x03\x04Hello"), EV_INVALID }, /* masked */
		{ EV_LIT("\xC1\x00"), EV_INVALID },                      /* a reserved bit */
		{ EV_LIT("\x83\x00"), EV_INVALID },                      /* an unknown opcode */
		{ EV_LIT("\x09\x00"), EV_INVALID },                      /* a fragmented ping */
		{ EV_LIT("\x89\x7E\x00\x80"), EV_INVALID },              /* a long ping */
		{ EV_LIT("\x81\x7E\x00\x7D"), EV_INVALID },              /* not the shortest form */
		{ EV_LIT("\x81\x7F\0\0\0\0\0\0\xFF\xFF"), EV_INVALID },
		{ EV_LIT("\x81\x7F\0\0\0\0\0\1\0\1"), EV_FULL },
	};
	struct ws_frame f;
	size_t used;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++)
		assert_int_equal(ws_frame_decode(cases[i].in, &f, &used), cases[i].e);
}

static void writes_each_length_in_its_shortest_form(void **state)
{
	static const uint8_t mask[4] = { 1, 2, 3, 4 };
	static const struct {
		size_t n, header;
	} cases[] = { { 0, 6 }, { 125, 6 }, { 126, 8 }, { 65535, 8 }, { 65536, 14 } };
	char out[WS_HEADER_MAX];

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		size_t n = ws_frame_header(out, WS_TEXT, cases[i].n, mask);

		assert_int_equal(n, cases[i].header);
		assert_int_equal((uint8_t)out[0], 0x81);
		assert_int_equal((uint8_t)out[1] & 0x80, 0x80);
		assert_memory_equal(out + n - 4, mask, 4);
	}
}

static void masks_as_the_rfc_does(void **state)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	char text[] = "Hello";

	(void)state;
	ws_mask(text, 5, mask);
	assert_memory_equal(text, "\x7f\x9f\x4d\x51\x58", 5);
}

/* --- Against a server of a few lines, in the same thread --- */

struct peer {
	int listener, fd;
	struct sockaddr_in address;
	struct ev_rng_seeded rng;
	struct ws_client c;
	int opened, closed;
	const char *why;
	char texts[512]; /* what came, each with a `|` */
};

static void on_opened(void *user)
{
	((struct peer *)user)->opened++;
}

static void on_text(void *user, struct ev_str message)
{
	struct peer *p = user;
	size_t n = strlen(p->texts);

	snprintf(p->texts + n, sizeof(p->texts) - n, "%.*s|", (int)message.n, message.p);
}

static void on_closed(void *user, const char *why)
{
	struct peer *p = user;

	p->closed++;
	p->why = why;
}

static const struct ws_handlers handlers = { on_opened, on_text, on_closed };

static int set_up(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	socklen_t n = sizeof(p->address);

	assert_non_null(p);
	p->address.sin_family = AF_INET;
	p->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->listener = socket(AF_INET, SOCK_STREAM, 0);
	p->fd = -1;
	assert_int_equal(bind(p->listener, (struct sockaddr *)&p->address, n), 0);
	assert_int_equal(listen(p->listener, 1), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&p->address, &n), 0);
	ev_rng_seeded_init(&p->rng, 1);
	ws_client_init(&p->c, &handlers, p, &p->rng.base);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct peer *p = *state;

	ws_client_abort(&p->c);
	if (p->fd >= 0)
		assert_int_equal(close(p->fd), 0);
	assert_int_equal(close(p->listener), 0);
	free(p);
	return 0;
}

static void turn(struct peer *p)
{
	struct pollfd w = { .fd = p->c.fd, .events = POLLIN };

	if (ws_client_wants_write(&p->c))
		w.events = POLLIN | POLLOUT;
	assert_int_equal(poll(&w, 1, WAIT_MS), 1);
	ws_client_ready(&p->c, (w.revents & (POLLIN | POLLHUP | POLLERR)) != 0,
			(w.revents & (POLLOUT | POLLERR)) != 0);
}

static void must_write(const struct peer *p, const void *bytes, size_t n)
{
	assert_int_equal(send(p->fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Takes the request and writes the key's accept text. */
static void take_request(struct peer *p, char accept_text[29])
{
	char request[2048] = "";
	size_t n = 0;
	struct ev_str authorization = EV_LIT("Bearer x");

	assert_int_equal(ws_client_connect(&p->c, (struct sockaddr *)&p->address,
					   sizeof(p->address), EV_LIT("here"), EV_LIT("/devices/1"),
					   authorization),
			 EV_OK);
	while (ws_client_wants_write(&p->c))
		turn(p);
	p->fd = accept(p->listener, NULL, NULL);
	assert_true(p->fd >= 0);
	while (strstr(request, "\r\n\r\n") == NULL) {
		ssize_t got = recv(p->fd, request + n, sizeof(request) - 1 - n, 0);

		assert_true(got > 0);
		n += (size_t)got;
		request[n] = '\0';
	}
	assert_memory_equal(request, "GET /devices/1 HTTP/1.1\r\nHost: here\r\n", 37);
	assert_non_null(strstr(request, "\r\nAuthorization: Bearer x\r\n"));
	const char *key = strstr(request, "Sec-WebSocket-Key: ");

	assert_non_null(key);
	ws_accept_text((struct ev_str){ key + 19, 24 }, accept_text);
}

static void accept_with(struct peer *p, const char *then, size_t then_n)
{
	char accept_text[29], response[512];

	take_request(p, accept_text);
	int n = snprintf(response, sizeof(response),
			 "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
			 "sec-websocket-accept:  %s \r\n\r\n",
			 accept_text);

	assert_true(n > 0 && (size_t)n + then_n < sizeof(response));
	memcpy(response + n, then, then_n);
	must_write(p, response, (size_t)n + then_n);
	while (p->opened == 0 && p->closed == 0)
		turn(p);
}

static void opens_and_takes_what_came_with_the_handshake(void **state)
{
	struct peer *p = *state;

	accept_with(p, "\x81\x02hi\x81\x03you", 9);
	assert_int_equal(p->opened, 1);
	assert_string_equal(p->texts, "hi|you|");
}

static void reads_messages_cut_at_every_byte(void **state)
{
	static const char frames[] = "\x81\x02hi\x01\x01"
				     "a\x89\x01p\x00\x00\x80\x01"
				     "b\x81\x00";
	struct peer *p = *state;

	accept_with(p, "", 0);
	for (size_t i = 0; i < sizeof(frames) - 1; i++) {
		must_write(p, frames + i, 1);
		turn(p);
	}
	assert_string_equal(p->texts, "hi|ab||");
	char pong[7];

	assert_int_equal(recv(p->fd, pong, sizeof(pong), MSG_WAITALL), 7);
	assert_int_equal((uint8_t)pong[0], 0x8A);
	ws_mask(pong + 6, 1, (const uint8_t *)pong + 2);
	assert_int_equal(pong[6], 'p');
}

static void sends_masked_text(void **state)
{
	struct peer *p = *state;
	char got[11];

	accept_with(p, "", 0);
	assert_int_equal(ws_client_send(&p->c, EV_LIT("Hello")), EV_OK);
	assert_int_equal(recv(p->fd, got, sizeof(got), MSG_WAITALL), 11);
	assert_memory_equal(got, "\x81\x85", 2);
	ws_mask(got + 6, 5, (const uint8_t *)got + 2);
	assert_memory_equal(got + 6, "Hello", 5);
}

static void keeps_what_the_socket_does_not_take_and_stops_at_the_limit(void **state)
{
	struct peer *p = *state;
	char *big = calloc(1, 60000);
	ev_err e = EV_OK;
	size_t sent = 0, got = 0;
	char sink[65536];

	assert_non_null(big);
	accept_with(p, "", 0);
	for (int i = 0; i < 1000 && e == EV_OK; i++) {
		e = ws_client_send(&p->c, (struct ev_str){ big, 60000 });
		sent += e == EV_OK ? 60008 : 0;
	}
	assert_int_equal(e, EV_FULL);
	while (got < sent) {
		ssize_t n = recv(p->fd, sink, sizeof(sink), MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		else
			turn(p);
	}
	assert_false(ws_client_wants_write(&p->c));
	assert_null(p->c.out.p);
	free(big);
}

static void tells_when_the_server_declines(void **state)
{
	static const char answer[] = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
	struct peer *p = *state;
	char accept_text[29];

	take_request(p, accept_text);
	must_write(p, answer, sizeof(answer) - 1);
	while (p->closed == 0)
		turn(p);
	assert_int_equal(p->c.http_status, 401);
	assert_int_equal(p->opened, 0);
}

static void refuses_an_accept_of_another_key(void **state)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\n"
				     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	struct peer *p = *state;
	char accept_text[29];

	take_request(p, accept_text);
	must_write(p, answer, sizeof(answer) - 1);
	while (p->closed == 0)
		turn(p);
	assert_int_equal(p->opened, 0);
}

static void closes_on_each_breach_and_on_the_end(void **state)
{
	const struct ev_str breaches[] = {
		EV_LIT("\x82\x01x"), EV_LIT("\x80\x01x"), EV_LIT("\x01\x01x\x81\x01y"),
		EV_LIT("\xFF\xFF"),  EV_LIT("\x88\x00"),  EV_LIT(""),
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(breaches); i++) {
		struct peer *p = *state;

		p->opened = p->closed = 0;
		accept_with(p, "", 0);
		if (breaches[i].n > 0)
			must_write(p, breaches[i].p, breaches[i].n);
		else
			assert_int_equal(shutdown(p->fd, SHUT_WR), 0);
		while (p->closed == 0)
			turn(p);
		assert_non_null(p->why);
		assert_int_equal(p->c.state, WS_CLOSED);
		assert_int_equal(ws_client_send(&p->c, EV_LIT("x")), EV_CLOSED);
		assert_int_equal(close(p->fd), 0);
		p->fd = -1;
	}
}

static void tells_when_nobody_listens(void **state)
{
	struct peer *p = *state;
	struct sockaddr_in nobody = p->address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t n = sizeof(nobody);

	/* A port that is bound but does not listen refuses for certain. */
	nobody.sin_port = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&nobody, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&nobody, &n), 0);
	ev_err e = ws_client_connect(&p->c, (struct sockaddr *)&nobody, n, EV_LIT("h"), EV_LIT("/"),
				     EV_LIT(""));

	if (e == EV_OK) {
		while (p->closed == 0)
			turn(p);
	}
	assert_int_equal(p->c.state, WS_CLOSED);
	assert_int_equal(close(fd), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_accept_key_of_the_rfc),
		cmocka_unit_test(reads_the_frames_of_the_rfc),
		cmocka_unit_test(waits_for_whole_frames_at_every_cut),
		cmocka_unit_test(refuses_frames_against_the_rfc),
		cmocka_unit_test(writes_each_length_in_its_shortest_form),
		cmocka_unit_test(masks_as_the_rfc_does),
		TEST(opens_and_takes_what_came_with_the_handshake),
		TEST(reads_messages_cut_at_every_byte),
		TEST(sends_masked_text),
		TEST(keeps_what_the_socket_does_not_take_and_stops_at_the_limit),
		TEST(tells_when_the_server_declines),
		TEST(refuses_an_accept_of_another_key),
		TEST(closes_on_each_breach_and_on_the_end),
		TEST(tells_when_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
