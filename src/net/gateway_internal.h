/* net/gateway_internal.h — shared by the parts of the gateway; not for other modules. */
#ifndef EV_NET_GATEWAY_INTERNAL_H
#define EV_NET_GATEWAY_INTERNAL_H

#include "base/map.h"
#include "codec/device_json.h"
#include "net/gateway.h"
#include "net/gateway_rate.h"

enum gateway_phase {
	GATEWAY_ASKING,  /* the first look for old commands is under way */
	GATEWAY_BACKLOG, /* there are some: the device's own backlog goes first */
	GATEWAY_LOADING, /* the second look is under way */
	GATEWAY_LIVE,    /* commands go out as they come */
};

/* What holds a connection back; reading goes on when none is left. */
enum gateway_hold { HOLD_OUTSTANDING = 1, HOLD_RATE = 2, HOLD_BUSY = 4, HOLD_DRAIN = 8 };

struct gateway_conn;

/* A device that is connected, polls, or posted lately. */
struct gateway_device {
	struct gateway *g;
	struct ev_uuid id;
	struct gateway_conn *conn;   /* its newest WebSocket, or NULL */
	struct net_handle poll;      /* a long poll that waits, or zero */
	struct net_timer poll_timer; /* ends the poll, or an idle entry */
	uint64_t poll_number;        /* of the poll, or of a newer one on another loop */
	struct gateway_rate *rate;   /* `own`, or one of config.rates */
	struct gateway_rate own;
	unsigned asking; /* jobs that name it */
	uint64_t n_told; /* commands that came for it */
};

/* One WebSocket; a replaced one lives until it is closed, and touches the device no more. */
struct gateway_conn {
	struct gateway_device *device; /* NULL once replaced */
	struct gateway *g;
	struct ev_uuid id;
	struct net_handle ws;
	uint64_t number; /* host_next_arrival's: a higher one replaces it */
	struct gateway_conn *next_held, **held_link; /* in g->held while HOLD_BUSY */
	struct net_timer timer;                      /* rate, or backlog: see phase and holds */
	int64_t opened_ms;
	int64_t heard_ms;
	uint64_t sent_version; /* the newest command sent on it */
	unsigned sent_index;
	uint64_t missed_version; /* the newest that came while a look was under way */
	unsigned missed_index;
	uint32_t unanswered;
	uint8_t phase;
	uint8_t holds;
	bool has_looked; /* a look has succeeded: the connection is known to be here */
};

struct gateway_counters {
	struct ev_gauge connected;
	struct ev_gauge polling;
	struct ev_counter messages_ws, messages_http;
	struct ev_counter verdicts[VERDICT_COUNT];
	struct ev_counter unanswered; /* jobs that failed: the device must send again */
	struct ev_counter commands, acks, bad_acks;
	struct ev_counter replaced, refused;
	struct ev_counter held_outstanding, held_rate, held_busy;
	struct ev_counter posts_rate, posts_busy;
	struct ev_counter undecodable, wrong_outlet, binary, slow, devices_full;
};

struct gateway {
	struct gateway_config config;
	struct ev_map devices;                 /* outletId → struct gateway_device */
	struct gateway_conn *held, **held_end; /* the longest held first */
	uint32_t n_conns;
	struct net_hook hook;
	size_t unanswered; /* messages by WebSocket */
	bool draining;
	net_fn *drained; /* NULL when it was told */
	void *drained_user;
	struct gateway_counters n;
};

/* The device's entry, made if need be.  NULL: no memory, or too many devices. */
struct gateway_device *gateway_device_get(struct gateway *g, const struct ev_uuid *id);
struct gateway_device *gateway_device_find(struct gateway *g, const struct ev_uuid *id);
/* Lets the entry go if nothing needs it. */
void gateway_device_release(struct gateway_device *d);

/* Who comes now; numbered. */
struct arrival gateway_arrival(struct gateway *g, enum arrival_kind kind, const struct ev_uuid *id);

/*
 * A job for the message in `bytes` that came for outlet `id`, decoded, with its identity; the
 * messageId goes to *out_id.  Owner data of `extra` bytes lies before it: *out_extra.  NULL: no
 * memory.  Freed by freeing *out_extra.
 */
struct device_job *gateway_message_job(struct gateway *g, const struct ev_uuid *id,
				       struct ev_str bytes, const struct device_wire *wire,
				       const struct json_error *error, size_t extra,
				       void **out_extra);
/* What the device is told about a finished job. */
struct gateway_answer gateway_answer_of(const struct device_job *j);
void gateway_count_answer(struct gateway *g, const struct device_job *j);

/* The HTTP side: everything under /devices/{outletId}/. */
void gateway_on_request(void *user, const struct net_request *req);
void gateway_on_gone(void *user, struct net_handle request, void *conn_user);
/* A command for a device whose poll waits. */
void gateway_poll_command(struct gateway_device *d, const struct device_command *c);

/* `/devices/{outletId}` and what follows the id ("" or "/…"); false: another path or no UUID. */
bool gateway_path(struct ev_str path, struct ev_uuid *out_id, struct ev_str *out_rest);
void gateway_refuse(struct gateway *g, struct net_handle request, int status, const char *detail);
/* The same for what `authorize` gave; counted. */
void gateway_refuse_access(struct gateway *g, struct net_handle request, int status);

/* The command that is acknowledged; false (and counted) for what is no id of ours. */
bool gateway_ack_parse(struct gateway *g, struct ev_str id, uint64_t *out_version,
		       unsigned *out_index);
void gateway_count_ack(struct gateway *g, ev_err e);
/* Acknowledges a command for the device; the job frees itself. */
void gateway_submit_ack(struct gateway *g, const struct ev_uuid *id, uint64_t version,
			unsigned index);

#endif
