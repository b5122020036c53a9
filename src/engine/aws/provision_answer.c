/* engine/aws/provision_answer.c — what the services say of a resource. */
#include <stdlib.h>

#include "base/num.h"
#include "codec/json_read.h"
#include "engine/aws/provision_spec.h"

/* The raw text of an object's member; empty if it is absent or null. */
static ev_err member(struct ev_str object, const char *name, struct ev_str *out)
{
	struct ev_str found = { NULL, 0 };
	struct json_reader r;
	struct json_span key;
	bool more;

	json_read_init(&r, object, NULL);
	ev_err e = json_read_object(&r);

	while (e == EV_OK && (e = json_read_key(&r, &more, &key)) == EV_OK && more) {
		bool ours = !key.escaped && ev_str_eqz(key.raw, name);
		bool null = false;
		struct ev_str raw;

		e = json_read_null(&r, &null);
		if (e == EV_OK && !null)
			e = json_skip(&r, &raw);
		if (e == EV_OK && !null && ours)
			found = raw;
	}
	if (e != EV_OK)
		return EV_CORRUPT;
	*out = found;
	return EV_OK;
}

/* The member must be there. */
static ev_err need(struct ev_str object, const char *name, struct ev_str *out)
{
	struct ev_str raw = { NULL, 0 };
	ev_err e = member(object, name, &raw);

	if (e == EV_OK && raw.n == 0)
		e = EV_CORRUPT;
	if (e == EV_OK)
		*out = raw;
	return e;
}

/* A string member without escapes, as all names and states are. */
static ev_err need_text(struct ev_str object, const char *name, struct ev_str *out)
{
	struct ev_str raw;
	struct json_reader r;
	struct json_span text;
	ev_err e = need(object, name, &raw);

	if (e != EV_OK)
		return e;
	json_read_init(&r, raw, NULL);
	if (json_read_string(&r, &text) != EV_OK || text.escaped)
		return EV_CORRUPT;
	*out = text.raw;
	return EV_OK;
}

/* A string member's text with a NUL; an absent one is empty. */
static ev_err text_member(struct ev_str object, const char *name, char *out, size_t cap)
{
	struct ev_str raw = { NULL, 0 };
	struct json_reader r;
	struct json_span text;
	size_t n = 0;
	ev_err e = member(object, name, &raw);

	if (e != EV_OK)
		return e;
	if (raw.n > 0) {
		json_read_init(&r, raw, NULL);
		if (json_read_string(&r, &text) != EV_OK ||
		    (n = json_unescape(&text, out, cap - 1)) >= cap)
			return EV_CORRUPT;
	}
	out[n] = '\0';
	return EV_OK;
}

/* The items of an array member, at most max; none if it is absent. */
static ev_err items_of(struct ev_str object, const char *name, struct ev_str items[], size_t max,
		       size_t *out_n)
{
	struct ev_str raw = { NULL, 0 };
	struct json_reader r;
	size_t n = 0;
	bool more;
	ev_err e = member(object, name, &raw);

	if (e != EV_OK || raw.n == 0) {
		*out_n = 0;
		return e;
	}
	json_read_init(&r, raw, NULL);
	e = json_read_array(&r);
	while (e == EV_OK && (e = json_read_item(&r, &more)) == EV_OK && more) {
		if (n == max)
			return EV_CORRUPT;
		e = json_skip(&r, &items[n++]);
	}
	*out_n = n;
	return e == EV_OK ? EV_OK : EV_CORRUPT;
}

static ev_err number_member(struct ev_str object, const char *name, uint64_t *out)
{
	struct ev_str raw = { NULL, 0 };
	ev_err e = member(object, name, &raw);

	if (e != EV_OK)
		return e;
	if (raw.n == 0) {
		*out = 0;
		return EV_OK;
	}
	return num_parse_u64(raw, out) == EV_OK ? EV_OK : EV_CORRUPT;
}

/* Where the setting's text goes; what does not fit is cut, and differs from what is wanted. */
static struct ev_buf found_buf(struct provision_setting *s)
{
	memset(s->found, 0, sizeof(s->found));
	return ev_buf_over(s->found, sizeof(s->found) - 1);
}

static void put_number(struct provision_resource *r, const char *name, uint64_t n)
{
	struct provision_setting *s = provision_setting_of(r, name);

	if (s != NULL) {
		struct ev_buf b = found_buf(s);

		ev_buf_u64(&b, n);
	}
}

static enum provision_state state_of(struct ev_str status)
{
	if (ev_str_eqz(status, "CREATING"))
		return PROVISION_COMING;
	return ev_str_eqz(status, "DELETING") ? PROVISION_GOING : PROVISION_THERE;
}

/* --- Tables --- */

#define DEFINITIONS_MAX 64
#define INDEXES_MAX 32

static ev_err type_of(struct ev_str table, struct ev_str attribute, struct ev_str *out)
{
	struct ev_str items[DEFINITIONS_MAX];
	size_t n;
	ev_err e = items_of(table, "AttributeDefinitions", items, DEFINITIONS_MAX, &n);

	for (size_t i = 0; e == EV_OK && i < n; i++) {
		struct ev_str name;

		e = need_text(items[i], "AttributeName", &name);
		if (e == EV_OK && ev_str_eq(name, attribute))
			return need_text(items[i], "AttributeType", out);
	}
	return e == EV_OK ? EV_CORRUPT : e;
}

/* Of a table, or of one of its indexes. */
static ev_err read_key(struct ev_str table, struct ev_str owner, struct provision_key *out)
{
	struct ev_str items[2];
	ev_err e = items_of(owner, "KeySchema", items, EV_ARRAY_LEN(items), &out->n);

	for (size_t i = 0; e == EV_OK && i < out->n; i++) {
		e = need_text(items[i], "AttributeName", &out->names[i]);
		if (e == EV_OK)
			e = type_of(table, out->names[i], &out->types[i]);
	}
	return e;
}

static int by_text(const void *a, const void *b)
{
	const struct ev_str *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int order = memcmp(x->p, y->p, n);

	return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static ev_err read_projection(struct ev_str index, struct provision_index *x)
{
	struct ev_str projection, items[PROVISION_INCLUDE_MAX];
	ev_err e = need(index, "Projection", &projection);

	if (e == EV_OK)
		e = need_text(projection, "ProjectionType", &x->projection);
	if (e == EV_OK)
		e = items_of(projection, "NonKeyAttributes", items, PROVISION_INCLUDE_MAX,
			     &x->n_include);
	for (size_t i = 0; e == EV_OK && i < x->n_include; i++) {
		struct json_reader r;
		struct json_span text;

		json_read_init(&r, items[i], NULL);
		if (json_read_string(&r, &text) != EV_OK)
			return EV_CORRUPT;
		x->include[i] = text.raw;
	}
	if (e == EV_OK && x->n_include > 1)
		qsort(x->include, x->n_include, sizeof(x->include[0]), by_text);
	return e;
}

/* The index that is wanted, if the table has one of that name. */
static ev_err read_index(struct provision_resource *r, struct ev_str table)
{
	struct provision_setting *s = provision_setting_of(r, PROVISION_INDEX);
	struct ev_str items[INDEXES_MAX];
	struct provision_index wanted, x;
	size_t n;

	if (s == NULL)
		return EV_OK;
	struct ev_buf b = found_buf(s);
	ev_err e = items_of(table, "GlobalSecondaryIndexes", items, INDEXES_MAX, &n);

	wanted = provision_spec_index(r);
	for (size_t i = 0; e == EV_OK && i < n; i++) {
		x = (struct provision_index){ .n_include = 0 };
		e = need_text(items[i], "IndexName", &x.name);
		if (e != EV_OK || !ev_str_eq(x.name, wanted.name))
			continue;
		e = read_key(table, items[i], &x.key);
		if (e == EV_OK)
			e = read_projection(items[i], &x);
		if (e == EV_OK)
			provision_index_text(&b, &x);
	}
	return e;
}

static ev_err read_capacity(struct provision_resource *r, struct ev_str table)
{
	struct ev_str throughput = { NULL, 0 };
	uint64_t reads = 0, writes = 0;
	struct ev_buf b = found_buf(provision_setting_of(r, PROVISION_CAPACITY));
	ev_err e = member(table, "ProvisionedThroughput", &throughput);

	if (e == EV_OK && throughput.n > 0) {
		e = number_member(throughput, "ReadCapacityUnits", &reads);
		if (e == EV_OK)
			e = number_member(throughput, "WriteCapacityUnits", &writes);
	}
	if (e == EV_OK)
		provision_capacity_text(&b, reads, writes);
	return e;
}

ev_err provision_read_table(struct provision_resource *r, struct ev_str answer)
{
	struct provision_key key;
	struct ev_str table, status;
	struct ev_buf b = found_buf(provision_setting_of(r, PROVISION_KEY));
	ev_err e = need(answer, "Table", &table);

	if (e == EV_OK)
		e = need_text(table, "TableStatus", &status);
	if (e == EV_OK)
		e = read_key(table, table, &key);
	if (e == EV_OK)
		e = read_index(r, table);
	if (e == EV_OK)
		e = read_capacity(r, table);
	if (e != EV_OK)
		return e;
	provision_key_text(&b, &key);
	r->state = state_of(status);
	return EV_OK;
}

ev_err provision_read_ttl(struct provision_resource *r, struct ev_str answer)
{
	struct ev_str description, status, name = { NULL, 0 };
	struct provision_setting *s = provision_setting_of(r, PROVISION_TTL);
	ev_err e = need(answer, "TimeToLiveDescription", &description);

	if (e == EV_OK)
		e = need_text(description, "TimeToLiveStatus", &status);
	if (e == EV_OK && (ev_str_eqz(status, "ENABLED") || ev_str_eqz(status, "ENABLING")))
		e = need_text(description, "AttributeName", &name);
	if (e != EV_OK || s == NULL)
		return e;
	struct ev_buf b = found_buf(s);

	ev_buf_str_add(&b, name);
	return EV_OK;
}

/* --- Streams and queues --- */

ev_err provision_read_stream(struct provision_resource *r, struct ev_str answer)
{
	struct ev_str summary, status;
	uint64_t shards, hours;
	ev_err e = need(answer, "StreamDescriptionSummary", &summary);

	if (e == EV_OK)
		e = need_text(summary, "StreamStatus", &status);
	if (e == EV_OK)
		e = number_member(summary, PROVISION_SHARDS, &shards);
	if (e == EV_OK)
		e = number_member(summary, PROVISION_HOURS, &hours);
	if (e != EV_OK)
		return e;
	put_number(r, PROVISION_SHARDS, shards);
	put_number(r, PROVISION_HOURS, hours);
	r->state = state_of(status);
	return EV_OK;
}

/* The last part of an ARN, which for a queue is its name. */
static struct ev_str arn_name(const char *arn)
{
	const char *colon = strrchr(arn, ':');

	return ev_str_from(colon != NULL ? colon + 1 : arn);
}

static ev_err read_redrive(struct provision_resource *r, struct ev_str attributes)
{
	struct provision_setting *queue = provision_setting_of(r, PROVISION_DEAD_LETTERS);
	struct provision_setting *times = provision_setting_of(r, PROVISION_MAX_RECEIVES);
	char policy[PROVISION_URL_MAX + 256], arn[PROVISION_URL_MAX];
	struct ev_str count = { NULL, 0 };
	ev_err e = text_member(attributes, "RedrivePolicy", policy, sizeof(policy));

	if (queue == NULL || times == NULL)
		return e;
	struct ev_buf queue_buf = found_buf(queue), times_buf = found_buf(times);

	if (e != EV_OK || policy[0] == '\0')
		return e;
	e = text_member(ev_str_from(policy), "deadLetterTargetArn", arn, sizeof(arn));
	if (e == EV_OK)
		e = need(ev_str_from(policy), "maxReceiveCount", &count);
	if (e != EV_OK)
		return e;
	if (count.n >= 2 && count.p[0] == '"') /* a number, or a number as text */
		count = (struct ev_str){ count.p + 1, count.n - 2 };
	ev_buf_str_add(&queue_buf, arn_name(arn));
	ev_buf_str_add(&times_buf, count);
	return EV_OK;
}

ev_err provision_read_queue(struct provision_resource *r, struct ev_str answer)
{
	static const char *const plain[] = { PROVISION_RETENTION, PROVISION_VISIBILITY,
					     PROVISION_RECEIVE_WAIT };
	struct ev_str attributes;
	ev_err e = need(answer, "Attributes", &attributes);

	for (size_t i = 0; e == EV_OK && i < EV_ARRAY_LEN(plain); i++) {
		struct provision_setting *s = provision_setting_of(r, plain[i]);

		if (s != NULL)
			e = text_member(attributes, plain[i], s->found, sizeof(s->found));
	}
	if (e == EV_OK)
		e = read_redrive(r, attributes);
	if (e == EV_OK)
		r->state = PROVISION_THERE;
	return e;
}

ev_err provision_read_url(struct ev_str answer, char out[PROVISION_URL_MAX])
{
	char url[PROVISION_URL_MAX];
	ev_err e = text_member(answer, "QueueUrl", url, sizeof(url));

	if (e == EV_OK && url[0] == '\0')
		e = EV_CORRUPT;
	if (e == EV_OK)
		memcpy(out, url, sizeof(url));
	return e;
}

ev_err provision_read_arn(struct ev_str answer, char out[PROVISION_URL_MAX])
{
	struct ev_str attributes;
	char arn[PROVISION_URL_MAX];
	ev_err e = need(answer, "Attributes", &attributes);

	if (e == EV_OK)
		e = text_member(attributes, "QueueArn", arn, sizeof(arn));
	if (e == EV_OK && arn[0] == '\0')
		e = EV_CORRUPT;
	if (e == EV_OK)
		memcpy(out, arn, sizeof(arn));
	return e;
}
