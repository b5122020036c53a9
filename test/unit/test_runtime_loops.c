/* test_runtime_loops.c — how many loops serve devices on a machine, unless somebody says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/runtime_internal.h"

static void the_writer_has_a_processor_for_itself(void **state)
{
	static const struct {
		size_t processors, loops;
	} table[] = { { 0, 1 }, { 1, 1 }, { 2, 1 }, { 3, 2 },
		      { 4, 3 }, { 5, 4 }, { 6, 4 }, { 128, 4 } };

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(table); i++)
		assert_int_equal(runtime_loops_for(table[i].processors), table[i].loops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_writer_has_a_processor_for_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
