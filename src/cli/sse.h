/*
 * cli/sse.h — reading a stream of Server-Sent Events (HTML Living Standard §9.2), pure.
 *
 * Bytes go in as they come, cut anywhere; whole events come out.
 */
#ifndef EV_CLI_SSE_H
#define EV_CLI_SSE_H

#include "base/err.h"
#include "base/str.h"

#define SSE_LINE_MAX 16384
#define SSE_DATA_MAX 65536
#define SSE_ID_MAX 63

struct sse_event {
	const char *id;     /* the last given one */
	struct ev_str data; /* lines joined by newlines */
};

/* False stops the reading. */
typedef bool sse_event_fn(void *user, const struct sse_event *e);

struct sse_reader {
	sse_event_fn *on_event;
	void *user;
	char id[SSE_ID_MAX + 1];
	bool after_cr; /* the LF of a CRLF may follow */
	bool has_data;
	size_t line_n, data_n;
	char line[SSE_LINE_MAX];
	char data[SSE_DATA_MAX];
};

void sse_init(struct sse_reader *r, sse_event_fn *on_event, void *user);

/* A new connection: half a line or event of the old one is forgotten, the last id is not. */
void sse_restart(struct sse_reader *r);

/* EV_FULL: a line or an event is too long; EV_CLOSED: on_event said stop. */
EV_NODISCARD ev_err sse_feed(struct sse_reader *r, struct ev_str bytes);

#endif
