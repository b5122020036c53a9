/* test/cloud/sqs_send.c — SendMessage and SendMessageBatch, and what all batches share. */
#include <string.h>

#include "base/hash.h"
#include "cloud/sqs.h"
#include "cloud/sqs_batch.h"

#define SEND_KEYS " MessageBody DelaySeconds MessageAttributes MessageSystemAttributes "

/* What SQS takes in a body: XML 1.0's characters. */
static bool valid_text(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
			return false;
		if (i + 2 < s.n && c == 0xef && (unsigned char)s.p[i + 1] == 0xbf &&
		    (unsigned char)s.p[i + 2] >= 0xbe)
			return false; /* U+FFFE and U+FFFF */
	}
	return true;
}

struct letter {
	struct ev_str body;
	const struct node *attributes;
	char body_md5[33], attributes_md5[33];
	size_t bytes;
	int64_t delay_s;
};

static bool letter_read(struct request *r, const struct queue *q, const struct node *n,
			struct letter *out)
{
	uint8_t digest[16];

	*out = (struct letter){ .delay_s = queue_number(q, "DelaySeconds", 0) };
	if (!need_text(r, n, "MessageBody", &out->body) ||
	    !want(r, n, "MessageAttributes", NODE_OBJECT, &out->attributes) ||
	    !want_int(r, n, "DelaySeconds", 0, 900, &out->delay_s))
		return false;
	if (out->body.n == 0)
		return refuse(r, "MissingParameter",
			      "The request must contain the parameter MessageBody.");
	if (!valid_text(out->body))
		return refuse(r, "InvalidMessageContents", "Invalid characters found.");
	if (!message_attrs_check(r, out->attributes, out->attributes_md5, &out->bytes))
		return false;
	out->bytes += out->body.n;
	if (out->bytes > (size_t)queue_number(q, "MaximumMessageSize", (int64_t)SQS_BYTES_MAX))
		return refuse(r, "InvalidParameterValue",
			      "One or more parameters are invalid. Reason: Message must be shorter "
			      "than %zu bytes.",
			      SQS_BYTES_MAX);
	md5(out->body, digest);
	ev_hex(digest, sizeof(digest), out->body_md5);
	return true;
}

static struct message *message_new(struct cloud *c, const struct letter *l)
{
	struct message *m = must_calloc(1, sizeof(*m));
	struct ev_uuid id = ev_rng_uuid(&c->rng.base);
	char text[EV_UUID_TEXT + 1];

	ev_uuid_text(&id, text);
	m->id = pool_copy(&m->pool, ev_str_from(text));
	m->body = pool_copy(&m->pool, l->body);
	if (l->attributes != NULL && l->attributes->n > 0)
		m->attributes = pool_copy(&m->pool, l->attributes->raw);
	m->sent_ns = cloud_wall_ns(c);
	m->visible_ns = cloud_mono_ns(c) + l->delay_s * EV_NS_PER_S;
	return m;
}

/* The members of an answer for one message. */
static void post(struct request *r, struct queue *q, const struct letter *l)
{
	struct message *m = message_new(r->cloud, l);

	if (r->fault == CLOUD_DUPLICATE) {
		struct message *twin = message_new(r->cloud, l);

		twin->id = pool_copy(&twin->pool, m->id);
		queue_push(r->cloud, q, twin);
	}
	queue_push(r->cloud, q, m);
	json_write_key(&r->w, "MessageId");
	json_write_string(&r->w, m->id);
	json_write_key(&r->w, "MD5OfMessageBody");
	json_write_z(&r->w, l->body_md5);
	if (l->attributes_md5[0] != '\0') {
		json_write_key(&r->w, "MD5OfMessageAttributes");
		json_write_z(&r->w, l->attributes_md5);
	}
}

bool sqs_send(struct request *r)
{
	struct queue *q;
	struct letter l;

	if (!queue_of(r, &q) || !letter_read(r, q, r->body, &l))
		return false;
	r->sqs_bytes = l.bytes;
	json_write_object(&r->w);
	post(r, q, &l);
	json_write_object_end(&r->w);
	return true;
}

/* --- Batches --- */

static bool valid_id(struct ev_str id)
{
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return false;
	}
	return id.n > 0 && id.n <= 80;
}

bool sqs_batch_read(struct request *r, const char *keys, struct sqs_batch *out)
{
	*out = (struct sqs_batch){ .r = r };
	if (!queue_of(r, &out->q) || !need(r, r->body, "Entries", NODE_ARRAY, &out->entries))
		return false;
	if (out->entries->n == 0)
		return refuse(r, "EmptyBatchRequest",
			      "There should be at least one entry in the request.");
	if (out->entries->n > SQS_BATCH_MAX)
		return refuse(r, "TooManyEntriesInBatchRequest",
			      "Maximum number of entries per request are 10. You have sent %zu.",
			      out->entries->n);
	for (const struct node *e = out->entries->first; e != NULL; e = e->next) {
		if (!known_keys(r, e, keys) || !need_text(r, e, "Id", &out->ids[out->n]))
			return false;
		if (!valid_id(out->ids[out->n]))
			return refuse(r, "InvalidBatchEntryId",
				      "A batch entry id can only contain alphanumeric characters, "
				      "hyphens and underscores.");
		for (size_t i = 0; i < out->n; i++) {
			if (ev_str_eq(out->ids[i], out->ids[out->n]))
				return refuse(r, "BatchEntryIdsNotDistinct", "Id %.*s repeated.",
					      (int)out->ids[i].n, out->ids[i].p);
		}
		out->n++;
	}
	return true;
}

static void write_failed(struct sqs_batch *b, size_t i)
{
	struct json_writer *w = &b->r->w;

	json_write_object(w);
	json_write_key(w, "Id");
	json_write_string(w, b->ids[i]);
	json_write_key(w, "SenderFault");
	json_write_bool(w, b->codes[i][0] != 'S'); /* ServiceUnavailable */
	json_write_key(w, "Code");
	json_write_z(w, b->codes[i]);
	json_write_key(w, "Message");
	json_write_z(w, b->messages[i] != NULL ? b->messages[i] : "");
	json_write_object_end(w);
}

void sqs_batch_run(struct sqs_batch *b, sqs_entry_fn *fn, void *user)
{
	struct request *r = b->r;
	struct json_writer *w = &r->w;
	size_t i = 0;
	bool failed = false;

	json_write_object(w);
	json_write_key(w, "Successful");
	json_write_array(w);
	for (const struct node *e = b->entries->first; e != NULL; e = e->next, i++) {
		size_t at = w->b->len;
		bool comma = w->comma;

		if (entry_fails(r, i, b->n)) {
			b->codes[i] = "ServiceUnavailable";
			failed = true;
			continue;
		}
		json_write_object(w);
		json_write_key(w, "Id");
		json_write_string(w, b->ids[i]);
		if (fn(b, e, i, user)) {
			json_write_object_end(w);
			continue;
		}
		/* This one fails alone. */
		w->b->len = at;
		w->comma = comma;
		b->codes[i] = r->code;
		b->messages[i] = pool_copy(&r->pool, ev_str_from(r->message)).p;
		r->failed = false;
		failed = true;
	}
	json_write_array_end(w);
	if (failed || cloud_below(r->cloud, 2) == 0) {
		json_write_key(w, "Failed");
		json_write_array(w);
		for (i = 0; i < b->n; i++) {
			if (b->codes[i] != NULL)
				write_failed(b, i);
		}
		json_write_array_end(w);
	}
	json_write_object_end(w);
}

static bool post_entry(struct sqs_batch *b, const struct node *e, size_t i, void *user)
{
	struct letter l;

	(void)i;
	(void)user;
	if (!letter_read(b->r, b->q, e, &l))
		return false;
	post(b->r, b->q, &l);
	return true;
}

bool sqs_send_batch(struct request *r)
{
	struct sqs_batch b;
	size_t bytes = 0;

	if (!sqs_batch_read(r, " Id" SEND_KEYS, &b))
		return false;
	for (const struct node *e = b.entries->first; e != NULL; e = e->next) {
		const struct node *body = node_get(e, "MessageBody");
		const struct node *attrs = node_get(e, "MessageAttributes");

		bytes += (body != NULL ? body->text.n : 0) + (attrs != NULL ? attrs->raw.n : 0);
	}
	if (bytes > SQS_BYTES_MAX)
		return refuse(r, "BatchRequestTooLong",
			      "Batch requests cannot be longer than %zu bytes. You have sent %zu "
			      "bytes.",
			      SQS_BYTES_MAX, bytes);
	r->sqs_bytes = bytes;
	sqs_batch_run(&b, post_entry, NULL);
	return true;
}
