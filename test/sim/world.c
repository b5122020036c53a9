/* world.c — a life: chance, time, and one step after the other. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "sim.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)
#define LONG_LIFE 6

const char *sim_mode_text(enum sim_mode m)
{
	return m == SIM_ONE ? "one" : "split";
}

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

/* --- time --- */

static void jump(struct sim *s)
{
	static const int64_t spans[] = { EV_NS_PER_S, 30 * EV_NS_PER_S, 10 * EV_NS_PER_MIN,
					 3 * EV_NS_PER_HOUR };
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

	sim_advance(s, (int64_t)sim_below(s, span) + 1);
	if (s->jumpy && sim_chance(s, 1))
		jump(s);
}

/* --- a step --- */

static void tick(struct sim *s)
{
	struct sim_process *p = sim_outlet_process(s);

	s->tick_was_clean = false;
	sim_tick(p);
	/* A stop that is repeated long after its time is over at once: it takes a second. */
	if (s->tick_was_clean)
		sim_tick(p);
	if (s->tick_was_clean)
		books_check_tick(s);
}

static void processes_step(struct sim *s)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		struct sim_process *p = &s->processes[i];

		sim_start_again(p);
		if (p->up && s->fault_permille > 0 && sim_below(s, 400) == 0)
			sim_crash(p);
		if (sim_chance(s, 75))
			sim_work(p, 1 + sim_below(s, SIM_BATCH));
	}
}

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
	network_step(s);
	processes_step(s);
	if (s->mode == SIM_SPLIT)
		streams_step(s);
	if (sim_chance(s, 25))
		tick(s);
	books_check(s);
	mix(s, (uint64_t)sim_now(s));
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		mix(s, s->before[i].version ^ (uint64_t)s->before[i].total_energy_mwh);
}

/* --- a life --- */

static void draw_life(struct sim *s)
{
	static const unsigned faults[] = { 0, 20, 80, 250 };

	s->rules = outlet_rules_default();
	s->rules.report_while_stopping = sim_chance(s, 50);
	s->rules.stop_requires_tag = sim_chance(s, 20);
	s->rules.notify_denials = sim_chance(s, 85);
	s->fault_permille = faults[sim_below(s, EV_ARRAY_LEN(faults))];
	s->jumpy = sim_chance(s, 25);
	s->wild = sim_chance(s, 40);
	s->rivals = sim_chance(s, 60);
	s->lossy = sim_chance(s, 70);
}

static void open_life(struct sim *s, uint64_t seed, enum sim_mode mode)
{
	static const uint64_t map_seed[2] = { 1, 2 };
	struct sim kept = { .reached = s->reached, .verbose = s->verbose };

	memset(s, 0, sizeof(*s));
	s->reached = kept.reached;
	s->verbose = kept.verbose;
	s->seed = seed;
	s->mode = mode;
	s->digest = 0xcbf29ce484222325U;
	ev_rng_seeded_init(&s->rng, seed);
	ev_rng_seeded_init(&s->ids, seed ^ 0x5eed);
	ev_clock_manual_init(&s->clock, START_NS);
	s->latest_ns = START_NS;
	ev_map_init(&s->by_identity, 0, map_seed);
	ev_map_init(&s->started, 0, map_seed);
	ev_map_init(&s->denied, 0, map_seed);
	ev_map_init(&s->stopped, 0, map_seed);
	ev_map_init(&s->approved, 0, map_seed);
}

static void close_life(struct sim *s)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		s->reached->conflicts += s->processes[i].pump.outlet.stats.conflicts;
		s->reached->timers += s->processes[i].pump.outlet.stats.timers;
	}
	sim_processes_close(s);
	streams_close(s);
	ev_map_deinit(&s->by_identity);
	ev_map_deinit(&s->started);
	ev_map_deinit(&s->denied);
	ev_map_deinit(&s->stopped);
	ev_map_deinit(&s->approved);
	free(s->messages);
}

static void live(struct sim *s, uint64_t steps)
{
	draw_life(s);
	if (sim_chance(s, 10))
		steps *= LONG_LIFE;
	sim_trace(s, "seed %llu, mode %s: faults %u, jumpy %d, wild %d, rivals %d, lossy %d",
		  (unsigned long long)s->seed, sim_mode_text(s->mode), s->fault_permille, s->jumpy,
		  s->wild, s->rivals, s->lossy);
	s->calm = true;
	sim_processes_open(s);
	devices_open(s);
	people_open(s);
	s->calm = false;
	books_check(s);
	while (s->step < steps)
		take_step(s);
	sim_rest(s);
	s->reached->rests++;
}

bool sim_live(struct sim *s, uint64_t seed, enum sim_mode mode, uint64_t steps)
{
	open_life(s, seed, mode);
	if (setjmp(s->failed) == 0)
		live(s, steps);
	close_life(s);
	return s->failure[0] == '\0';
}
