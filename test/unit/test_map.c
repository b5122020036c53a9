#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/rng.h"

#define KEYS 600

static const uint64_t seed[2] = { 1, 2 };

/* Keys that differ in one byte or two at either end: what ids in a row look like. */
static void make_key(size_t i, uint8_t key[16])
{
	memset(key, 0x77, 16);
	key[i % 2 == 0 ? 0 : 15] = (uint8_t)i;
	key[7] = (uint8_t)(i >> 8);
}

static void finds_nothing_in_an_empty_map(void **state)
{
	uint8_t key[16] = { 0 };
	uintptr_t v = 42;
	size_t at = 0;
	const uint8_t *k;
	struct ev_map m;

	(void)state;
	ev_map_init(&m, 0, seed);
	assert_false(ev_map_get(&m, key, &v));
	assert_false(ev_map_remove(&m, key, &v));
	assert_false(ev_map_next(&m, &at, &k, &v));
	assert_int_equal(v, 42);
	ev_map_clear(&m);
	ev_map_deinit(&m);
}

static void replaces_the_value_of_a_key(void **state)
{
	uint8_t key[16] = { 1 };
	uintptr_t v = 0;
	struct ev_map m;

	(void)state;
	ev_map_init(&m, 1, seed);
	assert_int_equal(ev_map_put(&m, key, 5), EV_OK);
	assert_int_equal(ev_map_put(&m, key, 6), EV_OK);
	assert_int_equal(ev_map_len(&m), 1);
	assert_true(ev_map_get(&m, key, &v));
	assert_int_equal(v, 6);
	ev_map_deinit(&m);
}

static void is_full_at_its_bound(void **state)
{
	uint8_t key[16];
	struct ev_map m;

	(void)state;
	ev_map_init(&m, 100, seed);
	for (size_t i = 0; i < 100; i++) {
		make_key(i, key);
		assert_int_equal(ev_map_put(&m, key, i), EV_OK);
	}
	make_key(100, key);
	assert_int_equal(ev_map_put(&m, key, 0), EV_FULL);
	assert_int_equal(ev_map_len(&m), 100);
	assert_false(ev_map_get(&m, key, NULL));
	make_key(3, key);
	assert_int_equal(ev_map_put(&m, key, 9), EV_OK); /* known keys still may change */
	assert_true(ev_map_remove(&m, key, NULL));
	make_key(100, key);
	assert_int_equal(ev_map_put(&m, key, 0), EV_OK);
	ev_map_deinit(&m);
}

static void assert_agrees(const struct ev_map *m, const uintptr_t *model)
{
	size_t n = 0, walked = 0, at = 0;
	const uint8_t *k;
	uintptr_t v;

	for (size_t i = 0; i < KEYS; i++) {
		uint8_t key[16];
		uintptr_t got = 0;

		make_key(i, key);
		assert_true(ev_map_get(m, key, &got) == (model[i] != 0));
		assert_true(got == model[i]);
		n += model[i] != 0;
	}
	assert_int_equal(ev_map_len(m), n);
	while (ev_map_next(m, &at, &k, &v)) {
		uintptr_t got;

		assert_true(ev_map_get(m, k, &got) && got == v);
		walked++;
	}
	assert_int_equal(walked, n);
}

/* Random puts and removes against a plain array, the map's state compared again and again. */
static void agrees_with_an_array_whatever_happens(void **state)
{
	static uintptr_t model[KEYS];
	struct ev_rng_seeded r;
	struct ev_map m;

	(void)state;
	ev_rng_seeded_init(&r, 11);
	ev_map_init(&m, 0, seed);
	for (uintptr_t step = 1; step <= 100000; step++) {
		size_t i = (size_t)ev_rng_below(&r.base, KEYS);
		/* It fills for a while and empties for a while. */
		bool put = ev_rng_below(&r.base, 10) < (step / 5000 % 2 == 0 ? 7U : 3U);
		uint8_t key[16];
		uintptr_t old = 0;

		make_key(i, key);
		if (put) {
			assert_int_equal(ev_map_put(&m, key, step), EV_OK);
			model[i] = step;
		} else {
			assert_true(ev_map_remove(&m, key, &old) == (model[i] != 0));
			assert_true(old == model[i]);
			model[i] = 0;
		}
		if (step % 500 == 0)
			assert_agrees(&m, model);
	}
	ev_map_clear(&m);
	memset(model, 0, sizeof(model));
	assert_agrees(&m, model);
	ev_map_deinit(&m);
}

static void order_depends_on_the_seed(void **state)
{
	static const uint64_t other[2] = { 3, 4 };
	struct ev_map a, b;
	size_t at = 0, bt = 0, differ = 0;
	const uint8_t *k;
	uintptr_t v, w;

	(void)state;
	ev_map_init(&a, 0, seed);
	ev_map_init(&b, 0, other);
	for (size_t i = 0; i < 100; i++) {
		uint8_t key[16];

		make_key(i, key);
		assert_int_equal(ev_map_put(&a, key, i), EV_OK);
		assert_int_equal(ev_map_put(&b, key, i), EV_OK);
	}
	while (ev_map_next(&a, &at, &k, &v) && ev_map_next(&b, &bt, &k, &w))
		differ += v != w;
	assert_true(differ > 50);
	ev_map_deinit(&a);
	ev_map_deinit(&b);
}

static void keeps_pointers(void **state)
{
	uint8_t key[16] = { 9 };
	uintptr_t v = 0;
	struct ev_map m;

	(void)state;
	ev_map_init(&m, 0, seed);
	assert_int_equal(ev_map_put(&m, key, (uintptr_t)&m), EV_OK);
	assert_true(ev_map_remove(&m, key, &v));
	assert_ptr_equal((void *)v, &m);
	ev_map_deinit(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_nothing_in_an_empty_map),
		cmocka_unit_test(replaces_the_value_of_a_key),
		cmocka_unit_test(is_full_at_its_bound),
		cmocka_unit_test(agrees_with_an_array_whatever_happens),
		cmocka_unit_test(order_depends_on_the_seed),
		cmocka_unit_test(keeps_pointers),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
