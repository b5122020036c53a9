#include "base/str.h"

#include <stdint.h>

static unsigned char lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool ev_str_eq_nocase(struct ev_str a, struct ev_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

bool ev_str_starts(struct ev_str s, struct ev_str prefix)
{
	return s.n >= prefix.n && ev_str_eq((struct ev_str){ s.p, prefix.n }, prefix);
}

/* Length of the sequence that a lead byte opens, 0 if no sequence may begin with it. */
static size_t sequence_length(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xC2 && lead <= 0xDF)
		return 2;
	if (lead >= 0xE0 && lead <= 0xEF)
		return 3;
	if (lead >= 0xF0 && lead <= 0xF4)
		return 4;
	return 0;
}

/* RFC 3629 section 4: only the second byte has bounds that depend on the lead. */
static bool second_ok(unsigned char lead, unsigned char second)
{
	unsigned char min = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
	unsigned char max = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;

	return second >= min && second <= max;
}

size_t ev_utf8_next(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t len = n == 0 ? 0 : sequence_length(u[0]);

	if (len == 0 || len > n)
		return 0;
	if (len > 1 && !second_ok(u[0], u[1]))
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((u[i] & 0xC0) != 0x80)
			return 0;
	}
	return len;
}

bool ev_utf8_valid(const char *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t len = ev_utf8_next(p + at, n - at);

		if (len == 0)
			return false;
		at += len;
	}
	return true;
}
