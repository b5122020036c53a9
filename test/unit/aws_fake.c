#include "aws_fake.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "base/attr.h"

/* The server's thread must not end in cmocka's longjmp: what cannot be is fatal there. */
static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "aws_fake: %s\n", what);
		abort();
	}
}

/* --- Connections --- */

static ssize_t receive(struct fake_connection *c, char *p, size_t n)
{
	if (c->ssl != NULL)
		return SSL_read(c->ssl, p, (int)n);
	return recv(c->fd, p, n, 0);
}

static void transmit(struct fake_connection *c, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = c->ssl != NULL ? SSL_write(c->ssl, p, (int)n)
					      : send(c->fd, p, n, MSG_NOSIGNAL);

		if (done <= 0)
			return; /* the client has gone: for the test to notice */
		p += done;
		n -= (size_t)done;
	}
}

static void drop(struct fake_connection *c)
{
	if (c->ssl != NULL) {
		(void)SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	(void)close(c->fd);
	free(c->in);
	*c = (struct fake_connection){ .fd = -1 };
}

static void admit(struct fake *f)
{
	int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	struct timeval limit = { .tv_sec = 10 };
	int one = 1;

	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	for (size_t i = 0; i < FAKE_CONNECTIONS_MAX; i++) {
		struct fake_connection *c = &f->connections[i];

		if (c->fd >= 0)
			continue;
		*c = (struct fake_connection){ .fd = fd, .number = f->n_connections++ };
		if (f->tls == NULL)
			return;
		c->ssl = SSL_new(f->tls);
		must(c->ssl != NULL && SSL_set_fd(c->ssl, fd) == 1, "no TLS");
		if (SSL_accept(c->ssl) != 1)
			drop(c);
		return;
	}
	must(false, "too many connections");
}

/* --- Requests --- */

static size_t head_end(const char *p, size_t n)
{
	const char *end = n > 0 ? memmem(p, n, "\r\n\r\n", 4) : NULL;

	return end != NULL ? (size_t)(end - p) + 4 : 0;
}

static char *copy(const char *p, size_t n)
{
	char *out = malloc(n + 1);

	must(out != NULL, "no memory");
	if (n > 0)
		memcpy(out, p, n);
	out[n] = '\0';
	return out;
}

static size_t content_length(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");
	size_t n = 0;

	if (at == NULL)
		return 0;
	for (at += 17; *at == ' '; at++)
		;
	for (; *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (size_t)(*at - '0');
	return n;
}

/* Takes one whole request out of the connection's bytes. */
static bool take_request(struct fake_connection *c, struct fake_request *r)
{
	size_t head_n = head_end(c->in, c->n);
	char *head;
	size_t body_n;

	if (head_n == 0)
		return false;
	head = copy(c->in, head_n);
	body_n = content_length(head);
	if (c->n < head_n + body_n) {
		free(head);
		return false;
	}
	must(sscanf(head, "%7s %511s", r->method, r->path) == 2, "no request line");
	r->head = head;
	r->body = copy(c->in + head_n, body_n);
	r->body_n = body_n;
	r->connection = c->number;
	memmove(c->in, c->in + head_n + body_n, c->n - head_n - body_n);
	c->n -= head_n + body_n;
	return true;
}

static void flood(struct fake_connection *c)
{
	static const char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";

	transmit(c, "HTTP/1.1 200 OK\r\n", 17);
	for (int i = 0; i < 4000; i++)
		transmit(c, line, sizeof(line) - 1);
}

static void answer(struct fake_connection *c, const struct fake_answer *a)
{
	const char *body = a->body != NULL ? a->body : "";
	size_t n = a->body_n > 0 ? a->body_n : strlen(body);
	char head[2048];
	int head_n = snprintf(
		head, sizeof(head), "HTTP/1.1 %d Any\r\nContent-Length: %zu\r\n%s\r\n",
		a->status == 0 ? 200 : a->status, n, a->headers != NULL ? a->headers : "");

	must(head_n > 0 && (size_t)head_n < sizeof(head), "headers too long");
	switch (a->trick) {
	case FAKE_ANSWER:
		transmit(c, head, (size_t)head_n);
		transmit(c, body, n);
		break;
	case FAKE_HANG:
		break;
	case FAKE_CLOSE:
		drop(c);
		break;
	case FAKE_CUT:
		transmit(c, head, (size_t)head_n);
		transmit(c, body, n / 2);
		drop(c);
		break;
	case FAKE_GARBAGE:
		transmit(c, "220 mail.example.org ESMTP\r\n", 28);
		drop(c);
		break;
	case FAKE_FLOOD:
		flood(c);
		drop(c);
		break;
	}
}

static void serve(struct fake *f, struct fake_connection *c)
{
	struct fake_request r = { .head = NULL };

	while (c->fd >= 0 && take_request(c, &r)) {
		struct fake_answer a = { .status = 418 };

		if (f->fn != NULL)
			f->fn(f->user, &r, &a);
		(void)pthread_mutex_lock(&f->lock);
		must(f->n_requests < FAKE_REQUESTS_MAX, "too many requests");
		f->requests[f->n_requests++] = r;
		if (f->fn == NULL && f->at < f->n_script)
			a = f->script[f->at++];
		(void)pthread_mutex_unlock(&f->lock);
		answer(c, &a);
	}
}

static void read_some(struct fake *f, struct fake_connection *c)
{
	do {
		ssize_t got;

		if (c->cap - c->n < 65536) {
			c->cap += 262144;
			c->in = realloc(c->in, c->cap);
			must(c->in != NULL, "no memory");
		}
		got = receive(c, c->in + c->n, 65536);
		if (got <= 0) {
			drop(c);
			return;
		}
		c->n += (size_t)got;
	} while (c->ssl != NULL && SSL_pending(c->ssl) > 0);
	serve(f, c);
}

static void *serve_all(void *user)
{
	struct fake *f = user;

	for (;;) {
		struct pollfd fds[FAKE_CONNECTIONS_MAX + 2] = {
			{ .fd = f->wake, .events = POLLIN },
			{ .fd = f->listener, .events = POLLIN },
		};

		for (size_t i = 0; i < FAKE_CONNECTIONS_MAX; i++) {
			fds[i + 2].fd = f->connections[i].fd;
			fds[i + 2].events = POLLIN;
		}
		must(poll(fds, FAKE_CONNECTIONS_MAX + 2, 60000) > 0, "nobody came for a minute");
		if (fds[0].revents != 0)
			return NULL;
		for (size_t i = 0; i < FAKE_CONNECTIONS_MAX; i++) {
			if (fds[i + 2].revents != 0)
				read_some(f, &f->connections[i]);
		}
		if (fds[1].revents != 0)
			admit(f);
	}
}

/* --- Starting and stopping --- */

static void start(struct fake *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);

	/* The library behind TLS writes without MSG_NOSIGNAL. */
	(void)signal(SIGPIPE, SIG_IGN);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f->wake = eventfd(0, EFD_CLOEXEC);
	assert_true(f->listener >= 0 && f->wake >= 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(f->listener, FAKE_CONNECTIONS_MAX), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &n), 0);
	f->port = ntohs(a.sin_port);
	snprintf(f->url, sizeof(f->url), "%s://127.0.0.1:%u", f->tls != NULL ? "https" : "http",
		 f->port);
	for (size_t i = 0; i < FAKE_CONNECTIONS_MAX; i++)
		f->connections[i].fd = -1;
	assert_int_equal(pthread_mutex_init(&f->lock, NULL), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, serve_all, f), 0);
}

void fake_start(struct fake *f, const struct fake_answer *script, size_t n)
{
	*f = (struct fake){ .script = script, .n_script = n };
	start(f);
}

void fake_start_fn(struct fake *f, fake_fn fn, void *user)
{
	*f = (struct fake){ .fn = fn, .user = user };
	start(f);
}

void fake_start_tls(struct fake *f, SSL_CTX *tls, const struct fake_answer *script, size_t n)
{
	*f = (struct fake){ .script = script, .n_script = n, .tls = tls };
	start(f);
}

void fake_stop(struct fake *f)
{
	uint64_t one = 1;

	assert_int_equal(write(f->wake, &one, sizeof(one)), sizeof(one));
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	for (size_t i = 0; i < FAKE_CONNECTIONS_MAX; i++) {
		if (f->connections[i].fd >= 0)
			drop(&f->connections[i]);
	}
	for (size_t i = 0; i < f->n_requests; i++) {
		free(f->requests[i].head);
		free(f->requests[i].body);
	}
	(void)pthread_mutex_destroy(&f->lock);
	(void)close(f->listener);
	(void)close(f->wake);
}

size_t fake_n(struct fake *f)
{
	size_t n;

	(void)pthread_mutex_lock(&f->lock);
	n = f->n_requests;
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}

const struct fake_request *fake_at(struct fake *f, size_t i)
{
	assert_true(i < fake_n(f));
	return &f->requests[i];
}

/* --- Headers --- */

/* The next header line from *at on, as name and value; false at the end of the head. */
static bool next_line(const char **at, struct ev_str *name, struct ev_str *value)
{
	const char *end = strstr(*at, "\r\n");
	const char *colon;

	if (end == NULL || end == *at)
		return false;
	colon = memchr(*at, ':', (size_t)(end - *at));
	assert_non_null(colon);
	*name = (struct ev_str){ *at, (size_t)(colon - *at) };
	for (colon++; colon < end && *colon == ' '; colon++)
		;
	*value = (struct ev_str){ colon, (size_t)(end - colon) };
	*at = end + 2;
	return true;
}

static const char *first_line(const struct fake_request *r)
{
	return strstr(r->head, "\r\n") + 2;
}

char *fake_header(const struct fake_request *r, const char *name)
{
	const char *at = first_line(r);
	struct ev_str n, v;
	char *found = NULL;

	while (next_line(&at, &n, &v)) {
		if (n.n != strlen(name) || strncasecmp(n.p, name, n.n) != 0)
			continue;
		assert_null(found);
		found = copy(v.p, v.n);
	}
	return found;
}

void fake_expect_header(const struct fake_request *r, const char *name, const char *value)
{
	char *got = fake_header(r, name);

	if (value == NULL) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	assert_string_equal(got, value);
	free(got);
}

/* --- The signature, from the wire --- */

static void hex(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static void sha256_hex(const void *p, size_t n, char out[65])
{
	unsigned char hash[32];

	assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, p, n, hash, NULL), 1);
	hex(hash, 32, out);
}

static void mac(const void *key, size_t key_n, const char *text, unsigned char out[32])
{
	size_t n = 0;

	assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_n,
				  (const unsigned char *)text, strlen(text), out, 32, &n));
	assert_int_equal(n, 32);
}

struct text {
	char *p;
	size_t n, cap;
};

static void add(struct text *t, const char *p, size_t n)
{
	if (t->n + n + 1 > t->cap) {
		t->cap = (t->n + n + 1) * 2;
		t->p = realloc(t->p, t->cap);
		assert_non_null(t->p);
	}
	memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = '\0';
}

static void add_z(struct text *t, const char *z)
{
	add(t, z, strlen(z));
}

/* "a;b;c": each with its value, in the order that the client lists them. */
static void add_headers(struct text *t, const struct fake_request *r, const char *names)
{
	char before[128] = "";

	for (const char *at = names; *at != '\0';) {
		size_t n = strcspn(at, ";");
		char name[128];
		char *value;

		assert_true(n > 0 && n < sizeof(name));
		memcpy(name, at, n);
		name[n] = '\0';
		for (size_t i = 0; i < n; i++)
			assert_false(isupper((unsigned char)name[i]));
		assert_true(strcmp(before, name) < 0);
		memcpy(before, name, n + 1);
		value = fake_header(r, name);
		assert_non_null(value);
		add_z(t, name);
		add_z(t, ":");
		for (char *p = value; *p != '\0'; p++) {
			if (!(p[0] == ' ' && p[1] == ' '))
				add(t, p, 1);
		}
		add_z(t, "\n");
		free(value);
		at += n + (at[n] == ';');
	}
}

struct authorization {
	char key_id[129];
	char scope[160];
	char names[512];
	char signature[65];
};

static void read_authorization(const struct fake_request *r, struct authorization *a)
{
	char *value = fake_header(r, "Authorization");

	assert_non_null(value);
	assert_int_equal(sscanf(value,
				"AWS4-HMAC-SHA256 Credential=%128[^/]/%159[^,], "
				"SignedHeaders=%511[^,], Signature=%64[0-9a-f]",
				a->key_id, a->scope, a->names, a->signature),
			 4);
	free(value);
}

static void expect_all_signed(const struct fake_request *r, const struct authorization *a)
{
	const char *at = first_line(r);
	char list[520];
	struct ev_str name, value;

	snprintf(list, sizeof(list), ";%s;", a->names);
	while (next_line(&at, &name, &value)) {
		char wanted[140];

		if (strncasecmp(name.p, "x-amz", 5) != 0 && strncasecmp(name.p, "host", 4) != 0)
			continue;
		snprintf(wanted, sizeof(wanted), ";%.*s;", (int)name.n, name.p);
		assert_non_null(strcasestr(list, wanted));
	}
}

static void compute(const struct fake_request *r, const struct authorization *a, const char *secret,
		    const char *region, const char *service, char out[65])
{
	struct text canonical = { NULL, 0, 0 }, to_sign = { NULL, 0, 0 }, key = { NULL, 0, 0 };
	char hash[65], day[9];
	char *date = fake_header(r, "X-Amz-Date");
	unsigned char k[32];

	assert_non_null(date);
	assert_int_equal(strlen(date), 16);
	snprintf(day, sizeof(day), "%.8s", date);
	add_z(&canonical, r->method);
	add_z(&canonical, "\n");
	add_z(&canonical, r->path);
	add_z(&canonical, "\n\n");
	add_headers(&canonical, r, a->names);
	add_z(&canonical, "\n");
	add_z(&canonical, a->names);
	add_z(&canonical, "\n");
	sha256_hex(r->body, r->body_n, hash);
	add_z(&canonical, hash);
	sha256_hex(canonical.p, canonical.n, hash);
	add_z(&to_sign, "AWS4-HMAC-SHA256\n");
	add_z(&to_sign, date);
	add_z(&to_sign, "\n");
	add_z(&to_sign, a->scope);
	add_z(&to_sign, "\n");
	add_z(&to_sign, hash);
	add_z(&key, "AWS4");
	add_z(&key, secret);
	mac(key.p, key.n, day, k);
	mac(k, 32, region, k);
	mac(k, 32, service, k);
	mac(k, 32, "aws4_request", k);
	mac(k, 32, to_sign.p, k);
	hex(k, 32, out);
	free(canonical.p);
	free(to_sign.p);
	free(key.p);
	free(date);
}

void fake_expect_signed(const struct fake_request *r, const char *key_id, const char *secret,
			const char *region, const char *service)
{
	struct authorization a;
	char scope[160], wanted[65];
	char *date = fake_header(r, "X-Amz-Date");

	read_authorization(r, &a);
	assert_string_equal(a.key_id, key_id);
	assert_non_null(date);
	snprintf(scope, sizeof(scope), "%.8s/%s/%s/aws4_request", date, region, service);
	assert_string_equal(a.scope, scope);
	expect_all_signed(r, &a);
	compute(r, &a, secret, region, service, wanted);
	assert_string_equal(a.signature, wanted);
	free(date);
}

/* --- Environment --- */

void test_env_set(struct test_env *e, const char *name, const char *value)
{
	size_t i = 0;

	while (i < e->n && strcmp(e->names[i], name) != 0)
		i++;
	assert_true(i < TEST_ENV_MAX);
	if (i == e->n) {
		e->names[i] = strdup(name);
		e->n++;
	} else {
		free(e->values[i]);
	}
	e->values[i] = strdup(value);
}

void test_env_clear(struct test_env *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->names[i]);
		free(e->values[i]);
	}
	e->n = 0;
}

static const char *test_env_get(void *user, const char *name)
{
	const struct test_env *e = user;

	for (size_t i = 0; i < e->n; i++) {
		if (strcmp(e->names[i], name) == 0)
			return e->values[i];
	}
	return NULL;
}

struct aws_env test_env_of(struct test_env *e)
{
	return (struct aws_env){ .get = test_env_get, .user = e };
}

/* --- Waiting --- */

static void move_clock(void *user, int64_t ns)
{
	struct test_pause *p = user;

	p->n++;
	p->total_ns += ns;
	ev_clock_manual_advance(p->clock, ns);
}

struct aws_pause test_pause_of(struct test_pause *p)
{
	return (struct aws_pause){ .fn = move_clock, .user = p };
}
