/* cli/cmd_send.c — one device message by hand, as a device would send it over HTTP. */
#include <errno.h>
#include <fcntl.h>
#include <json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/client.h"
#include "cli/command.h"
#include "codec/device_json.h"

#define FILE_MAX 102400 /* the server takes no longer body */

static const struct view_column columns[] = {
	{ "VERDICT", "verdict", VIEW_TEXT },
	{ "REASON", "reason", VIEW_TEXT },
	{ "STATE", "outletState", VIEW_TEXT },
	{ "MESSAGE", "ack", VIEW_TEXT },
};

static ev_err read_energy(const char *text, int64_t *out_mwh, struct ev_fail *fail)
{
	double kwh;

	if (text == NULL)
		return EV_OK;
	if (num_parse_double(ev_str_from(text), &kwh) != EV_OK ||
	    num_mwh_from_kwh(kwh, MESSAGE_ENERGY_MAX_MWH, out_mwh) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "--energy: from 0 to 100000 kWh");
	return EV_OK;
}

static ev_err read_message_id(const char *text, struct message_id *out, struct ev_fail *fail)
{
	if (text == NULL)
		return EV_OK;
	size_t n = strlen(text);

	if (n == 0 || n > MESSAGE_ID_MAX || !ev_utf8_valid(text, n))
		return ev_fail_set(fail, EV_INVALID, 0, "--message-id: 1 to %d bytes of UTF-8",
				   MESSAGE_ID_MAX);
	memcpy(out->s, text, n);
	out->n = (uint8_t)n;
	return EV_OK;
}

static ev_err read_message(const struct args *a, struct device_message *out, struct ev_fail *fail)
{
	int64_t now_ns = ev_clock_wall_ns(ev_clock_os());
	struct device_message m = { .period_start_ns = now_ns, .period_end_ns = now_ns };
	const char *tag = args_get(a, "tag");
	const char *state = a->n_positional > 1 ? a->positional[1] : "";

	if (ev_uuid_parse(ev_str_from(a->positional[0]), &m.outlet_id) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "%.60s is no outletId", a->positional[0]);
	if (outlet_state_parse(ev_str_from(state), &m.change) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0,
				   "\"%.40s\" is no outletStateChange, like CablePlugged", state);
	if (tag != NULL && rfid_tag_set(&m.tag, ev_str_from(tag)) != EV_OK)
		return ev_fail_set(fail, EV_INVALID, 0, "--tag: at most %d bytes of UTF-8",
				   RFID_TAG_MAX);
	ev_err e = read_energy(args_get(a, "energy"), &m.energy_mwh, fail);

	if (e == EV_OK)
		e = read_message_id(args_get(a, "message-id"), &m.message_id, fail);
	if (e == EV_OK)
		*out = m;
	return e;
}

/* A file as it is, `-` for the standard input. */
static ev_err read_file(const char *path, char out[FILE_MAX], size_t *out_n, struct ev_fail *fail)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = -1;

	while (fd >= 0 && n < FILE_MAX && (got = read(fd, out + n, FILE_MAX - n)) > 0)
		n += (size_t)got;
	int sys = errno;

	if (fd >= 0 && !is_stdin)
		(void)close(fd); /* only read from */
	if (got < 0)
		return ev_fail_set(fail, EV_IO, sys, "%.120s: %s", path, strerror(sys));
	if (n == FILE_MAX)
		return ev_fail_set(fail, EV_INVALID, 0, "%.120s is too long", path);
	*out_n = n;
	return EV_OK;
}

static ev_err make_body(const struct args *a, char out[FILE_MAX], size_t *out_n,
			struct ev_fail *fail)
{
	const char *path = args_get(a, "file");
	struct ev_buf b = ev_buf_over(out, FILE_MAX);
	struct device_message m;

	if (path != NULL)
		return read_file(path, out, out_n, fail);
	ev_err e = read_message(a, &m, fail);

	if (e != EV_OK)
		return e;
	device_json_encode(&m, &b);
	*out_n = b.len;
	return EV_OK;
}

static bool is_no(struct json_object *answer)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(answer, "verdict", &v))
		return true;
	const char *verdict = json_object_get_string(v);

	return verdict == NULL || strcmp(verdict, "rejected") == 0 ||
	       strcmp(verdict, "refused") == 0;
}

/* The exit code: whether all were taken. */
static int show_answers(struct json_object *answers, bool json)
{
	int code = CLI_OK;

	if (!json)
		view_table(stdout, answers, columns, EV_ARRAY_LEN(columns));
	for (size_t i = 0; i < json_object_array_length(answers); i++) {
		if (is_no(json_object_array_get_idx(answers, i)))
			code = CLI_FAILED;
	}
	return code;
}

static struct json_object *as_array(struct json_object *answer)
{
	struct json_object *array;

	if (json_object_is_type(answer, json_type_array))
		return answer;
	array = json_object_new_array();
	json_object_array_add(array, answer);
	return array;
}

static int run_send(const struct args *a)
{
	struct ev_fail fail = { .code = EV_OK };
	struct json_object *answer = NULL;
	struct client_path p;
	struct client c;
	char *text = malloc(FILE_MAX);
	size_t n = 0;
	ev_err e = text != NULL ? make_body(a, text, &n, &fail)
				: ev_fail_set(&fail, EV_NOMEM, 0, "out of memory");

	path_start(&p, "/devices/");
	path_add_id(&p, a->positional[0]);
	path_add(&p, "/messages");
	if (e == EV_OK)
		e = client_open(&c, a, &fail);
	if (e == EV_OK)
		e = client_send_raw(&c, CLIENT_GATEWAY, &p, (struct ev_str){ text, n }, &answer,
				    &fail);
	free(text);
	if (e != EV_OK)
		return cli_fail(&fail);
	answer = as_array(answer);
	int code = show_answers(answer, c.json);

	json_object_put(answer);
	return code;
}

static const struct arg_option options[] = {
	{ "tag", "TAG", "the RFID tag" },
	{ "energy", "KWH", "what was delivered since the last message" },
	{ "message-id", "ID", "the same on each resend" },
	{ "file", "FILE", "one message or an array of them as JSON, `-` for the standard input" },
};

static const struct cli_verb verbs[] = {
	{ .name = "",
	  .params = "OUTLET [STATE]",
	  .min = 1,
	  .max = 2,
	  .help = "CablePlugged, DeviceRequestsCharging, Charging, DeviceRequestsStop, "
		  "ChargingFinished, Available …",
	  .options = ARG_OPTIONS(options),
	  .run = run_send },
};

static const struct cli_command command = {
	.name = "send",
	.summary = "send a message as a device; fails if it is refused or rejected",
	.verbs = verbs,
	.n_verbs = EV_ARRAY_LEN(verbs),
	.common = { client_options, CLIENT_N_OPTIONS },
};

int cmd_send(int argc, char **argv)
{
	return cli_run(&command, argc, argv);
}
