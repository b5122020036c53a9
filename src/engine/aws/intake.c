/* engine/aws/intake.c — see intake.h. */
#include "engine/aws/intake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "engine/aws/intake_internal.h"

struct aws_intake_config aws_intake_defaults(void)
{
	return (struct aws_intake_config){
		.receives = 4,
		.wait_s = 20,
		.visibility_s = 30,
		.max_in_hand = 2000,
		.max_bytes = 64U << 20,
		.linger_ns = 20 * EV_NS_PER_MS,
	};
}

ev_err aws_intake_new(const struct aws_intake_config *c, struct aws_intake **out)
{
	struct aws_intake *i;
	ev_err e;

	if (c->receives == 0 || c->receives > AWS_INTAKE_RECEIVES_MAX || c->visibility_s == 0 ||
	    c->max_in_hand < SQS_ENTRIES_MAX || c->max_bytes == 0)
		return EV_INVALID;
	i = calloc(1, sizeof(*i));
	if (i == NULL)
		return EV_NOMEM;
	i->config = *c;
	e = ev_mailbox_init(&i->done, 0, 0);
	if (e == EV_OK && pthread_mutex_init(&i->lock, NULL) != 0) {
		ev_mailbox_deinit(&i->done);
		e = EV_NOMEM;
	}
	if (e != EV_OK) {
		free(i);
		return e;
	}
	*out = i;
	return EV_OK;
}

void aws_intake_free(struct aws_intake *i)
{
	if (i == NULL)
		return;
	(void)intake_take_done(i, 0);
	assert(i->n_out == 0);
	intake_cancel_calls(i);
	while (i->first != NULL)
		intake_let_go(i->first);
	ev_mailbox_deinit(&i->done);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

static bool is_failing(const struct aws_intake *i)
{
	for (unsigned k = 0; k < INTAKE_KIND_COUNT; k++) {
		if (i->backoff[k].fails > 0)
			return true;
	}
	return false;
}

static void show_state(struct aws_intake *i)
{
	struct aws_intake_state *n = &i->n;

	n->ready = i->url_in[0] != '\0' && i->url_dead[0] != '\0' &&
		   i->backoff[INTAKE_RECEIVE].fails == 0 && !i->is_closed && !i->is_broken;
	if (!is_failing(i) && !i->is_broken)
		n->fail = (struct ev_fail){ .code = EV_OK };
	pthread_mutex_lock(&i->lock);
	i->shown = *n;
	pthread_mutex_unlock(&i->lock);
}

void aws_intake_state(struct aws_intake *i, struct aws_intake_state *out)
{
	pthread_mutex_lock(&i->lock);
	*out = i->shown;
	pthread_mutex_unlock(&i->lock);
}

/* Nothing is under way: waits for jobs to come back, else for the end of a back-off. */
static void wait_idle(struct aws_intake *i, int64_t timeout_ns)
{
	struct aws_caller *c = i->config.caller;
	struct ev_list none = { .first = NULL };

	if (timeout_ns <= 0)
		return;
	if (i->n_out == 0) {
		c->ops->pause(c, timeout_ns);
		return;
	}
	if (ev_mailbox_take(&i->done, timeout_ns, &none) == EV_OK) {
		ev_err e = ev_mailbox_post(&i->done, &none); /* intake_take_done has them */

		assert(e == EV_OK);
	}
}

/* Waits for a call to end, then takes all that have. */
static bool take_calls(struct aws_intake *i, int64_t timeout_ns)
{
	struct aws_caller *c = i->config.caller;
	struct aws_call *call = NULL;
	bool some = false;
	ev_err e;

	while ((e = c->ops->poll(c, timeout_ns, &call)) == EV_OK) {
		intake_call_done(i, call, ev_clock_mono_ns(i->config.clock));
		some = true;
		timeout_ns = 0;
	}
	if (e == EV_CLOSED)
		i->is_closed = true;
	i->is_broken = e == EV_IO;
	if (i->is_broken)
		ev_fail_set(&i->n.fail, e, 0, "no call can be made");
	if (e == EV_NOTFOUND || e == EV_IO)
		wait_idle(i, timeout_ns);
	return some;
}

static int64_t bounded_wait(const struct aws_intake *i, int64_t timeout_ns)
{
	int64_t now_ns = ev_clock_mono_ns(i->config.clock);
	int64_t next_ns = intake_next_ns(i, now_ns);

	if (next_ns <= now_ns)
		return 0;
	return next_ns - now_ns < timeout_ns ? next_ns - now_ns : timeout_ns;
}

ev_err aws_intake_turn(struct aws_intake *i, int64_t timeout_ns)
{
	bool some;

	if (i->is_closed)
		return EV_CLOSED;
	some = intake_take_done(i, ev_clock_mono_ns(i->config.clock));
	intake_start_calls(i, ev_clock_mono_ns(i->config.clock));
	if (!i->is_closed && take_calls(i, some ? 0 : bounded_wait(i, timeout_ns)))
		some = true;
	if (intake_take_done(i, ev_clock_mono_ns(i->config.clock)))
		some = true;
	if (!i->is_closed && some)
		intake_start_calls(i, ev_clock_mono_ns(i->config.clock));
	show_state(i);
	if (i->is_closed)
		return EV_CLOSED;
	return some ? EV_OK : EV_TIMEOUT;
}

bool aws_intake_drain(struct aws_intake *i)
{
	i->is_draining = true;
	return i->n.in_hand == 0 && i->n.in_flight == 0;
}
