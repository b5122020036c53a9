/* test/unit/core_kit.h — values that the tests of core share. */
#ifndef EV_TEST_CORE_KIT_H
#define EV_TEST_CORE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"
#include "core/types.h"

#define KWH INT64_C(1000000) /* mWh */
#define T0 (INT64_C(1800000000) * EV_NS_PER_S)
#define SEC EV_NS_PER_S

/* Distinct for distinct n. */
static inline struct ev_uuid uuid_of(uint64_t n)
{
	struct ev_uuid u = { { 0x4a, 0x11 } };

	for (unsigned i = 0; i < 8; i++)
		u.b[15 - i] = (uint8_t)(n >> (8 * i));
	return u;
}

static inline struct identity identity_of(uint64_t n)
{
	struct identity id = { { 0x1d } };

	for (unsigned i = 0; i < 8; i++)
		id.b[8 - i] = (uint8_t)(n >> (8 * i));
	return id;
}

static inline struct rfid_tag tag_of(const char *text)
{
	struct rfid_tag t;

	assert_int_equal(rfid_tag_set(&t, ev_str_from(text)), EV_OK);
	return t;
}

static inline bool tag_is(const struct rfid_tag *t, const char *text)
{
	return ev_str_eqz(rfid_tag_str(t), text);
}

#endif
