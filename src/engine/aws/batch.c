#include "engine/aws/batch.h"

#include <assert.h>

void aws_batch_init(struct aws_batch *b, size_t n)
{
	assert(n <= AWS_BATCH_MAX);
	*b = (struct aws_batch){ .n = n, .n_pending = n };
	for (size_t i = 0; i < n; i++) {
		b->pending[i] = (uint16_t)i;
		b->of[i] = AWS_ERROR_BAD_ANSWER;
	}
}

void aws_batch_done(struct aws_batch *b, size_t place)
{
	assert(place < b->n_pending);
	b->of[b->pending[place]] = AWS_ERROR_NONE;
	b->progress = true;
}

void aws_batch_failed(struct aws_batch *b, size_t place, enum aws_error_kind kind)
{
	assert(place < b->n_pending && kind != AWS_ERROR_NONE);
	b->of[b->pending[place]] = kind;
}

/* Throttled if any of them is: the wish to slow down is for all. */
static enum aws_error_kind keep_failed(struct aws_batch *b)
{
	enum aws_error_kind worst = AWS_ERROR_NONE;
	size_t kept = 0;

	for (size_t i = 0; i < b->n_pending; i++) {
		uint16_t entry = b->pending[i];

		if (!aws_retry_may(b->of[entry]))
			continue;
		b->pending[kept++] = entry;
		if (worst != AWS_ERROR_THROTTLED)
			worst = b->of[entry];
	}
	b->n_pending = kept;
	return worst;
}

bool aws_batch_again(struct aws_batch *b, const struct aws_retry_rules *rules,
		     struct aws_retry_tokens *tokens, struct ev_rng *rng, int64_t *out_delay_ns)
{
	enum aws_error_kind worst = keep_failed(b);

	if (b->progress) {
		aws_retry_won(tokens, &b->retry);
		b->retry = (struct aws_retry){ .attempts = 0 };
	}
	b->progress = false;
	if (b->n_pending == 0 ||
	    !aws_retry_again(rules, tokens, &b->retry, worst, 0, rng, out_delay_ns))
		return false;
	for (size_t i = 0; i < b->n_pending; i++)
		b->of[b->pending[i]] = AWS_ERROR_BAD_ANSWER;
	return true;
}

size_t aws_batch_n_failed(const struct aws_batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->of[i] != AWS_ERROR_NONE;
	return n;
}
