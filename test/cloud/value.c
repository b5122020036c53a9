/* test/cloud/value.c — see value.h. */
#include "cloud/value.h"

#include <string.h>

#include "cloud/number.h"

static const char *const type_texts[] = {
	[VALUE_S] = "S",       [VALUE_N] = "N",   [VALUE_B] = "B",   [VALUE_BOOL] = "BOOL",
	[VALUE_NULL] = "NULL", [VALUE_SS] = "SS", [VALUE_NS] = "NS", [VALUE_BS] = "BS",
	[VALUE_L] = "L",       [VALUE_M] = "M",
};

const char *value_type_text(enum value_type t)
{
	return type_texts[t];
}

enum value_type value_type_of(struct ev_str text)
{
	for (unsigned t = 0; t < VALUE_COUNT; t++) {
		if (ev_str_eqz(text, type_texts[t]))
			return (enum value_type)t;
	}
	return VALUE_COUNT;
}

static bool is_set(enum value_type t)
{
	return t == VALUE_SS || t == VALUE_NS || t == VALUE_BS;
}

/* --- Reading --- */

const struct value *value_number(struct pool *p, struct ev_str text)
{
	struct value *v = pool_alloc(p, sizeof(*v));

	v->type = VALUE_N;
	v->text = pool_copy(p, text);
	return v;
}

static bool read_number(struct request *r, struct ev_str text, struct value *out)
{
	char *plain = pool_alloc(&r->pool, NUMBER_TEXT);
	struct ev_buf b = ev_buf_over(plain, NUMBER_TEXT);
	struct number n;
	ev_err err = number_parse(text, &n);

	if (err == EV_FULL)
		return refuse_invalid(r, "Number overflow. Attempting to store a number with "
					 "magnitude or precision larger than supported");
	if (err != EV_OK)
		return refuse_invalid(r,
				      "The parameter cannot be converted to a numeric value: "
				      "%.*s",
				      (int)text.n, text.p);
	number_write(&n, &b);
	out->text = ev_buf_str(&b);
	return true;
}

/* S, N or B by its text. */
static bool read_scalar(struct request *r, enum value_type type, const struct node *n,
			struct value *out)
{
	out->type = type;
	if (n->kind != NODE_STRING)
		return refuse(r, "SerializationException", "%s holds no text", type_texts[type]);
	if (type == VALUE_N)
		return read_number(r, n->text, out);
	if (type == VALUE_B) {
		if (!base64_decode(&r->pool, n->text, &out->text))
			return refuse(r, "SerializationException", "no base64 in a B");
		return true;
	}
	out->text = n->text;
	return true;
}

static bool read_element(struct request *r, enum value_type of, const struct node *n,
			 const struct value **out)
{
	struct value *v;

	if (of == VALUE_L)
		return value_read(r, n, out);
	v = pool_alloc(&r->pool, sizeof(*v));
	*out = v;
	return read_scalar(r, of == VALUE_SS ? VALUE_S : of == VALUE_NS ? VALUE_N : VALUE_B, n, v);
}

static bool read_elements(struct request *r, enum value_type type, const struct node *n,
			  struct value *out)
{
	if (n->kind != NODE_ARRAY)
		return refuse(r, "SerializationException", "%s holds no list", type_texts[type]);
	if (is_set(type) && n->n == 0)
		return refuse_invalid(r,
				      "One or more parameter values were invalid: An %s may "
				      "not be empty",
				      type_texts[type]);
	out->items = pool_alloc(&r->pool, n->n * sizeof(*out->items));
	for (const struct node *e = n->first; e != NULL; e = e->next) {
		const struct value *v;

		if (!read_element(r, type, e, &v))
			return false;
		if (is_set(type) && value_holds(out, v))
			return refuse_invalid(r, "One or more parameter values were invalid: "
						 "Input collection contains duplicates.");
		out->items[out->n++] = v;
	}
	return true;
}

static bool read_members(struct request *r, const struct node *n, struct value *out)
{
	struct item it;

	if (n->kind != NODE_OBJECT)
		return refuse(r, "SerializationException", "M holds no object");
	if (!item_read(r, n, &it))
		return false;
	out->members = it.first;
	return true;
}

static bool read_typed(struct request *r, enum value_type type, const struct node *n,
		       struct value *out)
{
	out->type = type;
	switch (type) {
	case VALUE_S:
	case VALUE_N:
	case VALUE_B:
		return read_scalar(r, type, n, out);
	case VALUE_BOOL:
		if (n->kind != NODE_BOOL)
			return refuse(r, "SerializationException", "BOOL holds no boolean");
		out->flag = n->flag;
		return true;
	case VALUE_NULL:
		if (n->kind != NODE_BOOL || !n->flag)
			return refuse_invalid(r, "One or more parameter values were invalid: Null "
						 "attribute value types must have the value of "
						 "true");
		return true;
	case VALUE_SS:
	case VALUE_NS:
	case VALUE_BS:
	case VALUE_L:
		return read_elements(r, type, n, out);
	case VALUE_M:
		return read_members(r, n, out);
	case VALUE_COUNT:
		break;
	}
	return refuse(r, "SerializationException", "no such type");
}

bool value_read(struct request *r, const struct node *n, const struct value **out)
{
	struct value *v = pool_alloc(&r->pool, sizeof(*v));
	enum value_type type;

	if (n->kind != NODE_OBJECT)
		return refuse(r, "SerializationException", "an attribute value is no object");
	if (n->n != 1)
		return refuse_invalid(r,
				      "Supplied AttributeValue %s, must contain exactly one of "
				      "the supported datatypes",
				      n->n == 0 ? "is empty" : "has more than one datatypes set");
	type = value_type_of(n->first->key);
	if (type == VALUE_COUNT)
		return refuse_invalid(r, "Supplied AttributeValue is empty, must contain exactly "
					 "one of the supported datatypes");
	*out = v;
	return read_typed(r, type, n->first, v);
}

bool item_read(struct request *r, const struct node *n, struct item *out)
{
	const struct attr **last = &out->first;

	*out = (struct item){ NULL };
	for (const struct node *m = n->first; m != NULL; m = m->next) {
		struct attr *a = pool_alloc(&r->pool, sizeof(*a));

		if (m->key.n == 0)
			return refuse_invalid(r, "One or more parameter values were invalid: "
						 "Attribute name must not be empty");
		a->name = m->key;
		if (!value_read(r, m, &a->value))
			return false;
		*last = a;
		last = &a->next;
	}
	return true;
}

/* --- Writing --- */

static void write_key(struct json_writer *w, struct ev_str key)
{
	json_write_string(w, key);
	ev_buf_char(w->b, ':');
	w->comma = false;
}

static void write_plain(struct json_writer *w, struct pool *p, const struct value *v)
{
	json_write_string(w, v->type == VALUE_B ? base64_encode(p, v->text) : v->text);
}

static void write_elements(struct json_writer *w, struct pool *p, const struct value *v)
{
	json_write_array(w);
	for (size_t i = 0; i < v->n; i++) {
		if (v->type == VALUE_L)
			value_write(w, p, v->items[i]);
		else
			write_plain(w, p, v->items[i]);
	}
	json_write_array_end(w);
}

void value_write(struct json_writer *w, struct pool *p, const struct value *v)
{
	json_write_object(w);
	write_key(w, ev_str_from(type_texts[v->type]));
	if (v->type == VALUE_BOOL || v->type == VALUE_NULL)
		json_write_bool(w, v->type == VALUE_NULL || v->flag);
	else if (v->type == VALUE_M)
		item_write(w, p, &(struct item){ v->members });
	else if (v->type == VALUE_L || is_set(v->type))
		write_elements(w, p, v);
	else
		write_plain(w, p, v);
	json_write_object_end(w);
}

void item_write(struct json_writer *w, struct pool *p, const struct item *it)
{
	json_write_object(w);
	for (const struct attr *a = it->first; a != NULL; a = a->next) {
		write_key(w, a->name);
		value_write(w, p, a->value);
	}
	json_write_object_end(w);
}

/* --- Items --- */

const struct value *item_get(const struct item *it, struct ev_str name)
{
	for (const struct attr *a = it->first; a != NULL; a = a->next) {
		if (ev_str_eq(a->name, name))
			return a->value;
	}
	return NULL;
}

void item_set(struct item *it, struct pool *p, struct ev_str name, const struct value *v)
{
	const struct attr *first = NULL, **last = &first;

	for (const struct attr *a = it->first; a != NULL; a = a->next) {
		struct attr *copy;

		if (ev_str_eq(a->name, name))
			continue;
		copy = pool_alloc(p, sizeof(*copy));
		*copy = (struct attr){ .name = a->name, .value = a->value };
		*last = copy;
		last = &copy->next;
	}
	if (v != NULL) {
		struct attr *added = pool_alloc(p, sizeof(*added));

		*added = (struct attr){ .name = name, .value = v };
		*last = added;
	}
	it->first = first;
}

const struct value *value_copy(struct pool *p, const struct value *v)
{
	struct value *copy = pool_alloc(p, sizeof(*copy));

	copy->type = v->type;
	copy->flag = v->flag;
	copy->text = pool_copy(p, v->text);
	copy->n = v->n;
	copy->items = pool_alloc(p, v->n * sizeof(*copy->items));
	for (size_t i = 0; i < v->n; i++)
		copy->items[i] = value_copy(p, v->items[i]);
	copy->members = item_copy(p, &(struct item){ v->members }).first;
	return copy;
}

struct item item_copy(struct pool *p, const struct item *it)
{
	struct item copy = { NULL };
	const struct attr **last = &copy.first;

	for (const struct attr *a = it->first; a != NULL; a = a->next) {
		struct attr *made = pool_alloc(p, sizeof(*made));

		made->name = pool_copy(p, a->name);
		made->value = value_copy(p, a->value);
		*last = made;
		last = &made->next;
	}
	return copy;
}

/* --- Sizes --- */

/* A byte for two digits, one for the exponent, one for a minus. */
static size_t number_size(struct ev_str text)
{
	struct number n;

	if (number_parse(text, &n) != EV_OK)
		return 0;
	return (n.n + 1) / 2 + 1 + (n.negative ? 1 : 0);
}

size_t value_size(const struct value *v)
{
	size_t size = 0;

	switch (v->type) {
	case VALUE_S:
	case VALUE_B:
		return v->text.n;
	case VALUE_N:
		return number_size(v->text);
	case VALUE_BOOL:
	case VALUE_NULL:
		return 1;
	case VALUE_L:
	case VALUE_M:
		size = 3;
		break;
	case VALUE_SS:
	case VALUE_NS:
	case VALUE_BS:
	case VALUE_COUNT:
		break;
	}
	for (size_t i = 0; i < v->n; i++)
		size += value_size(v->items[i]) + (v->type == VALUE_L ? 1 : 0);
	for (const struct attr *a = v->members; a != NULL; a = a->next)
		size += a->name.n + value_size(a->value) + 1;
	return size;
}

size_t item_size(const struct item *it)
{
	size_t size = 0;

	for (const struct attr *a = it->first; a != NULL; a = a->next)
		size += a->name.n + value_size(a->value);
	return size;
}

/* --- Comparing --- */

static bool elements_equal(const struct value *a, const struct value *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (a->type == VALUE_L ? !value_equal(a->items[i], b->items[i])
				       : !value_holds(b, a->items[i]))
			return false;
	}
	return true;
}

bool item_equal(const struct item *a, const struct item *b)
{
	size_t n = 0;

	for (const struct attr *m = b->first; m != NULL; m = m->next)
		n++;
	for (const struct attr *m = a->first; m != NULL; m = m->next) {
		const struct value *other = item_get(b, m->name);

		if (other == NULL || n == 0 || !value_equal(m->value, other))
			return false;
		n--;
	}
	return n == 0;
}

bool value_equal(const struct value *a, const struct value *b)
{
	return a->type == b->type && a->flag == b->flag && ev_str_eq(a->text, b->text) &&
	       elements_equal(a, b) &&
	       item_equal(&(struct item){ a->members }, &(struct item){ b->members });
}

bool value_holds(const struct value *set, const struct value *v)
{
	for (size_t i = 0; i < set->n; i++) {
		if (value_equal(set->items[i], v))
			return true;
	}
	return false;
}

int value_order(const struct value *a, const struct value *b)
{
	size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
	int order = n > 0 ? memcmp(a->text.p, b->text.p, n) : 0;

	if (a->type == VALUE_N) {
		struct number x, y;

		if (number_parse(a->text, &x) == EV_OK && number_parse(b->text, &y) == EV_OK)
			return number_compare(&x, &y);
	}
	return order != 0 ? order : (a->text.n > b->text.n) - (a->text.n < b->text.n);
}
