/*
 * engine/aws/sqs.h — SQS: what is asked and what is answered, as JSON.
 *
 * Requests are written into a buffer of the caller's, and are always posted to the endpoint's `/`
 * with the queue's URL in the body.  Answers are read strictly; what is borrowed from one lives as
 * long as it does.  Pure.  Source: facts/original-system.md 2, facts/aws.md 1.
 */
#ifndef EV_AWS_SQS_H
#define EV_AWS_SQS_H

#include "base/buf.h"
#include "codec/json_read.h"
#include "core/types.h"
#include "engine/aws/caller.h"

#define SQS_ENTRIES_MAX 10            /* of any batch, and messages of one answer */
#define SQS_BYTES_MAX (1024U * 1024U) /* of a message with its attributes, and of a batch */
#define SQS_URL_MAX 512
#define SQS_REASON_MAX 240

/* Attributes of messages that we move from queue to queue. */
#define SQS_ATTRIBUTE_IDENTITY "evchargeIdentity" /* 32 hex digits */
#define SQS_ATTRIBUTE_AT "evchargeAt"             /* ns, decimal */
#define SQS_ATTRIBUTE_REASON "evchargeReason"     /* dead letters: the text */

/* Does SQS take this text?  UTF-8 without control characters (but tab, CR, LF), U+FFFE, U+FFFF. */
bool sqs_may_send(struct ev_str s);
/* Appends what may be sent of a UTF-8 text, all else as `?`, cut at a character at cap bytes. */
void sqs_clean(struct ev_str s, size_t cap, struct ev_buf *out);

/* --- Requests --- */

/* Bytes that suffice for any request but SendMessageBatch and those of n receipts. */
#define SQS_REQUEST_MAX 2048

void sqs_write_name(struct ev_str queue, struct ev_buf *b); /* GetQueueUrl */
void sqs_write_url(struct ev_str url, struct ev_buf *b);    /* DeleteQueue */
/* CreateQueue; what is not 0 is set. */
struct sqs_create {
	struct ev_str name;
	unsigned visibility_s, retention_s, wait_s;
};
void sqs_write_create(const struct sqs_create *c, struct ev_buf *b);
/* ReceiveMessage of up to ten, with SentTimestamp and our attributes. */
void sqs_write_receive(struct ev_str url, unsigned wait_s, unsigned visibility_s, struct ev_buf *b);

/* One message to be sent, all borrowed. */
struct sqs_entry {
	struct ev_str body;
	bool is_moved; /* with identity and at, and with the reason if there is one */
	struct identity id;
	int64_t at_ns;
	struct ev_str reason;
};
/* Bytes as SQS counts them against SQS_BYTES_MAX. */
size_t sqs_entry_size(const struct sqs_entry *e);
/* Bytes that suffice for a SendMessageBatch. */
size_t sqs_send_room(const struct sqs_entry *entries, size_t n);
/* SendMessageBatch; each entry's Id is its place. */
void sqs_write_send(struct ev_str url, const struct sqs_entry *entries, size_t n, struct ev_buf *b);

size_t sqs_receipts_room(const struct ev_str *receipts, size_t n);
void sqs_write_delete(struct ev_str url, const struct ev_str *receipts, size_t n,
		      struct ev_buf *b); /* DeleteMessageBatch */
void sqs_write_visibility(struct ev_str url, const struct ev_str *receipts, size_t n,
			  unsigned visibility_s,
			  struct ev_buf *b); /* ChangeMessageVisibilityBatch */

/* --- Answers --- */

/* Of GetQueueUrl and CreateQueue, NUL-terminated.  EV_INVALID: none, or too long. */
EV_NODISCARD ev_err sqs_read_url(struct ev_str answer, char out[SQS_URL_MAX]);

/* A message that was received; texts are as they stand in the answer, see json_unescape. */
struct sqs_received {
	struct json_span id, receipt, body;
	int64_t sent_ns; /* 0: not told */
	/* What a moved message carries; as if absent when it is not as we write it. */
	bool has_identity, has_at;
	struct identity identity;
	int64_t at_ns;
};
/* At most SQS_ENTRIES_MAX.  An empty answer holds none.  EV_INVALID. */
EV_NODISCARD ev_err sqs_read_received(struct ev_str answer,
				      struct sqs_received out[SQS_ENTRIES_MAX], size_t *out_n);

/*
 * What became of each of n entries of a batch call that is done: AWS_ERROR_NONE, or why not.  Of
 * what the answer says nothing: AWS_ERROR_BAD_ANSWER.
 */
void sqs_batch_results(const struct aws_call *call, size_t n,
		       enum aws_error_kind out[SQS_ENTRIES_MAX]);

#endif
