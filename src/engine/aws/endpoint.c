#include "engine/aws/endpoint.h"

#include "base/buf.h"
#include "base/num.h"

static const struct {
	const char *name;     /* in the signature and in the host */
	const char *variable; /* that gives its address */
	const char *section;  /* in `[services NAME]` */
} services[] = {
	[AWS_SQS] = { "sqs", "AWS_ENDPOINT_URL_SQS", "sqs" },
	[AWS_KINESIS] = { "kinesis", "AWS_ENDPOINT_URL_KINESIS", "kinesis" },
	[AWS_DYNAMODB] = { "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB", "dynamodb" },
	[AWS_STS] = { "sts", "AWS_ENDPOINT_URL_STS", "sts" },
};
_Static_assert(EV_ARRAY_LEN(services) == AWS_SERVICE_COUNT, "every service has its names");

const char *aws_service_name(enum aws_service service)
{
	return services[service].name;
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* It becomes part of a host name. */
static bool is_region(struct ev_str s)
{
	if (s.n == 0 || s.n > AWS_REGION_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_label_char(s.p[i]))
			return false;
	}
	return true;
}

ev_err aws_region_resolve(const struct aws_env *env, const struct aws_profiles *profiles,
			  struct ev_str profile, char out[AWS_REGION_MAX + 1], struct ev_fail *fail)
{
	struct ev_str region = aws_env_get(env, "AWS_REGION");

	if (region.n == 0)
		region = aws_env_get(env, "AWS_DEFAULT_REGION");
	if (region.n == 0 && profiles != NULL)
		(void)aws_profile_get(profiles, profile, "region", &region);
	if (region.n == 0)
		return ev_fail_set(fail, EV_NOTFOUND, 0,
				   "no region: set AWS_REGION, or region in the AWS profile");
	if (!is_region(region))
		return ev_fail_set(fail, EV_INVALID, 0, "not the name of a region");
	memcpy(out, region.p, region.n);
	out[region.n] = '\0';
	return EV_OK;
}

static bool take(struct ev_str *s, struct ev_str what)
{
	if (!ev_str_starts(*s, what))
		return false;
	s->p += what.n;
	s->n -= what.n;
	return true;
}

/* Up to any of the characters, or all. */
static struct ev_str take_until(struct ev_str *s, const char *ends)
{
	struct ev_str out = { s->p, 0 };

	while (out.n < s->n && strchr(ends, s->p[out.n]) == NULL)
		out.n++;
	s->p += out.n;
	s->n -= out.n;
	return out;
}

static bool is_host(struct ev_str host, bool ipv6)
{
	if (host.n == 0 || host.n > AWS_HOST_MAX - 10)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
			   (c >= 'A' && c <= 'F');

		if (ipv6 ? !hex && c != ':' && c != '.'
			 : !is_label_char(c) && !(c >= 'A' && c <= 'Z') && c != '.' && c != '_')
			return false;
	}
	return true;
}

static bool take_port(struct ev_str *s, bool tls, uint16_t *out)
{
	struct ev_str digits;
	uint64_t port;

	*out = tls ? 443 : 80;
	if (!take(s, EV_LIT(":")))
		return true;
	digits = take_until(s, "/?#");
	if (num_parse_u64(digits, &port) != EV_OK || port == 0 || port > UINT16_MAX)
		return false;
	*out = (uint16_t)port;
	return true;
}

/* Nothing that would end the request's line, and no fragment. */
static bool is_path(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '#')
			return false;
	}
	return s.n == 0 || s.p[0] == '/' || s.p[0] == '?';
}

ev_err aws_url_parse(struct ev_str url, struct aws_url *out)
{
	struct aws_url u = { .path = EV_LIT("/") };

	if (url.n > 0 && memchr(url.p, '\0', url.n) != NULL)
		return EV_INVALID;
	u.tls = take(&url, EV_LIT("https://"));
	if (!u.tls && !take(&url, EV_LIT("http://")))
		return EV_INVALID;
	u.is_ipv6 = take(&url, EV_LIT("["));
	u.host = take_until(&url, u.is_ipv6 ? "]" : ":/?#@");
	if ((u.is_ipv6 && !take(&url, EV_LIT("]"))) || !is_host(u.host, u.is_ipv6) ||
	    !take_port(&url, u.tls, &u.port) || !is_path(url))
		return EV_INVALID;
	if (url.n > 0)
		u.path = url;
	*out = u;
	return EV_OK;
}

static void write_host(struct ev_buf *b, const struct aws_url *u)
{
	if (u->is_ipv6)
		ev_buf_char(b, '[');
	ev_buf_str_add(b, u->host);
	if (u->is_ipv6)
		ev_buf_char(b, ']');
	if (u->port != (u->tls ? 443 : 80)) {
		ev_buf_char(b, ':');
		ev_buf_u64(b, u->port);
	}
}

static ev_err from_url(struct ev_str url, struct aws_endpoint *out, struct ev_fail *fail)
{
	struct aws_url u;
	struct ev_buf host = ev_buf_over(out->host, sizeof(out->host) - 1);
	struct ev_buf full = ev_buf_over(out->url, sizeof(out->url) - 1);

	if (aws_url_parse(url, &u) != EV_OK || !ev_str_eqz(u.path, "/"))
		return ev_fail_set(fail, EV_INVALID, 0,
				   "an AWS endpoint is http://host[:port] or https://host[:port]");
	out->tls = u.tls;
	write_host(&host, &u);
	out->host[host.len] = '\0';
	ev_buf_z(&full, u.tls ? "https://" : "http://");
	ev_buf_z(&full, out->host);
	ev_buf_char(&full, '/');
	out->url[full.len] = '\0';
	return EV_OK;
}

static struct ev_str configured(enum aws_service service, const struct aws_env *env,
				const struct aws_profiles *profiles, struct ev_str profile)
{
	struct ev_str url = aws_env_get(env, services[service].variable);
	struct ev_str section;

	if (aws_env_true(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
		return (struct ev_str){ .n = 0 };
	if (url.n == 0)
		url = aws_env_get(env, "AWS_ENDPOINT_URL");
	if (url.n > 0 || profiles == NULL)
		return url;
	if (aws_profile_get(profiles, profile, "services", &section) &&
	    aws_services_get(profiles, section, services[service].section, "endpoint_url", &url))
		return url;
	(void)aws_profile_get(profiles, profile, "endpoint_url", &url);
	return url;
}

ev_err aws_endpoint_resolve(enum aws_service service, const char *region, const struct aws_env *env,
			    const struct aws_profiles *profiles, struct ev_str profile,
			    struct aws_endpoint *out, struct ev_fail *fail)
{
	struct ev_str url = configured(service, env, profiles, profile);
	char room[AWS_URL_MAX];
	struct ev_buf b = ev_buf_over(room, sizeof(room));

	if (url.n > 0)
		return from_url(url, out, fail);
	if (!is_region(ev_str_from(region)))
		return ev_fail_set(fail, EV_INVALID, 0, "not the name of a region");
	ev_buf_z(&b, "https://");
	ev_buf_z(&b, services[service].name);
	ev_buf_char(&b, '.');
	ev_buf_z(&b, region);
	ev_buf_z(&b, ".amazonaws.com");
	if (ev_str_starts(ev_str_from(region), EV_LIT("cn-")))
		ev_buf_z(&b, ".cn");
	return from_url(ev_buf_str(&b), out, fail);
}
