/*
 * codec/ddb_session.h — rows of the session table.
 *
 * The original's attributes hold their fields exactly; ours are `version`, `x`, `unsent` and
 * `unsentSince`.  A session whose customer was erased has its own id as customerId: a UUID as the
 * original needs one, of nobody, and no other session's.  Pure.
 */
#ifndef EV_CODEC_DDB_SESSION_H
#define EV_CODEC_DDB_SESSION_H

#include "codec/ddb_effects.h"
#include "codec/ddb_item.h"
#include "core/session.h"

#define DDB_SESSION_JSON_MAX 24576

struct ddb_session {
	struct session session;
	struct row_effects effects;
	bool unversioned;         /* last written by the original */
	struct ddb_number energy; /* its powerConsumption to the last digit, if unversioned */
};

void ddb_session_key(const struct ev_uuid *id, struct json_writer *w);
void ddb_session_put(const struct ddb_session *row, struct json_writer *w);

/* As ddb_outlet_update; an unversioned row's state and energy must be as read. */
void ddb_session_update(const struct ddb_session *was, const struct ddb_session *now,
			struct json_writer *w);

/*
 * A row without version gets version 1 and no sums of its own, so that its energy counts as the sum
 * of the first start that is heard of (design section 4).  EV_CORRUPT as ddb_outlet_read.
 */
EV_NODISCARD ev_err ddb_session_read(struct ev_str item, struct ddb_session *out);

void ddb_session_attrs(const struct ddb_session *row, struct ddb_attrs *out);

#endif
