/* test/cloud/sqs_receive.c — ReceiveMessage, DeleteMessage, ChangeMessageVisibility. */
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "cloud/sqs.h"
#include "cloud/sqs_batch.h"

#define RECEIVE_MAX 10
#define WINDOW (3 * RECEIVE_MAX) /* messages among which one is drawn */
#define IN_FLIGHT_MAX 120000
#define VISIBILITY_MAX_S 43200

/* --- Handles: the message and its how manieth receipt --- */

static struct ev_str handle_of(struct request *r, const struct message *m)
{
	char text[64];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	ev_buf_str_add(&b, m->id);
	ev_buf_char(&b, '#');
	ev_buf_u64(&b, m->receives);
	return base64_encode(&r->pool, ev_buf_str(&b));
}

/* *out_at is q->n if the message is gone; *out_last whether it was not received again. */
static bool handle_read(struct request *r, const struct queue *q, struct ev_str handle,
			size_t *out_at, bool *out_last)
{
	struct ev_str text, id, count;
	const char *sign;
	uint64_t n;
	size_t at = q->n;

	if (!base64_decode(&r->pool, handle, &text) || text.n == 0 ||
	    (sign = memchr(text.p, '#', text.n)) == NULL)
		return refuse(r, "ReceiptHandleIsInvalid", "The input receipt handle is invalid.");
	id = (struct ev_str){ text.p, (size_t)(sign - text.p) };
	count = (struct ev_str){ sign + 1, text.n - id.n - 1 };
	if (id.n != EV_UUID_TEXT || num_parse_u64(count, &n) != EV_OK)
		return refuse(r, "ReceiptHandleIsInvalid", "The input receipt handle is invalid.");
	for (size_t i = 0; i < q->n; i++) {
		if (!ev_str_eq(q->messages[i]->id, id))
			continue;
		at = i; /* of twins the one with that receipt */
		if (q->messages[i]->receives == n)
			break;
	}
	*out_at = at;
	*out_last = at < q->n && q->messages[at]->receives == n;
	return true;
}

/* --- Receiving --- */

struct receipt {
	struct queue *q;
	int64_t max, visibility_s, wait_s;
	const struct node *system, *names;
	struct message *got[RECEIVE_MAX];
	size_t n;
};

static bool receipt_read(struct request *r, struct receipt *out)
{
	const struct node *old_names, *new_names;

	if (!queue_of(r, &out->q))
		return false;
	out->max = 1;
	out->visibility_s = queue_number(out->q, "VisibilityTimeout", 30);
	out->wait_s = queue_number(out->q, "ReceiveMessageWaitTimeSeconds", 0);
	if (!want_int(r, r->body, "MaxNumberOfMessages", 1, RECEIVE_MAX, &out->max) ||
	    !want_int(r, r->body, "VisibilityTimeout", 0, VISIBILITY_MAX_S, &out->visibility_s) ||
	    !want_int(r, r->body, "WaitTimeSeconds", 0, 20, &out->wait_s) ||
	    !want(r, r->body, "AttributeNames", NODE_ARRAY, &old_names) ||
	    !want(r, r->body, "MessageSystemAttributeNames", NODE_ARRAY, &new_names) ||
	    !want(r, r->body, "MessageAttributeNames", NODE_ARRAY, &out->names))
		return false;
	if (old_names != NULL && new_names != NULL)
		return refuse(r, "InvalidParameterValue",
			      "AttributeNames and MessageSystemAttributeNames cannot both be used");
	out->system = new_names != NULL ? new_names : old_names;
	return true;
}

struct dead_letters {
	struct queue *to; /* NULL: there are none */
	uint64_t max;
};

static struct dead_letters dead_letters_of(struct request *r, const struct queue *q)
{
	struct dead_letters d = { NULL, 0 };
	struct ev_str policy = queue_attr(q, "RedrivePolicy"), arn;
	struct node *p;
	const char *colon;

	if (policy.n == 0 || node_parse(&r->pool, policy, &p) != EV_OK)
		return d;
	arn = node_get(p, "deadLetterTargetArn")->text;
	colon = memrchr(arn.p, ':', arn.n);
	d.to = queue_find(r->cloud,
			  (struct ev_str){ colon + 1, arn.n - (size_t)(colon + 1 - arn.p) });
	return num_parse_u64(node_get(p, "maxReceiveCount")->text, &d.max) == EV_OK
		       ? d
		       : (struct dead_letters){ NULL, 0 };
}

/* Up to max of the oldest visible messages, drawn among WINDOW of them. */
static void draw(struct request *r, struct receipt *out)
{
	struct dead_letters dead = dead_letters_of(r, out->q);
	struct message *window[WINDOW];
	struct queue *q = out->q;
	int64_t now = cloud_mono_ns(r->cloud);
	size_t n = 0;

	for (size_t i = 0; i < q->n && n < WINDOW; i++) {
		struct message *m = q->messages[i];

		if (m->visible_ns > now)
			continue;
		if (dead.to != NULL && m->receives >= dead.max) {
			m = queue_take(q, i--);
			m->in_flight = false;
			m->receives = 0;
			queue_push(r->cloud, dead.to, m);
			continue;
		}
		window[n++] = m;
	}
	while (n > 0 && out->n < (size_t)out->max) {
		size_t at = (size_t)cloud_below(r->cloud, n);

		out->got[out->n++] = window[at];
		window[at] = window[--n];
	}
}

static bool too_many(struct request *r, const struct queue *q)
{
	int64_t now = cloud_mono_ns(r->cloud);
	size_t n = 0;

	if (q->n <= IN_FLIGHT_MAX)
		return false;
	for (size_t i = 0; i < q->n; i++)
		n += q->messages[i]->in_flight && q->messages[i]->visible_ns > now;
	return n >= IN_FLIGHT_MAX;
}

static bool is_asked(const struct node *names, const char *name)
{
	for (const struct node *n = names->first; n != NULL; n = n->next) {
		if (ev_str_eqz(n->text, "All") || ev_str_eqz(n->text, name))
			return true;
	}
	return false;
}

static void write_system(struct request *r, const struct message *m, const struct node *names)
{
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "ApproximateFirstReceiveTimestamp", (uint64_t)(m->first_ns / EV_NS_PER_MS) },
		{ "ApproximateReceiveCount", m->receives },
		{ "SentTimestamp", (uint64_t)(m->sent_ns / EV_NS_PER_MS) },
	};

	if (names == NULL || names->n == 0)
		return;
	json_write_key(&r->w, "Attributes");
	json_write_object(&r->w);
	for (size_t i = 0; i < EV_ARRAY_LEN(all); i++) {
		char text[24];
		struct ev_buf b = ev_buf_over(text, sizeof(text));

		if (!is_asked(names, all[i].name))
			continue;
		ev_buf_u64(&b, all[i].value);
		json_write_string(&r->w, ev_str_from(all[i].name));
		ev_buf_char(r->w.b, ':');
		r->w.comma = false;
		json_write_string(&r->w, ev_buf_str(&b));
	}
	if (is_asked(names, "SenderId")) {
		json_write_key(&r->w, "SenderId");
		json_write_z(&r->w, "AIDASSYFHUBOBT7F4XT75");
	}
	json_write_object_end(&r->w);
}

static void write_message(struct request *r, const struct receipt *rc, struct message *m)
{
	int64_t now = cloud_mono_ns(r->cloud);
	uint8_t digest[16];
	char hash[33];

	m->receives++;
	if (m->first_ns == 0)
		m->first_ns = cloud_wall_ns(r->cloud);
	m->in_flight = true;
	m->visible_ns = r->fault == CLOUD_DUPLICATE ? now : now + rc->visibility_s * EV_NS_PER_S;
	md5(m->body, digest);
	ev_hex(digest, sizeof(digest), hash);
	json_write_object(&r->w);
	json_write_key(&r->w, "MessageId");
	json_write_string(&r->w, m->id);
	json_write_key(&r->w, "ReceiptHandle");
	json_write_string(&r->w, handle_of(r, m));
	json_write_key(&r->w, "MD5OfBody");
	json_write_z(&r->w, hash);
	json_write_key(&r->w, "Body");
	json_write_string(&r->w, m->body);
	write_system(r, m, rc->system);
	message_attrs_write(r, m, rc->names);
	json_write_object_end(&r->w);
	r->sqs_bytes += m->body.n;
}

bool sqs_receive(struct request *r)
{
	struct receipt rc = { .n = 0 };

	if (!receipt_read(r, &rc))
		return false;
	if (too_many(r, rc.q))
		return refuse(r, "OverLimit", "Too many messages in flight");
	if (r->fault != CLOUD_STALE || rc.wait_s > 0)
		draw(r, &rc);
	if (rc.n == 0 && rc.wait_s > 0 && r->may_park) {
		r->park_ns = cloud_mono_ns(r->cloud) + rc.wait_s * EV_NS_PER_S;
		r->park_queue = rc.q->id;
		return true;
	}
	json_write_object(&r->w);
	if (rc.n > 0) {
		json_write_key(&r->w, "Messages");
		json_write_array(&r->w);
		for (size_t i = 0; i < rc.n; i++)
			write_message(r, &rc, rc.got[i]);
		json_write_array_end(&r->w);
	}
	json_write_object_end(&r->w);
	if (r->fault == CLOUD_DUPLICATE && rc.n > 0)
		r->cloud->sqs_version++;
	return true;
}

/* --- Deleting, changing --- */

static bool delete_one(struct request *r, struct queue *q, const struct node *n)
{
	struct ev_str handle;
	size_t at;
	bool last;

	if (!need_text(r, n, "ReceiptHandle", &handle) || !handle_read(r, q, handle, &at, &last))
		return false;
	/* With an older receipt the answer is the same, but the message stays. */
	if (last && r->fault != CLOUD_DUPLICATE)
		message_free(queue_take(q, at));
	return true;
}

bool sqs_delete(struct request *r)
{
	struct queue *q;

	return queue_of(r, &q) && delete_one(r, q, r->body);
}

static bool delete_entry(struct sqs_batch *b, const struct node *e, size_t i, void *user)
{
	(void)i;
	(void)user;
	return delete_one(b->r, b->q, e);
}

bool sqs_delete_batch(struct request *r)
{
	struct sqs_batch b;

	if (!sqs_batch_read(r, " Id ReceiptHandle ", &b))
		return false;
	sqs_batch_run(&b, delete_entry, NULL);
	return true;
}

static bool change_one(struct request *r, struct queue *q, const struct node *n)
{
	struct ev_str handle;
	int64_t seconds = -1, now = cloud_mono_ns(r->cloud);
	struct message *m;
	size_t at;
	bool last;

	if (!need_text(r, n, "ReceiptHandle", &handle) ||
	    !want_int(r, n, "VisibilityTimeout", 0, VISIBILITY_MAX_S, &seconds))
		return false;
	if (seconds < 0)
		return refuse(r, "MissingParameter",
			      "The request must contain the parameter VisibilityTimeout.");
	if (!handle_read(r, q, handle, &at, &last))
		return false;
	m = last ? q->messages[at] : NULL;
	if (m == NULL || !m->in_flight || m->visible_ns <= now)
		return refuse(r, "MessageNotInflight", "The message referred to isn't in flight.");
	m->visible_ns = now + seconds * EV_NS_PER_S;
	r->cloud->sqs_version++;
	return true;
}

bool sqs_change(struct request *r)
{
	struct queue *q;

	return queue_of(r, &q) && change_one(r, q, r->body);
}

static bool change_entry(struct sqs_batch *b, const struct node *e, size_t i, void *user)
{
	(void)i;
	(void)user;
	return change_one(b->r, b->q, e);
}

bool sqs_change_batch(struct request *r)
{
	struct sqs_batch b;

	if (!sqs_batch_read(r, " Id ReceiptHandle VisibilityTimeout ", &b))
		return false;
	sqs_batch_run(&b, change_entry, NULL);
	return true;
}
