/* cli/aws_runtime.c — wiring: clients, sender, lanes, query, workers; ended in reverse. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/aws_runtime_internal.h"

#define LANE_CONNECTIONS 4
#define SENDER_CONNECTIONS 16
#define WORKER_RANDOM 18 /* characters of a random UUID in the name of a worker */
#define QUEUE_MAX 20000  /* jobs waiting in the lanes before sources hold back */

static_assert(CONFIG_ROLE_OUTLET == AWS_ROLE_OUTLET && CONFIG_ROLE_APP == AWS_ROLE_APP &&
		      CONFIG_ROLE_GATEWAY == AWS_ROLE_GATEWAY,
	      "roles are the same bits everywhere");

/* --- clients --- */

ev_err aws_runtime_client(struct aws_runtime *r, unsigned max_in_flight, struct aws_client **out,
			  struct ev_fail *fail)
{
	struct aws_client_config tuning = aws_client_defaults();

	tuning.max_in_flight = max_in_flight;
	return aws_open_client(r->open, &tuning, out, fail);
}

static struct ev_rng *rng_of(struct aws_client *client)
{
	struct aws_caller *c = aws_client_caller(client);

	return c->ops->rng(c);
}

static const char *set_or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static ev_err open_cloud(struct aws_runtime *r, struct ev_fail *fail)
{
	const struct config *c = r->options.config;
	struct aws_open_options o = { .profile = set_or_null(c->aws_profile),
				      .region = set_or_null(c->aws_region) };
	ev_err e = aws_resources_init(&r->resources, ev_str_from(c->aws_prefix));

	if (e != EV_OK)
		return ev_fail_set(fail, e, 0,
				   "aws-prefix = %s: letters, digits, - and _, at most %d of them",
				   c->aws_prefix, AWS_PREFIX_MAX);
	return aws_open_new(&o, &r->open, fail);
}

/* --- names --- */

/* evcharge-HOST-PID-RANDOM: unique over machines, restarts and containers with one host name. */
static void name_worker(struct aws_runtime *r)
{
	struct ev_buf b = ev_buf_over(r->worker_id, sizeof(r->worker_id) - 1);
	struct ev_uuid id = ev_rng_uuid(rng_of(r->query_client));
	char host[24] = "";
	char text[EV_UUID_TEXT + 1];

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	ev_uuid_text(&id, text);
	ev_buf_z(&b, "evcharge-");
	ev_buf_z(&b, host);
	ev_buf_char(&b, '-');
	ev_buf_str_add(&b, (struct ev_str){ text, WORKER_RANDOM });
	r->worker_id[b.len] = '\0';
}

static void name_gateway(struct aws_runtime *r)
{
	const char *given = r->options.config->gateway_id;
	struct ev_uuid id;

	if (given[0] != '\0') {
		memcpy(r->gateway_id, given, strnlen(given, sizeof(r->gateway_id) - 1));
		return;
	}
	id = ev_rng_uuid(rng_of(r->query_client));
	ev_uuid_text(&id, r->gateway_id);
}

/* --- lanes --- */

/* Parked inputs are tried again by the lane that their outlet falls on. */
static bool is_own(void *user, const struct ev_uuid *outlet_id)
{
	const struct aws_lane_own *own = user;

	return aws_lanes_place(outlet_id, own->n_lanes) == own->place;
}

static ev_err open_lane(struct aws_runtime *r, struct aws_lane_own *own, struct ev_fail *fail)
{
	struct aws_store_config c = aws_store_defaults();
	ev_err e = aws_runtime_client(r, LANE_CONNECTIONS, &own->client, fail);

	if (e != EV_OK)
		return e;
	c.caller = aws_client_caller(own->client);
	c.sender = r->sender;
	c.owns = is_own;
	c.owns_user = own;
	c.resources = &r->resources;
	c.clock = r->options.clock;
	c.rules = r->options.rules;
	c.roles = r->roles;
	ev_rng_fill(rng_of(own->client), c.seed, sizeof(c.seed));
	e = aws_store_new(&c, &own->store);
	return e == EV_OK ? EV_OK : ev_fail_set(fail, e, 0, "store: %s", ev_err_text(e));
}

static ev_err start_lanes(struct aws_runtime *r)
{
	struct aws_lane_parts parts[256];
	struct aws_lanes_config c = {
		.clock = r->options.clock,
		.rules = r->options.rules,
		.lanes = parts,
		.n_lanes = r->n_lane_owns,
		.queue_max = QUEUE_MAX,
	};

	assert(r->n_lane_owns <= EV_ARRAY_LEN(parts));
	for (size_t i = 0; i < r->n_lane_owns; i++) {
		parts[i].store = r->lane_owns[i].store;
		parts[i].rng = rng_of(r->lane_owns[i].client);
	}
	return aws_lanes_new(&c, &r->lanes);
}

static ev_err open_sender(struct aws_runtime *r, struct ev_fail *fail)
{
	struct aws_sender_shared_config c = aws_sender_shared_defaults();
	ev_err e = aws_runtime_client(r, SENDER_CONNECTIONS, &r->sender_client, fail);

	if (e != EV_OK)
		return e;
	c.caller = aws_client_caller(r->sender_client);
	c.clock = r->options.clock;
	c.stream = r->resources.event_stream;
	c.queue = r->resources.commands_out;
	e = aws_sender_shared_new(&c, &r->sender);
	return e == EV_OK ? EV_OK : ev_fail_set(fail, e, 0, "sender: %s", ev_err_text(e));
}

static ev_err open_lanes(struct aws_runtime *r, struct ev_fail *fail)
{
	size_t n = (size_t)r->options.config->aws_lanes;
	ev_err e = open_sender(r, fail);

	if (e != EV_OK)
		return e;
	r->lane_owns = calloc(n, sizeof(*r->lane_owns));
	if (r->lane_owns == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	r->n_lane_owns = n;
	for (size_t i = 0; i < n && e == EV_OK; i++) {
		r->lane_owns[i].place = i;
		r->lane_owns[i].n_lanes = n;
		e = open_lane(r, &r->lane_owns[i], fail);
	}
	if (e != EV_OK)
		return e;
	e = start_lanes(r);
	return e == EV_OK ? EV_OK : ev_fail_set(fail, e, 0, "lanes: %s", ev_err_text(e));
}

static void close_lanes(struct aws_runtime *r)
{
	for (size_t i = 0; i < r->n_lane_owns; i++) {
		aws_store_free(r->lane_owns[i].store);
		aws_client_free(r->lane_owns[i].client);
	}
	free(r->lane_owns);
	if (r->sender != NULL)
		r->sender->ops->free(r->sender);
	aws_client_free(r->sender_client);
}

/* --- the whole --- */

static ev_err open_query(struct aws_runtime *r, struct ev_fail *fail)
{
	ev_err e = aws_runtime_client(r, LANE_CONNECTIONS, &r->query_client, fail);

	if (e != EV_OK)
		return e;
	e = aws_query_new(aws_client_caller(r->query_client), &r->resources, r->options.clock,
			  r->roles, &r->query);
	return e == EV_OK ? EV_OK : ev_fail_set(fail, e, 0, "query: %s", ev_err_text(e));
}

static ev_err start(struct aws_runtime *r, struct ev_fail *fail)
{
	ev_err e = open_cloud(r, fail);

	if (e == EV_OK)
		e = open_query(r, fail);
	if (e != EV_OK)
		return e;
	name_worker(r);
	name_gateway(r);
	if (e == EV_OK && aws_runtime_plays(r, AWS_ROLE_OUTLET | AWS_ROLE_APP))
		e = open_lanes(r, fail);
	if (e == EV_OK)
		e = aws_workers_start(r, fail);
	return e == EV_OK ? aws_house_start(r, fail) : e;
}

static ev_err init_lock(struct aws_runtime *r)
{
	pthread_condattr_t attr;
	ev_err e = EV_NOMEM;

	if (pthread_condattr_init(&attr) != 0)
		return EV_NOMEM;
	if (pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
	    pthread_cond_init(&r->stop, &attr) == 0) {
		if (pthread_mutex_init(&r->lock, NULL) == 0)
			e = EV_OK;
		else
			pthread_cond_destroy(&r->stop);
	}
	pthread_condattr_destroy(&attr);
	return e;
}

ev_err aws_runtime_new(const struct aws_runtime_options *o, struct aws_runtime **out,
		       struct ev_fail *fail)
{
	struct aws_runtime *r = calloc(1, sizeof(*r));
	ev_err e;

	if (r == NULL || init_lock(r) != EV_OK) {
		free(r);
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	}
	r->options = *o;
	e = config_roles(o->config, &r->roles);
	if (e == EV_OK)
		e = start(r, fail);
	if (e != EV_OK) {
		aws_runtime_free(r);
		return e;
	}
	ev_info(o->log, "aws.started", EV_KZ("worker", r->worker_id),
		EV_KZ("gateway", r->gateway_id), EV_KU64("lanes", r->n_lane_owns));
	*out = r;
	return EV_OK;
}

void aws_runtime_stop(struct aws_runtime *r)
{
	pthread_mutex_lock(&r->lock);
	atomic_store(&r->stopping, true);
	pthread_cond_broadcast(&r->stop);
	pthread_mutex_unlock(&r->lock);
}

void aws_runtime_quiet(struct aws_runtime *r)
{
	aws_runtime_stop(r);
	aws_house_end(r);
	aws_workers_join(r);
}

void aws_runtime_free(struct aws_runtime *r)
{
	if (r == NULL)
		return;
	aws_runtime_quiet(r);
	aws_workers_free(r);
	close_lanes(r);
	if (r->query != NULL)
		r->query->ops->free(r->query);
	aws_client_free(r->query_client);
	aws_open_free(r->open);
	pthread_cond_destroy(&r->stop);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

struct query *aws_runtime_query(struct aws_runtime *r)
{
	return r->query;
}

void aws_runtime_gone(struct aws_runtime *r, const struct ev_uuid *outlet_id)
{
	struct aws_front *front = r->workers[AWS_WORKER_FRONT].front;

	if (front != NULL)
		aws_front_gone(front, outlet_id);
}
