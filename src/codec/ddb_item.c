/* codec/ddb_item.c — reading; see ddb_item.h.  Numbers: ddb_decimal.c, writing: ddb_attr.c. */
#include "codec/ddb_item.h"

#include <string.h>

#include "base/base64.h"
#include "base/time.h"
#include "codec/json_field.h"

/* What a reader of JSON calls invalid is a row that is not what it should be. */
static ev_err corrupt(ev_err e)
{
	return e == EV_OK ? EV_OK : EV_CORRUPT;
}

ev_err ddb_read_item(struct ddb_reader *r, struct ev_str item)
{
	json_read_init(&r->json, item, NULL);
	return corrupt(json_read_object(&r->json));
}

static enum ddb_type type_of(struct ev_str name)
{
	static const struct {
		const char *name;
		enum ddb_type type;
	} types[] = {
		{ "S", DDB_S },       { "N", DDB_N },   { "B", DDB_B }, { "BOOL", DDB_BOOL },
		{ "NULL", DDB_NULL }, { "SS", DDB_SS }, { "L", DDB_L }, { "M", DDB_M },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(types); i++) {
		if (ev_str_eqz(name, types[i].name))
			return types[i].type;
	}
	return DDB_OTHER;
}

static ev_err read_content(struct json_reader *r, struct ddb_value *v)
{
	switch (v->type) {
	case DDB_S:
	case DDB_N:
	case DDB_B:
		return json_read_string(r, &v->text);
	case DDB_BOOL:
	case DDB_NULL:
		return json_read_bool(r, &v->flag);
	case DDB_NONE:
	case DDB_SS:
	case DDB_L:
	case DDB_M:
	case DDB_OTHER:
		break;
	}
	return json_skip(r, &v->raw);
}

ev_err ddb_read_value(struct json_reader *r, struct ddb_value *out)
{
	struct ddb_value v = { .type = DDB_NONE };
	struct json_span type;
	bool more;

	if (json_read_object(r) != EV_OK || json_read_key(r, &more, &type) != EV_OK || !more)
		return EV_CORRUPT;
	v.type = type_of(type.raw);
	if (read_content(r, &v) != EV_OK || json_read_key(r, &more, &type) != EV_OK || more)
		return EV_CORRUPT;
	*out = v;
	return EV_OK;
}

ev_err ddb_read_next(struct ddb_reader *r, bool *out_more, char *name_room, struct ev_str *out_name,
		     struct ddb_value *out)
{
	struct json_span name;
	bool more;

	if (json_read_key(&r->json, &more, &name) != EV_OK)
		return EV_CORRUPT;
	if (!more) {
		*out_more = false;
		return corrupt(json_read_end(&r->json));
	}
	if (ddb_read_value(&r->json, out) != EV_OK)
		return EV_CORRUPT;
	*out_name = name.raw;
	if (name.escaped) {
		size_t n = json_unescape(&name, name_room, DDB_NAME_MAX);

		*out_name = (struct ev_str){ name_room, n < DDB_NAME_MAX ? n : DDB_NAME_MAX };
	}
	*out_more = true;
	return EV_OK;
}

static ev_err keep_field(const char *const names[], size_t n, struct ev_str name,
			 const struct ddb_value *v, struct ddb_value out[])
{
	for (size_t i = 0; i < n; i++) {
		if (!ev_str_eqz(name, names[i]))
			continue;
		if (out[i].type != DDB_NONE)
			return EV_CORRUPT;
		out[i] = *v;
		return EV_OK;
	}
	return EV_OK;
}

ev_err ddb_read_fields(struct ev_str item, const char *const names[], size_t n,
		       struct ddb_value out[])
{
	struct ddb_reader r;
	ev_err e = ddb_read_item(&r, item);

	memset(out, 0, n * sizeof(out[0]));
	while (e == EV_OK) {
		char room[DDB_NAME_MAX];
		struct ev_str name;
		struct ddb_value v;
		bool more;

		e = ddb_read_next(&r, &more, room, &name, &v);
		if (e != EV_OK || !more)
			break;
		e = keep_field(names, n, name, &v, out);
	}
	for (size_t i = 0; i < n; i++) {
		if (out[i].type == DDB_NULL)
			out[i].type = DDB_NONE;
	}
	return e;
}

ev_err ddb_value_map(const struct ddb_value *v, struct ddb_reader *out)
{
	return v->type == DDB_M ? ddb_read_item(out, v->raw) : EV_CORRUPT;
}

ev_err ddb_value_list(const struct ddb_value *v, struct json_reader *out)
{
	if (v->type != DDB_L && v->type != DDB_SS)
		return EV_CORRUPT;
	json_read_init(out, v->raw, NULL);
	return corrupt(json_read_array(out));
}

ev_err ddb_value_text(const struct ddb_value *v, char *room, size_t cap, struct ev_str *out)
{
	size_t n;

	if (v->type != DDB_S)
		return EV_CORRUPT;
	if (!v->text.escaped) {
		if (v->text.raw.n > cap)
			return EV_CORRUPT;
		*out = v->text.raw;
		return EV_OK;
	}
	n = json_unescape(&v->text, room, cap);
	if (n > cap)
		return EV_CORRUPT;
	*out = (struct ev_str){ room, n };
	return EV_OK;
}

/* Base64 needs no escapes, but some writers of JSON escape `/` and `+`. */
#define ESCAPED_BYTES_MAX 8192

ev_err ddb_value_bytes(const struct ddb_value *v, void *room, size_t cap, struct ev_str *out)
{
	char plain[ESCAPED_BYTES_MAX];
	struct ev_str text = v->text.raw;
	size_t n;

	if (v->type != DDB_B)
		return EV_CORRUPT;
	if (v->text.escaped) {
		text = (struct ev_str){ plain, json_unescape(&v->text, plain, sizeof(plain)) };
		if (text.n > sizeof(plain))
			return EV_CORRUPT;
	}
	if (ev_base64_read(text, room, cap, &n) != EV_OK)
		return EV_CORRUPT;
	*out = (struct ev_str){ room, n };
	return EV_OK;
}

ev_err ddb_value_z(const struct ddb_value *v, char *out, size_t cap)
{
	size_t n;

	if (v->type != DDB_S)
		return EV_CORRUPT;
	n = json_unescape(&v->text, NULL, 0);
	if (n >= cap)
		return EV_CORRUPT;
	n = json_unescape(&v->text, out, cap);
	memset(out + n, 0, cap - n);
	return memchr(out, '\0', n == 0 ? 1 : n) != NULL && n > 0 ? EV_CORRUPT : EV_OK;
}

ev_err ddb_value_uuid(const struct ddb_value *v, struct ev_uuid *out)
{
	char room[EV_UUID_TEXT];
	struct ev_str s;

	if (ddb_value_text(v, room, sizeof(room), &s) != EV_OK)
		return EV_CORRUPT;
	return corrupt(uuid_parse_lenient(s, out));
}

ev_err ddb_value_tag(const struct ddb_value *v, struct rfid_tag *out)
{
	char room[RFID_TAG_MAX];
	struct ev_str s;

	if (ddb_value_text(v, room, sizeof(room), &s) != EV_OK)
		return EV_CORRUPT;
	return corrupt(rfid_tag_set(out, s));
}

ev_err ddb_value_state(const struct ddb_value *v, enum outlet_state *out)
{
	char room[32];
	struct ev_str s;

	if (ddb_value_text(v, room, sizeof(room), &s) != EV_OK)
		return EV_CORRUPT;
	return corrupt(outlet_state_parse(s, out));
}

/* ±HH, ±HH:MM or ±HH:MM:SS: base/time.h is more lenient about what follows. */
static bool is_offset(struct ev_str s)
{
	if (s.n != 3 && s.n != 6 && s.n != 9)
		return false;
	for (size_t i = 3; i < s.n; i += 3) {
		if (s.p[i] != ':')
			return false;
	}
	return true;
}

/*
 * As Java's ISO_OFFSET_DATE_TIME reads it: base/time.h's form, but with T and Z in any case and
 * nothing odd behind the offset.
 */
ev_err ddb_value_time(const struct ddb_value *v, int64_t *out_ns)
{
	char room[EV_TIME_TEXT], text[EV_TIME_TEXT];
	struct ev_str s;
	size_t zone;
	int64_t ns;

	if (ddb_value_text(v, room, sizeof(room), &s) != EV_OK || s.n < 11)
		return EV_CORRUPT;
	for (size_t i = 0; i < s.n; i++)
		text[i] = s.p[i] == 't' ? 'T' : s.p[i] == 'z' ? 'Z' : s.p[i];
	for (zone = 11; zone < s.n; zone++) {
		if (text[zone] == 'Z' || text[zone] == '+' || text[zone] == '-')
			break;
	}
	if (zone == s.n ||
	    (text[zone] == 'Z' ? zone + 1 != s.n
			       : !is_offset((struct ev_str){ text + zone, s.n - zone })))
		return EV_CORRUPT;
	if (ev_time_parse((struct ev_str){ text, s.n }, &ns, NULL) != EV_OK)
		return EV_CORRUPT;
	*out_ns = ns;
	return EV_OK;
}

ev_err ddb_value_bool(const struct ddb_value *v, bool *out)
{
	if (v->type != DDB_BOOL)
		return EV_CORRUPT;
	*out = v->flag;
	return EV_OK;
}
