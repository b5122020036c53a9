/*
 * engine/aws/sender.h — events to the stream and commands to the queue, for many lanes at once.
 *
 * A lane hands over what one row has unsent, in order, and waits; what many lanes have goes out in
 * common PutRecords and SendMessageBatch calls.  The partition key of an event is its outletId, and
 * a row's effects go one after the other, so that an outlet has one put in flight (design section
 * 5.4).  Implementations: engine/aws/sender_shared (a thread of its own), engine/aws/sender_direct
 * (through the caller of the lane itself; for one lane, and for simulations).
 */
#ifndef EV_AWS_SENDER_H
#define EV_AWS_SENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/types.h"

struct aws_effect {
	bool is_command;
	union {
		struct charging_event event;
		struct device_command command;
	};
};

struct aws_sender;

struct aws_sender_ops {
	/*
	 * Sends n effects of one row in sequence, each accepted before the next goes.  *out_sent:
	 * how many were accepted, from the first on, also on errors: EV_BUSY (throttled for too
	 * long), EV_TIMEOUT (the next one may have been accepted), EV_IO, EV_DENIED, EV_CLOSED.
	 * Of events never two of an outlet in one call: where a part of it fails, the later one
	 * could be put first.  Blocks.  Any thread.
	 */
	ev_err (*send)(struct aws_sender *s, const struct aws_effect effects[], size_t n,
		       size_t *out_sent) EV_NODISCARD;
	void (*free)(struct aws_sender *s);
};

struct aws_sender {
	const struct aws_sender_ops *ops;
};

#endif
