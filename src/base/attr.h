/* base/attr.h — compiler attributes under our own names (gcc 12, clang 14). */
#ifndef EV_BASE_ATTR_H
#define EV_BASE_ATTR_H

#define EV_NODISCARD __attribute__((warn_unused_result))
#define EV_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define EV_CLEANUP(fn) __attribute__((cleanup(fn)))
#define EV_NORETURN __attribute__((noreturn))
#define EV_UNUSED __attribute__((unused))

#define EV_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
