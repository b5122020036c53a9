/*
 * engine/embedded/dirlock.h — a data directory has one writing process at a time.
 *
 * The lock is of the kernel, on an open file, and ends with the process however it ends; the pid in
 * the file is for people.
 */
#ifndef EV_EMBEDDED_DIRLOCK_H
#define EV_EMBEDDED_DIRLOCK_H

#include "base/err.h"

/*
 * Creates dir (mode 0700, its parent must exist) if need be and takes it; *out_fd is to be closed
 * to give it back.  EV_BUSY "another process (pid N) holds DIR", EV_DENIED, EV_FULL, EV_IO.
 */
EV_NODISCARD ev_err dirlock_take(const char *dir, int *out_fd, struct ev_fail *fail);

/*
 * Creates the file, readable for its owner alone, if it is not there: SQLite would let others read
 * it too.  EV_DENIED, EV_FULL, EV_NOTFOUND, EV_IO.
 */
EV_NODISCARD ev_err private_file(const char *path, struct ev_fail *fail);

/* Makes the file's bytes, or a directory's names, durable. */
EV_NODISCARD ev_err sync_path(const char *path, struct ev_fail *fail);
/* The same for the directory that holds path, which may end in slashes. */
EV_NODISCARD ev_err sync_parent(const char *path, struct ev_fail *fail);

/* Our code for an errno: EV_DENIED, EV_FULL, EV_NOTFOUND, EV_NOMEM, EV_IO. */
ev_err errno_map(int sys);
/* The same, with a text "what path: why". */
ev_err errno_fail(struct ev_fail *fail, int sys, const char *what, const char *path);

#endif
