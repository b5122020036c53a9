/* test/cloud/value.h — DynamoDB's attribute values and items. */
#ifndef EV_TEST_CLOUD_VALUE_H
#define EV_TEST_CLOUD_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "cloud/internal.h"
#include "cloud/node.h"
#include "cloud/pool.h"

#define ITEM_MAX_BYTES ((size_t)(400 * 1024))

enum value_type {
	VALUE_S,
	VALUE_N,
	VALUE_B,
	VALUE_BOOL,
	VALUE_NULL,
	VALUE_SS,
	VALUE_NS,
	VALUE_BS,
	VALUE_L,
	VALUE_M,
	VALUE_COUNT,
};

struct attr;

struct value {
	enum value_type type;
	bool flag;
	struct ev_str text;         /* S; N in normal form; B as bytes */
	const struct value **items; /* of a set or list */
	size_t n;
	const struct attr *members; /* of a map */
};

struct attr {
	struct ev_str name;
	const struct value *value;
	const struct attr *next;
};

/* Values are never changed, so items share them within a pool.  Zeroed: no attributes. */
struct item {
	const struct attr *first;
};

/* "S", "N", … */
const char *value_type_text(enum value_type t);
/* VALUE_COUNT: no such type. */
enum value_type value_type_of(struct ev_str text);

/* {"S":"…"}.  Refuses what DynamoDB does. */
bool value_read(struct request *r, const struct node *n, const struct value **out);
/* {"name":{"S":"…"},…} */
bool item_read(struct request *r, const struct node *n, struct item *out);

void value_write(struct json_writer *w, struct pool *p, const struct value *v);
void item_write(struct json_writer *w, struct pool *p, const struct item *it);

const struct value *item_get(const struct item *it, struct ev_str name);

/* In pool p; NULL removes. */
void item_set(struct item *it, struct pool *p, struct ev_str name, const struct value *v);

/* A deep copy into another pool. */
struct item item_copy(struct pool *p, const struct item *it);
const struct value *value_copy(struct pool *p, const struct value *v);

/* As DynamoDB counts it: names and values. */
size_t item_size(const struct item *it);
size_t value_size(const struct value *v);

bool value_equal(const struct value *a, const struct value *b);
bool item_equal(const struct item *a, const struct item *b);
/* Both S, both N, or both B; below 0, 0, above 0. */
int value_order(const struct value *a, const struct value *b);
/* Whether a set or list holds it. */
bool value_holds(const struct value *set, const struct value *v);

const struct value *value_number(struct pool *p, struct ev_str text);

#endif
