/*
 * cli/aws_run.c — a batch of the host's writer thread: devices' jobs to the front, all others to
 * the lanes, both at the same time.
 */
#include <stdlib.h>

#include "cli/aws_runtime_internal.h"

/* Takes the place of the jobs' owners until the lanes have given all of them back. */
struct batch {
	struct job_owner owner; /* first */
	pthread_mutex_t lock;
	pthread_cond_t all;
	size_t left; /* under the lock */
};

static void done_in_lane(struct job_owner *owner, struct job *j)
{
	struct batch *b = (struct batch *)owner;

	(void)j;
	pthread_mutex_lock(&b->lock);
	if (--b->left == 0)
		pthread_cond_signal(&b->all);
	pthread_mutex_unlock(&b->lock);
}

static bool is_for_front(const struct job *j)
{
	return j->kind == JOB_DEVICE_MESSAGE || j->kind == JOB_COMMAND_ACK ||
	       j->kind == JOB_COMMANDS;
}

/* Which role decides it; without that role it can't be done here. */
static unsigned role_of(const struct job *j)
{
	switch (j->kind) {
	case JOB_DEVICE_MESSAGE:
	case JOB_COMMAND_ACK:
	case JOB_COMMANDS:
		return AWS_ROLE_GATEWAY;
	case JOB_CUSTOMER_CREATE:
	case JOB_CUSTOMER_CHANGE:
	case JOB_CUSTOMER_BLOCK:
	case JOB_CUSTOMER_TAG:
	case JOB_CUSTOMER_ERASE:
	case JOB_START:
	case JOB_STOP:
	case JOB_SESSION_CLOSE:
		return AWS_ROLE_APP;
	case JOB_DEAD_LETTER_REPLAY:
	case JOB_DEAD_LETTER_DROP:
		return AWS_ROLE_OUTLET | AWS_ROLE_APP;
	case JOB_OUTLET_CREATE:
	case JOB_OUTLET_CHANGE:
	case JOB_OUTLET_SERVICE:
	case JOB_OUTLET_RETIRE:
	case JOB_OUTLET_FINISH:
	case JOB_ATTACH:
	case JOB_TICK:
	case JOB_EVENT:
	case JOB_COUNT:
		break;
	}
	return AWS_ROLE_OUTLET;
}

/* What one batch needs: whose the jobs are, and those for the front. */
struct run {
	struct batch batch;
	struct job_owner **owners; /* by place; NULL: not in a lane */
	struct job **front;
	size_t n_front;
};

static ev_err run_init(struct run *run, size_t n)
{
	*run = (struct run){ .batch = { .owner = { .done = done_in_lane } } };
	run->owners = calloc(n, sizeof(struct job_owner *));
	run->front = calloc(n, sizeof(struct job *));
	if (run->owners == NULL || run->front == NULL)
		return EV_NOMEM;
	if (pthread_mutex_init(&run->batch.lock, NULL) != 0)
		return EV_NOMEM;
	if (pthread_cond_init(&run->batch.all, NULL) == 0)
		return EV_OK;
	pthread_mutex_destroy(&run->batch.lock);
	return EV_NOMEM;
}

static void run_free(struct run *run)
{
	free(run->owners);
	free(run->front);
}

/* The housekeeping ticks the lanes: a tick of the loop's is done as it comes. */
static void sort_out(struct aws_runtime *r, struct run *run, struct job **jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct job *j = jobs[i];

		j->err = EV_OK;
		if (j->kind == JOB_TICK)
			((struct tick_job *)j)->more = false;
		else if (!aws_runtime_plays(r, role_of(j)))
			j->err = EV_UNSUPPORTED;
		else if (is_for_front(j))
			run->front[run->n_front++] = j;
		else
			run->owners[i] = j->owner;
	}
}

static void to_lanes(struct aws_runtime *r, struct run *run, struct job **jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		run->batch.left += run->owners[i] != NULL;
	for (size_t i = 0; i < n; i++) {
		if (run->owners[i] == NULL)
			continue;
		jobs[i]->owner = &run->batch.owner;
		aws_lanes_submit(r->lanes, jobs[i]);
	}
}

static void wait_for_lanes(struct run *run, struct job **jobs, size_t n)
{
	struct batch *b = &run->batch;

	pthread_mutex_lock(&b->lock);
	while (b->left > 0)
		pthread_cond_wait(&b->all, &b->lock);
	pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < n; i++) {
		if (run->owners[i] != NULL)
			jobs[i]->owner = run->owners[i];
	}
}

void aws_runtime_run(struct aws_runtime *r, struct job **jobs, size_t n)
{
	struct run run;

	if (run_init(&run, n) != EV_OK) {
		for (size_t i = 0; i < n; i++)
			jobs[i]->err = EV_NOMEM;
		run_free(&run);
		return;
	}
	sort_out(r, &run, jobs, n);
	to_lanes(r, &run, jobs, n);
	if (run.n_front > 0)
		aws_front_run(r->workers[AWS_WORKER_FRONT].front, run.front, run.n_front);
	wait_for_lanes(&run, jobs, n);
	pthread_cond_destroy(&run.batch.all);
	pthread_mutex_destroy(&run.batch.lock);
	run_free(&run);
}
