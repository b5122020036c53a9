/*
 * service/news.h — what a group told, in the order of its commits, for all loops that must hear of
 * it: one batch that they share, written by the writer thread before it is handed out and read by
 * everybody afterwards.
 */
#ifndef EV_SERVICE_NEWS_H
#define EV_SERVICE_NEWS_H

#include <stdatomic.h>

#include "port/query.h"
#include "service/job.h"

struct news {
	enum { NEWS_ARRIVAL, NEWS_COMMAND, NEWS_EVENT } kind;
	union {
		struct arrival arrival;
		struct device_command command;
		struct stored_event event;
	};
};

struct news_batch {
	atomic_uint holders;
	size_t n, cap;
	size_t n_arrivals; /* the first of the n */
	size_t n_events;   /* of the others */
	struct news *items;
};

/* One batch that nobody holds is kept for the next group: its memory is there already. */
struct news_pool {
	_Atomic(struct news_batch *) spare;
};

/* Nobody holds a batch of it any more. */
void news_pool_deinit(struct news_pool *p);

/* Appends to *batch, which is taken from the pool if it is NULL.  NULL: no memory. */
struct news *news_add(struct news_pool *p, struct news_batch **batch);

/* Any thread: one holder less; without any, the batch is the pool's again. */
void news_release(struct news_pool *p, struct news_batch *batch);

/* What waits for a loop. */
struct news_queue {
	struct news_batch **items;
	size_t n, cap;
};

/* EV_NOMEM. */
EV_NODISCARD ev_err news_queue_push(struct news_queue *q, struct news_batch *batch);

#endif
