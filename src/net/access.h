/*
 * net/access.h — who may ask: API tokens, device secrets, and pages of other sites.  Pure over the
 * request's headers and the set of credentials (docs/http-api.md, "Credentials").
 *
 * Where credentials are optional (loopback), nothing but the address keeps a stranger out, so two
 * things are refused there that only a browser sends on behalf of another site: a foreign Origin,
 * and a Host that is a name (a page may have its own name point to 127.0.0.1).
 */
#ifndef EV_NET_ACCESS_H
#define EV_NET_ACCESS_H

#include "base/str.h"
#include "base/uuid.h"
#include "net/http.h"
#include "service/credentials.h"

struct access_policy {
	bool required;                   /* the address is not loopback, or `auth = always` */
	struct credentials *credentials; /* borrowed; NULL: an empty set */
};

/* The headers that decide; each may be empty. */
struct access_headers {
	struct ev_str authorization;
	struct ev_str origin;
	struct ev_str host;
	struct ev_str fetch_site; /* Sec-Fetch-Site */
};
struct access_headers access_headers_of(const struct net_header *h, size_t n);

enum access {
	ACCESS_GRANTED,
	ACCESS_MISSING, /* credentials are needed and none were sent: 401 */
	ACCESS_WRONG,   /* they are not right: 401 */
	ACCESS_FOREIGN, /* a page of another site asks: 403 */
};

/* For people and programs: `Bearer` with an API token. */
enum access access_api(const struct access_policy *p, const struct access_headers *h);

/* For a device: `Basic` with the outletId as user, or `Bearer`, with a secret of that outlet. */
enum access access_device(const struct access_policy *p, const struct access_headers *h,
			  const struct ev_uuid *outlet_id);

/* 0, 401 or 403; and what to tell people. */
int access_status(enum access a);
const char *access_text(enum access a);

/* The value of WWW-Authenticate with a 401. */
#define ACCESS_CHALLENGE_API "Bearer realm=\"evcharge\""
#define ACCESS_CHALLENGE_DEVICE "Basic realm=\"evcharge\", Bearer realm=\"evcharge\""

/* Whether the page at `origin` (scheme://host[:port]) is of the host that was asked. */
bool access_same_origin(struct ev_str origin, struct ev_str host);

/* Whether Host is a numeric address or localhost, with or without port; also if it is empty. */
bool access_host_is_local(struct ev_str host);

#endif
