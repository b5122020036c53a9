/* engine/memory/tree.c — a persistent treap with counted references. */
#include "engine/memory/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Key and value together; shared by all trees that hold it. */
struct tree_entry {
	size_t refs;
	uint64_t rank;
	size_t key_n;
	size_t value_n;
	_Alignas(max_align_t) uint8_t value[]; /* then the key */
};

struct tree_node {
	size_t refs; /* 1: only one parent or tree knows it, so it may change in place */
	struct tree_node *left;
	struct tree_node *right;
	struct tree_entry *entry;
};

struct bytes {
	const uint8_t *p;
	size_t n;
};

static struct bytes entry_key(const struct tree_entry *e)
{
	return (struct bytes){ e->value + e->value_n, e->key_n };
}

static int compare(struct bytes a, struct bytes b)
{
	int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	if (c != 0)
		return c;
	return (a.n > b.n) - (a.n < b.n);
}

static struct bytes key_bytes(const struct tree_key *k)
{
	return (struct bytes){ k->b, k->n };
}

void tree_key_bytes(struct tree_key *k, const void *p, size_t n)
{
	assert(n <= TREE_KEY_MAX - k->n);
	memcpy(k->b + k->n, p, n);
	k->n += n;
}

void tree_key_u64(struct tree_key *k, uint64_t v)
{
	uint8_t b[8];

	for (unsigned i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (56 - 8 * i));
	tree_key_bytes(k, b, sizeof(b));
}

void tree_key_i64(struct tree_key *k, int64_t v)
{
	tree_key_u64(k, (uint64_t)v ^ (UINT64_C(1) << 63));
}

/* FNV-1a, then a finalizer that spreads its weak low bits (splitmix64). */
static uint64_t rank_of(uint64_t salt, struct bytes k)
{
	uint64_t h = salt ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < k.n; i++)
		h = (h ^ k.p[i]) * UINT64_C(0x100000001b3);
	h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
	return h ^ (h >> 31);
}

static struct tree_entry *entry_new(uint64_t salt, const struct tree_key *k, const void *value,
				    size_t n)
{
	struct tree_entry *e = malloc(sizeof(*e) + n + k->n);

	if (e == NULL)
		return NULL;
	*e = (struct tree_entry){ .refs = 1, .key_n = k->n, .value_n = n };
	if (n > 0)
		memcpy(e->value, value, n);
	memcpy(e->value + n, k->b, k->n);
	e->rank = rank_of(salt, key_bytes(k));
	return e;
}

static void entry_unref(struct tree_entry *e)
{
	if (--e->refs == 0)
		free(e);
}

static struct tree_node *node_ref(struct tree_node *n)
{
	if (n != NULL)
		n->refs++;
	return n;
}

static void node_unref(struct tree_node *n)
{
	while (n != NULL && --n->refs == 0) {
		struct tree_node *right = n->right;

		node_unref(n->left);
		entry_unref(n->entry);
		free(n);
		n = right;
	}
}

static struct tree_node *node_new(struct tree_entry *e, struct tree_node *left,
				  struct tree_node *right)
{
	struct tree_node *n = malloc(sizeof(*n));

	if (n == NULL)
		return NULL;
	*n = (struct tree_node){ .refs = 1, .left = node_ref(left), .right = node_ref(right) };
	n->entry = e;
	e->refs++;
	return n;
}

/* Makes *slot a node that nobody else knows, so that it may be changed. */
static bool own(struct tree_node **slot)
{
	struct tree_node *n = *slot;

	if (n->refs == 1)
		return true;
	*slot = node_new(n->entry, n->left, n->right);
	if (*slot == NULL) {
		*slot = n;
		return false;
	}
	n->refs--;
	return true;
}

/* The left child becomes the parent; both are owned. */
static void rotate_right(struct tree_node **slot)
{
	struct tree_node *n = *slot;
	struct tree_node *up = n->left;

	n->left = up->right;
	up->right = n;
	*slot = up;
}

static void rotate_left(struct tree_node **slot)
{
	struct tree_node *n = *slot;
	struct tree_node *up = n->right;

	n->right = up->left;
	up->left = n;
	*slot = up;
}

static bool above(const struct tree_node *a, const struct tree_node *b)
{
	return a->entry->rank > b->entry->rank;
}

static bool insert(struct tree_node **slot, struct tree_entry *e, bool *out_new)
{
	int c;

	if (*slot == NULL) {
		*slot = node_new(e, NULL, NULL);
		*out_new = *slot != NULL;
		return *slot != NULL;
	}
	if (!own(slot))
		return false;
	c = compare(entry_key(e), entry_key((*slot)->entry));
	if (c == 0) {
		entry_unref((*slot)->entry);
		(*slot)->entry = e;
		e->refs++;
	} else if (c < 0) {
		if (!insert(&(*slot)->left, e, out_new))
			return false;
		if (above((*slot)->left, *slot))
			rotate_right(slot);
	} else {
		if (!insert(&(*slot)->right, e, out_new))
			return false;
		if (above((*slot)->right, *slot))
			rotate_left(slot);
	}
	return true;
}

/* Takes the owned *slot out: down until it has one child at most. */
static bool take_out(struct tree_node **slot)
{
	while ((*slot)->left != NULL && (*slot)->right != NULL) {
		struct tree_node *n = *slot;

		if (above(n->left, n->right)) {
			if (!own(&n->left))
				return false;
			rotate_right(slot);
			slot = &(*slot)->right;
		} else {
			if (!own(&n->right))
				return false;
			rotate_left(slot);
			slot = &(*slot)->left;
		}
	}
	struct tree_node *gone = *slot;

	*slot = node_ref(gone->left != NULL ? gone->left : gone->right);
	node_unref(gone);
	return true;
}

struct tree tree_share(const struct tree *t)
{
	node_ref(t->root);
	return *t;
}

void tree_drop(struct tree *t)
{
	node_unref(t->root);
	t->root = NULL;
	t->n = 0;
}

bool tree_put(struct tree *t, const struct tree_key *k, const void *value, size_t n)
{
	struct tree_entry *e = entry_new(t->salt, k, value, n);
	bool is_new = false;
	bool ok;

	if (e == NULL)
		return false;
	ok = insert(&t->root, e, &is_new);
	entry_unref(e);
	t->n += is_new;
	return ok;
}

bool tree_delete(struct tree *t, const struct tree_key *k)
{
	struct tree_node **slot = &t->root;

	if (tree_get(t, k) == NULL)
		return true; /* and no path is copied for nothing */
	for (;;) {
		int c;

		if (!own(slot))
			return false;
		c = compare(key_bytes(k), entry_key((*slot)->entry));
		if (c == 0)
			break;
		slot = c < 0 ? &(*slot)->left : &(*slot)->right;
	}
	if (!take_out(slot))
		return false;
	t->n--;
	return true;
}

const void *tree_get(const struct tree *t, const struct tree_key *k)
{
	const struct tree_node *n = t->root;

	while (n != NULL) {
		int c = compare(key_bytes(k), entry_key(n->entry));

		if (c == 0)
			return n->entry->value;
		n = c < 0 ? n->left : n->right;
	}
	return NULL;
}

struct walk {
	struct bytes bound;
	size_t prefix;
	tree_visit_fn fn;
	void *user;
};

static bool visit(const struct walk *w, const struct tree_entry *e)
{
	struct bytes key = entry_key(e);

	if (key.n < w->prefix || memcmp(key.p, w->bound.p, w->prefix) != 0)
		return false;
	return w->fn(w->user, &(struct tree_item){ key.p, key.n, e->value, e->value_n });
}

static bool walk_up(const struct tree_node *n, const struct walk *w)
{
	if (n == NULL)
		return true;
	if (compare(entry_key(n->entry), w->bound) >= 0) {
		if (!walk_up(n->left, w) || !visit(w, n->entry))
			return false;
	}
	return walk_up(n->right, w);
}

static bool walk_down(const struct tree_node *n, const struct walk *w)
{
	if (n == NULL)
		return true;
	if (compare(entry_key(n->entry), w->bound) < 0) {
		if (!walk_down(n->right, w) || !visit(w, n->entry))
			return false;
	}
	return walk_down(n->left, w);
}

void tree_walk_up(const struct tree *t, const struct tree_key *from, size_t prefix,
		  tree_visit_fn fn, void *user)
{
	struct walk w = { key_bytes(from), prefix, fn, user };

	assert(prefix <= from->n);
	walk_up(t->root, &w);
}

void tree_walk_down(const struct tree *t, const struct tree_key *below, size_t prefix,
		    tree_visit_fn fn, void *user)
{
	struct walk w = { key_bytes(below), prefix, fn, user };

	assert(prefix <= below->n);
	walk_down(t->root, &w);
}

static bool entry_eq(const struct tree_entry *a, const struct tree_entry *b)
{
	if (a == b)
		return true;
	return a->key_n == b->key_n && a->value_n == b->value_n &&
	       memcmp(a->value, b->value, a->value_n + a->key_n) == 0;
}

/* Equal contents under one salt have equal shapes, but for ranks that are equal. */
static bool node_eq(const struct tree_node *a, const struct tree_node *b)
{
	if (a == b)
		return true;
	if (a == NULL || b == NULL || !entry_eq(a->entry, b->entry))
		return false;
	return node_eq(a->left, b->left) && node_eq(a->right, b->right);
}

bool tree_eq(const struct tree *a, const struct tree *b)
{
	assert(a->salt == b->salt);
	return a->n == b->n && node_eq(a->root, b->root);
}
