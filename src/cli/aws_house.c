/*
 * cli/aws_house.c — once a second: timers and unsent effects of the lanes; now and then a sweep for
 * what processes left behind that are gone.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "cli/aws_runtime_internal.h"

#define TICK_NS EV_NS_PER_S
#define TICK_OUTLETS 64                     /* of a lane, at a time */
#define RESEND_AFTER_NS (5 * EV_NS_PER_S)   /* what the sender could not send */
#define ORPHAN_AFTER_NS (30 * EV_NS_PER_S)  /* timers and effects nobody saw to */
#define PLAIN_AFTER_NS (15 * EV_NS_PER_MIN) /* sums: the next report would send them */

/* --- each lane, each second --- */

static void tick_lane(void *user, size_t lane, struct pump *pump, struct aws_store *store)
{
	struct aws_runtime *r = user;
	size_t failed = 0;
	size_t left = 0;

	struct ev_fail fail = { .code = EV_OK };
	ev_err e;

	aws_lane_tick(pump, TICK_OUTLETS, &failed);
	atomic_fetch_add(&r->timers_failed, failed);
	e = aws_store_flush(store, ev_clock_wall_ns(r->options.clock) - RESEND_AFTER_NS, &left);
	aws_store_last_fail(store, &fail);
	aws_lanes_note(r->lanes, lane, e == EV_OK ? NULL : &fail);
	atomic_fetch_add(&r->rows_unsent, left);
	atomic_fetch_sub(&r->ticking, 1);
}

/* A lane that is slow is not given a second tick meanwhile. */
static void tick_lanes(struct aws_runtime *r)
{
	if (atomic_load(&r->ticking) > 0)
		return;
	atomic_store(&r->rows_unsent, 0);
	atomic_store(&r->ticking, r->n_lane_owns);
	if (aws_lanes_each(r->lanes, tick_lane, r) != EV_OK)
		atomic_store(&r->ticking, 0);
}

static void watch_lanes(struct aws_runtime *r, bool *was_well)
{
	struct ev_fail fail = { .code = EV_OK };
	bool well = aws_lanes_are_well(r->lanes, &fail);

	if (well != *was_well && well)
		ev_info(r->options.log, "aws.ready", EV_KZ("what", "store"));
	else if (well != *was_well)
		ev_error(r->options.log, "aws.failing", EV_KZ("what", "store"),
			 EV_KERR("code", fail.code), EV_KZ("error", fail.text));
	*was_well = well;
}

/* --- the sweep --- */

struct adoption {
	struct aws_runtime *runtime;
	struct ev_uuid id;
	bool session;
};

static void adopt(void *user, size_t lane, struct pump *pump, struct aws_store *store)
{
	struct adoption *a = user;
	int64_t before_ns = ev_clock_wall_ns(a->runtime->options.clock) - RESEND_AFTER_NS;
	ev_err e = a->session ? aws_store_adopt_session(store, &a->id, before_ns)
			      : aws_store_adopt(store, &a->id, before_ns);

	(void)lane;
	(void)pump;
	if (e == EV_OK)
		atomic_fetch_add(&a->runtime->swept, 1);
	else if (e != EV_NOTFOUND)
		atomic_fetch_add(&a->runtime->sweep_failures, 1);
	free(a);
}

static void hand_over(struct aws_runtime *r, const struct ev_uuid *id, bool session)
{
	struct adoption *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return; /* the next sweep finds it again */
	*a = (struct adoption){ .runtime = r, .id = *id, .session = session };
	if (aws_lanes_on(r->lanes, id, adopt, a) != EV_OK)
		free(a);
}

static void on_outlet(void *user, const struct ev_uuid *id)
{
	hand_over(user, id, false);
}

static void on_session(void *user, const struct ev_uuid *id)
{
	hand_over(user, id, true);
}

typedef ev_err sweep_fn(const struct aws_sweep *w, char cursor[AWS_SWEEP_CURSOR],
			void (*visit)(void *user, const struct ev_uuid *id), void *user);

static ev_err sweep_table(struct aws_runtime *r, const struct aws_sweep *w, sweep_fn *sweep,
			  void (*visit)(void *user, const struct ev_uuid *id))
{
	char cursor[AWS_SWEEP_CURSOR] = "";
	ev_err e;

	do {
		e = sweep(w, cursor, visit, r);
	} while (e == EV_OK && cursor[0] != '\0' && !atomic_load(&r->stopping));
	return e;
}

/* Each role's processes take turns with its own table. */
static void sweep_if_ours(struct aws_runtime *r, const struct aws_sweep *w, bool sessions,
			  int64_t now_ns)
{
	ev_err e = aws_sweep_claim(w, sessions, ev_str_from(r->worker_id), now_ns,
				   r->options.config->sweep_interval_ns);

	if (e == EV_BUSY)
		return;
	if (e == EV_OK && sessions)
		e = sweep_table(r, w, aws_sweep_sessions, on_session);
	else if (e == EV_OK)
		e = sweep_table(r, w, aws_sweep_outlets, on_outlet);
	if (e == EV_OK)
		atomic_fetch_add(&r->sweeps, 1);
	else
		atomic_fetch_add(&r->sweep_failures, 1);
}

static void sweep(struct aws_runtime *r)
{
	int64_t now_ns = ev_clock_wall_ns(r->options.clock);
	struct aws_sweep w = {
		.caller = aws_client_caller(r->house_client),
		.resources = &r->resources,
		.rules = r->options.rules,
		.timer_before_ns = now_ns - ORPHAN_AFTER_NS,
		.unsent_before_ns = now_ns - ORPHAN_AFTER_NS,
		.plain_before_ns = now_ns - PLAIN_AFTER_NS,
	};

	if (aws_runtime_plays(r, AWS_ROLE_OUTLET))
		sweep_if_ours(r, &w, false, now_ns);
	if (aws_runtime_plays(r, AWS_ROLE_APP))
		sweep_if_ours(r, &w, true, now_ns);
}

/* --- the thread --- */

/* Until the next tick; true: it is time to stop. */
static bool rest(struct aws_runtime *r)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += TICK_NS / EV_NS_PER_S;
	pthread_mutex_lock(&r->lock);
	while (!atomic_load(&r->stopping)) {
		if (pthread_cond_timedwait(&r->stop, &r->lock, &end) != 0)
			break;
	}
	pthread_mutex_unlock(&r->lock);
	return atomic_load(&r->stopping);
}

static void *keep_house(void *arg)
{
	struct aws_runtime *r = arg;
	int64_t swept_ns = INT64_MIN / 2;
	bool was_well = true;

	while (!rest(r)) {
		int64_t now_ns = ev_clock_mono_ns(r->options.clock);

		tick_lanes(r);
		watch_lanes(r, &was_well);
		if (now_ns - swept_ns < r->options.config->sweep_interval_ns)
			continue;
		swept_ns = now_ns;
		sweep(r);
	}
	return NULL;
}

ev_err aws_house_start(struct aws_runtime *r, struct ev_fail *fail)
{
	ev_err e;

	if (r->lanes == NULL)
		return EV_OK;
	e = aws_runtime_client(r, 4, &r->house_client, fail);
	if (e != EV_OK)
		return e;
	if (pthread_create(&r->house, NULL, keep_house, r) != 0)
		return ev_fail_set(fail, EV_BUSY, 0, "housekeeping: no thread to be had");
	r->has_house = true;
	return EV_OK;
}

void aws_house_end(struct aws_runtime *r)
{
	if (r->has_house)
		pthread_join(r->house, NULL);
	r->has_house = false;
	aws_client_free(r->house_client);
	r->house_client = NULL;
}
