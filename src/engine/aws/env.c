#include "engine/aws/env.h"

#include <stdlib.h>

static const char *os_get(void *user, const char *name)
{
	(void)user;
	return getenv(name);
}

struct aws_env aws_env_os(void)
{
	return (struct aws_env){ .get = os_get };
}

struct ev_str aws_env_get(const struct aws_env *env, const char *name)
{
	const char *value = env->get(env->user, name);

	return value != NULL ? ev_str_from(value) : (struct ev_str){ .p = "" };
}

bool aws_env_true(const struct aws_env *env, const char *name)
{
	return ev_str_eq_nocase(aws_env_get(env, name), EV_LIT("true"));
}
