/*
 * codec/ddb_effects.h — a row's events and commands that are not known to be sent, as the bytes of
 * its attribute `unsent`.
 *
 * Exact: each field comes back as it went.  What an effect has in common with its row is not
 * written again; the running Charging event of a plain report takes one byte.  Pure.
 */
#ifndef EV_CODEC_DDB_EFFECTS_H
#define EV_CODEC_DDB_EFFECTS_H

#include "base/err.h"
#include "base/str.h"
#include "core/outlet.h"
#include "core/session.h"

#define ROW_EFFECTS_MAX 16

struct row_effect {
	bool is_command;
	bool plain; /* of a plain report: needs no write of its own to be cleared */
	union {
		struct charging_event event;
		struct device_command command;
	};
};

/* In the order in which they are to be sent. */
struct row_effects {
	unsigned n;
	int64_t since_ns; /* when the oldest of them was written; 0 if n is 0 */
	struct row_effect of[ROW_EFFECTS_MAX];
};

/* What the row says of itself, so that its effects need not. */
struct effects_base {
	enum initiator initiator;
	struct ev_uuid outlet_id;
	uint64_t version;
	bool has_session;
	struct ev_uuid session_id;
	enum outlet_state state;
	struct rfid_tag tag;
	int64_t start_ns;
	bool has_end;
	int64_t end_ns;
	int64_t energy_mwh;
	struct identity last; /* the newest identity, of which eventIds are made */
};
struct effects_base effects_base_outlet(const struct outlet *o);
struct effects_base effects_base_session(const struct session *s);

#define ROW_EFFECTS_BYTES 4096 /* of 16 of any kind */

/* Returns how many bytes it wrote; since_ns is no part of them. */
size_t row_effects_write(const struct row_effects *e, const struct effects_base *base,
			 uint8_t out[ROW_EFFECTS_BYTES]);
/* EV_CORRUPT unless they are what the writer makes; *out is untouched then. */
EV_NODISCARD ev_err row_effects_read(struct ev_str bytes, const struct effects_base *base,
				     struct row_effects *out);

#endif
