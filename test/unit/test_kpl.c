/* Aggregated Kinesis records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "codec/event_proto.h"
#include "codec/kpl.h"
#include "vectors.h"

static void md5(const void *p, size_t n, uint8_t out[16])
{
	assert_int_equal(EVP_Digest(p, n, out, NULL, EVP_md5(), NULL), 1);
}

/* An aggregate around a protobuf body, in memory of its exact size; the caller frees it. */
static struct ev_str aggregate(const void *body, size_t n)
{
	uint8_t *p = malloc(4 + n + 16);

	memcpy(p, "\xf3\x89\x9a\xc2", 4);
	memcpy(p + 4, body, n);
	md5(p + 4, n, p + 4 + n);
	return (struct ev_str){ (char *)p, 4 + n + 16 };
}

static void takes_the_vector_apart(void **state)
{
	struct json_object *file = vectors_load("kpl_aggregated.json");
	struct json_object *events = vectors_load("charging_events.json");
	static unsigned char bytes[2048];
	struct ev_str data = { (char *)bytes,
			       vector_unhex(vector_str(file, "hex"), bytes, sizeof(bytes)) };
	struct kpl_iter it;
	struct ev_str record;

	(void)state;
	assert_int_equal(kpl_open(&it, data, md5), EV_OK);
	assert_true(it.aggregated);
	assert_int_equal(it.count, 2);
	for (size_t i = 0; i < 2; i++) {
		unsigned char want[EVENT_PROTO_MAX];
		size_t n = vector_unhex(
			vector_str(json_object_array_get_idx(events, i), "protoHex"), want,
			sizeof(want));

		assert_int_equal(it.index, i);
		assert_true(kpl_next(&it, &record));
		assert_int_equal(record.n, n);
		assert_memory_equal(record.p, want, n);
	}
	assert_false(kpl_next(&it, &record));
	json_object_put(events);
	json_object_put(file);
}

static void refuses_a_wrong_digest_and_every_truncation(void **state)
{
	struct json_object *file = vectors_load("kpl_aggregated.json");
	static unsigned char bytes[2048];
	size_t n = vector_unhex(vector_str(file, "badChecksumHex"), bytes, sizeof(bytes));
	struct kpl_iter it;

	(void)state;
	assert_int_equal(kpl_open(&it, (struct ev_str){ (char *)bytes, n }, md5), EV_CORRUPT);
	n = vector_unhex(vector_str(file, "hex"), bytes, sizeof(bytes));
	for (size_t cut = 4; cut < n; cut++) {
		char *exact = malloc(cut);

		memcpy(exact, bytes, cut);
		assert_int_equal(kpl_open(&it, (struct ev_str){ exact, cut }, md5), EV_CORRUPT);
		free(exact);
	}
	json_object_put(file);
}

static void passes_other_records_through(void **state)
{
	static const char *const plain[] = { "", "\xf3", "\xf3\x89\x9a",
					     "\xf3\x89\x9a\xc3 0123456789abcdef", "x" };
	struct kpl_iter it;
	struct ev_str record;

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		struct ev_str data = ev_str_from(plain[i]);

		assert_int_equal(kpl_open(&it, data, md5), EV_OK);
		assert_false(it.aggregated);
		assert_true(kpl_next(&it, &record));
		assert_true(ev_str_eq(record, data));
		assert_false(kpl_next(&it, &record));
	}
}

static void reads_odd_but_valid_bodies(void **state)
{
	static const struct {
		const char *body;
		size_t n;
		size_t count;
		const char *first;
	} cases[] = {
		{ "", 0, 0, NULL },
		{ "\x0a\x01k", 3, 0, NULL },
		{ "\x1a\x05\x08\x00\x1a\x01"
		  "A",
		  7, 1, "A" },
		{ "\x1a\x05\x1a\x01"
		  "A\x08\x00",
		  7, 1, "A" }, /* order is free */
		{ "\x1a\x02\x1a\x00", 4, 1, "" },
		{ "\x1a\x06\x1a\x01"
		  "A\x1a\x01"
		  "B",
		  8, 1, "B" }, /* the last counts */
		{ "\x1a\x08\x1a\x01"
		  "A\x22\x03xyz\x25\x01\x02\x03\x04",
		  15, 1, "A" }, /* tags, fixed32 */
		{ "\x21\x01\x02\x03\x04\x05\x06\x07\x08\x1a\x03\x1a\x01"
		  "A",
		  14, 1, "A" },
		{ "\x18\x05\x1a\x03\x1a\x01"
		  "A",
		  7, 1, "A" }, /* field 3 as a varint is not a record */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ev_str data = aggregate(cases[i].body, cases[i].n);
		struct kpl_iter it;
		struct ev_str record;

		assert_int_equal(kpl_open(&it, data, md5), EV_OK);
		assert_int_equal(it.count, cases[i].count);
		for (size_t k = 0; k < cases[i].count; k++) {
			assert_true(kpl_next(&it, &record));
			assert_true(ev_str_eqz(record, cases[i].first));
		}
		assert_false(kpl_next(&it, &record));
		free((void *)(uintptr_t)data.p);
	}
}

static void refuses_broken_bodies_even_with_a_good_digest(void **state)
{
	static const struct {
		const char *body;
		size_t n;
	} cases[] = {
		{ "\x1a", 1 }, /* no length */
		{ "\x1a\x05"
		  "ab",
		  4 },                     /* too short */
		{ "\x1a\x02\x08\x00", 4 }, /* a record without data */
		{ "\x1a\x03\x1a\x05"
		  "A",
		  5 },             /* data longer than its record */
		{ "\x1b\x00", 2 }, /* a group */
		{ "\x02\x00", 2 }, /* field 0 */
		{ "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* 2^64 - 1 bytes */
		{ "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 }, /* beyond 64 bits */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 12 },
		{ "\x21\x01\x02", 3 },
		{ "\x25\x01\x02", 3 },
		{ "\x08\x80", 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ev_str data = aggregate(cases[i].body, cases[i].n);
		struct kpl_iter it;

		if (kpl_open(&it, data, md5) != EV_CORRUPT)
			fail_msg("case %zu", i);
		free((void *)(uintptr_t)data.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_vector_apart),
		cmocka_unit_test(refuses_a_wrong_digest_and_every_truncation),
		cmocka_unit_test(passes_other_records_through),
		cmocka_unit_test(reads_odd_but_valid_bodies),
		cmocka_unit_test(refuses_broken_bodies_even_with_a_good_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
