/*
 * test/fuzz/codec_tool.c — our two codecs as a filter, to be compared with others (differential):
 * each line of standard input is `json HEX` or `event HEX`, each line of standard output `no`, or
 * `ok`, the fields that were read and what they are written as, separated by single spaces.  Texts
 * and bytes are in hexadecimal, times in nanoseconds, doubles as their 64 bits; `-` is nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/device_json.h"
#include "codec/event_proto.h"

#define LINE_MAX_BYTES ((size_t)1 << 20)

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* In place; false: no hexadecimal. */
static bool unhex(char *text, size_t *out_n)
{
	size_t n = strlen(text);

	if (n % 2 != 0)
		return false;
	for (size_t i = 0; i < n / 2; i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		text[i] = (char)(high << 4 | low);
	}
	*out_n = n / 2;
	return true;
}

static void put_hex(const void *p, size_t n)
{
	const uint8_t *bytes = p;

	putchar(' ');
	if (n == 0)
		putchar('-');
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
}

static void put_uuid(bool has, const struct ev_uuid *u)
{
	char text[EV_UUID_TEXT + 1] = "-";

	if (has)
		ev_uuid_text(u, text);
	printf(" %s", text);
}

static void put_time(bool has, int64_t ns)
{
	if (has)
		printf(" %" PRId64, ns);
	else
		printf(" -");
}

static void put_double(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	printf(" %016" PRIx64, bits);
}

static void put_buf(const struct ev_buf *b)
{
	if (b->overflow)
		abort();
	put_hex(b->p, b->len);
	putchar('\n');
}

static void message(struct ev_str in)
{
	char text[DEVICE_JSON_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct device_wire w;

	if (device_json_decode(in, &w, NULL) != EV_OK) {
		puts("no");
		return;
	}
	printf("ok");
	put_uuid(true, &w.m.outlet_id);
	put_hex(w.m.tag.s, w.m.tag.n);
	put_time(true, w.m.period_start_ns);
	put_time(true, w.m.period_end_ns);
	printf(" %s", outlet_state_text(w.m.change));
	put_double(w.power_kwh);
	put_hex(w.m.message_id.s, w.m.message_id.n);
	device_wire_encode(&w, &b);
	put_buf(&b);
}

static void event(struct ev_str in)
{
	char text[EVENT_PROTO_MAX];
	struct ev_buf b = ev_buf_over(text, sizeof(text));
	struct event_wire w;

	if (event_wire_decode(in, &w, NULL) != EV_OK) {
		puts("no");
		return;
	}
	printf("ok %s", initiator_text(w.initiator));
	put_uuid(true, &w.outlet_id);
	printf(" %s", outlet_state_text(w.state));
	put_uuid(w.has_session, &w.session_id);
	put_hex(w.tag.s, w.tag.n);
	put_time(true, w.period_start_ns);
	put_time(w.has_period_end, w.period_end_ns);
	put_double(w.power_kwh);
	put_hex(w.event_id.b, w.has_event_id ? sizeof(w.event_id.b) : 0);
	put_hex(w.item_id.b, w.has_item ? sizeof(w.item_id.b) : 0);
	put_time(w.has_item, w.item_mwh);
	event_wire_encode(&w, &b);
	put_buf(&b);
}

/* What cannot be read may not begin before its memory or end after it. */
static void exactly(void (*fn)(struct ev_str in), const char *p, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1);

	if (copy == NULL)
		abort();
	memcpy(copy, p, n);
	fn((struct ev_str){ copy, n });
	free(copy);
}

static bool handle(char *line)
{
	char *space = strchr(line, ' ');
	size_t n;

	line[strcspn(line, "\n")] = '\0';
	if (space == NULL || !unhex(space + 1, &n))
		return false;
	*space = '\0';
	if (strcmp(line, "json") == 0)
		exactly(message, space + 1, n);
	else if (strcmp(line, "event") == 0)
		exactly(event, space + 1, n);
	else
		return false;
	return true;
}

int main(void)
{
	static char line[LINE_MAX_BYTES];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (!handle(line)) {
			fprintf(stderr, "codec_tool: a line that is neither json nor event\n");
			return 1;
		}
	}
	return ferror(stdin) != 0 || fflush(stdout) != 0;
}
