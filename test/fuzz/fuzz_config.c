/*
 * The configuration file: what is accepted holds what its table allows, and printed it is read back
 * as the same; what is not is told in words that fit.
 */
#include "check.h"
#include "cli/config.h"

static void value_of(const struct config *c, const struct config_key *key, struct ev_buf *b)
{
	config_value_text(c, key, b);
	CHECK(!b->overflow);
}

static void check_printed(const struct config *c)
{
	static char text[CONFIG_PRINT_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct ev_fail fail = { .code = EV_OK };
	struct config again;
	size_t n;
	const struct config_key *keys = config_keys(&n);

	config_print(c, &b);
	CHECK(!b.overflow);
	config_init(&again);
	CHECK(config_read_text(&again, ev_buf_str(&b), "printed", &fail) == EV_OK);
	for (size_t i = 0; i < n; i++) {
		char one[512], other[512];
		struct ev_buf x = ev_buf_over(one, sizeof(one));
		struct ev_buf y = ev_buf_over(other, sizeof(other));

		value_of(c, &keys[i], &x);
		value_of(&again, &keys[i], &y);
		CHECK(ev_str_eq(ev_buf_str(&x), ev_buf_str(&y)));
	}
}

static void check_single(struct ev_str in)
{
	struct config_address a, b;
	char text[CONFIG_ADDRESS_TEXT];
	int64_t ns;

	if (config_address_parse(in, &a) == EV_OK) {
		config_address_text(&a, text);
		CHECK(text_len(text, sizeof(text)) < sizeof(text));
		CHECK(config_address_parse(ev_str_from(text), &b) == EV_OK);
		CHECK(strcmp(a.host, b.host) == 0 && a.port == b.port);
		(void)config_is_loopback(&a);
	}
	if (config_duration_parse(in, &ns) == EV_OK)
		CHECK(ns >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str in = { (const char *)data, size };
	struct ev_fail fail = { .code = EV_OK };
	struct config c;

	check_single(in);
	config_init(&c);
	ev_err e = config_read_text(&c, in, "fuzz.conf", &fail);

	CHECK(e == EV_OK || (e == EV_INVALID && fail.code == EV_INVALID));
	if (e == EV_OK) {
		check_printed(&c);
		e = config_check(&c, &fail);
		CHECK(e == EV_OK || e == EV_INVALID);
	} else {
		size_t n = text_len(fail.text, sizeof(fail.text));

		CHECK(n > 0 && n < sizeof(fail.text));
	}
	return 0;
}
