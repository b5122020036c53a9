/* cli/cmd_provision.c — shows what AWS has of what the system needs, and creates the rest. */
#include <json.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/args.h"
#include "cli/aws_open.h"
#include "cli/command.h"
#include "cli/view.h"
#include "engine/aws/provision.h"

#define LIMIT_DEFAULT_S 300
#define LIMIT_MAX_S 3600
#define SECOND_NS INT64_C(1000000000)

struct job {
	bool plan, yes, json;
	uint64_t limit_s;
	struct aws_resources names;
	struct aws_open *open;
	struct aws_client *client;
	struct provision_plan found;
};

static void job_deinit(struct job *j)
{
	aws_client_free(j->client);
	aws_open_free(j->open);
}

/* --- What is shown --- */

/* The word for programs, and the one for people. */
static const struct {
	const char *json, *text;
} words[] = {
	[PROVISION_NOTHING] = { "none", "as wanted" },
	[PROVISION_CREATE] = { "create", "to create" },
	[PROVISION_WAIT] = { "wait", "being created" },
	[PROVISION_STUCK] = { "stuck", "being deleted" },
	[PROVISION_DIFFERS] = { "differs", "differs" },
};
_Static_assert(EV_ARRAY_LEN(words) == PROVISION_ACTION_COUNT, "every action has a word");

static const struct view_column columns[] = {
	{ "STATE", "state", VIEW_TEXT },
	{ "KIND", "kind", VIEW_TEXT },
	{ "NAME", "name", VIEW_TEXT },
};

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *setting_json(const struct provision_resource *r,
					const struct provision_setting *s)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", s->name);
	add_text(o, "wanted", s->wanted);
	json_object_object_add(o, "found",
			       s->found[0] != '\0' ? json_object_new_string(s->found) : NULL);
	json_object_object_add(
		o, "compared",
		json_object_new_boolean(s->rule != PROVISION_SHOWN && !provision_is_unknown(s)));
	json_object_object_add(o, "good", json_object_new_boolean(provision_setting_good(r, s)));
	return o;
}

static struct json_object *resource_json(const struct provision_resource *r)
{
	enum provision_action action = provision_action(r);
	bool half = action == PROVISION_CREATE && provision_is_switch(r);
	struct json_object *o = json_object_new_object();
	struct json_object *settings = json_object_new_array();
	const char *text = half ? "to complete" : words[action].text;

	add_text(o, "kind", provision_kind_text(r->kind));
	add_text(o, "service", aws_service_name(r->service));
	add_text(o, "name", r->name);
	add_text(o, "action", half ? "complete" : words[action].json);
	add_text(o, "state", action == PROVISION_NOTHING && r->created ? "created" : text);
	json_object_object_add(o, "created", json_object_new_boolean(r->created));
	for (size_t i = 0; i < r->n_settings; i++)
		json_object_array_add(settings, setting_json(r, &r->settings[i]));
	json_object_object_add(o, "settings", settings);
	return o;
}

static struct json_object *plan_json(const struct job *j)
{
	struct json_object *o = json_object_new_object();
	struct json_object *resources = json_object_new_array();

	add_text(o, "region", aws_open_region(j->open));
	add_text(o, "prefix", j->names.prefix);
	for (size_t i = 0; i < j->found.n; i++)
		json_object_array_add(resources, resource_json(&j->found.items[i]));
	json_object_object_add(o, "resources", resources);
	return o;
}

static void print_differences(const struct provision_resource *r)
{
	for (size_t i = 0; i < r->n_settings; i++) {
		const struct provision_setting *s = &r->settings[i];

		if (!provision_setting_good(r, s))
			printf("%s: %s is %s, wanted is %s\n", r->name, s->name,
			       s->found[0] != '\0' ? s->found : "not set", s->wanted);
	}
}

static void print_plan(const struct job *j)
{
	struct json_object *o = plan_json(j);

	if (j->json) {
		printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	} else {
		view_table(stdout, json_object_object_get(o, "resources"), columns,
			   EV_ARRAY_LEN(columns));
		for (size_t i = 0; i < j->found.n; i++) {
			if (provision_action(&j->found.items[i]) == PROVISION_DIFFERS)
				print_differences(&j->found.items[i]);
		}
	}
	json_object_put(o);
}

/* --- What is done --- */

static ev_err read_limit(struct job *j, const struct args *a, struct ev_fail *fail)
{
	const char *text = args_get(a, "timeout");

	j->limit_s = LIMIT_DEFAULT_S;
	if (text == NULL)
		return EV_OK;
	if (num_parse_u64(ev_str_from(text), &j->limit_s) != EV_OK || j->limit_s == 0 ||
	    j->limit_s > LIMIT_MAX_S)
		return ev_fail_set(fail, EV_INVALID, 0, "--timeout wants 1 to %d seconds",
				   LIMIT_MAX_S);
	return EV_OK;
}

static ev_err read_words(struct job *j, const struct args *a, struct ev_fail *fail)
{
	const char *engine = args_get(a, "engine");
	const char *prefix = args_get(a, "prefix");

	j->plan = args_has(a, "plan");
	j->yes = args_has(a, "yes");
	j->json = args_has(a, "json");
	if (engine == NULL || !ev_str_eqz(ev_str_from(engine), "aws"))
		return ev_fail_set(fail, EV_INVALID, 0,
				   "--engine aws is wanted: no other has anything to provision");
	if (j->plan && j->yes)
		return ev_fail_set(fail, EV_INVALID, 0, "--plan and --yes exclude each other");
	if (aws_resources_init(&j->names,
			       ev_str_from(prefix != NULL ? prefix : AWS_PREFIX_DEFAULT)) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "--prefix wants at most %d letters, digits, - and _",
				   AWS_PREFIX_MAX);
	return read_limit(j, a, fail);
}

static ev_err connect_aws(struct job *j, const struct args *a, struct ev_fail *fail)
{
	const struct aws_open_options options = { .profile = args_get(a, "profile"),
						  .region = args_get(a, "region"),
						  .ca_file = args_get(a, "ca") };
	ev_err e = aws_open_new(&options, &j->open, fail);

	return e == EV_OK ? aws_open_client(j->open, NULL, &j->client, fail) : e;
}

static size_t n_to_do(const struct job *j)
{
	return provision_count(&j->found, PROVISION_CREATE) +
	       provision_count(&j->found, PROVISION_WAIT);
}

/* EV_DENIED: the answer is no. */
static ev_err ask_people(const struct job *j, struct ev_fail *fail)
{
	char answer[16];

	if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "no terminal to ask on: --yes creates, --plan only shows");
	if (!j->json)
		print_plan(j);
	fflush(stdout);
	fprintf(stderr, "Create what is missing (%zu) in %s? [y/N] ", n_to_do(j),
		aws_open_region(j->open));
	if (fgets(answer, sizeof(answer), stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
		return ev_fail_set(fail, EV_DENIED, 0, "nothing was created");
	return EV_OK;
}

static ev_err create(struct job *j, const struct provision *v, struct ev_fail *fail)
{
	ev_err e = j->yes ? EV_OK : ask_people(j, fail);

	return e == EV_OK ? provision_create(v, &j->found, fail) : e;
}

/* Known only once DynamoDB, or what stands in for it, was asked. */
static void warn_of_ttl(const struct job *j)
{
	for (size_t i = 0; i < j->found.n; i++) {
		const struct provision_resource *r = &j->found.items[i];

		for (size_t k = 0; k < r->n_settings; k++) {
			if (r->state == PROVISION_THERE && provision_is_unknown(&r->settings[k]))
				fprintf(stderr, "evcharge: %s: this endpoint knows no %s\n",
					r->name, r->settings[k].name);
		}
	}
}

static int run_provision(const struct args *a)
{
	EV_CLEANUP(job_deinit) struct job j = { .client = NULL };
	struct ev_fail fail = { .code = EV_OK };
	ev_err e = read_words(&j, a, &fail);

	if (e == EV_OK)
		e = connect_aws(&j, a, &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	const struct provision v = { .caller = aws_client_caller(j.client),
				     .clock = ev_clock_os(),
				     .limit_ns = (int64_t)j.limit_s * SECOND_NS };

	provision_plan_init(&j.found, &j.names);
	e = provision_look(&v, &j.found, &fail);
	if (e == EV_OK && !j.plan && n_to_do(&j) > 0)
		e = create(&j, &v, &fail);
	if (e != EV_OK)
		return cli_fail(&fail);
	print_plan(&j);
	warn_of_ttl(&j);
	return provision_count(&j.found, PROVISION_DIFFERS) +
				       provision_count(&j.found, PROVISION_STUCK) >
			       0
		       ? CLI_DIFFERS
		       : CLI_OK;
}

static const struct arg_option options[] = {
	{ "engine", "aws", "the only one that has queues, streams and tables to create" },
	{ "prefix", "TEXT", "of all names (ev-charging_)" },
	{ "region", "REGION", "else AWS_REGION, AWS_DEFAULT_REGION or the profile's" },
	{ "profile", "NAME", "of ~/.aws; else AWS_PROFILE, or the keys of the environment" },
	{ "ca", "FILE", "trust this certificate (PEM) instead of the system's" },
	{ "timeout", "SECONDS", "for creation, until all can be used (300)" },
	{ "plan", NULL, "only show what there is and what would be created" },
	{ "yes", NULL, "create without asking" },
	{ "json", NULL, "print the plan as JSON, after creation if there was one" },
};

static const struct cli_verb verbs[] = {
	{ .name = "",
	  .params = "--engine aws",
	  .help = "create what is missing; what differs is shown (exit code 3) and left alone",
	  .options = ARG_OPTIONS(options),
	  .run = run_provision },
};

static const struct cli_command command = {
	.name = "provision",
	.summary = "the queues, streams and tables of the aws engine",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
};

int cmd_provision(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
