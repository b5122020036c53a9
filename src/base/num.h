/* base/num.h — strict reading and exact writing of numbers; no locale, no libc parsers. */
#ifndef EV_BASE_NUM_H
#define EV_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Decimal digits only, no sign, no spaces, no overflow: else EV_INVALID. */
EV_NODISCARD ev_err num_parse_u64(struct ev_str s, uint64_t *out);
EV_NODISCARD ev_err num_parse_i64(struct ev_str s, int64_t *out); /* one leading '-' allowed */

/*
 * The shortest digits that read back as the same double, in the form of the original's JSON
 * (facts/original-system.md 3, "number output"): always a fraction, scientific `1.0E7` from
 * exponent 7 up and below -3.  Non-finite: "NaN", "Infinity", "-Infinity" with quotes.
 */
void num_write_double(struct ev_buf *b, double v);

/* The text of num_write_double(num_kwh_from_mwh(mwh)), by integers alone below 10^7 kWh. */
void num_write_mwh(struct ev_buf *b, int64_t mwh);

/*
 * A decimal `[-]digits[.digits][(e|E)[+-]digits]` to the nearest double, infinite when too large.
 * Digits may be missing on one side of the point, not on both, and not in the exponent.
 * EV_INVALID otherwise, and above NUM_DOUBLE_TEXT characters.
 */
#define NUM_DOUBLE_TEXT 400
EV_NODISCARD ev_err num_parse_double(struct ev_str s, double *out);

/*
 * kWh on the wire to integer milliwatt-hours (1 kWh = 1,000,000 mWh), rounded to the nearest.
 * EV_INVALID when negative (minus zero is zero), non-finite, or above max_mwh.
 */
EV_NODISCARD ev_err num_mwh_from_kwh(double kwh, int64_t max_mwh, int64_t *out_mwh);
double num_kwh_from_mwh(int64_t mwh);

#endif
