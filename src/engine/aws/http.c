#include "engine/aws/http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/time.h"

#define FIRST_ROOM 4096 /* bytes for an answer; then twice as many, and so on */
#define KEEP_IDLE_S 55L /* below the minute at which load balancers drop idle connections */
#define NO_PROXY "*"

/* One request under way.  Transfers are kept for reuse; connections are the multi handle's. */
struct aws_http_transfer {
	CURL *easy;
	struct curl_slist *headers;
	struct aws_http_request *request;
	char *room;
	size_t n, cap;
	size_t head_n;
	bool too_large;
	struct aws_http_transfer *next; /* among the idle ones */
};

struct aws_http {
	CURLM *multi;
	char *ca_file;
	bool direct;
	unsigned max_in_flight;
	size_t n_running;
	struct ev_list done;
	struct aws_http_transfer *idle;
	struct aws_http_transfer **running; /* max_in_flight places, NULL where none is */
	atomic_bool woken;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void set_up_curl(void)
{
	curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

ev_err aws_http_new(const struct aws_http_config *config, struct aws_http **out)
{
	struct aws_http *h;

	if (config->max_in_flight == 0)
		return EV_INVALID;
	if (pthread_once(&curl_once, set_up_curl) != 0 || curl_ready != CURLE_OK)
		return EV_NOMEM;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return EV_NOMEM;
	h->direct = config->direct;
	h->max_in_flight = config->max_in_flight;
	h->multi = curl_multi_init();
	h->running = calloc(config->max_in_flight, sizeof(struct aws_http_transfer *));
	if (config->ca_file != NULL)
		h->ca_file = strdup(config->ca_file);
	if (h->multi == NULL || h->running == NULL ||
	    (config->ca_file != NULL && h->ca_file == NULL) ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)config->max_in_flight) !=
		    CURLM_OK) {
		aws_http_free(h);
		return EV_NOMEM;
	}
	*out = h;
	return EV_OK;
}

/* --- Transfers --- */

static void drop_room(struct aws_http_transfer *t)
{
	if (t->room != NULL && t->request != NULL && t->request->secret)
		OPENSSL_cleanse(t->room, t->cap);
	free(t->room);
	t->room = NULL;
	t->n = t->cap = 0;
}

static void transfer_free(struct aws_http_transfer *t)
{
	drop_room(t);
	curl_slist_free_all(t->headers);
	curl_easy_cleanup(t->easy);
	free(t);
}

static struct aws_http_transfer *transfer_take(struct aws_http *h)
{
	struct aws_http_transfer *t = h->idle;

	if (t != NULL) {
		h->idle = t->next;
		return t;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->easy = curl_easy_init();
	if (t->easy == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

/* Ready for the next request: all options and buffers of this one are gone. */
static void transfer_give_back(struct aws_http *h, struct aws_http_transfer *t)
{
	drop_room(t);
	curl_slist_free_all(t->headers);
	curl_easy_reset(t->easy);
	*t = (struct aws_http_transfer){ .easy = t->easy, .next = h->idle };
	h->idle = t;
}

static void leave_running(struct aws_http *h, struct aws_http_transfer *t)
{
	curl_multi_remove_handle(h->multi, t->easy);
	for (unsigned i = 0; i < h->max_in_flight; i++) {
		if (h->running[i] == t)
			h->running[i] = NULL;
	}
	h->n_running--;
	t->request->transfer = NULL;
}

void aws_http_free(struct aws_http *h)
{
	if (h == NULL)
		return;
	for (unsigned i = 0; h->running != NULL && i < h->max_in_flight; i++) {
		struct aws_http_transfer *t = h->running[i];

		if (t == NULL)
			continue;
		leave_running(h, t);
		transfer_free(t);
	}
	while (h->idle != NULL) {
		struct aws_http_transfer *t = h->idle;

		h->idle = t->next;
		transfer_free(t);
	}
	if (h->multi != NULL)
		curl_multi_cleanup(h->multi);
	free(h->running);
	free(h->ca_file);
	free(h);
}

size_t aws_http_n(const struct aws_http *h)
{
	return h->n_running + h->done.n;
}

bool aws_http_has_room(const struct aws_http *h)
{
	return h->n_running < h->max_in_flight;
}

/* --- What libcurl calls --- */

static bool make_room(struct aws_http_transfer *t, size_t needed)
{
	size_t max = t->request->max_answer + 1;
	size_t cap = t->cap == 0 ? FIRST_ROOM : t->cap;
	char *grown;

	if (needed <= t->cap)
		return true;
	while (cap < needed)
		cap *= 2;
	/* Keys are not left behind in blocks that a realloc has given back. */
	if (cap > max || t->request->secret)
		cap = max;
	grown = realloc(t->room, cap);
	if (grown == NULL)
		return false;
	t->room = grown;
	t->cap = cap;
	return true;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
	struct aws_http_transfer *t = user;
	size_t got = size * n;

	if (got > t->request->max_answer - t->n) {
		t->too_large = true;
		return 0;
	}
	if (!make_room(t, t->n + got + 1))
		return 0;
	memcpy(t->room + t->n, p, got);
	t->n += got;
	return got;
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
	struct aws_http_transfer *t = user;

	(void)p;
	t->head_n += size * n;
	if (t->head_n > AWS_HTTP_HEAD_MAX) {
		t->too_large = true;
		return 0;
	}
	return size * n;
}

/* --- Starting --- */

static bool add_header(struct aws_http_transfer *t, const struct aws_header *header)
{
	size_t n = header->name.n + 2 + header->value.n;
	struct curl_slist *list;
	char *line;

	if (header->name.n == 0 || header->value.n == 0 || !aws_header_safe(header->name) ||
	    !aws_header_safe(header->value))
		return false;
	line = malloc(n + 1);
	if (line == NULL)
		return false;
	memcpy(line, header->name.p, header->name.n);
	memcpy(line + header->name.n, ": ", 2);
	memcpy(line + header->name.n + 2, header->value.p, header->value.n);
	line[n] = '\0';
	list = curl_slist_append(t->headers, line);
	OPENSSL_cleanse(line, n);
	free(line);
	if (list == NULL)
		return false;
	t->headers = list;
	return true;
}

static bool add_headers(struct aws_http_transfer *t, const struct aws_http_request *r)
{
	/*
	 * Without "Expect: 100-continue" a large body does not wait for a second; the other two are
	 * libcurl's own habits.
	 */
	static const char *const unwanted[] = { "Expect:", "Accept:", "Content-Type:" };
	bool has[EV_ARRAY_LEN(unwanted)] = { false };

	for (size_t i = 0; i < r->n_headers; i++) {
		if (!add_header(t, &r->headers[i]))
			return false;
		for (size_t k = 0; k < EV_ARRAY_LEN(unwanted); k++) {
			struct ev_str name = { unwanted[k], strlen(unwanted[k]) - 1 };

			has[k] = has[k] || ev_str_eq_nocase(name, r->headers[i].name);
		}
	}
	for (size_t k = 0; k < EV_ARRAY_LEN(unwanted); k++) {
		struct curl_slist *list = has[k] ? t->headers
						 : curl_slist_append(t->headers, unwanted[k]);

		if (list == NULL && !has[k])
			return false;
		t->headers = list;
	}
	return true;
}

static bool set_method(CURL *easy, const struct aws_http_request *r)
{
	CURLcode c = CURLE_OK;

	if (r->method == AWS_HTTP_GET)
		return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
	c = curl_easy_setopt(easy, CURLOPT_POST, 1L);
	if (c == CURLE_OK)
		c = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.n > 0 ? r->body.p : "");
	if (c == CURLE_OK)
		c = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
	if (c == CURLE_OK && r->method == AWS_HTTP_PUT)
		c = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PUT");
	return c == CURLE_OK;
}

#define SET(option, value) (curl_easy_setopt(easy, option, value) == CURLE_OK)

static bool set_callbacks(CURL *easy, struct aws_http_transfer *t)
{
	return SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, t) &&
	       SET(CURLOPT_HEADERFUNCTION, on_header) && SET(CURLOPT_HEADERDATA, t) &&
	       SET(CURLOPT_PRIVATE, t);
}

static bool set_options(const struct aws_http *h, struct aws_http_transfer *t)
{
	const struct aws_http_request *r = t->request;
	CURL *easy = t->easy;

	return SET(CURLOPT_URL, r->url) && SET(CURLOPT_HTTPHEADER, t->headers) &&
	       SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
	       SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms) &&
	       SET(CURLOPT_TIMEOUT_MS, (long)r->total_ms) && SET(CURLOPT_TCP_KEEPALIVE, 1L) &&
	       SET(CURLOPT_MAXAGE_CONN, KEEP_IDLE_S) &&
	       SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       (h->ca_file == NULL || SET(CURLOPT_CAINFO, h->ca_file)) &&
	       (!h->direct || SET(CURLOPT_NOPROXY, NO_PROXY)) && set_method(easy, r) &&
	       set_callbacks(easy, t);
}

#undef SET

static bool is_sound(const struct aws_http_request *r)
{
	if (r->n_headers > AWS_HTTP_HEADERS_MAX || r->total_ms == 0 || r->connect_ms == 0 ||
	    r->max_answer > AWS_HTTP_ANSWER_MAX)
		return false;
	for (size_t i = 0; i < r->n_headers; i++) {
		const struct aws_header *header = &r->headers[i];

		if (header->name.n == 0 || header->value.n == 0 || !aws_header_safe(header->name) ||
		    !aws_header_safe(header->value))
			return false;
	}
	return true;
}

ev_err aws_http_submit(struct aws_http *h, struct aws_http_request *r)
{
	struct aws_http_transfer *t;

	if (!is_sound(r))
		return EV_INVALID;
	if (!aws_http_has_room(h))
		return EV_FULL;
	t = transfer_take(h);
	if (t == NULL)
		return EV_NOMEM;
	aws_http_clear(r);
	t->request = r;
	if (!add_headers(t, r) || !set_options(h, t) ||
	    curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) {
		transfer_give_back(h, t);
		return EV_NOMEM;
	}
	r->transfer = t;
	for (unsigned i = 0; i < h->max_in_flight; i++) {
		if (h->running[i] == NULL) {
			h->running[i] = t;
			break;
		}
	}
	h->n_running++;
	return EV_OK;
}

/* --- Ending --- */

static ev_err map_curl(CURLcode c)
{
	switch ((int)c) {
	case CURLE_OK:
		return EV_OK;
	case CURLE_OPERATION_TIMEDOUT:
		return EV_TIMEOUT;
	case CURLE_OUT_OF_MEMORY:
		return EV_NOMEM;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return EV_DENIED;
	case CURLE_URL_MALFORMAT:
		return EV_INVALID;
	default: /* CURLE_UNSUPPORTED_PROTOCOL too: what came back was not HTTP */
		return EV_IO;
	}
}

static bool keep_header(CURL *easy, const char *name, char out[AWS_HTTP_VALUE])
{
	struct curl_header *header;
	size_t n;

	out[0] = '\0';
	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return false;
	n = strlen(header->value);
	if (n >= AWS_HTTP_VALUE)
		n = AWS_HTTP_VALUE - 1;
	memcpy(out, header->value, n);
	out[n] = '\0';
	return true;
}

static void keep_head(CURL *easy, struct aws_http_head *head)
{
	(void)keep_header(easy, "Date", head->date);
	if (!keep_header(easy, "x-amzn-requestid", head->request_id))
		(void)keep_header(easy, "x-amz-request-id", head->request_id);
	(void)keep_header(easy, "x-amzn-query-error", head->query_error);
	(void)keep_header(easy, "x-amz-crc32", head->crc32);
	(void)keep_header(easy, "x-amz-retry-after", head->retry_after);
}

static ev_err take_answer(struct aws_http_transfer *t)
{
	struct aws_http_request *r = t->request;
	long status = 0;

	if (curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status < 100)
		return EV_IO;
	if (!make_room(t, t->n + 1))
		return EV_NOMEM;
	t->room[t->n] = '\0';
	r->status = (int)status;
	keep_head(t->easy, &r->head);
	r->answer = (struct ev_str){ t->room, t->n };
	t->room = NULL;
	t->n = t->cap = 0;
	return EV_OK;
}

static void finish(struct aws_http *h, CURL *easy, CURLcode result)
{
	struct aws_http_transfer *t = NULL;
	struct aws_http_request *r;

	if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t) != CURLE_OK || t == NULL)
		return;
	r = t->request;
	r->sys = (int)result;
	r->err = t->too_large ? EV_FULL : map_curl(result);
	if (r->err == EV_OK)
		r->err = take_answer(t);
	leave_running(h, t);
	transfer_give_back(h, t);
	ev_list_push(&h->done, &r->node);
}

static void reap(struct aws_http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		if (m->msg == CURLMSG_DONE)
			finish(h, m->easy_handle, m->data.result);
	}
}

static struct aws_http_request *request_of(struct ev_node *node)
{
	return (struct aws_http_request *)(void *)((char *)node -
						   offsetof(struct aws_http_request, node));
}

static int64_t now_ms(void)
{
	return ev_clock_mono_ns(ev_clock_os()) / EV_NS_PER_MS;
}

/* What there is to do without waiting; EV_TIMEOUT if nothing came of it. */
static ev_err turn(struct aws_http *h, struct aws_http_request **out)
{
	struct ev_node *node;
	int running;

	if (curl_multi_perform(h->multi, &running) != CURLM_OK)
		return EV_IO;
	reap(h);
	node = ev_list_pop(&h->done);
	if (node == NULL)
		return h->n_running == 0 ? EV_NOTFOUND : EV_TIMEOUT;
	*out = request_of(node);
	return EV_OK;
}

ev_err aws_http_poll(struct aws_http *h, int timeout_ms, struct aws_http_request **out)
{
	int64_t end = now_ms() + timeout_ms;

	for (;;) {
		ev_err err = turn(h, out);
		int64_t left = end - now_ms();

		if (err != EV_TIMEOUT)
			return err;
		if (atomic_exchange(&h->woken, false))
			return EV_BUSY;
		if (left <= 0)
			return EV_TIMEOUT;
		if (curl_multi_poll(h->multi, NULL, 0, (int)left, NULL) != CURLM_OK)
			return EV_IO;
	}
}

ev_err aws_http_wait(struct aws_http *h, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;

	for (;;) {
		int64_t left = end - now_ms();

		if (atomic_exchange(&h->woken, false))
			return EV_BUSY;
		if (left <= 0)
			return EV_TIMEOUT;
		(void)curl_multi_poll(h->multi, NULL, 0, (int)left, NULL);
	}
}

void aws_http_wake(struct aws_http *h)
{
	atomic_store(&h->woken, true);
	(void)curl_multi_wakeup(h->multi); /* fails only if there is no pipe to wake it by */
}

void aws_http_cancel(struct aws_http *h, struct aws_http_request *r)
{
	struct ev_list rest = { NULL, NULL, 0 };
	struct ev_node *node;

	if (r->transfer != NULL) {
		struct aws_http_transfer *t = r->transfer;

		leave_running(h, t);
		transfer_give_back(h, t);
		return;
	}
	while ((node = ev_list_pop(&h->done)) != NULL) {
		if (node != &r->node)
			ev_list_push(&rest, node);
	}
	h->done = rest;
}

/* --- Batches --- */

struct run {
	struct aws_http *h;
	struct aws_http_request *requests;
	size_t n, next, n_done;
	struct ev_list others;
};

static void run_start(struct run *run)
{
	while (run->next < run->n && aws_http_has_room(run->h)) {
		struct aws_http_request *r = &run->requests[run->next++];

		r->err = aws_http_submit(run->h, r);
		if (r->err != EV_OK)
			run->n_done++;
	}
}

/* One of ours, or somebody else's that was done meanwhile. */
static void run_take(struct run *run, struct aws_http_request *r)
{
	if (r >= run->requests && r < run->requests + run->n)
		run->n_done++;
	else
		ev_list_push(&run->others, &r->node);
}

static void run_give_up(struct run *run, ev_err why)
{
	struct ev_node *node;

	while ((node = ev_list_pop(&run->h->done)) != NULL)
		run_take(run, request_of(node));
	for (size_t i = 0; i < run->n; i++) {
		struct aws_http_request *r = &run->requests[i];

		if (i < run->next && r->transfer == NULL)
			continue;
		if (r->transfer != NULL)
			aws_http_cancel(run->h, r);
		r->err = why;
	}
}

void aws_http_run(struct aws_http *h, struct aws_http_request requests[], size_t n, int timeout_ms)
{
	struct run run = { .h = h, .requests = requests, .n = n };
	int64_t end = now_ms() + timeout_ms;
	bool woken = false;
	ev_err err = EV_OK;

	for (;;) {
		struct aws_http_request *r;
		int64_t left = end - now_ms();

		run_start(&run);
		if (run.n_done == n || left <= 0 || err == EV_IO)
			break;
		err = aws_http_poll(h, (int)left, &r);
		woken = woken || err == EV_BUSY;
		if (err == EV_OK)
			run_take(&run, r);
	}
	if (run.n_done < n)
		run_give_up(&run, err == EV_IO ? EV_IO : EV_TIMEOUT);
	ev_list_join(&run.others, &h->done);
	h->done = run.others;
	if (woken)
		atomic_store(&h->woken, true);
}

void aws_http_clear(struct aws_http_request *r)
{
	char *room = (char *)(uintptr_t)r->answer.p;

	if (room != NULL && r->secret)
		OPENSSL_cleanse(room, r->answer.n);
	free(room);
	r->answer = (struct ev_str){ NULL, 0 };
	r->head = (struct aws_http_head){ .date = "" };
	r->status = r->sys = 0;
}
