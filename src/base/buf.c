#include "base/buf.h"

void ev_buf_bytes(struct ev_buf *b, const void *p, size_t n)
{
	if (b->overflow || n > b->cap - b->len) {
		b->overflow = true;
		return;
	}
	if (n > 0)
		memcpy(b->p + b->len, p, n);
	b->len += n;
}

void ev_buf_str_add(struct ev_buf *b, struct ev_str s)
{
	ev_buf_bytes(b, s.p, s.n);
}

void ev_buf_z(struct ev_buf *b, const char *z)
{
	ev_buf_bytes(b, z, strlen(z));
}

void ev_buf_char(struct ev_buf *b, char c)
{
	ev_buf_bytes(b, &c, 1);
}

void ev_buf_u64(struct ev_buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	ev_buf_bytes(b, digits + at, sizeof(digits) - at);
}

void ev_buf_i64(struct ev_buf *b, int64_t v)
{
	/* The sign and the digits together, so that an overflow never leaves a lone '-'. */
	char text[21];
	struct ev_buf t = ev_buf_over(text, sizeof(text));

	if (v < 0)
		ev_buf_char(&t, '-');
	ev_buf_u64(&t, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	ev_buf_str_add(b, ev_buf_str(&t));
}
