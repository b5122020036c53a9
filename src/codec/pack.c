/* codec/pack.c — see pack.h. */
#include "codec/pack.h"

#include <assert.h>
#include <string.h>

#include "base/time.h"

struct pack_writer pack_writer_over(uint8_t *p, size_t cap)
{
	return (struct pack_writer){ .p = p, .cap = cap };
}

struct pack_reader pack_reader_over(struct ev_str s)
{
	return (struct pack_reader){ .p = (const uint8_t *)s.p, .left = s.n };
}

void pack_know_tag(struct pack_state *s, const struct rfid_tag *tag)
{
	if (tag->n > 0 && s->n_tags < PACK_TAGS_MAX)
		s->tags[s->n_tags++] = *tag;
}

void pack_bytes(struct pack_writer *w, const void *p, size_t n)
{
	assert(w->cap - w->n >= n);
	if (n > 0)
		memcpy(w->p + w->n, p, n);
	w->n += n;
}

void pack_u8(struct pack_writer *w, unsigned v)
{
	uint8_t b = (uint8_t)v;

	assert(v <= UINT8_MAX);
	pack_bytes(w, &b, 1);
}

void pack_uint(struct pack_writer *w, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		pack_u8(w, (unsigned)(v & 0x7f) | 0x80U);
	pack_u8(w, (unsigned)v);
}

static uint64_t zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ ((v & 1) != 0 ? UINT64_MAX : 0));
}

void pack_int(struct pack_writer *w, int64_t v)
{
	pack_uint(w, zigzag(v));
}

void pack_text(struct pack_writer *w, struct ev_str s)
{
	pack_uint(w, s.n);
	pack_bytes(w, s.p, s.n);
}

void pack_uuid(struct pack_writer *w, const struct ev_uuid *u)
{
	pack_bytes(w, u->b, sizeof(u->b));
}

void pack_identity(struct pack_writer *w, const struct identity *id)
{
	pack_bytes(w, id->b, sizeof(id->b));
}

/* The first byte: bit 0 the unit, six bits of the value, bit 7 whether more of it follows. */
#define TIME_NS 1U

void pack_time(struct pack_writer *w, int64_t ns)
{
	/* Differences wrap, so that any two times have one. */
	int64_t d = (int64_t)((uint64_t)ns - (uint64_t)w->state.last_ns);
	bool whole = d % EV_NS_PER_MS == 0;
	uint64_t v = zigzag(whole ? d / EV_NS_PER_MS : d);
	uint64_t rest = v >> 6;

	w->state.last_ns = ns;
	pack_u8(w, (whole ? 0 : TIME_NS) | (unsigned)(v & 63) << 1 | (rest != 0 ? 0x80U : 0));
	if (rest != 0)
		pack_uint(w, rest);
}

/* How a tag stands: its first byte. */
enum tag_form {
	TAG_RAW = 0, /* + its length, 0 to 64 */
	TAG_HEX_LOWER = RFID_TAG_MAX,
	TAG_HEX_UPPER = TAG_HEX_LOWER + RFID_TAG_MAX / 2, /* + its bytes, 1 to 32 */
	TAG_UUID_LOWER = TAG_HEX_UPPER + RFID_TAG_MAX / 2 + 1,
	TAG_UUID_UPPER,
	TAG_KNOWN, /* + its number */
};

/* The value of a hex digit of that case, or -1. */
static int digit_of(char c, bool upper)
{
	char a = upper ? 'A' : 'a';

	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= a && c <= a + 5 ? c - a + 10 : -1;
}

/* Pairs of digits, all of one case; false: not such a text. */
static bool halve(const char *s, size_t n, bool upper, uint8_t *out)
{
	for (size_t i = 0; i < n; i += 2) {
		int high = digit_of(s[i], upper);
		int low = i + 1 < n ? digit_of(s[i + 1], upper) : -1;

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool is_dash(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static bool uuid_digits(const struct rfid_tag *t, char out[32])
{
	size_t n = 0;

	if (t->n != EV_UUID_TEXT)
		return false;
	for (size_t i = 0; i < EV_UUID_TEXT; i++) {
		if (is_dash(i) != (t->s[i] == '-'))
			return false;
		if (!is_dash(i))
			out[n++] = t->s[i];
	}
	return true;
}

static bool pack_hex_tag(struct pack_writer *w, const struct rfid_tag *t, bool upper)
{
	uint8_t half[RFID_TAG_MAX / 2];
	char digits[32];

	if (uuid_digits(t, digits) && halve(digits, sizeof(digits), upper, half)) {
		pack_u8(w, upper ? TAG_UUID_UPPER : TAG_UUID_LOWER);
		pack_bytes(w, half, 16);
		return true;
	}
	if (!halve(t->s, t->n, upper, half))
		return false;
	pack_u8(w, (unsigned)(upper ? TAG_HEX_UPPER : TAG_HEX_LOWER) + t->n / 2U);
	pack_bytes(w, half, t->n / 2U);
	return true;
}

void pack_tag(struct pack_writer *w, const struct rfid_tag *tag)
{
	if (tag->n == 0) {
		pack_u8(w, TAG_RAW);
		return;
	}
	for (unsigned i = 0; i < w->state.n_tags; i++) {
		if (ev_str_eq(rfid_tag_str(&w->state.tags[i]), rfid_tag_str(tag))) {
			pack_u8(w, TAG_KNOWN + i);
			return;
		}
	}
	pack_know_tag(&w->state, tag);
	if (pack_hex_tag(w, tag, false) || pack_hex_tag(w, tag, true))
		return;
	pack_u8(w, (unsigned)TAG_RAW + tag->n);
	pack_bytes(w, tag->s, tag->n);
}

bool unpack_bytes(struct pack_reader *r, void *out, size_t n)
{
	if (r->bad || r->left < n) {
		r->bad = true;
		if (n > 0)
			memset(out, 0, n);
		return false;
	}
	if (n > 0)
		memcpy(out, r->p, n);
	r->p += n;
	r->left -= n;
	return true;
}

unsigned unpack_u8(struct pack_reader *r, unsigned max)
{
	uint8_t v;

	unpack_bytes(r, &v, 1);
	if (v > max) {
		r->bad = true;
		return 0;
	}
	return v;
}

uint64_t unpack_uint(struct pack_reader *r, uint64_t max)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		unsigned b = unpack_u8(r, UINT8_MAX);

		/* Of the tenth byte one bit fits. */
		if (r->bad || (shift == 63 && b > 1))
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b >= 0x80)
			continue;
		if (v > max)
			break;
		return v;
	}
	r->bad = true;
	return 0;
}

int64_t unpack_int(struct pack_reader *r)
{
	return unzigzag(unpack_uint(r, UINT64_MAX));
}

struct ev_str unpack_text(struct pack_reader *r, size_t max)
{
	size_t n = (size_t)unpack_uint(r, max);
	struct ev_str s = { (const char *)r->p, n };

	if (r->bad || n > r->left) {
		r->bad = true;
		return EV_LIT("");
	}
	r->p += n;
	r->left -= n;
	return s;
}

struct ev_uuid unpack_uuid(struct pack_reader *r)
{
	struct ev_uuid u;

	unpack_bytes(r, u.b, sizeof(u.b));
	return u;
}

struct identity unpack_identity(struct pack_reader *r)
{
	struct identity id;

	unpack_bytes(r, id.b, sizeof(id.b));
	return id;
}

int64_t unpack_time(struct pack_reader *r)
{
	unsigned head = unpack_u8(r, UINT8_MAX);
	uint64_t rest = head >= 0x80 ? unpack_uint(r, UINT64_MAX >> 6) : 0;
	int64_t d = unzigzag((head >> 1 & 63) | rest << 6);

	if ((head & TIME_NS) == 0 && __builtin_mul_overflow(d, EV_NS_PER_MS, &d))
		r->bad = true;
	if (r->bad)
		return 0;
	r->state.last_ns = (int64_t)((uint64_t)r->state.last_ns + (uint64_t)d);
	return r->state.last_ns;
}

static void double_into(const uint8_t *half, size_t n, bool upper, char *out)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[half[i] >> 4];
		out[2 * i + 1] = digits[half[i] & 15];
	}
}

static void unpack_uuid_tag(struct pack_reader *r, bool upper, struct rfid_tag *t)
{
	uint8_t half[16];
	char digits[32];
	size_t n = 0;

	unpack_bytes(r, half, sizeof(half));
	double_into(half, sizeof(half), upper, digits);
	for (size_t i = 0; i < EV_UUID_TEXT; i++)
		t->s[i] = is_dash(i) ? '-' : digits[n++];
	t->n = EV_UUID_TEXT;
}

static void unpack_hex_tag(struct pack_reader *r, size_t n, bool upper, struct rfid_tag *t)
{
	uint8_t half[RFID_TAG_MAX / 2];

	unpack_bytes(r, half, n);
	double_into(half, n, upper, t->s);
	t->n = (uint8_t)(2 * n);
}

static void unpack_raw_tag(struct pack_reader *r, size_t n, struct rfid_tag *t)
{
	char s[RFID_TAG_MAX];

	unpack_bytes(r, s, n);
	if (rfid_tag_set(t, (struct ev_str){ s, n }) != EV_OK)
		r->bad = true;
}

struct rfid_tag unpack_tag(struct pack_reader *r)
{
	struct rfid_tag t = { .n = 0 };
	unsigned form = unpack_u8(r, TAG_KNOWN + PACK_TAGS_MAX - 1);

	if (form >= TAG_KNOWN) {
		if (form - TAG_KNOWN < r->state.n_tags)
			return r->state.tags[form - TAG_KNOWN];
		r->bad = true;
		return t;
	}
	if (form >= TAG_UUID_LOWER)
		unpack_uuid_tag(r, form == TAG_UUID_UPPER, &t);
	else if (form > TAG_HEX_UPPER)
		unpack_hex_tag(r, form - TAG_HEX_UPPER, true, &t);
	else if (form > TAG_HEX_LOWER)
		unpack_hex_tag(r, form - TAG_HEX_LOWER, false, &t);
	else
		unpack_raw_tag(r, form, &t);
	if (r->bad)
		return (struct rfid_tag){ .n = 0 };
	pack_know_tag(&r->state, &t);
	return t;
}

ev_err unpack_end(const struct pack_reader *r)
{
	return r->bad || r->left > 0 ? EV_CORRUPT : EV_OK;
}
