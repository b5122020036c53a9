/*
 * engine/embedded/gather.h — a file layer of SQLite that gathers the writes of its log.
 *
 * SQLite writes each page of a commit to the log in two pieces, then syncs.  Here the pieces are
 * kept in memory and written as few large ones before the sync, or before anything else looks at
 * the file: that saves a quarter of the processor time of a group of a hundred reports
 * (docs/performance.md).  All other files go to the layer below as they are.
 *
 * Invariant: what others may read of the log is in the file.  SQLite tells them of a commit only
 * after the sync, if the connection has synchronous=FULL; no other connection may write through it.
 */
#ifndef EV_EMBEDDED_GATHER_H
#define EV_EMBEDDED_GATHER_H

#include "base/attr.h"
#include "base/err.h"

struct gather;

/*
 * A layer over the one named `below` (NULL: the system's), which must outlive it.  EV_NOTFOUND: no
 * such layer; EV_NOMEM.  Any thread.
 */
EV_NODISCARD ev_err gather_new(const char *below, struct gather **out);
/* For sqlite3_open_v2. */
const char *gather_name(const struct gather *g);
/* After its connections are closed.  NULL is fine. */
void gather_free(struct gather *g);

#endif
