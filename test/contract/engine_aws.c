/* The aws engine on a cloud in memory, with its effects overheard on their way out. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "cloud/cloud.h"
#include "contract/contract.h"
#include "engine/aws/sender_direct.h"
#include "engine/aws/store.h"

struct aws_under_test {
	struct contract_env env;
	struct ev_clock clock; /* the wall is the test's */
	struct ev_clock_manual mono;
	struct aws_resources resources;
	struct cloud *cloud;
	struct cloud_caller *caller, *query_caller;
	struct aws_sender tap; /* in front of `sender` */
	struct aws_sender *sender;
	struct aws_store *s;
	struct query *q;
	struct contract_listener listener;
};

static int64_t wall_ns(struct ev_clock *c)
{
	const struct aws_under_test *t = (const void *)((const char *)c -
							offsetof(struct aws_under_test, clock));

	return t->env.now_ns(t->env.clock_user);
}

static int64_t mono_ns(struct ev_clock *c)
{
	struct aws_under_test *t = (void *)((char *)c - offsetof(struct aws_under_test, clock));

	return ev_clock_mono_ns(&t->mono.base);
}

static const struct ev_clock_ops clock_ops = { .wall_ns = wall_ns, .mono_ns = mono_ns };

/* Tells the listener of what was accepted. */
static ev_err tap_send(struct aws_sender *sender, const struct aws_effect effects[], size_t n,
		       size_t *out_sent)
{
	struct aws_under_test *t = (void *)((char *)sender - offsetof(struct aws_under_test, tap));
	const struct contract_listener *l = &t->listener;
	ev_err e = t->sender->ops->send(t->sender, effects, n, out_sent);

	for (size_t i = 0; i < *out_sent; i++) {
		struct stored_event event = { .at_ns = wall_ns(&t->clock) };

		if (effects[i].is_command && l->on_command != NULL) {
			l->on_command(l->user, &effects[i].command);
		} else if (!effects[i].is_command && l->on_event != NULL) {
			event.event = effects[i].event;
			l->on_event(l->user, &event);
		}
	}
	return e;
}

static const struct aws_sender_ops tap_ops = { .send = tap_send };

static void start(struct aws_under_test *t)
{
	struct aws_store_config c = aws_store_defaults();

	t->caller = cloud_caller_new(t->cloud, "store");
	t->query_caller = cloud_caller_new(t->cloud, "query");
	assert_int_equal(aws_sender_direct_new(cloud_caller(t->caller), &t->clock, &t->resources,
					       EV_NS_PER_S, &t->sender),
			 EV_OK);
	t->tap.ops = &tap_ops;
	c.caller = cloud_caller(t->caller);
	c.sender = &t->tap;
	c.resources = &t->resources;
	c.clock = &t->clock;
	c.rules = t->env.rules;
	/* Few rows are kept in memory, so that loads come from the tables as well. */
	c.max_rows = 8;
	c.parked_poll_ns = 0;
	c.identity_ns = INT64_MAX / 2; /* the contract knows no age of identities */
	assert_int_equal(aws_store_new(&c, &t->s), EV_OK);
	assert_int_equal(aws_query_new(cloud_caller(t->query_caller), &t->resources, &t->clock,
				       c.roles, &t->q),
			 EV_OK);
}

static void stop(struct aws_under_test *t)
{
	t->q->ops->free(t->q);
	aws_store_free(t->s);
	t->sender->ops->free(t->sender);
	cloud_caller_free(t->caller);
	cloud_caller_free(t->query_caller);
}

static void *open_aws(const struct contract_env *env)
{
	struct aws_under_test *t = calloc(1, sizeof(*t));
	struct cloud_config c = { .seed = 5 };

	assert_non_null(t);
	t->env = *env;
	t->clock.ops = &clock_ops;
	ev_clock_manual_init(&t->mono, INT64_C(1717250000) * EV_NS_PER_S);
	assert_int_equal(aws_resources_init(&t->resources, EV_LIT(AWS_PREFIX_DEFAULT)), EV_OK);
	c.clock = &t->mono;
	c.page_items = 24; /* so that everything comes in pages */
	t->cloud = cloud_new(&c);
	cloud_provision(t->cloud, &t->resources);
	start(t);
	return t;
}

static void adopt(void *user, const struct ev_uuid *id)
{
	struct aws_under_test *t = user;

	assert_int_equal(aws_store_adopt(t->s, id, INT64_MIN), EV_OK);
}

/* A new process knows of no timers but by the sweep. */
static void reopen_aws(void *engine)
{
	struct aws_under_test *t = engine;
	struct aws_sweep w = {
		.resources = &t->resources,
		.rules = t->env.rules,
		.timer_before_ns = INT64_MAX,
		.unsent_before_ns = INT64_MIN,
		.plain_before_ns = INT64_MIN,
	};
	char cursor[AWS_SWEEP_CURSOR] = "";

	stop(t);
	memset(&t->listener, 0, sizeof(t->listener));
	start(t);
	w.caller = cloud_caller(t->query_caller);
	do {
		assert_int_equal(aws_sweep_outlets(&w, cursor, adopt, t), EV_OK);
	} while (cursor[0] != '\0');
}

static void close_aws(void *engine)
{
	struct aws_under_test *t = engine;

	stop(t);
	cloud_free(t->cloud);
	free(t);
}

static struct store *aws_store_under_test(void *engine)
{
	struct aws_under_test *t = engine;

	return aws_store_store(t->s);
}

static struct query *aws_query_under_test(void *engine)
{
	struct aws_under_test *t = engine;

	return t->q;
}

static void listen_aws(void *engine, const struct contract_listener *l)
{
	struct aws_under_test *t = engine;

	t->listener = *l;
}

const struct contract_factory contract_aws = {
	.name = "aws",
	.flags = CONTRACT_UNORDERED | CONTRACT_NO_EVENTS | CONTRACT_EFFECTS_BY_ROW,
	.open = open_aws,
	.reopen = reopen_aws,
	.close = close_aws,
	.store = aws_store_under_test,
	.query = aws_query_under_test,
	.listen = listen_aws,
};
