/* core/customer.h — customers and the claims on tags.  Pure.  Source: design section 2. */
#ifndef EV_CORE_CUSTOMER_H
#define EV_CORE_CUSTOMER_H

#include "core/types.h"

#define CUSTOMER_TEXT_MAX 256

struct customer {
	struct ev_uuid id;
	uint64_t version;    /* 0: not stored yet */
	struct rfid_tag tag; /* stored in lower case, unique without case */
	char address[CUSTOMER_TEXT_MAX + 1];
	char email[CUSTOMER_TEXT_MAX + 1];
	char payment_method[CUSTOMER_TEXT_MAX + 1];
	bool blocked;
	int64_t created_ns;
};

/* Who holds a tag: keyed by the tag in lower case. */
struct tag_claim {
	struct rfid_tag tag; /* lower case */
	struct ev_uuid customer_id;
	int64_t at_ns;
};

#define CLAIM_VOID_NS (60 * INT64_C(1000000000))

/*
 * May `wants` take the tag?  Yes if nobody holds it, if `wants` holds it, or if the claim is older
 * than a minute and its customer (NULL: gone) does not carry the tag.
 */
bool tag_claim_free(const struct tag_claim *claim, const struct customer *holder,
		    const struct ev_uuid *wants, int64_t now_ns);

#endif
