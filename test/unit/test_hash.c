#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/hash.h"

static void assert_hex(const uint8_t *p, size_t n, const char *want)
{
	char text[2 * EV_SHA256_SIZE + 1];

	ev_hex(p, n, text);
	assert_string_equal(text, want);
}

#define SHA256_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA256_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void hashes_the_vectors_of_fips_180(void **state)
{
	uint8_t h[EV_SHA256_SIZE];

	(void)state;
	ev_sha256("abc", 3, h);
	assert_hex(h, EV_SHA256_SIZE, SHA256_ABC);
	ev_sha256("", 0, h);
	assert_hex(h, EV_SHA256_SIZE, SHA256_EMPTY);
	ev_sha1("abc", 3, h);
	assert_hex(h, EV_SHA1_SIZE, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

static void hashes_alike_however_it_is_cut(void **state)
{
	static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	uint8_t whole[EV_SHA256_SIZE], pieces[EV_SHA256_SIZE];
	size_t n = sizeof(text) - 1;

	(void)state;
	ev_sha256(text, n, whole);
	assert_hex(whole, EV_SHA256_SIZE,
		   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	for (size_t cut = 0; cut <= n; cut++) {
		struct ev_sha256_ctx *c = ev_sha256_new();

		ev_sha256_add(c, text, cut);
		ev_sha256_add(c, text + cut, n - cut);
		ev_sha256_final(c, pieces);
		assert_memory_equal(pieces, whole, sizeof(whole));
	}
}

static void may_be_given_up(void **state)
{
	struct ev_sha256_ctx *c = ev_sha256_new();

	(void)state;
	ev_sha256_add(c, "abc", 3);
	ev_sha256_free(c);
	ev_sha256_free(NULL);
}

static void identity_is_sha256_over_lengths_and_parts(void **state)
{
	static const char joined[] = "\0\0\0\0\0\0\0\2id\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4body";
	const struct ev_str parts[] = { EV_LIT("id"), { NULL, 0 }, EV_LIT("body") };
	uint8_t got[16], want[EV_SHA256_SIZE];

	(void)state;
	ev_hash128(parts, EV_ARRAY_LEN(parts), got);
	ev_sha256(joined, sizeof(joined) - 1, want);
	assert_memory_equal(got, want, 16);
}

static void parts_do_not_run_together(void **state)
{
	const struct ev_str a[] = { EV_LIT("ab"), EV_LIT("c") };
	const struct ev_str b[] = { EV_LIT("a"), EV_LIT("bc") };
	const struct ev_str c[] = { EV_LIT("abc") };
	uint8_t h[3][16];

	(void)state;
	ev_hash128(a, 2, h[0]);
	ev_hash128(b, 2, h[1]);
	ev_hash128(c, 1, h[2]);
	assert_memory_not_equal(h[0], h[1], 16);
	assert_memory_not_equal(h[0], h[2], 16);
	assert_memory_not_equal(h[1], h[2], 16);
}

/* The name space of domain names, and the value that other implementations give. */
static void makes_the_uuid_v5_of_a_name(void **state)
{
	struct ev_uuid dns, got;
	char text[EV_UUID_TEXT + 1];

	(void)state;
	assert_int_equal(ev_uuid_parse(EV_LIT("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), &dns),
			 EV_OK);
	got = ev_uuid_v5(&dns, EV_LIT("python.org"));
	ev_uuid_text(&got, text);
	assert_string_equal(text, "886313e1-3b8a-5372-9b90-0c9aee199e5d");
}

static void compares_all_bytes(void **state)
{
	(void)state;
	assert_true(ev_equal_consttime("secret", "secret", 6));
	assert_true(ev_equal_consttime("a", "b", 0));
	assert_false(ev_equal_consttime("secret", "secreT", 6));
	assert_false(ev_equal_consttime("secret", "Secret", 6));
}

static void writes_hex(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x0F, 0xF0, 0xFF, 0x5A };

	(void)state;
	assert_hex(bytes, sizeof(bytes), "000ff0ff5a");
	assert_hex(bytes, 0, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_the_vectors_of_fips_180),
		cmocka_unit_test(hashes_alike_however_it_is_cut),
		cmocka_unit_test(may_be_given_up),
		cmocka_unit_test(identity_is_sha256_over_lengths_and_parts),
		cmocka_unit_test(parts_do_not_run_together),
		cmocka_unit_test(makes_the_uuid_v5_of_a_name),
		cmocka_unit_test(compares_all_bytes),
		cmocka_unit_test(writes_hex),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
