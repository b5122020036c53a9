/* service/job_key.c — by the kinds of jobs. */
#include "service/job_key.h"

#include <assert.h>
#include <string.h>

static struct ev_uuid letter_key(const struct dead_letter_job *j)
{
	struct ev_uuid key;

	static_assert(sizeof(key.b) == sizeof(j->id.b), "both have 128 bits");
	memcpy(key.b, j->id.b, sizeof(key.b));
	return key;
}

struct ev_uuid job_key(const struct job *j)
{
	switch (j->kind) {
	case JOB_DEVICE_MESSAGE:
		return ((const struct device_job *)j)->outlet_id;
	case JOB_COMMAND_ACK:
	case JOB_COMMANDS:
		return ((const struct command_job *)j)->outlet_id;
	case JOB_OUTLET_CREATE:
	case JOB_OUTLET_CHANGE:
	case JOB_OUTLET_SERVICE:
	case JOB_OUTLET_RETIRE:
	case JOB_OUTLET_FINISH:
	case JOB_ATTACH:
		return ((const struct outlet_job *)j)->outlet_id;
	case JOB_DEAD_LETTER_REPLAY:
	case JOB_DEAD_LETTER_DROP:
		return letter_key((const struct dead_letter_job *)j);
	case JOB_CUSTOMER_CREATE:
	case JOB_CUSTOMER_CHANGE:
	case JOB_CUSTOMER_BLOCK:
	case JOB_CUSTOMER_TAG:
	case JOB_CUSTOMER_ERASE:
		return ((const struct customer_job *)j)->customer_id;
	case JOB_START:
		return ((const struct session_job *)j)->outlet_id;
	case JOB_STOP:
	case JOB_SESSION_CLOSE:
		return ((const struct session_job *)j)->session_id;
	case JOB_TICK:
		return ((const struct tick_job *)j)->outlet_id;
	case JOB_EVENT:
		return ((const struct event_job *)j)->event.outlet_id;
	case JOB_COUNT:
		break;
	}
	return (struct ev_uuid){ .b = { 0 } };
}
