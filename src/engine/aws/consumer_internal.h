/*
 * engine/aws/consumer_internal.h — what the parts of the consumer share: consumer.c (turns,
 * reading, records) and consumer_leases.c (the list, the table, what is written to it).
 */
#ifndef EV_AWS_CONSUMER_INTERNAL_H
#define EV_AWS_CONSUMER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/time.h"
#include "engine/aws/consumer.h"
#include "engine/aws/shard_reader.h"
#include "engine/aws/trouble.h"

#define CONSUMER_STEPS 32             /* of a plan; the rest waits for the next */
#define CONSUMER_LETTERS 16           /* puts of dead letters under way */
#define CONSUMER_CHECKPOINT_EACH 1000 /* records */

/* A held lease, and its shard while somebody still has records of it. */
struct consumer_shard {
	struct consumer_shard *next;
	struct aws_consumer *c;
	struct lease *lease; /* NULL: lost or released */
	struct shard_reader reader;
	enum shard_want asked;
	bool reading, writing; /* a call is under way */
	bool doubt;            /* whether the last write took place is not known */
	int64_t write_ns;      /* no write before this */
	unsigned write_failures;
	int64_t checkpoint_ns; /* when the last one was written */
	size_t n_out;          /* records with lanes, and letters under way */
};

/* A call under way, with its request.  Freed after `taken`. */
struct consumer_call {
	struct aws_call call;
	struct consumer_call *next; /* of all under way */
	void (*taken)(struct aws_consumer *c, struct consumer_call *call);
	struct consumer_shard *shard;
	struct shard_record *record;
	struct lease *lease;
	int kind; /* which write, or which step */
	struct lease_checkpoint to;
	int64_t began_ns;
	size_t cap;
	char body[];
};

#define CONSUMER_OPERATIONS 8

/* Shards of a list that is being read, page by page. */
struct consumer_list {
	struct lease_shard *of;
	size_t n, cap;
	bool no_memory;
};

struct aws_consumer {
	struct aws_consumer_config config;
	struct job_owner owner;
	struct ev_mailbox done;
	_Atomic bool woken;
	struct leases leases;
	struct shard_reader_config reader_config;
	struct shard_counts counts;
	struct consumer_shard *shards;
	struct consumer_call *calls;
	struct ev_list waiting; /* records, by `wait`: for their time to be submitted or put */
	size_t n_letters;       /* under way */
	bool draining, dead;

	struct consumer_list list;
	struct shard_token list_next, scan_next;
	bool listing, scanning;
	bool listed_once, scanned_once;
	size_t n_steps;                /* under way */
	int64_t list_ns, scan_ns;      /* due */
	int64_t listed_ns, scanned_ns; /* when it worked last */
	unsigned list_failures, scan_failures;
	int64_t scan_began_ns;
	ev_err scan_err;

	struct aws_trouble troubles[CONSUMER_OPERATIONS]; /* of consumer_operations */

	struct aws_consumer_state state; /* the loop's own */
	pthread_mutex_t lock;
	struct aws_consumer_state shown;
};

static inline int64_t consumer_now(const struct aws_consumer *c)
{
	return ev_clock_mono_ns(c->config.clock);
}

/* A call with room for `cap` bytes of request; NULL: no memory. */
struct consumer_call *consumer_call_new(enum aws_service service, const char *operation,
					size_t cap);
struct ev_buf consumer_call_room(struct consumer_call *call);
/* Starts it, or frees it.  False: not now. */
bool consumer_call_start(struct aws_consumer *c, struct consumer_call *call,
			 const struct ev_buf *body);
/* Counts a failure and keeps its text. */
void consumer_failed(struct aws_consumer *c, const char *what, ev_err err,
		     const struct aws_error *error);

/* The lease was taken: its shard is read from now on. */
void consumer_shard_open(struct aws_consumer *c, struct lease *lease, int64_t now_ns);
/* It is ours no more: nothing of it is submitted from now on. */
void consumer_shard_close(struct aws_consumer *c, struct consumer_shard *s);

/* Starts what is due of list, scan, and writes; *next_ns: when something will be, if earlier. */
void consumer_leases_turn(struct aws_consumer *c, int64_t now_ns, int64_t *next_ns);
/* All leases are back, and nothing is under way. */
bool consumer_leases_are_back(const struct aws_consumer *c);

#endif
