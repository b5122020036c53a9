#include "cli/nearest.h"

#include <stdint.h>

static size_t min2(size_t a, size_t b)
{
	return a < b ? a : b;
}

static struct ev_str beginning(struct ev_str s)
{
	return (struct ev_str){ s.p, min2(s.n, NEAREST_WORD_MAX) };
}

size_t edit_distance(struct ev_str a, struct ev_str b)
{
	size_t rows[3][NEAREST_WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	a = beginning(a);
	b = beginning(b);
	for (size_t j = 0; j <= b.n; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);

			row[j] = min2(change, min2(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				row[j] = min2(row[j], before[j - 2] + 1);
		}
		size_t *spare = before;

		before = last;
		last = row;
		row = spare;
	}
	return last[b.n];
}

const char *nearest_word(struct ev_str word, nearest_word_fn *words, const void *user)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;
	const char *known;

	for (size_t i = 0; (known = words(user, i)) != NULL; i++) {
		size_t distance = edit_distance(word, ev_str_from(known));

		if (distance < best_distance && distance * 3 <= strlen(known) + 2) {
			best_distance = distance;
			best = known;
		}
	}
	return best;
}
