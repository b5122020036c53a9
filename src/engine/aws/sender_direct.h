/*
 * engine/aws/sender_direct.h — events and commands put through the caller of the lane itself, at
 * once: for one lane, and for simulations.
 */
#ifndef EV_AWS_SENDER_DIRECT_H
#define EV_AWS_SENDER_DIRECT_H

#include "base/clock.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"
#include "engine/aws/sender.h"

/* All that is pointed to is borrowed until its `free`.  EV_NOMEM. */
EV_NODISCARD ev_err aws_sender_direct_new(struct aws_caller *caller, struct ev_clock *clock,
					  const struct aws_resources *resources, int64_t timeout_ns,
					  struct aws_sender **out);

#endif
