/* cli/simulation.c — the devices' time and connections. */
#include "cli/simulation.h"

#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/simulation_internal.h"
#include "codec/device_json.h"

#define PARALLEL_CALLS 32
#define CONNECTING_MAX 256 /* at a time: a fleet does not come back within one millisecond */
#define EVENTS_MAX 256
#define WAIT_MAX_MS 10
#define SCAN_EVERY_NS (5 * EV_NS_PER_MS)
#define RETRY_MIN_NS (200 * EV_NS_PER_MS)
#define RETRY_MAX_NS (10 * EV_NS_PER_S)
#define PATIENCE_S 30 /* real seconds that a visitor waits for an answer */
#define SPARE_DESCRIPTORS 128

struct simulation_options simulation_options_usual(void)
{
	return (struct simulation_options){ .n_outlets = 10,
					    .n_customers = 10,
					    .speed = 1,
					    .seed = 1,
					    .connection_min = 30,
					    .habits = sim_habits_usual() };
}

/* --- Time --- */

static void read_clock(struct simulation *s)
{
	s->real_now_ns = ev_clock_mono_ns(s->o.clock);
	s->now_ns = s->virtual_start_ns + (s->real_now_ns - s->real_start_ns) * s->o.speed;
}

static void reschedule(struct sim_slot *slot)
{
	slot->s->due[slot - slot->s->slots] = sim_device_due(&slot->device);
}

/* --- Connections --- */

static void update_epoll(struct sim_slot *slot)
{
	uint32_t wanted = EPOLLIN | (ws_client_wants_write(&slot->ws) ? EPOLLOUT : 0);
	struct epoll_event e = { .events = wanted, .data.ptr = slot };

	if (slot->ws.state == WS_CLOSED || wanted == slot->waits_for)
		return;
	int op = slot->waits_for == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (epoll_ctl(slot->s->epoll, op, slot->ws.fd, &e) == 0)
		slot->waits_for = wanted;
}

/* In real time, anything from nothing to twice the mean. */
static int64_t connection_end(struct simulation *s)
{
	int64_t mean_ns = (int64_t)s->o.connection_min * EV_NS_PER_MIN / s->o.speed;

	if (mean_ns == 0)
		return INT64_MAX;
	return s->real_now_ns + (int64_t)ev_rng_below(&s->rng.base, (uint64_t)(2 * mean_ns));
}

static void plan_retry(struct sim_slot *slot)
{
	int64_t pause_ns = RETRY_MIN_NS << (slot->failures < 6 ? slot->failures : 6);

	if (pause_ns > RETRY_MAX_NS)
		pause_ns = RETRY_MAX_NS;
	slot->connect_at_ns = slot->s->real_now_ns + pause_ns / 2 +
			      (int64_t)ev_rng_below(&slot->s->rng.base, (uint64_t)pause_ns);
	slot->failures++;
	slot->waits_for = 0;
	sim_device_disconnected(&slot->device);
}

static void on_opened(void *user)
{
	struct sim_slot *slot = user;

	slot->s->connecting--;
	slot->s->connects++;
	slot->failures = 0;
	slot->drop_at_ns = connection_end(slot->s);
}

static void on_closed(void *user, const char *why)
{
	struct sim_slot *slot = user;

	(void)why;
	if (slot->drop_at_ns != 0) /* it was open */
		slot->s->lost++;
	else
		slot->s->connecting--;
	slot->drop_at_ns = 0;
	plan_retry(slot);
}

static void drop(struct sim_slot *slot)
{
	ws_client_abort(&slot->ws);
	slot->drop_at_ns = 0;
	plan_retry(slot);
	slot->failures = 0;
}

static void open_connection(struct sim_slot *slot)
{
	struct simulation *s = slot->s;
	char target[64], id[EV_UUID_TEXT + 1], authorization[SIM_URL_MAX + 16];
	struct ev_str bearer = { .n = 0 };

	ev_uuid_text(&slot->outlet_id, id);
	snprintf(target, sizeof(target), "/devices/%s", id);
	if (s->token[0] != '\0') {
		snprintf(authorization, sizeof(authorization), "Bearer %s", s->token);
		bearer = ev_str_from(authorization);
	}
	ev_err e = ws_client_connect(&slot->ws, (const struct sockaddr *)&s->gateway,
				     s->gateway_len, ev_str_from(s->gateway_host),
				     ev_str_from(target), bearer);

	if (e != EV_OK) {
		plan_retry(slot);
		return;
	}
	s->connecting++;
	update_epoll(slot);
}

/* --- Messages --- */

static void send_messages(struct sim_slot *slot)
{
	char text[DEVICE_JSON_MAX];
	struct device_message m;

	while (slot->ws.state == WS_OPEN && sim_device_next(&slot->device, &m)) {
		struct ev_buf b = ev_buf_over(text, sizeof(text));

		device_json_encode(&m, &b);
		/* What could not be sent waits for an answer in vain, and is sent after a loss. */
		if (ws_client_send(&slot->ws, ev_buf_str(&b)) != EV_OK) {
			drop(slot);
			return;
		}
	}
	update_epoll(slot);
}

static bool parse_verdict(const char *text, enum verdict *out)
{
	for (unsigned v = 0; v < VERDICT_COUNT; v++) {
		if (text != NULL && strcmp(text, verdict_text((enum verdict)v)) == 0) {
			*out = (enum verdict)v;
			return true;
		}
	}
	return false;
}

static bool parse_id(struct json_object *v, struct message_id *out)
{
	int n = json_object_is_type(v, json_type_string) ? json_object_get_string_len(v) : 0;

	if (n < 1 || n > MESSAGE_ID_MAX)
		return false;
	out->n = (uint8_t)n;
	memcpy(out->s, json_object_get_string(v), (size_t)n);
	return true;
}

static bool take_answer(struct sim_slot *slot, struct json_object *o)
{
	struct json_object *ack = NULL, *verdict_json = NULL;
	struct message_id id;
	enum verdict v;

	if (!json_object_object_get_ex(o, "ack", &ack) ||
	    !json_object_object_get_ex(o, "verdict", &verdict_json) || !parse_id(ack, &id) ||
	    !parse_verdict(json_object_get_string(verdict_json), &v))
		return false;
	sim_device_answered(&slot->device, &id, v);
	return true;
}

static bool take_command(struct sim_slot *slot, struct ev_str text)
{
	struct device_wire wire;
	char ack[MESSAGE_ID_MAX * 6 + 16];
	struct ev_buf b = ev_buf_over(ack, sizeof(ack));

	if (device_json_decode(text, &wire, NULL) != EV_OK || wire.m.message_id.n == 0)
		return false;
	sim_device_command(&slot->device, &wire.m.message_id, wire.m.change, &wire.m.tag);
	gateway_ack_encode(&wire.m.message_id, &b);
	ev_err e = ws_client_send(&slot->ws, ev_buf_str(&b));

	(void)e; /* a command whose acknowledgement is lost comes again, and is then ignored */
	return true;
}

static void on_text(void *user, struct ev_str text)
{
	struct sim_slot *slot = user;
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *o = tokener != NULL
					? json_tokener_parse_ex(tokener, text.p, (int)text.n)
					: NULL;

	if (!take_answer(slot, o) && !take_command(slot, text))
		slot->s->protocol_faults++;
	json_object_put(o);
	if (tokener != NULL)
		json_tokener_free(tokener);
	sim_device_step(&slot->device, slot->s->now_ns);
	reschedule(slot);
}

static const struct ws_handlers handlers = { on_opened, on_text, on_closed };

/* --- The app --- */

static void on_started(void *user, long status, struct ev_str body)
{
	struct sim_slot *slot = user;
	struct json_object *o = sim_answer(status, 201, body);
	struct json_object *id = NULL;

	slot->session_id[0] = '\0';
	if (o != NULL && json_object_object_get_ex(o, "sessionId", &id) &&
	    json_object_get_string_len(id) == EV_UUID_TEXT) {
		memcpy(slot->session_id, json_object_get_string(id), EV_UUID_TEXT + 1);
	} else {
		slot->s->app_failures++;
		sim_device_app_failed(&slot->device, slot->s->now_ns);
		reschedule(slot);
	}
	json_object_put(o);
}

static void start_by_app(struct sim_slot *slot)
{
	struct json_object *body = json_object_new_object();
	char id[EV_UUID_TEXT + 1];

	ev_uuid_text(&slot->outlet_id, id);
	json_object_object_add(body, "customerId",
			       json_object_new_string(slot->s->customers[slot->customer].id));
	json_object_object_add(body, "outletId", json_object_new_string(id));
	slot->s->app_calls++;
	sim_request(slot->s, SIM_API_APP, "POST", "/api/chargers/start", body, on_started, slot);
	json_object_put(body);
}

static void on_stopped(void *user, long status, struct ev_str body)
{
	struct sim_slot *slot = user;

	(void)body;
	if (status == 200)
		return;
	slot->s->app_failures++;
	sim_device_app_failed(&slot->device, slot->s->now_ns);
	reschedule(slot);
}

static void stop_by_app(struct sim_slot *slot)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/chargers/session/%s/stop", slot->session_id);
	slot->s->app_calls++;
	sim_request(slot->s, SIM_API_APP, "POST", path, NULL, on_stopped, slot);
}

static void do_wish(struct sim_slot *slot)
{
	switch (sim_device_wish(&slot->device)) {
	case SIM_WISH_NONE:
		break;
	case SIM_WISH_START:
		start_by_app(slot);
		break;
	case SIM_WISH_STOP:
		stop_by_app(slot);
		break;
	}
}

/* --- Turns --- */

static void step_slot(struct sim_slot *slot)
{
	sim_device_step(&slot->device, slot->s->now_ns);
	do_wish(slot);
	reschedule(slot);
	send_messages(slot);
}

static void scan_slot(struct simulation *s, size_t i)
{
	struct sim_slot *slot = &s->slots[i];

	if (s->due[i] <= s->now_ns)
		step_slot(slot);
	if (slot->ws.state == WS_CLOSED && slot->connect_at_ns <= s->real_now_ns &&
	    s->connecting < CONNECTING_MAX)
		open_connection(slot);
	else if (slot->ws.state == WS_OPEN && slot->drop_at_ns <= s->real_now_ns)
		drop(slot);
}

static void handle_event(struct sim_slot *slot, uint32_t events)
{
	bool gone = (events & (EPOLLERR | EPOLLHUP)) != 0;

	ws_client_ready(&slot->ws, gone || (events & EPOLLIN) != 0,
			gone || (events & EPOLLOUT) != 0);
	do_wish(slot);
	send_messages(slot);
}

void simulation_step(struct simulation *s, int max_wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int wait_ms = max_wait_ms < WAIT_MAX_MS ? max_wait_ms : WAIT_MAX_MS;

	if (http_pool_pending(s->pool) > 0)
		wait_ms = wait_ms > 1 ? 1 : wait_ms; /* libcurl's sockets are not in our epoll */
	int n = epoll_wait(s->epoll, events, EVENTS_MAX, wait_ms);

	read_clock(s);
	for (int i = 0; i < n; i++)
		handle_event(events[i].data.ptr, events[i].events);
	http_pool_turn(s->pool, 0);
	if (s->real_now_ns - s->scanned_ns < SCAN_EVERY_NS)
		return;
	s->scanned_ns = s->real_now_ns;
	for (size_t i = 0; i < s->o.n_outlets; i++)
		scan_slot(s, i);
}

void simulation_wind_up(struct simulation *s)
{
	read_clock(s);
	s->winding_up = true;
	for (size_t i = 0; i < s->o.n_outlets; i++) {
		sim_device_wind_up(&s->slots[i].device, s->now_ns);
		reschedule(&s->slots[i]);
	}
}

bool simulation_is_over(const struct simulation *s)
{
	if (!s->winding_up || http_pool_pending(s->pool) > 0)
		return false;
	for (size_t i = 0; i < s->o.n_outlets; i++) {
		if (!sim_device_is_quiet(&s->slots[i].device))
			return false;
	}
	return true;
}

/* --- Beginning and end --- */

static ev_err check_options(const struct simulation_options *o, struct ev_fail *fail)
{
	if (o->n_outlets < 1 || o->n_outlets > SIMULATION_OUTLETS_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "from 1 to %d outlets",
				   SIMULATION_OUTLETS_MAX);
	if (o->n_customers < 1 || o->n_customers > SIMULATION_OUTLETS_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "from 1 to %d customers",
				   SIMULATION_OUTLETS_MAX);
	if (o->speed < 1 || o->speed > SIMULATION_SPEED_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "a speed from 1 to %d",
				   SIMULATION_SPEED_MAX);
	return EV_OK;
}

static ev_err copy_url(char out[SIM_URL_MAX + 1], const char *given, struct ev_fail *fail)
{
	size_t n = strlen(given);

	while (n > 0 && given[n - 1] == '/')
		n--;
	if (n > SIM_URL_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "%.80s…: too long", given);
	memcpy(out, given, n);
	out[n] = '\0';
	return EV_OK;
}

static ev_err copy_texts(struct simulation *s, struct ev_fail *fail)
{
	const char *const given[] = { s->o.outlet_url, s->o.app_url, s->o.gateway_url };
	ev_err e = copy_url(s->token, s->o.token != NULL ? s->o.token : "", fail);

	if (e == EV_OK)
		e = copy_url(s->ca, s->o.ca != NULL ? s->o.ca : "", fail);
	for (size_t i = 0; i < EV_ARRAY_LEN(given) && e == EV_OK; i++)
		e = copy_url(s->urls[i], given[i], fail);
	return e;
}

static ev_err raise_descriptors(size_t wanted, struct ev_fail *fail)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return EV_OK;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		return ev_fail_set(fail, EV_FULL, 0,
				   "%zu descriptors are needed, the system allows %llu", wanted,
				   (unsigned long long)limit.rlim_max);
	return EV_OK;
}

static ev_err allocate(struct simulation *s)
{
	s->slots = calloc(s->o.n_outlets, sizeof(*s->slots));
	s->due = calloc(s->o.n_outlets, sizeof(*s->due));
	s->customers = calloc(s->o.n_customers, sizeof(*s->customers));
	if (s->slots == NULL || s->due == NULL || s->customers == NULL)
		return EV_NOMEM;
	for (size_t i = 0; i < s->o.n_outlets; i++) {
		s->slots[i].s = s;
		ws_client_init(&s->slots[i].ws, &handlers, &s->slots[i], &s->rng.base);
	}
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return EV_FULL;
	return http_pool_new(&s->pool, PARALLEL_CALLS);
}

static void start_devices(struct simulation *s)
{
	struct ev_uuid run = ev_rng_uuid(&s->rng.base);
	struct sim_device_options o = { .habits = s->o.habits };

	o.habits.patience_ns = PATIENCE_S * EV_NS_PER_S * s->o.speed;
	memcpy(&o.run, run.b, sizeof(o.run));
	for (size_t i = 0; i < s->o.n_outlets; i++) {
		struct sim_slot *slot = &s->slots[i];

		slot->customer = i % s->o.n_customers;
		o.outlet_id = slot->outlet_id;
		o.tag = s->customers[slot->customer].tag;
		o.max_power_w = slot->max_power_w;
		o.index = (uint32_t)i;
		o.seed = s->o.seed + i;
		sim_device_init(&slot->device, &o, s->now_ns);
		reschedule(slot);
	}
}

static ev_err begin(struct simulation *s, struct ev_fail *fail)
{
	ev_err e = check_options(&s->o, fail);

	if (e == EV_OK)
		e = copy_texts(s, fail);
	if (e == EV_OK)
		e = sim_resolve(s, fail);
	if (e == EV_OK)
		e = raise_descriptors(s->o.n_outlets + SPARE_DESCRIPTORS, fail);
	if (e == EV_OK)
		e = http_setup(fail);
	if (e != EV_OK)
		return e;
	e = allocate(s);
	if (e != EV_OK)
		return ev_fail_set(fail, e, 0, "%s", ev_err_text(e));
	return sim_set_up(s, fail);
}

ev_err simulation_new(struct simulation **out, const struct simulation_options *o,
		      struct ev_fail *fail)
{
	EV_CLEANUP(simulation_freep) struct simulation *s = calloc(1, sizeof(*s));
	struct ev_rng_os os;

	if (s == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	s->o = *o;
	s->epoll = -1;
	/* The run's number and the masks must differ from run to run; the visitors need not. */
	ev_rng_os_init(&os);
	ev_rng_seeded_init(&s->rng, ev_rng_u64(&os.base));
	ev_err e = begin(s, fail);

	if (e != EV_OK)
		return e;
	s->real_start_ns = ev_clock_mono_ns(s->o.clock);
	s->virtual_start_ns = ev_clock_wall_ns(s->o.clock);
	read_clock(s);
	start_devices(s);
	*out = s;
	s = NULL;
	return EV_OK;
}

void simulation_free(struct simulation *s)
{
	if (s == NULL)
		return;
	http_pool_free(s->pool);
	for (size_t i = 0; s->slots != NULL && i < s->o.n_outlets; i++)
		ws_client_abort(&s->slots[i].ws);
	if (s->epoll >= 0)
		(void)close(s->epoll); /* holds no data */
	free(s->slots);
	free(s->due);
	free(s->customers);
	free(s);
}

void simulation_freep(struct simulation **s)
{
	simulation_free(*s);
	*s = NULL;
}

static void add_slot(const struct sim_slot *slot, struct simulation_summary *out)
{
	const struct sim_device *d = &slot->device;

	out->connected += slot->ws.state == WS_OPEN;
	out->charging += d->state == SIM_CHARGING || d->state == SIM_STOPPING;
	out->occupied += d->state != SIM_IDLE;
	out->sessions += d->stats.sessions;
	out->denied += d->stats.denied;
	out->messages += d->stats.messages;
	out->answers += d->stats.answers;
	out->resent += d->stats.resent;
	out->rejected += d->stats.rejected;
	out->commands += d->stats.commands;
	out->acknowledged_mwh += d->stats.acknowledged_mwh;
	out->measured_mwh += d->stats.measured_mwh;
	if (!slot->s->verified)
		return;
	out->server_mwh += slot->after_mwh - slot->before_mwh;
	out->differing += slot->after_mwh - slot->before_mwh != d->stats.acknowledged_mwh;
}

void simulation_summary(const struct simulation *s, struct simulation_summary *out)
{
	*out = (struct simulation_summary){ .outlets = s->o.n_outlets,
					    .connects = s->connects,
					    .lost = s->lost,
					    .app_calls = s->app_calls,
					    .app_failures = s->app_failures,
					    .protocol_faults = s->protocol_faults,
					    .virtual_ns = s->now_ns - s->virtual_start_ns,
					    .real_ns = s->real_now_ns - s->real_start_ns,
					    .balanced = s->balanced };
	for (size_t i = 0; i < s->o.n_outlets; i++)
		add_slot(&s->slots[i], out);
}

const struct sim_device *simulation_device(const struct simulation *s, size_t i)
{
	return &s->slots[i].device;
}
