/* test/cloud/node.c — see node.h. */
#include "cloud/node.h"

#include "codec/json_read.h"

static ev_err parse(struct pool *p, struct json_reader *r, struct node *out);

static struct ev_str unescape(struct pool *p, const struct json_span *s)
{
	char *text;

	if (!s->escaped)
		return s->raw;
	text = pool_alloc(p, s->raw.n + 1);
	return (struct ev_str){ text, json_unescape(s, text, s->raw.n) };
}

static ev_err parse_members(struct pool *p, struct json_reader *r, struct node *out)
{
	struct node **last = &out->first;
	struct json_span key;
	bool more;
	ev_err err = json_read_object(r);

	while (err == EV_OK && (err = json_read_key(r, &more, &key)) == EV_OK && more) {
		struct node *member = pool_alloc(p, sizeof(*member));

		member->key = unescape(p, &key);
		for (const struct node *o = out->first; o != NULL; o = o->next) {
			if (ev_str_eq(o->key, member->key))
				return EV_INVALID;
		}
		*last = member;
		last = &member->next;
		out->n++;
		err = parse(p, r, member);
	}
	return err;
}

static ev_err parse_items(struct pool *p, struct json_reader *r, struct node *out)
{
	struct node **last = &out->first;
	bool more;
	ev_err err = json_read_array(r);

	while (err == EV_OK && (err = json_read_item(r, &more)) == EV_OK && more) {
		struct node *item = pool_alloc(p, sizeof(*item));

		*last = item;
		last = &item->next;
		out->n++;
		err = parse(p, r, item);
	}
	return err;
}

static ev_err parse_text(struct pool *p, struct json_reader *r, struct node *out)
{
	struct json_span s;
	ev_err err = json_read_string(r, &s);

	if (err == EV_OK)
		out->text = unescape(p, &s);
	return err;
}

static ev_err parse_value(struct pool *p, struct json_reader *r, struct node *out)
{
	switch (json_peek(r)) {
	case '{':
		out->kind = NODE_OBJECT;
		return parse_members(p, r, out);
	case '[':
		out->kind = NODE_ARRAY;
		return parse_items(p, r, out);
	case '"':
		out->kind = NODE_STRING;
		return parse_text(p, r, out);
	case 't':
	case 'f':
		out->kind = NODE_BOOL;
		return json_read_bool(r, &out->flag);
	case 'n':
		out->kind = NODE_NULL;
		return json_skip(r, NULL);
	default:
		out->kind = NODE_NUMBER;
		return json_skip(r, &out->text);
	}
}

static ev_err parse(struct pool *p, struct json_reader *r, struct node *out)
{
	const char *start;
	ev_err err;

	(void)json_peek(r);
	start = r->p;
	err = parse_value(p, r, out);
	out->raw = (struct ev_str){ start, (size_t)(r->p - start) };
	return err;
}

ev_err node_parse(struct pool *p, struct ev_str text, struct node **out)
{
	struct json_error error;
	struct json_reader r;
	struct node *root = pool_alloc(p, sizeof(*root));
	ev_err err;

	json_read_init(&r, text, &error);
	err = parse(p, &r, root);
	if (err == EV_OK)
		err = json_read_end(&r);
	if (err == EV_OK)
		*out = root;
	return err;
}

const struct node *node_get(const struct node *object, const char *key)
{
	if (object == NULL || object->kind != NODE_OBJECT)
		return NULL;
	for (const struct node *m = object->first; m != NULL; m = m->next) {
		if (ev_str_eqz(m->key, key))
			return m->kind == NODE_NULL ? NULL : m;
	}
	return NULL;
}
