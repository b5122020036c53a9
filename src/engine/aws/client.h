/*
 * engine/aws/client.h — calls of SQS, Kinesis and DynamoDB: JSON in, JSON out.
 *
 * Signs with the keys of now, sets its clock by the answers, tries again what can go away by
 * itself, renews refused keys once, checks checksums.  A client belongs to one thread, but for
 * aws_client_wake; several clients share one struct aws_credentials.  Fetching keys blocks the
 * client, and with it all of its calls.
 */
#ifndef EV_AWS_CLIENT_H
#define EV_AWS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/rng.h"
#include "engine/aws/caller.h"
#include "engine/aws/credentials.h"
#include "engine/aws/endpoint.h"
#include "engine/aws/error.h"
#include "engine/aws/retry.h"

struct aws_client;

/* Everything pointed to outlives the client, except ca_file and profile. */
struct aws_client_config {
	struct aws_env env;
	const char *profile; /* for region and endpoints; NULL: as the environment says */
	struct aws_credentials *credentials;
	struct ev_clock *clock;
	struct ev_rng *rng; /* the client's thread's own */
	struct aws_pause pause;
	struct aws_retry_rules retry;
	const char *ca_file;    /* NULL: the system's CAs */
	unsigned max_in_flight; /* connections; calls beyond wait */
	unsigned max_calls;     /* under way, waiting ones included */
	unsigned connect_ms;
	unsigned attempt_ms; /* for one attempt, if a call does not say otherwise */
	size_t max_answer;   /* bytes */
};

/*
 * All but env, credentials, clock and rng: 3 attempts, 16 connections, 256 calls, 5 s, 10 s, 12
 * MiB.
 */
struct aws_client_config aws_client_defaults(void);

/*
 * Resolves region and endpoints.  EV_NOTFOUND (no region), EV_INVALID, EV_DENIED or EV_IO (the
 * profile's files), EV_NOMEM.
 */
EV_NODISCARD ev_err aws_client_new(const struct aws_client_config *config, struct aws_client **out,
				   struct ev_fail *fail);

/* What is under way ends without a word; its calls can then be cleared. */
void aws_client_free(struct aws_client *c);

static inline void aws_client_freep(struct aws_client **c)
{
	aws_client_free(*c);
}

const char *aws_client_region(const struct aws_client *c);
const struct aws_endpoint *aws_client_endpoint(const struct aws_client *c, enum aws_service s);

/*
 * Starts a call.  EV_FULL: max_calls are under way; EV_INVALID: no such service or operation;
 * EV_NOMEM.  Never calls back and does not block.
 */
EV_NODISCARD ev_err aws_call_submit(struct aws_client *c, struct aws_call *call);

/*
 * Works for up to timeout_ns and gives out one call that is done.  EV_TIMEOUT: none is in time,
 * EV_BUSY: somebody called wake, EV_NOTFOUND: none is under way, EV_IO: libcurl itself failed.
 */
EV_NODISCARD ev_err aws_client_poll(struct aws_client *c, int64_t timeout_ns,
				    struct aws_call **out);

/* Gives a call up, wherever it is; whether it took place is not known. */
void aws_call_cancel(struct aws_client *c, struct aws_call *call);

/*
 * Makes all calls, as many at once as there is room for, and returns when all are done or at the
 * deadline (monotonic; 0: none); those not done by then are given up as AWS_ERROR_TIMED_OUT:
 * whether they took place is not known.  Each has its own result.  Others under way go on
 * meanwhile.
 */
void aws_client_run(struct aws_client *c, struct aws_call calls[], size_t n, int64_t deadline_ns);

/* One call, waited for; its result. */
EV_NODISCARD ev_err aws_call(struct aws_client *c, struct aws_call *call, int64_t deadline_ns);

/* Ends a poll early, this one or the next.  Any thread. */
void aws_client_wake(struct aws_client *c);

/* The client as what the engine calls; valid until aws_client_free. */
struct aws_caller *aws_client_caller(struct aws_client *c);

/* What a client shares with the batches that it resends. */
struct aws_retry_tokens *aws_client_tokens(struct aws_client *c);
const struct aws_retry_rules *aws_client_rules(const struct aws_client *c);

struct aws_client_stats {
	uint64_t attempts, retries, throttled, timed_out, transient;
	uint64_t failed;     /* calls */
	uint64_t renewals;   /* of keys, on a service's word */
	uint64_t clock_sets; /* by a service's date */
	uint64_t bad_checksums;
	uint64_t too_large;      /* answers */
	int64_t clock_offset_ns; /* theirs less ours, 0 while it is small */
};
const struct aws_client_stats *aws_client_stats(const struct aws_client *c);

#endif
