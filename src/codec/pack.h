/*
 * codec/pack.h — values as few bytes, for what rows keep packed.
 *
 * Integers as varints, signed ones zig-zag, times as differences to the one before (in ms where
 * they are whole ms), tags of hex digits or UUIDs by half, a tag that came before by its number.
 * Reader and writer must do the same in the same order.  Readers take bytes of any kind: after the
 * first fault `bad` is set, and all values are zero.  Pure.
 */
#ifndef EV_CODEC_PACK_H
#define EV_CODEC_PACK_H

#include "core/types.h"

#define PACK_TAGS_MAX 16

/* Where the other side is, too. */
struct pack_state {
	int64_t last_ns; /* what the next time is the difference to */
	unsigned n_tags;
	struct rfid_tag tags[PACK_TAGS_MAX];
};

/* The writer's memory must be large enough: it asserts. */
struct pack_writer {
	uint8_t *p;
	size_t n;
	size_t cap;
	struct pack_state state;
};

struct pack_reader {
	const uint8_t *p;
	size_t left;
	bool bad;
	struct pack_state state;
};

struct pack_writer pack_writer_over(uint8_t *p, size_t cap);
struct pack_reader pack_reader_over(struct ev_str s);

/* A tag that both sides know before the first byte. */
void pack_know_tag(struct pack_state *s, const struct rfid_tag *tag);

void pack_u8(struct pack_writer *w, unsigned v);
void pack_uint(struct pack_writer *w, uint64_t v);
void pack_int(struct pack_writer *w, int64_t v);
void pack_bytes(struct pack_writer *w, const void *p, size_t n);
void pack_text(struct pack_writer *w, struct ev_str s); /* length first */
void pack_uuid(struct pack_writer *w, const struct ev_uuid *u);
void pack_identity(struct pack_writer *w, const struct identity *id);
void pack_time(struct pack_writer *w, int64_t ns);
void pack_tag(struct pack_writer *w, const struct rfid_tag *tag);

unsigned unpack_u8(struct pack_reader *r, unsigned max); /* bad above max */
uint64_t unpack_uint(struct pack_reader *r, uint64_t max);
int64_t unpack_int(struct pack_reader *r);
bool unpack_bytes(struct pack_reader *r, void *out, size_t n);
struct ev_str unpack_text(struct pack_reader *r, size_t max); /* borrowed */
struct ev_uuid unpack_uuid(struct pack_reader *r);
struct identity unpack_identity(struct pack_reader *r);
int64_t unpack_time(struct pack_reader *r);
struct rfid_tag unpack_tag(struct pack_reader *r);

/* EV_CORRUPT after a fault, or if bytes are left. */
EV_NODISCARD ev_err unpack_end(const struct pack_reader *r);

#endif
