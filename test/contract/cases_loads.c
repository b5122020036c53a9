/* Lists of the store: commands, live sessions, a customer's sessions, timers. */
#include <stdlib.h>
#include <string.h>

#include "contract/contract.h"

#define ROWS 64

static void assert_ids(const struct ev_uuid *got, size_t n_got, const struct ev_uuid *want,
		       size_t n_want)
{
	struct text a = { .p = NULL };
	struct text b = { .p = NULL };

	for (size_t i = 0; i < n_got; i++)
		text_id(&a, "\n", got[i].b);
	for (size_t i = 0; i < n_want; i++)
		text_id(&b, "\n", want[i].b);
	text_assert_same(&a, &b);
}

/* Commands 0..5 of outlet 1, two to a version from 10 on; every third expires at 1,000. */
static struct device_command command_of(struct contract *c, unsigned n)
{
	struct ev_uuid outlet_id = id_of('o', 1);
	struct device_command d = gen_command(&c->gen, &outlet_id, 10 + n / 2, n % 2);

	d.expires_ns = n % 3 == 2 ? 1000 : 0;
	return d;
}

static void commands_load_in_order_within_bounds_until_they_expire(struct contract *c)
{
	struct device_command all[6];
	const struct {
		uint64_t version;
		unsigned index;
		int64_t now_ns;
		size_t max;
		size_t n;
		unsigned rows[6];
	} reads[] = {
		{ 0, 0, 999, 16, 6, { 0, 1, 2, 3, 4, 5 } },
		{ 0, 0, 1000, 16, 4, { 0, 1, 3, 4 } }, /* expired at its instant */
		{ 10, 0, 999, 16, 5, { 1, 2, 3, 4, 5 } },
		{ 10, 1, 999, 16, 4, { 2, 3, 4, 5 } },
		{ 10, 77, 999, 16, 4, { 2, 3, 4, 5 } },
		{ 12, 1, 999, 16, 0, { 0 } },
		{ 0, 0, 999, 2, 2, { 4, 5 } },  /* of more than max the newest */
		{ 0, 0, 1001, 2, 2, { 3, 4 } }, /* max counts what is given */
		{ 0, 0, 999, 0, 0, { 0 } },
	};
	static const unsigned order[] = { 3, 0, 5, 1, 4, 2 }; /* of storing */

	contract_new_outlet(c, 1);
	for (unsigned i = 0; i < 6; i++) {
		all[order[i]] = command_of(c, order[i]);
		contract_save(c, &(struct unit){ .kind = UNIT_NONE,
						 .commands = &all[order[i]],
						 .n_commands = 1 });
	}
	for (size_t i = 0; i < EV_ARRAY_LEN(reads); i++) {
		struct device_command got_rows[16];
		struct text got = { .p = NULL };
		struct text want = { .p = NULL };
		size_t n = 99;

		assert_int_equal(c->s->ops->load_commands(c->s, &all[0].outlet_id, reads[i].version,
							  reads[i].index, reads[i].now_ns, got_rows,
							  reads[i].max, &n),
				 EV_OK);
		for (size_t row = 0; row < n; row++)
			text_command(&got, &got_rows[row]);
		for (size_t row = 0; row < reads[i].n; row++)
			text_command(&want, &all[reads[i].rows[row]]);
		text_assert_same(&got, &want);
	}
}

static void commands_are_those_of_the_outlet_alone(struct contract *c)
{
	struct device_command rows[4];
	size_t n = 99;

	for (uint64_t o = 1; o <= 3; o++) {
		struct ev_uuid id = id_of('o', o);
		struct device_command d = gen_command(&c->gen, &id, o, 0);

		d.expires_ns = 0;
		contract_save(c,
			      &(struct unit){ .kind = UNIT_NONE, .commands = &d, .n_commands = 1 });
	}
	for (uint64_t o = 1; o <= 4; o++) {
		struct ev_uuid id = id_of('o', o);

		assert_int_equal(c->s->ops->load_commands(c->s, &id, 0, 0, 0, rows, 4, &n), EV_OK);
		assert_int_equal(n, o <= 3);
	}
}

static void the_same_command_again_replaces_itself(struct contract *c)
{
	struct device_command d = command_of(c, 0);
	struct device_command row;
	struct text got = { .p = NULL };
	struct text want = { .p = NULL };
	size_t n = 0;

	for (unsigned i = 0; i < 2; i++) {
		d.energy_mwh++;
		contract_save(c,
			      &(struct unit){ .kind = UNIT_NONE, .commands = &d, .n_commands = 1 });
	}
	assert_int_equal(c->s->ops->load_commands(c->s, &d.outlet_id, 0, 0, 0, &row, 1, &n), EV_OK);
	assert_int_equal(contract_books(c).n_commands, 1);
	text_command(&got, &row);
	text_command(&want, &d);
	text_assert_same(&got, &want);
}

static void put_session(struct contract *c, struct session *s)
{
	uint64_t expected = s->version++;

	contract_save(c,
		      &(struct unit){ .kind = UNIT_SESSION, .expected = expected, .session = s });
}

static struct session session_at(struct contract *c, uint64_t n, const struct ev_uuid *outlet_id,
				 int64_t start_ns)
{
	struct ev_uuid id = id_of('s', n);
	struct session s = gen_session(&c->gen, &id, 0);

	s.outlet_id = *outlet_id;
	s.start_ns = start_ns;
	s.state = OUTLET_CHARGING;
	return s;
}

static void assert_live(struct contract *c, const struct ev_uuid *outlet_id, size_t max,
			const struct ev_uuid *want, size_t n_want)
{
	struct ev_uuid got[ROWS];
	size_t n = 99;

	assert_int_equal(c->s->ops->live_sessions(c->s, outlet_id, got, max, &n), EV_OK);
	assert_ids(got, n, want, n_want);
}

static void live_sessions_come_newest_first_and_bounded(struct contract *c)
{
	struct ev_uuid a = id_of('o', 1);
	struct ev_uuid b = id_of('o', 2);
	struct ev_uuid want[4];
	struct session s[4];
	bool swap;

	for (uint64_t n = 0; n < 4; n++) {
		/* The two in the middle started together: the higher id comes first. */
		s[n] = session_at(c, n, &a, n == 1 ? 200 : 100 * (int64_t)n);
		put_session(c, &s[n]);
	}
	swap = memcmp(s[1].id.b, s[2].id.b, 16) > 0;
	want[0] = s[3].id;
	want[1] = s[swap ? 1 : 2].id;
	want[2] = s[swap ? 2 : 1].id;
	want[3] = s[0].id;
	assert_live(c, &a, ROWS, want, 4);
	assert_live(c, &a, 2, want, 2);
	assert_live(c, &a, 0, want, 0);
	assert_live(c, &b, ROWS, want, 0);
	contract_reopen(c);
	assert_live(c, &a, ROWS, want, 4);
}

static void a_session_is_live_by_its_state_outlet_and_start(struct contract *c)
{
	static const enum outlet_state live[] = { OUTLET_APP_REQUESTS_CHARGING, OUTLET_CHARGING,
						  OUTLET_APP_REQUESTS_STOP };
	static const enum outlet_state over[] = { OUTLET_DEVICE_DENIES_CHARGING,
						  OUTLET_CHARGING_FINISHED };
	struct ev_uuid a = id_of('o', 1);
	struct ev_uuid b = id_of('o', 2);
	struct session s = session_at(c, 1, &a, 100);
	struct session later = session_at(c, 2, &a, 200);
	struct ev_uuid want[2];

	for (size_t i = 0; i < EV_ARRAY_LEN(live); i++) {
		s.state = live[i];
		put_session(c, &s);
		assert_live(c, &a, ROWS, &s.id, 1);
		assert_int_equal(contract_books(c).n_live_sessions, 1);
		s.state = over[i % 2];
		put_session(c, &s);
		assert_live(c, &a, ROWS, NULL, 0);
		assert_int_equal(contract_books(c).n_live_sessions, 0);
	}
	s.state = OUTLET_CHARGING;
	put_session(c, &s);
	put_session(c, &later);
	s.start_ns = 300; /* it moves to the front */
	put_session(c, &s);
	want[0] = s.id;
	want[1] = later.id;
	assert_live(c, &a, ROWS, want, 2);
	s.outlet_id = b;
	put_session(c, &s);
	assert_live(c, &a, ROWS, &later.id, 1);
	assert_live(c, &b, ROWS, &s.id, 1);
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static void a_customers_sessions_come_page_by_page_in_order_of_id(struct contract *c)
{
	struct ev_uuid customer = id_of('c', 1);
	struct ev_uuid outlet = id_of('o', 1);
	struct ev_uuid ids[20];
	size_t at = 0;

	for (uint64_t n = 0; n < 40; n++) {
		struct session s = session_at(c, n, &outlet, (int64_t)n);

		s.customer_id = n % 2 == 0 ? customer : id_of('c', 2 + n);
		s.state = n % 4 == 0 ? OUTLET_CHARGING : OUTLET_CHARGING_FINISHED;
		put_session(c, &s);
		if (n % 2 == 0)
			ids[n / 2] = s.id;
	}
	qsort(ids, 20, sizeof(ids[0]), by_bytes);
	while (at < 20) {
		struct ev_uuid page[7];
		size_t n = 99;

		assert_int_equal(c->s->ops->customer_sessions(c->s, &customer,
							      at == 0 ? NULL : &ids[at - 1], page,
							      7, &n),
				 EV_OK);
		assert_ids(page, n, ids + at, at + 7 <= 20 ? 7 : 20 - at);
		at += n;
	}
	assert_int_equal(c->s->ops->customer_sessions(c->s, &customer, &ids[19], ids, 7, &at),
			 EV_OK);
	assert_int_equal(at, 0);
}

static void a_forgotten_session_is_no_longer_its_customers(struct contract *c)
{
	struct ev_uuid outlet = id_of('o', 1);
	struct session s = session_at(c, 1, &outlet, 100);
	struct ev_uuid customer = s.customer_id;
	struct ev_uuid page[2];
	size_t n = 99;

	put_session(c, &s);
	s.has_customer = false;
	memset(&s.customer_id, 0, sizeof(s.customer_id));
	put_session(c, &s);
	assert_int_equal(c->s->ops->customer_sessions(c->s, &customer, NULL, page, 2, &n), EV_OK);
	assert_int_equal(n, 0);
	contract_reopen(c);
	assert_int_equal(c->s->ops->customer_sessions(c->s, &customer, NULL, page, 2, &n), EV_OK);
	assert_int_equal(n, 0);
}

/* A stored outlet without timer; then one that a stop was sent to, its timer due at due_ns. */
static struct outlet quiet_outlet(struct contract *c, uint64_t n)
{
	struct outlet o = contract_new_outlet(c, n);
	uint64_t expected = o.version++;

	o.state = OUTLET_AVAILABLE;
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .expected = expected, .outlet = &o });
	return o;
}

static void set_timer(struct contract *c, struct outlet *o, int64_t due_ns)
{
	uint64_t expected = o->version++;

	o->state = OUTLET_CHARGING;
	o->stop_repeated = false;
	o->stop_at_ns = due_ns - c->rules.stop_timeout_ns;
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .expected = expected, .outlet = o });
}

static void clear_timer(struct contract *c, struct outlet *o)
{
	uint64_t expected = o->version++;

	o->state = OUTLET_CHARGING_FINISHED;
	contract_save(c, &(struct unit){ .kind = UNIT_OUTLET, .expected = expected, .outlet = o });
}

/* Is the outlet's timer really due?  An engine may name one whose timer moved on. */
static bool is_due(struct contract *c, const struct ev_uuid *id, int64_t due_ns)
{
	struct outlet_input in;
	struct outlet o;
	int64_t at = 0;

	assert_int_equal(c->s->ops->load_outlet(c->s, id, &o), EV_OK);
	return outlet_next_timer(&o, &c->rules, &at, &in) && at <= due_ns;
}

static void assert_due(struct contract *c, int64_t due_ns, const struct ev_uuid *want,
		       size_t n_want)
{
	struct ev_uuid rows[ROWS];
	size_t n = 99;
	size_t n_due = 0;

	assert_int_equal(c->s->ops->due_outlets(c->s, due_ns, rows, ROWS, &n), EV_OK);
	for (size_t i = 0; i < n; i++) {
		if (is_due(c, &rows[i], due_ns))
			rows[n_due++] = rows[i];
	}
	assert_ids(rows, n_due, want, n_want);
}

static void due_outlets_follow_their_timers(struct contract *c)
{
	const int64_t t = c->clock_ns;
	struct outlet a = quiet_outlet(c, 1);
	struct outlet b = quiet_outlet(c, 2);
	struct ev_uuid both[2];

	assert_due(c, INT64_MAX, NULL, 0);
	set_timer(c, &a, t + 100);
	set_timer(c, &b, t + 200);
	both[0] = a.id;
	both[1] = b.id;
	assert_due(c, t + 99, NULL, 0);
	assert_due(c, t + 100, both, 1);
	assert_due(c, t + 200, both, 2);
	set_timer(c, &a, t + 300); /* moved behind */
	both[0] = b.id;
	both[1] = a.id;
	assert_due(c, t + 299, both, 1);
	assert_due(c, INT64_MAX, both, 2);
	contract_reopen(c);
	assert_due(c, INT64_MAX, both, 2);
	set_timer(c, &a, t + 50); /* and forward */
	assert_due(c, t + 50, both + 1, 1);
	clear_timer(c, &b);
	assert_due(c, INT64_MAX, both + 1, 1);
	clear_timer(c, &a);
	assert_due(c, INT64_MAX, NULL, 0);
}

static void due_outlets_of_one_instant_come_by_id_and_bounded(struct contract *c)
{
	const int64_t t = c->clock_ns;
	struct ev_uuid ids[10];
	struct ev_uuid rows[10];
	size_t n = 99;

	for (uint64_t i = 0; i < 10; i++) {
		struct outlet o = quiet_outlet(c, i);

		set_timer(c, &o, t);
		ids[i] = o.id;
	}
	qsort(ids, 10, sizeof(ids[0]), by_bytes);
	assert_due(c, t, ids, 10);
	assert_int_equal(c->s->ops->due_outlets(c->s, t, rows, 4, &n), EV_OK);
	assert_ids(rows, n, ids, 4);
	assert_int_equal(c->s->ops->due_outlets(c->s, t, rows, 0, &n), EV_OK);
	assert_int_equal(n, 0);
}

static void a_timer_set_in_a_group_is_due_in_it(struct contract *c)
{
	const int64_t t = c->clock_ns;
	struct outlet o = quiet_outlet(c, 1);
	struct unit u = { .kind = UNIT_OUTLET, .expected = o.version, .outlet = &o };

	o.version++;
	o.state = OUTLET_CHARGING;
	o.stop_repeated = false;
	o.stop_at_ns = t;
	contract_begin(c);
	assert_int_equal(contract_commit(c, &u), EV_OK);
	assert_due(c, INT64_MAX, &o.id, 1);
	c->s->ops->abandon(c->s);
	assert_due(c, INT64_MAX, NULL, 0);
}

#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

static const struct contract_case cases[] = {
	CASE(commands_load_in_order_within_bounds_until_they_expire),
	CASE(commands_are_those_of_the_outlet_alone),
	CASE(the_same_command_again_replaces_itself),
	CASE(live_sessions_come_newest_first_and_bounded),
	CASE(a_session_is_live_by_its_state_outlet_and_start),
	CASE(a_customers_sessions_come_page_by_page_in_order_of_id),
	CASE(a_forgotten_session_is_no_longer_its_customers),
	CASE(due_outlets_follow_their_timers),
	CASE(due_outlets_of_one_instant_come_by_id_and_bounded),
	CASE(a_timer_set_in_a_group_is_due_in_it),
};

const struct contract_cases contract_load_cases = { cases, EV_ARRAY_LEN(cases) };
