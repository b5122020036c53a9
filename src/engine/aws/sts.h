/* engine/aws/sts.h — temporary keys of a role from the Security Token Service. */
#ifndef EV_AWS_STS_H
#define EV_AWS_STS_H

#include "engine/aws/sources.h"

#define AWS_WEB_TOKEN_MAX 20000 /* bytes; STS takes no more */

struct aws_role {
	struct ev_str arn;
	struct ev_str session_name; /* empty: one with the time in it */
	struct ev_str external_id;  /* empty: none */
	uint64_t duration_s;        /* 0: the role's own */
};

/*
 * AssumeRole, signed with the given keys.  region is where STS is called.  EV_DENIED, EV_INVALID
 * and so on as error.h maps what STS answers; EV_CORRUPT if that is not what was promised.
 */
EV_NODISCARD ev_err aws_sts_assume_role(struct aws_sources *s, const char *region,
					const struct aws_role *role, const struct aws_keys *with,
					const struct aws_profiles *profiles, struct ev_str profile,
					const struct aws_keys **out, struct ev_fail *fail);

/* AssumeRoleWithWebIdentity: not signed, the token is the proof. */
EV_NODISCARD ev_err aws_sts_web_identity(struct aws_sources *s, const char *region,
					 const struct aws_role *role, struct ev_str token,
					 const struct aws_profiles *profiles, struct ev_str profile,
					 const struct aws_keys **out, struct ev_fail *fail);

#endif
