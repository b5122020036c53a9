#include "cli/aws_open.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096 /* bytes of an option */

/* A client's randomness; kept for as long as the client may live. */
struct generator {
	struct generator *next;
	struct ev_rng_os rng;
};

struct aws_open {
	char *profile, *region, *ca_file; /* or NULL */
	struct ev_rng_os rng;             /* of the credentials */
	struct aws_credentials *credentials;
	struct generator *generators;
	char resolved_region[AWS_REGION_MAX + 1];
};

/* The process's environment, but for a region that was given. */
static const char *get_variable(void *user, const char *name)
{
	const struct aws_open *o = user;
	struct aws_env os = aws_env_os();

	if (o->region != NULL && strcmp(name, "AWS_REGION") == 0)
		return o->region;
	return os.get(os.user, name);
}

static struct aws_env env_of(struct aws_open *o)
{
	return (struct aws_env){ .get = get_variable, .user = o };
}

static ev_err copy(const char *text, char **out, struct ev_fail *fail)
{
	if (text == NULL)
		return EV_OK;
	if (text[0] == '\0' || strlen(text) > TEXT_MAX)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "a profile, region or file is empty or too long");
	*out = strdup(text);
	return *out != NULL ? EV_OK : ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
}

static ev_err copy_options(struct aws_open *o, const struct aws_open_options *options,
			   struct ev_fail *fail)
{
	ev_err e = copy(options->profile, &o->profile, fail);

	if (e == EV_OK)
		e = copy(options->region, &o->region, fail);
	if (e == EV_OK)
		e = copy(options->ca_file, &o->ca_file, fail);
	return e;
}

static ev_err open_credentials(struct aws_open *o, struct ev_fail *fail)
{
	struct aws_credentials_config config = {
		.env = env_of(o),
		.profile = o->profile,
		.clock = ev_clock_os(),
		.rng = &o->rng.base,
		.ca_file = o->ca_file,
	};
	ev_err e = aws_credentials_new(&config, &o->credentials);

	return e == EV_OK ? EV_OK : ev_fail_set(fail, e, 0, "%s", ev_err_text(e));
}

ev_err aws_open_new(const struct aws_open_options *options, struct aws_open **out,
		    struct ev_fail *fail)
{
	EV_CLEANUP(aws_open_freep) struct aws_open *o = calloc(1, sizeof(*o));
	EV_CLEANUP(aws_client_freep) struct aws_client *probe = NULL;

	if (o == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	ev_rng_os_init(&o->rng);
	ev_err e = copy_options(o, options, fail);

	if (e == EV_OK)
		e = open_credentials(o, fail);
	if (e == EV_OK)
		e = aws_open_client(o, NULL, &probe, fail);
	if (e != EV_OK)
		return e;
	memcpy(o->resolved_region, aws_client_region(probe), strlen(aws_client_region(probe)) + 1);
	*out = o;
	o = NULL;
	return EV_OK;
}

void aws_open_free(struct aws_open *o)
{
	if (o == NULL)
		return;
	aws_credentials_free(o->credentials);
	while (o->generators != NULL) {
		struct generator *g = o->generators;

		o->generators = g->next;
		free(g);
	}
	free(o->profile);
	free(o->region);
	free(o->ca_file);
	free(o);
}

ev_err aws_open_client(struct aws_open *o, const struct aws_client_config *tuning,
		       struct aws_client **out, struct ev_fail *fail)
{
	struct aws_client_config config = tuning != NULL ? *tuning : aws_client_defaults();
	struct generator *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	ev_rng_os_init(&g->rng);
	config.env = env_of(o);
	config.profile = o->profile;
	config.credentials = o->credentials;
	config.clock = ev_clock_os();
	config.rng = &g->rng.base;
	config.pause = (struct aws_pause){ .fn = NULL };
	config.ca_file = o->ca_file;
	ev_err e = aws_client_new(&config, out, fail);

	if (e != EV_OK) {
		free(g);
		return e;
	}
	g->next = o->generators;
	o->generators = g;
	return EV_OK;
}

struct aws_credentials *aws_open_credentials(struct aws_open *o)
{
	return o->credentials;
}

const char *aws_open_region(const struct aws_open *o)
{
	return o->resolved_region;
}
