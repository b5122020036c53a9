#include "base/uuid.h"

#include <assert.h>
#include <stddef.h>

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

static bool is_dash_place(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

bool ev_uuid_is_nil(const struct ev_uuid *u)
{
	static const struct ev_uuid nil;

	return ev_uuid_eq(u, &nil);
}

ev_err ev_uuid_parse(struct ev_str s, struct ev_uuid *out)
{
	struct ev_uuid u;
	size_t byte = 0;

	if (s.n != EV_UUID_TEXT)
		return EV_INVALID;
	for (size_t at = 0; at < s.n; at++) {
		int high, low;

		if (is_dash_place(at)) {
			if (s.p[at] != '-')
				return EV_INVALID;
			continue;
		}
		high = hex_value(s.p[at]);
		low = hex_value(s.p[++at]);
		if (high < 0 || low < 0)
			return EV_INVALID;
		u.b[byte++] = (uint8_t)(high * 16 + low);
	}
	*out = u;
	return EV_OK;
}

void ev_uuid_text(const struct ev_uuid *u, char out[EV_UUID_TEXT + 1])
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < sizeof(u->b); i++) {
		if (is_dash_place(at))
			out[at++] = '-';
		out[at++] = hex[u->b[i] >> 4];
		out[at++] = hex[u->b[i] & 15];
	}
	out[at] = '\0';
}

struct ev_uuid ev_uuid_stamp(const uint8_t bytes[16], unsigned version)
{
	struct ev_uuid u;

	assert(version == 4 || version == 5);
	memcpy(u.b, bytes, sizeof(u.b));
	u.b[6] = (uint8_t)((u.b[6] & 0x0F) | version << 4);
	u.b[8] = (uint8_t)((u.b[8] & 0x3F) | 0x80);
	return u;
}
