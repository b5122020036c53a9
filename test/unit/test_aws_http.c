/* test_aws_http.c — the HTTP client against a server that behaves, and one that does not. */
#include "engine/aws/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "aws_fake.h"

static struct aws_http *new_http(unsigned max_in_flight)
{
	struct aws_http_config config = { .max_in_flight = max_in_flight, .direct = true };
	struct aws_http *h = NULL;

	assert_int_equal(aws_http_new(&config, &h), EV_OK);
	return h;
}

static struct aws_http_request get(const char *url)
{
	return (struct aws_http_request){ .method = AWS_HTTP_GET,
					  .url = url,
					  .connect_ms = 5000,
					  .total_ms = 5000,
					  .max_answer = 65536 };
}

static void sends_and_reads_on_one_connection(void **state)
{
	static const struct fake_answer script[] = {
		{ .body = "one",
		  .headers = "Date: Mon, 23 Nov 2026 08:00:00 GMT\r\nx-amz-crc32: 12\r\n"
			     "x-amzn-RequestId: abc\r\n" },
		{ .status = 400,
		  .body = "",
		  .headers = "x-amz-request-id: def\r\nx-amzn-query-error: Code;Sender\r\n"
			     "x-amz-retry-after: 1500\r\n" },
		{ .body = "a\0b", .body_n = 3 },
	};
	struct aws_http *h = new_http(2);
	struct aws_header headers[] = { { EV_LIT("X-One"), EV_LIT("1") },
					{ EV_LIT("Content-Type"), EV_LIT("text/x") } };
	struct aws_http_request r;
	struct fake f;
	char url[128];

	(void)state;
	fake_start(&f, script, 3);
	snprintf(url, sizeof(url), "%s/path?q=1", f.url);
	r = get(url);
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.err, EV_OK);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.answer.p, "one");
	assert_string_equal(r.head.date, "Mon, 23 Nov 2026 08:00:00 GMT");
	assert_string_equal(r.head.crc32, "12");
	assert_string_equal(r.head.request_id, "abc");
	r.method = AWS_HTTP_POST;
	r.headers = headers;
	r.n_headers = 2;
	r.body = EV_LIT("body\0with nul");
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.status, 400);
	assert_int_equal(r.answer.n, 0);
	assert_string_equal(r.head.request_id, "def");
	assert_string_equal(r.head.query_error, "Code;Sender");
	assert_string_equal(r.head.retry_after, "1500");
	assert_string_equal(r.head.date, "");
	r.method = AWS_HTTP_PUT;
	r.body.n = 0;
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.answer.n, 3);
	assert_memory_equal(r.answer.p, "a\0b", 4);
	aws_http_clear(&r);
	assert_string_equal(fake_at(&f, 0)->method, "GET");
	assert_string_equal(fake_at(&f, 0)->path, "/path?q=1");
	assert_string_equal(fake_at(&f, 1)->method, "POST");
	assert_int_equal(fake_at(&f, 1)->body_n, 13);
	assert_memory_equal(fake_at(&f, 1)->body, "body\0with nul", 13);
	fake_expect_header(fake_at(&f, 1), "X-One", "1");
	fake_expect_header(fake_at(&f, 1), "Content-Type", "text/x");
	fake_expect_header(fake_at(&f, 1), "Accept", NULL);
	assert_string_equal(fake_at(&f, 2)->method, "PUT");
	fake_expect_header(fake_at(&f, 2), "Content-Length", "0");
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(fake_at(&f, i)->connection, 0);
	aws_http_free(h);
	fake_stop(&f);
}

static void sends_large_bodies_without_asking_first(void **state)
{
	static const struct fake_answer script[] = { { .body = "ok" } };
	size_t n = (size_t)2 << 20;
	char *body = malloc(n);
	struct aws_http *h = new_http(1);
	struct aws_http_request r;
	struct fake f;

	(void)state;
	assert_non_null(body);
	memset(body, 'x', n);
	fake_start(&f, script, 1);
	r = get(f.url);
	r.method = AWS_HTTP_POST;
	r.body = (struct ev_str){ body, n };
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.err, EV_OK);
	assert_int_equal(fake_at(&f, 0)->body_n, n);
	fake_expect_header(fake_at(&f, 0), "Expect", NULL);
	aws_http_clear(&r);
	aws_http_free(h);
	fake_stop(&f);
	free(body);
}

static void echo(void *user, const struct fake_request *r, struct fake_answer *out)
{
	(void)user;
	*out = (struct fake_answer){ .body = r->body, .body_n = r->body_n };
}

static void runs_more_requests_than_connections(void **state)
{
	struct aws_http *h = new_http(4);
	struct aws_http_request r[40];
	char bodies[40][16];
	struct fake f;

	(void)state;
	fake_start_fn(&f, echo, NULL);
	for (size_t i = 0; i < 40; i++) {
		int n = snprintf(bodies[i], sizeof(bodies[i]), "body %zu", i);

		r[i] = get(f.url);
		r[i].method = AWS_HTTP_POST;
		r[i].body = (struct ev_str){ bodies[i], (size_t)n };
	}
	aws_http_run(h, r, 40, 10000);
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(r[i].err, EV_OK);
		assert_string_equal(r[i].answer.p, bodies[i]);
		assert_true(fake_at(&f, i)->connection < 4);
		aws_http_clear(&r[i]);
	}
	assert_int_equal(aws_http_n(h), 0);
	aws_http_free(h);
	fake_stop(&f);
}

static void tells_what_went_wrong(void **state)
{
	static const char large[] = "0123456789abcdef0";
	static const struct {
		struct fake_answer answer;
		ev_err err;
	} cases[] = {
		{ { .trick = FAKE_HANG }, EV_TIMEOUT },
		{ { .trick = FAKE_CLOSE }, EV_IO },
		{ { .trick = FAKE_CUT, .body = "abcdef" }, EV_IO },
		{ { .trick = FAKE_GARBAGE }, EV_IO },
		{ { .trick = FAKE_FLOOD }, EV_FULL },
		{ { .body = large }, EV_FULL },
		{ { .body = "0123456789abcdef" }, EV_OK },
		{ { .status = 302, .headers = "Location: http://127.0.0.1:1/\r\n" }, EV_OK },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct aws_http *h = new_http(1);
		struct aws_http_request r;
		struct fake f;

		fake_start(&f, &cases[i].answer, 1);
		r = get(f.url);
		r.max_answer = 16;
		r.secret = i % 2 == 0;
		r.total_ms = cases[i].err == EV_TIMEOUT ? 50 : 5000;
		aws_http_run(h, &r, 1, 5000);
		assert_int_equal(r.err, cases[i].err);
		assert_int_equal(r.answer.p != NULL, r.err == EV_OK);
		if (cases[i].answer.status != 0)
			assert_int_equal(r.status, cases[i].answer.status);
		assert_int_equal(fake_n(&f), 1);
		aws_http_clear(&r);
		aws_http_free(h);
		fake_stop(&f);
	}
}

static void fails_where_nobody_listens(void **state)
{
	struct aws_http *h = new_http(1);
	struct aws_http_request r;
	struct fake f;

	(void)state;
	fake_start(&f, NULL, 0);
	fake_stop(&f);
	r = get(f.url);
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.err, EV_IO);
	assert_true(r.sys != 0);
	aws_http_free(h);
}

static void refuses_what_it_must_not_send(void **state)
{
	struct aws_http *h = new_http(1);
	const struct aws_header bad[] = {
		{ EV_LIT("X-A"), EV_LIT("1\r\nX-B: 2") },
		{ EV_LIT("X-A\n"), EV_LIT("1") },
		{ EV_LIT("X-A"), EV_LIT("a\0b") },
		{ EV_LIT(""), EV_LIT("1") },
		{ EV_LIT("X-A"), EV_LIT("") },
	};
	struct aws_http_request r = get("http://127.0.0.1:1/");

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(bad); i++) {
		r.headers = &bad[i];
		r.n_headers = 1;
		assert_int_equal(aws_http_submit(h, &r), EV_INVALID);
	}
	r.n_headers = AWS_HTTP_HEADERS_MAX + 1;
	assert_int_equal(aws_http_submit(h, &r), EV_INVALID);
	r.n_headers = 0;
	r.max_answer = AWS_HTTP_ANSWER_MAX + 1;
	assert_int_equal(aws_http_submit(h, &r), EV_INVALID);
	r.max_answer = 1;
	r.total_ms = 0;
	assert_int_equal(aws_http_submit(h, &r), EV_INVALID);
	r = get("file:///etc/hostname");
	aws_http_run(h, &r, 1, 1000);
	assert_true(r.err != EV_OK);
	assert_null(r.answer.p);
	aws_http_free(h);
}

/* The first is held back, as a queue's long poll is; all others are answered. */
static void hold_the_first(void *user, const struct fake_request *r, struct fake_answer *out)
{
	(void)user;
	*out = (struct fake_answer){ .body = "ok" };
	if (strcmp(r->path, "/long") == 0)
		out->trick = FAKE_HANG;
}

static void runs_batches_beside_long_polls(void **state)
{
	struct aws_http *h = new_http(3);
	struct aws_http_request poll, batch[5], *done = NULL;
	struct fake f;
	char url[128];

	(void)state;
	fake_start_fn(&f, hold_the_first, NULL);
	snprintf(url, sizeof(url), "%s/long", f.url);
	poll = get(url);
	assert_int_equal(aws_http_poll(h, 0, &done), EV_NOTFOUND);
	assert_int_equal(aws_http_submit(h, &poll), EV_OK);
	for (size_t i = 0; i < 5; i++)
		batch[i] = get(f.url);
	aws_http_run(h, batch, 5, 5000);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(batch[i].err, EV_OK);
		aws_http_clear(&batch[i]);
	}
	assert_int_equal(aws_http_n(h), 1);
	assert_int_equal(aws_http_poll(h, 0, &done), EV_TIMEOUT);
	aws_http_wake(h);
	assert_int_equal(aws_http_poll(h, 60000, &done), EV_BUSY);
	aws_http_cancel(h, &poll);
	assert_int_equal(aws_http_n(h), 0);
	aws_http_wake(h);
	assert_int_equal(aws_http_wait(h, 60000), EV_BUSY);
	assert_int_equal(aws_http_wait(h, 1), EV_TIMEOUT);
	aws_http_free(h);
	fake_stop(&f);
}

static void gives_a_batch_up_at_its_time(void **state)
{
	struct aws_http *h = new_http(2);
	struct aws_http_request r[4];
	struct fake f;
	char url[128];

	(void)state;
	fake_start_fn(&f, hold_the_first, NULL);
	snprintf(url, sizeof(url), "%s/long", f.url);
	r[0] = get(f.url);
	for (size_t i = 1; i < 4; i++)
		r[i] = get(url);
	aws_http_run(h, r, 4, 300);
	assert_int_equal(r[0].err, EV_OK);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(r[i].err, EV_TIMEOUT);
	assert_int_equal(aws_http_n(h), 0);
	aws_http_clear(&r[0]);
	aws_http_free(h);
	fake_stop(&f);
}

static void ends_with_requests_under_way(void **state)
{
	struct aws_http *h = new_http(2);
	struct aws_http_request a, b, *done;
	struct fake f;
	char url[128];

	(void)state;
	fake_start_fn(&f, hold_the_first, NULL);
	snprintf(url, sizeof(url), "%s/long", f.url);
	a = b = get(url);
	assert_int_equal(aws_http_submit(h, &a), EV_OK);
	assert_int_equal(aws_http_submit(h, &b), EV_OK);
	assert_false(aws_http_has_room(h));
	struct aws_http_request c = get(url);

	assert_int_equal(aws_http_submit(h, &c), EV_FULL);
	assert_int_equal(aws_http_poll(h, 20, &done), EV_TIMEOUT);
	aws_http_free(h);
	aws_http_clear(&a);
	aws_http_clear(&b);
	fake_stop(&f);
}

static void goes_directly_where_it_is_told_to(void **state)
{
	static const struct fake_answer script[] = { { .body = "ok" }, { .body = "ok" } };
	struct aws_http_config config = { .max_in_flight = 1 };
	struct aws_http *h = NULL;
	struct aws_http_request r;
	struct fake f, nobody;

	(void)state;
	fake_start(&nobody, NULL, 0);
	fake_stop(&nobody);
	fake_start(&f, script, 2);
	assert_int_equal(setenv("http_proxy", nobody.url, 1), 0);
	assert_int_equal(unsetenv("no_proxy"), 0);
	assert_int_equal(unsetenv("NO_PROXY"), 0);
	assert_int_equal(aws_http_new(&config, &h), EV_OK);
	r = get(f.url);
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.err, EV_IO);
	aws_http_free(h);
	h = new_http(1);
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.err, EV_OK);
	assert_int_equal(unsetenv("http_proxy"), 0);
	aws_http_clear(&r);
	aws_http_free(h);
	fake_stop(&f);
}

/* --- TLS --- */

/* A certificate for 127.0.0.1 that has signed itself, and the file that it is written to. */
static SSL_CTX *make_tls(char path[64])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	int fd;
	FILE *f;

	assert_true(key != NULL && x != NULL && ctx != NULL && san != NULL);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -60));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
						    (const unsigned char *)"test", -1, -1, 0),
			 1);
	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_int_equal(X509_add_ext(x, san, -1), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	snprintf(path, 64, "/tmp/evcharge-ca-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, x), 1);
	assert_int_equal(fclose(f), 0);
	X509_EXTENSION_free(san);
	X509_free(x);
	EVP_PKEY_free(key);
	return ctx;
}

static void trusts_only_the_cas_it_is_given(void **state)
{
	static const struct fake_answer script[] = { { .body = "ok" } };
	char path[64];
	SSL_CTX *tls = make_tls(path);
	struct aws_http_config config = { .max_in_flight = 1, .direct = true };
	struct aws_http *h = new_http(1);
	struct aws_http_request r;
	struct fake f;

	(void)state;
	fake_start_tls(&f, tls, script, 1);
	r = get(f.url);
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.err, EV_DENIED);
	assert_int_equal(fake_n(&f), 0);
	aws_http_free(h);
	config.ca_file = path;
	assert_int_equal(aws_http_new(&config, &h), EV_OK);
	aws_http_run(h, &r, 1, 5000);
	assert_int_equal(r.err, EV_OK);
	assert_string_equal(r.answer.p, "ok");
	aws_http_clear(&r);
	aws_http_free(h);
	fake_stop(&f);
	SSL_CTX_free(tls);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_and_reads_on_one_connection),
		cmocka_unit_test(sends_large_bodies_without_asking_first),
		cmocka_unit_test(runs_more_requests_than_connections),
		cmocka_unit_test(tells_what_went_wrong),
		cmocka_unit_test(fails_where_nobody_listens),
		cmocka_unit_test(refuses_what_it_must_not_send),
		cmocka_unit_test(runs_batches_beside_long_polls),
		cmocka_unit_test(gives_a_batch_up_at_its_time),
		cmocka_unit_test(ends_with_requests_under_way),
		cmocka_unit_test(goes_directly_where_it_is_told_to),
		cmocka_unit_test(trusts_only_the_cas_it_is_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
