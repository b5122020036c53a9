/* codec/json_number.c — see json_number.h. */
#include "codec/json_number.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

__extension__ typedef unsigned __int128 wide;

struct decimal {
	bool negative;
	bool any;         /* at least one digit */
	wide significand; /* below 2^127 */
	int64_t scale;    /* value = significand * 10^scale */
	int digits;       /* of the significand, without leading zeros */
};

#define SIGNIFICAND_MAX (((wide)1 << 127) - 1)
#define DIGITS_U64 18 /* this many decimal digits fit a uint64_t for certain */

/* Adds the digits at r->p; false if the significand grows to 2^127. */
static bool add_digits(struct json_reader *r, struct decimal *d)
{
	uint64_t low = (uint64_t)d->significand;

	while (r->p < r->end && is_digit(*r->p) && d->digits < DIGITS_U64) {
		low = low * 10 + (uint64_t)(*r->p++ - '0');
		d->digits += low != 0;
		d->any = true;
		d->significand = low;
	}
	while (r->p < r->end && is_digit(*r->p)) {
		wide digit = (unsigned)(*r->p++ - '0');

		/* Before the product, which need not fit 128 bits. */
		if (d->significand > (SIGNIFICAND_MAX - digit) / 10)
			return false;
		d->significand = d->significand * 10 + digit;
		d->digits++;
	}
	return true;
}

/* `e`, `E` and what follows; false if there is no digit or it does not fit an int32_t. */
static bool add_exponent(struct json_reader *r, struct decimal *d)
{
	bool negative = false;
	int64_t v = 0;

	r->p++;
	if (r->p < r->end && (*r->p == '-' || *r->p == '+'))
		negative = *r->p++ == '-';
	if (r->p == r->end || !is_digit(*r->p))
		return false;
	while (r->p < r->end && is_digit(*r->p)) {
		v = v * 10 + (*r->p++ - '0');
		if (v > INT32_MAX)
			return false;
	}
	d->scale += negative ? -v : v;
	/* Below this the original's arithmetic throws (vector power_exponent_underflow). */
	return d->scale >= -INT64_C(2147483647);
}

static bool scan_decimal(struct json_reader *r, struct decimal *d)
{
	if (!add_digits(r, d))
		return false;
	if (r->p < r->end && *r->p == '.') {
		const char *dot = ++r->p;

		d->any = true; /* `-.` reads as 0 in the original */
		if (!add_digits(r, d))
			return false;
		d->scale -= r->p - dot;
	}
	if (!d->any)
		return false;
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E'))
		return add_exponent(r, d);
	return true;
}

/*
 * By the general reader: written anew, as the input may be of any length (leading zeros).  The
 * significand has at most 39 digits.
 */
static bool decimal_by_text(const struct decimal *d, double *out)
{
	char text[64];
	char *p = text + 40;
	struct ev_buf b = ev_buf_over(p, sizeof(text) - 40);
	wide v = d->significand;

	ev_buf_char(&b, 'e');
	ev_buf_i64(&b, d->scale);
	for (; v != 0; v /= 10)
		*--p = (char)('0' + (int)(v % 10));
	b.len += (size_t)(b.p - p);
	return num_parse_double((struct ev_str){ p, b.len }, out) == EV_OK;
}

static bool decimal_value(const struct decimal *d, double *out)
{
	static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
					1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
					1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	double v;

	if (d->significand == 0 || d->digits + d->scale < -400) {
		v = 0.0;
	} else if (d->digits + d->scale > 400) {
		v = (double)INFINITY;
	} else if (d->significand <= UINT64_C(1) << 53 && d->scale >= -22 && d->scale <= 22) {
		/* Both are exact doubles, so one operation rounds once. */
		v = (double)(uint64_t)d->significand;
		v = d->scale < 0 ? v / power[-d->scale] : v * power[d->scale];
	} else if (!decimal_by_text(d, &v)) {
		return false;
	}
	*out = d->negative ? -v : v;
	return true;
}

static ev_err read_number(struct json_reader *r, double *out)
{
	struct decimal d = { 0 };
	int c = json_peek(r);

	if (c != '-' && !(c >= '0' && c <= '9'))
		return json_fail_got(r, "expected a number, got ", "");
	if (c == '-') {
		d.negative = true;
		r->p++;
		if (r->end - r->p >= 8 && memcmp(r->p, "Infinity", 8) == 0) {
			r->p += 8;
			*out = -(double)INFINITY;
			return EV_OK;
		}
	}
	if (!scan_decimal(r, &d) || !decimal_value(&d, out)) {
		return r->p == r->end ? json_fail_got(r, "", "")
				      : json_fail(r, "expected a Double", EV_LIT(""), "");
	}
	return EV_OK;
}

ev_err json_read_double(struct json_reader *r, double *out)
{
	double v;
	ev_err e;

	if (json_peek(r) != '"')
		return read_number(r, out);
	r->p++;
	e = read_number(r, &v);
	if (e != EV_OK)
		return e;
	/* Not take(): the original allows space before a quoted number, not after it. */
	if (r->p == r->end || *r->p != '"')
		return json_fail_got(r, "expected '\"' got '", "'");
	r->p++;
	*out = v;
	return EV_OK;
}
