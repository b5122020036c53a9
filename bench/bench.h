/*
 * bench/bench.h — what the benchmarks share: clocks, processors, figures of processes, histograms
 * of times, and the fleet that all of them know.
 *
 * A benchmark that cannot go on says why and exits with 1: none of these returns an error.
 */
#ifndef EV_BENCH_BENCH_H
#define EV_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/uuid.h"
#include "core/types.h"

/* Ends the program with the text, and with errno's if `with_errno`. */
EV_NORETURN void bench_die(const char *what, bool with_errno);
void bench_must(bool ok, const char *what);

int64_t bench_now_ns(void);  /* monotonic */
int64_t bench_wall_ns(void); /* UTC */

/* Binds the calling process to one processor; -1, or one that is not there: nothing. */
void bench_pin(int core);
/* All the descriptors there are to be had; returns how many. */
size_t bench_descriptors(void);

/* --- what processes use --- */

int64_t bench_own_cpu_ns(void); /* of this process, all threads */
/* Of all threads that a process has now, from its birth; 0 if it is gone. */
int64_t bench_cpu_ns(pid_t pid);
/* Of all processors of the machine, whoever used them, since its start. */
int64_t bench_machine_cpu_ns(void);
/* The number of KiB behind `key` in /proc/PID/FILE; 0 if there is none. */
uint64_t bench_proc_kib(pid_t pid, const char *file, const char *key);
uint64_t bench_pss_kib(pid_t pid);

/* --- options: --name value --- */

struct bench_option {
	const char *name;
	const char *value; /* its form, for the usage */
	/* Returns false if the text is not to be understood. */
	bool (*take)(void *user, struct ev_str text);
};

/* Exits with 2 and the usage for what it does not know. */
void bench_options(int argc, char **argv, const struct bench_option *options, size_t n, void *user);
bool bench_take_u64(struct ev_str text, uint64_t min, uint64_t max, uint64_t *out);

/* --- times --- */

/* Counts of times, each known to 1.6 %; from 1 ns to 18 minutes, longer ones count as that. */
#define BENCH_SUB_BITS 6
#define BENCH_BUCKETS ((40 - BENCH_SUB_BITS + 1) << BENCH_SUB_BITS)

struct bench_times {
	uint64_t n;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t count[BENCH_BUCKETS];
};

void bench_times_clear(struct bench_times *t);
void bench_times_add(struct bench_times *t, int64_t ns);
/* The time that the share q (0 to 1) did not exceed, in µs; 0 if nothing was counted. */
double bench_times_us(const struct bench_times *t, double q);

/* --- the fleet: outlet i, its customer and tag, the same in every program --- */

struct ev_uuid bench_outlet_id(uint64_t i);
struct ev_uuid bench_customer_id(uint64_t i);
struct ev_uuid bench_session_id(uint64_t i);
struct rfid_tag bench_tag(uint64_t i); /* 14 characters */

#endif
