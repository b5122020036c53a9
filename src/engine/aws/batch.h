/*
 * engine/aws/batch.h — which entries of a partly failed batch are to be sent again.
 *
 * PutRecords, SendMessageBatch, DeleteMessageBatch and BatchWriteItem answer 200 while some of
 * their entries failed.  Nobody retries those but the caller, and only those: sending the others
 * again would repeat them.  Pure; one batch, one thread.
 *
 *     aws_batch_init(&b, n);
 *     do {
 *             send entries b.pending[0 .. b.n_pending - 1], in this order
 *             aws_batch_done / aws_batch_failed for each place in that request
 *     } while (aws_batch_again(&b, …, &delay_ns) && wait(delay_ns));
 */
#ifndef EV_AWS_BATCH_H
#define EV_AWS_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "engine/aws/retry.h"

#define AWS_BATCH_MAX 500 /* entries of a PutRecords, the largest of them */

struct aws_batch {
	size_t n;
	size_t n_pending;
	uint16_t pending[AWS_BATCH_MAX];       /* entries still to be sent, in order */
	enum aws_error_kind of[AWS_BATCH_MAX]; /* by entry: AWS_ERROR_NONE once it is done */
	struct aws_retry retry;
	bool progress; /* an entry was done in this round */
};

/* All n entries (at most AWS_BATCH_MAX) are pending. */
void aws_batch_init(struct aws_batch *b, size_t n);

/* The entry at this place of the last request was accepted. */
void aws_batch_done(struct aws_batch *b, size_t place);

/* It was not, and why.  An error that does not go away by itself is final. */
void aws_batch_failed(struct aws_batch *b, size_t place, enum aws_error_kind kind);

/*
 * After each place was told; one that was not counts as AWS_ERROR_BAD_ANSWER and is final: it may
 * have been accepted.  True: b->pending is what to send next, after *out_delay_ns.  False: nothing
 * is left to be sent, or attempts or tokens are used up; b->of says what became of each entry.  A
 * round in which an entry was accepted does not count against the attempts.
 */
bool aws_batch_again(struct aws_batch *b, const struct aws_retry_rules *rules,
		     struct aws_retry_tokens *tokens, struct ev_rng *rng, int64_t *out_delay_ns);

/* How many entries are not done. */
size_t aws_batch_n_failed(const struct aws_batch *b);

#endif
