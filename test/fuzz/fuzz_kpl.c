/*
 * Aggregated records.  A fuzzer does not find an MD5, so the digest is one of zeros and the input
 * is the part between magic and digest.
 */
#include "check.h"
#include "codec/event_proto.h"
#include "codec/kpl.h"

static void zeros(const void *p, size_t n, uint8_t out[16])
{
	(void)p; /* of no digest */
	(void)n;
	memset(out, 0, 16);
}

static void walk(struct ev_str data)
{
	struct kpl_iter it;
	struct ev_str record;
	size_t n = 0;

	if (kpl_open(&it, data, zeros) != EV_OK)
		return;
	while (kpl_next(&it, &record)) {
		struct charging_event event;
		enum reason why;

		CHECK(record.n == 0 ||
		      (record.p >= data.p && record.p + record.n <= data.p + data.n));
		if (event_proto_decode(record, &event, &why, NULL) == EV_OK)
			CHECK(event.energy_mwh >= 0);
		n++;
	}
	CHECK(n == it.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *framed = malloc(4 + size + 16);

	CHECK(framed != NULL);
	memcpy(framed, "\xf3\x89\x9a\xc2", 4);
	if (size > 0)
		memcpy(framed + 4, data, size);
	memset(framed + 4 + size, 0, 16);
	walk((struct ev_str){ (const char *)framed, 4 + size + 16 });
	free(framed);
	walk((struct ev_str){ (const char *)data, size });
	return 0;
}
