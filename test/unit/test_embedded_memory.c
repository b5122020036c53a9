/* test_embedded_memory.c — what the embedded engine keeps in memory: rows and the filter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"
#include "embedded_fixture.h"
#include "engine/embedded/bloom.h"
#include "engine/embedded/cache.h"

struct entry {
	struct cache_node node;
	unsigned n;
};

static const uint64_t seed[2] = { 1, 2 };

static struct entry *add(struct cache *c, unsigned n)
{
	struct ev_uuid id = emb_id('o', n);
	struct entry *e = (struct entry *)cache_add(c, &id);

	assert_non_null(e);
	e->n = n;
	e->node.n = n;
	return e;
}

static struct entry *find(struct cache *c, unsigned n)
{
	struct ev_uuid id = emb_id('o', n);
	struct entry *e = (struct entry *)cache_find(c, &id);

	if (e != NULL)
		assert_int_equal(e->n, n);
	return e;
}

static void a_full_cache_gives_up_what_was_not_used(void **state)
{
	struct cache c;

	(void)state;
	cache_init(&c, sizeof(struct entry), 4, seed);
	for (unsigned i = 0; i < 4; i++)
		(void)add(&c, i);
	assert_non_null(find(&c, 0));
	assert_non_null(find(&c, 2));
	(void)add(&c, 4);
	(void)add(&c, 5);
	assert_int_equal(cache_len(&c), 4);
	assert_non_null(find(&c, 0));
	assert_null(find(&c, 1));
	assert_non_null(find(&c, 2));
	assert_null(find(&c, 3));
	assert_non_null(find(&c, 4));
	assert_non_null(find(&c, 5));
	assert_int_equal(c.misses, 2);
	cache_deinit(&c);
}

static void touched_entries_stay_beyond_the_limit(void **state)
{
	struct cache c;

	(void)state;
	cache_init(&c, sizeof(struct entry), 2, seed);
	for (unsigned i = 0; i < 10; i++)
		cache_touch(&c, &add(&c, i)->node);
	assert_int_equal(cache_len(&c), 10);
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(find(&c, i));
	cache_settle(&c);
	assert_int_equal(cache_len(&c), 2);
	cache_deinit(&c);
}

static void dirty_entries_are_listed_in_order_of_the_file(void **state)
{
	static const unsigned order[] = { 5, 1, 9, 3 };
	const struct cache_dirty *dirty = NULL;
	struct cache c;
	size_t n = 0;

	(void)state;
	cache_init(&c, sizeof(struct entry), 100, seed);
	for (size_t i = 0; i < EV_ARRAY_LEN(order); i++)
		cache_touch(&c, &add(&c, order[i])->node);
	cache_touch(&c, &find(&c, 5)->node);
	find(&c, 9)->node.dirty = false;
	assert_int_equal(cache_list_dirty(&c, &dirty, &n), EV_OK);
	assert_int_equal(n, 3);
	assert_int_equal(dirty[0].n, 1);
	assert_int_equal(dirty[1].n, 3);
	assert_int_equal(dirty[2].n, 5);
	cache_deinit(&c);
}

static void a_lost_group_takes_its_entries_with_it(void **state)
{
	const struct cache_dirty *dirty = NULL;
	struct cache c;
	size_t n = 99;

	(void)state;
	cache_init(&c, sizeof(struct entry), 100, seed);
	for (unsigned i = 0; i < 6; i++)
		(void)add(&c, i);
	cache_touch(&c, &find(&c, 0)->node);
	cache_settle(&c);
	for (unsigned i = 1; i < 4; i++)
		cache_touch(&c, &find(&c, i)->node);
	cache_drop_touched(&c);
	assert_non_null(find(&c, 0));
	assert_null(find(&c, 1));
	assert_null(find(&c, 3));
	assert_non_null(find(&c, 4));
	assert_int_equal(cache_list_dirty(&c, &dirty, &n), EV_OK);
	assert_int_equal(n, 0);
	cache_deinit(&c);
}

static void the_filter_knows_all_it_was_given(void **state)
{
	unsigned strangers = 0;
	struct bloom b;

	(void)state;
	bloom_init(&b, EV_NS_PER_HOUR);
	assert_int_equal(bloom_size(&b), 0);
	for (unsigned i = 0; i < 100000; i++) {
		struct identity id = emb_identity(i);

		assert_int_equal(bloom_add(&b, &id, 1), EV_OK);
	}
	for (unsigned i = 0; i < 200000; i++) {
		struct identity id = emb_identity(i);
		bool may = bloom_may_have(&b, &id, EV_NS_PER_HOUR);

		if (i < 100000)
			assert_true(may);
		else
			strangers += may;
	}
	assert_in_range(strangers, 1, 500); /* 0.05 % in each of some filters */
	assert_true(bloom_size(&b) < 500000);
	bloom_deinit(&b);
}

static void the_filter_forgets_in_time_and_gives_memory_back(void **state)
{
	struct identity early = emb_identity(1), late = emb_identity(2);
	struct bloom b;

	(void)state;
	bloom_init(&b, EV_NS_PER_HOUR);
	assert_int_equal(bloom_add(&b, &early, 0), EV_OK);
	assert_int_equal(bloom_add(&b, &late, 30 * EV_NS_PER_MIN), EV_OK);
	size_t both = bloom_size(&b);

	assert_true(bloom_may_have(&b, &early, EV_NS_PER_HOUR));
	assert_false(bloom_may_have(&b, &early, EV_NS_PER_HOUR + 1));
	assert_true(bloom_may_have(&b, &late, EV_NS_PER_HOUR + 1));
	assert_true(bloom_size(&b) < both);
	assert_false(bloom_may_have(&b, &late, 2 * EV_NS_PER_HOUR));
	assert_int_equal(bloom_size(&b), 0);
	bloom_deinit(&b);
}

static void a_filter_that_keeps_for_ever_does(void **state)
{
	struct identity id = emb_identity(1);
	struct bloom b;

	(void)state;
	bloom_init(&b, 0);
	assert_int_equal(bloom_add(&b, &id, 0), EV_OK);
	assert_true(bloom_may_have(&b, &id, INT64_MAX));
	bloom_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_cache_gives_up_what_was_not_used),
		cmocka_unit_test(touched_entries_stay_beyond_the_limit),
		cmocka_unit_test(dirty_entries_are_listed_in_order_of_the_file),
		cmocka_unit_test(a_lost_group_takes_its_entries_with_it),
		cmocka_unit_test(the_filter_knows_all_it_was_given),
		cmocka_unit_test(the_filter_forgets_in_time_and_gives_memory_back),
		cmocka_unit_test(a_filter_that_keeps_for_ever_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
