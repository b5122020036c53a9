#include "base/rng.h"

#include <assert.h>

uint64_t ev_rng_u64(struct ev_rng *r)
{
	uint64_t v;

	ev_rng_fill(r, &v, sizeof(v));
	return v;
}

uint64_t ev_rng_below(struct ev_rng *r, uint64_t bound)
{
	uint64_t excess, v;

	assert(bound > 0);
	/* 2^64 mod bound values too many to go around evenly: the lowest ones are drawn again. */
	excess = (0 - bound) % bound;
	do {
		v = ev_rng_u64(r);
	} while (v < excess);
	return v % bound;
}

struct ev_uuid ev_rng_uuid(struct ev_rng *r)
{
	uint8_t bytes[16];

	ev_rng_fill(r, bytes, sizeof(bytes));
	return ev_uuid_stamp(bytes, 4);
}

static uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static uint64_t seeded_next(struct ev_rng_seeded *r)
{
	uint64_t result = rotl(r->s[1] * 5, 7) * 9;
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rotl(r->s[3], 45);
	return result;
}

static void seeded_fill(struct ev_rng *self, void *out, size_t n)
{
	struct ev_rng_seeded *r = (struct ev_rng_seeded *)self; /* base is the first member */
	uint8_t *p = out;

	for (size_t i = 0; i < n;) {
		uint64_t v = seeded_next(r);

		/* Little-endian by hand, so that a failing seed fails everywhere. */
		for (int k = 0; k < 8 && i < n; k++) {
			p[i++] = (uint8_t)v;
			v >>= 8;
		}
	}
}

void ev_rng_seeded_init(struct ev_rng_seeded *r, uint64_t seed)
{
	static const struct ev_rng_ops ops = { .fill = seeded_fill };

	r->base.ops = &ops;
	/* SplitMix64, as the generator's authors recommend for its state. */
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += UINT64_C(0x9E3779B97F4A7C15);

		z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
		z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
		r->s[i] = z ^ z >> 31;
	}
}
