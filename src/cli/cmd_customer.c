#include <json.h>

#include "cli/client.h"
#include "cli/command.h"

#define ROUTE "/api/customers"

static const struct view_column columns[] = {
	{ "CUSTOMER", "customerId", VIEW_TEXT }, { "TAG", "rfidTag", VIEW_TEXT },
	{ "E-MAIL", "email", VIEW_TEXT },        { "PAYS BY", "paymentMethod", VIEW_TEXT },
	{ "BLOCKED", "blocked", VIEW_BOOL },     { "ADDRESS", "address", VIEW_TEXT },
};

static const struct view_column fields[] = {
	{ "customer", "customerId", VIEW_TEXT },   { "tag", "rfidTag", VIEW_TEXT },
	{ "address", "address", VIEW_TEXT },       { "e-mail", "email", VIEW_TEXT },
	{ "pays by", "paymentMethod", VIEW_TEXT }, { "blocked", "blocked", VIEW_BOOL },
};

static const struct view_column history_columns[] = {
	{ "SESSION", "sessionId", VIEW_TEXT }, { "OUTLET", "outletId", VIEW_TEXT },
	{ "STATE", "state", VIEW_TEXT },       { "START", "startTime", VIEW_TIME },
	{ "END", "endTime", VIEW_TIME },       { "ENERGY", "powerConsumption", VIEW_KWH },
};

static const struct client_show show_customer = {
	.api = CLIENT_APP, .method = "GET", .columns = fields, .n_columns = EV_ARRAY_LEN(fields)
};

static void customer_path(struct client_path *p, const struct args *a, const char *after)
{
	path_start(p, ROUTE "/");
	path_add_id(p, a->positional[0]);
	path_add(p, after);
}

static int show(const struct args *a, const char *method, const char *after,
		struct json_object *body)
{
	struct client_show how = show_customer;
	struct client_path p;

	how.method = method;
	customer_path(&p, a, after);
	return client_show(a, &how, &p, body);
}

static int run_list(const struct args *a)
{
	const struct client_list how = { .api = CLIENT_APP,
					 .cursor = "after",
					 .columns = columns,
					 .n_columns = EV_ARRAY_LEN(columns) };
	struct client_path p;

	path_start(&p, ROUTE);
	return client_list(a, &how, &p);
}

static int run_show(const struct args *a)
{
	return show(a, "GET", "", NULL);
}

static struct json_object *customer_body(const struct args *a)
{
	struct json_object *body = json_object_new_object();

	body_add_text(body, "address", a, "address");
	body_add_text(body, "email", a, "email");
	body_add_text(body, "paymentMethod", a, "payment");
	return body;
}

static int run_add(const struct args *a)
{
	struct client_show how = show_customer;
	struct json_object *body = customer_body(a);
	struct client_path p;

	how.method = "POST";
	body_add_text(body, "rfidTag", a, "tag");
	path_start(&p, ROUTE);
	int code = client_show(a, &how, &p, body);

	json_object_put(body);
	return code;
}

static int run_change(const struct args *a)
{
	struct ev_fail fail = { .code = EV_OK };
	struct json_object *body = customer_body(a);
	int code;

	if (json_object_object_length(body) > 0) {
		code = show(a, "PATCH", "", body);
	} else {
		(void)ev_fail_set(&fail, EV_INVALID, 0, "nothing to change was given");
		code = cli_fail(&fail);
	}
	json_object_put(body);
	return code;
}

static int run_block(const struct args *a)
{
	return show(a, "POST", "/block", NULL);
}

static int run_unblock(const struct args *a)
{
	return show(a, "POST", "/unblock", NULL);
}

static int run_tag(const struct args *a)
{
	struct json_object *body = json_object_new_object();

	if (a->n_positional > 1)
		json_object_object_add(body, "rfidTag", json_object_new_string(a->positional[1]));
	int code = show(a, "PUT", "/tag", body);

	json_object_put(body);
	return code;
}

static int run_erase(const struct args *a)
{
	const struct client_show how = { .api = CLIENT_APP, .method = "DELETE", .done = "erased" };
	struct client_path p;

	customer_path(&p, a, "");
	return client_show(a, &how, &p, NULL);
}

static int run_history(const struct args *a)
{
	const struct client_list how = { .api = CLIENT_APP,
					 .cursor = "before",
					 .columns = history_columns,
					 .n_columns = EV_ARRAY_LEN(history_columns) };
	struct client_path p;

	customer_path(&p, a, "/charging-history");
	return client_list(a, &how, &p);
}

static const struct arg_option limit_options[] = { CLIENT_LIMIT_OPTION };
static const struct arg_option add_options[] = {
	{ "tag", "TAG", "the RFID tag; without, the server makes one up" },
	{ "address", "TEXT", "where bills go" },
	{ "email", "TEXT", "" },
	{ "payment", "TEXT", "how they pay" },
};
static const struct arg_option change_options[] = {
	{ "address", "TEXT", "" },
	{ "email", "TEXT", "" },
	{ "payment", "TEXT", "" },
};

static const struct cli_verb verbs[] = {
	{ .name = "list",
	  .params = "",
	  .help = "all customers",
	  .options = ARG_OPTIONS(limit_options),
	  .run = run_list },
	{ .name = "show",
	  .params = "CUSTOMER",
	  .min = 1,
	  .max = 1,
	  .help = "one",
	  .run = run_show },
	{ .name = "add",
	  .params = "",
	  .help = "a new one; the server gives the id",
	  .options = ARG_OPTIONS(add_options),
	  .run = run_add },
	{ .name = "change",
	  .params = "CUSTOMER",
	  .min = 1,
	  .max = 1,
	  .help = "what is given",
	  .options = ARG_OPTIONS(change_options),
	  .run = run_change },
	{ .name = "block",
	  .params = "CUSTOMER",
	  .min = 1,
	  .max = 1,
	  .help = "no new sessions",
	  .run = run_block },
	{ .name = "unblock",
	  .params = "CUSTOMER",
	  .min = 1,
	  .max = 1,
	  .help = "sessions again",
	  .run = run_unblock },
	{ .name = "tag",
	  .params = "CUSTOMER [TAG]",
	  .min = 1,
	  .max = 2,
	  .help = "another tag, given or made up by the server",
	  .run = run_tag },
	{ .name = "erase",
	  .params = "CUSTOMER",
	  .min = 1,
	  .max = 1,
	  .help = "the person is forgotten, the sessions stay",
	  .run = run_erase },
	{ .name = "history",
	  .params = "CUSTOMER",
	  .min = 1,
	  .max = 1,
	  .help = "the sessions, the newest first",
	  .options = ARG_OPTIONS(limit_options),
	  .run = run_history },
};

static const struct cli_command command = {
	.name = "customer",
	.summary = "the customers and their tags",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
	.common = { client_options, CLIENT_N_OPTIONS },
};

int cmd_customer(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
