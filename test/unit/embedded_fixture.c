#include "embedded_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/time.h"

#define START_NS INT64_C(1717250000123456789)

static int64_t fixture_now(void *user)
{
	struct emb *f = user;

	return ev_clock_wall_ns(&f->clock.base);
}

void emb_init(struct emb *f)
{
	*f = (struct emb){ .e = NULL };
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/evcharge-unit-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	ev_clock_manual_init(&f->clock, START_NS);
	f->o = (struct embedded_options){ .dir = f->dir,
					  .now_ns = fixture_now,
					  .clock_user = f,
					  .rules = outlet_rules_default() };
}

void emb_remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	char name[512];

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", dir, entry->d_name);
		assert_int_equal(unlink(name), 0);
	}
	closedir(d);
	assert_int_equal(rmdir(dir), 0);
}

void emb_deinit(struct emb *f)
{
	emb_close(f);
	emb_remove_dir(f->dir);
}

void emb_open(struct emb *f)
{
	struct ev_fail fail = { .text = "" };

	if (embedded_open(&f->e, &f->o, &fail) != EV_OK)
		fail_msg("embedded_open: %s", fail.text);
	f->s = embedded_store(f->e);
	if (embedded_query_open(f->e, &f->q, &fail) != EV_OK)
		fail_msg("embedded_query_open: %s", fail.text);
}

void emb_close(struct emb *f)
{
	if (f->e == NULL)
		return;
	f->q->ops->free(f->q);
	embedded_free(f->e);
	f->e = NULL;
}

int emb_setup(void **state)
{
	struct emb *f = malloc(sizeof(*f));

	assert_non_null(f);
	emb_init(f);
	emb_open(f);
	*state = f;
	return 0;
}

int emb_teardown(void **state)
{
	emb_deinit(*state);
	free(*state);
	return 0;
}

const char *emb_path(const struct emb *f, const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *out = paths[next++ % EV_ARRAY_LEN(paths)];

	(void)snprintf(out, sizeof(paths[0]), "%s/%s", f->dir, name);
	return out;
}

struct ev_uuid emb_id(char kind, unsigned n)
{
	struct ev_uuid u = { { (uint8_t)kind } };

	u.b[12] = (uint8_t)(n >> 24);
	u.b[13] = (uint8_t)(n >> 16);
	u.b[14] = (uint8_t)(n >> 8);
	u.b[15] = (uint8_t)n;
	return u;
}

struct identity emb_identity(unsigned n)
{
	/* Spread as a hash is, so that filters see what they see in life. */
	uint64_t a = (n + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t b = (a ^ (a >> 31)) * UINT64_C(0xbf58476d1ce4e5b9);
	struct identity id;

	memcpy(id.b, &a, sizeof(a));
	memcpy(id.b + sizeof(a), &b, sizeof(b));
	return id;
}

static ev_err commit_two(struct emb *f, const struct unit units[2])
{
	ev_err results[2];

	return f->s->ops->commit(f->s, units, 2, results);
}

void emb_add(struct emb *f, unsigned n)
{
	struct ev_uuid id = emb_id('o', n);
	int64_t now_ns = fixture_now(f);
	struct outlet o = outlet_new(&id, INT64_C(22000000), now_ns);
	struct session s = { .id = emb_id('s', n),
			     .version = o.version,
			     .has_customer = true,
			     .customer_id = emb_id('c', n),
			     .outlet_id = id,
			     .state = OUTLET_CHARGING,
			     .start_ns = now_ns,
			     .heard_ns = now_ns };
	struct outlet_info info = { .code = "A-1", .address = "1 Long Street", .created_ns = 1 };

	o.state = OUTLET_CHARGING;
	o.has_session = true;
	o.session_id = s.id;
	o.reported = true;
	assert_int_equal(
		commit_two(f, (struct unit[]){ { .kind = UNIT_OUTLET, .outlet = &o, .info = &info },
					       { .kind = UNIT_SESSION, .session = &s } }),
		EV_OK);
}

ev_err emb_report(struct emb *f, unsigned n, int64_t mwh)
{
	struct ev_uuid o_id = emb_id('o', n), s_id = emb_id('s', n);
	struct outlet o;
	struct session s;
	ev_err err = f->s->ops->load_outlet(f->s, &o_id, &o);

	if (err == EV_OK)
		err = f->s->ops->load_session(f->s, &s_id, &s);
	if (err != EV_OK)
		return err;
	uint64_t o_was = o.version++, s_was = s.version++;

	o.energy_mwh += mwh;
	o.total_energy_mwh += mwh;
	s.energy_mwh += mwh;
	s.n_sums = 1;
	s.sums[0].mwh += mwh;
	struct charging_event event = { .initiator = INITIATOR_OUTLET_BACKEND,
					.outlet_id = o_id,
					.state = OUTLET_CHARGING,
					.has_session = true,
					.session_id = s_id,
					.energy_mwh = s.energy_mwh };

	return commit_two(
		f, (struct unit[]){ { .kind = UNIT_OUTLET,
				      .expected = o_was,
				      .outlet = &o,
				      .events = &event,
				      .n_events = 1 },
				    { .kind = UNIT_SESSION, .expected = s_was, .session = &s } });
}

ev_err emb_report_alone(struct emb *f, unsigned n, int64_t mwh)
{
	ev_err err = f->s->ops->begin(f->s);

	if (err != EV_OK)
		return err;
	err = emb_report(f, n, mwh);
	ev_err end = f->s->ops->end(f->s);

	return err != EV_OK ? err : end;
}

void emb_add_some(struct emb *f, unsigned n)
{
	assert_int_equal(f->s->ops->begin(f->s), EV_OK);
	for (unsigned i = 0; i < n; i++)
		emb_add(f, i);
	assert_int_equal(f->s->ops->end(f->s), EV_OK);
}

int64_t emb_total(struct emb *f, unsigned n)
{
	struct ev_uuid id = emb_id('o', n);
	struct outlet o;

	assert_int_equal(f->s->ops->load_outlet(f->s, &id, &o), EV_OK);
	return o.total_energy_mwh;
}

int64_t emb_session_sum(struct emb *f, unsigned n)
{
	struct ev_uuid id = emb_id('s', n);
	struct session s;

	assert_int_equal(f->s->ops->load_session(f->s, &id, &s), EV_OK);
	return s.energy_mwh;
}

struct energy_books emb_books(struct emb *f)
{
	struct energy_books b;

	assert_int_equal(f->q->ops->books(f->q, &b), EV_OK);
	return b;
}

void emb_assert_balanced(struct emb *f)
{
	struct energy_books b = emb_books(f);

	assert_int_equal(b.outlets_total_mwh, b.sessions_mwh + b.outlets_unassigned_mwh);
	assert_int_equal(b.outlets_unassigned_mwh, b.items_open_mwh);
}

static struct rfid_tag tag_of(const char *text)
{
	struct rfid_tag t = { .n = (uint8_t)strlen(text) };

	memcpy(t.s, text, t.n);
	return t;
}

static void fill_lists(struct outlet *o)
{
	o->n_recent = OUTLET_RECENT_MAX;
	for (unsigned i = 0; i < o->n_recent; i++) {
		struct ended_session *r = &o->recent[i];

		r->id = emb_id('r', i);
		r->tag = tag_of("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
		r->since_ns = 100 + i;
		r->start_ns = 200 + i;
		r->end_ns = 300 + i;
		r->sum_mwh = 400 + i;
	}
	o->n_refused = OUTLET_REFUSED_MAX;
	for (unsigned i = 0; i < o->n_refused; i++)
		o->refused[i] = emb_id('f', i);
	o->n_ids = OUTLET_IDS_MAX;
	for (unsigned i = 0; i < o->n_ids; i++)
		o->ids[i] = emb_identity(i);
}

struct outlet emb_full_outlet(void)
{
	struct outlet o;

	memset(&o, 0, sizeof(o)); /* the padding too: rows are compared as bytes */
	o.id = emb_id('o', 1);
	o.version = 7;
	o.state = OUTLET_CHARGING;
	o.has_session = true;
	o.session_id = emb_id('s', 1);
	o.tag = tag_of("04a2b1c3d4e5f6");
	o.start_ns = INT64_C(1717250000500000000);
	o.has_end = true;
	o.end_ns = INT64_C(1717250060250000000);
	o.energy_mwh = 1234567;
	o.total_sessions = 9;
	o.total_energy_mwh = 5000000;
	o.unassigned_mwh = 250000;
	o.max_power_mw = 22000000;
	o.since_ns = INT64_MIN;
	o.request.status = REQUEST_ANSWERED;
	o.request.tag = tag_of("request");
	o.request.period_start_ns = -1;
	o.request.period_end_ns = INT64_MAX;
	o.request.at_ns = 3;
	o.request.event_id = emb_identity(99);
	o.reported = true;
	o.acknowledged = true;
	o.stop_at_ns = 4;
	o.stop_repeated = true;
	o.stray_stop_ns = 5;
	o.out_of_service = true;
	o.retired = true;
	o.foreign = true;
	fill_lists(&o);
	return o;
}

struct session emb_full_session(void)
{
	struct session s;

	memset(&s, 0, sizeof(s));
	s.id = emb_id('s', 1);
	s.version = 8;
	s.has_customer = true;
	s.customer_id = emb_id('c', 1);
	s.tag = tag_of("04a2b1c3d4e5f6");
	s.outlet_id = emb_id('o', 1);
	s.state = OUTLET_CHARGING;
	s.channel = CHANNEL_MOBILE_APP;
	s.start_ns = INT64_C(1717250000500000000);
	s.has_end = true;
	s.end_ns = INT64_C(1717250060250000000);
	s.energy_mwh = 1234567;
	s.n_sums = SESSION_SUMS_MAX;
	for (unsigned i = 0; i < s.n_sums; i++) {
		s.sums[i].start_ms = 10 + i;
		s.sums[i].mwh = 20 + i;
	}
	s.folded_mwh = 1;
	s.attached_mwh = 2;
	s.charging_seen = true;
	s.stop_wished = true;
	s.heard_ns = INT64_C(1717250061000000000);
	s.request_start_ns = 3;
	s.has_request_end = true;
	s.request_end_ns = 4;
	return s;
}

struct charging_event emb_full_event(void)
{
	struct charging_event e;

	memset(&e, 0, sizeof(e));
	e.initiator = INITIATOR_OUTLET_BACKEND;
	e.outlet_id = emb_id('o', 1);
	e.state = OUTLET_CHARGING_FINISHED;
	e.has_session = true;
	e.session_id = emb_id('s', 1);
	e.tag = tag_of("tag");
	e.period_start_ns = INT64_C(1717250000500000000);
	e.has_period_end = true;
	e.period_end_ns = INT64_C(1717250060250000000);
	e.energy_mwh = 1500000;
	e.has_event_id = true;
	e.event_id = emb_identity(1);
	e.has_item = true;
	e.item_id = emb_identity(2);
	e.item_mwh = 250000;
	return e;
}
