/*
 * engine/aws/metadata.c — keys from the endpoints beside us: a container's and an instance's.
 *
 * Neither is reached through a proxy, and both are asked with short time-outs, as where they do not
 * exist packets to them may just vanish.
 */
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/time.h"
#include "engine/aws/endpoint.h"
#include "engine/aws/sources.h"

#define URL_MAX 2048
#define CONTAINER_BASE "http://169.254.170.2"
#define CONTAINER_MS 2000
#define CONTAINER_ATTEMPTS 3
#define CONTAINER_TOKEN_MAX 16384

struct fetch {
	struct aws_sources *s;
	const char *who; /* for messages */
	unsigned timeout_ms;
	unsigned attempts;
};

/* Until there is an answer that another attempt would not change. */
static ev_err fetch(const struct fetch *f, struct aws_http_request *r)
{
	for (unsigned i = 1;; i++) {
		r->connect_ms = r->total_ms = f->timeout_ms;
		r->max_answer = AWS_KEYS_ANSWER_MAX;
		r->secret = true;
		aws_http_run(f->s->direct, r, 1, (int)f->timeout_ms);
		if (r->err != EV_OK && r->err != EV_IO && r->err != EV_TIMEOUT)
			return r->err;
		if ((r->err == EV_OK && r->status < 500) || i >= f->attempts)
			return r->err;
		aws_sources_pause(f->s, EV_NS_PER_S);
	}
}

static ev_err refused(const struct fetch *f, const char *what, const struct aws_http_request *r,
		      struct ev_fail *fail)
{
	ev_err err = r->err;

	if (err != EV_OK)
		return ev_fail_set(fail, err, r->sys, "%s: %s: %s", f->who, what, ev_err_text(err));
	err = r->status == 401 || r->status == 403 ? EV_DENIED : EV_IO;
	return ev_fail_set(fail, err, r->status, "%s: %s: status %d", f->who, what, r->status);
}

/* --- The container's --- */

/* Keys and tokens in clear text only where the way is the machine itself. */
static bool may_be_plain(const struct aws_url *u)
{
	static const char *const hosts[] = { "localhost", "169.254.170.2", "169.254.170.23" };
	uint64_t part;
	struct ev_str rest = u->host;

	if (u->is_ipv6)
		return ev_str_eqz(u->host, "::1") ||
		       ev_str_eq_nocase(u->host, EV_LIT("fd00:ec2::23"));
	for (size_t i = 0; i < EV_ARRAY_LEN(hosts); i++) {
		if (ev_str_eqz(u->host, hosts[i]))
			return true;
	}
	/* 127.0.0.0/8 as four numbers: "127.example.org" is somebody else. */
	for (int i = 0; i < 4; i++) {
		const char *dot = rest.n > 0 ? memchr(rest.p, '.', rest.n) : NULL;
		size_t n = dot != NULL ? (size_t)(dot - rest.p) : rest.n;

		if ((dot == NULL) != (i == 3) || n > 3 ||
		    num_parse_u64((struct ev_str){ rest.p, n }, &part) != EV_OK || part > 255 ||
		    (i == 0 && part != 127))
			return false;
		rest.p += n + (dot != NULL);
		rest.n -= n + (dot != NULL);
	}
	return true;
}

static ev_err container_url(struct aws_sources *s, char out[URL_MAX], struct ev_fail *fail)
{
	struct ev_str relative = aws_env_get(&s->env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	struct ev_str full = aws_env_get(&s->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	struct ev_buf b = ev_buf_over(out, URL_MAX - 1);
	struct aws_url u;

	if (relative.n == 0 && full.n == 0)
		return EV_NOTFOUND;
	if (relative.n > 0) {
		/* Without its slash it could name another host: "@example.org". */
		if (relative.p[0] != '/')
			return ev_fail_set(fail, EV_INVALID, 0,
					   "the container's relative URI must begin with a slash");
		ev_buf_z(&b, s->container_base != NULL ? s->container_base : CONTAINER_BASE);
		ev_buf_str_add(&b, relative);
	} else {
		ev_buf_str_add(&b, full);
	}
	out[b.len] = '\0';
	if (b.overflow || aws_url_parse(ev_buf_str(&b), &u) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "the container's URI is not one");
	if (!u.tls && !may_be_plain(&u))
		return ev_fail_set(fail, EV_INVALID, 0,
				   "the container's URI must be https, or of this machine");
	return EV_OK;
}

/* The file is read each time, as its content is renewed.  *out_file is to be freed. */
static ev_err container_token(struct aws_sources *s, struct ev_str *out, char **out_file,
			      struct ev_fail *fail)
{
	struct ev_str path = aws_env_get(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	struct ev_str token = aws_env_get(&s->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	ev_err err = EV_OK;

	if (path.n > 0) {
		err = aws_file_read(path.p, CONTAINER_TOKEN_MAX, out_file, &token.n);
		token.p = *out_file;
	}
	if (err != EV_OK)
		return ev_fail_set(fail, err == EV_NOTFOUND ? EV_INVALID : err, 0,
				   "the container's token file: %s", ev_err_text(err));
	if (!aws_header_safe(token))
		return ev_fail_set(fail, EV_INVALID, 0,
				   "the container's token has a line break in it");
	*out = token;
	return EV_OK;
}

static ev_err container_ask(struct aws_sources *s, const char *url, struct ev_str token,
			    const struct aws_keys **out, struct ev_fail *fail)
{
	struct fetch f = { s, "the container's credentials", CONTAINER_MS, CONTAINER_ATTEMPTS };
	struct aws_header headers[2] = {
		{ EV_LIT("Accept"), EV_LIT("application/json") },
		{ EV_LIT("Authorization"), token },
	};
	struct aws_http_request r = { .method = AWS_HTTP_GET,
				      .url = url,
				      .headers = headers,
				      .n_headers = token.n > 0 ? 2 : 1 };
	ev_err err = fetch(&f, &r);

	if (err != EV_OK || r.status != 200)
		err = refused(&f, "GET", &r, fail);
	else
		err = aws_keys_from_json(r.answer, AWS_FORM_ENDPOINT, AWS_SOURCE_CONTAINER, out,
					 fail);
	aws_http_clear(&r);
	return err;
}

ev_err aws_source_container(struct aws_sources *s, const struct aws_keys **out,
			    struct ev_fail *fail)
{
	char url[URL_MAX];
	char *file = NULL;
	struct ev_str token = { .n = 0 };
	ev_err err = container_url(s, url, fail);

	if (err != EV_OK)
		return err;
	err = container_token(s, &token, &file, fail);
	if (err == EV_OK)
		err = container_ask(s, url, token, out, fail);
	aws_secret_free(file, CONTAINER_TOKEN_MAX);
	return err;
}

/* --- The instance's --- */

#define INSTANCE_V4 "http://169.254.169.254"
#define INSTANCE_V6 "http://[fd00:ec2::254]"
#define INSTANCE_ROLES "/latest/meta-data/iam/security-credentials/"
#define INSTANCE_TOKEN_TTL "21600"
#define INSTANCE_TOKEN_NS                                                                          \
	(21595 * EV_NS_PER_S) /* less than that, so that it never ends on the way */
#define ROLE_MAX 128

static struct ev_str instance_base(const struct aws_env *env)
{
	struct ev_str base = aws_env_get(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");

	if (base.n == 0 &&
	    ev_str_eq_nocase(aws_env_get(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
			     EV_LIT("ipv6")))
		return EV_LIT(INSTANCE_V6);
	if (base.n == 0)
		return EV_LIT(INSTANCE_V4);
	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	return base;
}

static ev_err instance_url(const struct aws_env *env, const char *path, struct ev_str name,
			   char out[URL_MAX])
{
	struct ev_buf b = ev_buf_over(out, URL_MAX - 1);
	struct aws_url u;

	ev_buf_str_add(&b, instance_base(env));
	ev_buf_z(&b, path);
	ev_buf_str_add(&b, name);
	out[b.len] = '\0';
	return b.overflow ? EV_INVALID : aws_url_parse(ev_buf_str(&b), &u);
}

static ev_err keep_token(struct aws_sources *s, struct ev_str token)
{
	if (token.n == 0 || token.n > AWS_INSTANCE_TOKEN_MAX)
		return EV_INVALID;
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] <= ' ' || token.p[i] >= 0x7f)
			return EV_INVALID;
	}
	memcpy(s->instance_token, token.p, token.n);
	s->instance_token[token.n] = '\0';
	s->instance_token_until_ns = ev_clock_mono_ns(s->clock) + INSTANCE_TOKEN_NS;
	return EV_OK;
}

static ev_err instance_token(const struct fetch *f, struct ev_fail *fail)
{
	struct aws_sources *s = f->s;
	struct aws_header ttl = { EV_LIT("x-aws-ec2-metadata-token-ttl-seconds"),
				  EV_LIT(INSTANCE_TOKEN_TTL) };
	char url[URL_MAX];
	struct aws_http_request r = {
		.method = AWS_HTTP_PUT, .url = url, .headers = &ttl, .n_headers = 1
	};
	ev_err err;

	if (s->instance_token[0] != '\0' && ev_clock_mono_ns(s->clock) < s->instance_token_until_ns)
		return EV_OK;
	if (instance_url(&s->env, "/latest/api/token", (struct ev_str){ .n = 0 }, url) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "%s: the endpoint is no URL", f->who);
	err = fetch(f, &r);
	if (err == EV_TIMEOUT)
		err = ev_fail_set(fail, err, r.sys,
				  "%s: no token in time (in a container: is the hop limit 1?)",
				  f->who);
	else if (err != EV_OK || r.status != 200)
		err = refused(f, "token", &r, fail);
	else if (keep_token(s, r.answer) != EV_OK)
		err = ev_fail_set(fail, EV_CORRUPT, 0, "%s: the token is none", f->who);
	aws_http_clear(&r);
	return err;
}

/* A GET with the token, with a new one if that was refused.  EV_OK: status 200 or 404. */
static ev_err instance_get(const struct fetch *f, const char *path, struct ev_str name,
			   struct aws_http_request *r, struct ev_fail *fail)
{
	char url[URL_MAX];
	struct aws_header token = { .name = EV_LIT("x-aws-ec2-metadata-token") };

	if (instance_url(&f->s->env, path, name, url) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "%s: the endpoint is no URL", f->who);
	for (int i = 0; i < 2; i++) {
		ev_err err = instance_token(f, fail);

		if (err != EV_OK)
			return err;
		token.value = ev_str_from(f->s->instance_token);
		r->method = AWS_HTTP_GET;
		r->url = url;
		r->headers = &token;
		r->n_headers = 1;
		err = fetch(f, r);
		r->headers = NULL;
		r->url = NULL;
		if (err == EV_OK && (r->status == 200 || r->status == 404))
			return EV_OK;
		if (err != EV_OK || r->status != 401)
			break;
		f->s->instance_token[0] = '\0';
	}
	return refused(f, "GET", r, fail);
}

/* The first line, if it can be a part of a path. */
static ev_err role_name(struct ev_str list, char out[ROLE_MAX + 1])
{
	const char *end = list.n > 0 ? memchr(list.p, '\n', list.n) : NULL;
	size_t n = end != NULL ? (size_t)(end - list.p) : list.n;

	if (n == 0 || n > ROLE_MAX)
		return EV_INVALID;
	for (size_t i = 0; i < n; i++) {
		char c = list.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr("+=,.@_-", c) != NULL) ||
		    c == '\0')
			return EV_INVALID;
		out[i] = c;
	}
	out[n] = '\0';
	return EV_OK;
}

static ev_err instance_keys(const struct fetch *f, const char *role, const struct aws_keys **out,
			    struct ev_fail *fail)
{
	struct aws_http_request r = { .url = NULL };
	ev_err err = instance_get(f, INSTANCE_ROLES, ev_str_from(role), &r, fail);

	if (err == EV_OK && r.status != 200)
		err = refused(f, "GET", &r, fail);
	else if (err == EV_OK)
		err = aws_keys_from_json(r.answer, AWS_FORM_ENDPOINT, AWS_SOURCE_INSTANCE, out,
					 fail);
	aws_http_clear(&r);
	return err;
}

/* 404 is the answer of an instance without a role. */
static ev_err instance_role(const struct fetch *f, char out[ROLE_MAX + 1], struct ev_fail *fail)
{
	struct aws_http_request r = { .url = NULL };
	ev_err err = instance_get(f, INSTANCE_ROLES, (struct ev_str){ .n = 0 }, &r, fail);

	if (err == EV_OK && r.status == 404)
		err = ev_fail_set(fail, EV_NOTFOUND, 0, "%s: the instance has no role", f->who);
	else if (err == EV_OK && role_name(r.answer, out) != EV_OK)
		err = ev_fail_set(fail, EV_CORRUPT, 0, "%s: the role's name is none", f->who);
	aws_http_clear(&r);
	return err;
}

static unsigned setting(const struct aws_env *env, const char *name, unsigned usual, unsigned max)
{
	uint64_t v;

	if (num_parse_u64(aws_env_get(env, name), &v) != EV_OK || v == 0)
		return usual;
	return v < max ? (unsigned)v : max;
}

ev_err aws_source_instance(struct aws_sources *s, const struct aws_keys **out, struct ev_fail *fail)
{
	struct fetch f = {
		.s = s,
		.who = "the instance's metadata",
		.timeout_ms = 1000 * setting(&s->env, "AWS_METADATA_SERVICE_TIMEOUT", 1, 60),
		.attempts = setting(&s->env, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", 1, 10),
	};
	char role[ROLE_MAX + 1];
	ev_err err;

	if (aws_env_true(&s->env, "AWS_EC2_METADATA_DISABLED"))
		return EV_NOTFOUND;
	err = instance_role(&f, role, fail);
	if (err != EV_OK)
		return err;
	return instance_keys(&f, role, out, fail);
}
