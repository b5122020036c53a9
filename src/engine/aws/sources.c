#include "engine/aws/sources.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/time.h"
#include "engine/aws/endpoint.h"
#include "engine/aws/process.h"
#include "engine/aws/sts.h"

#define ROLES_MAX 8 /* of a chain of source profiles */
#define PROCESS_MS 60000

void aws_sources_pause(struct aws_sources *s, int64_t ns)
{
	if (s->pause.fn != NULL)
		s->pause.fn(s->pause.user, ns);
	else
		(void)aws_http_wait(s->http, (int)(ns / EV_NS_PER_MS) + 1);
}

/* --- Environment --- */

static ev_err expiry(struct ev_str text, int64_t *out_ns)
{
	if (text.n == 0) {
		*out_ns = AWS_NEVER;
		return EV_OK;
	}
	return ev_time_parse(text, out_ns, NULL);
}

ev_err aws_source_environment(struct aws_sources *s, const struct aws_keys **out,
			      struct ev_fail *fail)
{
	struct aws_keys k = {
		.id = aws_env_get(&s->env, "AWS_ACCESS_KEY_ID"),
		.secret = aws_env_get(&s->env, "AWS_SECRET_ACCESS_KEY"),
		.token = aws_env_get(&s->env, "AWS_SESSION_TOKEN"),
		.source = AWS_SOURCE_ENVIRONMENT,
	};
	ev_err err;

	if (k.id.n == 0 && k.secret.n == 0)
		return EV_NOTFOUND;
	if (k.id.n == 0 || k.secret.n == 0)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together");
	if (k.token.n == 0)
		k.token = aws_env_get(&s->env, "AWS_SECURITY_TOKEN");
	if (expiry(aws_env_get(&s->env, "AWS_CREDENTIAL_EXPIRATION"), &k.expires_ns) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "AWS_CREDENTIAL_EXPIRATION is no time");
	err = aws_keys_new(&k, out);
	if (err != EV_OK)
		return ev_fail_set(fail, err, 0, "the keys in the environment are of a wrong form");
	return EV_OK;
}

/* --- Web identity --- */

static ev_err web_identity(struct aws_sources *s, struct ev_str file, const struct aws_role *role,
			   const struct aws_profiles *profiles, struct ev_str profile,
			   const struct aws_keys **out, struct ev_fail *fail)
{
	char path[PATH_MAX];
	char region[AWS_REGION_MAX + 1];
	char *token = NULL;
	size_t n = 0;
	ev_err err = aws_region_resolve(&s->env, profiles, profile, region, fail);

	if (err != EV_OK)
		return err == EV_NOTFOUND ? EV_INVALID : err;
	if (file.n >= sizeof(path))
		return ev_fail_set(fail, EV_INVALID, 0, "the web identity's file name is too long");
	memcpy(path, file.p, file.n);
	path[file.n] = '\0';
	/* Anew each time: whoever mounts the file renews it. */
	err = aws_file_read(path, AWS_WEB_TOKEN_MAX, &token, &n);
	if (err != EV_OK)
		return ev_fail_set(fail, err == EV_NOTFOUND ? EV_INVALID : err, 0,
				   "the web identity's token file: %s", ev_err_text(err));
	err = aws_sts_web_identity(s, region, role, (struct ev_str){ token, n }, profiles, profile,
				   out, fail);
	aws_secret_free(token, AWS_WEB_TOKEN_MAX);
	return err;
}

ev_err aws_source_web_identity(struct aws_sources *s, const struct aws_keys **out,
			       struct ev_fail *fail)
{
	EV_CLEANUP(aws_profiles_freep) struct aws_profiles *profiles = NULL;
	struct ev_str file = aws_env_get(&s->env, "AWS_WEB_IDENTITY_TOKEN_FILE");
	struct aws_role role = {
		.arn = aws_env_get(&s->env, "AWS_ROLE_ARN"),
		.session_name = aws_env_get(&s->env, "AWS_ROLE_SESSION_NAME"),
	};
	ev_err err;

	if (file.n == 0)
		return EV_NOTFOUND;
	if (role.arn.n == 0)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "AWS_WEB_IDENTITY_TOKEN_FILE needs AWS_ROLE_ARN");
	err = aws_profiles_load(&s->env, &profiles, fail);
	if (err != EV_OK)
		return err;
	return web_identity(s, file, &role, profiles, aws_profile_name(&s->env), out, fail);
}

/* --- Profile --- */

struct lookup {
	struct aws_sources *s;
	const struct aws_profiles *profiles;
	struct ev_fail *fail;
	unsigned roles; /* passed on the way here */
};

static ev_err profile_keys(struct lookup *l, struct ev_str name, bool as_source,
			   const struct aws_keys **out);

static ev_err wrong(struct lookup *l, ev_err err, struct ev_str name, const char *what)
{
	return ev_fail_set(l->fail, err, 0, "AWS profile %.*s: %s", name.n < 64 ? (int)name.n : 64,
			   name.p, what);
}

/* Never an id from one file with a secret from the other. */
static ev_err static_keys(struct lookup *l, struct ev_str name, const struct aws_keys **out)
{
	for (int f = 0; f < AWS_FILE_COUNT; f++) {
		enum aws_profile_file file = (enum aws_profile_file)f;
		struct aws_keys k = { .expires_ns = AWS_NEVER, .source = AWS_SOURCE_PROFILE };
		bool id = aws_profile_get_in(l->profiles, file, name, "aws_access_key_id", &k.id);
		bool secret = aws_profile_get_in(l->profiles, file, name, "aws_secret_access_key",
						 &k.secret);
		ev_err err;

		if (!id && !secret)
			continue;
		if (!id || !secret)
			return wrong(l, EV_INVALID, name,
				     "an access key's id or secret is missing");
		if (!aws_profile_get_in(l->profiles, file, name, "aws_session_token", &k.token))
			(void)aws_profile_get_in(l->profiles, file, name, "aws_security_token",
						 &k.token);
		err = aws_keys_new(&k, out);
		if (err != EV_OK)
			return wrong(l, err, name, "the keys are of a wrong form");
		return EV_OK;
	}
	return EV_NOTFOUND;
}

static ev_err process_keys(struct lookup *l, struct ev_str command, const struct aws_keys **out)
{
	char *text;
	size_t n;
	ev_err err = aws_process_run(command, AWS_KEYS_ANSWER_MAX, PROCESS_MS, &text, &n, l->fail);

	if (err != EV_OK)
		return err;
	err = aws_keys_from_json((struct ev_str){ text, n }, AWS_FORM_PROCESS, AWS_SOURCE_PROCESS,
				 out, l->fail);
	aws_secret_free(text, AWS_KEYS_ANSWER_MAX);
	return err;
}

static ev_err credential_source(struct lookup *l, struct ev_str name, struct ev_str source,
				const struct aws_keys **out)
{
	if (ev_str_eqz(source, "Environment"))
		return aws_source_environment(l->s, out, l->fail);
	if (ev_str_eqz(source, "EcsContainer"))
		return aws_source_container(l->s, out, l->fail);
	if (ev_str_eqz(source, "Ec2InstanceMetadata"))
		return aws_source_instance(l->s, out, l->fail);
	return wrong(l, EV_INVALID, name, "no such credential_source");
}

/* The keys that a role is taken with. */
static ev_err base_keys(struct lookup *l, struct ev_str name, const struct aws_keys **out)
{
	struct ev_str profile, source;
	bool has_profile = aws_profile_get(l->profiles, name, "source_profile", &profile);
	bool has_source = aws_profile_get(l->profiles, name, "credential_source", &source);
	ev_err err;

	if (has_profile == has_source)
		return wrong(l, EV_INVALID, name,
			     "role_arn needs either source_profile or credential_source");
	if (has_source)
		err = credential_source(l, name, source, out);
	else if (ev_str_eq(profile, name))
		err = static_keys(l, name, out);
	else
		err = profile_keys(l, profile, true, out);
	if (err == EV_NOTFOUND)
		return wrong(l, EV_INVALID, name, "there are no keys to take its role with");
	return err;
}

static ev_err read_role(struct lookup *l, struct ev_str name, struct aws_role *role)
{
	struct ev_str text;

	(void)aws_profile_get(l->profiles, name, "role_session_name", &role->session_name);
	(void)aws_profile_get(l->profiles, name, "external_id", &role->external_id);
	if (aws_profile_get(l->profiles, name, "duration_seconds", &text) &&
	    (num_parse_u64(text, &role->duration_s) != EV_OK || role->duration_s < 900 ||
	     role->duration_s > 43200))
		return wrong(l, EV_INVALID, name, "duration_seconds is not 900 to 43200");
	if (aws_profile_get(l->profiles, name, "mfa_serial", &text))
		return wrong(l, EV_UNSUPPORTED, name, "a server has nobody to type an MFA code");
	return EV_OK;
}

static ev_err role_keys(struct lookup *l, struct ev_str name, struct ev_str arn,
			const struct aws_keys **out)
{
	EV_CLEANUP(aws_keys_unrefp) const struct aws_keys *base = NULL;
	struct aws_role role = { .arn = arn };
	char region[AWS_REGION_MAX + 1];
	struct ev_str file;
	ev_err err;

	if (++l->roles > ROLES_MAX)
		return wrong(l, EV_INVALID, name, "source profiles run in a circle or too deep");
	err = read_role(l, name, &role);
	if (err != EV_OK)
		return err;
	if (aws_profile_get(l->profiles, name, "web_identity_token_file", &file))
		return web_identity(l->s, file, &role, l->profiles, name, out, l->fail);
	err = base_keys(l, name, &base);
	if (err != EV_OK)
		return err;
	err = aws_region_resolve(&l->s->env, l->profiles, name, region, l->fail);
	if (err != EV_OK)
		return err == EV_NOTFOUND ? EV_INVALID : err;
	return aws_sts_assume_role(l->s, region, &role, base, l->profiles, name, out, l->fail);
}

static bool needs_login(const struct aws_profiles *p, struct ev_str name)
{
	struct ev_str v;

	return aws_profile_get(p, name, "sso_session", &v) ||
	       aws_profile_get(p, name, "sso_account_id", &v) ||
	       aws_profile_get(p, name, "login_session", &v);
}

/* A profile that others take roles with gives its own keys first, if it has any. */
static ev_err profile_keys(struct lookup *l, struct ev_str name, bool as_source,
			   const struct aws_keys **out)
{
	struct ev_str v;
	ev_err err;

	if (!aws_profile_exists(l->profiles, name))
		return as_source ? wrong(l, EV_INVALID, name, "does not exist") : EV_NOTFOUND;
	if (as_source) {
		err = static_keys(l, name, out);
		if (err != EV_NOTFOUND)
			return err;
	}
	if (aws_profile_get(l->profiles, name, "role_arn", &v))
		return role_keys(l, name, v, out);
	err = static_keys(l, name, out);
	if (err != EV_NOTFOUND)
		return err;
	if (aws_profile_get(l->profiles, name, "credential_process", &v))
		return process_keys(l, v, out);
	if (needs_login(l->profiles, name))
		return wrong(l, EV_UNSUPPORTED, name,
			     "a server has nobody to log in; use a role or credential_process");
	return EV_NOTFOUND;
}

/* Somebody has asked for this profile by its name, so it must be there. */
static bool is_named(const struct aws_sources *s)
{
	return s->profile != NULL || aws_env_get(&s->env, "AWS_PROFILE").n > 0 ||
	       aws_env_get(&s->env, "AWS_DEFAULT_PROFILE").n > 0;
}

ev_err aws_source_profile(struct aws_sources *s, const struct aws_keys **out, struct ev_fail *fail)
{
	EV_CLEANUP(aws_profiles_freep) struct aws_profiles *profiles = NULL;
	struct ev_str name = s->profile != NULL ? ev_str_from(s->profile)
						: aws_profile_name(&s->env);
	struct lookup l = { .s = s, .fail = fail };
	ev_err err = aws_profiles_load(&s->env, &profiles, fail);

	if (err != EV_OK)
		return err;
	l.profiles = profiles;
	if (!aws_profile_exists(profiles, name) && is_named(s))
		return wrong(&l, EV_INVALID, name, "does not exist");
	return profile_keys(&l, name, false, out);
}

/* --- The chain --- */

static ev_err last_source(struct aws_sources *s, const struct aws_keys **out, struct ev_fail *fail)
{
	struct ev_fail why = { .code = EV_OK };
	ev_err err = aws_source_instance(s, out, &why);

	if (err == EV_OK)
		return EV_OK;
	return ev_fail_set(fail, err, why.sys, "no AWS keys are configured%s%s",
			   why.text[0] != '\0' ? "; " : "", why.text);
}

ev_err aws_sources_fetch(struct aws_sources *s, const struct aws_keys **out, struct ev_fail *fail)
{
	ev_err err = EV_NOTFOUND;

	if (s->profile == NULL)
		err = aws_source_environment(s, out, fail);
	if (err == EV_NOTFOUND)
		err = aws_source_profile(s, out, fail);
	if (err == EV_NOTFOUND)
		err = aws_source_web_identity(s, out, fail);
	if (err == EV_NOTFOUND)
		err = aws_source_container(s, out, fail);
	if (err == EV_NOTFOUND)
		err = last_source(s, out, fail);
	return err;
}
