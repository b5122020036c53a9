#include "cli/view.h"

#include <inttypes.h>
#include <json.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define KEY_MAX 64
#define COLUMNS_MAX 16
#define SECOND_DIGITS 19 /* of YYYY-MM-DDTHH:MM:SS */

static struct json_object *member(struct json_object *item, const char *key)
{
	const char *dot = strchr(key, '.');
	char first[KEY_MAX];
	struct json_object *found = NULL;

	if (dot == NULL)
		return json_object_object_get_ex(item, key, &found) ? found : NULL;
	snprintf(first, sizeof(first), "%.*s", (int)(dot - key), key);
	if (!json_object_object_get_ex(item, first, &found) ||
	    !json_object_is_type(found, json_type_object))
		return NULL;
	return member(found, dot + 1);
}

/* Bytes of the character at p that may be shown, 0 if it may not. */
static size_t showable(const char *p, size_t n)
{
	size_t len = ev_utf8_next(p, n);
	unsigned char first = (unsigned char)p[0];

	if (len == 1)
		return first >= ' ' && first != 0x7f;
	if (len == 2 && first == 0xC2 && (unsigned char)p[1] < 0xA0)
		return 0; /* U+0080 to U+009F are control characters, too */
	return len;
}

static void copy_text(char *out, size_t cap, const char *p, size_t n)
{
	size_t at = 0;

	while (n > 0) {
		size_t len = showable(p, n);
		size_t take = len > 0 ? len : 1;

		if (at + take + 1 > cap)
			break;
		if (len > 0)
			memcpy(out + at, p, len);
		else
			out[at] = '?';
		at += take;
		p += take;
		n -= take;
	}
	out[at] = '\0';
}

static void copy_json_text(struct json_object *v, char out[VIEW_CELL_MAX])
{
	copy_text(out, VIEW_CELL_MAX, json_object_get_string(v),
		  json_object_is_type(v, json_type_string) ? (size_t)json_object_get_string_len(v)
							   : strlen(json_object_get_string(v)));
}

static void copy_time(struct json_object *v, char out[VIEW_CELL_MAX])
{
	copy_json_text(v, out);
	if (strlen(out) > SECOND_DIGITS && out[10] == 'T') {
		out[10] = ' ';
		out[SECOND_DIGITS] = '\0';
	}
}

void view_cell(struct json_object *item, const struct view_column *c, char out[VIEW_CELL_MAX])
{
	struct json_object *v = member(item, c->key);

	out[0] = '\0';
	if (v == NULL)
		return;
	switch (c->kind) {
	case VIEW_TEXT:
		copy_json_text(v, out);
		break;
	case VIEW_TIME:
		copy_time(v, out);
		break;
	case VIEW_KWH:
		snprintf(out, VIEW_CELL_MAX, "%.3f kWh", json_object_get_double(v));
		break;
	case VIEW_WATT:
		snprintf(out, VIEW_CELL_MAX, "%.0f W", json_object_get_double(v));
		break;
	case VIEW_NUMBER:
		snprintf(out, VIEW_CELL_MAX, "%" PRId64, json_object_get_int64(v));
		break;
	case VIEW_BOOL:
		snprintf(out, VIEW_CELL_MAX, "%s", json_object_get_boolean(v) ? "yes" : "");
		break;
	}
}

/* Characters, not bytes; wide ones count one. */
static int width(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xC0) != 0x80;
	return n;
}

static bool is_right(enum view_kind kind)
{
	return kind == VIEW_KWH || kind == VIEW_WATT || kind == VIEW_NUMBER;
}

static void print_cell(FILE *out, const char *text, int cell_width, bool right, bool last)
{
	int gap = cell_width - width(text);

	if (right)
		fprintf(out, "%*s%s", gap, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : gap, "");
	fputs(last ? "\n" : "  ", out);
}

static void measure(struct json_object *items, const struct view_column *columns, size_t n,
		    int widths[COLUMNS_MAX])
{
	char text[VIEW_CELL_MAX];

	for (size_t c = 0; c < n; c++) {
		widths[c] = width(columns[c].title);
		for (size_t i = 0; i < json_object_array_length(items); i++) {
			view_cell(json_object_array_get_idx(items, i), &columns[c], text);
			if (width(text) > widths[c])
				widths[c] = width(text);
		}
	}
}

void view_table(FILE *out, struct json_object *items, const struct view_column *columns, size_t n)
{
	int widths[COLUMNS_MAX];
	char text[VIEW_CELL_MAX];

	if (!json_object_is_type(items, json_type_array))
		return;
	n = n < COLUMNS_MAX ? n : COLUMNS_MAX;
	measure(items, columns, n, widths);
	for (size_t c = 0; c < n; c++)
		print_cell(out, columns[c].title, widths[c], is_right(columns[c].kind), c + 1 == n);
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		for (size_t c = 0; c < n; c++) {
			view_cell(json_object_array_get_idx(items, i), &columns[c], text);
			print_cell(out, text, widths[c], is_right(columns[c].kind), c + 1 == n);
		}
	}
}

void view_fields(FILE *out, struct json_object *item, const struct view_column *columns, size_t n)
{
	char text[VIEW_CELL_MAX];
	int widest = 0;

	for (size_t c = 0; c < n; c++)
		widest = width(columns[c].title) > widest ? width(columns[c].title) : widest;
	for (size_t c = 0; c < n; c++) {
		view_cell(item, &columns[c], text);
		if (text[0] != '\0')
			fprintf(out, "%-*s  %s\n", widest, columns[c].title, text);
	}
}
