/*
 * engine/aws/shard_reader.h — one held shard: what to ask for next, its records in hand, and up to
 * where all are done.
 *
 * Makes no call itself: it writes requests, takes answers, and gives records out.  Records of the
 * other initiator count as done as they are read.  Of each outlet one record is out at a time, the
 * next when that one is done: a record that fails and is given out again is thus never overtaken by
 * a later one of its outlet, while other outlets go on.  A record that cannot be read belongs to
 * no outlet and is given out at once, as a letter.
 *
 * The checkpoint is the last record, or record within an aggregate, up to which all are done.  At
 * the start the checkpoint's own record is read again, since only then its aggregate's rest shows.
 *
 * One thread.
 */
#ifndef EV_AWS_SHARD_READER_H
#define EV_AWS_SHARD_READER_H

#include "base/map.h"
#include "base/rng.h"
#include "engine/aws/caller.h"
#include "engine/aws/shard_wire.h"
#include "service/job.h"

struct shard_reader;

enum shard_record_state {
	SHARD_RECORD_HELD, /* another one of its outlet is before it */
	SHARD_RECORD_OUT,
	SHARD_RECORD_DONE,
};

struct shard_record {
	struct event_job job; /* first; unless it is a letter */
	struct shard_reader *reader;
	struct ev_node order;            /* in the window */
	struct ev_node wait;             /* whoever has it out */
	struct shard_record *behind;     /* the next one of its outlet */
	struct lease_checkpoint through; /* the last one before the next in the window */
	enum shard_record_state state;
	bool is_event;     /* job.event is what it says */
	bool is_letter;    /* its bytes are for the dead letters, with what is in job.job */
	const char *error; /* of a letter; constant */
	unsigned tries;    /* of whoever has it out, as is the next */
	int64_t due_ns;
	size_t key_n, bytes_n;
	char text[]; /* partition key, then the record as it came, cut at LETTER_BYTES_MAX */
};

static inline struct ev_str shard_record_key(const struct shard_record *r)
{
	return (struct ev_str){ r->text, r->key_n };
}
static inline struct ev_str shard_record_bytes(const struct shard_record *r)
{
	return (struct ev_str){ r->text + r->key_n, r->bytes_n };
}

struct shard_counts {
	uint64_t records, foreign, undecodable, expired_iterators, throttled, repeated;
};

/* Borrowed by all readers. */
struct shard_reader_config {
	const char *stream;
	enum initiator from;
	unsigned limit;
	size_t max_in_hand;
	int64_t idle_ns;
	struct ev_rng *rng;
	struct shard_counts *counts;
	/* A record to be decided, or a letter; does not block, nor call back before it returns. */
	void (*give)(void *user, struct shard_record *r);
	void *user;
};

enum shard_want { SHARD_WANT_NOTHING, SHARD_WANT_ITERATOR, SHARD_WANT_RECORDS };

struct shard_reader {
	const struct shard_reader_config *config;
	char shard[LEASE_KEY_MAX + 1];
	struct shard_token iterator;
	struct lease_checkpoint read; /* the last one that was read */
	bool fresh;                   /* none was read yet: `read` is the checkpoint */
	bool ended;                   /* nothing comes any more */
	bool missing;                 /* the stream knows no such shard, as it says */
	bool no_memory;
	int64_t next_ns;  /* nothing is asked for before */
	int64_t asked_ns; /* when records were asked for last */
	unsigned failures;
	int64_t behind_ms;
	struct ev_list window;
	struct ev_map outlets; /* to the last record of each that has some in hand */
	struct lease_checkpoint done;
	uint64_t n_passed; /* records that `done` went over; for the driver, who clears it */
};

/* EV_INVALID: the checkpoint says that the shard was read to its end. */
EV_NODISCARD ev_err shard_reader_init(struct shard_reader *r,
				      const struct shard_reader_config *config, const char *shard,
				      const struct lease_checkpoint *from);
/* Frees what is not out.  What is out stays its holder's, to be dropped; it still names *r. */
void shard_reader_deinit(struct shard_reader *r);

/* NOTHING before r->next_ns, while too much is in hand, and at the end. */
enum shard_want shard_reader_want(const struct shard_reader *r, int64_t now_ns);
/* Its request, and the name of the operation. */
const char *shard_reader_write(struct shard_reader *r, enum shard_want want, struct ev_buf *b,
			       int64_t now_ns);
/*
 * What came of it.  EV_OK, or what went wrong (told in call->error, or EV_CORRUPT, EV_NOMEM); it
 * is asked for again after a while.
 */
EV_NODISCARD ev_err shard_reader_take(struct shard_reader *r, enum shard_want want,
				      const struct aws_call *call, int64_t now_ns);

/* A record that was out is done; `r->done` moves on if it was the first in the window. */
void shard_reader_done(struct shard_reader *r, struct shard_record *record);
/* The holder's way to end one that outlived its reader. */
void shard_record_drop(struct shard_record *record);

static inline bool shard_reader_is_finished(const struct shard_reader *r)
{
	return r->ended && r->window.first == NULL;
}

/* How long to wait after so many failures in a row, from 200 ms to 10 s, spread. */
int64_t shard_backoff_ns(struct ev_rng *rng, unsigned failures);

#endif
