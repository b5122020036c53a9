/* test_net_wheel.c — the timer wheel against a plain list of what is armed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "net/wheel.h"

#define N_NODES 64

struct model {
	struct net_wheel wheel;
	struct net_wheel_node nodes[N_NODES];
	uint64_t due[N_NODES]; /* 0: not armed */
	uint64_t fired_at[N_NODES];
	uint64_t last;
	size_t n_fired;
	uint64_t seed;
	bool rearms; /* in the callback */
};

static uint64_t random_below(struct model *m, uint64_t n)
{
	m->seed = m->seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
	return (m->seed >> 33) % n;
}

static void arm(struct model *m, size_t i, uint64_t tick)
{
	net_wheel_arm(&m->wheel, &m->nodes[i], tick);
	m->due[i] = tick > m->wheel.now ? tick : m->wheel.now + 1;
}

static void on_fire(void *user, struct net_wheel_node *node)
{
	struct model *m = user;
	size_t i = (size_t)(node - m->nodes);

	assert_false(net_wheel_is_armed(node));
	assert_int_equal(m->due[i], m->wheel.now); /* neither early nor late */
	assert_true(m->wheel.now >= m->last);
	m->last = m->wheel.now;
	m->due[i] = 0;
	m->fired_at[i] = m->wheel.now;
	m->n_fired++;
	if (m->rearms && random_below(m, 2) == 0)
		arm(m, i, m->wheel.now + random_below(m, 5000));
	if (m->rearms && random_below(m, 4) == 0) {
		size_t other = (size_t)random_below(m, N_NODES);

		net_wheel_cancel(&m->wheel, &m->nodes[other]);
		m->due[other] = 0;
	}
}

static void fires_at_its_tick_however_far(void **state)
{
	static const uint64_t delays[] = {
		1,    2,     63,     64,     65,       4095,     4096,
		4097, 99999, 262143, 262144, 16777215, 16777216, 40000000
	};
	static const uint64_t starts[] = { 0, 1, 63, 4095, 262143, 16777215, 123456789 };

	(void)state;
	for (size_t s = 0; s < EV_ARRAY_LEN(starts); s++) {
		struct model m = { 0 };

		net_wheel_init(&m.wheel, starts[s]);
		for (size_t i = 0; i < EV_ARRAY_LEN(delays); i++)
			arm(&m, i, starts[s] + delays[i]);
		net_wheel_advance(&m.wheel, starts[s] + 40000000, on_fire, &m);
		assert_int_equal(m.n_fired, EV_ARRAY_LEN(delays));
		for (size_t i = 0; i < EV_ARRAY_LEN(delays); i++)
			assert_int_equal(m.fired_at[i], starts[s] + delays[i]);
		assert_int_equal(net_wheel_next(&m.wheel), UINT64_MAX);
	}
}

static void a_past_tick_is_the_next_one(void **state)
{
	struct model m = { 0 };

	(void)state;
	net_wheel_init(&m.wheel, 100);
	arm(&m, 0, 5);
	arm(&m, 1, 100);
	assert_int_equal(net_wheel_next(&m.wheel), 101);
	net_wheel_advance(&m.wheel, 100, on_fire, &m);
	assert_int_equal(m.n_fired, 0);
	net_wheel_advance(&m.wheel, 101, on_fire, &m);
	assert_int_equal(m.n_fired, 2);
}

static void does_not_fire_what_was_cancelled_or_moved(void **state)
{
	struct model m = { 0 };

	(void)state;
	net_wheel_init(&m.wheel, 0);
	arm(&m, 0, 10);
	arm(&m, 1, 10);
	net_wheel_cancel(&m.wheel, &m.nodes[0]);
	net_wheel_cancel(&m.wheel, &m.nodes[0]);
	arm(&m, 1, 500);
	net_wheel_advance(&m.wheel, 499, on_fire, &m);
	assert_int_equal(m.n_fired, 0);
	net_wheel_advance(&m.wheel, 500, on_fire, &m);
	assert_int_equal(m.n_fired, 1);
	assert_int_equal(m.wheel.n_armed, 0);
}

static void agrees_with_a_list_under_random_use(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct model m = { .seed = seed, .rearms = true };

		net_wheel_init(&m.wheel, random_below(&m, 1000000));
		for (int step = 0; step < 300; step++) {
			size_t i = (size_t)random_below(&m, N_NODES);
			uint64_t reach = UINT64_C(1) << random_below(&m, 26);

			if (random_below(&m, 4) == 0) {
				net_wheel_cancel(&m.wheel, &m.nodes[i]);
				m.due[i] = 0;
			} else {
				arm(&m, i, m.wheel.now + random_below(&m, reach));
			}
			uint64_t earliest = UINT64_MAX;

			for (size_t k = 0; k < N_NODES; k++) {
				if (m.due[k] != 0 && m.due[k] < earliest)
					earliest = m.due[k];
			}
			assert_true(net_wheel_next(&m.wheel) <= earliest);
			assert_true(net_wheel_next(&m.wheel) > m.wheel.now);
			net_wheel_advance(&m.wheel, m.wheel.now + random_below(&m, reach), on_fire,
					  &m);
			for (size_t k = 0; k < N_NODES; k++) {
				assert_int_equal(m.due[k] != 0, net_wheel_is_armed(&m.nodes[k]));
				assert_true(m.due[k] == 0 || m.due[k] > m.wheel.now);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_at_its_tick_however_far),
		cmocka_unit_test(a_past_tick_is_the_next_one),
		cmocka_unit_test(does_not_fire_what_was_cancelled_or_moved),
		cmocka_unit_test(agrees_with_a_list_under_random_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
