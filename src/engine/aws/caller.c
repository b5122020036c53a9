/* engine/aws/caller.c — what all callers share. */
#include "engine/aws/caller.h"

#include <stdlib.h>

void aws_call_clear(struct aws_call *call)
{
	free((void *)(uintptr_t)call->answer.p);
	call->answer = (struct ev_str){ NULL, 0 };
	call->error = (struct aws_error){ .kind = AWS_ERROR_NONE };
	call->err = EV_OK;
	call->attempts = 0;
}
