/*
 * base/mailbox.h — a queue from any number of threads to one, handed over in batches.
 *
 * Nodes are intrusive: whoever posts gives the node away, whoever takes it owns it.  A wake across
 * threads costs as much as deciding dozens of messages, so the receiver is woken only when the box
 * was empty, and takes all that is there.
 */
#ifndef EV_BASE_MAILBOX_H
#define EV_BASE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct ev_node {
	struct ev_node *next;
};

/* A list of nodes with both ends, first posted first; empty when first is NULL. */
struct ev_list {
	struct ev_node *first;
	struct ev_node *last;
	size_t n;
};

/* Appends at the end. */
void ev_list_push(struct ev_list *l, struct ev_node *node);

/* Takes the first, NULL when empty. */
struct ev_node *ev_list_pop(struct ev_list *l);

/* Moves all of b behind a; b is empty then. */
void ev_list_join(struct ev_list *a, struct ev_list *b);

struct ev_mailbox {
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct ev_list list;
	size_t max;
	int fd;
	bool closed;
};

/* Wakes through an eventfd, for a receiver that sits in a loop, instead of through take. */
#define EV_MAILBOX_EVENTFD 1U

/* Holds at most max nodes (0: no bound).  EV_NOMEM, EV_IO (no eventfd left). */
EV_NODISCARD ev_err ev_mailbox_init(struct ev_mailbox *mb, size_t max, unsigned flags);

/* No thread may use it any more; nodes still inside are the caller's: take them first. */
void ev_mailbox_deinit(struct ev_mailbox *mb);

/*
 * Posts the whole list and empties it.  EV_FULL when it would not fit, EV_CLOSED: then the list is
 * still the caller's.  Any thread; blocks for the lock only.
 */
EV_NODISCARD ev_err ev_mailbox_post(struct ev_mailbox *mb, struct ev_list *list);

/*
 * Moves all that is there behind *out.  With nothing there it waits for up to timeout_ns (0: not at
 * all; negative: for as long as it takes): EV_TIMEOUT, or EV_CLOSED once closed and empty.  The
 * receiving thread only.
 */
EV_NODISCARD ev_err ev_mailbox_take(struct ev_mailbox *mb, int64_t timeout_ns, struct ev_list *out);

/* Nothing is accepted from now on; a waiting receiver wakes.  Any thread. */
void ev_mailbox_close(struct ev_mailbox *mb);

/* With EV_MAILBOX_EVENTFD: readable while there is something to take, or once closed.  Else -1. */
int ev_mailbox_fd(const struct ev_mailbox *mb);

/* How many wait now, for a metric. */
size_t ev_mailbox_len(struct ev_mailbox *mb);

#endif
