/*
 * engine/memory/tables.h — the contents of a memory engine: its tables, and what a unit does to
 * them.
 *
 * A whole state is a value like the trees it is made of: shared in O(1), changed on its own.
 */
#ifndef EV_ENGINE_MEMORY_TABLES_H
#define EV_ENGINE_MEMORY_TABLES_H

#include "engine/memory/tree.h"
#include "port/query.h"

/* key → value; those without value are indexes. */
enum table {
	TABLE_OUTLET,           /* outlet → struct outlet */
	TABLE_INFO,             /* outlet → struct outlet_info */
	TABLE_TIMER,            /* due, outlet */
	TABLE_SESSION,          /* session → struct session */
	TABLE_SESSION_START,    /* start, session */
	TABLE_SESSION_CUSTOMER, /* customer, session */
	TABLE_SESSION_HISTORY,  /* customer, start, session */
	TABLE_SESSION_LIVE,     /* outlet, start, session: the live ones */
	TABLE_CUSTOMER,         /* customer → struct customer */
	TABLE_CLAIM,            /* tag → struct tag_claim */
	TABLE_ITEM,             /* identity → struct unassigned_item */
	TABLE_ITEM_TIME,        /* at, identity */
	TABLE_ITEM_OUTLET,      /* outlet, at, identity */
	TABLE_ATTACHMENT,       /* identity of the item */
	TABLE_SEEN,             /* outlet, identity */
	TABLE_DEAD_LETTER,      /* identity → struct dead_letter, then its body */
	TABLE_DEAD_LETTER_SEQ,  /* seq, identity */
	TABLE_PARKED,           /* identity → struct parked_input */
	TABLE_PARKED_DUE,       /* due, identity */
	TABLE_PARKED_OUTLET,    /* outlet, due, identity */
	TABLE_DELIVERY,         /* outlet → struct delivery */
	TABLE_COMMAND,          /* outlet, version, index → struct device_command */
	TABLE_EVENT,            /* seq → struct stored_event */
	TABLE_EVENT_OUTLET,     /* outlet, seq: of outlets that exist */
	TABLE_COUNT
};

struct tables {
	struct tree t[TABLE_COUNT];
	uint64_t event_seq; /* the last one given */
	uint64_t dead_letter_seq;
};

struct tables tables_new(uint64_t salt);
struct tables tables_share(const struct tables *s);
void tables_drop(struct tables *s);
bool tables_eq(const struct tables *a, const struct tables *b);

/*
 * Does what one unit says.  Any result but EV_OK (those of `commit`, EV_INVALID, EV_NOMEM) leaves
 * *s half changed: the caller keeps a share from before.
 */
EV_NODISCARD ev_err tables_apply(struct tables *s, const struct unit *u,
				 const struct outlet_rules *rules, int64_t now_ns);

/* Keys: up to three parts. */
struct tree_key key_id(const uint8_t id[16]);
struct tree_key key_id_id(const uint8_t a[16], const uint8_t b[16]);
struct tree_key key_time_id(int64_t at_ns, const uint8_t id[16]);
struct tree_key key_id_time_id(const uint8_t owner[16], int64_t at_ns, const uint8_t id[16]);
struct tree_key key_seq(uint64_t seq);
struct tree_key key_id_seq(const uint8_t owner[16], uint64_t seq);
struct tree_key key_command(const uint8_t outlet[16], uint64_t version, unsigned index);
struct tree_key key_tag(const struct rfid_tag *tag);

#endif
