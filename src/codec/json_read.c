/* codec/json_read.c — see json_read.h. */
#include "codec/json_read.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"

#define CLIP 64 /* bytes of the peer's input that an error text repeats */

void json_read_init(struct json_reader *r, struct ev_str in, struct json_error *error)
{
	*r = (struct json_reader){ .error = error };
	r->start = in.n > 0 ? in.p : "";
	r->p = r->start;
	r->end = r->start + in.n;
}

/* Errors */

/* At most CLIP bytes, not cutting a character in two. */
static struct ev_str clip(struct ev_str s)
{
	if (s.n <= CLIP)
		return s;
	s.n = CLIP;
	while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
		s.n--;
	return s;
}

ev_err json_fail(struct json_reader *r, const char *before, struct ev_str input, const char *after)
{
	struct ev_buf b;
	struct ev_str shown = clip(input);

	if (r->error == NULL)
		return EV_INVALID;
	b = ev_buf_over(r->error->text, JSON_ERROR_TEXT - 1);
	if (r->field != NULL) {
		ev_buf_char(&b, '.');
		ev_buf_z(&b, r->field);
	}
	ev_buf_char(&b, '(');
	ev_buf_z(&b, before);
	ev_buf_str_add(&b, shown);
	if (shown.n < input.n)
		ev_buf_z(&b, "…");
	ev_buf_z(&b, after);
	ev_buf_char(&b, ')');
	r->error->text[b.len] = '\0';
	r->error->at = (size_t)(r->p - r->start);
	return EV_INVALID;
}

/* The original's text for it has no path. */
static ev_err fail_end(struct json_reader *r)
{
	static const char text[] = "Unexpected end of input";

	if (r->error != NULL) {
		memcpy(r->error->text, text, sizeof(text));
		r->error->at = (size_t)(r->end - r->start);
	}
	return EV_INVALID;
}

/* The character at r->p, whole; `?` if it is not UTF-8. */
static struct ev_str char_at(const struct json_reader *r)
{
	size_t left = (size_t)(r->end - r->p);
	size_t n = 1;

	while (n < left && n < 4 && ((unsigned char)r->p[n] & 0xc0) == 0x80)
		n++;
	if (!ev_utf8_valid(r->p, n))
		return EV_LIT("?");
	return (struct ev_str){ r->p, n };
}

ev_err json_fail_got(struct json_reader *r, const char *before, const char *after)
{
	if (r->p == r->end)
		return fail_end(r);
	return json_fail(r, before, char_at(r), after);
}

/* Tokens */

static inline bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline void skip_space(struct json_reader *r)
{
	while (r->p < r->end && is_space(*r->p))
		r->p++;
}

int json_peek(struct json_reader *r)
{
	skip_space(r);
	return r->p < r->end ? (unsigned char)*r->p : -1;
}

static inline bool take(struct json_reader *r, char c)
{
	skip_space(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static ev_err open_at(struct json_reader *r, char c, const char *before)
{
	if (!take(r, c))
		return json_fail_got(r, before, "'");
	if (r->depth >= JSON_DEPTH_MAX)
		return json_fail(r, "nested too deep", EV_LIT(""), "");
	r->depth++;
	r->first = true;
	return EV_OK;
}

ev_err json_read_object(struct json_reader *r)
{
	return open_at(r, '{', "expected '{' got '");
}

ev_err json_read_array(struct json_reader *r)
{
	return open_at(r, '[', "expected '[' got '");
}

static inline ev_err close_at(struct json_reader *r, bool *out_more)
{
	r->p++;
	r->depth--;
	r->first = false;
	*out_more = false;
	return EV_OK;
}

/* Strings */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t load8(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	return x;
}

/* Bit 7 of the lowest zero byte is exact, which is all that is asked of it. */
static inline uint64_t zero_bytes(uint64_t x)
{
	return (x - EACH(1)) & ~x & EACH(0x80);
}

/*
 * The first byte at or after p that is a quote, a backslash, a control character or not ASCII; end
 * if there is none.  Eight bytes at a time, for strings are most of a message.
 */
static inline const char *scan_plain(const char *p, const char *end)
{
	while (end - p >= 8) {
		uint64_t x = load8(p);
		uint64_t hit = ((x - EACH(0x20)) & ~x & EACH(0x80)) | (x & EACH(0x80)) |
			       zero_bytes(x ^ EACH('"')) | zero_bytes(x ^ EACH('\\'));

		if (hit != 0)
			return p + (__builtin_ctzll(hit) >> 3);
		p += 8;
	}
	while (p < end) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
		p++;
	}
	return p;
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_simple_escape(char c)
{
	return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' ||
	       c == 't';
}

/* r->p at the backslash; leaves it after the escape. */
static ev_err pass_escape(struct json_reader *r)
{
	r->p++;
	if (r->p == r->end)
		return fail_end(r);
	if (*r->p != 'u') {
		if (!is_simple_escape(*r->p))
			return json_fail(r, "invalid '\\", char_at(r), "' in string");
		r->p++;
		return EV_OK;
	}
	r->p++;
	for (int i = 0; i < 4; i++, r->p++) {
		if (r->p == r->end)
			return fail_end(r);
		if (hex_value(*r->p) < 0)
			return json_fail(r, "invalid charcode in string", EV_LIT(""), "");
	}
	return EV_OK;
}

/* r->p at a byte of 0x80 or more: passes all such bytes, for no character spans ASCII. */
static ev_err pass_utf8(struct json_reader *r)
{
	const char *p = r->p;

	while (p < r->end && (unsigned char)*p >= 0x80)
		p++;
	if (!ev_utf8_valid(r->p, (size_t)(p - r->p)))
		return json_fail(r, "invalid UTF-8 in string", EV_LIT(""), "");
	r->p = p;
	return EV_OK;
}

/* The string that began at `begin`, from r->p on: more than plain characters, or without end. */
static ev_err read_span_slowly(struct json_reader *r, const char *begin, struct json_span *out)
{
	bool escaped = false;

	for (;; r->p = scan_plain(r->p, r->end)) {
		ev_err e;

		if (r->p == r->end)
			return fail_end(r);
		if (*r->p == '"')
			break;
		if (*r->p == '\\') {
			escaped = true;
			e = pass_escape(r);
		} else if ((unsigned char)*r->p >= 0x80) {
			e = pass_utf8(r);
		} else {
			e = json_fail(r, "invalid control in string", EV_LIT(""), "");
		}
		if (e != EV_OK)
			return e;
	}
	*out = (struct json_span){ { begin, (size_t)(r->p - begin) }, escaped };
	r->p++;
	return EV_OK;
}

/* r->p after the opening quote; leaves it after the closing one. */
static inline ev_err read_span(struct json_reader *r, struct json_span *out)
{
	const char *begin = r->p;
	const char *p = scan_plain(begin, r->end);

	if (p == r->end || *p != '"') {
		r->p = p;
		return read_span_slowly(r, begin, out);
	}
	*out = (struct json_span){ { begin, (size_t)(p - begin) }, false };
	r->p = p + 1;
	return EV_OK;
}

ev_err json_read_string(struct json_reader *r, struct json_span *out)
{
	if (!take(r, '"'))
		return json_fail_got(r, "expected '\"' got '", "'");
	return read_span(r, out);
}

static uint32_t hex4(const char *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)hex_value(p[i]);
	return v;
}

/* p after `\u`; *io is moved past all that the character took. */
static uint32_t escaped_char(const char **io, const char *end)
{
	const char *p = *io;
	uint32_t c = hex4(p);

	p += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		uint32_t low = hex4(p + 2);

		if (low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
	}
	*io = p;
	return c >= 0xd800 && c < 0xe000 ? '?' : c;
}

static size_t utf8_put(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static char simple_escape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default: /* quote, backslash, slash: the lexer let nothing else pass */
		return c;
	}
}

size_t json_unescape(const struct json_span *s, char *out, size_t cap)
{
	const char *p = s->raw.p;
	const char *end = s->raw.p + s->raw.n;
	size_t len = 0;

	while (p < end) {
		char c[4];
		size_t n = 1;

		c[0] = *p++;
		if (c[0] == '\\') {
			c[0] = simple_escape(*p++);
			if (c[0] == 'u')
				n = utf8_put(escaped_char(&p, end), c);
		}
		if (len + n <= cap)
			memcpy(out + len, c, n);
		len += n;
	}
	return len;
}

/* Objects and arrays */

ev_err json_read_key(struct json_reader *r, bool *out_more, struct json_span *out)
{
	struct json_span key;
	ev_err e;

	skip_space(r);
	if (r->p < r->end && *r->p == '}')
		return close_at(r, out_more);
	if (!r->first) {
		if (!take(r, ','))
			return json_fail_got(r, "expected ',' or '}' got '", "'");
		if (!take(r, '"'))
			return json_fail_got(r, "expected '\"' got '", "'");
	} else if (!take(r, '"')) {
		return json_fail_got(r, "expected string or '}' got '", "'");
	}
	r->first = false;
	e = read_span(r, &key);
	if (e != EV_OK)
		return e;
	if (!take(r, ':'))
		return json_fail_got(r, "expected ':' got '", "'");
	*out = key;
	*out_more = true;
	return EV_OK;
}

ev_err json_read_item(struct json_reader *r, bool *out_more)
{
	skip_space(r);
	if (r->p < r->end && *r->p == ']')
		return close_at(r, out_more);
	if (!r->first && !take(r, ','))
		return json_fail_got(r, "expected ',' or ']' got '", "'");
	if (r->p == r->end)
		return fail_end(r);
	r->first = false;
	*out_more = true;
	return EV_OK;
}

static ev_err read_word(struct json_reader *r, const char *word, size_t n)
{
	for (size_t i = 0; i < n; i++, r->p++) {
		if (r->p == r->end)
			return fail_end(r);
		if (*r->p != word[i])
			return json_fail(r, "expected '", (struct ev_str){ word, n }, "'");
	}
	return EV_OK;
}

ev_err json_read_null(struct json_reader *r, bool *out)
{
	ev_err e;

	if (json_peek(r) != 'n') {
		*out = false;
		return EV_OK;
	}
	e = read_word(r, "null", 4);
	if (e == EV_OK)
		*out = true;
	return e;
}

ev_err json_read_bool(struct json_reader *r, bool *out)
{
	int c = json_peek(r);
	ev_err e;

	if (c != 't' && c != 'f')
		return json_fail_got(r, "expected 'true' or 'false' got ", "");
	e = c == 't' ? read_word(r, "true", 4) : read_word(r, "false", 5);
	if (e == EV_OK)
		*out = c == 't';
	return e;
}

ev_err json_read_end(struct json_reader *r)
{
	if (json_peek(r) >= 0)
		return json_fail_got(r, "expected the end got '", "'");
	return EV_OK;
}

/* Skipping: a loop with the kinds of the open brackets in one word, so the stack cannot grow. */

static ev_err skip_scalar(struct json_reader *r, int c)
{
	struct json_span ignored;

	switch (c) {
	case '"':
		r->p++;
		return read_span(r, &ignored);
	case 'n':
		return read_word(r, "null", 4);
	case 't':
		return read_word(r, "true", 4);
	case 'f':
		return read_word(r, "false", 5);
	default:
		break;
	}
	if (c != '-' && !is_digit((char)c))
		return json_fail_got(r, "unexpected '", "'");
	/* Any run of these passes for a number that nobody reads, as in the original. */
	while (r->p < r->end && (is_digit(*r->p) || *r->p == '.' || *r->p == '-' || *r->p == '+' ||
				 *r->p == 'e' || *r->p == 'E'))
		r->p++;
	return EV_OK;
}

/* Opens a bracket or skips a scalar. */
static ev_err skip_one(struct json_reader *r, uint64_t *objects)
{
	int c = json_peek(r);

	if (c == '{' || c == '[') {
		*objects = *objects << 1 | (c == '{');
		return c == '{' ? json_read_object(r) : json_read_array(r);
	}
	return c < 0 ? fail_end(r) : skip_scalar(r, c);
}

static_assert(JSON_DEPTH_MAX <= 64, "the kinds of the open brackets fit one word");

ev_err json_skip(struct json_reader *r, struct ev_str *out_raw)
{
	unsigned base = r->depth;
	uint64_t objects = 0;
	const char *begin;
	ev_err e;

	skip_space(r);
	begin = r->p;
	e = skip_one(r, &objects);
	while (e == EV_OK && r->depth > base) {
		struct json_span ignored;
		bool more;

		e = (objects & 1) != 0 ? json_read_key(r, &more, &ignored)
				       : json_read_item(r, &more);
		if (e != EV_OK)
			break;
		if (more)
			e = skip_one(r, &objects);
		else
			objects >>= 1;
	}
	if (e == EV_OK && out_raw != NULL)
		*out_raw = (struct ev_str){ begin, (size_t)(r->p - begin) };
	return e;
}
