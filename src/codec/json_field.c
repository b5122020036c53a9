/* codec/json_field.c — see json_field.h. */
#include "codec/json_field.h"

#include <string.h>

#include "base/buf.h"
#include "base/time.h"
#include "base/uuid.h"
#include "codec/json_number.h"
#include "core/types.h"

/* More than any identifier, date or state name; a text cut to this is none of them. */
#define SHORT_MAX 128

/* The string's text: borrowed, or unescaped into tmp (cut to SHORT_MAX). */
static struct ev_str short_text(const struct json_span *s, char tmp[SHORT_MAX])
{
	size_t n;

	if (!s->escaped)
		return s->raw;
	n = json_unescape(s, tmp, SHORT_MAX);
	return (struct ev_str){ tmp, n < SHORT_MAX ? n : SHORT_MAX };
}

/* UUID */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One group: 1 to 16 hex digits whose value fits `bytes` bytes, written to out in network order. */
static bool uuid_group(struct ev_str s, unsigned bytes, uint8_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int h = hex_value(s.p[i]);

		if (h < 0)
			return false;
		v = v << 4 | (uint64_t)h;
	}
	if (v >> (8 * bytes) != 0)
		return false;
	for (unsigned i = bytes; i-- > 0; v >>= 8)
		out[i] = (uint8_t)v;
	return true;
}

ev_err uuid_parse_lenient(struct ev_str s, struct ev_uuid *out)
{
	static const struct {
		unsigned at, bytes;
	} groups[] = { { 0, 4 }, { 4, 2 }, { 6, 2 }, { 8, 2 }, { 10, 6 } };
	struct ev_uuid u;

	if (ev_uuid_parse(s, out) == EV_OK)
		return EV_OK;
	if (s.n > EV_UUID_TEXT)
		return EV_INVALID;
	for (size_t g = 0; g < EV_ARRAY_LEN(groups); g++) {
		const char *dash = s.n > 0 ? memchr(s.p, '-', s.n) : NULL;
		size_t n = dash != NULL ? (size_t)(dash - s.p) : s.n;
		bool last = g + 1 == EV_ARRAY_LEN(groups);

		if ((dash == NULL) != last)
			return EV_INVALID;
		if (!uuid_group((struct ev_str){ s.p, n }, groups[g].bytes, u.b + groups[g].at))
			return EV_INVALID;
		if (!last) {
			s.p += n + 1;
			s.n -= n + 1;
		}
	}
	*out = u;
	return EV_OK;
}

/* Characters as the original counts them: UTF-16 units. */
static size_t utf16_len(struct ev_str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		n += (c & 0xc0) != 0x80;
		n += c >= 0xf0;
	}
	return n;
}

ev_err json_field_uuid(struct json_reader *r, void *target)
{
	struct json_span span;
	char tmp[SHORT_MAX];
	struct ev_str s;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	s = short_text(&span, tmp);
	if (uuid_parse_lenient(s, target) == EV_OK)
		return EV_OK;
	if (utf16_len(s) > EV_UUID_TEXT)
		return json_fail(r, "Invalid UUID: UUID string too large", EV_LIT(""), "");
	return json_fail(r, "Invalid UUID: ", s, "");
}

/* Dates */

static ev_err fail_date(struct json_reader *r, struct ev_str s, const char *why, size_t at)
{
	char after[120];
	struct ev_buf b = ev_buf_over(after, sizeof(after) - 1);

	ev_buf_z(&b, " is not a valid ISO-8601 format, ");
	ev_buf_z(&b, why);
	ev_buf_z(&b, " at index ");
	ev_buf_u64(&b, at);
	after[b.len] = '\0';
	return json_fail(r, "", s, after);
}

ev_err json_field_time(struct json_reader *r, void *target)
{
	struct json_span span;
	char tmp[SHORT_MAX];
	const char *why;
	size_t at;
	struct ev_str s;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	s = short_text(&span, tmp);
	if (ev_time_parse_at(s, target, &why, &at) == EV_OK)
		return EV_OK;
	return fail_date(r, s, why, at);
}

/* The rest */

ev_err json_field_state(struct json_reader *r, void *target)
{
	struct json_span span;
	char tmp[SHORT_MAX];
	struct ev_str s;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	s = short_text(&span, tmp);
	if (outlet_state_parse(s, target) == EV_OK)
		return EV_OK;
	return json_fail(r, "", s, " is not a member of Enum");
}

ev_err json_field_tag(struct json_reader *r, void *target)
{
	struct rfid_tag *tag = target;
	struct json_span span;
	char tmp[RFID_TAG_MAX];
	struct ev_str s;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	s = span.raw;
	if (span.escaped)
		s = (struct ev_str){ tmp, json_unescape(&span, tmp, sizeof(tmp)) };
	if (s.n > RFID_TAG_MAX)
		return json_fail(r, "longer than 64 bytes", EV_LIT(""), "");
	/* Not rfid_tag_set: the reader has seen to the UTF-8. */
	tag->n = (uint8_t)s.n;
	memcpy(tag->s, s.p, s.n);
	return EV_OK;
}

ev_err json_field_message_id(struct json_reader *r, void *target)
{
	struct message_id *id = target;
	struct json_span span;
	char tmp[MESSAGE_ID_MAX];
	struct ev_str s;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	s = span.raw;
	if (span.escaped)
		s = (struct ev_str){ tmp, json_unescape(&span, tmp, sizeof(tmp)) };
	if (s.n == 0 || s.n > MESSAGE_ID_MAX)
		return json_fail(r, "must be of 1 to 64 bytes", EV_LIT(""), "");
	id->n = (uint8_t)s.n;
	memcpy(id->s, s.p, s.n);
	return EV_OK;
}

ev_err json_field_double(struct json_reader *r, void *target)
{
	return json_read_double(r, target);
}

ev_err json_field_text(struct json_reader *r, void *target)
{
	struct json_text *t = target;
	struct json_span span;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	t->n = span.raw.n;
	if (span.escaped)
		t->n = json_unescape(&span, t->s, JSON_TEXT_MAX);
	else
		memcpy(t->s, span.raw.p, t->n < JSON_TEXT_MAX ? t->n : JSON_TEXT_MAX);
	t->s[t->n < JSON_TEXT_MAX ? t->n : JSON_TEXT_MAX] = '\0';
	return EV_OK;
}

ev_err json_field_ignored_string(struct json_reader *r, void *target)
{
	struct json_span span;

	(void)target; /* the signature is json_read_fn's */
	return json_read_string(r, &span);
}
