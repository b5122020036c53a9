#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mailbox.h"

#define SENDERS 4
#define EACH 20000
#define LIMIT_NS INT64_C(60000000000) /* no test waits longer */

struct letter {
	struct ev_node node; /* first, so that a node is its letter */
	unsigned sender;
	unsigned number;
};

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void keeps_the_order_of_a_list(void **state)
{
	struct ev_node nodes[4];
	struct ev_list a = { .n = 0 }, b = { .n = 0 };

	(void)state;
	ev_list_join(&a, &b);
	assert_null(ev_list_pop(&a));
	ev_list_push(&a, &nodes[0]);
	ev_list_push(&a, &nodes[1]);
	ev_list_push(&b, &nodes[2]);
	ev_list_push(&b, &nodes[3]);
	ev_list_join(&a, &b);
	assert_int_equal(a.n, 4);
	assert_int_equal(b.n, 0);
	assert_null(ev_list_pop(&b));
	for (size_t i = 0; i < 4; i++)
		assert_ptr_equal(ev_list_pop(&a), &nodes[i]);
	assert_null(ev_list_pop(&a));
	assert_null(a.last);
}

static void hands_over_all_that_is_there(void **state)
{
	struct ev_node nodes[3];
	struct ev_list l = { .n = 0 }, got = { .n = 0 };
	struct ev_mailbox mb;

	(void)state;
	assert_int_equal(ev_mailbox_init(&mb, 0, 0), EV_OK);
	assert_int_equal(ev_mailbox_post(&mb, &l), EV_OK); /* nothing, and nothing happens */
	assert_int_equal(ev_mailbox_take(&mb, 0, &got), EV_TIMEOUT);
	ev_list_push(&l, &nodes[0]);
	ev_list_push(&l, &nodes[1]);
	assert_int_equal(ev_mailbox_post(&mb, &l), EV_OK);
	assert_null(l.first);
	ev_list_push(&l, &nodes[2]);
	assert_int_equal(ev_mailbox_post(&mb, &l), EV_OK);
	assert_int_equal(ev_mailbox_len(&mb), 3);
	assert_int_equal(ev_mailbox_take(&mb, LIMIT_NS, &got), EV_OK);
	for (size_t i = 0; i < 3; i++)
		assert_ptr_equal(ev_list_pop(&got), &nodes[i]);
	assert_int_equal(ev_mailbox_fd(&mb), -1);
	ev_mailbox_deinit(&mb);
}

static void refuses_what_does_not_fit_and_leaves_it_with_the_sender(void **state)
{
	struct ev_node nodes[4];
	struct ev_list l = { .n = 0 }, got = { .n = 0 };
	struct ev_mailbox mb;

	(void)state;
	assert_int_equal(ev_mailbox_init(&mb, 3, 0), EV_OK);
	ev_list_push(&l, &nodes[0]);
	ev_list_push(&l, &nodes[1]);
	assert_int_equal(ev_mailbox_post(&mb, &l), EV_OK);
	ev_list_push(&l, &nodes[2]);
	ev_list_push(&l, &nodes[3]);
	assert_int_equal(ev_mailbox_post(&mb, &l), EV_FULL);
	assert_int_equal(l.n, 2);
	assert_int_equal(ev_mailbox_take(&mb, 0, &got), EV_OK);
	assert_int_equal(got.n, 2);
	assert_int_equal(ev_mailbox_post(&mb, &l), EV_OK);
	assert_int_equal(ev_mailbox_take(&mb, 0, &got), EV_OK);
	assert_int_equal(got.n, 4); /* taken behind what the receiver still had */
	ev_mailbox_deinit(&mb);
}

static void waits_as_long_as_it_was_told(void **state)
{
	struct ev_list got = { .n = 0 };
	struct ev_clock *clock = ev_clock_os();
	int64_t start = ev_clock_mono_ns(clock);
	struct ev_mailbox mb;

	(void)state;
	assert_int_equal(ev_mailbox_init(&mb, 0, 0), EV_OK);
	assert_int_equal(ev_mailbox_take(&mb, 20000000, &got), EV_TIMEOUT);
	assert_true(ev_clock_mono_ns(clock) - start >= 20000000);
	ev_mailbox_deinit(&mb);
}

static void what_was_posted_before_the_close_still_arrives(void **state)
{
	struct ev_node node;
	struct ev_list l = { .n = 0 }, got = { .n = 0 };
	struct ev_mailbox mb;

	(void)state;
	assert_int_equal(ev_mailbox_init(&mb, 0, 0), EV_OK);
	ev_list_push(&l, &node);
	assert_int_equal(ev_mailbox_post(&mb, &l), EV_OK);
	ev_mailbox_close(&mb);
	assert_int_equal(ev_mailbox_take(&mb, -1, &got), EV_OK);
	assert_int_equal(ev_mailbox_take(&mb, -1, &got), EV_CLOSED);
	assert_int_equal(ev_mailbox_post(&mb, &got), EV_CLOSED);
	assert_ptr_equal(ev_list_pop(&got), &node);
	ev_mailbox_deinit(&mb);
}

static void the_descriptor_is_readable_exactly_while_there_is_something(void **state)
{
	struct ev_node nodes[2];
	struct ev_list l = { .n = 0 }, got = { .n = 0 };
	struct ev_mailbox mb;

	(void)state;
	assert_int_equal(ev_mailbox_init(&mb, 0, EV_MAILBOX_EVENTFD), EV_OK);
	assert_false(readable(ev_mailbox_fd(&mb)));
	for (int i = 0; i < 2; i++) {
		ev_list_push(&l, &nodes[i]);
		assert_int_equal(ev_mailbox_post(&mb, &l), EV_OK);
		assert_true(readable(ev_mailbox_fd(&mb)));
	}
	assert_int_equal(ev_mailbox_take(&mb, 0, &got), EV_OK);
	assert_false(readable(ev_mailbox_fd(&mb)));
	assert_int_equal(ev_mailbox_take(&mb, 0, &got), EV_TIMEOUT);
	ev_mailbox_close(&mb);
	assert_true(readable(ev_mailbox_fd(&mb)));
	assert_int_equal(ev_mailbox_take(&mb, 0, &got), EV_CLOSED);
	assert_true(readable(ev_mailbox_fd(&mb)));
	ev_mailbox_deinit(&mb);
}

struct sender {
	pthread_t thread;
	struct ev_mailbox *mb;
	struct letter *letters;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < EACH;) {
		struct ev_list l = { .n = 0 };

		/* Batches of one to five. */
		for (unsigned k = 0; k <= i % 5 && i < EACH; k++)
			ev_list_push(&l, &s->letters[i++].node);
		if (ev_mailbox_post(s->mb, &l) != EV_OK)
			return s;
	}
	return NULL;
}

/* Takes until n letters of each sender were seen, each sender's in its order. */
static void receive_all(struct ev_mailbox *mb)
{
	unsigned next[SENDERS] = { 0 };
	size_t left = SENDERS * EACH;

	while (left > 0) {
		struct ev_list got = { .n = 0 };
		struct ev_node *node;

		assert_int_equal(ev_mailbox_take(mb, LIMIT_NS, &got), EV_OK);
		assert_true(got.n > 0 && got.n <= left);
		left -= got.n;
		while ((node = ev_list_pop(&got)) != NULL) {
			struct letter *letter = (struct letter *)node;

			assert_int_equal(letter->number, next[letter->sender]);
			next[letter->sender]++;
		}
	}
}

static void delivers_all_of_many_threads_in_each_ones_order(void **state)
{
	struct letter *letters = calloc((size_t)SENDERS * EACH, sizeof(*letters));
	struct sender senders[SENDERS];
	struct ev_mailbox mb;

	(void)state;
	assert_non_null(letters);
	assert_int_equal(ev_mailbox_init(&mb, 0, 0), EV_OK);
	for (unsigned i = 0; i < SENDERS * EACH; i++) {
		letters[i].sender = i / EACH;
		letters[i].number = i % EACH;
	}
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].mb = &mb;
		senders[i].letters = letters + (size_t)i * EACH;
		assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]),
				 0);
	}
	receive_all(&mb);
	for (unsigned i = 0; i < SENDERS; i++) {
		void *failed;

		assert_int_equal(pthread_join(senders[i].thread, &failed), 0);
		assert_null(failed);
	}
	ev_mailbox_deinit(&mb);
	free(letters);
}

static void *close_box(void *arg)
{
	ev_mailbox_close(arg);
	return NULL;
}

static void a_close_wakes_the_receiver(void **state)
{
	struct ev_list got = { .n = 0 };
	struct ev_mailbox mb;
	pthread_t thread;

	(void)state;
	assert_int_equal(ev_mailbox_init(&mb, 0, 0), EV_OK);
	assert_int_equal(pthread_create(&thread, NULL, close_box, &mb), 0);
	assert_int_equal(ev_mailbox_take(&mb, LIMIT_NS, &got), EV_CLOSED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	ev_mailbox_deinit(&mb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_order_of_a_list),
		cmocka_unit_test(hands_over_all_that_is_there),
		cmocka_unit_test(refuses_what_does_not_fit_and_leaves_it_with_the_sender),
		cmocka_unit_test(waits_as_long_as_it_was_told),
		cmocka_unit_test(what_was_posted_before_the_close_still_arrives),
		cmocka_unit_test(the_descriptor_is_readable_exactly_while_there_is_something),
		cmocka_unit_test(delivers_all_of_many_threads_in_each_ones_order),
		cmocka_unit_test(a_close_wakes_the_receiver),
	};

	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
