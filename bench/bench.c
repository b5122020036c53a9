/* bench/bench.c — see bench.h. */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"

void bench_die(const char *what, bool with_errno)
{
	(void)fflush(stdout);
	if (with_errno)
		(void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
	else
		(void)fprintf(stderr, "%s\n", what);
	exit(1);
}

void bench_must(bool ok, const char *what)
{
	if (!ok)
		bench_die(what, errno != 0);
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* cannot fail for these clocks */
	return (int64_t)ts.tv_sec * EV_NS_PER_S + ts.tv_nsec;
}

int64_t bench_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t bench_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t bench_own_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void bench_pin(int core)
{
	cpu_set_t set;

	if (core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

size_t bench_descriptors(void)
{
	struct rlimit l;

	bench_must(getrlimit(RLIMIT_NOFILE, &l) == 0, "getrlimit");
	l.rlim_cur = l.rlim_max;
	bench_must(setrlimit(RLIMIT_NOFILE, &l) == 0, "setrlimit");
	return (size_t)l.rlim_cur;
}

/* --- what processes use --- */

static size_t read_all(const char *path, char *out, size_t cap)
{
	FILE *in = fopen(path, "r");
	size_t n = in != NULL ? fread(out, 1, cap - 1, in) : 0;

	if (in != NULL)
		(void)fclose(in);
	out[n] = '\0';
	return n;
}

/* The number at or behind spaces at *p, which moves on. */
static uint64_t next_number(const char **p)
{
	uint64_t v = 0;

	*p += strspn(*p, " \t:");
	struct ev_str digits = { *p, strspn(*p, "0123456789") };

	*p += digits.n;
	return num_parse_u64(digits, &v) == EV_OK ? v : 0;
}

int64_t bench_cpu_ns(pid_t pid)
{
	char path[320];
	char text[256];
	int64_t sum = 0;
	struct dirent *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);

	while (dir != NULL && (d = readdir(dir)) != NULL) {
		const char *p = text;

		if (d->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid,
			       d->d_name);
		if (read_all(path, text, sizeof(text)) > 0)
			sum += (int64_t)next_number(&p);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return sum;
}

/* The line `cpu` of /proc/stat: user nice system idle iowait irq softirq steal …, in ticks. */
int64_t bench_machine_cpu_ns(void)
{
	char text[1024];
	const char *p = text + 3;
	uint64_t v[8];

	if (read_all("/proc/stat", text, sizeof(text)) == 0)
		return 0;
	for (size_t i = 0; i < EV_ARRAY_LEN(v); i++)
		v[i] = next_number(&p);
	uint64_t busy = v[0] + v[1] + v[2] + v[5] + v[6];

	return (int64_t)busy * (EV_NS_PER_S / sysconf(_SC_CLK_TCK));
}

uint64_t bench_proc_kib(pid_t pid, const char *file, const char *key)
{
	char path[64];
	char text[8192];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	(void)read_all(path, text, sizeof(text));
	const char *at = strstr(text, key);

	if (at == NULL)
		return 0;
	at += strlen(key);
	return next_number(&at);
}

uint64_t bench_pss_kib(pid_t pid)
{
	return bench_proc_kib(pid, "smaps_rollup", "\nPss:");
}

/* --- options --- */

static void usage(const char *program, const struct bench_option *options, size_t n)
{
	(void)fprintf(stderr, "usage: %s", program);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(stderr, " [--%s %s]", options[i].name, options[i].value);
	(void)fprintf(stderr, "\n");
	exit(2);
}

static bool take(const char *name, const char *value, const struct bench_option *options, size_t n,
		 void *user)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, options[i].name) == 0)
			return options[i].take(user, ev_str_from(value));
	}
	return false;
}

void bench_options(int argc, char **argv, const struct bench_option *options, size_t n, void *user)
{
	for (int i = 1; i < argc; i += 2) {
		if (strncmp(argv[i], "--", 2) != 0 || i + 1 >= argc ||
		    !take(argv[i] + 2, argv[i + 1], options, n, user)) {
			(void)fprintf(stderr, "%s: not understood\n", argv[i]);
			usage(argv[0], options, n);
		}
	}
}

bool bench_take_u64(struct ev_str text, uint64_t min, uint64_t max, uint64_t *out)
{
	return num_parse_u64(text, out) == EV_OK && *out >= min && *out <= max;
}

/* --- times --- */

void bench_times_clear(struct bench_times *t)
{
	memset(t, 0, sizeof(*t));
}

static unsigned bucket_of(uint64_t ns)
{
	if (ns < 1U << BENCH_SUB_BITS)
		return (unsigned)ns;
	unsigned exp = 63 - (unsigned)__builtin_clzll(ns);
	unsigned shift = exp - BENCH_SUB_BITS;
	unsigned sub = (unsigned)(ns >> shift) & ((1U << BENCH_SUB_BITS) - 1);
	unsigned i = ((shift + 1) << BENCH_SUB_BITS) + sub;

	return i < BENCH_BUCKETS ? i : BENCH_BUCKETS - 1;
}

/* The largest time of bucket i. */
static uint64_t bound_of(unsigned i)
{
	unsigned shift = i >> BENCH_SUB_BITS;
	uint64_t sub = i & ((1U << BENCH_SUB_BITS) - 1);

	if (shift == 0)
		return sub;
	return (((uint64_t)1 << BENCH_SUB_BITS) + sub + 1) << (shift - 1);
}

void bench_times_add(struct bench_times *t, int64_t ns)
{
	uint64_t v = ns > 0 ? (uint64_t)ns : 0;

	t->n++;
	t->sum_ns += v;
	if (v > t->max_ns)
		t->max_ns = v;
	t->count[bucket_of(v)]++;
}

double bench_times_us(const struct bench_times *t, double q)
{
	uint64_t below = 0;
	uint64_t wanted = (uint64_t)((double)t->n * q);

	if (t->n == 0)
		return 0;
	for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
		below += t->count[i];
		if (below > wanted || below == t->n) {
			uint64_t bound = bound_of(i) < t->max_ns ? bound_of(i) : t->max_ns;

			return (double)bound / 1e3;
		}
	}
	return (double)t->max_ns / 1e3;
}

/* --- the fleet --- */

/* splitmix64 (Steele, Lea, Flood 2014): spreads the small numbers over all ids. */
static uint64_t spread(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static struct ev_uuid id_of(uint64_t kind, uint64_t i)
{
	uint64_t halves[2] = { spread(i * 4 + kind), spread(~(i * 4 + kind)) };
	uint8_t bytes[16];

	memcpy(bytes, halves, sizeof(bytes));
	return ev_uuid_stamp(bytes, 4);
}

struct ev_uuid bench_outlet_id(uint64_t i)
{
	return id_of(0, i);
}

struct ev_uuid bench_customer_id(uint64_t i)
{
	return id_of(1, i);
}

struct ev_uuid bench_session_id(uint64_t i)
{
	return id_of(2, i);
}

struct rfid_tag bench_tag(uint64_t i)
{
	static const char digits[] = "0123456789abcdef";
	struct rfid_tag t = { .n = 14, .s = "04" };

	for (unsigned k = 0; k < 12; k++)
		t.s[13 - k] = digits[i >> (4 * k) & 15U];
	return t;
}
