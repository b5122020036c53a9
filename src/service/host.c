/* service/host.c — two worker threads and the batches between them and the loops. */
#include "service/host.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/time.h"
#include "service/news.h"

struct workers;

/* One loop's side. */
struct host {
	struct workers *workers;
	struct host_loop loop;

	/* The loop's own; how many wait is read by others. */
	struct ev_list pending, pending_queries;
	struct news_queue reaped;
	atomic_size_t waiting, waiting_queries;

	struct ev_list given; /* the writer's own: of the batch that is being given back */

	pthread_mutex_t lock;
	/* Under the lock: back to the loop. */
	struct ev_list done, answered;
	struct news_queue news;

	atomic_bool want_events;
};

/* What all sides share. */
struct workers {
	struct host_config config;
	pthread_t writer, reader;
	struct ev_mailbox jobs, queries; /* to the workers */

	struct host *sides[HOST_LOOPS_MAX];
	size_t n_sides;

	/* The writer's own. */
	struct job **batch;
	struct news_batch *gathered; /* without memory for it: see put */
	int64_t maintained_ns;
	struct news_pool pool;

	pthread_mutex_t lock;
	struct pump_snapshot counted; /* under the lock */

	atomic_uint want_events; /* sides that do */
	atomic_uint_fast64_t batches, largest, arrivals;
};

/* Only its loop changes it. */
static void add_waiting(atomic_size_t *n, size_t more)
{
	size_t now = atomic_load_explicit(n, memory_order_relaxed) + more;

	atomic_store_explicit(n, now, memory_order_relaxed);
}

static size_t get_waiting(const atomic_size_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* --- what is told --- */

/*
 * Without memory for it a device gets its command when it connects again, a listener resumes from
 * the store, and an older connection of a device lasts until it is silent.
 */
static struct news *put(struct workers *w)
{
	return news_add(&w->pool, &w->gathered);
}

void host_put_command(struct host *h, const struct device_command *c)
{
	struct news *n = put(h->workers);

	if (n == NULL)
		return;
	n->kind = NEWS_COMMAND;
	n->command = *c;
}

void host_put_event(struct host *h, const struct stored_event *e)
{
	struct workers *w = h->workers;
	struct news *n;

	if (atomic_load_explicit(&w->want_events, memory_order_relaxed) == 0)
		return;
	n = put(w);
	if (n == NULL)
		return;
	n->kind = NEWS_EVENT;
	n->event = *e;
	w->gathered->n_events++;
}

/* Before the group runs: they are the first of its batch. */
static void put_arrivals(struct workers *w, size_t n_jobs)
{
	for (size_t i = 0; i < n_jobs; i++) {
		const struct command_job *j = (const struct command_job *)w->batch[i];
		struct news *n;

		if (j->job.kind != JOB_COMMANDS || j->arrival.kind == ARRIVAL_NONE)
			continue;
		n = put(w);
		if (n == NULL)
			return;
		n->kind = NEWS_ARRIVAL;
		n->arrival = j->arrival;
		w->gathered->n_arrivals++;
	}
}

static bool concerns(const struct host *h, const struct news_batch *news)
{
	return news != NULL && (news->n > news->n_events ||
				atomic_load_explicit(&h->want_events, memory_order_relaxed));
}

/* --- the writer --- */

static void count(struct workers *w)
{
	const struct pump *p = w->config.pump;

	if (p == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->counted.pump = p->stats;
	w->counted.outlet = p->outlet.stats;
	w->counted.app = p->app.stats;
	pthread_mutex_unlock(&w->lock);
}

/* A side hears of it only if there is something for it. */
static void give_to(struct host *h, struct news_batch *news)
{
	bool told = concerns(h, news);

	if (h->given.n == 0 && !told)
		return;
	pthread_mutex_lock(&h->lock);
	ev_list_join(&h->done, &h->given);
	if (told && news_queue_push(&h->news, news) == EV_OK)
		atomic_fetch_add(&news->holders, 1);
	pthread_mutex_unlock(&h->lock);
	h->loop.wake(h->loop.user);
}

static void give_back(struct workers *w, size_t n)
{
	struct news_batch *news = w->gathered;

	w->gathered = NULL;
	for (size_t i = 0; i < n; i++)
		ev_list_push(&w->batch[i]->from->given, &w->batch[i]->node);
	count(w);
	if (news != NULL)
		atomic_store(&news->holders, 1); /* ours, until all sides have theirs */
	for (size_t i = 0; i < w->n_sides; i++)
		give_to(w->sides[i], news);
	if (news != NULL)
		news_release(&w->pool, news);
}

/* What host_tell_command posts: a job of no kind. */
struct told {
	struct job job; /* first */
	struct device_command command;
};

static void take_told(struct workers *w, struct job *j)
{
	struct told *told = (struct told *)j;

	host_put_command(w->sides[0], &told->command);
	free(told);
}

static void run_batch(struct workers *w, size_t n)
{
	if (w->config.run != NULL)
		w->config.run(w->config.run_user, w->batch, n);
	else
		pump_run(w->config.pump, w->batch, n);
}

static void run_some(struct workers *w, struct ev_list *jobs)
{
	size_t n = 0;
	struct ev_node *node;

	while (n < w->config.group_max && (node = ev_list_pop(jobs)) != NULL) {
		struct job *j = (struct job *)node;

		if (j->kind == JOB_COUNT)
			take_told(w, j);
		else
			w->batch[n++] = j;
	}
	if (w->n_sides > 1)
		put_arrivals(w, n);
	if (n > 0)
		run_batch(w, n);
	atomic_fetch_add(&w->batches, 1);
	if (n > atomic_load(&w->largest))
		atomic_store(&w->largest, n);
	give_back(w, n);
}

static void maintain(struct workers *w)
{
	struct ev_clock *clock = w->config.pump != NULL ? w->config.pump->clock : w->config.clock;
	int64_t mono_ns = ev_clock_mono_ns(clock);

	if (w->config.maintain == NULL || mono_ns - w->maintained_ns < EV_NS_PER_S)
		return;
	w->maintained_ns = mono_ns;
	w->config.maintain(w->config.maintain_user, ev_clock_wall_ns(clock));
}

static void *write_loop(void *arg)
{
	struct workers *w = arg;
	struct ev_list jobs = { .first = NULL };

	while (jobs.first != NULL || ev_mailbox_take(&w->jobs, EV_NS_PER_S, &jobs) != EV_CLOSED) {
		if (jobs.first != NULL)
			run_some(w, &jobs);
		maintain(w);
	}
	return NULL;
}

/* --- the reader --- */

static void answer_query(struct workers *w, struct query_task *t)
{
	struct host *h = t->from;

	t->err = t->run(t, w->config.query);
	pthread_mutex_lock(&h->lock);
	ev_list_push(&h->answered, &t->node);
	pthread_mutex_unlock(&h->lock);
	h->loop.wake(h->loop.user);
}

static void *read_loop(void *arg)
{
	struct workers *w = arg;
	struct ev_list queries = { .first = NULL };

	while (queries.first != NULL || ev_mailbox_take(&w->queries, -1, &queries) != EV_CLOSED) {
		struct ev_node *node = ev_list_pop(&queries);

		if (node != NULL)
			answer_query(w, (struct query_task *)node);
	}
	return NULL;
}

/* --- life --- */

static void side_free(struct host *h)
{
	(void)pthread_mutex_destroy(&h->lock); /* nobody holds it */
	free(h->reaped.items);
	free(h->news.items);
	free(h);
}

static void release(struct workers *w)
{
	for (size_t i = 0; i < w->n_sides; i++)
		side_free(w->sides[i]);
	free(w->batch);
	news_pool_deinit(&w->pool);
	free(w);
}

static ev_err attach(struct workers *w, const struct host_loop *loop, struct host **out)
{
	struct host *h;

	if (w->n_sides == HOST_LOOPS_MAX)
		return EV_FULL;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return EV_NOMEM;
	if (pthread_mutex_init(&h->lock, NULL) != 0) {
		free(h);
		return EV_NOMEM;
	}
	h->workers = w;
	h->loop = *loop;
	w->sides[w->n_sides++] = h;
	*out = h;
	return EV_OK;
}

ev_err host_attach(struct host *first, const struct host_loop *loop, struct host **out)
{
	return attach(first->workers, loop, out);
}

static void end_threads(struct workers *w, bool reader)
{
	ev_mailbox_close(&w->jobs);
	ev_mailbox_close(&w->queries);
	pthread_join(w->writer, NULL);
	if (reader)
		pthread_join(w->reader, NULL);
}

static ev_err start_threads(struct workers *w)
{
	if (pthread_create(&w->writer, NULL, write_loop, w) != 0)
		return EV_BUSY;
	if (pthread_create(&w->reader, NULL, read_loop, w) == 0)
		return EV_OK;
	end_threads(w, false);
	return EV_BUSY;
}

static ev_err init(struct workers *w)
{
	ev_err e = ev_mailbox_init(&w->jobs, 0, 0);

	if (e != EV_OK)
		return e;
	e = ev_mailbox_init(&w->queries, 0, 0);
	if (e != EV_OK)
		goto err_jobs;
	e = EV_NOMEM;
	w->batch = calloc(w->config.group_max, sizeof(struct job *));
	if (w->batch == NULL || pthread_mutex_init(&w->lock, NULL) != 0)
		goto err_queries;
	e = start_threads(w);
	if (e == EV_OK)
		return EV_OK;
	pthread_mutex_destroy(&w->lock);
err_queries:
	ev_mailbox_deinit(&w->queries);
err_jobs:
	ev_mailbox_deinit(&w->jobs);
	return e;
}

ev_err host_new(const struct host_config *config, struct host **out)
{
	struct workers *w = calloc(1, sizeof(*w));
	struct host *first = NULL;
	ev_err e;

	if (w == NULL)
		return EV_NOMEM;
	w->config = *config;
	e = attach(w, &config->loop, &first);
	if (e == EV_OK)
		e = init(w);
	if (e == EV_OK)
		*out = first;
	else
		release(w);
	return e;
}

void host_free(struct host *first)
{
	struct workers *w;

	if (first == NULL)
		return;
	w = first->workers;
	for (size_t i = 0; i < w->n_sides; i++)
		host_flush(w->sides[i]);
	end_threads(w, true);
	for (size_t i = 0; i < w->n_sides; i++) {
		while (host_reap(w->sides[i]) > 0)
			;
	}
	pthread_mutex_destroy(&w->lock);
	ev_mailbox_deinit(&w->queries);
	ev_mailbox_deinit(&w->jobs);
	release(w);
}

/* --- the loops --- */

void host_submit(struct host *h, struct job *j)
{
	j->from = h;
	ev_list_push(&h->pending, &j->node);
	add_waiting(&h->waiting, 1);
}

void host_query(struct host *h, struct query_task *t)
{
	t->from = h;
	ev_list_push(&h->pending_queries, &t->node);
	add_waiting(&h->waiting_queries, 1);
}

/* The boxes are without bound and open as long as a loop runs: a post cannot fail. */
static void hand_over(struct ev_mailbox *box, struct ev_list *list)
{
	ev_err e;

	if (list->first == NULL)
		return;
	e = ev_mailbox_post(box, list);
	assert(e == EV_OK);
	(void)e;
}

void host_flush(struct host *h)
{
	hand_over(&h->workers->jobs, &h->pending);
	hand_over(&h->workers->queries, &h->pending_queries);
}

static void tell_one(struct host *h, const struct news *n)
{
	const struct host_loop *l = &h->loop;

	switch (n->kind) {
	case NEWS_ARRIVAL: /* told before */
		break;
	case NEWS_COMMAND:
		if (l->on_command != NULL)
			l->on_command(l->user, &n->command);
		break;
	case NEWS_EVENT:
		if (l->on_event != NULL && atomic_load(&h->want_events))
			l->on_event(l->user, &n->event);
		break;
	}
}

static void tell_arrivals(struct host *h)
{
	const struct host_loop *l = &h->loop;

	for (size_t i = 0; i < h->reaped.n && l->on_arrival != NULL; i++) {
		const struct news_batch *b = h->reaped.items[i];

		for (size_t k = 0; k < b->n_arrivals; k++)
			l->on_arrival(l->user, &b->items[k].arrival);
	}
}

static void tell_news(struct host *h)
{
	for (size_t i = 0; i < h->reaped.n; i++) {
		struct news_batch *b = h->reaped.items[i];

		for (size_t k = b->n_arrivals; k < b->n; k++)
			tell_one(h, &b->items[k]);
		news_release(&h->workers->pool, b);
	}
	h->reaped.n = 0;
}

/* All that is there, out of the lock. */
static void take_all(struct host *h, struct ev_list *done, struct ev_list *answered)
{
	struct news_queue empty = h->reaped;

	pthread_mutex_lock(&h->lock);
	*done = h->done;
	h->done = (struct ev_list){ .first = NULL };
	*answered = h->answered;
	h->answered = (struct ev_list){ .first = NULL };
	h->reaped = h->news;
	h->news = empty;
	pthread_mutex_unlock(&h->lock);
	add_waiting(&h->waiting, (size_t)0 - done->n);
	add_waiting(&h->waiting_queries, (size_t)0 - answered->n);
}

size_t host_reap(struct host *h)
{
	struct ev_list done, answered;
	struct ev_node *node;
	size_t n;

	take_all(h, &done, &answered);
	n = done.n + answered.n;
	tell_arrivals(h);
	while ((node = ev_list_pop(&done)) != NULL) {
		struct job *j = (struct job *)node;

		j->owner->done(j->owner, j);
	}
	tell_news(h);
	while ((node = ev_list_pop(&answered)) != NULL) {
		struct query_task *t = (struct query_task *)node;

		t->done(t, h->loop.user);
	}
	return n;
}

/* Of the queue, for one side. */
static size_t part_of_queue(const struct workers *w)
{
	size_t part = w->config.queue_max / w->n_sides;

	return part > 0 ? part : 1;
}

bool host_is_busy(const struct host *h)
{
	return get_waiting(&h->waiting) >= part_of_queue(h->workers);
}

bool host_any_busy(const struct host *h)
{
	const struct workers *w = h->workers;

	for (size_t i = 0; i < w->n_sides; i++) {
		if (host_is_busy(w->sides[i]))
			return true;
	}
	return false;
}

size_t host_share(const struct host *h, size_t n)
{
	size_t part = part_of_queue(h->workers);

	return n == 0 || part > n ? part / (n == 0 ? 1 : n) : 1;
}

void host_want_events(struct host *h, bool want)
{
	if (atomic_exchange(&h->want_events, want) == want)
		return;
	if (want)
		atomic_fetch_add(&h->workers->want_events, 1);
	else
		atomic_fetch_sub(&h->workers->want_events, 1);
}

void host_tell_command(struct host *h, const struct device_command *c)
{
	struct told *told = calloc(1, sizeof(*told));
	struct ev_list list = { .first = NULL };

	if (told == NULL)
		return;
	told->job.kind = JOB_COUNT;
	told->command = *c;
	ev_list_push(&list, &told->job.node);
	if (ev_mailbox_post(&h->workers->jobs, &list) != EV_OK)
		free(told); /* the host ends */
}

uint64_t host_next_arrival(struct host *h)
{
	return atomic_fetch_add(&h->workers->arrivals, 1) + 1;
}

struct host_stats host_stats(const struct host *h)
{
	const struct workers *w = h->workers;
	struct host_stats s = {
		.batches = atomic_load(&w->batches),
		.largest = atomic_load(&w->largest),
		.waiting = get_waiting(&h->waiting),
		.queries = get_waiting(&h->waiting_queries),
	};

	for (size_t i = 0; i < w->n_sides; i++) {
		s.all_waiting += get_waiting(&w->sides[i]->waiting);
		s.all_queries += get_waiting(&w->sides[i]->waiting_queries);
	}
	return s;
}

void host_pump_stats(struct host *h, struct pump_snapshot *out)
{
	struct workers *w = h->workers;

	if (w->config.counted != NULL) {
		w->config.counted(w->config.run_user, out);
		return;
	}
	pthread_mutex_lock(&w->lock);
	*out = w->counted;
	pthread_mutex_unlock(&w->lock);
}
