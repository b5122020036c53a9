/* codec/api_json.c — see api_json.h. */
#include "codec/api_json.h"

#include <assert.h>

#include "codec/json_field.h"
#include "codec/json_record.h"

/* Rules */

static void add_problem(struct api_problems *p, const char *field, const char *text)
{
	assert(p->n < API_PROBLEMS_MAX);
	p->item[p->n++] = (struct api_problem){ field, text };
}

static bool has_control(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c == 0x7f)
			return true;
	}
	return false;
}

/* Why a text of min to max bytes will not do; NULL if it does. */
static const char *text_fault(const struct json_text *t, size_t min, size_t max,
			      const char *length_text)
{
	assert(max <= JSON_TEXT_MAX);
	if (t->n < min || t->n > max)
		return length_text;
	if (has_control((struct ev_str){ t->s, t->n }))
		return "must not hold control characters";
	return NULL;
}

/* Copies a text that keeps the rule, else adds a problem. */
static void check_text(struct api_problems *p, const char *field, const struct json_text *t,
		       size_t max, const char *length_text, char *out)
{
	const char *fault = text_fault(t, 1, max, length_text);

	if (fault != NULL)
		add_problem(p, field, fault);
	else
		memcpy(out, t->s, t->n + 1);
}

static void check_code(struct api_problems *p, const struct json_text *t, char *out)
{
	check_text(p, "outletCode", t, OUTLET_CODE_MAX, "must be of 1 to 64 bytes", out);
}

static void check_256(struct api_problems *p, const char *field, const struct json_text *t,
		      char *out)
{
	static_assert(OUTLET_ADDRESS_MAX == 256 && CUSTOMER_TEXT_MAX == 256, "as the text says");
	check_text(p, field, t, 256, "must be of 1 to 256 bytes", out);
}

static void check_email(struct api_problems *p, const struct json_text *t, char *out)
{
	if (t->n >= 1 && t->n <= CUSTOMER_TEXT_MAX && memchr(t->s, '@', t->n) == NULL)
		add_problem(p, "email", "must contain @");
	else
		check_256(p, "email", t, out);
}

static void check_tag(struct api_problems *p, const struct json_text *t, struct rfid_tag *out)
{
	const char *fault = text_fault(t, 1, RFID_TAG_MAX, "must be of 1 to 64 bytes");

	if (fault == NULL && rfid_tag_set(out, (struct ev_str){ t->s, t->n }) != EV_OK)
		fault = "must be UTF-8"; /* the reader has seen to it */
	if (fault != NULL)
		add_problem(p, "rfidTag", fault);
}

static void check_max_power(struct api_problems *p, double watts, int64_t *out)
{
	/* False for NaN and the infinities too. */
	if (watts >= 0.001 && watts <= (double)API_MAX_POWER_MW / 1000.0)
		*out = (int64_t)(watts * 1000.0 + 0.5);
	else
		add_problem(p, "maxPower", "must be above 0 and at most 1000000 W");
}

/* Reading */

static ev_err read_body(struct ev_str body, bool may_be_empty, const struct json_field *fields,
			size_t n, void *record, uint32_t *out_seen, struct json_error *error)
{
	struct json_reader r;
	ev_err e;

	json_read_init(&r, body, error);
	if (may_be_empty && json_peek(&r) < 0) {
		*out_seen = 0;
		return EV_OK;
	}
	e = json_read_record(&r, fields, n, record, out_seen);
	return e == EV_OK ? json_require(&r, fields, n, *out_seen) : e;
}

static ev_err judged(const struct api_problems *p)
{
	return p->n == 0 ? EV_OK : EV_INVALID;
}

/* Outlets */

struct outlet_record {
	struct ev_uuid outlet_id;
	struct ev_uuid group_id;
	struct json_text code;
	struct json_text address;
	double max_power;
};

#define OUTLET(member, name, fn, how) JSON_FIELD(struct outlet_record, member, name, fn, how)

static const struct json_field outlet_new_fields[] = {
	OUTLET(outlet_id, "outletId", json_field_uuid, JSON_OPTIONAL | JSON_NULLABLE),
	OUTLET(group_id, "chargerGroupId", json_field_uuid, JSON_REQUIRED),
	OUTLET(code, "outletCode", json_field_text, JSON_REQUIRED),
	OUTLET(address, "address", json_field_text, JSON_REQUIRED),
	OUTLET(max_power, "maxPower", json_field_double, JSON_REQUIRED),
	OUTLET(outlet_id, "outletState", json_field_ignored_string, JSON_REQUIRED),
};

ev_err api_read_outlet_new(struct ev_str body, struct api_outlet_new *out,
			   struct api_problems *problems, struct json_error *error)
{
	struct outlet_record in;
	struct api_outlet_new o = { .max_power_mw = 0 };
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, false, outlet_new_fields, EV_ARRAY_LEN(outlet_new_fields), &in, &seen,
		      error);
	if (e != EV_OK)
		return e;
	o.group_id = in.group_id;
	check_code(problems, &in.code, o.code);
	check_256(problems, "address", &in.address, o.address);
	check_max_power(problems, in.max_power, &o.max_power_mw);
	if (problems->n == 0)
		*out = o;
	return judged(problems);
}

enum { PATCH_GROUP, PATCH_CODE, PATCH_ADDRESS, PATCH_MAX_POWER };

static const struct json_field outlet_patch_fields[] = {
	[PATCH_GROUP] = OUTLET(group_id, "chargerGroupId", json_field_uuid, JSON_OPTIONAL),
	[PATCH_CODE] = OUTLET(code, "outletCode", json_field_text, JSON_OPTIONAL),
	[PATCH_ADDRESS] = OUTLET(address, "address", json_field_text, JSON_OPTIONAL),
	[PATCH_MAX_POWER] = OUTLET(max_power, "maxPower", json_field_double, JSON_OPTIONAL),
};

ev_err api_read_outlet_patch(struct ev_str body, struct api_outlet_patch *out,
			     struct api_problems *problems, struct json_error *error)
{
	struct outlet_record in;
	struct api_outlet_patch o = { .has_group = false };
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, false, outlet_patch_fields, EV_ARRAY_LEN(outlet_patch_fields), &in,
		      &seen, error);
	if (e != EV_OK)
		return e;
	o.has_group = (seen >> PATCH_GROUP & 1) != 0;
	o.has_code = (seen >> PATCH_CODE & 1) != 0;
	o.has_address = (seen >> PATCH_ADDRESS & 1) != 0;
	o.has_max_power = (seen >> PATCH_MAX_POWER & 1) != 0;
	if (o.has_group)
		o.to.group_id = in.group_id;
	if (o.has_code)
		check_code(problems, &in.code, o.to.code);
	if (o.has_address)
		check_256(problems, "address", &in.address, o.to.address);
	if (o.has_max_power)
		check_max_power(problems, in.max_power, &o.to.max_power_mw);
	if (problems->n == 0)
		*out = o;
	return judged(problems);
}

/* Customers */

struct customer_record {
	struct json_text tag;
	struct json_text address;
	struct json_text email;
	struct json_text payment_method;
};

enum { CUSTOMER_TAG, CUSTOMER_ADDRESS, CUSTOMER_EMAIL, CUSTOMER_PAYMENT };

#define CUSTOMER(member, name, how)                                                                \
	JSON_FIELD(struct customer_record, member, name, json_field_text, how)

static const struct json_field customer_new_fields[] = {
	[CUSTOMER_TAG] = CUSTOMER(tag, "rfidTag", JSON_OPTIONAL | JSON_NULLABLE),
	[CUSTOMER_ADDRESS] = CUSTOMER(address, "address", JSON_REQUIRED),
	[CUSTOMER_EMAIL] = CUSTOMER(email, "email", JSON_REQUIRED),
	[CUSTOMER_PAYMENT] = CUSTOMER(payment_method, "paymentMethod", JSON_REQUIRED),
};

static void check_customer(const struct customer_record *in, uint32_t seen,
			   struct api_customer_new *out, struct api_problems *p)
{
	out->has_tag = (seen >> CUSTOMER_TAG & 1) != 0;
	if (out->has_tag)
		check_tag(p, &in->tag, &out->tag);
	if ((seen >> CUSTOMER_ADDRESS & 1) != 0)
		check_256(p, "address", &in->address, out->address);
	if ((seen >> CUSTOMER_EMAIL & 1) != 0)
		check_email(p, &in->email, out->email);
	if ((seen >> CUSTOMER_PAYMENT & 1) != 0)
		check_256(p, "paymentMethod", &in->payment_method, out->payment_method);
}

ev_err api_read_customer_new(struct ev_str body, struct api_customer_new *out,
			     struct api_problems *problems, struct json_error *error)
{
	struct customer_record in;
	struct api_customer_new c = { .has_tag = false };
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, false, customer_new_fields, EV_ARRAY_LEN(customer_new_fields), &in,
		      &seen, error);
	if (e != EV_OK)
		return e;
	check_customer(&in, seen, &c, problems);
	if (problems->n == 0)
		*out = c;
	return judged(problems);
}

static const struct json_field customer_patch_fields[] = {
	/* The tag has a route of its own; here it is as unknown as any other key. */
	[CUSTOMER_ADDRESS - 1] = CUSTOMER(address, "address", JSON_OPTIONAL),
	[CUSTOMER_EMAIL - 1] = CUSTOMER(email, "email", JSON_OPTIONAL),
	[CUSTOMER_PAYMENT - 1] = CUSTOMER(payment_method, "paymentMethod", JSON_OPTIONAL),
};

ev_err api_read_customer_patch(struct ev_str body, struct api_customer_patch *out,
			       struct api_problems *problems, struct json_error *error)
{
	struct customer_record in;
	struct api_customer_patch c = { .has_address = false };
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, false, customer_patch_fields, EV_ARRAY_LEN(customer_patch_fields), &in,
		      &seen, error);
	if (e != EV_OK)
		return e;
	seen <<= 1; /* the bits of a new customer */
	c.has_address = (seen >> CUSTOMER_ADDRESS & 1) != 0;
	c.has_email = (seen >> CUSTOMER_EMAIL & 1) != 0;
	c.has_payment_method = (seen >> CUSTOMER_PAYMENT & 1) != 0;
	check_customer(&in, seen, &c.to, problems);
	if (problems->n == 0)
		*out = c;
	return judged(problems);
}

ev_err api_read_tag(struct ev_str body, struct api_tag *out, struct api_problems *problems,
		    struct json_error *error)
{
	static const struct json_field fields[] = {
		JSON_FIELD(struct customer_record, tag, "rfidTag", json_field_text,
			   JSON_OPTIONAL | JSON_NULLABLE),
	};
	struct customer_record in;
	struct api_tag t = { .has_tag = false };
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, true, fields, EV_ARRAY_LEN(fields), &in, &seen, error);
	if (e != EV_OK)
		return e;
	t.has_tag = seen != 0;
	if (t.has_tag)
		check_tag(problems, &in.tag, &t.tag);
	if (problems->n == 0)
		*out = t;
	return judged(problems);
}

/* Actions */

ev_err api_read_start(struct ev_str body, struct api_start *out, struct api_problems *problems,
		      struct json_error *error)
{
	static const struct json_field fields[] = {
		JSON_FIELD(struct api_start, customer_id, "customerId", json_field_uuid,
			   JSON_REQUIRED),
		JSON_FIELD(struct api_start, outlet_id, "outletId", json_field_uuid, JSON_REQUIRED),
	};
	struct api_start in;
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, false, fields, EV_ARRAY_LEN(fields), &in, &seen, error);
	if (e == EV_OK)
		*out = in;
	return e;
}

struct action_record {
	struct ev_uuid session_id;
	struct json_text reason;
};

enum { ACTION_SESSION, ACTION_REASON };

#define ACTION(member, name, fn, how) JSON_FIELD(struct action_record, member, name, fn, how)

ev_err api_read_attach(struct ev_str body, struct ev_uuid *out_session_id,
		       struct api_problems *problems, struct json_error *error)
{
	static const struct json_field fields[] = {
		ACTION(session_id, "sessionId", json_field_uuid, JSON_REQUIRED),
	};
	struct action_record in;
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, false, fields, EV_ARRAY_LEN(fields), &in, &seen, error);
	if (e == EV_OK)
		*out_session_id = in.session_id;
	return e;
}

static const struct json_field action_fields[] = {
	[ACTION_SESSION] = ACTION(session_id, "sessionId", json_field_uuid,
				  JSON_OPTIONAL | JSON_NULLABLE),
	[ACTION_REASON] = ACTION(reason, "reason", json_field_text, JSON_OPTIONAL | JSON_NULLABLE),
};

/* The first n of the action fields are looked at. */
static ev_err read_action(struct ev_str body, size_t n, struct api_action *out,
			  struct api_problems *problems, struct json_error *error)
{
	struct action_record in;
	struct api_action a = { .has_session = false };
	uint32_t seen;
	ev_err e;

	problems->n = 0;
	e = read_body(body, true, action_fields, n, &in, &seen, error);
	if (e != EV_OK)
		return e;
	a.has_session = (seen >> ACTION_SESSION & 1) != 0;
	if (a.has_session)
		a.session_id = in.session_id;
	if ((seen >> ACTION_REASON & 1) != 0 && in.reason.n > 0)
		check_256(problems, "reason", &in.reason, a.reason);
	if (problems->n == 0)
		*out = a;
	return judged(problems);
}

ev_err api_read_replay(struct ev_str body, struct api_action *out, struct api_problems *problems,
		       struct json_error *error)
{
	return read_action(body, ACTION_SESSION + 1, out, problems, error);
}

ev_err api_read_finish(struct ev_str body, struct api_action *out, struct api_problems *problems,
		       struct json_error *error)
{
	return read_action(body, EV_ARRAY_LEN(action_fields), out, problems, error);
}
