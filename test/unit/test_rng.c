#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"

static void gives_the_same_bytes_for_the_same_seed(void **state)
{
	struct ev_rng_seeded a, b, c;
	uint8_t p[3][1000];

	(void)state;
	ev_rng_seeded_init(&a, 7);
	ev_rng_seeded_init(&b, 7);
	ev_rng_seeded_init(&c, 8);
	ev_rng_fill(&a.base, p[0], sizeof(p[0]));
	ev_rng_fill(&b.base, p[1], sizeof(p[1]));
	ev_rng_fill(&c.base, p[2], sizeof(p[2]));
	assert_memory_equal(p[0], p[1], sizeof(p[0]));
	assert_memory_not_equal(p[0], p[2], sizeof(p[0]));
}

/* The state 1, 2, 3, 4 and its first outputs, worked by hand from the published recurrence. */
static void follows_xoshiro256starstar(void **state)
{
	static const uint64_t want[] = { 11520, 0, 1509978240, UINT64_C(1215971899390074240) };
	struct ev_rng_seeded r;

	(void)state;
	ev_rng_seeded_init(&r, 0);
	for (uint64_t i = 0; i < 4; i++)
		r.s[i] = i + 1;
	for (size_t i = 0; i < 4; i++)
		assert_true(ev_rng_u64(&r.base) == want[i]);
}

static void draws_below_the_bound_and_reaches_every_value(void **state)
{
	struct ev_rng_seeded r;
	unsigned seen[6] = { 0 };

	(void)state;
	ev_rng_seeded_init(&r, 1);
	for (int i = 0; i < 60000; i++) {
		uint64_t v = ev_rng_below(&r.base, 6);

		assert_true(v < 6);
		seen[v]++;
	}
	for (int i = 0; i < 6; i++)
		assert_in_range(seen[i], 9500, 10500);
	assert_true(ev_rng_below(&r.base, 1) == 0);
}

/* With a bound just above half of the range, a plain remainder would favour the low half. */
static void is_even_for_a_bound_that_does_not_divide_the_range(void **state)
{
	const uint64_t bound = (UINT64_C(1) << 63) + (UINT64_C(1) << 62);
	struct ev_rng_seeded r;
	int low = 0;

	(void)state;
	ev_rng_seeded_init(&r, 3);
	for (int i = 0; i < 30000; i++)
		low += ev_rng_below(&r.base, bound) < bound / 3;
	assert_in_range(low, 9500, 10500); /* a third; the remainder would give half */
}

/* Fills that cross the block: no byte is given twice, none is left as it was. */
static void hands_out_the_kernels_bytes_once(void **state)
{
	struct ev_rng_os r;
	static uint8_t p[3 * EV_RNG_OS_BLOCK + 5];
	unsigned zeros = 0;

	(void)state;
	ev_rng_os_init(&r);
	ev_rng_fill(&r.base, p, 5);
	ev_rng_fill(&r.base, p + 5, sizeof(p) - 5);
	for (size_t i = 0; i < sizeof(p); i++)
		zeros += p[i] == 0;
	assert_in_range(zeros, 1, 150); /* 48 expected */
	for (size_t i = 0; i + 32 <= sizeof(p) - EV_RNG_OS_BLOCK; i += 16)
		assert_memory_not_equal(p + i, p + i + EV_RNG_OS_BLOCK, 16);
	/* What is gone from the block is wiped there. */
	for (size_t i = 0; i < sizeof(r.block) - r.left; i++)
		assert_int_equal(r.block[i], 0);
}

static void makes_version_4_uuids(void **state)
{
	struct ev_rng_os r;
	struct ev_uuid a, b;

	(void)state;
	ev_rng_os_init(&r);
	a = ev_rng_uuid(&r.base);
	b = ev_rng_uuid(&r.base);
	assert_false(ev_uuid_eq(&a, &b));
	assert_int_equal(a.b[6] >> 4, 4);
	assert_int_equal(a.b[8] >> 6, 2);
}

static void a_manual_clock_moves_only_by_hand(void **state)
{
	struct ev_clock_manual c;

	(void)state;
	ev_clock_manual_init(&c, 1000);
	assert_true(ev_clock_wall_ns(&c.base) == 1000);
	assert_true(ev_clock_mono_ns(&c.base) == 0);
	ev_clock_manual_advance(&c, 5);
	assert_true(ev_clock_wall_ns(&c.base) == 1005);
	assert_true(ev_clock_mono_ns(&c.base) == 5);
	ev_clock_manual_set_wall(&c, 10);
	assert_true(ev_clock_wall_ns(&c.base) == 10);
	assert_true(ev_clock_mono_ns(&c.base) == 5);
}

static void the_systems_clock_goes_forwards(void **state)
{
	struct ev_clock *c = ev_clock_os();
	int64_t last = ev_clock_mono_ns(c);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int64_t now = ev_clock_mono_ns(c);

		assert_true(now >= last);
		last = now;
	}
	/* After 2020: nanoseconds since 1970, not something else. */
	assert_true(ev_clock_wall_ns(c) > INT64_C(1577836800) * 1000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_same_bytes_for_the_same_seed),
		cmocka_unit_test(follows_xoshiro256starstar),
		cmocka_unit_test(draws_below_the_bound_and_reaches_every_value),
		cmocka_unit_test(is_even_for_a_bound_that_does_not_divide_the_range),
		cmocka_unit_test(hands_out_the_kernels_bytes_once),
		cmocka_unit_test(makes_version_4_uuids),
		cmocka_unit_test(a_manual_clock_moves_only_by_hand),
		cmocka_unit_test(the_systems_clock_goes_forwards),
	};

	return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
