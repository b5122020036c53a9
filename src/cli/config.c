/*
 * cli/config.c — the table of settings and its sources.
 *
 * libinih splits the file into keys and values; it cuts lines longer than its buffer without a word
 * and takes an indented line for more of the one before, so the reader below refuses long lines and
 * takes the indentation away.
 */
#include "cli/config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/log.h"
#include "base/time.h"
#include "cli/config_value.h"
#include "cli/nearest.h"

#define DAY (24 * EV_NS_PER_HOUR)
#define YEARS_100 (36500 * DAY)
#define FILE_MAX 65536
#define SHOWN_MAX 48 /* bytes of a key or value of the user's in a fault's text */
#define ENV_PREFIX "EVCHARGE_"
#define LINE_MAX_INI 200 /* inih's buffer, as Debian builds it */

static const char *const engine_names[] = { "embedded", "aws", NULL };
static const char *const auth_names[] = { "auto", "always", NULL };
static const char *const level_names[] = { "error", "warn", "info", "debug", NULL };
static_assert(EV_LOG_ERROR == 0 && EV_LOG_DEBUG == 3, "the names stand in the order of the enum");
static const char *const format_names[] = { "auto", "logfmt", "json", NULL };

/* Variables with our prefix that are no settings: of the client commands, and of the tests. */
static const char *const other_variables[] = {
	"TOKEN", "TOKEN_FILE", "APP_URL", "OUTLET_URL", "GATEWAY_URL", "CA", "BIN",
};

#define AT(member) .offset = offsetof(struct config, member)
#define RANGE(low, high) .min = (low), .max = (high)
#define RELOADABLE .reloadable = true

static const struct config_key keys[] = {
	{ "config", CONFIG_PATH, AT(config), "", .outside = true,
	  .help = "the file with these settings; by option or environment only" },
	{ "engine", CONFIG_ENUM, AT(engine), "embedded", .choices = engine_names,
	  .help = "embedded: one SQLite file; aws: SQS, Kinesis and DynamoDB" },
	{ "role", CONFIG_STRING, AT(role), "outlet,app,gateway",
	  .help = "which of outlet, app and gateway this process plays; all of them on embedded" },
	{ "data", CONFIG_PATH, AT(data), "evcharge-data",
	  .help = "the directory of the database and the credentials" },
	{ "outlet-listen", CONFIG_ADDRESS, AT(outlet_listen), "127.0.0.1:8081",
	  .help = "where the outlet API listens; port 0 lets the system choose" },
	{ "app-listen", CONFIG_ADDRESS, AT(app_listen), "127.0.0.1:8080",
	  .help = "where the app API listens" },
	{ "gateway-listen", CONFIG_ADDRESS, AT(gateway_listen), "127.0.0.1:8082",
	  .help = "where the devices connect" },
	{ "gateway-loops", CONFIG_INTEGER, AT(gateway_loops), "0", RANGE(0, 64),
	  .help = "threads that serve devices; 0: by the processors, 1 on up to two, at most 4" },
	{ "tls-cert", CONFIG_PATH, AT(tls_cert), "",
	  .help = "the certificate chain, PEM, read again on SIGHUP; turns TLS on" },
	{ "tls-key", CONFIG_PATH, AT(tls_key), "",
	  .help = "the certificate's private key, PEM, read again on SIGHUP" },
	{ "insecure", CONFIG_BOOL, AT(insecure), "off",
	  .help = "listen beyond loopback without TLS, behind a proxy that does TLS" },
	{ "auth", CONFIG_ENUM, AT(auth), "auto", .choices = auth_names,
	  .help = "auto: tokens and device secrets beyond loopback only; always: everywhere" },
	{ "log-level", CONFIG_ENUM, AT(log_level), "info", .choices = level_names, RELOADABLE,
	  .help = "the least important lines that are logged" },
	{ "log-format", CONFIG_ENUM, AT(log_format), "auto", .choices = format_names,
	  .help = "auto: logfmt on a terminal, else json" },
	{ "retain-events", CONFIG_DURATION, AT(retain_events_ns), "90d", RANGE(0, YEARS_100),
	  RELOADABLE, .help = "how long charging events are kept; 0 is for ever" },
	{ "retain-commands", CONFIG_DURATION, AT(retain_commands_ns), "7d", RANGE(0, YEARS_100),
	  RELOADABLE, .help = "how long device commands are kept; 0 is for ever" },
	{ "retain-dead-letters", CONFIG_DURATION, AT(retain_dead_letters_ns), "0",
	  RANGE(0, YEARS_100), RELOADABLE,
	  .help = "how long settled dead letters are kept; 0 is for ever" },
	{ "request-timeout", CONFIG_DURATION, AT(request_timeout_ns), "60s",
	  RANGE(EV_NS_PER_S, DAY), .help = "how long a charging request waits for its answer" },
	{ "command-timeout", CONFIG_DURATION, AT(command_timeout_ns), "5m", RANGE(EV_NS_PER_S, DAY),
	  .help = "when a start that no device acknowledged is taken back" },
	{ "stop-timeout", CONFIG_DURATION, AT(stop_timeout_ns), "60s", RANGE(EV_NS_PER_S, DAY),
	  .help = "when a stop that the device did not follow is repeated, then enforced" },
	{ "stuck-after", CONFIG_DURATION, AT(stuck_after_ns), "15m", RANGE(EV_NS_PER_S, YEARS_100),
	  RELOADABLE, .help = "after how much silence a live session is listed as stuck" },
	{ "stop-requires-tag", CONFIG_BOOL, AT(stop_requires_tag), "off",
	  .help = "refuse a stop at the device with another tag than the session's" },
	{ "notify-denials", CONFIG_BOOL, AT(notify_denials), "on",
	  .help = "send devices the denials that the original never sent" },
	{ "max-connections", CONFIG_INTEGER, AT(max_connections), "16000", RANGE(1, 1000000),
	  .help = "connections of one listener" },
	{ "max-connections-per-address", CONFIG_INTEGER, AT(max_connections_per_address), "16000",
	  RANGE(1, 1000000), RELOADABLE, .help = "connections from one address" },
	{ "max-frame", CONFIG_SIZE, AT(max_frame), "16384", RANGE(1024, 1048576),
	  .help = "the longest message of a device, in bytes" },
	{ "message-rate", CONFIG_INTEGER, AT(message_rate), "50", RANGE(1, 100000), RELOADABLE,
	  .help = "messages a second that one device may send" },
	{ "message-burst", CONFIG_INTEGER, AT(message_burst), "100", RANGE(1, 100000), RELOADABLE,
	  .help = "messages that one device may send at once" },
	{ "max-outstanding", CONFIG_INTEGER, AT(max_outstanding), "64", RANGE(1, 4096),
	  .help = "unanswered messages of one connection, before it is read no further" },
	{ "ping-interval", CONFIG_DURATION, AT(ping_interval_ns), "30s", RANGE(EV_NS_PER_S, DAY),
	  .help = "how often a quiet device is pinged; its pong may take as long, up to 20 s" },
	{ "idle-timeout", CONFIG_DURATION, AT(idle_timeout_ns), "120s", RANGE(EV_NS_PER_S, DAY),
	  .help = "after how much silence a device's connection is closed" },
	{ "drain-timeout", CONFIG_DURATION, AT(drain_timeout_ns), "10s", RANGE(0, EV_NS_PER_HOUR),
	  RELOADABLE, .help = "how long a stop waits for what is in flight" },
	{ "aws-prefix", CONFIG_STRING, AT(aws_prefix), "ev-charging_",
	  .help = "what the names of all queues, streams and tables begin with" },
	{ "aws-region", CONFIG_STRING, AT(aws_region), "",
	  .help = "the region; empty: AWS_REGION, AWS_DEFAULT_REGION, else the profile's" },
	{ "aws-profile", CONFIG_STRING, AT(aws_profile), "",
	  .help = "the profile of the shared files; empty: AWS_PROFILE, else default" },
	{ "aws-lanes", CONFIG_INTEGER, AT(aws_lanes), "16", RANGE(1, 256),
	  .help = "how many outlets' inputs are decided and written at the same time" },
	{ "aws-receives", CONFIG_INTEGER, AT(aws_receives), "4", RANGE(1, 64),
	  .help = "long polls in flight on the queue of device messages" },
	{ "gateway-id", CONFIG_STRING, AT(gateway_id), "",
	  .help = "names this gateway's queue, 1 to 36 letters, digits, - and _; empty: random" },
	{ "sweep-interval", CONFIG_DURATION, AT(sweep_interval_ns), "60s", RANGE(EV_NS_PER_S, DAY),
	  .help = "how often one process looks for what ended processes left behind" },
};

#define N_KEYS EV_ARRAY_LEN(keys)
static_assert(N_KEYS <= CONFIG_KEYS_MAX, "struct config has room for the source of each key");

const struct config_key *config_keys(size_t *out_n)
{
	*out_n = N_KEYS;
	return keys;
}

static const char *key_name(const void *user, size_t i)
{
	(void)user;
	return i < N_KEYS ? keys[i].name : NULL;
}

static const struct config_key *find_key(struct ev_str name)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		if (ev_str_eqz(name, keys[i].name))
			return &keys[i];
	}
	return NULL;
}

static size_t index_of(const struct config_key *key)
{
	return (size_t)(key - keys);
}

/* For "%.*s": what the user wrote, cut. */
static int shown(struct ev_str s)
{
	return (int)(s.n < SHOWN_MAX ? s.n : SHOWN_MAX);
}

static ev_err unknown_key(struct ev_str name, const char *where, const char *prefix,
			  struct ev_fail *fail)
{
	const char *near = nearest_word(name, key_name, NULL);

	if (near == NULL)
		return ev_fail_set(fail, EV_INVALID, 0, "%s: unknown setting %s%.*s", where, prefix,
				   shown(name), name.p);
	return ev_fail_set(fail, EV_INVALID, 0, "%s: unknown setting %s%.*s (did you mean %s%s?)",
			   where, prefix, shown(name), name.p, prefix, near);
}

static ev_err set_value(struct config *c, const struct config_key *key, struct ev_str value,
			enum config_source source, const char *where, struct ev_fail *fail)
{
	char allowed[160];
	struct ev_buf b = ev_buf_over(allowed, sizeof(allowed) - 1);

	if (config_value_parse(c, key, value) == EV_OK) {
		c->source[index_of(key)] = (uint8_t)source;
		return EV_OK;
	}
	config_value_allowed(key, &b);
	allowed[b.len] = '\0';
	return ev_fail_set(fail, EV_INVALID, 0, "%s: %s = \"%.*s\" is not %s", where, key->name,
			   shown(value), value.p, allowed);
}

void config_init(struct config *c)
{
	*c = (struct config){ .source = { CONFIG_DEFAULT } };
	for (size_t i = 0; i < N_KEYS; i++) {
		ev_err e = set_value(c, &keys[i], ev_str_from(keys[i].preset), CONFIG_DEFAULT,
				     "default", NULL);

		assert(e == EV_OK && "the table's defaults are allowed values");
		(void)e; /* used by the assertion alone */
	}
}

/* --- The file --- */

struct file_reader {
	struct config *c;
	struct ev_str left;
	const char *name;
	unsigned line;
	uint64_t given; /* a bit for each key */
	ev_err error;
	struct ev_fail *fail;
};
static_assert(N_KEYS <= 64, "given has a bit for each key");

#define WHERE_MAX 96

/* The end of a long path tells more than its beginning. */
static void write_where(const struct file_reader *r, char out[WHERE_MAX])
{
	size_t n = strlen(r->name);
	size_t skip = n > SHOWN_MAX ? n - SHOWN_MAX : 0;

	snprintf(out, WHERE_MAX, "%s line %u", r->name + skip, r->line);
}

static void file_fault(struct file_reader *r, const char *what)
{
	char where[WHERE_MAX];

	write_where(r, where);
	if (r->error == EV_OK)
		r->error = ev_fail_set(r->fail, EV_INVALID, 0, "%s: %s", where, what);
}

/* As fgets: one line with its end; NULL at the end of the text or after a fault. */
static char *next_line(char *out, int size, void *user)
{
	struct file_reader *r = user;

	if (r->error != EV_OK || r->left.n == 0)
		return NULL;
	const char *end = memchr(r->left.p, '\n', r->left.n);
	size_t n = end == NULL ? r->left.n : (size_t)(end - r->left.p) + 1;

	r->line++;
	if (n + 1 >= (size_t)size || n + 1 >= LINE_MAX_INI) {
		file_fault(r, "the line is too long");
		return NULL;
	}
	if (memchr(r->left.p, '\0', n) != NULL) {
		file_fault(r, "a zero byte");
		return NULL;
	}
	size_t indent = 0;

	while (indent < n && (r->left.p[indent] == ' ' || r->left.p[indent] == '\t'))
		indent++;
	memcpy(out, r->left.p + indent, n - indent);
	out[n - indent] = '\0';
	r->left = (struct ev_str){ r->left.p + n, r->left.n - n };
	return out;
}

static ev_err file_set(struct file_reader *r, const char *name, const char *value,
		       const char *where)
{
	const struct config_key *key = find_key(ev_str_from(name));

	if (key == NULL)
		return unknown_key(ev_str_from(name), where, "", r->fail);
	if (key->outside)
		return ev_fail_set(r->fail, EV_INVALID, 0, "%s: %s cannot be set in a file", where,
				   name);
	if ((r->given >> index_of(key) & 1) != 0)
		return ev_fail_set(r->fail, EV_INVALID, 0, "%s: %s is given twice", where, name);
	r->given |= UINT64_C(1) << index_of(key);
	return set_value(r->c, key, ev_str_from(value), CONFIG_FILE, where, r->fail);
}

static int on_pair(void *user, const char *section, const char *name, const char *value)
{
	struct file_reader *r = user;
	char where[WHERE_MAX];

	if (r->error != EV_OK)
		return 0;
	write_where(r, where);
	if (section[0] != '\0')
		file_fault(r, "there are no sections here");
	else
		r->error = file_set(r, name, value, where);
	return r->error == EV_OK;
}

ev_err config_read_text(struct config *c, struct ev_str text, const char *name,
			struct ev_fail *fail)
{
	struct file_reader r = { .c = c, .left = text, .name = name, .fail = fail };
	int line = ini_parse_stream(next_line, &r, on_pair, &r);

	if (r.error == EV_OK && line != 0) {
		r.line = line > 0 ? (unsigned)line : 0;
		file_fault(&r, "neither `key = value` nor a comment");
	}
	return r.error;
}

static ev_err read_whole(int fd, char *out, size_t cap, size_t *out_n)
{
	size_t n = 0;
	ssize_t got;

	while (n < cap && (got = read(fd, out + n, cap - n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return EV_IO;
		n += (size_t)got;
	}
	*out_n = n;
	return EV_OK;
}

static ev_err read_file(struct config *c, const char *path, struct ev_fail *fail)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = malloc(FILE_MAX + 1);
	size_t n = 0;
	ev_err e = EV_OK;

	if (text == NULL)
		e = ev_fail_set(fail, EV_NOMEM, 0, "out of memory");
	else if (fd < 0 || read_whole(fd, text, FILE_MAX + 1, &n) != EV_OK)
		e = ev_fail_set(fail, EV_IO, errno, "%s: %s", path, strerror(errno));
	else if (n > FILE_MAX)
		e = ev_fail_set(fail, EV_INVALID, 0, "%s: longer than %d bytes", path, FILE_MAX);
	else
		e = config_read_text(c, (struct ev_str){ text, n }, path, fail);
	free(text);
	if (fd >= 0)
		(void)close(fd); /* only read from */
	return e;
}

/* --- The environment --- */

/* The setting's name of a variable's: OUTLET_LISTEN to outlet-listen. */
static struct ev_str name_of_variable(struct ev_str variable, char out[SHOWN_MAX])
{
	size_t n = variable.n < SHOWN_MAX ? variable.n : SHOWN_MAX;

	for (size_t i = 0; i < n; i++) {
		char ch = variable.p[i];

		if (ch >= 'A' && ch <= 'Z')
			out[i] = (char)(ch - 'A' + 'a');
		else
			out[i] = ch == '_' ? '-' : '?'; /* digits and small letters: of no key */
	}
	return (struct ev_str){ out, n };
}

static bool is_other_variable(struct ev_str name)
{
	for (size_t i = 0; i < EV_ARRAY_LEN(other_variables); i++) {
		if (ev_str_eqz(name, other_variables[i]))
			return true;
	}
	return false;
}

static void write_variable(const char *name, char out[NEAREST_WORD_MAX + 1])
{
	size_t n = 0;

	for (; name[n] != '\0' && n < NEAREST_WORD_MAX; n++)
		out[n] = name[n] == '-' ? '_' : (char)(name[n] - 'a' + 'A');
	out[n] = '\0';
}

static ev_err unknown_variable(struct ev_str variable, struct ev_str name, struct ev_fail *fail)
{
	const char *near = nearest_word(name, key_name, NULL);
	char known[NEAREST_WORD_MAX + 1];

	if (near == NULL)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "environment: unknown setting " ENV_PREFIX "%.*s",
				   shown(variable), variable.p);
	write_variable(near, known);
	return ev_fail_set(fail, EV_INVALID, 0,
			   "environment: unknown setting " ENV_PREFIX
			   "%.*s (did you mean " ENV_PREFIX "%s?)",
			   shown(variable), variable.p, known);
}

static ev_err env_set(struct config *c, struct ev_str variable, struct ev_str value,
		      struct ev_fail *fail)
{
	char name[SHOWN_MAX];
	struct ev_str key_text = name_of_variable(variable, name);
	const struct config_key *key = find_key(key_text);

	if (is_other_variable(variable))
		return EV_OK;
	if (key == NULL)
		return unknown_variable(variable, key_text, fail);
	return set_value(c, key, value, CONFIG_ENVIRONMENT, "environment", fail);
}

/* The part after our prefix and the value; false if the entry is none of ours. */
static bool split_variable(const char *entry, struct ev_str *out_name, struct ev_str *out_value)
{
	const char *equals = strchr(entry, '=');
	size_t prefix = sizeof(ENV_PREFIX) - 1;

	if (equals == NULL || strncmp(entry, ENV_PREFIX, prefix) != 0)
		return false;
	*out_name = (struct ev_str){ entry + prefix, (size_t)(equals - entry) - prefix };
	*out_value = ev_str_from(equals + 1);
	return true;
}

ev_err config_read_env(struct config *c, char *const *envp, struct ev_fail *fail)
{
	struct ev_str name, value;

	for (size_t i = 0; envp[i] != NULL; i++) {
		if (!split_variable(envp[i], &name, &value))
			continue;
		ev_err e = env_set(c, name, value, fail);

		if (e != EV_OK)
			return e;
	}
	return EV_OK;
}

/* --- The command line --- */

/* One option at *i with its value; *i is then at its last word. */
static ev_err read_option(int argc, char *const *argv, int *i, const struct config_key **out_key,
			  struct ev_str *out_value, struct ev_fail *fail)
{
	const char *word = argv[*i];

	if (strncmp(word, "--", 2) != 0)
		return ev_fail_set(fail, EV_INVALID, 0, "unexpected argument %.*s", SHOWN_MAX,
				   word);
	const char *equals = strchr(word, '=');
	size_t n = equals != NULL ? (size_t)(equals - word) : strlen(word);
	struct ev_str name = { word + 2, n - 2 };
	const struct config_key *key = find_key(name);

	if (key == NULL)
		return unknown_key(name, "command line", "--", fail);
	if (equals != NULL)
		*out_value = ev_str_from(equals + 1);
	else if (key->type == CONFIG_BOOL)
		*out_value = EV_LIT("on");
	else if (*i + 1 < argc)
		*out_value = ev_str_from(argv[++*i]);
	else
		return ev_fail_set(fail, EV_INVALID, 0, "command line: --%s wants a value",
				   key->name);
	*out_key = key;
	return EV_OK;
}

ev_err config_read_args(struct config *c, int argc, char *const *argv, struct ev_fail *fail)
{
	for (int i = 0; i < argc; i++) {
		const struct config_key *key = NULL;
		struct ev_str value = { .n = 0 };
		ev_err e = read_option(argc, argv, &i, &key, &value, fail);

		if (e == EV_OK)
			e = set_value(c, key, value, CONFIG_OPTION, "command line", fail);
		if (e != EV_OK)
			return e;
	}
	return EV_OK;
}

/* --- All together --- */

ev_err config_load(struct config *out, int argc, char *const *argv, char *const *envp,
		   struct ev_fail *fail)
{
	struct config c;

	/*
	 * Twice: the first round finds the file's name, the second lays its rivals over the file.
	 */
	config_init(&c);
	for (int round = 0; round < 2; round++) {
		ev_err e = config_read_env(&c, envp, fail);

		if (e == EV_OK)
			e = config_read_args(&c, argc, argv, fail);
		if (e == EV_OK && round == 0 && c.config[0] != '\0')
			e = read_file(&c, c.config, fail);
		if (e != EV_OK)
			return e;
	}
	*out = c;
	return EV_OK;
}

static ev_err check_tls(const struct config *c, struct ev_fail *fail)
{
	const char *const files[] = { c->tls_cert, c->tls_key };

	if ((c->tls_cert[0] == '\0') != (c->tls_key[0] == '\0'))
		return ev_fail_set(fail, EV_INVALID, 0, "tls-cert and tls-key go together");
	for (size_t i = 0; i < EV_ARRAY_LEN(files) && files[i][0] != '\0'; i++) {
		if (access(files[i], R_OK) != 0)
			return ev_fail_set(fail, EV_INVALID, errno, "%s: %s", files[i],
					   strerror(errno));
	}
	return EV_OK;
}

static ev_err check_exposure(const struct config *c, const char *name,
			     const struct config_address *a, struct ev_fail *fail)
{
	char text[CONFIG_ADDRESS_TEXT];

	if (config_is_loopback(a) || c->tls_cert[0] != '\0' || c->insecure)
		return EV_OK;
	config_address_text(a, text);
	return ev_fail_set(fail, EV_INVALID, 0,
			   "%s = %s is not loopback: that takes tls-cert and tls-key, or insecure",
			   name, text);
}

static ev_err check_listeners(const struct config *c, struct ev_fail *fail)
{
	const struct config_address *all[] = { &c->outlet_listen, &c->app_listen,
					       &c->gateway_listen };
	static const char *const names[] = { "outlet-listen", "app-listen", "gateway-listen" };

	for (size_t i = 0; i < EV_ARRAY_LEN(all); i++) {
		ev_err e = check_exposure(c, names[i], all[i], fail);

		if (e != EV_OK)
			return e;
		for (size_t j = 0; j < i; j++) {
			if (all[i]->port == 0 || all[i]->port != all[j]->port ||
			    strcmp(all[i]->host, all[j]->host) != 0)
				continue;
			return ev_fail_set(fail, EV_INVALID, 0, "%s and %s are the same address",
					   names[j], names[i]);
		}
	}
	return EV_OK;
}

static unsigned role_of(struct ev_str word)
{
	static const char *const words[] = { "outlet", "app", "gateway" };

	for (size_t i = 0; i < EV_ARRAY_LEN(words); i++) {
		if (ev_str_eqz(word, words[i]))
			return 1U << i;
	}
	return 0;
}

ev_err config_roles(const struct config *c, unsigned *out)
{
	struct ev_str rest = ev_str_from(c->role);
	unsigned roles = 0;

	for (;;) {
		size_t n = 0;
		unsigned role;

		while (n < rest.n && rest.p[n] != ',')
			n++;
		role = role_of((struct ev_str){ rest.p, n });
		if (role == 0)
			return EV_INVALID;
		roles |= role;
		if (n == rest.n)
			break;
		rest = (struct ev_str){ rest.p + n + 1, rest.n - n - 1 };
	}
	*out = roles;
	return EV_OK;
}

enum config_source config_source_of(const struct config *c, const char *name)
{
	const struct config_key *key = find_key(ev_str_from(name));

	assert(key != NULL);
	return (enum config_source)c->source[index_of(key)];
}

static ev_err check_roles(const struct config *c, struct ev_fail *fail)
{
	unsigned roles;

	if (config_roles(c, &roles) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "role takes outlet, app and gateway, separated by commas");
	if (c->engine == CONFIG_ENGINE_EMBEDDED && roles != CONFIG_ROLES_ALL)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "role: on the embedded engine one process plays all roles");
	return EV_OK;
}

ev_err config_check(const struct config *c, struct ev_fail *fail)
{
	ev_err e = check_roles(c, fail);

	if (e == EV_OK)
		e = check_tls(c, fail);
	if (e == EV_OK)
		e = check_listeners(c, fail);
	if (e != EV_OK)
		return e;
	if (c->data[0] == '\0')
		return ev_fail_set(fail, EV_INVALID, 0, "data must name a directory");
	if (c->idle_timeout_ns <= c->ping_interval_ns)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "idle-timeout must be longer than ping-interval");
	if (c->message_burst < c->message_rate)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "message-burst must be at least message-rate");
	return EV_OK;
}

void config_print(const struct config *c, struct ev_buf *b)
{
	static const char *const sources[] = {
		[CONFIG_DEFAULT] = "",
		[CONFIG_FILE] = " (set by the file)",
		[CONFIG_ENVIRONMENT] = " (set by the environment)",
		[CONFIG_OPTION] = " (set by an option)",
	};

	for (size_t i = 0; i < N_KEYS; i++) {
		const struct config_key *key = &keys[i];

		if (key->outside)
			continue;
		ev_buf_z(b, "# ");
		ev_buf_z(b, key->help);
		ev_buf_z(b, sources[c->source[i]]);
		ev_buf_char(b, '\n');
		ev_buf_z(b, key->name);
		ev_buf_z(b, " = ");
		config_value_text(c, key, b);
		ev_buf_z(b, "\n\n");
	}
}

static const char *placeholder(const struct config_key *key)
{
	static const char *const names[] = {
		[CONFIG_STRING] = " TEXT",
		[CONFIG_PATH] = " PATH",
		[CONFIG_BOOL] = "",
		[CONFIG_INTEGER] = " NUMBER",
		[CONFIG_DURATION] = " DURATION",
		[CONFIG_SIZE] = " SIZE",
		[CONFIG_ADDRESS] = " ADDRESS",
		[CONFIG_ENUM] = " WORD",
	};

	return names[key->type];
}

void config_help(struct ev_buf *b)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		size_t start = b->len;

		ev_buf_z(b, "  --");
		ev_buf_z(b, keys[i].name);
		ev_buf_z(b, placeholder(&keys[i]));
		do
			ev_buf_char(b, ' ');
		while (!b->overflow && b->len - start < 40);
		ev_buf_z(b, keys[i].help);
		if (keys[i].preset[0] != '\0') {
			ev_buf_z(b, " (");
			ev_buf_z(b, keys[i].preset);
			ev_buf_char(b, ')');
		}
		ev_buf_char(b, '\n');
	}
}

void config_diff_reloadable(const struct config *running, const struct config *fresh,
			    struct config_diff *out)
{
	*out = (struct config_diff){ .n_reloadable = 0 };
	for (size_t i = 0; i < N_KEYS; i++) {
		if (config_value_eq(running, fresh, &keys[i]))
			continue;
		if (keys[i].reloadable)
			out->reloadable[out->n_reloadable++] = &keys[i];
		else
			out->restart[out->n_restart++] = &keys[i];
	}
}

void config_apply_reloadable(struct config *running, const struct config *fresh)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		if (!keys[i].reloadable)
			continue;
		config_value_copy(running, fresh, &keys[i]);
		running->source[i] = fresh->source[i];
	}
}
