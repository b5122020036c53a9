/*
 * net/address.h — how many connections each peer address has.  An IPv6 /64 is one address: that is
 * the least a single customer gets.  Memory grows with the number of distinct addresses only.
 */
#ifndef EV_NET_ADDRESS_H
#define EV_NET_ADDRESS_H

#include <stdint.h>

#include "base/err.h"

struct address_table;

/* EV_NOMEM, EV_IO (no randomness for the hash). */
EV_NODISCARD ev_err address_table_new(struct address_table **out);
void address_table_free(struct address_table *t);

/* One connection more, unless there are max already: EV_FULL.  EV_NOMEM. */
EV_NODISCARD ev_err address_table_add(struct address_table *t, const uint8_t address[16],
				      uint32_t max);

/* One less of an address that was added. */
void address_table_remove(struct address_table *t, const uint8_t address[16]);

#endif
