/*
 * engine/aws/retry.h — whether to try a request again, and after how long: the "standard" mode of
 * Amazon's own clients.
 *
 * Pure: randomness is given, time is only told.  A client has one bucket of tokens for all of its
 * requests; when many fail, it runs dry, and what fails then fails at once instead of adding to the
 * load.
 */
#ifndef EV_AWS_RETRY_H
#define EV_AWS_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "engine/aws/error.h"

#define AWS_RETRY_TOKENS 500
#define AWS_RETRY_COST 5
#define AWS_RETRY_COST_TIMED_OUT 10

struct aws_retry_rules {
	unsigned max_attempts; /* the first one included */
	int64_t base_ns; /* the first delay is uniform in 0 .. base, each next twice as wide */
	int64_t max_ns;  /* but never wider than this */
};

/* 3 attempts, 1 s, 20 s. */
struct aws_retry_rules aws_retry_standard(void);

struct aws_retry_tokens {
	unsigned left;
};

/* Of one request. */
struct aws_retry {
	unsigned attempts; /* that have failed */
	unsigned held;     /* tokens taken for the last retry */
};

static inline struct aws_retry_tokens aws_retry_full(void)
{
	return (struct aws_retry_tokens){ .left = AWS_RETRY_TOKENS };
}

/* How to wait for a delay: in a test, by moving its clock.  fn NULL: really. */
struct aws_pause {
	void (*fn)(void *user, int64_t ns);
	void *user;
};

/* Whether an error of this kind can go away by itself. */
bool aws_retry_may(enum aws_error_kind kind);

/*
 * An attempt has failed.  True: try again after *out_delay_ns, for which tokens were taken.  False:
 * the error stays, attempts are used up or the bucket is empty.  asked_ns is the service's own wish
 * (x-amz-retry-after), 0 if none: the delay is then at least that, and at most 5 s more.
 */
bool aws_retry_again(const struct aws_retry_rules *rules, struct aws_retry_tokens *tokens,
		     struct aws_retry *r, enum aws_error_kind kind, int64_t asked_ns,
		     struct ev_rng *rng, int64_t *out_delay_ns);

/* An attempt has succeeded: gives back what its retry took, or one token for a first attempt. */
void aws_retry_won(struct aws_retry_tokens *tokens, const struct aws_retry *r);

#endif
