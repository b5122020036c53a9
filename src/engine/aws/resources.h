/*
 * engine/aws/resources.h — the names of all queues, streams and tables, and what they look like.
 *
 * Those of the original system (facts/original-system.md section 0) keep its names; ours are one
 * table, its index, and a queue for each gateway.  `prefix` stands in for "ev-charging_".
 */
#ifndef EV_AWS_RESOURCES_H
#define EV_AWS_RESOURCES_H

#include "base/err.h"
#include "base/str.h"

#define AWS_RESOURCE_MAX 128 /* bytes of a name; queues may have no more than 80 */
#define AWS_PREFIX_MAX 24
#define AWS_PREFIX_DEFAULT "ev-charging_"

/* The key of the original's tables; of ours pk and sk, of its index gpk and gsk, all strings. */
#define AWS_ITEM_PK "pk"
#define AWS_ITEM_SK "sk"
#define AWS_ITEM_INDEX_PK "gpk"
#define AWS_ITEM_INDEX_SK "gsk"
#define AWS_ITEM_EXPIRES "expires" /* seconds since 1970, for DynamoDB's time to live */

struct aws_resources {
	char prefix[AWS_PREFIX_MAX + 1];

	char event_stream[AWS_RESOURCE_MAX];       /* 4 shards */
	char dead_letter_stream[AWS_RESOURCE_MAX]; /* 1 shard */
	char outlet_leases[AWS_RESOURCE_MAX];      /* table, HASH leaseKey */
	char app_leases[AWS_RESOURCE_MAX];

	char customers[AWS_RESOURCE_MAX];            /* table, HASH customerId */
	char customers_by_tag[AWS_RESOURCE_MAX];     /* index, HASH rfidTag, INCLUDE customerId */
	char outlets[AWS_RESOURCE_MAX];              /* table, HASH outletId */
	char sessions[AWS_RESOURCE_MAX];             /* table, HASH sessionId */
	char sessions_by_customer[AWS_RESOURCE_MAX]; /* index, HASH customerId, INCLUDE … */

	char items[AWS_RESOURCE_MAX];       /* table of ours, HASH pk, RANGE sk */
	char items_index[AWS_RESOURCE_MAX]; /* index, HASH gpk, RANGE gsk, ALL */

	char messages_in[AWS_RESOURCE_MAX]; /* queue: devices to the outlet backend */
	char messages_in_dead[AWS_RESOURCE_MAX];
	char commands_out[AWS_RESOURCE_MAX]; /* queue: outlet backend to devices */
	char commands_out_dead[AWS_RESOURCE_MAX];
};

/* EV_INVALID: a prefix that is too long or that AWS would not take in a name. */
EV_NODISCARD ev_err aws_resources_init(struct aws_resources *r, struct ev_str prefix);

/* The queue of one gateway, made by the gateway itself; id of letters, digits, `-` and `_`. */
EV_NODISCARD ev_err aws_resources_gateway_queue(const struct aws_resources *r, struct ev_str id,
						char out[AWS_RESOURCE_MAX]);

#endif
