/* service/effects.c — a queue in one piece of memory that grows and is reused. */
#include "service/effects.h"

#include <stdlib.h>
#include <string.h>

void effects_init(struct effects *e)
{
	*e = (struct effects){ .events = NULL };
}

void effects_deinit(struct effects *e)
{
	free(e->events);
	effects_init(e);
}

void effects_clear(struct effects *e)
{
	e->first = 0;
	e->n = 0;
}

ev_err effects_add(struct effects *e, const struct charging_event *events, size_t n)
{
	if (n == 0)
		return EV_OK;
	if (e->first + e->n + n > e->cap) {
		size_t cap = 2 * (e->first + e->n + n);
		struct charging_event *p = realloc(e->events, cap * sizeof(*p));

		if (p == NULL)
			return EV_NOMEM;
		e->events = p;
		e->cap = cap;
	}
	memcpy(&e->events[e->first + e->n], events, n * sizeof(*events));
	e->n += n;
	return EV_OK;
}

bool effects_take(struct effects *e, struct charging_event *out)
{
	if (e->n == 0)
		return false;
	*out = e->events[e->first];
	e->first++;
	e->n--;
	if (e->n == 0)
		e->first = 0;
	return true;
}
