/*
 * core/types.h — the words of the domain: states, tags, messages, events, commands.
 *
 * Plain values of fixed size, compared by the tests.  Energy is int64_t milliwatt-hours (mWh), time
 * int64_t nanoseconds UTC.  Source: design section 2, facts/original-system.md sections 1 to 4, 8.
 */
#ifndef EV_CORE_TYPES_H
#define EV_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

enum outlet_state {
	OUTLET_AVAILABLE,
	OUTLET_CABLE_PLUGGED,
	OUTLET_DEVICE_REQUESTS_CHARGING,
	OUTLET_DEVICE_DENIES_CHARGING,
	OUTLET_APP_REQUESTS_CHARGING,
	OUTLET_APP_DENIES_CHARGING,
	OUTLET_CHARGING,
	OUTLET_DEVICE_REQUESTS_STOP,
	OUTLET_APP_REQUESTS_STOP,
	OUTLET_CHARGING_FINISHED,
	OUTLET_STATE_COUNT
};

/* The exact name on every wire and in every table, e.g. "CablePlugged". */
const char *outlet_state_text(enum outlet_state s);
EV_NODISCARD ev_err outlet_state_parse(struct ev_str s, enum outlet_state *out); /* exact case */

enum initiator { INITIATOR_APP_BACKEND, INITIATOR_OUTLET_BACKEND, INITIATOR_COUNT };
const char *initiator_text(enum initiator i);
EV_NODISCARD ev_err initiator_parse(struct ev_str s, enum initiator *out);

enum purchase_channel { CHANNEL_OUTLET_DEVICE, CHANNEL_MOBILE_APP, CHANNEL_COUNT };
const char *channel_text(enum purchase_channel c);
EV_NODISCARD ev_err channel_parse(struct ev_str s, enum purchase_channel *out);

/* What became of an input; design section 3.  QUEUED: the path only queues (a gateway on aws). */
enum verdict {
	VERDICT_APPLIED,
	VERDICT_DUPLICATE,
	VERDICT_LATER,
	VERDICT_REFUSED,
	VERDICT_REJECTED,
	VERDICT_QUEUED,
	VERDICT_COUNT
};
const char *verdict_text(enum verdict v);

#define RFID_TAG_MAX 64 /* bytes of UTF-8 */

struct rfid_tag {
	uint8_t n;
	char s[RFID_TAG_MAX];
};

/* EV_INVALID when longer than 64 bytes or not UTF-8; empty is allowed ("no tag"). */
EV_NODISCARD ev_err rfid_tag_set(struct rfid_tag *t, struct ev_str s);
/* Without case: ASCII letters only, all other bytes as they are (docs/decisions/0004). */
bool rfid_tag_eq(const struct rfid_tag *a, const struct rfid_tag *b);
struct rfid_tag rfid_tag_lower(const struct rfid_tag *t);
static inline struct ev_str rfid_tag_str(const struct rfid_tag *t)
{
	return (struct ev_str){ t->s, t->n };
}

/* What a write of a row at `version` takes: max(version + 1, the server's time in ms). */
uint64_t row_next_version(uint64_t version, int64_t now_ns);

/* Identity of an input: 128 bits, see design section 5.2.  All zero: none. */
struct identity {
	uint8_t b[16];
};
static inline bool identity_eq(const struct identity *a, const struct identity *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}
bool identity_is_none(const struct identity *id);

#define MESSAGE_ID_MAX 64 /* bytes */
struct message_id {
	uint8_t n; /* 0: none given */
	char s[MESSAGE_ID_MAX];
};

#define MESSAGE_ENERGY_MAX_MWH (INT64_C(100000) * 1000000) /* 100,000 kWh in one message */

/* OutletDeviceMessage, from a device. */
struct device_message {
	struct ev_uuid outlet_id;
	struct rfid_tag tag;
	int64_t period_start_ns; /* the device's clock: shown, never decided upon */
	int64_t period_end_ns;
	enum outlet_state change;
	int64_t energy_mwh; /* 0..MESSAGE_ENERGY_MAX_MWH */
	struct message_id message_id;
};

/*
 * OutletDeviceMessage, to a device.  Its messageId is `%016x-%x` of (version, index): sortable, the
 * row's version that caused it and its place in that decision.
 */
struct device_command {
	struct ev_uuid outlet_id;
	uint64_t version;
	unsigned index;
	enum outlet_state change;
	struct rfid_tag tag;
	bool has_session; /* of ours, not on the wire: tells whether the reason still stands */
	struct ev_uuid session_id;
	int64_t period_start_ns;
	int64_t period_end_ns;
	int64_t energy_mwh;
	int64_t created_ns;
	int64_t expires_ns; /* 0: never */
};
#define COMMAND_ID_TEXT 18
void command_id_text(uint64_t version, unsigned index, char out[COMMAND_ID_TEXT + 1]);
EV_NODISCARD ev_err command_id_parse(struct ev_str s, uint64_t *out_version, unsigned *out_index);

/* ChargingEvent with its EventSession; item_*: additive, an attached piece of unassigned energy. */
struct charging_event {
	enum initiator initiator;
	struct ev_uuid outlet_id;
	enum outlet_state state;
	bool has_session;
	struct ev_uuid session_id;
	struct rfid_tag tag;
	int64_t period_start_ns;
	bool has_period_end;
	int64_t period_end_ns;
	int64_t energy_mwh;
	bool has_event_id;
	struct identity event_id;
	bool has_item;
	struct identity item_id;
	int64_t item_mwh;
};

/* Why an input was not simply applied; `none` for applied. */
#define REASON_LIST(X)                                                                             \
	X(NONE, "")                                                                                \
	X(REPEATED, "this message was handled before")                                             \
	X(NOTHING_TO_DO, "the outlet is in that state already")                                    \
	X(EARLIER, "the message is older than the outlet's present state")                         \
	X(TOO_OLD, "the request is older than the request timeout")                                \
	X(EMPTY_TAG, "rfidTag is empty")                                                           \
	X(OTHER_REQUEST, "another tag's request is waiting")                                       \
	X(OTHER_SESSION, "another session is charging")                                            \
	X(NO_CABLE, "no cable is plugged")                                                         \
	X(OUT_OF_SERVICE, "the outlet is out of service")                                          \
	X(FOREIGN_TAG, "the tag is not the session's")                                             \
	X(BAD_STATE, "outletStateChange is not one that a device may send")                        \
	X(BAD_EVENT, "the event's outletState is not one that its sender may put")                 \
	X(UNKNOWN_OUTLET, "no such outlet")                                                        \
	X(UNKNOWN_SESSION, "no such session")                                                      \
	X(NO_SESSION_ID, "sessionId is missing")                                                   \
	X(UNDECODABLE, "the message cannot be read")                                               \
	X(ENERGY_RANGE, "powerConsumption must be from 0 to 100000 kWh")                           \
	X(NOT_WAITING, "no request of that tag is waiting")                                        \
	X(MOVED_ON, "the outlet has moved on")                                                     \
	X(CHARGING, "the outlet is charging")                                                      \
	X(RETIRED, "the outlet is retired")                                                        \
	X(WAITING, "waits for a message that is on its way")                                       \
	X(UNKNOWN_TAG, "the tag is not known")                                                     \
	X(BLOCKED, "the customer is blocked")                                                      \
	X(ALREADY_ATTACHED, "the energy is attached to a session already")                         \
	X(ENDED, "the session has ended")                                                          \
	X(STALE_EVENT, "the event is older than what is known")                                    \
	X(RATE, "too many messages")                                                               \
	X(OVERLOAD, "the system is overloaded")                                                    \
	X(TOTAL_OVERFLOW, "the outlet's total would overflow")                                     \
	X(WRONG_OUTLET, "outletId is not that of the connection")

#define REASON_ENUM(name, text) REASON_##name,
enum reason { REASON_LIST(REASON_ENUM) REASON_COUNT };
#undef REASON_ENUM
const char *reason_text(enum reason r);

#endif
