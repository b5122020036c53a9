/* engine/aws/sqs.c — see sqs.h. */
#include "engine/aws/sqs.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "base/time.h"
#include "codec/json_write.h"

#define TYPE_STRING "String"
#define ENTRY_FIXED 512   /* bytes of an entry's JSON beside body, reason and receipt */
#define REQUEST_FIXED 640 /* of a batch beside its entries: the URL above all */

/* --- texts --- */

/* Length of the character at p if SQS takes it, else 0. */
static size_t next_allowed(const char *p, size_t n)
{
	size_t len = ev_utf8_next(p, n);

	if (len == 1 && (unsigned char)*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r')
		return 0;
	if (len == 3 && (memcmp(p, "\xef\xbf\xbe", 3) == 0 || memcmp(p, "\xef\xbf\xbf", 3) == 0))
		return 0;
	return len;
}

bool sqs_may_send(struct ev_str s)
{
	size_t i = 0;

	while (i < s.n) {
		size_t len = next_allowed(s.p + i, s.n - i);

		if (len == 0)
			return false;
		i += len;
	}
	return s.n > 0;
}

void sqs_clean(struct ev_str s, size_t cap, struct ev_buf *out)
{
	size_t used = 0;

	for (size_t i = 0; i < s.n;) {
		size_t len = next_allowed(s.p + i, s.n - i);
		size_t whole = ev_utf8_next(s.p + i, s.n - i);

		if (used + (len > 0 ? len : 1) > cap)
			return;
		if (len > 0)
			ev_buf_bytes(out, s.p + i, len);
		else
			ev_buf_char(out, '?');
		used += len > 0 ? len : 1;
		i += whole > 0 ? whole : 1;
	}
}

/* --- requests --- */

static void write_one(struct ev_str s, bool is_url, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	if (is_url)
		json_write_key(&w, "QueueUrl");
	else
		json_write_key(&w, "QueueName");
	json_write_string(&w, s);
	json_write_object_end(&w);
}

void sqs_write_name(struct ev_str queue, struct ev_buf *b)
{
	write_one(queue, false, b);
}

void sqs_write_url(struct ev_str url, struct ev_buf *b)
{
	write_one(url, true, b);
}

/* Numbers among a queue's attributes are strings. */
static void write_number(struct json_writer *w, unsigned v)
{
	char text[24];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	ev_buf_u64(&b, v);
	json_write_string(w, ev_buf_str(&b));
}

void sqs_write_create(const struct sqs_create *c, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	json_write_key(&w, "QueueName");
	json_write_string(&w, c->name);
	json_write_key(&w, "Attributes");
	json_write_object(&w);
	if (c->visibility_s != 0) {
		json_write_key(&w, "VisibilityTimeout");
		write_number(&w, c->visibility_s);
	}
	if (c->retention_s != 0) {
		json_write_key(&w, "MessageRetentionPeriod");
		write_number(&w, c->retention_s);
	}
	if (c->wait_s != 0) {
		json_write_key(&w, "ReceiveMessageWaitTimeSeconds");
		write_number(&w, c->wait_s);
	}
	json_write_object_end(&w);
	json_write_object_end(&w);
}

void sqs_write_receive(struct ev_str url, unsigned wait_s, unsigned visibility_s, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	json_write_object(&w);
	json_write_key(&w, "QueueUrl");
	json_write_string(&w, url);
	json_write_key(&w, "MaxNumberOfMessages");
	json_write_u64(&w, SQS_ENTRIES_MAX);
	json_write_key(&w, "WaitTimeSeconds");
	json_write_u64(&w, wait_s);
	json_write_key(&w, "VisibilityTimeout");
	json_write_u64(&w, visibility_s);
	json_write_key(&w, "AttributeNames");
	json_write_array(&w);
	json_write_z(&w, "SentTimestamp");
	json_write_array_end(&w);
	json_write_key(&w, "MessageAttributeNames");
	json_write_array(&w);
	json_write_z(&w, SQS_ATTRIBUTE_IDENTITY);
	json_write_z(&w, SQS_ATTRIBUTE_AT);
	json_write_array_end(&w);
	json_write_object_end(&w);
}

/* An attribute counts with its name, its type and its value. */
static size_t attribute_size(size_t name_n, size_t value_n)
{
	return name_n + sizeof(TYPE_STRING) - 1 + value_n;
}

size_t sqs_entry_size(const struct sqs_entry *e)
{
	size_t n = e->body.n;

	if (!e->is_moved)
		return n;
	n += attribute_size(sizeof(SQS_ATTRIBUTE_IDENTITY) - 1, 2 * sizeof(e->id.b));
	n += attribute_size(sizeof(SQS_ATTRIBUTE_AT) - 1, 20);
	if (e->reason.n > 0)
		n += attribute_size(sizeof(SQS_ATTRIBUTE_REASON) - 1, e->reason.n);
	return n;
}

/* Bytes of a text once it is escaped. */
static size_t escaped_size(struct ev_str s)
{
	size_t n = s.n;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20)
			n += 5;
		else if (c == '"' || c == '\\')
			n++;
	}
	return n;
}

size_t sqs_send_room(const struct sqs_entry *entries, size_t n)
{
	size_t room = REQUEST_FIXED;

	for (size_t i = 0; i < n; i++)
		room += ENTRY_FIXED + escaped_size(entries[i].body) +
			escaped_size(entries[i].reason);
	return room;
}

static void write_attribute_value(struct json_writer *w, struct ev_str value)
{
	json_write_object(w);
	json_write_key(w, "DataType");
	json_write_z(w, TYPE_STRING);
	json_write_key(w, "StringValue");
	json_write_string(w, value);
	json_write_object_end(w);
}

static void write_attributes(struct json_writer *w, const struct sqs_entry *e)
{
	char hex[2 * sizeof(e->id.b) + 1];
	char at[24];
	struct ev_buf b = ev_buf_over(at, sizeof(at));

	ev_hex(e->id.b, sizeof(e->id.b), hex);
	ev_buf_i64(&b, e->at_ns);
	json_write_key(w, "MessageAttributes");
	json_write_object(w);
	json_write_key(w, SQS_ATTRIBUTE_IDENTITY);
	write_attribute_value(w, ev_str_from(hex));
	json_write_key(w, SQS_ATTRIBUTE_AT);
	write_attribute_value(w, ev_buf_str(&b));
	if (e->reason.n > 0) {
		json_write_key(w, SQS_ATTRIBUTE_REASON);
		write_attribute_value(w, e->reason);
	}
	json_write_object_end(w);
}

static void open_entries(struct json_writer *w, struct ev_str url)
{
	json_write_object(w);
	json_write_key(w, "QueueUrl");
	json_write_string(w, url);
	json_write_key(w, "Entries");
	json_write_array(w);
}

static void open_entry(struct json_writer *w, size_t place)
{
	json_write_object(w);
	json_write_key(w, "Id");
	write_number(w, (unsigned)place);
}

static void close_entries(struct json_writer *w)
{
	json_write_array_end(w);
	json_write_object_end(w);
}

void sqs_write_send(struct ev_str url, const struct sqs_entry *entries, size_t n, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	assert(n > 0 && n <= SQS_ENTRIES_MAX);
	open_entries(&w, url);
	for (size_t i = 0; i < n; i++) {
		open_entry(&w, i);
		json_write_key(&w, "MessageBody");
		json_write_string(&w, entries[i].body);
		if (entries[i].is_moved)
			write_attributes(&w, &entries[i]);
		json_write_object_end(&w);
	}
	close_entries(&w);
}

size_t sqs_receipts_room(const struct ev_str *receipts, size_t n)
{
	size_t room = REQUEST_FIXED;

	for (size_t i = 0; i < n; i++)
		room += ENTRY_FIXED + escaped_size(receipts[i]);
	return room;
}

/* visibility_s below 0: none is written. */
static void write_receipts(struct ev_str url, const struct ev_str *receipts, size_t n,
			   int64_t visibility_s, struct ev_buf *b)
{
	struct json_writer w = json_writer_over(b);

	assert(n > 0 && n <= SQS_ENTRIES_MAX);
	open_entries(&w, url);
	for (size_t i = 0; i < n; i++) {
		open_entry(&w, i);
		json_write_key(&w, "ReceiptHandle");
		json_write_string(&w, receipts[i]);
		if (visibility_s >= 0) {
			json_write_key(&w, "VisibilityTimeout");
			json_write_i64(&w, visibility_s);
		}
		json_write_object_end(&w);
	}
	close_entries(&w);
}

void sqs_write_delete(struct ev_str url, const struct ev_str *receipts, size_t n, struct ev_buf *b)
{
	write_receipts(url, receipts, n, -1, b);
}

void sqs_write_visibility(struct ev_str url, const struct ev_str *receipts, size_t n,
			  unsigned visibility_s, struct ev_buf *b)
{
	write_receipts(url, receipts, n, visibility_s, b);
}
