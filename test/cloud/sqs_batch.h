/* test/cloud/sqs_batch.h — what the batches of SQS share: entries that succeed or fail alone. */
#ifndef EV_TEST_CLOUD_SQS_BATCH_H
#define EV_TEST_CLOUD_SQS_BATCH_H

#include "cloud/sqs.h"

struct sqs_batch {
	struct request *r;
	struct queue *q;
	const struct node *entries;
	struct ev_str ids[SQS_BATCH_MAX];
	const char *codes[SQS_BATCH_MAX]; /* NULL: it succeeded */
	const char *messages[SQS_BATCH_MAX];
	size_t n;
};

/* Queue, entries and their ids; keys are those an entry may have. */
bool sqs_batch_read(struct request *r, const char *keys, struct sqs_batch *out);

/* Does one entry and writes further members of its answer; false: refused. */
typedef bool sqs_entry_fn(struct sqs_batch *b, const struct node *e, size_t i, void *user);

/* The whole answer. */
void sqs_batch_run(struct sqs_batch *b, sqs_entry_fn *fn, void *user);

#endif
