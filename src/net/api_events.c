/*
 * net/api_events.c — GET /api/events: charging events as Server-Sent Events, resumable.
 *
 * A stream reads the store from where its reader left off, a page at a time, until a page's end is
 * not behind the newest event that the host told of; from then on it is given events as they come.
 * Nothing falls between: an event that the last page did not see is committed after that page was
 * read, so the host tells of it after the page came back, or told before and the page was not the
 * last.  Nothing comes twice: what is told is passed over up to the last one sent.  A reader that
 * is too slow for its queue goes back to reading the store once there is room.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/time.h"
#include "net/api_internal.h"

#define PAGE_EVENTS 64 /* each below BLOCK_MAX, most below a third: a page fits a stream's queue */
#define BLOCK_MAX 2048
#define SILENCE_NS (15 * EV_NS_PER_S)

enum subscriber_state {
	SUBSCRIBER_READING, /* a page is on its way */
	SUBSCRIBER_WAITING, /* for room in its queue, then it reads */
	SUBSCRIBER_LIVE,
	SUBSCRIBER_ENDED, /* the peer has left: freed when the page comes back */
};

struct api_subscriber {
	struct query_task task; /* first */
	struct api *api;
	struct api_subscriber *next;
	struct net_handle h;
	enum subscriber_state state;
	uint64_t position; /* read and live events go on above it */
	uint64_t sent;     /* the last one that was sent, 0: none yet */
	int64_t wrote_ns;  /* monotonic */

	/* The page. */
	struct api_body page;
	uint64_t page_end;
	size_t n_page;
};

static void write_block(struct ev_buf *b, const struct stored_event *e)
{
	struct json_writer w = json_writer_over(b);

	ev_buf_z(b, "id: ");
	ev_buf_u64(b, e->seq);
	ev_buf_z(b, "\nevent: charging-event\ndata: ");
	api_write_event(&w, e->seq, e->at_ns, &e->event);
	ev_buf_z(b, "\n\n");
	assert(!b->overflow);
}

/* --- the list of streams --- */

static struct api_subscriber *find(struct api *a, struct net_handle h)
{
	struct api_subscriber *s = a->subscribers;

	while (s != NULL && (s->state == SUBSCRIBER_ENDED || !net_handle_eq(s->h, h)))
		s = s->next;
	return s;
}

static void unlink_and_free(struct api_subscriber *s)
{
	struct api_subscriber **at = &s->api->subscribers;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s->page.p);
	free(s);
}

/* The stream is over; whoever waits for its page frees it. */
static void leave(struct api_subscriber *s)
{
	struct api *a = s->api;
	bool reading = s->state == SUBSCRIBER_READING;

	s->state = SUBSCRIBER_ENDED;
	a->n_subscribers--;
	ev_gauge_set(&a->n.subscribers, (int64_t)a->n_subscribers);
	if (a->n_subscribers == 0)
		host_want_events(a->c.host, false);
	if (!reading)
		unlink_and_free(s);
}

/* --- writing --- */

/* EV_FULL when the reader is too slow; on any other failure the stream is over and s is gone. */
static ev_err write_out(struct api_subscriber *s, struct ev_str bytes)
{
	struct api *a = s->api;
	ev_err e = a->c.sink->ops->stream_write(a->c.sink, s->h, bytes);

	if (e == EV_OK)
		s->wrote_ns = ev_clock_mono_ns(a->c.clock);
	else if (e != EV_FULL)
		leave(s);
	return e;
}

static void wait_for_room(struct api_subscriber *s)
{
	s->state = SUBSCRIBER_WAITING;
	ev_counter_inc(&s->api->n.fell_behind);
}

/* --- reading the store --- */

static bool visit(void *user, const struct stored_event *e)
{
	struct api_subscriber *s = user;
	char text[BLOCK_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	write_block(&b, e);
	api_body_text(&s->page, ev_buf_str(&b));
	s->page_end = e->seq;
	s->n_page++;
	return !s->page.failed;
}

static ev_err read_page(struct query_task *t, struct query *q)
{
	struct api_subscriber *s = (struct api_subscriber *)t;
	ev_err e = q->ops->events(q, s->position, PAGE_EVENTS, visit, s);

	return e == EV_OK && s->page.failed ? EV_NOMEM : e;
}

static void read_on(struct api_subscriber *s)
{
	s->state = SUBSCRIBER_READING;
	s->page.n = 0;
	s->page_end = s->position;
	s->n_page = 0;
	host_query(s->api->c.host, &s->task);
}

static void end_stream(struct api_subscriber *s)
{
	struct api *a = s->api;
	ev_err e = a->c.sink->ops->stream_end(a->c.sink, s->h);

	(void)e; /* the peer has left: just as well */
	leave(s);
}

/* What the reader of the store brought is sent; then there is more to read, or it goes on live. */
static void take_page(struct api_subscriber *s)
{
	ev_err e = EV_OK;

	if (s->page.n > 0)
		e = write_out(s, api_body_str(&s->page));
	if (e == EV_FULL)
		wait_for_room(s);
	if (e != EV_OK)
		return;
	ev_counter_add(&s->api->n.sent_events, s->n_page);
	if (s->n_page > 0)
		s->sent = s->page_end;
	s->position = s->page_end;
	if (s->n_page == PAGE_EVENTS || s->position < s->api->newest_seq)
		read_on(s);
	else
		s->state = SUBSCRIBER_LIVE;
}

static void on_page(struct query_task *t, void *user)
{
	struct api_subscriber *s = (struct api_subscriber *)t;

	(void)user; /* the host's, not ours */
	if (s->state == SUBSCRIBER_ENDED) {
		unlink_and_free(s);
		return;
	}
	s->state = SUBSCRIBER_WAITING; /* nothing is on its way: leave() may free it */
	if (t->err != EV_OK)
		end_stream(s); /* its reader resumes */
	else
		take_page(s);
}

/* --- live --- */

static void send_live(struct api_subscriber *s, uint64_t seq, struct ev_str block)
{
	ev_err e;

	if (s->state != SUBSCRIBER_LIVE || seq <= s->sent)
		return;
	e = write_out(s, block);
	if (e == EV_OK) {
		s->sent = seq;
		s->position = seq;
		ev_counter_inc(&s->api->n.sent_events);
	} else if (e == EV_FULL) {
		s->position = seq - 1; /* all below was sent, or was before its time */
		wait_for_room(s);
	}
}

void api_on_event(struct api *a, const struct stored_event *e)
{
	char text[BLOCK_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct api_subscriber *next;

	a->newest_seq = e->seq;
	write_block(&b, e);
	for (struct api_subscriber *s = a->subscribers; s != NULL; s = next) {
		next = s->next;
		send_live(s, e->seq, ev_buf_str(&b));
	}
}

void api_on_room(struct api *a, struct net_handle h)
{
	struct api_subscriber *s = find(a, h);

	if (s != NULL && s->state == SUBSCRIBER_WAITING)
		read_on(s);
}

void api_on_gone(struct api *a, struct net_handle h)
{
	struct api_subscriber *s = find(a, h);

	if (s != NULL)
		leave(s);
}

void api_tick(struct api *a)
{
	int64_t now_ns = ev_clock_mono_ns(a->c.clock);
	struct api_subscriber *next;

	for (struct api_subscriber *s = a->subscribers; s != NULL; s = next) {
		next = s->next;
		if (s->state == SUBSCRIBER_LIVE && now_ns - s->wrote_ns >= SILENCE_NS)
			(void)write_out(s, EV_LIT(":\n\n")); /* a full queue is not silent */
	}
}

void api_streams_end(struct api *a)
{
	struct api_subscriber *next;

	for (struct api_subscriber *s = a->subscribers; s != NULL; s = next) {
		next = s->next;
		if (s->state != SUBSCRIBER_ENDED)
			end_stream(s);
	}
}

void api_free(struct api *a)
{
	if (a == NULL)
		return;
	while (a->subscribers != NULL) {
		assert(a->subscribers->state != SUBSCRIBER_READING);
		unlink_and_free(a->subscribers);
	}
	free(a);
}

/* --- the route --- */

static const struct net_header stream_headers[] = {
	{ { "content-type", 12 }, { "text/event-stream", 17 } },
	{ { "cache-control", 13 }, { "no-store", 8 } },
	{ { "x-accel-buffering", 17 }, { "no", 2 } }, /* of nginx: pass it on at once */
};

/* False: answered. */
static bool read_position(const struct api_call *c, bool *out_has, uint64_t *out)
{
	struct api_query q = api_query_of(c);
	struct ev_str last = net_request_header(c->req, "last-event-id");
	uint64_t after = UINT64_MAX;
	bool ok;

	api_query_u64(&q, "after", &after);
	/* A reader that comes back knows better than the address it was opened with. */
	if (last.n > 0 && num_parse_u64(last, &after) != EV_OK && q.problems.n < API_PROBLEMS_MAX)
		q.problems.item[q.problems.n++] = (struct api_problem){ "Last-Event-ID",
									"must be a number" };
	ok = api_query_ok(&q);
	*out_has = after != UINT64_MAX;
	*out = after;
	return ok;
}

static struct api_subscriber *subscriber_new(const struct api_call *c)
{
	struct api *a = c->api;
	struct api_subscriber *s;

	if (a->draining) {
		api_reply_busy(&c->ticket, "shutting down", 5);
		return NULL;
	}
	if (a->n_subscribers >= a->c.limits.max_subscribers ||
	    host_stats(a->c.host).queries >= a->c.limits.max_queries) {
		ev_counter_inc(&a->n.too_many_subscribers);
		api_reply_busy(&c->ticket, "too many streams are open", 5);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		api_reply_busy(&c->ticket, "out of memory", 1);
		return NULL;
	}
	s->api = a;
	s->h = c->ticket.h;
	s->task.run = read_page;
	s->task.done = on_page;
	return s;
}

static void join(struct api_subscriber *s)
{
	struct api *a = s->api;

	s->next = a->subscribers;
	a->subscribers = s;
	a->n_subscribers++;
	ev_gauge_set(&a->n.subscribers, (int64_t)a->n_subscribers);
	s->wrote_ns = ev_clock_mono_ns(a->c.clock);
	host_want_events(a->c.host, true); /* before the first page is read */
}

static void count_stream(const struct api_call *c)
{
	ev_counter_inc(&c->api->n.requests[c->ticket.role][0]);
}

void api_events_stream(struct api_call *c)
{
	struct api *a = c->api;
	struct net_response r = {
		.status = 200,
		.headers = stream_headers,
		.n_headers = EV_ARRAY_LEN(stream_headers),
		.body = EV_LIT("retry: 3000\n\n"),
	};
	struct api_subscriber *s;
	uint64_t after;
	bool resumes;

	if (!read_position(c, &resumes, &after))
		return;
	if (c->req->method == NET_HEAD) {
		api_reply(&c->ticket, 200, "text/event-stream", NULL, 0, r.body);
		return;
	}
	s = subscriber_new(c);
	if (s == NULL)
		return;
	if (a->c.sink->ops->stream_begin(a->c.sink, s->h, &r) != EV_OK) {
		ev_counter_inc(&a->n.gone);
		free(s);
		return;
	}
	count_stream(c);
	join(s);
	s->position = resumes ? after : 0;
	s->state = SUBSCRIBER_LIVE;
	if (resumes)
		read_on(s);
}
