/* codec/kpl.c — see kpl.h.  Field numbers: AggregatedRecord.records 3, Record.data 3. */
#include "codec/kpl.h"

#define MD5_SIZE 16
#define RECORDS_FIELD 3
#define DATA_FIELD 3

static const uint8_t magic[] = { 0xf3, 0x89, 0x9a, 0xc2 };

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct pb_field {
	uint64_t number;
	unsigned type;
	struct ev_str bytes; /* of a WIRE_BYTES field */
};

static bool take_varint(struct ev_str *s, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10 && i < s->n; i++) {
		uint8_t c = (uint8_t)s->p[i];

		if (i == 9 && c > 1)
			return false;
		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c < 0x80) {
			s->p += i + 1;
			s->n -= i + 1;
			*out = v;
			return true;
		}
	}
	return false;
}

static bool take_bytes(struct ev_str *s, uint64_t n, struct ev_str *out)
{
	if (n > s->n)
		return false;
	*out = (struct ev_str){ s->p, (size_t)n };
	s->p += n;
	s->n -= (size_t)n;
	return true;
}

static bool take_field(struct ev_str *s, struct pb_field *out)
{
	uint64_t key, v;

	if (!take_varint(s, &key) || key >> 3 == 0)
		return false;
	out->number = key >> 3;
	out->type = (unsigned)(key & 7);
	switch (out->type) {
	case WIRE_VARINT:
		return take_varint(s, &v);
	case WIRE_FIXED64:
		return take_bytes(s, 8, &out->bytes);
	case WIRE_BYTES:
		return take_varint(s, &v) && take_bytes(s, v, &out->bytes);
	case WIRE_FIXED32:
		return take_bytes(s, 4, &out->bytes);
	default: /* groups and what does not exist */
		return false;
	}
}

/* The data of one Record; the last one given counts, as everywhere in protobuf. */
static bool record_data(struct ev_str record, struct ev_str *out)
{
	bool found = false;

	while (record.n > 0) {
		struct pb_field f;

		if (!take_field(&record, &f))
			return false;
		if (f.number == DATA_FIELD && f.type == WIRE_BYTES) {
			*out = f.bytes;
			found = true;
		}
	}
	return found;
}

/* The next contained record.  EV_NOTFOUND at the end. */
static ev_err next_record(struct ev_str *left, struct ev_str *out)
{
	while (left->n > 0) {
		struct pb_field f;

		if (!take_field(left, &f))
			return EV_CORRUPT;
		if (f.number == RECORDS_FIELD && f.type == WIRE_BYTES)
			return record_data(f.bytes, out) ? EV_OK : EV_CORRUPT;
	}
	return EV_NOTFOUND;
}

static ev_err count_records(struct ev_str left, size_t *out)
{
	struct ev_str ignored;
	size_t n = 0;
	ev_err e;

	while ((e = next_record(&left, &ignored)) == EV_OK)
		n++;
	if (e != EV_NOTFOUND)
		return e;
	*out = n;
	return EV_OK;
}

ev_err kpl_open(struct kpl_iter *it, struct ev_str data, kpl_md5_fn md5)
{
	struct kpl_iter opened = { .left = data, .count = 1 };
	uint8_t digest[MD5_SIZE];
	ev_err e;

	if (data.n < sizeof(magic) || memcmp(data.p, magic, sizeof(magic)) != 0) {
		*it = opened;
		return EV_OK;
	}
	if (data.n < sizeof(magic) + MD5_SIZE)
		return EV_CORRUPT;
	opened.aggregated = true;
	opened.left.p += sizeof(magic);
	opened.left.n -= sizeof(magic) + MD5_SIZE;
	md5(opened.left.p, opened.left.n, digest);
	if (memcmp(digest, opened.left.p + opened.left.n, MD5_SIZE) != 0)
		return EV_CORRUPT;
	e = count_records(opened.left, &opened.count);
	if (e == EV_OK)
		*it = opened;
	return e;
}

bool kpl_next(struct kpl_iter *it, struct ev_str *out)
{
	if (it->index == it->count)
		return false;
	if (it->aggregated) {
		/* kpl_open has walked over all of it. */
		if (next_record(&it->left, out) != EV_OK)
			return false;
	} else {
		*out = it->left;
	}
	it->index++;
	return true;
}
