/* codec/json_record.c — see json_record.h. */
#include "codec/json_record.h"

#include <assert.h>
#include <string.h>

static size_t find_field(const struct json_field *fields, size_t n, struct ev_str key, size_t hint)
{
	for (size_t i = 0; i < n; i++) {
		const struct json_field *f = &fields[hint];

		if (f->key_len == key.n && memcmp(f->key, key.p, key.n) == 0)
			return hint;
		if (++hint == n)
			hint = 0;
	}
	return n;
}

static size_t match_key(const struct json_field *fields, size_t n, const struct json_span *key,
			size_t hint)
{
	char text[JSON_KEY_MAX];
	size_t len;

	if (!key->escaped)
		return find_field(fields, n, key->raw, hint);
	len = json_unescape(key, text, sizeof(text));
	return len > sizeof(text) ? n : find_field(fields, n, (struct ev_str){ text, len }, hint);
}

static ev_err read_field(struct json_reader *r, const struct json_field *f, void *record,
			 bool *out_seen)
{
	bool is_null = false;
	ev_err e;

	r->field = f->key;
	e = (f->flags & JSON_NULLABLE) != 0 ? json_read_null(r, &is_null) : EV_OK;
	if (e == EV_OK && !is_null)
		e = f->read(r, (char *)record + f->offset);
	*out_seen = !is_null;
	r->field = NULL;
	return e;
}

ev_err json_read_record(struct json_reader *r, const struct json_field *fields, size_t n,
			void *record, uint32_t *out_seen)
{
	uint32_t given = 0, seen = 0;
	size_t hint = 0; /* keys mostly come in the table's order */
	ev_err e = json_read_object(r);

	assert(n > 0 && n <= JSON_FIELDS_MAX);
	while (e == EV_OK) {
		struct json_span key;
		bool more, has;
		size_t i;

		e = json_read_key(r, &more, &key);
		if (e != EV_OK || !more)
			break;
		i = match_key(fields, n, &key, hint);
		if (i == n) {
			e = json_skip(r, NULL);
			continue;
		}
		if ((given >> i & 1) != 0)
			return json_fail(r, "duplicate", EV_LIT(""), "");
		given |= UINT32_C(1) << i;
		e = read_field(r, &fields[i], record, &has);
		seen |= (uint32_t)has << i;
		hint = i + 1 < n ? i + 1 : 0;
	}
	if (e == EV_OK)
		*out_seen = seen;
	return e;
}

ev_err json_require(struct json_reader *r, const struct json_field *fields, size_t n, uint32_t seen)
{
	for (size_t i = 0; i < n; i++) {
		if ((fields[i].flags & JSON_OPTIONAL) == 0 && (seen >> i & 1) == 0) {
			r->field = fields[i].key;
			return json_fail(r, "missing", EV_LIT(""), "");
		}
	}
	return EV_OK;
}
