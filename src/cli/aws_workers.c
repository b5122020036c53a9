/* cli/aws_workers.c — the threads that read queues and streams. */
#include <string.h>

#include "base/time.h"
#include "cli/aws_runtime_internal.h"

#define TURN_NS (250 * EV_NS_PER_MS)
#define CLIENT_CONNECTIONS 32

static const unsigned roles_of[AWS_WORKERS] = {
	[AWS_WORKER_INTAKE] = AWS_ROLE_OUTLET,
	[AWS_WORKER_OUTLET_EVENTS] = AWS_ROLE_OUTLET,
	[AWS_WORKER_APP_EVENTS] = AWS_ROLE_APP,
	[AWS_WORKER_FRONT] = AWS_ROLE_GATEWAY,
};

static const char *const names[AWS_WORKERS] = {
	[AWS_WORKER_INTAKE] = "intake",
	[AWS_WORKER_OUTLET_EVENTS] = "outlet_events",
	[AWS_WORKER_APP_EVENTS] = "app_events",
	[AWS_WORKER_FRONT] = "gateway_queues",
};

/* --- one turn of each kind --- */

static ev_err turn(struct aws_worker *w, int64_t timeout_ns)
{
	switch (w->kind) {
	case AWS_WORKER_INTAKE:
		return aws_intake_turn(w->intake, timeout_ns);
	case AWS_WORKER_OUTLET_EVENTS:
	case AWS_WORKER_APP_EVENTS:
		return aws_consumer_turn(w->consumer, timeout_ns);
	case AWS_WORKER_FRONT:
		return aws_front_turn(w->front, timeout_ns);
	case AWS_WORKERS:
		break;
	}
	return EV_INVALID;
}

static bool drain(struct aws_worker *w)
{
	switch (w->kind) {
	case AWS_WORKER_INTAKE:
		return aws_intake_drain(w->intake);
	case AWS_WORKER_OUTLET_EVENTS:
	case AWS_WORKER_APP_EVENTS:
		return aws_consumer_drain(w->consumer);
	case AWS_WORKER_FRONT:
		return aws_front_drain(w->front);
	case AWS_WORKERS:
		break;
	}
	return true;
}

static bool is_ready(struct aws_worker *w, struct ev_fail *fail)
{
	struct aws_intake_state intake;
	struct aws_consumer_state consumer;
	struct aws_front_state front;

	if (w->intake != NULL) {
		aws_intake_state(w->intake, &intake);
		*fail = intake.fail;
		return intake.ready;
	}
	if (w->consumer != NULL) {
		aws_consumer_state(w->consumer, &consumer);
		*fail = consumer.fail;
		return consumer.ready;
	}
	aws_front_state(w->front, &front);
	*fail = front.fail;
	return front.ready;
}

/* A line in the log when its dependencies are there for the first time, go, or come back. */
static void watch(struct aws_worker *w)
{
	struct ev_fail fail = { .code = EV_OK };
	enum aws_worker_shown now = is_ready(w, &fail) ? AWS_SHOWN_READY : AWS_SHOWN_FAILING;

	if (now == AWS_SHOWN_FAILING && fail.code == EV_OK)
		return; /* not reached yet */
	if (now == w->shown)
		return;
	if (now == AWS_SHOWN_READY)
		ev_info(w->runtime->options.log, "aws.ready", EV_KZ("what", names[w->kind]));
	else
		ev_error(w->runtime->options.log, "aws.failing", EV_KZ("what", names[w->kind]),
			 EV_KERR("code", fail.code), EV_KZ("error", fail.text));
	w->shown = now;
}

static void *work(void *arg)
{
	struct aws_worker *w = arg;
	struct aws_runtime *r = w->runtime;
	struct ev_clock *clock = r->options.clock;
	int64_t end_ns;

	while (!atomic_load(&r->stopping)) {
		if (turn(w, TURN_NS) == EV_CLOSED)
			return NULL;
		watch(w);
	}
	end_ns = ev_clock_mono_ns(clock) + r->options.config->drain_timeout_ns;
	while (!drain(w) && ev_clock_mono_ns(clock) < end_ns) {
		if (turn(w, TURN_NS / 5) == EV_CLOSED)
			return NULL;
	}
	return NULL;
}

/* --- what they hand on --- */

static void submit(void *user, struct job *j)
{
	struct aws_runtime *r = user;

	aws_lanes_submit(r->lanes, j);
}

static bool is_busy(void *user)
{
	struct aws_runtime *r = user;

	return aws_lanes_is_busy(r->lanes);
}

/* --- opening --- */

static struct ev_rng *rng_of(struct aws_client *client)
{
	struct aws_caller *c = aws_client_caller(client);

	return c->ops->rng(c);
}

static ev_err open_intake(struct aws_worker *w)
{
	struct aws_runtime *r = w->runtime;
	struct aws_intake_config c = aws_intake_defaults();

	c.caller = aws_client_caller(w->client);
	c.resources = &r->resources;
	c.clock = r->options.clock;
	c.receives = (unsigned)r->options.config->aws_receives;
	c.submit = submit;
	c.is_busy = is_busy;
	c.user = r;
	return aws_intake_new(&c, &w->intake);
}

static ev_err open_consumer(struct aws_worker *w)
{
	struct aws_runtime *r = w->runtime;
	const struct aws_resources *names_of = &r->resources;
	struct aws_consumer_config c = aws_consumer_defaults();
	bool app = w->kind == AWS_WORKER_APP_EVENTS;

	c.caller = aws_client_caller(w->client);
	c.clock = r->options.clock;
	c.rng = rng_of(w->client);
	c.stream = names_of->event_stream;
	c.dead_letters = names_of->dead_letter_stream;
	c.leases = app ? names_of->app_leases : names_of->outlet_leases;
	c.from = app ? INITIATOR_OUTLET_BACKEND : INITIATOR_APP_BACKEND;
	c.worker = ev_str_from(r->worker_id);
	c.submit = submit;
	c.is_busy = is_busy;
	c.user = r;
	return aws_consumer_new(&c, &w->consumer);
}

static ev_err open_front(struct aws_worker *w, struct ev_fail *fail)
{
	struct aws_runtime *r = w->runtime;
	struct aws_front_config c = aws_front_defaults();
	ev_err e = aws_runtime_client(r, CLIENT_CONNECTIONS, &w->jobs_client, fail);

	if (e != EV_OK)
		return e;
	c.jobs_caller = aws_client_caller(w->jobs_client);
	c.commands_caller = aws_client_caller(w->client);
	c.resources = &r->resources;
	c.clock = r->options.clock;
	c.rng = rng_of(w->client);
	c.id = ev_str_from(r->gateway_id);
	c.on_command = r->options.on_command;
	c.user = r->options.user;
	return aws_front_new(&c, &w->front);
}

static ev_err open_one(struct aws_worker *w, struct ev_fail *fail)
{
	ev_err e = aws_runtime_client(w->runtime, CLIENT_CONNECTIONS, &w->client, fail);

	if (e != EV_OK)
		return e;
	if (w->kind == AWS_WORKER_INTAKE)
		e = open_intake(w);
	else if (w->kind == AWS_WORKER_FRONT)
		e = open_front(w, fail);
	else
		e = open_consumer(w);
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "%s: %s", names[w->kind], ev_err_text(e));
	if (pthread_create(&w->thread, NULL, work, w) != 0)
		return ev_fail_set(fail, EV_BUSY, 0, "%s: no thread to be had", names[w->kind]);
	w->has_thread = true;
	return EV_OK;
}

ev_err aws_workers_start(struct aws_runtime *r, struct ev_fail *fail)
{
	ev_err e = EV_OK;

	for (int k = 0; k < AWS_WORKERS && e == EV_OK; k++) {
		struct aws_worker *w = &r->workers[k];

		w->kind = (enum aws_worker_kind)k;
		w->runtime = r;
		if (aws_runtime_plays(r, roles_of[k]))
			e = open_one(w, fail);
	}
	return e;
}

void aws_workers_join(struct aws_runtime *r)
{
	for (int k = 0; k < AWS_WORKERS; k++) {
		if (r->workers[k].has_thread)
			pthread_join(r->workers[k].thread, NULL);
		r->workers[k].has_thread = false;
	}
}

void aws_workers_free(struct aws_runtime *r)
{
	/* What they own may be in the lanes' hands still. */
	aws_lanes_free(r->lanes);
	r->lanes = NULL;
	for (int k = 0; k < AWS_WORKERS; k++) {
		struct aws_worker *w = &r->workers[k];

		aws_intake_free(w->intake);
		aws_consumer_free(w->consumer);
		aws_front_free(w->front);
		aws_client_free(w->client);
		aws_client_free(w->jobs_client);
	}
}

/* room: the text is looked at until the checks are written. */
static void add_check(struct api_checks *c, const char *name, bool well, const struct ev_fail *fail,
		      char *room, size_t cap)
{
	size_t n = strnlen(fail->text, cap - 1);

	memcpy(room, fail->text, n);
	room[n] = '\0';
	api_checks_add(c, name, well ? NULL : n > 0 ? room : "not reached yet");
}

void aws_runtime_checks(struct aws_runtime *r, struct api_checks *c)
{
	const size_t cap = sizeof(r->check_texts[0]);
	struct ev_fail fail = { .code = EV_OK };

	for (int k = 0; k < AWS_WORKERS; k++) {
		struct aws_worker *w = &r->workers[k];

		if (!w->has_thread)
			continue;
		fail = (struct ev_fail){ .code = EV_OK };
		add_check(c, names[k], is_ready(w, &fail), &fail, r->check_texts[k], cap);
	}
	fail = (struct ev_fail){ .code = EV_OK };
	if (r->lanes != NULL)
		add_check(c, "store", aws_lanes_are_well(r->lanes, &fail), &fail,
			  r->check_texts[AWS_WORKERS], cap);
}
