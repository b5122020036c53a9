/* codec/json_field.c — see json_field.h. */
#include "codec/json_field.h"

#include <string.h>

#include "base/buf.h"
#include "base/time.h"
#include "base/uuid.h"
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

/* Dates: why one was refused.  Only for the text; what is accepted is ev_time_parse's to say. */

struct date_walk {
	struct ev_str s;
	size_t pos;
	const char *why; /* NULL while all is well */
	size_t at;
};

static bool stop_at(struct date_walk *w, const char *why, size_t at)
{
	w->why = why;
	w->at = at;
	return false;
}

static char date_char(const struct date_walk *w, size_t pos)
{
	return pos < w->s.n ? w->s.p[pos] : '\0';
}

static bool digit_at(struct date_walk *w, size_t pos)
{
	char c = date_char(w, pos);

	return (c >= '0' && c <= '9') || stop_at(w, "expected digit", pos);
}

/* n characters are left. */
static bool need(struct date_walk *w, size_t n)
{
	return w->s.n - w->pos >= n || stop_at(w, "illegal offset date time", w->pos);
}

/* Two digits from min to max, else `why` at the second. */
static bool pair(struct date_walk *w, int min, int max, const char *why, int *out)
{
	int v;

	if (!need(w, 2) || !digit_at(w, w->pos) || !digit_at(w, w->pos + 1))
		return false;
	v = (w->s.p[w->pos] - '0') * 10 + (w->s.p[w->pos + 1] - '0');
	if (v < min || v > max)
		return stop_at(w, why, w->pos + 1);
	w->pos += 2;
	*out = v;
	return true;
}

static bool separator(struct date_walk *w, char c, const char *why)
{
	if (date_char(w, w->pos) != c)
		return stop_at(w, why, w->pos);
	w->pos++;
	return true;
}

static bool walk_year(struct date_walk *w, int64_t *out)
{
	char sign = date_char(w, 0);
	size_t least = 4, most = 4;
	int64_t year = 0;

	if (!need(w, 5))
		return false;
	if (sign == '+' || sign == '-') {
		w->pos = 1;
		most = 9;
	} else if (sign < '0' || sign > '9') {
		return stop_at(w, "expected '-' or '+' or digit", 0);
	}
	for (size_t n = 0; n < most; n++, w->pos++) {
		char c = date_char(w, w->pos);

		if (c < '0' || c > '9') {
			if (n < least)
				return stop_at(w, "expected digit", w->pos);
			break;
		}
		year = year * 10 + (c - '0');
	}
	if (sign == '-' && year == 0)
		return stop_at(w, "illegal year", w->pos);
	*out = sign == '-' ? -year : year;
	return separator(w, '-', "expected '-'");
}

static bool walk_date(struct date_walk *w)
{
	int64_t year = 0;
	int month = 0, day = 0;

	if (!walk_year(w, &year) || !need(w, 3) || !pair(w, 1, 12, "illegal month", &month) ||
	    !separator(w, '-', "expected '-'") || !need(w, 3))
		return false;
	return pair(w, 1, (int)ev_time_days_in_month(year, (unsigned)month), "illegal day", &day) &&
	       separator(w, 'T', "expected 'T'");
}

/* What may follow the time that was read so far. */
static bool walk_time(struct date_walk *w, const char **out_expected)
{
	int ignored;
	size_t digits = 0;

	*out_expected = "expected ':' or '+' or '-' or 'Z'";
	if (!need(w, 3) || !pair(w, 0, 23, "illegal hour", &ignored) ||
	    !separator(w, ':', "expected ':'") || !pair(w, 0, 59, "illegal minute", &ignored))
		return false;
	if (date_char(w, w->pos) != ':')
		return true;
	w->pos++;
	*out_expected = "expected '.' or '+' or '-' or 'Z'";
	if (!pair(w, 0, 59, "illegal second", &ignored))
		return false;
	if (date_char(w, w->pos) != '.')
		return true;
	w->pos++;
	while (digits < 9 && date_char(w, w->pos) >= '0' && date_char(w, w->pos) <= '9') {
		w->pos++;
		digits++;
	}
	*out_expected = digits == 9 ? "expected '+' or '-' or 'Z'"
				    : "expected '+' or '-' or 'Z' or digit";
	return true;
}

static bool walk_offset(struct date_walk *w, const char *expected)
{
	int hour = 0, minute = 0, second = 0;
	char c = date_char(w, w->pos);

	if (c != 'Z' && c != '+' && c != '-')
		return stop_at(w, expected, w->pos);
	w->pos++;
	if (c != 'Z') {
		if (!pair(w, 0, 18, "illegal timezone offset hour", &hour))
			return false;
		/* What follows the hours, and the minutes, is passed whatever it is. */
		if (w->pos < w->s.n && w->s.p[w->pos++] == ':') {
			if (!pair(w, 0, 59, "illegal timezone offset minute", &minute))
				return false;
			if (w->pos < w->s.n && w->s.p[w->pos++] == ':' &&
			    !pair(w, 0, 59, "illegal timezone offset second", &second))
				return false;
		}
		if (hour * 3600 + minute * 60 + second > 18 * 3600)
			return stop_at(w, "illegal zone offset", w->pos);
	}
	return w->pos == w->s.n || stop_at(w, "illegal offset date time", w->pos);
}

static ev_err fail_date(struct json_reader *r, struct ev_str s)
{
	struct date_walk w = { .s = s };
	const char *expected = NULL;
	char after[120];
	struct ev_buf b = ev_buf_over(after, sizeof(after) - 1);

	ev_buf_z(&b, " is not a valid ISO-8601 format, ");
	if (walk_date(&w) && walk_time(&w, &expected) && walk_offset(&w, expected)) {
		ev_buf_z(&b, "instant out of range");
	} else {
		ev_buf_z(&b, w.why);
		ev_buf_z(&b, " at index ");
		ev_buf_u64(&b, w.at);
	}
	after[b.len] = '\0';
	return json_fail(r, "", s, after);
}

ev_err json_field_time(struct json_reader *r, void *target)
{
	struct json_span span;
	char tmp[SHORT_MAX];
	struct ev_str s;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	s = short_text(&span, tmp);
	if (ev_time_parse(s, target, NULL) == EV_OK)
		return EV_OK;
	return fail_date(r, s);
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
	return rfid_tag_set(target, s);
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
