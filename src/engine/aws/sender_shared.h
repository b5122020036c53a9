/*
 * engine/aws/sender_shared.h — one sender for all lanes, with a thread of its own.
 *
 * What lanes have waiting goes out together: up to 500 events in a PutRecords, up to 10 commands in
 * a SendMessageBatch, a few of each under way at a time; while those are, the next ones gather.  Of
 * a row's effects only the next one is ever on its way, so that nothing overtakes one that failed:
 * what a batch refused is sent again by engine/aws/batch, and the row's later effects wait for it.
 *
 * A send waits until all is accepted, its time is over, or an error that does not go away by
 * itself; then the row's other effects are not sent.
 */
#ifndef EV_AWS_SENDER_SHARED_H
#define EV_AWS_SENDER_SHARED_H

#include "base/clock.h"
#include "engine/aws/caller.h"
#include "engine/aws/sender.h"

struct aws_sender_shared_config {
	struct aws_caller *caller; /* used by the sender's thread only, but for wake */
	struct ev_clock *clock;    /* the operating system's: waiting is by that */
	const char *stream;
	const char *queue;
	int64_t timeout_ns;   /* of a send, [20 s]; it may take twice that if the network hangs */
	unsigned max_puts;    /* PutRecords under way, 1 to 3, [2] */
	unsigned max_batches; /* SendMessageBatch under way, 1 to 16, [8] */
	size_t max_waiting;   /* sends at a time, [1,024]; more are EV_BUSY at once */
};
struct aws_sender_shared_config aws_sender_shared_defaults(void);

/*
 * Borrows all that is pointed to until `free`, at which no send may be under way.  EV_NOMEM, EV_IO:
 * no thread.
 */
EV_NODISCARD ev_err aws_sender_shared_new(const struct aws_sender_shared_config *config,
					  struct aws_sender **out);

struct aws_sender_shared_stats {
	uint64_t events, commands; /* accepted */
	uint64_t puts, batches;    /* calls */
	uint64_t resent;           /* entries sent again */
	uint64_t failed, refused;  /* sends with an error; those there was no room for */
	size_t waiting;            /* sends under way now */
};
/* Any thread. */
void aws_sender_shared_stats(struct aws_sender *s, struct aws_sender_shared_stats *out);

#endif
