/*
 * cut_vfs.h — SQLite's file layer over a cut_disk: files, their locks and the shared index of the
 * log in memory, otherwise as SQLite's own for Unix (which syncs it does of the directory, what it
 * promises of sectors).
 */
#ifndef EV_TEST_CUT_VFS_H
#define EV_TEST_CUT_VFS_H

#include <sqlite3.h>

#include "cut_disk.h"

#define CUT_VFS "powercut"

/*
 * Registers the layer, and makes SQLite's own randomness a function of the seed given to
 * cut_vfs_use.  Once a process.
 */
void cut_vfs_register(void);

/* The disk that files are opened on from now on; none may be open.  NULL: none. */
void cut_vfs_use(struct cut_disk *d, uint64_t seed);

/* Held by whoever touches the disk while SQLite may be at work on another thread. */
void cut_vfs_lock(void);
void cut_vfs_unlock(void);

/* The first connection opened since cut_vfs_use, i.e. the writer; NULL: none yet. */
sqlite3 *cut_vfs_writer(void);

#endif
