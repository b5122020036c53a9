#include "base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct ev_sha256_ctx {
	EVP_MD_CTX *md;
};

/* Fetched once: with the implicit fetch of EVP_sha256() a short hash costs three times as much. */
static EVP_MD *md_sha256;
static EVP_MD *md_sha1;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void must(bool ok)
{
	if (!ok) {
		fputs("openssl: no memory, or no SHA\n", stderr);
		abort();
	}
}

static void release(void)
{
	EVP_MD_free(md_sha256);
	EVP_MD_free(md_sha1);
}

static void fetch(void)
{
	md_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	md_sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	must(md_sha256 != NULL && md_sha1 != NULL && OPENSSL_atexit(release) == 1);
}

static void digest(EVP_MD *const *md, const void *p, size_t n, uint8_t *out)
{
	must(pthread_once(&fetched, fetch) == 0);
	must(EVP_Digest(p, n, out, NULL, *md, NULL) == 1);
}

void ev_sha256(const void *p, size_t n, uint8_t out[EV_SHA256_SIZE])
{
	digest(&md_sha256, p, n, out);
}

void ev_sha1(const void *p, size_t n, uint8_t out[EV_SHA1_SIZE])
{
	digest(&md_sha1, p, n, out);
}

static EVP_MD_CTX *start(EVP_MD *const *md)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx != NULL && pthread_once(&fetched, fetch) == 0);
	must(EVP_DigestInit_ex(ctx, *md, NULL) == 1);
	return ctx;
}

static void add(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	must(EVP_DigestUpdate(ctx, p, n) == 1);
}

static void finish(EVP_MD_CTX *ctx, uint8_t *out)
{
	must(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
	EVP_MD_CTX_free(ctx);
}

struct ev_sha256_ctx *ev_sha256_new(void)
{
	struct ev_sha256_ctx *c = malloc(sizeof(*c));

	must(c != NULL);
	c->md = start(&md_sha256);
	return c;
}

void ev_sha256_add(struct ev_sha256_ctx *c, const void *p, size_t n)
{
	add(c->md, p, n);
}

void ev_sha256_final(struct ev_sha256_ctx *c, uint8_t out[EV_SHA256_SIZE])
{
	finish(c->md, out);
	free(c);
}

void ev_sha256_free(struct ev_sha256_ctx *c)
{
	if (c == NULL)
		return;
	EVP_MD_CTX_free(c->md);
	free(c);
}

void ev_hash128(const struct ev_str parts[], size_t n, uint8_t out[16])
{
	EVP_MD_CTX *ctx = start(&md_sha256);
	uint8_t all[EV_SHA256_SIZE];

	for (size_t i = 0; i < n; i++) {
		uint8_t length[8];
		uint64_t v = parts[i].n;

		for (size_t k = sizeof(length); k > 0; k--) {
			length[k - 1] = (uint8_t)v;
			v >>= 8;
		}
		add(ctx, length, sizeof(length));
		add(ctx, parts[i].p, parts[i].n);
	}
	finish(ctx, all);
	memcpy(out, all, 16);
}

struct ev_uuid ev_uuid_v5(const struct ev_uuid *space, struct ev_str name)
{
	EVP_MD_CTX *ctx = start(&md_sha1);
	uint8_t all[EV_SHA1_SIZE];

	add(ctx, space->b, sizeof(space->b));
	add(ctx, name.p, name.n);
	finish(ctx, all);
	return ev_uuid_stamp(all, 5);
}

bool ev_equal_consttime(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void ev_hex(const void *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[from[i] >> 4];
		out[2 * i + 1] = digits[from[i] & 15];
	}
	out[2 * n] = '\0';
}
