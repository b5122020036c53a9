/* codec/kpl.c — see kpl.h.  Field numbers: AggregatedRecord.records 3, Record.data 3. */
#include "codec/kpl.h"

#include "codec/proto_field.h"

#define MD5_SIZE 16
#define RECORDS_FIELD 3
#define DATA_FIELD 3

static const uint8_t magic[] = { 0xf3, 0x89, 0x9a, 0xc2 };

/* The data of one Record; the last one given counts, as everywhere in protobuf. */
static bool record_data(struct ev_str record, struct ev_str *out)
{
	bool found = false;

	while (record.n > 0) {
		struct proto_field f;

		if (!proto_field_next(&record, &f))
			return false;
		if (f.number == DATA_FIELD && f.type == PROTO_BYTES) {
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
		struct proto_field f;

		if (!proto_field_next(left, &f))
			return EV_CORRUPT;
		if (f.number == RECORDS_FIELD && f.type == PROTO_BYTES)
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
