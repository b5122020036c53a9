/* cli/simulation_internal.h — what the files of cli/simulation.h share. */
#ifndef EV_CLI_SIMULATION_INTERNAL_H
#define EV_CLI_SIMULATION_INTERNAL_H

#include <netinet/in.h>

#include "cli/http.h"
#include "cli/simulation.h"
#include "cli/ws_client.h"

struct json_object;

#define SIM_URL_MAX 200
#define SIM_CODE_PREFIX "SIM-"

struct sim_customer {
	char id[EV_UUID_TEXT + 1];
	struct rfid_tag tag;
	bool known;
};

/* An outlet, its connection and its place in the books. */
struct sim_slot {
	struct simulation *s;
	struct sim_device device;
	struct ws_client ws;
	struct ev_uuid outlet_id;
	bool known; /* the server has made it */
	int64_t max_power_w;
	size_t customer;
	char session_id[EV_UUID_TEXT + 1]; /* of a start by app; empty: none */
	uint32_t waits_for;                /* epoll's events; 0: not in it */
	int64_t connect_at_ns, drop_at_ns; /* real time */
	unsigned failures;                 /* connections in a row that did not open */
	int64_t before_mwh, after_mwh;     /* the server's total */
	bool has_after;
};

struct simulation {
	struct simulation_options o;
	char urls[3][SIM_URL_MAX + 1]; /* the outlet API, the app API, the gateway */
	char token[SIM_URL_MAX + 1], ca[SIM_URL_MAX + 1];
	struct sockaddr_storage gateway;
	socklen_t gateway_len;
	char gateway_host[SIM_URL_MAX + 1];

	struct ev_rng_seeded rng; /* of connections; each device has its own */
	int epoll;
	struct http_pool *pool;
	struct sim_slot *slots;
	int64_t *due; /* of each slot, in virtual time: scanned often, so it lies close together */
	struct sim_customer *customers;

	int64_t real_start_ns, virtual_start_ns;
	int64_t now_ns;      /* virtual */
	int64_t real_now_ns; /* monotonic */
	int64_t scanned_ns;
	size_t connecting;
	bool winding_up;

	uint64_t connects, lost, app_calls, app_failures, protocol_faults;
	/* Of set-up and verification. */
	size_t failed;
	char why[160];
	bool verified, balanced;
};

enum sim_api { SIM_API_OUTLET, SIM_API_APP };

/* Starts a request; its failure to start is told as a request without answer. */
void sim_request(struct simulation *s, enum sim_api api, const char *method, const char *path,
		 struct json_object *body, http_done_fn *done, void *user);

/* Waits until all requests are done. */
void sim_wait_for_answers(struct simulation *s);

/* Customers and outlets; EV_DENIED, EV_CLOSED, EV_IO, EV_CORRUPT. */
EV_NODISCARD ev_err sim_set_up(struct simulation *s, struct ev_fail *fail);

/* The gateway's address; EV_INVALID, EV_NOTFOUND. */
EV_NODISCARD ev_err sim_resolve(struct simulation *s, struct ev_fail *fail);

/* An answer's body, NULL if it is none of status `wanted` or no JSON object; json_object_put it. */
struct json_object *sim_answer(long status, long wanted, struct ev_str body);

#endif
