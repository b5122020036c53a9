/*
 * bench/bench_load.c — a fleet of devices on real WebSockets: how much the server bears, how late.
 *
 * Connection i is outlet i * stride of bench_fill.  Each device plugs in and asks with its tag;
 * then it reports, and with so many of a hundred reports it goes through a whole cycle instead:
 * stop, unplug, plug, tag, the command to charge and its acknowledgement.  Every answer is compared
 * with the message it must belong to.  What is unanswered when a connection breaks is sent again on
 * the next one, byte for byte.
 *
 * The first --mute devices never read and the next --slow ones read a few bytes now and then; all
 * of these send without waiting for an answer, as much as the connection takes.
 *
 * A phase is RATE:SECONDS.  With rate 0 each device sends as soon as it may.  Else it sends at
 * times fixed beforehand, at a random phase of its own, and delays count from that time, whether
 * the device was able to send then or not.  The phase "storm" breaks all connections at once.
 *
 * Output: one fact in a line, `name value`; `second` lines: time, answers, p50 and p99 in µs,
 * the server's memory in KiB.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/rng.h"
#include "base/time.h"
#include "bench.h"
#include "codec/device_json.h"
#include "peers.h"

#define MAX_PHASES 16
#define MAX_CONNECTIONS 200000
#define MAX_WINDOW 128
#define OPENING_MAX 200
#define REPORT_MWH 1000
#define GIVE_UP_NS (60 * EV_NS_PER_S)
#define AGAIN_NS (500 * EV_NS_PER_MS)
#define SLOW_NS (100 * EV_NS_PER_MS)
#define SLOW_BYTES 64
#define FLOOD 8
/*
 * An outlet's row keeps its last 16 identities and writes them elsewhere when it is full.  Outlets
 * that begin together would all do that in the same tenth of a second, as no fleet does.
 */
#define AHEAD_MAX 16

enum step { STEP_UNPLUG, STEP_PLUG, STEP_REQUEST, STEP_REPORT, STEP_STOP, STEP_COUNT };

static const enum outlet_state step_states[STEP_COUNT] = {
	[STEP_UNPLUG] = OUTLET_AVAILABLE,
	[STEP_PLUG] = OUTLET_CABLE_PLUGGED,
	[STEP_REQUEST] = OUTLET_DEVICE_REQUESTS_CHARGING,
	[STEP_REPORT] = OUTLET_CHARGING,
	[STEP_STOP] = OUTLET_CHARGING_FINISHED,
};

/* A message that was sent and has no answer yet. */
struct sent {
	int64_t due_ns;  /* when it was meant to go out */
	int64_t wall_ns; /* the device's clock in it */
	uint32_t seq;
	enum step step;
};

struct device {
	struct peer peer;
	uint32_t index;
	enum step next;
	bool awaits_command; /* before it reports */
	bool has_charged;    /* it is through its first tag */
	uint8_t ahead;       /* reports before anything is measured */
	bool slow;
	uint32_t seq;
	uint16_t n_sent, first_sent; /* in the ring of `window` */
	uint64_t made, due;          /* of the phase: messages sent, and meant to be sent */
	uint64_t answers;            /* in the phase */
	int64_t again_ns;            /* connects then */
	struct sent *sent;
};

struct phase {
	bool storm;
	uint64_t rate;
	int64_t run_ns;
};

/* What was counted in a phase, or in a second. */
struct counts {
	int64_t from_ns;
	int64_t own_cpu_ns, server_cpu_ns, machine_cpu_ns;
	uint64_t answers, reports, commands, cycles;
};

struct load {
	uint64_t n, stride, window, cycles, port, core, server, mute, slow, run, seed;
	struct phase phases[MAX_PHASES];
	size_t n_phases;

	struct peers peers;
	struct device *devices;
	struct sent *rings;
	uint64_t n_opened; /* in order, OPENING_MAX at a time */
	uint64_t n_ready;
	struct ev_rng_seeded rng;

	const struct phase *phase;
	int64_t phase_ns;
	uint64_t next; /* of the phase, in the order of time */
	uint32_t *order;
	int64_t *offset_ns; /* sorted; of order[i] */
	bool sending;
	bool warming; /* each device only sends what it is ahead */
	bool stalled; /* some wait for the time to connect again */

	struct counts c, second;
	struct bench_times times, second_times;
	uint64_t verdicts[VERDICT_COUNT];
	uint64_t wrong, resent, flooded, slow_again, acked_mwh, maybe_mwh;
	int64_t wall_ns;
	char time_text[EV_TIME_TEXT], before_text[EV_TIME_TEXT];
};

/* --- messages --- */

static void id_text(const struct load *l, uint32_t seq, char out[17])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t v = l->run << 32 | seq;

	for (unsigned i = 0; i < 16; i++)
		out[i] = digits[v >> (60 - 4 * i) & 15U];
	out[16] = '\0';
}

static bool has_energy(enum step s)
{
	return s == STEP_REPORT || s == STEP_STOP;
}

/* Most messages of a turn have the same time. */
static void set_time(struct load *l, int64_t wall_ns)
{
	int64_t ms = wall_ns / EV_NS_PER_MS * EV_NS_PER_MS;

	if (ms == l->wall_ns)
		return;
	l->wall_ns = ms;
	ev_time_text(ms, l->time_text);
	ev_time_text(ms - 30 * EV_NS_PER_S, l->before_text);
}

static void encode(struct load *l, const struct device *d, const struct sent *m, struct ev_buf *b)
{
	char id[17];
	char outlet[EV_UUID_TEXT + 1];
	struct rfid_tag tag = bench_tag(d->index * l->stride);

	set_time(l, m->wall_ns);
	ev_uuid_text(&d->peer.outlet, outlet);
	id_text(l, m->seq, id);
	ev_buf_z(b, "{\"outletId\":\"");
	ev_buf_bytes(b, outlet, EV_UUID_TEXT);
	ev_buf_z(b, "\",\"rfidTag\":\"");
	ev_buf_bytes(b, tag.s, tag.n);
	ev_buf_z(b, "\",\"periodStart\":\"");
	ev_buf_z(b, l->before_text);
	ev_buf_z(b, "\",\"periodEnd\":\"");
	ev_buf_z(b, l->time_text);
	ev_buf_z(b, "\",\"outletStateChange\":\"");
	ev_buf_z(b, outlet_state_text(step_states[m->step]));
	ev_buf_z(b, has_energy(m->step) ? "\",\"powerConsumption\":0.001,\"messageId\":\""
					: "\",\"powerConsumption\":0.0,\"messageId\":\"");
	ev_buf_bytes(b, id, 16);
	ev_buf_z(b, "\"}");
}

static void transmit(struct load *l, struct device *d, const struct sent *m)
{
	char text[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	encode(l, d, m, &b);
	peer_send(&l->peers, &d->peer, ev_buf_str(&b));
}

static enum step step_after(struct load *l, struct device *d)
{
	switch (d->next) {
	case STEP_UNPLUG:
		return STEP_PLUG;
	case STEP_PLUG:
		return STEP_REQUEST;
	case STEP_STOP:
		return STEP_UNPLUG;
	case STEP_REQUEST:
	case STEP_REPORT:
	case STEP_COUNT:
		break;
	}
	return ev_rng_below(&l->rng.base, 100) < l->cycles ? STEP_STOP : STEP_REPORT;
}

/* The next message of a device that may send; due_ns is when it was meant to go out. */
static void send_next(struct load *l, struct device *d, int64_t due_ns)
{
	struct sent *m = &d->sent[(d->first_sent + (uint64_t)d->n_sent) % l->window];

	*m = (struct sent){ due_ns, bench_wall_ns(), ++d->seq, d->next };
	d->n_sent++;
	d->made++;
	if (has_energy(m->step))
		l->maybe_mwh += REPORT_MWH;
	d->awaits_command = m->step == STEP_REQUEST;
	if (d->has_charged && d->ahead > 0 && --d->ahead == 0)
		l->n_ready++;
	l->c.cycles += m->step == STEP_STOP;
	d->next = step_after(l, d);
	transmit(l, d, m);
}

static bool may_send(const struct load *l, const struct device *d)
{
	if (l->warming && d->has_charged && d->ahead == 0)
		return false;
	return l->sending && !d->slow && d->n_sent < l->window && !d->awaits_command &&
	       peer_may_send(&d->peer);
}

/* --- time --- */

static int64_t due_of(const struct load *l, uint64_t place, uint64_t round)
{
	return l->phase_ns + l->offset_ns[place] +
	       (int64_t)((double)round * (double)l->n / (double)l->phase->rate * 1e9);
}

/* A device finds its place by its number: order is a permutation kept both ways. */
static void send_what_is_due(struct load *l, struct device *d)
{
	if (!l->sending)
		return;
	if (l->phase->rate == 0) {
		while (may_send(l, d))
			send_next(l, d, bench_now_ns());
		return;
	}
	while (d->made < d->due && may_send(l, d))
		send_next(l, d, due_of(l, l->order[l->n + d->index], d->made));
}

static int64_t pace(struct load *l, int64_t now_ns)
{
	for (;;) {
		uint64_t place = l->next % l->n;
		int64_t due_ns = due_of(l, place, l->next / l->n);

		if (due_ns > now_ns)
			return due_ns - now_ns;
		struct device *d = &l->devices[l->order[place]];

		l->next++;
		d->due++;
		send_what_is_due(l, d);
	}
}

/* Of the devices that do not read: reports without end, and nothing is known of them. */
static void flood(struct load *l)
{
	struct sent m = { .wall_ns = bench_wall_ns(), .step = STEP_REPORT };

	for (uint64_t i = 0; l->sending && i < l->mute + l->slow; i++) {
		struct device *d = &l->devices[i];

		for (int k = 0; k < FLOOD && peer_may_send(&d->peer); k++) {
			m.seq = ++d->seq;
			l->maybe_mwh += REPORT_MWH;
			l->flooded++;
			transmit(l, d, &m);
		}
	}
}

static int compare_i64(const void *a, const void *b)
{
	int64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static void plan(struct load *l)
{
	uint64_t period_ns = l->phase->rate > 0 ? l->n * (uint64_t)EV_NS_PER_S / l->phase->rate + 1
						: 1;

	for (uint64_t i = 0; i < l->n; i++) {
		l->offset_ns[i] = (int64_t)ev_rng_below(&l->rng.base, period_ns);
		l->order[i] = (uint32_t)i;
	}
	qsort(l->offset_ns, l->n, sizeof(l->offset_ns[0]), compare_i64);
	for (uint64_t i = l->n - 1; i > 0; i--) {
		uint64_t k = ev_rng_below(&l->rng.base, i + 1);
		uint32_t other = l->order[k];

		l->order[k] = l->order[i];
		l->order[i] = other;
	}
	for (uint64_t i = 0; i < l->n; i++)
		l->order[l->n + l->order[i]] = (uint32_t)i;
	l->next = 0;
}

/* --- what comes --- */

/* The text between quotes behind `key`. */
static struct ev_str field(struct ev_str text, const char *key)
{
	size_t n = strlen(key);
	const char *at = memmem(text.p, text.n, key, n);

	if (at == NULL)
		return (struct ev_str){ NULL, 0 };
	at += n;
	const char *end = memchr(at, '"', text.n - (size_t)(at - text.p));

	return (struct ev_str){ at, end != NULL ? (size_t)(end - at) : 0 };
}

static void wrong(struct load *l, const struct device *d, const char *what, struct ev_str text)
{
	l->wrong++;
	if (l->wrong <= 5)
		(void)fprintf(stderr, "device %" PRIu32 ": %s: %.*s\n", d->index, what, (int)text.n,
			      text.p);
}

static void count_verdict(struct load *l, struct device *d, const struct sent *m,
			  struct ev_str text)
{
	struct ev_str verdict = field(text, "\"verdict\":\"");

	for (unsigned v = 0; v < VERDICT_COUNT; v++) {
		if (!ev_str_eqz(verdict, verdict_text((enum verdict)v)))
			continue;
		l->verdicts[v]++;
		if (v != VERDICT_APPLIED && v != VERDICT_DUPLICATE)
			wrong(l, d, "not applied", text);
		else if (has_energy(m->step))
			l->acked_mwh += REPORT_MWH;
		return;
	}
	wrong(l, d, "no verdict", text);
}

static void on_answer(struct load *l, struct device *d, struct ev_str text)
{
	struct sent *m = &d->sent[d->first_sent];
	char id[17];

	if (d->n_sent == 0) {
		wrong(l, d, "answer to nothing", text);
		return;
	}
	id_text(l, m->seq, id);
	if (!ev_str_eqz(field(text, "{\"ack\":\""), id)) {
		wrong(l, d, "answer to another message", text);
		return;
	}
	count_verdict(l, d, m, text);
	int64_t took_ns = bench_now_ns() - m->due_ns;

	bench_times_add(&l->times, took_ns);
	bench_times_add(&l->second_times, took_ns);
	l->c.answers++;
	l->c.reports += m->step == STEP_REPORT;
	d->answers++;
	d->first_sent = (uint16_t)((d->first_sent + 1U) % l->window);
	d->n_sent--;
}

static void on_command(struct load *l, struct device *d, struct ev_str text)
{
	char answer[128];
	struct ev_buf b = ev_buf_over(answer, sizeof(answer));

	l->c.commands++;
	ev_buf_z(&b, "{\"ack\":\"");
	ev_buf_str_add(&b, field(text, "\"messageId\":\""));
	ev_buf_z(&b, "\"}");
	peer_send(&l->peers, &d->peer, ev_buf_str(&b));
	if (!ev_str_eqz(field(text, "\"outletStateChange\":\""), "Charging"))
		return;
	d->awaits_command = false;
	if (!d->has_charged)
		d->ahead = (uint8_t)(1 + ev_rng_below(&l->rng.base, AHEAD_MAX));
	d->has_charged = true;
}

static void on_text(void *user, struct peer *p, struct ev_str text)
{
	struct device *d = (struct device *)p;

	if (d->slow)
		return;
	if (text.n > 6 && memcmp(text.p, "{\"ack\"", 6) == 0)
		on_answer(user, d, text);
	else
		on_command(user, d, text);
	send_what_is_due(user, d);
}

static void on_open(void *user, struct peer *p)
{
	struct load *l = user;
	struct device *d = (struct device *)p;

	for (unsigned i = 0; i < d->n_sent; i++) {
		transmit(l, d, &d->sent[(d->first_sent + i) % l->window]);
		l->resent++;
	}
	if (d->slow) {
		peer_mute(&l->peers, p, true);
		l->slow_again++;
	}
	send_what_is_due(l, d);
}

static void on_closed(void *user, struct peer *p)
{
	struct load *l = user;
	struct device *d = (struct device *)p;
	/* Not all at the same moment again. */
	int64_t wait_ns = AGAIN_NS + (int64_t)ev_rng_below(&l->rng.base, (uint64_t)AGAIN_NS);

	d->again_ns = bench_now_ns() + wait_ns;
	l->stalled = true;
}

static void on_writable(void *user, struct peer *p)
{
	send_what_is_due(user, (struct device *)p);
}

static const struct peers_ops ops = {
	.open = on_open,
	.text = on_text,
	.closed = on_closed,
	.writable = on_writable,
};

/* --- connecting --- */

static void connect_one(struct load *l, struct device *d)
{
	struct ev_uuid id = bench_outlet_id(d->index * l->stride);

	d->again_ns = 0;
	peer_connect(&l->peers, &d->peer, &id);
}

static void connect_some(struct load *l)
{
	while (l->n_opened < l->n && l->peers.n_opening < OPENING_MAX)
		connect_one(l, &l->devices[l->n_opened++]);
}

static void connect_again(struct load *l, int64_t now_ns)
{
	if (!l->stalled)
		return;
	l->stalled = false;
	for (uint64_t i = 0; i < l->n; i++) {
		struct device *d = &l->devices[i];

		if (d->again_ns == 0)
			continue;
		if (d->again_ns <= now_ns)
			connect_one(l, d);
		else
			l->stalled = true;
	}
}

static void storm(struct load *l)
{
	int64_t from_ns = bench_now_ns();
	struct counts at = l->c;

	at.server_cpu_ns = bench_cpu_ns((pid_t)l->server);
	for (uint64_t i = 0; i < l->n; i++) {
		peer_drop(&l->peers, &l->devices[i].peer);
		l->devices[i].again_ns = 0;
	}
	for (uint64_t i = 0; i < l->n; i++)
		connect_one(l, &l->devices[i]);
	while (l->peers.n_open < l->n) {
		bench_must(bench_now_ns() - from_ns < GIVE_UP_NS, "the storm does not end");
		peers_turn(&l->peers, 10 * EV_NS_PER_MS);
		connect_again(l, bench_now_ns());
	}
	(void)printf("storm_s %.3f\n", (double)(bench_now_ns() - from_ns) / 1e9);
	(void)printf("storm_server_us_each %.1f\n",
		     (double)(bench_cpu_ns((pid_t)l->server) - at.server_cpu_ns) / 1e3 /
			     (double)l->n);
}

/* --- running --- */

static void count_from(const struct load *l, struct counts *c)
{
	c->from_ns = bench_now_ns();
	c->own_cpu_ns = bench_own_cpu_ns();
	c->server_cpu_ns = bench_cpu_ns((pid_t)l->server);
	c->machine_cpu_ns = bench_machine_cpu_ns();
}

static void end_second(struct load *l, int64_t now_ns)
{
	struct counts was = l->second;

	if (now_ns - was.from_ns < EV_NS_PER_S)
		return;
	l->second = l->c;
	l->second.from_ns = now_ns;
	(void)printf("second %.2f %" PRIu64 " %.0f %.0f %" PRIu64 "\n",
		     (double)(now_ns - l->phase_ns) / 1e9, l->c.answers - was.answers,
		     bench_times_us(&l->second_times, 0.5), bench_times_us(&l->second_times, 0.99),
		     bench_proc_kib((pid_t)l->server, "status", "\nVmRSS"));
	(void)fflush(stdout);
	bench_times_clear(&l->second_times);
}

static int64_t read_slow(struct load *l, int64_t now_ns, int64_t *next_ns)
{
	if (l->mute + l->slow == 0)
		return EV_NS_PER_S;
	flood(l);
	if (now_ns < *next_ns)
		return *next_ns - now_ns;
	*next_ns = now_ns + SLOW_NS;
	for (uint64_t i = l->mute; i < l->mute + l->slow; i++)
		peer_read(&l->peers, &l->devices[i].peer, SLOW_BYTES);
	return SLOW_NS;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void turn(struct load *l, int64_t now_ns, int64_t until_ns, int64_t *slow_ns)
{
	int64_t wait_ns = sooner(until_ns - now_ns, 10 * EV_NS_PER_MS);

	if (l->phase->rate > 0)
		wait_ns = sooner(wait_ns, pace(l, now_ns));
	wait_ns = sooner(wait_ns, read_slow(l, now_ns, slow_ns));
	peers_turn(&l->peers, wait_ns > 0 ? wait_ns : 0);
}

static void begin(struct load *l)
{
	plan(l);
	bench_times_clear(&l->times);
	bench_times_clear(&l->second_times);
	l->c = (struct counts){ 0 };
	count_from(l, &l->c);
	l->phase_ns = l->c.from_ns;
	l->second = l->c;
	l->sending = true;
	for (uint64_t i = 0; i < l->n; i++) {
		struct device *d = &l->devices[i];

		d->made = d->due = d->answers = 0;
		send_what_is_due(l, d);
	}
}

static void run(struct load *l)
{
	int64_t until_ns = l->phase_ns + l->phase->run_ns;
	int64_t slow_ns = 0;
	int64_t now_ns;

	while ((now_ns = bench_now_ns()) < until_ns) {
		turn(l, now_ns, until_ns, &slow_ns);
		connect_again(l, now_ns);
		end_second(l, now_ns);
	}
	l->sending = false;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* How even the shares of the devices are; those that do not read are left out. */
static void print_shares(const struct load *l)
{
	uint64_t first = l->mute + l->slow;
	uint64_t n = l->n - first;
	uint64_t *v = calloc(n, sizeof(*v));
	double sum = 0, squares = 0;

	bench_must(v != NULL, "memory");
	for (uint64_t i = 0; i < n; i++) {
		v[i] = l->devices[first + i].answers;
		sum += (double)v[i];
		squares += (double)v[i] * (double)v[i];
	}
	qsort(v, n, sizeof(v[0]), compare_u64);
	(void)printf("share_min %" PRIu64 "\nshare_p1 %" PRIu64 "\nshare_p50 %" PRIu64
		     "\nshare_max %" PRIu64 "\nfairness %.4f\n",
		     v[0], v[n / 100], v[n / 2], v[n - 1],
		     squares > 0 ? sum * sum / ((double)n * squares) : 0.0);
	free(v);
}

static void print_times(const struct bench_times *t)
{
	(void)printf("p50_us %.0f\np90_us %.0f\np99_us %.0f\np999_us %.0f\nmax_us %.0f\n",
		     bench_times_us(t, 0.5), bench_times_us(t, 0.9), bench_times_us(t, 0.99),
		     bench_times_us(t, 0.999), (double)t->max_ns / 1e3);
}

static void report(struct load *l)
{
	struct counts now;
	uint64_t unsent = 0;

	count_from(l, &now);
	double took = (double)(now.from_ns - l->c.from_ns);
	double own = (double)(now.own_cpu_ns - l->c.own_cpu_ns);
	double server = (double)(now.server_cpu_ns - l->c.server_cpu_ns);
	double all = (double)(now.machine_cpu_ns - l->c.machine_cpu_ns);

	for (uint64_t i = l->mute + l->slow; i < l->n; i++)
		unsent += l->devices[i].due > l->devices[i].made
				  ? l->devices[i].due - l->devices[i].made
				  : 0;
	(void)printf("seconds %.3f\nanswers %" PRIu64 "\nrate %.0f\n", took / 1e9, l->c.answers,
		     (double)l->c.answers * 1e9 / took);
	(void)printf("reports %" PRIu64 "\ncycles %" PRIu64 "\ncommands %" PRIu64 "\n",
		     l->c.reports, l->c.cycles, l->c.commands);
	(void)printf("generator_share %.3f\nserver_share %.3f\nforeign_share %.3f\n", own / took,
		     server / took, (all - own - server) / took);
	(void)printf("server_us %.2f\n", server / 1e3 / (double)l->c.answers);
	(void)printf("unsent %" PRIu64 "\nserver_rss_kib %" PRIu64 "\n", unsent,
		     bench_proc_kib((pid_t)l->server, "status", "\nVmRSS"));
	print_times(&l->times);
	print_shares(l);
	(void)fflush(stdout);
}

/* Until all that was sent is answered, by those who read. */
static void settle(struct load *l)
{
	int64_t from_ns = bench_now_ns();
	uint64_t open = 1;

	while (open > 0 && bench_now_ns() - from_ns < GIVE_UP_NS) {
		peers_turn(&l->peers, EV_NS_PER_MS);
		connect_again(l, bench_now_ns());
		open = 0;
		for (uint64_t i = l->mute + l->slow; i < l->n; i++)
			open += l->devices[i].n_sent;
	}
	(void)printf("settle_s %.3f\nunanswered %" PRIu64 "\n",
		     (double)(bench_now_ns() - from_ns) / 1e9, open);
}

/* All connect, plug in and ask for their first session; not measured. */
static void warm_up(struct load *l)
{
	static const struct phase fast = { .run_ns = 0 };
	int64_t from_ns = bench_now_ns();
	int64_t cpu_ns = bench_cpu_ns((pid_t)l->server);

	l->phase = &fast;
	while (l->peers.n_open < l->n) {
		bench_must(bench_now_ns() - from_ns < GIVE_UP_NS, "not all connect");
		connect_some(l);
		peers_turn(&l->peers, 10 * EV_NS_PER_MS);
		connect_again(l, bench_now_ns());
	}
	(void)printf("connect_s %.3f\nconnect_server_us %.1f\n",
		     (double)(bench_now_ns() - from_ns) / 1e9,
		     (double)(bench_cpu_ns((pid_t)l->server) - cpu_ns) / 1e3 / (double)l->n);
	l->warming = true;
	begin(l);
	while (l->n_ready < l->n) {
		bench_must(bench_now_ns() - from_ns < 2 * GIVE_UP_NS, "not all charge");
		peers_turn(&l->peers, 10 * EV_NS_PER_MS);
		connect_again(l, bench_now_ns());
	}
	l->sending = false;
	l->warming = false;
	settle(l);
}

static void run_phase(struct load *l, const struct phase *p, size_t number)
{
	(void)printf("phase %zu\n", number);
	if (p->storm) {
		storm(l);
		return;
	}
	l->phase = p;
	begin(l);
	run(l);
	report(l);
}

/* From now on the first ones read nothing, or little. */
static void go_slow(struct load *l)
{
	for (uint64_t i = 0; i < l->mute + l->slow; i++) {
		l->devices[i].slow = true;
		peer_mute(&l->peers, &l->devices[i].peer, true);
	}
}

static void allocate(struct load *l)
{
	l->devices = calloc(l->n, sizeof(l->devices[0]));
	l->rings = calloc(l->n * l->window, sizeof(l->rings[0]));
	l->order = calloc(2 * l->n, sizeof(l->order[0]));
	l->offset_ns = calloc(l->n, sizeof(l->offset_ns[0]));
	bench_must(l->devices != NULL && l->rings != NULL && l->order != NULL &&
			   l->offset_ns != NULL,
		   "memory");
	for (uint64_t i = 0; i < l->n; i++) {
		l->devices[i].index = (uint32_t)i;
		l->devices[i].peer.fd = -1;
		l->devices[i].sent = &l->rings[i * l->window];
	}
}

/* --- options --- */

#define TAKE(name, min, max)                                                                       \
	static bool take_##name(void *user, struct ev_str text)                                    \
	{                                                                                          \
		struct load *l = user;                                                             \
		return bench_take_u64(text, min, max, &l->name);                                   \
	}

TAKE(n, 1, MAX_CONNECTIONS)
TAKE(stride, 1, 1000000)
TAKE(window, 1, MAX_WINDOW)
TAKE(cycles, 0, 100)
TAKE(port, 1, 65535)
TAKE(core, 0, 1023)
TAKE(server, 1, INT32_MAX)
TAKE(mute, 0, MAX_CONNECTIONS)
TAKE(slow, 0, MAX_CONNECTIONS)
TAKE(seed, 0, UINT32_MAX)

static bool take_phase(void *user, struct ev_str text)
{
	struct load *l = user;
	struct phase *p = &l->phases[l->n_phases];
	const char *colon = memchr(text.p, ':', text.n);
	uint64_t seconds;

	if (l->n_phases == MAX_PHASES)
		return false;
	l->n_phases++;
	*p = (struct phase){ .storm = ev_str_eqz(text, "storm") };
	if (p->storm)
		return true;
	if (colon == NULL)
		return false;
	struct ev_str rate = { text.p, (size_t)(colon - text.p) };
	struct ev_str rest = { colon + 1, text.n - rate.n - 1 };

	if (!bench_take_u64(rate, 0, 10000000, &p->rate) ||
	    !bench_take_u64(rest, 1, 86400, &seconds))
		return false;
	p->run_ns = (int64_t)seconds * EV_NS_PER_S;
	return true;
}

static const struct bench_option options[] = {
	{ "connections", "N", take_n },
	{ "stride", "N", take_stride },
	{ "window", "N", take_window },
	{ "cycles", "PERCENT", take_cycles },
	{ "port", "PORT", take_port },
	{ "core", "N", take_core },
	{ "server", "PID", take_server },
	{ "mute", "N", take_mute },
	{ "slow", "N", take_slow },
	{ "seed", "N", take_seed },
	{ "phase", "RATE:SECONDS|storm", take_phase },
};

static void print_totals(const struct load *l)
{
	for (unsigned v = 0; v < VERDICT_COUNT; v++)
		(void)printf("verdict_%s %" PRIu64 "\n", verdict_text((enum verdict)v),
			     l->verdicts[v]);
	(void)printf("wrong %" PRIu64 "\nresent %" PRIu64 "\nclosed %" PRIu64 "\n", l->wrong,
		     l->resent, l->peers.n_closed);
	(void)printf("flooded %" PRIu64 "\nslow_again %" PRIu64 "\n", l->flooded, l->slow_again);
	(void)printf("acked_mwh %" PRIu64 "\nmaybe_mwh %" PRIu64 "\n", l->acked_mwh, l->maybe_mwh);
}

int main(int argc, char **argv)
{
	struct load *l = calloc(1, sizeof(*l));

	bench_must(l != NULL, "memory");
	*l = (struct load){ .n = 100, .stride = 1, .window = 1, .cycles = 5, .core = 1023 };
	bench_options(argc, argv, options, EV_ARRAY_LEN(options), l);
	bench_must(l->port > 0 && l->n_phases > 0 && l->mute + l->slow < l->n,
		   "usage: a --port, a --phase, and some that read are needed");
	bench_must(bench_descriptors() > l->n + 16, "too few descriptors");
	if (l->core < 1023)
		bench_pin((int)l->core);
	ev_rng_seeded_init(&l->rng, l->seed);
	/* Another run on the same database sends other messages. */
	l->run = (uint64_t)(bench_wall_ns() / EV_NS_PER_MS) & 0xffffffffU;
	allocate(l);
	peers_init(&l->peers, (uint16_t)l->port, &ops, l);
	warm_up(l);
	go_slow(l);
	for (size_t i = 0; i < l->n_phases; i++)
		run_phase(l, &l->phases[i], i);
	settle(l);
	print_totals(l);
	return l->wrong == 0 ? 0 : 1;
}
