#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/attr.h"
#include "base/log.h"

#define AT "2023-06-13T10:15:30.5Z"
#define AT_NS (INT64_C(1686651330500) * 1000000)

struct fixture {
	struct ev_clock_manual clock;
	struct ev_log log;
	int pipe[2];
	char line[2 * EV_LOG_LINE];
};

static int setup(void **state)
{
	static struct fixture f;

	if (pipe2(f.pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	ev_clock_manual_init(&f.clock, AT_NS);
	ev_log_init(&f.log, f.pipe[1], EV_LOG_INFO, &f.clock.base);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->pipe[0]);
	if (f->pipe[1] >= 0)
		close(f->pipe[1]);
	return 0;
}

/* What was written since the last time. */
static const char *written(struct fixture *f)
{
	ssize_t n = read(f->pipe[0], f->line, sizeof(f->line) - 1);

	f->line[n > 0 ? n : 0] = '\0';
	return f->line;
}

static void writes_json_where_nobody_watches(void **state)
{
	struct fixture *f = *state;
	const struct ev_uuid id = { { 0x86, 0xc9 } };

	assert_int_equal(f->log.format, EV_LOG_JSON);
	ev_info(&f->log, "outlet.refused", EV_KUUID("outlet", &id), EV_KU64("n", UINT64_MAX),
		EV_KI64("left", -5), EV_KBOOL("suspect", true), EV_KERR("error", EV_BUSY),
		EV_KSTR("why", EV_LIT("no cable")));
	assert_string_equal(written(f),
			    "{\"time\":\"" AT "\",\"level\":\"info\",\"event\":\"outlet.refused\","
			    "\"outlet\":\"86c90000-0000-0000-0000-000000000000\","
			    "\"n\":18446744073709551615,\"left\":-5,\"suspect\":true,"
			    "\"error\":\"busy\",\"why\":\"no cable\"}\n");
}

static void writes_logfmt_when_asked(void **state)
{
	struct fixture *f = *state;

	ev_log_init_as(&f->log, f->pipe[1], EV_LOG_INFO, &f->clock.base, EV_LOG_LOGFMT);
	ev_warn(&f->log, "start", EV_KZ("plain", "a-b/c.d"), EV_KZ("space", "a b"),
		EV_KZ("empty", ""), EV_KZ("equals", "a=b"), EV_KZ("quote", "say \"x\""),
		EV_KZ("utf8", "stra\xC3\x9F\x65"), EV_KZ("line", "a\nb"));
	assert_string_equal(written(f), "time=" AT " level=warn event=start plain=a-b/c.d "
					"space=\"a b\" empty=\"\" equals=\"a=b\" "
					"quote=\"say \\\"x\\\"\" utf8=stra\xC3\x9F\x65 "
					"line=\"a\\u000ab\"\n");
}

static void writes_an_event_without_fields(void **state)
{
	struct fixture *f = *state;

	ev_error(&f->log, "stop");
	assert_string_equal(written(f),
			    "{\"time\":\"" AT "\",\"level\":\"error\",\"event\":\"stop\"}\n");
}

static void keeps_silent_below_its_level(void **state)
{
	struct fixture *f = *state;

	ev_debug(&f->log, "turn");
	assert_string_equal(written(f), "");
	atomic_store(&f->log.level, EV_LOG_DEBUG);
	ev_debug(&f->log, "turn");
	assert_true(strlen(written(f)) > 0);
	atomic_store(&f->log.level, EV_LOG_ERROR);
	ev_warn(&f->log, "turn");
	assert_string_equal(written(f), "");
	ev_error(NULL, "nobody"); /* no log, no line */
}

static void nothing_a_peer_sends_ends_a_line_or_a_text(void **state)
{
	struct fixture *f = *state;

	ev_info(&f->log, "x", EV_KZ("v", "\"\\\r\n\t\x01\x7F"),
		EV_KZ("bytes", "a\xFF\xC0\x80\xE2\x82z"));
	assert_string_equal(written(f), "{\"time\":\"" AT "\",\"level\":\"info\",\"event\":\"x\","
					"\"v\":\"\\\"\\\\\\u000d\\u000a\\u0009\\u0001\\u007f\","
					"\"bytes\":\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
					"\xEF\xBF\xBD\xEF\xBF\xBDz\"}\n");
}

static void masks_tags(void **state)
{
	static const struct {
		const char *tag;
		const char *shown;
	} cases[] = {
		{ "", "" },
		{ "a", "\xE2\x80\xA6" },
		{ "1234567", "\xE2\x80\xA6" },
		{ "12345678", "12\xE2\x80\xA6"
			      "78" },
		{ "b7a0c9d2-1111-4222-8333-444455556666", "b7\xE2\x80\xA6"
							  "66" },
		/* Characters, not bytes. */
		{ "\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F", "\xE2\x80\xA6" },
		{ "\xC3\xA4\xC3\xB6"
		  "3456"
		  "\xC3\xBC\xC3\x9F",
		  "\xC3\xA4\xC3\xB6\xE2\x80\xA6\xC3\xBC\xC3\x9F" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(cases); i++) {
		char want[200];

		ev_info(&f->log, "x", EV_KTAG("tag", ev_str_from(cases[i].tag)));
		snprintf(want, sizeof(want),
			 "{\"time\":\"%s\",\"level\":\"info\",\"event\":\"x\",\"tag\":\"%s\"}\n",
			 AT, cases[i].shown);
		assert_string_equal(written(f), want);
	}
}

static void assert_json(const char *line)
{
	struct json_object *o = json_tokener_parse(line);

	assert_non_null(o);
	json_object_put(o);
}

static void cuts_a_long_text_between_characters(void **state)
{
	struct fixture *f = *state;
	char text[EV_LOG_TEXT + 10];
	const char *line;

	/* The last place within the bound is in the middle of a character of two bytes. */
	memset(text, 'x', sizeof(text));
	text[EV_LOG_TEXT - 1] = '\xC3';
	text[EV_LOG_TEXT] = '\xA4';
	ev_info(&f->log, "x", EV_KSTR("v", ((struct ev_str){ text, sizeof(text) })),
		EV_KU64("after", 1));
	line = written(f);
	assert_json(line);
	assert_non_null(strstr(line, "x\xE2\x80\xA6\",\"after\":1}"));
	assert_null(strchr(line, '\xC3'));
}

/* However long the fields are: a valid line of at most 4 KiB, which says that it was cut. */
static void a_line_never_exceeds_its_size(void **state)
{
	static char text[6 * EV_LOG_TEXT];
	struct fixture *f = *state;

	memset(text, '\x01', sizeof(text)); /* six bytes each once escaped */
	for (size_t n = 0; n < EV_LOG_TEXT; n += 7) {
		struct ev_str s = { text, n };
		const char *line;

		ev_info(&f->log, "x", EV_KSTR("a", s), EV_KSTR("b", s), EV_KSTR("c", s));
		line = written(f);
		assert_true(strlen(line) <= EV_LOG_LINE);
		assert_int_equal(line[strlen(line) - 1], '\n');
		assert_json(line);
		assert_true((strstr(line, "\"cut\":true") != NULL) ==
			    (strstr(line, "\"c\":") == NULL));
	}
}

static void counts_what_it_could_not_write_and_keeps_errno(void **state)
{
	struct fixture *f = *state;

	close(f->pipe[1]);
	f->pipe[1] = -1;
	errno = ENOENT;
	ev_info(&f->log, "x"); /* to a closed descriptor */
	assert_int_equal(errno, ENOENT);
	assert_true(atomic_load(&f->log.lost) == 1);
}

static void reads_the_names_of_levels(void **state)
{
	enum ev_log_level level = EV_LOG_ERROR;

	(void)state;
	assert_int_equal(ev_log_level_parse(EV_LIT("debug"), &level), EV_OK);
	assert_int_equal(level, EV_LOG_DEBUG);
	assert_int_equal(ev_log_level_parse(EV_LIT("Debug"), &level), EV_INVALID);
	assert_int_equal(ev_log_level_parse(EV_LIT(""), &level), EV_INVALID);
	assert_int_equal(level, EV_LOG_DEBUG);
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(writes_json_where_nobody_watches),
		LOG_TEST(writes_logfmt_when_asked),
		LOG_TEST(writes_an_event_without_fields),
		LOG_TEST(keeps_silent_below_its_level),
		LOG_TEST(nothing_a_peer_sends_ends_a_line_or_a_text),
		LOG_TEST(masks_tags),
		LOG_TEST(cuts_a_long_text_between_characters),
		LOG_TEST(a_line_never_exceeds_its_size),
		LOG_TEST(counts_what_it_could_not_write_and_keeps_errno),
		LOG_TEST(reads_the_names_of_levels),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
