/* net/api_letter.c — the routes of dead letters. */
#include "net/api_internal.h"

static const char *channel_of(enum input_channel c)
{
	switch (c) {
	case INPUT_DEVICE_MESSAGE:
		return "device-message";
	case INPUT_CHARGING_EVENT:
		break;
	}
	return "charging-event";
}

static const char *status_of(enum dead_letter_status s)
{
	switch (s) {
	case DEAD_LETTER_OPEN:
		return "open";
	case DEAD_LETTER_REPLAYED:
		return "replayed";
	case DEAD_LETTER_DROPPED:
		break;
	}
	return "dropped";
}

static void write_letter(struct json_writer *w, const struct dead_letter *d, bool with_body)
{
	struct api_dead_letter a = {
		.id = d->id,
		.seq = d->seq,
		.channel = channel_of(d->channel),
		.has_outlet = d->has_outlet,
		.outlet_id = d->outlet_id,
		.at_ns = d->at_ns,
		.reason = d->reason,
		.detail = d->detail,
		.status = status_of(d->status),
		.with_body = with_body,
		.body = d->body,
	};

	api_write_dead_letter(w, &a);
}

static void write_letter_row(struct json_writer *w, const void *row)
{
	write_letter(w, row, false);
}

static void write_letter_whole(struct json_writer *w, const void *row)
{
	write_letter(w, row, true);
}

static bool visit_letter(void *user, const struct dead_letter *d)
{
	struct api_task *t = user;

	if (!api_page_has_room(t))
		return false;
	api_page_seq_cursor(t, d->seq);
	return api_page_add(t, write_letter_row, d);
}

static ev_err read_letters(struct api_task *t, struct query *q)
{
	ev_err e;

	api_page_begin(t);
	e = q->ops->dead_letters(q, t->all, t->seq, t->limit + 1, visit_letter, t);
	api_page_end(t);
	return e;
}

void api_list_letters(struct api_call *call)
{
	struct api_query q = api_query_of(call);
	size_t limit = API_PAGE_DEFAULT;
	uint64_t before = 0;
	bool all = false;
	struct api_task *t;

	api_query_bool(&q, "all", &all);
	api_query_limit(&q, &limit);
	api_query_u64(&q, "before", &before);
	if (!api_query_ok(&q))
		return;
	t = api_task_new(call, NULL, read_letters);
	if (t == NULL)
		return;
	t->all = all;
	t->limit = limit;
	t->seq = before;
	api_task_submit(t);
}

static ev_err read_letter(struct api_task *t, struct query *q)
{
	char body[DEAD_LETTER_BODY_MAX];
	struct dead_letter d;
	ev_err e = q->ops->dead_letter(q, &t->identity, &d, body);

	if (e == EV_OK)
		api_body_json(&t->body, write_letter_whole, &d);
	return e;
}

void api_get_letter(struct api_call *call)
{
	struct identity id;
	struct api_task *t;

	if (!api_path_identity(call, 0, &api_letter_id, &id))
		return;
	t = api_task_new(call, &api_letter_id, read_letter);
	if (t == NULL)
		return;
	t->identity = id;
	api_task_submit(t);
}

static void answer_replay(struct api_change *c)
{
	char text[512];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer w = json_writer_over(&b);

	json_write_object(&w);
	json_write_key(&w, "verdict");
	json_write_z(&w, verdict_text(c->job.verdict));
	json_write_key(&w, "reason");
	if (c->job.reason == REASON_NONE)
		json_write_null(&w);
	else
		json_write_z(&w, reason_text(c->job.reason));
	json_write_object_end(&w);
	api_reply_json(&c->ticket, 200, ev_buf_str(&b));
}

static void answer_drop(struct api_change *c)
{
	api_reply_empty(&c->ticket, 204);
}

/* A job about the path's letter; NULL: answered. */
static struct api_change *letter_change(const struct api_call *call, enum job_kind kind)
{
	struct identity id;
	struct api_change *c;

	if (!api_path_identity(call, 0, &api_letter_id, &id))
		return NULL;
	c = api_change_new(call, kind, &api_letter_id);
	if (c != NULL) {
		c->letter.id = id;
		c->conflict = "the dead letter is not open";
	}
	return c;
}

void api_replay_letter(struct api_call *call)
{
	struct api_action in;
	struct api_problems problems;
	struct json_error error;
	struct api_change *c;

	if (api_read_replay(call->req->body, &in, &problems, &error) != EV_OK) {
		api_reply_bad_body(&call->ticket, &error, &problems);
		return;
	}
	c = letter_change(call, JOB_DEAD_LETTER_REPLAY);
	if (c == NULL)
		return;
	c->letter.has_session = in.has_session;
	if (in.has_session)
		c->letter.session_id = in.session_id;
	c->answer = answer_replay;
	api_change_submit(c);
}

void api_drop_letter(struct api_call *call)
{
	struct api_change *c = letter_change(call, JOB_DEAD_LETTER_DROP);

	if (c == NULL)
		return;
	c->answer = answer_drop;
	api_change_submit(c);
}
