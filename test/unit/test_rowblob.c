/* test_rowblob.c — the bytes that rows keep beside their columns come back as they went. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "embedded_fixture.h"
#include "engine/embedded/rowblob.h"

static struct ev_str over(const uint8_t *p, size_t n)
{
	return (struct ev_str){ (const char *)p, n };
}

/* What has a column of its own, so that only the rest must come from the blob. */
static void copy_columns(struct outlet *to, const struct outlet *from)
{
	to->id = from->id;
	to->version = from->version;
	to->state = from->state;
	to->has_session = from->has_session;
	to->session_id = from->session_id;
	to->tag = from->tag;
	to->start_ns = from->start_ns;
	to->has_end = from->has_end;
	to->end_ns = from->end_ns;
	to->energy_mwh = from->energy_mwh;
	to->total_sessions = from->total_sessions;
	to->total_energy_mwh = from->total_energy_mwh;
	to->unassigned_mwh = from->unassigned_mwh;
	to->max_power_mw = from->max_power_mw;
	to->out_of_service = from->out_of_service;
	to->retired = from->retired;
}

static void assert_outlet_returns(const struct outlet *o)
{
	uint8_t blob[OUTLET_BLOB_MAX];
	size_t n = outlet_blob_write(o, blob);
	struct outlet back;

	memset(&back, 0, sizeof(back));
	assert_int_equal(outlet_blob_read(over(blob, n), &back), EV_OK);
	copy_columns(&back, o);
	assert_memory_equal(&back, o, sizeof(back));
}

static void every_member_of_an_outlet_returns(void **state)
{
	struct outlet full = emb_full_outlet();
	struct outlet empty;

	(void)state;
	assert_outlet_returns(&full);
	memset(&empty, 0, sizeof(empty));
	assert_outlet_returns(&empty);
}

static void each_flag_of_an_outlet_is_its_own(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct outlet o;

		memset(&o, 0, sizeof(o));
		o.reported = i == 0;
		o.acknowledged = i == 1;
		o.stop_repeated = i == 2;
		o.foreign = i == 3;
		assert_outlet_returns(&o);
	}
}

static void every_member_of_a_session_returns(void **state)
{
	struct session s = emb_full_session(), back;
	uint8_t blob[SESSION_BLOB_MAX];

	(void)state;
	for (unsigned flags = 0; flags < 8; flags++) {
		s.charging_seen = (flags & 1) != 0;
		s.stop_wished = (flags & 2) != 0;
		s.has_request_end = (flags & 4) != 0;
		s.request_end_ns = s.has_request_end ? 4 : 0;
		size_t n = session_blob_write(&s, blob);

		back = s;
		memset(back.sums, 0, sizeof(back.sums));
		back.n_sums = 0;
		back.folded_mwh = 0;
		back.attached_mwh = 0;
		back.charging_seen = !s.charging_seen;
		back.stop_wished = !s.stop_wished;
		back.request_start_ns = 0;
		back.has_request_end = !s.has_request_end;
		back.request_end_ns = 99;
		assert_int_equal(session_blob_read(over(blob, n), &back), EV_OK);
		assert_memory_equal(&back, &s, sizeof(back));
	}
}

static void fill_input(struct outlet_input *in, enum outlet_input_kind kind)
{
	memset(in, 0, sizeof(*in));
	in->kind = kind;
	in->id = emb_identity(1);
	in->at_ns = -5;
	in->seen = true;
	in->parked = true;
	in->waited = true;
	switch (kind) {
	case OUTLET_IN_DEVICE:
		in->device.outlet_id = emb_id('o', 1);
		in->device.tag = (struct rfid_tag){ .n = 3, .s = "tag" };
		in->device.period_start_ns = 1;
		in->device.period_end_ns = 2;
		in->device.change = OUTLET_CHARGING_FINISHED;
		in->device.energy_mwh = MESSAGE_ENERGY_MAX_MWH;
		in->device.message_id.n = MESSAGE_ID_MAX;
		memset(in->device.message_id.s, 'm', MESSAGE_ID_MAX);
		break;
	case OUTLET_IN_EVENT:
		in->event = emb_full_event();
		break;
	case OUTLET_IN_REQUEST_LAPSED:
		in->lapsed.event_id = emb_identity(2);
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		in->command.session_id = emb_id('s', 1);
		in->command.acknowledged = true;
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		in->stop.session_id = emb_id('s', 1);
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		in->finish.session_id = emb_id('s', 1);
		break;
	case OUTLET_IN_ATTACH:
		in->attach.item_id = emb_identity(3);
		in->attach.mwh = 5;
		in->attach.session_id = emb_id('s', 1);
		break;
	case OUTLET_IN_SERVICE:
		in->service.out = true;
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
}

static void every_kind_of_input_returns(void **state)
{
	(void)state;
	for (int kind = 0; kind < OUTLET_IN_COUNT; kind++) {
		struct outlet_input in, back;
		uint8_t blob[INPUT_BLOB_MAX];

		fill_input(&in, (enum outlet_input_kind)kind);
		size_t n = input_blob_write(&in, blob);

		assert_int_equal(input_blob_read(over(blob, n), &back), EV_OK);
		assert_memory_equal(&back, &in, sizeof(back));
	}
}

/* A copy of exactly n bytes, so that the sanitizer sees a read beyond. */
static ev_err read_exact(const uint8_t *blob, size_t n, char kind)
{
	uint8_t *copy = malloc(n == 0 ? 1 : n);
	struct outlet o;
	struct session s;
	struct outlet_input in;
	ev_err err;

	assert_non_null(copy);
	memcpy(copy, blob, n);
	memset(&o, 0, sizeof(o));
	memset(&s, 0, sizeof(s));
	err = kind == 'o'   ? outlet_blob_read(over(copy, n), &o)
	      : kind == 's' ? session_blob_read(over(copy, n), &s)
			    : input_blob_read(over(copy, n), &in);
	free(copy);
	return err;
}

static void assert_exact(const uint8_t *blob, size_t n, char kind)
{
	uint8_t longer[OUTLET_BLOB_MAX + 1];

	for (size_t i = 0; i < n; i++)
		assert_int_equal(read_exact(blob, i, kind), EV_CORRUPT);
	assert_int_equal(read_exact(blob, n, kind), EV_OK);
	memcpy(longer, blob, n);
	longer[n] = 0;
	assert_int_equal(read_exact(longer, n + 1, kind), EV_CORRUPT);
	longer[0] = 2;
	assert_int_equal(read_exact(longer, n, kind), EV_CORRUPT);
	longer[0] = 0;
	assert_int_equal(read_exact(longer, n, kind), EV_CORRUPT);
}

static void bytes_cut_short_or_of_another_form_are_corrupt(void **state)
{
	uint8_t blob[OUTLET_BLOB_MAX];
	struct outlet o = emb_full_outlet();
	struct session s = emb_full_session();
	struct outlet_input in;

	(void)state;
	assert_exact(blob, outlet_blob_write(&o, blob), 'o');
	assert_exact(blob, session_blob_write(&s, blob), 's');
	for (int kind = 0; kind < OUTLET_IN_COUNT; kind++) {
		fill_input(&in, (enum outlet_input_kind)kind);
		assert_exact(blob, input_blob_write(&in, blob), 'i');
	}
}

/* Any one byte changed: it reads or is corrupt, and never reaches beyond. */
static void a_changed_byte_never_leads_outside(void **state)
{
	uint8_t blob[OUTLET_BLOB_MAX];
	struct outlet o = emb_full_outlet();
	size_t n = outlet_blob_write(&o, blob);
	size_t n_corrupt = 0;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t was = blob[i];

		blob[i] = 0xff;
		ev_err err = read_exact(blob, n, 'o');

		assert_true(err == EV_OK || err == EV_CORRUPT);
		n_corrupt += err == EV_CORRUPT;
		blob[i] = was;
	}
	assert_true(n_corrupt >= 5); /* form, flags, status, counts */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_member_of_an_outlet_returns),
		cmocka_unit_test(each_flag_of_an_outlet_is_its_own),
		cmocka_unit_test(every_member_of_a_session_returns),
		cmocka_unit_test(every_kind_of_input_returns),
		cmocka_unit_test(bytes_cut_short_or_of_another_form_are_corrupt),
		cmocka_unit_test(a_changed_byte_never_leads_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
