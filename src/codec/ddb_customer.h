/*
 * codec/ddb_customer.h — rows of the customer table.
 *
 * Ours beside the original's attributes: `version` N, `blocked` BOOL (absent: not), `createdAt` N
 * (ns; absent: 0).  An empty tag is no attribute, since it is the key of an index.  Pure.
 */
#ifndef EV_CODEC_DDB_CUSTOMER_H
#define EV_CODEC_DDB_CUSTOMER_H

#include "codec/ddb_item.h"
#include "core/customer.h"

#define DDB_CUSTOMER_JSON_MAX 8192

struct ddb_customer {
	struct customer customer;
	bool unversioned; /* written by the original */
};

void ddb_customer_key(const struct ev_uuid *id, struct json_writer *w);
void ddb_customer_put(const struct ddb_customer *row, struct json_writer *w);

/* As ddb_outlet_update; an unversioned row's tag must be as read. */
void ddb_customer_update(const struct ddb_customer *was, const struct ddb_customer *now,
			 struct json_writer *w);

/* Members of a DeleteItem: Key, and the condition that the row is still `was`. */
void ddb_customer_delete(const struct ddb_customer *was, struct json_writer *w);

/* A row without version gets version 1.  EV_CORRUPT as ddb_outlet_read; a row without tag reads. */
EV_NODISCARD ev_err ddb_customer_read(struct ev_str item, struct ddb_customer *out);

void ddb_customer_attrs(const struct ddb_customer *row, struct ddb_attrs *out);

#endif
