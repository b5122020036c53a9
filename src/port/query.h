/*
 * port/query.h — what people look up: lists and histories, outside the unit of work.
 *
 * Reads see what was committed; they block, and run on a thread of their own, never on the one that
 * commits.  Rows come in a fixed order, a page at a time: `after` is the last row's key of the page
 * before.  A visitor returns false to stop; its row is borrowed for that call, in which it must not
 * call the engine.  Outlets and customers come in order of id where the engine keeps one, else
 * (aws) in one of its own; sessions of one start by id, highest first.  EV_UNSUPPORTED: the engine
 * has no such list (aws: events are a stream, not a table).
 */
#ifndef EV_PORT_QUERY_H
#define EV_PORT_QUERY_H

#include "port/store.h"

struct outlet_row {
	struct outlet outlet;
	struct outlet_info info;
};

struct stored_event {
	uint64_t seq;  /* grows by commit order, from 1, may skip; the SSE id */
	int64_t at_ns; /* server time of its commit */
	struct charging_event event;
};

struct outlet_filter {
	bool has_state; /* the shown state, outlet_shown_state() */
	enum outlet_state state;
	bool has_group;
	struct ev_uuid group_id;
	bool with_retired;
};

/* Sums over everything, in mWh; the books balance when total == sessions + unassigned. */
struct energy_books {
	/* Rows are another process's, or cannot be read: whether the books balance is unknown. */
	bool is_part;
	int64_t outlets_total_mwh;
	int64_t outlets_unassigned_mwh;
	int64_t sessions_mwh;
	int64_t items_open_mwh; /* unassigned items not attached; equals outlets_unassigned_mwh */
	uint64_t n_outlets, n_sessions, n_live_sessions, n_customers, n_events, n_commands;
	uint64_t n_dead_letters_open, n_parked, n_items_open;
};

typedef bool (*outlet_visit_fn)(void *user, const struct outlet_row *row);
typedef bool (*session_visit_fn)(void *user, const struct session *s);
typedef bool (*customer_visit_fn)(void *user, const struct customer *c);
typedef bool (*event_visit_fn)(void *user, const struct stored_event *e);
typedef bool (*item_visit_fn)(void *user, const struct unassigned_item *i);
typedef bool (*dead_letter_visit_fn)(void *user, const struct dead_letter *d);

struct query;

struct query_ops {
	/* Each: EV_OK also when nothing matched; EV_IO, EV_CORRUPT. limit rows at most. */
	ev_err (*outlets)(struct query *q, const struct outlet_filter *f,
			  const struct ev_uuid *after, size_t limit, outlet_visit_fn fn,
			  void *user) EV_NODISCARD;
	ev_err (*outlet)(struct query *q, const struct ev_uuid *id,
			 struct outlet_row *out) EV_NODISCARD;
	/*
	 * An outlet's events, newest first, below seq `before` (0: from the newest).  Those put
	 * while it was not registered are not among them.
	 */
	ev_err (*outlet_events)(struct query *q, const struct ev_uuid *outlet_id, uint64_t before,
				size_t limit, event_visit_fn fn, void *user) EV_NODISCARD;
	/* All events above seq `after`, oldest first. */
	ev_err (*events)(struct query *q, uint64_t after, size_t limit, event_visit_fn fn,
			 void *user) EV_NODISCARD;
	ev_err (*session)(struct query *q, const struct ev_uuid *id,
			  struct session *out) EV_NODISCARD;
	/* A customer's sessions, newest startTime first; before_ns 0: from the newest. */
	ev_err (*history)(struct query *q, const struct ev_uuid *customer_id, int64_t before_ns,
			  size_t limit, session_visit_fn fn, void *user) EV_NODISCARD;
	/*
	 * Sessions in order of start, newest first; live_only; heard_before_ns 0 or "stuck" since.
	 */
	ev_err (*sessions)(struct query *q, bool live_only, int64_t heard_before_ns,
			   int64_t before_ns, size_t limit, session_visit_fn fn,
			   void *user) EV_NODISCARD;
	ev_err (*customer)(struct query *q, const struct ev_uuid *id,
			   struct customer *out) EV_NODISCARD;
	ev_err (*customers)(struct query *q, const struct ev_uuid *after, size_t limit,
			    customer_visit_fn fn, void *user) EV_NODISCARD;
	/* Items of an outlet (or of all: outlet_id NULL), oldest at_ns first, then identity. */
	ev_err (*unassigned)(struct query *q, const struct ev_uuid *outlet_id, bool open_only,
			     size_t limit, item_visit_fn fn, void *user) EV_NODISCARD;
	/* Newest first, below seq `before` (0: newest); only open ones unless all. */
	ev_err (*dead_letters)(struct query *q, bool all, uint64_t before, size_t limit,
			       dead_letter_visit_fn fn, void *user) EV_NODISCARD;
	ev_err (*dead_letter)(struct query *q, const struct identity *id, struct dead_letter *out,
			      char *body_out) EV_NODISCARD;
	ev_err (*books)(struct query *q, struct energy_books *out) EV_NODISCARD;
	void (*free)(struct query *q);
};

struct query {
	const struct query_ops *ops;
};

#endif
