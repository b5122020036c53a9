/* net/quota.c — see quota.h. */
#include "net/quota.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "net/address.h"

struct net_quota {
	pthread_mutex_t lock;
	uint32_t n;
	struct address_table *addresses;
};

ev_err net_quota_new(struct net_quota **out)
{
	struct net_quota *q = calloc(1, sizeof(*q));
	ev_err e;

	if (q == NULL)
		return EV_NOMEM;
	e = address_table_new(&q->addresses);
	if (e == EV_OK && pthread_mutex_init(&q->lock, NULL) != 0) {
		address_table_free(q->addresses);
		e = EV_NOMEM;
	}
	if (e != EV_OK) {
		free(q);
		return e;
	}
	*out = q;
	return EV_OK;
}

void net_quota_free(struct net_quota *q)
{
	if (q == NULL)
		return;
	assert(q->n == 0);
	address_table_free(q->addresses);
	(void)pthread_mutex_destroy(&q->lock); /* nobody holds it */
	free(q);
}

static enum net_quota_answer take(struct net_quota *q, const uint8_t address[16], uint32_t max,
				  uint32_t max_per_address)
{
	ev_err e = EV_OK;

	if (max != 0 && q->n >= max)
		return NET_QUOTA_ALL;
	if (max_per_address != 0)
		e = address_table_add(q->addresses, address, max_per_address);
	if (e != EV_OK)
		return e == EV_FULL ? NET_QUOTA_ADDRESS : NET_QUOTA_NOMEM;
	q->n++;
	return NET_QUOTA_TAKEN;
}

enum net_quota_answer net_quota_take(struct net_quota *q, const uint8_t address[16], uint32_t max,
				     uint32_t max_per_address)
{
	enum net_quota_answer answer;

	(void)pthread_mutex_lock(&q->lock);
	answer = take(q, address, max, max_per_address);
	(void)pthread_mutex_unlock(&q->lock);
	return answer;
}

void net_quota_give(struct net_quota *q, const uint8_t address[16], bool by_address)
{
	(void)pthread_mutex_lock(&q->lock);
	q->n--;
	if (by_address)
		address_table_remove(q->addresses, address);
	(void)pthread_mutex_unlock(&q->lock);
}
