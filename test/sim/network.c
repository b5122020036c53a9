/*
 * network.c — between devices and gateway, and the gateway's own rules.
 *
 * A WebSocket keeps its order and breaks; what was under way when it breaks arrives in part.
 * Posts and polls get lost, doubled, late, and overtake each other.  The gateway does as
 * src/net/gateway.c: on a new connection it asks for old commands, lets the device's backlog in
 * first, asks again, and sends what is above the highest that it has sent.
 */
#include <assert.h>
#include <string.h>

#include "base/time.h"
#include "sim.h"

#define BACKLOG_SILENCE_NS EV_NS_PER_S
#define BACKLOG_MAX_NS (5 * EV_NS_PER_S)
#define RETRY_NS (10 * EV_NS_PER_S)
#define POLL_NS (7 * EV_NS_PER_S)

static int64_t draw_delay(struct sim *s)
{
	if (s->calm || !sim_chance(s, 10))
		return (int64_t)sim_below(s, 200 * EV_NS_PER_MS);
	if (!sim_chance(s, 10))
		return (int64_t)sim_below(s, 20 * EV_NS_PER_S);
	return (int64_t)sim_below(s, 2 * EV_NS_PER_MIN);
}

static bool is_lost(struct sim *s, const struct sim_device *d)
{
	return d->habit == HABIT_POST && s->lossy && !s->calm && sim_chance(s, 15);
}

static void put_packet(struct sim *s, struct sim_packet *k, struct sim_device *d, bool up)
{
	int64_t *last = up ? &d->up_due_ns : &d->down_due_ns;

	k->due_ns = sim_mono(s) + draw_delay(s);
	if (d->habit == HABIT_SOCKET) {
		k->due_ns = k->due_ns > *last ? k->due_ns : *last;
		*last = k->due_ns;
	}
	k->device = (unsigned)(d - s->devices);
	k->conn = d->conn;
	k->order = ++s->n_order;
	if (s->n_packets < SIM_PACKETS)
		s->packets[s->n_packets++] = *k;
}

/* Sends it, unless it gets lost; and at times once more. */
static void send(struct sim *s, struct sim_packet *k, struct sim_device *d, bool up)
{
	if (d->habit == HABIT_SOCKET && !d->connected)
		return;
	if (!is_lost(s, d))
		put_packet(s, k, d, up);
	if (d->habit == HABIT_POST && s->lossy && !s->calm && sim_chance(s, 6))
		put_packet(s, k, d, up);
}

/* --- what arrives at the gateway --- */

static void take_message(struct sim *s, struct sim_device *d, const struct sim_packet *k)
{
	struct sim_task *t = sim_task_new(JOB_COUNT, 0);

	t->job = &device_job_of(s, k->message)->job;
	t->message = k->message;
	t->device = k->device;
	t->conn = k->conn;
	d->heard_ns = sim_mono(s);
	sim_submit(sim_outlet_process(s), t);
}

static void take_ack(struct sim *s, struct sim_device *d, const struct sim_packet *k)
{
	struct sim_task *t;
	struct command_job *j;

	t = sim_task_new(JOB_COMMAND_ACK, sizeof(*j));
	j = (struct command_job *)t->job;
	j->outlet_id = d->outlet_id;
	j->version = k->command.version;
	j->index = k->command.index;
	d->heard_ns = sim_mono(s);
	sim_submit(sim_outlet_process(s), t);
}

static bool look_for_commands(struct sim *s, struct sim_device *d, unsigned conn, bool second)
{
	struct sim_task *t = sim_task_new(JOB_COMMANDS, sizeof(struct command_job));

	((struct command_job *)t->job)->outlet_id = d->outlet_id;
	t->device = (unsigned)(d - s->devices);
	t->conn = conn;
	t->second_look = second;
	return sim_submit(sim_outlet_process(s), t);
}

static void send_command(struct sim *s, struct sim_device *d, const struct device_command *c)
{
	struct sim_packet k = { .kind = PACKET_COMMAND, .command = *c };

	if (d->habit == HABIT_SOCKET) {
		if (c->version < d->sent_version ||
		    (c->version == d->sent_version && c->index <= d->sent_index))
			return;
		d->sent_version = c->version;
		d->sent_index = c->index;
	}
	send(s, &k, d, false);
}

/* --- what arrives --- */

static void arrive(struct sim *s, const struct sim_packet *k)
{
	struct sim_device *d = &s->devices[k->device];
	bool here = d->habit == HABIT_POST || (d->connected && k->conn == d->conn);

	switch (k->kind) {
	case PACKET_MESSAGE:
		take_message(s, d, k);
		return;
	case PACKET_ACK:
		take_ack(s, d, k);
		return;
	case PACKET_POLL:
		look_for_commands(s, d, k->conn, false);
		return;
	case PACKET_ANSWER:
		if (here)
			device_answered(s, d, k->message, k->verdict);
		return;
	case PACKET_COMMAND:
		if (!here)
			return;
		device_told(s, d, &k->command);
		if (d->acks) {
			struct sim_packet ack = { .kind = PACKET_ACK, .command = k->command };

			send(s, &ack, d, true);
		}
		return;
	}
}

/* The earliest that is due; false: none. */
static bool take_due(struct sim *s, struct sim_packet *out)
{
	size_t best = s->n_packets;

	for (size_t i = 0; i < s->n_packets; i++) {
		const struct sim_packet *k = &s->packets[i];

		if (k->due_ns > sim_mono(s))
			continue;
		if (best == s->n_packets || k->due_ns < s->packets[best].due_ns ||
		    (k->due_ns == s->packets[best].due_ns && k->order < s->packets[best].order))
			best = i;
	}
	if (best == s->n_packets)
		return false;
	*out = s->packets[best];
	s->packets[best] = s->packets[--s->n_packets];
	return true;
}

/* --- connections --- */

void network_connect(struct sim *s, struct sim_device *d)
{
	if (d->connected || d->habit == HABIT_POST || !sim_outlet_process(s)->up)
		return;
	d->connected = true;
	d->conn++;
	d->n_sent = 0; /* all that has no answer goes out again */
	d->up_due_ns = 0;
	d->down_due_ns = 0;
	d->opened_ns = sim_mono(s);
	d->heard_ns = d->opened_ns;
	d->sent_version = 0;
	d->sent_index = 0;
	d->phase = PHASE_ASKING;
	if (!look_for_commands(s, d, d->conn, false))
		d->phase = PHASE_LIVE;
	sim_trace(s, "  device %td connects", d - s->devices);
}

/* What was on its way up arrives up to some point, at once; the rest never does. */
static void cut(struct sim *s, struct sim_device *d)
{
	unsigned device = (unsigned)(d - s->devices);
	uint64_t until = s->n_order - sim_below(s, 8);
	size_t kept = 0;

	for (size_t i = 0; i < s->n_packets; i++) {
		struct sim_packet k = s->packets[i];
		bool up = k.kind == PACKET_MESSAGE || k.kind == PACKET_ACK;

		if (k.device != device) {
			s->packets[kept++] = k;
		} else if (up && k.order <= until && sim_outlet_process(s)->up) {
			k.due_ns = sim_mono(s);
			s->packets[kept++] = k;
		}
	}
	s->n_packets = kept;
}

void network_disconnect(struct sim *s, struct sim_device *d)
{
	if (!d->connected)
		return;
	sim_trace(s, "  device %td loses its connection", d - s->devices);
	d->connected = false;
	d->phase = PHASE_OFF;
	d->connect_ns = sim_mono(s) + (int64_t)sim_below(s, (s->calm ? 1 : 40) * EV_NS_PER_S) + 1;
	cut(s, d);
}

void network_process_died(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		network_disconnect(s, &s->devices[i]);
}

static void go_live(struct sim *s, struct sim_device *d, const struct command_job *j)
{
	d->phase = PHASE_LIVE;
	for (size_t i = 0; j->job.err == EV_OK && i < j->n; i++)
		send_command(s, d, &j->commands[i]);
}

/* What waited for the device is not what has become wrong meanwhile. */
static void check_found(struct sim *s, const struct command_job *j)
{
	struct query *q = sim_outlet_process(s)->query;
	struct outlet_row row;

	if (j->job.err != EV_OK || q->ops->outlet(q, &j->outlet_id, &row) != EV_OK)
		return;
	for (size_t i = 0; i < j->n; i++) {
		const struct device_command *c = &j->commands[i];

		sim_must(s, c->expires_ns == 0 || c->expires_ns > sim_now(s),
			 "a command that has expired was found");
		sim_must(s,
			 c->change != OUTLET_CHARGING ||
				 (row.outlet.state == OUTLET_CHARGING &&
				  ev_uuid_eq(&row.outlet.session_id, &c->session_id)),
			 "a start was found of a session that is over");
	}
}

static void commands_found(struct sim *s, struct sim_device *d, const struct sim_task *t)
{
	const struct command_job *j = (const struct command_job *)t->job;

	if (t->alone)
		check_found(s, j);

	if (d->habit == HABIT_POST) {
		for (size_t i = 0; j->job.err == EV_OK && i < j->n; i++)
			send_command(s, d, &j->commands[i]);
		return;
	}
	if (!d->connected || t->conn != d->conn)
		return;
	if (!t->second_look && j->job.err == EV_OK && j->n > 0)
		d->phase = PHASE_BACKLOG;
	else
		go_live(s, d, j);
}

static void check_shown(struct sim *s, const struct device_job *j)
{
	struct outlet_row row;
	struct query *q = sim_outlet_process(s)->query;

	if (!j->has_state || s->n_processes > 1 || q->ops->outlet(q, &j->outlet_id, &row) != EV_OK)
		return;
	sim_must(s, j->shown == outlet_shown_state(&row.outlet), "answered %s, and it is %s",
		 outlet_state_text(j->shown), outlet_state_text(outlet_shown_state(&row.outlet)));
}

void network_answer(struct sim *s, struct sim_task *t)
{
	struct sim_device *d = &s->devices[t->device];
	struct sim_packet k = { .kind = PACKET_ANSWER,
				.message = t->message,
				.verdict = t->job->verdict };

	if (t->job->kind == JOB_COMMANDS) {
		commands_found(s, d, t);
		return;
	}
	if (t->job->err != EV_OK) {
		/* It must come again, behind what was sent after it: the connection is closed. */
		d->wild = true;
		if (t->conn == d->conn)
			network_disconnect(s, d);
		return;
	}
	if (t->alone)
		check_shown(s, (const struct device_job *)t->job);
	if (d->habit == HABIT_POST || t->conn == d->conn)
		send(s, &k, d, false);
}

void network_command(struct sim *s, const struct device_command *c)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		if (!ev_uuid_eq(&d->outlet_id, &c->outlet_id))
			continue;
		if (d->habit == HABIT_SOCKET && d->phase == PHASE_LIVE)
			send_command(s, d, c);
		/* A long poll that happens to wait. */
		if (d->habit == HABIT_POST && d->waits && (s->calm || sim_chance(s, 50)))
			send_command(s, d, c);
	}
}

/* --- each step --- */

static void end_backlog(struct sim *s, struct sim_device *d)
{
	int64_t now = sim_mono(s);

	if (now - d->heard_ns < BACKLOG_SILENCE_NS && now - d->opened_ns < BACKLOG_MAX_NS)
		return;
	d->phase = PHASE_LOADING;
	if (!look_for_commands(s, d, d->conn, true))
		d->phase = PHASE_LIVE;
}

static void send_messages(struct sim *s, struct sim_device *d)
{
	int64_t now = sim_mono(s);

	if (d->habit == HABIT_SOCKET && d->connected) {
		while (d->n_sent < d->n_outbox && d->n_sent < SIM_WINDOW) {
			struct sim_packet k = { .kind = PACKET_MESSAGE,
						.message = d->outbox[d->n_sent++] };

			send(s, &k, d, true);
		}
	}
	for (unsigned i = 0; d->habit == HABIT_POST && i < d->n_outbox; i++) {
		struct sim_packet k = { .kind = PACKET_MESSAGE, .message = d->outbox[i] };

		if (d->retry_ns[i] > now)
			continue;
		d->retry_ns[i] = now + RETRY_NS;
		send(s, &k, d, true);
	}
}

static void poll_commands(struct sim *s, struct sim_device *d)
{
	struct sim_packet k = { .kind = PACKET_POLL };

	if (d->habit != HABIT_POST || sim_mono(s) < d->poll_ns)
		return;
	d->poll_ns = sim_mono(s) + POLL_NS;
	send(s, &k, d, true);
}

void network_step(struct sim *s)
{
	struct sim_packet k;

	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		if (!d->connected && sim_mono(s) >= d->connect_ns)
			network_connect(s, d);
		if (d->phase == PHASE_BACKLOG)
			end_backlog(s, d);
		send_messages(s, d);
		poll_commands(s, d);
	}
	while (take_due(s, &k))
		arrive(s, &k);
}
