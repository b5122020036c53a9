/* test_net_ws_frame.c — WebSocket frames as bytes, without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/ws_frame.h"

static const char mask[4] = { 0x37, (char)0xfa, 0x21, 0x3d };

/* A masked frame with the length in a field of `extra` bytes. */
static size_t make(char *out, unsigned first, size_t n, size_t extra)
{
	size_t at = 0;

	out[at++] = (char)first;
	out[at++] = (char)(0x80 | (extra == 0 ? n : extra == 2 ? 126 : 127));
	for (size_t i = 0; i < extra; i++)
		out[at++] = (char)((uint64_t)n >> (8 * (extra - 1 - i)));
	memcpy(out + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < n; i++)
		out[at++] = (char)((char)(i * 7) ^ mask[i % 4]);
	return at;
}

static void reads_the_example_of_the_standard(void **state)
{
	char bytes[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; /* RFC 6455, 5.7 */
	struct net_ws_frame f;

	(void)state;
	assert_int_equal(net_ws_decode(bytes, sizeof(bytes) - 1, 100, &f), NET_WS_FRAME);
	assert_int_equal(f.opcode, NET_WS_TEXT);
	assert_true(f.fin);
	assert_int_equal(f.size, 11);
	assert_true(ev_str_eqz(f.payload, "Hello"));
}

static void needs_every_byte_of_a_frame(void **state)
{
	static const struct {
		size_t n;
		size_t extra;
	} cases[] = { { 0, 0 }, { 1, 0 }, { 125, 0 }, { 126, 2 }, { 65535, 2 }, { 65536, 8 } };
	char *bytes = malloc(70000);
	char *work = malloc(70000);

	(void)state;
	assert_non_null(bytes);
	assert_non_null(work);
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		size_t size = make(bytes, 0x82, cases[i].n, cases[i].extra);
		size_t step = size < 1000 ? 1 : 977;
		struct net_ws_frame f;

		memcpy(work, bytes, size);
		for (size_t n = 0; n < size; n += step)
			assert_int_equal(net_ws_decode(work, n, 65536, &f), NET_WS_MORE);
		assert_memory_equal(work, bytes, size); /* nothing was unmasked too early */
		assert_int_equal(net_ws_decode(work, size + 3, 65536, &f), NET_WS_FRAME);
		assert_int_equal(f.size, size);
		assert_int_equal(f.payload.n, cases[i].n);
		for (size_t k = 0; k < cases[i].n; k++)
			assert_int_equal(f.payload.p[k], (char)(k * 7));
	}
	free(bytes);
	free(work);
}

static void knows_from_the_header_what_is_too_big(void **state)
{
	char bytes[32];
	struct net_ws_frame f;

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "\x82\xfe\x01\x01....", 8);
	assert_int_equal(net_ws_decode(bytes, 8, 256, &f), NET_WS_TOO_BIG);
	assert_int_equal(net_ws_decode(bytes, 8, 257, &f), NET_WS_MORE);
	memcpy(bytes, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff....", 14);
	assert_int_equal(net_ws_decode(bytes, 14, 1U << 20, &f), NET_WS_TOO_BIG);
}

static void control_frames_do_not_count_against_the_limit(void **state)
{
	char bytes[140];
	struct net_ws_frame f;
	size_t size = make(bytes, 0x89, 125, 0);

	(void)state;
	assert_int_equal(net_ws_decode(bytes, size, 0, &f), NET_WS_FRAME);
	assert_int_equal(f.opcode, NET_WS_PING);
}

static void writes_the_shortest_header(void **state)
{
	static const struct {
		size_t len;
		const char *bytes;
		size_t n;
	} cases[] = {
		{ 0, "\x81\x00", 2 },
		{ 125, "\x81\x7d", 2 },
		{ 126, "\x81\x7e\x00\x7e", 4 },
		{ 65535, "\x81\x7e\xff\xff", 4 },
		{ 65536, "\x81\x7f\0\0\0\0\0\x01\0\0", 10 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		uint8_t out[NET_WS_MAX_HEADER];

		assert_int_equal(net_ws_header(out, NET_WS_TEXT, cases[i].len), cases[i].n);
		assert_memory_equal(out, cases[i].bytes, cases[i].n);
	}
}

static void knows_which_close_codes_may_be_sent(void **state)
{
	static const unsigned good[] = { 1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999 };
	static const unsigned bad[] = { 0,    999,  1004, 1005, 1006, 1015,
					1016, 1100, 2999, 5000, 65535 };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(good); i++)
		assert_true(net_ws_close_code_ok(good[i]));
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++)
		assert_false(net_ws_close_code_ok(bad[i]));
}

static void computes_the_accept_key(void **state)
{
	static const char *const bad[] = {
		"",
		"dGhlIHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25jZQ==x",
		"dGhlIHNhbXBsZSBub25jZQxx",
		"dGhlIHNhbXBsZSB!b25jZQ==",
		"========================",
	};
	char out[NET_WS_ACCEPT_LEN + 1];

	(void)state;
	assert_int_equal(net_ws_accept_key(EV_LIT("dGhlIHNhbXBsZSBub25jZQ=="), out), EV_OK);
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455, 1.3 */
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++)
		assert_int_equal(net_ws_accept_key(ev_str_from(bad[i]), out), EV_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_example_of_the_standard),
		cmocka_unit_test(needs_every_byte_of_a_frame),
		cmocka_unit_test(knows_from_the_header_what_is_too_big),
		cmocka_unit_test(control_frames_do_not_count_against_the_limit),
		cmocka_unit_test(writes_the_shortest_header),
		cmocka_unit_test(knows_which_close_codes_may_be_sent),
		cmocka_unit_test(computes_the_accept_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
