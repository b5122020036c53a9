#include "engine/embedded/gather.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * SQLite's layer for Unix writes no more than 128 KiB at once, and takes a larger write for less.
 */
#define KEPT_MAX (120 * 1024)
#define NAME_MAX_BYTES 40

struct gather {
	sqlite3_vfs vfs; /* its pAppData is this */
	sqlite3_vfs *below;
	char name[NAME_MAX_BYTES];
};

/* The log; the file of the layer below follows it. */
struct log_file {
	sqlite3_file base;
	char *kept;
	int n;            /* bytes kept … */
	sqlite3_int64 at; /* … which belong there */
};

static struct log_file *log_of(sqlite3_file *f)
{
	return (struct log_file *)(void *)f;
}

static sqlite3_file *below_of(struct log_file *l)
{
	return (sqlite3_file *)(void *)(l + 1);
}

/* A commit whose bytes cannot be written fails as a whole: nothing is kept for another try. */
static int write_kept(struct log_file *l)
{
	sqlite3_file *f = below_of(l);
	int n = l->n;

	l->n = 0;
	return n == 0 ? SQLITE_OK : f->pMethods->xWrite(f, l->kept, n, l->at);
}

/* --- the log --- */

static int log_close(sqlite3_file *file)
{
	struct log_file *l = log_of(file);
	sqlite3_file *f = below_of(l);

	/* What is kept was never committed. */
	free(l->kept);
	l->kept = NULL;
	return f->pMethods->xClose(f);
}

static int log_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	sqlite3_file *f = below_of(log_of(file));
	int rc = write_kept(log_of(file));

	return rc == SQLITE_OK ? f->pMethods->xRead(f, p, n, at) : rc;
}

static int log_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	struct log_file *l = log_of(file);
	sqlite3_file *f = below_of(l);
	int rc = SQLITE_OK;

	if (at != l->at + l->n || l->n + n > KEPT_MAX)
		rc = write_kept(l);
	if (rc != SQLITE_OK || n > KEPT_MAX)
		return rc == SQLITE_OK ? f->pMethods->xWrite(f, p, n, at) : rc;
	if (l->n == 0)
		l->at = at;
	memcpy(l->kept + l->n, p, (size_t)n);
	l->n += n;
	return SQLITE_OK;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	sqlite3_file *f = below_of(log_of(file));
	int rc = write_kept(log_of(file));

	return rc == SQLITE_OK ? f->pMethods->xTruncate(f, size) : rc;
}

static int log_sync(sqlite3_file *file, int flags)
{
	sqlite3_file *f = below_of(log_of(file));
	int rc = write_kept(log_of(file));

	return rc == SQLITE_OK ? f->pMethods->xSync(f, flags) : rc;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *out)
{
	sqlite3_file *f = below_of(log_of(file));
	int rc = write_kept(log_of(file));

	return rc == SQLITE_OK ? f->pMethods->xFileSize(f, out) : rc;
}

static int log_lock(sqlite3_file *file, int level)
{
	sqlite3_file *f = below_of(log_of(file));

	return f->pMethods->xLock(f, level);
}

static int log_unlock(sqlite3_file *file, int level)
{
	sqlite3_file *f = below_of(log_of(file));

	return f->pMethods->xUnlock(f, level);
}

static int log_reserved(sqlite3_file *file, int *out)
{
	sqlite3_file *f = below_of(log_of(file));

	return f->pMethods->xCheckReservedLock(f, out);
}

static int log_control(sqlite3_file *file, int op, void *p)
{
	sqlite3_file *f = below_of(log_of(file));

	return f->pMethods->xFileControl(f, op, p);
}

static int log_sector(sqlite3_file *file)
{
	sqlite3_file *f = below_of(log_of(file));

	return f->pMethods->xSectorSize(f);
}

static int log_device(sqlite3_file *file)
{
	sqlite3_file *f = below_of(log_of(file));

	return f->pMethods->xDeviceCharacteristics(f);
}

/* Locks and the shared index belong to the database file, so version 1 is enough. */
static const sqlite3_io_methods log_methods = {
	.iVersion = 1,
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_reserved,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_device,
};

/* --- the layer: all but the log goes below --- */

static sqlite3_vfs *below(const sqlite3_vfs *v)
{
	return ((const struct gather *)v->pAppData)->below;
}

static int open_log(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct log_file *l = log_of(file);
	sqlite3_file *f = below_of(l);

	*l = (struct log_file){ .kept = malloc(KEPT_MAX) };
	if (l->kept == NULL)
		return SQLITE_NOMEM;
	f->pMethods = NULL;
	int rc = below(v)->xOpen(below(v), name, f, flags, out);

	/* With methods it is closed, even if it was not opened. */
	if (f->pMethods != NULL) {
		l->base.pMethods = &log_methods;
	} else {
		free(l->kept);
		l->kept = NULL;
	}
	return rc;
}

static int gather_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *out)
{
	if ((flags & SQLITE_OPEN_WAL) != 0)
		return open_log(v, name, file, flags, out);
	return below(v)->xOpen(below(v), name, file, flags, out);
}

static int gather_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	return below(v)->xDelete(below(v), name, sync_dir);
}

static int gather_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	return below(v)->xAccess(below(v), name, flags, out);
}

static int gather_full_name(sqlite3_vfs *v, const char *name, int cap, char *out)
{
	return below(v)->xFullPathname(below(v), name, cap, out);
}

static int gather_randomness(sqlite3_vfs *v, int n, char *out)
{
	return below(v)->xRandomness(below(v), n, out);
}

static int gather_sleep(sqlite3_vfs *v, int us)
{
	return below(v)->xSleep(below(v), us);
}

static int gather_time(sqlite3_vfs *v, double *out)
{
	return below(v)->xCurrentTime(below(v), out);
}

static int gather_last_error(sqlite3_vfs *v, int n, char *out)
{
	return below(v)->xGetLastError(below(v), n, out);
}

ev_err gather_new(const char *below_name, struct gather **out)
{
	sqlite3_vfs *v = sqlite3_vfs_find(below_name);
	struct gather *g = v != NULL ? calloc(1, sizeof(*g)) : NULL;

	if (g == NULL)
		return v == NULL ? EV_NOTFOUND : EV_NOMEM;
	(void)snprintf(g->name, sizeof(g->name), "evcharge-%p", (void *)g);
	g->below = v;
	g->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = (int)sizeof(struct log_file) + v->szOsFile,
		.mxPathname = v->mxPathname,
		.zName = g->name,
		.pAppData = g,
		.xOpen = gather_open,
		.xDelete = gather_delete,
		.xAccess = gather_access,
		.xFullPathname = gather_full_name,
		.xRandomness = gather_randomness,
		.xSleep = gather_sleep,
		.xCurrentTime = gather_time,
		.xGetLastError = gather_last_error,
	};
	if (sqlite3_vfs_register(&g->vfs, 0) != SQLITE_OK) {
		free(g);
		return EV_NOMEM;
	}
	*out = g;
	return EV_OK;
}

const char *gather_name(const struct gather *g)
{
	return g->name;
}

void gather_free(struct gather *g)
{
	if (g == NULL)
		return;
	/* Fails for none that is registered. */
	(void)sqlite3_vfs_unregister(&g->vfs);
	free(g);
}
