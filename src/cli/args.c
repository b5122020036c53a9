#include "cli/args.h"

#include <string.h>

#include "base/str.h"
#include "cli/nearest.h"

#define HELP_COLUMN 32

static bool find(const struct args *a, struct ev_str name, size_t *out_table, size_t *out_i)
{
	for (size_t t = 0; t < 2; t++) {
		for (size_t i = 0; i < a->options[t].n; i++) {
			if (!ev_str_eqz(name, a->options[t].items[i].name))
				continue;
			*out_table = t;
			*out_i = i;
			return true;
		}
	}
	return false;
}

static const char *option_name(const void *user, size_t i)
{
	const struct args *a = user;

	if (i < a->options[0].n)
		return a->options[0].items[i].name;
	i -= a->options[0].n;
	return i < a->options[1].n ? a->options[1].items[i].name : NULL;
}

static ev_err unknown_option(const struct args *a, struct ev_str name, struct ev_fail *fail)
{
	const char *near = nearest_word(name, option_name, a);

	if (near == NULL)
		return ev_fail_set(fail, EV_INVALID, 0, "unknown option --%.*s", (int)name.n,
				   name.p);
	return ev_fail_set(fail, EV_INVALID, 0, "unknown option --%.*s (did you mean --%s?)",
			   (int)name.n, name.p, near);
}

static ev_err take_option(struct args *a, int argc, char *const *argv, int *i, struct ev_fail *fail)
{
	const char *word = argv[*i] + 2;
	const char *equals = strchr(word, '=');
	struct ev_str name = { word, equals != NULL ? (size_t)(equals - word) : strlen(word) };
	size_t t, at;

	if (!find(a, name, &t, &at))
		return unknown_option(a, name, fail);
	const struct arg_option *o = &a->options[t].items[at];

	if (a->values[t][at] != NULL)
		return ev_fail_set(fail, EV_INVALID, 0, "--%s is given twice", o->name);
	if (o->value == NULL && equals != NULL)
		return ev_fail_set(fail, EV_INVALID, 0, "--%s takes no value", o->name);
	if (o->value == NULL)
		a->values[t][at] = "";
	else if (equals != NULL)
		a->values[t][at] = equals + 1;
	else if (*i + 1 < argc)
		a->values[t][at] = argv[++*i];
	else
		return ev_fail_set(fail, EV_INVALID, 0, "--%s wants %s", o->name, o->value);
	return EV_OK;
}

ev_err args_parse(struct args *out, struct arg_options own, struct arg_options common, int argc,
		  char *const *argv, size_t min, size_t max, struct ev_fail *fail)
{
	struct args a = { .options = { own, common } };
	bool options = true;

	for (int i = 0; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
			continue;
		}
		if (options && argv[i][0] == '-' && argv[i][1] == '-') {
			ev_err e = take_option(&a, argc, argv, &i, fail);

			if (e != EV_OK)
				return e;
			continue;
		}
		if (options && argv[i][0] == '-' && argv[i][1] != '\0')
			return ev_fail_set(fail, EV_INVALID, 0, "unknown option %s", argv[i]);
		if (a.n_positional == max || a.n_positional == ARGS_POSITIONAL_MAX)
			return ev_fail_set(fail, EV_INVALID, 0, "unexpected argument %s", argv[i]);
		a.positional[a.n_positional++] = argv[i];
	}
	if (a.n_positional < min)
		return ev_fail_set(fail, EV_INVALID, 0, "an argument is missing");
	*out = a;
	return EV_OK;
}

const char *args_get(const struct args *a, const char *name)
{
	size_t t, at;

	return find(a, ev_str_from(name), &t, &at) ? a->values[t][at] : NULL;
}

bool args_has(const struct args *a, const char *name)
{
	return args_get(a, name) != NULL;
}

/* --- Help --- */

static void print_option(const struct arg_option *o, FILE *out)
{
	int n = fprintf(out, "      --%s%s%s", o->name, o->value != NULL ? " " : "",
			o->value != NULL ? o->value : "");

	fprintf(out, "%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "", o->help);
}

static void print_options(struct arg_options options, FILE *out)
{
	for (size_t i = 0; i < options.n; i++)
		print_option(&options.items[i], out);
}

static const char *space_before(const char *text)
{
	return text[0] != '\0' ? " " : "";
}

void cli_help(const struct cli_command *c, FILE *out)
{
	fprintf(out, "evcharge %s: %s\n\n", c->name, c->summary);
	for (size_t i = 0; i < c->n_verbs; i++) {
		const struct cli_verb *v = &c->verbs[i];

		fprintf(out, "  evcharge %s%s%s%s%s\n      %s\n", c->name, space_before(v->name),
			v->name, space_before(v->params), v->params, v->help);
		print_options(v->options, out);
	}
	if (c->common.n > 0) {
		fprintf(out, "\nAll of them take:\n");
		print_options(c->common, out);
	}
}

bool cli_wants_help(int argc, char *const *argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

/* --- Verbs --- */

/* How many words of argv the verb's name takes; -1 if it is another verb. */
static int match(const struct cli_verb *v, int argc, char *const *argv)
{
	const char *space = strchr(v->name, ' ');

	if (v->name[0] == '\0')
		return 0;
	if (argc < 1)
		return -1;
	if (space == NULL)
		return strcmp(argv[0], v->name) == 0 ? 1 : -1;
	size_t n = (size_t)(space - v->name);

	if (argc < 2 || strlen(argv[0]) != n || strncmp(argv[0], v->name, n) != 0)
		return -1;
	return strcmp(argv[1], space + 1) == 0 ? 2 : -1;
}

static const char *verb_name(const void *user, size_t i)
{
	const struct cli_command *c = user;

	return i < c->n_verbs ? c->verbs[i].name : NULL;
}

static int usage(const struct cli_command *c, const char *what)
{
	fprintf(stderr, "evcharge %s: %s (see evcharge %s --help)\n", c->name, what, c->name);
	return CLI_USAGE;
}

static int unknown_verb(const struct cli_command *c, int argc, char *const *argv)
{
	char what[200];
	const char *near;

	if (argc < 1)
		return usage(c, "what to do is missing");
	near = nearest_word(ev_str_from(argv[0]), verb_name, c);
	if (near != NULL)
		snprintf(what, sizeof(what), "there is no %.60s (did you mean %s?)", argv[0], near);
	else
		snprintf(what, sizeof(what), "there is no %.60s", argv[0]);
	return usage(c, what);
}

static int run_verb(const struct cli_command *c, const struct cli_verb *v, int argc,
		    char *const *argv)
{
	struct ev_fail fail = { .code = EV_OK };
	struct args a;

	if (v->run_words != NULL)
		return v->run_words(argc, argv);
	if (args_parse(&a, v->options, c->common, argc, argv, v->min, v->max, &fail) != EV_OK)
		return usage(c, fail.text);
	return v->run(&a);
}

int cli_run(const struct cli_command *c, int argc, char *const *argv)
{
	if (cli_wants_help(argc, argv)) {
		cli_help(c, stdout);
		return CLI_OK;
	}
	for (size_t i = 0; i < c->n_verbs; i++) {
		int words = match(&c->verbs[i], argc, argv);

		if (words >= 0)
			return run_verb(c, &c->verbs[i], argc - words, argv + words);
	}
	return unknown_verb(c, argc, argv);
}

int cli_fail(const struct ev_fail *fail)
{
	fprintf(stderr, "evcharge: %s\n", fail->text);
	return fail->code == EV_INVALID ? CLI_USAGE : CLI_FAILED;
}
