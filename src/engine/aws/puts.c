#include "engine/aws/puts.h"

#include <assert.h>

#include "base/num.h"
#include "codec/json_record.h"
#include "codec/json_write.h"

static void write_record(struct json_writer *w, const struct ev_uuid *key, struct ev_str data)
{
	json_write_object(w);
	json_write_key(w, "Data");
	json_write_raw(w, EV_LIT("\""));
	ev_base64_write(w->b, data.p, data.n);
	ev_buf_char(w->b, '"');
	json_write_key(w, "PartitionKey");
	json_write_uuid(w, key);
	json_write_object_end(w);
}

static void begin_records(struct json_writer *w, const char *stream)
{
	json_write_object(w);
	json_write_key(w, "StreamName");
	json_write_z(w, stream);
	json_write_key(w, "Records");
	json_write_array(w);
}

static void end_records(struct json_writer *w)
{
	json_write_array_end(w);
	json_write_object_end(w);
}

void aws_put_events_write(struct ev_buf *b, const char *stream,
			  const struct aws_effect *const effects[], const struct aws_batch *batch)
{
	struct json_writer w = json_writer_over(b);

	begin_records(&w, stream);
	for (size_t i = 0; i < batch->n_pending; i++) {
		const struct aws_effect *e = effects[batch->pending[i]];
		char bytes[EVENT_PROTO_MAX];
		struct ev_buf proto = ev_buf_over(bytes, sizeof(bytes));

		assert(!e->is_command);
		event_proto_encode(&e->event, &proto);
		assert(!proto.overflow);
		write_record(&w, &e->event.outlet_id, ev_buf_str(&proto));
	}
	end_records(&w);
}

void aws_put_record_write(struct ev_buf *b, const char *stream, const struct ev_uuid *key,
			  struct ev_str data)
{
	struct json_writer w = json_writer_over(b);

	begin_records(&w, stream);
	write_record(&w, key, data);
	end_records(&w);
}

/* Ids are places in the request, as the original's are. */
static void write_entry(struct json_writer *w, size_t place, const struct device_command *c)
{
	char id[2] = { (char)('0' + place), '\0' };
	char bytes[DEVICE_JSON_MAX];
	struct ev_buf body = ev_buf_over(bytes, sizeof(bytes));

	device_command_encode(c, &body);
	assert(!body.overflow);
	json_write_object(w);
	json_write_key(w, "Id");
	json_write_z(w, id);
	json_write_key(w, "MessageBody");
	json_write_string(w, ev_buf_str(&body));
	json_write_object_end(w);
}

void aws_put_commands_write(struct ev_buf *b, const char *queue_url,
			    const struct aws_effect *const effects[], const struct aws_batch *batch)
{
	struct json_writer w = json_writer_over(b);

	assert(batch->n_pending <= AWS_PUT_COMMANDS_MAX);
	json_write_object(&w);
	json_write_key(&w, "QueueUrl");
	json_write_z(&w, queue_url);
	json_write_key(&w, "Entries");
	json_write_array(&w);
	for (size_t i = 0; i < batch->n_pending; i++) {
		const struct aws_effect *e = effects[batch->pending[i]];

		assert(e->is_command);
		write_entry(&w, i, &e->command);
	}
	json_write_array_end(&w);
	json_write_object_end(&w);
}

/* --- Answers --- */

/* A short string whose place is what counts; longer ones are cut. */
struct word {
	size_t n;
	char s[AWS_ERROR_CODE];
};

static ev_err read_word(struct json_reader *r, void *target)
{
	struct word *word = target;
	struct json_span span;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	word->n = json_unescape(&span, word->s, sizeof(word->s));
	if (word->n > sizeof(word->s))
		word->n = sizeof(word->s);
	return EV_OK;
}

/* What an entry of either answer may hold. */
struct entry {
	struct word code, sequence, id;
};
enum { CODE, SEQUENCE, ID };

#define MAYBE (JSON_OPTIONAL | JSON_NULLABLE)
static const struct json_field record_fields[] = {
	[CODE] = JSON_FIELD(struct entry, code, "ErrorCode", read_word, MAYBE),
	[SEQUENCE] = JSON_FIELD(struct entry, sequence, "SequenceNumber", read_word, MAYBE),
};
static const struct json_field message_fields[] = {
	[CODE] = JSON_FIELD(struct entry, code, "Code", read_word, MAYBE),
	[SEQUENCE] = JSON_FIELD(struct entry, sequence, "MessageId", read_word, MAYBE),
	[ID] = JSON_FIELD(struct entry, id, "Id", read_word, MAYBE),
};

static enum aws_error_kind entry_kind(const struct entry *e)
{
	return aws_error_kind_of((struct ev_str){ e->code.s, e->code.n });
}

/* Records stand in the order of the request. */
static ev_err take_records(struct json_reader *r, struct aws_batch *batch)
{
	size_t place = 0;
	ev_err e = json_read_array(r);

	while (e == EV_OK) {
		struct entry entry;
		uint32_t seen;
		bool more;

		e = json_read_item(r, &more);
		if (e != EV_OK || !more)
			break;
		e = json_read_record(r, record_fields, EV_ARRAY_LEN(record_fields), &entry, &seen);
		if (e != EV_OK || place == batch->n_pending)
			return EV_CORRUPT;
		if ((seen >> CODE & 1) != 0)
			aws_batch_failed(batch, place, entry_kind(&entry));
		else if ((seen >> SEQUENCE & 1) != 0)
			aws_batch_done(batch, place);
		place++;
	}
	return e;
}

static ev_err take_messages(struct json_reader *r, struct aws_batch *batch, bool failed)
{
	ev_err e = json_read_array(r);

	while (e == EV_OK) {
		struct entry entry;
		uint64_t place;
		uint32_t seen;
		bool more;

		e = json_read_item(r, &more);
		if (e != EV_OK || !more)
			break;
		e = json_read_record(r, message_fields, EV_ARRAY_LEN(message_fields), &entry,
				     &seen);
		if (e != EV_OK || (seen >> ID & 1) == 0 ||
		    num_parse_u64((struct ev_str){ entry.id.s, entry.id.n }, &place) != EV_OK ||
		    place >= batch->n_pending)
			return EV_CORRUPT;
		if (!failed)
			aws_batch_done(batch, (size_t)place);
		else if ((seen >> CODE & 1) != 0)
			aws_batch_failed(batch, (size_t)place, entry_kind(&entry));
	}
	return e;
}

static bool key_is(const struct json_span *key, const char *name)
{
	return !key->escaped && ev_str_eqz(key->raw, name);
}

/* Lists may be null, as of some that stand in for AWS. */
static ev_err take_member(struct json_reader *r, const struct json_span *key,
			  struct aws_batch *batch)
{
	bool is_null;
	ev_err e = json_read_null(r, &is_null);

	if (e != EV_OK || is_null)
		return e;
	if (key_is(key, "Records"))
		return take_records(r, batch);
	if (key_is(key, "Successful"))
		return take_messages(r, batch, false);
	if (key_is(key, "Failed"))
		return take_messages(r, batch, true);
	return json_skip(r, NULL);
}

/* Either answer: their members have different names. */
static void taken(const struct aws_call *call, struct aws_batch *batch)
{
	struct json_reader r;
	bool more = true;
	ev_err e;

	if (call->err != EV_OK) {
		enum aws_error_kind kind = call->error.kind == AWS_ERROR_NONE ? AWS_ERROR_OTHER
									      : call->error.kind;

		for (size_t i = 0; i < batch->n_pending; i++)
			aws_batch_failed(batch, i, kind);
		return;
	}
	json_read_init(&r, call->answer, NULL);
	e = json_read_object(&r);
	while (e == EV_OK && more) {
		struct json_span key;

		e = json_read_key(&r, &more, &key);
		if (e == EV_OK && more)
			e = take_member(&r, &key, batch);
	}
}

void aws_put_events_taken(const struct aws_call *call, struct aws_batch *batch)
{
	taken(call, batch);
}

void aws_put_commands_taken(const struct aws_call *call, struct aws_batch *batch)
{
	taken(call, batch);
}

/* --- The queue's address --- */

struct url {
	size_t n;
	char s[AWS_QUEUE_URL_MAX];
};

static ev_err read_url(struct json_reader *r, void *target)
{
	struct url *url = target;
	struct json_span span;
	ev_err e = json_read_string(r, &span);

	if (e == EV_OK)
		url->n = json_unescape(&span, url->s, sizeof(url->s));
	return e;
}

static const struct json_field url_fields[] = {
	JSON_FIELD(struct url, n, "QueueUrl", read_url, JSON_REQUIRED),
};

static ev_err take_url(struct ev_str answer, char out[AWS_QUEUE_URL_MAX])
{
	struct json_reader r;
	struct url url = { .n = 0 };
	uint32_t seen;

	json_read_init(&r, answer, NULL);
	if (json_read_record(&r, url_fields, EV_ARRAY_LEN(url_fields), &url, &seen) != EV_OK ||
	    url.n == 0 || url.n >= sizeof(url.s) || memchr(url.s, '\0', url.n) != NULL)
		return EV_CORRUPT;
	memcpy(out, url.s, url.n);
	out[url.n] = '\0';
	return EV_OK;
}

ev_err aws_queue_url(struct aws_caller *caller, const char *queue, int64_t deadline_ns,
		     char out[AWS_QUEUE_URL_MAX], struct aws_error *error)
{
	char room[AWS_RESOURCE_MAX + 32];
	struct ev_buf body = ev_buf_over(room, sizeof(room));
	struct json_writer w = json_writer_over(&body);
	struct aws_call call = { .service = AWS_SQS, .operation = "GetQueueUrl" };
	ev_err err;

	json_write_object(&w);
	json_write_key(&w, "QueueName");
	json_write_z(&w, queue);
	json_write_object_end(&w);
	call.body = ev_buf_str(&body);
	err = aws_caller_one(caller, &call, deadline_ns);
	if (err == EV_OK)
		err = take_url(call.answer, out);
	*error = call.error;
	aws_call_clear(&call);
	return err;
}
