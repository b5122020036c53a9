/* cli/serve.c — `evcharge serve`: the server, until it is told to stop. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/runtime.h"
#include "cli/version.h"

extern char **environ;

struct serve {
	int argc;
	char **argv;
};

static ev_err load(void *user, struct config *out, struct ev_fail *fail)
{
	struct serve *s = user;
	struct config c;
	ev_err e = config_load(&c, s->argc, s->argv, environ, fail);

	if (e == EV_OK)
		e = config_check(&c, fail);
	if (e == EV_OK)
		*out = c;
	return e;
}

void serve_log_init(struct ev_log *log, const struct config *c)
{
	enum ev_log_level level = (enum ev_log_level)c->log_level;

	if (c->log_format == CONFIG_FORMAT_AUTO)
		ev_log_init(log, STDERR_FILENO, level, ev_clock_os());
	else
		ev_log_init_as(log, STDERR_FILENO, level, ev_clock_os(),
			       c->log_format == CONFIG_FORMAT_JSON ? EV_LOG_JSON : EV_LOG_LOGFMT);
}

static int run(struct serve *s, const struct config *config, struct ev_log *log)
{
	struct runtime_options o = {
		.config = config, .log = log, .reload = load, .reload_user = s
	};
	struct ev_fail fail = { .code = EV_OK };
	struct runtime *r = NULL;
	ev_err e;

	ev_info(log, "server.starting", EV_KZ("version", EVCHARGE_VERSION),
		EV_KZ("data", config->data), EV_KU64("pid", (uint64_t)getpid()));
	e = runtime_new(&o, &r, &fail);
	if (e != EV_OK) {
		ev_error(log, "server.failed", EV_KERR("code", e), EV_KZ("error", fail.text));
		return 1;
	}
	runtime_run(r);
	runtime_free(r);
	return 0;
}

int cmd_serve(int argc, char **argv)
{
	struct serve s = { .argc = argc, .argv = argv };
	struct ev_fail fail = { .code = EV_OK };
	struct config config;
	struct ev_log log;
	ev_err e;

	if (cli_wants_help(argc, argv)) {
		printf("evcharge serve [SETTING...]: run the server until SIGTERM or SIGINT\n");
		return settings_help();
	}
	e = load(&s, &config, &fail);
	if (e != EV_OK) {
		fprintf(stderr, "evcharge serve: %s\n", fail.text);
		return e == EV_INVALID ? 2 : 1;
	}
	serve_log_init(&log, &config);
	return run(&s, &config, &log);
}
