/* test/cloud/number.h — DynamoDB's numbers: 38 decimal digits, exact. */
#ifndef EV_TEST_CLOUD_NUMBER_H
#define EV_TEST_CLOUD_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define NUMBER_DIGITS 38
#define NUMBER_TEXT 170 /* bytes of the longest in plain form */

/* 0.d1d2…dn × 10^exponent, d1 and dn not 0; zero has no digits. */
struct number {
	bool negative;
	unsigned n;
	int exponent;
	uint8_t digits[NUMBER_DIGITS];
};

/*
 * EV_INVALID: no number.  EV_FULL: more than 38 significant digits, or a magnitude beyond 10^126 or
 * below 10^-130.
 */
EV_NODISCARD ev_err number_parse(struct ev_str s, struct number *out);

/* As DynamoDB answers: plain, without superfluous zeros; a leading 0 before a point. */
void number_write(const struct number *n, struct ev_buf *out);

/* Below 0, 0, above 0. */
int number_compare(const struct number *a, const struct number *b);

/* a + b, or a - b.  EV_FULL as above. */
EV_NODISCARD ev_err number_add(const struct number *a, const struct number *b, bool subtract,
			       struct number *out);

#endif
