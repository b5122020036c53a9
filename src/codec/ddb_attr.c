/* codec/ddb_attr.c — attributes, updates and conditions written; see ddb_item.h. */
#include <assert.h>
#include <string.h>

#include "base/base64.h"
#include "base/time.h"
#include "codec/ddb_item.h"

void ddb_attrs_init(struct ddb_attrs *a)
{
	a->n = 0;
	a->room = ev_buf_over(a->bytes, sizeof(a->bytes));
}

static struct ddb_attr *add(struct ddb_attrs *a, const char *name, enum ddb_type type)
{
	struct ddb_attr *attr = &a->of[a->n];

	assert(a->n < DDB_ATTRS_MAX);
	*attr = (struct ddb_attr){ .name = name, .type = type };
	a->n++;
	return attr;
}

/* What was written into the room since `from`. */
static struct ev_str since(const struct ddb_attrs *a, size_t from)
{
	assert(!a->room.overflow);
	return (struct ev_str){ a->bytes + from, a->room.len - from };
}

static struct ev_str keep(struct ddb_attrs *a, struct ev_str s)
{
	size_t from = a->room.len;

	ev_buf_str_add(&a->room, s);
	return since(a, from);
}

void ddb_attr_s(struct ddb_attrs *a, const char *name, struct ev_str s)
{
	add(a, name, DDB_S)->value = s;
}

void ddb_attr_n(struct ddb_attrs *a, const char *name, struct ev_str digits)
{
	add(a, name, DDB_N)->value = digits;
}

void ddb_attr_b(struct ddb_attrs *a, const char *name, struct ev_str bytes)
{
	add(a, name, DDB_B)->value = bytes;
}

void ddb_attr_bytes(struct ddb_attrs *a, const char *name, const void *p, size_t n)
{
	ddb_attr_b(a, name, keep(a, (struct ev_str){ p, n }));
}

void ddb_attr_bool(struct ddb_attrs *a, const char *name, bool v)
{
	add(a, name, DDB_BOOL)->flag = v;
}

void ddb_attr_ss(struct ddb_attrs *a, const char *name, const struct ev_str *set, unsigned n)
{
	struct ddb_attr *attr = add(a, name, DDB_SS);

	assert(n > 0); /* DynamoDB has no empty sets */
	attr->set = set;
	attr->n_set = n;
}

void ddb_attr_none(struct ddb_attrs *a, const char *name)
{
	add(a, name, DDB_NONE);
}

void ddb_attr_uuid(struct ddb_attrs *a, const char *name, const struct ev_uuid *u)
{
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(u, text);
	ddb_attr_s(a, name, keep(a, (struct ev_str){ text, EV_UUID_TEXT }));
}

void ddb_attr_time(struct ddb_attrs *a, const char *name, int64_t ns)
{
	size_t from = a->room.len;

	ev_time_write(&a->room, ns);
	ddb_attr_s(a, name, since(a, from));
}

void ddb_attr_u64(struct ddb_attrs *a, const char *name, uint64_t v)
{
	size_t from = a->room.len;

	ev_buf_u64(&a->room, v);
	ddb_attr_n(a, name, since(a, from));
}

void ddb_attr_i64(struct ddb_attrs *a, const char *name, int64_t v)
{
	ddb_attr_scaled(a, name, v, 0);
}

/* Plain decimals without trailing zeros: as DynamoDB gives numbers back. */
void ddb_attr_scaled(struct ddb_attrs *a, const char *name, int64_t v, unsigned scale)
{
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	uint64_t unit = 1;
	size_t from = a->room.len;

	for (unsigned i = 0; i < scale; i++)
		unit *= 10;
	if (v < 0)
		ev_buf_char(&a->room, '-');
	ev_buf_u64(&a->room, u / unit);
	if (u % unit != 0)
		ev_buf_char(&a->room, '.');
	for (uint64_t left = u % unit; left != 0; left %= unit) {
		unit /= 10;
		ev_buf_char(&a->room, (char)('0' + left / unit));
	}
	ddb_attr_n(a, name, since(a, from));
}

const struct ddb_attr *ddb_attrs_find(const struct ddb_attrs *a, const char *name)
{
	for (unsigned i = 0; i < a->n; i++) {
		if (ev_str_eqz(ev_str_from(a->of[i].name), name))
			return &a->of[i];
	}
	return NULL;
}

/* One byte for two digits that count, one more, and one for a minus. */
static size_t number_size(struct ev_str s)
{
	size_t digits = 0, zeros = 0;
	bool negative = s.n > 0 && s.p[0] == '-';

	for (size_t i = 0; i < s.n && s.p[i] != 'E' && s.p[i] != 'e'; i++) {
		if (s.p[i] == '0') {
			zeros += digits > 0;
		} else if (s.p[i] >= '1' && s.p[i] <= '9') {
			digits += zeros + 1;
			zeros = 0;
		}
	}
	return (digits + 1) / 2 + 1 + negative;
}

static size_t value_size(const struct ddb_attr *a)
{
	size_t n = 0;

	switch (a->type) {
	case DDB_N:
		return number_size(a->value);
	case DDB_BOOL:
	case DDB_NULL:
		return 1;
	case DDB_SS:
		for (unsigned i = 0; i < a->n_set; i++)
			n += a->set[i].n;
		return n;
	case DDB_NONE:
	case DDB_S:
	case DDB_B:
	case DDB_L:
	case DDB_M:
	case DDB_OTHER:
		break;
	}
	return a->value.n;
}

size_t ddb_item_size(const struct ddb_attrs *a)
{
	size_t n = 0;

	for (unsigned i = 0; i < a->n; i++) {
		if (a->of[i].type != DDB_NONE)
			n += strlen(a->of[i].name) + value_size(&a->of[i]);
	}
	return n;
}

static void write_key(struct json_writer *w, const char *name)
{
	json_write_z(w, name);
	ev_buf_char(w->b, ':');
	w->comma = false;
}

static void write_bytes(struct json_writer *w, struct ev_str bytes)
{
	json_write_raw(w, EV_LIT("\""));
	ev_base64_write(w->b, bytes.p, bytes.n);
	ev_buf_char(w->b, '"');
}

void ddb_value_write(const struct ddb_attr *a, struct json_writer *w)
{
	json_write_object(w);
	switch (a->type) {
	case DDB_S:
		json_write_key(w, "S");
		json_write_string(w, a->value);
		break;
	case DDB_N:
		json_write_key(w, "N");
		json_write_string(w, a->value);
		break;
	case DDB_B:
		json_write_key(w, "B");
		write_bytes(w, a->value);
		break;
	case DDB_BOOL:
		json_write_key(w, "BOOL");
		json_write_bool(w, a->flag);
		break;
	case DDB_SS:
		json_write_key(w, "SS");
		json_write_array(w);
		for (unsigned i = 0; i < a->n_set; i++)
			json_write_string(w, a->set[i]);
		json_write_array_end(w);
		break;
	case DDB_NONE:
	case DDB_NULL:
	case DDB_L:
	case DDB_M:
	case DDB_OTHER:
		assert(false && "a type that is not written");
	}
	json_write_object_end(w);
}

void ddb_item_write(const struct ddb_attrs *a, struct json_writer *w)
{
	json_write_object(w);
	for (unsigned i = 0; i < a->n; i++) {
		if (a->of[i].type == DDB_NONE)
			continue;
		write_key(w, a->of[i].name);
		ddb_value_write(&a->of[i], w);
	}
	json_write_object_end(w);
}

void ddb_key_write(const char *name, const struct ev_uuid *id, struct json_writer *w)
{
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(id, text);
	json_write_object(w);
	write_key(w, name);
	ddb_value_write(&(struct ddb_attr){ .type = DDB_S, .value = { text, EV_UUID_TEXT } }, w);
	json_write_object_end(w);
}

void ddb_change_set(struct ddb_change *c, const struct ddb_attr *attr)
{
	if (attr->type == DDB_NONE) {
		assert(c->n_remove < DDB_ATTRS_MAX);
		c->remove[c->n_remove++] = attr->name;
		return;
	}
	assert(c->n_set < DDB_ATTRS_MAX);
	c->set[c->n_set++] = *attr;
}

void ddb_change_if(struct ddb_change *c, enum ddb_test test, const struct ddb_attr *attr)
{
	assert(c->n_if < DDB_CONDITIONS_MAX);
	c->if_all[c->n_if++] = (struct ddb_condition){ .test = test, .attr = *attr };
}

void ddb_change_if_absent(struct ddb_change *c, const char *name)
{
	ddb_change_if(c, DDB_IF_ABSENT, &(struct ddb_attr){ .name = name });
}

static bool same_value(const struct ddb_attr *a, const struct ddb_attr *b)
{
	if (a->type != b->type || a->flag != b->flag || a->n_set != b->n_set)
		return false;
	for (unsigned i = 0; i < a->n_set; i++) {
		if (!ev_str_eq(a->set[i], b->set[i]))
			return false;
	}
	return ev_str_eq(a->value, b->value);
}

void ddb_change_diff(struct ddb_change *c, const struct ddb_attrs *was, const struct ddb_attrs *now,
		     const char *key)
{
	for (unsigned i = 0; i < now->n; i++) {
		const struct ddb_attr *n = &now->of[i];
		const struct ddb_attr *w = ddb_attrs_find(was, n->name);

		assert(w != NULL);
		if (!ev_str_eqz(ev_str_from(n->name), key) && !same_value(w, n))
			ddb_change_set(c, n);
	}
}

void ddb_change_all(struct ddb_change *c, const struct ddb_attrs *now, const char *key, bool remove)
{
	for (unsigned i = 0; i < now->n; i++) {
		const struct ddb_attr *n = &now->of[i];

		if (!ev_str_eqz(ev_str_from(n->name), key) && (remove || n->type != DDB_NONE))
			ddb_change_set(c, n);
	}
}

/* A place holder: `#s3`, `:s3`. */
static void add_place(struct ev_buf *b, char mark, char kind, unsigned i)
{
	ev_buf_char(b, mark);
	ev_buf_char(b, kind);
	ev_buf_u64(b, i);
}

static void write_update(const struct ddb_change *c, struct json_writer *w)
{
	struct ev_buf *b = w->b;

	json_write_key(w, "UpdateExpression");
	json_write_raw(w, EV_LIT("\""));
	for (unsigned i = 0; i < c->n_set; i++) {
		ev_buf_z(b, i == 0 ? "SET " : ", ");
		add_place(b, '#', 's', i);
		ev_buf_z(b, " = ");
		add_place(b, ':', 's', i);
	}
	for (unsigned i = 0; i < c->n_remove; i++) {
		ev_buf_z(b, i > 0 ? ", " : c->n_set > 0 ? " REMOVE " : "REMOVE ");
		add_place(b, '#', 'r', i);
	}
	ev_buf_char(b, '"');
}

static void add_condition(const struct ddb_condition *t, unsigned i, struct ev_buf *b)
{
	switch (t->test) {
	case DDB_IF_EQUAL:
		add_place(b, '#', 'c', i);
		ev_buf_z(b, " = ");
		add_place(b, ':', 'c', i);
		return;
	case DDB_IF_ABSENT:
		ev_buf_z(b, "attribute_not_exists(");
		break;
	case DDB_IF_PRESENT:
		ev_buf_z(b, "attribute_exists(");
		break;
	}
	add_place(b, '#', 'c', i);
	ev_buf_char(b, ')');
}

static void write_condition(const struct ddb_change *c, struct json_writer *w)
{
	json_write_key(w, "ConditionExpression");
	json_write_raw(w, EV_LIT("\""));
	for (unsigned i = 0; i < c->n_if; i++) {
		if (i > 0)
			ev_buf_z(w->b, " AND ");
		add_condition(&c->if_all[i], i, w->b);
	}
	ev_buf_char(w->b, '"');
}

static void write_place_key(struct json_writer *w, char mark, char kind, unsigned i)
{
	json_write_raw(w, EV_LIT("\""));
	add_place(w->b, mark, kind, i);
	ev_buf_z(w->b, "\":");
	w->comma = false;
}

static void write_names(const struct ddb_change *c, struct json_writer *w)
{
	json_write_key(w, "ExpressionAttributeNames");
	json_write_object(w);
	for (unsigned i = 0; i < c->n_set; i++) {
		write_place_key(w, '#', 's', i);
		json_write_z(w, c->set[i].name);
	}
	for (unsigned i = 0; i < c->n_remove; i++) {
		write_place_key(w, '#', 'r', i);
		json_write_z(w, c->remove[i]);
	}
	for (unsigned i = 0; i < c->n_if; i++) {
		write_place_key(w, '#', 'c', i);
		json_write_z(w, c->if_all[i].attr.name);
	}
	json_write_object_end(w);
}

static void write_values(const struct ddb_change *c, struct json_writer *w)
{
	json_write_key(w, "ExpressionAttributeValues");
	json_write_object(w);
	for (unsigned i = 0; i < c->n_set; i++) {
		write_place_key(w, ':', 's', i);
		ddb_value_write(&c->set[i], w);
	}
	for (unsigned i = 0; i < c->n_if; i++) {
		if (c->if_all[i].test != DDB_IF_EQUAL)
			continue;
		write_place_key(w, ':', 'c', i);
		ddb_value_write(&c->if_all[i].attr, w);
	}
	json_write_object_end(w);
}

static bool has_values(const struct ddb_change *c)
{
	for (unsigned i = 0; i < c->n_if; i++) {
		if (c->if_all[i].test == DDB_IF_EQUAL)
			return true;
	}
	return c->n_set > 0;
}

void ddb_change_write(const struct ddb_change *c, struct json_writer *w)
{
	if (c->n_set + c->n_remove > 0)
		write_update(c, w);
	if (c->n_if > 0)
		write_condition(c, w);
	if (c->n_set + c->n_remove + c->n_if > 0)
		write_names(c, w);
	if (has_values(c))
		write_values(c, w);
}
