#include "base/time.h"

#include <assert.h>
#include <stdbool.h>

#define DAYS_PER_ERA 146097  /* 400 Gregorian years */
#define DAYS_TO_EPOCH 719468 /* from 0000-03-01 to 1970-01-01 */
#define SECONDS_PER_DAY 86400
#define MAX_OFFSET_SECONDS (18 * 3600)

static int64_t floor_div(int64_t a, int64_t b)
{
	int64_t q = a / b;

	return a % b < 0 ? q - 1 : q;
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

unsigned ev_time_days_in_month(int64_t year, unsigned month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	assert(month >= 1 && month <= 12);
	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/*
 * Years are counted from March here: the leap day is then the last of its year, and the days before
 * a month are a linear function of it.
 */
int64_t ev_time_days(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400);
	int64_t of_era = y - era * 400;
	int64_t m = (month + 9) % 12;
	int64_t of_year = (153 * m + 2) / 5 + day - 1;

	return era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
	       DAYS_TO_EPOCH;
}

struct civil {
	int64_t year;
	unsigned month;
	unsigned day;
};

static struct civil civil_from_days(int64_t days)
{
	int64_t since = days + DAYS_TO_EPOCH;
	int64_t era = floor_div(since, DAYS_PER_ERA);
	int64_t day = since - era * DAYS_PER_ERA;
	/* A year has 365 days but for the leap days that came before it in the era. */
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int64_t m = (5 * of_year + 2) / 153;
	unsigned month = (unsigned)(m < 10 ? m + 3 : m - 9);

	return (struct civil){
		.year = era * 400 + year + (month <= 2),
		.month = month,
		.day = (unsigned)(of_year - (153 * m + 2) / 5 + 1),
	};
}

static void write_padded(struct ev_buf *b, uint64_t v, size_t width)
{
	char digits[9];

	assert(width <= sizeof(digits));
	for (size_t i = width; i > 0; i--) {
		digits[i - 1] = (char)('0' + v % 10);
		v /= 10;
	}
	ev_buf_bytes(b, digits, width);
}

static void write_fraction(struct ev_buf *b, uint64_t ns)
{
	size_t width = 9;

	if (ns == 0)
		return;
	while (ns % 10 == 0) {
		ns /= 10;
		width--;
	}
	ev_buf_char(b, '.');
	write_padded(b, ns, width);
}

void ev_time_write(struct ev_buf *b, int64_t ns)
{
	int64_t seconds = floor_div(ns, EV_NS_PER_S);
	int64_t days = floor_div(seconds, SECONDS_PER_DAY);
	uint64_t of_day = (uint64_t)(seconds - days * SECONDS_PER_DAY);
	struct civil date = civil_from_days(days);

	write_padded(b, (uint64_t)date.year, 4);
	ev_buf_char(b, '-');
	write_padded(b, date.month, 2);
	ev_buf_char(b, '-');
	write_padded(b, date.day, 2);
	ev_buf_char(b, 'T');
	write_padded(b, of_day / 3600, 2);
	ev_buf_char(b, ':');
	write_padded(b, of_day / 60 % 60, 2);
	ev_buf_char(b, ':');
	write_padded(b, of_day % 60, 2);
	write_fraction(b, (uint64_t)(ns % EV_NS_PER_S + EV_NS_PER_S) % (uint64_t)EV_NS_PER_S);
	ev_buf_char(b, 'Z');
}

void ev_time_text(int64_t ns, char out[EV_TIME_TEXT])
{
	struct ev_buf b = ev_buf_over(out, EV_TIME_TEXT - 1);

	ev_time_write(&b, ns);
	assert(!b.overflow);
	out[b.len] = '\0';
}

int64_t ev_time_floor_ms(int64_t ns)
{
	return floor_div(ns, EV_NS_PER_MS);
}

/* A position in the text, and the first fault met. */
struct scan {
	struct ev_str s;
	size_t at;
	const char *why;
	size_t why_at;
};

/* A number of two digits within bounds, and the character after it ('\0': none is wanted). */
struct part {
	unsigned min;
	unsigned max;
	char then;
	const char *illegal;
	const char *expected;
};

static const char offset_date_time[] = "illegal offset date time";

static bool fault(struct scan *sc, const char *why, size_t at)
{
	sc->why = why;
	sc->why_at = at;
	return false;
}

static bool is_digit(const struct scan *sc, size_t at)
{
	return sc->s.p[at] >= '0' && sc->s.p[at] <= '9';
}

static unsigned digit(const struct scan *sc, size_t at)
{
	return (unsigned)(sc->s.p[at] - '0');
}

static bool scan_digits(struct scan *sc, size_t from, size_t n)
{
	for (size_t at = from; at < from + n; at++) {
		if (!is_digit(sc, at))
			return fault(sc, "expected digit", at);
	}
	return true;
}

static bool scan_part(struct scan *sc, const struct part *part, unsigned *out)
{
	size_t width = part->then != '\0' ? 3 : 2;
	unsigned v;

	if (sc->s.n - sc->at < width)
		return fault(sc, offset_date_time, sc->at);
	if (!scan_digits(sc, sc->at, 2))
		return false;
	v = digit(sc, sc->at) * 10 + digit(sc, sc->at + 1);
	if (v < part->min || v > part->max)
		return fault(sc, part->illegal, sc->at + 1);
	if (part->then != '\0' && sc->s.p[sc->at + 2] != part->then)
		return fault(sc, part->expected, sc->at + 2);
	sc->at += width;
	*out = v;
	return true;
}

/* With a sign: four to nine digits, and no minus zero. */
static bool scan_signed_year(struct scan *sc, int64_t *out)
{
	size_t first = sc->at + 1;
	size_t at = first;
	int64_t year = 0;

	if (!scan_digits(sc, first, 4))
		return false;
	while (at < sc->s.n && at < first + 9 && is_digit(sc, at))
		year = year * 10 + digit(sc, at++);
	if (at == sc->s.n)
		return fault(sc, offset_date_time, at);
	if (sc->s.p[sc->at] == '-' && year == 0)
		return fault(sc, "illegal year", at - 1);
	if (sc->s.p[at] != '-')
		return fault(sc, at == first + 9 ? "expected '-'" : "expected '-' or digit", at);
	*out = sc->s.p[sc->at] == '-' ? -year : year;
	sc->at = at + 1;
	return true;
}

static bool scan_year(struct scan *sc, int64_t *out)
{
	if (sc->s.n < 5)
		return fault(sc, offset_date_time, 0);
	if (sc->s.p[0] == '-' || sc->s.p[0] == '+')
		return scan_signed_year(sc, out);
	if (!is_digit(sc, 0))
		return fault(sc, "expected '-' or '+' or digit", 0);
	if (!scan_digits(sc, 1, 3))
		return false;
	if (sc->s.p[4] != '-')
		return fault(sc, "expected '-'", 4);
	*out = digit(sc, 0) * 1000 + digit(sc, 1) * 100 + digit(sc, 2) * 10 + digit(sc, 3);
	sc->at = 5;
	return true;
}

static bool scan_date(struct scan *sc, int64_t *out_days)
{
	static const struct part month_part = { 1, 12, '-', "illegal month", "expected '-'" };
	struct part day_part = { 1, 0, 'T', "illegal day", "expected 'T'" };
	int64_t year;
	unsigned month, day;

	if (!scan_year(sc, &year) || !scan_part(sc, &month_part, &month))
		return false;
	day_part.max = ev_time_days_in_month(year, month);
	if (!scan_part(sc, &day_part, &day))
		return false;
	*out_days = ev_time_days(year, month, day);
	return true;
}

static bool at_char(const struct scan *sc, char c)
{
	return sc->at < sc->s.n && sc->s.p[sc->at] == c;
}

static bool at_zone(const struct scan *sc)
{
	return at_char(sc, 'Z') || at_char(sc, '+') || at_char(sc, '-');
}

/* `.` and up to nine digits, none too. */
static bool scan_fraction(struct scan *sc, int64_t *out_ns)
{
	int64_t weight = EV_NS_PER_S / 10;

	sc->at++;
	for (; weight > 0 && sc->at < sc->s.n && is_digit(sc, sc->at); sc->at++) {
		*out_ns += weight * digit(sc, sc->at);
		weight /= 10;
	}
	if (at_zone(sc))
		return true;
	return fault(sc,
		     weight > 0 ? "expected digit or '+' or '-' or 'Z'"
				: "expected '+' or '-' or 'Z'",
		     sc->at);
}

/* Seconds and nanoseconds of the day; the position is then at the zone. */
static bool scan_time(struct scan *sc, int64_t *out_s, int64_t *out_ns)
{
	static const struct part hour_part = { 0, 23, ':', "illegal hour", "expected ':'" };
	static const struct part minute_part = { 0, 59, '\0', "illegal minute", NULL };
	static const struct part second_part = { 0, 59, '\0', "illegal second", NULL };
	unsigned hour, minute, second = 0;

	if (!scan_part(sc, &hour_part, &hour) || !scan_part(sc, &minute_part, &minute))
		return false;
	*out_ns = 0;
	*out_s = (hour * 60 + minute) * 60;
	if (!at_char(sc, ':'))
		return at_zone(sc) || fault(sc, "expected ':' or '+' or '-' or 'Z'", sc->at);
	sc->at++;
	if (!scan_part(sc, &second_part, &second))
		return false;
	*out_s += second;
	if (at_char(sc, '.'))
		return scan_fraction(sc, out_ns);
	return at_zone(sc) || fault(sc, "expected '.' or '+' or '-' or 'Z'", sc->at);
}

/*
 * What follows ±HH or ±HH:MM: a colon opens the next part, and any other character is swallowed.  A
 * character is one UTF-16 unit there, so nothing beyond the basic plane.
 */
static bool next_offset_part(struct scan *sc)
{
	bool colon = at_char(sc, ':');
	size_t len = ev_utf8_next(sc->s.p + sc->at, sc->s.n - sc->at);

	if (len < 4)
		sc->at += len;
	return colon;
}

static bool scan_offset(struct scan *sc, int64_t *out_s)
{
	static const struct part hour_part = { 0, 18, '\0', "illegal timezone offset hour", NULL };
	static const struct part minute_part = { 0, 59, '\0', "illegal timezone offset minute",
						 NULL };
	static const struct part second_part = { 0, 59, '\0', "illegal timezone offset second",
						 NULL };
	bool negative = at_char(sc, '-');
	unsigned hour, minute = 0, second = 0;

	*out_s = 0;
	if (at_char(sc, 'Z')) {
		sc->at++;
		return true;
	}
	sc->at++;
	if (!scan_part(sc, &hour_part, &hour))
		return false;
	if (next_offset_part(sc)) {
		if (!scan_part(sc, &minute_part, &minute))
			return false;
		if (next_offset_part(sc) && !scan_part(sc, &second_part, &second))
			return false;
	}
	*out_s = (hour * 60 + minute) * 60 + second;
	if (*out_s > MAX_OFFSET_SECONDS)
		return fault(sc, "illegal zone offset", sc->at);
	if (negative)
		*out_s = -*out_s;
	return true;
}

static bool scan_all(struct scan *sc, int64_t *out_ns)
{
	int64_t days, seconds, ns, offset, sum;

	if (!scan_date(sc, &days) || !scan_time(sc, &seconds, &ns) || !scan_offset(sc, &offset))
		return false;
	if (sc->at != sc->s.n)
		return fault(sc, offset_date_time, sc->at);
	/* Nine digits of year are far from overflowing seconds; nanoseconds are checked. */
	seconds += days * SECONDS_PER_DAY - offset;
	if (seconds < 0 && ns > 0) {
		/* From the side of zero, so that the earliest instants do not overflow halfway. */
		seconds++;
		ns -= EV_NS_PER_S;
	}
	if (__builtin_mul_overflow(seconds, EV_NS_PER_S, &sum) ||
	    __builtin_add_overflow(sum, ns, &sum))
		return fault(sc, "outside the years 1678 to 2261", 0);
	*out_ns = sum;
	return true;
}

ev_err ev_time_parse_at(struct ev_str s, int64_t *out_ns, const char **out_why, size_t *out_at)
{
	struct scan sc = { .s = s };

	if (scan_all(&sc, out_ns))
		return EV_OK;
	if (out_why != NULL)
		*out_why = sc.why;
	if (out_at != NULL)
		*out_at = sc.why_at;
	return EV_INVALID;
}

ev_err ev_time_parse(struct ev_str s, int64_t *out_ns, const char **out_why)
{
	return ev_time_parse_at(s, out_ns, out_why, NULL);
}
