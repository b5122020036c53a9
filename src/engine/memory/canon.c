/* engine/memory/canon.c — member by member, over zeroed memory. */
#include "engine/memory/canon.h"

#include <string.h>

void canon_tag(struct rfid_tag *to, const struct rfid_tag *from)
{
	memset(to, 0, sizeof(*to));
	to->n = from->n;
	memcpy(to->s, from->s, from->n);
}

static void text(char *to, const char *from, size_t cap)
{
	const char *end = memchr(from, '\0', cap - 1);
	size_t n = end != NULL ? (size_t)(end - from) : cap - 1;

	memset(to, 0, cap);
	memcpy(to, from, n);
}

static void message_id(struct message_id *to, const struct message_id *from)
{
	memset(to, 0, sizeof(*to));
	to->n = from->n;
	memcpy(to->s, from->s, from->n);
}

static void request(struct outlet_request *to, const struct outlet_request *from)
{
	to->status = from->status;
	if (from->status == REQUEST_NONE)
		return;
	canon_tag(&to->tag, &from->tag);
	to->period_start_ns = from->period_start_ns;
	to->period_end_ns = from->period_end_ns;
	to->at_ns = from->at_ns;
	to->event_id = from->event_id;
}

static void ended_session(struct ended_session *to, const struct ended_session *from)
{
	to->id = from->id;
	canon_tag(&to->tag, &from->tag);
	to->since_ns = from->since_ns;
	to->start_ns = from->start_ns;
	to->end_ns = from->end_ns;
	to->sum_mwh = from->sum_mwh;
}

static void outlet_lists(struct outlet *to, const struct outlet *from)
{
	to->n_recent = from->n_recent;
	for (unsigned i = 0; i < from->n_recent; i++)
		ended_session(&to->recent[i], &from->recent[i]);
	to->n_refused = from->n_refused;
	memcpy(to->refused, from->refused, from->n_refused * sizeof(to->refused[0]));
	to->n_ids = from->n_ids;
	memcpy(to->ids, from->ids, from->n_ids * sizeof(to->ids[0]));
}

void canon_outlet(struct outlet *to, const struct outlet *from)
{
	memset(to, 0, sizeof(*to));
	to->id = from->id;
	to->version = from->version;
	to->state = from->state;
	to->has_session = from->has_session;
	if (from->has_session)
		to->session_id = from->session_id;
	canon_tag(&to->tag, &from->tag);
	to->start_ns = from->start_ns;
	to->has_end = from->has_end;
	to->end_ns = from->has_end ? from->end_ns : 0;
	to->energy_mwh = from->energy_mwh;
	to->total_sessions = from->total_sessions;
	to->total_energy_mwh = from->total_energy_mwh;
	to->unassigned_mwh = from->unassigned_mwh;
	to->max_power_mw = from->max_power_mw;
	to->since_ns = from->since_ns;
	request(&to->request, &from->request);
	to->reported = from->reported;
	to->acknowledged = from->acknowledged;
	to->stop_at_ns = from->stop_at_ns;
	to->stop_repeated = from->stop_repeated;
	to->stray_stop_ns = from->stray_stop_ns;
	to->out_of_service = from->out_of_service;
	to->retired = from->retired;
	to->foreign = from->foreign;
	outlet_lists(to, from);
}

void canon_info(struct outlet_info *to, const struct outlet_info *from)
{
	memset(to, 0, sizeof(*to));
	to->group_id = from->group_id;
	text(to->code, from->code, sizeof(to->code));
	text(to->address, from->address, sizeof(to->address));
	to->created_ns = from->created_ns;
}

void canon_session(struct session *to, const struct session *from)
{
	memset(to, 0, sizeof(*to));
	to->id = from->id;
	to->version = from->version;
	to->has_customer = from->has_customer;
	if (from->has_customer)
		to->customer_id = from->customer_id;
	canon_tag(&to->tag, &from->tag);
	to->outlet_id = from->outlet_id;
	to->state = from->state;
	to->channel = from->channel;
	to->start_ns = from->start_ns;
	to->has_end = from->has_end;
	to->end_ns = from->has_end ? from->end_ns : 0;
	to->energy_mwh = from->energy_mwh;
	to->n_sums = from->n_sums;
	memcpy(to->sums, from->sums, from->n_sums * sizeof(to->sums[0]));
	to->folded_mwh = from->folded_mwh;
	to->attached_mwh = from->attached_mwh;
	to->charging_seen = from->charging_seen;
	to->stop_wished = from->stop_wished;
	to->heard_ns = from->heard_ns;
	to->request_start_ns = from->request_start_ns;
	to->has_request_end = from->has_request_end;
	to->request_end_ns = from->has_request_end ? from->request_end_ns : 0;
}

void canon_customer(struct customer *to, const struct customer *from)
{
	memset(to, 0, sizeof(*to));
	to->id = from->id;
	to->version = from->version;
	canon_tag(&to->tag, &from->tag);
	text(to->address, from->address, sizeof(to->address));
	text(to->email, from->email, sizeof(to->email));
	text(to->payment_method, from->payment_method, sizeof(to->payment_method));
	to->blocked = from->blocked;
	to->created_ns = from->created_ns;
}

void canon_claim(struct tag_claim *to, const struct tag_claim *from)
{
	memset(to, 0, sizeof(*to));
	canon_tag(&to->tag, &from->tag);
	to->customer_id = from->customer_id;
	to->at_ns = from->at_ns;
}

void canon_event(struct charging_event *to, const struct charging_event *from)
{
	memset(to, 0, sizeof(*to));
	to->initiator = from->initiator;
	to->outlet_id = from->outlet_id;
	to->state = from->state;
	to->has_session = from->has_session;
	if (from->has_session)
		to->session_id = from->session_id;
	canon_tag(&to->tag, &from->tag);
	to->period_start_ns = from->period_start_ns;
	to->has_period_end = from->has_period_end;
	to->period_end_ns = from->has_period_end ? from->period_end_ns : 0;
	to->energy_mwh = from->energy_mwh;
	to->has_event_id = from->has_event_id;
	if (from->has_event_id)
		to->event_id = from->event_id;
	to->has_item = from->has_item;
	if (from->has_item) {
		to->item_id = from->item_id;
		to->item_mwh = from->item_mwh;
	}
}

void canon_stored_event(struct stored_event *to, uint64_t seq, int64_t at_ns,
			const struct charging_event *event)
{
	memset(to, 0, sizeof(*to));
	to->seq = seq;
	to->at_ns = at_ns;
	canon_event(&to->event, event);
}

void canon_command(struct device_command *to, const struct device_command *from)
{
	memset(to, 0, sizeof(*to));
	to->outlet_id = from->outlet_id;
	to->version = from->version;
	to->index = from->index;
	to->change = from->change;
	canon_tag(&to->tag, &from->tag);
	to->has_session = from->has_session;
	if (from->has_session)
		to->session_id = from->session_id;
	to->period_start_ns = from->period_start_ns;
	to->period_end_ns = from->period_end_ns;
	to->energy_mwh = from->energy_mwh;
	to->created_ns = from->created_ns;
	to->expires_ns = from->expires_ns;
}

void canon_item(struct unassigned_item *to, const struct unassigned_item *from)
{
	memset(to, 0, sizeof(*to));
	to->id = from->id;
	to->outlet_id = from->outlet_id;
	to->at_ns = from->at_ns;
	to->mwh = from->mwh;
	canon_tag(&to->tag, &from->tag);
	to->attached = from->attached;
	if (from->attached)
		to->session_id = from->session_id;
}

void canon_dead_letter(struct dead_letter *to, const struct dead_letter *from)
{
	memset(to, 0, sizeof(*to));
	to->seq = from->seq;
	to->id = from->id;
	to->channel = from->channel;
	to->has_outlet = from->has_outlet;
	if (from->has_outlet)
		to->outlet_id = from->outlet_id;
	to->at_ns = from->at_ns;
	to->reason = from->reason;
	text(to->detail, from->detail, sizeof(to->detail));
	to->body.n = from->body.n;
	to->status = from->status;
}

static void device_message(struct device_message *to, const struct device_message *from)
{
	to->outlet_id = from->outlet_id;
	canon_tag(&to->tag, &from->tag);
	to->period_start_ns = from->period_start_ns;
	to->period_end_ns = from->period_end_ns;
	to->change = from->change;
	to->energy_mwh = from->energy_mwh;
	message_id(&to->message_id, &from->message_id);
}

/* The member of the union that `kind` names; the others overlay it. */
static void input_body(struct outlet_input *to, const struct outlet_input *from)
{
	switch (from->kind) {
	case OUTLET_IN_DEVICE:
		device_message(&to->device, &from->device);
		break;
	case OUTLET_IN_EVENT:
		canon_event(&to->event, &from->event);
		break;
	case OUTLET_IN_REQUEST_LAPSED:
		to->lapsed.event_id = from->lapsed.event_id;
		break;
	case OUTLET_IN_COMMAND_LAPSED:
		to->command.session_id = from->command.session_id;
		to->command.acknowledged = from->command.acknowledged;
		break;
	case OUTLET_IN_STOP_TIMEOUT:
		to->stop.session_id = from->stop.session_id;
		break;
	case OUTLET_IN_OPERATOR_FINISH:
		to->finish.session_id = from->finish.session_id;
		break;
	case OUTLET_IN_ATTACH:
		to->attach.item_id = from->attach.item_id;
		to->attach.mwh = from->attach.mwh;
		to->attach.session_id = from->attach.session_id;
		break;
	case OUTLET_IN_SERVICE:
		to->service.out = from->service.out;
		break;
	case OUTLET_IN_RETIRE:
	case OUTLET_IN_COUNT:
		break;
	}
}

void canon_parked(struct parked_input *to, const struct parked_input *from)
{
	memset(to, 0, sizeof(*to));
	to->id = from->id;
	to->outlet_id = from->outlet_id;
	to->at_ns = from->at_ns;
	to->due_ns = from->due_ns;
	to->input.kind = from->input.kind;
	to->input.id = from->input.id;
	to->input.at_ns = from->input.at_ns;
	to->input.seen = from->input.seen;
	to->input.parked = from->input.parked;
	to->input.waited = from->input.waited;
	input_body(&to->input, &from->input);
}
