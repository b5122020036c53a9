/*
 * devices.c — what stands at the roadside.
 *
 * Each device has a cable that is in or not, and charges or does not, whatever the backends think.
 * What it says it keeps and says again until it is answered.  Some acknowledge no command, some
 * commands are ignored, and in some lives devices say what makes no sense at all.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "base/time.h"
#include "codec/device_json.h"
#include "sim.h"

#define PATIENCE_NS (2 * EV_NS_PER_MIN)

void devices_open(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		*d = (struct sim_device){ .outlet_id = ev_rng_uuid(&s->ids.base) };
		d->outlet_id.b[0] = (uint8_t)i; /* to be found in a trace */
		d->habit = sim_chance(s, 60) ? HABIT_SOCKET : HABIT_POST;
		d->acks = sim_chance(s, 85);
		d->waits = sim_chance(s, 50);
	}
}

/* --- saying --- */

static struct identity identity_of(const struct sim_message *m)
{
	char body[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(body, sizeof(body));
	struct device_wire wire = { .m = m->m, .power_kwh = num_kwh_from_mwh(m->wire_mwh) };
	struct ev_str parts[2] = { { m->m.message_id.s, m->m.message_id.n }, { NULL, 0 } };
	struct identity id;

	device_canonical(&wire, &b);
	assert(!b.overflow);
	parts[1] = ev_buf_str(&b);
	ev_hash128(parts, 2, id.b);
	return id;
}

static void set_message_id(struct sim *s, struct message_id *id)
{
	struct ev_buf b = ev_buf_over(id->s, sizeof(id->s));

	ev_buf_z(&b, "m-");
	ev_buf_u64(&b, s->n_messages + 1);
	id->n = (uint8_t)b.len;
}

static void say(struct sim *s, struct sim_device *d, struct sim_message *m)
{
	size_t place;

	assert(d->n_outbox < SIM_OUTBOX);
	set_message_id(s, &m->m.message_id);
	m->device = (unsigned)(d - s->devices);
	m->id = identity_of(m);
	place = books_message(s, m);
	d->retry_ns[d->n_outbox] = 0;
	d->outbox[d->n_outbox++] = place;
	s->reached->messages++;
	sim_trace(s, "  device %u says m-%zu %s '%.*s' %lld mWh%s", m->device, place + 1,
		  outlet_state_text(m->m.change), (int)m->m.tag.n, m->m.tag.s,
		  (long long)m->wire_mwh, m->bad ? ", badly" : "");
}

static struct sim_message plain(struct sim *s, const struct sim_device *d, enum outlet_state change,
				const struct rfid_tag *tag, int64_t mwh)
{
	int64_t now = sim_now(s) / EV_NS_PER_MS * EV_NS_PER_MS;
	struct sim_message m = { .wire_mwh = mwh };

	m.m = (struct device_message){
		.outlet_id = d->outlet_id,
		.tag = *tag,
		.period_start_ns = now - EV_NS_PER_MIN,
		.period_end_ns = now,
		.change = change,
		.energy_mwh = mwh,
	};
	return m;
}

void device_say(struct sim *s, struct sim_device *d, enum outlet_state change,
		const struct rfid_tag *tag, int64_t mwh)
{
	struct sim_message m = plain(s, d, change, tag, mwh);

	say(s, d, &m);
}

/* What must end as a dead letter. */
static void say_badly(struct sim *s, struct sim_device *d)
{
	struct rfid_tag none = { .n = 0 };
	struct sim_message m = plain(s, d, OUTLET_CHARGING, &d->tag, 1000);

	m.bad = true;
	switch (sim_below(s, 5)) {
	case 0:
		m.garbage = true;
		break;
	case 1:
		m.wire_mwh = sim_chance(s, 50) ? -1 : MESSAGE_ENERGY_MAX_MWH + 1;
		m.m.energy_mwh = 0;
		break;
	case 2:
		m.m.change = OUTLET_DEVICE_REQUESTS_CHARGING;
		m.m.tag = none;
		break;
	case 3:
		m.m.change = OUTLET_APP_REQUESTS_STOP;
		break;
	default:
		m.m.outlet_id = s->devices[(size_t)(d - s->devices + 1) % SIM_DEVICES].outlet_id;
		break;
	}
	say(s, d, &m);
}

/* As net/gateway_message.c makes one. */
struct device_job *device_job_of(struct sim *s, size_t message)
{
	const struct sim_message *m = &s->messages[message];
	struct device_wire wire = { .m = m->m, .power_kwh = num_kwh_from_mwh(m->wire_mwh) };
	struct device_job *j = calloc(1, sizeof(*j) + DEVICE_JSON_MAX);
	struct ev_buf b;

	assert(j != NULL);
	b = ev_buf_over(j->body, DEVICE_JSON_MAX);
	device_wire_encode(&wire, &b);
	assert(!b.overflow);
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->outlet_id = s->devices[m->device].outlet_id;
	j->body_n = m->garbage ? b.len / 2 : b.len;
	j->id = m->id;
	j->message = m->m;
	j->why = REASON_UNDECODABLE;
	if (m->garbage)
		return j;
	j->why = REASON_WRONG_OUTLET;
	if (!ev_uuid_eq(&m->m.outlet_id, &j->outlet_id))
		return j;
	j->decoded = device_wire_check(&wire, &j->message, &j->why) == EV_OK;
	return j;
}

void device_answered(struct sim *s, struct sim_device *d, size_t message, enum verdict v)
{
	for (unsigned i = 0; i < d->n_outbox; i++) {
		if (d->outbox[i] != message)
			continue;
		sim_trace(s, "  device %td hears m-%zu %s", d - s->devices, message + 1,
			  verdict_text(v));
		d->n_outbox--;
		d->n_sent -= d->n_sent > i;
		memmove(&d->outbox[i], &d->outbox[i + 1], (d->n_outbox - i) * sizeof(d->outbox[0]));
		memmove(&d->retry_ns[i], &d->retry_ns[i + 1],
			(d->n_outbox - i) * sizeof(d->retry_ns[0]));
		break;
	}
	if (v != VERDICT_REFUSED && v != VERDICT_REJECTED)
		return;
	if (s->messages[message].m.change == OUTLET_DEVICE_REQUESTS_CHARGING)
		d->requesting = false;
	else
		d->wild = true; /* a stop with somebody else's tag, which had stopped it already */
}

/* --- visitors --- */

static int64_t draw_energy(struct sim *s)
{
	return sim_chance(s, 15) ? 0 : 1 + (int64_t)sim_below(s, 3000000);
}

static struct rfid_tag draw_tag(struct sim *s)
{
	static const char *const strangers[] = { "stranger", "nobody" };
	const struct sim_customer *c = &s->customers[sim_below(s, SIM_CUSTOMERS)];
	struct rfid_tag t = c->tag;

	if (sim_chance(s, 10))
		return sim_tag(strangers[sim_below(s, EV_ARRAY_LEN(strangers))]);
	/* As it is printed on the card. */
	if (t.n > 0 && sim_chance(s, 30))
		t.s[0] = t.s[0] >= 'a' && t.s[0] <= 'z' ? (char)(t.s[0] - 32) : t.s[0];
	return t;
}

static struct rfid_tag none(void)
{
	return (struct rfid_tag){ .n = 0 };
}

/* The tag that a report carries: the session's, none, or one that is not its own. */
static struct rfid_tag report_tag(struct sim *s, const struct sim_device *d)
{
	if (sim_chance(s, 30))
		return none();
	return s->wild && sim_chance(s, 8) ? draw_tag(s) : d->tag;
}

static void plug_in(struct sim *s, struct sim_device *d)
{
	struct rfid_tag tag = none();

	d->plugged = true;
	d->charging = false;
	d->requesting = false;
	device_say(s, d, OUTLET_CABLE_PLUGGED, &tag, 0);
}

static void unplug(struct sim *s, struct sim_device *d)
{
	struct rfid_tag tag = sim_chance(s, 50) ? none() : d->tag;
	int64_t mwh = d->charging ? draw_energy(s) : 0;

	d->plugged = false;
	d->charging = false;
	d->requesting = false;
	d->told_to_start = false;
	device_say(s, d, OUTLET_AVAILABLE, &tag, mwh);
	d->tag = none();
}

static void present(struct sim *s, struct sim_device *d)
{
	d->tag = d->requesting && sim_chance(s, 60) ? d->tag : draw_tag(s);
	d->requesting = true;
	d->asked_ns = sim_mono(s);
	if (d->tag.n > 0)
		device_say(s, d, OUTLET_DEVICE_REQUESTS_CHARGING, &d->tag,
			   s->wild && sim_chance(s, 10) ? draw_energy(s) : 0);
}

static void stop(struct sim *s, struct sim_device *d)
{
	struct rfid_tag tag = report_tag(s, d);

	d->charging = false;
	device_say(s, d, sim_chance(s, 50) ? OUTLET_DEVICE_REQUESTS_STOP : OUTLET_CHARGING_FINISHED,
		   &tag, draw_energy(s));
}

static void report(struct sim *s, struct sim_device *d)
{
	struct rfid_tag tag = report_tag(s, d);

	device_say(s, d, OUTLET_CHARGING, &tag, draw_energy(s));
}

/* What the state of things does not explain. */
static void act_wildly(struct sim *s, struct sim_device *d)
{
	static const enum outlet_state any[] = {
		OUTLET_CABLE_PLUGGED,
		OUTLET_AVAILABLE,
		OUTLET_DEVICE_REQUESTS_CHARGING,
		OUTLET_CHARGING,
		OUTLET_DEVICE_REQUESTS_STOP,
		OUTLET_CHARGING_FINISHED,
		OUTLET_DEVICE_DENIES_CHARGING,
	};
	enum outlet_state change = any[sim_below(s, EV_ARRAY_LEN(any))];
	struct rfid_tag tag = sim_chance(s, 60) ? draw_tag(s) : none();

	d->wild = true;
	if (change == OUTLET_DEVICE_REQUESTS_CHARGING && tag.n == 0)
		change = OUTLET_CHARGING;
	device_say(s, d, change, &tag, draw_energy(s));
}

/* It was told to start, and gets to it: or finds that it cannot. */
static void begin(struct sim *s, struct sim_device *d)
{
	struct rfid_tag tag = d->tag;

	d->told_to_start = false;
	d->requesting = false;
	if (d->plugged && (s->calm || !sim_chance(s, 12)))
		d->charging = true;
	else
		device_say(s, d, OUTLET_DEVICE_DENIES_CHARGING, &tag, 0);
}

static void act_charging(struct sim *s, struct sim_device *d)
{
	uint64_t dice = sim_below(s, 100);

	if (dice < 70)
		report(s, d);
	else if (dice < 80)
		stop(s, d);
	else if (dice < 88)
		unplug(s, d);
	else if (dice < 93)
		plug_in(s, d); /* the power was gone */
	else if (dice < 97)
		present(s, d);
}

static void act_plugged(struct sim *s, struct sim_device *d)
{
	uint64_t dice = sim_below(s, 100);

	if (d->requesting && sim_mono(s) - d->asked_ns < PATIENCE_NS && dice < 70)
		return;
	if (dice < 78)
		present(s, d);
	else if (dice < 92)
		unplug(s, d);
	else
		plug_in(s, d);
}

static void act_idle(struct sim *s, struct sim_device *d)
{
	uint64_t dice = sim_below(s, 100);

	if (dice < 75) {
		plug_in(s, d);
	} else if (dice < 90) {
		/* The tag before the cable. */
		present(s, d);
		plug_in(s, d);
		d->requesting = true;
	}
}

static void act(struct sim *s, struct sim_device *d)
{
	if (d->n_outbox + 4 > SIM_OUTBOX)
		return;
	if (sim_chance(s, 2))
		say_badly(s, d);
	else if (s->wild && sim_chance(s, 8))
		act_wildly(s, d);
	else if (d->told_to_start)
		begin(s, d);
	else if (d->charging)
		act_charging(s, d);
	else if (d->plugged)
		act_plugged(s, d);
	else
		act_idle(s, d);
}

void devices_act(struct sim *s)
{
	struct sim_device *d = &s->devices[sim_below(s, SIM_DEVICES)];

	if (sim_chance(s, 5))
		network_disconnect(s, d);
	else
		act(s, d);
}

/* --- commands --- */

static void told_to_stop(struct sim *s, struct sim_device *d)
{
	d->told_to_start = false;
	if (!d->charging || d->n_outbox + 2 > SIM_OUTBOX)
		return;
	stop(s, d);
}

void device_told(struct sim *s, struct sim_device *d, const struct device_command *c)
{
	bool old = c->version < d->last_version ||
		   (c->version == d->last_version && c->index <= d->last_index);

	sim_trace(s, "  device %td is told %s%s", d - s->devices, outlet_state_text(c->change),
		  old ? " again" : "");
	if (old || (!s->calm && !d->acks && sim_chance(s, 30)))
		return;
	if (!s->calm && s->wild && sim_chance(s, 4)) {
		d->wild = true;
		return;
	}
	d->last_version = c->version;
	d->last_index = c->index;
	d->told[d->n_told_commands++ % EV_ARRAY_LEN(d->told)] = c->change;
	if (c->change == OUTLET_CHARGING && !d->charging) {
		d->tag = c->tag;
		d->told_to_start = true;
	} else if (c->change == OUTLET_APP_REQUESTS_STOP) {
		told_to_stop(s, d);
	} else if (c->change != OUTLET_CHARGING) {
		d->requesting = false;
	}
}

void device_settle(struct sim *s, struct sim_device *d)
{
	if (d->requesting && sim_mono(s) - d->asked_ns > PATIENCE_NS)
		d->requesting = false;
	if (d->n_outbox + 4 > SIM_OUTBOX)
		return;
	if (d->told_to_start)
		begin(s, d);
	else if (d->charging)
		report(s, d);
}
