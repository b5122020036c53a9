/*
 * engine/aws/ddb_own.h — the items of our own table: keys, whole items, reading them back.
 *
 * What is where: pk and sk below; gpk and gsk put an item into the index.  Times in keys are ns as
 * 20 digits, identities 32 hex digits, UUIDs in lower case, so that keys sort as what they stand
 * for.  Writers write JSON values into *w; readers take one item's JSON and say EV_CORRUPT if it is
 * not of that kind.  Pure.
 *
 *   identity block   outlet#<outlet>   ids#<at>#<first identity>
 *   parked input     outlet#<outlet>   parked#<identity>          parked / <due>#<identity>
 *   delivery         outlet#<outlet>   delivery
 *   command          outlet#<outlet>   command#<version>#<index>
 *   unassigned item  item#<identity>   -                          items / <at>#<identity>
 *   attachment       attached#<item>   -
 *   tag claim        tag#<tag>         -
 *   dead letter      letter#<identity> -                          letters#open|closed / <seq>#<id>
 *   live session     live#<outlet>     <session>                  live / <start>#<session>
 *   sweep            sweep             - (of outlets), -sessions
 */
#ifndef EV_AWS_DDB_OWN_H
#define EV_AWS_DDB_OWN_H

#include "base/time.h"
#include "codec/ddb_item.h"
#include "port/store.h"

#define OWN_KEY_MAX 160   /* bytes of a key's text */
#define OWN_JSON_MAX 4096 /* bytes of any item written here but a dead letter */
#define OWN_LETTER_JSON_MAX 32768

/* Seconds that items outlive their use, for the table's time to live. */
#define OWN_IDS_KEEP_NS (2 * EV_NS_PER_HOUR)
#define OWN_COMMAND_KEEP_NS (24 * EV_NS_PER_HOUR)

/* A key as texts: what KeyConditionExpressions and Key objects are made of. */
struct own_key {
	char pk[OWN_KEY_MAX];
	char sk[OWN_KEY_MAX];
};
struct own_key own_block_key(const struct identity_block *b);
struct own_key own_parked_key(const struct ev_uuid *outlet_id, const struct identity *id);
struct own_key own_delivery_key(const struct ev_uuid *outlet_id);
struct own_key own_command_key(const struct ev_uuid *outlet_id, uint64_t version, unsigned index);
struct own_key own_unassigned_key(const struct identity *id);
struct own_key own_attachment_key(const struct identity *item_id);
struct own_key own_claim_key(const struct rfid_tag *tag); /* in lower case, as given */
struct own_key own_letter_key(const struct identity *id);
struct own_key own_live_key(const struct ev_uuid *outlet_id, const struct ev_uuid *session_id);
struct own_key own_sweep_key(bool sessions);
void own_key_write(const struct own_key *key, struct json_writer *w); /* the object, a value */

/* Partitions of the index, and a range key of it (`<time>#<id in text>`). */
#define OWN_INDEX_PARKED "parked"
#define OWN_INDEX_ITEMS "items"
#define OWN_INDEX_LETTERS_OPEN "letters#open"
#define OWN_INDEX_LETTERS_CLOSED "letters#closed"
#define OWN_INDEX_LIVE "live"
/* What a range key starts with; times below 0 count as 0. */
void own_time_text(int64_t ns, char out[21]);
/* A whole range key; id NULL: of a UUID. */
void own_index_key(int64_t at, const struct ev_uuid *uuid, const struct identity *id,
		   char out[OWN_KEY_MAX]);

/* What pk starts with. */
#define OWN_PK_OUTLET "outlet#"
#define OWN_PK_ITEM "item#"
#define OWN_PK_ATTACHED "attached#"
#define OWN_PK_TAG "tag#"
#define OWN_PK_LETTER "letter#"
#define OWN_PK_LIVE "live#"
#define OWN_PK_SWEEP "sweep"

/* What sk starts with within outlet#<outlet>, for a Query; elsewhere it is OWN_SK_NONE. */
#define OWN_SK_IDS "ids#"
#define OWN_SK_PARKED "parked#"
#define OWN_SK_DELIVERY "delivery"
#define OWN_SK_COMMAND "command#"
#define OWN_SK_NONE "-"
#define OWN_SK_SESSIONS "-sessions"

enum own_kind {
	OWN_BLOCK,
	OWN_PARKED,
	OWN_DELIVERY,
	OWN_COMMAND,
	OWN_UNASSIGNED,
	OWN_ATTACHMENT,
	OWN_CLAIM,
	OWN_LETTER,
	OWN_LIVE,
	OWN_SWEEP,
	OWN_KIND_COUNT, /* none of ours */
};
enum own_kind own_kind_of(struct ev_str pk, struct ev_str sk);
/* By its key alone.  EV_CORRUPT: no item with a key. */
EV_NODISCARD ev_err own_kind_read(struct ev_str item, enum own_kind *out);

/* Delivery with what a gateway adds to it. */
#define OWN_GATEWAY_MAX 64
struct own_delivery {
	struct delivery delivery;
	char gateway[OWN_GATEWAY_MAX + 1]; /* who holds the device's connection; empty: nobody */
	uint64_t generation;               /* grows with each connection */
};

struct own_attachment {
	struct identity item_id;
	struct ev_uuid session_id;
	int64_t mwh;
};

struct own_live {
	struct ev_uuid outlet_id;
	struct ev_uuid session_id;
	int64_t start_ns;
};

struct own_sweep {
	bool sessions; /* which table is swept: sessions, else outlets */
	char owner[OWN_GATEWAY_MAX + 1];
	uint64_t version;
	int64_t at_ns;
};

/* Whole items, values.  Blocks and commands get `expires`. */
void own_block_put(const struct identity_block *b, struct json_writer *w);
void own_parked_put(const struct parked_input *p, struct json_writer *w);
void own_delivery_put(const struct own_delivery *d, struct json_writer *w);
void own_command_put(const struct device_command *c, struct json_writer *w);
void own_unassigned_put(const struct unassigned_item *i, struct json_writer *w);
void own_attachment_put(const struct own_attachment *a, struct json_writer *w);
void own_claim_put(const struct tag_claim *c, struct json_writer *w);
void own_letter_put(const struct dead_letter *l, struct json_writer *w); /* seq as given */
void own_live_put(const struct own_live *l, struct json_writer *w);
void own_sweep_put(const struct own_sweep *s, struct json_writer *w);

/*
 * Conditional updates, members of an UpdateItem into the object that is open, Key included.
 * delivery: condition that the stored generation is was->generation and its commands are was's
 * (NULL: that there is no item).  status: of a dead letter, condition that it exists; moves it
 * between the partitions of the index.
 */
void own_delivery_update(const struct own_delivery *was, const struct own_delivery *now,
			 struct json_writer *w);
void own_letter_status(const struct identity *id, enum dead_letter_status status, int64_t at_ns,
		       struct json_writer *w);
/* Condition that the stored version is was->version (NULL: none). */
void own_sweep_update(const struct own_sweep *was, const struct own_sweep *now,
		      struct json_writer *w);
/* Members of a PutItem or a DeleteItem: the condition that the claim is held by customer_id. */
void own_claim_held_by(const struct ev_uuid *customer_id, struct json_writer *w);
/* Member of a PutItem: the condition that there is no such item. */
void own_if_absent(struct json_writer *w);

EV_NODISCARD ev_err own_block_read(struct ev_str item, struct identity_block *out);
EV_NODISCARD ev_err own_parked_read(struct ev_str item, struct parked_input *out);
EV_NODISCARD ev_err own_delivery_read(struct ev_str item, struct own_delivery *out);
EV_NODISCARD ev_err own_command_read(struct ev_str item, struct device_command *out);
EV_NODISCARD ev_err own_unassigned_read(struct ev_str item, struct unassigned_item *out);
EV_NODISCARD ev_err own_attachment_read(struct ev_str item, struct own_attachment *out);
EV_NODISCARD ev_err own_claim_read(struct ev_str item, struct tag_claim *out);
/* The body goes to body_out (DEAD_LETTER_BODY_MAX bytes) and out->body points there. */
EV_NODISCARD ev_err own_letter_read(struct ev_str item, struct dead_letter *out, char *body_out);
EV_NODISCARD ev_err own_live_read(struct ev_str item, struct own_live *out);
EV_NODISCARD ev_err own_sweep_read(struct ev_str item, struct own_sweep *out);

#endif
