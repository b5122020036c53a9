/*
 * net/loop.c — libev with our timer wheel in front: one ev_timer stands for the whole wheel and is
 * set, before each wait, to the next tick at which the wheel has work.
 */
#include "net/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "net/libev.h"

#define TICK_MS 16
#define MAX_SIGNALS 8

struct net_signal {
	ev_signal watcher;
	net_fn *fn;
	void *user;
};

struct net_loop {
	struct ev_loop *ev;
	struct net_wheel wheel;
	ev_timer alarm; /* the wheel's next tick */
	ev_timer limit; /* of net_loop_turn */
	ev_prepare before;
	ev_check after;
	struct net_hook *hooks;
	int64_t now_ms;
	uint64_t alarm_tick; /* what `alarm` is set to; 0 when it is not running */
	size_t n_signals;
	bool stopping;
	bool rerun; /* the hooks, before the next wait */
	struct net_signal signals[MAX_SIGNALS];
};

struct net_wake {
	ev_async watcher;
	struct net_loop *loop;
	net_fn *fn;
	void *user;
};

static int64_t monotonic_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock on Linux */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void fire(void *user, struct net_wheel_node *node)
{
	struct net_timer *t = (struct net_timer *)(void *)node; /* its first member */

	(void)user;
	t->fn(t->user);
}

static void advance(struct net_loop *l)
{
	l->now_ms = monotonic_ms();
	net_wheel_advance(&l->wheel, (uint64_t)(l->now_ms / TICK_MS), fire, l);
}

static void on_after(struct ev_loop *ev, ev_check *w, int revents)
{
	struct net_loop *l = w->data;

	(void)ev;
	(void)revents;
	l->now_ms = monotonic_ms();
}

static void on_alarm(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct net_loop *l = w->data;

	(void)ev;
	(void)revents;
	l->alarm_tick = 0;
	advance(l);
}

static void on_limit(struct ev_loop *ev, ev_timer *w, int revents)
{
	/* Its only purpose is to end the wait. */
	(void)ev;
	(void)w;
	(void)revents;
}

static void set_alarm(struct net_loop *l)
{
	uint64_t tick = net_wheel_next(&l->wheel);

	if (tick == l->alarm_tick || (tick == UINT64_MAX && l->alarm_tick == 0))
		return;
	ev_timer_stop(l->ev, &l->alarm);
	l->alarm_tick = 0;
	if (tick == UINT64_MAX)
		return;
	int64_t wait_ms = (int64_t)tick * TICK_MS - l->now_ms;

	/* One millisecond more, so that rounding cannot wake us just before the tick. */
	ev_timer_set(&l->alarm, wait_ms > 0 ? (double)(wait_ms + 1) / 1000.0 : 0.0, 0.0);
	ev_timer_start(l->ev, &l->alarm);
	l->alarm_tick = tick;
}

static void on_before(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct net_loop *l = w->data;
	struct net_hook *next;

	(void)revents;
	do {
		l->rerun = false;
		for (struct net_hook *h = l->hooks; h != NULL; h = next) {
			next = h->next;
			h->fn(h->user);
		}
	} while (l->rerun);
	set_alarm(l);
	if (l->stopping)
		ev_break(ev, EVBREAK_ALL);
}

ev_err net_loop_new(struct net_loop **out)
{
	struct net_loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return EV_NOMEM;
	/* Without EVFLAG_NOENV the environment could choose select or poll for us. */
	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (l->ev == NULL) {
		free(l);
		return EV_IO;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* fails for invalid signal numbers only */
	l->now_ms = monotonic_ms();
	net_wheel_init(&l->wheel, (uint64_t)(l->now_ms / TICK_MS));
	ev_timer_init(&l->alarm, on_alarm, 0.0, 0.0);
	ev_timer_init(&l->limit, on_limit, 0.0, 0.0);
	ev_prepare_init(&l->before, on_before);
	ev_check_init(&l->after, on_after);
	ev_set_priority(&l->after, EV_MAXPRI);
	l->alarm.data = l;
	l->before.data = l;
	l->after.data = l;
	ev_prepare_start(l->ev, &l->before);
	ev_check_start(l->ev, &l->after);
	*out = l;
	return EV_OK;
}

void net_loop_free(struct net_loop *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n_signals; i++)
		ev_signal_stop(l->ev, &l->signals[i].watcher);
	ev_timer_stop(l->ev, &l->alarm);
	ev_timer_stop(l->ev, &l->limit);
	ev_prepare_stop(l->ev, &l->before);
	ev_check_stop(l->ev, &l->after);
	ev_loop_destroy(l->ev);
	free(l);
}

void net_loop_freep(struct net_loop **l)
{
	net_loop_free(*l);
	*l = NULL;
}

void net_loop_run(struct net_loop *l)
{
	while (!l->stopping)
		(void)ev_run(l->ev, 0);
	l->stopping = false;
}

void net_loop_turn(struct net_loop *l, int64_t max_wait_ms)
{
	if (max_wait_ms <= 0) {
		(void)ev_run(l->ev, EVRUN_NOWAIT);
		return;
	}
	ev_now_update(l->ev);
	ev_timer_set(&l->limit, (double)max_wait_ms / 1000.0, 0.0);
	ev_timer_start(l->ev, &l->limit);
	(void)ev_run(l->ev, EVRUN_ONCE);
	ev_timer_stop(l->ev, &l->limit);
}

void net_loop_stop(struct net_loop *l)
{
	l->stopping = true; /* seen after the hooks, before the next wait */
}

int64_t net_loop_now_ms(const struct net_loop *l)
{
	return l->now_ms;
}

void net_timer_init(struct net_timer *t, net_fn *fn, void *user)
{
	*t = (struct net_timer){ .fn = fn, .user = user };
}

void net_timer_arm(struct net_loop *l, struct net_timer *t, int64_t delay_ms)
{
	int64_t at_ms = l->now_ms + (delay_ms > 0 ? delay_ms : 0);

	net_wheel_arm(&l->wheel, &t->node, (uint64_t)((at_ms + TICK_MS - 1) / TICK_MS));
}

void net_timer_cancel(struct net_loop *l, struct net_timer *t)
{
	net_wheel_cancel(&l->wheel, &t->node);
}

int64_t net_timer_due_ms(const struct net_timer *t)
{
	return (int64_t)t->node.tick * TICK_MS;
}

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
	struct net_wake *wake = w->data;

	(void)ev;
	(void)revents;
	wake->fn(wake->user);
}

ev_err net_wake_new(struct net_loop *l, net_fn *fn, void *user, struct net_wake **out)
{
	struct net_wake *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return EV_NOMEM;
	*w = (struct net_wake){ .loop = l, .fn = fn, .user = user };
	ev_async_init(&w->watcher, on_wake);
	w->watcher.data = w;
	ev_async_start(l->ev, &w->watcher);
	*out = w;
	return EV_OK;
}

void net_wake_free(struct net_wake *w)
{
	if (w == NULL)
		return;
	ev_async_stop(w->loop->ev, &w->watcher);
	free(w);
}

void net_wake_signal(struct net_wake *w)
{
	ev_async_send(w->loop->ev, &w->watcher);
}

static void on_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	struct net_signal *s = w->data;

	(void)ev;
	(void)revents;
	s->fn(s->user);
}

ev_err net_loop_on_signal(struct net_loop *l, int signum, net_fn *fn, void *user)
{
	if (l->n_signals == MAX_SIGNALS)
		return EV_FULL;
	struct net_signal *s = &l->signals[l->n_signals++];

	s->fn = fn;
	s->user = user;
	ev_signal_init(&s->watcher, on_signal, signum);
	s->watcher.data = s;
	ev_signal_start(l->ev, &s->watcher);
	return EV_OK;
}

void net_loop_add_hook(struct net_loop *l, struct net_hook *h)
{
	struct net_hook **at = &l->hooks;

	while (*at != NULL)
		at = &(*at)->next;
	h->next = NULL;
	*at = h;
}

void net_loop_remove_hook(struct net_loop *l, struct net_hook *h)
{
	for (struct net_hook **at = &l->hooks; *at != NULL; at = &(*at)->next) {
		if (*at == h) {
			*at = h->next;
			return;
		}
	}
}

void net_loop_rerun_hooks(struct net_loop *l)
{
	l->rerun = true;
}

struct ev_loop *net_loop_ev(struct net_loop *l)
{
	return l->ev;
}
