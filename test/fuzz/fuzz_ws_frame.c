/*
 * WebSocket frames: a frame is read the same when its bytes come one by one; what is read lies
 * inside it; nothing is changed before it is complete.
 */
#include "check.h"
#include "net/ws_frame.h"

#define MAX_PAYLOAD 4096

static void check_frame(const struct net_ws_frame *f, const char *p, size_t n)
{
	bool control = f->opcode >= NET_WS_CLOSE;

	CHECK(f->size <= n && f->size >= 6 + f->payload.n);
	CHECK(f->payload.p + f->payload.n == p + f->size);
	CHECK(f->payload.n <= MAX_PAYLOAD);
	CHECK(!control || (f->fin && f->payload.n <= 125));
}

static void check_echo(const struct net_ws_frame *f)
{
	uint8_t head[NET_WS_MAX_HEADER];
	size_t n = net_ws_header(head, f->opcode, f->payload.n);

	CHECK(n >= 2 && n <= sizeof(head));
	CHECK((head[0] & 0x0fU) == (unsigned)f->opcode && (head[1] & 0x80U) == 0);
	CHECK(f->size == n + 4 + f->payload.n); /* lengths in their shortest form, and a mask */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *whole = malloc(size + 1);
	size_t at = 0;
	enum net_ws_result r = NET_WS_FRAME;

	CHECK(whole != NULL);
	memcpy(whole, data, size);
	while (r == NET_WS_FRAME) {
		struct net_ws_frame f;
		struct net_ws_frame part;
		enum net_ws_result by_bytes = NET_WS_MORE;
		size_t n = 0;

		/* What is not complete is left as it is, so every length can be tried. */
		while (n < size - at && by_bytes == NET_WS_MORE && n < 64)
			by_bytes = net_ws_decode(whole + at, n++, MAX_PAYLOAD, &part);
		if (by_bytes == NET_WS_MORE)
			CHECK(memcmp(whole + at, data + at, size - at) == 0);
		if (by_bytes == NET_WS_FRAME) {
			check_frame(&part, whole + at, size - at);
			memcpy(whole + at, data + at, size - at); /* masked again */
		}
		r = net_ws_decode(whole + at, size - at, MAX_PAYLOAD, &f);
		CHECK(by_bytes == NET_WS_MORE || by_bytes == r);
		if (r != NET_WS_FRAME)
			break;
		check_frame(&f, whole + at, size - at);
		check_echo(&f);
		at += f.size;
	}
	free(whole);
	return 0;
}
