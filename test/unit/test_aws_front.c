/* test_aws_front.c — the gateway's side of the queues, on the cloud in memory. */
#include "engine/aws/front.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/time.h"
#include "cloud/cloud.h"
#include "codec/ddb_outlet.h"
#include "codec/device_json.h"
#include "engine/aws/ddb_own.h"
#include "engine/aws/sqs.h"
#include "service/message_job.h"

#define START_NS (INT64_C(1700000000) * EV_NS_PER_S)
#define FRONTS 3
#define DEVICES 4
#define COMMANDS_MAX 64
#define JSON_ROOM 32768

/* A connection as the gateway keeps it. */
struct conn {
	bool open, live;
	uint64_t sent, missed;
};

struct bench;

struct gateway_model {
	struct bench *b;
	struct cloud_caller *jobs, *commands;
	struct ev_rng_seeded rng;
	char id[8];
	struct aws_front *front;
	bool jobs_busy, turn_busy; /* a call of that thread is under way */
	struct conn conns[DEVICES];
};

struct device_model {
	struct ev_uuid id;
	int at; /* the front it is connected to, -1: none */
	struct ddb_outlet row;
	size_t n_put;
	uint64_t put[COMMANDS_MAX];
	size_t n_got; /* for the first time */
	uint64_t got[COMMANDS_MAX];
	uint64_t newest; /* on this connection */
};

struct bench {
	struct ev_clock_manual clock;
	struct ev_rng_seeded rng;
	struct cloud *cloud;
	struct aws_resources resources;
	char url_messages[SQS_URL_MAX], url_commands[SQS_URL_MAX];
	struct gateway_model gateways[FRONTS];
	struct device_model devices[DEVICES];
	unsigned races; /* one in so many effects; 0: none */
	uint64_t n_given;
};

/* --- the cloud's side --- */

static void do_json(struct bench *b, enum aws_service service, const char *operation,
		    const struct ev_buf *buf, struct ev_str *out)
{
	assert_false(buf->overflow);
	buf->p[buf->len] = '\0';
	assert_int_equal(cloud_do(b->cloud, service, operation, buf->p, out), EV_OK);
}

static void find_url(struct bench *b, const char *queue, char url[SQS_URL_MAX])
{
	char body[SQS_REQUEST_MAX];
	struct ev_buf buf = ev_buf_over(body, sizeof(body) - 1);
	struct ev_str answer;

	sqs_write_name(ev_str_from(queue), &buf);
	do_json(b, AWS_SQS, "GetQueueUrl", &buf, &answer);
	assert_int_equal(sqs_read_url(answer, url), EV_OK);
}

static void send_body(struct bench *b, const char *url, struct ev_str body)
{
	struct sqs_entry entry = { .body = body };
	char room[8192];
	struct ev_buf buf = ev_buf_over(room, sizeof(room) - 1);

	sqs_write_send(ev_str_from(url), &entry, 1, &buf);
	do_json(b, AWS_SQS, "SendMessageBatch", &buf, NULL);
}

static struct json_writer open_put(struct ev_buf *buf, const char *table)
{
	struct json_writer w = json_writer_over(buf);

	json_write_object(&w);
	json_write_key(&w, "TableName");
	json_write_z(&w, table);
	json_write_key(&w, "Item");
	return w;
}

static void put_row(struct bench *b, const struct device_model *d)
{
	static char room[JSON_ROOM];
	struct ev_buf buf = ev_buf_over(room, sizeof(room) - 1);
	struct json_writer w = open_put(&buf, b->resources.outlets);

	ddb_outlet_put(&d->row, &w);
	json_write_object_end(&w);
	do_json(b, AWS_DYNAMODB, "PutItem", &buf, NULL);
}

static void put_command_item(struct bench *b, const struct device_command *c)
{
	static char room[JSON_ROOM];
	struct ev_buf buf = ev_buf_over(room, sizeof(room) - 1);
	struct json_writer w = open_put(&buf, b->resources.items);

	own_command_put(c, &w);
	json_write_object_end(&w);
	do_json(b, AWS_DYNAMODB, "PutItem", &buf, NULL);
}

/* What the store does: the item, the row, the message. */
static void command(struct bench *b, struct device_model *d)
{
	int64_t now_ns = ev_clock_wall_ns(&b->clock.base);
	struct device_command c = { .outlet_id = d->id,
				    .change = OUTLET_APP_REQUESTS_STOP,
				    .has_session = true,
				    .session_id = d->row.outlet.session_id,
				    .tag = d->row.outlet.tag,
				    .period_start_ns = now_ns,
				    .period_end_ns = now_ns,
				    .created_ns = now_ns };
	char body[DEVICE_JSON_MAX];
	struct ev_buf buf = ev_buf_over(body, sizeof(body));

	assert_true(d->n_put < COMMANDS_MAX);
	d->row.outlet.version = row_next_version(d->row.outlet.version, now_ns);
	c.version = d->row.outlet.version;
	put_command_item(b, &c);
	put_row(b, d);
	device_command_encode(&c, &buf);
	send_body(b, b->url_commands, ev_buf_str(&buf));
	d->put[d->n_put++] = c.version;
}

/* --- a device's and a gateway's side --- */

static struct device_model *find_device(struct bench *b, const struct ev_uuid *id)
{
	for (size_t i = 0; i < DEVICES; i++) {
		if (ev_uuid_eq(&b->devices[i].id, id))
			return &b->devices[i];
	}
	fail_msg("a command for an unknown outlet");
	return NULL;
}

/* A connection that the device has left does not reach it. */
static void receive(struct bench *b, struct device_model *d, int gateway, uint64_t version)
{
	b->n_given++;
	if (d->at != gateway)
		return;
	assert_true(version > d->newest);
	d->newest = version;
	for (size_t i = 0; i < d->n_got; i++) {
		if (d->got[i] == version)
			return;
	}
	assert_true(d->n_got == 0 || version > d->got[d->n_got - 1]);
	d->got[d->n_got++] = version;
}

static void send_on(struct gateway_model *g, struct device_model *d, const struct device_command *c)
{
	struct conn *conn = &g->conns[d - g->b->devices];

	if (c->version <= conn->sent)
		return;
	conn->sent = c->version;
	receive(g->b, d, (int)(g - g->b->gateways), c->version);
}

/* As gateway_on_command. */
static void on_command(void *user, const struct device_command *c)
{
	struct gateway_model *g = user;
	struct device_model *d = find_device(g->b, &c->outlet_id);
	struct conn *conn = &g->conns[d - g->b->devices];

	if (!conn->open)
		return;
	if (conn->live)
		send_on(g, d, c);
	else if (c->version > conn->missed)
		conn->missed = c->version;
}

static void run_job(struct gateway_model *g, struct job *j)
{
	g->jobs_busy = true;
	aws_front_run(g->front, &j, 1);
	g->jobs_busy = false;
}

static void turn(struct gateway_model *g)
{
	ev_err e;

	g->turn_busy = true;
	e = aws_front_turn(g->front, 0);
	g->turn_busy = false;
	assert_true(e == EV_OK || e == EV_TIMEOUT);
}

static ev_err look(struct gateway_model *g, struct device_model *d, bool again,
		   struct command_job *j)
{
	memset(j, 0, sizeof(*j));
	j->job.kind = JOB_COMMANDS;
	j->job.at_ns = ev_clock_wall_ns(&g->b->clock.base);
	j->outlet_id = d->id;
	j->again = again;
	run_job(g, &j->job);
	return j->job.err;
}

/* Until the connection is live; as the gateway, again while the store fails. */
static void look_until_live(struct gateway_model *g, struct device_model *d)
{
	struct conn *conn = &g->conns[d - g->b->devices];
	struct command_job j;
	bool again = false;

	for (unsigned i = 0; i < 200 && conn->open; i++) {
		bool first = !again;

		if (look(g, d, again, &j) != EV_OK) {
			ev_clock_manual_advance(&g->b->clock, EV_NS_PER_S);
			continue;
		}
		again = true;
		if (first && j.n > 0)
			continue;
		conn->live = true;
		for (size_t k = 0; k < j.n; k++)
			send_on(g, d, &j.commands[k]);
		if (conn->missed <= conn->sent)
			return;
		conn->missed = 0;
		conn->live = false;
	}
}

static void disconnect(struct bench *b, struct device_model *d)
{
	d->at = -1;
	(void)b;
}

/* A gateway notices that a connection is gone, sooner or later. */
static void notice(struct gateway_model *g, struct device_model *d)
{
	struct conn *conn = &g->conns[d - g->b->devices];

	if (!conn->open)
		return;
	memset(conn, 0, sizeof(*conn));
	aws_front_gone(g->front, &d->id);
}

static void connect_to(struct bench *b, struct device_model *d, int at)
{
	struct gateway_model *g = &b->gateways[at];

	d->at = at;
	d->newest = 0;
	g->conns[d - b->devices] = (struct conn){ .open = true };
	look_until_live(g, d);
}

static ev_err acknowledge(struct gateway_model *g, struct device_model *d, uint64_t version)
{
	struct command_job j = { .job = { .kind = JOB_COMMAND_ACK }, .outlet_id = d->id };

	j.job.at_ns = ev_clock_wall_ns(&g->b->clock.base);
	j.version = version;
	run_job(g, &j.job);
	return j.job.err;
}

/* --- fixture --- */

/* Others come in between two calls of one. */
static void race(void *user, const struct cloud_attempt *a)
{
	struct bench *b = user;
	struct gateway_model *g;

	(void)a;
	if (b->races == 0 || ev_rng_below(&b->rng.base, b->races) != 0)
		return;
	g = &b->gateways[ev_rng_below(&b->rng.base, FRONTS)];
	if (g->front != NULL && !g->turn_busy)
		turn(g);
}

static void open_gateway(struct bench *b, size_t i)
{
	struct gateway_model *g = &b->gateways[i];
	struct aws_front_config c = aws_front_defaults();

	g->b = b;
	snprintf(g->id, sizeof(g->id), "g%zu", i);
	g->jobs = cloud_caller_new(b->cloud, "jobs");
	g->commands = cloud_caller_new(b->cloud, "commands");
	ev_rng_seeded_init(&g->rng, i);
	c.jobs_caller = cloud_caller(g->jobs);
	c.commands_caller = cloud_caller(g->commands);
	c.resources = &b->resources;
	c.clock = &b->clock.base;
	c.rng = &g->rng.base;
	c.id = ev_str_from(g->id);
	c.on_command = on_command;
	c.user = g;
	assert_int_equal(aws_front_new(&c, &g->front), EV_OK);
	for (unsigned k = 0; k < 5; k++)
		turn(g);
}

static void close_gateway(struct bench *b, size_t i)
{
	struct gateway_model *g = &b->gateways[i];

	aws_front_free(g->front);
	g->front = NULL;
	cloud_caller_free(g->jobs);
	cloud_caller_free(g->commands);
}

static void make_device(struct bench *b, size_t i)
{
	struct device_model *d = &b->devices[i];
	int64_t now_ns = ev_clock_wall_ns(&b->clock.base);
	char text[EV_UUID_TEXT + 1];

	snprintf(text, sizeof(text), "86c911e2-bbf3-42c8-8925-f9d380c1f3%02x", (unsigned)i);
	assert_int_equal(ev_uuid_parse(ev_str_from(text), &d->id), EV_OK);
	d->at = -1;
	d->row.outlet = outlet_new(&d->id, 22000000, now_ns);
	d->row.outlet.state = OUTLET_CHARGING;
	d->row.outlet.has_session = true;
	d->row.outlet.session_id = d->id;
	d->row.outlet.start_ns = now_ns;
	assert_int_equal(rfid_tag_set(&d->row.outlet.tag, EV_LIT("tag")), EV_OK);
	d->row.outlet.version = row_next_version(0, now_ns);
	put_row(b, d);
}

static void bench_open(struct bench *b, uint64_t seed)
{
	struct cloud_config config = { .clock = &b->clock, .seed = seed, .race = race, .user = b };

	memset(b, 0, sizeof(*b));
	ev_clock_manual_init(&b->clock, START_NS);
	ev_rng_seeded_init(&b->rng, seed);
	b->cloud = cloud_new(&config);
	assert_int_equal(aws_resources_init(&b->resources, EV_LIT(AWS_PREFIX_DEFAULT)), EV_OK);
	cloud_provision(b->cloud, &b->resources);
	find_url(b, b->resources.messages_in, b->url_messages);
	find_url(b, b->resources.commands_out, b->url_commands);
	for (size_t i = 0; i < DEVICES; i++)
		make_device(b, i);
	for (size_t i = 0; i < FRONTS; i++)
		open_gateway(b, i);
}

static void bench_close(struct bench *b)
{
	for (size_t i = 0; i < FRONTS; i++) {
		if (b->gateways[i].front != NULL)
			close_gateway(b, i);
	}
	cloud_free(b->cloud);
}

static void turn_all(struct bench *b, unsigned times)
{
	for (unsigned k = 0; k < times; k++) {
		for (size_t i = 0; i < FRONTS; i++) {
			if (b->gateways[i].front != NULL)
				turn(&b->gateways[i]);
		}
	}
}

static struct aws_front_state state_of(struct bench *b, size_t i)
{
	struct aws_front_state s;

	aws_front_state(b->gateways[i].front, &s);
	return s;
}

static void delivery_of(struct bench *b, const struct device_model *d, struct own_delivery *out)
{
	char room[1024];
	struct ev_buf buf = ev_buf_over(room, sizeof(room) - 1);
	struct json_writer w = json_writer_over(&buf);
	struct own_key key = own_delivery_key(&d->id);
	struct ev_str answer;

	json_write_object(&w);
	json_write_key(&w, "TableName");
	json_write_z(&w, b->resources.items);
	json_write_key(&w, "Key");
	own_key_write(&key, &w);
	json_write_object_end(&w);
	do_json(b, AWS_DYNAMODB, "GetItem", &buf, &answer);
	assert_true(answer.n > 9); /* {"Item": … } */
	answer.p += 8;
	answer.n -= 9;
	assert_int_equal(own_delivery_read(answer, out), EV_OK);
}

/* --- commands --- */

static void a_connected_device_gets_its_command_from_any_gateway(void **state)
{
	struct bench b;

	(void)state;
	for (int at = 0; at < FRONTS; at++) {
		bench_open(&b, 1);
		connect_to(&b, &b.devices[0], at);
		command(&b, &b.devices[0]);
		turn_all(&b, 5);
		assert_int_equal(b.devices[0].n_got, 1);
		assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out), 0);
		assert_int_equal(state_of(&b, 0).handed_over, at != 0);
		bench_close(&b);
	}
}

static void a_command_waits_for_its_device(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, 1);
	command(&b, &b.devices[0]);
	command(&b, &b.devices[0]);
	turn_all(&b, 5);
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out), 0);
	connect_to(&b, &b.devices[0], 2);
	assert_int_equal(b.devices[0].n_got, 2);
	assert_int_equal(state_of(&b, 0).kept + state_of(&b, 1).kept + state_of(&b, 2).kept, 2);
	bench_close(&b);
}

static void what_is_acknowledged_is_not_given_again(void **state)
{
	struct bench b;
	struct device_model *d = &b.devices[0];
	struct own_delivery del;
	struct command_job j;

	(void)state;
	bench_open(&b, 1);
	connect_to(&b, d, 0);
	command(&b, d);
	command(&b, d);
	turn_all(&b, 5);
	assert_int_equal(d->n_got, 2);
	assert_int_equal(acknowledge(&b.gateways[0], d, d->got[0]), EV_OK);
	assert_int_equal(acknowledge(&b.gateways[0], d, d->got[0]), EV_OK);
	delivery_of(&b, d, &del);
	assert_int_equal(del.delivery.acked_version, d->got[0]);
	assert_int_equal(look(&b.gateways[1], d, false, &j), EV_OK);
	assert_int_equal(j.n, 1);
	assert_int_equal(j.commands[0].version, d->got[1]);
	/* By another gateway, with what the first has in mind out of date. */
	assert_int_equal(acknowledge(&b.gateways[1], d, d->got[1]), EV_OK);
	assert_int_equal(acknowledge(&b.gateways[0], d, d->got[0]), EV_OK);
	delivery_of(&b, d, &del);
	assert_int_equal(del.delivery.acked_version, d->got[1]);
	bench_close(&b);
}

static void refuses_what_was_never_given(void **state)
{
	struct bench b;
	struct device_model unknown = { .at = -1 };
	struct command_job j;
	uint64_t now_ms = (uint64_t)(START_NS / EV_NS_PER_MS);

	(void)state;
	bench_open(&b, 1);
	memset(unknown.id.b, 7, sizeof(unknown.id.b));
	assert_int_equal(acknowledge(&b.gateways[0], &b.devices[0], now_ms + 61000), EV_INVALID);
	assert_int_equal(acknowledge(&b.gateways[0], &unknown, now_ms), EV_NOTFOUND);
	assert_int_equal(look(&b.gateways[0], &unknown, false, &j), EV_NOTFOUND);
	assert_int_equal(cloud_n_items(b.cloud, b.resources.items), 0);
	bench_close(&b);
}

static void a_command_whose_reason_has_gone_is_not_given(void **state)
{
	struct bench b;
	struct device_model *d = &b.devices[0];

	(void)state;
	bench_open(&b, 1);
	connect_to(&b, d, 0);
	command(&b, d);
	d->row.outlet.state = OUTLET_AVAILABLE;
	d->row.outlet.version++;
	put_row(&b, d);
	turn_all(&b, 5);
	assert_int_equal(d->n_got, 0);
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out), 0);
	assert_int_equal(state_of(&b, 0).stale, 1);
	bench_close(&b);
}

/* Put before its row, which then was written by somebody else. */
static void a_command_that_was_never_committed_is_not_given(void **state)
{
	struct bench b;
	struct device_model *d = &b.devices[0];
	struct device_command c = { .change = OUTLET_APP_REQUESTS_STOP };

	(void)state;
	bench_open(&b, 1);
	c.outlet_id = d->id;
	c.version = d->row.outlet.version + 5;
	c.has_session = true;
	c.session_id = d->row.outlet.session_id;
	put_command_item(&b, &c);
	connect_to(&b, d, 0);
	assert_int_equal(d->n_got, 0);
	bench_close(&b);
}

static void an_older_connection_does_not_take_it_back(void **state)
{
	struct bench b;
	struct device_model *d = &b.devices[0];
	struct own_delivery del;
	struct command_job j;

	(void)state;
	bench_open(&b, 1);
	connect_to(&b, d, 0);
	connect_to(&b, d, 1);
	command(&b, d);
	assert_int_equal(look(&b.gateways[0], d, true, &j), EV_OK);
	assert_int_equal(j.n, 0);
	notice(&b.gateways[0], d);
	turn_all(&b, 3);
	delivery_of(&b, d, &del);
	assert_string_equal(del.gateway, "g1");
	assert_int_equal(del.generation, 2);
	assert_int_equal(d->n_got, 1);
	notice(&b.gateways[1], d);
	turn_all(&b, 3);
	delivery_of(&b, d, &del);
	assert_string_equal(del.gateway, "");
	bench_close(&b);
}

static void a_gateway_whose_queue_is_gone_is_dead(void **state)
{
	struct bench b;
	struct device_model *d = &b.devices[0];
	struct own_delivery del;

	(void)state;
	bench_open(&b, 1);
	connect_to(&b, d, 2);
	command(&b, d);
	turn_all(&b, 3); /* the others know its queue */
	assert_int_equal(d->n_got, 1);
	for (unsigned i = 0; i < 2000 && !aws_front_drain(b.gateways[2].front); i++) {
		turn(&b.gateways[2]);
		ev_clock_manual_advance(&b.clock, 50 * EV_NS_PER_MS);
	}
	assert_true(aws_front_drain(b.gateways[2].front));
	close_gateway(&b, 2);
	ev_clock_manual_advance(&b.clock, 120 * EV_NS_PER_S);
	disconnect(&b, d);
	command(&b, d);
	turn_all(&b, 10);
	delivery_of(&b, d, &del);
	assert_string_equal(del.gateway, "");
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out), 0);
	connect_to(&b, d, 0);
	assert_int_equal(d->n_got, 2);
	bench_close(&b);
}

/* The original names no command and keeps no version. */
static void a_command_of_the_original_is_kept_and_given(void **state)
{
	static const char text[] =
		"{\"outletId\":\"86c911e2-bbf3-42c8-8925-f9d380c1f300\",\"rfidTag\":\"tag\","
		"\"periodStart\":\"2023-06-13T10:15:30Z\",\"periodEnd\":\"2023-06-13T10:15:30Z\","
		"\"outletStateChange\":\"Charging\",\"powerConsumption\":0.0}";
	struct bench b;
	struct device_model *d = &b.devices[0];

	(void)state;
	bench_open(&b, 1);
	send_body(&b, b.url_commands, EV_LIT(text));
	turn_all(&b, 3);
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out), 0);
	/* Its row is written after that by ours: the version is above the command's. */
	d->row.outlet.version = row_next_version(d->row.outlet.version, START_NS + EV_NS_PER_S);
	put_row(&b, d);
	connect_to(&b, d, 1);
	assert_int_equal(d->n_got, 1);
	assert_int_equal(d->got[0], START_NS / EV_NS_PER_MS);
	disconnect(&b, d);
	ev_clock_manual_advance(&b.clock, 5 * EV_NS_PER_MIN);
	connect_to(&b, d, 0);
	assert_int_equal(d->newest, 0); /* it has lapsed */
	bench_close(&b);
}

static void poison_in_the_commands_queue_is_moved(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, 1);
	send_body(&b, b.url_commands, EV_LIT("{\"outletId\":7}"));
	command(&b, &b.devices[0]);
	connect_to(&b, &b.devices[0], 0);
	turn_all(&b, 3);
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out), 0);
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out_dead), 1);
	assert_int_equal(b.devices[0].n_got, 1);
	bench_close(&b);
}

static void set_rates(struct bench *b)
{
	static const enum cloud_fault faults[] = {
		CLOUD_THROTTLED,   CLOUD_SERVER_ERROR, CLOUD_LOST_REQUEST,
		CLOUD_LOST_ANSWER, CLOUD_PARTIAL,      CLOUD_DUPLICATE,
		CLOUD_STALE,       CLOUD_DENIED,       CLOUD_GARBAGE,
	};

	for (size_t i = 0; i < EV_ARRAY_LEN(faults); i++)
		cloud_set_rate(b->cloud, faults[i], 15000);
}

static void hop(struct bench *b, struct device_model *d)
{
	int old = d->at;

	disconnect(b, d);
	/* Sometimes at once, sometimes when it is back elsewhere, sometimes never. */
	if (old >= 0 && ev_rng_below(&b->rng.base, 2) == 0)
		notice(&b->gateways[old], d);
	connect_to(b, d, (int)ev_rng_below(&b->rng.base, FRONTS));
	if (old >= 0 && old != d->at && ev_rng_below(&b->rng.base, 2) == 0)
		notice(&b->gateways[old], d);
}

static void random_step(struct bench *b)
{
	struct device_model *d = &b->devices[ev_rng_below(&b->rng.base, DEVICES)];
	uint64_t what = ev_rng_below(&b->rng.base, 20);

	if (what < 3 && d->n_put < COMMANDS_MAX - 1)
		command(b, d);
	else if (what < 5)
		hop(b, d);
	else if (what < 7 && d->at >= 0 && d->newest > 0)
		(void)acknowledge(&b->gateways[d->at], d, d->newest);
	else
		turn(&b->gateways[ev_rng_below(&b->rng.base, FRONTS)]);
	ev_clock_manual_advance(&b->clock, 30 * EV_NS_PER_MS);
}

static void expect_all_got(const struct device_model *d)
{
	assert_int_equal(d->n_got, d->n_put);
	for (size_t i = 0; i < d->n_put; i++)
		assert_int_equal(d->got[i], d->put[i]);
}

static void a_device_that_hops_gets_every_command_in_order(void **state)
{
	uint64_t n_got = 0, n_handed = 0, n_given = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct bench b;

		bench_open(&b, seed);
		b.races = 6;
		set_rates(&b);
		for (unsigned i = 0; i < 600; i++)
			random_step(&b);
		/* Peace: whoever is connected gets the rest, whoever is not connects. */
		cloud_set_faults(b.cloud, false);
		for (unsigned i = 0; i < 300; i++) {
			turn_all(&b, 1);
			ev_clock_manual_advance(&b.clock, 200 * EV_NS_PER_MS);
		}
		assert_int_equal(cloud_n_messages(b.cloud, b.resources.commands_out), 0);
		for (size_t i = 0; i < DEVICES; i++) {
			if (b.devices[i].at < 0)
				connect_to(&b, &b.devices[i], 0);
			expect_all_got(&b.devices[i]);
			n_got += b.devices[i].n_got;
		}
		for (size_t i = 0; i < FRONTS; i++)
			n_handed += state_of(&b, i).handed_over;
		n_given += b.n_given;
		bench_close(&b);
	}
	assert_true(n_got > 3000 && n_handed > 500 && n_given > n_got);
}

/* --- messages --- */

struct sent_message {
	struct device_job *j;
	void *memory;
};

static struct device_job *message(struct bench *b, const struct ev_uuid *via, const char *text,
				  unsigned name, void **out_memory)
{
	struct device_wire wire;
	struct json_error error = { .text = "" };
	struct message_input in = { .bytes = ev_str_from(text),
				    .outlet_id = via,
				    .error = &error,
				    .has_id = true,
				    .at_ns = ev_clock_wall_ns(&b->clock.base) };

	memcpy(in.id.b, &name, sizeof(name));
	if (device_json_decode(in.bytes, &wire, &error) == EV_OK)
		in.wire = &wire;
	return message_job_new(&in, 0, out_memory);
}

static void report(char *room, size_t cap, unsigned outlet, unsigned n, const char *rest)
{
	snprintf(room, cap,
		 "{\"outletId\":\"86c911e2-bbf3-42c8-8925-f9d380c1f3%02x\",\"rfidTag\":\"tag\","
		 "\"periodStart\":\"2023-06-13T10:15:30+02:00\","
		 "\"periodEnd\":\"2023-06-13T10:15:30Z\",\"outletStateChange\":\"Charging\","
		 "\"powerConsumption\":%u.0%s",
		 outlet, n, rest);
}

struct inbox {
	size_t n;
	struct device_wire of[4096];
	char last[1024];
};

static void take_in(void *user, const struct cloud_message *m)
{
	struct inbox *box = user;

	assert_true(box->n < EV_ARRAY_LEN(box->of));
	assert_int_equal(device_json_decode(m->body, &box->of[box->n], NULL), EV_OK);
	assert_true(m->body.n < sizeof(box->last));
	memcpy(box->last, m->body.p, m->body.n);
	box->last[m->body.n] = '\0';
	box->n++;
}

static struct inbox *messages_of(struct bench *b)
{
	static struct inbox box;

	box.n = 0;
	assert_int_equal(cloud_each_message(b->cloud, b->resources.messages_in, take_in, &box),
			 EV_OK);
	return &box;
}

struct stamp_case {
	const char *rest; /* of the message, after the six keys */
	const char *sent; /* NULL: whatever it is, it says the same */
	const char *name;
};

static void a_message_is_queued_with_a_name(void **state)
{
	static const struct stamp_case cases[] = {
		{ "}", ",\"messageId\":\"01000000000000000000000000000000\"}",
		  "01000000000000000000000000000000" },
		{ ",\"messageId\":\"a\"}", ",\"messageId\":\"a\"}", "a" },
		{ ",\"x\":[1,{}] } trailing \x01 \xff",
		  ",\"x\":[1,{}] ,\"messageId\":\"01000000000000000000000000000000\"}",
		  "01000000000000000000000000000000" },
		{ ",\"messageId\":null}", NULL, "01000000000000000000000000000000" },
		{ ",\"messageId\":\"a\\u0022\"}", ",\"messageId\":\"a\\u0022\"}", "a\"" },
		{ ",\"x\":\"\xef\xbf\xbe\xef\xbf\xbf\",\"messageId\":\"b\"}",
		  ",\"x\":\"\\ufffe\\uffff\",\"messageId\":\"b\"}", "b" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct bench b;
		char text[1024];
		void *memory = NULL;
		struct device_job *j;
		struct inbox *box;

		bench_open(&b, 1);
		report(text, sizeof(text), 0, 5, cases[i].rest);
		j = message(&b, &b.devices[0].id, text, 1, &memory);
		assert_true(j->decoded);
		run_job(&b.gateways[0], &j->job);
		assert_int_equal(j->job.err, EV_OK);
		assert_int_equal(j->job.verdict, VERDICT_QUEUED);
		box = messages_of(&b);
		assert_int_equal(box->n, 1);
		assert_int_equal(box->of[0].m.message_id.n, strlen(cases[i].name));
		assert_memory_equal(box->of[0].m.message_id.s, cases[i].name,
				    strlen(cases[i].name));
		if (cases[i].sent != NULL) {
			report(text, sizeof(text), 0, 5, cases[i].sent);
			assert_string_equal(box->last, text);
		}
		free(memory);
		bench_close(&b);
	}
}

/* A long key is none of ours: the body was cut, and the message is written anew. */
static void a_message_longer_than_is_kept_is_queued_all_the_same(void **state)
{
	struct bench b;
	char *text = malloc(3 * JOB_BODY_MAX);
	void *memory = NULL;
	struct device_job *j;
	struct inbox *box;
	size_t n;

	(void)state;
	bench_open(&b, 1);
	report(text, JOB_BODY_MAX, 0, 5, ",\"x\":\"");
	n = strlen(text);
	memset(text + n, 'x', 2 * JOB_BODY_MAX);
	memcpy(text + n + 2 * JOB_BODY_MAX, "\"}", 3);
	j = message(&b, &b.devices[0].id, text, 1, &memory);
	run_job(&b.gateways[0], &j->job);
	assert_int_equal(j->job.err, EV_OK);
	box = messages_of(&b);
	assert_int_equal(box->n, 1);
	assert_int_equal(box->of[0].m.message_id.n, 32);
	free(memory);
	free(text);
	bench_close(&b);
}

static void what_must_not_be_queued_is_a_dead_letter(void **state)
{
	static const struct {
		const char *text;
		enum reason why;
	} cases[] = {
		{ "\x01\xff no message", REASON_UNDECODABLE },
		{ "{\"outletId\":\"86c911e2-bbf3-42c8-8925-f9d380c1f301\",\"rfidTag\":\"\","
		  "\"periodStart\":\"2023-06-13T10:15:30Z\",\"periodEnd\":\"2023-06-13T10:15:30Z\","
		  "\"outletStateChange\":\"Charging\",\"powerConsumption\":1}",
		  REASON_WRONG_OUTLET },
		{ "{\"outletId\":\"86c911e2-bbf3-42c8-8925-f9d380c1f300\",\"rfidTag\":\"\","
		  "\"periodStart\":\"2023-06-13T10:15:30Z\",\"periodEnd\":\"2023-06-13T10:15:30Z\","
		  "\"outletStateChange\":\"Charging\",\"powerConsumption\":-1}",
		  REASON_ENERGY_RANGE },
	};
	struct bench b;

	(void)state;
	bench_open(&b, 1);
	for (unsigned i = 0; i < EV_ARRAY_LEN(cases); i++) {
		for (unsigned twice = 0; twice < 2; twice++) {
			void *memory = NULL;
			struct device_job *j = message(&b, &b.devices[0].id, cases[i].text, i + 1,
						       &memory);

			run_job(&b.gateways[0], &j->job);
			assert_int_equal(j->job.err, EV_OK);
			assert_int_equal(j->job.verdict, VERDICT_REJECTED);
			assert_int_equal(j->job.reason, cases[i].why);
			free(memory);
		}
		assert_int_equal(cloud_n_items(b.cloud, b.resources.items), i + 1);
	}
	assert_int_equal(cloud_n_messages(b.cloud, b.resources.messages_in), 0);
	bench_close(&b);
}

#define BURST 200

/* How far the reports of a device that were acknowledged came, in the order of the queue. */
static void check_order(const struct inbox *box, struct sent_message *sent, size_t n)
{
	double newest[DEVICES] = { 0 };
	bool seen[BURST] = { false };

	for (size_t i = 0; i < box->n; i++) {
		unsigned k = (unsigned)box->of[i].power_kwh;
		unsigned d = box->of[i].m.outlet_id.b[15];

		assert_true(k < n && d < DEVICES);
		if (!seen[k] && sent[k].j->job.err == EV_OK) {
			assert_true(box->of[i].power_kwh >= newest[d]);
			newest[d] = box->of[i].power_kwh;
		}
		seen[k] = true;
	}
	for (size_t k = 0; k < n; k++)
		assert_true(seen[k] || sent[k].j->job.err != EV_OK);
}

static void messages_of_a_device_keep_their_order(void **state)
{
	size_t n_ok = 0, n_failed = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sent_message sent[BURST];
		struct job *jobs[BURST];
		bool failed[DEVICES] = { false };
		struct bench b;

		bench_open(&b, seed);
		for (unsigned i = 0; i < BURST; i++) {
			char text[1024];
			unsigned d = (unsigned)ev_rng_below(&b.rng.base, DEVICES);

			report(text, sizeof(text), d, i, "}");
			sent[i].j = message(&b, &b.devices[d].id, text, i + 1, &sent[i].memory);
			jobs[i] = &sent[i].j->job;
		}
		set_rates(&b);
		aws_front_run(b.gateways[0].front, jobs, BURST);
		cloud_set_faults(b.cloud, false);
		check_order(messages_of(&b), sent, BURST);
		/* Nothing of a device was acknowledged after something that was not. */
		for (unsigned i = 0; i < BURST; i++) {
			unsigned d = sent[i].j->outlet_id.b[15];

			assert_false(failed[d] && jobs[i]->err == EV_OK);
			failed[d] = failed[d] || jobs[i]->err != EV_OK;
			n_ok += jobs[i]->err == EV_OK;
			n_failed += jobs[i]->err != EV_OK;
			free(sent[i].memory);
		}
		bench_close(&b);
	}
	assert_true(n_ok > 1000 && n_failed > 100);
}

static void different_devices_share_batches(void **state)
{
	struct bench b;
	struct job *jobs[40];
	void *memory[40];

	(void)state;
	bench_open(&b, 1);
	for (unsigned i = 0; i < 40; i++) {
		char text[1024];
		struct ev_uuid id = b.devices[0].id;

		id.b[15] = (uint8_t)i;
		report(text, sizeof(text), i, i, "}");
		jobs[i] = &message(&b, &id, text, i + 1, &memory[i])->job;
	}
	aws_front_run(b.gateways[0].front, jobs, 40);
	assert_int_equal(cloud_n_calls(b.cloud, AWS_SQS, "SendMessageBatch"), 4);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(jobs[i]->err, EV_OK);
		free(memory[i]);
	}
	bench_close(&b);
}

static void other_jobs_are_not_the_gateways(void **state)
{
	struct bench b;
	struct session_job s = { .job = { .kind = JOB_START } };

	(void)state;
	bench_open(&b, 1);
	run_job(&b.gateways[0], &s.job);
	assert_int_equal(s.job.err, EV_UNSUPPORTED);
	bench_close(&b);
}

static void takes_nothing_over_without_a_queue_of_its_own(void **state)
{
	struct bench b;
	struct command_job j;

	(void)state;
	bench_open(&b, 1);
	aws_front_free(b.gateways[0].front);
	cloud_set_rate(b.cloud, CLOUD_DENIED, 1000000);
	cloud_caller_free(b.gateways[0].jobs);
	cloud_caller_free(b.gateways[0].commands);
	open_gateway(&b, 0);
	cloud_set_faults(b.cloud, false);
	assert_int_equal(look(&b.gateways[0], &b.devices[0], false, &j), EV_BUSY);
	assert_false(state_of(&b, 0).ready);
	assert_non_null(strstr(state_of(&b, 0).fail.text, "Queue"));
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connected_device_gets_its_command_from_any_gateway),
		cmocka_unit_test(a_command_waits_for_its_device),
		cmocka_unit_test(what_is_acknowledged_is_not_given_again),
		cmocka_unit_test(refuses_what_was_never_given),
		cmocka_unit_test(a_command_whose_reason_has_gone_is_not_given),
		cmocka_unit_test(a_command_that_was_never_committed_is_not_given),
		cmocka_unit_test(an_older_connection_does_not_take_it_back),
		cmocka_unit_test(a_gateway_whose_queue_is_gone_is_dead),
		cmocka_unit_test(a_command_of_the_original_is_kept_and_given),
		cmocka_unit_test(poison_in_the_commands_queue_is_moved),
		cmocka_unit_test(a_device_that_hops_gets_every_command_in_order),
		cmocka_unit_test(a_message_is_queued_with_a_name),
		cmocka_unit_test(a_message_longer_than_is_kept_is_queued_all_the_same),
		cmocka_unit_test(what_must_not_be_queued_is_a_dead_letter),
		cmocka_unit_test(messages_of_a_device_keep_their_order),
		cmocka_unit_test(different_devices_share_batches),
		cmocka_unit_test(other_jobs_are_not_the_gateways),
		cmocka_unit_test(takes_nothing_over_without_a_queue_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
