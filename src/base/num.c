/*
 * base/num.c — strtod and snprintf are the only parts of libc here.  Both follow the locale, which
 * is always "C": nothing in this program calls setlocale.
 */
#include "base/num.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MWH_PER_KWH INT64_C(1000000)
#define MAX_DIGITS 17 /* enough for every double to read back as itself */

ev_err num_parse_u64(struct ev_str s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return EV_INVALID;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c < '0' || c > '9')
			return EV_INVALID;
		if (__builtin_mul_overflow(v, 10U, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(c - '0'), &v))
			return EV_INVALID;
	}
	*out = v;
	return EV_OK;
}

ev_err num_parse_i64(struct ev_str s, int64_t *out)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	struct ev_str digits = negative ? (struct ev_str){ s.p + 1, s.n - 1 } : s;
	uint64_t v;

	if (num_parse_u64(digits, &v) != EV_OK || v > (uint64_t)INT64_MAX + negative)
		return EV_INVALID;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return EV_OK;
}

static size_t skip_digits(struct ev_str s, size_t at)
{
	while (at < s.n && s.p[at] >= '0' && s.p[at] <= '9')
		at++;
	return at;
}

/* Whether strtod would read all of s and nothing but the grammar of num.h. */
static bool is_decimal(struct ev_str s)
{
	size_t at = s.n > 0 && s.p[0] == '-';
	size_t start = at;
	size_t digits;

	at = skip_digits(s, at);
	digits = at - start;
	if (at < s.n && s.p[at] == '.') {
		start = ++at;
		at = skip_digits(s, at);
		digits += at - start;
	}
	if (digits == 0)
		return false;
	if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
		at++;
		if (at < s.n && (s.p[at] == '+' || s.p[at] == '-'))
			at++;
		start = at;
		at = skip_digits(s, at);
		if (at == start)
			return false;
	}
	return at == s.n;
}

ev_err num_parse_double(struct ev_str s, double *out)
{
	char text[NUM_DOUBLE_TEXT + 1];

	if (s.n > NUM_DOUBLE_TEXT || !is_decimal(s))
		return EV_INVALID;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*out = strtod(text, NULL);
	return EV_OK;
}

/* v = 0.d1d2d3… times ten to the power of point, d1 not 0, no zeros at the end. */
struct decimal {
	char digits[MAX_DIGITS];
	int n;
	int point;
};

/* v > 0 rounded to n significant digits; true if that reads back as v. */
static bool round_to(double v, int n, struct decimal *out)
{
	char text[MAX_DIGITS + 8]; /* d.ddde-308 */
	double back;
	int exponent = 0;
	bool negative;
	const char *p;

	snprintf(text, sizeof(text), "%.*e", n - 1, v);
	back = strtod(text, NULL);
	out->n = 0;
	for (p = text; *p != 'e'; p++) {
		if (*p != '.')
			out->digits[out->n++] = *p;
	}
	negative = p[1] == '-';
	for (p += 2; *p != '\0'; p++)
		exponent = exponent * 10 + (*p - '0');
	out->point = (negative ? -exponent : exponent) + 1;
	while (out->n > 1 && out->digits[out->n - 1] == '0')
		out->n--;
	return memcmp(&back, &v, sizeof(v)) == 0;
}

/*
 * A power of two has a neighbour below at half the distance of the one above, so the nearest 16
 * digits may read back as the neighbour while the next ones up read back as v.
 */
static bool round_up_to_16(double v, struct decimal *out)
{
	char text[MAX_DIGITS + 8];
	struct decimal d;
	struct ev_buf b = ev_buf_over(text, sizeof(text) - 1);
	double back;
	int i = 15;

	(void)round_to(v, 16, &d); /* its verdict is known: no */
	if (d.n != 16 || d.digits[15] == '9')
		return false;
	d.digits[i]++;
	ev_buf_char(&b, '.');
	ev_buf_bytes(&b, d.digits, 16);
	ev_buf_char(&b, 'e');
	ev_buf_i64(&b, d.point);
	assert(!b.overflow);
	text[b.len] = '\0';
	back = strtod(text, NULL);
	*out = d;
	return memcmp(&back, &v, sizeof(v)) == 0;
}

/*
 * Any decimal of at most 15 digits survives decimal → double → 15 digits, so when 15 digits read
 * back, stripping their zeros leaves the shortest.  Subnormals have fewer digits than that and
 * are searched from 2 up, as Java does.
 */
static void shortest(double v, struct decimal *out)
{
	if (v < 0x1p-1022) {
		for (int n = 2; n < 15; n++) {
			if (round_to(v, n, out))
				return;
		}
	}
	if (round_to(v, 15, out) || round_to(v, 16, out) || round_up_to_16(v, out))
		return;
	(void)round_to(v, MAX_DIGITS, out); /* always reads back */
}

/* The n digits from index at on, zeros where there are none. */
static void write_digits(struct ev_buf *b, const struct decimal *d, int at, int n)
{
	for (int i = at; i < at + n; i++)
		ev_buf_char(b, i >= 0 && i < d->n ? d->digits[i] : '0');
}

static void write_decimal(struct ev_buf *b, const struct decimal *d)
{
	int exponent = d->point - 1;

	if (exponent < -3 || exponent >= 7) {
		write_digits(b, d, 0, 1);
		ev_buf_char(b, '.');
		write_digits(b, d, 1, d->n > 1 ? d->n - 1 : 1);
		ev_buf_char(b, 'E');
		ev_buf_i64(b, exponent);
	} else if (exponent < 0) {
		ev_buf_z(b, "0.");
		write_digits(b, d, d->point, d->n - d->point);
	} else {
		write_digits(b, d, 0, d->point);
		ev_buf_char(b, '.');
		write_digits(b, d, d->point, d->n > d->point ? d->n - d->point : 1);
	}
}

void num_write_double(struct ev_buf *b, double v)
{
	struct decimal d;

	if (isnan(v)) {
		ev_buf_z(b, "\"NaN\"");
		return;
	}
	if (isinf(v)) {
		ev_buf_z(b, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
		return;
	}
	if (signbit(v)) {
		ev_buf_char(b, '-');
		v = -v;
	}
	if (v > 0) {
		shortest(v, &d);
		write_decimal(b, &d);
	} else {
		ev_buf_z(b, "0.0");
	}
}

void num_write_mwh(struct ev_buf *b, int64_t mwh)
{
	uint64_t v = mwh < 0 ? 0 - (uint64_t)mwh : (uint64_t)mwh;
	struct decimal d = { .n = 13, .point = 7 };

	if (v == 0 || v >= UINT64_C(10000000) * MWH_PER_KWH) {
		num_write_double(b, num_kwh_from_mwh(mwh));
		return;
	}
	/* Thirteen digits, seven before the point; then without the zeros at both ends. */
	for (int i = d.n - 1; i >= 0; i--) {
		d.digits[i] = (char)('0' + v % 10);
		v /= 10;
	}
	while (d.digits[d.n - 1] == '0')
		d.n--;
	while (d.digits[0] == '0') {
		memmove(d.digits, d.digits + 1, (size_t)--d.n);
		d.point--;
	}
	if (mwh < 0)
		ev_buf_char(b, '-');
	write_decimal(b, &d);
}

ev_err num_mwh_from_kwh(double kwh, int64_t max_mwh, int64_t *out_mwh)
{
	double mwh = kwh * (double)MWH_PER_KWH;
	int64_t whole;

	/* The bound before the conversion, which is undefined outside int64; false for NaN. */
	if (!(mwh >= 0 && mwh < (double)max_mwh + 1))
		return EV_INVALID;
	whole = (int64_t)mwh;
	if (mwh - (double)whole >= 0.5)
		whole++;
	if (whole > max_mwh)
		return EV_INVALID;
	*out_mwh = whole;
	return EV_OK;
}

double num_kwh_from_mwh(int64_t mwh)
{
	return (double)mwh / (double)MWH_PER_KWH;
}
