/*
 * cli/cmd_drain.c — `evcharge drain`: sends all effects that rows still have, of whatever process,
 * before another backend takes the rows over (docs/swap.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/args.h"
#include "cli/aws_open.h"
#include "cli/command.h"
#include "cli/config.h"
#include "engine/aws/resources.h"
#include "engine/aws/sender_direct.h"
#include "engine/aws/store.h"

#define SEND_TIMEOUT_NS (20 * EV_NS_PER_S)
#define ROUNDS_MAX 20 /* over the table, until nothing is left */

struct drain {
	const struct config *config;
	unsigned roles;
	struct ev_clock *clock;
	struct aws_open *open;
	struct aws_resources resources;
	struct aws_client *client;
	struct aws_sender *sender;
	struct aws_store *store;
	bool sessions; /* the table that is swept now */
	size_t found, failed;
	struct ev_fail *fail;
};

static const char *set_or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static ev_err open_store(struct drain *d)
{
	struct aws_store_config c = aws_store_defaults();

	c.caller = aws_client_caller(d->client);
	c.sender = d->sender;
	c.resources = &d->resources;
	c.clock = d->clock;
	c.rules = outlet_rules_default();
	c.roles = d->roles;
	return aws_store_new(&c, &d->store);
}

static ev_err open_all(struct drain *d)
{
	struct aws_open_options o = { .profile = set_or_null(d->config->aws_profile),
				      .region = set_or_null(d->config->aws_region) };
	ev_err e = aws_resources_init(&d->resources, ev_str_from(d->config->aws_prefix));

	if (e != EV_OK)
		return ev_fail_set(d->fail, e, 0, "aws-prefix = %s is no prefix",
				   d->config->aws_prefix);
	e = aws_open_new(&o, &d->open, d->fail);
	if (e == EV_OK)
		e = aws_open_client(d->open, NULL, &d->client, d->fail);
	if (e != EV_OK)
		return e;
	e = aws_sender_direct_new(aws_client_caller(d->client), d->clock, &d->resources,
				  SEND_TIMEOUT_NS, &d->sender);
	if (e == EV_OK)
		e = open_store(d);
	return e == EV_OK ? EV_OK : ev_fail_set(d->fail, e, 0, "%s", ev_err_text(e));
}

static void close_all(struct drain *d)
{
	aws_store_free(d->store);
	if (d->sender != NULL)
		d->sender->ops->free(d->sender);
	aws_client_free(d->client);
	aws_open_free(d->open);
}

static struct aws_sweep sweep_of(const struct drain *d)
{
	int64_t now_ns = ev_clock_wall_ns(d->clock);

	return (struct aws_sweep){
		.caller = aws_client_caller(d->client),
		.resources = &d->resources,
		.rules = outlet_rules_default(),
		.timer_before_ns = INT64_MIN, /* timers go with the backend */
		.unsent_before_ns = now_ns,
		.plain_before_ns = now_ns,
	};
}

static void on_row(void *user, const struct ev_uuid *id)
{
	struct drain *d = user;
	int64_t now_ns = ev_clock_wall_ns(d->clock);
	ev_err e = d->sessions ? aws_store_adopt_session(d->store, id, now_ns)
			       : aws_store_adopt(d->store, id, now_ns);

	d->found++;
	d->failed += e != EV_OK && e != EV_NOTFOUND;
}

static ev_err sweep_table(struct drain *d)
{
	struct aws_sweep w = sweep_of(d);
	char cursor[AWS_SWEEP_CURSOR] = "";
	ev_err e;

	do {
		e = d->sessions ? aws_sweep_sessions(&w, cursor, on_row, d)
				: aws_sweep_outlets(&w, cursor, on_row, d);
	} while (e == EV_OK && cursor[0] != '\0');
	return e;
}

/* One round over the tables of the roles. */
static ev_err sweep_round(struct drain *d)
{
	ev_err e = EV_OK;

	d->found = 0;
	d->failed = 0;
	d->sessions = false;
	if ((d->roles & AWS_ROLE_OUTLET) != 0)
		e = sweep_table(d);
	d->sessions = true;
	if (e == EV_OK && (d->roles & AWS_ROLE_APP) != 0)
		e = sweep_table(d);
	return e;
}

/* A process of ours sweeps at least this often while it runs. */
static ev_err refuse_beside_others(struct drain *d)
{
	struct aws_sweep w = sweep_of(d);
	int64_t now_ns = ev_clock_wall_ns(d->clock);
	int64_t within_ns = 2 * d->config->sweep_interval_ns;
	ev_err e = EV_OK;

	if ((d->roles & AWS_ROLE_OUTLET) != 0)
		e = aws_sweep_claim(&w, false, ev_str_from("drain"), now_ns, within_ns);
	if (e == EV_OK && (d->roles & AWS_ROLE_APP) != 0)
		e = aws_sweep_claim(&w, true, ev_str_from("drain"), now_ns, within_ns);
	if (e == EV_BUSY)
		return ev_fail_set(d->fail, e, 0,
				   "a server swept the tables lately: stop all of them, wait two "
				   "sweep-intervals, or say --force");
	return e;
}

static int drain(struct drain *d, bool force)
{
	size_t sent = 0;
	ev_err e = open_all(d);

	if (e != EV_OK)
		return cli_fail(d->fail);
	e = force ? EV_OK : refuse_beside_others(d);
	for (int round = 0; round < ROUNDS_MAX && e == EV_OK; round++) {
		e = sweep_round(d);
		if (e != EV_OK)
			break;
		if (d->found == 0) {
			printf("nothing is unsent; %zu rows had effects and were sent\n", sent);
			return CLI_OK;
		}
		sent += d->found - d->failed;
	}
	if (e == EV_OK)
		ev_fail_set(d->fail, EV_BUSY, 0, "%zu rows still have unsent effects", d->found);
	else if (d->fail->text[0] == '\0')
		aws_store_last_fail(d->store, d->fail);
	if (d->fail->text[0] == '\0')
		ev_fail_set(d->fail, e, 0, "the tables can't be read: %s", ev_err_text(e));
	return cli_fail(d->fail);
}

/* Takes --force out of the words; the rest are settings. */
static bool take_force(int *argc, char **argv)
{
	for (int i = 0; i < *argc; i++) {
		if (strcmp(argv[i], "--force") != 0)
			continue;
		memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i - 1) * sizeof(argv[0]));
		(*argc)--;
		return true;
	}
	return false;
}

int cmd_drain(int argc, char **argv)
{
	struct ev_fail fail = { .text = "" };
	struct config config;
	struct drain d = { .config = &config, .clock = ev_clock_os(), .fail = &fail };
	bool force = take_force(&argc, argv);
	int code;

	if (cli_wants_help(argc, argv)) {
		printf("evcharge drain --engine aws --role outlet|app [--force] [SETTING...]:\n"
		       "sends the effects that rows still have, before another takes them over.\n"
		       "  --force  although a server swept the tables lately\n");
		return settings_help();
	}
	if (config_load(&config, argc, argv, environ, &fail) != EV_OK)
		return cli_fail(&fail);
	if (config.engine != CONFIG_ENGINE_AWS || config_roles(&config, &d.roles) != EV_OK) {
		ev_fail_set(&fail, EV_INVALID, 0,
			    "drain takes --engine aws and --role outlet, app or both: the embedded "
			    "engine sends nothing outside its file");
		return cli_fail(&fail);
	}
	code = drain(&d, force);
	close_all(&d);
	return code;
}
