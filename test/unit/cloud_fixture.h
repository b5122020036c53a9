/*
 * cloud_fixture.h — a cloud with one caller, and steps of a table: what is called and what must
 * come of it.  Texts are written with ' for ".
 */
#ifndef EV_TEST_UNIT_CLOUD_FIXTURE_H
#define EV_TEST_UNIT_CLOUD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/time.h"
#include "cloud/cloud.h"

#define KIT_START (INT64_C(1700000000) * EV_NS_PER_S)

struct kit {
	struct ev_clock_manual clock;
	struct cloud *cloud;
	struct cloud_caller *p;
	char *answer;    /* of the last call, NUL-terminated, with ' for " */
	char found[400]; /* see kit_take */
};

/* config may be NULL; its clock is the kit's. */
void kit_open(struct kit *k, const struct cloud_config *config);
void kit_close(struct kit *k);

enum aws_service kit_service(char letter); /* d, s or k */

/* One call; its error's code, or "". */
const char *kit_call(struct kit *k, char service, const char *operation, const char *body);

/* The same with another caller. */
const char *kit_call_by(struct kit *k, struct cloud_caller *p, char service, const char *operation,
			const char *body);

/* It must succeed. */
void kit_do(struct kit *k, char service, const char *operation, const char *body);

/* The text value behind `'key':'` in the last answer, for the next call. */
const char *kit_take(struct kit *k, const char *key);

/* As printf, for bodies. */
const char *kit_text(const char *fmt, ...) EV_PRINTF(1, 2);

/* What is called, the code it must end with, what its answer holds and what not (or NULL). */
struct kit_step {
	char service;
	const char *operation;
	const char *body;
	const char *code;
	const char *has;
	const char *has_not;
};
void kit_steps(struct kit *k, const struct kit_step steps[], size_t n);

#endif
