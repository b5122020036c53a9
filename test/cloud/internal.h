/*
 * test/cloud/internal.h — what the parts of the cloud share.
 *
 * cloud.c owns all; caller.c runs calls; attempt.c makes faults; request.c reads requests; ops.c
 * lists the operations; dynamo_*.c, sqs_*.c and kinesis_*.c are the services.
 */
#ifndef EV_TEST_CLOUD_INTERNAL_H
#define EV_TEST_CLOUD_INTERNAL_H

#include "base/rng.h"
#include "base/time.h"
#include "cloud/cloud.h"
#include "cloud/node.h"
#include "cloud/pool.h"
#include "codec/json_write.h"

#define CLOUD_OPS_MAX 64

struct dynamo_table;
struct queue;
struct stream;
struct aws_call_run;

struct cloud {
	struct cloud_config config;
	struct ev_rng_seeded rng;
	bool faults_on;
	unsigned rates[CLOUD_FAULT_COUNT];
	uint64_t n_faults[CLOUD_FAULT_COUNT];
	uint64_t n_attempts;
	uint64_t n_calls[CLOUD_OPS_MAX]; /* as in ops.c */
	struct cloud_bill bill;
	unsigned depth; /* of calls within a race */
	struct cloud_caller *callers;
	struct aws_call_run *runs; /* delayed or parked, oldest first */
	struct ev_buf scratch;     /* an answer on its way */
	char *own_answer;          /* of cloud_do */
	struct dynamo_table *tables;
	struct queue *queues;
	struct stream *streams;
	uint64_t n_queues, n_streams; /* ever made */
	uint64_t sqs_version;         /* counts what can make a message visible */
	uint64_t sequence;            /* of records, of all streams */
	size_t partial_at;            /* the entry that fails for sure */
};

static inline int64_t cloud_mono_ns(const struct cloud *c)
{
	return ev_clock_mono_ns(&c->config.clock->base);
}

static inline int64_t cloud_wall_ns(const struct cloud *c)
{
	return ev_clock_wall_ns(&c->config.clock->base);
}

static inline uint64_t cloud_below(struct cloud *c, uint64_t bound)
{
	return ev_rng_below(&c->rng.base, bound);
}

/* --- One attempt of a call --- */

struct request {
	struct cloud *cloud;
	struct pool pool; /* until the attempt is over */
	const struct node *body;
	enum cloud_fault fault; /* one of those that the operation itself makes */
	struct json_writer w;   /* the answer */
	/* Of ReceiveMessage: where it may wait, and for how long it wants to. */
	bool may_park;
	int64_t park_ns; /* 0: it is done */
	uint64_t park_queue;
	uint64_t sqs_bytes;

	/* The refusal. */
	bool failed;
	int status;
	const char *code; /* with its name space */
	const char *query_code;
	char message[400];
	struct ev_str extra; /* further members of the error's body: `,"Item":{…}` */
};

typedef bool request_fn(struct request *r);

enum op_flag {
	OP_BATCH = 1,        /* answers for each entry */
	OP_STALE = 2,        /* can see the past */
	OP_DUPLICATE = 4,    /* can happen twice */
	OP_ITERATOR = 8,     /* takes what can expire */
	OP_EMPTY_ANSWER = 16 /* answers without a body */
};

struct op {
	enum aws_service service;
	unsigned flags;
	const char *name;
	const char *keys; /* that a request may have, each between blanks */
	request_fn *fn;
};

/* NULL if there is none; *out_index is its place in n_calls. */
const struct op *op_find(enum aws_service service, const char *name, size_t *out_index);

/* What the service answered: for whom it is to parse. */
struct reply {
	int status;         /* 0: none came */
	struct ev_str body; /* in the cloud's scratch */
	const char *query_code;
	int64_t park_ns; /* not 0: nothing yet, it may wait until then */
	uint64_t park_queue;
};

/* The effect of one attempt, with faults that are the operation's own. */
void service_do(struct cloud *c, const struct op *op, struct ev_str body, enum cloud_fault fault,
		bool may_park, struct reply *out);

/* A refusal, as the service writes it. */
void reply_error(struct cloud *c, enum aws_service service, int status, const char *code,
		 const char *message, struct ev_str extra, struct reply *out);

/* --- Reading a request; all refuse and return false if it is not as it should be --- */

/* Always false.  The code is that of the service without its name space. */
bool refuse(struct request *r, const char *code, const char *fmt, ...) EV_PRINTF(3, 4);
bool refuse_invalid(struct request *r, const char *fmt, ...) EV_PRINTF(2, 3); /* Validation */

/* A member of a kind; *out NULL if it is not there and need not be. */
bool want(struct request *r, const struct node *object, const char *key, enum node_kind kind,
	  const struct node **out);
bool need(struct request *r, const struct node *object, const char *key, enum node_kind kind,
	  const struct node **out);
bool want_text(struct request *r, const struct node *object, const char *key, struct ev_str *out);
bool need_text(struct request *r, const struct node *object, const char *key, struct ev_str *out);
/* What is not there leaves *out. */
bool want_int(struct request *r, const struct node *object, const char *key, int64_t min,
	      int64_t max, int64_t *out);
bool want_flag(struct request *r, const struct node *object, const char *key, bool *out);

/* Every member's key is between blanks in keys. */
bool known_keys(struct request *r, const struct node *object, const char *keys);

/* Whether entry i of n fails under CLOUD_PARTIAL: seeded, at least one does. */
bool entry_fails(struct request *r, size_t i, size_t n);

/* Standard base64; decode gives false for what is not. */
struct ev_str base64_encode(struct pool *p, struct ev_str bytes);
bool base64_decode(struct pool *p, struct ev_str text, struct ev_str *out);
void md5(struct ev_str s, uint8_t out[16]);

/* --- Callers --- */

/* Does what is due; calls that are done are in their callers' hands then. */
void callers_settle(struct cloud *c);

/* --- Services --- */

void dynamo_free(struct cloud *c);
void sqs_free(struct cloud *c);
void kinesis_free(struct cloud *c);

/* When the next message of that queue becomes visible; INT64_MAX: none will. */
int64_t sqs_next_ns(const struct cloud *c, uint64_t queue);

#endif
