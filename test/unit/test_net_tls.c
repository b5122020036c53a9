/* test_net_tls.c — the same server behind TLS, with certificates made on the spot. */
#include "net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tls_fixture {
	struct fixture net;
	char dir[64];
	char cert[96];
	char key[96];
	char ca[96];
	char other_key[96];
	EVP_PKEY *ca_pkey;
	X509 *ca_x509;
};

static void path_in(const struct tls_fixture *t, char out[96], const char *name)
{
	struct ev_buf b = ev_buf_over(out, 95);

	ev_buf_z(&b, t->dir);
	ev_buf_char(&b, '/');
	ev_buf_z(&b, name);
	assert_false(b.overflow);
	out[b.len] = '\0';
}

static EVP_PKEY *make_key(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	assert_non_null(key);
	return key;
}

/* A certificate for name, signed by issuer (itself if NULL). */
static X509 *make_cert(EVP_PKEY *key, const char *name, EVP_PKEY *issuer_key, X509 *issuer)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_NAME_new();
	static long serial;

	assert_non_null(x);
	assert_non_null(subject);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -60));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
						    (const unsigned char *)name, -1, -1, 0),
			 1);
	assert_int_equal(X509_set_subject_name(x, subject), 1);
	assert_int_equal(X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : subject),
			 1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	if (issuer == NULL) {
		X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
							 "critical,CA:TRUE");

		assert_non_null(ca);
		assert_int_equal(X509_add_ext(x, ca, -1), 1);
		X509_EXTENSION_free(ca);
	}
	assert_true(X509_sign(x, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
	X509_NAME_free(subject);
	return x;
}

static void write_key(const char *path, EVP_PKEY *key)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(out), 0);
}

static void write_cert(const char *path, X509 *x)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(PEM_write_X509(out, x), 1);
	assert_int_equal(fclose(out), 0);
}

/* A fresh pair for the server, under the same paths. */
static void write_server_pair(struct tls_fixture *t, const char *name)
{
	EVP_PKEY *key = make_key();
	X509 *x = make_cert(key, name, t->ca_pkey, t->ca_x509);

	write_key(t->key, key);
	write_cert(t->cert, x);
	X509_free(x);
	EVP_PKEY_free(key);
}

static int set_up(void **state)
{
	struct tls_fixture *t = calloc(1, sizeof(*t));
	EVP_PKEY *other = make_key();

	assert_non_null(t);
	memcpy(t->dir, "/tmp/test_net_tls.XXXXXX", 25);
	assert_non_null(mkdtemp(t->dir));
	path_in(t, t->cert, "cert.pem");
	path_in(t, t->key, "key.pem");
	path_in(t, t->ca, "ca.pem");
	path_in(t, t->other_key, "other.pem");
	t->ca_pkey = make_key();
	t->ca_x509 = make_cert(t->ca_pkey, "test ca", NULL, NULL);
	write_cert(t->ca, t->ca_x509);
	write_key(t->other_key, other);
	EVP_PKEY_free(other);
	write_server_pair(t, "first");
	fixture_init(&t->net);
	t->net.config.tls_cert = t->cert;
	t->net.config.tls_key = t->key;
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct tls_fixture *t = *state;

	fixture_deinit(&t->net);
	EVP_PKEY_free(t->ca_pkey);
	X509_free(t->ca_x509);
	assert_int_equal(unlink(t->cert), 0);
	assert_int_equal(unlink(t->key), 0);
	assert_int_equal(unlink(t->ca), 0);
	assert_int_equal(unlink(t->other_key), 0);
	assert_int_equal(rmdir(t->dir), 0);
	free(t);
	return 0;
}

/* Handshakes as a client of ctx, which is given away; false if the server refuses. */
static bool handshake(struct tls_fixture *t, struct client *c, SSL_CTX *ctx)
{
	int done = 0;

	client_open(&t->net, c);
	assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
	c->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	assert_non_null(c->ssl);
	assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
	for (int i = 0; i < 5000; i++) {
		ERR_clear_error();
		done = SSL_connect(c->ssl);
		if (done == 1 || SSL_get_error(c->ssl, done) == SSL_ERROR_SSL ||
		    SSL_get_error(c->ssl, done) == SSL_ERROR_SYSCALL)
			break;
		fixture_turn(&t->net);
	}
	return done == 1;
}

/* client_name NULL: without a certificate; max_version 0: the newest. */
static bool tls_open_as(struct tls_fixture *t, struct client *c, int max_version,
			const char *client_name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	assert_non_null(ctx);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_security_level(ctx, 0); /* else it is us who would refuse old versions */
	assert_int_equal(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION), 1);
	assert_int_equal(SSL_CTX_load_verify_file(ctx, t->ca), 1);
	if (max_version != 0)
		assert_int_equal(SSL_CTX_set_max_proto_version(ctx, max_version), 1);
	if (client_name != NULL) {
		EVP_PKEY *key = make_key();
		X509 *x = make_cert(key, client_name, t->ca_pkey, t->ca_x509);

		assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
		X509_free(x);
		EVP_PKEY_free(key);
	}
	return handshake(t, c, ctx);
}

static void tls_open(struct tls_fixture *t, struct client *c)
{
	assert_true(tls_open_as(t, c, 0, NULL));
}

static void assert_server_is(const struct client *c, const char *name)
{
	X509 *x = SSL_get1_peer_certificate(c->ssl);
	char cn[64] = "";

	assert_non_null(x);
	assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn,
					      sizeof(cn)) > 0);
	X509_free(x);
	assert_string_equal(cn, name);
}

static void serves_http_and_websockets(void **state)
{
	struct tls_fixture *t = *state;
	struct client c;
	char bytes[5000];

	memset(bytes, 'b', sizeof(bytes));
	fixture_listen(&t->net);
	tls_open(t, &c);
	assert_server_is(&c, "first");
	client_send_z(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
	client_expect_answer(&c, 200, "hello");
	ws_open(&c, "/ws");
	for (int i = 0; i < 20; i++)
		ws_send(&c, 0x82, bytes, sizeof(bytes));
	for (int i = 0; i < 20; i++)
		ws_expect(&c, 0x82, bytes, sizeof(bytes));
	client_close(&c);
	fixture_wait_connections(&t->net, 0);
}

static void offers_no_http_2(void **state)
{
	static const unsigned char offer[] = "\x02h2\x08http/1.1";
	struct tls_fixture *t = *state;
	const unsigned char *chosen;
	unsigned n;
	struct client c;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	assert_non_null(ctx);
	assert_int_equal(SSL_CTX_set_alpn_protos(ctx, offer, sizeof(offer) - 1), 0);
	fixture_listen(&t->net);
	assert_true(handshake(t, &c, ctx));
	SSL_get0_alpn_selected(c.ssl, &chosen, &n);
	assert_int_equal(n, 8);
	assert_memory_equal(chosen, "http/1.1", 8);
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_close(&c);
}

static void ends_with_close_notify(void **state)
{
	struct tls_fixture *t = *state;
	struct client c;

	fixture_listen(&t->net);
	tls_open(t, &c);
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_expect_end(&c);
	assert_int_equal(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
	client_close(&c);
}

static void speaks_tls_1_2_and_nothing_older(void **state)
{
	struct tls_fixture *t = *state;
	struct client c;

	fixture_listen(&t->net);
	assert_true(tls_open_as(t, &c, TLS1_2_VERSION, NULL));
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_close(&c);
	assert_false(tls_open_as(t, &c, TLS1_1_VERSION, NULL));
	client_close(&c);
	fixture_wait_connections(&t->net, 0);
}

static void drops_who_speaks_no_tls(void **state)
{
	struct tls_fixture *t = *state;
	struct client c;

	fixture_listen(&t->net);
	client_open(&t->net, &c);
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_end(&c);
	fixture_wait_connections(&t->net, 0);
	assert_int_equal(t->net.n_events, 0);
	client_close(&c);
}

static void drops_who_does_not_finish_the_handshake(void **state)
{
	struct tls_fixture *t = *state;
	struct client c;

	t->net.config.limits.header_timeout_ms = 50;
	fixture_listen(&t->net);
	client_open(&t->net, &c);
	client_send(&c, "\x16\x03\x01\x02\x00\x01", 6);
	client_expect_end(&c);
	fixture_wait_connections(&t->net, 0);
	assert_int_equal(fixture_aborted(&t->net, "head_timeout"), 1);
	client_close(&c);
}

static void sends_more_than_the_peer_reads_at_once(void **state)
{
	struct tls_fixture *t = *state;
	size_t n = 1024 * 1024;
	char *body = malloc(n);
	struct net_response r = { .status = 200, .body = { body, n } };
	struct client c;
	size_t got = 0;

	assert_non_null(body);
	for (size_t i = 0; i < n; i++)
		body[i] = (char)(i * 11 / 7);
	fixture_listen(&t->net);
	tls_open(t, &c);
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(&t->net, 1);
	assert_int_equal(net_reply(t->net.server, t->net.events[0].handle, &r), EV_OK);
	client_expect(&c, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
	while (got < n) {
		client_wait_bytes(&c, 1);
		assert_memory_equal(c.in, body + got, c.n);
		got += c.n;
		c.n = 0;
	}
	free(body);
	client_close(&c);
}

static void knows_the_name_in_the_clients_certificate(void **state)
{
	struct tls_fixture *t = *state;
	char name[16];
	struct client c;

	t->net.config.tls_client_ca = t->ca;
	fixture_listen(&t->net);
	assert_true(tls_open_as(t, &c, 0, "station-17"));
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(&t->net, 1);
	assert_int_equal(
		net_client_name(t->net.server, t->net.events[0].handle, name, sizeof(name)), EV_OK);
	assert_string_equal(name, "station-17");
	assert_int_equal(net_client_name(t->net.server, t->net.events[0].handle, name, 10),
			 EV_NOTFOUND); /* it does not fit, and must not be cut */
	client_close(&c);
	fixture_wait_events(&t->net, 2);
	tls_open(t, &c); /* without one */
	client_send_z(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	fixture_wait_events(&t->net, 3);
	assert_int_equal(
		net_client_name(t->net.server, t->net.events[2].handle, name, sizeof(name)),
		EV_NOTFOUND);
	client_close(&c);
}

static void demands_a_clients_certificate(void **state)
{
	struct tls_fixture *t = *state;
	struct client c;

	t->net.config.tls_client_ca = t->ca;
	t->net.config.tls_client_required = true;
	fixture_listen(&t->net);
	/* In TLS 1.3 the client thinks it is through before the server has looked. */
	(void)tls_open_as(t, &c, 0, NULL);
	client_expect_end(&c);
	client_close(&c);
	assert_true(tls_open_as(t, &c, 0, "station-17"));
	client_send_z(&c, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&c, 200, "");
	client_close(&c);
}

static void reloads_certificates_for_new_connections(void **state)
{
	struct tls_fixture *t = *state;
	struct ev_fail fail = { 0 };
	struct client old;
	struct client c;

	fixture_listen(&t->net);
	tls_open(t, &old);
	write_server_pair(t, "second");
	assert_int_equal(net_server_reload_tls(t->net.server, &fail), EV_OK);
	tls_open(t, &c);
	assert_server_is(&c, "second");
	client_close(&c);
	client_send_z(&old, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	client_expect_answer(&old, 200, "");
	client_close(&old);
}

static void keeps_the_old_certificate_when_the_new_is_unusable(void **state)
{
	struct tls_fixture *t = *state;
	struct ev_fail fail = { 0 };
	struct client c;

	fixture_listen(&t->net);
	assert_int_equal(unlink(t->key), 0);
	assert_int_equal(link(t->other_key, t->key), 0);
	assert_int_equal(net_server_reload_tls(t->net.server, &fail), EV_INVALID);
	assert_true(fail.text[0] != '\0');
	tls_open(t, &c);
	assert_server_is(&c, "first");
	client_close(&c);
}

static void does_not_listen_with_files_that_are_unusable(void **state)
{
	struct tls_fixture *t = *state;
	struct net_listener *l;
	struct ev_fail fail = { 0 };

	t->net.config.tls_key = t->other_key;
	assert_int_equal(net_server_listen(t->net.server, &t->net.config, &l, &fail), EV_INVALID);
	t->net.config.tls_key = NULL;
	assert_int_equal(net_server_listen(t->net.server, &t->net.config, &l, &fail), EV_INVALID);
	t->net.config.tls_key = t->key;
	t->net.config.tls_cert = "/nonexistent";
	assert_int_equal(net_server_listen(t->net.server, &t->net.config, &l, &fail), EV_INVALID);
	assert_non_null(strstr(fail.text, "/nonexistent"));
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(serves_http_and_websockets),
		RULE(offers_no_http_2),
		RULE(ends_with_close_notify),
		RULE(speaks_tls_1_2_and_nothing_older),
		RULE(drops_who_speaks_no_tls),
		RULE(drops_who_does_not_finish_the_handshake),
		RULE(sends_more_than_the_peer_reads_at_once),
		RULE(knows_the_name_in_the_clients_certificate),
		RULE(demands_a_clients_certificate),
		RULE(reloads_certificates_for_new_connections),
		RULE(keeps_the_old_certificate_when_the_new_is_unusable),
		RULE(does_not_listen_with_files_that_are_unusable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
