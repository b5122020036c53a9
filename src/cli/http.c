#include "cli/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define CONNECT_SECONDS 10L
#define HEADER_MAX 512

struct body {
	char *p;
	size_t n, cap;
};

/* One request under way: the handle, and what must live as long. */
struct call {
	CURL *easy;
	struct curl_slist *headers;
	struct body in;
	struct body sent;
	char error[CURL_ERROR_SIZE];
	/* of the pool */
	http_done_fn *done;
	void *user;
	struct call *next;
};

void http_response_deinit(struct http_response *r)
{
	free(r->body);
	*r = (struct http_response){ .body = NULL };
}

ev_err http_setup(struct ev_fail *fail)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return ev_fail_set(fail, EV_NOMEM, 0, "libcurl cannot be set up");
	return EV_OK;
}

static bool body_add(struct body *b, const void *p, size_t n)
{
	if (n > HTTP_BODY_MAX - b->n)
		return false;
	if (b->n + n + 1 > b->cap) {
		size_t cap = (b->n + n + 1) * 2;
		char *grown = realloc(b->p, cap);

		if (grown == NULL)
			return false;
		b->p = grown;
		b->cap = cap;
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return true;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
	return body_add(user, p, size * n) ? size * n : 0; /* 0 ends the request with an error */
}

static void call_free(struct call *c)
{
	if (c == NULL)
		return;
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	free(c->in.p);
	free(c->sent.p);
	free(c);
}

static void call_freep(struct call **c)
{
	call_free(*c);
	*c = NULL;
}

static bool add_header(struct call *c, const char *name, const char *value)
{
	char line[HEADER_MAX];
	int n = snprintf(line, sizeof(line), "%s: %s", name, value);
	struct curl_slist *grown;

	if (n < 0 || (size_t)n >= sizeof(line))
		return false;
	grown = curl_slist_append(c->headers, line);
	if (grown == NULL)
		return false;
	c->headers = grown;
	return true;
}

static bool set_up_headers(struct call *c, const struct http_request *q)
{
	char bearer[HEADER_MAX - 32];

	if (!add_header(c, "Accept", "application/json"))
		return false;
	if (q->body.p != NULL && !add_header(c, "Content-Type", "application/json"))
		return false;
	if (q->token == NULL)
		return true;
	int n = snprintf(bearer, sizeof(bearer), "Bearer %s", q->token);

	return n > 0 && (size_t)n < sizeof(bearer) && add_header(c, "Authorization", bearer);
}

static bool set_up(struct call *c, const struct http_request *q)
{
	CURL *e = c->easy;
	bool ok = set_up_headers(c, q);

	ok = ok && curl_easy_setopt(e, CURLOPT_URL, q->url) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_TIMEOUT, (long)HTTP_ANSWER_SECONDS) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_WRITEDATA, &c->in) == CURLE_OK;
	/* A proxy of the environment is for the world outside, not for our own machines' APIs. */
	ok = ok && curl_easy_setopt(e, CURLOPT_NOPROXY, "*") == CURLE_OK;
	if (q->ca != NULL)
		ok = ok && curl_easy_setopt(e, CURLOPT_CAINFO, q->ca) == CURLE_OK;
	if (q->body.p == NULL)
		return ok;
	ok = ok && body_add(&c->sent, q->body.p, q->body.n);
	ok = ok && curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)c->sent.n) == CURLE_OK;
	return ok && curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->sent.p) == CURLE_OK;
}

static struct call *call_new(const struct http_request *q)
{
	EV_CLEANUP(call_freep) struct call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->easy = curl_easy_init();
	if (c->easy == NULL || !set_up(c, q))
		return NULL;
	struct call *made = c;

	c = NULL;
	return made;
}

static ev_err map_error(CURLcode code)
{
	switch ((int)code) { /* of the many codes, those that ask for different doings */
	case CURLE_OK:
		return EV_OK;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return EV_CLOSED;
	case CURLE_OPERATION_TIMEDOUT:
		return EV_TIMEOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return EV_DENIED;
	case CURLE_OUT_OF_MEMORY:
		return EV_NOMEM;
	default:
		return EV_IO;
	}
}

static ev_err fail_with(const struct call *c, CURLcode code, struct ev_fail *fail)
{
	const char *text = c->error[0] != '\0' ? c->error : curl_easy_strerror(code);

	return ev_fail_set(fail, map_error(code), (int)code, "%s", text);
}

static long status_of(CURL *easy)
{
	long status = 0;

	(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status); /* stays 0 on failure */
	return status;
}

ev_err http_call(const struct http_request *q, struct http_response *out, struct ev_fail *fail)
{
	EV_CLEANUP(call_freep) struct call *c = call_new(q);

	if (c == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "the request cannot be made");
	CURLcode code = curl_easy_perform(c->easy);

	if (code != CURLE_OK)
		return fail_with(c, code, fail);
	*out = (struct http_response){ .status = status_of(c->easy),
				       .body = c->in.p,
				       .n = c->in.n };
	c->in.p = NULL;
	return EV_OK;
}

/* --- Streams --- */

struct stream {
	struct call *call;
	http_bytes_fn *on_bytes;
	void *user;
	bool ended; /* by on_bytes */
};

static size_t on_stream(char *p, size_t size, size_t n, void *user)
{
	struct stream *s = user;

	if (status_of(s->call->easy) != 200)
		return size * n; /* an error's text is not for on_bytes */
	if (s->on_bytes(s->user, (struct ev_str){ p, size * n }))
		return size * n;
	s->ended = true;
	return 0;
}

static bool set_up_stream(struct stream *s, const char *last_event_id, long quiet_seconds)
{
	CURL *e = s->call->easy;

	if (last_event_id[0] != '\0' && !add_header(s->call, "Last-Event-ID", last_event_id))
		return false;
	return curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->call->headers) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_stream) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEDATA, s) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_TIMEOUT, 0L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, quiet_seconds) == CURLE_OK;
}

ev_err http_stream(const struct http_request *q, const char *last_event_id, long quiet_seconds,
		   http_bytes_fn *on_bytes, void *user, long *out_status, struct ev_fail *fail)
{
	EV_CLEANUP(call_freep) struct call *c = call_new(q);
	struct stream s = { .call = c, .on_bytes = on_bytes, .user = user };

	if (c == NULL || !set_up_stream(&s, last_event_id, quiet_seconds))
		return ev_fail_set(fail, EV_NOMEM, 0, "the request cannot be made");
	CURLcode code = curl_easy_perform(c->easy);

	*out_status = status_of(c->easy);
	if (s.ended)
		return EV_OK;
	if (code != CURLE_OK)
		return fail_with(c, code, fail);
	if (*out_status != 200)
		return ev_fail_set(fail, EV_DENIED, 0, "the server answered %ld", *out_status);
	return ev_fail_set(fail, EV_CLOSED, 0, "the server ended the stream");
}

/* --- The pool --- */

struct http_pool {
	CURLM *multi;
	size_t max_parallel, n_running, n_waiting;
	struct call *running; /* a list, so that they can be given up */
	struct call *waiting, **waiting_end;
};

ev_err http_pool_new(struct http_pool **out, size_t max_parallel)
{
	struct http_pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return EV_NOMEM;
	p->max_parallel = max_parallel;
	p->waiting_end = &p->waiting;
	p->multi = curl_multi_init();
	if (p->multi == NULL) {
		free(p);
		return EV_NOMEM;
	}
	*out = p;
	return EV_OK;
}

static void free_all(struct call *c)
{
	while (c != NULL) {
		struct call *next = c->next;

		call_free(c);
		c = next;
	}
}

void http_pool_free(struct http_pool *p)
{
	if (p == NULL)
		return;
	for (struct call *c = p->running; c != NULL; c = c->next)
		(void)curl_multi_remove_handle(p->multi, c->easy); /* it is ours for certain */
	free_all(p->running);
	free_all(p->waiting);
	(void)curl_multi_cleanup(p->multi); /* a bad handle is the only failure */
	free(p);
}

ev_err http_pool_start(struct http_pool *p, const struct http_request *q, http_done_fn *done,
		       void *user)
{
	struct call *c = call_new(q);

	if (c == NULL)
		return EV_NOMEM;
	c->done = done;
	c->user = user;
	*p->waiting_end = c;
	p->waiting_end = &c->next;
	p->n_waiting++;
	return EV_OK;
}

static void finish(struct http_pool *p, struct call *c, CURLcode code)
{
	struct call **at = &p->running;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	p->n_running--;
	if (code == CURLE_OK)
		c->done(c->user, status_of(c->easy), (struct ev_str){ c->in.p, c->in.n });
	else
		c->done(c->user, 0, ev_str_from(c->error));
	call_free(c);
}

static void start_waiting(struct http_pool *p)
{
	while (p->waiting != NULL && p->n_running < p->max_parallel) {
		struct call *c = p->waiting;

		p->waiting = c->next;
		if (p->waiting == NULL)
			p->waiting_end = &p->waiting;
		p->n_waiting--;
		c->next = p->running;
		p->running = c;
		p->n_running++;
		bool added = curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c) == CURLE_OK &&
			     curl_multi_add_handle(p->multi, c->easy) == CURLM_OK;

		if (!added)
			finish(p, c, CURLE_OUT_OF_MEMORY);
	}
}

static void reap(struct http_pool *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		CURL *easy = m->easy_handle; /* m is gone with the removal */
		void *call = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call); /* set by start_waiting */
		(void)curl_multi_remove_handle(p->multi, easy);
		finish(p, call, code);
	}
}

void http_pool_turn(struct http_pool *p, int max_wait_ms)
{
	int running = 0;

	start_waiting(p);
	if (p->n_running == 0)
		return;
	(void)curl_multi_perform(p->multi, &running); /* failures show in the messages */
	if (running > 0 && max_wait_ms > 0 && (size_t)running == p->n_running) {
		(void)curl_multi_poll(p->multi, NULL, 0, max_wait_ms, NULL);
		(void)curl_multi_perform(p->multi, &running);
	}
	reap(p);
	start_waiting(p);
}

size_t http_pool_pending(const struct http_pool *p)
{
	return p->n_running + p->n_waiting;
}
