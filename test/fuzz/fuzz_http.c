/*
 * HTTP requests: however the bytes are cut, the same head is found; what is read lies inside the
 * input; a body is dechunked the same at once and byte by byte.
 */
#include "check.h"
#include "net/http.h"

static struct ev_str input;

static void check_inside(struct ev_str s)
{
	static const char *const ours[] = { "/" }; /* of an absolute form without a path */

	if (s.n == 0 || (s.n == 1 && s.p[0] == *ours[0]))
		return;
	CHECK(s.p >= input.p && s.p + s.n <= input.p + input.n);
}

static ptrdiff_t end_by_bytes(void)
{
	size_t scan = 0;
	ptrdiff_t end = 0;

	for (size_t n = 1; n <= input.n && end == 0; n++)
		end = net_http_head_end(input.p, n, &scan);
	return end;
}

static void check_target(const struct net_http_head *h)
{
	char room[64];
	struct ev_str out;
	struct ev_str rest = h->path;
	size_t n = 0;

	check_inside(h->path);
	check_inside(h->query);
	CHECK(h->path.n > 0 && (h->path.p[0] == '/' || ev_str_eqz(h->path, "*")));
	while (net_path_next(&rest, &out))
		n += out.n + 1;
	CHECK(n == h->path.n || ev_str_eqz(h->path, "*"));
	if (net_query_get(h->query, "a", room, sizeof(room), &out) == EV_OK)
		CHECK(out.p == room && out.n <= sizeof(room));
}

static void check_head(size_t size)
{
	struct net_http_head h;
	int status = net_http_head_parse(input.p, size, &h);

	CHECK(status == 0 || status == 400 || status == 431 || status == 501 || status == 505);
	if (status != 0)
		return;
	CHECK(h.n_headers <= NET_MAX_HEADERS && h.size == size);
	CHECK(!(h.chunked && h.has_length));
	CHECK(h.has_length || h.content_length == 0);
	for (size_t i = 0; i < h.n_headers; i++) {
		check_inside(h.headers[i].value);
		check_inside(h.headers[i].name);
		CHECK(net_http_name_ok(h.headers[i].name));
		CHECK(net_http_value_ok(h.headers[i].value));
	}
	check_target(&h);
}

static void check_chunks(void)
{
	struct net_chunked whole = { 0 };
	struct net_chunked bytes = { 0 };
	char *out = malloc(2 * input.n + 1);
	size_t len;
	size_t used;
	size_t at = 0;
	size_t len_bytes = 0;
	enum net_chunk_result r;
	enum net_chunk_result by_bytes = NET_CHUNK_MORE;

	CHECK(out != NULL);
	r = net_chunked_feed(&whole, input.p, input.n, out, &len, &used);
	CHECK(used <= input.n && len <= used);
	while (at < input.n && by_bytes == NET_CHUNK_MORE) {
		size_t n;
		size_t one;

		by_bytes = net_chunked_feed(&bytes, input.p + at, 1, out + input.n + len_bytes, &n,
					    &one);
		at += one;
		len_bytes += n;
	}
	CHECK(r == by_bytes && used == at && len == len_bytes);
	CHECK(memcmp(out, out + input.n, len) == 0);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t scan = 0;

	input = (struct ev_str){ (const char *)data, size };
	ptrdiff_t end = net_http_head_end(input.p, size, &scan);

	CHECK(end >= -1 && end <= (ptrdiff_t)size && scan <= size);
	CHECK(end_by_bytes() == end);
	if (end > 0)
		check_head((size_t)end);
	check_chunks();
	return 0;
}
