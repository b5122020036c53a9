#include "engine/aws/store.h"

#include <stdlib.h>

#include "engine/aws/store_internal.h"

struct aws_store_config aws_store_defaults(void)
{
	return (struct aws_store_config){
		.rules = outlet_rules_default(),
		.roles = AWS_ROLE_OUTLET | AWS_ROLE_APP,
		.max_rows = 20000,
		.max_pinned = 200000,
		.timeout_ns = 20 * EV_NS_PER_S,
		.identity_ns = OWN_IDS_KEEP_NS,
		.parked_poll_ns = 10 * EV_NS_PER_S,
	};
}

ev_err aws_store_new(const struct aws_store_config *config, struct aws_store **out)
{
	struct aws_store *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return EV_NOMEM;
	s->store.ops = &aws_store_ops;
	s->c = *config;
	s->io = (struct ddb_io){ .caller = config->caller,
				 .clock = config->clock,
				 .timeout_ns = config->timeout_ns };
	aws_cache_init(&s->cache, config->seed);
	*out = s;
	return EV_OK;
}

void aws_store_free(struct aws_store *s)
{
	if (s == NULL)
		return;
	stage_clear(&s->group);
	free(s->group.puts.of);
	free(s->group.commands.of);
	free(s->group.effects.of);
	aws_cache_deinit(&s->cache);
	free(s);
}

struct store *aws_store_store(struct aws_store *s)
{
	return &s->store;
}

void aws_store_stats(const struct aws_store *s, struct aws_store_stats *out)
{
	*out = s->stats;
	out->unsent = s->cache.n_unsent;
	out->pinned = s->cache.n_pinned;
	out->cached = s->cache.n_pinned + s->cache.n_loose;
}

void aws_store_last_fail(const struct aws_store *s, struct ev_fail *out)
{
	*out = s->io.fail;
}
