#include <json.h>

#include "cli/client.h"
#include "cli/cmd_credential.h"
#include "cli/command.h"

#define ROUTE "/api/chargers"

static const struct view_column outlet_columns[] = {
	{ "OUTLET", "outletId", VIEW_TEXT },
	{ "CODE", "outletCode", VIEW_TEXT },
	{ "STATE", "outletState", VIEW_TEXT },
	{ "POWER", "maxPower", VIEW_WATT },
	{ "SESSIONS", "totalChargingSessions", VIEW_NUMBER },
	{ "ENERGY", "totalPowerConsumption", VIEW_KWH },
	{ "OUT OF SERVICE", "outOfService", VIEW_BOOL },
	{ "ADDRESS", "address", VIEW_TEXT },
};

static const struct view_column outlet_fields[] = {
	{ "outlet", "outletId", VIEW_TEXT },
	{ "group", "chargerGroupId", VIEW_TEXT },
	{ "code", "outletCode", VIEW_TEXT },
	{ "address", "address", VIEW_TEXT },
	{ "max power", "maxPower", VIEW_WATT },
	{ "state", "outletState", VIEW_TEXT },
	{ "session", "sessionId", VIEW_TEXT },
	{ "tag", "rfidTag", VIEW_TEXT },
	{ "since", "startTime", VIEW_TIME },
	{ "until", "endTime", VIEW_TIME },
	{ "energy of the session", "powerConsumption", VIEW_KWH },
	{ "sessions", "totalChargingSessions", VIEW_NUMBER },
	{ "energy", "totalPowerConsumption", VIEW_KWH },
	{ "of it unassigned", "unassignedPowerConsumption", VIEW_KWH },
	{ "out of service", "outOfService", VIEW_BOOL },
	{ "retired", "retired", VIEW_BOOL },
};

static const struct view_column event_columns[] = {
	{ "SEQ", "seq", VIEW_NUMBER },
	{ "AT", "at", VIEW_TIME },
	{ "FROM", "initiator", VIEW_TEXT },
	{ "STATE", "outletState", VIEW_TEXT },
	{ "SESSION", "recentSession.sessionId", VIEW_TEXT },
	{ "TAG", "recentSession.rfidTag", VIEW_TEXT },
	{ "ENERGY", "recentSession.powerConsumption", VIEW_KWH },
};

static const struct view_column item_columns[] = {
	{ "ITEM", "itemId", VIEW_TEXT },
	{ "AT", "at", VIEW_TIME },
	{ "ENERGY", "powerConsumption", VIEW_KWH },
	{ "TAG", "rfidTag", VIEW_TEXT },
	{ "ATTACHED", "attached", VIEW_BOOL },
	{ "SESSION", "sessionId", VIEW_TEXT },
};

static void outlet_path(struct client_path *p, const struct args *a, const char *after)
{
	path_start(p, ROUTE "/");
	path_add_id(p, a->positional[0]);
	path_add(p, after);
}

/* One request that answers with the outlet. */
static int show_outlet(const struct args *a, const char *method, const char *after,
		       struct json_object *body)
{
	const struct client_show how = { .api = CLIENT_OUTLET,
					 .method = method,
					 .columns = outlet_fields,
					 .n_columns = EV_ARRAY_LEN(outlet_fields) };
	struct client_path p;

	outlet_path(&p, a, after);
	return client_show(a, &how, &p, body);
}

static int run_list(const struct args *a)
{
	const struct client_list how = { .api = CLIENT_OUTLET,
					 .cursor = "after",
					 .columns = outlet_columns,
					 .n_columns = EV_ARRAY_LEN(outlet_columns) };
	struct client_path p;

	path_start(&p, ROUTE);
	path_add_query(&p, "state", args_get(a, "state"));
	path_add_query(&p, "group", args_get(a, "group"));
	path_add_query(&p, "retired", args_has(a, "retired") ? "true" : NULL);
	return client_list(a, &how, &p);
}

static int run_show(const struct args *a)
{
	return show_outlet(a, "GET", "", NULL);
}

static ev_err outlet_body(const struct args *a, struct json_object *body, struct ev_fail *fail)
{
	body_add_text(body, "chargerGroupId", a, "group");
	body_add_text(body, "outletCode", a, "code");
	body_add_text(body, "address", a, "address");
	return body_add_number(body, "maxPower", a, "max-power", fail);
}

static int run_add(const struct args *a)
{
	const struct client_show how = { .api = CLIENT_OUTLET,
					 .method = "POST",
					 .columns = outlet_fields,
					 .n_columns = EV_ARRAY_LEN(outlet_fields) };
	struct json_object *body = json_object_new_object();
	struct ev_fail fail = { .code = EV_OK };
	struct client_path p;
	ev_err e = outlet_body(a, body, &fail);

	path_start(&p, ROUTE);
	json_object_object_add(body, "outletState", json_object_new_string("Available"));
	int code = e == EV_OK ? client_show(a, &how, &p, body) : cli_fail(&fail);

	json_object_put(body);
	return code;
}

static int run_change(const struct args *a)
{
	struct json_object *body = json_object_new_object();
	struct ev_fail fail = { .code = EV_OK };
	ev_err e = outlet_body(a, body, &fail);

	if (e == EV_OK && json_object_object_length(body) == 0)
		e = ev_fail_set(&fail, EV_INVALID, 0, "nothing to change was given");
	int code = e == EV_OK ? show_outlet(a, "PATCH", "", body) : cli_fail(&fail);

	json_object_put(body);
	return code;
}

static int run_out_of_service(const struct args *a)
{
	return show_outlet(a, "POST", "/out-of-service", NULL);
}

static int run_in_service(const struct args *a)
{
	return show_outlet(a, "POST", "/in-service", NULL);
}

static int run_retire(const struct args *a)
{
	return show_outlet(a, "POST", "/retire", NULL);
}

static int run_finish(const struct args *a)
{
	struct json_object *body = json_object_new_object();

	body_add_text(body, "sessionId", a, "session");
	body_add_text(body, "reason", a, "reason");
	int code = show_outlet(a, "POST", "/finish", body);

	json_object_put(body);
	return code;
}

static int run_events(const struct args *a)
{
	const struct client_list how = { .api = CLIENT_OUTLET,
					 .cursor = "before",
					 .columns = event_columns,
					 .n_columns = EV_ARRAY_LEN(event_columns) };
	struct client_path p;

	outlet_path(&p, a, "/events");
	return client_list(a, &how, &p);
}

static int run_unassigned(const struct args *a)
{
	const struct client_list how = { .api = CLIENT_OUTLET,
					 .cursor = "after",
					 .columns = item_columns,
					 .n_columns = EV_ARRAY_LEN(item_columns) };
	struct client_path p;

	outlet_path(&p, a, "/unassigned");
	path_add_query(&p, "all", args_has(a, "all") ? "true" : NULL);
	return client_list(a, &how, &p);
}

static int run_attach(const struct args *a)
{
	const struct client_show how = { .api = CLIENT_OUTLET,
					 .method = "POST",
					 .columns = outlet_fields,
					 .n_columns = EV_ARRAY_LEN(outlet_fields) };
	struct json_object *body = json_object_new_object();
	struct client_path p;

	outlet_path(&p, a, "/unassigned/");
	path_add_id(&p, a->positional[1]);
	path_add(&p, "/attach");
	json_object_object_add(body, "sessionId", json_object_new_string(a->positional[2]));
	int code = client_show(a, &how, &p, body);

	json_object_put(body);
	return code;
}

static int run_secret_create(const struct args *a)
{
	return credential_create(a, CREDENTIAL_DEVICE);
}

static int run_secret_revoke(const struct args *a)
{
	return credential_revoke(a, CREDENTIAL_DEVICE);
}

static const struct arg_option list_options[] = {
	{ "state", "STATE", "only those in it, as shown" },
	{ "group", "GROUP", "only those of the charger group" },
	{ "retired", NULL, "the retired ones, too" },
	CLIENT_LIMIT_OPTION,
};
static const struct arg_option add_options[] = {
	{ "group", "UUID", "the charger group" },
	{ "code", "TEXT", "what is painted on it" },
	{ "address", "TEXT", "where it stands" },
	{ "max-power", "WATTS", "what it can deliver" },
};
static const struct arg_option finish_options[] = {
	{ "session", "SESSION", "only if this one is running" },
	{ "reason", "TEXT", "for the record" },
};
static const struct arg_option limit_options[] = { CLIENT_LIMIT_OPTION };
static const struct arg_option unassigned_options[] = {
	{ "all", NULL, "also what was attached" },
	CLIENT_LIMIT_OPTION,
};
static const struct arg_option secret_options[] = {
	{ "data", "DIR", "the server's data directory, instead of the settings'" },
};

static const struct cli_verb verbs[] = {
	{ .name = "list",
	  .params = "",
	  .help = "all outlets",
	  .options = ARG_OPTIONS(list_options),
	  .run = run_list },
	{ .name = "show", .params = "OUTLET", .min = 1, .max = 1, .help = "one", .run = run_show },
	{ .name = "add",
	  .params = "",
	  .help = "a new one; the server gives it its id",
	  .options = ARG_OPTIONS(add_options),
	  .run = run_add },
	{ .name = "change",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "what is given",
	  .options = ARG_OPTIONS(add_options),
	  .run = run_change },
	{ .name = "out-of-service",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "no new sessions; a running one goes on",
	  .run = run_out_of_service },
	{ .name = "in-service",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "sessions again",
	  .run = run_in_service },
	{ .name = "retire",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "for ever; its books stay",
	  .run = run_retire },
	{ .name = "finish",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "end the running session with what was reported",
	  .options = ARG_OPTIONS(finish_options),
	  .run = run_finish },
	{ .name = "events",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "its charging events, the newest first",
	  .options = ARG_OPTIONS(limit_options),
	  .run = run_events },
	{ .name = "unassigned",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "energy that belongs to no known session",
	  .options = ARG_OPTIONS(unassigned_options),
	  .run = run_unassigned },
	{ .name = "attach",
	  .params = "OUTLET ITEM SESSION",
	  .min = 3,
	  .max = 3,
	  .help = "give unassigned energy to a session",
	  .run = run_attach },
	{ .name = "secret create",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "a new secret for the device, printed once",
	  .options = ARG_OPTIONS(secret_options),
	  .run = run_secret_create },
	{ .name = "secret revoke",
	  .params = "OUTLET",
	  .min = 1,
	  .max = 1,
	  .help = "all its secrets",
	  .options = ARG_OPTIONS(secret_options),
	  .run = run_secret_revoke },
};

static const struct cli_command command = {
	.name = "outlet",
	.summary = "the outlets",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
	.common = { client_options, CLIENT_N_OPTIONS },
};

int cmd_outlet(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
