/*
 * net/quota.h — how many connections listeners have together, in all and from one address.  Those
 * that share a port, each on a loop of its own, share one of these.
 *
 * Any thread; a lock for each connection that comes or goes.
 */
#ifndef EV_NET_QUOTA_H
#define EV_NET_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct net_quota;

/* EV_NOMEM, EV_IO (no randomness for a hash). */
EV_NODISCARD ev_err net_quota_new(struct net_quota **out);
/* After the servers of all its listeners.  NULL is fine. */
void net_quota_free(struct net_quota *q);

enum net_quota_answer { NET_QUOTA_TAKEN, NET_QUOTA_ALL, NET_QUOTA_ADDRESS, NET_QUOTA_NOMEM };

/*
 * One connection more, unless there are `max` in all or `max_per_address` of its address already;
 * 0 is no limit.  Addresses count for those that were taken with a limit of them, so it is to be 0
 * always or never.
 */
EV_NODISCARD enum net_quota_answer net_quota_take(struct net_quota *q, const uint8_t address[16],
						  uint32_t max, uint32_t max_per_address);

/* One that was taken has ended; `by_address`: with a limit of its address. */
void net_quota_give(struct net_quota *q, const uint8_t address[16], bool by_address);

#endif
