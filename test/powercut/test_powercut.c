/*
 * test_powercut.c — the power goes at seeded moments: what was acknowledged is there once, what was
 * not came whole or not at all, the file opens and the books balance; and bugs planted on purpose
 * are found by the same checks.
 *
 * EV_CUTS: how many cuts; EV_CUT_FIRST: the first seed; EV_CUT_THREADS=1: checkpoints on their own
 * thread, as in production.  `--seed N` plays one seed again, exactly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "cut_fleet.h"
#include "cut_vfs.h"

#define CUTS_DEFAULT 300
#define CUTS_FOR_A_BUG 300

static char parent[32];

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t v = otherwise;

	if (text != NULL && num_parse_u64(ev_str_from(text), &v) != EV_OK)
		fail_msg("%s is not a number", name);
	return v;
}

static void add(struct fleet_counts *sum, const struct fleet_counts *c)
{
	sum->cuts += c->cuts;
	for (size_t i = 0; i < CUT_PLACE_COUNT; i++)
		sum->in[i] += c->in[i];
	sum->starting += c->starting;
	sum->messages += c->messages;
	sum->commands += c->commands;
	sum->events += c->events;
	sum->syncs += c->syncs;
	sum->dropped += c->dropped;
	sum->checkpoints += c->checkpoints;
}

static bool play(uint64_t seed, enum cut_bug bug, bool threads, struct fleet_counts *sum,
		 uint64_t *out_trace)
{
	struct fleet f;
	bool ok;

	fleet_init(&f, parent, seed, bug, threads);
	ok = fleet_run(&f);
	if (!ok)
		printf("# %s\n", f.failure);
	add(sum, &f.counts);
	if (out_trace != NULL)
		*out_trace = f.disk.trace;
	fleet_deinit(&f);
	return ok;
}

static void tell_one(const char *what, uint64_t n)
{
	printf("# %8llu %s\n", (unsigned long long)n, what);
}

static void tell(const struct fleet_counts *c, uint64_t seeds)
{
	tell_one("seeds", seeds);
	tell_one("cuts", c->cuts);
	for (int i = 0; i < CUT_PLACE_COUNT; i++)
		tell_one(cut_place_text((enum cut_place)i), c->in[i]);
	tell_one("of them while starting", c->starting);
	tell_one("writes lost or torn", c->dropped);
	tell_one("messages acknowledged", c->messages);
	tell_one("commands told", c->commands);
	tell_one("events told", c->events);
	tell_one("syncs", c->syncs);
	tell_one("checkpoints", c->checkpoints);
}

static void what_was_acknowledged_survives_every_cut(void **state)
{
	uint64_t cuts = setting("EV_CUTS", CUTS_DEFAULT), first = setting("EV_CUT_FIRST", 1);
	bool threads = setting("EV_CUT_THREADS", 0) != 0;
	struct fleet_counts sum = { .cuts = 0 };
	uint64_t seed = first, failed = 0;

	(void)state;
	for (; sum.cuts < cuts; seed++)
		failed += !play(seed, BUG_NONE, threads, &sum, NULL);
	tell(&sum, seed - first);
	assert_int_equal(failed, 0);
	/* The load is one, and the cuts met each part of a life. */
	for (int i = 0; i < CUT_PLACE_COUNT; i++)
		assert_true(sum.in[i] > 0);
	assert_true(sum.starting > 0 && sum.starting < cuts / 2);
	assert_true(sum.commands > cuts && sum.checkpoints > cuts && sum.dropped > cuts);
}

static void a_seed_plays_again_exactly(void **state)
{
	struct fleet_counts sum = { .cuts = 0 };
	uint64_t once, again, last = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		assert_true(play(seed, BUG_NONE, false, &sum, &once));
		assert_true(play(seed, BUG_NONE, false, &sum, &again));
		assert_true(once == again);
		assert_true(once != last);
		last = once;
	}
}

static void every_planted_bug_is_found(void **state)
{
	(void)state;
	for (int i = BUG_NONE + 1; i < BUG_COUNT; i++) {
		struct fleet_counts sum = { .cuts = 0 };
		uint64_t seed = setting("EV_CUT_FIRST", 1);
		bool found = false;

		for (; !found && sum.cuts < CUTS_FOR_A_BUG; seed++)
			found = !play(seed, (enum cut_bug)i, false, &sum, NULL);
		printf("# %s: %s after %llu cuts\n", cut_bug_text((enum cut_bug)i),
		       found ? "found" : "NOT found", (unsigned long long)sum.cuts);
		assert_true(found);
	}
}

static bool make_parent(void)
{
	memcpy(parent, "/tmp/powercut-XXXXXX", 21);
	return mkdtemp(parent) != NULL;
}

static int replay(const char *text)
{
	struct fleet_counts sum = { .cuts = 0 };
	uint64_t seed;
	bool ok;

	if (num_parse_u64(ev_str_from(text), &seed) != EV_OK)
		return 2;
	ok = play(seed, (enum cut_bug)setting("EV_CUT_BUG", BUG_NONE),
		  setting("EV_CUT_THREADS", 0) != 0, &sum, NULL);
	tell(&sum, 1);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_acknowledged_survives_every_cut),
		cmocka_unit_test(a_seed_plays_again_exactly),
		cmocka_unit_test(every_planted_bug_is_found),
	};
	int rc;

	if (!make_parent())
		return 1;
	cut_vfs_register();
	if (argc == 3 && strcmp(argv[1], "--seed") == 0)
		rc = replay(argv[2]);
	else
		rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(parent);
	return rc;
}
