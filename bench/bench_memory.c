/*
 * bench/bench_memory.c — what a connection costs while nothing is sent: processor time to make it
 * and memory to keep it, in steps of a thousand.
 *
 * Output, a step in a line: `step CONNECTIONS SERVER_US_EACH PSS_BYTES_EACH RSS_KIB`; then
 * `bytes_each`, over all of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "bench.h"
#include "peers.h"

#define STEP 1000
#define OPENING_MAX 100
#define GIVE_UP_NS (60 * EV_NS_PER_S)
/* The server asks the store for commands when a device comes; that is to be over. */
#define REST_NS (300 * EV_NS_PER_MS)

struct memory {
	uint64_t n, port, core, server;
	struct peers peers;
	struct peer *all;
	uint64_t n_opened;
};

static void on_open(void *user, struct peer *p)
{
	(void)user;
	(void)p;
}

static void on_text(void *user, struct peer *p, struct ev_str text)
{
	(void)user;
	(void)p;
	(void)text;
}

static void on_closed(void *user, struct peer *p)
{
	(void)user;
	(void)p;
	bench_die("a connection was closed", false);
}

static const struct peers_ops ops = {
	.open = on_open,
	.text = on_text,
	.closed = on_closed,
	.writable = on_open,
};

static void open_until(struct memory *m, uint64_t n)
{
	int64_t from_ns = bench_now_ns();

	while (m->peers.n_open < n) {
		bench_must(bench_now_ns() - from_ns < GIVE_UP_NS, "not all connect");
		while (m->n_opened < n && m->peers.n_opening < OPENING_MAX) {
			struct ev_uuid id = bench_outlet_id(m->n_opened);

			peer_connect(&m->peers, &m->all[m->n_opened++], &id);
		}
		peers_turn(&m->peers, 10 * EV_NS_PER_MS);
	}
	from_ns = bench_now_ns();
	while (bench_now_ns() - from_ns < REST_NS)
		peers_turn(&m->peers, 10 * EV_NS_PER_MS);
}

static void run(struct memory *m)
{
	pid_t pid = (pid_t)m->server;
	uint64_t first_kib = bench_pss_kib(pid), was_kib = first_kib;

	for (uint64_t n = STEP; n <= m->n; n += STEP) {
		int64_t cpu_ns = bench_cpu_ns(pid);

		open_until(m, n);
		uint64_t kib = bench_pss_kib(pid);

		(void)printf("step %" PRIu64 " %.1f %.0f %" PRIu64 "\n", n,
			     (double)(bench_cpu_ns(pid) - cpu_ns) / 1e3 / STEP,
			     ((double)kib - (double)was_kib) * 1024 / STEP,
			     bench_proc_kib(pid, "status", "\nVmRSS"));
		(void)fflush(stdout);
		was_kib = kib;
	}
	(void)printf("bytes_each %.0f\n",
		     ((double)was_kib - (double)first_kib) * 1024 / (double)m->n);
}

#define TAKE(name, min, max)                                                                       \
	static bool take_##name(void *user, struct ev_str text)                                    \
	{                                                                                          \
		struct memory *m = user;                                                           \
		return bench_take_u64(text, min, max, &m->name);                                   \
	}

TAKE(n, STEP, 200000)
TAKE(port, 1, 65535)
TAKE(core, 0, 1023)
TAKE(server, 1, INT32_MAX)

static const struct bench_option options[] = {
	{ "connections", "N", take_n },
	{ "port", "PORT", take_port },
	{ "core", "N", take_core },
	{ "server", "PID", take_server },
};

int main(int argc, char **argv)
{
	struct memory m = { .n = 10000, .core = 1023 };

	bench_options(argc, argv, options, EV_ARRAY_LEN(options), &m);
	bench_must(m.port > 0 && m.server > 0, "usage: --port and --server are needed");
	bench_must(bench_descriptors() > m.n + 16, "too few descriptors");
	if (m.core < 1023)
		bench_pin((int)m.core);
	m.all = calloc(m.n, sizeof(m.all[0]));
	bench_must(m.all != NULL, "memory");
	for (uint64_t i = 0; i < m.n; i++)
		m.all[i].fd = -1;
	peers_init(&m.peers, (uint16_t)m.port, &ops, NULL);
	run(&m);
	return 0;
}
