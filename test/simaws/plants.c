/* plants.c — bugs on order: between services, store, sender and cloud. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "simaws/sim.h"

#define KEPT_MAX 16

static const char *const texts[PLANT_COUNT] = {
#define TEXT(name, text) [PLANT_##name] = text,
	SIM_PLANT_LIST(TEXT)
#undef TEXT
};

const char *plant_text(enum sim_plant p)
{
	return texts[p];
}

bool plant_parse(struct ev_str s, enum sim_plant *out)
{
	for (unsigned i = 0; i < PLANT_COUNT; i++) {
		if (ev_str_eqz(s, texts[i])) {
			*out = (enum sim_plant)i;
			return true;
		}
	}
	return false;
}

struct planted {
	struct aws_caller caller; /* first */
	struct aws_caller *real;
	struct sim_process *process;
	struct aws_sender sender;
	struct aws_sender *real_sender;
	struct {
		char *asked, *answer;
	} kept[KEPT_MAX]; /* reads of outlets' rows */
	size_t n_kept;
};

/* --- the cloud below the store --- */

static struct planted *of(struct aws_caller *c)
{
	return (struct planted *)c;
}

static bool is_about_outlet(const struct planted *x, const struct aws_call *call, const char *what)
{
	const char *table = x->process->sim->names.outlets;

	return strcmp(call->operation, what) == 0 &&
	       memmem(call->body.p, call->body.n, table, strlen(table)) != NULL;
}

/* The condition holds whatever is stored. */
static char *without_condition(struct ev_str body, size_t *out_n)
{
	static const char word[] = "\"ConditionExpression\":\"";
	static const char always[] = "attribute_exists(outletId) OR ";
	const char *at = memmem(body.p, body.n, word, sizeof(word) - 1);
	char *text = malloc(body.n + sizeof(always));
	size_t head = at == NULL ? body.n : (size_t)(at - body.p) + sizeof(word) - 1;

	assert(text != NULL);
	memcpy(text, body.p, head);
	*out_n = body.n;
	if (at == NULL)
		return text;
	memcpy(text + head, always, sizeof(always) - 1);
	memcpy(text + head + sizeof(always) - 1, body.p + head, body.n - head);
	*out_n += sizeof(always) - 1;
	return text;
}

static void run_unconditionally(struct planted *x, struct aws_call *call, int64_t deadline_ns)
{
	struct ev_str body = call->body;
	size_t n;
	char *text = without_condition(body, &n);

	call->body = (struct ev_str){ text, n };
	x->real->ops->run(x->real, call, 1, deadline_ns);
	call->body = body;
	free(text);
}

static char *copy(struct ev_str s)
{
	char *p = calloc(1, s.n + 1);

	assert(p != NULL);
	memcpy(p, s.p, s.n);
	return p;
}

/* What was read once is answered for ever. */
static void run_kept(struct planted *x, struct aws_call *call, int64_t deadline_ns)
{
	for (size_t i = 0; i < x->n_kept; i++) {
		if (!ev_str_eqz(call->body, x->kept[i].asked))
			continue;
		aws_call_clear(call);
		call->err = EV_OK;
		call->error = (struct aws_error){ .kind = AWS_ERROR_NONE };
		call->answer.n = strlen(x->kept[i].answer);
		call->answer.p = copy((struct ev_str){ x->kept[i].answer, call->answer.n });
		return;
	}
	x->real->ops->run(x->real, call, 1, deadline_ns);
	if (call->err != EV_OK || call->answer.n < 10 || x->n_kept == KEPT_MAX)
		return;
	x->kept[x->n_kept].asked = copy(call->body);
	x->kept[x->n_kept++].answer = copy(call->answer);
}

static void run(struct aws_caller *c, struct aws_call calls[], size_t n, int64_t deadline_ns)
{
	struct planted *x = of(c);
	enum sim_plant plant = x->process->sim->plant;

	if (n == 1 && plant == PLANT_NO_CONDITION && is_about_outlet(x, calls, "UpdateItem"))
		run_unconditionally(x, calls, deadline_ns);
	else if (n == 1 && plant == PLANT_STALE_CACHE && is_about_outlet(x, calls, "GetItem"))
		run_kept(x, calls, deadline_ns);
	else
		x->real->ops->run(x->real, calls, n, deadline_ns);
}

static ev_err submit(struct aws_caller *c, struct aws_call *call)
{
	return of(c)->real->ops->submit(of(c)->real, call);
}

static ev_err poll(struct aws_caller *c, int64_t timeout_ns, struct aws_call **out)
{
	return of(c)->real->ops->poll(of(c)->real, timeout_ns, out);
}

static void cancel(struct aws_caller *c, struct aws_call *call)
{
	of(c)->real->ops->cancel(of(c)->real, call);
}

static void pause_real(struct aws_caller *c, int64_t ns)
{
	of(c)->real->ops->pause(of(c)->real, ns);
}

static void wake(struct aws_caller *c)
{
	of(c)->real->ops->wake(of(c)->real);
}

static struct aws_retry_tokens *tokens(struct aws_caller *c)
{
	return of(c)->real->ops->tokens(of(c)->real);
}

static const struct aws_retry_rules *rules(const struct aws_caller *c)
{
	const struct planted *x = (const struct planted *)c;

	return x->real->ops->rules(x->real);
}

static struct ev_rng *rng(struct aws_caller *c)
{
	return of(c)->real->ops->rng(of(c)->real);
}

static const struct aws_caller_ops caller_ops = {
	.submit = submit,
	.poll = poll,
	.cancel = cancel,
	.run = run,
	.pause = pause_real,
	.wake = wake,
	.tokens = tokens,
	.rules = rules,
	.rng = rng,
};

/* --- the sender --- */

static ev_err send_or_lose(struct aws_sender *s, const struct aws_effect effects[], size_t n,
			   size_t *out_sent)
{
	struct planted *x = (struct planted *)(void *)((char *)s -
						       offsetof(struct planted, sender));
	ev_err e = x->real_sender->ops->send(x->real_sender, effects, n, out_sent);

	(void)e;
	*out_sent = n;
	return EV_OK;
}

static void free_nothing(struct aws_sender *s)
{
	(void)s;
}

static const struct aws_sender_ops losing = { .send = send_or_lose, .free = free_nothing };

void plants_config(struct sim_process *p, struct aws_store_config *c)
{
	struct planted *x;

	if (p->sim->plant == PLANT_NONE)
		return;
	x = calloc(1, sizeof(*x));
	assert(x != NULL);
	x->process = p;
	x->caller.ops = &caller_ops;
	x->real = c->caller;
	x->sender.ops = &losing;
	x->real_sender = c->sender;
	p->planted = x;
	c->caller = &x->caller;
	if (p->sim->plant == PLANT_LOST_EFFECTS)
		c->sender = &x->sender;
}

void plants_remove(struct sim_process *p)
{
	struct planted *x = p->planted;

	for (size_t i = 0; x != NULL && i < x->n_kept; i++) {
		free(x->kept[i].asked);
		free(x->kept[i].answer);
	}
	free(x);
	p->planted = NULL;
}

/* --- the store --- */

static const struct store_ops *real_ops;

static ev_err commit_one(struct store *s, const struct unit *u, ev_err *result, bool no_block)
{
	struct keyed_put puts[32];
	struct outlet row;
	struct unit changed = *u;

	if (u->outlet != NULL && !no_block) {
		row = *u->outlet;
		row.n_ids = 0;
		changed.outlet = &row;
	}
	if (no_block) {
		changed.n_puts = 0;
		changed.puts = puts;
		assert(u->n_puts <= EV_ARRAY_LEN(puts));
		for (size_t i = 0; i < u->n_puts; i++) {
			if (u->puts[i].kind != PUT_IDENTITY_BLOCK)
				puts[changed.n_puts++] = u->puts[i];
		}
	}
	return real_ops->commit(s, &changed, 1, result);
}

static ev_err commit_units(struct store *s, const struct unit *units, size_t n, ev_err *results,
			   bool no_block)
{
	ev_err first = EV_OK;

	for (size_t i = 0; i < n; i++) {
		ev_err e = commit_one(s, &units[i], &results[i], no_block);

		first = first == EV_OK ? e : first;
	}
	return first;
}

static ev_err commit_no_identity(struct store *s, const struct unit *units, size_t n,
				 ev_err *results)
{
	return commit_units(s, units, n, results, false);
}

static ev_err commit_no_block(struct store *s, const struct unit *units, size_t n, ev_err *results)
{
	return commit_units(s, units, n, results, true);
}

void plants_install(struct sim_process *p)
{
	static struct store_ops changed;
	struct store *store = p->pump.store;

	if (p->sim->plant != PLANT_NO_IDENTITY && p->sim->plant != PLANT_NO_BLOCK)
		return;
	real_ops = store->ops;
	changed = *real_ops;
	changed.commit = p->sim->plant == PLANT_NO_BLOCK ? commit_no_block : commit_no_identity;
	store->ops = &changed;
}

/* --- done before it is done --- */

static void forget(struct job_owner *owner, struct job *j)
{
	(void)owner;
	free(j);
}

static struct job_owner nobody = { .done = forget };

bool plants_hurry(struct sim_process *p, struct job *j)
{
	enum sim_plant wanted = j->kind == JOB_DEVICE_MESSAGE ? PLANT_EARLY_DELETE
							      : PLANT_EARLY_CHECKPOINT;
	size_t size = j->kind == JOB_DEVICE_MESSAGE
			      ? sizeof(struct device_job) + ((struct device_job *)j)->body_n
			      : sizeof(struct event_job);
	struct job *own;

	if (p->sim->plant != wanted)
		return false;
	own = malloc(size);
	assert(own != NULL);
	memcpy(own, j, size);
	own->owner = &nobody;
	ev_list_push(&p->queue, &own->node);
	j->err = EV_OK;
	j->verdict = VERDICT_APPLIED;
	j->owner->done(j->owner, j);
	return true;
}
