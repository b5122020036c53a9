/*
 * devices.c — what stands at the roadside, as test/sim/devices.c has it: a cable and a contactor
 * that do as they do, whatever the backends think.
 *
 * Most messages have an id of the device's own and are sent until they are answered.  Some have
 * none: they are sent once, and if nobody answers nobody knows; the books then take them whole or
 * not at all.  Some are put into the queue by somebody else's gateway, with and without an id.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/time.h"
#include "codec/device_json.h"
#include "codec/json_write.h"
#include "simaws/sim.h"

#define PATIENCE_NS (2 * EV_NS_PER_MIN)
#define UNSURE_MAX 10 /* of one device: their sums must tell them apart */

void devices_open(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		*d = (struct sim_device){ .outlet_id = ev_rng_uuid(&s->ids.base) };
		d->outlet_id.b[0] = (uint8_t)i; /* to be found in a trace */
		d->acks = sim_chance(s, 85);
	}
}

/* --- saying --- */

static size_t keep(struct sim *s, const struct sim_message *m)
{
	if (s->n_messages == s->cap_messages) {
		s->cap_messages = s->cap_messages == 0 ? 512 : 2 * s->cap_messages;
		s->messages = realloc(s->messages, s->cap_messages * sizeof(*s->messages));
		assert(s->messages != NULL);
	}
	s->messages[s->n_messages] = *m;
	return s->n_messages++;
}

void device_encode(const struct sim_message *m, struct ev_buf *b)
{
	struct device_wire wire = { .m = m->m, .power_kwh = num_kwh_from_mwh(m->wire_mwh) };

	if (m->garbage) {
		ev_buf_z(b, "{\"no message\":");
		ev_buf_u64(b, (uint64_t)m->m.period_start_ns);
	} else {
		device_wire_encode(&wire, b);
	}
	assert(!b->overflow);
}

/* Somebody else's gateway puts it into the queue, and is answered. */
static void put_directly(struct sim *s, struct sim_message *m)
{
	char text[DEVICE_JSON_MAX], body[2 * DEVICE_JSON_MAX];
	struct ev_buf message = ev_buf_over(text, sizeof(text));
	struct ev_buf b = ev_buf_over(body, sizeof(body) - 1);
	struct json_writer w = json_writer_over(&b);

	device_encode(m, &message);
	json_write_object(&w);
	json_write_key(&w, "QueueUrl");
	json_write_z(&w, faults_messages_url(s));
	json_write_key(&w, "MessageBody");
	json_write_string(&w, ev_buf_str(&message));
	json_write_object_end(&w);
	assert(!b.overflow);
	body[b.len] = '\0';
	sim_must(s, cloud_do(s->cloud, AWS_SQS, "SendMessage", body, NULL) == EV_OK,
		 "a message could not be put");
	m->sent = true;
	m->queued = true;
	s->reached->direct++;
}

static void name(struct sim *s, struct sim_message *m)
{
	struct ev_buf b = ev_buf_over(m->m.message_id.s, sizeof(m->m.message_id.s));

	ev_buf_z(&b, "m-");
	ev_buf_u64(&b, s->n_messages + 1);
	m->m.message_id.n = (uint8_t)b.len;
}

static void say(struct sim *s, struct sim_device *d, struct sim_message *m)
{
	unsigned i = (unsigned)(d - s->devices);
	size_t place;

	assert(d->n_outbox < SIM_OUTBOX);
	m->device = i;
	/* What is put directly would overtake what waits. */
	m->direct = !s->calm && d->n_outbox == 0 && (d->bursts || sim_chance(s, 15));
	m->named = s->calm || sim_chance(s, 80) || (!m->direct && s->n_unsure[i] >= UNSURE_MAX);
	if (m->bad && m->direct && !m->garbage && m->wire_mwh == 1000 &&
	    !ev_uuid_eq(&m->m.outlet_id, &d->outlet_id))
		m->m.outlet_id.b[1] ^= 0xff; /* nobody's */
	if (m->named && !m->garbage)
		name(s, m);
	if (m->direct)
		put_directly(s, m);
	place = keep(s, m);
	if (!m->direct)
		d->outbox[d->n_outbox++] = place;
	s->reached->messages++;
	sim_trace(s, "  device %u says m-%zu %s '%.*s' %lld mWh%s%s%s", i, place + 1,
		  outlet_state_text(m->m.change), (int)m->m.tag.n, m->m.tag.s,
		  (long long)m->wire_mwh, m->bad ? ", badly" : "", m->direct ? ", directly" : "",
		  m->named ? "" : ", once");
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
	struct sim_message m = plain(s, d, OUTLET_CHARGING, &d->tag, 1000);

	m.bad = true;
	s->reached->poison++;
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
		m.m.tag = (struct rfid_tag){ .n = 0 };
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

void device_answered(struct sim_device *d, size_t message, const struct job *j)
{
	if (d->n_outbox == 0 || d->outbox[0] != message)
		return;
	d->waits = false;
	if (j != NULL && j->err != EV_OK)
		return; /* it says it again, or gives up: see gateway.c */
	d->n_outbox--;
	memmove(&d->outbox[0], &d->outbox[1], d->n_outbox * sizeof(d->outbox[0]));
}

/* --- visitors --- */

static int64_t draw_energy(struct sim *s)
{
	return sim_chance(s, 15) ? 0 : 1 + (int64_t)sim_below(s, 3000000);
}

static struct rfid_tag draw_tag(struct sim *s)
{
	struct rfid_tag t = s->customers[sim_below(s, SIM_CUSTOMERS)].tag;

	if (sim_chance(s, 10))
		return sim_tag("stranger");
	/* As it is printed on the card. */
	if (t.n > 0 && sim_chance(s, 30))
		t.s[0] = t.s[0] >= 'a' && t.s[0] <= 'z' ? (char)(t.s[0] - 32) : t.s[0];
	return t;
}

static struct rfid_tag none(void)
{
	return (struct rfid_tag){ .n = 0 };
}

static struct rfid_tag report_tag(struct sim *s, const struct sim_device *d)
{
	if (sim_chance(s, 30))
		return none();
	return sim_chance(s, 4) ? draw_tag(s) : d->tag;
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
		device_say(s, d, OUTLET_DEVICE_REQUESTS_CHARGING, &d->tag, 0);
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

	if (dice < 76)
		report(s, d);
	else if (dice < 84)
		stop(s, d);
	else if (dice < 91)
		unplug(s, d);
	else if (dice < 94)
		plug_in(s, d); /* the power was gone */
	else if (dice < 97)
		present(s, d);
}

static void act_plugged(struct sim *s, struct sim_device *d)
{
	uint64_t dice = sim_below(s, 100);

	if (d->requesting && sim_mono(s) - d->asked_ns < PATIENCE_NS && dice < 90)
		return;
	if (dice < 84)
		present(s, d);
	else if (dice < 95)
		unplug(s, d);
	else if (dice < 97)
		report(s, d); /* what no session explains */
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
	} else if (dice < 93) {
		report(s, d);
	}
}

/* Somebody else's gateway was away from the queue, and has a backlog. */
static void burst(struct sim *s, struct sim_device *d)
{
	unsigned n = 2 + (unsigned)sim_below(s, 24);

	d->bursts = true;
	while (n-- > 0)
		report(s, d);
	d->bursts = false;
}

static void act(struct sim *s, struct sim_device *d)
{
	if (d->n_outbox + 4 > SIM_OUTBOX)
		return;
	if (d->n_outbox == 0 && sim_chance(s, 2)) {
		burst(s, d);
		return;
	}
	if (sim_chance(s, 2))
		say_badly(s, d);
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
		gateway_disconnect(s, d);
	else
		act(s, d);
}

/* --- commands --- */

void device_told(struct sim *s, struct sim_device *d, const struct device_command *c)
{
	bool old = c->version < d->last_version ||
		   (c->version == d->last_version && c->index <= d->last_index);

	sim_trace(s, "  device %td is told %s%s", d - s->devices, outlet_state_text(c->change),
		  old ? " again" : "");
	s->reached->commands += !old;
	s->reached->commands_again += old;
	if (old || (!s->calm && !d->acks && sim_chance(s, 30)))
		return;
	d->last_version = c->version;
	d->last_index = c->index;
	if (c->change == OUTLET_CHARGING && !d->charging) {
		d->tag = c->tag;
		d->told_to_start = true;
	} else if (c->change == OUTLET_APP_REQUESTS_STOP) {
		d->told_to_start = false;
		if (d->charging && d->n_outbox + 2 <= SIM_OUTBOX)
			stop(s, d);
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
