/*
 * bench/bench_disk.c — how long the disk takes to make bytes durable, by themselves.
 *
 * usage: bench_disk [DIR [SECONDS]]
 *
 * Each line: what, how many a second, p50 and p99 in µs, processor time of each in µs.  `append` is
 * what a log of the same messages would cost: so many records of 300 bytes, then fdatasync.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bench.h"

#define RECORD 300
#define BLOCK 4096
#define MAX_GROUP 1000
#define FILE_BYTES (64 * 1024 * 1024)

struct disk {
	char path[300];
	int fd;
	int64_t run_ns;
	struct bench_times times;
};

static char bytes[RECORD * MAX_GROUP];

/* One durable write of n bytes at `at`; overwritten from the start when the file is full. */
static off_t write_once(struct disk *d, off_t at, size_t n)
{
	if (at + (off_t)n > FILE_BYTES)
		at = 0;
	int64_t from_ns = bench_now_ns();

	bench_must(pwrite(d->fd, bytes, n, at) == (ssize_t)n, "pwrite");
	bench_must(fdatasync(d->fd) == 0, "fdatasync");
	bench_times_add(&d->times, bench_now_ns() - from_ns);
	return at + (off_t)n;
}

/* preallocated: the file's size stays, as with SQLite's log after its first round. */
static void run(struct disk *d, const char *name, size_t n, size_t group, bool preallocated)
{
	off_t at = 0;
	int64_t from_ns = bench_now_ns();

	bench_must(ftruncate(d->fd, 0) == 0, "ftruncate");
	if (preallocated) {
		for (off_t k = 0; k < FILE_BYTES; k += (off_t)sizeof(bytes))
			bench_must(pwrite(d->fd, bytes, sizeof(bytes), k) > 0, "pwrite");
	}
	bench_must(fsync(d->fd) == 0, "fsync");
	bench_times_clear(&d->times);
	from_ns = bench_now_ns();
	int64_t cpu_ns = bench_own_cpu_ns();

	while (bench_now_ns() - from_ns < d->run_ns)
		at = write_once(d, at, n);
	double took_s = (double)(bench_now_ns() - from_ns) / 1e9;

	(void)printf("%s %.0f %.0f %.0f %.2f\n", name, (double)(d->times.n * group) / took_s,
		     bench_times_us(&d->times, 0.5), bench_times_us(&d->times, 0.99),
		     (double)(bench_own_cpu_ns() - cpu_ns) / 1e3 / (double)(d->times.n * group));
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	struct disk *d = calloc(1, sizeof(*d));
	uint64_t seconds = 2;

	bench_must(d != NULL, "memory");
	if (argc > 2)
		bench_must(bench_take_u64(ev_str_from(argv[2]), 1, 3600, &seconds), "SECONDS");
	d->run_ns = (int64_t)seconds * EV_NS_PER_S;
	(void)snprintf(d->path, sizeof(d->path), "%s/bench-disk-XXXXXX",
		       argc > 1 ? argv[1] : "/tmp");
	d->fd = mkstemp(d->path);
	bench_must(d->fd >= 0, "mkstemp");
	(void)unlink(d->path);
	memset(bytes, 'x', sizeof(bytes));
	run(d, "overwrite-4096", BLOCK, 1, true);
	run(d, "grow-4096", BLOCK, 1, false);
	run(d, "append-1", RECORD, 1, true);
	run(d, "append-10", RECORD * 10, 10, true);
	run(d, "append-100", RECORD * 100, 100, true);
	run(d, "append-1000", RECORD * 1000, 1000, true);
	(void)close(d->fd);
	free(d);
	return 0;
}
