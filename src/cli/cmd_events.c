/* cli/cmd_events.c — follows the charging events; goes on where it was after a disconnect. */
#include <json.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/sse.h"

#define QUIET_SECONDS 45 /* the server sends a comment every 15 s */
#define FIRST_PAUSE_MS 250
#define LAST_PAUSE_MS 10000

static const struct view_column columns[] = {
	{ "AT", "at", VIEW_TIME },
	{ "FROM", "initiator", VIEW_TEXT },
	{ "STATE", "outletState", VIEW_TEXT },
	{ "OUTLET", "outletId", VIEW_TEXT },
	{ "TAG", "recentSession.rfidTag", VIEW_TEXT },
	{ "ENERGY", "recentSession.powerConsumption", VIEW_KWH },
};
static const int widths[] = { 19, 13, 22, 36, 36, 0 };

struct follower {
	struct client client;
	struct sse_reader *reader;
	uint64_t left; /* events until the end */
	bool any;      /* since the last connection */
	ev_err error;  /* of reading */
};

static void print_event(struct json_object *e)
{
	char text[VIEW_CELL_MAX];

	for (size_t i = 0; i < EV_ARRAY_LEN(columns); i++) {
		view_cell(e, &columns[i], text);
		printf("%-*s%s", widths[i], text, i + 1 < EV_ARRAY_LEN(columns) ? "  " : "\n");
	}
}

static bool on_event(void *user, const struct sse_event *e)
{
	struct follower *f = user;
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *json = tokener != NULL ? json_tokener_parse_ex(tokener, e->data.p,
									   (int)e->data.n)
						   : NULL;

	if (f->client.json)
		printf("%.*s\n", (int)e->data.n, e->data.p);
	else if (json != NULL)
		print_event(json);
	/* Somebody may be reading at the other end of a pipe. */
	bool heard = fflush(stdout) == 0;

	json_object_put(json);
	if (tokener != NULL)
		json_tokener_free(tokener);
	f->any = true;
	return heard && --f->left > 0;
}

static bool on_bytes(void *user, struct ev_str bytes)
{
	struct follower *f = user;

	f->error = sse_feed(f->reader, bytes);
	return f->error == EV_OK;
}

static ev_err follow_once(struct follower *f, long *out_status, struct ev_fail *fail)
{
	char url[CLIENT_URL_MAX + 32];
	const struct http_request q = {
		.method = "GET",
		.url = url,
		.token = f->client.token[0] != '\0' ? f->client.token : NULL,
		.ca = f->client.ca,
	};

	snprintf(url, sizeof(url), "%s/api/events", f->client.urls[CLIENT_OUTLET]);
	sse_restart(f->reader);
	f->any = false;
	f->error = EV_OK;
	ev_err e = http_stream(&q, f->reader->id, QUIET_SECONDS, on_bytes, f, out_status, fail);

	if (e == EV_OK && f->error == EV_FULL)
		e = ev_fail_set(fail, EV_CORRUPT, 0, "the server's event is too long");
	return e;
}

/* EV_OK when enough came.  Only a connection that was refused or never was ends it otherwise. */
static ev_err follow(struct follower *f, struct ev_fail *fail)
{
	bool connected = false;
	int pause_ms = FIRST_PAUSE_MS;

	for (;;) {
		long status = 0;
		ev_err e = follow_once(f, &status, fail);

		connected = connected || status == 200;
		if ((e != EV_CLOSED && e != EV_TIMEOUT) || !connected)
			return e;
		pause_ms = f->any ? FIRST_PAUSE_MS : pause_ms * 2;
		pause_ms = pause_ms < LAST_PAUSE_MS ? pause_ms : LAST_PAUSE_MS;
		fprintf(stderr, "evcharge: %s; connecting again\n", fail->text);
		(void)poll(NULL, 0, pause_ms); /* a signal may end it early */
	}
}

static ev_err read_options(struct follower *f, const struct args *a, struct ev_fail *fail)
{
	const char *count = args_get(a, "count");
	const char *after = args_get(a, "after");
	uint64_t seq;

	f->left = UINT64_MAX;
	if (count != NULL && (num_parse_u64(ev_str_from(count), &f->left) != EV_OK || f->left == 0))
		return ev_fail_set(fail, EV_INVALID, 0, "--count: %.40s is no number above 0",
				   count);
	if (after == NULL)
		return EV_OK;
	if (strlen(after) > SSE_ID_MAX || num_parse_u64(ev_str_from(after), &seq) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "--after: %.40s is no number", after);
	memcpy(f->reader->id, after, strlen(after) + 1);
	return EV_OK;
}

static int run_events(const struct args *a)
{
	struct ev_fail fail = { .code = EV_OK };
	struct follower f = { .reader = malloc(sizeof(*f.reader)) };
	ev_err e = f.reader != NULL ? EV_OK : ev_fail_set(&fail, EV_NOMEM, 0, "out of memory");

	if (e == EV_OK) {
		sse_init(f.reader, on_event, &f);
		e = read_options(&f, a, &fail);
	}
	if (e == EV_OK)
		e = client_open(&f.client, a, &fail);
	if (e == EV_OK)
		e = follow(&f, &fail);
	free(f.reader);
	return e == EV_OK ? CLI_OK : cli_fail(&fail);
}

static const struct arg_option options[] = {
	{ "after", "SEQ", "begin after this event instead of now" },
	{ "count", "N", "end after so many" },
};

static const struct cli_verb verbs[] = {
	{ .name = "",
	  .params = "",
	  .help = "one line for each, until interrupted",
	  .options = ARG_OPTIONS(options),
	  .run = run_events },
};

static const struct cli_command command = {
	.name = "events",
	.summary = "follow the charging events as they come",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
	.common = { client_options, CLIENT_N_OPTIONS },
};

int cmd_events(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
