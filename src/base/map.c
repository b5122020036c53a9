#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 16U

struct ev_map_slot {
	uint8_t key[16];
	uintptr_t value;
	uint32_t hash; /* spares computing it anew when the slot moves */
	bool used;
};

static uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein 2012) of exactly 16 bytes. */
static uint32_t hash_key(const struct ev_map *m, const uint8_t key[16])
{
	uint64_t v[4] = {
		m->seed[0] ^ UINT64_C(0x736f6d6570736575),
		m->seed[1] ^ UINT64_C(0x646f72616e646f6d),
		m->seed[0] ^ UINT64_C(0x6c7967656e657261),
		m->seed[1] ^ UINT64_C(0x7465646279746573),
	};
	uint64_t words[3];

	memcpy(words, key, 16);
	words[2] = UINT64_C(16) << 56;
	for (int i = 0; i < 3; i++) {
		v[3] ^= words[i];
		sip_round(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xFF;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* The slot of the key, or the free one where it belongs.  There is always a free one. */
static struct ev_map_slot *find(const struct ev_map *m, const uint8_t key[16], uint32_t hash)
{
	size_t at = hash & m->mask;

	for (;;) {
		struct ev_map_slot *s = &m->slots[at];

		if (!s->used || (s->hash == hash && memcmp(s->key, key, 16) == 0))
			return s;
		at = (at + 1) & m->mask;
	}
}

static ev_err grow(struct ev_map *m)
{
	struct ev_map bigger = *m;
	size_t slots = m->slots == NULL ? FIRST_SLOTS : (m->mask + 1) * 2;

	bigger.slots = calloc(slots, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return EV_NOMEM;
	bigger.mask = slots - 1;
	for (size_t i = 0; m->slots != NULL && i <= m->mask; i++) {
		const struct ev_map_slot *s = &m->slots[i];

		if (s->used)
			*find(&bigger, s->key, s->hash) = *s;
	}
	free(m->slots);
	*m = bigger;
	return EV_OK;
}

void ev_map_init(struct ev_map *m, size_t max, const uint64_t seed[2])
{
	*m = (struct ev_map){ .max = max, .seed = { seed[0], seed[1] } };
}

void ev_map_deinit(struct ev_map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->mask = 0;
	m->n = 0;
}

ev_err ev_map_put(struct ev_map *m, const uint8_t key[16], uintptr_t value)
{
	uint32_t hash = hash_key(m, key);
	struct ev_map_slot *s = m->slots == NULL ? NULL : find(m, key, hash);

	if (s != NULL && s->used) {
		s->value = value;
		return EV_OK;
	}
	if (m->max > 0 && m->n >= m->max)
		return EV_FULL;
	/* At most three quarters full: probes stay short and find() always ends. */
	if (s == NULL || m->n + 1 > (m->mask + 1) / 4 * 3) {
		ev_err e = grow(m);

		if (e != EV_OK)
			return e;
		s = find(m, key, hash);
	}
	memcpy(s->key, key, 16);
	s->value = value;
	s->hash = hash;
	s->used = true;
	m->n++;
	return EV_OK;
}

bool ev_map_get(const struct ev_map *m, const uint8_t key[16], uintptr_t *out)
{
	const struct ev_map_slot *s = m->n == 0 ? NULL : find(m, key, hash_key(m, key));

	if (s == NULL || !s->used)
		return false;
	if (out != NULL)
		*out = s->value;
	return true;
}

/*
 * Frees slot `hole`: each later one of its run that may not be reached any more moves into the hole
 * and leaves one itself, until the run ends.
 */
static void close_hole(struct ev_map *m, size_t hole)
{
	size_t at = hole;

	for (;;) {
		size_t home;

		at = (at + 1) & m->mask;
		if (!m->slots[at].used)
			break;
		home = m->slots[at].hash & m->mask;
		/* Its distance from home reaches back to the hole or beyond. */
		if (((at - home) & m->mask) >= ((at - hole) & m->mask)) {
			m->slots[hole] = m->slots[at];
			hole = at;
		}
	}
	m->slots[hole].used = false;
}

bool ev_map_remove(struct ev_map *m, const uint8_t key[16], uintptr_t *out)
{
	struct ev_map_slot *s = m->n == 0 ? NULL : find(m, key, hash_key(m, key));

	if (s == NULL || !s->used)
		return false;
	if (out != NULL)
		*out = s->value;
	close_hole(m, (size_t)(s - m->slots));
	m->n--;
	return true;
}

void ev_map_clear(struct ev_map *m)
{
	for (size_t i = 0; m->slots != NULL && i <= m->mask; i++)
		m->slots[i].used = false;
	m->n = 0;
}

bool ev_map_next(const struct ev_map *m, size_t *at, const uint8_t **out_key, uintptr_t *out)
{
	if (m->slots == NULL)
		return false;
	for (; *at <= m->mask; (*at)++) {
		const struct ev_map_slot *s = &m->slots[*at];

		if (!s->used)
			continue;
		*out_key = s->key;
		*out = s->value;
		(*at)++;
		return true;
	}
	return false;
}
