/*
 * net/gateway_rate.h — how much each device may send, counted once for gateways on several loops.
 *
 * A gateway alone counts in its own entries, without a lock.  Several share one of these: a device
 * has one bucket in it as long as any of them knows the device, so that it gains nothing by
 * connections that land on different loops.
 */
#ifndef EV_NET_GATEWAY_RATE_H
#define EV_NET_GATEWAY_RATE_H

#include <pthread.h>

#include "base/map.h"
#include "base/rng.h"
#include "base/uuid.h"

/* Messages a second, with a burst: held in thousandths of a message. */
struct gateway_bucket {
	int64_t milli;
	int64_t at_ms;
};

struct gateway_rates;

/* At most max_devices at a time.  EV_NOMEM. */
EV_NODISCARD ev_err gateway_rates_new(uint32_t max_devices, struct ev_rng *rng,
				      struct gateway_rates **out);
/* After all gateways that use it.  NULL is fine. */
void gateway_rates_free(struct gateway_rates *r);

/* A device's bucket and its lock. */
struct gateway_rate {
	struct gateway_bucket bucket;
	pthread_mutex_t *lock; /* NULL: one loop's alone */
	struct ev_uuid id;     /* shared: the key */
	unsigned holders;      /* shared: gateways that know the device */
};

/* Any thread: the device's, filled by `fresh` if it is new.  NULL: no memory, or too many. */
struct gateway_rate *gateway_rates_get(struct gateway_rates *r, const struct ev_uuid *id,
				       const struct gateway_bucket *fresh);
/* Any thread: one holder less. */
void gateway_rates_put(struct gateway_rates *r, struct gateway_rate *rate);

/* Limits: messages a second, and at once. */
struct gateway_limits {
	uint32_t rate;
	uint32_t burst;
};

struct gateway_bucket gateway_bucket_full(const struct gateway_limits *l, int64_t now_ms);

/*
 * Takes one message's worth.  0: there was one; else how many ms until there is one again (it is
 * taken all the same, once).
 */
int64_t gateway_rate_take(struct gateway_rate *r, const struct gateway_limits *l, int64_t now_ms);

/* Takes n at once, below zero if need be; false: it was below zero, nothing is taken. */
bool gateway_rate_take_batch(struct gateway_rate *r, const struct gateway_limits *l, size_t n,
			     int64_t now_ms);

/* Whether it limits whoever comes next: not full, and used within keep_ms. */
bool gateway_rate_matters(struct gateway_rate *r, const struct gateway_limits *l, int64_t keep_ms,
			  int64_t now_ms);

#endif
