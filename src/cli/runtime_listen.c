/* cli/runtime_listen.c — the three listeners, and who answers on them. */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "cli/runtime_internal.h"
#include "cli/version.h"

/* Answers and commands are short: what a silent reader may hold of the kernel's memory. */
#define GATEWAY_SEND_BUFFER 65536

static const char *const listener_names[RUNTIME_LISTENERS] = {
	[RUNTIME_OUTLET] = "outlet",
	[RUNTIME_APP] = "app",
	[RUNTIME_GATEWAY] = "gateway",
};

static const struct config_address *address_of(const struct runtime *r, enum runtime_listener l)
{
	if (l == RUNTIME_OUTLET)
		return &r->config.outlet_listen;
	return l == RUNTIME_APP ? &r->config.app_listen : &r->config.gateway_listen;
}

/* --- the two APIs --- */

static void on_outlet_request(void *user, const struct net_request *req)
{
	struct runtime *r = user;

	api_request(r->api, API_OUTLET, req);
}

static void on_app_request(void *user, const struct net_request *req)
{
	struct runtime *r = user;

	api_request(r->api, API_APP, req);
}

static void on_gateway_other(void *user, const struct net_request *req)
{
	struct runtime *r = user;

	api_request(r->api, API_GATEWAY, req);
}

static void on_gone(void *user, struct net_handle h, void *conn_user)
{
	struct runtime *r = user;

	(void)conn_user;
	api_on_gone(r->api, h);
}

static void on_room(void *user, struct net_handle h, void *conn_user)
{
	struct runtime *r = user;

	(void)conn_user;
	api_on_room(r->api, h);
}

static const struct net_handlers outlet_handlers = {
	.on_request = on_outlet_request,
	.on_gone = on_gone,
	.on_room = on_room,
};

static const struct net_handlers app_handlers = {
	.on_request = on_app_request,
	.on_gone = on_gone,
	.on_room = on_room,
};

static void add_checks(void *user, struct api_checks *c)
{
	struct runtime *r = user;

	api_checks_add(c, "store",
		       atomic_load(&r->store_failing) ? "commits fail: see the log" : NULL);
	api_checks_add(c, "load", host_is_busy(r->host) ? "overloaded" : NULL);
	api_checks_add(c, "running", r->draining ? "draining" : NULL);
}

static void engine_metrics(void *user, struct ev_buf *out)
{
	struct runtime *r = user;

	runtime_engine_metrics(r->engine, out);
}

static void set_policies(struct runtime *r)
{
	for (int l = 0; l < RUNTIME_LISTENERS; l++) {
		const struct config_address *a = address_of(r, (enum runtime_listener)l);

		r->policies[l] = (struct access_policy){
			.required = r->config.auth == CONFIG_AUTH_ALWAYS || !config_is_loopback(a),
			.credentials = r->credentials,
		};
	}
}

static ev_err open_api(struct runtime *r)
{
	struct api_config c = {
		.host = r->host,
		.sink = &r->sink.base,
		.clock = r->clock,
		.rng = &r->rng.base,
		.metrics = &r->metrics,
		.log = r->log,
		.limits = api_limits_default(),
		.stuck_after_ns = r->config.stuck_after_ns,
		.version = EVCHARGE_VERSION,
		.ready = add_checks,
		.more_metrics = engine_metrics,
		.user = r,
	};

	api_server_sink_init(&r->sink, r->server);
	c.access[API_OUTLET] = r->policies[RUNTIME_OUTLET];
	c.access[API_APP] = r->policies[RUNTIME_APP];
	c.access[API_GATEWAY] = r->policies[RUNTIME_GATEWAY];
	return api_new(&c, &r->api);
}

/* --- the gateway --- */

static int authorize(void *user, const struct ev_uuid *outlet_id, const struct net_request *req)
{
	struct runtime *r = user;
	struct access_headers h = access_headers_of(req->headers, req->n_headers);

	return access_status(access_device(&r->policies[RUNTIME_GATEWAY], &h, outlet_id));
}

struct gateway_limits runtime_limits(const struct config *c)
{
	return (struct gateway_limits){ .rate = (uint32_t)c->message_rate,
					.burst = (uint32_t)c->message_burst };
}

static ev_err open_gateway(struct runtime *r)
{
	struct gateway_config c = {
		.server = r->server,
		.loop = r->loop,
		.host = r->host,
		.clock = r->clock,
		.rng = &r->rng.base,
		.log = r->log,
		.metrics = &r->metrics,
		.max_devices = RUNTIME_MAX_DEVICES,
		.max_outstanding = (uint32_t)r->config.max_outstanding,
		.limits = runtime_limits(&r->config),
		.backlog_silence_ms = 1000,
		.backlog_max_ms = 5000,
		.authorize = authorize,
		.on_other = on_gateway_other,
		.user = r,
	};

	return gateway_new(&c, &r->gateway);
}

/* --- listening --- */

static void fill_limits(const struct config *c, struct net_limits *l)
{
	l->max_connections = (uint32_t)c->max_connections;
	l->max_connections_per_address = (uint32_t)c->max_connections_per_address;
	l->max_message_bytes = (uint32_t)c->max_frame;
	l->ping_interval_ms = (uint32_t)(c->ping_interval_ns / EV_NS_PER_MS);
	/* Whoever wants to know soon that a device is there wants to know soon that it is not. */
	if (l->pong_timeout_ms > l->ping_interval_ms)
		l->pong_timeout_ms = l->ping_interval_ms;
	l->ws_idle_timeout_ms = (uint32_t)(c->idle_timeout_ns / EV_NS_PER_MS);
}

static void log_listening(struct runtime *r, enum runtime_listener l)
{
	char url[RUNTIME_URL_MAX];

	runtime_url(r, l, url);
	ev_info(r->log, "server.listening", EV_KZ("name", listener_names[l]), EV_KZ("url", url));
}

static ev_err listen_one(struct runtime *r, enum runtime_listener l, struct ev_fail *fail)
{
	const struct config *config = &r->config;
	const struct config_address *a = address_of(r, l);
	struct net_listener_config c;
	ev_err e;

	net_listener_config_init(&c);
	fill_limits(config, &c.limits);
	c.name = listener_names[l];
	c.address = strcmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;
	c.port = a->port;
	if (config->tls_cert[0] != '\0') {
		c.tls_cert = config->tls_cert;
		c.tls_key = config->tls_key;
	}
	c.user = r;
	c.handlers = l == RUNTIME_OUTLET ? &outlet_handlers : &app_handlers;
	if (l == RUNTIME_GATEWAY) {
		c.limits.send_buffer_bytes = GATEWAY_SEND_BUFFER;
		c.handlers = gateway_handlers();
		c.user = r->gateway;
	}
	e = net_server_listen(r->server, &c, &r->listeners[l], fail);
	if (e == EV_OK)
		log_listening(r, l);
	return e;
}

ev_err runtime_listen(struct runtime *r, struct ev_fail *fail)
{
	ev_err e;

	set_policies(r);
	e = open_api(r);
	if (e == EV_OK)
		e = open_gateway(r);
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "out of memory");
	for (int l = 0; l < RUNTIME_LISTENERS && e == EV_OK; l++)
		e = listen_one(r, (enum runtime_listener)l, fail);
	return e;
}

void runtime_url(const struct runtime *r, enum runtime_listener l, char out[RUNTIME_URL_MAX])
{
	const char *host = address_of(r, l)->host;
	bool v6 = strchr(host, ':') != NULL;

	snprintf(out, RUNTIME_URL_MAX, "%s://%s%s%s:%u",
		 r->config.tls_cert[0] != '\0' ? "https" : "http", v6 ? "[" : "", host,
		 v6 ? "]" : "", (unsigned)net_listener_port(r->listeners[l]));
}
