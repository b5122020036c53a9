/*
 * test/cloud/dynamo.h — tables in memory: partitions by hash, rows sorted within, each row with the
 * versions that a reader who did not ask for consistency may still see.
 */
#ifndef EV_TEST_CLOUD_DYNAMO_H
#define EV_TEST_CLOUD_DYNAMO_H

#include "cloud/expr.h"
#include "cloud/value.h"

#define STALE_MAX_NS                                                                               \
	(2 * EV_NS_PER_S) /* no reader is behind by more, but for config.index_lag_ns */

struct key_schema {
	struct ev_str hash;
	struct ev_str range; /* empty: none */
	enum value_type hash_type;
	enum value_type range_type;
};

struct dynamo_index {
	struct dynamo_index *next;
	struct ev_str name;
	struct key_schema key;
	bool all; /* attributes; else keys and include */
	struct ev_str *include;
	size_t n_include;
};

struct version {
	struct version *older;
	int64_t at_ns; /* monotonic */
	bool gone;     /* the item was deleted */
	struct item item;
	size_t size;
	struct pool pool;
};

struct row {
	struct version *newest;
	const struct value *range; /* NULL: the table has none */
	struct pool pool;
	bool cut; /* older versions were dropped */
};

struct partition {
	uint64_t token; /* of the hash: the order of a Scan */
	const struct value *hash;
	struct row **rows; /* sorted by range */
	size_t n, cap;
	struct pool pool;
};

struct dynamo_table {
	struct dynamo_table *next;
	struct ev_str name;
	struct key_schema key;
	struct dynamo_index *indexes;
	struct partition **partitions; /* sorted by token and hash */
	size_t n, cap;
	struct ev_str ttl; /* empty: none */
	bool on_demand;
	unsigned writes; /* since old versions were looked for */
	struct pool pool;
	int64_t created_ns; /* wall */
};

/* Units of one call, by the table. */
struct usage {
	uint64_t half_reads;
	uint64_t writes;
	uint64_t index_writes;
};

/* --- dynamo_store.c --- */

struct dynamo_table *dynamo_find(struct cloud *c, struct ev_str name);
void dynamo_table_free(struct dynamo_table *t);
uint64_t dynamo_token(const struct value *hash);

/* The row of a key; NULL if there never was one. */
struct row *dynamo_row(const struct dynamo_table *t, const struct item *key);
struct row *dynamo_row_make(struct dynamo_table *t, const struct item *key);

/* What a reader sees: NULL, or the item. */
enum sight { SIGHT_STRONG, SIGHT_STALE, SIGHT_INDEX };
const struct version *row_see(struct cloud *c, const struct row *row, enum sight sight);

/* The item of that key is now this one, or (NULL) gone.  Counts into usage. */
void dynamo_write(struct cloud *c, struct dynamo_table *t, const struct item *key,
		  const struct item *it, struct usage *usage);

/* --- dynamo_key.c --- */

/* The names that make an item's key, in order; at most 4 (an index with the table's). */
size_t key_names(const struct dynamo_table *t, const struct dynamo_index *index,
		 struct ev_str out[4]);
/* Only the attributes of the key. */
struct item key_of(struct pool *p, const struct dynamo_table *t, const struct dynamo_index *index,
		   const struct item *it);
/* What an index shows of an item; false: nothing. */
bool index_entry(struct pool *p, const struct dynamo_table *t, const struct dynamo_index *index,
		 const struct item *it, struct item *out);
struct dynamo_index *index_find(const struct dynamo_table *t, struct ev_str name);

/* A request's Key: exactly the key's attributes, of the right types and not empty. */
bool key_read(struct request *r, const struct dynamo_table *t, const struct node *n,
	      struct item *out);
/* A whole item: keys, those of indexes, and the size. */
bool item_check(struct request *r, const struct dynamo_table *t, const struct item *it);

/* --- What the operations share: dynamo_item.c --- */

/* By TableName. */
bool dynamo_table_of(struct request *r, struct dynamo_table **out);
enum sight dynamo_sight(const struct request *r, bool consistent);
uint64_t half_reads_of(size_t bytes, bool consistent);

/* Adds to the bill, and ConsumedCapacity to the answer if the request asks for it. */
void dynamo_consumed(struct request *r, const struct dynamo_table *t,
		     const struct dynamo_index *index, const struct usage *usage, bool is_read);
/* One entry of ConsumedCapacity. */
void dynamo_consumed_entry(struct request *r, const struct dynamo_table *t,
			   const struct dynamo_index *index, const struct usage *usage,
			   bool is_read);
bool wants_consumed(struct request *r, bool *out, bool *out_indexes);

/* The attributes of these names; n 0: all. */
struct item item_project(struct pool *p, const struct item *it, const struct ev_str *names,
			 size_t n);

request_fn dynamo_create_table, dynamo_describe_table, dynamo_delete_table, dynamo_list_tables,
	dynamo_update_ttl, dynamo_describe_ttl, dynamo_get_item, dynamo_put_item,
	dynamo_update_item, dynamo_delete_item, dynamo_query, dynamo_scan, dynamo_batch_get,
	dynamo_batch_write;

#endif
