/* engine/aws/resources.c — names, by prefix. */
#include "engine/aws/resources.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"

#define QUEUE_NAME_MAX 80
#define GATEWAY_ID_MAX 36

struct name {
	size_t at; /* in struct aws_resources */
	const char *rest;
};

#define NAME(field, rest)                                                                          \
	{                                                                                          \
		offsetof(struct aws_resources, field), rest                                        \
	}
static const struct name names[] = {
	NAME(event_stream, "charging-events_stream"),
	NAME(dead_letter_stream, "charging-events-dead-letters_stream"),
	NAME(outlet_leases, "charging-event-checkpoints-outlet-backend_table"),
	NAME(app_leases, "charging-event-checkpoints-app-backend_table"),
	NAME(customers, "customer_table"),
	NAME(customers_by_tag, "customer-rfidTag_index"),
	NAME(outlets, "charger-outlet_table"),
	NAME(sessions, "charging-session_table"),
	NAME(sessions_by_customer, "active-charging-sessions_index"),
	NAME(items, "evcharge-items_table"),
	NAME(items_index, "evcharge-items_index"),
	NAME(messages_in, "device-to-outlet-backend_queue"),
	NAME(messages_in_dead, "device-to-outlet-backend_dead-letters_queue"),
	NAME(commands_out, "outlet-backend-to-device_queue"),
	NAME(commands_out_dead, "outlet-backend-to-device_dead-letters_queue"),
};
#undef NAME

static bool is_plain(struct ev_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return false;
	}
	return true;
}

static void join(char *out, struct ev_str a, struct ev_str b, struct ev_str c)
{
	struct ev_buf name = ev_buf_over(out, AWS_RESOURCE_MAX - 1);

	ev_buf_str_add(&name, a);
	ev_buf_str_add(&name, b);
	ev_buf_str_add(&name, c);
	out[name.len] = '\0';
}

ev_err aws_resources_init(struct aws_resources *r, struct ev_str prefix)
{
	struct aws_resources made = { .prefix = "" };

	if (prefix.n > AWS_PREFIX_MAX || !is_plain(prefix))
		return EV_INVALID;
	if (prefix.n > 0)
		memcpy(made.prefix, prefix.p, prefix.n);
	for (size_t i = 0; i < EV_ARRAY_LEN(names); i++)
		join((char *)&made + names[i].at, prefix, ev_str_from(names[i].rest),
		     ev_str_from(""));
	*r = made;
	return EV_OK;
}

ev_err aws_resources_gateway_queue(const struct aws_resources *r, struct ev_str id,
				   char out[AWS_RESOURCE_MAX])
{
	char name[AWS_RESOURCE_MAX];

	if (id.n == 0 || id.n > GATEWAY_ID_MAX || !is_plain(id))
		return EV_INVALID;
	join(name, ev_str_from(r->prefix), ev_str_from("gateway_"), id);
	join(out, ev_str_from(name), ev_str_from("_queue"), ev_str_from(""));
	_Static_assert(AWS_PREFIX_MAX + 8 + GATEWAY_ID_MAX + 6 <= QUEUE_NAME_MAX, "SQS takes it");
	return EV_OK;
}
