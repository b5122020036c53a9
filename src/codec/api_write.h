/*
 * codec/api_write.h — the JSON of HTTP answers.
 *
 * Key sets and orders: those of the original where it has the route (facts/original-system.md
 * section 7), else docs/http-api.md.  Each writes one value, so it may stand alone, in an array or
 * behind a key.  Overflow is the buffer's.
 */
#ifndef EV_CODEC_API_WRITE_H
#define EV_CODEC_API_WRITE_H

#include "codec/api_json.h"
#include "codec/json_write.h"
#include "core/customer.h"
#include "core/outlet.h"
#include "core/session.h"

/* The answer to POST /api/chargers: the original's, with the state that is stored. */
void api_write_outlet_created(struct json_writer *w, const struct outlet *o,
			      const struct outlet_info *info);

/* All that people see of an outlet; outletState is the shown state. */
void api_write_outlet(struct json_writer *w, const struct outlet *o,
		      const struct outlet_info *info);

/* The original's five keys; `blocked` last, only if so. */
void api_write_customer(struct json_writer *w, const struct customer *c);

/* customerId is left out once the customer was erased. */
void api_write_session(struct json_writer *w, const struct session *s);

/* A charging event as lists and the event stream show it. */
void api_write_event(struct json_writer *w, uint64_t seq, int64_t at_ns,
		     const struct charging_event *e);

void api_write_item(struct json_writer *w, const struct unassigned_item *i);

/* What a dead letter shows; texts are constant or the caller's. */
struct api_dead_letter {
	struct identity id;
	uint64_t seq;
	const char *channel; /* "device-message" or "charging-event" */
	bool has_outlet;
	struct ev_uuid outlet_id;
	int64_t at_ns;
	enum reason reason;
	const char *detail; /* UTF-8, may be "" */
	const char *status; /* "open", "replayed", "dropped" */
	bool with_body;
	struct ev_str body; /* any bytes: written as text if UTF-8, else in base64 */
};
void api_write_dead_letter(struct json_writer *w, const struct api_dead_letter *d);

/* A page of a list: begin, then the items, then end with the cursor (empty: null). */
void api_write_page(struct json_writer *w);
void api_write_page_end(struct json_writer *w, struct ev_str next);

/*
 * RFC 9457: {"type":"about:blank","title","status","detail","problems"?}.  detail may be "" (left
 * out) and must be UTF-8; problems may be NULL or empty (left out).
 */
void api_write_problem(struct json_writer *w, unsigned status, const char *title,
		       struct ev_str detail, const struct api_problems *problems);

/* The detail of a 400: the original's `invalid payload ` before the reader's text. */
void api_write_unreadable(struct json_writer *w, const struct json_error *error);

/* "Bad Request" for 400 and so on; "Error" for a status none of ours. */
const char *api_status_title(unsigned status);

#endif
