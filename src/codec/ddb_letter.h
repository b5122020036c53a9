/*
 * codec/ddb_letter.h — records of the dead-letter stream.
 *
 * The original's four texts, `partitionKey, data, error, stackTrace`, as it writes them (facts/
 * original-system.md section 6), then ours: `bytes` (the record as it came, base64), `reason`, `at`
 * and `identity`, so that a letter can be replayed.  Pure.
 */
#ifndef EV_CODEC_DDB_LETTER_H
#define EV_CODEC_DDB_LETTER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "core/types.h"

#define LETTER_KEY_MAX 256
#define LETTER_DATA_MAX 512
#define LETTER_ERROR_MAX 512
#define LETTER_BYTES_MAX 16384
#define LETTER_JSON_MAX 32768 /* bytes of any record written here */

/* Texts are borrowed; longer ones than the limits above are cut at a character. */
struct letter {
	struct ev_str partition_key;        /* of the failed record, may be empty */
	const struct charging_event *event; /* NULL: it could not be read */
	struct ev_str error;
	struct ev_str bytes; /* at most LETTER_BYTES_MAX */
	enum reason reason;
	int64_t at_ns;
	struct identity id;
};

void letter_write(const struct letter *l, struct ev_buf *b);

/* The name of a reason in records and rows: it stays when the text for people changes. */
const char *letter_reason_name(enum reason r);
/* REASON_UNDECODABLE if there is none of that name. */
enum reason letter_reason_parse(struct ev_str name);

/* What a record of either backend says. */
struct letter_read {
	char partition_key[LETTER_KEY_MAX + 1];
	char data[LETTER_DATA_MAX + 1]; /* Scala's text of the event */
	char error[LETTER_ERROR_MAX + 1];
	bool ours;           /* the rest is there */
	struct ev_str bytes; /* in the caller's room */
	enum reason reason;  /* REASON_UNDECODABLE if it is one that we do not know */
	int64_t at_ns;
	struct identity id;
};

/*
 * EV_INVALID: no such JSON, a text of the four is missing, or one of ours is not as we write it.
 * Longer texts than above are cut at a character.  room: LETTER_BYTES_MAX bytes.
 */
EV_NODISCARD ev_err letter_parse(struct ev_str json, struct letter_read *out, char *room);

/* `ChargingEvent(OutletBackend,<uuid>,Charging,EventSession(Some(<uuid>),tag,…,Some(…),1.234))` */
void letter_event_text(const struct charging_event *e, struct ev_buf *b);

#endif
