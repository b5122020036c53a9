/* net/address.c — see address.h: chained hashing with a secret seed. */
#include "net/address.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS 1024U
#define KEY_LEN 16

struct entry {
	struct entry *next;
	uint8_t key[KEY_LEN];
	uint32_t n;
};

struct address_table {
	uint64_t seed;
	struct entry *buckets[BUCKETS];
};

static void make_key(uint8_t key[KEY_LEN], const uint8_t address[KEY_LEN])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(key, address, KEY_LEN);
	if (memcmp(address, mapped, sizeof(mapped)) != 0)
		memset(key + 8, 0, 8);
}

/* Multiplication and shifts over both halves, enough to spread under a secret seed. */
static struct entry **bucket(struct address_table *t, const uint8_t key[KEY_LEN])
{
	uint64_t half[2];
	uint64_t h = t->seed;

	memcpy(half, key, sizeof(half));
	for (size_t i = 0; i < 2; i++) {
		h = (h ^ half[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return &t->buckets[(h >> 32) % BUCKETS];
}

ev_err address_table_new(struct address_table **out)
{
	struct address_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return EV_NOMEM;
	if (getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed)) {
		free(t);
		return EV_IO;
	}
	*out = t;
	return EV_OK;
}

void address_table_free(struct address_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (t->buckets[i] != NULL) {
			struct entry *e = t->buckets[i];

			t->buckets[i] = e->next;
			free(e);
		}
	}
	free(t);
}

static struct entry **find(struct address_table *t, const uint8_t key[KEY_LEN])
{
	struct entry **at = bucket(t, key);

	while (*at != NULL && memcmp((*at)->key, key, KEY_LEN) != 0)
		at = &(*at)->next;
	return at;
}

ev_err address_table_add(struct address_table *t, const uint8_t address[16], uint32_t max)
{
	uint8_t key[KEY_LEN];

	make_key(key, address);
	struct entry **at = find(t, key);

	if (*at != NULL) {
		if ((*at)->n >= max)
			return EV_FULL;
		(*at)->n++;
		return EV_OK;
	}
	struct entry *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return EV_NOMEM;
	memcpy(e->key, key, KEY_LEN);
	e->n = 1;
	*at = e;
	return EV_OK;
}

void address_table_remove(struct address_table *t, const uint8_t address[16])
{
	uint8_t key[KEY_LEN];

	make_key(key, address);
	struct entry **at = find(t, key);
	struct entry *e = *at;

	if (e == NULL || --e->n > 0)
		return;
	*at = e->next;
	free(e);
}
