/* net/http.c — see http.h. */
#include "net/http.h"

#include <assert.h>
#include <string.h>

#include "base/num.h"

#define MAX_CHUNK_DIGITS 15 /* fits 64 bits, and zeros cannot go on for ever */
#define MAX_CHUNK_LINE 256
#define MAX_TRAILERS 4096

static const char *const methods[NET_METHOD_COUNT] = {
	[NET_GET] = "GET",         [NET_HEAD] = "HEAD",   [NET_POST] = "POST",
	[NET_PUT] = "PUT",         [NET_PATCH] = "PATCH", [NET_DELETE] = "DELETE",
	[NET_OPTIONS] = "OPTIONS",
};

const char *net_method_text(enum net_method m)
{
	return methods[m];
}

ev_err net_method_from(struct ev_str s, enum net_method *out)
{
	for (unsigned i = 0; i < NET_METHOD_COUNT; i++) {
		if (ev_str_eqz(s, methods[i])) {
			*out = (enum net_method)i;
			return EV_OK;
		}
	}
	return EV_NOTFOUND;
}

const char *net_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(texts); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return "Unknown";
}

/* RFC 9110, 5.6.2 */
static bool is_tchar(char ch)
{
	unsigned char c = (unsigned char)ch;

	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct ev_str trim(struct ev_str s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Cuts s at the first c: the part before it is returned, s becomes the rest.  No c: all of s. */
static struct ev_str cut(struct ev_str *s, char c)
{
	const char *at = s->n > 0 ? memchr(s->p, c, s->n) : NULL;
	struct ev_str head = *s;

	if (at == NULL) {
		*s = (struct ev_str){ s->p != NULL ? s->p + s->n : NULL, 0 };
		return head;
	}
	head.n = (size_t)(at - s->p);
	s->p += head.n + 1;
	s->n -= head.n + 1;
	return head;
}

bool net_http_name_ok(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_tchar(s.p[i]))
			return false;
	}
	return s.n > 0;
}

bool net_http_value_ok(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

struct ev_str net_http_header(const struct net_header *h, size_t n, const char *name)
{
	struct ev_str wanted = ev_str_from(name);

	for (size_t i = 0; i < n; i++) {
		if (ev_str_eq_nocase(h[i].name, wanted))
			return h[i].value;
	}
	return (struct ev_str){ NULL, 0 };
}

bool net_http_list_next(struct ev_str *rest, struct ev_str *out)
{
	while (rest->n > 0) {
		struct ev_str element = trim(cut(rest, ','));

		if (element.n > 0) {
			*out = element;
			return true;
		}
	}
	return false;
}

bool net_http_has_token(struct ev_str list, const char *token)
{
	struct ev_str element;

	while (net_http_list_next(&list, &element)) {
		if (ev_str_eq_nocase(element, ev_str_from(token)))
			return true;
	}
	return false;
}

/* --- the head --- */

static size_t skip_empty_lines(const char *p, size_t n)
{
	size_t at = 0;

	while (n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n')
		at += 2;
	return at;
}

ptrdiff_t net_http_head_end(const char *p, size_t n, size_t *scan)
{
	size_t start = skip_empty_lines(p, n);

	if (start < n && p[start] != '\r' && !is_tchar(p[start]))
		return -1;
	if (*scan < start)
		*scan = start;
	while (*scan < n) {
		const char *lf = memchr(p + *scan, '\n', n - *scan);

		if (lf == NULL) {
			*scan = n;
			return 0;
		}
		size_t at = (size_t)(lf - p);

		if (at == start || p[at - 1] != '\r')
			return -1;
		*scan = at + 1;
		if (at >= start + 3 && p[at - 2] == '\n')
			return (ptrdiff_t)(at + 1);
	}
	return 0;
}

/* The line at *rest without its CRLF; the caller knows that there is one. */
static struct ev_str take_line(struct ev_str *rest)
{
	struct ev_str line = cut(rest, '\n');

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static int parse_version(struct ev_str v, unsigned *out_minor)
{
	if (v.n != 8 || !ev_str_starts(v, EV_LIT("HTTP/")) || v.p[6] != '.' || v.p[5] < '0' ||
	    v.p[5] > '9' || v.p[7] < '0' || v.p[7] > '9')
		return 400;
	if (v.p[5] != '1')
		return 505;
	*out_minor = v.p[7] == '0' ? 0 : 1;
	return 0;
}

/* RFC 9112, 3.2: origin form; absolute form, whose authority we do not need; '*' for OPTIONS. */
static int parse_target(struct ev_str t, struct net_http_head *out)
{
	for (size_t i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (c <= 0x20 || c >= 0x7f || c == '#')
			return 400;
	}
	if (t.n == 1 && t.p[0] == '*' && out->method == NET_OPTIONS) {
		out->path = t;
		return 0;
	}
	if (t.n > 7 && ev_str_eq_nocase((struct ev_str){ t.p, 7 }, EV_LIT("http://")))
		t = (struct ev_str){ t.p + 7, t.n - 7 };
	else if (t.n > 8 && ev_str_eq_nocase((struct ev_str){ t.p, 8 }, EV_LIT("https://")))
		t = (struct ev_str){ t.p + 8, t.n - 8 };
	else if (t.n == 0 || t.p[0] != '/')
		return 400;
	while (t.n > 0 && t.p[0] != '/' && t.p[0] != '?') {
		t.p++;
		t.n--;
	}
	out->path = cut(&t, '?');
	out->query = t;
	if (out->path.n == 0)
		out->path = EV_LIT("/");
	return 0;
}

static int parse_request_line(struct ev_str line, struct net_http_head *out)
{
	struct ev_str method = cut(&line, ' ');
	struct ev_str target = cut(&line, ' ');

	if (!net_http_name_ok(method) || target.n == 0)
		return 400;
	int bad = parse_version(line, &out->minor);

	if (bad != 0)
		return bad;
	if (net_method_from(method, &out->method) != EV_OK)
		return 501;
	return parse_target(target, out);
}

static int parse_field(struct ev_str line, struct net_http_head *out)
{
	const char *colon = memchr(line.p, ':', line.n);

	if (colon == NULL)
		return 400;
	if (out->n_headers == NET_MAX_HEADERS)
		return 431;
	struct net_header *h = &out->headers[out->n_headers++];

	h->name = (struct ev_str){ line.p, (size_t)(colon - line.p) };
	h->value = trim((struct ev_str){ colon + 1, line.n - h->name.n - 1 });
	return net_http_name_ok(h->name) && net_http_value_ok(h->value) ? 0 : 400;
}

static int meet_length(struct net_http_head *out, struct ev_str value)
{
	uint64_t length;

	if (num_parse_u64(value, &length) != EV_OK)
		return 400;
	if (out->has_length && out->content_length != length)
		return 400;
	out->has_length = true;
	out->content_length = length;
	return 0;
}

struct seen {
	unsigned n_host;
	bool close;
	bool keep_alive;
	bool upgrade;
	bool websocket;
};

/* What the fields mean for the message itself. */
static int meet_field(struct net_http_head *out, const struct net_header *h, struct seen *seen)
{
	struct ev_str name = h->name;

	if (ev_str_eq_nocase(name, EV_LIT("content-length")))
		return meet_length(out, h->value);
	if (ev_str_eq_nocase(name, EV_LIT("transfer-encoding"))) {
		if (out->chunked || out->minor == 0)
			return 400;
		out->chunked = true;
		return ev_str_eq_nocase(h->value, EV_LIT("chunked")) ? 0 : 501;
	}
	if (ev_str_eq_nocase(name, EV_LIT("host"))) {
		seen->n_host++;
	} else if (ev_str_eq_nocase(name, EV_LIT("connection"))) {
		seen->close |= net_http_has_token(h->value, "close");
		seen->keep_alive |= net_http_has_token(h->value, "keep-alive");
		seen->upgrade |= net_http_has_token(h->value, "upgrade");
	} else if (ev_str_eq_nocase(name, EV_LIT("upgrade"))) {
		seen->websocket |= net_http_has_token(h->value, "websocket");
	} else if (ev_str_eq_nocase(name, EV_LIT("expect"))) {
		out->expect_continue = out->minor == 1 &&
				       ev_str_eq_nocase(h->value, EV_LIT("100-continue"));
	}
	return 0;
}

static int meet_fields(struct net_http_head *out)
{
	struct seen seen = { 0 };

	for (size_t i = 0; i < out->n_headers; i++) {
		int bad = meet_field(out, &out->headers[i], &seen);

		if (bad != 0)
			return bad;
	}
	if (out->chunked && out->has_length)
		return 400;
	if (seen.n_host > 1 || (seen.n_host == 0 && out->minor == 1))
		return 400;
	out->keep_alive = !seen.close && (out->minor == 1 || seen.keep_alive);
	out->websocket = seen.upgrade && seen.websocket && out->minor == 1;
	return 0;
}

int net_http_head_parse(const char *p, size_t n, struct net_http_head *out)
{
	size_t start = skip_empty_lines(p, n);
	struct ev_str rest = { p + start, n - start };

	memset(out, 0, offsetof(struct net_http_head, headers));
	out->size = n;
	int bad = parse_request_line(take_line(&rest), out);

	while (bad == 0 && rest.n > 0) {
		struct ev_str line = take_line(&rest);

		if (line.n == 0)
			break;
		bad = parse_field(line, out);
	}
	return bad != 0 ? bad : meet_fields(out);
}

/* --- chunked bodies --- */

enum chunk_state {
	CHUNK_SIZE,      /* before the first digit */
	CHUNK_SIZE_MORE, /* after a digit */
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* at the start of a trailer line */
	CHUNK_TRAILER_REST,
	CHUNK_TRAILER_LF,
	CHUNK_LAST_LF,
	CHUNK_DONE,
	CHUNK_BAD
};

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

static uint8_t chunk_size_byte(struct net_chunked *c, char ch)
{
	int digit = hex_value(ch);

	if (digit >= 0) {
		if (++c->line > MAX_CHUNK_DIGITS)
			return CHUNK_BAD;
		c->remaining = c->remaining << 4 | (uint64_t)digit;
		return CHUNK_SIZE_MORE;
	}
	if (c->state == CHUNK_SIZE)
		return CHUNK_BAD;
	if (ch == '\r')
		return CHUNK_SIZE_LF;
	return ch == ';' || is_blank(ch) ? CHUNK_EXTENSION : CHUNK_BAD;
}

/* Every byte that is not data. */
static uint8_t chunk_byte(struct net_chunked *c, char ch)
{
	bool is_text = (unsigned char)ch >= 0x20 || ch == '\t';

	switch ((enum chunk_state)c->state) {
	case CHUNK_SIZE:
	case CHUNK_SIZE_MORE:
		return chunk_size_byte(c, ch);
	case CHUNK_EXTENSION:
		if (ch == '\r')
			return CHUNK_SIZE_LF;
		return is_text && ++c->line <= MAX_CHUNK_LINE ? CHUNK_EXTENSION : CHUNK_BAD;
	case CHUNK_SIZE_LF:
		c->line = 0;
		if (ch != '\n')
			return CHUNK_BAD;
		return c->remaining > 0 ? CHUNK_DATA : CHUNK_TRAILER;
	case CHUNK_DATA_CR:
		return ch == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
	case CHUNK_DATA_LF:
		return ch == '\n' ? CHUNK_SIZE : CHUNK_BAD;
	case CHUNK_TRAILER:
		if (ch == '\r')
			return CHUNK_LAST_LF;
		return is_text && ++c->line <= MAX_TRAILERS ? CHUNK_TRAILER_REST : CHUNK_BAD;
	case CHUNK_TRAILER_REST:
		if (ch == '\r')
			return CHUNK_TRAILER_LF;
		return is_text && ++c->line <= MAX_TRAILERS ? CHUNK_TRAILER_REST : CHUNK_BAD;
	case CHUNK_TRAILER_LF:
		return ch == '\n' ? CHUNK_TRAILER : CHUNK_BAD;
	case CHUNK_LAST_LF:
		return ch == '\n' ? CHUNK_DONE : CHUNK_BAD;
	case CHUNK_DATA:
	case CHUNK_DONE:
	case CHUNK_BAD:
		break;
	}
	return CHUNK_BAD;
}

enum net_chunk_result net_chunked_feed(struct net_chunked *c, const char *p, size_t n, char *out,
				       size_t *out_len, size_t *out_used)
{
	size_t used = 0;
	size_t len = 0;

	while (used < n && c->state != CHUNK_DONE && c->state != CHUNK_BAD) {
		if (c->state != CHUNK_DATA) {
			c->state = chunk_byte(c, p[used++]);
			continue;
		}
		size_t take = n - used < c->remaining ? n - used : (size_t)c->remaining;

		memmove(out + len, p + used, take);
		len += take;
		used += take;
		c->remaining -= take;
		if (c->remaining == 0)
			c->state = CHUNK_DATA_CR;
	}
	*out_len = len;
	*out_used = used;
	if (c->state == CHUNK_DONE)
		return NET_CHUNK_DONE;
	return c->state == CHUNK_BAD ? NET_CHUNK_BAD : NET_CHUNK_MORE;
}

/* --- targets --- */

ev_err net_percent_decode(struct ev_str in, bool plus_is_space, char *out, size_t cap,
			  struct ev_str *out_str)
{
	size_t len = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '%') {
			int high = i + 2 < in.n ? hex_value(in.p[i + 1]) : -1;
			int low = i + 2 < in.n ? hex_value(in.p[i + 2]) : -1;

			if (high < 0 || low < 0 || high + low == 0)
				return EV_INVALID;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (len == cap)
			return EV_FULL;
		out[len++] = c;
	}
	*out_str = (struct ev_str){ out, len };
	return EV_OK;
}

bool net_query_next(struct ev_str *rest, struct ev_str *out_name, struct ev_str *out_value)
{
	while (rest->n > 0) {
		struct ev_str pair = cut(rest, '&');

		if (pair.n == 0)
			continue;
		*out_name = cut(&pair, '=');
		*out_value = pair;
		return true;
	}
	return false;
}

/* Whether the encoded name decodes to `wanted`; compared byte by byte, so of any length. */
static ev_err name_matches(struct ev_str raw, const char *wanted, bool *out)
{
	bool same = true;

	for (size_t i = 0; i < raw.n; i++) {
		size_t take = raw.p[i] == '%' ? (raw.n - i < 3 ? raw.n - i : 3) : 1;
		char byte;
		struct ev_str one;

		if (net_percent_decode((struct ev_str){ raw.p + i, take }, true, &byte, 1, &one) !=
		    EV_OK)
			return EV_INVALID;
		same = same && byte != '\0' && *wanted == byte; /* never past its end */
		if (same)
			wanted++;
		i += take - 1;
	}
	*out = same && *wanted == '\0';
	return EV_OK;
}

ev_err net_query_get(struct ev_str query, const char *name, char *out, size_t cap,
		     struct ev_str *out_value)
{
	struct ev_str raw_name;
	struct ev_str raw_value;

	while (net_query_next(&query, &raw_name, &raw_value)) {
		bool found;
		ev_err e = name_matches(raw_name, name, &found);

		if (e != EV_OK)
			return e;
		if (found)
			return net_percent_decode(raw_value, true, out, cap, out_value);
	}
	return EV_NOTFOUND;
}

bool net_path_next(struct ev_str *rest, struct ev_str *out_segment)
{
	if (rest->n == 0 || rest->p[0] != '/')
		return false;
	rest->p++;
	rest->n--;
	const char *slash = rest->n > 0 ? memchr(rest->p, '/', rest->n) : NULL;

	*out_segment = (struct ev_str){ rest->p,
					slash != NULL ? (size_t)(slash - rest->p) : rest->n };
	rest->p += out_segment->n;
	rest->n -= out_segment->n;
	return true;
}
