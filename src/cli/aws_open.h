/*
 * cli/aws_open.h — the way to AWS of a process: environment, profile, region, keys; and clients.
 *
 * The keys are one for all clients of the process, each client belongs to one thread.
 */
#ifndef EV_CLI_AWS_OPEN_H
#define EV_CLI_AWS_OPEN_H

#include "engine/aws/client.h"

struct aws_open;

/* Copied; what is NULL is as the environment and the profile say. */
struct aws_open_options {
	const char *profile; /* given: the environment's keys are not used */
	const char *region;
	const char *ca_file; /* of the services and STS; NULL: the system's */
};

/*
 * Asks nobody yet, but reads the profile's files to say whether a client can be made at all.
 * Errors as aws_client_new, and EV_INVALID: not a region's name, a text too long.
 */
EV_NODISCARD ev_err aws_open_new(const struct aws_open_options *options, struct aws_open **out,
				 struct ev_fail *fail);

/* After all of its clients are freed. */
void aws_open_free(struct aws_open *o);

static inline void aws_open_freep(struct aws_open **o)
{
	aws_open_free(*o);
}

/*
 * A client with a generator of its own, which lives as long as o.  tuning: of aws_client_config
 * only retry and the limits behind it count; NULL: aws_client_defaults.  Not for several threads at
 * once.  Errors as aws_client_new.
 */
EV_NODISCARD ev_err aws_open_client(struct aws_open *o, const struct aws_client_config *tuning,
				    struct aws_client **out, struct ev_fail *fail);

struct aws_credentials *aws_open_credentials(struct aws_open *o);
const char *aws_open_region(const struct aws_open *o);

#endif
