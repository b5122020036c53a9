/* service/news.c — see news.h. */
#include "service/news.h"

#include <stdlib.h>

#define FIRST_CAP 64

static void batch_free(struct news_batch *b)
{
	if (b == NULL)
		return;
	free(b->items);
	free(b);
}

void news_pool_deinit(struct news_pool *p)
{
	batch_free(atomic_exchange(&p->spare, NULL));
}

static bool grow(struct news_batch *b)
{
	size_t cap = b->cap == 0 ? FIRST_CAP : 2 * b->cap;
	struct news *items = realloc(b->items, cap * sizeof(*items));

	if (items == NULL)
		return false;
	b->items = items;
	b->cap = cap;
	return true;
}

struct news *news_add(struct news_pool *p, struct news_batch **batch)
{
	if (*batch == NULL)
		*batch = atomic_exchange(&p->spare, NULL);
	if (*batch == NULL)
		*batch = calloc(1, sizeof(**batch));
	if (*batch == NULL || ((*batch)->n == (*batch)->cap && !grow(*batch)))
		return NULL;
	return &(*batch)->items[(*batch)->n++];
}

void news_release(struct news_pool *p, struct news_batch *batch)
{
	if (atomic_fetch_sub(&batch->holders, 1) > 1)
		return;
	batch->n = 0;
	batch->n_arrivals = 0;
	batch->n_events = 0;
	batch_free(atomic_exchange(&p->spare, batch));
}

ev_err news_queue_push(struct news_queue *q, struct news_batch *batch)
{
	if (q->n == q->cap) {
		size_t cap = q->cap == 0 ? 8 : 2 * q->cap;
		struct news_batch **items = realloc(q->items, cap * sizeof(*items));

		if (items == NULL)
			return EV_NOMEM;
		q->items = items;
		q->cap = cap;
	}
	q->items[q->n++] = batch;
	return EV_OK;
}
