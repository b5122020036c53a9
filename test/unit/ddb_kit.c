#include "ddb_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vectors.h"

struct json_writer *kit_begin(struct kit *k)
{
	k->buf = ev_buf_over(k->bytes, sizeof(k->bytes));
	k->w = json_writer_over(&k->buf);
	return &k->w;
}

struct json_writer *kit_begin_members(struct kit *k)
{
	kit_begin(k);
	json_write_object(&k->w);
	return &k->w;
}

struct json_object *kit_end(struct kit *k)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *o;

	assert_false(k->buf.overflow);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, k->bytes, (int)k->buf.len);
	if (o == NULL)
		fail_msg("not JSON: %.*s", (int)k->buf.len, k->bytes);
	assert_int_equal(json_tokener_get_parse_end(t), k->buf.len);
	json_tokener_free(t);
	return o;
}

struct json_object *kit_end_members(struct kit *k)
{
	json_write_object_end(&k->w);
	return kit_end(k);
}

struct ev_str kit_text(struct json_object *o)
{
	return ev_str_from(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

struct json_object *kit_copy(struct json_object *item)
{
	struct json_object *copy = NULL;

	assert_int_equal(json_object_deep_copy(item, &copy, NULL), 0);
	return copy;
}

struct json_object *kit_without(struct json_object *item, const char *name)
{
	struct json_object *copy = kit_copy(item);

	json_object_object_del(copy, name);
	return copy;
}

/* The next `#name` or `:name` of an expression, with its mark; false: no more. */
static bool next_place(const char **at, char mark, char out[16])
{
	const char *p = strchr(*at, mark);
	size_t n;

	if (p == NULL)
		return false;
	n = 1 + strspn(p + 1, "abcdefghijklmnopqrstuvwxyz0123456789");
	assert_true(n > 1 && n < 16);
	memcpy(out, p, n);
	out[n] = '\0';
	*at = p + n;
	return true;
}

static const char *name_of(struct json_object *request, const char *place)
{
	struct json_object *names = vector_get(request, "ExpressionAttributeNames");

	return vector_str(names, place).p;
}

static struct json_object *value_of(struct json_object *request, const char *place)
{
	struct json_object *v = vector_get(vector_get(request, "ExpressionAttributeValues"), place);

	assert_non_null(v);
	return v;
}

static bool same_number(struct json_object *a, struct json_object *b)
{
	long double x = strtold(json_object_get_string(a), NULL);
	long double y = strtold(json_object_get_string(b), NULL);

	/* Enough digits for all that is compared here. */
	return !(x < y) && !(x > y);
}

static bool same_value(struct json_object *a, struct json_object *b)
{
	struct json_object *n = vector_get(a, "N"), *m = vector_get(b, "N");

	return n != NULL && m != NULL ? same_number(n, m) : json_object_equal(a, b) != 0;
}

static bool holds_one(struct json_object *request, struct json_object *item, const char *test)
{
	const char *at = test;
	char name[16], value[16];
	struct json_object *have;

	assert_true(next_place(&at, '#', name));
	have = item == NULL ? NULL : vector_get(item, name_of(request, name));
	if (strncmp(test, "attribute_not_exists(", 21) == 0)
		return have == NULL;
	if (strncmp(test, "attribute_exists(", 17) == 0)
		return have != NULL;
	assert_memory_equal(at, " = :", 4);
	assert_true(next_place(&at, ':', value));
	return have != NULL && same_value(have, value_of(request, value));
}

bool kit_holds(struct json_object *request, struct json_object *item)
{
	const char *at = vector_str(request, "ConditionExpression").p;

	for (;;) {
		const char *and = strstr(at, " AND ");

		if (!holds_one(request, item, at))
			return false;
		if (and == NULL)
			return true;
		at = and+5;
	}
}

static struct json_object *update_of(struct json_object *request)
{
	return vector_get(request, "UpdateExpression");
}

struct json_object *kit_apply(struct json_object *request, struct json_object *item)
{
	struct json_object *next = kit_copy(item != NULL ? item : vector_get(request, "Key"));
	const char *at = update_of(request) == NULL ? ""
						    : vector_str(request, "UpdateExpression").p;
	const char *remove = strstr(at, "REMOVE ");
	char name[16], value[16];

	while (next_place(&at, '#', name)) {
		if (remove != NULL && at > remove) {
			json_object_object_del(next, name_of(request, name));
			continue;
		}
		assert_memory_equal(at, " = :", 4);
		assert_true(next_place(&at, ':', value));
		json_object_object_add(next, name_of(request, name),
				       json_object_get(value_of(request, value)));
	}
	return next;
}

unsigned kit_changes(struct json_object *request)
{
	const char *at = update_of(request) == NULL ? ""
						    : vector_str(request, "UpdateExpression").p;
	char name[16];
	unsigned n = 0;

	while (next_place(&at, '#', name))
		n++;
	return n;
}

void kit_assert_same(struct json_object *got, struct json_object *want)
{
	if (json_object_equal(got, want) != 0)
		return;
	print_error("got:  %s\nwant: %s\n", kit_text(got).p, kit_text(want).p);
	fail();
}

static ev_err read_exact(kit_read_fn read, const char *p, size_t n, void *out)
{
	char *copy = malloc(n == 0 ? 1 : n);
	ev_err e;

	assert_non_null(copy);
	memcpy(copy, p, n);
	e = read((struct ev_str){ copy, n }, out);
	free(copy);
	return e;
}

ev_err kit_read(kit_read_fn read, struct json_object *item, void *out)
{
	struct ev_str text = kit_text(item);

	return read_exact(read, text.p, text.n, out);
}

void kit_assert_truncated(kit_read_fn read, struct json_object *item, void *out)
{
	struct ev_str text = kit_text(item);
	char *more = malloc(text.n + 1);

	for (size_t n = 0; n < text.n; n++)
		assert_int_equal(read_exact(read, text.p, n, out), EV_CORRUPT);
	memcpy(more, text.p, text.n);
	more[text.n] = '}';
	assert_int_equal(read_exact(read, more, text.n + 1, out), EV_CORRUPT);
	free(more);
}
