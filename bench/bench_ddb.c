/*
 * bench/bench_ddb.c — what DynamoDB, or its stand-in, does by itself: conditional writes of rows of
 * the usual size, one at a time on each connection.
 *
 * usage: bench_ddb TABLE ROWS WRITES IN_FLIGHT
 *
 * The table has the hash key outletId; the rows are made first, then each write is an UpdateItem of
 * some 250 bytes with a condition on the version, as for a device's report.  Endpoint and keys come
 * from the environment.  Prints `rate N` (writes a second) and `us N` (our processor time of each).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/rng.h"
#include "bench.h"
#include "engine/aws/client.h"

#define BODY_MAX 2048
#define ROWS_MAX 100000
#define IN_FLIGHT_MAX 256

struct write {
	struct aws_call call;
	size_t row;
	char body[BODY_MAX];
};

struct ddb {
	const char *table;
	size_t n_rows, in_flight;
	uint64_t n_writes;
	struct ev_rng_os rng;
	struct aws_credentials *credentials;
	struct aws_client *client;
	uint64_t versions[ROWS_MAX];
	bool busy[ROWS_MAX];
	struct write writes[IN_FLIGHT_MAX];
};

static void add_key(const struct ddb *d, size_t row, struct ev_buf *b)
{
	struct ev_uuid id = bench_outlet_id(row);
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(&id, text);
	ev_buf_z(b, "{\"TableName\":\"");
	ev_buf_z(b, d->table);
	ev_buf_z(b, "\",\"Key\":{\"outletId\":{\"S\":\"");
	ev_buf_z(b, text);
	ev_buf_z(b, "\"}}");
}

/* 300 bytes of our own beside the original's fields: a row of some 700 bytes. */
static void add_values(const struct ddb *d, size_t row, struct ev_buf *b)
{
	ev_buf_z(b, "\":new\":{\"N\":\"");
	ev_buf_u64(b, d->versions[row] + 1);
	ev_buf_z(b, "\"},\":e\":{\"S\":\"2026-01-01T10:05:00.123Z\"},\":p\":{\"N\":\"1.234\"},"
		    "\":t\":{\"N\":\"12345.678\"},\":x\":{\"B\":\"");
	for (int i = 0; i < 400; i++)
		ev_buf_char(b, 'A');
	ev_buf_z(b, "\"}}}");
}

static void fill_update(const struct ddb *d, struct write *w)
{
	struct ev_buf b = ev_buf_over(w->body, sizeof(w->body));
	uint64_t version = d->versions[w->row];

	add_key(d, w->row, &b);
	ev_buf_z(&b, ",\"UpdateExpression\":\"SET version=:new, endTime=:e, powerConsumption=:p, "
		     "totalPowerConsumption=:t, x=:x\",\"ConditionExpression\":\"");
	ev_buf_z(&b, version == 0 ? "attribute_not_exists(outletId)" : "version=:old");
	ev_buf_z(&b, "\",\"ExpressionAttributeValues\":{");
	if (version > 0) {
		ev_buf_z(&b, "\":old\":{\"N\":\"");
		ev_buf_u64(&b, version);
		ev_buf_z(&b, "\"},");
	}
	add_values(d, w->row, &b);
	bench_must(!b.overflow, "a body that fits");
	w->call.body = ev_buf_str(&b);
}

static void submit(struct ddb *d, struct write *w, size_t row)
{
	w->row = row;
	d->busy[row] = true;
	w->call = (struct aws_call){ .service = AWS_DYNAMODB, .operation = "UpdateItem" };
	fill_update(d, w);
	bench_must(aws_call_submit(d->client, &w->call) == EV_OK, "submit");
}

static size_t free_row(const struct ddb *d, uint64_t n)
{
	size_t row = (size_t)(n % d->n_rows);

	while (d->busy[row])
		row = (row + 1) % d->n_rows;
	return row;
}

static struct write *take(struct ddb *d)
{
	struct aws_call *call;
	ev_err e;

	do {
		e = aws_client_poll(d->client, INT64_C(10000000000), &call);
	} while (e == EV_BUSY);
	bench_must(e == EV_OK, "an answer within ten seconds");
	if (call->err != EV_OK) {
		fprintf(stderr, "UpdateItem: %s: %s\n", call->error.code, call->error.message);
		exit(1);
	}
	for (size_t i = 0; i < d->in_flight; i++) {
		if (&d->writes[i].call == call)
			return &d->writes[i];
	}
	bench_die("an answer to nothing", false);
}

static void run(struct ddb *d, uint64_t n)
{
	uint64_t sent = 0;
	uint64_t done = 0;

	for (size_t i = 0; i < d->in_flight && sent < n; i++, sent++)
		submit(d, &d->writes[i], free_row(d, sent));
	while (done < n) {
		struct write *w = take(d);

		d->versions[w->row]++;
		d->busy[w->row] = false;
		aws_call_clear(&w->call);
		done++;
		if (sent < n)
			submit(d, w, free_row(d, sent++));
	}
}

static void open_client(struct ddb *d)
{
	struct ev_fail fail = { .text = "" };
	struct aws_credentials_config credentials = { .env = aws_env_os(),
						      .clock = ev_clock_os(),
						      .rng = &d->rng.base };
	struct aws_client_config c = aws_client_defaults();

	ev_rng_os_init(&d->rng);
	bench_must(aws_credentials_new(&credentials, &d->credentials) == EV_OK, "credentials");
	c.env = aws_env_os();
	c.credentials = d->credentials;
	c.clock = ev_clock_os();
	c.rng = &d->rng.base;
	c.max_in_flight = (unsigned)d->in_flight;
	if (aws_client_new(&c, &d->client, &fail) != EV_OK)
		bench_die(fail.text, false);
}

static uint64_t number(const char *text, uint64_t max)
{
	uint64_t n = 0;

	bench_must(bench_take_u64(ev_str_from(text), 1, max, &n), "numbers that are not too large");
	return n;
}

int main(int argc, char **argv)
{
	struct ddb *d = calloc(1, sizeof(*d));
	int64_t from_ns, cpu_ns;

	bench_must(d != NULL, "memory");
	bench_must(argc == 5, "bench_ddb TABLE ROWS WRITES IN_FLIGHT");
	d->table = argv[1];
	d->n_rows = (size_t)number(argv[2], ROWS_MAX);
	d->n_writes = number(argv[3], 10000000);
	d->in_flight = (size_t)number(argv[4], IN_FLIGHT_MAX);
	bench_must(d->n_rows >= d->in_flight, "more rows than are in flight");
	open_client(d);
	run(d, d->n_rows);
	from_ns = bench_now_ns();
	cpu_ns = bench_own_cpu_ns();
	run(d, d->n_writes);
	printf("rate %.0f\n", (double)d->n_writes * 1e9 / (double)(bench_now_ns() - from_ns));
	printf("us %.2f\n", (double)(bench_own_cpu_ns() - cpu_ns) / 1e3 / (double)d->n_writes);
	aws_client_free(d->client);
	aws_credentials_free(d->credentials);
	free(d);
	return 0;
}
