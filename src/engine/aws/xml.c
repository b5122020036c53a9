#include "engine/aws/xml.h"

#include <stdint.h>

#define ENTITY_MAX 10 /* bytes between & and ; */

struct reader {
	struct ev_str doc;
	size_t at;
	char path[AWS_XML_PATH];
	size_t path_n;
	size_t starts[AWS_XML_DEPTH]; /* of each open name in path */
	size_t depth;
	struct aws_xml_field *fields;
	size_t n_fields;
	struct aws_xml_field *field; /* the innermost open element's, if it is wanted */
};

static int peek(const struct reader *r)
{
	return r->at < r->doc.n ? (uint8_t)r->doc.p[r->at] : -1;
}

static bool looking_at(const struct reader *r, struct ev_str what)
{
	return ev_str_starts((struct ev_str){ r->doc.p + r->at, r->doc.n - r->at }, what);
}

static bool take(struct reader *r, struct ev_str what)
{
	if (!looking_at(r, what))
		return false;
	r->at += what.n;
	return true;
}

static bool is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct reader *r)
{
	while (is_space(peek(r)))
		r->at++;
}

static bool is_name_char(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.' || c == ':';
}

static bool read_name(struct reader *r, struct ev_str *out)
{
	size_t from = r->at;
	int c = peek(r);

	if (c == '-' || c == '.' || (c >= '0' && c <= '9'))
		return false;
	while (is_name_char(peek(r)))
		r->at++;
	*out = (struct ev_str){ r->doc.p + from, r->at - from };
	return out->n > 0;
}

/* XML 1.0 2.2: what a document may hold at all. */
static bool is_char(uint32_t c)
{
	return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0xd800) ||
	       (c >= 0xe000 && c <= 0x10ffff && c != 0xfffe && c != 0xffff);
}

static void put_utf8(struct ev_buf *b, uint32_t c)
{
	if (c < 0x80) {
		ev_buf_char(b, (char)c);
		return;
	}
	if (c < 0x800) {
		ev_buf_char(b, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			ev_buf_char(b, (char)(0xe0 | c >> 12));
		} else {
			ev_buf_char(b, (char)(0xf0 | c >> 18));
			ev_buf_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		ev_buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	ev_buf_char(b, (char)(0x80 | (c & 0x3f)));
}

static int digit(char c, uint32_t base)
{
	int v = -1;

	if (c >= '0' && c <= '9')
		v = c - '0';
	else if (c >= 'a' && c <= 'f')
		v = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		v = c - 'A' + 10;
	return v < (int)base ? v : -1;
}

/* `#60` or `#x3C`; ENTITY_MAX keeps it from overflowing. */
static bool char_by_number(struct ev_str s, uint32_t *out)
{
	uint32_t base = s.n > 1 && s.p[1] == 'x' ? 16 : 10;
	size_t at = base == 16 ? 2 : 1;
	uint64_t v = 0;

	if (at >= s.n)
		return false;
	for (; at < s.n; at++) {
		int d = digit(s.p[at], base);

		if (d < 0)
			return false;
		v = v * base + (uint32_t)d;
	}
	*out = (uint32_t)v;
	return v <= 0x10ffff && is_char(*out);
}

static bool char_by_name(struct ev_str s, uint32_t *out)
{
	static const struct {
		const char *name;
		char c;
	} known[] = {
		{ "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(known); i++) {
		if (ev_str_eqz(s, known[i].name)) {
			*out = (uint8_t)known[i].c;
			return true;
		}
	}
	return false;
}

static bool read_entity(struct reader *r, uint32_t *out)
{
	const char *from = r->doc.p + r->at + 1;
	size_t left = r->doc.n - r->at - 1;
	const char *end = memchr(from, ';', left < ENTITY_MAX ? left : ENTITY_MAX);
	struct ev_str s;

	if (end == NULL || end == from)
		return false;
	s = (struct ev_str){ from, (size_t)(end - from) };
	r->at += s.n + 2;
	return s.p[0] == '#' ? char_by_number(s, out) : char_by_name(s, out);
}

/* One character or reference, appended to out if there is one. */
static bool read_char(struct reader *r, struct ev_buf *out)
{
	struct ev_str in = { r->doc.p + r->at, 1 };
	uint32_t c;

	if (*in.p == '&') {
		if (!read_entity(r, &c))
			return false;
		if (out != NULL)
			put_utf8(out, c);
		return true;
	}
	if ((uint8_t)*in.p < 0x20 && !is_space(*in.p))
		return false;
	r->at++;
	if (out != NULL)
		ev_buf_str_add(out, in);
	return true;
}

static bool read_attribute(struct reader *r)
{
	struct ev_str name;
	int quote;

	if (!read_name(r, &name))
		return false;
	skip_space(r);
	if (!take(r, EV_LIT("=")))
		return false;
	skip_space(r);
	quote = peek(r);
	if (quote != '"' && quote != '\'')
		return false;
	r->at++;
	while (peek(r) != quote) {
		if (peek(r) < 0 || peek(r) == '<' || !read_char(r, NULL))
			return false;
	}
	r->at++;
	return true;
}

static struct aws_xml_field *find_field(const struct reader *r)
{
	struct ev_str path = { r->path, r->path_n };

	for (size_t i = 0; i < r->n_fields; i++) {
		if (ev_str_eqz(path, r->fields[i].path))
			return &r->fields[i];
	}
	return NULL;
}

static bool enter(struct reader *r, struct ev_str name)
{
	if (r->depth == AWS_XML_DEPTH || name.n + 1 > sizeof(r->path) - r->path_n)
		return false;
	r->starts[r->depth++] = r->path_n;
	if (r->path_n > 0)
		r->path[r->path_n++] = '/';
	memcpy(r->path + r->path_n, name.p, name.n);
	r->path_n += name.n;
	r->field = find_field(r);
	if (r->field == NULL)
		return true;
	if (r->field->found)
		return false;
	r->field->found = true;
	return true;
}

static bool leave(struct reader *r, struct ev_str name)
{
	size_t start = r->starts[r->depth - 1];
	size_t name_at = start > 0 ? start + 1 : 0;

	if (!ev_str_eq((struct ev_str){ r->path + name_at, r->path_n - name_at }, name))
		return false;
	r->path_n = start;
	r->depth--;
	r->field = find_field(r);
	return true;
}

/* From behind `<` on. */
static bool read_start(struct reader *r)
{
	struct ev_str name;

	if (!read_name(r, &name) || !enter(r, name))
		return false;
	for (;;) {
		bool spaced = is_space(peek(r));

		skip_space(r);
		if (take(r, EV_LIT("/>")))
			return leave(r, name);
		if (take(r, EV_LIT(">")))
			return true;
		if (!spaced || !read_attribute(r))
			return false;
	}
}

/* From behind `</` on. */
static bool read_end(struct reader *r)
{
	struct ev_str name;

	if (!read_name(r, &name))
		return false;
	skip_space(r);
	return take(r, EV_LIT(">")) && leave(r, name);
}

static bool skip_comment(struct reader *r)
{
	for (; r->at < r->doc.n; r->at++) {
		if (take(r, EV_LIT("--")))
			return take(r, EV_LIT(">"));
	}
	return false;
}

static bool skip_declaration(struct reader *r)
{
	if (!take(r, EV_LIT("<?xml")))
		return true;
	while (r->at < r->doc.n) {
		if (take(r, EV_LIT("?>")))
			return true;
		r->at++;
	}
	return false;
}

/* White space and comments, which may also stand outside the root. */
static bool skip_misc(struct reader *r)
{
	skip_space(r);
	while (take(r, EV_LIT("<!--"))) {
		if (!skip_comment(r))
			return false;
		skip_space(r);
	}
	return true;
}

static bool read_content(struct reader *r)
{
	while (r->depth > 0) {
		bool ok;

		if (peek(r) < 0)
			return false;
		if (take(r, EV_LIT("<!--")))
			ok = skip_comment(r);
		else if (take(r, EV_LIT("</")))
			ok = read_end(r);
		else if (take(r, EV_LIT("<")))
			ok = read_start(r);
		else
			ok = read_char(r, r->field != NULL ? &r->field->out : NULL);
		if (!ok)
			return false;
	}
	return true;
}

static bool read_document(struct reader *r)
{
	if (!ev_utf8_valid(r->doc.p, r->doc.n))
		return false;
	(void)take(r,
		   EV_LIT("\xEF\xBB\xBF")); /* a byte order mark may be there, and says nothing */
	if (!skip_declaration(r) || !skip_misc(r) || !take(r, EV_LIT("<")) || !read_start(r) ||
	    !read_content(r) || !skip_misc(r))
		return false;
	return r->at == r->doc.n;
}

ev_err aws_xml_read(struct ev_str doc, struct aws_xml_field fields[], size_t n)
{
	struct reader r = { .doc = doc, .fields = fields, .n_fields = n };

	for (size_t i = 0; i < n; i++)
		fields[i].found = false;
	if (!read_document(&r))
		return EV_INVALID;
	for (size_t i = 0; i < n; i++) {
		if (fields[i].out.overflow)
			return EV_FULL;
	}
	return EV_OK;
}
