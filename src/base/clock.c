#include "base/clock.h"

#include <assert.h>

static int64_t manual_wall_ns(struct ev_clock *self)
{
	/* base is the first member. */
	return atomic_load(&((struct ev_clock_manual *)self)->wall_ns);
}

static int64_t manual_mono_ns(struct ev_clock *self)
{
	return atomic_load(&((struct ev_clock_manual *)self)->mono_ns);
}

static const struct ev_clock_ops manual_ops = {
	.wall_ns = manual_wall_ns,
	.mono_ns = manual_mono_ns,
};

void ev_clock_manual_init(struct ev_clock_manual *c, int64_t wall_ns)
{
	c->base.ops = &manual_ops;
	atomic_init(&c->wall_ns, wall_ns);
	atomic_init(&c->mono_ns, 0);
}

void ev_clock_manual_advance(struct ev_clock_manual *c, int64_t ns)
{
	assert(ns >= 0);
	atomic_fetch_add(&c->wall_ns, ns);
	atomic_fetch_add(&c->mono_ns, ns);
}

void ev_clock_manual_set_wall(struct ev_clock_manual *c, int64_t wall_ns)
{
	atomic_store(&c->wall_ns, wall_ns);
}
