/* engine/aws/intake_calls.c — what the intake asks of SQS, and what the answers do. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "engine/aws/intake_internal.h"

#define WAIT_SLACK_MS 10000 /* of a long poll's attempt above its wait */
#define BACKOFF_NS (100 * EV_NS_PER_MS)
#define BACKOFF_MAX_NS (10 * EV_NS_PER_S)

static const char *const operations[INTAKE_KIND_COUNT] = {
	[INTAKE_FIND_IN] = "GetQueueUrl",    [INTAKE_FIND_DEAD] = "GetQueueUrl",
	[INTAKE_RECEIVE] = "ReceiveMessage", [INTAKE_EXTEND] = "ChangeMessageVisibilityBatch",
	[INTAKE_MOVE] = "SendMessageBatch",  [INTAKE_DELETE] = "DeleteMessageBatch",
};

/* Calls of a kind at once; of receives the config says how many. */
static const size_t most_calls[INTAKE_KIND_COUNT] = {
	[INTAKE_FIND_IN] = 1, [INTAKE_FIND_DEAD] = 1, [INTAKE_RECEIVE] = AWS_INTAKE_RECEIVES_MAX,
	[INTAKE_EXTEND] = 3,  [INTAKE_MOVE] = 2,      [INTAKE_DELETE] = 5,
};

static const char *queue_of(const struct aws_intake *i, enum intake_kind kind)
{
	return kind == INTAKE_FIND_DEAD || kind == INTAKE_MOVE
		       ? i->config.resources->messages_in_dead
		       : i->config.resources->messages_in;
}

/* --- failures --- */

static void back_off(struct aws_intake *i, enum intake_kind kind, int64_t now_ns)
{
	struct intake_backoff *b = &i->backoff[kind];
	struct aws_caller *c = i->config.caller;
	int64_t widest = BACKOFF_NS;

	i->n.errors++;
	if (b->until_ns > now_ns)
		return; /* one for all that were under way together */
	for (unsigned k = 0; k < b->fails && widest < BACKOFF_MAX_NS; k++)
		widest *= 2;
	b->fails++;
	b->until_ns = now_ns + BACKOFF_NS / 2 +
		      (int64_t)ev_rng_below(c->ops->rng(c), (uint64_t)widest);
}

static void note_failure(struct aws_intake *i, enum intake_kind kind, const struct aws_error *error)
{
	const char *code = error->code[0] != '\0' ? error->code : aws_error_kind_text(error->kind);

	ev_fail_set(&i->n.fail, aws_error_map(error->kind), error->status, "%s: %s: %s %s",
		    queue_of(i, kind), operations[kind], code, error->message);
}

static void call_failed(struct aws_intake *i, const struct intake_call *c, int64_t now_ns)
{
	if (c->call.err == EV_CLOSED)
		i->is_closed = true;
	if (c->call.error.kind == AWS_ERROR_NOT_FOUND) {
		/* It may have been made anew, under another URL. */
		if (queue_of(i, c->kind) == i->config.resources->messages_in)
			i->url_in[0] = '\0';
		else
			i->url_dead[0] = '\0';
	}
	note_failure(i, c->kind, &c->call.error);
	back_off(i, c->kind, now_ns);
}

static void entry_failed(struct aws_intake *i, enum intake_kind kind, enum aws_error_kind why,
			 int64_t now_ns)
{
	struct aws_error error;

	if (i->backoff[kind].until_ns > now_ns) {
		i->n.errors++;
		return; /* one for all entries of a batch */
	}
	aws_error_local(why, aws_error_kind_text(why), "an entry of a batch", &error);
	note_failure(i, kind, &error);
	back_off(i, kind, now_ns);
}

/* --- starting --- */

static struct intake_call *free_call(struct aws_intake *i)
{
	for (size_t k = 0; k < EV_ARRAY_LEN(i->calls); k++) {
		if (!i->calls[k].is_busy)
			return &i->calls[k];
	}
	return NULL;
}

static bool may_start(const struct aws_intake *i, enum intake_kind kind, int64_t now_ns)
{
	return i->n_calls[kind] < most_calls[kind] && i->backoff[kind].until_ns <= now_ns;
}

/* Takes a call with room for its request; NULL: no memory. */
static struct intake_call *open_call(struct aws_intake *i, enum intake_kind kind, size_t room,
				     struct ev_buf *b)
{
	struct intake_call *c = free_call(i);

	assert(c != NULL); /* as many as all kinds may have */
	*c = (struct intake_call){ .kind = kind, .text = malloc(room) };
	if (c->text == NULL) {
		back_off(i, kind, ev_clock_mono_ns(i->config.clock));
		return NULL;
	}
	c->is_busy = true;
	*b = ev_buf_over(c->text, room);
	return c;
}

static void close_call(struct intake_call *c)
{
	aws_call_clear(&c->call);
	free(c->text);
	c->is_busy = false;
}

static bool submit(struct aws_intake *i, struct intake_call *c, const struct ev_buf *b,
		   int64_t now_ns)
{
	struct aws_caller *caller = i->config.caller;
	ev_err e;

	assert(!b->overflow);
	c->call.service = AWS_SQS;
	c->call.operation = operations[c->kind];
	c->call.body = ev_buf_str(b);
	if (c->kind == INTAKE_RECEIVE) {
		c->call.attempt_ms = i->config.wait_s * 1000 + WAIT_SLACK_MS;
		c->call.max_attempts = 1;
	}
	e = caller->ops->submit(caller, &c->call);
	if (e == EV_OK) {
		i->n_calls[c->kind]++;
		i->n.in_flight++;
		return true;
	}
	i->is_closed = i->is_closed || e == EV_CLOSED;
	back_off(i, c->kind, now_ns);
	close_call(c);
	return false;
}

static void find_queue(struct aws_intake *i, enum intake_kind kind, int64_t now_ns)
{
	struct ev_buf b;
	struct intake_call *c;

	if (!may_start(i, kind, now_ns))
		return;
	c = open_call(i, kind, SQS_REQUEST_MAX, &b);
	if (c == NULL)
		return;
	sqs_write_name(ev_str_from(queue_of(i, kind)), &b);
	(void)submit(i, c, &b, now_ns);
}

static bool has_room(const struct aws_intake *i)
{
	size_t coming = i->n_calls[INTAKE_RECEIVE] * SQS_ENTRIES_MAX;

	return i->n.in_hand + coming < i->config.max_in_hand && i->bytes < i->config.max_bytes &&
	       !i->config.is_busy(i->config.user);
}

static bool start_receive(struct aws_intake *i, int64_t now_ns)
{
	struct ev_buf b;
	struct intake_call *c = open_call(i, INTAKE_RECEIVE, SQS_REQUEST_MAX, &b);

	/* After a failure nobody is waited for: that it works again is known at once. */
	unsigned wait_s = i->backoff[INTAKE_RECEIVE].fails > 0 ? 0 : i->config.wait_s;

	if (c == NULL)
		return false;
	sqs_write_receive(ev_str_from(i->url_in), wait_s, i->config.visibility_s, &b);
	return submit(i, c, &b, now_ns);
}

static void name_held(struct intake_call *c, struct held *h)
{
	c->of[c->n++] = h;
	h->n_calls++;
}

/* A batch that was not submitted, or is done with. */
static void unname_all(struct intake_call *c)
{
	for (size_t k = 0; k < c->n; k++) {
		if (c->of[k] != NULL)
			intake_unname(c->of[k]);
	}
}

/* The call with receipts and room for them; the held ones are named by it. */
static struct intake_call *open_receipts(struct aws_intake *i, enum intake_kind kind,
					 struct held **of, size_t n, struct ev_str *receipts,
					 struct ev_buf *b)
{
	struct intake_call *c;

	for (size_t k = 0; k < n; k++)
		receipts[k] = of[k]->receipt;
	c = open_call(i, kind, sqs_receipts_room(receipts, n), b);
	for (size_t k = 0; c != NULL && k < n; k++)
		name_held(c, of[k]);
	return c;
}

/* From half of the visibility on. */
static int64_t extend_at_ns(const struct aws_intake *i, const struct held *h)
{
	return h->visible_ns - (int64_t)i->config.visibility_s * EV_NS_PER_S / 2;
}

static bool is_extendable(const struct held *h)
{
	return !h->is_extending && !h->is_lost && !h->is_over;
}

static size_t find_extendable(const struct aws_intake *i, int64_t now_ns, struct held **out)
{
	size_t n = 0;

	for (struct held *h = i->first; h != NULL && n < SQS_ENTRIES_MAX; h = h->next) {
		if (!is_extendable(h))
			continue;
		if (extend_at_ns(i, h) > now_ns)
			break;
		out[n++] = h;
	}
	return n;
}

static bool start_extend(struct aws_intake *i, int64_t now_ns)
{
	struct held *of[SQS_ENTRIES_MAX];
	struct ev_str receipts[SQS_ENTRIES_MAX];
	size_t n = find_extendable(i, now_ns, of);
	struct ev_buf b;
	struct intake_call *c;

	if (n == 0)
		return false;
	c = open_receipts(i, INTAKE_EXTEND, of, n, receipts, &b);
	if (c == NULL)
		return false;
	sqs_write_visibility(ev_str_from(i->url_in), receipts, n, i->config.visibility_s, &b);
	if (!submit(i, c, &b, now_ns)) {
		unname_all(c);
		return false;
	}
	for (size_t k = 0; k < n; k++)
		of[k]->is_extending = true;
	return true;
}

/* Puts entries back to the front of their list, in their order. */
static void put_back(struct ev_list *list, struct held *const *of, size_t n)
{
	struct ev_list front = { .first = NULL };

	for (size_t k = 0; k < n; k++) {
		if (of[k] != NULL)
			ev_list_push(&front, &of[k]->job->job.node);
	}
	ev_list_join(&front, list);
	*list = front;
}

static size_t take_entries(struct ev_list *list, struct held **out)
{
	size_t n = 0;

	while (n < SQS_ENTRIES_MAX && list->first != NULL)
		out[n++] = held_of(ev_list_pop(list));
	return n;
}

/* A few wait a little for others, if there are any to wait for. */
static int64_t delete_at_ns(const struct aws_intake *i)
{
	if (i->to_delete.n >= SQS_ENTRIES_MAX || i->n_out == 0 || i->is_draining)
		return INT64_MIN;
	return held_of(i->to_delete.first)->ready_ns + i->config.linger_ns;
}

static bool start_delete(struct aws_intake *i, int64_t now_ns)
{
	struct held *of[SQS_ENTRIES_MAX];
	struct ev_str receipts[SQS_ENTRIES_MAX];
	struct ev_buf b;
	struct intake_call *c;
	size_t n;

	if (i->to_delete.n == 0 || delete_at_ns(i) > now_ns)
		return false;
	n = take_entries(&i->to_delete, of);
	c = open_receipts(i, INTAKE_DELETE, of, n, receipts, &b);
	if (c != NULL) {
		sqs_write_delete(ev_str_from(i->url_in), receipts, n, &b);
		if (submit(i, c, &b, now_ns))
			return true;
		unname_all(c);
	}
	put_back(&i->to_delete, of, n);
	return false;
}

/* As many as one batch may have bytes; the first in any case. */
static size_t take_movable(struct aws_intake *i, struct held **of, struct sqs_entry *entries,
			   char rooms[][SQS_REASON_MAX])
{
	size_t n = 0, bytes = 0;

	while (n < SQS_ENTRIES_MAX && i->to_move.first != NULL) {
		struct held *h = held_of(i->to_move.first);

		entries[n] = intake_dead_entry(h, rooms[n]);
		if (sqs_entry_size(&entries[n]) > SQS_BYTES_MAX) {
			h->is_bare = true;
			entries[n] = intake_dead_entry(h, rooms[n]);
		}
		bytes += sqs_entry_size(&entries[n]);
		if (n > 0 && bytes > SQS_BYTES_MAX)
			break;
		(void)ev_list_pop(&i->to_move);
		of[n++] = h;
	}
	return n;
}

static bool start_move(struct aws_intake *i, int64_t now_ns)
{
	struct held *of[SQS_ENTRIES_MAX];
	struct sqs_entry entries[SQS_ENTRIES_MAX];
	char rooms[SQS_ENTRIES_MAX][SQS_REASON_MAX];
	struct ev_buf b;
	struct intake_call *c;
	size_t n = take_movable(i, of, entries, rooms);

	if (n == 0)
		return false;
	c = open_call(i, INTAKE_MOVE, sqs_send_room(entries, n), &b);
	if (c != NULL) {
		for (size_t k = 0; k < n; k++)
			name_held(c, of[k]);
		sqs_write_send(ev_str_from(i->url_dead), entries, n, &b);
		if (submit(i, c, &b, now_ns))
			return true;
		unname_all(c);
	}
	put_back(&i->to_move, of, n);
	return false;
}

static void start_receives(struct aws_intake *i, int64_t now_ns)
{
	while (!i->is_draining && i->n_calls[INTAKE_RECEIVE] < i->config.receives &&
	       may_start(i, INTAKE_RECEIVE, now_ns) && has_room(i) && start_receive(i, now_ns)) {
	}
}

void intake_start_calls(struct aws_intake *i, int64_t now_ns)
{
	if (i->url_dead[0] == '\0')
		find_queue(i, INTAKE_FIND_DEAD, now_ns);
	while (i->url_dead[0] != '\0' && may_start(i, INTAKE_MOVE, now_ns) &&
	       start_move(i, now_ns)) {
	}
	if (i->url_in[0] == '\0') {
		find_queue(i, INTAKE_FIND_IN, now_ns);
		return;
	}
	while (may_start(i, INTAKE_EXTEND, now_ns) && start_extend(i, now_ns)) {
	}
	while (may_start(i, INTAKE_DELETE, now_ns) && start_delete(i, now_ns)) {
	}
	start_receives(i, now_ns);
}

/* --- answers --- */

static void on_found(struct aws_intake *i, struct intake_call *c, int64_t now_ns)
{
	char *url = c->kind == INTAKE_FIND_IN ? i->url_in : i->url_dead;

	if (c->call.err == EV_OK && sqs_read_url(c->call.answer, url) == EV_OK) {
		i->backoff[c->kind].fails = 0;
		return;
	}
	if (c->call.err == EV_OK)
		aws_error_local(AWS_ERROR_BAD_ANSWER, "BadAnswer", "no URL", &c->call.error);
	call_failed(i, c, now_ns);
	url[0] = '\0';
}

static void on_received(struct aws_intake *i, struct intake_call *c, int64_t now_ns)
{
	struct sqs_received of[SQS_ENTRIES_MAX];
	size_t n = 0;

	if (c->call.err == EV_OK && sqs_read_received(c->call.answer, of, &n) != EV_OK) {
		/* What it held becomes visible again. */
		c->call.err = EV_IO;
		aws_error_local(AWS_ERROR_BAD_ANSWER, "BadAnswer", "not what SQS answers",
				&c->call.error);
	}
	if (c->call.err != EV_OK) {
		call_failed(i, c, now_ns);
		return;
	}
	i->backoff[INTAKE_RECEIVE].fails = 0;
	i->n.empty_receives += n == 0;
	for (size_t k = 0; k < n; k++) {
		if (!intake_take(i, &of[k], now_ns))
			back_off(i, INTAKE_RECEIVE, now_ns);
	}
}

static void on_extended(struct aws_intake *i, struct held *h, enum aws_error_kind why,
			int64_t now_ns)
{
	h->is_extending = false;
	if (why == AWS_ERROR_NONE) {
		i->n.extended++;
		intake_extended(h, now_ns + (int64_t)i->config.visibility_s * EV_NS_PER_S);
	} else if (why == AWS_ERROR_NOT_FOUND || why == AWS_ERROR_VALIDATION) {
		intake_set_lost(h);
	} else {
		entry_failed(i, INTAKE_EXTEND, why, now_ns);
	}
}

static void on_moved(struct aws_intake *i, struct held *h, enum aws_error_kind why, int64_t now_ns)
{
	bool is_refused = why == AWS_ERROR_VALIDATION || why == AWS_ERROR_TOO_LARGE;

	if (why == AWS_ERROR_NONE) {
		i->n.moved++;
		i->n.moved_bare += h->is_bare;
		h->ready_ns = now_ns;
		ev_list_push(&i->to_delete, &h->job->job.node);
		return;
	}
	if (is_refused && h->is_bare) {
		i->n.not_movable++;
		intake_let_go(h);
		return;
	}
	h->is_bare = h->is_bare || is_refused;
	put_back(&i->to_move, &h, 1);
	if (!is_refused)
		entry_failed(i, INTAKE_MOVE, why, now_ns);
}

static void on_deleted(struct aws_intake *i, struct held *h, enum aws_error_kind why,
		       int64_t now_ns)
{
	if (why == AWS_ERROR_NONE) {
		i->n.deleted++;
		intake_let_go(h);
	} else if (why == AWS_ERROR_NOT_FOUND || why == AWS_ERROR_VALIDATION) {
		i->n.lost++;
		intake_let_go(h);
	} else {
		put_back(&i->to_delete, &h, 1);
		entry_failed(i, INTAKE_DELETE, why, now_ns);
	}
}

typedef void entry_fn(struct aws_intake *i, struct held *h, enum aws_error_kind why,
		      int64_t now_ns);

static entry_fn *const entry_fns[INTAKE_KIND_COUNT] = {
	[INTAKE_EXTEND] = on_extended,
	[INTAKE_MOVE] = on_moved,
	[INTAKE_DELETE] = on_deleted,
};

/* What is put back keeps its order: the last entry is put first. */
static void on_batch(struct aws_intake *i, struct intake_call *c, int64_t now_ns)
{
	enum aws_error_kind of[SQS_ENTRIES_MAX];

	sqs_batch_results(&c->call, c->n, of);
	if (c->call.err == EV_OK)
		i->backoff[c->kind].fails = 0;
	else
		call_failed(i, c, now_ns);
	for (size_t k = c->n; k-- > 0;) {
		enum aws_error_kind why = of[k];

		/* That the queue is gone says nothing about an entry. */
		if (c->call.err != EV_OK && why == AWS_ERROR_NOT_FOUND)
			why = AWS_ERROR_TRANSIENT;
		entry_fns[c->kind](i, c->of[k], why, now_ns);
	}
	unname_all(c);
}

void intake_call_done(struct aws_intake *i, struct aws_call *call, int64_t now_ns)
{
	struct intake_call *c = (struct intake_call *)(void *)call;

	i->n_calls[c->kind]--;
	i->n.in_flight--;
	if (c->kind == INTAKE_RECEIVE)
		on_received(i, c, now_ns);
	else if (entry_fns[c->kind] != NULL)
		on_batch(i, c, now_ns);
	else
		on_found(i, c, now_ns);
	close_call(c);
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t intake_next_ns(const struct aws_intake *i, int64_t now_ns)
{
	int64_t next = INT64_MAX;

	for (unsigned k = 0; k < INTAKE_KIND_COUNT; k++) {
		if (i->backoff[k].until_ns > now_ns)
			next = sooner(next, i->backoff[k].until_ns);
	}
	if (i->url_in[0] == '\0')
		return next;
	if (i->to_delete.n > 0 && may_start(i, INTAKE_DELETE, now_ns))
		next = sooner(next, delete_at_ns(i));
	if (!may_start(i, INTAKE_EXTEND, now_ns))
		return next;
	for (const struct held *h = i->first; h != NULL; h = h->next) {
		if (is_extendable(h))
			return sooner(next, extend_at_ns(i, h));
	}
	return next;
}

void intake_cancel_calls(struct aws_intake *i)
{
	struct aws_caller *caller = i->config.caller;

	for (size_t k = 0; k < EV_ARRAY_LEN(i->calls); k++) {
		struct intake_call *c = &i->calls[k];

		if (!c->is_busy)
			continue;
		caller->ops->cancel(caller, &c->call);
		unname_all(c);
		close_call(c);
	}
}
