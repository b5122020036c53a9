/* world.c — a life: chance, time, and one step after the other. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "simaws/sim.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)
#define LONG_LIFE 4

uint64_t sim_below(struct sim *s, uint64_t n)
{
	return ev_rng_below(&s->rng.base, n);
}

bool sim_chance(struct sim *s, unsigned percent)
{
	return sim_below(s, 100) < percent;
}

struct rfid_tag sim_tag(const char *text)
{
	struct rfid_tag t = { .n = (uint8_t)strlen(text) };

	memcpy(t.s, text, t.n);
	return t;
}

int64_t sim_now(struct sim *s)
{
	return ev_clock_wall_ns(&s->clock.base);
}

int64_t sim_mono(struct sim *s)
{
	return ev_clock_mono_ns(&s->clock.base);
}

void sim_advance(struct sim *s, int64_t ns)
{
	ev_clock_manual_advance(&s->clock, ns);
	if (sim_now(s) > s->latest_ns)
		s->latest_ns = sim_now(s);
}

void sim_trace(struct sim *s, const char *fmt, ...)
{
	va_list args;

	if (!s->verbose)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->failure, sizeof(s->failure), fmt, args);
	va_end(args);
	longjmp(s->failed, 1);
}

void sim_fail_later(struct sim *s, const char *fmt, ...)
{
	va_list args;

	if (s->failure[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(s->failure, sizeof(s->failure), fmt, args);
	va_end(args);
}

/* --- time --- */

static void jump(struct sim *s)
{
	static const int64_t spans[] = { EV_NS_PER_S, 30 * EV_NS_PER_S, 10 * EV_NS_PER_MIN,
					 EV_NS_PER_HOUR };
	int64_t by = (int64_t)sim_below(s, (uint64_t)spans[sim_below(s, EV_ARRAY_LEN(spans))]) + 1;
	bool back = sim_chance(s, 50);

	ev_clock_manual_set_wall(&s->clock, sim_now(s) + (back ? -by : by));
	s->went_back = s->went_back || back;
	s->reached->clock_jumps++;
	if (sim_now(s) > s->latest_ns)
		s->latest_ns = sim_now(s);
	sim_trace(s, "  the clock jumps %s by %lld s", back ? "back" : "forward",
		  (long long)(by / EV_NS_PER_S));
}

static void pass_time(struct sim *s)
{
	uint64_t dice = sim_below(s, 1000);
	uint64_t span = dice < 700   ? EV_NS_PER_S / 2
			: dice < 950 ? 5 * EV_NS_PER_S
			: dice < 995 ? EV_NS_PER_MIN
				     : 10 * EV_NS_PER_MIN;

	sim_advance(s, (int64_t)sim_below(s, span) + EV_NS_PER_MS);
	if (s->jumpy && sim_chance(s, 1))
		jump(s);
}

/* --- a step --- */

static void mix(struct sim *s, uint64_t word)
{
	s->digest = (s->digest ^ word) * 0x100000001b3U;
}

static void take_step(struct sim *s)
{
	s->step++;
	s->reached->steps++;
	pass_time(s);
	sim_trace(s, "step %llu, %lld ms", (unsigned long long)s->step,
		  (long long)(sim_mono(s) / EV_NS_PER_MS));
	if (sim_chance(s, 80))
		devices_act(s);
	if (sim_chance(s, 18))
		people_act(s);
	if (s->reshards && sim_chance(s, 1))
		faults_reshard(s);
	if (s->rough && sim_chance(s, 1))
		faults_poison(s);
	gateway_step(s);
	processes_step(s);
	books_check(s);
	mix(s, (uint64_t)sim_now(s));
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		mix(s,
		    s->before[i].outlet.version ^ (uint64_t)s->before[i].outlet.total_energy_mwh);
}

/* --- a life --- */

static void draw_life(struct sim *s)
{
	s->rules = outlet_rules_default();
	s->rules.report_while_stopping = sim_chance(s, 50);
	s->rules.notify_denials = sim_chance(s, 85);
	s->jumpy = sim_chance(s, 25);
	s->racy = sim_chance(s, 60);
	s->slow = sim_chance(s, 25);
	s->reshards = sim_chance(s, 30);
	s->rough = sim_chance(s, 60);
}

static void open_life(struct sim *s, uint64_t seed)
{
	struct sim kept = { .reached = s->reached, .verbose = s->verbose, .plant = s->plant };

	memset(s, 0, sizeof(*s));
	s->reached = kept.reached;
	s->verbose = kept.verbose;
	s->plant = kept.plant;
	s->seed = seed;
	s->digest = 0xcbf29ce484222325U;
	ev_rng_seeded_init(&s->rng, seed);
	ev_rng_seeded_init(&s->ids, seed ^ 0x5eed);
	ev_clock_manual_init(&s->clock, START_NS);
	s->latest_ns = START_NS;
	draw_life(s);
	faults_open(s);
}

static void close_life(struct sim *s)
{
	processes_close(s);
	s->reached->calls += cloud_n_calls(s->cloud, AWS_SQS, NULL) +
			     cloud_n_calls(s->cloud, AWS_KINESIS, NULL) +
			     cloud_n_calls(s->cloud, AWS_DYNAMODB, NULL);
	for (unsigned f = CLOUD_FINE + 1; f < CLOUD_FAULT_COUNT; f++)
		s->reached->faults += cloud_n_faults(s->cloud, (enum cloud_fault)f);
	cloud_free(s->cloud);
	free(s->messages);
}

static void live(struct sim *s, uint64_t steps)
{
	if (sim_chance(s, 10))
		steps *= LONG_LIFE;
	sim_trace(s, "seed %llu: jumpy %d, racy %d, slow %d, reshards %d, rough %d",
		  (unsigned long long)s->seed, s->jumpy, s->racy, s->slow, s->reshards, s->rough);
	s->calm = true;
	processes_open(s);
	devices_open(s);
	people_open(s);
	s->calm = false;
	faults_draw(s);
	while (s->step < steps)
		take_step(s);
	sim_rest(s);
	s->reached->rests++;
}

bool sim_live(struct sim *s, uint64_t seed, uint64_t steps)
{
	open_life(s, seed);
	if (setjmp(s->failed) == 0)
		live(s, steps);
	close_life(s);
	return s->failure[0] == '\0';
}
