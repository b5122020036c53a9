/* Charging events: what is accepted re-encodes to a fixed point, on the wire and in the core. */
#include "check.h"
#include "codec/event_proto.h"

static void check_core(const struct event_wire *w)
{
	char first[EVENT_PROTO_MAX], second[EVENT_PROTO_MAX];
	struct ev_buf a = ev_buf_over(first, sizeof(first));
	struct ev_buf b = ev_buf_over(second, sizeof(second));
	struct charging_event event, again;
	enum reason why = REASON_NONE;

	if (event_wire_to_core(w, &event, &why) != EV_OK) {
		CHECK(why == REASON_ENERGY_RANGE);
		return;
	}
	CHECK(event.energy_mwh >= 0 && event.energy_mwh <= EVENT_ENERGY_MAX_MWH);
	event_proto_encode(&event, &a);
	CHECK(event_proto_decode(ev_buf_str(&a), &again, &why, NULL) == EV_OK);
	event_proto_encode(&again, &b);
	CHECK(ev_str_eq(ev_buf_str(&a), ev_buf_str(&b)));
	CHECK(again.period_start_ns == event.period_start_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	char first[EVENT_PROTO_MAX], second[EVENT_PROTO_MAX];
	struct ev_buf a = ev_buf_over(first, sizeof(first));
	struct ev_buf b = ev_buf_over(second, sizeof(second));
	struct event_wire w, again;
	const char *why = NULL;

	if (event_wire_decode(in, &w, &why) != EV_OK) {
		CHECK(why != NULL && event_wire_decode(in, &w, NULL) == EV_INVALID);
		return 0;
	}
	event_wire_encode(&w, &a);
	CHECK(!a.overflow);
	CHECK(event_wire_decode(ev_buf_str(&a), &again, NULL) == EV_OK);
	event_wire_encode(&again, &b);
	CHECK(ev_str_eq(ev_buf_str(&a), ev_buf_str(&b)));
	check_core(&w);
	return 0;
}
