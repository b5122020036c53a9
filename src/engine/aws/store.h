/*
 * engine/aws/store.h — port/store.h and port/query.h on DynamoDB.
 *
 * One store belongs to one lane (one thread, one caller).  A group is staged in memory and made
 * durable by `end`: keyed puts, then one conditional write for each touched row, then the row's
 * effects through the sender, then, but for those of plain reports, the write that clears them.
 * Several processes may write the same rows: a row that moved on makes `end` fail with EV_CONFLICT,
 * and the group's inputs are decided again from fresh loads.  Of a group with several rows some may
 * have been written then; all inputs are idempotent, so that does no harm (docs/decisions/0015).
 *
 * Rows are cached with their version; as long as our conditional writes succeed nobody else has
 * written, so the usual input costs one write and no read.  At most `max_rows` are cached; a row
 * with a timer or with unsent effects stays, up to `max_pinned`.
 *
 * Which calls need which role: outlets and identities: the outlet's; customers, sessions, claims:
 * the app's.  A store without the role answers EV_UNSUPPORTED to those loads, but that load_outlet
 * reads the row of the same account, uncached, and answers so only if it may not (app_service_start
 * lets that pass, app_service_close does not).  Without the outlet role nothing is due or parked.
 *
 * A refusal by AWS is EV_IO here, as EV_DENIED is an answer to a person; aws_store_last_fail has it
 * as EV_DENIED.
 */
#ifndef EV_AWS_STORE_H
#define EV_AWS_STORE_H

#include "base/clock.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"
#include "engine/aws/sender.h"
#include "port/query.h"
#include "port/store.h"

#define AWS_ROLE_OUTLET 1U
#define AWS_ROLE_APP 2U
#define AWS_ROLE_GATEWAY 4U

struct aws_store;

/* All that is pointed to is borrowed until aws_store_free. */
struct aws_store_config {
	struct aws_caller *caller;
	struct aws_sender *sender;
	const struct aws_resources *resources;
	struct ev_clock *clock;
	struct outlet_rules rules;
	unsigned roles;
	uint64_t seed[2];    /* of the maps */
	size_t max_rows;     /* [20,000] */
	size_t max_pinned;   /* [200,000] */
	int64_t timeout_ns;  /* of one `end` or load, [20 s] */
	int64_t identity_ns; /* how long blocks are kept, [2 h] */
	/* All parked inputs are asked for no more often than this, [10 s]. */
	int64_t parked_poll_ns;
	/* Whose parked inputs this store tries again; NULL: all. */
	bool (*owns)(void *user, const struct ev_uuid *outlet_id);
	void *owns_user;
	/* A gateway of this process wants the commands: after the write, before the sender. */
	void (*on_command)(void *user, const struct device_command *c);
	void *user;
};
struct aws_store_config aws_store_defaults(void);

/* EV_NOMEM. */
EV_NODISCARD ev_err aws_store_new(const struct aws_store_config *config, struct aws_store **out);
void aws_store_free(struct aws_store *s);

/* Valid until aws_store_free; its own `free` member frees it as well. */
struct store *aws_store_store(struct aws_store *s);

/* A query with a caller of its own, for another thread.  EV_NOMEM. */
EV_NODISCARD ev_err aws_query_new(struct aws_caller *caller, const struct aws_resources *resources,
				  struct ev_clock *clock, unsigned roles, struct query **out);

/*
 * Effects that a crash, a full queue or another process left: rows with unsentSince before
 * `before_ns` in this store's cache are sent again; *out_left: how many rows still have some.
 * Blocks.
 */
EV_NODISCARD ev_err aws_store_flush(struct aws_store *s, int64_t before_ns, size_t *out_left);

/*
 * What a sweep found for this store: the row is loaded, its unsent effects are sent if they are
 * older than `before_ns`, and its timer is among due_outlets from now on.  EV_NOTFOUND.
 */
EV_NODISCARD ev_err aws_store_adopt(struct aws_store *s, const struct ev_uuid *outlet_id,
				    int64_t before_ns);
EV_NODISCARD ev_err aws_store_adopt_session(struct aws_store *s, const struct ev_uuid *session_id,
					    int64_t before_ns);

struct aws_store_stats {
	uint64_t groups, failed_groups, conflicts; /* conflicts: rows */
	uint64_t row_writes, clear_writes, puts, row_reads, item_queries;
	uint64_t events, commands, unsent; /* unsent: rows that have some now */
	uint64_t cached, pinned, foreign; /* foreign: rows of the original's that were taken over */
};
void aws_store_stats(const struct aws_store *s, struct aws_store_stats *out);
/* The last call that failed, for logs: names the resource. */
void aws_store_last_fail(const struct aws_store *s, struct ev_fail *out);

/*
 * The sweep: one page of a scan over outlets (or sessions), for timers that are overdue and effects
 * unsent since before `before_ns` that no living process sees to.  *cursor: where to go on, of
 * AWS_SWEEP_CURSOR bytes, empty to begin and empty again at the end.  visit gets each row's id that
 * wants work.  One process sweeps a table at a time: aws_sweep_claim says whose turn it is, of
 * outlets or of sessions.
 */
#define AWS_SWEEP_CURSOR 64
struct aws_sweep {
	struct aws_caller *caller;
	const struct aws_resources *resources;
	struct outlet_rules rules;
	int64_t timer_before_ns;  /* timers due before this */
	int64_t unsent_before_ns; /* effects that must not wait */
	int64_t plain_before_ns;  /* those of plain reports */
};
EV_NODISCARD ev_err aws_sweep_outlets(const struct aws_sweep *w, char cursor[AWS_SWEEP_CURSOR],
				      void (*visit)(void *user, const struct ev_uuid *id),
				      void *user);
EV_NODISCARD ev_err aws_sweep_sessions(const struct aws_sweep *w, char cursor[AWS_SWEEP_CURSOR],
				       void (*visit)(void *user, const struct ev_uuid *id),
				       void *user);
/* EV_BUSY: another process swept that table within interval_ns. */
EV_NODISCARD ev_err aws_sweep_claim(const struct aws_sweep *w, bool sessions, struct ev_str worker,
				    int64_t now_ns, int64_t interval_ns);

#endif
