/* codec/proto_field.c — see proto_field.h. */
#include "codec/proto_field.h"

static bool take_varint(struct ev_str *s, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10 && i < s->n; i++) {
		uint8_t c = (uint8_t)s->p[i];

		if (i == 9 && c > 1)
			return false;
		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c < 0x80) {
			s->p += i + 1;
			s->n -= i + 1;
			*out = v;
			return true;
		}
	}
	return false;
}

static bool take_bytes(struct ev_str *s, uint64_t n, struct ev_str *out)
{
	if (n > s->n)
		return false;
	*out = (struct ev_str){ s->p, (size_t)n };
	s->p += n;
	s->n -= (size_t)n;
	return true;
}

static bool take_content(struct ev_str *s, struct proto_field *out)
{
	uint64_t v;

	switch (out->type) {
	case PROTO_VARINT:
		return take_varint(s, &v);
	case PROTO_FIXED64:
		return take_bytes(s, 8, &out->bytes);
	case PROTO_BYTES:
		return take_varint(s, &v) && take_bytes(s, v, &out->bytes);
	case PROTO_FIXED32:
		return take_bytes(s, 4, &out->bytes);
	default: /* groups and what does not exist */
		return false;
	}
}

bool proto_field_next(struct ev_str *s, struct proto_field *out)
{
	const char *from = s->p;
	uint64_t key;

	if (!take_varint(s, &key) || key >> 3 == 0)
		return false;
	*out = (struct proto_field){ .number = key >> 3, .type = (unsigned)(key & 7) };
	if (!take_content(s, out))
		return false;
	out->whole = (struct ev_str){ from, (size_t)(s->p - from) };
	return true;
}

static bool is_piece(const struct proto_field *f, uint32_t number)
{
	return f->number == number && f->type == PROTO_BYTES;
}

size_t proto_count(struct ev_str s, uint32_t number, struct ev_str *out_last)
{
	size_t n = 0;

	while (s.n > 0) {
		struct proto_field f;

		if (!proto_field_next(&s, &f))
			return 0;
		if (is_piece(&f, number)) {
			*out_last = f.bytes;
			n++;
		}
	}
	return n;
}

static void put_varint(struct ev_buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		ev_buf_char(b, (char)((v & 0x7f) | 0x80));
	ev_buf_char(b, (char)v);
}

/* The contents of all pieces, or all that are none of them. */
static void put_fields(struct ev_buf *b, struct ev_str s, uint32_t number, bool pieces)
{
	struct proto_field f;

	while (s.n > 0 && proto_field_next(&s, &f)) {
		if (is_piece(&f, number) == pieces)
			ev_buf_str_add(b, pieces ? f.bytes : f.whole);
	}
}

struct ev_str proto_replace(struct ev_str s, uint32_t number, struct ev_str content, char *room)
{
	struct ev_buf b = ev_buf_over(room, s.n + content.n + PROTO_JOIN_SPARE);

	put_fields(&b, s, number, false);
	put_varint(&b, (uint64_t)number << 3 | PROTO_BYTES);
	put_varint(&b, content.n);
	ev_buf_str_add(&b, content);
	return ev_buf_str(&b);
}

struct ev_str proto_join(struct ev_str s, uint32_t number, char *room)
{
	struct ev_buf b = ev_buf_over(room, s.n + PROTO_JOIN_SPARE);
	struct proto_field f;
	struct ev_str rest = s, last;
	uint64_t size = 0;

	if (proto_count(s, number, &last) < 2)
		return s;
	while (rest.n > 0 && proto_field_next(&rest, &f))
		size += is_piece(&f, number) ? f.bytes.n : 0;
	put_fields(&b, s, number, false);
	put_varint(&b, (uint64_t)number << 3 | PROTO_BYTES);
	put_varint(&b, size);
	put_fields(&b, s, number, true);
	return ev_buf_str(&b);
}
