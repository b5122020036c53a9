/*
 * net/loop.h — the event loop of a process: timers, wakes from other threads, signals, and hooks at
 * the end of each turn.  Built on libev; epoll underneath.
 *
 * Everything but net_wake_signal belongs to the thread that runs the loop.  Callbacks may use any
 * function of this file except net_loop_free, net_loop_run and net_loop_turn.
 */
#ifndef EV_NET_LOOP_H
#define EV_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "net/wheel.h"

struct ev_loop; /* libev's */
struct net_loop;

typedef void net_fn(void *user);

/* SIGPIPE is ignored from here on, for the whole process.  EV_NOMEM, EV_IO. */
EV_NODISCARD ev_err net_loop_new(struct net_loop **out);

/* Timers, wakes and hooks that still exist must not be used afterwards.  NULL is fine. */
void net_loop_free(struct net_loop *l);
void net_loop_freep(struct net_loop **l);

/* Runs until net_loop_stop. */
void net_loop_run(struct net_loop *l);

/* One turn: waits at most max_wait_ms for something to happen and handles what did. */
void net_loop_turn(struct net_loop *l, int64_t max_wait_ms);

/* net_loop_run returns at the end of this turn; called before it, at the end of its first. */
void net_loop_stop(struct net_loop *l);

/* Monotonic milliseconds, read once a turn when the wait ends. */
int64_t net_loop_now_ms(const struct net_loop *l);

/*
 * A timer, embedded in what it belongs to, precise to about 16 ms and never early.  Nothing ticks
 * while none is armed.  net_timer_init before all else; arming an armed one moves it.
 */
struct net_timer {
	struct net_wheel_node node;
	net_fn *fn;
	void *user;
};
void net_timer_init(struct net_timer *t, net_fn *fn, void *user);
void net_timer_arm(struct net_loop *l, struct net_timer *t, int64_t delay_ms);
void net_timer_cancel(struct net_loop *l, struct net_timer *t);
/* When an armed timer comes, in the time of net_loop_now_ms. */
int64_t net_timer_due_ms(const struct net_timer *t);
static inline bool net_timer_is_armed(const struct net_timer *t)
{
	return net_wheel_is_armed(&t->node);
}

/*
 * A wake from any thread: fn runs in the loop's thread some time after each signal; signals that
 * come before it ran are one.  For handing over batches: queue under a lock of your own, then
 * signal. Owned by the caller; free it before the loop, when no thread signals it any more.
 * EV_NOMEM.
 */
struct net_wake;
EV_NODISCARD ev_err net_wake_new(struct net_loop *l, net_fn *fn, void *user, struct net_wake **out);
void net_wake_free(struct net_wake *w);
void net_wake_signal(struct net_wake *w); /* any thread, never blocks */

/*
 * fn(user) is called in the loop's thread for each delivery of a signal (coalesced).  At most 8
 * signals: else EV_FULL.  For the life of the loop.
 */
EV_NODISCARD ev_err net_loop_on_signal(struct net_loop *l, int signum, net_fn *fn, void *user);

/* fn runs at the end of every turn, before the loop waits again; hooks run in the order added. */
struct net_hook {
	net_fn *fn;
	void *user;
	struct net_hook *next;
};
void net_loop_add_hook(struct net_loop *l, struct net_hook *h);
void net_loop_remove_hook(struct net_loop *l, struct net_hook *h);

/*
 * For hooks whose work can come from other hooks: all hooks run once more before the loop waits.
 * Cheap; asked for before the hooks of a turn began, it costs nothing.
 */
void net_loop_rerun_hooks(struct net_loop *l);

/* For transports of this directory only. */
struct ev_loop *net_loop_ev(struct net_loop *l);

#endif
