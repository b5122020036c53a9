/*
 * The credentials file and the headers that are judged by it.
 *
 * Up to the first zero byte the input is a file of credentials: it is read as a whole or EV_CORRUPT
 * names a line.  What follows is the head of a request: it is granted only if it carries the one
 * secret of a set of our own, as OpenSSL's base64 sees it; and never by an empty set.
 */
#include <fcntl.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/hash.h"
#include "check.h"
#include "net/access.h"

#define SECRET "evc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define OUTLET "86c911e2-2b5a-42c8-8925-f329aaaaaaaa"

static const uint64_t seed[2] = { 1, 2 };
static char dir[] = "/dev/shm/evcharge-fuzz-XXXXXX"; /* a disk would be what is tested */
static char path[sizeof(dir) + sizeof(CREDENTIALS_FILE)];

static void remove_files(void)
{
	(void)unlink(path); /* at the very end: what is left is one small file */
	(void)rmdir(dir);
}

static ev_err open_text(const char *p, size_t n, struct credentials **out, struct ev_fail *fail)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n && close(fd) == 0);
	return credentials_open(out, dir, seed, fail);
}

/* One API token and one device with the same secret. */
static struct credentials *known_set(void)
{
	static struct credentials *set;
	uint8_t digest[EV_SHA256_SIZE];
	char hex[2 * EV_SHA256_SIZE + 1], text[512];

	if (set != NULL)
		return set;
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/" CREDENTIALS_FILE, dir);
	CHECK(atexit(remove_files) == 0);
	ev_sha256(SECRET, strlen(SECRET), digest);
	ev_hex(digest, sizeof(digest), hex);
	int n = snprintf(text, sizeof(text),
			 "api fuzz %s 2024-01-01T00:00:00Z\ndevice " OUTLET
			 " %s 2024-01-01T00:00:00Z\n",
			 hex, hex);

	CHECK(open_text(text, (size_t)n, &set, NULL) == EV_OK && credentials_count(set) == 2);
	return set;
}

static void check_file(const char *p, size_t n)
{
	struct ev_fail fail = { .code = EV_OK };
	struct credentials *set = NULL;
	ev_err e = open_text(p, n, &set, &fail);
	size_t lines = 0;

	if (e != EV_OK) {
		CHECK(e == EV_CORRUPT && set == NULL && strstr(fail.text, " line ") != NULL);
		return;
	}
	for (size_t i = 0, from = 0; i <= n; i++) {
		if (i < n && p[i] != '\n')
			continue;
		lines += i > from && p[from] != '#';
		from = i + 1;
	}
	CHECK(credentials_count(set) == lines);
	for (size_t i = 0; i < lines; i++) {
		const struct credential *c = credentials_at(set, i);
		size_t name = text_len(c->name, sizeof(c->name));

		CHECK(name > 0 && name <= CREDENTIAL_NAME_MAX);
	}
	credentials_free(set);
}

static bool contains(const char *p, size_t n, const char *z)
{
	return n >= strlen(z) && memmem(p, n, z, strlen(z)) != NULL;
}

/* Whether somewhere behind a scheme there is user and secret, by OpenSSL's decoder. */
static bool basic_holds(struct ev_str authorization)
{
	unsigned char text[512], padded[512];
	size_t n = authorization.n;

	while (n > 0 && authorization.p[n - 1] == '=')
		n--;
	const char *space = n > 0 ? memrchr(authorization.p, ' ', n) : NULL;
	size_t digits = space != NULL ? n - (size_t)(space + 1 - authorization.p) : n;

	if (space == NULL || digits > 500)
		return false;
	memcpy(padded, space + 1, digits);
	while (digits % 4 != 0)
		padded[digits++] = '=';
	int got = EVP_DecodeBlock(text, padded, (int)digits);

	return got > 0 && contains((const char *)text, (size_t)got, ":" SECRET);
}

static void check_head(const char *p, size_t n)
{
	struct access_policy policy = { .required = true, .credentials = known_set() };
	struct access_policy none = { .required = true };
	struct access_policy loopback = { .required = false };
	struct net_http_head head;
	struct ev_uuid outlet, other = { .b = { 1 } };
	size_t scan = 0;
	ptrdiff_t end = net_http_head_end(p, n, &scan);

	if (end <= 0 || net_http_head_parse(p, (size_t)end, &head) != 0)
		return;
	struct access_headers h = access_headers_of(head.headers, head.n_headers);
	bool bearer = contains(h.authorization.p, h.authorization.n, SECRET);

	CHECK(ev_uuid_parse(EV_LIT(OUTLET), &outlet) == EV_OK);
	CHECK(access_api(&none, &h) != ACCESS_GRANTED);
	CHECK(access_device(&none, &h, &outlet) != ACCESS_GRANTED);
	CHECK(access_device(&policy, &h, &other) != ACCESS_GRANTED);
	if (access_api(&policy, &h) == ACCESS_GRANTED)
		CHECK(bearer);
	if (access_device(&policy, &h, &outlet) == ACCESS_GRANTED)
		CHECK(bearer || basic_holds(h.authorization));
	if (access_api(&loopback, &h) == ACCESS_GRANTED)
		CHECK(h.authorization.n == 0 && access_host_is_local(h.host) &&
		      (h.origin.n == 0 || access_same_origin(h.origin, h.host)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	size_t n = text_len(p, size);

	(void)known_set(); /* it makes the directory */
	if (n > 0)
		check_file(p, n);
	if (n < size)
		check_head(p + n + 1, size - n - 1);
	return 0;
}
