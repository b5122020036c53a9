/*
 * engine/aws/provision.h — the queues, streams and tables that the system needs: which there are,
 * which are missing, which are other than wanted; and creating the missing ones.
 *
 * What is wanted is the original's (facts/original-system.md section 0) with 14 days in place of
 * one for messages, and our own table.  Nothing that exists is ever changed, with one exception: a
 * table whose time to live is off gets it, since that is a creation left unfinished.  The plan is
 * pure: it is made of names, filled from answers, and read by whoever shows it.
 */
#ifndef EV_AWS_PROVISION_H
#define EV_AWS_PROVISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "engine/aws/caller.h"
#include "engine/aws/resources.h"

#define PROVISION_RESOURCES 12
#define PROVISION_SETTINGS_MAX 5
#define PROVISION_VALUE_MAX 200

enum provision_kind { PROVISION_QUEUE, PROVISION_STREAM, PROVISION_TABLE, PROVISION_KIND_COUNT };

/* "queue", …; never NULL. */
const char *provision_kind_text(enum provision_kind kind);

enum provision_state {
	PROVISION_ABSENT,
	PROVISION_COMING, /* being created, by whomever */
	PROVISION_GOING,  /* being deleted */
	PROVISION_THERE,
};

enum provision_rule {
	PROVISION_EXACT,
	PROVISION_AT_LEAST, /* numbers: more is as good */
	PROVISION_SWITCH,   /* what is off may be switched on */
	PROVISION_SHOWN,    /* the operator's to choose: never a difference */
	PROVISION_UNKNOWN,  /* a PROVISION_SWITCH that the endpoint does not know */
};

struct provision_setting {
	const char *name; /* as AWS calls it where that is one word */
	enum provision_rule rule;
	char wanted[PROVISION_VALUE_MAX];
	char found[PROVISION_VALUE_MAX]; /* empty: none, or the resource is not there */
};

struct provision_spec; /* how it is created */

struct provision_resource {
	enum provision_kind kind;
	enum aws_service service;
	const char *name;
	const struct aws_resources *names; /* the name is one of them */
	const struct provision_spec *spec;
	enum provision_state state;
	bool created; /* by us */
	size_t n_settings;
	struct provision_setting settings[PROVISION_SETTINGS_MAX];
};

struct provision_plan {
	size_t n;
	struct provision_resource items[PROVISION_RESOURCES]; /* in the order of creation */
};

/* --- The plan: pure --- */

/* All that is wanted, and nothing found yet; names outlive the plan. */
void provision_plan_init(struct provision_plan *p, const struct aws_resources *names);

/* Whether what was found will do; also true of a resource that is not there. */
bool provision_setting_good(const struct provision_resource *r, const struct provision_setting *s);

/* Whether the endpoint did not know the setting: Amazon's own knows them all. */
bool provision_is_unknown(const struct provision_setting *s);

enum provision_action {
	PROVISION_NOTHING, /* all as wanted */
	PROVISION_CREATE,  /* it, or what it lacks */
	PROVISION_WAIT,    /* somebody else creates it */
	PROVISION_STUCK,   /* is being deleted: nothing can be done now */
	PROVISION_DIFFERS, /* nothing is done: people decide */
	PROVISION_ACTION_COUNT,
};
enum provision_action provision_action(const struct provision_resource *r);

/* How many of the plan have this action. */
size_t provision_count(const struct provision_plan *p, enum provision_action action);

/* Whether the resource is to be switched on rather than created. */
bool provision_is_switch(const struct provision_resource *r);

/*
 * Answers of DescribeTable, DescribeTimeToLive, DescribeStreamSummary and GetQueueAttributes: state
 * and what was found.  EV_CORRUPT: not an answer of that kind; the resource may be half filled.
 */
EV_NODISCARD ev_err provision_read_table(struct provision_resource *r, struct ev_str answer);
EV_NODISCARD ev_err provision_read_ttl(struct provision_resource *r, struct ev_str answer);
EV_NODISCARD ev_err provision_read_stream(struct provision_resource *r, struct ev_str answer);
EV_NODISCARD ev_err provision_read_queue(struct provision_resource *r, struct ev_str answer);

/* The same for QueueUrl and QueueArn, out of an answer's object. */
#define PROVISION_URL_MAX 512
EV_NODISCARD ev_err provision_read_url(struct ev_str answer, char out[PROVISION_URL_MAX]);
EV_NODISCARD ev_err provision_read_arn(struct ev_str answer, char out[PROVISION_URL_MAX]);

/* The body of CreateTable, CreateStream or CreateQueue; dead_arn: of the dead-letter queue. */
#define PROVISION_BODY_MAX 2048
struct ev_str provision_create_body(const struct provision_resource *r, const char *dead_arn,
				    char out[PROVISION_BODY_MAX]);

/* The dead-letter queue of a queue, NULL for all else. */
struct provision_resource *provision_dead_letters_of(struct provision_plan *p,
						     const struct provision_resource *r);

/* --- With the cloud --- */

struct provision {
	struct aws_caller *caller;
	struct ev_clock *clock;
	int64_t limit_ns; /* for creation, waiting included */
};

/*
 * Looks at every resource of the plan.  Fills *fail with the resource and the action that failed;
 * EV_DENIED: the permission that is missing is named.  Blocks.
 */
EV_NODISCARD ev_err provision_look(const struct provision *v, struct provision_plan *p,
				   struct ev_fail *fail);

/*
 * Creates what is missing, waits until everything can be used, switches on what is off, and looks
 * again.  Somebody else may do the same at the same time.  What was created before a failure stays,
 * and is found by the next run.  EV_TIMEOUT: not all can be used in time; EV_BUSY: a resource is
 * being deleted; else as provision_look.  Blocks.
 */
EV_NODISCARD ev_err provision_create(const struct provision *v, struct provision_plan *p,
				     struct ev_fail *fail);

#endif
