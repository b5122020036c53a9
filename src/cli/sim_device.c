#include "cli/sim_device.h"

#include <assert.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/time.h"

/* One watt for 3.6e9 nanoseconds is one milliwatt-hour. */
#define WATT_NS_PER_MWH INT64_C(3600000000)
#define RAMP_NS (10 * EV_NS_PER_S) /* from nothing to the car's power */
#define METER_STEP_NS EV_NS_PER_S  /* the curve is straight within one */
#define FULL_PERMILLE 200          /* of the power is left when the car is nearly full */
#define SPARE 2                    /* places that a step may need */

const char *sim_state_text(enum sim_state s)
{
	static const char *const texts[SIM_STATE_COUNT] = {
		[SIM_IDLE] = "idle",
		[SIM_PLUGGED] = "plugged",
		[SIM_REQUESTING] = "requesting",
		[SIM_STARTING] = "starting",
		[SIM_CHARGING] = "charging",
		[SIM_STOPPING] = "stopping",
		[SIM_FINISHED] = "finished",
	};

	return texts[s];
}

struct sim_habits sim_habits_usual(void)
{
	return (struct sim_habits){
		.idle_min_ns = 10 * EV_NS_PER_S,
		.idle_max_ns = 5 * EV_NS_PER_MIN,
		.think_min_ns = 2 * EV_NS_PER_S,
		.think_max_ns = 20 * EV_NS_PER_S,
		.session_min_ns = EV_NS_PER_MIN,
		.session_max_ns = 15 * EV_NS_PER_MIN,
		.report_every_ns = 10 * EV_NS_PER_S,
		.patience_ns = 60 * EV_NS_PER_S,
		.start_by_app = 25,
		.stop_by_app = 60, /* of those who started so */
		.stop_by_tag = 40,
		.unplug_charging = 15,
		.strangers = 5,
		.pauses = 20,
		.again = 15,
	};
}

static int64_t between(struct sim_device *d, int64_t min_ns, int64_t max_ns)
{
	return min_ns + (int64_t)ev_rng_below(&d->rng.base, (uint64_t)(max_ns - min_ns) + 1);
}

static bool chance(struct sim_device *d, unsigned percent)
{
	return ev_rng_below(&d->rng.base, 100) < percent;
}

static void enter(struct sim_device *d, enum sim_state state, int64_t due_ns)
{
	d->state = state;
	d->due_ns = due_ns;
}

static void enter_idle(struct sim_device *d, int64_t now_ns)
{
	int64_t stay_ns = between(d, d->habits.idle_min_ns, d->habits.idle_max_ns);

	enter(d, SIM_IDLE, d->winding_up ? INT64_MAX : now_ns + stay_ns);
}

static int64_t thought(struct sim_device *d, int64_t now_ns)
{
	return now_ns + between(d, d->habits.think_min_ns, d->habits.think_max_ns);
}

void sim_device_init(struct sim_device *d, const struct sim_device_options *o, int64_t now_ns)
{
	*d = (struct sim_device){ .habits = o->habits,
				  .outlet_id = o->outlet_id,
				  .run = o->run,
				  .index = o->index,
				  .own_tag = o->tag,
				  .max_power_w = o->max_power_w };
	ev_rng_seeded_init(&d->rng, o->seed);
	enter(d, SIM_IDLE, now_ns + between(d, 0, o->habits.idle_max_ns));
}

/* --- Messages --- */

static void write_message_id(struct sim_device *d, struct message_id *out)
{
	struct ev_buf b = ev_buf_over(out->s, sizeof(out->s));

	ev_buf_z(&b, "sim-");
	ev_buf_u64(&b, d->run);
	ev_buf_char(&b, '-');
	ev_buf_u64(&b, d->index);
	ev_buf_char(&b, '-');
	ev_buf_u64(&b, d->next_message++);
	assert(!b.overflow);
	out->n = (uint8_t)b.len;
}

static bool has_room(const struct sim_device *d)
{
	return d->n + SPARE <= SIM_OUTBOX;
}

/* Says something about the time since from_ns; there is room. */
static void say(struct sim_device *d, enum outlet_state change, int64_t from_ns, int64_t now_ns,
		int64_t energy_mwh)
{
	assert(d->n < SIM_OUTBOX);
	struct sim_outgoing *out = &d->outbox[(d->first + d->n++) % SIM_OUTBOX];

	*out = (struct sim_outgoing){ .m = { .outlet_id = d->outlet_id,
					     .tag = d->tag,
					     .period_start_ns = from_ns,
					     .period_end_ns = now_ns,
					     .change = change,
					     .energy_mwh = energy_mwh } };
	write_message_id(d, &out->m.message_id);
	d->stats.messages++;
}

/* The same with all energy that was not reported before. */
static void say_with_energy(struct sim_device *d, enum outlet_state change, int64_t now_ns)
{
	say(d, change, d->period_start_ns, now_ns, d->unreported_mwh);
	d->unreported_mwh = 0;
	d->period_start_ns = now_ns;
	d->report_due_ns = now_ns + d->habits.report_every_ns;
}

bool sim_device_next(struct sim_device *d, struct device_message *out)
{
	if (d->n_sent >= d->n || d->n_sent >= SIM_WINDOW)
		return false;
	struct sim_outgoing *next = &d->outbox[(d->first + d->n_sent++) % SIM_OUTBOX];

	d->stats.resent += next->was_sent;
	next->was_sent = true;
	*out = next->m;
	return true;
}

void sim_device_disconnected(struct sim_device *d)
{
	d->n_sent = 0;
}

static bool id_eq(const struct message_id *a, const struct message_id *b)
{
	return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

static void count_answer(struct sim_device *d, const struct device_message *m, enum verdict v)
{
	d->stats.answers++;
	if (v == VERDICT_REJECTED) {
		d->stats.rejected++;
		d->stats.rejected_mwh += m->energy_mwh;
	} else {
		d->stats.acknowledged_mwh += m->energy_mwh;
	}
	if (m->change == OUTLET_DEVICE_REQUESTS_CHARGING && d->state == SIM_REQUESTING &&
	    (v == VERDICT_REJECTED || v == VERDICT_REFUSED))
		d->told_no = true;
}

void sim_device_answered(struct sim_device *d, const struct message_id *id, enum verdict v)
{
	/* Answers come in the order sent, so the first is the one that waits longest. */
	struct device_message *m = &d->outbox[d->first].m;

	if (d->n_sent == 0 || !id_eq(&m->message_id, id))
		return;
	count_answer(d, m, v);
	d->first = (d->first + 1) % SIM_OUTBOX;
	d->n--;
	d->n_sent--;
}

/* --- Commands and the app --- */

static bool is_newer(const struct message_id *a, const struct message_id *b)
{
	size_t shared = a->n < b->n ? a->n : b->n;
	int order = memcmp(a->s, b->s, shared);

	return order != 0 ? order > 0 : a->n > b->n;
}

void sim_device_command(struct sim_device *d, const struct message_id *id, enum outlet_state change,
			const struct rfid_tag *tag)
{
	if (!is_newer(id, &d->last_command))
		return;
	d->last_command = *id;
	d->stats.commands++;
	d->told_to_start = change == OUTLET_CHARGING;
	d->told_to_stop = change == OUTLET_APP_REQUESTS_STOP;
	d->told_no = change == OUTLET_APP_DENIES_CHARGING ||
		     change == OUTLET_DEVICE_DENIES_CHARGING;
	d->told_tag = *tag;
}

enum sim_wish sim_device_wish(struct sim_device *d)
{
	enum sim_wish wish = d->wish;

	d->wish = SIM_WISH_NONE;
	return wish;
}

static void give_up(struct sim_device *d, int64_t now_ns)
{
	d->stats.denied++;
	d->may_go_again = false;
	enter(d, SIM_FINISHED, thought(d, now_ns));
}

void sim_device_app_failed(struct sim_device *d, int64_t now_ns)
{
	if (d->state == SIM_STARTING)
		give_up(d, now_ns);
	else if (d->state == SIM_STOPPING)
		d->due_ns = now_ns; /* the visitor pulls the cable instead */
}

/* --- Energy --- */

/* What the car takes at that time, in W: a ramp, then full power, less and less towards the end. */
static int64_t power_at(const struct sim_device *d, int64_t at_ns)
{
	int64_t since_ns = at_ns - d->begun_ns;
	int64_t planned_ns = d->end_ns - d->begun_ns;
	int64_t taper_ns = planned_ns / 5;
	int64_t left_ns = d->end_ns - at_ns;

	if (at_ns >= d->pause_from_ns && at_ns < d->pause_until_ns)
		return 0;
	if (since_ns < RAMP_NS)
		return d->car_power_w * (since_ns / EV_NS_PER_MS) / (RAMP_NS / EV_NS_PER_MS);
	if (left_ns <= 0)
		return d->car_power_w * FULL_PERMILLE / 1000;
	if (left_ns < taper_ns) {
		int64_t permille = left_ns / EV_NS_PER_MS * (1000 - FULL_PERMILLE) /
				   (taper_ns / EV_NS_PER_MS + 1);

		return d->car_power_w * (FULL_PERMILLE + permille) / 1000;
	}
	return d->car_power_w;
}

static void meter(struct sim_device *d, int64_t now_ns)
{
	while (d->metered_ns < now_ns) {
		int64_t left_ns = now_ns - d->metered_ns;
		int64_t step_ns = left_ns < METER_STEP_NS ? left_ns : METER_STEP_NS;

		d->watt_ns += power_at(d, d->metered_ns + step_ns / 2) * step_ns;
		d->metered_ns += step_ns;
		d->unreported_mwh += d->watt_ns / WATT_NS_PER_MWH;
		d->stats.measured_mwh += d->watt_ns / WATT_NS_PER_MWH;
		d->watt_ns %= WATT_NS_PER_MWH;
	}
}

/* --- The states --- */

static void invite_visitor(struct sim_device *d, int64_t now_ns)
{
	d->tag = (struct rfid_tag){ .n = 0 };
	say(d, OUTLET_CABLE_PLUGGED, now_ns, now_ns, 0);
	d->may_go_again = true;
	enter(d, SIM_PLUGGED, thought(d, now_ns));
}

static void make_stranger(struct sim_device *d)
{
	struct ev_uuid id = ev_rng_uuid(&d->rng.base);
	char text[EV_UUID_TEXT + 1];
	ev_err e;

	ev_uuid_text(&id, text);
	e = rfid_tag_set(&d->tag, ev_str_from(text));
	assert(e == EV_OK && "a UUID's text is a valid tag");
	(void)e; /* used by the assertion alone */
}

static void ask_to_charge(struct sim_device *d, int64_t now_ns)
{
	d->told_to_start = d->told_to_stop = d->told_no = false; /* meant for somebody else */
	d->tag = d->own_tag;
	d->by_app = chance(d, d->habits.start_by_app);
	if (d->by_app) {
		d->wish = SIM_WISH_START;
		enter(d, SIM_STARTING, now_ns + d->habits.patience_ns);
		return;
	}
	if (chance(d, d->habits.strangers))
		make_stranger(d);
	say(d, OUTLET_DEVICE_REQUESTS_CHARGING, now_ns, now_ns, 0);
	enter(d, SIM_REQUESTING, now_ns + d->habits.patience_ns);
}

static enum sim_end choose_end(struct sim_device *d)
{
	if (d->by_app && chance(d, d->habits.stop_by_app))
		return SIM_END_APP;
	if (chance(d, d->habits.unplug_charging))
		return SIM_END_UNPLUG;
	return chance(d, d->habits.stop_by_tag) ? SIM_END_TAG : SIM_END_FULL;
}

static void begin_session(struct sim_device *d, int64_t now_ns)
{
	int64_t stay_ns = between(d, d->habits.session_min_ns, d->habits.session_max_ns);

	d->tag = d->told_tag;
	d->end = choose_end(d);
	d->begun_ns = d->metered_ns = d->period_start_ns = now_ns;
	d->end_ns = now_ns + stay_ns;
	d->car_power_w = d->max_power_w * between(d, 50, 100) / 100;
	d->pause_from_ns = d->pause_until_ns = INT64_MAX;
	if (chance(d, d->habits.pauses)) {
		d->pause_from_ns = now_ns + stay_ns / 3;
		d->pause_until_ns = now_ns + stay_ns / 2;
	}
	d->watt_ns = 0;
	d->report_due_ns = now_ns + d->habits.report_every_ns;
	d->stats.sessions++;
	enter(d, SIM_CHARGING, d->winding_up ? now_ns : d->end_ns);
}

static void finish_session(struct sim_device *d, enum outlet_state change, int64_t now_ns)
{
	say_with_energy(d, change, now_ns);
	enter(d, SIM_FINISHED, thought(d, now_ns));
}

static void unplug(struct sim_device *d, int64_t now_ns)
{
	d->tag = (struct rfid_tag){ .n = 0 };
	say(d, OUTLET_AVAILABLE, now_ns, now_ns, 0);
	enter_idle(d, now_ns);
}

static void unplug_charging(struct sim_device *d, int64_t now_ns)
{
	say_with_energy(d, OUTLET_AVAILABLE, now_ns);
	enter_idle(d, now_ns);
}

static void end_session(struct sim_device *d, int64_t now_ns)
{
	if (d->winding_up || d->state == SIM_STOPPING) {
		unplug_charging(d, now_ns);
		return;
	}
	switch (d->end) {
	case SIM_END_TAG:
		finish_session(d, OUTLET_DEVICE_REQUESTS_STOP, now_ns);
		break;
	case SIM_END_FULL:
		finish_session(d, OUTLET_CHARGING_FINISHED, now_ns);
		break;
	case SIM_END_UNPLUG:
		unplug_charging(d, now_ns);
		break;
	case SIM_END_APP:
		d->wish = SIM_WISH_STOP;
		enter(d, SIM_STOPPING, now_ns + d->habits.patience_ns);
		break;
	}
}

static void step_charging(struct sim_device *d, int64_t now_ns)
{
	meter(d, now_ns);
	if (d->told_to_stop) {
		d->told_to_stop = false;
		finish_session(d, OUTLET_CHARGING_FINISHED, now_ns);
	} else if (now_ns >= d->due_ns) {
		end_session(d, now_ns);
	} else if (now_ns >= d->report_due_ns) {
		say_with_energy(d, OUTLET_CHARGING, now_ns);
	}
}

static void step_waiting(struct sim_device *d, int64_t now_ns)
{
	if (d->told_to_start) {
		d->told_to_start = false;
		begin_session(d, now_ns);
	} else if (d->told_no || d->told_to_stop) {
		d->told_no = d->told_to_stop = false;
		give_up(d, now_ns);
	} else if (now_ns >= d->due_ns) {
		d->stats.denied++;
		unplug(d, now_ns);
	}
}

/* A start that reaches nobody: the visitor has gone, or has charged already. */
static void deny_start(struct sim_device *d, int64_t now_ns)
{
	struct rfid_tag tag = d->tag;

	d->told_to_start = false;
	d->tag = d->told_tag;
	say(d, OUTLET_DEVICE_DENIES_CHARGING, now_ns, now_ns, 0);
	d->tag = tag;
}

static void step_finished(struct sim_device *d, int64_t now_ns)
{
	if (now_ns < d->due_ns)
		return;
	if (d->may_go_again && !d->winding_up && chance(d, d->habits.again))
		invite_visitor(d, now_ns); /* CablePlugged leads out of ChargingFinished */
	else
		unplug(d, now_ns);
}

void sim_device_step(struct sim_device *d, int64_t now_ns)
{
	if (!has_room(d))
		return;
	switch (d->state) {
	case SIM_IDLE:
		if (now_ns >= d->due_ns)
			invite_visitor(d, now_ns);
		break;
	case SIM_PLUGGED:
		if (now_ns >= d->due_ns && !d->winding_up)
			ask_to_charge(d, now_ns);
		else if (now_ns >= d->due_ns)
			unplug(d, now_ns);
		break;
	case SIM_REQUESTING:
	case SIM_STARTING:
		step_waiting(d, now_ns);
		break;
	case SIM_CHARGING:
	case SIM_STOPPING:
		d->told_to_start = false; /* again the command that is being followed */
		step_charging(d, now_ns);
		break;
	case SIM_FINISHED:
		step_finished(d, now_ns);
		break;
	case SIM_STATE_COUNT:
		break;
	}
	if (d->state == SIM_IDLE || d->state == SIM_PLUGGED || d->state == SIM_FINISHED)
		d->told_to_stop = d->told_no = false; /* it has happened already */
	if (d->told_to_start)
		deny_start(d, now_ns);
}

int64_t sim_device_due(const struct sim_device *d)
{
	bool charging = d->state == SIM_CHARGING || d->state == SIM_STOPPING;

	if (d->told_to_start || d->told_to_stop || d->told_no)
		return 0;
	return charging && d->report_due_ns < d->due_ns ? d->report_due_ns : d->due_ns;
}

void sim_device_wind_up(struct sim_device *d, int64_t now_ns)
{
	d->winding_up = true;
	d->due_ns = d->state == SIM_IDLE ? INT64_MAX : now_ns;
}

bool sim_device_is_quiet(const struct sim_device *d)
{
	return d->state == SIM_IDLE && d->n == 0;
}
