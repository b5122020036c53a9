#include "engine/embedded/steady.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Few enough to be written in about a millisecond, many enough that the disk gains from order. */
#define PIECE_BYTES (64 * 4096)
#define NAME_MAX_BYTES 40

struct steady {
	sqlite3_vfs vfs; /* the one below, but for its name and xOpen */
	sqlite3_vfs *below;
	char name[NAME_MAX_BYTES];
};

/* Behind the file of the layer below, which keeps its own methods but for those here. */
struct steady_file {
	sqlite3_io_methods methods; /* where the file's pMethods points */
	const sqlite3_io_methods *below;
	int unsynced; /* bytes */
};

static struct steady_file *steady_of(sqlite3_file *f)
{
	return (struct steady_file *)(uintptr_t)f->pMethods;
}

static int steady_sync(sqlite3_file *f, int flags)
{
	struct steady_file *s = steady_of(f);

	s->unsynced = 0;
	return s->below->xSync(f, flags);
}

static int steady_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct steady_file *s = steady_of(f);
	int rc = s->below->xWrite(f, p, n, at);

	s->unsynced += n;
	if (rc != SQLITE_OK || s->unsynced < PIECE_BYTES)
		return rc;
	return steady_sync(f, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
}

static int steady_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct steady *s = (struct steady *)(void *)v;
	int rc = s->below->xOpen(s->below, name, f, flags, out);
	struct steady_file *own = (struct steady_file *)(void *)((char *)f + s->vfs.szOsFile -
								 sizeof(*own));

	if (rc != SQLITE_OK || (flags & SQLITE_OPEN_MAIN_DB) == 0)
		return rc;
	*own = (struct steady_file){ .methods = *f->pMethods, .below = f->pMethods };
	own->methods.xWrite = steady_write;
	own->methods.xSync = steady_sync;
	f->pMethods = &own->methods;
	return SQLITE_OK;
}

ev_err steady_new(const char *below_name, struct steady **out)
{
	sqlite3_vfs *below = sqlite3_vfs_find(below_name);
	struct steady *s = below != NULL ? calloc(1, sizeof(*s)) : NULL;

	if (s == NULL)
		return below == NULL ? EV_NOTFOUND : EV_NOMEM;
	(void)snprintf(s->name, sizeof(s->name), "evcharge-%p", (void *)s);
	s->below = below;
	s->vfs = *below;
	s->vfs.pNext = NULL;
	s->vfs.zName = s->name;
	s->vfs.xOpen = steady_open;
	s->vfs.szOsFile = (below->szOsFile + 15) / 16 * 16 + (int)sizeof(struct steady_file);
	if (sqlite3_vfs_register(&s->vfs, 0) != SQLITE_OK) {
		free(s);
		return EV_NOMEM;
	}
	*out = s;
	return EV_OK;
}

const char *steady_name(const struct steady *s)
{
	return s->name;
}

void steady_free(struct steady *s)
{
	if (s == NULL)
		return;
	/* Fails for none that is registered. */
	(void)sqlite3_vfs_unregister(&s->vfs);
	free(s);
}
