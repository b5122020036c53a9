/*
 * base/time.h — instants as nanoseconds since 1970-01-01T00:00:00Z in an int64_t (years 1678 to
 * 2261); text is ISO 8601.  Nothing here reads a clock.
 */
#ifndef EV_BASE_TIME_H
#define EV_BASE_TIME_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define EV_NS_PER_US INT64_C(1000)
#define EV_NS_PER_MS INT64_C(1000000)
#define EV_NS_PER_S INT64_C(1000000000)
#define EV_NS_PER_MIN (60 * EV_NS_PER_S)
#define EV_NS_PER_HOUR (3600 * EV_NS_PER_S)

#define EV_TIME_TEXT 40 /* enough for any text written here, NUL included */

/*
 * Writes `YYYY-MM-DDTHH:MM:SS[.f]Z`: seconds always, fraction of 1 to 9 digits without trailing
 * zeros, none when zero (facts/original-system.md 1.2 and 3).
 */
void ev_time_write(struct ev_buf *b, int64_t ns);
void ev_time_text(int64_t ns, char out[EV_TIME_TEXT]);

/* Milliseconds since the epoch, rounded towards minus infinity. */
int64_t ev_time_floor_ms(int64_t ns);

/*
 * Days since the epoch of a proleptic Gregorian date; the caller has checked month 1..12 and day.
 * ev_time_days_in_month(year, month) gives 28..31.
 */
int64_t ev_time_days(int64_t year, unsigned month, unsigned day);
unsigned ev_time_days_in_month(int64_t year, unsigned month);

/*
 * Strict reading of what the original accepts (facts 3, "date input"), including its quirk of one
 * character swallowed after ±HH or ±HH:MM.  EV_INVALID otherwise; an instant outside int64_t
 * nanoseconds is EV_INVALID too.  *out_why (may be NULL) gets a constant text on failure.
 */
EV_NODISCARD ev_err ev_time_parse(struct ev_str s, int64_t *out_ns, const char **out_why);

/*
 * The same, with the byte index *out_at where it failed, as in the original's error texts
 * ("illegal month at index 6").  Both out pointers may be NULL; both are untouched on success.
 */
EV_NODISCARD ev_err ev_time_parse_at(struct ev_str s, int64_t *out_ns, const char **out_why,
				     size_t *out_at);

#endif
