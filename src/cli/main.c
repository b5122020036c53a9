/* cli/main.c — finds the subcommand.  What a command does with its words is its own affair. */
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/nearest.h"
#include "cli/version.h"

struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct subcommand subcommands[] = {
	{ "serve", cmd_serve, "run the server" },
	{ "demo", cmd_demo, "a server with six simulated outlets, to look at" },
	{ "simulate", cmd_simulate, "outlets and customers against a running server" },
	{ "outlet", cmd_outlet, "list, add, change, finish, … outlets" },
	{ "customer", cmd_customer, "list, add, block, … customers" },
	{ "session", cmd_session, "list, start, stop, … charging sessions" },
	{ "send", cmd_send, "send a message as a device" },
	{ "events", cmd_events, "follow the charging events" },
	{ "deadletters", cmd_deadletters, "list, replay or drop what could not be used" },
	{ "backup", cmd_backup, "create, restore or verify a copy of the database" },
	{ "provision", cmd_provision, "create the queues, streams and tables on AWS" },
	{ "drain", cmd_drain, "send what rows on AWS still have, before another takes over" },
	{ "config", cmd_config, "print or check the settings, API tokens" },
};

static void print_help(FILE *out)
{
	fprintf(out, "usage: evcharge COMMAND [ARGUMENT...]\n\n");
	for (size_t i = 0; i < EV_ARRAY_LEN(subcommands); i++)
		fprintf(out, "  %-12s  %s\n", subcommands[i].name, subcommands[i].summary);
	fprintf(out, "\n`evcharge COMMAND --help` tells more; `evcharge --version` the version.\n"
		     "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 differences (provision).\n");
}

static const char *subcommand_name(const void *user, size_t i)
{
	(void)user;
	return i < EV_ARRAY_LEN(subcommands) ? subcommands[i].name : NULL;
}

static int unknown(const char *name)
{
	const char *near = nearest_word(ev_str_from(name), subcommand_name, NULL);

	fprintf(stderr, "evcharge: no such command %s", name);
	if (near != NULL)
		fprintf(stderr, " (did you mean %s?)", near);
	fprintf(stderr, "; see evcharge --help\n");
	return CLI_USAGE;
}

static int dispatch(int argc, char **argv)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(subcommands); i++) {
		if (strcmp(argv[0], subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	}
	return unknown(argv[0]);
}

/* What was printed into a full disk or a closed pipe was not told to anybody. */
static int flush_output(int code)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	perror("evcharge: standard output");
	return code == CLI_OK ? CLI_FAILED : code;
}

int main(int argc, char **argv)
{
	int code = CLI_OK;

	if (argc < 2) {
		print_help(stderr);
		code = CLI_USAGE;
	} else if (strcmp(argv[1], "--version") == 0) {
		printf("evcharge %s\n", EVCHARGE_VERSION);
	} else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		   strcmp(argv[1], "help") == 0) {
		print_help(stdout);
	} else {
		code = dispatch(argc - 1, argv + 1);
	}
	return flush_output(code);
}
