/* engine/aws/provision_spec.h — what the parts of provision share; not for others. */
#ifndef EV_AWS_PROVISION_SPEC_H
#define EV_AWS_PROVISION_SPEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "engine/aws/provision.h"

#define PROVISION_INCLUDE_MAX 8
#define PROVISION_NO_NAME SIZE_MAX

/* Settings: those of queues are called as in GetQueueAttributes. */
#define PROVISION_RETENTION "MessageRetentionPeriod"
#define PROVISION_VISIBILITY "VisibilityTimeout"
#define PROVISION_RECEIVE_WAIT "ReceiveMessageWaitTimeSeconds"
#define PROVISION_DEAD_LETTERS "deadLetterQueue"
#define PROVISION_MAX_RECEIVES "maxReceiveCount"
#define PROVISION_SHARDS "OpenShardCount"
#define PROVISION_HOURS "RetentionPeriodHours"
#define PROVISION_KEY "key"
#define PROVISION_INDEX "index"
#define PROVISION_CAPACITY "capacity"
#define PROVISION_TTL "timeToLive"

#define PROVISION_RETENTION_S "1209600" /* 14 days: the longest that SQS keeps a message */
#define PROVISION_VISIBILITY_S "30"
#define PROVISION_RECEIVE_WAIT_S "10"
#define PROVISION_RECEIVES "1000"

/* Names are offsets in struct aws_resources. */
struct provision_spec {
	enum provision_kind kind;
	size_t name;
	/* Queues. */
	size_t dead; /* or PROVISION_NO_NAME */
	/* Streams. */
	unsigned shards;
	/* Tables: all keys are strings. */
	const char *key[2];       /* HASH, and RANGE or NULL */
	const char *index_key[2]; /* the first one NULL: no index */
	size_t index;
	const char *include[PROVISION_INCLUDE_MAX]; /* sorted; none: all attributes */
	unsigned units;                             /* of both capacities; 0: on demand */
	const char *expires;                        /* attribute of the time to live, or NULL */
};

struct provision_key {
	size_t n;
	struct ev_str names[2], types[2];
};

struct provision_index {
	struct ev_str name;
	struct provision_key key;
	struct ev_str projection; /* ALL, INCLUDE, KEYS_ONLY */
	size_t n_include;
	struct ev_str include[PROVISION_INCLUDE_MAX]; /* sorted */
};

struct provision_key provision_spec_key(const char *const names[2]);
struct provision_index provision_spec_index(const struct provision_resource *r);

/* How a setting is told, be it wanted or found. */
void provision_key_text(struct ev_buf *b, const struct provision_key *key);
void provision_index_text(struct ev_buf *b, const struct provision_index *x);
void provision_capacity_text(struct ev_buf *b, uint64_t read_units, uint64_t write_units);

/* The setting of that name; NULL if the resource has none. */
struct provision_setting *provision_setting_of(struct provision_resource *r, const char *name);

#endif
