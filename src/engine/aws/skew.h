/*
 * engine/aws/skew.h — the difference between our clock and the services'.
 *
 * They refuse what is signed more than five minutes off, and tell their time in every answer.
 */
#ifndef EV_AWS_SKEW_H
#define EV_AWS_SKEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

/* Below their five minutes, with one left for the way. */
#define AWS_SKEW_MIN_NS (4 * EV_NS_PER_MIN)

/* RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", the only form that is sent today. */
EV_NODISCARD ev_err aws_http_date_parse(struct ev_str s, int64_t *out_ns);

/*
 * date is an answer's Date header, now_ns our time at its receipt.  True: *offset_ns, to be added
 * to our time, was off by AWS_SKEW_MIN_NS or more and is set.  False: it is good, or the date is
 * none.
 */
bool aws_skew_correct(struct ev_str date, int64_t now_ns, int64_t *offset_ns);

#endif
