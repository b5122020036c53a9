/* test/cloud/sqs.h — queues in memory. */
#ifndef EV_TEST_CLOUD_SQS_H
#define EV_TEST_CLOUD_SQS_H

#include "cloud/internal.h"

#define SQS_BATCH_MAX 10
#define SQS_BYTES_MAX ((size_t)1024 * 1024)

struct message {
	struct pool pool;
	struct ev_str id, body;
	struct ev_str attributes; /* MessageAttributes as they came; empty: none */
	int64_t sent_ns;          /* wall */
	int64_t first_ns;         /* wall, of the first receipt; 0: none yet */
	int64_t visible_ns;       /* monotonic */
	unsigned receives;
	bool in_flight; /* received, and its time is not over or was not looked at */
};

struct queue_attr {
	struct queue_attr *next;
	struct ev_str name, value;
};

struct queue {
	struct queue *next;
	uint64_t id;
	struct ev_str name, url;
	struct queue_attr *attrs;  /* those that were set */
	struct message **messages; /* as they were sent */
	size_t n, cap;
	int64_t created_ns; /* wall */
	struct pool pool;
};

/* --- sqs_queue.c --- */

struct queue *queue_find(struct cloud *c, struct ev_str name);
/* By QueueUrl. */
bool queue_of(struct request *r, struct queue **out);
int64_t queue_number(const struct queue *q, const char *name, int64_t otherwise);
struct ev_str queue_attr(const struct queue *q, const char *name);

/* Takes the message over. */
void queue_push(struct cloud *c, struct queue *q, struct message *m);
/* Takes it out, without freeing it. */
struct message *queue_take(struct queue *q, size_t at);
void message_free(struct message *m);
/* What is past its retention goes. */
void queue_expire(struct cloud *c, struct queue *q);

/* --- sqs_attr.c: the attributes of messages --- */

/* Checks them; *out_md5 (hex, 32) and *out_bytes count what they weigh.  NULL: none. */
bool message_attrs_check(struct request *r, const struct node *attrs, char out_md5[33],
			 size_t *out_bytes);
/* Writes those that are asked for by names (All, .*, prefix.*, name). */
void message_attrs_write(struct request *r, const struct message *m, const struct node *names);

/* --- The operations --- */

request_fn sqs_create_queue, sqs_get_url, sqs_get_attributes, sqs_set_attributes, sqs_delete_queue,
	sqs_list_queues, sqs_purge, sqs_send, sqs_send_batch, sqs_receive, sqs_delete,
	sqs_delete_batch, sqs_change, sqs_change_batch;

#endif
