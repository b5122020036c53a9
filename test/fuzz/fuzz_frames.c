/* Frames and batches of devices: agree with the reader of single messages. */
#include "check.h"
#include "codec/device_json.h"

static void check_ack(const struct message_id *id)
{
	char text[512];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct gateway_frame f;

	CHECK(id->n >= 1 && id->n <= MESSAGE_ID_MAX && ev_utf8_valid(id->s, id->n));
	gateway_ack_encode(id, &b);
	CHECK(!b.overflow);
	CHECK(gateway_frame_decode(ev_buf_str(&b), &f, NULL) == EV_OK);
	CHECK(f.kind == GATEWAY_FRAME_ACK && f.ack.n == id->n);
	CHECK(memcmp(f.ack.s, id->s, id->n) == 0);
}

static void check_frame(struct ev_str in)
{
	struct gateway_frame f;
	struct device_wire w;

	if (gateway_frame_decode(in, &f, NULL) != EV_OK)
		return;
	if (f.kind == GATEWAY_FRAME_ACK)
		check_ack(&f.ack);
	else
		CHECK(device_json_decode(in, &w, NULL) == EV_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	struct ev_str items[DEVICE_BATCH_MAX];
	size_t n = 0;

	check_frame(in);
	if (device_batch_split(in, items, DEVICE_BATCH_MAX, &n, NULL) != EV_OK)
		return 0;
	CHECK(n <= DEVICE_BATCH_MAX);
	for (size_t i = 0; i < n; i++) {
		CHECK(items[i].n <= size);
		CHECK(items[i].n == 0 ||
		      (items[i].p >= in.p && items[i].p + items[i].n <= in.p + size));
		check_frame(items[i]);
	}
	return 0;
}
