/*
 * net/http.h — HTTP/1.1 as pure functions over bytes: the head of a request (RFC 9112), chunked
 * bodies, header lists, paths and queries.  No I/O, no allocation; nothing here keeps a pointer.
 *
 * The parser is strict where leniency has let requests be smuggled: lines end in CRLF, no folded
 * lines, no space before a colon, Content-Length is digits and never beside Transfer-Encoding.
 */
#ifndef EV_NET_HTTP_H
#define EV_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum net_method {
	NET_GET,
	NET_HEAD,
	NET_POST,
	NET_PUT,
	NET_PATCH,
	NET_DELETE,
	NET_OPTIONS,
	NET_METHOD_COUNT
};

const char *net_method_text(enum net_method m);

/* EV_NOTFOUND for every method not of the enum; methods are case-sensitive. */
EV_NODISCARD ev_err net_method_from(struct ev_str s, enum net_method *out);

/* The reason phrase of a status code, "Unknown" if it has none.  Never NULL. */
const char *net_status_text(int status);

#define NET_MAX_HEADERS 64

struct net_header {
	struct ev_str name;
	struct ev_str value; /* without spaces around */
};

/* All strings point into the bytes that were parsed. */
struct net_http_head {
	enum net_method method;
	struct ev_str path;  /* raw, begins with '/'; "*" is possible for OPTIONS */
	struct ev_str query; /* raw, without '?'; empty if none */
	unsigned minor;      /* HTTP/1.minor, 0 or 1 */
	bool keep_alive;
	bool chunked;
	bool expect_continue;
	bool websocket; /* asks for an upgrade to WebSocket */
	bool has_length;
	uint64_t content_length; /* 0 unless has_length */
	size_t size;             /* bytes of the whole head with its empty line */
	size_t n_headers;
	struct net_header headers[NET_MAX_HEADERS];
};

/*
 * Finds the end of a head.  *scan is how far earlier calls looked (0 at first) and is moved on.
 * Returns 0 when more bytes are needed, -1 when no more bytes can make this a head (a line feed
 * without carriage return, a first byte no method begins with), else the size of the head,
 * including empty lines before it.
 */
ptrdiff_t net_http_head_end(const char *p, size_t n, size_t *scan);

/*
 * Reads the head in p[0..n), n as net_http_head_end gave it.  Returns 0, or the HTTP status to
 * refuse with: 400 malformed, 431 more than NET_MAX_HEADERS fields, 501 a method or
 * transfer coding we do not have, 505 not HTTP/1.  *out is unspecified then.
 */
int net_http_head_parse(const char *p, size_t n, struct net_http_head *out);

/* The value of the first header of that name (any case), or { NULL, 0 }. */
struct ev_str net_http_header(const struct net_header *h, size_t n, const char *name);

/* Whether a comma-separated list has the token, in any case. */
bool net_http_has_token(struct ev_str list, const char *token);

/* The next element of a comma-separated list, trimmed, not empty; false at the end. */
bool net_http_list_next(struct ev_str *rest, struct ev_str *out);

/* Whether s may be sent as a header's name, as its value. */
bool net_http_name_ok(struct ev_str s);
bool net_http_value_ok(struct ev_str s);

/* --- chunked bodies (RFC 9112, 7.1); all zero is the start of one --- */

enum net_chunk_result { NET_CHUNK_MORE, NET_CHUNK_DONE, NET_CHUNK_BAD };

struct net_chunked {
	uint64_t remaining; /* of the current chunk */
	uint16_t line;      /* bytes of the current line, of all trailers */
	uint8_t state;
};

/*
 * Takes bytes of p[0..n): *out_used of them, and writes the body's to out, which has room for n and
 * may be p itself.  BAD also for extensions above 256 bytes and trailers above 4,096, which are
 * otherwise skipped.
 */
enum net_chunk_result net_chunked_feed(struct net_chunked *c, const char *p, size_t n, char *out,
				       size_t *out_len, size_t *out_used);

/* --- targets --- */

/*
 * Decodes %XX into out (capacity cap); plus_is_space for queries.  EV_INVALID for a bad escape or
 * an escaped NUL, EV_FULL if out is too small.
 */
EV_NODISCARD ev_err net_percent_decode(struct ev_str in, bool plus_is_space, char *out, size_t cap,
				       struct ev_str *out_str);

/* The next `name[=value]` of a raw query; false at the end.  Empty pairs are skipped. */
bool net_query_next(struct ev_str *rest, struct ev_str *out_name, struct ev_str *out_value);

/*
 * The decoded value of the first parameter of that (decoded) name.  EV_NOTFOUND, EV_INVALID (a bad
 * escape in its value, or in a name before it), EV_FULL.
 */
EV_NODISCARD ev_err net_query_get(struct ev_str query, const char *name, char *out, size_t cap,
				  struct ev_str *out_value);

/* The next raw segment of a path: "/a//b/" gives "a", "", "b", "".  False at the end. */
bool net_path_next(struct ev_str *rest, struct ev_str *out_segment);

#endif
