/*
 * The readers of base/: whatever the bytes are, they answer, and what they accept comes back from
 * the writers as the same value.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/time.h"
#include "base/uuid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_time(struct ev_str s)
{
	char text[EV_TIME_TEXT];
	const char *why = NULL;
	int64_t ns, back;

	if (ev_time_parse(s, &ns, &why) != EV_OK) {
		assert(why != NULL);
		return;
	}
	ev_time_text(ns, text);
	assert(ev_time_parse(ev_str_from(text), &back, NULL) == EV_OK && back == ns);
}

static void check_double(struct ev_str s)
{
	char text[64];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	double v, back;
	int64_t mwh;

	if (num_parse_double(s, &v) != EV_OK)
		return;
	num_write_double(&b, v);
	assert(!b.overflow);
	if (text[0] == '"') /* infinite */
		return;
	assert(num_parse_double(ev_buf_str(&b), &back) == EV_OK);
	assert(memcmp(&back, &v, sizeof(v)) == 0);
	if (num_mwh_from_kwh(v, INT64_C(100000000000), &mwh) == EV_OK)
		assert(mwh >= 0 && mwh <= INT64_C(100000000000));
}

static void check_integer(struct ev_str s)
{
	char text[24];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	int64_t v, back;

	if (num_parse_i64(s, &v) != EV_OK)
		return;
	ev_buf_i64(&b, v);
	assert(num_parse_i64(ev_buf_str(&b), &back) == EV_OK && back == v);
}

static void check_uuid(struct ev_str s)
{
	char text[EV_UUID_TEXT + 1];
	struct ev_uuid u;

	if (ev_uuid_parse(s, &u) != EV_OK)
		return;
	ev_uuid_text(&u, text);
	assert(ev_str_eq_nocase(s, ev_str_from(text)));
}

static void check_utf8(struct ev_str s)
{
	size_t at = 0, len = 1;

	while (at < s.n && len > 0) {
		len = ev_utf8_next(s.p + at, s.n - at);
		assert(len <= 4 && len <= s.n - at);
		at += len;
	}
	assert(ev_utf8_valid(s.p, s.n) == (at == s.n && len > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str s = { (const char *)data, size };

	check_time(s);
	check_double(s);
	check_integer(s);
	check_uuid(s);
	check_utf8(s);
	return 0;
}
