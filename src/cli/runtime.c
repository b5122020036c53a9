/* cli/runtime.c — wiring, in the order log, data, services, listeners; torn down in reverse. */
#include "cli/runtime.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "base/metrics.h"
#include "base/time.h"
#include "cli/runtime_internal.h"

#define GROUP_MAX 4096
#define QUEUE_MAX 65536
#define TICK_MS 1000
#define RETAIN_EVERY_NS (60 * EV_NS_PER_S)

/* --- the engine --- */

static int64_t now_of(void *user)
{
	return ev_clock_wall_ns(user);
}

/*
 * Devices of somebody else's gateway never saw a denial: they get none, unless a person says so
 * (design section 3, Commands).
 */
static bool feeds_others(const struct config *c)
{
	unsigned roles = 0;

	return c->engine == CONFIG_ENGINE_AWS && config_roles(c, &roles) == EV_OK &&
	       (roles & CONFIG_ROLE_GATEWAY) == 0 &&
	       config_source_of(c, "notify-denials") == CONFIG_DEFAULT;
}

static struct outlet_rules rules_of(const struct config *c)
{
	struct outlet_rules rules = outlet_rules_default();

	rules.request_timeout_ns = c->request_timeout_ns;
	rules.command_timeout_ns = c->command_timeout_ns;
	rules.stop_timeout_ns = c->stop_timeout_ns;
	rules.stop_requires_tag = c->stop_requires_tag;
	rules.notify_denials = c->notify_denials && !feeds_others(c);
	rules.report_while_stopping = true;
	/* A command must have lapsed before its start is taken back. */
	if (rules.command_expiry_ns > rules.command_timeout_ns)
		rules.command_expiry_ns = rules.command_timeout_ns;
	return rules;
}

static void on_stored_command(void *user, const struct device_command *c)
{
	struct runtime *r = user;

	host_put_command(r->host, c);
}

static void on_stored_event(void *user, const struct stored_event *e)
{
	struct runtime *r = user;

	host_put_event(r->host, e);
}

static struct embedded_retention retention_of(const struct config *c)
{
	return (struct embedded_retention){ .events_ns = c->retain_events_ns,
					    .commands_ns = c->retain_commands_ns,
					    .dead_letters_ns = c->retain_dead_letters_ns,
					    .identities_ns = 2 * EV_NS_PER_HOUR };
}

/* A device's command from the queue, on a thread of the engine's. */
static void on_queued_command(void *user, const struct device_command *c)
{
	struct runtime *r = user;

	host_tell_command(r->host, c);
}

static ev_err open_aws(struct runtime *r, struct ev_fail *fail)
{
	struct aws_runtime_options o = {
		.config = &r->config,
		.log = r->log,
		.clock = r->clock,
		.rules = rules_of(&r->config),
		.on_command = on_queued_command,
		.user = r,
	};
	ev_err e = aws_runtime_new(&o, &r->aws, fail);

	if (e == EV_OK)
		r->query = aws_runtime_query(r->aws);
	return e;
}

static ev_err open_embedded(struct runtime *r, struct ev_fail *fail)
{
	const struct config *c = &r->config;
	struct embedded_options o = {
		.dir = c->data,
		.now_ns = now_of,
		.clock_user = r->clock,
		.rules = rules_of(c),
		.retention = retention_of(c),
	};
	struct embedded_listener l = { .on_event = on_stored_event,
				       .on_command = on_stored_command,
				       .user = r };
	ev_err e = embedded_open(&r->engine, &o, fail);

	if (e != EV_OK)
		return e;
	embedded_set_listener(r->engine, &l);
	return embedded_query_open(r->engine, &r->query, fail);
}

static ev_err open_engine(struct runtime *r, struct ev_fail *fail)
{
	if (r->config.engine == CONFIG_ENGINE_AWS)
		return open_aws(r, fail);
	return open_embedded(r, fail);
}

static bool all_failed(uint64_t groups, uint64_t failed)
{
	return failed > 0 && failed == groups;
}

/* Whether the store takes writes: what /ready says, and a line in the log when it changes. */
static void watch_store(struct runtime *r)
{
	struct embedded_stats s;
	struct ev_fail fail;
	uint64_t groups, failed;
	bool was = atomic_load(&r->store_failing);

	embedded_stats(r->engine, &s);
	groups = s.groups - r->seen_groups;
	failed = s.failed_groups - r->seen_failed_groups;
	r->seen_groups = s.groups;
	r->seen_failed_groups = s.failed_groups;
	if (!was && all_failed(groups, failed)) {
		embedded_last_fail(r->engine, &fail);
		ev_error(r->log, "store.failing", EV_KZ("error", fail.text));
		atomic_store(&r->store_failing, true);
	} else if (was && groups > failed) {
		ev_info(r->log, "store.recovered", EV_KU64("failed", s.failed_groups));
		atomic_store(&r->store_failing, false);
	}
}

/* What a reload has left for the writer's thread; it comes into force at once. */
static void take_retention(struct runtime *r)
{
	pthread_mutex_lock(&r->lock);
	if (r->retention_is_new) {
		embedded_set_retention(r->engine, &r->retention);
		r->retain_due_ns = 0;
	}
	r->retention_is_new = false;
	pthread_mutex_unlock(&r->lock);
}

static void leave_retention(struct runtime *r)
{
	pthread_mutex_lock(&r->lock);
	r->retention = retention_of(&r->config);
	r->retention_is_new = true;
	pthread_mutex_unlock(&r->lock);
}

/* On the writer's thread: old rows go in small pieces, so that nobody waits long for one. */
static void maintain(void *user, int64_t now_ns)
{
	struct runtime *r = user;
	int64_t mono_ns = ev_clock_mono_ns(r->clock);
	bool more = false;

	watch_store(r);
	take_retention(r);
	if (mono_ns < r->retain_due_ns)
		return;
	if (embedded_retain(r->engine, now_ns, &more) != EV_OK)
		more = false;
	r->retain_due_ns = mono_ns + (more ? EV_NS_PER_S : RETAIN_EVERY_NS);
}

/* --- the loop and its workers --- */

static void wake_loop(void *user)
{
	struct runtime *r = user;

	net_wake_signal(r->wake);
}

static void on_wake(void *user)
{
	struct runtime *r = user;

	host_reap(r->host);
}

static void on_command(void *user, const struct device_command *c)
{
	struct runtime *r = user;

	gateway_on_command(r->main.gateway, c);
}

static void on_arrival(void *user, const struct arrival *a)
{
	struct runtime *r = user;

	gateway_on_arrival(r->main.gateway, a);
}

static void on_event(void *user, const struct stored_event *e)
{
	struct runtime *r = user;

	api_on_event(r->main.api, e);
}

static void flush(void *user)
{
	struct runtime *r = user;

	host_flush(r->host);
}

static void run_on_aws(void *user, struct job **jobs, size_t n)
{
	struct runtime *r = user;

	aws_runtime_run(r->aws, jobs, n);
}

static void counted_on_aws(void *user, struct pump_snapshot *out)
{
	struct runtime *r = user;

	aws_runtime_counted(r->aws, out);
}

static void use_aws(struct runtime *r, struct host_config *c)
{
	c->run = run_on_aws;
	c->counted = counted_on_aws;
	c->run_user = r;
	c->clock = r->clock;
}

static void use_pump(struct runtime *r, struct host_config *c)
{
	struct outlet_rules rules = rules_of(&r->config);

	pump_init(&r->pump, embedded_store(r->engine), r->clock, &r->writer_rng.base, &rules);
	r->has_pump = true;
	c->pump = &r->pump;
	c->maintain = maintain;
	c->maintain_user = r;
}

static ev_err start_host(struct runtime *r)
{
	struct host_config c = {
		.query = r->query,
		.group_max = GROUP_MAX,
		.queue_max = QUEUE_MAX,
		.loop = { .wake = wake_loop,
			  .on_command = on_command,
			  .on_event = on_event,
			  .on_arrival = on_arrival,
			  .user = r },
	};
	ev_err e = net_wake_new(r->loop, on_wake, r, &r->wake);

	if (e != EV_OK)
		return e;
	if (r->aws != NULL)
		use_aws(r, &c);
	else
		use_pump(r, &c);
	e = host_new(&c, &r->host);
	r->flush_hook = (struct net_hook){ .fn = flush, .user = r };
	if (e == EV_OK)
		net_loop_add_hook(r->loop, &r->flush_hook);
	return e;
}

/* --- every second --- */

static void on_tick_done(struct job_owner *owner, struct job *j)
{
	struct runtime *r = (void *)((char *)owner - offsetof(struct runtime, tick_owner));

	r->ticking = false;
	if (j->err == EV_OK && r->tick.more && !r->draining)
		net_timer_arm(r->loop, &r->tick_timer, 1);
}

static void submit_tick(struct runtime *r)
{
	if (r->ticking || r->draining)
		return;
	r->ticking = true;
	r->tick_owner.done = on_tick_done;
	r->tick = (struct tick_job){
		.job = { .kind = JOB_TICK,
			 .owner = &r->tick_owner,
			 .at_ns = ev_clock_wall_ns(r->clock) },
	};
	host_submit(r->host, &r->tick.job);
}

static void refresh_credentials(struct runtime *r)
{
	struct ev_fail fail = { .code = EV_OK };
	bool changed = false;

	if (credentials_refresh(r->credentials, &changed, &fail) != EV_OK)
		ev_warn(r->log, "credentials.unreadable", EV_KZ("error", fail.text));
	else if (changed)
		ev_info(r->log, "credentials.read",
			EV_KU64("n", credentials_count(r->credentials)));
}

static void on_tick(void *user)
{
	struct runtime *r = user;

	submit_tick(r);
	refresh_credentials(r);
	api_tick(r->main.api);
	net_timer_arm(r->loop, &r->tick_timer, TICK_MS);
}

/* --- ending --- */

static bool is_idle(const struct runtime *r)
{
	struct host_stats s = host_stats(r->host);

	return s.waiting == 0 && s.queries == 0;
}

static void stop_if_idle(void *user)
{
	struct runtime *r = user;

	if (!r->drained)
		return;
	if (is_idle(r) && runtime_loops_have_ended(r))
		net_loop_stop(r->loop);
	else
		net_timer_arm(r->loop, &r->tick_timer, 20);
}

static void on_drained(void *user)
{
	struct runtime *r = user;

	r->drained = true;
	net_timer_init(&r->tick_timer, stop_if_idle, r);
	net_timer_arm(r->loop, &r->tick_timer, 1);
}

/* All that devices sent is answered: now the connections may go. */
static void on_devices_answered(void *user)
{
	struct runtime *r = user;

	net_server_drain(r->server, r->config.drain_timeout_ns / EV_NS_PER_MS, on_drained, r);
}

void runtime_stop(struct runtime *r)
{
	if (atomic_exchange(&r->draining, true))
		return;
	sd_notify(0, "STOPPING=1");
	ev_info(r->log, "server.draining",
		EV_KU64("connections",
			net_server_connections(r->server) + runtime_loops_devices(r)));
	net_timer_cancel(r->loop, &r->tick_timer);
	api_drain(r->main.api);
	gateway_drain(r->main.gateway, on_devices_answered, r);
	runtime_loops_drain(r);
	if (r->aws != NULL)
		aws_runtime_stop(r->aws);
}

static void on_stop_signal(void *user)
{
	struct runtime *r = user;

	if (r->options.on_stop_signal != NULL)
		r->options.on_stop_signal(r->options.stop_user);
	else
		runtime_stop(r);
}

/* --- reloading --- */

static void warn_restart(struct runtime *r, const struct config_diff *d)
{
	for (size_t i = 0; i < d->n_restart; i++)
		ev_warn(r->log, "config.needs_restart", EV_KZ("key", d->restart[i]->name));
}

static void reload_config(struct runtime *r)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config fresh;
	struct config_diff diff;
	struct runtime_settings settings;

	if (r->options.reload == NULL)
		return;
	if (r->options.reload(r->options.reload_user, &fresh, &fail) != EV_OK) {
		ev_error(r->log, "config.invalid", EV_KZ("error", fail.text));
		return;
	}
	config_diff_reloadable(&r->config, &fresh, &diff);
	warn_restart(r, &diff);
	config_apply_reloadable(&r->config, &fresh);
	atomic_store(&r->log->level, r->config.log_level);
	api_set_stuck_after(r->main.api, r->config.stuck_after_ns);
	settings = runtime_settings_of(&r->config);
	gateway_set_limits(r->main.gateway, settings.max_outstanding, &settings.limits);
	for (int l = 0; l < RUNTIME_LISTENERS; l++) {
		if (r->listeners[l] != NULL)
			net_listener_set_max_per_address(r->listeners[l], settings.max_per_address);
	}
	leave_retention(r);
	ev_info(r->log, "config.reloaded", EV_KU64("changed", diff.n_reloadable));
}

static void on_reload_signal(void *user)
{
	struct runtime *r = user;
	struct ev_fail fail = { .code = EV_OK };

	reload_config(r);
	refresh_credentials(r);
	runtime_loops_reload(r);
	if (net_server_reload_tls(r->server, &fail) != EV_OK)
		ev_error(r->log, "tls.unusable", EV_KZ("error", fail.text));
}

/* --- starting --- */

/* A process may have few descriptors: take all there are, and say so. */
static void raise_descriptors(struct ev_log *log)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0)
		ev_warn(log, "server.descriptors", EV_KU64("errno", (uint64_t)errno));
	ev_info(log, "server.descriptors", EV_KU64("limit", (uint64_t)l.rlim_cur));
}

static ev_err open_loop(struct runtime *r, struct ev_fail *fail)
{
	ev_err e = net_loop_new(&r->loop);

	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "no event loop: %s", ev_err_text(e));
	ev_metrics_init(&r->metrics);
	e = net_server_new(r->loop, &r->metrics, &r->server, fail);
	if (e != EV_OK)
		return e;
	net_timer_init(&r->tick_timer, on_tick, r);
	/* A file that may not grow further fails its write, as on a full disk. */
	(void)signal(SIGXFSZ, SIG_IGN);
	e = net_loop_on_signal(r->loop, SIGTERM, on_stop_signal, r);
	if (e == EV_OK)
		e = net_loop_on_signal(r->loop, SIGINT, on_stop_signal, r);
	if (e == EV_OK)
		e = net_loop_on_signal(r->loop, SIGHUP, on_reload_signal, r);
	return e == EV_OK ? EV_OK : ev_fail_set(fail, e, 0, "signals: %s", ev_err_text(e));
}

static ev_err open_credentials(struct runtime *r, struct ev_fail *fail)
{
	uint64_t seed[2];
	ev_err e;

	ev_rng_fill(&r->rng.base, seed, sizeof(seed));
	e = credentials_open(&r->credentials, r->config.data, seed, fail);
	if (e == EV_OK && credentials_are_exposed(r->credentials))
		ev_warn(r->log, "credentials.exposed", EV_KZ("file", CREDENTIALS_FILE));
	return e;
}

static ev_err start(struct runtime *r, struct ev_fail *fail)
{
	ev_err e = open_loop(r, fail);

	if (e == EV_OK)
		e = open_engine(r, fail);
	if (e == EV_OK)
		e = open_credentials(r, fail);
	if (e != EV_OK)
		return e;
	e = start_host(r);
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "threads: %s", ev_err_text(e));
	e = runtime_loops_open(r, fail);
	if (e == EV_OK)
		e = runtime_listen(r, fail);
	if (e == EV_OK)
		e = runtime_loops_start(r, fail);
	if (e == EV_OK)
		net_timer_arm(r->loop, &r->tick_timer, 1);
	return e;
}

ev_err runtime_new(const struct runtime_options *o, struct runtime **out, struct ev_fail *fail)
{
	struct runtime *r = calloc(1, sizeof(*r));
	ev_err e;

	if (r == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	r->options = *o;
	r->config = *o->config;
	r->log = o->log;
	r->clock = ev_clock_os();
	if (pthread_mutex_init(&r->lock, NULL) != 0) {
		free(r);
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	}
	ev_rng_os_init(&r->rng);
	ev_rng_os_init(&r->writer_rng);
	raise_descriptors(r->log);
	e = start(r, fail);
	if (e != EV_OK) {
		runtime_free(r);
		return e;
	}
	*out = r;
	return EV_OK;
}

void runtime_run(struct runtime *r)
{
	sd_notify(0, "READY=1");
	net_loop_run(r->loop);
	ev_info(r->log, "server.stopped", EV_KU64("jobs", host_stats(r->host).batches));
}

/* What is under way is given back while those it goes to are there. */
static void settle(struct runtime *r)
{
	while (!is_idle(r))
		net_loop_turn(r->loop, 10);
}

/* The connections go before the threads, as their ends tell the host; the gateway after both. */
void runtime_free(struct runtime *r)
{
	if (r == NULL)
		return;
	if (r->host != NULL) {
		atomic_store(&r->draining, true);
		runtime_loops_end(r);
		settle(r);
		net_loop_remove_hook(r->loop, &r->flush_hook);
		net_server_free(r->server);
		r->server = NULL;
	}
	if (r->aws != NULL)
		aws_runtime_quiet(r->aws); /* its threads tell the host of commands */
	host_free(r->host);
	if (r->has_pump)
		pump_deinit(&r->pump);
	runtime_loops_free(r);
	runtime_side_close(&r->main);
	net_server_free(r->server);
	net_quota_free(r->quota);
	gateway_rates_free(r->rates);
	net_wake_free(r->wake);
	net_loop_free(r->loop);
	if (r->query != NULL && r->aws == NULL)
		r->query->ops->free(r->query);
	embedded_free(r->engine);
	aws_runtime_free(r->aws);
	credentials_free(r->credentials);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

struct net_loop *runtime_loop(struct runtime *r)
{
	return r->loop;
}
