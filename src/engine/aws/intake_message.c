/* engine/aws/intake_message.c — messages in hand: what they become, and what becomes of them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "engine/aws/intake_internal.h"
#include "service/message_job.h"

/* --- in hand, the soonest visible first --- */

static void link_last(struct held *h)
{
	struct aws_intake *i = h->intake;

	h->prev = i->last;
	h->next = NULL;
	if (i->last != NULL)
		i->last->next = h;
	else
		i->first = h;
	i->last = h;
}

static void unlink_held(struct held *h)
{
	struct aws_intake *i = h->intake;

	if (h->prev != NULL)
		h->prev->next = h->next;
	else
		i->first = h->next;
	if (h->next != NULL)
		h->next->prev = h->prev;
	else
		i->last = h->prev;
}

/* All have the same visibility, so whoever is extended last is visible last. */
void intake_extended(struct held *h, int64_t visible_ns)
{
	h->visible_ns = visible_ns;
	unlink_held(h);
	link_last(h);
}

/* It comes again as another message with the same identity. */
void intake_set_lost(struct held *h)
{
	h->is_lost = true;
	h->intake->n.lost++;
	intake_extended(h, INT64_MAX);
}

static void free_if_over(struct held *h)
{
	if (!h->is_over || h->n_calls > 0)
		return;
	h->intake->bytes -= h->body.n;
	h->intake->n.in_hand--;
	unlink_held(h);
	free(h);
}

void intake_let_go(struct held *h)
{
	assert(!h->is_out);
	h->is_over = true;
	free_if_over(h);
}

void intake_unname(struct held *h)
{
	h->n_calls--;
	free_if_over(h);
}

/* --- from a message to a job --- */

static void on_done(struct job_owner *owner, struct job *j)
{
	struct aws_intake *i = ((struct held *)owner)->intake;
	struct ev_list one = { .first = NULL };
	ev_err e;

	ev_list_push(&one, &j->node);
	e = ev_mailbox_post(&i->done, &one);
	assert(e == EV_OK); /* it is unbounded, and open until it is freed */
	if (!atomic_exchange(&i->is_woken, true))
		i->config.caller->ops->wake(i->config.caller);
}

/* Of the texts of one message, unescaped one after the other. */
struct texts {
	char *p;
	size_t body_n, receipt_n, id_n;
};

/* None is longer than it stands in the answer.  False: no memory. */
static bool unescape(const struct sqs_received *m, struct texts *t)
{
	size_t cap = m->body.raw.n + m->receipt.raw.n + m->id.raw.n;

	t->p = malloc(cap + 1);
	if (t->p == NULL)
		return false;
	t->body_n = json_unescape(&m->body, t->p, cap);
	t->receipt_n = json_unescape(&m->receipt, t->p + t->body_n, cap - t->body_n);
	t->id_n = json_unescape(&m->id, t->p + t->body_n + t->receipt_n,
				cap - t->body_n - t->receipt_n);
	return true;
}

static int64_t first_receipt_ns(const struct aws_intake *i, const struct sqs_received *m)
{
	int64_t sent_ns = m->sent_ns > 0 ? m->sent_ns : ev_clock_wall_ns(i->config.clock);

	return m->has_at && m->at_ns < sent_ns ? m->at_ns : sent_ns;
}

static struct device_job *make_job(const struct aws_intake *i, const struct sqs_received *m,
				   const struct texts *t, size_t extra, void **out_held)
{
	struct device_wire wire;
	struct json_error error;
	struct message_input in = {
		.bytes = { t->p, t->body_n },
		.at_ns = first_receipt_ns(i, m),
		.has_id = m->has_identity,
		.id = m->identity,
		.name = { t->p + t->body_n + t->receipt_n, t->id_n },
		.error = &error,
	};

	if (device_json_decode(in.bytes, &wire, &error) == EV_OK)
		in.wire = &wire;
	return message_job_new(&in, extra, out_held);
}

/* The job has the body's beginning; only a longer one is kept beside it. */
static void keep_texts(struct held *h, const struct texts *t)
{
	memcpy(h->text, t->p + t->body_n, t->receipt_n);
	h->receipt = (struct ev_str){ h->text, t->receipt_n };
	h->body = (struct ev_str){ h->job->body, h->job->body_n };
	if (t->body_n > h->job->body_n) {
		memcpy(h->text + t->receipt_n, t->p, t->body_n);
		h->body = (struct ev_str){ h->text + t->receipt_n, t->body_n };
	}
}

static struct held *make_held(struct aws_intake *i, const struct sqs_received *m,
			      const struct texts *t)
{
	size_t extra = sizeof(struct held) + t->receipt_n;
	void *memory = NULL;
	struct device_job *j;
	struct held *h;

	if (t->body_n > JOB_BODY_MAX)
		extra += t->body_n;
	j = make_job(i, m, t, extra, &memory);
	if (j == NULL)
		return NULL;
	h = memory;
	memset(h, 0, sizeof(*h));
	h->owner.done = on_done;
	h->intake = i;
	h->job = j;
	j->job.owner = &h->owner;
	keep_texts(h, t);
	return h;
}

bool intake_take(struct aws_intake *i, const struct sqs_received *m, int64_t now_ns)
{
	struct texts t;
	struct held *h = NULL;

	if (unescape(m, &t)) {
		h = make_held(i, m, &t);
		free(t.p);
	}
	if (h == NULL)
		return false;
	h->visible_ns = now_ns + i->config.visibility_s * EV_NS_PER_S;
	link_last(h);
	h->is_out = true;
	i->n_out++;
	i->n.in_hand++;
	i->n.received++;
	i->bytes += h->body.n;
	i->config.submit(i->config.user, &h->job->job);
	return true;
}

/* --- from a job that is back --- */

static void settle(struct aws_intake *i, struct held *h, int64_t now_ns)
{
	struct job *j = &h->job->job;

	h->is_out = false;
	h->ready_ns = now_ns;
	i->n_out--;
	if (j->err != EV_OK) {
		i->n.failed++;
		intake_let_go(h);
		return;
	}
	if (j->verdict != VERDICT_REJECTED) {
		ev_list_push(&i->to_delete, &j->node);
		return;
	}
	if (h->job->decoded)
		i->n.rejected++;
	else
		i->n.undecodable++;
	ev_list_push(&i->to_move, &j->node);
}

bool intake_take_done(struct aws_intake *i, int64_t now_ns)
{
	struct ev_list back = { .first = NULL };
	struct ev_node *node;
	bool some;

	atomic_store(&i->is_woken, false);
	if (ev_mailbox_take(&i->done, 0, &back) != EV_OK)
		return false;
	some = back.n > 0;
	while ((node = ev_list_pop(&back)) != NULL)
		settle(i, held_of(node), now_ns);
	return some;
}

/* --- dead letters --- */

struct sqs_entry intake_dead_entry(const struct held *h, char *room)
{
	struct ev_buf b = ev_buf_over(room, SQS_REASON_MAX);
	const struct device_job *j = h->job;
	struct sqs_entry entry = { .body = h->body };

	if (h->is_bare)
		return entry;
	ev_buf_z(&b, reason_text(j->job.reason));
	if (b.len == 0)
		ev_buf_z(&b, verdict_text(j->job.verdict));
	if (j->detail[0] != '\0') {
		ev_buf_z(&b, ": ");
		sqs_clean(ev_str_from(j->detail), SQS_REASON_MAX - b.len, &b);
	}
	entry.is_moved = true;
	entry.id = j->id;
	entry.at_ns = j->job.at_ns;
	entry.reason = ev_buf_str(&b);
	return entry;
}
