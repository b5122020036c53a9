#include "engine/aws/sts.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/buf.h"
#include "base/time.h"
#include "engine/aws/endpoint.h"
#include "engine/aws/error.h"
#include "engine/aws/skew.h"
#include "engine/aws/xml.h"

#define BODY_MAX (3 * AWS_WEB_TOKEN_MAX + 16384) /* every byte may take three */
#define AUTHORIZATION_MAX 1024
#define CONNECT_MS 2000
#define TOTAL_MS 10000
#define HEADERS 5

struct exchange {
	struct aws_sources *s;
	const char *action;
	struct aws_endpoint endpoint;
	const char *region;
	const struct aws_keys *with; /* NULL: not signed */
	char *body;
	size_t body_n;
	struct aws_http_request http;
	int64_t offset_ns; /* of our clock */
	struct aws_error error;
};

/* --- The request --- */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '~';
}

static void add_encoded(struct ev_buf *b, struct ev_str s)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];

		if (is_plain(s.p[i])) {
			ev_buf_char(b, s.p[i]);
			continue;
		}
		ev_buf_char(b, '%');
		ev_buf_char(b, digits[c >> 4]);
		ev_buf_char(b, digits[c & 15]);
	}
}

static void add_parameter(struct ev_buf *b, const char *name, struct ev_str value)
{
	if (value.n == 0)
		return;
	ev_buf_char(b, '&');
	ev_buf_z(b, name);
	ev_buf_char(b, '=');
	add_encoded(b, value);
}

static void add_role(struct ev_buf *b, struct aws_sources *s, const struct aws_role *role)
{
	char room[64];
	struct ev_buf name = ev_buf_over(room, sizeof(room));

	ev_buf_z(&name, "evcharge-");
	ev_buf_i64(&name, ev_clock_wall_ns(s->clock) / EV_NS_PER_S);
	add_parameter(b, "RoleArn", role->arn);
	add_parameter(b, "RoleSessionName",
		      role->session_name.n > 0 ? role->session_name : ev_buf_str(&name));
	add_parameter(b, "ExternalId", role->external_id);
	if (role->duration_s > 0) {
		ev_buf_z(b, "&DurationSeconds=");
		ev_buf_u64(b, role->duration_s);
	}
}

static ev_err sign(struct exchange *x, struct aws_header headers[HEADERS], size_t n,
		   char date[AWS_DATE_TEXT], struct ev_buf *authorization)
{
	struct aws_signing in = {
		.method = EV_LIT("POST"),
		.path = EV_LIT("/"),
		.headers = headers,
		.body = { x->body, x->body_n },
		.region = ev_str_from(x->region),
		.service = ev_str_from(aws_service_name(AWS_STS)),
		.at_ns = ev_clock_wall_ns(x->s->clock) + x->offset_ns,
		.key_id = x->with->id,
		.secret = x->with->secret,
	};
	ev_err err;

	aws_date_text(in.at_ns, date);
	headers[n++] = (struct aws_header){ EV_LIT("X-Amz-Date"), ev_str_from(date) };
	if (x->with->token.n > 0)
		headers[n++] = (struct aws_header){ EV_LIT("X-Amz-Security-Token"),
						    x->with->token };
	in.n_headers = n;
	err = aws_sign(&in, authorization);
	headers[n++] = (struct aws_header){ EV_LIT("Authorization"), ev_buf_str(authorization) };
	x->http.n_headers = n;
	return err;
}

/* One attempt; x->error says how it ended. */
static ev_err attempt(struct exchange *x)
{
	char date[AWS_DATE_TEXT];
	char room[AUTHORIZATION_MAX];
	struct ev_buf authorization = ev_buf_over(room, sizeof(room));
	struct aws_header headers[HEADERS] = {
		{ EV_LIT("Host"), ev_str_from(x->endpoint.host) },
		{ EV_LIT("Content-Type"), EV_LIT("application/x-www-form-urlencoded") },
	};
	struct aws_http_request *r = &x->http;

	r->headers = headers;
	r->n_headers = 2;
	if (x->with != NULL && sign(x, headers, 2, date, &authorization) != EV_OK)
		return EV_INVALID;
	aws_http_run(x->s->http, r, 1, TOTAL_MS);
	r->headers = NULL;
	if (r->err == EV_TIMEOUT)
		aws_error_local(AWS_ERROR_TIMED_OUT, "TimedOut", "no answer in time", &x->error);
	else if (r->err == EV_IO)
		aws_error_local(AWS_ERROR_TRANSIENT, "Connection", "no answer", &x->error);
	else if (r->err != EV_OK)
		return r->err;
	else if (r->status == 200)
		x->error.kind = AWS_ERROR_NONE;
	else
		aws_error_parse_xml(r->status, ev_str_from(r->head.request_id), r->answer,
				    &x->error);
	return EV_OK;
}

/* Our clock may be wrong, of which only the first answer tells. */
static bool clock_was_wrong(struct exchange *x)
{
	return x->error.kind == AWS_ERROR_SIGNATURE && x->offset_ns == 0 &&
	       aws_skew_correct(ev_str_from(x->http.head.date), ev_clock_wall_ns(x->s->clock),
				&x->offset_ns);
}

static ev_err attempts(struct exchange *x, struct ev_fail *fail)
{
	struct aws_retry_rules rules = aws_retry_standard();
	struct aws_retry_tokens tokens = aws_retry_full();
	struct aws_retry retry = { .attempts = 0 };
	int64_t delay_ns;

	for (;;) {
		ev_err err = attempt(x);

		if (err != EV_OK)
			return ev_fail_set(fail, err, x->http.sys, "%s at %s: %s", x->action,
					   x->endpoint.host, ev_err_text(err));
		if (x->error.kind == AWS_ERROR_NONE)
			return EV_OK;
		if (clock_was_wrong(x))
			continue;
		if (!aws_retry_again(&rules, &tokens, &retry, x->error.kind, 0, x->s->rng,
				     &delay_ns))
			return ev_fail_set(fail, aws_error_map(x->error.kind), x->error.status,
					   "%s at %s: %s: %s", x->action, x->endpoint.host,
					   x->error.code, x->error.message);
		aws_sources_pause(x->s, delay_ns);
	}
}

/* --- The answer --- */

enum text { TEXT_ID, TEXT_SECRET, TEXT_TOKEN, TEXT_EXPIRATION, TEXT_COUNT };

static const char *const role_paths[TEXT_COUNT] = {
	[TEXT_ID] = "AssumeRoleResponse/AssumeRoleResult/Credentials/AccessKeyId",
	[TEXT_SECRET] = "AssumeRoleResponse/AssumeRoleResult/Credentials/SecretAccessKey",
	[TEXT_TOKEN] = "AssumeRoleResponse/AssumeRoleResult/Credentials/SessionToken",
	[TEXT_EXPIRATION] = "AssumeRoleResponse/AssumeRoleResult/Credentials/Expiration",
};

#define WEB "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"
static const char *const web_paths[TEXT_COUNT] = {
	[TEXT_ID] = WEB "AccessKeyId",
	[TEXT_SECRET] = WEB "SecretAccessKey",
	[TEXT_TOKEN] = WEB "SessionToken",
	[TEXT_EXPIRATION] = WEB "Expiration",
};
#undef WEB

static ev_err read_keys(struct ev_str xml, const char *const paths[TEXT_COUNT],
			enum aws_source source, char *room, const struct aws_keys **out)
{
	struct aws_xml_field f[TEXT_COUNT];
	struct aws_keys k = { .source = source };
	size_t part = AWS_KEYS_ANSWER_MAX / TEXT_COUNT;
	ev_err err;

	for (size_t i = 0; i < TEXT_COUNT; i++)
		f[i] = (struct aws_xml_field){ .path = paths[i],
					       .out = ev_buf_over(room + i * part, part) };
	err = aws_xml_read(xml, f, TEXT_COUNT);
	if (err != EV_OK)
		return err;
	if (!f[TEXT_TOKEN].found || f[TEXT_TOKEN].out.len == 0 ||
	    ev_time_parse(ev_buf_str(&f[TEXT_EXPIRATION].out), &k.expires_ns, NULL) != EV_OK)
		return EV_INVALID;
	k.id = ev_buf_str(&f[TEXT_ID].out);
	k.secret = ev_buf_str(&f[TEXT_SECRET].out);
	k.token = ev_buf_str(&f[TEXT_TOKEN].out);
	return aws_keys_new(&k, out);
}

static ev_err take_keys(struct exchange *x, const struct aws_keys **out, struct ev_fail *fail)
{
	char *room = malloc(AWS_KEYS_ANSWER_MAX);
	ev_err err;

	if (room == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	if (x->with != NULL)
		err = read_keys(x->http.answer, role_paths, AWS_SOURCE_ROLE, room, out);
	else
		err = read_keys(x->http.answer, web_paths, AWS_SOURCE_WEB_IDENTITY, room, out);
	OPENSSL_cleanse(room, AWS_KEYS_ANSWER_MAX);
	free(room);
	if (err == EV_OK || err == EV_NOMEM)
		return err;
	return ev_fail_set(fail, EV_CORRUPT, 0, "%s at %s: the answer is not as promised",
			   x->action, x->endpoint.host);
}

static ev_err run(struct exchange *x, const struct aws_role *role, struct ev_str token,
		  const struct aws_keys **out, struct ev_fail *fail)
{
	struct ev_buf b;
	ev_err err;

	x->body = malloc(BODY_MAX);
	if (x->body == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	b = ev_buf_over(x->body, BODY_MAX);
	ev_buf_z(&b, "Version=2011-06-15&Action=");
	ev_buf_z(&b, x->action);
	add_role(&b, x->s, role);
	add_parameter(&b, "WebIdentityToken", token);
	x->body_n = b.len;
	x->http = (struct aws_http_request){
		.method = AWS_HTTP_POST,
		.url = x->endpoint.url,
		.body = ev_buf_str(&b),
		.connect_ms = CONNECT_MS,
		.total_ms = TOTAL_MS,
		.max_answer = AWS_KEYS_ANSWER_MAX,
		.secret = true,
	};
	err = b.overflow
		      ? ev_fail_set(fail, EV_INVALID, 0, "%s: a parameter is too long", x->action)
		      : attempts(x, fail);
	if (err == EV_OK)
		err = take_keys(x, out, fail);
	aws_http_clear(&x->http);
	OPENSSL_cleanse(x->body, x->body_n);
	free(x->body);
	return err;
}

ev_err aws_sts_assume_role(struct aws_sources *s, const char *region, const struct aws_role *role,
			   const struct aws_keys *with, const struct aws_profiles *profiles,
			   struct ev_str profile, const struct aws_keys **out, struct ev_fail *fail)
{
	struct exchange x = { .s = s, .action = "AssumeRole", .region = region, .with = with };
	ev_err err = aws_endpoint_resolve(AWS_STS, region, &s->env, profiles, profile, &x.endpoint,
					  fail);

	if (err != EV_OK)
		return err;
	return run(&x, role, (struct ev_str){ .n = 0 }, out, fail);
}

ev_err aws_sts_web_identity(struct aws_sources *s, const char *region, const struct aws_role *role,
			    struct ev_str token, const struct aws_profiles *profiles,
			    struct ev_str profile, const struct aws_keys **out,
			    struct ev_fail *fail)
{
	struct exchange x = { .s = s, .action = "AssumeRoleWithWebIdentity", .region = region };
	ev_err err = aws_endpoint_resolve(AWS_STS, region, &s->env, profiles, profile, &x.endpoint,
					  fail);

	if (err != EV_OK)
		return err;
	return run(&x, role, token, out, fail);
}
