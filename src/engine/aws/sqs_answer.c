/* engine/aws/sqs_answer.c — the reading half of sqs.h. */
#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "base/num.h"
#include "base/time.h"
#include "codec/json_record.h"
#include "engine/aws/sqs.h"

#define NAME_MAX_BYTES 256 /* as SQS has it for an attribute's name */

static ev_err read_span(struct json_reader *r, void *target)
{
	return json_read_string(r, target);
}

/* A text that is short when it is one of ours; false if it is longer. */
static bool short_text(const struct json_span *s, char *room, size_t cap, struct ev_str *out)
{
	size_t n = json_unescape(s, room, cap);

	*out = (struct ev_str){ room, n };
	return n <= cap;
}

ev_err sqs_read_url(struct ev_str answer, char out[SQS_URL_MAX])
{
	static const struct json_field fields[] = {
		{ "QueueUrl", 8, read_span, 0, JSON_REQUIRED },
	};
	struct json_span span;
	struct json_reader r;
	char room[SQS_URL_MAX];
	struct ev_str url;
	uint32_t seen;
	ev_err e;

	json_read_init(&r, answer, NULL);
	e = json_read_record(&r, fields, 1, &span, &seen);
	if (e == EV_OK)
		e = json_require(&r, fields, 1, seen);
	if (e != EV_OK)
		return e;
	if (!short_text(&span, room, sizeof(room) - 1, &url) || url.n == 0 ||
	    memchr(url.p, '\0', url.n) != NULL)
		return EV_INVALID;
	memcpy(out, url.p, url.n);
	out[url.n] = '\0';
	return EV_OK;
}

/* --- received messages --- */

static bool hex_digit(char c, unsigned *out)
{
	if (c >= '0' && c <= '9')
		*out = (unsigned)(c - '0');
	else if (c >= 'a' && c <= 'f')
		*out = (unsigned)(c - 'a') + 10;
	else
		return false;
	return true;
}

static bool parse_identity(struct ev_str s, struct identity *out)
{
	struct identity id;

	if (s.n != 2 * sizeof(id.b))
		return false;
	for (size_t i = 0; i < sizeof(id.b); i++) {
		unsigned high, low;

		if (!hex_digit(s.p[2 * i], &high) || !hex_digit(s.p[2 * i + 1], &low))
			return false;
		id.b[i] = (uint8_t)(high << 4 | low);
	}
	if (identity_is_none(&id))
		return false;
	*out = id;
	return true;
}

struct attribute_value {
	struct json_span text;
};

static ev_err read_attribute_value(struct json_reader *r, bool *out_is_text, struct json_span *out)
{
	static const struct json_field fields[] = {
		JSON_FIELD(struct attribute_value, text, "StringValue", read_span,
			   JSON_OPTIONAL | JSON_NULLABLE),
	};
	struct attribute_value v;
	uint32_t seen;
	ev_err e = json_read_record(r, fields, EV_ARRAY_LEN(fields), &v, &seen);

	if (e != EV_OK)
		return e;
	*out_is_text = seen != 0;
	if (seen != 0)
		*out = v.text;
	return EV_OK;
}

/* Anybody who may send may set them: what is not as we write it is not there. */
static void take_attribute(struct sqs_received *m, struct ev_str name, struct ev_str value)
{
	if (ev_str_eqz(name, SQS_ATTRIBUTE_IDENTITY))
		m->has_identity = parse_identity(value, &m->identity);
	else if (ev_str_eqz(name, SQS_ATTRIBUTE_AT))
		m->has_at = num_parse_i64(value, &m->at_ns) == EV_OK && m->at_ns >= 0;
}

static ev_err read_message_attributes(struct json_reader *r, void *target)
{
	struct sqs_received *m = target;
	struct json_span key, span;
	bool more, is_text;
	ev_err e = json_read_object(r);

	while (e == EV_OK) {
		char name_room[NAME_MAX_BYTES], room[64];
		struct ev_str name, value;

		e = json_read_key(r, &more, &key);
		if (e != EV_OK || !more)
			return e;
		e = read_attribute_value(r, &is_text, &span);
		if (e == EV_OK && is_text &&
		    short_text(&key, name_room, sizeof(name_room), &name) &&
		    short_text(&span, room, sizeof(room), &value))
			take_attribute(m, name, value);
	}
	return e;
}

static ev_err read_sent(struct json_reader *r, void *target)
{
	int64_t *out_ns = target;
	struct json_span span;
	char room[24];
	struct ev_str text;
	uint64_t ms;
	ev_err e = json_read_string(r, &span);

	if (e != EV_OK)
		return e;
	if (short_text(&span, room, sizeof(room), &text) && num_parse_u64(text, &ms) == EV_OK &&
	    ms <= (uint64_t)(INT64_MAX / EV_NS_PER_MS))
		*out_ns = (int64_t)ms * EV_NS_PER_MS;
	return EV_OK;
}

static ev_err read_system_attributes(struct json_reader *r, void *target)
{
	static const struct json_field fields[] = {
		JSON_FIELD(struct sqs_received, sent_ns, "SentTimestamp", read_sent, JSON_OPTIONAL),
	};
	uint32_t seen;

	return json_read_record(r, fields, EV_ARRAY_LEN(fields), target, &seen);
}

#define FIELD(member, name, fn, how) JSON_FIELD(struct sqs_received, member, name, fn, how)
#define WHOLE(name, fn)                                                                            \
	{                                                                                          \
		.key = (name), .key_len = sizeof(name) - 1, .read = (fn), .offset = 0,             \
		.flags = JSON_OPTIONAL | JSON_NULLABLE                                             \
	}
static const struct json_field message_fields[] = {
	FIELD(id, "MessageId", read_span, JSON_REQUIRED),
	FIELD(receipt, "ReceiptHandle", read_span, JSON_REQUIRED),
	FIELD(body, "Body", read_span, JSON_REQUIRED),
	WHOLE("Attributes", read_system_attributes),
	WHOLE("MessageAttributes", read_message_attributes),
};
#undef WHOLE
#undef FIELD

struct received_list {
	struct sqs_received *of;
	size_t n;
};

static ev_err read_messages(struct json_reader *r, void *target)
{
	struct received_list *l = target;
	bool more;
	ev_err e = json_read_array(r);

	while (e == EV_OK) {
		struct sqs_received m = { .sent_ns = 0 };
		uint32_t seen;

		e = json_read_item(r, &more);
		if (e != EV_OK || !more)
			return e;
		if (l->n == SQS_ENTRIES_MAX)
			return EV_INVALID;
		e = json_read_record(r, message_fields, EV_ARRAY_LEN(message_fields), &m, &seen);
		if (e == EV_OK)
			e = json_require(r, message_fields, EV_ARRAY_LEN(message_fields), seen);
		if (e == EV_OK)
			l->of[l->n++] = m;
	}
	return e;
}

ev_err sqs_read_received(struct ev_str answer, struct sqs_received out[SQS_ENTRIES_MAX],
			 size_t *out_n)
{
	static const struct json_field fields[] = {
		{ "Messages", 8, read_messages, 0, JSON_OPTIONAL | JSON_NULLABLE },
	};
	struct received_list list = { .of = out };
	struct json_reader r;
	uint32_t seen;
	ev_err e;

	if (answer.n == 0) { /* as a stand-in says it */
		*out_n = 0;
		return EV_OK;
	}
	json_read_init(&r, answer, NULL);
	e = json_read_record(&r, fields, EV_ARRAY_LEN(fields), &list, &seen);
	if (e == EV_OK)
		*out_n = list.n;
	return e;
}

/* --- batches --- */

struct batch_reader {
	size_t n;
	enum aws_error_kind *of;
};

struct batch_entry {
	struct json_span id, code;
};

static const struct json_field entry_fields[] = {
	JSON_FIELD(struct batch_entry, id, "Id", read_span, JSON_REQUIRED),
	JSON_FIELD(struct batch_entry, code, "Code", read_span, JSON_OPTIONAL | JSON_NULLABLE),
};

#define HAS_CODE 2U

static enum aws_error_kind entry_kind(const struct batch_entry *entry, uint32_t seen)
{
	char room[AWS_ERROR_CODE];
	struct ev_str code;

	if ((seen & HAS_CODE) == 0 || !short_text(&entry->code, room, sizeof(room), &code))
		return AWS_ERROR_OTHER;
	return aws_error_kind_of(code);
}

static ev_err read_entries(struct json_reader *r, const struct batch_reader *b, bool failed)
{
	bool more;
	ev_err e = json_read_array(r);

	while (e == EV_OK) {
		struct batch_entry entry;
		char room[4];
		struct ev_str id;
		uint64_t place;
		uint32_t seen;

		e = json_read_item(r, &more);
		if (e != EV_OK || !more)
			return e;
		e = json_read_record(r, entry_fields, EV_ARRAY_LEN(entry_fields), &entry, &seen);
		if (e == EV_OK)
			e = json_require(r, entry_fields, EV_ARRAY_LEN(entry_fields), seen);
		if (e == EV_OK && short_text(&entry.id, room, sizeof(room), &id) &&
		    num_parse_u64(id, &place) == EV_OK && place < b->n)
			b->of[place] = failed ? entry_kind(&entry, seen) : AWS_ERROR_NONE;
	}
	return e;
}

static ev_err read_successful(struct json_reader *r, void *target)
{
	return read_entries(r, target, false);
}

static ev_err read_failed(struct json_reader *r, void *target)
{
	return read_entries(r, target, true);
}

static ev_err read_batch(struct ev_str answer, struct batch_reader *b)
{
	static const struct json_field fields[] = {
		{ "Successful", 10, read_successful, 0, JSON_OPTIONAL | JSON_NULLABLE },
		{ "Failed", 6, read_failed, 0, JSON_OPTIONAL | JSON_NULLABLE },
	};
	struct json_reader r;
	uint32_t seen;

	json_read_init(&r, answer, NULL);
	return json_read_record(&r, fields, EV_ARRAY_LEN(fields), b, &seen);
}

void sqs_batch_results(const struct aws_call *call, size_t n,
		       enum aws_error_kind out[SQS_ENTRIES_MAX])
{
	struct batch_reader b = { n, out };
	enum aws_error_kind all = AWS_ERROR_BAD_ANSWER;

	if (call->err != EV_OK)
		all = call->error.kind != AWS_ERROR_NONE ? call->error.kind : AWS_ERROR_OTHER;
	for (size_t i = 0; i < n; i++)
		out[i] = all;
	if (call->err == EV_OK && read_batch(call->answer, &b) != EV_OK) {
		for (size_t i = 0; i < n; i++)
			out[i] = AWS_ERROR_BAD_ANSWER;
	}
}
