#include <stdlib.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/cmd_credential.h"
#include "cli/command.h"

static int print_with(void (*write)(const struct config *, struct ev_buf *), const struct config *c)
{
	char *text = malloc(CONFIG_PRINT_MAX);
	struct ev_buf b = ev_buf_over(text, CONFIG_PRINT_MAX);

	if (text == NULL)
		return CLI_FAILED;
	write(c, &b);
	fwrite(b.p, 1, b.len, stdout);
	free(text);
	return CLI_OK;
}

static void write_help(const struct config *c, struct ev_buf *b)
{
	(void)c;
	config_help(b);
}

int settings_help(void)
{
	printf("\nSettings (options, EVCHARGE_NAME, lines `name = value` in a file):\n");
	return print_with(write_help, NULL);
}

static int run_print(int argc, char *const *argv)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config c;

	if (config_load(&c, argc, argv, environ, &fail) != EV_OK)
		return cli_fail(&fail);
	return print_with(config_print, &c);
}

static int run_check(int argc, char *const *argv)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config c;
	ev_err e = config_load(&c, argc, argv, environ, &fail);

	if (e == EV_OK)
		e = config_check(&c, &fail);
	if (e != EV_OK) {
		(void)cli_fail(&fail); /* the check is what failed, not its use */
		return CLI_FAILED;
	}
	printf("the settings are fine\n");
	return CLI_OK;
}

static int run_token_create(const struct args *a)
{
	return credential_create(a, CREDENTIAL_API);
}

static int run_token_list(const struct args *a)
{
	return credential_list(a, CREDENTIAL_API);
}

static int run_token_revoke(const struct args *a)
{
	return credential_revoke(a, CREDENTIAL_API);
}

static const struct arg_option where[] = {
	{ "config", "FILE", "the server's settings" },
	{ "data", "DIR", "the server's data directory, instead of theirs" },
};

static const struct cli_verb verbs[] = {
	{ .name = "print",
	  .params = "[SETTING...]",
	  .help = "all settings as a file, with what each means",
	  .run_words = run_print },
	{ .name = "check",
	  .params = "[SETTING...]",
	  .help = "whether `serve` would take them",
	  .run_words = run_check },
	{ .name = "token create",
	  .params = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "a new token for the APIs, printed once",
	  .options = ARG_OPTIONS(where),
	  .run = run_token_create },
	{ .name = "token list",
	  .params = "",
	  .help = "the tokens' names",
	  .options = ARG_OPTIONS(where),
	  .run = run_token_list },
	{ .name = "token revoke",
	  .params = "NAME",
	  .min = 1,
	  .max = 1,
	  .help = "the token is of no use any more; a running server notices",
	  .options = ARG_OPTIONS(where),
	  .run = run_token_revoke },
};

static const struct cli_command command = {
	.name = "config",
	.summary = "the settings and the API tokens",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
};

int cmd_config(int argc, char **argv)
{
	int code = cli_run(&command, argc, argv);

	if (code != CLI_OK || !cli_wants_help(argc, argv))
		return code;
	return settings_help();
}
