/* codec/ddb_decimal.c — numbers of DynamoDB, of up to 38 digits, without a double. */
#include <string.h>

#include "codec/ddb_item.h"

#define DIGITS_MAX 38 /* DynamoDB's precision */
#define TEXT_MAX 300  /* 1E+125 written out, and some */
#define EXPONENT_MAX 9999

/* digits * 10^exponent; neither leading nor trailing zeros; n 0: zero. */
struct decimal {
	bool negative;
	unsigned n;
	char digits[DIGITS_MAX];
	int exponent;
};

struct scan {
	struct ev_str s;
	size_t at;
	unsigned zeros; /* since the last digit that counts */
	bool any;
};

static bool at_digit(const struct scan *sc)
{
	return sc->at < sc->s.n && sc->s.p[sc->at] >= '0' && sc->s.p[sc->at] <= '9';
}

static bool at_any(const struct scan *sc, char a, char b)
{
	return sc->at < sc->s.n && (sc->s.p[sc->at] == a || sc->s.p[sc->at] == b);
}

/* A zero counts only once a digit follows it. */
static bool take_digit(struct scan *sc, struct decimal *d)
{
	char c = sc->s.p[sc->at++];

	sc->any = true;
	if (c == '0') {
		sc->zeros += d->n > 0;
		return true;
	}
	if (d->n + sc->zeros >= DIGITS_MAX)
		return false;
	memset(d->digits + d->n, '0', sc->zeros);
	d->n += sc->zeros;
	d->digits[d->n++] = c;
	sc->zeros = 0;
	return true;
}

static bool scan_exponent(struct scan *sc, int *out)
{
	bool negative = at_any(sc, '-', '-');
	int v = 0;

	sc->at += negative || at_any(sc, '+', '+');
	if (!at_digit(sc))
		return false;
	while (at_digit(sc)) {
		v = v * 10 + (sc->s.p[sc->at++] - '0');
		if (v > EXPONENT_MAX)
			return false;
	}
	*out = negative ? -v : v;
	return true;
}

static bool scan_decimal(struct ev_str s, struct decimal *d)
{
	struct scan sc = { .s = s };
	int exponent = 0;

	*d = (struct decimal){ .negative = at_any(&sc, '-', '-') };
	sc.at += at_any(&sc, '-', '+');
	if (s.n > TEXT_MAX)
		return false;
	while (at_digit(&sc)) {
		if (!take_digit(&sc, d))
			return false;
	}
	if (at_any(&sc, '.', '.')) {
		size_t from = ++sc.at;

		while (at_digit(&sc)) {
			if (!take_digit(&sc, d))
				return false;
		}
		d->exponent -= (int)(sc.at - from);
	}
	if (!sc.any)
		return false;
	if (at_any(&sc, 'e', 'E')) {
		sc.at++;
		if (!scan_exponent(&sc, &exponent))
			return false;
	}
	d->exponent += exponent + (int)sc.zeros;
	if (d->n == 0)
		*d = (struct decimal){ .n = 0 };
	return sc.at == s.n;
}

/* The magnitude of d * 10^scale: rounded to the nearest, halves up, or cut off. */
static bool magnitude(const struct decimal *d, int scale, bool round, uint64_t *out)
{
	int whole = (int)d->n + d->exponent + scale; /* digits before the point */
	uint64_t v = 0;

	if (d->n == 0 || whole < 0) {
		*out = 0;
		return true;
	}
	if (whole > 20)
		return false;
	for (int i = 0; i < whole; i++) {
		uint64_t digit = i < (int)d->n ? (uint64_t)(d->digits[i] - '0') : 0;

		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return false;
	}
	if (round && whole < (int)d->n && d->digits[whole] >= '5' &&
	    __builtin_add_overflow(v, UINT64_C(1), &v))
		return false;
	*out = v;
	return true;
}

static bool to_i64(const struct decimal *d, int scale, bool round, int64_t *out)
{
	uint64_t v;

	if (!magnitude(d, scale, round, &v) || v > (uint64_t)INT64_MAX + d->negative)
		return false;
	*out = d->negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

ev_err ddb_decimal_scaled(struct ev_str s, unsigned scale, int64_t *out)
{
	struct decimal d;

	return scan_decimal(s, &d) && to_i64(&d, (int)scale, true, out) ? EV_OK : EV_INVALID;
}

static bool number_of(const struct ddb_value *v, struct decimal *d)
{
	return v->type == DDB_N && !v->text.escaped && scan_decimal(v->text.raw, d);
}

ev_err ddb_value_i64(const struct ddb_value *v, int64_t *out)
{
	struct decimal d;

	return number_of(v, &d) && to_i64(&d, 0, false, out) ? EV_OK : EV_CORRUPT;
}

ev_err ddb_value_u64(const struct ddb_value *v, uint64_t *out)
{
	struct decimal d;
	uint64_t u;

	if (!number_of(v, &d) || !magnitude(&d, 0, false, &u) || (d.negative && u > 0))
		return EV_CORRUPT;
	*out = u;
	return EV_OK;
}

ev_err ddb_value_scaled(const struct ddb_value *v, unsigned scale, int64_t *out)
{
	struct decimal d;

	return number_of(v, &d) && to_i64(&d, (int)scale, true, out) ? EV_OK : EV_CORRUPT;
}

ev_err ddb_value_number(const struct ddb_value *v, struct ddb_number *out)
{
	struct decimal d;
	struct ev_buf b = ev_buf_over(out->s, sizeof(out->s));

	if (!number_of(v, &d))
		return EV_CORRUPT;
	memset(out, 0, sizeof(*out));
	if (d.negative)
		ev_buf_char(&b, '-');
	ev_buf_bytes(&b, d.digits, d.n);
	if (d.n == 0)
		ev_buf_char(&b, '0');
	if (d.exponent != 0) {
		ev_buf_char(&b, 'E');
		ev_buf_i64(&b, d.exponent);
	}
	out->n = (uint8_t)b.len;
	return EV_OK;
}
