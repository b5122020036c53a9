/*
 * codec/api_json.h — the bodies of HTTP requests, read and judged.
 *
 * Every reader gives EV_OK, or EV_INVALID with *out untouched: if problems->n is 0 the body cannot
 * be read (answer 400, *error says why in the original's words), else every field that breaks a
 * rule is listed (answer 422).  Unknown keys are ignored.  Texts must be UTF-8 without control
 * characters.  Sources: facts/original-system.md section 7, docs/http-api.md.
 */
#ifndef EV_CODEC_API_JSON_H
#define EV_CODEC_API_JSON_H

#include "codec/json_read.h"
#include "core/customer.h"
#include "core/outlet.h"

#define API_PROBLEMS_MAX 16

/* Both are constant texts. */
struct api_problem {
	const char *field;
	const char *text;
};

struct api_problems {
	unsigned n;
	struct api_problem item[API_PROBLEMS_MAX];
};

#define API_MAX_POWER_MW INT64_C(1000000000) /* 1,000,000 W */
#define API_REASON_MAX 256                   /* bytes of an operator's reason */

/* POST /api/chargers: all are needed; outletId and outletState are read and ignored. */
struct api_outlet_new {
	struct ev_uuid group_id;
	char code[OUTLET_CODE_MAX + 1];
	char address[OUTLET_ADDRESS_MAX + 1];
	int64_t max_power_mw; /* 1..API_MAX_POWER_MW */
};
EV_NODISCARD ev_err api_read_outlet_new(struct ev_str body, struct api_outlet_new *out,
					struct api_problems *problems, struct json_error *error);

/* PATCH /api/chargers/{id}: what is not given has its flag false. */
struct api_outlet_patch {
	bool has_group, has_code, has_address, has_max_power;
	struct api_outlet_new to;
};
EV_NODISCARD ev_err api_read_outlet_patch(struct ev_str body, struct api_outlet_patch *out,
					  struct api_problems *problems, struct json_error *error);

/* POST /api/customers: rfidTag may be missing or null; customerId is ignored. */
struct api_customer_new {
	bool has_tag;
	struct rfid_tag tag; /* as sent */
	char address[CUSTOMER_TEXT_MAX + 1];
	char email[CUSTOMER_TEXT_MAX + 1];
	char payment_method[CUSTOMER_TEXT_MAX + 1];
};
EV_NODISCARD ev_err api_read_customer_new(struct ev_str body, struct api_customer_new *out,
					  struct api_problems *problems, struct json_error *error);

/* PATCH /api/customers/{id}. */
struct api_customer_patch {
	bool has_address, has_email, has_payment_method;
	struct api_customer_new to; /* without tag */
};
EV_NODISCARD ev_err api_read_customer_patch(struct ev_str body, struct api_customer_patch *out,
					    struct api_problems *problems,
					    struct json_error *error);

/* PUT /api/customers/{id}/tag; an empty body is like {}. */
struct api_tag {
	bool has_tag;
	struct rfid_tag tag;
};
EV_NODISCARD ev_err api_read_tag(struct ev_str body, struct api_tag *out,
				 struct api_problems *problems, struct json_error *error);

/* POST /api/chargers/start; sessionId and purchaseChannel are ignored. */
struct api_start {
	struct ev_uuid customer_id;
	struct ev_uuid outlet_id;
};
EV_NODISCARD ev_err api_read_start(struct ev_str body, struct api_start *out,
				   struct api_problems *problems, struct json_error *error);

/* POST …/unassigned/{item}/attach: sessionId is needed. */
EV_NODISCARD ev_err api_read_attach(struct ev_str body, struct ev_uuid *out_session_id,
				    struct api_problems *problems, struct json_error *error);

/* POST …/replay and …/finish; an empty body is like {}. */
struct api_action {
	bool has_session;
	struct ev_uuid session_id;
	char reason[API_REASON_MAX + 1]; /* "" if not given; no part of a replay */
};
EV_NODISCARD ev_err api_read_replay(struct ev_str body, struct api_action *out,
				    struct api_problems *problems, struct json_error *error);
EV_NODISCARD ev_err api_read_finish(struct ev_str body, struct api_action *out,
				    struct api_problems *problems, struct json_error *error);

#endif
