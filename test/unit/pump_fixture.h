/* pump_fixture.h — both backends on the memory engine with a clock that the test moves. */
#ifndef EV_TEST_PUMP_FIXTURE_H
#define EV_TEST_PUMP_FIXTURE_H

#include "base/clock.h"
#include "base/rng.h"
#include "engine/memory/memory.h"
#include "service/pump.h"

#define FIXTURE_COMMANDS_MAX 64

struct pump_fixture {
	struct ev_clock_manual clock;
	struct ev_rng_seeded rng;
	struct memory_engine *memory;
	struct query *query;
	struct pump pump;
	struct ev_uuid outlet_id, customer_id;
	struct rfid_tag tag; /* the customer's */
	unsigned n_messages;
	unsigned n_commands; /* since the last fixture_commands_clear */
	struct device_command commands[FIXTURE_COMMANDS_MAX];
};

/* cmocka setup and teardown: an outlet of 22 kW and a customer are registered. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

void fixture_advance_s(struct pump_fixture *f, int64_t seconds);
struct rfid_tag fixture_tag(const char *text);

/* One message of the outlet; returns the verdict (asserts that it was decided). */
enum verdict fixture_send(struct pump_fixture *f, enum outlet_state change, const char *tag,
			  int64_t mwh);
/* The same with an identity of its own: the same n is the same message. */
enum verdict fixture_send_as(struct pump_fixture *f, unsigned n, enum outlet_state change,
			     const char *tag, int64_t mwh);
/* Bytes that are no message. */
enum verdict fixture_send_garbage(struct pump_fixture *f, const char *bytes);

void fixture_run(struct pump_fixture *f, struct job *j);
void fixture_tick(struct pump_fixture *f);
struct outlet fixture_outlet(struct pump_fixture *f);
/* The newest session of the customer; asserts that there is one. */
struct session fixture_session(struct pump_fixture *f);
struct energy_books fixture_books(struct pump_fixture *f);
void fixture_assert_balanced(struct pump_fixture *f);

#endif
