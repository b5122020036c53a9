/* The memory engine's tree against a sorted array, and its shared versions against time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/memory/tree.h"

#define KEYS 200
#define STEPS 20000
#define VERSIONS 16

/* What a tree must hold: for each key the value, 0: absent. */
struct model {
	uint32_t value[KEYS];
	size_t n;
};

static uint64_t next(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

/* Two bytes of group (0..3), then the number: in order of k, with prefixes to walk. */
static struct tree_key key_of(unsigned k)
{
	struct tree_key key = { .n = 0 };
	const uint8_t group[2] = { 7, (uint8_t)(k / (KEYS / 4)) };

	tree_key_bytes(&key, group, sizeof(group));
	tree_key_u64(&key, k);
	return key;
}

static void model_put(struct model *m, unsigned k, uint32_t value)
{
	m->n += m->value[k] == 0;
	m->value[k] = value;
}

static void model_delete(struct model *m, unsigned k)
{
	m->n -= m->value[k] != 0;
	m->value[k] = 0;
}

/* A walk over the model's keys that the tree's walk must follow. */
struct walk {
	const struct model *m;
	int at;   /* the next key that may come */
	int step; /* 1 or -1 */
	int end;  /* the first key that must not come */
	unsigned left;
};

static void skip_absent(struct walk *w)
{
	while (w->at != w->end && w->m->value[w->at] == 0)
		w->at += w->step;
}

static bool follow(void *user, const struct tree_item *item)
{
	struct walk *w = user;
	struct tree_key want;

	skip_absent(w);
	assert_int_not_equal(w->at, w->end);
	want = key_of((unsigned)w->at);
	assert_int_equal(item->key_n, want.n);
	assert_memory_equal(item->key, want.b, want.n);
	assert_int_equal(item->value_n, sizeof(uint32_t));
	assert_memory_equal(item->value, &w->m->value[w->at], sizeof(uint32_t));
	w->at += w->step;
	return --w->left > 0;
}

static void assert_walks(const struct tree *t, const struct model *m)
{
	struct tree_key first = { .n = 0 };
	struct walk w = { .m = m, .at = 0, .step = 1, .end = KEYS, .left = KEYS + 1 };

	tree_walk_up(t, &first, 0, follow, &w);
	skip_absent(&w);
	assert_int_equal(w.at, w.end);
}

static void assert_same(const struct tree *t, const struct model *m)
{
	assert_int_equal(t->n, m->n);
	for (unsigned k = 0; k < KEYS; k++) {
		struct tree_key key = key_of(k);
		const void *value = tree_get(t, &key);

		assert_int_equal(value != NULL, m->value[k] != 0);
		if (value != NULL)
			assert_memory_equal(value, &m->value[k], sizeof(m->value[k]));
	}
	assert_walks(t, m);
}

static void change(struct tree *t, struct model *m, uint64_t *random)
{
	unsigned k = (unsigned)(next(random) % KEYS);
	struct tree_key key = key_of(k);
	uint32_t value = (uint32_t)next(random) | 1;

	if (next(random) % 3 == 0) {
		assert_true(tree_delete(t, &key));
		model_delete(m, k);
	} else {
		assert_true(tree_put(t, &key, &value, sizeof(value)));
		model_put(m, k, value);
	}
}

static void holds_what_was_put_and_each_version_stays_as_it_was(void **state)
{
	struct tree trees[VERSIONS] = { { .salt = 3 } };
	struct model models[VERSIONS] = { { .n = 0 } };
	uint64_t random = 1;
	size_t n = 1;

	(void)state;
	for (unsigned i = 0; i < STEPS; i++) {
		size_t v = next(&random) % n;

		change(&trees[v], &models[v], &random);
		if (i % 100 != 0)
			continue;
		v = next(&random) % n; /* of any version a further one is made */
		size_t to = n < VERSIONS ? n++ : next(&random) % VERSIONS;

		if (to != v) {
			tree_drop(&trees[to]);
			trees[to] = tree_share(&trees[v]);
			models[to] = models[v];
		}
		for (size_t k = 0; k < n; k++)
			assert_same(&trees[k], &models[k]);
	}
	for (size_t i = 0; i < VERSIONS; i++)
		tree_drop(&trees[i]);
}

static void walks_begin_at_their_bound_and_stay_in_their_prefix(void **state)
{
	struct tree t = { .salt = 3 };
	struct model m = { .n = 0 };
	uint64_t random = 2;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		change(&t, &m, &random);
	for (int k = 0; k < KEYS; k++) {
		int group = k / (KEYS / 4) * (KEYS / 4);
		struct tree_key key = key_of((unsigned)k);
		struct walk up = { &m, k, 1, group + KEYS / 4, KEYS };
		struct walk down = { &m, k - 1, -1, group - 1, KEYS };
		struct walk some = { &m, k, 1, KEYS, 3 };

		tree_walk_up(&t, &key, 2, follow, &up);
		skip_absent(&up);
		assert_int_equal(up.at, up.end);
		tree_walk_down(&t, &key, 2, follow, &down);
		skip_absent(&down);
		assert_int_equal(down.at, down.end);
		tree_walk_up(&t, &key, 0, follow, &some); /* the visitor stops it */
	}
	tree_drop(&t);
}

static void numbers_order_as_their_bytes(void **state)
{
	static const int64_t numbers[] = { INT64_MIN, -256, -255, -1, 0, 1, 255, 256, INT64_MAX };
	struct tree_key last = { .n = 0 };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(numbers); i++) {
		struct tree_key k = { .n = 0 };

		tree_key_i64(&k, numbers[i]);
		assert_int_equal(k.n, 8);
		if (i > 0)
			assert_true(memcmp(last.b, k.b, 8) < 0);
		last = k;
	}
}

static void trees_are_equal_by_contents_whatever_their_history(void **state)
{
	struct tree a = { .salt = 5 };
	struct tree b = { .salt = 5 };
	uint32_t value = 1;

	(void)state;
	for (unsigned k = 0; k < KEYS; k++) {
		struct tree_key up = key_of(k);
		struct tree_key down = key_of(KEYS - 1 - k);

		assert_true(tree_put(&a, &up, &value, sizeof(value)));
		assert_true(tree_put(&b, &down, &value, sizeof(value)));
		assert_int_equal(tree_eq(&a, &b), k == KEYS - 1);
	}
	struct tree c = tree_share(&a);

	assert_true(tree_eq(&a, &c));
	for (unsigned k = 0; k < KEYS; k++) {
		struct tree_key key = key_of(k);

		value = 2;
		assert_true(tree_put(&c, &key, &value, sizeof(value)));
		assert_false(tree_eq(&a, &c));
		assert_true(tree_delete(&c, &key));
		assert_false(tree_eq(&a, &c));
		value = 1;
		assert_true(tree_put(&c, &key, &value, sizeof(value)));
		assert_true(tree_eq(&a, &c));
	}
	tree_drop(&c);
	tree_drop(&b);
	tree_drop(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_what_was_put_and_each_version_stays_as_it_was),
		cmocka_unit_test(walks_begin_at_their_bound_and_stay_in_their_prefix),
		cmocka_unit_test(numbers_order_as_their_bytes),
		cmocka_unit_test(trees_are_equal_by_contents_whatever_their_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
