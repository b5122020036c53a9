/*
 * engine/aws/trouble.h — whether something fails for long enough that people should be told.
 *
 * Trouble is when nothing has worked for `after_ns` since the first failure, and the last one is
 * not long ago.  Without a lock: the owner's.
 */
#ifndef EV_AWS_TROUBLE_H
#define EV_AWS_TROUBLE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/time.h"

#define TROUBLE_FOR_NS (35 * EV_NS_PER_S) /* after the last: what SQS shows again comes by then */

struct aws_trouble {
	bool any; /* failures, and nothing that worked since */
	int64_t since_ns, last_ns;
	struct ev_fail fail; /* the last */
};

static inline void aws_trouble_worked(struct aws_trouble *t)
{
	t->any = false;
}

static inline void aws_trouble_failed(struct aws_trouble *t, const struct ev_fail *fail,
				      int64_t now_ns)
{
	if (!t->any || now_ns - t->last_ns > TROUBLE_FOR_NS)
		t->since_ns = now_ns;
	t->any = true;
	t->last_ns = now_ns;
	t->fail = *fail;
}

static inline bool aws_trouble_is(const struct aws_trouble *t, int64_t after_ns, int64_t now_ns)
{
	return t->any && now_ns - t->since_ns >= after_ns && now_ns - t->last_ns <= TROUBLE_FOR_NS;
}

#endif
