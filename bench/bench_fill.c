/*
 * bench/bench_fill.c — a data directory with a fleet in it, written through the engine.
 *
 * usage: bench_fill DIR OUTLETS [CUSTOMERS]
 *
 * Outlet i has the ids and the customer of bench.h; a customer for each outlet unless fewer are
 * asked for.  Half of the outlets are in a session, as on an evening.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/time.h"
#include "bench.h"
#include "engine/embedded/embedded.h"

#define GROUP 4096

static int64_t now_ns(void *user)
{
	(void)user;
	return ev_clock_wall_ns(ev_clock_os());
}

static void commit(struct store *s, const struct unit *units, size_t n)
{
	ev_err results[4];

	bench_must(s->ops->commit(s, units, n, results) == EV_OK, "commit");
}

static void add_customer(struct store *s, uint64_t i)
{
	struct customer c = { .id = bench_customer_id(i),
			      .version = 1,
			      .tag = bench_tag(i),
			      .address = "2 Short Street, Springfield",
			      .email = "someone@example.com",
			      .payment_method = "invoice",
			      .created_ns = now_ns(NULL) };
	struct keyed_put put = { .kind = PUT_CLAIM };

	put.claim = (struct tag_claim){ c.tag, c.id, c.created_ns };
	commit(s,
	       &(struct unit){ .kind = UNIT_CUSTOMER, .customer = &c, .puts = &put, .n_puts = 1 },
	       1);
}

static struct session session_of(const struct outlet *o, uint64_t i)
{
	return (struct session){ .id = o->session_id,
				 .version = 1,
				 .has_customer = true,
				 .customer_id = bench_customer_id(i),
				 .tag = o->tag,
				 .outlet_id = o->id,
				 .state = OUTLET_CHARGING,
				 .channel = CHANNEL_OUTLET_DEVICE,
				 .start_ns = o->start_ns,
				 .charging_seen = true,
				 .heard_ns = o->start_ns };
}

static void add_outlet(struct store *s, uint64_t i, bool charges)
{
	struct ev_uuid id = bench_outlet_id(i);
	struct outlet o = outlet_new(&id, INT64_C(22000000), now_ns(NULL));
	struct outlet_info info = { .group_id = bench_customer_id(0),
				    .code = "OUTLET-0001",
				    .address = "1 Long Street, Springfield",
				    .created_ns = now_ns(NULL) };
	struct session session;
	struct unit units[2] = { { .kind = UNIT_OUTLET, .outlet = &o, .info = &info },
				 { .kind = UNIT_SESSION, .session = &session } };

	if (charges) {
		o.state = OUTLET_CHARGING;
		o.has_session = true;
		o.session_id = bench_session_id(i);
		o.tag = bench_tag(i);
		o.total_sessions = 1;
		o.reported = true;
		session = session_of(&o, i);
	}
	commit(s, units, charges ? 2 : 1);
}

static void fill(struct store *s, uint64_t n, uint64_t n_customers)
{
	for (uint64_t i = 0; i < n; i++) {
		if (i % GROUP == 0)
			bench_must(s->ops->begin(s) == EV_OK, "begin");
		add_outlet(s, i, i % 2 == 1 && i < n_customers);
		if (i < n_customers)
			add_customer(s, i);
		if (i % GROUP == GROUP - 1 || i + 1 == n)
			bench_must(s->ops->end(s) == EV_OK, "end");
	}
}

int main(int argc, char **argv)
{
	struct embedded_options o = { .now_ns = now_ns, .rules = outlet_rules_default() };
	struct ev_fail fail = { .text = "" };
	struct embedded *e = NULL;
	uint64_t n = 0, n_customers = 0;

	if (argc < 3 || !bench_take_u64(ev_str_from(argv[2]), 1, 10000000, &n))
		bench_die("usage: bench_fill DIR OUTLETS [CUSTOMERS]", false);
	n_customers = n;
	if (argc > 3 && !bench_take_u64(ev_str_from(argv[3]), 0, n, &n_customers))
		bench_die("usage: bench_fill DIR OUTLETS [CUSTOMERS]", false);
	o.dir = argv[1];
	bench_must(embedded_open(&e, &o, &fail) == EV_OK, fail.text);
	int64_t from_ns = bench_now_ns();

	fill(embedded_store(e), n, n_customers);
	embedded_free(e);
	(void)printf("fill_s %.2f\n", (double)(bench_now_ns() - from_ns) / 1e9);
	return 0;
}
