/*
 * codec/event_proto.h — charging events as the protobuf of the stream.
 *
 * Two steps, as the wire and the core count differently: event_wire is the record as it was sent
 * (nanoseconds, kWh as a double), struct charging_event what we make of it (times cut to the
 * millisecond, energy in mWh).  Byte-compatible with the original: facts/original-system.md 4.1.
 */
#ifndef EV_CODEC_EVENT_PROTO_H
#define EV_CODEC_EVENT_PROTO_H

#include "base/buf.h"
#include "base/err.h"
#include "core/types.h"

/* A running sum, not one message: more than any outlet delivers, less than int64_t holds. */
#define EVENT_ENERGY_MAX_MWH (INT64_C(1) << 60)

#define EVENT_PROTO_MAX 512       /* bytes of any event encoded here */
#define EVENT_PROTO_READ_MAX 4096 /* a longer record is refused */

struct event_wire {
	enum initiator initiator;
	struct ev_uuid outlet_id;
	enum outlet_state state;
	bool has_session;
	struct ev_uuid session_id;
	struct rfid_tag tag;
	int64_t period_start_ns;
	bool has_period_end;
	int64_t period_end_ns;
	double power_kwh; /* any double */
	bool has_event_id;
	struct identity event_id;
	bool has_item;
	struct identity item_id;
	int64_t item_mwh;
};

/*
 * EV_INVALID with a constant *out_why (may be NULL): broken protobuf, what the original cannot read
 * either (it dies of it), a tag above 64 bytes, an instant outside base/time.h's range, or one of
 * our own fields in a form we do not write.  Unknown fields are skipped; empty sessionId is none.
 */
EV_NODISCARD ev_err event_wire_decode(struct ev_str in, struct event_wire *out,
				      const char **out_why);

/* Times are written with all their nanoseconds. */
void event_wire_encode(const struct event_wire *w, struct ev_buf *b);

/* EV_INVALID with *why when the energy is negative, not finite or above EVENT_ENERGY_MAX_MWH. */
EV_NODISCARD ev_err event_wire_to_core(const struct event_wire *w, struct charging_event *out,
				       enum reason *why);
void event_wire_from_core(const struct charging_event *e, struct event_wire *out);

/*
 * Both steps.  EV_INVALID: *why is REASON_UNDECODABLE or REASON_ENERGY_RANGE, *out_text (may be
 * NULL) a constant text for people.
 */
EV_NODISCARD ev_err event_proto_decode(struct ev_str in, struct charging_event *out,
				       enum reason *why, const char **out_text);
void event_proto_encode(const struct charging_event *e, struct ev_buf *b);

#endif
