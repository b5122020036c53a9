/*
 * Rows and items as they come from tables: whatever they are, a reader says EV_CORRUPT or gives a
 * row that returns when it is written, and that can be decided about.  The first byte says what is
 * read; packed parts also come as bare bytes, for no fuzzer gets through base64.
 */
#include "check.h"

#include "base/base64.h"
#include "codec/ddb_customer.h"
#include "codec/ddb_letter.h"
#include "codec/ddb_outlet.h"
#include "codec/ddb_session.h"
#include "codec/input_pack.h"
#include "codec/lease_row.h"
#include "engine/aws/ddb_own.h"

#define NOW_NS INT64_C(1700000000000000000) /* 2023 */
#define JSON_MAX 65536

struct out {
	char bytes[JSON_MAX];
	struct ev_buf buf;
	struct json_writer w;
};

static struct json_writer *begin(struct out *o)
{
	o->buf = ev_buf_over(o->bytes, sizeof(o->bytes));
	o->w = json_writer_over(&o->buf);
	return &o->w;
}

static struct ev_str text(const struct out *o)
{
	CHECK(!o->buf.overflow);
	return ev_buf_str(&o->buf);
}

static void check_same_text(const struct out *a, const struct out *b)
{
	CHECK(ev_str_eq(text(a), text(b)));
}

static struct out first, second;

/* ---- outlets ---- */

static void decide_outlet(const struct outlet *o)
{
	static struct outlet_decision d;
	struct outlet_rules rules = outlet_rules_default();
	static const enum outlet_state changes[] = { OUTLET_CABLE_PLUGGED, OUTLET_AVAILABLE,
						     OUTLET_CHARGING, OUTLET_DEVICE_REQUESTS_STOP,
						     OUTLET_DEVICE_REQUESTS_CHARGING };
	struct outlet_input in = { .kind = OUTLET_IN_DEVICE, .at_ns = NOW_NS };
	int64_t due_ns;

	in.device = (struct device_message){ .outlet_id = o->id,
					     .tag = o->tag,
					     .period_end_ns = NOW_NS,
					     .energy_mwh = MESSAGE_ENERGY_MAX_MWH };
	for (size_t i = 0; i < EV_ARRAY_LEN(changes); i++) {
		in.device.change = changes[i];
		if (o->total_energy_mwh > INT64_MAX - 2 * MESSAGE_ENERGY_MAX_MWH)
			in.device.energy_mwh = 0;
		outlet_decide(o, &in, &rules, NOW_NS, &d);
		CHECK(d.next.total_energy_mwh - o->total_energy_mwh == d.credited_mwh);
	}
	if (outlet_next_timer(o, &rules, &due_ns, &in))
		outlet_decide(o, &in, &rules, NOW_NS, &d);
}

static void read_outlet(struct ev_str item)
{
	static struct ddb_outlet row, again;
	ev_err e = ddb_outlet_read(item, &row);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e != EV_OK)
		return;
	ddb_outlet_put(&row, begin(&first));
	CHECK(text(&first).n <= DDB_OUTLET_JSON_MAX);
	CHECK(ddb_outlet_read(text(&first), &again) == EV_OK);
	CHECK(!again.unversioned);
	ddb_outlet_put(&again, begin(&second));
	check_same_text(&first, &second);
	json_write_object(begin(&first));
	ddb_outlet_update(&row, &again, &first.w);
	CHECK(text(&first).n <= DDB_OUTLET_JSON_MAX);
	decide_outlet(&row.outlet);
}

static void add_bytes(struct json_writer *w, const char *name, struct ev_str bytes)
{
	ev_buf_z(w->b, ",\"");
	ev_buf_z(w->b, name);
	ev_buf_z(w->b, "\":{\"B\":\"");
	ev_base64_write(w->b, bytes.p, bytes.n);
	ev_buf_z(w->b, "\"}");
}

/* An outlet that charges, with packed attributes of any bytes. */
static void read_packed_outlet(struct ev_str x, struct ev_str unsent)
{
	static struct out item;
	struct json_writer *w = begin(&item);

	ev_buf_z(w->b,
		 "{\"outletId\":{\"S\":\"86c911e2-bbf3-42c8-8925-f9d380c1f329\"},"
		 "\"chargerGroupId\":{\"S\":\"0b1c2d3e-4f50-4617-8829-3a4b5c6d7e8f\"},"
		 "\"outletCode\":{\"S\":\"A\"},\"address\":{\"S\":\"B\"},"
		 "\"maxPower\":{\"N\":\"22000\"},\"outletState\":{\"S\":\"Charging\"},"
		 "\"sessionId\":{\"S\":\"3f2b8c1e-7a4d-4e0b-9c55-0d1e2f3a4b5c\"},"
		 "\"rfidTag\":{\"S\":\"04a2b9c1d2e380\"},"
		 "\"startTime\":{\"S\":\"2023-06-13T10:20:01.000017Z\"},"
		 "\"powerConsumption\":{\"N\":\"1.5\"},\"totalChargingSessions\":{\"N\":\"1\"},"
		 "\"totalPowerConsumption\":{\"N\":\"7\"},\"version\":{\"N\":\"1717200000123\"},"
		 "\"unsentSince\":{\"N\":\"5\"}");
	add_bytes(w, "x", x);
	if (unsent.n > 0)
		add_bytes(w, "unsent", unsent);
	ev_buf_char(w->b, '}');
	if (!item.buf.overflow)
		read_outlet(text(&item));
}

/* ---- sessions, customers, leases, letters ---- */

static void decide_session(const struct session *s)
{
	struct session_decision d;
	struct charging_event e = { .initiator = INITIATOR_OUTLET_BACKEND,
				    .outlet_id = s->outlet_id,
				    .has_session = true,
				    .session_id = s->id,
				    .has_period_end = true,
				    .period_end_ns = NOW_NS,
				    .energy_mwh = INT64_C(1) << 60,
				    .has_event_id = true };
	static const enum outlet_state states[] = { OUTLET_CHARGING, OUTLET_CHARGING_FINISHED,
						    OUTLET_DEVICE_DENIES_CHARGING };
	struct identity seed = { { 1 } };

	for (size_t i = 0; i < EV_ARRAY_LEN(states); i++) {
		e.state = states[i];
		session_on_event(s, &e, false, NOW_NS, &d);
		CHECK(d.next.energy_mwh >= 0);
	}
	session_stop(s, &seed, NOW_NS, &d);
	session_close(s, NOW_NS, &d);
	session_forget(s, NOW_NS, &d);
}

static void read_session(struct ev_str item)
{
	static struct ddb_session row, again;
	ev_err e = ddb_session_read(item, &row);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e != EV_OK)
		return;
	ddb_session_put(&row, begin(&first));
	CHECK(ddb_session_read(text(&first), &again) == EV_OK);
	ddb_session_put(&again, begin(&second));
	check_same_text(&first, &second);
	json_write_object(begin(&first));
	ddb_session_update(&row, &again, &first.w);
	CHECK(text(&first).n <= DDB_SESSION_JSON_MAX);
	decide_session(&row.session);
}

static void read_packed_session(struct ev_str x, struct ev_str unsent)
{
	static struct out item;
	struct json_writer *w = begin(&item);

	ev_buf_z(w->b, "{\"sessionId\":{\"S\":\"3f2b8c1e-7a4d-4e0b-9c55-0d1e2f3a4b5c\"},"
		       "\"customerId\":{\"S\":\"c0ffee00-1234-4abc-8def-0123456789ab\"},"
		       "\"rfidTag\":{\"S\":\"04a2b9c1d2e380\"},"
		       "\"outletId\":{\"S\":\"86c911e2-bbf3-42c8-8925-f9d380c1f329\"},"
		       "\"outletState\":{\"S\":\"Charging\"},"
		       "\"purchaseChannel\":{\"S\":\"MobileApp\"},"
		       "\"startTime\":{\"S\":\"2023-06-13T10:20:00.654321Z\"},"
		       "\"powerConsumption\":{\"N\":\"1.234\"},"
		       "\"version\":{\"N\":\"1717200000123\"},\"unsentSince\":{\"N\":\"5\"}");
	add_bytes(w, "x", x);
	if (unsent.n > 0)
		add_bytes(w, "unsent", unsent);
	ev_buf_char(w->b, '}');
	if (!item.buf.overflow)
		read_session(text(&item));
}

static void read_customer(struct ev_str item)
{
	static struct ddb_customer row, again;
	ev_err e = ddb_customer_read(item, &row);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e != EV_OK)
		return;
	ddb_customer_put(&row, begin(&first));
	CHECK(ddb_customer_read(text(&first), &again) == EV_OK);
	ddb_customer_put(&again, begin(&second));
	check_same_text(&first, &second);
	json_write_object(begin(&first));
	ddb_customer_update(&row, &again, &first.w);
	CHECK(text(&first).n <= DDB_CUSTOMER_JSON_MAX);
}

static void read_lease(struct ev_str item)
{
	static struct lease_row row;
	struct lease_checkpoint end = { .kind = LEASE_SHARD_END };
	ev_err e = lease_row_read(item, &row);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e != EV_OK)
		return;
	CHECK(row.n_parents <= LEASE_PARENTS_MAX);
	json_write_object(begin(&first));
	lease_claim(&row, EV_LIT("me"), &first.w);
	CHECK(text(&first).n <= LEASE_JSON_MAX);
	json_write_object(begin(&first));
	lease_checkpoint(&row, row.checkpoint.kind == LEASE_NONE ? &end : &row.checkpoint,
			 EV_LIT(""), &first.w);
	CHECK(text(&first).n <= LEASE_JSON_MAX);
}

static void read_letter(struct ev_str json)
{
	static struct letter_read l;
	static char room[LETTER_BYTES_MAX];
	ev_err e = letter_parse(json, &l, room);

	CHECK(e == EV_OK || e == EV_INVALID);
	if (e != EV_OK)
		return;
	CHECK(text_len(l.partition_key, sizeof(l.partition_key)) <= LETTER_KEY_MAX);
	CHECK(text_len(l.data, sizeof(l.data)) <= LETTER_DATA_MAX);
	CHECK(text_len(l.error, sizeof(l.error)) <= LETTER_ERROR_MAX);
	CHECK((unsigned)l.reason < REASON_COUNT && l.bytes.n <= LETTER_BYTES_MAX);
}

/* ---- our own items ---- */

static void read_input(struct ev_str bytes)
{
	static struct outlet_input in, again;
	uint8_t packed[INPUT_PACK_MAX];
	ev_err e = input_unpack(bytes, &in);

	CHECK(e == EV_OK || e == EV_CORRUPT);
	if (e != EV_OK)
		return;
	size_t n = input_pack(&in, packed);

	CHECK(input_unpack((struct ev_str){ (char *)packed, n }, &again) == EV_OK);
	CHECK(again.kind == in.kind && again.at_ns == in.at_ns && identity_eq(&again.id, &in.id));
}

static void read_letter_item(struct ev_str item)
{
	static struct dead_letter l, again;
	static char body[DEAD_LETTER_BODY_MAX], room[DEAD_LETTER_BODY_MAX];

	if (own_letter_read(item, &l, body) != EV_OK)
		return;
	own_letter_put(&l, begin(&first));
	CHECK(own_letter_read(text(&first), &again, room) == EV_OK);
	CHECK(again.seq == l.seq && ev_str_eq(again.body, l.body));
}

static void read_own(struct ev_str item)
{
	enum own_kind kind;
	struct identity_block block;
	static struct parked_input parked;
	struct own_delivery delivery;
	struct device_command command;
	struct unassigned_item unassigned;
	struct own_attachment attachment;
	struct tag_claim claim;
	struct own_live live;
	struct own_sweep sweep;

	CHECK(own_kind_read(item, &kind) != EV_OK || kind <= OWN_KIND_COUNT);
	if (own_block_read(item, &block) == EV_OK)
		own_block_put(&block, begin(&first));
	if (own_parked_read(item, &parked) == EV_OK)
		own_parked_put(&parked, begin(&first));
	if (own_delivery_read(item, &delivery) == EV_OK)
		own_delivery_put(&delivery, begin(&first));
	if (own_command_read(item, &command) == EV_OK)
		own_command_put(&command, begin(&first));
	if (own_unassigned_read(item, &unassigned) == EV_OK)
		own_unassigned_put(&unassigned, begin(&first));
	if (own_attachment_read(item, &attachment) == EV_OK)
		own_attachment_put(&attachment, begin(&first));
	if (own_claim_read(item, &claim) == EV_OK)
		own_claim_put(&claim, begin(&first));
	if (own_live_read(item, &live) == EV_OK)
		own_live_put(&live, begin(&first));
	if (own_sweep_read(item, &sweep) == EV_OK)
		own_sweep_put(&sweep, begin(&first));
	read_letter_item(item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data + 1, size - 1 };

	if (size < 3)
		return 0;
	/* Two pieces, for those who take two: the length of the first comes before them. */
	size_t n = (size_t)data[1] << 8 | data[2];

	n = n < size - 3 ? n : size - 3;
	struct ev_str one = { in.p + 2, n }, two = { in.p + 2 + n, size - 3 - n };

	switch (data[0]) {
	case 'O':
		read_outlet(in);
		break;
	case 'o':
		read_packed_outlet(one, two);
		break;
	case 'S':
		read_session(in);
		break;
	case 's':
		read_packed_session(one, two);
		break;
	case 'C':
		read_customer(in);
		break;
	case 'L':
		read_lease(in);
		break;
	case 'D':
		read_letter(in);
		break;
	case 'i':
		read_input(in);
		break;
	default:
		read_own(in);
		break;
	}
	return 0;
}
