#include "wire_check.h"

#include "base/str.h"
#include "check.h"

struct out {
	const char *p;
	size_t n;
	bool whole;
};

struct head {
	int status;
	bool chunked, close, has_length, upgrade;
	size_t length;
};

/* Nothing more may come; what is there must be the beginning of something. */
static void cut(struct out *o)
{
	CHECK(!o->whole);
	o->n = 0;
}

static bool is_token_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-';
}

static bool line_is(const char *line, size_t n, const char *z)
{
	return n == strlen(z) && memcmp(line, z, n) == 0;
}

static void read_status(const char *line, size_t n, struct head *h)
{
	CHECK(n >= 14 && memcmp(line, "HTTP/1.1 ", 9) == 0 && line[12] == ' ');
	for (size_t i = 9; i < 12; i++) {
		CHECK(line[i] >= '0' && line[i] <= '9');
		h->status = h->status * 10 + line[i] - '0';
	}
	CHECK(h->status >= 100 && h->status <= 599);
}

static void read_length(const char *p, size_t n, struct head *h)
{
	CHECK(!h->has_length && n > 0 && n < 10);
	h->has_length = true;
	for (size_t i = 0; i < n; i++) {
		CHECK(p[i] >= '0' && p[i] <= '9');
		h->length = h->length * 10 + (size_t)(p[i] - '0');
	}
}

static void read_field(const char *line, size_t n, struct head *h)
{
	size_t name = 0;

	while (name < n && is_token_byte(line[name]))
		name++;
	CHECK(name > 0 && n > name + 2 && line[name] == ':' && line[name + 1] == ' ');
	for (size_t i = name; i < n; i++)
		CHECK(line[i] >= ' ' && line[i] <= '~');
	if (name == 14 && memcmp(line, "Content-Length", 14) == 0)
		read_length(line + 16, n - 16, h);
	h->chunked = h->chunked || line_is(line, n, "Transfer-Encoding: chunked");
	h->close = h->close || line_is(line, n, "Connection: close");
	h->upgrade = h->upgrade || line_is(line, n, "Connection: Upgrade");
}

/* False: it is not there as a whole. */
static bool read_head(struct out *o, struct head *h)
{
	*h = (struct head){ .status = 0 };
	for (bool first = true;; first = false) {
		const char *end = memchr(o->p, '\n', o->n);
		size_t n = end != NULL ? (size_t)(end - o->p) : 0;
		const char *line = o->p;

		if (end == NULL) {
			cut(o);
			return false;
		}
		CHECK(n > 0 && line[n - 1] == '\r');
		o->p += n + 1;
		o->n -= n + 1;
		if (first)
			read_status(line, n - 1, h);
		else if (n == 1)
			break;
		else
			read_field(line, n - 1, h);
	}
	CHECK(!(h->chunked && h->has_length));
	return true;
}

/* At most n bytes of `fill`; how many were there. */
static size_t read_fill(struct out *o, size_t n, char fill)
{
	size_t got = n < o->n ? n : o->n;

	for (size_t i = 0; i < got; i++)
		CHECK(o->p[i] == fill);
	o->p += got;
	o->n -= got;
	return got;
}

/* The size of a chunk; false: it is not there as a whole. */
static bool read_chunk_size(struct out *o, size_t *out_size)
{
	size_t size = 0, i = 0;

	for (; i < o->n && o->p[i] != '\r'; i++) {
		char c = o->p[i];

		CHECK(i < 8 && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')));
		size = size * 16 + (size_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (o->n - i < 2) {
		cut(o);
		return false;
	}
	CHECK(i > 0 && o->p[i + 1] == '\n');
	o->p += i + 2;
	o->n -= i + 2;
	*out_size = size;
	return true;
}

static void read_chunks(struct out *o, const struct wire_answer *a)
{
	size_t size = 1, total = 0;

	while (size > 0) {
		if (!read_chunk_size(o, &size))
			return;
		if (read_fill(o, size, a->fill) < size || o->n < 2) {
			cut(o);
			return;
		}
		CHECK(o->p[0] == '\r' && o->p[1] == '\n');
		o->p += 2;
		o->n -= 2;
		total += size;
		CHECK(total <= a->n);
	}
	CHECK(a->done && total == a->n);
}

static void read_stream(struct out *o, const struct wire_answer *a, const struct head *h)
{
	if (h->chunked && !a->head) {
		read_chunks(o, a);
	} else if (!a->head) { /* to HTTP/1.0, until the end */
		size_t n = read_fill(o, a->n, a->fill);

		CHECK(h->close && o->n == 0 && (!o->whole || n == a->n));
	}
}

/* What the server said no to by itself. */
static void read_refusal(struct out *o, const struct head *h)
{
	static const int statuses[] = { 400, 408, 413, 414, 426, 431, 501, 505 };
	bool known = false;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		known = known || statuses[i] == h->status;
	CHECK(known && h->close && h->has_length && h->length > 0);
	if (o->n == 0) /* of a HEAD request, or cut */
		return;
	CHECK(o->n == h->length || (!o->whole && o->n < h->length));
	o->n = 0;
}

static void read_answer(struct out *o, const struct wire_answer *a, const struct head *h)
{
	bool bodyless = a->head || h->status == 204 || h->status == 304 || h->status == 101;

	CHECK(h->status == a->status && h->upgrade == (h->status == 101));
	if (a->stream) {
		CHECK(!h->has_length);
		read_stream(o, a, h);
	} else {
		CHECK(!h->chunked);
		CHECK(h->has_length == (h->status != 204 && h->status != 304 && h->status != 101));
		CHECK(!h->has_length || h->length == a->n);
		if (!bodyless && read_fill(o, a->n, a->fill) < a->n)
			cut(o);
	}
	if (h->close)
		CHECK(o->n == 0);
}

/* False: all was read. */
static bool read_frame(struct out *o, const struct wire *w, size_t *message)
{
	const uint8_t *p = (const uint8_t *)o->p;
	size_t n = 0, head = 2;

	if (o->n >= 2) {
		size_t extra = p[1] == 126 ? 2 : p[1] == 127 ? 8 : 0;

		CHECK((p[0] & 0xf0U) == 0x80 && p[1] < 128);
		head += extra;
		n = extra == 0 ? p[1] : 0;
		for (size_t i = 0; i < extra && o->n >= head; i++)
			n = n << 8 | p[2 + i];
		CHECK(o->n < head || (extra == 0 || n > (extra == 2 ? 125U : 65535U)));
	}
	if (o->n < head || o->n - head < n) {
		if (o->n > 0)
			cut(o);
		return false;
	}
	unsigned opcode = p[0] & 0x0fU;

	o->p += head;
	o->n -= head;
	if (opcode == 1 || opcode == 2) {
		CHECK(*message < w->n_messages);
		const struct wire_message *m = &w->messages[(*message)++];

		CHECK(m->opcode == opcode && m->n == n && read_fill(o, n, m->fill) == n);
		return true;
	}
	CHECK((opcode == 8 || opcode == 9 || opcode == 10) && n <= 125);
	if (opcode == 8) {
		unsigned code = n >= 2 ? (unsigned)(uint8_t)o->p[0] << 8 | (uint8_t)o->p[1] : 1000;

		CHECK(n != 1 && code >= 1000 && code < 5000 && code != 1005 && code != 1006);
		CHECK(n < 2 || ev_utf8_valid(o->p + 2, n - 2));
		CHECK(o->n == n); /* the last frame */
	}
	o->p += n;
	o->n -= n;
	return true;
}

static void read_frames(struct out *o, const struct wire *w)
{
	size_t messages = 0;

	while (read_frame(o, w, &messages))
		continue;
	CHECK(!o->whole || messages == w->n_messages);
}

void wire_check(const struct wire *w, const char *p, size_t n, bool whole)
{
	struct out o = { p, n, whole };
	size_t answers = 0;

	while (o.n > 0) {
		struct head h;

		if (!read_head(&o, &h))
			return;
		if (h.status == 100)
			continue;
		if (answers == w->n_answers) {
			read_refusal(&o, &h);
			CHECK(o.n == 0);
			return;
		}
		read_answer(&o, &w->answers[answers++], &h);
		if (h.status == 101) {
			CHECK(answers == w->n_answers);
			read_frames(&o, w);
		}
	}
	CHECK(!whole || answers == w->n_answers);
}
