/* net/api_reply.c — answers: the original's headers where it has the route, problems elsewhere. */
#include "base/num.h"
#include "net/api_internal.h"

#define ANSWER_MAX 16384 /* bytes of any problem: 16 of constant texts, and one detail */
#define HEADERS_MAX 6

static void count(const struct api_ticket *t, int status)
{
	struct api *a = t->api;
	int64_t took_ns = ev_clock_mono_ns(a->c.clock) - t->begun_ns;

	ev_counter_inc(&a->n.requests[t->role][status / 100 - 2]);
	ev_histogram_observe(&a->n.seconds, took_ns / 1000);
}

#define JSON "application/json"
#define PROBLEM "application/problem+json"

static struct net_header header(const char *name, const char *value)
{
	return (struct net_header){ ev_str_from(name), ev_str_from(value) };
}

/* The original's success has three headers of its own, in this order, also without a body. */
static size_t first_headers(struct net_header *out, const struct api_ticket *t, int status,
			    const char *type)
{
	size_t n = 0;

	if (t->legacy && status < 300) {
		out[n++] = header("accept", JSON);
		out[n++] = header("content-type", JSON);
		/* The quotes are on the wire (facts/original-system.md 7). */
		out[n++] = header("access-control-allow-methods", "\"POST, GET\"");
	} else if (type != NULL) {
		out[n++] = header("content-type", type);
	}
	return n;
}

void api_reply(const struct api_ticket *t, int status, const char *type,
	       const struct net_header *extra, size_t n_extra, struct ev_str body)
{
	struct net_header headers[HEADERS_MAX];
	struct net_response r = { .status = status, .headers = headers, .body = body };
	struct api *a = t->api;

	r.n_headers = first_headers(headers, t, status, type);
	for (size_t i = 0; i < n_extra && r.n_headers < HEADERS_MAX; i++)
		headers[r.n_headers++] = extra[i];
	count(t, status);
	if (a->c.sink->ops->reply(a->c.sink, t->h, &r) != EV_OK)
		ev_counter_inc(&a->n.gone);
}

void api_reply_json(const struct api_ticket *t, int status, struct ev_str body)
{
	api_reply(t, status, JSON, NULL, 0, body);
}

void api_reply_empty(const struct api_ticket *t, int status)
{
	api_reply(t, status, NULL, NULL, 0, (struct ev_str){ NULL, 0 });
}

static void reply_problem_with(const struct api_ticket *t, int status, struct ev_str detail,
			       const struct api_problems *p, const struct net_header *extra,
			       size_t n_extra)
{
	char text[ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	api_write_problem(&w, (unsigned)status, net_status_text(status), detail, p);
	api_reply(t, status, PROBLEM, extra, n_extra, ev_buf_str(&b));
}

void api_reply_problem(const struct api_ticket *t, int status, const char *detail)
{
	reply_problem_with(t, status, ev_str_from(detail != NULL ? detail : ""), NULL, NULL, 0);
}

void api_reply_problem_with(const struct api_ticket *t, int status, const char *detail,
			    const struct net_header *extra)
{
	reply_problem_with(t, status, ev_str_from(detail), NULL, extra, 1);
}

void api_reply_busy(const struct api_ticket *t, const char *detail, unsigned retry_s)
{
	char text[16];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct net_header retry = { .name = EV_LIT("retry-after") };

	ev_buf_u64(&b, retry_s);
	retry.value = ev_buf_str(&b);
	ev_counter_inc(&t->api->n.busy);
	reply_problem_with(t, 503, ev_str_from(detail), NULL, &retry, 1);
}

/* "email must contain @; maxPower must be …": for people who see the detail only. */
static void describe(const struct api_problems *p, struct ev_buf *b)
{
	for (unsigned i = 0; i < p->n; i++) {
		ev_buf_z(b, i > 0 ? "; " : "");
		ev_buf_z(b, p->item[i].field);
		ev_buf_char(b, ' ');
		ev_buf_z(b, p->item[i].text);
	}
}

void api_reply_problems(const struct api_ticket *t, const char *detail,
			const struct api_problems *p)
{
	char words[2048];
	struct ev_buf b = ev_buf_over(words, sizeof(words));

	if (detail != NULL)
		ev_buf_z(&b, detail);
	else
		describe(p, &b);
	reply_problem_with(t, 422, ev_buf_str(&b), p, NULL, 0);
}

void api_reply_bad_body(const struct api_ticket *t, const struct json_error *error,
			const struct api_problems *p)
{
	char text[ANSWER_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	if (p->n > 0) {
		api_reply_problems(t, NULL, p);
		return;
	}
	api_write_unreadable(&w, error);
	api_reply(t, 400, PROBLEM, NULL, 0, ev_buf_str(&b));
}

void api_reply_unauthorized(const struct api_ticket *t, enum access a)
{
	static const struct net_header challenge = { { "www-authenticate", 16 },
						     { ACCESS_CHALLENGE_API,
						       sizeof(ACCESS_CHALLENGE_API) - 1 } };
	int status = access_status(a);

	reply_problem_with(t, status, ev_str_from(access_text(a)), NULL, &challenge,
			   status == 401 ? 1 : 0);
}

void api_reply_err(const struct api_ticket *t, ev_err e, const char *missing)
{
	switch (e) {
	case EV_NOTFOUND:
		api_reply_problem(t, 404, missing);
		return;
	case EV_EXISTS:
	case EV_CONFLICT:
		api_reply_problem(t, 409, "it was changed meanwhile");
		return;
	case EV_DENIED:
		api_reply_problem(t, 403, "not allowed");
		return;
	case EV_FULL:
		api_reply_busy(t, "the disk is full; nothing was stored", 30);
		return;
	case EV_IO:
	case EV_NOMEM:
	case EV_CLOSED:
	case EV_BUSY:
	case EV_TIMEOUT:
		api_reply_busy(t, "the store does not answer; nothing was stored", 5);
		return;
	case EV_OK:
	case EV_INVALID:
	case EV_CORRUPT:
	case EV_UNSUPPORTED:
	case EV_ERR_COUNT:
		break;
	}
	api_reply_problem(t, 500, ev_err_text(e));
}
