/*
 * bench/clock_shim.c — preloaded into a server, moves its wall clock: the file that the environment
 * names in BENCH_CLOCK_FILE holds, as a native 64-bit integer, how many ns it is off.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef int clock_fn(clockid_t id, struct timespec *ts);

static clock_fn *real;
static const volatile int64_t *offset_ns;

__attribute__((visibility("default"))) clock_fn clock_gettime;

__attribute__((constructor)) static void load(void)
{
	const char *path = getenv("BENCH_CLOCK_FILE");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	real = (clock_fn *)(uintptr_t)dlsym(RTLD_NEXT, "clock_gettime");
	offset_ns = p != MAP_FAILED ? p : NULL;
	if (fd >= 0)
		(void)close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = real(id, ts);

	if (rc != 0 || id != CLOCK_REALTIME || offset_ns == NULL)
		return rc;
	int64_t ns = (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec + *offset_ns;

	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}
