/* test/simaws/books.h — what the tables come to, for books.c and balance.c. */
#ifndef EV_TEST_SIMAWS_BOOKS_H
#define EV_TEST_SIMAWS_BOOKS_H

#include "simaws/sim.h"

struct ledger {
	struct sim *s;
	const char *wrong;                   /* found while reading; NULL: nothing */
	struct ddb_outlet rows[SIM_DEVICES]; /* version 0: none */
	int64_t sessions[SIM_DEVICES];
	int64_t attached[SIM_DEVICES]; /* by sessions */
	int64_t items_open[SIM_DEVICES], items_attached[SIM_DEVICES];
	int64_t lacking[SIM_DEVICES]; /* sums that are not told while a stop is under way */
	size_t live[SIM_DEVICES];
	size_t runs[SIM_DEVICES]; /* of those the one that the outlet's row runs */
	size_t n_sessions, n_items, n_parked, n_blocks, n_letters;
	size_t unsent; /* effects but those of plain reports */
	size_t left;   /* rows with puts that are still to follow them */
};

void books_open(struct sim *s, struct ledger *l);
unsigned books_device_of(struct sim *s, const struct ev_uuid *outlet_id);

#endif
