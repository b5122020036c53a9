/* codec/ddb_customer.c — see ddb_customer.h. */
#include "codec/ddb_customer.h"

#include <string.h>

/* In the order in which they are written. */
enum field { F_ID, F_TAG, F_ADDRESS, F_EMAIL, F_PAYMENT, F_VERSION, F_BLOCKED, F_CREATED, F_COUNT };

static const char *const names[F_COUNT] = {
	[F_ID] = "customerId",   [F_TAG] = "rfidTag",           [F_ADDRESS] = "address",
	[F_EMAIL] = "email",     [F_PAYMENT] = "paymentMethod", [F_VERSION] = "version",
	[F_BLOCKED] = "blocked", [F_CREATED] = "createdAt",
};

void ddb_customer_attrs(const struct ddb_customer *row, struct ddb_attrs *a)
{
	const struct customer *c = &row->customer;

	ddb_attrs_init(a);
	ddb_attr_uuid(a, names[F_ID], &c->id);
	if (c->tag.n > 0)
		ddb_attr_s(a, names[F_TAG], rfid_tag_str(&c->tag));
	else
		ddb_attr_none(a, names[F_TAG]);
	ddb_attr_s(a, names[F_ADDRESS], ev_str_from(c->address));
	ddb_attr_s(a, names[F_EMAIL], ev_str_from(c->email));
	ddb_attr_s(a, names[F_PAYMENT], ev_str_from(c->payment_method));
	ddb_attr_u64(a, names[F_VERSION], c->version);
	if (c->blocked)
		ddb_attr_bool(a, names[F_BLOCKED], true);
	else
		ddb_attr_none(a, names[F_BLOCKED]);
	if (c->created_ns != 0)
		ddb_attr_i64(a, names[F_CREATED], c->created_ns);
	else
		ddb_attr_none(a, names[F_CREATED]);
}

void ddb_customer_key(const struct ev_uuid *id, struct json_writer *w)
{
	ddb_key_write(names[F_ID], id, w);
}

void ddb_customer_put(const struct ddb_customer *row, struct json_writer *w)
{
	struct ddb_attrs a;

	ddb_customer_attrs(row, &a);
	ddb_item_write(&a, w);
}

/* An unversioned row is there at all if it has its tag, or none. */
static void if_still(struct ddb_change *c, const struct ddb_customer *was,
		     const struct ddb_attrs *a)
{
	if (!was->unversioned) {
		ddb_change_if(c, DDB_IF_EQUAL, &a->of[F_VERSION]);
		return;
	}
	ddb_change_if_absent(c, names[F_VERSION]);
	ddb_change_if(c, DDB_IF_PRESENT, &a->of[F_ID]);
	ddb_change_if(c, a->of[F_TAG].type == DDB_NONE ? DDB_IF_ABSENT : DDB_IF_EQUAL,
		      &a->of[F_TAG]);
}

void ddb_customer_update(const struct ddb_customer *was, const struct ddb_customer *now,
			 struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs before, after;

	ddb_customer_attrs(now, &after);
	if (was == NULL) {
		ddb_change_all(&c, &after, names[F_ID], false);
		ddb_change_if_absent(&c, names[F_ID]);
	} else {
		ddb_customer_attrs(was, &before);
		if (was->unversioned)
			ddb_change_all(&c, &after, names[F_ID], true);
		else
			ddb_change_diff(&c, &before, &after, names[F_ID]);
		if_still(&c, was, &before);
	}
	json_write_key(w, "Key");
	ddb_customer_key(&now->customer.id, w);
	ddb_change_write(&c, w);
}

void ddb_customer_delete(const struct ddb_customer *was, struct json_writer *w)
{
	struct ddb_change c = { .n_set = 0 };
	struct ddb_attrs before;

	ddb_customer_attrs(was, &before);
	if_still(&c, was, &before);
	json_write_key(w, "Key");
	ddb_customer_key(&was->customer.id, w);
	ddb_change_write(&c, w);
}

static ev_err read_original(const struct ddb_value v[F_COUNT], struct customer *c)
{
	ev_err e = ddb_value_uuid(&v[F_ID], &c->id);

	if (e == EV_OK && v[F_TAG].type != DDB_NONE)
		e = ddb_value_tag(&v[F_TAG], &c->tag);
	if (e == EV_OK)
		e = ddb_value_z(&v[F_ADDRESS], c->address, sizeof(c->address));
	if (e == EV_OK)
		e = ddb_value_z(&v[F_EMAIL], c->email, sizeof(c->email));
	if (e == EV_OK)
		e = ddb_value_z(&v[F_PAYMENT], c->payment_method, sizeof(c->payment_method));
	return e;
}

static ev_err read_ours(const struct ddb_value v[F_COUNT], struct customer *c)
{
	ev_err e = ddb_value_u64(&v[F_VERSION], &c->version);

	if (e == EV_OK && (c->version == 0 || c->version > INT64_MAX))
		e = EV_CORRUPT;
	if (e == EV_OK && v[F_BLOCKED].type != DDB_NONE)
		e = ddb_value_bool(&v[F_BLOCKED], &c->blocked);
	if (e == EV_OK && v[F_CREATED].type != DDB_NONE)
		e = ddb_value_i64(&v[F_CREATED], &c->created_ns);
	return e;
}

ev_err ddb_customer_read(struct ev_str item, struct ddb_customer *out)
{
	struct ddb_value v[F_COUNT];
	struct ddb_customer row;
	ev_err e = ddb_read_fields(item, names, F_COUNT, v);

	memset(&row, 0, sizeof(row));
	if (e == EV_OK)
		e = read_original(v, &row.customer);
	if (e == EV_OK && v[F_VERSION].type != DDB_NONE) {
		e = read_ours(v, &row.customer);
	} else {
		row.customer.version = 1;
		row.unversioned = true;
	}
	if (e == EV_OK)
		*out = row;
	return e;
}
