/* test/cloud/sqs_queue.c — making queues, and what is in them. */
#include "cloud/sqs.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define URL "https://sqs." CLOUD_REGION ".amazonaws.com/" CLOUD_ACCOUNT "/"
#define ARN "arn:aws:sqs:" CLOUD_REGION ":" CLOUD_ACCOUNT ":"

struct queue *queue_find(struct cloud *c, struct ev_str name)
{
	struct queue *q = c->queues;

	while (q != NULL && !ev_str_eq(q->name, name))
		q = q->next;
	return q;
}

bool queue_of(struct request *r, struct queue **out)
{
	struct ev_str url;

	if (!need_text(r, r->body, "QueueUrl", &url))
		return false;
	for (*out = r->cloud->queues; *out != NULL; *out = (*out)->next) {
		if (ev_str_eq((*out)->url, url))
			break;
	}
	if (*out == NULL)
		return refuse(r, "QueueDoesNotExist",
			      "The specified queue does not exist for this wsdl version.");
	queue_expire(r->cloud, *out);
	return true;
}

struct ev_str queue_attr(const struct queue *q, const char *name)
{
	for (const struct queue_attr *a = q->attrs; a != NULL; a = a->next) {
		if (ev_str_eqz(a->name, name))
			return a->value;
	}
	return (struct ev_str){ NULL, 0 };
}

int64_t queue_number(const struct queue *q, const char *name, int64_t otherwise)
{
	int64_t v;

	return num_parse_i64(queue_attr(q, name), &v) == EV_OK ? v : otherwise;
}

/* --- Messages --- */

void message_free(struct message *m)
{
	struct pool pool = m->pool;

	pool_clear(&pool);
	free(m);
}

void queue_push(struct cloud *c, struct queue *q, struct message *m)
{
	if (q->n == q->cap) {
		q->cap = q->cap == 0 ? 16 : 2 * q->cap;
		q->messages = must_realloc(q->messages, q->cap, sizeof(*q->messages));
	}
	q->messages[q->n++] = m;
	c->sqs_version++;
}

struct message *queue_take(struct queue *q, size_t at)
{
	struct message *m = q->messages[at];

	q->n--;
	memmove(q->messages + at, q->messages + at + 1, (q->n - at) * sizeof(*q->messages));
	return m;
}

void queue_expire(struct cloud *c, struct queue *q)
{
	int64_t kept = queue_number(q, "MessageRetentionPeriod", 345600) * EV_NS_PER_S;
	int64_t now = cloud_wall_ns(c);

	for (size_t i = q->n; i-- > 0;) {
		if (q->messages[i]->sent_ns + kept < now)
			message_free(queue_take(q, i));
	}
}

static void queue_free(struct queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		message_free(q->messages[i]);
	free(q->messages);
	pool_clear(&q->pool);
	free(q);
}

void sqs_free(struct cloud *c)
{
	while (c->queues != NULL) {
		struct queue *next = c->queues->next;

		queue_free(c->queues);
		c->queues = next;
	}
}

int64_t sqs_next_ns(const struct cloud *c, uint64_t queue)
{
	const struct queue *q = c->queues;
	int64_t now = cloud_mono_ns(c), next = INT64_MAX;

	while (q != NULL && q->id != queue)
		q = q->next;
	for (size_t i = 0; q != NULL && i < q->n; i++) {
		int64_t at = q->messages[i]->visible_ns;

		if (at > now && at < next)
			next = at;
	}
	return next;
}

/* --- Attributes of queues --- */

static const struct {
	const char *name;
	int64_t min, max; /* a number; both 0: a text */
	const char *otherwise;
} known[] = {
	{ "VisibilityTimeout", 0, 43200, "30" },
	{ "MessageRetentionPeriod", 60, 1209600, "345600" },
	{ "ReceiveMessageWaitTimeSeconds", 0, 20, "0" },
	{ "DelaySeconds", 0, 900, "0" },
	{ "MaximumMessageSize", 1024, 1048576, "1048576" },
	{ "RedrivePolicy", 0, 0, NULL },
	{ "RedriveAllowPolicy", 0, 0, NULL },
	{ "Policy", 0, 0, NULL },
	{ "KmsMasterKeyId", 0, 0, NULL },
	{ "KmsDataKeyReusePeriodSeconds", 60, 86400, NULL },
	{ "SqsManagedSseEnabled", 0, 0, "true" },
};

static bool check_attr(struct request *r, const struct node *a)
{
	size_t i = 0;
	int64_t v;

	while (i < EV_ARRAY_LEN(known) && !ev_str_eqz(a->key, known[i].name))
		i++;
	if (i == EV_ARRAY_LEN(known))
		return refuse(r, "InvalidAttributeName", "Unknown Attribute %.*s.", (int)a->key.n,
			      a->key.p);
	if (a->kind != NODE_STRING)
		return refuse(r, "SerializationException", "an attribute is a text");
	if (known[i].max > 0 &&
	    (num_parse_i64(a->text, &v) != EV_OK || v < known[i].min || v > known[i].max))
		return refuse(r, "InvalidAttributeValue", "Invalid value for the parameter %s.",
			      known[i].name);
	return true;
}

/* The dead-letter queue must be there. */
static bool check_redrive(struct request *r, const struct node *policy)
{
	struct node *p = NULL;
	const struct node *arn, *count;
	uint64_t n = 0;
	size_t prefix = sizeof(ARN) - 1;

	if (policy == NULL || policy->text.n == 0)
		return true;
	if (node_parse(&r->pool, policy->text, &p) != EV_OK)
		return refuse(r, "InvalidAttributeValue", "RedrivePolicy is no JSON");
	arn = node_get(p, "deadLetterTargetArn");
	count = node_get(p, "maxReceiveCount");
	if (arn == NULL || count == NULL || arn->kind != NODE_STRING || arn->text.n <= prefix ||
	    num_parse_u64(count->text, &n) != EV_OK || n < 1 || n > 1000)
		return refuse(r, "InvalidAttributeValue", "RedrivePolicy is not valid");
	if (queue_find(r->cloud, (struct ev_str){ arn->text.p + prefix, arn->text.n - prefix }) ==
	    NULL)
		return refuse(r, "InvalidAttributeValue", "Dead letter target does not exist.");
	return true;
}

static bool set_attrs(struct request *r, struct queue *q, const struct node *attrs)
{
	for (const struct node *a = attrs == NULL ? NULL : attrs->first; a != NULL; a = a->next) {
		if (!check_attr(r, a))
			return false;
	}
	if (!check_redrive(r, node_get(attrs, "RedrivePolicy")))
		return false;
	for (const struct node *a = attrs == NULL ? NULL : attrs->first; a != NULL; a = a->next) {
		struct queue_attr *set = q->attrs;

		while (set != NULL && !ev_str_eq(set->name, a->key))
			set = set->next;
		if (set == NULL) {
			set = pool_alloc(&q->pool, sizeof(*set));
			set->name = pool_copy(&q->pool, a->key);
			set->next = q->attrs;
			q->attrs = set;
		}
		set->value = pool_copy(&q->pool, a->text);
	}
	return true;
}

/* --- The operations --- */

static bool write_url(struct request *r, const struct queue *q)
{
	json_write_object(&r->w);
	json_write_key(&r->w, "QueueUrl");
	json_write_string(&r->w, q->url);
	json_write_object_end(&r->w);
	return true;
}

static bool valid_name(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= 80;
}

/* The same queue again is no error; with other attributes it is. */
static bool same_queue(struct request *r, const struct queue *q, const struct node *attrs)
{
	for (const struct node *a = attrs == NULL ? NULL : attrs->first; a != NULL; a = a->next) {
		struct ev_str is = queue_attr(q, "");
		size_t i = 0;

		for (const struct queue_attr *s = q->attrs; s != NULL; s = s->next) {
			if (ev_str_eq(s->name, a->key))
				is = s->value;
		}
		while (i < EV_ARRAY_LEN(known) && !ev_str_eqz(a->key, known[i].name))
			i++;
		if (is.p == NULL && i < EV_ARRAY_LEN(known) && known[i].otherwise != NULL)
			is = ev_str_from(known[i].otherwise);
		if (!ev_str_eq(is, a->text))
			return refuse(r, "QueueNameExists",
				      "A queue already exists with the same name and a different "
				      "value for attribute %.*s",
				      (int)a->key.n, a->key.p);
	}
	return write_url(r, q);
}

bool sqs_create_queue(struct request *r)
{
	struct cloud *c = r->cloud;
	const struct node *attrs;
	struct ev_str name;
	struct queue *q;
	char *url;

	if (!need_text(r, r->body, "QueueName", &name) ||
	    !want(r, r->body, "Attributes", NODE_OBJECT, &attrs))
		return false;
	if (!valid_name(name))
		return refuse(r, "InvalidParameterValue",
			      "Can only include alphanumeric characters, hyphens, or underscores. "
			      "1 to 80 in length");
	q = queue_find(c, name);
	if (q != NULL)
		return same_queue(r, q, attrs);
	q = must_calloc(1, sizeof(*q));
	if (!set_attrs(r, q, attrs)) {
		queue_free(q);
		return false;
	}
	q->name = pool_copy(&q->pool, name);
	url = pool_alloc(&q->pool, sizeof(URL) + name.n);
	memcpy(url, URL, sizeof(URL) - 1);
	memcpy(url + sizeof(URL) - 1, name.p, name.n);
	q->url = (struct ev_str){ url, sizeof(URL) - 1 + name.n };
	q->id = ++c->n_queues;
	q->created_ns = cloud_wall_ns(c);
	q->next = c->queues;
	c->queues = q;
	return write_url(r, q);
}

bool sqs_get_url(struct request *r)
{
	struct ev_str name;
	const struct queue *q;

	if (!need_text(r, r->body, "QueueName", &name))
		return false;
	q = queue_find(r->cloud, name);
	return q != NULL ? write_url(r, q)
			 : refuse(r, "QueueDoesNotExist", "The specified queue does not exist.");
}

bool sqs_list_queues(struct request *r)
{
	struct ev_str prefix = { NULL, 0 };

	if (!want_text(r, r->body, "QueueNamePrefix", &prefix))
		return false;
	json_write_object(&r->w);
	json_write_key(&r->w, "QueueUrls");
	json_write_array(&r->w);
	for (const struct queue *q = r->cloud->queues; q != NULL; q = q->next) {
		if (ev_str_starts(q->name, prefix))
			json_write_string(&r->w, q->url);
	}
	json_write_array_end(&r->w);
	json_write_object_end(&r->w);
	return true;
}

bool sqs_set_attributes(struct request *r)
{
	const struct node *attrs;
	struct queue *q;

	return queue_of(r, &q) && need(r, r->body, "Attributes", NODE_OBJECT, &attrs) &&
	       set_attrs(r, q, attrs);
}

static bool is_asked(const struct node *names, const char *name)
{
	for (const struct node *n = names == NULL ? NULL : names->first; n != NULL; n = n->next) {
		if (ev_str_eqz(n->text, "All") || ev_str_eqz(n->text, name))
			return true;
	}
	return false;
}

static void write_attr(struct request *r, const struct node *names, const char *name,
		       struct ev_str value)
{
	if (!is_asked(names, name) || value.p == NULL)
		return;
	json_write_string(&r->w, ev_str_from(name));
	ev_buf_char(r->w.b, ':');
	r->w.comma = false;
	json_write_string(&r->w, value);
}

static void write_count(struct request *r, const struct node *names, const char *name, uint64_t n)
{
	char text[24];
	struct ev_buf b = ev_buf_over(text, sizeof(text));

	ev_buf_u64(&b, n);
	write_attr(r, names, name, ev_buf_str(&b));
}

static struct ev_str arn_of(struct request *r, const struct queue *q)
{
	size_t cap = sizeof(ARN) + q->name.n;
	struct ev_buf b = ev_buf_over(pool_alloc(&r->pool, cap), cap);

	ev_buf_z(&b, ARN);
	ev_buf_str_add(&b, q->name);
	return ev_buf_str(&b);
}

static void write_attrs(struct request *r, const struct queue *q, const struct node *names)
{
	uint64_t visible = 0, in_flight = 0;
	int64_t now = cloud_mono_ns(r->cloud);

	for (size_t i = 0; i < q->n; i++) {
		visible += q->messages[i]->visible_ns <= now;
		in_flight += q->messages[i]->visible_ns > now && q->messages[i]->in_flight;
	}
	write_attr(r, names, "QueueArn", arn_of(r, q));
	write_count(r, names, "ApproximateNumberOfMessages", visible);
	write_count(r, names, "ApproximateNumberOfMessagesNotVisible", in_flight);
	write_count(r, names, "ApproximateNumberOfMessagesDelayed", q->n - visible - in_flight);
	write_count(r, names, "CreatedTimestamp", (uint64_t)(q->created_ns / EV_NS_PER_S));
	write_count(r, names, "LastModifiedTimestamp", (uint64_t)(q->created_ns / EV_NS_PER_S));
	for (size_t i = 0; i < EV_ARRAY_LEN(known); i++) {
		struct ev_str value = queue_attr(q, known[i].name);

		if (value.p == NULL && known[i].otherwise != NULL)
			value = ev_str_from(known[i].otherwise);
		write_attr(r, names, known[i].name, value);
	}
}

bool sqs_get_attributes(struct request *r)
{
	const struct node *names;
	struct queue *q;

	if (!queue_of(r, &q) || !want(r, r->body, "AttributeNames", NODE_ARRAY, &names))
		return false;
	json_write_object(&r->w);
	if (names != NULL && names->n > 0) {
		json_write_key(&r->w, "Attributes");
		json_write_object(&r->w);
		write_attrs(r, q, names);
		json_write_object_end(&r->w);
	}
	json_write_object_end(&r->w);
	return true;
}

bool sqs_delete_queue(struct request *r)
{
	struct queue *q, **at = &r->cloud->queues;

	if (!queue_of(r, &q))
		return false;
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	queue_free(q);
	r->cloud->sqs_version++;
	return true;
}

bool sqs_purge(struct request *r)
{
	struct queue *q;

	if (!queue_of(r, &q))
		return false;
	while (q->n > 0)
		message_free(queue_take(q, q->n - 1));
	return true;
}
