/* test/cloud/pool.c — see pool.h. */
#include "cloud/pool.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)1024)
#define ALIGN ((size_t)16)

struct pool_chunk {
	struct pool_chunk *next;
	size_t n;
	_Alignas(16) char bytes[];
};

void *must_calloc(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size);

	if (p == NULL)
		abort();
	return p;
}

void *must_realloc(void *p, size_t n, size_t size)
{
	void *q = NULL;
	size_t bytes;

	if (!__builtin_mul_overflow(n, size, &bytes))
		q = realloc(p, bytes > 0 ? bytes : 1);
	if (q == NULL)
		abort();
	return q;
}

void *pool_alloc(struct pool *p, size_t n)
{
	size_t need = (n + ALIGN - 1) / ALIGN * ALIGN;
	struct pool_chunk *chunk = p->first;

	if (p->left < need) {
		size_t size = need > CHUNK ? need : CHUNK;

		chunk = must_calloc(1, sizeof(*chunk) + size);
		chunk->n = size;
		chunk->next = p->first;
		p->first = chunk;
		p->left = size;
	}
	p->left -= need;
	return chunk == NULL ? NULL : chunk->bytes + (chunk->n - p->left - need);
}

struct ev_str pool_copy(struct pool *p, struct ev_str s)
{
	char *copy = pool_alloc(p, s.n + 1);

	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	return (struct ev_str){ copy, s.n };
}

void pool_clear(struct pool *p)
{
	while (p->first != NULL) {
		struct pool_chunk *next = p->first->next;

		free(p->first);
		p->first = next;
	}
	p->left = 0;
}
