/*
 * base/hash.h — SHA-256 and SHA-1 by OpenSSL, and what is built on them.
 *
 * None of these can fail but for want of memory or an OpenSSL without these algorithms; both abort,
 * since an identity or a credential that was not computed must never be used.
 */
#ifndef EV_BASE_HASH_H
#define EV_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

#define EV_SHA256_SIZE 32
#define EV_SHA1_SIZE 20

void ev_sha256(const void *p, size_t n, uint8_t out[EV_SHA256_SIZE]);

/* For RFC 6455's handshake and UUIDv5 only. */
void ev_sha1(const void *p, size_t n, uint8_t out[EV_SHA1_SIZE]);

/* Piece by piece: new, any number of add, final, which frees it; free ends one without a result. */
struct ev_sha256_ctx;
struct ev_sha256_ctx *ev_sha256_new(void);
void ev_sha256_add(struct ev_sha256_ctx *c, const void *p, size_t n);
void ev_sha256_final(struct ev_sha256_ctx *c, uint8_t out[EV_SHA256_SIZE]);
void ev_sha256_free(struct ev_sha256_ctx *c);

/*
 * The first 16 bytes of SHA-256 over the parts, each after its length as 8 bytes big-endian, so
 * that no two lists of parts run together alike.  The identity of an input.
 */
void ev_hash128(const struct ev_str parts[], size_t n, uint8_t out[16]);

/* RFC 4122 4.3: the version 5 UUID of a name within a name space. */
struct ev_uuid ev_uuid_v5(const struct ev_uuid *space, struct ev_str name);

/* In time that depends on n alone. */
bool ev_equal_consttime(const void *a, const void *b, size_t n);

/* 2 * n lower-case digits and a NUL. */
void ev_hex(const void *p, size_t n, char *out);

#endif
