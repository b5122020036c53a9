/* The embedded engine in a directory of its own, which goes away with it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "contract/contract.h"
#include "engine/embedded/embedded.h"

struct embedded_under_test {
	char dir[64];
	struct embedded_options options;
	struct embedded *e;
	struct query *q;
};

static void start(struct embedded_under_test *t)
{
	struct ev_fail fail = { .text = "" };

	if (embedded_open(&t->e, &t->options, &fail) != EV_OK)
		fail_msg("embedded_open: %s", fail.text);
	if (embedded_query_open(t->e, &t->q, &fail) != EV_OK)
		fail_msg("embedded_query_open: %s", fail.text);
}

static void stop(struct embedded_under_test *t)
{
	t->q->ops->free(t->q);
	embedded_free(t->e);
}

static void *open_embedded(const struct contract_env *env)
{
	struct embedded_under_test *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/evcharge-contract-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	t->options = (struct embedded_options){
		.dir = t->dir,
		.now_ns = env->now_ns,
		.clock_user = env->clock_user,
		.rules = env->rules,
		/* Few rows are kept in memory, so that loads come from the file as well. */
		.max_outlets = 8,
		.max_sessions = 8,
	};
	start(t);
	return t;
}

static void reopen_embedded(void *engine)
{
	struct embedded_under_test *t = engine;

	stop(t);
	start(t);
}

static void remove_dir(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *entry;
	char name[512];

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		assert_int_equal(unlink(name), 0);
	}
	closedir(d);
	assert_int_equal(rmdir(path), 0);
}

static void close_embedded(void *engine)
{
	struct embedded_under_test *t = engine;

	stop(t);
	remove_dir(t->dir);
	free(t);
}

static struct store *embedded_store_of(void *engine)
{
	struct embedded_under_test *t = engine;

	return embedded_store(t->e);
}

static struct query *embedded_query_of(void *engine)
{
	struct embedded_under_test *t = engine;

	return t->q;
}

static void listen_embedded(void *engine, const struct contract_listener *l)
{
	struct embedded_under_test *t = engine;

	embedded_set_listener(t->e,
			      &(struct embedded_listener){ l->on_event, l->on_command, l->user });
}

const struct contract_factory contract_embedded = {
	.name = "embedded",
	.open = open_embedded,
	.reopen = reopen_embedded,
	.close = close_embedded,
	.store = embedded_store_of,
	.query = embedded_query_of,
	.listen = listen_embedded,
};
