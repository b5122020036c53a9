/* net/gateway_message.c — from the bytes of a message to a job, and from a job to its answer. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "net/gateway_internal.h"

/*
 * Identity (design section 5.2): the sender's messageId, or one that we stamp, and the canonical
 * body, so that an id that is used twice for two messages loses none of them.
 */
static struct identity message_identity(struct gateway *g, const struct device_wire *wire)
{
	char body[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(body, sizeof(body));
	const struct message_id *given = &wire->m.message_id;
	struct ev_str parts[2] = { { given->s, given->n }, { NULL, 0 } };
	struct identity id;

	if (given->n == 0) {
		ev_rng_fill(g->config.rng, id.b, sizeof(id.b));
		return id;
	}
	device_canonical(wire, &b);
	assert(!b.overflow);
	parts[1] = ev_buf_str(&b);
	ev_hash128(parts, 2, id.b);
	return id;
}

/* What cannot be read is known by its bytes: the same again is one dead letter. */
static struct identity garbage_identity(const struct ev_uuid *outlet, struct ev_str bytes)
{
	struct ev_str parts[2] = { { (const char *)outlet->b, sizeof(outlet->b) }, bytes };
	struct identity id;

	ev_hash128(parts, 2, id.b);
	return id;
}

/* As much of the text as fits into cap bytes with its end, but no part of a character. */
static void copy_text(char *out, size_t cap, const char *text)
{
	size_t n = strnlen(text, cap - 1);

	while (n > 0 && !ev_utf8_valid(text, n))
		n--;
	memcpy(out, text, n);
	out[n] = '\0';
}

static void fill_decoded(struct gateway *g, struct device_job *j, const struct device_wire *wire)
{
	j->id = message_identity(g, wire);
	j->message = wire->m; /* the messageId is answered in any case */
	j->decoded = false;
	if (!ev_uuid_eq(&wire->m.outlet_id, &j->outlet_id)) {
		j->why = REASON_WRONG_OUTLET;
		ev_counter_inc(&g->n.wrong_outlet);
	} else {
		j->decoded = device_wire_check(wire, &j->message, &j->why) == EV_OK;
	}
}

struct device_job *gateway_message_job(struct gateway *g, const struct ev_uuid *id,
				       struct ev_str bytes, const struct device_wire *wire,
				       const struct json_error *error, size_t extra,
				       void **out_extra)
{
	size_t before = (extra + 15) / 16 * 16;
	size_t body_n = bytes.n < JOB_BODY_MAX ? bytes.n : JOB_BODY_MAX;
	char *memory = malloc(before + sizeof(struct device_job) + body_n);
	struct device_job *j;

	if (memory == NULL)
		return NULL;
	j = (struct device_job *)(void *)(memory + before);
	memset(j, 0, sizeof(*j));
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->job.at_ns = ev_clock_wall_ns(g->config.clock);
	j->outlet_id = *id;
	j->body_n = body_n;
	if (body_n > 0)
		memcpy(j->body, bytes.p, body_n);
	if (wire != NULL) {
		fill_decoded(g, j, wire);
	} else {
		j->id = garbage_identity(id, bytes);
		j->why = REASON_UNDECODABLE;
		copy_text(j->detail, sizeof(j->detail), error->text);
		ev_counter_inc(&g->n.undecodable);
	}
	*out_extra = memory;
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

	copy_text(a.detail, sizeof(a.detail), j->detail);
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
