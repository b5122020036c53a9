/*
 * test_aws_leases.c — who takes which lease, by tables.
 *
 * A case is the shards, `name` or `name<parent` or `name<parent+parent`; the rows, `name` with
 * `:owner` if it has one and `!` if it was read to its end; which of the owners have not moved for
 * longer than a lease lives; and the steps that must come of it.
 */
#include "engine/aws/leases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/time.h"

#define EXPIRE (10 * EV_NS_PER_S)
#define ORPHAN (70 * EV_NS_PER_S)
#define START (100 * EV_NS_PER_S)

/* The next word of a list parted by blanks; false at its end. */
static bool word(const char **list, char out[64])
{
	size_t n = 0;

	while (**list == ' ')
		(*list)++;
	while (**list != '\0' && **list != ' ' && n < 63)
		out[n++] = *(*list)++;
	out[n] = '\0';
	return n > 0;
}

/* Cuts s at the first of `c` and gives out what is behind it, or NULL. */
static char *cut(char *s, char c)
{
	char *at = strchr(s, c);

	if (at == NULL)
		return NULL;
	*at = '\0';
	return at + 1;
}

static void give_list(struct leases *l, const char *shards)
{
	struct lease_shard of[16];
	size_t n = 0;
	char w[64];

	while (word(&shards, w)) {
		char *parent = cut(w, '<');
		char *other = parent != NULL ? cut(parent, '+') : NULL;
		struct lease_shard *s = &of[n++];

		memset(s, 0, sizeof(*s));
		snprintf(s->id, sizeof(s->id), "%s", w);
		if (parent != NULL)
			snprintf(s->parents[s->n_parents++], sizeof(s->parents[0]), "%s", parent);
		if (other != NULL)
			snprintf(s->parents[s->n_parents++], sizeof(s->parents[0]), "%s", other);
	}
	assert_int_equal(leases_list(l, of, n), EV_OK);
}

/* Owners in `still` keep their counters from scan to scan, all others move theirs. */
static void give_rows(struct leases *l, const char *rows, const char *still, uint64_t round,
		      int64_t now_ns)
{
	char w[64];

	leases_scan_begin(l);
	while (word(&rows, w)) {
		struct lease_row row = { .checkpoint = { .kind = LEASE_TRIM_HORIZON } };
		char *owner = cut(w, ':');
		char *end = strchr(owner != NULL ? owner : w, '!');

		if (end != NULL) {
			*end = '\0';
			row.checkpoint.kind = LEASE_SHARD_END;
		}
		snprintf(row.key, sizeof(row.key), "%s", w);
		if (owner != NULL)
			snprintf(row.owner, sizeof(row.owner), "%s", owner);
		row.counter = 5 + (owner != NULL && strstr(still, owner) == NULL ? round : 0);
		assert_int_equal(leases_scan_row(l, &row, now_ns), EV_OK);
	}
	leases_scan_end(l);
}

static void steps_text(struct leases *l, int64_t now_ns, char *out, size_t cap)
{
	static const char *const names[] = { "create", "take", "steal" };
	struct lease_step steps[16];
	size_t n = leases_plan(l, now_ns, 0, steps, 16);
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		bool own = steps[i].kind == LEASE_CREATE && steps[i].lease->row.owner[0] != '\0';

		len += (size_t)snprintf(out + len, cap - len, "%s%s %s%s", i == 0 ? "" : ", ",
					names[steps[i].kind], steps[i].lease->row.key,
					own ? "*" : "");
	}
}

static const struct {
	const char *what;
	const char *shards, *rows, *still, *steps;
} plans[] = {
	{ "makes all rows and owns them when it is alone", "a b c", "", "",
	  "create a*, create b*, create c*" },
	{ "takes what nobody owns", "a b", "a b", "", "take a, take b" },
	{ "leaves what others own alone", "a b", "a:x b", "", "take b" },
	{ "does not make rows that are there", "a b", "a:x", "", "create b*" },
	{ "owns no more than its share rounded up", "a b c d e", "a b c d e:x", "",
	  "take a, take b, take c" },
	{ "takes its half of what is new", "a b c d", "a:x b:x", "", "create c*, create d*" },
	{ "makes rows beyond its share for others", "a b c d e", "a:x b:y", "",
	  "create c*, create d*, create e" },
	{ "takes what has expired", "a b", "a:x b:x", "x", "take a, take b" },
	{ "does not count the dead as workers", "a b c d", "a:x b:y c:x d:x", "x",
	  "take a, take c" },
	{ "steals one from the busiest", "a b c d", "a:x b:y c:y d:y", "", "steal b" },
	{ "steals until nobody has two more", "a b", "a:x b:y", "", "" },
	{ "does not steal the only one", "a", "a:x", "", "" },
	{ "steals nothing while there is something to take", "a b c d", "a:x b:x c:x d", "",
	  "take d" },
	{ "takes back what bears its name", "a b", "a:me b:x", "", "take a" },
	{ "takes back its own beyond its share", "a b c d", "a:me b:me c:me d:x", "",
	  "take a, take b, take c" },
	{ "does not read a child before its parent is done", "a b<a", "a:x b", "", "" },
	{ "nor makes its row", "a b<a c<a", "a:x", "", "" },
	{ "reads it when the parent is done", "a b<a c<a", "a!", "", "create b*, create c*" },
	{ "or gone from the stream", "b<a", "a:x", "", "create b*" },
	{ "or gone altogether", "b<a", "", "", "create b*" },
	{ "reads a child on beyond its share", "a b c d e<a", "a! b:me c:me d:x", "",
	  "take b, take c, create e*" },
	{ "but no more than one", "a p b c d e<a f<a k<p", "a! p! b:x c:y d:me", "",
	  "take d, create e*, create f*, create k" },
	{ "needs both parents of a merged one", "a b c<a+b", "a! b:x c", "", "" },
	{ "has both", "a b c<a+b", "a! b! c", "", "take c" },
	{ "knows parents without a row to be unread", "a b<a", "b", "", "create a*" },
	{ "leaves ended leases alone", "a b", "a! b:x", "", "" },
	{ "leaves ended ones out of the balance", "a b c", "a:x! b:x! c:x", "", "" },
	{ "leaves children that wait out of the balance", "a b<a c<a", "a:x b:x c:x", "", "" },
	{ "leaves rows of shards that are gone alone", "b", "a:x b:y", "x", "" },
	{ "does nothing without shards", "", "a:x b", "", "" },
};

static void plans_by_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(plans); i++) {
		struct leases l;
		char got[256];

		assert_int_equal(leases_init(&l, EV_LIT("me"), EXPIRE, ORPHAN), EV_OK);
		give_list(&l, plans[i].shards);
		give_rows(&l, plans[i].rows, plans[i].still, 0, START);
		give_rows(&l, plans[i].rows, plans[i].still, 1, START + EXPIRE);
		steps_text(&l, START + EXPIRE, got, sizeof(got));
		if (strcmp(got, plans[i].steps) != 0)
			print_error("%s: %s instead of %s\n", plans[i].what, got, plans[i].steps);
		assert_string_equal(got, plans[i].steps);
		leases_deinit(&l);
	}
}

static void waits_a_whole_life_before_it_takes_over(void **state)
{
	struct leases l;
	char got[64];

	(void)state;
	assert_int_equal(leases_init(&l, EV_LIT("me"), EXPIRE, ORPHAN), EV_OK);
	give_list(&l, "a");
	give_rows(&l, "a:x", "x", 0, START);
	steps_text(&l, START, got, sizeof(got));
	assert_string_equal(got, "");
	give_rows(&l, "a:x", "x", 0, START + EXPIRE - 1);
	steps_text(&l, START + EXPIRE - 1, got, sizeof(got));
	assert_string_equal(got, "");
	give_rows(&l, "a:x", "x", 0, START + EXPIRE);
	steps_text(&l, START + EXPIRE, got, sizeof(got));
	assert_string_equal(got, "take a");
	leases_deinit(&l);
}

/* Others may count otherwise: what nobody takes is taken in the end. */
static void takes_orphans_whatever_its_share(void **state)
{
	struct leases l;
	char got[64];

	(void)state;
	assert_int_equal(leases_init(&l, EV_LIT("me"), EXPIRE, ORPHAN), EV_OK);
	give_list(&l, "a b c");
	give_rows(&l, "a b:x c", "", 0, START);
	assert_int_equal(leases_n_listed(&l), 3);
	leases_taken(&l, leases_find(&l, "a"), START);
	leases_find(&l, "b")->row.owner[0] = 'x';
	leases_taken(&l, leases_find(&l, "b"), START);
	give_rows(&l, "c d:x e:x", "", 1, START + ORPHAN - 1);
	give_list(&l, "a b c d e");
	give_rows(&l, "a b c d:x e:x", "", 2, START + ORPHAN - 1);
	assert_int_equal(leases_n_held(&l), 2);
	steps_text(&l, START + ORPHAN - 1, got, sizeof(got));
	assert_string_equal(got, "take c"); /* ceil(5 / 2) = 3 */
	leases_taken(&l, leases_find(&l, "c"), START);
	give_list(&l, "a b c d e f");
	give_rows(&l, "a b c d:x e:x f", "", 3, START + ORPHAN);
	steps_text(&l, START + ORPHAN, got, sizeof(got));
	assert_string_equal(got, "");
	give_rows(&l, "a b c d:x e:x f", "", 4, START + 2 * ORPHAN);
	steps_text(&l, START + 2 * ORPHAN, got, sizeof(got));
	assert_string_equal(got, "take f");
	leases_deinit(&l);
}

static void keeps_what_it_holds_through_scans(void **state)
{
	struct leases l;
	struct lease *a;
	struct lease_checkpoint to = { .kind = LEASE_SEQUENCE, .sequence = "7" };
	char got[64];

	(void)state;
	assert_int_equal(leases_init(&l, EV_LIT("me"), EXPIRE, ORPHAN), EV_OK);
	give_list(&l, "a");
	give_rows(&l, "a", "", 0, START);
	a = leases_find(&l, "a");
	leases_taken(&l, a, START);
	assert_int_equal(a->row.counter, 6);
	assert_string_equal(a->row.owner, "me");
	leases_written(a, NULL, START);
	leases_written(a, &to, START);
	assert_int_equal(a->row.counter, 8);
	give_rows(&l, "a", "", 0, START + EXPIRE); /* as it was before */
	assert_true(a->held);
	assert_int_equal(a->row.counter, 8);
	assert_string_equal(a->row.checkpoint.sequence, "7");
	give_rows(&l, "", "", 0, START + EXPIRE); /* not there at all */
	assert_true(a->held);
	steps_text(&l, START + 3 * EXPIRE, got, sizeof(got));
	assert_string_equal(got, "");
	leases_deinit(&l);
}

/* What is in a lost row is not known until it is read: it is neither taken nor stolen before. */
static void a_lost_lease_is_left_alone_until_it_is_read(void **state)
{
	struct leases l;
	struct lease *a;
	char got[64];

	(void)state;
	assert_int_equal(leases_init(&l, EV_LIT("me"), EXPIRE, ORPHAN), EV_OK);
	give_list(&l, "a");
	give_rows(&l, "a", "", 0, START);
	a = leases_find(&l, "a");
	leases_taken(&l, a, START);
	leases_lost(a);
	assert_int_equal(leases_n_held(&l), 0);
	steps_text(&l, START + ORPHAN, got, sizeof(got));
	assert_string_equal(got, "");
	give_rows(&l, "a:x", "x", 0, START + ORPHAN);
	steps_text(&l, START + ORPHAN, got, sizeof(got));
	assert_string_equal(got, ""); /* its life begins with the first look */
	give_rows(&l, "a:x", "x", 0, START + ORPHAN + EXPIRE);
	steps_text(&l, START + ORPHAN + EXPIRE, got, sizeof(got));
	assert_string_equal(got, "take a");
	leases_deinit(&l);
}

static void a_reread_row_says_whose_it_is(void **state)
{
	struct leases l;
	struct lease *a;
	struct lease_row row;

	(void)state;
	assert_int_equal(leases_init(&l, EV_LIT("me"), EXPIRE, ORPHAN), EV_OK);
	give_list(&l, "a");
	give_rows(&l, "a", "", 0, START);
	a = leases_find(&l, "a");
	leases_taken(&l, a, START);
	row = a->row;
	row.counter++;
	assert_true(leases_reread(&l, a, &row, START));
	assert_int_equal(a->row.counter, 7);
	row.owner[0] = 'x';
	assert_false(leases_reread(&l, a, &row, START));
	assert_false(a->held);
	row.owner[0] = 'm';
	assert_false(leases_reread(&l, a, &row, START)); /* it was given up meanwhile */
	leases_deinit(&l);
}

static void a_busy_lease_is_left_alone(void **state)
{
	struct leases l;
	char got[64];

	(void)state;
	assert_int_equal(leases_init(&l, EV_LIT("me"), EXPIRE, ORPHAN), EV_OK);
	give_list(&l, "a b");
	give_rows(&l, "a", "", 0, START);
	leases_find(&l, "a")->busy = true;
	leases_find(&l, "b")->busy = true;
	give_rows(&l, "", "", 0, START);
	steps_text(&l, START, got, sizeof(got));
	assert_string_equal(got, "");
	give_list(&l, "");
	assert_non_null(leases_find(&l, "a"));
	leases_find(&l, "a")->busy = false;
	leases_find(&l, "b")->busy = false;
	give_rows(&l, "", "", 0, START);
	assert_null(leases_find(&l, "a")); /* nobody knows of it any more */
	assert_null(leases_find(&l, "b"));
	leases_deinit(&l);
}

static void refuses_a_name_that_cannot_be_one(void **state)
{
	char name[LEASE_OWNER_MAX + 1];
	struct leases l;

	(void)state;
	memset(name, 'w', sizeof(name));
	assert_int_equal(leases_init(&l, EV_LIT(""), EXPIRE, ORPHAN), EV_INVALID);
	assert_int_equal(leases_init(&l, (struct ev_str){ name, sizeof(name) }, EXPIRE, ORPHAN),
			 EV_INVALID);
	assert_int_equal(leases_init(&l, (struct ev_str){ name, sizeof(name) - 1 }, EXPIRE, ORPHAN),
			 EV_OK);
	leases_deinit(&l);
}

/* Any number of workers that plan in turn end evenly, whoever had what at first. */
static void workers_end_evenly(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 5; workers++) {
		for (unsigned shards = 1; shards <= 9; shards++) {
			unsigned owner[9] = { 0 }; /* all are the first one's */
			unsigned n[5] = { 0 };
			unsigned least = 99, most = 0;

			for (unsigned turn = 0; turn < 10 * workers; turn++) {
				unsigned me = turn % workers;
				struct leases l;
				struct lease_step steps[16];
				char list[64] = "", rows[128] = "", name[4];
				size_t n_list = 0, n_rows = 0, planned;

				snprintf(name, sizeof(name), "w%u", me);
				for (unsigned s = 0; s < shards; s++) {
					n_list += (size_t)snprintf(list + n_list,
								   sizeof(list) - n_list, "%c ",
								   (char)('a' + s));
					n_rows += (size_t)snprintf(rows + n_rows,
								   sizeof(rows) - n_rows, "%c:w%u ",
								   (char)('a' + s), owner[s]);
				}
				assert_int_equal(leases_init(&l, ev_str_from(name), EXPIRE, ORPHAN),
						 EV_OK);
				give_list(&l, list);
				give_rows(&l, rows, "", 0, START);
				for (unsigned s = 0; s < shards; s++)
					l.of[s]->held = owner[s] == me;
				planned = leases_plan(&l, START, turn, steps, 16);
				assert_true(planned <= 1);
				if (planned == 1)
					owner[steps[0].lease->row.key[0] - 'a'] = me;
				leases_deinit(&l);
			}
			for (unsigned s = 0; s < shards; s++)
				n[owner[s]]++;
			for (unsigned w = 0; w < workers; w++) {
				least = n[w] < least ? n[w] : least;
				most = n[w] > most ? n[w] : most;
			}
			assert_true(most - least <= 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_by_the_table),
		cmocka_unit_test(waits_a_whole_life_before_it_takes_over),
		cmocka_unit_test(takes_orphans_whatever_its_share),
		cmocka_unit_test(keeps_what_it_holds_through_scans),
		cmocka_unit_test(a_lost_lease_is_left_alone_until_it_is_read),
		cmocka_unit_test(a_reread_row_says_whose_it_is),
		cmocka_unit_test(a_busy_lease_is_left_alone),
		cmocka_unit_test(refuses_a_name_that_cannot_be_one),
		cmocka_unit_test(workers_end_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
