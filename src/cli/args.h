/*
 * cli/args.h — the words of a command line, and the help that explains them.
 *
 * A command has verbs (`outlet show`), a verb has options and positional arguments; all of it is
 * declared in tables, from which both the reading and `--help` come.
 */
#ifndef EV_CLI_ARGS_H
#define EV_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

#define ARGS_OPTIONS_MAX 32
#define ARGS_POSITIONAL_MAX 8

/* Exit codes.  CLI_DIFFERS: done, but something is other than wanted (provision). */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_DIFFERS = 3 };

struct arg_option {
	const char *name;  /* without the dashes */
	const char *value; /* what stands for it in the help; NULL: a switch */
	const char *help;
};

struct arg_options {
	const struct arg_option *items;
	size_t n;
};

struct args {
	struct arg_options
		options[2]; /* the verb's, and those that all verbs of the command take */
	const char *values[2][ARGS_OPTIONS_MAX]; /* NULL: not given; "" for a switch */
	const char *positional[ARGS_POSITIONAL_MAX];
	size_t n_positional;
};

/*
 * Reads the words; `--` ends the options, `-` alone is positional.  Texts borrow from argv.
 * EV_INVALID: an unknown option (the nearest is named), a missing value, a value for a switch, an
 * option given twice, or more than max positional words, or less than min.
 */
EV_NODISCARD ev_err args_parse(struct args *out, struct arg_options own, struct arg_options common,
			       int argc, char *const *argv, size_t min, size_t max,
			       struct ev_fail *fail);

/* The option's value; NULL if it was not given.  The option is one of the tables'. */
const char *args_get(const struct args *a, const char *name);
bool args_has(const struct args *a, const char *name);

struct cli_verb {
	const char *name; /* one word or two: "show", "secret create"; "" for the command itself */
	const char *params; /* of the help: "OUTLET" */
	size_t min, max;    /* positional words */
	const char *help;
	struct arg_options options;
	/* One of the two; both return the exit code. */
	int (*run)(const struct args *a);
	int (*run_words)(int argc, char *const *argv); /* reads its words itself */
};

struct cli_command {
	const char *name;
	const char *summary; /* one line */
	const struct cli_verb *verbs;
	size_t n_verbs;
	struct arg_options common;
};

#define ARG_OPTIONS(array)                                                                         \
	{                                                                                          \
		(array), sizeof(array) / sizeof((array)[0])                                        \
	}

/*
 * Finds the verb, reads its words and runs it; argv begins after the command.  `--help` anywhere
 * before `--` prints the help and gives CLI_OK; a fault of the user is a line on stderr, CLI_USAGE.
 */
int cli_run(const struct cli_command *c, int argc, char *const *argv);

/* The help of a command. */
void cli_help(const struct cli_command *c, FILE *out);

/* Whether --help or -h stands among the words before a `--`. */
bool cli_wants_help(int argc, char *const *argv);

/* One line on stderr; returns CLI_FAILED, or CLI_USAGE for EV_INVALID. */
int cli_fail(const struct ev_fail *fail);

#endif
