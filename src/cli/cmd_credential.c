#include "cli/cmd_credential.h"

#include "base/clock.h"
#include "base/time.h"
#include "cli/client.h"

int credential_create(const struct args *a, enum credential_kind kind)
{
	struct ev_fail fail = { .code = EV_OK };
	char secret[CREDENTIAL_SECRET_TEXT + 1];
	struct ev_rng_os rng;
	struct config config;
	ev_err e = client_config(&config, a, &fail);

	ev_rng_os_init(&rng);
	if (e == EV_OK)
		e = credentials_create(config.data, kind, ev_str_from(a->positional[0]), &rng.base,
				       ev_clock_wall_ns(ev_clock_os()), secret, &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	/* The secret alone on stdout, so that it can go straight into a file. */
	printf("%s\n", secret);
	fprintf(stderr, "This is shown once; only its hash is kept in %s.\n", config.data);
	return CLI_OK;
}

int credential_revoke(const struct args *a, enum credential_kind kind)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config config;
	ev_err e = client_config(&config, a, &fail);

	if (e == EV_OK)
		e = credentials_revoke(config.data, kind, ev_str_from(a->positional[0]), &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	printf("revoked\n");
	return CLI_OK;
}

static void print_all(const struct credentials *c, enum credential_kind kind)
{
	char created[EV_TIME_TEXT];

	for (size_t i = 0; i < credentials_count(c); i++) {
		const struct credential *item = credentials_at(c, i);

		if (item->kind != kind)
			continue;
		ev_time_text(item->created_ns, created);
		printf("%-*s  %s\n", CREDENTIAL_NAME_MAX, item->name, created);
	}
}

int credential_list(const struct args *a, enum credential_kind kind)
{
	static const uint64_t nobody_looks_anything_up[2] = { 0, 0 };
	EV_CLEANUP(credentials_freep) struct credentials *c = NULL;
	struct ev_fail fail = { .code = EV_OK };
	struct config config;
	ev_err e = client_config(&config, a, &fail);

	if (e == EV_OK)
		e = credentials_open(&c, config.data, nobody_looks_anything_up, &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	if (credentials_are_exposed(c))
		fprintf(stderr, "evcharge: warning: others can read %s/" CREDENTIALS_FILE "\n",
			config.data);
	print_all(c, kind);
	return CLI_OK;
}
