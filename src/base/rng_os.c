#include "base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static void refill(struct ev_rng_os *r)
{
	size_t have = 0;

	while (have < sizeof(r->block)) {
		ssize_t n = getrandom(r->block + have, sizeof(r->block) - have, 0);

		if (n < 0 && errno != EINTR) {
			/* Ids and secrets hang on it: nothing may go on without. */
			perror("getrandom");
			abort();
		}
		have += n > 0 ? (size_t)n : 0;
	}
	r->left = sizeof(r->block);
}

static void os_fill(struct ev_rng *self, void *out, size_t n)
{
	struct ev_rng_os *r = (struct ev_rng_os *)self; /* base is the first member */
	uint8_t *to = out;

	while (n > 0) {
		size_t part;
		uint8_t *from;

		if (r->left == 0)
			refill(r);
		part = n < r->left ? n : r->left;
		from = r->block + sizeof(r->block) - r->left;
		memcpy(to, from, part);
		explicit_bzero(from, part);
		r->left -= part;
		to += part;
		n -= part;
	}
}

void ev_rng_os_init(struct ev_rng_os *r)
{
	static const struct ev_rng_ops ops = { .fill = os_fill };

	r->base.ops = &ops;
	r->left = 0;
}
