/* engine/aws/front_send.c — device messages into the queue, and dead letters of the unreadable. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "codec/device_json.h"
#include "engine/aws/batch.h"
#include "engine/aws/front_internal.h"

#define BATCHES_MAX 16 /* in flight at once */
#define WAVE_MAX (BATCHES_MAX * SQS_ENTRIES_MAX)
#define STAMP_ROOM 128 /* a messageId with its key */

/* --- calls --- */

ev_err front_find_queue(struct front_side *s, const char *queue, char url[SQS_URL_MAX])
{
	char text[SQS_REQUEST_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct aws_call call = { .service = AWS_SQS, .operation = "GetQueueUrl" };
	ev_err e;

	if (url[0] != '\0')
		return EV_OK;
	sqs_write_name(ev_str_from(queue), &b);
	call.body = ev_buf_str(&b);
	e = aws_caller_one(s->io.caller, &call, front_deadline_ns(s->f));
	if (e == EV_OK)
		e = sqs_read_url(call.answer, url);
	if (e != EV_OK)
		front_note_fail(s->f, queue, &call);
	aws_call_clear(&call);
	return e;
}

/* A SendMessageBatch of entries[of[0 .. n - 1]]; its text is the caller's to free. */
static ev_err open_send(struct aws_call *call, const char *url, const struct sqs_entry *entries,
			const uint16_t *of, size_t n)
{
	struct sqs_entry picked[SQS_ENTRIES_MAX];
	struct ev_buf b;
	size_t room;
	char *text;

	for (size_t i = 0; i < n; i++)
		picked[i] = entries[of[i]];
	room = sqs_send_room(picked, n);
	text = malloc(room);
	if (text == NULL)
		return EV_NOMEM;
	b = ev_buf_over(text, room);
	sqs_write_send(ev_str_from(url), picked, n, &b);
	assert(!b.overflow);
	*call = (struct aws_call){ .service = AWS_SQS,
				   .operation = "SendMessageBatch",
				   .body = ev_buf_str(&b) };
	return EV_OK;
}

/* How many of the pending ones from `from` on one batch may hold. */
static size_t fit(const struct sqs_entry *entries, const struct aws_batch *b, size_t from)
{
	size_t n = 0, bytes = 0;

	while (n < SQS_ENTRIES_MAX && from + n < b->n_pending) {
		bytes += sqs_entry_size(&entries[b->pending[from + n]]);
		if (n > 0 && bytes > SQS_BYTES_MAX)
			break;
		n++;
	}
	return n;
}

static void take_results(struct front_side *s, const char *queue, const struct aws_call *call,
			 struct aws_batch *b, size_t at, size_t n)
{
	enum aws_error_kind of[SQS_ENTRIES_MAX];

	sqs_batch_results(call, n, of);
	if (call->err != EV_OK)
		front_note_fail(s->f, queue, call);
	for (size_t i = 0; i < n; i++) {
		if (of[i] == AWS_ERROR_NONE)
			aws_batch_done(b, at + i);
		else
			aws_batch_failed(b, at + i, of[i]);
	}
}

/* All that is pending once; what there is no memory for is left as it was. */
static void send_round(struct front_side *s, const char *queue, const char *url,
		       const struct sqs_entry *entries, struct aws_batch *b)
{
	struct aws_call *calls = malloc(sizeof(*calls) * BATCHES_MAX);
	size_t sizes[BATCHES_MAX];
	size_t n = 0, from = 0;

	while (calls != NULL && n < BATCHES_MAX && from < b->n_pending) {
		sizes[n] = fit(entries, b, from);
		if (open_send(&calls[n], url, entries, &b->pending[from], sizes[n]) != EV_OK)
			break;
		from += sizes[n++];
	}
	if (n > 0)
		s->io.caller->ops->run(s->io.caller, calls, n, front_deadline_ns(s->f));
	for (size_t i = 0, at = 0; i < n; at += sizes[i], i++) {
		take_results(s, queue, &calls[i], b, at, sizes[i]);
		free((void *)(uintptr_t)calls[i].body.p);
		aws_call_clear(&calls[i]);
	}
	free(calls);
	front_count(s->f, &s->f->n.batches, n);
}

/* At most WAVE_MAX entries. */
static void send_all(struct front_side *s, const char *queue, char url[SQS_URL_MAX],
		     const struct sqs_entry *entries, size_t n, struct aws_batch *b)
{
	struct aws_caller *c = s->io.caller;
	int64_t deadline_ns = front_deadline_ns(s->f);
	int64_t delay_ns = 0;
	bool again = true;

	aws_batch_init(b, n);
	if (front_find_queue(s, queue, url) != EV_OK)
		return;
	do {
		send_round(s, queue, url, entries, b);
		again = aws_batch_again(b, c->ops->rules(c), c->ops->tokens(c), c->ops->rng(c),
					&delay_ns) &&
			ev_clock_mono_ns(s->f->config.clock) + delay_ns < deadline_ns;
		if (again)
			c->ops->pause(c, delay_ns);
	} while (again);
	for (size_t i = 0; i < n; i++) {
		if (b->of[i] == AWS_ERROR_NOT_FOUND)
			url[0] = '\0'; /* it may have been made anew */
	}
}

void front_send_entries(struct front_side *s, const char *queue, char url[SQS_URL_MAX],
			const struct sqs_entry *entries, size_t n, enum aws_error_kind *out)
{
	struct aws_batch b;

	send_all(s, queue, url, entries, n, &b);
	memcpy(out, b.of, n * sizeof(out[0]));
}

/* --- bodies --- */

/* The messageId that the message is sent with: its own, or its identity here. */
static struct message_id message_name(const struct device_job *j)
{
	struct message_id id = j->message.message_id;
	char hex[2 * sizeof(j->id.b) + 1];

	if (id.n > 0)
		return id;
	ev_hex(j->id.b, sizeof(j->id.b), hex);
	id.n = 2 * sizeof(j->id.b);
	memcpy(id.s, hex, id.n);
	return id;
}

/* The message as it came, without what follows it, and with the messageId behind its last key. */
static void splice(const struct device_job *j, struct ev_buf *b)
{
	struct message_id id = message_name(j);
	struct json_writer w = json_writer_over(b);
	struct json_reader r;
	struct ev_str raw;

	json_read_init(&r, (struct ev_str){ j->body, j->body_n }, NULL);
	if (json_skip(&r, &raw) != EV_OK || raw.n < 2)
		return;
	if (j->message.message_id.n > 0) {
		ev_buf_str_add(b, raw);
		return;
	}
	ev_buf_bytes(b, raw.p, raw.n - 1);
	ev_buf_z(b, ",\"messageId\":");
	json_write_string(&w, (struct ev_str){ id.s, id.n });
	ev_buf_char(b, '}');
}

/* Is it still the message that it was, under its name? */
static bool is_faithful(const struct device_job *j, const struct ev_buf *b)
{
	struct message_id id = message_name(j);
	struct device_wire wire;

	return !b->overflow && device_json_decode(ev_buf_str(b), &wire, NULL) == EV_OK &&
	       wire.m.message_id.n == id.n && memcmp(wire.m.message_id.s, id.s, id.n) == 0;
}

/* Of what JSON allows, SQS refuses U+FFFE and U+FFFF alone; they can only be in strings. */
static void escape_refused(struct ev_str in, struct ev_buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.n - i >= 3 && (memcmp(in.p + i, "\xef\xbf\xbe", 3) == 0 ||
				      memcmp(in.p + i, "\xef\xbf\xbf", 3) == 0)) {
			ev_buf_z(out, in.p[i + 2] == '\xbe' ? "\\ufffe" : "\\uffff");
			i += 2;
		} else {
			ev_buf_char(out, in.p[i]);
		}
	}
}

/* With `messageId: null`, or a body that was cut, it is written anew. */
static ev_err make_body(const struct device_job *j, struct ev_str *out)
{
	size_t room = j->body_n + STAMP_ROOM;
	char *p;
	struct ev_buf b, sent;

	if (room < DEVICE_JSON_MAX)
		room = DEVICE_JSON_MAX;
	p = malloc(3 * room);
	if (p == NULL)
		return EV_NOMEM;
	b = ev_buf_over(p + 2 * room, room);
	splice(j, &b);
	if (!is_faithful(j, &b)) {
		struct device_message m = j->message;

		m.message_id = message_name(j);
		b = ev_buf_over(p + 2 * room, room);
		device_json_encode(&m, &b);
	}
	sent = ev_buf_over(p, 2 * room);
	escape_refused(ev_buf_str(&b), &sent);
	assert(!b.overflow && !sent.overflow);
	*out = ev_buf_str(&sent);
	return EV_OK;
}

/* --- waves: at most one message of a device, the next when that is accepted --- */

#define MARK_FAILED UINTPTR_MAX

/* What is sent together. */
struct wave {
	uintptr_t number;    /* from 1 */
	struct ev_map marks; /* outletId → the last wave it had to do with, or MARK_FAILED */
	size_t n;
	struct device_job *of[WAVE_MAX];
	struct sqs_entry entries[WAVE_MAX];
	struct aws_batch batch;
};

static void end_message(struct aws_front *f, struct device_job *j, ev_err e)
{
	j->job.err = e;
	j->job.verdict = VERDICT_QUEUED;
	j->job.reason = REASON_NONE;
	front_count(f, e == EV_OK ? &f->n.messages : &f->n.failed, 1);
}

static uintptr_t mark_of(const struct wave *w, const struct device_job *j)
{
	uintptr_t mark = 0;

	(void)ev_map_get(&w->marks, j->outlet_id.b, &mark);
	return mark;
}

/* It fails, and so will the device's later ones.  Its mark is there already, or there is none. */
static void fail_message(struct aws_front *f, struct wave *w, struct device_job *j, ev_err e)
{
	end_message(f, j, e);
	e = ev_map_put(&w->marks, j->outlet_id.b, MARK_FAILED);
	(void)e;
}

/* True if it has to wait for another wave. */
static bool add_to_wave(struct aws_front *f, struct wave *w, struct device_job *j)
{
	uintptr_t mark = mark_of(w, j);
	struct sqs_entry entry = { .is_moved = false };
	ev_err e = EV_OK;

	if (mark == w->number)
		return true;
	if (mark == MARK_FAILED)
		e = EV_IO;
	if (e == EV_OK)
		e = ev_map_put(&w->marks, j->outlet_id.b, w->number);
	if (e == EV_OK && w->n == WAVE_MAX)
		return true;
	if (e == EV_OK)
		e = make_body(j, &entry.body);
	if (e != EV_OK) {
		fail_message(f, w, j, e);
		return false;
	}
	w->entries[w->n] = entry;
	w->of[w->n++] = j;
	return false;
}

static void end_wave(struct aws_front *f, struct wave *w)
{
	for (size_t i = 0; i < w->n; i++) {
		enum aws_error_kind kind = w->batch.of[i];

		free((void *)(uintptr_t)w->entries[i].body.p);
		if (kind == AWS_ERROR_NONE)
			end_message(f, w->of[i], EV_OK);
		else
			fail_message(f, w, w->of[i], aws_error_map(kind));
	}
}

static void send_messages(struct aws_front *f, struct job **jobs, size_t n, struct wave *w)
{
	w->number = 0;
	ev_map_init(&w->marks, 0, f->config.seed);
	while (n > 0) {
		size_t left = 0;

		w->number++;
		w->n = 0;
		for (size_t i = 0; i < n; i++) {
			if (add_to_wave(f, w, (struct device_job *)jobs[i]))
				jobs[left++] = jobs[i];
		}
		n = left;
		if (w->n > 0)
			send_all(&f->jobs, f->config.resources->messages_in, f->url_messages,
				 w->entries, w->n, &w->batch);
		end_wave(f, w);
	}
	ev_map_deinit(&w->marks);
}

/* --- what cannot be sent --- */

static void add_letter(struct front_side *s, const struct device_job *j)
{
	int64_t now_ns = ev_clock_wall_ns(s->f->config.clock);
	struct dead_letter d = {
		.seq = now_ns > 0 ? (uint64_t)now_ns : 0,
		.id = j->id,
		.channel = INPUT_DEVICE_MESSAGE,
		.has_outlet = true,
		.outlet_id = j->outlet_id,
		.at_ns = j->job.at_ns,
		.reason = j->why,
		.body = { j->body, j->body_n },
	};
	struct json_writer w = ddb_batch_open(&s->batch, "PutItem", s->f->config.resources->items,
					      "letter", OWN_LETTER_JSON_MAX + 1024);

	memcpy(d.detail, j->detail, sizeof(j->detail));
	json_write_key(&w, "Item");
	own_letter_put(&d, &w);
	own_if_absent(&w);
	ddb_batch_shut(&s->batch, &w);
}

static void write_letters(struct aws_front *f, struct job **jobs, size_t n)
{
	struct front_side *s = &f->jobs;

	ddb_batch_init(&s->batch, &s->io);
	for (size_t i = 0; i < n; i++)
		add_letter(s, (const struct device_job *)jobs[i]);
	ddb_batch_run(&s->batch);
	for (size_t i = 0; i < n; i++) {
		struct device_job *j = (struct device_job *)jobs[i];
		ev_err e = ddb_batch_result(&s->batch, i);

		if (e != EV_OK && e != EV_CONFLICT)
			front_note_table(s);
		j->job.err = e == EV_CONFLICT ? EV_OK : e; /* it is there already */
		j->job.verdict = VERDICT_REJECTED;
		j->job.reason = j->why;
	}
	ddb_batch_deinit(&s->batch);
	front_count(f, &f->n.rejected, n);
}

/* Readable ones first, each part in its order. */
static size_t part(struct job **jobs, size_t n, struct job **unreadable)
{
	size_t k = 0, m = 0;

	for (size_t i = 0; i < n; i++) {
		struct device_job *j = (struct device_job *)jobs[i];

		j->has_state = false;
		if (j->decoded)
			jobs[k++] = jobs[i];
		else
			unreadable[m++] = jobs[i];
	}
	return k;
}

static void run_messages(struct aws_front *f, struct job **jobs, size_t n, struct job **unreadable,
			 struct wave *w)
{
	size_t k = part(jobs, n, unreadable);

	send_messages(f, jobs, k, w);
	for (size_t at = 0; at < n - k; at += DDB_BATCH_MAX) {
		size_t m = n - k - at;

		write_letters(f, &unreadable[at], m < DDB_BATCH_MAX ? m : DDB_BATCH_MAX);
	}
}

void front_run_messages(struct aws_front *f, struct job **jobs, size_t n)
{
	struct job **unreadable;
	struct wave *w;

	if (n == 0)
		return;
	unreadable = malloc(n * sizeof(struct job *));
	w = malloc(sizeof(*w));
	if (unreadable != NULL && w != NULL) {
		run_messages(f, jobs, n, unreadable, w);
	} else {
		for (size_t i = 0; i < n; i++)
			jobs[i]->err = EV_NOMEM;
	}
	free(unreadable);
	free(w);
}
