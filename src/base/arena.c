#include "base/arena.h"

#include <stdint.h>

#define ALIGN 16U

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif

#ifdef POISONING
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#define GAP ALIGN /* between two pieces, so that an overrun meets poison and not its neighbour */
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define GAP 0U
#endif

void ev_arena_init(struct ev_arena *a, void *block, size_t cap)
{
	*a = (struct ev_arena){ .block = block, .cap = cap };
	POISON(block, cap);
}

void ev_arena_deinit(struct ev_arena *a)
{
	UNPOISON(a->block, a->cap);
	*a = (struct ev_arena){ .block = NULL };
}

void *ev_arena_alloc(struct ev_arena *a, size_t n)
{
	size_t skip = (0 - (uintptr_t)(a->block + a->used)) % ALIGN;
	size_t left = a->cap - a->used;
	char *p;

	if (a->used > 0)
		skip += GAP;
	if (skip > left || n > left - skip)
		return NULL;
	p = a->block + a->used + skip;
	a->used += skip + n;
	if (a->used > a->peak)
		a->peak = a->used;
	UNPOISON(p, n);
	return p;
}

void *ev_arena_calloc(struct ev_arena *a, size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	p = ev_arena_alloc(a, bytes);
	if (p != NULL)
		memset(p, 0, bytes);
	return p;
}

char *ev_arena_copy(struct ev_arena *a, struct ev_str s)
{
	char *p = s.n < SIZE_MAX ? ev_arena_alloc(a, s.n + 1) : NULL;

	if (p == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

void ev_arena_reset(struct ev_arena *a)
{
	a->used = 0;
	POISON(a->block, a->cap);
}
