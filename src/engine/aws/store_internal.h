/*
 * engine/aws/store_internal.h — the store's own state, shared by its files.
 *
 * store_cache.c keeps rows; store_rows.c reads and writes them; store_stage.c takes units into the
 * group, store_puts.c what belongs to them, which store_items.c writes; store_end.c makes a group
 * durable; store_send.c sends effects, also those that were left; store_load.c and store_list.c
 * look up what is no row.
 *
 * A cached row is what is stored, or, while the group has touched it, what the group makes of it;
 * `was` is then what is stored.  A row whose write failed in doubt is `stale`: it is read again
 * before anybody sees it, by a load or by the next flush, so that its timer and effects are not
 * forgotten.  A row that a group has looked at and not changed has no condition to find out that
 * somebody else wrote it: if it came from the cache, `end` reads it again.
 */
#ifndef EV_AWS_STORE_INTERNAL_H
#define EV_AWS_STORE_INTERNAL_H

#include "base/map.h"
#include "codec/ddb_customer.h"
#include "codec/ddb_outlet.h"
#include "codec/ddb_session.h"
#include "engine/aws/ddb_call.h"
#include "engine/aws/store.h"

/* Attributes of rows that the codecs know nothing of. */
#define ROW_ATTR_UNSENT "unsent" /* the codecs' */
#define ROW_ATTR_UNSENT_SINCE "unsentSince"
#define ROW_ATTR_TOUCHED "touched"
#define ROW_ATTR_AFTER "after"
/* And one that they know. */
#define ROW_ATTR_UNSENT_SINCE "unsentSince"

enum row_kind { ROW_OUTLET, ROW_SESSION, ROW_CUSTOMER, ROW_KIND_COUNT };

/*
 * Puts that must follow the row's own write, because they say that it took place: the row carries
 * them until they are done.  Each is the JSON of an item, or `letter <id> <status> <at>`.
 */
#define ROW_AFTER_MAX 8
#define ROW_AFTER_LETTER "letter "
struct row_after {
	unsigned n;
	struct ev_str of[ROW_AFTER_MAX]; /* owned */
};

/* Beside what the codecs know: attributes `touched` and `after`. */
struct row_extra {
	uint64_t touched; /* grows with each input that is parked; 0: absent */
	struct row_after *after;
};

struct outlet_image {
	struct ddb_outlet row;
	struct row_extra extra;
	unsigned n_sent;
};
struct session_image {
	struct ddb_session row;
	struct row_extra extra;
	unsigned n_sent;
};

#define BLOCKS_MAX 64 /* of one outlet in memory */
struct seen_block {
	int64_t at_ns;
	struct identity ids[OUTLET_IDS_MAX];
};
struct seen_blocks {
	unsigned n, cap;
	bool incomplete; /* there are more: they are asked for */
	struct seen_block *of;
};

/* What all cached rows have; first in each. */
struct aws_row {
	struct ev_uuid id;
	enum row_kind kind;
	struct aws_row *newer, *older; /* among those that may go */
	struct aws_row *next_unsent, *prev_unsent;
	struct aws_row *next_touched;
	struct aws_row *next_used;
	uint64_t used; /* the group that has seen it */
	uint64_t read; /* the group in which it was read from its table */
	bool pinned, unsent, touched, stale;
	bool is_new;    /* not stored yet */
	bool written;   /* by this group */
	bool is_behind; /* what an earlier group left with it is not done yet */
	size_t heap_at; /* place among the timers, from 1; 0: none */
	int64_t due_ns;
	bool unversioned;
	struct ddb_number number;    /* of an unversioned row, for its condition */
	struct row_effects *effects; /* NULL: none */
	unsigned n_sent;             /* the first of them that are known to be sent */
	struct row_extra extra;
	void *was; /* struct outlet_image or session_image; NULL while not touched, or new */
};

struct outlet_entry {
	struct aws_row head;
	struct outlet row;
	struct outlet_info info;
	struct seen_blocks blocks;
	bool may_have_parked;
};
struct session_entry {
	struct aws_row head;
	struct session row;
};
/* Lives as long as the group that asked for it. */
struct customer_entry {
	struct aws_row head;
	struct ddb_customer row;
	struct ddb_customer stored;
	bool erased;
};

struct row_heap {
	struct aws_row **of; /* from 1 */
	size_t n, cap;
};

struct row_cache {
	struct ev_map by_id[ROW_KIND_COUNT];
	struct aws_row *newest, *oldest;
	size_t n_loose; /* rows that may go */
	size_t n_pinned;
	struct aws_row *unsent;
	size_t n_unsent;
	struct row_heap heap;
};

/* A keyed put of the group. */
struct staged_put {
	struct keyed_put p;
	char *body;   /* of a dead letter, owned */
	bool late;    /* after the rows */
	bool replace; /* whatever is there */
	bool skip;
	struct aws_row *row; /* that carries it until it is done; NULL: nobody */
	bool had;            /* claim, delivery: what was there */
	union {
		struct tag_claim claim;
		struct own_delivery delivery;
	} was;
	bool done;
};

struct staged_puts {
	struct staged_put *of;
	size_t n, cap;
};
struct staged_commands {
	struct device_command *of;
	size_t n, cap;
};
struct staged_effects {
	struct aws_effect *of;
	size_t n, cap;
};

struct store_group {
	bool open;
	ev_err lost;
	uint64_t number; /* from 1 */
	struct aws_row *touched, *last_touched;
	struct aws_row *used; /* outlets and sessions that were loaded */
	struct staged_puts puts;
	struct staged_commands commands; /* to be written as items */
	struct staged_effects effects;   /* of units without a row */
	bool has_delivery;               /* the last one loaded in this group */
	bool had_delivery;
	struct own_delivery delivery;
};

struct aws_store {
	struct store store; /* first */
	struct aws_store_config c;
	struct ddb_io io;
	struct row_cache cache;
	struct store_group group;
	struct aws_store_stats stats;
	int64_t last_block_ns, last_letter_ns; /* so that keys and seqs of one instant differ */
	int64_t parked_at_ns; /* when all parked inputs were last asked for, monotonic */
};

static inline struct aws_store *aws_store_of(struct store *s)
{
	return (struct aws_store *)s;
}
static inline int64_t store_now(const struct aws_store *s)
{
	return ev_clock_wall_ns(s->c.clock);
}
static inline bool store_has_role(const struct aws_store *s, unsigned role)
{
	return (s->c.roles & role) != 0;
}
static inline struct outlet_entry *outlet_of(struct aws_row *r)
{
	return (struct outlet_entry *)r;
}
static inline struct session_entry *session_of(struct aws_row *r)
{
	return (struct session_entry *)r;
}
static inline struct customer_entry *customer_of(struct aws_row *r)
{
	return (struct customer_entry *)r;
}

/* --- store_cache.c --- */

void aws_cache_init(struct row_cache *c, const uint64_t seed[2]);
void aws_cache_deinit(struct row_cache *c);
/* NULL if it is not there; it may be stale. */
struct aws_row *aws_cache_find(struct row_cache *c, enum row_kind kind, const struct ev_uuid *id);
/* A new row, all zero, loose.  NULL: out of memory. */
struct aws_row *aws_cache_add(struct row_cache *c, enum row_kind kind, const struct ev_uuid *id);
void aws_cache_drop(struct row_cache *c, struct aws_row *r);
/* After anything about the row has changed: is it pinned, unsent, due?  rules: of timers. */
void aws_cache_settle(struct row_cache *c, struct aws_row *r, const struct outlet_rules *rules,
		      size_t max_pinned);
/* Lets the oldest loose rows go. */
void cache_trim(struct row_cache *c, size_t max_rows);
/* Rows whose timer is due by then, earliest first, then lowest id; how many. */
size_t cache_due(const struct row_cache *c, int64_t due_ns, struct ev_uuid *out, size_t max);

struct row_after *row_after_dup(const struct row_after *a); /* NULL for NULL, or out of memory */
void row_after_free(struct row_after *a);
/* EV_FULL, EV_NOMEM.  text is copied. */
EV_NODISCARD ev_err row_after_add(struct row_after **a, struct ev_str text);
/* EV_NOMEM.  Blocks older than before_ns are let go of. */
EV_NODISCARD ev_err seen_blocks_add(struct seen_blocks *b, const struct seen_block *block,
				    int64_t before_ns);
bool seen_blocks_have(const struct seen_blocks *b, const struct identity *id);
/* Has it effects or puts that are not known to be done? */
bool row_is_unsent(const struct aws_row *r);
/* Only effects of plain reports: the row's next write clears them. */
bool row_is_plain(const struct aws_row *r);
void row_set_effects(struct aws_row *r, struct row_effects *owned);
struct row_effects *row_effects_dup(const struct row_effects *e); /* NULL: none, or no memory */

/* --- store_rows.c --- */

/*
 * The row, from the cache or its table.  EV_NOTFOUND, EV_CORRUPT, EV_UNSUPPORTED (not of our
 * roles), or the call's.
 */
EV_NODISCARD ev_err row_get(struct aws_store *s, enum row_kind kind, const struct ev_uuid *id,
			    struct aws_row **out);
/* Reads a cached row again; EV_NOTFOUND: and drops it, unless the group has touched it. */
EV_NODISCARD ev_err row_reload(struct aws_store *s, struct aws_row *r);
/* An outlet's row for a store without the role: not cached.  EV_UNSUPPORTED: we may not. */
EV_NODISCARD ev_err outlet_peek(struct aws_store *s, const struct ev_uuid *id, struct outlet *out);
/* Adds the read of a row to the batch. */
void row_add_get(struct aws_store *s, struct ddb_batch *b, enum row_kind kind,
		 const struct ev_uuid *id);
/* Is the item that was read what the cached row was made of? */
bool row_is_as_stored(const struct aws_row *r, struct ev_str item);
/* Before the group changes it.  EV_NOMEM. */
EV_NODISCARD ev_err row_touch(struct aws_store *s, struct aws_row *r);
/* As it was before the group; a row that is new goes away. */
void row_restore(struct aws_store *s, struct aws_row *r);
/* It is stored as it stands. */
void row_settle(struct aws_store *s, struct aws_row *r);
void row_free_was(struct aws_row *r);
/* Adds the write that makes the touched row what it is now to the batch. */
void row_add_write(struct aws_store *s, struct ddb_batch *b, struct aws_row *r);
/* Adds the write that takes effects and late puts out of a row that is stored as it stands. */
void row_add_clear(struct aws_store *s, struct ddb_batch *b, struct aws_row *r);

/* --- store_stage.c --- */

ev_err stage_commit(struct store *s, const struct unit *units, size_t n, ev_err *results);
void stage_clear(struct store_group *g);

/* --- store_puts.c --- */

/* May the unit's put number i be done?  EV_OK, EV_EXISTS, EV_NOTFOUND, EV_INVALID, the call's. */
EV_NODISCARD ev_err put_check(struct aws_store *s, const struct unit *u, size_t i);
/* Takes it into the group; row: the unit's own.  EV_NOMEM, EV_FULL, the call's. */
EV_NODISCARD ev_err put_stage(struct aws_store *s, const struct keyed_put *p, struct aws_row *row);
struct own_key put_key(const struct keyed_put *p);
struct own_attachment put_attachment(const struct keyed_put *p);

/* --- store_items.c --- */

/* Writes those of the group before (late false) or after the rows. */
EV_NODISCARD ev_err puts_write(struct aws_store *s, bool late);
/* Does what a row that was left carries. */
EV_NODISCARD ev_err puts_after(struct aws_store *s, const struct row_after *a);
/* Lists a session as live, if it is. */
EV_NODISCARD ev_err put_live(struct aws_store *s, const struct session *x);

/* --- store_send.c --- */

/* Sends what the row has unsent.  EV_OK: all is accepted. */
EV_NODISCARD ev_err row_send(struct aws_store *s, struct aws_row *r);
/* Takes out what was sent and done.  EV_CONFLICT: the row moved on, it will be read again. */
EV_NODISCARD ev_err row_clear(struct aws_store *s, struct aws_row *r);

/* --- store_end.c --- */

ev_err store_end(struct store *s);
/* Undoes what was staged and not written, and closes the group. */
void group_close(struct aws_store *s);

/* --- store_load.c --- */

/* What is stored, whatever the group does to it; tag in lower case. */
EV_NODISCARD ev_err load_stored_claim(struct aws_store *s, const struct rfid_tag *low,
				      bool *out_had, struct tag_claim *out);
EV_NODISCARD ev_err load_own_delivery(struct aws_store *s, const struct ev_uuid *outlet_id,
				      bool *out_had, struct own_delivery *out);

/* What loads of the port do. */
ev_err load_parked(struct store *s, const struct ev_uuid *outlet_id, int64_t due_ns,
		   struct parked_input *out, size_t max, size_t *out_n);
ev_err load_commands(struct store *s, const struct ev_uuid *outlet_id, uint64_t version,
		     unsigned index, int64_t now_ns, struct device_command *out, size_t max,
		     size_t *out_n);
ev_err live_sessions(struct store *s, const struct ev_uuid *outlet_id, struct ev_uuid *out,
		     size_t max, size_t *out_n);
ev_err customer_sessions(struct store *s, const struct ev_uuid *customer_id,
			 const struct ev_uuid *after, struct ev_uuid *out, size_t max,
			 size_t *out_n);
extern const struct store_ops aws_store_ops;

#endif
