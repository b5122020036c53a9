#include "base/arena.h"

#include <stdlib.h>

ev_err ev_arena_new(size_t cap, struct ev_arena **out)
{
	struct ev_arena *a = malloc(sizeof(*a));
	void *block = malloc(cap);

	if (a == NULL || block == NULL) {
		free(a);
		free(block);
		return EV_NOMEM;
	}
	ev_arena_init(a, block, cap);
	*out = a;
	return EV_OK;
}

void ev_arena_free(struct ev_arena *a)
{
	void *block;

	if (a == NULL)
		return;
	block = a->block;
	ev_arena_deinit(a);
	free(block);
	free(a);
}
