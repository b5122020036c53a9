/* test/unit/test_machine.c — the state tables: the original's, and those of design section 2. */
#include "core_kit.h"

#include <json-c/json.h>

#include "core/machine.h"

static struct json_object *vector; /* vectors/state_machine.json */

static int read_vector(void **state)
{
	(void)state;
	vector = json_object_from_file(TEST_VECTORS "/state_machine.json");
	return vector == NULL;
}

static int drop_vector(void **state)
{
	(void)state;
	return json_object_put(vector) == 1 ? 0 : 1;
}

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, name, &v);
	return v;
}

static bool lists(struct json_object *array, const char *text)
{
	for (size_t i = 0; array != NULL && i < json_object_array_length(array); i++) {
		if (strcmp(json_object_get_string(json_object_array_get_idx(array, i)), text) == 0)
			return true;
	}
	return false;
}

static void states_are_the_originals_and_in_its_order(void **state)
{
	struct json_object *states = member(vector, "states");

	(void)state;
	assert_int_equal(json_object_array_length(states), OUTLET_STATE_COUNT);
	for (unsigned i = 0; i < OUTLET_STATE_COUNT; i++) {
		struct json_object *text = json_object_array_get_idx(states, i);
		enum outlet_state s = OUTLET_STATE_COUNT;

		assert_string_equal(outlet_state_text((enum outlet_state)i),
				    json_object_get_string(text));
		assert_int_equal(outlet_state_parse(ev_str_from(json_object_get_string(text)), &s),
				 EV_OK);
		assert_int_equal(s, i);
	}
}

static void outlet_transitions_are_the_originals(void **state)
{
	struct json_object *allowed = member(vector, "allowedTransitions");

	(void)state;
	for (unsigned from = 0; from < OUTLET_STATE_COUNT; from++) {
		struct json_object *to_list = member(allowed,
						     outlet_state_text((enum outlet_state)from));

		for (unsigned to = 0; to < OUTLET_STATE_COUNT; to++) {
			bool may = outlet_may_go((enum outlet_state)from, (enum outlet_state)to);

			assert_int_equal(may,
					 lists(to_list, outlet_state_text((enum outlet_state)to)));
		}
	}
}

static void pre_states_are_the_originals(void **state)
{
	struct json_object *pre = member(vector, "preStatesAsComputedByOriginal");

	(void)state;
	for (unsigned to = 0; to < OUTLET_STATE_COUNT; to++) {
		struct json_object *from_list = member(pre,
						       outlet_state_text((enum outlet_state)to));

		if (from_list == NULL) /* the original has no entry: it throws, we have a table */
			continue;
		for (unsigned from = 0; from < OUTLET_STATE_COUNT; from++) {
			bool may = outlet_may_go((enum outlet_state)from, (enum outlet_state)to);

			assert_int_equal(
				may, lists(from_list, outlet_state_text((enum outlet_state)from)));
		}
	}
}

static void error_texts_are_the_originals(void **state)
{
	unsigned n = 0;

	(void)state;
	json_object_object_foreach(member(vector, "errorText"), name, text)
	{
		enum outlet_state target = OUTLET_STATE_COUNT;
		char got[256];
		size_t length;

		assert_int_equal(outlet_state_parse(ev_str_from(name), &target), EV_OK);
		length = outlet_transition_text(target, got, sizeof(got));
		assert_int_equal(length, strlen(got));
		assert_string_equal(got, json_object_get_string(text));
		n++;
	}
	assert_int_equal(n, 8);
}

static void error_text_is_cut_to_the_room_given(void **state)
{
	char whole[256], cut[256];
	size_t n = outlet_transition_text(OUTLET_CHARGING, whole, sizeof(whole));

	(void)state;
	for (size_t cap = 0; cap <= n + 2; cap++) {
		memset(cut, '#', sizeof(cut));
		assert_int_equal(outlet_transition_text(OUTLET_CHARGING, cut, cap), n);
		assert_int_equal(cut[cap], '#');
		if (cap == 0)
			continue;
		assert_int_equal(strlen(cut), n < cap ? n : cap - 1);
		assert_memory_equal(cut, whole, strlen(cut));
	}
}

/* Design section 2, "Sessions have an explicit table of their own". */
static const struct {
	enum outlet_state from, to;
} session_goes[] = {
	{ OUTLET_APP_REQUESTS_CHARGING, OUTLET_CHARGING },
	{ OUTLET_APP_REQUESTS_CHARGING, OUTLET_DEVICE_DENIES_CHARGING },
	{ OUTLET_APP_REQUESTS_CHARGING, OUTLET_CHARGING_FINISHED },
	{ OUTLET_CHARGING, OUTLET_CHARGING },
	{ OUTLET_CHARGING, OUTLET_APP_REQUESTS_STOP },
	{ OUTLET_CHARGING, OUTLET_DEVICE_DENIES_CHARGING },
	{ OUTLET_CHARGING, OUTLET_CHARGING_FINISHED },
	{ OUTLET_APP_REQUESTS_STOP, OUTLET_APP_REQUESTS_STOP },
	{ OUTLET_APP_REQUESTS_STOP, OUTLET_DEVICE_DENIES_CHARGING },
	{ OUTLET_APP_REQUESTS_STOP, OUTLET_CHARGING_FINISHED },
	{ OUTLET_DEVICE_DENIES_CHARGING, OUTLET_CHARGING },
	{ OUTLET_DEVICE_DENIES_CHARGING, OUTLET_CHARGING_FINISHED },
	{ OUTLET_CHARGING_FINISHED, OUTLET_CHARGING_FINISHED },
};

static void session_transitions_are_those_of_the_design(void **state)
{
	(void)state;
	for (unsigned from = 0; from < OUTLET_STATE_COUNT; from++) {
		for (unsigned to = 0; to < OUTLET_STATE_COUNT; to++) {
			bool want = false;

			for (size_t i = 0; i < EV_ARRAY_LEN(session_goes); i++)
				want = want || (session_goes[i].from == (enum outlet_state)from &&
						session_goes[i].to == (enum outlet_state)to);
			assert_int_equal(
				session_may_go((enum outlet_state)from, (enum outlet_state)to),
				want);
		}
	}
}

static void sessions_are_born_and_live_in_the_states_of_the_design(void **state)
{
	(void)state;
	for (unsigned i = 0; i < OUTLET_STATE_COUNT; i++) {
		enum outlet_state s = (enum outlet_state)i;

		assert_int_equal(session_may_be_born(s),
				 s == OUTLET_APP_REQUESTS_CHARGING || s == OUTLET_CHARGING);
		assert_int_equal(session_is_live(s), s == OUTLET_APP_REQUESTS_CHARGING ||
							     s == OUTLET_CHARGING ||
							     s == OUTLET_APP_REQUESTS_STOP);
	}
}

/* The walks that design section 2 names: an unplug while charging, and the way from finished. */
static const struct {
	enum outlet_state from, to;
	const char *steps;
} walks[] = {
	{ OUTLET_CHARGING, OUTLET_AVAILABLE, "ChargingFinished CablePlugged Available " },
	{ OUTLET_CHARGING, OUTLET_CABLE_PLUGGED, "ChargingFinished CablePlugged " },
	{ OUTLET_APP_REQUESTS_STOP, OUTLET_AVAILABLE, "ChargingFinished CablePlugged Available " },
	{ OUTLET_APP_REQUESTS_STOP, OUTLET_CABLE_PLUGGED, "ChargingFinished CablePlugged " },
	{ OUTLET_DEVICE_REQUESTS_STOP, OUTLET_AVAILABLE,
	  "ChargingFinished CablePlugged Available " },
	{ OUTLET_DEVICE_REQUESTS_STOP, OUTLET_CABLE_PLUGGED, "ChargingFinished CablePlugged " },
	{ OUTLET_CHARGING_FINISHED, OUTLET_AVAILABLE, "CablePlugged Available " },
};

static void expected_walk(enum outlet_state from, enum outlet_state to, struct ev_buf *b)
{
	if (outlet_may_go(from, to)) {
		ev_buf_z(b, outlet_state_text(to));
		ev_buf_char(b, ' ');
		return;
	}
	for (size_t i = 0; i < EV_ARRAY_LEN(walks); i++) {
		if (walks[i].from == from && walks[i].to == to)
			ev_buf_z(b, walks[i].steps);
	}
}

static void skipped_steps_are_walked_and_nothing_else(void **state)
{
	(void)state;
	for (unsigned from = 0; from < OUTLET_STATE_COUNT; from++) {
		for (unsigned to = 0; to < OUTLET_STATE_COUNT; to++) {
			enum outlet_state path[OUTLET_PATH_MAX], at = (enum outlet_state)from;
			char want[128], got[128];
			struct ev_buf w = ev_buf_over(want, sizeof(want));
			struct ev_buf g = ev_buf_over(got, sizeof(got));
			size_t n = outlet_path(at, (enum outlet_state)to, path);

			expected_walk(at, (enum outlet_state)to, &w);
			for (size_t i = 0; i < n; i++) {
				assert_true(outlet_may_go(at, path[i]));
				at = path[i];
				ev_buf_z(&g, outlet_state_text(at));
				ev_buf_char(&g, ' ');
			}
			assert_true(n <= OUTLET_PATH_MAX);
			assert_true(ev_str_eq(ev_buf_str(&g), ev_buf_str(&w)));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_the_originals_and_in_its_order),
		cmocka_unit_test(outlet_transitions_are_the_originals),
		cmocka_unit_test(pre_states_are_the_originals),
		cmocka_unit_test(error_texts_are_the_originals),
		cmocka_unit_test(error_text_is_cut_to_the_room_given),
		cmocka_unit_test(session_transitions_are_those_of_the_design),
		cmocka_unit_test(sessions_are_born_and_live_in_the_states_of_the_design),
		cmocka_unit_test(skipped_steps_are_walked_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, read_vector, drop_vector);
}
