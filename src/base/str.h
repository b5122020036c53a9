/* base/str.h — borrowed text: a pointer and a length, not NUL-terminated, never owned. */
#ifndef EV_BASE_STR_H
#define EV_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct ev_str {
	const char *p; /* may be NULL when n is 0 */
	size_t n;      /* bytes */
};

#define EV_LIT(text) ((struct ev_str){ (text), sizeof(text) - 1 })

static inline struct ev_str ev_str_from(const char *z)
{
	return (struct ev_str){ z, strlen(z) };
}

static inline bool ev_str_eq(struct ev_str a, struct ev_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool ev_str_eqz(struct ev_str a, const char *z)
{
	return ev_str_eq(a, ev_str_from(z));
}

/* ASCII letters without case, all other bytes as they are. */
bool ev_str_eq_nocase(struct ev_str a, struct ev_str b);

bool ev_str_starts(struct ev_str s, struct ev_str prefix);

/* RFC 3629: shortest forms only, no surrogates, nothing above U+10FFFF. */
bool ev_utf8_valid(const char *p, size_t n);

/* Bytes of the valid sequence at p, 1 to 4; 0 when there is none within n bytes. */
size_t ev_utf8_next(const char *p, size_t n);

#endif
