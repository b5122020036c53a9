/* test/cloud/number.c — see number.h. */
#include "cloud/number.h"

#include <string.h>

#define EXPONENT_MAX 126
#define EXPONENT_MIN (-129)
#define EXPONENT_TEXT 1000 /* what an exponent may say before all is out of range */

/* A sum's digits, that of 10^TOP first. */
#define TOP 127
#define WIDE (TOP + 170)

/* Takes off the zeros at both ends; EV_FULL if what is left is out of range. */
static ev_err normalize(bool negative, const uint8_t *digits, size_t n, int exponent,
			struct number *out)
{
	struct number made = { .negative = negative };

	while (n > 0 && digits[0] == 0) {
		digits++;
		n--;
		exponent--;
	}
	while (n > 0 && digits[n - 1] == 0)
		n--;
	if (n > NUMBER_DIGITS || (n > 0 && (exponent > EXPONENT_MAX || exponent < EXPONENT_MIN)))
		return EV_FULL;
	if (n == 0)
		made.negative = false;
	else
		made.exponent = exponent;
	made.n = (unsigned)n;
	memcpy(made.digits, digits, n);
	*out = made;
	return EV_OK;
}

static bool is_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

static ev_err parse_exponent(const char *p, const char *end, int *exponent)
{
	bool negative = p < end && *p == '-';
	int e = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (!is_digit(p, end))
		return EV_INVALID;
	for (; is_digit(p, end); p++)
		e = e < EXPONENT_TEXT ? 10 * e + (*p - '0') : e;
	if (p != end)
		return EV_INVALID;
	*exponent += negative ? -e : e;
	return EV_OK;
}

ev_err number_parse(struct ev_str s, struct number *out)
{
	uint8_t digits[WIDE];
	const char *p = s.p, *end = s.p + s.n;
	bool negative = s.n > 0 && *p == '-';
	size_t n = 0, seen = 0;
	int exponent = 0;
	ev_err err = EV_OK;

	if (s.n > 0 && (*p == '-' || *p == '+'))
		p++;
	for (bool fraction = false; p < end && (is_digit(p, end) || (*p == '.' && !fraction));
	     p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		seen++;
		if (n == sizeof(digits))
			return EV_FULL;
		exponent += fraction ? 0 : 1;
		digits[n++] = (uint8_t)(*p - '0');
	}
	if (seen == 0)
		return EV_INVALID;
	if (p < end && (*p == 'e' || *p == 'E'))
		err = parse_exponent(p + 1, end, &exponent);
	else if (p != end)
		err = EV_INVALID;
	return err == EV_OK ? normalize(negative, digits, n, exponent, out) : err;
}

void number_write(const struct number *n, struct ev_buf *out)
{
	int places = (int)n->n > n->exponent ? (int)n->n : n->exponent;

	if (n->n == 0) {
		ev_buf_char(out, '0');
		return;
	}
	if (n->negative)
		ev_buf_char(out, '-');
	if (n->exponent <= 0)
		ev_buf_char(out, '0');
	for (int i = n->exponent < 0 ? n->exponent : 0; i < places; i++) {
		if (i == (n->exponent < 0 ? n->exponent : 0) && n->exponent <= 0)
			ev_buf_char(out, '.');
		else if (i == n->exponent)
			ev_buf_char(out, '.');
		ev_buf_char(out, i >= 0 && i < (int)n->n ? (char)('0' + n->digits[i]) : '0');
	}
}

static int compare_magnitude(const struct number *a, const struct number *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	int order;

	if (a->n == 0 || b->n == 0)
		return (a->n > 0) - (b->n > 0);
	if (a->exponent != b->exponent)
		return a->exponent < b->exponent ? -1 : 1;
	order = memcmp(a->digits, b->digits, n);
	return order != 0 ? order : (a->n > b->n) - (a->n < b->n);
}

int number_compare(const struct number *a, const struct number *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? compare_magnitude(b, a) : compare_magnitude(a, b);
}

static void spread(const struct number *n, int8_t wide[WIDE], int8_t sign)
{
	for (unsigned i = 0; i < n->n; i++) {
		int place = TOP - n->exponent + (int)i + 1;

		wide[place] = (int8_t)(wide[place] + sign * (int)n->digits[i]);
	}
}

ev_err number_add(const struct number *a, const struct number *b, bool subtract, struct number *out)
{
	bool b_negative = b->negative != subtract && b->n > 0;
	bool b_larger = compare_magnitude(a, b) < 0;
	bool negative = b_larger ? b_negative : a->negative;
	const struct number *larger = b_larger ? b : a, *smaller = b_larger ? a : b;
	int8_t wide[WIDE] = { 0 };
	uint8_t digits[WIDE];
	int carry = 0;

	spread(larger, wide, 1);
	spread(smaller, wide, a->negative == b_negative || smaller->n == 0 ? 1 : -1);
	for (size_t i = WIDE; i-- > 0;) {
		int d = wide[i] + carry;

		carry = d > 9 ? 1 : (d < 0 ? -1 : 0);
		digits[i] = (uint8_t)(d - 10 * carry);
	}
	return normalize(negative, digits, WIDE, TOP + 1, out);
}
