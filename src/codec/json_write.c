/* codec/json_write.c — see json_write.h. */
#include "codec/json_write.h"

#include <string.h>

#include "base/num.h"
#include "base/time.h"

static inline void separate(struct json_writer *w)
{
	if (w->comma)
		ev_buf_char(w->b, ',');
	w->comma = true;
}

static void open_with(struct json_writer *w, char c)
{
	separate(w);
	ev_buf_char(w->b, c);
	w->comma = false;
}

static void close_with(struct json_writer *w, char c)
{
	ev_buf_char(w->b, c);
	w->comma = true;
}

void json_write_object(struct json_writer *w)
{
	open_with(w, '{');
}

void json_write_object_end(struct json_writer *w)
{
	close_with(w, '}');
}

void json_write_array(struct json_writer *w)
{
	open_with(w, '[');
}

void json_write_array_end(struct json_writer *w)
{
	close_with(w, ']');
}

void json_write_key_n(struct json_writer *w, const char *quoted, size_t n)
{
	separate(w);
	ev_buf_bytes(w->b, quoted, n);
	w->comma = false;
}

static void escape(struct ev_buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = { ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
					['\t'] = 't', ['"'] = '"',  ['\\'] = '\\' };

	if (c < sizeof(letters) && letters[c] != '\0') {
		const char two[2] = { '\\', letters[c] };

		ev_buf_bytes(b, two, sizeof(two));
	} else {
		const char six[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		ev_buf_bytes(b, six, sizeof(six));
	}
}

void json_write_string(struct json_writer *w, struct ev_str s)
{
	size_t from = 0;

	separate(w);
	ev_buf_char(w->b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		ev_buf_bytes(w->b, s.p + from, i - from);
		escape(w->b, c);
		from = i + 1;
	}
	if (from < s.n)
		ev_buf_bytes(w->b, s.p + from, s.n - from);
	ev_buf_char(w->b, '"');
}

void json_write_z(struct json_writer *w, const char *z)
{
	json_write_string(w, ev_str_from(z));
}

void json_write_null(struct json_writer *w)
{
	json_write_raw(w, EV_LIT("null"));
}

void json_write_bool(struct json_writer *w, bool v)
{
	json_write_raw(w, v ? EV_LIT("true") : EV_LIT("false"));
}

void json_write_u64(struct json_writer *w, uint64_t v)
{
	separate(w);
	ev_buf_u64(w->b, v);
}

void json_write_i64(struct json_writer *w, int64_t v)
{
	separate(w);
	ev_buf_i64(w->b, v);
}

void json_write_double(struct json_writer *w, double v)
{
	separate(w);
	/* Nearly all are whole mWh, whose text needs no search for the shortest digits. */
	if (v > 0 && v < 1e7) {
		int64_t mwh = (int64_t)(v * 1e6 + 0.5);
		double same = num_kwh_from_mwh(mwh);

		if (memcmp(&same, &v, sizeof(v)) == 0) {
			num_write_mwh(w->b, mwh);
			return;
		}
	}
	num_write_double(w->b, v);
}

void json_write_uuid(struct json_writer *w, const struct ev_uuid *u)
{
	char text[1 + EV_UUID_TEXT + 1];

	separate(w);
	text[0] = '"';
	ev_uuid_text(u, text + 1);
	text[1 + EV_UUID_TEXT] = '"'; /* over the NUL */
	ev_buf_bytes(w->b, text, sizeof(text));
}

void json_write_time(struct json_writer *w, int64_t ns)
{
	separate(w);
	ev_buf_char(w->b, '"');
	ev_time_write(w->b, ns);
	ev_buf_char(w->b, '"');
}

void json_write_kwh(struct json_writer *w, int64_t mwh)
{
	separate(w);
	num_write_mwh(w->b, mwh);
}

void json_write_hex(struct json_writer *w, const uint8_t *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	separate(w);
	ev_buf_char(w->b, '"');
	for (size_t i = 0; i < n; i++) {
		const char two[2] = { hex[p[i] >> 4], hex[p[i] & 15] };

		ev_buf_bytes(w->b, two, sizeof(two));
	}
	ev_buf_char(w->b, '"');
}

void json_write_raw(struct json_writer *w, struct ev_str json)
{
	separate(w);
	ev_buf_str_add(w->b, json);
}
