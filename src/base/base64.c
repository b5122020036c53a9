#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ev_base64_write(struct ev_buf *b, const void *p, size_t n)
{
	const uint8_t *in = p;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
			     (left > 2 ? in[i + 2] : 0);
		const char four[4] = {
			alphabet[v >> 18],
			alphabet[v >> 12 & 63],
			left > 1 ? alphabet[v >> 6 & 63] : '=',
			left > 2 ? alphabet[v & 63] : '=',
		};

		ev_buf_bytes(b, four, sizeof(four));
	}
}

/* 0..63, or -1. */
static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ev_err ev_base64_read(struct ev_str s, uint8_t *out, size_t cap, size_t *out_n)
{
	size_t pad = 0;
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	if (s.n % 4 != 0)
		return EV_INVALID;
	while (pad < 2 && s.n > pad && s.p[s.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < s.n - pad; i++) {
		int v = value(s.p[i]);

		if (v < 0)
			return EV_INVALID;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n == cap)
			return EV_FULL;
		out[n++] = (uint8_t)(bits >> have);
		bits &= (1U << have) - 1;
	}
	if (bits != 0)
		return EV_INVALID;
	*out_n = n;
	return EV_OK;
}
