/* cli/runtime_listen.c — the three listeners, and who answers on them. */
#include <assert.h>
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

	api_request(r->main.api, API_OUTLET, req);
}

static void on_app_request(void *user, const struct net_request *req)
{
	struct runtime *r = user;

	api_request(r->main.api, API_APP, req);
}

static void on_gateway_other(void *user, const struct net_request *req)
{
	struct runtime_side *s = user;

	api_request(s->api, API_GATEWAY, req);
}

static void on_gone(void *user, struct net_handle h, void *conn_user)
{
	struct runtime *r = user;

	(void)conn_user;
	api_on_gone(r->main.api, h);
}

static void on_room(void *user, struct net_handle h, void *conn_user)
{
	struct runtime *r = user;

	(void)conn_user;
	api_on_room(r->main.api, h);
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
	struct runtime_side *s = user;
	struct runtime *r = s->runtime;

	if (r->aws != NULL)
		aws_runtime_checks(r->aws, c);
	else
		api_checks_add(c, "store",
			       atomic_load(&r->store_failing) ? "commits fail: see the log" : NULL);
	api_checks_add(c, "load", host_any_busy(s->host) ? "overloaded" : NULL);
	api_checks_add(c, "running", r->draining ? "draining" : NULL);
}

static void more_metrics(void *user, struct ev_buf *out)
{
	struct runtime_side *s = user;

	runtime_loops_metrics(s->runtime, out);
	if (s->runtime->aws != NULL)
		aws_runtime_metrics(s->runtime->aws, out);
	else
		runtime_engine_metrics(s->runtime->engine, out);
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

static ev_err open_api(struct runtime_side *s)
{
	struct runtime *r = s->runtime;
	struct api_config c = {
		.host = s->host,
		.sink = &s->sink.base,
		.clock = r->clock,
		.rng = s->rng,
		.metrics = s->metrics,
		.shown = &r->metrics,
		.log = r->log,
		.limits = api_limits_default(),
		.stuck_after_ns = r->config.stuck_after_ns,
		.version = EVCHARGE_VERSION,
		.ready = add_checks,
		.more_metrics = more_metrics,
		.user = s,
	};

	api_server_sink_init(&s->sink, s->server);
	c.access[API_OUTLET] = r->policies[RUNTIME_OUTLET];
	c.access[API_APP] = r->policies[RUNTIME_APP];
	c.access[API_GATEWAY] = r->policies[RUNTIME_GATEWAY];
	return api_new(&c, &s->api);
}

/* --- the gateway --- */

static int authorize(void *user, const struct ev_uuid *outlet_id, const struct net_request *req)
{
	struct runtime_side *s = user;
	struct access_headers h = access_headers_of(req->headers, req->n_headers);

	return access_status(access_device(&s->runtime->policies[RUNTIME_GATEWAY], &h, outlet_id));
}

static void on_device_gone(void *user, const struct ev_uuid *outlet_id)
{
	struct runtime_side *s = user;

	if (s->runtime->aws != NULL)
		aws_runtime_gone(s->runtime->aws, outlet_id);
}

static ev_err open_gateway(struct runtime_side *s)
{
	struct runtime *r = s->runtime;
	struct runtime_settings settings = runtime_settings_of(&r->config);
	struct gateway_config c = {
		.server = s->server,
		.loop = s->loop,
		.host = s->host,
		.clock = r->clock,
		.rng = s->rng,
		.log = r->log,
		.metrics = s->metrics,
		.max_devices = RUNTIME_MAX_DEVICES,
		.max_outstanding = settings.max_outstanding,
		.limits = settings.limits,
		.rates = r->rates,
		.backlog_silence_ms = 1000,
		.backlog_max_ms = 5000,
		.authorize = authorize,
		.on_gone = on_device_gone,
		.on_other = on_gateway_other,
		.user = s,
	};

	return gateway_new(&c, &s->gateway);
}

ev_err runtime_side_open(struct runtime_side *s)
{
	ev_err e = open_api(s);

	return e == EV_OK ? open_gateway(s) : e;
}

void runtime_side_close(struct runtime_side *s)
{
	gateway_free(s->gateway);
	api_free(s->api);
}

struct runtime_settings runtime_settings_of(const struct config *c)
{
	return (struct runtime_settings){
		.max_outstanding = (uint32_t)c->max_outstanding,
		.max_per_address = (uint32_t)c->max_connections_per_address,
		.limits = { .rate = (uint32_t)c->message_rate,
			    .burst = (uint32_t)c->message_burst },
		.drain_ms = c->drain_timeout_ns / EV_NS_PER_MS,
	};
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

static void fill_listener(const struct runtime *r, enum runtime_listener l,
			  struct net_listener_config *c)
{
	const struct config *config = &r->config;
	const struct config_address *a = address_of(r, l);

	net_listener_config_init(c);
	fill_limits(config, &c->limits);
	c->name = listener_names[l];
	c->address = strcmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;
	c->port = a->port;
	if (config->tls_cert[0] != '\0') {
		c->tls_cert = config->tls_cert;
		c->tls_key = config->tls_key;
	}
}

static void fill_gateway_listener(struct runtime_side *s, struct net_listener_config *c)
{
	fill_listener(s->runtime, RUNTIME_GATEWAY, c);
	c->limits.send_buffer_bytes = GATEWAY_SEND_BUFFER;
	c->quota = s->runtime->quota;
	c->handlers = gateway_handlers();
	c->user = s->gateway;
}

static ev_err listen_one(struct runtime *r, enum runtime_listener l, struct ev_fail *fail)
{
	struct net_listener_config c;
	ev_err e;

	if (l == RUNTIME_GATEWAY) {
		fill_gateway_listener(&r->main, &c);
		c.share = r->n_loops > 0 ? NET_SHARE_FIRST : NET_SHARE_NONE;
	} else {
		fill_listener(r, l, &c);
		c.handlers = l == RUNTIME_OUTLET ? &outlet_handlers : &app_handlers;
		c.user = r;
	}
	e = net_server_listen(r->server, &c, &r->listeners[l], fail);
	if (e == EV_OK)
		log_listening(r, l);
	return e;
}

ev_err runtime_side_join(struct runtime_side *s, struct ev_fail *fail)
{
	struct net_listener_config c;

	fill_gateway_listener(s, &c);
	c.share = NET_SHARE_JOIN;
	c.port = net_listener_port(s->runtime->listeners[RUNTIME_GATEWAY]);
	return net_server_listen(s->server, &c, &s->listener, fail);
}

static_assert(1U << RUNTIME_OUTLET == CONFIG_ROLE_OUTLET && 1U << RUNTIME_APP == CONFIG_ROLE_APP &&
		      1U << RUNTIME_GATEWAY == CONFIG_ROLE_GATEWAY,
	      "a listener for each role");

ev_err runtime_listen(struct runtime *r, struct ev_fail *fail)
{
	unsigned roles = 0;
	ev_err e;

	set_policies(r);
	r->main = (struct runtime_side){
		.runtime = r,
		.loop = r->loop,
		.server = r->server,
		.host = r->host,
		.metrics = &r->metrics,
		.rng = &r->rng.base,
	};
	e = runtime_side_open(&r->main);
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "out of memory");
	if (config_roles(&r->config, &roles) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "role = %s", r->config.role);
	for (int l = 0; l < RUNTIME_LISTENERS && e == EV_OK; l++) {
		if ((roles & (1U << l)) != 0)
			e = listen_one(r, (enum runtime_listener)l, fail);
	}
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
