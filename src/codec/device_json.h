/*
 * codec/device_json.h — OutletDeviceMessage as JSON, and the frames of our device WebSocket.
 *
 * Decoding accepts exactly what the original accepts (facts/original-system.md section 3) plus the
 * additive key `messageId`; device_wire_check then applies our stricter rules, so that a message
 * that only the rules refuse keeps its identity.  Encoding gives the original's bytes, but dates in
 * UTC.
 */
#ifndef EV_CODEC_DEVICE_JSON_H
#define EV_CODEC_DEVICE_JSON_H

#include "base/buf.h"
#include "codec/json_read.h"
#include "core/types.h"

/* A message as it was sent.  m.energy_mwh is 0: the energy is judged by device_wire_check. */
struct device_wire {
	struct device_message m;
	double power_kwh; /* may be negative or infinite */
};

/*
 * EV_INVALID: not a message (*error, may be NULL, says why).  A tag above 64 bytes and a messageId
 * that is not of 1 to 64 bytes are refused here; `messageId: null` is none.  What follows the
 * closing brace is ignored, as in the original.
 */
EV_NODISCARD ev_err device_json_decode(struct ev_str in, struct device_wire *out,
				       struct json_error *error);

/*
 * Our rules on a decoded message: energy from 0 to MESSAGE_ENERGY_MAX_MWH, rounded to the nearest
 * mWh.  EV_INVALID with *why (REASON_ENERGY_RANGE) otherwise.
 */
EV_NODISCARD ev_err device_wire_check(const struct device_wire *w, struct device_message *out,
				      enum reason *why);

/* Writes the message; messageId, if there is one, as the last key. */
void device_json_encode(const struct device_message *m, struct ev_buf *b);
void device_wire_encode(const struct device_wire *w, struct ev_buf *b);
void device_command_encode(const struct device_command *c, struct ev_buf *b);

/*
 * The body that an input's identity is made of: the re-encoding in UTC without messageId, so that
 * key order, spaces and offsets make no difference.
 */
void device_canonical(const struct device_wire *w, struct ev_buf *b);

#define DEVICE_JSON_MAX 1280 /* bytes of any message or command written here */

/* --- Several messages in one body --- */

#define DEVICE_BATCH_MAX 100

/*
 * Splits a body into the raw bytes of its messages: a JSON array's elements, or the body itself if
 * it is no array.  Elements need not be messages, only JSON.  EV_INVALID: a broken array; EV_FULL:
 * more than max elements.  out borrows from body.
 */
EV_NODISCARD ev_err device_batch_split(struct ev_str body, struct ev_str *out, size_t max,
				       size_t *out_n, struct json_error *error);

/* --- Frames of the device WebSocket --- */

enum gateway_frame_kind { GATEWAY_FRAME_MESSAGE, GATEWAY_FRAME_ACK };

/* From a device: a message, or `{"ack":"<messageId>"}` for a command it got. */
struct gateway_frame {
	enum gateway_frame_kind kind;
	union {
		struct device_wire wire;
		struct message_id ack;
	};
};

/* EV_INVALID: neither. */
EV_NODISCARD ev_err gateway_frame_decode(struct ev_str in, struct gateway_frame *out,
					 struct json_error *error);

#define GATEWAY_DETAIL_MAX 120

/* To a device: what became of its message. */
struct gateway_answer {
	struct message_id ack; /* of the message; none is written as null */
	enum verdict verdict;
	enum reason reason; /* REASON_NONE is written as null */
	bool has_state;
	enum outlet_state state;
	char detail[GATEWAY_DETAIL_MAX + 1]; /* follows the reason; UTF-8, "" if there is none */
};

#define GATEWAY_ANSWER_MAX (640 + 6 * GATEWAY_DETAIL_MAX) /* every character escaped */
/* {"ack":…,"verdict":…,"reason":…,"outletState":…} */
void gateway_answer_encode(const struct gateway_answer *a, struct ev_buf *b);

/* `{"ack":"<messageId>"}`, as a device sends it. */
void gateway_ack_encode(const struct message_id *id, struct ev_buf *b);

#endif
