/* test/fuzz/check.h — what a fuzz target says when a rule is broken. */
#ifndef EV_FUZZ_CHECK_H
#define EV_FUZZ_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Length of a text in cap bytes; cap if it does not end in there. */
static inline size_t text_len(const char *text, size_t cap)
{
	const char *end = memchr(text, '\0', cap);

	return end != NULL ? (size_t)(end - text) : cap;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
