/* service/pump.c — a batch of jobs, one group, one commit. */
#include "service/pump.h"

#include <assert.h>

#include "base/time.h"
#include "codec/event_proto.h"

/*
 * A round trip is at most request → approval → start → sums; more than this for one job would be
 * two services answering each other for ever, which is a bug.
 */
#define EVENTS_PER_JOB_MAX 1000

#define CONFLICTS_MAX 16      /* of one job in a row: more is a fault, not a race */
#define GROUP_CONFLICTS_MAX 4 /* of a group, before its jobs are run one by one */

#define PARK_NS (30 * EV_NS_PER_S)

static const char *const kind_texts[JOB_COUNT] = {
	[JOB_DEVICE_MESSAGE] = "device_message",
	[JOB_COMMAND_ACK] = "command_ack",
	[JOB_COMMANDS] = "commands",
	[JOB_OUTLET_CREATE] = "outlet_create",
	[JOB_OUTLET_CHANGE] = "outlet_change",
	[JOB_OUTLET_SERVICE] = "outlet_service",
	[JOB_OUTLET_RETIRE] = "outlet_retire",
	[JOB_OUTLET_FINISH] = "outlet_finish",
	[JOB_ATTACH] = "attach",
	[JOB_DEAD_LETTER_REPLAY] = "dead_letter_replay",
	[JOB_DEAD_LETTER_DROP] = "dead_letter_drop",
	[JOB_CUSTOMER_CREATE] = "customer_create",
	[JOB_CUSTOMER_CHANGE] = "customer_change",
	[JOB_CUSTOMER_BLOCK] = "customer_block",
	[JOB_CUSTOMER_TAG] = "customer_tag",
	[JOB_CUSTOMER_ERASE] = "customer_erase",
	[JOB_START] = "start",
	[JOB_STOP] = "stop",
	[JOB_SESSION_CLOSE] = "session_close",
	[JOB_TICK] = "tick",
	[JOB_EVENT] = "event",
};

const char *job_kind_text(enum job_kind k)
{
	assert((unsigned)k < JOB_COUNT);
	return kind_texts[k];
}

void pump_init(struct pump *p, struct store *store, struct ev_clock *clock, struct ev_rng *rng,
	       const struct outlet_rules *rules)
{
	*p = (struct pump){ .store = store, .clock = clock, .rng = rng };
	effects_init(&p->effects);
	p->outlet = (struct outlet_service){
		.store = store,
		.clock = clock,
		.rng = rng,
		.rules = *rules,
		.park_ns = PARK_NS,
		.effects = &p->effects,
	};
	p->app = (struct app_service){
		.store = store,
		.clock = clock,
		.rng = rng,
		.effects = &p->effects,
		.request_timeout_ns = rules->request_timeout_ns,
	};
}

void pump_deinit(struct pump *p)
{
	effects_deinit(&p->effects);
}

static ev_err replay_event(struct pump *p, const struct dead_letter *d, struct dead_letter_job *j)
{
	struct charging_event e;
	enum reason why;

	j->job.verdict = VERDICT_REJECTED;
	j->job.reason = REASON_UNDECODABLE;
	if (event_proto_decode(d->body, &e, &why, NULL) != EV_OK) {
		j->job.err = EV_OK;
		return EV_OK;
	}
	if (e.initiator == INITIATOR_OUTLET_BACKEND)
		return app_service_replay(&p->app, &e, d, j);
	return outlet_service_replay_event(&p->outlet, &e, d, j);
}

static ev_err load_open_letter(struct pump *p, struct dead_letter_job *j, struct dead_letter *d,
			       char *body)
{
	ev_err e = p->store->ops->load_dead_letter(p->store, &j->id, d, body);

	if (e == EV_OK && d->status != DEAD_LETTER_OPEN)
		e = EV_CONFLICT;
	j->job.err = e;
	return e;
}

static ev_err replay(struct pump *p, struct dead_letter_job *j)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct dead_letter d;
	ev_err e = load_open_letter(p, j, &d, body);

	if (e != EV_OK)
		return e;
	if (d.channel == INPUT_DEVICE_MESSAGE)
		return outlet_service_replay(&p->outlet, &d, j);
	return replay_event(p, &d, j);
}

static ev_err drop(struct pump *p, struct dead_letter_job *j)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct dead_letter d;
	struct keyed_put put = { .kind = PUT_DEAD_LETTER_STATUS };
	struct unit u = { .kind = UNIT_NONE, .puts = &put, .n_puts = 1 };
	ev_err result;
	ev_err e = load_open_letter(p, j, &d, body);

	if (e != EV_OK)
		return e;
	put.status.id = j->id;
	put.status.status = DEAD_LETTER_DROPPED;
	put.status.at_ns = j->job.at_ns;
	j->job.verdict = VERDICT_APPLIED;
	j->job.err = p->store->ops->commit(p->store, &u, 1, &result);
	return j->job.err;
}

static ev_err tick(struct pump *p, struct tick_job *j)
{
	if (j->has_outlet)
		j->job.err = outlet_service_tick_one(&p->outlet, &j->outlet_id, &j->more);
	else
		j->job.err = outlet_service_tick(&p->outlet, 256, &j->more);
	return j->job.err;
}

/* To the backend that did not put it. */
static ev_err deliver(struct pump *p, const struct charging_event *e, const struct identity *id,
		      int64_t at_ns)
{
	p->stats.events++;
	if (e->initiator == INITIATOR_OUTLET_BACKEND)
		return app_service_event(&p->app, e, id, at_ns);
	return outlet_service_event(&p->outlet, e, id, at_ns);
}

static ev_err event(struct pump *p, struct event_job *j)
{
	j->job.err = deliver(p, &j->event, &j->id, j->job.at_ns);
	return j->job.err;
}

static ev_err run_job(struct pump *p, struct job *j)
{
	switch (j->kind) {
	case JOB_DEVICE_MESSAGE:
		return outlet_service_message(&p->outlet, (struct device_job *)j);
	case JOB_COMMAND_ACK:
		return outlet_service_command_ack(&p->outlet, (struct command_job *)j);
	case JOB_COMMANDS:
		return outlet_service_commands(&p->outlet, (struct command_job *)j);
	case JOB_OUTLET_CREATE:
		return outlet_service_create(&p->outlet, (struct outlet_job *)j);
	case JOB_OUTLET_CHANGE:
		return outlet_service_change(&p->outlet, (struct outlet_job *)j);
	case JOB_OUTLET_SERVICE:
	case JOB_OUTLET_RETIRE:
	case JOB_OUTLET_FINISH:
		return outlet_service_person(&p->outlet, (struct outlet_job *)j);
	case JOB_ATTACH:
		return outlet_service_attach(&p->outlet, (struct outlet_job *)j);
	case JOB_DEAD_LETTER_REPLAY:
		return replay(p, (struct dead_letter_job *)j);
	case JOB_DEAD_LETTER_DROP:
		return drop(p, (struct dead_letter_job *)j);
	case JOB_CUSTOMER_CREATE:
		return app_service_customer_create(&p->app, (struct customer_job *)j);
	case JOB_CUSTOMER_CHANGE:
		return app_service_customer_change(&p->app, (struct customer_job *)j);
	case JOB_CUSTOMER_BLOCK:
		return app_service_customer_block(&p->app, (struct customer_job *)j);
	case JOB_CUSTOMER_TAG:
		return app_service_customer_tag(&p->app, (struct customer_job *)j);
	case JOB_CUSTOMER_ERASE:
		return app_service_customer_erase(&p->app, (struct customer_job *)j);
	case JOB_START:
		return app_service_start(&p->app, (struct session_job *)j);
	case JOB_STOP:
		return app_service_stop(&p->app, (struct session_job *)j);
	case JOB_SESSION_CLOSE:
		return app_service_close(&p->app, (struct session_job *)j);
	case JOB_TICK:
		return tick(p, (struct tick_job *)j);
	case JOB_EVENT:
		return event(p, (struct event_job *)j);
	case JOB_COUNT:
		break;
	}
	assert(false && "no such job");
	return EV_INVALID;
}

/* Each backend takes what the other put, until nothing is on its way; apart, over the stream. */
static ev_err settle(struct pump *p)
{
	struct charging_event event;
	unsigned n = 0;
	ev_err e = EV_OK;

	while (!p->apart && e == EV_OK && effects_take(&p->effects, &event)) {
		n++;
		assert(n < EVENTS_PER_JOB_MAX);
		e = deliver(p, &event, &event.event_id, ev_clock_wall_ns(p->clock));
	}
	effects_clear(&p->effects);
	return e;
}

/* Answers that say no without having touched anything; the group goes on. */
static bool is_answer(ev_err e)
{
	return e == EV_OK || e == EV_NOTFOUND || e == EV_EXISTS || e == EV_DENIED ||
	       e == EV_CONFLICT || e == EV_INVALID;
}

static ev_err run_in_group(struct pump *p, struct job *j)
{
	ev_err e = run_job(p, j);

	if (!is_answer(e))
		return e;
	e = settle(p);
	if (e == EV_OK && j->kind == JOB_DEVICE_MESSAGE)
		e = outlet_service_settled(&p->outlet, (struct device_job *)j);
	return e;
}

/* EV_OK: all n are done and durable. */
static ev_err run_group(struct pump *p, struct job **jobs, size_t n)
{
	ev_err e = p->store->ops->begin(p->store);

	if (e != EV_OK)
		return e;
	for (size_t i = 0; i < n && e == EV_OK; i++)
		e = run_in_group(p, jobs[i]);
	if (e == EV_OK)
		e = p->store->ops->end(p->store);
	else
		p->store->ops->abandon(p->store);
	effects_clear(&p->effects);
	p->stats.groups++;
	p->stats.failed_groups += e != EV_OK;
	return e;
}

/*
 * An engine without a common transaction finds out at the group's end that somebody else has
 * written a row; then the same is decided again from a fresh load, up to `max` times in all.
 */
static ev_err run_until_written(struct pump *p, struct job **jobs, size_t first, size_t n, int max)
{
	ev_err e = EV_CONFLICT;

	p->under_way.first = first;
	p->under_way.n = n;

	for (int i = 0; i < max && e == EV_CONFLICT; i++)
		e = run_group(p, &jobs[first], n);
	return e;
}

static void run_alone(struct pump *p, struct job **jobs, size_t at)
{
	ev_err e = run_until_written(p, jobs, at, 1, CONFLICTS_MAX);

	if (e == EV_OK)
		return;
	jobs[at]->err = e;
	p->stats.failed_jobs++;
}

void pump_run(struct pump *p, struct job **jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p->stats.by_kind[jobs[i]->kind]++;
	p->stats.jobs += n;
	if (n > 1 && run_until_written(p, jobs, 0, n, GROUP_CONFLICTS_MAX) == EV_OK)
		return;
	for (size_t i = 0; i < n; i++)
		run_alone(p, jobs, i);
}
