#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "cli/sse.h"

struct seen {
	char text[512]; /* id=data; of each event */
	unsigned n, stop_at;
};

static bool on_event(void *user, const struct sse_event *e)
{
	struct seen *s = user;
	size_t at = strlen(s->text);

	snprintf(s->text + at, sizeof(s->text) - at, "%s=%.*s;", e->id, (int)e->data.n, e->data.p);
	return ++s->n != s->stop_at;
}

static int set_up(void **state)
{
	*state = malloc(sizeof(struct sse_reader));
	return *state == NULL;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static const struct {
	const char *in, *want;
} streams[] = {
	{ "id: 1\nevent: charging-event\ndata: {\"a\":1}\n\n", "1={\"a\":1};" },
	{ ": a comment\n\nid: 2\ndata: x\n\n: another\n\n", "2=x;" },
	{ "data: x\r\ndata: y\r\n\r\n", "=x\ny;" },
	{ "data: x\rdata:y\r\r", "=x\ny;" },
	{ "id: 1\ndata: a\n\ndata: b\n\n", "1=a;1=b;" },
	{ "id: 1\nid\ndata: a\n\n", "=a;" },
	{ "data\n\n", "=;" },
	{ "id: 5\n\n", "" },
	{ "data: half", "" },
	{ "data:  two spaces\n\n", "= two spaces;" },
};

static void reads_streams_cut_at_every_byte(void **state)
{
	struct sse_reader *r = *state;

	for (size_t i = 0; i < EV_ARRAY_LEN(streams); i++) {
		size_t n = strlen(streams[i].in);

		for (size_t cut = 0; cut <= n; cut++) {
			struct seen seen = { .n = 0 };

			sse_init(r, on_event, &seen);
			assert_int_equal(sse_feed(r, (struct ev_str){ streams[i].in, cut }), EV_OK);
			assert_int_equal(
				sse_feed(r, (struct ev_str){ streams[i].in + cut, n - cut }),
				EV_OK);
			assert_string_equal(seen.text, streams[i].want);
		}
	}
}

static void stops_when_told_to(void **state)
{
	struct sse_reader *r = *state;
	struct seen seen = { .stop_at = 1 };

	sse_init(r, on_event, &seen);
	assert_int_equal(sse_feed(r, EV_LIT("data: a\n\ndata: b\n\n")), EV_CLOSED);
	assert_string_equal(seen.text, "=a;");
}

static void a_restart_keeps_the_id_and_forgets_the_rest(void **state)
{
	struct sse_reader *r = *state;
	struct seen seen = { .n = 0 };

	sse_init(r, on_event, &seen);
	assert_int_equal(sse_feed(r, EV_LIT("id: 9\ndata: lost\nda")), EV_OK);
	sse_restart(r);
	assert_string_equal(r->id, "9");
	assert_int_equal(sse_feed(r, EV_LIT("data: kept\n\n")), EV_OK);
	assert_string_equal(seen.text, "9=kept;");
}

static void bounds_lines_and_events(void **state)
{
	struct sse_reader *r = *state;
	struct seen seen = { .n = 0 };
	char *line = malloc(SSE_LINE_MAX + 1);
	ev_err e = EV_OK;

	assert_non_null(line);
	memset(line, 'x', SSE_LINE_MAX + 1);
	sse_init(r, on_event, &seen);
	assert_int_equal(sse_feed(r, (struct ev_str){ line, SSE_LINE_MAX }), EV_OK);
	assert_int_equal(sse_feed(r, (struct ev_str){ line, 1 }), EV_FULL);
	sse_init(r, on_event, &seen);
	memcpy(line, "data: ", 6);
	line[SSE_LINE_MAX] = '\n';
	for (int i = 0; i < 6 && e == EV_OK; i++)
		e = sse_feed(r, (struct ev_str){ line, SSE_LINE_MAX + 1 });
	assert_int_equal(e, EV_FULL);
	assert_int_equal(seen.n, 0);
	free(line);
}

static void ignores_ids_that_are_too_long(void **state)
{
	struct sse_reader *r = *state;
	struct seen seen = { .n = 0 };
	char line[128] = "id: ";

	sse_init(r, on_event, &seen);
	memset(line + 4, '7', SSE_ID_MAX + 1);
	line[4 + SSE_ID_MAX + 1] = '\n';
	assert_int_equal(sse_feed(r, ev_str_from(line)), EV_OK);
	assert_string_equal(r->id, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_streams_cut_at_every_byte),
		TEST(stops_when_told_to),
		TEST(a_restart_keeps_the_id_and_forgets_the_rest),
		TEST(bounds_lines_and_events),
		TEST(ignores_ids_that_are_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
