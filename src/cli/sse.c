#include "cli/sse.h"

#include <string.h>

void sse_init(struct sse_reader *r, sse_event_fn *on_event, void *user)
{
	r->on_event = on_event;
	r->user = user;
	r->id[0] = '\0';
	sse_restart(r);
}

void sse_restart(struct sse_reader *r)
{
	r->after_cr = r->has_data = false;
	r->line_n = r->data_n = 0;
}

static ev_err add_data(struct sse_reader *r, struct ev_str value)
{
	if (value.n + 1 > SSE_DATA_MAX - r->data_n)
		return EV_FULL;
	if (r->has_data)
		r->data[r->data_n++] = '\n';
	if (value.n > 0)
		memcpy(r->data + r->data_n, value.p, value.n);
	r->data_n += value.n;
	r->has_data = true;
	return EV_OK;
}

static ev_err dispatch(struct sse_reader *r)
{
	const struct sse_event e = { .id = r->id, .data = { r->data, r->data_n } };
	bool go_on = !r->has_data || r->on_event(r->user, &e);

	r->has_data = false;
	r->data_n = 0;
	return go_on ? EV_OK : EV_CLOSED;
}

static ev_err take_field(struct sse_reader *r, struct ev_str name, struct ev_str value)
{
	if (ev_str_eqz(name, "data"))
		return add_data(r, value);
	if (ev_str_eqz(name, "id") && value.n <= SSE_ID_MAX &&
	    (value.n == 0 || memchr(value.p, '\0', value.n) == NULL)) {
		if (value.n > 0)
			memcpy(r->id, value.p, value.n);
		r->id[value.n] = '\0';
	}
	return EV_OK; /* names we do not use, and comments, whose name is empty */
}

static ev_err take_line(struct sse_reader *r)
{
	struct ev_str line = { r->line, r->line_n };

	r->line_n = 0;
	if (line.n == 0)
		return dispatch(r);
	const char *colon = memchr(line.p, ':', line.n);

	if (colon == NULL)
		return take_field(r, line, (struct ev_str){ .n = 0 });
	struct ev_str name = { line.p, (size_t)(colon - line.p) };
	struct ev_str value = { colon + 1, line.n - name.n - 1 };

	if (value.n > 0 && value.p[0] == ' ')
		value = (struct ev_str){ value.p + 1, value.n - 1 };
	return take_field(r, name, value);
}

static ev_err take_byte(struct sse_reader *r, char c)
{
	bool second = r->after_cr && c == '\n';

	r->after_cr = c == '\r';
	if (second)
		return EV_OK;
	if (c == '\r' || c == '\n')
		return take_line(r);
	if (r->line_n == SSE_LINE_MAX)
		return EV_FULL;
	r->line[r->line_n++] = c;
	return EV_OK;
}

ev_err sse_feed(struct sse_reader *r, struct ev_str bytes)
{
	ev_err e = EV_OK;

	for (size_t i = 0; i < bytes.n && e == EV_OK; i++)
		e = take_byte(r, bytes.p[i]);
	return e;
}
