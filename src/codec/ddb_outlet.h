/*
 * codec/ddb_outlet.h — rows of the outlet table.
 *
 * The original's attributes are as it writes and reads them (facts/original-system.md section 1)
 * and hold their fields exactly: they are the truth.  Ours: `version`, `unsentSince`, `unsent` and
 * `x`, all the rest packed.  A usual row stays under 1,024 bytes.  Pure.
 */
#ifndef EV_CODEC_DDB_OUTLET_H
#define EV_CODEC_DDB_OUTLET_H

#include "codec/ddb_effects.h"
#include "codec/ddb_item.h"
#include "core/outlet.h"

#define DDB_OUTLET_JSON_MAX 24576 /* bytes of any item or update written here */

struct ddb_outlet {
	struct outlet outlet;
	struct outlet_info info;
	struct row_effects effects;
	/*
	 * Set by reading a row that has no version: the original wrote it.  `total` is its
	 * totalPowerConsumption to the last digit, for the condition.
	 */
	bool unversioned;
	struct ddb_number total;
};

/* `{"outletId":{"S":"…"}}`, a value. */
void ddb_outlet_key(const struct ev_uuid *id, struct json_writer *w);

/* The whole item, a value: for a table that has no such row. */
void ddb_outlet_put(const struct ddb_outlet *row, struct json_writer *w);

/*
 * Members of an UpdateItem, into the object that is open: Key and what makes `now` of `was`, the
 * changed attributes alone.  Condition: the version of `was`; without `was` (NULL) that there is no
 * such row; if `was` is unversioned, that it still is and that its state and total are as read, and
 * then every attribute is written.  The versions may be equal (effects cleared).
 */
void ddb_outlet_update(const struct ddb_outlet *was, const struct ddb_outlet *now,
		       struct json_writer *w);

/*
 * Reads an item.  A row without version gets version 1, `foreign`, and of ours nothing; its session
 * fields are as they stand (core/outlet.c adopts them), sums below zero are zero and a sum above
 * the total raises it.  A row with a version but without `x` is foreign as well, under its version.
 *
 * EV_CORRUPT: what the original cannot read either, a number out of range, a state that is never
 * stored, a text longer than ours may be, or an `x` or `unsent` that we did not write.  A row that
 * was read can be decided about.
 */
EV_NODISCARD ev_err ddb_outlet_read(struct ev_str item, struct ddb_outlet *out);

/* All its attributes, e.g. for ddb_item_size. */
void ddb_outlet_attrs(const struct ddb_outlet *row, struct ddb_attrs *out);

#endif
