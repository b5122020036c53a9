/*
 * engine/embedded/steady.h — a file layer of SQLite that syncs its file as it is written.
 *
 * A checkpoint writes thousands of pages and then syncs them at once; a commit's sync of the log
 * that comes meanwhile waits behind all of them.  Here the file is synced after every so many
 * bytes, so that a commit waits for a piece of it at most.  All other files go to the layer below
 * as they are.
 */
#ifndef EV_EMBEDDED_STEADY_H
#define EV_EMBEDDED_STEADY_H

#include "base/attr.h"
#include "base/err.h"

struct steady;

/*
 * A layer over the one named `below` (NULL: the system's), which must outlive it.  EV_NOTFOUND: no
 * such layer; EV_NOMEM.  Any thread.
 */
EV_NODISCARD ev_err steady_new(const char *below, struct steady **out);
/* For sqlite3_open_v2. */
const char *steady_name(const struct steady *s);
/* After its connections are closed.  NULL is fine. */
void steady_free(struct steady *s);

#endif
