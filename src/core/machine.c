/* core/machine.c — the state tables, one row per state, total over the enum. */
#include "core/machine.h"

#include <assert.h>
#include <string.h>

#define TO(s) (1U << OUTLET_##s)

/* vectors/state_machine.json, allowedTransitions; the two denials are dead ends. */
static const uint32_t outlet_allowed[] = {
	[OUTLET_AVAILABLE] = TO(CABLE_PLUGGED),
	[OUTLET_CABLE_PLUGGED] = TO(AVAILABLE) | TO(DEVICE_REQUESTS_CHARGING) |
				 TO(APP_REQUESTS_CHARGING) | TO(CHARGING),
	[OUTLET_DEVICE_REQUESTS_CHARGING] = TO(AVAILABLE) | TO(CABLE_PLUGGED) |
					    TO(APP_DENIES_CHARGING) | TO(CHARGING),
	[OUTLET_DEVICE_DENIES_CHARGING] = 0,
	[OUTLET_APP_REQUESTS_CHARGING] = TO(AVAILABLE) | TO(CABLE_PLUGGED) |
					 TO(DEVICE_DENIES_CHARGING) | TO(CHARGING),
	[OUTLET_APP_DENIES_CHARGING] = 0,
	[OUTLET_CHARGING] = TO(CHARGING) | TO(DEVICE_REQUESTS_STOP) | TO(APP_REQUESTS_STOP) |
			    TO(CHARGING_FINISHED),
	[OUTLET_DEVICE_REQUESTS_STOP] = TO(CHARGING_FINISHED),
	[OUTLET_APP_REQUESTS_STOP] = TO(CHARGING_FINISHED),
	[OUTLET_CHARGING_FINISHED] = TO(CABLE_PLUGGED),
};
static_assert(EV_ARRAY_LEN(outlet_allowed) == OUTLET_STATE_COUNT, "a row for each state");
static_assert(OUTLET_STATE_COUNT <= 32, "a set of states fits one word");

/* Design section 2, the sessions' own table. */
static const uint32_t session_allowed[] = {
	[OUTLET_AVAILABLE] = 0,
	[OUTLET_CABLE_PLUGGED] = 0,
	[OUTLET_DEVICE_REQUESTS_CHARGING] = 0,
	[OUTLET_DEVICE_DENIES_CHARGING] = TO(CHARGING) | TO(CHARGING_FINISHED),
	[OUTLET_APP_REQUESTS_CHARGING] = TO(CHARGING) | TO(DEVICE_DENIES_CHARGING) |
					 TO(CHARGING_FINISHED),
	[OUTLET_APP_DENIES_CHARGING] = 0,
	[OUTLET_CHARGING] = TO(CHARGING) | TO(APP_REQUESTS_STOP) | TO(DEVICE_DENIES_CHARGING) |
			    TO(CHARGING_FINISHED),
	[OUTLET_DEVICE_REQUESTS_STOP] = 0,
	[OUTLET_APP_REQUESTS_STOP] = TO(APP_REQUESTS_STOP) | TO(DEVICE_DENIES_CHARGING) |
				     TO(CHARGING_FINISHED),
	[OUTLET_CHARGING_FINISHED] = TO(CHARGING_FINISHED),
};
static_assert(EV_ARRAY_LEN(session_allowed) == OUTLET_STATE_COUNT, "a row for each state");

bool outlet_may_go(enum outlet_state from, enum outlet_state to)
{
	return (outlet_allowed[from] >> to & 1U) != 0;
}

bool session_may_go(enum outlet_state from, enum outlet_state to)
{
	return (session_allowed[from] >> to & 1U) != 0;
}

bool session_may_be_born(enum outlet_state s)
{
	return s == OUTLET_APP_REQUESTS_CHARGING || s == OUTLET_CHARGING;
}

bool session_is_live(enum outlet_state s)
{
	return s == OUTLET_APP_REQUESTS_CHARGING || s == OUTLET_CHARGING ||
	       s == OUTLET_APP_REQUESTS_STOP;
}

/* The one walk that stands for several messages: finish, then the cable as it is now. */
static const enum outlet_state long_walk[] = { OUTLET_CHARGING_FINISHED, OUTLET_CABLE_PLUGGED,
					       OUTLET_AVAILABLE };

size_t outlet_path(enum outlet_state from, enum outlet_state to,
		   enum outlet_state out[OUTLET_PATH_MAX])
{
	size_t first = from == OUTLET_CHARGING_FINISHED ? 1 : 0;
	size_t n = 0;

	if (outlet_may_go(from, to)) {
		out[0] = to;
		return 1;
	}
	if (first == 0 && !outlet_may_go(from, OUTLET_CHARGING_FINISHED))
		return 0;
	for (size_t i = first; i < EV_ARRAY_LEN(long_walk); i++) {
		out[n++] = long_walk[i];
		if (long_walk[i] == to)
			return n;
	}
	return 0;
}

/* Appends a text to out[0..cap) at *n, counting also what does not fit. */
static void append(char *out, size_t cap, size_t *n, const char *text)
{
	for (; *text != '\0'; text++, (*n)++) {
		if (*n + 1 < cap)
			out[*n] = *text;
	}
}

/* The states in the alphabetical order of their texts, as the original sorts them. */
static const enum outlet_state by_name[OUTLET_STATE_COUNT] = {
	OUTLET_APP_DENIES_CHARGING,
	OUTLET_APP_REQUESTS_CHARGING,
	OUTLET_APP_REQUESTS_STOP,
	OUTLET_AVAILABLE,
	OUTLET_CABLE_PLUGGED,
	OUTLET_CHARGING,
	OUTLET_CHARGING_FINISHED,
	OUTLET_DEVICE_DENIES_CHARGING,
	OUTLET_DEVICE_REQUESTS_CHARGING,
	OUTLET_DEVICE_REQUESTS_STOP,
};

size_t outlet_transition_text(enum outlet_state target, char *out, size_t cap)
{
	size_t n = 0;
	bool first = true;

	append(out, cap, &n, "outlet state must be in one of { ");
	for (size_t i = 0; i < EV_ARRAY_LEN(by_name); i++) {
		if (!outlet_may_go(by_name[i], target))
			continue;
		append(out, cap, &n, first ? "" : ", ");
		append(out, cap, &n, outlet_state_text(by_name[i]));
		first = false;
	}
	append(out, cap, &n, " } in order to transition into ");
	append(out, cap, &n, outlet_state_text(target));
	if (cap > 0)
		out[n < cap ? n : cap - 1] = '\0';
	return n;
}
