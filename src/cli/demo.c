/*
 * cli/demo.c — `evcharge demo`: a server on a temporary directory, six simulated outlets and four
 * customers, and a table that shows them charging.
 *
 * The server has the main thread, the simulation a thread of its own and real sockets in between.
 * Whoever ends it (--for, Ctrl-C) lets the visitors leave, and the books are checked.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/demo_table.h"
#include "cli/remove_tree.h"
#include "cli/runtime.h"
#include "cli/simulation.h"

#define OUTLETS 6
#define CUSTOMERS 4
#define SPEED 60 /* a minute of theirs is a second of ours */
#define TABLE_EVERY_NS (EV_NS_PER_S / 2)
#define WIND_UP_NS (20 * EV_NS_PER_S)

struct demo {
	struct runtime *runtime;
	struct net_wake *over; /* the simulation's thread to the loop's */
	char urls[RUNTIME_LISTENERS][RUNTIME_URL_MAX];
	int64_t for_ns; /* 0: until somebody ends it */
	atomic_bool ending;
	bool ok; /* the simulation's; read once its thread has ended */
};

/* --- the simulation's thread --- */

static void watch(struct demo *d, struct simulation *s, struct demo_table *table)
{
	struct ev_clock *clock = ev_clock_os();
	int64_t begun_ns = ev_clock_mono_ns(clock);
	int64_t shown_ns = 0;

	for (;;) {
		int64_t now_ns = ev_clock_mono_ns(clock);

		if (atomic_load(&d->ending) || (d->for_ns != 0 && now_ns - begun_ns >= d->for_ns))
			return;
		if (now_ns - shown_ns >= TABLE_EVERY_NS) {
			demo_table_show(table, s);
			shown_ns = now_ns;
		}
		simulation_step(s, 10);
	}
}

static void wind_up(struct simulation *s)
{
	struct ev_clock *clock = ev_clock_os();
	int64_t begun_ns = ev_clock_mono_ns(clock);

	simulation_wind_up(s);
	while (!simulation_is_over(s) && ev_clock_mono_ns(clock) - begun_ns < WIND_UP_NS)
		simulation_step(s, 10);
}

static void print_summary(const struct simulation *s, const char *fault)
{
	struct simulation_summary sum;
	char text[96];
	struct ev_buf kwh = ev_buf_over(text, sizeof(text) - 1);

	simulation_summary(s, &sum);
	num_write_mwh(&kwh, sum.acknowledged_mwh);
	text[kwh.len] = '\0';
	printf("\n%llu sessions, %llu messages (%llu sent again), %llu commands; "
	       "acknowledged %s kWh\n",
	       (unsigned long long)sum.sessions, (unsigned long long)sum.messages,
	       (unsigned long long)sum.resent, (unsigned long long)sum.commands, text);
	if (fault == NULL)
		printf("every outlet's total grew by exactly what it reported, "
		       "and the books balance\n");
	else
		printf("THE ENERGY DOES NOT ADD UP: %s\n", fault);
}

/* Visitors who come at once and stay, so that all outlets are seen charging. */
static struct sim_habits demo_habits(void)
{
	struct sim_habits h = sim_habits_usual();

	h.idle_min_ns = EV_NS_PER_S;
	h.idle_max_ns = 2 * EV_NS_PER_MIN;
	h.think_min_ns = 5 * EV_NS_PER_S;
	h.think_max_ns = EV_NS_PER_MIN;
	h.session_min_ns = 30 * EV_NS_PER_MIN;
	h.session_max_ns = 2 * EV_NS_PER_HOUR;
	h.strangers = 5;
	return h;
}

static bool simulate(struct demo *d, struct ev_fail *fail)
{
	struct simulation_options o = simulation_options_usual();
	struct simulation *s = NULL;
	struct demo_table table;

	o.outlet_url = d->urls[RUNTIME_OUTLET];
	o.app_url = d->urls[RUNTIME_APP];
	o.gateway_url = d->urls[RUNTIME_GATEWAY];
	o.clock = ev_clock_os();
	o.n_outlets = OUTLETS;
	o.n_customers = CUSTOMERS;
	o.speed = SPEED;
	o.habits = demo_habits();
	o.seed = (uint64_t)ev_clock_wall_ns(o.clock);
	if (simulation_new(&s, &o, fail) != EV_OK)
		return false;
	demo_table_init(&table, isatty(STDOUT_FILENO) == 1);
	watch(d, s, &table);
	printf("\nending: the visitors leave\n");
	wind_up(s);

	bool ok = simulation_verify(s, fail) == EV_OK;

	print_summary(s, ok ? NULL : fail->text);
	simulation_free(s);
	return ok;
}

static void *run_simulation(void *arg)
{
	struct demo *d = arg;
	struct ev_fail fail = { .code = EV_OK };

	d->ok = simulate(d, &fail);
	if (!d->ok)
		fprintf(stderr, "evcharge demo: %s\n", fail.text);
	fflush(stdout);
	net_wake_signal(d->over);
	return NULL;
}

/* --- the server's thread --- */

static void on_over(void *user)
{
	struct demo *d = user;

	runtime_stop(d->runtime);
}

static void on_stop_signal(void *user)
{
	struct demo *d = user;

	atomic_store(&d->ending, true);
}

static void print_hints(const struct demo *d, const char *dir)
{
	const char *outlet = d->urls[RUNTIME_OUTLET], *app = d->urls[RUNTIME_APP];

	printf("evcharge demo: %d outlets and %d customers; a second here is a minute of theirs\n\n"
	       "  outlets  %s    customers  %s    devices  %s\n"
	       "  data     %s\n\n"
	       "try, in another terminal:\n"
	       "  curl -s %s/api/chargers          # all outlets\n"
	       "  curl -s %s/api/sessions          # who charges\n"
	       "  curl -sN %s/api/events           # every charging event as it happens\n"
	       "  curl -s %s/api/books             # do the books balance?\n"
	       "  curl -s %s/metrics               # what is counted\n\n",
	       OUTLETS, CUSTOMERS, outlet, app, d->urls[RUNTIME_GATEWAY], dir, outlet, app, outlet,
	       outlet, outlet);
	fflush(stdout);
}

static int run_threads(struct demo *d)
{
	pthread_t thread;

	if (net_wake_new(runtime_loop(d->runtime), on_over, d, &d->over) != EV_OK ||
	    pthread_create(&thread, NULL, run_simulation, d) != 0) {
		fprintf(stderr, "evcharge demo: out of memory\n");
		net_wake_free(d->over);
		return CLI_FAILED;
	}
	runtime_run(d->runtime);
	pthread_join(thread, NULL);
	net_wake_free(d->over);
	return d->ok ? CLI_OK : CLI_FAILED;
}

/* The usual ports if they are free, else any. */
static ev_err start(struct demo *d, struct config *c, struct ev_log *log, struct ev_fail *fail)
{
	struct runtime_options o = {
		.config = c, .log = log, .on_stop_signal = on_stop_signal, .stop_user = d
	};
	ev_err e = runtime_new(&o, &d->runtime, fail);

	if (e != EV_EXISTS)
		return e;
	c->outlet_listen.port = 0;
	c->app_listen.port = 0;
	c->gateway_listen.port = 0;
	return runtime_new(&o, &d->runtime, fail);
}

static int run_in(struct demo *d, const char *dir)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config c;
	struct ev_log log;
	int code;

	config_init(&c);
	snprintf(c.data, sizeof(c.data), "%s", dir);
	c.log_level = EV_LOG_WARN;
	serve_log_init(&log, &c);
	if (start(d, &c, &log, &fail) != EV_OK) {
		fprintf(stderr, "evcharge demo: %s\n", fail.text);
		return CLI_FAILED;
	}
	for (int l = 0; l < RUNTIME_LISTENERS; l++)
		runtime_url(d->runtime, (enum runtime_listener)l, d->urls[l]);
	print_hints(d, dir);
	code = run_threads(d);
	runtime_free(d->runtime);
	return code;
}

static int run_demo(const struct args *a)
{
	struct demo d = { .ok = false };
	const char *seconds = args_get(a, "for");
	const char *tmp = getenv("TMPDIR");
	char dir[CONFIG_TEXT_MAX + 1];
	uint64_t n = 0;
	int code;

	if (seconds != NULL &&
	    (num_parse_u64(ev_str_from(seconds), &n) != EV_OK || n == 0 || n > 1000000)) {
		fprintf(stderr, "evcharge demo: --for takes a number of seconds, not %s\n",
			seconds);
		return CLI_USAGE;
	}
	d.for_ns = (int64_t)n * EV_NS_PER_S;
	snprintf(dir, sizeof(dir), "%s/evcharge-demo-XXXXXX",
		 tmp != NULL && strlen(tmp) < 100 ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL) {
		perror("evcharge demo: a temporary directory");
		return CLI_FAILED;
	}
	code = run_in(&d, dir);
	remove_tree(dir);
	return code;
}

static const struct arg_option options[] = {
	{ "for", "SECONDS", "end by itself after so long, with a summary" },
};

static const struct cli_verb verbs[] = {
	{
		.name = "",
		.params = "",
		.help = "Ends with 0 only if all energy adds up.",
		.options = ARG_OPTIONS(options),
		.run = run_demo,
	},
};

int cmd_demo(int argc, char **argv)
{
	static const struct cli_command command = {
		.name = "demo",
		.summary = "a server with six simulated outlets on a temporary directory",
		.verbs = verbs,
		.n_verbs = EV_ARRAY_LEN(verbs),
	};

	return cli_run(&command, argc, argv);
}
