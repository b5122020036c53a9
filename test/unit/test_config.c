#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/log.h"
#include "base/time.h"
#include "cli/config.h"
#include "cli/nearest.h"

static char *no_env[] = { NULL };

static ev_err load_args(struct config *c, const char *const *words, struct ev_fail *fail)
{
	char *argv[8] = { NULL };
	int argc = 0;

	for (; words[argc] != NULL; argc++)
		argv[argc] = strdup(words[argc]);
	ev_err e = config_load(c, argc, argv, no_env, fail);

	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return e;
}

#define ARGS(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static ev_err read_text(struct config *c, const char *text, struct ev_fail *fail)
{
	config_init(c);
	return config_read_text(c, ev_str_from(text), "evcharge.conf", fail);
}

static ev_err read_env(struct config *c, const char *entry, struct ev_fail *fail)
{
	char copy[256];
	char *envp[] = { copy, NULL };

	config_init(c);
	snprintf(copy, sizeof(copy), "%s", entry);
	return config_read_env(c, envp, fail);
}

static void assert_says(const struct ev_fail *fail, const char *part)
{
	if (strstr(fail->text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", fail->text, part);
}

static void has_the_documented_defaults(void **state)
{
	struct config c;

	(void)state;
	config_init(&c);
	assert_string_equal(c.app_listen.host, "127.0.0.1");
	assert_int_equal(c.app_listen.port, 8080);
	assert_int_equal(c.outlet_listen.port, 8081);
	assert_int_equal(c.gateway_listen.port, 8082);
	assert_int_equal(c.retain_events_ns, 90 * 24 * EV_NS_PER_HOUR);
	assert_int_equal(c.retain_dead_letters_ns, 0);
	assert_int_equal(c.request_timeout_ns, EV_NS_PER_MIN);
	assert_int_equal(c.command_timeout_ns, 5 * EV_NS_PER_MIN);
	assert_int_equal(c.max_frame, 16384);
	assert_int_equal(c.message_rate, 50);
	assert_int_equal(c.message_burst, 100);
	assert_int_equal(c.max_outstanding, 64);
	assert_int_equal(c.log_level, EV_LOG_INFO);
	assert_true(c.notify_denials);
	assert_false(c.stop_requires_tag);
	assert_int_equal(config_check(&c, NULL), EV_OK);
}

static void reads_each_type_from_a_file(void **state)
{
	static const char text[] = "# a comment\n"
				   "; another\n"
				   "\n"
				   "data = /var/lib/evcharge\n"
				   "  app-listen=[::1]:9000\n"
				   "\n"
				   "insecure = yes ; why\n"
				   "log-level = debug\r\n"
				   "retain-events = 24h\n"
				   "max-frame = 64k\n"
				   "message-rate = 7";
	struct ev_fail fail = { .code = EV_OK };
	struct config c;

	(void)state;
	if (read_text(&c, text, &fail) != EV_OK)
		fail_msg("%s", fail.text);
	assert_string_equal(c.data, "/var/lib/evcharge");
	assert_string_equal(c.app_listen.host, "::1");
	assert_int_equal(c.app_listen.port, 9000);
	assert_true(c.insecure);
	assert_int_equal(c.log_level, EV_LOG_DEBUG);
	assert_int_equal(c.retain_events_ns, 24 * EV_NS_PER_HOUR);
	assert_int_equal(c.max_frame, 65536);
	assert_int_equal(c.message_rate, 7);
}

static void names_the_line_of_a_fault_in_the_file(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "\n\nmax-fram = 1\n",
		  "line 3: unknown setting max-fram (did you mean max-frame?)" },
		{ "zzz = 1\n", "line 1: unknown setting zzz" },
		{ "auth = never\n", "line 1: auth = \"never\" is not auto or always" },
		{ "message-rate = 0\n", "\"0\" is not a number from 1 to 100000" },
		{ "message-rate = 5x\n", "\"5x\" is not a number" },
		{ "request-timeout = 5\n", "\"5\" is not a duration from 1s to 1d" },
		{ "request-timeout = 2d\n", "\"2d\" is not a duration" },
		{ "retain-events = 99999999999999999999d\n", "is not a duration" },
		{ "max-frame = 2M\n", "\"2M\" is not a size from 1k to 1M" },
		{ "insecure = perhaps\n", "is not on or off" },
		{ "app-listen = 8080\n", "is not an address and port" },
		{ "app-listen = ::1:8080\n", "is not an address and port" },
		{ "app-listen = example.org:80\n", "is not an address and port" },
		{ "app-listen = 127.0.0.1:65536\n", "is not an address and port" },
		{ "data = a\ndata = b\n", "line 2: data is given twice" },
		{ "data = a\n  b\n", "line 2: neither `key = value`" },
		{ "[server]\ndata = a\n", "line 2: there are no sections here" },
		{ "data\n", "line 1: neither `key = value` nor a comment" },
		{ "config = other\n", "config cannot be set in a file" },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_fail fail = { .code = EV_OK };
		struct config c;

		assert_int_equal(read_text(&c, cases[i].text, &fail), EV_INVALID);
		assert_says(&fail, cases[i].says);
	}
}

static void refuses_lines_that_the_reader_would_cut(void **state)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config c;
	char line[400];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "data = ", 7);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(read_text(&c, line, &fail), EV_INVALID);
	assert_says(&fail, "line 1: the line is too long");
	config_init(&c);
	assert_int_equal(config_read_text(&c, EV_LIT("data = a\0b\n"), "f", &fail), EV_INVALID);
	assert_says(&fail, "zero byte");
}

static void holds_the_longest_text_a_line_can_have(void **state)
{
	char line[CONFIG_TEXT_MAX + 32];
	struct config c;
	int n = snprintf(line, sizeof(line), "tls-cert = ");

	(void)state;
	memset(line + n, 'p', CONFIG_TEXT_MAX);
	line[n + CONFIG_TEXT_MAX] = '\n';
	line[n + CONFIG_TEXT_MAX + 1] = '\0';
	assert_int_equal(read_text(&c, line, NULL), EV_OK);
	assert_int_equal(strlen(c.tls_cert), CONFIG_TEXT_MAX);
}

static void reads_the_environment(void **state)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config c;

	(void)state;
	assert_int_equal(read_env(&c, "EVCHARGE_RETAIN_DEAD_LETTERS=5m", &fail), EV_OK);
	assert_int_equal(c.retain_dead_letters_ns, 5 * EV_NS_PER_MIN);
	assert_int_equal(read_env(&c, "EVCHARGE_TOKEN=secret", &fail), EV_OK);
	assert_int_equal(read_env(&c, "OTHER=1", &fail), EV_OK);
	assert_int_equal(read_env(&c, "EVCHARGE_AP_LISTEN=x", &fail), EV_INVALID);
	assert_says(&fail,
		    "unknown setting EVCHARGE_AP_LISTEN (did you mean EVCHARGE_APP_LISTEN?)");
	assert_int_equal(read_env(&c, "EVCHARGE_auth=auto", &fail), EV_INVALID);
	assert_int_equal(read_env(&c, "EVCHARGE_=1", &fail), EV_INVALID);
	assert_int_equal(read_env(&c, "EVCHARGE_AUTH=x", &fail), EV_INVALID);
	assert_says(&fail, "environment: auth = \"x\" is not auto or always");
}

static void reads_options_in_both_forms(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load_args(&c, ARGS("--data", "/a", "--app-listen=[::1]:0"), NULL), EV_OK);
	assert_string_equal(c.data, "/a");
	assert_int_equal(c.app_listen.port, 0);
	assert_int_equal(load_args(&c, ARGS("--insecure", "--auth", "always"), NULL), EV_OK);
	assert_true(c.insecure);
	assert_int_equal(c.auth, CONFIG_AUTH_ALWAYS);
	assert_int_equal(load_args(&c, ARGS("--notify-denials=off"), NULL), EV_OK);
	assert_false(c.notify_denials);
}

static void refuses_bad_options(void **state)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config c = { .data = "untouched" };

	(void)state;
	assert_int_equal(load_args(&c, ARGS("--dta", "/a"), &fail), EV_INVALID);
	assert_says(&fail, "command line: unknown setting --dta (did you mean --data?)");
	assert_int_equal(load_args(&c, ARGS("--data"), &fail), EV_INVALID);
	assert_says(&fail, "--data wants a value");
	assert_int_equal(load_args(&c, ARGS("data"), &fail), EV_INVALID);
	assert_says(&fail, "unexpected argument data");
	assert_int_equal(load_args(&c, ARGS("--auth=x"), &fail), EV_INVALID);
	assert_says(&fail, "command line: auth = \"x\"");
	assert_int_equal(load_args(&c, ARGS("--data=a;b"), &fail), EV_INVALID);
	assert_int_equal(load_args(&c, ARGS("--data=a\nb"), &fail), EV_INVALID);
	assert_string_equal(c.data, "untouched");
}

static void options_win_over_environment_over_file_over_defaults(void **state)
{
	char path[] = "/tmp/evcharge-test-config-XXXXXX";
	char config_option[sizeof(path) + 16];
	char *envp[] = { (char[]){ "EVCHARGE_MESSAGE_RATE=3" },
			 (char[]){ "EVCHARGE_MAX_OUTSTANDING=3" }, NULL };
	char *argv[] = { config_option, (char[]){ "--max-outstanding=4" } };
	static const char text[] = "max-connections = 2\nmessage-rate = 2\nmax-outstanding = 2\n";
	struct config c;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(close(fd), 0);
	snprintf(config_option, sizeof(config_option), "--config=%s", path);
	ev_err e = config_load(&c, 2, argv, envp, NULL);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(e, EV_OK);
	assert_int_equal(c.message_burst, 100);
	assert_int_equal(c.max_connections, 2);
	assert_int_equal(c.message_rate, 3);
	assert_int_equal(c.max_outstanding, 4);
}

static void says_when_the_file_is_missing(void **state)
{
	struct ev_fail fail = { .code = EV_OK };
	struct config c;

	(void)state;
	assert_int_equal(load_args(&c, ARGS("--config", "/nonexistent/x"), &fail), EV_IO);
	assert_says(&fail, "/nonexistent/x");
}

static void prints_a_file_that_reads_back(void **state)
{
	struct config c, back;
	struct config_diff diff;
	char *text = malloc(CONFIG_PRINT_MAX);
	struct ev_buf b = ev_buf_over(text, CONFIG_PRINT_MAX);
	struct ev_fail fail = { .code = EV_OK };

	(void)state;
	assert_non_null(text);
	assert_int_equal(
		load_args(&c,
			  ARGS("--data=/d", "--gateway-listen=[::1]:1", "--insecure",
			       "--stuck-after=90s", "--max-frame=1500", "--log-level=error"),
			  NULL),
		EV_OK);
	config_print(&c, &b);
	assert_false(b.overflow);
	config_init(&back);
	if (config_read_text(&back, ev_buf_str(&b), "printed", &fail) != EV_OK)
		fail_msg("%s", fail.text);
	config_diff_reloadable(&c, &back, &diff);
	assert_int_equal(diff.n_reloadable + diff.n_restart, 0);
	free(text);
}

static void lists_every_key_in_the_help(void **state)
{
	char *text = malloc(CONFIG_PRINT_MAX);
	struct ev_buf b = ev_buf_over(text, CONFIG_PRINT_MAX - 1);
	size_t n;
	const struct config_key *keys = config_keys(&n);

	(void)state;
	assert_non_null(text);
	config_help(&b);
	assert_false(b.overflow);
	text[b.len] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (strstr(text, keys[i].name) == NULL || strstr(text, keys[i].help) == NULL)
			fail_msg("%s is not in the help", keys[i].name);
	}
	free(text);
}

static void tells_what_needs_a_restart(void **state)
{
	struct config a, b;
	struct config_diff diff;

	(void)state;
	config_init(&a);
	assert_int_equal(load_args(&b, ARGS("--log-level=debug", "--data=/elsewhere"), NULL),
			 EV_OK);
	config_diff_reloadable(&a, &b, &diff);
	assert_int_equal(diff.n_reloadable, 1);
	assert_string_equal(diff.reloadable[0]->name, "log-level");
	assert_int_equal(diff.n_restart, 1);
	assert_string_equal(diff.restart[0]->name, "data");
	config_apply_reloadable(&a, &b);
	assert_int_equal(a.log_level, EV_LOG_DEBUG);
	assert_string_equal(a.data, "evcharge-data");
}

static void checks_what_no_key_can_tell_alone(void **state)
{
	static const struct {
		const char *args[4];
		const char *says;
	} cases[] = {
		{ { "--app-listen=0.0.0.0:80" }, "app-listen = 0.0.0.0:80 is not loopback" },
		{ { "--gateway-listen=[::]:80" }, "gateway-listen = [::]:80 is not loopback" },
		{ { "--app-listen=127.0.0.1:8081" }, "outlet-listen and app-listen are the same" },
		{ { "--tls-cert=/nonexistent" }, "go together" },
		{ { "--tls-cert=/nonexistent", "--tls-key=/nonexistent" },
		  "/nonexistent: No such" },
		{ { "--data=" }, "data must name" },
		{ { "--ping-interval=2h" }, "idle-timeout must be longer" },
		{ { "--message-rate=101" }, "message-burst must be at least" },
	};
	struct config c;

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_fail fail = { .code = EV_OK };

		assert_int_equal(load_args(&c, cases[i].args, &fail), EV_OK);
		assert_int_equal(config_check(&c, &fail), EV_INVALID);
		assert_says(&fail, cases[i].says);
	}
	assert_int_equal(load_args(&c, ARGS("--app-listen=0.0.0.0:80", "--insecure"), NULL), EV_OK);
	assert_int_equal(config_check(&c, NULL), EV_OK);
	assert_int_equal(load_args(&c,
				   ARGS("--app-listen=127.0.0.1:0", "--outlet-listen=127.0.0.1:0"),
				   NULL),
			 EV_OK);
	assert_int_equal(config_check(&c, NULL), EV_OK);
}

static void knows_loopback(void **state)
{
	static const struct {
		const char *text;
		bool loopback;
	} cases[] = {
		{ "127.0.0.1:1", true }, { "127.9.9.9:1", true },      { "[::1]:1", true },
		{ "localhost:1", true }, { "0.0.0.0:1", false },       { "128.0.0.1:1", false },
		{ "[::]:1", false },     { "[2001:db8::1]:1", false }, { "10.0.0.1:1", false },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct config_address a;
		char text[CONFIG_ADDRESS_TEXT];

		assert_int_equal(config_address_parse(ev_str_from(cases[i].text), &a), EV_OK);
		assert_int_equal(config_is_loopback(&a), cases[i].loopback);
		config_address_text(&a, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void measures_how_far_words_are_apart(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} cases[] = {
		{ "", "", 0 },        { "a", "", 1 },
		{ "abc", "abc", 0 },  { "abc", "abd", 1 },
		{ "abc", "acb", 1 },  { "kitten", "sitting", 3 },
		{ "data", "dta", 1 }, { "retain-event", "retain-events", 1 },
	};

	(void)state;
	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		struct ev_str a = ev_str_from(cases[i].a), b = ev_str_from(cases[i].b);

		assert_int_equal(edit_distance(a, b), cases[i].distance);
		assert_int_equal(edit_distance(b, a), cases[i].distance);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_documented_defaults),
		cmocka_unit_test(reads_each_type_from_a_file),
		cmocka_unit_test(names_the_line_of_a_fault_in_the_file),
		cmocka_unit_test(refuses_lines_that_the_reader_would_cut),
		cmocka_unit_test(holds_the_longest_text_a_line_can_have),
		cmocka_unit_test(reads_the_environment),
		cmocka_unit_test(reads_options_in_both_forms),
		cmocka_unit_test(refuses_bad_options),
		cmocka_unit_test(options_win_over_environment_over_file_over_defaults),
		cmocka_unit_test(says_when_the_file_is_missing),
		cmocka_unit_test(prints_a_file_that_reads_back),
		cmocka_unit_test(lists_every_key_in_the_help),
		cmocka_unit_test(tells_what_needs_a_restart),
		cmocka_unit_test(checks_what_no_key_can_tell_alone),
		cmocka_unit_test(knows_loopback),
		cmocka_unit_test(measures_how_far_words_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
