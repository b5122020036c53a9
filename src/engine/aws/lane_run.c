/* engine/aws/lane_run.c — one lane's work, without its thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/aws/lanes.h"
#include "service/job_key.h"

#define PARKED_AT_ONCE 32 /* parked inputs that a tick looks at */

struct keyed_job {
	struct ev_uuid key;
	size_t place;
	struct job *job;
};

static int by_key(const void *a, const void *b)
{
	const struct keyed_job *x = a;
	const struct keyed_job *y = b;
	int order = memcmp(x->key.b, y->key.b, sizeof(x->key.b));

	if (order != 0)
		return order;
	return (x->place > y->place) - (x->place < y->place);
}

/* How many from `first` on are of one key, and may be one group. */
static size_t group_of(const struct keyed_job *keyed, size_t first, size_t n)
{
	size_t end = first + 1;

	while (end < n && end - first < AWS_LANE_GROUP_MAX &&
	       ev_uuid_eq(&keyed[end].key, &keyed[first].key))
		end++;
	return end - first;
}

void aws_lane_run(struct pump *pump, struct job **jobs, size_t n)
{
	struct keyed_job keyed[AWS_LANE_BATCH_MAX];

	assert(n <= AWS_LANE_BATCH_MAX);
	for (size_t i = 0; i < n; i++)
		keyed[i] = (struct keyed_job){ job_key(jobs[i]), i, jobs[i] };
	qsort(keyed, n, sizeof(keyed[0]), by_key);
	for (size_t i = 0; i < n; i++)
		jobs[i] = keyed[i].job;
	for (size_t first = 0; first < n;) {
		size_t size = group_of(keyed, first, n);

		pump_run(pump, &jobs[first], size);
		first += size;
	}
}

static ev_err tick_outlet(struct pump *pump, const struct ev_uuid *id)
{
	struct tick_job t = {
		.job = { .kind = JOB_TICK, .at_ns = ev_clock_wall_ns(pump->clock) },
		.has_outlet = true,
		.outlet_id = *id,
	};
	struct job *job = &t.job;

	pump_run(pump, &job, 1);
	return t.job.err;
}

static bool is_among(const struct ev_uuid *of, size_t n, const struct ev_uuid *id)
{
	size_t i = 0;

	while (i < n && !ev_uuid_eq(&of[i], id))
		i++;
	return i < n;
}

/* Outlets whose parked inputs have waited long enough, behind those whose timer is due. */
static size_t add_parked(struct pump *pump, struct ev_uuid *due, size_t n, size_t max)
{
	struct parked_input parked[PARKED_AT_ONCE];
	struct store *store = pump->store;
	size_t n_parked = 0;

	if (store->ops->load_parked(store, NULL, ev_clock_wall_ns(pump->clock), parked,
				    PARKED_AT_ONCE, &n_parked) != EV_OK)
		return n;
	for (size_t i = 0; i < n_parked && n < max; i++) {
		if (!is_among(due, n, &parked[i].outlet_id))
			due[n++] = parked[i].outlet_id;
	}
	return n;
}

void aws_lane_tick(struct pump *pump, size_t max, size_t *out_failed)
{
	struct ev_uuid due[AWS_LANE_BATCH_MAX];
	struct store *store = pump->store;
	size_t n = 0;

	*out_failed = 0;
	if (max > AWS_LANE_BATCH_MAX)
		max = AWS_LANE_BATCH_MAX;
	if (store->ops->due_outlets(store, ev_clock_wall_ns(pump->clock), due, max, &n) != EV_OK)
		n = 0;
	n = add_parked(pump, due, n, max);
	for (size_t i = 0; i < n; i++)
		*out_failed += tick_outlet(pump, &due[i]) != EV_OK;
}
