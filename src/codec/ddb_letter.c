/* codec/ddb_letter.c — see ddb_letter.h. */
#include "codec/ddb_letter.h"

#include <assert.h>
#include <string.h>

#include "base/base64.h"
#include "base/num.h"
#include "base/time.h"
#include "codec/json_field.h"
#include "codec/json_read.h"
#include "codec/json_write.h"

/* ---- Scala's text of an event ---- */

static void add_uuid(struct ev_buf *b, const struct ev_uuid *u)
{
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(u, text);
	ev_buf_z(b, text);
}

/* Java leaves seconds out when they are zero, and prints a fraction in groups of three digits. */
static void add_time(struct ev_buf *b, int64_t ns)
{
	char text[EV_TIME_TEXT];
	struct ev_str s;

	ev_time_text(ns, text);
	s = (struct ev_str){ text, strlen(text) - 1 }; /* without Z */
	const char *point = memchr(s.p, '.', s.n);

	if (point == NULL && memcmp(s.p + s.n - 3, ":00", 3) == 0)
		s.n -= 3;
	ev_buf_str_add(b, s);
	for (size_t n = point == NULL ? 0 : s.n - (size_t)(point - s.p) - 1; n % 3 != 0; n++)
		ev_buf_char(b, '0');
	ev_buf_char(b, 'Z');
}

void letter_event_text(const struct charging_event *e, struct ev_buf *b)
{
	ev_buf_z(b, "ChargingEvent(");
	ev_buf_z(b, initiator_text(e->initiator));
	ev_buf_char(b, ',');
	add_uuid(b, &e->outlet_id);
	ev_buf_char(b, ',');
	ev_buf_z(b, outlet_state_text(e->state));
	ev_buf_z(b, ",EventSession(");
	if (e->has_session) {
		ev_buf_z(b, "Some(");
		add_uuid(b, &e->session_id);
		ev_buf_z(b, "),");
	} else {
		ev_buf_z(b, "None,");
	}
	ev_buf_str_add(b, rfid_tag_str(&e->tag));
	ev_buf_char(b, ',');
	add_time(b, e->period_start_ns);
	if (e->has_period_end) {
		ev_buf_z(b, ",Some(");
		add_time(b, e->period_end_ns);
		ev_buf_z(b, "),");
	} else {
		ev_buf_z(b, ",None,");
	}
	num_write_mwh(b, e->energy_mwh);
	ev_buf_z(b, "))");
}

/* ---- writing ---- */

/* At most max bytes, not cutting a character in two. */
static struct ev_str cut(struct ev_str s, size_t max)
{
	if (s.n <= max)
		return s;
	s.n = max;
	while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
		s.n--;
	return s;
}

/* The name of a reason as it stands in core/types.h: its text is for people and may change. */
#define REASON_NAME(name, text) [REASON_##name] = #name,
static const char *const reason_names[REASON_COUNT] = { REASON_LIST(REASON_NAME) };
#undef REASON_NAME

const char *letter_reason_name(enum reason r)
{
	assert((unsigned)r < REASON_COUNT);
	return reason_names[r];
}

static void write_data(const struct letter *l, struct json_writer *w)
{
	char text[LETTER_DATA_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	if (l->event != NULL)
		letter_event_text(l->event, &b);
	assert(!b.overflow);
	json_write_string(w, ev_buf_str(&b));
}

void letter_write(const struct letter *l, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	assert(l->bytes.n <= LETTER_BYTES_MAX);
	json_write_object(&w);
	json_write_key(&w, "partitionKey");
	json_write_string(&w, cut(l->partition_key, LETTER_KEY_MAX));
	json_write_key(&w, "data");
	write_data(l, &w);
	json_write_key(&w, "error");
	json_write_string(&w, cut(l->error, LETTER_ERROR_MAX));
	json_write_key(&w, "stackTrace");
	json_write_string(&w, EV_LIT(""));
	json_write_key(&w, "bytes");
	json_write_raw(&w, EV_LIT("\""));
	ev_base64_write(b, l->bytes.p, l->bytes.n);
	ev_buf_char(b, '"');
	json_write_key(&w, "reason");
	json_write_z(&w, letter_reason_name(l->reason));
	json_write_key(&w, "at");
	json_write_time(&w, l->at_ns);
	json_write_key(&w, "identity");
	json_write_hex(&w, l->id.b, sizeof(l->id.b));
	json_write_object_end(&w);
}

/* ---- reading ---- */

enum field {
	F_PARTITION_KEY,
	F_DATA,
	F_ERROR,
	F_STACK_TRACE,
	F_BYTES,
	F_REASON,
	F_AT,
	F_IDENTITY,
	F_COUNT
};
#define F_ALL_OF_THEIRS ((1U << (F_STACK_TRACE + 1)) - 1)
#define F_ALL ((1U << F_COUNT) - 1)

static const char *const names[F_COUNT] = {
	[F_PARTITION_KEY] = "partitionKey",
	[F_DATA] = "data",
	[F_ERROR] = "error",
	[F_STACK_TRACE] = "stackTrace",
	[F_BYTES] = "bytes",
	[F_REASON] = "reason",
	[F_AT] = "at",
	[F_IDENTITY] = "identity",
};

/* Cuts a text that is too long at a character; out is zero before. */
static void keep_text(const struct json_span *s, char *out, size_t cap)
{
	size_t max = cap - 1;
	size_t at = max;

	if (json_unescape(s, out, max) <= max)
		return;
	do {
		at--;
	} while (at > 0 && ((unsigned char)out[at] & 0xc0) == 0x80);
	if (ev_utf8_next(out + at, max - at) == 0)
		memset(out + at, 0, max - at);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static ev_err read_identity(const struct json_span *s, struct identity *out)
{
	if (s->raw.n != 2 * sizeof(out->b))
		return EV_INVALID;
	for (size_t i = 0; i < sizeof(out->b); i++) {
		int high = hex_value(s->raw.p[2 * i]), low = hex_value(s->raw.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return EV_INVALID;
		out->b[i] = (uint8_t)(high << 4 | low);
	}
	return EV_OK;
}

enum reason letter_reason_parse(struct ev_str s)
{
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		if (ev_str_eqz(s, reason_names[i]))
			return (enum reason)i;
	}
	return REASON_UNDECODABLE;
}

static ev_err read_bytes(const struct json_span *s, char *room, struct ev_str *out)
{
	size_t n;

	if (ev_base64_read(s->raw, (uint8_t *)room, LETTER_BYTES_MAX, &n) != EV_OK)
		return EV_INVALID;
	*out = (struct ev_str){ room, n };
	return EV_OK;
}

static ev_err read_field(struct letter_read *l, enum field f, const struct json_span *s, char *room)
{
	switch (f) {
	case F_PARTITION_KEY:
		keep_text(s, l->partition_key, sizeof(l->partition_key));
		break;
	case F_DATA:
		keep_text(s, l->data, sizeof(l->data));
		break;
	case F_ERROR:
		keep_text(s, l->error, sizeof(l->error));
		break;
	case F_BYTES:
		return read_bytes(s, room, &l->bytes);
	case F_REASON:
		l->reason = letter_reason_parse(s->raw);
		break;
	case F_AT:
		return ev_time_parse(s->raw, &l->at_ns, NULL);
	case F_IDENTITY:
		return read_identity(s, &l->id);
	case F_STACK_TRACE:
	case F_COUNT:
		break;
	}
	return EV_OK;
}

static enum field field_of(struct ev_str key)
{
	unsigned f = 0;

	while (f < F_COUNT && !ev_str_eqz(key, names[f]))
		f++;
	return (enum field)f;
}

static ev_err read_member(struct json_reader *r, struct ev_str key, struct letter_read *l,
			  unsigned *seen, char *room)
{
	enum field f = field_of(key);
	struct json_span s;

	if (f == F_COUNT)
		return json_skip(r, NULL);
	if ((*seen & 1U << f) != 0 || json_read_string(r, &s) != EV_OK)
		return EV_INVALID;
	*seen |= 1U << f;
	return read_field(l, f, &s, room);
}

ev_err letter_parse(struct ev_str json, struct letter_read *out, char *room)
{
	struct letter_read l;
	struct json_reader r;
	unsigned seen = 0;
	bool more = true;
	ev_err e;

	memset(&l, 0, sizeof(l));
	json_read_init(&r, json, NULL);
	e = json_read_object(&r);
	while (e == EV_OK) {
		struct json_span key;

		e = json_read_key(&r, &more, &key);
		if (e != EV_OK || !more)
			break;
		e = read_member(&r, key.raw, &l, &seen, room);
	}
	if (e != EV_OK || json_read_end(&r) != EV_OK || (seen & F_ALL_OF_THEIRS) != F_ALL_OF_THEIRS)
		return EV_INVALID;
	l.ours = seen == F_ALL;
	if (!l.ours)
		l.bytes = EV_LIT("");
	*out = l;
	return EV_OK;
}
