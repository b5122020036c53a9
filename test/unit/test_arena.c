#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define IS_POISONED(p) (__asan_address_is_poisoned(p) != 0)
#else
#define IS_POISONED(p) ((void)(p), true) /* only ASan can tell */
#endif

static _Alignas(16) char block[256];

static void hands_out_aligned_pieces_that_do_not_overlap(void **state)
{
	struct ev_arena a;
	char *p, *q;

	(void)state;
	ev_arena_init(&a, block, sizeof(block));
	p = ev_arena_alloc(&a, 3);
	q = ev_arena_alloc(&a, 16);
	assert_non_null(p);
	assert_non_null(q);
	assert_int_equal((uintptr_t)p % 16, 0);
	assert_int_equal((uintptr_t)q % 16, 0);
	assert_true(q >= p + 3);
	memset(p, 1, 3);
	memset(q, 2, 16);
	assert_int_equal(p[2], 1);
	ev_arena_deinit(&a);
}

static void aligns_within_any_block(void **state)
{
	struct ev_arena a;
	void *p;

	(void)state;
	ev_arena_init(&a, block + 1, sizeof(block) - 1);
	p = ev_arena_alloc(&a, 1);
	assert_int_equal((uintptr_t)p % 16, 0);
	ev_arena_deinit(&a);
}

static void gives_nothing_beyond_its_block(void **state)
{
	struct ev_arena a;

	(void)state;
	ev_arena_init(&a, block, sizeof(block));
	assert_null(ev_arena_alloc(&a, sizeof(block) + 1));
	assert_null(ev_arena_alloc(&a, SIZE_MAX));
	assert_null(ev_arena_calloc(&a, SIZE_MAX / 2, 3));
	assert_null(ev_arena_copy(&a, (struct ev_str){ block, SIZE_MAX }));
	/* A refused request takes nothing away. */
	assert_non_null(ev_arena_alloc(&a, sizeof(block)));
	assert_null(ev_arena_alloc(&a, 1));
	assert_int_equal(a.peak, sizeof(block));
	ev_arena_deinit(&a);
}

static void zeroes_only_when_asked(void **state)
{
	struct ev_arena a;
	const char *p;

	(void)state;
	memset(block, 0x55, sizeof(block));
	ev_arena_init(&a, block, sizeof(block));
	p = ev_arena_calloc(&a, 4, 8);
	assert_non_null(p);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(p[i], 0);
	ev_arena_deinit(&a);
}

static void copies_text_with_an_end(void **state)
{
	struct ev_arena a;
	const char *p;

	(void)state;
	ev_arena_init(&a, block, sizeof(block));
	p = ev_arena_copy(&a, EV_LIT("tag"));
	assert_string_equal(p, "tag");
	p = ev_arena_copy(&a, (struct ev_str){ NULL, 0 });
	assert_string_equal(p, "");
	ev_arena_deinit(&a);
}

static void starts_over_after_a_reset_and_keeps_the_peak(void **state)
{
	struct ev_arena *a = NULL;
	void *p;

	(void)state;
	assert_int_equal(ev_arena_new(1000, &a), EV_OK);
	p = ev_arena_alloc(a, 900);
	assert_non_null(p);
	assert_null(ev_arena_alloc(a, 900));
	ev_arena_reset(a);
	assert_true(IS_POISONED(p));
	assert_int_equal(a->used, 0);
	assert_ptr_equal(ev_arena_alloc(a, 900), p);
	assert_true(a->peak >= 900);
	ev_arena_free(a);
	ev_arena_free(NULL);
}

static void what_was_not_handed_out_is_poisoned(void **state)
{
	struct ev_arena a;
	char *p;

	(void)state;
	ev_arena_init(&a, block, sizeof(block));
	p = ev_arena_alloc(&a, 5);
	assert_non_null(ev_arena_alloc(&a, 5));
	assert_true(IS_POISONED(p + 5));
	assert_true(IS_POISONED(block + sizeof(block) - 1));
	ev_arena_deinit(&a);
	block[sizeof(block) - 1] = 1; /* ours again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_out_aligned_pieces_that_do_not_overlap),
		cmocka_unit_test(aligns_within_any_block),
		cmocka_unit_test(gives_nothing_beyond_its_block),
		cmocka_unit_test(zeroes_only_when_asked),
		cmocka_unit_test(copies_text_with_an_end),
		cmocka_unit_test(starts_over_after_a_reset_and_keeps_the_peak),
		cmocka_unit_test(what_was_not_handed_out_is_poisoned),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
