/* net/stats.c — the metrics of a listener. */
#include "net/server_impl.h"

#include "base/buf.h"

static const struct {
	const char *name;
	const char *help;
	const char *label; /* beside the listener's */
} metrics[STAT_COUNT] = {
#define CONNECTIONS_REFUSED                                                                        \
	"evcharge_net_connections_refused_total", "Connections refused when they came."
#define ANSWERS "evcharge_net_http_answers_total", "HTTP answers by class of status."
#define ABORTED "evcharge_net_aborted_total", "Connections or requests ended by a limit or a fault."
	[STAT_ACCEPTED] = { "evcharge_net_connections_total", "Connections accepted.", NULL },
	[STAT_REFUSED_MAX] = { CONNECTIONS_REFUSED, "reason=\"max\"" },
	[STAT_REFUSED_ADDRESS] = { CONNECTIONS_REFUSED, "reason=\"address\"" },
	[STAT_REFUSED_RESOURCES] = { CONNECTIONS_REFUSED, "reason=\"resources\"" },
	[STAT_ANSWERS_2XX] = { ANSWERS, "class=\"2xx\"" },
	[STAT_ANSWERS_3XX] = { ANSWERS, "class=\"3xx\"" },
	[STAT_ANSWERS_4XX] = { ANSWERS, "class=\"4xx\"" },
	[STAT_ANSWERS_5XX] = { ANSWERS, "class=\"5xx\"" },
	[STAT_WS_ACCEPTED] = { "evcharge_net_websockets_total", "WebSockets accepted.", NULL },
	[STAT_BYTES_IN] = { "evcharge_net_received_bytes_total", "Bytes received.", NULL },
	[STAT_BYTES_OUT] = { "evcharge_net_sent_bytes_total", "Bytes sent.", NULL },
	[STAT_MESSAGES_IN] = { "evcharge_net_ws_messages_received_total",
			       "WebSocket messages received.", NULL },
	[STAT_MESSAGES_OUT] = { "evcharge_net_ws_messages_sent_total",
				"WebSocket messages queued to be sent.", NULL },
	[STAT_BAD_REQUEST] = { ABORTED, "reason=\"bad_request\"" },
	[STAT_HEAD_TOO_BIG] = { ABORTED, "reason=\"head_too_big\"" },
	[STAT_BODY_TOO_BIG] = { ABORTED, "reason=\"body_too_big\"" },
	[STAT_HEAD_TIMEOUT] = { ABORTED, "reason=\"head_timeout\"" },
	[STAT_BODY_TIMEOUT] = { ABORTED, "reason=\"body_timeout\"" },
	[STAT_KEEPALIVE_TIMEOUT] = { ABORTED, "reason=\"keepalive_timeout\"" },
	[STAT_WRITE_TIMEOUT] = { ABORTED, "reason=\"slow_reader\"" },
	[STAT_PING_TIMEOUT] = { ABORTED, "reason=\"ping_timeout\"" },
	[STAT_WS_IDLE] = { ABORTED, "reason=\"ws_idle\"" },
	[STAT_WS_TOO_BIG] = { ABORTED, "reason=\"ws_too_big\"" },
	[STAT_WS_BAD_UTF8] = { ABORTED, "reason=\"ws_bad_utf8\"" },
	[STAT_WS_PROTOCOL] = { ABORTED, "reason=\"ws_protocol\"" },
	[STAT_QUEUE_FULL] = { "evcharge_net_queue_full_total",
			      "Writes refused because the peer reads too slowly.", NULL },
};

static const char *make_labels(char out[NET_LABELS], const char *listener, const char *more)
{
	struct ev_buf b = ev_buf_over(out, NET_LABELS - 1);

	ev_buf_z(&b, "listener=\"");
	ev_buf_z(&b, listener);
	ev_buf_char(&b, '"');
	if (more != NULL) {
		ev_buf_char(&b, ',');
		ev_buf_z(&b, more);
	}
	out[b.len] = '\0';
	return out;
}

void net_stats_add(struct net_stats *st, struct ev_metrics *m, const char *listener)
{
	for (unsigned i = 0; i < STAT_COUNT; i++)
		ev_metrics_counter(m, &st->counters[i], metrics[i].name, metrics[i].help,
				   make_labels(st->labels[i], listener, metrics[i].label));
	const char *label = make_labels(st->listener_label, listener, NULL);

	ev_metrics_gauge(m, &st->open, "evcharge_net_connections", "Open connections.", label);
	ev_metrics_gauge(m, &st->websockets, "evcharge_net_websockets", "Open WebSockets.", label);
}

void net_stats_remove(struct net_stats *st, struct ev_metrics *m)
{
	for (unsigned i = 0; i < STAT_COUNT; i++)
		ev_metrics_remove(m, &st->counters[i].base);
	ev_metrics_remove(m, &st->open.base);
	ev_metrics_remove(m, &st->websockets.base);
}
