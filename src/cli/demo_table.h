/* cli/demo_table.h — what the demo shows: a live table, or lines where there is no terminal. */
#ifndef EV_CLI_DEMO_TABLE_H
#define EV_CLI_DEMO_TABLE_H

#include "cli/simulation.h"

#define DEMO_TABLE_MAX 16

struct demo_table {
	bool live; /* on a terminal: drawn over itself */
	bool drawn;
	unsigned n_shown;
	enum sim_state last[DEMO_TABLE_MAX]; /* what the lines told */
};

void demo_table_init(struct demo_table *t, bool terminal);
/* On a terminal the whole table; else a line for each outlet whose state changed. */
void demo_table_show(struct demo_table *t, const struct simulation *s);

#endif
