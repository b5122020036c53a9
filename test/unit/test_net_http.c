/* test_net_http.c — requests, chunks, paths and queries as bytes, without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/http.h"

static void assert_str(struct ev_str s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	if (s.n > 0)
		assert_memory_equal(s.p, want, s.n);
}

static int parse(const char *z, struct net_http_head *out)
{
	return net_http_head_parse(z, strlen(z), out);
}

/* --- the head --- */

static void finds_the_end_of_a_head_byte_by_byte(void **state)
{
	static const char text[] = "\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\nbody";
	size_t scan = 0;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 5; n++)
		assert_int_equal(net_http_head_end(text, n, &scan), 0);
	assert_int_equal(net_http_head_end(text, sizeof(text) - 1, &scan), sizeof(text) - 5);
	scan = 0;
	assert_int_equal(net_http_head_end(text, sizeof(text) - 1, &scan), sizeof(text) - 5);
}

static void sees_at_once_what_can_be_no_head(void **state)
{
	static const char *const cases[] = {
		"\x16\x03", " GET", "\n", "\r\n\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nA: b\n",
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		size_t scan = 0;

		assert_int_equal(net_http_head_end(cases[i], strlen(cases[i]), &scan), -1);
	}
}

static void reads_a_request(void **state)
{
	struct net_http_head h;

	(void)state;
	assert_int_equal(parse("POST /a%20b/c?x=1&y HTTP/1.1\r\nHost: example\r\n"
			       "content-LENGTH:  12 \r\nEmpty:\r\nX-A: \tb c\t\r\n"
			       "Expect: 100-Continue\r\n\r\n",
			       &h),
			 0);
	assert_int_equal(h.method, NET_POST);
	assert_str(h.path, "/a%20b/c");
	assert_str(h.query, "x=1&y");
	assert_int_equal(h.minor, 1);
	assert_true(h.keep_alive && h.has_length && h.expect_continue);
	assert_false(h.chunked || h.websocket);
	assert_int_equal(h.content_length, 12);
	assert_int_equal(h.n_headers, 5);
	assert_str(net_http_header(h.headers, h.n_headers, "x-a"), "b c");
	assert_str(net_http_header(h.headers, h.n_headers, "EMPTY"), "");
	assert_non_null(net_http_header(h.headers, h.n_headers, "EMPTY").p);
	assert_null(net_http_header(h.headers, h.n_headers, "X-B").p);
}

static void reads_every_form_of_target(void **state)
{
	static const struct {
		const char *request_line;
		int status;
		const char *path;
		const char *query;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n", 0, "/", "" },
		{ "GET /? HTTP/1.1\r\n", 0, "/", "" },
		{ "GET /a?b?c HTTP/1.1\r\n", 0, "/a", "b?c" },
		{ "GET //a/../b HTTP/1.1\r\n", 0, "//a/../b", "" },
		{ "GET http://host:80/a?b HTTP/1.1\r\n", 0, "/a", "b" },
		{ "GET HTTPS://host HTTP/1.1\r\n", 0, "/", "" },
		{ "GET http://host?q HTTP/1.1\r\n", 0, "/", "q" },
		{ "OPTIONS * HTTP/1.1\r\n", 0, "*", "" },
		{ "GET * HTTP/1.1\r\n", 400, NULL, NULL },
		{ "GET a HTTP/1.1\r\n", 400, NULL, NULL },
		{ "GET /a#b HTTP/1.1\r\n", 400, NULL, NULL },
		{ "GET /\xc3\xa4 HTTP/1.1\r\n", 400, NULL, NULL },
		{ "GET /a\tb HTTP/1.1\r\n", 400, NULL, NULL },
		{ "GET /a b HTTP/1.1\r\n", 400, NULL, NULL },
		{ "GET  /a HTTP/1.1\r\n", 400, NULL, NULL },
		{ "GET /a HTTP/1.1 \r\n", 400, NULL, NULL },
		{ "GET /a\r\n", 400, NULL, NULL },
		{ "GET\r\n", 400, NULL, NULL },
		{ "G@T / HTTP/1.1\r\n", 400, NULL, NULL },
		{ "get / HTTP/1.1\r\n", 501, NULL, NULL },
		{ "CONNECT a:1 HTTP/1.1\r\n", 501, NULL, NULL },
		{ "GET / http/1.1\r\n", 400, NULL, NULL },
		{ "GET / HTTP/1.10\r\n", 400, NULL, NULL },
		{ "GET / HTTP/3.0\r\n", 505, NULL, NULL },
		{ "GET / HTTP/1.2\r\n", 0, "/", "" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char text[128];
		struct ev_buf b = ev_buf_over(text, sizeof(text));
		struct net_http_head h;

		ev_buf_z(&b, cases[i].request_line);
		ev_buf_z(&b, "Host: x\r\n\r\n");
		if (net_http_head_parse(text, b.len, &h) != cases[i].status)
			fail_msg("%s", cases[i].request_line);
		if (cases[i].status != 0)
			continue;
		assert_str(h.path, cases[i].path);
		assert_str(h.query, cases[i].query);
	}
}

static const struct {
	const char *version;
	const char *fields;
	int status;
	bool keep_alive;
	bool chunked;
	bool websocket;
} framings[] = {
	{ "1.1", "Host: x\r\n", 0, true, false, false },
	{ "1.1", "", 400, false, false, false },
	{ "1.1", "Host:\r\n", 0, true, false, false },
	{ "1.1", "Host: x\r\nHost: x\r\n", 400, false, false, false },
	{ "1.0", "", 0, false, false, false },
	{ "1.0", "Connection: Keep-Alive\r\n", 0, true, false, false },
	{ "1.1", "Host: x\r\nConnection: keep-alive, close\r\n", 0, false, false, false },
	{ "1.1", "Host: x\r\nConnection: a\r\nConnection: close\r\n", 0, false, false, false },
	{ "1.1", "Host: x\r\nTransfer-Encoding: Chunked\r\n", 0, true, true, false },
	{ "1.1", "Host: x\r\nTransfer-Encoding: gzip\r\n", 501, false, false, false },
	{ "1.1", "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400,
	  false, false, false },
	{ "1.0", "Transfer-Encoding: chunked\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400, false,
	  false, false },
	{ "1.1", "Host: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n", 0, true, false, false },
	{ "1.1", "Host: x\r\nContent-Length: 3, 3\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nContent-Length: +3\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nContent-Length: 0x3\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nContent-Length:\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nContent-Length: 99999999999999999999\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nConnection: a, UPGRADE\r\nUpgrade: x, WebSocket\r\n", 0, true, false,
	  true },
	{ "1.1", "Host: x\r\nUpgrade: websocket\r\n", 0, true, false, false },
	{ "1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", 0, false, false, false },
	{ "1.1", "Host: x\r\nNoColon\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\n: y\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nA : y\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\n A: y\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nA: b\rc\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nA: \x7f\r\n", 400, false, false, false },
	{ "1.1", "Host: x\r\nA: \xe4\r\n", 0, true, false, false },
};

static void judges_the_fields_that_frame_the_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(framings); i++) {
		char text[256];
		struct ev_buf b = ev_buf_over(text, sizeof(text));
		struct net_http_head h;

		ev_buf_z(&b, "GET / HTTP/");
		ev_buf_z(&b, framings[i].version);
		ev_buf_z(&b, "\r\n");
		ev_buf_z(&b, framings[i].fields);
		ev_buf_z(&b, "\r\n");
		if (net_http_head_parse(text, b.len, &h) != framings[i].status)
			fail_msg("%s", framings[i].fields);
		if (framings[i].status != 0)
			continue;
		assert_int_equal(h.keep_alive, framings[i].keep_alive);
		assert_int_equal(h.chunked, framings[i].chunked);
		assert_int_equal(h.websocket, framings[i].websocket);
	}
}

static void a_nul_in_a_value_is_refused(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n";
	struct net_http_head h;

	(void)state;
	assert_int_equal(net_http_head_parse(text, sizeof(text) - 1, &h), 400);
}

/* --- chunks --- */

static void dechunks_at_every_split(void **state)
{
	static const char text[] =
		"5\r\nhello\r\n00a;ext=\"v\"\r\n0123456789\r\n0\r\nA: b\r\n\r\nnext";

	(void)state;
	for (size_t cut = 0; cut < sizeof(text) - 1; cut++) {
		struct net_chunked c = { 0 };
		char out[64];
		size_t first;
		size_t second;
		size_t used;

		enum net_chunk_result r = net_chunked_feed(&c, text, cut, out, &first, &used);

		if (r == NET_CHUNK_MORE) {
			assert_int_equal(used, cut);
			r = net_chunked_feed(&c, text + cut, sizeof(text) - 1 - cut, out + first,
					     &second, &used);
			used += cut;
			first += second;
		}
		assert_int_equal(r, NET_CHUNK_DONE);
		assert_int_equal(used, sizeof(text) - 1 - 4);
		assert_str((struct ev_str){ out, first }, "hello0123456789");
	}
}

static void dechunks_in_place(void **state)
{
	char text[] = "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
	struct net_chunked c = { 0 };
	size_t len;
	size_t used;

	(void)state;
	assert_int_equal(net_chunked_feed(&c, text, sizeof(text) - 1, text, &len, &used),
			 NET_CHUNK_DONE);
	assert_str((struct ev_str){ text, len }, "abcdef");
}

static void refuses_chunks_that_are_none(void **state)
{
	static const char *const cases[] = {
		"\r\n",    "g\r\n",      "-1\r\n",    "1\nx",         "1\rx",
		"1\r\nxy", "1\r\nx\rz",  ";a\r\n",    "0\r\n\rx",     "0\r\nA: b\rx",
		"1 \x01",  "0\r\n\x01a", "0\r\nA\nb", "0\r\nA: \x02", "0000000000000001\r\n",
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct net_chunked c = { 0 };
		char out[64];
		size_t len;
		size_t used;

		if (net_chunked_feed(&c, cases[i], strlen(cases[i]), out, &len, &used) !=
		    NET_CHUNK_BAD)
			fail_msg("case %zu", i);
		/* and never anything else afterwards */
		assert_int_equal(net_chunked_feed(&c, "0\r\n\r\n", 5, out, &len, &used),
				 NET_CHUNK_BAD);
		assert_int_equal(used, 0);
	}
}

static void bounds_extensions_and_trailers(void **state)
{
	static const struct {
		const char *before;
		size_t limit;
	} cases[] = { { "1;", 256 - 2 }, { "0\r\nA", 4096 - 1 } };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		for (size_t over = 0; over < 2; over++) {
			struct net_chunked c = { 0 };
			char many[5000];
			size_t len;
			size_t used;
			char out[5000];

			memset(many, 'a', sizeof(many));
			assert_int_equal(net_chunked_feed(&c, cases[i].before,
							  strlen(cases[i].before), out, &len,
							  &used),
					 NET_CHUNK_MORE);
			enum net_chunk_result r = net_chunked_feed(
				&c, many, cases[i].limit + 2 * over, out, &len, &used);

			assert_int_equal(r, over ? NET_CHUNK_BAD : NET_CHUNK_MORE);
		}
	}
}

/* --- lists, paths, queries --- */

static void finds_tokens_in_lists(void **state)
{
	struct ev_str rest = EV_LIT(" a ,, \t,b c,");
	struct ev_str element;

	(void)state;
	assert_true(net_http_list_next(&rest, &element));
	assert_str(element, "a");
	assert_true(net_http_list_next(&rest, &element));
	assert_str(element, "b c");
	assert_false(net_http_list_next(&rest, &element));
	assert_true(net_http_has_token(EV_LIT("x, Close ,y"), "close"));
	assert_false(net_http_has_token(EV_LIT("closed"), "close"));
	assert_false(net_http_has_token((struct ev_str){ NULL, 0 }, "close"));
}

static void decodes_percent_strictly(void **state)
{
	static const struct {
		const char *in;
		bool plus;
		ev_err e;
		const char *out;
	} cases[] = {
		{ "", false, EV_OK, "" },
		{ "a%2Fb%e4", false, EV_OK, "a/b\xe4" },
		{ "a+b", false, EV_OK, "a+b" },
		{ "a+b%2B", true, EV_OK, "a b+" },
		{ "%", false, EV_INVALID, NULL },
		{ "%4", false, EV_INVALID, NULL },
		{ "%4g", false, EV_INVALID, NULL },
		{ "%00", false, EV_INVALID, NULL },
		{ "12345678", false, EV_OK, "12345678" },
		{ "123456789", false, EV_FULL, NULL },
		{ "1234567%39", false, EV_OK, "12345679" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char room[8];
		struct ev_str out;

		assert_int_equal(net_percent_decode(ev_str_from(cases[i].in), cases[i].plus, room,
						    sizeof(room), &out),
				 cases[i].e);
		if (cases[i].e == EV_OK)
			assert_str(out, cases[i].out);
	}
}

static void finds_parameters_of_a_query(void **state)
{
	static const struct {
		const char *query;
		ev_err e;
		const char *value;
	} cases[] = {
		{ "limit=5", EV_OK, "5" },         { "a=1&limit=5&limit=6", EV_OK, "5" },
		{ "&&limit", EV_OK, "" },          { "limit=", EV_OK, "" },
		{ "limit=a=b", EV_OK, "a=b" },     { "l%69mit=a%26b+c", EV_OK, "a&b c" },
		{ "", EV_NOTFOUND, NULL },         { "limits=1&limi=2&=3", EV_NOTFOUND, NULL },
		{ "limit=%zz", EV_INVALID, NULL }, { "%zz=1&limit=5", EV_INVALID, NULL },
		{ "x=%zz&limit=5", EV_OK, "5" },   { "limit=12345678901234567", EV_FULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char room[16];
		struct ev_str value;

		if (net_query_get(ev_str_from(cases[i].query), "limit", room, sizeof(room),
				  &value) != cases[i].e)
			fail_msg("%s", cases[i].query);
		if (cases[i].e == EV_OK)
			assert_str(value, cases[i].value);
	}
}

static void a_zero_byte_ends_no_parameters_name(void **state)
{
	static const char query[] = "limit\0xyz=5"; /* no head has it, but this reads any bytes */
	char room[16];
	struct ev_str value;

	(void)state;
	assert_int_equal(net_query_get((struct ev_str){ query, sizeof(query) - 1 }, "limit", room,
				       sizeof(room), &value),
			 EV_NOTFOUND);
}

static void walks_the_segments_of_a_path(void **state)
{
	static const char *const want[] = { "a", "", "b%2Fc", "" };
	struct ev_str rest = EV_LIT("/a//b%2Fc/");
	struct ev_str segment;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(want); i++) {
		assert_true(net_path_next(&rest, &segment));
		assert_str(segment, want[i]);
	}
	assert_false(net_path_next(&rest, &segment));
	rest = EV_LIT("*");
	assert_false(net_path_next(&rest, &segment));
}

static void names_methods_and_statuses(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NET_METHOD_COUNT; i++) {
		enum net_method m;
		const char *text = net_method_text((enum net_method)i);

		assert_int_equal(net_method_from(ev_str_from(text), &m), EV_OK);
		assert_int_equal(m, i);
	}
	assert_string_equal(net_status_text(404), "Not Found");
	assert_string_equal(net_status_text(499), "Unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_end_of_a_head_byte_by_byte),
		cmocka_unit_test(sees_at_once_what_can_be_no_head),
		cmocka_unit_test(reads_a_request),
		cmocka_unit_test(reads_every_form_of_target),
		cmocka_unit_test(judges_the_fields_that_frame_the_message),
		cmocka_unit_test(a_nul_in_a_value_is_refused),
		cmocka_unit_test(dechunks_at_every_split),
		cmocka_unit_test(dechunks_in_place),
		cmocka_unit_test(refuses_chunks_that_are_none),
		cmocka_unit_test(bounds_extensions_and_trailers),
		cmocka_unit_test(finds_tokens_in_lists),
		cmocka_unit_test(decodes_percent_strictly),
		cmocka_unit_test(finds_parameters_of_a_query),
		cmocka_unit_test(a_zero_byte_ends_no_parameters_name),
		cmocka_unit_test(walks_the_segments_of_a_path),
		cmocka_unit_test(names_methods_and_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
