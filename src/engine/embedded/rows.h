/*
 * engine/embedded/rows.h — aggregates and effects as columns: binding them and reading them back.
 *
 * The macros name the columns in the order in which the functions bind or read them.
 */
#ifndef EV_EMBEDDED_ROWS_H
#define EV_EMBEDDED_ROWS_H

#include "engine/embedded/rowblob.h"
#include "engine/embedded/sql.h"
#include "port/query.h"

#define OUTLET_STATE_COLUMNS                                                                       \
	"version, state, sessionId, tag, startNs, endNs, mwh, totalSessions, totalMwh,"            \
	" unassignedMwh, maxPowerMw, outOfService, retired, extra"
#define OUTLET_COLUMNS "id, " OUTLET_STATE_COLUMNS
#define INFO_COLUMNS "groupId, code, address, createdNs"
#define SESSION_COLUMNS                                                                            \
	"id, version, tag, state, channel, endNs, mwh, heardNs, extra,"                            \
	" customerId, outletId, startNs"
#define CUSTOMER_COLUMNS "id, version, tag, address, email, paymentMethod, blocked, createdNs"
#define EVENT_COLUMNS                                                                              \
	"seq, prev, atNs, initiator, outletId, state, sessionId, tag, startNs, endNs, mwh,"        \
	" eventId, itemId, itemMwh"
#define COMMAND_COLUMNS                                                                            \
	"outletId, version, idx, state, tag, sessionId, startNs, endNs, mwh, createdNs, expiresNs"
#define ITEM_COLUMNS "id, outletId, atNs, mwh, tag, sessionId"
#define DEAD_LETTER_COLUMNS "seq, id, channel, outletId, atNs, reason, detail, status, body"

/* OUTLET_STATE_COLUMNS, then the shown state; extra is scratch that lives until the run. */
void bind_outlet_state(struct sql_bind *b, const struct outlet *o, uint8_t extra[OUTLET_BLOB_MAX]);
/* INFO_COLUMNS; NULL: empty. */
void bind_info(struct sql_bind *b, const struct outlet_info *i);
/* SESSION_COLUMNS from version to extra. */
void bind_session_state(struct sql_bind *b, const struct session *s,
			uint8_t extra[SESSION_BLOB_MAX]);
/* CUSTOMER_COLUMNS from version on. */
void bind_customer(struct sql_bind *b, const struct customer *c);
/* EVENT_COLUMNS. */
void bind_event(struct sql_bind *b, const struct stored_event *e, int64_t prev);
void bind_command(struct sql_bind *b, const struct device_command *c);
void bind_item(struct sql_bind *b, const struct unassigned_item *i);

/* Readers of the same columns; what is absent is zero, a row that cannot be sets c->bad. */
void col_outlet(struct sql_cols *c, struct outlet *out);
void col_info(struct sql_cols *c, struct outlet_info *out);
void col_session(struct sql_cols *c, struct session *out);
void col_customer(struct sql_cols *c, struct customer *out);
void col_event(struct sql_cols *c, struct stored_event *out, int64_t *out_prev);
void col_command(struct sql_cols *c, struct device_command *out);
void col_item(struct sql_cols *c, struct unassigned_item *out);
/* out->body is borrowed from the statement. */
void col_dead_letter(struct sql_cols *c, struct dead_letter *out);

/* The name of a reason in the file, which outlives the order of the enum. */
const char *reason_name(enum reason r);

/* Makes *to, a row as it loads, equal to *from; what the row calls absent becomes zero. */
void outlet_assign(struct outlet *to, const struct outlet *from);
void session_assign(struct session *to, const struct session *from);

#endif
