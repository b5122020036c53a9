/* test_pack.c — packed values come back as they went, in as few bytes as promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pack.h"

static struct ev_str written(const struct pack_writer *w)
{
	return (struct ev_str){ (const char *)w->p, w->n };
}

static struct rfid_tag tag_of(const char *s)
{
	struct rfid_tag t;

	assert_int_equal(rfid_tag_set(&t, ev_str_from(s)), EV_OK);
	return t;
}

static void tags_return_in_their_case_and_small(void **state)
{
	static const struct {
		const char *tag;
		size_t bytes;
	} cases[] = {
		{ "", 1 },
		{ "04a2b9c1d2e380", 8 },
		{ "04A2B9C1D2E380", 8 },
		{ "04a2b9C1d2e380", 15 }, /* mixed: as it is */
		{ "04a2b", 6 },           /* odd */
		{ "12", 2 },
		{ "g1", 3 },
		{ "b7a0c9d2-1111-4222-8333-444455556666", 17 },
		{ "B7A0C9D2-1111-4222-8333-444455556666", 17 },
		{ "b7a0c9d2-1111-4222-8333-44445555666F", 37 },
		{ "b7a0c9d21-111-4222-8333-444455556666", 37 },
		{ "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 33 },
		{ "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", 33 },
		{ "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg", 65 },
		{ "ümläut", 9 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct rfid_tag t = tag_of(cases[i].tag);
		uint8_t bytes[128];
		struct pack_writer w = pack_writer_over(bytes, sizeof(bytes));
		struct pack_reader r;

		pack_tag(&w, &t);
		assert_int_equal(w.n, cases[i].bytes);
		pack_tag(&w, &t);
		assert_int_equal(w.n, cases[i].bytes + 1); /* known now, or empty again */
		r = pack_reader_over(written(&w));
		for (unsigned k = 0; k < 2; k++) {
			struct rfid_tag back = unpack_tag(&r);

			assert_true(ev_str_eqz(rfid_tag_str(&back), cases[i].tag));
		}
		assert_int_equal(unpack_end(&r), EV_OK);
	}
}

static void more_tags_than_are_remembered_return(void **state)
{
	uint8_t bytes[2048];
	struct pack_writer w = pack_writer_over(bytes, sizeof(bytes));
	struct pack_reader r;

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct rfid_tag t = tag_of("x0");

		t.s[1] = (char)('0' + i % 30);
		pack_tag(&w, &t);
	}
	r = pack_reader_over(written(&w));
	for (unsigned i = 0; i < 60; i++) {
		struct rfid_tag t = unpack_tag(&r);

		assert_int_equal(t.n, 2);
		assert_int_equal(t.s[1], '0' + i % 30);
	}
	assert_int_equal(unpack_end(&r), EV_OK);
}

static void times_return_from_end_to_end(void **state)
{
	static const int64_t times[] = {
		0,
		1,
		1000000,
		-1000000,
		INT64_MAX,
		INT64_MIN,
		INT64_MAX,
		INT64_MIN,
		0,
		INT64_MIN,
		-1,
		1717200000123000000,
		1717200000124000000,
		1717200000124000001,
		1717200060124000001,
	};
	uint8_t bytes[256];
	struct pack_writer w = pack_writer_over(bytes, sizeof(bytes));
	struct pack_reader r;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(times); i++)
		pack_time(&w, times[i]);
	r = pack_reader_over(written(&w));
	for (size_t i = 0; i < EV_ARRAY_LEN(times); i++)
		assert_true(unpack_time(&r) == times[i]);
	assert_int_equal(unpack_end(&r), EV_OK);
	w.n = 0;
	w.state.last_ns = INT64_C(1717200000124000000);
	pack_time(&w, INT64_C(1717200000124000000) + 15 * INT64_C(1000000));
	assert_int_equal(w.n, 1);
	pack_time(&w, INT64_C(1717200000124000000) + 3600 * INT64_C(1000000000));
	assert_int_equal(w.n, 5);
}

static void integers_return_from_end_to_end(void **state)
{
	static const int64_t ints[] = { 0, 1, -1, 63, -64, 64, 8191, INT64_MAX, INT64_MIN };
	uint8_t bytes[128];
	struct pack_writer w = pack_writer_over(bytes, sizeof(bytes));
	struct pack_reader r;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(ints); i++)
		pack_int(&w, ints[i]);
	pack_uint(&w, UINT64_MAX);
	r = pack_reader_over(written(&w));
	for (size_t i = 0; i < EV_ARRAY_LEN(ints); i++)
		assert_true(unpack_int(&r) == ints[i]);
	assert_true(unpack_uint(&r, UINT64_MAX) == UINT64_MAX);
	assert_int_equal(unpack_end(&r), EV_OK);
}

static void what_no_writer_makes_is_corrupt(void **state)
{
	const struct {
		char what;
		struct ev_str bytes;
	} cases[] = {
		{ 'u', EV_LIT("") },
		{ 'u', EV_LIT("\x80") },
		{ 'u', EV_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02") },
		{ 'u', EV_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81") },
		{ 't', EV_LIT("\x83\xff\xff\xff\xff\xff\xff\xff\xff\x7f") },
		{ 't', EV_LIT("\x82\xff\xff\xff\xff\xff\xff\xff\x7f") }, /* ms beyond ns */
		{ 'g', EV_LIT("\x01") },
		{ 'g', EV_LIT("\x01\xff") }, /* not UTF-8 */
		{ 'g', EV_LIT("\x83") },     /* none is known */
		{ 'g', EV_LIT("\xff") },
		{ 'x', EV_LIT("\x05"
			      "abcd") },
		{ '8', EV_LIT("\x06") },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct pack_reader r = pack_reader_over(cases[i].bytes);

		switch (cases[i].what) {
		case 'u':
			assert_true(unpack_uint(&r, UINT64_MAX) == 0);
			break;
		case 't':
			assert_true(unpack_time(&r) == 0);
			break;
		case 'g':
			assert_int_equal(unpack_tag(&r).n, 0);
			break;
		case 'x':
			assert_int_equal(unpack_text(&r, 64).n, 0);
			break;
		default:
			assert_int_equal(unpack_u8(&r, 5), 0);
			break;
		}
		if (!r.bad)
			fail_msg("case %zu was read", i);
		assert_int_equal(unpack_end(&r), EV_CORRUPT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_return_in_their_case_and_small),
		cmocka_unit_test(more_tags_than_are_remembered_return),
		cmocka_unit_test(times_return_from_end_to_end),
		cmocka_unit_test(integers_return_from_end_to_end),
		cmocka_unit_test(what_no_writer_makes_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
