#include "engine/embedded/bloom.h"

#include <stdlib.h>
#include <string.h>

#include "base/time.h"

/*
 * With 16 bits an entry and 11 probes a filter takes 0.05 % of strangers for known.  A stranger is
 * looked for in every filter, and is paid for with a walk through all blocks of the outlet.
 */
#define BITS_PER_ENTRY 16
#define PROBES 11
#define FIRST_ENTRIES 4096
#define STRETCH_NS (10 * EV_NS_PER_MIN)

struct bloom_filter {
	struct bloom_filter *older;
	size_t n, max; /* entries */
	uint64_t n_bits;
	int64_t first_ns, last_ns;
	uint64_t bits[];
};

void bloom_init(struct bloom *b, int64_t keep_ns)
{
	*b = (struct bloom){ .keep_ns = keep_ns };
}

static void free_from(struct bloom_filter *f)
{
	while (f != NULL) {
		struct bloom_filter *older = f->older;

		free(f);
		f = older;
	}
}

void bloom_deinit(struct bloom *b)
{
	free_from(b->newest);
	b->newest = NULL;
}

/* Identities are hashes already: two of their words give all probes. */
struct probe {
	uint64_t at, step;
};

static struct probe probe_of(const struct identity *id)
{
	struct probe p;

	memcpy(&p.at, id->b, sizeof(p.at));
	memcpy(&p.step, id->b + sizeof(p.at), sizeof(p.step));
	p.step |= 1;
	return p;
}

/* The next filter holds what a stretch is likely to bring, judged by the last one. */
static size_t next_max(const struct bloom_filter *f)
{
	size_t max = FIRST_ENTRIES;

	if (f == NULL)
		return max;
	size_t wanted = f->n >= f->max ? f->max * 2 : f->n + f->n / 2;

	while (max < wanted)
		max *= 2;
	return max;
}

static struct bloom_filter *open_filter(struct bloom *b, int64_t at_ns)
{
	struct bloom_filter *f = b->newest;

	if (f != NULL && f->n < f->max && at_ns - f->first_ns < STRETCH_NS)
		return f;

	size_t max = next_max(f);
	size_t words = max * BITS_PER_ENTRY / 64;

	f = calloc(1, sizeof(*f) + words * sizeof(uint64_t));
	if (f == NULL)
		return NULL;
	f->max = max;
	f->n_bits = words * 64;
	f->first_ns = at_ns;
	f->last_ns = at_ns;
	f->older = b->newest;
	b->newest = f;
	return f;
}

ev_err bloom_add(struct bloom *b, const struct identity *id, int64_t at_ns)
{
	struct bloom_filter *f = open_filter(b, at_ns);
	struct probe p = probe_of(id);

	if (f == NULL)
		return EV_NOMEM;
	for (unsigned i = 0; i < PROBES; i++, p.at += p.step) {
		uint64_t bit = p.at % f->n_bits;

		f->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
	}
	f->n++;
	if (at_ns > f->last_ns)
		f->last_ns = at_ns;
	return EV_OK;
}

static bool has(const struct bloom_filter *f, const struct identity *id)
{
	struct probe p = probe_of(id);

	for (unsigned i = 0; i < PROBES; i++, p.at += p.step) {
		uint64_t bit = p.at % f->n_bits;

		if ((f->bits[bit / 64] >> (bit % 64) & 1) == 0)
			return false;
	}
	return true;
}

bool bloom_may_have(struct bloom *b, const struct identity *id, int64_t now_ns)
{
	struct bloom_filter **at = &b->newest;

	while (*at != NULL) {
		struct bloom_filter *f = *at;

		if (b->keep_ns != 0 && now_ns - f->last_ns > b->keep_ns) {
			*at = f->older;
			free(f);
			continue;
		}
		if (has(f, id))
			return true;
		at = &f->older;
	}
	return false;
}

size_t bloom_size(const struct bloom *b)
{
	size_t n = 0;

	for (const struct bloom_filter *f = b->newest; f != NULL; f = f->older)
		n += sizeof(*f) + f->n_bits / 8;
	return n;
}
