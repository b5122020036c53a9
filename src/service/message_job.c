/* service/message_job.c — see message_job.h. */
#include "service/message_job.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct identity message_identity(const struct device_wire *wire, struct ev_str name)
{
	char body[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(body, sizeof(body));
	const struct message_id *given = &wire->m.message_id;
	struct ev_str parts[2] = { given->n > 0 ? (struct ev_str){ given->s, given->n } : name };
	struct identity id;

	device_canonical(wire, &b);
	assert(!b.overflow);
	parts[1] = ev_buf_str(&b);
	ev_hash128(parts, 2, id.b);
	return id;
}

struct identity message_garbage_identity(const struct ev_uuid *outlet_id, struct ev_str bytes)
{
	struct ev_str parts[2] = { { (const char *)outlet_id->b, sizeof(outlet_id->b) }, bytes };
	struct identity id;

	ev_hash128(parts, 2, id.b);
	return id;
}

void message_copy_text(char *out, size_t cap, const char *text)
{
	size_t n = strlen(text);

	if (n > cap - 1)
		n = cap - 1;
	while (n > 0 && !ev_utf8_valid(text, n))
		n--;
	memcpy(out, text, n);
	out[n] = '\0';
}

static void fill_decoded(struct device_job *j, const struct message_input *in)
{
	const struct device_wire *wire = in->wire;

	j->id = in->has_id ? in->id : message_identity(wire, in->name);
	j->message = wire->m; /* the messageId is answered in any case */
	if (in->outlet_id == NULL)
		j->outlet_id = wire->m.outlet_id;
	if (!ev_uuid_eq(&wire->m.outlet_id, &j->outlet_id))
		j->why = REASON_WRONG_OUTLET;
	else
		j->decoded = device_wire_check(wire, &j->message, &j->why) == EV_OK;
}

static void fill_garbage(struct device_job *j, const struct message_input *in)
{
	j->id = in->has_id ? in->id : message_garbage_identity(&j->outlet_id, in->bytes);
	j->why = REASON_UNDECODABLE;
	message_copy_text(j->detail, sizeof(j->detail), in->error->text);
}

struct device_job *message_job_new(const struct message_input *in, size_t extra, void **out_extra)
{
	size_t before = (extra + 15) / 16 * 16;
	size_t body_n = in->bytes.n < JOB_BODY_MAX ? in->bytes.n : JOB_BODY_MAX;
	char *memory = malloc(before + sizeof(struct device_job) + body_n);
	struct device_job *j;

	if (memory == NULL)
		return NULL;
	j = (struct device_job *)(void *)(memory + before);
	memset(j, 0, sizeof(*j));
	j->job.kind = JOB_DEVICE_MESSAGE;
	j->job.at_ns = in->at_ns;
	if (in->outlet_id != NULL)
		j->outlet_id = *in->outlet_id;
	j->body_n = body_n;
	if (body_n > 0)
		memcpy(j->body, in->bytes.p, body_n);
	if (in->wire != NULL)
		fill_decoded(j, in);
	else
		fill_garbage(j, in);
	*out_extra = memory;
	return j;
}
