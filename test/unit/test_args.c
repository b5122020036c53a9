#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "cli/args.h"

static const struct arg_option own[] = {
	{ "limit", "N", "at most so many" },
	{ "all", NULL, "everything" },
};
static const struct arg_option common[] = {
	{ "json", NULL, "for programs" },
	{ "outlet", "URL", "where" },
};

static ev_err parse(struct args *a, char *const *words, size_t min, size_t max,
		    struct ev_fail *fail)
{
	const struct arg_options own_options = ARG_OPTIONS(own);
	const struct arg_options common_options = ARG_OPTIONS(common);
	int n = 0;

	while (words[n] != NULL)
		n++;
	return args_parse(a, own_options, common_options, n, words, min, max, fail);
}

#define WORDS(...)                                                                                 \
	(char *const[])                                                                            \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static void reads_options_of_both_tables_anywhere(void **state)
{
	char first[] = "first", limit[] = "--limit", five[] = "5", json[] = "--json";
	char outlet[] = "--outlet=http://x", second[] = "second";
	struct args a;

	(void)state;
	assert_int_equal(parse(&a, WORDS(first, limit, five, json, outlet, second), 2, 2, NULL),
			 EV_OK);
	assert_string_equal(args_get(&a, "limit"), "5");
	assert_string_equal(args_get(&a, "outlet"), "http://x");
	assert_true(args_has(&a, "json"));
	assert_false(args_has(&a, "all"));
	assert_string_equal(a.positional[0], "first");
	assert_string_equal(a.positional[1], "second");
}

static void two_dashes_end_the_options_and_one_is_a_word(void **state)
{
	char end[] = "--", limit[] = "--limit", dash[] = "-";
	struct args a;

	(void)state;
	assert_int_equal(parse(&a, WORDS(dash, end, limit), 2, 2, NULL), EV_OK);
	assert_string_equal(a.positional[0], "-");
	assert_string_equal(a.positional[1], "--limit");
	assert_false(args_has(&a, "limit"));
}

static void names_what_is_wrong(void **state)
{
	static const struct {
		const char *words[3];
		const char *says;
	} cases[] = {
		{ { "--limt", "5" }, "unknown option --limt (did you mean --limit?)" },
		{ { "--zzzzzz" }, "unknown option --zzzzzz" },
		{ { "--limit" }, "--limit wants N" },
		{ { "--json=yes" }, "--json takes no value" },
		{ { "--json", "--json" }, "--json is given twice" },
		{ { "-x" }, "unknown option -x" },
		{ { "a", "b" }, "unexpected argument b" },
		{ { NULL }, "an argument is missing" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_fail fail = { .code = EV_OK };
		char copies[3][32];
		char *words[4] = { NULL };
		struct args a;

		for (size_t w = 0; w < 3 && cases[i].words[w] != NULL; w++) {
			memcpy(copies[w], cases[i].words[w], strlen(cases[i].words[w]) + 1);
			words[w] = copies[w];
		}
		assert_int_equal(parse(&a, words, 1, 1, &fail), EV_INVALID);
		assert_string_equal(fail.text, cases[i].says);
	}
}

static size_t seen_positional;
static const char *seen_verb;

static int run_one(const struct args *a)
{
	seen_verb = "one";
	seen_positional = a->n_positional;
	return 7;
}

static int run_two(const struct args *a)
{
	seen_verb = "two words";
	seen_positional = a->n_positional;
	return 8;
}

static void finds_verbs_of_one_and_two_words(void **state)
{
	static const struct cli_verb verbs[] = {
		{ .name = "one", .params = "X", .max = 1, .help = "", .run = run_one },
		{ .name = "two words", .params = "", .max = 1, .help = "", .run = run_two },
	};
	const struct cli_command c = {
		.name = "test", .summary = "", .verbs = verbs, .n_verbs = EV_ARRAY_LEN(verbs)
	};
	char one[] = "one", two[] = "two", words[] = "words", x[] = "x";

	(void)state;
	assert_int_equal(cli_run(&c, 2, WORDS(one, x)), 7);
	assert_string_equal(seen_verb, "one");
	assert_int_equal(seen_positional, 1);
	assert_int_equal(cli_run(&c, 2, WORDS(two, words)), 8);
	assert_string_equal(seen_verb, "two words");
	assert_int_equal(cli_run(&c, 1, WORDS(two)), CLI_USAGE);
	assert_int_equal(cli_run(&c, 2, WORDS(two, x)), CLI_USAGE);
	assert_int_equal(cli_run(&c, 0, WORDS(NULL)), CLI_USAGE);
	assert_int_equal(cli_run(&c, 3, WORDS(one, x, x)), CLI_USAGE);
}

static void help_is_wanted_only_before_two_dashes(void **state)
{
	char help[] = "--help", h[] = "-h", end[] = "--", x[] = "x";

	(void)state;
	assert_true(cli_wants_help(2, WORDS(x, help)));
	assert_true(cli_wants_help(1, WORDS(h)));
	assert_false(cli_wants_help(3, WORDS(x, end, help)));
	assert_false(cli_wants_help(0, WORDS(NULL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_options_of_both_tables_anywhere),
		cmocka_unit_test(two_dashes_end_the_options_and_one_is_a_word),
		cmocka_unit_test(names_what_is_wrong),
		cmocka_unit_test(finds_verbs_of_one_and_two_words),
		cmocka_unit_test(help_is_wanted_only_before_two_dashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
