#include <json.h>

#include "cli/client.h"
#include "cli/command.h"

#define ROUTE "/api/dead-letters"

static const struct view_column columns[] = {
	{ "LETTER", "id", VIEW_TEXT },       { "AT", "at", VIEW_TIME },
	{ "CHANNEL", "channel", VIEW_TEXT }, { "STATUS", "status", VIEW_TEXT },
	{ "OUTLET", "outletId", VIEW_TEXT }, { "REASON", "reason", VIEW_TEXT },
};

static const struct view_column fields[] = {
	{ "letter", "id", VIEW_TEXT },
	{ "at", "at", VIEW_TIME },
	{ "channel", "channel", VIEW_TEXT },
	{ "status", "status", VIEW_TEXT },
	{ "outlet", "outletId", VIEW_TEXT },
	{ "reason", "reason", VIEW_TEXT },
	{ "detail", "detail", VIEW_TEXT },
	{ "body", "body", VIEW_TEXT },
	{ "body (base64)", "bodyBase64", VIEW_TEXT },
};

static const struct view_column verdict_fields[] = {
	{ "verdict", "verdict", VIEW_TEXT },
	{ "reason", "reason", VIEW_TEXT },
};

static void letter_path(struct client_path *p, const struct args *a, const char *after)
{
	path_start(p, ROUTE "/");
	path_add_id(p, a->positional[0]);
	path_add(p, after);
}

static int run_list(const struct args *a)
{
	const struct client_list how = { .api = CLIENT_OUTLET,
					 .cursor = "before",
					 .columns = columns,
					 .n_columns = EV_ARRAY_LEN(columns) };
	struct client_path p;

	path_start(&p, ROUTE);
	path_add_query(&p, "all", args_has(a, "all") ? "true" : NULL);
	return client_list(a, &how, &p);
}

static int run_show(const struct args *a)
{
	const struct client_show how = { .api = CLIENT_OUTLET,
					 .method = "GET",
					 .columns = fields,
					 .n_columns = EV_ARRAY_LEN(fields) };
	struct client_path p;

	letter_path(&p, a, "");
	return client_show(a, &how, &p, NULL);
}

static int run_replay(const struct args *a)
{
	const struct client_show how = { .api = CLIENT_OUTLET,
					 .method = "POST",
					 .columns = verdict_fields,
					 .n_columns = EV_ARRAY_LEN(verdict_fields) };
	struct json_object *body = json_object_new_object();
	struct client_path p;

	letter_path(&p, a, "/replay");
	body_add_text(body, "sessionId", a, "session");
	int code = client_show(a, &how, &p, body);

	json_object_put(body);
	return code;
}

static int run_drop(const struct args *a)
{
	const struct client_show how = { .api = CLIENT_OUTLET,
					 .method = "POST",
					 .done = "dropped" };
	struct client_path p;

	letter_path(&p, a, "/drop");
	return client_show(a, &how, &p, NULL);
}

static const struct arg_option list_options[] = {
	{ "all", NULL, "also those that were replayed or dropped" },
	CLIENT_LIMIT_OPTION,
};
static const struct arg_option replay_options[] = {
	{ "session", "SESSION", "put this session's id into an event that has none" },
};

static const struct cli_verb verbs[] = {
	{ .name = "list",
	  .params = "",
	  .help = "the open ones, the newest first",
	  .options = ARG_OPTIONS(list_options),
	  .run = run_list },
	{ .name = "show", .params = "LETTER", .min = 1, .max = 1, .help = "one", .run = run_show },
	{ .name = "replay",
	  .params = "LETTER",
	  .min = 1,
	  .max = 1,
	  .help = "decide it again, with its first time and identity",
	  .options = ARG_OPTIONS(replay_options),
	  .run = run_replay },
	{ .name = "drop",
	  .params = "LETTER",
	  .min = 1,
	  .max = 1,
	  .help = "it was of no use",
	  .run = run_drop },
};

static const struct cli_command command = {
	.name = "deadletters",
	.summary = "what could not be used, as it came",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
	.common = { client_options, CLIENT_N_OPTIONS },
};

int cmd_deadletters(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
