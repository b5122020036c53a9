/* test_embedded_groups.c — how the embedded engine groups, remembers, forgets and counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/time.h"
#include "embedded_fixture.h"

static void begin(struct emb *f)
{
	assert_int_equal(f->s->ops->begin(f->s), EV_OK);
}

static void end(struct emb *f)
{
	assert_int_equal(f->s->ops->end(f->s), EV_OK);
}

static void save(struct emb *f, const struct unit *unit)
{
	ev_err result;

	begin(f);
	assert_int_equal(f->s->ops->commit(f->s, unit, 1, &result), EV_OK);
	end(f);
}

static void save_put(struct emb *f, const struct keyed_put *put)
{
	save(f, &(struct unit){ .kind = UNIT_NONE, .puts = put, .n_puts = 1 });
}

static struct embedded_stats stats_of(struct emb *f)
{
	struct embedded_stats stats;

	embedded_stats(f->e, &stats);
	return stats;
}

static void a_row_that_changes_often_in_a_group_is_written_once(void **state)
{
	struct emb *f = *state;

	emb_add_some(f, 2);
	struct embedded_stats before = stats_of(f);

	begin(f);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(emb_report(f, 1, 5), EV_OK);
	end(f);
	struct embedded_stats after = stats_of(f);

	assert_int_equal(after.units - before.units, 20);
	assert_int_equal(after.events - before.events, 10);
	assert_int_equal(after.rows_written - before.rows_written, 2);
	assert_int_equal(after.rows_spared - before.rows_spared, 18);
	assert_int_equal(emb_total(f, 1), 50);
	assert_int_equal(emb_books(f).outlets_total_mwh, 50);
	emb_assert_balanced(f);
}

static void groups_are_counted_and_timed(void **state)
{
	struct emb *f = *state;
	uint64_t timed = 0;

	emb_add_some(f, 1);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(emb_report_alone(f, 0, 1), EV_OK);
	begin(f);
	end(f); /* an empty group is none */
	struct embedded_stats stats = stats_of(f);

	assert_int_equal(stats.groups, 6);
	assert_int_equal(stats.failed_groups, 0);
	for (unsigned i = 0; i < EMBEDDED_HISTOGRAM; i++)
		timed += stats.commit_time[i];
	assert_int_equal(timed, 6);
	assert_true(stats.commit_ns_sum > 0);
	assert_int_equal(stats.outlets_cached, 1);
	assert_int_equal(stats.sessions_cached, 1);
}

static void a_conflict_is_counted_and_harms_nothing(void **state)
{
	struct emb *f = *state;
	struct ev_uuid id = emb_id('o', 0);
	struct outlet o;
	ev_err result;

	emb_add_some(f, 1);
	assert_int_equal(f->s->ops->load_outlet(f->s, &id, &o), EV_OK);
	struct unit stale = { .kind = UNIT_OUTLET, .expected = o.version - 1, .outlet = &o };

	begin(f);
	assert_int_equal(f->s->ops->commit(f->s, &stale, 1, &result), EV_CONFLICT);
	assert_int_equal(emb_report(f, 0, 3), EV_OK);
	end(f);
	assert_int_equal(stats_of(f).conflicts, 1);
	assert_int_equal(emb_total(f, 0), 3);
}

static void few_rows_in_memory_serve_many_in_the_file(void **state)
{
	struct emb f;

	(void)state;
	emb_init(&f);
	f.o.max_outlets = 4;
	f.o.max_sessions = 4;
	emb_open(&f);
	emb_add_some(&f, 50);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 50; i++)
			assert_int_equal(emb_report_alone(&f, i, i), EV_OK);
	}
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(emb_total(&f, i), 3 * i);
	struct embedded_stats stats = stats_of(&f);

	assert_int_equal(stats.outlets_cached, 4);
	assert_int_equal(stats.sessions_cached, 4);
	assert_true(stats.outlet_misses >= 150);
	emb_assert_balanced(&f);
	emb_deinit(&f);
}

static struct keyed_put block_of(unsigned outlet, unsigned first)
{
	struct keyed_put put = { .kind = PUT_IDENTITY_BLOCK,
				 .block = { .outlet_id = emb_id('o', outlet) } };

	for (unsigned i = 0; i < OUTLET_IDS_MAX; i++)
		put.block.ids[i] = emb_identity(first + i);
	return put;
}

static bool seen(struct emb *f, unsigned outlet, unsigned n)
{
	struct ev_uuid id = emb_id('o', outlet);
	struct identity identity = emb_identity(n);
	bool out = false;

	assert_int_equal(f->s->ops->seen(f->s, &id, &identity, &out), EV_OK);
	return out;
}

/* Blocks of two outlets in turn: 0 has identities from 0, 1 those from 1000. */
static void put_blocks(struct emb *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct keyed_put a = block_of(0, i * OUTLET_IDS_MAX);
		struct keyed_put b = block_of(1, 1000 + i * OUTLET_IDS_MAX);

		save_put(f, &a);
		save_put(f, &b);
	}
}

static void assert_seen(struct emb *f, unsigned n_blocks)
{
	for (unsigned i = 0; i < n_blocks * OUTLET_IDS_MAX; i++) {
		assert_true(seen(f, 0, i));
		assert_false(seen(f, 1, i));
		assert_true(seen(f, 1, 1000 + i));
	}
}

static void identities_are_known_beyond_the_row_and_a_restart(void **state)
{
	struct emb *f = *state;

	emb_add_some(f, 2);
	put_blocks(f, 5);
	assert_seen(f, 5);
	emb_close(f);
	emb_open(f);
	assert_seen(f, 5);
	struct embedded_stats before = stats_of(f);

	for (unsigned i = 0; i < 1000; i++)
		assert_false(seen(f, 0, 5000 + i));
	assert_int_equal(emb_report_alone(f, 0, 1), EV_OK);
	struct embedded_stats after = stats_of(f);

	assert_true(after.seen_lookups - before.seen_lookups >= 1000);
	/* New identities are settled by the filter, all but about one in a hundred. */
	assert_true(after.seen_walks - before.seen_walks < 50 + 3 * 5 * OUTLET_IDS_MAX);
}

static bool retain(struct emb *f)
{
	bool more = false;

	assert_int_equal(embedded_retain(f->e, ev_clock_wall_ns(&f->clock.base), &more), EV_OK);
	return more;
}

static void identities_are_kept_an_hour_and_then_forgotten(void **state)
{
	struct emb f;

	(void)state;
	emb_init(&f);
	f.o.retention.identities_ns = 1; /* an hour is the least */
	emb_open(&f);
	emb_add_some(&f, 2);
	put_blocks(&f, 2);
	ev_clock_manual_advance(&f.clock, EV_NS_PER_HOUR);
	assert_false(retain(&f));
	assert_seen(&f, 2);
	ev_clock_manual_advance(&f.clock, EV_NS_PER_MIN);
	struct keyed_put late = block_of(0, 500);

	save_put(&f, &late);
	assert_false(retain(&f));
	assert_false(seen(&f, 0, 0));
	assert_false(seen(&f, 1, 1000));
	assert_true(seen(&f, 0, 500));
	assert_int_equal(stats_of(&f).retained, 4);
	emb_close(&f);
	emb_open(&f);
	assert_false(seen(&f, 0, 0));
	assert_true(seen(&f, 0, 500));
	/* The chain of outlet 1 led to a row that is gone; a new one goes its own way. */
	late = block_of(1, 2000);
	save_put(&f, &late);
	assert_true(seen(&f, 1, 2000));
	assert_false(seen(&f, 1, 1000));
	emb_deinit(&f);
}

struct seqs {
	uint64_t p[64];
	size_t n;
};

static bool note_seq(void *user, const struct stored_event *e)
{
	struct seqs *s = user;

	assert_true(s->n < EV_ARRAY_LEN(s->p));
	s->p[s->n++] = e->seq;
	return true;
}

static struct seqs events_of(struct emb *f, unsigned outlet, uint64_t before, size_t limit)
{
	struct ev_uuid id = emb_id('o', outlet);
	struct seqs s = { .n = 0 };

	assert_int_equal(f->q->ops->outlet_events(f->q, &id, before, limit, note_seq, &s), EV_OK);
	return s;
}

static void old_events_go_and_chains_end_there(void **state)
{
	struct emb f;

	(void)state;
	emb_init(&f);
	f.o.retention.events_ns = EV_NS_PER_MIN;
	emb_open(&f);
	emb_add_some(&f, 2);
	for (unsigned i = 0; i < 10; i++) /* 1 to 10, odd ones of outlet 0 */
		assert_int_equal(emb_report_alone(&f, i % 2, 1), EV_OK);
	ev_clock_manual_advance(&f.clock, EV_NS_PER_MIN + 1);
	for (unsigned i = 0; i < 4; i++) /* 11 to 14 */
		assert_int_equal(emb_report_alone(&f, i % 2, 1), EV_OK);
	assert_int_equal(events_of(&f, 0, 0, 64).n, 7);
	assert_false(retain(&f));
	struct seqs s = events_of(&f, 0, 0, 64);

	assert_int_equal(s.n, 2);
	assert_int_equal(s.p[0], 13);
	assert_int_equal(s.p[1], 11);
	assert_int_equal(events_of(&f, 0, 11, 64).n, 0);
	assert_int_equal(events_of(&f, 0, 5, 64).n, 0);
	assert_int_equal(emb_books(&f).n_events, 4);
	emb_assert_balanced(&f);
	emb_deinit(&f);
}

static void numbers_of_events_never_start_anew(void **state)
{
	struct emb f;

	(void)state;
	emb_init(&f);
	f.o.retention.events_ns = 1;
	emb_open(&f);
	emb_add_some(&f, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(emb_report_alone(&f, 0, 1), EV_OK);
	ev_clock_manual_advance(&f.clock, EV_NS_PER_HOUR);
	assert_false(retain(&f));
	assert_int_equal(emb_books(&f).n_events, 1); /* the newest stays */
	emb_close(&f);
	emb_open(&f);
	assert_int_equal(emb_report_alone(&f, 0, 1), EV_OK);
	struct seqs s = events_of(&f, 0, 0, 64);

	assert_int_equal(s.n, 2);
	assert_int_equal(s.p[0], 4);
	emb_deinit(&f);
}

static void retention_goes_in_steps(void **state)
{
	struct emb f;
	unsigned steps = 1;

	(void)state;
	emb_init(&f);
	f.o.retention.events_ns = 1;
	emb_open(&f);
	emb_add_some(&f, 1);
	begin(&f);
	for (unsigned i = 0; i < 2500; i++)
		assert_int_equal(emb_report(&f, 0, 1), EV_OK);
	end(&f);
	ev_clock_manual_advance(&f.clock, EV_NS_PER_HOUR);
	while (retain(&f)) {
		steps++;
		assert_true(steps < 10);
	}
	assert_int_equal(steps, 3);
	assert_int_equal(stats_of(&f).retained, 2499);
	emb_deinit(&f);
}

static void without_retention_everything_stays(void **state)
{
	struct emb *f = *state;
	struct keyed_put block = block_of(0, 0);

	emb_add_some(f, 1);
	assert_int_equal(emb_report_alone(f, 0, 1), EV_OK);
	assert_int_equal(emb_report_alone(f, 0, 1), EV_OK);
	save_put(f, &block);
	ev_clock_manual_advance(&f->clock, 10000 * EV_NS_PER_HOUR);
	assert_false(retain(f));
	assert_int_equal(emb_books(f).n_events, 2);
	assert_true(seen(f, 0, 3));
}

static void retention_waits_for_the_end_of_the_group(void **state)
{
	struct emb *f = *state;
	bool more = true;

	begin(f);
	assert_int_equal(embedded_retain(f->e, 0, &more), EV_BUSY);
	assert_true(more);
	end(f);
}

static void put_letter(struct emb *f, unsigned n)
{
	struct keyed_put put = { .kind = PUT_DEAD_LETTER,
				 .dead_letter = { .id = emb_identity(n),
						  .reason = REASON_UNDECODABLE,
						  .body = EV_LIT("x") } };

	save_put(f, &put);
}

static void close_letter(struct emb *f, unsigned n)
{
	struct keyed_put put = { .kind = PUT_DEAD_LETTER_STATUS,
				 .status = { .id = emb_identity(n),
					     .status = DEAD_LETTER_REPLAYED,
					     .at_ns = ev_clock_wall_ns(&f->clock.base) } };

	save_put(f, &put);
}

static void dead_letters_go_only_once_they_are_closed(void **state)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct dead_letter d;
	struct emb f;

	(void)state;
	emb_init(&f);
	f.o.retention.dead_letters_ns = EV_NS_PER_MIN;
	emb_open(&f);
	for (unsigned i = 0; i < 3; i++)
		put_letter(&f, i);
	close_letter(&f, 0);
	ev_clock_manual_advance(&f.clock, EV_NS_PER_MIN + 1);
	close_letter(&f, 1);
	assert_false(retain(&f));
	for (unsigned i = 0; i < 3; i++) {
		struct identity id = emb_identity(i);

		assert_int_equal(f.s->ops->load_dead_letter(f.s, &id, &d, body),
				 i == 0 ? EV_NOTFOUND : EV_OK);
	}
	emb_deinit(&f);
}

static void put_command(struct emb *f, uint64_t version)
{
	struct device_command command = { .outlet_id = emb_id('o', 0),
					  .version = version,
					  .change = OUTLET_CHARGING,
					  .created_ns = ev_clock_wall_ns(&f->clock.base) };

	save(f, &(struct unit){ .kind = UNIT_NONE, .commands = &command, .n_commands = 1 });
}

static void old_commands_go(void **state)
{
	struct device_command out[8];
	struct ev_uuid id = emb_id('o', 0);
	struct emb f;
	size_t n = 0;

	(void)state;
	emb_init(&f);
	f.o.retention.commands_ns = EV_NS_PER_MIN;
	emb_open(&f);
	put_command(&f, 1);
	put_command(&f, 2);
	ev_clock_manual_advance(&f.clock, EV_NS_PER_MIN + 1);
	put_command(&f, 3);
	assert_false(retain(&f));
	assert_int_equal(f.s->ops->load_commands(f.s, &id, 0, 0, 0, out, 8, &n), EV_OK);
	assert_int_equal(n, 1);
	assert_int_equal(out[0].version, 3);
	emb_deinit(&f);
}

static size_t due_at(struct emb *f, int64_t ns)
{
	struct ev_uuid out[4];
	size_t n = 99;

	assert_int_equal(f->s->ops->due_outlets(f->s, ns, out, EV_ARRAY_LEN(out), &n), EV_OK);
	return n;
}

static void timers_follow_the_rules_of_the_last_start(void **state)
{
	struct ev_uuid id = emb_id('o', 0);
	int64_t at_ns;
	struct emb f;

	(void)state;
	emb_init(&f);
	at_ns = ev_clock_wall_ns(&f.clock.base);
	emb_open(&f);
	struct outlet o = outlet_new(&id, 1, at_ns);

	o.state = OUTLET_CABLE_PLUGGED;
	o.request = (struct outlet_request){ .status = REQUEST_WAITING, .at_ns = at_ns };
	save(&f, &(struct unit){ .kind = UNIT_OUTLET, .outlet = &o });
	assert_int_equal(due_at(&f, at_ns + f.o.rules.request_timeout_ns - 1), 0);
	assert_int_equal(due_at(&f, at_ns + f.o.rules.request_timeout_ns), 1);
	emb_close(&f);
	f.o.rules.request_timeout_ns /= 2;
	emb_open(&f);
	assert_int_equal(due_at(&f, at_ns + f.o.rules.request_timeout_ns - 1), 0);
	assert_int_equal(due_at(&f, at_ns + f.o.rules.request_timeout_ns), 1);
	emb_deinit(&f);
}

static void the_log_stays_short_and_goes_away(void **state)
{
	struct emb f;
	uint64_t longest = 0;

	(void)state;
	emb_init(&f);
	f.o.checkpoint_pages = 32;
	emb_open(&f);
	emb_add_some(&f, 20);
	for (unsigned i = 0; i < 5000; i++) {
		assert_int_equal(emb_report_alone(&f, i % 20, 1), EV_OK);
		struct embedded_stats stats = stats_of(&f);

		if (stats.wal_pages > longest)
			longest = stats.wal_pages;
	}
	struct embedded_stats stats = stats_of(&f);

	assert_true(stats.checkpoints > 10);
	assert_int_equal(stats.failed_checkpoints, 0);
	/* 5,000 groups of some five pages; only a starved thread lets it grow at all. */
	assert_true(longest < 10000);
	emb_close(&f);
	assert_int_equal(access(emb_path(&f, EMBEDDED_FILE "-wal"), F_OK), -1);
	emb_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_row_that_changes_often_in_a_group_is_written_once,
						emb_setup, emb_teardown),
		cmocka_unit_test_setup_teardown(groups_are_counted_and_timed, emb_setup,
						emb_teardown),
		cmocka_unit_test_setup_teardown(a_conflict_is_counted_and_harms_nothing, emb_setup,
						emb_teardown),
		cmocka_unit_test(few_rows_in_memory_serve_many_in_the_file),
		cmocka_unit_test_setup_teardown(identities_are_known_beyond_the_row_and_a_restart,
						emb_setup, emb_teardown),
		cmocka_unit_test(identities_are_kept_an_hour_and_then_forgotten),
		cmocka_unit_test(old_events_go_and_chains_end_there),
		cmocka_unit_test(numbers_of_events_never_start_anew),
		cmocka_unit_test(retention_goes_in_steps),
		cmocka_unit_test_setup_teardown(without_retention_everything_stays, emb_setup,
						emb_teardown),
		cmocka_unit_test_setup_teardown(retention_waits_for_the_end_of_the_group, emb_setup,
						emb_teardown),
		cmocka_unit_test(dead_letters_go_only_once_they_are_closed),
		cmocka_unit_test(old_commands_go),
		cmocka_unit_test(timers_follow_the_rules_of_the_last_start),
		cmocka_unit_test(the_log_stays_short_and_goes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
