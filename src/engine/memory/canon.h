/*
 * engine/memory/canon.h — copies in the one form in which the engine keeps its rows.
 *
 * What a row calls absent is zero in the copy, and so is every byte between and behind its members
 * that means nothing; rows that say the same are then equal byte for byte.
 */
#ifndef EV_ENGINE_MEMORY_CANON_H
#define EV_ENGINE_MEMORY_CANON_H

#include "port/query.h"

void canon_tag(struct rfid_tag *to, const struct rfid_tag *from);
void canon_outlet(struct outlet *to, const struct outlet *from);
void canon_info(struct outlet_info *to, const struct outlet_info *from);
void canon_session(struct session *to, const struct session *from);
void canon_customer(struct customer *to, const struct customer *from);
void canon_claim(struct tag_claim *to, const struct tag_claim *from);
void canon_event(struct charging_event *to, const struct charging_event *from);
void canon_stored_event(struct stored_event *to, uint64_t seq, int64_t at_ns,
			const struct charging_event *event);
void canon_command(struct device_command *to, const struct device_command *from);
void canon_item(struct unassigned_item *to, const struct unassigned_item *from);
/* body.p is NULL in the copy. */
void canon_dead_letter(struct dead_letter *to, const struct dead_letter *from);
void canon_parked(struct parked_input *to, const struct parked_input *from);

#endif
