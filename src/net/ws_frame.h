/*
 * net/ws_frame.h — WebSocket frames as a server sees them (RFC 6455), as pure functions over bytes.
 * No extensions: any reserved bit is an error.  No I/O, no allocation.
 */
#ifndef EV_NET_WS_FRAME_H
#define EV_NET_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum net_ws_opcode {
	NET_WS_CONTINUATION = 0,
	NET_WS_TEXT = 1,
	NET_WS_BINARY = 2,
	NET_WS_CLOSE = 8,
	NET_WS_PING = 9,
	NET_WS_PONG = 10
};

enum net_ws_result {
	NET_WS_MORE, /* the frame is not complete */
	NET_WS_FRAME,
	NET_WS_PROTOCOL, /* to be closed with 1002 */
	NET_WS_TOO_BIG   /* to be closed with 1009 */
};

struct net_ws_frame {
	enum net_ws_opcode opcode;
	bool fin;
	struct ev_str payload; /* in place, unmasked */
	size_t size;           /* of the whole frame */
};

/*
 * Reads the frame at p[0..n), written by a client: it must be masked.  A frame that is complete is
 * unmasked in place, so the same bytes are not read twice.  A payload above max_payload is TOO_BIG
 * as soon as its length is known.
 */
enum net_ws_result net_ws_decode(char *p, size_t n, size_t max_payload, struct net_ws_frame *out);

#define NET_WS_MAX_HEADER 10

/* Writes the header of an unmasked final frame; returns its length. */
size_t net_ws_header(uint8_t out[NET_WS_MAX_HEADER], enum net_ws_opcode opcode, size_t len);

/* Whether a close frame may carry this code (RFC 6455, 7.4). */
bool net_ws_close_code_ok(unsigned code);

#define NET_WS_ACCEPT_LEN 28

/*
 * The Sec-WebSocket-Accept for a Sec-WebSocket-Key, NUL-terminated.  EV_INVALID unless the key is
 * 16 bytes in base64.
 */
EV_NODISCARD ev_err net_ws_accept_key(struct ev_str key, char out[NET_WS_ACCEPT_LEN + 1]);

#endif
