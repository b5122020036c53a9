/*
 * test/contract/text.h — rows as text, member by member, so that what differs can be read.
 *
 * Absent parts are written too: an engine must load them as zero.  The seq of events and dead
 * letters is left out, because engines may count differently.
 */
#ifndef EV_TEST_CONTRACT_TEXT_H
#define EV_TEST_CONTRACT_TEXT_H

#include "port/query.h"
#include "port/store.h"

struct text {
	char *p; /* NUL-terminated once something was added, NULL before */
	size_t n;
	size_t cap;
};

void text_add(struct text *t, const char *fmt, ...) EV_PRINTF(2, 3);
void text_free(struct text *t);
/* Ends the test where they differ, showing the first line that does; both are emptied. */
void text_assert_same(struct text *got, struct text *want);

void text_id(struct text *t, const char *name, const uint8_t id[16]);
void text_outlet(struct text *t, const struct outlet *o);
void text_info(struct text *t, const struct outlet_info *i);
void text_session(struct text *t, const struct session *s);
void text_customer(struct text *t, const struct customer *c);
void text_claim(struct text *t, const struct tag_claim *c);
void text_event(struct text *t, const struct charging_event *e);
void text_stored_event(struct text *t, const struct stored_event *e);
void text_command(struct text *t, const struct device_command *c);
void text_item(struct text *t, const struct unassigned_item *i);
void text_parked(struct text *t, const struct parked_input *p);
void text_dead_letter(struct text *t, const struct dead_letter *d);
void text_delivery(struct text *t, const struct delivery *d);
void text_books(struct text *t, const struct energy_books *b);

#endif
