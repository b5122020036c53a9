/*
 * net/api_internal.h — shared by the parts of the API; not for other modules.
 *
 * A ticket is what an answer needs once the request is gone.  An api_change is a job on its way, an
 * api_task a query; each owns a ticket, is allocated once, and is freed by its answer.
 */
#ifndef EV_NET_API_INTERNAL_H
#define EV_NET_API_INTERNAL_H

#include "codec/api_json.h"
#include "codec/api_write.h"
#include "net/api.h"
#include "net/router.h"

struct api_subscriber;

#define API_STATUS_CLASSES 4 /* 2xx to 5xx */

struct api_counters {
	struct ev_counter requests[API_ROLE_COUNT][API_STATUS_CLASSES];
	struct ev_histogram seconds; /* from the whole request to its answer, in µs */
	struct ev_counter missing, wrong, foreign;
	struct ev_counter busy, gone;
	struct ev_gauge subscribers;
	struct ev_counter sent_events, fell_behind, too_many_subscribers;
};

struct api {
	struct api_config c;
	struct api_counters n;
	struct api_subscriber *subscribers;
	size_t n_subscribers;
	uint64_t newest_seq; /* of the events the host told us of */
	bool draining;
};

struct api_ticket {
	struct api *api;
	struct net_handle h;
	enum api_role role;
	bool legacy;
	int64_t begun_ns; /* monotonic */
};

/* Valid while the handler runs. */
struct api_call {
	struct api *api;
	const struct net_request *req;
	struct api_ticket ticket;
	struct route_match match;
};

void api_counters_init(struct api *a, struct ev_metrics *m);

/* --- answers; each at most once for a ticket, all harmless when the peer has left --- */

/* type NULL: no body; a route of the original has its own headers on success. */
void api_reply(const struct api_ticket *t, int status, const char *type,
	       const struct net_header *extra, size_t n_extra, struct ev_str body);
void api_reply_json(const struct api_ticket *t, int status, struct ev_str body);
void api_reply_empty(const struct api_ticket *t, int status);
/* detail is UTF-8 or NULL; 503 gets a Retry-After of retry_s. */
void api_reply_problem(const struct api_ticket *t, int status, const char *detail);
void api_reply_problem_with(const struct api_ticket *t, int status, const char *detail,
			    const struct net_header *extra);
void api_reply_busy(const struct api_ticket *t, const char *detail, unsigned retry_s);
/* 422; without a detail the problems are put into words. */
void api_reply_problems(const struct api_ticket *t, const char *detail,
			const struct api_problems *p);
/* What a reader of bodies left: 400, or 422 with every problem. */
void api_reply_bad_body(const struct api_ticket *t, const struct json_error *error,
			const struct api_problems *p);
void api_reply_unauthorized(const struct api_ticket *t, enum access a);
/* An error of the store or the host; missing is the detail of a 404. */
void api_reply_err(const struct api_ticket *t, ev_err e, const char *missing);

/* --- the request's path and query --- */

/* What an id in a path names. */
struct api_id {
	const char *field;   /* "outletId" */
	const char *bad;     /* the original's "outlet is not in UUID format" */
	const char *missing; /* "no such outlet" */
};
extern const struct api_id api_outlet_id, api_customer_id, api_session_id;
extern const struct api_id api_item_id, api_letter_id;

/* False: answered with 422. */
bool api_path_uuid(const struct api_call *c, size_t i, const struct api_id *id,
		   struct ev_uuid *out);
/* 32 hex digits. */
bool api_path_identity(const struct api_call *c, size_t i, const struct api_id *id,
		       struct identity *out);

/* The query: absent leaves *out as it is; a bad value is a problem. */
struct api_query {
	const struct api_call *call;
	struct api_problems problems;
};
struct api_query api_query_of(const struct api_call *c);
#define API_PAGE_DEFAULT 100
#define API_PAGE_MAX 1000
void api_query_limit(struct api_query *q, size_t *out);
void api_query_bool(struct api_query *q, const char *name, bool *out);
void api_query_u64(struct api_query *q, const char *name, uint64_t *out);
void api_query_time(struct api_query *q, const char *name, int64_t *out);
void api_query_uuid(struct api_query *q, const char *name, bool *out_has, struct ev_uuid *out);
void api_query_state(struct api_query *q, const char *name, bool *out_has, enum outlet_state *out);
/* `<ns>-<identity>`: where a page of items ended. */
void api_query_item(struct api_query *q, const char *name, bool *out_has, int64_t *out_ns,
		    struct identity *out);
/* False: answered with 422. */
bool api_query_ok(const struct api_query *q);

/* --- bodies that grow --- */

/* Memory of malloc; failed is set for want of it, and all later additions do nothing. */
struct api_body {
	char *p;
	size_t n, cap;
	bool comma; /* of the JSON writer */
	bool failed;
};
typedef void api_body_fn(struct json_writer *w, const void *row);
/* fn may be called more than once, on a buffer that is larger each time. */
void api_body_json(struct api_body *b, api_body_fn *fn, const void *row);
void api_body_text(struct api_body *b, struct ev_str s);
static inline struct ev_str api_body_str(const struct api_body *b)
{
	return (struct ev_str){ b->p, b->n };
}

/* --- writes --- */

struct api_change {
	struct job_owner owner; /* first */
	struct api_ticket ticket;
	const char *missing; /* detail of a 404 */
	const char *exists;  /* detail of a 409 for EV_EXISTS, EV_CONFLICT, or NULL */
	const char *conflict;
	/* The job's err is EV_OK. */
	void (*answer)(struct api_change *c);
	/* It is not; NULL: the usual answer to an error. */
	void (*failed)(struct api_change *c);
	union {
		struct job job;
		struct outlet_job outlet;
		struct customer_job customer;
		struct session_job session;
		struct dead_letter_job letter;
	};
};

/* Zeroed but for the job's head.  NULL: answered with 503. */
struct api_change *api_change_new(const struct api_call *c, enum job_kind kind,
				  const struct api_id *id);
void api_change_submit(struct api_change *c);
/* Applied and duplicate pass; else 409 with the reason, and false. */
bool api_change_passed(struct api_change *c);

/* --- reads --- */

#define API_CURSOR_MAX 64

struct api_task {
	struct query_task task; /* first */
	struct api_ticket ticket;
	const char *missing;
	/* On the reader's thread: touches the task's own fields and the query. */
	ev_err (*read)(struct api_task *t, struct query *q);
	/* On the loop, if read returned EV_OK; NULL: 200 with the body. */
	void (*answer)(struct api_task *t);

	/* What to read. */
	struct ev_uuid id;
	struct identity identity;
	bool has_after;
	struct ev_uuid after;
	uint64_t seq;
	int64_t ns;
	int64_t heard_before_ns;
	bool all;
	size_t limit; /* rows of the page */
	struct outlet_filter filter;

	/* What was read. */
	struct api_body body;
	size_t n_rows;
	size_t max_bytes;
	bool more;                   /* rows follow the page */
	char cursor[API_CURSOR_MAX]; /* of the last row, NUL-terminated */
	int64_t last_ns;             /* of the last row, where rows may tie */
};

/* Zeroed but for ticket, limits and id's texts.  NULL: answered with 503. */
struct api_task *api_task_new(const struct api_call *c, const struct api_id *id,
			      ev_err (*read)(struct api_task *t, struct query *q));
void api_task_submit(struct api_task *t);

/* Whether the page has room for one more row; notes that there is one if not. */
bool api_page_has_room(struct api_task *t);
/* False when there is no memory. */
bool api_page_add(struct api_task *t, api_body_fn *fn, const void *row);
void api_page_seq_cursor(struct api_task *t, uint64_t seq);
void api_page_begin(struct api_task *t);
void api_page_end(struct api_task *t);

/* --- handlers, by file --- */

route_fn api_live, api_ready, api_metrics, api_openapi_get, api_books; /* api_common.c */
route_fn api_list_letters, api_get_letter, api_replay_letter, api_drop_letter;
extern const struct route api_outlet_routes[], api_app_routes[], api_gateway_routes[];
extern const size_t api_n_outlet_routes, api_n_app_routes, api_n_gateway_routes;
route_fn api_events_stream; /* api_events.c */

/* The shared routes, for the tables of the roles. */
#define API_COMMON_ROUTES                                                                          \
	{ NET_GET, "/live", api_live, ROUTE_FREE }, { NET_GET, "/ready", api_ready, 0 },           \
	{                                                                                          \
		NET_GET, "/metrics", api_metrics, 0                                                \
	}

/* Appends everything that /metrics shows. */
void api_metrics_write(struct api *a, struct ev_buf *out);

/* Ends all streams without a word; their queries may still come back. */
void api_streams_end(struct api *a);

#endif
