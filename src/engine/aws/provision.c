/* engine/aws/provision.c — looks at what is there, and creates what is not. */
#include "engine/aws/provision.h"

#include "base/buf.h"
#include "codec/json_write.h"
#include "engine/aws/provision_spec.h"

#define MS INT64_C(1000000)
#define WAIT_FIRST_NS (200 * MS) /* between two looks, then twice as long */
#define WAIT_MAX_NS (3000 * MS)
#define SMALL_BODY (PROVISION_URL_MAX + 256)

/* One call at a time: its answer lives until the next. */
struct work {
	const struct provision *v;
	struct provision_plan *p;
	struct ev_fail *fail;
	int64_t deadline_ns; /* 0: none */
	struct aws_call call;
};

static void work_deinit(struct work *w)
{
	aws_call_clear(&w->call);
}

static ev_err failed(const struct work *w, const char *name)
{
	const struct aws_error *error = &w->call.error;
	ev_err e = w->call.err;

	if (error->kind == AWS_ERROR_DENIED && error->status != 0)
		return ev_fail_set(w->fail, EV_DENIED, error->status,
				   "%s: the permission %s:%s is missing", name,
				   aws_service_name(w->call.service), w->call.operation);
	/* EV_INVALID would tell the caller that the user's words were wrong. */
	return ev_fail_set(w->fail, e == EV_INVALID ? EV_UNSUPPORTED : e, error->status,
			   "%s: %s: %s: %.90s", name, w->call.operation,
			   error->code[0] != '\0' ? error->code : ev_err_text(e), error->message);
}

static ev_err ask(struct work *w, enum aws_service service, const char *operation,
		  struct ev_str body)
{
	aws_call_clear(&w->call);
	w->call = (struct aws_call){ .service = service, .operation = operation, .body = body };
	return aws_caller_one(w->v->caller, &w->call, w->deadline_ns);
}

static ev_err bad_answer(const struct work *w, const char *name)
{
	return ev_fail_set(w->fail, EV_CORRUPT, 0, "%s: %s was answered with something else", name,
			   w->call.operation);
}

/* {"key":"name"} */
static struct ev_str name_body(const char *quoted_key, size_t n, const char *name,
			       char out[SMALL_BODY])
{
	struct ev_buf b = ev_buf_over(out, SMALL_BODY);
	struct json_writer w = json_writer_over(&b);

	json_write_object(&w);
	json_write_key_n(&w, quoted_key, n);
	json_write_z(&w, name);
	json_write_object_end(&w);
	return ev_buf_str(&b);
}
#define NAME_BODY(key, name, out) name_body("\"" key "\":", sizeof("\"" key "\":") - 1, name, out)

static void forget(struct provision_resource *r)
{
	r->state = PROVISION_ABSENT;
	for (size_t i = 0; i < r->n_settings; i++)
		r->settings[i].found[0] = '\0';
}

/* --- Looking --- */

static ev_err look_at_ttl(struct work *w, struct provision_resource *r)
{
	struct provision_setting *s = provision_setting_of(r, PROVISION_TTL);
	char body[SMALL_BODY];

	if (s == NULL || r->state != PROVISION_THERE)
		return EV_OK;
	ev_err e = ask(w, AWS_DYNAMODB, "DescribeTimeToLive",
		       NAME_BODY("TableName", r->name, body));

	if (e == EV_UNSUPPORTED) { /* not by Amazon's own DynamoDB */
		s->rule = PROVISION_UNKNOWN;
		return EV_OK;
	}
	if (e != EV_OK)
		return failed(w, r->name);
	return provision_read_ttl(r, w->call.answer) == EV_OK ? EV_OK : bad_answer(w, r->name);
}

/* One that vanishes while it is looked at is as absent. */
static ev_err look_at_table(struct work *w, struct provision_resource *r)
{
	char body[SMALL_BODY];
	ev_err e = ask(w, AWS_DYNAMODB, "DescribeTable", NAME_BODY("TableName", r->name, body));

	if (e == EV_NOTFOUND)
		return EV_OK;
	if (e != EV_OK)
		return failed(w, r->name);
	if (provision_read_table(r, w->call.answer) != EV_OK)
		return bad_answer(w, r->name);
	return look_at_ttl(w, r);
}

static ev_err look_at_stream(struct work *w, struct provision_resource *r)
{
	char body[SMALL_BODY];
	ev_err e = ask(w, AWS_KINESIS, "DescribeStreamSummary",
		       NAME_BODY("StreamName", r->name, body));

	if (e == EV_NOTFOUND)
		return EV_OK;
	if (e != EV_OK)
		return failed(w, r->name);
	return provision_read_stream(r, w->call.answer) == EV_OK ? EV_OK : bad_answer(w, r->name);
}

static struct ev_str attributes_body(const char *url, char out[SMALL_BODY])
{
	struct ev_buf b = ev_buf_over(out, SMALL_BODY);
	struct json_writer w = json_writer_over(&b);

	json_write_object(&w);
	json_write_key(&w, "QueueUrl");
	json_write_z(&w, url);
	json_write_key(&w, "AttributeNames");
	json_write_array(&w);
	json_write_z(&w, "All");
	json_write_array_end(&w);
	json_write_object_end(&w);
	return ev_buf_str(&b);
}

/* Leaves the answer of GetQueueAttributes.  EV_NOTFOUND; else *w->fail is filled. */
static ev_err queue_attributes(struct work *w, const char *name)
{
	char body[SMALL_BODY], url[PROVISION_URL_MAX];
	ev_err e = ask(w, AWS_SQS, "GetQueueUrl", NAME_BODY("QueueName", name, body));

	if (e == EV_OK) {
		if (provision_read_url(w->call.answer, url) != EV_OK)
			return bad_answer(w, name);
		e = ask(w, AWS_SQS, "GetQueueAttributes", attributes_body(url, body));
	}
	return e == EV_OK || e == EV_NOTFOUND ? e : failed(w, name);
}

static ev_err look_at_queue(struct work *w, struct provision_resource *r)
{
	ev_err e = queue_attributes(w, r->name);

	if (e != EV_OK)
		return e == EV_NOTFOUND ? EV_OK : e;
	return provision_read_queue(r, w->call.answer) == EV_OK ? EV_OK : bad_answer(w, r->name);
}

static ev_err look_at(struct work *w, struct provision_resource *r)
{
	static ev_err (*const looks[])(struct work * w, struct provision_resource * r) = {
		[PROVISION_QUEUE] = look_at_queue,
		[PROVISION_STREAM] = look_at_stream,
		[PROVISION_TABLE] = look_at_table,
	};
	_Static_assert(EV_ARRAY_LEN(looks) == PROVISION_KIND_COUNT, "every kind is looked at");

	forget(r);
	return looks[r->kind](w, r);
}

static ev_err look_at_all(struct work *w)
{
	ev_err e = EV_OK;

	for (size_t i = 0; e == EV_OK && i < w->p->n; i++)
		e = look_at(w, &w->p->items[i]);
	return e;
}

ev_err provision_look(const struct provision *v, struct provision_plan *p, struct ev_fail *fail)
{
	EV_CLEANUP(work_deinit) struct work w = { .v = v, .p = p, .fail = fail };

	return look_at_all(&w);
}

/* --- Creating --- */

static ev_err too_late(const struct work *w, const struct provision_resource *r)
{
	return ev_fail_set(w->fail, EV_TIMEOUT, 0, "%s: cannot be used yet; run it again", r->name);
}

/*
 * Until everything is there.  What is absent was created a moment ago (the services are not of one
 * mind at once) or has been deleted by somebody.
 */
static ev_err wait_for(struct work *w, struct provision_resource *r)
{
	int64_t wait_ns = WAIT_FIRST_NS;

	for (;;) {
		ev_err e = look_at(w, r);

		if (e != EV_OK || r->state == PROVISION_THERE)
			return e;
		if (ev_clock_mono_ns(w->v->clock) + wait_ns > w->deadline_ns)
			return too_late(w, r);
		w->v->caller->ops->pause(w->v->caller, wait_ns);
		wait_ns = wait_ns * 2 < WAIT_MAX_NS ? wait_ns * 2 : WAIT_MAX_NS;
	}
}

/* A queue of a moment ago is found a little later only.  Empty if the resource has none. */
static ev_err dead_letters_arn(struct work *w, const struct provision_resource *r,
			       char out[PROVISION_URL_MAX])
{
	struct provision_resource *dead = provision_dead_letters_of(w->p, r);

	out[0] = '\0';
	if (dead == NULL)
		return EV_OK;
	ev_err e = wait_for(w, dead);

	if (e != EV_OK)
		return e;
	return provision_read_arn(w->call.answer, out) == EV_OK ? EV_OK : bad_answer(w, dead->name);
}

/* Somebody else may have been first, with the same settings or with others: the last look tells. */
static ev_err create_one(struct work *w, struct provision_resource *r)
{
	static const char *const operations[] = {
		[PROVISION_QUEUE] = "CreateQueue",
		[PROVISION_STREAM] = "CreateStream",
		[PROVISION_TABLE] = "CreateTable",
	};
	char body[PROVISION_BODY_MAX], arn[PROVISION_URL_MAX];
	ev_err e = dead_letters_arn(w, r, arn);

	if (e != EV_OK)
		return e;
	e = ask(w, r->service, operations[r->kind], provision_create_body(r, arn, body));
	r->created = e == EV_OK;
	return e == EV_OK || e == EV_EXISTS ? EV_OK : failed(w, r->name);
}

static ev_err create_missing(struct work *w)
{
	ev_err e = EV_OK;

	for (size_t i = 0; e == EV_OK && i < w->p->n; i++) {
		if (w->p->items[i].state == PROVISION_ABSENT)
			e = create_one(w, &w->p->items[i]);
	}
	return e;
}

static struct ev_str ttl_body(const struct provision_resource *r, char out[SMALL_BODY])
{
	struct ev_buf b = ev_buf_over(out, SMALL_BODY);
	struct json_writer w = json_writer_over(&b);

	json_write_object(&w);
	json_write_key(&w, "TableName");
	json_write_z(&w, r->name);
	json_write_key(&w, "TimeToLiveSpecification");
	json_write_object(&w);
	json_write_key(&w, "AttributeName");
	json_write_z(&w, r->spec->expires);
	json_write_key(&w, "Enabled");
	json_write_bool(&w, true);
	json_write_object_end(&w);
	json_write_object_end(&w);
	return ev_buf_str(&b);
}

static ev_err switch_on(struct work *w, struct provision_resource *r)
{
	char body[SMALL_BODY];

	if (!provision_is_switch(r))
		return EV_OK;
	ev_err e = ask(w, AWS_DYNAMODB, "UpdateTimeToLive", ttl_body(r, body));
	struct aws_error first = w->call.error;

	if (e == EV_OK) {
		r->created = true;
	} else if (e == EV_UNSUPPORTED) { /* not by Amazon's own DynamoDB */
		provision_setting_of(r, PROVISION_TTL)->rule = PROVISION_UNKNOWN;
		return EV_OK;
	} else if (first.kind != AWS_ERROR_VALIDATION) { /* which is: somebody else was first */
		return failed(w, r->name);
	}
	e = look_at(w, r);
	if (e == EV_OK && provision_is_switch(r))
		return ev_fail_set(w->fail, EV_BUSY, first.status,
				   "%s: the time to live stays off: %.90s", r->name, first.message);
	return e;
}

static ev_err refuse_stuck(const struct work *w)
{
	for (size_t i = 0; i < w->p->n; i++) {
		const struct provision_resource *r = &w->p->items[i];

		if (provision_action(r) == PROVISION_STUCK)
			return ev_fail_set(w->fail, EV_BUSY, 0,
					   "%s: is being deleted; run it again when it is gone",
					   r->name);
	}
	return EV_OK;
}

ev_err provision_create(const struct provision *v, struct provision_plan *p, struct ev_fail *fail)
{
	EV_CLEANUP(work_deinit)
	struct work w = { .v = v,
			  .p = p,
			  .fail = fail,
			  .deadline_ns = ev_clock_mono_ns(v->clock) + v->limit_ns };
	ev_err e = refuse_stuck(&w);

	if (e == EV_OK)
		e = create_missing(&w);
	for (size_t i = 0; e == EV_OK && i < p->n; i++)
		e = wait_for(&w, &p->items[i]);
	for (size_t i = 0; e == EV_OK && i < p->n; i++)
		e = switch_on(&w, &p->items[i]);
	return e;
}
