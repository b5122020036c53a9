/*
 * service/job_key.h — which aggregate a job is about, for those who run jobs side by side.
 *
 * Jobs with the same key are run in order: all of one outlet, with the App's starts and the events
 * for it; of what names no outlet, those of one session, customer or dead letter.
 */
#ifndef EV_SERVICE_JOB_KEY_H
#define EV_SERVICE_JOB_KEY_H

#include "service/job.h"

struct ev_uuid job_key(const struct job *j);

#endif
