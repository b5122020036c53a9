#include "engine/embedded/dirlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/embedded/embedded.h"

ev_err errno_map(int sys)
{
	switch (sys) {
	case EACCES:
	case EPERM:
	case EROFS:
		return EV_DENIED;
	case ENOSPC:
	case EDQUOT:
		return EV_FULL;
	case ENOENT:
	case ENOTDIR:
		return EV_NOTFOUND;
	case EEXIST:
		return EV_EXISTS;
	case ENOMEM:
		return EV_NOMEM;
	default:
		return EV_IO;
	}
}

ev_err errno_fail(struct ev_fail *fail, int sys, const char *what, const char *path)
{
	return ev_fail_set(fail, errno_map(sys), sys, "%s %s: %s", what, path, strerror(sys));
}

ev_err private_file(const char *path, struct ev_fail *fail)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? EV_OK : errno_fail(fail, errno, "create", path);
	(void)close(fd);
	return EV_OK;
}

ev_err sync_path(const char *path, struct ev_fail *fail)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno_fail(fail, errno, "open", path);
	int sys = fsync(fd) != 0 ? errno : 0;

	(void)close(fd);
	return sys == 0 ? EV_OK : errno_fail(fail, sys, "sync", path);
}

ev_err sync_parent(const char *path, struct ev_fail *fail)
{
	char dir[PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof(dir))
		return ev_fail_set(fail, EV_INVALID, 0, "%s: the name is too long", path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n == 0)
		return sync_path(".", fail);
	memcpy(dir, path, n);
	dir[n] = '\0';
	return sync_path(dir, fail);
}

static ev_err held(int fd, const char *dir, struct ev_fail *fail)
{
	char pid[32];
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	/* Between its lock and its pid the other process shows none. */
	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	return ev_fail_set(fail, EV_BUSY, 0, "another process (pid %s) holds %s",
			   pid[0] != '\0' ? pid : "unknown", dir);
}

static ev_err take(int fd, const char *dir, struct ev_fail *fail)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char pid[32];

	if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
		if (errno == EAGAIN || errno == EACCES)
			return held(fd, dir, fail);
		return errno_fail(fail, errno, "lock", dir);
	}
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

	/* On a full disk the pid is missing from a message; the lock itself needs no space. */
	bool told = ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) == n;

	(void)told;
	return EV_OK;
}

/* Whoever may write to a directory but not read it cannot sync it: no reason not to start. */
static ev_err make_dir(const char *dir, struct ev_fail *fail)
{
	if (mkdir(dir, 0700) != 0)
		return errno == EEXIST ? EV_OK : errno_fail(fail, errno, "create", dir);
	ev_err err = sync_parent(dir, fail);

	return err == EV_DENIED ? EV_OK : err;
}

ev_err dirlock_take(const char *dir, int *out_fd, struct ev_fail *fail)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, EMBEDDED_LOCK_FILE);

	if (n < 0 || (size_t)n >= sizeof(path))
		return ev_fail_set(fail, EV_INVALID, 0, "the directory's name is too long");

	ev_err err = make_dir(dir, fail);

	if (err != EV_OK)
		return err;

	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return errno_fail(fail, errno, "open", path);

	err = take(fd, dir, fail);
	if (err != EV_OK)
		(void)close(fd);
	else
		*out_fd = fd;
	return err;
}
