/*
 * cli/runtime_loops.c — gateway loops beside the main one: each a thread with its own event loop,
 * server, gateway and counters, at the same port.  What joins them is the host with its one writer,
 * the limits that count over all, and the orders of the main thread (docs/decisions/0014).
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "cli/runtime_internal.h"
#include "net/metrics_text.h"

#define LOOPS_AUTOMATIC_MAX 4 /* what these bring in, one writer has enough to do with */
#define LOOK_AGAIN_MS 20

/* From the main thread; taken with the next wake. */
enum order { ORDER_RELOAD = 1, ORDER_DRAIN = 2, ORDER_END = 4 };

struct runtime_loop {
	struct runtime_side side;
	struct net_loop *loop;
	struct net_server *server;
	struct net_wake *wake;
	struct net_hook flush_hook;
	struct net_timer end_timer;
	struct ev_metrics metrics;
	struct ev_rng_os rng;
	pthread_t thread;
	bool has_thread;
	atomic_uint orders;
	atomic_bool has_ended; /* the loop; the thread is as good as over */
};

size_t runtime_loops_for(size_t processors)
{
	/* The writer needs one for itself. */
	if (processors <= 2)
		return 1;
	return processors - 1 < LOOPS_AUTOMATIC_MAX ? processors - 1 : LOOPS_AUTOMATIC_MAX;
}

static size_t processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return (size_t)CPU_COUNT(&set);
}

/* --- on the loop's thread --- */

static bool is_idle(const struct runtime_loop *l)
{
	struct host_stats s = host_stats(l->side.host);

	return s.waiting == 0 && s.queries == 0;
}

static void end_if_idle(void *user)
{
	struct runtime_loop *l = user;

	if (is_idle(l))
		net_loop_stop(l->loop);
	else
		net_timer_arm(l->loop, &l->end_timer, LOOK_AGAIN_MS);
}

static void on_drained(void *user)
{
	struct runtime_loop *l = user;

	net_timer_arm(l->loop, &l->end_timer, 1);
}

static struct runtime_settings settings_of(struct runtime *r)
{
	struct runtime_settings s;

	pthread_mutex_lock(&r->lock);
	s = r->settings;
	pthread_mutex_unlock(&r->lock);
	return s;
}

/* All that its devices sent is answered: now the connections may go. */
static void on_devices_answered(void *user)
{
	struct runtime_loop *l = user;

	net_server_drain(l->server, settings_of(l->side.runtime).drain_ms, on_drained, l);
}

static void drain(struct runtime_loop *l)
{
	api_drain(l->side.api);
	gateway_drain(l->side.gateway, on_devices_answered, l);
}

static void reload(struct runtime_loop *l)
{
	struct runtime_settings s = settings_of(l->side.runtime);
	struct ev_fail fail = { .code = EV_OK };

	gateway_set_limits(l->side.gateway, s.max_outstanding, &s.limits);
	net_listener_set_max_per_address(l->side.listener, s.max_per_address);
	if (net_server_reload_tls(l->server, &fail) != EV_OK)
		ev_error(l->side.runtime->log, "tls.unusable", EV_KZ("error", fail.text));
}

static void on_wake(void *user)
{
	struct runtime_loop *l = user;
	unsigned orders = atomic_exchange(&l->orders, 0);

	host_reap(l->side.host);
	if ((orders & ORDER_RELOAD) != 0)
		reload(l);
	if ((orders & ORDER_DRAIN) != 0)
		drain(l);
	if ((orders & ORDER_END) != 0)
		net_loop_stop(l->loop);
}

static void on_command(void *user, const struct device_command *c)
{
	struct runtime_loop *l = user;

	gateway_on_command(l->side.gateway, c);
}

static void on_arrival(void *user, const struct arrival *a)
{
	struct runtime_loop *l = user;

	gateway_on_arrival(l->side.gateway, a);
}

static void flush(void *user)
{
	struct runtime_loop *l = user;

	host_flush(l->side.host);
}

static void *run(void *user)
{
	struct runtime_loop *l = user;

	net_loop_run(l->loop);
	atomic_store(&l->has_ended, true);
	return NULL;
}

/* --- starting, on the main thread --- */

static void wake_loop(void *user)
{
	struct runtime_loop *l = user;

	net_wake_signal(l->wake);
}

static ev_err open_one(struct runtime *r, struct runtime_loop *l, struct ev_fail *fail)
{
	struct host_loop callbacks = {
		.wake = wake_loop, .on_command = on_command, .on_arrival = on_arrival, .user = l
	};
	ev_err e = net_loop_new(&l->loop);

	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "no event loop: %s", ev_err_text(e));
	ev_metrics_init(&l->metrics);
	ev_rng_os_init(&l->rng);
	net_timer_init(&l->end_timer, end_if_idle, l);
	e = net_server_new(l->loop, &l->metrics, &l->server, fail);
	if (e != EV_OK)
		return e;
	e = net_wake_new(l->loop, on_wake, l, &l->wake);
	l->side = (struct runtime_side){
		.runtime = r,
		.loop = l->loop,
		.server = l->server,
		.metrics = &l->metrics,
		.rng = &l->rng.base,
	};
	if (e == EV_OK)
		e = host_attach(r->host, &callbacks, &l->side.host);
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "loop: %s", ev_err_text(e));
	return EV_OK;
}

static ev_err open_shared(struct runtime *r)
{
	ev_err e = net_quota_new(&r->quota);

	if (e == EV_OK)
		e = gateway_rates_new(RUNTIME_MAX_DEVICES, &r->rng.base, &r->rates);
	return e;
}

ev_err runtime_loops_open(struct runtime *r, struct ev_fail *fail)
{
	size_t wanted = (size_t)r->config.gateway_loops;
	ev_err e;

	if (wanted == 0)
		wanted = runtime_loops_for(processors());
	r->settings = runtime_settings_of(&r->config);
	ev_info(r->log, "server.loops", EV_KU64("gateway", wanted));
	if (wanted == 1)
		return EV_OK;
	e = open_shared(r);
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "loops: %s", ev_err_text(e));
	r->loops = calloc(wanted - 1, sizeof(*r->loops));
	if (r->loops == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	while (e == EV_OK && r->n_loops < wanted - 1)
		e = open_one(r, &r->loops[r->n_loops++], fail);
	return e;
}

static ev_err listen_one(struct runtime *r, struct runtime_loop *l, struct ev_fail *fail)
{
	ev_err e = runtime_side_open(&l->side);

	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "out of memory");
	e = runtime_side_join(&l->side, fail);
	if (e != EV_OK)
		return e;
	l->flush_hook = (struct net_hook){ .fn = flush, .user = l };
	net_loop_add_hook(l->loop, &l->flush_hook);
	ev_metrics_join(&r->metrics, &l->metrics);
	return EV_OK;
}

ev_err runtime_loops_start(struct runtime *r, struct ev_fail *fail)
{
	ev_err e = EV_OK;

	for (size_t i = 0; i < r->n_loops && e == EV_OK; i++)
		e = listen_one(r, &r->loops[i], fail);
	for (size_t i = 0; i < r->n_loops && e == EV_OK; i++) {
		struct runtime_loop *l = &r->loops[i];

		l->has_thread = pthread_create(&l->thread, NULL, run, l) == 0;
		if (!l->has_thread)
			e = ev_fail_set(fail, EV_BUSY, 0, "no thread for a gateway loop");
	}
	return e;
}

/* --- orders --- */

static void order(struct runtime *r, enum order what)
{
	for (size_t i = 0; i < r->n_loops; i++) {
		struct runtime_loop *l = &r->loops[i];

		if (!l->has_thread)
			continue;
		atomic_fetch_or(&l->orders, (unsigned)what);
		net_wake_signal(l->wake);
	}
}

static void leave_settings(struct runtime *r)
{
	pthread_mutex_lock(&r->lock);
	r->settings = runtime_settings_of(&r->config);
	pthread_mutex_unlock(&r->lock);
}

void runtime_loops_reload(struct runtime *r)
{
	leave_settings(r);
	order(r, ORDER_RELOAD);
}

void runtime_loops_drain(struct runtime *r)
{
	order(r, ORDER_DRAIN);
}

bool runtime_loops_have_ended(struct runtime *r)
{
	for (size_t i = 0; i < r->n_loops; i++) {
		if (!atomic_load(&r->loops[i].has_ended))
			return false;
	}
	return true;
}

/* --- ending --- */

/* The thread is over: the loop is the main thread's. */
static void end_one(struct runtime_loop *l)
{
	if (l->has_thread)
		pthread_join(l->thread, NULL);
	l->has_thread = false;
	while (l->side.host != NULL && !is_idle(l))
		net_loop_turn(l->loop, 10);
	if (l->flush_hook.fn != NULL)
		net_loop_remove_hook(l->loop, &l->flush_hook);
	net_server_free(l->server);
	l->server = NULL;
}

void runtime_loops_end(struct runtime *r)
{
	order(r, ORDER_END);
	for (size_t i = 0; i < r->n_loops; i++)
		end_one(&r->loops[i]);
}

void runtime_loops_free(struct runtime *r)
{
	for (size_t i = 0; i < r->n_loops; i++) {
		struct runtime_loop *l = &r->loops[i];

		runtime_side_close(&l->side);
		net_wake_free(l->wake);
		net_loop_free(l->loop);
	}
	free(r->loops);
	r->loops = NULL;
	r->n_loops = 0;
}

/* --- metrics --- */

uint64_t runtime_loops_devices(const struct runtime *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n_loops; i++)
		n += gateway_connected(r->loops[i].side.gateway);
	return n;
}

static void write_devices(struct ev_buf *out, const char *name, size_t loop,
			  const struct gateway *g)
{
	char label[24];

	snprintf(label, sizeof(label), "%zu", loop);
	metrics_u64(out, name, "loop", label, gateway_connected(g));
}

void runtime_loops_metrics(struct runtime *r, struct ev_buf *out)
{
	const char *name = "evcharge_gateway_loop_devices";

	metrics_head(out, name, "devices connected by WebSocket, by the loop that serves them",
		     "gauge");
	write_devices(out, name, 0, r->main.gateway);
	for (size_t i = 0; i < r->n_loops; i++)
		write_devices(out, name, i + 1, r->loops[i].side.gateway);
}
