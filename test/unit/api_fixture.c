/* api_fixture.c — see the header. */
#include "api_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/hash.h"
#include "base/time.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)
#define WAIT_S 20 /* for anything that must come */

/* --- the recorder --- */

static struct api_fixture *fixture_of(struct api_sink *s)
{
	return (struct api_fixture *)s;
}

static void record_headers(struct api_fixture *f, const struct net_response *r)
{
	size_t n = 0;

	f->answer_headers[0] = '\0';
	for (size_t i = 0; i < r->n_headers; i++) {
		const struct net_header *h = &r->headers[i];

		assert_true(net_http_name_ok(h->name) && net_http_value_ok(h->value));
		n += (size_t)snprintf(f->answer_headers + n, sizeof(f->answer_headers) - n,
				      "%.*s: %.*s\n", (int)h->name.n, h->name.p, (int)h->value.n,
				      h->value.p);
		assert_true(n < sizeof(f->answer_headers));
	}
}

static ev_err on_reply(struct api_sink *s, struct net_handle h, const struct net_response *r)
{
	struct api_fixture *f = fixture_of(s);

	assert_true(h.generation <= f->handle.generation);
	assert_true(r->body.n < sizeof(f->body));
	f->n_answers++;
	f->status = r->status;
	record_headers(f, r);
	if (r->body.n > 0)
		memcpy(f->body, r->body.p, r->body.n);
	f->body[r->body.n] = '\0';
	return f->reply_result;
}

static ev_err on_stream_write(struct api_sink *s, struct net_handle h, struct ev_str bytes)
{
	struct api_fixture *f = fixture_of(s);

	(void)h; /* one stream at a time is looked at */
	if (f->stream_result != EV_OK)
		return f->stream_result;
	assert_true(f->stream_n + bytes.n < sizeof(f->stream));
	memcpy(f->stream + f->stream_n, bytes.p, bytes.n);
	f->stream_n += bytes.n;
	f->stream[f->stream_n] = '\0';
	return EV_OK;
}

static ev_err on_stream_begin(struct api_sink *s, struct net_handle h, const struct net_response *r)
{
	struct api_fixture *f = fixture_of(s);

	f->n_begun++;
	f->status = r->status;
	record_headers(f, r);
	return on_stream_write(s, h, r->body);
}

static ev_err on_stream_end(struct api_sink *s, struct net_handle h)
{
	(void)h; /* counted, whichever it is */
	fixture_of(s)->n_ended++;
	return EV_OK;
}

static const struct api_sink_ops recorder = {
	.reply = on_reply,
	.stream_begin = on_stream_begin,
	.stream_write = on_stream_write,
	.stream_end = on_stream_end,
};

/* --- the host --- */

static int64_t now_of(void *user)
{
	struct api_fixture *f = user;

	return ev_clock_wall_ns(&f->clock.base);
}

static ev_err fault_of(void *user, enum memory_point point)
{
	const struct api_fixture *f = user;

	return point == MEMORY_BEFORE_END ? f->fault : EV_OK;
}

static void on_wake(void *user)
{
	struct api_fixture *f = user;

	pthread_mutex_lock(&f->lock);
	f->wake = true;
	pthread_cond_signal(&f->woken);
	pthread_mutex_unlock(&f->lock);
}

static void on_command(void *user, const struct device_command *c)
{
	(void)user; /* no device listens */
	(void)c;
}

static void on_event(void *user, const struct stored_event *e)
{
	struct api_fixture *f = user;

	api_on_event(f->api, e);
}

static void engine_event(void *user, const struct stored_event *e)
{
	struct api_fixture *f = user;

	host_put_event(f->host, e);
}

static void await_wake(struct api_fixture *f)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&f->lock);
	while (!f->wake && err == 0)
		err = pthread_cond_timedwait(&f->woken, &f->lock, &until);
	f->wake = false;
	pthread_mutex_unlock(&f->lock);
	assert_int_equal(err, 0);
}

void reap_once(struct api_fixture *f)
{
	await_wake(f);
	host_reap(f->host);
}

void settle(struct api_fixture *f)
{
	host_flush(f->host);
	while (host_stats(f->host).waiting + host_stats(f->host).queries > 0) {
		reap_once(f);
		host_flush(f->host);
	}
}

static void start_host(struct api_fixture *f)
{
	struct host_config c = {
		.pump = &f->pump,
		.query = f->query,
		.group_max = 64,
		.queue_max = 4,
		.loop = { .wake = on_wake,
			  .on_command = on_command,
			  .on_event = on_event,
			  .user = f },
	};

	assert_int_equal(host_new(&c, &f->host), EV_OK);
}

static void start_engine(struct api_fixture *f)
{
	struct outlet_rules rules = outlet_rules_default();
	struct memory_options o = { .now_ns = now_of,
				    .clock_user = f,
				    .rules = rules,
				    .fault = fault_of,
				    .fault_user = f };
	struct memory_listener l = { .on_event = engine_event, .user = f };

	assert_int_equal(memory_open(&f->memory, &o), EV_OK);
	assert_int_equal(memory_query_open(f->memory, &f->query), EV_OK);
	memory_set_listener(f->memory, &l);
	pump_init(&f->pump, memory_store(f->memory), &f->clock.base, &f->pump_rng.base, &rules);
}

static void start_api(struct api_fixture *f)
{
	f->sink.ops = &recorder;
	f->config = (struct api_config){
		.host = f->host,
		.sink = &f->sink,
		.clock = &f->clock.base,
		.rng = &f->api_rng.base,
		.metrics = &f->metrics,
		.limits = api_limits_default(),
		.stuck_after_ns = EV_NS_PER_HOUR,
		.version = FIXTURE_VERSION,
	};
	f->config.limits.max_subscribers = 2;
	assert_int_equal(api_new(&f->config, &f->api), EV_OK);
}

/* --- what is registered --- */

static void take_id(struct api_fixture *f, const char *key, struct ev_uuid *id, char *text)
{
	const char *value = body_member(f, key);

	assert_int_equal(ev_uuid_parse(ev_str_from(value), id), EV_OK);
	memcpy(text, value, EV_UUID_TEXT + 1);
}

static void register_both(struct api_fixture *f)
{
	assert_int_equal(ask(f, API_OUTLET, "POST", "/api/chargers",
			     "{\"chargerGroupId\":\"86c911e2-bbf3-42c8-8925-f9d380c1f329\","
			     "\"outletCode\":\"A1\",\"address\":\"Street 1\",\"maxPower\":22000,"
			     "\"outletState\":\"Available\"}"),
			 201);
	take_id(f, "outletId", &f->outlet_id, f->outlet);
	assert_int_equal(ask(f, API_APP, "POST", "/api/customers",
			     "{\"rfidTag\":\"Anna\",\"address\":\"Street 2\",\"email\":\"a@b\","
			     "\"paymentMethod\":\"card\"}"),
			 201);
	take_id(f, "customerId", &f->customer_id, f->customer);
}

int api_fixture_setup(void **state)
{
	struct api_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	ev_clock_manual_init(&f->clock, START_NS);
	ev_rng_seeded_init(&f->pump_rng, 1);
	ev_rng_seeded_init(&f->api_rng, 2);
	ev_metrics_init(&f->metrics);
	assert_int_equal(pthread_mutex_init(&f->lock, NULL), 0);
	assert_int_equal(pthread_cond_init(&f->woken, NULL), 0);
	start_engine(f);
	start_host(f);
	start_api(f);
	register_both(f);
	*state = f;
	return 0;
}

int api_fixture_teardown(void **state)
{
	struct api_fixture *f = *state;

	settle(f);
	host_free(f->host);
	api_free(f->api);
	pump_deinit(&f->pump);
	f->query->ops->free(f->query);
	memory_free(f->memory);
	pthread_cond_destroy(&f->woken);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

/* --- asking --- */

void header_set(struct api_fixture *f, const char *name, const char *value)
{
	assert_true(f->n_headers < EV_ARRAY_LEN(f->headers));
	f->headers[f->n_headers++] = (struct net_header){ ev_str_from(name), ev_str_from(value) };
}

void header_clear(struct api_fixture *f)
{
	f->n_headers = 0;
}

void ask_only(struct api_fixture *f, enum api_role role, const char *method, const char *target,
	      const char *body)
{
	const char *mark = strchr(target, '?');
	size_t path_n = mark != NULL ? (size_t)(mark - target) : strlen(target);
	struct net_request req = {
		.path = { target, path_n },
		.query = ev_str_from(mark != NULL ? mark + 1 : ""),
		.headers = f->headers,
		.n_headers = f->n_headers,
		.body = ev_str_from(body != NULL ? body : ""),
	};

	assert_int_equal(net_method_from(ev_str_from(method), &req.method), EV_OK);
	f->handle = (struct net_handle){ 1, f->handle.generation + 1 };
	req.handle = f->handle;
	api_request(f->api, role, &req);
}

int ask(struct api_fixture *f, enum api_role role, const char *method, const char *target,
	const char *body)
{
	unsigned before = f->n_answers;

	ask_only(f, role, method, target, body);
	settle(f);
	assert_int_equal(f->n_answers, before + 1);
	return f->status;
}

int askf(struct api_fixture *f, enum api_role role, const char *method, const char *body,
	 const char *form, ...)
{
	char target[512];
	va_list args;
	int n;

	va_start(args, form);
	n = vsnprintf(target, sizeof(target), form, args);
	va_end(args);
	assert_true(n > 0 && (size_t)n < sizeof(target));
	return ask(f, role, method, target, body);
}

bool body_has(const struct api_fixture *f, const char *text)
{
	return strstr(f->body, text) != NULL;
}

bool has_header(const struct api_fixture *f, const char *line)
{
	size_t n = strlen(line);

	for (const char *at = f->answer_headers; *at != '\0'; at = strchr(at, '\n') + 1) {
		if (strncmp(at, line, n) == 0 && at[n] == '\n')
			return true;
	}
	return false;
}

const char *body_member(const struct api_fixture *f, const char *key)
{
	static char text[1024];
	struct json_object *o = json_tokener_parse(f->body);
	struct json_object *v = NULL;

	assert_non_null(o);
	text[0] = '\0';
	if (json_object_object_get_ex(o, key, &v) && v != NULL)
		snprintf(text, sizeof(text), "%s", json_object_get_string(v));
	json_object_put(o);
	return text;
}

/* --- devices --- */

static void on_device_done(struct job_owner *owner, struct job *j)
{
	(void)owner; /* static: whoever waits frees the job */
	assert_int_equal(j->err, EV_OK);
}

static struct device_job *device_job(struct api_fixture *f, const char *body)
{
	static struct job_owner owner = { on_device_done };
	size_t n = strlen(body);
	struct device_job *j = calloc(1, sizeof(*j) + n + 1);

	assert_non_null(j);
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->job.owner = &owner;
	j->job.at_ns = ev_clock_wall_ns(&f->clock.base);
	j->outlet_id = f->outlet_id;
	f->n_ids++;
	memcpy(j->id.b, &f->n_ids, sizeof(f->n_ids));
	j->id.b[15] = 1;
	j->body_n = n;
	memcpy(j->body, body, n);
	return j;
}

static enum verdict decide(struct api_fixture *f, struct device_job *j)
{
	enum verdict v;

	host_submit(f->host, &j->job);
	settle(f);
	v = j->job.verdict;
	free(j);
	return v;
}

enum verdict device_sends(struct api_fixture *f, enum outlet_state change, const char *tag,
			  int64_t mwh)
{
	struct device_job *j = device_job(f, "{}");

	j->decoded = true;
	j->message = (struct device_message){
		.outlet_id = f->outlet_id,
		.period_start_ns = j->job.at_ns - EV_NS_PER_MIN,
		.period_end_ns = j->job.at_ns,
		.change = change,
		.energy_mwh = mwh,
	};
	assert_int_equal(rfid_tag_set(&j->message.tag, ev_str_from(tag)), EV_OK);
	return decide(f, j);
}

void device_sends_garbage(struct api_fixture *f, const char *bytes, char out_id[33])
{
	struct device_job *j = device_job(f, bytes);

	j->why = REASON_UNDECODABLE;
	memcpy(j->detail, "no message", 11);
	ev_hex(j->id.b, sizeof(j->id.b), out_id);
	assert_int_equal(decide(f, j), VERDICT_REJECTED);
}

double metric(struct api_fixture *f, const char *name_and_labels)
{
	char line[256];
	const char *at;
	double v;

	assert_int_equal(ask(f, API_GATEWAY, "GET", "/metrics", NULL), 200);
	snprintf(line, sizeof(line), "\n%s ", name_and_labels);
	at = strstr(f->body, line);
	if (at == NULL)
		print_message("no %s in:\n%s\n", name_and_labels, f->body);
	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(line), "%lf", &v), 1);
	return v;
}
