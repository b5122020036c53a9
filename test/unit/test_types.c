/* test/unit/test_types.c — texts, tags, command ids, row versions, and claims on tags. */
#include "core_kit.h"

#include "core/customer.h"

static void texts_read_back_as_what_they_name(void **state)
{
	enum outlet_state s;
	enum initiator i;
	enum purchase_channel c;

	(void)state;
	for (unsigned n = 0; n < OUTLET_STATE_COUNT; n++) {
		const char *text = outlet_state_text((enum outlet_state)n);

		assert_int_equal(outlet_state_parse(ev_str_from(text), &s), EV_OK);
		assert_int_equal(s, n);
	}
	for (unsigned n = 0; n < INITIATOR_COUNT; n++) {
		const char *text = initiator_text((enum initiator)n);

		assert_int_equal(initiator_parse(ev_str_from(text), &i), EV_OK);
		assert_int_equal(i, n);
	}
	for (unsigned n = 0; n < CHANNEL_COUNT; n++) {
		const char *text = channel_text((enum purchase_channel)n);

		assert_int_equal(channel_parse(ev_str_from(text), &c), EV_OK);
		assert_int_equal(c, n);
	}
}

static void texts_are_exact(void **state)
{
	static const char *const wrong[] = { "",        "charging",   "CHARGING",    "Charging ",
					     "Chargin", "appBackend", "outletdevice" };
	enum outlet_state s = OUTLET_STATE_COUNT;
	enum initiator i = INITIATOR_COUNT;
	enum purchase_channel c = CHANNEL_COUNT;

	(void)state;
	for (size_t n = 0; n < EV_ARRAY_LEN(wrong); n++) {
		assert_int_equal(outlet_state_parse(ev_str_from(wrong[n]), &s), EV_INVALID);
		assert_int_equal(initiator_parse(ev_str_from(wrong[n]), &i), EV_INVALID);
		assert_int_equal(channel_parse(ev_str_from(wrong[n]), &c), EV_INVALID);
	}
	assert_int_equal(s, OUTLET_STATE_COUNT);
	assert_int_equal(i, INITIATOR_COUNT);
	assert_int_equal(c, CHANNEL_COUNT);
	assert_string_equal(initiator_text(INITIATOR_APP_BACKEND), "AppBackend");
	assert_string_equal(channel_text(CHANNEL_MOBILE_APP), "MobileApp");
}

static void every_verdict_and_reason_has_its_own_text(void **state)
{
	(void)state;
	for (unsigned a = 0; a < REASON_COUNT; a++) {
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(reason_text((enum reason)a),
						reason_text((enum reason)b));
	}
	assert_string_equal(reason_text(REASON_NONE), "");
	for (unsigned a = 0; a < VERDICT_COUNT; a++) {
		assert_true(verdict_text((enum verdict)a)[0] != '\0');
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(verdict_text((enum verdict)a),
						verdict_text((enum verdict)b));
	}
}

/* ---- tags ---- */

static void a_tag_has_at_most_64_bytes(void **state)
{
	char text[RFID_TAG_MAX + 1];
	struct rfid_tag t = tag_of("kept");

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(rfid_tag_set(&t, (struct ev_str){ text, RFID_TAG_MAX + 1 }), EV_INVALID);
	assert_true(tag_is(&t, "kept"));
	assert_int_equal(rfid_tag_set(&t, (struct ev_str){ text, RFID_TAG_MAX }), EV_OK);
	assert_int_equal(t.n, RFID_TAG_MAX);
	assert_int_equal(rfid_tag_set(&t, (struct ev_str){ NULL, 0 }), EV_OK);
	assert_int_equal(t.n, 0);
}

static void a_tag_is_utf8(void **state)
{
	struct rfid_tag t = tag_of("kept");

	(void)state;
	assert_int_equal(rfid_tag_set(&t, EV_LIT("\xc3")), EV_INVALID);
	assert_int_equal(rfid_tag_set(&t, EV_LIT("\xc0\xaf")), EV_INVALID);
	assert_int_equal(rfid_tag_set(&t, EV_LIT("\xed\xa0\x80")), EV_INVALID);
	assert_true(tag_is(&t, "kept"));
	assert_int_equal(rfid_tag_set(&t, EV_LIT("\xc3\xa4")), EV_OK);
}

static const struct {
	const char *a, *b;
	bool equal;
} pairs[] = {
	{ "04A1B2", "04a1b2", true },
	{ "04A1B2", "04a1b3", false },
	{ "04A1B2", "04a1b", false },
	{ "", "", true },
	{ "", "a", false },
	{ "@[`{", "@[`{", true },
	{ "@", "`", false }, /* next to the letters, not letters */
	{ "[", "{", false },
	{ "\xc3\x84", "\xc3\xa4", false }, /* docs/decisions/0004: A-umlaut in two cases */
	{ "\xc3\x84Z", "\xc3\x84z", true },
};

static void tags_are_compared_without_ascii_case_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(pairs); i++) {
		struct rfid_tag a = tag_of(pairs[i].a), b = tag_of(pairs[i].b);
		struct rfid_tag low_a = rfid_tag_lower(&a), low_b = rfid_tag_lower(&b);

		assert_int_equal(rfid_tag_eq(&a, &b), pairs[i].equal);
		assert_int_equal(rfid_tag_eq(&b, &a), pairs[i].equal);
		/* The key of a claim tells the same. */
		assert_int_equal(ev_str_eq(rfid_tag_str(&low_a), rfid_tag_str(&low_b)),
				 pairs[i].equal);
		assert_true(rfid_tag_eq(&a, &low_a));
	}
}

/* ---- command ids ---- */

static const struct {
	uint64_t version;
	unsigned index;
	const char *text;
} ids[] = {
	{ 0, 0, "0000000000000000-0" },
	{ 1, 1, "0000000000000001-1" },
	{ 0x18f0a1b2c3d, 10, "0000018f0a1b2c3d-a" },
	{ UINT64_MAX, 15, "ffffffffffffffff-f" },
};

static void command_ids_read_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(ids); i++) {
		char text[COMMAND_ID_TEXT + 1];
		uint64_t version = 0;
		unsigned index = 0;

		command_id_text(ids[i].version, ids[i].index, text);
		assert_string_equal(text, ids[i].text);
		assert_int_equal(command_id_parse(ev_str_from(text), &version, &index), EV_OK);
		assert_true(version == ids[i].version);
		assert_int_equal(index, ids[i].index);
	}
}

static void command_ids_sort_as_they_were_made(void **state)
{
	(void)state;
	for (size_t i = 1; i < EV_ARRAY_LEN(ids); i++)
		assert_true(strcmp(ids[i - 1].text, ids[i].text) < 0);
}

static void other_texts_are_no_command_ids(void **state)
{
	static const char *const wrong[] = {
		"",
		"0000000000000000-",
		"0000000000000000-00",
		"0000000000000000_0",
		"0000000000000000-g",
		"000000000000000G-0",
		"000000000000000A-0",
		"00000000000000 0-0",
		" 000000000000000-0",
		"-000000000000000-0",
	};
	uint64_t version = 7;
	unsigned index = 7;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(wrong); i++)
		assert_int_equal(command_id_parse(ev_str_from(wrong[i]), &version, &index),
				 EV_INVALID);
	assert_true(version == 7 && index == 7);
}

static void a_version_is_the_time_and_always_grows(void **state)
{
	(void)state;
	assert_true(row_next_version(0, 5 * EV_NS_PER_MS) == 5);
	assert_true(row_next_version(4, 5 * EV_NS_PER_MS) == 5);
	assert_true(row_next_version(5, 5 * EV_NS_PER_MS) == 6);
	assert_true(row_next_version(9, 5 * EV_NS_PER_MS) == 10);
	assert_true(row_next_version(0, -1) == 1);
	assert_true(row_next_version(0, INT64_MIN) == 1);
}

/* ---- claims on tags ---- */

enum holder { GONE, CARRIES, CARRIES_OTHER };

static const struct {
	const char *what;
	bool claimed, by_wanter;
	enum holder holder;
	int64_t age_s;
	bool is_free;
} claims[] = {
	{ "nobody holds it", false, false, GONE, 0, true },
	{ "the one who wants it holds it", true, true, CARRIES, 0, true },
	{ "his own, not carried yet", true, true, CARRIES_OTHER, 0, true },
	{ "another carries it", true, false, CARRIES, 0, false },
	{ "another carries it, for long", true, false, CARRIES, 86400, false },
	{ "another is about to carry it", true, false, CARRIES_OTHER, 60, false },
	{ "another never did", true, false, CARRIES_OTHER, 61, true },
	{ "another is about to be created", true, false, GONE, 60, false },
	{ "another is gone", true, false, GONE, 61, true },
};

static void a_tag_is_free_unless_another_carries_or_just_claimed_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(claims); i++) {
		struct ev_uuid wants = uuid_of(1), other = uuid_of(2);
		struct tag_claim claim = { .tag = tag_of("04a1b2"),
					   .customer_id = claims[i].by_wanter ? wants : other,
					   .at_ns = T0 };
		struct customer holder = { .id = claim.customer_id,
					   .tag = tag_of(claims[i].holder == CARRIES ? "04A1B2"
										     : "other") };
		bool is_free = tag_claim_free(claims[i].claimed ? &claim : NULL,
					      claims[i].holder == GONE ? NULL : &holder, &wants,
					      T0 + claims[i].age_s * SEC);

		if (is_free != claims[i].is_free)
			fail_msg("%s", claims[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_read_back_as_what_they_name),
		cmocka_unit_test(texts_are_exact),
		cmocka_unit_test(every_verdict_and_reason_has_its_own_text),
		cmocka_unit_test(a_tag_has_at_most_64_bytes),
		cmocka_unit_test(a_tag_is_utf8),
		cmocka_unit_test(tags_are_compared_without_ascii_case_only),
		cmocka_unit_test(command_ids_read_back),
		cmocka_unit_test(command_ids_sort_as_they_were_made),
		cmocka_unit_test(other_texts_are_no_command_ids),
		cmocka_unit_test(a_version_is_the_time_and_always_grows),
		cmocka_unit_test(a_tag_is_free_unless_another_carries_or_just_claimed_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
