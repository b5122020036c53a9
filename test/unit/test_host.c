/*
 * test_host.c — the threads behind the loops: who gets what back, with one loop and with several.
 *
 * Most tests play all loops on the test's thread, which decides alone when each of them reaps; the
 * last ones give each loop a thread.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/time.h"
#include "pump_fixture.h"
#include "service/host.h"

#define SIDES_MAX 3
#define SEEN_MAX 8192
#define WAIT_S 20
#define QUEUE_MAX 30

/* One loop's side, and what it was told: a letter for each call, the commands' versions. */
struct side {
	struct kit *kit;
	struct host *host;
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool wake;
	unsigned n_wakes;
	char seen[SEEN_MAX + 1]; /* D done, A arrival, C command, E event, Q query */
	size_t n_seen;
	uint64_t versions[SEEN_MAX];
	size_t n_commands;
	struct arrival arrival; /* the last */
	unsigned n_done, n_foreign, n_failed, n_backwards;
	pthread_t thread;
};

struct kit {
	struct pump_fixture *f;
	struct host *host;
	struct side sides[SIDES_MAX];
	size_t n_sides;
	struct rfid_tag stranger;
};

/* Who made a job; its job is a piece of memory of its own. */
struct made {
	struct job_owner owner;
	struct side *side;
};

/* --- sides --- */

static void see(struct side *s, char what)
{
	if (s->n_seen < SEEN_MAX)
		s->seen[s->n_seen++] = what;
}

static void on_wake(void *user)
{
	struct side *s = user;

	pthread_mutex_lock(&s->lock);
	s->wake = true;
	s->n_wakes++;
	pthread_cond_signal(&s->woken);
	pthread_mutex_unlock(&s->lock);
}

static void on_command(void *user, const struct device_command *c)
{
	struct side *s = user;

	see(s, 'C');
	if (s->n_commands > 0 && c->version <= s->versions[s->n_commands - 1])
		s->n_backwards++;
	if (s->n_commands < SEEN_MAX)
		s->versions[s->n_commands++] = c->version;
}

static void on_event(void *user, const struct stored_event *e)
{
	(void)e;
	see(user, 'E');
}

static void on_arrival(void *user, const struct arrival *a)
{
	struct side *s = user;

	see(s, 'A');
	s->arrival = *a;
}

static void on_done(struct job_owner *owner, struct job *j)
{
	struct made *m = (struct made *)owner;

	see(m->side, 'D');
	m->side->n_done++;
	m->side->n_failed += j->err != EV_OK;
	m->side->n_foreign += j->from != m->side->host;
	free(j);
	free(m);
}

/* False: nothing came in time. */
static bool wait_wake(struct side *s)
{
	struct timespec until;
	bool came;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&s->lock);
	while (!s->wake && err == 0)
		err = pthread_cond_timedwait(&s->woken, &s->lock, &until);
	came = s->wake;
	s->wake = false;
	pthread_mutex_unlock(&s->lock);
	return came;
}

static unsigned wakes(struct side *s)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->n_wakes;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Hands over, and waits until all that the side submitted is back. */
static bool settle(struct side *s)
{
	host_flush(s->host);
	while (host_stats(s->host).waiting + host_stats(s->host).queries > 0) {
		if (!wait_wake(s))
			return false;
		host_reap(s->host);
	}
	return true;
}

/* Until the side was told n things; the writer may still be on its way to it. */
static void hear(struct side *s, size_t n)
{
	host_reap(s->host);
	while (s->n_seen < n && wait_wake(s))
		host_reap(s->host);
	assert_int_equal(s->n_seen, n);
}

/* A job of that size, to be filled and submitted. */
static void *make(struct side *s, enum job_kind kind, size_t size)
{
	struct made *m = calloc(1, sizeof(*m));
	struct job *j = calloc(1, size);

	if (m == NULL || j == NULL)
		abort();
	m->owner.done = on_done;
	m->side = s;
	j->kind = kind;
	j->owner = &m->owner;
	j->at_ns = ev_clock_wall_ns(&s->kit->f->clock.base);
	return j;
}

static void submit_look(struct side *s, enum arrival_kind kind)
{
	struct command_job *j = make(s, JOB_COMMANDS, sizeof(*j));

	j->outlet_id = s->kit->f->outlet_id;
	j->arrival.kind = kind;
	j->arrival.outlet_id = s->kit->f->outlet_id;
	if (kind != ARRIVAL_NONE)
		j->arrival.number = host_next_arrival(s->host);
	host_submit(s->host, &j->job);
}

/* A stranger's tag is denied: one command and its events.  Numbers must differ. */
static void submit_stranger(struct side *s, unsigned number)
{
	struct device_job *j = make(s, JOB_DEVICE_MESSAGE, sizeof(*j));

	j->outlet_id = s->kit->f->outlet_id;
	j->decoded = true;
	memcpy(j->id.b, &number, sizeof(number));
	j->id.b[8] = 2;
	j->message.outlet_id = j->outlet_id;
	j->message.change = OUTLET_DEVICE_REQUESTS_CHARGING;
	j->message.tag = s->kit->stranger;
	j->message.period_start_ns = j->job.at_ns;
	j->message.period_end_ns = j->job.at_ns;
	host_submit(s->host, &j->job);
}

/* --- set-up --- */

static void engine_command(void *user, const struct device_command *c)
{
	struct kit *k = user;

	host_put_command(k->host, c);
}

static void engine_event(void *user, const struct stored_event *e)
{
	struct kit *k = user;

	host_put_event(k->host, e);
}

static struct host_loop loop_of(struct side *s)
{
	return (struct host_loop){ .wake = on_wake,
				   .on_command = on_command,
				   .on_event = on_event,
				   .on_arrival = on_arrival,
				   .user = s };
}

static void start(struct kit *k, size_t n_sides)
{
	struct memory_listener l = { .on_command = engine_command,
				     .on_event = engine_event,
				     .user = k };
	struct host_config c = {
		.pump = &k->f->pump,
		.query = k->f->query,
		.group_max = 64,
		.queue_max = QUEUE_MAX,
		.loop = loop_of(&k->sides[0]),
	};

	memory_set_listener(k->f->memory, &l);
	assert_int_equal(host_new(&c, &k->host), EV_OK);
	k->sides[0].host = k->host;
	for (k->n_sides = 1; k->n_sides < n_sides; k->n_sides++) {
		struct side *s = &k->sides[k->n_sides];
		struct host_loop more = loop_of(s);

		assert_int_equal(host_attach(k->host, &more, &s->host), EV_OK);
	}
}

static int set_up(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));
	void *f;

	assert_non_null(k);
	if (fixture_setup(&f) != 0)
		return -1;
	k->f = f;
	k->stranger = fixture_tag("stranger");
	assert_int_equal(fixture_send(k->f, OUTLET_CABLE_PLUGGED, "", 0), VERDICT_APPLIED);
	for (size_t i = 0; i < SIDES_MAX; i++) {
		k->sides[i].kit = k;
		assert_int_equal(pthread_mutex_init(&k->sides[i].lock, NULL), 0);
		assert_int_equal(pthread_cond_init(&k->sides[i].woken, NULL), 0);
	}
	*state = k;
	return 0;
}

static int tear_down(void **state)
{
	struct kit *k = *state;
	void *f = k->f;

	host_free(k->host);
	for (size_t i = 0; i < SIDES_MAX; i++) {
		pthread_cond_destroy(&k->sides[i].woken);
		pthread_mutex_destroy(&k->sides[i].lock);
	}
	free(k);
	return fixture_teardown(&f);
}

/* --- one thread plays all --- */

static void answers_go_to_the_side_that_asked(void **state)
{
	struct kit *k = *state;
	struct side *a, *b;

	start(k, 2);
	a = &k->sides[0];
	b = &k->sides[1];
	for (int i = 0; i < 3; i++)
		submit_look(a, ARRIVAL_NONE);
	submit_look(b, ARRIVAL_NONE);
	assert_int_equal(host_stats(a->host).waiting, 3);
	assert_int_equal(host_stats(b->host).waiting, 1);
	assert_int_equal(host_stats(b->host).all_waiting, 4);
	host_flush(b->host);
	assert_true(settle(a));
	assert_int_equal(a->n_done, 3);
	assert_int_equal(b->n_done, 0); /* its own loop gives them back, whenever it gets to it */
	assert_true(settle(b));
	assert_int_equal(b->n_done, 1);
	assert_int_equal(a->n_foreign + b->n_foreign + a->n_failed + b->n_failed, 0);
	assert_string_equal(a->seen, "DDD");
	assert_string_equal(b->seen, "D");
	assert_int_equal(host_stats(a->host).all_waiting, 0);
}

static void a_side_for_which_there_is_nothing_is_left_asleep(void **state)
{
	struct kit *k = *state;

	start(k, 2);
	submit_look(&k->sides[0], ARRIVAL_NONE);
	assert_true(settle(&k->sides[0]));
	assert_int_equal(wakes(&k->sides[0]), 1);
	assert_int_equal(wakes(&k->sides[1]), 0);
}

static void commands_are_offered_to_every_side_in_order(void **state)
{
	struct kit *k = *state;

	start(k, 3);
	for (unsigned i = 0; i < 5; i++) {
		submit_stranger(&k->sides[i % 3], i);
		assert_true(settle(&k->sides[i % 3]));
	}
	for (size_t i = 0; i < 3; i++) {
		struct side *s = &k->sides[i];

		hear(s, 5 + s->n_done);
		assert_int_equal(s->n_commands, 5);
		assert_int_equal(s->n_backwards, 0);
		assert_int_equal(s->n_failed, 0);
		assert_memory_equal(s->versions, k->sides[0].versions, 5 * sizeof(uint64_t));
	}
}

static void events_go_to_those_that_want_them(void **state)
{
	struct kit *k = *state;
	struct side *a, *b;

	start(k, 2);
	a = &k->sides[0];
	b = &k->sides[1];
	submit_stranger(a, 1);
	assert_true(settle(a));
	assert_null(strchr(a->seen, 'E'));
	host_want_events(b->host, true);
	host_want_events(b->host, true);
	submit_stranger(a, 2);
	assert_true(settle(a));
	hear(b, 4); /* two commands, the request and its denial */
	assert_null(strchr(a->seen, 'E'));
	assert_non_null(strchr(b->seen, 'E'));
	host_want_events(b->host, false);
	memset(b->seen, 0, sizeof(b->seen));
	b->n_seen = 0;
	submit_stranger(a, 3);
	assert_true(settle(a));
	hear(b, 1);
	assert_string_equal(b->seen, "C");
}

static void an_arrival_comes_before_all_else(void **state)
{
	struct kit *k = *state;
	struct side *a, *b;

	start(k, 2);
	a = &k->sides[0];
	b = &k->sides[1];
	/* One batch: the command is decided before the device has come, and another after. */
	submit_stranger(b, 1);
	submit_look(b, ARRIVAL_SOCKET);
	submit_stranger(b, 2);
	assert_true(settle(b));
	hear(b, 6);
	hear(a, 3);
	assert_string_equal(a->seen, "ACC");
	assert_string_equal(b->seen, "ADDDCC");
	assert_int_equal(a->arrival.kind, ARRIVAL_SOCKET);
	assert_true(ev_uuid_eq(&a->arrival.outlet_id, &k->f->outlet_id));
	assert_int_equal(a->arrival.number, 1);
	submit_look(a, ARRIVAL_POLL);
	assert_true(settle(a));
	hear(b, 7);
	assert_int_equal(b->arrival.kind, ARRIVAL_POLL);
	assert_int_equal(b->arrival.number, 2);
}

/* An old connection that looks for commands after the new one came must not send what it finds. */
static void an_arrival_comes_before_answers_of_later_groups(void **state)
{
	struct kit *k = *state;
	struct side *a, *b;

	start(k, 2);
	a = &k->sides[0];
	b = &k->sides[1];
	submit_look(b, ARRIVAL_SOCKET);
	assert_true(settle(b));
	submit_look(a, ARRIVAL_NONE);
	host_flush(a->host);
	submit_stranger(b, 1);
	assert_true(settle(b));
	hear(a, 3); /* it was late: all at once, or the command with the next */
	assert_memory_equal(a->seen, "AD", 2);
}

static void with_one_side_nobody_is_told_of_arrivals(void **state)
{
	struct kit *k = *state;

	start(k, 1);
	submit_look(&k->sides[0], ARRIVAL_SOCKET);
	submit_stranger(&k->sides[0], 1);
	assert_true(settle(&k->sides[0]));
	assert_string_equal(k->sides[0].seen, "DDC");
}

static void each_side_has_its_part_of_the_queue(void **state)
{
	struct kit *k = *state;
	struct side *a, *b;

	start(k, 3);
	a = &k->sides[0];
	b = &k->sides[1];
	assert_int_equal(host_share(a->host, 2), QUEUE_MAX / 3 / 2);
	assert_int_equal(host_share(a->host, 1000), 1);
	for (int i = 0; i < QUEUE_MAX / 3 - 1; i++)
		submit_look(a, ARRIVAL_NONE);
	assert_false(host_any_busy(b->host));
	submit_look(a, ARRIVAL_NONE);
	assert_true(host_is_busy(a->host));
	assert_false(host_is_busy(b->host)); /* whoever floods one loop holds back that one */
	assert_true(host_any_busy(b->host));
	assert_true(settle(a));
	assert_false(host_any_busy(b->host));
}

static void there_are_64_sides_at_most(void **state)
{
	struct kit *k = *state;
	struct host_loop more = loop_of(&k->sides[0]);
	struct host *h;

	start(k, 1);
	for (int i = 1; i < HOST_LOOPS_MAX; i++)
		assert_int_equal(host_attach(k->host, &more, &h), EV_OK);
	assert_int_equal(host_attach(k->host, &more, &h), EV_FULL);
}

/* --- a thread for each --- */

#define ROUNDS 200
#define EACH 4

static void *run_side(void *arg)
{
	struct side *s = arg;
	unsigned number = 100000 * (unsigned)(s - s->kit->sides);

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < EACH; i++)
			submit_stranger(s, ++number);
		submit_look(s, ARRIVAL_SOCKET);
		if (!settle(s))
			break;
	}
	return NULL;
}

static void threads_get_their_own_answers_and_all_commands(void **state)
{
	struct kit *k = *state;
	size_t commands = (size_t)SIDES_MAX * ROUNDS * EACH;

	start(k, SIDES_MAX);
	for (size_t i = 0; i < SIDES_MAX; i++)
		assert_int_equal(pthread_create(&k->sides[i].thread, NULL, run_side, &k->sides[i]),
				 0);
	for (size_t i = 0; i < SIDES_MAX; i++)
		assert_int_equal(pthread_join(k->sides[i].thread, NULL), 0);
	for (size_t i = 0; i < SIDES_MAX; i++) {
		struct side *s = &k->sides[i];

		hear(s, commands + ROUNDS * SIDES_MAX + s->n_done);
		assert_int_equal(s->n_done, ROUNDS * (EACH + 1));
		assert_int_equal(s->n_foreign + s->n_failed + s->n_backwards, 0);
		assert_int_equal(s->n_commands, commands);
	}
	assert_int_equal(host_stats(k->host).all_waiting, 0);
}

/* A query of one side, answered on it. */
struct asked {
	struct query_task task;
	struct side *side;
};

static ev_err run_query(struct query_task *t, struct query *q)
{
	(void)t;
	return q != NULL ? EV_OK : EV_INVALID;
}

static void on_answer(struct query_task *t, void *user)
{
	struct asked *a = (struct asked *)t;

	see(a->side, a->side == user && t->err == EV_OK ? 'Q' : '?');
}

static void queries_are_answered_where_they_were_asked(void **state)
{
	struct kit *k = *state;
	struct asked asked = { .task = { .run = run_query, .done = on_answer } };

	start(k, 2);
	asked.side = &k->sides[1];
	host_query(k->sides[1].host, &asked.task);
	assert_int_equal(host_stats(k->host).all_queries, 1);
	assert_true(settle(&k->sides[1]));
	assert_string_equal(k->sides[1].seen, "Q");
	assert_int_equal(wakes(&k->sides[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_go_to_the_side_that_asked, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_side_for_which_there_is_nothing_is_left_asleep,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(commands_are_offered_to_every_side_in_order, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(events_go_to_those_that_want_them, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_arrival_comes_before_all_else, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_arrival_comes_before_answers_of_later_groups,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(with_one_side_nobody_is_told_of_arrivals, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(each_side_has_its_part_of_the_queue, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(there_are_64_sides_at_most, set_up, tear_down),
		cmocka_unit_test_setup_teardown(queries_are_answered_where_they_were_asked, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(threads_get_their_own_answers_and_all_commands,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
