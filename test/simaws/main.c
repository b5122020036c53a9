/*
 * main.c — lives, one after the other, until one breaks.
 *
 * As a test: EV_SIM_SEEDS lives (default 12) from EV_SIM_FIRST (1) on, and each planted bug until
 * it is found, in TAP.  With arguments:
 *	--seed N      the first seed; each life has the next
 *	--steps M     at least so many steps, in whole lives
 *	--plant NAME  with this bug
 *	--verbose     each step, and what happens in it
 * A failure prints `seed S step K: <invariant>`, and how to see it again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "simaws/sim.h"

#define LIFE_STEPS 300
#define TEST_LIVES 12
#define PLANT_LIVES 40

struct options {
	uint64_t seed, steps, lives;
	bool verbose, tap;
	enum sim_plant plant;
};

/* Only for a death by assert: which life it was. */
static struct sim sim;

static void on_abort(int sig)
{
	char text[120];
	int n = snprintf(text, sizeof(text), "seed %llu step %llu: an assertion (mode aws)\n",
			 (unsigned long long)sim.seed, (unsigned long long)sim.step);

	if (n > 0 && write(STDOUT_FILENO, text, (size_t)n) < 0)
		_exit(3);
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool number(const char *text, uint64_t *out)
{
	return text != NULL && num_parse_u64(ev_str_from(text), out) == EV_OK;
}

static bool read_option(struct options *o, const char *name, const char *value)
{
	struct ev_str n = ev_str_from(name);

	if (ev_str_eqz(n, "--seed"))
		return number(value, &o->seed);
	if (ev_str_eqz(n, "--steps"))
		return number(value, &o->steps);
	if (ev_str_eqz(n, "--plant"))
		return plant_parse(ev_str_from(value), &o->plant);
	return ev_str_eqz(n, "--mode") && ev_str_eqz(ev_str_from(value), "aws");
}

static bool read_options(struct options *o, int argc, char **argv)
{
	*o = (struct options){ .seed = 1, .lives = TEST_LIVES, .tap = true };
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

static void say_failure(const char *mark)
{
	printf("%sseed %llu step %llu: %s (mode aws)\n", mark, (unsigned long long)sim.seed,
	       (unsigned long long)sim.step, sim.failure);
	printf("%safter %llu steps in all; to see it:\n", mark,
	       (unsigned long long)sim.reached->steps);
	printf("%s./dev sim --mode aws --seed %llu --steps 1 --verbose\n", mark,
	       (unsigned long long)sim.seed);
}

static void show_reached(const struct sim_reached *r, const char *mark)
{
#define SHOW(name) printf("%s%-22s %llu\n", mark, #name, (unsigned long long)r->name);
	SIM_REACHED_LIST(SHOW)
#undef SHOW
}

/* Everything that the simulation is for was met. */
static bool reached_enough(const struct sim_reached *r)
{
	uint64_t least = UINT64_MAX;

#define LEAST(name) least = r->name < least ? r->name : least;
	SIM_REACHED_LIST(LEAST)
#undef LEAST
	return least >= 3;
}

/* A bug that is planted must be found. */
static bool find_plant(const struct options *o, enum sim_plant plant, unsigned number_of)
{
	struct sim_reached reached = { .steps = 0 };
	struct sim_reached *kept = sim.reached;
	bool found = false;

	sim.reached = &reached;
	sim.plant = plant;
	for (uint64_t i = 0; !found && i < PLANT_LIVES; i++)
		found = !sim_live(&sim, o->seed + i, LIFE_STEPS);
	printf("%sok %u - planted: %s\n", found ? "" : "not ", number_of, plant_text(plant));
	if (found)
		printf("# after %llu steps: %s\n", (unsigned long long)reached.steps, sim.failure);
	sim.plant = PLANT_NONE;
	sim.reached = kept;
	return found;
}

static int run_test(const struct options *o)
{
	uint64_t first = 0;
	bool ok = true, all;

	printf("1..%d\n", 3 + (int)PLANT_COUNT - 1);
	for (uint64_t i = 0; ok && i < o->lives; i++) {
		ok = sim_live(&sim, o->seed + i, LIFE_STEPS);
		first = i == 0 ? sim.digest : first;
	}
	if (!ok)
		say_failure("# ");
	printf("%sok 1 - the invariants hold in every life\n", ok ? "" : "not ");
	all = ok;
	ok = ok && sim_live(&sim, o->seed, LIFE_STEPS) && first == sim.digest;
	printf("%sok 2 - a seed gives the same life again\n", ok ? "" : "not ");
	all = all && ok;
	show_reached(sim.reached, "# ");
	ok = reached_enough(sim.reached) || o->lives < TEST_LIVES;
	printf("%sok 3 - the lives came across everything\n", ok ? "" : "not ");
	all = all && ok;
	for (unsigned p = PLANT_NONE + 1; p < PLANT_COUNT; p++)
		all = find_plant(o, (enum sim_plant)p, 3 + p) && all;
	return all ? 0 : 1;
}

static int run_steps(const struct options *o)
{
	uint64_t seed = o->seed;
	bool ok = true;

	do {
		ok = sim_live(&sim, seed++, LIFE_STEPS);
	} while (ok && sim.reached->steps < o->steps);
	if (!ok) {
		say_failure("");
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
		fprintf(stderr, "usage: simulate_aws [--seed N] [--steps M] [--plant NAME]"
				" [--verbose]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, on_abort);
	sim.reached = &reached;
	sim.verbose = o.verbose;
	sim.plant = o.plant;
	return o.tap ? run_test(&o) : run_steps(&o);
}
