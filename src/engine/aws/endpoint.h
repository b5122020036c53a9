/*
 * engine/aws/endpoint.h — which region and which address a service is called at.
 *
 * All from the environment and the profile; nothing is asked over the network.
 */
#ifndef EV_AWS_ENDPOINT_H
#define EV_AWS_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "engine/aws/env.h"
#include "engine/aws/profile.h"

enum aws_service { AWS_SQS, AWS_KINESIS, AWS_DYNAMODB, AWS_STS, AWS_SERVICE_COUNT };

#define AWS_REGION_MAX 32
#define AWS_HOST_MAX 256
#define AWS_URL_MAX (AWS_HOST_MAX + 16)

/* The name that requests are signed for: "sqs", …  Never NULL. */
const char *aws_service_name(enum aws_service service);

/*
 * AWS_REGION, AWS_DEFAULT_REGION, the profile's region.  EV_NOTFOUND: none of them; EV_INVALID:
 * not a region's name.  profiles may be NULL.
 */
EV_NODISCARD ev_err aws_region_resolve(const struct aws_env *env,
				       const struct aws_profiles *profiles, struct ev_str profile,
				       char out[AWS_REGION_MAX + 1], struct ev_fail *fail);

struct aws_endpoint {
	char url[AWS_URL_MAX];   /* scheme, host, port; ends in the slash that is the path */
	char host[AWS_HOST_MAX]; /* as in the Host header: without the scheme's own port */
	bool tls;
};

/*
 * In this order: AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's `services` section,
 * its endpoint_url, the region's address of the public partition or the one in China.  The first
 * two, and the profile's, are passed over if AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true.
 * EV_INVALID for a URL that is not http(s)://host[:port][/].  profiles may be NULL.
 */
EV_NODISCARD ev_err aws_endpoint_resolve(enum aws_service service, const char *region,
					 const struct aws_env *env,
					 const struct aws_profiles *profiles, struct ev_str profile,
					 struct aws_endpoint *out, struct ev_fail *fail);

/* The parts of a URL as above with any path, all borrowed from it; EV_INVALID otherwise. */
struct aws_url {
	bool tls;
	struct ev_str host; /* without the brackets of an IPv6 address */
	bool is_ipv6;
	uint16_t port;      /* the scheme's own if none is given */
	struct ev_str path; /* with the query; "/" if there is none */
};
EV_NODISCARD ev_err aws_url_parse(struct ev_str url, struct aws_url *out);

#endif
