/* engine/aws/lanes.c — the lanes' threads and their queues. */
#include "engine/aws/lanes.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/aws/trouble.h"
#include "service/job_key.h"

#define LANES_MAX 256

/* What is run between jobs comes by the same queue, as a job of no kind. */
struct lane_call {
	struct job job; /* first; kind JOB_COUNT */
	aws_lane_fn fn;
	void *user;
};

struct lane {
	struct aws_lanes *lanes;
	size_t place;
	struct aws_store *store;
	struct pump pump;
	struct ev_mailbox box;
	pthread_t thread;
	bool has_box, has_pump, has_thread;

	pthread_mutex_t lock;
	struct aws_lanes_stats counted; /* under the lock, as the next */
	struct aws_trouble tables, puts;
};

struct aws_lanes {
	struct ev_clock *clock;
	size_t queue_max;
	atomic_size_t waiting;
	size_t n;
	struct lane lanes[];
};

/* --- a lane's thread --- */

static void count(struct lane *l)
{
	pthread_mutex_lock(&l->lock);
	l->counted.pump = l->pump.stats;
	l->counted.outlet = l->pump.outlet.stats;
	l->counted.app = l->pump.app.stats;
	aws_store_stats(l->store, &l->counted.store);
	pthread_mutex_unlock(&l->lock);
}

static void note(struct lane *l, struct aws_trouble *t, const struct ev_fail *fail)
{
	pthread_mutex_lock(&l->lock);
	if (fail == NULL)
		aws_trouble_worked(t);
	else
		aws_trouble_failed(t, fail, ev_clock_mono_ns(l->lanes->clock));
	pthread_mutex_unlock(&l->lock);
}

void aws_lanes_note(struct aws_lanes *l, size_t lane, const struct ev_fail *fail)
{
	note(&l->lanes[lane], &l->lanes[lane].puts, fail);
}

bool aws_lanes_are_well(struct aws_lanes *l, struct ev_fail *out)
{
	int64_t now_ns = ev_clock_mono_ns(l->clock);
	bool well = true;

	for (size_t i = 0; i < l->n && well; i++) {
		struct lane *lane = &l->lanes[i];

		pthread_mutex_lock(&lane->lock);
		well = false;
		if (aws_trouble_is(&lane->tables, 0, now_ns))
			*out = lane->tables.fail;
		else if (aws_trouble_is(&lane->puts, 0, now_ns))
			*out = lane->puts.fail;
		else
			well = true;
		pthread_mutex_unlock(&lane->lock);
	}
	return well;
}

/* Failures of the way, not of an input or a row. */
static void note_jobs(struct lane *l, struct job **jobs, size_t n)
{
	struct ev_fail fail = { .code = EV_OK };
	bool failed = false, worked = false;

	for (size_t i = 0; i < n; i++) {
		ev_err e = jobs[i]->err;

		failed = failed || e == EV_IO || e == EV_TIMEOUT;
		worked = worked || e == EV_OK;
	}
	aws_store_last_fail(l->store, &fail);
	if (failed)
		note(l, &l->tables, &fail);
	else if (worked)
		note(l, &l->tables, NULL);
}

static void run_jobs(struct lane *l, struct job **jobs, size_t n)
{
	if (n == 0)
		return;
	aws_lane_run(&l->pump, jobs, n);
	note_jobs(l, jobs, n);
	count(l);
	atomic_fetch_sub(&l->lanes->waiting, n);
	for (size_t i = 0; i < n; i++)
		jobs[i]->owner->done(jobs[i]->owner, jobs[i]);
}

static void run_call(struct lane *l, struct job *j)
{
	struct lane_call *call = (struct lane_call *)j;

	call->fn(call->user, l->place, &l->pump, l->store);
	free(call);
	count(l);
}

/* Jobs up to the next call, or as many as are taken at a time; then the call. */
static void run_some(struct lane *l, struct ev_list *list)
{
	struct job *jobs[AWS_LANE_BATCH_MAX];
	struct ev_node *node;
	size_t n = 0;

	while (n < AWS_LANE_BATCH_MAX && (node = ev_list_pop(list)) != NULL) {
		struct job *j = (struct job *)node;

		if (j->kind == JOB_COUNT) {
			run_jobs(l, jobs, n);
			run_call(l, j);
			return;
		}
		jobs[n++] = j;
	}
	run_jobs(l, jobs, n);
}

static void *lane_loop(void *arg)
{
	struct lane *l = arg;
	struct ev_list list = { .first = NULL };

	while (list.first != NULL || ev_mailbox_take(&l->box, -1, &list) != EV_CLOSED) {
		if (list.first != NULL)
			run_some(l, &list);
	}
	return NULL;
}

/* --- starting and ending --- */

static ev_err lane_start(struct lane *l, const struct aws_lanes_config *c, size_t place)
{
	l->place = place;
	l->store = c->lanes[place].store;
	if (pthread_mutex_init(&l->lock, NULL) != 0)
		return EV_NOMEM;
	if (ev_mailbox_init(&l->box, 0, 0) != EV_OK) {
		pthread_mutex_destroy(&l->lock);
		return EV_NOMEM;
	}
	l->has_box = true;
	pump_init(&l->pump, aws_store_store(l->store), c->clock, c->lanes[place].rng, &c->rules);
	l->pump.apart = true;
	l->has_pump = true;
	if (pthread_create(&l->thread, NULL, lane_loop, l) != 0)
		return EV_BUSY;
	l->has_thread = true;
	return EV_OK;
}

static void lane_end(struct lane *l)
{
	if (l->has_box)
		ev_mailbox_close(&l->box);
	if (l->has_thread)
		pthread_join(l->thread, NULL);
	if (l->has_pump)
		pump_deinit(&l->pump);
	if (l->has_box) {
		ev_mailbox_deinit(&l->box);
		pthread_mutex_destroy(&l->lock);
	}
}

ev_err aws_lanes_new(const struct aws_lanes_config *c, struct aws_lanes **out)
{
	struct aws_lanes *l;
	ev_err e = EV_OK;

	if (c->n_lanes == 0 || c->n_lanes > LANES_MAX)
		return EV_INVALID;
	l = calloc(1, sizeof(*l) + c->n_lanes * sizeof(l->lanes[0]));
	if (l == NULL)
		return EV_NOMEM;
	l->clock = c->clock;
	l->queue_max = c->queue_max;
	l->n = c->n_lanes;
	for (size_t i = 0; i < l->n; i++)
		l->lanes[i].lanes = l;
	for (size_t i = 0; i < l->n && e == EV_OK; i++)
		e = lane_start(&l->lanes[i], c, i);
	if (e != EV_OK) {
		aws_lanes_free(l);
		return e;
	}
	*out = l;
	return EV_OK;
}

void aws_lanes_free(struct aws_lanes *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++)
		lane_end(&l->lanes[i]);
	free(l);
}

/* --- handing over --- */

/* The boxes are without bound and open until aws_lanes_free: a post cannot fail. */
static void post(struct lane *l, struct job *j)
{
	struct ev_list list = { .first = NULL };
	ev_err e;

	ev_list_push(&list, &j->node);
	e = ev_mailbox_post(&l->box, &list);
	assert(e == EV_OK);
	(void)e;
}

size_t aws_lanes_place(const struct ev_uuid *id, size_t n_lanes)
{
	uint64_t half[2];

	/* Ids are random for the most part; Fibonacci hashing spreads those that people chose. */
	memcpy(half, id->b, sizeof(half));
	return (size_t)(((half[0] ^ (half[1] << 1)) * 0x9e3779b97f4a7c15U) >> 32) % n_lanes;
}

void aws_lanes_submit(struct aws_lanes *l, struct job *j)
{
	struct ev_uuid key = job_key(j);

	atomic_fetch_add(&l->waiting, 1);
	post(&l->lanes[aws_lanes_place(&key, l->n)], j);
}

bool aws_lanes_is_busy(const struct aws_lanes *l)
{
	return atomic_load(&l->waiting) >= l->queue_max;
}

size_t aws_lanes_waiting(const struct aws_lanes *l)
{
	return atomic_load(&l->waiting);
}

static ev_err post_call(struct lane *l, aws_lane_fn fn, void *user)
{
	struct lane_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return EV_NOMEM;
	call->job.kind = JOB_COUNT;
	call->fn = fn;
	call->user = user;
	post(l, &call->job);
	return EV_OK;
}

ev_err aws_lanes_each(struct aws_lanes *l, aws_lane_fn fn, void *user)
{
	ev_err first = EV_OK;

	for (size_t i = 0; i < l->n; i++) {
		ev_err e = post_call(&l->lanes[i], fn, user);

		if (first == EV_OK)
			first = e;
	}
	return first;
}

ev_err aws_lanes_on(struct aws_lanes *l, const struct ev_uuid *outlet_id, aws_lane_fn fn,
		    void *user)
{
	return post_call(&l->lanes[aws_lanes_place(outlet_id, l->n)], fn, user);
}

/* --- counting --- */

/* Structs of counters are all of one type: uint64_t, or int64_t in two of them. */
static void add_words(void *sum, const void *part, size_t size)
{
	uint64_t *to = sum;
	const uint64_t *from = part;

	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] += from[i];
}

#define ADD(member) add_words(&out->member, &part.member, sizeof(out->member))

void aws_lanes_stats(struct aws_lanes *l, struct aws_lanes_stats *out)
{
	*out = (struct aws_lanes_stats){ .pump = { .groups = 0 } };
	for (size_t i = 0; i < l->n; i++) {
		struct aws_lanes_stats part;

		pthread_mutex_lock(&l->lanes[i].lock);
		part = l->lanes[i].counted;
		pthread_mutex_unlock(&l->lanes[i].lock);
		ADD(pump);
		ADD(outlet);
		ADD(app);
		ADD(store);
	}
}
