/*
 * service/message_job.h — from the bytes of a device's message to a job for the services.
 *
 * Shared by all that take messages in: the gateway, and the queue of the aws engine.
 */
#ifndef EV_SERVICE_MESSAGE_JOB_H
#define EV_SERVICE_MESSAGE_JOB_H

#include "codec/device_json.h"
#include "service/job.h"

struct message_input {
	struct ev_str bytes;            /* as they came; the first JOB_BODY_MAX are kept */
	const struct device_wire *wire; /* what they say; NULL: they cannot be read */
	const struct json_error *error; /* why, if they cannot */
	/* Whose connection or path it came by; NULL: unknown, the message names its outlet. */
	const struct ev_uuid *outlet_id;
	int64_t at_ns; /* server time of first receipt */
	/* An identity that it carries already; else it is made, see message_identity. */
	bool has_id;
	struct identity id;
	struct ev_str name; /* stands in for a messageId that is not given */
};

/*
 * The job, with `extra` bytes of the owner's before it: *out_extra, by whose freeing both are
 * freed.  Not decoded: undecodable, a wrong outlet, or against our rules; see `why`.  NULL: no
 * memory.  The owner is not set.
 */
struct device_job *message_job_new(const struct message_input *in, size_t extra, void **out_extra);

/*
 * Identity (design section 5.2): the sender's messageId, else `name`, and the canonical body, so
 * that an id that is used twice for two messages loses none of them.
 */
struct identity message_identity(const struct device_wire *wire, struct ev_str name);

/* What cannot be read is known by its bytes: the same again is one dead letter. */
struct identity message_garbage_identity(const struct ev_uuid *outlet_id, struct ev_str bytes);

/* As much of the text as fits into cap bytes with its end, but no part of a character. */
void message_copy_text(char *out, size_t cap, const char *text);

#endif
