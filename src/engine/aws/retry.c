#include "engine/aws/retry.h"

#include "base/time.h"

#define ASKED_SLACK_NS (5 * EV_NS_PER_S)

struct aws_retry_rules aws_retry_standard(void)
{
	return (struct aws_retry_rules){
		.max_attempts = 3,
		.base_ns = EV_NS_PER_S,
		.max_ns = 20 * EV_NS_PER_S,
	};
}

bool aws_retry_may(enum aws_error_kind kind)
{
	return kind == AWS_ERROR_THROTTLED || kind == AWS_ERROR_TRANSIENT ||
	       kind == AWS_ERROR_TIMED_OUT;
}

/* How wide the delay's range is after so many failures. */
static int64_t width(const struct aws_retry_rules *rules, unsigned failures)
{
	int64_t w = rules->base_ns;

	for (unsigned i = 1; i < failures && w < rules->max_ns; i++)
		w *= 2;
	return w < rules->max_ns ? w : rules->max_ns;
}

static int64_t delay(const struct aws_retry_rules *rules, unsigned failures, int64_t asked_ns,
		     struct ev_rng *rng)
{
	int64_t w = width(rules, failures);
	int64_t d = (int64_t)ev_rng_below(rng, (uint64_t)w + 1);

	if (asked_ns <= 0)
		return d;
	if (d < asked_ns)
		return asked_ns;
	return d < asked_ns + ASKED_SLACK_NS ? d : asked_ns + ASKED_SLACK_NS;
}

bool aws_retry_again(const struct aws_retry_rules *rules, struct aws_retry_tokens *tokens,
		     struct aws_retry *r, enum aws_error_kind kind, int64_t asked_ns,
		     struct ev_rng *rng, int64_t *out_delay_ns)
{
	unsigned cost = kind == AWS_ERROR_TIMED_OUT ? AWS_RETRY_COST_TIMED_OUT : AWS_RETRY_COST;

	r->attempts++;
	if (!aws_retry_may(kind) || r->attempts >= rules->max_attempts || tokens->left < cost)
		return false;
	tokens->left -= cost;
	r->held = cost;
	*out_delay_ns = delay(rules, r->attempts, asked_ns, rng);
	return true;
}

void aws_retry_won(struct aws_retry_tokens *tokens, const struct aws_retry *r)
{
	unsigned back = r->held > 0 ? r->held : 1;

	tokens->left = tokens->left + back < AWS_RETRY_TOKENS ? tokens->left + back
							      : AWS_RETRY_TOKENS;
}
