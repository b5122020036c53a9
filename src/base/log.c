#include "base/log.h"

#include <errno.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/time.h"

#define ELLIPSIS "\xE2\x80\xA6"
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD, for a byte that is no UTF-8 */
#define CUT_ROOM 16                /* for the mark, the brace and the newline */

static const char *const level_names[EV_LOG_LEVEL_COUNT] = {
	[EV_LOG_ERROR] = "error",
	[EV_LOG_WARN] = "warn",
	[EV_LOG_INFO] = "info",
	[EV_LOG_DEBUG] = "debug",
};

void ev_log_init_as(struct ev_log *log, int fd, enum ev_log_level level, struct ev_clock *clock,
		    enum ev_log_format format)
{
	log->fd = fd;
	log->format = format;
	log->clock = clock;
	atomic_init(&log->level, level);
	atomic_init(&log->lost, 0);
}

void ev_log_init(struct ev_log *log, int fd, enum ev_log_level level, struct ev_clock *clock)
{
	ev_log_init_as(log, fd, level, clock, isatty(fd) == 1 ? EV_LOG_LOGFMT : EV_LOG_JSON);
}

ev_err ev_log_level_parse(struct ev_str s, enum ev_log_level *out)
{
	for (unsigned i = 0; i < EV_LOG_LEVEL_COUNT; i++) {
		if (ev_str_eqz(s, level_names[i])) {
			*out = (enum ev_log_level)i;
			return EV_OK;
		}
	}
	return EV_INVALID;
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7F;
}

/* Both formats quote alike: what would end the text, control characters, bytes that are no text. */
static void write_escaped(struct ev_buf *b, struct ev_str s)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t at = 0; at < s.n;) {
		unsigned char c = (unsigned char)s.p[at];
		size_t len = ev_utf8_next(s.p + at, s.n - at);

		if (len == 0) {
			ev_buf_z(b, REPLACEMENT);
			len = 1;
		} else if (c == '"' || c == '\\') {
			ev_buf_char(b, '\\');
			ev_buf_char(b, (char)c);
		} else if (is_control(c)) {
			ev_buf_z(b, "\\u00");
			ev_buf_char(b, hex[c >> 4]);
			ev_buf_char(b, hex[c & 15]);
		} else {
			ev_buf_bytes(b, s.p + at, len);
		}
		at += len;
	}
}

/* The longest start of s within max bytes that cuts no character in half. */
static struct ev_str cut_text(struct ev_str s, size_t max)
{
	if (s.n <= max)
		return s;
	s.n = max;
	while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xC0) == 0x80)
		s.n--;
	return s;
}

static bool needs_quotes(struct ev_str s)
{
	for (size_t at = 0; at < s.n;) {
		unsigned char c = (unsigned char)s.p[at];
		size_t len = ev_utf8_next(s.p + at, s.n - at);

		if (len == 0 || c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7F)
			return true;
		at += len;
	}
	return s.n == 0 || s.n > EV_LOG_TEXT;
}

static void write_text(struct ev_buf *b, enum ev_log_format format, struct ev_str s)
{
	struct ev_str shown = cut_text(s, EV_LOG_TEXT);

	if (format == EV_LOG_LOGFMT && !needs_quotes(s)) {
		ev_buf_str_add(b, s);
		return;
	}
	ev_buf_char(b, '"');
	write_escaped(b, shown);
	if (shown.n < s.n)
		ev_buf_z(b, ELLIPSIS);
	ev_buf_char(b, '"');
}

/* Bytes of the first n characters of s; what is no UTF-8 counts a character a byte. */
static size_t characters(struct ev_str s, size_t n)
{
	size_t at = 0;

	while (n-- > 0 && at < s.n) {
		size_t len = ev_utf8_next(s.p + at, s.n - at);

		at += len > 0 ? len : 1;
	}
	return at;
}

static size_t count_characters(struct ev_str s)
{
	size_t n = 0;

	for (size_t at = 0; at < s.n; n++)
		at += characters((struct ev_str){ s.p + at, s.n - at }, 1);
	return n;
}

static void write_tag(struct ev_buf *b, enum ev_log_format format, struct ev_str tag)
{
	char text[16 + sizeof(ELLIPSIS)]; /* four characters of four bytes */
	struct ev_buf t = ev_buf_over(text, sizeof(text));
	size_t n = count_characters(tag);

	if (n >= 8) {
		size_t tail = characters(tag, n - 2);

		ev_buf_bytes(&t, tag.p, characters(tag, 2));
		ev_buf_z(&t, ELLIPSIS);
		ev_buf_bytes(&t, tag.p + tail, tag.n - tail);
	} else if (n > 0) {
		ev_buf_z(&t, ELLIPSIS);
	}
	write_text(b, format, ev_buf_str(&t));
}

static void write_value(struct ev_buf *b, enum ev_log_format format, const struct ev_kv *f)
{
	char uuid[EV_UUID_TEXT + 1];

	switch (f->kind) {
	case EV_KV_END:
		break;
	case EV_KV_STR:
		write_text(b, format, f->v.str);
		break;
	case EV_KV_TAG:
		write_tag(b, format, f->v.str);
		break;
	case EV_KV_U64:
		ev_buf_u64(b, f->v.u64);
		break;
	case EV_KV_I64:
		ev_buf_i64(b, f->v.i64);
		break;
	case EV_KV_BOOL:
		ev_buf_z(b, f->v.yes ? "true" : "false");
		break;
	case EV_KV_UUID:
		ev_uuid_text(f->v.uuid, uuid);
		write_text(b, format, ev_str_from(uuid));
		break;
	}
}

/* All of a field or nothing of it, so that a line is valid wherever it had to end. */
static void write_field(struct ev_buf *b, enum ev_log_format format, const struct ev_kv *f)
{
	size_t start = b->len;

	if (format == EV_LOG_JSON) {
		ev_buf_z(b, start == 0 ? "{\"" : ",\"");
		ev_buf_z(b, f->key);
		ev_buf_z(b, "\":");
	} else {
		ev_buf_z(b, start == 0 ? "" : " ");
		ev_buf_z(b, f->key);
		ev_buf_char(b, '=');
	}
	write_value(b, format, f);
	if (b->overflow)
		b->len = start;
}

static void write_line(const struct ev_log *log, struct ev_buf *b, enum ev_log_level level,
		       const char *event, const struct ev_kv *fields)
{
	char time[EV_TIME_TEXT];
	bool json = log->format == EV_LOG_JSON;
	size_t cap = b->cap;

	ev_time_text(ev_clock_wall_ns(log->clock), time);
	const struct ev_kv head[] = {
		EV_KZ("time", time),
		EV_KZ("level", level_names[level]),
		EV_KZ("event", event),
	};

	b->cap -= CUT_ROOM;
	for (size_t i = 0; i < EV_ARRAY_LEN(head); i++)
		write_field(b, log->format, &head[i]);
	for (; fields->kind != EV_KV_END && !b->overflow; fields++)
		write_field(b, log->format, fields);
	b->cap = cap;
	if (b->overflow) {
		b->overflow = false;
		ev_buf_z(b, json ? ",\"cut\":true" : " cut=true");
	}
	ev_buf_z(b, json ? "}\n" : "\n");
}

void ev_log_write(struct ev_log *log, enum ev_log_level level, const char *event,
		  const struct ev_kv *fields)
{
	char line[EV_LOG_LINE];
	struct ev_buf b = ev_buf_over(line, sizeof(line));
	int saved = errno; /* callers log between a failed call and its errno */
	ssize_t n;

	if (log == NULL || level > atomic_load(&log->level))
		return;
	write_line(log, &b, level, event, fields);
	do {
		n = write(log->fd, b.p, b.len);
	} while (n < 0 && errno == EINTR);
	if (n < 0 || (size_t)n != b.len)
		atomic_fetch_add(&log->lost, 1);
	errno = saved;
}
