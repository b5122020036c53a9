/*
 * Device messages: what is accepted re-encodes to a fixed point, and is JSON to json-c too, with
 * the same values; but for the original's own number forms, which no other reader takes: any
 * white space in the string of a quoted number is one of them.
 */
#include <json-c/json.h>
#include <math.h>

#include "check.h"
#include "codec/device_json.h"

static bool contains(struct ev_str s, const char *z)
{
	size_t n = strlen(z);

	for (size_t i = 0; i + n <= s.n; i++) {
		if (memcmp(s.p + i, z, n) == 0)
			return true;
	}
	return false;
}

static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* RFC 8259 section 6. */
static bool is_plain_number(const char *p, const char *end)
{
	const char *from;

	p += *p == '-';
	from = p;
	p = skip_digits(p, end);
	if (p == from || (*from == '0' && p - from > 1))
		return false;
	if (p < end && *p == '.') {
		from = ++p;
		p = skip_digits(p, end);
		if (p == from)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		from = p;
		p = skip_digits(p, end);
		if (p == from)
			return false;
	}
	return p == end;
}

static bool is_number_byte(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E' ||
	       c == 'I';
}

/* Every number outside of the strings of a JSON text is of the standard's form. */
static bool numbers_are_plain(struct ev_str s)
{
	const char *p = s.p, *end = s.p + s.n;

	while (p < end) {
		const char *from = p;

		if (*p == '"') {
			for (p++; *p != '"'; p++)
				p += *p == '\\';
			p++;
			continue;
		}
		if (*p != '-' && !(*p >= '0' && *p <= '9')) {
			p++;
			continue;
		}
		while (p < end && is_number_byte(*p))
			p++;
		if (!is_plain_number(from, p))
			return false;
	}
	return true;
}

static void compare(struct json_object *o, const struct device_wire *w)
{
	struct json_object *tag = NULL, *power = NULL;

	CHECK(json_object_object_get_ex(o, "rfidTag", &tag));
	CHECK(json_object_object_get_ex(o, "powerConsumption", &power));
	CHECK((size_t)json_object_get_string_len(tag) == w->m.tag.n);
	CHECK(memcmp(json_object_get_string(tag), w->m.tag.s, w->m.tag.n) == 0);
	if (json_object_is_type(power, json_type_double) && isfinite(w->power_kwh)) {
		double v = json_object_get_double(power);

		CHECK(memcmp(&v, &w->power_kwh, sizeof(v)) == 0);
	}
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A quote, white space with a control character in it, and what numbers begin with. */
static bool has_spaced_number(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		size_t at = i + 1;
		bool control = false;

		for (; s.p[i] == '"' && at < s.n && is_space(s.p[at]); at++)
			control = control || s.p[at] != ' ';
		if (control && at < s.n && (s.p[at] == '-' || (s.p[at] >= '0' && s.p[at] <= '9')))
			return true;
	}
	return false;
}

static void ask_the_oracle(struct ev_str in, const struct device_wire *w)
{
	struct json_tokener *t;
	struct json_object *o;
	struct json_reader r;
	struct ev_str raw;

	json_read_init(&r, in, NULL);
	if (json_skip(&r, &raw) != EV_OK) {
		/* Numbers to the original (-Infinity is one), but not JSON. */
		CHECK(isinf(w->power_kwh) || has_spaced_number(in));
		return;
	}
	/* Half surrogate pairs and NULs in keys come out differently there. */
	if (!numbers_are_plain(raw) || contains(raw, "\\u0000") || contains(raw, "\\ud") ||
	    contains(raw, "\\uD"))
		return;
	t = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, raw.p, (int)raw.n);
	CHECK(o != NULL && json_tokener_get_error(t) == json_tokener_success);
	compare(o, w);
	json_object_put(o);
	json_tokener_free(t);
}

static void check_fixpoint(const struct device_wire *w)
{
	char first[DEVICE_JSON_MAX], second[DEVICE_JSON_MAX];
	struct ev_buf a = ev_buf_over(first, sizeof(first));
	struct ev_buf b = ev_buf_over(second, sizeof(second));
	struct device_wire again;
	struct device_message m;
	enum reason why = REASON_NONE;

	device_wire_encode(w, &a);
	CHECK(!a.overflow);
	if (isinf(w->power_kwh))
		return; /* "Infinity" is what the original prints and does not read */
	CHECK(device_json_decode(ev_buf_str(&a), &again, NULL) == EV_OK);
	device_wire_encode(&again, &b);
	CHECK(ev_str_eq(ev_buf_str(&a), ev_buf_str(&b)));
	if (device_wire_check(w, &m, &why) == EV_OK)
		CHECK(m.energy_mwh >= 0 && m.energy_mwh <= MESSAGE_ENERGY_MAX_MWH);
	else
		CHECK(why == REASON_ENERGY_RANGE);
	b = ev_buf_over(second, sizeof(second));
	device_canonical(w, &b);
	CHECK(!b.overflow && b.len <= a.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	struct json_error error = { .text = "" };
	struct device_wire w;

	if (device_json_decode(in, &w, &error) != EV_OK) {
		size_t n = text_len(error.text, sizeof(error.text));

		CHECK(n > 0 && n < sizeof(error.text) && ev_utf8_valid(error.text, n));
		CHECK(error.at <= size);
		CHECK(device_json_decode(in, &w, NULL) == EV_INVALID);
		return 0;
	}
	check_fixpoint(&w);
	ask_the_oracle(in, &w);
	return 0;
}
