/* net/gateway_message.c — from the bytes of a message to a job, and from a job to its answer. */
#include <stdlib.h>

#include "net/gateway_internal.h"
#include "service/message_job.h"

struct device_job *gateway_message_job(struct gateway *g, const struct ev_uuid *id,
				       struct ev_str bytes, const struct device_wire *wire,
				       const struct json_error *error, size_t extra,
				       void **out_extra)
{
	struct message_input in = {
		.bytes = bytes,
		.wire = wire,
		.error = error,
		.outlet_id = id,
		.at_ns = ev_clock_wall_ns(g->config.clock),
	};
	struct device_job *j;

	if (wire != NULL && wire->m.message_id.n == 0) {
		in.has_id = true;
		ev_rng_fill(g->config.rng, in.id.b, sizeof(in.id.b));
	}
	j = message_job_new(&in, extra, out_extra);
	if (j != NULL && j->why == REASON_WRONG_OUTLET)
		ev_counter_inc(&g->n.wrong_outlet);
	if (j != NULL && j->why == REASON_UNDECODABLE)
		ev_counter_inc(&g->n.undecodable);
	return j;
}

struct gateway_answer gateway_answer_of(const struct device_job *j)
{
	struct gateway_answer a = {
		.ack = j->message.message_id,
		.verdict = j->job.verdict,
		.reason = j->job.reason,
		.has_state = j->has_state,
		.state = j->shown,
	};

	message_copy_text(a.detail, sizeof(a.detail), j->detail);
	return a;
}

void gateway_count_answer(struct gateway *g, const struct device_job *j)
{
	if (j->job.err == EV_OK)
		ev_counter_inc(&g->n.verdicts[j->job.verdict]);
	else
		ev_counter_inc(&g->n.unanswered);
}

/* --- acknowledgements of commands --- */

bool gateway_ack_parse(struct gateway *g, struct ev_str id, uint64_t *out_version,
		       unsigned *out_index)
{
	if (command_id_parse(id, out_version, out_index) == EV_OK)
		return true;
	ev_counter_inc(&g->n.bad_acks);
	return false;
}

void gateway_count_ack(struct gateway *g, ev_err e)
{
	if (e == EV_OK)
		ev_counter_inc(&g->n.acks);
	else if (e == EV_INVALID || e == EV_NOTFOUND)
		ev_counter_inc(&g->n.bad_acks);
}

struct ack {
	struct job_owner owner;
	struct gateway *g;
	struct command_job job;
};

/* An acknowledgement that was not kept: the command comes again. */
static void on_ack_done(struct job_owner *owner, struct job *j)
{
	struct ack *a = (struct ack *)owner;

	gateway_count_ack(a->g, j->err);
	free(a);
}

void gateway_submit_ack(struct gateway *g, const struct ev_uuid *id, uint64_t version,
			unsigned index)
{
	struct ack *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return;
	a->owner.done = on_ack_done;
	a->g = g;
	a->job.job.kind = JOB_COMMAND_ACK;
	a->job.job.owner = &a->owner;
	a->job.job.at_ns = ev_clock_wall_ns(g->config.clock);
	a->job.outlet_id = *id;
	a->job.version = version;
	a->job.index = index;
	host_submit(g->config.host, &a->job.job);
}
