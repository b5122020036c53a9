/* test_net_address.c — connections counted by address, an IPv6 /64 being one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/address.h"

static int set_up(void **state)
{
	struct address_table *t;

	assert_int_equal(address_table_new(&t), EV_OK);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	address_table_free(*state);
	return 0;
}

static const uint8_t v4_a[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [15] = 1 };
static const uint8_t v4_b[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [15] = 2 };
static const uint8_t v6_a[16] = { 0x20, 0x01, [7] = 1, [15] = 1 };
static const uint8_t v6_same_net[16] = { 0x20, 0x01, [7] = 1, [9] = 9, [15] = 2 };
static const uint8_t v6_other_net[16] = { 0x20, 0x01, [7] = 2, [15] = 1 };

static void counts_each_ipv4_address(void **state)
{
	assert_int_equal(address_table_add(*state, v4_a, 2), EV_OK);
	assert_int_equal(address_table_add(*state, v4_a, 2), EV_OK);
	assert_int_equal(address_table_add(*state, v4_a, 2), EV_FULL);
	assert_int_equal(address_table_add(*state, v4_b, 2), EV_OK);
	address_table_remove(*state, v4_a);
	assert_int_equal(address_table_add(*state, v4_a, 2), EV_OK);
	assert_int_equal(address_table_add(*state, v4_a, 2), EV_FULL);
}

static void counts_an_ipv6_network_as_one(void **state)
{
	assert_int_equal(address_table_add(*state, v6_a, 1), EV_OK);
	assert_int_equal(address_table_add(*state, v6_same_net, 1), EV_FULL);
	assert_int_equal(address_table_add(*state, v6_other_net, 1), EV_OK);
	address_table_remove(*state, v6_same_net);
	assert_int_equal(address_table_add(*state, v6_same_net, 1), EV_OK);
}

static void keeps_thousands_apart(void **state)
{
	uint8_t address[16];

	memcpy(address, v4_a, sizeof(address));
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 5000; i++) {
			address[13] = (uint8_t)(i >> 8);
			address[14] = (uint8_t)i;
			if (round == 0)
				assert_int_equal(address_table_add(*state, address, 1), EV_OK);
			else
				address_table_remove(*state, address);
		}
	}
	assert_int_equal(address_table_add(*state, address, 1), EV_OK);
	address_table_remove(*state, v4_b); /* was never added */
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(counts_each_ipv4_address),
		RULE(counts_an_ipv6_network_as_one),
		RULE(keeps_thousands_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
