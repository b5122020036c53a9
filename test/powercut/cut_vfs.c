/* cut_vfs.c — see the header. */
#include "cut_vfs.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHM_LOCKS 8
#define SHM_REGIONS 16
#define SECTOR_PROMISED 4096 /* as SQLite's own layer says of a disk */

struct cut_file {
	sqlite3_file base;
	struct cut_inode *inode;
	bool sync_dir; /* with the next sync: a log or journal that may be new */
	bool delete_at_close;
	int level; /* SQLITE_LOCK_* */
	bool has_shm;
	unsigned shm_shared, shm_exclusive; /* bits of the locks it holds */
	char name[CUT_NAME_MAX];
};

/* One database: its locks and the shared index of its log, which a cut does not survive. */
static struct {
	pthread_mutex_t lock; /* guards all below, and the disk */
	struct cut_disk *disk;
	unsigned n_open;
	unsigned n_shared;
	const struct cut_file *reserved, *pending;
	unsigned n_shm;
	void *regions[SHM_REGIONS];
	unsigned shm_shared[SHM_LOCKS];
	unsigned shm_exclusive; /* bits */
	struct ev_rng_seeded rng;
	sqlite3 *writer;
} power = { .lock = PTHREAD_MUTEX_INITIALIZER };

static sqlite3_vfs *real_vfs;

void cut_vfs_lock(void)
{
	(void)pthread_mutex_lock(&power.lock);
}

void cut_vfs_unlock(void)
{
	(void)pthread_mutex_unlock(&power.lock);
}

static struct cut_file *of(sqlite3_file *f)
{
	return (struct cut_file *)f;
}

/* Gives the lock back with the answer. */
static int done(int rc)
{
	cut_vfs_unlock();
	return rc;
}

static int changed(bool ok, int rc)
{
	return done(ok ? SQLITE_OK : rc);
}

static int cut_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	const struct cut_bytes *b = &of(f)->inode->now;
	size_t want = (size_t)n, from = (size_t)at, got = 0;

	cut_vfs_lock();
	if (power.disk->dead)
		return done(SQLITE_IOERR_READ);
	if (from < b->n) {
		got = b->n - from < want ? b->n - from : want;
		memcpy(p, b->p + from, got);
	}
	memset((char *)p + got, 0, want - got);
	return done(got == want ? SQLITE_OK : SQLITE_IOERR_SHORT_READ);
}

static int cut_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	cut_vfs_lock();
	return changed(cut_disk_write(power.disk, of(f)->inode, p, (size_t)n, (size_t)at),
		       SQLITE_IOERR_WRITE);
}

static int cut_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	cut_vfs_lock();
	return changed(cut_disk_truncate(power.disk, of(f)->inode, (size_t)size),
		       SQLITE_IOERR_TRUNCATE);
}

static int cut_sync(sqlite3_file *f, int flags)
{
	bool ok;

	(void)flags;
	cut_vfs_lock();
	ok = cut_disk_sync(power.disk, of(f)->inode);
	if (ok && of(f)->sync_dir) {
		ok = cut_disk_sync_dir(power.disk);
		of(f)->sync_dir = false;
	}
	return changed(ok, SQLITE_IOERR_FSYNC);
}

static int cut_size(sqlite3_file *f, sqlite3_int64 *out)
{
	cut_vfs_lock();
	*out = (sqlite3_int64)of(f)->inode->now.n;
	return changed(!power.disk->dead, SQLITE_IOERR_FSTAT);
}

static bool is_free(const struct cut_file *owner, const struct cut_file *self)
{
	return owner == NULL || owner == self;
}

static int take_exclusive(struct cut_file *f)
{
	if (!is_free(power.reserved, f) || !is_free(power.pending, f))
		return SQLITE_BUSY;
	power.pending = f; /* from now on nobody comes in */
	f->level = SQLITE_LOCK_PENDING;
	if (power.n_shared > 1)
		return SQLITE_BUSY;
	f->level = SQLITE_LOCK_EXCLUSIVE;
	return SQLITE_OK;
}

static int take(struct cut_file *f, int level)
{
	if (level == SQLITE_LOCK_EXCLUSIVE)
		return take_exclusive(f);
	if (level == SQLITE_LOCK_SHARED) {
		if (power.pending != NULL)
			return SQLITE_BUSY;
		power.n_shared++;
	} else {
		if (!is_free(power.reserved, f))
			return SQLITE_BUSY;
		power.reserved = f;
	}
	f->level = level;
	return SQLITE_OK;
}

static int cut_lock(sqlite3_file *f, int level)
{
	cut_vfs_lock();
	if (of(f)->level >= level)
		return done(SQLITE_OK);
	if (power.disk->dead)
		return done(SQLITE_IOERR_LOCK);
	return done(take(of(f), level));
}

static void release(struct cut_file *f, int level)
{
	if (f->level <= level)
		return;
	if (power.reserved == f)
		power.reserved = NULL;
	if (power.pending == f)
		power.pending = NULL;
	if (level == SQLITE_LOCK_NONE)
		power.n_shared--;
	f->level = level;
}

static int cut_unlock(sqlite3_file *f, int level)
{
	cut_vfs_lock();
	release(of(f), level);
	return done(SQLITE_OK);
}

static int cut_reserved(sqlite3_file *f, int *out)
{
	(void)f;
	cut_vfs_lock();
	*out = power.reserved != NULL || power.pending != NULL;
	return done(SQLITE_OK);
}

static int cut_control(sqlite3_file *f, int op, void *p)
{
	(void)f;
	(void)op;
	(void)p;
	return SQLITE_NOTFOUND;
}

static int cut_sector(sqlite3_file *f)
{
	(void)f;
	return SECTOR_PROMISED;
}

static int cut_device(sqlite3_file *f)
{
	(void)f;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int cut_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	cut_vfs_lock();
	if (power.disk->dead)
		return done(SQLITE_IOERR_SHMMAP);
	if (!of(f)->has_shm)
		power.n_shm++;
	of(f)->has_shm = true;
	assert(page < SHM_REGIONS);
	if (power.regions[page] == NULL && extend != 0) {
		power.regions[page] = calloc(1, (size_t)size);
		assert(power.regions[page] != NULL);
	}
	*out = power.regions[page];
	return done(SQLITE_OK);
}

static void shm_release(struct cut_file *f, unsigned bits)
{
	for (unsigned i = 0; i < SHM_LOCKS; i++) {
		if ((f->shm_shared & bits & 1U << i) != 0)
			power.shm_shared[i]--;
	}
	power.shm_exclusive &= ~(f->shm_exclusive & bits);
	f->shm_shared &= ~bits;
	f->shm_exclusive &= ~bits;
}

static int shm_share(struct cut_file *f, unsigned bits)
{
	if ((power.shm_exclusive & bits & ~f->shm_exclusive) != 0)
		return SQLITE_BUSY;
	for (unsigned i = 0; i < SHM_LOCKS; i++) {
		if ((bits & ~f->shm_shared & 1U << i) != 0)
			power.shm_shared[i]++;
	}
	f->shm_shared |= bits;
	return SQLITE_OK;
}

static int shm_take(struct cut_file *f, unsigned bits)
{
	if ((power.shm_exclusive & bits & ~f->shm_exclusive) != 0)
		return SQLITE_BUSY;
	for (unsigned i = 0; i < SHM_LOCKS; i++) {
		unsigned own = (f->shm_shared >> i) & 1U;

		if ((bits & 1U << i) != 0 && power.shm_shared[i] > own)
			return SQLITE_BUSY;
	}
	power.shm_exclusive |= bits;
	f->shm_exclusive |= bits;
	return SQLITE_OK;
}

static int cut_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	unsigned bits = ((1U << n) - 1U) << offset;

	cut_vfs_lock();
	if ((flags & SQLITE_SHM_UNLOCK) != 0) {
		shm_release(of(f), bits);
		return done(SQLITE_OK);
	}
	if (power.disk->dead)
		return done(SQLITE_IOERR_SHMLOCK);
	return done((flags & SQLITE_SHM_SHARED) != 0 ? shm_share(of(f), bits)
						     : shm_take(of(f), bits));
}

static void cut_shm_barrier(sqlite3_file *f)
{
	(void)f;
	cut_vfs_lock();
	cut_vfs_unlock();
}

static void shm_leave(struct cut_file *f)
{
	if (!f->has_shm)
		return;
	shm_release(f, (1U << SHM_LOCKS) - 1U);
	f->has_shm = false;
	if (--power.n_shm > 0)
		return;
	for (unsigned i = 0; i < SHM_REGIONS; i++) {
		free(power.regions[i]);
		power.regions[i] = NULL;
	}
}

static int cut_shm_unmap(sqlite3_file *f, int erase)
{
	(void)erase;
	cut_vfs_lock();
	shm_leave(of(f));
	return done(SQLITE_OK);
}

static int cut_close(sqlite3_file *f)
{
	cut_vfs_lock();
	shm_leave(of(f));
	release(of(f), SQLITE_LOCK_NONE);
	if (of(f)->delete_at_close)
		(void)cut_disk_delete(power.disk, of(f)->name);
	power.n_open--;
	return done(SQLITE_OK);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = cut_close,
	.xRead = cut_read,
	.xWrite = cut_write,
	.xTruncate = cut_truncate,
	.xSync = cut_sync,
	.xFileSize = cut_size,
	.xLock = cut_lock,
	.xUnlock = cut_unlock,
	.xCheckReservedLock = cut_reserved,
	.xFileControl = cut_control,
	.xSectorSize = cut_sector,
	.xDeviceCharacteristics = cut_device,
	.xShmMap = cut_shm_map,
	.xShmLock = cut_shm_lock,
	.xShmBarrier = cut_shm_barrier,
	.xShmUnmap = cut_shm_unmap,
};

/* SQLite's own layer syncs the directory with the first sync of a log or journal. */
static bool is_log(int flags)
{
	return (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
}

static int cut_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct cut_file *file = of(f);

	(void)vfs;
	*file = (struct cut_file){ .level = SQLITE_LOCK_NONE };
	assert(name != NULL && strlen(name) < CUT_NAME_MAX && "temporary files stay in memory");
	memcpy(file->name, name, strlen(name) + 1);
	cut_vfs_lock();
	if (power.disk == NULL || power.disk->dead)
		return done(SQLITE_CANTOPEN);
	file->inode = cut_disk_find(power.disk, name);
	if (file->inode == NULL && (flags & SQLITE_OPEN_CREATE) == 0)
		return done(SQLITE_CANTOPEN);
	if (file->inode == NULL && !cut_disk_create(power.disk, name, is_log(flags), &file->inode))
		return done(SQLITE_CANTOPEN);
	file->sync_dir = is_log(flags) && (flags & SQLITE_OPEN_CREATE) != 0;
	file->delete_at_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
	file->base.pMethods = &methods;
	power.n_open++;
	if (out != NULL)
		*out = flags;
	return done(SQLITE_OK);
}

static int cut_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	bool ok;

	(void)vfs;
	cut_vfs_lock();
	if (power.disk->dead)
		return done(SQLITE_IOERR_DELETE);
	if (cut_disk_find(power.disk, name) == NULL)
		return done(SQLITE_IOERR_DELETE_NOENT);
	ok = cut_disk_delete(power.disk, name);
	if (ok && sync_dir != 0)
		ok = cut_disk_sync_dir(power.disk);
	return changed(ok, SQLITE_IOERR_DELETE);
}

/* An empty file does not count: as in SQLite's own layer. */
static int cut_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	const struct cut_inode *f;

	(void)vfs;
	cut_vfs_lock();
	f = cut_disk_find(power.disk, name);
	*out = f != NULL && (flags != SQLITE_ACCESS_EXISTS || f->now.n > 0);
	return changed(!power.disk->dead, SQLITE_IOERR_ACCESS);
}

static int cut_randomness(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs;
	cut_vfs_lock();
	ev_rng_fill(&power.rng.base, out, (size_t)n);
	return done(n);
}

static int remember_writer(sqlite3 *db, char **error, const struct sqlite3_api_routines *api)
{
	(void)error;
	(void)api;
	cut_vfs_lock();
	if (power.writer == NULL)
		power.writer = db;
	return done(SQLITE_OK);
}

void cut_vfs_register(void)
{
	static sqlite3_vfs cut, seeded;

	real_vfs = sqlite3_vfs_find(NULL);
	cut = *real_vfs;
	cut.zName = CUT_VFS;
	cut.pNext = NULL;
	cut.szOsFile = (int)sizeof(struct cut_file);
	cut.xOpen = cut_open;
	cut.xDelete = cut_delete;
	cut.xAccess = cut_access;
	/* SQLite takes its seed from the default layer. */
	seeded = *real_vfs;
	seeded.zName = "unix-seeded";
	seeded.pNext = NULL;
	seeded.xRandomness = cut_randomness;
	int rc = sqlite3_vfs_register(&cut, 0);

	assert(rc == SQLITE_OK);
	rc = sqlite3_vfs_register(&seeded, 1);
	assert(rc == SQLITE_OK);
	rc = sqlite3_auto_extension((void (*)(void))remember_writer);
	assert(rc == SQLITE_OK);
}

void cut_vfs_use(struct cut_disk *d, uint64_t seed)
{
	cut_vfs_lock();
	assert(power.n_open == 0 && power.n_shared == 0 && power.n_shm == 0);
	assert(power.reserved == NULL && power.pending == NULL && power.shm_exclusive == 0);
	power.disk = d;
	power.writer = NULL;
	ev_rng_seeded_init(&power.rng, seed);
	cut_vfs_unlock();
	sqlite3_randomness(0, NULL); /* seeded anew at its next use */
}

sqlite3 *cut_vfs_writer(void)
{
	return power.writer;
}
