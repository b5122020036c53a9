/*
 * test/unit/aws_fake.h — an HTTP server on 127.0.0.1 in a thread of its own, with answers by a
 * script or a function; it records what it was asked, and checks signatures by its own reading of
 * the specification.  It stops with fake_stop, and by itself when the process ends.
 */
#ifndef EV_TEST_AWS_FAKE_H
#define EV_TEST_AWS_FAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/clock.h"
#include "engine/aws/env.h"
#include "engine/aws/retry.h"

#define FAKE_REQUESTS_MAX 256
#define FAKE_CONNECTIONS_MAX 64

enum fake_trick {
	FAKE_ANSWER,
	FAKE_HANG,    /* no answer, the connection stays */
	FAKE_CLOSE,   /* closed without an answer */
	FAKE_CUT,     /* closed within the body */
	FAKE_GARBAGE, /* not HTTP */
	FAKE_FLOOD,   /* a head without an end */
};

struct fake_answer {
	int status;          /* 0: 200 */
	const char *headers; /* whole lines, or NULL */
	const char *body;    /* or NULL */
	size_t body_n;       /* 0: to its NUL */
	enum fake_trick trick;
};

struct fake_request {
	char method[8];
	char path[512];
	char *head; /* all header lines, NUL-terminated */
	char *body;
	size_t body_n;
	unsigned connection; /* counted from 0 */
};

struct fake;
typedef void (*fake_fn)(void *user, const struct fake_request *r, struct fake_answer *out);

struct fake_connection {
	int fd;
	SSL *ssl;
	unsigned number;
	char *in;
	size_t n, cap;
};

struct fake {
	int listener, wake;
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t lock;
	SSL_CTX *tls;
	const struct fake_answer *script;
	size_t n_script, at;
	fake_fn fn;
	void *user;
	struct fake_request requests[FAKE_REQUESTS_MAX];
	size_t n_requests;
	struct fake_connection connections[FAKE_CONNECTIONS_MAX];
	unsigned n_connections;
	char url[64]; /* http://127.0.0.1:PORT, without a slash */
};

/* The script's answers in turn; what comes after its end is answered with 418. */
void fake_start(struct fake *f, const struct fake_answer *script, size_t n);
/* fn answers everything, in the server's thread. */
void fake_start_fn(struct fake *f, fake_fn fn, void *user);
/* Behind TLS; the context stays the caller's. */
void fake_start_tls(struct fake *f, SSL_CTX *tls, const struct fake_answer *script, size_t n);
void fake_stop(struct fake *f);

/* How many requests came; the i-th of them, which must have come. */
size_t fake_n(struct fake *f);
const struct fake_request *fake_at(struct fake *f, size_t i);

/* A header's value in new memory, NULL if it is absent; fails the test if it comes twice. */
char *fake_header(const struct fake_request *r, const char *name);
/* Fails the test unless the header has this value (NULL: is absent). */
void fake_expect_header(const struct fake_request *r, const char *name, const char *value);

/* Recomputes the request's signature from what came over the wire; fails the test if it differs. */
void fake_expect_signed(const struct fake_request *r, const char *key_id, const char *secret,
			const char *region, const char *service);

/* --- A table in place of the environment --- */

#define TEST_ENV_MAX 24

struct test_env {
	size_t n;
	char *names[TEST_ENV_MAX];
	char *values[TEST_ENV_MAX];
};

/* Adds or replaces. */
void test_env_set(struct test_env *e, const char *name, const char *value);
void test_env_clear(struct test_env *e);
struct aws_env test_env_of(struct test_env *e);

/* --- Waiting that moves a manual clock --- */

struct test_pause {
	struct ev_clock_manual *clock;
	unsigned n;
	int64_t total_ns;
};
struct aws_pause test_pause_of(struct test_pause *p);

#endif
