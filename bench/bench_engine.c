/*
 * bench/bench_engine.c — durable reports a second of the embedded engine, beside a bare SQLite loop
 * that writes the same rows.
 *
 * A report is what a charging outlet causes: its row, a charging event, the session's row.  Outlets
 * are picked at random.  usage: bench_engine [OUTLETS [SECONDS [DIR]]]
 */
#include <assert.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/rng.h"
#include "base/time.h"
#include "engine/embedded/embedded.h"

#define MAX_OUTLETS 1000000
#define MAX_GROUP 1000

struct bench {
	char dir[256];
	size_t n_outlets;
	int64_t run_ns;
	struct outlet *outlets; /* as the decisions of a service would have them in hand */
	struct session *sessions;
	struct ev_rng_seeded rng;
};

struct result {
	uint64_t n_reports;
	int64_t took_ns;
	int64_t cpu_ns;
};

static int64_t now_ns(void *user)
{
	(void)user;
	return ev_clock_wall_ns(ev_clock_os());
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "bench_engine: %s failed\n", what);
	exit(1);
}

static int64_t cpu_ns(void)
{
	struct rusage u;

	must(getrusage(RUSAGE_SELF, &u) == 0, "getrusage");
	return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * EV_NS_PER_S +
	       ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * EV_NS_PER_US;
}

static struct embedded *open_engine(const struct bench *b)
{
	struct embedded_options o = { .dir = b->dir,
				      .now_ns = now_ns,
				      .rules = outlet_rules_default() };
	struct ev_fail fail = { .text = "" };
	struct embedded *e = NULL;

	must(embedded_open(&e, &o, &fail) == EV_OK, fail.text);
	return e;
}

static void make_rows(struct bench *b, size_t i)
{
	struct outlet *o = &b->outlets[i];
	struct session *s = &b->sessions[i];
	int64_t at_ns = now_ns(NULL);
	struct ev_uuid id = ev_rng_uuid(&b->rng.base);

	*o = outlet_new(&id, INT64_C(22000000), at_ns);
	o->state = OUTLET_CHARGING;
	o->has_session = true;
	o->session_id = ev_rng_uuid(&b->rng.base);
	o->tag = (struct rfid_tag){ .n = 14, .s = "04a2b1c3d4e5f6" };
	o->reported = true;
	o->n_recent = 4;
	for (unsigned k = 0; k < o->n_recent; k++)
		o->recent[k] = (struct ended_session){ .id = ev_rng_uuid(&b->rng.base),
						       .tag = o->tag };
	*s = (struct session){ .id = o->session_id,
			       .version = 1,
			       .has_customer = true,
			       .customer_id = ev_rng_uuid(&b->rng.base),
			       .tag = o->tag,
			       .outlet_id = o->id,
			       .state = OUTLET_CHARGING,
			       .start_ns = at_ns,
			       .n_sums = 1 };
}

static void commit_two(struct store *s, const struct unit units[2])
{
	ev_err results[2];

	must(s->ops->commit(s, units, 2, results) == EV_OK, "commit");
}

static void seed(struct bench *b)
{
	struct embedded *e = open_engine(b);
	struct store *s = embedded_store(e);
	struct outlet_info info = { .code = "OUTLET-0001",
				    .address = "1 Long Street, Springfield" };

	for (size_t i = 0; i < b->n_outlets; i++) {
		make_rows(b, i);
		if (i % 4096 == 0)
			must(s->ops->begin(s) == EV_OK, "begin");
		commit_two(s,
			   (struct unit[]){
				   { .kind = UNIT_OUTLET, .outlet = &b->outlets[i], .info = &info },
				   { .kind = UNIT_SESSION, .session = &b->sessions[i] } });
		if (i % 4096 == 4095 || i + 1 == b->n_outlets)
			must(s->ops->end(s) == EV_OK, "end");
	}
	embedded_free(e);
}

/* The next report of outlet i: what the decisions give, without the cost of deciding. */
static void report(struct bench *b, size_t i, struct charging_event *event)
{
	struct outlet *o = &b->outlets[i];
	struct session *s = &b->sessions[i];
	int64_t at_ns = now_ns(NULL);

	o->version++;
	o->has_end = true;
	o->end_ns = at_ns;
	o->energy_mwh += 1000;
	o->total_energy_mwh += 1000;
	if (o->n_ids == OUTLET_IDS_MAX)
		o->n_ids = 0;
	ev_rng_fill(&b->rng.base, o->ids[o->n_ids].b, sizeof(o->ids[0].b));
	*event = (struct charging_event){ .initiator = INITIATOR_OUTLET_BACKEND,
					  .outlet_id = o->id,
					  .state = OUTLET_CHARGING,
					  .has_session = true,
					  .session_id = o->session_id,
					  .tag = o->tag,
					  .period_start_ns = o->start_ns,
					  .has_period_end = true,
					  .period_end_ns = at_ns,
					  .energy_mwh = o->energy_mwh,
					  .has_event_id = true,
					  .event_id = o->ids[o->n_ids] };
	o->n_ids++;
	s->version++;
	s->has_end = true;
	s->end_ns = at_ns;
	s->heard_ns = at_ns;
	s->energy_mwh += 1000;
	s->sums[0].mwh += 1000;
}

static size_t pick(struct bench *b)
{
	return (size_t)ev_rng_below(&b->rng.base, b->n_outlets);
}

static struct result run_engine(struct bench *b, size_t group)
{
	struct embedded *e = open_engine(b);
	struct store *s = embedded_store(e);
	struct result r = { .cpu_ns = -cpu_ns() };
	int64_t from_ns = ev_clock_mono_ns(ev_clock_os());

	while (r.took_ns < b->run_ns) {
		must(s->ops->begin(s) == EV_OK, "begin");
		for (size_t k = 0; k < group; k++) {
			size_t i = pick(b);
			struct charging_event event;
			uint64_t o_was = b->outlets[i].version, s_was = b->sessions[i].version;

			report(b, i, &event);
			commit_two(s, (struct unit[]){ { .kind = UNIT_OUTLET,
							 .expected = o_was,
							 .outlet = &b->outlets[i],
							 .events = &event,
							 .n_events = 1 },
						       { .kind = UNIT_SESSION,
							 .expected = s_was,
							 .session = &b->sessions[i] } });
		}
		must(s->ops->end(s) == EV_OK, "end");
		r.n_reports += group;
		r.took_ns = ev_clock_mono_ns(ev_clock_os()) - from_ns;
	}
	r.cpu_ns += cpu_ns();
	embedded_free(e);
	return r;
}

/* The bare loop: the same tables, columns and sizes, integer keys known, no checks, no cache. */
enum bare_sql { BARE_BEGIN, BARE_OUTLET, BARE_EVENT, BARE_SESSION, BARE_COMMIT, BARE_COUNT };
static const char *const bare_texts[BARE_COUNT] = {
	[BARE_BEGIN] = "BEGIN IMMEDIATE",
	[BARE_OUTLET] =
		"UPDATE outlet_row SET version=version+1, state=6, sessionId=?1, tag=?2,"
		" startNs=?3, endNs=?4, mwh=?5, totalSessions=1, totalMwh=?5,"
		" unassignedMwh=0, maxPowerMw=22000000, outOfService=0, retired=0, extra=?6,"
		" shown=6, lastEvent=?7, lastBlock=0 WHERE n=?8",
	[BARE_EVENT] = "INSERT INTO event_row(prev, atNs, initiator, outletId, state, sessionId,"
		       " tag, startNs, endNs, mwh, eventId) VALUES(?,?,1,?,6,?,?,?,?,?,?)",
	[BARE_SESSION] = "UPDATE session_row SET version=version+1, tag=?, state=6, channel=0,"
			 " endNs=?, mwh=?, heardNs=?, extra=? WHERE n=?",
	[BARE_COMMIT] = "COMMIT",
};

static void run_bare_one(struct bench *b, sqlite3_stmt **st)
{
	static const uint8_t extra[640];
	size_t i = pick(b);
	struct charging_event e;

	report(b, i, &e);
	const struct outlet *o = &b->outlets[i];
	/* Seven in ten of the identities are there on average. */
	int extra_n = 27 + 4 * 63 + 8 * 16;

	sqlite3_bind_blob(st[BARE_OUTLET], 1, o->session_id.b, 16, SQLITE_STATIC);
	sqlite3_bind_text(st[BARE_OUTLET], 2, o->tag.s, o->tag.n, SQLITE_STATIC);
	sqlite3_bind_int64(st[BARE_OUTLET], 3, o->start_ns);
	sqlite3_bind_int64(st[BARE_OUTLET], 4, o->end_ns);
	sqlite3_bind_int64(st[BARE_OUTLET], 5, o->energy_mwh);
	sqlite3_bind_blob(st[BARE_OUTLET], 6, extra, extra_n, SQLITE_STATIC);
	sqlite3_bind_int64(st[BARE_OUTLET], 7, o->end_ns);
	sqlite3_bind_int64(st[BARE_OUTLET], 8, (int64_t)i + 1);

	sqlite3_bind_int64(st[BARE_EVENT], 1, o->end_ns);
	sqlite3_bind_int64(st[BARE_EVENT], 2, o->end_ns);
	sqlite3_bind_blob(st[BARE_EVENT], 3, o->id.b, 16, SQLITE_STATIC);
	sqlite3_bind_blob(st[BARE_EVENT], 4, o->session_id.b, 16, SQLITE_STATIC);
	sqlite3_bind_text(st[BARE_EVENT], 5, o->tag.s, o->tag.n, SQLITE_STATIC);
	sqlite3_bind_int64(st[BARE_EVENT], 6, o->start_ns);
	sqlite3_bind_int64(st[BARE_EVENT], 7, o->end_ns);
	sqlite3_bind_int64(st[BARE_EVENT], 8, o->energy_mwh);
	sqlite3_bind_blob(st[BARE_EVENT], 9, e.event_id.b, 16, SQLITE_STATIC);

	sqlite3_bind_text(st[BARE_SESSION], 1, o->tag.s, o->tag.n, SQLITE_STATIC);
	sqlite3_bind_int64(st[BARE_SESSION], 2, o->end_ns);
	sqlite3_bind_int64(st[BARE_SESSION], 3, o->energy_mwh);
	sqlite3_bind_int64(st[BARE_SESSION], 4, o->end_ns);
	sqlite3_bind_blob(st[BARE_SESSION], 5, extra, 43, SQLITE_STATIC);
	sqlite3_bind_int64(st[BARE_SESSION], 6, (int64_t)i + 1);
	for (int k = BARE_OUTLET; k <= BARE_SESSION; k++) {
		must(sqlite3_step(st[k]) == SQLITE_DONE, bare_texts[k]);
		sqlite3_reset(st[k]);
	}
}

static void step(sqlite3_stmt *st)
{
	must(sqlite3_step(st) == SQLITE_DONE, sqlite3_sql(st));
	sqlite3_reset(st);
}

static struct result run_bare(struct bench *b, size_t group)
{
	static const char pragmas[] = "PRAGMA synchronous=FULL; PRAGMA cache_size=-32768;"
				      "PRAGMA wal_autocheckpoint=8192;";
	char path[300];
	sqlite3 *db = NULL;
	sqlite3_stmt *st[BARE_COUNT];
	struct result r = { .cpu_ns = -cpu_ns() };

	(void)snprintf(path, sizeof(path), "%s/%s", b->dir, EMBEDDED_FILE);
	must(sqlite3_open(path, &db) == SQLITE_OK, "open");
	must(sqlite3_exec(db, pragmas, NULL, NULL, NULL) == SQLITE_OK, "pragmas");
	for (int i = 0; i < BARE_COUNT; i++)
		must(sqlite3_prepare_v2(db, bare_texts[i], -1, &st[i], NULL) == SQLITE_OK,
		     bare_texts[i]);
	int64_t from_ns = ev_clock_mono_ns(ev_clock_os());

	while (r.took_ns < b->run_ns) {
		step(st[BARE_BEGIN]);
		for (size_t k = 0; k < group; k++)
			run_bare_one(b, st);
		step(st[BARE_COMMIT]);
		r.n_reports += group;
		r.took_ns = ev_clock_mono_ns(ev_clock_os()) - from_ns;
	}
	r.cpu_ns += cpu_ns();
	for (int i = 0; i < BARE_COUNT; i++)
		sqlite3_finalize(st[i]);
	must(sqlite3_close(db) == SQLITE_OK, "close");
	return r;
}

static double rate(struct result r)
{
	return (double)r.n_reports * 1e9 / (double)r.took_ns;
}

static double cpu_us(struct result r)
{
	return (double)r.cpu_ns / 1e3 / (double)r.n_reports;
}

static void clear_files(struct bench *b)
{
	static const char *const names[] = { EMBEDDED_FILE, EMBEDDED_FILE "-wal",
					     EMBEDDED_FILE "-shm", EMBEDDED_LOCK_FILE };
	char path[300];

	for (size_t i = 0; i < EV_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", b->dir, names[i]);
		(void)unlink(path);
	}
}

/* Each side on a new file of the same rows. */
static void compare(struct bench *b, size_t group)
{
	clear_files(b);
	seed(b);
	struct result bare = run_bare(b, group);

	clear_files(b);
	seed(b);
	struct result engine = run_engine(b, group);

	(void)printf("%6zu %14.0f %8.1f %14.0f %8.1f %8.2f\n", group, rate(engine), cpu_us(engine),
		     rate(bare), cpu_us(bare), rate(engine) / rate(bare));
	(void)fflush(stdout);
}

static uint64_t argument(char **argv, int argc, int i, uint64_t otherwise)
{
	uint64_t v = otherwise;

	if (i < argc)
		must(num_parse_u64(ev_str_from(argv[i]), &v) == EV_OK && v > 0, "argument");
	return v;
}

int main(int argc, char **argv)
{
	static const size_t groups[] = { 1, 10, 100, MAX_GROUP };
	struct bench b = { .n_outlets = (size_t)argument(argv, argc, 1, 10000),
			   .run_ns = (int64_t)argument(argv, argc, 2, 2) * EV_NS_PER_S };

	must(b.n_outlets <= MAX_OUTLETS, "at most a million outlets");
	(void)snprintf(b.dir, sizeof(b.dir), "%s/bench-engine-XXXXXX", argc > 3 ? argv[3] : "/tmp");
	must(mkdtemp(b.dir) != NULL, "mkdtemp");
	b.outlets = calloc(b.n_outlets, sizeof(*b.outlets));
	b.sessions = calloc(b.n_outlets, sizeof(*b.sessions));
	must(b.outlets != NULL && b.sessions != NULL, "memory");
	ev_rng_seeded_init(&b.rng, 1);
	(void)printf("%zu outlets; reports/s and CPU us a report\n", b.n_outlets);
	(void)printf("%6s %14s %8s %14s %8s %8s\n", "group", "engine", "us", "bare", "us", "ratio");
	for (size_t i = 0; i < EV_ARRAY_LEN(groups); i++)
		compare(&b, groups[i]);
	clear_files(&b);
	(void)rmdir(b.dir);
	free(b.outlets);
	free(b.sessions);
	return 0;
}
