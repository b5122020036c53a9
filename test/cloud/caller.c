/* test/cloud/caller.c — struct aws_caller over the cloud; waiting, dying, being born again. */
#include "cloud/caller.h"

#include <stdlib.h>
#include <string.h>

#define IDLE_MAX 1000 /* waits in which nothing happened, before a run moves the clock itself */

/* --- The list of what is under way --- */

static void runs_add(struct cloud *c, struct aws_call_run *run)
{
	struct aws_call_run **at = &c->runs;

	while (*at != NULL)
		at = &(*at)->next;
	run->next = NULL;
	*at = run;
}

static void runs_remove(struct cloud *c, struct aws_call_run *run)
{
	struct aws_call_run **at = &c->runs;

	while (*at != run)
		at = &(*at)->next;
	*at = run->next;
}

static void run_free(struct aws_call_run *run)
{
	if (run->call != NULL)
		run->call->run = NULL;
	free(run->ghost_body);
	free(run);
}

static int64_t run_next_ns(const struct cloud *c, const struct aws_call_run *run)
{
	int64_t visible;

	if (!run->parked)
		return run->due_ns;
	visible = sqs_next_ns(c, run->park_queue);
	return visible < run->park_end_ns ? visible : run->park_end_ns;
}

int64_t cloud_next_ns(const struct cloud *c)
{
	int64_t next = INT64_MAX;

	for (const struct aws_call_run *run = c->runs; run != NULL; run = run->next) {
		int64_t at = run_next_ns(c, run);

		next = at < next ? at : next;
	}
	return next;
}

/* --- Running --- */

static void run_done(struct aws_call_run *run)
{
	struct aws_call *call = run->call;

	call->attempts = run->attempts;
	ev_list_push(&run->caller->done, &call->node);
	run_free(run);
}

/* Whether the client would try again; as production's, but it does not wait. */
static bool again(struct aws_call_run *run)
{
	struct cloud_caller *p = run->caller;
	struct aws_call *call = run->call;
	struct aws_retry_rules rules = p->rules;
	int64_t delay_ns;

	if (p->dead)
		return false;
	if (call->err == EV_OK) {
		aws_retry_won(&p->tokens, &run->retry);
		return false;
	}
	if (call->deadline_ns != 0 && cloud_mono_ns(p->cloud) >= call->deadline_ns)
		return false;
	if (call->error.kind == AWS_ERROR_EXPIRED_TOKEN && !run->renewed) {
		run->renewed = true;
		return true;
	}
	if (call->max_attempts > 0)
		rules.max_attempts = call->max_attempts;
	return aws_retry_may(call->error.kind) &&
	       aws_retry_again(&rules, &p->tokens, &run->retry, call->error.kind, 0, &p->rng.base,
			       &delay_ns);
}

/* The run is not in the list. */
static void run_do(struct aws_call_run *run)
{
	struct cloud *c = run->caller->cloud;

	for (;;) {
		enum outcome outcome = run_attempt(run);

		if (outcome == OUTCOME_PARKED) {
			runs_add(c, run);
			return;
		}
		if (outcome == OUTCOME_GONE) {
			run->call = NULL; /* its owner is not there any more */
			run_free(run);
			return;
		}
		if (!again(run)) {
			run_done(run);
			return;
		}
	}
}

/* A parked call that was given up takes messages with it. */
static void ghost_do(struct cloud *c, struct aws_call_run *run)
{
	struct reply reply;

	service_do(c, run->op, (struct ev_str){ run->ghost_body, run->ghost_n }, CLOUD_FINE,
		   cloud_mono_ns(c) < run->park_end_ns, &reply);
	if (reply.park_ns == 0) {
		run_free(run);
		return;
	}
	run->park_version = c->sqs_version;
	run->park_look_ns = sqs_next_ns(c, reply.park_queue);
	runs_add(c, run);
}

static bool is_due(const struct cloud *c, const struct aws_call_run *run)
{
	int64_t now = cloud_mono_ns(c);

	if (!run->parked)
		return run->due_ns <= now;
	return run->park_end_ns <= now || run->park_look_ns <= now ||
	       run->park_version != c->sqs_version;
}

/* The one that is due first; of those at the same time the oldest. */
static struct aws_call_run *first_due(struct cloud *c)
{
	struct aws_call_run *first = NULL;

	for (struct aws_call_run *run = c->runs; run != NULL; run = run->next) {
		if (!is_due(c, run))
			continue;
		if (first == NULL ||
		    (!run->parked && !first->parked && run->due_ns < first->due_ns))
			first = run;
	}
	return first;
}

void callers_settle(struct cloud *c)
{
	struct aws_call_run *run;

	while ((run = first_due(c)) != NULL) {
		runs_remove(c, run);
		if (run->call == NULL)
			ghost_do(c, run);
		else
			run_do(run);
	}
}

/* --- Giving up, dying --- */

/* Under way no more.  Seeded, it takes place all the same, or later takes messages with it. */
static void run_abandon(struct aws_call_run *run)
{
	struct cloud_caller *p = run->caller;
	struct cloud *c = p->cloud;
	bool lingers = c->faults_on && cloud_below(c, 2) == 0;

	if (!lingers || !run->parked) {
		if (lingers)
			run_silently(run);
		runs_remove(c, run);
		run_free(run);
		return;
	}
	run->ghost_n = run->call->body.n;
	run->ghost_body = must_calloc(1, run->ghost_n + 1);
	memcpy(run->ghost_body, run->call->body.p, run->ghost_n);
	run->call->run = NULL;
	run->call = NULL;
}

static struct aws_call_run *first_of(const struct cloud_caller *p)
{
	struct aws_call_run *run = p->cloud->runs;

	while (run != NULL && (run->caller != p || run->call == NULL))
		run = run->next;
	return run;
}

static struct aws_call *call_of(struct ev_node *node)
{
	return (struct aws_call *)(void *)((char *)node - offsetof(struct aws_call, node));
}

void cloud_kill(struct cloud_caller *p)
{
	struct aws_call_run *run;
	struct ev_node *node;

	if (p->dead)
		return;
	p->dead = true;
	while ((run = first_of(p)) != NULL) {
		struct aws_call *call = run->call;

		run_abandon(run);
		call_close(call);
	}
	while ((node = ev_list_pop(&p->done)) != NULL)
		call_close(call_of(node));
	p->n_calls = 0;
}

bool cloud_is_dead(const struct cloud_caller *p)
{
	return p->dead;
}

void cloud_revive(struct cloud_caller *p)
{
	cloud_kill(p);
	p->done = (struct ev_list){ NULL, NULL, 0 };
	p->n_calls = 0;
	p->life++;
	p->dead = false;
	p->tokens = aws_retry_full();
	atomic_store(&p->woken, false);
}

/* --- struct aws_caller --- */

static struct cloud_caller *of(struct aws_caller *c)
{
	return (struct cloud_caller *)c;
}

static ev_err caller_submit(struct aws_caller *base, struct aws_call *call)
{
	struct cloud_caller *p = of(base);
	struct cloud *c = p->cloud;
	size_t index = 0;
	const struct op *op = op_find(call->service, call->operation, &index);
	struct aws_call_run *run;

	if (p->dead) {
		call_close(call);
		return EV_CLOSED;
	}
	if (op == NULL)
		return EV_INVALID;
	aws_call_clear(call);
	run = must_calloc(1, sizeof(*run));
	*run = (struct aws_call_run){
		.caller = p, .call = call, .op = op, .op_index = index, .life = p->life
	};
	call->run = run;
	p->n_calls++;
	if (c->config.delay_ns > 0) {
		run->due_ns = cloud_mono_ns(c) +
			      (int64_t)cloud_below(c, (uint64_t)c->config.delay_ns + 1);
		runs_add(c, run);
	} else {
		run_do(run);
	}
	callers_settle(c);
	return EV_OK;
}

/* False: nothing happened, and the clock stands still. */
static bool wait_some(struct cloud_caller *p, int64_t ns)
{
	struct cloud *c = p->cloud;
	int64_t now = cloud_mono_ns(c), next = cloud_next_ns(c);

	if (next != INT64_MAX && next - now < ns)
		ns = next > now ? next - now : 0;
	if (!c->faults_on || c->config.wait == NULL) {
		ev_clock_manual_advance(c->config.clock, ns);
		return ns > 0;
	}
	c->config.wait(c->config.user, p, ns);
	return cloud_mono_ns(c) != now || p->done.n > 0 || atomic_load(&p->woken) || p->dead;
}

static int64_t end_of(const struct cloud *c, int64_t ns)
{
	int64_t end;

	return __builtin_add_overflow(cloud_mono_ns(c), ns, &end) ? INT64_MAX : end;
}

static ev_err caller_poll(struct aws_caller *base, int64_t timeout_ns, struct aws_call **out)
{
	struct cloud_caller *p = of(base);
	struct cloud *c = p->cloud;
	int64_t end = end_of(c, timeout_ns);

	for (;;) {
		struct ev_node *node;
		int64_t now;

		callers_settle(c);
		if (p->dead)
			return EV_CLOSED;
		node = ev_list_pop(&p->done);
		if (node != NULL) {
			p->n_calls--;
			*out = call_of(node);
			return EV_OK;
		}
		if (atomic_exchange(&p->woken, false))
			return EV_BUSY;
		if (p->n_calls == 0)
			return EV_NOTFOUND;
		now = cloud_mono_ns(c);
		if (now >= end || !wait_some(p, end - now))
			return EV_TIMEOUT;
	}
}

static void caller_cancel(struct aws_caller *base, struct aws_call *call)
{
	struct cloud_caller *p = of(base);
	struct ev_list kept = { NULL, NULL, 0 };
	struct ev_node *node;

	if (p->dead)
		return;
	if (call->run != NULL) {
		run_abandon(call->run);
		call->run = NULL;
		p->n_calls--;
		return;
	}
	while ((node = ev_list_pop(&p->done)) != NULL) {
		if (node == &call->node)
			p->n_calls--;
		else
			ev_list_push(&kept, node);
	}
	p->done = kept;
}

/* Takes out of the done those of a group; how many there were. */
static size_t take_group(struct cloud_caller *p, struct aws_call calls[], size_t n)
{
	struct ev_list kept = { NULL, NULL, 0 };
	struct ev_node *node;
	size_t taken = 0;

	while ((node = ev_list_pop(&p->done)) != NULL) {
		struct aws_call *call = call_of(node);

		if (call >= calls && call < calls + n)
			taken++;
		else
			ev_list_push(&kept, node);
	}
	p->done = kept;
	p->n_calls -= taken;
	return taken;
}

static void close_group(struct aws_call calls[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		call_close(&calls[i]);
}

static size_t submit_group(struct aws_caller *base, struct aws_call calls[], size_t n)
{
	size_t refused = 0;

	for (size_t i = 0; i < n; i++) {
		ev_err err = caller_submit(base, &calls[i]);

		if (err == EV_OK || err == EV_CLOSED)
			continue;
		call_fail(&calls[i], AWS_ERROR_OTHER, "NotSent", ev_err_text(err));
		calls[i].err = err;
		refused++;
	}
	return refused;
}

static void give_up_group(struct aws_caller *base, struct aws_call calls[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (calls[i].run == NULL)
			continue;
		caller_cancel(base, &calls[i]);
		call_fail(&calls[i], AWS_ERROR_TIMED_OUT, "TimedOut", "given up at the deadline");
	}
}

/* As the real one: a wake does not end it, but the next poll. */
static void caller_run(struct aws_caller *base, struct aws_call calls[], size_t n,
		       int64_t deadline_ns)
{
	struct cloud_caller *p = of(base);
	struct cloud *c = p->cloud;
	int64_t end = deadline_ns != 0 ? deadline_ns : INT64_MAX;
	uint64_t life = p->life;
	size_t done = submit_group(base, calls, n);
	unsigned idle = 0;

	while (!p->dead && p->life == life) {
		int64_t now = cloud_mono_ns(c);

		callers_settle(c);
		done += take_group(p, calls, n);
		if (done == n)
			return;
		if (now >= end) {
			give_up_group(base, calls, n);
			return;
		}
		if (wait_some(p, end - now) && cloud_mono_ns(c) != now)
			idle = 0;
		else if (++idle > IDLE_MAX)
			ev_clock_manual_advance(c->config.clock, 1);
	}
	close_group(calls, n);
}

static void caller_pause(struct aws_caller *base, int64_t ns)
{
	struct cloud_caller *p = of(base);
	struct cloud *c = p->cloud;
	int64_t end = end_of(c, ns);

	while (!p->dead && cloud_mono_ns(c) < end) {
		int64_t now = cloud_mono_ns(c);

		(void)wait_some(p, end - now);
		callers_settle(c);
		if (cloud_mono_ns(c) == now && !p->dead)
			ev_clock_manual_advance(c->config.clock, end - now);
	}
	callers_settle(c);
}

static void caller_wake(struct aws_caller *base)
{
	atomic_store(&of(base)->woken, true);
}

static struct aws_retry_tokens *caller_tokens(struct aws_caller *base)
{
	return &of(base)->tokens;
}

static const struct aws_retry_rules *caller_rules(const struct aws_caller *base)
{
	return &((const struct cloud_caller *)base)->rules;
}

static struct ev_rng *caller_rng(struct aws_caller *base)
{
	return &of(base)->rng.base;
}

static const struct aws_caller_ops caller_ops = {
	.submit = caller_submit,
	.poll = caller_poll,
	.cancel = caller_cancel,
	.run = caller_run,
	.pause = caller_pause,
	.wake = caller_wake,
	.tokens = caller_tokens,
	.rules = caller_rules,
	.rng = caller_rng,
};

/* --- Making them --- */

struct cloud_caller *cloud_caller_new(struct cloud *c, const char *name)
{
	struct cloud_caller *p = must_calloc(1, sizeof(*p));
	struct ev_buf b = ev_buf_over(p->name, sizeof(p->name) - 1);

	p->base.ops = &caller_ops;
	p->cloud = c;
	ev_buf_z(&b, name);
	p->tokens = aws_retry_full();
	p->rules = aws_retry_standard();
	if (c->config.max_attempts > 0)
		p->rules.max_attempts = c->config.max_attempts;
	ev_rng_seeded_init(&p->rng, ev_rng_u64(&c->rng.base));
	p->next = c->callers;
	c->callers = p;
	return p;
}

void cloud_caller_free(struct cloud_caller *p)
{
	struct cloud_caller **at;
	struct aws_call_run *run;

	if (p == NULL)
		return;
	while ((run = first_of(p)) != NULL) {
		run->call->run = NULL;
		run->call = NULL;
		runs_remove(p->cloud, run);
		run_free(run);
	}
	for (run = p->cloud->runs; run != NULL; run = run->next) {
		if (run->caller == p)
			run->caller = NULL;
	}
	at = &p->cloud->callers;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	free(p);
}

struct aws_caller *cloud_caller(struct cloud_caller *p)
{
	return &p->base;
}

const char *cloud_caller_name(const struct cloud_caller *p)
{
	return p->name;
}
