/*
 * net/gateway.h — the devices' side: their WebSockets, their posts and polls, and the way of each
 * command to the right device.  docs/http-api.md "Device gateway", design section 3 "Commands".
 *
 * A message becomes a job; its answer leaves when the job is done, thus durable, in the order sent.
 * A device that sends faster than it may, has too much unanswered, or meets a busy host, is held
 * back by not reading its socket: nothing is lost.  All on the loop's thread.
 *
 * Several gateways on loops of their own may serve one port: the newest connection of a device wins
 * on all of them, and its rate counts once (docs/decisions/0014).
 */
#ifndef EV_NET_GATEWAY_H
#define EV_NET_GATEWAY_H

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "net/gateway_rate.h"
#include "net/server.h"
#include "service/host.h"

struct gateway;

struct gateway_config {
	struct net_server *server; /* all borrowed until gateway_free */
	struct net_loop *loop;
	struct host *host;
	struct ev_clock *clock;
	struct ev_rng *rng;
	struct ev_log *log;           /* may be NULL */
	struct ev_metrics *metrics;   /* may be NULL */
	uint32_t max_devices;         /* known at a time, e.g. 200,000 */
	uint32_t max_outstanding;     /* unanswered messages of a connection */
	struct gateway_limits limits; /* messages of a device */
	struct gateway_rates *rates;  /* shared with other gateways; NULL: this one is alone */
	uint32_t backlog_silence_ms;  /* [1,000] before old commands are sent again */
	uint32_t backlog_max_ms;      /* [5,000] */

	/* 0: the request may act for the outlet; else the HTTP status to refuse with. */
	int (*authorize)(void *user, const struct ev_uuid *outlet_id,
			 const struct net_request *req);
	/* The last WebSocket of a device is gone; may be NULL. */
	void (*on_gone)(void *user, const struct ev_uuid *outlet_id);
	/* Requests that are not for /devices/… */
	void (*on_other)(void *user, const struct net_request *req);
	void *user;
};

/* EV_NOMEM. */
EV_NODISCARD ev_err gateway_new(const struct gateway_config *c, struct gateway **out);
/* After the server's connections are gone and the host gave all jobs back. */
void gateway_free(struct gateway *g);

/* To be given to the gateway's listener, with the gateway as user. */
const struct net_handlers *gateway_handlers(void);

/*
 * Before net_server_drain, which cuts off what is under way: takes no more connections, reads no
 * more messages, and ends the polls that wait.  done(user) comes at the end of a turn when every
 * message that came by WebSocket is answered.  Once for each gateway.
 */
void gateway_drain(struct gateway *g, net_fn *done, void *user);

/* A command that was just committed: to the device, if it is there. */
void gateway_on_command(struct gateway *g, const struct device_command *c);

/* A device's connection or poll, here or on another loop: an older one of its kind here ends. */
void gateway_on_arrival(struct gateway *g, const struct arrival *a);

/* New limits from a reload. */
void gateway_set_limits(struct gateway *g, uint32_t max_outstanding,
			const struct gateway_limits *limits);

/* Devices connected by WebSocket.  Any thread. */
uint64_t gateway_connected(const struct gateway *g);

#endif
