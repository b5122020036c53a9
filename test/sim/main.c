/*
 * main.c — lives, one after the other, until one breaks.
 *
 * As a test: EV_SIM_SEEDS lives (default 100) from EV_SIM_FIRST (1) on, in TAP.  With arguments:
 *	--seed N      the first seed; each life has the next
 *	--steps M     at least so many steps, in whole lives
 *	--mode one | split | both
 *	--verbose     each step, and what happens in it
 * A failure prints `seed S step K: <invariant>`, and how to see it again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "sim.h"

#define LIFE_STEPS 400
#define TEST_LIVES 100

struct options {
	uint64_t seed, steps, lives;
	bool modes[SIM_MODE_COUNT];
	bool verbose;
	bool tap;
};

/* Only for a death by assert: which life it was. */
static struct sim sim;

static void on_abort(int sig)
{
	char text[120];
	int n = snprintf(text, sizeof(text), "seed %llu step %llu: an assertion (mode %s)\n",
			 (unsigned long long)sim.seed, (unsigned long long)sim.step,
			 sim_mode_text(sim.mode));

	if (n > 0 && write(STDOUT_FILENO, text, (size_t)n) < 0)
		_exit(3);
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool number(const char *text, uint64_t *out)
{
	return text != NULL && num_parse_u64(ev_str_from(text), out) == EV_OK;
}

static bool set_mode(struct options *o, const char *text)
{
	bool both = text != NULL && ev_str_eqz(EV_LIT("both"), text);

	for (unsigned m = 0; text != NULL && m < SIM_MODE_COUNT; m++)
		o->modes[m] = both ||
			      ev_str_eqz(ev_str_from(text), sim_mode_text((enum sim_mode)m));
	return o->modes[SIM_ONE] || o->modes[SIM_SPLIT];
}

static bool read_option(struct options *o, const char *name, const char *value)
{
	struct ev_str n = ev_str_from(name);

	if (ev_str_eqz(n, "--seed"))
		return number(value, &o->seed);
	if (ev_str_eqz(n, "--steps"))
		return number(value, &o->steps);
	if (ev_str_eqz(n, "--mode"))
		return set_mode(o, value);
	return false;
}

static bool read_options(struct options *o, int argc, char **argv)
{
	*o = (struct options){ .seed = 1, .lives = TEST_LIVES, .modes = { true, true } };
	o->tap = true;
	if (getenv("EV_SIM_SEEDS") != NULL && !number(getenv("EV_SIM_SEEDS"), &o->lives))
		return false;
	if (getenv("EV_SIM_FIRST") != NULL && !number(getenv("EV_SIM_FIRST"), &o->seed))
		return false;
	for (int i = 1; i < argc; i++) {
		if (ev_str_eqz(ev_str_from(argv[i]), "--verbose")) {
			o->verbose = true;
			o->tap = false;
		} else if (i + 1 < argc && read_option(o, argv[i], argv[i + 1])) {
			o->tap = o->tap && o->steps == 0;
			i++;
		} else {
			return false;
		}
	}
	return true;
}

static void say_failure(const struct options *o)
{
	const char *mark = o->tap ? "# " : "";

	printf("%sseed %llu step %llu: %s (mode %s)\n", mark, (unsigned long long)sim.seed,
	       (unsigned long long)sim.step, sim.failure, sim_mode_text(sim.mode));
	printf("%safter %llu steps in all; to see it:\n", mark,
	       (unsigned long long)sim.reached->steps);
	printf("%s./dev sim --seed %llu --steps 1 --mode %s --verbose\n", mark,
	       (unsigned long long)sim.seed, sim_mode_text(sim.mode));
}

static bool run_modes(const struct options *o, uint64_t seed, uint64_t *digest)
{
	for (unsigned m = 0; m < SIM_MODE_COUNT; m++) {
		if (o->modes[m] && !sim_live(&sim, seed, (enum sim_mode)m, LIFE_STEPS))
			return false;
		*digest ^= o->modes[m] ? sim.digest * (m + 1) : 0;
	}
	return true;
}

static void show_reached(const struct sim_reached *r, const char *mark)
{
#define SHOW(name) printf("%s%-22s %llu\n", mark, #name, (unsigned long long)r->name);
	SIM_REACHED_LIST(SHOW)
#undef SHOW
}

/* Everything that the simulation is for was met, and not once or twice. */
static bool reached_enough(const struct options *o, struct sim_reached *r)
{
	uint64_t least = UINT64_MAX;

	if (!o->modes[SIM_SPLIT])
		r->records_repeated = least; /* there are no streams */

#define LEAST(name) least = r->name < least ? r->name : least;
	SIM_REACHED_LIST(LEAST)
#undef LEAST
	return least >= 10;
}

static int run_test(const struct options *o)
{
	uint64_t first = 0, again = 0;
	bool ok = true;

	printf("1..3\n");
	for (uint64_t i = 0; ok && i < o->lives; i++)
		ok = run_modes(o, o->seed + i, i == 0 ? &first : &again);
	if (!ok)
		say_failure(o);
	printf("%sok 1 - the invariants hold in every life\n", ok ? "" : "not ");
	again = 0;
	ok = ok && run_modes(o, o->seed, &again) && first == again;
	printf("%sok 2 - a seed gives the same life again\n", ok ? "" : "not ");
	show_reached(sim.reached, "# ");
	ok = reached_enough(o, sim.reached) || o->lives < TEST_LIVES;
	printf("%sok 3 - the lives came across everything\n", ok ? "" : "not ");
	return ok ? 0 : 1;
}

static int run_steps(const struct options *o)
{
	uint64_t seed = o->seed;
	uint64_t digest = 0;
	bool ok = true;

	do {
		ok = run_modes(o, seed++, &digest);
	} while (ok && sim.reached->steps < o->steps);
	if (!ok) {
		say_failure(o);
		return 1;
	}
	show_reached(sim.reached, "");
	printf("%llu lives from seed %llu on: every invariant held\n",
	       (unsigned long long)(seed - o->seed), (unsigned long long)o->seed);
	return 0;
}

int main(int argc, char **argv)
{
	static struct sim_reached reached;
	struct options o;

	if (!read_options(&o, argc, argv)) {
		fprintf(stderr, "usage: simulate [--seed N] [--steps M] [--mode one|split|both]"
				" [--verbose]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, on_abort);
	sim.reached = &reached;
	sim.verbose = o.verbose;
	return o.tap ? run_test(&o) : run_steps(&o);
}
