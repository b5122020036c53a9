/*
 * port/store.h — the unit of work: where aggregates, their effects and what belongs to them are
 * loaded and committed.  Adapters: engine/embedded (SQLite), engine/memory, engine/aws (DynamoDB).
 *
 * A unit is one aggregate with the version it was decided from, its outgoing events and commands,
 * and keyed puts; it is committed whole or not at all.  Units committed between `begin` and `end`
 * form a group: nothing may be acknowledged before `end` returned EV_OK, and after any other result
 * of `end` none of them took place.  Loads inside a group see what the group has committed.
 *
 * A row is stored as given, with the new version it carries: the decision has set it.  What a row
 * calls absent (a flag is false, a count is lower, bytes after a tag's or text's end) loads as
 * zero.  Lists are cut at max, which is no error; ids and identities are ordered by their bytes.
 *
 * Calls block; they are made by one thread at a time.
 */
#ifndef EV_PORT_STORE_H
#define EV_PORT_STORE_H

#include "base/err.h"
#include "core/customer.h"
#include "core/outlet.h"
#include "core/session.h"

enum unit_kind {
	UNIT_OUTLET,
	UNIT_SESSION,
	UNIT_CUSTOMER,
	UNIT_NONE, /* no aggregate: effects and puts only, e.g. the denial for an unknown outlet */
};

enum put_kind {
	PUT_DEAD_LETTER,        /* keyed by its identity: a repeat changes nothing */
	PUT_DEAD_LETTER_STATUS, /* replayed or dropped; EV_NOTFOUND if there is none */
	PUT_PARKED,             /* an input that waits, by identity: a repeat changes nothing */
	PUT_UNPARK,             /* removes it; absent is fine */
	PUT_UNASSIGNED,     /* new item, or the same now attached, which it stays: replaces it */
	PUT_ATTACHMENT,     /* "the App added this item": EV_EXISTS if it was there */
	PUT_CLAIM,          /* tag claim, replaces what is there */
	PUT_UNCLAIM,        /* removes the claim of tag if customer_id holds it */
	PUT_IDENTITY_BLOCK, /* identities that rotate out of an outlet's row; none: skipped */
	PUT_DELIVERY,       /* highest delivered, highest acknowledged command of an outlet */
};

enum dead_letter_status { DEAD_LETTER_OPEN, DEAD_LETTER_REPLAYED, DEAD_LETTER_DROPPED };
enum input_channel { INPUT_DEVICE_MESSAGE, INPUT_CHARGING_EVENT };

#define DEAD_LETTER_BODY_MAX 16384

/* Bytes as they came, and why they were rejected. */
struct dead_letter {
	uint64_t seq; /* given by the engine; 0 on put */
	struct identity id;
	enum input_channel channel;
	bool has_outlet;
	struct ev_uuid outlet_id;
	int64_t at_ns; /* server time of first receipt */
	enum reason reason;
	char detail[160];   /* the decoder's text, NUL-terminated, may be empty */
	struct ev_str body; /* borrowed; at most DEAD_LETTER_BODY_MAX */
	enum dead_letter_status status;
};

/* An input that is legal only after something not yet seen. */
struct parked_input {
	struct identity id;
	struct ev_uuid outlet_id;
	int64_t at_ns;  /* first receipt */
	int64_t due_ns; /* then it is decided without waiting */
	struct outlet_input input;
};

struct identity_block {
	struct ev_uuid outlet_id;
	int64_t at_ns;
	struct identity ids[OUTLET_IDS_MAX];
};

/*
 * Commands as (version, index), in the order of their ids; all zero: none.  Each pair only grows;
 * at_ns is that of the last put that made one grow.
 */
struct delivery {
	struct ev_uuid outlet_id;
	uint64_t delivered_version;
	unsigned delivered_index;
	uint64_t acked_version;
	unsigned acked_index;
	int64_t at_ns;
};

struct keyed_put {
	enum put_kind kind;
	union {
		struct dead_letter dead_letter;
		struct parked_input parked;
		struct {
			struct identity id;
			struct ev_uuid outlet_id; /* that it was parked for */
		} unpark;
		struct unassigned_item unassigned;
		struct {
			struct identity item_id;
			struct ev_uuid session_id;
			int64_t mwh;
		} attachment;
		struct tag_claim claim; /* PUT_CLAIM and PUT_UNCLAIM */
		struct identity_block block;
		struct delivery delivery;
		struct {
			struct identity id;
			enum dead_letter_status status;
			int64_t at_ns;
		} status;
	};
};

/* All pointers are borrowed until `commit` returns. */
struct unit {
	enum unit_kind kind;
	/*
	 * The version that was loaded, 0: the aggregate must not exist; else EV_CONFLICT, also when
	 * the row is gone.  EV_INVALID, whatever is stored, if the new row's version is not
	 * above it, or is above INT64_MAX.
	 */
	uint64_t expected;
	const struct outlet *outlet;     /* UNIT_OUTLET: the new row */
	const struct outlet_info *info;  /* UNIT_OUTLET: NULL if unchanged, of a new row empty */
	const struct session *session;   /* UNIT_SESSION */
	const struct customer *customer; /* UNIT_CUSTOMER */
	bool erase;                      /* UNIT_CUSTOMER: remove the row of customer->id */
	const struct charging_event *events;
	size_t n_events;
	const struct device_command *commands;
	size_t n_commands;
	const struct keyed_put *puts;
	size_t n_puts;
};

struct store;

struct store_ops {
	/* Opens a group.  EV_BUSY if one is open. */
	ev_err (*begin)(struct store *s) EV_NODISCARD;
	/*
	 * Makes the group durable and closes it, whatever the result.  EV_FULL (disk full), EV_IO,
	 * EV_NOMEM: nothing of it took place, no touched aggregate survives in a cache.  EV_INVALID
	 * without a group.  On aws a part may have taken place, its rows each with all that belongs
	 * to them (docs/decisions/0015); EV_CONFLICT: a row moved on, EV_BUSY, EV_TIMEOUT.
	 */
	ev_err (*end)(struct store *s) EV_NODISCARD;
	/* Gives the open group up, as if `end` had failed.  Without a group: nothing. */
	void (*abandon)(struct store *s);

	/* EV_NOTFOUND, EV_IO, EV_CORRUPT. */
	ev_err (*load_outlet)(struct store *s, const struct ev_uuid *id,
			      struct outlet *out) EV_NODISCARD;
	ev_err (*load_info)(struct store *s, const struct ev_uuid *id,
			    struct outlet_info *out) EV_NODISCARD;
	ev_err (*load_session)(struct store *s, const struct ev_uuid *id,
			       struct session *out) EV_NODISCARD;
	ev_err (*load_customer)(struct store *s, const struct ev_uuid *id,
				struct customer *out) EV_NODISCARD;
	/*
	 * tag as it was sent: claims are kept by the tag in lower case.  Without a claim an engine
	 * may name a customer whose row carries the tag, with at_ns 0.
	 */
	ev_err (*load_claim)(struct store *s, const struct rfid_tag *tag,
			     struct tag_claim *out) EV_NODISCARD;
	/* Ids of the live sessions of an outlet, newest start first, then highest id. */
	ev_err (*live_sessions)(struct store *s, const struct ev_uuid *outlet_id,
				struct ev_uuid *out, size_t max, size_t *out_n) EV_NODISCARD;
	/* All sessions of a customer from the one after *after (NULL: first) in order of id. */
	ev_err (*customer_sessions)(struct store *s, const struct ev_uuid *customer_id,
				    const struct ev_uuid *after, struct ev_uuid *out, size_t max,
				    size_t *out_n) EV_NODISCARD;
	/* Is the identity in a block of this outlet? */
	ev_err (*seen)(struct store *s, const struct ev_uuid *outlet_id, const struct identity *id,
		       bool *out) EV_NODISCARD;
	ev_err (*load_unassigned)(struct store *s, const struct identity *id,
				  struct unassigned_item *out) EV_NODISCARD;
	ev_err (*has_attachment)(struct store *s, const struct identity *item_id,
				 bool *out) EV_NODISCARD;
	/*
	 * The body is copied to body_out (DEAD_LETTER_BODY_MAX bytes) and out->body points there.
	 */
	ev_err (*load_dead_letter)(struct store *s, const struct identity *id,
				   struct dead_letter *out, char *body_out) EV_NODISCARD;
	/*
	 * Parked inputs of one outlet (or of all: outlet_id NULL) due at or before due_ns, in order
	 * of due_ns, then identity.
	 */
	ev_err (*load_parked)(struct store *s, const struct ev_uuid *outlet_id, int64_t due_ns,
			      struct parked_input *out, size_t max, size_t *out_n) EV_NODISCARD;
	/* All zero with EV_OK if nothing was ever delivered. */
	ev_err (*load_delivery)(struct store *s, const struct ev_uuid *outlet_id,
				struct delivery *out) EV_NODISCARD;
	/*
	 * Commands of an outlet after (version, index) in order, without those that have expired
	 * (expires_ns at or before now_ns).  Of more than max the newest: a device that never
	 * acknowledges still gets what was said last.
	 */
	ev_err (*load_commands)(struct store *s, const struct ev_uuid *outlet_id, uint64_t version,
				unsigned index, int64_t now_ns, struct device_command *out,
				size_t max, size_t *out_n) EV_NODISCARD;
	/*
	 * Outlets whose timer may be due at or before due_ns (outlet_next_timer under the rules the
	 * engine was opened with), earliest first, then lowest id.  May name an outlet whose timer
	 * moved on.
	 */
	ev_err (*due_outlets)(struct store *s, int64_t due_ns, struct ev_uuid *out, size_t max,
			      size_t *out_n) EV_NODISCARD;

	/*
	 * Commits n units, each for itself: results[i] is EV_OK, EV_CONFLICT (the version moved on:
	 * load and decide again), EV_EXISTS (a put that had to be new was there), EV_NOTFOUND, or
	 * an error of the engine.  Returns the first result that is not EV_OK.  A unit with another
	 * result than EV_OK changed nothing; the others stand.  After an error of the engine
	 * (EV_IO, EV_FULL, EV_NOMEM, EV_CORRUPT) the group is lost: later commits and `end` return
	 * it again.  EV_INVALID without a group.
	 */
	ev_err (*commit)(struct store *s, const struct unit *units, size_t n,
			 ev_err *results) EV_NODISCARD;

	void (*free)(struct store *s);
};

struct store {
	const struct store_ops *ops;
};

#endif
