#include <json.h>

#include "cli/client.h"
#include "cli/command.h"

static const struct view_column columns[] = {
	{ "SESSION", "sessionId", VIEW_TEXT },      { "STATE", "state", VIEW_TEXT },
	{ "OUTLET", "outletId", VIEW_TEXT },        { "CUSTOMER", "customerId", VIEW_TEXT },
	{ "START", "startTime", VIEW_TIME },        { "END", "endTime", VIEW_TIME },
	{ "ENERGY", "powerConsumption", VIEW_KWH },
};

static const struct view_column fields[] = {
	{ "session", "sessionId", VIEW_TEXT },
	{ "customer", "customerId", VIEW_TEXT },
	{ "outlet", "outletId", VIEW_TEXT },
	{ "state", "state", VIEW_TEXT },
	{ "bought by", "purchaseChannel", VIEW_TEXT },
	{ "start", "startTime", VIEW_TIME },
	{ "end", "endTime", VIEW_TIME },
	{ "energy", "powerConsumption", VIEW_KWH },
};

static int show(const struct args *a, const char *method, const struct client_path *path,
		struct json_object *body)
{
	const struct client_show how = { .api = CLIENT_APP,
					 .method = method,
					 .columns = fields,
					 .n_columns = EV_ARRAY_LEN(fields) };
	struct client_path p;

	path_start(&p, "");
	ev_buf_bytes(&p.b, path->text, path->b.len);
	return client_show(a, &how, &p, body);
}

static int run_list(const struct args *a)
{
	const struct client_list how = { .api = CLIENT_APP,
					 .cursor = "before",
					 .columns = columns,
					 .n_columns = EV_ARRAY_LEN(columns) };
	struct client_path p;

	path_start(&p, "/api/sessions");
	path_add_query(&p, "live", args_has(a, "live") ? "true" : NULL);
	path_add_query(&p, "stuck", args_has(a, "stuck") ? "true" : NULL);
	return client_list(a, &how, &p);
}

static int run_show(const struct args *a)
{
	struct client_path p;

	path_start(&p, "/api/chargers/session/");
	path_add_id(&p, a->positional[0]);
	return show(a, "GET", &p, NULL);
}

static int run_start(const struct args *a)
{
	struct json_object *body = json_object_new_object();
	struct client_path p;

	path_start(&p, "/api/chargers/start");
	json_object_object_add(body, "customerId", json_object_new_string(a->positional[0]));
	json_object_object_add(body, "outletId", json_object_new_string(a->positional[1]));
	int code = show(a, "POST", &p, body);

	json_object_put(body);
	return code;
}

static int run_stop(const struct args *a)
{
	const struct client_show how = { .api = CLIENT_APP,
					 .method = "POST",
					 .done = "asked to stop" };
	struct client_path p;

	path_start(&p, "/api/chargers/session/");
	path_add_id(&p, a->positional[0]);
	path_add(&p, "/stop");
	return client_show(a, &how, &p, NULL);
}

static int run_close(const struct args *a)
{
	struct client_path p;

	path_start(&p, "/api/sessions/");
	path_add_id(&p, a->positional[0]);
	path_add(&p, "/close");
	return show(a, "POST", &p, NULL);
}

static const struct arg_option list_options[] = {
	{ "live", NULL, "only those that run" },
	{ "stuck", NULL, "only those that run and were not heard of for long" },
	CLIENT_LIMIT_OPTION,
};

static const struct cli_verb verbs[] = {
	{ .name = "list",
	  .params = "",
	  .help = "sessions, the newest first",
	  .options = ARG_OPTIONS(list_options),
	  .run = run_list },
	{ .name = "show", .params = "SESSION", .min = 1, .max = 1, .help = "one", .run = run_show },
	{ .name = "start",
	  .params = "CUSTOMER OUTLET",
	  .min = 2,
	  .max = 2,
	  .help = "as the app does",
	  .run = run_start },
	{ .name = "stop",
	  .params = "SESSION",
	  .min = 1,
	  .max = 1,
	  .help = "as the app does",
	  .run = run_stop },
	{ .name = "close",
	  .params = "SESSION",
	  .min = 1,
	  .max = 1,
	  .help = "a stuck one that no outlet knows any more",
	  .run = run_close },
};

static const struct cli_command command = {
	.name = "session",
	.summary = "the charging sessions",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
	.common = { client_options, CLIENT_N_OPTIONS },
};

int cmd_session(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
