/*
 * base/log.h — one line of log for one event, with typed fields.
 *
 *     ev_info(log, "outlet.refused", EV_KUUID("outlet", &id), EV_KTAG("tag", tag));
 *
 * Event names are stable: people search and alarm by them.  Ids, never pointers; tags always by
 * EV_KTAG, secrets never.  Lines are logfmt where somebody watches (the descriptor is a terminal),
 * JSON otherwise; time, level and event come first.  A line is one write(2) of at most 4 KiB, so
 * lines of several threads do not mix; what does not fit is left out and marked by `cut`.  All
 * functions may be called by any thread.
 */
#ifndef EV_BASE_LOG_H
#define EV_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

#define EV_LOG_LINE 4096 /* the newline included; PIPE_BUF, so also a pipe keeps lines whole */
#define EV_LOG_TEXT 1024 /* bytes of one text field; a longer one ends in an ellipsis */

enum ev_log_level { EV_LOG_ERROR, EV_LOG_WARN, EV_LOG_INFO, EV_LOG_DEBUG, EV_LOG_LEVEL_COUNT };

enum ev_log_format { EV_LOG_LOGFMT, EV_LOG_JSON };

struct ev_log {
	int fd;
	enum ev_log_format format;
	_Atomic unsigned level; /* enum ev_log_level; may be set at any time */
	struct ev_clock *clock;
	_Atomic uint64_t lost; /* lines that could not be written whole */
};

enum ev_kv_kind { EV_KV_END, EV_KV_STR, EV_KV_TAG, EV_KV_U64, EV_KV_I64, EV_KV_BOOL, EV_KV_UUID };

struct ev_kv {
	const char *key; /* [a-z_]+ */
	enum ev_kv_kind kind;
	union {
		struct ev_str str;
		uint64_t u64;
		int64_t i64;
		bool yes;
		const struct ev_uuid *uuid;
	} v;
};

#define EV_KSTR(k, s)                                                                              \
	{                                                                                          \
		.key = (k), .kind = EV_KV_STR, .v.str = (s)                                        \
	}
#define EV_KZ(k, z)                                                                                \
	{                                                                                          \
		.key = (k), .kind = EV_KV_STR, .v.str = ev_str_from(z)                             \
	}
#define EV_KU64(k, n)                                                                              \
	{                                                                                          \
		.key = (k), .kind = EV_KV_U64, .v.u64 = (n)                                        \
	}
#define EV_KI64(k, n)                                                                              \
	{                                                                                          \
		.key = (k), .kind = EV_KV_I64, .v.i64 = (n)                                        \
	}
#define EV_KBOOL(k, b)                                                                             \
	{                                                                                          \
		.key = (k), .kind = EV_KV_BOOL, .v.yes = (b)                                       \
	}
#define EV_KUUID(k, u)                                                                             \
	{                                                                                          \
		.key = (k), .kind = EV_KV_UUID, .v.uuid = (u)                                      \
	}
#define EV_KERR(k, e)                                                                              \
	{                                                                                          \
		.key = (k), .kind = EV_KV_STR, .v.str = ev_str_from(ev_err_text(e))                \
	}
/* An RFID tag: its first and last two characters; nothing of one shorter than eight. */
#define EV_KTAG(k, s)                                                                              \
	{                                                                                          \
		.key = (k), .kind = EV_KV_TAG, .v.str = (s)                                        \
	}

/* JSON unless fd is a terminal.  fd and clock outlive the log. */
void ev_log_init(struct ev_log *log, int fd, enum ev_log_level level, struct ev_clock *clock);
void ev_log_init_as(struct ev_log *log, int fd, enum ev_log_level level, struct ev_clock *clock,
		    enum ev_log_format format);

/* "error", "warn", "info" or "debug"; EV_INVALID otherwise. */
EV_NODISCARD ev_err ev_log_level_parse(struct ev_str s, enum ev_log_level *out);

/* fields end with kind EV_KV_END.  Called through the macros below.  log may be NULL: no line. */
void ev_log_write(struct ev_log *log, enum ev_log_level level, const char *event,
		  const struct ev_kv *fields);

#define ev_error(log, ...) EV_LOG_ENDED(log, EV_LOG_ERROR, __VA_ARGS__, { .kind = EV_KV_END })
#define ev_warn(log, ...) EV_LOG_ENDED(log, EV_LOG_WARN, __VA_ARGS__, { .kind = EV_KV_END })
#define ev_info(log, ...) EV_LOG_ENDED(log, EV_LOG_INFO, __VA_ARGS__, { .kind = EV_KV_END })
#define ev_debug(log, ...) EV_LOG_ENDED(log, EV_LOG_DEBUG, __VA_ARGS__, { .kind = EV_KV_END })

#define EV_LOG_ENDED(log, level, event, ...)                                                       \
	ev_log_write(log, level, event, (const struct ev_kv[]){ __VA_ARGS__ })

#endif
