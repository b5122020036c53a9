/*
 * engine/aws/credentials.h — the keys of now: fetched once, renewed ahead of their end, shared.
 *
 * One of these serves all clients of a process.  With less than 15 minutes left one caller renews
 * the keys while the others go on with the old ones; with less than 10 all wait for it.  If that
 * fails the old ones serve for as long as they are valid, and it is tried again after a few
 * seconds.  Keys of an instance serve on beyond their end while its metadata service has no newer
 * ones, as Amazon asks its clients to do.  "Valid" is by our own clock.
 */
#ifndef EV_AWS_CREDENTIALS_H
#define EV_AWS_CREDENTIALS_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/rng.h"
#include "engine/aws/env.h"
#include "engine/aws/keys.h"
#include "engine/aws/retry.h"

struct aws_credentials;

/* Everything pointed to outlives the credentials. */
struct aws_credentials_config {
	struct aws_env env;
	const char *profile; /* NULL: as the environment says */
	struct ev_clock *clock;
	struct ev_rng *rng; /* used by one thread at a time, but by any */
	struct aws_pause pause;
	const char *ca_file;        /* for STS; NULL: the system's CAs */
	const char *container_base; /* NULL: Amazon's address */
};

/* Fetches nothing yet.  EV_NOMEM. */
EV_NODISCARD ev_err aws_credentials_new(const struct aws_credentials_config *config,
					struct aws_credentials **out);

/* No thread may use it any more; keys that were given out live on. */
void aws_credentials_free(struct aws_credentials *c);

static inline void aws_credentials_freep(struct aws_credentials **c)
{
	aws_credentials_free(*c);
}

/*
 * A reference to the keys of now, for the caller to unref.  Errors as of aws_sources_fetch; within
 * a few seconds of a failure the same again, without another try.  Blocks while keys are fetched:
 * up to some 30 s if STS is slow, a minute for a credential_process.  Any thread.
 */
EV_NODISCARD ev_err aws_credentials_get(struct aws_credentials *c, const struct aws_keys **out,
					struct ev_fail *fail);

/*
 * A service has refused these keys as expired or unknown: if they are still those of now, the next
 * get fetches anew.  At most once in a few seconds, as keys may be wrong for good.  Any thread.
 */
void aws_credentials_reject(struct aws_credentials *c, const struct aws_keys *keys);

/* For logs and metrics; no secrets. */
struct aws_credentials_state {
	bool has_keys;
	enum aws_source source;
	int64_t expires_ns; /* AWS_NEVER */
	uint64_t n_fetched, n_failed, n_rejected;
	struct ev_fail last; /* the last failure; code EV_OK: none since keys were last fetched */
};
void aws_credentials_state(struct aws_credentials *c, struct aws_credentials_state *out);

#endif
