/* codec/lease_row.c — see lease_row.h. */
#include "codec/lease_row.h"

#include <assert.h>
#include <string.h>

/* In no order that matters; the last two are one, as zio-kinesis and as the KCL calls it. */
enum field {
	F_KEY,
	F_OWNER,
	F_COUNTER,
	F_CHECKPOINT,
	F_SUB,
	F_SWITCHES,
	F_PARENTS,
	F_KCL_PARENTS,
	F_COUNT
};

static const char *const names[F_COUNT] = {
	[F_KEY] = "leaseKey",
	[F_OWNER] = "leaseOwner",
	[F_COUNTER] = "leaseCounter",
	[F_CHECKPOINT] = "checkpoint",
	[F_SUB] = "checkpointSubSequenceNumber",
	[F_SWITCHES] = "ownerSwitchesSinceCheckpoint",
	[F_PARENTS] = "parentShardIds",
	[F_KCL_PARENTS] = "parentShardId",
};

static const char *const kinds[] = {
	[LEASE_TRIM_HORIZON] = "TRIM_HORIZON",
	[LEASE_LATEST] = "LATEST",
	[LEASE_AT_TIMESTAMP] = "AT_TIMESTAMP",
	[LEASE_SHARD_END] = "SHARD_END",
};

static bool is_digits(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	return n > 0;
}

static ev_err read_checkpoint(const struct ddb_value *text, const struct ddb_value *sub,
			      struct lease_checkpoint *c)
{
	char s[LEASE_SEQUENCE_MAX + 1];

	if (text->type == DDB_NONE)
		return EV_OK;
	if (ddb_value_z(text, s, sizeof(s)) != EV_OK || ddb_value_u64(sub, &c->sub) != EV_OK)
		return EV_CORRUPT;
	for (unsigned i = LEASE_TRIM_HORIZON; i < EV_ARRAY_LEN(kinds); i++) {
		if (ev_str_eqz(ev_str_from(s), kinds[i])) {
			c->kind = (enum lease_checkpoint_kind)i;
			return EV_OK;
		}
	}
	if (!is_digits(s))
		return EV_CORRUPT;
	c->kind = LEASE_SEQUENCE;
	memcpy(c->sequence, s, sizeof(s));
	return EV_OK;
}

static ev_err read_parent(struct json_reader *r, struct lease_row *row)
{
	struct ddb_value v = { .type = DDB_S };
	char parent[LEASE_KEY_MAX + 1];

	if (json_read_string(r, &v.text) != EV_OK ||
	    ddb_value_z(&v, parent, sizeof(parent)) != EV_OK)
		return EV_CORRUPT;
	for (unsigned i = 0; i < row->n_parents; i++) {
		if (ev_str_eqz(ev_str_from(parent), row->parents[i]))
			return EV_OK;
	}
	if (row->n_parents < LEASE_PARENTS_MAX)
		memcpy(row->parents[row->n_parents++], parent, sizeof(parent));
	return EV_OK;
}

static ev_err read_parents(const struct ddb_value *v, struct lease_row *row)
{
	struct json_reader r;
	bool more;

	if (v->type == DDB_NONE)
		return EV_OK;
	if (v->type != DDB_SS || ddb_value_list(v, &r) != EV_OK)
		return EV_CORRUPT;
	for (;;) {
		if (json_read_item(&r, &more) != EV_OK)
			return EV_CORRUPT;
		if (!more)
			return EV_OK;
		if (read_parent(&r, row) != EV_OK)
			return EV_CORRUPT;
	}
}

ev_err lease_row_read(struct ev_str item, struct lease_row *out)
{
	struct ddb_value v[F_COUNT];
	struct lease_row row;
	ev_err e = ddb_read_fields(item, names, F_COUNT, v);

	memset(&row, 0, sizeof(row));
	if (e == EV_OK)
		e = ddb_value_z(&v[F_KEY], row.key, sizeof(row.key));
	if (e == EV_OK)
		e = ddb_value_u64(&v[F_COUNTER], &row.counter);
	if (e == EV_OK && v[F_OWNER].type != DDB_NONE)
		e = ddb_value_z(&v[F_OWNER], row.owner, sizeof(row.owner));
	if (e == EV_OK)
		e = read_checkpoint(&v[F_CHECKPOINT], &v[F_SUB], &row.checkpoint);
	if (e == EV_OK)
		e = read_parents(&v[F_PARENTS], &row);
	if (e == EV_OK)
		e = read_parents(&v[F_KCL_PARENTS], &row);
	if (e == EV_OK)
		*out = row;
	return e;
}

/* ---- writing ---- */

static void add_checkpoint(struct ddb_attrs *a, const struct lease_checkpoint *c)
{
	assert(c->kind != LEASE_NONE);
	ddb_attr_s(a, names[F_CHECKPOINT],
		   ev_str_from(c->kind == LEASE_SEQUENCE ? c->sequence : kinds[c->kind]));
	ddb_attr_u64(a, names[F_SUB], c->sub);
}

/* Empty: nobody. */
static void add_owner(struct ddb_attrs *a, struct ev_str owner)
{
	if (owner.n > 0)
		ddb_attr_s(a, names[F_OWNER], owner);
	else
		ddb_attr_none(a, names[F_OWNER]);
}

/* An update of *row, if its counter is as it was. */
static void write_update(const struct lease_row *row, const struct ddb_attrs *a,
			 struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs was;
	struct ddb_attrs key;

	ddb_attrs_init(&was);
	ddb_attr_u64(&was, names[F_COUNTER], row->counter);
	ddb_attrs_init(&key);
	ddb_attr_s(&key, names[F_KEY], ev_str_from(row->key));
	ddb_change_all(&c, a, names[F_KEY], true);
	ddb_change_if(&c, DDB_IF_EQUAL, &was.of[0]);
	json_write_key(w, "Key");
	ddb_item_write(&key, w);
	ddb_change_write(&c, w);
}

void lease_create(const struct lease_row *row, struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };
	struct ev_str parents[LEASE_PARENTS_MAX];
	struct ddb_attrs a;

	for (unsigned i = 0; i < row->n_parents; i++)
		parents[i] = ev_str_from(row->parents[i]);
	ddb_attrs_init(&a);
	ddb_attr_s(&a, names[F_KEY], ev_str_from(row->key));
	ddb_attr_u64(&a, names[F_COUNTER], 0);
	add_checkpoint(&a, &row->checkpoint);
	ddb_attr_u64(&a, names[F_SWITCHES], 0); /* the KCL reads no row without it */
	if (row->n_parents > 0) {
		ddb_attr_ss(&a, names[F_PARENTS], parents, row->n_parents);
		ddb_attr_ss(&a, names[F_KCL_PARENTS], parents, row->n_parents);
	}
	add_owner(&a, ev_str_from(row->owner));
	json_write_key(w, "Item");
	ddb_item_write(&a, w);
	ddb_change_if_absent(&c, names[F_KEY]);
	ddb_change_write(&c, w);
}

void lease_claim(const struct lease_row *row, struct ev_str owner, struct json_writer *w)
{
	struct ddb_attrs a;

	assert(owner.n > 0);
	ddb_attrs_init(&a);
	add_owner(&a, owner);
	ddb_attr_u64(&a, names[F_COUNTER], row->counter + 1);
	ddb_attr_u64(&a, names[F_SWITCHES], 0);
	write_update(row, &a, w);
}

void lease_renew(const struct lease_row *row, struct json_writer *w)
{
	struct ddb_attrs a;

	ddb_attrs_init(&a);
	ddb_attr_u64(&a, names[F_COUNTER], row->counter + 1);
	write_update(row, &a, w);
}

void lease_checkpoint(const struct lease_row *row, const struct lease_checkpoint *to,
		      struct ev_str owner, struct json_writer *w)
{
	struct ddb_attrs a;

	ddb_attrs_init(&a);
	add_owner(&a, owner);
	ddb_attr_u64(&a, names[F_COUNTER], row->counter + 1);
	add_checkpoint(&a, to);
	ddb_attr_u64(&a, names[F_SWITCHES], 0);
	write_update(row, &a, w);
}

void lease_release(const struct lease_row *row, struct json_writer *w)
{
	struct ddb_attrs a;

	ddb_attrs_init(&a);
	add_owner(&a, EV_LIT(""));
	write_update(row, &a, w);
}

static struct ev_str without_zeros(struct ev_str s)
{
	while (s.n > 0 && s.p[0] == '0')
		s = (struct ev_str){ s.p + 1, s.n - 1 };
	return s;
}

bool lease_sequence_before(struct ev_str a, struct ev_str b)
{
	a = without_zeros(a);
	b = without_zeros(b);
	if (a.n != b.n)
		return a.n < b.n;
	return a.n > 0 && memcmp(a.p, b.p, a.n) < 0;
}
