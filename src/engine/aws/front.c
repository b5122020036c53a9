/* engine/aws/front.c — see front.h; what its two threads share. */
#include "engine/aws/front.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "engine/aws/front_internal.h"

struct aws_front_config aws_front_defaults(void)
{
	return (struct aws_front_config){
		.receives = 2,
		.wait_s = 20,
		.visibility_s = 15,
		.timeout_ns = 10 * EV_NS_PER_S,
		.command_expiry_ns = 4 * EV_NS_PER_MIN,
	};
}

static void init_side(struct aws_front *f, struct front_side *s, struct aws_caller *caller)
{
	s->f = f;
	s->io.caller = caller;
	s->io.clock = f->config.clock;
	s->io.timeout_ns = f->config.timeout_ns;
}

ev_err aws_front_new(const struct aws_front_config *c, struct aws_front **out)
{
	struct aws_front *f;
	char queue[AWS_RESOURCE_MAX];

	if (c->receives == 0 || c->receives > FRONT_RECEIVES_MAX || c->visibility_s == 0 ||
	    aws_resources_gateway_queue(c->resources, c->id, queue) != EV_OK)
		return EV_INVALID;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return EV_NOMEM;
	f->config = *c;
	memcpy(f->id, c->id.p, c->id.n);
	f->config.id = (struct ev_str){ f->id, c->id.n };
	memcpy(f->own_queue, queue, sizeof(queue));
	init_side(f, &f->jobs, c->jobs_caller);
	init_side(f, &f->turn, c->commands_caller);
	ev_map_init(&f->locals, 0, c->seed);
	if (pthread_mutex_init(&f->lock, NULL) != 0) {
		free(f);
		return EV_NOMEM;
	}
	*out = f;
	return EV_OK;
}

static void cancel_calls(struct aws_front *f)
{
	struct aws_caller *c = f->config.commands_caller;

	for (size_t k = 0; k < EV_ARRAY_LEN(f->calls); k++) {
		if (!f->calls[k].is_busy)
			continue;
		c->ops->cancel(c, &f->calls[k].call);
		aws_call_clear(&f->calls[k].call);
	}
}

void aws_front_free(struct aws_front *f)
{
	const uint8_t *key;
	uintptr_t value;
	size_t at = 0;
	struct ev_node *node;

	if (f == NULL)
		return;
	cancel_calls(f);
	while (ev_map_next(&f->locals, &at, &key, &value))
		free((struct local *)value);
	ev_map_deinit(&f->locals);
	while ((node = ev_list_pop(&f->gone)) != NULL)
		free(node);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int64_t front_deadline_ns(const struct aws_front *f)
{
	return ev_clock_mono_ns(f->config.clock) + f->config.timeout_ns;
}

/* --- what is told --- */

void front_count(struct aws_front *f, uint64_t *counter, uint64_t n)
{
	pthread_mutex_lock(&f->lock);
	*counter += n;
	pthread_mutex_unlock(&f->lock);
}

void front_note_fail(struct aws_front *f, const char *queue, const struct aws_call *call)
{
	const struct aws_error *error = &call->error;
	const char *code = error->code[0] != '\0' ? error->code : aws_error_kind_text(error->kind);

	pthread_mutex_lock(&f->lock);
	ev_fail_set(&f->n.fail, call->err, error->status, "%s: %s: %s %s", queue, call->operation,
		    code, error->message);
	pthread_mutex_unlock(&f->lock);
}

void front_note_table(struct front_side *s)
{
	pthread_mutex_lock(&s->f->lock);
	s->f->n.fail = s->io.fail;
	pthread_mutex_unlock(&s->f->lock);
}

void aws_front_state(struct aws_front *f, struct aws_front_state *out)
{
	pthread_mutex_lock(&f->lock);
	*out = f->n;
	out->connected = ev_map_len(&f->locals);
	pthread_mutex_unlock(&f->lock);
}

/* --- who is connected here --- */

static struct local *find_local(struct aws_front *f, const struct ev_uuid *outlet_id)
{
	uintptr_t value;

	return ev_map_get(&f->locals, outlet_id->b, &value) ? (struct local *)value : NULL;
}

bool front_local_get(struct aws_front *f, const struct ev_uuid *outlet_id, struct own_delivery *out)
{
	struct local *l;

	pthread_mutex_lock(&f->lock);
	l = find_local(f, outlet_id);
	if (l != NULL)
		*out = l->delivery;
	pthread_mutex_unlock(&f->lock);
	return l != NULL;
}

static ev_err add_local(struct aws_front *f, const struct own_delivery *d)
{
	struct local *l = malloc(sizeof(*l));

	if (l == NULL)
		return EV_NOMEM;
	l->delivery = *d;
	if (ev_map_put(&f->locals, d->delivery.outlet_id.b, (uintptr_t)l) != EV_OK) {
		free(l);
		return EV_NOMEM;
	}
	return EV_OK;
}

ev_err front_local_put(struct aws_front *f, const struct own_delivery *d)
{
	struct local *l;
	ev_err e = EV_OK;

	pthread_mutex_lock(&f->lock);
	l = find_local(f, &d->delivery.outlet_id);
	if (l != NULL)
		l->delivery = *d;
	else
		e = add_local(f, d);
	pthread_mutex_unlock(&f->lock);
	return e;
}

void front_local_set(struct aws_front *f, const struct own_delivery *d)
{
	struct local *l;

	pthread_mutex_lock(&f->lock);
	l = find_local(f, &d->delivery.outlet_id);
	if (l != NULL)
		l->delivery = *d;
	pthread_mutex_unlock(&f->lock);
}

/* With too many waiting, or no memory, its owner stays: whoever is gone gets nothing anyway. */
void aws_front_gone(struct aws_front *f, const struct ev_uuid *outlet_id)
{
	struct gone *g = NULL;
	uintptr_t value;

	pthread_mutex_lock(&f->lock);
	if (ev_map_remove(&f->locals, outlet_id->b, &value)) {
		struct local *l = (struct local *)value;

		if (f->gone.n < FRONT_GONE_MAX && strcmp(l->delivery.gateway, f->id) == 0)
			g = malloc(sizeof(*g));
		if (g != NULL) {
			g->delivery = l->delivery;
			ev_list_push(&f->gone, &g->node);
		}
		free(l);
	}
	pthread_mutex_unlock(&f->lock);
}

/* --- jobs --- */

/* Those of a kind, in their order. */
static size_t pick(struct job **jobs, size_t n, enum job_kind kind, struct job **out)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (jobs[i]->kind == kind)
			out[k++] = jobs[i];
	}
	return k;
}

void aws_front_run(struct aws_front *f, struct job **jobs, size_t n)
{
	struct job **of = malloc((n > 0 ? n : 1) * sizeof(struct job *));

	for (size_t i = 0; i < n; i++)
		jobs[i]->err = of == NULL ? EV_NOMEM : EV_UNSUPPORTED;
	if (of == NULL)
		return;
	/* What is acknowledged is not looked for. */
	front_run_acks(f, of, pick(jobs, n, JOB_COMMAND_ACK, of));
	front_run_looks(f, of, pick(jobs, n, JOB_COMMANDS, of));
	front_run_messages(f, of, pick(jobs, n, JOB_DEVICE_MESSAGE, of));
	free(of);
}
