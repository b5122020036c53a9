/* test_net_loop.c — timers, wakes, signals and hooks of the event loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "net/loop.h"

static int set_up(void **state)
{
	struct net_loop *l;

	assert_int_equal(net_loop_new(&l), EV_OK);
	*state = l;
	return 0;
}

static int tear_down(void **state)
{
	net_loop_free(*state);
	return 0;
}

static void count(void *user)
{
	(*(int *)user)++;
}

struct order {
	int n;
	int at[4];
	struct net_loop *loop;
};

struct entry {
	struct order *order;
	int id;
};

static void note(void *user)
{
	struct entry *e = user;

	e->order->at[e->order->n++] = e->id;
	if (e->order->n == 3)
		net_loop_stop(e->order->loop);
}

static void timers_fire_in_order_and_never_early(void **state)
{
	struct net_loop *l = *state;
	struct order o = { .loop = l };
	struct entry entries[3] = { { &o, 0 }, { &o, 1 }, { &o, 2 } };
	struct net_timer timers[3];
	int64_t start = net_loop_now_ms(l);

	for (int i = 0; i < 3; i++) {
		net_timer_init(&timers[i], note, &entries[i]);
		net_timer_arm(l, &timers[i], 90 - 40 * i);
		assert_true(net_timer_is_armed(&timers[i]));
		assert_true(net_timer_due_ms(&timers[i]) >= start + 90 - 40 * i);
	}
	net_loop_run(l);
	assert_int_equal(o.at[0], 2);
	assert_int_equal(o.at[1], 1);
	assert_int_equal(o.at[2], 0);
	assert_true(net_loop_now_ms(l) >= start + 90);
	assert_false(net_timer_is_armed(&timers[0]));
}

static void a_cancelled_timer_does_not_fire(void **state)
{
	struct net_loop *l = *state;
	struct net_timer t;
	int n = 0;
	int64_t until = net_loop_now_ms(l) + 60;

	net_timer_init(&t, count, &n);
	net_timer_arm(l, &t, 20);
	net_timer_cancel(l, &t);
	while (net_loop_now_ms(l) < until)
		net_loop_turn(l, 10);
	assert_int_equal(n, 0);
}

static void does_not_wake_while_nothing_is_armed(void **state)
{
	struct net_loop *l = *state;
	struct net_hook hook;
	int turns = 0;
	int64_t start = net_loop_now_ms(l);

	hook = (struct net_hook){ .fn = count, .user = &turns };
	net_loop_add_hook(l, &hook);
	net_loop_turn(l, 150);
	assert_true(net_loop_now_ms(l) >= start + 140);
	assert_int_equal(turns, 1);
}

static void stop_from_a_wake(void *user)
{
	net_loop_stop(user);
}

static void *signal_often(void *user)
{
	for (int i = 0; i < 1000; i++)
		net_wake_signal(user);
	return NULL;
}

static void wakes_come_from_other_threads(void **state)
{
	struct net_loop *l = *state;
	struct net_wake *wake;
	pthread_t thread;

	assert_int_equal(net_wake_new(l, stop_from_a_wake, l, &wake), EV_OK);
	assert_int_equal(pthread_create(&thread, NULL, signal_often, wake), 0);
	net_loop_run(l);
	assert_int_equal(pthread_join(thread, NULL), 0);
	net_wake_free(wake);
	net_wake_free(NULL);
}

static void signals_are_events_of_the_loop(void **state)
{
	struct net_loop *l = *state;
	int n = 0;

	assert_int_equal(net_loop_on_signal(l, SIGHUP, count, &n), EV_OK);
	assert_int_equal(kill(getpid(), SIGHUP), 0);
	for (int i = 0; i < 100 && n == 0; i++)
		net_loop_turn(l, 50);
	assert_int_equal(n, 1);
}

static void the_ninth_signal_is_one_too_many(void **state)
{
	static const int signals[] = { SIGHUP,   SIGUSR1, SIGUSR2, SIGTERM,
				       SIGWINCH, SIGURG,  SIGCONT, SIGALRM };
	struct net_loop *l = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(signals); i++)
		assert_int_equal(net_loop_on_signal(l, signals[i], count, l), EV_OK);
	assert_int_equal(net_loop_on_signal(l, SIGCHLD, count, l), EV_FULL);
}

static void a_broken_pipe_is_no_signal(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(write(ends[1], "x", 1), -1);
	assert_int_equal(close(ends[1]), 0);
}

struct rerun {
	struct net_loop *loop;
	int n;
};

static void ask_again(void *user)
{
	struct rerun *r = user;

	if (++r->n < 3)
		net_loop_rerun_hooks(r->loop);
}

static void hooks_run_before_each_wait_and_again_when_asked(void **state)
{
	struct net_loop *l = *state;
	struct rerun r = { .loop = l };
	struct net_hook first = { .fn = ask_again, .user = &r };
	int n = 0;
	struct net_hook second = { .fn = count, .user = &n };

	net_loop_add_hook(l, &first);
	net_loop_add_hook(l, &second);
	net_loop_turn(l, 0);
	assert_int_equal(r.n, 3);
	assert_int_equal(n, 3);
	net_loop_remove_hook(l, &first);
	net_loop_turn(l, 0);
	assert_int_equal(r.n, 3);
	assert_int_equal(n, 4);
}

static void a_stop_before_running_ends_the_first_turn(void **state)
{
	struct net_loop *l = *state;

	net_loop_stop(l);
	net_loop_run(l);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(timers_fire_in_order_and_never_early),
		RULE(a_cancelled_timer_does_not_fire),
		RULE(does_not_wake_while_nothing_is_armed),
		RULE(wakes_come_from_other_threads),
		RULE(signals_are_events_of_the_loop),
		RULE(the_ninth_signal_is_one_too_many),
		RULE(a_broken_pipe_is_no_signal),
		RULE(hooks_run_before_each_wait_and_again_when_asked),
		RULE(a_stop_before_running_ends_the_first_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
