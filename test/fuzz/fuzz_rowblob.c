/*
 * What the embedded engine's rows keep as bytes: whatever they are, a reader says EV_CORRUPT or
 * gives back what a writer writes as the very same bytes; and an outlet and an input that were read
 * can be decided about.
 */
#include "check.h"
#include "engine/embedded/rowblob.h"

static void check_same(struct ev_str in, const uint8_t *p, size_t n)
{
	CHECK(in.n == n && memcmp(in.p, p, n) == 0);
}

static bool read_outlet(struct ev_str in, struct outlet *o)
{
	uint8_t again[OUTLET_BLOB_MAX];

	memset(o, 0, sizeof(*o));
	ev_err e = outlet_blob_read(in, o);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e != EV_OK)
		return false;
	CHECK(o->n_recent <= OUTLET_RECENT_MAX && o->n_refused <= OUTLET_REFUSED_MAX);
	CHECK(o->n_ids <= OUTLET_IDS_MAX && o->request.tag.n <= RFID_TAG_MAX);
	check_same(in, again, outlet_blob_write(o, again));
	return true;
}

static void read_session(struct ev_str in)
{
	uint8_t again[SESSION_BLOB_MAX];
	struct session s;

	memset(&s, 0, sizeof(s));
	ev_err e = session_blob_read(in, &s);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e == EV_OK) {
		CHECK(s.n_sums <= SESSION_SUMS_MAX);
		check_same(in, again, session_blob_write(&s, again));
	}
}

static bool read_input(struct ev_str in, struct outlet_input *input)
{
	uint8_t again[INPUT_BLOB_MAX];
	ev_err e = input_blob_read(in, input);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e != EV_OK)
		return false;
	CHECK(input->kind < OUTLET_IN_COUNT);
	check_same(in, again, input_blob_write(input, again));
	return true;
}

/* As outlet_decide demands it; the columns beside the blob are checked by who reads them. */
static bool may_be_decided(const struct outlet *o, const struct outlet_input *in)
{
	int64_t mwh = in->kind == OUTLET_IN_DEVICE ? in->device.energy_mwh : 0;
	int64_t sum = o->energy_mwh;

	for (unsigned i = 0; i < o->n_recent; i++) {
		if (o->recent[i].sum_mwh < 0 ||
		    __builtin_add_overflow(sum, o->recent[i].sum_mwh, &sum) ||
		    sum > o->total_energy_mwh)
			return false;
	}
	return mwh >= 0 && mwh <= MESSAGE_ENERGY_MAX_MWH;
}

static void decide(struct outlet *o, const struct outlet_input *in, unsigned how)
{
	static const enum outlet_state states[] = { OUTLET_AVAILABLE, OUTLET_CABLE_PLUGGED,
						    OUTLET_CHARGING, OUTLET_CHARGING_FINISHED };
	struct outlet_rules rules = outlet_rules_default();
	struct outlet_decision d;
	struct outlet_input timer;
	int64_t due_ns;

	o->state = states[how & 3U];
	o->has_session = o->state >= OUTLET_CHARGING;
	o->max_power_mw = 22000000;
	o->total_energy_mwh = (how & 4U) != 0 ? INT64_MAX : INT64_C(1) << 50;
	if (!may_be_decided(o, in))
		return;
	outlet_decide(o, in, &rules, INT64_C(1700000000000000000), &d); /* 2023 */
	CHECK(d.n_events <= OUTLET_EVENTS_MAX && d.n_commands <= OUTLET_COMMANDS_MAX);
	CHECK(d.next.total_energy_mwh >= o->total_energy_mwh && d.credited_mwh >= 0);
	if (outlet_next_timer(o, &rules, &due_ns, &timer))
		CHECK(timer.kind < OUTLET_IN_COUNT && timer.at_ns == due_ns);
	CHECK(d.next.total_energy_mwh - o->total_energy_mwh == d.credited_mwh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	struct outlet_input input;
	struct outlet o;

	if (size < 3)
		return 0;
	unsigned kind = data[0];
	size_t n = (size_t)data[1] << 8 | data[2];

	in = (struct ev_str){ in.p + 3, size - 3 };
	n = n < in.n ? n : in.n;
	struct ev_str first = { in.p, n }, second = { in.p + n, in.n - n };

	read_session(first);
	bool both = read_outlet(first, &o);

	both = read_input(second, &input) && both;
	if (both)
		decide(&o, &input, kind);
	return 0;
}
