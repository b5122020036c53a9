/*
 * What the services say of a resource, read as an answer of each kind: taken or EV_CORRUPT; what
 * was found is text that ends, and the plan says what is to be done.
 */
#include "check.h"
#include "engine/aws/provision.h"

typedef ev_err (*read_fn)(struct provision_resource *r, struct ev_str answer);

static void check_resource(const struct provision_resource *r)
{
	enum provision_action action = provision_action(r);

	CHECK(action < PROVISION_ACTION_COUNT);
	CHECK((action == PROVISION_STUCK) == (r->state == PROVISION_GOING));
	for (size_t i = 0; i < r->n_settings; i++) {
		const struct provision_setting *s = &r->settings[i];

		CHECK(text_len(s->found, sizeof(s->found)) < sizeof(s->found));
		CHECK(action != PROVISION_NOTHING || provision_setting_good(r, s));
	}
}

static void check_answer(struct provision_plan *p, enum provision_kind kind, read_fn read,
			 struct ev_str answer)
{
	for (size_t i = 0; i < p->n; i++) {
		ev_err e;

		if (p->items[i].kind != kind)
			continue;
		e = read(&p->items[i], answer);
		CHECK(e == EV_OK || e == EV_CORRUPT);
		check_resource(&p->items[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ev_str answer = { (const char *)data, size };
	char text[PROVISION_URL_MAX];
	struct aws_resources names;
	struct provision_plan p;

	CHECK(aws_resources_init(&names, EV_LIT("t_")) == EV_OK);
	provision_plan_init(&p, &names);
	check_answer(&p, PROVISION_TABLE, provision_read_table, answer);
	check_answer(&p, PROVISION_TABLE, provision_read_ttl, answer);
	check_answer(&p, PROVISION_STREAM, provision_read_stream, answer);
	check_answer(&p, PROVISION_QUEUE, provision_read_queue, answer);
	if (provision_read_url(answer, text) == EV_OK)
		CHECK(text_len(text, sizeof(text)) < sizeof(text) && text[0] != '\0');
	if (provision_read_arn(answer, text) == EV_OK)
		CHECK(text_len(text, sizeof(text)) < sizeof(text) && text[0] != '\0');
	return 0;
}
