#include "engine/aws/client.h"

#include <stdlib.h>

#include <zlib.h>

#include "base/num.h"
#include "base/time.h"
#include "engine/aws/http.h"
#include "engine/aws/sigv4.h"
#include "engine/aws/skew.h"

#define AUTHORIZATION_MAX 1024
#define TARGET_MAX 96
#define HEADERS_MAX 10
#define POLL_MAX_MS 60000
#define USER_AGENT "evcharge"

static const struct {
	const char *target; /* before the operation */
	const char *content_type;
} protocols[] = {
	[AWS_SQS] = { "AmazonSQS.", "application/x-amz-json-1.0" },
	[AWS_KINESIS] = { "Kinesis_20131202.", "application/x-amz-json-1.1" },
	[AWS_DYNAMODB] = { "DynamoDB_20120810.", "application/x-amz-json-1.0" },
};
#define N_SERVICES EV_ARRAY_LEN(protocols)

struct aws_client {
	struct aws_caller base; /* first */
	struct aws_credentials *credentials;
	struct ev_clock *clock;
	struct ev_rng *rng;
	struct aws_pause pause;
	struct aws_retry_rules rules;
	struct aws_retry_tokens tokens;
	struct aws_http *http;
	unsigned max_calls, connect_ms, attempt_ms;
	size_t max_answer;
	size_t n_calls;
	struct ev_list waiting; /* runs: for their time, or for room */
	struct ev_list flying;  /* runs: sent */
	struct ev_list done;    /* calls */
	struct aws_client_stats stats;
	char region[AWS_REGION_MAX + 1];
	struct aws_endpoint endpoints[N_SERVICES];
};

/* A call under way. */
struct aws_call_run {
	struct ev_node node;
	struct aws_call *call;
	struct aws_http_request http;
	const struct aws_keys *keys; /* of the last attempt */
	struct aws_retry_rules rules;
	struct aws_retry retry;
	int64_t due_ns;    /* monotonic */
	int64_t offset_ns; /* of the clock that the last attempt was signed by */
	bool renewed, clock_was_set;
	char target[TARGET_MAX];
	char date[AWS_DATE_TEXT];
	char invocation[EV_UUID_TEXT + 1];
	char attempt[48];
	char authorization[AUTHORIZATION_MAX];
	struct aws_header headers[HEADERS_MAX];
};

static const struct aws_caller_ops caller_ops;

struct aws_client_config aws_client_defaults(void)
{
	return (struct aws_client_config){
		.retry = aws_retry_standard(),
		.max_in_flight = 16,
		.max_calls = 256,
		.connect_ms = 5000,
		.attempt_ms = 10000,
		.max_answer = (size_t)12 * 1024 * 1024, /* GetRecords: 10 MiB, and its JSON */
	};
}

static ev_err resolve(struct aws_client *c, const struct aws_client_config *config,
		      struct ev_fail *fail)
{
	EV_CLEANUP(aws_profiles_freep) struct aws_profiles *profiles = NULL;
	struct ev_str profile = config->profile != NULL ? ev_str_from(config->profile)
							: aws_profile_name(&config->env);
	ev_err err = aws_profiles_load(&config->env, &profiles, fail);

	if (err == EV_OK)
		err = aws_region_resolve(&config->env, profiles, profile, c->region, fail);
	for (size_t i = 0; err == EV_OK && i < N_SERVICES; i++)
		err = aws_endpoint_resolve((enum aws_service)i, c->region, &config->env, profiles,
					   profile, &c->endpoints[i], fail);
	return err;
}

static ev_err fill(struct aws_client *c, const struct aws_client_config *config,
		   struct ev_fail *fail)
{
	struct aws_http_config http = { .max_in_flight = config->max_in_flight,
					.ca_file = config->ca_file };
	ev_err err;

	c->credentials = config->credentials;
	c->clock = config->clock;
	c->rng = config->rng;
	c->base.ops = &caller_ops;
	c->pause = config->pause;
	c->rules = config->retry;
	c->tokens = aws_retry_full();
	c->max_calls = config->max_calls;
	c->connect_ms = config->connect_ms;
	c->attempt_ms = config->attempt_ms;
	c->max_answer = config->max_answer;
	err = resolve(c, config, fail);
	if (err != EV_OK)
		return err;
	err = aws_http_new(&http, &c->http);
	if (err != EV_OK)
		return ev_fail_set(fail, err, 0, "libcurl cannot be set up");
	return EV_OK;
}

ev_err aws_client_new(const struct aws_client_config *config, struct aws_client **out,
		      struct ev_fail *fail)
{
	struct aws_client *c = calloc(1, sizeof(*c));
	ev_err err;

	if (c == NULL)
		return ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	err = fill(c, config, fail);
	if (err == EV_OK)
		*out = c;
	else
		aws_client_free(c);
	return err;
}

/* --- Lists --- */

static struct aws_call_run *run_of(struct ev_node *node)
{
	return (struct aws_call_run *)(void *)((char *)node - offsetof(struct aws_call_run, node));
}

static struct aws_call_run *run_of_http(struct aws_http_request *r)
{
	return (struct aws_call_run *)(void *)((char *)r - offsetof(struct aws_call_run, http));
}

static struct aws_call *call_of(struct ev_node *node)
{
	return (struct aws_call *)(void *)((char *)node - offsetof(struct aws_call, node));
}

/* True if it was there.  Lists are as short as max_calls. */
static bool list_remove(struct ev_list *l, const struct ev_node *wanted)
{
	struct ev_list rest = { NULL, NULL, 0 };
	struct ev_node *node;
	bool found = false;

	while ((node = ev_list_pop(l)) != NULL) {
		if (node == wanted)
			found = true;
		else
			ev_list_push(&rest, node);
	}
	*l = rest;
	return found;
}

static void run_free(struct aws_call_run *run)
{
	aws_keys_unref(run->keys);
	aws_http_clear(&run->http);
	free(run);
}

static void free_runs(struct ev_list *l)
{
	struct ev_node *node;

	while ((node = ev_list_pop(l)) != NULL) {
		run_of(node)->call->run = NULL;
		run_free(run_of(node));
	}
}

void aws_client_free(struct aws_client *c)
{
	if (c == NULL)
		return;
	aws_http_free(c->http); /* before what its requests point into */
	free_runs(&c->waiting);
	free_runs(&c->flying);
	free(c);
}

const char *aws_client_region(const struct aws_client *c)
{
	return c->region;
}

const struct aws_endpoint *aws_client_endpoint(const struct aws_client *c, enum aws_service s)
{
	return &c->endpoints[s];
}

/* --- Ending a call --- */

static void finish(struct aws_client *c, struct aws_call_run *run, ev_err err)
{
	struct aws_call *call = run->call;

	if (err != EV_OK)
		c->stats.failed++;
	call->err = err;
	call->answer = run->http.answer;
	run->http.answer = (struct ev_str){ NULL, 0 };
	call->run = NULL;
	run_free(run);
	ev_list_push(&c->done, &call->node);
}

/* At once if the call's end comes before its next attempt. */
static void wait_or_finish(struct aws_client *c, struct aws_call_run *run, int64_t delay_ns)
{
	const struct aws_call *call = run->call;

	run->due_ns = ev_clock_mono_ns(c->clock) + delay_ns;
	if (call->deadline_ns != 0 && run->due_ns >= call->deadline_ns)
		finish(c, run, aws_error_map(call->error.kind));
	else
		ev_list_push(&c->waiting, &run->node);
}

static int64_t asked_ns(const struct aws_http_request *r)
{
	uint64_t ms;

	if (r->err != EV_OK || num_parse_u64(ev_str_from(r->head.retry_after), &ms) != EV_OK)
		return 0;
	return ms <= 60000 ? (int64_t)ms * EV_NS_PER_MS : 60 * EV_NS_PER_S;
}

static void failed(struct aws_client *c, struct aws_call_run *run)
{
	enum aws_error_kind kind = run->call->error.kind;
	int64_t delay_ns;

	if (!aws_retry_again(&run->rules, &c->tokens, &run->retry, kind, asked_ns(&run->http),
			     c->rng, &delay_ns)) {
		finish(c, run, aws_error_map(kind));
		return;
	}
	c->stats.retries++;
	wait_or_finish(c, run, delay_ns);
}

/* --- Judging an answer --- */

static bool checksum_ok(const struct aws_http_request *r)
{
	uint64_t wanted;

	if (r->head.crc32[0] == '\0')
		return true;
	return num_parse_u64(ev_str_from(r->head.crc32), &wanted) == EV_OK &&
	       wanted == crc32_z(crc32_z(0, NULL, 0), (const Bytef *)r->answer.p, r->answer.n);
}

static void judge_failure(struct aws_client *c, const struct aws_http_request *r,
			  struct aws_error *e)
{
	if (r->err == EV_TIMEOUT) {
		aws_error_local(AWS_ERROR_TIMED_OUT, "TimedOut", "no answer in time", e);
	} else if (r->err == EV_FULL) {
		c->stats.too_large++;
		aws_error_local(AWS_ERROR_BAD_ANSWER, "TooLarge", "the answer is too large", e);
	} else if (r->err == EV_DENIED) {
		aws_error_local(AWS_ERROR_DENIED, "Certificate",
				"the service's certificate is not trusted", e);
	} else {
		aws_error_local(AWS_ERROR_TRANSIENT, "Connection", "the connection failed", e);
	}
}

static void judge(struct aws_client *c, const struct aws_http_request *r, struct aws_error *e)
{
	if (r->err != EV_OK) {
		judge_failure(c, r, e);
	} else if (!checksum_ok(r)) {
		c->stats.bad_checksums++;
		aws_error_local(AWS_ERROR_TRANSIENT, "Checksum", "the answer's checksum is wrong",
				e);
	} else if (r->status >= 200 && r->status < 300) {
		*e = (struct aws_error){ .status = r->status };
	} else {
		aws_error_parse(r->status, ev_str_from(r->head.query_error),
				ev_str_from(r->head.request_id), r->answer, e);
	}
}

static void count(struct aws_client *c, enum aws_error_kind kind)
{
	c->stats.throttled += kind == AWS_ERROR_THROTTLED;
	c->stats.timed_out += kind == AWS_ERROR_TIMED_OUT;
	c->stats.transient += kind == AWS_ERROR_TRANSIENT;
}

static void set_clock(struct aws_client *c, const struct aws_http_request *r)
{
	if (r->err == EV_OK &&
	    aws_skew_correct(ev_str_from(r->head.date), ev_clock_wall_ns(c->clock),
			     &c->stats.clock_offset_ns))
		c->stats.clock_sets++;
}

/* An error that is ours to mend, once: the clock's or the keys'. */
static bool mend(struct aws_client *c, struct aws_call_run *run)
{
	enum aws_error_kind kind = run->call->error.kind;

	if (kind == AWS_ERROR_SIGNATURE && !run->clock_was_set &&
	    run->offset_ns != c->stats.clock_offset_ns) {
		run->clock_was_set = true;
		return true;
	}
	if (kind == AWS_ERROR_EXPIRED_TOKEN && !run->renewed) {
		run->renewed = true;
		c->stats.renewals++;
		aws_credentials_reject(c->credentials, run->keys);
		return true;
	}
	return false;
}

static void answered(struct aws_client *c, struct aws_call_run *run)
{
	struct aws_error *e = &run->call->error;

	(void)list_remove(&c->flying, &run->node);
	set_clock(c, &run->http);
	judge(c, &run->http, e);
	count(c, e->kind);
	if (e->kind == AWS_ERROR_NONE) {
		aws_retry_won(&c->tokens, &run->retry);
		finish(c, run, EV_OK);
	} else if (run->http.err == EV_NOMEM) {
		finish(c, run, EV_NOMEM);
	} else if (mend(c, run)) {
		wait_or_finish(c, run, 0);
	} else {
		failed(c, run);
	}
}

/* --- An attempt --- */

static void put_header(struct aws_call_run *run, const char *name, struct ev_str value)
{
	if (value.n > 0)
		run->headers[run->http.n_headers++] = (struct aws_header){ ev_str_from(name),
									   value };
}

static void write_attempt(struct aws_call_run *run)
{
	struct ev_buf b = ev_buf_over(run->attempt, sizeof(run->attempt) - 1);

	ev_buf_z(&b, "attempt=");
	ev_buf_u64(&b, run->call->attempts);
	ev_buf_z(&b, "; max=");
	ev_buf_u64(&b, run->rules.max_attempts);
	run->attempt[b.len] = '\0';
}

static ev_err sign(struct aws_client *c, struct aws_call_run *run)
{
	enum aws_service service = run->call->service;
	struct ev_buf b = ev_buf_over(run->authorization, sizeof(run->authorization));
	struct aws_signing in = {
		.method = EV_LIT("POST"),
		.path = EV_LIT("/"),
		.headers = run->headers,
		.body = run->call->body,
		.region = ev_str_from(c->region),
		.service = ev_str_from(aws_service_name(service)),
		.key_id = run->keys->id,
		.secret = run->keys->secret,
	};
	ev_err err;

	run->offset_ns = c->stats.clock_offset_ns;
	in.at_ns = ev_clock_wall_ns(c->clock) + run->offset_ns;
	aws_date_text(in.at_ns, run->date);
	run->http.n_headers = 0;
	put_header(run, "Host", ev_str_from(c->endpoints[service].host));
	put_header(run, "Content-Type", ev_str_from(protocols[service].content_type));
	put_header(run, "X-Amz-Target", ev_str_from(run->target));
	put_header(run, "X-Amz-Date", ev_str_from(run->date));
	put_header(run, "X-Amz-Security-Token", run->keys->token);
	put_header(run, "amz-sdk-invocation-id", ev_str_from(run->invocation));
	put_header(run, "amz-sdk-request", ev_str_from(run->attempt));
	if (service == AWS_SQS)
		put_header(run, "x-amzn-query-mode", EV_LIT("true"));
	in.n_headers = run->http.n_headers;
	err = aws_sign(&in, &b);
	put_header(run, "User-Agent", EV_LIT(USER_AGENT));
	put_header(run, "Authorization", ev_buf_str(&b));
	return err;
}

static unsigned attempt_ms(const struct aws_client *c, const struct aws_call *call)
{
	unsigned ms = call->attempt_ms > 0 ? call->attempt_ms : c->attempt_ms;
	int64_t left = (call->deadline_ns - ev_clock_mono_ns(c->clock)) / EV_NS_PER_MS + 1;

	return call->deadline_ns == 0 || left >= (int64_t)ms ? ms : (unsigned)left;
}

static ev_err send_now(struct aws_client *c, struct aws_call_run *run)
{
	struct aws_http_request *r = &run->http;
	ev_err err;

	run->call->attempts++;
	c->stats.attempts++;
	write_attempt(run);
	err = sign(c, run);
	if (err != EV_OK)
		return err;
	r->method = AWS_HTTP_POST;
	r->url = c->endpoints[run->call->service].url;
	r->headers = run->headers;
	r->body = run->call->body;
	r->connect_ms = c->connect_ms;
	r->total_ms = attempt_ms(c, run->call);
	r->max_answer = c->max_answer;
	return aws_http_submit(c->http, r);
}

/* Without keys there is no attempt; credentials have their own way of trying again. */
static bool has_keys(struct aws_client *c, struct aws_call_run *run)
{
	struct ev_fail fail = { .code = EV_IO };
	enum aws_error_kind kind = AWS_ERROR_DENIED;
	ev_err err;

	aws_keys_unref(run->keys);
	run->keys = NULL;
	err = aws_credentials_get(c->credentials, &run->keys, &fail);
	if (err == EV_OK)
		return true;
	if (err == EV_IO || err == EV_TIMEOUT)
		kind = AWS_ERROR_TRANSIENT;
	aws_error_local(kind, "NoCredentials", fail.text, &run->call->error);
	finish(c, run, err == EV_NOMEM ? EV_NOMEM : aws_error_map(kind));
	return false;
}

static void attempt(struct aws_client *c, struct aws_call_run *run)
{
	const struct aws_call *call = run->call;
	ev_err err;

	if (call->deadline_ns != 0 && ev_clock_mono_ns(c->clock) >= call->deadline_ns) {
		if (call->error.kind == AWS_ERROR_NONE)
			aws_error_local(AWS_ERROR_TIMED_OUT, "TimedOut", "no time was left",
					&run->call->error);
		finish(c, run, aws_error_map(run->call->error.kind));
		return;
	}
	if (!has_keys(c, run))
		return;
	err = send_now(c, run);
	if (err == EV_OK) {
		ev_list_push(&c->flying, &run->node);
		return;
	}
	aws_error_local(AWS_ERROR_OTHER, "NotSent", ev_err_text(err), &run->call->error);
	finish(c, run, err);
}

/* Sends what is due, first come first served, as far as there is room. */
static void start_due(struct aws_client *c)
{
	struct ev_list later = { NULL, NULL, 0 };
	struct ev_node *node;
	int64_t now = ev_clock_mono_ns(c->clock);

	while (aws_http_has_room(c->http) && (node = ev_list_pop(&c->waiting)) != NULL) {
		if (run_of(node)->due_ns <= now)
			attempt(c, run_of(node));
		else
			ev_list_push(&later, node);
	}
	ev_list_join(&later, &c->waiting);
	c->waiting = later;
}

/* When the next waiting call is due; INT64_MAX if none can be sent. */
static int64_t next_due(const struct aws_client *c)
{
	int64_t due = INT64_MAX;

	if (!aws_http_has_room(c->http))
		return due;
	for (struct ev_node *node = c->waiting.first; node != NULL; node = node->next) {
		if (run_of(node)->due_ns < due)
			due = run_of(node)->due_ns;
	}
	return due;
}

/* --- Driving --- */

ev_err aws_call_submit(struct aws_client *c, struct aws_call *call)
{
	struct ev_str operation = ev_str_from(call->operation);
	struct aws_call_run *run;
	struct ev_uuid id;

	if ((unsigned)call->service >= N_SERVICES || operation.n == 0 ||
	    operation.n > AWS_OPERATION_MAX || !aws_header_safe(operation))
		return EV_INVALID;
	if (c->n_calls >= c->max_calls)
		return EV_FULL;
	run = calloc(1, sizeof(*run));
	if (run == NULL)
		return EV_NOMEM;

	struct ev_buf target = ev_buf_over(run->target, sizeof(run->target) - 1);

	ev_buf_z(&target, protocols[call->service].target);
	ev_buf_str_add(&target, operation);
	id = ev_rng_uuid(c->rng);
	ev_uuid_text(&id, run->invocation);
	run->rules = c->rules;
	if (call->max_attempts > 0)
		run->rules.max_attempts = call->max_attempts;
	run->call = call;
	run->due_ns = ev_clock_mono_ns(c->clock);
	aws_call_clear(call);
	call->run = run;
	ev_list_push(&c->waiting, &run->node);
	c->n_calls++;
	return EV_OK;
}

/* Milliseconds, rounded up so that nobody turns round and round before it is time. */
static int to_ms(int64_t ns)
{
	int64_t ms = ns <= 0 ? 0 : (ns - 1) / EV_NS_PER_MS + 1;

	return ms < POLL_MAX_MS ? (int)ms : POLL_MAX_MS;
}

/* Waits with nothing on its way. */
static ev_err idle(struct aws_client *c, int64_t ns)
{
	if (ns <= 0)
		return EV_TIMEOUT;
	if (c->pause.fn == NULL)
		return aws_http_wait(c->http, to_ms(ns));
	c->pause.fn(c->pause.user, ns);
	return EV_TIMEOUT;
}

/* Until something happens, at most until end_ns.  EV_OK, EV_TIMEOUT, EV_BUSY, EV_IO. */
static ev_err turn(struct aws_client *c, int64_t end_ns)
{
	int64_t now = ev_clock_mono_ns(c->clock);
	int64_t due = next_due(c);
	int64_t until = due < end_ns ? due : end_ns;
	struct aws_http_request *r;
	ev_err err;

	if (aws_http_n(c->http) == 0)
		return idle(c, until - now);
	err = aws_http_poll(c->http, to_ms(until - now), &r);
	if (err == EV_OK)
		answered(c, run_of_http(r));
	return err;
}

ev_err aws_client_poll(struct aws_client *c, int64_t timeout_ns, struct aws_call **out)
{
	int64_t end;
	bool last = false;

	if (__builtin_add_overflow(ev_clock_mono_ns(c->clock), timeout_ns, &end))
		end = INT64_MAX;
	for (;;) {
		struct ev_node *node;
		ev_err err;

		start_due(c);
		node = ev_list_pop(&c->done);
		if (node != NULL) {
			c->n_calls--;
			*out = call_of(node);
			return EV_OK;
		}
		if (c->n_calls == 0)
			return EV_NOTFOUND;
		if (last)
			return EV_TIMEOUT;
		err = turn(c, end);
		if (err == EV_BUSY || err == EV_IO)
			return err;
		last = ev_clock_mono_ns(c->clock) >= end && err != EV_OK;
	}
}

void aws_call_cancel(struct aws_client *c, struct aws_call *call)
{
	struct aws_call_run *run = call->run;

	if (run == NULL) {
		if (list_remove(&c->done, &call->node))
			c->n_calls--;
		return;
	}
	if (list_remove(&c->flying, &run->node))
		aws_http_cancel(c->http, &run->http);
	else
		(void)list_remove(&c->waiting, &run->node);
	call->run = NULL;
	run_free(run);
	c->n_calls--;
}

struct group {
	struct aws_client *c;
	struct aws_call *calls;
	size_t n, next, n_done;
	struct ev_list others;
};

static void group_submit(struct group *g, int64_t deadline_ns)
{
	while (g->next < g->n && g->c->n_calls < g->c->max_calls) {
		struct aws_call *call = &g->calls[g->next++];
		ev_err err;

		call->deadline_ns = deadline_ns;
		err = aws_call_submit(g->c, call);
		if (err == EV_OK)
			continue;
		aws_error_local(AWS_ERROR_OTHER, "NotSent", ev_err_text(err), &call->error);
		call->err = err;
		g->n_done++;
	}
}

static void group_take(struct group *g, struct aws_call *call)
{
	if (call >= g->calls && call < g->calls + g->n) {
		g->n_done++;
		return;
	}
	ev_list_push(&g->others, &call->node);
}

static void group_give_up(struct group *g)
{
	struct ev_node *node;

	while ((node = ev_list_pop(&g->c->done)) != NULL) {
		g->c->n_calls--;
		group_take(g, call_of(node));
	}
	for (size_t i = 0; i < g->n; i++) {
		struct aws_call *call = &g->calls[i];

		if (i < g->next && call->run == NULL)
			continue;
		if (call->run != NULL)
			aws_call_cancel(g->c, call);
		aws_error_local(AWS_ERROR_TIMED_OUT, "TimedOut", "given up at the deadline",
				&call->error);
		call->err = EV_TIMEOUT;
		g->c->stats.failed++;
	}
}

void aws_client_run(struct aws_client *c, struct aws_call calls[], size_t n, int64_t deadline_ns)
{
	struct group g = { .c = c, .calls = calls, .n = n };
	int64_t end = deadline_ns != 0 ? deadline_ns : INT64_MAX;
	bool woken = false;
	ev_err err = EV_OK;

	for (;;) {
		int64_t now = ev_clock_mono_ns(c->clock);
		struct aws_call *call;

		group_submit(&g, deadline_ns);
		if (g.n_done == n || now >= end || err == EV_IO)
			break;
		err = aws_client_poll(c, end - now, &call);
		if (err == EV_OK)
			group_take(&g, call);
		woken = woken || err == EV_BUSY;
	}
	if (g.n_done < n)
		group_give_up(&g);
	/* What was given out here but is not ours is still to be given out. */
	c->n_calls += g.others.n;
	ev_list_join(&g.others, &c->done);
	c->done = g.others;
	if (woken)
		aws_http_wake(c->http);
}

ev_err aws_call(struct aws_client *c, struct aws_call *call, int64_t deadline_ns)
{
	aws_client_run(c, call, 1, deadline_ns);
	return call->err;
}

void aws_client_wake(struct aws_client *c)
{
	aws_http_wake(c->http);
}

struct aws_retry_tokens *aws_client_tokens(struct aws_client *c)
{
	return &c->tokens;
}

const struct aws_retry_rules *aws_client_rules(const struct aws_client *c)
{
	return &c->rules;
}

/* --- As a caller --- */

static struct aws_client *client_of(struct aws_caller *c)
{
	return (struct aws_client *)c;
}

static ev_err caller_submit(struct aws_caller *c, struct aws_call *call)
{
	return aws_call_submit(client_of(c), call);
}

static ev_err caller_poll(struct aws_caller *c, int64_t timeout_ns, struct aws_call **out)
{
	return aws_client_poll(client_of(c), timeout_ns, out);
}

static void caller_cancel(struct aws_caller *c, struct aws_call *call)
{
	aws_call_cancel(client_of(c), call);
}

static void caller_run(struct aws_caller *c, struct aws_call calls[], size_t n, int64_t deadline_ns)
{
	aws_client_run(client_of(c), calls, n, deadline_ns);
}

/* A wake ends it early, which does no harm: what follows is a try that may fail again. */
static void caller_pause(struct aws_caller *c, int64_t ns)
{
	(void)idle(client_of(c), ns);
}

static void caller_wake(struct aws_caller *c)
{
	aws_client_wake(client_of(c));
}

static struct aws_retry_tokens *caller_tokens(struct aws_caller *c)
{
	return &client_of(c)->tokens;
}

static const struct aws_retry_rules *caller_rules(const struct aws_caller *c)
{
	return &((const struct aws_client *)c)->rules;
}

static struct ev_rng *caller_rng(struct aws_caller *c)
{
	return client_of(c)->rng;
}

static const struct aws_caller_ops caller_ops = {
	.submit = caller_submit,
	.poll = caller_poll,
	.cancel = caller_cancel,
	.run = caller_run,
	.pause = caller_pause,
	.wake = caller_wake,
	.tokens = caller_tokens,
	.rules = caller_rules,
	.rng = caller_rng,
};

struct aws_caller *aws_client_caller(struct aws_client *c)
{
	return &c->base;
}

const struct aws_client_stats *aws_client_stats(const struct aws_client *c)
{
	return &c->stats;
}
