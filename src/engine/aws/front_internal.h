/* engine/aws/front_internal.h — shared by the parts of the front; not for other modules. */
#ifndef EV_AWS_FRONT_INTERNAL_H
#define EV_AWS_FRONT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "engine/aws/ddb_call.h"
#include "engine/aws/front.h"
#include "engine/aws/sqs.h"

#define FRONT_RECEIVES_MAX 8
#define FRONT_LOOKS_MAX (DDB_BATCH_MAX / 2) /* two calls for each */
#define FRONT_GONE_MAX 10000
#define FRONT_PEERS_MAX 64

/* One of the two threads, with what it calls through. */
struct front_side {
	struct aws_front *f;
	struct ddb_io io;
	struct ddb_batch batch;
};

/* A look for the commands of one outlet. */
struct look {
	struct ev_uuid outlet_id;
	uint64_t version; /* above this one, or above what is acknowledged */
	unsigned index;
	bool take_over;

	ev_err err;            /* EV_NOTFOUND: no such outlet */
	bool is_known, exists; /* the delivery item was read, and is there */
	bool is_ours;
	struct own_delivery delivery;
	size_t n;
	struct device_command commands[JOB_COMMANDS_MAX];
};

/* A device that is connected here. */
struct local {
	struct own_delivery delivery; /* as it was read or written last */
};

struct gone {
	struct ev_node node; /* first */
	struct own_delivery delivery;
};

/* Another gateway's queue. */
struct peer {
	char id[OWN_GATEWAY_MAX + 1];
	char url[SQS_URL_MAX];
};

enum front_kind {
	FRONT_FIND,     /* the commands queue */
	FRONT_MAKE,     /* our own queue */
	FRONT_COMMANDS, /* receive */
	FRONT_OWN,      /* receive */
	FRONT_REMOVE,   /* our own queue */
	FRONT_KIND_COUNT
};

struct front_call {
	struct aws_call call; /* first */
	enum front_kind kind;
	bool is_busy;
	char text[SQS_REQUEST_MAX];
};

struct front_backoff {
	unsigned fails;
	int64_t until_ns;
};

struct aws_front {
	struct aws_front_config config;
	char id[OWN_GATEWAY_MAX + 1];
	char own_queue[AWS_RESOURCE_MAX];

	/* Of aws_front_run's thread. */
	struct front_side jobs;
	struct look job_looks[FRONT_LOOKS_MAX];
	char url_messages[SQS_URL_MAX];

	/* Of aws_front_turn's thread. */
	struct front_side turn;
	struct look turn_looks[FRONT_LOOKS_MAX];
	char url_commands[SQS_URL_MAX], url_own[SQS_URL_MAX], url_dead[SQS_URL_MAX];
	struct peer peers[FRONT_PEERS_MAX];
	size_t next_peer;
	struct front_call calls[2 * FRONT_RECEIVES_MAX + 3];
	size_t n_calls[FRONT_KIND_COUNT];
	struct front_backoff backoff[FRONT_KIND_COUNT];
	bool is_draining, is_closed, is_empty, is_removed;

	atomic_bool has_own; /* our own queue is there: connections may be taken over */

	pthread_mutex_t lock; /* of what follows */
	struct ev_map locals; /* outletId → struct local */
	struct ev_list gone;
	struct aws_front_state n;
};

void front_count(struct aws_front *f, uint64_t *counter, uint64_t n);
void front_note_fail(struct aws_front *f, const char *queue, const struct aws_call *call);
void front_note_table(struct front_side *s);
int64_t front_deadline_ns(const struct aws_front *f);

/* The delivery item as it was known last; false: the device is not connected here. */
bool front_local_get(struct aws_front *f, const struct ev_uuid *outlet_id,
		     struct own_delivery *out);
/* Taken over: from now on it is connected here.  EV_NOMEM. */
EV_NODISCARD ev_err front_local_put(struct aws_front *f, const struct own_delivery *d);
/* If it is connected here: what is known of it. */
void front_local_set(struct aws_front *f, const struct own_delivery *d);

/* --- front_look.c --- */

/*
 * Reads who has the connections, takes over those that are to be, and of those that are ours the
 * commands that are not acknowledged and stand.  n <= FRONT_LOOKS_MAX.
 */
void front_looks(struct front_side *s, struct look *looks, size_t n);
void front_run_looks(struct aws_front *f, struct job **jobs, size_t n);
void front_run_acks(struct aws_front *f, struct job **jobs, size_t n);
/* Connections that are gone become nobody's. */
void front_clear_gone(struct aws_front *f);
/* The connection is nobody's if it is still the one in *d. */
void front_clear_owner(struct front_side *s, const struct own_delivery *d);

/* --- front_send.c --- */

void front_run_messages(struct aws_front *f, struct job **jobs, size_t n);
/* Looks a queue's URL up if it is not known; blocks. */
EV_NODISCARD ev_err front_find_queue(struct front_side *s, const char *queue,
				     char url[SQS_URL_MAX]);
/* Sends up to ten messages, again what failed in part; out: of each. */
void front_send_entries(struct front_side *s, const char *queue, char url[SQS_URL_MAX],
			const struct sqs_entry *entries, size_t n, enum aws_error_kind *out);

/* --- front_command.c --- */

/* Messages of one of the two queues: all is done about them that is to be done. */
void front_take_commands(struct aws_front *f, const struct sqs_received *m, size_t n, bool is_own);

#endif
