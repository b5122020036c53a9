#include <stdlib.h>

#include "contract/contract.h"
#include "engine/memory/memory.h"

struct memory_under_test {
	struct memory_engine *m;
	struct query *q;
};

static void *open_memory(const struct contract_env *env)
{
	struct memory_under_test *t = calloc(1, sizeof(*t));
	struct memory_options o = { .now_ns = env->now_ns, .rules = env->rules, .seed = 7 };

	o.clock_user = env->clock_user;
	assert_non_null(t);
	assert_int_equal(memory_open(&t->m, &o), EV_OK);
	assert_int_equal(memory_query_open(t->m, &t->q), EV_OK);
	return t;
}

static void reopen_memory(void *engine)
{
	struct memory_under_test *t = engine;

	memory_reopen(t->m);
}

static void close_memory(void *engine)
{
	struct memory_under_test *t = engine;

	t->q->ops->free(t->q);
	memory_free(t->m);
	free(t);
}

static struct store *memory_store_of(void *engine)
{
	struct memory_under_test *t = engine;

	return memory_store(t->m);
}

static struct query *memory_query_of(void *engine)
{
	struct memory_under_test *t = engine;

	return t->q;
}

static void listen_memory(void *engine, const struct contract_listener *l)
{
	struct memory_under_test *t = engine;

	memory_set_listener(t->m, &(struct memory_listener){ l->on_event, l->on_command, l->user });
}

const struct contract_factory contract_memory = {
	.name = "memory",
	.open = open_memory,
	.reopen = reopen_memory,
	.close = close_memory,
	.store = memory_store_of,
	.query = memory_query_of,
	.listen = listen_memory,
};
