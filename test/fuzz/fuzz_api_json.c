/* HTTP bodies: each reader keeps its own promises on any bytes. */
#include "check.h"
#include "codec/api_json.h"
#include "codec/api_write.h"

static struct api_problems problems;
static struct json_error error;

static bool is_text(const char *s, size_t max)
{
	size_t n = text_len(s, max + 1);

	return n >= 1 && n <= max && ev_utf8_valid(s, n);
}

/* An error has a text or problems; both can be written as an answer. */
static bool read_well(ev_err e)
{
	char text[2048];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);
	size_t n = text_len(error.text, sizeof(error.text));

	if (e == EV_OK) {
		CHECK(problems.n == 0);
		return true;
	}
	CHECK(e == EV_INVALID);
	if (problems.n > 0) {
		api_write_problem(&w, 422, api_status_title(422), EV_LIT(""), &problems);
	} else {
		CHECK(n > 0 && n < sizeof(error.text) && ev_utf8_valid(error.text, n));
		api_write_unreadable(&w, &error);
	}
	CHECK(!b.overflow && ev_utf8_valid(b.p, b.len));
	return false;
}

static void read_outlets(struct ev_str in)
{
	struct api_outlet_new o;
	struct api_outlet_patch p;

	if (read_well(api_read_outlet_new(in, &o, &problems, &error))) {
		CHECK(is_text(o.code, OUTLET_CODE_MAX) && is_text(o.address, OUTLET_ADDRESS_MAX));
		CHECK(o.max_power_mw > 0 && o.max_power_mw <= API_MAX_POWER_MW);
	}
	if (read_well(api_read_outlet_patch(in, &p, &problems, &error))) {
		CHECK(!p.has_code || is_text(p.to.code, OUTLET_CODE_MAX));
		CHECK(!p.has_max_power || p.to.max_power_mw > 0);
	}
}

static void read_customers(struct ev_str in)
{
	struct api_customer_new c;
	struct api_customer_patch p;
	struct api_tag t;

	if (read_well(api_read_customer_new(in, &c, &problems, &error))) {
		CHECK(is_text(c.address, CUSTOMER_TEXT_MAX) && is_text(c.email, CUSTOMER_TEXT_MAX));
		CHECK(is_text(c.payment_method, CUSTOMER_TEXT_MAX));
		CHECK(!c.has_tag || (c.tag.n >= 1 && c.tag.n <= RFID_TAG_MAX));
	}
	if (read_well(api_read_customer_patch(in, &p, &problems, &error)))
		CHECK(!p.has_email || strchr(p.to.email, '@') != NULL);
	if (read_well(api_read_tag(in, &t, &problems, &error)))
		CHECK(!t.has_tag || (t.tag.n >= 1 && t.tag.n <= RFID_TAG_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	struct api_start start;
	struct api_action action;
	struct ev_uuid id;

	read_outlets(in);
	read_customers(in);
	(void)read_well(api_read_start(in, &start, &problems, &error));
	(void)read_well(api_read_attach(in, &id, &problems, &error));
	(void)read_well(api_read_replay(in, &action, &problems, &error));
	if (read_well(api_read_finish(in, &action, &problems, &error)))
		CHECK(text_len(action.reason, sizeof(action.reason)) <= API_REASON_MAX);
	return 0;
}
