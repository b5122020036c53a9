/* engine/aws/env.h — environment variables, from the process or from a test's table. */
#ifndef EV_AWS_ENV_H
#define EV_AWS_ENV_H

#include <stdbool.h>

#include "base/str.h"

struct aws_env {
	/* The variable's value, valid as long as the environment is; NULL if it is not set. */
	const char *(*get)(void *user, const char *name);
	void *user;
};

/* The process's own.  Nobody may change it meanwhile. */
struct aws_env aws_env_os(void);

/* Empty when the variable is not set, as an empty one means no more than that. */
struct ev_str aws_env_get(const struct aws_env *env, const char *name);

/* Whether the variable says "true", in any case. */
bool aws_env_true(const struct aws_env *env, const char *name);

#endif
