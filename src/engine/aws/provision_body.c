/* engine/aws/provision_body.c — what is asked for to create a resource. */
#include "base/buf.h"
#include "codec/json_write.h"
#include "engine/aws/provision_spec.h"

static void write_key(struct json_writer *w, const struct provision_key *key)
{
	json_write_key(w, "KeySchema");
	json_write_array(w);
	for (size_t i = 0; i < key->n; i++) {
		json_write_object(w);
		json_write_key(w, "AttributeName");
		json_write_string(w, key->names[i]);
		json_write_key(w, "KeyType");
		json_write_z(w, i == 0 ? "HASH" : "RANGE");
		json_write_object_end(w);
	}
	json_write_array_end(w);
}

static void write_definitions(struct json_writer *w, const struct provision_key *key)
{
	for (size_t i = 0; i < key->n; i++) {
		json_write_object(w);
		json_write_key(w, "AttributeName");
		json_write_string(w, key->names[i]);
		json_write_key(w, "AttributeType");
		json_write_string(w, key->types[i]);
		json_write_object_end(w);
	}
}

/* Only of tables on demand, as an index has no capacity of its own here. */
static void write_index(struct json_writer *w, const struct provision_index *x)
{
	json_write_key(w, "GlobalSecondaryIndexes");
	json_write_array(w);
	json_write_object(w);
	json_write_key(w, "IndexName");
	json_write_string(w, x->name);
	write_key(w, &x->key);
	json_write_key(w, "Projection");
	json_write_object(w);
	json_write_key(w, "ProjectionType");
	json_write_string(w, x->projection);
	if (x->n_include > 0) {
		json_write_key(w, "NonKeyAttributes");
		json_write_array(w);
		for (size_t i = 0; i < x->n_include; i++)
			json_write_string(w, x->include[i]);
		json_write_array_end(w);
	}
	json_write_object_end(w);
	json_write_object_end(w);
	json_write_array_end(w);
}

static void write_capacity(struct json_writer *w, uint64_t units)
{
	json_write_key(w, "BillingMode");
	json_write_z(w, units > 0 ? "PROVISIONED" : "PAY_PER_REQUEST");
	if (units == 0)
		return;
	json_write_key(w, "ProvisionedThroughput");
	json_write_object(w);
	json_write_key(w, "ReadCapacityUnits");
	json_write_u64(w, units);
	json_write_key(w, "WriteCapacityUnits");
	json_write_u64(w, units);
	json_write_object_end(w);
}

static void write_table(struct json_writer *w, const struct provision_resource *r)
{
	struct provision_key key = provision_spec_key(r->spec->key);
	struct provision_key index_key = provision_spec_key(r->spec->index_key);

	json_write_key(w, "TableName");
	json_write_z(w, r->name);
	json_write_key(w, "AttributeDefinitions");
	json_write_array(w);
	write_definitions(w, &key);
	write_definitions(w, &index_key);
	json_write_array_end(w);
	write_key(w, &key);
	if (index_key.n > 0) {
		struct provision_index x = provision_spec_index(r);

		write_index(w, &x);
	}
	write_capacity(w, r->spec->units);
}

static void write_stream(struct json_writer *w, const struct provision_resource *r)
{
	json_write_key(w, "StreamName");
	json_write_z(w, r->name);
	json_write_key(w, "ShardCount");
	json_write_u64(w, r->spec->shards);
}

static void write_redrive(struct json_writer *w, const char *dead_arn)
{
	char text[PROVISION_URL_MAX + 80];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct json_writer policy = json_writer_over(&b);

	json_write_object(&policy);
	json_write_key(&policy, "deadLetterTargetArn");
	json_write_z(&policy, dead_arn);
	json_write_key(&policy, "maxReceiveCount");
	json_write_z(&policy, PROVISION_RECEIVES);
	json_write_object_end(&policy);
	json_write_key(w, "RedrivePolicy");
	json_write_string(w, ev_buf_str(&b));
}

static void write_queue(struct json_writer *w, const struct provision_resource *r,
			const char *dead_arn)
{
	json_write_key(w, "QueueName");
	json_write_z(w, r->name);
	json_write_key(w, "Attributes");
	json_write_object(w);
	json_write_key(w, PROVISION_RETENTION);
	json_write_z(w, PROVISION_RETENTION_S);
	if (r->spec->dead != PROVISION_NO_NAME) {
		json_write_key(w, PROVISION_VISIBILITY);
		json_write_z(w, PROVISION_VISIBILITY_S);
		json_write_key(w, PROVISION_RECEIVE_WAIT);
		json_write_z(w, PROVISION_RECEIVE_WAIT_S);
		write_redrive(w, dead_arn);
	}
	json_write_object_end(w);
}

struct ev_str provision_create_body(const struct provision_resource *r, const char *dead_arn,
				    char out[PROVISION_BODY_MAX])
{
	struct ev_buf b = ev_buf_over(out, PROVISION_BODY_MAX);
	struct json_writer w = json_writer_over(&b);

	json_write_object(&w);
	if (r->kind == PROVISION_TABLE)
		write_table(&w, r);
	else if (r->kind == PROVISION_STREAM)
		write_stream(&w, r);
	else
		write_queue(&w, r, dead_arn);
	json_write_object_end(&w);
	return ev_buf_str(&b);
}
