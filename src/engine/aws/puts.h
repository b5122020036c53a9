/*
 * engine/aws/puts.h — requests that put effects on the stream and the queue, and their answers.
 *
 * Events go as PutRecords with the outletId as partition key, commands as SendMessageBatch with the
 * original's JSON.  Which effects are in a request is what the batch has pending, in that order; an
 * answer is taken into the same batch.  Neither call keeps the order of its entries when some fail:
 * whoever wants an outlet's order puts one effect of it in a request.
 */
#ifndef EV_AWS_PUTS_H
#define EV_AWS_PUTS_H

#include "base/base64.h"
#include "base/buf.h"
#include "codec/device_json.h"
#include "codec/event_proto.h"
#include "engine/aws/batch.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"
#include "engine/aws/sender.h"

#define AWS_PUT_EVENTS_MAX AWS_BATCH_MAX /* records of a PutRecords */
#define AWS_PUT_COMMANDS_MAX 10          /* entries of a SendMessageBatch */
#define AWS_QUEUE_URL_MAX 512

/* Bytes that a request with n entries takes at most; far below what the services accept. */
#define AWS_PUT_EVENTS_SIZE(n) (AWS_RESOURCE_MAX + 64 + (n) * (EV_BASE64_LEN(EVENT_PROTO_MAX) + 80))
#define AWS_PUT_COMMANDS_SIZE(n) (AWS_QUEUE_URL_MAX + 64 + (n) * (2 * DEVICE_JSON_MAX + 48))

/* The pending entries; effects[entry] is an event. */
void aws_put_events_write(struct ev_buf *b, const char *stream,
			  const struct aws_effect *const effects[], const struct aws_batch *batch);

/* The pending entries, at most AWS_PUT_COMMANDS_MAX; effects[entry] is a command. */
void aws_put_commands_write(struct ev_buf *b, const char *queue_url,
			    const struct aws_effect *const effects[],
			    const struct aws_batch *batch);

/*
 * Takes what came of a call with the pending entries into the batch; then aws_batch_again.  A call
 * that failed as a whole failed each entry; what a broken answer does not tell stays untold.
 */
void aws_put_events_taken(const struct aws_call *call, struct aws_batch *batch);
void aws_put_commands_taken(const struct aws_call *call, struct aws_batch *batch);

/* One record of bytes; size: AWS_PUT_RECORD_SIZE(data.n).  The answer is as of put_events. */
#define AWS_PUT_RECORD_SIZE(n) (AWS_RESOURCE_MAX + EV_UUID_TEXT + 128 + EV_BASE64_LEN(n))
void aws_put_record_write(struct ev_buf *b, const char *stream, const struct ev_uuid *key,
			  struct ev_str data);

/*
 * Asks for a queue's URL; it does not change while the queue exists.  Errors as of the call, and
 * EV_CORRUPT for an answer without one.  Blocks.
 */
EV_NODISCARD ev_err aws_queue_url(struct aws_caller *caller, const char *queue, int64_t deadline_ns,
				  char out[AWS_QUEUE_URL_MAX], struct aws_error *error);

#endif
