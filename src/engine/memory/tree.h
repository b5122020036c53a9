/*
 * engine/memory/tree.h — an ordered map from short byte strings to values, with versions for free.
 *
 * A tree is a value: tree_share gives a second one with the same contents in O(1), and a change of
 * either copies only the path to what it changes.  That makes a group's undo, a crash and a
 * snapshot the same thing: keep the old tree.  Shape: a treap whose ranks are a hash of the keys,
 * so it depends on the contents and the salt alone, never on the order of changes.  One thread.
 */
#ifndef EV_ENGINE_MEMORY_TREE_H
#define EV_ENGINE_MEMORY_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define TREE_KEY_MAX 80

/* Keys compare as bytes, a prefix before what it begins. */
struct tree_key {
	size_t n;
	uint8_t b[TREE_KEY_MAX];
};

struct tree_node;

struct tree {
	struct tree_node *root;
	size_t n; /* entries */
	uint64_t salt;
};

/* Appends to a key; numbers so that the order of bytes is that of the values. */
void tree_key_bytes(struct tree_key *k, const void *p, size_t n);
void tree_key_u64(struct tree_key *k, uint64_t v);
void tree_key_i64(struct tree_key *k, int64_t v);

/* A second tree with the same contents; both are given up with tree_drop. */
struct tree tree_share(const struct tree *t);
void tree_drop(struct tree *t);

/* Copies the value in, in place of an older one.  False: out of memory, contents unchanged. */
EV_NODISCARD bool tree_put(struct tree *t, const struct tree_key *k, const void *value, size_t n);
/* Absent is fine.  False: out of memory; the tree can only be dropped. */
EV_NODISCARD bool tree_delete(struct tree *t, const struct tree_key *k);
/* Borrowed until the tree changes, aligned for any type; NULL if absent. */
const void *tree_get(const struct tree *t, const struct tree_key *k);

/* One entry of a walk, borrowed for the call. */
struct tree_item {
	const uint8_t *key;
	size_t key_n;
	const void *value;
	size_t value_n;
};

/* False stops. */
typedef bool (*tree_visit_fn)(void *user, const struct tree_item *item);
/* Entries at or above *from in order, as long as they share its first `prefix` bytes. */
void tree_walk_up(const struct tree *t, const struct tree_key *from, size_t prefix,
		  tree_visit_fn fn, void *user);
/* Entries below *below backwards, as long as they share its first `prefix` bytes. */
void tree_walk_down(const struct tree *t, const struct tree_key *below, size_t prefix,
		    tree_visit_fn fn, void *user);

/* Same keys and values, byte for byte?  Needs the same salt; shared parts are not looked at. */
bool tree_eq(const struct tree *a, const struct tree *b);

#endif
