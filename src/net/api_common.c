/* net/api_common.c — what every listener has, the documents, and the books. */
#include <stdlib.h>

#include "net/api_internal.h"
#include "net/api_openapi.h"

#define METRICS_FIRST 65536
#define METRICS_MAX ((size_t)8 << 20)

const struct route api_gateway_routes[] = {
	API_COMMON_ROUTES,
};
const size_t api_n_gateway_routes = EV_ARRAY_LEN(api_gateway_routes);

void api_live(struct api_call *c)
{
	api_reply_empty(&c->ticket, 200);
}

/* --- readiness --- */

void api_checks_add(struct api_checks *c, const char *name, const char *why)
{
	if (c->n == API_CHECKS_MAX)
		return;
	c->check[c->n].name = name;
	c->check[c->n++].why = why;
}

static void write_check(struct json_writer *w, const char *name, const char *why)
{
	char key[64];
	struct ev_buf b = ev_buf_over(key, sizeof(key));

	ev_buf_char(&b, '"');
	ev_buf_z(&b, name);
	ev_buf_z(&b, "\":");
	json_write_key_n(w, key, b.len);
	json_write_z(w, why != NULL ? why : "ok");
}

static void write_checks(struct ev_buf *b, bool ready, const struct api_checks *c)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	json_write_key(&w, "ready");
	json_write_bool(&w, ready);
	json_write_key(&w, "checks");
	json_write_object(&w);
	for (size_t i = 0; i < c->n; i++)
		write_check(&w, c->check[i].name, c->check[i].why);
	json_write_object_end(&w);
	json_write_object_end(&w);
}

void api_ready(struct api_call *c)
{
	struct api *a = c->api;
	struct api_checks checks = { .n = 0 };
	char text[2048];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	bool ready = !a->draining;

	if (a->c.ready != NULL)
		a->c.ready(a->c.user, &checks);
	for (size_t i = 0; i < checks.n; i++)
		ready = ready && checks.check[i].why == NULL;
	write_checks(&b, ready, &checks);
	api_reply_json(&c->ticket, ready ? 200 : 503, ev_buf_str(&b));
}

void api_drain(struct api *a)
{
	a->draining = true;
	api_streams_end(a);
}

/* --- metrics --- */

void api_metrics(struct api_call *c)
{
	size_t cap = METRICS_FIRST;
	struct ev_buf b;
	char *text;

	do {
		text = malloc(cap);
		if (text == NULL)
			break;
		b = ev_buf_over(text, cap);
		api_metrics_write(c->api, &b);
		cap *= 2;
		if (!b.overflow)
			break;
		free(text);
		text = NULL;
	} while (cap <= METRICS_MAX);
	if (text == NULL) {
		api_reply_busy(&c->ticket, "out of memory", 1);
		return;
	}
	api_reply(&c->ticket, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, 0,
		  ev_buf_str(&b));
	free(text);
}

/* --- documents --- */

struct ev_str api_openapi(enum api_role role)
{
	switch (role) {
	case API_OUTLET:
		return (struct ev_str){ api_openapi_outlet, api_openapi_outlet_n };
	case API_APP:
		return (struct ev_str){ api_openapi_app, api_openapi_app_n };
	case API_GATEWAY:
	case API_ROLE_COUNT:
		break;
	}
	return (struct ev_str){ NULL, 0 };
}

void api_openapi_get(struct api_call *c)
{
	api_reply_json(&c->ticket, 200, api_openapi(c->ticket.role));
}

/* --- books --- */

static void write_outlet_books(struct json_writer *w, const struct energy_books *b)
{
	json_write_key(w, "outlets");
	json_write_object(w);
	json_write_key(w, "count");
	json_write_u64(w, b->n_outlets);
	json_write_key(w, "totalPowerConsumption");
	json_write_kwh(w, b->outlets_total_mwh);
	json_write_key(w, "unassignedPowerConsumption");
	json_write_kwh(w, b->outlets_unassigned_mwh);
	json_write_object_end(w);
}

static void write_session_books(struct json_writer *w, const struct energy_books *b)
{
	json_write_key(w, "sessions");
	json_write_object(w);
	json_write_key(w, "count");
	json_write_u64(w, b->n_sessions);
	json_write_key(w, "live");
	json_write_u64(w, b->n_live_sessions);
	json_write_key(w, "powerConsumption");
	json_write_kwh(w, b->sessions_mwh);
	json_write_object_end(w);
}

/* `"key":{"what":n}` */
#define WRITE_COUNT(w, key, what, n)                                                               \
	do {                                                                                       \
		json_write_key(w, key);                                                            \
		json_write_object(w);                                                              \
		json_write_key(w, what);                                                           \
		json_write_u64(w, n);                                                              \
		json_write_object_end(w);                                                          \
	} while (0)

static bool is_balanced(const struct energy_books *b)
{
	return b->outlets_total_mwh == b->sessions_mwh + b->outlets_unassigned_mwh &&
	       b->outlets_unassigned_mwh == b->items_open_mwh;
}

static void write_books(struct json_writer *w, const void *row)
{
	const struct energy_books *b = row;

	json_write_object(w);
	write_outlet_books(w, b);
	write_session_books(w, b);
	WRITE_COUNT(w, "customers", "count", b->n_customers);
	WRITE_COUNT(w, "events", "count", b->n_events);
	WRITE_COUNT(w, "commands", "count", b->n_commands);
	WRITE_COUNT(w, "deadLetters", "open", b->n_dead_letters_open);
	WRITE_COUNT(w, "parked", "count", b->n_parked);
	json_write_key(w, "unassignedItems");
	json_write_object(w);
	json_write_key(w, "open");
	json_write_u64(w, b->n_items_open);
	json_write_key(w, "powerConsumption");
	json_write_kwh(w, b->items_open_mwh);
	json_write_object_end(w);
	json_write_key(w, "balanced");
	if (b->is_part)
		json_write_null(w);
	else
		json_write_bool(w, is_balanced(b));
	json_write_object_end(w);
}

static ev_err read_books(struct api_task *t, struct query *q)
{
	struct energy_books b;
	ev_err e = q->ops->books(q, &b);

	if (e == EV_OK)
		api_body_json(&t->body, write_books, &b);
	return e;
}

void api_books(struct api_call *c)
{
	struct api_task *t = api_task_new(c, NULL, read_books);

	if (t != NULL)
		api_task_submit(t);
}
