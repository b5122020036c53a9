/* service/host.c — two worker threads and the batches between them and the loop. */
#include "service/host.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/time.h"

/*
 * What the engine told during a group, kept in order until the loop takes it.  Without memory for
 * it a device gets its command when it connects again, and a listener resumes from the store.
 */
struct news {
	enum { NEWS_COMMAND, NEWS_EVENT } kind;
	union {
		struct device_command command;
		struct stored_event event;
	};
};

struct news_list {
	struct news *items;
	size_t n, cap;
};

struct host {
	struct host_config config;
	pthread_t writer, reader;
	struct ev_mailbox jobs, queries; /* to the workers */

	/* The loop's own. */
	struct ev_list pending, pending_queries;
	struct news_list reaped;
	size_t waiting, waiting_queries;

	/* The writer's own. */
	struct job **batch;
	struct news_list gathered;
	int64_t maintained_ns;

	pthread_mutex_t lock;
	/* Under the lock: back to the loop. */
	struct ev_list done, answered;
	struct news_list news;
	struct pump_snapshot counted;

	atomic_bool want_events;
	atomic_uint_fast64_t batches, largest;
};

static struct news *news_add(struct news_list *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
		struct news *p = realloc(l->items, cap * sizeof(*p));

		if (p == NULL) {
			return NULL;
		}
		l->items = p;
		l->cap = cap;
	}
	return &l->items[l->n++];
}

void host_put_command(struct host *h, const struct device_command *c)
{
	struct news *n = news_add(&h->gathered);

	if (n == NULL)
		return;
	n->kind = NEWS_COMMAND;
	n->command = *c;
}

void host_put_event(struct host *h, const struct stored_event *e)
{
	struct news *n;

	if (!atomic_load_explicit(&h->want_events, memory_order_relaxed))
		return;
	n = news_add(&h->gathered);
	if (n == NULL)
		return;
	n->kind = NEWS_EVENT;
	n->event = *e;
}

/* Moves what was gathered behind what still waits for the loop.  Under the lock. */
static void news_move(struct news_list *to, struct news_list *from)
{
	if (to->n == 0) {
		struct news_list empty = *to;

		*to = *from;
		*from = empty;
		from->n = 0;
		return;
	}
	for (size_t i = 0; i < from->n; i++) {
		struct news *n = news_add(to);

		if (n != NULL)
			*n = from->items[i];
	}
	from->n = 0;
}

/* Under the lock, by the writer. */
static void count(struct host *h)
{
	const struct pump *p = h->config.pump;

	h->counted.pump = p->stats;
	h->counted.outlet = p->outlet.stats;
	h->counted.app = p->app.stats;
}

static void give_back(struct host *h, size_t n)
{
	struct ev_list done = { .first = NULL };

	for (size_t i = 0; i < n; i++)
		ev_list_push(&done, &h->batch[i]->node);
	pthread_mutex_lock(&h->lock);
	ev_list_join(&h->done, &done);
	news_move(&h->news, &h->gathered);
	count(h);
	pthread_mutex_unlock(&h->lock);
	h->config.wake(h->config.user);
}

static void run_some(struct host *h, struct ev_list *jobs)
{
	size_t n = 0;
	struct ev_node *node;

	while (n < h->config.group_max && (node = ev_list_pop(jobs)) != NULL)
		h->batch[n++] = (struct job *)node;
	pump_run(h->config.pump, h->batch, n);
	atomic_fetch_add(&h->batches, 1);
	if (n > atomic_load(&h->largest))
		atomic_store(&h->largest, n);
	give_back(h, n);
}

static void maintain(struct host *h)
{
	struct ev_clock *clock = h->config.pump->clock;
	int64_t mono_ns = ev_clock_mono_ns(clock);

	if (h->config.maintain == NULL || mono_ns - h->maintained_ns < EV_NS_PER_S)
		return;
	h->maintained_ns = mono_ns;
	h->config.maintain(h->config.user, ev_clock_wall_ns(clock));
}

static void *write_loop(void *arg)
{
	struct host *h = arg;
	struct ev_list jobs = { .first = NULL };

	while (jobs.first != NULL || ev_mailbox_take(&h->jobs, EV_NS_PER_S, &jobs) != EV_CLOSED) {
		if (jobs.first != NULL)
			run_some(h, &jobs);
		maintain(h);
	}
	return NULL;
}

static void answer_query(struct host *h, struct query_task *t)
{
	t->err = t->run(t, h->config.query);
	pthread_mutex_lock(&h->lock);
	ev_list_push(&h->answered, &t->node);
	pthread_mutex_unlock(&h->lock);
	h->config.wake(h->config.user);
}

static void *read_loop(void *arg)
{
	struct host *h = arg;
	struct ev_list queries = { .first = NULL };

	while (queries.first != NULL || ev_mailbox_take(&h->queries, -1, &queries) != EV_CLOSED) {
		struct ev_node *node = ev_list_pop(&queries);

		if (node != NULL)
			answer_query(h, (struct query_task *)node);
	}
	return NULL;
}

static void release(struct host *h)
{
	free(h->batch);
	free(h->reaped.items);
	free(h->gathered.items);
	free(h->news.items);
	free(h);
}

static void end_threads(struct host *h, bool reader)
{
	ev_mailbox_close(&h->jobs);
	ev_mailbox_close(&h->queries);
	pthread_join(h->writer, NULL);
	if (reader)
		pthread_join(h->reader, NULL);
}

static ev_err start_threads(struct host *h)
{
	if (pthread_create(&h->writer, NULL, write_loop, h) != 0)
		return EV_BUSY;
	if (pthread_create(&h->reader, NULL, read_loop, h) == 0)
		return EV_OK;
	end_threads(h, false);
	return EV_BUSY;
}

static ev_err init(struct host *h)
{
	ev_err e = ev_mailbox_init(&h->jobs, 0, 0);

	if (e != EV_OK)
		return e;
	e = ev_mailbox_init(&h->queries, 0, 0);
	if (e != EV_OK)
		goto err_jobs;
	e = EV_NOMEM;
	h->batch = calloc(h->config.group_max, sizeof(struct job *));
	if (h->batch == NULL || pthread_mutex_init(&h->lock, NULL) != 0)
		goto err_queries;
	e = start_threads(h);
	if (e == EV_OK)
		return EV_OK;
	pthread_mutex_destroy(&h->lock);
err_queries:
	ev_mailbox_deinit(&h->queries);
err_jobs:
	ev_mailbox_deinit(&h->jobs);
	return e;
}

ev_err host_new(const struct host_config *config, struct host **out)
{
	struct host *h = calloc(1, sizeof(*h));
	ev_err e;

	if (h == NULL)
		return EV_NOMEM;
	h->config = *config;
	e = init(h);
	if (e == EV_OK)
		*out = h;
	else
		release(h);
	return e;
}

void host_free(struct host *h)
{
	if (h == NULL)
		return;
	host_flush(h);
	end_threads(h, true);
	while (host_reap(h) > 0)
		;
	pthread_mutex_destroy(&h->lock);
	ev_mailbox_deinit(&h->queries);
	ev_mailbox_deinit(&h->jobs);
	release(h);
}

void host_submit(struct host *h, struct job *j)
{
	ev_list_push(&h->pending, &j->node);
	h->waiting++;
}

void host_query(struct host *h, struct query_task *t)
{
	ev_list_push(&h->pending_queries, &t->node);
	h->waiting_queries++;
}

/* The boxes are without bound and open as long as the loop runs: a post cannot fail. */
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
	hand_over(&h->jobs, &h->pending);
	hand_over(&h->queries, &h->pending_queries);
}

static void tell_news(struct host *h, const struct news *n)
{
	if (n->kind == NEWS_COMMAND)
		h->config.on_command(h->config.user, &n->command);
	else
		h->config.on_event(h->config.user, &n->event);
}

size_t host_reap(struct host *h)
{
	struct ev_list done, answered;
	struct ev_node *node;
	size_t n;

	pthread_mutex_lock(&h->lock);
	done = h->done;
	h->done = (struct ev_list){ .first = NULL };
	answered = h->answered;
	h->answered = (struct ev_list){ .first = NULL };
	news_move(&h->reaped, &h->news);
	pthread_mutex_unlock(&h->lock);
	n = done.n + answered.n;
	h->waiting -= done.n;
	h->waiting_queries -= answered.n;
	while ((node = ev_list_pop(&done)) != NULL) {
		struct job *j = (struct job *)node;

		j->owner->done(j->owner, j);
	}
	for (size_t i = 0; i < h->reaped.n; i++)
		tell_news(h, &h->reaped.items[i]);
	h->reaped.n = 0;
	while ((node = ev_list_pop(&answered)) != NULL) {
		struct query_task *t = (struct query_task *)node;

		t->done(t, h->config.user);
	}
	return n;
}

bool host_is_busy(const struct host *h)
{
	return h->waiting >= h->config.queue_max;
}

size_t host_share(const struct host *h, size_t n)
{
	return n == 0 || h->config.queue_max > n ? h->config.queue_max / (n == 0 ? 1 : n) : 1;
}

void host_want_events(struct host *h, bool want)
{
	atomic_store(&h->want_events, want);
}

struct host_stats host_stats(const struct host *h)
{
	return (struct host_stats){
		.batches = atomic_load(&h->batches),
		.largest = atomic_load(&h->largest),
		.waiting = h->waiting,
		.queries = h->waiting_queries,
	};
}

void host_pump_stats(struct host *h, struct pump_snapshot *out)
{
	pthread_mutex_lock(&h->lock);
	*out = h->counted;
	pthread_mutex_unlock(&h->lock);
}
