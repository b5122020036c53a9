/*
 * base/rng.h — where randomness comes from: the operating system, or a seed for tests and the
 * simulation.  A generator belongs to one thread.
 */
#ifndef EV_BASE_RNG_H
#define EV_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

struct ev_rng;

struct ev_rng_ops {
	/* Fills n bytes.  Cannot fail; the operating system's may block early in the boot. */
	void (*fill)(struct ev_rng *self, void *out, size_t n);
};

struct ev_rng {
	const struct ev_rng_ops *ops;
};

static inline void ev_rng_fill(struct ev_rng *r, void *out, size_t n)
{
	r->ops->fill(r, out, n);
}

uint64_t ev_rng_u64(struct ev_rng *r);

/* Uniform in 0 .. bound - 1; bound is not 0. */
uint64_t ev_rng_below(struct ev_rng *r, uint64_t bound);

/* A version 4 UUID. */
struct ev_uuid ev_rng_uuid(struct ev_rng *r);

#define EV_RNG_OS_BLOCK 4096

/*
 * The kernel's generator, fetched in blocks since a call for each 16 bytes would dominate what
 * they are for.  Bytes are wiped as they are handed out.
 */
struct ev_rng_os {
	struct ev_rng base;
	size_t left;
	uint8_t block[EV_RNG_OS_BLOCK];
};

void ev_rng_os_init(struct ev_rng_os *r);

/* xoshiro256** (Blackman and Vigna 2018): the same bytes for the same seed, on every machine. */
struct ev_rng_seeded {
	struct ev_rng base;
	uint64_t s[4];
};

void ev_rng_seeded_init(struct ev_rng_seeded *r, uint64_t seed);

#endif
