/* Protobuf fields as bytes: what is read, and pieces made one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/proto_field.h"

#define BYTES(z) ((struct ev_str){ z, sizeof(z) - 1 })

static void reads_each_type_of_field(void **state)
{
	static const struct {
		struct ev_str in;
		uint64_t number;
		unsigned type;
		size_t n; /* of the content */
	} cases[] = {
		{ { "\x08\x01", 2 }, 1, PROTO_VARINT, 0 },
		{ { "\x09"
		    "12345678",
		    9 },
		  1,
		  PROTO_FIXED64,
		  8 },
		{ { "\x15"
		    "1234",
		    5 },
		  2,
		  PROTO_FIXED32,
		  4 },
		{ { "\xa2\x06\x03"
		    "abc",
		    6 },
		  100,
		  PROTO_BYTES,
		  3 },
		{ { "\x12\x00", 2 }, 2, PROTO_BYTES, 0 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_str rest = cases[i].in;
		struct proto_field f;

		assert_true(proto_field_next(&rest, &f));
		assert_int_equal(f.number, cases[i].number);
		assert_int_equal(f.type, cases[i].type);
		assert_int_equal(f.bytes.n, cases[i].n);
		assert_true(ev_str_eq(f.whole, cases[i].in));
		for (size_t n = 1; n < cases[i].in.n; n++) {
			rest = (struct ev_str){ cases[i].in.p, n };
			assert_false(proto_field_next(&rest, &f));
		}
	}
}

static void refuses_what_is_no_field(void **state)
{
	static const struct ev_str cases[] = {
		{ "\x00\x01", 2 }, /* number 0 */
		{ "\x0b", 1 },
		{ "\x0c", 1 }, /* groups */
		{ "\x0e", 1 },
		{ "\x0f", 1 },                                              /* no types */
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 },     /* 65 bits */
		{ "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12 }, /* 11 bytes */
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		  "abc",
		  14 }, /* longer than all */
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_str rest = cases[i], last;
		struct proto_field f;

		assert_false(proto_field_next(&rest, &f));
		assert_int_equal(proto_count(cases[i], 1, &last), 0);
	}
}

static void joins_pieces_behind_all_else(void **state)
{
	struct ev_str in = BYTES("\x0a\x02"
				 "ab"
				 "\x10\x05"
				 "\x0a\x00"
				 "\x0a\x01"
				 "c");
	struct ev_str broken = BYTES("\x0a\x02"
				     "ab"
				     "\x0a\x01");
	struct ev_str once = BYTES("\x0a\x02"
				   "ab"
				   "\x10\x05");
	char room[64];

	(void)state;
	assert_true(ev_str_eq(proto_join(in, 1, room), BYTES("\x10\x05"
							     "\x0a\x03"
							     "abc")));
	assert_true(ev_str_eq(proto_join(in, 2, room), in));
	assert_ptr_equal(proto_join(once, 1, room).p, once.p);
	assert_ptr_equal(proto_join(broken, 1, room).p, broken.p);
}

static void joins_to_a_length_of_two_bytes_in_the_room_it_asks_for(void **state)
{
	char in[2 * 102], *room = test_malloc(sizeof(in) + PROTO_JOIN_SPARE);
	struct ev_str whole, content;

	(void)state;
	memset(in, 'x', sizeof(in));
	for (size_t i = 0; i < sizeof(in); i += 102) {
		in[i] = 0x0a;
		in[i + 1] = 100;
	}
	whole = proto_join((struct ev_str){ in, sizeof(in) }, 1, room);
	assert_int_equal(proto_count(whole, 1, &content), 1);
	assert_int_equal(content.n, 200);
	assert_int_equal(whole.n, 203);
	test_free(room);
}

static void puts_other_content_in_the_place_of_all_pieces(void **state)
{
	struct ev_str in = BYTES("\x0a\x02"
				 "ab"
				 "\x10\x05"
				 "\x0a\x01"
				 "c");
	char room[64];

	(void)state;
	assert_true(ev_str_eq(proto_replace(in, 1, EV_LIT("new"), room), BYTES("\x10\x05"
									       "\x0a\x03"
									       "new")));
	assert_true(ev_str_eq(proto_replace(EV_LIT(""), 1, EV_LIT(""), room), BYTES("\x0a\x00")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_each_type_of_field),
		cmocka_unit_test(refuses_what_is_no_field),
		cmocka_unit_test(joins_pieces_behind_all_else),
		cmocka_unit_test(joins_to_a_length_of_two_bytes_in_the_room_it_asks_for),
		cmocka_unit_test(puts_other_content_in_the_place_of_all_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
