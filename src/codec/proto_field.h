/*
 * codec/proto_field.h — the fields of a protobuf message as pieces of bytes, without its schema.
 *
 * For what protobuf-c does not do: walking over a message without making objects of it, and message
 * fields that come in pieces.  Pure; groups are not read (proto3 has none).
 */
#ifndef EV_PROTO_FIELD_H
#define EV_PROTO_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum proto_wire_type { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct proto_field {
	uint64_t number;
	unsigned type;
	struct ev_str bytes; /* the content; none for PROTO_VARINT */
	struct ev_str whole; /* with key and length */
};

/* Takes the next field of *s, which is not empty; false: it is no field of ours or cut off. */
bool proto_field_next(struct ev_str *s, struct proto_field *out);

/* How often `number` comes with bytes, and the last of them; 0 also if s is broken anywhere. */
size_t proto_count(struct ev_str s, uint32_t number, struct ev_str *out_last);

/*
 * The message with `number` in one piece, its pieces one behind the other: so the protobuf encoding
 * guide has it merged.  In room, of s.n + PROTO_JOIN_SPARE bytes, if there was more than one piece,
 * else s itself.
 */
#define PROTO_JOIN_SPARE 16
struct ev_str proto_join(struct ev_str s, uint32_t number, char *room);

/* The message with `content` in the place of all pieces of `number`; room: s.n + content.n + 16. */
struct ev_str proto_replace(struct ev_str s, uint32_t number, struct ev_str content, char *room);

#endif
