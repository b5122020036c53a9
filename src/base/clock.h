/*
 * base/clock.h — where the time comes from: the operating system, or a test's own hand.
 *
 * The shell reads a clock once a turn and passes the time on; the core never sees one.
 */
#ifndef EV_BASE_CLOCK_H
#define EV_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

struct ev_clock;

struct ev_clock_ops {
	/* Nanoseconds UTC since 1970; may be set back and forth by people.  Never blocks. */
	int64_t (*wall_ns)(struct ev_clock *self);
	/* Nanoseconds since some start, never backwards: for time-outs.  Never blocks. */
	int64_t (*mono_ns)(struct ev_clock *self);
};

struct ev_clock {
	const struct ev_clock_ops *ops;
};

static inline int64_t ev_clock_wall_ns(struct ev_clock *c)
{
	return c->ops->wall_ns(c);
}

static inline int64_t ev_clock_mono_ns(struct ev_clock *c)
{
	return c->ops->mono_ns(c);
}

/* The operating system's; one for all threads, never freed. */
struct ev_clock *ev_clock_os(void);

/* A clock that stands still until it is told to move.  Several threads may use it. */
struct ev_clock_manual {
	struct ev_clock base;
	_Atomic int64_t wall_ns;
	_Atomic int64_t mono_ns;
};

/* Starts at wall_ns, the monotonic side at 0. */
void ev_clock_manual_init(struct ev_clock_manual *c, int64_t wall_ns);

/* Both sides go on by ns, which is not negative. */
void ev_clock_manual_advance(struct ev_clock_manual *c, int64_t ns);

/* Somebody sets the wall clock, also back; the monotonic side stays. */
void ev_clock_manual_set_wall(struct ev_clock_manual *c, int64_t wall_ns);

#endif
