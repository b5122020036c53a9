/*
 * base/err.h — the one error type of the project.
 *
 * Fallible functions return ev_err; results travel through out_ pointers and are untouched on
 * failure.  Foreign codes (errno, SQLite, OpenSSL, HTTP) are mapped once, at the adapter's edge.
 * A refused business input is a value (enum verdict), not an error.
 */
#ifndef EV_BASE_ERR_H
#define EV_BASE_ERR_H

#include "base/attr.h"

#define EV_ERR_LIST(X)                                                                             \
	X(EV_OK, "ok")                                                                             \
	X(EV_NOMEM, "out of memory")                                                               \
	X(EV_INVALID, "invalid")                                                                   \
	X(EV_NOTFOUND, "not found")                                                                \
	X(EV_EXISTS, "exists already")                                                             \
	X(EV_CONFLICT, "changed meanwhile")                                                        \
	X(EV_BUSY, "busy")                                                                         \
	X(EV_TIMEOUT, "timed out")                                                                 \
	X(EV_DENIED, "denied")                                                                     \
	X(EV_IO, "input/output error")                                                             \
	X(EV_FULL, "full")                                                                         \
	X(EV_CORRUPT, "corrupt")                                                                   \
	X(EV_UNSUPPORTED, "not supported")                                                         \
	X(EV_CLOSED, "closed")

#define EV_ERR_ENUM(code, text) code,
typedef enum ev_err { EV_ERR_LIST(EV_ERR_ENUM) EV_ERR_COUNT } ev_err;
#undef EV_ERR_ENUM

/* Detail for people, filled by adapters and the configuration; the caller that decides logs it. */
struct ev_fail {
	ev_err code;
	int sys;        /* errno or the foreign library's code, 0 if none */
	char text[200]; /* NUL-terminated, cut if longer */
};

/* A short constant text of the code, never NULL. */
const char *ev_err_text(ev_err e);

/* Fills *fail (if not NULL) and returns code, so that a function can `return ev_fail_set(…)`. */
ev_err ev_fail_set(struct ev_fail *fail, ev_err code, int sys, const char *fmt, ...)
	EV_PRINTF(4, 5);

#endif
