#include "engine/aws/skew.h"

#include "base/attr.h"

#define SIZE 29 /* bytes of the one form */

static bool two_digits(struct ev_str s, size_t at, unsigned max, unsigned *out)
{
	char a = s.p[at], b = s.p[at + 1];

	if (a < '0' || a > '9' || b < '0' || b > '9')
		return false;
	*out = (unsigned)(a - '0') * 10 + (unsigned)(b - '0');
	return *out <= max;
}

static bool month(struct ev_str s, unsigned *out)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (unsigned m = 0; m < 12; m++) {
		if (memcmp(s.p, names + (size_t)3 * m, 3) == 0) {
			*out = m + 1;
			return true;
		}
	}
	return false;
}

ev_err aws_http_date_parse(struct ev_str s, int64_t *out_ns)
{
	unsigned day, mon, century, year, h, m, sec;
	int64_t y;

	if (s.n != SIZE || memcmp(s.p + 3, ", ", 2) != 0 || s.p[7] != ' ' || s.p[11] != ' ' ||
	    s.p[16] != ' ' || s.p[19] != ':' || s.p[22] != ':' || memcmp(s.p + 25, " GMT", 4) != 0)
		return EV_INVALID;
	if (!two_digits(s, 5, 31, &day) || !month((struct ev_str){ s.p + 8, 3 }, &mon) ||
	    !two_digits(s, 12, 99, &century) || !two_digits(s, 14, 99, &year) ||
	    !two_digits(s, 17, 23, &h) || !two_digits(s, 20, 59, &m) ||
	    !two_digits(s, 23, 60, &sec))
		return EV_INVALID;
	y = (int64_t)century * 100 + year;
	if (y < 1970 || y > 2261 || day == 0 || day > ev_time_days_in_month(y, mon))
		return EV_INVALID;
	*out_ns = (ev_time_days(y, mon, day) * 86400 + h * 3600 + m * 60 + sec) * EV_NS_PER_S;
	return EV_OK;
}

bool aws_skew_correct(struct ev_str date, int64_t now_ns, int64_t *offset_ns)
{
	int64_t theirs, off;

	if (aws_http_date_parse(date, &theirs) != EV_OK)
		return false;
	off = theirs - (now_ns + *offset_ns);
	if (off < AWS_SKEW_MIN_NS && off > -AWS_SKEW_MIN_NS)
		return false;
	*offset_ns = theirs - now_ns;
	return true;
}
