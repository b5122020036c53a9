/* test/cloud/caller.h — calls under way. */
#ifndef EV_TEST_CLOUD_CALLER_H
#define EV_TEST_CLOUD_CALLER_H

#include <stdatomic.h>

#include "cloud/internal.h"

struct cloud_caller {
	struct aws_caller base;
	struct cloud *cloud;
	struct cloud_caller *next;
	char name[48];
	struct ev_list done;
	size_t n_calls; /* under way or done, but not given out */
	bool dead;
	uint64_t life; /* grows with each revival */
	_Atomic bool woken;
	struct aws_retry_tokens tokens;
	struct aws_retry_rules rules;
	struct ev_rng_seeded rng;
};

struct aws_call_run {
	struct aws_call_run *next;
	struct cloud_caller *caller;
	struct aws_call *call; /* NULL: given up, but it still takes place */
	const struct op *op;
	size_t op_index;
	uint64_t life;
	int64_t due_ns; /* monotonic; of one that is delayed */
	struct aws_retry retry;
	enum cloud_fault fault;
	unsigned attempts;
	bool renewed; /* its keys */
	bool parked;
	int64_t park_end_ns;
	int64_t park_look_ns; /* when a message becomes visible */
	uint64_t park_queue, park_version;
	char *ghost_body; /* of one that was given up */
	size_t ghost_n;
};

/* Of an attempt. */
enum outcome { OUTCOME_DONE, OUTCOME_PARKED, OUTCOME_GONE };

/*
 * Does one attempt, faults and all.  DONE: the call has its result.  PARKED: it waits.  GONE: there
 * is nobody any more who wants to know.
 */
enum outcome run_attempt(struct aws_call_run *run);

/* The call's result, for its owner to see. */
void call_fail(struct aws_call *call, enum aws_error_kind kind, const char *code,
	       const char *message);
void call_close(struct aws_call *call);

/* It takes effect, but nobody hears of it. */
void run_silently(struct aws_call_run *run);

#endif
