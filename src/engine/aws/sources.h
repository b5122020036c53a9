/*
 * engine/aws/sources.h — where keys are looked for, in this order: the environment, the profile,
 * a web identity, the container's endpoint, the instance's.
 *
 * The first that is configured decides, also by failing: whoever sets up a source wants that one.
 * As in Amazon's C client, the instance is not asked where a container's endpoint is configured.
 * The profile's files are read anew each time.  All block; one thread at a time.
 */
#ifndef EV_AWS_SOURCES_H
#define EV_AWS_SOURCES_H

#include "base/clock.h"
#include "base/rng.h"
#include "engine/aws/env.h"
#include "engine/aws/http.h"
#include "engine/aws/keys.h"
#include "engine/aws/profile.h"
#include "engine/aws/retry.h"

#define AWS_INSTANCE_TOKEN_MAX 1024

struct aws_sources {
	struct aws_env env;
	const char
		*profile; /* named by the caller, which leaves the environment's keys out; NULL */
	struct aws_http *http;   /* for STS, on the network's way */
	struct aws_http *direct; /* for the container's and the instance's endpoints */
	struct ev_clock *clock;
	struct ev_rng *rng;
	struct aws_pause pause;
	const char *container_base; /* before a relative URI; NULL: Amazon's address */
	/* The instance's session token, kept while it is good. */
	char instance_token[AWS_INSTANCE_TOKEN_MAX + 1];
	int64_t instance_token_until_ns; /* monotonic */
};

/*
 * The whole chain.  EV_NOTFOUND: no source is configured; EV_INVALID, EV_UNSUPPORTED: one is, but
 * wrongly; EV_DENIED, EV_TIMEOUT, EV_IO, EV_FULL, EV_NOMEM: it did not give any.  No text has a
 * secret in it.
 */
EV_NODISCARD ev_err aws_sources_fetch(struct aws_sources *s, const struct aws_keys **out,
				      struct ev_fail *fail);

/* Single sources; each EV_NOTFOUND if it is not configured, else as above. */

EV_NODISCARD ev_err aws_source_environment(struct aws_sources *s, const struct aws_keys **out,
					   struct ev_fail *fail);

/* Keys of a profile: static, of a role, or of a process. */
EV_NODISCARD ev_err aws_source_profile(struct aws_sources *s, const struct aws_keys **out,
				       struct ev_fail *fail);

/* AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN. */
EV_NODISCARD ev_err aws_source_web_identity(struct aws_sources *s, const struct aws_keys **out,
					    struct ev_fail *fail);

/* AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI, of ECS and EKS. */
EV_NODISCARD ev_err aws_source_container(struct aws_sources *s, const struct aws_keys **out,
					 struct ev_fail *fail);

/*
 * EC2's metadata service, version 2 alone: without its session token anything on the instance that
 * forwards requests could be made to hand out keys.
 */
EV_NODISCARD ev_err aws_source_instance(struct aws_sources *s, const struct aws_keys **out,
					struct ev_fail *fail);

/* Waits between two attempts of a source. */
void aws_sources_pause(struct aws_sources *s, int64_t ns);

#endif
