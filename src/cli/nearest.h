/* cli/nearest.h — "did you mean": the known word nearest to a mistyped one. */
#ifndef EV_CLI_NEAREST_H
#define EV_CLI_NEAREST_H

#include <stddef.h>

#include "base/str.h"

#define NEAREST_WORD_MAX 64 /* longer words are compared by their beginnings */

/* Insertions, deletions, changes and swaps of neighbours that turn a into b. */
size_t edit_distance(struct ev_str a, struct ev_str b);

/* Asked for the words one after the other; NULL ends them. */
typedef const char *nearest_word_fn(const void *user, size_t i);

/* The nearest word, the first of equals; NULL if none is near (a third of its letters differ). */
const char *nearest_word(struct ev_str word, nearest_word_fn *words, const void *user);

#endif
