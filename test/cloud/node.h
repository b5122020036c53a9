/* test/cloud/node.h — a request's JSON as a tree. */
#ifndef EV_TEST_CLOUD_NODE_H
#define EV_TEST_CLOUD_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "cloud/pool.h"

enum node_kind { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_ARRAY, NODE_OBJECT };

struct node {
	enum node_kind kind;
	bool flag;
	struct ev_str key;  /* within an object */
	struct ev_str text; /* a string's, or a number as it stands */
	struct ev_str raw;  /* the value as it stands */
	struct node *first; /* of an array or object, in order */
	struct node *next;
	size_t n;
};

/* The tree borrows from the text.  EV_INVALID: not JSON, or a key comes twice. */
EV_NODISCARD ev_err node_parse(struct pool *p, struct ev_str text, struct node **out);

/* The member of that name; NULL also if it is null, or if there is no object. */
const struct node *node_get(const struct node *object, const char *key);

#endif
