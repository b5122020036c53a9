/*
 * rest.c — the end of a life: faults cease, all that was said arrives, all timers run out.
 *
 * Then the books must balance and nothing may be in limbo; whoever still charges is finished by an
 * operator, all unplug; and then each outlet must serve a customer as if nothing had ever happened.
 */
#include "base/time.h"
#include "sim.h"

#define ROUND_NS EV_NS_PER_S
#define QUIET_MAX 3000 /* rounds in which everybody must have been answered */

/* Polls come always, and with them for ever what a device does not acknowledge. */
static bool matters(const struct sim *s, const struct sim_packet *k)
{
	const struct sim_device *d = &s->devices[k->device];

	if (k->kind == PACKET_COMMAND)
		return k->command.version > d->last_version ||
		       (k->command.version == d->last_version && k->command.index > d->last_index);
	return k->kind == PACKET_MESSAGE || k->kind == PACKET_ANSWER;
}

static bool is_busy(struct sim *s)
{
	bool busy = false;

	for (size_t i = 0; i < s->n_processes; i++)
		busy = busy || !s->processes[i].up || s->processes[i].n_queue > 0;
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		const struct sim_device *d = &s->devices[i];

		busy = busy || d->n_outbox > 0 ||
		       (d->habit == HABIT_SOCKET && d->phase != PHASE_LIVE);
	}
	for (size_t i = 0; i < s->n_packets; i++)
		busy = busy || matters(s, &s->packets[i]);
	return busy;
}

/* One round of everything; true while something is on its way. */
static bool go_round(struct sim *s, int64_t ns)
{
	bool on_its_way = false;

	s->step++;
	sim_advance(s, ns);
	sim_trace(s, "step %llu at rest, %lld ms", (unsigned long long)s->step,
		  (long long)(sim_mono(s) / EV_NS_PER_MS));
	network_step(s);
	for (size_t i = 0; i < s->n_processes; i++) {
		sim_start_again(&s->processes[i]);
		sim_work(&s->processes[i], SIM_BATCH);
	}
	if (s->mode == SIM_SPLIT)
		on_its_way = streams_drain(s);
	sim_tick(sim_outlet_process(s));
	books_check(s);
	return is_busy(s) || on_its_way;
}

static void until_quiet(struct sim *s)
{
	unsigned still = 0;

	for (unsigned i = 0; still < 8; i++) {
		sim_must(s, i < QUIET_MAX, "it never comes to rest");
		still = go_round(s, ROUND_NS) ? 0 : still + 1;
	}
}

/* Long enough for every timer there is. */
static void let_time_pass(struct sim *s)
{
	for (unsigned i = 0; i < 150; i++) {
		if (i % 6 == 0) {
			for (unsigned k = 0; k < SIM_DEVICES; k++)
				device_settle(s, &s->devices[k]);
		}
		go_round(s, 5 * EV_NS_PER_S);
	}
	sim_tick(sim_outlet_process(s));
	sim_tick(sim_outlet_process(s));
	books_check_tick(s);
	until_quiet(s);
}

static void all_leave(struct sim *s)
{
	struct rfid_tag none = { .n = 0 };

	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		if (s->before[i].state == OUTLET_CHARGING)
			people_finish(s, &s->devices[i]);
	}
	until_quiet(s);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		device_settle(s, d);
		d->plugged = false;
		d->charging = false;
		d->requesting = false;
		d->told_to_start = false;
		device_say(s, d, OUTLET_AVAILABLE, &none, 0);
	}
	until_quiet(s);
}

/* --- and it still works --- */

static void into_service(struct sim *s, const struct sim_device *d)
{
	struct sim_task *t = sim_task_new(JOB_OUTLET_SERVICE, sizeof(struct outlet_job));

	((struct outlet_job *)t->job)->outlet_id = d->outlet_id;
	sim_must(s, sim_submit(sim_outlet_process(s), t), "the process does not listen");
	until_quiet(s);
}

static void unblock(struct sim *s, const struct sim_customer *c)
{
	struct sim_task *t = sim_task_new(JOB_CUSTOMER_BLOCK, sizeof(struct customer_job));

	((struct customer_job *)t->job)->customer_id = c->id;
	sim_must(s, sim_submit(sim_app_process(s), t), "the process does not listen");
	until_quiet(s);
}

struct found {
	const struct ev_uuid *outlet_id;
	struct session newest;
};

static bool find_newest(void *user, const struct session *x)
{
	struct found *f = user;

	if (ev_uuid_eq(&x->outlet_id, f->outlet_id) &&
	    (f->newest.version == 0 || x->start_ns > f->newest.start_ns))
		f->newest = *x;
	return true;
}

static void wait_for_start(struct sim *s, unsigned i)
{
	for (unsigned n = 0; !s->devices[i].charging; n++) {
		sim_must(s, n < 60, "outlet %u does not start any more", i);
		go_round(s, ROUND_NS);
		device_settle(s, &s->devices[i]);
	}
}

static void charge_once(struct sim *s, unsigned i, const struct sim_customer *c)
{
	struct sim_device *d = &s->devices[i];
	struct rfid_tag none = { .n = 0 };
	struct found f = { .outlet_id = &d->outlet_id };
	int64_t before_mwh = s->before[i].total_energy_mwh;

	d->plugged = true;
	d->requesting = true;
	device_say(s, d, OUTLET_CABLE_PLUGGED, &none, 0);
	until_quiet(s);
	device_say(s, d, OUTLET_DEVICE_REQUESTS_CHARGING, &c->tag, 0);
	wait_for_start(s, i);
	device_say(s, d, OUTLET_CHARGING, &c->tag, 1000000);
	until_quiet(s);
	d->charging = false;
	device_say(s, d, OUTLET_DEVICE_REQUESTS_STOP, &c->tag, 234567);
	until_quiet(s);
	memory_visit_sessions(sim_app_process(s)->memory, find_newest, &f);
	sim_must(s, f.newest.energy_mwh == 1234567 && f.newest.state == OUTLET_CHARGING_FINISHED,
		 "outlet %u: a session of %lld mWh that is %s", i, (long long)f.newest.energy_mwh,
		 outlet_state_text(f.newest.state));
	sim_must(s, s->before[i].total_energy_mwh == before_mwh + 1234567,
		 "outlet %u: the total missed a session", i);
	d->plugged = false;
	device_say(s, d, OUTLET_AVAILABLE, &none, 0);
	until_quiet(s);
}

static void serve_everybody(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		const struct sim_customer *c = people_welcome(s);

		if (s->before[i].version == 0 || s->before[i].retired)
			continue;
		into_service(s, &s->devices[i]);
		if (c == NULL && s->customers[0].exists)
			unblock(s, &s->customers[0]);
		c = people_welcome(s);
		if (c != NULL)
			charge_once(s, i, c);
	}
	books_check_empty(s);
}

void sim_rest(struct sim *s)
{
	s->calm = true;
	sim_trace(s, "rest");
	if (sim_now(s) < s->latest_ns)
		sim_advance(s, s->latest_ns - sim_now(s) + EV_NS_PER_S);
	/* Whoever missed a command gets what still stands. */
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		network_disconnect(s, &s->devices[i]);
	until_quiet(s);
	let_time_pass(s);
	books_check_rest(s);
	all_leave(s);
	books_check_empty(s);
	serve_everybody(s);
}
