/*
 * gateway.c — the loop's side of a gateway process, by the rules of src/net/gateway.c: on a new
 * connection it asks for commands, lets the device's backlog in, asks again, and sends what is
 * above the highest that it has sent on that connection.
 *
 * A device hops: its old connection may stay open at the old gateway, which does not know better.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "codec/device_json.h"
#include "service/message_job.h"
#include "simaws/sim.h"

#define BACKLOG_SILENCE_NS EV_NS_PER_S
#define BACKLOG_MAX_NS (5 * EV_NS_PER_S)

static bool is_above(uint64_t v1, unsigned i1, uint64_t v2, unsigned i2)
{
	return v1 > v2 || (v1 == v2 && i1 > i2);
}

static struct sim_process *gateway_of(struct sim *s, const struct sim_device *d)
{
	return &s->processes[d->gateway];
}

static bool is_connected(const struct sim_device *d)
{
	return d->phase != PHASE_OFF;
}

/* --- messages --- */

/* Sent once and not answered: whole, or not at all. */
static void give_up(struct sim *s, struct sim_device *d, size_t message)
{
	struct sim_message *m = &s->messages[message];

	if (m->named || m->garbage)
		return;
	if (!m->queued && !m->refused && !m->bad) {
		s->n_unsure[m->device]++;
		s->reached->unnamed_unsure++;
	}
	device_answered(d, message, NULL);
}

static void send_message(struct sim *s, struct sim_device *d)
{
	char text[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	size_t message = d->outbox[0];
	struct sim_message *m = &s->messages[message];
	struct device_wire wire;
	struct json_error error;
	struct message_input in = { .error = &error,
				    .outlet_id = &d->outlet_id,
				    .at_ns = sim_now(s) };
	struct device_job *j;
	struct sim_task *t;
	void *memory = NULL;

	device_encode(m, &b);
	in.bytes = ev_buf_str(&b);
	if (device_json_decode(in.bytes, &wire, &error) == EV_OK)
		in.wire = &wire;
	if (in.wire != NULL && wire.m.message_id.n == 0) {
		in.has_id = true;
		ev_rng_fill(&s->ids.base, in.id.b, sizeof(in.id.b));
	}
	j = message_job_new(&in, sizeof(struct sim_task), &memory);
	assert(j != NULL);
	t = memory;
	*t = (struct sim_task){ .sim = s, .job = &j->job, .message = message };
	t->device = (unsigned)(d - s->devices);
	t->conn = d->conn;
	s->reached->resent += m->sent;
	m->sent = true;
	d->waits = true;
	d->heard_ns = sim_mono(s);
	task_submit(gateway_of(s, d), t);
}

static void message_done(struct sim_task *t)
{
	struct sim *s = t->sim;
	struct sim_device *d = &s->devices[t->device];
	struct sim_message *m = &s->messages[t->message];

	sim_trace(s, "  m-%zu: %s, %s", t->message + 1, ev_err_text(t->job->err),
		  verdict_text(t->job->verdict));
	if (t->job->err == EV_OK && t->job->verdict == VERDICT_QUEUED)
		m->queued = true;
	else if (t->job->err == EV_OK && t->job->verdict == VERDICT_REJECTED)
		m->refused = true;
	if (t->conn != d->conn)
		return; /* nobody is there to hear it */
	if (t->job->err == EV_OK) {
		device_answered(d, t->message, t->job);
		return;
	}
	gateway_disconnect(s, d);
}

/* --- looks --- */

static void look(struct sim *s, struct sim_device *d, enum sim_phase phase)
{
	struct sim_task *t = task_new(s, JOB_COMMANDS, sizeof(struct command_job));
	struct command_job *j = (struct command_job *)t->job;

	d->phase = phase;
	j->outlet_id = d->outlet_id;
	j->again = d->has_looked;
	t->device = (unsigned)(d - s->devices);
	t->conn = d->conn;
	t->acked_version = d->acked_version;
	t->acked_index = d->acked_index;
	task_submit(gateway_of(s, d), t);
}

static void acknowledge(struct sim *s, struct sim_device *d, const struct device_command *c)
{
	struct sim_task *t;
	struct command_job *j;

	if (!d->acks || (!s->calm && sim_chance(s, 5)))
		return;
	t = task_new(s, JOB_COMMAND_ACK, sizeof(*j));
	j = (struct command_job *)t->job;
	j->outlet_id = d->outlet_id;
	j->version = c->version;
	j->index = c->index;
	t->device = (unsigned)(d - s->devices);
	t->conn = d->conn;
	d->heard_ns = sim_mono(s);
	task_submit(gateway_of(s, d), t);
}

static void send_command(struct sim *s, struct sim_device *d, const struct device_command *c)
{
	if (!is_above(c->version, c->index, d->sent_version, d->sent_index))
		return;
	d->sent_version = c->version;
	d->sent_index = c->index;
	device_told(s, d, c);
	acknowledge(s, d, c);
}

void gateway_command(void *user, const struct device_command *c)
{
	struct sim_process *p = user;
	struct sim *s = p->sim;

	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		if (!ev_uuid_eq(&d->outlet_id, &c->outlet_id) || d->gateway != p->place)
			continue;
		if (d->phase == PHASE_LIVE) {
			send_command(s, d, c);
		} else if (is_connected(d) &&
			   is_above(c->version, c->index, d->missed_version, d->missed_index)) {
			d->missed_version = c->version;
			d->missed_index = c->index;
		}
	}
}

/* What a look finds is in order, not acknowledged before, and not what has become wrong. */
static void check_found(struct sim *s, const struct sim_task *t)
{
	const struct command_job *j = (const struct command_job *)t->job;
	uint64_t version = t->acked_version;
	unsigned index = t->acked_index;

	for (size_t i = 0; i < j->n; i++) {
		const struct device_command *c = &j->commands[i];

		if (!is_above(c->version, c->index, version, index) && s->failure[0] == '\0')
			sim_fail_later(s, "a command was found out of order, or acknowledged");
		version = c->version;
		index = c->index;
	}
}

static void looked(struct sim_task *t)
{
	struct sim *s = t->sim;
	struct sim_device *d = &s->devices[t->device];
	const struct command_job *j = (const struct command_job *)t->job;
	bool missed;

	if (t->conn != d->conn || !is_connected(d))
		return;
	if (j->job.err != EV_OK && j->job.err != EV_NOTFOUND) {
		d->phase = PHASE_BACKLOG; /* looks again soon */
		return;
	}
	d->has_looked = true;
	if (j->job.err == EV_OK)
		check_found(s, t);
	if (d->phase == PHASE_ASKING && j->job.err == EV_OK && j->n > 0) {
		d->phase = PHASE_BACKLOG;
		return;
	}
	d->phase = PHASE_LIVE;
	for (size_t i = 0; j->job.err == EV_OK && i < j->n; i++)
		send_command(s, d, &j->commands[i]);
	missed = is_above(d->missed_version, d->missed_index, d->sent_version, d->sent_index);
	d->missed_version = 0;
	d->missed_index = 0;
	if (missed)
		look(s, d, PHASE_LOADING);
}

static void acked(struct sim_task *t)
{
	struct sim_device *d = &t->sim->devices[t->device];
	const struct command_job *j = (const struct command_job *)t->job;

	if (j->job.err != EV_OK ||
	    !is_above(j->version, j->index, d->acked_version, d->acked_index))
		return;
	d->acked_version = j->version;
	d->acked_index = j->index;
}

void gateway_done(struct sim_task *t)
{
	if (t->job->kind == JOB_DEVICE_MESSAGE)
		message_done(t);
	else if (t->job->kind == JOB_COMMANDS)
		looked(t);
	else
		acked(t);
}

/* --- connections --- */

static void connect_to(struct sim *s, struct sim_device *d)
{
	unsigned gateway = sim_chance(s, 60) ? d->gateway : (unsigned)sim_below(s, SIM_GATEWAYS);

	if (!process_is_alive(&s->processes[gateway]))
		gateway = (gateway + 1) % SIM_GATEWAYS;
	if (!process_is_alive(&s->processes[gateway]))
		return;
	s->reached->hops += d->conn > 0 && gateway != d->gateway;
	d->gateway = gateway;
	d->left_open[gateway] = false; /* the new one replaces it */
	d->conn++;
	d->waits = false;
	d->has_looked = false;
	d->opened_ns = d->heard_ns = sim_mono(s);
	d->sent_version = d->missed_version = 0;
	d->sent_index = d->missed_index = 0;
	sim_trace(s, "  device %td connects to %s", d - s->devices, s->processes[gateway].name);
	look(s, d, PHASE_ASKING);
}

static void lose(struct sim *s, struct sim_device *d)
{
	d->phase = PHASE_OFF;
	d->conn++;
	d->connect_ns = sim_mono(s) + (int64_t)sim_below(s, (s->calm ? 1 : 30) * EV_NS_PER_S) + 1;
	if (d->waits)
		give_up(s, d, d->outbox[0]);
	d->waits = false;
}

void gateway_disconnect(struct sim *s, struct sim_device *d)
{
	if (!is_connected(d))
		return;
	sim_trace(s, "  device %td loses its connection", d - s->devices);
	d->left_open[d->gateway] = true;
	lose(s, d);
}

void gateway_died(struct sim_process *p)
{
	struct sim *s = p->sim;

	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];

		d->left_open[p->place] = false;
		if (is_connected(d) && d->gateway == p->place)
			lose(s, d);
	}
}

static void find_out(struct sim *s, struct sim_device *d)
{
	for (unsigned g = 0; g < SIM_GATEWAYS; g++) {
		struct sim_process *p = &s->processes[g];

		if (!d->left_open[g] || !process_is_alive(p) || (!s->calm && !sim_chance(s, 15)))
			continue;
		d->left_open[g] = false;
		aws_front_gone(p->front, &d->outlet_id);
	}
}

void gateway_step(struct sim *s)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &s->devices[i];
		int64_t now_ns = sim_mono(s);

		find_out(s, d);
		if (!is_connected(d) && now_ns >= d->connect_ns)
			connect_to(s, d);
		if (!is_connected(d))
			continue;
		if (d->phase == PHASE_BACKLOG && (now_ns - d->heard_ns >= BACKLOG_SILENCE_NS ||
						  now_ns - d->opened_ns >= BACKLOG_MAX_NS))
			look(s, d, PHASE_LOADING);
		if (!d->waits && d->n_outbox > 0)
			send_message(s, d);
	}
}
