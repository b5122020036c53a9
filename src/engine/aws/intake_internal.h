/* engine/aws/intake_internal.h — shared by the parts of the intake; not for other modules. */
#ifndef EV_AWS_INTAKE_INTERNAL_H
#define EV_AWS_INTAKE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/aws/intake.h"
#include "engine/aws/sqs.h"

/* A message in hand: received, not yet deleted.  Lies before its job, in the same memory. */
struct held {
	struct job_owner owner; /* first */
	struct aws_intake *intake;
	struct device_job *job;
	struct held *prev, *next; /* intake->in_hand */
	int64_t visible_ns;       /* monotonic: when others may receive it */
	int64_t ready_ns;         /* monotonic: since when it waits to be moved or deleted */
	unsigned n_calls;         /* that name it */
	bool is_out;              /* the job is with others */
	bool is_extending;
	bool is_lost; /* its receipt has run out */
	bool is_bare; /* to be moved without attributes */
	bool is_over; /* nothing is to be done about it any more */
	struct ev_str receipt, id;
	struct ev_str body; /* whole; the job has its beginning */
	char text[];
};

enum intake_kind {
	INTAKE_FIND_IN,
	INTAKE_FIND_DEAD,
	INTAKE_RECEIVE,
	INTAKE_EXTEND,
	INTAKE_MOVE,
	INTAKE_DELETE,
	INTAKE_KIND_COUNT
};

struct intake_call {
	struct aws_call call; /* first */
	enum intake_kind kind;
	bool is_busy;
	char *text; /* the request */
	size_t n;
	struct held *of[SQS_ENTRIES_MAX];
};

/* After a failure of one kind of call. */
struct intake_backoff {
	unsigned fails; /* in a row */
	int64_t until_ns;
};

struct aws_intake {
	struct aws_intake_config config;
	char url_in[SQS_URL_MAX], url_dead[SQS_URL_MAX]; /* empty: not found yet */
	struct intake_call calls[AWS_INTAKE_RECEIVES_MAX + AWS_INTAKE_CALLS];
	size_t n_calls[INTAKE_KIND_COUNT]; /* under way */
	struct intake_backoff backoff[INTAKE_KIND_COUNT];
	struct held *first, *last;         /* in hand, the soonest visible first */
	struct ev_list to_move, to_delete; /* of jobs */
	size_t n_out;                      /* jobs that are with others */
	size_t bytes;                      /* of bodies in hand */
	bool is_draining, is_closed;
	bool is_broken;            /* no call can be made */
	struct aws_intake_state n; /* this thread's own */

	struct ev_mailbox done; /* jobs that are back */
	atomic_bool is_woken;

	pthread_mutex_t lock; /* of what follows */
	struct aws_intake_state shown;
};

static inline struct held *held_of(struct ev_node *job_node)
{
	return (struct held *)((struct job *)(void *)job_node)->owner;
}

/* --- intake_message.c --- */

/* Takes a message in and submits its job; false: no memory, it becomes visible again. */
bool intake_take(struct aws_intake *i, const struct sqs_received *m, int64_t now_ns);
/* Takes the jobs that are back; true if there were some. */
bool intake_take_done(struct aws_intake *i, int64_t now_ns);
/* Nothing more is to be done about it: freed as soon as no call names it. */
void intake_let_go(struct held *h);
void intake_unname(struct held *h); /* a call is done with it */
/* Its time begins anew. */
void intake_extended(struct held *h, int64_t visible_ns);
void intake_set_lost(struct held *h);
/* What is sent to the dead letters; the reason is written into `room` (SQS_REASON_MAX bytes). */
struct sqs_entry intake_dead_entry(const struct held *h, char *room);

/* --- intake_calls.c --- */

/* Starts all that is to be started. */
void intake_start_calls(struct aws_intake *i, int64_t now_ns);
void intake_call_done(struct aws_intake *i, struct aws_call *call, int64_t now_ns);
/* When something is to be started without anybody's doing, INT64_MAX: never. */
int64_t intake_next_ns(const struct aws_intake *i, int64_t now_ns);
void intake_cancel_calls(struct aws_intake *i);

#endif
