/* cli/cmd_simulate.c — `evcharge simulate`: a fleet against a running server, and its account. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/simulation.h"

#define WIND_UP_LIMIT_S 60
#define FOR_DEFAULT_S 60
#define LINE_EVERY_NS (10 * EV_NS_PER_S)
#define TERMINAL_EVERY_NS (EV_NS_PER_S / 4)

static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
	(void)signum;
	interrupted = 1;
}

static void print_energy(FILE *out, int64_t mwh)
{
	fprintf(out, "%lld.%03lld kWh", (long long)(mwh / 1000000), (long long)(mwh / 1000 % 1000));
}

static void print_progress(const struct simulation *s, const char *what, bool terminal)
{
	struct simulation_summary sum;

	simulation_summary(s, &sum);
	fprintf(stderr,
		"%s%s %lld s: %zu of %zu outlets connected, %zu charging, %llu sessions, "
		"%llu messages, ",
		terminal ? "\r" : "", what, (long long)(sum.real_ns / EV_NS_PER_S), sum.connected,
		sum.outlets, sum.charging, (unsigned long long)sum.sessions,
		(unsigned long long)sum.answers);
	print_energy(stderr, sum.acknowledged_mwh);
	fputs(terminal ? "\033[K" : "\n", stderr);
}

struct progress {
	bool terminal;
	int64_t last_ns;
};

static void show_progress(struct progress *p, const struct simulation *s, const char *what)
{
	int64_t now_ns = ev_clock_mono_ns(ev_clock_os());

	if (now_ns - p->last_ns < (p->terminal ? TERMINAL_EVERY_NS : LINE_EVERY_NS))
		return;
	p->last_ns = now_ns;
	print_progress(s, what, p->terminal);
}

static void run_for(struct simulation *s, int64_t run_ns, struct progress *p)
{
	int64_t end_ns = ev_clock_mono_ns(ev_clock_os()) + run_ns;

	while (interrupted == 0 && ev_clock_mono_ns(ev_clock_os()) < end_ns) {
		simulation_step(s, 50);
		show_progress(p, s, "running");
	}
}

static void wind_up(struct simulation *s, struct progress *p)
{
	int64_t end_ns = ev_clock_mono_ns(ev_clock_os()) + WIND_UP_LIMIT_S * EV_NS_PER_S;

	simulation_wind_up(s);
	while (!simulation_is_over(s) && ev_clock_mono_ns(ev_clock_os()) < end_ns) {
		simulation_step(s, 50);
		show_progress(p, s, "winding up");
	}
	if (p->terminal)
		fputs("\r\033[K", stderr);
}

static void print_summary(const struct simulation_summary *sum, bool verified)
{
	printf("outlets       %zu, connected %llu times, %llu connections lost by the server\n",
	       sum->outlets, (unsigned long long)sum->connects, (unsigned long long)sum->lost);
	printf("sessions      %llu, and %llu visitors went without\n",
	       (unsigned long long)sum->sessions, (unsigned long long)sum->denied);
	printf("messages      %llu, %llu of them sent again, %llu rejected; %llu commands\n",
	       (unsigned long long)sum->messages, (unsigned long long)sum->resent,
	       (unsigned long long)sum->rejected, (unsigned long long)sum->commands);
	printf("app           %llu calls, %llu in vain\n", (unsigned long long)sum->app_calls,
	       (unsigned long long)sum->app_failures);
	printf("acknowledged  ");
	print_energy(stdout, sum->acknowledged_mwh);
	printf(" (%lld mWh)\n", (long long)sum->acknowledged_mwh);
	if (!verified)
		return;
	printf("totals grew   ");
	print_energy(stdout, sum->server_mwh);
	printf(" (%lld mWh), %zu outlets differ; the books %s\n", (long long)sum->server_mwh,
	       sum->differing, sum->balanced ? "balance" : "do not balance");
}

static void print_json(const struct simulation_summary *sum)
{
	printf("{\"outlets\":%zu,\"connects\":%llu,\"lost\":%llu,\"sessions\":%llu,\"denied\":%llu,"
	       "\"messages\":%llu,\"resent\":%llu,\"rejected\":%llu,\"commands\":%llu,"
	       "\"appCalls\":%llu,\"appFailures\":%llu,\"protocolFaults\":%llu,"
	       "\"acknowledgedMwh\":%lld,\"serverMwh\":%lld,\"differing\":%zu,\"balanced\":%s}\n",
	       sum->outlets, (unsigned long long)sum->connects, (unsigned long long)sum->lost,
	       (unsigned long long)sum->sessions, (unsigned long long)sum->denied,
	       (unsigned long long)sum->messages, (unsigned long long)sum->resent,
	       (unsigned long long)sum->rejected, (unsigned long long)sum->commands,
	       (unsigned long long)sum->app_calls, (unsigned long long)sum->app_failures,
	       (unsigned long long)sum->protocol_faults, (long long)sum->acknowledged_mwh,
	       (long long)sum->server_mwh, sum->differing, sum->balanced ? "true" : "false");
}

static int account(struct simulation *s, bool json)
{
	struct ev_fail fail = { .code = EV_OK };
	struct simulation_summary sum;
	ev_err e = simulation_verify(s, &fail);

	simulation_summary(s, &sum);
	if (json)
		print_json(&sum);
	else
		print_summary(&sum, e == EV_OK || e == EV_CORRUPT);
	return e == EV_OK ? CLI_OK : cli_fail(&fail);
}

static ev_err read_number(const struct args *a, const char *name, uint64_t max, uint64_t *out,
			  struct ev_fail *fail)
{
	const char *text = args_get(a, name);

	if (text == NULL)
		return EV_OK;
	if (num_parse_u64(ev_str_from(text), out) != EV_OK || *out > max)
		return ev_fail_set(fail, EV_INVALID, 0, "--%s: %.40s is no number from 0 to %llu",
				   name, text, (unsigned long long)max);
	return EV_OK;
}

struct plan {
	struct simulation_options options;
	uint64_t seconds;
};

static ev_err read_options(const struct args *a, struct plan *out, struct ev_fail *fail)
{
	struct simulation_options *o = &out->options;
	uint64_t outlets = o->n_outlets, customers = 0, speed = o->speed;
	uint64_t minutes = o->connection_min;
	ev_err e = read_number(a, "outlets", SIMULATION_OUTLETS_MAX, &outlets, fail);

	if (e == EV_OK)
		e = read_number(a, "customers", SIMULATION_OUTLETS_MAX, &customers, fail);
	if (e == EV_OK)
		e = read_number(a, "for", 86400 * 365, &out->seconds, fail);
	if (e == EV_OK)
		e = read_number(a, "speed", SIMULATION_SPEED_MAX, &speed, fail);
	if (e == EV_OK)
		e = read_number(a, "seed", UINT64_MAX, &o->seed, fail);
	if (e == EV_OK)
		e = read_number(a, "connections-live", 1000000, &minutes, fail);
	o->n_outlets = (size_t)outlets;
	o->n_customers = (size_t)(customers > 0 ? customers : outlets);
	o->speed = (unsigned)speed;
	o->connection_min = (unsigned)minutes;
	o->reuse = args_has(a, "reuse");
	return e;
}

static void watch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	/* Neither can fail for these signals.  The second interrupt ends the process as usual. */
	action.sa_flags = (int)SA_RESETHAND;
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static int run_simulate(const struct args *a)
{
	EV_CLEANUP(simulation_freep) struct simulation *s = NULL;
	struct plan plan = { .options = simulation_options_usual(), .seconds = FOR_DEFAULT_S };
	struct progress progress = { .terminal = isatty(STDERR_FILENO) == 1,
				     .last_ns = ev_clock_mono_ns(ev_clock_os()) };
	struct ev_fail fail = { .code = EV_OK };
	struct client c;
	ev_err e = read_options(a, &plan, &fail);

	if (e == EV_OK)
		e = client_open(&c, a, &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	plan.options.outlet_url = c.urls[CLIENT_OUTLET];
	plan.options.app_url = c.urls[CLIENT_APP];
	plan.options.gateway_url = c.urls[CLIENT_GATEWAY];
	plan.options.token = c.token;
	plan.options.ca = c.ca;
	plan.options.clock = ev_clock_os();
	watch_signals();
	if (simulation_new(&s, &plan.options, &fail) != EV_OK)
		return cli_fail(&fail);
	run_for(s, (int64_t)plan.seconds * EV_NS_PER_S, &progress);
	wind_up(s, &progress);
	return account(s, c.json);
}

static const struct arg_option options[] = {
	{ "outlets", "N", "how many (10)" },
	{ "customers", "N", "how many (as many as outlets)" },
	{ "for", "SECONDS", "real seconds, without the winding up (60)" },
	{ "speed", "N", "virtual seconds in a real one (1)" },
	{ "seed", "N", "of what the visitors do (1)" },
	{ "connections-live", "MINUTES", "virtual, on average; 0: none is dropped (30)" },
	{ "reuse", NULL, "take idle outlets of earlier simulations first" },
};

static const struct cli_verb verbs[] = {
	{ .name = "",
	  .params = "",
	  .help = "Makes outlets and customers, charges, drops connections, then compares:\n"
		  "      fails unless each outlet's total grew by exactly what was acknowledged.",
	  .options = ARG_OPTIONS(options),
	  .run = run_simulate },
};

static const struct cli_command command = {
	.name = "simulate",
	.summary = "devices and customers against a running server",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
	.common = { client_options, CLIENT_N_OPTIONS },
};

int cmd_simulate(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
