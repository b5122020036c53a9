/*
 * cli/view.h — answers of the APIs for people: tables and lists of fields, declared by columns.
 *
 * Texts of the server hold what devices and customers sent; what could move a terminal's cursor is
 * shown as `?`.
 */
#ifndef EV_CLI_VIEW_H
#define EV_CLI_VIEW_H

#include <stddef.h>
#include <stdio.h>

struct json_object;

enum view_kind {
	VIEW_TEXT,
	VIEW_TIME, /* ISO 8601, cut to the second */
	VIEW_KWH,
	VIEW_WATT,
	VIEW_NUMBER,
	VIEW_BOOL /* yes, or nothing */
};

struct view_column {
	const char *title;
	const char *key; /* "a.b" for a member of a member; a missing one is shown as nothing */
	enum view_kind kind;
};

#define VIEW_CELL_MAX 160
void view_cell(struct json_object *item, const struct view_column *c, char out[VIEW_CELL_MAX]);

/* An array as a table with a line of titles. */
void view_table(FILE *out, struct json_object *items, const struct view_column *columns, size_t n);

/* One object, a line for each field that is there. */
void view_fields(FILE *out, struct json_object *item, const struct view_column *columns, size_t n);

#endif
