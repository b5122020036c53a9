/* test/cloud/sqs_attr.c — the attributes of messages. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cloud/sqs.h"

#define ATTRS_MAX 10

static int name_order(const void *a, const void *b)
{
	const struct node *const *x = a, *const *y = b;
	struct ev_str s = (*x)->key, t = (*y)->key;
	size_t n = s.n < t.n ? s.n : t.n;
	int order = n > 0 ? memcmp(s.p, t.p, n) : 0;

	return order != 0 ? order : (s.n > t.n) - (s.n < t.n);
}

static void put_sized(struct ev_buf *b, struct ev_str s)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		ev_buf_char(b, (char)(s.n >> shift & 0xff));
	ev_buf_str_add(b, s);
}

/* Name, type and value, as they are hashed. */
static bool put_attr(struct request *r, const struct node *a, struct ev_buf *b, size_t *bytes)
{
	struct ev_str type, value = { NULL, 0 };
	bool binary;

	if (a->kind != NODE_OBJECT || !known_keys(r, a, " DataType StringValue BinaryValue ") ||
	    !need_text(r, a, "DataType", &type))
		return false;
	binary = ev_str_starts(type, EV_LIT("Binary"));
	if (!binary && !ev_str_starts(type, EV_LIT("String")) &&
	    !ev_str_starts(type, EV_LIT("Number")))
		return refuse(r, "InvalidParameterValue",
			      "The type of message attribute is "
			      "invalid.");
	if (!need_text(r, a, binary ? "BinaryValue" : "StringValue", &value))
		return false;
	if (binary && !base64_decode(&r->pool, value, &value))
		return refuse(r, "SerializationException", "no base64 in a BinaryValue");
	if (value.n == 0 || a->key.n == 0)
		return refuse(r, "InvalidParameterValue",
			      "Message attribute '%.*s' must contain a non-empty value",
			      (int)a->key.n, a->key.p);
	put_sized(b, a->key);
	put_sized(b, type);
	ev_buf_char(b, binary ? 2 : 1);
	put_sized(b, value);
	*bytes += a->key.n + type.n + value.n;
	return true;
}

bool message_attrs_check(struct request *r, const struct node *attrs, char out_md5[33],
			 size_t *out_bytes)
{
	const struct node *sorted[ATTRS_MAX];
	uint8_t digest[16];
	struct ev_buf b;
	size_t n = 0;

	out_md5[0] = '\0';
	if (attrs == NULL || attrs->n == 0)
		return true;
	if (attrs->n > ATTRS_MAX)
		return refuse(r, "InvalidParameterValue",
			      "Number of message attributes [%zu] "
			      "exceeds the allowed maximum [10].",
			      attrs->n);
	for (const struct node *a = attrs->first; a != NULL; a = a->next)
		sorted[n++] = a;
	qsort(sorted, n, sizeof(sorted[0]), name_order);
	b = ev_buf_over(pool_alloc(&r->pool, attrs->raw.n + ATTRS_MAX * 16),
			attrs->raw.n + ATTRS_MAX * 16);
	for (size_t i = 0; i < n; i++) {
		if (!put_attr(r, sorted[i], &b, out_bytes))
			return false;
	}
	md5(ev_buf_str(&b), digest);
	ev_hex(digest, sizeof(digest), out_md5);
	return true;
}

/* --- Giving them out --- */

static bool matches(struct ev_str pattern, struct ev_str name)
{
	if (ev_str_eqz(pattern, "All") || ev_str_eqz(pattern, ".*"))
		return true;
	if (pattern.n > 2 && memcmp(pattern.p + pattern.n - 2, ".*", 2) == 0) {
		pattern.n -= 2;
		return ev_str_starts(name, pattern);
	}
	return ev_str_eq(pattern, name);
}

static bool is_asked(const struct node *names, struct ev_str name)
{
	for (const struct node *n = names == NULL ? NULL : names->first; n != NULL; n = n->next) {
		if (matches(n->text, name))
			return true;
	}
	return false;
}

/* Those that are asked for, as an object of their own. */
static struct node *chosen(struct request *r, const struct message *m, const struct node *names)
{
	struct node *all, **at;

	if (m->attributes.n == 0 || node_parse(&r->pool, m->attributes, &all) != EV_OK)
		return NULL;
	at = &all->first;
	while (*at != NULL) {
		if (is_asked(names, (*at)->key)) {
			at = &(*at)->next;
			continue;
		}
		*at = (*at)->next;
		all->n--;
	}
	return all->n > 0 ? all : NULL;
}

void message_attrs_write(struct request *r, const struct message *m, const struct node *names)
{
	struct node *all = chosen(r, m, names);
	char hash[33];
	size_t bytes = 0;

	if (all == NULL || !message_attrs_check(r, all, hash, &bytes))
		return;
	json_write_key(&r->w, "MD5OfMessageAttributes");
	json_write_z(&r->w, hash);
	json_write_key(&r->w, "MessageAttributes");
	json_write_object(&r->w);
	for (const struct node *a = all->first; a != NULL; a = a->next) {
		json_write_string(&r->w, a->key);
		ev_buf_char(r->w.b, ':');
		r->w.comma = false;
		json_write_raw(&r->w, a->raw);
	}
	json_write_object_end(&r->w);
	r->sqs_bytes += bytes;
}
