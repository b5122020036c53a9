#include "base/num.h"
#include "cli/client.h"
#include "cli/command.h"
#include "engine/embedded/embedded.h"

static int run_create(const struct args *a)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config config;
	ev_err e = client_config(&config, a, &fail);

	if (e == EV_OK)
		e = embedded_backup(config.data, a->positional[0], &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	printf("written and verified: %s\n", a->positional[0]);
	return CLI_OK;
}

static int run_restore(const struct args *a)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config config;
	ev_err e = client_config(&config, a, &fail);

	if (e == EV_OK)
		e = embedded_restore(a->positional[0], config.data, args_has(a, "force"), &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	printf("restored into %s\n", config.data);
	return CLI_OK;
}

static int run_verify(const struct args *a)
{
	struct ev_fail fail = { .code = EV_OK };

	if (embedded_verify(a->positional[0], NULL, &fail) != EV_OK)
		return cli_fail(&fail);
	printf("whole, and the books balance\n");
	return CLI_OK;
}

static const struct arg_option where[] = {
	{ "config", "FILE", "the server's settings" },
	{ "data", "DIR", "the server's data directory, instead of theirs" },
};
static const struct arg_option restore_options[] = {
	{ "config", "FILE", "the server's settings" },
	{ "data", "DIR", "the data directory to restore into" },
	{ "force", NULL, "replace the database that is there" },
};

static const struct cli_verb verbs[] = {
	{ .name = "create",
	  .params = "FILE",
	  .min = 1,
	  .max = 1,
	  .help = "a consistent copy, also while the server runs",
	  .options = ARG_OPTIONS(where),
	  .run = run_create },
	{ .name = "restore",
	  .params = "FILE",
	  .min = 1,
	  .max = 1,
	  .help = "into a data directory that no server uses",
	  .options = ARG_OPTIONS(restore_options),
	  .run = run_restore },
	{ .name = "verify",
	  .params = "FILE",
	  .min = 1,
	  .max = 1,
	  .help = "integrity and books",
	  .run = run_verify },
};

static const struct cli_command command = {
	.name = "backup",
	.summary = "copies of the embedded database",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
};

int cmd_backup(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
