/*
 * rest.c — the end of a life: faults cease, all that was said arrives, all timers and sweeps are
 * over.  Then the books must balance; whoever still charges is finished, all unplug; each outlet
 * must serve a customer as if nothing had ever happened; and all processes give back what they
 * hold.
 */
#include "base/time.h"
#include "simaws/sim.h"

#define ROUND_NS (2 * EV_NS_PER_S)
#define QUIET_ROUNDS 25 /* more than a visibility or a lease takes */
#define QUIET_MAX 600

static bool is_busy(struct sim *s)
{
	uint64_t activity = books_activity(s);
	bool busy = !processes_are_idle(s) || activity != s->was_activity;

	s->was_activity = activity;
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		busy = busy || s->devices[i].n_outbox > 0 || s->devices[i].phase != PHASE_LIVE;
	return busy || cloud_n_messages(s->cloud, s->names.messages_in) > 0 ||
	       cloud_n_messages(s->cloud, s->names.commands_out) > 0;
}

static void go_round(struct sim *s, int64_t ns)
{
	s->step++;
	sim_advance(s, ns);
	sim_trace(s, "step %llu at rest, %lld ms", (unsigned long long)s->step,
		  (long long)(sim_mono(s) / EV_NS_PER_MS));
	gateway_step(s);
	processes_round(s);
	books_check(s);
}

static void until_quiet(struct sim *s, unsigned rounds)
{
	unsigned still = 0;

	for (unsigned i = 0; still < rounds; i++) {
		sim_must(s, i < QUIET_MAX, "it never comes to rest");
		go_round(s, ROUND_NS);
		still = is_busy(s) ? 0 : still + 1;
	}
}

/* Long enough for every timer and sweep there is. */
static void let_time_pass(struct sim *s)
{
	for (unsigned i = 0; i < 130; i++) {
		if (i % 10 == 0) {
			for (unsigned k = 0; k < SIM_DEVICES; k++)
				device_settle(s, &s->devices[k]);
		}
		go_round(s, 10 * EV_NS_PER_S);
	}
	until_quiet(s, QUIET_ROUNDS);
}

static void ask(struct sim *s, struct sim_task *t, unsigned role)
{
	sim_must(s, people_ask(s, t, role) != NULL, "nobody is there to be asked");
}

static void all_leave(struct sim *s)
{
	struct rfid_tag none = { .n = 0 };

	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		if (s->before[i].outlet.state == OUTLET_CHARGING)
			ask(s, people_outlet_job(s, JOB_OUTLET_FINISH, i), AWS_ROLE_OUTLET);
	}
	until_quiet(s, 4);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		device_settle(s, d);
		d->plugged = false;
		d->charging = false;
		d->requesting = false;
		d->told_to_start = false;
		device_say(s, d, OUTLET_AVAILABLE, &none, 0);
	}
	until_quiet(s, QUIET_ROUNDS);
}

/* --- and it still works --- */

static void open_all(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		ask(s, people_outlet_job(s, JOB_OUTLET_SERVICE, i), AWS_ROLE_OUTLET);
	for (unsigned i = 0; i < SIM_CUSTOMERS; i++) {
		struct sim_task *t = task_new(s, JOB_CUSTOMER_BLOCK, sizeof(struct customer_job));

		((struct customer_job *)t->job)->customer_id = s->customers[i].id;
		ask(s, t, AWS_ROLE_APP);
	}
	until_quiet(s, 4);
}

static void serve(struct sim *s)
{
	struct rfid_tag none = { .n = 0 };
	int64_t before_mwh[SIM_DEVICES];

	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		before_mwh[i] = s->before[i].outlet.total_energy_mwh;
		s->devices[i].plugged = true;
		s->devices[i].requesting = true;
		device_say(s, &s->devices[i], OUTLET_CABLE_PLUGGED, &none, 0);
	}
	until_quiet(s, 4);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		device_say(s, &s->devices[i], OUTLET_DEVICE_REQUESTS_CHARGING, &s->customers[i].tag,
			   0);
	for (unsigned n = 0; n < 25; n++) {
		go_round(s, EV_NS_PER_S);
		for (unsigned i = 0; i < SIM_DEVICES; i++)
			s->devices[i].charging = s->devices[i].charging ||
						 s->devices[i].told_to_start;
	}
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		sim_must(s, d->told_to_start, "outlet %u does not start any more", i);
		d->told_to_start = false;
		device_say(s, d, OUTLET_CHARGING, &s->customers[i].tag, 1000000);
		d->charging = false;
		device_say(s, d, OUTLET_DEVICE_REQUESTS_STOP, &s->customers[i].tag, 234567);
	}
	until_quiet(s, QUIET_ROUNDS);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct session x = { .energy_mwh = 0 };

		sim_must(s,
			 books_read_newest(s, i, &x) && x.energy_mwh == 1234567 &&
				 x.state == OUTLET_CHARGING_FINISHED,
			 "outlet %u: a session of %lld mWh that is %s", i, (long long)x.energy_mwh,
			 outlet_state_text(x.state));
		sim_must(s, s->before[i].outlet.total_energy_mwh == before_mwh[i] + 1234567,
			 "outlet %u: the total missed a session", i);
		s->devices[i].plugged = false;
		device_say(s, &s->devices[i], OUTLET_AVAILABLE, &none, 0);
	}
	until_quiet(s, QUIET_ROUNDS);
}

void sim_rest(struct sim *s)
{
	s->calm = true;
	cloud_set_faults(s->cloud, false);
	cloud_set_delay(s->cloud, 0);
	cloud_set_index_lag(s->cloud, 0);
	sim_trace(s, "rest");
	if (sim_now(s) < s->latest_ns)
		sim_advance(s, s->latest_ns - sim_now(s) + EV_NS_PER_S);
	until_quiet(s, QUIET_ROUNDS);
	let_time_pass(s);
	books_check_rest(s);
	books_check_leases(s);
	all_leave(s);
	books_check_empty(s);
	open_all(s);
	serve(s);
	books_check_empty(s);
	processes_drain(s);
	books_check_drained(s);
}
