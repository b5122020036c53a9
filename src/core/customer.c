/* core/customer.c — may a customer take a tag? */
#include "core/customer.h"

bool tag_claim_free(const struct tag_claim *claim, const struct customer *holder,
		    const struct ev_uuid *wants, int64_t now_ns)
{
	if (claim == NULL || ev_uuid_eq(&claim->customer_id, wants))
		return true;
	if (holder != NULL && rfid_tag_eq(&holder->tag, &claim->tag))
		return false;
	/* Its customer may be about to be written: give it the minute. */
	return claim->at_ns < now_ns - CLAIM_VOID_NS;
}
