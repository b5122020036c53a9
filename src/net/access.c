/* net/access.c — see access.h. */
#include "net/access.h"

#include <string.h>

#include "base/buf.h"

#define SECRET_MAX 256 /* bytes of anything that may be a secret, or user and secret in base64 */

struct access_headers access_headers_of(const struct net_header *h, size_t n)
{
	return (struct access_headers){
		.authorization = net_http_header(h, n, "authorization"),
		.origin = net_http_header(h, n, "origin"),
		.host = net_http_header(h, n, "host"),
		.fetch_site = net_http_header(h, n, "sec-fetch-site"),
	};
}

/* --- origins --- */

static bool ends_with(struct ev_str s, const char *tail)
{
	size_t n = strlen(tail);

	return s.n >= n && ev_str_eq_nocase((struct ev_str){ s.p + s.n - n, n }, ev_str_from(tail));
}

/* host:port without the port that the scheme implies. */
static struct ev_str plain_authority(struct ev_str s, bool tls)
{
	const char *implied = tls ? ":443" : ":80";

	/* In brackets all colons are the address's. */
	if (ends_with(s, implied))
		s.n -= strlen(implied);
	return s;
}

bool access_same_origin(struct ev_str origin, struct ev_str host)
{
	struct ev_str http = EV_LIT("http://");
	struct ev_str https = EV_LIT("https://");
	bool tls = ev_str_starts(origin, https);
	size_t scheme = tls ? https.n : http.n;
	struct ev_str authority;

	if (!tls && !ev_str_starts(origin, http))
		return false;
	authority = (struct ev_str){ origin.p + scheme, origin.n - scheme };
	if (authority.n == 0)
		return false;
	return ev_str_eq_nocase(plain_authority(authority, tls), plain_authority(host, tls));
}

static bool all_of(struct ev_str s, const char *set)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
			return false;
	}
	return s.n > 0;
}

/* What is before the port. */
static struct ev_str host_name(struct ev_str host)
{
	struct ev_str name = host;

	while (name.n > 0 && name.p[name.n - 1] >= '0' && name.p[name.n - 1] <= '9')
		name.n--;
	if (name.n > 0 && name.n < host.n && name.p[name.n - 1] == ':')
		return (struct ev_str){ name.p, name.n - 1 };
	return host;
}

bool access_host_is_local(struct ev_str host)
{
	struct ev_str name = host_name(host);

	if (host.n == 0 || ev_str_eq_nocase(name, EV_LIT("localhost")))
		return true;
	if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		return all_of((struct ev_str){ name.p + 1, name.n - 2 },
			      "0123456789abcdefABCDEF:.");
	/* No name ends in a number (RFC 3696 2), so digits and points alone are an address. */
	return all_of(name, "0123456789.");
}

static bool is_foreign(const struct access_headers *h)
{
	if (h->origin.n > 0 && !access_same_origin(h->origin, h->host))
		return true;
	return ev_str_eq_nocase(h->fetch_site, EV_LIT("cross-site"));
}

/* --- credentials --- */

/* `Scheme  value`: the value without spaces around, empty if the scheme is another. */
static struct ev_str after_scheme(struct ev_str s, const char *scheme)
{
	size_t n = strlen(scheme);
	struct ev_str none = { NULL, 0 };

	if (s.n <= n || !ev_str_eq_nocase((struct ev_str){ s.p, n }, ev_str_from(scheme)) ||
	    s.p[n] != ' ')
		return none;
	s = (struct ev_str){ s.p + n, s.n - n };
	while (s.n > 0 && s.p[0] == ' ')
		s = (struct ev_str){ s.p + 1, s.n - 1 };
	return s.n <= SECRET_MAX ? s : none;
}

static int base64_value(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* RFC 4648 section 4, with or without padding; out has room for 3 bytes to 4 digits. */
static bool base64_decode(struct ev_str in, char *out, size_t *out_n)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;

	*out_n = 0;
	while (in.n > 0 && in.p[in.n - 1] == '=')
		in.n--;
	for (size_t i = 0; i < in.n; i++) {
		int v = base64_value(in.p[i]);

		if (v < 0)
			return false;
		bits = (bits << 6 | (uint32_t)v) & 0xffffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[(*out_n)++] = (char)(bits >> n_bits & 0xff);
		}
	}
	return true;
}

static bool is_secret(const struct access_policy *p, const struct ev_uuid *outlet_id,
		      struct ev_str secret)
{
	return p->credentials != NULL && secret.n > 0 &&
	       credentials_is_device(p->credentials, outlet_id, secret);
}

static bool basic_ok(const struct access_policy *p, struct ev_str digits,
		     const struct ev_uuid *outlet_id)
{
	char text[SECRET_MAX];
	struct ev_uuid user;
	const char *colon;
	size_t n, user_n;

	if (digits.n == 0 || !base64_decode(digits, text, &n))
		return false;
	colon = memchr(text, ':', n);
	if (colon == NULL)
		return false;
	user_n = (size_t)(colon - text);
	if (ev_uuid_parse((struct ev_str){ text, user_n }, &user) != EV_OK ||
	    !ev_uuid_eq(&user, outlet_id))
		return false;
	return is_secret(p, outlet_id, (struct ev_str){ colon + 1, n - user_n - 1 });
}

/* Without credentials: whether they may be missing. */
static enum access without(const struct access_policy *p, const struct access_headers *h)
{
	if (p->required)
		return ACCESS_MISSING;
	return access_host_is_local(h->host) ? ACCESS_GRANTED : ACCESS_FOREIGN;
}

enum access access_api(const struct access_policy *p, const struct access_headers *h)
{
	struct ev_str token = after_scheme(h->authorization, "Bearer");

	if (is_foreign(h))
		return ACCESS_FOREIGN;
	if (h->authorization.n == 0)
		return without(p, h);
	if (p->credentials == NULL || token.n == 0 || !credentials_is_api(p->credentials, token))
		return ACCESS_WRONG;
	return ACCESS_GRANTED;
}

enum access access_device(const struct access_policy *p, const struct access_headers *h,
			  const struct ev_uuid *outlet_id)
{
	struct ev_str basic = after_scheme(h->authorization, "Basic");
	struct ev_str bearer = after_scheme(h->authorization, "Bearer");

	if (is_foreign(h))
		return ACCESS_FOREIGN;
	if (h->authorization.n == 0)
		return without(p, h);
	if (basic_ok(p, basic, outlet_id) || is_secret(p, outlet_id, bearer))
		return ACCESS_GRANTED;
	return ACCESS_WRONG;
}

int access_status(enum access a)
{
	switch (a) {
	case ACCESS_GRANTED:
		return 0;
	case ACCESS_MISSING:
	case ACCESS_WRONG:
		return 401;
	case ACCESS_FOREIGN:
		break;
	}
	return 403;
}

const char *access_text(enum access a)
{
	switch (a) {
	case ACCESS_GRANTED:
		return "";
	case ACCESS_MISSING:
		return "credentials are needed";
	case ACCESS_WRONG:
		return "the credentials are not right";
	case ACCESS_FOREIGN:
		break;
	}
	return "a page of another site asks, or one by a name that is not localhost, without "
	       "credentials";
}
